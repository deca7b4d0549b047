#include "common/snapshot.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/ref.h"
#include "tests/support/suite.h"

/* A value whose two halves agree, so that a reader sees a torn or freed one. */
struct value {
    struct ref ref;
    unsigned number, again;
};

static atomic_int alive;

static struct value *value_new(unsigned number) {
    struct value *value = malloc(sizeof *value);
    ck_assert_ptr_nonnull(value);
    ref_init(&value->ref);
    value->number = value->again = number;
    atomic_fetch_add(&alive, 1);
    return value;
}

static void value_ref(void *value) {
    ref_take(&((struct value *)value)->ref);
}

static void value_unref(void *argument) {
    struct value *value = argument;
    if (!ref_drop(&value->ref)) return;
    value->number = 0xdead;
    free(value);
    atomic_fetch_sub(&alive, 1);
}

TEST(nothing_is_there_before_the_first_publication) {
    struct snapshot snapshot;
    uint64_t generation = 99;

    snapshot_init(&snapshot, value_ref, value_unref);
    ck_assert_uint_eq(snapshot_generation(&snapshot), 0);
    ck_assert_ptr_null(snapshot_acquire(&snapshot, &generation));
    ck_assert_uint_eq(generation, 0);
    snapshot_done(&snapshot);
}

TEST(generations_count_publications_and_references_are_dropped) {
    struct snapshot snapshot;
    uint64_t generation;

    snapshot_init(&snapshot, value_ref, value_unref);
    struct value *first = value_new(1);
    snapshot_publish(&snapshot, first);
    ck_assert_uint_eq(snapshot_generation(&snapshot), 1);
    ck_assert_ptr_eq(snapshot_acquire(&snapshot, &generation), first);
    ck_assert_uint_eq(generation, 1);

    struct value *second = value_new(2);
    snapshot_publish(&snapshot, second);
    ck_assert_uint_eq(snapshot_generation(&snapshot), 2);
    ck_assert_msg(alive == 2, "the reader's reference keeps the first alive");
    ck_assert_uint_eq(first->number, 1);
    value_unref(first);
    ck_assert_int_eq(alive, 1);

    ck_assert_ptr_eq(snapshot_acquire(&snapshot, &generation), second);
    ck_assert_uint_eq(generation, 2);
    snapshot_done(&snapshot);
    ck_assert_msg(alive == 1, "done drops its own reference only");
    value_unref(second);
    ck_assert_int_eq(alive, 0);
}

TEST(a_value_nobody_reads_is_freed_by_the_next_publication) {
    struct snapshot snapshot;

    snapshot_init(&snapshot, value_ref, value_unref);
    for (unsigned i = 1; i <= 5; i++) {
        snapshot_publish(&snapshot, value_new(i));
        ck_assert_int_eq(alive, 1);
    }
    snapshot_done(&snapshot);
    ck_assert_int_eq(alive, 0);
}

/* --- readers and a writer at once ------------------------------------------------------------ */

enum { PUBLICATIONS = 20000, READERS = 4 };

/* What a reader found wrong; assertions belong to the main thread. */
struct reader {
    pthread_t thread;
    struct snapshot *snapshot;
    unsigned torn, went_back, generation_mismatch;
    uint64_t last_generation;
};

/* As a worker does it: keep the value, look for a newer generation, pick it up. */
static void *read_until_last(void *argument) {
    struct reader *reader = argument;
    struct value *value = NULL;
    uint64_t generation = 0;

    while (generation < PUBLICATIONS) {
        if (snapshot_generation(reader->snapshot) != generation) {
            if (value) value_unref(value);
            value = snapshot_acquire(reader->snapshot, &generation);
            if (generation < reader->last_generation) reader->went_back++;
            reader->last_generation = generation;
        }
        if (!value) continue;
        if (value->number != value->again) reader->torn++;
        if (value->number != generation) reader->generation_mismatch++;
    }
    value_unref(value);
    return NULL;
}

TEST_WITHIN(readers_see_whole_values_in_order_while_a_writer_publishes, 60) {
    struct snapshot snapshot;
    struct reader readers[READERS];

    snapshot_init(&snapshot, value_ref, value_unref);
    for (size_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.snapshot = &snapshot};
        ck_assert_int_eq(pthread_create(&readers[i].thread, NULL, read_until_last, &readers[i]), 0);
    }
    for (unsigned i = 1; i <= PUBLICATIONS; i++) snapshot_publish(&snapshot, value_new(i));
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        ck_assert_uint_eq(readers[i].torn, 0);
        ck_assert_uint_eq(readers[i].went_back, 0);
        ck_assert_uint_eq(readers[i].generation_mismatch, 0);
        ck_assert_uint_eq(readers[i].last_generation, PUBLICATIONS);
    }
    ck_assert_int_eq(alive, 1);
    snapshot_done(&snapshot);
    ck_assert_int_eq(alive, 0);
}
