/* Key sets of third-party vectors: which of their keys are usable, and that they are the right
 * ones. */
#include <dirent.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/keys/keyset.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/unit/server/token/vectors.h"

#define FOLDER "libjwt-keys/tests/keys"

/*
 * Files that hold usable keys, and how many; all the others hold none. Not usable are the keys on
 * P-521, whose coordinates there lack a leading zero byte (RFC 7518 section 6.2.1.2).
 */
static const struct {
    const char *name;
    size_t usable;
} usable_files[] = {
    {"ec_key_prime256v1.json", 1},
    {"ec_key_prime256v1_pub.json", 1},
    {"ec_key_secp384r1.json", 1},
    {"ec_key_secp384r1_pub.json", 1},
    {"ec_key_with_x5c.json", 1},
    {"ec_key_x5c_bad_x5t.json", 1},
    {"eddsa_key_ed25519.json", 1},
    {"eddsa_key_ed25519_fake_es256.json", 1},
    {"eddsa_key_ed25519_pub.json", 1},
    {"eddsa_key_ed25519_pub_fake_es256.json", 1},
    {"jwks_jws_pair.json", 2},
    {"jwks_keyring.json", 9},
    {"jwks_test-1.json", 1},
    {"rsa_key_2048.json", 1},
    {"rsa_key_2048_no_alg.json", 1},
    {"rsa_key_2048_pub.json", 1},
    {"rsa_key_2048_pub_no_alg.json", 1},
    {"rsa_key_4096.json", 1},
    {"rsa_key_4096_pub.json", 1},
    {"rsa_key_8192.json", 1},
    {"rsa_key_8192_pub.json", 1},
    {"rsa_key_i37_pub.json", 1},
    {"rsa_pss_key_2048.json", 1},
    {"rsa_pss_key_2048_384.json", 1},
    {"rsa_pss_key_2048_384_pub.json", 1},
    {"rsa_pss_key_2048_512.json", 1},
    {"rsa_pss_key_2048_512_pub.json", 1},
    {"rsa_pss_key_2048_noalg.json", 1},
    {"rsa_pss_key_2048_notpss.json", 1},
    {"rsa_pss_key_2048_notpss_pub.json", 1},
    {"rsa_pss_key_2048_pub.json", 1},
};

static size_t expected_usable(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(usable_files); i++)
        if (strcmp(usable_files[i].name, name) == 0) return usable_files[i].usable;
    return 0;
}

TEST(f3_libjwts_key_sets_have_the_usable_keys_they_should) {
    struct dirent **names = NULL;
    char *folder = scratch_text("%s/" FOLDER, test_vectors());
    int found = scandir(folder, &names, NULL, alphasort);
    size_t files = 0, with_keys = 0;

    for (int i = 0; i < found; i++) {
        const char *name = names[i]->d_name;
        size_t len = strlen(name);
        if (len > 5 && strcmp(name + len - 5, ".json") == 0) {
            char *path = scratch_text(FOLDER "/%s", name);
            json_t *root = vectors_json(path);
            struct keyset *set = vectors_keys(root);
            size_t usable = set ? set->count : 0;
            ck_assert_msg(usable == expected_usable(name), "%s: %zu usable", name, usable);
            if (set) ck_assert_ptr_null(strstr(set->document, "\"d\""));
            with_keys += usable > 0;
            files++;
            keyset_unref(set);
            json_decref(root);
            free(path);
        }
        free(names[i]);
    }
    free(names);
    free(folder);
    ck_assert_uint_eq(files, 75);
    ck_assert_uint_eq(with_keys, ARRAY_LEN(usable_files));
}

/* Of each the first key, against the same key as PEM. */
TEST(keys_are_the_same_as_their_pem) {
    static const char *const names[] = {
        "ec_key_prime256v1_pub", "ec_key_secp384r1_pub", "eddsa_key_ed25519_pub",
        "rsa_key_2048_pub",      "rsa_key_4096_pub",     "rsa_key_8192_pub",
        "rsa_key_i37_pub",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *jwk_path = scratch_text(FOLDER "/%s.json", names[i]);
        char *pem_path = scratch_text("%s/" FOLDER "/pem-files/%s.pem", test_vectors(), names[i]);
        json_t *root = vectors_json(jwk_path);
        struct keyset *set = vectors_keys(root);
        FILE *file = fopen(pem_path, "re");
        ck_assert_msg(set && file, "%s", names[i]);
        EVP_PKEY *key = PEM_read_PUBKEY(file, NULL, NULL, NULL);
        ck_assert_msg(EVP_PKEY_eq(set->keys[0].pkey, key) == 1, "%s", names[i]);
        EVP_PKEY_free(key);
        fclose(file);
        keyset_unref(set);
        json_decref(root);
        free(pem_path);
        free(jwk_path);
    }
}

TEST(f3_each_of_libjwts_bad_keys_is_bad_for_its_own_reason) {
    static const char *const why[] = {
        "has a \"kty\" other than RSA, EC and OKP",
        "has a \"kty\" other than RSA, EC and OKP",
        "has a \"kty\" other than RSA, EC and OKP",
        "has a \"y\" that is not base64url",
        "is on a curve that is not accepted",
        "has an \"alg\" that is no signature algorithm of its type of key",
        "has a \"kty\" other than RSA, EC and OKP",
        "lacks a \"kty\" that is a string",
        "has a \"kty\" other than RSA, EC and OKP",
        "is an EC key whose point is not on its curve",
        "lacks \"y\"",
        "lacks \"x\"",
        "is on a curve that is not accepted",
        "lacks a \"crv\" that is a string",
    };
    json_t *root = vectors_json(FOLDER "/bad_keys.json"), *jwk;
    size_t i;
    json_array_foreach(json_object_get(root, "keys"), i, jwk) {
        struct key key;
        struct err_text err = {""};
        ck_assert_uint_lt(i, ARRAY_LEN(why));
        ck_assert_int_eq(jwk_parse(jwk, &key, &err), ERR_SYNTAX);
        ck_assert_str_eq(err.text, why[i]);
    }
    ck_assert_uint_eq(i, ARRAY_LEN(why));
    json_decref(root);
}

TEST(keys_of_the_jose_cookbook) {
    static const struct {
        const char *name;
        const char *why; /* NULL: usable */
    } cases[] = {
        {"3_1.ec_public_key", NULL},
        {"3_2.ec_private_key", NULL},
        {"3_3.rsa_public_key", NULL},
        {"3_4.rsa_private_key", NULL},
        {"3_5.symmetric_key_mac_computation", "has a \"kty\" other than RSA, EC and OKP"},
        {"3_6.symmetric_key_encryption", "has a \"kty\" other than RSA, EC and OKP"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *path = scratch_text("jose-cookbook/jwk/%s.json", cases[i].name);
        json_t *jwk = vectors_json(path);
        struct key key;
        struct err_text err = {""};
        int r = jwk_parse(jwk, &key, &err);
        ck_assert_msg((r == 0) == !cases[i].why, "%s: %s", cases[i].name, err.text);
        if (cases[i].why) ck_assert_str_eq(err.text, cases[i].why);
        if (r == 0) {
            ck_assert_str_eq(key.kid, "bilbo.baggins@hobbiton.example");
            ck_assert(key.had_private == (strstr(cases[i].name, "private") != NULL));
            key_done(&key);
        }
        json_decref(jwk);
        free(path);
    }
}
