/*
 * authenticate: from evidence to principal. Pure: no I/O, no waiting; what a request must wait for
 * is told to the caller.
 */
#ifndef SERVER_TOKEN_AUTHENTICATE_H
#define SERVER_TOKEN_AUTHENTICATE_H

#include "server/keys/keyring.h"
#include "server/token/cache.h"
#include "server/token/evidence.h"
#include "server/token/principal.h"
#include "server/token/reason.h"
#include "server/token/verifier.h"

enum authenticated {
    AUTH_PRINCIPAL, /* *ret_principal is set */
    AUTH_ABSENT,    /* no bearer credentials; refusal says so, should the route want some */
    AUTH_REFUSED,   /* refusal is set */
    AUTH_NEEDS_KEYS /* refused as it stands, but *ret_entry's issuer may have newer keys */
};

/* What a thread keeps from one token to the next. It makes judging faster and changes no verdict;
 * any of it may be NULL. */
struct aids {
    struct token_cache *cache;
    struct token_cache *expired; /* for token_cache_add_expired() */
    struct verifier *verifier;
};

/*
 * Judge the evidence by the keys and issuers of ring, and by what it says is denied. token_max is
 * the largest token accepted, in bytes. The caller drops its reference to the principal before it
 * drops the ring.
 */
enum authenticated authenticate(const struct evidence *evidence, const struct keyring *ring,
                                const struct aids *aids, size_t token_max,
                                struct principal **ret_principal,
                                const struct keyring_entry **ret_entry,
                                struct refusal *refusal) MUST_CHECK;

#endif
