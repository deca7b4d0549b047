#include "server/metrics/recent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "common/utf8.h"
#include "tests/support/suite.h"

/* --- cutting --------------------------------------------------------------------------------- */

TEST(a_text_is_cut_to_its_room_and_to_whole_characters) {
    static const struct {
        const char *text;
        size_t size;
        const char *cut;
    } rows[] = {
        {"", 8, ""},
        {"", 1, ""},
        {"abc", 1, ""},
        {"abcdefg", 8, "abcdefg"},
        {"abcdefgh", 8, "abcdefg"},
        {"abcdefghijkl", 8, "abcdefg"},
        /* two bytes */
        {"abcde\xc3\xa9", 8, "abcde\xc3\xa9"},
        {"abcdef\xc3\xa9", 8, "abcdef"},
        {"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 8, "\xc3\xa9\xc3\xa9\xc3\xa9"},
        /* three */
        {"abcd\xe2\x82\xac", 8, "abcd\xe2\x82\xac"},
        {"abcde\xe2\x82\xac", 8, "abcde"},
        {"abcdef\xe2\x82\xac", 8, "abcdef"},
        {"abcdefg\xe2\x82\xac", 8, "abcdefg"},
        /* four */
        {"abc\xf0\x9f\x98\x80", 8, "abc\xf0\x9f\x98\x80"},
        {"abcd\xf0\x9f\x98\x80", 8, "abcd"},
        {"abcde\xf0\x9f\x98\x80", 8, "abcde"},
        {"abcdef\xf0\x9f\x98\x80", 8, "abcdef"},
        {"abcdefg\xf0\x9f\x98\x80", 8, "abcdefg"},
        {"\xf0\x9f\x98\x80", 4, ""},
        /* What is no UTF-8 is kept, but for what may have been a character. */
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80", 8, "\x80\x80\x80\x80"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff", 8, "\xff\xff\xff\xff\xff\xff\xff"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char room[10];
        memset(room, '#', sizeof room);
        recent_copy(room, rows[i].size, span_of(rows[i].text));
        ck_assert_msg(strcmp(room, rows[i].cut) == 0, "row %zu: %s", i, room);
        ck_assert_msg(room[rows[i].size] == '#', "row %zu: behind its room", i);
    }
}

TEST(a_text_that_is_absent_is_an_empty_one) {
    char room[4] = "abc";
    recent_copy(room, sizeof room, SPAN_NONE);
    ck_assert_str_eq(room, "");
}

TEST(every_cut_of_valid_text_is_valid) {
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z\xf0\x9f\x98\x80\xc3\xa9";
    for (size_t size = 1; size <= sizeof text; size++) {
        char room[sizeof text];
        recent_copy(room, size, span_of(text));
        struct span rest = span_of(room);
        ck_assert_uint_lt(rest.len, size);
        ck_assert_uint_ge(rest.len + 4, size);
        ck_assert(memcmp(room, text, rest.len) == 0);
        for (size_t width; rest.len; rest = span_from(rest, width)) {
            width = utf8_width(rest);
            ck_assert_uint_gt(width, 0);
        }
    }
}

/* --- the ring -------------------------------------------------------------------------------- */

/* One that came in that order, at that time of the wall clock; its status is the order, too. */
static void add(struct recent *recent, int order, int64_t at) {
    struct recent_refusal refusal = {
        .at = at, .order = order, .status = (unsigned)order, .reason = REASON_TARGET};
    snprintf(refusal.path, sizeof refusal.path, "/%d", order);
    recent_add(recent, &refusal);
}

struct found {
    struct recent_refusal items[RECENT_MAX];
    size_t count;
};

static struct found *collect(struct recent *const recents[], size_t count) {
    struct found *found = calloc(1, sizeof *found);
    ck_assert_ptr_nonnull(found);
    for (size_t i = 0; i < count; i++) recent_collect(recents[i], found->items, &found->count);
    return found;
}

/* They are those from newest down, one by one. */
static void check_found(struct found *found, size_t count, int newest) {
    ck_assert_uint_eq(found->count, count);
    for (size_t i = 0; i < count; i++) {
        char path[16];
        snprintf(path, sizeof path, "/%d", newest - (int)i);
        ck_assert_str_eq(found->items[i].path, path);
        ck_assert_uint_eq(found->items[i].status, (unsigned)newest - (unsigned)i);
    }
    free(found);
}

TEST(the_newest_refusal_is_the_first_and_the_oldest_goes) {
    struct recent *recent = malloc(sizeof *recent);
    recent_init(recent);
    check_found(collect(&recent, 1), 0, 0);
    for (int i = 1; i <= 3 * RECENT_MAX + 7; i++) {
        add(recent, i, 1700000000 + i);
        check_found(collect(&recent, 1), i < RECENT_MAX ? (size_t)i : RECENT_MAX, i);
    }
    recent_done(recent);
    free(recent);
}

static struct recent *make(void) {
    struct recent *recent = malloc(sizeof *recent);
    ck_assert_ptr_nonnull(recent);
    recent_init(recent);
    return recent;
}

static void drop(struct recent *recent) {
    recent_done(recent);
    free(recent);
}

TEST(those_of_several_workers_are_told_in_the_order_they_came) {
    struct recent *recents[] = {make(), make(), make()};
    for (int i = 1; i <= 120; i++) add(recents[(i * 7) % 3], i, 1700000000);
    check_found(collect(recents, 3), RECENT_MAX, 120);
    /* Whichever is asked first. */
    struct recent *turned[] = {recents[2], recents[0], recents[1]};
    check_found(collect(turned, 3), RECENT_MAX, 120);
    for (int i = 0; i < 3; i++) drop(recents[i]);
}

TEST(a_worker_that_refused_long_ago_loses_to_one_that_did_just_now) {
    struct recent *recents[] = {make(), make()};
    for (int i = 1; i <= RECENT_MAX; i++) add(recents[0], i, 1700000000);
    for (int i = 1; i <= RECENT_MAX; i++) add(recents[1], RECENT_MAX + i, 1700000000);
    check_found(collect(recents, 2), RECENT_MAX, 2 * RECENT_MAX);
    struct recent *turned[] = {recents[1], recents[0]};
    check_found(collect(turned, 2), RECENT_MAX, 2 * RECENT_MAX);
    drop(recents[0]), drop(recents[1]);
}

TEST(a_clock_that_is_set_back_changes_nothing_about_the_order) {
    struct recent *recents[] = {make(), make()};
    for (int i = 1; i <= 20; i++) add(recents[i % 2], i, 1700000000 - (int64_t)i * 3600);
    check_found(collect(recents, 2), 20, 20);
    drop(recents[0]), drop(recents[1]);
}

/* --- two threads ----------------------------------------------------------------------------- */

#define ADDED 20000

struct writer {
    struct recent *recent;
    atomic_bool ended;
};

static void *write_on(void *argument) {
    struct writer *writer = argument;
    for (int i = 1; i <= ADDED; i++) add(writer->recent, i, 1700000000);
    atomic_store(&writer->ended, true);
    return NULL;
}

TEST(another_thread_sees_whole_refusals_without_a_gap) {
    struct writer writer = {.recent = make()};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &writer), 0);
    while (!atomic_load(&writer.ended)) {
        struct found *found = collect(&writer.recent, 1);
        check_found(found, found->count, (int)found->items[0].order);
    }
    pthread_join(thread, NULL);
    check_found(collect(&writer.recent, 1), RECENT_MAX, ADDED);
    drop(writer.recent);
}
