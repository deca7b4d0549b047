#include "server/config/values.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/ascii.h"
#include "common/cidr.h"
#include "common/parse.h"
#include "common/url.h"
#include "server/config/algorithm.h"
#include "server/config/identity_header.h"
#include "server/config/json_value.h"
#include "server/config/pattern.h"
#include "server/config/schema.h"
#include "server/config/upstream_target.h"

static const struct span local = SPAN_LITERAL("unix:"), passed = SPAN_LITERAL("systemd:");
static const char DIGITS[] = "0123456789";
static const char UPPERCASE[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char LOWERCASE[] = "abcdefghijklmnopqrstuvwxyz";

static bool holds_only(struct span text, const char *set1, const char *set2, const char *set3) {
    for (size_t i = 0; i < text.len; i++)
        if (!text.ptr[i] || (!strchr(set1, text.ptr[i]) && !strchr(set2, text.ptr[i]) &&
                             !strchr(set3, text.ptr[i])))
            return false;
    return true;
}

static bool holds_control(struct span text) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f) return true;
    return false;
}

int value_parse(const struct option *option, struct span text, uint64_t *ret,
                struct err_text *why) {
    if (holds_control(text)) return err_set(why, ERR_SYNTAX, "holds a control character");
    return option->kind->parse ? option->kind->parse(option, text, ret, why) : 0;
}

/* --- numbers --------------------------------------------------------------------------------- */

typedef int parse_unit(struct span text, uint64_t *ret);

static int unit_duration(struct span text, uint64_t *ret) {
    int64_t ms;
    int r = parse_duration(text, &ms);
    if (r == 0) *ret = (uint64_t)ms;
    return r;
}

static int unit_none(struct span text, uint64_t *ret) {
    return parse_u64(text, UINT64_MAX, ret);
}

static int parse_number(const struct option *option, parse_unit *parse, struct span text,
                        const char *what, uint64_t *ret, struct err_text *why) {
    uint64_t value = 0, min = 0, max = 0;
    int r = parse(text, &value);

    if (r == ERR_SYNTAX) return err_set(why, ERR_SYNTAX, "is not %s", what);
    if (r < 0 || parse(span_of(option->min), &min) < 0 || value < min ||
        parse(span_of(option->max), &max) < 0 || value > max)
        return err_set(why, ERR_SYNTAX, "is out of range");
    *ret = value;
    return 0;
}

static int duration(const struct option *option, struct span text, uint64_t *ret,
                    struct err_text *why) {
    return parse_number(option, unit_duration, text, "a duration", ret, why);
}

static int size(const struct option *option, struct span text, uint64_t *ret,
                struct err_text *why) {
    return parse_number(option, parse_size, text, "a size", ret, why);
}

static int count(const struct option *option, struct span text, uint64_t *ret,
                 struct err_text *why) {
    return parse_number(option, unit_none, text, "a whole number", ret, why);
}

static int choice(const struct option *option, struct span text, uint64_t *ret,
                  struct err_text *why) {
    for (const struct choice *c = option->choices; c->word; c++) {
        if (!span_equal_text(text, c->word)) continue;
        *ret = (uint64_t)c->value;
        return 0;
    }
    return err_set(why, ERR_SYNTAX, "is not known here");
}

static int algorithm(const struct option *option, struct span text, uint64_t *ret,
                     struct err_text *why) {
    (void)option;
    if (span_equal_nocase(text, SPAN_LITERAL("none")) ||
        span_equal_nocase(span_until(text, 2), SPAN_LITERAL("HS")))
        return err_set(why, ERR_SYNTAX, "is never accepted: anyone could make such a token");
    int found = algorithm_find(text);
    if (found < 0) return err_set(why, ERR_SYNTAX, "is no algorithm known here");
    *ret = (uint64_t)found;
    return 0;
}

/* --- texts ----------------------------------------------------------------------------------- */

#define TEXT_KIND(name)                                                                            \
    static int name(const struct option *option __attribute__((unused)), struct span text,         \
                    uint64_t *ret __attribute__((unused)), struct err_text *why)

TEXT_KIND(name) {
    return text.len ? 0 : err_set(why, ERR_SYNTAX, "is empty");
}

TEXT_KIND(url) {
    struct url parts;
    return url_parse(text, &parts, why);
}

TEXT_KIND(issuer) {
    struct url parts;
    int r = url_parse(text, &parts, why);
    if (r < 0) return r;
    if (span_find(text, '?') < text.len)
        return err_set(why, ERR_SYNTAX, "must not have a query ('?')");
    return 0;
}

TEXT_KIND(proxy) {
    struct url parts;
    int r = url_parse(text, &parts, why);
    if (r < 0) return r;
    if (parts.https) return err_set(why, ERR_SYNTAX, "must start with http://");
    if (parts.rest.len && !span_equal_text(parts.rest, "/"))
        return err_set(why, ERR_SYNTAX, "has text behind the port");
    return 0;
}

TEXT_KIND(directory) {
    if (!span_starts_with(text, SPAN_LITERAL("/")))
        return err_set(why, ERR_SYNTAX, "does not start with '/'");
    return 0;
}

/* A fault found at start is one sentence; found at the first handshake it is a night's work. */
TEXT_KIND(file) {
    char path[4096];
    struct stat status;

    if (text.len >= sizeof path) return err_set(why, ERR_SYNTAX, "is too long for a path");
    memcpy(path, text.ptr, text.len);
    path[text.len] = '\0';
    if (stat(path, &status) < 0) return err_set(why, ERR_SYNTAX, "cannot be read: %m");
    if (!S_ISREG(status.st_mode)) return err_set(why, ERR_SYNTAX, "is not a regular file");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) return err_set(why, ERR_SYNTAX, "cannot be read: %m");
    close(fd);
    return 0;
}

static int check_host(struct span host, struct err_text *why) {
    char name[254];
    unsigned char address[16];

    if (host.len == 0 || span_equal_text(host, "*"))
        return err_set(why, ERR_SYNTAX, "has no host; all addresses are 0.0.0.0 or [::]");
    if (host.len >= sizeof name) return err_set(why, ERR_SYNTAX, "has too long a host");
    memcpy(name, host.ptr, host.len);
    name[host.len] = '\0';

    if (host.ptr[0] == '[') {
        name[host.len - 1] = '\0';
        if (host.ptr[host.len - 1] != ']' || inet_pton(AF_INET6, name + 1, address) != 1)
            return err_set(why, ERR_SYNTAX, "has no IPv6 address between '[' and ']'");
        return 0;
    }
    if (span_find(host, ':') < host.len)
        return err_set(why, ERR_SYNTAX,
                       "has a second ':', which an IPv6 address only may have, "
                       "in brackets: [::1]:8080");
    if (holds_only(host, DIGITS, ".", "") && inet_pton(AF_INET, name, address) != 1)
        return err_set(why, ERR_SYNTAX, "has a host that is no IPv4 address");
    if (!holds_only(host, "0123456789.-_", LOWERCASE, UPPERCASE))
        return err_set(why, ERR_SYNTAX, "has a host that is no address and no name");
    return 0;
}

/* Its offset, or text.len where there is none. */
static size_t last_colon(struct span text) {
    for (size_t i = text.len; i > 0; i--)
        if (text.ptr[i - 1] == ':') return i - 1;
    return text.len;
}

TEXT_KIND(address) {
    uint64_t port;

    if (span_starts_with(text, local)) {
        struct span path = span_from(text, local.len);
        if (!span_starts_with(path, SPAN_LITERAL("/")))
            return err_set(why, ERR_SYNTAX, "has a path that does not start with '/'");
        if (path.len >= sizeof((struct sockaddr_un *)NULL)->sun_path)
            return err_set(why, ERR_SYNTAX, "has a path longer than a socket's may be (107 bytes)");
        return 0;
    }
    if (span_starts_with(text, passed)) {
        struct span socket_name = span_from(text, passed.len);
        if (socket_name.len == 0 || socket_name.len > 255 ||
            span_find(socket_name, ':') < socket_name.len)
            return err_set(why, ERR_SYNTAX, "has no FileDescriptorName of a socket unit");
        return 0;
    }

    size_t colon = last_colon(text);
    if (colon == text.len) return err_set(why, ERR_SYNTAX, "has no port");
    if (parse_u64(span_from(text, colon + 1), UINT16_MAX, &port) < 0)
        return err_set(why, ERR_SYNTAX, "has a port that is not a number up to 65535");
    return check_host(span_until(text, colon), why);
}

static bool is_loopback(struct span host) {
    struct url url = {.host = host};
    if (host.ptr[0] == '[') url.host = span_until(span_from(host, 1), host.len - 2);
    /* What a name leads to is decided elsewhere, and may change. */
    return !span_equal_nocase(host, SPAN_LITERAL("localhost")) && url_is_loopback(&url);
}

bool value_is_local(struct span address) {
    if (span_starts_with(address, local) || span_starts_with(address, passed)) return true;
    return is_loopback(span_until(address, last_colon(address)));
}

TEXT_KIND(proxies) {
    struct cidr cidr;
    int r = cidr_parse(text, &cidr, why);
    if (r < 0) return r;
    if (cidr_is_everyone(&cidr))
        return err_set(why, ERR_SYNTAX, "would let every client say where it came from");
    return 0;
}

TEXT_KIND(path) {
    return pattern_check_path(text, why);
}

/* It is written into request lines, where a space or an escape would make another request of it. */
TEXT_KIND(prefix) {
    uint64_t unused;
    int r = path(option, text, &unused, why);
    if (r < 0) return r;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alphanumeric_or(text.ptr[i], "/-._~!$&'()+,;=:@"))
            return err_set(why, ERR_SYNTAX, "holds '%c', which no prefix may", text.ptr[i]);
    if (text.ptr[text.len - 1] == '/') return err_set(why, ERR_SYNTAX, "ends with '/'");
    return 0;
}

/* The target of a request: path and query (RFC 9112 section 3.2.1). */
TEXT_KIND(check) {
    if (!span_starts_with(text, SPAN_LITERAL("/")))
        return err_set(why, ERR_SYNTAX, "does not start with '/'");
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f || strchr("#\\", text.ptr[i]))
            return err_set(why, ERR_SYNTAX, "holds a character that no request target has");
    return 0;
}

/* --- upstreams ------------------------------------------------------------------------------- */

#define LABEL_MAX 64

TEXT_KIND(label) {
    if (text.len == 0) return err_set(why, ERR_SYNTAX, "is empty");
    if (!holds_only(text, "0123456789-._", LOWERCASE, UPPERCASE))
        return err_set(why, ERR_SYNTAX, "holds another character");
    if (text.len > LABEL_MAX) return err_set(why, ERR_SYNTAX, "is longer than %d bytes", LABEL_MAX);
    return 0;
}

TEXT_KIND(target) {
    struct upstream_target parts;
    return upstream_target_parse(text, &parts, why);
}

TEXT_KIND(host) {
    if (text.len == 0 || text.len > 253 || !holds_only(text, "0123456789-._", LOWERCASE, UPPERCASE))
        return err_set(why, ERR_SYNTAX, "is no host name");
    return 0;
}

TEXT_KIND(header) {
    return identity_header_check(text, why);
}

int identity_parse(struct span text, enum identity *ret, struct span *ret_claim) {
    static const struct span claim = SPAN_LITERAL("claim:");
    static const char *const names[] = {
        [IDENTITY_USER] = "user",     [IDENTITY_SUBJECT] = "subject", [IDENTITY_ISSUER] = "issuer",
        [IDENTITY_SCOPES] = "scopes", [IDENTITY_ROLES] = "roles",
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!span_equal_text(text, names[i])) continue;
        *ret = (enum identity)i;
        return 0;
    }
    if (!span_starts_with(text, claim) || text.len == claim.len) return ERR_SYNTAX;
    *ret = IDENTITY_CLAIM;
    *ret_claim = span_from(text, claim.len);
    return 0;
}

TEXT_KIND(identity) {
    enum identity what;
    struct span claim;
    if (identity_parse(text, &what, &claim) == 0) return 0;
    return err_set(why, ERR_SYNTAX, "is nothing known about a caller");
}

/* --- routes ---------------------------------------------------------------------------------- */

TEXT_KIND(method) {
    if (text.len == 0 || !holds_only(text, UPPERCASE, DIGITS, "!#$%&'*+-.^_`|~"))
        return err_set(why, ERR_SYNTAX, "is no method name in uppercase");
    if (span_equal_text(text, "CONNECT"))
        return err_set(why, ERR_SYNTAX, "asks for a tunnel to anywhere, which is never given");
    return 0;
}

/* One of those that stand between spaces and in quotes, in a challenge for one. */
static int check_word(struct span text, const char *what, struct err_text *why) {
    if (text.len == 0) return err_set(why, ERR_SYNTAX, "is empty");
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f || strchr("\"\\", text.ptr[i]))
            return err_set(why, ERR_SYNTAX, "holds a character that no %s has", what);
    return 0;
}

TEXT_KIND(acr) {
    return check_word(text, "acr value", why);
}

TEXT_KIND(scope) {
    int r = check_word(text, "scope", why);
    if (r < 0) return r;
    if (span_equal_text(text, "authenticated"))
        return err_set(why, ERR_SYNTAX,
                       "can never be satisfied: no issuer grants it, the profile answer adds it");
    return 0;
}

#define VALUE_MAX 4096

TEXT_KIND(vhost) {
    return pattern_check_host(text, why);
}

/* Longer than json_value_make() would take, or a claim is. */
TEXT_KIND(value) {
    if (text.len > VALUE_MAX) return err_set(why, ERR_SYNTAX, "is longer than %d bytes", VALUE_MAX);
    return 0;
}

TEXT_KIND(number) {
    return json_value_is_number(text) ? 0 : err_set(why, ERR_SYNTAX, "is no number");
}

/* scheme "://" host, as browsers write it (RFC 6454 section 6.1). */
TEXT_KIND(origin) {
    struct url parts;
    int r = url_parse(text, &parts, why);
    if (r < 0) return r;
    if (parts.rest.len) return err_set(why, ERR_SYNTAX, "has text behind host and port");
    for (size_t i = 0; i < text.len; i++)
        if (strchr(UPPERCASE, text.ptr[i]))
            return err_set(why, ERR_SYNTAX, "holds capital letters, and no browser sends any");
    return 0;
}

TEXT_KIND(field) {
    return ascii_is_token(text) ? 0 : err_set(why, ERR_SYNTAX, "is no field name");
}

/* The identifier of a protected resource (RFC 9728 section 1.2). */
TEXT_KIND(resource) {
    struct url parts;
    int r = url_parse(text, &parts, why);
    if (r < 0) return r;
    if (span_find(parts.rest, '?') < parts.rest.len)
        return err_set(why, ERR_SYNTAX, "must not have a query ('?')");
    if (parts.rest.len == 0) return 0;
    for (size_t i = 0; i < text.len; i++)
        if (strchr("*{}", text.ptr[i]))
            return err_set(why, ERR_SYNTAX, "holds '%c'; it is one URL, not a pattern",
                           text.ptr[i]);
    return pattern_check_path(parts.rest, why);
}

const struct kind kind_text = {"a text", false, NULL};
const struct kind kind_name = {"a text that is not empty", false, name};
const struct kind kind_choice = {"one of", true, choice};
const struct kind kind_duration = {"a duration with its unit (ms, s, m, h, d)", true, duration};
const struct kind kind_size = {"a size with its unit (B, KiB, MiB)", true, size};
const struct kind kind_count = {"a whole number", true, count};
const struct kind kind_url = {"a URL such as https://idp.example.com/keys", false, url};
const struct kind kind_issuer = {"the issuer's URL, such as https://idp.example.com", false,
                                 issuer};
const struct kind kind_proxy = {"a URL such as http://proxy.example.com:3128", false, proxy};
const struct kind kind_file = {"the path of a file that this program may read", false, file};
const struct kind kind_directory = {"an absolute path such as /var/lib/bearerd", false, directory};
const struct kind kind_kept_file = {"an absolute path such as /var/lib/bearerd/deny", false,
                                    directory};
const struct kind kind_address = {"HOST:PORT, [IPV6]:PORT, unix:/PATH or systemd:NAME", false,
                                  address};
const struct kind kind_path = {
    "a normal path such as /orders, /orders/* for all below it, or /orders/{id}", false, path};
const struct kind kind_method = {"a method such as GET", false, method};
const struct kind kind_scope = {"a scope such as orders:read (RFC 6749 section 3.3)", false, scope};
const struct kind kind_algorithm = {"one of: " ALGORITHM_NAMES, true, algorithm};
const struct kind kind_admin = {
    "a loopback address such as 127.0.0.1:8081, unix:/PATH or systemd:NAME", false, address};
const struct kind kind_proxies = {"an IP address or a block such as 10.0.0.0/8", false, proxies};
const struct kind kind_label = {"a name of letters, digits and any of -_.", false, label};
const struct kind kind_target = {
    "http://HOST:PORT, https://HOST:PORT or unix:/PATH, with \" weight=N\" behind it or not", false,
    target};
const struct kind kind_host = {"a host name such as orders.internal", false, host};
const struct kind kind_check = {"a path such as /healthz", false, check};
const struct kind kind_prefix = {"a normal path without a slash at its end, such as /orders", false,
                                 prefix};
const struct kind kind_header = {"a field name such as X-Auth-User", false, header};
const struct kind kind_identity = {"user, subject, issuer, scopes, roles or claim:NAME", false,
                                   identity};
const struct kind kind_vhost = {"a host without port such as api.example.com, or *.example.com",
                                false, vhost};
const struct kind kind_value = {
    "a text, a number, true, false, or a capture of the path such as \"{tenant}\"", false, value};
const struct kind kind_number = {"a number such as 5", false, number};
const struct kind kind_origin = {"an origin such as https://app.example.com", false, origin};
const struct kind kind_field = {"a field name such as Content-Type", false, field};
const struct kind kind_acr = {"an acr value such as urn:example:mfa (RFC 9470 section 3)", false,
                              acr};
const struct kind kind_resource = {
    "the URL that clients use, such as https://api.example.com/orders", false, resource};
