/*
 * Protocols that are switched to, WebSocket above all: whoever may not is refused before the
 * upstream hears of it, and then bytes pass both ways, until one side, the token or the server
 * ends it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/attr.h"
#include "tests/integration/passage.h"
#include "tests/integration/talk.h"
#include "tests/support/certificate.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 4 : 1)
#define WAIT_MS 5000
#define QUIET_MS 200
#define LARGE ((uint64_t)(SCENE_SANITIZED ? 2 : 10) << 20)

#define ASKS                                                                                       \
    "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"       \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n"
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define SWITCHES                                                                                   \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
#define REFUSES "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"

/* --- the scene ------------------------------------------------------------------------------- */

/* bearerd on a plain port and on one that speaks TLS, with an upstream that echoes under /echo. */
struct tunnels {
    struct passage passage;
    int port, tls_port;
};

static struct tunnels start(const struct passage_options *options) {
    struct tunnels tunnels = {.tls_port = process_free_port()};
    struct passage_options own = *options;
    char *folder = scratch_new(), *certificate, *key;
    certificate_files(folder, &certificate, &key);
    char *listen = scratch_text(", {address: \"127.0.0.1:%d\", tls: {certificate: \"%s\", "
                                "private_key: \"%s\"}}",
                                tunnels.tls_port, certificate, key);
    own.listen = listen;
    tunnels.passage = passage_start(&own);
    tunnels.port = passage_port(&tunnels.passage);
    upstream_script(tunnels.passage.upstream, "/echo",
                    UPSTREAM_STEPS(UPSTREAM_SEND(SWITCHES), UPSTREAM_ECHO));
    free(listen), free(key), free(certificate), free(folder);
    return tunnels;
}

static void end(struct tunnels *tunnels) {
    passage_end(&tunnels->passage);
}

static bool starts_with(const struct talk *talk, const char *text) {
    return span_starts_with(talk_received(talk), span_of(text));
}

/* A tunnel through bearerd, switched over, of which nothing but the head has come. */
static struct talk *open_on(const struct tunnels *tunnels, bool tls, const char *head) {
    struct talk *talk = talk_open(tls ? tunnels->tls_port : tunnels->port, tls);
    talk_send(talk, span_of(head));
    bool switched =
        talk_await(talk, "\r\n\r\n", WAIT_MS) && starts_with(talk, "HTTP/1.1 101 Switching");
    ck_assert_msg(switched, "tls %d: %s", tls, talk_received(talk).ptr);
    return talk;
}

static struct talk *open_tunnel(const struct tunnels *tunnels, bool tls, const char *path) {
    char *head = passage_head(&tunnels->passage, "GET", path, ASKS);
    struct talk *talk = open_on(tunnels, tls, head);
    free(head);
    struct span received = talk_received(talk);
    ck_assert(received.len > 4 && memcmp(received.ptr + received.len - 4, "\r\n\r\n", 4) == 0);
    talk_drop(talk);
    return talk;
}

static void check_echo(struct talk *talk, const char *text) {
    talk_send(talk, span_of(text));
    ck_assert_msg(talk_await(talk, text, WAIT_MS), "no echo of %s", text);
    ck_assert(span_equal_text(talk_received(talk), text));
    talk_drop(talk);
}

static bool all_closed(const struct tunnels *tunnels) {
    return upstream_wait(tunnels->passage.upstream, UPSTREAM_OPEN, 0, WAIT_MS);
}

/* --- the handshake --------------------------------------------------------------------------- */

TEST(without_a_good_token_there_is_no_switch_and_the_upstream_sees_nothing) {
    static const struct {
        const char *authorization;
        int status;
    } rows[] = {
        {"", 401},
        {"Authorization: Bearer x.y.z\r\n", 401},
        {"Authorization: Basic dXNlcjpw\r\n", 401},
        {"Authorization: Bearer\r\n", 400},
        {"Sec-WebSocket-Protocol: bearer, x.y.z\r\n", 401},
    };
    struct tunnels tunnels = start(&(struct passage_options){0});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client *client = client_connect(tunnels.port);
        struct response response;
        char *headers = scratch_text("%s" ASKS, rows[i].authorization);
        char *head = scene_get("/echo", headers);
        ck_assert(client_send(client, span_of(head)));
        ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
        ck_assert_msg(response.status == rows[i].status, "%s: %s", rows[i].authorization,
                      response.head);
        ck_assert_int_eq(response_header_count(&response, "Upgrade"), 0);
        client_response_done(&response);
        client_free(client);
        free(head), free(headers);
    }
    ck_assert_int_eq(upstream_count(tunnels.passage.upstream, UPSTREAM_CONNECTIONS), 0);
    talk_free(open_tunnel(&tunnels, false, "/echo"));
    end(&tunnels);
}

TEST(i8_both_sides_see_the_whole_handshake_of_the_other) {
    struct tunnels tunnels = start(&(struct passage_options){0});
    struct client *client = client_connect(tunnels.port);
    struct response response;
    char *head = passage_head(&tunnels.passage, "GET", "/echo?room=1", ASKS);
    ck_assert(client_send(client, span_of(head)));
    ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
    ck_assert_int_eq(response.status, 101);
    static const struct {
        const char *name, *value;
    } answered[] = {{"Upgrade", "websocket"},
                    {"Sec-WebSocket-Accept", ACCEPT},
                    {"Sec-WebSocket-Protocol", "chat"}};
    for (size_t i = 0; i < ARRAY_LEN(answered); i++)
        ck_assert_msg(
            response_header_count(&response, answered[i].name) == 1 &&
                span_equal_text(response_header(&response, answered[i].name), answered[i].value),
            "%s: %s", answered[i].name, response.head);
    ck_assert_msg(
        response_header_count(&response, "Connection") == 1 &&
            span_equal_nocase(response_header(&response, "Connection"), SPAN_LITERAL("upgrade")),
        "%s", response.head);
    ck_assert_int_eq(response_header_count(&response, "Transfer-Encoding"), 0);

    const struct upstream_request *request = passage_request(&tunnels.passage, "/echo");
    ck_assert(span_equal_text(request->target, "/echo?room=1"));
    static const struct {
        const char *name, *value;
    } asked[] = {
        {"Upgrade", "websocket"},           {"Connection", "upgrade"},
        {"Sec-WebSocket-Version", "13"},    {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
        {"Sec-WebSocket-Protocol", "chat"}, {"X-Auth-User", "alice@example.com"}};
    for (size_t i = 0; i < ARRAY_LEN(asked); i++)
        ck_assert_msg(upstream_header_count(request, asked[i].name) == 1 &&
                          span_equal_text(upstream_header(request, asked[i].name), asked[i].value),
                      "%s: %.*s", asked[i].name, SPAN_PRINTF(request->head));
    ck_assert_int_eq(upstream_header_count(request, "Authorization"), 0);
    client_response_done(&response);
    client_free(client);
    free(head);
    end(&tunnels);
}

TEST(other_protocols_are_tunnelled_as_well) {
    struct tunnels tunnels = start(&(struct passage_options){0});
    upstream_script(tunnels.passage.upstream, "/other",
                    UPSTREAM_STEPS(UPSTREAM_SEND("HTTP/1.1 101 Fine\r\nConnection: upgrade\r\n"
                                                 "Upgrade: example/2\r\nX-More: 1\r\n\r\n"),
                                   UPSTREAM_ECHO));
    for (int tls = 0; tls < 2; tls++) {
        char *head = passage_head(&tunnels.passage, "GET", "/other",
                                  "Connection: upgrade\r\nUpgrade: example/1, example/2\r\n");
        struct talk *talk = open_on(&tunnels, tls, head);
        ck_assert(talk_await(talk, "X-More: 1\r\n", 0) &&
                  talk_await(talk, "Upgrade: example/2\r\n", 0));
        talk_drop(talk);
        check_echo(talk, "anything");
        const struct upstream_request *request = passage_request(&tunnels.passage, "/other");
        ck_assert(span_equal_text(upstream_header(request, "Upgrade"), "example/1, example/2"));
        talk_free(talk);
        free(head);
    }
    end(&tunnels);
}

/* Requests that nobody judges could be hidden in another version of HTTP; and a server that is not
 * asked must not switch. */
TEST(i8_what_may_not_be_switched_to_is_an_ordinary_request) {
    static const struct {
        const char *method, *headers, *body;
    } rows[] = {
        {"GET", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
         ""},
        {"GET", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", ""},
        {"GET", "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n", ""},
        {"GET", "Connection: Upgrade\r\nUpgrade: TLS/1.3\r\n", ""},
        {"GET", "Upgrade: websocket\r\n", ""},
        {"GET", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: other\r\n", ""},
        {"GET", "Connection: Upgrade\r\n", ""},
        {"POST", ASKS "Content-Length: 4\r\n", "body"},
        {"POST", ASKS "Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n"},
    };
    struct tunnels tunnels = start(&(struct passage_options){0});
    struct client *client = client_connect(tunnels.port);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct response response;
        char *head = passage_head(&tunnels.passage, rows[i].method, "/ordinary", rows[i].headers);
        ck_assert(client_sendf(client, "%s%s", head, rows[i].body));
        ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
        ck_assert_msg(response.status == 200, "row %zu: %s", i, response.head);
        const struct upstream_request *request = passage_request(&tunnels.passage, "/ordinary");
        ck_assert_msg(upstream_header_count(request, "Upgrade") == 0 &&
                          upstream_header_count(request, "Connection") == 0 &&
                          upstream_header_count(request, "HTTP2-Settings") == 0,
                      "row %zu: %.*s", i, SPAN_PRINTF(request->head));
        client_response_done(&response);
        free(head);
    }
    client_free(client);
    end(&tunnels);
}

TEST(a_switch_that_nobody_asked_for_is_a_502) {
    struct tunnels tunnels =
        start(&(struct passage_options){.upstream = ", health: {max_fails: 0}"});
    static const char *const headers[] = {"", "Upgrade: websocket\r\n",
                                          "Connection: upgrade\r\nUpgrade: h2c\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        struct client *client = client_connect(tunnels.port);
        struct response response;
        char *head = passage_head(&tunnels.passage, "GET", "/echo", headers[i]);
        ck_assert(client_send(client, span_of(head)));
        ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
        ck_assert_msg(response.status == 502, "%s: %s", headers[i], response.head);
        client_response_done(&response);
        client_free(client);
        free(head);
    }
    ck_assert(all_closed(&tunnels));
    end(&tunnels);
}

TEST(an_upstream_that_does_not_switch_has_answered_and_the_connection_goes_on) {
    struct tunnels tunnels = start(&(struct passage_options){0});
    upstream_answer(tunnels.passage.upstream, "/refused", REFUSES);
    struct client *client = client_connect(tunnels.port);
    char *head = passage_head(&tunnels.passage, "GET", "/refused", ASKS);
    for (int i = 0; i < 3; i++) {
        struct response response;
        ck_assert(client_send(client, span_of(head)));
        ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 200);
        ck_assert_str_eq(response.body, "no");
        client_response_done(&response);
    }
    char *switching = passage_head(&tunnels.passage, "GET", "/echo", ASKS);
    struct response response;
    ck_assert(client_send(client, span_of(switching)));
    ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
    ck_assert_int_eq(response.status, 101);
    client_response_done(&response);
    client_free(client);
    free(switching), free(head);
    end(&tunnels);
}

/* --- bytes ----------------------------------------------------------------------------------- */

TEST(bytes_pass_both_ways_as_they_come) {
    struct tunnels tunnels = start(&(struct passage_options){0});
    for (int tls = 0; tls < 2; tls++) {
        struct talk *talk = open_tunnel(&tunnels, tls, "/echo");
        for (int i = 0; i < 20; i++) {
            char text[32];
            snprintf(text, sizeof text, "message %d", i);
            check_echo(talk, text);
        }
        talk_free(talk);
        ck_assert_msg(all_closed(&tunnels), "tls %d", tls);
    }
    end(&tunnels);
}

TEST(bytes_that_come_together_with_the_handshake_are_not_lost) {
    struct tunnels tunnels = start(&(struct passage_options){0});
    static const size_t lengths[] = {1, 100, 5000, 20000, 100000};
    static char early[100000 + 1];
    upstream_script(tunnels.passage.upstream, "/early",
                    UPSTREAM_STEPS(UPSTREAM_SEND(SWITCHES "from the upstream:"), UPSTREAM_ECHO));
    upstream_filler(0, early, sizeof early - 1);
    for (size_t i = 0; i < 2 * ARRAY_LEN(lengths); i++) {
        bool tls = i % 2;
        size_t len = lengths[i / 2];
        char *head = passage_head(&tunnels.passage, "GET", "/early", ASKS);
        char *bytes = scratch_text("%s%.*s", head, (int)len, early);
        char *expected = scratch_text("\r\n\r\nfrom the upstream:%.*s", (int)len, early);
        struct talk *talk = open_on(&tunnels, tls, bytes);
        ck_assert_msg(talk_await(talk, expected, WAIT_MS), "tls %d, %zu bytes", tls, len);
        talk_drop(talk);
        check_echo(talk, "and later ones");
        talk_free(talk);
        free(expected), free(bytes), free(head);
    }
    end(&tunnels);
}

static void check_large(bool https) {
    struct tunnels tunnels = start(&(struct passage_options){.https = https});
    for (int tls = 0; tls < 2; tls++) {
        struct talk *talk = open_tunnel(&tunnels, tls, "/echo");
        talk_echo(talk, LARGE);
        check_echo(talk, "done");
        talk_free(talk);
        ck_assert(all_closed(&tunnels));
    }
    end(&tunnels);
}

TEST_WITHIN(ten_mebibytes_pass_both_ways_at_once, 60) {
    check_large(false);
}

TEST_WITHIN(ten_mebibytes_pass_both_ways_at_once_with_an_https_upstream, 60) {
    check_large(true);
}

TEST_WITHIN(fifty_tunnels_at_once_do_not_mix, 60) {
    static struct talk *talks[50];
    struct tunnels tunnels = start(&(struct passage_options){0});
    for (size_t i = 0; i < ARRAY_LEN(talks); i++) talks[i] = open_tunnel(&tunnels, i % 2, "/echo");
    for (int turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
            char text[32];
            snprintf(text, sizeof text, "tunnel %zu, turn %d.", i, turn);
            talk_send(talks[i], span_of(text));
        }
        for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
            char text[32];
            snprintf(text, sizeof text, "tunnel %zu, turn %d.", i, turn);
            ck_assert_msg(talk_await(talks[i], text, WAIT_MS), "%s", text);
            ck_assert(span_equal_text(talk_received(talks[i]), text));
            talk_drop(talks[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(talks); i++) talk_free(talks[i]);
    ck_assert(all_closed(&tunnels));
    end(&tunnels);
}

/* Neither side may be drowned in what the other does not take. */
TEST(a_tunnel_whose_client_does_not_read_stops_the_upstream) {
    struct tunnels tunnels = start(&(struct passage_options){0});
    const uint64_t len = 64 << 20, most = passage_under_way_max(64);
    upstream_script(tunnels.passage.upstream, "/flood",
                    UPSTREAM_STEPS(UPSTREAM_SEND(SWITCHES), UPSTREAM_FILL(len)));
    for (int tls = 0; tls < 2; tls++) {
        uint64_t before = upstream_sent(tunnels.passage.upstream), sent = before, seen;
        long rss = process_rss_kib(tunnels.passage.scene.daemon->process);
        char *head = passage_head(&tunnels.passage, "GET", "/flood", ASKS);
        struct talk *talk = talk_open(tls ? tunnels.tls_port : tunnels.port, tls);
        talk_send(talk, span_of(head));
        do {
            seen = sent;
            process_sleep_ms(QUIET_MS);
            sent = upstream_sent(tunnels.passage.upstream);
        } while (sent != seen || sent == before);
        ck_assert_msg(sent - before < most, "tls %d: %lu bytes", tls,
                      (unsigned long)(sent - before));
        long grown = process_rss_kib(tunnels.passage.scene.daemon->process) - rss;
        ck_assert_msg(SCENE_SANITIZED || grown < 1024, "tls %d: %ld KiB", tls, grown);
        talk_free(talk);
        free(head);
        ck_assert(all_closed(&tunnels));
    }
    end(&tunnels);
}

/* --- the end --------------------------------------------------------------------------------- */

static void check_half_close(bool https) {
    struct tunnels tunnels = start(&(struct passage_options){.https = https});
    static char bytes[200000 + 1];
    upstream_filler(0, bytes, sizeof bytes - 1);
    for (int tls = 0; tls < 2; tls++) {
        struct talk *talk = open_tunnel(&tunnels, tls, "/echo");
        talk_send(talk, span_of(bytes));
        talk_finish(talk);
        enum talk_end ended = talk_wait_end(talk, WAIT_MS);
        ck_assert_msg(span_equal_text(talk_received(talk), bytes), "tls %d: %zu bytes came back",
                      tls, talk_received(talk).len);
        ck_assert_msg(ended == TALK_FINISHED, "tls %d: %d", tls, ended);
        talk_free(talk);
        ck_assert(all_closed(&tunnels));
    }
    end(&tunnels);
}

TEST(what_the_client_sent_before_it_ended_its_side_comes_back_whole) {
    check_half_close(false);
}

TEST(what_the_client_sent_before_it_ended_its_side_comes_back_whole_from_an_https_upstream) {
    check_half_close(true);
}

TEST(the_client_may_go_on_sending_when_the_upstream_has_ended_its_side) {
    struct tunnels tunnels = start(&(struct passage_options){0});
    upstream_script(
        tunnels.passage.upstream, "/half",
        UPSTREAM_STEPS(UPSTREAM_SEND(SWITCHES "good bye"), UPSTREAM_FINISH, UPSTREAM_ECHO));
    char *head = passage_head(&tunnels.passage, "GET", "/half", ASKS);
    struct talk *talk = open_on(&tunnels, false, head);
    ck_assert_int_eq(talk_wait_end(talk, WAIT_MS), TALK_FINISHED);
    ck_assert(talk_await(talk, "\r\n\r\ngood bye", 0));
    ck_assert_int_eq(upstream_count(tunnels.passage.upstream, UPSTREAM_OPEN), 1);
    talk_send(talk, SPAN_LITERAL("still here"));
    ck_assert(all_closed(&tunnels)); /* by the upstream, which cannot echo that any more */
    struct span raw = upstream_connection(tunnels.passage.upstream, 0)->raw;
    ck_assert(raw.len > 10 && memcmp(raw.ptr + raw.len - 10, "still here", 10) == 0);
    talk_free(talk);
    free(head);
    end(&tunnels);
}

TEST(when_one_side_leaves_the_other_is_closed_and_nothing_stays_open) {
    static const struct {
        enum upstream_act act;
        bool client; /* it is the client that leaves */
        bool reset;
    } rows[] = {
        {UPSTREAM_ACT_CLOSE, false, false},
        {UPSTREAM_ACT_RESET, false, true},
        {UPSTREAM_ACT_ECHO, true, false},
        {UPSTREAM_ACT_ECHO, true, true},
    };
    struct tunnels tunnels = start(&(struct passage_options){0});
    int before = 0;
    for (size_t i = 0; i < 4 * ARRAY_LEN(rows); i++) {
        size_t row = i % ARRAY_LEN(rows);
        bool tls = i / ARRAY_LEN(rows) % 2;
        upstream_script(
            tunnels.passage.upstream, "/leave",
            UPSTREAM_STEPS(UPSTREAM_SEND(SWITCHES), UPSTREAM_GATE, {.act = rows[row].act}));
        struct talk *talk = open_tunnel(&tunnels, tls, "/leave");
        ck_assert(upstream_wait(tunnels.passage.upstream, UPSTREAM_AT_GATE, 1, WAIT_MS));
        if (!rows[row].client) {
            upstream_go(tunnels.passage.upstream);
            ck_assert_msg(talk_wait_end(talk, WAIT_MS) != TALK_OPEN, "row %zu, tls %d", row, tls);
        } else if (rows[row].reset) {
            talk_reset(talk);
        }
        talk_free(talk);
        ck_assert_msg(all_closed(&tunnels), "row %zu, tls %d", row, tls);
        /* Descriptors of the first two turns, TLS and plain, are the baseline. */
        if (i + 1 == 2 * ARRAY_LEN(rows))
            before = process_open_files(tunnels.passage.scene.daemon->process);
    }
    for (long until = process_now_ms() + WAIT_MS;
         process_open_files(tunnels.passage.scene.daemon->process) > before; process_sleep_ms(10))
        ck_assert_msg(process_now_ms() < until, "descriptors are left over");
    end(&tunnels);
}

static long wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

TEST(a_tunnel_ends_when_the_token_that_opened_it_expires_and_others_go_on) {
    struct tunnels tunnels = start(&(struct passage_options){.issuer = ", leeway: 0s"});
    long expires = time(NULL) + 2;
    char *changes = scratch_text("{\"exp\": %ld}", expires), *token = scene_token(changes);
    static const char *const paths[] = {"/echo", "/echo", "/lasting/echo", "/open/echo"};
    struct talk *talks[ARRAY_LEN(paths)];
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        char *authorization = scratch_text("Authorization: Bearer %s\r\n" ASKS, token);
        char *head = scene_get(paths[i], i == 3 ? ASKS : authorization);
        upstream_script(tunnels.passage.upstream, paths[i],
                        UPSTREAM_STEPS(UPSTREAM_SEND(SWITCHES), UPSTREAM_ECHO));
        talks[i] = open_on(&tunnels, i == 1, head);
        talk_drop(talks[i]);
        free(head), free(authorization);
    }
    for (size_t i = 0; i < 2; i++) {
        ck_assert_msg(talk_wait_end(talks[i], 6000 * SLOW) != TALK_OPEN, "tunnel %zu", i);
        long late = wall_ms() - expires * 1000;
        ck_assert_msg(late >= 0 && late < 2000 * SLOW, "tunnel %zu: %ld ms", i, late);
    }
    ck_assert(upstream_wait(tunnels.passage.upstream, UPSTREAM_OPEN, 2, WAIT_MS));
    process_sleep_ms(QUIET_MS);
    check_echo(talks[2], "still here");
    check_echo(talks[3], "still here");
    for (size_t i = 0; i < ARRAY_LEN(talks); i++) talk_free(talks[i]);
    free(token), free(changes);
    end(&tunnels);
}

/* SIGTERM: the tunnels may go on up to drain_timeout, and are closed then. */
TEST(tunnels_and_streams_are_closed_at_the_end_of_drain_timeout) {
    struct tunnels tunnels =
        start(&(struct passage_options){.rest = "limits: {drain_timeout: 1s}\n"});
    struct process *process = tunnels.passage.scene.daemon->process;
    upstream_script(tunnels.passage.upstream, "/stream",
                    UPSTREAM_STEPS(UPSTREAM_READ,
                                   UPSTREAM_SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                                                 "\r\n1\r\nx\r\n"),
                                   UPSTREAM_HANG));
    char *head = passage_head(&tunnels.passage, "GET", "/stream", "");
    struct talk *talks[] = {open_tunnel(&tunnels, false, "/echo"),
                            open_tunnel(&tunnels, true, "/echo"), talk_open(tunnels.port, false)};
    talk_send(talks[2], span_of(head));
    ck_assert(talk_await(talks[2], "1\r\nx\r\n", WAIT_MS));
    long since = process_now_ms();
    process_signal(process, SIGTERM);
    ck_assert(process_wait_errors(process, "stopping", WAIT_MS));
    check_echo(talks[0], "still here");
    check_echo(talks[1], "still here");
    for (size_t i = 0; i < ARRAY_LEN(talks); i++)
        ck_assert_msg(talk_wait_end(talks[i], 4000 * SLOW) != TALK_OPEN, "connection %zu", i);
    ck_assert(!talk_await(talks[2], "0\r\n\r\n", 0));
    passage_wait_end(&tunnels.passage, 4000 * SLOW);
    long took = process_now_ms() - since;
    ck_assert_msg(took >= 900 && took < 3000 * SLOW, "%ld ms", took);
    for (size_t i = 0; i < ARRAY_LEN(talks); i++) talk_free(talks[i]);
    free(head);
}
