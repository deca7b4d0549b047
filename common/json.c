#include "common/json.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

/* Deepest nesting of brackets outside strings. Counts only: whether they match is the parser's. */
static size_t depth_of(struct span text) {
    size_t depth = 0, deepest = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > deepest) deepest = depth;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return deepest;
}

/*
 * jansson takes some failed allocations for the end of a string, and goes on with what it has. So
 * each failure is noted, and a document that was read while one happened is worth nothing.
 */
static _Thread_local bool out_of_memory;

static void *noting_malloc(size_t size) {
    void *memory = malloc(size);
    if (!memory) out_of_memory = true;
    return memory;
}

static void note_failures(void) {
    json_set_alloc_funcs(noting_malloc, free);
}

int json_read_object(struct span text, json_t **ret, struct err_text *err) {
    if (text.len == 0) return err_set(err, ERR_SYNTAX, "is empty");
    if (memchr(text.ptr, '\0', text.len)) return err_set(err, ERR_SYNTAX, "holds a NUL byte");
    if (depth_of(text) > JSON_DEPTH_MAX)
        return err_set(err, ERR_LIMIT, "is nested deeper than %d levels", JSON_DEPTH_MAX);

    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, note_failures);
    out_of_memory = false;
    json_error_t why;
    CLEANUP(json_decrefp)
    json_t *root = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (out_of_memory) return err_set(err, ERR_MEMORY, "could not be read: out of memory");
    if (!root) {
        if (json_error_code(&why) == json_error_duplicate_key)
            return err_set(err, ERR_SYNTAX, "names a member twice (at byte %d)", why.position);
        return err_set(err, ERR_SYNTAX, "is not valid JSON (at byte %d)", why.position);
    }
    if (!json_is_object(root)) return err_set(err, ERR_SYNTAX, "is not a JSON object");
    *ret = TAKE_PTR(root);
    return 0;
}

enum json_found json_find_string(const json_t *object, const char *name, struct span *ret) {
    const json_t *node = json_object_get(object, name);
    if (!node) return JSON_ABSENT;
    if (!json_is_string(node)) return JSON_WRONG_TYPE;
    *ret = json_span(node);
    return JSON_FOUND;
}

enum json_found json_find_seconds(const json_t *object, const char *name, int64_t *ret) {
    static const double limit = 1e15;

    const json_t *node = json_object_get(object, name);
    if (!node) return JSON_ABSENT;
    if (!json_is_number(node)) return JSON_WRONG_TYPE;

    double value = floor(json_number_value(node));
    if (!isfinite(value)) return JSON_WRONG_TYPE;
    *ret = (int64_t)(value > limit ? limit : value < -limit ? -limit : value);
    return JSON_FOUND;
}
