/*
 * credential: the bearer token in an Authorization header (RFC 6750 section 2.1), and nowhere else:
 * not in the query, the body or a cookie, where it would end in logs and histories.
 */
#ifndef SERVER_TOKEN_CREDENTIAL_H
#define SERVER_TOKEN_CREDENTIAL_H

#include "server/token/evidence.h"
#include "server/token/reason.h"

struct credential {
    struct span token; /* one byte or more, borrowed from the evidence; nothing is known about it */
};

enum credential_found {
    CREDENTIAL_NONE,    /* no Authorization header, or one of another scheme; refusal tells which */
    CREDENTIAL_BEARER,  /* *ret is set */
    CREDENTIAL_REFUSED, /* malformed, repeated or larger than token_max bytes; refusal is set */
};

/*
 * Read the evidence's Authorization header. Refused: several headers, an empty one, bytes that are
 * no plain ASCII, Bearer with nothing behind it, and a token larger than token_max bytes. Another
 * scheme is no bearer credential, and no fault either. What stands behind Bearer is not looked at:
 * most of it is known already, or is read byte by byte in any case.
 */
enum credential_found credential_parse(const struct evidence *evidence, size_t token_max,
                                       struct credential *ret, struct refusal *refusal);

/*
 * Is what was found a b64token (RFC 6750 section 2.1)? What is none gets this refusal and no other:
 * to be asked before a token is refused for what it holds, and before one that may hold anything is
 * believed. False with refusal set.
 */
bool credential_check(const struct credential *credential, struct refusal *refusal) MUST_CHECK;

#endif
