#include "server/config/pattern.h"

#include <arpa/inet.h>

#include "common/ascii.h"

bool pattern_is_capture(struct span segment, struct span *ret_name) {
    if (segment.len < 3 || segment.ptr[0] != '{' || segment.ptr[segment.len - 1] != '}')
        return false;
    *ret_name = span_until(span_from(segment, 1), segment.len - 2);
    return true;
}

int pattern_find_capture(struct span path, struct span name) {
    struct span segment, own;
    int at = 0;

    while (pattern_next(&path, &segment)) {
        if (!pattern_is_capture(segment, &own)) continue;
        if (span_equal(own, name)) return at;
        at++;
    }
    return -1;
}

static int check_capture(struct span path, struct span segment, size_t count,
                         struct err_text *why) {
    struct span name;

    if (!pattern_is_capture(segment, &name))
        return err_set(why, ERR_SYNTAX, "has '%.*s', which is no capture such as {tenant}",
                       SPAN_PRINTF(segment));
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_alphanumeric_or(name.ptr[i], "_-"))
            return err_set(why, ERR_SYNTAX,
                           "has a capture whose name holds more than letters, digits, '_' and '-'");
    if (pattern_find_capture(path, name) != (int)count)
        return err_set(why, ERR_SYNTAX, "has two captures named %.*s", SPAN_PRINTF(name));
    if (count == PATTERN_CAPTURES_MAX)
        return err_set(why, ERR_SYNTAX, "has more than %d captures", PATTERN_CAPTURES_MAX);
    return 0;
}

static int check_segments(struct span path, struct err_text *why) {
    struct span rest = path, segment;
    size_t segments = 0, captures = 0;

    while (pattern_next(&rest, &segment)) {
        if (segment.len == 0 && rest.len) return err_set(why, ERR_SYNTAX, "holds '//'");
        if (span_equal_text(segment, ".") || span_equal_text(segment, ".."))
            return err_set(why, ERR_SYNTAX, "holds a '%.*s' segment", SPAN_PRINTF(segment));
        if (++segments > PATTERN_SEGMENTS_MAX)
            return err_set(why, ERR_SYNTAX, "has more than %d segments", PATTERN_SEGMENTS_MAX);
        if (span_find(segment, '{') == segment.len && span_find(segment, '}') == segment.len)
            continue;
        int r = check_capture(path, segment, captures++, why);
        if (r < 0) return r;
    }
    return 0;
}

int pattern_check_path(struct span path, struct err_text *why) {
    if (!span_starts_with(path, SPAN_LITERAL("/")))
        return err_set(why, ERR_SYNTAX, "does not start with '/'");
    for (size_t i = 0; i < path.len; i++) {
        if ((unsigned char)path.ptr[i] >= 0x7f)
            return err_set(why, ERR_SYNTAX, "holds a byte that is not ASCII");
        if (path.ptr[i] <= ' ' || strchr("#?%\\", path.ptr[i]))
            return err_set(why, ERR_SYNTAX, "holds '%c', which no normal path does", path.ptr[i]);
        if (path.ptr[i] == '*' && (i + 1 < path.len || path.ptr[i - 1] != '/'))
            return err_set(why, ERR_SYNTAX, "has a '*' that is not a last segment of its own");
    }
    return check_segments(path, why);
}

/* Hosts are compared as texts, so that another way to write the address would never match. */
static int check_ipv6(struct span host, struct err_text *why) {
    char given[INET6_ADDRSTRLEN], normal[INET6_ADDRSTRLEN];
    unsigned char address[16];
    size_t len = host.len - 2;

    if (host.len < 2 || host.ptr[host.len - 1] != ']' || len >= sizeof given)
        return err_set(why, ERR_SYNTAX, "has no IPv6 address between '[' and ']'");
    memcpy(given, host.ptr + 1, len);
    given[len] = '\0';
    if (inet_pton(AF_INET6, given, address) != 1 ||
        !inet_ntop(AF_INET6, address, normal, sizeof normal))
        return err_set(why, ERR_SYNTAX, "has no IPv6 address between '[' and ']'");
    if (!span_equal_nocase(span_of(given), span_of(normal)))
        return err_set(why, ERR_SYNTAX, "is compared in its normal form, [%s]", normal);
    return 0;
}

int pattern_check_host(struct span host, struct err_text *why) {
    struct span name = host;

    if (span_starts_with(host, SPAN_LITERAL("["))) return check_ipv6(host, why);
    if (span_starts_with(name, SPAN_LITERAL("*."))) name = span_from(name, 2);
    if (name.len == 0 || host.len > 253) return err_set(why, ERR_SYNTAX, "is no host name");
    if (name.ptr[0] == '.' || name.ptr[name.len - 1] == '.')
        return err_set(why, ERR_SYNTAX, "starts or ends with a dot");
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '.' && name.ptr[i - 1] == '.')
            return err_set(why, ERR_SYNTAX, "holds two dots in a row");
        if (ascii_is_alphanumeric_or(name.ptr[i], "-._")) continue;
        return err_set(why, ERR_SYNTAX, "holds '%c'%s", name.ptr[i],
                       name.ptr[i] == ':'   ? "; it is compared without its port"
                       : name.ptr[i] == '*' ? ", which stands only at the start, as in *.NAME"
                                            : "");
    }
    return 0;
}

/* The segment with the name of a capture left out. */
static struct span shape_of(struct span segment) {
    struct span name;
    return pattern_is_capture(segment, &name) ? SPAN_LITERAL("{}") : segment;
}

bool pattern_same_path(struct span a, struct span b) {
    struct span one, other;

    while (pattern_next(&a, &one)) {
        if (!pattern_next(&b, &other)) return false;
        if (!span_equal(shape_of(one), shape_of(other))) return false;
    }
    return !pattern_next(&b, &other);
}

uint64_t pattern_hash_path(struct span path) {
    uint64_t hash = 0xcbf29ce484222325;
    struct span segment;

    while (pattern_next(&path, &segment)) {
        struct span shape = shape_of(segment);
        for (size_t i = 0; i < shape.len; i++)
            hash = (hash ^ (unsigned char)shape.ptr[i]) * 0x100000001b3;
        hash = (hash ^ '/') * 0x100000001b3;
    }
    return hash;
}
