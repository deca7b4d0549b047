/*
 * Connections that rest are parked: they cost next to nothing, and no client can tell, except by
 * being served.
 */
#include <stdlib.h>
#include <sys/resource.h>

#include "common/attr.h"
#include "tests/integration/gated.h"
#include "tests/integration/talk.h"
#include "tests/support/certificate.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 4 : 1)
#define ONE "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define TOLD "{format: text, level: debug, access: false}"
#define PARKED " parked "
/* A connection is parked some seconds after its request. */
#define PARKED_MS (8000 * SLOW)

static struct scene start(const char *rest) {
    return scene_start(&(struct scene_options){.log = TOLD, .rest = rest});
}

static int count_parked(const struct scene *scene) {
    return process_count_errors(scene->daemon->process, PARKED);
}

/* Wait until so many connections were parked. */
static void await_parked(const struct scene *scene, int count) {
    long until = process_now_ms() + PARKED_MS;
    while (count_parked(scene) < count && process_now_ms() < until) process_sleep_ms(20);
    ck_assert_int_eq(count_parked(scene), count);
}

static void check_served(struct client *client) {
    ck_assert_ptr_nonnull(client);
    scene_check(client, SPAN_LITERAL(ONE), &(struct expected){.status = 200});
}

/* A connection that was served once. */
static struct client *use_one(const struct scene *scene) {
    struct client *client = client_connect(scene->daemon->port);
    check_served(client);
    return client;
}

static void check_answer(struct client *client, int status) {
    struct response response;
    ck_assert_int_eq(client_read(client, 5000 * SLOW, &response), CLIENT_OK);
    ck_assert_int_eq(response.status, status);
    client_response_done(&response);
}

/* --- what clients see ------------------------------------------------------------------------ */

TEST_WITHIN(a_connection_that_rests_is_parked_and_served_again_each_time, 90) {
    struct scene scene = start(NULL);
    struct client *client = use_one(&scene);
    for (int times = 1; times <= 3; times++) {
        await_parked(&scene, times);
        check_served(client);
        check_served(client);
    }
    client_free(client);
    scene_end(&scene);
}

TEST_WITHIN(a_request_may_wake_it_in_pieces_or_with_others_behind_it, 60) {
    static const char pieces[][12] = {"G", "ET / HT", "TP/1.1\r\nHos", "t: h\r\n\r", "\n"};
    struct scene scene = start(NULL);
    struct client *slow = use_one(&scene), *fast = use_one(&scene);
    await_parked(&scene, 2);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        ck_assert(client_send(slow, span_of(pieces[i])));
        process_sleep_ms(50); /* so that each arrives alone */
    }
    check_answer(slow, 200);
    ck_assert(client_send(fast, SPAN_LITERAL(ONE ONE ONE)));
    for (int i = 0; i < 3; i++) check_answer(fast, 200);
    client_free(slow);
    client_free(fast);
    scene_end(&scene);
}

/* What a client sent of its next request is in the daemon's hands, and must not be lost. */
TEST_WITHIN(a_connection_with_half_a_request_is_not_parked_and_gets_its_answer, 60) {
    static const struct {
        const char *first; /* together with the request before */
        const char *then;  /* once that was answered */
        const char *rest;  /* when others were parked */
    } rows[] = {
        {"", "G", "ET / HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"", "GET / HTTP/1.1\r\n", "Host: h\r\n\r\n"},
        {"", "GET / HTTP/1.1\r\nHost: h\r\n\r", "\n"},
        {"GET", "", " / HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: h\r\n", "", "\r\n"},
        {"", "\r\n", ONE},
        {"\r\n", "", ONE},
    };
    enum { OTHERS = 8 };
    struct scene scene = start(NULL);
    struct client *clients[ARRAY_LEN(rows)], *others[OTHERS];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        clients[i] = client_connect(scene.daemon->port);
        ck_assert(client_sendf(clients[i], ONE "%s", rows[i].first));
        check_answer(clients[i], 200);
        ck_assert(client_send(clients[i], span_of(rows[i].then)));
    }
    for (size_t i = 0; i < OTHERS; i++) others[i] = use_one(&scene);
    await_parked(&scene, OTHERS);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(client_send(clients[i], span_of(rows[i].rest)), "row %zu", i);
        check_answer(clients[i], 200);
        client_free(clients[i]);
    }
    for (size_t i = 0; i < OTHERS; i++) client_free(others[i]);
    scene_end(&scene);
}

TEST_WITHIN(it_is_closed_when_it_has_rested_for_too_long, 60) {
    struct scene scene = start("limits: {idle_timeout: 5s}\n");
    long since = process_now_ms();
    struct client *client = use_one(&scene);
    await_parked(&scene, 1);
    ck_assert(client_closed(client, 6000 * SLOW));
    long took = process_now_ms() - since;
    ck_assert_msg(took >= 4900 && took < 7000 * SLOW, "%ld ms", took);
    client_free(client);
    scene_end(&scene);
}

TEST_WITHIN(a_reload_takes_nothing_from_it_and_its_new_time_limit_counts, 60) {
    struct scene scene = start("limits: {idle_timeout: 1h}\n");
    struct client *client = use_one(&scene), *other = use_one(&scene);
    await_parked(&scene, 2);
    ck_assert(scene_reload(&scene, &(struct scene_options){.log = TOLD}));
    check_served(client);
    client_free(client);
    ck_assert(
        scene_reload(&scene, &(struct scene_options){.rest = "limits: {idle_timeout: 1s}\n"}));
    ck_assert(client_closed(other, 3000 * SLOW));
    client_free(other);
    scene_end(&scene);
}

TEST_WITHIN(a_stop_closes_it_at_once, 60) {
    struct scene scene = start("limits: {drain_timeout: 1h}\n");
    struct client *client = use_one(&scene);
    await_parked(&scene, 1);
    process_signal(scene.daemon->process, SIGTERM);
    ck_assert(client_closed(client, 2000 * SLOW));
    client_free(client);
    gated_ended(&scene);
}

/* --- what it counts and costs ---------------------------------------------------------------- */

/* Connections that waited for the start leave a moment after they were closed. */
static struct client *use_when_admitted(const struct scene *scene) {
    struct response response;
    for (long until = process_now_ms() + 5000 * SLOW; process_now_ms() < until;) {
        struct client *client = client_connect(scene->daemon->port);
        (void)client_send(client, SPAN_LITERAL(ONE));
        if (client_read(client, 5000 * SLOW, &response) == CLIENT_OK) {
            client_response_done(&response);
            return client;
        }
        client_free(client);
        process_sleep_ms(10);
    }
    ck_abort_msg("not admitted");
}

TEST_WITHIN(it_counts_as_a_connection_until_it_is_closed, 60) {
    struct scene scene = start("limits: {connections_per_address: 2}\n");
    struct client *resting = use_when_admitted(&scene), *closing = use_when_admitted(&scene);
    await_parked(&scene, 2);
    struct client *one_more = client_connect(scene.daemon->port);
    ck_assert(client_closed(one_more, 3000 * SLOW));
    client_free(one_more);

    client_free(closing);
    ck_assert(daemon_wait_status(scene.daemon, "/", scene.token, 200, 5000 * SLOW));
    check_served(resting);
    client_free(resting);
    scene_end(&scene);
}

TEST_WITHIN(no_descriptor_is_left_behind, 60) {
    enum { MANY = 50 };
    struct scene scene = start(NULL);
    struct client *clients[MANY];
    process_sleep_ms(100); /* the connection that waited for the start has left */
    int before = process_open_files(scene.daemon->process);
    for (int i = 0; i < MANY; i++) clients[i] = use_one(&scene);
    await_parked(&scene, MANY);
    ck_assert_int_eq(process_open_files(scene.daemon->process), before + MANY);
    for (int i = 0; i < MANY; i++) {
        if (i % 3 == 0) check_served(clients[i]);
        if (i % 3 == 1) client_reset(clients[i]);
        client_free(clients[i]);
    }
    long until = process_now_ms() + 5000 * SLOW;
    while (process_open_files(scene.daemon->process) > before && process_now_ms() < until)
        process_sleep_ms(20);
    ck_assert_int_eq(process_open_files(scene.daemon->process), before);
    scene_end(&scene);
}

TEST_WITHIN(two_thousand_that_were_used_cost_four_kib_each_at_most, 120) {
    enum { MANY = 2000 };
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 2 * MANY + 400 ? limit.rlim_max : 2 * MANY + 400;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < MANY + 200) test_skip("too few descriptors");

    struct scene scene = start("limits: {connections: 4000}\n");
    static struct client *clients[MANY];
    long rss = process_rss_kib(scene.daemon->process);
    for (int i = 0; i < MANY; i++) clients[i] = use_one(&scene);
    await_parked(&scene, MANY);
    process_sleep_ms(100); /* it is told before the memory is given back */
    rss = process_rss_kib(scene.daemon->process) - rss;
    ck_assert_msg(SCENE_SANITIZED || rss < MANY * 4L, "%ld KiB for %d connections", rss, MANY);
    for (int i = 0; i < MANY; i++) {
        check_served(clients[i]);
        client_free(clients[i]);
    }
    scene_end(&scene);
}

/* Not a goal but a fence: a table that grows, or a library that comes in by the way, shows here. */
TEST(an_idle_daemon_is_small) {
    struct scene scene = scene_start(&(struct scene_options){0});
    long rss = process_rss_kib(scene.daemon->process);
    ck_assert_msg(SCENE_SANITIZED || rss < 16 * 1024, "%ld KiB", rss);
    scene_end(&scene);
}

/* --- who stays ------------------------------------------------------------------------------- */

TEST_WITHIN(bodies_of_known_length_are_counted_and_those_in_chunks_are_left_alone, 60) {
    static const struct {
        const char *request;
        bool parked;
    } rows[] = {
        {"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", true},
        {"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", true},
        {"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
         false},
        {"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n"
         "5\r\nhello\r\n0\r\nT: 1\r\n\r\n",
         false},
    };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    char *rest = scratch_text("upstreams: [{name: up, targets: [\"%s\"]}]\n"
                              "routes: [{path: /*, upstream: up, anonymous: allow}]\n",
                              upstream_target(upstream));
    struct scene scene = start(rest);
    struct client *clients[ARRAY_LEN(rows)];
    int parked = 0;

    /* Those that stay come first, so that they had their chance when the last one was parked. */
    for (size_t i = ARRAY_LEN(rows); i-- > 0;) {
        clients[i] = client_connect(scene.daemon->port);
        ck_assert(client_send(clients[i], span_of(rows[i].request)));
        check_answer(clients[i], 200);
        parked += rows[i].parked;
    }
    await_parked(&scene, parked);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert(client_send(clients[i], span_of(rows[i].request)));
        check_answer(clients[i], 200);
        client_free(clients[i]);
    }
    free(rest);
    scene_end(&scene);
    upstream_stop(upstream);
}

TEST_WITHIN(connections_by_tls_and_unix_sockets_stay_and_are_served, 60) {
    char *folder = scratch_new(), *certificate, *key;
    certificate_files(folder, &certificate, &key);
    int port = process_free_port();
    char *listen = scratch_text(", {address: \"unix:%s/s\"}, {address: \"127.0.0.1:%d\","
                                " tls: {certificate: \"%s\", private_key: \"%s\"}}",
                                folder, port, certificate, key);
    char *path = scratch_text("%s/s", folder);
    struct scene scene = scene_start(&(struct scene_options){.log = TOLD, .listen = listen});

    struct client *local = client_connect_unix(path);
    check_served(local);
    struct talk *tls = talk_open(port, true);
    talk_send(tls, SPAN_LITERAL("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    ck_assert(talk_await(tls, "\"anonymous\":true}", 5000 * SLOW));
    struct client *plain = use_one(&scene);
    await_parked(&scene, 1);

    talk_drop(tls);
    talk_send(tls, SPAN_LITERAL("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    ck_assert(talk_await(tls, "\"anonymous\":true}", 5000 * SLOW));
    check_served(local);
    check_served(plain);
    talk_free(tls);
    client_free(local), client_free(plain);
    scene_end(&scene);
    free(path), free(listen), free(key), free(certificate), free(folder);
}
