#include "common/base64url.h"

#include <endian.h>
#include <stdint.h>

#include "common/err.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Each character and its value. */
#define EACH_CHARACTER(F)                                                                          \
    F('A', 0), F('B', 1), F('C', 2), F('D', 3), F('E', 4), F('F', 5), F('G', 6), F('H', 7),        \
        F('I', 8), F('J', 9), F('K', 10), F('L', 11), F('M', 12), F('N', 13), F('O', 14),          \
        F('P', 15), F('Q', 16), F('R', 17), F('S', 18), F('T', 19), F('U', 20), F('V', 21),        \
        F('W', 22), F('X', 23), F('Y', 24), F('Z', 25), F('a', 26), F('b', 27), F('c', 28),        \
        F('d', 29), F('e', 30), F('f', 31), F('g', 32), F('h', 33), F('i', 34), F('j', 35),        \
        F('k', 36), F('l', 37), F('m', 38), F('n', 39), F('o', 40), F('p', 41), F('q', 42),        \
        F('r', 43), F('s', 44), F('t', 45), F('u', 46), F('v', 47), F('w', 48), F('x', 49),        \
        F('y', 50), F('z', 51), F('0', 52), F('1', 53), F('2', 54), F('3', 55), F('4', 56),        \
        F('5', 57), F('6', 58), F('7', 59), F('8', 60), F('9', 61), F('-', 62), F('_', 63)

/*
 * Where each of the four characters of a group puts its six bits among the upper 24, and below them
 * a mark of its own: a group without all four marks holds what is no character.
 */
#define FIRST(c, value) [c] = (uint32_t)(value) << 26 | 1
#define SECOND(c, value) [c] = (uint32_t)(value) << 20 | 2
#define THIRD(c, value) [c] = (uint32_t)(value) << 14 | 4
#define FOURTH(c, value) [c] = (uint32_t)(value) << 8 | 8
#define MARKS(count) ((1u << (count)) - 1)

static const uint32_t first[256] = {EACH_CHARACTER(FIRST)};
static const uint32_t second[256] = {EACH_CHARACTER(SECOND)};
static const uint32_t third[256] = {EACH_CHARACTER(THIRD)};
static const uint32_t fourth[256] = {EACH_CHARACTER(FOURTH)};

/* The last two or three characters, which make one or two bytes. */
static int decode_rest(const unsigned char *in, size_t len, unsigned char *out) {
    uint32_t bits = first[in[0]] | second[in[1]] | (len == 3 ? third[in[2]] : 0);
    uint32_t left_over = len == 3 ? 0xff00 : 0xffff00;

    if ((bits & 0xff) != MARKS(len) || bits & left_over) return ERR_SYNTAX;
    out[0] = (unsigned char)(bits >> 24);
    if (len == 3) out[1] = (unsigned char)(bits >> 16);
    return 0;
}

int base64url_decode(struct span text, unsigned char *out, size_t *ret_len) {
    const unsigned char *in = (const unsigned char *)text.ptr;
    size_t groups = text.len / 4, rest = text.len % 4;

    if (rest == 1) return ERR_SYNTAX;
    for (size_t i = 0; i < groups; i++, in += 4, out += 3) {
        uint32_t bits = first[in[0]] | second[in[1]] | third[in[2]] | fourth[in[3]];
        if ((bits & 0xff) != MARKS(4)) return ERR_SYNTAX;
        /* The marks, too: there is room for a byte more, which nobody counts. */
        bits = htobe32(bits);
        memcpy(out, &bits, sizeof bits);
    }
    if (rest && decode_rest(in, rest, out) < 0) return ERR_SYNTAX;
    *ret_len = groups * 3 + (rest ? rest - 1 : 0);
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
