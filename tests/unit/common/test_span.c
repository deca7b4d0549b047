#include "common/span.h"

#include "common/attr.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

TEST(absent_equals_nothing_not_even_absent) {
    ck_assert(!span_equal(SPAN_NONE, SPAN_NONE));
    ck_assert(!span_equal(SPAN_NONE, S("")));
    ck_assert(!span_equal(S(""), SPAN_NONE));
    ck_assert(!span_equal_nocase(SPAN_NONE, SPAN_NONE));
    ck_assert(!span_equal_nocase(SPAN_NONE, S("")));
    ck_assert(!span_equal_text(SPAN_NONE, NULL));
    ck_assert(!span_equal_text(SPAN_NONE, ""));
    ck_assert(!span_equal_text(S(""), NULL));
    ck_assert(!span_starts_with(SPAN_NONE, SPAN_NONE));
    ck_assert(!span_starts_with(S("a"), SPAN_NONE));
    ck_assert(!span_starts_with(SPAN_NONE, S("")));
}

TEST(empty_is_not_absent) {
    ck_assert(span_is_absent(SPAN_NONE));
    ck_assert(span_is_absent(span_of(NULL)));
    ck_assert(!span_is_absent(span_of("")));
    ck_assert(span_equal(span_of(""), S("")));
}

TEST(equality_is_exact_or_blind_to_ascii_case_only) {
    static const struct {
        struct span a, b;
        bool equal, equal_nocase;
    } cases[] = {
        {S("iss"), S("iss"), true, true},
        {S("iss"), S("ISS"), false, true},
        {S("iss"), S("isS"), false, true},
        {S("iss"), S("iss/"), false, false},
        {S("iss/"), S("iss"), false, false},
        {S("a\0b"), S("a\0b"), true, true},
        {S("a\0b"), S("a\0c"), false, false},
        {S("a\0"), S("a"), false, false},
        /* Setting bit 5 would make these pairs equal; only letters have case. */
        {S("["), S("{"), false, false},
        {S("@"), S("`"), false, false},
        {S("\xc3\x84"), S("\xc3\xa4"), false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_msg(span_equal(cases[i].a, cases[i].b) == cases[i].equal, "case %zu", i);
        ck_assert_msg(span_equal_nocase(cases[i].a, cases[i].b) == cases[i].equal_nocase,
                      "case %zu, ignoring case", i);
    }
}

TEST(text_equality_sees_a_nul_suffix) {
    ck_assert(span_equal_text(S("sub"), "sub"));
    ck_assert(!span_equal_text(S("sub\0"), "sub"));
    ck_assert(!span_equal_text(S("sub"), "subject"));
}

TEST(starts_with_needs_the_whole_prefix) {
    ck_assert(span_starts_with(S("https://x"), S("https://")));
    ck_assert(span_starts_with(S("x"), S("x")));
    ck_assert(span_starts_with(S("x"), S("")));
    ck_assert(!span_starts_with(S("http"), S("https")));
    ck_assert(!span_starts_with(S("HTTPS://x"), S("https://")));
}

TEST(parts_are_clamped_to_the_span) {
    static const struct {
        size_t at;
        const char *from, *until;
    } cases[] = {
        {0, "abc", ""}, {1, "bc", "a"}, {2, "c", "ab"},
        {3, "", "abc"}, {4, "", "abc"}, {(size_t)-1, "", "abc"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_msg(span_equal_text(span_from(S("abc"), cases[i].at), cases[i].from), "from %zu",
                      cases[i].at);
        ck_assert_msg(span_equal_text(span_until(S("abc"), cases[i].at), cases[i].until),
                      "until %zu", cases[i].at);
    }
}

TEST(parts_of_absent_stay_absent) {
    ck_assert(span_is_absent(span_from(SPAN_NONE, 0)));
    ck_assert(span_is_absent(span_from(SPAN_NONE, 5)));
    ck_assert(span_is_absent(span_until(SPAN_NONE, 5)));
    ck_assert(span_is_absent(span_trim(SPAN_NONE)));
    ck_assert_uint_eq(span_from(SPAN_NONE, 5).len, 0);
    ck_assert_uint_eq(span_until(SPAN_NONE, 5).len, 0);
}

TEST(find_gives_the_first_offset_or_the_length) {
    ck_assert_uint_eq(span_find(S("a=b=c"), '='), 1);
    ck_assert_uint_eq(span_find(S("abc"), '='), 3);
    ck_assert_uint_eq(span_find(S("a\0b"), 'b'), 2);
    ck_assert_uint_eq(span_find(S("a\0b"), '\0'), 1);
    ck_assert_uint_eq(span_find(S("a\xff"), '\xff'), 1);
    ck_assert_uint_eq(span_find(S(""), '='), 0);
    ck_assert_uint_eq(span_find(SPAN_NONE, '='), 0);
    /* Not a byte further than the span reaches. */
    ck_assert_uint_eq(span_find(span_until(S("ab=c"), 2), '='), 2);
}

TEST(trim_takes_sp_and_htab_only) {
    static const struct {
        struct span text;
        const char *trimmed;
    } cases[] = {
        {S("a"), "a"},
        {S(" a"), "a"},
        {S("a\t"), "a"},
        {S(" \t a b \t "), "a b"},
        {S(""), ""},
        {S(" "), ""},
        {S("\t \t"), ""},
        {S("\na\r"), "\na\r"},
        {S("\va\f"), "\va\f"},
        {S("\xa0"
           "a"),
         "\xa0"
         "a"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(span_equal_text(span_trim(cases[i].text), cases[i].trimmed), "case %zu", i);
}

TEST(next_cuts_pieces_and_ends) {
    static const struct {
        struct span text;
        const char *pieces[5]; /* up to the first NULL */
    } cases[] = {
        {S("a,,b"), {"a", "", "b"}}, {S("a"), {"a"}},  {S("a,b,c"), {"a", "b", "c"}},
        {S(",a"), {"", "a"}},        {S("a,"), {"a"}}, {S(","), {""}},
        {S(",,"), {"", ""}},         {S(""), {NULL}},  {SPAN_NONE, {NULL}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct span rest = cases[i].text, piece = S("untouched");
        size_t count = 0;
        for (; span_next(&rest, ',', &piece); count++) {
            ck_assert_msg(cases[i].pieces[count] != NULL, "case %zu: a piece too many", i);
            ck_assert_msg(span_equal_text(piece, cases[i].pieces[count]), "case %zu piece %zu", i,
                          count);
        }
        ck_assert_msg(cases[i].pieces[count] == NULL, "case %zu: only %zu pieces", i, count);
        ck_assert_msg(!span_next(&rest, ',', &piece), "case %zu: ended, then went on", i);
        if (count == 0) ck_assert_msg(span_equal_text(piece, "untouched"), "case %zu", i);
    }
}
