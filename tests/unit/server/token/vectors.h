/*
 * vectors: third-party test vectors, read from where test_vectors() says. A file that is missing
 * there fails the test, so that a set of vectors never shrinks unseen.
 */
#ifndef TESTS_UNIT_SERVER_TOKEN_VECTORS_H
#define TESTS_UNIT_SERVER_TOKEN_VECTORS_H

#include <jansson.h>

#include "server/keys/keyset.h"

/* The JSON of a file under the folder of vectors. The caller drops it. */
json_t *vectors_json(const char *path);

/* The bytes of a file there. The caller frees them. */
char *vectors_bytes(const char *path, size_t *ret_len);

/* A member that must be a string. Borrowed. */
const char *vectors_text(const json_t *object, const char *name);

/* A member that is a string of hexadecimal digits, as bytes. The caller frees ret->ptr. */
struct span vectors_hex(const json_t *object, const char *name);

/* The keys of a JWK, or of a JWKS where it has "keys". NULL where none of them is usable. */
struct keyset *vectors_keys(const json_t *jwk);

/* How many test cases were seen, by what they were expected to be and by what they were. */
struct tally {
    unsigned accepted; /* as expected */
    unsigned refused;  /* as expected */
    unsigned wrong;
};

/* Count a case; a wrong one is printed under its label and number. */
void tally_add(struct tally *tally, const char *label, json_int_t number, bool expected, bool was);

/* So many must have been accepted and refused, and none been wrong. */
void tally_check(const struct tally *tally, const char *label, unsigned accepted, unsigned refused);

#endif
