#include "server/answer/endpoint.h"

/* {"username":"bob@example.com","anonymous":false} */
static void identity(const struct principal *principal, struct buf *out) {
    if (!principal) {
        buf_add_text(out, "{\"anonymous\":true}");
        return;
    }
    buf_add_text(out, "{\"username\":");
    buf_add_json(out, principal_user(principal));
    buf_add_text(out, ",\"anonymous\":false}");
}

/*
 * {"user":{"username":"bob@example.com"},"auth":{"scopes":["openid","authenticated"]}}
 * "authenticated" is told here and only here: it is no scope that an issuer grants, so no
 * requirement can be met by it.
 */
static void profile(const struct principal *principal, struct buf *out) {
    size_t count = 0;
    const struct span *scopes = principal ? principal_scopes(principal, &count) : NULL;

    buf_add_text(out, "{\"user\":{");
    if (principal) {
        buf_add_text(out, "\"username\":");
        buf_add_json(out, principal_user(principal));
    }
    buf_add_text(out, "},\"auth\":{\"scopes\":[");
    for (size_t i = 0; i < count; i++) {
        if (i) buf_add_char(out, ',');
        buf_add_json(out, scopes[i]);
    }
    if (principal && !principal_has_scope(principal, "authenticated"))
        buf_addf(out, "%s\"authenticated\"", count ? "," : "");
    buf_add_text(out, "]}}");
}

static void verdict(const struct principal *principal, struct buf *out) {
    (void)principal;
    buf_add_text(out, "{\"allowed\":true}");
}

typedef void endpoint(const struct principal *principal, struct buf *out);

static endpoint *const endpoints[] = {
    [RESPOND_IDENTITY] = identity,
    [RESPOND_PROFILE] = profile,
    [RESPOND_VERDICT] = verdict,
};

/* The route's row in the table; NULL where there is none: a route to an upstream has none. */
static endpoint *const *find(const struct decision *decision) {
    enum respond respond = decision->route ? decision->route->respond : RESPOND_NONE;
    bool known = decision->allowed && respond < ARRAY_LEN(endpoints) && endpoints[respond];
    return known ? &endpoints[respond] : NULL;
}

struct answer endpoint_answer(const struct decision *decision) {
    endpoint *const *write = find(decision);
    if (!write) {
        struct answer answer = answer_make(500);
        buf_add_text(&answer.body, "{\"error\":\"server_error\"}");
        return answer;
    }
    struct answer answer = answer_make(200);
    (*write)(decision->principal, &answer.body);
    return answer;
}

const void *endpoint_key(const struct decision *decision) {
    return find(decision);
}
