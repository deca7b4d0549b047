/*
 * Requests and responses through the proxy, whatever their method, status and framing: each arrives
 * whole and as it was, and the next one on the same connection begins exactly where it ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tests/integration/passage.h"
#include "tests/integration/talk.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 4 : 1)
#define WAIT_MS 5000
#define QUIET_MS 200

#define OK_LENGTH(length) "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n"
#define OK_CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LENGTH(length) "Content-Length: " length "\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

/* --- one request and its answer -------------------------------------------------------------- */

struct exchange {
    const char *name; /* for failures; its path as well */
    const char *method, *headers, *body;
    const char *answer; /* what the upstream says, all of it */
    bool closes;        /* and then closes */
    int status;
    const char *answered; /* the body that the client gets */
    const char *arrived;  /* the body that the upstream gets */
};

static void script(const struct passage *passage, const struct exchange *e) {
    upstream_script(passage->upstream, e->name,
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(e->answer)),
                                   {.act = e->closes ? UPSTREAM_ACT_CLOSE : UPSTREAM_ACT_END}));
}

static void send_request(const struct passage *passage, struct client *client,
                         const struct exchange *e) {
    char *head = passage_head(passage, e->method, e->name, e->headers);
    ck_assert_msg(client_sendf(client, "%s%s", head, e->body), "%s: closed", e->name);
    free(head);
}

/* The answer, without a byte of anything else before it. Says whether the connection goes on. */
static bool check_answer(struct client *client, const struct exchange *e) {
    struct response response;
    bool to_head = strcmp(e->method, "HEAD") == 0;
    enum client_result result = to_head ? client_read_to_head(client, WAIT_MS, &response)
                                        : client_read(client, WAIT_MS, &response);
    ck_assert_msg(result == CLIENT_OK, "%s: no answer (%d)", e->name, result);
    ck_assert_msg(response.status == e->status, "%s: %s%s", e->name, response.head, response.body);
    ck_assert_msg(strcmp(response.body, e->answered) == 0, "%s: %s%s", e->name, response.head,
                  response.body);
    bool goes_on = !span_equal_text(response_header(&response, "Connection"), "close");
    client_response_done(&response);
    return goes_on;
}

static void check_arrived(const struct passage *passage, const struct exchange *e) {
    const struct upstream_request *request = passage_request(passage, e->name);
    ck_assert_msg(request->state == UPSTREAM_WHOLE, "%s: %s", e->name, request->why);
    ck_assert_msg(span_equal_text(request->method, e->method), "%s", e->name);
    ck_assert_msg(span_equal_text(request->body, e->arrived), "%s: %.*s", e->name,
                  SPAN_PRINTF(request->raw));
    bool chunked = strstr(e->headers, "chunked") != NULL;
    ck_assert_msg(request->chunked == chunked, "%s: %.*s", e->name, SPAN_PRINTF(request->raw));
}

/* All of them on one connection, several times, there and back. */
static void check_on_one_connection(const struct exchange *exchanges, size_t count, int times) {
    struct passage passage = passage_start(&(struct passage_options){0});
    struct client *client = client_connect(passage_port(&passage));
    for (size_t i = 0; i < count; i++) script(&passage, &exchanges[i]);
    for (int turn = 0; turn < times; turn++) {
        for (size_t i = 0; i < count; i++) {
            const struct exchange *e = &exchanges[turn % 2 ? count - 1 - i : i];
            send_request(&passage, client, e);
            ck_assert_msg(check_answer(client, e), "%s: the connection was closed", e->name);
            check_arrived(&passage, e);
        }
    }
    ck_assert_int_eq(upstream_count(passage.upstream, UPSTREAM_MALFORMED), 0);
    ck_assert_int_eq(upstream_count(passage.upstream, UPSTREAM_CUT_SHORT), 0);
    ck_assert_int_eq(upstream_count(passage.upstream, UPSTREAM_REQUESTS), times * (int)count);
    client_free(client);
    passage_end(&passage);
}

#define OK2 OK_LENGTH("2") "ok"

static const struct exchange methods[] = {
    {"/get", "GET", "", "", OK2, false, 200, "ok", ""},
    {"/get-length-0", "GET", LENGTH("0"), "", OK2, false, 200, "ok", ""},
    {"/get-body", "GET", LENGTH("5"), "hello", OK2, false, 200, "ok", "hello"},
    {"/head", "HEAD", "", "", OK_LENGTH("12345"), false, 200, "", ""},
    {"/head-0", "HEAD", "", "", OK_LENGTH("0"), false, 200, "", ""},
    {"/post", "POST", LENGTH("5"), "hello", OK2, false, 200, "ok", "hello"},
    {"/post-nothing", "POST", "", "", OK2, false, 200, "ok", ""},
    {"/post-length-0", "POST", LENGTH("0"), "", OK2, false, 200, "ok", ""},
    {"/post-chunked", "POST", CHUNKED, "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", OK2, false, 200, "ok",
     "hello!"},
    {"/post-chunked-empty", "POST", CHUNKED, "0\r\n\r\n", OK2, false, 200, "ok", ""},
    {"/post-chunk-extension", "POST", CHUNKED, "5;a=b\r\nhello\r\n0;c\r\n\r\n", OK2, false, 200,
     "ok", "hello"},
    {"/post-like-a-request", "POST", LENGTH("35"), "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", OK2,
     false, 200, "ok", "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"},
    {"/put", "PUT", LENGTH("4"), "\r\n\r\n", OK2, false, 200, "ok", "\r\n\r\n"},
    {"/put-chunked", "PUT", CHUNKED, "a\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", OK2, false, 200, "ok",
     "0\r\n\r\n0\r\n\r\n"},
    {"/patch", "PATCH", LENGTH("2"), "{}", OK2, false, 200, "ok", "{}"},
    {"/delete", "DELETE", "", "", OK2, false, 200, "ok", ""},
    {"/delete-body", "DELETE", LENGTH("2"), "id", OK2, false, 200, "ok", "id"},
    {"/options", "OPTIONS", "", "", OK2, false, 200, "ok", ""},
    {"/propfind", "PROPFIND", LENGTH("1"), "x", OK2, false, 200, "ok", "x"},
    {"/own", "X-OWN", "", "", OK2, false, 200, "ok", ""},
};

TEST(every_method_passes_with_and_without_a_body) {
    check_on_one_connection(methods, ARRAY_LEN(methods), 2);
}

#define GET_OF(path, answer, status, answered)                                                     \
    { path, "GET", "", "", answer, false, status, answered, "" }
#define GET_CLOSED(path, answer, status, answered)                                                 \
    { path, "GET", "", "", answer, true, status, answered, "" }

static const struct exchange framings[] = {
    GET_OF("/length", OK2, 200, "ok"),
    GET_OF("/length-0", OK_LENGTH("0"), 200, ""),
    GET_OF("/chunked", OK_CHUNKED "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 200, "hello!"),
    GET_OF("/chunked-empty", OK_CHUNKED "0\r\n\r\n", 200, ""),
    GET_OF("/chunked-tiny", OK_CHUNKED "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n1\r\nd\r\n0\r\n\r\n", 200,
           "abcd"),
    GET_OF("/chunked-upper", OK_CHUNKED "00A\r\n0123456789\r\n0\r\n\r\n", 200, "0123456789"),
    GET_OF("/chunk-extension", OK_CHUNKED "5;a=\"b\"\r\nhello\r\n0;c\r\n\r\n", 200, "hello"),
    GET_OF("/looks-like-chunks", OK_LENGTH("10") "0\r\n\r\n0\r\n\r\n", 200, "0\r\n\r\n0\r\n\r\n"),
    GET_OF("/looks-like-an-answer",
           OK_LENGTH("40") "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200,
           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    GET_CLOSED("/until-close", "HTTP/1.1 200 OK\r\n\r\nhello", 200, "hello"),
    GET_CLOSED("/until-close-empty", "HTTP/1.1 200 OK\r\n\r\n", 200, ""),
    GET_CLOSED("/http-1.0", "HTTP/1.0 200 OK\r\n\r\nhello", 200, "hello"),
    GET_CLOSED("/http-1.0-length", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200,
               "hello"),
    GET_CLOSED("/close-length",
               "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 200,
               "hello"),
    GET_OF("/204", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
    GET_OF("/204-length-0", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, ""),
    GET_OF("/205", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", 205, ""),
    GET_OF("/205-chunked", "HTTP/1.1 205 Reset Content\r\n" CHUNKED "\r\n0\r\n\r\n", 205, ""),
    GET_OF("/304-length", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 99\r\n\r\n",
           304, ""),
    GET_OF("/no-reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
    GET_OF("/no-space", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
};

TEST(every_framing_of_an_answer_reaches_the_client_whole) {
    check_on_one_connection(framings, ARRAY_LEN(framings), 3);
}

TEST_WITHIN(many_requests_of_all_kinds_on_one_connection_do_not_slip, 60) {
    static struct exchange all[ARRAY_LEN(methods) + ARRAY_LEN(framings)];
    /* Mixed, so that rows of both tables stand behind one another; 11 and 41 have no divisor in
     * common. */
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        size_t mixed = i * 11 % ARRAY_LEN(all);
        all[i] = mixed < ARRAY_LEN(methods) ? methods[mixed] : framings[mixed - ARRAY_LEN(methods)];
    }
    check_on_one_connection(all, ARRAY_LEN(all), SCENE_SANITIZED ? 2 : 10);
}

TEST(i6_pipelined_requests_are_answered_in_order) {
    struct passage passage = passage_start(&(struct passage_options){0});
    struct client *client = client_connect(passage_port(&passage));
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) script(&passage, &methods[i]);
    for (size_t i = 0; i < ARRAY_LEN(framings); i++) script(&passage, &framings[i]);
    for (int turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < ARRAY_LEN(methods); i++) send_request(&passage, client, &methods[i]);
        for (size_t i = 0; i < ARRAY_LEN(framings); i++)
            send_request(&passage, client, &framings[i]);
        for (size_t i = 0; i < ARRAY_LEN(methods); i++)
            ck_assert_msg(check_answer(client, &methods[i]), "%s: closed", methods[i].name);
        for (size_t i = 0; i < ARRAY_LEN(framings); i++)
            ck_assert_msg(check_answer(client, &framings[i]), "%s: closed", framings[i].name);
    }
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) check_arrived(&passage, &methods[i]);
    ck_assert_int_eq(upstream_count(passage.upstream, UPSTREAM_MALFORMED), 0);
    client_free(client);
    passage_end(&passage);
}

/* The first of them is slow: the others must wait, not overtake. */
TEST(i6_a_pipelined_request_does_not_overtake_a_slow_one) {
    struct passage passage = passage_start(&(struct passage_options){0});
    struct client *client = client_connect(passage_port(&passage));
    upstream_script(
        passage.upstream, "/slow",
        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_GATE, UPSTREAM_SEND(OK_LENGTH("4") "slow")));
    char *slow = passage_head(&passage, "GET", "/slow", "");
    char *quick = passage_head(&passage, "GET", "/quick", "");
    struct response response;
    ck_assert(client_sendf(client, "%s%s", slow, quick));
    ck_assert(upstream_wait(passage.upstream, UPSTREAM_AT_GATE, 1, WAIT_MS));
    ck_assert_int_eq(client_read(client, QUIET_MS, &response), CLIENT_TIMEOUT);
    upstream_go(passage.upstream);
    static const char *const bodies[] = {"slow", "ok\n"};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
        ck_assert_str_eq(response.body, bodies[i]);
        client_response_done(&response);
    }
    free(quick), free(slow);
    client_free(client);
    passage_end(&passage);
}

/* --- answers without a body and without a length --------------------------------------------- */

/* How such an answer ends is its server's to choose; a client must not find it anywhere else. */
TEST(an_answer_that_has_neither_body_nor_length_ends_with_its_head) {
    static const struct exchange rows[] = {
        {"/head-none", "HEAD", "", "", "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n", true, 200, "", ""},
        {"/head-chunked", "HEAD", "", "", OK_CHUNKED, false, 200, "", ""},
        {"/head-204", "HEAD", "", "", "HTTP/1.1 204 No Content\r\n\r\n", false, 204, "", ""},
        {"/head-304", "HEAD", "", "", "HTTP/1.1 304 Not Modified\r\n\r\n", false, 304, "", ""},
        GET_OF("/304", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", 304, ""),
        GET_OF("/304-chunked", "HTTP/1.1 304 Not Modified\r\n" CHUNKED "\r\n", 304, ""),
    };
    static const struct exchange next = GET_OF("/next", OK2, 200, "ok");
    struct passage passage = passage_start(&(struct passage_options){0});
    script(&passage, &next);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client *client = client_connect(passage_port(&passage));
        script(&passage, &rows[i]);
        send_request(&passage, client, &rows[i]);
        if (check_answer(client, &rows[i])) {
            send_request(&passage, client, &next);
            ck_assert(check_answer(client, &next));
        } else {
            ck_assert_msg(client_closed(client, WAIT_MS), "%s", rows[i].name);
        }
        client_free(client);
    }
    passage_end(&passage);
}

TEST(the_length_in_an_answer_without_body_is_the_upstreams) {
    struct passage passage = passage_start(&(struct passage_options){0});
    static const struct exchange rows[] = {
        {"/head", "HEAD", "", "", OK_LENGTH("12345"), false, 200, "12345", ""},
        {"/head-large", "HEAD", "", "", OK_LENGTH("123456789012"), false, 200, "123456789012", ""},
        GET_OF("/304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", 304, "99"),
    };
    struct client *client = client_connect(passage_port(&passage));
    for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        const struct exchange *e = &rows[i % ARRAY_LEN(rows)];
        struct response response;
        script(&passage, e);
        send_request(&passage, client, e);
        ck_assert_int_eq(client_read_to_head(client, WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, e->status);
        ck_assert_int_eq(response_header_count(&response, "Content-Length"), 1);
        ck_assert(span_equal_text(response_header(&response, "Content-Length"), e->answered));
        ck_assert_int_eq(response_header_count(&response, "Transfer-Encoding"), 0);
        client_response_done(&response);
    }
    client_free(client);
    passage_end(&passage);
}

/* RFC 9110 sections 8.6 and 15.3.5 */
TEST(a_204_has_no_length_and_no_chunks) {
    struct passage passage = passage_start(&(struct passage_options){0});
    struct client *client = client_connect(passage_port(&passage));
    char *head = passage_head(&passage, "GET", "/204", "");
    static const char *const answers[] = {"HTTP/1.1 204 No Content\r\n\r\n",
                                          "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct response response;
        upstream_answer(passage.upstream, "/204", answers[i]);
        ck_assert(client_send(client, span_of(head)));
        ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 204);
        ck_assert_int_eq(response_header_count(&response, "Content-Length"), 0);
        ck_assert_int_eq(response_header_count(&response, "Transfer-Encoding"), 0);
        client_response_done(&response);
    }
    free(head);
    client_free(client);
    passage_end(&passage);
}

/* --- statuses and fields --------------------------------------------------------------------- */

TEST(every_status_passes_with_its_body) {
    static const int statuses[] = {200, 201, 202, 203, 206, 207, 226, 299, 300, 301, 302, 303,
                                   305, 307, 308, 399, 400, 401, 402, 403, 404, 405, 406, 407,
                                   408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421,
                                   422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501,
                                   502, 503, 504, 505, 506, 507, 508, 510, 511, 599};
    struct passage passage = passage_start(&(struct passage_options){0});
    struct client *client = client_connect(passage_port(&passage));
    char *head = passage_head(&passage, "GET", "/status", "");
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        char *answer = scratch_text("HTTP/1.1 %d Its Reason\r\nX-Own: %d\r\nContent-Length: 6\r\n"
                                    "WWW-Authenticate: Basic realm=\"its own\"\r\n\r\nbody\r\n",
                                    statuses[i], statuses[i]);
        struct response response;
        upstream_answer(passage.upstream, "/status", answer);
        ck_assert_msg(client_send(client, span_of(head)), "after %d", statuses[i - 1]);
        ck_assert_msg(client_read(client, WAIT_MS, &response) == CLIENT_OK, "%d", statuses[i]);
        ck_assert_int_eq(response.status, statuses[i]);
        ck_assert_str_eq(response.body, "body\r\n");
        ck_assert_int_eq(atoi(response_header(&response, "X-Own").ptr), statuses[i]);
        ck_assert(span_equal_text(response_header(&response, "WWW-Authenticate"),
                                  "Basic realm=\"its own\""));
        client_response_done(&response);
        free(answer);
    }
    free(head);
    client_free(client);
    passage_end(&passage);
}

/* Set-Cookie above all, which cannot be joined (RFC 9110 section 5.3). */
TEST(g11_repeated_fields_stay_apart_and_in_order) {
    static const char lines[] = "Set-Cookie: a=1; Path=/\r\nX-Between: 1\r\nSet-Cookie: b=2\r\n"
                                "Set-Cookie: c=3, d\r\nset-cookie: e\r\nX-Between: 2\r\n";
    struct passage passage = passage_start(&(struct passage_options){0});
    char *answer = scratch_text("HTTP/1.1 200 OK\r\n%sContent-Length: 0\r\n\r\n", lines);
    char *head = passage_head(&passage, "GET", "/cookies", "Cookie: x\r\nCookie: y\r\n");
    struct client *client = client_connect(passage_port(&passage));
    struct response response;
    upstream_answer(passage.upstream, "/cookies", answer);
    ck_assert(client_send(client, span_of(head)));
    ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
    ck_assert_int_eq(response_header_count(&response, "Set-Cookie"), 4);
    ck_assert_msg(strstr(response.head, lines) != NULL, "%s", response.head);
    const struct upstream_request *request = passage_request(&passage, "/cookies");
    ck_assert_int_eq(upstream_header_count(request, "Cookie"), 2);
    client_response_done(&response);
    client_free(client);
    free(head), free(answer);
    passage_end(&passage);
}

/* --- trailers -------------------------------------------------------------------------------- */

TEST(trailers_of_a_request_reach_the_upstream_but_for_those_that_decide_anything) {
    struct passage passage = passage_start(&(struct passage_options){0});
    struct client *client = client_connect(passage_port(&passage));
    char *head = passage_head(&passage, "POST", "/up", CHUNKED "Trailer: X-Sum\r\n");
    for (int i = 0; i < 2; i++) {
        struct response response;
        ck_assert(client_sendf(client,
                               "%s5\r\nhello\r\n0\r\nX-Sum: 5d41\r\nAuthorization: Bearer x\r\n"
                               "Content-Length: 3\r\nX-Auth-User: root\r\nHost: other\r\n"
                               "X-Forwarded-For: 1.2.3.4\r\nX-More: a b\r\n\r\n",
                               head));
        ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 200);
        client_response_done(&response);
        const struct upstream_request *request = passage_request(&passage, "/up");
        ck_assert(span_equal_text(request->body, "hello"));
        ck_assert_msg(span_equal_text(request->trailer, "X-Sum: 5d41\r\nX-More: a b\r\n"), "%.*s",
                      SPAN_PRINTF(request->trailer));
    }
    free(head);
    client_free(client);
    passage_end(&passage);
}

TEST(trailers_that_are_no_fields_are_refused_and_the_upstream_gets_no_whole_request) {
    static const char *const trailers[] = {"A B: c\r\n", ": c\r\n", "X(Y: c\r\n", "X-A: b\x01\r\n"};
    struct passage passage = passage_start(&(struct passage_options){0});
    char *head = passage_head(&passage, "POST", "/up", CHUNKED);
    for (size_t i = 0; i < ARRAY_LEN(trailers); i++) {
        struct client *client = client_connect(passage_port(&passage));
        struct response response;
        ck_assert(client_sendf(client, "%s5\r\nhello\r\n0\r\n%s\r\n", head, trailers[i]));
        ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
        ck_assert_msg(response.status == 400, "%s: %s", trailers[i], response.head);
        client_response_done(&response);
        client_free(client);
    }
    ck_assert_int_eq(upstream_count(passage.upstream, UPSTREAM_REQUESTS), 0);
    free(head);
    passage_end(&passage);
}

TEST(trailers_of_an_answer_reach_the_client_and_the_next_answer_stands_behind_them) {
    struct passage passage = passage_start(&(struct passage_options){0});
    struct talk *talk = talk_open(passage_port(&passage), false);
    char *head = passage_head(&passage, "GET", "/down", "TE: trailers\r\n");
    char *next = passage_head(&passage, "GET", "/next", "");
    upstream_answer(passage.upstream, "/down",
                    OK_CHUNKED "5\r\nhello\r\n0\r\nX-Sum: 5d41\r\nContent-Length: 9\r\n"
                               "Connection: close\r\nX-More: a b\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        talk_send(talk, span_of(head));
        talk_send(talk, span_of(next));
        bool came = talk_await(talk,
                               "\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5d41\r\nX-More: a b\r\n\r\n"
                               "HTTP/1.1 200 OK\r\n",
                               WAIT_MS) &&
                    talk_await(talk, "\r\n\r\nok\n", WAIT_MS);
        ck_assert_msg(came, "%s", talk_received(talk).ptr);
        talk_drop(talk);
    }
    free(next), free(head);
    talk_free(talk);
    passage_end(&passage);
}

/* --- sizes ----------------------------------------------------------------------------------- */

static const size_t sizes[] = {0,     1,     2,      1023,   1024,   1025,   4095,  4096,  4097,
                               8191,  8192,  8193,   16383,  16384,  16385,  24575, 24576, 24577,
                               32767, 32768, 32769,  49151,  49152,  49153,  65535, 65536, 65537,
                               98304, 98305, 131071, 131072, 131073, 1048577};

static void add_chunks(struct buf *out, const char *bytes, size_t len, size_t chunk) {
    for (size_t at = 0; at < len; at += chunk) {
        size_t n = len - at < chunk ? len - at : chunk;
        buf_addf(out, "%zx\r\n", n);
        buf_add(out, (struct span){bytes + at, n});
        buf_add_text(out, "\r\n");
    }
    buf_add_text(out, "0\r\n\r\n");
}

/* chunk: their size; 0: by length. */
static void check_upload(const struct passage *passage, struct client *client, size_t len,
                         size_t chunk) {
    char *bytes = malloc(len + 1), *headers = scratch_text("Content-Length: %zu\r\n", len);
    struct buf request = buf_make(8 << 20);
    struct response response;
    upstream_filler(0, bytes, len);
    char *head = passage_head(passage, "PUT", "/up", chunk ? CHUNKED : headers);
    buf_add_text(&request, head);
    if (chunk)
        add_chunks(&request, bytes, len, chunk);
    else
        buf_add(&request, (struct span){bytes, len});
    ck_assert_msg(client_send(client, buf_span(&request)), "%zu bytes by %zu", len, chunk);
    ck_assert_msg(client_read(client, WAIT_MS, &response) == CLIENT_OK, "%zu bytes by %zu", len,
                  chunk);
    ck_assert_int_eq(response.status, 200);
    const struct upstream_request *arrived = passage_request(passage, "/up");
    ck_assert_msg(arrived->body_len == len && arrived->digest == upstream_filler_digest(len),
                  "%zu bytes by %zu: %lu bytes", len, chunk, (unsigned long)arrived->body_len);
    client_response_done(&response);
    buf_done(&request);
    free(head), free(headers), free(bytes);
}

static void check_uploads(bool https) {
    struct passage passage = passage_start(&(struct passage_options){.https = https});
    struct client *client = client_connect(passage_port(&passage));
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        check_upload(&passage, client, sizes[i], 0);
        check_upload(&passage, client, sizes[i], 65536);
        check_upload(&passage, client, sizes[i], 1000);
        if (sizes[i] < 10000) check_upload(&passage, client, sizes[i], 1);
    }
    ck_assert_int_eq(upstream_count(passage.upstream, UPSTREAM_MALFORMED), 0);
    client_free(client);
    passage_end(&passage);
}

TEST_WITHIN(uploads_of_sizes_around_every_buffer_arrive_byte_by_byte, 60) {
    check_uploads(false);
}

TEST_WITHIN(uploads_to_an_https_upstream_arrive_byte_by_byte, 60) {
    check_uploads(true);
}

static void check_download(const struct passage *passage, struct client *client, size_t len,
                           bool chunked) {
    char *head = passage_head(passage, "GET", "/down", "");
    char *answer = scratch_text("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
    struct response response;
    upstream_script(passage->upstream, "/down",
                    UPSTREAM_STEPS(UPSTREAM_READ,
                                   UPSTREAM_SEND_SPAN(span_of(chunked ? OK_CHUNKED : answer)),
                                   {.act = chunked ? UPSTREAM_ACT_FILL_CHUNKED : UPSTREAM_ACT_FILL,
                                    .amount = len}));
    ck_assert(client_send(client, span_of(head)));
    ck_assert_msg(client_read(client, WAIT_MS, &response) == CLIENT_OK, "%zu bytes", len);
    ck_assert_msg(response.body_len == len &&
                      upstream_is_filler(0, (struct span){response.body, response.body_len}),
                  "%zu bytes, chunked %d: %zu", len, chunked, response.body_len);
    client_response_done(&response);
    free(answer), free(head);
}

static void check_downloads(bool https) {
    struct passage passage = passage_start(&(struct passage_options){.https = https});
    struct client *client = client_connect(passage_port(&passage));
    for (size_t i = 0; i < 2 * ARRAY_LEN(sizes); i++)
        check_download(&passage, client, sizes[i / 2], i % 2);
    client_free(client);
    passage_end(&passage);
}

TEST_WITHIN(downloads_of_sizes_around_every_buffer_arrive_byte_by_byte, 60) {
    check_downloads(false);
}

TEST_WITHIN(downloads_from_an_https_upstream_arrive_byte_by_byte, 60) {
    check_downloads(true);
}

/* In whichever pieces an answer comes. */
TEST(an_answer_that_drips_is_the_same_answer) {
    static const struct exchange rows[] = {
        GET_OF("/length", OK_LENGTH("5") "hello", 200, "hello"),
        GET_OF("/chunked", OK_CHUNKED "5;a=b\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 200, "hello!"),
        GET_OF("/204", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
    };
    struct passage passage = passage_start(&(struct passage_options){0});
    struct client *client = client_connect(passage_port(&passage));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        upstream_script(
            passage.upstream, rows[i].name,
            UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_DRIP_SPAN(span_of(rows[i].answer), 1)));
        send_request(&passage, client, &rows[i]);
        ck_assert(check_answer(client, &rows[i]));
    }
    client_free(client);
    passage_end(&passage);
}

/* --- interim responses ----------------------------------------------------------------------- */

#define HINTS "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"

TEST(interim_responses_reach_the_client_at_once_and_before_the_final_one) {
    struct passage passage = passage_start(&(struct passage_options){0});
    struct client *client = client_connect(passage_port(&passage));
    char *head = passage_head(&passage, "GET", "/hints", "");
    upstream_script(
        passage.upstream, "/hints",
        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND(HINTS), UPSTREAM_GATE,
                       UPSTREAM_SEND("HTTP/1.1 102 Processing\r\n\r\n"
                                     "HTTP/1.1 100 Continue\r\n\r\n" HINTS OK_LENGTH("2") "ok")));
    static const int statuses[] = {103, 102, 103, 200};
    for (int turn = 0; turn < 2; turn++) {
        ck_assert(client_send(client, span_of(head)));
        for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
            struct response response;
            ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
            ck_assert_msg(response.status == statuses[i], "%zu: %s", i, response.head);
            if (response.status == 103)
                ck_assert(
                    span_equal_text(response_header(&response, "Link"), "</a.css>; rel=preload"));
            if (i == 0) upstream_go(passage.upstream);
            client_response_done(&response);
        }
    }
    free(head);
    client_free(client);
    passage_end(&passage);
}

TEST(a_client_of_http_1_0_gets_no_interim_response) {
    struct passage passage = passage_start(&(struct passage_options){0});
    upstream_answer(passage.upstream, "/hints", HINTS OK_LENGTH("2") "ok");
    char *request = scratch_text("GET /hints HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n",
                                 passage.scene.token);
    bool closed;
    char *answer = scene_talk(&passage.scene, span_of(request), WAIT_MS, WAIT_MS, &closed);
    ck_assert_msg(closed && strncmp(answer, "HTTP/1.1 200 OK\r\n", 17) == 0 &&
                      strstr(answer, "\r\n\r\nok") && !strstr(answer, " 103 "),
                  "%s", answer);
    free(answer), free(request);
    passage_end(&passage);
}

/* --- Expect: 100-continue -------------------------------------------------------------------- */

#define EXPECT "Expect: 100-continue\r\n"

TEST(i7_a_refused_request_gets_no_100_and_nothing_of_it_is_read_or_forwarded) {
    struct passage passage = passage_start(&(struct passage_options){0});
    static const char *const bodies[] = {LENGTH("1000000"), CHUNKED};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct client *client = client_connect(passage_port(&passage));
        struct response response;
        ck_assert(
            client_sendf(client, "PUT /up HTTP/1.1\r\nHost: h\r\n" EXPECT "%s\r\n", bodies[i]));
        ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
        ck_assert_msg(response.status == 401, "%s", response.head);
        ck_assert(client_closed(client, WAIT_MS));
        client_response_done(&response);
        client_free(client);
    }
    ck_assert_int_eq(upstream_count(passage.upstream, UPSTREAM_CONNECTIONS), 0);
    passage_end(&passage);
}

/* Send the body once 100 has come, and read the final answer. */
static void go_on_after_100(struct client *client, const char *body) {
    struct response response;
    ck_assert_int_eq(client_read(client, 5000 * SLOW, &response), CLIENT_OK);
    ck_assert_msg(response.status == 100, "%s", response.head);
    client_response_done(&response);
    ck_assert(client_send(client, span_of(body)));
    ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
    ck_assert_msg(response.status == 200, "%s", response.head);
    client_response_done(&response);
}

TEST(the_upstreams_100_opens_the_way_for_the_body) {
    static const struct {
        const char *framing, *body;
    } rows[] = {{LENGTH("5"), "hello"}, {CHUNKED, "5\r\nhello\r\n0\r\n\r\n"}};
    struct passage passage = passage_start(&(struct passage_options){0});
    struct client *client = client_connect(passage_port(&passage));
    long quickest = WAIT_MS;
    upstream_script(passage.upstream, "/up",
                    UPSTREAM_STEPS(UPSTREAM_GATE, UPSTREAM_READ, UPSTREAM_SEND(OK2)));
    for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        char *headers = scratch_text(EXPECT "%s", rows[i % 2].framing);
        char *head = passage_head(&passage, "PUT", "/up", headers);
        struct response response;
        long since = process_now_ms();
        ck_assert(client_send(client, span_of(head)));
        ck_assert(upstream_wait(passage.upstream, UPSTREAM_AT_GATE, 1, WAIT_MS));
        const struct upstream_request *request = passage_request(&passage, "/up");
        ck_assert(span_equal_text(upstream_header(request, "Expect"), "100-continue"));
        ck_assert_int_eq(client_read(client, QUIET_MS, &response), CLIENT_TIMEOUT);
        upstream_go(passage.upstream);
        go_on_after_100(client, rows[i % 2].body);
        long took = process_now_ms() - since;
        if (took < quickest) quickest = took;
        request = passage_request(&passage, "/up");
        ck_assert(span_equal_text(request->body, "hello") && request->state == UPSTREAM_WHOLE);
        free(head), free(headers);
    }
    /* Not the 100 that bearerd sends by itself after a second. */
    ck_assert_msg(SCENE_SANITIZED || quickest < 900, "%ld ms", quickest);
    client_free(client);
    passage_end(&passage);
}

TEST(an_upstream_that_never_says_100_does_not_keep_the_client_waiting_for_ever) {
    struct passage passage = passage_start(&(struct passage_options){0});
    struct client *client = client_connect(passage_port(&passage));
    upstream_script(passage.upstream, "/mute",
                    UPSTREAM_STEPS(UPSTREAM_READ_MUTELY, UPSTREAM_SEND(OK2)));
    char *head = passage_head(&passage, "PUT", "/mute", EXPECT LENGTH("5"));
    for (int i = 0; i < 2; i++) {
        long since = process_now_ms();
        ck_assert(client_send(client, span_of(head)));
        go_on_after_100(client, "hello");
        long took = process_now_ms() - since;
        ck_assert_msg(took >= 500 && took < 3000 * SLOW, "%ld ms", took);
        ck_assert(span_equal_text(passage_request(&passage, "/mute")->body, "hello"));
    }
    free(head);
    client_free(client);
    passage_end(&passage);
}

TEST(the_upstreams_refusal_in_place_of_100_reaches_a_client_that_still_waits) {
    static const struct exchange rows[] = {
        {"/413", "PUT", EXPECT LENGTH("5"), "",
         "HTTP/1.1 413 Large\r\nContent-Length: 3\r\n\r\nno\n", true, 413, "no\n", ""},
        {"/401", "PUT", EXPECT CHUNKED, "", "HTTP/1.1 401 No\r\nContent-Length: 3\r\n\r\nno\n",
         true, 401, "no\n", ""},
        {"/200", "PUT", EXPECT LENGTH("5"), "", OK_CHUNKED "2\r\nok\r\n0\r\n\r\n", true, 200, "ok",
         ""},
        {"/204", "PUT", EXPECT LENGTH("5"), "", "HTTP/1.1 204 No Content\r\n\r\n", true, 204, "",
         ""},
    };
    struct passage passage = passage_start(&(struct passage_options){0});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client *client = client_connect(passage_port(&passage));
        upstream_script(passage.upstream, rows[i].name,
                        UPSTREAM_STEPS(UPSTREAM_SEND_SPAN(span_of(rows[i].answer)), UPSTREAM_HANG));
        send_request(&passage, client, &rows[i]);
        /* The client cannot know whether its body would be read as one: it must be closed. */
        ck_assert_msg(!check_answer(client, &rows[i]), "%s", rows[i].name);
        ck_assert_msg(client_closed(client, WAIT_MS), "%s", rows[i].name);
        client_free(client);
        ck_assert_msg(upstream_wait(passage.upstream, UPSTREAM_OPEN, 0, WAIT_MS), "%s",
                      rows[i].name);
    }
    passage_end(&passage);
}

/* A client may send its body at once all the same (RFC 9110 section 10.1.1). */
TEST(a_client_that_expects_100_and_does_not_wait_is_served) {
    struct passage passage = passage_start(&(struct passage_options){0});
    static const char *const paths[] = {"/up", "/mute"};
    upstream_script(passage.upstream, "/mute",
                    UPSTREAM_STEPS(UPSTREAM_READ_MUTELY, UPSTREAM_SEND(OK2)));
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct client *client = client_connect(passage_port(&passage));
        char *head = passage_head(&passage, "PUT", paths[i], EXPECT LENGTH("5"));
        struct response response;
        ck_assert(client_sendf(client, "%shello", head));
        ck_assert_int_eq(client_read(client, 5000 * SLOW, &response), CLIENT_OK);
        if (response.status == 100) {
            client_response_done(&response);
            ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
        }
        ck_assert_msg(response.status == 200, "%s: %s", paths[i], response.head);
        ck_assert(span_equal_text(passage_request(&passage, paths[i])->body, "hello"));
        client_response_done(&response);
        client_free(client);
        free(head);
    }
    passage_end(&passage);
}

/* Such a client breaks a rule (RFC 9110 section 10.1.1), and may get a 100 for it. */
TEST(an_expectation_without_a_body_is_no_reason_to_wait) {
    struct passage passage = passage_start(&(struct passage_options){0});
    struct client *client = client_connect(passage_port(&passage));
    static const char *const headers[] = {EXPECT, EXPECT LENGTH("0")};
    for (size_t i = 0; i < 2 * ARRAY_LEN(headers); i++) {
        char *head = passage_head(&passage, "POST", "/none", headers[i % 2]);
        struct response response = {0};
        long since = process_now_ms();
        ck_assert(client_send(client, span_of(head)));
        do {
            client_response_done(&response);
            ck_assert_int_eq(client_read(client, WAIT_MS, &response), CLIENT_OK);
        } while (response.status == 100);
        ck_assert_msg(response.status == 200, "%zu: %s", i, response.head);
        ck_assert_int_lt(process_now_ms() - since, 900 * SLOW);
        client_response_done(&response);
        free(head);
    }
    client_free(client);
    passage_end(&passage);
}
