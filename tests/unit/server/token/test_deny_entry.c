#include "server/token/deny_entry.h"

#include <stdlib.h>

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

static void expect_entry(struct span line, const char *again) {
    struct deny_entry entry;
    struct err_text why = {""};
    json_t *object = NULL;
    int r = deny_entry_parse(line, &object, &entry, &why);
    ck_assert_msg(r == 0, "%.*s: %s", SPAN_PRINTF(line), why.text);
    struct buf out = buf_make(65536);
    deny_entry_add(&entry, &out);
    ck_assert_str_eq(out.data, again);
    buf_done(&out);
    json_decref(object);
}

static void expect_refusal(struct span line, int code, const char *reason) {
    struct deny_entry entry;
    struct err_text why = {""};
    json_t *object = NULL;
    int r = deny_entry_parse(line, &object, &entry, &why);
    ck_assert_msg(r == code, "%d for %.*s", r, SPAN_PRINTF(line));
    ck_assert_ptr_null(object);
    ck_assert_msg(strstr(why.text, reason), "%.*s: %s", SPAN_PRINTF(line), why.text);
}

TEST(what_is_read_is_written_in_one_form) {
    static const struct {
        struct span line;
        const char *again;
    } rows[] = {
        {S("{\"sub\":\"alice\"}"), "{\"sub\": \"alice\"}"},
        {S(" { \"jti\" : \"a-1\" } \r"), "{\"jti\": \"a-1\"}"},
        {S("{\"kid\":\"Mf8r+reM/z\"}"), "{\"kid\": \"Mf8r+reM/z\"}"},
        {S("{\"note\":\"\",\"until\":\"2026-12-01T00:00:00Z\",\"issuer\":\"https://i\","
           "\"sub\":\"b\"}"),
         "{\"sub\": \"b\", \"issuer\": \"https://i\", \"until\": \"2026-12-01T00:00:00Z\", "
         "\"note\": \"\"}"},
        {S("{\"sub\":\"\\u00e9 \\\" \\\\ \\n \xc3\xa9\"}"),
         "{\"sub\": \"\xc3\xa9 \\\" \\\\ \\n \xc3\xa9\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        expect_entry(rows[i].line, rows[i].again);
        expect_entry(span_of(rows[i].again), rows[i].again);
    }
}

TEST(what_may_mean_something_else_than_was_meant_is_refused) {
    static const struct {
        struct span line;
        const char *why;
    } rows[] = {
        {S("{}"), "has none of jti, sub and kid"},
        {S("{\"issuer\":\"https://i\"}"), "has none of jti, sub and kid"},
        {S("{\"sub\":\"a\",\"jti\":\"b\"}"), "has both "},
        {S("{\"sub\":\"a\",\"isuer\":\"https://i\"}"), "has the unknown member \"isuer\"; the"},
        {S("{\"Sub\":\"a\"}"), "has the unknown member \"Sub\""},
        {S("{\"sub\":\"a\",\"sub\":\"b\"}"), "names a member twice"},
        {S("{\"sub\":\"\"}"), "has an empty sub; say"},
        {S("{\"sub\":\"a\",\"issuer\":\"\"}"), "has an empty issuer; leave"},
        {S("{\"sub\":1}"), "has a sub that is no string"},
        {S("{\"sub\":null}"), "has a sub that is no string"},
        {S("{\"sub\":\"a\",\"note\":[]}"), "has a note that is no string"},
        {S("{\"sub\":\"a\",\"until\":1}"), "has a until that is no string"},
        {S("{\"sub\":\"a\"} {\"sub\":\"b\"}"), "is not valid JSON"},
        {S("{\"sub\":\"a\"},"), "is not valid JSON"},
        {S("{\"sub\":\"a"), "write an object on one line, such as {\"sub\": \"alice\"}"},
        {S("[\"a\"]"), "is not a JSON object"},
        {S("alice"), "is not valid JSON"},
        {S("{\"sub\":\"a\\u0000b\"}"), "is not valid JSON"},
        {S("{\"sub\":\"\xff\"}"), "is not valid JSON"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        expect_refusal(rows[i].line, ERR_SYNTAX, rows[i].why);
}

TEST(until_is_a_moment_that_exists_written_in_one_way) {
    static const char *const bad[] = {
        "2026-12-01",
        "2026-12-01T00:00:00",
        "2026-12-01T00:00:00+00:00",
        "2026-12-01t00:00:00z",
        "2026-12-01 00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-06-31T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-12-00T00:00:00Z",
        "2026-12-01T24:00:00Z",
        "2026-12-01T00:60:00Z",
        "2026-12-01T00:00:60Z",
        "2026-12-1T00:00:000Z",
        "-026-12-01T00:00:00Z",
        "2026-12-01T00:00:0aZ",
        "never",
        " 026-12-01T00:00:00Z",
    };
    static const struct {
        const char *text;
        int64_t until;
    } good[] = {{"1970-01-01T00:00:00Z", 0},
                {"2024-02-29T12:34:56Z", 1709210096},
                {"2038-01-19T03:14:08Z", 2147483648},
                {"9999-12-31T23:59:59Z", 253402300799}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char *line = scratch_text("{\"sub\":\"a\",\"until\":\"%s\"}", bad[i]);
        expect_refusal(span_of(line), ERR_SYNTAX, "write it as \"2026-12-01T00:00:00Z\"");
        free(line);
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char *line = scratch_text("{\"sub\":\"a\",\"until\":\"%s\"}", good[i].text);
        struct deny_entry entry;
        json_t *object = NULL;
        ck_assert_int_eq(deny_entry_parse(span_of(line), &object, &entry, NULL), 0);
        ck_assert_int_eq(entry.until, good[i].until);
        json_decref(object);
        free(line);
    }
}

TEST(an_entry_has_a_size_and_a_foreign_name_is_cut) {
    char *line = malloc(DENY_LINE_MAX + 2);
    memset(line, ' ', DENY_LINE_MAX + 1);
    memcpy(line, "{\"sub\":\"a\"}", 11);
    expect_entry((struct span){line, DENY_LINE_MAX}, "{\"sub\": \"a\"}");
    expect_refusal((struct span){line, DENY_LINE_MAX + 1}, ERR_LIMIT,
                   "has 16385 bytes; an entry may have 16384");
    free(line);
    expect_refusal(S("{\"\\u001b1234567890123456789012345678901234567890\":\"a\"}"), ERR_SYNTAX,
                   "\"\\u001b123456789012345678901234567890123456789\"...;");
}

TEST(lines_that_say_nothing) {
    static const char *const idle[] = {"", " ", "\r", "\t \r", "#", "# {\"sub\":\"a\"}", "  # x"};
    static const char *const busy[] = {"{", "x", " {\"sub\":\"a\"}", "//", "\xef\xbb\xbf#"};
    for (size_t i = 0; i < ARRAY_LEN(idle); i++) ck_assert(!deny_line_counts(span_of(idle[i])));
    for (size_t i = 0; i < ARRAY_LEN(busy); i++) ck_assert(deny_line_counts(span_of(busy[i])));
    ck_assert(deny_line_counts((struct span){"\0", 1}));
}

TEST(entries_are_about_the_same_tokens_by_member_value_and_issuer) {
    const struct deny_entry a = {.by = DENY_SUB, .value = S("x"), .issuer = S("i")};
    struct deny_entry b = a;
    b.until = 5, b.note = S("n");
    ck_assert(deny_entry_same(&a, &b));
    b.by = DENY_JTI;
    ck_assert(!deny_entry_same(&a, &b));
    b = a, b.value = S("y");
    ck_assert(!deny_entry_same(&a, &b));
    b = a, b.issuer = S("j");
    ck_assert(!deny_entry_same(&a, &b));
    b = a, b.issuer = SPAN_NONE;
    ck_assert(!deny_entry_same(&a, &b));
    struct deny_entry c = b;
    ck_assert(deny_entry_same(&b, &c));
}
