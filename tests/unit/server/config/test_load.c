#include "tests/unit/server/config/texts.h"

#define S(text) SPAN_LITERAL(text)

/* "header=value,..." */
static void expect_identity(const struct config *config, const char *expected) {
    char text[512] = "";
    size_t len = 0;
    for (size_t i = 0; i < config->identity_header_count; i++)
        len +=
            (size_t)snprintf(text + len, sizeof text - len, "%s%s=%s", i ? "," : "",
                             config->identity_headers[i].header, config->identity_headers[i].value);
    ck_assert_str_eq(text, expected);
}

#define IDENTITY                                                                                   \
    "X-Auth-User=user,X-Auth-Subject=subject,X-Auth-Issuer=issuer,X-Auth-Scopes=scopes,"           \
    "X-Auth-Roles=roles"

static void expect_strings(const struct strings *found, const char *expected) {
    char text[512] = "";
    size_t len = 0;
    for (size_t i = 0; i < found->count; i++)
        len +=
            (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? "," : "", found->items[i]);
    ck_assert_str_eq(text, expected);
}

TEST(a_minimal_file_gets_every_default) {
    unsetenv("STATE_DIRECTORY");
    struct config *config = parse_good(S(ISSUER));

    ck_assert_str_eq(config->source, "f");
    ck_assert_uint_eq(config->listen_count, 1);
    ck_assert_str_eq(config->listen[0].address, "127.0.0.1:8080");
    ck_assert_str_eq(config->listen[0].tls_certificate, "");
    ck_assert_str_eq(config->listen[0].tls_private_key, "");
    ck_assert_uint_ge(config->workers, 1);
    ck_assert_str_eq(config->state_directory, "");
    ck_assert_str_eq(config->deny_list, "");
    ck_assert_str_eq(config->realm, "bearerd");
    ck_assert_str_eq(config->admin_address, "");
    expect_strings(&config->trusted_proxies, "");
    ck_assert_uint_eq(config->token_cache_entries, 65536);
    ck_assert_uint_eq(config->upstream_count, 0);
    expect_identity(config, IDENTITY);
    ck_assert_str_eq(config->assertion.header, "X-Auth-Assertion");
    ck_assert_str_eq(config->assertion.private_key, "");
    ck_assert_str_eq(config->assertion.issuer, "bearerd");
    ck_assert_int_eq(config->assertion.lifetime, 60000);

    ck_assert_uint_eq(config->limits.header, 32 * 1024);
    ck_assert_uint_eq(config->limits.token, 16 * 1024);
    ck_assert_int_eq(config->limits.header_timeout, 10000);
    ck_assert_int_eq(config->limits.idle_timeout, 75000);
    ck_assert_uint_eq(config->limits.connections, 10000);
    ck_assert_uint_eq(config->limits.connections_per_address, 0);
    ck_assert_int_eq(config->limits.drain_timeout, 30000);

    ck_assert_str_eq(config->fetch.ca_file, "");
    ck_assert_str_eq(config->fetch.proxy, "");
    ck_assert_str_eq(config->fetch.no_proxy, "");
    ck_assert_int_eq(config->fetch.connect_timeout, 5000);
    ck_assert_int_eq(config->fetch.timeout, 10000);
    ck_assert_uint_eq(config->fetch.max_body, 1024 * 1024);

    ck_assert_int_eq(config->log.format, LOG_FORMAT_JSON);
    ck_assert_int_eq(config->log.level, LOG_INFO);
    ck_assert(config->log.access);
    config_unref(config);
}

TEST(an_issuer_gets_every_default) {
    struct config *config = parse_good(S(ISSUER));
    ck_assert_uint_eq(config->issuer_count, 1);
    const struct config_issuer *issuer = &config->issuers[0];

    ck_assert_str_eq(issuer->issuer, "https://idp");
    expect_strings(&issuer->audiences, "api");
    ck_assert(!issuer->allow_any_audience);
    ck_assert_uint_eq(issuer->algorithms, ALG_ALL);
    ck_assert_str_eq(issuer->discovery, "https://idp/.well-known/openid-configuration");
    ck_assert_str_eq(issuer->jwks_uri, "");
    ck_assert_str_eq(issuer->jwks_file, "");
    ck_assert(!issuer->insecure_http);
    ck_assert_int_eq(issuer->refresh_interval, 3600000);
    ck_assert_int_eq(issuer->refresh_cooldown, 30000);
    ck_assert_int_eq(issuer->max_stale, 24 * 3600000);
    ck_assert_int_eq(issuer->leeway, 60000);
    ck_assert_int_eq(issuer->max_lifetime, 0);
    ck_assert_int_eq(issuer->token_type, TOKEN_TYPE_ANY);
    expect_strings(&issuer->scopes, "");
    expect_strings(&issuer->user_claims, "email,sub");
    expect_strings(&issuer->scope_claims, "scope,scp");
    expect_strings(&issuer->role_claims, "roles,groups,realm_access.roles");
    config_unref(config);
}

TEST(an_upstream_gets_every_default) {
    struct config *config =
        parse_good(S(ISSUER "upstreams: [{name: orders, targets: [http://127.0.0.1:9001]}]\n"
                            "routes: [{path: /orders/*, upstream: orders}]\n"));
    ck_assert_uint_eq(config->upstream_count, 1);
    const struct config_upstream *upstream = &config->upstreams[0];

    ck_assert_str_eq(upstream->name, "orders");
    expect_strings(&upstream->targets, "http://127.0.0.1:9001");
    ck_assert_int_eq(upstream->balance, BALANCE_ROUND_ROBIN);
    ck_assert_int_eq(upstream->host, HOST_CLIENT);
    ck_assert_str_eq(upstream->tls.ca_file, "");
    ck_assert_str_eq(upstream->tls.certificate, "");
    ck_assert_str_eq(upstream->tls.private_key, "");
    ck_assert_str_eq(upstream->tls.server_name, "");
    ck_assert_int_eq(upstream->timeouts.connect, 5000);
    ck_assert_int_eq(upstream->timeouts.first_byte, 60000);
    ck_assert_int_eq(upstream->timeouts.between_bytes, 60000);
    ck_assert_int_eq(upstream->timeouts.total, 0);
    ck_assert_uint_eq(upstream->keep_alive.connections, 64);
    ck_assert_int_eq(upstream->keep_alive.idle_timeout, 30000);
    ck_assert_uint_eq(upstream->health.max_fails, 3);
    ck_assert_int_eq(upstream->health.retry_after, 10000);
    ck_assert_str_eq(upstream->health.path, "");
    ck_assert_int_eq(upstream->health.interval, 5000);
    ck_assert_int_eq(upstream->health.timeout, 2000);
    ck_assert_uint_eq(upstream->health.unhealthy_after, 2);
    ck_assert_uint_eq(upstream->health.healthy_after, 2);
    ck_assert(!upstream->assertion);

    const struct config_route *route = &config->routes[0];
    ck_assert_int_eq(route->respond, RESPOND_NONE);
    ck_assert_str_eq(route->upstream, "orders");
    ck_assert_str_eq(route->strip_prefix, "");
    ck_assert_str_eq(route->add_prefix, "");
    ck_assert(!route->forward_token);
    ck_assert(route->close_at_expiry);
    ck_assert(!route->anonymous);
    expect_strings(&route->methods, "");
    config_unref(config);
}

TEST(every_option_of_upstreams_can_be_set) {
    struct config *config = parse_good(
        S(ISSUER
          "admin: {address: \"127.0.0.1:8081\"}\n"
          "trusted_proxies: [127.0.0.1, 10.0.0.0/8]\n"
          "token_cache: {entries: 0}\n"
          "upstreams:\n"
          "  - {name: first, targets: [unix:/run/x]}\n"
          "  - name: orders\n"
          "    targets: [https://a, https://b:8443 weight=3]\n"
          "    balance: least_connections\n"
          "    host: target\n"
          "    tls: {ca_file: /etc/passwd, certificate: /etc/group, private_key: /etc/hosts,\n"
          "          server_name: orders.internal}\n"
          "    timeouts: {connect: 10ms, first_byte: 1d, between_bytes: 3s, total: 30d}\n"
          "    keep_alive: {connections: 0, idle_timeout: 100ms}\n"
          "    health: {max_fails: 0, retry_after: 1h, path: /healthz?a, interval: 1s,\n"
          "             timeout: 5m, unhealthy_after: 1, healthy_after: 100}\n"
          "    assertion: true\n"
          "identity_headers:\n"
          "  - {header: Remote-User, value: user}\n"
          "  - {header: X-Tenant, value: claim:tenant.id}\n"
          "assertion: {header: X-Signed, private_key: /etc/passwd, issuer: gate, lifetime: 1h}\n"
          "routes:\n"
          "  - {path: /orders/*, methods: [PUT], upstream: orders, strip_prefix: /orders,\n"
          "     add_prefix: /v1, forward_token: true, close_at_expiry: false}\n"));

    ck_assert_str_eq(config->admin_address, "127.0.0.1:8081");
    expect_strings(&config->trusted_proxies, "127.0.0.1,10.0.0.0/8");
    ck_assert_uint_eq(config->token_cache_entries, 0);
    ck_assert_uint_eq(config->upstream_count, 2);
    expect_strings(&config->upstreams[0].targets, "unix:/run/x");
    ck_assert_int_eq(config->upstreams[0].host, HOST_CLIENT);

    const struct config_upstream *upstream = &config->upstreams[1];
    ck_assert_str_eq(upstream->name, "orders");
    expect_strings(&upstream->targets, "https://a,https://b:8443 weight=3");
    ck_assert_int_eq(upstream->balance, BALANCE_LEAST_CONNECTIONS);
    ck_assert_int_eq(upstream->host, HOST_TARGET);
    ck_assert_str_eq(upstream->tls.ca_file, "/etc/passwd");
    ck_assert_str_eq(upstream->tls.certificate, "/etc/group");
    ck_assert_str_eq(upstream->tls.private_key, "/etc/hosts");
    ck_assert_str_eq(upstream->tls.server_name, "orders.internal");
    ck_assert_int_eq(upstream->timeouts.connect, 10);
    ck_assert_int_eq(upstream->timeouts.first_byte, 86400000);
    ck_assert_int_eq(upstream->timeouts.between_bytes, 3000);
    ck_assert_int_eq(upstream->timeouts.total, INT64_C(30) * 86400000);
    ck_assert_uint_eq(upstream->keep_alive.connections, 0);
    ck_assert_int_eq(upstream->keep_alive.idle_timeout, 100);
    ck_assert_uint_eq(upstream->health.max_fails, 0);
    ck_assert_int_eq(upstream->health.retry_after, 3600000);
    ck_assert_str_eq(upstream->health.path, "/healthz?a");
    ck_assert_int_eq(upstream->health.interval, 1000);
    ck_assert_int_eq(upstream->health.timeout, 300000);
    ck_assert_uint_eq(upstream->health.unhealthy_after, 1);
    ck_assert_uint_eq(upstream->health.healthy_after, 100);
    ck_assert(upstream->assertion);

    expect_identity(config, "Remote-User=user,X-Tenant=claim:tenant.id");
    ck_assert_str_eq(config->assertion.header, "X-Signed");
    ck_assert_str_eq(config->assertion.private_key, "/etc/passwd");
    ck_assert_str_eq(config->assertion.issuer, "gate");
    ck_assert_int_eq(config->assertion.lifetime, 3600000);
    const struct config_route *route = &config->routes[0];
    expect_strings(&route->methods, "PUT");
    ck_assert_str_eq(route->upstream, "orders");
    ck_assert_str_eq(route->strip_prefix, "/orders");
    ck_assert_str_eq(route->add_prefix, "/v1");
    ck_assert(route->forward_token);
    ck_assert(!route->close_at_expiry);
    config_unref(config);
}

TEST(an_empty_list_of_identity_headers_is_none_of_them) {
    struct config *config = parse_good(S(ISSUER "identity_headers: []\n"
                                                "upstreams: []\n"
                                                "trusted_proxies: []\n"));
    expect_identity(config, "");
    ck_assert_uint_eq(config->upstream_count, 0);
    expect_strings(&config->trusted_proxies, "");
    config_unref(config);

    config = parse_good(S(ISSUER "realm: x\n"));
    expect_identity(config, IDENTITY);
    config_unref(config);
}

TEST(without_routes_there_are_the_two_of_the_service) {
    struct config *config = parse_good(S(ISSUER));

    ck_assert_uint_eq(config->route_count, 2);
    ck_assert_str_eq(config->routes[0].path, "/");
    ck_assert(!config->routes[0].subtree);
    expect_strings(&config->routes[0].methods, "");
    ck_assert_int_eq(config->routes[0].respond, RESPOND_IDENTITY);
    ck_assert(config->routes[0].anonymous);
    expect_strings(&config->routes[0].require.scopes, "");

    ck_assert_str_eq(config->routes[1].path, "/profile/");
    ck_assert(!config->routes[1].subtree);
    expect_strings(&config->routes[1].methods, "");
    ck_assert_int_eq(config->routes[1].respond, RESPOND_PROFILE);
    ck_assert(!config->routes[1].anonymous);
    expect_strings(&config->routes[1].require.scopes, "profile");
    config_unref(config);
}

TEST(every_option_can_be_set) {
    struct config *config =
        parse_good(S("listen:\n"
                     "  - {address: \"[::1]:8443\",\n"
                     "     tls: {certificate: /etc/passwd, private_key: /etc/group}}\n"
                     "  - {address: unix:/run/x}\n"
                     "workers: 3\n"
                     "state_directory: /var/lib/x\n"
                     "deny_list: /nonexistent/deny\n"
                     "realm: \"the \\\"realm\\\"\"\n"
                     "limits: {header: 64KiB, token: 1024B, header_timeout: 5s, idle_timeout: 2m,\n"
                     "         connections: 7, connections_per_address: 6, drain_timeout: 0}\n"
                     "fetch: {ca_file: /etc/passwd, proxy: \"http://proxy:3128\", no_proxy: a,\n"
                     "        connect_timeout: 500ms, timeout: 1s, max_body: 2MiB}\n"
                     "issuers:\n"
                     "  - issuer: https://a\n"
                     "    audiences: [x, y]\n"
                     "    algorithms: [EdDSA, RS256]\n"
                     "    discovery: https://a/d\n"
                     "    insecure_http: true\n"
                     "    refresh_interval: 2h\n"
                     "    refresh_cooldown: 2s\n"
                     "    max_stale: 3d\n"
                     "    leeway: 0\n"
                     "    max_lifetime: 1d\n"
                     "    token_type: at+jwt\n"
                     "    scopes: [p, q]\n"
                     "    user_claims: [u]\n"
                     "    scope_claims: [s]\n"
                     "    role_claims: [r]\n"
                     "  - {issuer: https://b, allow_any_audience: true, jwks_uri: https://b/keys}\n"
                     "  - {issuer: https://c, audiences: [z], jwks_file: /etc/passwd}\n"
                     "routes:\n"
                     "  - {path: /p/*, methods: [GET, HEAD], respond: profile, anonymous: allow,\n"
                     "     require: {scopes: [m, n]}}\n"
                     "log: {format: text, level: error, access: false}\n"));

    ck_assert_uint_eq(config->listen_count, 2);
    ck_assert_str_eq(config->listen[0].address, "[::1]:8443");
    ck_assert_str_eq(config->listen[0].tls_certificate, "/etc/passwd");
    ck_assert_str_eq(config->listen[0].tls_private_key, "/etc/group");
    ck_assert_str_eq(config->listen[1].address, "unix:/run/x");
    ck_assert_str_eq(config->listen[1].tls_certificate, "");
    ck_assert_uint_eq(config->workers, 3);
    ck_assert_str_eq(config->state_directory, "/var/lib/x");
    ck_assert_str_eq(config->deny_list, "/nonexistent/deny");
    ck_assert_str_eq(config->realm, "the \"realm\"");
    ck_assert_uint_eq(config->limits.header, 65536);
    ck_assert_uint_eq(config->limits.token, 1024);
    ck_assert_int_eq(config->limits.header_timeout, 5000);
    ck_assert_int_eq(config->limits.idle_timeout, 120000);
    ck_assert_uint_eq(config->limits.connections, 7);
    ck_assert_uint_eq(config->limits.connections_per_address, 6);
    ck_assert_int_eq(config->limits.drain_timeout, 0);
    ck_assert_str_eq(config->fetch.ca_file, "/etc/passwd");
    ck_assert_str_eq(config->fetch.proxy, "http://proxy:3128");
    ck_assert_str_eq(config->fetch.no_proxy, "a");
    ck_assert_int_eq(config->fetch.connect_timeout, 500);
    ck_assert_int_eq(config->fetch.timeout, 1000);
    ck_assert_uint_eq(config->fetch.max_body, 2 * 1024 * 1024);

    ck_assert_uint_eq(config->issuer_count, 3);
    const struct config_issuer *issuer = &config->issuers[0];
    expect_strings(&issuer->audiences, "x,y");
    ck_assert_uint_eq(issuer->algorithms, ALG_BIT(ALG_EDDSA) | ALG_BIT(ALG_RS256));
    ck_assert_str_eq(issuer->discovery, "https://a/d");
    ck_assert(issuer->insecure_http);
    ck_assert_int_eq(issuer->refresh_interval, 2 * 3600000);
    ck_assert_int_eq(issuer->refresh_cooldown, 2000);
    ck_assert_int_eq(issuer->max_stale, 3 * 86400000);
    ck_assert_int_eq(issuer->leeway, 0);
    ck_assert_int_eq(issuer->max_lifetime, 86400000);
    ck_assert_int_eq(issuer->token_type, TOKEN_TYPE_AT_JWT);
    expect_strings(&issuer->scopes, "p,q");
    expect_strings(&issuer->user_claims, "u");
    expect_strings(&issuer->scope_claims, "s");
    expect_strings(&issuer->role_claims, "r");
    ck_assert(issuer[1].allow_any_audience);
    expect_strings(&issuer[1].audiences, "");
    ck_assert_str_eq(issuer[1].jwks_uri, "https://b/keys");
    ck_assert_str_eq(issuer[2].jwks_file, "/etc/passwd");

    ck_assert_uint_eq(config->route_count, 1);
    ck_assert_str_eq(config->routes[0].path, "/p/");
    ck_assert(config->routes[0].subtree);
    expect_strings(&config->routes[0].methods, "GET,HEAD");
    ck_assert_int_eq(config->routes[0].respond, RESPOND_PROFILE);
    ck_assert(config->routes[0].anonymous);
    expect_strings(&config->routes[0].require.scopes, "m,n");
    ck_assert_int_eq(config->log.format, LOG_FORMAT_TEXT);
    ck_assert_int_eq(config->log.level, LOG_ERROR);
    ck_assert(!config->log.access);
    config_unref(config);
}

TEST(blank_values_and_empty_sections_mean_the_default) {
    struct config *config = parse_good(S("listen: [{address: \"a:1\", tls: {certificate: \"\"}}]\n"
                                         "state_directory: \"\"\n"
                                         "limits:\n"
                                         "fetch: {}\n"
                                         "issuers:\n"
                                         "  - issuer: https://idp\n"
                                         "    audiences: [api]\n"
                                         "    scopes: []\n"
                                         "    jwks_uri: \"\"\n"
                                         "    jwks_file: ''\n"
                                         "    discovery: \"\"\n"
                                         "admin: {address: \"\"}\n"
                                         "token_cache:\n"
                                         "assertion: {private_key: ''}\n"
                                         "upstreams:\n"
                                         "  - {name: a, targets: [http://a], tls: , health: {path: "
                                         "\"\"}, timeouts: ~}\n"
                                         "routes: [{path: /, respond: identity, require: }]\n"
                                         "log: ~\n"));
    ck_assert_uint_eq(config->limits.header, 32 * 1024);
    ck_assert_int_eq(config->fetch.timeout, 10000);
    ck_assert_str_eq(config->issuers[0].discovery, "https://idp/.well-known/openid-configuration");
    ck_assert_uint_eq(config->routes[0].require.scopes.count, 0);
    ck_assert_uint_eq(config->token_cache_entries, 65536);
    ck_assert_int_eq(config->upstreams[0].timeouts.connect, 5000);
    ck_assert_str_eq(config->upstreams[0].health.path, "");
    ck_assert(config->log.access);
    config_unref(config);
}

/* --- requirements ---------------------------------------------------------------------------- */

static void expect_nothing(const struct config_requirement *require) {
    ck_assert_uint_eq(require->scopes.count, 0);
    ck_assert_uint_eq(require->any_scopes.count, 0);
    ck_assert_uint_eq(require->roles.count, 0);
    ck_assert_uint_eq(require->any_roles.count, 0);
    ck_assert_uint_eq(require->claim_count, 0);
    ck_assert_uint_eq(require->issuers.count, 0);
    ck_assert_int_eq(require->max_token_age, 0);
    ck_assert_uint_eq(require->acr.count, 0);
    ck_assert_int_eq(require->max_auth_age, 0);
    ck_assert_uint_eq(require->all_of_count, 0);
    ck_assert_uint_eq(require->any_of_count, 0);
    ck_assert_ptr_null(require->not );
}

TEST(a_route_gets_every_default) {
    struct config *config = parse_good(S(ISSUER "routes: [{path: /, respond: verdict}]\n"));
    const struct config_route *route = &config->routes[0];
    expect_strings(&route->hosts, "");
    ck_assert(!route->report_only);
    ck_assert(!route->anonymous);
    ck_assert_int_eq(route->cors.preflight, PREFLIGHT_JUDGE);
    expect_strings(&route->cors.origins, "");
    expect_strings(&route->cors.headers, "Authorization,Content-Type");
    ck_assert_int_eq(route->cors.max_age, 600000);
    expect_nothing(&route->require);
    ck_assert_uint_eq(config->role_count, 0);
    ck_assert_uint_eq(config->resource_count, 0);
    config_unref(config);
}

/* The default of headers is not empty: a list of its own replaces it, and only there. */
TEST(cors_roles_and_resources_can_be_set) {
    struct config *config = parse_good(
        S(ISSUER "roles: [{name: OPERATOR, scopes: [a, b]}, {name: READER, scopes: [a]}]\n"
                 "resources:\n"
                 "  - {resource: \"https://a/b\", name: Orders, documentation: \"https://d/x\",\n"
                 "     scopes: [a], authorization_servers: [\"https://idp\"]}\n"
                 "  - {resource: \"https://c\", scopes: []}\n"
                 "routes:\n"
                 "  - {path: /a, respond: verdict, mode: report,\n"
                 "     cors: {preflight: answer, origins: [\"https://x\", \"http://y:8080\"],\n"
                 "            headers: [X-A], max_age: 0}}\n"
                 "  - {path: /b, respond: verdict, mode: enforce, cors: {preflight: judge}}\n"));
    ck_assert_uint_eq(config->role_count, 2);
    ck_assert_str_eq(config->roles[0].name, "OPERATOR");
    expect_strings(&config->roles[0].scopes, "a,b");
    expect_strings(&config->roles[1].scopes, "a");
    ck_assert_uint_eq(config->resource_count, 2);
    ck_assert_str_eq(config->resources[0].resource, "https://a/b");
    ck_assert_str_eq(config->resources[0].name, "Orders");
    ck_assert_str_eq(config->resources[0].documentation, "https://d/x");
    expect_strings(&config->resources[0].scopes, "a");
    expect_strings(&config->resources[0].authorization_servers, "https://idp");
    ck_assert_str_eq(config->resources[1].name, "");
    expect_strings(&config->resources[1].authorization_servers, "");

    const struct config_route *routes = config->routes;
    ck_assert(routes[0].report_only);
    ck_assert_int_eq(routes[0].cors.preflight, PREFLIGHT_ANSWER);
    expect_strings(&routes[0].cors.origins, "https://x,http://y:8080");
    expect_strings(&routes[0].cors.headers, "X-A");
    ck_assert_int_eq(routes[0].cors.max_age, 0);
    ck_assert(!routes[1].report_only);
    ck_assert_int_eq(routes[1].cors.preflight, PREFLIGHT_JUDGE);
    expect_strings(&routes[1].cors.headers, "Authorization,Content-Type");
    config_unref(config);
}

TEST(every_option_of_a_requirement_can_be_set) {
    struct config *config =
        parse_good(S(ISSUER "routes:\n"
                            "  - path: /\n"
                            "    respond: verdict\n"
                            "    require: {scopes: [a], any_scopes: [b, c], roles: [d],\n"
                            "              any_roles: [e, f], issuers: [\"https://idp\"],\n"
                            "              max_token_age: 90s, acr: [g, h], max_auth_age: 5m}\n"));
    const struct config_requirement *require = &config->routes[0].require;
    expect_strings(&require->scopes, "a");
    expect_strings(&require->any_scopes, "b,c");
    expect_strings(&require->roles, "d");
    expect_strings(&require->any_roles, "e,f");
    expect_strings(&require->issuers, "https://idp");
    ck_assert_int_eq(require->max_token_age, 90000);
    expect_strings(&require->acr, "g,h");
    ck_assert_int_eq(require->max_auth_age, 300000);
    ck_assert_uint_eq(require->claim_count + require->all_of_count + require->any_of_count, 0);
    ck_assert_ptr_null(require->not );
    config_unref(config);
}

/* What a claim is compared with keeps its type: 5 is not "5". */
TEST(values_of_claims_are_json_texts_of_their_type) {
    struct config *config = parse_good(S(
        ISSUER "routes:\n"
               "  - path: /t/{tenant}\n"
               "    respond: verdict\n"
               "    require:\n"
               "      claims:\n"
               "        - {name: a, equals: 5}\n"
               "        - {name: b, equals: \"5\"}\n"
               "        - {name: c, equals: true}\n"
               "        - {name: d, equals: 'true'}\n"
               "        - {name: e, equals: it}\n"
               "        - {name: f, equals: \"{tenant}\"}\n"
               "        - {name: g, equals: \"\"}\n"
               "        - {name: h, one_of: [5, \"5\", false, \"false\", it, -1.5e3, '']}\n"
               "        - {name: i.j, contains: 7, present: true, at_least: 1, at_most: \"1e1\"}\n"
               "        - {name: k, contains: \"7\"}\n"
               "        - {name: l, present: false}\n"
               "        - name: m\n"
               "          equals: |-\n"
               "            5\n"));
    static const char *const equals[] = {"5",      "\"5\"",        "true", "\"true\"",
                                         "\"it\"", "\"{tenant}\"", "\"\""};
    const struct config_requirement *require = &config->routes[0].require;
    const struct config_claim *claims = require->claims;

    ck_assert_uint_eq(require->claim_count, 12);
    for (size_t i = 0; i < ARRAY_LEN(equals); i++) {
        ck_assert_int_eq(claims[i].name[0], 'a' + (int)i);
        ck_assert_str_eq(claims[i].equals, equals[i]);
        ck_assert_str_eq(claims[i].contains, "");
        ck_assert_str_eq(claims[i].at_least, "");
        ck_assert_str_eq(claims[i].at_most, "");
        ck_assert_uint_eq(claims[i].one_of.count, 0);
        ck_assert_int_eq(claims[i].present, PRESENT_ANYHOW);
    }
    ck_assert_str_eq(claims[7].equals, "");
    expect_strings(&claims[7].one_of, "5,\"5\",false,\"false\",\"it\",-1.5e3,\"\"");
    ck_assert_str_eq(claims[8].name, "i.j");
    ck_assert_str_eq(claims[8].contains, "7");
    ck_assert_int_eq(claims[8].present, PRESENT_YES);
    ck_assert_str_eq(claims[8].at_least, "1");
    ck_assert_str_eq(claims[8].at_most, "1e1");
    ck_assert_str_eq(claims[9].contains, "\"7\"");
    ck_assert_int_eq(claims[10].present, PRESENT_NO);
    ck_assert_str_eq(claims[11].equals, "\"5\"");
    config_unref(config);
}

TEST(requirements_lie_in_requirements) {
    struct config *config = parse_good(S(
        ISSUER "routes:\n"
               "  - path: /\n"
               "    respond: verdict\n"
               "    require:\n"
               "      scopes: [top]\n"
               "      all_of:\n"
               "        - any_scopes: [a, b]\n"
               "        - any_of:\n"
               "            - {roles: [r], max_token_age: 1h}\n"
               "            - not:\n"
               "                all_of: [{acr: [x]}, {not: {claims: [{name: s, equals: true}]}}]\n"
               "      any_of: [{max_auth_age: 1s}, {issuers: [\"https://idp\"]}, {scopes: [z]}]\n"
               "      not: {not: {any_of: [{claims: [{name: n, one_of: [1, one]}]}]}}\n"
               "  - {path: /b, respond: verdict, require: {not: {scopes: [q]}}}\n"));
    const struct config_requirement *top = &config->routes[0].require;
    expect_strings(&top->scopes, "top");
    ck_assert_uint_eq(top->all_of_count, 2);
    expect_strings(&top->all_of[0].any_scopes, "a,b");
    expect_strings(&top->all_of[0].scopes, "");
    ck_assert_ptr_null(top->all_of[0].not );

    const struct config_requirement *either = top->all_of[1].any_of;
    ck_assert_uint_eq(top->all_of[1].any_of_count, 2);
    expect_strings(&either[0].roles, "r");
    ck_assert_int_eq(either[0].max_token_age, 3600000);
    ck_assert_ptr_null(either[0].not );
    const struct config_requirement *neither = either[1].not ;
    ck_assert_ptr_nonnull(neither);
    ck_assert_uint_eq(neither->all_of_count, 2);
    expect_strings(&neither->all_of[0].acr, "x");
    const struct config_requirement *deepest = neither->all_of[1].not ;
    ck_assert_ptr_nonnull(deepest);
    ck_assert_uint_eq(deepest->claim_count, 1);
    ck_assert_str_eq(deepest->claims[0].name, "s");
    ck_assert_str_eq(deepest->claims[0].equals, "true");

    ck_assert_uint_eq(top->any_of_count, 3);
    ck_assert_int_eq(top->any_of[0].max_auth_age, 1000);
    expect_strings(&top->any_of[1].issuers, "https://idp");
    expect_strings(&top->any_of[2].scopes, "z");
    const struct config_requirement *twice = top->not ;
    ck_assert_ptr_nonnull(twice);
    twice = twice->not ;
    ck_assert_ptr_nonnull(twice);
    expect_strings(&twice->any_of[0].claims[0].one_of, "1,\"one\"");

    const struct config_requirement *other = config->routes[1].require.not ;
    ck_assert_ptr_null(other->not );
    expect_strings(&other->scopes, "q");
    expect_strings(&config->routes[1].require.scopes, "");
    config_unref(config);
}

/* {not: {not: ... {scopes: [a]}}} with so many not. The caller frees it. */
static char *many_nots(size_t count) {
    char *yaml = NULL;
    size_t len;
    FILE *out = open_memstream(&yaml, &len);
    ck_assert_ptr_nonnull(out);
    fputs(ISSUER "routes: [{path: /, respond: verdict, require: ", out);
    for (size_t i = 0; i < count; i++) fputs("{not: ", out);
    fputs("{scopes: [a]}", out);
    for (size_t i = 0; i < count; i++) fputc('}', out);
    fputs("}]\n", out);
    fclose(out);
    return yaml;
}

/* Around it are the file, its routes and the route; in it a list with texts. */
TEST(requirements_are_nested_as_deep_as_a_document_may_be) {
    enum { DEEPEST = 10 };
    char *yaml = many_nots(DEEPEST);
    struct config *config = parse_good(span_of(yaml));
    const struct config_requirement *require = &config->routes[0].require;
    for (size_t i = 0; i < DEEPEST; i++) {
        ck_assert_uint_eq(require->scopes.count, 0);
        require = require->not ;
        ck_assert_ptr_nonnull(require);
    }
    expect_strings(&require->scopes, "a");
    ck_assert_ptr_null(require->not );
    config_unref(config);
    free(yaml);

    for (size_t i = DEEPEST + 1; i < 40; i++) {
        struct config_report report;
        config = NULL;
        yaml = many_nots(i);
        ck_assert_int_eq(config_parse(span_of(yaml), "f", &config, &report), ERR_SYNTAX);
        ck_assert_ptr_null(config);
        ck_assert_uint_eq(report.count, 1);
        ck_assert_str_eq(report.problems[0].text,
                         "more than 16 levels deep; nothing may be nested so deep");
        config_report_done(&report);
        free(yaml);
    }
}
