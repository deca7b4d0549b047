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

#define LANES 16

typedef unsigned char lanes __attribute__((vector_size(LANES)));

/* How many bytes at the start, LANES at a time, hold none: a token has hundreds, and each header of
 * each request is looked through. */
static size_t plain_start(struct span text) {
    size_t at = 0;

    while (text.len - at >= LANES) {
        lanes some = {0}, here;
        size_t stop = text.len - at > 16 * LANES ? at + 16 * LANES : text.len;
        size_t from = at;
        for (; stop - at >= LANES; at += LANES) {
            memcpy(&here, text.ptr + at, LANES);
            some |= (lanes)(here < ' ') | (lanes)(here == 0x7f);
        }
        uint64_t halves[2];
        memcpy(halves, &some, sizeof halves);
        if (halves[0] | halves[1]) return from;
    }
    return at;
}

/* Nothing that has to be looked at byte by byte: the quick answer for most values. */
static bool is_plain(struct span text) {
    size_t at = plain_start(text);

    if (text.len < 8) return false;
    for (; at < text.len - 8; at += 8)
        if (has_low(text.ptr + at)) return false;
    return !has_low(text.ptr + text.len - 8);
}

bool ascii_has_control(struct span text) {
    return !is_plain(text) && ascii_holds(text, ASCII_CONTROL);
}
