#include "server/proxy/transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/unit/server/proxy/stage.h"

#define GET "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST "POST /x HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK_BODY "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
#define BODY_MAX ((size_t)16 * 1024 * 1024)

/* --- an owner of transfers ------------------------------------------------------------------- */

enum taking {
    TAKE_WHOLE,  /* at once, where that is possible */
    TAKE_PIECES, /* as it comes */
    TAKE_LATER,  /* when the test says so */
};

/* One transfer and what its owner was told. */
struct call {
    struct transfer transfer;
    enum taking taking;
    size_t piece;     /* read at most so much in one go */
    struct buf log;   /* "interim 103|head 200|end|" */
    struct buf body;  /* of the response */
    const char *ends; /* the event in which the owner ends it; NULL: none */
    unsigned bodies;  /* calls of on_body */
};

static const char *const failures[] = {
    [TRANSFER_NO_PEER] = "no peer", [TRANSFER_UNREACHABLE] = "unreachable",
    [TRANSFER_CLOSED] = "closed",   [TRANSFER_MALFORMED] = "malformed",
    [TRANSFER_TIMEOUT] = "timeout", [TRANSFER_NO_MEMORY] = "no memory",
};

static struct call *call_of(struct transfer *transfer) {
    return CONTAINER_OF(transfer, struct call, transfer);
}

static void may_end(struct call *call, const char *event) {
    if (call->ends && strcmp(call->ends, event) == 0) transfer_end(&call->transfer);
}

static void log_end(struct call *call) {
    struct field trailers[8];
    size_t count = body_trailers(&call->transfer.body, trailers, ARRAY_LEN(trailers));
    for (size_t i = 0; i < count; i++)
        buf_addf(&call->log, "%.*s=%.*s|", SPAN_PRINTF(trailers[i].name),
                 SPAN_PRINTF(trailers[i].value));
    buf_add_text(&call->log, "end|");
}

/* Read until there is no more for now. */
static void pull(struct call *call) {
    char bytes[64 * 1024];
    size_t n = 0;
    enum transfer_read result;

    ck_assert_uint_le(call->piece, sizeof bytes);
    while ((result = transfer_read(&call->transfer, bytes, call->piece, &n)) == TRANSFER_DATA) {
        ck_assert_uint_ge(n, 1);
        ck_assert_uint_le(n, call->piece);
        buf_add(&call->body, (struct span){bytes, n});
    }
    if (result == TRANSFER_END) log_end(call);
}

static void on_interim(struct transfer *transfer, const struct response_head *head) {
    buf_addf(&call_of(transfer)->log, "interim %u|", head->status);
    may_end(call_of(transfer), "interim");
}

static void on_head(struct transfer *transfer, const struct response_head *head) {
    struct call *call = call_of(transfer);
    struct span whole;

    buf_addf(&call->log, "head %u|", head->status);
    may_end(call, "head");
    if (transfer->state != TRANSFER_BODY) return;
    if (call->taking == TAKE_WHOLE && transfer_whole(transfer, &whole)) {
        buf_add(&call->body, whole);
        ck_assert_uint_eq(transfer->body_bytes, whole.len);
        buf_add_text(&call->log, "end|");
    } else if (call->taking != TAKE_LATER) {
        pull(call);
    }
}

static void on_body(struct transfer *transfer) {
    struct call *call = call_of(transfer);
    call->bodies++;
    may_end(call, "body");
    if (transfer->state == TRANSFER_BODY) pull(call);
}

static void on_room(struct transfer *transfer) {
    buf_add_text(&call_of(transfer)->log, "room|");
    may_end(call_of(transfer), "room");
}

static void on_failed(struct transfer *transfer, enum transfer_failure failure, const char *why) {
    ck_assert_uint_gt(strlen(why), 0);
    ck_assert_int_eq(transfer->state, TRANSFER_FAILED);
    buf_addf(&call_of(transfer)->log, "failed: %s|", failures[failure]);
    may_end(call_of(transfer), "failed");
}

static const struct transfer_events events = {.on_interim = on_interim,
                                              .on_head = on_head,
                                              .on_body = on_body,
                                              .on_room = on_room,
                                              .on_failed = on_failed};

static struct call make_call(void) {
    return (struct call){.piece = 4096, .log = buf_make(4096), .body = buf_make(BODY_MAX)};
}

static const char *log_of(const struct call *call) {
    return call->log.data ? call->log.data : "";
}

/* Begin, with this head. */
static void start(struct call *call, struct stage *stage, struct transfer_request request,
                  const char *head) {
    enum transfer_failure why;
    request.upstream = stage->upstream;
    ck_assert(transfer_begin(&call->transfer, &stage->pool, &request, &events, &why));
    buf_add_text(&call->transfer.out, head);
    transfer_start(&call->transfer, true);
}

static void start_get(struct call *call, struct stage *stage) {
    start(call, stage, (struct transfer_request){.idempotent = true}, GET);
}

static void start_post(struct call *call, struct stage *stage, enum forward_body body) {
    start(call, stage, (struct transfer_request){.body = body}, POST);
}

static void end_call(struct call *call) {
    transfer_end(&call->transfer);
    if (call->transfer.pool) reactor_run_deferred(call->transfer.pool->reactor);
    transfer_free(&call->transfer);
    buf_done(&call->log);
    buf_done(&call->body);
}

static void until_log(struct stage *stage, const struct call *call, const char *log) {
    for (int turns = 0; strlen(log_of(call)) < strlen(log) && turns < 1000; turns++)
        stage_wait(stage);
    ck_assert_str_eq(log_of(call), log);
}

static uint64_t active(const struct stage *stage, size_t target) {
    return atomic_load(&stage->upstream->peers[target]->active);
}

/* Have a connection that rests. */
static int warm(struct stage *stage) {
    struct call call = make_call();
    start_get(&call, stage);
    int fd = stage_accept(stage, 0);
    stage_expect(stage, fd, GET);
    stage_say(stage, fd, OK_BODY);
    until_log(stage, &call, "head 200|end|");
    end_call(&call);
    ck_assert_uint_eq(stage->pool.resting, 1);
    return fd;
}

/* --- the usual case -------------------------------------------------------------------------- */

TEST(a_request_goes_out_as_it_is_and_its_answer_comes_back) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");

    start_get(&call, &stage);
    ck_assert_uint_eq(active(&stage, 0), 1);
    int fd = stage_accept(&stage, 0);
    stage_expect(&stage, fd, GET);
    stage_expect_nothing(&stage, fd);
    ck_assert_int_eq(call.transfer.state, TRANSFER_WAITING);
    stage_say(&stage, fd, OK_BODY);
    until_log(&stage, &call, "head 200|end|");
    ck_assert_str_eq(call.body.data, "body");
    ck_assert_int_eq(call.transfer.state, TRANSFER_ENDED);
    ck_assert_uint_eq(active(&stage, 0), 0);
    ck_assert_uint_eq(stage.pool.resting, 1);
    ck_assert_str_eq(call.transfer.target, stage.upstream->peers[0]->name);
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

TEST(the_next_request_goes_over_the_same_connection_and_the_same_memory) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    int fd = warm(&stage);

    for (int i = 0; i < 3; i++) {
        char *in = call.transfer.in;
        start_get(&call, &stage);
        if (i) ck_assert_ptr_eq(call.transfer.in, in);
        ck_assert_uint_eq(stage.pool.resting, 0);
        stage_expect(&stage, fd, GET);
        stage_say(&stage, fd, OK_BODY);
        until_log(&stage, &call, "head 200|end|");
        ck_assert_str_eq(call.body.data, "body");
        transfer_end(&call.transfer);
        stage_turn(&stage);
        buf_reset(&call.log);
        buf_reset(&call.body);
    }
    ck_assert(stage_is_unvisited(&stage, 0));
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

/* --- answers, in whatever pieces they come --------------------------------------------------- */

static const struct answer_row {
    const char *name;
    bool to_head;
    bool closes; /* the target ends the connection behind it */
    const char *bytes;
    const char *log;
    const char *body;
    bool kept; /* the connection lives on */
} answer_rows[] = {
    {"length", false, false, OK_BODY, "head 200|end|", "body", true},
    {"no bytes", false, false, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "head 200|end|", "",
     true},
    {"chunked", false, false,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nfour\r\n3\r\nthr\r\n0\r\n\r\n",
     "head 200|end|", "fourthr", true},
    {"trailers", false, false,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n",
     "head 200|X=y|Z=|end|", "a", true},
    {"no content", false, false, "HTTP/1.1 204 No Content\r\n\r\n", "head 204|end|", "", true},
    {"not modified", false, false, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
     "head 304|end|", "", true},
    {"to HEAD", true, false, "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n", "head 200|end|",
     "", true},
    {"to HEAD, chunked", true, false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "head 200|end|", "", true},
    {"until close", false, true, "HTTP/1.1 200 OK\r\n\r\nall of it", "head 200|end|", "all of it",
     false},
    {"close", false, false,
     "HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 2\r\n\r\nab", "head 200|end|",
     "ab", false},
    {"HTTP/1.0", false, false, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", "head 200|end|",
     "ab", false},
    {"interim", false, false,
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK_BODY,
     "interim 100|interim 103|head 200|end|", "body", true},
    {"status line", false, false, "HTTP/1.1 20 OK\r\n\r\n", "failed: malformed|", "", false},
    {"no HTTP", false, false, "ICY 200 OK\r\n\r\n", "failed: malformed|", "", false},
    {"bare LF", false, false, "HTTP/1.1 200 OK\nX: y\r\n\r\n", "failed: malformed|", "", false},
    {"two lengths", false, false,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "failed: malformed|",
     "", false},
    {"101", false, false,
     "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
     "failed: malformed|", "", false},
    {"chunk size", false, false,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nx\r\nb",
     "head 200|failed: malformed|", "a", false},
    {"chunk end", false, false,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naX\n0\r\n\r\n",
     "head 200|failed: malformed|", "a", false},
    {"closed at once", false, true, "", "failed: closed|", "", false},
    {"closed in the head", false, true, "HTTP/1.1 200 OK\r\nX: y\r\n", "failed: closed|", "",
     false},
    {"closed behind interim", false, true, "HTTP/1.1 100 Continue\r\n\r\n",
     "interim 100|failed: closed|", "", false},
    {"closed in the length", false, true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
     "head 200|failed: closed|", "abc", false},
    {"closed in a chunk", false, true,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "head 200|failed: closed|",
     "abc", false},
    {"closed before the last chunk", false, true,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
     "head 200|failed: closed|", "abc", false},
    {"closed in the trailers", false, true,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n",
     "head 200|failed: closed|", "abc", false},
};

static void check_answer(const struct stage *stage, const struct call *call,
                         const struct answer_row *row, size_t cut) {
    ck_assert_msg(strcmp(log_of(call), row->log) == 0, "%s, cut at %zu: %s", row->name, cut,
                  log_of(call));
    /* Of what goes wrong in the end, the last of what was good may be missing. */
    struct span got = buf_span(&call->body);
    bool right = strstr(row->log, "malformed") ? span_starts_with(span_of(row->body), got)
                                               : span_equal_text(got, row->body);
    ck_assert_msg(right, "%s, cut at %zu: \"%.*s\"", row->name, cut, SPAN_PRINTF(got));
    ck_assert_msg(stage->pool.resting == row->kept, "%s, cut at %zu", row->name, cut);
    ck_assert_msg(stage->pool.open == row->kept, "%s, cut at %zu", row->name, cut);
    ck_assert_uint_eq(active(stage, 0), 0);
}

static void play_answer(struct stage *stage, const struct answer_row *row, enum taking taking,
                        size_t piece, size_t cut) {
    struct call call = make_call();
    struct span bytes = span_of(row->bytes);

    call.taking = taking;
    call.piece = piece;
    start(&call, stage, (struct transfer_request){.idempotent = true, .to_head = row->to_head},
          GET);
    int fd = stage_accept(stage, 0);
    stage_expect(stage, fd, GET);
    if (cut) stage_send(stage, fd, span_until(bytes, cut));
    if (cut < bytes.len && call.transfer.state != TRANSFER_FAILED)
        stage_send(stage, fd, span_from(bytes, cut));
    if (row->closes) shutdown(fd, SHUT_WR);
    for (int turns = 0; call.transfer.link && turns < 1000; turns++) stage_wait(stage);
    check_answer(stage, &call, row, cut);
    end_call(&call);
    pool_clear(&stage->pool);
    stage_turn(stage);
    close(fd);
}

TEST_WITHIN(an_answer_is_the_same_wherever_it_is_cut_in_two, 60) {
    static const struct {
        enum taking taking;
        size_t piece;
    } ways[] = {{TAKE_WHOLE, 4096}, {TAKE_PIECES, 4096}, {TAKE_PIECES, 1}, {TAKE_PIECES, 3}};
    struct stage stage;
    stage_open(&stage, 1, "http");
    for (size_t i = 0; i < ARRAY_LEN(answer_rows); i++) {
        size_t len = strlen(answer_rows[i].bytes);
        for (size_t cut = 0; cut <= len; cut++)
            play_answer(&stage, &answer_rows[i], ways[cut % 4].taking, ways[cut % 4].piece, cut);
        for (size_t way = 0; way < ARRAY_LEN(ways); way++)
            play_answer(&stage, &answer_rows[i], ways[way].taking, ways[way].piece, len);
    }
    stage_close(&stage);
}

TEST(an_answer_may_come_byte_by_byte) {
    struct stage stage;
    stage_open(&stage, 1, "http");
    for (size_t i = 0; i < ARRAY_LEN(answer_rows); i++) {
        const struct answer_row *row = &answer_rows[i];
        struct call call = make_call();
        start(&call, &stage, (struct transfer_request){.idempotent = true, .to_head = row->to_head},
              GET);
        int fd = stage_accept(&stage, 0);
        stage_expect(&stage, fd, GET);
        for (const char *at = row->bytes; *at && call.transfer.link; at++)
            stage_send(&stage, fd, (struct span){at, 1});
        if (row->closes) shutdown(fd, SHUT_WR);
        for (int turns = 0; call.transfer.link && turns < 1000; turns++) stage_wait(&stage);
        check_answer(&stage, &call, row, 0);
        end_call(&call);
        pool_clear(&stage.pool);
        close(fd);
    }
    stage_close(&stage);
}

TEST(a_reset_is_never_a_good_end) {
    static const struct {
        const char *bytes, *log;
    } rows[] = {
        {"", "failed: closed|"},
        {"HTTP/1.1 200 OK\r\n\r\nuntil close", "head 200|failed: closed|"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "head 200|failed: closed|"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int late = 0; late < 2; late++) {
            struct stage stage;
            struct call call = make_call();
            stage_open(&stage, 1, "http");
            start_get(&call, &stage);
            int fd = stage_accept(&stage, 0);
            stage_expect(&stage, fd, GET);
            if (late)
                stage_say(&stage, fd, rows[i].bytes);
            else if (*rows[i].bytes) /* bytes and reset meet in one turn */
                ck_assert_int_gt(send(fd, rows[i].bytes, strlen(rows[i].bytes), 0), 0);
            stage_reset(fd);
            until_log(&stage, &call, rows[i].log);
            end_call(&call);
            stage_close(&stage);
        }
    }
}

static char *filler(size_t len) {
    char *bytes = malloc(len);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < len; i++) bytes[i] = (char)('a' + i % 23 + i / 1000 % 3);
    return bytes;
}

TEST(a_large_body_comes_whole_however_it_is_framed_and_read) {
    static const char *const heads[] = {"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"};
    enum { SIZE = 600000, CHUNK = 30000 };
    static const size_t pieces[] = {1000, 16384, 65536};
    char *bytes = filler(SIZE);

    for (size_t way = 0; way < ARRAY_LEN(heads) * ARRAY_LEN(pieces); way++) {
        struct stage stage;
        struct call call = make_call();
        bool chunked = way % 2;
        stage_open(&stage, 1, "http");
        call.piece = pieces[way / 2];
        start_get(&call, &stage);
        int fd = stage_accept(&stage, 0);
        stage_expect(&stage, fd, GET);
        stage_say(&stage, fd, heads[way % 2]);
        for (size_t at = 0; at < SIZE; at += CHUNK) {
            if (chunked) stage_say(&stage, fd, "7530\r\n");
            stage_send(&stage, fd, (struct span){bytes + at, CHUNK});
            if (chunked) stage_say(&stage, fd, "\r\n");
        }
        if (chunked) stage_say(&stage, fd, "0\r\n\r\n");
        until_log(&stage, &call, "head 200|end|");
        ck_assert_uint_eq(call.transfer.body_bytes, SIZE);
        ck_assert(span_equal(buf_span(&call.body), (struct span){bytes, SIZE}));
        ck_assert_uint_eq(stage.pool.resting, 1);
        end_call(&call);
        close(fd);
        stage_close(&stage);
    }
    free(bytes);
}

TEST(a_head_may_be_large_but_not_without_end) {
    struct stage stage;
    struct call call = make_call();
    struct buf head = buf_make(100000);
    char *value = filler(40000);
    stage_open(&stage, 1, "http");

    buf_addf(&head, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: %.40000s\r\n\r\nok", value);
    start_get(&call, &stage);
    int fd = stage_accept(&stage, 0);
    stage_send(&stage, fd, buf_span(&head));
    until_log(&stage, &call, "head 200|end|");
    ck_assert_str_eq(call.body.data, "ok");
    end_call(&call);

    call = make_call();
    start_get(&call, &stage);
    buf_reset(&head);
    buf_add_text(&head, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 20; i++) buf_addf(&head, "X: %.4000s\r\n", value);
    ck_assert_int_eq(send(fd, head.data, head.len, 0), (ssize_t)head.len);
    until_log(&stage, &call, "failed: malformed|");
    end_call(&call);
    close(fd);
    buf_done(&head);
    free(value);
    stage_close(&stage);
}

TEST(interim_answers_do_not_go_on_for_ever) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_get(&call, &stage);
    int fd = stage_accept(&stage, 0);
    for (int i = 0; i < 17; i++) stage_say(&stage, fd, "HTTP/1.1 103 Early Hints\r\n\r\n");
    STAGE_UNTIL(&stage, call.transfer.state == TRANSFER_FAILED);
    const char *log = log_of(&call);
    for (int i = 0; i < 16; i++, log += strlen("interim 103|"))
        ck_assert_int_eq(strncmp(log, "interim 103|", strlen("interim 103|")), 0);
    ck_assert_str_eq(log, "failed: malformed|");
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

/* --- what may be left on a connection -------------------------------------------------------- */

/* Whatever lies behind an answer would be the answer to the next request, of another client. */
TEST(bytes_behind_an_answer_are_no_ones_answer) {
    static const size_t sizes[] = {4, 16000, 16384, 100000};
    for (size_t i = 0; i < ARRAY_LEN(sizes) * 2; i++) {
        struct stage stage;
        struct call first = make_call(), second = make_call();
        struct buf answer = buf_make(200000);
        char *body = filler(sizes[i / 2]);
        stage_open(&stage, 1, "http");
        first.taking = i % 2 ? TAKE_WHOLE : TAKE_PIECES;
        first.piece = 16384;

        buf_addf(&answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", sizes[i / 2]);
        buf_add(&answer, (struct span){body, sizes[i / 2]});
        buf_add_text(&answer, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen");
        start_get(&first, &stage);
        int fd = stage_accept(&stage, 0);
        stage_expect(&stage, fd, GET);
        ck_assert_int_eq(send(fd, answer.data, answer.len, 0), (ssize_t)answer.len);
        until_log(&stage, &first, "head 200|end|");
        ck_assert_uint_eq(first.body.len, sizes[i / 2]);
        ck_assert_uint_eq(stage.pool.open, 0);

        start_get(&second, &stage);
        int fresh = stage_accept(&stage, 0);
        stage_expect(&stage, fresh, GET);
        stage_say(&stage, fresh, OK_BODY);
        until_log(&stage, &second, "head 200|end|");
        ck_assert_str_eq(second.body.data, "body");
        end_call(&first);
        end_call(&second);
        close(fd);
        close(fresh);
        buf_done(&answer);
        free(body);
        stage_close(&stage);
    }
}

TEST(a_body_that_came_with_an_answer_to_head_is_no_ones_answer) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start(&call, &stage, (struct transfer_request){.idempotent = true, .to_head = true}, GET);
    int fd = stage_accept(&stage, 0);
    stage_say(&stage, fd, OK_BODY);
    until_log(&stage, &call, "head 200|end|");
    ck_assert_uint_eq(stage.pool.open, 0);
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

/* --- again, and elsewhere -------------------------------------------------------------------- */

static void close_it(int fd) {
    close(fd);
}

TEST(a_kept_connection_that_ends_at_a_request_costs_one_more_try) {
    static void (*const ends[])(int fd) = {close_it, stage_reset};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct stage stage;
        struct call call = make_call();
        stage_open(&stage, 1, "http");
        int kept = warm(&stage);
        start_get(&call, &stage);
        stage_expect(&stage, kept, GET);
        ends[i](kept);
        int fresh = stage_accept(&stage, 0);
        stage_expect(&stage, fresh, GET);
        ck_assert_uint_eq(active(&stage, 0), 1);
        stage_say(&stage, fresh, OK_BODY);
        until_log(&stage, &call, "head 200|end|");
        end_call(&call);
        close(fresh);
        stage_close(&stage);
    }
}

TEST(a_fresh_connection_that_ends_is_not_tried_again) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    int kept = warm(&stage);
    start_get(&call, &stage);
    stage_expect(&stage, kept, GET);
    close(kept);
    int fresh = stage_accept(&stage, 0);
    stage_expect(&stage, fresh, GET);
    close(fresh);
    until_log(&stage, &call, "failed: closed|");
    ck_assert(stage_is_unvisited(&stage, 0));
    end_call(&call);
    stage_close(&stage);
}

TEST(what_may_have_been_acted_on_is_not_sent_twice) {
    static const struct {
        const char *name;
        struct transfer_request request;
        const char *bytes; /* of the answer before the end */
        const char *log;
    } rows[] = {
        {"not idempotent", {.idempotent = false}, "", "failed: closed|"},
        {"a body", {.idempotent = true, .body = FORWARD_LENGTH}, "", "failed: closed|"},
        {"an answer has begun", {.idempotent = true}, "H", "failed: closed|"},
        {"interim",
         {.idempotent = true},
         "HTTP/1.1 100 Continue\r\n\r\n",
         "interim 100|failed: closed|"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stage stage;
        struct call call = make_call();
        stage_open(&stage, 1, "http");
        int kept = warm(&stage);
        start(&call, &stage, rows[i].request, POST);
        stage_expect(&stage, kept, POST);
        if (*rows[i].bytes) stage_say(&stage, kept, rows[i].bytes);
        close(kept);
        until_log(&stage, &call, rows[i].log);
        ck_assert_msg(stage_is_unvisited(&stage, 0), "%s", rows[i].name);
        end_call(&call);
        stage_close(&stage);
    }
}

TEST(a_connection_that_was_closed_while_it_rested_is_not_used) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    close(warm(&stage));
    start(&call, &stage, (struct transfer_request){.idempotent = false}, POST);
    int fresh = stage_accept(&stage, 0);
    stage_expect(&stage, fresh, POST);
    stage_say(&stage, fresh, OK_BODY);
    until_log(&stage, &call, "head 200|end|");
    end_call(&call);
    close(fresh);
    stage_close(&stage);
}

TEST(a_target_that_cannot_be_reached_leaves_the_request_to_another) {
    struct stage stage;
    stage_open(&stage, 3, "http");
    stage_refuse(&stage, 0);
    stage_refuse(&stage, 1);
    for (int i = 0; i < 3; i++) { /* whoever's turn it is */
        struct call call = make_call();
        start(&call, &stage, (struct transfer_request){.body = FORWARD_LENGTH}, POST);
        ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("abc")), 3);
        transfer_complete(&call.transfer, SPAN_NONE);
        int fd = stage_accept(&stage, 2);
        stage_expect(&stage, fd, POST "abc");
        ck_assert_uint_eq(active(&stage, 0) + active(&stage, 1), 0);
        ck_assert_uint_eq(active(&stage, 2), 1);
        ck_assert_str_eq(call.transfer.target, stage.upstream->peers[2]->name);
        stage_say(&stage, fd, OK_BODY);
        until_log(&stage, &call, "head 200|end|");
        end_call(&call);
        pool_clear(&stage.pool);
        close(fd);
    }
    stage_close(&stage);
}

TEST(a_request_that_names_its_target_goes_to_no_other) {
    struct stage stage;
    stage_open(&stage, 2, "http");
    stage.config->host = HOST_TARGET;
    stage_refuse(&stage, 0);
    unsigned failed = 0;
    for (int i = 0; i < 2; i++) {
        struct call call = make_call();
        start_get(&call, &stage);
        STAGE_UNTIL(&stage, call.transfer.state != TRANSFER_CONNECTING);
        failed += strcmp(log_of(&call), "failed: unreachable|") == 0;
        end_call(&call);
    }
    ck_assert_uint_eq(failed, 1);
    close(stage_accept(&stage, 1));
    stage_close(&stage);
}

TEST(where_no_target_can_be_reached_the_request_fails_after_some) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 4, "http");
    stage.config->health.max_fails = 1;
    for (size_t i = 0; i < 4; i++) stage_refuse(&stage, i);
    start_get(&call, &stage);
    until_log(&stage, &call, "failed: unreachable|");
    ck_assert_uint_eq(call.transfer.connects, 3);
    unsigned down = 0;
    for (size_t i = 0; i < 4; i++) down += !peer_is_up(stage.upstream->peers[i], stage.config);
    ck_assert_uint_eq(down, 3);
    end_call(&call);
    stage_close(&stage);
}

TEST(a_target_that_is_asked_for_by_name_is_the_only_one) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 2, "http");
    stage.config->health.max_fails = 1;
    stage_refuse(&stage, 1);
    start(&call, &stage,
          (struct transfer_request){.idempotent = true, .only = stage.upstream->peers[1]}, GET);
    until_log(&stage, &call, "failed: unreachable|");
    ck_assert(peer_is_up(stage.upstream->peers[1], stage.config)); /* a check tells by itself */
    ck_assert(stage_is_unvisited(&stage, 0));
    end_call(&call);

    call = make_call();
    int kept = warm(&stage);
    start(&call, &stage,
          (struct transfer_request){.idempotent = true, .only = stage.upstream->peers[0]}, GET);
    int fresh = stage_accept(&stage, 0); /* never on one that is kept */
    stage_expect(&stage, fresh, GET);
    end_call(&call);
    close(kept);
    close(fresh);
    stage_close(&stage);
}

TEST(where_every_target_is_unhealthy_there_is_nobody_to_ask) {
    struct stage stage;
    struct call call = make_call();
    char path[] = "/health";
    enum transfer_failure why = TRANSFER_CLOSED;
    stage_open(&stage, 1, "http");
    stage.config->health.path = path;
    atomic_store(&stage.upstream->peers[0]->unhealthy, true);
    struct transfer_request request = {.upstream = stage.upstream};
    ck_assert(!transfer_begin(&call.transfer, &stage.pool, &request, &events, &why));
    ck_assert_int_eq(why, TRANSFER_NO_PEER);
    end_call(&call);
    stage_close(&stage);
}

/* --- time ------------------------------------------------------------------------------------ */

/* Nothing happens one millisecond before, and then it does. */
static void pass_until(struct stage *stage, struct call *call, int64_t ms, const char *before,
                       const char *after) {
    stage_pass(ms - 1);
    stage_turn(stage);
    ck_assert_str_eq(log_of(call), before);
    stage_pass(1);
    stage_turn(stage);
    ck_assert_str_eq(log_of(call), after);
}

TEST(a_target_that_does_not_shake_hands_is_given_up) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "https");
    start_get(&call, &stage);
    int fd = stage_accept(&stage, 0);
    stage_settle(&stage);
    ck_assert_int_eq(call.transfer.state, TRANSFER_CONNECTING);
    pass_until(&stage, &call, STAGE_CONNECT, "", "failed: timeout|");
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

TEST(another_target_gets_its_own_time_to_shake_hands) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 2, "https");
    start_get(&call, &stage);
    for (unsigned attempt = 1; attempt < 3; attempt++) {
        stage_settle(&stage);
        ck_assert_uint_eq(call.transfer.connects, attempt);
        pass_until(&stage, &call, STAGE_CONNECT, "", "");
    }
    stage_settle(&stage);
    pass_until(&stage, &call, STAGE_CONNECT, "", "failed: timeout|");
    end_call(&call);
    for (size_t i = 0; i < 2; i++) close(stage_accept(&stage, i));
    stage_close(&stage);
}

TEST(a_target_that_does_not_answer_is_given_up) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_get(&call, &stage);
    int fd = stage_accept(&stage, 0);
    stage_expect(&stage, fd, GET);
    pass_until(&stage, &call, STAGE_FIRST_BYTE, "", "failed: timeout|");
    stage_expect_end(&stage, fd);
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

/* Or one byte every now and then would keep a request waiting for as long as it likes. */
TEST(a_head_that_trickles_in_has_no_more_time_than_one_that_does_not_come) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_get(&call, &stage);
    int fd = stage_accept(&stage, 0);
    stage_expect(&stage, fd, GET);
    for (int i = 0; i < 4; i++) {
        ck_assert_str_eq(log_of(&call), "");
        stage_send(&stage, fd, span_until(span_from(SPAN_LITERAL("HTTP"), (size_t)i), 1));
        stage_pass(STAGE_FIRST_BYTE / 4);
        stage_turn(&stage);
    }
    ck_assert_str_eq(log_of(&call), "failed: timeout|");
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

TEST(the_time_to_answer_begins_when_the_request_is_complete) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_post(&call, &stage, FORWARD_LENGTH);
    int fd = stage_accept(&stage, 0);
    stage_expect(&stage, fd, POST);
    stage_pass(100 * STAGE_BETWEEN_BYTES); /* it is the client who is slow */
    stage_turn(&stage);
    ck_assert_str_eq(log_of(&call), "");
    ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("x")), 1);
    transfer_complete(&call.transfer, SPAN_NONE);
    stage_expect(&stage, fd, "x");
    pass_until(&stage, &call, STAGE_FIRST_BYTE, "", "failed: timeout|");
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

TEST(a_body_that_stands_still_is_given_up_and_each_byte_begins_anew) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_get(&call, &stage);
    int fd = stage_accept(&stage, 0);
    stage_say(&stage, fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
    until_log(&stage, &call, "head 200|");
    for (size_t i = 0; i < 5; i++) {
        stage_pass(STAGE_BETWEEN_BYTES - 1);
        stage_turn(&stage);
        stage_say(&stage, fd, "x");
        STAGE_UNTIL(&stage, call.body.len == i + 1);
    }
    pass_until(&stage, &call, STAGE_BETWEEN_BYTES, "head 200|", "head 200|failed: timeout|");
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

TEST(who_does_not_read_cannot_blame_the_target) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    call.taking = TAKE_LATER;
    start_get(&call, &stage);
    int fd = stage_accept(&stage, 0);
    stage_say(&stage, fd, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
    until_log(&stage, &call, "head 200|");
    stage_pass(100 * STAGE_BETWEEN_BYTES);
    stage_settle(&stage);
    ck_assert_str_eq(log_of(&call), "head 200|");
    pull(&call);
    ck_assert_str_eq(call.body.data, "abc");
    stage_say(&stage, fd, "def");
    until_log(&stage, &call, "head 200|end|");
    ck_assert_str_eq(call.body.data, "abcdef");
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

TEST(the_time_for_the_whole_is_over_whatever_is_going_on) {
    static const struct {
        const char *bytes;
        enum taking taking;
        const char *before, *after;
    } rows[] = {
        {"", TAKE_WHOLE, "", "failed: timeout|"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", TAKE_PIECES, "head 200|",
         "head 200|failed: timeout|"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", TAKE_LATER, "head 200|",
         "head 200|failed: timeout|"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stage stage;
        struct call call = make_call();
        stage_open(&stage, 1, "http");
        stage.config->timeouts.total = 700;
        stage.config->health.max_fails = 1;
        call.taking = rows[i].taking;
        start_get(&call, &stage);
        int fd = stage_accept(&stage, 0);
        stage_pass(400);
        stage_turn(&stage);
        if (*rows[i].bytes) stage_say(&stage, fd, rows[i].bytes);
        until_log(&stage, &call, rows[i].before);
        pass_until(&stage, &call, 300, rows[i].before, rows[i].after);
        /* A client may have used it up. */
        ck_assert(peer_is_up(stage.upstream->peers[0], stage.config));
        end_call(&call);
        close(fd);
        stage_close(&stage);
    }
}

TEST(targets_that_fail_in_a_row_are_blamed_and_those_that_answer_are_not) {
    struct stage stage;
    stage_open(&stage, 1, "http");
    stage.config->health.max_fails = 2;
    struct peer *peer = stage.upstream->peers[0];
    for (int round = 0; round < 3; round++) {
        struct call call = make_call();
        start_get(&call, &stage);
        int fd = stage_accept(&stage, 0);
        stage_expect(&stage, fd, GET);
        if (round == 1) {
            stage_say(&stage, fd, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
            until_log(&stage, &call, "head 500|end|");
        } else {
            stage_say(&stage, fd, "nonsense\r\n");
            until_log(&stage, &call, "failed: malformed|");
        }
        ck_assert_uint_eq(atomic_load(&peer->fails), round != 1);
        ck_assert(peer_is_up(peer, stage.config));
        end_call(&call);
        pool_clear(&stage.pool);
        close(fd);
    }
    stage_close(&stage);
}

/* --- the body of the request ----------------------------------------------------------------- */

TEST(a_small_body_goes_with_its_head_in_one_piece) {
    struct stage stage;
    struct call call = make_call();
    enum transfer_failure why;
    char bytes[256];
    stage_open(&stage, 1, "http");
    int fd = warm(&stage);
    struct transfer_request request = {.upstream = stage.upstream, .body = FORWARD_LENGTH};
    ck_assert(transfer_begin(&call.transfer, &stage.pool, &request, &events, &why));
    buf_add_text(&call.transfer.out, POST);
    transfer_start(&call.transfer, false);
    ck_assert_int_eq(recv(fd, bytes, sizeof bytes, 0), -1); /* not before the turn is over */
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("abc")), 3);
    transfer_complete(&call.transfer, SPAN_NONE);
    ssize_t n = 0;
    STAGE_UNTIL(&stage, (n = recv(fd, bytes, sizeof bytes, 0)) > 0);
    ck_assert_int_eq(n, (ssize_t)strlen(POST "abc"));
    stage_say(&stage, fd, OK_BODY);
    until_log(&stage, &call, "head 200|end|");
    end_call(&call);

    /* Where no body has come yet when the turn ends, the head goes alone. */
    call = make_call();
    ck_assert(transfer_begin(&call.transfer, &stage.pool, &request, &events, &why));
    buf_add_text(&call.transfer.out, POST);
    transfer_start(&call.transfer, false);
    stage_turn(&stage);
    stage_expect(&stage, fd, POST);
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

TEST(a_body_of_unknown_length_is_framed_in_chunks_with_its_trailers) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_post(&call, &stage, FORWARD_CHUNKED);
    int fd = stage_accept(&stage, 0);
    stage_expect(&stage, fd, POST);
    ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("abc")), 3);
    stage_expect(&stage, fd, "3\r\nabc\r\n");
    ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("0123456789abcdef")), 16);
    stage_expect(&stage, fd, "10\r\n0123456789abcdef\r\n");
    transfer_complete(&call.transfer, SPAN_LITERAL("X: y\r\n"));
    stage_expect(&stage, fd, "0\r\nX: y\r\n\r\n");
    transfer_complete(&call.transfer, SPAN_NONE); /* twice says nothing more */
    stage_expect_nothing(&stage, fd);
    stage_say(&stage, fd, OK_BODY);
    until_log(&stage, &call, "head 200|end|");
    ck_assert_uint_eq(stage.pool.resting, 1);
    end_call(&call);

    call = make_call(); /* and one without a byte */
    start_post(&call, &stage, FORWARD_CHUNKED);
    transfer_complete(&call.transfer, SPAN_NONE);
    stage_expect(&stage, fd, POST "0\r\n\r\n");
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

/* What the target has read so far. */
static void read_what_is_there(int fd, struct buf *got) {
    char bytes[64 * 1024];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    ck_assert(n > 0 || (n < 0 && errno == EAGAIN));
    if (n > 0) buf_add(got, (struct span){bytes, (size_t)n});
}

/* The body behind POST; of chunks too. */
static struct span body_behind(struct buf *got, bool chunked) {
    struct span rest = buf_span(got);
    ck_assert(span_starts_with(rest, SPAN_LITERAL(POST)));
    rest = span_from(rest, strlen(POST));
    if (!chunked) return rest;
    char *to = got->data, *at = got->data + strlen(POST);
    for (;;) {
        char *line_end = strstr(at, "\r\n");
        ck_assert_ptr_nonnull(line_end);
        size_t size = strtoul(at, NULL, 16);
        at = line_end + 2;
        if (size == 0) break;
        memmove(to, at, size);
        to += size;
        at += size;
        ck_assert_int_eq(strncmp(at, "\r\n", 2), 0);
        at += 2;
    }
    ck_assert_str_eq(at, "\r\n");
    return (struct span){got->data, (size_t)(to - got->data)};
}

static bool request_is_whole(const struct buf *got, size_t size, bool chunked) {
    if (!chunked) return got->len == strlen(POST) + size;
    return got->len >= 5 && strcmp(got->data + got->len - 5, "0\r\n\r\n") == 0;
}

/* Hand it in as fast as it is taken, while the target reads every other turn. */
static void upload(struct stage *stage, struct call *call, int fd, struct span bytes, size_t piece,
                   struct buf *got) {
    bool chunked = call->transfer.chunked;
    struct span rest = bytes;

    for (int turns = 0; !request_is_whole(got, bytes.len, chunked); turns++) {
        ck_assert_msg(turns < 200000, "%zu bytes came", got->len);
        while (rest.len && !call->transfer.refused_room) {
            struct span some = span_until(rest, piece);
            size_t taken = transfer_add(&call->transfer, some);
            ck_assert_uint_le(taken, some.len);
            ck_assert(taken == some.len || call->transfer.refused_room);
            ck_assert_uint_le(call->transfer.out.len, 512 * 1024);
            rest = span_from(rest, taken);
        }
        if (rest.len == 0) transfer_complete(&call->transfer, SPAN_NONE);
        if (turns % 2) read_what_is_there(fd, got);
        stage_turn(stage);
    }
}

TEST(a_large_body_arrives_whole_however_it_is_handed_in) {
    static const struct {
        size_t size, piece;
    } rows[] = {{20000, 1}, {400000, 1000}, {6000000, 16384}, {6000000, 40000}, {6000000, 2000000}};
    char *bytes = filler(6000000);

    for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
        struct stage stage;
        struct call call = make_call();
        struct buf got = buf_make(BODY_MAX);
        enum forward_body kind = i % 2 ? FORWARD_CHUNKED : FORWARD_LENGTH;
        size_t size = rows[i / 2].size;
        stage_open(&stage, 1, "http");
        start_post(&call, &stage, kind);
        int fd = stage_accept(&stage, 0);
        upload(&stage, &call, fd, (struct span){bytes, size}, rows[i / 2].piece, &got);
        struct span body = body_behind(&got, i % 2);
        ck_assert_msg(span_equal(body, (struct span){bytes, size}), "row %zu: %zu bytes", i,
                      body.len);
        stage_say(&stage, fd, OK_BODY);
        STAGE_UNTIL(&stage, call.transfer.state == TRANSFER_ENDED);
        ck_assert_uint_eq(stage.pool.resting, 1);
        end_call(&call);
        buf_done(&got);
        close(fd);
        stage_close(&stage);
    }
    free(bytes);
}

/* Hand in bytes until the system holds all that it will, and this many wait in the transfer. */
static size_t plug(struct stage *stage, struct call *call, size_t least) {
    static char bytes[16 * 1024];
    size_t total = 0;
    do {
        while (call->transfer.out.len - call->transfer.sent < least)
            total += transfer_add(&call->transfer, (struct span){bytes, sizeof bytes});
        ck_assert_uint_lt(total, 64 * 1024 * 1024);
        stage_settle(stage);
    } while (call->transfer.out.len - call->transfer.sent < least);
    return total;
}

/* Hand in bytes until no more are taken. */
static size_t stuff(struct stage *stage, struct call *call) {
    size_t total = plug(stage, call, 64 * 1024);
    ck_assert_uint_eq(transfer_add(&call->transfer, SPAN_LITERAL("x")), 0);
    return total;
}

TEST(who_must_wait_for_room_is_told_once_when_there_is_some) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_post(&call, &stage, FORWARD_LENGTH);
    int fd = stage_accept(&stage, 0);
    STAGE_UNTIL(&stage, call.transfer.state == TRANSFER_WAITING);
    size_t total = stuff(&stage, &call);
    stage_settle(&stage);
    ck_assert_str_eq(log_of(&call), "");
    stage_receive(&stage, fd, NULL, strlen(POST) + total);
    until_log(&stage, &call, "room|");
    stage_settle(&stage);
    ck_assert_str_eq(log_of(&call), "room|");
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

TEST(a_target_that_does_not_take_the_body_is_given_up) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_post(&call, &stage, FORWARD_CHUNKED);
    int fd = stage_accept(&stage, 0);
    STAGE_UNTIL(&stage, call.transfer.state == TRANSFER_WAITING);
    stuff(&stage, &call);
    stage_settle(&stage);
    pass_until(&stage, &call, STAGE_BETWEEN_BYTES, "", "failed: timeout|");
    ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("x")), 1); /* for nothing */
    transfer_complete(&call.transfer, SPAN_NONE);
    ck_assert_str_eq(log_of(&call), "failed: timeout|");
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

/* --- answers before their questions are complete --------------------------------------------- */

TEST(an_early_answer_ends_the_request_and_its_connection) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_post(&call, &stage, FORWARD_LENGTH);
    int fd = stage_accept(&stage, 0);
    stage_expect(&stage, fd, POST);
    ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("half")), 4);
    stage_say(&stage, fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    until_log(&stage, &call, "head 413|end|");
    ck_assert_uint_eq(stage.pool.open, 0);
    ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("rest")), 4);
    transfer_complete(&call.transfer, SPAN_NONE);
    stage_expect(&stage, fd, "half");
    stage_expect_end(&stage, fd);
    ck_assert_str_eq(log_of(&call), "head 413|end|");
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

TEST(an_early_answer_that_goes_on_lets_the_request_go_on_too) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_post(&call, &stage, FORWARD_CHUNKED);
    int fd = stage_accept(&stage, 0);
    stage_expect(&stage, fd, POST);
    stage_say(&stage, fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    until_log(&stage, &call, "head 200|");
    ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("more")), 4);
    stage_expect(&stage, fd, "4\r\nmore\r\n");
    transfer_complete(&call.transfer, SPAN_NONE);
    stage_expect(&stage, fd, "0\r\n\r\n");
    stage_say(&stage, fd, "1\r\nb\r\n0\r\n\r\n");
    until_log(&stage, &call, "head 200|end|");
    ck_assert_str_eq(call.body.data, "ab");
    ck_assert_uint_eq(stage.pool.resting, 1);
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

/* An answer that came before the target stopped reading is there, and worth more than the rest of
 * the question. */
TEST(a_target_that_hangs_up_on_the_body_is_still_heard) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_post(&call, &stage, FORWARD_LENGTH);
    int fd = stage_accept(&stage, 0);
    stage_expect(&stage, fd, POST);
    const char *answer = "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno";
    ck_assert_int_gt(send(fd, answer, strlen(answer), 0), 0);
    ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("x")), 1);
    shutdown(fd, SHUT_RD);
    close(fd);
    until_log(&stage, &call, "head 403|end|");
    ck_assert_uint_eq(stage.pool.open, 0);
    end_call(&call);
    stage_close(&stage);
}

TEST(a_target_that_answers_and_reads_no_more_does_not_hold_up_the_rest) {
    enum { SIZE = 40000 };
    struct stage stage;
    struct call call = make_call();
    char *body = filler(SIZE);
    stage_open(&stage, 1, "http");
    call.taking = TAKE_LATER; /* who uploads does not read yet */
    start_post(&call, &stage, FORWARD_LENGTH);
    int fd = stage_accept(&stage, 0);
    stage_expect(&stage, fd, POST);
    stage_say(&stage, fd, "HTTP/1.1 403 No\r\nContent-Length: 40000\r\n\r\n");
    stage_send(&stage, fd, (struct span){body, SIZE});
    until_log(&stage, &call, "head 403|");
    stuff(&stage, &call);
    stage_settle(&stage);
    stage_pass(STAGE_BETWEEN_BYTES);
    stage_turn(&stage);
    ck_assert_str_eq(log_of(&call), "head 403|room|");

    ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("the rest")), 8);
    transfer_complete(&call.transfer, SPAN_NONE);
    pull(&call);
    until_log(&stage, &call, "head 403|room|end|");
    ck_assert(span_equal(buf_span(&call.body), (struct span){body, SIZE}));
    ck_assert_uint_eq(stage.pool.open, 0); /* the request was not sent whole */
    end_call(&call);
    close(fd);
    free(body);
    stage_close(&stage);
}

/* The target waits for us to read, and we for the client: nobody is stuck, and no byte may go. */
TEST(a_whole_request_is_not_cut_because_its_answer_is_taken_slowly) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    call.taking = TAKE_LATER;
    start_post(&call, &stage, FORWARD_LENGTH);
    int fd = stage_accept(&stage, 0);
    stage_expect(&stage, fd, POST);
    size_t total = plug(&stage, &call, 1);
    stage_say(&stage, fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
    until_log(&stage, &call, "head 200|");
    transfer_complete(&call.transfer, SPAN_NONE);
    stage_settle(&stage);
    stage_pass(100 * STAGE_BETWEEN_BYTES);
    stage_settle(&stage);
    ck_assert_str_eq(log_of(&call), "head 200|");
    stage_receive(&stage, fd, NULL, total);
    stage_say(&stage, fd, "lf");
    pull(&call);
    STAGE_UNTIL(&stage, call.transfer.state == TRANSFER_ENDED);
    ck_assert_str_eq(call.body.data, "half");
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

/* --- switching protocols --------------------------------------------------------------------- */

#define SWITCH                                                                                     \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n"

static void start_upgrade(struct call *call, struct stage *stage, const char *offered) {
    start(call, stage, (struct transfer_request){.idempotent = true, .upgrade = span_of(offered)},
          GET);
}

TEST(a_switch_that_was_offered_leaves_the_connection_to_the_owner) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_upgrade(&call, &stage, "x/1, websocket");
    int fd = stage_accept(&stage, 0);
    stage_expect(&stage, fd, GET);
    stage_say(&stage, fd, SWITCH "early");
    until_log(&stage, &call, "head 101|");
    ck_assert_int_eq(call.transfer.state, TRANSFER_TUNNEL);
    struct span behind = {call.transfer.in + call.transfer.in_start,
                          call.transfer.in_end - call.transfer.in_start};
    ck_assert(span_equal_text(behind, "early"));
    unsigned bodies = call.bodies;
    stage_say(&stage, fd, "more");
    STAGE_UNTIL(&stage, call.bodies > bodies);
    ck_assert(call.transfer.link->readable);
    stage_pass(1000 * STAGE_BETWEEN_BYTES); /* no time counts */
    stage_settle(&stage);
    ck_assert_uint_eq(active(&stage, 0), 1);
    end_call(&call);
    ck_assert_uint_eq(stage.pool.open, 0);
    stage_expect_end(&stage, fd);
    close(fd);
    stage_close(&stage);
}

TEST(a_switch_to_what_was_not_offered_is_malformed) {
    static const struct {
        const char *offered, *answer;
    } rows[] = {
        {"x", SWITCH},
        {"websocke", SWITCH},
        {"websocket2", SWITCH},
        {"websocket", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n"},
        {"websocket", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nUpgrade: "
                      "websocket\r\n\r\n"},
        {"websocket", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket, x\r\n\r\n"},
        {"websocket", "HTTP/1.1 101 Switching Protocols\r\nUpgrade:\r\n\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stage stage;
        struct call call = make_call();
        stage_open(&stage, 1, "http");
        start_upgrade(&call, &stage, rows[i].offered);
        int fd = stage_accept(&stage, 0);
        stage_say(&stage, fd, rows[i].answer);
        until_log(&stage, &call, "failed: malformed|");
        end_call(&call);
        close(fd);
        stage_close(&stage);
    }
}

TEST(an_offer_may_be_turned_down) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    start_upgrade(&call, &stage, "websocket");
    int fd = stage_accept(&stage, 0);
    stage_say(&stage, fd, OK_BODY);
    until_log(&stage, &call, "head 200|end|");
    ck_assert_uint_eq(stage.pool.resting, 1);
    end_call(&call);
    close(fd);
    stage_close(&stage);
}

/* --- the end in the middle ------------------------------------------------------------------- */

TEST(an_owner_may_end_it_in_any_of_its_events) {
    static const struct {
        const char *event;
        const char *bytes;
        const char *log;
    } rows[] = {
        {"interim", "HTTP/1.1 100 Continue\r\n\r\n" OK_BODY, "interim 100|"},
        {"head", OK_BODY, "head 200|"},
        {"head", "HTTP/1.1 204 No Content\r\n\r\n", "head 204|"},
        {"head", SWITCH, "head 101|"},
        {"failed", "nonsense", "failed: malformed|"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stage stage;
        struct call call = make_call();
        stage_open(&stage, 1, "http");
        call.ends = rows[i].event;
        start_upgrade(&call, &stage, "websocket");
        int fd = stage_accept(&stage, 0);
        stage_say(&stage, fd, rows[i].bytes);
        until_log(&stage, &call, rows[i].log);
        stage_settle(&stage);
        ck_assert_str_eq(log_of(&call), rows[i].log);
        ck_assert_uint_eq(stage.pool.open, 0);
        ck_assert_uint_eq(active(&stage, 0), 0);
        ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("x")), 1);
        transfer_complete(&call.transfer, SPAN_NONE);
        transfer_on_link(&call.transfer);
        end_call(&call);
        close(fd);
        stage_close(&stage);
    }
}

TEST(an_owner_may_end_it_when_it_is_told_of_a_body_or_of_room) {
    struct stage stage;
    struct call call = make_call();
    stage_open(&stage, 1, "http");
    call.ends = "body";
    start_get(&call, &stage);
    int fd = stage_accept(&stage, 0);
    stage_expect(&stage, fd, GET);
    stage_say(&stage, fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx");
    until_log(&stage, &call, "head 200|");
    stage_say(&stage, fd, "y");
    stage_expect_end(&stage, fd);
    ck_assert_uint_eq(call.bodies, 1);
    end_call(&call);
    close(fd);

    call = make_call();
    call.ends = "room";
    start_post(&call, &stage, FORWARD_LENGTH);
    fd = stage_accept(&stage, 0);
    STAGE_UNTIL(&stage, call.transfer.state == TRANSFER_WAITING);
    size_t total = stuff(&stage, &call);
    struct buf got = buf_make(BODY_MAX * 4);
    for (int turns = 0; call.transfer.link && turns < 100000; turns++) {
        read_what_is_there(fd, &got);
        stage_turn(&stage);
    }
    ck_assert_str_eq(log_of(&call), "room|");
    ck_assert_uint_lt(got.len, total + strlen(POST));
    ck_assert_uint_eq(stage.pool.open, 0);
    end_call(&call);
    buf_done(&got);
    close(fd);
    stage_close(&stage);
}

TEST(it_may_be_ended_at_any_time_and_twice) {
    struct stage stage;
    struct transfer zeroed = {0};
    stage_open(&stage, 1, "http");
    transfer_end(&zeroed);
    transfer_free(&zeroed);

    for (int state = TRANSFER_CONNECTING; state <= TRANSFER_BODY; state++) {
        struct call call = make_call();
        call.taking = TAKE_LATER;
        start_get(&call, &stage);
        int fd = -1;
        if (state >= TRANSFER_WAITING) {
            fd = stage_accept(&stage, 0);
            STAGE_UNTIL(&stage, call.transfer.state == TRANSFER_WAITING);
        }
        if (state >= TRANSFER_BODY) {
            stage_say(&stage, fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx");
            until_log(&stage, &call, "head 200|");
        }
        transfer_end(&call.transfer);
        transfer_end(&call.transfer);
        ck_assert_int_eq(call.transfer.state, TRANSFER_ENDED);
        ck_assert_uint_eq(active(&stage, 0), 0);
        ck_assert_uint_eq(stage.pool.open, 0);
        stage_turn(&stage);
        end_call(&call);
        close(fd >= 0 ? fd : stage_accept(&stage, 0));
    }
    stage_close(&stage);
}

/* Something was put off to the end of the turn, and then it is over. */
TEST(what_was_deferred_finds_nothing_to_do_when_it_was_ended_meanwhile) {
    struct stage stage;
    struct call call = make_call();
    enum transfer_failure why;
    stage_open(&stage, 1, "http");
    int fd = warm(&stage);
    struct transfer_request request = {.upstream = stage.upstream, .body = FORWARD_LENGTH};
    ck_assert(transfer_begin(&call.transfer, &stage.pool, &request, &events, &why));
    buf_add_text(&call.transfer.out, POST);
    transfer_start(&call.transfer, false);
    ck_assert_uint_eq(transfer_add(&call.transfer, SPAN_LITERAL("x")), 1);
    transfer_end(&call.transfer);
    stage_turn(&stage);
    stage_expect_end(&stage, fd);
    end_call(&call);
    close(fd);
    stage_close(&stage);
}
