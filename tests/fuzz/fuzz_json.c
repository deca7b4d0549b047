/*
 * json: what is read is an object without duplicates, NUL or deep nesting, and written out again it
 * reads as the same; what is refused says why.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth) {
    if (!truth) abort();
}

static size_t depth_of(json_t *node) {
    size_t deepest = 0, index;
    const char *name;
    json_t *child;

    if (!json_is_object(node) && !json_is_array(node)) return 0;
    json_object_foreach(node, name, child) {
        size_t depth = depth_of(child);
        if (depth > deepest) deepest = depth;
    }
    json_array_foreach(node, index, child) {
        size_t depth = depth_of(child);
        if (depth > deepest) deepest = depth;
    }
    return deepest + 1;
}

/* Each member through each getter: exactly the type that fits is found. */
static void check_getters(json_t *object) {
    const char *name;
    json_t *node;

    json_object_foreach(object, name, node) {
        struct span text = SPAN_NONE;
        int64_t seconds = INT64_MIN;
        bool is_string = json_find_string(object, name, &text) == JSON_FOUND;
        bool is_seconds = json_find_seconds(object, name, &seconds) == JSON_FOUND;
        demand(is_string == json_is_string(node) && is_string == !span_is_absent(text));
        demand(is_seconds == json_is_number(node));
        demand(!is_seconds || (seconds >= -1000000000000000 && seconds <= 1000000000000000));
        demand(is_seconds || seconds == INT64_MIN);
        demand(!is_string || !memchr(text.ptr, '\0', text.len));
    }
}

static void check_accepted(json_t *object, struct span text) {
    demand(json_is_object(object));
    demand(!memchr(text.ptr, '\0', text.len));
    demand(depth_of(object) <= JSON_DEPTH_MAX);
    check_getters(object);

    json_t *again = NULL;
    char *dump = json_dumps(object, JSON_COMPACT);
    demand(dump != NULL);
    demand(json_read_object(span_of(dump), &again, NULL) == 0);
    demand(json_equal(object, again));
    json_decref(again);
    free(dump);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span text = {(const char *)data, size};
    struct err_text err = {""};
    json_t *object = NULL;

    int r = json_read_object(text, &object, &err);
    if (r == 0) {
        check_accepted(object, text);
        json_decref(object);
    } else {
        demand(r == ERR_SYNTAX || r == ERR_LIMIT || r == ERR_MEMORY);
        demand(!object && err.text[0]);
    }
    return 0;
}
