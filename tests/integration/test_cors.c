/*
 * Scripts of web pages from elsewhere: what their browsers' preflights get, which carry no token,
 * and which answers they may read. No preflight is a way around a rule, and none becomes anything
 * but OPTIONS on its way.
 */
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "tests/integration/proxied.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define ANSWER_MS 5000
#define APP "https://app.example"
#define OTHER "https://other.example"
#define EVIL "https://evil.example"
#define FROM(origin) "Origin: " origin "\r\n"
#define ASKS(method) "Access-Control-Request-Method: " method "\r\n"
#define EXPOSED "WWW-Authenticate, X-Request-Id"

static const struct proxied_options options = {
    .rest = "trusted_proxies: [127.0.0.1]\n",
    .routes =
        "  - {path: /_auth, respond: forward_auth, anonymous: allow}\n"
        "  - {path: /judge, upstream: up, cors: {origins: [\"" APP "\"]}}\n"
        "  - {path: /judge/get, methods: [GET], upstream: up, cors: {origins: [\"" APP "\"]}}\n"
        "  - {path: /pass, methods: [PUT], upstream: up, cors: {preflight: pass},\n"
        "     require: {scopes: [secret]}}\n"
        "  - {path: /pass, methods: [GET], upstream: up}\n"
        "  - {path: /pass/tree/*, upstream: up, cors: {preflight: pass}}\n"
        "  - {path: /pass/own, respond: verdict, cors: {preflight: pass}}\n"
        "  - {path: /answer, methods: [PUT, DELETE], upstream: up, require: {scopes: [secret]},\n"
        "     cors: {preflight: answer, origins: [\"" APP "\", \"" OTHER "\"], max_age: 1m,\n"
        "            headers: [Authorization, X-Thing]}}\n"
        "  - {path: /answer, methods: [GET], upstream: up, cors: {origins: [\"" OTHER "\"]}}\n"
        "  - {path: /answer/all, upstream: up,\n"
        "     cors: {preflight: answer, origins: [\"" APP "\"]}}\n"
        "  - {path: /answer/own, respond: profile, require: {scopes: [secret]},\n"
        "     cors: {preflight: answer, origins: [\"" APP "\"]}}\n"
        "  - {path: /open, methods: [GET], upstream: up, anonymous: allow,\n"
        "     cors: {origins: [\"" APP "\"]}}\n"
        "  - {path: /open/own, respond: verdict, anonymous: allow,\n"
        "     cors: {origins: [\"" APP "\"]}}\n"
        "  - {path: /without, upstream: up, anonymous: allow}\n"};

/* --- asking ---------------------------------------------------------------------------------- */

static char *request_of(const struct proxied *proxied, const char *line, const char *headers,
                        bool token) {
    char *authorization =
        token ? scratch_text("Authorization: Bearer %s\r\n", proxied->scene.token) : strdup("");
    char *request =
        scratch_text("%s HTTP/1.1\r\nHost: api.example\r\n%s%s\r\n", line, headers, authorization);
    free(authorization);
    return request;
}

static struct response ask(const struct proxied *proxied, const char *line, const char *headers,
                           bool token) {
    struct client *client = client_connect(proxied->scene.daemon->port);
    char *request = request_of(proxied, line, headers, token);
    struct response response;
    ck_assert_ptr_nonnull(client);
    ck_assert(client_send(client, span_of(request)));
    ck_assert_msg(client_read(client, ANSWER_MS, &response) == CLIENT_OK, "no answer: %s", request);
    client_free(client);
    free(request);
    return response;
}

/* There is exactly one such header, of that value; NULL: there is none. */
static void check_header(const struct response *response, const char *name, const char *value,
                         const char *what) {
    ck_assert_msg(response_header_count(response, name) == (value ? 1 : 0), "%s: %s: %s", what,
                  name, response->head);
    if (value)
        ck_assert_msg(span_equal_text(response_header(response, name), value), "%s: %s: %s", what,
                      name, response->head);
}

static bool lists(struct span list, struct span word) {
    struct span item;
    while (span_next(&list, ',', &item))
        if (span_equal(span_trim(item), word)) return true;
    return false;
}

/* What was asked about is listed, and nothing but what the rule takes. */
static void check_methods(const struct response *response, const char *most, const char *what) {
    static const char asks[] = "Access-Control-Request-Method: ";
    struct span listed = response_header(response, "Access-Control-Allow-Methods"), item;
    ck_assert_msg(!listed.ptr == !most, "%s: %s", what, response->head);
    if (!most) return;
    struct span asked = span_of(strstr(what, asks) + strlen(asks));
    ck_assert_msg(lists(listed, span_until(asked, span_find(asked, '\r'))), "%s: %s", what,
                  response->head);
    while (span_next(&listed, ',', &item))
        ck_assert_msg(lists(span_of(most), span_trim(item)), "%s: %s", what, response->head);
}

struct row {
    const char *line; /* method and target */
    const char *headers;
    bool token;
    int status;
    const char *error;  /* in the body; "" where there is no body */
    const char *origin; /* Access-Control-Allow-Origin */
    const char
        *methods;      /* that Access-Control-Allow-Methods may list at most; NULL: there is none */
    const char *allow; /* Allow */
};

/* None of these reaches the upstream: proxied_end() sees to it. */
static void check_rows(const struct proxied *proxied, const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        char *what = scratch_text("%s\n%s", row->line, row->headers);
        struct response response = ask(proxied, row->line, row->headers, row->token);
        char *error = scratch_text("\"error\":\"%s\"", row->error);
        ck_assert_msg(response.status == row->status, "%s%d, not %d: %s", what, response.status,
                      row->status, response.body);
        ck_assert_msg(*row->error ? strstr(response.body, error) != NULL : !*response.body,
                      "%s: %s", what, response.body);
        check_header(&response, "Access-Control-Allow-Origin", row->origin, what);
        check_methods(&response, row->methods, what);
        check_header(&response, "Access-Control-Allow-Credentials", NULL, what);
        check_header(&response, "Vary", row->origin ? "Origin" : NULL, what);
        check_header(&response, "Allow", row->allow, what);
        client_response_done(&response);
        free(error);
        free(what);
    }
}

/* What reaches the upstream, answered with that status by it. */
static const struct upstream_request *pass(struct proxied *proxied, const char *line,
                                           const char *headers) {
    char *request = request_of(proxied, line, headers, false);
    const struct upstream_request *seen = proxied_pass(proxied, span_of(request));
    free(request);
    return seen;
}

/* --- judge ----------------------------------------------------------------------------------- */

TEST(a_preflight_is_judged_as_every_request_where_nothing_else_is_said) {
    static const struct row rows[] = {
        {"OPTIONS /judge", FROM(APP) ASKS("GET"), false, 401, "unauthorized", APP, NULL, NULL},
        {"OPTIONS /judge", FROM(EVIL) ASKS("GET"), false, 401, "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /judge", "", false, 401, "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /judge/get", FROM(APP) ASKS("GET"), false, 401, "unauthorized", APP, NULL, NULL},
        {"OPTIONS /judge/get", FROM(APP) ASKS("GET"), true, 405, "method_not_allowed", APP, NULL,
         "GET, HEAD"},
        {"OPTIONS /without/x", FROM(APP) ASKS("GET"), false, 404, "not_found", NULL, NULL, NULL},
    };
    struct proxied proxied = proxied_start(&options);
    check_rows(&proxied, rows, ARRAY_LEN(rows));
    struct response response;
    char *request = request_of(&proxied, "OPTIONS /judge", FROM(APP) ASKS("GET"), true);
    const struct upstream_request *seen = proxied_exchange(&proxied, span_of(request), &response);
    ck_assert(span_equal_text(seen->method, "OPTIONS"));
    ck_assert_int_eq(proxied_count(seen, "X-Auth-User"), 1);
    client_response_done(&response);
    free(request);
    proxied_end(&proxied);
}

TEST(what_only_looks_like_a_preflight_is_judged) {
    static const struct row rows[] = {
        /* no Origin, no method asked about, nothing in them */
        {"OPTIONS /pass", ASKS("PUT"), false, 401, "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /pass", FROM(APP), false, 401, "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /pass", "Origin:\r\n" ASKS("PUT"), false, 401, "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /pass", FROM(APP) "Access-Control-Request-Method:\r\n", false, 401,
         "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /answer", FROM(APP), false, 401, "unauthorized", APP, NULL, NULL},
        {"OPTIONS /answer", ASKS("PUT"), false, 401, "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /answer/own", FROM(APP), false, 401, "unauthorized", APP, NULL, NULL},
        /* another method */
        {"PUT /pass", FROM(APP) ASKS("PUT"), false, 401, "unauthorized", NULL, NULL, NULL},
        {"GET /pass", FROM(APP) ASKS("PUT"), false, 401, "unauthorized", NULL, NULL, NULL},
        {"options /pass", FROM(APP) ASKS("PUT"), false, 401, "unauthorized", NULL, NULL, NULL},
        {"PUT /answer", FROM(APP) ASKS("PUT"), false, 401, "unauthorized", APP, NULL, NULL},
        {"POST /pass", FROM(APP) ASKS("PUT") "X-HTTP-Method-Override: OPTIONS\r\n", false, 401,
         "unauthorized", NULL, NULL, NULL},
        {"PUT /pass", FROM(APP) ASKS("PUT") "X-Forwarded-Method: OPTIONS\r\n", false, 401,
         "unauthorized", NULL, NULL, NULL},
        /* credentials, good and bad, which no browser sends with one */
        {"OPTIONS /pass", FROM(APP) ASKS("PUT") "Authorization: Bearer x\r\n", false, 401,
         "invalid_token", NULL, NULL, NULL},
        {"OPTIONS /pass", FROM(APP) ASKS("PUT") "Authorization: Basic eDp5\r\n", false, 401,
         "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /pass", FROM(APP) ASKS("PUT") "Authorization:\r\n", false, 400, "invalid_request",
         NULL, NULL, NULL},
        {"OPTIONS /answer", FROM(APP) ASKS("PUT") "Authorization: Bearer x\r\n", false, 401,
         "invalid_token", APP, NULL, NULL},
        {"OPTIONS /pass", FROM(APP) ASKS("PUT"), true, 405, "method_not_allowed", NULL, NULL,
         "PUT, GET, HEAD"},
        /* a method that the path lacks, or that is judged */
        {"OPTIONS /pass", FROM(APP) ASKS("DELETE"), false, 401, "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /pass", FROM(APP) ASKS("put"), false, 401, "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /pass", FROM(APP) ASKS("OPTIONS"), false, 401, "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /pass", FROM(APP) ASKS("GET"), false, 401, "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /pass", FROM(APP) ASKS("GET, PUT"), false, 401, "unauthorized", NULL, NULL, NULL},
        {"OPTIONS /pass", FROM(APP) ASKS("GET") ASKS("PUT"), false, 401, "unauthorized", NULL, NULL,
         NULL},
        {"OPTIONS /pass/tree/x", FROM(APP) ASKS("CONNECT"), false, 401, "unauthorized", NULL, NULL,
         NULL},
        {"OPTIONS /pass/tree/x", FROM(APP) ASKS("TRACE"), false, 401, "unauthorized", NULL, NULL,
         NULL},
        {"OPTIONS /answer", FROM(APP) ASKS("PATCH"), false, 401, "unauthorized", APP, NULL, NULL},
        {"OPTIONS /answer", FROM(OTHER) ASKS("GET"), false, 401, "unauthorized", OTHER, NULL, NULL},
        {"OPTIONS /nothing", FROM(APP) ASKS("PUT"), false, 404, "not_found", NULL, NULL, NULL},
        {"OPTIONS /pass/..;/answer", FROM(APP) ASKS("PUT"), false, 400, "bad_request", NULL, NULL,
         NULL},
    };
    struct proxied proxied = proxied_start(&options);
    check_rows(&proxied, rows, ARRAY_LEN(rows));
    proxied_end(&proxied);
}

/* --- pass ------------------------------------------------------------------------------------ */

#define SPOOFED                                                                                    \
    "X-Auth-User: admin\r\nx_auth_subject: admin\r\nX-Auth-Scopes: secret\r\n"                     \
    "X-HTTP-Method-Override: PUT\r\nX-HTTP-Method: PUT\r\nX-Method-Override: PUT\r\n"              \
    "X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-Forwarded-Method: PUT\r\n"

/* OPTIONS, and nobody's. */
static void check_passed(const struct upstream_request *seen, const char *target) {
    static const char *const gone[] = {
        "X-Auth-User",       "X-Auth-Subject",   "X-Auth-Issuer",          "X-Auth-Scopes",
        "X-Auth-Roles",      "X-Auth-Assertion", "X-HTTP-Method-Override", "X-HTTP-Method",
        "X-Method-Override", "X-Original-URL",   "X-Rewrite-URL",          "X-Forwarded-Method",
        "Authorization",     "Upgrade",
    };
    ck_assert_msg(span_equal_text(seen->method, "OPTIONS"), "%s", seen->raw.ptr);
    ck_assert_msg(span_equal_text(seen->target, target), "%s", seen->raw.ptr);
    for (size_t i = 0; i < ARRAY_LEN(gone); i++)
        ck_assert_msg(proxied_count(seen, gone[i]) == 0, "%s: %s", gone[i], seen->raw.ptr);
}

TEST(a_preflight_that_is_passed_on_is_options_and_nobodys) {
    static const struct {
        const char *line, *headers, *target;
    } rows[] = {
        {"OPTIONS /pass", FROM(APP) ASKS("PUT"), "/pass"},
        {"OPTIONS /pass", FROM("null") ASKS("PUT"), "/pass"},
        {"OPTIONS /pass?a=b", FROM(EVIL) ASKS("PUT") SPOOFED, "/pass?a=b"},
        {"OPTIONS /pass/tree/x/../y", FROM(APP) ASKS("DELETE") SPOOFED, "/pass/tree/y"},
        {"OPTIONS /pass/tree/", FROM(APP) ASKS("OPTIONS"), "/pass/tree/"},
    };
    struct proxied proxied = proxied_start(&options);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct upstream_request *seen = pass(&proxied, rows[i].line, rows[i].headers);
        check_passed(seen, rows[i].target);
        ck_assert_int_eq(upstream_header_count(seen, "Origin"), 1);
        ck_assert_int_eq(upstream_header_count(seen, "Access-Control-Request-Method"), 1);
    }
    proxied_end(&proxied);
}

TEST(the_body_of_a_preflight_is_its_own_and_no_request) {
    static const char body[] = "PUT /pass HTTP/1.1\r\nHost: h\r\n\r\n";
    struct proxied proxied = proxied_start(&options);
    char *headers = scratch_text(FROM(APP) ASKS("PUT") "Content-Length: %zu\r\n", strlen(body));
    char *head = request_of(&proxied, "OPTIONS /pass", headers, false);
    char *passed = scratch_text("%s%s", head, body);
    const struct upstream_request *seen = proxied_pass(&proxied, span_of(passed));
    check_passed(seen, "/pass");
    ck_assert(span_equal_text(seen->body, body));
    free(head);
    free(passed);

    head = request_of(&proxied, "OPTIONS /answer", headers, false);
    char *answered = scratch_text("%s%s", head, body);
    bool closed;
    char *answer = scene_talk(&proxied.scene, span_of(answered), ANSWER_MS, ANSWER_MS, &closed);
    ck_assert(closed);
    ck_assert_msg(strncmp(answer, "HTTP/1.1 204 ", 13) == 0, "%s", answer);
    ck_assert_msg(!strstr(answer + 1, "HTTP/1.1 "), "two answers: %s", answer);
    free(answer);
    free(head);
    free(answered);
    free(headers);
    proxied_end(&proxied);
}

TEST(a_preflight_opens_no_tunnel) {
    struct proxied proxied = proxied_start(&options);
    upstream_script(proxied.upstream, "/pass",
                    UPSTREAM_STEPS(UPSTREAM_READ,
                                   UPSTREAM_SEND("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")));
    check_passed(pass(&proxied, "OPTIONS /pass",
                      FROM(APP) ASKS("PUT") "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                                            "Sec-WebSocket-Version: 13\r\n"
                                            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
                 "/pass");
    proxied_end(&proxied);
}

TEST(an_endpoint_of_our_own_tells_a_preflight_nothing) {
    struct proxied proxied = proxied_start(&options);
    struct response response =
        ask(&proxied, "OPTIONS /pass/own", FROM(APP) ASKS("PUT") SPOOFED, false);
    ck_assert_int_eq(response.status, 200);
    ck_assert_str_eq(response.body, "{\"allowed\":true}");
    check_header(&response, "Access-Control-Allow-Origin", NULL, "own");
    client_response_done(&response);
    proxied_end(&proxied);
}

/* --- answer ---------------------------------------------------------------------------------- */

TEST(a_preflight_is_answered_to_the_origins_that_are_listed) {
    static const struct row rows[] = {
        {"OPTIONS /answer", FROM(APP) ASKS("PUT"), false, 204, "", APP, "PUT, DELETE", NULL},
        {"OPTIONS /answer?x=y", FROM(OTHER) ASKS("DELETE") SPOOFED, false, 204, "", OTHER,
         "PUT, DELETE", NULL},
        {"OPTIONS /answer/own", FROM(APP) ASKS("HEAD"), false, 204, "", APP, "GET, HEAD", NULL},
        {"OPTIONS /answer/all", FROM(APP) ASKS("PATCH"), false, 204, "", APP,
         "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", NULL},
        {"OPTIONS /answer", FROM(EVIL) ASKS("PUT"), false, 403, "forbidden", NULL, NULL, NULL},
        {"OPTIONS /answer", FROM("null") ASKS("PUT"), false, 403, "forbidden", NULL, NULL, NULL},
        {"OPTIONS /answer", FROM(APP ".evil") ASKS("PUT"), false, 403, "forbidden", NULL, NULL,
         NULL},
        {"OPTIONS /answer", FROM(APP ":443") ASKS("PUT"), false, 403, "forbidden", NULL, NULL,
         NULL},
        {"OPTIONS /answer", FROM("http://app.example") ASKS("PUT"), false, 403, "forbidden", NULL,
         NULL, NULL},
        {"OPTIONS /answer", FROM("HTTPS://APP.EXAMPLE") ASKS("PUT"), false, 403, "forbidden", NULL,
         NULL, NULL},
        {"OPTIONS /answer", FROM(APP "/") ASKS("PUT"), false, 403, "forbidden", NULL, NULL, NULL},
        {"OPTIONS /answer", FROM(APP " " EVIL) ASKS("PUT"), false, 403, "forbidden", NULL, NULL,
         NULL},
        {"OPTIONS /answer", FROM("*") ASKS("PUT"), false, 403, "forbidden", NULL, NULL, NULL},
    };
    struct proxied proxied = proxied_start(&options);
    check_rows(&proxied, rows, ARRAY_LEN(rows));
    proxied_end(&proxied);
}

TEST(an_answered_preflight_names_the_method_it_was_asked_about) {
    static const struct row rows[] = {
        {"OPTIONS /answer/all", FROM(APP) ASKS("PROPFIND"), false, 204, "", APP,
         "PROPFIND, GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", NULL},
    };
    struct proxied proxied = proxied_start(&options);
    check_rows(&proxied, rows, ARRAY_LEN(rows));
    proxied_end(&proxied);
}

TEST(an_answered_preflight_says_what_scripts_may_send_and_for_how_long) {
    struct proxied proxied = proxied_start(&options);
    struct response response = ask(&proxied, "OPTIONS /answer", FROM(APP) ASKS("PUT"), false);
    check_header(&response, "Access-Control-Allow-Headers", "Authorization, X-Thing", "answer");
    check_header(&response, "Access-Control-Max-Age", "60", "answer");
    check_header(&response, "Vary", "Origin", "answer");
    check_header(&response, "Cache-Control", "no-store", "answer");
    check_header(&response, "WWW-Authenticate", NULL, "answer");
    check_header(&response, "Content-Length", NULL, "RFC 9110 section 8.6");
    client_response_done(&response);
    response = ask(&proxied, "OPTIONS /answer/all", FROM(APP) ASKS("GET"), false);
    check_header(&response, "Access-Control-Allow-Headers", "Authorization, Content-Type", "all");
    check_header(&response, "Access-Control-Max-Age", "600", "all");
    client_response_done(&response);
    proxied_end(&proxied);
}

/* What a rule takes beside is not for whoever asks without a token: the other may be narrower. */
TEST(an_answered_preflight_names_no_method_of_another_rule) {
    static const struct row rows[] = {
        {"OPTIONS /answer", FROM(APP) ASKS("PUT"), false, 204, "", APP, "PUT, DELETE", NULL},
        {"OPTIONS /answer/first", FROM(APP) ASKS("PUT"), false, 204, "", APP, "PUT", NULL},
    };
    struct proxied_options more = options;
    char *routes = scratch_text("%s  - {path: /answer/first, methods: [PUT], upstream: up,\n"
                                "     cors: {preflight: answer, origins: [\"" APP "\"]}}\n"
                                "  - {path: /answer/first, methods: [PURGE], upstream: up}\n",
                                options.routes);
    more.routes = routes;
    struct proxied proxied = proxied_start(&more);
    check_rows(&proxied, rows, ARRAY_LEN(rows));
    proxied_end(&proxied);
    free(routes);
}

/* --- who may read what ----------------------------------------------------------------------- */

TEST(scripts_of_listed_origins_may_read_answers_and_refusals) {
    static const struct row rows[] = {
        {"GET /judge", FROM(APP), false, 401, "unauthorized", APP, NULL, NULL},
        {"GET /judge", FROM(EVIL), false, 401, "unauthorized", NULL, NULL, NULL},
        {"GET /judge", "Authorization: Bearer x\r\n" FROM(APP), false, 401, "invalid_token", APP,
         NULL, NULL},
        {"GET /judge", "Authorization: Bearer x y\r\n" FROM(APP), false, 400, "invalid_request",
         APP, NULL, NULL},
        {"PUT /answer", FROM(OTHER), true, 403, "insufficient_scope", OTHER, NULL, NULL},
        {"GET /answer/own", FROM(APP), true, 403, "insufficient_scope", APP, NULL, NULL},
        {"GET /answer/own", "", true, 403, "insufficient_scope", NULL, NULL, NULL},
        {"POST /answer/own", FROM(APP), true, 405, "method_not_allowed", APP, NULL, "GET, HEAD"},
        /* each method's rule has origins of its own */
        {"GET /answer", FROM(APP), false, 401, "unauthorized", NULL, NULL, NULL},
        {"PUT /answer", FROM(APP), false, 401, "unauthorized", APP, NULL, NULL},
        {"POST /open", FROM(APP), false, 405, "method_not_allowed", APP, NULL, "GET, HEAD"},
        {"GET /judge", FROM(APP) FROM(EVIL), false, 401, "unauthorized", APP, NULL, NULL},
    };
    struct proxied proxied = proxied_start(&options);
    check_rows(&proxied, rows, ARRAY_LEN(rows));
    struct response response = ask(&proxied, "GET /judge", FROM(APP), false);
    check_header(&response, "Access-Control-Expose-Headers", EXPOSED, "a refusal");
    check_header(&response, "WWW-Authenticate", "Bearer realm=\"bearerd\"", "a refusal");
    client_response_done(&response);
    response = ask(&proxied, "GET /open/own", FROM(APP), false);
    check_header(&response, "Access-Control-Allow-Origin", APP, "an endpoint");
    check_header(&response, "Access-Control-Expose-Headers", EXPOSED, "an endpoint");
    check_header(&response, "Vary", "Origin", "an endpoint");
    client_response_done(&response);
    response = ask(&proxied, "GET /open/own", FROM(EVIL), false);
    ck_assert_int_eq(response.status, 200);
    check_header(&response, "Access-Control-Allow-Origin", NULL, "an endpoint");
    client_response_done(&response);
    proxied_end(&proxied);
}

#define UPSTREAM_SAYS                                                                              \
    "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nVary: Accept-Encoding\r\n"               \
    "access-control-ALLOW-origin: https://third.example\r\n"                                       \
    "Access-Control-Expose-Headers: X-Own\r\nContent-Length: 2\r\n\r\nok"

/* The answer, and in it how often the header says what. */
static struct response ask_upstream(struct proxied *proxied, const char *line,
                                    const char *headers) {
    struct response response;
    char *request = request_of(proxied, line, headers, false);
    proxied_exchange(proxied, span_of(request), &response);
    free(request);
    ck_assert_int_eq(response.status, 200);
    return response;
}

TEST(a_response_of_an_upstream_says_once_who_may_read_it) {
    struct proxied proxied = proxied_start(&options);
    upstream_answer(proxied.upstream, NULL, UPSTREAM_SAYS);
    struct response response = ask_upstream(&proxied, "GET /open", FROM(APP));
    check_header(&response, "Access-Control-Allow-Origin", APP, "listed");
    check_header(&response, "Access-Control-Expose-Headers", EXPOSED, "listed");
    ck_assert_int_eq(response_header_count(&response, "Vary"), 2);
    ck_assert_ptr_nonnull(strstr(response.head, "Vary: Origin\r\n"));
    ck_assert_ptr_nonnull(strstr(response.head, "Vary: Accept-Encoding\r\n"));
    client_response_done(&response);
    /* Where the route says nothing the upstream speaks for itself. */
    response = ask_upstream(&proxied, "GET /without", FROM(APP));
    ck_assert_int_eq(response_header_count(&response, "Access-Control-Allow-Origin"), 2);
    client_response_done(&response);
    proxied_end(&proxied);
}

/* A cache that keeps the answer for a script must not give it to another, nor the other way round.
 */
TEST(what_depends_on_the_origin_says_so_to_caches) {
    struct proxied proxied = proxied_start(&options);
    upstream_answer(proxied.upstream, NULL,
                    "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\n"
                    "Content-Length: 2\r\n\r\nok");
    static const char *const headers[] = {FROM(APP), FROM(EVIL), ""};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        struct response response = ask_upstream(&proxied, "GET /open", headers[i]);
        check_header(&response, "Vary", "Origin", headers[i]);
        client_response_done(&response);
    }
    proxied_end(&proxied);
}

TEST(scripts_may_read_why_an_upstream_did_not_answer) {
    struct proxied proxied = proxied_start(&options);
    upstream_down(proxied.upstream);
    struct response response = ask(&proxied, "GET /open", FROM(APP), false);
    ck_assert_int_eq(response.status, 502);
    check_header(&response, "Access-Control-Allow-Origin", APP, "502");
    check_header(&response, "Vary", "Origin", "502");
    client_response_done(&response);
    upstream_up(proxied.upstream);
    proxied_end(&proxied);
}

/* --- forward auth ---------------------------------------------------------------------------- */

#define SPOOFED_ALONE "X-Auth-User: admin\r\nX-Auth-Scopes: secret\r\n"
#define ABOUT(method, path)                                                                        \
    "X-Forwarded-Method: " method "\r\nX-Forwarded-Host: api.example\r\nX-Forwarded-Uri: " path    \
    "\r\n"

TEST(another_proxy_lets_through_only_preflights_that_are_passed_on) {
    static const struct row rows[] = {
        {"GET /_auth", ABOUT("OPTIONS", "/answer") FROM(APP) ASKS("PUT"), false, 401,
         "unauthorized", APP, NULL, NULL},
        {"GET /_auth", ABOUT("OPTIONS", "/answer") FROM(EVIL) ASKS("PUT"), false, 401,
         "unauthorized", NULL, NULL, NULL},
        {"GET /_auth", ABOUT("OPTIONS", "/judge") FROM(APP) ASKS("PUT"), false, 401, "unauthorized",
         APP, NULL, NULL},
        {"GET /_auth", ABOUT("OPTIONS", "/pass") FROM(APP) ASKS("GET"), false, 401, "unauthorized",
         NULL, NULL, NULL},
        {"GET /_auth", ABOUT("OPTIONS", "/pass") ASKS("PUT"), false, 401, "unauthorized", NULL,
         NULL, NULL},
        {"GET /_auth", ABOUT("OPTIONS", "/pass") FROM(APP), false, 401, "unauthorized", NULL, NULL,
         NULL},
        {"GET /_auth", ABOUT("PUT", "/pass") FROM(APP) ASKS("PUT"), false, 401, "unauthorized",
         NULL, NULL, NULL},
        /* the method of the one that asks is no preflight's */
        {"OPTIONS /_auth", ABOUT("PUT", "/pass") FROM(APP) ASKS("PUT"), false, 401, "unauthorized",
         NULL, NULL, NULL},
        {"OPTIONS /_auth", FROM(APP) ASKS("PUT"), false, 400, "bad_request", NULL, NULL, NULL},
    };
    struct proxied proxied = proxied_start(&options);
    check_rows(&proxied, rows, ARRAY_LEN(rows));
    struct response response =
        ask(&proxied, "GET /_auth", ABOUT("OPTIONS", "/pass") FROM(APP) ASKS("PUT") SPOOFED_ALONE,
            false);
    ck_assert_int_eq(response.status, 200);
    check_header(&response, "X-Auth-User", NULL, "forward_auth");
    check_header(&response, "X-Auth-Scopes", NULL, "forward_auth");
    client_response_done(&response);
    proxied_end(&proxied);
}
