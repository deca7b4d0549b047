#include "common/throttle.h"

#include <pthread.h>
#include <stddef.h>

#include "common/attr.h"
#include "tests/support/suite.h"

TEST(one_go_per_window) {
    static const struct {
        int64_t now, cooldown;
        bool go;
    } steps[] = {
        {0, 30000, true}, /* zero-initialised: free at once */
        {0, 30000, false},     {1, 30000, false},  {29999, 30000, false}, {30000, 30000, true},
        {30000, 30000, false}, {59999, 1, false}, /* the window was stamped when it was taken */
        {90000, 10, true},     {90009, 10, false}, {90010, 10, true},
    };
    struct throttle throttle = {0};

    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        ck_assert_msg(throttle_take(&throttle, steps[i].now, steps[i].cooldown) == steps[i].go,
                      "step %zu", i);
}

TEST(a_refused_go_does_not_lengthen_the_window) {
    struct throttle throttle = {0};

    ck_assert(throttle_take(&throttle, 1000, 100));
    for (int64_t now = 1000; now < 1100; now++) ck_assert(!throttle_take(&throttle, now, 100));
    ck_assert(throttle_take(&throttle, 1100, 100));
}

TEST(throttles_are_independent) {
    struct throttle one = {0}, other = {0};

    ck_assert(throttle_take(&one, 5, 100));
    ck_assert(throttle_take(&other, 5, 100));
    ck_assert(!throttle_take(&one, 6, 100));
}

/* --- threads --------------------------------------------------------------------------------- */

enum { THREADS = 8, WINDOWS = 2000 };

static struct throttle shared;
static pthread_barrier_t barrier;
static atomic_int winners[WINDOWS];

static void *contend(void *unused) {
    (void)unused;
    for (int i = 0; i < WINDOWS; i++) {
        pthread_barrier_wait(&barrier);
        if (throttle_take(&shared, i * 100, 100)) atomic_fetch_add(&winners[i], 1);
    }
    return NULL;
}

TEST_WITHIN(one_thread_wins_each_window, 60) {
    pthread_t threads[THREADS];

    pthread_barrier_init(&barrier, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, contend, NULL), 0);
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    for (size_t i = 0; i < WINDOWS; i++)
        ck_assert_msg(winners[i] == 1, "window %zu: %d winners", i, winners[i]);
}
