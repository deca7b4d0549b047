#include "common/repeats.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define NOTHING ((const struct log_field[]){{0}})
#define ABOUT(...) ((const struct log_field[]){__VA_ARGS__, {0}})

static struct repeats repeats = REPEATS_EMPTY;
static struct repeat told;

/* How many of count lines at that time are let through. */
static int pass(int64_t now_ms, const char *message, const struct log_field *fields, int count) {
    int passed = 0;
    for (int i = 0; i < count; i++)
        passed += repeats_pass(&repeats, now_ms, LOG_WARNING, message, fields);
    return passed;
}

static bool take(int64_t now_ms) {
    return repeats_take(&repeats, now_ms, false, &told);
}

TEST(ten_pass_and_the_rest_are_counted_until_ten_seconds_after_the_first) {
    ck_assert_int_eq(pass(1000, "m", NOTHING, 1), 1);
    ck_assert_int_eq(pass(5000, "m", NOTHING, 20), 9);
    ck_assert_int_eq(pass(10999, "m", NOTHING, 5), 0);
    ck_assert(!repeats_due(&repeats, 10999) && !take(10999));
    ck_assert(repeats_due(&repeats, 11000) && take(11000));
    ck_assert_str_eq(told.message, "m");
    ck_assert_int_eq(told.level, LOG_WARNING);
    ck_assert_uint_eq(told.times, 16);
    ck_assert_ptr_null(told.about[0].name);
    ck_assert(!repeats_due(&repeats, INT64_MAX - 1) && !take(1000000));
    ck_assert_int_eq(pass(11000, "m", NOTHING, 20), 10); /* a window of its own */
}

TEST(ten_or_less_are_never_told_again) {
    ck_assert_int_eq(pass(1, "m", NOTHING, 10), 10);
    ck_assert(!take(100000));
    ck_assert_int_eq(pass(10001, "m", NOTHING, 10), 10);
    ck_assert(!take(100000));
}

/* A line that comes between the end of the window and its telling is counted too. */
TEST(what_comes_before_the_count_was_told_is_in_it) {
    ck_assert_int_eq(pass(0, "m", NOTHING, 11), 10);
    ck_assert_int_eq(pass(50000, "m", NOTHING, 3), 0);
    ck_assert(take(50000));
    ck_assert_uint_eq(told.times, 4);
}

TEST(messages_issuers_upstreams_and_targets_are_counted_apart_and_other_fields_are_not) {
    const struct log_field *const rows[] = {
        NOTHING,
        ABOUT(LOG_TEXT("issuer", "https://a")),
        ABOUT(LOG_TEXT("issuer", "https://b")),
        ABOUT(LOG_TEXT("upstream", "https://a")),
        ABOUT(LOG_TEXT("upstream", "u"), LOG_TEXT("target", "t1")),
        ABOUT(LOG_TEXT("upstream", "u"), LOG_TEXT("target", "t2")),
        ABOUT(LOG_TEXT("issuer", "")),
        ABOUT(LOG_TEXT("issuer", "https"), LOG_TEXT("target", "://a")),
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(pass(0, "m", rows[i], 11) == 10, "row %zu", i);
        ck_assert_msg(pass(0, "other", rows[i], 11) == 10, "row %zu", i);
    }
    ck_assert_int_eq(pass(0, "m", ABOUT(LOG_TEXT("client", "c"), LOG_NUMBER("n", 1)), 5), 0);
    ck_assert_int_eq(pass(0, "m", ABOUT(LOG_NUMBER("n", 2), LOG_TEXT("issuer", "https://a")), 5),
                     0);
    ck_assert_int_eq(pass(0, "m", ABOUT(LOG_TEXT("issuer", NULL)), 5), 0);
}

TEST(the_same_text_at_another_address_is_the_same_message) {
    char *copy = scratch_text("%s", "message");
    ck_assert_int_eq(pass(0, "message", NOTHING, 6), 6);
    ck_assert_int_eq(pass(0, copy, NOTHING, 6), 4);
    free(copy);
}

TEST(it_is_told_what_it_was_about_and_how_urgent) {
    char issuer[300];
    memset(issuer, 'i', sizeof issuer);
    const struct log_field *fields =
        ABOUT(LOG_NUMBER("failures", 3), LOG_SPAN("issuer", ((struct span){issuer, 300})),
              LOG_TEXT("upstream", "orders"), LOG_TEXT("target", "http://127.0.0.1:1"));
    ck_assert_int_eq(pass(0, "m", fields, 12), 10);
    ck_assert(!repeats_pass(&repeats, 0, LOG_ERROR, "m", fields));
    ck_assert(take(10000));
    ck_assert_uint_eq(told.times, 3);
    ck_assert_int_eq(told.level, LOG_ERROR);
    ck_assert_str_eq(told.about[0].name, "issuer");
    ck_assert_uint_eq(told.about[0].len, REPEATS_TEXT_MAX);
    ck_assert_str_eq(told.about[1].name, "upstream");
    ck_assert_str_eq(told.about[2].name, "target");
    ck_assert_mem_eq(told.about[2].text, "http://127.0.0.1:1", told.about[2].len);
    ck_assert_ptr_null(told.about[3].name);
    /* The cut-off rest counts too. */
    issuer[299] = 'x';
    ck_assert_int_eq(pass(0, "m", fields, 1), 1);
}

TEST(all_are_told_at_once_when_asked) {
    ck_assert_int_eq(pass(0, "a", NOTHING, 11), 10);
    ck_assert_int_eq(pass(0, "b", NOTHING, 12), 10);
    ck_assert(!take(1));
    uint64_t times = 0;
    for (int i = 0; i < 2; i++) {
        ck_assert(repeats_take(&repeats, 1, true, &told));
        times += told.times;
    }
    ck_assert_uint_eq(times, 3);
    ck_assert(!repeats_take(&repeats, 1, true, &told));
    ck_assert_int_eq(pass(1, "a", NOTHING, 11), 10); /* and begin anew */
}

TEST(the_earliest_window_is_due_first) {
    ck_assert_int_eq(pass(0, "a", NOTHING, 11), 10);
    ck_assert_int_eq(pass(4000, "b", NOTHING, 11), 10);
    ck_assert(!repeats_due(&repeats, 9999) && take(10000));
    ck_assert_str_eq(told.message, "a");
    ck_assert(!repeats_due(&repeats, 13999) && !take(13999) && take(14000));
    ck_assert_str_eq(told.message, "b");
}

/* However many different messages there are, few lines are written and all are accounted for. */
TEST(more_kinds_than_there_is_room_for_share_one_count) {
    enum { KINDS = 1000, EACH = 30 };
    static char names[KINDS][16];
    int passed = 0;
    for (int i = 0; i < KINDS; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        passed += pass(0, "m", ABOUT(LOG_TEXT("target", names[i])), EACH);
    }
    ck_assert_int_eq(passed, (REPEATS_KINDS_MAX + 1) * REPEATS_PASSED);
    uint64_t held = 0;
    int others = 0;
    while (take(10000)) {
        held += told.times;
        others += strcmp(told.message, REPEATS_OTHERS) == 0;
    }
    ck_assert_int_eq(others, 1);
    ck_assert_uint_eq(held + (uint64_t)passed, KINDS * EACH);
    /* And the room is used again. */
    ck_assert_int_eq(pass(20000, "new", NOTHING, 11), 10);
    ck_assert(take(30000));
    ck_assert_str_eq(told.message, "new");
}

enum { THREADS = 8, LINES_EACH = 20000 };
static _Atomic int64_t now_ms;
static _Atomic uint64_t passed_in_all;

static void *say_much(void *argument) {
    (void)argument;
    for (int i = 0; i < LINES_EACH; i++) {
        int64_t now = atomic_fetch_add(&now_ms, 1);
        if (repeats_pass(&repeats, now, LOG_ERROR, i % 3 ? "a" : "b", NOTHING))
            atomic_fetch_add(&passed_in_all, 1);
        struct repeat one;
        if (repeats_due(&repeats, now) && repeats_take(&repeats, now, false, &one))
            atomic_fetch_add(&passed_in_all, one.times);
    }
    return NULL;
}

TEST_WITHIN(threads_lose_no_line_between_them, 60) {
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, say_much, NULL), 0);
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    while (repeats_take(&repeats, now_ms, true, &told)) passed_in_all += told.times;
    ck_assert_uint_eq(passed_in_all, THREADS * LINES_EACH);
}
