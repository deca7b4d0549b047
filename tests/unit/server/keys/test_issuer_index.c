#include "server/keys/issuer_index.h"

#include <stdlib.h>
#include <time.h>

#include "common/attr.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

/* So many issuers of one host, and nothing else of a configuration. */
static void fill(struct config *config, size_t count) {
    *config =
        (struct config){.issuers = calloc(count, sizeof *config->issuers), .issuer_count = count};
    ck_assert_ptr_nonnull(config->issuers);
    for (size_t i = 0; i < count; i++)
        config->issuers[i].issuer = scratch_text("https://idp.example/realms/tenant-%zu", i);
}

static void empty(struct config *config) {
    for (size_t i = 0; i < config->issuer_count; i++) free(config->issuers[i].issuer);
    free(config->issuers);
}

TEST(every_issuer_is_found_where_it_stands_and_no_other_name_is) {
    static const size_t counts[] = {1, 2, 3, 4, 5, 100, 500, 4096, 10000};
    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        struct config config;
        fill(&config, counts[c]);
        struct issuer_index *index = issuer_index_new(&config);
        for (size_t i = 0; i < counts[c]; i++) {
            const char *name = config.issuers[i].issuer;
            char *strange = scratch_text("https://idp.example/realms/Tenant-%zu", i);
            ck_assert_msg(issuer_index_find(index, span_of(name)) == i, "%s of %zu", name,
                          counts[c]);
            ck_assert_uint_eq(issuer_index_find(index, span_of(strange)), ISSUER_NONE);
            ck_assert_uint_eq(issuer_index_find(index, span_of(strange + 1)), ISSUER_NONE);
            free(strange);
        }
        issuer_index_unref(index);
        empty(&config);
    }
}

TEST(names_are_told_apart_by_every_byte_and_by_their_length) {
    static char names[][20] = {"a",         "b",         "aa",         "aaaaaaa",
                               "aaaaaaaa",  "aaaaaaaab", "aaaaaaaaa",  "baaaaaaaa",
                               "abaaaaaaa", "aaaaaaaba", "aaaaaaaaab", "aaaaaaaaaaaaaaaa"};
    static const struct span strangers[] = {
        S(""),          S("c"),         S("aaa"),  S("a\0"), S("aaaaaaa\0"),
        S("aaaaaaaac"), S("aaaabaaaa"), SPAN_NONE, S("\0"),  S("aaaaaaaaaaaaaaaaa")};
    struct config_issuer issuers[ARRAY_LEN(names)] = {0};
    struct config config = {.issuers = issuers, .issuer_count = ARRAY_LEN(names)};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) issuers[i].issuer = names[i];
    struct issuer_index *index = issuer_index_new(&config);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        ck_assert_msg(issuer_index_find(index, span_of(names[i])) == i, "%s", names[i]);
    for (size_t i = 0; i < ARRAY_LEN(strangers); i++)
        ck_assert_msg(issuer_index_find(index, strangers[i]) == ISSUER_NONE, "stranger %zu", i);
    issuer_index_unref(index);
}

TEST(it_lives_as_long_as_its_last_reference) {
    struct config config;
    fill(&config, 3);
    struct issuer_index *index = issuer_index_new(&config);
    ck_assert_ptr_eq(issuer_index_ref(index), index);
    issuer_index_unref(index);
    ck_assert_uint_eq(issuer_index_find(index, S("https://idp.example/realms/tenant-2")), 2);
    issuer_index_unref(index);
    issuer_index_unref(NULL);
    empty(&config);
}

/* --- cost ------------------------------------------------------------------------------------ */

/* Processor time of some thousand lookups of issuers spread over all of them, in ns; the best of a
 * few goes, since the machine has other work too. */
static int64_t measure(size_t issuers) {
    struct config config;
    int64_t best = INT64_MAX;
    fill(&config, issuers);
    struct issuer_index *index = issuer_index_new(&config);
    for (int go = 0; go < 7; go++) {
        struct timespec from, to;
        size_t found = 0;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        for (size_t i = 0; i < 20000; i++) {
            size_t place = i * 7919 % issuers;
            found += issuer_index_find(index, span_of(config.issuers[place].issuer)) == place;
        }
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
        ck_assert_uint_eq(found, 20000);
        int64_t took = (to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec;
        if (took < best) best = took;
    }
    issuer_index_unref(index);
    empty(&config);
    return best;
}

TEST(four_thousand_issuers_cost_about_what_ten_do) {
    int64_t few = measure(10), many = measure(4000);
    /* Memory is slower than its cache; a walk along the list would take a hundred times as long. */
    ck_assert_msg(many < 8 * few, "%lld ns for 10, %lld for 4000", (long long)few, (long long)many);
}
