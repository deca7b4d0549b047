/*
 * principal_make: how a principal comes to be. For authenticate.c alone: whoever else includes this
 * could make believe that somebody was authenticated.
 */
#ifndef SERVER_TOKEN_PRINCIPAL_MAKE_H
#define SERVER_TOKEN_PRINCIPAL_MAKE_H

#include <jansson.h>

#include "server/token/principal.h"
#include "server/token/reason.h"

/*
 * Read user, scopes and roles out of the claims of a token that was verified and checked, of which
 * a reference is kept. Refused: claims that name no user, and scopes or roles of a wrong type.
 */
bool principal_make(json_t *claims, const struct config_issuer *issuer, int64_t expires,
                    struct principal **ret, struct refusal *refusal) MUST_CHECK;

#endif
