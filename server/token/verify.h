/*
 * verify: is this the signature of that key over these bytes (RFC 7515 section 5.2)? The one place
 * where bytes become believable.
 */
#ifndef SERVER_TOKEN_VERIFY_H
#define SERVER_TOKEN_VERIFY_H

#include "common/span.h"
#include "server/keys/jwk.h"
#include "server/token/verifier.h"

/*
 * True only for a valid signature by key with algorithm, which the key must be bound to. A
 * signature of another length than the algorithm's, r or s out of range (CVE-2022-21449), or any
 * failure on the way is false. What verifier, the thread's own (NULL: none), keeps makes it faster.
 * Leaves OpenSSL's error queue empty.
 */
bool verify_signature(struct verifier *verifier, const struct key *key, enum algorithm algorithm,
                      struct span signing_input, struct span signature) MUST_CHECK;

#endif
