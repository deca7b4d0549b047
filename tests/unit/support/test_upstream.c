#include "tests/support/certificate.h"
#include "tests/support/client.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/support/upstream.h"

#include <stdlib.h>

#define WAIT_MS 5000
#define GET "GET / HTTP/1.1\r\nHost: u\r\n\r\n"
#define POST_10 "POST / HTTP/1.1\r\nHost: u\r\nContent-Length: 10\r\n\r\n"
#define EMPTY_200 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define MIB (1 << 20)

static struct client *dial(const struct upstream *upstream) {
    struct client *client = client_connect(upstream_port(upstream));
    ck_assert_ptr_nonnull(client);
    return client;
}

static void say(struct client *client, const char *bytes) {
    ck_assert(client_send(client, span_of(bytes)));
}

/* The next answer has this status; its body, which the caller frees. */
static char *hear(struct client *client, int status) {
    struct response response = {0};
    enum client_result result = client_read(client, WAIT_MS, &response);
    ck_assert_msg(result == CLIENT_OK, "no answer: %d", result);
    ck_assert_int_eq(response.status, status);
    free(response.head);
    return response.body;
}

static void ask(struct client *client, const char *bytes, int status) {
    say(client, bytes);
    free(hear(client, status));
}

/* --- what came ------------------------------------------------------------------------------- */

TEST(answers_by_default_and_keeps_the_connection) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *client = dial(upstream);
    struct response response = {0};
    say(client, GET);
    char *body = hear(client, 200);
    ck_assert_str_eq(body, "ok\n");
    say(client, "HEAD / HTTP/1.1\r\nHost: u\r\n\r\n");
    ck_assert_int_eq(client_read_to_head(client, WAIT_MS, &response), CLIENT_OK);
    ask(client, GET, 200);
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CONNECTIONS), 1);
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_OPEN), 1);
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_REQUESTS), 3);
    client_free(client);
    ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, WAIT_MS));
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CUT_SHORT), 0);
    client_response_done(&response);
    free(body);
    upstream_stop(upstream);
}

TEST(keeps_the_exact_bytes_of_requests) {
    static const char first[] = "POST /a?b=c HTTP/1.1\r\nhOST: u\r\nX-Tag:  one \r\nx-tag: two\r\n"
                                "Content-Length: 4\r\n\r\n\0\r\n!";
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *client = dial(upstream);
    ck_assert(client_send(client, SPAN_LITERAL(first)));
    say(client, GET); /* pipelined */
    free(hear(client, 200));
    free(hear(client, 200));

    const struct upstream_request *request = upstream_request(upstream, 0);
    ck_assert_int_eq(request->state, UPSTREAM_WHOLE);
    ck_assert(span_equal(request->raw, SPAN_LITERAL(first)));
    ck_assert(span_equal(request->body, SPAN_LITERAL("\0\r\n!")));
    ck_assert(span_equal_text(request->method, "POST"));
    ck_assert(span_equal_text(request->target, "/a?b=c"));
    ck_assert_uint_eq(request->digest, upstream_digest(UPSTREAM_DIGEST_EMPTY, request->body));
    ck_assert(span_equal_text(upstream_header(request, "Host"), "u"));
    ck_assert(span_equal_text(upstream_header_name(request, "Host"), "hOST"));
    ck_assert(span_equal_text(upstream_header(request, "X-TAG"), "one"));
    ck_assert_int_eq(upstream_header_count(request, "X-TAG"), 2);
    ck_assert_int_eq(upstream_header_count(request, "X-Other"), 0);
    ck_assert(span_is_absent(upstream_header(request, "X-Other")));
    ck_assert(span_equal_text(upstream_request(upstream, 1)->raw, GET));

    struct span raw = upstream_connection(upstream, 0)->raw;
    ck_assert_uint_eq(raw.len, sizeof first - 1 + sizeof GET - 1);
    ck_assert(span_equal_text(span_from(raw, sizeof first - 1), GET));
    client_free(client);
    upstream_stop(upstream);
}

TEST(reads_chunks_and_trailers) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *client = dial(upstream);
    ask(client,
        "PUT /c HTTP/1.1\r\nHost: u\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
        200);
    const struct upstream_request *request = upstream_request(upstream, 0);
    ck_assert(request->chunked);
    ck_assert(span_equal_text(request->body, "abc0123456789"));
    ck_assert_uint_eq(request->body_len, 13);
    ck_assert(span_equal_text(request->trailer, "X-Sum: 1\r\n"));
    client_free(client);
    upstream_stop(upstream);
}

TEST(takes_bytes_one_at_a_time) {
    static const char bytes[] = "PUT /c HTTP/1.1\r\nHost: u\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "3\r\nabc\r\n0\r\n\r\n";
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *client = dial(upstream);
    for (size_t i = 0; i < sizeof bytes - 1; i++)
        ck_assert(client_send(client, (struct span){bytes + i, 1}));
    free(hear(client, 200));
    ck_assert(span_equal(upstream_request(upstream, 0)->raw, SPAN_LITERAL(bytes)));
    client_free(client);
    upstream_stop(upstream);
}

TEST(counts_what_no_strict_server_takes_as_malformed) {
    static const struct {
        struct span bytes;
        const char *why; /* NULL: it is fine */
    } rows[] = {
        {SPAN_LITERAL(GET), NULL},
        {SPAN_LITERAL("GET / HTTP/1.1\nHost: u\n\n"), "a line that ends in LF alone"},
        {SPAN_LITERAL("GET / HTTP/1.0\r\nHost: u\r\n\r\n"), "the version"},
        {SPAN_LITERAL("GET  / HTTP/1.1\r\nHost: u\r\n\r\n"), "the target"},
        {SPAN_LITERAL("G(T / HTTP/1.1\r\nHost: u\r\n\r\n"), "the method"},
        {SPAN_LITERAL("\r\nGET / HTTP/1.1\r\nHost: u\r\n\r\n"), "the method"},
        {SPAN_LITERAL("GET /\x80 HTTP/1.1\r\nHost: u\r\n\r\n"), "the target"},
        {SPAN_LITERAL("GET / HTTP/1.1\r\nHost : u\r\n\r\n"), "a field's name"},
        {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: u\r\n x\r\n\r\n"), "a field without colon"},
        {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: u\r\nX: a\rb\r\n\r\n"), "a field's value"},
        {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: u\r\nX: a\0b\r\n\r\n"), "a field's value"},
        {SPAN_LITERAL("GET / HTTP/1.1\r\n\r\n"), "not one Host"},
        {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: u\r\nHost: u\r\n\r\n"), "not one Host"},
        {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: u\r\nContent-Length: 0\r\n"
                      "Content-Length: 0\r\n\r\n"),
         "several framings"},
        {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: u\r\nContent-Length: 0\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n"),
         "several framings"},
        {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: u\r\nContent-Length: +1\r\n\r\n"),
         "the content length"},
        {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: u\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
         "the transfer coding"},
        {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: u\r\nTransfer-Encoding: chunked\r\n\r\n;x\r\n"),
         "a chunk's size"},
        {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: u\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"),
         "a chunk's end"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
        struct client *client = dial(upstream);
        upstream_script(upstream, NULL, UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(EMPTY_200)));
        ck_assert(client_send(client, rows[i].bytes));
        free(hear(client, rows[i].why ? 400 : 200));
        const struct upstream_request *request = upstream_request(upstream, 0);
        const char *why = request->why ? request->why : "fine";
        ck_assert_msg(strcmp(why, rows[i].why ? rows[i].why : "fine") == 0, "row %zu: %s", i, why);
        ck_assert_int_eq(upstream_count(upstream, UPSTREAM_MALFORMED), rows[i].why != NULL);
        ck_assert_int_eq(upstream_count(upstream, UPSTREAM_REQUESTS), rows[i].why == NULL);
        ck_assert_int_eq(request->state, rows[i].why ? UPSTREAM_IS_MALFORMED : UPSTREAM_WHOLE);
        client_free(client);
        upstream_stop(upstream);
    }
}

TEST(tells_requests_that_were_cut_short) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *one = dial(upstream), *other = dial(upstream);
    say(one, POST_10 "01234");
    ck_assert(upstream_wait(upstream, UPSTREAM_HEADS, 1, WAIT_MS));
    client_free(one);
    ck_assert(upstream_wait(upstream, UPSTREAM_CUT_SHORT, 1, WAIT_MS));
    say(other, "GET / HT");
    client_finish(other);
    ck_assert(upstream_wait(upstream, UPSTREAM_CUT_SHORT, 2, WAIT_MS));
    ck_assert_int_eq(upstream_request(upstream, 0)->state, UPSTREAM_IS_CUT);
    ck_assert_uint_eq(upstream_request(upstream, 0)->body_len, 5);
    ck_assert(span_equal_text(upstream_request(upstream, 1)->raw, "GET / HT"));
    ck_assert(span_is_absent(upstream_request(upstream, 1)->head));
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_REQUESTS), 0);
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_HEADS), 1);
    client_free(other);
    upstream_stop(upstream);
}

TEST(waits_within_a_deadline) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    ck_assert(!upstream_wait(upstream, UPSTREAM_REQUESTS, 1, 30));
    ck_assert_int_eq(http_get(upstream_port(upstream), "/x?y=1", NULL, NULL), 200);
    ck_assert(upstream_wait(upstream, UPSTREAM_REQUESTS, 1, WAIT_MS));
    ck_assert(upstream_wait_hits(upstream, "/x", 1, WAIT_MS));
    ck_assert(!upstream_wait_hits(upstream, "/x", 2, 30));
    ck_assert_int_eq(upstream_hits(upstream, "/y"), 0);
    upstream_stop(upstream);
}

/* --- scripts --------------------------------------------------------------------------------- */

TEST(scripts_belong_to_paths_and_may_count_once) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *client = dial(upstream);
    upstream_answer(upstream, "/a", "HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n");
    upstream_answer(upstream, NULL, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    upstream_script_once(
        upstream, "/a",
        UPSTREAM_STEPS(UPSTREAM_SEND("HTTP/1.1 202 One\r\nContent-Length: 0\r\n\r\n")));
    upstream_script_once(
        upstream, "/a",
        UPSTREAM_STEPS(UPSTREAM_SEND("HTTP/1.1 203 Two\r\nContent-Length: 0\r\n\r\n")));
    ask(client, "GET /a HTTP/1.1\r\nHost: u\r\n\r\n", 202);
    ask(client, "GET /a?q HTTP/1.1\r\nHost: u\r\n\r\n", 203);
    ask(client, "GET /a HTTP/1.1\r\nHost: u\r\n\r\n", 201);
    ask(client, "GET /b HTTP/1.1\r\nHost: u\r\n\r\n", 404);
    upstream_answer(upstream, NULL, EMPTY_200);
    ask(client, "GET /b HTTP/1.1\r\nHost: u\r\n\r\n", 200);
    client_free(client);
    upstream_stop(upstream);
}

TEST(misbehaves_as_told) {
    static const struct {
        const char *what;
        struct upstream_step steps[6];
        enum client_result result;
    } rows[] = {
        {"sends", {UPSTREAM_READ, UPSTREAM_SEND(EMPTY_200)}, CLIENT_OK},
        {"sends before it reads", {UPSTREAM_SEND(EMPTY_200), UPSTREAM_READ}, CLIENT_OK},
        {"sends and closes", {UPSTREAM_READ, UPSTREAM_SEND(EMPTY_200), UPSTREAM_CLOSE}, CLIENT_OK},
        {"pauses",
         {UPSTREAM_SEND("HTTP/1.1 "), UPSTREAM_WAIT(20), UPSTREAM_SEND("204 N\r\n\r\n")},
         CLIENT_OK},
        {"drips", {UPSTREAM_READ, UPSTREAM_DRIP(EMPTY_200, 1)}, CLIENT_OK},
        {"drips slowly", {UPSTREAM_READ, UPSTREAM_DRIP(EMPTY_200, 50)}, CLIENT_TIMEOUT},
        {"hangs", {UPSTREAM_READ, UPSTREAM_HANG}, CLIENT_TIMEOUT},
        {"hangs without reading", {UPSTREAM_HANG}, CLIENT_TIMEOUT},
        {"closes", {UPSTREAM_READ, UPSTREAM_CLOSE}, CLIENT_CLOSED},
        {"resets", {UPSTREAM_READ, UPSTREAM_RESET}, CLIENT_CLOSED},
        {"resets within the answer",
         {UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 200 OK\r\n"), UPSTREAM_RESET},
         CLIENT_CLOSED},
        {"half-closes", {UPSTREAM_READ, UPSTREAM_FINISH, UPSTREAM_HANG}, CLIENT_CLOSED},
        {"half-closes behind a body without length",
         {UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 200 OK\r\n\r\nx"), UPSTREAM_FINISH, UPSTREAM_HANG},
         CLIENT_OK},
        {"truncates",
         {UPSTREAM_SEND("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234"), UPSTREAM_CLOSE},
         CLIENT_CLOSED},
        {"says no HTTP",
         {UPSTREAM_READ, UPSTREAM_SEND("SSH-2.0-x\r\n\r\n"), UPSTREAM_CLOSE},
         CLIENT_MALFORMED},
        {"fills",
         {UPSTREAM_SEND("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n"), UPSTREAM_FILL(70000)},
         CLIENT_OK},
        {"fills too little",
         {UPSTREAM_SEND("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n"), UPSTREAM_FILL(69999)},
         CLIENT_TIMEOUT},
        {"fills chunks",
         {UPSTREAM_SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
          UPSTREAM_FILL_CHUNKED(70000)},
         CLIENT_OK},
    };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct response response = {0};
        struct client *client = dial(upstream);
        upstream_script(upstream, NULL, rows[i].steps);
        say(client, GET);
        int within_ms = rows[i].result == CLIENT_TIMEOUT ? 200 : WAIT_MS;
        enum client_result result = client_read(client, within_ms, &response);
        ck_assert_msg(result == rows[i].result, "%s: %d", rows[i].what, result);
        client_response_done(&response);
        client_free(client);
        ck_assert_msg(upstream_wait(upstream, UPSTREAM_OPEN, 0, WAIT_MS), "%s", rows[i].what);
    }
    upstream_stop(upstream);
}

TEST(waits_at_a_gate_until_told) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *one = dial(upstream), *gone = dial(upstream);
    struct response response = {0};
    upstream_script(upstream, NULL,
                    UPSTREAM_STEPS(UPSTREAM_GATE, UPSTREAM_SEND(EMPTY_200), UPSTREAM_GATE));
    say(one, GET);
    say(gone, GET);
    ck_assert(upstream_wait(upstream, UPSTREAM_AT_GATE, 2, WAIT_MS));
    client_free(gone);
    ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 1, WAIT_MS));
    ck_assert_int_eq(client_read(one, 50, &response), CLIENT_TIMEOUT);
    upstream_go(upstream);
    free(hear(one, 200));
    ck_assert(upstream_wait(upstream, UPSTREAM_AT_GATE, 1, WAIT_MS)); /* at the second one */
    upstream_go(upstream);
    upstream_go(upstream); /* for the next request, ahead of time */
    ask(one, GET, 200);
    client_free(one);
    upstream_stop(upstream);
}

TEST(answers_while_the_client_still_uploads) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *client = dial(upstream);
    upstream_script_once(upstream, NULL,
                         UPSTREAM_STEPS(UPSTREAM_READ_SOME(4), UPSTREAM_SEND(EMPTY_200)));
    say(client, POST_10);
    ck_assert(upstream_wait(upstream, UPSTREAM_HEADS, 1, WAIT_MS));
    ask(client, "0123", 200);
    ck_assert_int_eq(upstream_request(upstream, 0)->state, UPSTREAM_ARRIVING);
    ck_assert_uint_eq(upstream_request(upstream, 0)->body_len, 4);
    say(client, "456789");
    ask(client, GET, 200);
    ck_assert(span_equal_text(upstream_request(upstream, 0)->body, "0123456789"));
    ck_assert_int_eq(upstream_request(upstream, 1)->connection, 0);
    client_free(client);
    upstream_stop(upstream);
}

/* The system's buffers take some of it; then the client can send no more. */
TEST(leaves_a_body_unread_or_reads_it_slowly) {
    static const struct {
        struct upstream_step steps[2];
        bool whole;
    } rows[] = {
        {{UPSTREAM_HANG}, false},
        {{UPSTREAM_READ_SLOWLY(1024, 50)}, false},
        {{UPSTREAM_READ_SLOWLY(65536, 1)}, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
        upstream_script(upstream, NULL, rows[i].steps);
        char *url = scratch_text("%s/", upstream_target(upstream));
        char *path = scratch_text("%s/body", scratch_root());
        char *data = scratch_text("@%s", path);
        char *bytes = malloc(8 * MIB);
        ck_assert_ptr_nonnull(bytes);
        upstream_filler(0, bytes, 8 * MIB);
        free(scratch_file(scratch_root(), "body", (struct span){bytes, 8 * MIB}));
        const char *argv[] = {"curl", "-sS", "-HExpect:", "--data-binary", data, url, NULL};
        struct process *curl = process_start(argv, NULL);

        ck_assert(upstream_wait(upstream, UPSTREAM_HEADS, 1, WAIT_MS));
        bool whole = upstream_wait(upstream, UPSTREAM_REQUESTS, 1, rows[i].whole ? WAIT_MS : 300);
        ck_assert_msg(whole == rows[i].whole, "row %zu", i);
        const struct upstream_request *request = upstream_request(upstream, 0);
        ck_assert(request->body_len < MIB || whole);
        ck_assert(request->body.len <= UPSTREAM_KEPT_MAX);
        ck_assert(upstream_is_filler(0, request->body));
        if (whole) ck_assert_uint_eq(request->digest, upstream_filler_digest(8 * MIB));
        process_free(curl);
        free(bytes);
        free(data);
        free(path);
        free(url);
        upstream_stop(upstream);
    }
}

TEST(answers_100_only_where_it_reads_and_is_expected_to) {
    static const char head[] =
        "POST / HTTP/1.1\r\nHost: u\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct response response = {0};

    struct client *client = dial(upstream);
    ask(client, head, 100);
    ask(client, "ab", 200);
    ask(client, POST_10 "0123456789", 200); /* none without Expect */
    client_free(client);

    client = dial(upstream);
    upstream_script(upstream, NULL, UPSTREAM_STEPS(UPSTREAM_READ_MUTELY, UPSTREAM_SEND(EMPTY_200)));
    say(client, head);
    ck_assert_int_eq(client_read(client, 50, &response), CLIENT_TIMEOUT);
    ask(client, "ab", 200);
    client_free(client);

    client = dial(upstream);
    upstream_script(upstream, NULL,
                    UPSTREAM_STEPS(UPSTREAM_SEND("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"),
                                   UPSTREAM_READ, UPSTREAM_CLOSE));
    ask(client, head, 417);
    ck_assert(!client_closed(client, 30)); /* it reads, without a word */
    say(client, "ab");
    ck_assert(client_closed(client, WAIT_MS));
    client_free(client);
    upstream_stop(upstream);
}

TEST(closes_connections_unannounced) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *client = dial(upstream);
    upstream_close_after(upstream, 2);
    ask(client, GET, 200);
    ask(client, GET, 200);
    ck_assert(client_closed(client, WAIT_MS));
    client_free(client);

    upstream_close_after(upstream, 0);
    struct client *idle = dial(upstream), *busy = dial(upstream);
    upstream_script(upstream, "/busy", UPSTREAM_STEPS(UPSTREAM_GATE, UPSTREAM_SEND(EMPTY_200)));
    ask(idle, GET, 200);
    say(busy, "GET /busy HTTP/1.1\r\nHost: u\r\n\r\n");
    ck_assert(upstream_wait(upstream, UPSTREAM_AT_GATE, 1, WAIT_MS));
    /* Its thread may still be on its way from the answer to its rest. */
    bool closed = false;
    for (int i = 0; i < 50 && !closed; i++) {
        upstream_close_idle(upstream);
        closed = client_closed(idle, 100);
    }
    ck_assert(closed);
    upstream_go(upstream);
    free(hear(busy, 200));
    client_free(idle);
    client_free(busy);
    upstream_stop(upstream);
}

TEST(acts_before_any_request) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    upstream_script_once(upstream, UPSTREAM_AT_CONNECT, UPSTREAM_STEPS(UPSTREAM_SEND(EMPTY_200)));
    struct client *client = dial(upstream);
    free(hear(client, 200));
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_HEADS), 0);
    ask(client, GET, 200);
    client_free(client);
    upstream_script(upstream, UPSTREAM_AT_CONNECT, UPSTREAM_STEPS(UPSTREAM_RESET));
    client = dial(upstream);
    ck_assert(client_closed(client, WAIT_MS));
    client_free(client);
    upstream_stop(upstream);
}

TEST(becomes_a_tunnel) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *client = dial(upstream);
    upstream_script(upstream, NULL,
                    UPSTREAM_STEPS(UPSTREAM_SEND("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"),
                                   UPSTREAM_ECHO));
    ask(client, "GET / HTTP/1.1\r\nHost: u\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 101);
    ask(client, "HTTP/1.1 299 Echo\r\nContent-Length: 2\r\n\r\nhi", 299);
    client_finish(client);
    ck_assert(client_closed(client, WAIT_MS));
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_REQUESTS), 1);
    client_free(client);
    upstream_stop(upstream);
}

/* Far more than the system keeps for both sides: who waited for the other would wait for ever. */
TEST(a_tunnel_takes_bytes_while_nobody_takes_those_it_sends_back) {
    enum { SIZE = 32 * MIB };
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *client = dial(upstream);
    char *bytes = malloc(SIZE);
    ck_assert_ptr_nonnull(bytes);
    upstream_filler(0, bytes, SIZE);
    upstream_script(upstream, NULL,
                    UPSTREAM_STEPS(UPSTREAM_SEND("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"),
                                   UPSTREAM_ECHO));
    ask(client, "GET / HTTP/1.1\r\nHost: u\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 101);
    ck_assert(client_sendf(client, "HTTP/1.1 299 Echo\r\nContent-Length: %d\r\n\r\n", SIZE));
    ck_assert(client_send(client, (struct span){bytes, SIZE}));
    client_finish(client); /* which cuts nothing off */
    char *echo = hear(client, 299);
    ck_assert(upstream_is_filler(0, (struct span){echo, SIZE}));
    ck_assert(client_closed(client, WAIT_MS));
    client_free(client);
    free(echo), free(bytes);
    upstream_stop(upstream);
}

TEST(an_endless_answer_stops_where_nobody_reads) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *client = dial(upstream);
    upstream_script(
        upstream, NULL,
        UPSTREAM_STEPS(UPSTREAM_SEND("HTTP/1.1 200 OK\r\n\r\n"), UPSTREAM_FILL(UPSTREAM_ALL)));
    say(client, GET);
    uint64_t before, now = 0;
    do {
        before = now;
        process_sleep_ms(50);
        now = upstream_sent(upstream);
    } while (now < 64 * 1024 || now != before);
    ck_assert_uint_le(now, 32 * MIB);
    client_free(client);
    ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, WAIT_MS));
    upstream_stop(upstream);
}

/* --- where it listens ------------------------------------------------------------------------ */

TEST(goes_down_and_comes_up_on_the_same_port) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *client = dial(upstream);
    upstream_script(upstream, "/gate", UPSTREAM_STEPS(UPSTREAM_GATE));
    say(client, "GET /gate HTTP/1.1\r\nHost: u\r\n\r\n");
    ck_assert(upstream_wait(upstream, UPSTREAM_AT_GATE, 1, WAIT_MS));
    upstream_down(upstream);
    ck_assert(client_closed(client, WAIT_MS));
    ck_assert_ptr_null(client_connect(upstream_port(upstream)));
    upstream_up(upstream);
    ck_assert_int_eq(http_get(upstream_port(upstream), "/", NULL, NULL), 200);
    client_free(client);
    upstream_stop(upstream);
}

TEST(listens_on_a_unix_socket) {
    char *folder = scratch_new(), *path = scratch_text("%s/u", folder);
    char *target = scratch_text("unix:%s", path);
    struct upstream *upstream = upstream_start_unix(path);
    ck_assert_str_eq(upstream_target(upstream), target);
    struct client *client = client_connect_unix(path);
    ck_assert_ptr_nonnull(client);
    ask(client, GET, 200);
    upstream_script(upstream, NULL, UPSTREAM_STEPS(UPSTREAM_HANG));
    say(client, GET);
    ck_assert(upstream_wait(upstream, UPSTREAM_HEADS, 2, WAIT_MS));
    client_free(client);
    ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, WAIT_MS));
    upstream_stop(upstream);
    ck_assert_ptr_null(client_connect_unix(path));
    free(target);
    free(path);
    free(folder);
}

static int curl(const struct upstream *upstream, const char *more, const char *value) {
    char *url = scratch_text("%s/", upstream_target(upstream));
    const char *argv[] = {"curl", "-sS", "--cacert", certificate_authority_file(),
                          url,    more,  value,      NULL};
    struct process *process = process_start(argv, NULL);
    int code = process_wait_exit(process, WAIT_MS);
    process_free(process);
    free(url);
    return code;
}

TEST(presents_the_certificate_that_was_asked_for) {
    static const struct {
        enum upstream_tls tls;
        int curl_exit; /* 0 fine, 35 handshake, 60 certificate refused */
    } rows[] = {
        {UPSTREAM_TLS, 0},
        {UPSTREAM_TLS_EXPIRED, 60},
        {UPSTREAM_TLS_WRONG_NAME, 60},
        {UPSTREAM_TLS_SELF_SIGNED, 60},
        {UPSTREAM_TLS_OLD, 35},
        {UPSTREAM_TLS_RESET, 35},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct upstream *upstream = upstream_start(rows[i].tls);
        int code = curl(upstream, NULL, NULL);
        ck_assert_msg(code == rows[i].curl_exit, "row %zu: %d", i, code);
        ck_assert_int_eq(upstream_count(upstream, UPSTREAM_REQUESTS), code == 0);
        ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CONNECTIONS), 1);
        upstream_stop(upstream);
    }
}

TEST(notes_the_names_of_a_tls_client) {
    struct upstream *upstream = upstream_start(UPSTREAM_TLS);
    char *folder = scratch_new(), *certificate = NULL, *private_key = NULL, *pair = NULL;
    certificate_files(folder, &certificate, &private_key);
    char *one = scratch_read(certificate, NULL), *two = scratch_read(private_key, NULL);
    char *both = scratch_text("%s%s", one, two);
    pair = scratch_file(folder, "pair.pem", span_of(both));

    ck_assert_int_eq(curl(upstream, "--cert", pair), 0);
    ck_assert_str_eq(upstream_connection(upstream, 0)->certificate, "bearerd test server");
    ck_assert_ptr_null(upstream_connection(upstream, 0)->server_name);
    char *connect_to = scratch_text("https://localhost:%d/", upstream_port(upstream));
    ck_assert_int_eq(curl(upstream, "--url", connect_to), 0);
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_REQUESTS), 3);
    ck_assert_str_eq(upstream_connection(upstream, 2)->server_name, "localhost");
    ck_assert_ptr_null(upstream_connection(upstream, 2)->certificate);
    ck_assert(span_starts_with(upstream_connection(upstream, 2)->raw, SPAN_LITERAL("GET / ")));
    free(connect_to);
    free(pair);
    free(both);
    free(two);
    free(one);
    free(private_key);
    free(certificate);
    free(folder);
    upstream_stop(upstream);
}

/* Does a TLS client see the end of the stream for the cut that it may be? */
static bool is_cut_for_a_client(const struct upstream *upstream) {
    char *address = scratch_text("127.0.0.1:%d", upstream_port(upstream));
    const char *argv[] = {"openssl", "s_client", "-quiet", "-connect", address, NULL};
    struct process *process = process_start_with_input(argv, NULL, SPAN_LITERAL(GET));
    ck_assert_int_ne(process_wait_exit(process, WAIT_MS), PROCESS_RUNNING);
    char *output = process_output(process);
    ck_assert_str_eq(output, "HTTP/1.1 200 OK\r\n\r\nbody");
    bool is_cut = process_count_errors(process, "unexpected eof") > 0;
    free(output);
    process_free(process);
    free(address);
    return is_cut;
}

TEST(ends_tls_properly_or_not) {
    static const struct {
        struct upstream_step steps[4];
        bool is_cut;
    } rows[] = {
        {{UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 200 OK\r\n\r\nbody"), UPSTREAM_CLOSE}, false},
        {{UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 200 OK\r\n\r\nbody"), UPSTREAM_FINISH}, false},
        {{UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 200 OK\r\n\r\nbody"), UPSTREAM_CUT}, true},
    };
    struct upstream *upstream = upstream_start(UPSTREAM_TLS);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        upstream_script(upstream, NULL, rows[i].steps);
        ck_assert_msg(is_cut_for_a_client(upstream) == rows[i].is_cut, "row %zu", i);
    }
    upstream_stop(upstream);
}

/* --- large bodies ---------------------------------------------------------------------------- */

TEST(the_filler_tells_each_offset) {
    char bytes[5000], moved[100];
    upstream_filler(0, bytes, sizeof bytes);
    ck_assert(upstream_is_filler(0, (struct span){bytes, sizeof bytes}));
    ck_assert(upstream_is_filler(77, (struct span){bytes + 77, 1000}));
    for (uint64_t offset = 1; offset < UINT64_C(1) << 40; offset = offset * 2 + 1)
        ck_assert(!upstream_is_filler(offset, (struct span){bytes, 200}));
    for (uint64_t offset = 64; offset < UINT64_C(1) << 36; offset *= 2)
        ck_assert(!upstream_is_filler(offset, (struct span){bytes, 200}));
    upstream_filler(4900, moved, sizeof moved);
    ck_assert_mem_eq(moved, bytes + 4900, sizeof moved);
    bytes[4999] ^= 1;
    ck_assert(!upstream_is_filler(0, (struct span){bytes, sizeof bytes}));
}

/* The vectors of FNV-1a that its authors published. */
TEST(the_digest_is_fnv_1a) {
    ck_assert_uint_eq(upstream_digest(UPSTREAM_DIGEST_EMPTY, SPAN_LITERAL("a")),
                      UINT64_C(0xaf63dc4c8601ec8c));
    uint64_t half = upstream_digest(UPSTREAM_DIGEST_EMPTY, SPAN_LITERAL("foo"));
    ck_assert_uint_eq(upstream_digest(half, SPAN_LITERAL("bar")), UINT64_C(0x85944171f73967e8));
    ck_assert_uint_eq(upstream_filler_digest(0), UPSTREAM_DIGEST_EMPTY);
}

TEST(sends_filler_that_a_client_can_verify) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    struct client *client = dial(upstream);
    upstream_script(
        upstream, NULL,
        UPSTREAM_STEPS(UPSTREAM_SEND("HTTP/1.1 200 OK\r\nContent-Length: 1000003\r\n\r\n"),
                       UPSTREAM_FILL(1000003)));
    say(client, GET);
    char *body = hear(client, 200);
    ck_assert(upstream_is_filler(0, (struct span){body, 1000003}));
    ck_assert_uint_eq(upstream_digest(UPSTREAM_DIGEST_EMPTY, (struct span){body, 1000003}),
                      upstream_filler_digest(1000003));
    free(body);
    client_free(client);
    upstream_stop(upstream);
}
