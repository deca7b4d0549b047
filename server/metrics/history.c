#include "server/metrics/history.h"

#include <stddef.h>
#include <string.h>

#define MINUTE 60

/* The one writer: no other write can come between. */
static void add_one(_Atomic uint32_t *counter) {
    uint32_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + 1, memory_order_relaxed);
}

static struct history_minute *minute_of(struct history *history, int64_t now) {
    int64_t minute = now / MINUTE;
    struct history_minute *slot = &history->minutes[(uint64_t)minute % HISTORY_MINUTES];

    if (atomic_load_explicit(&slot->minute, memory_order_relaxed) == minute) return slot;
    atomic_store_explicit(&slot->passed, 0, memory_order_relaxed);
    for (size_t i = 0; i < REASON_COUNT; i++)
        atomic_store_explicit(&slot->refused[i], 0, memory_order_relaxed);
    atomic_store_explicit(&slot->minute, minute, memory_order_release);
    return slot;
}

void history_count_passed(struct history *history, int64_t now) {
    add_one(&minute_of(history, now)->passed);
}

void history_count_refused(struct history *history, int64_t now, enum reason reason) {
    add_one(&minute_of(history, now)->refused[reason]);
}

void history_sum_begin(struct history_sum *sum, int64_t now) {
    memset(sum, 0, sizeof *sum);
    sum->from = (now / MINUTE - (HISTORY_MINUTES - 1)) * MINUTE;
}

void history_sum_add(struct history_sum *sum, const struct history *history) {
    for (size_t i = 0; i < HISTORY_MINUTES; i++) {
        const struct history_minute *slot = &history->minutes[i];
        int64_t minute = atomic_load_explicit(&slot->minute, memory_order_acquire);
        int64_t at = minute - sum->from / MINUTE;
        if (at < 0 || at >= HISTORY_MINUTES) continue;
        sum->passed[at] += atomic_load_explicit(&slot->passed, memory_order_relaxed);
        for (size_t k = 0; k < REASON_COUNT; k++)
            sum->refused[k][at] += atomic_load_explicit(&slot->refused[k], memory_order_relaxed);
    }
}
