/*
 * throttle: at most one go per cooldown, for everybody together.
 */
#ifndef COMMON_THROTTLE_H
#define COMMON_THROTTLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct throttle {
    _Atomic int64_t free_at_ms; /* zero-initialised: free at once */
};

/* Any thread, no lock. Might somebody go now? */
static inline bool throttle_is_free(struct throttle *throttle, int64_t now_ms) {
    return now_ms >= atomic_load(&throttle->free_at_ms);
}

/*
 * Any thread, no lock. True for the one caller who may go now. The window is stamped before the
 * attempt, so an attempt that fails uses up its window too and strangers cannot make us retry.
 */
static inline bool throttle_take(struct throttle *throttle, int64_t now_ms, int64_t cooldown_ms) {
    int64_t free_at = atomic_load_explicit(&throttle->free_at_ms, memory_order_relaxed);
    if (now_ms < free_at) return false;
    return atomic_compare_exchange_strong(&throttle->free_at_ms, &free_at, now_ms + cooldown_ms);
}

#endif
