#include "server/answer/problem.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/suite.h"

#define REALM "Bearer realm=\"r\""

static struct refusal refusal_of(enum reason reason, const char *text) {
    struct refusal refusal;
    refuse(&refusal, reason, "%s", text);
    return refusal;
}

TEST(each_kind_of_refusal_has_its_status_challenge_and_body) {
    static const struct {
        enum reason reason;
        unsigned status;
        const char *error;
        const char *challenge;
        bool close;
        unsigned retry_after_s;
    } rows[] = {
        {REASON_NO_CREDENTIALS, 401, "unauthorized", REALM, false, 0},
        {REASON_OTHER_SCHEME, 401, "unauthorized", REALM, false, 0},
        {REASON_CREDENTIALS_MALFORMED, 400, "invalid_request",
         REALM ", error=\"invalid_request\", error_description=\"why\"", false, 0},
        {REASON_CREDENTIALS_REPEATED, 400, "invalid_request",
         REALM ", error=\"invalid_request\", error_description=\"why\"", false, 0},
        {REASON_TOKEN_EXPIRED, 401, "invalid_token",
         REALM ", error=\"invalid_token\", error_description=\"why\"", false, 0},
        {REASON_KEY_NOT_FOUND, 401, "invalid_token",
         REALM ", error=\"invalid_token\", error_description=\"why\"", false, 0},
        {REASON_SCOPE_MISSING, 403, "insufficient_scope",
         REALM ", error=\"insufficient_scope\", error_description=\"why\", scope=\"a b\"", false,
         0},
        {REASON_KEYS_UNAVAILABLE, 503, "temporarily_unavailable", "", false, 5},
        {REASON_OUT_OF_MEMORY, 503, "temporarily_unavailable", "", false, 5},
        {REASON_FRAMING, 400, "bad_request", "", true, 0},
        {REASON_TARGET, 400, "bad_request", "", true, 0},
        {REASON_HEAD_TOO_LARGE, 431, "too_large", "", true, 0},
        {REASON_TOKEN_TOO_LARGE, 431, "too_large", "", true, 0},
        {REASON_NO_ROUTE, 404, "not_found", "", false, 0},
        {REASON_METHOD_NOT_ALLOWED, 405, "method_not_allowed", "", false, 0},
        {REASON_NOT_TRUSTED, 403, "forbidden", "", false, 0},
        {REASON_UPSTREAM_DOWN, 503, "temporarily_unavailable", "", false, 5},
        {REASON_UPSTREAM_UNREACHABLE, 502, "bad_gateway", "", false, 0},
        {REASON_UPSTREAM_CLOSED, 502, "bad_gateway", "", false, 0},
        {REASON_UPSTREAM_MALFORMED, 502, "bad_gateway", "", false, 0},
        {REASON_UPSTREAM_TIMEOUT, 504, "gateway_timeout", "", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct refusal refusal = refusal_of(rows[i].reason, "why");
        bool scoped = rows[i].reason == REASON_SCOPE_MISSING;
        struct problem_context context = {.realm = "r",
                                          .scope = scoped ? SPAN_LITERAL("a b") : SPAN_NONE};
        struct answer answer = problem_answer(&refusal, &context);
        char body[256];
        snprintf(body, sizeof body, "{\"error\":\"%s\",\"error_description\":\"why\"}",
                 rows[i].error);
        ck_assert(answer_ok(&answer));
        ck_assert_uint_eq(answer.status, rows[i].status);
        ck_assert_uint_eq(problem_status(rows[i].reason), rows[i].status);
        ck_assert(span_equal_text(buf_span(&answer.challenge), rows[i].challenge));
        ck_assert_str_eq(answer.body.data, body);
        ck_assert_uint_eq(answer.allow.len, 0);
        ck_assert_msg(answer.close == rows[i].close, "%s", reason_name(rows[i].reason));
        ck_assert_uint_eq(answer.retry_after_s, rows[i].retry_after_s);
        answer_done(&answer);
    }
}

/* RFC 6750 section 3.1: a token fault is told by 401 and by nothing else. */
TEST(no_reason_is_without_an_answer_and_token_faults_are_all_401) {
    for (int reason = 0; reason < REASON_COUNT; reason++) {
        unsigned status = problem_status((enum reason)reason);
        ck_assert_msg(status >= 400 && status < 600, "%s: %u", reason_name((enum reason)reason),
                      status);
        if (reason_class((enum reason)reason) == CLASS_INVALID_TOKEN)
            ck_assert_uint_eq(status, 401);
    }
}

TEST(a14_realm_scope_and_description_cannot_leave_their_quotes_or_line) {
    static const struct {
        const char *realm, *scope, *text;
        const char *challenge;
    } rows[] = {
        {"a\"b", "s", "t",
         "Bearer realm=\"a\\\"b\", error=\"insufficient_scope\", "
         "error_description=\"t\", scope=\"s\""},
        {"a\\", "s", "t",
         "Bearer realm=\"a\\\\\", error=\"insufficient_scope\", "
         "error_description=\"t\", scope=\"s\""},
        {"a\r\nb", "s\n", "t\r\nX: y",
         "Bearer realm=\"a??b\", error=\"insufficient_scope\", "
         "error_description=\"t??X: y\", scope=\"s?\""},
        {"", "", "",
         "Bearer realm=\"\", error=\"insufficient_scope\", "
         "error_description=\"\", scope=\"\""},
        {"\xc3\xa9", "\x7f", "\"q\" \\ \xe2\x82\xac\x1b",
         "Bearer realm=\"??\", error=\"insufficient_scope\", "
         "error_description=\"'q' ' ????\", scope=\"?\""},
        {"r", "a\"b\\c", "t",
         "Bearer realm=\"r\", error=\"insufficient_scope\", "
         "error_description=\"t\", scope=\"a\\\"b\\\\c\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct refusal refusal = refusal_of(REASON_SCOPE_MISSING, rows[i].text);
        struct problem_context context = {.realm = rows[i].realm, .scope = span_of(rows[i].scope)};
        struct answer answer = problem_answer(&refusal, &context);
        ck_assert_str_eq(answer.challenge.data, rows[i].challenge);
        for (size_t at = 0; at < answer.body.len; at++)
            ck_assert(answer.body.data[at] >= 0x20 && answer.body.data[at] < 0x7f);
        answer_done(&answer);
    }
}

TEST(a_method_that_is_not_allowed_tells_which_are) {
    struct refusal refusal = refusal_of(REASON_METHOD_NOT_ALLOWED, "why");
    struct problem_context context = {.realm = "r", .allow = SPAN_LITERAL("GET, HEAD")};
    struct answer answer = problem_answer(&refusal, &context);
    ck_assert_str_eq(answer.allow.data, "GET, HEAD");
    ck_assert_uint_eq(answer.challenge.len, 0);
    answer_done(&answer);
}

/* Whoever looks for the request in the upstream's log finds it by this. */
TEST(a_request_that_was_on_its_way_is_told_by_its_id_in_body_and_header) {
    static const struct {
        const char *id, *body;
    } rows[] = {
        {"abc-123", "{\"error\":\"bad_gateway\",\"error_description\":\"why\","
                    "\"request_id\":\"abc-123\"}"},
        {"a\"b\\c\n", "{\"error\":\"bad_gateway\",\"error_description\":\"why\","
                      "\"request_id\":\"a\\\"b\\\\c\\n\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct refusal refusal = refusal_of(REASON_UPSTREAM_CLOSED, "why");
        struct problem_context context = {.realm = "r", .request_id = span_of(rows[i].id)};
        struct answer answer = problem_answer(&refusal, &context);
        ck_assert(answer_ok(&answer));
        ck_assert_str_eq(answer.body.data, rows[i].body);
        ck_assert_str_eq(answer.request_id.data, rows[i].id);
        answer_done(&answer);
    }
}

TEST(a_request_that_went_nowhere_has_no_id) {
    struct refusal refusal = refusal_of(REASON_NO_ROUTE, "why");
    struct problem_context context = {.realm = "r"};
    struct answer answer = problem_answer(&refusal, &context);
    ck_assert_str_eq(answer.body.data, "{\"error\":\"not_found\",\"error_description\":\"why\"}");
    ck_assert_uint_eq(answer.request_id.len, 0);
    answer_done(&answer);
}

TEST(what_does_not_fit_is_never_sent_in_part) {
    struct refusal refusal = refusal_of(REASON_SCOPE_MISSING, "why");
    char *scopes = malloc(ANSWER_HEADER_MAX + 1);
    memset(scopes, 's', ANSWER_HEADER_MAX);
    scopes[ANSWER_HEADER_MAX] = '\0';
    struct problem_context context = {.realm = "r", .scope = span_of(scopes)};
    struct answer answer = problem_answer(&refusal, &context);
    ck_assert(!answer_ok(&answer));
    answer_done(&answer);
    free(scopes);
}
