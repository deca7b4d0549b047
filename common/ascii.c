#include "common/ascii.h"

#include <stdint.h>

#define ALPHANUMERIC (ASCII_ALPHANUMERIC | ASCII_TOKEN | ASCII_TOKEN68)

const unsigned char ascii_classes[256] = {
    [0x00 ... 0x08] = ASCII_CONTROL,
    [0x0a ... 0x1f] = ASCII_CONTROL,
    ['!'] = ASCII_TOKEN,
    ['#' ... '\''] = ASCII_TOKEN,
    ['*'] = ASCII_TOKEN,
    ['+'] = ASCII_TOKEN | ASCII_TOKEN68,
    ['-'] = ASCII_TOKEN | ASCII_TOKEN68,
    ['.'] = ASCII_TOKEN | ASCII_TOKEN68,
    ['/'] = ASCII_TOKEN68,
    ['0' ... '9'] = ALPHANUMERIC,
    ['A' ... 'Z'] = ALPHANUMERIC,
    ['^'] = ASCII_TOKEN,
    ['_'] = ASCII_TOKEN | ASCII_TOKEN68,
    ['`'] = ASCII_TOKEN,
    ['a' ... 'z'] = ALPHANUMERIC,
    ['|'] = ASCII_TOKEN,
    ['~'] = ASCII_TOKEN | ASCII_TOKEN68,
    [0x7f] = ASCII_CONTROL,
    [0x80 ... 0xff] = ASCII_HIGH,
};

/* Is there a byte below SP, or DEL, among these eight? */
static bool has_low(const char *eight) {
    const uint64_t each = UINT64_MAX / 255; /* 0x0101... */
    uint64_t bytes;
    memcpy(&bytes, eight, sizeof bytes);
    uint64_t low = (bytes - each * ' ') & ~bytes;
    uint64_t del = bytes ^ each * 0x7f;
    return ((low | ((del - each) & ~del)) & each * 0x80) != 0;
}

/* Nothing that has to be looked at byte by byte: the quick answer for most values. */
static bool is_plain(struct span text) {
    if (text.len < 8) return false;
    for (size_t i = 0; i < text.len - 8; i += 8)
        if (has_low(text.ptr + i)) return false;
    return !has_low(text.ptr + text.len - 8);
}

bool ascii_has_control(struct span text) {
    return !is_plain(text) && ascii_holds(text, ASCII_CONTROL);
}
