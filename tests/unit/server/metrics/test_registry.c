#include "server/metrics/registry.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define WORKERS 3

static struct metrics_registry *start(void) {
    struct metrics_registry *registry = metrics_registry_new(WORKERS);
    ck_assert_ptr_nonnull(registry);
    return registry;
}

/* A configuration with routes to these paths, "/a/" and a star for all below it. */
static struct config *config_of(const char *const paths[]) {
    struct config *config = calloc(1, sizeof *config);
    while (paths[config->route_count]) config->route_count++;
    config->routes = calloc(config->route_count + 1, sizeof *config->routes);
    config->upstreams = calloc(config->route_count + 1, sizeof *config->upstreams);
    config->upstream_count = config->route_count;
    for (size_t i = 0; i < config->route_count; i++) {
        char *path = strdup(paths[i]);
        char *star = strchr(path, '*');
        if (star) *star = '\0';
        config->routes[i].path = path;
        config->routes[i].subtree = star != NULL;
        config->upstreams[i].name = strdup(paths[i]);
    }
    return config;
}

#define PATHS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void free_config(struct config *config) {
    for (size_t i = 0; i < config->route_count; i++) {
        free(config->routes[i].path);
        free(config->upstreams[i].name);
    }
    free(config->routes);
    free(config->upstreams);
    free(config);
}

/* A configuration in force, with its labels. */
struct version {
    struct config *config;
    struct metrics_labels *labels;
};

static struct version load(struct metrics_registry *registry, const char *const paths[]) {
    struct version version = {.config = config_of(paths)};
    version.labels = metrics_labels_new(registry, version.config);
    ck_assert_ptr_nonnull(version.labels);
    return version;
}

static void drop(struct version *version) {
    metrics_labels_free(version->labels);
    free_config(version->config);
}

/* A request of that route, and one to that upstream, on a worker. */
static void hit(const struct version *version, unsigned worker, size_t index) {
    struct metrics *metrics = metrics_of_worker(version->labels->registry, worker);
    metrics_count_request(metrics, metrics_route(version->labels, &version->config->routes[index]),
                          METRICS_ALLOWED);
    metrics_count_upstream(metrics, metrics_upstream(version->labels, index),
                           METRICS_UPSTREAM_ANSWERED, 1000000);
}

/* "name=count ..." of all routes that are told; the upstreams must say the same. */
static char *tell(struct metrics_registry *registry) {
    struct metrics_totals totals;
    char *routes = strdup(""), *upstreams = strdup(""), *longer;
    ck_assert_int_eq(metrics_registry_sum(registry, &totals), 0);
    for (size_t i = 0; i < totals.route_count; i++) {
        if (strcmp(totals.routes[i].name, "none") == 0) continue;
        longer = scratch_text("%s%s=%d ", routes, totals.routes[i].name,
                              (int)totals.routes[i].requests[METRICS_ALLOWED]);
        free(routes);
        routes = longer;
    }
    for (size_t i = 0; i < totals.upstream_count; i++) {
        const struct metrics_upstream_totals *upstream = &totals.upstreams[i];
        uint64_t count = upstream->requests[METRICS_UPSTREAM_ANSWERED];
        ck_assert_uint_eq(upstream->durations.buckets[0], count);
        ck_assert_uint_eq(upstream->durations.sum_ns, count * 1000000);
        longer = scratch_text("%s%s=%d ", upstreams, upstream->name, (int)count);
        free(upstreams);
        upstreams = longer;
    }
    ck_assert_str_eq(routes, upstreams);
    free(upstreams);
    metrics_totals_done(&totals);
    return routes;
}

static void check_told(struct metrics_registry *registry, const char *expected) {
    char *told = tell(registry);
    ck_assert_str_eq(told, expected);
    free(told);
}

TEST(routes_are_told_by_their_configured_path_from_the_start) {
    struct metrics_registry *registry = start();
    struct version version = load(registry, PATHS("/orders/*", "/orders/", "/orders/{id}"));
    check_told(registry, "/orders/*=0 /orders/=0 /orders/{id}=0 ");
    hit(&version, 0, 0), hit(&version, 1, 0), hit(&version, 2, 2);
    check_told(registry, "/orders/*=2 /orders/=0 /orders/{id}=1 ");
    ck_assert_uint_eq(metrics_route(version.labels, NULL), METRICS_NO_ROUTE);
    drop(&version);
    metrics_registry_free(registry);
}

TEST(routes_of_one_path_share_a_counter) {
    struct metrics_registry *registry = start();
    struct version version = load(registry, PATHS("/a", "/b", "/a"));
    hit(&version, 0, 0), hit(&version, 0, 2);
    check_told(registry, "/a=2 /b=0 ");
    drop(&version);
    metrics_registry_free(registry);
}

TEST(counters_survive_a_reload_and_those_of_routes_that_are_gone_are_dropped) {
    struct metrics_registry *registry = start();
    struct version old = load(registry, PATHS("/a", "/b", "/c"));
    hit(&old, 0, 0), hit(&old, 1, 1), hit(&old, 1, 1), hit(&old, 2, 2);
    struct version new = load(registry, PATHS("/c", "/x", "/b"));
    hit(&old, 0, 0), hit(&old, 0, 1); /* requests of before end late */
    hit(&new, 0, 1), hit(&new, 0, 2);
    check_told(registry, "/a=2 /b=4 /c=1 /x=1 ");
    drop(&old);
    check_told(registry, "/b=4 /c=1 /x=1 ");
    struct version again = load(registry, PATHS("/a"));
    drop(&new);
    check_told(registry, "/a=2 ");
    drop(&again);
    check_told(registry, "");
    metrics_registry_free(registry);
}

/* "prefix0" to "prefix255" */
static struct version load_many(struct metrics_registry *registry, const char *prefix) {
    const char *paths[METRICS_NAMES_MAX + 1] = {0};
    for (size_t i = 0; i < METRICS_NAMES_MAX; i++) paths[i] = scratch_text("%s%zu", prefix, i);
    struct version version = load(registry, paths);
    for (size_t i = 0; i < METRICS_NAMES_MAX; i++) free((char *)(uintptr_t)paths[i]);
    return version;
}

static uint64_t other(struct metrics_registry *registry) {
    struct metrics_totals totals;
    uint64_t count = UINT64_MAX;
    ck_assert_int_eq(metrics_registry_sum(registry, &totals), 0);
    for (size_t i = 0; i < totals.route_count; i++)
        if (strcmp(totals.routes[i].name, "other") == 0)
            count = totals.routes[i].requests[METRICS_ALLOWED];
    metrics_totals_done(&totals);
    return count;
}

/* The counters of routes that are gone serve others, from 0, once nobody can count there. */
TEST(a_counter_is_never_anothers_while_a_request_can_still_end) {
    struct metrics_registry *registry = start();
    struct version old = load_many(registry, "/old"), none = load(registry, PATHS("/old0"));
    for (size_t i = 0; i < METRICS_NAMES_MAX; i++) hit(&old, (unsigned)i % WORKERS, i);
    struct version crowded = load(registry, PATHS("/new", "/old1"));
    ck_assert_uint_eq(metrics_route(crowded.labels, &crowded.config->routes[0]), METRICS_OTHER);
    hit(&crowded, 0, 0);
    hit(&old, 0, 2);
    ck_assert_uint_eq(other(registry), 1);
    drop(&old);
    check_told(registry, "/old0=1 /old1=1 other=1 ");
    struct version new = load(registry, PATHS("/new", "/old0"));
    drop(&crowded);
    drop(&none);
    check_told(registry, "/old0=1 /new=0 ");
    hit(&new, 0, 0), hit(&new, 1, 0);
    check_told(registry, "/old0=1 /new=2 ");
    ck_assert_uint_eq(other(registry), UINT64_MAX);
    drop(&new);
    metrics_registry_free(registry);
}

TEST(hundreds_of_reloads_with_other_routes_misattribute_nothing) {
    struct metrics_registry *registry = start();
    struct version present = load(registry, PATHS("/stays"));
    for (int i = 0; i < 1000; i++) {
        char *path = scratch_text("/r%d", i),
             *expected = scratch_text("/stays=%d %s=2 ", i + 1, path);
        struct version next = load(registry, PATHS("/stays", path));
        hit(&present, 0, 0);
        drop(&present);
        present = next;
        hit(&present, 1, 1), hit(&present, 2, 1);
        char *told = tell(registry);
        ck_assert_msg(strcmp(told, expected) == 0, "%s: %s", expected, told);
        free(told), free(expected), free(path);
    }
    drop(&present);
    metrics_registry_free(registry);
}

TEST(everything_else_is_added_up_over_the_workers) {
    struct metrics_registry *registry = start();
    struct metrics_totals totals;
    for (unsigned i = 0; i < WORKERS; i++) {
        struct metrics *metrics = metrics_of_worker(registry, i);
        metrics_count_refusal(metrics, REASON_TOKEN_EXPIRED);
        metrics_count_would_refuse(metrics, REASON_ROLE_MISSING);
        metrics_observe_decision(metrics, 20000);
        metrics_count_connection(metrics);
        metrics_count_request(metrics, METRICS_NO_ROUTE, METRICS_REFUSED);
        metrics_note_cache(metrics, &(struct metrics_cache){i, 2, 3, 4, 5});
    }
    ck_assert_int_eq(metrics_registry_sum(registry, &totals), 0);
    ck_assert_uint_eq(totals.refusals[REASON_TOKEN_EXPIRED], 3);
    ck_assert_uint_eq(totals.refusals[REASON_ROLE_MISSING], 0);
    ck_assert_uint_eq(totals.would_refuse[REASON_ROLE_MISSING], 3);
    ck_assert_uint_eq(totals.decisions.buckets[1], 3);
    ck_assert_uint_eq(totals.decisions.sum_ns, 60000);
    ck_assert_uint_eq(totals.connections, 3);
    ck_assert_uint_eq(totals.route_count, 1);
    ck_assert_str_eq(totals.routes[0].name, "none");
    ck_assert_uint_eq(totals.routes[0].requests[METRICS_REFUSED], 3);
    ck_assert_uint_eq(totals.cache.hits, 0 + 1 + 2);
    ck_assert_uint_eq(totals.cache.misses, 6);
    ck_assert_uint_eq(totals.cache.evictions, 9);
    ck_assert_uint_eq(totals.cache.entries, 12);
    ck_assert_uint_eq(totals.cache.bytes, 15);
    metrics_totals_done(&totals);
    metrics_registry_free(registry);
}

/* --- threads --------------------------------------------------------------------------------- */

enum { HITS = 200000 };
static struct version shared;

static void *count_much(void *argument) {
    unsigned worker = *(const unsigned *)argument;
    for (int i = 0; i < HITS; i++) hit(&shared, worker, (size_t)i % 2);
    return NULL;
}

TEST(a_reader_sees_counters_grow_and_at_the_end_all_of_it) {
    static unsigned indices[WORKERS] = {0, 1, 2};
    struct metrics_registry *registry = start();
    pthread_t threads[WORKERS];
    uint64_t before = 0;

    shared = load(registry, PATHS("/a", "/b"));
    for (size_t i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_much, &indices[i]), 0);
    for (int i = 0; i < 50; i++) {
        struct metrics_totals totals;
        ck_assert_int_eq(metrics_registry_sum(registry, &totals), 0);
        uint64_t now = totals.routes[0].requests[METRICS_ALLOWED];
        ck_assert_uint_ge(now, before);
        before = now;
        metrics_totals_done(&totals);
        struct version passing = load(registry, PATHS("/b", "/c"));
        drop(&passing);
    }
    for (size_t i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    char *expected = scratch_text("/a=%d /b=%d ", WORKERS * HITS / 2, WORKERS * HITS / 2);
    check_told(registry, expected);
    free(expected);
    drop(&shared);
    metrics_registry_free(registry);
}
