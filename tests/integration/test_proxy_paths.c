/*
 * Targets and methods through the proxy: what reaches the upstream is what was judged, in the form
 * it was judged in, or nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/integration/proxied.h"
#include "tests/integration/target_rows.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define ROUTES                                                                                     \
    "  - {path: /public/*, upstream: up, anonymous: allow}\n"                                      \
    "  - {path: /admin, upstream: up, require: {scopes: [admin]}}\n"                               \
    "  - {path: /admin/*, upstream: up, require: {scopes: [admin]}}\n"

static struct proxied start_with(const char *routes) {
    return proxied_start(&(struct proxied_options){.routes = routes});
}

/* --- P1 to P7: targets ----------------------------------------------------------------------- */

/* One target, asked for by one caller: it arrives in its normal form, or is refused so. */
static void check_target(struct proxied *proxied, const struct target_row *row, const char *headers,
                         int status) {
    char *request = scene_get(row->target, headers);
    if (status == 200) {
        const struct upstream_request *seen = proxied_pass(proxied, span_of(request));
        ck_assert_msg(span_equal_text(seen->target, row->normal), "%s: %s", row->target,
                      seen->raw.ptr);
    } else {
        proxied_refuse(proxied, span_of(request), status);
    }
    free(request);
}

/* Of that group, by a stranger, by one without the scope, and by one who has it. */
static void check_group(int group) {
    struct proxied proxied = start_with(ROUTES);
    char *admin = scene_token("{\"scope\":\"openid admin\"}");
    char *by_admin = scratch_text("Authorization: Bearer %s\r\n", admin);
    char *by_user = scratch_text("Authorization: Bearer %s\r\n", proxied.scene.token);
    int rows = 0;
    for (const struct target_row *row = target_rows; row->target; row++) {
        if (row->group != group) continue;
        check_target(&proxied, row, "", row->status == 403 ? 401 : row->status);
        check_target(&proxied, row, by_user, row->status);
        check_target(&proxied, row, by_admin, row->status == 403 ? 200 : row->status);
        rows++;
    }
    ck_assert_int_gt(rows, 2);
    free(by_user);
    free(by_admin);
    free(admin);
    proxied_end(&proxied);
}

TEST(targets_as_they_should_be_arrive_as_they_were_judged) {
    check_group(0);
}

TEST(p1_dot_segments_are_gone_before_anybody_looks) {
    check_group(1);
}

TEST(p2_escaped_slashes_never_arrive) {
    check_group(2);
}

TEST(p3_every_spelling_of_a_path_arrives_as_one) {
    check_group(3);
}

TEST(p4_a_path_that_only_looks_alike_is_another_one) {
    check_group(4);
}

TEST(p5_what_no_url_may_hold_never_arrives) {
    check_group(5);
}

TEST(p6_escapes_are_undone_once_at_most) {
    check_group(6);
}

TEST(p7_targets_of_another_form_never_arrive) {
    check_group(7);
}

TEST(p7_neither_a_tunnel_nor_an_echo_is_asked_of_an_upstream) {
    static const char *const lines[] = {
        "CONNECT api.example:443", "CONNECT /public/x", "CONNECT /public/",
        "TRACE /public/x",         "OPTIONS *",
    };
    struct proxied proxied = start_with(ROUTES);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct response response;
        struct client *client = client_connect(proxied.scene.daemon->port);
        ck_assert(client_sendf(client, "%s HTTP/1.1\r\nHost: api.example\r\n\r\n", lines[i]));
        ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
        ck_assert_msg(response.status == 400 || response.status == 405, "%s: %d", lines[i],
                      response.status);
        client_response_done(&response);
        client_free(client);
    }
    proxied_end(&proxied);
}

/* --- queries --------------------------------------------------------------------------------- */

TEST(a_query_arrives_byte_for_byte) {
    static const char *const queries[] = {
        "?",
        "?a=b",
        "??",
        "?a?b?",
        "?a=%2e%2E/%2f%5c",
        "?../../admin",
        "?/../%2e%2e//./",
        "?a=%00&b=%zz&%&%1",
        "?a[]=<b>&c={d|e}^`\"'\\",
        "?a+b%20c;d,e:f@g!$*()~_-.",
        "?access_token=x",
        "?&&==&a",
    };
    struct proxied proxied = start_with(ROUTES);
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        char *target = scratch_text("/public/%%2e/x%s", queries[i]);
        char *normal = scratch_text("/public/x%s", queries[i]);
        char *request = scene_get(target, "");
        const struct upstream_request *seen = proxied_pass(&proxied, span_of(request));
        ck_assert_msg(span_equal_text(seen->target, normal), "%s: %s", target, seen->raw.ptr);
        free(request);
        free(normal);
        free(target);
    }
    proxied_end(&proxied);
}

TEST(a_query_is_as_long_as_the_client_likes_within_the_limit_of_the_head) {
    struct proxied proxied = start_with(ROUTES);
    char query[20001];
    memset(query, '%', sizeof query - 1);
    query[sizeof query - 1] = '\0';
    char *target = scratch_text("/public/?%s", query), *request = scene_get(target, "");
    ck_assert(span_equal_text(proxied_pass(&proxied, span_of(request))->target, target));
    free(request);
    free(target);
    proxied_end(&proxied);
}

/* --- prefixes -------------------------------------------------------------------------------- */

TEST(prefixes_are_taken_off_and_put_before_the_path_that_was_judged) {
    static const struct {
        const char *target, *seen;
    } rows[] = {
        {"/strip/x", "/x"},
        {"/strip/", "/"},
        {"/strip/strip/x", "/strip/x"},
        {"/strip//x", "/x"},
        {"/strip///evil.example/x", "/evil.example/x"},
        {"/strip/./x/../y", "/y"},
        {"/%73trip/x", "/x"},
        {"/strip/x?/strip/../y", "/x?/strip/../y"},
        {"/strip/?", "/?"},
        {"/strip/stripx", "/stripx"},
        {"/add/x", "/v1/add/x"},
        {"/add/?x", "/v1/add/?x"},
        {"/both/x%20y", "/v2/w/x%20y"},
        {"/both/", "/v2/w/"},
        {"/deep/er/x", "/er/x"},
        {"/deep/er", "/er"},
    };
    static const char *const refused[] = {"/strip/..%2fx", "/strip/..;/x", "/add/../../x",
                                          "/both/%5cx"};
    struct proxied proxied =
        start_with("  - {path: /strip/*, upstream: up, anonymous: allow, strip_prefix: /strip}\n"
                   "  - {path: /add/*, upstream: up, anonymous: allow, add_prefix: /v1}\n"
                   "  - {path: /both/*, upstream: up, anonymous: allow, strip_prefix: /both, "
                   "add_prefix: /v2/w}\n"
                   "  - {path: /deep/er, upstream: up, anonymous: allow, strip_prefix: /deep}\n"
                   "  - {path: /deep/er/*, upstream: up, anonymous: allow, strip_prefix: /deep}\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *target = rows[i].target;
        ck_assert_msg(span_equal_text(proxied_get(&proxied, target, "")->target, rows[i].seen),
                      "%s: not %s", target, rows[i].seen);
    }
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        char *request = scene_get(refused[i], "");
        proxied_refuse(&proxied, span_of(request), 400);
        free(request);
    }
    char *climbing = scene_get("/strip/../admin", "");
    proxied_refuse(&proxied, span_of(climbing), 404);
    free(climbing);
    proxied_end(&proxied);
}

/* --- P8: methods ----------------------------------------------------------------------------- */

#define OVERRIDES                                                                                  \
    "X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nX-Method-Override: DELETE\r\n"     \
    "X_HTTP_Method_Override: DELETE\r\nX-Original-Method: DELETE\r\n"                              \
    "X-Forwarded-Method: DELETE\r\n"

static char *ask_by(const char *method, const char *path, const char *headers) {
    return scratch_text("%s %s HTTP/1.1\r\nHost: api.example\r\n%s\r\n", method, path, headers);
}

TEST(p8_the_method_that_was_judged_arrives_and_no_other_is_hinted_at) {
    static const char *const methods[] = {"GET",    "HEAD",    "POST",  "PUT",      "PATCH",
                                          "DELETE", "OPTIONS", "PURGE", "PROPFIND", "M-SEARCH",
                                          "get",    "GETX",    "QUERY", "!#$%&'*+"};
    struct proxied proxied = start_with(ROUTES);
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        char *request = ask_by(methods[i], "/public/x?_method=DELETE", OVERRIDES);
        const struct upstream_request *seen = proxied_pass(&proxied, span_of(request));
        ck_assert_msg(span_equal_text(seen->method, methods[i]), "%s: %s", methods[i],
                      seen->raw.ptr);
        struct span rest = span_from(seen->raw, seen->method.len + seen->target.len + 2);
        ck_assert_msg(!memmem(rest.ptr, rest.len, "DELETE", 6), "%s", seen->raw.ptr);
        free(request);
    }
    proxied_end(&proxied);
}

TEST(p8_a_method_that_the_route_does_not_take_never_arrives) {
    static const struct {
        const char *method, *path;
        int status;
    } rows[] = {
        {"GET", "/read/x", 200},    {"HEAD", "/read/x", 200},    {"POST", "/read/x", 405},
        {"DELETE", "/read/x", 405}, {"get", "/read/x", 405},     {"GETX", "/read/x", 405},
        {"Get", "/read/x", 405},    {"G", "/read/x", 405},       {"PURGE", "/read/x", 405},
        {"PURGE", "/purge", 200},   {"purge", "/purge", 405},    {"GET", "/purge", 405},
        {"HEAD", "/purge", 405},    {"POST", "/write/x", 200},   {"PUT", "/write/x", 401},
        {"GET", "/write/x", 405},   {"DELETE", "/write/x", 405}, {"G@T", "/read/x", 400},
    };
    struct proxied proxied =
        start_with("  - {path: /read/*, methods: [GET], upstream: up, anonymous: allow}\n"
                   "  - {path: /purge, methods: [PURGE], upstream: up, anonymous: allow}\n"
                   "  - {path: /write/*, methods: [POST], upstream: up, anonymous: allow}\n"
                   "  - {path: /write/*, methods: [PUT], upstream: up}\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *request = ask_by(rows[i].method, rows[i].path,
                               "X-HTTP-Method-Override: GET\r\nX-Method-Override: POST\r\n");
        if (rows[i].status == 200)
            ck_assert(
                span_equal_text(proxied_pass(&proxied, span_of(request))->method, rows[i].method));
        else
            proxied_refuse(&proxied, span_of(request), rows[i].status);
        free(request);
    }
    proxied_end(&proxied);
}
