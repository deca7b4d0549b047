/*
 * claims: do the claims of a verified token hold here and now (RFC 7519 section 4.1, RFC 9068)?
 * Called after the signature was checked, so descriptions may quote what the token says.
 */
#ifndef SERVER_TOKEN_CLAIMS_H
#define SERVER_TOKEN_CLAIMS_H

#include <stdint.h>

#include "server/config/config.h"
#include "server/token/jwt.h"
#include "server/token/trace.h"

/* When the claims of a token hold, leeway included. Wall clock, seconds. */
struct validity {
    int64_t from;    /* the first second at which they do; INT64_MIN where nothing says when */
    int64_t until;   /* the first second at which they do no longer */
    int64_t expires; /* the exp claim as it stands, without leeway */
};

/* Do the claims hold at now, as claims_check() would judge their times then? */
static inline bool validity_holds(const struct validity *validity, int64_t now) {
    return now >= validity->from && now < validity->until;
}

/*
 * Check type, audience, times, subject and binding of a token of this issuer at now (wall clock,
 * seconds). iss itself is already known to be equal. On true *ret_validity is set;
 * at any other moment the answer would differ only by what that says. Where the token has expired,
 * until and expires of it are set: from until on the answer will be the same. With a trace (NULL:
 * none) all is looked at and told; the refusal is the first fault in any case.
 */
bool claims_check(const struct jwt *jwt, const struct config_issuer *issuer, int64_t now,
                  const struct trace *trace, struct validity *ret_validity,
                  struct refusal *refusal) MUST_CHECK;

/* Refuse a token of issuer that expired at exp, as claims_check() does at now. Returns false. */
bool claims_refuse_expired(int64_t exp, int64_t now, const struct config_issuer *issuer,
                           struct refusal *refusal);

/*
 * The claim at path: the member of exactly that name, or, level by level, "a.b" for b in the object
 * a. NULL where there is none. Borrowed from claims.
 */
const struct jnode *claim_find(const struct jnode *claims, const char *path);

#endif
