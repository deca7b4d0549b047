#include "server/policy/decision.h"

static const char *first_lacking(const struct strings *scopes, const struct principal *principal) {
    for (size_t i = 0; i < scopes->count; i++)
        if (!principal_has_scope(principal, scopes->items[i])) return scopes->items[i];
    return NULL;
}

struct decision authorize(const struct config_route *route, const struct principal *principal,
                          struct refusal *refusal) {
    struct decision decision = {false, route, principal};
    if (!principal) {
        decision.allowed = route->anonymous;
        return decision;
    }

    const char *lacking = first_lacking(&principal_issuer(principal)->scopes, principal);
    if (!lacking) lacking = first_lacking(&route->require.scopes, principal);
    if (lacking)
        refuse(refusal, REASON_SCOPE_MISSING, "the token lacks the scope '%.100s'", lacking);
    decision.allowed = !lacking;
    return decision;
}

static bool has_text(const struct strings *strings, const char *text) {
    for (size_t i = 0; i < strings->count; i++)
        if (strcmp(strings->items[i], text) == 0) return true;
    return false;
}

void decision_add_scopes(const struct config_route *route, const struct principal *principal,
                         struct buf *out) {
    const struct strings *base = &principal_issuer(principal)->scopes;

    for (size_t i = 0; i < base->count; i++)
        buf_addf(out, "%s%s", out->len ? " " : "", base->items[i]);
    for (size_t i = 0; i < route->require.scopes.count; i++)
        if (!has_text(base, route->require.scopes.items[i]))
            buf_addf(out, "%s%s", out->len ? " " : "", route->require.scopes.items[i]);
}
