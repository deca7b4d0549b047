/*
 * Upstreams that misbehave: each fault of theirs is an answer of ours, or a connection that visibly
 * breaks off; never a clean end of something incomplete, and never bytes that can be read in two
 * ways.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tests/integration/gated.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define GET_CLOSE "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define MIB ((size_t)1 << 20)

/* --- not reached ----------------------------------------------------------------------------- */

TEST(upstream_refused_is_502_at_once_and_no_client_sees_more_than_that) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    struct client *client = gated_client(&scene);
    gated_get(client, "/", 200, "ok\n"); /* it works while it is there, */
    upstream_down(upstream);
    long fastest = 1000;
    for (int i = 0; i < 5; i++) {
        long took = gated_fails(&scene, "/", 502, "bad_gateway");
        if (took < fastest) fastest = took;
    }
    ck_assert_msg(fastest < 100 * GATED_SLOW, "%ld ms", fastest);
    gated_check_log(&scene, "upstream_unreachable");
    gated_check_log(&scene, "Connection refused");
    upstream_up(upstream);
    gated_get(client, "/", 200, "ok\n"); /* and again once it is back */
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(upstream_of_an_unknown_name_is_502_at_once) {
    struct scene scene = gated_start("{name: up, targets: [\"http://nowhere.invalid:80\"]}", NULL);
    long took = gated_fails(&scene, "/", 502, "bad_gateway");
    ck_assert_msg(took < 1000 * GATED_SLOW, "%ld ms", took);
    gated_check_log(&scene, "nowhere.invalid has no address");
    scene_end(&scene);
}

/* --- reset ----------------------------------------------------------------------------------- */

/* Who asks decides how the end of a body is told to them. */
static const char *const clients[] = {
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    GET_CLOSE,
    "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
};

TEST(upstream_reset_before_or_in_the_head_is_502) {
    static const struct {
        const char *name;
        struct upstream_step steps[4];
    } rows[] = {
        {"closed at once", {UPSTREAM_READ, UPSTREAM_CLOSE, UPSTREAM_END}},
        {"reset at once", {UPSTREAM_READ, UPSTREAM_RESET, UPSTREAM_END}},
        {"closed in the status line",
         {UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 20"), UPSTREAM_CLOSE, UPSTREAM_END}},
        {"reset in the status line",
         {UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 20"), UPSTREAM_RESET, UPSTREAM_END}},
        {"closed in the head",
         {UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"), UPSTREAM_CLOSE,
          UPSTREAM_END}},
        {"reset in the head",
         {UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"), UPSTREAM_RESET,
          UPSTREAM_END}},
        {"closed behind an interim response",
         {UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 100 Continue\r\n\r\n"), UPSTREAM_CLOSE,
          UPSTREAM_END}},
    };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "health: {max_fails: 0}");
    struct client *client = gated_client(&scene);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        upstream_script(upstream, "/bad", rows[i].steps);
        int hits = upstream_hits(upstream, "/bad");
        gated_ask(client, "/bad");
        gated_check_problem(client, 502, "bad_gateway");
        ck_assert_msg(upstream_hits(upstream, "/bad") == hits + 1, "%s: sent twice", rows[i].name);
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
    }
    gated_get(client, "/good", 200, "ok\n"); /* the client's connection lives on */
    gated_check_log(&scene, "upstream_closed");
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

#define LENGTH_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n"
#define CHUNKED_HEAD "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define ENDLESS_HEAD "HTTP/1.1 200 OK\r\n\r\n"

static const struct {
    const char *name;
    const char *head;
    enum upstream_act ending;
} broken_bodies[] = {
    {"length, closed", LENGTH_HEAD "some", UPSTREAM_ACT_CLOSE},
    {"length, reset", LENGTH_HEAD "some", UPSTREAM_ACT_RESET},
    {"length, closed behind the head", LENGTH_HEAD, UPSTREAM_ACT_CLOSE},
    {"chunked, closed in a chunk", CHUNKED_HEAD "10\r\nsome", UPSTREAM_ACT_CLOSE},
    {"chunked, reset in a chunk", CHUNKED_HEAD "10\r\nsome", UPSTREAM_ACT_RESET},
    {"chunked, closed behind a chunk", CHUNKED_HEAD "4\r\nsome\r\n", UPSTREAM_ACT_CLOSE},
    {"chunked, reset behind a chunk", CHUNKED_HEAD "4\r\nsome\r\n", UPSTREAM_ACT_RESET},
    {"chunked, closed in the last chunk", CHUNKED_HEAD "4\r\nsome\r\n0\r\n", UPSTREAM_ACT_CLOSE},
    {"chunked, closed behind the head", CHUNKED_HEAD, UPSTREAM_ACT_CLOSE},
    {"until close, reset", ENDLESS_HEAD "some", UPSTREAM_ACT_RESET},
};

static void check_broken(const struct gated_heard *heard, const char *name, const char *client) {
    ck_assert_msg(heard->end != PROXIED_OPEN, "%s, %.14s: still open", name, client);
    ck_assert_msg(!gated_is_whole(heard), "%s to %.60s looks whole, ended by %s: %s", name, client,
                  heard->end == PROXIED_RESET ? "reset" : "close", heard->bytes);
}

TEST_WITHIN(upstream_reset_in_the_middle_of_a_body_is_no_clean_end, 60) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "health: {max_fails: 0}");
    for (size_t i = 0; i < ARRAY_LEN(broken_bodies) * ARRAY_LEN(clients); i++) {
        const char *client = clients[i % ARRAY_LEN(clients)];
        size_t row = i / ARRAY_LEN(clients);
        upstream_script(upstream, NULL,
                        UPSTREAM_STEPS(UPSTREAM_READ,
                                       UPSTREAM_SEND_SPAN(span_of(broken_bodies[row].head)),
                                       UPSTREAM_WAIT(20), {.act = broken_bodies[row].ending}));
        struct gated_heard heard = gated_talk(&scene, span_of(client));
        check_broken(&heard, broken_bodies[row].name, client);
        free(heard.bytes);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

/* The daemon finds bytes and reset at the same moment. */
TEST_WITHIN(upstream_reset_that_comes_together_with_the_body_is_no_clean_end, 60) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "health: {max_fails: 0}");
    for (size_t i = 0; i < ARRAY_LEN(broken_bodies) * ARRAY_LEN(clients); i++) {
        const char *client = clients[i % ARRAY_LEN(clients)];
        size_t row = i / ARRAY_LEN(clients);
        upstream_script(upstream, NULL,
                        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_GATE,
                                       UPSTREAM_SEND_SPAN(span_of(broken_bodies[row].head)),
                                       {.act = broken_bodies[row].ending}));
        int fd = gated_say(&scene, span_of(client));
        ck_assert(upstream_wait(upstream, UPSTREAM_AT_GATE, 1, GATED_WAIT_MS));
        gated_freeze(&scene);
        upstream_go(upstream);
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
        gated_thaw(&scene);
        struct gated_heard heard = gated_hear(fd);
        /* Where nothing was passed on yet, 502 is the better answer. */
        if (strncmp(heard.bytes, "HTTP/1.1 502 ", 13) != 0)
            check_broken(&heard, broken_bodies[row].name, client);
        free(heard.bytes);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

/* What makes the two above worth something: the same bodies, complete, are whole to everyone. */
TEST(upstream_bodies_that_end_are_whole_however_they_end) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsome",
        CHUNKED_HEAD "4\r\nsome\r\n0\r\n\r\n",
        CHUNKED_HEAD "4\r\nsome\r\n0\r\nX-Trailer: 1\r\n\r\n",
        ENDLESS_HEAD "some",
        "HTTP/1.0 200 OK\r\n\r\nsome",
    };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    for (size_t i = 0; i < ARRAY_LEN(answers) * 2; i++) {
        upstream_script(upstream, NULL,
                        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(answers[i / 2])),
                                       UPSTREAM_CLOSE));
        struct gated_heard heard = gated_talk(&scene, span_of(clients[1 + i % 2]));
        ck_assert_msg(strncmp(heard.bytes, "HTTP/1.1 200 ", 13) == 0 && gated_is_whole(&heard) &&
                          strstr(heard.bytes, "some"),
                      "%s: %s", answers[i / 2], heard.bytes);
        ck_assert_int_eq(heard.end, PROXIED_FINISHED);
        free(heard.bytes);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

/* A body can turn bad long after its head was good. */
TEST_WITHIN(upstream_body_with_broken_chunks_is_cut_off, 60) {
    static const struct span bodies[] = {
        SPAN_LITERAL("0x4\r\nleak\r\n0\r\n\r\n"),
        SPAN_LITERAL("-4\r\nleak\r\n0\r\n\r\n"),
        SPAN_LITERAL("+4\r\nleak\r\n0\r\n\r\n"),
        SPAN_LITERAL("4 \r\nleak\r\n0\r\n\r\n"),
        SPAN_LITERAL(" 4\r\nleak\r\n0\r\n\r\n"),
        SPAN_LITERAL("4\nleak\r\n0\r\n\r\n"),
        SPAN_LITERAL("4;a\0b\r\nleak\r\n0\r\n\r\n"),
        SPAN_LITERAL("10000000000000004\r\nleak\r\n0\r\n\r\n"),
        SPAN_LITERAL("\r\nleak\r\n0\r\n\r\n"),
        SPAN_LITERAL("leak\r\n0\r\n\r\n"),
        SPAN_LITERAL("4\r\nsomeleak\r\n0\r\n\r\n"),
        SPAN_LITERAL("4\r\nsome\n0\r\n\r\n"),
        SPAN_LITERAL("4\r\nsome\r\n0\r\nleak\r\n\r\n"),
        SPAN_LITERAL("4\r\nsome\r\n0\r\nX-Tr ailer: leak\r\n\r\n"),
        SPAN_LITERAL("4\r\nsome\r\n0\r\nX: leak\0\r\n\r\n"),
        SPAN_LITERAL("4\r\nsome\r\n0\n\n"),
    };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "health: {max_fails: 0}");
    for (size_t i = 0; i < ARRAY_LEN(bodies) * ARRAY_LEN(clients); i++) {
        const char *client = clients[i % ARRAY_LEN(clients)];
        struct span body = bodies[i / ARRAY_LEN(clients)];
        upstream_script(upstream, NULL,
                        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(CHUNKED_HEAD),
                                       UPSTREAM_SEND_SPAN(body), UPSTREAM_HANG));
        struct gated_heard heard = gated_talk(&scene, span_of(client));
        check_broken(&heard, body.ptr, client);
        ck_assert_msg(!strstr(heard.bytes, "leak"), "%s: %s", body.ptr, heard.bytes);
        ck_assert_msg(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS), "%s", body.ptr);
        free(heard.bytes);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

/* --- slow ------------------------------------------------------------------------------------ */

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

/* A listener that nobody accepts from, whose queue is full: connections to it never come about. */
static int full_listener(int *ret_port) {
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 0) == 0 &&
              getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    for (int i = 0; i < 16; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct pollfd poller = {fd, POLLOUT, 0};
        connect(fd, (struct sockaddr *)&address, len);
        if (poll(&poller, 1, 50) > 0) continue;
        *ret_port = ntohs(address.sin_port);
        return listener;
    }
    ck_abort_msg("the queue of a listener never gets full here");
}

static void check_took(long took, long least) {
    ck_assert_msg(took >= least && took < least + GATED_WAIT_MS, "%ld ms", took);
}

TEST(upstream_slow_to_connect_is_504_by_timeouts_connect) {
    int port = 0, listener = full_listener(&port);
    char *entry = scratch_text("{name: up, targets: [\"http://127.0.0.1:%d\"], timeouts: "
                               "{connect: 300ms}}",
                               port);
    struct scene scene = gated_start(entry, NULL);
    int files = gated_files(&scene);
    check_took(gated_fails(&scene, "/", 504, "gateway_timeout"), 295);
    gated_check_log(&scene, "timeouts.connect");
    gated_check_log(&scene, "upstream_timeout");
    ck_assert_int_le(gated_settled_files(&scene, files), files);
    free(entry);
    scene_end(&scene);
    close(listener);
}

TEST(upstream_slow_to_say_its_first_byte_is_504_by_timeouts_first_byte) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "timeouts: {first_byte: 300ms}");
    upstream_script(upstream, "/silent", UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_HANG));
    upstream_script(upstream, "/trickle",
                    UPSTREAM_STEPS(UPSTREAM_READ,
                                   UPSTREAM_DRIP("HTTP/1.1 200 OK\r\nX-Long: aaaaaaaaaaaaaaaaaaaa"
                                                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                                 50),
                                   UPSTREAM_HANG));
    static const char *const paths[] = {"/silent", "/trickle"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        check_took(gated_fails(&scene, paths[i], 504, "gateway_timeout"), 295);
        gated_check_logged(&scene, "timeouts.first_byte", (int)i + 1);
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
        ck_assert_int_eq(upstream_hits(upstream, paths[i]), 1);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(upstream_slow_within_its_timeouts_is_waited_for) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene =
        gated_start_for(upstream, "timeouts: {first_byte: 10s, between_bytes: 2s, connect: 10s}");
    upstream_script(upstream, NULL,
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_WAIT(150), UPSTREAM_DRIP(OK_2, 10)));
    struct client *client = gated_client(&scene);
    gated_get(client, "/", 200, "ok");
    upstream_script(upstream, NULL,
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(CHUNKED_HEAD "1\r\na\r\n"),
                                   UPSTREAM_WAIT(100), UPSTREAM_DRIP("1\r\nb\r\n0\r\n\r\n", 20)));
    gated_get(client, "/", 200, "ab");
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST_WITHIN(upstream_that_stops_in_a_body_is_cut_off_by_timeouts_between_bytes, 60) {
    static const char *const heads[] = {LENGTH_HEAD "some", CHUNKED_HEAD "4\r\nsome\r\n",
                                        ENDLESS_HEAD "some", LENGTH_HEAD};
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene =
        gated_start_for(upstream, "timeouts: {between_bytes: 200ms}, health: {max_fails: 0}");
    for (size_t i = 0; i < ARRAY_LEN(heads) * ARRAY_LEN(clients); i++) {
        const char *client = clients[i % ARRAY_LEN(clients)];
        const char *head = heads[i / ARRAY_LEN(clients)];
        upstream_script(
            upstream, NULL,
            UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(head)), UPSTREAM_HANG));
        long since = process_now_ms();
        struct gated_heard heard = gated_talk(&scene, span_of(client));
        check_took(process_now_ms() - since, 195);
        check_broken(&heard, head, client);
        ck_assert_msg(strncmp(heard.bytes, "HTTP/1.1 200 ", 13) == 0, "%s", heard.bytes);
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
        free(heard.bytes);
    }
    gated_check_log(&scene, "timeouts.between_bytes");
    scene_end(&scene);
    upstream_stop(upstream);
}

/* More than all sockets on the way hold. */
TEST(upstream_that_does_not_take_a_body_is_504_by_timeouts_between_bytes) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "timeouts: {between_bytes: 300ms}");
    int files = gated_files(&scene);
    struct client *client = gated_client(&scene);
    char *body = calloc(1, 32 * MIB);
    upstream_script(upstream, NULL, UPSTREAM_STEPS(UPSTREAM_HANG));
    long since = process_now_ms();
    ck_assert(client_sendf(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                           32 * MIB));
    (void)client_send(client, (struct span){body, 32 * MIB});
    gated_check_problem(client, 504, "gateway_timeout");
    check_took(process_now_ms() - since, 295);
    ck_assert(client_closed(client, GATED_WAIT_MS));
    gated_check_log(&scene, "timeouts.between_bytes");
    client_free(client);
    ck_assert_int_le(gated_settled_files(&scene, files), files);
    free(body);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST_WITHIN(upstream_that_takes_too_long_altogether_meets_timeouts_total, 60) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene =
        gated_start_for(upstream, "timeouts: {total: 400ms}, health: {max_fails: 0}");
    upstream_script(upstream, "/head", UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_HANG));
    check_took(gated_fails(&scene, "/head", 504, "gateway_timeout"), 395);
    gated_check_log(&scene, "timeouts.total");
    upstream_script(upstream, NULL,
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(LENGTH_HEAD),
                                   UPSTREAM_DRIP("0123456789012345678901234567890123456789", 50),
                                   UPSTREAM_HANG));
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        long since = process_now_ms();
        struct gated_heard heard = gated_talk(&scene, span_of(clients[i]));
        check_took(process_now_ms() - since, 395);
        check_broken(&heard, "too long", clients[i]);
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
        free(heard.bytes);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

/* --- early ends ------------------------------------------------------------------------------ */

TEST(upstream_half_close_behind_its_answer_passes_that_on_and_ends_the_connection) {
    static const char *const answers[] = {OK_2, CHUNKED_HEAD "2\r\nok\r\n0\r\n\r\n",
                                          ENDLESS_HEAD "ok"};
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    struct client *client = gated_client(&scene);
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        upstream_script(upstream, "/half",
                        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(answers[i])),
                                       UPSTREAM_FINISH, UPSTREAM_HANG));
        gated_get(client, "/half", 200, "ok");
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
    }
    gated_get(client, "/", 200, "ok\n");
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(upstream_close_behind_the_head_is_the_end_of_a_body_only_where_it_may_be) {
    static const struct {
        const char *method;
        const char *head;
        bool whole;
    } rows[] = {
        {"GET", "HTTP/1.1 200 OK\r\n\r\n", true},
        {"GET", "HTTP/1.0 200 OK\r\n\r\n", true},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n", true},
        {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", true},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true},
        {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false},
        {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false},
    };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "health: {max_fails: 0}");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client *client = gated_client(&scene);
        struct response response = {0};
        upstream_script(upstream, NULL,
                        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(rows[i].head)),
                                       UPSTREAM_CLOSE));
        bool to_head = strcmp(rows[i].method, "HEAD") == 0;
        ck_assert(client_sendf(client, "%s / HTTP/1.1\r\nHost: h\r\n\r\n", rows[i].method));
        enum client_result result = to_head ? client_read_to_head(client, GATED_WAIT_MS, &response)
                                            : client_read(client, GATED_WAIT_MS, &response);
        bool passed = result == CLIENT_OK && response.status == atoi(rows[i].head + 9);
        bool cut = result == CLIENT_CLOSED || (result == CLIENT_OK && response.status == 502);
        ck_assert_msg(rows[i].whole ? passed : cut, "%s %s: %d, %d", rows[i].method, rows[i].head,
                      result, response.status);
        client_response_done(&response);
        client_free(client);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

/* It has read some of the body and wants no more. */
TEST(upstream_early_small_answer_reaches_the_uploading_client_at_once) {
    static const struct {
        const char *framing;
        const char *answer;
        enum upstream_act then;
    } rows[] = {
        {"Content-Length: 1000000000", "HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nmuch",
         UPSTREAM_ACT_HANG},
        {"Content-Length: 1000000000",
         "HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 4\r\n\r\nmuch",
         UPSTREAM_ACT_CLOSE},
        {"Transfer-Encoding: chunked",
         "HTTP/1.1 413 Too Much\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmuch\r\n0\r\n\r\n",
         UPSTREAM_ACT_HANG},
    };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client *client = gated_client(&scene);
        struct response response;
        upstream_script(upstream, NULL,
                        UPSTREAM_STEPS(UPSTREAM_READ_SOME(3),
                                       UPSTREAM_SEND_SPAN(span_of(rows[i].answer)),
                                       {.act = rows[i].then}));
        ck_assert(client_sendf(client, "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n3\r\nabc\r\n",
                               rows[i].framing));
        ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 413);
        ck_assert_str_eq(response.body, "much");
        ck_assert(span_equal_text(response_header(&response, "Connection"), "close"));
        ck_assert_int_eq(response_header_count(&response, "X-Request-Id"), 1);
        ck_assert(client_closed(client, GATED_WAIT_MS));
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
        client_response_done(&response);
        client_free(client);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

#define LARGE (3 * MIB / 8)

TEST(upstream_early_large_answer_arrives_behind_the_upload) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    struct client *client = gated_client(&scene);
    char *body = malloc(MIB),
         *head = scratch_text("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", LARGE);
    upstream_filler(0, body, MIB);
    upstream_script(upstream, NULL,
                    UPSTREAM_STEPS(UPSTREAM_READ_SOME(1000), UPSTREAM_SEND_SPAN(span_of(head)),
                                   UPSTREAM_FILL(LARGE), UPSTREAM_READ));
    for (int i = 0; i < 2; i++) { /* and the connection can be used again */
        struct response response;
        ck_assert(
            client_sendf(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", MIB));
        ck_assert(client_send(client, (struct span){body, MIB / 2}));
        process_sleep_ms(20); /* the answer may come now, or may not */
        ck_assert(client_send(client, (struct span){body + MIB / 2, MIB / 2}));
        ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 200);
        ck_assert_uint_eq(response.body_len, LARGE);
        ck_assert(upstream_is_filler(0, (struct span){response.body, response.body_len}));
        client_response_done(&response);
        ck_assert(upstream_wait(upstream, UPSTREAM_REQUESTS, i + 1, GATED_WAIT_MS));
        ck_assert(upstream_request(upstream, i)->digest == upstream_filler_digest(MIB));
    }
    free(head), free(body);
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

/* --- malformed ------------------------------------------------------------------------------- */

#define R "HTTP/1.1 200 OK\r\n"
#define L "Content-Length: 4\r\n"
#define E "\r\nleak"
#define C "Transfer-Encoding: chunked\r\n"
#define CE "\r\n4\r\nleak\r\n0\r\n\r\n"

static const struct {
    struct span answer;
    bool good;
} answers[] = {
    /* What is right about the ones below. */
    {SPAN_LITERAL(R L "\r\ngood"), true},
    {SPAN_LITERAL(R C "\r\n4\r\ngood\r\n0\r\n\r\n"), true},
    {SPAN_LITERAL(R "TRANSFER-ENCODING: Chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n"), true},
    {SPAN_LITERAL("HTTP/1.1 200\r\n" L "\r\ngood"), true},
    {SPAN_LITERAL("HTTP/1.1 200 \r\n" L "\r\ngood"), true},
    {SPAN_LITERAL("HTTP/1.0 200 OK\r\n" L "\r\ngood"), true},
    {SPAN_LITERAL("HTTP/1.1 100 Continue\r\n\r\n" R L "\r\ngood"), true},
    {SPAN_LITERAL(R "X:\t a\tb \r\n" L "\r\ngood"), true},
    {SPAN_LITERAL(R "X: \xe9\r\n" L "\r\ngood"), true},
    /* The length. */
    {SPAN_LITERAL(R L "Content-Length: 5\r\n" E), false},
    {SPAN_LITERAL(R L L E), false},
    {SPAN_LITERAL(R L "content-length: 5\r\n" E), false},
    {SPAN_LITERAL(R "Content-Length: 4, 4\r\n" E), false},
    {SPAN_LITERAL(R "Content-Length: +4\r\n" E), false},
    {SPAN_LITERAL(R "Content-Length: -4\r\n" E), false},
    {SPAN_LITERAL(R "Content-Length: 0x4\r\n" E), false},
    {SPAN_LITERAL(R "Content-Length: 4 4\r\n" E), false},
    {SPAN_LITERAL(R "Content-Length: 4;\r\n" E), false},
    {SPAN_LITERAL(R "Content-Length: \r\n" E), false},
    {SPAN_LITERAL(R "Content-Length: four\r\n" E), false},
    {SPAN_LITERAL(R "Content-Length: 18446744073709551620\r\n" E), false},
    /* The transfer coding. */
    {SPAN_LITERAL(R L C CE), false},
    {SPAN_LITERAL(R C L CE), false},
    {SPAN_LITERAL(R C C CE), false},
    {SPAN_LITERAL(R "Transfer-Encoding: chunked, chunked\r\n" CE), false},
    {SPAN_LITERAL(R "Transfer-Encoding: gzip, chunked\r\n" CE), false},
    {SPAN_LITERAL(R "Transfer-Encoding: chunked, identity\r\n" CE), false},
    {SPAN_LITERAL(R "Transfer-Encoding: identity\r\n" L E), false},
    {SPAN_LITERAL(R "Transfer-Encoding: xchunked\r\n" CE), false},
    {SPAN_LITERAL(R "Transfer-Encoding: \x0b"
                    "chunked\r\n" CE),
     false},
    {SPAN_LITERAL(R "Transfer-Encoding: \"chunked\"\r\n" CE), false},
    {SPAN_LITERAL(R "Transfer-Encoding: \r\n" CE), false},
    {SPAN_LITERAL("HTTP/1.0 200 OK\r\n" C CE), false},
    /* Where there is no body. */
    {SPAN_LITERAL("HTTP/1.1 204 No Content\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1 204 No Content\r\n" C CE), false},
    {SPAN_LITERAL("HTTP/1.1 100 Continue\r\n" L "\r\nleak" R L E), false},
    {SPAN_LITERAL("HTTP/1.1 103 Early Hints\r\n" C CE R L E), false},
    /* Lines. */
    {SPAN_LITERAL(R "X: a\0b\r\n" L E), false},
    {SPAN_LITERAL(R "X\0: a\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1 200 O\0K\r\n" L E), false},
    {SPAN_LITERAL(R "X: a\r\n b\r\n" L E), false},
    {SPAN_LITERAL(R "X: a\r\n\tb\r\n" L E), false},
    {SPAN_LITERAL(R " X: a\r\n" L E), false},
    {SPAN_LITERAL(R "X : a\r\n" L E), false},
    {SPAN_LITERAL(R "Content-Length : 4\r\n" E), false},
    {SPAN_LITERAL(R ": a\r\n" L E), false},
    {SPAN_LITERAL(R "X\xe9: a\r\n" L E), false},
    {SPAN_LITERAL(R "X(y): a\r\n" L E), false},
    {SPAN_LITERAL(R "no colon\r\n" L E), false},
    {SPAN_LITERAL(R "X: a\rb\r\n" L E), false},
    {SPAN_LITERAL(R "X: a\r\r\n" L E), false},
    {SPAN_LITERAL(R "X: a\x7f"
                    "b\r\n" L E),
     false},
    {SPAN_LITERAL(R "X: a\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1 200 OK\nContent-Length: 4\n\nleak"), false},
    {SPAN_LITERAL("HTTP/1.1 200 OK\rContent-Length: 4\r\r\n\r\nleak"), false},
    /* The status line. */
    {SPAN_LITERAL("HTTP/1.1 99 Low\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1 099 Low\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1 600 High\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1 999 High\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1 2000 Long\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1 2x0 OK\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1 -20 OK\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1  200 OK\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1\t200 OK\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1 200OK\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.1\r\n" L E), false},
    {SPAN_LITERAL("HTTP/1.2 200 OK\r\n" L E), false},
    {SPAN_LITERAL("HTTP/0.9 200 OK\r\n" L E), false},
    {SPAN_LITERAL("HTTP/2 200\r\n" L E), false},
    {SPAN_LITERAL("http/1.1 200 OK\r\n" L E), false},
    {SPAN_LITERAL("ICY 200 OK\r\n" L E), false},
    {SPAN_LITERAL("\r\n" R L E), false},
    {SPAN_LITERAL(" " R L E), false},
    /* No HTTP/1.1 at all. */
    {SPAN_LITERAL("leak\r\n\r\n"), false},
    {SPAN_LITERAL("<html>leak</html>"), false},
    {SPAN_LITERAL("SSH-2.0-leak\r\n"), false},
    {SPAN_LITERAL("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nleak"), false},
    {SPAN_LITERAL("\0\0\x0c\x04\0\0\0\0\0leakleakleak"), false},
    {SPAN_LITERAL("\x15\x03\x01\0\x02\x02\x16leak"), false},
    /* Switching what nobody wants switched. */
    {SPAN_LITERAL("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
                  "Upgrade: websocket\r\n\r\nleak"),
     false},
    {SPAN_LITERAL("HTTP/1.1 101 Switching Protocols\r\n\r\nleak"), false},
};

/* What the client gets is all ours, and the connection to the upstream is gone. */
static void check_malformed(const struct scene *scene, struct upstream *upstream,
                            struct span answer, const char *request) {
    struct gated_heard heard = gated_talk(scene, span_of(request));
    ck_assert_msg(strncmp(heard.bytes, "HTTP/1.1 502 ", 13) == 0 && gated_is_whole(&heard) &&
                      heard.end == PROXIED_FINISHED,
                  "%.200s: %s", answer.ptr, heard.bytes);
    ck_assert_msg(strstr(heard.bytes, "\"error\":\"bad_gateway\"") && !strstr(heard.bytes, "leak"),
                  "%.200s: %s", answer.ptr, heard.bytes);
    ck_assert_msg(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS), "%.200s: kept open",
                  answer.ptr);
    free(heard.bytes);
}

static void answer_and_hang(struct upstream *upstream, struct span answer) {
    upstream_script(upstream, NULL,
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(answer), UPSTREAM_HANG));
}

TEST_WITHIN(upstream_malformed_answers_are_502_and_their_connections_dropped, 60) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "health: {max_fails: 0}");
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        answer_and_hang(upstream, answers[i].answer);
        int hits = upstream_hits(upstream, "/");
        if (answers[i].good) {
            struct client *client = gated_client(&scene);
            gated_get(client, "/", 200, "good");
            client_free(client);
            upstream_down(upstream), upstream_up(upstream); /* nothing kept for the next one */
        } else {
            check_malformed(&scene, upstream, answers[i].answer, GET_CLOSE);
            ck_assert_msg(upstream_hits(upstream, "/") == hits + 1, "%s: sent twice",
                          answers[i].answer.ptr);
        }
    }
    gated_check_log(&scene, "upstream_malformed");
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(upstream_malformed_answers_are_502_also_where_they_drip_in) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "health: {max_fails: 0}");
    for (size_t i = 0; i < ARRAY_LEN(answers); i += 7) {
        if (answers[i].good) continue;
        upstream_script(
            upstream, NULL,
            UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_DRIP_SPAN(answers[i].answer, 1), UPSTREAM_HANG));
        check_malformed(&scene, upstream, answers[i].answer, GET_CLOSE);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(upstream_that_switches_to_what_nobody_asked_for_is_502) {
    static const struct span switches[] = {
        SPAN_LITERAL("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\nleak"),
        SPAN_LITERAL("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Upgrade: other\r\nConnection: upgrade\r\n\r\nleak"),
        SPAN_LITERAL("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: upgrade\r\nContent-Length: 4\r\n\r\nleak"),
        SPAN_LITERAL("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n"
                     "Connection: upgrade\r\n\r\nleak"),
        SPAN_LITERAL("HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: upgrade\r\n\r\nleak"),
    };
    static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n"
                                  "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "health: {max_fails: 0}");
    for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
        struct client *client = gated_client(&scene);
        struct response response;
        answer_and_hang(upstream, switches[i]);
        ck_assert(client_send(client, SPAN_LITERAL(request)));
        ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_msg(response.status == 502, "%s: %d", switches[i].ptr, response.status);
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
        client_response_done(&response);
        client_free(client);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

static void add_times(struct buf *out, const char *text, size_t times) {
    for (size_t i = 0; i < times; i++) buf_add_text(out, text);
}

TEST(upstream_heads_without_end_are_502) {
    static const struct {
        const char *start, *piece, *end;
        size_t times;
        bool good;
    } rows[] = {
        {R L "X: ", "a", "\r\n\r\ngood", 8 * 1024, true},
        {R L, "X: a\r\n", "\r\ngood", 150, true},
        {R L "X: ", "a", "\r\n" E, 300 * 1024, false},
        {R L, "X-Line: some more bytes than fit\r\n", E, 10000, false},
        {R L, "X: a\r\n", E, 250, false},
        {"HTTP/1.1 200 ", "a", "\r\n" L E, 300 * 1024, false},
        {"", "a", "", 300 * 1024, false},
        {"", "HTTP/1.1 100 Continue\r\n\r\n", R L E, 1000, false},
    };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "health: {max_fails: 0}");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf answer = buf_make(MIB);
        buf_add_text(&answer, rows[i].start);
        add_times(&answer, rows[i].piece, rows[i].times);
        buf_add_text(&answer, rows[i].end);
        answer_and_hang(upstream, buf_span(&answer));
        if (rows[i].good) {
            struct client *client = gated_client(&scene);
            gated_get(client, "/", 200, "good");
            client_free(client);
            upstream_down(upstream), upstream_up(upstream);
        } else {
            check_malformed(&scene, upstream, buf_span(&answer), GET_CLOSE);
        }
        buf_done(&answer);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

/* Interim responses that a client may want are passed on; a flood of them ends in 502. */
TEST(upstream_flood_of_early_hints_ends_in_502) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    struct client *client = gated_client(&scene);
    struct response response = {.status = 100};
    struct buf answer = buf_make(MIB);
    add_times(&answer, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 1000);
    answer_and_hang(upstream, buf_span(&answer));
    gated_ask(client, "/");
    int hints = -1;
    for (; response.status < 200; hints++) {
        client_response_done(&response);
        ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
    }
    ck_assert_int_eq(response.status, 502);
    ck_assert_int_lt(hints, 100);
    ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
    client_response_done(&response);
    buf_done(&answer);
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

/* --- bytes behind the answer ----------------------------------------------------------------- */

#define EVIL "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

/* An upstream needs a moment behind its answer until the connection rests. */
static void close_resting(struct upstream *upstream) {
    for (long until = process_now_ms() + GATED_WAIT_MS; process_now_ms() < until;) {
        upstream_close_idle(upstream);
        if (upstream_wait(upstream, UPSTREAM_OPEN, 0, 20)) return;
    }
    ck_abort_msg("a connection does not come to rest");
}

/* Nobody else may get them for an answer. */
TEST(upstream_bytes_behind_an_answer_end_the_connection_and_are_no_ones_answer) {
    static const struct {
        const char *method;
        const char *answer, *more;
        int status;
        const char *body;
    } rows[] = {
        {"GET", OK_2, EVIL, 200, "ok"},
        {"GET", OK_2, "\r\n", 200, "ok"},
        {"GET", CHUNKED_HEAD "2\r\nok\r\n0\r\n\r\n", EVIL, 200, "ok"},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", EVIL, 200, ""},
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n", EVIL, 204, ""},
        {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", "ok" EVIL, 304, ""},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "ok" EVIL, 200, ""},
        {"GET", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nok", EVIL, 404, "ok"},
    };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    struct client *client = gated_client(&scene);
    for (size_t i = 0; i < 3 * ARRAY_LEN(rows); i++) {
        size_t row = i / 3;
        struct response response;
        char *all = scratch_text("%s%s", rows[row].answer, rows[row].more);
        /* Together; one behind the other; and the last byte of the answer with what is behind. */
        struct span head = span_until(span_of(all), strlen(rows[row].answer) - i % 3 / 2);
        struct span rest = span_from(span_of(all), head.len);
        if (i % 3 == 0) head = span_of(all), rest = SPAN_LITERAL("");
        upstream_script(upstream, "/bad",
                        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(head), UPSTREAM_WAIT(5),
                                       UPSTREAM_SEND_SPAN(rest)));
        bool to_head = strcmp(rows[row].method, "HEAD") == 0;
        ck_assert(client_sendf(client, "%s /bad HTTP/1.1\r\nHost: h\r\n\r\n", rows[row].method));
        ck_assert_int_eq(to_head ? client_read_to_head(client, GATED_WAIT_MS, &response)
                                 : client_read(client, GATED_WAIT_MS, &response),
                         CLIENT_OK);
        ck_assert_int_eq(response.status, rows[row].status);
        ck_assert_str_eq(response.body, rows[row].body);
        client_response_done(&response);
        ck_assert_msg(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS), "%zu, %s: kept",
                      i % 3, rows[row].answer);
        gated_get(client, "/", 200, "ok\n");
        close_resting(upstream);
        free(all);
    }
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

static void wait_sent(struct upstream *upstream, uint64_t bytes) {
    for (long until = process_now_ms() + GATED_WAIT_MS; upstream_sent(upstream) < bytes;) {
        ck_assert_int_lt(process_now_ms(), until);
        process_sleep_ms(5);
    }
}

/* All of it has come before the daemon looks: a body that is read in several pieces, the last of
 * which ends exactly where the next answer seems to begin. */
TEST(upstream_bytes_behind_a_large_answer_are_no_ones_answer) {
    static const char *const heads[] = {"HTTP/1.1 200 OK\r\nContent-Length: 40960\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"};
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    struct client *client = gated_client(&scene);
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct upstream_step body = i ? (struct upstream_step)UPSTREAM_FILL_CHUNKED(40960)
                                      : (struct upstream_step)UPSTREAM_FILL(40960);
        struct response response;
        uint64_t before = upstream_sent(upstream);
        upstream_script(upstream, "/bad",
                        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_GATE,
                                       UPSTREAM_SEND_SPAN(span_of(heads[i])), body,
                                       UPSTREAM_SEND(EVIL), UPSTREAM_HANG));
        gated_ask(client, "/bad");
        ck_assert(upstream_wait(upstream, UPSTREAM_AT_GATE, 1, GATED_WAIT_MS));
        gated_freeze(&scene);
        upstream_go(upstream);
        wait_sent(upstream, before + strlen(heads[i]) + 40960 + strlen(EVIL));
        gated_thaw(&scene);
        ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_uint_eq(response.body_len, 40960);
        ck_assert(upstream_is_filler(0, (struct span){response.body, response.body_len}));
        client_response_done(&response);
        gated_get(client, "/", 200, "ok\n");
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 1, GATED_WAIT_MS)); /* of the last */
        close_resting(upstream);
    }
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

/* --- stale connections ----------------------------------------------------------------------- */

/* A kept connection that the upstream closes just when the next request comes. */
TEST(upstream_stale_connection_is_retried_once_where_nothing_can_happen_twice) {
    static const struct {
        const char *request;
        int status;
        int hits;
    } rows[] = {
        {"GET /b HTTP/1.1\r\nHost: h\r\n\r\n", 200, 2},
        {"HEAD /b HTTP/1.1\r\nHost: h\r\n\r\n", 200, 2},
        {"OPTIONS /b HTTP/1.1\r\nHost: h\r\n\r\n", 200, 2},
        {"DELETE /b HTTP/1.1\r\nHost: h\r\n\r\n", 200, 2},
        {"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 502, 1},
        {"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 502, 1},
        {"PATCH /b HTTP/1.1\r\nHost: h\r\n\r\n", 502, 1},
        {"PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 502, 1},
        {"PUT /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
         502, 1},
        {"GET /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 502, 1},
    };
    static const enum upstream_act endings[] = {UPSTREAM_ACT_CLOSE, UPSTREAM_ACT_RESET};
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "health: {max_fails: 0}");
    for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        struct client *client = gated_client(&scene);
        struct response response;
        gated_get(client, "/a", 200, "ok\n");
        int hits = upstream_hits(upstream, "/b");
        int connections = upstream_count(upstream, UPSTREAM_CONNECTIONS);
        upstream_script_once(upstream, "/b",
                             UPSTREAM_STEPS(UPSTREAM_READ, {.act = endings[i % 2]}));
        const char *request = rows[i / 2].request;
        ck_assert(client_send(client, span_of(request)));
        bool to_head = strncmp(request, "HEAD", 4) == 0;
        ck_assert_int_eq(to_head ? client_read_to_head(client, GATED_WAIT_MS, &response)
                                 : client_read(client, GATED_WAIT_MS, &response),
                         CLIENT_OK);
        ck_assert_msg(response.status == rows[i / 2].status, "%s: %d", request, response.status);
        ck_assert_msg(upstream_hits(upstream, "/b") == hits + rows[i / 2].hits, "%s: %d times",
                      request, upstream_hits(upstream, "/b") - hits);
        ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CONNECTIONS),
                         connections + rows[i / 2].hits - 1);
        client_response_done(&response);
        client_free(client);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(upstream_stale_connection_is_never_retried_twice_nor_behind_a_byte_of_an_answer) {
    static const struct {
        const char *path;
        struct upstream_step steps[4];
        int status;
        const char *error;
        int hits;
    } rows[] = {
        {"/close", {UPSTREAM_READ, UPSTREAM_CLOSE, UPSTREAM_END}, 502, "bad_gateway", 2},
        {"/reset", {UPSTREAM_READ, UPSTREAM_RESET, UPSTREAM_END}, 502, "bad_gateway", 2},
        {"/byte",
         {UPSTREAM_READ, UPSTREAM_SEND("H"), UPSTREAM_CLOSE, UPSTREAM_END},
         502,
         "bad_gateway",
         1},
        {"/interim",
         {UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 100 Continue\r\n\r\n"), UPSTREAM_CLOSE,
          UPSTREAM_END},
         502,
         "bad_gateway",
         1},
        {"/wrong",
         {UPSTREAM_READ, UPSTREAM_SEND("wrong\r\n"), UPSTREAM_CLOSE, UPSTREAM_END},
         502,
         "bad_gateway",
         1},
        {"/hang", {UPSTREAM_READ, UPSTREAM_HANG, UPSTREAM_END}, 504, "gateway_timeout", 1},
    };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene =
        gated_start_for(upstream, "timeouts: {first_byte: 300ms}, health: {max_fails: 0}");
    struct client *client = gated_client(&scene);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        gated_get(client, "/a", 200, "ok\n");
        upstream_script(upstream, rows[i].path, rows[i].steps);
        gated_ask(client, rows[i].path);
        gated_check_problem(client, rows[i].status, rows[i].error);
        ck_assert_msg(upstream_hits(upstream, rows[i].path) == rows[i].hits, "%s: %d times",
                      rows[i].path, upstream_hits(upstream, rows[i].path));
    }
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

/* The daemon learns of the end and of the next request at the same moment. */
TEST(upstream_that_closed_a_resting_connection_gets_even_a_post_on_a_fresh_one) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    struct client *client = gated_client(&scene);
    for (int i = 0; i < 20; i++) {
        struct response response;
        gated_get(client, "/a", 200, "ok\n");
        gated_freeze(&scene);
        ck_assert(client_sendf(client, "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
                                       "abc"));
        close_resting(upstream);
        gated_thaw(&scene);
        ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 200);
        ck_assert_int_eq(upstream_hits(upstream, "/b"), i + 1);
        client_response_done(&response);
    }
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

/* --- clients that go away -------------------------------------------------------------------- */

/* The daemon has let go of both sides. */
static void check_nothing_left(const struct scene *scene, struct upstream *upstream, int files,
                               const char *what) {
    ck_assert_msg(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS),
                  "%s: the upstream still has the connection", what);
    int left = gated_settled_files(scene, files);
    ck_assert_msg(left <= files, "%s: %d descriptors, not %d", what, left, files);
}

static void leave(struct client *client, bool reset) {
    if (reset) client_reset(client);
    client_free(client);
}

TEST_WITHIN(upstream_transfer_ends_when_the_client_leaves_while_waiting, 60) {
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"};
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    int files = gated_files(&scene);
    upstream_script(upstream, NULL, UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_HANG));
    for (size_t i = 0; i < 6 * ARRAY_LEN(requests); i++) {
        bool together = i / 2 % 3 == 1, perhaps = i / 2 % 3 == 2;
        if (together) gated_freeze(&scene);
        struct client *client = gated_client(&scene);
        ck_assert(client_send(client, span_of(requests[i / 6])));
        if (!together && !perhaps)
            ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 1, GATED_WAIT_MS));
        leave(client, i % 2);
        if (together) gated_thaw(&scene);
        check_nothing_left(&scene, upstream, files, requests[i / 6]);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

static void begin_upload(struct client *client, bool chunked) {
    const char *framing = chunked ? "Transfer-Encoding: chunked" : "Content-Length: 100000000";
    ck_assert(client_sendf(client, "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n", framing));
    if (chunked) ck_assert(client_sendf(client, "5f5e100\r\n"));
}

TEST_WITHIN(upstream_transfer_ends_when_the_client_leaves_in_its_upload, 60) {
    static const char *const ways[] = {"closed", "reset", "closed, chunked", "reset, chunked"};
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    int files = gated_files(&scene);
    char *body = calloc(1, MIB);
    for (int i = 0; i < 8; i++) {
        struct client *client = gated_client(&scene);
        begin_upload(client, i & 2);
        ck_assert(client_send(client, (struct span){body, MIB / 4}));
        ck_assert(upstream_wait(upstream, UPSTREAM_HEADS, i + 1, GATED_WAIT_MS));
        if (i & 4) gated_freeze(&scene); /* then its last bytes and its end come together */
        ck_assert(client_send(client, (struct span){body, 1000}));
        leave(client, i & 1);
        if (i & 4) gated_thaw(&scene);
        check_nothing_left(&scene, upstream, files, ways[i & 3]);
        ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CUT_SHORT), i + 1);
    }
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_REQUESTS), 0);
    free(body);
    scene_end(&scene);
    upstream_stop(upstream);
}

/* The upstream reads nothing: it cannot learn that we are gone, but we must be. */
TEST_WITHIN(upstream_transfer_ends_when_the_client_leaves_in_an_upload_that_stands_still, 60) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    int files = gated_files(&scene);
    static const char filler[64 * 1024];
    upstream_script(upstream, NULL, UPSTREAM_STEPS(UPSTREAM_HANG));
    for (int i = 0; i < 2; i++) {
        int fd = gated_say(&scene, SPAN_LITERAL("POST / HTTP/1.1\r\nHost: h\r\n"
                                                "Content-Length: 100000000\r\n\r\n"));
        struct pollfd poller = {fd, POLLOUT, 0};
        while (poll(&poller, 1, 300) > 0)
            ck_assert_int_gt(send(fd, filler, sizeof filler, MSG_DONTWAIT | MSG_NOSIGNAL), 0);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        close(fd);
        ck_assert_int_le(gated_settled_files(&scene, files), files);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

/* Its last bytes and its end are seen at once, and there is no room for the bytes. */
TEST(upstream_transfer_ends_when_the_client_leaves_behind_bytes_that_nobody_takes) {
    int port = 0, listener = full_listener(&port);
    char *entry = scratch_text("{name: up, targets: [\"http://127.0.0.1:%d\"], timeouts: "
                               "{connect: 60s}}",
                               port);
    struct scene scene = gated_start(entry, NULL);
    int files = gated_files(&scene);
    struct client *client = gated_client(&scene);
    char *body = calloc(1, 60 * 1024);
    begin_upload(client, false);
    ck_assert(client_send(client, (struct span){body, 60 * 1024}));
    for (long until = process_now_ms() + GATED_WAIT_MS;
         process_open_files(scene.daemon->process) < files + 2;) { /* it is connecting */
        ck_assert_int_lt(process_now_ms(), until);
        process_sleep_ms(5);
    }
    process_sleep_ms(100); /* and has taken what came */
    gated_freeze(&scene);
    ck_assert(client_send(client, (struct span){body, 32 * 1024}));
    client_free(client);
    gated_thaw(&scene);
    ck_assert_int_le(gated_settled_files(&scene, files), files);
    free(body), free(entry);
    scene_end(&scene);
    close(listener);
}

TEST_WITHIN(upstream_transfer_ends_when_the_client_leaves_in_its_download, 60) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    int files = gated_files(&scene);
    static const struct upstream_step fills[] = {UPSTREAM_FILL(UPSTREAM_ALL),
                                                 UPSTREAM_FILL_CHUNKED(UPSTREAM_ALL),
                                                 UPSTREAM_FILL(UPSTREAM_ALL), UPSTREAM_HANG};
    static const char *const heads[] = {"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n",
                                        CHUNKED_HEAD, ENDLESS_HEAD, LENGTH_HEAD "some"};
    for (size_t i = 0; i < 2 * ARRAY_LEN(fills); i++) {
        upstream_script(
            upstream, NULL,
            UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(heads[i / 2])), fills[i / 2]));
        int fd = gated_say(&scene, span_of(clients[0]));
        char some[1000];
        ck_assert_int_gt(recv(fd, some, sizeof some, 0), 0);
        if (i % 2)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        close(fd);
        check_nothing_left(&scene, upstream, files, "downloading");
    }
    scene_end(&scene);
    upstream_stop(upstream);
}

/* It does not read, so that the daemon waits for it and not for the upstream. */
TEST(upstream_transfer_ends_when_a_client_leaves_that_did_not_read) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    int files = gated_files(&scene);
    upstream_script(
        upstream, NULL,
        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(ENDLESS_HEAD), UPSTREAM_FILL(UPSTREAM_ALL)));
    struct client *client = gated_client(&scene);
    gated_ask(client, "/");
    uint64_t before = 0, sent;
    while ((sent = upstream_sent(upstream)) != before || sent == 0) {
        before = sent;
        process_sleep_ms(100);
    }
    client_free(client);
    check_nothing_left(&scene, upstream, files, "not reading");
    scene_end(&scene);
    upstream_stop(upstream);
}

/* --- reload ---------------------------------------------------------------------------------- */

#define IN_FLIGHT 5

TEST(upstream_that_a_reload_replaces_finishes_what_it_has_and_gets_no_more) {
    struct upstream *old = upstream_start(UPSTREAM_PLAIN), *new = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(old, "");
    char *entry = gated_entry(new, "");
    struct client *in_flight[IN_FLIGHT], *client = gated_client(&scene);
    upstream_script(
        old, "/slow",
        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_GATE,
                       UPSTREAM_SEND("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")));
    upstream_answer(new, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew");
    for (int i = 0; i < IN_FLIGHT; i++) {
        in_flight[i] = gated_client(&scene);
        gated_ask(in_flight[i], "/slow");
    }
    ck_assert(upstream_wait(old, UPSTREAM_AT_GATE, IN_FLIGHT, GATED_WAIT_MS));
    gated_get(client, "/", 200, "ok\n");
    ck_assert(gated_reload(&scene, entry, NULL));
    gated_get(client, "/", 200, "new");
    gated_get(client, "/slow", 200, "new");
    ck_assert(upstream_wait(old, UPSTREAM_OPEN, IN_FLIGHT, GATED_WAIT_MS)); /* none rests */
    for (int i = 0; i < IN_FLIGHT; i++) upstream_go(old);
    for (int i = 0; i < IN_FLIGHT; i++) {
        struct response response;
        ck_assert_int_eq(client_read(in_flight[i], GATED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_str_eq(response.body, "old");
        client_response_done(&response);
        gated_get(in_flight[i], "/", 200, "new"); /* the client's connection goes on */
        client_free(in_flight[i]);
    }
    ck_assert_int_eq(upstream_count(old, UPSTREAM_REQUESTS), IN_FLIGHT + 1);
    ck_assert(upstream_wait(old, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
    client_free(client);
    free(entry);
    scene_end(&scene);
    upstream_stop(new), upstream_stop(old);
}

TEST(upstream_that_a_reload_removes_has_its_resting_connections_closed) {
    struct upstream *old = upstream_start(UPSTREAM_PLAIN), *new = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(old, "");
    char *entry = gated_entry(new, ""), *same = gated_entry(old, "");
    struct client *client = gated_client(&scene);
    gated_get(client, "/", 200, NULL);
    /* One that stays keeps its connection, whatever else changes. */
    ck_assert(gated_reload(&scene, same, "realm: other\n"));
    gated_get(client, "/", 200, NULL);
    ck_assert_int_eq(upstream_count(old, UPSTREAM_CONNECTIONS), 1);
    ck_assert_int_eq(upstream_count(old, UPSTREAM_OPEN), 1);
    ck_assert(gated_reload(&scene, entry, NULL));
    ck_assert(upstream_wait(old, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
    gated_get(client, "/", 200, NULL);
    ck_assert_int_eq(upstream_count(new, UPSTREAM_REQUESTS), 1);
    client_free(client);
    free(same), free(entry);
    scene_end(&scene);
    upstream_stop(new), upstream_stop(old);
}

/* Each client asks and is answered once; every request must succeed. */
static void ask_all(struct client *const all[], int count) {
    struct response response;
    for (int i = 0; i < count; i++) {
        if (i % 2)
            gated_ask(all[i], "/");
        else
            ck_assert(client_sendf(all[i], "POST / HTTP/1.1\r\nHost: h\r\n"
                                           "Content-Length: 5\r\n\r\nhello"));
    }
    for (int i = 0; i < count; i++) {
        ck_assert_msg(client_read(all[i], GATED_WAIT_MS, &response) == CLIENT_OK, "client %d", i);
        ck_assert_msg(response.status == 200, "client %d: %d", i, response.status);
        client_response_done(&response);
    }
}

TEST_WITHIN(upstream_requests_all_succeed_through_reloads_under_load, 60) {
    struct upstream *a = upstream_start(UPSTREAM_PLAIN), *b = upstream_start(UPSTREAM_PLAIN);
    char *entries[] = {gated_entry(a, ""), gated_entry(b, ""),
                       gated_entry(a, "keep_alive: {connections: 1}")};
    struct scene scene = gated_start(entries[0], NULL);
    struct client *all[8];
    for (size_t i = 0; i < ARRAY_LEN(all); i++) all[i] = gated_client(&scene);
    for (int round = 0; round < 20; round++) {
        int reloads = process_count_errors(scene.daemon->process, "notice: reloaded");
        ask_all(all, ARRAY_LEN(all));
        ck_assert(gated_reload(&scene, entries[round % 3], NULL));
        process_signal(scene.daemon->process, SIGHUP); /* and once more, in the middle of it */
        while (process_count_errors(scene.daemon->process, "notice: reloaded") < reloads + 2)
            ask_all(all, ARRAY_LEN(all));
    }
    ck_assert_int_gt(upstream_count(a, UPSTREAM_REQUESTS), 0);
    ck_assert_int_gt(upstream_count(b, UPSTREAM_REQUESTS), 0);
    ck_assert_int_eq(upstream_count(a, UPSTREAM_CUT_SHORT) + upstream_count(b, UPSTREAM_CUT_SHORT),
                     0);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) client_free(all[i]);
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) free(entries[i]);
    scene_end(&scene);
    upstream_stop(b), upstream_stop(a);
}

/* --- stop ------------------------------------------------------------------------------------ */

static void stop(const struct scene *scene) {
    process_signal(scene->daemon->process, SIGTERM);
    ck_assert(process_wait_errors(scene->daemon->process, "stopping", GATED_WAIT_MS));
}

TEST(upstream_requests_in_flight_are_finished_at_a_stop) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    struct client *waiting = gated_client(&scene), *reading = gated_client(&scene),
                  *uploading = gated_client(&scene), *resting = gated_client(&scene);
    struct response response;
    upstream_script(upstream, "/wait",
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_GATE, UPSTREAM_SEND(OK_2)));
    upstream_script(upstream, "/read",
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(CHUNKED_HEAD "1\r\no\r\n"),
                                   UPSTREAM_GATE, UPSTREAM_SEND("1\r\nk\r\n0\r\n\r\n")));
    gated_get(resting, "/", 200, "ok\n");
    gated_ask(waiting, "/wait");
    gated_ask(reading, "/read");
    ck_assert(client_sendf(uploading, "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n"
                                      "abc"));
    ck_assert(upstream_wait_hits(upstream, "/up", 1, GATED_WAIT_MS));
    ck_assert(upstream_wait(upstream, UPSTREAM_AT_GATE, 2, GATED_WAIT_MS));
    stop(&scene);
    ck_assert(client_closed(resting, GATED_WAIT_MS));
    process_sleep_ms(100);
    ck_assert(!process_ended(scene.daemon->process));

    upstream_go(upstream), upstream_go(upstream);
    ck_assert(client_send(uploading, SPAN_LITERAL("def")));
    struct client *const all[] = {waiting, uploading, reading};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        ck_assert_msg(client_read(all[i], GATED_WAIT_MS, &response) == CLIENT_OK, "%zu", i);
        ck_assert_int_eq(response.status, 200);
        ck_assert_str_eq(response.body, i == 1 ? "ok\n" : "ok");
        /* The head of the last was sent before. */
        if (i < 2) ck_assert(span_equal_text(response_header(&response, "Connection"), "close"));
        ck_assert_msg(client_closed(all[i], GATED_WAIT_MS), "%zu", i);
        client_response_done(&response);
        client_free(all[i]);
    }
    client_free(resting);
    gated_ended(&scene);
    ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
    upstream_stop(upstream);
}

/* A daemon with requests that hang in every state they can be in. */
static struct scene start_hanging(struct upstream *upstream, const char *limits, int fds[5]) {
    static const char *const requests[] = {
        "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /length HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /chunked HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET /endless HTTP/1.0\r\nHost: h\r\n\r\n",
        "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc",
    };
    char *entry = gated_entry(upstream, "");
    struct scene scene = gated_start(entry, limits);
    upstream_script(upstream, NULL, UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_HANG));
    upstream_script(upstream, "/length",
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(LENGTH_HEAD "a"), UPSTREAM_HANG));
    upstream_script(
        upstream, "/chunked",
        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(CHUNKED_HEAD "1\r\na\r\n"), UPSTREAM_HANG));
    upstream_script(upstream, "/endless",
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(ENDLESS_HEAD "a"), UPSTREAM_HANG));
    for (int i = 0; i < 5; i++) fds[i] = gated_say(&scene, span_of(requests[i]));
    ck_assert(upstream_wait(upstream, UPSTREAM_HEADS, 5, GATED_WAIT_MS));
    for (int i = 1; i < 4; i++) { /* the answer has begun */
        struct pollfd poller = {fds[i], POLLIN, 0};
        ck_assert_int_eq(poll(&poller, 1, GATED_WAIT_MS), 1);
    }
    free(entry);
    return scene;
}

static void check_hangers_are_cut_off(struct scene *scene, struct upstream *upstream,
                                      const int fds[5]) {
    for (int i = 0; i < 5; i++) {
        struct gated_heard heard = gated_hear(fds[i]);
        ck_assert_msg(heard.end != PROXIED_OPEN, "%d: open", i);
        ck_assert_msg(!gated_is_whole(&heard) || strncmp(heard.bytes, "HTTP/1.1 50", 11) == 0,
                      "%d looks whole: %s", i, heard.bytes);
        free(heard.bytes);
    }
    gated_ended(scene);
    ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
    upstream_stop(upstream);
}

TEST(upstream_that_hangs_does_not_hold_up_a_stop_beyond_drain_timeout) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    int fds[5];
    struct scene scene = start_hanging(upstream, "limits: {drain_timeout: 500ms}\n", fds);
    long since = process_now_ms();
    stop(&scene);
    check_hangers_are_cut_off(&scene, upstream, fds);
    check_took(process_now_ms() - since, 450);
}

TEST(upstream_that_hangs_is_left_at_the_second_signal) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    int fds[5];
    struct scene scene = start_hanging(upstream, "limits: {drain_timeout: 1h}\n", fds);
    stop(&scene);
    process_sleep_ms(200);
    ck_assert(!process_ended(scene.daemon->process));
    process_signal(scene.daemon->process, SIGTERM);
    check_hangers_are_cut_off(&scene, upstream, fds);
}
