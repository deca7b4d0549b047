#include "server/token/deny_text.h"

#include <stdlib.h>

#include "tests/support/suite.h"

#define NOW 1700000000 /* 2023-11-14T22:13:20Z */

static struct deny_entry entry_of(const char *line, json_t **ret_object) {
    struct deny_entry entry = {0};
    struct err_text why = {""};
    int r = deny_entry_parse(span_of(line), ret_object, &entry, &why);
    ck_assert_msg(r == 0, "%s: %s", line, why.text);
    return entry;
}

static int change(bool remove, const char *text, const char *line, struct buf *out, size_t *count,
                  struct err_text *why) {
    json_t *object = NULL;
    struct deny_entry entry = entry_of(line, &object);
    int r = (remove ? deny_text_remove : deny_text_add)(span_of(text), "deny", &entry, NOW, out,
                                                        count, why);
    json_decref(object);
    return r;
}

struct row {
    const char *text, *line, *after;
    size_t count;
};

static void expect_rows(bool remove, const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct buf out = buf_make(65536);
        struct err_text why = {""};
        size_t changed = 99;
        int r = change(remove, rows[i].text, rows[i].line, &out, &changed, &why);
        ck_assert_msg(r == 0, "row %zu: %s", i, why.text);
        ck_assert_msg(span_equal_text(buf_span(&out), rows[i].after), "row %zu: %s", i, out.data);
        ck_assert_uint_eq(changed, rows[i].count);
        buf_done(&out);
    }
}

#define KEPT "# Who left.\r\n\n{ \"sub\" : \"bob\" }\r\n"
#define ENDED "{\"sub\":\"x\",\"until\":\"2023-11-13T22:13:20Z\"}\n" /* a day ago */
#define ENDING "{\"sub\":\"y\",\"until\":\"2023-11-13T22:13:21Z\"}\n"
#define LATER "{\"sub\":\"a\",\"until\":\"2033-01-01T00:00:00Z\"}\n"

TEST(an_entry_is_added_at_the_end_and_all_else_stays) {
    static const struct row rows[] = {
        {"", "{\"sub\":\"a\"}", "{\"sub\": \"a\"}\n", 1},
        {KEPT, "{\"sub\":\"a\"}", KEPT "{\"sub\": \"a\"}\n", 1},
        {"# no end", "{\"kid\":\"a\"}", "# no end\n{\"kid\": \"a\"}\n", 1},
        {KEPT, "{\"sub\":\"bob\",\"issuer\":\"i\"}", KEPT "{\"sub\": \"bob\", \"issuer\": \"i\"}\n",
         1},
        {KEPT, "{\"jti\":\"bob\"}", KEPT "{\"jti\": \"bob\"}\n", 1},
        /* It counts as long already. */
        {KEPT, "{\"sub\":\"bob\",\"note\":\"again\"}", KEPT, 0},
        {KEPT, "{\"sub\":\"bob\",\"until\":\"2033-01-01T00:00:00Z\"}", KEPT, 0},
        {LATER, "{\"sub\":\"a\",\"until\":\"2033-01-01T00:00:00Z\"}", LATER, 0},
        {LATER, "{\"sub\":\"a\"}", LATER "{\"sub\": \"a\"}\n", 1},
        {LATER, "{\"sub\":\"a\",\"until\":\"2033-01-01T00:00:01Z\"}",
         LATER "{\"sub\": \"a\", \"until\": \"2033-01-01T00:00:01Z\"}\n", 1},
        /* What ended long enough ago is left out, and is nothing that counts. */
        {ENDED ENDING KEPT, "{\"sub\":\"a\"}", ENDING KEPT "{\"sub\": \"a\"}\n", 1},
        {ENDED, "{\"sub\":\"x\"}", "{\"sub\": \"x\"}\n", 1},
    };
    expect_rows(false, rows, ARRAY_LEN(rows));
}

TEST(an_entry_is_removed_and_all_else_stays) {
    static const struct row rows[] = {
        {KEPT, "{\"sub\":\"bob\"}", "# Who left.\r\n\n", 1},
        {KEPT, "{\"sub\":\"bob\",\"issuer\":\"i\"}", KEPT, 0},
        {KEPT, "{\"jti\":\"bob\"}", KEPT, 0},
        {"", "{\"jti\":\"bob\"}", "", 0},
        {KEPT "{\"sub\":\"bob\",\"note\":\"n\"}", "{\"sub\":\"bob\"}", "# Who left.\r\n\n", 2},
        {KEPT "{\"sub\":\"bob\",\"note\":\"n\"}\n", "{\"sub\":\"bob\",\"note\":\"n\"}", KEPT, 1},
        {KEPT "{\"sub\":\"bob\",\"issuer\":\"i\"}\n", "{\"sub\":\"bob\",\"issuer\":\"i\"}", KEPT,
         1},
        {LATER KEPT, "{\"sub\":\"a\"}", KEPT, 1},
        {LATER KEPT, "{\"sub\":\"a\",\"until\":\"2033-01-01T00:00:00Z\"}", KEPT, 1},
        {LATER KEPT, "{\"sub\":\"a\",\"until\":\"2033-01-01T00:00:01Z\"}", LATER KEPT, 0},
        {ENDED KEPT "# end", "{\"sub\":\"bob\"}", "# Who left.\r\n\n# end", 1},
        {ENDED KEPT, "{\"sub\":\"x\"}", KEPT, 1},
    };
    expect_rows(true, rows, ARRAY_LEN(rows));
}

TEST(a_text_with_a_bad_line_is_not_changed) {
    for (int remove = 0; remove < 2; remove++) {
        struct buf out = buf_make(65536);
        struct err_text why = {""};
        size_t count;
        ck_assert_int_eq(
            change(remove, KEPT "{\"sbu\":\"x\"}\n", "{\"sub\":\"bob\"}", &out, &count, &why),
            ERR_SYNTAX);
        ck_assert_ptr_nonnull(strstr(why.text, "deny:4: the entry has the unknown member"));
        buf_done(&out);
    }
}

TEST(a_list_that_is_full_takes_no_more) {
    struct buf out = buf_make(sizeof KEPT + 10);
    struct err_text why = {""};
    size_t count;
    ck_assert_int_eq(change(false, KEPT, "{\"sub\":\"alice\"}", &out, &count, &why), ERR_LIMIT);
    ck_assert_str_eq(why.text, "deny: a deny list may have 67108864 bytes, and no more");
    buf_done(&out);
}
