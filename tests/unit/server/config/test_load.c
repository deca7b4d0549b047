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
