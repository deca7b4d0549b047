/*
 * keyset: the usable keys of one issuer, as its JWKS gave them (RFC 7517 section 5). Immutable and
 * shared by reference count.
 */
#ifndef SERVER_KEYS_KEYSET_H
#define SERVER_KEYS_KEYSET_H

#include <stddef.h>

#include "common/ref.h"
#include "server/keys/jwk.h"

/* A larger set is refused whole: it is an attack or a mistake, and lookup is linear. */
#define KEYSET_KEYS_MAX 100

/* A key that was left out, and why. */
struct keyset_skipped {
    size_t index; /* in the JWKS, from 0 */
    char *kid;    /* NULL where it has none that is a string */
    char *why;    /* reads behind "key 3 (kid) ..." */
};

struct keyset {
    struct ref ref;
    struct key *keys;
    size_t count;
    struct keyset_skipped *skipped;
    size_t skipped_count;
    char *document; /* a JWKS of the public members of the usable keys, to be kept on disk */
};

/*
 * Read a JWKS. Unusable keys are skipped one by one; a set without any usable key is an error, so
 * that it can never replace a good one. *ret holds one reference.
 * Returns 0, ERR_SYNTAX, ERR_LIMIT or ERR_MEMORY with the reason in err.
 */
int keyset_parse(struct span text, struct keyset **ret, struct err_text *err) MUST_CHECK;

/* Any thread: take one more reference; drop one, the last frees (NULL is fine). */
struct keyset *keyset_ref(struct keyset *set);
void keyset_unref(struct keyset *set);
CLEANUP_DEFINE(struct keyset *, keyset_unref)

enum key_found {
    KEY_FOUND,
    KEY_UNKNOWN,   /* no such kid; for a token without kid: no key that fits alg */
    KEY_UNFIT,     /* the kid is there, but its key must not verify this algorithm */
    KEY_AMBIGUOUS, /* several keys fit; which one is meant cannot be told */
};

/*
 * The key that a token with this kid (absent: none) and alg must be verified with. Exactly one key
 * may fit: keys are never tried in turn. *ret lives as long as the set.
 */
enum key_found keyset_find(const struct keyset *set, struct span kid, enum algorithm algorithm,
                           const struct key **ret);

#endif
