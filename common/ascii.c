#include "common/ascii.h"

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
