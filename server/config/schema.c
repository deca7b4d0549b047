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
LIST_OF(struct config, upstreams, upstream_count);
LIST_OF(struct config, identity_headers, identity_header_count);
LIST_OF(struct config, roles, role_count);
LIST_OF(struct config, resources, resource_count);
LIST_OF(struct config, routes, route_count);
LIST_OF(struct config_requirement, claims, claim_count);
LIST_OF(struct config_requirement, all_of, all_of_count);
LIST_OF(struct config_requirement, any_of, any_of_count);

static const struct choice booleans[] = {{"true", true}, {"false", false}, {NULL, 0}};
static const struct choice token_types[] = {
    {"any", TOKEN_TYPE_ANY}, {"at+jwt", TOKEN_TYPE_AT_JWT}, {NULL, 0}};
static const struct choice responds[] = {{"identity", RESPOND_IDENTITY},
                                         {"profile", RESPOND_PROFILE},
                                         {"verdict", RESPOND_VERDICT},
                                         {"forward_auth", RESPOND_FORWARD_AUTH},
                                         {NULL, 0}};
static const struct choice balances[] = {{"round_robin", BALANCE_ROUND_ROBIN},
                                         {"least_connections", BALANCE_LEAST_CONNECTIONS},
                                         {NULL, 0}};
static const struct choice hosts[] = {{"client", HOST_CLIENT}, {"target", HOST_TARGET}, {NULL, 0}};
static const struct choice presents[] = {{"true", PRESENT_YES}, {"false", PRESENT_NO}, {NULL, 0}};
static const struct choice preflights[] = {
    {"judge", PREFLIGHT_JUDGE}, {"pass", PREFLIGHT_PASS}, {"answer", PREFLIGHT_ANSWER}, {NULL, 0}};
static const struct choice modes[] = {{"enforce", false}, {"report", true}, {NULL, 0}};
static const struct choice anonymous[] = {{"deny", false}, {"allow", true}, {NULL, 0}};
static const struct choice log_formats[] = {{"json", LOG_FORMAT_JSON},
                                            {"text", LOG_FORMAT_TEXT},
                                            {"journal", LOG_FORMAT_JOURNAL},
                                            {NULL, 0}};
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
                                      .unlike = rules_unlike_listen, .likeness = rules_like_listen};

static const struct option limits_options[] = {
    {OPTION(struct config_limits, header, size), .min = "1KiB", .max = "1MiB", .fallback = "32KiB",
     .help = "Request line and headers together; a larger request is refused."},
    {OPTION(struct config_limits, token, size), .min = "256B", .max = "1MiB", .fallback = "16KiB",
     .help = "A bearer token; must be less than header."},
    {OPTION(struct config_limits, header_timeout, duration), .min = "1s", .max = "1h",
     .fallback = "10s",
     .help =
         "Time a client has for the headers of a request, the first one from when it connected."},
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

static const struct option token_cache_options[] = {
    {.key = "entries",
     .kind = &kind_count,
     FIELD(struct config, token_cache_entries),
     .min = "0",
     .max = "10000000",
     .fallback = "65536",
     .help = "Tokens that all threads together remember. 0 = every token is verified each time."},
};
static const struct section token_cache = {SECTION(token_cache_options, struct config)};

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
                                       .rules = rules_issuer, .unlike = rules_unlike_issuer,
                                       .likeness = rules_like_issuer};

static const struct option upstream_tls_options[] = {
    {OPTION(struct config_upstream_tls, ca_file, file), .fallback = "",
     .help = "PEM file of the authorities that targets' certificates are checked against.\n"
             "Empty: those of the system."},
    {OPTION(struct config_upstream_tls, certificate, file), .fallback = "",
     .help = "PEM file: the certificate that targets are shown, then the intermediate ones."},
    {OPTION(struct config_upstream_tls, private_key, file), .fallback = "",
     .help = "PEM file with that certificate's private key. Both or neither."},
    {OPTION(struct config_upstream_tls, server_name, host), .fallback = "",
     .help = "The name that targets' certificates must be for. Empty: the target's host."},
};
static const struct section upstream_tls = {
    SECTION(upstream_tls_options, struct config_upstream_tls), .rules = rules_tls};

static const struct option timeouts_options[] = {
    {OPTION(struct config_timeouts, connect, duration), .min = "10ms", .max = "5m",
     .fallback = "5s", .help = "Time to find and reach a target, TLS included."},
    {OPTION(struct config_timeouts, first_byte, duration), .min = "10ms", .max = "1d",
     .fallback = "60s", .help = "From the end of the request to the first byte of the response."},
    {OPTION(struct config_timeouts, between_bytes, duration), .min = "10ms", .max = "1d",
     .fallback = "60s", .help = "A request or response that stands still for so long is given up."},
    {OPTION(struct config_timeouts, total, duration), .min = "0", .max = "30d", .fallback = "0",
     .help = "For request and response as a whole. 0 = no limit."},
};
static const struct section timeouts = {SECTION(timeouts_options, struct config_timeouts)};

static const struct option keep_alive_options[] = {
    {OPTION(struct config_keep_alive, connections, count), .min = "0", .max = "10000",
     .fallback = "64",
     .help = "Idle connections that each thread keeps to each target. 0 = none are kept."},
    {OPTION(struct config_keep_alive, idle_timeout, duration), .min = "100ms", .max = "1h",
     .fallback = "30s",
     .help = "An idle connection is closed after so long; targets should wait longer."},
};
static const struct section keep_alive = {SECTION(keep_alive_options, struct config_keep_alive)};

static const struct option health_options[] = {
    {OPTION(struct config_health, max_fails, count), .min = "0", .max = "1000", .fallback = "3",
     .help = "A target gets no requests after so many failed in a row. 0 = failures never count."},
    {OPTION(struct config_health, retry_after, duration), .min = "100ms", .max = "1h",
     .fallback = "10s", .help = "Then one request tries it again after so long."},
    {OPTION(struct config_health, path, check), .fallback = "",
     .help = "Ask targets for this path by GET, and send requests only to those that answer\n"
             "with 2xx or 3xx. Empty: targets are not asked."},
    {OPTION(struct config_health, interval, duration), .min = "100ms", .max = "1h",
     .fallback = "5s", .help = "Time between two such checks."},
    {OPTION(struct config_health, timeout, duration), .min = "10ms", .max = "5m", .fallback = "2s",
     .help = "A check without an answer for so long has failed."},
    {OPTION(struct config_health, unhealthy_after, count), .min = "1", .max = "100",
     .fallback = "2", .help = "Failed checks in a row after which a target gets no requests."},
    {OPTION(struct config_health, healthy_after, count), .min = "1", .max = "100", .fallback = "2",
     .help = "Good checks in a row after which it gets requests again."},
};
static const struct section health = {SECTION(health_options, struct config_health)};

static const struct option upstream_options[] = {
    {OPTION(struct config_upstream, name, label), .required = true, .sample = "orders",
     .help = "What routes call it: letters, digits and any of -_."},
    {OPTION(struct config_upstream, targets, target), .list = true, .required = true,
     .sample = "[http://127.0.0.1:9001]",
     .help = "http://HOST:PORT, https://HOST:PORT or unix:/PATH. With \" weight=N\" behind it a\n"
             "target gets N times as much as one without."},
    {OPTION(struct config_upstream, balance, choice), .choices = balances,
     .fallback = "round_robin",
     .help = "round_robin, or least_connections: the target with the fewest open requests."},
    {OPTION(struct config_upstream, host, choice), .choices = hosts, .fallback = "client",
     .help = "The Host header that targets get: the client's, or the target's own."},
    {.key = "tls",
     .section = &upstream_tls,
     FIELD(struct config_upstream, tls),
     .help = "For https targets. Their certificates are always checked."},
    {.key = "timeouts",
     .section = &timeouts,
     FIELD(struct config_upstream, timeouts),
     .help = "How long to wait for a target."},
    {.key = "keep_alive",
     .section = &keep_alive,
     FIELD(struct config_upstream, keep_alive),
     .help = "Connections that are kept for the next request."},
    {.key = "health",
     .section = &health,
     FIELD(struct config_upstream, health),
     .help = "Which targets get requests."},
    {OPTION(struct config_upstream, assertion, choice), .choices = booleans, .fallback = "false",
     .help = "Send a signed assertion about the caller; see assertion below."},
};
static const struct section upstreams = {SECTION(upstream_options, struct config_upstream),
                                         .rules = rules_upstream, .unlike = rules_unlike_upstream,
                                         .likeness = rules_like_upstream};

static const struct option identity_header_options[] = {
    {OPTION(struct config_identity_header, header, header), .required = true,
     .sample = "X-Auth-User",
     .help = "What a client sends under this name, however it is spelt, is taken away."},
    {OPTION(struct config_identity_header, value, identity), .required = true, .sample = "user",
     .help = "user, subject, issuer, scopes, roles, or claim:NAME; a dot in NAME leads into an\n"
             "object."},
};
static const struct section identity_headers = {
    SECTION(identity_header_options, struct config_identity_header),
    .unlike = rules_unlike_identity, .likeness = rules_like_identity};

static const struct option assertion_options[] = {
    {OPTION(struct config_assertion, header, header), .fallback = "X-Auth-Assertion",
     .help = "The header it is sent in. What a client sends under this name is taken away."},
    {OPTION(struct config_assertion, private_key, file), .fallback = "",
     .help = "PEM file with the key that signs. Empty: one is made, and kept in state_directory."},
    {OPTION(struct config_assertion, issuer, name), .fallback = "bearerd",
     .help = "Its iss claim."},
    {OPTION(struct config_assertion, lifetime, duration), .min = "1s", .max = "1h",
     .fallback = "60s", .help = "How long one is valid."},
};
static const struct section assertion = {SECTION(assertion_options, struct config_assertion)};

static const struct option claim_options[] = {
    {OPTION(struct config_claim, name, name), .required = true, .sample = "department",
     .help = "The claim; a dot leads into an object."},
    {OPTION(struct config_claim, equals, value), .fallback = "", .sample = "sales",
     .help = "It is this: a text, a number, true or false, of just that type. \"{tenant}\" stands\n"
             "for what the path has in the place of {tenant}."},
    {OPTION(struct config_claim, one_of, value), .list = true, .fallback = "[]",
     .help = "It is one of these."},
    {OPTION(struct config_claim, contains, value), .fallback = "",
     .help = "It is a list that has this, or a text that has it as a word."},
    {OPTION(struct config_claim, present, choice), .choices = presents, .fallback = "",
     .help = "true: the token has it. false: it has not."},
    {OPTION(struct config_claim, at_least, number), .fallback = "",
     .help = "It is a number, and not less."},
    {OPTION(struct config_claim, at_most, number), .fallback = "",
     .help = "It is a number, and not more."},
};
static const struct section claims = {SECTION(claim_options, struct config_claim),
                                      .rules = rules_claim};

/* Requirements within requirements: the table names itself. */
static const struct section requirement;
static const struct option requirement_options[] = {
    {OPTION(struct config_requirement, scopes, scope), .list = true, .may_be_empty = true,
     .fallback = "[]", .help = "The token must carry all of these."},
    {OPTION(struct config_requirement, any_scopes, scope), .list = true, .fallback = "[]",
     .help = "The token must carry one of these."},
    {OPTION(struct config_requirement, roles, name), .list = true, .fallback = "[]",
     .help = "The caller must have all of these roles."},
    {OPTION(struct config_requirement, any_roles, name), .list = true, .fallback = "[]",
     .help = "The caller must have one of these roles."},
    {.key = "claims",
     .section = &claims,
     .list = true,
     FIELD(struct config_requirement, claims),
     .sample = "[{name: department, equals: sales}]",
     .help = "What claims of the token must be. With the name, one or more of: equals, one_of,\n"
             "contains, present, at_least, at_most. \"{tenant}\" as a value stands for what the\n"
             "path has in the place of {tenant}."},
    {OPTION(struct config_requirement, issuers, issuer), .list = true, .fallback = "[]",
     .help = "The token must come from one of these issuers."},
    {OPTION(struct config_requirement, audiences, name), .list = true, .fallback = "[]",
     .help = "The token must be meant for one of these (aud), besides what its issuer's audiences\n"
             "say: where one issuer's tokens are for several resources behind this gate."},
    {OPTION(struct config_requirement, max_token_age, duration), .min = "0", .max = "3650d",
     .fallback = "0",
     .help = "The token must not have been issued longer ago (iat). 0 = no limit."},
    {OPTION(struct config_requirement, acr, acr), .list = true, .fallback = "[]",
     .help = "How the user logged in must be one of these (acr claim); others are asked to log in\n"
             "so (RFC 9470)."},
    {OPTION(struct config_requirement, max_auth_age, duration), .min = "0", .max = "3650d",
     .fallback = "0",
     .help = "The user must not have logged in longer ago (auth_time claim). 0 = no limit."},
    {.key = "all_of",
     .section = &requirement,
     .list = true,
     FIELD(struct config_requirement, all_of),
     .sample = "[{any_scopes: [a, b]}, {any_scopes: [c, d]}]",
     .help = "Each of these must be met; written like require itself."},
    {.key = "any_of",
     .section = &requirement,
     .list = true,
     FIELD(struct config_requirement, any_of),
     .sample = "[{scopes: [orders:admin]}, {roles: [OPERATOR]}]",
     .help = "One of these must be met."},
    {.key = "not",
     .section = &requirement,
     .pointer = true,
     FIELD(struct config_requirement, not ),
     .sample = "{claims: [{name: suspended, equals: true}]}",
     .help = "This must not be met."},
};
static const struct section requirement = {SECTION(requirement_options, struct config_requirement)};

static const struct option admin_options[] = {
    {.key = "address",
     .kind = &kind_admin,
     FIELD(struct config, admin_address),
     .fallback = "",
     .help = "A loopback IP:PORT, unix:/PATH or systemd:NAME; an address that others reach only\n"
             "with require. Empty: no admin listener."},
    {.key = "require",
     .section = &requirement,
     .pointer = true,
     FIELD(struct config, admin_require),
     .sample = "{scopes: [\"bearerd:admin\"]}",
     .help = "What a token must have, written as in routes; then every request needs one, but\n"
             "for /healthz. Left out: whoever reaches the listener may use it."},
};
static const struct section admin = {SECTION(admin_options, struct config)};

static const struct option cors_options[] = {
    {OPTION(struct config_cors, preflight, choice), .choices = preflights, .fallback = "judge",
     .help =
         "What a browser's preflight gets, which never carries a token. judge: it needs one as\n"
         "every request. pass: the upstream answers it. answer: it is answered here, by origins."},
    {OPTION(struct config_cors, origins, origin), .list = true, .fallback = "[]",
     .help = "Scripts from here may call this route and read the answers."},
    {OPTION(struct config_cors, headers, field), .list = true,
     .fallback = "[Authorization, Content-Type]", .help = "Headers that they may send."},
    {OPTION(struct config_cors, max_age, duration), .min = "0", .max = "1d", .fallback = "10m",
     .help = "How long browsers may remember that."},
};
static const struct section cors = {SECTION(cors_options, struct config_cors), .rules = rules_cors};

static const struct option role_options[] = {
    {OPTION(struct config_role, name, name), .required = true, .sample = "OPERATOR",
     .help = "What requirements call it, and what the role claims of tokens do."},
    {OPTION(struct config_role, scopes, scope), .list = true, .required = true,
     .sample = "[orders:read, orders:write]", .help = "What it stands for."},
};
static const struct section roles = {SECTION(role_options, struct config_role),
                                     .unlike = rules_unlike_role, .likeness = rules_like_role};

static const struct option resource_options[] = {
    {OPTION(struct config_resource, resource, resource), .required = true,
     .sample = "https://api.example.com/orders",
     .help = "The URL that clients use. Routes whose path starts with its path belong to it."},
    {OPTION(struct config_resource, name, text), .fallback = "", .help = "What people call it."},
    {OPTION(struct config_resource, documentation, url), .fallback = "",
     .help = "Where people read about it."},
    {OPTION(struct config_resource, scopes, scope), .list = true, .may_be_empty = true,
     .fallback = "[]", .help = "Scopes that clients may ask for."},
    {OPTION(struct config_resource, authorization_servers, issuer), .list = true, .fallback = "[]",
     .help = "Where clients get tokens. Left out: every issuer."},
};
static const struct section resources = {SECTION(resource_options, struct config_resource),
                                         .unlike = rules_unlike_resource,
                                         .likeness = rules_like_resource};

static const struct option route_options[] = {
    {OPTION(struct config_route, path, path), .required = true, .sample = "/",
     .help = "This path alone; with /* at its end, every path that starts so. A segment {NAME}\n"
             "stands for any one segment."},
    {OPTION(struct config_route, hosts, vhost), .list = true, .fallback = "[]",
     .help = "Only for these hosts, such as api.example.com or *.example.com. Left out: all.\n"
             "A route for the host goes before one for all."},
    {OPTION(struct config_route, methods, method), .list = true, .may_be_empty = true,
     .fallback = "[]",
     .help = "Empty: GET and HEAD for identity and profile, every method for the others."},
    {OPTION(struct config_route, respond, choice), .choices = responds, .fallback = "",
     .sample = "identity",
     .help =
         "What is answered: identity (who is asking), profile (with the scopes), verdict (that\n"
         "the request is allowed), or forward_auth: another proxy asks here about its request,\n"
         "which is judged by the other routes."},
    {OPTION(struct config_route, upstream, label), .fallback = "",
     .help = "The name of the upstream that requests are passed on to, instead of respond."},
    {OPTION(struct config_route, strip_prefix, prefix), .fallback = "",
     .help =
         "Taken off the start of the path that an upstream gets: /orders makes /7 of /orders/7."},
    {OPTION(struct config_route, add_prefix, prefix), .fallback = "",
     .help = "Put before that path then."},
    {OPTION(struct config_route, forward_token, choice), .choices = booleans, .fallback = "false",
     .help = "Let the upstream have the token, too. Whoever sees it there can use it."},
    {OPTION(struct config_route, close_at_expiry, choice), .choices = booleans, .fallback = "true",
     .help = "End a response that goes on, or a WebSocket, when the token expires."},
    {OPTION(struct config_route, anonymous, choice), .choices = anonymous, .fallback = "deny",
     .sample = "allow",
     .help =
         "allow or deny (the default) requests without a token. A bad token is always refused."},
    {.key = "mode",
     .kind = &kind_choice,
     FIELD(struct config_route, report_only),
     .choices = modes,
     .fallback = "enforce",
     .help = "report: a valid token that lacks what is required is let through, and logged."},
    {.key = "cors",
     .section = &cors,
     FIELD(struct config_route, cors),
     .help = "Scripts of web pages from elsewhere."},
    {.key = "require",
     .section = &requirement,
     FIELD(struct config_route, require),
     .help = "What a token must have: all that is given here."},
};
static const struct section routes = {SECTION(route_options, struct config_route),
                                      .rules = rules_route, .unlike = rules_unlike_route,
                                      .likeness = rules_like_route};

static const struct option log_options[] = {
    {OPTION(struct config_log, format, choice), .choices = log_formats, .fallback = "json",
     .help =
         "json or text, one event a line, to standard error; or journal: entries for systemd's\n"
         "journal with a field for each, journalctl BEARERD_REASON=token_expired"},
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
    {.key = "admin",
     .section = &admin,
     .help = "Health, metrics and status, on a listener of their own."},
    {OPTION(struct config, workers, count), .min = "0", .max = "1024", .fallback = "0",
     .help = "Threads that serve requests. 0 = one per CPU."},
    {OPTION(struct config, state_directory, directory), .fallback = "",
     .help = "Where the last good keys are kept for a restart while an issuer is down.\n"
             "Empty: $STATE_DIRECTORY, which systemd sets; without that, nothing is kept."},
    {OPTION(struct config, deny_list, kept_file), .fallback = "",
     .help = "File of what is denied before it expires, an object such as {\"sub\": \"alice\"} a "
             "line.\n"
             "Changes count at once. It may be missing at first. Empty: nothing is denied."},
    {OPTION(struct config, realm, name), .fallback = "bearerd",
     .help = "The realm named in WWW-Authenticate."},
    {.key = "limits",
     .section = &limits,
     FIELD(struct config, limits),
     .help = "What a client may use up."},
    {OPTION(struct config, trusted_proxies, proxies), .list = true, .may_be_empty = true,
     .fallback = "[]",
     .help = "Addresses, or blocks such as 10.0.0.0/8, of the proxies before this one: only what\n"
             "they say in X-Forwarded-* about a client is believed and passed on."},
    {.key = "fetch",
     .section = &fetch,
     FIELD(struct config, fetch),
     .help = "How issuers' documents are fetched."},
    {.key = "token_cache",
     .section = &token_cache,
     .help = "Tokens that were verified need not be verified again."},
    {.key = "issuers",
     .section = &issuers,
     .list = true,
     .required = true,
     FIELD(struct config, issuers),
     .help = "Whose tokens are accepted. At least one."},
    {.key = "upstreams",
     .section = &upstreams,
     .list = true,
     .may_be_empty = true,
     FIELD(struct config, upstreams),
     .help = "Where routes can pass requests on to."},
    {.key = "identity_headers",
     .section = &identity_headers,
     .list = true,
     .may_be_empty = true,
     FIELD(struct config, identity_headers),
     .fallback = "[{header: X-Auth-User, value: user}, {header: X-Auth-Subject, value: subject},"
                 " {header: X-Auth-Issuer, value: issuer}, {header: X-Auth-Scopes, value: scopes},"
                 " {header: X-Auth-Roles, value: roles}]",
     .more = "  - {header: X-Auth-Subject, value: subject}\n"
             "  - {header: X-Auth-Issuer, value: issuer}\n"
             "  - {header: X-Auth-Scopes, value: scopes}\n"
             "  - {header: X-Auth-Roles, value: roles}\n",
     .help = "What upstreams are told about the caller, each in a header. None: []"},
    {.key = "assertion",
     .section = &assertion,
     FIELD(struct config, assertion),
     .help = "A signed JWT about the caller, for upstreams with assertion: true."},
    {.key = "roles",
     .section = &roles,
     .list = true,
     .may_be_empty = true,
     FIELD(struct config, roles),
     .help = "Names for bundles of scopes. Whoever has the role, by a role claim, has its scopes;\n"
             "and whoever has all of its scopes has the role."},
    {.key = "resources",
     .section = &resources,
     .list = true,
     .may_be_empty = true,
     FIELD(struct config, resources),
     .help = "What clients that know nothing can find out, in\n"
             "/.well-known/oauth-protected-resource (RFC 9728)."},
    {.key = "routes",
     .section = &routes,
     .list = true,
     FIELD(struct config, routes),
     .fallback = "[{path: /, respond: identity, anonymous: allow},"
                 " {path: /profile/, respond: profile, require: {scopes: [profile]}}]",
     .more = "  - {path: /profile/, respond: profile, require: {scopes: [profile]}}\n"
             "  #- {path: /orders/*, methods: [GET], upstream: orders,"
             " require: {scopes: [orders:read]}}\n",
     .help = "What is answered where. The most specific path wins; no route: 404."},
    {.key = "log",
     .section = &logging,
     FIELD(struct config, log),
     .help = "What is logged, and how."},
};
const struct section section_root = {SECTION(root_options, struct config), .rules = rules_root};

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
        if (!option->sample || option->section) continue;
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
    return option->fallback && !*option->fallback && option->kind != &kind_value;
}
