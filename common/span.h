/*
 * span: borrowed bytes with a length. Never owns, never ends in NUL by contract.
 *
 * A span whose ptr is NULL means "absent". Absent equals nothing, not even another absent span, so
 * that a missing claim can never match a missing expectation.
 */
#ifndef COMMON_SPAN_H
#define COMMON_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct span {
    const char *ptr;
    size_t len;
};

#define SPAN_NONE ((struct span){NULL, 0})
#define SPAN_LITERAL(text) ((struct span){(text), sizeof(text) - 1})

/* For printf's "%.*s". The caller bounds foreign text itself. */
#define SPAN_PRINTF(span) (int)(span).len, (span).ptr

static inline struct span span_of(const char *text) {
    return (struct span){text, text ? strlen(text) : 0};
}

static inline bool span_is_absent(struct span span) {
    return span.ptr == NULL;
}

/* Exact, byte by byte. Not for secrets: see secret_equal(). */
static inline bool span_equal(struct span a, struct span b) {
    return a.ptr && b.ptr && a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

static inline bool span_equal_text(struct span a, const char *text) {
    return span_equal(a, span_of(text));
}

/* span_equal_nocase() of as many bytes of both. */
bool span_bytes_equal_nocase(const char *a, const char *b, size_t len);

/* Equal but for the case of ASCII letters, whatever the locale. Most are told apart by length. */
static inline bool span_equal_nocase(struct span a, struct span b) {
    return a.len == b.len && a.ptr && b.ptr && span_bytes_equal_nocase(a.ptr, b.ptr, a.len);
}

static inline bool span_starts_with(struct span span, struct span prefix) {
    return span.ptr && prefix.ptr && span.len >= prefix.len &&
           memcmp(span.ptr, prefix.ptr, prefix.len) == 0;
}

/* The part from offset on; empty, not absent, where offset lies at or past the end. */
static inline struct span span_from(struct span span, size_t offset) {
    if (offset > span.len) offset = span.len;
    return (struct span){span.ptr + offset, span.len - offset};
}

static inline struct span span_until(struct span span, size_t end) {
    return (struct span){span.ptr, end < span.len ? end : span.len};
}

/* Offset of the first such byte, or span.len where there is none. */
static inline size_t span_find(struct span span, char byte) {
    const char *found = span.len ? memchr(span.ptr, byte, span.len) : NULL;
    return found ? (size_t)(found - span.ptr) : span.len;
}

/* Without the SP and HTAB at both ends (RFC 9110 section 5.6.3, OWS). */
struct span span_trim(struct span span);

/*
 * Cut the next piece off *rest at the separator. Returns false when nothing is left; pieces may be
 * empty. "a,,b" yields "a", "", "b"; "" yields nothing.
 */
bool span_next(struct span *rest, char separator, struct span *ret_piece);

#endif
