#include "tests/unit/server/token/vectors.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

char *vectors_bytes(const char *path, size_t *ret_len) {
    char *full = scratch_text("%s/%s", test_vectors(), path);
    char *bytes = scratch_read(full, ret_len);
    ck_assert_msg(bytes != NULL, "cannot read %s", full);
    free(full);
    return bytes;
}

json_t *vectors_json(const char *path) {
    size_t len;
    json_error_t why;
    char *bytes = vectors_bytes(path, &len);
    json_t *root = json_loadb(bytes, len, 0, &why);
    ck_assert_msg(root != NULL, "%s: %s", path, why.text);
    free(bytes);
    return root;
}

const char *vectors_text(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    ck_assert_msg(text != NULL, "no text %s", name);
    return text;
}

struct span vectors_hex(const json_t *object, const char *name) {
    const char *text = vectors_text(object, name);
    size_t len = strlen(text) / 2;
    char *bytes = malloc(len + 1);
    ck_assert_uint_eq(strlen(text) % 2, 0);
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        ck_assert_int_eq(sscanf(text + 2 * i, "%2x", &byte), 1);
        bytes[i] = (char)byte;
    }
    return (struct span){bytes, len};
}

struct keyset *vectors_keys(const json_t *jwk) {
    struct keyset *set = NULL;
    struct err_text why;
    json_t *root =
        json_object_get(jwk, "keys") ? json_deep_copy(jwk) : json_pack("{s:[O]}", "keys", jwk);
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    ck_assert_ptr_nonnull(text);
    int r = keyset_parse(span_of(text), &set, &why);
    ck_assert((r == 0) == (set != NULL));
    free(text);
    return set;
}

void tally_add(struct tally *tally, const char *label, json_int_t number, bool expected, bool was) {
    if (expected == was) {
        if (was)
            tally->accepted++;
        else
            tally->refused++;
        return;
    }
    tally->wrong++;
    printf("%s %lld: %s\n", label, (long long)number, was ? "accepted" : "refused");
}

void tally_check(const struct tally *tally, const char *label, unsigned accepted,
                 unsigned refused) {
    ck_assert_msg(tally->wrong == 0 && tally->accepted == accepted && tally->refused == refused,
                  "%s: %u accepted, %u refused, %u wrong where %u and %u were expected", label,
                  tally->accepted, tally->refused, tally->wrong, accepted, refused);
}
