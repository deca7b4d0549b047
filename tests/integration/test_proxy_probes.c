/*
 * Third-party vectors through the proxy: requests that probe how a server reads HTTP/1.1, sent to
 * an open route. Whatever their authors expect of the answers, the upstream never sees more
 * requests than a strict reader counts, and none that is malformed.
 */
#include <stdlib.h>

#include "common/attr.h"
#include "tests/integration/probes.h"
#include "tests/integration/proxied.h"
#include "tests/integration/strict.h"
#include "tests/support/suite.h"

#define QUIET_MS (SCENE_SANITIZED ? 300 : 60)

/*
 * Chunk lines that libmicrohttpd takes though no grammar does. What the upstream gets is framed
 * anew and without them, so that it agrees with us on where the request ends.
 */
static const char *const taken_anyway[] = {
    "SMUG-CHUNK-BARE-SEMICOLON",    "SMUG-CHUNK-EXT-CR", "SMUG-CHUNK-EXT-CTRL",
    "SMUG-CHUNK-EXT-INVALID-TOKEN", "SMUG-CHUNK-EXT-LF", "SMUG-CHUNK-LF-TERM",
    "SMUG-CHUNK-LF-TRAILER",
};

static bool is_taken_anyway(const char *id) {
    for (size_t i = 0; i < ARRAY_LEN(taken_anyway); i++)
        if (strcmp(taken_anyway[i], id) == 0) return true;
    return false;
}

/* Answers of 2xx in that text. */
static int count_good(const char *text) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, "HTTP/1.1 2")); at++) count++;
    return count;
}

/* Without 100 (Continue), which may come first. */
static const char *without_interim(const char *text) {
    if (strncmp(text, "HTTP/1.1 100 ", 13) != 0) return text;
    const char *end = strstr(text, "\r\n\r\n");
    return end ? end + 4 : text;
}

/* The last one's head is sound, but what follows is not, or not all there. */
static bool ends_within_a_body(const struct strict *strict) {
    return !strict->all && strict->requests == strict->heads;
}

static void try_probe(struct proxied *proxied, const char *id, struct span bytes) {
    struct strict strict = strict_read(bytes);
    bool anyway = is_taken_anyway(id), stuck = ends_within_a_body(&strict) && !anyway;
    int whole = anyway || strict.all ? strict.requests : strict.requests - 1;
    bool to_head = span_starts_with(bytes, SPAN_LITERAL("HEAD ")), closed;
    int status;
    char *answer = scene_talk(&proxied->scene, bytes, stuck || !strict.ends ? 2 * QUIET_MS : 5000,
                              strict.requests > 1 ? 1000 : QUIET_MS, &closed);
    int answers = scene_count_answers(without_interim(answer), to_head, &status);
    int good = count_good(answer);
    ck_assert_msg(answers <= strict.requests, "%s: %d answers: %s", id, answers, answer);
    ck_assert_msg(good <= whole, "%s: %d served: %s", id, good, answer);
    ck_assert_msg(!anyway || good == 1, "%s: is listed, but not taken: %s", id, answer);
    if (status == 400) ck_assert_msg(closed, "%s: 400 and not closed", id);
    proxied->allowed += good;
    proxied->begun += stuck;
    free(answer);
}

TEST_WITHIN(the_upstream_gets_of_a_probe_what_was_answered_and_nothing_else, 90) {
    json_t *probes = probes_load(), *probe;
    struct proxied proxied = proxied_start(&(struct proxied_options){0});
    struct buf bytes = buf_make(PROBE_MAX);
    size_t i;
    json_array_foreach(probes, i, probe) {
        const char *id = probe_id(probe);
        try_probe(&proxied, id, probe_bytes(probe, &bytes));
        proxied_check_serves(&proxied, id);
        int requests = upstream_count(proxied.upstream, UPSTREAM_REQUESTS);
        int malformed = upstream_count(proxied.upstream, UPSTREAM_MALFORMED);
        ck_assert_msg(requests == proxied.allowed && malformed == 0, "%s: %d of %d, %d malformed",
                      id, requests, proxied.allowed, malformed);
    }
    ck_assert_int_gt(proxied.allowed, 215 + 60);
    buf_done(&bytes);
    proxied_end(&proxied);
    json_decref(probes);
}
