#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <jwt.h>
#include <openssl/rsa.h>
#include <stdlib.h>

/* libjwt, which knows nothing of this room, accepts the signature. */
static void check_with_libjwt(const char *alg, EVP_PKEY *key) {
    jwt_t *jwt = NULL;
    char *pem = mint_public_pem(key);
    char *header = scratch_text("{\"alg\":\"%s\"}", alg);
    char *token = mint_token(header, "{\"sub\":\"x\"}", alg, key);
    int code = jwt_decode(&jwt, token, (const unsigned char *)pem, (int)strlen(pem));
    ck_assert_msg(code == 0, "%s: %d", alg, code);
    ck_assert_str_eq(jwt_get_grant(jwt, "sub"), "x");
    jwt_free(jwt);
    free(token);
    free(header);
    free(pem);
}

TEST(signs_what_libjwt_accepts) {
    check_with_libjwt("RS256", mint_key(MINT_RSA));
    check_with_libjwt("RS384", mint_key(MINT_RSA));
    check_with_libjwt("RS512", mint_key(MINT_RSA_OTHER));
    check_with_libjwt("ES256", mint_key(MINT_P256));
    check_with_libjwt("ES384", mint_key(MINT_P384));
    check_with_libjwt("ES512", mint_key(MINT_P521));
}

TEST(signs_hs256_with_a_secret_even_an_empty_one) {
    EVP_PKEY *secret = mint_secret(SPAN_LITERAL("secret"));
    EVP_PKEY *empty = mint_secret(SPAN_LITERAL(""));
    char *token = mint_token("{\"alg\":\"HS256\"}", "{}", "HS256", secret);
    char *other = mint_token("{\"alg\":\"HS256\"}", "{}", "HS256", empty);
    /* Made with: printf eyJhbGciOiJIUzI1NiJ9.e30 | openssl dgst -sha256 -hmac secret -binary */
    ck_assert_str_eq(token, "eyJhbGciOiJIUzI1NiJ9.e30.XmNK3GpH3Ys_7wsYBfq4C3M6goz71I7dTgUkuIa5lyQ");
    ck_assert_str_ne(token, other);
    EVP_PKEY_free(secret);
    EVP_PKEY_free(empty);
    free(token);
    free(other);
}

/* The signature's length tells its shape: raw r and s, not DER; none: nothing. */
TEST(signatures_have_the_length_of_their_algorithm) {
    static const struct {
        const char *alg;
        enum mint_key key;
        size_t len; /* of the encoded signature */
    } rows[] = {
        {"PS256", MINT_RSA, 342},    {"PS512", MINT_RSA_OTHER, 342}, {"RS256", MINT_RSA_1024, 171},
        {"ES256", MINT_P256, 86},    {"ES384", MINT_P384, 128},      {"ES512", MINT_P521, 176},
        {"EdDSA", MINT_ED25519, 86}, {"ES256K", MINT_P256K, 86},     {"none", MINT_RSA, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *token = mint_token("{}", "{}", rows[i].alg, mint_key(rows[i].key));
        ck_assert_msg(strlen(strrchr(token, '.') + 1) == rows[i].len, "%s: %s", rows[i].alg, token);
        free(token);
    }
}

TEST(exports_jwks_without_private_members) {
    char *text = MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", "RS256"),
                           mint_jwk(mint_key(MINT_P521), "e", NULL),
                           mint_jwk(mint_key(MINT_ED25519), NULL, NULL));
    json_t *set = json_loads(text, 0, NULL), *keys = json_object_get(set, "keys");
    const char *kty = NULL, *n = NULL, *e = NULL, *crv = NULL, *x = NULL, *y = NULL;

    ck_assert_uint_eq(json_array_size(keys), 3);
    ck_assert_int_eq(json_unpack(json_array_get(keys, 0), "{s:s,s:s,s:s,s:s,s:s!}", "kty", &kty,
                                 "n", &n, "e", &e, "kid", &x, "alg", &y),
                     0);
    ck_assert_str_eq(kty, "RSA");
    ck_assert_uint_eq(strlen(n), 342);
    ck_assert_str_eq(e, "AQAB");
    ck_assert_int_eq(json_unpack(json_array_get(keys, 1), "{s:s,s:s,s:s,s:s,s:s!}", "kty", &kty,
                                 "crv", &crv, "x", &x, "y", &y, "kid", &n),
                     0);
    ck_assert_str_eq(crv, "P-521");
    ck_assert_uint_eq(strlen(x), 88);
    ck_assert_uint_eq(strlen(y), 88);
    ck_assert_int_eq(
        json_unpack(json_array_get(keys, 2), "{s:s,s:s,s:s!}", "kty", &kty, "crv", &crv, "x", &x),
        0);
    ck_assert_str_eq(crv, "Ed25519");
    ck_assert_uint_eq(strlen(x), 43);
    json_decref(set);
    free(text);
}

TEST(libjwt_mints_with_our_keys) {
    char *token = mint_with_libjwt("ES256", mint_key(MINT_P256), "k1", "{\"sub\":\"x\"}");
    char *pem = mint_public_pem(mint_key(MINT_P256));
    jwt_t *jwt = NULL;
    ck_assert_int_eq(jwt_decode(&jwt, token, (const unsigned char *)pem, (int)strlen(pem)), 0);
    ck_assert_str_eq(jwt_get_header(jwt, "kid"), "k1");
    jwt_free(jwt);
    free(pem);
    free(token);
}

TEST(claims_can_be_changed_and_removed) {
    char *text = mint_claims("https://i", "{\"aud\":[\"x\"],\"email\":null}");
    json_t *claims = json_loads(text, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(claims, "iss")), "https://i");
    ck_assert(json_is_array(json_object_get(claims, "aud")));
    ck_assert_ptr_null(json_object_get(claims, "email"));
    ck_assert(json_is_integer(json_object_get(claims, "exp")));
    json_decref(claims);
    free(text);
}
