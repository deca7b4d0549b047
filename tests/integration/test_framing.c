/*
 * One reading of where a request begins and ends, or none: what two servers could read differently
 * is refused, the connection is closed, and nothing behind it is answered.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/integration/framing_rows.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define QUIET_MS (SCENE_SANITIZED ? 400 : 100)
#define S(text) SPAN_LITERAL(text)
#define GET "GET / HTTP/1.1\r\nHost: h\r\n"
#define TAIL FRAMING_TAIL

static struct scene start(void) {
    return scene_start(&(struct scene_options){0});
}

/* Each is refused with the table's status as the only answer, also where a request follows, and the
 * connection is closed. */
static void check_refused(const struct framing_table *table) {
    struct scene scene = start();
    for (size_t i = 0; i < table->count; i++) {
        const struct framing_row *row = &table->rows[i];
        bool closed;
        int first;
        char *answer = scene_talk(&scene, row->bytes, 5000, 5000, &closed);
        int answers = scene_count_answers(answer, false, &first);
        ck_assert_msg(first == table->status, "%s: %d: %s", row->name, first, answer);
        ck_assert_msg(answers == 1, "%s: %d answers: %s", row->name, answers, answer);
        ck_assert_msg(closed, "%s: not closed", row->name);
        ck_assert_msg(!strstr(answer, "smuggled"), "%s", row->name);
        free(answer);
        scene_check_serves(&scene, row->name);
    }
    scene_end(&scene);
}

/* --- I1: lengths ----------------------------------------------------------------------------- */

TEST(i1_a_length_that_is_not_one_plain_number_is_400) {
    check_refused(&framing_lengths);
    check_refused(&framing_too_large);
}

/* --- I2: codings ----------------------------------------------------------------------------- */

TEST(i2_a_transfer_coding_that_is_not_exactly_chunked_is_400) {
    check_refused(&framing_codings);
}

/* --- I4: a body is never read: whatever its chunks are, its request is the last ----------------
 */

TEST(i4_behind_a_body_nothing_is_answered_whatever_its_framing) {
    static const struct framing_row rows[] = {
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

TEST(i5_none_or_several_or_impossible_hosts_are_400) {
    check_refused(&framing_hosts);
}

TEST(hosts_of_every_kind_are_served) {
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    for (size_t i = 0; framing_good_hosts[i]; i++) {
        char *request = scratch_text("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", framing_good_hosts[i]);
        scene_check(client, span_of(request), &(struct expected){.status = 200});
        free(request);
    }
    client_free(client);
    scene_end(&scene);
}

/* --- lines, names, values -------------------------------------------------------------------- */

TEST(lines_that_end_or_go_on_in_another_way_are_400) {
    check_refused(&framing_lines);
}

TEST(header_names_that_are_no_tokens_are_400) {
    check_refused(&framing_names);
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
    check_refused(&framing_request_lines);
    check_refused(&framing_versions);
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
