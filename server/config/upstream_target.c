#include "server/config/upstream_target.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <sys/un.h>

#include "common/ascii.h"
#include "common/parse.h"
#include "common/url.h"

#define WEIGHT_MAX 1000
#define HOST_MAX 253 /* RFC 1035 section 2.3.4, as text */
#define SOCKET_PATH_MAX (sizeof((struct sockaddr_un *)NULL)->sun_path - 1)

/* The weight behind the first space; without one, target is all of text. */
static int parse_weight(struct span text, struct span *ret_target, unsigned *ret,
                        struct err_text *why) {
    static const struct span word = SPAN_LITERAL("weight=");
    size_t space = span_find(text, ' ');
    struct span behind = span_from(text, space + 1);
    uint64_t weight = 1;

    if (space < text.len && !span_starts_with(behind, word))
        return err_set(why, ERR_SYNTAX, "has text behind the space that is not weight=N");
    if (space < text.len &&
        (parse_u64(span_from(behind, word.len), WEIGHT_MAX, &weight) < 0 || weight == 0))
        return err_set(why, ERR_SYNTAX, "has a weight that is not a number from 1 to %d",
                       WEIGHT_MAX);
    *ret_target = span_until(text, space);
    *ret = (unsigned)weight;
    return 0;
}

static int parse_unix(struct span path, struct upstream_target *target, struct err_text *why) {
    if (!span_starts_with(path, SPAN_LITERAL("/")))
        return err_set(why, ERR_SYNTAX, "has a path that does not start with '/'");
    if (path.len > SOCKET_PATH_MAX)
        return err_set(why, ERR_SYNTAX, "has a path longer than a socket's may be (%zu bytes)",
                       SOCKET_PATH_MAX);
    for (size_t i = 0; i < path.len; i++)
        if ((unsigned char)path.ptr[i] < ' ' || path.ptr[i] == 0x7f)
            return err_set(why, ERR_SYNTAX, "holds a control character");
    if (path.ptr[path.len - 1] == '/') return err_set(why, ERR_SYNTAX, "ends with '/'");
    target->unix_path = path;
    return 0;
}

/* A name, or an IPv4 address; url_parse() saw to those of IPv6. */
static int check_host(struct span host, struct err_text *why) {
    char copy[HOST_MAX + 1];
    unsigned char address[4];
    bool numeric = true;

    if (host.len > HOST_MAX) return err_set(why, ERR_SYNTAX, "has too long a host");
    for (size_t i = 0; i < host.len; i++) {
        /* The host is written into the Host field of every request. */
        if (!ascii_is_alphanumeric_or(host.ptr[i], "-._"))
            return err_set(why, ERR_SYNTAX, "has a host that is no address and no name");
        numeric = numeric && (host.ptr[i] == '.' || (host.ptr[i] >= '0' && host.ptr[i] <= '9'));
    }
    if (!numeric) return 0;
    memcpy(copy, host.ptr, host.len);
    copy[host.len] = '\0';
    if (inet_pton(AF_INET, copy, address) != 1)
        return err_set(why, ERR_SYNTAX, "has a host that is no IPv4 address");
    return 0;
}

static int parse_network(struct span text, struct upstream_target *target, struct err_text *why) {
    struct url url;
    int r = url_parse(text, &url, why);
    if (r < 0) return r;
    if (url.rest.len)
        return err_set(why, ERR_SYNTAX,
                       "has a path or query; paths are changed by a route's strip_prefix and "
                       "add_prefix");
    target->authority = span_from(text, url.https ? sizeof "https://" - 1 : sizeof "http://" - 1);
    target->https = url.https;
    target->host = url.host;
    target->port = url.port;
    return target->authority.ptr[0] == '[' ? 0 : check_host(url.host, why);
}

int upstream_target_parse(struct span text, struct upstream_target *ret, struct err_text *why) {
    static const struct span local = SPAN_LITERAL("unix:");
    struct upstream_target target = {0};
    struct span address;

    int r = parse_weight(text, &address, &target.weight, why);
    if (r < 0) return r;
    if (span_starts_with(address, local))
        r = parse_unix(span_from(address, local.len), &target, why);
    else if (!span_starts_with(address, SPAN_LITERAL("http://")) &&
             !span_starts_with(address, SPAN_LITERAL("https://")))
        r = err_set(why, ERR_SYNTAX, "starts with none of http://, https:// and unix:");
    else
        r = parse_network(address, &target, why);
    if (r == 0) *ret = target;
    return r;
}
