#include "server/token/siphash.h"

#include <endian.h>

struct state {
    uint64_t a, b, c, d;
};

static uint64_t rotate(uint64_t word, int bits) {
    return word << bits | word >> (64 - bits);
}

static void mix(struct state *s) {
    s->a += s->b;
    s->c += s->d;
    s->b = rotate(s->b, 13) ^ s->a;
    s->d = rotate(s->d, 16) ^ s->c;
    s->a = rotate(s->a, 32);
    s->c += s->b;
    s->a += s->d;
    s->b = rotate(s->b, 17) ^ s->c;
    s->d = rotate(s->d, 21) ^ s->a;
    s->c = rotate(s->c, 32);
}

static void absorb(struct state *s, uint64_t word) {
    s->d ^= word;
    mix(s);
    s->a ^= word;
}

uint64_t siphash_1_3(const struct siphash_key *key, struct span bytes) {
    struct state s = {
        .a = key->words[0] ^ 0x736f6d6570736575,
        .b = key->words[1] ^ 0x646f72616e646f6d,
        .c = key->words[0] ^ 0x6c7967656e657261,
        .d = key->words[1] ^ 0x7465646279746573,
    };
    uint64_t word;
    struct span rest = bytes;

    for (; rest.len >= sizeof word; rest = span_from(rest, sizeof word)) {
        memcpy(&word, rest.ptr, sizeof word);
        absorb(&s, le64toh(word));
    }
    /* The last word: what is left, and the length in the byte that is free in any case. */
    word = 0;
    if (rest.len) memcpy(&word, rest.ptr, rest.len);
    absorb(&s, le64toh(word) | (uint64_t)bytes.len << 56);
    s.c ^= 0xff;
    for (int i = 0; i < 3; i++) mix(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}
