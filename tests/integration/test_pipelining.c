/*
 * Several requests on one connection: each is judged alone and answered in order, and where a body
 * was not read, or a request was refused for its framing, nothing behind it is answered.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define GET "GET / HTTP/1.1\r\nHost: h\r\n"
/* What an attacker hopes to have answered as a second request. */
#define TAIL "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"

struct row {
    const char *name;
    struct span bytes;
};

static struct scene start(void) {
    return scene_start(&(struct scene_options){0});
}

/* --- I6: one behind the other ---------------------------------------------------------------- */

TEST(i6_pipelined_requests_are_answered_in_order_each_judged_alone) {
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    static const int expected[] = {200, 401, 200, 404, 405, 401, 200, 400, 200};
    ck_assert(client_sendf(client,
                           "GET /profile/ HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n"
                           "GET /profile/ HTTP/1.1\r\nHost: h\r\n\r\n" GET "\r\n"
                           "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
                           "POST / HTTP/1.1\r\nHost: h\r\n\r\n" GET "Authorization: Bearer x\r\n"
                           "\r\n" GET "\r\n" GET "Authorization: Bearer\r\n\r\n" GET "\r\n",
                           scene.token));
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        struct response response;
        ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
        ck_assert_msg(response.status == expected[i], "answer %zu: %d", i, response.status);
        client_response_done(&response);
    }
    client_free(client);
    scene_end(&scene);
}

TEST(i6_a_token_of_one_request_is_not_that_of_the_next) {
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    char *headers = scratch_text("Authorization: Bearer %s\r\n", scene.token);
    char *with = scene_get("/", headers), *without = scene_get("/", "");
    for (int i = 0; i < 20; i++) {
        scene_check(client, span_of(with),
                    &(struct expected){200, NULL,
                                       "{\"username\":\"alice@example.com\",\"anonymous\":false}",
                                       false});
        scene_check(client, span_of(without),
                    &(struct expected){200, NULL, "{\"anonymous\":true}", false});
    }
    free(without);
    free(with);
    free(headers);
    client_free(client);
    scene_end(&scene);
}

TEST(i6_a_bad_request_behind_good_ones_is_the_last) {
    static const struct row rows[] = {
        {"two hosts", S(GET "Host: x\r\n\r\n")},
        {"CL+TE", S(GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")},
        {"folded", S(GET "A: b\r\n c\r\n\r\n")},
        {"NUL", S(GET "A: b\0\r\n\r\n")},
        {"bare LF", S(GET "A: b\n\r\n")},
        {"target", S("GET http://x/ HTTP/1.1\r\nHost: h\r\n\r\n")},
        {"name", S(GET "A B: c\r\n\r\n")},
    };
    static const char good[] = GET "\r\n" GET "\r\n";
    struct scene scene = start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char bytes[1024];
        size_t len = 0;
        const struct span parts[] = {S(good), rows[i].bytes, S(TAIL), S(TAIL)};
        for (size_t p = 0; p < ARRAY_LEN(parts); p++) {
            memcpy(bytes + len, parts[p].ptr, parts[p].len);
            len += parts[p].len;
        }
        bool closed;
        int first;
        char *answer = scene_talk(&scene, (struct span){bytes, len}, 5000, 5000, &closed);
        int answers = scene_count_answers(answer, false, &first);
        ck_assert_msg(answers == 3 && closed, "%s: %d: %s", rows[i].name, answers, answer);
        ck_assert_msg(strstr(answer, "HTTP/1.1 400 "), "%s: %s", rows[i].name, answer);
        free(answer);
        scene_check_serves(&scene, rows[i].name);
    }
    scene_end(&scene);
}

TEST(i6_an_answer_before_the_body_was_read_closes_whatever_the_status) {
    static const struct {
        const char *head;
        int status;
    } rows[] = {
        {"GET /profile/ HTTP/1.1\r\nHost: h\r\n", 401},
        {"GET / HTTP/1.1\r\nHost: h\r\n", 200},
        {"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\n", 401},
        {"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\n", 405},
        {"PUT /x HTTP/1.1\r\nHost: h\r\n", 404},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", 200},
    };
    struct scene scene = start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool closed;
        int first;
        char *request =
            scratch_text("%sContent-Length: %zu\r\n\r\n" TAIL, rows[i].head, strlen(TAIL));
        char *answer = scene_talk(&scene, span_of(request), 5000, 5000, &closed);
        int answers = scene_count_answers(answer, false, &first);
        ck_assert_msg(first == rows[i].status && answers == 1 && closed, "%s: %s", rows[i].head,
                      answer);
        free(answer);
        free(request);
    }
    scene_end(&scene);
}

/* Everything that comes back on fd, up to the end of the stream; false where it ended by a reset.
 */
static bool read_to_end(int fd, char *answer, size_t size) {
    size_t len = 0;
    for (ssize_t n; (n = recv(fd, answer + len, size - 1 - len, 0)) != 0; len += (size_t)n)
        if (n < 0) return false;
    answer[len] = '\0';
    return true;
}

/* Closing on a client that still sends would reset the connection, which may destroy the answer on
 * its way. */
TEST_WITHIN(a_client_that_sends_all_of_its_body_first_reads_its_refusal_and_an_orderly_end, 60) {
    static char body[1 << 20];
    static const struct {
        const char *head;
        int status;
    } rows[] = {
        {"POST / HTTP/1.1\r\nHost: h\r\n", 405},
        {"GET /profile/ HTTP/1.1\r\nHost: h\r\n", 401},
        {"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n", 400},
    };
    struct scene scene = start();
    memset(body, 'x', sizeof body);
    for (int i = 0; i < 12; i++) {
        char answer[4096];
        int status, fd = scene_connect(&scene);
        char *head = scratch_text("%sContent-Length: %zu\r\n\r\n", rows[i % 3].head, sizeof body);
        ck_assert(send(fd, head, strlen(head), MSG_NOSIGNAL) > 0);
        for (size_t sent = 0; sent < sizeof body;) {
            ssize_t n = send(fd, body + sent, sizeof body - sent, MSG_NOSIGNAL);
            ck_assert_msg(n > 0, "%s: reset after %zu bytes", head, sent);
            sent += (size_t)n;
        }
        shutdown(fd, SHUT_WR);
        ck_assert_msg(read_to_end(fd, answer, sizeof answer), "%s: reset", head);
        ck_assert_int_eq(scene_count_answers(answer, false, &status), 1);
        ck_assert_int_eq(status, rows[i % 3].status);
        close(fd);
        free(head);
    }
    scene_end(&scene);
}

/* --- I7, I8 ---------------------------------------------------------------------------------- */

TEST(i7_expect_100_continue_is_answered_at_once_and_never_by_100) {
    static const struct {
        const char *head;
        int status;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\n", 401},
        {"GET /profile/ HTTP/1.1\r\nHost: h\r\n", 401},
        {"POST / HTTP/1.1\r\nHost: h\r\n", 405},
        {"GET / HTTP/1.1\r\nHost: h\r\n", 200},
        {"GET / HTTP/1.0\r\nHost: h\r\n", 200},
        {"GET /a/../../b HTTP/1.1\r\nHost: h\r\n", 400},
    };
    struct scene scene = start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client *client = client_connect(scene.daemon->port);
        char *request =
            scratch_text("%sExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", rows[i].head);
        scene_check(client, span_of(request),
                    &(struct expected){rows[i].status,
                                       rows[i].status != 401 ? NULL
                                       : strstr(rows[i].head, "Bearer")
                                           ? "Bearer realm=\"bearerd\", error=\"invalid_token\", "
                                             "error_description=\"the token has 1 parts; a signed "
                                             "JWT has three\""
                                           : "Bearer realm=\"bearerd\"",
                                       NULL, true});
        free(request);
        client_free(client);
    }
    scene_end(&scene);
}

TEST(i8_upgrades_are_ignored_and_never_101) {
    static const char *const upgrades[] = {
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: upgrade\r\nUpgrade: totally-made-up/1.0\r\n",
        "Upgrade: h2c\r\n",
    };
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    for (size_t i = 0; i < ARRAY_LEN(upgrades); i++) {
        char *request = scene_get("/", upgrades[i]);
        scene_check(client, span_of(request), &(struct expected){.status = 200});
        free(request);
    }
    client_free(client);
    scene_end(&scene);
}

TEST(a_request_may_come_in_any_number_of_pieces) {
    struct scene scene = start();
    char *headers = scratch_text("Authorization: Bearer %s\r\nX-Other: 1\r\n", scene.token);
    char *request = scene_get("/", headers);
    size_t len = strlen(request);
    static const size_t sizes[] = {1, 2, 7, 100};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct client *client = client_connect(scene.daemon->port);
        for (size_t at = 0; at < len; at += sizes[i])
            ck_assert(client_send(client, span_until(span_from(span_of(request), at), sizes[i])));
        scene_check(client, S(""), &(struct expected){.status = 200});
        client_free(client);
    }
    free(request);
    free(headers);
    scene_end(&scene);
}
