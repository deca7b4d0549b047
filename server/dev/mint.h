/*
 * mint: throwaway signing keys and tokens of the development issuer. RS256 and ES256 are minted by
 * libjwt, EdDSA, which it does not know, by OpenSSL.
 */
#ifndef SERVER_DEV_MINT_H
#define SERVER_DEV_MINT_H

#include <jansson.h>

#include "common/err.h"
#include "server/config/algorithm.h"

struct mint_key;

/* A fresh key for RS256, ES256 or EdDSA, with the name of the algorithm as its kid. NULL: failed.
 */
struct mint_key *mint_key_new(enum algorithm algorithm);
void mint_key_free(struct mint_key *key); /* NULL is fine */

/* Its public JWK, a new object; NULL: failed. */
json_t *mint_key_jwk(const struct mint_key *key);

/*
 * A signed JWT with these claims and, as libjwt writes no other, the typ "JWT"; with EdDSA it is
 * "at+jwt". The caller frees it. NULL: failed.
 */
char *mint_token(const struct mint_key *key, const json_t *claims) MUST_CHECK;

#endif
