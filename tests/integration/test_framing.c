/*
 * One reading of where a request begins and ends, or none: what two servers could read differently
 * is refused, the connection is closed, and nothing behind it is answered.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define QUIET_MS (SCENE_SANITIZED ? 400 : 100)
#define S(text) SPAN_LITERAL(text)
#define GET "GET / HTTP/1.1\r\nHost: h\r\n"
/* What an attacker hopes to have answered as a second request. */
#define TAIL "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"

struct row {
    const char *name;
    struct span bytes;
};

static struct scene start(void) {
    return scene_start(&(struct scene_options){0});
}

/* Each is refused with status as the only answer, also where a request follows, and the connection
 * is closed. */
static void check_refused(const struct row *rows, size_t count, int status) {
    struct scene scene = start();
    for (size_t i = 0; i < count; i++) {
        bool closed;
        int first;
        char *answer = scene_talk(&scene, rows[i].bytes, 5000, 5000, &closed);
        int answers = scene_count_answers(answer, false, &first);
        ck_assert_msg(first == status, "%s: %d: %s", rows[i].name, first, answer);
        ck_assert_msg(answers == 1, "%s: %d answers: %s", rows[i].name, answers, answer);
        ck_assert_msg(closed, "%s: not closed", rows[i].name);
        ck_assert_msg(!strstr(answer, "smuggled"), "%s", rows[i].name);
        free(answer);
        scene_check_serves(&scene, rows[i].name);
    }
    scene_end(&scene);
}
#define CHECK_REFUSED(rows, status) check_refused(rows, ARRAY_LEN(rows), status)

/* --- I1: lengths ----------------------------------------------------------------------------- */

TEST(i1_a_length_that_is_not_one_plain_number_is_400) {
    static const struct row rows[] = {
        {"CL+TE", S(GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" TAIL)},
        {"TE+CL", S(GET "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" TAIL)},
        {"CL 0+TE", S(GET "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" TAIL)},
        {"two different", S(GET "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" TAIL)},
        {"two the same", S(GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" TAIL)},
        {"0 and 5", S(GET "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello" TAIL)},
        {"5,5", S(GET "Content-Length: 5,5\r\n\r\nhello" TAIL)},
        {"5, 6", S(GET "Content-Length: 5, 6\r\n\r\nhello" TAIL)},
        {"+5", S(GET "Content-Length: +5\r\n\r\nhello" TAIL)},
        {"-0", S(GET "Content-Length: -0\r\n\r\n" TAIL)},
        {"-1", S(GET "Content-Length: -1\r\n\r\n" TAIL)},
        {"0x5", S(GET "Content-Length: 0x5\r\n\r\nhello" TAIL)},
        {"5 5", S(GET "Content-Length: 5 5\r\n\r\nhello" TAIL)},
        {"5;", S(GET "Content-Length: 5;\r\n\r\nhello" TAIL)},
        {"5.0", S(GET "Content-Length: 5.0\r\n\r\nhello" TAIL)},
        {"1e1", S(GET "Content-Length: 1e1\r\n\r\nhello" TAIL)},
        {"empty", S(GET "Content-Length:\r\n\r\n" TAIL)},
        {"blank", S(GET "Content-Length: \t \r\n\r\n" TAIL)},
        {"19 digits", S(GET "Content-Length: 1000000000000000000\r\n\r\n" TAIL)},
        {"non-breaking space", S(GET "Content-Length: \xa0"
                                     "5\r\n\r\nhello" TAIL)},
    };
    static const struct row too_large[] = {
        {"10^20", S(GET "Content-Length: 100000000000000000000\r\n\r\n" TAIL)},
        {"2^64", S(GET "Content-Length: 18446744073709551616\r\n\r\n" TAIL)},
    };
    CHECK_REFUSED(rows, 400);
    CHECK_REFUSED(too_large, 413);
}

/* --- I2: codings ----------------------------------------------------------------------------- */

TEST(i2_a_transfer_coding_that_is_not_exactly_chunked_is_400) {
    static const struct row rows[] = {
        {"xchunked", S(GET "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" TAIL)},
        {"chunkedx", S(GET "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n" TAIL)},
        {"chunked, identity", S(GET "Transfer-Encoding: chunked, identity\r\n\r\n" TAIL)},
        {"identity, chunked", S(GET "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" TAIL)},
        {"identity", S(GET "Transfer-Encoding: identity\r\n\r\n" TAIL)},
        {"gzip", S(GET "Transfer-Encoding: gzip\r\n\r\n" TAIL)},
        {"gzip, chunked", S(GET "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" TAIL)},
        {"chunked, chunked", S(GET "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" TAIL)},
        {"comma before", S(GET "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n" TAIL)},
        {"comma behind", S(GET "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n" TAIL)},
        {"parameter", S(GET "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n" TAIL)},
        {"quoted", S(GET "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" TAIL)},
        {"empty", S(GET "Transfer-Encoding:\r\n\r\n0\r\n\r\n" TAIL)},
        {"twice", S(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "0\r\n\r\n" TAIL)},
        {"twice, other", S(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"
                               "0\r\n\r\n" TAIL)},
        {"vertical tab", S(GET "Transfer-Encoding: \x0b"
                               "chunked\r\n\r\n0\r\n\r\n" TAIL)},
        {"form feed", S(GET "Transfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n" TAIL)},
        {"NUL", S(GET "Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n" TAIL)},
        {"folded", S(GET "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" TAIL)},
        {"space before colon", S(GET "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" TAIL)},
        {"HTTP/1.0",
         S("GET / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" TAIL)},
    };
    CHECK_REFUSED(rows, 400);
}

/* --- I4: a body is never read: whatever its chunks are, its request is the last ----------------
 */

TEST(i4_behind_a_body_nothing_is_answered_whatever_its_framing) {
    static const struct row rows[] = {
        {"sound", S("5\r\nhello\r\n0\r\n\r\n" TAIL)},
        {"0x5", S("0x5\r\nhello\r\n0\r\n\r\n" TAIL)},
        {"+5", S("+5\r\nhello\r\n0\r\n\r\n" TAIL)},
        {"-1", S("-1\r\nhello\r\n0\r\n\r\n" TAIL)},
        {"5 ", S("5 \r\nhello\r\n0\r\n\r\n" TAIL)},
        {"1_0", S("1_0\r\nhello\r\n0\r\n\r\n" TAIL)},
        {"2^64", S("10000000000000000\r\nhello\r\n0\r\n\r\n" TAIL)},
        {"2^64 + 5", S("10000000000000005\r\nhello\r\n0\r\n\r\n" TAIL)},
        {"no last chunk", S("5\r\nhello\r\n" TAIL)},
        {"no CRLF behind a chunk", S("5\r\nhello0\r\n\r\n" TAIL)},
        {"bare LF", S("5\nhello\n0\n\n" TAIL)},
        {"NUL in an extension", S("5;\0\r\nhello\r\n0\r\n\r\n" TAIL)},
        {"trailers", S("0\r\nHost: evil\r\nContent-Length: 40\r\n\r\n" TAIL)},
    };
    struct scene scene = start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int with_token = 0; with_token < 2; with_token++) {
            char *head =
                scratch_text("GET /profile/ HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s"
                             "\r\nTransfer-Encoding: chunked\r\n\r\n",
                             with_token ? scene.token : "bad");
            size_t len = strlen(head);
            char *bytes = calloc(1, len + rows[i].bytes.len);
            memcpy(bytes, head, len);
            memcpy(bytes + len, rows[i].bytes.ptr, rows[i].bytes.len);
            bool closed;
            int first;
            char *answer = scene_talk(&scene, (struct span){bytes, len + rows[i].bytes.len}, 5000,
                                      5000, &closed);
            ck_assert_int_eq(scene_count_answers(answer, false, &first), 1);
            ck_assert_msg(first == (with_token ? 200 : 401) && closed, "%s: %d", rows[i].name,
                          first);
            free(answer);
            free(bytes);
            free(head);
        }
        scene_check_serves(&scene, rows[i].name);
    }
    scene_end(&scene);
}

/* --- I5: hosts ------------------------------------------------------------------------------- */

#define HOST(value) S("GET / HTTP/1.1\r\nHost:" value "\r\n\r\n" TAIL)

TEST(i5_none_or_several_or_impossible_hosts_are_400) {
    static const struct row rows[] = {
        {"none", S("GET / HTTP/1.1\r\n\r\n" TAIL)},
        {"none but X-Host", S("GET / HTTP/1.1\r\nX-Host: h\r\n\r\n" TAIL)},
        {"two", S("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" TAIL)},
        {"two the same", S("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n" TAIL)},
        {"three in HTTP/1.0", S("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\nHost: a\r\n\r\n" TAIL)},
        {"empty", HOST("")},
        {"blank", HOST(" \t ")},
        {"path", HOST(" a/b")},
        {"user", HOST(" u@h")},
        {"list", HOST(" a, b")},
        {"two words", HOST(" a b")},
        {"query", HOST(" a?b")},
        {"fragment", HOST(" a#b")},
        {"backslash", HOST(" a\\b")},
        {"URL", HOST(" http://a")},
        {"port of letters", HOST(" a:b")},
        {"negative port", HOST(" a:-1")},
        {"two ports", HOST(" a:1:2")},
        {"port alone", HOST(" :80")},
        {"IPv6 without brackets", HOST(" ::1")},
        {"IPv6 not closed", HOST(" [::1")},
        {"IPv6 with a tail", HOST(" [::1]x")},
        {"brackets around a name", HOST(" [h*]")},
        {"empty brackets", HOST(" []")},
        {"NUL", HOST(" a\0b")},
        {"not ASCII", HOST(" h\xc3\xa9")},
        {"quotes", HOST(" \"a\"")},
    };
    CHECK_REFUSED(rows, 400);
}

TEST(hosts_of_every_kind_are_served) {
    static const char *const hosts[] = {"h",
                                        "H.Example.",
                                        "127.0.0.1",
                                        "h:80",
                                        "h:",
                                        "[::1]",
                                        "[::1]:80",
                                        "[2001:db8::1]",
                                        "xn--bcher-kva.example",
                                        "a_b.local",
                                        "[::ffff:1.2.3.4]:1"};
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        char *request = scratch_text("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i]);
        scene_check(client, span_of(request), &(struct expected){.status = 200});
        free(request);
    }
    client_free(client);
    scene_end(&scene);
}

/* --- lines, names, values -------------------------------------------------------------------- */

TEST(lines_that_end_or_go_on_in_another_way_are_400) {
    static const struct row rows[] = {
        {"bare LF behind the request line", S("GET / HTTP/1.1\nHost: h\r\n\r\n" TAIL)},
        {"bare LF behind a header", S("GET / HTTP/1.1\r\nHost: h\n\r\n" TAIL)},
        {"bare LF between headers", S(GET "A: b\nC: d\r\n\r\n" TAIL)},
        {"bare LF as the empty line", S(GET "\n" TAIL)},
        {"bare LF everywhere", S("GET / HTTP/1.1\nHost: h\n\n" TAIL)},
        {"bare CR in a value", S(GET "A: b\rc\r\n\r\n" TAIL)},
        {"bare CR as a line end", S(GET "A: b\rAuthorization: Bearer x\r\n\r\n" TAIL)},
        {"two CR", S(GET "A: b\r\r\n\r\n" TAIL)},
        {"folded by a space", S(GET "A: b\r\n c\r\n\r\n" TAIL)},
        {"folded by a tab", S(GET "A: b\r\n\tc\r\n\r\n" TAIL)},
        {"folded twice", S(GET "A: b\r\n c\r\n d\r\n\r\n" TAIL)},
        {"folded, empty before", S(GET "A:\r\n c\r\n\r\n" TAIL)},
        {"folded, empty behind", S(GET "A: b\r\n \r\n\r\n" TAIL)},
        {"folded Host", S("GET / HTTP/1.1\r\nHost:\r\n h\r\n\r\n" TAIL)},
        {"space before the first header", S("GET / HTTP/1.1\r\n Host: h\r\n\r\n" TAIL)},
        {"blank line first", S("GET / HTTP/1.1\r\n \r\nHost: h\r\n\r\n" TAIL)},
    };
    CHECK_REFUSED(rows, 400);
}

TEST(header_names_that_are_no_tokens_are_400) {
    static const struct row rows[] = {
        {"no colon", S(GET "AbC\r\n\r\n" TAIL)},
        {"empty", S(GET ": b\r\n\r\n" TAIL)},
        {"space before the colon", S(GET "A : b\r\n\r\n" TAIL)},
        {"tab before the colon", S(GET "A\t: b\r\n\r\n" TAIL)},
        {"space inside", S(GET "A B: c\r\n\r\n" TAIL)},
        {"Host with a space", S("GET / HTTP/1.1\r\nHost : h\r\n\r\n" TAIL)},
        {"brackets", S(GET "A[B]: c\r\n\r\n" TAIL)},
        {"slash", S(GET "A/B: c\r\n\r\n" TAIL)},
        {"quotes", S(GET "\"A\": c\r\n\r\n" TAIL)},
        {"at sign", S(GET "A@B: c\r\n\r\n" TAIL)},
        {"NUL", S(GET "A\0B: c\r\n\r\n" TAIL)},
        {"NUL alone", S(GET "\0: c\r\n\r\n" TAIL)},
        {"control", S(GET "A\x01: c\r\n\r\n" TAIL)},
        {"DEL", S(GET "A\x7f: c\r\n\r\n" TAIL)},
        {"not ASCII", S(GET "\xc3\x84: c\r\n\r\n" TAIL)},
        {"CR inside", S(GET "A\rB: c\r\n\r\n" TAIL)},
    };
    CHECK_REFUSED(rows, 400);
}

TEST(control_characters_in_values_are_400) {
    struct scene scene = start();
    for (int c = 0; c < 0x20 || c == 0x7f; c = c == 0x1f ? 0x7f : c + 1) {
        if (c == '\t' || c == '\n') continue; /* a space; the end of a line, tested above */
        char request[] = GET "A: b?c\r\n\r\n" TAIL;
        *strchr(request, '?') = (char)c;
        bool closed;
        int first;
        char *answer =
            scene_talk(&scene, (struct span){request, sizeof request - 1}, 5000, 5000, &closed);
        int answers = scene_count_answers(answer, false, &first);
        ck_assert_msg(first == 400 && answers == 1 && closed, "%02x: %d", (unsigned)c, first);
        free(answer);
        scene_check_serves(&scene, "a control character");
    }
    scene_end(&scene);
}

/* --- the request line ------------------------------------------------------------------------ */

TEST(request_lines_of_another_shape_are_refused) {
    static const struct row bad[] = {
        {"HTTP/0.9", S("GET /\r\n")},
        {"no version", S("GET / \r\nHost: h\r\n\r\n" TAIL)},
        {"no target", S("GET HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"two spaces", S("GET  / HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"two spaces behind", S("GET /  HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"tab", S("GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"tab behind", S("GET /\tHTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"space in the target", S("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"a version too many", S("GET / HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"space behind the version", S("GET / HTTP/1.1 \r\nHost: h\r\n\r\n" TAIL)},
        {"NUL in the target", S("GET /\0x HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"NUL behind the target", S("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"NUL in the query", S("GET /?\0 HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"control in the target", S("GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"method no token", S("G@T / HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"method with NUL", S("G\0T / HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"absolute form", S("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"absolute form, other host", S("GET http://x/ HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"asterisk", S("GET * HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"OPTIONS *", S("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"CONNECT", S("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"lower case version", S("GET / http/1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"version 1", S("GET / HTTP/1\r\nHost: h\r\n\r\n" TAIL)},
        {"version 1.10", S("GET / HTTP/1.10\r\nHost: h\r\n\r\n" TAIL)},
        {"version 01.1", S("GET / HTTP/01.1\r\nHost: h\r\n\r\n" TAIL)},
        {"version with a space", S("GET / HTTP/ 1.1\r\nHost: h\r\n\r\n" TAIL)},
        {"other protocol", S("GET / ICAP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    };
    static const struct row versions[] = {
        {"HTTP/2 preface", S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
        {"HTTP/2.0", S("GET / HTTP/2.0\r\nHost: h\r\n\r\n" TAIL)},
        {"HTTP/0.9 in words", S("GET / HTTP/0.9\r\nHost: h\r\n\r\n" TAIL)},
        {"HTTP/9.9", S("GET / HTTP/9.9\r\nHost: h\r\n\r\n" TAIL)},
    };
    CHECK_REFUSED(bad, 400);
    CHECK_REFUSED(versions, 505);
}

TEST(old_and_new_versions_of_http_1_are_served) {
    static const struct {
        const char *request;
        bool closes;
    } rows[] = {
        {"GET / HTTP/1.0\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nHost: h\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", false},
        {"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", false},
        {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nhOsT:h\r\nX:\r\nY: \t z \t \r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 00\r\n\r\n", false},
    };
    struct scene scene = start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool closed;
        int first;
        char *answer = scene_talk(&scene, span_of(rows[i].request), 5000, QUIET_MS, &closed);
        ck_assert_int_eq(scene_count_answers(answer, false, &first), 1);
        ck_assert_msg(first == 200 && closed == rows[i].closes, "%s: %s", rows[i].request, answer);
        free(answer);
    }
    scene_end(&scene);
}
