/*
 * jwk: a key that is accepted is public, strong and bound to algorithms of its type, and its public
 * members alone make the same key again; what is refused says why.
 */
#include <openssl/err.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "server/keys/jwk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth) {
    if (!truth) abort();
}

static void check_algorithms(const struct key *key) {
    demand(key->algorithms != 0 && !(key->algorithms & ~(algorithm_set)ALG_ALL));
    for (int i = 0; i < ALG_COUNT; i++) {
        if (!(key->algorithms & ALG_BIT(i))) continue;
        const struct algorithm_info *info = algorithm_info((enum algorithm)i);
        static const char *const names[] = {
            [KEY_RSA] = "RSA", [KEY_EC] = "EC", [KEY_OKP] = "ED25519"};
        char group[64] = "";
        demand(EVP_PKEY_is_a(key->pkey, names[info->key_type]));
        if (info->key_type == KEY_EC) {
            demand(EVP_PKEY_get_group_name(key->pkey, group, sizeof group, NULL) == 1);
            demand(strcmp(group, info->group) == 0);
        }
        if (info->key_type == KEY_RSA)
            demand(EVP_PKEY_get_bits(key->pkey) >= 2048 && EVP_PKEY_get_bits(key->pkey) <= 8192);
    }
}

static void check_accepted(const json_t *jwk, const struct key *key) {
    struct key again = {0};
    check_algorithms(key);
    demand(!key->kid || strlen(key->kid) <= 1024);
    demand((json_object_get(jwk, "kid") != NULL) == (key->kid != NULL));
    demand((json_object_get(jwk, "d") != NULL) == key->had_private);

    json_t *members = jwk_public_members(jwk);
    demand(members && !json_object_get(members, "d") && !json_object_get(members, "x5c"));
    demand(jwk_parse(members, &again, NULL) == 0);
    demand(EVP_PKEY_eq(again.pkey, key->pkey) == 1 && again.algorithms == key->algorithms);
    demand(!again.had_private);
    key_done(&again);
    json_decref(members);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err_text err = {""};
    struct key key = {0};
    json_t *jwk = NULL;

    if (json_read_object((struct span){(const char *)data, size}, &jwk, NULL) < 0) return 0;
    int r = jwk_parse(jwk, &key, &err);
    if (r == 0) {
        check_accepted(jwk, &key);
        key_done(&key);
    } else {
        demand((r == ERR_SYNTAX || r == ERR_MEMORY) && err.text[0] && !key.pkey && !key.kid);
    }
    demand(ERR_peek_error() == 0);
    json_decref(jwk);
    return 0;
}
