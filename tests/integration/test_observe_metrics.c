/* What /metrics counts is what was done, and nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tests/integration/observed.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/support/upstream.h"

#define HOST "Host: localhost\r\n"
#define SITE "Origin: https://app.example\r\n"

/* --- a daemon with everything that is counted ------------------------------------------------ */

struct house {
    struct observed observed;
    struct upstream *up, *sick;
    int closed; /* a port where nobody listens */
    char *rest;
};

#define ROUTES                                                                                     \
    "routes:\n"                                                                                    \
    "  - {path: /, respond: identity, anonymous: allow,\n"                                         \
    "     cors: {preflight: answer, origins: [\"https://app.example\"]}}\n"                        \
    "  - {path: /profile/, respond: profile, require: {scopes: [profile]}}\n"                      \
    "  - {path: /up/*, upstream: up, require: {scopes: [openid]}}\n"                               \
    "  - {path: /sick/*, upstream: sick}\n"                                                        \
    "  - {path: /gone/*, upstream: gone}\n"                                                        \
    "  - {path: /ill/*, upstream: ill}\n"                                                          \
    "  - {path: \"/tenants/{tenant}\", respond: verdict}\n"                                        \
    "  - {path: /tried, respond: verdict, mode: report, require: {scopes: [none]}}\n"              \
    "  - {path: /asking, respond: forward_auth}\n"

static char *rest_of(const struct house *house, const char *routes) {
    return scratch_text(
        "trusted_proxies: [\"127.0.0.1\"]\n"
        "upstreams:\n"
        "  - {name: up, targets: [\"%s\"]}\n"
        "  - {name: sick, targets: [\"%s\"], timeouts: {first_byte: 300ms}, health: {max_fails: "
        "0}}\n"
        "  - {name: gone, targets: [\"http://127.0.0.1:%d\"], health: {max_fails: 2}}\n"
        "  - {name: ill, targets: [\"http://127.0.0.1:%d\"],\n"
        "     health: {path: /, interval: 1s, unhealthy_after: 1}}\n"
        "%s",
        upstream_target(house->up), upstream_target(house->sick), house->closed, house->closed,
        routes);
}

static struct house house_open(void) {
    struct house house = {.up = upstream_start(UPSTREAM_PLAIN),
                          .sick = upstream_start(UPSTREAM_PLAIN),
                          .closed = process_free_port()};
    upstream_answer(house.sick, "/sick/500", "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    upstream_answer(house.sick, "/sick/garbage", "no answer at all\r\n\r\n");
    upstream_script(house.sick, "/sick/close", UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_CLOSE));
    upstream_script(house.sick, "/sick/slow", UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_HANG));
    upstream_script(house.up, "/up/slow", UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_HANG));
    house.rest = rest_of(&house, ROUTES);
    house.observed = observed_start(&(struct observed_options){.rest = house.rest});
    return house;
}

static void house_close(struct house *house) {
    observed_end(&house->observed);
    upstream_stop(house->up);
    upstream_stop(house->sick);
    free(house->rest);
}

enum bearer { NOBODY, GOOD, EXPIRED, TORN, OTHER_KID };

static char *authorization_of(const struct house *house, enum bearer bearer) {
    const char *url = issuer_url(house->observed.issuer);
    char *token = NULL;
    switch (bearer) {
    case NOBODY:
        return strdup("");
    case GOOD:
        token = strdup(house->observed.token);
        break;
    case EXPIRED:
        token = observed_token(&house->observed, "{\"exp\":1500000000}");
        break;
    case TORN:
        token = scratch_text("%.40s", house->observed.token);
        break;
    case OTHER_KID:
        token = mint_good(url, "ES256", mint_key(MINT_P256), "other", NULL);
        break;
    }
    char *line = scratch_text("Authorization: Bearer %s\r\n", token);
    free(token);
    return line;
}

static void do_it(const struct house *house, const char *method, const char *target,
                  const char *headers, enum bearer bearer, int status) {
    char *authorization = authorization_of(house, bearer);
    char *all = scratch_text(HOST "%s%s", headers, authorization);
    int got = observed_ask(house->observed.daemon->port, method, target, all, NULL);
    ck_assert_msg(got == status, "%s %s: %d, not %d", method, target, got, status);
    free(all);
    free(authorization);
}

/* --- requests -------------------------------------------------------------------------------- */

static const struct deed {
    const char *method, *target, *headers;
    enum bearer bearer;
    int status;
    int times;
} deeds[] = {
    /* own */
    {"GET", "/", "", NOBODY, 200, 2},
    {"GET", "/", "", GOOD, 200, 1},
    {"OPTIONS", "/", SITE "Access-Control-Request-Method: GET\r\n", NOBODY, 204, 1},
    {"GET", "/profile/?access_token=x", "", GOOD, 200, 3},
    {"HEAD", "/profile/", "", GOOD, 200, 1},
    {"GET", "/tenants/one", "", GOOD, 200, 1},
    {"GET", "/tenants/two", "", GOOD, 200, 1},
    /* refused */
    {"GET", "/profile/", "", NOBODY, 401, 2},
    {"GET", "/profile/", "", EXPIRED, 401, 3},
    {"GET", "/profile/", "", TORN, 401, 1},
    {"GET", "/profile/", "Authorization: Basic eDp5\r\n", NOBODY, 401, 1},
    {"GET", "/nowhere", "", NOBODY, 404, 2},
    {"GET", "/%zz", "", NOBODY, 400, 1},
    {"POST", "/", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", NOBODY, 400, 1},
    {"DELETE", "/", "", NOBODY, 405, 1},
    {"OPTIONS", "/", "Origin: https://x\r\nAccess-Control-Request-Method: GET\r\n", NOBODY, 403, 1},
    /* allowed */
    {"GET", "/up/1", "", GOOD, 200, 5},
    {"POST", "/up/2", "Content-Length: 0\r\n", GOOD, 200, 2},
    {"GET", "/up/3", "", NOBODY, 401, 1},
    {"GET", "/sick/500", "", GOOD, 500, 2},
    /* failed */
    {"GET", "/sick/garbage", "", GOOD, 502, 1},
    {"POST", "/sick/close", "Content-Length: 0\r\n", GOOD, 502, 3},
    {"GET", "/sick/slow", "", GOOD, 504, 1},
    {"GET", "/gone/1", "", GOOD, 502, 2},
    {"GET", "/ill/1", "", GOOD, 503, 3},
    /* tried out */
    {"GET", "/tried", "", GOOD, 200, 4},
    {"GET", "/tried", "", NOBODY, 401, 1},
    /* asked about */
    {"GET", "/asking", "X-Forwarded-Uri: /up/9\r\nX-Forwarded-Method: GET\r\n", GOOD, 200, 3},
    {"GET", "/asking", "X-Forwarded-Uri: /up/9\r\nX-Forwarded-Method: GET\r\n", NOBODY, 401, 1},
    {"GET", "/asking", "X-Forwarded-Uri: /nowhere\r\nX-Forwarded-Method: GET\r\n", GOOD, 404, 1},
    {"GET", "/asking", "", GOOD, 400, 1},
};

/* The client that leaves makes one more that is allowed. */
#define REQUESTS                                                                                   \
    "bearerd_requests_total{route=\"/\",outcome=\"refused\"} 2\n"                                  \
    "bearerd_requests_total{route=\"/\",outcome=\"own\"} 4\n"                                      \
    "bearerd_requests_total{route=\"/profile/\",outcome=\"refused\"} 7\n"                          \
    "bearerd_requests_total{route=\"/profile/\",outcome=\"own\"} 4\n"                              \
    "bearerd_requests_total{route=\"/up/*\",outcome=\"allowed\"} 11\n"                             \
    "bearerd_requests_total{route=\"/up/*\",outcome=\"refused\"} 2\n"                              \
    "bearerd_requests_total{route=\"/sick/*\",outcome=\"allowed\"} 2\n"                            \
    "bearerd_requests_total{route=\"/sick/*\",outcome=\"failed\"} 5\n"                             \
    "bearerd_requests_total{route=\"/gone/*\",outcome=\"failed\"} 2\n"                             \
    "bearerd_requests_total{route=\"/ill/*\",outcome=\"failed\"} 3\n"                              \
    "bearerd_requests_total{route=\"/tenants/{tenant}\",outcome=\"own\"} 2\n"                      \
    "bearerd_requests_total{route=\"/tried\",outcome=\"refused\"} 1\n"                             \
    "bearerd_requests_total{route=\"/tried\",outcome=\"own\"} 4\n"                                 \
    "bearerd_requests_total{route=\"none\",outcome=\"refused\"} 6\n"
#define REFUSALS                                                                                   \
    "bearerd_refusals_total{reason=\"no_credentials\"} 5\n"                                        \
    "bearerd_refusals_total{reason=\"other_scheme\"} 1\n"                                          \
    "bearerd_refusals_total{reason=\"token_malformed\"} 1\n"                                       \
    "bearerd_refusals_total{reason=\"token_expired\"} 3\n"                                         \
    "bearerd_refusals_total{reason=\"framing\"} 1\n"                                               \
    "bearerd_refusals_total{reason=\"target\"} 1\n"                                                \
    "bearerd_refusals_total{reason=\"no_route\"} 3\n"                                              \
    "bearerd_refusals_total{reason=\"method_not_allowed\"} 1\n"                                    \
    "bearerd_refusals_total{reason=\"original\"} 1\n"                                              \
    "bearerd_refusals_total{reason=\"origin_not_allowed\"} 1\n"                                    \
    "bearerd_refusals_total{reason=\"upstream_down\"} 3\n"                                         \
    "bearerd_refusals_total{reason=\"upstream_unreachable\"} 2\n"                                  \
    "bearerd_refusals_total{reason=\"upstream_closed\"} 3\n"                                       \
    "bearerd_refusals_total{reason=\"upstream_malformed\"} 1\n"                                    \
    "bearerd_refusals_total{reason=\"upstream_timeout\"} 1\n"
#define WOULD_REFUSE "bearerd_would_refuse_total{reason=\"scope_missing\"} 4\n"
#define UPSTREAMS                                                                                  \
    "bearerd_upstream_requests_total{upstream=\"up\",outcome=\"answered\"} 7\n"                    \
    "bearerd_upstream_requests_total{upstream=\"up\",outcome=\"canceled\"} 1\n"                    \
    "bearerd_upstream_requests_total{upstream=\"sick\",outcome=\"error\"} 2\n"                     \
    "bearerd_upstream_requests_total{upstream=\"sick\",outcome=\"closed\"} 3\n"                    \
    "bearerd_upstream_requests_total{upstream=\"sick\",outcome=\"malformed\"} 1\n"                 \
    "bearerd_upstream_requests_total{upstream=\"sick\",outcome=\"timeout\"} 1\n"                   \
    "bearerd_upstream_requests_total{upstream=\"gone\",outcome=\"unreachable\"} 2\n"               \
    "bearerd_upstream_requests_total{upstream=\"ill\",outcome=\"down\"} 3\n"

/* A client that does not wait for the answer of its upstream. */
static void leave_early(const struct house *house) {
    struct client *client = client_connect(house->observed.daemon->port);
    int before = upstream_count(house->up, UPSTREAM_HEADS);
    ck_assert(client_sendf(client,
                           "GET /up/slow HTTP/1.1\r\n" HOST "Authorization: Bearer %s\r\n\r\n",
                           house->observed.token));
    ck_assert(upstream_wait(house->up, UPSTREAM_HEADS, before + 1, OBSERVED_WAIT_MS));
    client_reset(client);
    client_free(client);
}

static void check_target(const struct house *house, const char *upstream, int port, int up) {
    char *series =
        scratch_text("bearerd_upstream_target_up{upstream=\"%s\",target=\"http://127.0.0.1:%d\"}",
                     upstream, port);
    observed_await(&house->observed, series, up);
    free(series);
}

TEST_WITHIN(each_request_is_counted_once_as_what_became_of_it, 60) {
    struct house house = house_open();
    check_target(&house, "ill", house.closed, 0);
    for (size_t i = 0; i < ARRAY_LEN(deeds); i++)
        for (int k = 0; k < deeds[i].times; k++)
            do_it(&house, deeds[i].method, deeds[i].target, deeds[i].headers, deeds[i].bearer,
                  deeds[i].status);
    leave_early(&house);
    observed_await_counted(&house.observed, "bearerd_requests_total", REQUESTS);
    observed_await_counted(&house.observed, "bearerd_refusals_total", REFUSALS);
    observed_await_counted(&house.observed, "bearerd_would_refuse_total", WOULD_REFUSE);
    observed_await_counted(&house.observed, "bearerd_upstream_requests_total", UPSTREAMS);

    check_target(&house, "up", upstream_port(house.up), 1);
    check_target(&house, "sick", upstream_port(house.sick), 1);
    check_target(&house, "gone", house.closed, 0);

    char *metrics = observed_get(&house.observed, "/metrics", 200);
    /* Only what had an answer has a duration. */
    ck_assert_int_eq(
        (int)observed_value(metrics, "bearerd_upstream_duration_seconds_count{upstream=\"up\"}"),
        7);
    ck_assert_int_eq(
        (int)observed_value(metrics, "bearerd_upstream_duration_seconds_count{upstream=\"sick\"}"),
        2);
    ck_assert_int_eq(
        (int)observed_value(metrics, "bearerd_upstream_duration_seconds_count{upstream=\"gone\"}"),
        0);
    free(metrics);
    house_close(&house);
}

TEST(what_is_asked_of_the_admin_listener_counts_only_where_it_is_refused) {
    static const struct {
        const char *method, *target, *headers;
        int status;
    } rows[] = {
        {"GET", "/healthz", "", 200},      {"GET", "/readyz", "", 200},
        {"GET", "/api/status", "", 200},   {"GET", "/", "", 200},
        {"GET", "/nowhere", "", 404},      {"DELETE", "/metrics", "", 405},
        {"POST", "/api/refresh", "", 202}, {"GET", "/%zz", "", 400},
        {"GET", "/api/explain", "", 200},  {"POST", "/api/refresh", SITE, 403},
    };
    struct observed observed = observed_start(&(struct observed_options){0});
    char *before = observed_get(&observed, "/metrics", 200);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *headers = scratch_text(HOST "%s", rows[i].headers);
        int status = observed_ask(observed.admin, rows[i].method, rows[i].target, headers, NULL);
        ck_assert_msg(status == rows[i].status, "%s: %d", rows[i].target, status);
        free(headers);
    }
    char *after = observed_get(&observed, "/metrics", 200);
    static const char *const prefixes[] = {
        "bearerd_requests_total", "bearerd_decision_duration_seconds", "bearerd_connections_total"};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        char *was = observed_counted(before, prefixes[i]),
             *is = observed_counted(after, prefixes[i]);
        ck_assert_str_eq(was, is);
        free(was);
        free(is);
    }
    static const char *const refused[] = {"no_route", "method_not_allowed", "target", "other_site"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        char *name = scratch_text("bearerd_refusals_total{reason=\"%s\"}", refused[i]);
        ck_assert_int_eq((int)observed_value(after, name), 1);
        free(name);
    }
    json_t *status = observed_json(&observed, "/api/status", 200);
    ck_assert_uint_eq(json_array_size(json_object_get(status, "last_refusals")), 0);
    json_decref(status);
    /* A request of the public listener is. */
    observed_request(&observed, "/nowhere", NULL, 404);
    observed_await(&observed, "bearerd_requests_total{route=\"none\",outcome=\"refused\"}", 1);
    free(before);
    free(after);
    observed_end(&observed);
}

/* --- tokens and issuers ---------------------------------------------------------------------- */

TEST(refreshes_are_counted_by_what_they_brought_and_by_who_forced_them) {
    struct observed observed = observed_start(&(struct observed_options){0});
    const char *url = issuer_url(observed.issuer);
    char *changed =
        scratch_text("bearerd_issuer_refreshes_total{issuer=\"%s\",outcome=\"changed\"} 1\n", url);
    observed_await_counted(&observed, "bearerd_issuer_refreshes_total", changed);

    /* The cooldown allows one of them. */
    char *token = mint_good(url, "ES256", mint_key(MINT_P256), "other", NULL);
    for (int i = 0; i < 3; i++) observed_request(&observed, "/profile/", token, 401);
    char *unchanged = scratch_text(
        "%sbearerd_issuer_refreshes_total{issuer=\"%s\",outcome=\"unchanged\"} 1\n", changed, url);
    observed_await_counted(&observed, "bearerd_issuer_refreshes_total", unchanged);
    char *forced =
        scratch_text("bearerd_issuer_unknown_kid_refreshes_total{issuer=\"%s\"} 1\n", url);
    observed_await_counted(&observed, "bearerd_issuer_unknown_kid_refreshes_total", forced);
    observed_await_counted(&observed, "bearerd_refusals_total",
                           "bearerd_refusals_total{reason=\"key_not_found\"} 3\n");

    issuer_down(observed.issuer);
    ck_assert_int_eq(observed_ask(observed.admin, "POST", "/api/refresh", HOST, NULL), 202);
    char *failed = scratch_text(
        "%sbearerd_issuer_refreshes_total{issuer=\"%s\",outcome=\"failed\"} 1\n", unchanged, url);
    observed_await_counted(&observed, "bearerd_issuer_refreshes_total", failed);
    /* The old keys serve. */
    char *usable = scratch_text("bearerd_issuer_usable{issuer=\"%s\"}", url);
    char *keys = scratch_text("bearerd_issuer_keys{issuer=\"%s\"}", url);
    observed_await(&observed, usable, 1);
    observed_await(&observed, keys, 1);
    observed_await(&observed, "bearerd_ready", 1);
    free(keys), free(usable), free(failed), free(forced), free(unchanged), free(token);
    free(changed);
    observed_end(&observed);
}

TEST(a_token_is_verified_once_on_a_connection_and_then_found) {
    struct observed observed = observed_start(&(struct observed_options){0});
    struct client *client = client_connect(observed.daemon->port);
    for (int i = 0; i < 10; i++) {
        struct response response;
        ck_assert(client_sendf(client,
                               "GET /profile/ HTTP/1.1\r\n" HOST "Authorization: Bearer %s\r\n\r\n",
                               observed.token));
        ck_assert_int_eq(client_read(client, OBSERVED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 200);
        client_response_done(&response);
    }
    /* The workers tell about once a second. */
    observed_await(&observed, "bearerd_token_cache_hits_total", 9);
    observed_await(&observed, "bearerd_token_cache_misses_total", 1);
    observed_await(&observed, "bearerd_token_cache_entries", 1);
    observed_await(&observed, "bearerd_token_cache_evictions_total", 0);
    ck_assert(observed_metric(&observed, "bearerd_token_cache_bytes") > 100);
    client_free(client);
    observed_end(&observed);
}

/* --- connections and workers ----------------------------------------------------------------- */

#define CLIENTS 16

TEST(connections_are_counted_and_those_that_are_open_told) {
    struct observed observed = observed_start(&(struct observed_options){0});
    struct client *clients[CLIENTS];
    double all = observed_metric(&observed, "bearerd_connections_total");
    for (int i = 0; i < CLIENTS; i++) clients[i] = client_connect(observed.daemon->port);
    observed_await(&observed, "bearerd_connections_total", all + CLIENTS);
    /* One more: it is asked on a connection. */
    observed_await(&observed, "bearerd_connections", CLIENTS + 1);
    for (int i = 0; i < CLIENTS; i++) client_free(clients[i]);
    observed_await(&observed, "bearerd_connections", 1);
    observed_await(&observed, "bearerd_connections_total", all + CLIENTS);
    observed_end(&observed);
}

/* Requests on connections that were opened together, so that several workers serve them. */
static void crowd(const struct observed *observed) {
    struct client *clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_connect(observed->daemon->port);
        ck_assert(client_sendf(clients[i],
                               "GET /profile/ HTTP/1.1\r\n" HOST "Authorization: Bearer %s\r\n\r\n",
                               observed->token));
    }
    for (int i = 0; i < CLIENTS; i++) {
        struct response response;
        ck_assert_int_eq(client_read(clients[i], OBSERVED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 200);
        client_response_done(&response);
        client_free(clients[i]);
    }
}

TEST_WITHIN(what_four_workers_count_is_added_up, 60) {
    struct observed observed = observed_start(&(struct observed_options){.workers = 4});
    int requests = 0;
    long until = process_now_ms() + 4 * OBSERVED_WAIT_MS;
    observed_await(&observed, "bearerd_workers", 4);
    /* Each worker verifies the token once: until two of them have. */
    do {
        crowd(&observed);
        requests += CLIENTS;
        process_sleep_ms(5);
    } while (observed_metric(&observed, "bearerd_token_cache_entries") < 2 &&
             process_now_ms() < until);
    ck_assert(observed_metric(&observed, "bearerd_token_cache_entries") >= 2);
    observed_await(&observed, "bearerd_requests_total{route=\"/profile/\",outcome=\"own\"}",
                   requests);
    observed_await(&observed, "bearerd_decision_duration_seconds_count", requests);
    long deadline = process_now_ms() + OBSERVED_WAIT_MS;
    for (;;) {
        char *metrics = observed_get(&observed, "/metrics", 200);
        double found = observed_value(metrics, "bearerd_token_cache_hits_total") +
                       observed_value(metrics, "bearerd_token_cache_misses_total");
        free(metrics);
        if (found > requests - 0.5) {
            ck_assert_int_eq((int)found, requests);
            break;
        }
        ck_assert_msg(process_now_ms() < deadline, "%g of %d", found, requests);
        process_sleep_ms(20);
    }
    observed_end(&observed);
}

/* --- reloads --------------------------------------------------------------------------------- */

static bool has(const char *metrics, const char *text) {
    return strstr(metrics, text) != NULL;
}

TEST_WITHIN(counters_of_a_route_that_stays_go_on_over_reloads, 60) {
    struct house house = house_open();
    struct observed *observed = &house.observed;
    observed_await(observed, "bearerd_config_reload_success", 1);
    for (int i = 0; i < 3; i++) observed_request(observed, "/up/x", observed->token, 200);
    observed_request(observed, "/profile/", NULL, 401);
    double loaded = observed_metric(observed, "bearerd_config_last_reload_timestamp_seconds");

    char *rest = rest_of(&house, "routes:\n"
                                 "  - {path: /new, respond: identity, anonymous: allow}\n"
                                 "  - {path: /up/*, upstream: up}\n");
    ck_assert(observed_reload(observed, &(struct observed_options){.rest = rest}));
    observed_request(observed, "/up/x", observed->token, 200);
    observed_request(observed, "/profile/", NULL, 404);
    observed_await_counted(observed, "bearerd_requests_total",
                           "bearerd_requests_total{route=\"/up/*\",outcome=\"allowed\"} 4\n"
                           "bearerd_requests_total{route=\"none\",outcome=\"refused\"} 1\n");
    char *metrics = observed_get(observed, "/metrics", 200);
    ck_assert(has(metrics, "route=\"/new\""));
    ck_assert(!has(metrics, "route=\"/profile/\""));
    ck_assert(!has(metrics, "tenant"));
    ck_assert(observed_value(metrics, "bearerd_config_last_reload_timestamp_seconds") > loaded);
    ck_assert_int_eq((int)observed_value(metrics, "bearerd_refusals_total{reason=\"no_route\"}"),
                     1);
    loaded = observed_value(metrics, "bearerd_config_last_reload_timestamp_seconds");
    free(metrics);

    ck_assert(!observed_reload(observed, &(struct observed_options){.rest = "routes: 7\n"}));
    observed_await(observed, "bearerd_config_reload_success", 0);
    metrics = observed_get(observed, "/metrics", 200);
    double still = observed_value(metrics, "bearerd_config_last_reload_timestamp_seconds");
    ck_assert(still > loaded - 1e-4 && still < loaded + 1e-4);
    ck_assert(has(metrics, "route=\"/new\""));
    free(metrics);
    ck_assert(observed_reload(observed, &(struct observed_options){.rest = house.rest}));
    observed_await(observed, "bearerd_config_reload_success", 1);
    observed_await(observed, "bearerd_requests_total{route=\"/up/*\",outcome=\"allowed\"}", 4);
    free(rest);
    house_close(&house);
}

/* Its line, up to the number, in text; NULL where it is not there. */
static const char *find_series(const char *text, struct span series) {
    for (const char *at = text; (at = memmem(at, strlen(at), series.ptr, series.len)); at++)
        if (at == text || at[-1] == '\n') return at;
    return NULL;
}

static bool is_counter(struct span series) {
    static const char *const marks[] = {"_total", "_bucket", "_count", "_sum"};
    struct span name = span_until(series, span_find(series, '{'));
    name = span_until(name, span_find(name, ' '));
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        size_t len = strlen(marks[i]);
        if (name.len > len && memcmp(name.ptr + name.len - len, marks[i], len) == 0) return true;
    }
    return false;
}

/* No counter that is in both is less in the later one. Returns how many were compared. */
static int check_forward(const char *before, const char *after) {
    struct span rest = span_of(before), line;
    int compared = 0;
    while (span_next(&rest, '\n', &line)) {
        const char *space = line.len ? memrchr(line.ptr, ' ', line.len) : NULL;
        if (!space || *line.ptr == '#') continue;
        struct span series = span_until(line, (size_t)(space - line.ptr) + 1);
        if (!is_counter(series)) continue;
        const char *later = find_series(after, series);
        if (!later) continue;
        double was = strtod(space, NULL), is = strtod(later + series.len, NULL);
        ck_assert_msg(is >= was, "%.*s went back from %g to %g", SPAN_PRINTF(series), was, is);
        compared++;
    }
    return compared;
}

TEST_WITHIN(no_counter_goes_back_while_the_configuration_changes_under_load, 90) {
    struct house house = house_open();
    struct observed *observed = &house.observed;
    char *other = rest_of(&house, "routes:\n"
                                  "  - {path: /, respond: identity, anonymous: allow}\n"
                                  "  - {path: /new/*, upstream: up}\n"
                                  "  - {path: /up/*, upstream: up}\n");
    char *before = observed_get(observed, "/metrics", 200);
    int expected = 0;
    for (int i = 0; i < 12; i++) {
        struct observed_options options = {.rest = i % 2 ? house.rest : other};
        ck_assert(observed_reload(observed, &options));
        for (int k = 0; k < 5; k++) {
            observed_request(observed, "/up/x", observed->token, 200);
            observed_request(observed, "/", NULL, 200);
            expected++;
            char *after = observed_get(observed, "/metrics", 200);
            ck_assert_int_gt(check_forward(before, after), 50);
            free(before);
            before = after;
        }
    }
    observed_await(observed, "bearerd_requests_total{route=\"/up/*\",outcome=\"allowed\"}",
                   expected);
    observed_await(observed, "bearerd_requests_total{route=\"/\",outcome=\"own\"}", expected);
    free(before);
    free(other);
    house_close(&house);
}

TEST_WITHIN(scrapes_go_on_while_reloads_are_asked_for_without_end, 60) {
    struct house house = house_open();
    struct observed *observed = &house.observed;
    struct client *client = client_connect(observed->admin);
    static const char *const targets[] = {"/metrics", "/api/status", "/readyz"};
    for (int i = 0; i < 60; i++) {
        struct response response;
        process_signal(observed->daemon->process, SIGHUP);
        ck_assert(client_sendf(client, "GET %s HTTP/1.1\r\n" HOST "\r\n", targets[i % 3]));
        ck_assert_int_eq(client_read(client, OBSERVED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 200);
        if (i % 3 == 0)
            observed_value(response.body,
                           "bearerd_requests_total{route=\"/up/*\",outcome=\"own\"}");
        client_response_done(&response);
        observed_request(observed, "/up/x", observed->token, 200);
    }
    client_free(client);
    observed_await(observed, "bearerd_requests_total{route=\"/up/*\",outcome=\"allowed\"}", 60);
    house_close(&house);
}

/* --- bounds ---------------------------------------------------------------------------------- */

static int count_series(const struct observed *observed) {
    char *metrics = observed_get(observed, "/metrics", 200);
    struct span rest = span_of(metrics), line;
    int count = 0;
    while (span_next(&rest, '\n', &line)) count += line.len && *line.ptr != '#';
    free(metrics);
    return count;
}

/* A sanitizer makes each request ten times dearer. */
#define STRANGE (SCENE_SANITIZED ? 5000 : 100000)
#define BATCH 100

TEST_WITHIN(a_hundred_thousand_strange_requests_make_no_new_series, 120) {
    static const char *const methods[] = {"GET", "POST", "PUT", "BREW", "X-Y"};
    struct observed observed = observed_start(&(struct observed_options){0});
    struct client *client = client_connect(observed.daemon->port);
    int series = count_series(&observed);
    uint64_t random = 88172645463325252U;
    for (int done = 0; done < STRANGE; done += BATCH) {
        struct buf batch = buf_make((size_t)1 << 20);
        for (int i = 0; i < BATCH; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            buf_addf(&batch, "%s /%016lx/%d?%lx HTTP/1.1\r\nHost: h%lx.example\r\n%s\r\n",
                     methods[random % 5], (unsigned long)random, i, (unsigned long)random,
                     (unsigned long)random, random % 5 ? "Content-Length: 0\r\n" : "");
        }
        ck_assert(buf_ok(&batch));
        ck_assert(client_send(client, buf_span(&batch)));
        for (int i = 0; i < BATCH; i++) {
            struct response response;
            ck_assert_int_eq(client_read(client, OBSERVED_WAIT_MS, &response), CLIENT_OK);
            ck_assert_int_eq(response.status, 404);
            client_response_done(&response);
        }
        buf_done(&batch);
    }
    ck_assert_int_eq(count_series(&observed), series);
    observed_await(&observed, "bearerd_requests_total{route=\"none\",outcome=\"refused\"}",
                   STRANGE);
    json_t *status = observed_json(&observed, "/api/status", 200);
    ck_assert_uint_eq(json_array_size(json_object_get(status, "last_refusals")), 50);
    json_decref(status);
    client_free(client);
    observed_end(&observed);
}

TEST(the_routes_behind_the_256th_count_together) {
    struct buf rest = buf_make((size_t)1 << 20);
    buf_add_text(&rest, "routes:\n");
    for (int i = 0; i < 300; i++)
        buf_addf(&rest, "  - {path: /r%d, respond: identity, anonymous: allow}\n", i);
    struct observed observed = observed_start(&(struct observed_options){.rest = rest.data});
    observed_request(&observed, "/r255", NULL, 200);
    observed_request(&observed, "/r256", NULL, 200);
    observed_request(&observed, "/r299", NULL, 200);
    observed_await_counted(&observed, "bearerd_requests_total",
                           "bearerd_requests_total{route=\"/r255\",outcome=\"own\"} 1\n"
                           "bearerd_requests_total{route=\"other\",outcome=\"own\"} 2\n");
    json_t *status = observed_json(&observed, "/api/status", 200);
    json_t *routes = json_object_get(status, "routes");
    ck_assert_uint_eq(json_array_size(routes), 300);
    ck_assert_int_eq(json_integer_value(json_object_get(
                         json_object_get(json_array_get(routes, 255), "requests"), "own")),
                     1);
    ck_assert(json_is_null(json_object_get(json_array_get(routes, 256), "requests")));
    json_decref(status);
    observed_end(&observed);
    buf_done(&rest);
}
