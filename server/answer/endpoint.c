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

static void (*const endpoints[])(const struct principal *principal, struct buf *out) = {
    [RESPOND_IDENTITY] = identity,
    [RESPOND_PROFILE] = profile,
    [RESPOND_VERDICT] = verdict,
};

struct answer endpoint_answer(const struct decision *decision) {
    /* A route to an upstream has no endpoint. */
    enum respond respond = decision->route ? decision->route->respond : RESPOND_NONE;
    if (!decision->allowed || respond >= ARRAY_LEN(endpoints) || !endpoints[respond]) {
        struct answer answer = answer_make(500);
        buf_add_text(&answer.body, "{\"error\":\"server_error\"}");
        return answer;
    }
    struct answer answer = answer_make(200);
    endpoints[respond](decision->principal, &answer.body);
    return answer;
}
