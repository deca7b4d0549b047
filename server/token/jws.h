/*
 * jws: a signed message taken apart (RFC 7515 compact serialization), whatever its payload is.
 * Nothing in it may be believed before verify_signature() said so.
 */
#ifndef SERVER_TOKEN_JWS_H
#define SERVER_TOKEN_JWS_H

#include "common/jtree.h"
#include "common/span.h"
#include "server/config/algorithm.h"
#include "server/token/reason.h"

struct jws {
    struct span signing_input; /* borrowed from the token: the first two segments and their dot */
    struct span payload;       /* decoded, in memory; may be empty */
    struct span signature;     /* decoded, in memory */
    struct jtree *header;      /* an object */
    enum algorithm algorithm;
    struct span kid;       /* in header; absent if the token names none */
    unsigned char *memory; /* of the decoded segments */
};

/*
 * Take token apart. Refused, always before any cryptography: anything but three segments of strict
 * base64url (so a JWE is never opened), an empty signature, a header that is not one JSON object
 * without duplicate members, an alg outside the table of algorithms (RFC 8725 section 3.1), "crit"
 * (RFC 7515 section 4.1.11: we understand no extension), "b64": false (RFC 7797 section 7), "zip"
 * and "enc". The header parameters jwk, jku, x5u and x5c are never looked at: no key and no URL is
 * ever taken from a token.
 * Returns true with *ret to be released by jws_done(), which token must outlive; else false with
 * refusal set.
 */
bool jws_parse(struct span token, struct jws *ret, struct refusal *refusal) MUST_CHECK;

/* Release what jws_parse() made; leaves it empty. */
void jws_done(struct jws *jws);

#endif
