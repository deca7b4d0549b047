#include "common/timers.h"

#include <stdlib.h>

#include "common/attr.h"
#include "common/reactor.h"
#include "tests/support/suite.h"

/* A timer with a memory. */
struct probe {
    struct timer timer;
    struct timers *timers;
    int64_t wanted_ms; /* when it is due; INT64_MAX: it is not set */
    unsigned fired;
    void (*then)(struct probe *probe); /* what else it does when it fires */
};

static int64_t last_fired_ms;

static void on_fire(struct timer *timer) {
    struct probe *probe = CONTAINER_OF(timer, struct probe, timer);
    ck_assert(!timer_is_set(timer));
    ck_assert_int_eq(timer->at_ms, probe->wanted_ms);
    ck_assert_int_ge(timer->at_ms, last_fired_ms);
    last_fired_ms = timer->at_ms;
    probe->wanted_ms = INT64_MAX;
    probe->fired++;
    if (probe->then) probe->then(probe);
}

static void init(struct probe *probe, struct timers *timers) {
    *probe = (struct probe){.timer.fire = on_fire, .timers = timers, .wanted_ms = INT64_MAX};
}

static void set(struct probe *probe, int64_t at_ms) {
    ck_assert(timers_set(probe->timers, &probe->timer, at_ms));
    ck_assert(timer_is_set(&probe->timer));
    probe->wanted_ms = at_ms;
}

static void clear(struct probe *probe) {
    timers_clear(probe->timers, &probe->timer);
    ck_assert(!timer_is_set(&probe->timer));
    probe->wanted_ms = INT64_MAX;
}

static void run(struct timers *timers, int64_t now_ms) {
    last_fired_ms = INT64_MIN;
    timers_run(timers, now_ms);
}

TEST(no_timers_are_never_due) {
    struct timers timers = {0};
    struct timer timer = {0};

    ck_assert_int_eq(timers_next(&timers), INT64_MAX);
    run(&timers, INT64_MAX);
    timers_clear(&timers, &timer);
    ck_assert(!timer_is_set(&timer));
    timers_done(&timers);
    ck_assert_int_eq(timers_next(&timers), INT64_MAX);
}

TEST(a_timer_fires_once_and_not_before_its_time) {
    struct timers timers = {0};
    struct probe probe;

    init(&probe, &timers);
    set(&probe, 100);
    run(&timers, 99);
    ck_assert_uint_eq(probe.fired, 0);
    run(&timers, 100);
    ck_assert_uint_eq(probe.fired, 1);
    run(&timers, 1000);
    ck_assert_uint_eq(probe.fired, 1);
    timers_done(&timers);
}

TEST(the_last_setting_of_a_timer_counts) {
    struct timers timers = {0};
    struct probe probe;

    init(&probe, &timers);
    set(&probe, 100);
    set(&probe, 300);
    ck_assert_int_eq(timers_next(&timers), 300);
    set(&probe, 200);
    ck_assert_int_eq(timers_next(&timers), 200);
    run(&timers, 199);
    ck_assert_uint_eq(probe.fired, 0);
    clear(&probe);
    clear(&probe); /* twice is fine */
    run(&timers, 1000);
    ck_assert_uint_eq(probe.fired, 0);
    timers_done(&timers);
}

/* --- what a timer may do when it fires ------------------------------------------------------- */

static struct probe *other;

static void clear_other(struct probe *probe) {
    (void)probe;
    clear(other);
}

static void set_again(struct probe *probe) {
    if (probe->fired < 3) set(probe, probe->timer.at_ms + 10);
}

static void set_other(struct probe *probe) {
    (void)probe;
    set(other, 20);
}

TEST(a_timer_that_is_cleared_by_one_before_it_does_not_fire) {
    struct timers timers = {0};
    struct probe first, second;

    init(&first, &timers);
    init(&second, &timers);
    first.then = clear_other;
    other = &second;
    set(&second, 20);
    set(&first, 10);
    run(&timers, 100);
    ck_assert_uint_eq(first.fired, 1);
    ck_assert_uint_eq(second.fired, 0);
    timers_done(&timers);
}

TEST(a_timer_may_set_itself_and_others_when_it_fires) {
    struct timers timers = {0};
    struct probe first, second;

    init(&first, &timers);
    init(&second, &timers);
    first.then = set_again;
    set(&first, 10);
    run(&timers, 100);
    ck_assert_uint_eq(first.fired, 3);
    ck_assert_int_eq(timers_next(&timers), INT64_MAX);

    init(&first, &timers);
    first.then = set_other;
    other = &second;
    set(&first, 10);
    run(&timers, 100);
    ck_assert_uint_eq(second.fired, 1);
    timers_done(&timers);
}

/* Its memory is gone behind it: the heap must not look back. */
static void free_it(struct timer *timer) {
    free(CONTAINER_OF(timer, struct probe, timer));
}

TEST(a_timer_may_be_freed_when_it_fires) {
    struct timers timers = {0};

    for (int i = 0; i < 100; i++) {
        struct probe *probe = calloc(1, sizeof *probe);
        ck_assert_ptr_nonnull(probe);
        probe->timer.fire = free_it;
        ck_assert(timers_set(&timers, &probe->timer, i % 7));
    }
    timers_run(&timers, 6);
    ck_assert_int_eq(timers_next(&timers), INT64_MAX);
    timers_done(&timers);
}

/* --- against a list that is searched from end to end ----------------------------------------- */

#define PROBES 150
#define STEPS 30000

static uint32_t random_below(uint32_t limit) {
    static uint64_t state = 88172645463325252;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % limit;
}

static int64_t earliest(const struct probe *probes) {
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < PROBES; i++)
        if (probes[i].wanted_ms < first) first = probes[i].wanted_ms;
    return first;
}

static void check_heap(const struct timers *timers, const struct probe *probes) {
    size_t count = 0;
    for (size_t i = 0; i < PROBES; i++) {
        bool wanted = probes[i].wanted_ms != INT64_MAX;
        count += wanted;
        ck_assert(timer_is_set(&probes[i].timer) == wanted);
        if (wanted) ck_assert_ptr_eq(timers->heap[probes[i].timer.place - 1], &probes[i].timer);
    }
    ck_assert_uint_eq(timers->count, count);
}

TEST(whatever_is_set_and_cleared_each_fires_in_its_order) {
    struct timers timers = {0};
    struct probe probes[PROBES];
    int64_t now_ms = 0;

    for (size_t i = 0; i < PROBES; i++) init(&probes[i], &timers);
    for (int step = 0; step < STEPS; step++) {
        struct probe *probe = &probes[random_below(PROBES)];
        uint32_t what = random_below(10);
        if (what < 6) {
            set(probe, now_ms + random_below(40)); /* many at the same time */
        } else if (what < 9) {
            clear(probe);
        } else {
            now_ms += random_below(8);
            run(&timers, now_ms);
            ck_assert_int_gt(earliest(probes), now_ms);
        }
        ck_assert_int_eq(timers_next(&timers), earliest(probes));
        if (step % 97 == 0) check_heap(&timers, probes);
    }
    run(&timers, INT64_MAX - 1);
    ck_assert_int_eq(earliest(probes), INT64_MAX);
    check_heap(&timers, probes);
    timers_done(&timers);
}
