#include "server/config/problem.h"

#include "tests/unit/server/config/texts.h"

#define S(text) SPAN_LITERAL(text)

TEST(foreign_text_is_cut_and_escaped) {
    static const struct {
        struct span text;
        const char *quoted;
    } cases[] = {
        {S(""), "\"\""},
        {S("a\"b\\c\n"), "\"a\\\"b\\\\c\\n\""},
        {S("x\x1b[0m\x7f\0"), "\"x\\u001b[0m\\u007f\\u0000\""},
        {S("0123456789012345678901234567890123456789012345678901234567890123"),
         "\"0123456789012345678901234567890123456789012345678901234567890123\""},
        {S("01234567890123456789012345678901234567890123456789012345678901234"),
         "\"0123456789012345678901234567890123456789012345678901234567890123\"..."},
        {S("012345678901234567890123456789012345678901234567890123456789012\xc3\xa4x"),
         "\"012345678901234567890123456789012345678901234567890123456789012\xc3\xa4\"..."},
        {S("user@example.com"), "\"user@example.com\""},
        {S("http://user:secret@host"), "the value (not shown)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char quoted[PROBLEM_QUOTE_MAX];
        ck_assert_str_eq(problem_quote(cases[i].text, quoted), cases[i].quoted);
    }
}

TEST(the_worst_quote_fits) {
    char text[200], quoted[PROBLEM_QUOTE_MAX];
    memset(text, 1, sizeof text);
    const char *found = problem_quote((struct span){text, sizeof text}, quoted);
    ck_assert_uint_eq(strlen(found), 64 * 6 + 5);
}

TEST(problems_are_sorted_by_place) {
    struct problems problems = {0};
    struct config_report report;
    problem_add(&problems, 10, 1, "d", "%d", 4);
    problem_add(&problems, 9, 20, NULL, "third");
    problem_add(&problems, 9, 3, NULL, "second");
    problem_add(&problems, 0, 0, NULL, "first");
    ck_assert_int_eq(problems_take(&problems, &report), ERR_SYNTAX);
    char *text = report_text(&report);
    ck_assert_str_eq(text, "f: first\nf:9:3: second\nf:9:20: third\nf:10:1: d: 4\n");
    free(text);
}

TEST(none_is_no_error) {
    struct problems problems = {0};
    struct config_report report;
    ck_assert_int_eq(problems_take(&problems, &report), 0);
    ck_assert_uint_eq(report.count, 0);
    config_report_done(&report);
}

TEST(a_flood_ends_and_says_so) {
    struct problems problems = {0};
    struct config_report report;
    for (unsigned i = 1; i <= PROBLEMS_MAX + 50; i++) problem_add(&problems, i, 1, NULL, "x");
    ck_assert_int_eq(problems_take(&problems, &report), ERR_SYNTAX);
    ck_assert_uint_eq(report.count, PROBLEMS_MAX + 1);
    ck_assert_str_eq(report.problems[PROBLEMS_MAX].text,
                     "more than 1000 problems; the others are not listed");
    config_report_done(&report);
}
