/*
 * keyset: a set that is accepted has a usable key, a key that is found is the one that was asked
 * for and may do what it was asked for, and the document of the set is the same set again.
 */
#include <openssl/err.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/keys/keyset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth) {
    if (!truth) abort();
}

static bool names(const struct key *key, struct span kid) {
    return span_is_absent(kid) || (key->kid && span_equal_text(kid, key->kid));
}

static void check_find(const struct keyset *set, struct span kid) {
    for (int i = 0; i < ALG_COUNT; i++) {
        const struct key *key = NULL;
        size_t fitting = 0, named = 0;
        for (size_t k = 0; k < set->count; k++) {
            bool is_named = names(&set->keys[k], kid);
            named += is_named;
            fitting += is_named && (set->keys[k].algorithms & ALG_BIT(i));
        }
        enum key_found found = keyset_find(set, kid, (enum algorithm)i, &key);
        demand((found == KEY_FOUND) == (fitting == 1) && (found == KEY_AMBIGUOUS) == (fitting > 1));
        demand((found == KEY_FOUND) == (key != NULL));
        if (fitting == 0)
            demand(found == (named && !span_is_absent(kid) ? KEY_UNFIT : KEY_UNKNOWN));
        if (key) demand(names(key, kid) && (key->algorithms & ALG_BIT(i)));
    }
}

static void check_accepted(const struct keyset *set) {
    struct keyset *again = NULL;
    demand(set->count >= 1 && set->count + set->skipped_count <= KEYSET_KEYS_MAX);
    for (size_t i = 0; i < set->count; i++) {
        demand(set->keys[i].pkey && set->keys[i].algorithms);
        if (set->keys[i].kid) check_find(set, span_of(set->keys[i].kid));
    }
    for (size_t i = 0; i < set->skipped_count; i++) demand(set->skipped[i].why[0]);
    check_find(set, SPAN_NONE);
    check_find(set, SPAN_LITERAL("no such kid, one hopes"));

    demand(keyset_parse(span_of(set->document), &again, NULL) == 0);
    demand(again->count == set->count && again->skipped_count == 0);
    demand(strcmp(again->document, set->document) == 0);
    for (size_t i = 0; i < set->count; i++) {
        demand(EVP_PKEY_eq(again->keys[i].pkey, set->keys[i].pkey) == 1);
        demand(again->keys[i].algorithms == set->keys[i].algorithms);
    }
    keyset_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err_text err = {""};
    struct keyset *set = NULL;

    int r = keyset_parse((struct span){(const char *)data, size}, &set, &err);
    if (r == 0) {
        check_accepted(set);
        keyset_unref(set);
    } else {
        demand((r == ERR_SYNTAX || r == ERR_LIMIT || r == ERR_MEMORY) && err.text[0] && !set);
    }
    demand(ERR_peek_error() == 0);
    return 0;
}
