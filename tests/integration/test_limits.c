/*
 * What a client may use up: bytes of a head, time for it, time between requests, connections, and
 * the descriptors of the process. Whoever takes too much is cut off, and nobody else feels it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 3 : 1)
#define ONE "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

static struct scene start(const char *limits) {
    char *rest = limits ? scratch_text("limits: {%s}\n", limits) : strdup("");
    struct scene scene = scene_start(&(struct scene_options){.rest = rest});
    free(rest);
    return scene;
}

/* --- bytes ----------------------------------------------------------------------------------- */

/* A request whose head has exactly this many bytes. */
static char *head_of(size_t size, const char *before) {
    struct buf request = buf_make(size);
    buf_add_text(&request, before);
    while (request.len < size - 4) buf_add_char(&request, 'x');
    buf_add_text(&request, "\r\n\r\n");
    ck_assert(buf_ok(&request) && request.len == size);
    return request.data;
}

static void check_head(const struct scene *scene, size_t size, const char *before, int status) {
    char *request = head_of(size, before);
    char body[128];
    snprintf(body, sizeof body,
             "{\"error\":\"too_large\",\"error_description\":\"the request head has %zu bytes; %zu "
             "are accepted\"}",
             size, size - 1);
    scene_check_alone(scene, span_of(request),
                      &(struct expected){status, NULL, status == 431 ? body : NULL, status == 431});
    free(request);
}

TEST(a_head_of_exactly_the_limit_is_served_and_one_byte_more_is_431) {
    static const struct {
        const char *limits;
        size_t limit;
    } rows[] = {{NULL, 32 << 10}, {"header: 4KiB, token: 1KiB", 4 << 10}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene scene = start(rows[i].limits);
        check_head(&scene, rows[i].limit, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 200);
        check_head(&scene, rows[i].limit + 1, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 431);
        check_head(&scene, rows[i].limit, "GET / HTTP/1.1\r\nX:1\r\nHost: ", 200);
        scene_end(&scene);
    }
}

TEST(a_head_of_any_size_beyond_is_refused) {
    static const size_t sizes[] = {33 << 10, 40 << 10, 48 << 10, 64 << 10, 1 << 20};
    static const char *const shapes[] = {"GET / HTTP/1.1\r\nHost: h\r\nX: ", "GET /"};
    struct scene scene = start(NULL);
    for (size_t i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
        size_t size = sizes[i / 2];
        struct buf request = buf_make(size + 64);
        buf_add_text(&request, shapes[i % 2]);
        while (request.len < size) buf_add_char(&request, 'x');
        buf_add_text(&request, i % 2 ? " HTTP/1.1\r\nHost: h\r\n\r\n" : "\r\n\r\n");
        bool closed;
        int status;
        char *answer = scene_talk(&scene, buf_span(&request), 5000, 5000, &closed);
        ck_assert_int_eq(scene_count_answers(answer, false, &status), 1);
        ck_assert_msg(closed && (status == 431 || (i % 2 && status == 414)), "%zu bytes: %d", size,
                      status);
        free(answer);
        buf_done(&request);
        scene_check_serves(&scene, "a large head");
    }
    scene_end(&scene);
}

/* A good token with exactly that many bytes: filled up in the payload, and bit by bit in the
 * header, for base64url does not come in every length. */
static char *token_of(size_t size) {
    for (size_t fill = 1; fill < size; fill++) {
        for (size_t more = 0; more < 3; more++) {
            char *pad = calloc(1, fill + 1);
            memset(pad, 'x', fill);
            char *changes = scratch_text("{\"pad\":\"%s\"}", pad);
            char *header =
                scratch_text("{\"alg\":\"ES256\",\"kid\":\"k1\",\"x\":\"%.*s\"}", (int)more, "xxx");
            char *claims = mint_claims(SCENE_ISSUER, changes);
            char *token = mint_token(header, claims, "ES256", mint_key(MINT_P256));
            size_t len = strlen(token);
            free(claims), free(header), free(changes), free(pad);
            if (len == size) return token;
            free(token);
            if (len + 64 < size) fill += (size - len) / 2;
        }
    }
    ck_abort_msg("no token of %zu bytes", size);
}

TEST(a_token_of_exactly_the_limit_is_accepted_and_one_byte_more_is_431) {
    struct scene scene = start("token: 2KiB");
    char *fits = token_of(2048), *too_large = token_of(2049);
    struct response response;
    ck_assert_int_eq(daemon_get(scene.daemon, "/profile/", fits, NULL), 200);
    ck_assert_int_eq(daemon_get(scene.daemon, "/profile/", too_large, &response), 431);
    ck_assert_str_eq(response.body, "{\"error\":\"too_large\",\"error_description\":"
                                    "\"the token has 2049 bytes; 2048 are accepted\"}");
    client_response_done(&response);
    free(too_large);
    free(fits);
    scene_end(&scene);
}

/* --- time ------------------------------------------------------------------------------------ */

/* Send byte after byte, interval_ms apart, until the server closes. How long that took. */
static long drip(struct client *client, const char *bytes, int interval_ms, long at_most_ms) {
    long before = process_now_ms();
    while (process_now_ms() < before + at_most_ms) {
        if (*bytes) (void)client_send(client, (struct span){bytes++, 1});
        if (client_closed(client, interval_ms)) return process_now_ms() - before;
    }
    ck_abort_msg("not cut off within %ld ms", at_most_ms);
}

static void check_took(const char *what, long took, long least, long most) {
    ck_assert_msg(took >= least && took <= most * SLOW, "%s: %ld ms, not %ld to %ld", what, took,
                  least, most);
}

TEST_WITHIN(a_head_that_comes_too_slowly_is_cut_off_though_bytes_flow, 60) {
    static const char slow[] = "GET / HTTP/1.1\r\nHost: h\r\nX: "
                               "a-header-that-never-comes-to-its-end";
    struct scene scene = start("header_timeout: 1s, idle_timeout: 60s");
    struct client *clients[3];
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) clients[i] = client_connect(scene.daemon->port);
    check_took("dripping head", drip(clients[0], slow, 100, 10000), 700, 2000);
    /* The same has been true meanwhile for one that sent nothing, and one that stopped. */
    (void)client_send(clients[1], SPAN_LITERAL("GET / HT"));
    check_took("silence", drip(clients[2], "", 100, 10000), 0, 300);
    check_took("half a line", drip(clients[1], "", 100, 10000), 0, 300);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) client_free(clients[i]);
    scene_check_serves(&scene, "slow heads");
    scene_end(&scene);
}

TEST_WITHIN(the_time_for_a_head_counts_anew_for_each_request_of_a_connection, 60) {
    struct scene scene = start("header_timeout: 1s, idle_timeout: 60s");
    struct client *client = client_connect(scene.daemon->port);
    static const struct expected served = {.status = 200};
    /* Resting between requests costs none of it. */
    scene_check(client, SPAN_LITERAL(ONE), &served);
    process_sleep_ms(1300);
    scene_check(client, SPAN_LITERAL(ONE), &served);
    /* The next one's head, its line at once and then byte by byte. */
    (void)client_send(client, SPAN_LITERAL("GET / HTTP/1.1\r\n"));
    check_took("dripping second head",
               drip(client, "Host: h\r\nX: a-header-that-never-comes-to-its-end", 100, 10000), 700,
               2000);
    client_free(client);
    scene_end(&scene);
}

TEST_WITHIN(a_connection_that_rests_too_long_is_closed, 60) {
    struct scene scene = start("header_timeout: 1s, idle_timeout: 1s");
    struct client *client = client_connect(scene.daemon->port);
    scene_check(client, SPAN_LITERAL(ONE), &(struct expected){.status = 200});
    check_took("idle", drip(client, "", 100, 10000), 700, 3000);
    client_free(client);
    /* A request line that drips in does not make the rest last either. */
    client = client_connect(scene.daemon->port);
    scene_check(client, SPAN_LITERAL(ONE), &(struct expected){.status = 200});
    check_took("dripping line",
               drip(client, "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 100, 10000), 700, 3000);
    client_free(client);
    scene_end(&scene);
}

/* --- connections ----------------------------------------------------------------------------- */

/* Does this connection get an answer? */
static bool is_served(struct client *client) {
    struct response response = {0};
    if (!client || !client_send(client, SPAN_LITERAL(ONE))) return false;
    bool served = client_read(client, 3000 * SLOW, &response) == CLIENT_OK;
    client_response_done(&response);
    return served;
}

TEST(connections_beyond_the_limit_are_closed_at_once_and_admitted_again_later) {
    struct scene scene = start("connections: 4");
    struct client *clients[4];
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
            clients[i] = client_connect(scene.daemon->port);
            /* Those of the round before leave a moment after they were closed. */
            for (int tries = 0; !is_served(clients[i]) && tries < 50; tries++) {
                process_sleep_ms(20);
                client_free(clients[i]);
                clients[i] = client_connect(scene.daemon->port);
            }
            ck_assert(is_served(clients[i]));
        }
        for (int i = 0; i < 10; i++) {
            struct client *one_more = client_connect(scene.daemon->port);
            ck_assert(client_closed(one_more, 3000 * SLOW));
            client_free(one_more);
        }
        for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
            ck_assert(is_served(clients[i]));
            client_free(clients[i]);
        }
    }
    /* Told, but not each time. */
    int told = process_count_errors(scene.daemon->process, "limits.connections is reached");
    ck_assert_int_ge(told, 1);
    ck_assert_int_le(told, 4 + 2 * 2);
    scene_end(&scene);
}

/* A connection from that address of the loopback network. */
static int connect_from(const char *source, int port) {
    struct sockaddr_in from = {.sin_family = AF_INET},
                       to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, source, &from.sin_addr);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static bool fd_is_served(int fd) {
    char answer[16] = "";
    ck_assert_int_eq(write(fd, ONE, strlen(ONE)), (ssize_t)strlen(ONE));
    return read(fd, answer, 12) == 12 && strcmp(answer, "HTTP/1.1 200") == 0;
}

TEST(one_address_cannot_take_the_connections_of_others) {
    struct scene scene = start("connections_per_address: 3");
    struct client *clients[3];
    process_sleep_ms(50); /* the connection that waited for the start has left */
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        clients[i] = client_connect(scene.daemon->port);
        ck_assert(is_served(clients[i]));
    }
    struct client *one_more = client_connect(scene.daemon->port);
    ck_assert(client_closed(one_more, 3000 * SLOW));
    client_free(one_more);
    int others[3];
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        others[i] = connect_from("127.0.0.2", scene.daemon->port);
        ck_assert(fd_is_served(others[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) close(others[i]);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        ck_assert(is_served(clients[i]));
        client_free(clients[i]);
    }
    scene_end(&scene);
}

TEST_WITHIN(without_descriptors_it_waits_quietly_and_goes_on_when_they_are_back, 60) {
    struct scene scene = start("header_timeout: 60s");
    struct client *before = client_connect(scene.daemon->port), *clients[80];
    ck_assert(is_served(before));
    int used = process_open_files(scene.daemon->process);
    struct rlimit few = {(rlim_t)used + 16, (rlim_t)used + 16};
    ck_assert_int_eq(prlimit(process_pid(scene.daemon->process), RLIMIT_NOFILE, &few, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) clients[i] = client_connect(scene.daemon->port);
    ck_assert(process_wait_errors(scene.daemon->process, "not accepting for a moment", 5000));

    long cpu = process_cpu_ms(scene.daemon->process), since = process_now_ms();
    while (process_now_ms() < since + 1500) { /* who is in is served all the while */
        ck_assert(is_served(before));
        process_sleep_ms(100);
    }
    cpu = process_cpu_ms(scene.daemon->process) - cpu;
    ck_assert_msg(cpu < 300 * SLOW, "%ld ms of processor time while waiting", cpu);
    int told = process_count_errors(scene.daemon->process, "not accepting for a moment");
    ck_assert_int_le(told, 60);

    for (size_t i = 0; i < ARRAY_LEN(clients); i++) client_free(clients[i]);
    ck_assert(daemon_wait_status(scene.daemon, "/", scene.token, 200, 5000));
    ck_assert(is_served(before));
    client_free(before);
    scene_end(&scene);
}

TEST_WITHIN(a_thousand_idle_connections_cost_little_and_slow_nobody_down, 60) {
    enum { MANY = 1000 };
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < MANY + 200 ? limit.rlim_max : MANY + 200;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < MANY + 200) test_skip("too few descriptors");

    struct scene scene = start("connections: 2000");
    long rss = process_rss_kib(scene.daemon->process);
    static struct client *clients[MANY];
    for (int i = 0; i < MANY; i++) {
        clients[i] = client_connect(scene.daemon->port);
        ck_assert_msg(is_served(clients[i]), "connection %d", i);
    }
    rss = process_rss_kib(scene.daemon->process) - rss;
    ck_assert_msg(SCENE_SANITIZED || rss < MANY * 64L, "%ld KiB for %d connections", rss, MANY);
    long worst = 0;
    for (int i = 0; i < 200; i++) {
        long before = process_now_ms();
        ck_assert_int_eq(daemon_get(scene.daemon, "/profile/", scene.token, NULL), 200);
        long took = process_now_ms() - before;
        if (took > worst) worst = took;
    }
    ck_assert_msg(worst < 300 * SLOW, "a request took %ld ms", worst);
    for (int i = 0; i < MANY; i++) {
        ck_assert(is_served(clients[i]));
        client_free(clients[i]);
    }
    scene_end(&scene);
}
