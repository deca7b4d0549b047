#include "server/keys/keyset.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"

static int add_skipped(struct keyset *set, size_t index, const json_t *jwk, const char *why) {
    struct span kid = json_span(json_object_get(jwk, "kid"));
    struct keyset_skipped *skipped = &set->skipped[set->skipped_count];

    skipped->index = index;
    skipped->kid = kid.ptr ? strndup(kid.ptr, kid.len) : NULL;
    skipped->why = strdup(why);
    set->skipped_count++;
    return skipped->why ? 0 : ERR_MEMORY;
}

static int add_keys(struct keyset *set, const json_t *keys, json_t *usable) {
    size_t index;
    json_t *jwk;
    json_array_foreach(keys, index, jwk) {
        struct err_text why;
        int r = jwk_parse(jwk, &set->keys[set->count], &why);
        if (r == ERR_MEMORY) return r;
        if (r < 0) {
            if (add_skipped(set, index, jwk, why.text) < 0) return ERR_MEMORY;
            continue;
        }
        set->count++;
        json_t *members = jwk_public_members(jwk);
        if (!members || json_array_append_new(usable, members) < 0) return ERR_MEMORY;
    }
    return 0;
}

static int fill(struct keyset *set, const json_t *root, struct err_text *err) {
    const json_t *keys = json_object_get(root, "keys");
    if (!json_is_array(keys)) return err_set(err, ERR_SYNTAX, "has no \"keys\" that is an array");

    size_t total = json_array_size(keys);
    if (total > KEYSET_KEYS_MAX)
        return err_set(err, ERR_LIMIT, "holds %zu keys; %d are accepted", total, KEYSET_KEYS_MAX);

    CLEANUP(json_decrefp) json_t *document = json_object();
    json_t *usable = json_array();
    if (!document || json_object_set_new(document, "keys", usable) < 0)
        return err_set(err, ERR_MEMORY, "could not be read: out of memory");
    set->keys = calloc(total + 1, sizeof *set->keys);
    set->skipped = calloc(total + 1, sizeof *set->skipped);
    if (!set->keys || !set->skipped || add_keys(set, keys, usable) < 0)
        return err_set(err, ERR_MEMORY, "could not be read: out of memory");
    if (set->count == 0)
        return err_set(err, ERR_SYNTAX, "holds no usable key (%zu unusable%s%s)",
                       set->skipped_count, set->skipped_count ? "; the first " : "",
                       set->skipped_count ? set->skipped[0].why : "");
    set->document = json_dumps(document, JSON_COMPACT);
    return set->document ? 0 : err_set(err, ERR_MEMORY, "could not be read: out of memory");
}

int keyset_parse(struct span text, struct keyset **ret, struct err_text *err) {
    CLEANUP(json_decrefp) json_t *root = NULL;
    int r = json_read_object(text, &root, err);
    if (r < 0) return r;

    CLEANUP(keyset_unrefp) struct keyset *set = calloc(1, sizeof *set);
    if (!set) return err_set(err, ERR_MEMORY, "could not be read: out of memory");
    ref_init(&set->ref);
    if ((r = fill(set, root, err)) < 0) return r;
    *ret = TAKE_PTR(set);
    return 0;
}

struct keyset *keyset_ref(struct keyset *set) {
    ref_take(&set->ref);
    return set;
}

void keyset_unref(struct keyset *set) {
    if (!set || !ref_drop(&set->ref)) return;
    for (size_t i = 0; i < set->count; i++) key_done(&set->keys[i]);
    for (size_t i = 0; i < set->skipped_count; i++) {
        free(set->skipped[i].kid);
        free(set->skipped[i].why);
    }
    free(set->keys);
    free(set->skipped);
    free(set->document);
    free(set);
}

enum key_found keyset_find(const struct keyset *set, struct span kid, enum algorithm algorithm,
                           const struct key **ret) {
    const struct key *found = NULL;
    bool kid_seen = false;

    for (size_t i = 0; i < set->count; i++) {
        const struct key *key = &set->keys[i];
        if (kid.ptr) {
            if (!span_equal(kid, span_of(key->kid))) continue;
            kid_seen = true;
        }
        if (!(key->algorithms & ALG_BIT(algorithm))) continue;
        if (found) return KEY_AMBIGUOUS;
        found = key;
    }
    if (!found) return kid_seen ? KEY_UNFIT : KEY_UNKNOWN;
    *ret = found;
    return KEY_FOUND;
}
