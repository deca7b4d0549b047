#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "server/proxy/response.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define LAST "0\r\n\r\n"

static struct err_text err;

static struct body begin(enum body_framing framing, uint64_t length) {
    static struct response_head head;
    struct body body;
    head.framing = framing;
    head.length = length;
    body_begin(&body, &head);
    return body;
}

/*
 * Feed bytes in pieces of at most step, each from a place of its own, and collect the data. Returns
 * the error, or the bytes that were used.
 */
static int feed(struct body *body, struct span bytes, size_t step, struct buf *data) {
    size_t at = 0;
    while (at < bytes.len) {
        size_t len = bytes.len - at < step ? bytes.len - at : step, used = 0;
        struct span got = SPAN_NONE;
        char *copy = malloc(len);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, bytes.ptr + at, len);
        err.text[0] = '\0';
        int r = body_take(body, (struct span){copy, len}, &got, &used, &err);
        if (r == 0) {
            ck_assert(got.len == 0 || (got.ptr >= copy && got.ptr + got.len <= copy + used));
            ck_assert_uint_le(used, len);
            buf_add(data, got);
        }
        free(copy);
        if (r < 0) return r;
        if (used == 0) break;
        at += used;
    }
    return (int)at;
}

TEST(a_body_of_known_length_ends_there) {
    static const size_t steps[] = {1, 3, 5, 100};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct body body = begin(BODY_LENGTH, 5);
        struct buf data = buf_make(100);
        ck_assert(!body_ended(&body) && !body_may_end(&body));
        ck_assert_int_eq(feed(&body, S("hell"), steps[i], &data), 4);
        ck_assert(!body_ended(&body) && !body_may_end(&body));
        ck_assert_int_eq(feed(&body, S("oHTTP/1.1"), steps[i], &data), 1);
        ck_assert(body_ended(&body) && body_may_end(&body));
        ck_assert_int_eq(feed(&body, S("HTTP/1.1"), steps[i], &data), 0);
        ck_assert(span_equal_text(buf_span(&data), "hello"));
        buf_done(&data);
        body_done(&body);
    }
}

TEST(no_body_ends_before_it_begins) {
    static const enum body_framing framings[] = {BODY_NONE, BODY_LENGTH};
    for (size_t i = 0; i < ARRAY_LEN(framings); i++) {
        struct body body = begin(framings[i], framings[i] == BODY_NONE ? 7 : 0);
        struct buf data = buf_make(100);
        ck_assert(body_ended(&body) && body_may_end(&body));
        ck_assert_int_eq(feed(&body, S("HTTP/1.1"), 100, &data), 0);
        ck_assert_uint_eq(data.len, 0);
        buf_done(&data);
        body_done(&body);
    }
}

TEST(a_body_until_close_takes_all_and_may_end_anywhere) {
    struct body body = begin(BODY_UNTIL_CLOSE, 0);
    struct buf data = buf_make(100);
    ck_assert(!body_ended(&body) && body_may_end(&body));
    ck_assert_int_eq(feed(&body, S("0\r\n\r\n\0x"), 4, &data), 7);
    ck_assert(!body_ended(&body) && body_may_end(&body));
    ck_assert(span_equal(buf_span(&data), S("0\r\n\r\n\0x")));
    buf_done(&data);
    body_done(&body);
}

/* Data of a length beyond 32 bits is counted down, not cut. */
TEST(lengths_may_be_larger_than_memory) {
    static char bytes[1 << 16];
    const uint64_t length = 999999999999999999;
    struct body body = begin(BODY_LENGTH, length);
    struct span data;
    size_t used;
    for (int i = 0; i < 100; i++) {
        struct span piece = {bytes, sizeof bytes};
        ck_assert_int_eq(body_take(&body, piece, &data, &used, &err), 0);
        ck_assert(used == sizeof bytes && data.ptr == bytes && data.len == sizeof bytes);
    }
    ck_assert(body.left == length - 100 * sizeof bytes && !body_ended(&body));
    body_done(&body);
}

TEST(chunks_are_taken_out_of_their_framing) {
    static const struct {
        struct span bytes;
        const char *data;
    } rows[] = {
        {S(LAST), ""},
        {S("000\r\n\r\n"), ""},
        {S("000000000000000\r\n\r\n"), ""},
        {S("5\r\nhello\r\n" LAST), "hello"},
        {S("05\r\nhello\r\n" LAST), "hello"},
        {S("000000000000005\r\nhello\r\n" LAST), "hello"},
        {S("1\r\na\r\n1\r\nb\r\n2\r\ncd\r\n" LAST), "abcd"},
        {S("a\r\n0123456789\r\nA\r\n0123456789\r\n" LAST), "01234567890123456789"},
        {S("5\r\n0\r\n\r\n\r\n" LAST), "0\r\n\r\n"},
        {S("1;\r\na\r\n0;x\r\n\r\n"), "a"},
        {S("1;a=b;c=\"d \te\"\r\na\r\n" LAST), "a"},
        {S("1; a = \xc3\xa9\r\na\r\n" LAST), "a"},
        {S("1\r\na\r\n0\r\nDigest: x\r\n\r\n"), "a"},
    };
    static const size_t steps[] = {1, 2, 3, 7, 100};
    for (size_t i = 0; i < ARRAY_LEN(rows) * ARRAY_LEN(steps); i++) {
        size_t row = i / ARRAY_LEN(steps), step = steps[i % ARRAY_LEN(steps)];
        struct body body = begin(BODY_CHUNKED, 0);
        struct buf data = buf_make(100), whole = buf_make(100);
        buf_add(&whole, rows[row].bytes);
        buf_add_text(&whole, "HTTP/1.1 200 OK");
        int used = feed(&body, buf_span(&whole), step, &data);
        ck_assert_msg(used == (int)rows[row].bytes.len, "row %zu by %zu: %d, %s", row, step, used,
                      err.text);
        ck_assert_msg(body_ended(&body) && body_may_end(&body), "row %zu by %zu", row, step);
        ck_assert_msg(span_equal_text(buf_span(&data), rows[row].data), "row %zu by %zu", row,
                      step);
        buf_done(&whole);
        buf_done(&data);
        body_done(&body);
    }
}

TEST(a_chunked_body_may_not_end_before_its_last_line) {
    static const char bytes[] = "3\r\nabc\r\n0;x\r\nDigest: x\r\n\r\n";
    struct body body = begin(BODY_CHUNKED, 0);
    struct buf data = buf_make(100);
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        ck_assert_msg(!body_ended(&body) && !body_may_end(&body), "at %zu", i);
        ck_assert_int_eq(feed(&body, (struct span){bytes + i, 1}, 1, &data), 1);
    }
    ck_assert(body_ended(&body) && body_may_end(&body));
    buf_done(&data);
    body_done(&body);
}

#define SIZE "the response has a chunk size that is not 1 to 15 hexadecimal digits"
#define CHUNK_END "the response has a chunk that does not end in CR LF"
#define EXTENSION "the response has a control character in a chunk extension"
#define LINE_END "the response has a line that does not end in CR LF"
#define FOLDED "the response has a folded line"
#define NO_FIELD "the response has a field line without a token and ':'"
#define CONTROL "the response has a control character in field \"a\""

TEST(chunks_that_two_readers_may_read_differently_are_refused) {
    static const struct {
        struct span bytes;
        const char *why;
    } rows[] = {
        /* sizes */
        {S("\r\n"), SIZE},
        {S(";a\r\n"), SIZE},
        {S("x\r\n"), SIZE},
        {S("0x5\r\n"), SIZE},
        {S("+5\r\n"), SIZE},
        {S("-1\r\n"), SIZE},
        {S(" 5\r\n"), SIZE},
        {S("5 \r\n"), SIZE},
        {S("5 ;a\r\n"), SIZE},
        {S("5\t\r\n"), SIZE},
        {S("1_0\r\n"), SIZE},
        {S("5,\r\n"), SIZE},
        {S("5.\r\n"), SIZE},
        {S("5\n"), SIZE},
        {S("5\0\r\n"), SIZE},
        {S("g\r\n"), SIZE},
        {S("/\r\n"), SIZE},
        {S("@\r\n"), SIZE},
        {S("`\r\n"), SIZE},
        {S("0000000000000005\r\n"), SIZE},
        {S("10000000000000000\r\n"), SIZE},
        {S("fffffffffffffffff\r\n"), SIZE},
        {S("5\r\nhello\r\n\r\n"), SIZE},
        /* ends */
        {S("5\rx"), CHUNK_END},
        {S("5\r\r\n"), CHUNK_END},
        {S("5;a\rx"), CHUNK_END},
        {S("5\r\nhello\n"), CHUNK_END},
        {S("5\r\nhello0"), CHUNK_END},
        {S("5\r\nhello!\r\n"), CHUNK_END},
        {S("5\r\nhello\rx"), CHUNK_END},
        {S("5\r\nhell\r\n0\r\n"), CHUNK_END},
        /* extensions */
        {S("5;\n"), EXTENSION},
        {S("5;a\nhello\r\n"), EXTENSION},
        {S("5;a=\"\0\"\r\n"), EXTENSION},
        {S("5;\x1b\r\n"), EXTENSION},
        {S("5;\x7f\r\n"), EXTENSION},
        /* trailers */
        {S("0\r\n\n"), LINE_END},
        {S("0\r\na: b\n\r\n"), LINE_END},
        {S("0\r\na: b\r\n\n"), LINE_END},
        {S("0\r\n a: b\r\n"), FOLDED},
        {S("0\r\na: b\r\n c\r\n"), FOLDED},
        {S("0\r\nHTTP/1.1 200 OK\r\n"), NO_FIELD},
        {S("0\r\na : b\r\n"), NO_FIELD},
        {S("0\r\n: b\r\n"), NO_FIELD},
        {S("0\r\n\r\r\n"), NO_FIELD},
        {S("0\r\na: b\0\r\n"), CONTROL},
        {S("0\r\na: b\rc: d\r\n"), CONTROL},
    };
    static const size_t steps[] = {1, 2, 100};
    for (size_t i = 0; i < ARRAY_LEN(rows) * ARRAY_LEN(steps); i++) {
        size_t row = i / ARRAY_LEN(steps), step = steps[i % ARRAY_LEN(steps)];
        struct body body = begin(BODY_CHUNKED, 0);
        struct buf data = buf_make(100);
        int r = feed(&body, rows[row].bytes, step, &data);
        ck_assert_msg(r == ERR_SYNTAX, "row %zu by %zu, %s: %d", row, step, rows[row].why, r);
        ck_assert_msg(strcmp(err.text, rows[row].why) == 0, "row %zu by %zu, %s: %s", row, step,
                      rows[row].why, err.text);
        ck_assert(!body_ended(&body) && !body_may_end(&body));
        buf_done(&data);
        body_done(&body);
    }
}

TEST(the_largest_chunk_size_is_taken_as_it_is) {
    struct body body = begin(BODY_CHUNKED, 0);
    struct buf data = buf_make(100);
    ck_assert_int_eq(feed(&body, S("FFFFFffffffffff\r\nx"), 100, &data), 18);
    ck_assert_uint_eq(body.left, 0xffffffffffffffe);
    buf_done(&data);
    body_done(&body);
}

/* All chunks share one allowance: a byte of data must not cost kilobytes again and again. */
TEST(extensions_of_all_chunks_together_are_limited) {
    static const int lens[] = {1024, 1025};
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        struct body body = begin(BODY_CHUNKED, 0);
        struct buf data = buf_make(100), bytes = buf_make(8192);
        for (int chunk = 0; chunk < 4; chunk++) {
            buf_addf(&bytes, "1;%0*d\r\nx\r\n", chunk == 3 ? lens[i] : 1024, 0);
        }
        buf_add_text(&bytes, LAST);
        int r = feed(&body, buf_span(&bytes), 1000, &data);
        ck_assert_int_eq(r, lens[i] == 1024 ? (int)bytes.len : ERR_LIMIT);
        if (r < 0)
            ck_assert_str_eq(err.text, "the response has more than 4096 bytes of chunk extensions");
        buf_done(&bytes);
        buf_done(&data);
        body_done(&body);
    }
}

TEST(trailers_are_kept_until_the_body_is_done_with) {
    static const struct span bytes = S("2\r\nab\r\n0\r\nDigest: x=\r\nX-Empty:\r\nA:\tb \r\n\r\n");
    for (size_t step = 1; step <= bytes.len; step++) {
        struct body body = begin(BODY_CHUNKED, 0);
        struct buf data = buf_make(100);
        struct field fields[4];
        ck_assert_int_eq(feed(&body, span_until(bytes, bytes.len - 1), step, &data),
                         (int)bytes.len - 1);
        ck_assert_uint_eq(body_trailers(&body, fields, 4), 0);
        ck_assert_int_eq(feed(&body, S("\n"), 1, &data), 1);
        ck_assert_uint_eq(body_trailers(&body, fields, 4), 3);
        ck_assert(span_equal_text(fields[0].name, "Digest"));
        ck_assert(span_equal_text(fields[0].value, "x="));
        ck_assert(span_equal_text(fields[1].name, "X-Empty"));
        ck_assert(span_equal_text(fields[1].value, ""));
        ck_assert(span_equal_text(fields[2].value, "b"));
        ck_assert_uint_eq(body_trailers(&body, fields, 2), 2);
        ck_assert_uint_eq(body_trailers(&body, NULL, 0), 0);
        buf_done(&data);
        body_done(&body);
    }
}

TEST(a_body_without_trailers_has_none_and_takes_no_memory) {
    static const enum body_framing framings[] = {BODY_NONE, BODY_LENGTH, BODY_CHUNKED};
    for (size_t i = 0; i < ARRAY_LEN(framings); i++) {
        struct body body = begin(framings[i], 1);
        struct buf data = buf_make(100);
        struct field field;
        ck_assert_int_ge(feed(&body, S("1\r\nx\r\n" LAST), 100, &data), 0);
        ck_assert(body_ended(&body));
        ck_assert_uint_eq(body_trailers(&body, &field, 1), 0);
        ck_assert_ptr_null(body.trailers.data);
        buf_done(&data);
        body_done(&body);
    }
}

TEST(trailers_up_to_the_limit_are_accepted_and_larger_ones_refused) {
    static const size_t steps[] = {1, 1000, 100000};
    for (size_t i = 0; i < 2 * ARRAY_LEN(steps); i++) {
        bool larger = i % 2;
        struct body body = begin(BODY_CHUNKED, 0);
        struct buf data = buf_make(100), bytes = buf_make(32768);
        struct field fields[3];
        buf_addf(&bytes, "0\r\na: b\r\nc:%0*d\r\n\r\n",
                 (int)(RESPONSE_TRAILERS_MAX - strlen("a: b\r\nc:\r\n\r\n")) + larger, 0);
        int r = feed(&body, buf_span(&bytes), steps[i / 2], &data);
        ck_assert_int_eq(r, larger ? ERR_LIMIT : (int)bytes.len);
        ck_assert_uint_eq(body_trailers(&body, fields, 3), larger ? 0 : 2);
        if (larger)
            ck_assert_str_eq(err.text, "the response has trailers of more than 16384 bytes");
        buf_done(&bytes);
        buf_done(&data);
        body_done(&body);
    }
}

TEST(a_failed_call_leaves_its_results_alone) {
    struct body body = begin(BODY_CHUNKED, 0);
    struct span data = S("kept");
    size_t used = 7;
    ck_assert_int_eq(body_take(&body, S("x"), &data, &used, NULL), ERR_SYNTAX);
    ck_assert(span_equal_text(data, "kept") && used == 7);
    body_done(&body);
}
