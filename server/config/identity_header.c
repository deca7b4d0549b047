#include "server/config/identity_header.h"

#include "common/ascii.h"

/*
 * Framing, routing and content of the request, and what the proxy says about it. An identity header
 * is taken away from what clients send, and these would be lost to their own purpose.
 */
static const char *const reserved[] = {
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Cookie",
    "Date",
    "Expect",
    "Forwarded",
    "Host",
    "HTTP2-Settings",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Keep-Alive",
    "Max-Forwards",
    "Origin",
    "Pragma",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Range",
    "Referer",
    "Set-Cookie",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
    "Via",
    "WWW-Authenticate",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Original-URL",
    "X-Real-IP",
    "X-Request-Id",
    "X-Rewrite-URL",
    "traceparent",
    "tracestate",
};

/* Cut the next letter or digit off *rest, in lowercase; 0 where none is left. */
static char next(struct span *rest) {
    while (rest->len) {
        char c = rest->ptr[0];
        *rest = span_from(*rest, 1);
        if (!ascii_is_alphanumeric(c)) continue;
        return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return 0;
}

bool identity_header_same(struct span a, struct span b) {
    char c;
    do {
        c = next(&a);
        if (c != next(&b)) return false;
    } while (c);
    return true;
}

uint64_t identity_header_hash(struct span name) {
    uint64_t hash = 0xcbf29ce484222325;
    for (char c = next(&name); c; c = next(&name)) hash = (hash ^ (unsigned char)c) * 0x100000001b3;
    return hash;
}

int identity_header_check(struct span name, struct err_text *why) {
    struct span rest = name;

    if (!ascii_is_token(name)) return err_set(why, ERR_SYNTAX, "is no field name");
    if (name.len > IDENTITY_HEADER_MAX)
        return err_set(why, ERR_SYNTAX, "is longer than %d bytes", IDENTITY_HEADER_MAX);
    if (!next(&rest)) return err_set(why, ERR_SYNTAX, "has no letter or digit");
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (identity_header_same(name, span_of(reserved[i])))
            return err_set(why, ERR_SYNTAX, "is a field that HTTP or the proxy itself needs");
    return 0;
}
