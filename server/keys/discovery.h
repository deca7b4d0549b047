/*
 * discovery: what an issuer's openid-configuration may tell us (OpenID Connect Discovery 1.0
 * section 4, RFC 8414 section 3).
 */
#ifndef SERVER_KEYS_DISCOVERY_H
#define SERVER_KEYS_DISCOVERY_H

#include "common/err.h"
#include "common/span.h"
#include "server/config/config.h"

/*
 * Take the jwks_uri out of a discovery document. Refused: an "issuer" that is not exactly the
 * configured one (section 4.3: else one host could speak for another), and a jwks_uri that is no
 * URL or that plain http would fetch where this issuer must be fetched by https. The caller frees
 * *ret_jwks_uri. Returns 0, ERR_SYNTAX, ERR_LIMIT or ERR_MEMORY with the reason in err.
 */
int discovery_parse(struct span document, const struct config_issuer *issuer, char **ret_jwks_uri,
                    struct err_text *err) MUST_CHECK;

/*
 * Why two issuers that look alike are not equal, as a hint to the reader of a log: "only a slash at
 * the end differs". Never NULL; "" where they do not look alike. Static text.
 */
const char *issuer_near_miss(struct span configured, struct span found);

/* May plain http be used for this issuer's documents at this URL? */
bool issuer_allows_http(const struct config_issuer *issuer, const char *url);

#endif
