/*
 * metrics: what one worker counts.
 *
 * Each worker has its own struct metrics and is the only one that writes to it: counting is a plain
 * load and store, no locked instruction. Another thread reads meanwhile and adds up (registry.h).
 * Counters only grow. What they are counted under comes from the configuration and from tables of
 * ours, never from a request, so that no stranger can make more of them.
 */
#ifndef SERVER_METRICS_METRICS_H
#define SERVER_METRICS_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "server/token/reason.h"

/* Routes, and upstreams, with a name of their own; the rest is "other". */
#define METRICS_NAMES_MAX 256
#define METRICS_OTHER METRICS_NAMES_MAX
/* Requests that no route is for. */
#define METRICS_NO_ROUTE (METRICS_NAMES_MAX + 1)

/* X(identifier, name, which requests) */
#define METRICS_OUTCOMES(X)                                                                        \
    X(ALLOWED, "allowed", "passed on, or another proxy may pass it on")                            \
    X(REFUSED, "refused", "refused for what the client sent: 4xx of ours")                         \
    X(FAILED, "failed", "502, 503, 504 of ours")                                                   \
    X(OWN, "own", "answered here: identity, profile, preflights, metadata")

enum metrics_outcome {
#define X(identifier, name, which) METRICS_##identifier,
    METRICS_OUTCOMES(X)
#undef X
        METRICS_OUTCOME_COUNT,
};

/* X(identifier, name, which requests) */
#define METRICS_UPSTREAM_OUTCOMES(X)                                                               \
    X(ANSWERED, "answered", "it answered, and not by 5xx")                                         \
    X(ERROR, "error", "it answered 5xx")                                                           \
    X(DOWN, "down", "it has no target that is up")                                                 \
    X(UNREACHABLE, "unreachable", "no connection")                                                 \
    X(CLOSED, "closed", "it closed before it had answered")                                        \
    X(MALFORMED, "malformed", "its answer can be read in two ways, or is not HTTP/1.x")            \
    X(TIMEOUT, "timeout", "it took longer than timeouts allow")                                    \
    X(CANCELED, "canceled", "the client left before it had answered")

enum metrics_upstream_outcome {
#define X(identifier, name, which) METRICS_UPSTREAM_##identifier,
    METRICS_UPSTREAM_OUTCOMES(X)
#undef X
        METRICS_UPSTREAM_OUTCOME_COUNT,
};

/* The names that the text shows. Static. */
const char *metrics_outcome_name(enum metrics_outcome outcome);
const char *metrics_upstream_outcome_name(enum metrics_upstream_outcome outcome);

/* Is a refusal for this reason the client's, or a failure that it can do nothing about? */
enum metrics_outcome metrics_outcome_of(enum reason reason);

/*
 * What a request that went to an upstream and failed for this reason counts as there: CANCELED for
 * every reason that is not an upstream's.
 */
enum metrics_upstream_outcome metrics_upstream_outcome_of(enum reason reason);

/* Where the buckets of a histogram end, each inclusive. */
#define METRICS_BUCKETS_MAX 16
struct metrics_bounds {
    size_t count;
    uint64_t ns[METRICS_BUCKETS_MAX];
    const char *seconds[METRICS_BUCKETS_MAX]; /* the same, as the text shows it */
};
extern const struct metrics_bounds metrics_decision_bounds; /* 10 us to 1 s */
extern const struct metrics_bounds metrics_upstream_bounds; /* 1 ms to 60 s */

typedef _Atomic uint64_t metrics_counter;

struct metrics_histogram {
    metrics_counter buckets[METRICS_BUCKETS_MAX + 1]; /* each for itself; the last has no end */
    metrics_counter sum_ns;
};

/* The counters of a token cache since it was made, and what is in it. */
struct metrics_cache {
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
    uint64_t entries;
    uint64_t bytes;
};

struct metrics {
    metrics_counter requests[METRICS_NAMES_MAX + 2][METRICS_OUTCOME_COUNT];
    metrics_counter refusals[REASON_COUNT];
    metrics_counter would_refuse[REASON_COUNT];
    struct metrics_histogram decisions;
    struct metrics_upstream {
        metrics_counter requests[METRICS_UPSTREAM_OUTCOME_COUNT];
        struct metrics_histogram durations;
    } upstreams[METRICS_NAMES_MAX + 1];
    metrics_counter connections;
    struct {
        metrics_counter hits, misses, evictions, entries, bytes;
    } cache;
    struct metrics_cache cache_before; /* the worker's own: what it told last */
} __attribute__((aligned(64)));

/* For the functions below: one writer, so that no other write can come between. */
static inline void metrics_add(metrics_counter *counter, uint64_t by) {
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + by, memory_order_relaxed);
}

/*
 * All of the following: the worker that owns metrics only.
 *
 * A request has been answered, or its answer has begun; once for each request. route is what
 * metrics_route() of registry.h says, METRICS_NO_ROUTE where none was found.
 */
static inline void metrics_count_request(struct metrics *metrics, unsigned route,
                                         enum metrics_outcome outcome) {
    metrics_add(&metrics->requests[route][outcome], 1);
}

/* It was refused, or failed, for this reason; besides metrics_count_request(). */
static inline void metrics_count_refusal(struct metrics *metrics, enum reason reason) {
    metrics_add(&metrics->refusals[reason], 1);
}

/* It was let through by a route with mode: report, that would have refused it for this reason. */
static inline void metrics_count_would_refuse(struct metrics *metrics, enum reason reason) {
    metrics_add(&metrics->would_refuse[reason], 1);
}

/* A connection was accepted. */
static inline void metrics_count_connection(struct metrics *metrics) {
    metrics_add(&metrics->connections, 1);
}

/* A request's way from its head to its decision took so long, without waiting for keys. */
void metrics_observe_decision(struct metrics *metrics, uint64_t ns);

/*
 * A request that went to an upstream is over there. upstream is what metrics_upstream() of labels.h
 * says; ns is the time until the head of the response was there, 0 where none came: that is counted
 * as a request only.
 */
void metrics_count_upstream(struct metrics *metrics, unsigned upstream,
                            enum metrics_upstream_outcome outcome, uint64_t ns);

/*
 * What the worker's token cache counts now; called about once a second is often enough. A new
 * cache begins at 0, which is noticed where a number goes back.
 */
void metrics_note_cache(struct metrics *metrics, const struct metrics_cache *now);

#endif
