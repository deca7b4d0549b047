/*
 * registry: the counters of all workers, which of them each route and upstream has, and their sums.
 *
 * A route counts under its path as configured, whatever its hosts and methods ("/orders/{id}"); an
 * upstream under its name. A name that a reload keeps keeps its counters. Those of a name that is
 * gone serve another one only when no labels are left that have it, and start at 0 again then: a
 * request that ends late never counts as another route's.
 */
#ifndef SERVER_METRICS_REGISTRY_H
#define SERVER_METRICS_REGISTRY_H

#include "common/attr.h"
#include "server/config/config.h"
#include "server/metrics/metrics.h"

struct metrics_registry;

/* Counters at 0 for so many workers. NULL without memory. */
struct metrics_registry *metrics_registry_new(unsigned workers);

/* After the workers and all labels have gone. NULL is fine. */
void metrics_registry_free(struct metrics_registry *registry);
CLEANUP_DEFINE(struct metrics_registry *, metrics_registry_free)

/* The counters of the worker of that index, for it alone. */
struct metrics *metrics_of_worker(struct metrics_registry *registry, unsigned index);

/* --- what the routes and upstreams of one configuration count as ----------------------------- */

struct metrics_labels {
    struct metrics_registry *registry;
    const struct config *config;
    uint16_t *routes; /* for each of config->routes */
    uint16_t *upstreams;
};

/*
 * The labels for config, which must outlive them, as the registry must. Where there are more names
 * than METRICS_NAMES_MAX the rest count as "other". Any thread. NULL without memory.
 */
struct metrics_labels *metrics_labels_new(struct metrics_registry *registry,
                                          const struct config *config);

/* Any thread: nobody counts by these any more. NULL is fine. */
void metrics_labels_free(struct metrics_labels *labels);
CLEANUP_DEFINE(struct metrics_labels *, metrics_labels_free)

/*
 * What a route of the labels' configuration counts as; METRICS_NO_ROUTE for NULL. The number is
 * good as long as the labels: a request that holds its setup holds them.
 */
static inline unsigned metrics_route(const struct metrics_labels *labels,
                                     const struct config_route *route) {
    return route ? labels->routes[route - labels->config->routes] : METRICS_NO_ROUTE;
}

/* What an upstream counts as: its index in config->upstreams, never UPSTREAM_NONE. */
static inline unsigned metrics_upstream(const struct metrics_labels *labels, size_t index) {
    return labels->upstreams[index];
}

/* --- sums ------------------------------------------------------------------------------------ */

/* A histogram as it was read: each bucket for itself. */
struct metrics_distribution {
    uint64_t buckets[METRICS_BUCKETS_MAX + 1];
    uint64_t sum_ns;
};

/* Over all workers. */
struct metrics_totals {
    struct metrics_route_totals {
        char *name;
        uint64_t requests[METRICS_OUTCOME_COUNT];
    } * routes; /* of the labels there are, then "other" where one of them is, then "none" */
    size_t route_count;
    struct metrics_upstream_totals {
        char *name;
        uint64_t requests[METRICS_UPSTREAM_OUTCOME_COUNT];
        struct metrics_distribution durations;
    } * upstreams; /* of the labels there are, then "other" where one of them is */
    size_t upstream_count;
    uint64_t refusals[REASON_COUNT];
    uint64_t would_refuse[REASON_COUNT];
    struct metrics_distribution decisions;
    uint64_t connections;
    struct metrics_cache cache;
};

/*
 * Any thread: add up. Numbers that are counted meanwhile may be in or not. Returns 0 with *ret to
 * be freed by metrics_totals_done(), or ERR_MEMORY with nothing to free.
 */
int metrics_registry_sum(struct metrics_registry *registry, struct metrics_totals *ret) MUST_CHECK;

/* Fine on zeroed ones. */
void metrics_totals_done(struct metrics_totals *totals);

#endif
