/* /api/status tells how the daemon is, whatever strangers sent to it. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/attr.h"
#include "tests/integration/observed.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/support/upstream.h"

#define HOST "Host: localhost\r\n"

static const struct observed_options plain = {0};

static json_t *status_of(const struct observed *observed) {
    return observed_json(observed, "/api/status", 200);
}

/* "issuers.0.keys" and so on. The test fails where there is no such thing. */
static json_t *at(json_t *json, const char *path) {
    struct span rest = span_of(path), step;
    while (span_next(&rest, '.', &step)) {
        char *name = strndup(step.ptr, step.len);
        json = json_is_array(json) ? json_array_get(json, (size_t)atoi(name))
                                   : json_object_get(json, name);
        ck_assert_msg(json != NULL, "no %s in %s", name, path);
        free(name);
    }
    return json;
}

static long number(json_t *json, const char *path) {
    ck_assert_msg(json_is_integer(at(json, path)), "%s is no number", path);
    return (long)json_integer_value(at(json, path));
}

static const char *text(json_t *json, const char *path) {
    ck_assert_msg(json_is_string(at(json, path)), "%s is no text", path);
    return json_string_value(at(json, path));
}

/* Seconds since 1970 of "2026-11-22T08:00:00Z". */
static long moment(json_t *json, const char *path) {
    struct tm tm = {0};
    const char *end = strptime(text(json, path), "%Y-%m-%dT%H:%M:%SZ", &tm);
    ck_assert_msg(end && !*end, "%s: %s", path, text(json, path));
    return (long)timegm(&tm);
}

static void check_near(json_t *json, const char *path, long expected, long within) {
    size_t len = strlen(path);
    bool is_length = len > 2 && strcmp(path + len - 2, "_s") == 0;
    long is = is_length ? number(json, path) : moment(json, path);
    ck_assert_msg(labs(is - expected) <= within, "%s is %ld, not %ld", path, is, expected);
}

/* --- each field ------------------------------------------------------------------------------ */

#define SOON (20 * OBSERVED_SLOW)

TEST(it_tells_of_the_daemon_itself) {
    long now = (long)time(NULL);
    struct observed observed = observed_start(&(struct observed_options){.workers = 3});
    json_t *status = status_of(&observed);
    char *source = scratch_text("%s/bearerd.yaml", observed.daemon->folder);
    ck_assert_str_eq(text(status, "version"), BEARERD_VERSION);
    check_near(status, "now", now, SOON);
    check_near(status, "started", now, SOON);
    check_near(status, "uptime_s", 0, SOON);
    ck_assert(json_is_true(at(status, "ready")));
    ck_assert_int_eq(number(status, "workers"), 3);
    ck_assert_str_eq(text(status, "config.source"), source);
    check_near(status, "config.loaded", now, SOON);
    ck_assert(json_is_true(at(status, "config.reload_ok")));
    ck_assert_int_ge(number(status, "connections.open"), 1);
    long rss = process_rss_kib(observed.daemon->process) * 1024;
    ck_assert_int_gt(number(status, "memory_bytes"), rss / 2);
    ck_assert_int_lt(number(status, "memory_bytes"), rss * 2);
    ck_assert(json_is_null(at(status, "deny_list")));
    ck_assert_uint_eq(json_array_size(at(status, "upstreams")), 0);
    json_decref(status);

    ck_assert(!observed_reload(&observed, &(struct observed_options){.rest = "routes: 7\n"}));
    status = status_of(&observed);
    ck_assert(json_is_false(at(status, "config.reload_ok")));
    json_decref(status);
    free(source);
    observed_end(&observed);
}

TEST(it_tells_of_requests_and_decisions) {
    struct observed observed = observed_start(&plain);
    for (int i = 0; i < 4; i++) observed_request(&observed, "/profile/", observed.token, 200);
    for (int i = 0; i < 3; i++) observed_request(&observed, "/profile/", NULL, 401);
    for (int i = 0; i < 5; i++) observed_request(&observed, "/nowhere", NULL, 404);
    json_t *status = status_of(&observed);
    ck_assert_int_eq(number(status, "requests.allowed"), 0);
    ck_assert_int_eq(number(status, "requests.own"), 4);
    ck_assert_int_eq(number(status, "requests.refused"), 8);
    ck_assert_int_eq(number(status, "requests.failed"), 0);
    ck_assert_int_eq(number(status, "requests.would_refuse"), 0);
    /* What has no route is not judged. */
    ck_assert_int_eq(number(status, "decision_us.count"), 7);
    ck_assert_int_ge(number(status, "decision_us.p50"), 10);
    ck_assert_int_ge(number(status, "decision_us.p90"), number(status, "decision_us.p50"));
    ck_assert_int_ge(number(status, "decision_us.p99"), number(status, "decision_us.p90"));
    ck_assert_int_ge(number(status, "connections.total"), 12);

    ck_assert_uint_eq(json_array_size(at(status, "refusals")), 2);
    ck_assert_str_eq(text(status, "refusals.0.reason"), "no_route");
    ck_assert_int_eq(number(status, "refusals.0.count"), 5);
    ck_assert_str_eq(text(status, "refusals.1.reason"), "no_credentials");
    ck_assert_int_eq(number(status, "refusals.1.count"), 3);
    ck_assert_uint_gt(strlen(text(status, "refusals.0.advice")), 10);
    json_decref(status);
    observed_end(&observed);
}

TEST(it_tells_of_issuers_and_their_keys) {
    long now = (long)time(NULL);
    struct observed observed = observed_start(
        &(struct observed_options){.issuer = ", refresh_interval: 30m, max_stale: 5h"});
    json_t *odd = json_pack("{s:s,s:s}", "kty", "nothing", "kid", "odd\x07\"");
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", "ES256"),
                           mint_jwk(mint_key(MINT_RSA), "k2", NULL),
                           mint_jwk(mint_key(MINT_ED25519), NULL, NULL), odd);
    issuer_serve_keys(observed.issuer, jwks);
    free(jwks);
    ck_assert_int_eq(observed_ask(observed.admin, "POST", "/api/refresh", HOST, NULL), 202);
    char *keys = scratch_text("bearerd_issuer_keys{issuer=\"%s\"}", issuer_url(observed.issuer));
    observed_await(&observed, keys, 3);

    json_t *status = status_of(&observed), *issuer = at(status, "issuers.0");
    ck_assert_uint_eq(json_array_size(at(status, "issuers")), 1);
    ck_assert_str_eq(text(issuer, "issuer"), issuer_url(observed.issuer));
    ck_assert(json_is_true(at(issuer, "usable")));
    ck_assert_str_eq(text(issuer, "why"), "");
    ck_assert_uint_eq(json_array_size(at(issuer, "keys")), 3);
    ck_assert_str_eq(text(issuer, "keys.0.kid"), "k1");
    ck_assert_str_eq(text(issuer, "keys.0.type"), "EC");
    ck_assert_str_eq(text(issuer, "keys.1.kid"), "k2");
    ck_assert_str_eq(text(issuer, "keys.1.type"), "RSA");
    ck_assert_str_eq(text(issuer, "keys.2.kid"), "");
    ck_assert_str_eq(text(issuer, "keys.2.type"), "OKP");
    ck_assert_uint_eq(json_array_size(at(issuer, "skipped")), 1);
    ck_assert_str_eq(text(issuer, "skipped.0.kid"), "odd\x07\"");
    ck_assert_uint_gt(strlen(text(issuer, "skipped.0.why")), 3);
    check_near(issuer, "age_s", 0, SOON);
    check_near(issuer, "last_success", now, SOON);
    check_near(issuer, "next_refresh_s", 30 * 60, 30 * 6 + SOON);
    check_near(issuer, "stale_in_s", 5 * 3600, SOON);
    ck_assert_int_eq(number(issuer, "failures"), 0);
    ck_assert_int_eq(number(issuer, "refreshes.ok"), 2);
    ck_assert_int_eq(number(issuer, "refreshes.failed"), 0);
    ck_assert_int_eq(number(issuer, "refreshes.unknown_kid"), 0);
    ck_assert_str_eq(text(issuer, "last_error"), "");
    json_decref(status);

    issuer_answer(observed.issuer, ISSUER_JWKS, 500, "{}");
    ck_assert_int_eq(observed_ask(observed.admin, "POST", "/api/refresh", HOST, NULL), 202);
    char *failed = scratch_text("bearerd_issuer_refreshes_total{issuer=\"%s\",outcome=\"failed\"}",
                                issuer_url(observed.issuer));
    observed_await(&observed, failed, 1);
    status = status_of(&observed);
    issuer = at(status, "issuers.0");
    ck_assert(json_is_true(at(issuer, "usable")));
    ck_assert_int_eq(number(issuer, "failures"), 1);
    ck_assert_int_eq(number(issuer, "refreshes.failed"), 1);
    ck_assert_ptr_nonnull(strstr(text(issuer, "last_error"), "500"));
    ck_assert_str_eq(text(issuer, "why"), "");
    json_decref(status);
    free(failed);
    free(keys);
    observed_end(&observed);
}

TEST(an_issuer_without_keys_has_no_age) {
    struct observed observed = observed_start(&(struct observed_options){.no_keys = true});
    char *failed = scratch_text("bearerd_issuer_refreshes_total{issuer=\"%s\",outcome=\"failed\"}",
                                issuer_url(observed.issuer));
    observed_await(&observed, failed, 1);
    json_t *status = status_of(&observed), *issuer = at(status, "issuers.0");
    ck_assert(json_is_false(at(status, "ready")));
    ck_assert(json_is_false(at(issuer, "usable")));
    ck_assert_uint_gt(strlen(text(issuer, "why")), 10);
    ck_assert_uint_eq(json_array_size(at(issuer, "keys")), 0);
    ck_assert_uint_eq(json_array_size(at(issuer, "skipped")), 0);
    ck_assert(json_is_null(at(issuer, "age_s")));
    ck_assert(json_is_null(at(issuer, "last_success")));
    ck_assert(json_is_null(at(issuer, "stale_in_s")));
    ck_assert(json_is_integer(at(issuer, "next_refresh_s")));
    json_decref(status);
    free(failed);
    observed_end(&observed);
}

TEST(it_tells_of_routes_and_upstreams_and_the_deny_list) {
    struct upstream *up = upstream_start(UPSTREAM_PLAIN);
    char *folder = scratch_new();
    free(scratch_file(folder, "deny", SPAN_LITERAL("{\"jti\":\"a\"}\n{\"jti\":\"b\"}\n")));
    char *rest = scratch_text(
        "deny_list: \"%s/deny\"\n"
        "upstreams: [{name: up, targets: [\"%s\"]}]\n"
        "routes:\n"
        "  - {path: /, respond: identity, anonymous: allow}\n"
        "  - {path: /orders/*, hosts: [api.example.com, \"*.example.net\"], methods: [GET, PUT],\n"
        "     upstream: up, mode: report, require: {scopes: [x]}}\n"
        "  - {path: /up/*, upstream: up}\n",
        folder, upstream_target(up));
    struct observed observed = observed_start(&(struct observed_options){.rest = rest});
    for (int i = 0; i < 3; i++) observed_request(&observed, "/up/1", observed.token, 200);
    observed_await(&observed, "bearerd_requests_total{route=\"/up/*\",outcome=\"allowed\"}", 3);

    json_t *status = status_of(&observed);
    ck_assert_int_eq(number(status, "deny_list.entries"), 2);
    ck_assert_uint_eq(json_array_size(at(status, "routes")), 3);
    ck_assert_str_eq(text(status, "routes.0.path"), "/");
    ck_assert_str_eq(text(status, "routes.0.to"), "identity");
    ck_assert_str_eq(text(status, "routes.0.mode"), "enforce");
    ck_assert(json_is_true(at(status, "routes.0.anonymous")));
    ck_assert_uint_eq(json_array_size(at(status, "routes.0.hosts")), 0);
    ck_assert_str_eq(text(status, "routes.1.path"), "/orders/*");
    ck_assert_str_eq(text(status, "routes.1.to"), "upstream up");
    ck_assert_str_eq(text(status, "routes.1.mode"), "report");
    ck_assert(json_is_false(at(status, "routes.1.anonymous")));
    ck_assert_uint_eq(json_array_size(at(status, "routes.1.hosts")), 2);
    ck_assert_str_eq(text(status, "routes.1.hosts.0"), "api.example.com");
    ck_assert_uint_eq(json_array_size(at(status, "routes.1.methods")), 2);
    ck_assert_str_eq(text(status, "routes.1.methods.1"), "PUT");
    ck_assert_int_eq(number(status, "routes.1.requests.allowed"), 0);
    ck_assert_int_eq(number(status, "routes.2.requests.allowed"), 3);
    ck_assert_int_eq(number(status, "routes.2.requests.refused"), 0);

    ck_assert_str_eq(text(status, "upstreams.0.name"), "up");
    ck_assert_int_eq(number(status, "upstreams.0.requests.answered"), 3);
    ck_assert_int_eq(number(status, "upstreams.0.requests.error"), 0);
    double half = json_number_value(at(status, "upstreams.0.p50_ms"));
    ck_assert_double_ge(half, 1);
    ck_assert_double_ge(json_number_value(at(status, "upstreams.0.p99_ms")), half);
    ck_assert_str_eq(text(status, "upstreams.0.targets.0.target"), upstream_target(up));
    ck_assert(json_is_true(at(status, "upstreams.0.targets.0.up")));
    json_decref(status);
    observed_end(&observed);
    upstream_stop(up);
    free(rest);
    free(folder);
}

/* --- the last refusals ----------------------------------------------------------------------- */

TEST(a_refusal_is_told_with_what_was_asked_and_why) {
    long now = (long)time(NULL);
    struct observed observed = observed_start(&(struct observed_options){
        .rest = "routes: [{path: /orders/*, respond: verdict, require: {scopes: [x]}}]\n"});
    char *headers =
        scratch_text(HOST "Authorization: Bearer %s\r\nX-Request-Id: abc-123\r\n", observed.token);
    ck_assert_int_eq(
        observed_ask(observed.daemon->port, "PUT", "/orders/7?access_token=secret", headers, NULL),
        403);
    json_t *status = status_of(&observed), *refusal = at(status, "last_refusals.0");
    ck_assert_uint_eq(json_array_size(at(status, "last_refusals")), 1);
    check_near(refusal, "time", now, SOON);
    ck_assert_str_eq(text(refusal, "client"), "127.0.0.1");
    ck_assert_str_eq(text(refusal, "method"), "PUT");
    ck_assert_str_eq(text(refusal, "path"), "/orders/7");
    ck_assert_int_eq(number(refusal, "status"), 403);
    ck_assert_str_eq(text(refusal, "reason"), "scope_missing");
    ck_assert_str_eq(text(refusal, "why"), "the token lacks the scope 'x'");
    ck_assert_str_eq(text(refusal, "user"), "alice@example.com");
    ck_assert_str_eq(text(refusal, "request_id"), "abc-123");
    json_decref(status);
    free(headers);
    observed_end(&observed);
}

TEST(the_last_fifty_are_kept_the_newest_first) {
    struct observed observed = observed_start(&plain);
    for (int i = 1; i <= 130; i++) {
        char *path = scratch_text("/none/%d", i);
        observed_request(&observed, path, NULL, 404);
        free(path);
        if (i % 26) continue;
        json_t *status = status_of(&observed), *last = at(status, "last_refusals");
        ck_assert_uint_eq(json_array_size(last), i < 50 ? (size_t)i : 50);
        for (size_t k = 0; k < json_array_size(last); k++) {
            char *expected = scratch_text("/none/%d", i - (int)k);
            ck_assert_str_eq(text(json_array_get(last, k), "path"), expected);
            free(expected);
        }
        json_decref(status);
    }
    observed_end(&observed);
}

/* Bytes for the public listener, whatever is answered to them. */
static void send_raw(const struct observed *observed, struct span bytes) {
    struct response response;
    struct client *client = client_connect(observed->daemon->port);
    (void)client_send(client, bytes);
    if (client_read(client, OBSERVED_WAIT_MS, &response) == CLIENT_OK)
        client_response_done(&response);
    client_free(client);
}

/* No control character that terminals act on, and nothing that must not be told. */
static void check_harmless(const char *body, const char *token) {
    static const char *const secrets[] = {"secret", "access_token"};
    char *signature = scratch_text("%.16s", strrchr(token, '.') + 1);
    for (const char *at_byte = body; *at_byte; at_byte++)
        ck_assert_msg((unsigned char)*at_byte >= 0x20 && *at_byte != 0x7f, "%.100s", at_byte);
    ck_assert(!strstr(body, "\xe2\x80\xae"));
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
        ck_assert_msg(!strstr(body, secrets[i]), "%s in %.3000s", secrets[i],
                      strstr(body, secrets[i]) - 400);
    ck_assert_ptr_null(strstr(body, signature));
    free(signature);
}

TEST(whatever_strangers_send_it_stays_json_and_holds_no_token_and_no_query) {
    static const struct span heads[] = {
        SPAN_LITERAL("GET /\x80\xff\xc3?access_token=secret HTTP/1.1\r\nHost: h\r\n\r\n"),
        SPAN_LITERAL("GET /%00%07%1b[31m?secret HTTP/1.1\r\nHost: h\r\n\r\n"),
        SPAN_LITERAL("GET /none/%e2%80%ae%22%5c?secret HTTP/1.1\r\nHost: h\r\n\r\n"),
        SPAN_LITERAL("GET /none/%ff%fe%c3?secret HTTP/1.1\r\nHost: h\r\n\r\n"),
        SPAN_LITERAL("GET /none/\x07\x1b[2J HTTP/1.1\r\nHost: h\r\n\r\n"),
        SPAN_LITERAL("GET http://h/none?secret HTTP/1.1\r\nHost: h\r\n\r\n"),
        SPAN_LITERAL("GET ?access_token=secret HTTP/1.1\r\nHost: h\r\n\r\n"),
        SPAN_LITERAL("\"\\<M>\x01 /none?secret HTTP/1.1\r\nHost: h\r\n\r\n"),
        SPAN_LITERAL("AVERYLONGMETHODTHATGOESONANDON /none HTTP/1.1\r\nHost: h\r\n\r\n"),
        SPAN_LITERAL("GET /none HTTP/1.1\r\nHost: h\r\nX-Request-Id: \"\\\x80\x07\r\n\r\n"),
        SPAN_LITERAL("GET /none HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer secret\r\n\r\n"),
        SPAN_LITERAL("GET /profile/ HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer secret\r\n\r\n"),
        SPAN_LITERAL("GET /profile/ HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\n\r\n"),
        SPAN_LITERAL("POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nsecret"),
    };
    static const char *const users[] = {
        "\\u0007\\u001b[31m\\u202e", "\\\"},{\\\"reason\\\":\\\"none\\\"",   "</script><b>",
        "\\u0085\\u2028\\u2066",     "\\ud83d\\ude00\\ud83d\\ude00 \\u20ac",
    };
    struct observed observed = observed_start(&(struct observed_options){
        .rest = "routes: [{path: /profile/, respond: profile, require: {scopes: [x]}}]\n"});
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) send_raw(&observed, heads[i]);
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        /* So long that it is cut, at each place within its last character. */
        char *changes = scratch_text("{\"email\":null,\"sub\":\"%s%.*s\\u20ac\\u20ac\"}", users[i],
                                     (int)(50 + i),
                                     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                                     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        char *token = observed_token(&observed, changes);
        observed_request(&observed, "/profile/?access_token=secret", token, 403);
        free(token);
        free(changes);
    }
    char *body = observed_get(&observed, "/api/status", 200);
    check_harmless(body, observed.token);
    json_t *status = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(status != NULL, "%.3000s", body);
    json_t *last = at(status, "last_refusals");
    ck_assert_uint_gt(json_array_size(last), ARRAY_LEN(users) + 8);
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        json_t *refusal = json_array_get(last, ARRAY_LEN(users) - 1 - i);
        ck_assert_str_eq(text(refusal, "reason"), "scope_missing");
        ck_assert_str_eq(text(refusal, "path"), "/profile/");
        char *member = scratch_text("{\"sub\":\"%s\"}", users[i]);
        json_t *expected = json_loads(member, 0, NULL);
        const char *name = text(expected, "sub"), *user = text(refusal, "user");
        ck_assert_msg(strncmp(user, name, strlen(name)) == 0, "%s is not %s", user, name);
        ck_assert_uint_lt(strlen(user), 64);
        json_decref(expected);
        free(member);
    }
    json_decref(status);
    free(body);
    observed_end(&observed);
}

TEST(a_path_of_30_kib_is_cut) {
    struct observed observed = observed_start(&plain);
    char *path = malloc(30001);
    memset(path, 'p', 30000);
    path[0] = '/', path[30000] = '\0';
    for (int i = 0; i < 60; i++) observed_request(&observed, path, NULL, 404);
    char *body = observed_get(&observed, "/api/status", 200);
    ck_assert_uint_lt(strlen(body), 64 * 1024);
    json_t *status = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
    const char *told = text(status, "last_refusals.0.path");
    ck_assert_uint_gt(strlen(told), 100);
    ck_assert_uint_lt(strlen(told), 200);
    ck_assert(strncmp(told, path, strlen(told)) == 0);
    json_decref(status);
    free(body);
    free(path);
    observed_end(&observed);
}

/* --- history --------------------------------------------------------------------------------- */

static long sum_of(json_t *minutes, size_t from) {
    long sum = 0;
    ck_assert_uint_eq(json_array_size(minutes), 60);
    for (size_t i = from; i < 60; i++) sum += (long)json_integer_value(json_array_get(minutes, i));
    return sum;
}

TEST(the_history_has_the_last_hour_by_minute) {
    struct observed observed = observed_start(&plain);
    for (int i = 0; i < 4; i++) observed_request(&observed, "/profile/", observed.token, 200);
    for (int i = 0; i < 3; i++) observed_request(&observed, "/profile/", NULL, 401);
    json_t *status = status_of(&observed), *history = at(status, "history");
    long now = moment(status, "now");
    ck_assert_int_eq(number(history, "step_s"), 60);
    ck_assert_int_eq(moment(history, "from") % 60, 0);
    /* The clock may have turned to the next minute between the two. */
    ck_assert_int_le(labs(moment(history, "from") - (now - now % 60 - 59 * 60)), 60);
    ck_assert_int_eq(sum_of(at(history, "allowed"), 58 - SOON / 60), 4);
    ck_assert_int_eq(sum_of(at(history, "allowed"), 0), 4);
    ck_assert_uint_eq(json_object_size(at(history, "refused")), 1);
    ck_assert_int_eq(sum_of(at(history, "refused.no_credentials"), 0), 3);
    json_decref(status);
    observed_end(&observed);
}

/* The library to preload; the caller frees the path. */
static char *find_faketime(void) {
    glob_t found;
    if (SCENE_SANITIZED)
        test_skip("a sanitizer must be the first library, and so must libfaketime");
    if (glob("/usr/lib/*/faketime/libfaketimeMT.so.1", 0, NULL, &found) != 0)
        test_skip("no libfaketime");
    char *path = scratch_text("%s", found.gl_pathv[0]);
    globfree(&found);
    return path;
}

/* Let the daemon's wall clock be so far from the real one, as "+1h". */
static void jump(const char *folder, const char *offset) {
    char *next = scratch_file(folder, "clock.next", span_of(offset));
    char *path = scratch_text("%s/clock", folder);
    ck_assert_int_eq(rename(next, path), 0);
    free(path);
    free(next);
}

TEST_WITHIN(a_clock_that_jumps_moves_the_history_and_neither_uptime_nor_order, 40) {
    char *library = find_faketime(), *folder = scratch_new();
    char *preload = scratch_text("LD_PRELOAD=%s", library);
    char *clock = scratch_text("FAKETIME_TIMESTAMP_FILE=%s/clock", folder);
    const char *const environment[] = {preload, clock, "FAKETIME_NO_CACHE=1",
                                       "FAKETIME_DONT_FAKE_MONOTONIC=1", NULL};
    jump(folder, "+0");
    struct observed observed =
        observed_start(&(struct observed_options){.environment = environment});
    static const struct {
        const char *offset;
        long seen; /* refusals in the history then */
        long hours;
    } rows[] = {/* whole hours apart two minutes have one place */
                {"+0", 1, 0},
                {"+30m", 2, 0},
                {"+2h", 1, 2},
                {"-3h", 1, -3},
                {"+0", 1, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        jump(folder, rows[i].offset);
        char *path = scratch_text("/none/%zu", i);
        observed_request(&observed, path, NULL, 404);
        free(path);
        json_t *status = status_of(&observed);
        long seen = sum_of(at(status, "history.refused.no_route"), 0);
        ck_assert_msg(seen == rows[i].seen || (i == 4 && seen == 2), "row %zu: %ld", i, seen);
        check_near(status, "uptime_s", 0, SOON);
        long now = moment(status, "now");
        check_near(status, "last_refusals.0.time", now, 2);
        for (size_t k = 0; k <= i; k++) {
            char *expected = scratch_text("/none/%zu", i - k);
            ck_assert_str_eq(text(json_array_get(at(status, "last_refusals"), k), "path"),
                             expected);
            free(expected);
        }
        long real = (long)time(NULL) + (i == 1 ? 1800 : rows[i].hours * 3600);
        ck_assert_int_le(labs(now - real), SOON);
        json_decref(status);
    }
    observed_end(&observed);
    free(clock), free(preload), free(folder), free(library);
}
