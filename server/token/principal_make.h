/*
 * principal_make: how a principal comes to be and what it costs. For authenticate.c, note.c
 * and cache.c alone: whoever else includes this could make believe that somebody was authenticated.
 */
#ifndef SERVER_TOKEN_PRINCIPAL_MAKE_H
#define SERVER_TOKEN_PRINCIPAL_MAKE_H

#include "server/token/principal.h"
#include "server/token/reason.h"

/*
 * Read user, scopes and roles out of the claims of a token that was verified and checked, of which
 * a reference is kept; *ret holds one reference. Refused: claims that name no user, and scopes or
 * roles of a wrong type.
 */
bool principal_make(struct jtree *claims, const struct config_issuer *issuer, int64_t expires,
                    struct principal **ret, struct refusal *refusal) MUST_CHECK;

/* About how many bytes of memory it takes, with all that is remembered with it. */
size_t principal_size(const struct principal *principal);

/*
 * Add the principal's size to *ledger, and keep it right there when something more is remembered,
 * until it is charged to another ledger, or to NULL: nobody. The ledger must live until then.
 */
void principal_charge(const struct principal *principal, size_t *ledger);

#endif
