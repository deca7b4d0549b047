/*
 * Targets that speak TLS: whose certificate is believed, what a target learns of us, and that a
 * stream which somebody cut is never taken for one that has ended.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/integration/gated.h"
#include "tests/support/certificate.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define CHUNKED_HEAD "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define EVIL "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
#define LARGE 1000000

/* "tls: {ca_file: ..., OPTIONS}" with the test authority. The caller frees it. */
static char *trusting(const char *options) {
    return scratch_text("tls: {ca_file: \"%s\"%s%s}", certificate_authority_file(),
                        *options ? ", " : "", options);
}

static struct scene start_trusting(const struct upstream *upstream, const char *options) {
    char *tls = trusting(options);
    struct scene scene = gated_start_for(upstream, tls);
    free(tls);
    return scene;
}

static void post_filler(struct client *client, size_t len) {
    struct response response;
    char *body = malloc(len);
    upstream_filler(0, body, len);
    ck_assert(
        client_sendf(client, "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", len));
    ck_assert(client_send(client, (struct span){body, len}));
    ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
    ck_assert_int_eq(response.status, 200);
    client_response_done(&response);
    free(body);
}

static void get_filler(struct client *client, const char *path, size_t len) {
    struct response response;
    gated_ask(client, path);
    ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
    ck_assert_int_eq(response.status, 200);
    ck_assert_uint_eq(response.body_len, len);
    ck_assert(upstream_is_filler(0, (struct span){response.body, response.body_len}));
    client_response_done(&response);
}

/* --- certificates ---------------------------------------------------------------------------- */

TEST(a_good_certificate_carries_requests_of_all_kinds_on_one_connection) {
    struct upstream *upstream = upstream_start(UPSTREAM_TLS);
    struct scene scene = start_trusting(upstream, "");
    struct client *client = gated_client(&scene);
    upstream_script(upstream, "/large",
                    UPSTREAM_STEPS(UPSTREAM_READ,
                                   UPSTREAM_SEND("HTTP/1.1 200 OK\r\n"
                                                 "Content-Length: 1000000\r\n\r\n"),
                                   UPSTREAM_FILL(LARGE)));
    upstream_script(
        upstream, "/chunks",
        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(CHUNKED_HEAD), UPSTREAM_FILL_CHUNKED(LARGE)));
    for (int i = 0; i < 5; i++) {
        gated_get(client, "/", 200, "ok\n");
        post_filler(client, i % 2 ? 10 : LARGE);
        get_filler(client, "/large", LARGE);
        get_filler(client, "/chunks", LARGE);
        process_sleep_ms(10); /* what TLS says of its own accord does not end the rest */
    }
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_REQUESTS), 20);
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CONNECTIONS), 1);
    for (int i = 1; i < 20; i += 4)
        ck_assert(upstream_request(upstream, i)->digest ==
                  upstream_filler_digest(upstream_request(upstream, i)->body_len));
    const struct upstream_connection *connection = upstream_connection(upstream, 0);
    ck_assert_ptr_null(connection->server_name); /* an address is no name (RFC 6066 section 3) */
    ck_assert_ptr_null(connection->certificate);
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST_WITHIN(a_bad_certificate_is_502_and_the_log_says_why, 60) {
    static const struct {
        enum upstream_tls kind;
        const char *options;
        bool known; /* its authority is */
        const char *why;
    } rows[] = {
        {UPSTREAM_TLS, "", false, "set tls.ca_file of the upstream to the authority"},
        {UPSTREAM_TLS_SELF_SIGNED, "", true, "self-signed certificate"},
        {UPSTREAM_TLS_SELF_SIGNED, "", false, "self-signed certificate"},
        {UPSTREAM_TLS_EXPIRED, "", true, "certificate has expired"},
        {UPSTREAM_TLS_WRONG_NAME, "", true, "IP address mismatch"},
        {UPSTREAM_TLS, "server_name: other.example", true, "hostname mismatch"},
        {UPSTREAM_TLS_WRONG_NAME, "server_name: example", true, "hostname mismatch"},
        {UPSTREAM_TLS_OLD, "", true, "it speaks no TLS 1.2 or newer"},
        {UPSTREAM_TLS_RESET, "", true, "Connection reset by peer"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct upstream *upstream = upstream_start(rows[i].kind);
        struct scene scene = rows[i].known ? start_trusting(upstream, rows[i].options)
                                           : gated_start_for(upstream, rows[i].options);
        for (int k = 0; k < 2; k++) gated_fails(&scene, "/", 502, "bad_gateway");
        struct client *client = gated_client(&scene);
        ck_assert(client_sendf(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
                                       "abc"));
        gated_check_problem(client, 502, "bad_gateway");
        gated_check_logged(&scene, "upstream_unreachable", 3);
        gated_check_logged(&scene, rows[i].why, 3);
        ck_assert_int_eq(upstream_count(upstream, UPSTREAM_HEADS), 0);
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
        client_free(client);
        scene_end(&scene);
        upstream_stop(upstream);
    }
}

/* No client learns what the log says. */
TEST(an_answer_about_tls_tells_the_client_nothing_of_what_is_inside) {
    struct upstream *upstream = upstream_start(UPSTREAM_TLS_EXPIRED);
    struct scene scene = start_trusting(upstream, "");
    struct gated_heard heard =
        gated_talk(&scene, SPAN_LITERAL("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    static const char *const secrets[] = {"127.0.0.1", "certificate", "expired", "TLS"};
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
        ck_assert_msg(!strstr(heard.bytes, secrets[i]), "%s", heard.bytes);
    ck_assert(strstr(heard.bytes, "the upstream could not be reached"));
    free(heard.bytes);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(tls_and_no_tls_do_not_meet) {
    struct upstream *plain = upstream_start(UPSTREAM_PLAIN), *tls = upstream_start(UPSTREAM_TLS);
    char *to_plain = scratch_text("{name: up, targets: [\"https://127.0.0.1:%d\"], timeouts: "
                                  "{connect: 300ms}}",
                                  upstream_port(plain));
    char *to_tls =
        scratch_text("{name: up, targets: [\"http://127.0.0.1:%d\"]}", upstream_port(tls));
    struct scene scene = gated_start(to_plain, NULL);
    upstream_script(plain, UPSTREAM_AT_CONNECT,
                    UPSTREAM_STEPS(UPSTREAM_SEND("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")));
    gated_fails(&scene, "/", 502, "bad_gateway");
    gated_check_log(&scene, "it does not speak TLS on this port");
    /* One that says nothing is waited for no longer than any connection. */
    upstream_script(plain, UPSTREAM_AT_CONNECT, UPSTREAM_STEPS(UPSTREAM_HANG));
    gated_fails(&scene, "/", 504, "gateway_timeout");
    gated_check_log(&scene, "timeouts.connect");
    ck_assert(gated_reload(&scene, to_tls, NULL));
    gated_fails(&scene, "/", 502, "bad_gateway");
    ck_assert_int_eq(upstream_count(tls, UPSTREAM_HEADS), 0);
    free(to_tls), free(to_plain);
    scene_end(&scene);
    upstream_stop(tls), upstream_stop(plain);
}

TEST(server_name_is_what_is_asked_for_and_what_the_certificate_must_hold) {
    struct upstream *upstream = upstream_start(UPSTREAM_TLS_WRONG_NAME);
    struct scene scene = start_trusting(upstream, "server_name: other.example");
    struct client *client = gated_client(&scene);
    gated_get(client, "/", 200, "ok\n");
    ck_assert_str_eq(upstream_connection(upstream, 0)->server_name, "other.example");
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);

    upstream = upstream_start(UPSTREAM_TLS);
    char *tls = trusting("");
    char *entry = scratch_text("{name: up, targets: [\"https://localhost:%d\"], %s}",
                               upstream_port(upstream), tls);
    scene = gated_start(entry, NULL);
    client = gated_client(&scene);
    gated_get(client, "/", 200, "ok\n");
    ck_assert_str_eq(upstream_connection(upstream, 0)->server_name, "localhost");
    client_free(client);
    free(entry), free(tls);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(a_client_certificate_is_shown_where_one_is_configured) {
    struct upstream *upstream = upstream_start(UPSTREAM_TLS);
    char *folder = scratch_new(), *certificate, *key;
    certificate_client_files(folder, false, &certificate, &key);
    char *options = scratch_text("certificate: \"%s\", private_key: \"%s\"", certificate, key);
    struct scene scene = start_trusting(upstream, options);
    struct client *client = gated_client(&scene);
    gated_get(client, "/", 200, "ok\n");
    ck_assert_str_eq(upstream_connection(upstream, 0)->certificate, "bearerd test client");
    client_free(client);
    scene_end(&scene);
    free(options), free(key), free(certificate), free(folder);
    upstream_stop(upstream);
}

TEST(a_reload_takes_another_authority_and_refuses_one_that_is_none) {
    struct upstream *upstream = upstream_start(UPSTREAM_TLS);
    struct scene scene = gated_start_for(upstream, "");
    char *tls = trusting(""), *good = gated_entry(upstream, tls);
    char *bad = gated_entry(upstream, "tls: {ca_file: /no/such/file}");
    struct client *client = gated_client(&scene);
    gated_fails(&scene, "/", 502, "bad_gateway");
    ck_assert(gated_reload(&scene, good, NULL));
    gated_get(client, "/", 200, "ok\n");
    ck_assert(!gated_reload(&scene, bad, NULL));
    gated_check_log(&scene, "/no/such/file");
    gated_get(client, "/", 200, "ok\n");
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_REQUESTS), 2);
    client_free(client);
    free(bad), free(good), free(tls);
    scene_end(&scene);
    upstream_stop(upstream);
}

/* --- the end of a stream --------------------------------------------------------------------- */

static const char *const clients[] = {
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
};

static const struct {
    const char *name;
    const char *answer;
    enum upstream_act ending;
    bool whole;
} endings[] = {
    {"until close, with close_notify", "HTTP/1.1 200 OK\r\n\r\nsome", UPSTREAM_ACT_CLOSE, true},
    {"until close, cut", "HTTP/1.1 200 OK\r\n\r\nsome", UPSTREAM_ACT_CUT, false},
    {"until close, reset", "HTTP/1.1 200 OK\r\n\r\nsome", UPSTREAM_ACT_RESET, false},
    {"until close, cut behind the head", "HTTP/1.1 200 OK\r\n\r\n", UPSTREAM_ACT_CUT, false},
    {"length, cut", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsome", UPSTREAM_ACT_CUT, false},
    {"length, closed", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsome", UPSTREAM_ACT_CLOSE,
     false},
    {"chunked, cut", CHUNKED_HEAD "4\r\nsome\r\n", UPSTREAM_ACT_CUT, false},
    {"chunked, closed", CHUNKED_HEAD "4\r\nsome\r\n", UPSTREAM_ACT_CLOSE, false},
    /* What has ended by itself needs no close_notify. */
    {"length, whole, cut", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsome", UPSTREAM_ACT_CUT,
     true},
    {"chunked, whole, cut", CHUNKED_HEAD "4\r\nsome\r\n0\r\n\r\n", UPSTREAM_ACT_CUT, true},
};

/* together: answer and end come to the daemon at the same moment. */
static void check_endings(bool together) {
    struct upstream *upstream = upstream_start(UPSTREAM_TLS);
    char *tls = trusting(""), *options = scratch_text("%s, health: {max_fails: 0}", tls);
    struct scene scene = gated_start_for(upstream, options);
    for (size_t i = 0; i < ARRAY_LEN(endings) * ARRAY_LEN(clients); i++) {
        const char *client = clients[i % ARRAY_LEN(clients)];
        size_t row = i / ARRAY_LEN(clients);
        /* One who keeps the connection does not see the end of a whole answer. */
        if (endings[row].whole && i % ARRAY_LEN(clients) == 0) continue;
        upstream_script(upstream, NULL,
                        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_GATE,
                                       UPSTREAM_SEND_SPAN(span_of(endings[row].answer)),
                                       UPSTREAM_WAIT(together ? 0 : 20),
                                       {.act = endings[row].ending}));
        int fd = gated_say(&scene, span_of(client));
        ck_assert(upstream_wait(upstream, UPSTREAM_AT_GATE, 1, GATED_WAIT_MS));
        if (together) gated_freeze(&scene);
        upstream_go(upstream);
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
        if (together) gated_thaw(&scene);
        struct gated_heard heard = gated_hear(fd);
        bool refused = strncmp(heard.bytes, "HTTP/1.1 502 ", 13) == 0;
        bool whole = !refused && gated_is_whole(&heard);
        ck_assert_msg((refused || heard.end != PROXIED_OPEN) && whole == endings[row].whole,
                      "%s, %.60s: %s: %s", endings[row].name, client, whole ? "whole" : "not whole",
                      heard.bytes);
        free(heard.bytes);
    }
    free(options), free(tls);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST_WITHIN(a_stream_without_close_notify_is_no_clean_end, 60) {
    check_endings(false);
}

TEST_WITHIN(a_stream_without_close_notify_is_no_clean_end_when_all_comes_at_once, 60) {
    check_endings(true);
}

/* --- connections that are kept --------------------------------------------------------------- */

/* Bytes may wait in the socket, or in TLS. */
TEST(bytes_behind_an_answer_within_tls_are_no_ones_answer) {
    static const size_t lengths[] = {2, 15000, 40960};
    struct upstream *upstream = upstream_start(UPSTREAM_TLS);
    struct scene scene = start_trusting(upstream, "");
    struct client *client = gated_client(&scene);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        char *head = scratch_text("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", lengths[i]);
        size_t len = strlen(head) + lengths[i] + strlen(EVIL);
        char *all = malloc(len);
        memcpy(all, head, strlen(head));
        upstream_filler(0, all + strlen(head), lengths[i]);
        memcpy(all + len - strlen(EVIL), EVIL, strlen(EVIL));
        upstream_script(upstream, "/bad",
                        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_GATE,
                                       UPSTREAM_SEND_SPAN(((struct span){all, len})),
                                       UPSTREAM_HANG));
        uint64_t sent = upstream_sent(upstream);
        gated_ask(client, "/bad");
        ck_assert(upstream_wait(upstream, UPSTREAM_AT_GATE, 1, GATED_WAIT_MS));
        gated_freeze(&scene);
        upstream_go(upstream);
        for (long until = process_now_ms() + GATED_WAIT_MS; upstream_sent(upstream) < sent + len;) {
            ck_assert_int_lt(process_now_ms(), until);
            process_sleep_ms(2);
        }
        gated_thaw(&scene);
        struct response response;
        ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_uint_eq(response.body_len, lengths[i]);
        ck_assert(upstream_is_filler(0, (struct span){response.body, response.body_len}));
        client_response_done(&response);
        gated_get(client, "/", 200, "ok\n");
        upstream_down(upstream), upstream_up(upstream);
        free(all), free(head);
    }
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(a_kept_connection_that_is_stale_is_replaced_as_it_is_without_tls) {
    static const enum upstream_act ends[] = {UPSTREAM_ACT_CLOSE, UPSTREAM_ACT_CUT,
                                             UPSTREAM_ACT_RESET};
    struct upstream *upstream = upstream_start(UPSTREAM_TLS);
    char *tls = trusting(""), *options = scratch_text("%s, health: {max_fails: 0}", tls);
    struct scene scene = gated_start_for(upstream, options);
    struct client *client = gated_client(&scene);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        gated_get(client, "/", 200, "ok\n");
        upstream_script_once(upstream, "/get", UPSTREAM_STEPS(UPSTREAM_READ, {.act = ends[i]}));
        gated_get(client, "/get", 200, "ok\n");
        ck_assert_int_eq(upstream_hits(upstream, "/get"), 2 * ((int)i + 1));
        upstream_script_once(upstream, "/post", UPSTREAM_STEPS(UPSTREAM_READ, {.act = ends[i]}));
        ck_assert(client_sendf(client, "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
                                       "\r\nabc"));
        gated_check_problem(client, 502, "bad_gateway");
        ck_assert_int_eq(upstream_hits(upstream, "/post"), (int)i + 1);
    }
    client_free(client);
    free(options), free(tls);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(a_post_finds_a_fresh_connection_where_the_kept_one_was_closed) {
    struct upstream *upstream = upstream_start(UPSTREAM_TLS);
    struct scene scene = start_trusting(upstream, "");
    struct client *client = gated_client(&scene);
    for (int i = 0; i < 5; i++) {
        gated_get(client, "/", 200, "ok\n");
        gated_freeze(&scene);
        upstream_down(upstream), upstream_up(upstream);
        ck_assert(client_sendf(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
                                       "abc"));
        gated_thaw(&scene);
        struct response response;
        ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 200);
        client_response_done(&response);
    }
    ck_assert_int_eq(upstream_hits(upstream, "/"), 10);
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(a_request_within_tls_ends_when_its_client_leaves) {
    struct upstream *upstream = upstream_start(UPSTREAM_TLS);
    struct scene scene = start_trusting(upstream, "");
    int files = gated_files(&scene);
    upstream_script(upstream, "/wait", UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_HANG));
    upstream_script(upstream, "/fill",
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 200 OK\r\n\r\n"),
                                   UPSTREAM_FILL(UPSTREAM_ALL)));
    static const char *const paths[] = {"/wait", "/fill"};
    for (int i = 0; i < 8; i++) {
        struct client *client = gated_client(&scene);
        gated_ask(client, paths[i % 2]);
        ck_assert(upstream_wait(upstream, UPSTREAM_HEADS, i + 1, GATED_WAIT_MS));
        if (i & 2) client_reset(client);
        client_free(client);
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
        ck_assert_int_le(gated_settled_files(&scene, files), files);
    }
    scene_end(&scene);
    upstream_stop(upstream);
}
