/*
 * stage: a worker's loop and pool, and behind them targets that the test plays itself, byte by
 * byte, in the same thread. Time stands still until the test moves it.
 */
#ifndef TESTS_UNIT_SERVER_PROXY_STAGE_H
#define TESTS_UNIT_SERVER_PROXY_STAGE_H

#include "common/clock.h"
#include "server/proxy/pool.h"
#include "tests/support/suite.h"

#define STAGE_TARGETS_MAX 4
/* Times, in milliseconds, that the one upstream begins with. */
#define STAGE_CONNECT 1000
#define STAGE_FIRST_BYTE 2000
#define STAGE_BETWEEN_BYTES 3000
#define STAGE_IDLE 4000
#define STAGE_LINKS_MAX 2

struct stage {
    struct reactor reactor;
    struct pool pool;
    struct upstreams *upstreams;
    struct upstream *upstream; /* the one there is */
    struct config *whole;
    struct config_upstream *config; /* of it; a test may change it whenever it likes */
    int listeners[STAGE_TARGETS_MAX];
    int ports[STAGE_TARGETS_MAX];
    size_t target_count;
};

/* One upstream with so many targets on loopback, "http" or "https". */
void stage_open(struct stage *stage, size_t targets, const char *scheme);

/* The test fails where a connection was left open, or a request is still counted at a target. */
void stage_close(struct stage *stage);

/* Let time pass. What is due then happens in the next turn. */
void stage_pass(int64_t ms);

/* One turn of the loop, with its end. */
void stage_turn(struct stage *stage);

/* Turn until the condition holds; the test fails where it does not within seconds. */
#define STAGE_UNTIL(stage, condition)                                                              \
    do {                                                                                           \
        for (int turns_ = 0; !(condition); turns_++) {                                             \
            ck_assert_msg(turns_ < 2500, "never: %s", #condition);                                 \
            stage_wait(stage);                                                                     \
        }                                                                                          \
    } while (0)

/* A turn that waits for an event for a few milliseconds. */
void stage_wait(struct stage *stage);

/* Some turns in which nothing should happen. */
void stage_settle(struct stage *stage);

/* The next connection to a target; the test closes it. And: has there been none? */
int stage_accept(struct stage *stage, size_t target);
bool stage_is_unvisited(struct stage *stage, size_t target);

/* Let the target refuse connections from now on. */
void stage_refuse(struct stage *stage, size_t target);

/* The target sends these bytes, whatever else has to happen first. */
void stage_send(struct stage *stage, int fd, struct span bytes);
void stage_say(struct stage *stage, int fd, const char *text);

/* The target gets exactly these bytes next. */
void stage_expect(struct stage *stage, int fd, const char *text);

/* The target gets so many bytes next, anything. to may be NULL. */
void stage_receive(struct stage *stage, int fd, char *to, size_t len);

/* The connection ends for the target, with nothing before the end; cleanly, or by a reset. */
void stage_expect_end(struct stage *stage, int fd);

/* The target sees neither bytes nor an end. */
void stage_expect_nothing(struct stage *stage, int fd);

/* The target resets the connection. */
void stage_reset(int fd);

#endif
