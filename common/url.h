/*
 * url: absolute http and https URLs, as configuration and issuers give them (RFC 3986).
 */
#ifndef COMMON_URL_H
#define COMMON_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/span.h"

struct url {
    bool https;
    struct span host; /* without the brackets of an IPv6 address */
    uint16_t port;    /* the scheme's own where none is written */
    struct span rest; /* path and query; empty, or starting with '/' or '?' */
};

/*
 * Take text apart; the spans point into it. Refused, with the reason in err: another scheme, user
 * information, a fragment, a missing host, a port out of range, and any byte outside visible ASCII.
 * Returns 0 or ERR_SYNTAX.
 */
int url_parse(struct span text, struct url *ret, struct err_text *err) MUST_CHECK;

/* Is the host "localhost", 127.0.0.0/8 or ::1, so that the bytes never leave this machine? */
bool url_is_loopback(const struct url *url);

/* Same scheme, host (but for case) and port (RFC 6454 section 5). */
bool url_same_origin(const struct url *a, const struct url *b);

#endif
