/*
 * history: what one worker decided in the last hour, minute by minute. Its worker writes without a
 * lock; another thread reads meanwhile, and may see a minute that is just being begun half.
 */
#ifndef SERVER_METRICS_HISTORY_H
#define SERVER_METRICS_HISTORY_H

#include <stdatomic.h>
#include <stdint.h>

#include "server/token/reason.h"

#define HISTORY_MINUTES 60

struct history {
    struct history_minute {
        _Atomic int64_t minute; /* since 1970; of what is counted here */
        _Atomic uint32_t passed;
        _Atomic uint32_t refused[REASON_COUNT];
    } minutes[HISTORY_MINUTES];
};

/* The sums of several workers, the oldest minute first; the last one is still going on. */
struct history_sum {
    int64_t from; /* wall clock, seconds: when the first minute began */
    uint64_t passed[HISTORY_MINUTES];
    uint64_t refused[REASON_COUNT][HISTORY_MINUTES];
};

/* The worker that owns it: one more request at now (wall clock, seconds). */
void history_count_passed(struct history *history, int64_t now);
void history_count_refused(struct history *history, int64_t now, enum reason reason);

/* Another thread: begin a sum at now, then add each worker's. */
void history_sum_begin(struct history_sum *sum, int64_t now);
void history_sum_add(struct history_sum *sum, const struct history *history);

#endif
