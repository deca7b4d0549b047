/*
 * jwt: a JWS whose payload is claims (RFC 7519). Everything in it is what a stranger wrote: nothing
 * may be believed before verify_signature() said so.
 */
#ifndef SERVER_TOKEN_JWT_H
#define SERVER_TOKEN_JWT_H

#include "server/token/jws.h"

enum jwt_type { JWT_TYPE_ABSENT, JWT_TYPE_JWT, JWT_TYPE_AT_JWT };

struct jwt {
    struct jws jws;
    enum jwt_type type;
    struct jtree *claims; /* an object */
};

/*
 * Take token apart. Refused besides all that jws_parse() refuses, and also before any cryptography:
 * a typ of another kind of JWT (RFC 8725 section 3.11), a nested token, and a payload that is not
 * one JSON object without duplicate members.
 * Returns true with *ret to be released by jwt_done(), which token must outlive; else false with
 * refusal set.
 */
bool jwt_parse(struct span token, struct jwt *ret, struct refusal *refusal) MUST_CHECK;

/* Release what jwt_parse() made; leaves it empty. */
void jwt_done(struct jwt *jwt);

#endif
