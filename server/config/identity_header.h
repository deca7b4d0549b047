/*
 * identity_header: which fields may tell an upstream who is calling.
 */
#ifndef SERVER_CONFIG_IDENTITY_HEADER_H
#define SERVER_CONFIG_IDENTITY_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/span.h"

#define IDENTITY_HEADER_MAX 64 /* bytes of a name */

/*
 * Is the name one that identity may be told under: a token (RFC 9110 section 5.1) and, compared as
 * below, none of the fields that HTTP or the proxy itself needs? ERR_SYNTAX with the reason, which
 * reads behind the quoted value.
 */
int identity_header_check(struct span name, struct err_text *why) MUST_CHECK;

/*
 * Are two names one field to an upstream that drops or replaces what is no letter or digit and
 * ignores case, as CGI does (RFC 3875 section 4.1.18)? X_Auth-User is X-Auth-User.
 */
bool identity_header_same(struct span a, struct span b);

/* A hash that is equal for names that identity_header_same() finds the same. */
uint64_t identity_header_hash(struct span name);

#endif
