/* Health, refresh, explain and the guards of the admin listener, and what stays off the public one.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "tests/integration/observed.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define HOST "Host: localhost\r\n"

static const struct observed_options plain = {0};

/* --- health ---------------------------------------------------------------------------------- */

static json_t *issuer_in(json_t *report, size_t index) {
    return json_array_get(json_object_get(report, "issuers"), index);
}

static const char *text_of(json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    ck_assert_msg(text != NULL, "no %s", name);
    return text;
}

/* Ask until the status is this one, and return that answer. */
static json_t *await_ready(const struct observed *observed, int status) {
    long until = process_now_ms() + 2 * OBSERVED_WAIT_MS;
    for (;; process_sleep_ms(20)) {
        struct response response;
        int got = observed_ask(observed->admin, "GET", "/readyz", HOST, &response);
        json_t *json = json_loads(response.body, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_msg(json != NULL, "%s", response.body);
        ck_assert(json_is_true(json_object_get(json, "ready")) == (got == 200));
        ck_assert_msg(got == 200 || got == 503, "%d", got);
        client_response_done(&response);
        if (got == status) return json;
        json_decref(json);
        ck_assert_msg(process_now_ms() < until, "/readyz is %d, never %d", got, status);
    }
}

/* Until the issuer at that index has this text in its why. */
static void await_why(const struct observed *observed, size_t index, const char *why) {
    long until = process_now_ms() + 2 * OBSERVED_WAIT_MS;
    for (;; process_sleep_ms(20)) {
        json_t *json = await_ready(observed, 503);
        char *is = strdup(text_of(issuer_in(json, index), "why"));
        ck_assert(json_is_false(json_object_get(issuer_in(json, index), "usable")));
        json_decref(json);
        bool found = strstr(is, why) != NULL;
        ck_assert_msg(found || process_now_ms() < until, "%s does not say %s", is, why);
        free(is);
        if (found) return;
    }
}

static void check_healthy(const struct observed *observed) {
    char *body = observed_get(observed, "/healthz", 200);
    ck_assert_str_eq(body, "ok\n");
    free(body);
}

TEST(it_is_healthy_and_not_ready_while_the_issuer_has_no_keys_and_ready_when_it_has) {
    struct observed observed = observed_start(&(struct observed_options){.no_keys = true});
    check_healthy(&observed);
    await_why(&observed, 0, "no keys were fetched yet");
    await_why(&observed, 0, "404");
    ck_assert_int_eq((int)observed_metric(&observed, "bearerd_ready"), 0);
    observed_request(&observed, "/profile/", observed.token, 503);

    observed_give_keys(&observed);
    ck_assert_int_eq(observed_ask(observed.admin, "POST", "/api/refresh", HOST, NULL), 202);
    json_t *json = await_ready(&observed, 200);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "issuers")), 1);
    ck_assert_str_eq(text_of(issuer_in(json, 0), "issuer"), issuer_url(observed.issuer));
    ck_assert_str_eq(text_of(issuer_in(json, 0), "why"), "");
    ck_assert(json_is_true(json_object_get(issuer_in(json, 0), "usable")));
    json_decref(json);
    check_healthy(&observed);
    observed_request(&observed, "/profile/", observed.token, 200);
    observed_end(&observed);
}

TEST(keys_that_are_too_old_make_it_not_ready_and_readyz_says_why) {
    struct observed observed = observed_start(
        &(struct observed_options){.issuer = ", refresh_interval: 1s, max_stale: 1s"});
    issuer_down(observed.issuer);
    await_why(&observed, 0, "its keys are older than max_stale: ");
    check_healthy(&observed);
    issuer_up(observed.issuer);
    ck_assert_int_eq(observed_ask(observed.admin, "POST", "/api/refresh", HOST, NULL), 202);
    json_decref(await_ready(&observed, 200));
    observed_end(&observed);
}

TEST(readyz_names_each_issuer_and_one_with_keys_is_enough) {
    struct issuer *other = issuer_start(ISSUER_PLAIN);
    char *second = scratch_text("}, {issuer: \"%s\", audiences: [api]", issuer_url(other));
    struct observed observed = observed_start(&(struct observed_options){.issuer = second});
    json_t *json = await_ready(&observed, 200);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "issuers")), 2);
    ck_assert_str_eq(text_of(issuer_in(json, 0), "issuer"), issuer_url(observed.issuer));
    ck_assert_str_eq(text_of(issuer_in(json, 1), "issuer"), issuer_url(other));
    ck_assert(json_is_true(json_object_get(issuer_in(json, 0), "usable")));
    ck_assert(json_is_false(json_object_get(issuer_in(json, 1), "usable")));
    ck_assert_ptr_nonnull(strstr(text_of(issuer_in(json, 1), "why"), "no keys were fetched yet"));
    json_decref(json);
    observed_end(&observed);
    free(second);
    issuer_stop(other);
}

/* A connection that is served. Until then earlier ones may still be counted. */
static struct client *connect_and_stay(const struct observed *observed) {
    long until = process_now_ms() + OBSERVED_WAIT_MS;
    for (;; process_sleep_ms(5)) {
        struct response response;
        struct client *client = client_connect(observed->daemon->port);
        (void)client_sendf(client, "GET / HTTP/1.1\r\n" HOST "\r\n");
        if (client_read(client, OBSERVED_WAIT_MS, &response) == CLIENT_OK) {
            client_response_done(&response);
            return client;
        }
        client_free(client);
        ck_assert_msg(process_now_ms() < until, "no connection is served");
    }
}

TEST(it_is_healthy_however_many_clients_there_are) {
    enum { LIMIT = 6 };
    static const char *const limits[] = {"connections: 6", "connections_per_address: 6"};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        char *rest = scratch_text("limits: {%s}\n", limits[i]);
        struct observed observed = observed_start(&(struct observed_options){.rest = rest});
        struct client *clients[LIMIT + 1];
        for (int k = 0; k < LIMIT; k++) clients[k] = connect_and_stay(&observed);
        clients[LIMIT] = client_connect(observed.daemon->port);
        ck_assert(client_closed(clients[LIMIT], OBSERVED_WAIT_MS));
        check_healthy(&observed);
        for (int k = 0; k <= LIMIT; k++) client_free(clients[k]);
        observed_end(&observed);
        free(rest);
    }
}

/* --- refresh --------------------------------------------------------------------------------- */

TEST(a_refresh_fetches_at_once_whatever_the_timers_say) {
    struct observed observed = observed_start(&plain);
    ck_assert_int_eq(issuer_hits(observed.issuer, ISSUER_JWKS), 1);
    for (int i = 2; i <= 4; i++) {
        struct response response;
        ck_assert_int_eq(observed_ask(observed.admin, "POST", "/api/refresh", HOST, &response),
                         202);
        ck_assert_str_eq(response.body, "{\"refreshing\":1}");
        client_response_done(&response);
        ck_assert(issuer_wait_hits(observed.issuer, ISSUER_JWKS, i, OBSERVED_WAIT_MS));
        char *series =
            scratch_text("bearerd_issuer_refreshes_total{issuer=\"%s\",outcome=\"unchanged\"}",
                         issuer_url(observed.issuer));
        observed_await(&observed, series, i - 1);
        free(series);
    }
    observed_end(&observed);
}

TEST(a_refresh_is_asked_for_by_post_alone) {
    static const char *const others[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"};
    struct observed observed = observed_start(&plain);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct response response;
        int status = observed_ask(observed.admin, others[i], "/api/refresh", HOST, &response);
        ck_assert_msg(status == 405, "%s: %d", others[i], status);
        ck_assert(span_equal_text(response_header(&response, "Allow"), "POST"));
        client_response_done(&response);
    }
    ck_assert_int_eq(issuer_hits(observed.issuer, ISSUER_JWKS), 1);
    observed_end(&observed);
}

/* --- the guards ------------------------------------------------------------------------------ */

static const char *const private_places[] = {"/", "/api/status", "/api/explain", "/api/refresh",
                                             "/api/deny"};
static const char *const open_places[] = {"/healthz", "/readyz", "/metrics"};

TEST(a_foreign_host_gets_what_probes_and_scrapers_need_and_no_more) {
    static const char *const hosts[] = {"rebound.example", "localhost.rebound.example",
                                        "127.0.0.1.rebound.example", "192.0.2.1", "10.0.0.5:8081"};
    struct observed observed = observed_start(&plain);
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        char *host = scratch_text("Host: %s\r\n", hosts[i]);
        for (size_t k = 0; k < ARRAY_LEN(private_places); k++) {
            const char *method = strcmp(private_places[k], "/api/refresh") ? "GET" : "POST";
            struct response response;
            int status = observed_ask(observed.admin, method, private_places[k], host, &response);
            ck_assert_msg(status == 403, "%s of %s: %d", private_places[k], hosts[i], status);
            ck_assert_ptr_null(strstr(response.body, issuer_url(observed.issuer)));
            client_response_done(&response);
        }
        for (size_t k = 0; k < ARRAY_LEN(open_places); k++)
            ck_assert_int_eq(observed_ask(observed.admin, "GET", open_places[k], host, NULL), 200);
        free(host);
    }
    static const char *const here[] = {"localhost", "127.0.0.1", "[::1]", "localhost:1",
                                       "LOCALHOST"};
    for (size_t i = 0; i < ARRAY_LEN(here); i++) {
        char *host = scratch_text("Host: %s\r\n", here[i]);
        ck_assert_int_eq(observed_ask(observed.admin, "GET", "/api/status", host, NULL), 200);
        ck_assert_int_eq(observed_ask(observed.admin, "GET", "/", host, NULL), 200);
        free(host);
    }
    ck_assert_int_eq(issuer_hits(observed.issuer, ISSUER_JWKS), 1);
    observed_end(&observed);
}

TEST(a_page_of_another_site_cannot_ask_for_a_refresh) {
    static const struct {
        const char *headers;
        int status;
    } rows[] = {
        {"Origin: https://page.example\r\n", 403},
        {"Origin: null\r\n", 403},
        {"Origin: http://localhost:1\r\n", 403},
        {"Sec-Fetch-Site: cross-site\r\n", 403},
        {"Sec-Fetch-Site: same-site\r\n", 403},
        {"Origin: http://localhost\r\nSec-Fetch-Site: cross-site\r\n", 403},
        {"", 202},
        {"Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n", 202},
    };
    struct observed observed = observed_start(&plain);
    int hits = 1;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *headers = scratch_text(HOST "%s", rows[i].headers);
        int status = observed_ask(observed.admin, "POST", "/api/refresh", headers, NULL);
        ck_assert_msg(status == rows[i].status, "%s: %d", rows[i].headers, status);
        if (status == 202)
            ck_assert(issuer_wait_hits(observed.issuer, ISSUER_JWKS, ++hits, OBSERVED_WAIT_MS));
        ck_assert_int_eq(issuer_hits(observed.issuer, ISSUER_JWKS), hits);
        free(headers);
    }
    observed_end(&observed);
}

TEST(nothing_of_it_is_on_the_public_listener) {
    static const char *const places[] = {"/healthz",     "/readyz",      "/metrics", "/api/status",
                                         "/api/explain", "/api/refresh", "/api/deny"};
    struct observed observed = observed_start(&plain);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        observed_request(&observed, places[i], NULL, 404);
        observed_request(&observed, places[i], observed.token, 404);
        ck_assert_int_eq(observed_ask(observed.daemon->port, "POST", places[i], HOST, NULL), 404);
    }
    /* And none of the public ones on that of the admin. */
    ck_assert_int_eq(observed_ask(observed.admin, "GET", "/profile/", HOST, NULL), 404);
    ck_assert_int_eq(issuer_hits(observed.issuer, ISSUER_JWKS), 1);
    observed_end(&observed);
}

TEST(head_is_get_without_the_body) {
    static const char *const places[] = {"/", "/healthz", "/readyz", "/metrics", "/api/status"};
    struct observed observed = observed_start(&plain);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct response get, head;
        ck_assert_int_eq(observed_ask(observed.admin, "GET", places[i], HOST, &get), 200);
        ck_assert_int_eq(observed_ask(observed.admin, "HEAD", places[i], HOST, &head), 200);
        struct span type = response_header(&head, "Content-Type");
        ck_assert(span_equal(type, response_header(&get, "Content-Type")));
        ck_assert_int_eq(response_header_count(&head, "Content-Length"), 1);
        ck_assert_int_gt(atoi(response_header(&head, "Content-Length").ptr), 0);
        ck_assert(span_equal_text(response_header(&head, "Cache-Control"), "no-store"));
        client_response_done(&get);
        client_response_done(&head);
    }
    observed_end(&observed);
}

TEST(each_place_says_what_it_is) {
    static const char *const rows[][2] = {
        {"/healthz", "text/plain; charset=utf-8"},
        {"/readyz", "application/json"},
        {"/metrics", "text/plain; version=0.0.4; charset=utf-8"},
        {"/api/status", "application/json"},
        {"/api/explain", "application/json"},
    };
    struct observed observed = observed_start(&plain);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct response response;
        ck_assert_int_eq(observed_ask(observed.admin, "GET", rows[i][0], HOST, &response), 200);
        struct span type = response_header(&response, "Content-Type");
        ck_assert_msg(span_equal_text(type, rows[i][1]), "%s: %s", rows[i][0], response.head);
        client_response_done(&response);
    }
    observed_end(&observed);
}

/* --- explain --------------------------------------------------------------------------------- */

#define ROUTES                                                                                     \
    "routes:\n"                                                                                    \
    "  - {path: /, respond: identity, anonymous: allow}\n"                                         \
    "  - {path: /orders/*, respond: verdict, require: {scopes: [orders:read]}}\n"                  \
    "  - {path: /hosted, hosts: [api.example.com], respond: verdict}\n"                            \
    "  - {path: /tried, respond: verdict, mode: report, require: {scopes: [orders:read]}}\n"       \
    "  - {path: /posted, methods: [POST], respond: verdict}\n"

/* What the command says, parsed. The caller drops it. */
static json_t *command_says(const struct observed *observed, const char *token, const char *method,
                            const char *url) {
    char *program = daemon_program();
    char *config = scratch_text("%s/bearerd.yaml", observed->daemon->folder);
    const char *argv[] = {program,    "explain", "-c", config, "--json", "--offline",
                          "--method", method,    "-",  NULL,   NULL,     NULL};
    if (url) argv[8] = "--url", argv[9] = url, argv[10] = "-";
    struct process *process = process_start_with_input(argv, NULL, span_of(token));
    int code = process_wait_exit(process, OBSERVED_WAIT_MS);
    char *output = process_output(process);
    json_t *json = json_loads(output, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(json != NULL, "exit code %d: %s", code, output);
    ck_assert_int_eq(code, json_is_true(json_object_get(json, "allowed")) ? 0 : 1);
    free(output);
    process_free(process);
    free(config);
    free(program);
    return json;
}

/* A byte of a URL's query; the caller frees all of it. */
static char *query_encode(const char *text) {
    char *out = calloc(3, strlen(text) + 1), *at = out;
    for (; *text; text++)
        at += sprintf(at, isalnum((unsigned char)*text) ? "%c" : "%%%02X", (unsigned char)*text);
    return out;
}

static json_t *listener_says(const struct observed *observed, const char *header,
                             const char *method, const char *url) {
    char *encoded = url ? query_encode(url) : NULL;
    char *target = encoded ? scratch_text("/api/explain?method=%s&url=%s", method, encoded)
                           : scratch_text("/api/explain?method=%s", method);
    char *headers = scratch_text(HOST "Authorization: %s\r\n", header);
    struct response response;
    int status = observed_ask(observed->admin, "GET", target, headers, &response);
    ck_assert_msg(status == 200, "%d %s", status, response.body);
    json_t *json = json_loads(response.body, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(json != NULL, "%s", response.body);
    client_response_done(&response);
    free(headers);
    free(target);
    free(encoded);
    return json;
}

/* "4 min 59 s" of the two differ: digits become one. */
static char *without_numbers(json_t *json) {
    char *text = json_dumps(json, JSON_SORT_KEYS | JSON_INDENT(1)), *to = text;
    ck_assert_ptr_nonnull(text);
    for (const char *at = text; *at; at++) {
        bool digit = isdigit((unsigned char)*at);
        if (digit && to > text && to[-1] == '0') continue;
        *to++ = digit ? '0' : *at;
    }
    *to = '\0';
    return text;
}

static char *cut_words(char *text) {
    /* A length of time of 60 s is told in minutes; which of them is a matter of when it is asked.
     */
    static const char *const units[] = {"0 min 0 s", "0 min"};
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        for (char *at; (at = strstr(text, units[i]));)
            memmove(at + 3, at + strlen(units[i]), strlen(at + strlen(units[i])) + 1),
                memcpy(at, "0 s", 3);
    return text;
}

/* Where the command got its keys from is nothing that the daemon has to tell. */
static void drop_keys(json_t *json) {
    json_t *steps = json_object_get(json, "steps");
    for (size_t i = json_array_size(steps); i > 0; i--) {
        const char *step = json_string_value(json_object_get(json_array_get(steps, i - 1), "step"));
        if (step && strcmp(step, "keys") == 0) json_array_remove(steps, i - 1);
    }
}

static void check_same(json_t *a, json_t *b, const char *what) {
    static const char *const members[] = {"allowed", "status", "steps"};
    drop_keys(a);
    drop_keys(b);
    char *x = cut_words(without_numbers(a)), *y = cut_words(without_numbers(b));
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        ck_assert_msg(json_object_get(a, members[i]) != NULL, "no %s", members[i]);
    ck_assert_int_eq(json_integer_value(json_object_get(a, "status")),
                     json_integer_value(json_object_get(b, "status")));
    ck_assert_msg(strcmp(x, y) == 0, "%s: %s\nis not\n%s", what, x, y);
    free(x);
    free(y);
}

TEST_WITHIN(explain_tells_the_same_as_the_command, 60) {
    static const struct {
        const char *changes, *method, *url;
        int status;
    } rows[] = {
        {NULL, "GET", NULL, 200},
        {NULL, "GET", "/", 200},
        {NULL, "GET", "/orders/7", 403},
        {"{\"scope\":\"orders:read\"}", "GET", "/orders/7?access_token=secret", 200},
        {"{\"scope\":\"orders:read\"}", "GET", "/orders/../orders/%37", 200},
        {NULL, "GET", "/tried", 200},
        {NULL, "GET", "/hosted", 404},
        {NULL, "GET", "https://api.example.com/hosted", 200},
        {NULL, "GET", "https://other.example.com/hosted", 404},
        {NULL, "GET", "/posted", 405},
        {NULL, "POST", "/posted", 200},
        {NULL, "GET", "/nowhere", 404},
        {"{\"exp\":1000}", "GET", "/", 401},
        {"{\"aud\":\"other\"}", "GET", "/orders/7", 401},
        {"{\"iss\":\"https://other.example\"}", "GET", "/", 401},
        {"{\"sub\":\"\\u0007<b>\\u202e\"}", "GET", "/orders/7", 403},
    };
    struct observed observed = observed_start(&(struct observed_options){.rest = ROUTES});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *what = scratch_text("row %zu", i);
        char *token = observed_token(&observed, rows[i].changes);
        char *header = scratch_text("Bearer %s", token);
        json_t *by_command = command_says(&observed, token, rows[i].method, rows[i].url);
        json_t *by_listener = listener_says(&observed, header, rows[i].method, rows[i].url);
        check_same(by_listener, by_command, what);
        int status = (int)json_integer_value(json_object_get(by_listener, "status"));
        ck_assert_msg(status == rows[i].status, "%s: %d", what, status);
        if (status != 200) text_of(by_listener, "reason"), text_of(by_listener, "advice");
        json_decref(by_listener);
        json_decref(by_command);
        free(header);
        free(token);
        free(what);
    }
    observed_end(&observed);
}

TEST(explain_takes_a_token_as_people_paste_it) {
    static const char *const forms[] = {
        "Bearer %s",
        "%s",
        "bearer %s",
        "Bearer Bearer %s",
        "Bearer   %s  ",
        "Bearer \"%s\"",
        "'%s'",
        "BEARER\t%s",
        "  Bearer %s",
        "Bearer Authorization: Bearer %s",
        "Authorization: Bearer %s",
    };
    struct observed observed = observed_start(&plain);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        struct span form = span_of(forms[i]);
        size_t at = (size_t)(strstr(forms[i], "%s") - forms[i]);
        char *header =
            scratch_text("%.*s%s%s", (int)at, form.ptr, observed.token, form.ptr + at + 2);
        json_t *json = listener_says(&observed, header, "GET", "/profile/");
        char *text = json_dumps(json, 0);
        ck_assert_msg(json_is_true(json_object_get(json, "allowed")), "%s: %s", forms[i], text);
        free(text);
        json_decref(json);
        free(header);
    }
    /* White space within it, as mail programs put it there. */
    char *header = scratch_text("Bearer %.20s %.20s\t%s", observed.token, observed.token + 20,
                                observed.token + 40);
    json_t *json = listener_says(&observed, header, "GET", "/profile/");
    ck_assert(json_is_true(json_object_get(json, "allowed")));
    json_decref(json);
    free(header);
    observed_end(&observed);
}

TEST(explain_never_tells_the_signature) {
    struct observed observed = observed_start(&plain);
    const char *signature = strrchr(observed.token, '.') + 1;
    /* Whole, cut short, with the claims changed, and of a kid that is not there. */
    char *cut = scratch_text("%.*s", (int)strlen(observed.token) - 3, observed.token);
    char *more = scratch_text("%s.%s", observed.token, signature);
    const char *const tokens[] = {observed.token, cut, more, signature};
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        char *header = scratch_text("Bearer %s", tokens[i]);
        json_t *json = listener_says(&observed, header, "GET", "/profile/");
        char *text = json_dumps(json, 0), *piece = scratch_text("%.12s", signature);
        ck_assert_msg(strstr(text, piece) == NULL, "%s", text);
        ck_assert(json_is_true(json_object_get(json, "allowed")) == (i == 0));
        free(piece);
        free(text);
        json_decref(json);
        free(header);
    }
    char *log = process_errors(observed.daemon->process);
    ck_assert_ptr_null(strstr(log, signature));
    free(log);
    free(more);
    free(cut);
    observed_end(&observed);
}

TEST(explain_refuses_what_it_cannot_read) {
    static const struct {
        const char *target;
        int status;
    } rows[] = {
        {"/api/explain", 200},
        {"/api/explain?url=%2F", 200},
        {"/api/explain?url=ftp%3A%2F%2Fx", 400},
        {"/api/explain?url=nothing", 400},
        {"/api/explain?url=http%3A%2F%2Fx%3Fy", 400},
        {"/api/explain?token=abc", 400},
        {"/api/explain?url=%2F&url=%2F", 400},
    };
    struct observed observed = observed_start(&plain);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct response response;
        int status = observed_ask(observed.admin, "GET", rows[i].target, HOST, &response);
        ck_assert_msg(status == rows[i].status, "%s: %d %s", rows[i].target, status, response.body);
        client_response_done(&response);
    }
    ck_assert_int_eq(observed_ask(observed.admin, "POST", "/api/explain", HOST, NULL), 405);
    observed_end(&observed);
}

TEST(explain_knows_the_deny_list_and_the_keys_of_the_daemon) {
    char *rest, *folder = scratch_new(), *list = scratch_text("%s/deny", folder);
    free(scratch_file(folder, "deny", SPAN_LITERAL("")));
    rest = scratch_text("deny_list: \"%s\"\n", list);
    struct observed observed = observed_start(&(struct observed_options){.rest = rest});
    char *header = scratch_text("Bearer %s", observed.token);
    json_t *json = listener_says(&observed, header, "GET", "/profile/");
    ck_assert(json_is_true(json_object_get(json, "allowed")));
    json_decref(json);
    ck_assert_int_eq(observed_ask(observed.admin, "POST", "/api/deny?sub=alice", HOST, NULL), 200);
    json = listener_says(&observed, header, "GET", "/profile/");
    ck_assert(json_is_false(json_object_get(json, "allowed")));
    ck_assert_str_eq(text_of(json, "reason"), "token_revoked");
    json_decref(json);
    free(header);
    observed_end(&observed);
    free(rest);
    free(list);
    free(folder);
}
