#include "server/policy/decision.h"

/* What every token of its issuer must carry. */
static bool check_base(const struct principal *principal, struct refusal *refusal) {
    const struct strings *scopes = &principal_issuer(principal)->scopes;
    for (size_t i = 0; i < scopes->count; i++)
        if (!principal_has_scope(principal, scopes->items[i]))
            return refuse(refusal, REASON_SCOPE_MISSING, "the token lacks the scope '%.100s'",
                          scopes->items[i]);
    return true;
}

/* Faults of the token and of the login come before what it may do. */
static bool is_about_token(const struct refusal *refusal) {
    return reason_class(refusal->reason) != CLASS_INSUFFICIENT_SCOPE;
}

struct decision authorize(const struct route_match *match, const struct principal *principal,
                          const struct evidence *evidence, struct refusal *refusal) {
    const struct route *route = match->route;
    struct decision decision = {
        .route = route->config, .principal = principal, .outermost = route->require};
    struct refusal lacking;

    if (!principal) {
        decision.allowed = route->config->anonymous;
        return decision;
    }
    struct requirement_facts facts = {principal, match->captures, evidence->now, evidence->trace};
    bool met = requirement_check(route->require, &facts, &decision.by, &lacking);
    bool based = check_base(principal, refusal);
    if (!based) TRACE_BAD(evidence->trace, "scopes of the issuer", "%s", refusal->text);
    /* A rule that is only tried out is not why somebody is refused. */
    if (!met && (based || (is_about_token(&lacking) && !route->config->report_only)))
        *refusal = lacking;
    decision.allowed = met && based;
    if (met || !based || !route->config->report_only) return decision;
    decision.allowed = decision.reported = true;
    return decision;
}

struct decision authorize_preflight(const struct route_match *match) {
    return (struct decision){.allowed = match->route->config->cors.preflight == PREFLIGHT_PASS,
                             .route = match->route->config,
                             .outermost = match->route->require};
}

void decision_add_scopes(const struct decision *decision, enum reason reason, struct buf *out) {
    if (!decision->principal || (reason != REASON_SCOPE_MISSING && reason != REASON_ROLE_MISSING))
        return;
    const struct strings *base = &principal_issuer(decision->principal)->scopes;
    for (size_t i = 0; i < base->count; i++)
        buf_addf(out, "%s%s", out->len ? " " : "", base->items[i]);
    if (decision->by) requirement_add_scopes(decision->outermost, decision->by, out);
}
