#include "server/config/schema.h"

#include "server/config/config.h"
#include "server/config/rules.h"

/* The field of a struct that an option fills. */
#define FIELD(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)
#define OPTION(type, member, what) .key = #member, .kind = &kind_##what, FIELD(type, member)
#define SECTION(options_, type)                                                                    \
    .options = options_, .count = ARRAY_LEN(options_), .size = sizeof(type)

/* A list is a pointer with its count behind it, whatever its entries are. */
#define LIST_OF(type, items, count_)                                                               \
    _Static_assert(offsetof(type, count_) ==                                                       \
                       offsetof(type, items) + offsetof(struct strings, count),                    \
                   "the count follows the pointer")
LIST_OF(struct config, listen, listen_count);
LIST_OF(struct config, issuers, issuer_count);
LIST_OF(struct config, routes, route_count);

static const struct choice booleans[] = {{"true", true}, {"false", false}, {NULL, 0}};
static const struct choice token_types[] = {
    {"any", TOKEN_TYPE_ANY}, {"at+jwt", TOKEN_TYPE_AT_JWT}, {NULL, 0}};
static const struct choice responds[] = {
    {"identity", RESPOND_IDENTITY}, {"profile", RESPOND_PROFILE}, {NULL, 0}};
static const struct choice anonymous[] = {{"deny", false}, {"allow", true}, {NULL, 0}};
static const struct choice log_formats[] = {
    {"json", LOG_FORMAT_JSON}, {"text", LOG_FORMAT_TEXT}, {NULL, 0}};
static const struct choice log_levels[] = {{"error", LOG_ERROR},   {"warning", LOG_WARNING},
                                           {"notice", LOG_NOTICE}, {"info", LOG_INFO},
                                           {"debug", LOG_DEBUG},   {NULL, 0}};

static const struct option tls_options[] = {
    {.key = "certificate",
     .kind = &kind_file,
     FIELD(struct config_listen, tls_certificate),
     .fallback = "",
     .help = "PEM file: this server's certificate first, then the intermediate ones."},
    {.key = "private_key",
     .kind = &kind_file,
     FIELD(struct config_listen, tls_private_key),
     .fallback = "",
     .help = "PEM file with the certificate's private key."},
};
static const struct section tls = {SECTION(tls_options, struct config_listen), .rules = rules_tls};

static const struct option listen_options[] = {
    {OPTION(struct config_listen, address, address), .required = true, .sample = "127.0.0.1:8080",
     .help =
         "HOST:PORT, [IPV6]:PORT, unix:/PATH, or systemd:NAME for a socket passed by systemd\n"
         "under that FileDescriptorName. All addresses: 0.0.0.0 or [::]. Port 0: any free one."},
    {.key = "tls", .section = &tls, .help = "Serve https here. Both files or neither."},
};
static const struct section listen = {SECTION(listen_options, struct config_listen),
                                      .unlike = rules_unlike_listen};

static const struct option limits_options[] = {
    {OPTION(struct config_limits, header, size), .min = "1KiB", .max = "1MiB", .fallback = "32KiB",
     .help = "Request line and headers together; a larger request is refused."},
    {OPTION(struct config_limits, token, size), .min = "256B", .max = "1MiB", .fallback = "16KiB",
     .help = "A bearer token; must be less than header."},
    {OPTION(struct config_limits, header_timeout, duration), .min = "1s", .max = "1h",
     .fallback = "10s",
     .help = "Time a client has from the first byte of a request to the end of its headers."},
    {OPTION(struct config_limits, idle_timeout, duration), .min = "1s", .max = "1h",
     .fallback = "75s", .help = "A connection on which nothing happens for so long is closed."},
    {OPTION(struct config_limits, connections, count), .min = "1", .max = "1000000",
     .fallback = "10000", .help = "Open connections of all clients together."},
    {OPTION(struct config_limits, connections_per_address, count), .min = "0", .max = "1000000",
     .fallback = "0", .help = "Open connections of one client address. 0 = no limit."},
    {OPTION(struct config_limits, drain_timeout, duration), .min = "0", .max = "1h",
     .fallback = "30s",
     .help = "Time that requests in flight have to finish when the server stops."},
};
static const struct section limits = {SECTION(limits_options, struct config_limits),
                                      .rules = rules_limits};

static const struct option fetch_options[] = {
    {OPTION(struct config_fetch, ca_file, file), .fallback = "",
     .help = "PEM file of the authorities that issuers' certificates are checked against.\n"
             "Empty: those of the system."},
    {OPTION(struct config_fetch, proxy, proxy), .fallback = "",
     .help = "Reach issuers through this HTTP proxy. Empty: what https_proxy, http_proxy or\n"
             "all_proxy says in the environment."},
    {OPTION(struct config_fetch, no_proxy, text), .fallback = "",
     .help = "Hosts and domains, separated by commas, that are reached without the proxy."},
    {OPTION(struct config_fetch, connect_timeout, duration), .min = "100ms", .max = "5m",
     .fallback = "5s", .help = "Time to find and reach the issuer, TLS included."},
    {OPTION(struct config_fetch, timeout, duration), .min = "100ms", .max = "5m", .fallback = "10s",
     .help = "Time for one fetch as a whole."},
    {OPTION(struct config_fetch, max_body, size), .min = "1KiB", .max = "64MiB", .fallback = "1MiB",
     .help = "A larger answer of an issuer is refused."},
};
static const struct section fetch = {SECTION(fetch_options, struct config_fetch)};

static const struct option issuer_options[] = {
    {OPTION(struct config_issuer, issuer, issuer), .required = true,
     .sample = "https://idp.example.com/realms/main",
     .help = "Compared exactly with the iss claim of tokens, a slash at the end included."},
    {OPTION(struct config_issuer, audiences, name), .list = true, .fallback = "[]",
     .sample = "[orders-api]",
     .help = "A token must be meant for one of these (aud claim).\n"
             "Required, unless allow_any_audience is true."},
    {OPTION(struct config_issuer, allow_any_audience, choice), .choices = booleans,
     .fallback = "false",
     .help = "Accept tokens that were issued for other services too. Instead of audiences."},
    {OPTION(struct config_issuer, algorithms, algorithm), .list = true,
     .fallback = "[" ALGORITHM_NAMES "]",
     .help = "Signature algorithms to accept. HS* and none never are."},
    {OPTION(struct config_issuer, discovery, url), .fallback = "",
     .help = "Where to find jwks_uri. Empty: the issuer with\n"
             "/.well-known/openid-configuration behind it."},
    {OPTION(struct config_issuer, jwks_uri, url), .fallback = "",
     .help = "Fetch the keys from here, without discovery."},
    {OPTION(struct config_issuer, jwks_file, file), .fallback = "",
     .help = "Read the keys from this file and fetch nothing."},
    {OPTION(struct config_issuer, insecure_http, choice), .choices = booleans, .fallback = "false",
     .help = "Allow http:// to other hosts than this one. Whoever is on the way can then forge\n"
             "every token."},
    {OPTION(struct config_issuer, refresh_interval, duration), .min = "1s", .max = "30d",
     .fallback = "1h",
     .help = "Fetch the keys again so often, or more often where the issuer asks for it."},
    {OPTION(struct config_issuer, refresh_cooldown, duration), .min = "1s", .max = "1h",
     .fallback = "30s", .help = "Between two early fetches because a token named an unknown key."},
    {OPTION(struct config_issuer, max_stale, duration), .min = "1s", .max = "365d",
     .fallback = "24h",
     .help = "How long the last good keys serve while the issuer cannot be reached.\n"
             "Not less than refresh_interval."},
    {OPTION(struct config_issuer, leeway, duration), .min = "0", .max = "600s", .fallback = "60s",
     .help = "Clock skew allowed when exp, nbf and iat are judged."},
    {OPTION(struct config_issuer, max_lifetime, duration), .min = "0", .max = "3650d",
     .fallback = "0", .help = "Refuse tokens that expire further away than this. 0 = no limit."},
    {OPTION(struct config_issuer, token_type, choice), .choices = token_types, .fallback = "any",
     .help = "any, or at+jwt: only access tokens that follow RFC 9068 strictly."},
    {OPTION(struct config_issuer, scopes, scope), .list = true, .may_be_empty = true,
     .fallback = "[]", .help = "Every token of this issuer must carry these, whatever the route."},
    {OPTION(struct config_issuer, user_claims, name), .list = true, .fallback = "[email, sub]",
     .help = "The user's name is the first of these claims that the token has as a text.\n"
             "email does not count where email_verified is false."},
    {OPTION(struct config_issuer, scope_claims, name), .list = true, .fallback = "[scope, scp]",
     .help = "Claims that hold scopes: a text with spaces between, or a list."},
    {OPTION(struct config_issuer, role_claims, name), .list = true,
     .fallback = "[roles, groups, realm_access.roles]",
     .help = "Claims that hold roles; a dot leads into an object."},
};
static const struct section issuers = {SECTION(issuer_options, struct config_issuer),
                                       .rules = rules_issuer, .unlike = rules_unlike_issuer};

static const struct option require_options[] = {
    {OPTION(struct config_route, scopes, scope), .list = true, .may_be_empty = true,
     .fallback = "[]", .help = "The token must carry all of these."},
};
static const struct section require = {SECTION(require_options, struct config_route)};

static const struct option route_options[] = {
    {OPTION(struct config_route, path, path), .required = true, .sample = "/",
     .help = "This path alone; with /* at its end, every path that starts so."},
    {OPTION(struct config_route, methods, method), .list = true, .may_be_empty = true,
     .fallback = "[]", .help = "Empty: every method that respond knows."},
    {OPTION(struct config_route, respond, choice), .choices = responds, .required = true,
     .sample = "identity",
     .help = "What is answered: identity (who is asking) or profile (with the scopes)."},
    {OPTION(struct config_route, anonymous, choice), .choices = anonymous, .fallback = "deny",
     .sample = "allow",
     .help =
         "allow or deny (the default) requests without a token. A bad token is always refused."},
    {.key = "require", .section = &require, .help = "What a token must carry."},
};
static const struct section routes = {SECTION(route_options, struct config_route),
                                      .rules = rules_route, .unlike = rules_unlike_route};

static const struct option log_options[] = {
    {OPTION(struct config_log, format, choice), .choices = log_formats, .fallback = "json",
     .help = "json or text, one event a line, to standard error."},
    {OPTION(struct config_log, level, choice), .choices = log_levels, .fallback = "info",
     .help = "error, warning, notice, info or debug."},
    {OPTION(struct config_log, access, choice), .choices = booleans, .fallback = "true",
     .help = "A line for each request."},
};
static const struct section logging = {SECTION(log_options, struct config_log)};

static const struct option root_options[] = {
    {.key = "listen",
     .section = &listen,
     .list = true,
     FIELD(struct config, listen),
     .fallback = "[{address: \"127.0.0.1:8080\"}]",
     .help = "Where requests are accepted."},
    {OPTION(struct config, workers, count), .min = "0", .max = "1024", .fallback = "0",
     .help = "Threads that serve requests. 0 = one per CPU."},
    {OPTION(struct config, state_directory, directory), .fallback = "",
     .help = "Where the last good keys are kept for a restart while an issuer is down.\n"
             "Empty: $STATE_DIRECTORY, which systemd sets; without that, nothing is kept."},
    {OPTION(struct config, realm, name), .fallback = "bearerd",
     .help = "The realm named in WWW-Authenticate."},
    {.key = "limits",
     .section = &limits,
     FIELD(struct config, limits),
     .help = "What a client may use up."},
    {.key = "fetch",
     .section = &fetch,
     FIELD(struct config, fetch),
     .help = "How issuers' documents are fetched."},
    {.key = "issuers",
     .section = &issuers,
     .list = true,
     .required = true,
     FIELD(struct config, issuers),
     .help = "Whose tokens are accepted. At least one."},
    {.key = "routes",
     .section = &routes,
     .list = true,
     FIELD(struct config, routes),
     .fallback = "[{path: /, respond: identity, anonymous: allow},"
                 " {path: /profile/, respond: profile, require: {scopes: [profile]}}]",
     .more = "  - {path: /profile/, respond: profile, require: {scopes: [profile]}}\n",
     .help = "What is answered where. The most specific path wins; no route: 404."},
    {.key = "log",
     .section = &logging,
     FIELD(struct config, log),
     .help = "What is logged, and how."},
};
const struct section section_root = {SECTION(root_options, struct config)};

int section_find(const struct section *section, struct span key) {
    for (size_t i = 0; i < section->count; i++)
        if (span_equal_text(key, section->options[i].key)) return (int)i;
    return -1;
}

/* "such as {path: /, respond: identity}"; without such samples the keys alone. */
static void describe_section(const struct section *section, struct buf *buf) {
    const char *between = "such as {";

    for (size_t i = 0; i < section->count; i++) {
        const struct option *option = &section->options[i];
        if (!option->sample) continue;
        buf_addf(buf, "%s%s: %s", between, option->key, option->sample);
        between = ", ";
    }
    if (section->options[0].sample) {
        buf_add_char(buf, '}');
        return;
    }
    between = "with some of these keys: ";
    for (size_t i = 0; i < section->count; i++) {
        buf_addf(buf, "%s%s", between, section->options[i].key);
        between = ", ";
    }
}

void option_describe(const struct option *option, bool entry, struct buf *buf) {
    if (option->section) {
        buf_add_text(buf, !option->list ? "a section "
                          : entry       ? "an entry "
                                        : "a list of entries ");
        describe_section(option->section, buf);
        return;
    }
    if (option->list && !entry) buf_add_text(buf, "a list, each entry ");
    buf_add_text(buf, option->kind->wanted);
    for (const struct choice *c = option->choices; c && c->word; c++)
        buf_addf(buf, "%s %s", c == option->choices ? ":" : ",", c->word);
    if (option->min) buf_addf(buf, ", from %s to %s", option->min, option->max);
}

bool option_may_be_blank(const struct option *option) {
    return option->fallback && !*option->fallback;
}
