/*
 * jtree: it reads what jansson reads, to the same values, and refuses what jansson refuses, each
 * with words; and what it writes is read as the same.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/json.h"
#include "tests/support/same_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth) {
    if (!truth) abort();
}

/* By each way to it. */
static void check_members(const struct jnode *object, const json_t *json) {
    for (const struct jnode *m = jnode_first(object); m; m = jnode_next(object, m)) {
        struct span text = SPAN_NONE, other = SPAN_NONE;
        int64_t seconds = 0, others = 0;
        char *name = strndup(m->name, m->name_len);
        demand(name && !memchr(m->name, '\0', m->name_len));
        demand(jnode_member(object, jnode_name(m)) == m && jnode_find(object, name) == m);
        demand(jnode_find_string(object, name, &text) == json_find_string(json, name, &other));
        demand(jnode_find_seconds(object, name, &seconds) ==
               json_find_seconds(json, name, &others));
        demand(seconds == others && text.ptr ? span_equal(text, other) : !other.ptr);
        free(name);
    }
}

static void check_written(const struct jnode *node, const json_t *json) {
    struct buf out = buf_make(SIZE_MAX / 4);
    json_t *again = NULL;

    jnode_write(node, &out);
    demand(buf_ok(&out));
    demand(json_read_object(buf_span(&out), &again, NULL) == 0);
    demand(same_json(node, again) && json_equal(again, json));
    json_decref(again);
    buf_done(&out);
}

/* A value by itself may be of any type, and hold NUL. */
static void check_value(struct span text, bool accepted) {
    struct jtree *tree = NULL;
    json_t *json = json_loadb(text.ptr, text.len,
                              JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

    int r = jtree_read_value(text, &tree, NULL);
    demand((r == 0) == (tree != NULL) && (r == 0 || !accepted));
    /* jansson lets no name have a NUL, takes some NUL bytes for an end, and counts more levels. */
    if (memchr(text.ptr, '\0', text.len))
        demand(r == ERR_SYNTAX || r == ERR_LIMIT);
    else if (json)
        demand(r == 0 ? same_json(tree->root, json) : r == ERR_LIMIT);
    jtree_unref(tree);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span text = {(const char *)data, size};
    struct err_text err = {""};
    struct jtree *tree = NULL;
    json_t *json = NULL;

    int expected = json_read_object(text, &json, NULL);
    int r = jtree_read_object(text, &tree, &err);
    demand((r == 0) == (expected == 0) && (r == 0) == (tree != NULL));
    if (tree) {
        demand(same_json(tree->root, json) && tree->refs == 1 && tree->size > size);
        check_members(tree->root, json);
        check_written(tree->root, json);
    } else {
        demand((r == ERR_SYNTAX || r == ERR_LIMIT) && err.text[0]);
    }
    check_value(text, r == 0);
    jtree_unref(tree);
    json_decref(json);
    return 0;
}
