/*
 * jtree: a JSON text read once, for those who only look. One block of memory holds its nodes and
 * the bytes of its strings, so that what strangers send costs one allocation and one pass, whatever
 * it holds. What is to be built or changed is jansson's: see json.h.
 */
#ifndef COMMON_JTREE_H
#define COMMON_JTREE_H

#include <stdint.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

/* Deeper nesting than this is refused. */
#define JSON_DEPTH_MAX 32

enum jtype {
    JTYPE_NULL,
    JTYPE_FALSE,
    JTYPE_TRUE,
    JTYPE_INTEGER,
    JTYPE_REAL,
    JTYPE_STRING,
    JTYPE_ARRAY,
    JTYPE_OBJECT,
};

/* A value, and what it is called where it is a member of an object. What lies inside it follows it,
 * each value with all that lies inside that one. */
struct jnode {
    const char *name; /* NULL: no member. Not NUL-terminated, as the text is not */
    union {
        int64_t integer;
        double real;
        const char *text;
        struct jnode *outer; /* for the reader, while it is open */
    };
    uint32_t name_len;
    uint32_t len;    /* bytes of text; items of an array; members of an object */
    uint32_t extent; /* in nodes, this one counted: the next one of its parent lies so far behind */
    enum jtype type;
};

/* Immutable but for its count. One thread at a time may take and drop references; any may look. */
struct jtree {
    const struct jnode *root;
    size_t size; /* bytes of memory that it takes */
    unsigned refs;
};

/*
 * Read one JSON object and nothing behind it (RFC 8259). Refused besides bad syntax: member names
 * that come twice in one object, however they are spelled (RFC 8725 section 2.4: two parsers would
 * pick different ones), a NUL byte or \u0000, strings that are not UTF-8, lone surrogates, whole
 * numbers that do not fit into 64 bits and others that do not fit into a double, nesting beyond
 * JSON_DEPTH_MAX, anything but an object at the top. Time and memory grow with the length of the
 * text, and nothing that it holds makes them grow faster.
 *
 * *ret has one reference, for jtree_unref(), and keeps nothing of text. Returns 0, ERR_SYNTAX,
 * ERR_LIMIT or ERR_MEMORY; err says why without quoting text, as json_read_object() does. The byte
 * that it names is the one at which no JSON could go on, or the end of the name that comes twice;
 * in an object of many members, its start.
 */
int jtree_read_object(struct span text, struct jtree **ret, struct err_text *err) MUST_CHECK;

/* The same of any value, and \u0000 is a character: for what stands in our configuration. */
int jtree_read_value(struct span text, struct jtree **ret, struct err_text *err) MUST_CHECK;

/* Take one more reference; drop one, the last frees (NULL is fine). */
struct jtree *jtree_ref(struct jtree *tree);
void jtree_unref(struct jtree *tree);
CLEANUP_DEFINE(struct jtree *, jtree_unref)

/* --- looking. A node may be NULL, which is of no type; what is given lives as long as the tree ---
 */

static inline bool jnode_is(const struct jnode *node, enum jtype type) {
    return node && node->type == type;
}

static inline bool jnode_is_number(const struct jnode *node) {
    return jnode_is(node, JTYPE_INTEGER) || jnode_is(node, JTYPE_REAL);
}

/* The number as a double, which rounds large whole ones; 0 for what is none. */
static inline double jnode_number(const struct jnode *node) {
    if (jnode_is(node, JTYPE_INTEGER)) return (double)node->integer;
    return jnode_is(node, JTYPE_REAL) ? node->real : 0;
}

/* The text of a string; absent for what is none. */
static inline struct span jnode_text(const struct jnode *node) {
    if (!jnode_is(node, JTYPE_STRING)) return SPAN_NONE;
    return (struct span){node->text, node->len};
}

/* What a member is called. */
static inline struct span jnode_name(const struct jnode *member) {
    return (struct span){member->name, member->name_len};
}

/* The first thing inside an array or an object; NULL: there is none. */
static inline const struct jnode *jnode_first(const struct jnode *parent) {
    return parent && parent->extent > 1 ? parent + 1 : NULL;
}

/* The first item of an array; NULL where it is empty, or no array. */
static inline const struct jnode *jarray_first(const struct jnode *array) {
    return jnode_is(array, JTYPE_ARRAY) ? jnode_first(array) : NULL;
}

/* What follows child in parent; NULL: nothing. */
static inline const struct jnode *jnode_next(const struct jnode *parent,
                                             const struct jnode *child) {
    const struct jnode *next = child + child->extent;
    return next < parent + parent->extent ? next : NULL;
}

/* The member of that name; NULL where there is none, or object is none. */
const struct jnode *jnode_member(const struct jnode *object, struct span name);
static inline const struct jnode *jnode_find(const struct jnode *object, const char *name) {
    return jnode_member(object, span_of(name));
}

enum json_found {
    JSON_ABSENT,     /* no such member */
    JSON_WRONG_TYPE, /* there, but null or of another type */
    JSON_FOUND,
};

/* The member as a string. */
enum json_found jnode_find_string(const struct jnode *object, const char *name, struct span *ret);

/*
 * The member as a number of whole seconds, rounded down (NumericDate, RFC 7519 section 2, may have
 * a fraction). Numbers beyond +-10^15 saturate there, so that sums with leeways cannot overflow.
 */
enum json_found jnode_find_seconds(const struct jnode *object, const char *name, int64_t *ret);

/*
 * Are these two the same null, truth, string, or number? Numbers are compared by value, whole ones
 * exactly: 5 equals 5.0. Arrays and objects equal nothing, nor does NULL.
 */
bool jnode_equal(const struct jnode *a, const struct jnode *b);

/*
 * Append node, not NULL, to out as compact JSON, members in their order. A number that is not whole
 * has as many digits as tell it from others, and no more: 1.1, not 1.1000000000000001.
 */
void jnode_write(const struct jnode *node, struct buf *out);

#endif
