/*
 * utf8: is this well-formed UTF-8 (RFC 3629)?
 */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include "common/span.h"

/*
 * Bytes of the well-formed sequence at the start of text: 1 to 4, or 0 where text is empty or does
 * not start with one. Overlong forms, surrogates and values past U+10FFFF are not well-formed.
 */
size_t utf8_width(struct span text);

#endif
