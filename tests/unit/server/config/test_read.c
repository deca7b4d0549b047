#include <sched.h>
#include <unistd.h>

#include "tests/support/scratch.h"
#include "tests/unit/server/config/texts.h"

#define S(text) SPAN_LITERAL(text)

TEST(discovery_is_below_the_issuer_without_its_last_slashes) {
    static const char *const cases[][2] = {
        {"https://idp", "https://idp/.well-known/openid-configuration"},
        {"https://idp/", "https://idp/.well-known/openid-configuration"},
        {"https://idp/a/b//", "https://idp/a/b/.well-known/openid-configuration"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char yaml[256];
        int len = snprintf(yaml, sizeof yaml,
                           "issuers: [{issuer: \"https://first\", audiences: [a]},"
                           " {issuer: \"%s\", audiences: [a]}]\n",
                           cases[i][0]);
        struct config *config = parse_good((struct span){yaml, (size_t)len});
        ck_assert_str_eq(config->issuers[0].discovery,
                         "https://first/.well-known/openid-configuration");
        ck_assert_str_eq(config->issuers[1].issuer, cases[i][0]);
        ck_assert_str_eq(config->issuers[1].discovery, cases[i][1]);
        config_unref(config);
    }
}

TEST(there_is_no_discovery_where_the_keys_have_a_place_of_their_own) {
    struct config *config =
        parse_good(S("issuers:\n"
                     "  - {issuer: https://a, audiences: [x], jwks_uri: https://a/k}\n"
                     "  - {issuer: https://b, audiences: [x], jwks_file: /etc/passwd}\n"));
    ck_assert_str_eq(config->issuers[0].discovery, "");
    ck_assert_str_eq(config->issuers[1].discovery, "");
    config_unref(config);
}

TEST(plain_http_is_allowed_on_loopback_or_on_request) {
    config_unref(parse_good(
        S("issuers:\n"
          "  - {issuer: \"http://localhost:9000\", audiences: [x]}\n"
          "  - {issuer: \"http://127.0.0.1\", audiences: [x], jwks_uri: \"http://[::1]/k\"}\n"
          "  - {issuer: \"http://idp\", audiences: [x], insecure_http: true}\n")));
}

TEST(workers_are_as_many_as_the_cpus_that_may_be_used) {
    cpu_set_t all, one;
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    struct config *config = parse_good(S(ISSUER "workers: 0\n"));
    ck_assert_uint_eq(config->workers, (unsigned)CPU_COUNT(&all));
    config_unref(config);

    int cpu = 0;
    while (!CPU_ISSET(cpu, &all)) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    config = parse_good(S(ISSUER));
    ck_assert_uint_eq(config->workers, 1);
    config_unref(config);
}

TEST(the_state_directory_is_configured_or_the_first_that_systemd_names) {
    setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b", 1);
    struct config *config = parse_good(S(ISSUER));
    ck_assert_str_eq(config->state_directory, "/var/lib/a");
    config_unref(config);

    config = parse_good(S(ISSUER "state_directory: /own\n"));
    ck_assert_str_eq(config->state_directory, "/own");
    config_unref(config);

    setenv("STATE_DIRECTORY", "", 1);
    config = parse_good(S(ISSUER));
    ck_assert_str_eq(config->state_directory, "");
    config_unref(config);

    setenv("STATE_DIRECTORY", "var", 1);
    expect_report(S(ISSUER), "f: STATE_DIRECTORY: does not start with '/'; set an absolute path, "
                             "or none\n");
}

TEST(a_star_at_the_end_of_a_path_becomes_a_subtree) {
    struct config *config = parse_good(S(ISSUER "routes:\n"
                                                "  - {path: /a, respond: identity}\n"
                                                "  - {path: /a/*, respond: identity}\n"
                                                "  - {path: /*, respond: identity}\n"));
    static const char *const paths[] = {"/a", "/a/", "/"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        ck_assert_str_eq(config->routes[i].path, paths[i]);
        ck_assert_int_eq(config->routes[i].subtree, i > 0);
    }
    config_unref(config);
}

/* Requests' hosts are compared in lower case, whatever the file has. */
TEST(hosts_are_in_lower_case) {
    struct config *config = parse_good(
        S(ISSUER "routes:\n"
                 "  - path: \"/T/{Tenant}/*\"\n"
                 "    hosts: [API.Example.COM, \"*.EXAMPLE.org\", \"[2001:DB8::1]\", a]\n"
                 "    respond: identity\n"));
    static const char *const hosts[] = {"api.example.com", "*.example.org", "[2001:db8::1]", "a"};
    const struct config_route *route = &config->routes[0];
    ck_assert_uint_eq(route->hosts.count, ARRAY_LEN(hosts));
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) ck_assert_str_eq(route->hosts.items[i], hosts[i]);
    ck_assert_str_eq(route->path, "/T/{Tenant}/");
    ck_assert(route->subtree);
    config_unref(config);
}

TEST(routes_know_where_their_upstream_stands) {
    struct config *config = parse_good(S(ISSUER "upstreams:\n"
                                                "  - {name: a, targets: [http://a]}\n"
                                                "  - {name: ab, targets: [http://b]}\n"
                                                "routes:\n"
                                                "  - {path: /1, upstream: ab}\n"
                                                "  - {path: /2/*, upstream: a}\n"
                                                "  - {path: /3, respond: profile}\n"));
    static const size_t expected[] = {1, 0, UPSTREAM_NONE};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        ck_assert_uint_eq(config->routes[i].upstream_index, expected[i]);
    ck_assert_int_eq(config->routes[0].respond, RESPOND_NONE);
    ck_assert_int_eq(config->routes[1].respond, RESPOND_NONE);
    ck_assert_int_eq(config->routes[2].respond, RESPOND_PROFILE);
    ck_assert(config->routes[1].subtree);
    config_unref(config);

    config = parse_good(S(ISSUER));
    ck_assert_uint_eq(config->routes[0].upstream_index, UPSTREAM_NONE);
    ck_assert_uint_eq(config->routes[1].upstream_index, UPSTREAM_NONE);
    config_unref(config);
}

TEST(a_byte_order_mark_is_no_part_of_the_text) {
    config_unref(parse_good(S("\xef\xbb\xbf" ISSUER)));
    expect_report(S("\xef\xbb\xbf"
                    "worker: 1\n" ISSUER),
                  "f:1:1: unknown key \"worker\"; did you mean \"workers\"?\n");
}

TEST(a_text_of_more_than_sixteen_mebibytes_is_refused) {
    static char text[16 * 1024 * 1024 + 1];
    memset(text, '#', sizeof text);
    memcpy(text, ISSUER, sizeof ISSUER - 1);
    config_unref(parse_good((struct span){text, sizeof text - 1}));
    expect_report((struct span){text, sizeof text},
                  "f: is larger than 16 MiB; name the configuration file\n");
}

/* Load the file and compare its report, printed under the name "f". */
static struct config *load(const char *path, int expected, const char *expected_report) {
    struct config *config = NULL;
    struct config_report report;
    int r = config_load(path, &config, &report);
    char *text = report_text(&report);
    ck_assert_int_eq(r, expected);
    ck_assert_str_eq(text, expected_report);
    free(text);
    return config;
}

TEST(files_are_loaded_under_their_names) {
    char *folder = scratch_new();
    char *good = scratch_file(folder, "good.yaml", S(ISSUER));
    char *empty = scratch_file(folder, "empty.yaml", S(""));
    char *bad = scratch_file(folder, "bad.yaml", S(ISSUER "worker: 1\n"));

    struct config *config = load(good, 0, "");
    ck_assert_ptr_nonnull(config);
    ck_assert_str_eq(config->source, good);
    config_unref(config);

    ck_assert_ptr_null(
        load(bad, ERR_SYNTAX, "f:2:1: unknown key \"worker\"; did you mean \"workers\"?\n"));
    ck_assert_ptr_null(load(empty, ERR_SYNTAX,
                            "f:1:1: issuers: required, but missing; write a list of entries such "
                            "as {issuer: https://idp.example.com/realms/main, audiences: "
                            "[orders-api]}\n"));
    ck_assert_ptr_null(
        load("/nonexistent", ERR_SYSTEM, "f: cannot be read: No such file or directory\n"));
    ck_assert_ptr_null(load(folder, ERR_SYSTEM, "f: cannot be read: Is a directory\n"));
    free(good);
    free(empty);
    free(bad);
    free(folder);
}

TEST(a_file_that_is_too_large_is_not_read_to_its_end) {
    ck_assert_ptr_null(
        load("/dev/zero", ERR_SYNTAX, "f: is larger than 16 MiB; name the configuration file\n"));
}

TEST(nothing_but_the_report_is_printed) {
    int saved[2], pipes[2];
    char byte;
    ck_assert_int_eq(pipe(pipes), 0);
    for (int fd = 1; fd <= 2; fd++) {
        saved[fd - 1] = dup(fd);
        ck_assert_int_ge(dup2(pipes[1], fd), 0);
    }
    close(pipes[1]);
    config_unref(parse_good(S(ISSUER)));
    expect_report(S(ISSUER "realm: [x\n"),
                  "f:2:8: realm: a list is too much; write a text that is not empty\n"
                  "f:3:1: not YAML: did not find expected ',' or ']' while parsing a flow sequence "
                  "that starts in line 2; look at indentation (spaces, no tabs), quotes and "
                  "brackets here and before\n");
    for (int fd = 1; fd <= 2; fd++) {
        dup2(saved[fd - 1], fd);
        close(saved[fd - 1]);
    }
    ck_assert_int_eq(read(pipes[0], &byte, 1), 0);
    close(pipes[0]);
}
