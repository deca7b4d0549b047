#include "common/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "common/parse.h"

/* Parse host as an IP address of the family; address has room for 16 bytes. */
static bool is_address(int family, struct span host, unsigned char *address) {
    char text[INET6_ADDRSTRLEN];

    if (host.len >= sizeof text) return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return inet_pton(family, text, address) == 1;
}

static int parse_authority(struct span authority, struct url *url, struct err_text *err) {
    if (span_find(authority, '@') < authority.len)
        return err_set(err, ERR_SYNTAX, "must not hold a user name or password");

    struct span port = SPAN_NONE;
    if (authority.len && authority.ptr[0] == '[') {
        size_t close = span_find(authority, ']');
        if (close == authority.len) return err_set(err, ERR_SYNTAX, "lacks ']' after '['");
        url->host = span_until(span_from(authority, 1), close - 1);
        struct span after = span_from(authority, close + 1);
        if (after.len && after.ptr[0] != ':')
            return err_set(err, ERR_SYNTAX, "has text behind ']' that is no port");
        if (after.len) port = span_from(after, 1);
        unsigned char address[16];
        if (url->host.len && !is_address(AF_INET6, url->host, address))
            return err_set(err, ERR_SYNTAX, "has '[' around something that is no IPv6 address");
    } else {
        size_t colon = span_find(authority, ':');
        url->host = span_until(authority, colon);
        if (colon < authority.len) port = span_from(authority, colon + 1);
    }
    if (url->host.len == 0) return err_set(err, ERR_SYNTAX, "has no host");
    if (span_is_absent(port)) return 0;

    uint64_t number;
    if (parse_u64(port, UINT16_MAX, &number) < 0 || number == 0)
        return err_set(err, ERR_SYNTAX, "has a port that is not a number from 1 to 65535");
    url->port = (uint16_t)number;
    return 0;
}

int url_parse(struct span text, struct url *ret, struct err_text *err) {
    static const struct span http = SPAN_LITERAL("http://");
    static const struct span https = SPAN_LITERAL("https://");
    struct url url = {0};

    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f)
            return err_set(err, ERR_SYNTAX, "holds a byte that is not visible ASCII");
    if (span_find(text, '#') < text.len)
        return err_set(err, ERR_SYNTAX, "must not have a fragment ('#')");

    if (span_starts_with(text, https)) {
        url.https = true;
        url.port = 443;
        text = span_from(text, https.len);
    } else if (span_starts_with(text, http)) {
        url.port = 80;
        text = span_from(text, http.len);
    } else {
        return err_set(err, ERR_SYNTAX, "must start with https:// (or http://)");
    }

    size_t end = 0;
    while (end < text.len && text.ptr[end] != '/' && text.ptr[end] != '?') end++;
    url.rest = span_from(text, end);
    int r = parse_authority(span_until(text, end), &url, err);
    if (r < 0) return r;
    *ret = url;
    return 0;
}

bool url_is_loopback(const struct url *url) {
    unsigned char address[16];

    if (span_equal_nocase(url->host, SPAN_LITERAL("localhost"))) return true;
    if (is_address(AF_INET, url->host, address)) return address[0] == 127;
    return is_address(AF_INET6, url->host, address) &&
           memcmp(address, &in6addr_loopback, sizeof in6addr_loopback) == 0;
}

bool url_same_origin(const struct url *a, const struct url *b) {
    return a->https == b->https && a->port == b->port && span_equal_nocase(a->host, b->host);
}
