#include "tests/unit/server/config/texts.h"

/* The environment of one case; NULL means not set. */
static void set_admin(const char *issuer, const char *audience, const char *scopes,
                      const char *listen, const char *admin) {
    const char *const values[][2] = {{"OIDC_ISSUER", issuer},
                                     {"OIDC_AUDIENCE", audience},
                                     {"OIDC_SCOPES", scopes},
                                     {"BEARERD_LISTEN", listen},
                                     {"BEARERD_ADMIN", admin}};
    unsetenv("STATE_DIRECTORY");
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        if (values[i][1])
            setenv(values[i][0], values[i][1], 1);
        else
            unsetenv(values[i][0]);
    }
}

static void set(const char *issuer, const char *audience, const char *scopes, const char *listen) {
    set_admin(issuer, audience, scopes, listen, NULL);
}

static struct config *read_good(void) {
    struct config *config = NULL;
    struct config_report report;
    int r = config_from_environment(&config, &report);
    char *text = report_text(&report);
    ck_assert_str_eq(text, "");
    ck_assert_int_eq(r, 0);
    free(text);
    return config;
}

static void expect_refused(const char *expected) {
    struct config *config = NULL;
    struct config_report report;
    ck_assert_int_eq(config_from_environment(&config, &report), ERR_SYNTAX);
    ck_assert_ptr_null(config);
    char *text = report_text(&report);
    ck_assert_str_eq(text, expected);
    free(text);
}

TEST(two_variables_are_enough) {
    set("https://idp.example", "api", NULL, NULL);
    struct config *config = read_good();

    ck_assert_str_eq(config->source, "environment");
    ck_assert_uint_eq(config->issuer_count, 1);
    ck_assert_str_eq(config->issuers[0].issuer, "https://idp.example");
    ck_assert_str_eq(config->issuers[0].discovery,
                     "https://idp.example/.well-known/openid-configuration");
    ck_assert_uint_eq(config->issuers[0].audiences.count, 1);
    ck_assert_str_eq(config->issuers[0].audiences.items[0], "api");
    ck_assert_uint_eq(config->issuers[0].scopes.count, 1);
    ck_assert_str_eq(config->issuers[0].scopes.items[0], "openid");
    ck_assert_uint_eq(config->issuers[0].algorithms, ALG_ALL);
    ck_assert_uint_eq(config->listen_count, 1);
    ck_assert_str_eq(config->listen[0].address, "127.0.0.1:8080");
    ck_assert_str_eq(config->admin_address, "");
    ck_assert_uint_eq(config->route_count, 2);
    ck_assert_str_eq(config->routes[0].path, "/");
    ck_assert_str_eq(config->routes[1].path, "/profile/");
    ck_assert_int_eq(config->log.format, LOG_FORMAT_TEXT);
    ck_assert_int_eq(config->log.level, LOG_INFO);
    config_unref(config);
}

TEST(lists_are_separated_by_any_number_of_spaces) {
    set("http://127.0.0.1:9000/", "  a  b c ", "x y", "[::1]:80");
    struct config *config = read_good();
    ck_assert_uint_eq(config->issuers[0].audiences.count, 3);
    ck_assert_str_eq(config->issuers[0].audiences.items[2], "c");
    ck_assert_uint_eq(config->issuers[0].scopes.count, 2);
    ck_assert_str_eq(config->issuers[0].scopes.items[1], "y");
    ck_assert_str_eq(config->listen[0].address, "[::1]:80");
    config_unref(config);
}

TEST(scopes_may_be_set_empty) {
    set("https://idp.example", "api", "", "");
    struct config *config = read_good();
    ck_assert_uint_eq(config->issuers[0].scopes.count, 0);
    ck_assert_str_eq(config->listen[0].address, "127.0.0.1:8080");
    config_unref(config);
}

TEST(nothing_in_a_value_can_end_it) {
    set("https://idp.example", "a\"]}]#: 'b\\ {*x", "!y &z", NULL);
    struct config *config = read_good();
    ck_assert_uint_eq(config->issuers[0].audiences.count, 3);
    ck_assert_str_eq(config->issuers[0].audiences.items[0], "a\"]}]#:");
    ck_assert_str_eq(config->issuers[0].audiences.items[1], "'b\\");
    ck_assert_str_eq(config->issuers[0].audiences.items[2], "{*x");
    ck_assert_str_eq(config->issuers[0].scopes.items[1], "&z");
    config_unref(config);
}

TEST(the_admin_address_is_set_where_it_is_wanted) {
    static const char *const cases[][2] = {{NULL, ""},
                                           {"", ""},
                                           {"127.0.0.1:8081", "127.0.0.1:8081"},
                                           {"unix:/run/admin", "unix:/run/admin"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        set_admin("https://idp.example", "api", NULL, NULL, cases[i][0]);
        struct config *config = read_good();
        ck_assert_str_eq(config->admin_address, cases[i][1]);
        ck_assert_str_eq(config->listen[0].address, "127.0.0.1:8080");
        config_unref(config);
    }
}

TEST(an_admin_address_for_everyone_or_for_two_is_refused_under_its_name) {
    set_admin("https://idp.example", "api", NULL, NULL, "0.0.0.0:8081");
    expect_refused(
        "f: BEARERD_ADMIN: \"0.0.0.0:8081\" is no loopback address: health, metrics and status are "
        "never on a public listener; write a loopback address such as 127.0.0.1:8081, unix:/PATH "
        "or systemd:NAME\n");
    set_admin("https://idp.example", "api", NULL, "[::1]:80", "[::1]:80");
    expect_refused("f: BEARERD_ADMIN: [::1]:80 is an address of listen too; write another one for "
                   "admin\n");
    set_admin("https://idp.example", "api", NULL, NULL, "127.0.0.1:8081\n");
    expect_refused("f: BEARERD_ADMIN: holds a byte that is not printable ASCII; write such a value "
                   "in a configuration file\n");
}

TEST(what_is_required_is_named) {
    static const char both[] =
        "f: OIDC_ISSUER: required, but not set; set it to the issuer's URL, such as "
        "https://idp.example.com\n"
        "f: OIDC_AUDIENCE: required, but not set; set it to the audience that tokens must be meant "
        "for\n";
    set(NULL, NULL, NULL, NULL);
    expect_refused(both);
    set("", "  ", NULL, NULL);
    expect_refused(both);
}

TEST(every_problem_names_its_variable) {
    set("http://idp.example", NULL, "a\"b authenticated", ":80");
    expect_refused(
        "f: OIDC_ISSUER: http:// is refused, anyone on the way could forge the keys; use https://, "
        "or set insecure_http: true in the file\n"
        "f: OIDC_AUDIENCE: required, but not set; set it to the audience that tokens must be meant "
        "for\n"
        "f: OIDC_SCOPES: \"a\\\"b\" holds a character that no scope has; write a scope such as "
        "orders:read (RFC 6749 section 3.3)\n"
        "f: OIDC_SCOPES: \"authenticated\" can never be satisfied: no issuer grants it, the "
        "profile answer adds it; write a scope such as orders:read (RFC 6749 section 3.3)\n"
        "f: BEARERD_LISTEN: \":80\" has no host; all addresses are 0.0.0.0 or [::]; write "
        "HOST:PORT, [IPV6]:PORT, unix:/PATH or systemd:NAME\n");
}

TEST(bytes_that_could_end_a_line_are_refused_under_the_right_name) {
    set("https://idp.example\n",
        "a\xe2\x80\xa8"
        "b",
        "c\x7f"
        "d",
        "localhost:x");
    expect_refused(
        "f: OIDC_ISSUER: holds a byte that is not printable ASCII; write such a value in a "
        "configuration file\n"
        "f: OIDC_AUDIENCE: holds a byte that is not printable ASCII; write such a value in a "
        "configuration file\n"
        "f: OIDC_SCOPES: holds a byte that is not printable ASCII; write such a value in a "
        "configuration file\n"
        "f: BEARERD_LISTEN: \"localhost:x\" has a port that is not a number up to 65535; write "
        "HOST:PORT, [IPV6]:PORT, unix:/PATH or systemd:NAME\n");
}

TEST(values_without_end_are_refused) {
    static char endless[600 * 1024];
    memset(endless, 'a', sizeof endless - 1);
    set("https://idp.example", endless, NULL, NULL);
    expect_refused("f: the variables are too long; write a configuration file\n");
}
