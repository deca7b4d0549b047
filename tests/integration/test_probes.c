/*
 * Third-party vectors: requests that probe how a server reads HTTP/1.1, each with what its author
 * takes for right. Judged besides by a strict reader of our own: a malformed request is never
 * served, and there are never more answers than requests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/attr.h"
#include "tests/integration/probes.h"
#include "tests/integration/strict.h"
#include "tests/support/scene.h"
#include "tests/support/suite.h"

#define QUIET_MS (SCENE_SANITIZED ? 300 : 60)

/* --- where we differ, knowing why ------------------------------------------------------------ */

#define NO_VALIDATORS "answers are never to be stored, so none has a validator to be matched"

static const struct {
    const char *id;
    int status;
    const char *why;
} different[] = {
    {"CAP-ETAG-304", 200, NO_VALIDATORS},
    {"CAP-ETAG-IN-304", 200, NO_VALIDATORS},
    {"CAP-ETAG-WEAK", 200, NO_VALIDATORS},
    {"CAP-INM-PRECEDENCE", 200, NO_VALIDATORS},
    {"CAP-INM-WILDCARD", 200, NO_VALIDATORS},
    {"CAP-LAST-MODIFIED-304", 200, NO_VALIDATORS},
    {"COMP-OPTIONS-STAR", 400, "a target that is no path has no route, so no rule to judge it by"},
    {"MAL-CL-OVERFLOW", 413, "libmicrohttpd's own answer to a number that no size can be"},
    {"MAL-LONG-METHOD", 414, "libmicrohttpd's own answer to a request line without an end"},
};

/* --- the language of the expectations -------------------------------------------------------- */

struct outcome {
    int status; /* of the first answer; 0: none */
    int answers;
    bool closed;
    char *text;
};

static bool has(const char *text, const char *part) {
    return strstr(text, part) != NULL;
}

/* Is the status named, as "400" or "4xx"? */
static bool names_status(const char *expected, int status) {
    char number[16], family[16];
    snprintf(number, sizeof number, "%d", status);
    snprintf(family, sizeof family, "%dxx", status / 100);
    return has(expected, number) || has(expected, family);
}

static bool has_good_date(const char *answer) {
    struct tm date;
    const char *line = strstr(answer, "\r\nDate: ");
    const char *end = line ? strptime(line + 8, "%a, %d %b %Y %H:%M:%S GMT", &date) : NULL;
    return end && strncmp(end, "\r\n", 2) == 0;
}

static bool is_as_expected(const char *expected, const struct outcome *outcome) {
    if (outcome->status == 0)
        return outcome->closed ? has(expected, "close") : has(expected, "timeout");
    if (has(expected, "101")) return outcome->status != 101;
    if (has(expected, "Non-1xx")) return outcome->status >= 200;
    if (has(expected, "except")) return !names_status(expected, outcome->status);
    if (has(expected, "Any response")) return true;
    if (has(expected, "IMF-fixdate")) return has_good_date(outcome->text);
    /* Where it is closed, what follows cannot be answered. */
    if (has(expected, "follow-up") || has(expected, "step 2")) return outcome->closed;
    if (has(expected, "echo")) return !has(outcome->text, "secret-token");
    if (has(expected, "Reject/drop")) return outcome->status == 400 || outcome->status == 200;
    if (names_status(expected, outcome->status)) return true;
    return outcome->closed && outcome->status >= 400 && has(expected, "connection clos");
}

/* Where the request is sound, but for what only an upstream could take: our endpoints answer GET
 * and HEAD. Nothing of a body is read then, and the connection ends. */
static bool is_other_method(const struct strict *strict, const struct outcome *outcome) {
    return strict->sound && outcome->status == 405 && has(outcome->text, "\r\nAllow: GET, HEAD") &&
           (!strict->has_body || outcome->closed);
}

static bool is_known_difference(const char *id, const struct outcome *outcome) {
    for (size_t i = 0; i < ARRAY_LEN(different); i++)
        if (strcmp(different[i].id, id) == 0) return outcome->status == different[i].status;
    return false;
}

/* --- replay ---------------------------------------------------------------------------------- */

static struct outcome talk(const struct scene *scene, const struct strict *strict,
                           struct span bytes) {
    struct outcome outcome;
    bool to_head = bytes.len > 5 && memcmp(bytes.ptr, "HEAD ", 5) == 0;
    /* Only where the head never ends may there be no answer at all. */
    outcome.text = scene_talk(scene, bytes, strict->ends ? 5000 : 2 * QUIET_MS,
                              strict->has_body ? 5000 : QUIET_MS, &outcome.closed);
    outcome.answers = scene_count_answers(outcome.text, to_head, &outcome.status);
    return outcome;
}

/* What holds whatever the author of the probe thinks. */
static void check_strictly(const char *id, const struct strict *strict,
                           const struct outcome *outcome) {
    ck_assert_msg(outcome->answers <= strict->requests, "%s: %d answers to %d requests: %s", id,
                  outcome->answers, strict->requests, outcome->text);
    if (!strict->sound)
        ck_assert_msg(outcome->status == 0 || outcome->status >= 400, "%s: %d though malformed", id,
                      outcome->status);
    if (strict->has_body)
        ck_assert_msg(outcome->closed && outcome->answers == 1, "%s: goes on behind its body", id);
    if (outcome->status == 400) ck_assert_msg(outcome->closed, "%s: 400 and not closed", id);
}

#define ROUTES "routes: [{path: /*, respond: identity, anonymous: allow}]\n"

TEST_WITHIN(every_probe_is_answered_as_its_author_expects_or_as_we_say_why_not, 90) {
    json_t *probes = probes_load(), *probe;
    struct scene scene = scene_start(&(struct scene_options){.rest = ROUTES});
    struct buf bytes = buf_make(PROBE_MAX);
    size_t i, used = 0;
    json_array_foreach(probes, i, probe) {
        const char *id = probe_id(probe);
        const char *expected = json_string_value(json_object_get(probe, "expected"));
        struct span sent = probe_bytes(probe, &bytes);
        struct strict strict = strict_read(sent);
        struct outcome outcome = talk(&scene, &strict, sent);
        bool expects = is_as_expected(expected, &outcome);
        bool differs = is_known_difference(id, &outcome);
        ck_assert_msg(expects || differs || is_other_method(&strict, &outcome),
                      "%s: %d%s where %s is expected: %s", id, outcome.status,
                      outcome.closed ? " and closed" : "", expected, outcome.text);
        ck_assert_msg(!(expects && differs), "%s: listed as different, but is not", id);
        used += differs;
        check_strictly(id, &strict, &outcome);
        free(outcome.text);
        scene_check_serves(&scene, id);
    }
    ck_assert_uint_eq(used, ARRAY_LEN(different));
    buf_done(&bytes);
    scene_end(&scene);
    json_decref(probes);
}

/* Other methods are refused early, before anything else could be wrong: ask the same by GET. */
TEST_WITHIN(no_probe_gets_through_by_get_either, 90) {
    json_t *probes = probes_load(), *probe;
    struct scene scene = scene_start(&(struct scene_options){.rest = ROUTES});
    struct buf bytes = buf_make(PROBE_MAX), by_get = buf_make(PROBE_MAX);
    size_t i, served = 0, refused = 0;
    json_array_foreach(probes, i, probe) {
        const char *id = probe_id(probe);
        struct span rest = probe_bytes(probe, &bytes);
        bool other = false;
        static const char *const methods[] = {"POST ", "OPTIONS ", "TRACE ", "DELETE "};
        for (size_t m = 0; m < ARRAY_LEN(methods) && !other; m++) {
            other = span_starts_with(rest, span_of(methods[m]));
            if (other) rest = span_from(rest, strlen(methods[m]));
        }
        if (!other) continue;
        buf_reset(&by_get);
        buf_add_text(&by_get, "GET ");
        buf_add(&by_get, rest);
        struct strict strict = strict_read(buf_span(&by_get));
        struct outcome outcome = talk(&scene, &strict, buf_span(&by_get));
        check_strictly(id, &strict, &outcome);
        /* One carries a token, of course not one of ours; and libmicrohttpd takes no space behind
         * a Content-Length, which is too strict but safe. */
        int expected = strcmp(id, "COMP-TRACE-SENSITIVE") == 0     ? 401
                       : strcmp(id, "SMUG-CL-TRAILING-SPACE") == 0 ? 400
                                                                   : 200;
        if (strict.sound) ck_assert_msg(outcome.status == expected, "%s: %d", id, outcome.status);
        *(outcome.status == 200 ? &served : &refused) += 1;
        free(outcome.text);
        scene_check_serves(&scene, id);
    }
    ck_assert_uint_gt(served, 20);
    ck_assert_uint_gt(refused, 40);
    buf_done(&by_get);
    buf_done(&bytes);
    scene_end(&scene);
    json_decref(probes);
}
