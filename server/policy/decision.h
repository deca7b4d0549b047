/*
 * decision: may this caller have what the route gives? Pure: requirement and principal in, decision
 * out.
 */
#ifndef SERVER_POLICY_DECISION_H
#define SERVER_POLICY_DECISION_H

#include "common/buf.h"
#include "server/config/config.h"
#include "server/token/principal.h"
#include "server/token/reason.h"

/*
 * That a request may go on. Only authorize() makes one with allowed set; what acts for a caller
 * takes a decision and looks at it.
 */
struct decision {
    bool allowed;
    const struct config_route *route;
    const struct principal *principal; /* NULL: anonymous, where the route allows it */
};

/*
 * Judge a principal, or NULL for a request without credentials, by the route. Refusals for lacking
 * scope name the first scope that lacks. Without credentials refusal is left as authenticate() set
 * it, which says what was lacking.
 */
struct decision authorize(const struct config_route *route, const struct principal *principal,
                          struct refusal *refusal) MUST_CHECK;

/*
 * The scopes that a token needs for route, as a challenge lists them (RFC 6750 section 3): those
 * that every token of the principal's issuer must carry, then the route's, each once.
 */
void decision_add_scopes(const struct config_route *route, const struct principal *principal,
                         struct buf *out);

#endif
