/*
 * buf: owned bytes that grow up to a ceiling fixed at birth.
 *
 * Failure is sticky: once an addition did not fit or memory ran out, later additions do nothing and
 * buf_ok() is false. A long series of additions therefore needs one check, at its end.
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attr.h"
#include "common/span.h"

struct buf {
    char *data; /* NUL-terminated behind len once anything was added; NULL before */
    size_t len;
    size_t size;
    size_t max; /* ceiling for len */
    bool failed;
};

/* An empty buffer that will never hold more than max bytes. Allocates nothing. */
static inline struct buf buf_make(size_t max) {
    return (struct buf){.max = max};
}

/* Free the bytes and leave an empty buffer of the same ceiling. Fine on an untouched one. */
void buf_done(struct buf *buf);

/* Forget the content and any failure, keep the memory for reuse. */
void buf_reset(struct buf *buf);

/* Append bytes, a NUL-terminated text, one byte, or what printf would print. */
void buf_add(struct buf *buf, struct span bytes);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_addf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * Add text as a JSON string with its quotes (RFC 8259 section 7). Quote, backslash and whatever
 * utf8_is_steering() tells are escaped; bytes that are not valid UTF-8 become U+FFFD, so that
 * whatever a stranger sent, the result is one valid JSON string on one line.
 */
void buf_add_json(struct buf *buf, struct span text);

static inline bool buf_ok(const struct buf *buf) {
    return !buf->failed;
}

/* What is in it; valid until the buffer changes. Empty, not absent, for an untouched buffer. */
static inline struct span buf_span(const struct buf *buf) {
    return (struct span){buf->data ? buf->data : "", buf->len};
}

#endif
