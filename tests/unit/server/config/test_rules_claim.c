#include "tests/support/scratch.h"
#include "tests/unit/server/config/texts.h"

#define S(text) SPAN_LITERAL(text)

/* One claim with these tests, in line 3; with at, what is wrong there, behind "f:3:COLUMN: ". */
static void expect_claim(const char *tests, const char *problems) {
    char *yaml = scratch_text(ISSUER "routes: [{path: \"/t/{tenant}\", respond: verdict, require: "
                                     "{claims: [\n{name: a%s}]}}]\n",
                              tests);
    if (problems)
        expect_report(span_of(yaml), problems);
    else
        config_unref(parse_good(span_of(yaml)));
    free(yaml);
}

TEST(something_is_said_about_a_claim) {
    static const char nothing[] =
        "f:3:1: claims: says nothing about the claim; write equals, one_of, contains, present: "
        "true, at_least or at_most\n";
    expect_claim("", nothing);
    expect_claim(", present: \"\"", nothing);
    expect_claim(", at_least: \"\", at_most: ''", nothing);
    static const char *const fine[] = {
        ", equals: x",      ", equals: \"\"",
        ", one_of: [x]",    ", one_of: [\"\"]",
        ", contains: x",    ", present: true",
        ", present: false", ", at_least: 0",
        ", at_most: -1.5",  ", equals: x, present: true, one_of: [x, y], contains: x",
    };
    for (size_t i = 0; i < ARRAY_LEN(fine); i++) expect_claim(fine[i], NULL);
}

TEST(no_value_is_no_test) {
    static const char write[] =
        "write a text, a number, true, false, or a capture of the path such "
        "as \"{tenant}\"\n";
    static const struct {
        const char *tests, *problem;
    } rows[] = {
        {", equals: ", "f:3:19: equals: has no value; "},
        {", equals: ~", "f:3:19: equals: has no value; "},
        {", equals: null", "f:3:19: equals: has no value; "},
        {", equals: [x]", "f:3:19: equals: a list is too much; "},
        {", equals: {tenant}", "f:3:19: equals: keys of its own are not known here; "},
        {", contains: {tenant}", "f:3:21: contains: keys of its own are not known here; "},
        {", one_of: [~]", "f:3:20: one_of: has no value; "},
        {", one_of: [x, [y]]", "f:3:23: one_of: a list is too much; "},
        {", one_of: []", "f:3:19: one_of: an empty list is not enough; write a list, each entry a "
                         "text, a number, true, false, or a capture of the path such as "
                         "\"{tenant}\"\n"},
        {", one_of: x", "f:3:19: one_of: a single value is not enough; write a list, each entry a "
                        "text, a number, true, false, or a capture of the path such as "
                        "\"{tenant}\"\n"},
        {", present: yes", "f:3:20: present: \"yes\" is not known here; write one of: true, "
                           "false\n"},
        {", at_least: x", "f:3:21: at_least: \"x\" is no number; write a number such as 5\n"},
        {", at_most: \"{tenant}\"",
         "f:3:20: at_most: \"{tenant}\" is no number; write a number such as 5\n"},
        {", at_most: 1e999", "f:3:20: at_most: \"1e999\" is no number; write a number such as 5\n"},
        {", contains: \"\"", "f:3:21: contains: \"\" is no word; write one, or leave it out\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool whole = strchr(rows[i].problem, '\n');
        char *problem = scratch_text("%s%s", rows[i].problem, whole ? "" : write);
        expect_claim(rows[i].tests, problem);
        free(problem);
    }
}

TEST(a_value_has_an_end) {
    char text[4098];
    memset(text, 'x', sizeof text);
    text[4097] = '\0';
    char *longer = scratch_text(", equals: %s", text);
    char *problem = scratch_text("f:3:19: equals: \"%.64s\"... is longer than 4096 bytes; write a "
                                 "text, a number, true, false, or a capture of the path such as "
                                 "\"{tenant}\"\n",
                                 text);
    expect_claim(longer, problem);
    longer[strlen(longer) - 1] = '\0';
    expect_claim(longer, NULL);
    free(longer);
    free(problem);
}

TEST(a_value_whose_type_may_be_mistaken_is_put_in_quotes) {
    static const char *const odd[] = {
        "True", "TRUE", "False", "yes",  "Yes",   "NO",    "no",
        "on",   "off",  "Off",   "+5",   "007",   "00",    "-01",
        ".5",   "5.",   "-.5",   "0x10", "1_000", "1e999", "9223372036854775808",
    };
    static const char *const fine[] = {
        "true",     "false", "5",       "-5",       "1.5",    "1e3",        "0",        "it",
        "y",        "n",     "none",    "nullable", "1.2.3",  "2024-01-31", "10.0.0.1", "12:30",
        "5 apples", "-",     ".",       "+",        "+49 30", "1-2",        "inf",      "nan",
        "\"True\"", "'no'",  "\"007\"", "\"0x10\"", "\"5\"",  "\"null\"",   "e5",       "_",
    };
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        static const char *const where[][2] = {
            {"equals: %s", "f:3:19: equals"},
            {"contains: %s", "f:3:21: contains"},
            {"one_of: [%s]", "f:3:20: one_of"},
        };
        for (size_t k = 0; k < ARRAY_LEN(where); k++) {
            char tests[64];
            char *value = scratch_text("%s", odd[i]);
            size_t before = strcspn(where[k][0], "%");
            snprintf(tests, sizeof tests, ", %.*s%s%s", (int)before, where[k][0], value,
                     where[k][0] + before + 2);
            char *problem = scratch_text("%s: %s may be meant as a text or not; write it in quotes "
                                         "as a text, else as true, false, or a number such as 5\n",
                                         where[k][1], value);
            expect_claim(tests, problem);
            free(problem);
            free(value);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
        char *tests =
            scratch_text(", equals: %s, contains: %s, one_of: [%s]", fine[i], fine[i], fine[i]);
        expect_claim(tests, NULL);
        free(tests);
    }
}

TEST(what_no_claim_can_be_is_refused) {
    static const char missing[] = ": a claim that is not there is nothing; keep one of them\n";
    static const char *const tests[] = {"equals: x", "one_of: [x]", "contains: x", "at_least: 1",
                                        "at_most: 1"};
    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        char *given = scratch_text(", present: false, %s", tests[i]);
        char *problem = scratch_text("f:3:20: present: false contradicts %.*s%s",
                                     (int)strcspn(tests[i], ":"), tests[i], missing);
        expect_claim(given, problem);
        free(given);
        free(problem);
        given = scratch_text(", present: true, %s", tests[i]);
        expect_claim(given, NULL);
        free(given);
    }
    expect_claim(
        ", at_least: 5, at_most: 4.5",
        "f:3:21: at_least: 5 is more than at_most (4.5), which no number is; lower the one "
        "or raise the other\n");
    expect_claim(
        ", at_most: -3, at_least: -2",
        "f:3:34: at_least: -2 is more than at_most (-3), which no number is; lower the one "
        "or raise the other\n");
    expect_claim(", at_least: 5, at_most: 5.0", NULL);
    expect_claim(", at_least: -1e3, at_most: \"7\"", NULL);
    expect_claim(", at_least: 5, at_most: x",
                 "f:3:33: at_most: \"x\" is no number; write a number such as 5\n");
}
