#include "common/clock.h"

#include <inttypes.h>
#include <time.h>

#include "common/attr.h"
#include "tests/support/suite.h"

static int64_t fake_wall_ms;
static int64_t fake_monotonic_ms;

static int64_t wall(void) {
    return fake_wall_ms;
}

static int64_t monotonic(void) {
    return fake_monotonic_ms;
}

static const struct clock_source fake = {wall, monotonic};

TEST(a_test_can_own_time_and_give_it_back) {
    clock_replace(&fake);
    fake_wall_ms = 1575769457999;
    fake_monotonic_ms = 42;
    ck_assert_int_eq(clock_wall_ms(), 1575769457999);
    ck_assert_int_eq(clock_wall(), 1575769457);
    ck_assert_int_eq(clock_monotonic_ms(), 42);

    clock_replace(NULL);
    int64_t now = time(NULL);
    ck_assert_int_ge(clock_wall(), now);
    ck_assert_int_le(clock_wall(), now + 5);
    ck_assert_int_eq(clock_wall_ms() / 10000, clock_wall() / 10);
    int64_t before = clock_monotonic_ms();
    ck_assert_int_ge(clock_monotonic_ms(), before);
}

TEST(whole_seconds_round_down_also_before_1970) {
    static const struct {
        int64_t ms, seconds;
    } cases[] = {
        {0, 0},   {1, 0},     {999, 0},    {1000, 1},   {4102444800500, 4102444800},
        {-1, -1}, {-999, -1}, {-1000, -1}, {-1001, -2},
    };
    clock_replace(&fake);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fake_wall_ms = cases[i].ms;
        ck_assert_msg(clock_wall() == cases[i].seconds, "%" PRId64 " ms: %" PRId64, cases[i].ms,
                      clock_wall());
    }
}

TEST(dates_are_rfc_3339_with_four_digit_years) {
    static const struct {
        int64_t wall;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {-1, "1969-12-31T23:59:59Z"},
        {1575769457, "2019-12-08T01:44:17Z"},
        {1709164800, "2024-02-29T00:00:00Z"},
        {2147483647, "2038-01-19T03:14:07Z"},
        {2147483648, "2038-01-19T03:14:08Z"},
        {4107542399, "2100-02-28T23:59:59Z"},
        {4107542400, "2100-03-01T00:00:00Z"},
        {253402300799, "9999-12-31T23:59:59Z"},
        {253402300800, "(no date)"},
        {-59011459201, "0099-12-31T23:59:59Z"},
        {-62135596800, "0001-01-01T00:00:00Z"},
        {-62167219200, "0000-01-01T00:00:00Z"},
        {-62167219201, "(no date)"},
        {1000000000000000, "(no date)"},
        {-1000000000000000, "(no date)"},
        {INT64_MAX, "(no date)"},
        {INT64_MIN, "(no date)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[CLOCK_TEXT_MAX];
        ck_assert_ptr_eq(clock_format(cases[i].wall, text), text);
        ck_assert_str_eq(text, cases[i].text);
    }
}

TEST(lengths_of_time_in_at_most_two_neighbouring_units) {
    static const struct {
        int64_t seconds;
        const char *words;
    } cases[] = {
        {0, "0 s"},
        {1, "1 s"},
        {59, "59 s"},
        {60, "1 min"},
        {61, "1 min 1 s"},
        {2640, "44 min"},
        {2699, "44 min 59 s"},
        {3599, "59 min 59 s"},
        {3600, "1 h"},
        {3659, "1 h"},
        {3660, "1 h 1 min"},
        {11100, "3 h 5 min"},
        {86399, "23 h 59 min"},
        {86400, "1 d"},
        {89999, "1 d"},
        {90000, "1 d 1 h"},
        {12 * 86400, "12 d"},
        {-44 * 60, "44 min"},
        {-1, "1 s"},
        {INT64_MAX, "106751991167300 d 15 h"},
        {INT64_MIN, "106751991167300 d 15 h"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[CLOCK_WORDS_MAX];
        ck_assert_ptr_eq(clock_words(cases[i].seconds, text), text);
        ck_assert_str_eq(text, cases[i].words);
    }
}
