/*
 * issuer: a throwaway OpenID provider on loopback, with fresh keys for RS256, ES256 and EdDSA. It
 * gives anybody any token and is for trying things out only.
 *
 *   GET  /.well-known/openid-configuration, /jwks
 *   POST /token   grant_type=client_credentials and, as you like, scope, audience (default "api"),
 *                 user (default "bob@example.com"), alg (default RS256), expires_in (seconds,
 *                 default 3600; negative: already expired). With "Accept: text/plain" the bare
 *                 token, else JSON (RFC 6749 section 5.1).
 */
#ifndef SERVER_DEV_ISSUER_H
#define SERVER_DEV_ISSUER_H

#include "common/err.h"

struct dev_issuer;

/* Serve on a free port of 127.0.0.1, on a thread of its own. Returns 0 or ERR_SYSTEM. */
int dev_issuer_start(struct dev_issuer **ret, struct err_text *err) MUST_CHECK;
void dev_issuer_stop(struct dev_issuer *issuer); /* NULL is fine */

/* "http://127.0.0.1:PORT", as long as the issuer lives. */
const char *dev_issuer_url(const struct dev_issuer *issuer);

#endif
