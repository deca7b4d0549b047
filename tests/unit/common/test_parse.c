#include "common/parse.h"

#include <inttypes.h>

#include "common/err.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

enum { UNTOUCHED = 777 };

TEST(numbers_are_digits_up_to_the_maximum) {
    static const struct {
        struct span text;
        uint64_t max;
        int r;
        uint64_t value;
    } cases[] = {
        {S("0"), 10, 0, 0},
        {S("10"), 10, 0, 10},
        {S("007"), 10, 0, 7},
        {S("11"), 10, ERR_LIMIT, 0},
        {S("65535"), UINT16_MAX, 0, 65535},
        {S("65536"), UINT16_MAX, ERR_LIMIT, 0},
        {S("18446744073709551615"), UINT64_MAX, 0, UINT64_MAX},
        {S("18446744073709551616"), UINT64_MAX, ERR_LIMIT, 0},
        {S("18446744073709551620"), UINT64_MAX, ERR_LIMIT, 0},
        {S("100000000000000000000000000"), UINT64_MAX, ERR_LIMIT, 0},
        {S(""), 10, ERR_SYNTAX, 0},
        {SPAN_NONE, 10, ERR_SYNTAX, 0},
        {S("-1"), 10, ERR_SYNTAX, 0},
        {S("+1"), 10, ERR_SYNTAX, 0},
        {S(" 1"), 10, ERR_SYNTAX, 0},
        {S("1 "), 10, ERR_SYNTAX, 0},
        {S("1\n"), 10, ERR_SYNTAX, 0},
        {S("1\0"), 10, ERR_SYNTAX, 0},
        {S("0x1"), 10, ERR_SYNTAX, 0},
        {S("1.0"), 10, ERR_SYNTAX, 0},
        {S("1e1"), 10, ERR_SYNTAX, 0},
        {S("1_0"), 10, ERR_SYNTAX, 0},
        {S("/"), 10, ERR_SYNTAX, 0},
        {S(":"), 10, ERR_SYNTAX, 0},
        {S("\xd9\xa1"), 10, ERR_SYNTAX, 0}, /* a digit, but an Arabic one */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t value = UNTOUCHED;
        int r = parse_u64(cases[i].text, cases[i].max, &value);
        ck_assert_msg(r == cases[i].r, "\"%s\": %d", cases[i].text.ptr, r);
        ck_assert_msg(value == (r == 0 ? cases[i].value : UNTOUCHED), "\"%s\": %" PRIu64,
                      cases[i].text.ptr, value);
    }
}

TEST(durations_name_their_unit) {
    static const struct {
        struct span text;
        int r;
        int64_t ms;
    } cases[] = {
        {S("0"), 0, 0},
        {S("0s"), 0, 0},
        {S("500ms"), 0, 500},
        {S("10s"), 0, 10000},
        {S("5m"), 0, 300000},
        {S("1h"), 0, 3600000},
        {S("2d"), 0, 172800000},
        {S("9223372036854775807ms"), 0, INT64_MAX},
        {S("9223372036854775808ms"), ERR_LIMIT, 0},
        {S("9223372036854775s"), 0, 9223372036854775000},
        {S("9223372036854776s"), ERR_LIMIT, 0},
        {S("106751991167d"), 0, 9223372036828800000},
        {S("106751991168d"), ERR_LIMIT, 0},
        {S("99999999999999999999s"), ERR_LIMIT, 0},
        {S("1"), ERR_SYNTAX, 0},
        {S("10"), ERR_SYNTAX, 0},
        {S(""), ERR_SYNTAX, 0},
        {SPAN_NONE, ERR_SYNTAX, 0},
        {S("s"), ERR_SYNTAX, 0},
        {S("-1s"), ERR_SYNTAX, 0},
        {S("1 s"), ERR_SYNTAX, 0},
        {S("1s "), ERR_SYNTAX, 0},
        {S("1S"), ERR_SYNTAX, 0},
        {S("1sec"), ERR_SYNTAX, 0},
        {S("1min"), ERR_SYNTAX, 0},
        {S("1.5s"), ERR_SYNTAX, 0},
        {S("1h30m"), ERR_SYNTAX, 0},
        {S("1w"), ERR_SYNTAX, 0},
        {S("1s\0"), ERR_SYNTAX, 0},
        {S("1KiB"), ERR_SYNTAX, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = UNTOUCHED;
        int r = parse_duration(cases[i].text, &ms);
        ck_assert_msg(r == cases[i].r, "\"%s\": %d", cases[i].text.ptr, r);
        ck_assert_msg(ms == (r == 0 ? cases[i].ms : UNTOUCHED), "\"%s\": %" PRId64,
                      cases[i].text.ptr, ms);
    }
}

TEST(sizes_name_their_unit) {
    static const struct {
        struct span text;
        int r;
        uint64_t bytes;
    } cases[] = {
        {S("0"), 0, 0},
        {S("0B"), 0, 0},
        {S("100B"), 0, 100},
        {S("32KiB"), 0, 32768},
        {S("1MiB"), 0, 1048576},
        {S("8796093022207MiB"), 0, UINT64_C(9223372036853727232)},
        {S("8796093022208MiB"), ERR_LIMIT, 0},
        {S("100"), ERR_SYNTAX, 0},
        {S("1KB"), ERR_SYNTAX, 0},
        {S("1K"), ERR_SYNTAX, 0},
        {S("1kib"), ERR_SYNTAX, 0},
        {S("1GiB"), ERR_SYNTAX, 0},
        {S("1 KiB"), ERR_SYNTAX, 0},
        {S("KiB"), ERR_SYNTAX, 0},
        {S("-1B"), ERR_SYNTAX, 0},
        {S("1s"), ERR_SYNTAX, 0},
        {S(""), ERR_SYNTAX, 0},
        {SPAN_NONE, ERR_SYNTAX, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t bytes = UNTOUCHED;
        int r = parse_size(cases[i].text, &bytes);
        ck_assert_msg(r == cases[i].r, "\"%s\": %d", cases[i].text.ptr, r);
        ck_assert_msg(bytes == (r == 0 ? cases[i].bytes : UNTOUCHED), "\"%s\": %" PRIu64,
                      cases[i].text.ptr, bytes);
    }
}
