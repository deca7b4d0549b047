/*
 * algorithm: the signature algorithms this program accepts, in one table (RFC 7518 section 3.1,
 * RFC 8037 section 3.1). HS* and none are not in it, so no setting can ever allow them.
 */
#ifndef SERVER_CONFIG_ALGORITHM_H
#define SERVER_CONFIG_ALGORITHM_H

#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

enum algorithm {
    ALG_RS256,
    ALG_RS384,
    ALG_RS512,
    ALG_PS256,
    ALG_PS384,
    ALG_PS512,
    ALG_ES256,
    ALG_ES384,
    ALG_ES512,
    ALG_EDDSA,
    ALG_COUNT,
};

/* A set of algorithms: bit ALG_x set means x is in it. */
typedef uint32_t algorithm_set;
#define ALG_BIT(algorithm) ((algorithm_set)1 << (algorithm))
#define ALG_ALL (ALG_BIT(ALG_COUNT) - 1)

enum key_type { KEY_RSA, KEY_EC, KEY_OKP };

struct algorithm_info {
    const char *name;
    enum key_type key_type;
    const char *curve;    /* JWK "crv"; NULL for RSA */
    const char *group;    /* OpenSSL's name of the curve; NULL for RSA */
    const char *digest;   /* OpenSSL's name; NULL where the algorithm brings its own */
    int pss;              /* RSASSA-PSS, salt as long as the digest */
    size_t coordinate;    /* bytes of r and of s, and of x and of y; 0 for RSA */
    size_t signature_len; /* exact bytes of a signature; 0 for RSA (as long as the modulus) */
};

/* The row of the table; static. algorithm is a valid one. */
const struct algorithm_info *algorithm_info(enum algorithm algorithm);

/* The algorithm of exactly this name, case and all; -1 for any other. */
int algorithm_find(struct span name);

#endif
