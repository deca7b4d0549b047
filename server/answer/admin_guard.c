#include "server/answer/admin_guard.h"

#include "common/url.h"

/* Without the port, and the brackets of an IPv6 address. */
static struct span name_of(struct span host) {
    if (host.len && host.ptr[0] == '[') {
        host = span_from(host, 1);
        return span_until(host, span_find(host, ']'));
    }
    return span_until(host, span_find(host, ':'));
}

static bool is_here(struct span host) {
    return host.ptr && url_is_loopback(&(struct url){.host = name_of(host)});
}

/* The listener speaks no TLS; a proxy in front of its unix socket may. */
static bool is_own_origin(struct span origin, struct span host) {
    static const struct span schemes[] = {SPAN_LITERAL("http://"), SPAN_LITERAL("https://")};

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (span_starts_with(origin, schemes[i]) &&
            span_equal_nocase(span_from(origin, schemes[i].len), host))
            return true;
    return false;
}

static bool is_from_elsewhere(const struct field *field, struct span host) {
    if (span_equal_nocase(field->name, SPAN_LITERAL("origin")))
        return !is_own_origin(field->value, host);
    return span_equal_nocase(field->name, SPAN_LITERAL("sec-fetch-site")) &&
           !span_equal_text(field->value, "same-origin");
}

bool admin_guard_passes(const struct admin_request *request, bool changes,
                        struct refusal *refusal) {
    /* A page cannot make up a token. */
    if (request->authorized) return true;
    if (!request->unix_socket && !is_here(request->host))
        return refuse(refusal, REASON_OTHER_SITE,
                      "the Host of the request is not this machine; ask localhost or a loopback "
                      "address such as 127.0.0.1");
    for (size_t i = 0; changes && i < request->fields.count; i++)
        if (is_from_elsewhere(&request->fields.items[i], request->host))
            return refuse(refusal, REASON_OTHER_SITE,
                          "a web page of another site may have sent this request (its Origin or "
                          "Sec-Fetch-Site says so); nothing was changed");
    return true;
}
