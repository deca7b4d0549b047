#include "common/base64url.h"

#include <stdint.h>

#include "common/err.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Value of a character plus one; 0 marks what is not in the alphabet. */
static const uint8_t values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

int base64url_decode(struct span text, unsigned char *out, size_t *ret_len) {
    uint32_t bits = 0;
    unsigned pending = 0;
    size_t len = 0;

    if (text.len % 4 == 1) return ERR_SYNTAX;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t value = values[(unsigned char)text.ptr[i]];
        if (value == 0) return ERR_SYNTAX;
        bits = bits << 6 | (uint32_t)(value - 1);
        pending += 6;
        if (pending < 8) continue;
        pending -= 8;
        out[len++] = (unsigned char)(bits >> pending);
    }
    if (bits & ((1u << pending) - 1)) return ERR_SYNTAX;
    *ret_len = len;
    return 0;
}

void base64url_encode(const void *bytes, size_t len, char *out) {
    const unsigned char *in = bytes;
    uint32_t bits = 0;
    unsigned pending = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | in[i];
        pending += 8;
        while (pending >= 6) {
            pending -= 6;
            *out++ = alphabet[bits >> pending & 63];
        }
    }
    if (pending) *out++ = alphabet[bits << (6 - pending) & 63];
    *out = '\0';
}
