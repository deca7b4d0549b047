/*
 * SIGTERM: no new connections, idle ones closed, what is in flight finished up to drain_timeout,
 * exit code 0.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/issuer.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 4 : 1)
#define ONE "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define HALF "GET / HTTP/1.1\r\nHost: h\r\nX-Half"

/* A daemon with a request head in flight that nobody finishes for an hour. */
static struct scene start_busy(const char *limits, struct client **ret_client) {
    char *rest = scratch_text("limits: {header_timeout: 1h, %s}\n", limits);
    struct scene scene = scene_start(&(struct scene_options){.rest = rest});
    *ret_client = client_connect(scene.daemon->port);
    ck_assert(client_send(*ret_client, SPAN_LITERAL(ONE HALF)));
    struct response response;
    ck_assert_int_eq(client_read(*ret_client, 5000, &response), CLIENT_OK);
    client_response_done(&response);
    process_sleep_ms(50); /* its half request has arrived as well */
    free(rest);
    return scene;
}

/* The daemon ends with code 0, after least to most milliseconds from since on. */
static void check_ends(struct scene *scene, long since, long least, long most) {
    int code = process_wait_exit(scene->daemon->process, 20000);
    long took = process_now_ms() - since;
    char *errors = process_errors(scene->daemon->process);
    ck_assert_msg(code == 0, "%d: %s", code, errors);
    ck_assert_msg(took >= least && took <= most * SLOW, "%ld ms: %s", took, errors);
    ck_assert_msg(strstr(errors, "notice: stopped"), "%s", errors);
    free(errors);
    process_free(scene->daemon->process);
    free(scene->daemon->folder);
    free(scene->daemon);
    free(scene->token);
    free(scene->keys);
}

TEST(idle_connections_are_closed_and_it_ends_at_once) {
    struct scene scene = scene_start(&(struct scene_options){0});
    struct client *clients[10];
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        clients[i] = client_connect(scene.daemon->port);
        scene_check(clients[i], span_of(ONE), &(struct expected){.status = 200});
    }
    long since = process_now_ms();
    process_signal(scene.daemon->process, SIGTERM);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        ck_assert(client_closed(clients[i], 2000 * SLOW));
        client_free(clients[i]);
    }
    check_ends(&scene, since, 0, 1000);
}

TEST(sigint_stops_as_well) {
    struct scene scene = scene_start(&(struct scene_options){0});
    long since = process_now_ms();
    process_signal(scene.daemon->process, SIGINT);
    check_ends(&scene, since, 0, 1000);
}

TEST(a_request_in_flight_is_answered_and_told_that_the_connection_ends) {
    struct client *client;
    struct scene scene = start_busy("drain_timeout: 30s", &client);
    long since = process_now_ms();
    process_signal(scene.daemon->process, SIGTERM);
    ck_assert(process_wait_errors(scene.daemon->process, "stopping", 5000));
    process_sleep_ms(300);
    ck_assert(!process_ended(scene.daemon->process));
    scene_check(client, SPAN_LITERAL(": 1\r\n\r\n"),
                &(struct expected){.status = 200, .close = true});
    client_free(client);
    check_ends(&scene, since, 300, 1500);
}

/* Answers that are kept for a caller know of no end. */
TEST(a_caller_who_was_answered_before_is_told_as_well) {
    struct client *client;
    struct scene scene = start_busy("drain_timeout: 30s", &client);
    char *rest = scratch_text(": 1\r\nAuthorization: Bearer %s\r\n\r\n", scene.token);
    scene_check(client, span_of(rest), &(struct expected){.status = 200});
    for (int i = 0; i < 3; i++) {
        char *whole = scratch_text(HALF "%s", rest);
        scene_check(client, span_of(whole), &(struct expected){.status = 200});
        free(whole);
    }
    ck_assert(client_send(client, SPAN_LITERAL(HALF)));
    process_sleep_ms(50); /* it has arrived */
    process_signal(scene.daemon->process, SIGTERM);
    ck_assert(process_wait_errors(scene.daemon->process, "stopping", 5000));
    process_sleep_ms(300);
    scene_check(client, span_of(rest), &(struct expected){.status = 200, .close = true});
    client_free(client);
    free(rest);
    check_ends(&scene, process_now_ms(), 0, 1500);
}

/* A request that waits for keys is answered, whether or not there is time to wait for them. */
static void check_waiting(const char *drain_timeout, long least_ms, long most_ms) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", NULL));
    issuer_serve_keys(issuer, jwks);
    char *one = daemon_yaml(issuer_url(issuer), "refresh_cooldown: 1s");
    char *yaml = scratch_text("%slimits: {drain_timeout: %s}\n", one, drain_timeout);
    struct daemon *daemon = daemon_start(yaml, NULL);
    char *good = mint_good(issuer_url(issuer), "ES256", mint_key(MINT_P256), "k1", NULL);
    char *unknown = mint_good(issuer_url(issuer), "ES256", mint_key(MINT_P256_OTHER), "k2", NULL);
    ck_assert(daemon_wait_status(daemon, "/profile/", good, 200, 5000));
    issuer_set(issuer, ISSUER_JWKS, &(struct issuer_behaviour){.act = ISSUER_HANG});
    int hits = issuer_hits(issuer, ISSUER_JWKS);
    struct client *client = client_connect(daemon->port);
    ck_assert(client_sendf(client, "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
                           unknown));
    ck_assert(issuer_wait_hits(issuer, ISSUER_JWKS, hits + 1, 5000));

    struct response response;
    long since = process_now_ms();
    process_signal(daemon->process, SIGTERM);
    ck_assert_int_eq(client_read(client, 5000 * SLOW, &response), CLIENT_OK);
    long took = process_now_ms() - since;
    ck_assert_msg(took >= least_ms && took <= most_ms * SLOW, "%ld ms", took);
    ck_assert_int_eq(response.status, 401);
    ck_assert(span_equal_text(response_header(&response, "Connection"), "close"));
    client_response_done(&response);
    client_free(client);
    ck_assert_int_eq(process_wait_exit(daemon->process, 5000 * SLOW), 0);
    process_free(daemon->process);
    free(daemon->folder), free(daemon), free(unknown), free(good), free(yaml), free(one);
    free(jwks);
    issuer_stop(issuer);
}

TEST(a_request_that_waits_for_keys_may_wait_while_it_drains_and_is_answered) {
    check_waiting("30s", 1000, 2500);
}

TEST(a_request_that_waits_for_keys_is_answered_without_them_when_the_time_is_up) {
    check_waiting("0", 0, 700);
}

TEST(connections_that_were_never_used_do_not_hold_it_up) {
    struct scene scene = scene_start(
        &(struct scene_options){.rest = "limits: {header_timeout: 1h, drain_timeout: 1h}\n"});
    struct client *silent = client_connect(scene.daemon->port);
    process_sleep_ms(100);
    long since = process_now_ms();
    process_signal(scene.daemon->process, SIGTERM);
    ck_assert(client_closed(silent, 4000 * SLOW));
    check_ends(&scene, since, 0, 3000);
    client_free(silent);
}

TEST(new_connections_are_refused_while_it_drains) {
    struct client *client;
    struct scene scene = start_busy("drain_timeout: 30s", &client);
    long since = process_now_ms();
    process_signal(scene.daemon->process, SIGTERM);
    for (long until = process_now_ms() + 2000 * SLOW;;) {
        struct client *late = client_connect(scene.daemon->port);
        if (!late) break;
        client_free(late);
        ck_assert_msg(process_now_ms() < until, "still listening, though nobody accepts");
        process_sleep_ms(20);
    }
    ck_assert(!process_ended(scene.daemon->process));
    client_free(client);
    check_ends(&scene, since, 0, 3000);
}

TEST(drain_timeout_is_obeyed) {
    struct client *client;
    struct scene scene = start_busy("drain_timeout: 1s", &client);
    long since = process_now_ms();
    process_signal(scene.daemon->process, SIGTERM);
    ck_assert(client_closed(client, 5000));
    ck_assert(process_wait_errors(scene.daemon->process, "connections cut off at the stop", 1000));
    check_ends(&scene, since, 900, 2000);
    client_free(client);
}

TEST(no_drain_timeout_stops_at_once) {
    struct client *client;
    struct scene scene = start_busy("drain_timeout: 0", &client);
    long since = process_now_ms();
    process_signal(scene.daemon->process, SIGTERM);
    ck_assert(client_closed(client, 5000));
    check_ends(&scene, since, 0, 1000);
    client_free(client);
}

TEST(a_second_signal_ends_the_draining_early) {
    struct client *client;
    struct scene scene = start_busy("drain_timeout: 1h", &client);
    process_signal(scene.daemon->process, SIGTERM);
    ck_assert(process_wait_errors(scene.daemon->process, "stopping", 5000));
    process_sleep_ms(300);
    ck_assert(!process_ended(scene.daemon->process));
    long since = process_now_ms();
    process_signal(scene.daemon->process, SIGTERM);
    ck_assert(client_closed(client, 5000));
    check_ends(&scene, since, 0, 1000);
    client_free(client);
}

/* Stopped while clients keep asking: each request is answered whole, or its connection ends. */
TEST_WITHIN(no_answer_is_cut_short_by_a_stop_under_load, 60) {
    for (int round = 0; round < 5; round++) {
        struct scene scene = scene_start(&(struct scene_options){0});
        struct client *clients[16];
        for (size_t i = 0; i < ARRAY_LEN(clients); i++)
            clients[i] = client_connect(scene.daemon->port);
        for (int turn = 0; turn < 50; turn++) {
            if (turn == 10) process_signal(scene.daemon->process, SIGTERM);
            for (size_t i = 0; i < ARRAY_LEN(clients); i++)
                if (clients[i]) (void)client_send(clients[i], SPAN_LITERAL(ONE));
            for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
                struct response response;
                if (!clients[i]) continue;
                enum client_result result = client_read(clients[i], 5000 * SLOW, &response);
                ck_assert_msg(result == CLIENT_OK || result == CLIENT_CLOSED, "client %zu: %d", i,
                              result);
                if (result == CLIENT_OK) {
                    ck_assert_int_eq(response.status, 200);
                    client_response_done(&response);
                    continue;
                }
                ck_assert_int_ge(turn, 10);
                client_free(clients[i]);
                clients[i] = NULL;
            }
        }
        for (size_t i = 0; i < ARRAY_LEN(clients); i++) ck_assert_ptr_null(clients[i]);
        check_ends(&scene, process_now_ms(), 0, 2000);
    }
}
