#include "server/proxy/assertion.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/json.h"
#include "server/keys/jwk.h"
#include "server/keys/jwk_write.h"
#include "server/token/jws.h"
#include "server/token/principal_make.h"
#include "server/token/verify.h"
#include "tests/support/claims.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define NOW 1700000000
#define EXPIRES (NOW + 300)

/* --- what it takes --------------------------------------------------------------------------- */

static char *unconst(const char *text) {
    return (char *)(uintptr_t)text;
}

static struct config config_with(const char *state_directory, const char *private_key) {
    return (struct config){.state_directory = unconst(state_directory),
                           .assertion = {.header = unconst("X-Auth-Assertion"),
                                         .private_key = unconst(private_key),
                                         .issuer = unconst("https://gate.example"),
                                         .lifetime = 60000}};
}

static struct assertion_key *new_key(const char *state_directory, const char *private_key) {
    struct config config = config_with(state_directory, private_key);
    struct assertion_key *key = NULL;
    struct err_text why = {""};
    int r = assertion_key_new(&config, NULL, &key, &why);
    ck_assert_msg(r == 0 && key, "%s", why.text);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    return key;
}

/* A file with that private key, for private_key. The caller frees the path. */
static char *key_file(EVP_PKEY *pkey) {
    char *folder = scratch_new(), *pem = mint_private_pem(pkey);
    char *path = scratch_file(folder, "key.pem", span_of(pem));
    free(pem);
    free(folder);
    return path;
}

static char *user_names[] = {(char[]){"name"}};
static char *scope_names[] = {(char[]){"scope"}};
static char *role_names[] = {(char[]){"roles"}};
static const struct config_issuer issuer = {.issuer = (char[]){"https://idp.example"},
                                            .user_claims = {user_names, 1},
                                            .scope_claims = {scope_names, 1},
                                            .role_claims = {role_names, 1}};

/* Takes over claims. */
static struct principal *principal_of(json_t *claims, int64_t expires) {
    struct principal *principal = NULL;
    struct refusal refusal = {0};
    struct jtree *tree = claims_of(claims);
    ck_assert_msg(principal_make(tree, &issuer, expires, &principal, &refusal), "%s", refusal.text);
    jtree_unref(tree);
    return principal;
}

static struct principal *alice(void) {
    return principal_of(json_pack("{s:s, s:s, s:s, s:[s,s], s:s}", "sub", "4711", "name", "alice",
                                  "scope", "read write", "roles", "admin", "the boss", "more",
                                  "not told"),
                        EXPIRES);
}

/* The only key of the set. The caller releases it with key_done(). */
static struct key parse_jwks(const struct assertion_key *key) {
    struct key parsed;
    struct err_text why = {""};
    json_t *set = NULL;
    ck_assert_int_eq(json_read_object(assertion_jwks(key), &set, &why), 0);
    json_t *keys = json_object_get(set, "keys");
    ck_assert_uint_eq(json_object_size(set), 1);
    ck_assert_uint_eq(json_array_size(keys), 1);
    ck_assert_msg(jwk_parse(json_array_get(keys, 0), &parsed, &why) == 0, "%s", why.text);
    json_decref(set);
    return parsed;
}

/* Verify as an upstream would, with what it fetched. Frees token; the caller owns the claims. */
static json_t *open_token(const struct assertion_key *key, char *token) {
    struct key public_key = parse_jwks(key);
    struct jws jws;
    struct refusal refusal;
    struct err_text why = {""};
    json_t *claims = NULL;

    ck_assert_ptr_nonnull(token);
    ck_assert_msg(jws_parse(span_of(token), &jws, &refusal), "%s", refusal.text);
    ck_assert_uint_eq(public_key.algorithms, ALG_BIT(jws.algorithm));
    ck_assert(verify_signature(NULL, &public_key, jws.algorithm, jws.signing_input, jws.signature));
    ck_assert(span_equal_text(jws.kid, public_key.kid));
    ck_assert(span_equal_text(jnode_text(jnode_find(jws.header->root, "typ")), "JWT"));
    ck_assert_uint_eq(jws.header->root->len, 3);
    ck_assert_msg(json_read_object(jws.payload, &claims, &why) == 0, "%s", why.text);
    jws_done(&jws);
    key_done(&public_key);
    free(token);
    return claims;
}

static json_t *mint(const struct assertion_key *key, const struct principal *principal) {
    struct config config = config_with("", "");
    int64_t exp = -1;
    char *token = assertion_mint(key, &config.assertion, "orders", principal, NOW, &exp);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    json_t *claims = open_token(key, token);
    ck_assert_int_eq(json_integer_value(json_object_get(claims, "exp")), exp);
    return claims;
}

/* --- claims ---------------------------------------------------------------------------------- */

static void expect_alice(const struct assertion_key *key, enum algorithm algorithm) {
    struct key public_key = parse_jwks(key);
    struct principal *principal = alice();
    json_t *claims = mint(key, principal);
    ck_assert_uint_eq(public_key.algorithms, ALG_BIT(algorithm));
    ck_assert_uint_eq(json_string_length(json_object_get(claims, "jti")), 22);
    json_object_del(claims, "jti");
    json_t *expected = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:[s,s], s:s, s:i, s:i}", "iss", "https://gate.example", "aud",
        "orders", "sub", "4711", "username", "alice", "scope", "read write", "roles", "admin",
        "the boss", "token_issuer", "https://idp.example", "iat", NOW, "exp", NOW + 60);
    char *text = json_dumps(claims, 0);
    ck_assert_msg(json_equal(claims, expected), "%s", text);
    free(text);
    json_decref(expected);
    json_decref(claims);
    principal_unref(principal);
    key_done(&public_key);
}

TEST(an_upstream_can_verify_an_assertion_and_finds_these_claims_in_it) {
    char *rsa = key_file(mint_key(MINT_RSA)), *rsa_4096 = key_file(mint_key(MINT_RSA_4096));
    char *ec = key_file(mint_key(MINT_P256)), *folder = scratch_new();
    const struct {
        const char *state_directory, *private_key;
        enum algorithm algorithm;
    } rows[] = {
        {"", "", ALG_ES256}, {folder, "", ALG_ES256}, {folder, "", ALG_ES256},
        {"", ec, ALG_ES256}, {"", rsa, ALG_RS256},    {folder, rsa_4096, ALG_RS256},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct assertion_key *key = new_key(rows[i].state_directory, rows[i].private_key);
        expect_alice(key, rows[i].algorithm);
        assertion_key_unref(key);
    }
    free(folder);
    free(ec);
    free(rsa_4096);
    free(rsa);
}

TEST(an_assertion_never_outlives_the_token) {
    static const struct {
        int64_t lifetime_ms, expires, exp;
    } rows[] = {
        {60000, NOW + 300, NOW + 60},    {60000, NOW + 60, NOW + 60}, {60000, NOW + 59, NOW + 59},
        {60000, NOW + 1, NOW + 1},       {60000, NOW, NOW},           {60000, NOW - 30, NOW - 30},
        {3600000, NOW + 300, NOW + 300}, {1000, NOW + 300, NOW + 1},
    };
    struct assertion_key *key = new_key("", "");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config config = config_with("", "");
        config.assertion.lifetime = rows[i].lifetime_ms;
        struct principal *principal =
            principal_of(json_pack("{s:s}", "name", "u"), rows[i].expires);
        int64_t exp = -1;
        char *token = assertion_mint(key, &config.assertion, "a", principal, NOW, &exp);
        json_t *claims = open_token(key, token);
        ck_assert_int_eq(exp, rows[i].exp);
        ck_assert_int_eq(json_integer_value(json_object_get(claims, "exp")), rows[i].exp);
        ck_assert_int_eq(json_integer_value(json_object_get(claims, "iat")), NOW);
        json_decref(claims);
        principal_unref(principal);
    }
    assertion_key_unref(key);
}

TEST(names_that_are_hostile_to_json_survive) {
    static const char *const names[] = {
        "\"",           "\\",
        "\\\"",         "a\",\"sub\":\"root",
        "\"}",          "\n\r\t\b\f",
        "\x01\x1f\x7f", "\xc2\x80\xe2\x80\xa8\xe2\x80\xa9",
        "</script>",    "\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbf",
        "%s%n",         "..",
        "a b",
    };
    struct assertion_key *key = new_key("", "");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct principal *principal = principal_of(
            json_pack("{s:s, s:s, s:[s]}", "name", names[i], "sub", names[i], "roles", names[i]),
            EXPIRES);
        json_t *claims = mint(key, principal);
        const json_t *roles = json_object_get(claims, "roles");
        ck_assert_str_eq(json_string_value(json_object_get(claims, "username")), names[i]);
        ck_assert_str_eq(json_string_value(json_object_get(claims, "sub")), names[i]);
        ck_assert_uint_eq(json_array_size(roles), 1);
        ck_assert_str_eq(json_string_value(json_array_get(roles, 0)), names[i]);
        ck_assert_uint_eq(json_object_size(claims), 10);
        json_decref(claims);
        principal_unref(principal);
    }
    assertion_key_unref(key);
}

TEST(who_has_no_subject_is_named_by_the_user) {
    static const struct {
        const char *claims, *sub;
    } rows[] = {
        {"{\"name\":\"u\"}", "u"},
        {"{\"name\":\"u\",\"sub\":\"\"}", "u"},
        {"{\"name\":\"u\",\"sub\":1}", "u"},
        {"{\"name\":\"u\",\"sub\":\"s\"}", "s"},
    };
    struct assertion_key *key = new_key("", "");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct principal *principal = principal_of(json_loads(rows[i].claims, 0, NULL), EXPIRES);
        json_t *claims = mint(key, principal);
        ck_assert_str_eq(json_string_value(json_object_get(claims, "sub")), rows[i].sub);
        ck_assert_str_eq(json_string_value(json_object_get(claims, "username")), "u");
        json_decref(claims);
        principal_unref(principal);
    }
    assertion_key_unref(key);
}

/* The upstream splits the text; no scope may come out that did not go in. */
TEST(a_scope_that_could_be_read_as_two_is_not_told) {
    static const struct {
        const char *scopes, *told;
    } rows[] = {
        {"[]", ""},
        {"\"\"", ""},
        {"[\"a\"]", "a"},
        {"[\"a\",\"b:c\",\"!#[]~\"]", "a b:c !#[]~"},
        {"[\"a b\"]", ""},
        {"[\"x\",\"a b\",\"y\"]", "x y"},
        {"[\"\",\"x\",\"\"]", "x"},
        {"[\" x\",\"y \",\"a\\tb\",\"a\\nb\",\"z\"]", "z"},
        {"[\"a\\u00a0b\",\"\\u00e9\",\"a\\u007f\",\"a\\\"b\",\"a\\\\b\",\"z\"]", "z"},
    };
    struct assertion_key *key = new_key("", "");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *given = json_pack("{s:s, s:o}", "name", "u", "scope",
                                  json_loads(rows[i].scopes, JSON_DECODE_ANY, NULL));
        struct principal *principal = principal_of(given, EXPIRES);
        json_t *claims = mint(key, principal);
        ck_assert_str_eq(json_string_value(json_object_get(claims, "scope")), rows[i].told);
        ck_assert(json_is_array(json_object_get(claims, "roles")));
        ck_assert_uint_eq(json_object_size(claims), 10);
        json_decref(claims);
        principal_unref(principal);
    }
    assertion_key_unref(key);
}

TEST(no_two_assertions_have_the_same_jti) {
    enum { COUNT = 50 };
    struct assertion_key *key = new_key("", "");
    struct principal *principal = alice();
    json_t *seen = json_object();
    for (int i = 0; i < COUNT; i++) {
        json_t *claims = mint(key, principal);
        const char *jti = json_string_value(json_object_get(claims, "jti"));
        ck_assert_int_eq(json_object_set_new(seen, jti, json_true()), 0);
        json_decref(claims);
    }
    ck_assert_uint_eq(json_object_size(seen), COUNT);
    json_decref(seen);
    principal_unref(principal);
    assertion_key_unref(key);
}

TEST(claims_beyond_the_limit_give_no_assertion) {
    struct assertion_key *key = new_key("", "");
    struct config config = config_with("", "");
    char *name = calloc(1, JWK_CLAIMS_MAX + 1);
    for (int i = 0; i < 2; i++) {
        memset(name, 0, JWK_CLAIMS_MAX);
        memset(name, 'x', i == 0 ? JWK_CLAIMS_MAX : JWK_CLAIMS_MAX - 1000);
        json_t *given = json_pack("{s:s, s:s}", "name", name, "sub", "s");
        struct principal *principal = principal_of(given, EXPIRES);
        int64_t exp = -1;
        char *token = assertion_mint(key, &config.assertion, "a", principal, NOW, &exp);
        ck_assert((token != NULL) == (i == 1));
        ck_assert_int_eq(exp, i == 1 ? NOW + 60 : -1);
        free(token);
        principal_unref(principal);
    }
    free(name);
    assertion_key_unref(key);
}

struct minter {
    struct assertion_key *key;
    struct principal *principal;
    char *tokens[20];
};

static void *mint_many(void *argument) {
    struct minter *minter = argument;
    struct config config = config_with("", "");
    int64_t exp;
    for (size_t i = 0; i < ARRAY_LEN(minter->tokens); i++)
        minter->tokens[i] =
            assertion_mint(minter->key, &config.assertion, "a", minter->principal, NOW, &exp);
    assertion_key_unref(minter->key);
    return NULL;
}

TEST(threads_mint_under_one_key) {
    struct assertion_key *key = new_key("", "");
    struct minter minters[4];
    pthread_t threads[ARRAY_LEN(minters)];
    for (size_t i = 0; i < ARRAY_LEN(minters); i++) {
        minters[i] = (struct minter){assertion_key_ref(key), alice(), {NULL}};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, mint_many, &minters[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(minters); i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        for (size_t t = 0; t < ARRAY_LEN(minters[i].tokens); t++)
            json_decref(open_token(key, minters[i].tokens[t]));
        principal_unref(minters[i].principal);
    }
    assertion_key_unref(key);
}

/* --- the key --------------------------------------------------------------------------------- */

static bool same_key(const struct assertion_key *a, const struct assertion_key *b) {
    return span_equal(assertion_jwks(a), assertion_jwks(b));
}

TEST(the_jwk_set_has_the_public_key_under_its_thumbprint) {
    char *paths[] = {key_file(mint_key(MINT_RSA)), key_file(mint_key(MINT_P256))};
    EVP_PKEY *pkeys[] = {mint_key(MINT_RSA), mint_key(MINT_P256)};
    static const char *const algorithms[] = {"RS256", "ES256"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct assertion_key *key = new_key("", paths[i]);
        char thumbprint[JWK_THUMBPRINT_LEN + 1];
        json_t *jwk = mint_jwk(pkeys[i], NULL, algorithms[i]);
        ck_assert(jwk_thumbprint(jwk, thumbprint));
        json_object_set_new(jwk, "kid", json_string(thumbprint));
        json_object_set_new(jwk, "use", json_string("sig"));
        json_t *expected = json_pack("{s:[o]}", "keys", jwk), *set = NULL;
        ck_assert_int_eq(json_read_object(assertion_jwks(key), &set, NULL), 0);
        ck_assert(json_equal(set, expected));
        json_decref(set);
        json_decref(expected);
        assertion_key_unref(key);
        free(paths[i]);
    }
}

TEST(a_key_of_our_own_is_kept_in_the_state_directory) {
    static const mode_t masks[] = {0, 022, 0777};
    for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
        char *folder = scratch_new(), *path = scratch_text("%s/assertion.pem", folder);
        struct stat status;
        umask(masks[i]);
        struct assertion_key *first = new_key(folder, "");
        umask(077);
        ck_assert_int_eq(stat(path, &status), 0);
        ck_assert_uint_eq(status.st_mode & 07777, 0600);
        char *before = scratch_read(path, NULL);
        struct assertion_key *second = new_key(folder, "");
        char *after = scratch_read(path, NULL);
        ck_assert(same_key(first, second));
        ck_assert_str_eq(before, after);
        ck_assert_int_eq(unlink(path), 0);
        struct assertion_key *third = new_key(folder, "");
        ck_assert(!same_key(first, third));
        assertion_key_unref(third);
        assertion_key_unref(second);
        assertion_key_unref(first);
        free(after);
        free(before);
        free(path);
        free(folder);
    }
}

TEST(a_configured_key_is_used_and_none_is_made) {
    char *folder = scratch_new(), *path = key_file(mint_key(MINT_P256));
    struct assertion_key *key = new_key(folder, path);
    struct key parsed = parse_jwks(key);
    ck_assert_int_eq(EVP_PKEY_eq(parsed.pkey, mint_key(MINT_P256)), 1);
    char *kept = scratch_text("%s/assertion.pem", folder);
    ck_assert_int_ne(access(kept, F_OK), 0);
    key_done(&parsed);
    assertion_key_unref(key);
    free(kept);
    free(path);
    free(folder);
}

static struct assertion_key *follow(const struct config *config, struct assertion_key *previous) {
    struct assertion_key *key = NULL;
    ck_assert_int_eq(assertion_key_new(config, previous, &key, NULL), 0);
    return key;
}

TEST(a_key_that_is_kept_nowhere_lives_as_long_as_the_process) {
    struct config config = config_with("", "");
    struct assertion_key *first = follow(&config, NULL);
    struct assertion_key *second = follow(&config, first);
    ck_assert_ptr_eq(first, second);
    assertion_key_unref(first);
    expect_alice(second, ALG_ES256); /* a reference of its own */
    struct assertion_key *other = follow(&config, NULL);
    ck_assert(!same_key(second, other));
    assertion_key_unref(other);
    assertion_key_unref(second);
    assertion_key_unref(NULL);
}

/* Taken out of the configuration, perhaps because it leaked, a key must not sign on. */
TEST(a_key_from_a_file_is_not_taken_on) {
    char *folder = scratch_new(), *path = key_file(mint_key(MINT_P256));
    struct config none = config_with("", "");
    struct config kept = config_with(folder, ""), configured = config_with("", path);
    const struct config *const from[] = {&kept, &configured};
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        struct assertion_key *before = follow(from[i], NULL);
        struct assertion_key *after = follow(&none, before);
        ck_assert(!same_key(before, after));
        assertion_key_unref(after);
        assertion_key_unref(before);
    }
    struct assertion_key *made = follow(&none, NULL);
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        struct assertion_key *after = follow(from[i], made);
        ck_assert(!same_key(made, after));
        assertion_key_unref(after);
    }
    assertion_key_unref(made);
    free(path);
    free(folder);
}

/* --- files that hold no key for us ----------------------------------------------------------- */

static void expect_refused(const struct config *config, const char *why_not) {
    struct assertion_key *key = NULL;
    struct err_text why = {""};
    ck_assert_int_lt(assertion_key_new(config, NULL, &key, &why), 0);
    ck_assert_ptr_null(key);
    ck_assert_str_eq(why.text, why_not);
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

/* Takes over pem. Refused as private_key, and as the kept key, which is then left alone. */
static void expect_refused_file(char *pem, const char *why_not) {
    char *folder = scratch_new(), *path = scratch_file(folder, "assertion.pem", span_of(pem));
    char *text = scratch_text("%s %s", path, why_not);
    struct config configured = config_with("", path), kept = config_with(folder, "");
    expect_refused(&configured, text);
    expect_refused(&kept, text);
    char *after = scratch_read(path, NULL);
    ck_assert_str_eq(pem, after);
    free(after);
    free(text);
    free(path);
    free(folder);
    free(pem);
}

static char *bio_text(BIO *bio) {
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);
    char *text = strndup(bytes, (size_t)len);
    BIO_free(bio);
    return text;
}

static char *encrypted_pem(EVP_PKEY *pkey, const char *passphrase, bool traditional) {
    BIO *bio = BIO_new(BIO_s_mem());
    const unsigned char *bytes = (const unsigned char *)passphrase;
    int len = (int)strlen(passphrase);
    if (traditional)
        ck_assert_int_eq(PEM_write_bio_PrivateKey_traditional(bio, pkey, EVP_aes_128_cbc(), bytes,
                                                              len, NULL, NULL),
                         1);
    else
        ck_assert_int_eq(
            PEM_write_bio_PrivateKey(bio, pkey, EVP_aes_128_cbc(), bytes, len, NULL, NULL), 1);
    return bio_text(bio);
}

static char *traditional_pem(EVP_PKEY *pkey) {
    BIO *bio = BIO_new(BIO_s_mem());
    ck_assert_int_eq(PEM_write_bio_PrivateKey_traditional(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
    return bio_text(bio);
}

/* The private half of one key with the public half of another. */
static char *mixed_pem(EVP_PKEY *private_half, EVP_PKEY *public_half) {
    unsigned char point[65];
    size_t len = 0;
    BIGNUM *number = NULL;
    EVP_PKEY *mixed = NULL;
    EVP_PKEY_get_bn_param(private_half, OSSL_PKEY_PARAM_PRIV_KEY, &number);
    EVP_PKEY_get_octet_string_param(public_half, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point,
                                    &len);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, len);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, number);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    ck_assert_int_eq(EVP_PKEY_fromdata_init(ctx), 1);
    ck_assert_int_eq(EVP_PKEY_fromdata(ctx, &mixed, EVP_PKEY_KEYPAIR, params), 1);
    char *pem = mint_private_pem(mixed);
    EVP_PKEY_free(mixed);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_free(number);
    return pem;
}

#define NO_PEM "holds no usable private key in PEM"
#define OTHER_TYPE "is neither an EC key on P-256 nor an RSA key of 2048 to 8192 bits"
#define ENCRYPTED                                                                                  \
    "is encrypted, and there is nobody to ask for its passphrase; write it without one"

TEST(a_file_without_a_private_key_is_refused) {
    char *good = mint_private_pem(mint_key(MINT_P256)), *cut = strdup(good);
    cut[strlen(cut) / 2] = '\0';
    expect_refused_file(strdup(""), NO_PEM);
    expect_refused_file(strdup("\n"), NO_PEM);
    expect_refused_file(strdup("no PEM"), NO_PEM);
    expect_refused_file(cut, NO_PEM);
    expect_refused_file(mint_public_pem(mint_key(MINT_P256)), NO_PEM);
    expect_refused_file(strdup("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
                        NO_PEM);
    free(good);
}

TEST(a_key_of_another_kind_is_refused) {
    static const enum mint_key keys[] = {MINT_P384,    MINT_P521,  MINT_P256K,
                                         MINT_ED25519, MINT_ED448, MINT_X25519};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        expect_refused_file(mint_private_pem(mint_key(keys[i])), OTHER_TYPE);
    expect_refused_file(mint_private_pem(mint_key(MINT_RSA_1024)),
                        "is an RSA key of 1024 bits; 2048 to 8192 are accepted");
    EVP_PKEY *pss = EVP_PKEY_Q_keygen(NULL, NULL, "RSA-PSS", (size_t)2048);
    if (pss) expect_refused_file(mint_private_pem(pss), OTHER_TYPE);
    EVP_PKEY_free(pss);
}

/* OpenSSL asks at the terminal where it is not told otherwise. */
TEST(an_encrypted_key_is_refused_without_asking) {
    EVP_PKEY *rsa = mint_key(MINT_RSA), *ec = mint_key(MINT_P256);
    expect_refused_file(encrypted_pem(ec, "secret", false), ENCRYPTED);
    expect_refused_file(encrypted_pem(ec, "secret", true), ENCRYPTED);
    expect_refused_file(encrypted_pem(rsa, "secret", false), ENCRYPTED);
    expect_refused_file(encrypted_pem(rsa, "secret", true), ENCRYPTED);
}

TEST(halves_of_two_keys_are_refused) {
    EVP_PKEY *one = mint_key(MINT_P256), *other = mint_key(MINT_P256_OTHER);
    expect_refused_file(mixed_pem(one, other),
                        "has a public half that is not that of its private half");
    char *folder = scratch_new(), *good = mixed_pem(one, one);
    char *path = scratch_file(folder, "key.pem", span_of(good));
    assertion_key_unref(new_key("", path));
    free(path);
    free(good);
    free(folder);
}

TEST(a_file_that_is_not_there_or_too_large_is_named) {
    char *folder = scratch_new(), *path = scratch_text("%s/missing.pem", folder);
    struct config missing = config_with(folder, path);
    char *text = scratch_text("there is no file %s", path);
    expect_refused(&missing, text);
    free(text);
    free(path);

    char *large = malloc(70000);
    memset(large, '\n', 70000);
    path = scratch_file(folder, "large.pem", (struct span){large, 70000});
    struct config config = config_with("", path);
    text = scratch_text("cannot read %s: it is too large", path);
    expect_refused(&config, text);
    free(text);
    free(path);
    free(large);
    free(folder);
}

TEST(a_state_directory_that_cannot_keep_the_key_is_named) {
    char *folder = scratch_new(), *missing = scratch_text("%s/missing", folder);
    struct config config = config_with(missing, "");
    char *text =
        scratch_text("cannot create %s/assertion.pem.new: No such file or directory", missing);
    expect_refused(&config, text);
    free(text);
    free(missing);
    free(folder);
}

TEST(a_kept_key_that_is_not_ours_alone_is_refused) {
    char *folder = scratch_new(), *pem = mint_private_pem(mint_key(MINT_P256));
    char *path = scratch_file(folder, "assertion.pem", span_of(pem));
    char *text = scratch_text("%s is not ours alone to write", path);
    struct config kept = config_with(folder, "");
    ck_assert_int_eq(chmod(path, 0620), 0);
    expect_refused(&kept, text);
    ck_assert_int_eq(chmod(path, 0600), 0);
    assertion_key_unref(new_key(folder, ""));
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 12345, 12345), 0);
        expect_refused(&kept, text);
        assertion_key_unref(new_key("", path)); /* an operator may name it */
    }
    free(text);
    free(path);
    free(pem);
    free(folder);
}

TEST(only_a_configured_key_may_be_a_link) {
    char *folder = scratch_new(), *path = key_file(mint_key(MINT_P256));
    char *link = scratch_text("%s/assertion.pem", folder);
    char *text = scratch_text("cannot open %s: Too many levels of symbolic links", link);
    struct config kept = config_with(folder, "");
    ck_assert_int_eq(symlink(path, link), 0);
    expect_refused(&kept, text);
    assertion_key_unref(new_key("", link));
    free(text);
    free(link);
    free(path);
    free(folder);
}

/* --- files as they come ---------------------------------------------------------------------- */

TEST(keys_in_older_kinds_of_pem_are_read) {
    static const enum mint_key keys[] = {MINT_P256, MINT_RSA};
    static const char before[] = "a comment\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
                                 "-----END EC PARAMETERS-----\n";
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char *folder = scratch_new(), *pem = traditional_pem(mint_key(keys[i]));
        char *text = scratch_text("%s%s", before, pem);
        char *path = scratch_file(folder, "key.pem", span_of(text));
        struct assertion_key *key = new_key("", path);
        expect_alice(key, keys[i] == MINT_RSA ? ALG_RS256 : ALG_ES256);
        assertion_key_unref(key);
        free(path);
        free(text);
        free(pem);
        free(folder);
    }
}

TEST(a_key_file_that_every_user_can_get_at_is_warned_of_and_used) {
    static const struct {
        mode_t mode;
        bool warned;
    } rows[] = {
        {0400, false}, {0440, false}, {0600, false}, {0640, false},
        {0644, true},  {0604, true},  {0602, true},  {0666, true},
    };
    char *path = key_file(mint_key(MINT_P256));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char log[4096] = "";
        int fd = memfd_create("stderr", MFD_CLOEXEC);
        ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
        ck_assert_int_eq(chmod(path, rows[i].mode), 0);
        assertion_key_unref(new_key("", path));
        ck_assert_int_ge(pread(fd, log, sizeof log - 1, 0), 0);
        bool warned = strstr(log, "every user of this machine") && strstr(log, path);
        ck_assert_msg(warned == rows[i].warned, "%o: %s", rows[i].mode, log);
        ck_assert(warned || *log == '\0');
        ck_assert_ptr_null(strstr(log, "BEGIN"));
        close(fd);
    }
    free(path);
}
