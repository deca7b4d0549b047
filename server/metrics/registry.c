#include "server/metrics/registry.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/metrics/names.h"

struct metrics_registry {
    pthread_mutex_t lock; /* of the names and what was counted before; nobody takes it to count */
    struct names routes;
    struct names upstreams;
    /* What a number had counted when its present name got it. */
    uint64_t routes_before[METRICS_NAMES_MAX][METRICS_OUTCOME_COUNT];
    struct metrics_upstream_totals upstreams_before[METRICS_NAMES_MAX];
    unsigned worker_count;
    struct metrics *workers;
};

struct metrics_registry *metrics_registry_new(unsigned workers) {
    struct metrics_registry *registry = calloc(1, sizeof *registry);
    if (!registry) return NULL;
    size_t size = workers * sizeof *registry->workers;
    registry->workers = aligned_alloc(_Alignof(struct metrics), size);
    if (!registry->workers) {
        free(registry);
        return NULL;
    }
    memset(registry->workers, 0, size);
    registry->worker_count = workers;
    pthread_mutex_init(&registry->lock, NULL);
    return registry;
}

void metrics_registry_free(struct metrics_registry *registry) {
    if (!registry) return;
    names_done(&registry->routes);
    names_done(&registry->upstreams);
    pthread_mutex_destroy(&registry->lock);
    free(registry->workers);
    free(registry);
}

struct metrics *metrics_of_worker(struct metrics_registry *registry, unsigned index) {
    return &registry->workers[index];
}

/* --- adding up ----------------------------------------------------------------------------- */

static uint64_t read_counter(const metrics_counter *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_up(uint64_t *sums, const metrics_counter *counters, size_t count) {
    for (size_t i = 0; i < count; i++) sums[i] += read_counter(&counters[i]);
}

static void subtract(uint64_t *sums, const uint64_t *before, size_t count) {
    for (size_t i = 0; i < count; i++) sums[i] -= before[i];
}

static void add_up_histogram(struct metrics_distribution *sums,
                             const struct metrics_histogram *histogram) {
    add_up(sums->buckets, histogram->buckets, METRICS_BUCKETS_MAX + 1);
    sums->sum_ns += read_counter(&histogram->sum_ns);
}

/* Since the start, whosever the number was. */
static void sum_route(const struct metrics_registry *registry, unsigned number, uint64_t *sums) {
    memset(sums, 0, METRICS_OUTCOME_COUNT * sizeof *sums);
    for (unsigned i = 0; i < registry->worker_count; i++)
        add_up(sums, registry->workers[i].requests[number], METRICS_OUTCOME_COUNT);
}

static void sum_upstream(const struct metrics_registry *registry, unsigned number,
                         struct metrics_upstream_totals *sums) {
    memset(sums, 0, sizeof *sums);
    for (unsigned i = 0; i < registry->worker_count; i++) {
        const struct metrics_upstream *upstream = &registry->workers[i].upstreams[number];
        add_up(sums->requests, upstream->requests, METRICS_UPSTREAM_OUTCOME_COUNT);
        add_up_histogram(&sums->durations, &upstream->durations);
    }
}

/* --- labels -------------------------------------------------------------------------------- */

static unsigned take_route(struct metrics_registry *registry, const char *name) {
    bool reused;
    unsigned number = names_take(&registry->routes, name, &reused);
    /* No labels have this number, so nobody counts by it now. */
    if (reused) sum_route(registry, number, registry->routes_before[number]);
    return number;
}

static unsigned take_upstream(struct metrics_registry *registry, const char *name) {
    bool reused;
    unsigned number = names_take(&registry->upstreams, name, &reused);
    if (reused) sum_upstream(registry, number, &registry->upstreams_before[number]);
    return number;
}

/* The path as it was written: the loader has cut the star off. */
static unsigned take_path(struct metrics_registry *registry, const struct config_route *route) {
    char *name = NULL;
    if (!route->subtree) return take_route(registry, route->path);
    if (asprintf(&name, "%s*", route->path) < 0) return take_route(registry, route->path);
    unsigned number = take_route(registry, name);
    free(name);
    return number;
}

struct metrics_labels *metrics_labels_new(struct metrics_registry *registry,
                                          const struct config *config) {
    struct metrics_labels *labels = calloc(1, sizeof *labels);
    if (!labels) return NULL;
    labels->registry = registry;
    labels->routes = calloc(config->route_count + 1, sizeof *labels->routes);
    labels->upstreams = calloc(config->upstream_count + 1, sizeof *labels->upstreams);
    if (!labels->routes || !labels->upstreams) {
        metrics_labels_free(labels);
        return NULL;
    }
    labels->config = config;
    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < config->route_count; i++)
        labels->routes[i] = (uint16_t)take_path(registry, &config->routes[i]);
    for (size_t i = 0; i < config->upstream_count; i++)
        labels->upstreams[i] = (uint16_t)take_upstream(registry, config->upstreams[i].name);
    pthread_mutex_unlock(&registry->lock);
    return labels;
}

static void drop_names(const struct metrics_labels *labels) {
    struct metrics_registry *registry = labels->registry;
    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < labels->config->route_count; i++)
        names_drop(&registry->routes, labels->routes[i]);
    for (size_t i = 0; i < labels->config->upstream_count; i++)
        names_drop(&registry->upstreams, labels->upstreams[i]);
    pthread_mutex_unlock(&registry->lock);
}

void metrics_labels_free(struct metrics_labels *labels) {
    if (!labels) return;
    if (labels->config) drop_names(labels);
    free(labels->routes);
    free(labels->upstreams);
    free(labels);
}

/* --- totals -------------------------------------------------------------------------------- */

static bool add_route(const struct metrics_registry *registry, const char *name, unsigned number,
                      struct metrics_totals *totals) {
    struct metrics_route_totals *route = &totals->routes[totals->route_count];
    route->name = strdup(name);
    if (!route->name) return false;
    totals->route_count++;
    sum_route(registry, number, route->requests);
    if (number < METRICS_NAMES_MAX)
        subtract(route->requests, registry->routes_before[number], METRICS_OUTCOME_COUNT);
    return true;
}

static bool add_routes(const struct metrics_registry *registry, struct metrics_totals *totals) {
    for (unsigned i = 0; i < METRICS_NAMES_MAX; i++) {
        const struct name *name = &registry->routes.items[i];
        if (name->users && !add_route(registry, name->text, i, totals)) return false;
    }
    if (registry->routes.other_users && !add_route(registry, "other", METRICS_OTHER, totals))
        return false;
    return add_route(registry, "none", METRICS_NO_ROUTE, totals);
}

static bool add_upstream(const struct metrics_registry *registry, const char *name, unsigned number,
                         struct metrics_totals *totals) {
    struct metrics_upstream_totals *upstream = &totals->upstreams[totals->upstream_count];
    sum_upstream(registry, number, upstream);
    upstream->name = strdup(name);
    if (!upstream->name) return false;
    totals->upstream_count++;
    if (number == METRICS_OTHER) return true;
    const struct metrics_upstream_totals *before = &registry->upstreams_before[number];
    subtract(upstream->requests, before->requests, METRICS_UPSTREAM_OUTCOME_COUNT);
    subtract(upstream->durations.buckets, before->durations.buckets, METRICS_BUCKETS_MAX + 1);
    upstream->durations.sum_ns -= before->durations.sum_ns;
    return true;
}

static bool add_upstreams(const struct metrics_registry *registry, struct metrics_totals *totals) {
    for (unsigned i = 0; i < METRICS_NAMES_MAX; i++) {
        const struct name *name = &registry->upstreams.items[i];
        if (name->users && !add_upstream(registry, name->text, i, totals)) return false;
    }
    return !registry->upstreams.other_users ||
           add_upstream(registry, "other", METRICS_OTHER, totals);
}

static void add_worker(const struct metrics *worker, struct metrics_totals *totals) {
    add_up(totals->refusals, worker->refusals, REASON_COUNT);
    add_up(totals->would_refuse, worker->would_refuse, REASON_COUNT);
    add_up_histogram(&totals->decisions, &worker->decisions);
    totals->connections += read_counter(&worker->connections);
    totals->cache.hits += read_counter(&worker->cache.hits);
    totals->cache.misses += read_counter(&worker->cache.misses);
    totals->cache.evictions += read_counter(&worker->cache.evictions);
    totals->cache.entries += read_counter(&worker->cache.entries);
    totals->cache.bytes += read_counter(&worker->cache.bytes);
}

static bool add_named(struct metrics_registry *registry, struct metrics_totals *totals) {
    pthread_mutex_lock(&registry->lock);
    bool added = add_routes(registry, totals) && add_upstreams(registry, totals);
    pthread_mutex_unlock(&registry->lock);
    return added;
}

int metrics_registry_sum(struct metrics_registry *registry, struct metrics_totals *ret) {
    struct metrics_totals totals = {
        .routes = calloc(METRICS_NAMES_MAX + 2, sizeof *totals.routes),
        .upstreams = calloc(METRICS_NAMES_MAX + 1, sizeof *totals.upstreams),
    };
    if (!totals.routes || !totals.upstreams || !add_named(registry, &totals)) {
        metrics_totals_done(&totals);
        return ERR_MEMORY;
    }
    for (unsigned i = 0; i < registry->worker_count; i++)
        add_worker(&registry->workers[i], &totals);
    *ret = totals;
    return 0;
}

void metrics_totals_done(struct metrics_totals *totals) {
    for (size_t i = 0; i < totals->route_count; i++) free(totals->routes[i].name);
    for (size_t i = 0; i < totals->upstream_count; i++) free(totals->upstreams[i].name);
    free(totals->routes);
    free(totals->upstreams);
    *totals = (struct metrics_totals){0};
}
