/*
 * siphash: a fast hash whose collisions nobody can compute without its key (SipHash-1-3, Aumasson
 * and Bernstein). For tables whose keys strangers choose; it is no signature.
 */
#ifndef SERVER_TOKEN_SIPHASH_H
#define SERVER_TOKEN_SIPHASH_H

#include <stdint.h>

#include "common/span.h"

struct siphash_key {
    uint64_t words[2]; /* random; little-endian where the key is given as 16 bytes */
};

/* The hash of bytes under key. Pure; reads nothing but these. */
uint64_t siphash_1_3(const struct siphash_key *key, struct span bytes);

#endif
