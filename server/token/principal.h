/*
 * principal: who is calling, proven. Only authenticate() can make one; later steps take a principal
 * where they must not act for a stranger. Requests with the same token may share one. Counted
 * without atomics: a principal never leaves its worker.
 */
#ifndef SERVER_TOKEN_PRINCIPAL_H
#define SERVER_TOKEN_PRINCIPAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "common/jtree.h"
#include "common/span.h"
#include "server/config/config.h"
#include "server/token/memo.h"

struct principal;

/* Take one more reference; drop one, the last frees (NULL is fine). */
struct principal *principal_ref(struct principal *principal);
void principal_unref(struct principal *principal);
CLEANUP_DEFINE(struct principal *, principal_unref)

/* All that these return lives as long as the principal; the issuer as long as the keyring. */

/* The user's name: never empty, UTF-8, may hold any character but NUL. */
struct span principal_user(const struct principal *principal);

/* The claims that user and scopes were read from, as user_claims and scope_claims list them. No
 * claim lists scopes: NULL. */
const char *principal_user_claim(const struct principal *principal);
const char *principal_scope_claim(const struct principal *principal);

/* The sub claim (RFC 7519 section 4.1.2); absent where the token has none. */
struct span principal_subject(const struct principal *principal);

/* The claim at that path, a dot leading into objects, as role_claims has it; NULL: none, or null.
 */
const struct jnode *principal_claim(const struct principal *principal, const char *path);

/* The issuer whose token proved it. */
const struct config_issuer *principal_issuer(const struct principal *principal);

/* The scopes and roles that the token grants, in its order. */
const struct span *principal_scopes(const struct principal *principal, size_t *ret_count);
const struct span *principal_roles(const struct principal *principal, size_t *ret_count);
bool principal_has_scope(const struct principal *principal, const char *scope);

/* When the token expires: wall clock, seconds, without leeway. */
int64_t principal_expires(const struct principal *principal);

/*
 * What was worked out about a principal may be remembered with it, under the address of something
 * of whoever remembers it: who the principal is does not change by that, so it may be constant. At
 * most MEMOS_MAX are kept; beyond, the oldest goes.
 *
 * A principal ends with the configuration it was proven by: a reload makes another one of the same
 * token. So what depends on nothing but the principal and that configuration may be remembered for
 * as long as the principal lives (MEMO_HOLDS).
 *
 * principal_memo() gives the thing that was remembered under key and is freed so while now (wall
 * clock, seconds) is before its end, else NULL. It lives until the next principal_remember() of the
 * same principal, which another request may call: copy what has to live longer, or take a reference
 * where it has some.
 *
 * principal_remember() takes the thing over, and frees what it replaces. False without memory: then
 * the thing is still the caller's.
 */
void *principal_memo(const struct principal *principal, const void *key, memo_free *free,
                     int64_t now);
bool principal_remember(const struct principal *principal, const struct memo *memo) MUST_CHECK;

#endif
