#include "server/token/memo.h"

#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "tests/support/suite.h"

static const char keys[MEMOS_MAX + 4];

static void keep(struct memos *memos, size_t key, const char *text, int64_t until) {
    struct memo memo = {&keys[key], free, strdup(text), strlen(text) + 1, until};
    ck_assert(memos_keep(memos, &memo));
}

/* text NULL: nothing is there. */
static void expect(const struct memos *memos, size_t key, int64_t now, const char *text) {
    const char *found = memos_find(memos, &keys[key], free, now);
    ck_assert_msg((found == NULL) == (text == NULL) && (!text || strcmp(found, text) == 0),
                  "key %zu at %lld: %s", key, (long long)now, found ? found : "nothing");
}

TEST(a_text_is_found_under_its_key_before_its_end) {
    struct memos memos = {0};
    expect(&memos, 0, 0, NULL);
    keep(&memos, 0, "first", 100);
    keep(&memos, 1, "second", 200);
    expect(&memos, 0, 99, "first");
    expect(&memos, 0, 100, NULL);
    expect(&memos, 0, -5, "first");
    expect(&memos, 1, 100, "second");
    expect(&memos, 2, 0, NULL);
    memos_done(&memos);
    expect(&memos, 0, 0, NULL);
}

TEST(a_text_replaces_that_under_the_same_key_alone) {
    struct memos memos = {0};
    keep(&memos, 0, "old", 100);
    keep(&memos, 1, "other", 100);
    keep(&memos, 0, "newer", 200);
    ck_assert_uint_eq(memos.count, 2);
    expect(&memos, 0, 150, "newer");
    expect(&memos, 1, 50, "other");
    memos_done(&memos);
}

TEST(beyond_the_bound_the_oldest_goes) {
    struct memos memos = {0};
    for (size_t i = 0; i < MEMOS_MAX; i++) keep(&memos, i, "text", 100);
    keep(&memos, 0, "again", 100); /* now the newest */
    ck_assert_uint_eq(memos.count, MEMOS_MAX);
    expect(&memos, 1, 0, "text");

    keep(&memos, MEMOS_MAX, "one more", 100);
    keep(&memos, MEMOS_MAX + 1, "and one", 100);
    ck_assert_uint_eq(memos.count, MEMOS_MAX);
    expect(&memos, 1, 0, NULL);
    expect(&memos, 2, 0, NULL);
    expect(&memos, 3, 0, "text");
    expect(&memos, 0, 0, "again");
    expect(&memos, MEMOS_MAX, 0, "one more");
    expect(&memos, MEMOS_MAX + 1, 0, "and one");
    memos_done(&memos);
}

/* How many were freed, and by which of two ways. */
static unsigned freed, freed_otherwise;

static void count_free(void *thing) {
    freed++;
    free(thing);
}

static void count_free_otherwise(void *thing) {
    freed_otherwise++;
    free(thing);
}

static void keep_counted(struct memos *memos, size_t key, memo_free *way, const char *text) {
    struct memo memo = {&keys[key], way, strdup(text), 1, MEMO_HOLDS};
    ck_assert(memos_keep(memos, &memo));
}

TEST(a_thing_is_found_by_those_alone_who_know_its_kind) {
    struct memos memos = {0};
    keep_counted(&memos, 0, count_free, "one kind");
    ck_assert_ptr_null(memos_find(&memos, &keys[0], count_free_otherwise, 0));
    keep_counted(&memos, 0, count_free_otherwise, "another");
    ck_assert_uint_eq(memos.count, 2);
    ck_assert_str_eq(memos_find(&memos, &keys[0], count_free, 0), "one kind");
    ck_assert_str_eq(memos_find(&memos, &keys[0], count_free_otherwise, 0), "another");
    ck_assert_str_eq(memos_find(&memos, &keys[0], count_free, MEMO_HOLDS - 1), "one kind");
    memos_done(&memos);
}

TEST(each_thing_is_freed_once_and_in_its_own_way) {
    struct memos memos = {0};
    freed = freed_otherwise = 0;
    keep_counted(&memos, 0, count_free, "old");
    keep_counted(&memos, 0, count_free_otherwise, "other");
    ck_assert(freed == 0 && freed_otherwise == 0);
    keep_counted(&memos, 0, count_free, "new");
    ck_assert(freed == 1 && freed_otherwise == 0);
    for (size_t i = 1; i < MEMOS_MAX; i++) keep_counted(&memos, i, count_free, "more");
    ck_assert(freed == 1 && freed_otherwise == 1);
    memos_done(&memos);
    ck_assert(freed == 1 + MEMOS_MAX && freed_otherwise == 1);
    memos_done(&memos);
    ck_assert(freed == 1 + MEMOS_MAX && freed_otherwise == 1);
}

TEST(the_size_follows_the_things) {
    struct memos memos = {0};
    ck_assert_uint_eq(memos_size(&memos), 0);
    keep(&memos, 0, "12345", 100);
    size_t one = memos_size(&memos);
    ck_assert_uint_ge(one, 6 + sizeof(struct memo));
    keep(&memos, 1, "12345", 100);
    ck_assert_uint_eq(memos_size(&memos), 2 * one);
    keep(&memos, 1, "123", 100);
    ck_assert_uint_eq(memos_size(&memos), 2 * one - 2);
    memos_done(&memos);
    ck_assert_uint_eq(memos_size(&memos), 0);
}
