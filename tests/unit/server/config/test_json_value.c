#include "server/config/json_value.h"

#include <jansson.h>

#include "common/attr.h"
#include "tests/support/suite.h"

static const char *const numbers[] = {
    "0",
    "-0",
    "5",
    "-5",
    "10",
    "1.5",
    "-0.25",
    "0.0",
    "1e3",
    "1E3",
    "1e+3",
    "1e-3",
    "1.25e10",
    "0e0",
    "1e308",
    "1e-999",
    "9223372036854775807",
    "-9223372036854775808",
    "123456789012345678901234567890.0",
};

static const char *const others[] = {
    "",
    " 5",
    "5 ",
    "+5",
    "-",
    "--5",
    "05",
    "-05",
    "007",
    ".5",
    "5.",
    "1.e3",
    "1e",
    "1e+",
    "e3",
    "1e3.5",
    "0x10",
    "1_000",
    "1,5",
    "5a",
    "NaN",
    "nan",
    "inf",
    "-inf",
    "Infinity",
    "true",
    "null",
    "1e309",
    "-1e999",
    "9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999999999999999999999999999999999999999999999999999999999999999",
    "1.1.1",
    "1-1",
    "\"5\"",
    "5\n",
    "\xd9\xa3",
};

TEST(numbers_are_as_json_writes_them) {
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        ck_assert_msg(json_value_is_number(span_of(numbers[i])), "%s", numbers[i]);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        ck_assert_msg(!json_value_is_number(span_of(others[i])), "%s", others[i]);
    ck_assert(!json_value_is_number(SPAN_LITERAL("5\0")));
    ck_assert(!json_value_is_number(SPAN_LITERAL("5\0x")));
    ck_assert(!json_value_is_number(SPAN_LITERAL("\0005")));
    ck_assert(!json_value_is_number(SPAN_LITERAL("5\0005")));
}

static void expect_value(struct span text, bool plain, const char *expected) {
    char *made = json_value_make(text, plain);
    ck_assert_ptr_nonnull(made);
    ck_assert_msg(strcmp(made, expected) == 0, "%.*s: %s", SPAN_PRINTF(text), made);
    free(made);
}

TEST(what_stands_in_quotes_is_a_text) {
    expect_value(SPAN_LITERAL("it"), true, "\"it\"");
    expect_value(SPAN_LITERAL("it"), false, "\"it\"");
    expect_value(SPAN_LITERAL("5"), true, "5");
    expect_value(SPAN_LITERAL("5"), false, "\"5\"");
    expect_value(SPAN_LITERAL("-1.5e3"), true, "-1.5e3");
    expect_value(SPAN_LITERAL("true"), true, "true");
    expect_value(SPAN_LITERAL("true"), false, "\"true\"");
    expect_value(SPAN_LITERAL("false"), true, "false");
    expect_value(SPAN_LITERAL("false"), false, "\"false\"");
    expect_value(SPAN_LITERAL("True"), true, "\"True\"");
    expect_value(SPAN_LITERAL("null"), false, "\"null\"");
    expect_value(SPAN_LITERAL("007"), true, "\"007\"");
    expect_value(SPAN_LITERAL(""), false, "\"\"");
    expect_value(SPAN_LITERAL("{tenant}"), false, "\"{tenant}\"");
    expect_value(SPAN_LITERAL("[1]"), false, "\"[1]\"");
    expect_value(SPAN_LITERAL("a\"b\\c"), true, "\"a\\\"b\\\\c\"");
}

/* Whoever compares claims with a value parses it once more. */
TEST(every_value_is_json_for_jansson_too) {
    static const char *const texts[] = {
        "",     "it",   "a\"b",  "\\",   "\xc3\xa4", "\xf0\x9f\x94\x91",
        "</a>", "true", "false", "True", "null"};
    for (size_t i = 0; i < ARRAY_LEN(numbers) + ARRAY_LEN(others) + ARRAY_LEN(texts); i++) {
        const char *text = i < ARRAY_LEN(numbers) ? numbers[i]
                           : i < ARRAY_LEN(numbers) + ARRAY_LEN(others)
                               ? others[i - ARRAY_LEN(numbers)]
                               : texts[i - ARRAY_LEN(numbers) - ARRAY_LEN(others)];
        for (int plain = 0; plain < 2; plain++) {
            json_error_t why;
            char *made = json_value_make(span_of(text), plain);
            ck_assert_ptr_nonnull(made);
            json_t *value = json_loads(made, JSON_DECODE_ANY, &why);
            ck_assert_msg(value != NULL, "%s: %s", made, why.text);
            if (!plain) ck_assert_str_eq(json_string_value(value), text);
            json_decref(value);
            free(made);
        }
    }
}
