/*
 * jwk: one JSON Web Key (RFC 7517) made into a public key that is fit to verify signatures.
 *
 * OpenSSL parses weak and nonsensical keys without a word, so everything that makes a key unfit is
 * refused here, once, when the key arrives; nothing has to be asked again for each token.
 */
#ifndef SERVER_KEYS_JWK_H
#define SERVER_KEYS_JWK_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>

#include "common/err.h"
#include "server/config/algorithm.h"

struct key {
    EVP_PKEY *pkey;
    char *kid;                /* NULL where the JWK names none */
    algorithm_set algorithms; /* the only ones this key may verify */
    bool had_private;         /* the issuer published private members; they were not read */
};

/*
 * Read a JWK. Fit are RSA of 2048 to 8192 bits with an odd exponent of 3 or more and without the
 * ROCA weakness, EC keys on P-256, P-384 and P-521 whose point lies on the curve, and Ed25519.
 * "use" must be absent or "sig", "key_ops" absent or with "verify", "alg" absent or one that this
 * type of key can verify (RFC 7517 section 4; RFC 8725 section 3.1). Key material comes from n, e,
 * crv, x, y only; certificates in the JWK are ignored.
 * Returns 0 with *ret to be released by key_done(), or ERR_SYNTAX or ERR_MEMORY with the reason.
 */
int jwk_parse(const json_t *jwk, struct key *ret, struct err_text *err) MUST_CHECK;

/* Free what jwk_parse() made; fine on a zeroed key, and twice. */
void key_done(struct key *key);

/* The public members of a JWK that jwk_parse() accepted, as a new object; NULL without memory. */
json_t *jwk_public_members(const json_t *jwk);

#endif
