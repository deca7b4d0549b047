/*
 * Third-party vectors: requests that probe how a server reads HTTP/1.1, each with what its author
 * takes for right. Judged besides by a strict reader of our own: a malformed request is never
 * served, and there are never more answers than requests.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tests/integration/strict.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define QUIET_MS (SCENE_SANITIZED ? 300 : 60)
#define PROBES 215
#define PROBE_MAX ((size_t)1 << 20)
#define HEAD "Host: localhost:8080\r\n"
#define GET "GET / HTTP/1.1\r\n" HEAD
#define POST "POST / HTTP/1.1\r\n" HEAD

/* --- bytes that the collection describes only ------------------------------------------------ */

/* The collection abbreviates long ones ("AAAA...") and leaves out those of several steps. */
static const struct {
    const char *id;
    struct span before;
    const char *piece;
    int count;
    const char *behind;
} described[] = {
#define ALL(text) SPAN_LITERAL(text), "", 0, ""
    {"CAP-ETAG-304", ALL(GET "If-None-Match: \"x\"\r\n\r\n")},
    {"CAP-ETAG-IN-304", ALL(GET "If-None-Match: \"x\"\r\n\r\n")},
    {"CAP-ETAG-WEAK", ALL(GET "If-None-Match: W/\"x\"\r\n\r\n")},
    {"CAP-IMS-FUTURE", ALL(GET "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n\r\n")},
    {"CAP-IMS-INVALID", ALL(GET "If-Modified-Since: not-a-date\r\n\r\n")},
    {"CAP-INM-PRECEDENCE", ALL(GET "If-None-Match: \"x\"\r\n"
                                   "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n")},
    {"CAP-INM-UNQUOTED", ALL(GET "If-None-Match: x\r\n\r\n")},
    {"CAP-INM-WILDCARD", ALL(GET "If-None-Match: *\r\n\r\n")},
    {"CAP-LAST-MODIFIED-304", ALL(GET "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n")},
    {"COMP-DATE-FORMAT", ALL(GET "\r\n")},
    {"MAL-BINARY-GARBAGE", ALL("\x80\xff\x00\x01\x7f\r\n\xfe\xed\xfa\xce\r\n\r\n")},
    {"MAL-EMPTY-REQUEST", ALL("")},
    {"SMUG-CLTE-CONN-CLOSE",
     ALL(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET "\r\n")},
    {"SMUG-CLTE-DESYNC",
     ALL(POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX" GET "\r\n")},
    {"SMUG-GET-CL-PREFIX-DESYNC", ALL(GET "Content-Length: 31\r\n\r\n" GET "\r\n" GET "\r\n")},
    {"SMUG-PIPELINE-SAFE", ALL(GET "\r\n" GET "\r\n")},
    {"SMUG-TECL-CONN-CLOSE",
     ALL(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" GET "\r\n")},
    {"SMUG-TECL-DESYNC",
     ALL(POST "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n\r\n0\r\n\r\nX" GET "\r\n")},
#undef ALL
#define LONG(text, piece, count, behind) SPAN_LITERAL(text), piece, count, behind
    {"COMP-LONG-URL-OK", LONG("GET /", "a", 7900, " HTTP/1.1\r\n" HEAD "\r\n")},
    {"COOK-MANY-PAIRS", LONG(GET "Cookie: k=v", "; k=v", 999, "\r\n\r\n")},
    {"COOK-OVERSIZED", LONG(GET "Cookie: big=", "A", 65536, "\r\n\r\n")},
    {"MAL-CHUNK-EXT-64K",
     LONG(POST "Transfer-Encoding: chunked\r\n\r\n5;ext=", "a", 65536, "\r\nhello\r\n0\r\n\r\n")},
    {"MAL-LONG-HEADER-NAME", LONG(GET, "A", 100000, ": val\r\n\r\n")},
    {"MAL-LONG-HEADER-VALUE", LONG(GET "X-Big: ", "B", 100000, "\r\n\r\n")},
    {"MAL-LONG-METHOD", LONG("", "A", 100000, " / HTTP/1.1\r\n" HEAD "\r\n")},
    {"MAL-LONG-URL", LONG("GET /", "A", 100000, " HTTP/1.1\r\n" HEAD "\r\n")},
    {"MAL-MANY-HEADERS", LONG(GET, "X-H-1: value\r\n", 10000, "\r\n")},
    {"MAL-RANGE-OVERLAPPING` (unscored)", LONG(GET "Range: bytes=0-", ",0-", 999, "\r\n\r\n")},
    {"SMUG-CL-LEADING-ZEROS-OCTAL", LONG(POST "Content-Length: 0200\r\n\r\n", "A", 200, "")},
#undef LONG
};

static bool add_described(const char *id, struct buf *out) {
    for (size_t i = 0; i < ARRAY_LEN(described); i++) {
        if (strcmp(described[i].id, id) != 0) continue;
        buf_add(out, described[i].before);
        for (int n = 0; n < described[i].count; n++) buf_add_text(out, described[i].piece);
        buf_add_text(out, described[i].behind);
        return true;
    }
    return false;
}

/* JSON has the bytes as the characters of the same numbers, NUL among them. */
static void add_latin_1(const json_t *text, struct buf *out) {
    const unsigned char *utf8 = (const unsigned char *)json_string_value(text);
    size_t len = json_string_length(text);
    for (size_t i = 0; i < len; i++) {
        unsigned c = utf8[i];
        if (c >= 0x80) {
            ck_assert_msg((c & 0xfc) == 0xc0 && i + 1 < len, "not latin-1: %s", utf8);
            c = (c & 3) << 6 | (utf8[++i] & 0x3f);
        }
        buf_add_char(out, (char)c);
    }
}

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

/* The bytes of a probe into out. */
static void add_bytes(const json_t *probe, const char *id, struct buf *out) {
    buf_reset(out);
    const json_t *raw = json_object_get(probe, "raw");
    if (!add_described(id, out)) {
        ck_assert_msg(json_is_string(raw), "%s has no bytes", id);
        add_latin_1(raw, out);
    }
    ck_assert(buf_ok(out));
}

static json_t *load(void) {
    char *path = scratch_text("%s/http/http11probe.json", test_vectors());
    json_t *probes = json_load_file(path, JSON_ALLOW_NUL, NULL);
    ck_assert_int_eq((int)json_array_size(probes), PROBES);
    free(path);
    return probes;
}

#define ROUTES "routes: [{path: /*, respond: identity, anonymous: allow}]\n"

TEST_WITHIN(every_probe_is_answered_as_its_author_expects_or_as_we_say_why_not, 90) {
    json_t *probes = load(), *probe;
    struct scene scene = scene_start(&(struct scene_options){.rest = ROUTES});
    struct buf bytes = buf_make(PROBE_MAX);
    size_t i, used = 0;
    json_array_foreach(probes, i, probe) {
        const char *id = json_string_value(json_object_get(probe, "id")) + strlen("probe/");
        const char *expected = json_string_value(json_object_get(probe, "expected"));
        add_bytes(probe, id, &bytes);
        struct strict strict = strict_read(buf_span(&bytes));
        struct outcome outcome = talk(&scene, &strict, buf_span(&bytes));
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
    json_t *probes = load(), *probe;
    struct scene scene = scene_start(&(struct scene_options){.rest = ROUTES});
    struct buf bytes = buf_make(PROBE_MAX), by_get = buf_make(PROBE_MAX);
    size_t i, served = 0, refused = 0;
    json_array_foreach(probes, i, probe) {
        const char *id = json_string_value(json_object_get(probe, "id")) + strlen("probe/");
        add_bytes(probe, id, &bytes);
        struct span rest = buf_span(&bytes);
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
