/*
 * note: what a trace is told about a token on its way through authenticate(). Who asks why may see
 * what the token says, and what is configured and looks like it; never a signature.
 */
#ifndef SERVER_TOKEN_NOTE_H
#define SERVER_TOKEN_NOTE_H

#include "server/keys/keyring.h"
#include "server/token/evidence.h"
#include "server/token/jwt.h"
#include "server/token/principal.h"
#include "server/token/reason.h"

/* All of these need a trace that is not NULL. */

/* jwt_parse() refused it: the step that failed, and what its header says where that can be read. */
void note_unreadable(const struct trace *trace, struct span token, const struct refusal *refusal);

/* What the header of a token that could be taken apart says. */
void note_header(const struct trace *trace, const struct jwt *jwt);

/* No issuer of ring is named iss: which one was probably meant. */
void note_unknown_issuer(const struct trace *trace, struct span iss, const struct keyring *ring);

/* The key that was found; where it is NULL, why, and which keys there are. */
void note_key(const struct trace *trace, const struct jws *jws, const struct keyring_entry *entry,
              const struct key *key, const struct refusal *refusal);

/*
 * It is not proven that the issuer made the token, and why. What its claims would have come to is
 * told all the same: a token whose key is gone has often expired, too.
 */
void note_unproven(const struct trace *trace, const struct jwt *jwt,
                   const struct config_issuer *issuer, int64_t now, const char *why);

/* Who it would be, also where the claims do not hold: then nobody gets this principal. */
void note_principal(const struct trace *trace, const struct jwt *jwt,
                    const struct config_issuer *issuer);

/* The entry of the deny list that denies a principal, whose token the key of that kid verified. */
void note_denied(const struct evidence *evidence, const struct principal *principal,
                 const char *kid);

#endif
