/*
 * ascii: classes of characters as the RFCs have them, whatever the locale.
 */
#ifndef COMMON_ASCII_H
#define COMMON_ASCII_H

#include <stdbool.h>

#include "common/span.h"

/* What a byte may be; every header of every request is looked through by these. */
enum ascii_class {
    ASCII_ALPHANUMERIC = 1, /* ALPHA or DIGIT of RFC 5234 */
    ASCII_TOKEN = 2,        /* tchar of RFC 9110 section 5.6.2: methods, header names, schemes */
    ASCII_TOKEN68 = 4,      /* of RFC 9110 section 11.2, but for its '=': b64token of RFC 6750 */
    ASCII_CONTROL = 8,      /* C0 but HTAB, and DEL: what no header value may hold */
    ASCII_HIGH = 16,        /* no ASCII */
};

extern const unsigned char ascii_classes[256];

/* Is c of one of these classes? */
static inline bool ascii_is(char c, unsigned classes) {
    return ascii_classes[(unsigned char)c] & classes;
}

/* Are all bytes of text of one of these classes? True for an empty one. */
static inline bool ascii_is_all(struct span text, unsigned classes) {
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is(text.ptr[i], classes)) return false;
    return true;
}

/* Is any byte of text of one of these classes? */
static inline bool ascii_holds(struct span text, unsigned classes) {
    for (size_t i = 0; i < text.len; i++)
        if (ascii_is(text.ptr[i], classes)) return true;
    return false;
}

/* ascii_holds(text, ASCII_CONTROL), eight bytes at a time. */
bool ascii_has_control(struct span text);

/* A letter in lower case; any other byte as it is. */
static inline char ascii_lower(char c) {
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static inline bool ascii_is_alphanumeric(char c) {
    return ascii_is(c, ASCII_ALPHANUMERIC);
}

/* ALPHA, DIGIT or one of others, a NUL-terminated list. */
static inline bool ascii_is_alphanumeric_or(char c, const char *others) {
    return ascii_is_alphanumeric(c) || (c && strchr(others, c));
}

static inline bool ascii_is_token_char(char c) {
    return ascii_is(c, ASCII_TOKEN);
}

/* token = 1*tchar */
static inline bool ascii_is_token(struct span text) {
    return text.len > 0 && ascii_is_all(text, ASCII_TOKEN);
}

#endif
