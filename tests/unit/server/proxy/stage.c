#include "tests/unit/server/proxy/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETTLE_TURNS 5

static int64_t time_ms = 1000000;

static int64_t tell_time(void) {
    return time_ms;
}

static const struct clock_source our_clock = {tell_time, tell_time};

void stage_pass(int64_t ms) {
    time_ms += ms;
}

/* --- the upstream ---------------------------------------------------------------------------- */

static int listen_on_loopback(int *ret_port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void add_target(struct strings *targets, const char *scheme, int port) {
    char *text = NULL;
    ck_assert_int_gt(asprintf(&text, "%s://127.0.0.1:%d", scheme, port), 0);
    targets->items[targets->count++] = text;
}

static struct config *make_config(struct stage *stage, const char *scheme) {
    static char empty[] = "", name[] = "u";
    struct config *config = calloc(1, sizeof *config);
    ck_assert_ptr_nonnull(config);
    ref_init(&config->ref);
    config->upstream_count = 1;
    config->upstreams = calloc(1, sizeof *config->upstreams);
    ck_assert_ptr_nonnull(config->upstreams);
    config->upstreams[0] = (struct config_upstream){
        .name = name,
        .targets.items = calloc(STAGE_TARGETS_MAX, sizeof(char *)),
        .tls = {empty, empty, empty, empty},
        .timeouts = {STAGE_CONNECT, STAGE_FIRST_BYTE, STAGE_BETWEEN_BYTES, 0},
        .keep_alive = {STAGE_LINKS_MAX, STAGE_IDLE},
        .health = {.max_fails = 0,
                   .retry_after = 10000,
                   .path = empty,
                   .interval = 5000,
                   .timeout = 500,
                   .unhealthy_after = 2,
                   .healthy_after = 2},
    };
    for (size_t i = 0; i < stage->target_count; i++) {
        stage->listeners[i] = listen_on_loopback(&stage->ports[i]);
        add_target(&config->upstreams[0].targets, scheme, stage->ports[i]);
    }
    return config;
}

/* It was made by hand and is freed so. */
static void free_config(struct config *config) {
    struct strings *targets = &config->upstreams[0].targets;
    for (size_t i = 0; i < targets->count; i++) free(targets->items[i]);
    free(targets->items);
    free(config->upstreams);
    free(config);
}

void stage_open(struct stage *stage, size_t targets, const char *scheme) {
    struct err_text err = {""};

    clock_replace(&our_clock);
    *stage = (struct stage){.target_count = targets};
    stage->whole = make_config(stage, scheme);
    stage->config = &stage->whole->upstreams[0];
    int r = upstreams_new(stage->whole, 1, NULL, &stage->upstreams, &err);
    ck_assert_msg(r == 0, "%s", err.text);
    stage->upstream = &stage->upstreams->items[0];
    ck_assert(reactor_init(&stage->reactor));
    pool_init(&stage->pool, &stage->reactor, 0);
}

void stage_close(struct stage *stage) {
    for (size_t i = 0; i < stage->target_count; i++) {
        ck_assert_uint_eq(atomic_load(&stage->upstream->peers[i]->active), 0);
        if (stage->listeners[i] >= 0) close(stage->listeners[i]);
    }
    pool_clear(&stage->pool);
    reactor_run_deferred(&stage->reactor);
    ck_assert_uint_eq(stage->pool.resting, 0);
    ck_assert_uint_eq(stage->pool.open, 0);
    ck_assert_int_eq(timers_next(&stage->reactor.timers), INT64_MAX);
    reactor_done(&stage->reactor);
    upstreams_unref(stage->upstreams);
    ck_assert(ref_drop(&stage->whole->ref));
    free_config(stage->whole);
    clock_replace(NULL);
}

/* --- turns ----------------------------------------------------------------------------------- */

void stage_turn(struct stage *stage) {
    reactor_turn(&stage->reactor, 0);
    reactor_run_deferred(&stage->reactor);
}

void stage_wait(struct stage *stage) {
    reactor_turn(&stage->reactor, 2);
    reactor_run_deferred(&stage->reactor);
}

void stage_settle(struct stage *stage) {
    for (int i = 0; i < SETTLE_TURNS; i++) stage_wait(stage);
}

/* --- the targets' side ----------------------------------------------------------------------- */

int stage_accept(struct stage *stage, size_t target) {
    int fd = -1;
    STAGE_UNTIL(stage, (fd = accept4(stage->listeners[target], NULL, NULL,
                                     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
    return fd;
}

bool stage_is_unvisited(struct stage *stage, size_t target) {
    stage_settle(stage);
    int fd = accept4(stage->listeners[target], NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return true;
    close(fd);
    return false;
}

void stage_refuse(struct stage *stage, size_t target) {
    close(stage->listeners[target]);
    stage->listeners[target] = -1;
}

static void move_on(ssize_t n, struct span *rest) {
    if (n > 0)
        *rest = span_from(*rest, (size_t)n);
    else
        ck_assert_msg(errno == EAGAIN, "the target cannot send: %s", strerror(errno));
}

void stage_send(struct stage *stage, int fd, struct span bytes) {
    struct span rest = bytes;
    move_on(send(fd, rest.ptr, rest.len, MSG_NOSIGNAL), &rest);
    while (rest.len) {
        stage_wait(stage);
        move_on(send(fd, rest.ptr, rest.len, MSG_NOSIGNAL), &rest);
    }
    stage_wait(stage);
}

void stage_say(struct stage *stage, int fd, const char *text) {
    stage_send(stage, fd, span_of(text));
}

void stage_receive(struct stage *stage, int fd, char *to, size_t len) {
    char dropped[64 * 1024];
    size_t have = 0;

    for (int turns = 0; have < len; turns++) {
        size_t max = len - have < sizeof dropped ? len - have : sizeof dropped;
        ssize_t n = recv(fd, to ? to + have : dropped, max, 0);
        ck_assert_msg(n != 0, "the connection ended after %zu of %zu bytes", have, len);
        if (n > 0) {
            have += (size_t)n;
            turns = 0;
            continue;
        }
        ck_assert_msg(errno == EAGAIN, "%s", strerror(errno));
        ck_assert_msg(turns < 2500, "%zu of %zu bytes came", have, len);
        stage_wait(stage);
    }
}

void stage_expect(struct stage *stage, int fd, const char *text) {
    size_t len = strlen(text);
    char *got = malloc(len + 1);
    ck_assert_ptr_nonnull(got);
    stage_receive(stage, fd, got, len);
    got[len] = '\0';
    ck_assert_str_eq(got, text);
    free(got);
}

void stage_expect_end(struct stage *stage, int fd) {
    char bytes[65];
    ssize_t n = 0;
    STAGE_UNTIL(stage, (n = recv(fd, bytes, sizeof bytes - 1, 0)) >= 0 || errno != EAGAIN);
    bytes[n > 0 ? n : 0] = '\0';
    ck_assert_msg(n == 0 || (n < 0 && errno == ECONNRESET), "instead of the end: \"%s\"", bytes);
}

void stage_expect_nothing(struct stage *stage, int fd) {
    char byte;
    stage_settle(stage);
    ck_assert_int_eq(recv(fd, &byte, 1, MSG_PEEK), -1);
    ck_assert_int_eq(errno, EAGAIN);
}

void stage_reset(int fd) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}
