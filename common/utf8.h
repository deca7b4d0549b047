/*
 * utf8: is this well-formed UTF-8 (RFC 3629), and is it safe to show?
 */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

/*
 * Bytes of the well-formed sequence at the start of text: 1 to 4, with its character in *ret; or 0
 * where text is empty or does not start with one. Overlong forms, surrogates and values past
 * U+10FFFF are not well-formed.
 */
size_t utf8_decode(struct span text, uint32_t *ret);

/* The same without the character. */
size_t utf8_width(struct span text);

/*
 * Does a character change where and how other text is shown? Control characters (C0, DEL, C1), line
 * ends that only some programs know (U+2028, U+2029), and those that turn the direction of writing
 * (U+202A to U+202E, U+2066 to U+2069).
 */
static inline bool utf8_is_steering(uint32_t character) {
    return character < 0x20 || (character >= 0x7f && character <= 0x9f) ||
           (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

#endif
