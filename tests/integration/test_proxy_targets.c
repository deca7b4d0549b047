/*
 * Upstreams of several targets: who gets which request, who gets none while it is down, and the
 * connections that are kept to them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tests/integration/gated.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define TARGETS_MAX 3
#define EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

struct targets {
    struct upstream *all[TARGETS_MAX];
    size_t count;
};

static struct targets start_targets(size_t count) {
    struct targets targets = {.count = count};
    for (size_t i = 0; i < count; i++) targets.all[i] = upstream_start(UPSTREAM_PLAIN);
    return targets;
}

static void stop_targets(struct targets *targets) {
    for (size_t i = 0; i < targets->count; i++) upstream_stop(targets->all[i]);
}

/* The daemon with these targets, the first with the first of weights (0: none is written). */
static struct scene start_weighted(const struct targets *targets, const int weights[TARGETS_MAX],
                                   const char *options) {
    struct buf entry = buf_make(4096);
    buf_add_text(&entry, "{name: up, targets: [");
    for (size_t i = 0; i < targets->count; i++) {
        buf_addf(&entry, "%s\"%s", i ? ", " : "", upstream_target(targets->all[i]));
        if (weights[i]) buf_addf(&entry, " weight=%d", weights[i]);
        buf_add_char(&entry, '"');
    }
    buf_addf(&entry, "]%s%s}", *options ? ", " : "", options);
    ck_assert(buf_ok(&entry));
    struct scene scene = gated_start(entry.data, NULL);
    buf_done(&entry);
    return scene;
}

static struct scene start_with(const struct targets *targets, const char *options) {
    return start_weighted(targets, (const int[TARGETS_MAX]){0}, options);
}

static int requests_of(const struct targets *targets, size_t i) {
    return upstream_count(targets->all[i], UPSTREAM_REQUESTS);
}

/* --- balance --------------------------------------------------------------------------------- */

TEST(round_robin_gives_each_target_exactly_its_weight_in_every_round) {
    static const struct {
        size_t count;
        int weights[TARGETS_MAX];
        int shares[TARGETS_MAX];
    } rows[] = {
        {1, {0}, {1}},       {2, {0}, {1, 1}},
        {3, {0}, {1, 1, 1}}, {3, {1, 2, 3}, {1, 2, 3}},
        {2, {5, 1}, {5, 1}}, {3, {20, 10, 10}, {2, 1, 1}},
    };
    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        struct targets targets = start_targets(rows[row].count);
        struct scene scene = start_weighted(&targets, rows[row].weights, "");
        struct client *clients[] = {gated_client(&scene), gated_client(&scene)};
        int shares = rows[row].shares[0] + rows[row].shares[1] + rows[row].shares[2];
        for (int i = 0; i < 10 * shares; i++) {
            gated_get(clients[i % 2], "/", 200, "ok\n");
            for (size_t t = 0; (i + 1) % shares == 0 && t < targets.count; t++)
                ck_assert_msg(requests_of(&targets, t) == (i + 1) / shares * rows[row].shares[t],
                              "row %zu: target %zu got %d of %d", row, t, requests_of(&targets, t),
                              i + 1);
        }
        for (size_t i = 0; i < ARRAY_LEN(clients); i++) client_free(clients[i]);
        scene_end(&scene);
        stop_targets(&targets);
    }
}

static void hold(const struct targets *targets) {
    for (size_t i = 0; i < targets->count; i++)
        upstream_script(targets->all[i], "/hold",
                        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_GATE, UPSTREAM_SEND(EMPTY)));
}

static int at_gates(const struct targets *targets) {
    int count = 0;
    for (size_t i = 0; i < targets->count; i++)
        count += upstream_count(targets->all[i], UPSTREAM_AT_GATE);
    return count;
}

/* One more request that is not answered. */
static struct client *ask_and_wait(const struct scene *scene, const struct targets *targets) {
    struct client *client = gated_client(scene);
    int before = at_gates(targets);
    gated_ask(client, "/hold");
    for (long until = process_now_ms() + GATED_WAIT_MS; at_gates(targets) == before;) {
        ck_assert_int_lt(process_now_ms(), until);
        process_sleep_ms(2);
    }
    return client;
}

TEST(least_connections_goes_where_the_least_is_under_way) {
    struct targets targets = start_targets(2);
    struct scene scene = start_with(&targets, "balance: least_connections");
    struct client *client = gated_client(&scene), *held[4];
    hold(&targets);
    held[0] = ask_and_wait(&scene, &targets);
    size_t busy = upstream_count(targets.all[1], UPSTREAM_AT_GATE) ? 1 : 0;
    for (int i = 0; i < 20; i++) gated_get(client, "/", 200, "ok\n");
    ck_assert_int_eq(upstream_hits(targets.all[busy], "/"), 0);
    ck_assert_int_eq(upstream_hits(targets.all[1 - busy], "/"), 20);
    /* Those that wait are spread evenly. */
    for (int i = 1; i < 4; i++) held[i] = ask_and_wait(&scene, &targets);
    ck_assert_int_eq(upstream_count(targets.all[0], UPSTREAM_AT_GATE), 2);
    ck_assert_int_eq(upstream_count(targets.all[1], UPSTREAM_AT_GATE), 2);
    /* And what has ended counts no more. */
    upstream_go(targets.all[busy]), upstream_go(targets.all[busy]);
    ck_assert(upstream_wait(targets.all[busy], UPSTREAM_AT_GATE, 0, GATED_WAIT_MS));
    int hits = 0;
    for (long until = process_now_ms() + GATED_WAIT_MS; hits < 5;) {
        ck_assert_int_lt(process_now_ms(), until);
        gated_get(client, "/", 200, "ok\n");
        hits = upstream_hits(targets.all[busy], "/");
    }
    for (int i = 0; i < 4; i++) client_free(held[i]);
    client_free(client);
    scene_end(&scene);
    stop_targets(&targets);
}

TEST(least_connections_is_in_proportion_to_the_weight) {
    struct targets targets = start_targets(2);
    struct scene scene =
        start_weighted(&targets, (const int[TARGETS_MAX]){3, 1}, "balance: least_connections");
    struct client *held[8];
    hold(&targets);
    for (int i = 0; i < 8; i++) {
        held[i] = ask_and_wait(&scene, &targets);
        if (i % 4 < 3) continue;
        ck_assert_int_eq(upstream_count(targets.all[0], UPSTREAM_AT_GATE), 3 * (i / 4 + 1));
        ck_assert_int_eq(upstream_count(targets.all[1], UPSTREAM_AT_GATE), i / 4 + 1);
    }
    for (int i = 0; i < 8; i++) client_free(held[i]);
    scene_end(&scene);
    stop_targets(&targets);
}

/* --- health that requests find out ----------------------------------------------------------- */

static void post(struct client *client, struct span body, int status) {
    struct response response;
    ck_assert(client_sendf(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                           body.len));
    ck_assert(client_send(client, body));
    ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
    ck_assert_int_eq(response.status, status);
    client_response_done(&response);
}

TEST(no_client_sees_that_a_target_refuses) {
    struct targets targets = start_targets(3);
    struct scene scene = start_with(&targets, "health: {retry_after: 200ms}");
    struct client *client = gated_client(&scene);
    size_t large = 300000;
    char *body = malloc(large);
    upstream_filler(0, body, large);
    upstream_down(targets.all[0]), upstream_down(targets.all[2]);
    for (int i = 0; i < 30; i++) {
        gated_get(client, "/", 200, "ok\n");
        post(client, (struct span){body, i % 3 ? 10 : large}, 200);
    }
    ck_assert_int_eq(requests_of(&targets, 1), 60);
    gated_check_logged(&scene, "warning: target down", 2);
    for (int i = 0; i < 60; i++) {
        const struct upstream_request *request = upstream_request(targets.all[1], i);
        ck_assert(request->digest == upstream_filler_digest(request->body_len));
    }

    upstream_up(targets.all[0]);
    for (long until = process_now_ms() + GATED_WAIT_MS; requests_of(&targets, 0) < 10;) {
        ck_assert_int_lt(process_now_ms(), until);
        gated_get(client, "/", 200, "ok\n");
    }
    gated_check_logged(&scene, "notice: target is back", 1);
    free(body);
    client_free(client);
    scene_end(&scene);
    stop_targets(&targets);
}

/* How many of so many requests fail with that status; all others are answered with 200. */
static int count_failures(struct client *client, int requests, int status) {
    int failures = 0;
    for (int i = 0; i < requests; i++) {
        struct response response;
        gated_ask(client, "/");
        ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_msg(response.status == 200 || response.status == status, "%d", response.status);
        failures += response.status == status;
        client_response_done(&response);
    }
    return failures;
}

TEST(a_target_that_fails_is_out_after_max_fails_until_one_request_finds_it_good) {
    static const struct {
        struct upstream_step steps[4];
        int status;
    } rows[] = {
        {{UPSTREAM_READ, UPSTREAM_CLOSE, UPSTREAM_END}, 502},
        {{UPSTREAM_READ, UPSTREAM_SEND("what\r\n"), UPSTREAM_END}, 502},
        {{UPSTREAM_READ, UPSTREAM_HANG, UPSTREAM_END}, 504},
    };
    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        struct targets targets = start_targets(2);
        struct scene scene = start_with(
            &targets,
            SCENE_SANITIZED
                ? "health: {max_fails: 2, retry_after: 1s}, timeouts: {first_byte: 1s}"
                : "health: {max_fails: 2, retry_after: 1s}, timeouts: {first_byte: 300ms}");
        struct client *client = gated_client(&scene);
        upstream_script(targets.all[0], "/", rows[row].steps);
        ck_assert_int_eq(count_failures(client, 30, rows[row].status), 2);
        ck_assert_int_eq(upstream_hits(targets.all[0], "/"), 2);
        gated_check_log(&scene, "warning: target down");
        /* One request at a time tries again, */
        for (long until = process_now_ms() + GATED_WAIT_MS;
             count_failures(client, 1, rows[row].status) == 0;)
            ck_assert_int_lt(process_now_ms(), until);
        ck_assert_int_eq(upstream_hits(targets.all[0], "/"), 3);
        ck_assert_int_eq(process_count_errors(scene.daemon->process, "target is back"), 0);
        /* and when that is answered all is well, whatever the answer. */
        upstream_answer(targets.all[0], "/", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
        for (long until = process_now_ms() + GATED_WAIT_MS;
             upstream_hits(targets.all[0], "/") < 8;) {
            ck_assert_int_lt(process_now_ms(), until);
            (void)count_failures(client, 1, 500);
        }
        gated_check_log(&scene, "notice: target is back");
        client_free(client);
        scene_end(&scene);
        stop_targets(&targets);
    }
}

TEST(answers_with_5xx_and_clients_that_leave_are_no_failures_of_a_target) {
    struct targets targets = start_targets(2);
    struct scene scene = start_with(&targets, "health: {max_fails: 1, retry_after: 1h}");
    struct client *client = gated_client(&scene);
    upstream_answer(targets.all[0], "/", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    upstream_script(targets.all[0], "/hang", UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_HANG));
    ck_assert_int_eq(count_failures(client, 10, 503), 5);
    for (int i = 0; i < 6; i++) {
        struct client *gone = gated_client(&scene);
        int before =
            upstream_hits(targets.all[0], "/hang") + upstream_hits(targets.all[1], "/hang");
        gated_ask(gone, "/hang");
        for (long until = process_now_ms() + GATED_WAIT_MS;
             upstream_hits(targets.all[0], "/hang") + upstream_hits(targets.all[1], "/hang") ==
             before;) {
            ck_assert_int_lt(process_now_ms(), until);
            process_sleep_ms(2);
        }
        client_free(gone);
    }
    ck_assert_int_eq(upstream_hits(targets.all[0], "/hang"), 3);
    ck_assert_int_eq(count_failures(client, 10, 503), 5);
    ck_assert_int_eq(process_count_errors(scene.daemon->process, "target down"), 0);
    client_free(client);
    scene_end(&scene);
    stop_targets(&targets);
}

TEST(a_target_alone_is_asked_however_often_it_fails) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "health: {max_fails: 1, retry_after: 1h}");
    struct client *client = gated_client(&scene);
    upstream_script(upstream, "/", UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_CLOSE));
    ck_assert_int_eq(count_failures(client, 5, 502), 5);
    ck_assert_int_eq(upstream_hits(upstream, "/"), 5);
    upstream_answer(upstream, "/", EMPTY);
    ck_assert_int_eq(count_failures(client, 5, 502), 0);
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

/* --- health that is asked for ---------------------------------------------------------------- */

#define CHECKS                                                                                     \
    "health: {path: /health?x=1, interval: 100ms, timeout: 80ms, unhealthy_after: 2, "             \
    "healthy_after: 2}"

TEST_WITHIN(a_target_that_does_not_answer_checks_well_gets_no_requests, 60) {
    static const struct upstream_step bad[][4] = {
        {UPSTREAM_SEND("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), UPSTREAM_END},
        {UPSTREAM_SEND("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), UPSTREAM_END},
        {UPSTREAM_SEND("HTTP/1.1 200 OK\nContent-Length: 0\n\n"), UPSTREAM_END},
        {UPSTREAM_HANG, UPSTREAM_END},
        {UPSTREAM_CLOSE, UPSTREAM_END},
        {UPSTREAM_RESET, UPSTREAM_END},
    };
    static const char *const good[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nsome text that nobody reads",
    };
    struct targets targets = start_targets(2);
    struct scene scene = start_with(&targets, CHECKS);
    struct client *client = gated_client(&scene);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        upstream_script(targets.all[0], "/health", bad[i]);
        gated_check_logged(&scene, "warning: target unhealthy", (int)i + 1);
        int hits = upstream_hits(targets.all[0], "/");
        for (int k = 0; k < 20; k++) gated_get(client, "/", 200, "ok\n");
        ck_assert_msg(upstream_hits(targets.all[0], "/") == hits, "row %zu", i);

        upstream_answer(targets.all[0], "/health", good[i % ARRAY_LEN(good)]);
        gated_check_logged(&scene, "notice: target is healthy again", (int)i + 1);
        for (int k = 0; k < 20; k++) gated_get(client, "/", 200, "ok\n");
        ck_assert_msg(upstream_hits(targets.all[0], "/") == hits + 10, "row %zu: %d", i,
                      upstream_hits(targets.all[0], "/") - hits);
    }
    client_free(client);
    scene_end(&scene);
    stop_targets(&targets);
}

TEST(checks_are_plain_requests_on_connections_of_their_own) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, CHECKS);
    char *expected = scratch_text("GET /health?x=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                                  "User-Agent: bearerd\r\nConnection: close\r\n\r\n",
                                  upstream_port(upstream));
    ck_assert(upstream_wait_hits(upstream, "/health", 4, GATED_WAIT_MS));
    for (int i = 0; i < 4; i++) {
        const struct upstream_request *request = upstream_request(upstream, i);
        ck_assert_msg(span_equal_text(request->raw, expected), "%s", request->raw.ptr);
        ck_assert_int_eq(request->connection, i);
    }
    ck_assert_int_le(upstream_count(upstream, UPSTREAM_OPEN), 1);
    ck_assert_int_eq(process_count_errors(scene.daemon->process, "/health"), 0);
    free(expected);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(one_bad_check_is_not_enough_and_one_good_one_is_not_either) {
    static const struct upstream_step oops[] = {
        UPSTREAM_SEND("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), UPSTREAM_END};
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, CHECKS);
    struct process *process = scene.daemon->process;
    for (int i = 0; i < 3; i++) {
        int hits = upstream_hits(upstream, "/health");
        upstream_script_once(upstream, "/health", oops);
        ck_assert(upstream_wait_hits(upstream, "/health", hits + 3, GATED_WAIT_MS));
    }
    ck_assert_int_eq(process_count_errors(process, "target unhealthy"), 0);
    upstream_script(upstream, "/health", oops);
    gated_check_log(&scene, "warning: target unhealthy");
    gated_fails(&scene, "/", 503, "temporarily_unavailable"); /* there is no other */
    for (int i = 0; i < 3; i++) {
        int hits = upstream_hits(upstream, "/health");
        upstream_script_once(upstream, "/health", UPSTREAM_STEPS(UPSTREAM_SEND(EMPTY)));
        ck_assert(upstream_wait_hits(upstream, "/health", hits + 3, GATED_WAIT_MS));
    }
    ck_assert_int_eq(process_count_errors(process, "healthy again"), 0);
    gated_fails(&scene, "/", 503, "temporarily_unavailable");
    ck_assert_int_eq(upstream_hits(upstream, "/"), 0);
    upstream_answer(upstream, "/health", EMPTY);
    gated_check_log(&scene, "healthy again");
    struct client *client = gated_client(&scene);
    gated_get(client, "/", 200, "ok\n");
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(a_target_that_refuses_checks_is_out_and_comes_back) {
    struct targets targets = start_targets(2);
    struct scene scene = start_with(&targets, CHECKS);
    struct client *client = gated_client(&scene);
    upstream_down(targets.all[1]);
    gated_check_log(&scene, "warning: target unhealthy");
    for (int i = 0; i < 10; i++) gated_get(client, "/", 200, "ok\n");
    upstream_up(targets.all[1]);
    gated_check_log(&scene, "healthy again");
    int hits = upstream_hits(targets.all[1], "/");
    for (int i = 0; i < 10; i++) gated_get(client, "/", 200, "ok\n");
    ck_assert_int_eq(upstream_hits(targets.all[1], "/"), hits + 5);
    client_free(client);
    scene_end(&scene);
    stop_targets(&targets);
}

TEST(a_reload_that_ends_the_checks_sets_targets_free) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, CHECKS);
    char *without = gated_entry(upstream, "");
    upstream_answer(upstream, "/health", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    gated_check_log(&scene, "warning: target unhealthy");
    gated_fails(&scene, "/", 503, "temporarily_unavailable");
    ck_assert(gated_reload(&scene, without, NULL));
    struct client *client = gated_client(&scene);
    gated_get(client, "/", 200, "ok\n");
    int checks = upstream_hits(upstream, "/health");
    process_sleep_ms(350); /* three intervals */
    ck_assert_int_le(upstream_hits(upstream, "/health"), checks + 1);
    client_free(client);
    free(without);
    scene_end(&scene);
    upstream_stop(upstream);
}

/* --- where targets are ----------------------------------------------------------------------- */

TEST(a_unix_socket_is_a_target_like_others) {
    char *folder = scratch_new(), *path = scratch_text("%s/up", folder);
    struct upstream *upstream = upstream_start_unix(path);
    struct scene scene = gated_start_for(upstream, "host: target, timeouts: {connect: 1s}");
    struct client *client = gated_client(&scene);
    gated_get(client, "/a?b", 200, "ok\n");
    post(client, SPAN_LITERAL("hello"), 200);
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CONNECTIONS), 1);
    const struct upstream_request *request = upstream_request(upstream, 0);
    ck_assert(span_equal_text(request->target, "/a?b"));
    ck_assert(span_equal_text(upstream_header(request, "Host"), "localhost"));
    ck_assert(span_equal_text(upstream_request(upstream, 1)->body, "hello"));
    upstream_down(upstream);
    gated_fails(&scene, "/", 502, "bad_gateway"); /* the file is there, nobody listens */
    upstream_up(upstream);
    gated_get(client, "/", 200, "ok\n");
    client_free(client);
    upstream_stop(upstream);
    gated_fails(&scene, "/", 502, "bad_gateway"); /* nor is the file */
    free(path), free(folder);
    scene_end(&scene);
}

TEST(a_name_is_looked_up_and_is_sent_as_host_where_that_is_asked_for) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    int port = upstream_port(upstream);
    char *entry =
        scratch_text("{name: up, targets: [\"http://localhost:%d\"], host: target}", port);
    char *other = scratch_text("{name: up, targets: [\"http://localhost:%d\"]}", port);
    char *host = scratch_text("localhost:%d", port);
    struct scene scene = gated_start(entry, NULL);
    struct client *client = gated_client(&scene);
    for (int i = 0; i < 4; i++) { /* whatever addresses it has besides */
        gated_get(client, "/", 200, "ok\n");
        upstream_down(upstream), upstream_up(upstream);
    }
    ck_assert(span_equal_text(upstream_header(upstream_request(upstream, 0), "Host"), host));
    ck_assert(gated_reload(&scene, other, NULL));
    gated_get(client, "/", 200, "ok\n");
    ck_assert(
        span_equal_text(upstream_header(upstream_request(upstream, 4), "Host"), "api.example"));
    client_free(client);
    free(host), free(other), free(entry);
    scene_end(&scene);
    upstream_stop(upstream);
}

/* --- connections that are kept --------------------------------------------------------------- */

TEST(requests_one_after_the_other_share_one_connection) {
    static const char *const requests[] = {
        "GET /get HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /chunked HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /none HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /same HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /error HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /large HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /get HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
        "POST /get HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    upstream_answer(upstream, "/chunked",
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    upstream_answer(upstream, "/none", "HTTP/1.1 204 No Content\r\n\r\n");
    upstream_answer(upstream, "/same", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
    upstream_answer(upstream, "/error", "HTTP/1.1 500 Oops\r\nContent-Length: 1\r\n\r\nx");
    upstream_script(upstream, "/large",
                    UPSTREAM_STEPS(UPSTREAM_READ,
                                   UPSTREAM_SEND("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n"
                                                 "\r\n"),
                                   UPSTREAM_FILL(1000000)));
    struct client *kept = gated_client(&scene);
    for (size_t i = 0; i < 10 * ARRAY_LEN(requests); i++) {
        struct client *client = i % 3 ? kept : gated_client(&scene);
        struct response response;
        ck_assert(client_send(client, span_of(requests[i % ARRAY_LEN(requests)])));
        ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
        client_response_done(&response);
        if (client != kept) client_free(client);
    }
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_REQUESTS), 10 * ARRAY_LEN(requests));
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CONNECTIONS), 1);
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_MALFORMED), 0);
    client_free(kept);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST(an_answer_that_ends_its_connection_is_the_last_on_it) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "");
    struct client *client = gated_client(&scene);
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        upstream_answer(upstream, NULL, answers[i]);
        gated_get(client, "/", 200, "ok");
        ck_assert_msg(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS), "%s", answers[i]);
        ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CONNECTIONS), (int)i + 1);
    }
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}

#define AT_ONCE 6

/* So many requests under way at once, which then are all answered. */
static void ask_at_once(const struct scene *scene, struct upstream *upstream) {
    struct client *clients[AT_ONCE];
    upstream_script(upstream, "/hold",
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_GATE, UPSTREAM_SEND(EMPTY)));
    for (int i = 0; i < AT_ONCE; i++) {
        clients[i] = gated_client(scene);
        gated_ask(clients[i], "/hold");
    }
    ck_assert(upstream_wait(upstream, UPSTREAM_AT_GATE, AT_ONCE, GATED_WAIT_MS));
    for (int i = 0; i < AT_ONCE; i++) upstream_go(upstream);
    for (int i = 0; i < AT_ONCE; i++) {
        struct response response;
        ck_assert_int_eq(client_read(clients[i], GATED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 200);
        client_response_done(&response);
        client_free(clients[i]);
    }
}

TEST(no_more_connections_are_kept_than_keep_alive_says) {
    static const struct {
        const char *options;
        int kept;
    } rows[] = {
        {"keep_alive: {connections: 0}", 0},
        {"keep_alive: {connections: 1}", 1},
        {"keep_alive: {connections: 4}", 4},
        {"", AT_ONCE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
        struct scene scene = gated_start_for(upstream, rows[i].options);
        ask_at_once(&scene, upstream);
        ck_assert_msg(upstream_wait(upstream, UPSTREAM_OPEN, rows[i].kept, GATED_WAIT_MS), "%s: %d",
                      rows[i].options, upstream_count(upstream, UPSTREAM_OPEN));
        ask_at_once(&scene, upstream);
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, rows[i].kept, GATED_WAIT_MS));
        ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CONNECTIONS),
                         2 * AT_ONCE - rows[i].kept);
        scene_end(&scene);
        upstream_stop(upstream);
    }
}

TEST(a_kept_connection_is_closed_after_idle_timeout) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct scene scene = gated_start_for(upstream, "keep_alive: {idle_timeout: 400ms}");
    struct client *client = gated_client(&scene);
    for (int i = 0; i < 2; i++) {
        gated_get(client, "/", 200, "ok\n");
        long since = process_now_ms();
        ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, GATED_WAIT_MS));
        long took = process_now_ms() - since;
        ck_assert_msg(took >= 350, "%ld ms", took);
        ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CONNECTIONS), i + 1);
    }
    /* Each request lets it rest anew. */
    for (int i = 0; !SCENE_SANITIZED && i < 5; i++) {
        gated_get(client, "/", 200, "ok\n");
        process_sleep_ms(100);
    }
    if (!SCENE_SANITIZED) ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CONNECTIONS), 3);
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
}
