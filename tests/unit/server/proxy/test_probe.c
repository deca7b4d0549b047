#include "server/proxy/probe.h"

#include <stdio.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/unit/server/proxy/stage.h"

#define INTERVAL 5000
#define TIMEOUT 500

static char path[] = "/health?deep=1";

static void open_checked(struct stage *stage, size_t targets) {
    stage_open(stage, targets, "http");
    stage->config->health.path = path;
    stage->config->health.interval = INTERVAL;
    stage->config->health.timeout = TIMEOUT;
}

static void stop(struct stage *stage, struct probes *probes) {
    probes_stop(probes);
    reactor_run_deferred(&stage->reactor);
}

static bool is_up(const struct stage *stage, size_t target) {
    return peer_is_up(stage->upstream->peers[target], stage->config);
}

/* The next check of a target has come, whole; it is for the test to answer and close. */
static int next_check(struct stage *stage, size_t target) {
    char expected[256];
    int fd = stage_accept(stage, target);
    snprintf(expected, sizeof expected,
             "GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: bearerd\r\n"
             "Connection: close\r\n\r\n",
             stage->ports[target]);
    stage_expect(stage, fd, expected);
    stage_expect_nothing(stage, fd);
    return fd;
}

static void answer(struct stage *stage, int fd, const char *bytes) {
    stage_say(stage, fd, bytes);
    stage_expect_end(stage, fd); /* each check has a connection of its own */
    close(fd);
}

static void check_and_answer(struct stage *stage, const char *bytes) {
    answer(stage, next_check(stage, 0), bytes);
    stage_pass(INTERVAL);
    stage_turn(stage);
}

TEST(where_no_path_is_configured_nothing_is_checked) {
    struct stage stage;
    stage_open(&stage, 2, "http");
    ck_assert_ptr_null(probes_start(&stage.pool, stage.upstreams));
    probes_stop(NULL);
    ck_assert(stage_is_unvisited(&stage, 0));
    stage_close(&stage);
}

TEST(each_target_is_checked_at_once_and_then_at_every_interval) {
    struct stage stage;
    open_checked(&stage, 2);
    struct probes *probes = probes_start(&stage.pool, stage.upstreams);
    ck_assert_ptr_nonnull(probes);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 2; i++)
            answer(&stage, next_check(&stage, i), "HTTP/1.1 204 No Content\r\n\r\n");
        stage_pass(INTERVAL - 1);
        stage_turn(&stage);
        ck_assert(stage_is_unvisited(&stage, 0) && stage_is_unvisited(&stage, 1));
        stage_pass(1);
        stage_turn(&stage);
    }
    for (size_t i = 0; i < 2; i++) close(next_check(&stage, i));
    ck_assert(is_up(&stage, 0) && is_up(&stage, 1));
    stop(&stage, probes);
    stage_close(&stage);
}

#define STATUS(status) "HTTP/1.1 " status " x\r\nContent-Length: 2\r\n\r\nok"

TEST(an_answer_of_2xx_or_3xx_is_good_and_nothing_else_is) {
    static const struct {
        const char *bytes;
        bool good;
    } rows[] = {
        {STATUS("200"), true},
        {STATUS("301"), true},
        {STATUS("399"), true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nthe rest is not waited for", true},
        {"HTTP/1.1 100 Continue\r\n\r\n" STATUS("200"), true},
        {STATUS("400"), false},
        {STATUS("404"), false},
        {STATUS("500"), false},
        {STATUS("503"), false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", false},
        {"SSH-2.0-x\r\n", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stage stage;
        open_checked(&stage, 1);
        stage.config->health.unhealthy_after = 1;
        struct probes *probes = probes_start(&stage.pool, stage.upstreams);
        answer(&stage, next_check(&stage, 0), rows[i].bytes);
        ck_assert_msg(is_up(&stage, 0) == rows[i].good, "row %zu", i);
        stop(&stage, probes);
        stage_close(&stage);
    }
}

TEST(a_target_changes_its_state_after_as_many_checks_as_configured) {
    struct stage stage;
    open_checked(&stage, 1);
    stage.config->health.unhealthy_after = 3;
    stage.config->health.healthy_after = 2;
    struct probes *probes = probes_start(&stage.pool, stage.upstreams);
    static const struct {
        const char *bytes;
        bool up;
    } steps[] = {
        {STATUS("500"), true},  {STATUS("500"), true},  {STATUS("200"), true}, /* begins anew */
        {STATUS("500"), true},  {STATUS("500"), true},  {STATUS("500"), false},
        {STATUS("200"), false}, {STATUS("500"), false}, {STATUS("200"), false},
        {STATUS("200"), true},
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        check_and_answer(&stage, steps[i].bytes);
        ck_assert_msg(is_up(&stage, 0) == steps[i].up, "step %zu", i);
    }
    stop(&stage, probes);
    close(stage_accept(&stage, 0));
    stage_close(&stage);
}

TEST(a_check_that_is_not_answered_in_time_has_failed) {
    struct stage stage;
    open_checked(&stage, 1);
    stage.config->health.unhealthy_after = 1;
    struct probes *probes = probes_start(&stage.pool, stage.upstreams);
    int fd = next_check(&stage, 0);
    stage_pass(TIMEOUT - 1);
    stage_settle(&stage);
    ck_assert(is_up(&stage, 0));
    stage_pass(1);
    stage_turn(&stage);
    ck_assert(!is_up(&stage, 0));
    stage_expect_end(&stage, fd);
    close(fd);
    stop(&stage, probes);
    stage_close(&stage);
}

TEST(a_target_that_refuses_connections_is_unhealthy) {
    struct stage stage;
    open_checked(&stage, 1);
    stage.config->health.unhealthy_after = 1;
    stage_refuse(&stage, 0);
    struct probes *probes = probes_start(&stage.pool, stage.upstreams);
    STAGE_UNTIL(&stage, !is_up(&stage, 0));
    ck_assert_uint_eq(atomic_load(&stage.upstream->peers[0]->fails), 0); /* no request failed */
    stop(&stage, probes);
    stage_close(&stage);
}

TEST(a_check_that_takes_longer_than_the_interval_is_waited_for) {
    struct stage stage;
    open_checked(&stage, 1);
    stage.config->health.timeout = 3 * INTERVAL;
    struct probes *probes = probes_start(&stage.pool, stage.upstreams);
    stage.config->timeouts.first_byte = 10 * INTERVAL;
    int fd = next_check(&stage, 0);
    for (int i = 0; i < 2; i++) {
        stage_pass(INTERVAL);
        stage_turn(&stage);
        ck_assert(stage_is_unvisited(&stage, 0));
    }
    answer(&stage, fd, STATUS("200"));
    stage_pass(INTERVAL);
    stage_turn(&stage);
    close(next_check(&stage, 0));
    stop(&stage, probes);
    stage_close(&stage);
}

TEST(checks_can_be_stopped_in_the_middle_of_one) {
    struct stage stage;
    open_checked(&stage, 2);
    struct probes *probes = probes_start(&stage.pool, stage.upstreams);
    int fd = next_check(&stage, 0); /* and one that is still on its way */
    stage_say(&stage, fd, "HTTP/1.1 20");
    stop(&stage, probes);
    ck_assert_uint_eq(stage.pool.open, 0);
    stage_expect_end(&stage, fd);
    stage_pass(10 * INTERVAL);
    stage_settle(&stage);
    close(fd);
    close(stage_accept(&stage, 1));
    ck_assert(stage_is_unvisited(&stage, 0) && stage_is_unvisited(&stage, 1));
    stage_close(&stage);
}

/* As at a reload: who was asked by the old ones is asked by the new ones, and knows what it knew.
 */
TEST(other_checks_take_over_what_is_known) {
    struct stage stage;
    open_checked(&stage, 1);
    stage.config->health.unhealthy_after = 1;
    struct probes *probes = probes_start(&stage.pool, stage.upstreams);
    answer(&stage, next_check(&stage, 0), STATUS("500"));
    ck_assert(!is_up(&stage, 0));
    probes_stop(probes);
    probes = probes_start(&stage.pool, stage.upstreams);
    ck_assert(!is_up(&stage, 0));
    for (int i = 0; i < 2; i++) check_and_answer(&stage, STATUS("200"));
    ck_assert(is_up(&stage, 0));
    stop(&stage, probes);
    close(stage_accept(&stage, 0));
    stage_close(&stage);
}
