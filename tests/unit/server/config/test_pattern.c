#include "server/config/pattern.h"

#include <stdio.h>

#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

/* The segments of a path, each in brackets. */
static void expect_segments(const char *path, const char *expected) {
    char text[256] = "";
    struct span rest = span_of(path), segment;
    size_t len = 0;
    while (pattern_next(&rest, &segment))
        len += (size_t)snprintf(text + len, sizeof text - len, "[%.*s]", SPAN_PRINTF(segment));
    ck_assert_str_eq(text, expected);
    ck_assert(!pattern_next(&rest, &segment));
}

TEST(segments_are_what_slashes_stand_before) {
    expect_segments("", "");
    expect_segments("/", "[]");
    expect_segments("/a", "[a]");
    expect_segments("/a/", "[a][]");
    expect_segments("/a/b", "[a][b]");
    expect_segments("/a//b", "[a][][b]");
    expect_segments("/a/{b}/*", "[a][{b}][*]");
}

TEST(a_capture_is_a_whole_segment_in_braces) {
    static const char *const others[] = {"",   "{",  "}", "{}",  "a{b}", "{a}b",
                                         "{a", "a}", "a", "}a{", "{a} ", " {a}"};
    struct span name = S("untouched");

    ck_assert(pattern_is_capture(S("{a}"), &name));
    ck_assert(span_equal_text(name, "a"));
    ck_assert(pattern_is_capture(S("{tenant_id-1}"), &name));
    ck_assert(span_equal_text(name, "tenant_id-1"));

    name = S("untouched");
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        ck_assert_msg(!pattern_is_capture(span_of(others[i]), &name), "%s", others[i]);
    ck_assert(span_equal_text(name, "untouched"));
}

TEST(a_capture_has_its_place_among_the_captures) {
    static const struct span path = S("/t/{a}/x/{bb}/{a-b}/*");
    ck_assert_int_eq(pattern_find_capture(path, S("a")), 0);
    ck_assert_int_eq(pattern_find_capture(path, S("bb")), 1);
    ck_assert_int_eq(pattern_find_capture(path, S("a-b")), 2);

    static const char *const others[] = {"", "b", "A", "t", "x", "*", "{a}", "ab"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        ck_assert_int_eq(pattern_find_capture(path, span_of(others[i])), -1);
    ck_assert_int_eq(pattern_find_capture(S("/"), S("a")), -1);
}

/* "/{c0}/{c1}/..." with so many captures, and so many plain segments behind them. */
static struct span long_path(size_t captures, size_t segments) {
    static char path[1024];
    size_t len = 0;
    for (size_t i = 0; i < captures; i++) len += (size_t)sprintf(path + len, "/{c%zu}", i);
    for (size_t i = 0; i < segments; i++) len += (size_t)sprintf(path + len, "/s");
    return (struct span){path, len};
}

static void expect_path(struct span path, const char *expected) {
    struct err_text why = {""};
    int r = pattern_check_path(path, &why);
    ck_assert_msg(r == (*expected ? ERR_SYNTAX : 0) && strcmp(why.text, expected) == 0,
                  "%.*s: %d %s", SPAN_PRINTF(path), r, why.text);
}

TEST(paths_with_captures) {
    static const char odd[] =
        "has a capture whose name holds more than letters, digits, '_' and '-'";
    static const struct {
        const char *path, *why;
    } rows[] = {
        {"/{a}", ""},
        {"/{a}/", ""},
        {"/{a}/*", ""},
        {"/t/{tenant}/orders/{id}", ""},
        {"/{A-1_b}", ""},
        {"/{0}", ""},
        {"/{}", "has '{}', which is no capture such as {tenant}"},
        {"/{", "has '{', which is no capture such as {tenant}"},
        {"/}", "has '}', which is no capture such as {tenant}"},
        {"/a{b}", "has 'a{b}', which is no capture such as {tenant}"},
        {"/{b}a", "has '{b}a', which is no capture such as {tenant}"},
        {"/{b}.json", "has '{b}.json', which is no capture such as {tenant}"},
        {"/{a/b}", "has '{a', which is no capture such as {tenant}"},
        {"/{a}{b}", odd},
        {"/{{a}}", odd},
        {"/{a.b}", odd},
        {"/{a:int}", odd},
        {"/{a}/{a}", "has two captures named a"},
        {"/{a}/{b}/x/{b}", "has two captures named b"},
        {"/{a}/{A}", ""},
        {"/{*}", "has a '*' that is not a last segment of its own"},
        {"/{a b}", "holds ' ', which no normal path does"},
        {"/{a}//{b}", "holds '//'"},
        {"{a}", "does not start with '/'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) expect_path(span_of(rows[i].path), rows[i].why);
}

TEST(paths_have_an_end) {
    expect_path(long_path(16, 0), "");
    expect_path(long_path(16, 48), "");
    expect_path(long_path(0, 64), "");
    expect_path(long_path(17, 0), "has more than 16 captures");
    expect_path(long_path(16, 49), "has more than 64 segments");
    expect_path(long_path(0, 65), "has more than 64 segments");
}

TEST(hosts) {
    static const char no_address[] = "has no IPv6 address between '[' and ']'";
    static const char dots[] = "starts or ends with a dot";
    static const struct {
        const char *host, *why;
    } rows[] = {
        {"api.example.com", ""},
        {"API.Example.COM", ""},
        {"localhost", ""},
        {"a_b-c.1", ""},
        {"10.0.0.1", ""},
        {"*.example.com", ""},
        {"*.com", ""},
        {"[::1]", ""},
        {"[2001:DB8::1]", ""},
        {"", "is no host name"},
        {"*.", "is no host name"},
        {"*", "holds '*', which stands only at the start, as in *.NAME"},
        {"a.*", "holds '*', which stands only at the start, as in *.NAME"},
        {"*a.b", "holds '*', which stands only at the start, as in *.NAME"},
        {"*.*.b", "holds '*', which stands only at the start, as in *.NAME"},
        {".a", dots},
        {"a.", dots},
        {"*..a", dots},
        {"a..b", "holds two dots in a row"},
        {"*.a..b", "holds two dots in a row"},
        {"a:80", "holds ':'; it is compared without its port"},
        {"https://a", "holds ':'; it is compared without its port"},
        {"::1", "holds ':'; it is compared without its port"},
        {"a b", "holds ' '"},
        {"a/b", "holds '/'"},
        {"a@b", "holds '@'"},
        {"{tenant}.a", "holds '{'"},
        {"*.[::1]", "holds '['"},
        {"[", no_address},
        {"[]", no_address},
        {"[::1", no_address},
        {"[::1]:80", no_address},
        {"[::1]]", no_address},
        {"[a.b]", no_address},
        {"[127.0.0.1]", no_address},
        {"[fe80::1%eth0]", no_address},
        {"[0000:0000:0000:0000:0000:0000:0000:00000000000000]", no_address},
        {"[0:0:0:0:0:0:0:1]", "is compared in its normal form, [::1]"},
        {"[2001:db8:0::1]", "is compared in its normal form, [2001:db8::1]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_text why = {""};
        int r = pattern_check_host(span_of(rows[i].host), &why);
        ck_assert_msg(r == (*rows[i].why ? ERR_SYNTAX : 0) && strcmp(why.text, rows[i].why) == 0,
                      "%s: %d %s", rows[i].host, r, why.text);
    }
}

TEST(a_host_is_253_bytes_long_at_most) {
    char host[255];
    struct err_text why = {""};
    memset(host, 'a', sizeof host);
    for (size_t i = 50; i < 253; i += 50) host[i] = '.';
    ck_assert_int_eq(pattern_check_host((struct span){host, 253}, &why), 0);
    ck_assert_int_eq(pattern_check_host((struct span){host, 254}, &why), ERR_SYNTAX);
    ck_assert_str_eq(why.text, "is no host name");
}

TEST(paths_are_the_same_whatever_their_captures_are_called) {
    static const char *const same[][2] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/", "/a/"},
        {"/a/*", "/a/*"},
        {"/{a}", "/{b}"},
        {"/{a}", "/{a-much-longer-name}"},
        {"/{a}/{b}", "/{b}/{a}"},
        {"/t/{a}/x/{b}/*", "/t/{c}/x/{d}/*"},
        {"/{a}/", "/{b}/"},
    };
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        struct span a = span_of(same[i][0]), b = span_of(same[i][1]);
        ck_assert_msg(pattern_same_path(a, b) && pattern_same_path(b, a), "%s %s", same[i][0],
                      same[i][1]);
        ck_assert_msg(pattern_hash_path(a) == pattern_hash_path(b), "%s %s", same[i][0],
                      same[i][1]);
    }
}

TEST(paths_differ_in_segments_their_order_and_the_last_slash) {
    static const char *const all[] = {
        "/",        "/a",      "/a/",    "/a/b",     "/b/a",     "/A",       "/ab",
        "/*",       "/a/*",    "/{x}",   "/{x}/",    "/{x}/*",   "/a/{x}",   "/{x}/a",
        "/{x}/{y}", "/a/{x}/", "/a/b/c", "/a/{x}/c", "/{x}/b/c", "/{x}/b/*", "/{x}/{y}/*",
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        for (size_t k = 0; k < ARRAY_LEN(all); k++) {
            struct span a = span_of(all[i]), b = span_of(all[k]);
            ck_assert_msg(pattern_same_path(a, b) == (i == k), "%s %s", all[i], all[k]);
            ck_assert_msg((pattern_hash_path(a) == pattern_hash_path(b)) == (i == k), "%s %s",
                          all[i], all[k]);
        }
}
