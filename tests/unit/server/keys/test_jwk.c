#include "server/keys/jwk.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define RSA_ALL                                                                                    \
    (ALG_BIT(ALG_RS256) | ALG_BIT(ALG_RS384) | ALG_BIT(ALG_RS512) | ALG_BIT(ALG_PS256) |           \
     ALG_BIT(ALG_PS384) | ALG_BIT(ALG_PS512))

/* A good JWK, one member taken away and others set; NULL, "{}" change nothing. */
static json_t *changed(enum mint_key which, const char *without, const char *members) {
    json_t *jwk = mint_jwk(mint_key(which), NULL, NULL);
    json_t *more = json_loads(members, 0, NULL);
    ck_assert_msg(json_is_object(more), "%s", members);
    if (without) ck_assert_int_eq(json_object_del(jwk, without), 0);
    json_object_update(jwk, more);
    json_decref(more);
    return jwk;
}

/* Parse, and drop jwk. why NULL: must be accepted; the caller then releases *ret. */
static void parse(json_t *jwk, const char *label, const char *why, struct key *ret) {
    struct key key = {.kid = (char *)1};
    struct err_text err = {""};
    int r = jwk_parse(jwk, &key, &err);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    json_decref(jwk);
    if (!why) {
        ck_assert_msg(r == 0, "%s: %s", label, err.text);
        *ret = key;
        return;
    }
    ck_assert_msg(r == ERR_SYNTAX && strcmp(err.text, why) == 0, "%s: %d %s", label, r, err.text);
    ck_assert(key.kid == (char *)1); /* untouched */
}

static void expect_refused(json_t *jwk, const char *label, const char *why) {
    parse(jwk, label, why, NULL);
}

static struct key expect_accepted(json_t *jwk, const char *label) {
    struct key key;
    parse(jwk, label, NULL, &key);
    return key;
}

struct jwk_case {
    const char *without;
    const char *members;
    const char *why;
};

static void expect_cases(enum mint_key which, const struct jwk_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++)
        expect_refused(changed(which, cases[i].without, cases[i].members), cases[i].members,
                       cases[i].why);
    struct key key = expect_accepted(changed(which, NULL, "{}"), "unharmed");
    key_done(&key);
}

TEST(f3_what_is_no_object_is_refused) {
    static const char *const texts[] = {"null", "1", "true", "\"RSA\"", "[]", "[{}]"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        expect_refused(json_loads(texts[i], JSON_DECODE_ANY, NULL), texts[i],
                       "is not a JSON object");
    expect_refused(json_object(), "{}", "lacks a \"kty\" that is a string");
}

#define KTY "lacks a \"kty\" that is a string"
#define OTHER_KTY "has a \"kty\" other than RSA, EC and OKP"
#define USE "has a \"use\" other than \"sig\""
#define OPS "has \"key_ops\" without \"verify\""
#define ALG "has an \"alg\" that is no signature algorithm of its type of key"

TEST(f3_members_that_every_key_has) {
    static const struct jwk_case cases[] = {
        {"kty", "{}", KTY},
        {NULL, "{\"kty\":null}", KTY},
        {NULL, "{\"kty\":1}", KTY},
        {NULL, "{\"kty\":[\"RSA\"]}", KTY},
        {NULL, "{\"kty\":\"\"}", OTHER_KTY},
        {NULL, "{\"kty\":\"rsa\"}", OTHER_KTY},
        {NULL, "{\"kty\":\"RSA \"}", OTHER_KTY},
        {NULL, "{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}", OTHER_KTY},
        {NULL, "{\"kty\":\"AKP\"}", OTHER_KTY},
        {NULL, "{\"use\":\"enc\"}", USE},
        {NULL, "{\"use\":\"\"}", USE},
        {NULL, "{\"use\":\"SIG\"}", USE},
        {NULL, "{\"use\":null}", USE},
        {NULL, "{\"use\":1}", USE},
        {NULL, "{\"use\":[\"sig\"]}", USE},
        {NULL, "{\"key_ops\":[]}", OPS},
        {NULL, "{\"key_ops\":[\"encrypt\"]}", OPS},
        {NULL, "{\"key_ops\":[\"sign\"]}", OPS},
        {NULL, "{\"key_ops\":[\"Verify\"]}", OPS},
        {NULL, "{\"key_ops\":\"verify\"}", OPS},
        {NULL, "{\"key_ops\":null}", OPS},
        {NULL, "{\"key_ops\":{\"verify\":1}}", OPS},
        {NULL, "{\"key_ops\":[1,[\"verify\"]]}", OPS},
        {NULL, "{\"use\":\"enc\",\"key_ops\":[\"verify\"]}", USE},
        {NULL, "{\"alg\":\"none\"}", ALG},
        {NULL, "{\"alg\":\"HS256\"}", ALG},
        {NULL, "{\"alg\":\"ES256\"}", ALG},
        {NULL, "{\"alg\":\"EdDSA\"}", ALG},
        {NULL, "{\"alg\":\"RSA-OAEP\"}", ALG},
        {NULL, "{\"alg\":\"rs256\"}", ALG},
        {NULL, "{\"alg\":\"\"}", ALG},
        {NULL, "{\"alg\":null}", ALG},
        {NULL, "{\"alg\":256}", ALG},
        {NULL, "{\"kid\":1}", "has a \"kid\" that is not a string"},
        {NULL, "{\"kid\":null}", "has a \"kid\" that is not a string"},
        {NULL, "{\"kid\":{}}", "has a \"kid\" that is not a string"},
    };
    expect_cases(MINT_RSA, cases, ARRAY_LEN(cases));
}

TEST(f3_a_kid_has_a_bounded_length) {
    for (size_t len = 1024; len <= 1025; len++) {
        char *kid = calloc(1, len + 1);
        memset(kid, 'k', len);
        json_t *jwk = mint_jwk(mint_key(MINT_P256), kid, NULL);
        if (len == 1025) {
            expect_refused(jwk, "1025", "has a \"kid\" of more than 1024 bytes");
        } else {
            struct key key = expect_accepted(jwk, "1024");
            ck_assert_str_eq(key.kid, kid);
            key_done(&key);
        }
        free(kid);
    }
}

#define EXPONENT "is an RSA key with an unusable public exponent"

TEST(f3_rsa_members) {
    static const struct jwk_case cases[] = {
        {"n", "{}", "lacks \"n\""},
        {"e", "{}", "lacks \"e\""},
        {NULL, "{\"n\":1}", "has a \"n\" that is not a string"},
        {NULL, "{\"n\":null}", "has a \"n\" that is not a string"},
        {NULL, "{\"e\":65537}", "has a \"e\" that is not a string"},
        {NULL, "{\"n\":\"\"}", "has a \"n\" of 0 bytes, which is not a length it can have"},
        {NULL, "{\"e\":\"\"}", "has a \"e\" of 0 bytes, which is not a length it can have"},
        {NULL, "{\"n\":\"AQAB=\"}", "has a \"n\" that is not base64url"},
        {NULL, "{\"n\":\"A+/B\"}", "has a \"n\" that is not base64url"},
        {NULL, "{\"n\":\"AQ AB\"}", "has a \"n\" that is not base64url"},
        {NULL, "{\"e\":\"AQABA\"}", "has a \"e\" that is not base64url"},
        {NULL, "{\"e\":\"AR\"}", "has a \"e\" that is not base64url"},
        {NULL, "{\"e\":\"AQ\"}", EXPONENT},
        {NULL, "{\"e\":\"AA\"}", EXPONENT},
        {NULL, "{\"e\":\"AAAB\"}", EXPONENT},
        {NULL, "{\"e\":\"Ag\"}", EXPONENT},
        {NULL, "{\"e\":\"AQAC\"}", EXPONENT},
        {NULL, "{\"e\":\"AQAAAAAAAAAB\"}", EXPONENT},
        {NULL, "{\"n\":\"AQAB\"}", "is an RSA key of 17 bits; 2048 to 8192 are accepted"},
    };
    static const char *const good[] = {"{\"e\":\"Aw\"}", "{\"e\":\"AQAB\"}", "{\"e\":\"AAEAAQ\"}",
                                       "{\"e\":\"_________38\"}"};
    expect_cases(MINT_RSA, cases, ARRAY_LEN(cases));
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct key key = expect_accepted(changed(MINT_RSA, NULL, good[i]), good[i]);
        key_done(&key);
    }
    expect_refused(mint_jwk(mint_key(MINT_RSA_1024), NULL, NULL), "1024",
                   "is an RSA key of 1024 bits; 2048 to 8192 are accepted");
}

/* A modulus of so many bytes: the first and last one as given, between them nothing special. */
static json_t *with_modulus(size_t len, unsigned char first, unsigned char last) {
    unsigned char *bytes = malloc(len);
    for (size_t i = 0; i < len; i++) bytes[i] = (unsigned char)(i * 151 + 7);
    bytes[0] = first;
    bytes[len - 1] = last;
    char *n = mint_base64url((struct span){(char *)bytes, len});
    json_t *jwk = mint_jwk(mint_key(MINT_RSA), NULL, NULL);
    json_object_set_new(jwk, "n", json_string(n));
    free(n);
    free(bytes);
    return jwk;
}

TEST(f3_rsa_keys_have_2048_to_8192_bits_and_an_odd_modulus) {
    static const struct {
        size_t len;
        unsigned char first, last;
        const char *why;
    } cases[] = {
        {256, 0x80, 1, NULL},
        {256, 0x7f, 1, "is an RSA key of 2047 bits; 2048 to 8192 are accepted"},
        {257, 0x01, 1, NULL},
        {1024, 0xff, 1, NULL},
        {1025, 0x01, 1, "is an RSA key of 8193 bits; 2048 to 8192 are accepted"},
        {1025, 0x00, 1, NULL},
        {2048, 0x80, 1, "is an RSA key of 16384 bits; 2048 to 8192 are accepted"},
        {2100, 0x80, 1, "has a \"n\" that is too long"},
        {65536, 0x80, 1, "has a \"n\" that is too long"},
        {256, 0x80, 2, "is an RSA key with an even modulus"},
        {256, 0x80, 0, "is an RSA key with an even modulus"},
        {128, 0x80, 1, "is an RSA key of 1024 bits; 2048 to 8192 are accepted"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *label = scratch_text("case %zu", i);
        struct key key;
        parse(with_modulus(cases[i].len, cases[i].first, cases[i].last), label, cases[i].why, &key);
        if (!cases[i].why) key_done(&key);
        free(label);
    }
}

/*
 * A modulus as the flawed library made them: a power of 65537 modulo the product of the first
 * primes, and a multiple of that product on top.
 */
static json_t *with_roca_modulus(bool flawed) {
    static const BN_ULONG primes[] = {
        2,  3,  5,  7,  11, 13, 17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,
        71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163};
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *product = BN_new(), *n = BN_new(), *base = BN_new(), *exponent = BN_new();
    BN_one(product);
    for (size_t i = 0; i < ARRAY_LEN(primes); i++) BN_mul_word(product, primes[i]);
    BN_set_word(base, 65537);
    BN_set_word(exponent, 123456789);
    BN_mod_exp(n, base, exponent, product, ctx);
    BN_one(base);
    BN_lshift(base, base, 2048 - BN_num_bits(product)); /* the product times this: 2048 bits */
    BN_mul(base, base, product, ctx);
    BN_add(n, n, base);
    if (!flawed) BN_add_word(n, 2);

    unsigned char bytes[512];
    int len = BN_bn2bin(n, bytes);
    char *text = mint_base64url((struct span){(char *)bytes, (size_t)len});
    json_t *jwk = mint_jwk(mint_key(MINT_RSA), NULL, NULL);
    json_object_set_new(jwk, "n", json_string(text));
    free(text);
    BN_free(product);
    BN_free(n);
    BN_free(base);
    BN_free(exponent);
    BN_CTX_free(ctx);
    return jwk;
}

TEST(f3_an_rsa_key_with_the_roca_fingerprint_is_refused) {
    expect_refused(with_roca_modulus(true), "flawed",
                   "is an RSA key with the ROCA weakness (CVE-2017-15361)");
    struct key key = expect_accepted(with_roca_modulus(false), "sound");
    key_done(&key);
}

#define CURVE "is on a curve that is not accepted"
#define POINT "is an EC key whose point is not on its curve"

TEST(f3_ec_members) {
    static const struct jwk_case cases[] = {
        {"crv", "{}", "lacks a \"crv\" that is a string"},
        {NULL, "{\"crv\":1}", "lacks a \"crv\" that is a string"},
        {NULL, "{\"crv\":null}", "lacks a \"crv\" that is a string"},
        {NULL, "{\"crv\":\"\"}", CURVE},
        {NULL, "{\"crv\":\"p-256\"}", CURVE},
        {NULL, "{\"crv\":\"P-224\"}", CURVE},
        {NULL, "{\"crv\":\"secp256k1\"}", CURVE},
        {NULL, "{\"crv\":\"P-256K\"}", CURVE},
        {NULL, "{\"crv\":\"prime256v1\"}", CURVE},
        {NULL, "{\"crv\":\"Ed25519\"}", CURVE},
        {NULL, "{\"crv\":\"P-384\"}", "has a \"x\" of 32 bytes where its curve has 48"},
        {NULL, "{\"crv\":\"P-521\"}", "has a \"x\" of 32 bytes where its curve has 66"},
        {"x", "{}", "lacks \"x\""},
        {"y", "{}", "lacks \"y\""},
        {NULL, "{\"x\":1}", "has a \"x\" that is not a string"},
        {NULL, "{\"y\":[]}", "has a \"y\" that is not a string"},
        {NULL, "{\"x\":\"\"}", "has a \"x\" of 0 bytes, which is not a length it can have"},
        {NULL, "{\"x\":\"!\"}", "has a \"x\" that is not base64url"},
        {NULL, "{\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
         "has a \"y\" of 31 bytes where its curve has 32"},
        {NULL, "{\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
         "has a \"y\" of 33 bytes where its curve has 32"},
        {NULL,
         "{\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
         "AAAAAAAAAA\"}",
         "has a \"x\" of 67 bytes, which is not a length it can have"},
        {NULL,
         "{\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
         "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
         POINT},
        {NULL, "{\"x\":\"__________________________________________8\"}", POINT},
        {NULL, "{\"y\":\"__________________________________________8\"}", POINT},
        {NULL, "{\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}", POINT},
        {NULL, "{\"alg\":\"ES384\"}", ALG},
        {NULL, "{\"alg\":\"ES512\"}", ALG},
        {NULL, "{\"alg\":\"ES521\"}", ALG},
        {NULL, "{\"alg\":\"ES256K\"}", ALG},
        {NULL, "{\"alg\":\"RS256\"}", ALG},
        {NULL, "{\"alg\":\"EdDSA\"}", ALG},
        {NULL, "{\"alg\":\"ECDH-ES\"}", ALG},
        {NULL, "{\"kty\":\"RSA\"}", "lacks \"n\""},
        {NULL, "{\"kty\":\"OKP\"}", CURVE},
    };
    expect_cases(MINT_P256, cases, ARRAY_LEN(cases));
    expect_refused(mint_jwk(mint_key(MINT_P256K), NULL, NULL), "secp256k1", CURVE);
}

/* A coordinate is as wide as its field, even where it begins with zero bytes. */
TEST(f3_ec_coordinates_are_neither_cut_nor_padded) {
    static const enum mint_key keys[] = {MINT_P256, MINT_P384, MINT_P521};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        for (int padded = 0; padded < 2; padded++) {
            json_t *jwk = mint_jwk(mint_key(keys[i]), NULL, NULL);
            BIGNUM *x = NULL;
            unsigned char bytes[80];
            ck_assert_int_eq(EVP_PKEY_get_bn_param(mint_key(keys[i]), "qx", &x), 1);
            int width = (EVP_PKEY_get_bits(mint_key(keys[i])) + 7) / 8 + (padded ? 1 : 0);
            ck_assert_int_eq(BN_bn2binpad(x, bytes, width), width);
            struct span cut = {(char *)bytes + !padded, (size_t)(width - !padded)};
            char *text = mint_base64url(cut);
            json_object_set_new(jwk, "x", json_string(text));
            char *why = keys[i] == MINT_P521 && padded
                            ? strdup("has a \"x\" of 67 bytes, which is not a length it can have")
                            : scratch_text("has a \"x\" of %zu bytes where its curve has %zu",
                                           cut.len, padded ? cut.len - 1 : cut.len + 1);
            expect_refused(jwk, "width", why);
            free(why);
            free(text);
            BN_free(x);
        }
}

TEST(f3_every_bit_of_a_point_matters) {
    for (int bit = 0; bit < 256; bit += 5) {
        json_t *jwk = mint_jwk(mint_key(MINT_P256), NULL, NULL);
        BIGNUM *y = NULL;
        unsigned char bytes[32];
        EVP_PKEY_get_bn_param(mint_key(MINT_P256), "qy", &y);
        BN_bn2binpad(y, bytes, 32);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        char *text = mint_base64url((struct span){(char *)bytes, 32});
        json_object_set_new(jwk, "y", json_string(text));
        expect_refused(jwk, "y", POINT);
        free(text);
        BN_free(y);
    }
}

TEST(f3_okp_members) {
    static const struct jwk_case cases[] = {
        {"crv", "{}", "lacks a \"crv\" that is a string"},
        {NULL, "{\"crv\":\"X25519\"}", CURVE},
        {NULL, "{\"crv\":\"Ed448\"}", CURVE},
        {NULL, "{\"crv\":\"ed25519\"}", CURVE},
        {NULL, "{\"crv\":\"P-256\"}", CURVE},
        {"x", "{}", "lacks \"x\""},
        {NULL, "{\"x\":1}", "has a \"x\" that is not a string"},
        {NULL, "{\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
         "has a \"x\" of 31 bytes where its curve has 32"},
        {NULL, "{\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
         "has a \"x\" of 33 bytes where its curve has 32"},
        {NULL, "{\"alg\":\"ES256\"}", ALG},
        {NULL, "{\"alg\":\"RS256\"}", ALG},
        {NULL, "{\"alg\":\"EDDSA\"}", ALG},
        {NULL, "{\"alg\":\"ECDH-ES\"}", ALG},
        {NULL, "{\"kty\":\"EC\"}", CURVE},
    };
    expect_cases(MINT_ED25519, cases, ARRAY_LEN(cases));
    expect_refused(mint_jwk(mint_key(MINT_X25519), NULL, NULL), "X25519", CURVE);
    expect_refused(mint_jwk(mint_key(MINT_ED448), NULL, NULL), "Ed448", CURVE);
}

TEST(a_key_is_bound_to_the_algorithms_of_its_type_or_to_its_own) {
    static const struct {
        enum mint_key which;
        const char *members;
        algorithm_set expected;
    } cases[] = {
        {MINT_RSA, "{}", RSA_ALL},
        {MINT_RSA, "{\"use\":\"sig\"}", RSA_ALL},
        {MINT_RSA, "{\"key_ops\":[\"verify\"]}", RSA_ALL},
        {MINT_RSA, "{\"key_ops\":[1,\"sign\",\"verify\"]}", RSA_ALL},
        {MINT_RSA, "{\"alg\":\"RS256\"}", ALG_BIT(ALG_RS256)},
        {MINT_RSA, "{\"alg\":\"PS384\"}", ALG_BIT(ALG_PS384)},
        {MINT_RSA, "{\"x\":1,\"y\":2,\"crv\":3,\"k\":4}", RSA_ALL},
        {MINT_RSA_4096, "{\"alg\":\"RS512\"}", ALG_BIT(ALG_RS512)},
        {MINT_P256, "{}", ALG_BIT(ALG_ES256)},
        {MINT_P256, "{\"alg\":\"ES256\"}", ALG_BIT(ALG_ES256)},
        {MINT_P384, "{}", ALG_BIT(ALG_ES384)},
        {MINT_P521, "{\"alg\":\"ES512\"}", ALG_BIT(ALG_ES512)},
        {MINT_ED25519, "{}", ALG_BIT(ALG_EDDSA)},
        {MINT_ED25519, "{\"alg\":\"EdDSA\"}", ALG_BIT(ALG_EDDSA)},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct key key =
            expect_accepted(changed(cases[i].which, NULL, cases[i].members), cases[i].members);
        ck_assert_uint_eq(key.algorithms, cases[i].expected);
        ck_assert(EVP_PKEY_eq(key.pkey, mint_key(cases[i].which)) == 1);
        ck_assert(!key.kid && !key.had_private);
        key_done(&key);
        ck_assert(!key.pkey);
    }
}

TEST(f7_key_material_comes_from_the_jwk_and_never_from_a_certificate) {
    static const char *const certificates[] = {
        "{\"x5c\":[\"MIIB\"],\"x5t\":\"AAAA\",\"x5t#S256\":\"AAAA\",\"x5u\":\"https://e.example\"}",
        "{\"x5c\":[]}", "{\"x5c\":\"MIIB\"}", "{\"x5c\":null,\"x5t\":1}"};
    static const enum mint_key keys[] = {MINT_RSA, MINT_P256, MINT_ED25519};
    for (size_t k = 0; k < ARRAY_LEN(keys); k++)
        for (size_t i = 0; i < ARRAY_LEN(certificates); i++) {
            struct key key =
                expect_accepted(changed(keys[k], NULL, certificates[i]), certificates[i]);
            ck_assert(EVP_PKEY_eq(key.pkey, mint_key(keys[k])) == 1);
            key_done(&key);
        }
    expect_refused(changed(MINT_RSA, "n", certificates[0]), "no n", "lacks \"n\"");
}

TEST(f6_private_members_are_told_and_not_read) {
    static const char *const members[] = {
        "{\"d\":\"AQAB\",\"p\":\"AQAB\",\"q\":\"AQAB\",\"dp\":\"AQ\",\"dq\":\"AQ\",\"qi\":\"AQ\"}",
        "{\"d\":1}", "{\"d\":null}"};
    static const enum mint_key keys[] = {MINT_RSA, MINT_P256, MINT_ED25519};
    for (size_t k = 0; k < ARRAY_LEN(keys); k++)
        for (size_t i = 0; i < ARRAY_LEN(members); i++) {
            struct key key = expect_accepted(changed(keys[k], NULL, members[i]), members[i]);
            BIGNUM *secret = NULL;
            ck_assert(key.had_private);
            ck_assert_int_eq(EVP_PKEY_get_bn_param(key.pkey, "d", &secret), 0);
            ck_assert_int_eq(EVP_PKEY_get_bn_param(key.pkey, "priv", &secret), 0);
            ERR_clear_error();
            key_done(&key);
        }
}

TEST(f6_public_members_are_copied_and_no_others) {
    json_t *jwk =
        json_loads("{\"kty\":\"RSA\",\"kid\":\"k\",\"use\":\"sig\",\"key_ops\":[\"verify\"],"
                   "\"alg\":\"RS256\",\"n\":\"1\",\"e\":\"2\",\"crv\":\"3\",\"x\":\"4\","
                   "\"y\":\"5\",\"d\":\"s\",\"p\":\"s\",\"q\":\"s\",\"dp\":\"s\",\"dq\":\"s\","
                   "\"qi\":\"s\",\"oth\":[\"s\"],\"k\":\"s\",\"x5c\":[\"c\"],\"x5u\":\"u\","
                   "\"x5t\":\"t\",\"priv\":\"s\",\"unknown\":\"s\"}",
                   0, NULL);
    json_t *expected = json_loads(
        "{\"kty\":\"RSA\",\"kid\":\"k\",\"use\":\"sig\",\"key_ops\":[\"verify\"],"
        "\"alg\":\"RS256\",\"n\":\"1\",\"e\":\"2\",\"crv\":\"3\",\"x\":\"4\",\"y\":\"5\"}",
        0, NULL);
    json_t *copy = jwk_public_members(jwk);
    ck_assert(json_equal(copy, expected));
    json_decref(jwk); /* the copy stands alone */
    ck_assert_str_eq(json_string_value(json_object_get(copy, "kid")), "k");
    json_decref(copy);
    json_decref(expected);
}
