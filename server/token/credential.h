/*
 * credential: the bearer token in an Authorization header (RFC 6750 section 2.1), and nowhere else:
 * not in the query, the body or a cookie, where it would end in logs and histories.
 */
#ifndef SERVER_TOKEN_CREDENTIAL_H
#define SERVER_TOKEN_CREDENTIAL_H

#include "server/token/evidence.h"
#include "server/token/reason.h"

struct credential {
    struct span token; /* a b64token, borrowed from the evidence; nothing is known about it yet */
};

enum credential_found {
    CREDENTIAL_NONE,    /* no Authorization header, or one of another scheme; refusal tells which */
    CREDENTIAL_BEARER,  /* *ret is set */
    CREDENTIAL_REFUSED, /* malformed, repeated or larger than token_max bytes; refusal is set */
};

/*
 * Read the evidence's Authorization header. Refused: several headers, an empty one, bytes that are
 * no plain ASCII, Bearer with anything but one b64token behind it, and a token larger than
 * token_max bytes. Another scheme is no bearer credential, and no fault either.
 */
enum credential_found credential_parse(const struct evidence *evidence, size_t token_max,
                                       struct credential *ret, struct refusal *refusal);

/*
 * What would be the token, if the header is one that credential_parse() accepts with one space in
 * it: to look for among those that were accepted before, and for nothing else, since no byte of it
 * was looked at. Absent where it is plain that there is no such token, or a larger one than
 * token_max.
 */
struct span credential_peek(const struct evidence *evidence, size_t token_max);

#endif
