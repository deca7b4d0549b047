/*
 * json: jansson behind the limits and refusals that untrusted text needs. For what is only looked
 * at, many times a second, there is jtree.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "common/err.h"
#include "common/jtree.h"
#include "common/span.h"

/*
 * Parse one JSON object and nothing behind it (RFC 8259). Refused besides bad syntax: duplicate
 * member names (RFC 8725 section 2.4: two parsers would pick different ones), a NUL byte, nesting
 * beyond JSON_DEPTH_MAX (before jansson, which recurses, sees the text), anything but an object at
 * the top: what jtree_read_object() refuses. The caller owns *ret and drops it with json_decref().
 * Returns 0, ERR_SYNTAX, ERR_LIMIT or ERR_MEMORY; err says why without quoting text.
 */
int json_read_object(struct span text, json_t **ret, struct err_text *err) MUST_CHECK;

/* The member as a string; *ret borrows from object. */
enum json_found json_find_string(const json_t *object, const char *name, struct span *ret);

/*
 * The member as a number of whole seconds, rounded down (NumericDate, RFC 7519 section 2, may have
 * a fraction). Numbers beyond +-10^15 saturate there, so that sums with leeways cannot overflow.
 */
enum json_found json_find_seconds(const json_t *object, const char *name, int64_t *ret);

/* The string value of a node as a span; absent where it is no string. */
static inline struct span json_span(const json_t *node) {
    if (!json_is_string(node)) return SPAN_NONE;
    return (struct span){json_string_value(node), json_string_length(node)};
}

#endif
