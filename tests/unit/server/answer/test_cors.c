#include "server/answer/cors.h"

#include "common/attr.h"
#include "tests/support/scratch.h"
#include "tests/unit/server/config/texts.h"

#define APP "https://app.example"

TEST(a_preflight_is_options_with_an_origin_and_a_method_and_no_credentials) {
    static const struct {
        const char *method, *origin, *asked;
        size_t authorizations;
        bool is;
    } rows[] = {
        {"OPTIONS", APP, "PUT", 0, true},   {"OPTIONS", "null", "x", 0, true},
        {"OPTIONS", APP, "PUT", 1, false},  {"OPTIONS", APP, "PUT", 2, false},
        {"OPTIONS", NULL, "PUT", 0, false}, {"OPTIONS", "", "PUT", 0, false},
        {"OPTIONS", APP, NULL, 0, false},   {"OPTIONS", APP, "", 0, false},
        {"options", APP, "PUT", 0, false},  {"OPTIONSX", APP, "PUT", 0, false},
        {"GET", APP, "PUT", 0, false},      {"PUT", APP, "PUT", 0, false},
        {"", APP, "PUT", 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(cors_is_preflight(span_of(rows[i].method), span_of(rows[i].origin),
                                        span_of(rows[i].asked),
                                        rows[i].authorizations) == rows[i].is,
                      "row %zu", i);
}

static struct config *load(const char *routes) {
    char *yaml = scratch_text(ISSUER "routes:\n%s", routes);
    struct config *config = parse_good(span_of(yaml));
    free(yaml);
    return config;
}

TEST(an_origin_is_allowed_to_the_letter) {
    static const struct {
        const char *origin;
        bool allowed;
    } rows[] = {
        {APP, true},
        {"http://localhost:3000", true},
        {"http://localhost", false},
        {"http://app.example", false},
        {"https://App.example", false},
        {APP ":443", false},
        {APP "/", false},
        {APP ".evil", false},
        {"https://x.app.example", false},
        {"https://app.exampl", false},
        {"null", false},
        {"*", false},
        {"", false},
        {NULL, false},
    };
    struct config *config = load("  - {path: /, respond: verdict, cors: {origins: [\"" APP
                                 "\", \"http://localhost:3000\"]}}\n"
                                 "  - {path: /none, respond: verdict}\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(cors_allows(&config->routes[0], span_of(rows[i].origin)) == rows[i].allowed,
                      "%s", rows[i].origin);
        ck_assert(!cors_allows(&config->routes[1], span_of(rows[i].origin)));
    }
    config_unref(config);
}

TEST(the_lines_let_one_origin_read_and_tell_caches_so) {
    struct buf lines = buf_make(1024);
    cors_add_lines(SPAN_LITERAL(APP), &lines);
    ck_assert_str_eq(lines.data, "Access-Control-Allow-Origin: " APP "\r\n"
                                 "Access-Control-Expose-Headers: WWW-Authenticate, X-Request-Id\r\n"
                                 "Vary: Origin\r\n");
    buf_done(&lines);
}

/* Nothing of what else the route takes, and nothing of its neighbours. */
TEST(an_answer_names_the_method_that_was_asked_about_and_no_other) {
    CLEANUP(config_unrefp)
    struct config *config = load(
        "  - {path: /a, methods: [PUT, POST], respond: verdict, cors: {preflight: answer, origins: "
        "[\"" APP "\"], headers: [X-One, Two], max_age: 90s}}\n"
        "  - {path: /a, methods: [DELETE], respond: verdict}\n");
    CLEANUP(routes_freep) struct routes *routes = routes_new(config);
    struct route_query query = {SPAN_LITERAL("PUT"), SPAN_NONE, SPAN_LITERAL("/a")};
    struct route_match match;
    ck_assert_int_eq(routes_find(routes, &query, &match), ROUTE_FOUND);
    ck_assert_ptr_nonnull(match.route->next);
    struct answer answer = cors_answer(match.route, SPAN_LITERAL("PUT"), SPAN_LITERAL(APP));
    ck_assert(answer_ok(&answer));
    ck_assert_uint_eq(answer.status, 204);
    ck_assert_uint_eq(answer.body.len, 0);
    ck_assert_uint_eq(answer.challenge.len, 0);
    ck_assert_str_eq(answer.headers.data, "Access-Control-Allow-Origin: " APP "\r\n"
                                          "Vary: Origin\r\n"
                                          "Access-Control-Allow-Methods: PUT\r\n"
                                          "Access-Control-Allow-Headers: X-One, Two\r\n"
                                          "Access-Control-Max-Age: 90\r\n");
    answer_done(&answer);
}
