#include "tests/integration/proxied.h"

#include <check.h>
#include <ctype.h>
#include <stdlib.h>

#include "tests/integration/strict.h"
#include "tests/support/scratch.h"

#define ANSWER_MS 5000
#define OPEN "  - {path: /*, upstream: up, anonymous: allow}\n"

static const char *or_empty(const char *text) {
    return text ? text : "";
}

struct proxied proxied_start(const struct proxied_options *options) {
    struct proxied proxied = {.upstream = upstream_start(UPSTREAM_PLAIN)};
    char *rest =
        scratch_text("upstreams: [{name: up, targets: [\"%s\"]%s}]\n%s"
                     "routes:\n"
                     "  - {path: /profile/, respond: profile, require: {scopes: [profile]}}\n%s",
                     upstream_target(proxied.upstream), or_empty(options->upstream),
                     or_empty(options->rest), options->routes ? options->routes : OPEN);
    proxied.scene = scene_start(&(struct scene_options){.rest = rest, .log = options->log});
    free(rest);
    return proxied;
}

/* --- the judgement --------------------------------------------------------------------------- */

static void check_request(const struct upstream_request *request) {
    struct strict strict = strict_read(request->raw);
    ck_assert_msg(request->state != UPSTREAM_IS_MALFORMED, "%s: %s", request->why,
                  request->raw.ptr);
    ck_assert_msg(strict.sound, "not sound: %s", request->raw.ptr);
    ck_assert_msg(strict.requests == 1, "more than one: %s", request->raw.ptr);
    ck_assert_msg(strict.all == (request->state == UPSTREAM_WHOLE), "%s", request->raw.ptr);
}

/* Nothing came on that connection but the requests that were judged. */
static void check_connection(struct upstream *upstream, int index, int requests) {
    size_t len = 0;
    for (int i = 0; i < requests; i++) {
        const struct upstream_request *request = upstream_request(upstream, i);
        if (request->connection == index) len += request->raw.len;
    }
    struct span raw = upstream_connection(upstream, index)->raw;
    ck_assert_msg(raw.len == len, "bytes of no request: %s", raw.ptr);
}

static void check_all(struct upstream *upstream) {
    int requests = upstream_count(upstream, UPSTREAM_REQUESTS) +
                   upstream_count(upstream, UPSTREAM_MALFORMED) +
                   upstream_count(upstream, UPSTREAM_CUT_SHORT);
    for (int i = 0; i < requests; i++) check_request(upstream_request(upstream, i));
    for (int i = 0; i < upstream_count(upstream, UPSTREAM_CONNECTIONS); i++)
        check_connection(upstream, i, requests);
}

void proxied_end(struct proxied *proxied) {
    struct upstream *upstream = proxied->upstream;
    scene_end(&proxied->scene);
    ck_assert(upstream_wait(upstream, UPSTREAM_OPEN, 0, ANSWER_MS));
    check_all(upstream);
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_REQUESTS), proxied->allowed);
    ck_assert_int_le(upstream_count(upstream, UPSTREAM_CUT_SHORT), proxied->begun);
    upstream_stop(upstream);
}

/* --- asking ---------------------------------------------------------------------------------- */

static void ask(const struct proxied *proxied, struct span request, struct response *ret) {
    struct client *client = client_connect(proxied->scene.daemon->port);
    ck_assert_ptr_nonnull(client);
    (void)client_send(client, request); /* it may be refused before it was taken whole */
    bool to_head = span_starts_with(request, SPAN_LITERAL("HEAD "));
    enum client_result result =
        to_head ? client_read_to_head(client, ANSWER_MS, ret) : client_read(client, ANSWER_MS, ret);
    ck_assert_msg(result == CLIENT_OK, "no answer (%d) to %.300s", result, request.ptr);
    client_free(client);
}

const struct upstream_request *proxied_exchange(struct proxied *proxied, struct span request,
                                                struct response *ret) {
    ask(proxied, request, ret);
    ck_assert_int_eq(proxied->begun, 0);
    return upstream_request(proxied->upstream, proxied->allowed++);
}

const struct upstream_request *proxied_pass(struct proxied *proxied, struct span request) {
    struct response response;
    ask(proxied, request, &response);
    ck_assert_msg(response.status == 200, "%d to %.300s: %s", response.status, request.ptr,
                  response.body);
    client_response_done(&response);
    ck_assert_int_eq(proxied->begun, 0);
    return upstream_request(proxied->upstream, proxied->allowed++);
}

const struct upstream_request *proxied_get(struct proxied *proxied, const char *path,
                                           const char *headers) {
    char *request = scene_get(path, headers);
    const struct upstream_request *seen = proxied_pass(proxied, span_of(request));
    free(request);
    return seen;
}

/* The next letter or digit of *name, in lower case; 0 where there is none. */
static int next_letter(struct span *name) {
    while (name->len > 0) {
        unsigned char c = (unsigned char)name->ptr[0];
        *name = span_from(*name, 1);
        if (isalnum(c)) return tolower(c);
    }
    return 0;
}

static bool is_alias(struct span a, struct span b) {
    int letter;
    do {
        letter = next_letter(&a);
        if (letter != next_letter(&b)) return false;
    } while (letter);
    return true;
}

int proxied_count(const struct upstream_request *request, const char *name) {
    struct span rest = request->head, line;
    int count = 0;
    for (bool first = true; span_next(&rest, '\n', &line); first = false)
        if (!first && line.len > 1 &&
            is_alias(span_until(line, span_find(line, ':')), span_of(name)))
            count++;
    return count;
}

/* The end of the test counts what came; this says sooner which request it was. */
static void check_unseen(const struct proxied *proxied, const char *what) {
    int heads = upstream_count(proxied->upstream, UPSTREAM_HEADS);
    ck_assert_msg(heads <= proxied->allowed + proxied->begun, "%.300s: was passed on", what);
}

void proxied_refuse(struct proxied *proxied, struct span request, int status) {
    struct response response;
    ask(proxied, request, &response);
    ck_assert_msg(response.status == status, "%d, not %d, to %.300s: %s", response.status, status,
                  request.ptr, response.body);
    client_response_done(&response);
    check_unseen(proxied, request.ptr);
}

void proxied_check_last(struct proxied *proxied, const char *what, struct span request,
                        int status) {
    bool closed;
    int first;
    char *answer = scene_talk(&proxied->scene, request, ANSWER_MS, ANSWER_MS, &closed);
    int answers = scene_count_answers(answer, false, &first);
    ck_assert_msg(first == status, "%s: %d, not %d: %s", what, first, status, answer);
    ck_assert_msg(answers == 1, "%s: %d answers: %s", what, answers, answer);
    ck_assert_msg(closed, "%s: not closed", what);
    free(answer);
    check_unseen(proxied, what);
}

void proxied_check_serves(struct proxied *proxied, const char *what) {
    int status = daemon_get(proxied->scene.daemon, "/", proxied->scene.token, NULL);
    ck_assert_msg(status == 200, "after %.300s a good request gets %d", what, status);
    proxied->allowed++;
}
