/*
 * same_json: does a node hold what jansson read? Types, values, and the order of members.
 */
#ifndef TESTS_SUPPORT_SAME_JSON_H
#define TESTS_SUPPORT_SAME_JSON_H

#include <jansson.h>

#include "common/jtree.h"

static inline bool same_json(const struct jnode *node, const json_t *json);

static inline bool same_children(const struct jnode *parent, json_t *json) {
    const struct jnode *child = jnode_first(parent);
    const char *name;
    size_t i, len;
    json_t *inner;

    if (parent->len != (json_is_object(json) ? json_object_size(json) : json_array_size(json)))
        return false;
    json_object_keylen_foreach(json, name, len, inner) {
        if (!child || !span_equal(jnode_name(child), (struct span){name, len}) ||
            !same_json(child, inner))
            return false;
        child = jnode_next(parent, child);
    }
    json_array_foreach(json, i, inner) {
        if (!child || child->name || !same_json(child, inner)) return false;
        child = jnode_next(parent, child);
    }
    return !child;
}

/* Neither is NULL. */
static inline bool same_json(const struct jnode *node, const json_t *json) {
    static const json_type types[] = {
        [JTYPE_NULL] = JSON_NULL,       [JTYPE_FALSE] = JSON_FALSE,   [JTYPE_TRUE] = JSON_TRUE,
        [JTYPE_INTEGER] = JSON_INTEGER, [JTYPE_REAL] = JSON_REAL,     [JTYPE_STRING] = JSON_STRING,
        [JTYPE_ARRAY] = JSON_ARRAY,     [JTYPE_OBJECT] = JSON_OBJECT,
    };
    double real = json_real_value(json);

    if (types[node->type] != json_typeof(json)) return false;
    if (node->type == JTYPE_INTEGER) return node->integer == json_integer_value(json);
    if (node->type == JTYPE_REAL) return memcmp(&node->real, &real, sizeof real) == 0;
    if (node->type == JTYPE_STRING)
        return span_equal(jnode_text(node),
                          (struct span){json_string_value(json), json_string_length(json)});
    return node->type < JTYPE_ARRAY || same_children(node, (json_t *)(uintptr_t)json);
}

#endif
