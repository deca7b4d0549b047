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
    ck_assert_uint_eq(config->route_count, 2);

#define U "%" PRIu64 " "
#define D "%" PRId64 " "
    char *text = scratch_text(
        "%s|%s|%s|%u|%s|%s|" U U D D U U D "|%s|%s|%s|" D D U "|%s|%d %x|%s|%s|%s|%d|" D D D D D
        "|%d|%zu %zu %zu %zu|%s %zu %d %d %zu|%s %zu %d %d %zu|%d %d %d",
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
        config->routes[0].scopes.count, config->routes[1].path, config->routes[1].methods.count,
        config->routes[1].respond, config->routes[1].anonymous, config->routes[1].scopes.count,
        config->log.format, config->log.level, config->log.access);
#undef U
#undef D
    config_unref(config);
    return text;
}

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

TEST(every_line_that_is_commented_out_loads_too_and_changes_nothing) {
    char *text = example();
    struct span rest = span_of(text), line;
    struct buf all = buf_make(64 * 1024);
    size_t count = 0;

    while (span_next(&rest, '\n', &line)) {
        size_t hash = span_find(line, '#');
        struct span behind = span_from(line, hash + 1);
        if (behind.len && behind.ptr[0] != ' ') {
            buf_add(&all, span_until(line, hash));
            line = behind;
            count++;
        }
        buf_add(&all, line);
        buf_add_char(&all, '\n');
    }
    ck_assert(buf_ok(&all));
    ck_assert_uint_gt(count, 30);

    char *shown = describe(parse_good(buf_span(&all)));
    char *defaults = describe(parse_good(minimal));
    ck_assert_str_eq(shown, defaults);
    free(shown);
    free(defaults);
    buf_done(&all);
    free(text);
}

TEST(no_line_is_wider_than_a_screen) {
    char *text = example();
    struct span rest = span_of(text), line;
    while (span_next(&rest, '\n', &line)) ck_assert_msg(line.len <= 100, "%.*s", SPAN_PRINTF(line));
    free(text);
}
