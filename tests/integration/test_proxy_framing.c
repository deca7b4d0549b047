/*
 * Framing through the proxy: whatever a client sends, the upstream sees whole requests that were
 * allowed, each framed in one way, and nothing else.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tests/integration/framing_rows.h"
#include "tests/integration/proxied.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define GET "GET / HTTP/1.1\r\nHost: h\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\n"
#define TAIL FRAMING_TAIL
#define ROUTES                                                                                     \
    "  - {path: /*, upstream: up, anonymous: allow}\n"                                             \
    "  - {path: /secret/*, upstream: up}\n"

static struct proxied start(void) {
    return proxied_start(&(struct proxied_options){.routes = ROUTES});
}

static void end(struct proxied *proxied) {
    ck_assert_int_eq(upstream_hits(proxied->upstream, FRAMING_HIDDEN), 0);
    proxied_end(proxied);
}

/* None of it gets through, and the next client is served. */
static void check_refused(struct proxied *proxied, const struct framing_table *table) {
    for (size_t i = 0; i < table->count; i++) {
        proxied_check_last(proxied, table->rows[i].name, table->rows[i].bytes, table->status);
        proxied_check_serves(proxied, table->rows[i].name);
    }
}

/* --- heads ----------------------------------------------------------------------------------- */

TEST(i1_no_length_that_is_not_one_plain_number_gets_through) {
    struct proxied proxied = start();
    check_refused(&proxied, &framing_lengths);
    check_refused(&proxied, &framing_too_large);
    end(&proxied);
}

TEST(i2_no_transfer_coding_that_is_not_exactly_chunked_gets_through) {
    struct proxied proxied = start();
    check_refused(&proxied, &framing_codings);
    end(&proxied);
}

TEST(i5_no_several_or_impossible_hosts_get_through) {
    struct proxied proxied = start();
    check_refused(&proxied, &framing_hosts);
    end(&proxied);
}

TEST(i5_a_host_of_any_good_kind_is_passed_on_as_it_came) {
    struct proxied proxied = start();
    for (const char *const *host = framing_good_hosts; *host; host++) {
        char *request = scratch_text("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", *host);
        const struct upstream_request *seen = proxied_pass(&proxied, span_of(request));
        ck_assert_msg(span_equal_text(upstream_header(seen, "Host"), *host), "%s: %s", *host,
                      seen->raw.ptr);
        free(request);
    }
    end(&proxied);
}

TEST(lines_and_names_and_request_lines_of_another_shape_do_not_get_through) {
    struct proxied proxied = start();
    check_refused(&proxied, &framing_lines);
    check_refused(&proxied, &framing_names);
    check_refused(&proxied, &framing_request_lines);
    check_refused(&proxied, &framing_versions);
    end(&proxied);
}

TEST(control_characters_in_values_do_not_get_through) {
    struct proxied proxied = start();
    for (int c = 0; c < 0x20 || c == 0x7f; c = c == 0x1f ? 0x7f : c + 1) {
        if (c == '\t' || c == '\n') continue; /* a space; the end of a line, tested above */
        char request[] = GET "A: b?c\r\n\r\n" TAIL;
        *strchr(request, '?') = (char)c;
        proxied_check_last(&proxied, "a control character",
                           (struct span){request, sizeof request - 1}, 400);
    }
    struct span tab = S(GET "A: b\tc\r\n\r\n");
    ck_assert(span_equal_text(upstream_header(proxied_pass(&proxied, tab), "A"), "b\tc"));
    end(&proxied);
}

/* --- I3: one byte anywhere in the line that frames ------------------------------------------- */

static const struct gadget {
    const char *head, *before, *behind; /* the byte is between these two */
    const char *body;
} gadgets[] = {
#define WITH_LENGTH POST "Connection: close\r\nContent-Length: 40\r\n"
#define CHUNKS "0\r\n\r\n" TAIL
    {WITH_LENGTH, "", "Transfer-Encoding: chunked", CHUNKS},
    {WITH_LENGTH, "Transfer", "-Encoding: chunked", CHUNKS},
    {WITH_LENGTH, "Transfer", "Encoding: chunked", CHUNKS},
    {WITH_LENGTH, "Transfer-Encoding", ": chunked", CHUNKS},
    {WITH_LENGTH, "Transfer-Encoding:", "chunked", CHUNKS},
    {WITH_LENGTH, "Transfer-Encoding: ch", "unked", CHUNKS},
    {WITH_LENGTH, "Transfer-Encoding: chunked", "", CHUNKS},
    {WITH_LENGTH, "Transfer-Encoding: ", "chunked, identity", CHUNKS},
    {WITH_LENGTH, "X: y", "Transfer-Encoding: chunked", CHUNKS},
#define WITH_CHUNKS POST "Connection: close\r\nTransfer-Encoding: chunked\r\n"
    {WITH_CHUNKS, "", "Content-Length: 40", CHUNKS},
    {WITH_CHUNKS, "Content", "Length: 40", CHUNKS},
    {WITH_CHUNKS, "Content-Length", ": 40", CHUNKS},
    {WITH_CHUNKS, "Content-Length: ", "40", CHUNKS},
    {WITH_CHUNKS, "Content-Length: 40", "", CHUNKS},
    {WITH_CHUNKS, "X: y", "Content-Length: 40", CHUNKS},
};

static void try_gadget(struct proxied *proxied, const struct gadget *gadget, int byte,
                       int *ret_status) {
    char name[128];
    struct buf bytes = buf_make(4096);
    buf_add_text(&bytes, gadget->head);
    buf_add_text(&bytes, gadget->before);
    buf_add_char(&bytes, (char)byte);
    buf_addf(&bytes, "%s\r\n\r\n%s", gadget->behind, gadget->body);
    snprintf(name, sizeof name, "%s\\x%02x%s", gadget->before, (unsigned)byte, gadget->behind);
    bool closed;
    char *answer = scene_talk(&proxied->scene, buf_span(&bytes), 5000, 5000, &closed);
    int answers = scene_count_answers(answer, false, ret_status);
    ck_assert_msg(answers == 1 && closed, "%s: %s", name, answer);
    ck_assert_msg(*ret_status == 200 || *ret_status == 400, "%s: %s", name, answer);
    free(answer);
    buf_done(&bytes);
}

/* One framing, and nothing that an upstream could take for another. */
static void check_framing(const struct upstream_request *seen) {
    int lengths = proxied_count(seen, "Content-Length");
    int codings = proxied_count(seen, "Transfer-Encoding");
    ck_assert_msg(lengths + codings == 1, "%s", seen->raw.ptr);
}

TEST_WITHIN(i3_no_byte_in_a_framing_line_makes_one_request_two, 120) {
    struct proxied proxied = start();
    int status, served = 0, refused = 0;
    ck_assert_uint_eq(strlen(CHUNKS), 40);
    for (size_t i = 0; i < ARRAY_LEN(gadgets); i++) {
        for (int byte = 0; byte < 256; byte++) {
            try_gadget(&proxied, &gadgets[i], byte, &status);
            *(status == 200 ? &served : &refused) += 1;
        }
    }
    ck_assert_int_gt(served, 500);
    ck_assert_int_gt(refused, 1500);
    proxied.allowed = served;
    for (int i = 0; i < served; i++) check_framing(upstream_request(proxied.upstream, i));
    end(&proxied);
}

/* --- I4: chunks ------------------------------------------------------------------------------ */

/* head, with what a chunked body needs, the row's bytes and the tail. The caller frees it. */
static struct buf chunked(const char *head, const struct framing_row *row, const char *tail) {
    struct buf bytes = buf_make(1 << 20);
    buf_addf(&bytes, "%sTransfer-Encoding: chunked\r\n\r\n", head);
    buf_add(&bytes, row->bytes);
    buf_add_text(&bytes, tail);
    return bytes;
}

static void check_framed_anew(const struct framing_table *table) {
    struct proxied proxied = start();
    for (size_t i = 0; i < table->count; i++) {
        const struct framing_row *row = &table->rows[i];
        struct buf bytes = chunked(POST, row, "");
        const struct upstream_request *seen = proxied_pass(&proxied, buf_span(&bytes));
        ck_assert_msg(span_equal_text(seen->body, "hello"), "%s: %s", row->name, seen->raw.ptr);
        ck_assert(seen->chunked && seen->state == UPSTREAM_WHOLE);
        ck_assert_msg(!memchr(seen->raw.ptr + seen->head.len, ';', seen->raw.len - seen->head.len),
                      "%s: %s", row->name, seen->raw.ptr);
        buf_done(&bytes);
    }
    end(&proxied);
}

TEST(i4_sound_chunks_are_framed_anew) {
    check_framed_anew(&framing_sound_chunks);
}

/* libmicrohttpd takes these lines, and shows nobody how they ended. What the upstream gets is sound
 * all the same. */
TEST(i4_chunk_lines_that_end_in_lf_alone_are_framed_anew) {
    check_framed_anew(&framing_lf_chunks);
}

TEST(i4_nothing_of_a_chunk_extension_is_passed_on) {
    check_framed_anew(&framing_hiding_chunks);
}

/* The head may be on its way when a chunk turns out to be bad; the end never comes then. */
static void check_never_whole(struct proxied *proxied, const struct framing_row *row) {
    struct buf bytes = chunked(POST, row, TAIL);
    bool closed;
    int first;
    proxied->begun++;
    char *answer = scene_talk(&proxied->scene, buf_span(&bytes), 5000, 5000, &closed);
    int answers = scene_count_answers(answer, false, &first);
    ck_assert_msg(first == 400 || first == 413, "%s: %d: %s", row->name, first, answer);
    ck_assert_msg(answers == 1 && closed, "%s: %s", row->name, answer);
    free(answer);
    buf_done(&bytes);
    proxied_check_serves(proxied, row->name);
}

static void check_none_whole(const struct framing_table *table) {
    struct proxied proxied = start();
    for (size_t i = 0; i < table->count; i++) check_never_whole(&proxied, &table->rows[i]);
    end(&proxied);
}

TEST(i4_a_body_with_a_bad_chunk_never_comes_to_an_end) {
    check_none_whole(&framing_bad_chunks);
}

TEST(i4_trailers_are_read_as_strictly_as_libmicrohttpd_shows_them) {
    check_none_whole(&framing_lax_trailers);
}

/* The client alone ends it, by hanging up. */
TEST(i4_a_chunk_of_every_size_there_is_swallows_what_follows) {
    static const struct framing_row row = {"2^64 - 1", S("FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n")};
    struct proxied proxied = start();
    struct buf bytes = chunked(POST, &row, TAIL);
    bool closed;
    proxied.begun++;
    free(scene_talk(&proxied.scene, buf_span(&bytes), 300, 300, &closed));
    buf_done(&bytes);
    proxied_check_serves(&proxied, row.name);
    end(&proxied);
}

/* The line is neither taken nor refused by itself: no buffer holds it. Nobody else must wait or pay
 * for that. */
static void check_endless_line(const char *start_of_line, const char *what) {
    struct proxied proxied = start();
    static char endless[256 * 1024 + 1];
    memset(endless, 'a', sizeof endless - 1);
    char *body = scratch_text("%s%s\r\n\r\n", start_of_line, endless);
    struct framing_row row = {what, span_of(body)};
    struct buf bytes = chunked(POST, &row, TAIL);
    bool closed;
    proxied.begun++;
    char *answer = scene_talk(&proxied.scene, buf_span(&bytes), 5000, 5000, &closed);
    ck_assert_msg(closed, "%s: neither answered nor closed: %.300s", what, answer);
    ck_assert_msg(*answer == '\0' || strstr(answer, " 400 ") || strstr(answer, " 413 ") ||
                      strstr(answer, " 431 "),
                  "%s: %s", what, answer);
    free(answer);
    buf_done(&bytes);
    free(body);
    proxied_check_serves(&proxied, what);
    end(&proxied);
}

TEST(i4_a_chunk_extension_without_end_is_refused) {
    check_endless_line("5;a=", "an extension");
}

TEST(i4_a_chunk_size_without_end_is_refused) {
    check_endless_line("5\r\nhello\r\n0000", "a size");
}

TEST(i4_a_trailer_without_end_is_refused) {
    check_endless_line("5\r\nhello\r\n0\r\nX-Fine: ", "a trailer");
}

/* --- A10: trailers --------------------------------------------------------------------------- */

#define CHUNKED_HELLO "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"

TEST(a10_a_token_in_a_trailer_opens_nothing) {
    struct proxied proxied = start();
    char *request = scratch_text(
        "POST /secret/x HTTP/1.1\r\nHost: h\r\nTrailer: Authorization\r\n" CHUNKED_HELLO
        "Authorization: Bearer %s\r\n\r\n" TAIL,
        proxied.scene.token);
    proxied_check_last(&proxied, "a token in a trailer", span_of(request), 401);
    free(request);
    end(&proxied);
}

TEST(a10_no_trailer_that_a_head_could_not_have_is_passed_on) {
    static const char *const kept_back[] = {
        "Authorization",
        "authorization",
        "Proxy-Authorization",
        "X-Auth-User",
        "x_auth_user",
        "X.Auth.Subject",
        "X-Auth-Assertion",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "transfer_encoding",
        "Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Cookie",
        "Content-Type",
        "X-Forwarded-For",
        "Forwarded",
        "X-Real-IP",
        "X-Request-Id",
        "X-Original-URL",
        "X-HTTP-Method-Override",
    };
    struct proxied proxied = start();
    struct buf request = buf_make(65536);
    buf_addf(&request,
             "POST /secret/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n"
             "Trailer: X-Fine, Authorization\r\n" CHUNKED_HELLO "X-Fine: 1\r\n",
             proxied.scene.token);
    for (size_t i = 0; i < ARRAY_LEN(kept_back); i++)
        buf_addf(&request, "%s: 7evil\r\n", kept_back[i]);
    buf_add_text(&request, "X-Also: 2\r\n\r\n");
    const struct upstream_request *seen = proxied_pass(&proxied, buf_span(&request));
    ck_assert_msg(span_equal_text(seen->trailer, "X-Fine: 1\r\nX-Also: 2\r\n"), "%s",
                  seen->raw.ptr);
    ck_assert_msg(!memmem(seen->raw.ptr, seen->raw.len, "7evil", 5), "%s", seen->raw.ptr);
    ck_assert_int_eq(upstream_header_count(seen, "Authorization"), 0);
    ck_assert_int_eq(upstream_header_count(seen, "Trailer"), 0);
    buf_done(&request);
    end(&proxied);
}

TEST(a10_trailers_of_one_request_are_not_those_of_the_next) {
    struct proxied proxied = start();
    struct client *client = client_connect(proxied.scene.daemon->port);
    for (int i = 0; i < 4; i++) {
        struct response response;
        ck_assert(client_sendf(client, POST CHUNKED_HELLO "%s\r\n", i % 2 ? "" : "X-Fine: 1\r\n"));
        ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
        client_response_done(&response);
        const struct upstream_request *seen = upstream_request(proxied.upstream, proxied.allowed++);
        ck_assert(span_equal_text(seen->trailer, i % 2 ? "" : "X-Fine: 1\r\n"));
    }
    client_free(client);
    end(&proxied);
}

/* --- I6: one behind the other ---------------------------------------------------------------- */

static void check_statuses(struct client *client, const int *statuses, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct response response;
        ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
        ck_assert_msg(response.status == statuses[i], "answer %zu: %d", i, response.status);
        client_response_done(&response);
    }
}

TEST(i6_pipelined_requests_reach_the_upstream_in_order_each_judged_alone) {
    static const int expected[] = {200, 401, 200, 200, 404, 200};
    static const char *const users[] = {"alice@example.com", NULL, NULL, "alice@example.com"};
    static const char *const targets[] = {"/secret/1", "/3", "/4", "/secret/6"};
    struct proxied proxied = proxied_start(
        &(struct proxied_options){.routes = "  - {path: /secret/*, upstream: up}\n"
                                            "  - {path: /3, upstream: up, anonymous: allow}\n"
                                            "  - {path: /4, upstream: up, anonymous: allow}\n"});
    struct client *client = client_connect(proxied.scene.daemon->port);
    const char *token = proxied.scene.token;
    ck_assert(client_sendf(client,
                           "GET /secret/1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n"
                           "GET /secret/2 HTTP/1.1\r\nHost: h\r\n\r\n"
                           "POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 42\r\n\r\n"
                           "GET /secret/0 HTTP/1.1\r\nHost: h\r\nX: 12\r\n\r\n"
                           "POST /4 HTTP/1.1\r\nHost: h\r\n" CHUNKED_HELLO "\r\n"
                           "GET /5 HTTP/1.1\r\nHost: h\r\n\r\n"
                           "GET /secret/6 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
                           token, token));
    check_statuses(client, expected, ARRAY_LEN(expected));
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        const struct upstream_request *seen = upstream_request(proxied.upstream, proxied.allowed++);
        ck_assert_msg(span_equal_text(seen->target, targets[i]), "%s", seen->raw.ptr);
        struct span user = upstream_header(seen, "X-Auth-User");
        ck_assert_msg(users[i] ? span_equal_text(user, users[i]) : span_is_absent(user), "%s",
                      seen->raw.ptr);
    }
    client_free(client);
    end(&proxied);
}

TEST(i6_behind_a_bad_request_nothing_reaches_the_upstream) {
    static const struct framing_row rows[] = {
        {"two hosts", S(GET "Host: x\r\n\r\n")},
        {"CL+TE", S(GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")},
        {"folded", S(GET "A: b\r\n c\r\n\r\n")},
        {"NUL", S(GET "A: b\0\r\n\r\n")},
        {"bare LF", S(GET "A: b\n\r\n")},
        {"target", S("GET http://x/ HTTP/1.1\r\nHost: h\r\n\r\n")},
        {"name", S(GET "A B: c\r\n\r\n")},
    };
    struct proxied proxied = start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf bytes = buf_make(4096);
        buf_add_text(&bytes, GET "\r\n" GET "\r\n");
        buf_add(&bytes, rows[i].bytes);
        buf_add_text(&bytes, TAIL TAIL);
        bool closed;
        int first;
        char *answer = scene_talk(&proxied.scene, buf_span(&bytes), 5000, 5000, &closed);
        int answers = scene_count_answers(answer, false, &first);
        ck_assert_msg(answers == 3 && closed, "%s: %d: %s", rows[i].name, answers, answer);
        ck_assert_msg(strstr(answer, "HTTP/1.1 400 "), "%s: %s", rows[i].name, answer);
        proxied.allowed += 2;
        free(answer);
        buf_done(&bytes);
        proxied_check_serves(&proxied, rows[i].name);
    }
    end(&proxied);
}

TEST(i6_a_refusal_that_leaves_a_body_unread_closes_and_what_is_in_it_is_no_request) {
    static const struct {
        const char *head;
        int status;
    } rows[] = {
        {"POST /secret/x HTTP/1.1\r\nHost: h\r\n", 401},
        {POST "Authorization: Bearer x\r\n", 401},
        {POST "Authorization: Bearer\r\n", 400},
        {"POST /public/..;/x HTTP/1.1\r\nHost: h\r\n", 400},
    };
    struct proxied proxied = start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *by_length =
            scratch_text("%sContent-Length: %zu\r\n\r\n" TAIL TAIL, rows[i].head, strlen(TAIL));
        char *by_chunks = scratch_text("%s" CHUNKED_HELLO "\r\n" TAIL, rows[i].head);
        proxied_check_last(&proxied, rows[i].head, span_of(by_length), rows[i].status);
        proxied_check_last(&proxied, rows[i].head, span_of(by_chunks), rows[i].status);
        free(by_chunks);
        free(by_length);
    }
    end(&proxied);
}

/* An upstream that does not wait for the body must not find the rest of it taken for a request. */
TEST(i6_a_body_that_the_upstream_did_not_read_is_no_request) {
    struct proxied proxied = start();
    upstream_script(
        proxied.upstream, "/early",
        UPSTREAM_STEPS(UPSTREAM_SEND("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")));
    for (int i = 0; i < 10; i++) {
        struct client *client = client_connect(proxied.scene.daemon->port);
        struct response response;
        proxied.begun++;
        ck_assert(client_sendf(client, "POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n"
                                       "\r\n" TAIL));
        ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 200);
        ck_assert(span_equal_text(response_header(&response, "Connection"), "close"));
        client_response_done(&response);
        (void)client_send(client, S(TAIL));
        client_free(client);
        proxied_check_serves(&proxied, "an early answer");
    }
    end(&proxied);
}

/* --- I7: Expect ------------------------------------------------------------------------------ */

TEST(i7_a_bad_token_is_refused_before_any_100_and_nothing_is_passed_on) {
    static const struct {
        const char *head;
        int status;
    } rows[] = {
        {"POST /secret/x HTTP/1.1\r\nHost: h\r\n", 401},
        {POST "Authorization: Bearer x\r\n", 401},
        {"POST /a/../../b HTTP/1.1\r\nHost: h\r\n", 400},
    };
    struct proxied proxied = start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *request =
            scratch_text("%sExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", rows[i].head);
        proxied_check_last(&proxied, rows[i].head, span_of(request), rows[i].status);
        free(request);
    }
    end(&proxied);
}

TEST(i7_what_is_expected_is_asked_of_the_upstream_once_and_nothing_else) {
    static const struct {
        const char *expect, *asked;
    } rows[] = {
        {"Expect: 100-continue\r\n", "100-continue"},
        {"expect: 100-Continue\r\n", "100-continue"},
        {"Expect: 200-ok\r\n", NULL},
        {"Expect: 100-continue, x\r\n", NULL},
        {"", NULL},
    };
    struct proxied proxied = start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client *client = client_connect(proxied.scene.daemon->port);
        struct response response;
        ck_assert(client_sendf(client, POST "%sContent-Length: 5\r\n\r\n", rows[i].expect));
        if (rows[i].asked) {
            ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
            ck_assert_msg(response.status == 100, "%s: %d", rows[i].expect, response.status);
            client_response_done(&response);
        }
        ck_assert(client_send(client, S("hello")));
        ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
        ck_assert_msg(response.status == 200, "%s: %d", rows[i].expect, response.status);
        client_response_done(&response);
        client_free(client);
        const struct upstream_request *seen = upstream_request(proxied.upstream, proxied.allowed++);
        struct span asked = upstream_header(seen, "Expect");
        ck_assert_int_eq(upstream_header_count(seen, "Expect"), rows[i].asked ? 1 : 0);
        if (rows[i].asked) ck_assert(span_equal_text(asked, rows[i].asked));
        ck_assert(span_equal_text(seen->body, "hello"));
    }
    end(&proxied);
}

/* --- I8: other protocols --------------------------------------------------------------------- */

#define WEBSOCKET "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define SWITCH                                                                                     \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

TEST(i8_h2c_and_what_could_carry_requests_is_never_asked_of_the_upstream) {
    static const char *const upgrades[] = {
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: upgrade\r\nUpgrade: H2C\r\n",
        "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: upgrade\r\nUpgrade: h2c, websocket\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Connection: upgrade\r\nUpgrade: h2c/1\r\n",
        "Connection: upgrade\r\nUpgrade: h2\r\n",
        "Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n",
        "Connection: upgrade\r\nUpgrade: TLS/1.2\r\n",
        "Connection: upgrade\r\nUpgrade:\r\n",
        "Connection: upgrade\r\nUpgrade: a b\r\n",
        "Connection: keep-alive\r\nUpgrade: websocket\r\n" WEBSOCKET,
        "Upgrade: websocket\r\n" WEBSOCKET,
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: upgrade\r\nU_pgrade: h2c\r\n",
    };
    struct proxied proxied = start();
    for (size_t i = 0; i < ARRAY_LEN(upgrades); i++) {
        const struct upstream_request *seen = proxied_get(&proxied, "/", upgrades[i]);
        ck_assert_msg(!strcasestr(seen->raw.ptr, "pgrade"), "%s: %s", upgrades[i], seen->raw.ptr);
        ck_assert_msg(!strcasestr(seen->raw.ptr, "h2c"), "%s: %s", upgrades[i], seen->raw.ptr);
        ck_assert_msg(!strcasestr(seen->raw.ptr, "http2"), "%s: %s", upgrades[i], seen->raw.ptr);
        ck_assert_int_eq(upstream_header_count(seen, "Connection"), 0);
    }
    end(&proxied);
}

TEST(i8_an_upstream_cannot_switch_a_client_that_did_not_ask) {
    struct proxied proxied = start();
    upstream_answer(proxied.upstream, "/", SWITCH);
    static const char *const upgrades[] = {
        "", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(upgrades); i++) {
        char *request = scene_get("/", upgrades[i]);
        proxied.allowed++;
        proxied_refuse(&proxied, span_of(request), 502);
        free(request);
    }
    end(&proxied);
}

TEST(i8_a_websocket_is_asked_for_in_one_way_and_then_is_a_tunnel) {
    struct proxied proxied = start();
    upstream_script(proxied.upstream, "/secret/ws",
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(SWITCH), UPSTREAM_ECHO));
    proxied_refuse(&proxied,
                   S("GET /secret/ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
                     "Upgrade: websocket\r\n" WEBSOCKET "\r\n"),
                   401);
    struct client *client = client_connect(proxied.scene.daemon->port);
    struct response response;
    ck_assert(client_sendf(client,
                           "GET /secret/ws HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n"
                           "Connection: keep-alive, Upgrade, X-Fine\r\nX-Fine: 1\r\n"
                           "Upgrade: websocket\r\n" WEBSOCKET "\r\n",
                           proxied.scene.token));
    ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
    ck_assert_int_eq(response.status, 101);
    client_response_done(&response);
    ck_assert(client_send(client, S("HTTP/1.1 200 echo\r\nContent-Length: 0\r\n\r\n")));
    ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
    ck_assert_int_eq(response.status, 200);
    client_response_done(&response);
    client_free(client);

    const struct upstream_request *seen = upstream_request(proxied.upstream, proxied.allowed++);
    ck_assert(span_equal_text(upstream_header(seen, "Connection"), "upgrade"));
    ck_assert(span_equal_text(upstream_header(seen, "Upgrade"), "websocket"));
    ck_assert_int_eq(upstream_header_count(seen, "Connection"), 1);
    ck_assert_int_eq(upstream_header_count(seen, "Upgrade"), 1);
    ck_assert_int_eq(upstream_header_count(seen, "X-Fine"), 0);
    ck_assert_int_eq(upstream_header_count(seen, "Sec-WebSocket-Key"), 1);
    ck_assert(upstream_wait(proxied.upstream, UPSTREAM_OPEN, 0, 5000));
    upstream_stop(proxied.upstream);
    scene_end(&proxied.scene);
}
