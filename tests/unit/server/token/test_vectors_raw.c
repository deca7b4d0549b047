/* Raw signatures of third-party vectors, straight into verify_signature(). */
#include <openssl/err.h>
#include <stdlib.h>

#include "server/token/verify.h"
#include "tests/support/mint.h"
#include "tests/support/suite.h"
#include "tests/unit/server/token/vectors.h"

static struct verifier *kept;

/* Every test of a group under its key and one algorithm. valid: what "result": "valid" becomes. */
static void judge_group(struct tally *tally, const char *label, const json_t *group,
                        const struct key *key, enum algorithm algorithm, bool valid) {
    size_t t;
    json_t *test;
    json_array_foreach(json_object_get(group, "tests"), t, test) {
        struct span message = vectors_hex(test, "msg"), signature = vectors_hex(test, "sig");
        bool expected = valid && strcmp(vectors_text(test, "result"), "valid") == 0;
        bool was = verify_signature(NULL, key, algorithm, message, signature);
        ck_assert_uint_eq(ERR_peek_error(), 0);
        /* More keys than a verifier has room for, and most of the signatures bad. */
        if (!kept) kept = verifier_new();
        ck_assert(verify_signature(kept, key, algorithm, message, signature) == was);
        ck_assert_uint_eq(ERR_peek_error(), 0);
        tally_add(tally, label, json_integer_value(json_object_get(test, "tcId")), expected, was);
        free((char *)(uintptr_t)message.ptr);
        free((char *)(uintptr_t)signature.ptr);
    }
}

static struct key key_of(const json_t *jwk) {
    struct key key;
    struct err_text why;
    ck_assert_msg(jwk_parse(jwk, &key, &why) == 0, "%s", why.text);
    return key;
}

/* The point of a group, which not every group has as a JWK too: 04, x, y. */
static json_t *jwk_of_point(const json_t *group, const char *curve) {
    struct span point = vectors_hex(json_object_get(group, "publicKey"), "uncompressed");
    size_t width = (point.len - 1) / 2;
    char *x = mint_base64url((struct span){point.ptr + 1, width});
    char *y = mint_base64url((struct span){point.ptr + 1 + width, width});
    json_t *jwk = json_pack("{s:s,s:s,s:s,s:s}", "kty", "EC", "crv", curve, "x", x, "y", y);
    free(x);
    free(y);
    free((char *)(uintptr_t)point.ptr);
    return jwk;
}

static void check_ecdsa(const char *path, const char *curve, enum algorithm algorithm,
                        unsigned accepted, unsigned refused) {
    json_t *root = vectors_json(path);
    struct tally tally = {0};
    size_t g, with_jwk = 0;
    json_t *group;
    json_array_foreach(json_object_get(root, "testGroups"), g, group) {
        const json_t *given = json_object_get(group, "publicKeyJwk");
        json_t *made = jwk_of_point(group, curve);
        if (given) { /* both ways lead to one key */
            with_jwk++;
            ck_assert_str_eq(vectors_text(given, "x"), vectors_text(made, "x"));
            ck_assert_str_eq(vectors_text(given, "y"), vectors_text(made, "y"));
        }
        struct key key = key_of(made);
        judge_group(&tally, path, group, &key, algorithm, true);
        key_done(&key);
        json_decref(made);
    }
    ck_assert_uint_gt(with_jwk, 90);
    json_decref(root);
    tally_check(&tally, path, accepted, refused);
}

TEST(c4_ecdsa_p256) {
    check_ecdsa("wycheproof/ecdsa_secp256r1_sha256_p1363_test.json", "P-256", ALG_ES256, 173, 89);
}

TEST(c4_ecdsa_p384) {
    check_ecdsa("wycheproof/ecdsa_secp384r1_sha384_p1363_test.json", "P-384", ALG_ES384, 193, 87);
}

TEST(c4_ecdsa_p521) {
    check_ecdsa("wycheproof/ecdsa_secp521r1_sha512_p1363_test.json", "P-521", ALG_ES512, 231, 87);
}

/* No key of these groups is usable, whatever name its curve is given. */
static void check_refused_keys(const char *path, unsigned count, const char *expected) {
    json_t *root = vectors_json(path);
    size_t g;
    unsigned refused = 0;
    json_t *group;
    json_array_foreach(json_object_get(root, "testGroups"), g, group) {
        json_t *jwk = json_object_get(group, "publicKeyJwk");
        struct key key;
        struct err_text why;
        if (!jwk) continue;
        ck_assert_int_eq(jwk_parse(jwk, &key, &why), ERR_SYNTAX);
        ck_assert_str_eq(why.text, expected);
        refused++;
    }
    json_decref(root);
    ck_assert_uint_eq(refused, count);
}

TEST(c4_secp256k1_is_refused) {
    static const char *const names[] = {"secp256k1", "P-256K", "P-256"};
    check_refused_keys("wycheproof/ecdsa_secp256k1_sha256_p1363_test.json", 99,
                       "is on a curve that is not accepted");
    json_t *jwk = mint_jwk(mint_key(MINT_P256K), NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct key key;
        struct err_text why;
        json_object_set_new(jwk, "crv", json_string(names[i]));
        ck_assert_int_eq(jwk_parse(jwk, &key, &why), ERR_SYNTAX);
        ck_assert_str_eq(why.text, i < 2 ? "is on a curve that is not accepted"
                                         : "is an EC key whose point is not on its curve");
    }
    json_decref(jwk);
}

TEST(c4_ed448_is_refused) {
    check_refused_keys("wycheproof/ed448_test.json", 15, "is on a curve that is not accepted");
}

/* Groups whose key stands in member as a JWK. */
static void check_jwk_groups(const char *path, const char *member, enum algorithm algorithm,
                             unsigned accepted, unsigned refused) {
    json_t *root = vectors_json(path);
    struct tally tally = {0};
    size_t g;
    json_t *group;
    json_array_foreach(json_object_get(root, "testGroups"), g, group) {
        struct key key = key_of(json_object_get(group, member));
        judge_group(&tally, path, group, &key, algorithm, true);
        key_done(&key);
    }
    json_decref(root);
    tally_check(&tally, path, accepted, refused);
}

TEST(c4_ed25519) {
    check_jwk_groups("wycheproof/ed25519_test.json", "publicKeyJwk", ALG_EDDSA, 88, 63);
}

/* The one "acceptable" case of each file lacks a NULL in its ASN.1: refused. */
TEST(c4_rsa_pkcs1_2048_sha256) {
    check_jwk_groups("wycheproof/rsa_signature_2048_sha256_test.json", "keyJwk", ALG_RS256, 9, 250);
}

TEST(c4_rsa_pkcs1_3072_sha384) {
    check_jwk_groups("wycheproof/rsa_signature_3072_sha384_test.json", "keyJwk", ALG_RS384, 7, 252);
}

TEST(c4_rsa_pkcs1_4096_sha512) {
    check_jwk_groups("wycheproof/rsa_signature_4096_sha512_test.json", "keyJwk", ALG_RS512, 7, 252);
}

TEST(c4_rsa_pss_with_the_digests_own_salt) {
    static const struct {
        const char *path;
        enum algorithm algorithm;
        unsigned accepted, refused;
    } cases[] = {
        {"wycheproof/rsa_pss_2048_sha256_mgf1_32_test.json", ALG_PS256, 63, 45},
        {"wycheproof/rsa_pss_3072_sha256_mgf1_32_test.json", ALG_PS256, 63, 45},
        {"wycheproof/rsa_pss_4096_sha256_mgf1_32_test.json", ALG_PS256, 63, 45},
        {"wycheproof/rsa_pss_2048_sha384_mgf1_48_test.json", ALG_PS384, 95, 46},
        {"wycheproof/rsa_pss_4096_sha512_mgf1_64_test.json", ALG_PS512, 132, 47},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_jwk_groups(cases[i].path, "publicKeyJwk", cases[i].algorithm, cases[i].accepted,
                         cases[i].refused);
}

/*
 * 150 mixtures of digest, digest of the mask and length of the salt, all valid somewhere. JOSE
 * knows three: both digests the same, and the salt as long (RFC 7518 section 3.5).
 */
TEST(c4_rsa_pss_mixtures) {
    static const struct {
        enum algorithm algorithm;
        const char *digest;
        json_int_t salt;
    } jose[] = {{ALG_PS256, "SHA-256", 32}, {ALG_PS384, "SHA-384", 48}, {ALG_PS512, "SHA-512", 64}};
    json_t *root = vectors_json("wycheproof/rsa_pss_misc_test.json");
    struct tally tally = {0};
    size_t g;
    json_t *group;
    json_array_foreach(json_object_get(root, "testGroups"), g, group) {
        const json_t *public = json_object_get(group, "publicKey");
        struct span modulus = vectors_hex(public, "modulus");
        struct span exponent = vectors_hex(public, "publicExponent");
        char *n = mint_base64url(modulus), *e = mint_base64url(exponent);
        json_t *jwk = json_pack("{s:s,s:s,s:s}", "kty", "RSA", "n", n, "e", e);
        struct key key = key_of(jwk);
        for (size_t i = 0; i < ARRAY_LEN(jose); i++) {
            bool valid = strcmp(vectors_text(group, "sha"), jose[i].digest) == 0 &&
                         strcmp(vectors_text(group, "mgfSha"), jose[i].digest) == 0 &&
                         json_integer_value(json_object_get(group, "sLen")) == jose[i].salt;
            judge_group(&tally, "rsa_pss_misc", group, &key, jose[i].algorithm, valid);
        }
        key_done(&key);
        json_decref(jwk);
        free(n);
        free(e);
        free((char *)(uintptr_t)modulus.ptr);
        free((char *)(uintptr_t)exponent.ptr);
    }
    json_decref(root);
    tally_check(&tally, "rsa_pss_misc", 3, 447);
}
