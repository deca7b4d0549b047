#include "server/answer/forward_auth.h"

#include "common/ascii.h"

/* Where each part may stand. */
enum part { PART_METHOD, PART_HOST, PART_TARGET, PART_URL };

static const struct {
    struct span name;
    enum part part;
} sources[] = {
    {SPAN_LITERAL("X-Forwarded-Method"), PART_METHOD},
    {SPAN_LITERAL("X-Original-Method"), PART_METHOD},
    {SPAN_LITERAL("X-Forwarded-Host"), PART_HOST},
    {SPAN_LITERAL("X-Forwarded-Uri"), PART_TARGET},
    {SPAN_LITERAL("X-Original-URI"), PART_TARGET},
    {SPAN_LITERAL("X-Original-URL"), PART_URL},
};

static bool refuse_original(struct refusal *refusal, const char *what) {
    return refuse(refusal, REASON_ORIGINAL, "the request that is asked about %s", what);
}

/* Sources may agree; one that says something else is an attack or a mistake. */
static bool settle(struct span *known, struct span value, struct refusal *refusal) {
    if (known->ptr && !span_equal(*known, value))
        return refuse_original(refusal, "is told in two ways that differ");
    *known = value;
    return true;
}

/* scheme "://" authority path */
static bool take_url(struct span url, struct original *found, struct refusal *refusal) {
    size_t start = span_starts_with(url, SPAN_LITERAL("https://"))  ? 8
                   : span_starts_with(url, SPAN_LITERAL("http://")) ? 7
                                                                    : 0;
    if (start == 0) return refuse_original(refusal, "has an X-Original-URL that is no URL");
    struct span rest = span_from(url, start);
    size_t end = span_find(rest, '/');
    /* The proxy makes the URL of a Host that the client wrote: it must not bring a path with it. */
    for (size_t i = 0; i < end; i++)
        if (strchr("?#@\\", rest.ptr[i]))
            return refuse_original(refusal, "has an X-Original-URL whose host is none");
    return settle(&found->host, span_until(rest, end), refusal) &&
           settle(&found->target, span_from(rest, end), refusal);
}

static bool take(enum part part, struct span value, struct original *found,
                 struct refusal *refusal) {
    switch (part) {
    case PART_METHOD:
        return settle(&found->method, value, refusal);
    case PART_HOST:
        return settle(&found->host, value, refusal);
    case PART_TARGET:
        return settle(&found->target, value, refusal);
    case PART_URL:
        return take_url(value, found, refusal);
    }
    return false;
}

static bool from_fields(struct fields fields, struct original *found, struct refusal *refusal) {
    bool seen[ARRAY_LEN(sources)] = {false};

    for (size_t i = 0; i < fields.count; i++) {
        const struct field *field = &fields.items[i];
        for (size_t k = 0; k < ARRAY_LEN(sources); k++) {
            if (!span_equal_nocase(field->name, sources[k].name)) continue;
            if (seen[k]) return refuse_original(refusal, "is told twice");
            seen[k] = true;
            if (!take(sources[k].part, field->value, found, refusal)) return false;
        }
    }
    return true;
}

/* The path behind the route's, as it came: it is normalised when it is judged. */
static bool from_path(const struct asking *asking, struct original *found,
                      struct refusal *refusal) {
    struct span prefix = span_of(asking->route->path);
    if (!span_starts_with(asking->raw_target, prefix))
        return refuse_original(refusal, "does not stand behind the path of forward_auth");
    return settle(&found->method, asking->method, refusal) &&
           settle(&found->target, span_from(asking->raw_target, prefix.len - 1), refusal);
}

bool forward_auth_original(const struct asking *asking, struct original *ret,
                           struct refusal *refusal) {
    struct original found = {SPAN_NONE, SPAN_NONE, SPAN_NONE};

    if (!from_fields(asking->fields, &found, refusal)) return false;
    if (asking->route->subtree && !from_path(asking, &found, refusal)) return false;
    if (span_is_absent(found.method)) return refuse_original(refusal, "has no method");
    if (span_is_absent(found.target)) return refuse_original(refusal, "has no path");
    if (!ascii_is_token(found.method)) return refuse_original(refusal, "has a bad method");
    if (!found.host.ptr) found.host = asking->host;
    *ret = found;
    return true;
}
