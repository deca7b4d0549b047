#include <inttypes.h>

#include "common/buf.h"
#include "tests/support/scratch.h"
#include "tests/unit/server/config/texts.h"

/* The caller frees it. */
static char *example(void) {
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(config_write_example(out), 0);
    fclose(out);
    return text;
}

/* Everything in the configuration that the example can show, as one text. */
static char *describe(struct config *config) {
    const struct config_issuer *issuer = &config->issuers[0];
    const struct config_limits *limits = &config->limits;
    ck_assert_uint_eq(config->listen_count, 1);
    ck_assert_uint_eq(config->issuer_count, 1);
    ck_assert_uint_ge(config->route_count, 2);
    ck_assert_uint_eq(config->identity_header_count, 5);

#define U "%" PRIu64 " "
#define D "%" PRId64 " "
    char *text = scratch_text(
        "%s|%s|%s|%u|%s|%s|" U U D D U U D "|%s|%s|%s|" D D U "|%s|%d %x|%s|%s|%s|%d|" D D D D D
        "|%d|%zu %zu %zu %zu|%s %zu %d %d %zu|%s %zu %d %d %zu|%d %d %d|%s %zu " U
        "|%s %s %s %s|%s %s %s %d %d|%s %s %s " D,
        config->listen[0].address, config->listen[0].tls_certificate,
        config->listen[0].tls_private_key, config->workers, config->state_directory, config->realm,
        limits->header, limits->token, limits->header_timeout, limits->idle_timeout,
        limits->connections, limits->connections_per_address, limits->drain_timeout,
        config->fetch.ca_file, config->fetch.proxy, config->fetch.no_proxy,
        config->fetch.connect_timeout, config->fetch.timeout, config->fetch.max_body,
        issuer->issuer, issuer->allow_any_audience, issuer->algorithms, issuer->discovery,
        issuer->jwks_uri, issuer->jwks_file, issuer->insecure_http, issuer->refresh_interval,
        issuer->refresh_cooldown, issuer->max_stale, issuer->leeway, issuer->max_lifetime,
        issuer->token_type, issuer->scopes.count, issuer->user_claims.count,
        issuer->scope_claims.count, issuer->role_claims.count, config->routes[0].path,
        config->routes[0].methods.count, config->routes[0].respond, config->routes[0].anonymous,
        config->routes[0].require.scopes.count, config->routes[1].path,
        config->routes[1].methods.count, config->routes[1].respond, config->routes[1].anonymous,
        config->routes[1].require.scopes.count, config->log.format, config->log.level,
        config->log.access, config->admin_address, config->trusted_proxies.count,
        config->token_cache_entries, config->identity_headers[0].header,
        config->identity_headers[0].value, config->identity_headers[4].header,
        config->identity_headers[4].value, config->routes[0].upstream,
        config->routes[0].strip_prefix, config->routes[0].add_prefix,
        config->routes[0].forward_token, config->routes[0].close_at_expiry,
        config->assertion.header, config->assertion.private_key, config->assertion.issuer,
        config->assertion.lifetime);
    config_unref(config);
    return text;
}

/* The same of its one upstream and the route to it. */
static char *describe_upstream(struct config *config) {
    ck_assert_uint_eq(config->upstream_count, 1);
    ck_assert_uint_eq(config->route_count, 3);
    const struct config_upstream *upstream = &config->upstreams[0];
    const struct config_route *route = &config->routes[2];

    char *text = scratch_text(
        "%s|%s %zu|%d %d|%s %s %s %s|" D D D D U D "|" U D "%s " D D U U "|%d|%s %s %zu %s %s",
        upstream->name, upstream->targets.items[0], upstream->targets.count, upstream->balance,
        upstream->host, upstream->tls.ca_file, upstream->tls.certificate, upstream->tls.private_key,
        upstream->tls.server_name, upstream->timeouts.connect, upstream->timeouts.first_byte,
        upstream->timeouts.between_bytes, upstream->timeouts.total,
        upstream->keep_alive.connections, upstream->keep_alive.idle_timeout,
        upstream->health.max_fails, upstream->health.retry_after, upstream->health.path,
        upstream->health.interval, upstream->health.timeout, upstream->health.unhealthy_after,
        upstream->health.healthy_after, upstream->assertion, route->path, route->upstream,
        route->methods.count, route->methods.items[0], route->require.scopes.items[0]);
    config_unref(config);
    return text;
}
#undef U
#undef D

static const struct span minimal =
    SPAN_LITERAL("issuers: [{issuer: \"https://idp.example.com/realms/main\", "
                 "audiences: [orders-api]}]\n");

TEST(the_file_in_the_tree_is_what_the_program_writes) {
    size_t len = 0;
    char *found = scratch_read("conf/bearerd.yaml", &len);
    ck_assert_msg(found != NULL, "conf/bearerd.yaml is missing");
    char *expected = example();
    ck_assert_msg(span_equal_text((struct span){found, len}, expected),
                  "conf/bearerd.yaml differs from config_write_example()");
    free(found);
    free(expected);
}

TEST(the_example_is_at_the_defaults) {
    char *text = example();
    char *shown = describe(parse_good(span_of(text)));
    char *defaults = describe(parse_good(minimal));
    ck_assert_str_eq(shown, defaults);
    free(shown);
    free(defaults);
    free(text);
}

/* An empty list of these would let nobody through, or everybody: whoever uses one fills it. */
static const char *const to_be_filled[] = {"authorization_servers",
                                           "hosts",
                                           "origins",
                                           "any_scopes",
                                           "roles",
                                           "any_roles",
                                           "issuers",
                                           "audiences",
                                           "acr"};

/* Is this line, without its comment mark, such an empty list? */
static bool is_to_be_filled(struct span line) {
    size_t colon = span_find(line, ':');
    for (size_t i = 0; i < ARRAY_LEN(to_be_filled); i++)
        if (span_equal_text(span_trim(span_until(line, colon)), to_be_filled[i]) &&
            span_equal_text(span_from(line, colon), ": []"))
            return true;
    return false;
}

/*
 * The example with every option that is commented out in force; with filled, but for the lists that
 * must be filled first. buf_done() it.
 */
static struct buf example_in_force(bool filled) {
    char *text = example();
    struct span rest = span_of(text), line;
    struct buf all = buf_make(64 * 1024);
    size_t count = 0;

    while (span_next(&rest, '\n', &line)) {
        size_t hash = span_find(line, '#');
        struct span behind = span_from(line, hash + 1);
        if (behind.len && behind.ptr[0] != ' ' && !(filled && is_to_be_filled(behind))) {
            buf_add(&all, span_until(line, hash));
            line = behind;
            count++;
        }
        buf_add(&all, line);
        buf_add_char(&all, '\n');
    }
    ck_assert(buf_ok(&all));
    ck_assert_uint_gt(count, 70);
    free(text);
    return all;
}

TEST(every_line_that_is_commented_out_loads_too_and_changes_nothing) {
    struct buf all = example_in_force(true);
    char *shown = describe(parse_good(buf_span(&all)));
    char *defaults = describe(parse_good(minimal));
    ck_assert_str_eq(shown, defaults);
    free(shown);
    free(defaults);
    buf_done(&all);
}

TEST(only_lists_that_must_be_filled_are_refused_when_all_is_in_force) {
    struct buf all = example_in_force(false);
    struct span rest = buf_span(&all), line;
    struct config *config = NULL;
    struct config_report report;
    size_t number = 0, problem = 0;

    ck_assert_int_eq(config_parse(buf_span(&all), "f", &config, &report), ERR_SYNTAX);
    ck_assert_uint_eq(report.count, ARRAY_LEN(to_be_filled));
    while (span_next(&rest, '\n', &line)) {
        number++;
        if (!is_to_be_filled(line)) continue;
        ck_assert_uint_eq(report.problems[problem].line, number);
        ck_assert_ptr_nonnull(
            strstr(report.problems[problem].text, ": an empty list is not enough; write a list"));
        problem++;
    }
    ck_assert_uint_eq(problem, ARRAY_LEN(to_be_filled));
    config_report_done(&report);
    buf_done(&all);
}

/* Every key of the tables stands in the example, those of samples within their lines. */
TEST(the_example_shows_every_option_of_routes_and_requirements) {
    static const char *const keys[] = {
        "hosts",      "mode",     "cors",          "preflight",     "origins",
        "headers",    "max_age",  "scopes",        "roles",         "claims",
        "any_scopes", "acr",      "any_roles",     "issuers",       "all_of",
        "any_of",     "not",      "max_token_age", "require",       "max_auth_age",
        "resources",  "resource", "name",          "documentation", "authorization_servers"};
    char *text = example();
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char *line = scratch_text("%s:", keys[i]);
        ck_assert_msg(strstr(text, line) != NULL, "%s", keys[i]);
        free(line);
    }
    free(text);
}

TEST(the_example_requires_nothing_of_its_own_routes_but_one_scope) {
    char *text = example();
    struct config *config = parse_good(span_of(text));
    const struct config_requirement *require = &config->routes[0].require;
    ck_assert_uint_eq(require->scopes.count + require->any_scopes.count + require->roles.count +
                          require->any_roles.count + require->claim_count + require->acr.count +
                          require->issuers.count + require->all_of_count + require->any_of_count,
                      0);
    ck_assert_ptr_null(require->not );
    ck_assert_uint_eq(config->role_count + config->resource_count, 0);
    ck_assert(!config->routes[0].report_only);
    ck_assert_int_eq(config->routes[0].cors.preflight, PREFLIGHT_JUDGE);
    config_unref(config);
    free(text);

    struct buf all = example_in_force(true);
    config = parse_good(buf_span(&all));
    require = &config->routes[0].require;
    ck_assert_uint_eq(require->claim_count, 1);
    ck_assert_str_eq(require->claims[0].equals, "\"sales\"");
    ck_assert_uint_eq(require->all_of_count, 2);
    ck_assert_uint_eq(require->any_of_count, 2);
    ck_assert_str_eq(require->not ->claims[0].equals, "true");
    ck_assert_uint_eq(config->role_count, 1);
    ck_assert_uint_eq(config->resource_count, 1);
    config_unref(config);
    buf_done(&all);
}

TEST(upstreams_are_shown_and_not_in_force) {
    char *text = example();
    struct config *config = parse_good(span_of(text));
    ck_assert_uint_eq(config->upstream_count, 0);
    ck_assert_uint_eq(config->route_count, 2);
    config_unref(config);
    free(text);

    struct buf all = example_in_force(true);
    char *shown = describe_upstream(parse_good(buf_span(&all)));
    char *defaults = describe_upstream(
        parse_good(SPAN_LITERAL("issuers: [{issuer: \"https://a\", audiences: [b]}]\n"
                                "upstreams: [{name: orders, targets: [http://127.0.0.1:9001]}]\n"
                                "routes:\n"
                                "  - {path: /, respond: identity}\n"
                                "  - {path: /profile/, respond: profile}\n"
                                "  - {path: /orders/*, methods: [GET], upstream: orders,"
                                " require: {scopes: [orders:read]}}\n")));
    ck_assert_str_eq(shown, defaults);
    free(shown);
    free(defaults);
    buf_done(&all);
}

TEST(no_line_is_wider_than_a_screen) {
    char *text = example();
    struct span rest = span_of(text), line;
    while (span_next(&rest, '\n', &line)) ck_assert_msg(line.len <= 100, "%.*s", SPAN_PRINTF(line));
    free(text);
}
