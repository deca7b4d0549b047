#include "server/metrics/history.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/support/suite.h"

#define MINUTE 60
/* The first second of a minute. */
#define NOW ((int64_t)1700000040)
#define LAST (HISTORY_MINUTES - 1)

/* What there is to see at now. The caller frees it. */
static struct history_sum *look(const struct history *history, int64_t now) {
    struct history_sum *sum = malloc(sizeof *sum);
    ck_assert_ptr_nonnull(sum);
    history_sum_begin(sum, now);
    history_sum_add(sum, history);
    return sum;
}

/* At now the minute of that place, and no other, has so many that passed. */
static void check_passed(const struct history *history, int64_t now, int place, uint64_t count) {
    struct history_sum *sum = look(history, now);
    for (int i = 0; i < HISTORY_MINUTES; i++)
        ck_assert_msg(sum->passed[i] == (i == place ? count : 0), "minute %d: %u", i,
                      (unsigned)sum->passed[i]);
    free(sum);
}

static struct history *make(void) {
    struct history *history = calloc(1, sizeof *history);
    ck_assert_ptr_nonnull(history);
    return history;
}

TEST(a_minute_counts_from_its_first_second_to_its_last) {
    struct history *history = make();
    history_count_passed(history, NOW);
    history_count_passed(history, NOW + MINUTE - 1);
    check_passed(history, NOW + MINUTE - 1, LAST, 2);
    history_count_passed(history, NOW + MINUTE);
    struct history_sum *sum = look(history, NOW + MINUTE);
    ck_assert_uint_eq(sum->passed[LAST], 1);
    ck_assert_uint_eq(sum->passed[LAST - 1], 2);
    free(sum);
    free(history);
}

TEST(the_sum_begins_with_the_minute_fifty_nine_minutes_ago) {
    struct history *history = make();
    struct history_sum *sum = look(history, NOW + 59);
    ck_assert_int_eq(sum->from, NOW - 59 * MINUTE);
    free(sum);
    sum = look(history, NOW + MINUTE);
    ck_assert_int_eq(sum->from, NOW - 58 * MINUTE);
    free(sum);
    free(history);
}

TEST(a_minute_is_seen_for_an_hour_and_then_no_more) {
    struct history *history = make();
    history_count_passed(history, NOW);
    for (int i = 0; i < HISTORY_MINUTES; i++) check_passed(history, NOW + i * MINUTE, LAST - i, 1);
    check_passed(history, NOW + HISTORY_MINUTES * MINUTE, -1, 0);
    check_passed(history, NOW + 24 * HISTORY_MINUTES * MINUTE, -1, 0);
    free(history);
}

TEST(an_hour_later_a_minute_begins_at_zero_in_every_count) {
    struct history *history = make();
    for (int i = 0; i < 3; i++) history_count_passed(history, NOW);
    for (int i = 0; i < REASON_COUNT; i++) history_count_refused(history, NOW, (enum reason)i);
    int64_t later = NOW + HISTORY_MINUTES * MINUTE;
    history_count_refused(history, later, REASON_TARGET);

    struct history_sum *sum = look(history, later);
    ck_assert_uint_eq(sum->passed[LAST], 0);
    for (int i = 0; i < REASON_COUNT; i++)
        ck_assert_uint_eq(sum->refused[i][LAST], i == REASON_TARGET);
    free(sum);
    free(history);
}

TEST(refusals_count_by_their_reason) {
    struct history *history = make();
    for (int i = 0; i < REASON_COUNT; i++)
        for (int k = 0; k <= i; k++)
            history_count_refused(history, NOW + (i % 2) * MINUTE, (enum reason)i);

    struct history_sum *sum = look(history, NOW + MINUTE);
    for (int i = 0; i < REASON_COUNT; i++) {
        ck_assert_uint_eq(sum->refused[i][LAST - 1], i % 2 ? 0 : (uint64_t)i + 1);
        ck_assert_uint_eq(sum->refused[i][LAST], i % 2 ? (uint64_t)i + 1 : 0);
    }
    ck_assert_uint_eq(sum->passed[LAST], 0);
    free(sum);
    free(history);
}

TEST(histories_of_several_workers_are_added_up) {
    struct history *one = make(), *other = make();
    history_count_passed(one, NOW);
    history_count_passed(other, NOW);
    history_count_passed(other, NOW + MINUTE);
    history_count_refused(one, NOW, REASON_TARGET);
    history_count_refused(other, NOW, REASON_TARGET);

    struct history_sum *sum = look(one, NOW + MINUTE);
    history_sum_add(sum, other);
    ck_assert_uint_eq(sum->passed[LAST - 1], 2);
    ck_assert_uint_eq(sum->passed[LAST], 1);
    ck_assert_uint_eq(sum->refused[REASON_TARGET][LAST - 1], 2);
    free(sum);
    free(one);
    free(other);
}

TEST(a_clock_that_is_set_back_shows_nothing_of_what_is_to_come) {
    struct history *history = make();
    history_count_passed(history, NOW);
    check_passed(history, NOW - MINUTE, -1, 0);
    history_count_passed(history, NOW - MINUTE);
    check_passed(history, NOW - MINUTE, LAST, 1);
    /* By a whole hour: the place is the same, the minute is another. */
    history_count_passed(history, NOW - HISTORY_MINUTES * MINUTE);
    check_passed(history, NOW - HISTORY_MINUTES * MINUTE, LAST, 1);
    free(history);
}

TEST(a_clock_of_1970_or_earlier_or_far_ahead_breaks_nothing) {
    static const int64_t moments[] = {
        0, 59, -1, -61, -86400, 4102444800, INT64_MAX, INT64_MIN + 59 * MINUTE + 60, 253402300799};
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        struct history *history = make();
        history_count_passed(history, moments[i]);
        history_count_refused(history, moments[i], REASON_TARGET);
        struct history_sum *sum = look(history, moments[i]);
        ck_assert_uint_eq(sum->passed[LAST], 1);
        ck_assert_uint_eq(sum->refused[REASON_TARGET][LAST], 1);
        free(sum);
        free(history);
    }
}

/* --- two threads ----------------------------------------------------------------------------- */

#define HOURS 200
#define EACH 5

struct writer {
    struct history *history;
    atomic_bool ended;
};

static void *write_on(void *argument) {
    struct writer *writer = argument;
    for (int64_t minute = 0; minute < HOURS * HISTORY_MINUTES; minute++)
        for (int i = 0; i < EACH; i++) history_count_passed(writer->history, NOW + minute * MINUTE);
    atomic_store(&writer->ended, true);
    return NULL;
}

TEST(another_thread_may_look_while_minutes_begin) {
    struct writer writer = {.history = make()};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &writer), 0);
    int looks = 0;
    for (; looks == 0 || !atomic_load(&writer.ended); looks++) {
        struct history_sum *sum =
            look(writer.history, NOW + (looks % (HOURS * HISTORY_MINUTES)) * MINUTE);
        for (int i = 0; i < HISTORY_MINUTES; i++) ck_assert_uint_le(sum->passed[i], EACH);
        free(sum);
    }
    pthread_join(thread, NULL);
    int64_t end = NOW + (HOURS * HISTORY_MINUTES - 1) * MINUTE;
    struct history_sum *sum = look(writer.history, end);
    for (int i = 0; i < HISTORY_MINUTES; i++) ck_assert_uint_eq(sum->passed[i], EACH);
    free(sum);
    free(writer.history);
}
