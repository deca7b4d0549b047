/*
 * timers: things to be done at some time, the earliest first. A binary heap of timers that live in
 * what they belong to. One thread.
 */
#ifndef COMMON_TIMERS_H
#define COMMON_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    void (*fire)(struct timer *timer);
    int64_t at_ms; /* monotonic */
    size_t place;  /* in the heap, from 1; 0 = not set */
};

struct timers {
    struct timer **heap;
    size_t count;
    size_t room;
};

/* Zeroed timers are empty. Free the heap itself; timers that are still set must not be used again.
 */
void timers_done(struct timers *timers);

/*
 * Let the timer fire once at at_ms, instead of when it was set to before. False where memory ran
 * out, and it is not set then; setting one that is set already never fails.
 */
bool timers_set(struct timers *timers, struct timer *timer, int64_t at_ms);

/* Never mind; fine on one that is not set. */
void timers_clear(struct timers *timers, struct timer *timer);

static inline bool timer_is_set(const struct timer *timer) {
    return timer->place != 0;
}

/* When the earliest is due; INT64_MAX where none is set. */
int64_t timers_next(const struct timers *timers);

/*
 * Fire all that are due. A timer is no longer set when it fires, and may be set again, freed, or do
 * so with others.
 */
void timers_run(struct timers *timers, int64_t now_ms);

#endif
