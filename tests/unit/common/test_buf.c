#include "common/buf.h"

#include <jansson.h>
#include <stdint.h>

#include "common/utf8.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

TEST(an_untouched_buffer_is_empty_and_not_absent) {
    struct buf buf = buf_make(10);

    ck_assert(buf_ok(&buf));
    ck_assert(!span_is_absent(buf_span(&buf)));
    ck_assert_uint_eq(buf_span(&buf).len, 0);
    ck_assert_ptr_null(buf.data);
    buf_reset(&buf);
    buf_done(&buf);
    ck_assert(buf_ok(&buf));
}

TEST(additions_append_and_end_in_nul) {
    struct buf buf = buf_make(100);

    buf_add(&buf, S("a\0b"));
    buf_add_text(&buf, "cd");
    buf_add_char(&buf, 'e');
    buf_addf(&buf, "%d-%s", 7, "f");
    buf_add(&buf, SPAN_NONE);
    buf_add(&buf, S(""));
    ck_assert(buf_ok(&buf));
    ck_assert(span_equal(buf_span(&buf), S("a\0bcde7-f")));
    ck_assert_int_eq(buf.data[buf.len], '\0');
    buf_done(&buf);
}

TEST(the_ceiling_is_exact) {
    struct buf buf = buf_make(5);

    buf_add_text(&buf, "12345");
    ck_assert(buf_ok(&buf));
    buf_add_text(&buf, "");
    ck_assert_msg(buf_ok(&buf), "nothing always fits");
    buf_add_char(&buf, '6');
    ck_assert(!buf_ok(&buf));
    ck_assert_msg(span_equal(buf_span(&buf), S("12345")), "what did not fit left no trace");
    buf_done(&buf);

    buf_addf(&buf, "%s", "12345");
    ck_assert(buf_ok(&buf));
    buf_reset(&buf);
    buf_addf(&buf, "%s", "123456");
    ck_assert(!buf_ok(&buf));
    ck_assert_uint_eq(buf.len, 0);
    buf_done(&buf);
}

TEST(failure_is_sticky_until_reset_or_done) {
    struct buf buf = buf_make(3);

    buf_add_text(&buf, "1234");
    buf_add_char(&buf, '1');
    buf_addf(&buf, "%d", 1);
    buf_add_json(&buf, S(""));
    ck_assert(!buf_ok(&buf));
    ck_assert_msg(buf.len == 0, "later additions did nothing though they would fit");

    buf_reset(&buf);
    ck_assert(buf_ok(&buf));
    buf_add_text(&buf, "abc");
    ck_assert(span_equal(buf_span(&buf), S("abc")));

    buf_add_char(&buf, 'd');
    buf_done(&buf);
    ck_assert(buf_ok(&buf));
    ck_assert_uint_eq(buf.max, 3);
    buf_add_text(&buf, "abcd");
    ck_assert_msg(!buf_ok(&buf), "the ceiling outlives done");
    buf_done(&buf);
}

TEST(a_huge_addition_fails_without_overflow) {
    struct buf buf = buf_make(1000);

    buf_add_text(&buf, "x");
    buf_add(&buf, (struct span){"", SIZE_MAX});
    ck_assert(!buf_ok(&buf));
    ck_assert(span_equal(buf_span(&buf), S("x")));
    buf_done(&buf);
}

TEST(content_survives_growth) {
    enum { COUNT = 100000 };
    struct buf buf = buf_make(COUNT);

    for (size_t i = 0; i < COUNT; i++) buf_add_char(&buf, (char)('a' + i % 26));
    ck_assert(buf_ok(&buf));
    ck_assert_uint_eq(buf.len, COUNT);
    for (size_t i = 0; i < COUNT; i++) ck_assert_int_eq(buf.data[i], (char)('a' + i % 26));
    buf_done(&buf);
}

TEST(reset_keeps_the_memory) {
    struct buf buf = buf_make(100);

    buf_add_text(&buf, "some text");
    const char *before = buf.data;
    buf_reset(&buf);
    ck_assert_uint_eq(buf.len, 0);
    ck_assert_str_eq(buf.data, "");
    buf_add_text(&buf, "other");
    ck_assert_ptr_eq(buf.data, before);
    buf_done(&buf);
}

TEST(json_strings_are_escaped_exactly) {
    static const struct {
        struct span text;
        const char *json;
    } cases[] = {
        {S(""), "\"\""},
        {SPAN_NONE, "\"\""},
        {S("plain"), "\"plain\""},
        {S("a\"b\\c"), "\"a\\\"b\\\\c\""},
        {S("/"), "\"/\""},
        {S("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\""},
        {S("\0"), "\"\\u0000\""},
        {S("\x01\x1f\x7f"), "\"\\u0001\\u001f\\u007f\""},
        {S("\x1b[31m"), "\"\\u001b[31m\""},
        /* C1 controls: a terminal takes U+009B for ESC [ and U+0085 for a new line. */
        {S("\xc2\x80\xc2\x85\xc2\x9b\xc2\x9f"), "\"\\u0080\\u0085\\u009b\\u009f\""},
        {S("\xc2\xa0"), "\"\xc2\xa0\""},
        /* Line ends to some programs, and what turns the direction of writing. */
        {S("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xae\xe2\x80\xaf"),
         "\"\xe2\x80\xa7\\u2028\\u2029\\u202e\xe2\x80\xaf\""},
        {S("\xe2\x81\xa6"), "\"\\u2066\""},
        {S("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {S("\xff"), "\"\xef\xbf\xbd\""},
        {S("a\xffz"), "\"a\xef\xbf\xbdz\""},
        {S("\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {S("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {S("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {S("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {S("\xe2\x82\"x"), "\"\xef\xbf\xbd\xef\xbf\xbd\\\"x\""},
    };
    struct buf buf = buf_make(200);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_reset(&buf);
        buf_add_json(&buf, cases[i].text);
        ck_assert(buf_ok(&buf));
        ck_assert_msg(span_equal_text(buf_span(&buf), cases[i].json), "case %zu: %s", i, buf.data);
    }
    buf_done(&buf);
}

/* Well-formed text comes back as it was, anything else as one string of well-formed text. */
static void check_json_of(struct span text) {
    struct buf buf = buf_make(64);
    bool well_formed = true;

    for (struct span rest = text; rest.len; rest = span_from(rest, 1)) {
        size_t width = utf8_width(rest);
        if (width == 0) well_formed = false;
        if (width > 1) rest = span_from(rest, width - 1);
    }
    buf_add_json(&buf, text);
    ck_assert(buf_ok(&buf));
    ck_assert_ptr_null(memchr(buf.data, '\n', buf.len));
    json_t *string = json_loadb(buf.data, buf.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    ck_assert_msg(json_is_string(string), "%s", buf.data);
    struct span back = {json_string_value(string), json_string_length(string)};
    ck_assert_msg(!well_formed || span_equal(back, text), "%s", buf.data);
    json_decref(string);
    buf_done(&buf);
}

TEST(any_two_bytes_become_one_valid_json_string) {
    for (int a = 0; a < 256; a++) {
        char one[] = {(char)a};
        check_json_of((struct span){one, 1});
        for (int b = 0; b < 256; b++) {
            char two[] = {(char)a, (char)b};
            check_json_of((struct span){two, 2});
        }
    }
}

TEST(a_json_string_that_does_not_fit_fails) {
    struct buf buf = buf_make(6);

    buf_add_json(&buf, S("1234"));
    ck_assert(buf_ok(&buf));
    buf_reset(&buf);
    buf_add_json(&buf, S("123\n"));
    ck_assert(!buf_ok(&buf));
    buf_done(&buf);
}
