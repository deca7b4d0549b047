#include "server/policy/route.h"

/* What the endpoints of our own know, where a route does not narrow it down. */
static const char *const own_methods[] = {"GET", "HEAD"};
/* What an upstream may know; it may know others. */
static const char *const usual_methods[] = {"GET",   "HEAD",   "POST",   "PUT",
                                            "PATCH", "DELETE", "OPTIONS"};

static bool matches_path(const struct config_route *route, struct span path) {
    struct span own = span_of(route->path);
    return route->subtree ? span_starts_with(path, own) : span_equal(path, own);
}

/* How well a matching route fits; a higher number is more specific. */
static size_t specificity(const struct config_route *route) {
    return strlen(route->path) * 2 + !route->subtree;
}

/* The specificity of the best routes for path, or 0 where none matches. */
static size_t best_for(const struct config *config, struct span path) {
    size_t best = 0;
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (matches_path(route, path) && specificity(route) > best) best = specificity(route);
    }
    return best;
}

/*
 * An upstream knows itself which methods its resources have. But CONNECT asks for a tunnel, and the
 * answer to TRACE would show a client what upstreams alone are told.
 */
static bool takes_all(const struct config_route *route) {
    bool knows_all = *route->upstream || route->respond == RESPOND_VERDICT ||
                     route->respond == RESPOND_FORWARD_AUTH;
    return knows_all && route->methods.count == 0;
}

/* The methods that a route takes, one by one; NULL behind the last, or behind the usual ones. */
static const char *method_at(const struct config_route *route, size_t index) {
    if (route->methods.count)
        return index < route->methods.count ? route->methods.items[index] : NULL;
    if (takes_all(route)) return index < ARRAY_LEN(usual_methods) ? usual_methods[index] : NULL;
    return index < ARRAY_LEN(own_methods) ? own_methods[index] : NULL;
}

/* HEAD works wherever GET does (RFC 9110 section 9.3.2). */
static bool takes_method(const struct config_route *route, struct span method) {
    const char *own;
    if (takes_all(route))
        return !span_equal_text(method, "CONNECT") && !span_equal_text(method, "TRACE");
    for (size_t i = 0; (own = method_at(route, i)); i++) {
        if (span_equal_text(method, own)) return true;
        if (span_equal_text(method, "HEAD") && strcmp(own, "GET") == 0) return true;
    }
    return false;
}

enum route_found route_find(const struct config *config, struct span method, struct span path,
                            const struct config_route **ret) {
    size_t best = best_for(config, path);
    if (best == 0) return ROUTE_NONE;
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (specificity(route) != best || !matches_path(route, path)) continue;
        if (!takes_method(route, method)) continue;
        *ret = route;
        return ROUTE_FOUND;
    }
    return ROUTE_OTHER_METHOD;
}

/* Add the method, once. */
static void add_method(struct buf *out, const char *method) {
    struct span rest = buf_span(out), there;
    while (span_next(&rest, ',', &there))
        if (span_equal_text(span_trim(there), method)) return;
    buf_addf(out, "%s%s", out->len ? ", " : "", method);
}

void route_add_allow(const struct config *config, struct span path, struct buf *out) {
    size_t best = best_for(config, path);

    for (size_t i = 0; i < config->route_count && best; i++) {
        const struct config_route *route = &config->routes[i];
        const char *method;
        if (specificity(route) != best || !matches_path(route, path)) continue;
        for (size_t k = 0; (method = method_at(route, k)); k++) {
            add_method(out, method);
            if (strcmp(method, "GET") == 0) add_method(out, "HEAD");
        }
    }
}
