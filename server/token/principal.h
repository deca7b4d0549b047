/*
 * principal: who is calling, proven. Only authenticate() can make one; later steps take a principal
 * where they must not act for a stranger.
 */
#ifndef SERVER_TOKEN_PRINCIPAL_H
#define SERVER_TOKEN_PRINCIPAL_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "common/span.h"
#include "server/config/config.h"

struct principal;

/* Its owner: forget it. NULL is fine. */
void principal_free(struct principal *principal);
CLEANUP_DEFINE(struct principal *, principal_free)

/* All that these return lives as long as the principal; the issuer as long as the keyring. */

/* The user's name: never empty, UTF-8, may hold any character but NUL. */
struct span principal_user(const struct principal *principal);

/* The sub claim (RFC 7519 section 4.1.2); absent where the token has none. */
struct span principal_subject(const struct principal *principal);

/* The claim at that path, a dot leading into objects, as role_claims has it; NULL: none, or null.
 */
const json_t *principal_claim(const struct principal *principal, const char *path);

/* The issuer whose token proved it. */
const struct config_issuer *principal_issuer(const struct principal *principal);

/* The scopes and roles that the token grants, in its order. */
const struct span *principal_scopes(const struct principal *principal, size_t *ret_count);
const struct span *principal_roles(const struct principal *principal, size_t *ret_count);
bool principal_has_scope(const struct principal *principal, const char *scope);

/* When the token expires: wall clock, seconds, without leeway. */
int64_t principal_expires(const struct principal *principal);

#endif
