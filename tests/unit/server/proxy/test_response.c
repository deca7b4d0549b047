#include "server/proxy/response.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define OK "HTTP/1.1 200 OK\r\n"
#define END "\r\n"

static const struct response_context to_get = {.to_head = false};
static const struct response_context to_head = {.to_head = true};
static const struct response_context to_upgrade = {.to_upgrade = true};

static struct response_head head;
static struct err_text err;

/* What came of the head in these bytes: the bytes it takes, 0 for incomplete, or the error. */
static int parse(struct span bytes, const struct response_context *context) {
    size_t scanned = 0, used = 0;
    err.text[0] = '\0';
    int r = response_head_parse(bytes, context, &scanned, &head, &used, &err);
    return r < 0 ? r : (int)used;
}

/* The same, byte by byte, each time from another place in memory, with nothing readable behind. */
static int parse_bytewise(struct span bytes, const struct response_context *context) {
    size_t scanned = 0, used = 0;
    int r = 0;
    err.text[0] = '\0';
    for (size_t len = 1; r == 0 && used == 0 && len <= bytes.len; len++) {
        char *copy = malloc(len);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, bytes.ptr, len);
        r = response_head_parse((struct span){copy, len}, context, &scanned, &head, &used, &err);
        free(copy);
    }
    return r < 0 ? r : (int)used;
}

TEST(the_status_line_is_a_version_and_three_digits) {
    static const struct {
        const char *line;
        unsigned status;
        bool http_1_0;
    } rows[] = {
        {"HTTP/1.1 200 OK", 200, false},
        {"HTTP/1.1 200 ", 200, false},
        {"HTTP/1.1 200", 200, false},
        {"HTTP/1.0 404 Not Found", 404, true},
        {"HTTP/1.1 100 Continue", 100, false},
        {"HTTP/1.1 599 x", 599, false},
        {"HTTP/1.1 200  two  spaces ", 200, false},
        {"HTTP/1.1 451 caf\xe9\tau lait", 451, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char bytes[64];
        int len = snprintf(bytes, sizeof bytes, "%s\r\n\r\n", rows[i].line);
        int used = parse((struct span){bytes, (size_t)len}, &to_get);
        ck_assert_msg(used == len, "%s: %s", rows[i].line, err.text);
        ck_assert_uint_eq(head.status, rows[i].status);
        ck_assert_int_eq(head.http_1_0, rows[i].http_1_0);
        ck_assert_uint_eq(head.field_count, 0);
    }
}

#define PROTOCOL "the response does not begin with \"HTTP/1.\""
#define STATUS_LINE "the response has a malformed status line"
#define LINE_END "the response has a line that does not end in CR LF"
#define FOLDED "the response has a folded line"
#define NO_FIELD "the response has a field line without a token and ':'"
#define CONTROL "the response has a control character in field \"a\""
#define LENGTHS "the response has several Content-Length"
#define LENGTH "the response has a Content-Length that is not a number of at most 18 digits"
#define ENCODING "the response has a Transfer-Encoding that is not one \"chunked\""
#define BOTH "the response has both Transfer-Encoding and Content-Length"
#define OLD_ENCODING "the response has Transfer-Encoding in HTTP/1.0"
#define SWITCHES "the response switches protocols, which nobody asked for"
#define STATUS(number) "the response has status " number ", which is none"
#define BODY(number) "the response has status " number " and announces a body, which it cannot have"

static const struct {
    struct span bytes;
    const char *why;
} malformed[] = {
    /* another protocol, told by its first bytes */
    {S("SSH-2.0-x"), PROTOCOL},
    {S("I"), PROTOCOL},
    {S("\x15\x03\x01"), PROTOCOL},
    {S("http/1.1 200 OK\r\n\r\n"), PROTOCOL},
    {S("HTTP/2.0 200 OK\r\n\r\n"), PROTOCOL},
    {S("HTTP/11 200 OK\r\n\r\n"), PROTOCOL},
    {S(" HTTP/1.1 200 OK\r\n\r\n"), PROTOCOL},
    {S("\r\nHTTP/1.1 200 OK\r\n\r\n"), PROTOCOL},
    {S("ICY 200 OK\r\n\r\n"), PROTOCOL},
    {S("<html>"), PROTOCOL},
    /* status line */
    {S("HTTP/1.2 200 OK\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 \r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 20\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 2000\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 200OK\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1  200 OK\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1\t200 OK\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.10 200 OK\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 +20 OK\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 2 0 OK\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 20x OK\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 200\tOK\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 200 O\0K\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 200 O\rK\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 200 OK\x7f\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 200 OK\x1b[2J\r\n\r\n"), STATUS_LINE},
    {S("HTTP/1.1 099 x\r\n\r\n"), STATUS("99")},
    {S("HTTP/1.1 000 x\r\n\r\n"), STATUS("0")},
    {S("HTTP/1.1 600 x\r\n\r\n"), STATUS("600")},
    {S("HTTP/1.1 999 x\r\n\r\n"), STATUS("999")},
    /* ends of lines */
    {S("HTTP/1.1 200 OK\n\r\n"), LINE_END},
    {S("HTTP/1.1 200 OK\n\n"), LINE_END},
    {S(OK "a: b\n\r\n"), LINE_END},
    {S(OK "a: b\r\n\n"), LINE_END},
    {S(OK "\n"), LINE_END},
    {S(OK "a: b\nc: d\r\n\r\n"), LINE_END},
    {S(OK "a: b\r\r\n\r\n"), CONTROL},
    {S(OK "\r\r\n"), NO_FIELD},
    /* folds */
    {S(OK "a: b\r\n c\r\n\r\n"), FOLDED},
    {S(OK "a: b\r\n\tc: d\r\n\r\n"), FOLDED},
    {S(OK " a: b\r\n\r\n"), FOLDED},
    {S(OK "a: b\r\n \r\n\r\n"), FOLDED},
    /* names */
    {S(OK "a\r\n\r\n"), NO_FIELD},
    {S(OK ": b\r\n\r\n"), NO_FIELD},
    {S(OK "a : b\r\n\r\n"), NO_FIELD},
    {S(OK "a\t: b\r\n\r\n"), NO_FIELD},
    {S(OK "a b: c\r\n\r\n"), NO_FIELD},
    {S(OK "a\0: b\r\n\r\n"), NO_FIELD},
    {S(OK "a\r: b\r\n\r\n"), NO_FIELD},
    {S(OK "\x0b"
          "a: b\r\n\r\n"),
     NO_FIELD},
    {S(OK "h\xc3\xa9: b\r\n\r\n"), NO_FIELD},
    {S(OK "a\x7f: b\r\n\r\n"), NO_FIELD},
    {S(OK "\"a\": b\r\n\r\n"), NO_FIELD},
    {S(OK "a(b): c\r\n\r\n"), NO_FIELD},
    {S(OK "Content-Length;: 5\r\n\r\n"), NO_FIELD},
    /* values */
    {S(OK "a: b\0c\r\n\r\n"), CONTROL},
    {S(OK "a: \0\r\n\r\n"), CONTROL},
    {S(OK "a: b\rc: d\r\n\r\n"), CONTROL},
    {S(OK "a: \x01\r\n\r\n"), CONTROL},
    {S(OK "a: b\x7f\r\n\r\n"), CONTROL},
    {S(OK "a: long enough to be looked at in words\x1b\r\n\r\n"), CONTROL},
    {S(OK "a: \x0blong enough to be looked at in words\r\n\r\n"), CONTROL},
    /* Content-Length */
    {S(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), LENGTHS},
    {S(OK "Content-Length: 5\r\ncontent-LENGTH: 7\r\n\r\n"), LENGTHS},
    {S(OK "Content-Length:\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: 5, 5\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: 5, 7\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: 5,\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: +5\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: -5\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: -0\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: 5x\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: 0x5\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: 5 5\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: 5.0\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: 1e3\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: \"5\"\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: \xb2\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: 1000000000000000000\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: 100000000000000000000\r\n\r\n"), LENGTH},
    {S(OK "Content-Length: 18446744073709551621\r\n\r\n"), LENGTH},
    /* Transfer-Encoding */
    {S(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"), BOTH},
    {S(OK "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"), BOTH},
    {S(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), ENCODING},
    {S(OK "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n"), ENCODING},
    {S(OK "Transfer-Encoding: chunked, chunked\r\n\r\n"), ENCODING},
    {S(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"), ENCODING},
    {S(OK "Transfer-Encoding: chunked, identity\r\n\r\n"), ENCODING},
    {S(OK "Transfer-Encoding: chunked,\r\n\r\n"), ENCODING},
    {S(OK "Transfer-Encoding: chunked;a=b\r\n\r\n"), ENCODING},
    {S(OK "Transfer-Encoding: xchunked\r\n\r\n"), ENCODING},
    {S(OK "Transfer-Encoding: chunke\r\n\r\n"), ENCODING},
    {S(OK "Transfer-Encoding: gzip\r\n\r\n"), ENCODING},
    {S(OK "Transfer-Encoding: identity\r\n\r\n"), ENCODING},
    {S(OK "Transfer-Encoding: \"chunked\"\r\n\r\n"), ENCODING},
    {S(OK "Transfer-Encoding:\r\n\r\n"), ENCODING},
    {S("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), OLD_ENCODING},
    /* a body where there is none */
    {S("HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\n"), BODY("204")},
    {S("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n"), BODY("204")},
    {S("HTTP/1.1 100 x\r\nContent-Length: 1\r\n\r\n"), BODY("100")},
    {S("HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\n"), BODY("103")},
    {S("HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n"), SWITCHES},
};

TEST(heads_that_two_readers_may_read_differently_are_refused) {
    for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
        int r = parse(malformed[i].bytes, &to_get);
        ck_assert_msg(r == ERR_SYNTAX, "row %zu, %s: %d", i, malformed[i].why, r);
        ck_assert_msg(strcmp(err.text, malformed[i].why) == 0, "row %zu, %s: %s", i,
                      malformed[i].why, err.text);
    }
}

TEST(what_is_malformed_at_once_is_malformed_byte_by_byte_for_the_same_reason) {
    for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
        int r = parse_bytewise(malformed[i].bytes, &to_get);
        ck_assert_msg(r == ERR_SYNTAX && strcmp(err.text, malformed[i].why) == 0,
                      "row %zu, %s: %d, %s", i, malformed[i].why, r, err.text);
    }
}

/* An answer to HEAD has no body, but what it says is judged all the same. */
TEST(an_answer_to_head_is_judged_like_any_other) {
    for (size_t i = 0; i < ARRAY_LEN(malformed); i++)
        ck_assert_msg(parse(malformed[i].bytes, &to_head) == ERR_SYNTAX, "row %zu, %s", i,
                      malformed[i].why);
}

/* The positive twins of what is refused: the smallest change makes them good. */
TEST(unusual_heads_that_mean_one_thing_are_accepted) {
    static const struct span rows[] = {
        S(OK END),
        S(OK "a:\r\n\r\n"),
        S(OK "a: \t \r\n\r\n"),
        S(OK "a:b:c\r\n\r\n"),
        S(OK "a: b \t c\r\n\r\n"),
        S(OK "a: \xc3\xa9\x80\xff\r\n\r\n"),
        S(OK "!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n"),
        S(OK "a: b\r\na: b\r\n\r\n"),
        S(OK "Content-Length:5\r\n\r\n"),
        S(OK "Content-Length: \t5\t \r\n\r\n"),
        S(OK "Content-Length: 005\r\n\r\n"),
        S(OK "Content-Length: 999999999999999999\r\n\r\n"),
        S(OK "Transfer-Encoding: chunked\r\n\r\n"),
        S(OK "TRANSFER-encoding:\tChunKED \r\n\r\n"),
        S("HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n"),
        S("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"),
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(parse(rows[i], &to_get) == (int)rows[i].len, "row %zu: %s", i, err.text);
        ck_assert_msg(parse_bytewise(rows[i], &to_get) == (int)rows[i].len, "row %zu: %s", i,
                      err.text);
    }
}

/* Each byte at each place of values of many lengths, because they are looked at in words. */
TEST(values_hold_every_byte_but_control_characters) {
    static const size_t begin = sizeof OK "a: " - 1;
    char bytes[sizeof OK "a: \r\n\r\n" + 26];
    for (size_t len = 1; len <= 26; len++) {
        memset(bytes, '.', sizeof bytes);
        memcpy(bytes, OK "a: ", begin);
        memcpy(bytes + begin + len, "\r\n\r\n", 4);
        struct span whole = {bytes, begin + len + 4};
        for (unsigned c = 0; c < 256; c++) {
            bool good = c == '\t' || (c >= ' ' && c != 0x7f);
            for (size_t at = 0; at < len; at++) {
                bytes[begin + at] = (char)c;
                int r = parse(whole, &to_get);
                ck_assert_msg(r == (good ? (int)whole.len : ERR_SYNTAX), "%02x at %zu of %zu: %d",
                              c, at, len, r);
                bytes[begin + at] = '.';
            }
        }
    }
}

TEST(names_hold_the_characters_of_tokens_only) {
    for (unsigned c = 0; c < 256; c++) {
        bool good = c && strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                (int)c);
        char bytes[] = OK "a?b: c\r\n\r\n";
        struct span whole = {bytes, sizeof bytes - 1};
        bytes[sizeof OK] = (char)c;
        int r = parse(whole, &to_get);
        /* A colon ends the name early, which is as good a field. */
        good = good || c == ':';
        ck_assert_msg(r == (good ? (int)whole.len : ERR_SYNTAX), "%02x: %d", c, r);
    }
}

TEST(fields_are_found_by_name_in_any_case_and_in_their_order) {
    struct span bytes = S(OK "Set-Cookie: a=1\r\nX-Empty:\r\nset-cookie:  b=2 \t\r\n"
                             "ETag:\"x\"\r\n\r\nHTTP/1.1 ");
    ck_assert_int_eq(parse(bytes, &to_get), (int)(bytes.len - strlen("HTTP/1.1 ")));
    ck_assert_uint_eq(head.field_count, 4);
    ck_assert(span_equal_text(head.fields[0].name, "Set-Cookie"));
    ck_assert(span_equal_text(head.fields[2].name, "set-cookie"));
    ck_assert(span_equal_text(head.fields[2].value, "b=2"));
    ck_assert(span_equal_text(head.fields[3].value, "\"x\""));

    ck_assert(span_equal_text(response_field(&head, "SET-COOKIE"), "a=1"));
    ck_assert_uint_eq(response_field_count(&head, "Set-Cookie"), 2);
    ck_assert(span_equal_text(response_field(&head, "x-empty"), ""));
    ck_assert(!span_is_absent(response_field(&head, "x-empty")));
    ck_assert(span_is_absent(response_field(&head, "X-Emptyy")));
    ck_assert(span_is_absent(response_field(&head, "")));
    ck_assert_uint_eq(response_field_count(&head, "X-Empt"), 0);
}

TEST(a_head_may_come_in_any_two_pieces) {
    static const char text[] = OK "Content-Length: 5\r\nConnection: close\r\n\r\nhello";
    const int whole = (int)(sizeof text - 1 - strlen("hello"));
    for (size_t first = 0; first < sizeof text; first++) {
        size_t scanned = 0, used = 0;
        char *piece = malloc(first + 1);
        ck_assert_ptr_nonnull(piece);
        memcpy(piece, text, first);
        int r =
            response_head_parse((struct span){piece, first}, &to_get, &scanned, &head, &used, &err);
        ck_assert_int_eq(r, 0);
        ck_assert_int_eq((int)used, (int)first < whole ? 0 : whole);
        memset(piece, '?', first); /* the bytes have moved */
        if (used == 0) r = response_head_parse(S(text), &to_get, &scanned, &head, &used, &err);
        ck_assert_int_eq(r, 0);
        ck_assert_int_eq((int)used, whole);
        ck_assert_uint_eq(scanned, 0);
        ck_assert_uint_eq(head.field_count, 2);
        ck_assert(head.framing == BODY_LENGTH && head.length == 5 && !head.keep_alive);
        free(piece);
    }
}

/* 64 KiB in as many reads, all of them on one line. */
TEST(a_head_may_trickle_in) {
    static char bytes[RESPONSE_HEAD_MAX];
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, OK "a:", sizeof OK + 1);
    memcpy(bytes + sizeof bytes - 4, "\r\n\r\n", 4);

    size_t scanned = 0, used = 0;
    for (size_t len = 1; len <= sizeof bytes; len++) {
        ck_assert_uint_eq(used, 0);
        struct span span = {bytes, len};
        ck_assert_int_eq(response_head_parse(span, &to_get, &scanned, &head, &used, &err), 0);
        ck_assert_uint_eq(scanned, used ? 0 : len);
    }
    ck_assert_uint_eq(used, sizeof bytes);
    ck_assert_uint_eq(head.field_count, 1);
}

/* What would be noticed if it were read shows what is read: lines once, and all once at the end. */
TEST(lines_are_not_read_again_for_each_line_that_follows) {
    size_t scanned = 0, used = 0;
    ck_assert_int_eq(response_head_parse(S(OK "a: b\r\nc"), &to_get, &scanned, &head, &used, &err),
                     0);
    ck_assert_int_eq(
        response_head_parse(S(OK "a b:\r\nc: d\r\ne:"), &to_get, &scanned, &head, &used, &err), 0);
    ck_assert_int_eq(response_head_parse(S(OK "a b:\r\nc d:\r\ne: f\r\n"), &to_get, &scanned, &head,
                                         &used, &err),
                     0);
    ck_assert_uint_eq(used, 0);

    struct span good = S(OK "a: b\r\nc: d\r\ne: f\r\n\r\n"),
                bad = S(OK "a b:\r\nc: d\r\ne: f\r\n\r\n");
    size_t scanned_too = scanned;
    ck_assert_int_eq(response_head_parse(bad, &to_get, &scanned_too, &head, &used, &err),
                     ERR_SYNTAX);
    ck_assert_int_eq(response_head_parse(good, &to_get, &scanned, &head, &used, &err), 0);
    ck_assert_uint_eq(used, good.len);
    ck_assert_uint_eq(head.field_count, 3);
}

TEST(heads_up_to_the_limit_are_accepted_and_larger_ones_refused) {
    static char bytes[RESPONSE_HEAD_MAX + 100];
    static const int spare[] = {-1, 0, 1, 99};
    for (size_t i = 0; i < ARRAY_LEN(spare); i++) {
        size_t len = (size_t)(RESPONSE_HEAD_MAX + spare[i]);
        memset(bytes, 'x', sizeof bytes);
        memcpy(bytes, OK "a:", sizeof OK + 1);
        memcpy(bytes + len - 4, "\r\n\r\n", 4);
        int r = parse((struct span){bytes, len}, &to_get);
        ck_assert_int_eq(r, spare[i] <= 0 ? (int)len : ERR_LIMIT);
        if (r < 0) ck_assert_str_eq(err.text, "the response has a head of more than 65536 bytes");
    }
    /* Not complete, and never to be; one byte before there is hope. */
    memset(bytes + sizeof OK + 1, 'x', sizeof bytes - sizeof OK - 1);
    ck_assert_int_eq(parse((struct span){bytes, RESPONSE_HEAD_MAX - 1}, &to_get), 0);
    ck_assert_int_eq(parse((struct span){bytes, RESPONSE_HEAD_MAX}, &to_get), ERR_LIMIT);
}

static struct span many_fields(char *to, size_t count) {
    size_t len = (size_t)sprintf(to, OK);
    for (size_t i = 0; i < count; i++) len += (size_t)sprintf(to + len, "a%zu: b\r\n", i);
    len += (size_t)sprintf(to + len, "\r\n");
    return (struct span){to, len};
}

TEST(as_many_fields_as_allowed_are_accepted_and_one_more_is_refused) {
    static char bytes[4096];
    struct span most = many_fields(bytes, RESPONSE_FIELDS_MAX);
    ck_assert_int_eq(parse(most, &to_get), (int)most.len);
    ck_assert_uint_eq(head.field_count, RESPONSE_FIELDS_MAX);
    ck_assert(span_equal_text(head.fields[RESPONSE_FIELDS_MAX - 1].name, "a199"));

    struct span more = many_fields(bytes, RESPONSE_FIELDS_MAX + 1);
    ck_assert_int_eq(parse(more, &to_get), ERR_LIMIT);
    ck_assert_str_eq(err.text, "the response has more than 200 fields");
    ck_assert_int_eq(parse_bytewise(more, &to_get), ERR_LIMIT);
}

TEST(framing_is_what_the_head_says_and_the_request_allows) {
#define LEN "Content-Length: 7\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
    static const struct {
        const char *line;
        const char *fields;
        const struct response_context *context;
        enum body_framing framing;
        bool has_length;
        uint64_t length;
    } rows[] = {
        {OK, "", &to_get, BODY_UNTIL_CLOSE, false, 0},
        {OK, LEN, &to_get, BODY_LENGTH, true, 7},
        {OK, "Content-Length: 0\r\n", &to_get, BODY_LENGTH, true, 0},
        {OK, "Content-Length: 999999999999999999\r\n", &to_get, BODY_LENGTH, true,
         999999999999999999},
        {OK, CHUNKED, &to_get, BODY_CHUNKED, false, 0},
        {OK, LEN, &to_upgrade, BODY_LENGTH, true, 7},
        {"HTTP/1.0 200 OK\r\n", "", &to_get, BODY_UNTIL_CLOSE, false, 0},
        {"HTTP/1.0 200 OK\r\n", LEN, &to_get, BODY_LENGTH, true, 7},
        {"HTTP/1.1 404 x\r\n", LEN, &to_get, BODY_LENGTH, true, 7},
        {"HTTP/1.1 205 x\r\n", "", &to_get, BODY_UNTIL_CLOSE, false, 0},
        {OK, "", &to_head, BODY_NONE, false, 0},
        {OK, LEN, &to_head, BODY_NONE, true, 7},
        {OK, CHUNKED, &to_head, BODY_NONE, false, 0},
        {"HTTP/1.1 204 x\r\n", "", &to_get, BODY_NONE, false, 0},
        {"HTTP/1.1 204 x\r\n", "Content-Length: 0\r\n", &to_get, BODY_NONE, true, 0},
        {"HTTP/1.1 304 x\r\n", "", &to_get, BODY_NONE, false, 0},
        {"HTTP/1.1 304 x\r\n", LEN, &to_get, BODY_NONE, true, 7},
        {"HTTP/1.1 304 x\r\n", CHUNKED, &to_get, BODY_NONE, false, 0},
        {"HTTP/1.1 100 x\r\n", "", &to_get, BODY_NONE, false, 0},
        {"HTTP/1.1 103 x\r\n", "Link: </a>\r\n", &to_get, BODY_NONE, false, 0},
        {"HTTP/1.1 101 x\r\n", "Upgrade: a\r\n", &to_upgrade, BODY_NONE, false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char bytes[128];
        snprintf(bytes, sizeof bytes, "%s%s\r\n", rows[i].line, rows[i].fields);
        ck_assert_msg(parse(span_of(bytes), rows[i].context) > 0, "%s: %s", bytes, err.text);
        ck_assert_msg(head.framing == rows[i].framing, "%s: %d", bytes, head.framing);
        ck_assert_msg(head.has_length == rows[i].has_length, "%s", bytes);
        ck_assert_msg(head.length == rows[i].length, "%s", bytes);
    }
}

TEST(connections_are_kept_only_where_both_sides_know_where_the_answer_ends) {
    static const struct {
        const char *bytes;
        const struct response_context *context;
        bool keep_alive;
    } rows[] = {
        {OK LEN, &to_get, true},
        {OK CHUNKED, &to_get, true},
        {OK "", &to_head, true},
        {"HTTP/1.1 204 x\r\n", &to_get, true},
        {"HTTP/1.1 304 x\r\n", &to_get, true},
        {OK LEN "Connection: keep-alive\r\n", &to_get, true},
        {OK LEN "Connection: x-close, closed, clos\r\n", &to_get, true},
        {OK LEN "Connection:\r\n", &to_get, true},
        {OK LEN "Proxy-Connection: close\r\n", &to_get, true},
        {OK LEN "Connection: close\r\n", &to_get, false},
        {OK LEN "CONNECTION:CLOSE\r\n", &to_get, false},
        {OK LEN "Connection: keep-alive, close\r\n", &to_get, false},
        {OK LEN "Connection: ,, Close\t,x\r\n", &to_get, false},
        {OK LEN "Connection: a\r\nConnection: b\r\nConnection: close\r\n", &to_get, false},
        {OK "Connection: close\r\n", &to_head, false},
        {OK "", &to_get, false},
        {OK "Connection: keep-alive\r\n", &to_get, false},
        {"HTTP/1.0 200 OK\r\n" LEN, &to_get, false},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" LEN, &to_get, false},
        {"HTTP/1.0 200 OK\r\n", &to_head, false},
        {"HTTP/1.1 101 x\r\nConnection: upgrade\r\n", &to_upgrade, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char bytes[128];
        snprintf(bytes, sizeof bytes, "%s\r\n", rows[i].bytes);
        ck_assert_msg(parse(span_of(bytes), rows[i].context) > 0, "%s: %s", bytes, err.text);
        ck_assert_msg(head.keep_alive == rows[i].keep_alive, "%s", bytes);
    }
}

TEST(reasons_quote_names_but_not_at_any_length) {
    static char bytes[1024];
    snprintf(bytes, sizeof bytes, OK "%0500d: \x01\r\n\r\n", 0);
    ck_assert_int_eq(parse(span_of(bytes), &to_get), ERR_SYNTAX);
    ck_assert_uint_eq(strlen(err.text),
                      strlen("the response has a control character in field \"\"") + 64);
}

TEST(nobody_need_ask_for_the_reason) {
    size_t scanned = 0, used = 0;
    ck_assert_int_eq(response_head_parse(S("x"), &to_get, &scanned, &head, &used, NULL),
                     ERR_SYNTAX);
    ck_assert_int_eq(response_head_parse(SPAN_NONE, &to_get, &scanned, &head, &used, NULL), 0);
    ck_assert_uint_eq(used, 0);
}
