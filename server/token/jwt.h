/*
 * jwt: a token taken apart (RFC 7519, RFC 7515 compact serialization). Everything in it is what a
 * stranger wrote: nothing may be believed before verify_signature() said so.
 */
#ifndef SERVER_TOKEN_JWT_H
#define SERVER_TOKEN_JWT_H

#include <jansson.h>

#include "common/span.h"
#include "server/config/algorithm.h"
#include "server/token/reason.h"

enum jwt_type { JWT_TYPE_ABSENT, JWT_TYPE_JWT, JWT_TYPE_AT_JWT };

struct jwt {
    struct span signing_input; /* borrowed from the token: the first two segments and their dot */
    struct span signature;     /* decoded, in memory */
    json_t *header;
    json_t *claims;
    enum algorithm algorithm;
    enum jwt_type type;
    struct span kid;       /* in header; absent if the token names none */
    unsigned char *memory; /* of the decoded segments */
};

/*
 * Take token apart. Refused, always before any cryptography: anything but three segments of strict
 * base64url (so a JWE is never opened), a header or payload that is not one JSON object without
 * duplicate members, an alg outside the table of algorithms (RFC 8725 section 3.1), "crit" (RFC
 * 7515 section 4.1.11: we understand no extension), "b64": false (RFC 7797 section 7), "zip",
 * a nested token, and a typ of another kind of JWT (RFC 8725 section 3.11). The header parameters
 * jwk, jku, x5u and x5c are never looked at: no key and no URL is ever taken from a token.
 * Returns true with *ret to be released by jwt_done(), which token must outlive; else false with
 * refusal set.
 */
bool jwt_parse(struct span token, struct jwt *ret, struct refusal *refusal) MUST_CHECK;

void jwt_done(struct jwt *jwt);

#endif
