/*
 * Responses that go on: each piece reaches the client before the next is made, and a stream ends
 * with the token that opened it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/attr.h"
#include "tests/integration/passage.h"
#include "tests/integration/talk.h"
#include "tests/support/certificate.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 4 : 1)
#define WAIT_MS 5000
/* Long enough for what must not happen to happen. */
#define QUIET_MS 200

#define EVENTS "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
#define CHUNKED EVENTS "Transfer-Encoding: chunked\r\n\r\n"
#define FIRST "data: first\n\n"
#define SECOND "data: second\n\n"
#define FIRST_CHUNK "d\r\n" FIRST "\r\n"
#define SECOND_CHUNK "e\r\n" SECOND "\r\n"
#define LAST_CHUNK "0\r\n\r\n"

/* --- events come one by one ------------------------------------------------------------------ */

static const struct framing {
    const char *path, *head, *first, *second, *last;
    const char *end; /* what the client's bytes end in */
} framings[] = {
    {"/chunked", CHUNKED, FIRST_CHUNK, SECOND_CHUNK, LAST_CHUNK, "\r\n" LAST_CHUNK},
    {"/until-close", EVENTS "\r\n", FIRST, SECOND, "", "\r\n" LAST_CHUNK},
    {"/length", EVENTS "Content-Length: 27\r\n\r\n", FIRST, SECOND, "", FIRST SECOND},
    {"/plain", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", FIRST_CHUNK, SECOND_CHUNK,
     LAST_CHUNK, "\r\n" LAST_CHUNK},
    {"/http-1.0", "HTTP/1.0 200 OK\r\n\r\n", FIRST, SECOND, "", "\r\n" LAST_CHUNK},
};

/* Every piece is made only when the test lets it. */
static void script(const struct passage *passage, const struct framing *framing) {
    upstream_script(
        passage->upstream, framing->path,
        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(framing->head)), UPSTREAM_GATE,
                       UPSTREAM_SEND_SPAN(span_of(framing->first)), UPSTREAM_GATE,
                       UPSTREAM_SEND_SPAN(span_of(framing->second)), UPSTREAM_GATE,
                       UPSTREAM_SEND_SPAN(span_of(framing->last)),
                       {.act = *framing->last ? UPSTREAM_ACT_WAIT : UPSTREAM_ACT_CLOSE}));
}

static bool holds(const struct talk *talk, const char *text) {
    struct span received = talk_received(talk);
    return memmem(received.ptr, received.len, text, strlen(text)) != NULL;
}

static bool ends_in(const struct talk *talk, const char *text) {
    struct span received = talk_received(talk);
    size_t len = strlen(text);
    return received.len >= len && memcmp(received.ptr + received.len - len, text, len) == 0;
}

/* Let the upstream make the next piece, once it stands at its gate. */
static void go(const struct passage *passage) {
    ck_assert(upstream_wait(passage->upstream, UPSTREAM_AT_GATE, 1, WAIT_MS));
    upstream_go(passage->upstream);
}

static void check_events(const struct passage *passage, struct talk *talk,
                         const struct framing *framing) {
    char *head = passage_head(passage, "GET", framing->path, "Accept: text/event-stream\r\n");
    script(passage, framing);
    talk_send(talk, span_of(head));
    ck_assert_msg(talk_await(talk, "\r\n\r\n", WAIT_MS), "%s: no head", framing->path);
    ck_assert_msg(holds(talk, "HTTP/1.1 200 ") && !holds(talk, FIRST), "%s", framing->path);
    go(passage);
    ck_assert_msg(talk_await(talk, FIRST, WAIT_MS), "%s: no first event", framing->path);
    ck_assert_msg(!holds(talk, SECOND), "%s", framing->path);
    go(passage);
    ck_assert_msg(talk_await(talk, SECOND, WAIT_MS), "%s: no second event", framing->path);
    ck_assert_msg(!holds(talk, LAST_CHUNK), "%s: ended too early", framing->path);
    go(passage);
    ck_assert_msg(talk_await(talk, framing->end, WAIT_MS) && ends_in(talk, framing->end), "%s: %s",
                  framing->path, talk_received(talk).ptr);
    talk_drop(talk);
    free(head);
}

TEST(each_event_reaches_the_client_before_the_next_is_made_and_the_connection_goes_on) {
    struct passage passage = passage_start(&(struct passage_options){0});
    struct talk *talk = talk_open(passage_port(&passage), false);
    for (size_t i = 0; i < 2 * ARRAY_LEN(framings); i++)
        check_events(&passage, talk, &framings[i % ARRAY_LEN(framings)]);
    talk_free(talk);
    passage_end(&passage);
}

TEST(each_event_reaches_the_client_of_a_tls_listener_too) {
    char *folder = scratch_new(), *certificate, *key;
    int port = process_free_port();
    certificate_files(folder, &certificate, &key);
    char *listen = scratch_text(", {address: \"127.0.0.1:%d\", tls: {certificate: \"%s\", "
                                "private_key: \"%s\"}}",
                                port, certificate, key);
    struct passage passage = passage_start(&(struct passage_options){.listen = listen});
    struct talk *talk = talk_open(port, true);
    for (size_t i = 0; i < ARRAY_LEN(framings); i++) check_events(&passage, talk, &framings[i]);
    talk_free(talk);
    passage_end(&passage);
    free(listen), free(key), free(certificate), free(folder);
}

/* A client of HTTP/1.0 knows no chunks: its stream ends where the connection does. */
TEST(each_event_reaches_a_client_of_http_1_0_without_any_framing) {
    struct passage passage = passage_start(&(struct passage_options){0});
    struct talk *talk = talk_open(passage_port(&passage), false);
    script(&passage, &framings[0]);
    char *request = scratch_text("GET /chunked HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n",
                                 passage.scene.token);
    talk_send(talk, span_of(request));
    ck_assert(talk_await(talk, "\r\n\r\n", WAIT_MS));
    go(&passage);
    ck_assert(talk_await(talk, "\r\n\r\n" FIRST, WAIT_MS));
    go(&passage);
    ck_assert(talk_await(talk, FIRST SECOND, WAIT_MS));
    go(&passage);
    ck_assert_int_eq(talk_wait_end(talk, WAIT_MS), TALK_FINISHED);
    ck_assert(ends_in(talk, "\r\n\r\n" FIRST SECOND) && !holds(talk, "Transfer-Encoding"));
    talk_free(talk);
    free(request);
    passage_end(&passage);
}

TEST(a_hundred_streams_of_one_client_each_do_not_wait_for_one_another) {
    static struct talk *talks[100];
    struct passage passage = passage_start(&(struct passage_options){0});
    char *head = passage_head(&passage, "GET", "/many", "");
    upstream_script(passage.upstream, "/many",
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(CHUNKED FIRST_CHUNK), UPSTREAM_GATE,
                                   UPSTREAM_SEND(SECOND_CHUNK LAST_CHUNK)));
    for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
        talks[i] = talk_open(passage_port(&passage), false);
        talk_send(talks[i], span_of(head));
    }
    for (size_t i = 0; i < ARRAY_LEN(talks); i++)
        ck_assert_msg(talk_await(talks[i], FIRST, WAIT_MS), "stream %zu", i);
    ck_assert(upstream_wait(passage.upstream, UPSTREAM_AT_GATE, ARRAY_LEN(talks), WAIT_MS));
    for (size_t i = 0; i < ARRAY_LEN(talks); i++) upstream_go(passage.upstream);
    for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
        ck_assert_msg(talk_await(talks[i], SECOND "\r\n" LAST_CHUNK, WAIT_MS), "stream %zu", i);
        talk_free(talks[i]);
    }
    free(head);
    passage_end(&passage);
}

/* --- the client leaves ----------------------------------------------------------------------- */

TEST(a_client_that_leaves_ends_its_stream_at_the_upstream) {
    struct passage passage = passage_start(&(struct passage_options){0});
    char *head = passage_head(&passage, "GET", "/left", "");
    upstream_script(
        passage.upstream, "/left",
        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(CHUNKED FIRST_CHUNK), UPSTREAM_GATE));
    for (int reset = 0; reset < 2; reset++) {
        struct talk *talk = talk_open(passage_port(&passage), false);
        talk_send(talk, span_of(head));
        ck_assert(talk_await(talk, FIRST, WAIT_MS));
        ck_assert(upstream_wait(passage.upstream, UPSTREAM_AT_GATE, 1, WAIT_MS));
        if (reset) talk_reset(talk);
        talk_free(talk);
        ck_assert_msg(upstream_wait(passage.upstream, UPSTREAM_OPEN, 0, WAIT_MS), "reset %d",
                      reset);
    }
    free(head);
    passage_end(&passage);
}

/* A stream that is cut off must not look complete. */
TEST(a_stream_that_the_upstream_breaks_off_has_no_last_chunk) {
    static const struct {
        const char *path, *head;
        enum upstream_act act;
    } rows[] = {
        {"/closed", CHUNKED FIRST_CHUNK, UPSTREAM_ACT_CLOSE},
        {"/reset", CHUNKED FIRST_CHUNK, UPSTREAM_ACT_RESET},
        {"/in-a-chunk", CHUNKED FIRST_CHUNK "ff\r\nabc", UPSTREAM_ACT_CLOSE},
        {"/reset-until-close", EVENTS "\r\n" FIRST, UPSTREAM_ACT_RESET},
        {"/short", EVENTS "Content-Length: 99\r\n\r\n" FIRST, UPSTREAM_ACT_CLOSE},
    };
    struct passage passage = passage_start(&(struct passage_options){0});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *head = passage_head(&passage, "GET", rows[i].path, "");
        struct talk *talk = talk_open(passage_port(&passage), false);
        upstream_script(passage.upstream, rows[i].path,
                        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(rows[i].head)),
                                       UPSTREAM_GATE, {.act = rows[i].act}));
        talk_send(talk, span_of(head));
        ck_assert_msg(talk_await(talk, FIRST, WAIT_MS), "%s", rows[i].path);
        go(&passage);
        ck_assert_msg(talk_wait_end(talk, WAIT_MS) != TALK_OPEN, "%s", rows[i].path);
        ck_assert_msg(!holds(talk, LAST_CHUNK), "%s: %s", rows[i].path, talk_received(talk).ptr);
        talk_free(talk);
        free(head);
    }
    passage_end(&passage);
}

/* --- a stream ends with its token ------------------------------------------------------------ */

/* A stream that was opened on path with that token, and has given its first event. */
static struct talk *open_stream(const struct passage *passage, const char *path, const char *token,
                                const char *head) {
    struct talk *talk = talk_open(passage_port(passage), false);
    char *request = token ? scratch_text("GET %s HTTP/1.1\r\nHost: api.example\r\n"
                                         "Authorization: Bearer %s\r\n\r\n",
                                         path, token)
                          : scene_get(path, "");
    upstream_script(
        passage->upstream, path,
        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(head)), UPSTREAM_GATE,
                       UPSTREAM_SEND_SPAN(
                           span_of(strstr(head, "chunked") ? SECOND_CHUNK LAST_CHUNK : SECOND))));
    talk_send(talk, span_of(request));
    ck_assert_msg(talk_await(talk, FIRST, WAIT_MS), "%s: %s", path, talk_received(talk).ptr);
    free(request);
    return talk;
}

/* time() reads a coarser clock, which may lag behind. */
static long wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A token that is good for one to two seconds. */
static char *brief_token(time_t *ret_expires) {
    *ret_expires = time(NULL) + 2;
    char *changes = scratch_text("{\"exp\": %ld}", (long)*ret_expires);
    char *token = scene_token(changes);
    free(changes);
    return token;
}

/* The stream is cut when its token expires: not before, soon after, and visibly. */
static void check_cut(struct talk *talk, time_t expires) {
    ck_assert_int_ne(talk_wait_end(talk, 6000 * SLOW), TALK_OPEN);
    long late = wall_ms() - expires * 1000;
    ck_assert_msg(late >= 0 && late <= 2000 * SLOW, "cut %ld ms behind", late);
    ck_assert(!holds(talk, LAST_CHUNK));
}

TEST(a_stream_ends_when_the_token_that_opened_it_expires_and_others_go_on) {
    struct passage passage = passage_start(&(struct passage_options){.issuer = ", leeway: 0s"});
    time_t expires;
    char *token = brief_token(&expires);
    struct talk *cut = open_stream(&passage, "/brief", token, CHUNKED FIRST_CHUNK);
    struct talk *until_close = open_stream(&passage, "/brief-too", token, EVENTS "\r\n" FIRST);
    struct talk *others[] = {
        open_stream(&passage, "/lasting/stream", token, CHUNKED FIRST_CHUNK),
        open_stream(&passage, "/sized", token, EVENTS "Content-Length: 27\r\n\r\n" FIRST),
        open_stream(&passage, "/open/stream", NULL, CHUNKED FIRST_CHUNK),
        open_stream(&passage, "/other", passage.scene.token, CHUNKED FIRST_CHUNK),
    };
    check_cut(cut, expires);
    check_cut(until_close, expires);
    ck_assert(upstream_wait(passage.upstream, UPSTREAM_OPEN, ARRAY_LEN(others), WAIT_MS));
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        ck_assert_msg(talk_wait_end(others[i], QUIET_MS) == TALK_OPEN, "stream %zu was cut", i);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) upstream_go(passage.upstream);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        ck_assert_msg(talk_await(others[i], SECOND, WAIT_MS), "stream %zu does not go on", i);
        talk_free(others[i]);
    }
    talk_free(until_close);
    talk_free(cut);
    free(token);
    passage_end(&passage);
}

/* A stream that an anonymous-friendly route opened with a token belongs to that token as well. */
TEST(a_stream_with_a_token_ends_with_it_even_where_none_was_needed) {
    struct passage passage = passage_start(&(struct passage_options){.issuer = ", leeway: 0s"});
    time_t expires;
    char *token = brief_token(&expires);
    struct talk *talk = open_stream(&passage, "/open/brief", token, CHUNKED FIRST_CHUNK);
    check_cut(talk, expires);
    talk_free(talk);
    free(token);
    passage_end(&passage);
}

/* While events flow all the time there is never a pause in which to look at the clock. */
TEST(a_stream_that_never_rests_ends_with_its_token_too) {
    struct passage passage = passage_start(&(struct passage_options){.issuer = ", leeway: 0s"});
    upstream_script(
        passage.upstream, "/busy",
        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(CHUNKED), UPSTREAM_FILL_CHUNKED(UPSTREAM_ALL)));
    time_t expires;
    char *token = brief_token(&expires);
    char *request =
        scratch_text("GET /busy HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n", token);
    struct talk *talk = talk_open(passage_port(&passage), false);
    talk_send(talk, span_of(request));
    ck_assert(talk_await(talk, "HTTP/1.1 200 ", WAIT_MS));
    for (long until = process_now_ms() + 6000 * SLOW; talk_wait_end(talk, 1) == TALK_OPEN;) {
        ck_assert_msg(process_now_ms() < until, "it goes on and on");
        talk_drop(talk);
    }
    ck_assert_int_ge(wall_ms(), expires * 1000);
    ck_assert(upstream_wait(passage.upstream, UPSTREAM_OPEN, 0, WAIT_MS));
    talk_free(talk);
    free(request);
    free(token);
    passage_end(&passage);
}

/* A client of HTTP/1.0 takes the end of the connection for the end of the body: only a reset tells
 * it otherwise. */
TEST(a_stream_of_http_1_0_is_reset_when_its_token_expires) {
    struct passage passage = passage_start(&(struct passage_options){.issuer = ", leeway: 0s"});
    upstream_script(
        passage.upstream, "/old",
        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(EVENTS "\r\n" FIRST), UPSTREAM_GATE));
    time_t expires;
    char *token = brief_token(&expires);
    char *request = scratch_text("GET /old HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n", token);
    struct talk *talk = talk_open(passage_port(&passage), false);
    talk_send(talk, span_of(request));
    ck_assert(talk_await(talk, FIRST, WAIT_MS));
    ck_assert_int_eq(talk_wait_end(talk, 6000 * SLOW), TALK_BROKEN);
    ck_assert_int_ge(wall_ms(), expires * 1000);
    talk_free(talk);
    free(request);
    free(token);
    passage_end(&passage);
}
