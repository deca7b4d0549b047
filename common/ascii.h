/*
 * ascii: classes of characters as the RFCs have them, whatever the locale.
 */
#ifndef COMMON_ASCII_H
#define COMMON_ASCII_H

#include <stdbool.h>

#include "common/span.h"

/* ALPHA or DIGIT of RFC 5234. */
static inline bool ascii_is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* ALPHA, DIGIT or one of others, a NUL-terminated list. */
static inline bool ascii_is_alphanumeric_or(char c, const char *others) {
    return ascii_is_alphanumeric(c) || (c && strchr(others, c));
}

/* tchar of RFC 9110 section 5.6.2: what methods, header names and schemes consist of. */
static inline bool ascii_is_token_char(char c) {
    return ascii_is_alphanumeric_or(c, "!#$%&'*+-.^_`|~");
}

/* token = 1*tchar */
static inline bool ascii_is_token(struct span text) {
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_token_char(text.ptr[i])) return false;
    return text.len > 0;
}

#endif
