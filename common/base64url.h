/*
 * base64url: RFC 4648 section 5 without padding, as JOSE wants it (RFC 7515 section 2), and nothing
 * laxer. One token must have one spelling, or caches, logs and deny lists can be walked around.
 */
#ifndef COMMON_BASE64URL_H
#define COMMON_BASE64URL_H

#include <stddef.h>

#include "common/attr.h"
#include "common/span.h"

/* Bytes that decoding a text of this length can give at most. */
static inline size_t base64url_decoded_max(size_t text_len) {
    return text_len / 4 * 3 + 2;
}

/*
 * Decode text into out, which has room for base64url_decoded_max(text.len) bytes, all of which may
 * be written, and set *ret_len. ERR_SYNTAX for a byte outside the alphabet (padding and white space
 * too), a length of 1 modulo 4, or bits left over that are not zero.
 */
int base64url_decode(struct span text, unsigned char *out, size_t *ret_len) MUST_CHECK;

/* Characters that encoding len bytes gives, without the NUL. */
static inline size_t base64url_encoded_len(size_t len) {
    return len / 3 * 4 + (len % 3 ? len % 3 + 1 : 0);
}

/* Encode len bytes into out, which has room for base64url_encoded_len(len) + 1; NUL-terminated. */
void base64url_encode(const void *bytes, size_t len, char *out);

#endif
