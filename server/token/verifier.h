/*
 * verifier: OpenSSL's contexts for the keys that are in use, prepared once for each key and not for
 * each signature: OpenSSL 3 looks for the implementation by name each time, which took a fifth as
 * long as an RSA verification itself. One thread.
 */
#ifndef SERVER_TOKEN_VERIFIER_H
#define SERVER_TOKEN_VERIFIER_H

#include <stdbool.h>

#include "common/attr.h"
#include "common/span.h"
#include "server/config/algorithm.h"
#include "server/keys/jwk.h"

struct verifier;

/* An empty one, freed by verifier_free(); NULL without memory. It holds contexts of a bounded
 * number of keys, some that were withdrawn among them: which key may be used is not its matter. */
struct verifier *verifier_new(void);

/* Free it and let go the keys in it. NULL is fine. */
void verifier_free(struct verifier *verifier);
CLEANUP_DEFINE(struct verifier *, verifier_free)

/*
 * Is signature, in the encoding that OpenSSL wants, that of key over input? The algorithm is one
 * that the key is bound to. False also for any failure on the way, which may leave something in
 * OpenSSL's error queue. verifier NULL: contexts are made for this one call.
 */
bool verifier_check(struct verifier *verifier, const struct key *key, enum algorithm algorithm,
                    struct span input, struct span signature) MUST_CHECK;

#endif
