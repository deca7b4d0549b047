#include "server/proxy/request_id.h"

#include <stdio.h>

#include "common/ascii.h"
#include "common/attr.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

static struct request_id choose(const struct field *items, size_t count) {
    struct request_id id = {"untouched"};
    request_id_choose((struct fields){items, count}, &id);
    return id;
}

static bool is_made(const char *id) {
    return strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32;
}

TEST(a_usable_id_of_the_client_is_kept) {
    static const struct field rows[] = {
        {S("X-Request-Id"), S("a")},
        {S("x-request-id"), S("018f-4b1e-7c3d")},
        {S("X-REQUEST-ID"), S("Root=1-67891233-abcdef012345678912345678")},
        {S("X-Request-ID"), S("azAZ09-._~+/=:")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct field fields[] = {{S("Accept"), S("*/*")}, rows[i], {S("X-Id"), S("other")}};
        struct request_id id = choose(fields, ARRAY_LEN(fields));
        ck_assert_msg(span_equal_text(rows[i].value, id.text), "row %zu: %s", i, id.text);
    }
}

TEST(an_id_of_full_length_is_kept_and_a_longer_one_is_not) {
    char text[REQUEST_ID_MAX + 1];
    memset(text, 'x', sizeof text);
    struct field field = {S("X-Request-Id"), {text, REQUEST_ID_MAX}};
    struct request_id id = choose(&field, 1);
    ck_assert(span_equal_text(field.value, id.text));
    field.value.len++;
    ck_assert(is_made(choose(&field, 1).text));
}

TEST(an_id_that_logs_could_stumble_over_is_replaced) {
    static const struct span rows[] = {
        S(""),      S(" "),    S("a b"), S("a\r\nb"), S("a\0b"),     S("a\tb"), S("a,b"),
        S("a\"b"),  S("a;b"),  S("<a>"), S("a\\b"),   S("a\x1b[0m"), S("%41"),  S("a\x7f"),
        S("\xc3é"), S("${a}"), S("a|b"), S("a'b"),    S("{}"),       S("a#b"),  {NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct field field = {S("X-Request-Id"), rows[i]};
        struct request_id id = choose(&field, 1);
        ck_assert_msg(is_made(id.text), "row %zu: %s", i, id.text);
    }
}

TEST(every_byte_is_kept_or_the_id_replaced) {
    for (unsigned c = 0; c < 256; c++) {
        const char text[] = {'a', (char)c, 'b'};
        const struct field field = {S("X-Request-Id"), {text, sizeof text}};
        bool usable = ascii_is_alphanumeric_or((char)c, "-._~+/=:");
        struct request_id id = choose(&field, 1);
        ck_assert_msg(usable ? span_equal_text(field.value, id.text) : is_made(id.text), "%02x", c);
    }
}

TEST(of_several_ids_none_is_believed) {
    static const struct field rows[][3] = {
        {{S("X-Request-Id"), S("a")}, {S("X-Request-Id"), S("a")}, {S("Accept"), S("a")}},
        {{S("X-Request-Id"), S("a")}, {S("Accept"), S("a")}, {S("x-request-id"), S("b")}},
        {{S("X-Request-Id"), S("")}, {S("X-Request-Id"), S("a")}, {S("X-Request-Id"), S("a")}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(is_made(choose(rows[i], 3).text), "row %zu", i);
}

TEST(ids_that_are_made_differ) {
    struct request_id ids[64];
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        ids[i] = choose(NULL, 0);
        ck_assert(is_made(ids[i].text));
        for (size_t j = 0; j < i; j++) ck_assert_str_ne(ids[i].text, ids[j].text);
    }
}
