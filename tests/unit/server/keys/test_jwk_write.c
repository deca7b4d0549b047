#include "server/keys/jwk_write.h"

#include <openssl/err.h>
#include <stdlib.h>

#include "common/json.h"
#include "server/keys/jwk.h"
#include "server/token/jws.h"
#include "server/token/verify.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

/* --- thumbprints ----------------------------------------------------------------------------- */

/* RFC 7638 section 3.1 and RFC 8037 appendix A.3. */
#define RFC7638_N                                                                                  \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"      \
    "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"     \
    "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-"            \
    "bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
#define RFC7638_THUMBPRINT "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
#define RFC8037_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define RFC8037_THUMBPRINT "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

static void expect_thumbprint(const char *jwk_text, const char *thumbprint) {
    char text[JWK_THUMBPRINT_LEN + 1] = "";
    json_t *jwk = json_loads(jwk_text, JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(jwk);
    ck_assert_msg(jwk_thumbprint(jwk, text) == (thumbprint != NULL), "%s", jwk_text);
    if (thumbprint) ck_assert_str_eq(text, thumbprint);
    json_decref(jwk);
}

TEST(thumbprints_are_those_of_the_rfcs) {
    expect_thumbprint("{\"kty\":\"RSA\",\"n\":\"" RFC7638_N
                      "\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}",
                      RFC7638_THUMBPRINT);
    expect_thumbprint("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" RFC8037_X "\"}",
                      RFC8037_THUMBPRINT);
}

TEST(a_thumbprint_depends_on_nothing_but_the_public_key) {
    expect_thumbprint("{\"use\":\"sig\",\"e\":\"AQAB\",\"d\":\"x\",\"x5t\":\"y\",\"kid\":1,"
                      "\"n\":\"" RFC7638_N "\",\"kty\":\"RSA\",\"crv\":\"P-256\"}",
                      RFC7638_THUMBPRINT);
    expect_thumbprint("{\"y\":\"not of an OKP\",\"x\":\"" RFC8037_X
                      "\",\"crv\":\"Ed25519\",\"kty\":\"OKP\"}",
                      RFC8037_THUMBPRINT);
}

TEST(the_thumbprint_of_an_ec_key_is_that_of_its_canonical_text) {
    unsigned char digest[32];
    json_t *jwk = mint_jwk(mint_key(MINT_P256), "any", "ES256");
    char *canonical = scratch_text("{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}",
                                   json_string_value(json_object_get(jwk, "x")),
                                   json_string_value(json_object_get(jwk, "y")));
    ck_assert_int_eq(EVP_Digest(canonical, strlen(canonical), digest, NULL, EVP_sha256(), NULL), 1);
    char *thumbprint = mint_base64url((struct span){(const char *)digest, sizeof digest});
    char *text = json_dumps(jwk, 0);
    expect_thumbprint(text, thumbprint);
    free(text);
    free(thumbprint);
    free(canonical);
    json_decref(jwk);
}

TEST(without_a_member_of_the_key_there_is_no_thumbprint) {
    static const char *const texts[] = {
        "{}",
        "[]",
        "null",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":1,\"e\":\"AQAB\"}",
        "{\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"rsa\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"oct\",\"k\":\"AQAB\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\"}",
        "{\"kty\":\"EC\",\"x\":\"AQAB\",\"y\":\"AQAB\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) expect_thumbprint(texts[i], NULL);
    expect_thumbprint("{\"kty\":\"RSA\",\"n\":\"" RFC7638_N "\",\"e\":\"AQAB\"}",
                      RFC7638_THUMBPRINT);
}

/* --- JWKs ------------------------------------------------------------------------------------ */

static const struct {
    enum mint_key key;
    enum algorithm algorithm;
} pairs[] = {
    {MINT_RSA, ALG_RS256},     {MINT_RSA, ALG_PS512},  {MINT_RSA_4096, ALG_RS512},
    {MINT_P256, ALG_ES256},    {MINT_P384, ALG_ES384}, {MINT_P521, ALG_ES512},
    {MINT_ED25519, ALG_EDDSA},
};

TEST(a_written_jwk_is_the_public_key_and_nothing_else) {
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        const char *alg = algorithm_info(pairs[i].algorithm)->name;
        json_t *expected = mint_jwk(mint_key(pairs[i].key), "k", alg);
        json_object_set_new(expected, "use", json_string("sig"));
        json_t *jwk = jwk_write(mint_key(pairs[i].key), pairs[i].algorithm, "k");
        ck_assert_msg(json_equal(jwk, expected), "%s", alg);
        json_decref(expected);
        json_decref(jwk);
    }
}

TEST(a_written_jwk_is_read_as_the_key_that_it_was) {
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct key key;
        struct err_text why = {""};
        char thumbprint[JWK_THUMBPRINT_LEN + 1];
        json_t *jwk = jwk_write(mint_key(pairs[i].key), pairs[i].algorithm, NULL);
        ck_assert_msg(jwk_parse(jwk, &key, &why) == 0, "%s", why.text);
        ck_assert_int_eq(EVP_PKEY_eq(key.pkey, mint_key(pairs[i].key)), 1);
        ck_assert_uint_eq(key.algorithms, ALG_BIT(pairs[i].algorithm));
        ck_assert(!key.had_private);
        ck_assert(jwk_thumbprint(jwk, thumbprint));
        ck_assert_str_eq(key.kid, thumbprint);
        key_done(&key);
        json_decref(jwk);
    }
}

/* x or y starts with a zero byte in one of 128 keys. */
TEST(coordinates_have_their_full_width) {
    for (int i = 0; i < 1000; i++) {
        EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        json_t *jwk = jwk_write(pkey, ALG_ES256, "k");
        ck_assert_uint_eq(json_string_length(json_object_get(jwk, "x")), 43);
        ck_assert_uint_eq(json_string_length(json_object_get(jwk, "y")), 43);
        json_decref(jwk);
        EVP_PKEY_free(pkey);
    }
}

TEST(a_key_is_written_only_for_algorithms_of_its_type_and_curve) {
    for (size_t i = 0; i < MINT_KEY_COUNT; i++) {
        if (i == MINT_RSA_1024) continue; /* weak, which is for the reader to say */
        for (int algorithm = 0; algorithm < ALG_COUNT; algorithm++) {
            const struct algorithm_info *info = algorithm_info((enum algorithm)algorithm);
            EVP_PKEY *pkey = mint_key((enum mint_key)i);
            json_t *plain = mint_jwk(pkey, NULL, info->name);
            struct key key = {0};
            bool fits = jwk_parse(plain, &key, NULL) == 0;
            json_t *jwk = jwk_write(pkey, (enum algorithm)algorithm, NULL);
            ck_assert_msg((jwk != NULL) == fits, "key %zu, %s", i, info->name);
            ck_assert_uint_eq(ERR_peek_error(), 0);
            json_decref(jwk);
            json_decref(plain);
            key_done(&key);
        }
    }
}

/* --- signing --------------------------------------------------------------------------------- */

static void expect_verified(enum mint_key which, enum algorithm algorithm, const char *token) {
    struct jws jws;
    struct refusal refusal;
    ck_assert_ptr_nonnull(token);
    ck_assert_msg(jws_parse(span_of(token), &jws, &refusal), "%s", refusal.text);
    struct key key = {.pkey = mint_key(which), .algorithms = ALG_BIT(algorithm)};
    ck_assert_int_eq(jws.algorithm, algorithm);
    ck_assert(verify_signature(NULL, &key, algorithm, jws.signing_input, jws.signature));
    ck_assert(span_equal_text(jws.kid, "k \"1\""));
    struct span typ = jnode_text(jnode_find(jws.header->root, "typ"));
    ck_assert_msg(span_equal_text(typ, "JWT"), "%.*s", SPAN_PRINTF(typ));
    ck_assert_uint_eq(jws.header->root->len, 3);
    ck_assert(span_equal_text(jws.payload, "{\"a\":\"\xc3\xa4\"}"));
    jws_done(&jws);
}

TEST(what_is_signed_can_be_verified) {
    static const struct {
        enum mint_key key;
        enum algorithm algorithm;
    } rows[] = {
        {MINT_RSA, ALG_RS256},  {MINT_RSA_4096, ALG_RS384}, {MINT_RSA, ALG_RS512},
        {MINT_P256, ALG_ES256}, {MINT_P384, ALG_ES384},     {MINT_P521, ALG_ES512},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *pem = jwk_private_pem(mint_key(rows[i].key));
        ck_assert_ptr_nonnull(pem);
        char *token = jwk_sign(rows[i].algorithm, pem, "k \"1\"", "{\"a\":\"\xc3\xa4\"}");
        ck_assert_uint_eq(ERR_peek_error(), 0);
        expect_verified(rows[i].key, rows[i].algorithm, token);
        free(token);
        free(pem);
    }
}

/* r or s starts with a zero byte in one of 128 signatures. */
TEST(no_signature_of_many_is_too_short) {
    char *pem = jwk_private_pem(mint_key(MINT_P256));
    for (int i = 0; i < 500; i++) {
        char *token = jwk_sign(ALG_ES256, pem, "k \"1\"", "{\"a\":\"\xc3\xa4\"}");
        expect_verified(MINT_P256, ALG_ES256, token);
        free(token);
    }
    free(pem);
}

TEST(what_cannot_be_signed_gives_no_token) {
    char *rsa = jwk_private_pem(mint_key(MINT_RSA)), *ec = jwk_private_pem(mint_key(MINT_P256));
    char *public_half = mint_public_pem(mint_key(MINT_P256));
    const struct {
        const char *label;
        enum algorithm algorithm;
        const char *pem, *claims;
    } rows[] = {
        {"RSA key for ES256", ALG_ES256, rsa, "{}"},
        {"EC key for RS256", ALG_RS256, ec, "{}"},
        {"PS256", ALG_PS256, rsa, "{}"},
        {"EdDSA", ALG_EDDSA, ec, "{}"},
        {"no PEM", ALG_ES256, "none", "{}"},
        {"empty PEM", ALG_ES256, "", "{}"},
        {"public key", ALG_ES256, public_half, "{}"},
        {"no JSON", ALG_ES256, ec, "{"},
        {"no object", ALG_ES256, ec, "[]"},
        {"empty", ALG_ES256, ec, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *token = jwk_sign(rows[i].algorithm, rows[i].pem, "k", rows[i].claims);
        ck_assert_msg(token == NULL, "%s: %s", rows[i].label, token);
        ck_assert_msg(ERR_peek_error() == 0, "%s", rows[i].label);
    }
    char *good = jwk_sign(ALG_ES256, ec, "k", "{}");
    ck_assert_ptr_nonnull(good);
    free(good);
    free(public_half);
    free(ec);
    free(rsa);
}

TEST(claims_that_would_not_fit_on_a_stack_are_not_signed) {
    char *pem = jwk_private_pem(mint_key(MINT_P256));
    char *claims = malloc(JWK_CLAIMS_MAX + 2);
    memset(claims, 'x', JWK_CLAIMS_MAX + 1);
    memcpy(claims, "{\"a\":\"", 6);
    memcpy(claims + JWK_CLAIMS_MAX - 1, "\"}", 3); /* one byte too many */
    char *token = jwk_sign(ALG_ES256, pem, "k", claims);
    ck_assert_ptr_null(token);
    memcpy(claims + JWK_CLAIMS_MAX - 2, "\"}", 3);
    token = jwk_sign(ALG_ES256, pem, "k", claims);
    ck_assert_ptr_nonnull(token);
    free(token);
    free(claims);
    free(pem);
}
