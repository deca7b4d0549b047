#include "server/policy/target.h"

#include "common/ascii.h"

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool refuse_target(struct refusal *refusal, const char *why) {
    return refuse(refusal, REASON_TARGET, "the request target %s", why);
}

/* Take one escape at the start of rest into out. */
static bool add_escape(struct span rest, struct buf *out, struct refusal *refusal) {
    int high = rest.len >= 3 ? hex_value(rest.ptr[1]) : -1;
    int low = rest.len >= 3 ? hex_value(rest.ptr[2]) : -1;
    if (high < 0 || low < 0) return refuse_target(refusal, "has a '%' without two hex digits");

    int c = high << 4 | low;
    if (c == '/' || c == '\\') return refuse_target(refusal, "has an escaped slash");
    if (c == 0) return refuse_target(refusal, "has an escaped NUL");
    /* unreserved (RFC 3986 section 2.3) */
    if (ascii_is_alphanumeric_or((char)c, "-._~"))
        buf_add_char(out, (char)c);
    else
        buf_addf(out, "%%%02X", (unsigned)c);
    return true;
}

static bool decode(struct span path, struct buf *out, struct refusal *refusal) {
    while (path.len) {
        unsigned char c = (unsigned char)path.ptr[0];
        size_t width = c == '%' ? 3 : 1;
        if (c <= ' ' || c >= 0x7f || c == '\\')
            return refuse_target(refusal, "holds a character that no URL may hold");
        if (c != '%')
            buf_add_char(out, (char)c);
        else if (!add_escape(path, out, refusal))
            return false;
        path = span_from(path, width);
    }
    return true;
}

/* "." and "..", also in front of a path parameter, which some servers cut off before they look. */
static size_t dots_of(struct span segment) {
    struct span name = span_until(segment, span_find(segment, ';'));
    if (span_equal(name, SPAN_LITERAL("."))) return 1;
    if (span_equal(name, SPAN_LITERAL(".."))) return 2;
    return 0;
}

/*
 * Resolve dot segments and merge slashes, in place: the result is never longer than what was read.
 * path starts with '/'.
 */
static bool resolve(char *path, size_t *len, struct refusal *refusal) {
    size_t to = 0, from = 0;
    bool as_folder = true; /* the path ends in '/' */

    while (from < *len) {
        while (from < *len && path[from] == '/') from++;
        struct span segment = {path + from, *len - from};
        segment = span_until(segment, span_find(segment, '/'));
        from += segment.len;
        as_folder = segment.len == 0;
        if (segment.len == 0) break;

        size_t dots = dots_of(segment);
        if (dots && segment.len != dots)
            return refuse_target(refusal, "has a dot segment with a parameter");
        as_folder = dots != 0;
        if (dots == 1) continue;
        if (dots == 2) {
            if (to == 0) return refuse_target(refusal, "climbs above the root");
            while (path[--to] != '/') continue;
            continue;
        }
        path[to++] = '/';
        memmove(path + to, segment.ptr, segment.len);
        to += segment.len;
    }
    if (as_folder || to == 0) path[to++] = '/';
    path[to] = '\0';
    *len = to;
    return true;
}

/*
 * How much of the path, from its start, is in normal form as it stands: most paths are as a whole,
 * and need not be taken apart.
 */
static size_t normal_prefix(struct span path) {
    size_t i = 1;
    for (; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '%' || c == '\\') break;
        if (path.ptr[i - 1] == '/' && (c == '/' || c == '.')) break;
    }
    return i;
}

static bool check_query(struct span query, struct refusal *refusal) {
    for (size_t i = 0; i < query.len; i++) {
        unsigned char c = (unsigned char)query.ptr[i];
        if (c <= ' ' || c >= 0x7f)
            return refuse_target(refusal, "holds a character that no URL may hold");
    }
    return true;
}

bool target_parse(struct span raw, struct buf *out, struct target *ret, struct refusal *refusal) {
    struct target target = {.query = SPAN_NONE};

    if (raw.len == 0 || raw.ptr[0] != '/')
        return refuse_target(refusal, "is not a path that starts with '/'");
    if (span_find(raw, '#') < raw.len) return refuse_target(refusal, "has a fragment ('#')");
    size_t end = span_find(raw, '?');
    if (end < raw.len) target.query = span_from(raw, end + 1);
    if (!check_query(target.query, refusal)) return false;

    struct span path = span_until(raw, end);
    bool normal = normal_prefix(path) == path.len;
    buf_reset(out);
    if (normal)
        buf_add(out, path);
    else if (!decode(path, out, refusal))
        return false;
    if (!buf_ok(out)) return refuse(refusal, REASON_OUT_OF_MEMORY, "out of memory");
    if (!normal && !resolve(out->data, &out->len, refusal)) return false;
    target.path = buf_span(out);
    *ret = target;
    return true;
}
