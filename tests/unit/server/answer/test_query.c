#include "server/answer/query.h"

#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

static bool read(struct span query, struct query_value values[2], struct refusal *refusal) {
    values[0] = (struct query_value){.name = "sub"};
    values[1] = (struct query_value){.name = "note"};
    return query_read(query, values, 2, refusal);
}

/* NULL: not given. */
static void expect(struct span query, const char *sub, const char *note) {
    struct query_value values[2];
    struct refusal refusal = {0};
    const char *expected[] = {sub, note};
    ck_assert_msg(read(query, values, &refusal), "%.*s: %s", SPAN_PRINTF(query), refusal.text);
    for (int i = 0; i < 2; i++) {
        struct span value = query_span(&values[i]);
        ck_assert(span_is_absent(value) == !expected[i]);
        if (expected[i])
            ck_assert_msg(span_equal_text(value, expected[i]), "%.*s: %.*s", SPAN_PRINTF(query),
                          SPAN_PRINTF(value));
    }
    query_done(values, 2);
}

TEST(values_are_read_as_curl_and_forms_write_them) {
    expect(SPAN_NONE, NULL, NULL);
    expect(S(""), NULL, NULL);
    expect(S("sub=alice"), "alice", NULL);
    expect(S("note=a&sub=b"), "b", "a");
    expect(S("sub="), "", NULL);
    expect(S("sub=a+b%2bc%26d%3de%2f%c3%a9&note=left+on+Friday"), "a b+c&d=e/\xc3\xa9",
           "left on Friday");
    expect(S("sub=a=b?c/d:e@f"), "a=b?c/d:e@f", NULL);
    expect(S("sub=%0A%7F"), "\n\x7f", NULL);
}

TEST(what_may_be_read_in_two_ways_is_refused) {
    static const struct {
        struct span query;
        const char *why;
    } rows[] = {
        {S("sub=a&sub=a"), "has a name twice"},
        {S("sub=a&jti=b"), "has a name that is not known here"},
        {S("Sub=a"), "has a name that is not known here"},
        {S("s%75b=a"), "has a name that is not known here"},
        {S("=a"), "has a name that is not known here"},
        {S("sub"), "has a piece that is not name=value"},
        {S("&sub=a"), "has a piece that is not name=value"},
        {S("sub=a&&note=b"), "has a piece that is not name=value"},
        {S("sub=a&"), "ends in '&'"},
        {S("&"), "ends in '&'"},
        {S("sub=%"), "has a '%' without two hex digits"},
        {S("sub=%2"), "has a '%' without two hex digits"},
        {S("sub=%g0"), "has a '%' without two hex digits"},
        {S("sub=%+1"), "has a '%' without two hex digits"},
        {S("sub=a%00"), "has an escaped NUL"},
        {S("sub=%ff"), "has a value that is not UTF-8"},
        {S("sub=%c3&note=%a9"), "has a value that is not UTF-8"},
        {S("sub=%c0%80"), "has a value that is not UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct query_value values[2];
        struct refusal refusal = {0};
        ck_assert_msg(!read(rows[i].query, values, &refusal), "row %zu", i);
        ck_assert_int_eq(refusal.reason, REASON_TARGET);
        ck_assert_msg(strstr(refusal.text, rows[i].why), "row %zu: %s", i, refusal.text);
        query_done(values, 2);
    }
}
