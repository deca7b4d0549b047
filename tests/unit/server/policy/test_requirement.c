#include "server/policy/requirement.h"

#include "common/attr.h"
#include "server/answer/problem.h"
/* The one other place that makes principals: how they come to be is tested with authenticate(). */
#include "server/token/principal_make.h"
#include "tests/support/claims.h"
#include "tests/support/scratch.h"
#include "tests/unit/server/config/texts.h"

#define NOW 1700000000 /* 2023-11-14T22:13:20Z */
#define OK REASON_COUNT

/* A requirement of a route whose path has two captures, and someone to meet it. */
struct meeting {
    struct config *config;
    struct requirement *requirement;
    struct principal *principal;
    const struct requirement *by;
    struct refusal refusal;
};

static struct meeting meeting_make(const char *require, const char *claims, size_t claims_len) {
    struct meeting meeting = {.refusal = {OK, ""}};
    char *yaml =
        scratch_text("issuers: [{issuer: \"https://idp\", audiences: [api]},\n"
                     "          {issuer: \"https://other\", audiences: [api]}]\n"
                     "roles: [{name: OPERATOR, scopes: [o:read, o:write]}, {name: BOSS, scopes: "
                     "[o:read, o:write,"
                     " o:own]}]\n"
                     "routes: [{path: \"/t/{one}/{two}\", respond: verdict, require: %s}]\n",
                     require);
    meeting.config = parse_good(span_of(yaml));
    meeting.requirement =
        requirement_new(meeting.config, &meeting.config->routes[0].require, "/t/{one}/{two}");
    ck_assert_ptr_nonnull(meeting.requirement);
    json_t *object = json_loadb(claims, claims_len, JSON_ALLOW_NUL, NULL);
    ck_assert_msg(object != NULL, "no JSON: %.300s", claims);
    json_object_set_new(object, "sub", json_string("alice"));
    struct jtree *tree = claims_of(object);
    ck_assert_msg(principal_make(tree, &meeting.config->issuers[0], NOW + 60, &meeting.principal,
                                 &meeting.refusal),
                  "%s", meeting.refusal.text);
    jtree_unref(tree);
    free(yaml);
    return meeting;
}

static void note(void *argument, const char *step, bool good, const char *text) {
    ck_assert_ptr_nonnull(step);
    ck_assert_uint_lt(strlen(text), TRACE_TEXT_MAX);
    if (!good) ++*(size_t *)argument;
}

/* Whoever asks why gets the same verdict as whoever does not. */
static bool meet(struct meeting *meeting, const char *one, const char *two) {
    struct span captures[] = {span_of(one), span_of(two)};
    struct requirement_facts facts = {meeting->principal, captures, NOW, NULL};
    const struct requirement *by;
    struct refusal refusal = {OK, ""};
    size_t faults = 0;
    struct trace trace = {note, &faults};
    struct requirement_facts traced = {meeting->principal, captures, NOW, &trace};

    bool met = requirement_check(meeting->requirement, &facts, &meeting->by, &meeting->refusal);
    ck_assert(requirement_check(meeting->requirement, &traced, &by, &refusal) == met);
    ck_assert_msg(met || faults, "no fault was noted");
    ck_assert_ptr_eq(by, meeting->by);
    if (met) return true;
    ck_assert_int_eq(refusal.reason, meeting->refusal.reason);
    ck_assert_str_eq(refusal.text, meeting->refusal.text);
    return false;
}

static void meeting_done(struct meeting *meeting) {
    principal_unref(meeting->principal);
    requirement_unref(meeting->requirement);
    config_unref(meeting->config);
}

struct row {
    const char *require;
    const char *claims;
    enum reason reason; /* OK: met */
    const char *text;   /* of the refusal; NULL: any */
};

static void check_rows(const struct row *rows, size_t count, const char *one, const char *two) {
    for (size_t i = 0; i < count; i++) {
        struct meeting meeting =
            meeting_make(rows[i].require, rows[i].claims, strlen(rows[i].claims));
        bool met = meet(&meeting, one, two);
        enum reason reason = met ? OK : meeting.refusal.reason;
        ck_assert_msg(reason == rows[i].reason, "%s of %s: %s: %s", rows[i].require, rows[i].claims,
                      met ? "met" : reason_name(reason), meeting.refusal.text);
        if (rows[i].text && !met) ck_assert_str_eq(meeting.refusal.text, rows[i].text);
        meeting_done(&meeting);
    }
}

#define CHECK_ROWS(rows) check_rows(rows, ARRAY_LEN(rows), "red", "a%20b")

/* --- scopes, roles, issuers ------------------------------------------------------------------ */

TEST(scopes_and_roles_stand_for_each_other) {
    static const struct row rows[] = {
        {"{}", "{}", OK, NULL},
        {"{scopes: [a, b]}", "{\"scope\": \"b a\"}", OK, NULL},
        {"{scopes: [a, b]}", "{\"scope\": \"a\"}", REASON_SCOPE_MISSING,
         "the token lacks the scope 'b'"},
        {"{any_scopes: [a, b]}", "{\"scope\": \"b\"}", OK, NULL},
        {"{any_scopes: [a, b]}", "{\"scope\": \"c\"}", REASON_SCOPE_MISSING,
         "the token has none of the scopes 'a', 'b'"},
        {"{scopes: [a], any_scopes: [b]}", "{\"scope\": \"a\"}", REASON_SCOPE_MISSING,
         "the token has none of the scopes 'b'"},
        {"{scopes: [o:read]}", "{\"roles\": [\"OPERATOR\"]}", OK, NULL},
        {"{scopes: [o:own]}", "{\"roles\": [\"OPERATOR\"]}", REASON_SCOPE_MISSING, NULL},
        {"{any_scopes: [x, o:own]}", "{\"roles\": \"BOSS\"}", OK, NULL},
        {"{roles: [OPERATOR]}", "{\"roles\": [\"OPERATOR\"]}", OK, NULL},
        {"{roles: [OPERATOR]}", "{\"scope\": \"o:write o:read\"}", OK, NULL},
        {"{roles: [OPERATOR]}", "{\"roles\": [\"BOSS\"]}", OK, NULL},
        {"{roles: [BOSS]}", "{\"roles\": [\"OPERATOR\"], \"scope\": \"o:own\"}", OK, NULL},
        {"{roles: [BOSS]}", "{\"roles\": [\"OPERATOR\"]}", REASON_ROLE_MISSING,
         "the caller lacks the role 'BOSS'"},
        {"{roles: [guest]}", "{\"groups\": [\"guest\"]}", OK, NULL},
        {"{roles: [guest]}", "{\"scope\": \"guest\"}", REASON_ROLE_MISSING, NULL},
        {"{any_roles: [guest, OPERATOR]}", "{\"scope\": \"o:write o:read\"}", OK, NULL},
        {"{any_roles: [guest, BOSS]}", "{\"roles\": [\"boss\"]}", REASON_ROLE_MISSING,
         "the caller has none of the roles 'guest', 'BOSS'"},
        {"{issuers: [\"https://idp\"]}", "{}", OK, NULL},
        {"{issuers: [\"https://other\", \"https://idp\"]}", "{}", OK, NULL},
        {"{issuers: [\"https://other\"]}", "{}", REASON_ISSUER_NOT_ALLOWED,
         "tokens of the issuer https://idp are not accepted for this path"},
    };
    CHECK_ROWS(rows);
}

/* --- claims ---------------------------------------------------------------------------------- */

#define CLAIM(test) "{claims: [{name: v, " test "}]}"

TEST(a_claim_is_compared_with_its_type) {
    static const struct row rows[] = {
        {CLAIM("equals: sales"), "{\"v\": \"sales\"}", OK, NULL},
        {CLAIM("equals: sales"), "{\"v\": \"Sales\"}", REASON_CLAIM_NOT_MET,
         "the claim v is 'Sales'; it must be 'sales'"},
        {CLAIM("equals: sales"), "{}", REASON_CLAIM_NOT_MET,
         "the token has no claim v; it must be 'sales'"},
        {CLAIM("equals: sales"), "{\"v\": null}", REASON_CLAIM_NOT_MET,
         "the token has no claim v; it must be 'sales'"},
        {CLAIM("equals: sales"), "{\"v\": [\"sales\"]}", REASON_CLAIM_NOT_MET,
         "the claim v is a list; it must be 'sales'"},
        {CLAIM("equals: sales"), "{\"v\": {\"sales\": 1}}", REASON_CLAIM_NOT_MET,
         "the claim v is an object; it must be 'sales'"},
        {CLAIM("equals: 5"), "{\"v\": \"5\"}", REASON_CLAIM_NOT_MET,
         "the claim v is '5'; it must be 5"},
        {CLAIM("equals: \"5\""), "{\"v\": 5}", REASON_CLAIM_NOT_MET,
         "the claim v is 5; it must be '5'"},
        {CLAIM("equals: 5"), "{\"v\": 5.0}", OK, NULL},
        {CLAIM("equals: 5e0"), "{\"v\": 5}", OK, NULL},
        {CLAIM("equals: 9007199254740993"), "{\"v\": 9007199254740993}", OK, NULL},
        {CLAIM("equals: 9007199254740993"), "{\"v\": 9007199254740992}", REASON_CLAIM_NOT_MET,
         NULL},
        {CLAIM("equals: true"), "{\"v\": true}", OK, NULL},
        {CLAIM("equals: true"), "{\"v\": \"true\"}", REASON_CLAIM_NOT_MET,
         "the claim v is 'true'; it must be true"},
        {CLAIM("equals: \"true\""), "{\"v\": true}", REASON_CLAIM_NOT_MET, NULL},
        {CLAIM("equals: false"), "{}", REASON_CLAIM_NOT_MET, NULL},
        {CLAIM("equals: \"null\""), "{\"v\": null}", REASON_CLAIM_NOT_MET, NULL},
        {CLAIM("equals: \"null\""), "{\"v\": \"null\"}", OK, NULL},
        {CLAIM("one_of: [a, 5]"), "{\"v\": 5}", OK, NULL},
        {CLAIM("one_of: [a, 5]"), "{\"v\": \"5\"}", REASON_CLAIM_NOT_MET,
         "the claim v is '5'; it must be one of several, such as 'a'"},
        {CLAIM("one_of: [a]"), "{\"v\": true}", REASON_CLAIM_NOT_MET,
         "the claim v is true; it must be 'a'"},
        {CLAIM("contains: a"), "{\"v\": [\"b\", \"a\"]}", OK, NULL},
        {CLAIM("contains: a"), "{\"v\": \"b a\"}", OK, NULL},
        {CLAIM("contains: a"), "{\"v\": \"ba\"}", REASON_CLAIM_NOT_MET,
         "the claim v is 'ba'; it must contain 'a'"},
        {CLAIM("contains: a"), "{\"v\": {\"a\": \"a\"}}", REASON_CLAIM_NOT_MET, NULL},
        {CLAIM("contains: 5"), "{\"v\": [5]}", OK, NULL},
        {CLAIM("contains: 5"), "{\"v\": \"5\"}", REASON_CLAIM_NOT_MET, NULL},
        {CLAIM("present: true"), "{\"v\": false}", OK, NULL},
        {CLAIM("present: true"), "{}", REASON_CLAIM_NOT_MET,
         "the token has no claim v; it must be there"},
        {CLAIM("present: false"), "{}", OK, NULL},
        {CLAIM("present: false"), "{\"v\": 0}", REASON_CLAIM_NOT_MET,
         "the claim v is 0; it must not be there"},
        {CLAIM("at_least: 3"), "{\"v\": 3}", OK, NULL},
        {CLAIM("at_least: 3"), "{\"v\": 2.999}", REASON_CLAIM_NOT_MET,
         "the claim v is 2.999; it must be a number, at least 3"},
        {CLAIM("at_least: 3"), "{\"v\": \"4\"}", REASON_CLAIM_NOT_MET,
         "the claim v is '4'; it must be a number, at least 3"},
        {CLAIM("at_least: 3"), "{}", REASON_CLAIM_NOT_MET, NULL},
        {CLAIM("at_least: 9007199254740993"), "{\"v\": 9007199254740992}", REASON_CLAIM_NOT_MET,
         NULL},
        {CLAIM("at_most: -1"), "{\"v\": -1}", OK, NULL},
        {CLAIM("at_most: -1"), "{\"v\": 0}", REASON_CLAIM_NOT_MET,
         "the claim v is 0; it must be a number, at most -1"},
        {CLAIM("at_most: 3"), "{\"v\": null}", REASON_CLAIM_NOT_MET, NULL},
        {CLAIM("at_least: 1, at_most: 2, one_of: [1, 3]"), "{\"v\": 1}", OK, NULL},
        {CLAIM("at_least: 1, at_most: 2, one_of: [1, 3]"), "{\"v\": 3}", REASON_CLAIM_NOT_MET,
         NULL},
        {CLAIM("at_least: 1, at_most: 2, one_of: [1, 3]"), "{\"v\": 2}", REASON_CLAIM_NOT_MET,
         NULL},
    };
    CHECK_ROWS(rows);
}

/* "" is a value: it may be refused by the check of a configuration, but never forgotten. */
TEST(an_empty_text_is_a_value_as_any_other) {
    static const struct row rows[] = {
        {CLAIM("present: true, equals: \"\""), "{\"v\": \"\"}", OK, NULL},
        {CLAIM("present: true, equals: \"\""), "{\"v\": \"x\"}", REASON_CLAIM_NOT_MET, NULL},
        {CLAIM("one_of: [\"\", a]"), "{\"v\": \"\"}", OK, NULL},
        {CLAIM("one_of: [\"\", a]"), "{\"v\": \"b\"}", REASON_CLAIM_NOT_MET, NULL},
    };
    CHECK_ROWS(rows);
}

TEST(a_dot_leads_into_objects_and_into_nothing_else) {
    static const struct row rows[] = {
        {"{claims: [{name: a.b.c, equals: x}]}", "{\"a\": {\"b\": {\"c\": \"x\"}}}", OK, NULL},
        {"{claims: [{name: a.b.c, equals: x}]}", "{\"a.b.c\": \"x\"}", OK, NULL},
        {"{claims: [{name: a.b.c, equals: x}]}", "{\"a\": [{\"b\": {\"c\": \"x\"}}]}",
         REASON_CLAIM_NOT_MET, "the token has no claim a.b.c; it must be 'x'"},
        {"{claims: [{name: a.0, equals: x}]}", "{\"a\": [\"x\"]}", REASON_CLAIM_NOT_MET, NULL},
        {"{claims: [{name: a.b, equals: x}]}", "{\"a\": \"b\"}", REASON_CLAIM_NOT_MET, NULL},
        {"{claims: [{name: a.b, present: true}]}", "{\"a\": null}", REASON_CLAIM_NOT_MET, NULL},
    };
    CHECK_ROWS(rows);
}

TEST(a_capture_is_what_the_path_has_decoded_once) {
    static const struct {
        const char *one, *claims;
        bool met;
    } rows[] = {
        {"red", "{\"v\": \"red\"}", true},
        {"red", "{\"v\": \"Red\"}", false},
        {"red", "{\"v\": \"re\"}", false},
        {"re", "{\"v\": \"red\"}", false},
        {"a%20b", "{\"v\": \"a b\"}", true},
        {"a%20b", "{\"v\": \"a%20b\"}", false},
        {"a%2520b", "{\"v\": \"a%20b\"}", true},
        {"a%2520b", "{\"v\": \"a b\"}", false},
        {"caf%C3%A9", "{\"v\": \"caf\\u00e9\"}", true},
        {"caf%E9", "{\"v\": \"caf\\u00e9\"}", false},
        {"5", "{\"v\": 5}", true},
        {"05", "{\"v\": 5}", false},
        {"5.0", "{\"v\": 5}", false},
        {"5", "{\"v\": 5.0}", false},
        {"-9223372036854775808", "{\"v\": -9223372036854775808}", true},
        {"true", "{\"v\": true}", false},
        {"null", "{\"v\": null}", false},
        {"red", "{\"v\": [\"red\"]}", false},
        {"{one}", "{\"v\": \"{one}\"}", true},
        {"red", "{\"v\": \"{one}\"}", false},
        {"red", "{\"v\": \"\"}", false},
        {"x%22", "{\"v\": \"x\\\"\"}", true},
        {"red", "{\"v\": \"red\\u0000\"}", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static const char *const tests[] = {"equals: \"{one}\"", "one_of: [x, \"{one}\"]"};
        for (size_t k = 0; k < ARRAY_LEN(tests); k++) {
            char *require = scratch_text("{claims: [{name: v, %s}]}", tests[k]);
            struct meeting meeting = meeting_make(require, rows[i].claims, strlen(rows[i].claims));
            ck_assert_msg(meet(&meeting, rows[i].one, "other") == rows[i].met, "%s: %s is %s",
                          tests[k], rows[i].claims, rows[i].one);
            meeting_done(&meeting);
            free(require);
        }
    }
}

TEST(each_capture_is_that_of_its_name) {
    static const struct row rows[] = {
        {CLAIM("equals: \"{two}\""), "{\"v\": \"a b\"}", OK, NULL},
        {CLAIM("equals: \"{two}\""), "{\"v\": \"red\"}", REASON_CLAIM_NOT_MET,
         "the claim v is 'red'; it must be '{two}'"},
        {CLAIM("contains: \"{one}\""), "{\"v\": \"blue red\"}", OK, NULL},
        {CLAIM("contains: \"{two}\""), "{\"v\": \"a b\"}", REASON_CLAIM_NOT_MET, NULL},
        {CLAIM("contains: \"{two}\""), "{\"v\": [\"a b\"]}", OK, NULL},
        {"{any_of: [{claims: [{name: v, equals: \"{one}\"}]}, {not: {claims: [{name: v, equals: "
         "\"{two}\"}]}}]}",
         "{\"v\": \"a b\"}", REASON_CLAIM_NOT_MET, NULL},
    };
    CHECK_ROWS(rows);
}

/* --- ages and logins ------------------------------------------------------------------------- */

/* The leeway is a minute. */
TEST(ages_count_from_the_claim_with_the_leeway_of_the_issuer) {
    static const struct row rows[] = {
        {"{max_token_age: 10m}", "{\"iat\": 1699999340}", OK, NULL},
        {"{max_token_age: 10m}", "{\"iat\": 1699999339}", REASON_TOKEN_TOO_OLD,
         "the token was issued at 2023-11-14T22:02:19Z; current time 2023-11-14T22:13:20Z, 11 min "
         "1 s later; at most 10 min are accepted here, allowed clock skew 60 s"},
        {"{max_token_age: 10m}", "{\"iat\": 1700000060}", OK, NULL},
        {"{max_token_age: 10m}", "{\"iat\": 1700000061}", REASON_TOKEN_TOO_OLD, NULL},
        {"{max_token_age: 10m}", "{}", REASON_TOKEN_TOO_OLD,
         "the token was issued: the token has no iat claim that is a date"},
        {"{max_auth_age: 1h}", "{\"auth_time\": 1699999999.5}", OK, NULL},
        {"{max_auth_age: 1h}", "{\"auth_time\": \"1699999999\"}", REASON_LOGIN_TOO_OLD,
         "the user logged in: the token has no auth_time claim that is a date"},
        {"{max_auth_age: 1h}", "{\"auth_time\": -1}", REASON_LOGIN_TOO_OLD, NULL},
        {"{max_auth_age: 1h}", "{\"auth_time\": 1e308}", REASON_LOGIN_TOO_OLD, NULL},
        {"{max_auth_age: 1h}", "{\"auth_time\": 9223372036854775807}", REASON_LOGIN_TOO_OLD, NULL},
        {"{max_auth_age: 1h}", "{\"auth_time\": 0}", REASON_LOGIN_TOO_OLD, NULL},
        {"{acr: [gold, silver]}", "{\"acr\": \"silver\"}", OK, NULL},
        {"{acr: [gold, silver]}", "{\"acr\": \"bronze\"}", REASON_ACR_NOT_MET,
         "the user logged in by 'bronze' (acr); it must be one of 'gold', 'silver'"},
        {"{acr: [gold]}", "{}", REASON_ACR_NOT_MET,
         "the token does not say how the user logged in (acr); it must be 'gold'"},
        {"{acr: [gold]}", "{\"acr\": [\"gold\"]}", REASON_ACR_NOT_MET,
         "the user logged in by a list (acr); it must be 'gold'"},
    };
    CHECK_ROWS(rows);
}

/* --- combinations ---------------------------------------------------------------------------- */

TEST(parts_are_combined_as_they_are_written) {
    static const struct row rows[] = {
        {"{all_of: [{scopes: [a]}, {scopes: [b]}]}", "{\"scope\": \"a b\"}", OK, NULL},
        {"{all_of: [{scopes: [a]}, {scopes: [b]}]}", "{\"scope\": \"b\"}", REASON_SCOPE_MISSING,
         "the token lacks the scope 'a'"},
        {"{any_of: [{scopes: [a]}, {scopes: [b]}]}", "{\"scope\": \"b\"}", OK, NULL},
        {"{any_of: [{scopes: [a]}, {scopes: [b]}]}", "{\"scope\": \"c\"}", REASON_SCOPE_MISSING,
         "the token lacks the scope 'a'"},
        {"{scopes: [x], any_of: [{scopes: [a]}]}", "{\"scope\": \"a\"}", REASON_SCOPE_MISSING,
         "the token lacks the scope 'x'"},
        {"{not: {scopes: [a]}}", "{\"scope\": \"b\"}", OK, NULL},
        {"{not: {scopes: [a]}}", "{\"scope\": \"a\"}", REASON_RULED_OUT,
         "the token has what is ruled out for this path"},
        {"{not: {scopes: [a, b]}}", "{\"scope\": \"a\"}", OK, NULL},
        {"{not: {not: {scopes: [a]}}}", "{\"scope\": \"a\"}", OK, NULL},
        {"{any_of: [{any_of: [{scopes: [a]}]}, {all_of: [{not: {scopes: [b]}}]}]}",
         "{\"scope\": \"c\"}", OK, NULL},
        /* token, then login, then the rest, wherever they stand */
        {"{scopes: [x], all_of: [{acr: [gold]}, {max_token_age: 1m}]}", "{\"iat\": 1}",
         REASON_ACR_NOT_MET, NULL},
        {"{scopes: [x], all_of: [{roles: [BOSS]}, {all_of: [{max_token_age: 1m}]}]}",
         "{\"iat\": 1}", REASON_TOKEN_TOO_OLD, NULL},
        {"{acr: [gold], max_token_age: 1m}", "{\"iat\": 1}", REASON_TOKEN_TOO_OLD, NULL},
        {"{acr: [gold], max_auth_age: 1m}", "{\"auth_time\": 1}", REASON_ACR_NOT_MET, NULL},
        {"{issuers: [\"https://other\"], scopes: [x]}", "{}", REASON_ISSUER_NOT_ALLOWED, NULL},
        {"{roles: [BOSS], claims: [{name: v, present: true}]}", "{}", REASON_ROLE_MISSING, NULL},
    };
    CHECK_ROWS(rows);
}

TEST(the_part_that_lacks_says_what_would_help) {
    static const struct {
        const char *require, *claims, *scopes, *acr;
        int64_t max_age;
    } rows[] = {
        {"{scopes: [a, b]}", "{}", "a b", "", 0},
        {"{any_scopes: [a, b]}", "{}", "a", "", 0},
        {"{roles: [OPERATOR], any_roles: [BOSS]}", "{}", "o:read o:write o:own", "", 0},
        {"{roles: [guest]}", "{}", "", "", 0},
        {"{scopes: [a], all_of: [{any_scopes: [b]}]}", "{\"scope\": \"a\"}", "a b", "", 0},
        {"{any_of: [{scopes: [a]}, {scopes: [b]}]}", "{}", "a", "", 0},
        {"{scopes: [s], all_of: [{acr: [gold, silver], max_auth_age: 90s}]}", "{}", "s",
         "gold silver", 90},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct meeting meeting =
            meeting_make(rows[i].require, rows[i].claims, strlen(rows[i].claims));
        struct buf scopes = buf_make(1024), acr = buf_make(1024);
        ck_assert(!meet(&meeting, "red", "x"));
        requirement_add_scopes(meeting.requirement, meeting.by, &scopes);
        requirement_add_acr(meeting.by, &acr);
        ck_assert_msg(strcmp(scopes.len ? scopes.data : "", rows[i].scopes) == 0, "%s: %s",
                      rows[i].require, scopes.data);
        ck_assert_msg(strcmp(acr.len ? acr.data : "", rows[i].acr) == 0, "%s: %s", rows[i].require,
                      acr.data);
        ck_assert_int_eq(requirement_max_auth_age(meeting.by), rows[i].max_age);
        buf_done(&scopes);
        buf_done(&acr);
        meeting_done(&meeting);
    }
}

/* --- hostile values -------------------------------------------------------------------------- */

/* Nothing of it breaks out of a line, and all of it fits. */
static void check_told(const struct refusal *refusal, const char *what) {
    struct problem_context context = {.realm = "r"};
    struct answer answer = problem_answer(refusal, &context);
    ck_assert_msg(memchr(refusal->text, '\0', sizeof refusal->text) != NULL, "%s", what);
    ck_assert(answer_ok(&answer));
    ck_assert_uint_lt(answer.challenge.len, 1024);
    for (const char *c = answer.challenge.data; c && *c; c++)
        ck_assert_msg(*c >= 0x20 && *c < 0x7f, "%s: %s", what, answer.challenge.data);
    json_t *body = json_loadb(answer.body.data, answer.body.len, 0, NULL);
    ck_assert_msg(body != NULL, "%s: %s", what, answer.body.data);
    for (const char *c = json_string_value(json_object_get(body, "error_description")); *c; c++)
        ck_assert_msg(*c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\', "%s: %s", what,
                      answer.body.data);
    json_decref(body);
    answer_done(&answer);
}

static char *repeated(const char *before, const char *part, size_t count, const char *behind) {
    struct buf out = buf_make((size_t)1 << 24);
    buf_add_text(&out, before);
    for (size_t i = 0; i < count; i++) buf_add_text(&out, part);
    buf_add_text(&out, behind);
    ck_assert(buf_ok(&out));
    return out.data;
}

TEST(a_hostile_claim_neither_meets_anything_nor_breaks_what_is_told) {
    static const char *const tests[] = {
        CLAIM("equals: sales"),
        CLAIM("equals: 5"),
        CLAIM("equals: \"{one}\""),
        CLAIM("one_of: [a, 5]"),
        CLAIM("contains: sales"),
        CLAIM("contains: \"{one}\""),
        CLAIM("at_least: 5000"),
        CLAIM("at_most: -5000"),
        CLAIM("present: false"),
        "{acr: [gold, silver]}",
        "{max_auth_age: 1m}",
        "{max_token_age: 1m}",
        "{not: {claims: [{name: v, present: true}]}}",
    };
    char *values[] = {
        repeated("\"", "x", 1 << 20, "\""),
        repeated("\"x", "\\u00e9", 1 << 16, "\""),
        repeated("\"", "\\u0001\\r\\n\\\"\\\\\\u007f\\u001b[2J", 64, "\""),
        repeated("\"", "\\uD83D\\uDE00", 99, "\""),
        repeated("\"", "sales\\u0000", 1, "\""),
        repeated("\"", "\\u0000sales", 1, "\""),
        repeated("\"", "red\\u0000", 1, "\""),
        repeated("\"", "%s%n%1000000d", 40, "\""),
        repeated("", "{\"v\": ", JSON_DEPTH_MAX - 1, "1") /* closed below */,
        repeated("[", "[],", 1 << 16, "[]]"),
        repeated("{\"", "sales", 4000, "\": true}"),
        repeated("[\"", "a\", \"", 1 << 14, "b\"]"),
        repeated("", "1e-300", 1, ""),
        repeated("\"", " ", 1 << 16, "\""),
    };
    char *closed = repeated(values[8], "}", JSON_DEPTH_MAX - 1, "");
    free(values[8]);
    values[8] = closed;
    for (size_t v = 0; v < ARRAY_LEN(values); v++) {
        char *claims = scratch_text("{\"v\": %s, \"acr\": %s, \"auth_time\": %s, \"iat\": %s}",
                                    values[v], values[v], values[v], values[v]);
        for (size_t t = 0; t < ARRAY_LEN(tests); t++) {
            struct meeting meeting = meeting_make(tests[t], claims, strlen(claims));
            ck_assert_msg(!meet(&meeting, "red", "x"), "%s of %.100s", tests[t], values[v]);
            check_told(&meeting.refusal, tests[t]);
            meeting_done(&meeting);
        }
        free(claims);
        free(values[v]);
    }
}

TEST(long_lists_of_a_rule_are_told_in_short) {
    char *scopes = repeated("{any_scopes: [a", ", a_scope_of_some_considerable_length_that_goes_on",
                            1000, "]}");
    struct meeting meeting = meeting_make(scopes, "{}", 2);
    ck_assert(!meet(&meeting, "red", "x"));
    check_told(&meeting.refusal, "many scopes");
    meeting_done(&meeting);
    free(scopes);
}
