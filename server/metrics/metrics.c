#include "server/metrics/metrics.h"

const char *metrics_outcome_name(enum metrics_outcome outcome) {
    static const char *const names[] = {
#define X(identifier, name, which) [METRICS_##identifier] = (name),
        METRICS_OUTCOMES(X)
#undef X
    };
    return names[outcome];
}

const char *metrics_upstream_outcome_name(enum metrics_upstream_outcome outcome) {
    static const char *const names[] = {
#define X(identifier, name, which) [METRICS_UPSTREAM_##identifier] = (name),
        METRICS_UPSTREAM_OUTCOMES(X)
#undef X
    };
    return names[outcome];
}

enum metrics_outcome metrics_outcome_of(enum reason reason) {
    switch (reason_class(reason)) {
    case CLASS_UNAVAILABLE:
    case CLASS_BAD_GATEWAY:
    case CLASS_GATEWAY_TIMEOUT:
        return METRICS_FAILED;
    default:
        return METRICS_REFUSED;
    }
}

enum metrics_upstream_outcome metrics_upstream_outcome_of(enum reason reason) {
    switch (reason) {
    case REASON_UPSTREAM_DOWN:
        return METRICS_UPSTREAM_DOWN;
    case REASON_UPSTREAM_UNREACHABLE:
        return METRICS_UPSTREAM_UNREACHABLE;
    case REASON_UPSTREAM_CLOSED:
        return METRICS_UPSTREAM_CLOSED;
    case REASON_UPSTREAM_MALFORMED:
        return METRICS_UPSTREAM_MALFORMED;
    case REASON_UPSTREAM_TIMEOUT:
        return METRICS_UPSTREAM_TIMEOUT;
    default:
        return METRICS_UPSTREAM_CANCELED;
    }
}

#define US ((uint64_t)1000)
#define MS (1000 * US)

const struct metrics_bounds metrics_decision_bounds = {
    .count = 16,
    .ns = {10 * US, 25 * US, 50 * US, 100 * US, 250 * US, 500 * US, 1 * MS, 5 * MS / 2, 5 * MS,
           10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, 1000 * MS},
    .seconds = {"0.00001", "0.000025", "0.00005", "0.0001", "0.00025", "0.0005", "0.001", "0.0025",
                "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1"},
};

const struct metrics_bounds metrics_upstream_bounds = {
    .count = 15,
    .ns = {1 * MS, 5 * MS / 2, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS,
           1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS, 30000 * MS, 60000 * MS},
    .seconds = {"0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1",
                "2.5", "5", "10", "30", "60"},
};

static void observe(struct metrics_histogram *histogram, const struct metrics_bounds *bounds,
                    uint64_t ns) {
    size_t i = 0;
    while (i < bounds->count && ns > bounds->ns[i]) i++;
    metrics_add(&histogram->buckets[i], 1);
    metrics_add(&histogram->sum_ns, ns);
}

void metrics_observe_decision(struct metrics *metrics, uint64_t ns) {
    observe(&metrics->decisions, &metrics_decision_bounds, ns);
}

void metrics_count_upstream(struct metrics *metrics, unsigned upstream,
                            enum metrics_upstream_outcome outcome, uint64_t ns) {
    struct metrics_upstream *counters = &metrics->upstreams[upstream];
    metrics_add(&counters->requests[outcome], 1);
    if (ns) observe(&counters->durations, &metrics_upstream_bounds, ns);
}

void metrics_note_cache(struct metrics *metrics, const struct metrics_cache *now) {
    struct metrics_cache *before = &metrics->cache_before;

    bool is_new = now->hits < before->hits || now->misses < before->misses ||
                  now->evictions < before->evictions;
    if (is_new) *before = (struct metrics_cache){0};
    metrics_add(&metrics->cache.hits, now->hits - before->hits);
    metrics_add(&metrics->cache.misses, now->misses - before->misses);
    metrics_add(&metrics->cache.evictions, now->evictions - before->evictions);
    atomic_store_explicit(&metrics->cache.entries, now->entries, memory_order_relaxed);
    atomic_store_explicit(&metrics->cache.bytes, now->bytes, memory_order_relaxed);
    *before = *now;
}
