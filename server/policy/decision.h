/*
 * decision: may this caller have what the route gives? Pure: requirement and principal in, decision
 * out.
 */
#ifndef SERVER_POLICY_DECISION_H
#define SERVER_POLICY_DECISION_H

#include "common/buf.h"
#include "server/config/config.h"
#include "server/policy/route.h"
#include "server/token/evidence.h"
#include "server/token/principal.h"
#include "server/token/reason.h"

/*
 * That a request may go on. Only the functions here make one with allowed set; what acts for a
 * caller takes a decision and looks at it.
 */
struct decision {
    bool allowed;
    bool reported; /* allowed because the route only reports; the refusal says what it lacks */
    const struct config_route *route;
    const struct principal *principal; /* NULL: anonymous, where the route allows it */
    const struct requirement *by;      /* where something lacks: the part that wants it, or NULL */
    const struct requirement *outermost; /* the route's */
};

/*
 * Judge a principal, or NULL for a request without credentials, by the route, at the time that the
 * evidence tells, and tell its trace. A refusal names the first thing that lacks. Without
 * credentials refusal is left as authenticate() set it, which says what was lacking.
 */
struct decision authorize(const struct route_match *match, const struct principal *principal,
                          const struct evidence *evidence, struct refusal *refusal) MUST_CHECK;

/*
 * A CORS preflight for the route, which browsers send without credentials: allowed where its
 * upstream is to answer them, and nowhere else.
 */
struct decision authorize_preflight(const struct route_match *match) MUST_CHECK;

/*
 * The scopes that a token needs for the route, as a challenge lists them (RFC 6750 section 3):
 * those that every token of the principal's issuer must carry, then the route's, each once. Nothing
 * where it is not scopes that lack.
 */
void decision_add_scopes(const struct decision *decision, enum reason reason, struct buf *out);

#endif
