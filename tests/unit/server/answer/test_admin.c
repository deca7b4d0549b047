#include "server/answer/admin.h"

#include <stdlib.h>

#include "common/clock.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define NOW 1700000000 /* 2023-11-14T22:13:20Z */

static int64_t tell_time(void) {
    return (int64_t)NOW * 1000;
}

static const struct clock_source own_clock = {tell_time, tell_time};

/* What became of a request. */
struct outcome {
    enum admin_outcome kind;
    struct answer answer;
    struct admin_errand errand;
    const char *allow;
    struct refusal refusal;
};

static struct outcome ask_as(const struct admin_context *context, struct admin_request request) {
    struct outcome outcome = {.refusal = {.reason = REASON_COUNT}};
    clock_replace(&own_clock);
    if (!request.host.ptr) request.host = S("127.0.0.1:8081");
    outcome.kind = admin_answer(context, &request, &outcome.answer, &outcome.errand, &outcome.allow,
                                &outcome.refusal);
    ck_assert((outcome.kind == ADMIN_REFUSED) == (outcome.refusal.reason != REASON_COUNT));
    return outcome;
}

static struct outcome ask(const struct admin_context *context, const char *method, const char *path,
                          const char *query) {
    return ask_as(context, (struct admin_request){.method = span_of(method),
                                                  .path = span_of(path),
                                                  .query = span_of(query)});
}

static void outcome_done(struct outcome *outcome) {
    if (outcome->kind == ADMIN_ANSWERED) answer_done(&outcome->answer);
    if (outcome->kind == ADMIN_ERRAND) admin_errand_done(&outcome->errand);
}

static struct deny_list *list_of(const char *text) {
    struct deny_list *list = NULL;
    ck_assert_int_eq(deny_list_parse(span_of(text), "deny", &list, NULL), 0);
    return list;
}

static void expect_body(const struct admin_context *context, const char *path, const char *query,
                        const char *body) {
    static const char *const methods[] = {"GET", "HEAD"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct outcome outcome = ask(context, methods[i], path, query);
        ck_assert_msg(outcome.kind == ADMIN_ANSWERED, "%s", outcome.refusal.text);
        ck_assert_uint_eq(outcome.answer.status, 200);
        ck_assert_str_eq(outcome.answer.body.data, body);
        outcome_done(&outcome);
    }
}

static void expect_refused(struct outcome outcome, enum reason reason, const char *text) {
    ck_assert_int_eq(outcome.kind, ADMIN_REFUSED);
    ck_assert_msg(outcome.refusal.reason == reason, "%s: %s", reason_name(outcome.refusal.reason),
                  outcome.refusal.text);
    ck_assert_msg(strstr(outcome.refusal.text, text), "%s", outcome.refusal.text);
}

/* --- by path and method ---------------------------------------------------------------------- */

TEST(there_is_one_answer_for_each_path_and_method) {
    struct admin_context context = {.jwks = S("{\"keys\":[]}"), .has_deny_list = true};
    expect_body(&context, "/.well-known/jwks.json", NULL, "{\"keys\":[]}");
    expect_body(&context, "/api/deny", NULL, "{\"entries\": [], \"omitted\": 0}");
    expect_refused(ask(&context, "GET", "/x", NULL), REASON_NO_ROUTE, "nothing at this path");
    expect_refused(ask(&context, "GET", "/api/deny/", NULL), REASON_NO_ROUTE, "");
    expect_refused(ask(&context, "GET", "/api", NULL), REASON_NO_ROUTE, "");

    static const struct {
        const char *path, *allow;
    } pages[] = {{"/.well-known/jwks.json", "GET, HEAD"}, {"/api/deny", "GET, HEAD, POST, DELETE"}};
    static const char *const methods[] = {"PUT", "OPTIONS", "PATCH", "get", "TRACE"};
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        for (size_t j = 0; j < ARRAY_LEN(methods); j++) {
            struct outcome outcome = ask(&context, methods[j], pages[i].path, NULL);
            expect_refused(outcome, REASON_METHOD_NOT_ALLOWED, "");
            ck_assert_str_eq(outcome.allow, pages[i].allow);
        }
        /* What Allow lists is there. */
        struct span rest = span_of(pages[i].allow), one;
        while (span_next(&rest, ',', &one)) {
            char *method = scratch_text("%.*s", SPAN_PRINTF(span_trim(one)));
            struct outcome outcome = ask(&context, method, pages[i].path, "sub=a");
            ck_assert(outcome.refusal.reason != REASON_METHOD_NOT_ALLOWED);
            ck_assert_ptr_null(outcome.allow);
            outcome_done(&outcome);
            free(method);
        }
    }
}

TEST(what_is_not_configured_is_not_there_and_says_what_to_set) {
    struct admin_context context = {.jwks = SPAN_NONE};
    static const char *const methods[] = {"GET", "HEAD", "POST", "DELETE"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        expect_refused(ask(&context, methods[i], "/api/deny", "sub=a"), REASON_NO_ROUTE,
                       "set deny_list to the path of its file, such as /var/lib/bearerd/deny");
    expect_refused(ask(&context, "GET", "/.well-known/jwks.json", NULL), REASON_NO_ROUTE,
                   "assertion: true");
}

/* --- listing --------------------------------------------------------------------------------- */

TEST(entries_are_listed_all_or_by_their_members) {
    struct deny_list *list = list_of("{\"sub\":\"a\",\"note\":\"x\"}\n{\"sub\":\"a\",\"issuer\":"
                                     "\"https://i\"}\n{\"jti\":\"a\"}\n");
    struct admin_context context = {.has_deny_list = true, .denied = list};
#define A "{\"sub\": \"a\", \"note\": \"x\"}"
#define B "{\"sub\": \"a\", \"issuer\": \"https://i\"}"
#define C "{\"jti\": \"a\"}"
    static const struct {
        const char *query, *entries;
    } rows[] = {{NULL, A ", " B ", " C}, {"sub=a", A ", " B}, {"jti=a", C},
                {"issuer=https://i", B}, {"kid=a", ""},       {"sub=a&issuer=https://i", B},
                {"sub=b", ""},           {"sub=a&jti=a", ""}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *body = scratch_text("{\"entries\": [%s], \"omitted\": 0}", rows[i].entries);
        expect_body(&context, "/api/deny", rows[i].query, body);
        free(body);
    }
    expect_refused(ask(&context, "GET", "/api/deny", "note=x"), REASON_TARGET, "not known here");
    expect_refused(ask(&context, "GET", "/api/deny", "sub=a&sub=a"), REASON_TARGET, "twice");
    deny_list_unref(list);
}

/* DEL takes one byte in the file and six in an answer. */
TEST(a_listing_ends_where_an_answer_does_and_says_so) {
    enum { ENTRIES = 60 };
    struct buf text = buf_make(DENY_TEXT_MAX);
    char *value = malloc(DENY_LINE_MAX - 11 + 1);
    memset(value, 0x7f, DENY_LINE_MAX - 11);
    value[DENY_LINE_MAX - 11] = '\0';
    for (int i = 0; i < ENTRIES; i++) buf_addf(&text, "{\"sub\": \"%s\"}\n", value + 1);
    struct deny_list *list = list_of(text.data);
    struct admin_context context = {.has_deny_list = true, .denied = list};
    struct outcome outcome = ask(&context, "GET", "/api/deny", NULL);
    ck_assert(answer_ok(&outcome.answer));
    ck_assert_ptr_nonnull(strstr(outcome.answer.body.data, "], \"omitted\": 58}"));
    json_t *root = json_loads(outcome.answer.body.data, 0, NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "entries")), 2);
    json_decref(root);
    outcome_done(&outcome);
    deny_list_unref(list);
    free(value);
    buf_done(&text);
}

/* --- changes --------------------------------------------------------------------------------- */

static void expect_errand(const char *method, const char *query, const char *line) {
    struct admin_context context = {.has_deny_list = true};
    struct outcome outcome = ask(&context, method, "/api/deny", query);
    ck_assert_msg(outcome.kind == ADMIN_ERRAND, "%s: %s", query, outcome.refusal.text);
    struct buf out = buf_make(65536);
    deny_entry_add(&outcome.errand.entry, &out);
    ck_assert_str_eq(out.data, line);
    ck_assert(outcome.errand.lift == (strcmp(method, "DELETE") == 0));
    buf_done(&out);
    outcome_done(&outcome);
}

TEST(a_change_is_described_by_the_query) {
    static const char *const methods[] = {"POST", "DELETE"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        expect_errand(methods[i], "sub=alice", "{\"sub\": \"alice\"}");
        expect_errand(methods[i], "jti=%2B+%22", "{\"jti\": \"+ \\\"\"}");
        expect_errand(methods[i],
                      "note=n&until=2033-01-01T00:00:00Z&issuer=https%3a%2f%2fi&kid=k%0a",
                      "{\"kid\": \"k\\n\", \"issuer\": \"https://i\", \"until\": "
                      "\"2033-01-01T00:00:00Z\", \"note\": \"n\"}");
    }
    expect_errand("POST", "sub=a&until=2023-11-14T22:13:21Z",
                  "{\"sub\": \"a\", \"until\": \"2023-11-14T22:13:21Z\"}");
    expect_errand("DELETE", "sub=a&until=2023-11-14T22:13:20Z",
                  "{\"sub\": \"a\", \"until\": \"2023-11-14T22:13:20Z\"}");
}

TEST(a_change_that_is_not_clear_is_refused) {
    static const struct {
        const char *query, *why;
    } rows[] = {
        {NULL, "has none of jti, sub and kid"},
        {"", "has none of jti, sub and kid"},
        {"issuer=i", "has none of jti, sub and kid"},
        {"sub=a&jti=b", "has both"},
        {"sub=", "has an empty sub"},
        {"sub=a&issuer=", "has an empty issuer"},
        {"sub=a&until=tomorrow", "has an until that is no moment"},
        {"sub=a&isuer=i", "has a name that is not known here"},
        {"sub=a&sub=b", "has a name twice"},
        {"sub=%ff", "is not UTF-8"},
    };
    struct admin_context context = {.has_deny_list = true};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        expect_refused(ask(&context, "POST", "/api/deny", rows[i].query), REASON_TARGET,
                       rows[i].why);
        expect_refused(ask(&context, "DELETE", "/api/deny", rows[i].query), REASON_TARGET,
                       rows[i].why);
    }
    expect_refused(ask(&context, "POST", "/api/deny", "sub=a&until=2023-11-14T22:13:20Z"),
                   REASON_TARGET, "has passed: it would deny nothing");
    expect_refused(ask_as(&context, (struct admin_request){.method = S("POST"),
                                                           .path = S("/api/deny"),
                                                           .query = S("sub=a"),
                                                           .has_body = true}),
                   REASON_TARGET, "in the query, not in a body");
    char *query = scratch_text("sub=%0*d", (int)DENY_LINE_MAX, 1);
    expect_refused(ask(&context, "POST", "/api/deny", query), REASON_TARGET,
                   "bytes; an entry may have 16384");
    free(query);
}

TEST(an_errand_that_is_over_has_its_answer) {
    struct admin_context context = {.has_deny_list = true};
    struct refusal refusal;
    struct answer answer;
    struct outcome outcome = ask(&context, "POST", "/api/deny", "sub=a");
    outcome.errand.done = true;
    for (size_t count = 0; count < 2; count++) {
        outcome.errand.count = count;
        ck_assert(admin_errand_answer(&outcome.errand, &answer, &refusal));
        ck_assert_str_eq(answer.body.data, "{\"sub\": \"a\"}");
        answer_done(&answer);
    }
    outcome.errand.lift = true;
    ck_assert(admin_errand_answer(&outcome.errand, &answer, &refusal));
    ck_assert_str_eq(answer.body.data, "{\"removed\": 1}");
    answer_done(&answer);
    outcome.errand.count = 0;
    ck_assert(!admin_errand_answer(&outcome.errand, &answer, &refusal));
    ck_assert_int_eq(refusal.reason, REASON_NO_ROUTE);
    outcome.errand.done = false;
    refuse(&outcome.errand.refusal, REASON_NOT_WRITTEN, "the disk is full");
    ck_assert(!admin_errand_answer(&outcome.errand, &answer, &refusal));
    ck_assert_int_eq(refusal.reason, REASON_NOT_WRITTEN);
    ck_assert_str_eq(refusal.text, "the disk is full");
    outcome_done(&outcome);
}
