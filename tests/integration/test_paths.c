/*
 * Targets, routes and methods over HTTP: whatever a target looks like, it is judged in one form and
 * never let in by another reading.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/integration/target_rows.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define ROUTES                                                                                     \
    "routes:\n"                                                                                    \
    "  - {path: /public/*, respond: identity, anonymous: allow}\n"                                 \
    "  - {path: /admin, respond: identity, require: {scopes: [admin]}}\n"                          \
    "  - {path: /admin/*, respond: identity, require: {scopes: [admin]}}\n"                        \
    "  - {path: /head, methods: [HEAD], respond: identity, anonymous: allow}\n"                    \
    "  - {path: /get, methods: [GET], respond: identity, anonymous: allow}\n"

static struct scene start(void) {
    return scene_start(&(struct scene_options){.rest = ROUTES});
}

TEST(p1_to_p7_a_target_is_judged_in_its_normal_form_or_refused) {
    struct scene scene = start();
    char *headers = scratch_text("Authorization: Bearer %s\r\n", scene.token);
    for (const struct target_row *row = target_rows; row->target; row++) {
        struct response response;
        struct client *client = client_connect(scene.daemon->port);
        char *request = scene_get(row->target, headers);
        ck_assert(client_send(client, span_of(request)));
        ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
        ck_assert_msg(response.status == row->status, "%s: %d, not %d", row->target,
                      response.status, row->status);
        /* A refused target ends the connection: who writes such things may be smuggling. */
        if (response.status == 400) ck_assert(client_closed(client, 5000));
        client_response_done(&response);
        client_free(client);
        free(request);
    }
    free(headers);
    scene_end(&scene);
}

/* --- methods --------------------------------------------------------------------------------- */

static void check(struct client *client, const char *start_of_request,
                  const struct expected *expected) {
    char *request = scratch_text("%s HTTP/1.1\r\nHost: h\r\n%s\r\n", start_of_request,
                                 "X-HTTP-Method-Override: GET\r\nX-Method-Override: GET\r\n");
    scene_check(client, span_of(request), expected);
    free(request);
}

#define WRONG_METHOD                                                                               \
    "{\"error\":\"method_not_allowed\","                                                           \
    "\"error_description\":\"this path does not take that method\"}"

TEST(p8_another_method_is_405_with_allow_and_the_connection_lives) {
    static const char *const methods[] = {"POST",    "PUT",  "PATCH", "DELETE",   "OPTIONS",
                                          "TRACE",   "GETX", "get",   "Get",      "PROPFIND",
                                          "CONNECT", "G",    "HEADX", "!#$%&'*+", "QUERY"};
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct response response;
        ck_assert(client_sendf(client,
                               "%s /public/ HTTP/1.1\r\nHost: h\r\n"
                               "X-HTTP-Method-Override: GET\r\n\r\n",
                               methods[i]));
        ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
        ck_assert_msg(response.status == 405, "%s: %d", methods[i], response.status);
        ck_assert(span_equal_text(response_header(&response, "Allow"), "GET, HEAD"));
        ck_assert_int_eq(response_header_count(&response, "WWW-Authenticate"), 0);
        ck_assert_str_eq(response.body, WRONG_METHOD);
        client_response_done(&response);
        check(client, "GET /public/", &(struct expected){.status = 200});
    }
    client_free(client);
    scene_end(&scene);
}

TEST(allow_names_what_the_route_itself_takes) {
    static const struct {
        const char *request;
        int status;
        const char *allow;
    } rows[] = {
        {"POST /get", 405, "GET, HEAD"}, {"GET /head", 405, "HEAD"},   {"POST /head", 405, "HEAD"},
        {"HEAD /head", 200, NULL},       {"HEAD /get", 200, NULL},     {"GET /get", 200, NULL},
        {"POST /nothing", 404, NULL},    {"HEAD /nothing", 404, NULL},
    };
    struct scene scene = start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client *client = client_connect(scene.daemon->port);
        struct response response;
        bool to_head = strncmp(rows[i].request, "HEAD", 4) == 0;
        ck_assert(client_sendf(client, "%s HTTP/1.1\r\nHost: h\r\n\r\n", rows[i].request));
        ck_assert_int_eq((to_head ? client_read_to_head : client_read)(client, 5000, &response),
                         CLIENT_OK);
        ck_assert_msg(response.status == rows[i].status, "%s: %d", rows[i].request,
                      response.status);
        struct span allow = response_header(&response, "Allow");
        if (rows[i].allow)
            ck_assert_msg(span_equal_text(allow, rows[i].allow), "%s: %s", rows[i].request,
                          response.head);
        else
            ck_assert_int_eq(response_header_count(&response, "Allow"), 0);
        client_response_done(&response);
        client_free(client);
    }
    scene_end(&scene);
}

TEST(no_route_is_404_with_or_without_a_token_and_the_connection_lives) {
    static const char body[] =
        "{\"error\":\"not_found\",\"error_description\":\"nothing is configured for this path\"}";
    static const struct expected missing = {404, NULL, body, false};
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    char *good = scratch_text("Authorization: Bearer %s\r\n", scene.token);
    static const char *const paths[] = {
        "/",     "/nothing",      "/publi", "/publicx", "/administrator",
        "/docs", "/openapi.json", "/get/",  "/public"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        char *with = scene_get(paths[i], good), *without = scene_get(paths[i], "");
        scene_check(client, span_of(with), &missing);
        scene_check(client, span_of(without), &missing);
        free(with);
        free(without);
    }
    free(good);
    client_free(client);
    scene_end(&scene);
}

static void check_same_headers(const struct response *a, const struct response *b) {
    static const char *const names[] = {"Content-Length", "Content-Type", "Cache-Control",
                                        "WWW-Authenticate", "Connection"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        int count = response_header_count(a, names[i]);
        ck_assert_msg(response_header_count(b, names[i]) == count, "%s", b->head);
        if (count == 0) continue;
        ck_assert_msg(span_equal(response_header(a, names[i]), response_header(b, names[i])), "%s",
                      b->head);
    }
}

TEST(head_says_what_get_says_without_the_body) {
    static const char *const paths[] = {"/public/", "/admin", "/nothing", "/public/..;/x"};
    struct scene scene = start();
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct response to_get, to_head;
        char *line = scratch_text("%s HTTP/1.1\r\nHost: h\r\n\r\n", paths[i]);
        struct client *client = client_connect(scene.daemon->port);
        struct client *other = client_connect(scene.daemon->port);
        ck_assert(client_sendf(client, "GET %s", line) && client_sendf(other, "HEAD %s", line));
        ck_assert_int_eq(client_read(client, 5000, &to_get), CLIENT_OK);
        ck_assert_int_eq(client_read_to_head(other, 5000, &to_head), CLIENT_OK);
        ck_assert_int_eq(to_head.status, to_get.status);
        check_same_headers(&to_get, &to_head);
        /* Not a byte of a body: the next answer begins right behind. */
        if (to_get.status != 400) {
            ck_assert(client_sendf(other, "GET %s", line));
            client_response_done(&to_head);
            ck_assert_int_eq(client_read(other, 5000, &to_head), CLIENT_OK);
            ck_assert_str_eq(to_head.body, to_get.body);
        } else {
            ck_assert(client_closed(other, 5000));
        }
        client_response_done(&to_head);
        client_response_done(&to_get);
        client_free(other);
        client_free(client);
        free(line);
    }
    scene_end(&scene);
}

TEST(p4_only_the_exact_path_with_its_slash_is_served_and_nothing_redirects) {
    struct scene scene = scene_start(&(struct scene_options){0});
    static const struct {
        const char *path;
        int status;
    } rows[] = {{"/profile/", 200},    {"/profile/?x=1", 200}, {"/profile", 404},
                {"/profile?x=1", 404}, {"/profile/x", 404},    {"/profile/../", 200},
                {"//", 200},           {"/profile/x/..", 200}, {"/docs", 404}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int status = daemon_get(scene.daemon, rows[i].path, scene.token, NULL);
        ck_assert_msg(status == rows[i].status, "%s: %d", rows[i].path, status);
    }
    scene_end(&scene);
}
