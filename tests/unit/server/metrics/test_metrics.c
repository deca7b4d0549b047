#include "server/metrics/metrics.h"

#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/suite.h"

#define US ((uint64_t)1000)
#define MS (1000 * US)

static struct metrics metrics;

TEST(each_thing_is_counted_in_its_own_place) {
    metrics_count_request(&metrics, 3, METRICS_ALLOWED);
    metrics_count_request(&metrics, 3, METRICS_ALLOWED);
    metrics_count_request(&metrics, METRICS_NO_ROUTE, METRICS_REFUSED);
    metrics_count_request(&metrics, METRICS_OTHER, METRICS_OWN);
    metrics_count_refusal(&metrics, REASON_NO_ROUTE);
    metrics_count_would_refuse(&metrics, REASON_SCOPE_MISSING);
    metrics_count_connection(&metrics);
    ck_assert_uint_eq(metrics.requests[3][METRICS_ALLOWED], 2);
    ck_assert_uint_eq(metrics.requests[3][METRICS_REFUSED], 0);
    ck_assert_uint_eq(metrics.requests[METRICS_NO_ROUTE][METRICS_REFUSED], 1);
    ck_assert_uint_eq(metrics.requests[METRICS_OTHER][METRICS_OWN], 1);
    ck_assert_uint_eq(metrics.refusals[REASON_NO_ROUTE], 1);
    ck_assert_uint_eq(metrics.refusals[REASON_SCOPE_MISSING], 0);
    ck_assert_uint_eq(metrics.would_refuse[REASON_SCOPE_MISSING], 1);
    ck_assert_uint_eq(metrics.connections, 1);
}

/* The bucket that was counted in; the test fails unless it is one. */
static size_t bucket_of(struct metrics_histogram *histogram, uint64_t ns) {
    size_t found = SIZE_MAX;
    for (size_t i = 0; i <= METRICS_BUCKETS_MAX; i++) {
        if (histogram->buckets[i]) {
            ck_assert_uint_eq(found, SIZE_MAX);
            ck_assert_uint_eq(histogram->buckets[i], 1);
            found = i;
        }
        histogram->buckets[i] = 0;
    }
    ck_assert_uint_eq(histogram->sum_ns, ns);
    histogram->sum_ns = 0;
    return found;
}

TEST(the_end_of_a_bucket_is_in_it) {
    static const uint64_t ends[] = {10 * US,  25 * US,   50 * US,  100 * US, 250 * US, 500 * US,
                                    1 * MS,   2500 * US, 5 * MS,   10 * MS,  25 * MS,  50 * MS,
                                    100 * MS, 250 * MS,  500 * MS, 1000 * MS};
    ck_assert_uint_eq(metrics_decision_bounds.count, ARRAY_LEN(ends));
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        metrics_observe_decision(&metrics, ends[i]);
        ck_assert_uint_eq(bucket_of(&metrics.decisions, ends[i]), i);
        metrics_observe_decision(&metrics, ends[i] + 1);
        ck_assert_uint_eq(bucket_of(&metrics.decisions, ends[i] + 1), i + 1);
    }
    metrics_observe_decision(&metrics, 0);
    ck_assert_uint_eq(bucket_of(&metrics.decisions, 0), 0);
    metrics_observe_decision(&metrics, UINT64_MAX);
    ck_assert_uint_eq(bucket_of(&metrics.decisions, UINT64_MAX), 16);
}

/* What the text shows is what is counted. */
TEST(bounds_rise_and_are_shown_as_they_are) {
    static const struct metrics_bounds *const all[] = {&metrics_decision_bounds,
                                                       &metrics_upstream_bounds};
    for (size_t b = 0; b < ARRAY_LEN(all); b++) {
        for (size_t i = 0; i < all[b]->count; i++) {
            double shown = strtod(all[b]->seconds[i], NULL) * 1e9;
            ck_assert_msg(shown > (double)all[b]->ns[i] - 0.5 &&
                              shown < (double)all[b]->ns[i] + 0.5,
                          "%s", all[b]->seconds[i]);
            ck_assert(i == 0 || all[b]->ns[i] > all[b]->ns[i - 1]);
        }
    }
    ck_assert_str_eq(metrics_upstream_bounds.seconds[0], "0.001");
    ck_assert_str_eq(metrics_upstream_bounds.seconds[metrics_upstream_bounds.count - 1], "60");
}

TEST(an_upstream_that_sent_no_head_has_no_duration) {
    metrics_count_upstream(&metrics, 7, METRICS_UPSTREAM_ANSWERED, 3 * MS);
    metrics_count_upstream(&metrics, 7, METRICS_UPSTREAM_UNREACHABLE, 0);
    ck_assert_uint_eq(metrics.upstreams[7].requests[METRICS_UPSTREAM_ANSWERED], 1);
    ck_assert_uint_eq(metrics.upstreams[7].requests[METRICS_UPSTREAM_UNREACHABLE], 1);
    ck_assert_uint_eq(bucket_of(&metrics.upstreams[7].durations, 3 * MS), 2);
}

TEST(a_new_token_cache_does_not_take_the_counters_back) {
    static const struct {
        struct metrics_cache now;
        uint64_t hits, misses, evictions;
    } steps[] = {
        {{10, 5, 1, 4, 400}, 10, 5, 1}, {{10, 5, 1, 3, 300}, 10, 5, 1},
        {{12, 9, 1, 5, 500}, 12, 9, 1}, {{0, 1, 0, 1, 100}, 12, 10, 1},
        {{5, 1, 2, 1, 100}, 17, 10, 3}, {{0, 0, 0, 0, 0}, 17, 10, 3},
        {{3, 0, 0, 0, 0}, 20, 10, 3},
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        metrics_note_cache(&metrics, &steps[i].now);
        ck_assert_uint_eq(metrics.cache.hits, steps[i].hits);
        ck_assert_uint_eq(metrics.cache.misses, steps[i].misses);
        ck_assert_uint_eq(metrics.cache.evictions, steps[i].evictions);
        ck_assert_uint_eq(metrics.cache.entries, steps[i].now.entries);
        ck_assert_uint_eq(metrics.cache.bytes, steps[i].now.bytes);
    }
}

TEST(every_reason_is_the_clients_or_a_failure) {
    for (size_t i = 0; i < REASON_COUNT; i++) {
        enum reason_class class = reason_class((enum reason)i);
        bool fault = class == CLASS_UNAVAILABLE || class == CLASS_BAD_GATEWAY ||
                     class == CLASS_GATEWAY_TIMEOUT;
        ck_assert_int_eq(metrics_outcome_of((enum reason)i),
                         fault ? METRICS_FAILED : METRICS_REFUSED);
    }
    ck_assert_int_eq(metrics_outcome_of(REASON_KEYS_UNAVAILABLE), METRICS_FAILED);
    ck_assert_int_eq(metrics_outcome_of(REASON_TOKEN_EXPIRED), METRICS_REFUSED);
}

TEST(an_upstreams_reasons_have_an_outcome_each) {
    static const struct {
        enum reason reason;
        const char *name;
    } cases[] = {
        {REASON_UPSTREAM_DOWN, "down"},       {REASON_UPSTREAM_UNREACHABLE, "unreachable"},
        {REASON_UPSTREAM_CLOSED, "closed"},   {REASON_UPSTREAM_MALFORMED, "malformed"},
        {REASON_UPSTREAM_TIMEOUT, "timeout"}, {REASON_FRAMING, "canceled"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_str_eq(
            metrics_upstream_outcome_name(metrics_upstream_outcome_of(cases[i].reason)),
            cases[i].name);
}
