/*
 * assertion: a short-lived signed JWT about the principal, by which an upstream can tell that a
 * request came through the gate, and for whom (RFC 7519). Minted with libjwt under a key of our
 * own, whose public half upstreams fetch as a JWK set.
 */
#ifndef SERVER_PROXY_ASSERTION_H
#define SERVER_PROXY_ASSERTION_H

#include <stdint.h>

#include "common/attr.h"
#include "common/err.h"
#include "common/span.h"
#include "server/config/config.h"
#include "server/token/principal.h"

/* A signing key and what is said about it. Immutable; shared by all threads. */
struct assertion_key;

/*
 * The key of config->assertion.private_key (unencrypted PEM: an EC P-256 key for ES256, or RSA of
 * 2048 to 8192 bits for RS256), whoever owns the file. Where none is configured: the one kept as
 * assertion.pem in the state directory, made at the first start (ES256, mode 0600, written whole or
 * not at all) and refused where another user owns it or may write it; or, without such a folder,
 * one that lives as long as the process: previous (which may be NULL) where that was such a one
 * too, and never a key that the operator has taken out of use. A file that every user may read is
 * used, and warned of in the log. Its kid is the thumbprint of the public key (RFC 7638). Does file
 * I/O: main thread. Returns 0 with one reference in *ret, or an error with the reason, which names
 * the file.
 */
int assertion_key_new(const struct config *config, struct assertion_key *previous,
                      struct assertion_key **ret, struct err_text *err) MUST_CHECK;

/* Any thread: take one more reference; drop one, the last wipes and frees (NULL is fine). */
struct assertion_key *assertion_key_ref(struct assertion_key *key);
void assertion_key_unref(struct assertion_key *key);
CLEANUP_DEFINE(struct assertion_key *, assertion_key_unref)

/* The JWK set with the public key (RFC 7517 section 5), as text. Lives with the key. */
struct span assertion_jwks(const struct assertion_key *key);

/*
 * A JWT for audience (the upstream's name) about the principal. Header: alg, kid, typ "JWT".
 * Claims, none of which is ever left out: iss (config->issuer), aud, sub (the principal's sub; its
 * user where that is absent or empty), username, scope (space-separated), roles (array),
 * token_issuer (who vouched for the user), iat, exp, jti (random). What is no scope-token of RFC
 * 6749 section 3.3 is not in scope: "a b" would be read as two scopes. exp is lifetime after now,
 * but never after the principal's own expiry, so it is in the past for a token that was let through
 * by leeway. now is wall clock, seconds. Returns the text, which the caller frees, and its exp in
 * *ret_exp; NULL without memory, or where the claims are beyond JWK_CLAIMS_MAX (128 KiB). Any
 * thread, which it keeps busy: about 0.4 ms with ES256, up to 5 ms with RS256.
 */
char *assertion_mint(const struct assertion_key *key, const struct config_assertion *config,
                     const char *audience, const struct principal *principal, int64_t now,
                     int64_t *ret_exp) MUST_CHECK;

/* One that was made, and from when on (wall clock, seconds) another is due. */
struct assertion {
    struct span text;
    int64_t until;
};

/*
 * The same for an upstream, made once for each principal, and again when its time is nearly up:
 * what arrives at the upstream must not be expired. *ret lives until something more is remembered
 * with that principal. False where it cannot be made; the request must not go on without it then.
 * The worker's thread.
 */
bool assertion_find(const struct assertion_key *key, const struct config *config,
                    const struct config_upstream *upstream, const struct principal *principal,
                    int64_t now, struct assertion *ret) MUST_CHECK;

#endif
