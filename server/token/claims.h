/*
 * claims: do the claims of a verified token hold here and now (RFC 7519 section 4.1, RFC 9068)?
 * Called after the signature was checked, so descriptions may quote what the token says.
 */
#ifndef SERVER_TOKEN_CLAIMS_H
#define SERVER_TOKEN_CLAIMS_H

#include <jansson.h>

#include "server/config/config.h"
#include "server/token/jwt.h"

/*
 * Check type, audience, times, subject and binding of a token of this issuer at now (wall clock,
 * seconds). iss itself is already known to be equal. On true *ret_expires is the exp claim.
 */
bool claims_check(const struct jwt *jwt, const struct config_issuer *issuer, int64_t now,
                  int64_t *ret_expires, struct refusal *refusal) MUST_CHECK;

/*
 * The claim at path: the member of exactly that name, or, level by level, "a.b" for b in the object
 * a. NULL where there is none. Borrowed from claims.
 */
const json_t *claim_find(const json_t *claims, const char *path);

#endif
