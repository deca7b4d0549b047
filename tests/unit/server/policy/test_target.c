#include "server/policy/target.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

#define FORM "the request target is not a path that starts with '/'"
#define FRAGMENT "the request target has a fragment ('#')"
#define ESCAPE "the request target has a '%' without two hex digits"
#define SLASH "the request target has an escaped slash"
#define NUL "the request target has an escaped NUL"
#define BYTE "the request target holds a character that no URL may hold"
#define PARAMETER "the request target has a dot segment with a parameter"
#define ABOVE "the request target climbs above the root"

TEST(targets_come_into_one_normal_form) {
    static const struct {
        const char *raw;
        const char *path;
    } rows[] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/", "/a/"},
        {"/a/b", "/a/b"},
        /* p3: empty and dot segments */
        {"//", "/"},
        {"///a///b///", "/a/b/"},
        {"//admin", "/admin"},
        {"/public//../admin", "/admin"},
        {"/./admin", "/admin"},
        {"/admin/.", "/admin/"},
        {"/admin/./", "/admin/"},
        {"/.", "/"},
        {"/./.", "/"},
        {"/a/..", "/"},
        {"/a/../", "/"},
        {"/a/b/..", "/a/"},
        {"/a/b/../", "/a/"},
        {"/a/b/../c", "/a/c"},
        {"/a/b/../../c", "/c"},
        {"/a//b/../c", "/a/c"},
        {"/a/./../b/./c", "/b/c"},
        /* p1: the same, escaped */
        {"/public/../admin", "/admin"},
        {"/public/%2e%2e/admin", "/admin"},
        {"/public/%2E./admin", "/admin"},
        {"/public/.%2e/admin", "/admin"},
        {"/a/%2e/b", "/a/b"},
        /* what only looks like dots */
        {"/...", "/..."},
        {"/.a", "/.a"},
        {"/a.", "/a."},
        {"/..a", "/..a"},
        {"/a..", "/a.."},
        {"/.../..", "/"},
        /* unreserved characters are decoded, once; others stay escaped, in upper case */
        {"/%61%7a%41%5A%30%39%2d%2e%5f%7e", "/azAZ09-._~"},
        {"/%41dmin", "/Admin"},
        {"/%2561dmin", "/%2561dmin"},
        {"/%252e%252e", "/%252e%252e"},
        {"/%25%32%65", "/%252e"},
        {"/%c3%a9", "/%C3%A9"},
        {"/%0a%0D%20%7f%ff", "/%0A%0D%20%7F%FF"},
        {"/%23%3f%3b%3a%40%21", "/%23%3F%3B%3A%40%21"},
        /* p4: nothing else is touched */
        {"/ADMIN", "/ADMIN"},
        {"/admin;x=1", "/admin;x=1"},
        {"/a;../b", "/a;../b"},
        {"/!$&'()*+,;=:@", "/!$&'()*+,;=:@"},
        {"/\"<>[]^`{|}", "/\"<>[]^`{|}"},
    };
    struct buf out = buf_make(1024);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct refusal refusal = {0};
        struct target target;
        bool good = target_parse(span_of(rows[i].raw), &out, &target, &refusal);
        ck_assert_msg(good, "%s: %s", rows[i].raw, refusal.text);
        ck_assert_msg(span_equal_text(target.path, rows[i].path), "%s: %.*s", rows[i].raw,
                      SPAN_PRINTF(target.path));
        ck_assert_msg(!target.query.ptr, "%s", rows[i].raw);
        /* Normal form is a fixed point: who is behind reads it as we did. */
        char *again = strndup(target.path.ptr, target.path.len);
        ck_assert(target_parse(span_of(again), &out, &target, &refusal));
        ck_assert_msg(span_equal_text(target.path, rows[i].path), "%s twice: %.*s", rows[i].raw,
                      SPAN_PRINTF(target.path));
        free(again);
    }
    buf_done(&out);
}

TEST(targets_that_others_may_read_differently_are_refused) {
    static const struct {
        struct span raw;
        const char *why;
    } rows[] = {
        {SPAN_NONE, FORM},
        {S(""), FORM},
        {S("*"), FORM},
        {S("a"), FORM},
        {S("?a"), FORM},
        {S("#"), FORM},
        {S("%2fa"), FORM},
        {S("http://host/a"), FORM},
        {S("host:443"), FORM},
        {S("\\a"), FORM},
        {S(" /a"), FORM},
        {S("/#"), FRAGMENT},
        {S("/a#b"), FRAGMENT},
        {S("/a?b#c"), FRAGMENT},
        {S("/%"), ESCAPE},
        {S("/%2"), ESCAPE},
        {S("/%zz"), ESCAPE},
        {S("/%2g"), ESCAPE},
        {S("/%%41"), ESCAPE},
        {S("/%-1"), ESCAPE},
        {S("/% 1"), ESCAPE},
        {S("/a%?41"), ESCAPE},
        {S("/%2f"), SLASH},
        {S("/a%2Fb"), SLASH},
        {S("/a/..%2fb"), SLASH},
        {S("/%5c"), SLASH},
        {S("/%5C.."), SLASH},
        {S("/%00"), NUL},
        {S("/a%00.html"), NUL},
        {S("/\\"), BYTE},
        {S("/a\\..\\b"), BYTE},
        {S("/a b"), BYTE},
        {S("/a\tb"), BYTE},
        {S("/a\0b"), BYTE},
        {S("/\x01"), BYTE},
        {S("/\x7f"), BYTE},
        {S("/\x80"), BYTE},
        {S("/\xc3\xa9"), BYTE},
        {S("/\xff"), BYTE},
        {S("/?a b"), BYTE},
        {S("/?\x7f"), BYTE},
        {S("/?\xc3"), BYTE},
        {S("/?a\0b"), BYTE},
        {S("/..;/a"), PARAMETER},
        {S("/a/..;x=1/b"), PARAMETER},
        {S("/a/.;/b"), PARAMETER},
        {S("/a/%2e%2e;/b"), PARAMETER},
        {S("/a/..;"), PARAMETER},
        {S("/.."), ABOVE},
        {S("/../a"), ABOVE},
        {S("/a/../.."), ABOVE},
        {S("/a/../../b"), ABOVE},
        {S("//.."), ABOVE},
        {S("/./.."), ABOVE},
        {S("/%2e%2e"), ABOVE},
    };
    struct buf out = buf_make(1024);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct refusal refusal = {0};
        struct target target = {.path = S("kept")};
        ck_assert_msg(!target_parse(rows[i].raw, &out, &target, &refusal), "%.*s",
                      SPAN_PRINTF(rows[i].raw));
        ck_assert_int_eq(refusal.reason, REASON_TARGET);
        ck_assert_msg(strcmp(refusal.text, rows[i].why) == 0, "%.*s: %s", SPAN_PRINTF(rows[i].raw),
                      refusal.text);
        ck_assert(span_equal_text(target.path, "kept"));
    }
    buf_done(&out);
}

TEST(the_query_is_kept_as_it_came_and_never_part_of_the_path) {
    static const struct {
        const char *raw;
        const char *path;
        const char *query;
    } rows[] = {
        {"/?", "/", ""},
        {"/a?b", "/a", "b"},
        {"/a?b?c", "/a", "b?c"},
        {"/a?/../b", "/a", "/../b"},
        {"/a?%2f%00%zz%", "/a", "%2f%00%zz%"},
        {"/a/..?x=\\", "/", "x=\\"},
        {"//?//", "/", "//"},
    };
    struct buf out = buf_make(1024);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct refusal refusal = {0};
        struct target target;
        ck_assert_msg(target_parse(span_of(rows[i].raw), &out, &target, &refusal), "%s: %s",
                      rows[i].raw, refusal.text);
        ck_assert_msg(span_equal_text(target.path, rows[i].path), "%s", rows[i].raw);
        ck_assert_msg(target.query.ptr && span_equal_text(target.query, rows[i].query), "%s",
                      rows[i].raw);
    }
    buf_done(&out);
}

/* Every byte, as itself and as an escape, is decoded, kept or refused, and never a separator. */
TEST(no_byte_makes_a_segment_end_or_begin) {
    struct buf out = buf_make(1024);
    for (unsigned c = 0; c < 256; c++) {
        char raw[16] = "/a?b", escaped[16];
        raw[2] = (char)c;
        snprintf(escaped, sizeof escaped, "/a%%%02xb", c);
        const struct span both[] = {{raw, 4}, span_of(escaped)};
        for (size_t i = 0; i < ARRAY_LEN(both); i++) {
            struct refusal refusal;
            struct target target;
            if (!target_parse(both[i], &out, &target, &refusal)) continue;
            struct span inner = span_from(target.path, 1);
            bool slash = span_find(inner, '/') < inner.len;
            ck_assert_msg(slash == (i == 0 && c == '/'), "%02x: %.*s", c, SPAN_PRINTF(target.path));
            ck_assert(target.query.ptr ? i == 0 && c == '?' : true);
        }
    }
    buf_done(&out);
}

TEST(a_buffer_without_room_is_told_and_never_a_shorter_path) {
    struct buf out = buf_make(4);
    struct refusal refusal;
    struct target target;
    ck_assert(target_parse(S("/abc"), &out, &target, &refusal));
    ck_assert(!target_parse(S("/abcd"), &out, &target, &refusal));
    ck_assert_int_eq(refusal.reason, REASON_OUT_OF_MEMORY);
    ck_assert(target_parse(S("/a"), &out, &target, &refusal));
    buf_done(&out);
}
