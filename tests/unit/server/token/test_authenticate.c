#include "server/token/authenticate.h"

#include <openssl/x509.h>
#include <stdlib.h>

#include "tests/unit/server/token/judge.h"

#define S(text) SPAN_LITERAL(text)

/* Good claims under {"alg":alg,"kid":kid}, signed with that alg by key. */
static char *mint(const char *alg, const char *kid, enum mint_key key) {
    char *header = judge_header_text(alg, kid, "");
    char *token = judge_mint_header(header, alg, mint_key(key));
    free(header);
    return token;
}

/* The same under a header that says another alg than it was signed with. */
static char *mint_as(const char *alg, const char *kid, const char *signed_alg, EVP_PKEY *key) {
    char *header = judge_header_text(alg, kid, "");
    char *token = judge_mint_header(header, signed_alg, key);
    free(header);
    return token;
}

/* --- algorithms ------------------------------------------------------------------------------ */

/* Good claims under HS256 with these bytes as the secret. */
static char *mint_hs256(const char *kid, struct span secret) {
    EVP_PKEY *key = mint_secret(secret);
    char *token = mint_as("HS256", kid, "HS256", key);
    EVP_PKEY_free(key);
    return token;
}

TEST(b2_hs256_with_the_public_key_as_secret_is_refused) {
    struct judge judge;
    judge_open_usual(&judge);
    EVP_PKEY *rsa = mint_key(MINT_RSA);
    char *pem = mint_public_pem(rsa), *modulus = NULL, *jwks;
    unsigned char *der = NULL;
    int der_len = i2d_PUBKEY(rsa, &der);
    BIGNUM *n = NULL;
    unsigned char bytes[256];
    EVP_PKEY_get_bn_param(rsa, "n", &n);
    BN_bn2binpad(n, bytes, sizeof bytes);
    modulus = mint_base64url((struct span){(char *)bytes, sizeof bytes});
    jwks = MINT_JWKS(mint_jwk(rsa, "r", NULL));

    struct span secrets[] = {
        span_of(pem),
        span_until(span_of(pem), strlen(pem) - 1), /* without the line end */
        {(char *)der, (size_t)der_len},
        {(char *)bytes, sizeof bytes},
        span_of(modulus),
        span_of(jwks),
        S(""),
        S("secret"),
    };
    ck_assert(pem[strlen(pem) - 1] == '\n');
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        judge_expect(&judge, "kid", mint_hs256("r", secrets[i]), 401, "algorithm_not_allowed");
        judge_expect(&judge, "no kid", mint_hs256(NULL, secrets[i]), 401, "algorithm_not_allowed");
    }
    struct verdict verdict = judge_token(&judge, mint_hs256("r", S("x")));
    ck_assert_str_eq(verdict.text, "the alg 'HS256' is not accepted");
    judge_expect(&judge, "unharmed", mint("RS256", "r", MINT_RSA), 200, "");
    BN_free(n);
    OPENSSL_free(der);
    free(jwks);
    free(modulus);
    free(pem);
    judge_done(&judge);
}

TEST(b3_an_oct_key_in_the_set_verifies_nothing) {
    struct judge judge;
    json_t *oct =
        json_pack("{s:s,s:s,s:s,s:s}", "kty", "oct", "k", "c2VjcmV0", "kid", "o", "alg", "HS256");
    json_t *plain = json_pack("{s:s,s:s}", "kty", "oct", "k", "c2VjcmV0");
    judge_open(&judge, "", MINT_JWKS(oct, plain, mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    judge_expect(&judge, "its kid", mint_hs256("o", S("secret")), 401, "algorithm_not_allowed");
    judge_expect(&judge, "no kid", mint_hs256(NULL, S("secret")), 401, "algorithm_not_allowed");
    judge_expect(&judge, "RS256", mint_as("RS256", "o", "RS256", mint_key(MINT_RSA)), 401,
                 "key_not_found");
    judge_expect(&judge, "unharmed", mint("RS256", "r", MINT_RSA), 200, "");
    judge_done(&judge);
}

TEST(b5_an_algorithm_that_is_not_configured_is_refused) {
    struct judge judge;
    judge_open(&judge, "algorithms: [RS256, ES256]",
               MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL),
                         mint_jwk(mint_key(MINT_P256), "e", NULL),
                         mint_jwk(mint_key(MINT_P384), "f", NULL),
                         mint_jwk(mint_key(MINT_ED25519), "d", NULL)));
    static const struct {
        const char *alg, *kid;
        enum mint_key key;
        bool accepted;
    } cases[] = {
        {"RS256", "r", MINT_RSA, true},      {"ES256", "e", MINT_P256, true},
        {"RS384", "r", MINT_RSA, false},     {"RS512", "r", MINT_RSA, false},
        {"PS256", "r", MINT_RSA, false},     {"ES384", "f", MINT_P384, false},
        {"EdDSA", "d", MINT_ED25519, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        judge_expect(&judge, cases[i].alg, mint(cases[i].alg, cases[i].kid, cases[i].key),
                     cases[i].accepted ? 200 : 401,
                     cases[i].accepted ? "" : "algorithm_not_allowed");
    judge_expect(&judge, "ES256K", mint_as("ES256K", "e", "ES256K", mint_key(MINT_P256K)), 401,
                 "algorithm_not_allowed");
    judge_done(&judge);

    /* Nor where everything is allowed that can be. */
    judge_open_usual(&judge);
    judge_expect(&judge, "ES256K", mint_as("ES256K", "e", "ES256K", mint_key(MINT_P256K)), 401,
                 "algorithm_not_allowed");
    judge_done(&judge);
}

TEST(b6_a_key_with_an_alg_verifies_that_alg_alone) {
    static const char *const names[] = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"};
    for (size_t bound = 0; bound < ARRAY_LEN(names); bound++) {
        struct judge judge;
        judge_open(&judge, "", MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", names[bound])));
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            bool good = i == bound;
            judge_expect(&judge, names[i], mint(names[i], "r", MINT_RSA), good ? 200 : 401,
                         good ? "" : "key_not_fit");
            judge_expect(&judge, names[i], mint(names[i], NULL, MINT_RSA), good ? 200 : 401,
                         good ? "" : "key_not_found");
        }
        judge_done(&judge);
    }
}

TEST(b7_a_key_of_another_type_or_curve_is_refused) {
    struct judge judge;
    judge_open(&judge, "",
               MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL),
                         mint_jwk(mint_key(MINT_P256), "e", NULL),
                         mint_jwk(mint_key(MINT_P384), "f", NULL),
                         mint_jwk(mint_key(MINT_ED25519), "fake", "ES256"),
                         mint_jwk(mint_key(MINT_ED25519_OTHER), "d", NULL)));
    static const struct {
        const char *alg, *kid;
        enum mint_key key;
        const char *reason;
    } cases[] = {
        {"ES256", "r", MINT_P256, "key_not_fit"},
        {"RS256", "e", MINT_RSA, "key_not_fit"},
        {"ES256", "f", MINT_P256, "key_not_fit"},
        {"ES384", "e", MINT_P384, "key_not_fit"},
        {"ES512", "f", MINT_P521, "key_not_fit"},
        {"EdDSA", "e", MINT_ED25519, "key_not_fit"},
        {"ES256", "d", MINT_P256, "key_not_fit"},
        {"ES256", "fake", MINT_P256, "key_not_found"},
        {"EdDSA", "fake", MINT_ED25519, "key_not_found"},
        {"ES256", "e", MINT_P256, ""},
        {"EdDSA", "d", MINT_ED25519_OTHER, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *label = scratch_text("%s %s", cases[i].alg, cases[i].kid);
        judge_expect(&judge, label, mint(cases[i].alg, cases[i].kid, cases[i].key),
                     *cases[i].reason ? 401 : 200, cases[i].reason);
        free(label);
    }
    /* Signed with P-384 and SHA-256, which the header may say but no algorithm is. */
    judge_expect(&judge, "P-384 as ES256", mint_as("ES256", "f", "ES256", mint_key(MINT_P384)), 401,
                 "key_not_fit");
    struct verdict verdict = judge_token(&judge, mint("ES256", "r", MINT_P256));
    ck_assert_str_eq(verdict.text, "the key that the token names must not be used with its alg");
    judge_done(&judge);
}

/* --- which key ------------------------------------------------------------------------------- */

/* A header with the attacker's key in it, in every way a header can carry one. */
static char *embedding(const char *kid) {
    json_t *jwk = mint_jwk(mint_key(MINT_RSA_OTHER), kid, "RS256");
    char *text = json_dumps(jwk, JSON_COMPACT);
    char *more = scratch_text("\"jwk\":%s,\"jku\":\"https://evil.example/jwks\","
                              "\"x5u\":\"https://evil.example/x5c\",\"x5c\":[\"AAAA\"]",
                              text);
    char *header = judge_header_text("RS256", kid, more);
    free(more);
    free(text);
    json_decref(jwk);
    return header;
}

TEST(b11_a_key_in_the_header_is_never_used) {
    static const struct {
        const char *kid;
        const char *reason;
    } cases[] = {{"r", "signature_invalid"}, {"x", "key_not_found"}, {NULL, "signature_invalid"}};
    struct judge judge;
    judge_open_usual(&judge);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *header = embedding(cases[i].kid);
        judge_expect(&judge, header, judge_mint_header(header, "RS256", mint_key(MINT_RSA_OTHER)),
                     401, cases[i].reason);
        /* It is not looked at, so it does not harm a token by the issuer's key either. */
        if (strcmp(cases[i].reason, "signature_invalid") == 0)
            judge_expect(&judge, header, judge_mint_header(header, "RS256", mint_key(MINT_RSA)),
                         200, "");
        free(header);
    }
    judge_done(&judge);
}

TEST(b12_a_url_in_the_header_changes_nothing) {
    static const char *const urls[] = {"\"jku\":\"https://evil.example/jwks\"",
                                       "\"x5u\":\"https://evil.example/x5c\"",
                                       "\"jku\":\"https://idp.example/jwks\"",
                                       "\"jku\":\"file:///etc/passwd\"",
                                       "\"jku\":1",
                                       "\"x5u\":{}"};
    struct judge judge;
    judge_open_usual(&judge);
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        char *header = judge_header_text("RS256", "r", urls[i]);
        struct verdict verdict = judge_expect(
            &judge, urls[i], judge_mint_header(header, "RS256", mint_key(MINT_RSA_OTHER)), 401,
            "signature_invalid");
        ck_assert(!verdict.needs_keys);
        judge_expect(&judge, urls[i], judge_mint_header(header, "RS256", mint_key(MINT_RSA)), 200,
                     "");
        free(header);
    }
    judge_done(&judge);
}

TEST(b13_an_unknown_kid_asks_for_newer_keys_of_its_issuer) {
    struct judge judge;
    judge_open_usual(&judge);
    struct verdict verdict =
        judge_expect(&judge, "unknown", mint("RS256", "x", MINT_RSA), 401, "key_not_found");
    ck_assert(verdict.needs_keys);
    ck_assert_str_eq(verdict.issuer, JUDGE_ISSUER);
    ck_assert_str_eq(verdict.text, "the issuer has no key with the kid that the token names");

    verdict =
        judge_expect(&judge, "no kid", mint("EdDSA", NULL, MINT_ED25519), 401, "key_not_found");
    ck_assert(verdict.needs_keys);
    ck_assert_str_eq(verdict.text, "the issuer has no key that fits the alg of the token");

    static const char *const others[] = {"signature_invalid", "key_not_fit", "issuer_unknown"};
    char *tokens[] = {mint("RS256", "r", MINT_RSA_OTHER), mint("ES256", "r", MINT_P256),
                      judge_mint("iss", "\"https://other.example\"")};
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
        ck_assert(!judge_expect(&judge, others[i], tokens[i], 401, others[i]).needs_keys);
    judge_done(&judge);
}

TEST(b14_many_unknown_kids_do_not_touch_the_keys) {
    struct judge judge;
    judge_open_usual(&judge);
    struct keyset *before = judge.ring->entries[0].keys;
    char *claims = judge_claims(NULL, NULL);
    for (int i = 0; i < 10000; i++) {
        char *header = scratch_text("{\"alg\":\"RS256\",\"kid\":\"k%d\"}", i);
        char *token = mint_segments(span_of(header), span_of(claims), S("signature"));
        struct verdict verdict = judge_token(&judge, token);
        ck_assert(verdict.status == 401 && verdict.needs_keys);
        free(header);
    }
    free(claims);
    ck_assert(judge.ring->entries[0].keys == before && before->count == 2);
    judge_expect(&judge, "unharmed", mint("RS256", "r", MINT_RSA), 200, "");
    judge_done(&judge);
}

TEST(b16_without_a_kid_exactly_one_key_must_fit) {
    struct judge judge;
    judge_open(&judge, "",
               MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "a", NULL),
                         mint_jwk(mint_key(MINT_RSA_OTHER), "b", NULL),
                         mint_jwk(mint_key(MINT_P256), "e", NULL)));
    judge_expect(&judge, "one", mint("ES256", NULL, MINT_P256), 200, "");
    struct verdict verdict =
        judge_expect(&judge, "two", mint("RS256", NULL, MINT_RSA), 401, "key_not_clear");
    ck_assert_str_eq(verdict.text,
                     "several keys of the issuer fit the token; it must name one by kid");
    judge_expect(&judge, "two", mint("RS256", NULL, MINT_RSA_OTHER), 401, "key_not_clear");
    judge_expect(&judge, "named", mint("RS256", "a", MINT_RSA), 200, "");
    judge_expect(&judge, "named", mint("RS256", "b", MINT_RSA_OTHER), 200, "");
    judge_expect(&judge, "crossed", mint("RS256", "a", MINT_RSA_OTHER), 401, "signature_invalid");
    judge_done(&judge);

    /* "alg" in the keys tells them apart. */
    judge_open(&judge, "",
               MINT_JWKS(mint_jwk(mint_key(MINT_RSA), NULL, "RS256"),
                         mint_jwk(mint_key(MINT_RSA_OTHER), NULL, "PS256")));
    judge_expect(&judge, "RS256", mint("RS256", NULL, MINT_RSA), 200, "");
    judge_expect(&judge, "PS256", mint("PS256", NULL, MINT_RSA_OTHER), 200, "");
    judge_expect(&judge, "RS256", mint("RS256", NULL, MINT_RSA_OTHER), 401, "signature_invalid");
    judge_done(&judge);
}

TEST(b17_a_key_that_is_not_for_verifying_is_not_used) {
    static const struct {
        const char *members;
        const char *reason;
    } cases[] = {
        {"{\"use\":\"enc\"}", "key_not_found"},
        {"{\"key_ops\":[\"encrypt\"]}", "key_not_found"},
        {"{\"key_ops\":[\"sign\"]}", "key_not_found"},
        {"{\"key_ops\":[]}", "key_not_found"},
        {"{\"use\":\"enc\",\"key_ops\":[\"verify\"]}", "key_not_found"},
        {"{\"use\":\"sig\",\"key_ops\":[\"encrypt\"]}", "key_not_found"},
        {"{\"use\":\"sig\"}", ""},
        {"{\"key_ops\":[\"verify\"]}", ""},
        {"{\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"]}", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct judge judge;
        json_t *jwk = mint_jwk(mint_key(MINT_RSA), "r", NULL);
        json_t *members = json_loads(cases[i].members, 0, NULL);
        json_object_update(jwk, members);
        json_decref(members);
        judge_open(&judge, "", MINT_JWKS(jwk, mint_jwk(mint_key(MINT_P256), "e", NULL)));
        judge_expect(&judge, cases[i].members, mint("RS256", "r", MINT_RSA),
                     *cases[i].reason ? 401 : 200, cases[i].reason);
        judge_expect(&judge, cases[i].members, mint("ES256", "e", MINT_P256), 200, "");
        judge_done(&judge);
    }
}

TEST(b18_a_key_of_1024_bits_is_not_used) {
    struct judge judge;
    judge_open(&judge, "",
               MINT_JWKS(mint_jwk(mint_key(MINT_RSA_1024), "weak", NULL),
                         mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    judge_expect(&judge, "weak", mint("RS256", "weak", MINT_RSA_1024), 401, "key_not_found");
    judge_expect(&judge, "no kid", mint("RS256", NULL, MINT_RSA_1024), 401, "signature_invalid");
    judge_expect(&judge, "unharmed", mint("RS256", "r", MINT_RSA), 200, "");
    judge_done(&judge);
}

/* What is told before the signature is checked would be told to anybody. */
TEST(before_the_signature_is_checked_nothing_of_the_token_is_quoted) {
    static const struct {
        const char *header;
        const char *claim, *raw;
        const char *reason;
    } cases[] = {
        {"{\"alg\":\"RS256\",\"kid\":\"MARK\"}", "x", "1", "key_not_found"},
        {"{\"alg\":\"ES256\",\"kid\":\"r\",\"x\":\"MARK\"}", "x", "1", "key_not_fit"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "sub", "\"MARK\"", "signature_invalid"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "exp", "\"MARK\"", "signature_invalid"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "iss", "\"https://MARK\"", "issuer_unknown"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "iss", "[\"MARK\"]", "claim_missing"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "x", "MARK", "token_malformed"},
        {"{\"alg\":\"RS256\",\"typ\":\"MARK\"}", "x", "1", "type_not_accepted"},
        {"{\"alg\":\"RS256\",\"crit\":[\"MARK\"]}", "x", "1", "header_not_accepted"},
        {"{\"alg\":\"RS256\",\"kid\":[\"MARK\"]}", "x", "1", "token_malformed"},
        {"{\"alg\":\"RS256\",\"kid\":MARK}", "x", "1", "token_malformed"},
    };
    struct judge judge;
    judge_open_usual(&judge);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *claims = judge_claims(cases[i].claim, cases[i].raw, NULL);
        char *token = mint_token(cases[i].header, claims, "RS256", mint_key(MINT_RSA_OTHER));
        struct verdict verdict = judge_expect(&judge, cases[i].header, token, 401, cases[i].reason);
        ck_assert_msg(!strstr(verdict.text, "MARK"), "%s", verdict.text);
        free(claims);
    }
    judge_done(&judge);
}

/* --- issuers and the age of their keys ------------------------------------------------------- */

#define TWO_ISSUERS                                                                                \
    "issuers:\n"                                                                                   \
    "  - {issuer: \"https://a.example\", jwks_uri: \"https://a.example/jwks\", audiences: "        \
    "[api]}\n"                                                                                     \
    "  - {issuer: \"https://b.example\", jwks_uri: \"https://b.example/jwks\", audiences: "        \
    "[api]}\n"                                                                                     \
    "routes: [{path: /, respond: identity}]\n"

TEST(d14_keys_of_one_issuer_never_verify_tokens_of_another) {
    static const struct {
        const char *iss;
        enum mint_key key;
        const char *reason;
    } cases[] = {
        {"\"https://a.example\"", MINT_RSA, ""},
        {"\"https://b.example\"", MINT_RSA_OTHER, ""},
        {"\"https://a.example\"", MINT_RSA_OTHER, "signature_invalid"},
        {"\"https://b.example\"", MINT_RSA, "signature_invalid"},
    };
    struct judge judge;
    char *jwks[] = {MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "same", NULL)),
                    MINT_JWKS(mint_jwk(mint_key(MINT_RSA_OTHER), "same", NULL),
                              mint_jwk(mint_key(MINT_P256), "only-b", NULL))};
    judge_open_yaml(&judge, TWO_ISSUERS, jwks, ARRAY_LEN(jwks));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int kid = 0; kid < 2; kid++) {
            char *claims = judge_claims("iss", cases[i].iss, NULL);
            char *header = judge_header_text("RS256", kid ? "same" : NULL, "");
            judge_expect(&judge, cases[i].iss,
                         mint_token(header, claims, "RS256", mint_key(cases[i].key)),
                         *cases[i].reason ? 401 : 200, cases[i].reason);
            free(header);
            free(claims);
        }
    char *claims = judge_claims("iss", "\"https://a.example\"", NULL);
    judge_expect(
        &judge, "a kid of the other",
        mint_token("{\"alg\":\"ES256\",\"kid\":\"only-b\"}", claims, "ES256", mint_key(MINT_P256)),
        401, "key_not_found");
    free(claims);
    judge_done(&judge);
}

TEST(without_keys_or_with_stale_ones_the_fault_is_ours) {
    struct judge judge;
    judge_open(&judge, "", NULL);
    struct verdict verdict =
        judge_expect(&judge, "none", mint("RS256", "r", MINT_RSA), 503, "keys_unavailable");
    ck_assert(verdict.needs_keys);
    ck_assert_str_eq(verdict.text, "the issuer's keys could not be fetched yet");
    /* What is wrong without any key is still told. */
    judge_expect(&judge, "alg",
                 judge_mint_header("{\"alg\":\"none\"}", "RS256", mint_key(MINT_RSA)), 401,
                 "algorithm_not_allowed");
    judge_expect(&judge, "iss", judge_mint("iss", "\"https://other.example\""), 401,
                 "issuer_unknown");
    judge_done(&judge);

    judge_open_usual(&judge);
    judge.now_ms = judge.ring->entries[0].stale_at_ms - 1;
    judge_expect(&judge, "last moment", mint("RS256", "r", MINT_RSA), 200, "");
    judge.now_ms++;
    verdict = judge_expect(&judge, "stale", mint("RS256", "r", MINT_RSA), 503, "keys_unavailable");
    ck_assert(verdict.needs_keys);
    ck_assert_str_eq(verdict.text,
                     "the issuer's keys are too old to be trusted and could not be refreshed");
    judge_done(&judge);
}
