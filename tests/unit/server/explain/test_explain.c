/* The stairs with a trace: that asking why changes no verdict, and what is told. */
#include "server/explain/explain.h"

#include <jansson.h>
#include <stdlib.h>

#include "common/attr.h"
#include "common/utf8.h"
#include "server/policy/route.h"
#include "tests/unit/server/token/judge.h"

#define OUTPUT_MAX ((size_t)1 << 20)

/* --- asking ----------------------------------------------------------------------------------- */

struct asked {
    struct judge judge;
    struct resources *resources;
    const char *not_denied;
    const struct explain_note *notes;
    size_t note_count;
};

static struct explain_report ask(const struct asked *asked, const char *header, const char *method,
                                 const char *target) {
    struct evidence evidence = {.now = asked->judge.now,
                                .now_ms = asked->judge.now_ms,
                                .authorization = span_of(header),
                                .authorization_count = header ? 1 : 0,
                                .denied = asked->judge.denied};
    struct explain_question question = {.config = asked->judge.config,
                                        .ring = asked->judge.ring,
                                        .routes = asked->judge.routes,
                                        .resources = asked->resources,
                                        .method = span_of(method),
                                        .host = span_of("api.example"),
                                        .target = span_of(target),
                                        .evidence = &evidence,
                                        .notes = asked->notes,
                                        .note_count = asked->note_count,
                                        .not_denied = asked->not_denied};
    struct explain_report report;
    ck_assert_int_eq(explain(&question, &report), 0);
    return report;
}

/* The same for "Bearer " and the token, which is freed. */
static struct explain_report ask_token(const struct asked *asked, char *token, const char *target) {
    char *header = scratch_text("Bearer %s", token);
    struct explain_report report = ask(asked, header, "GET", target);
    free(header);
    free(token);
    return report;
}

static struct asked open_usual(void) {
    struct asked asked = {.not_denied = NULL};
    judge_open_usual(&asked.judge);
    asked.resources = resources_new(asked.judge.config);
    ck_assert_ptr_nonnull(asked.resources);
    return asked;
}

static void asked_done(struct asked *asked) {
    resources_free(asked->resources);
    judge_done(&asked->judge);
}

static const struct explain_step *find_step(const struct explain_report *report, const char *name) {
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->steps[i].name, name) == 0) return &report->steps[i];
    ck_abort_msg("there is no step %s", name);
}

static char *text_of(const struct explain_report *report) {
    struct buf out = buf_make(OUTPUT_MAX);
    explain_write_text(report, &out);
    ck_assert(buf_ok(&out));
    return out.data;
}

static json_t *json_of(const struct explain_report *report) {
    struct buf out = buf_make(OUTPUT_MAX);
    explain_write_json(report, &out);
    ck_assert(buf_ok(&out));
    json_t *json = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(json, "%s", out.data);
    buf_done(&out);
    return json;
}

/* --- the verdict ------------------------------------------------------------------------------ */

/* Requirements of every shape, so that looking behind the first fault has something to look at. */
static const char yaml[] =
    "issuers: [{issuer: \"https://idp.example\", audiences: [api], scopes: [base], "
    "jwks_uri: \"https://idp.example/keys\", max_lifetime: 1d}]\n"
    "routes:\n"
    "  - {path: /0, respond: verdict}\n"
    "  - {path: /1, respond: verdict, require: {scopes: [a], roles: [r], acr: [mfa]}}\n"
    "  - {path: /2, respond: verdict, require: {any_of: [{scopes: [a]}, {roles: [r]}]}}\n"
    "  - {path: /3, respond: verdict, require: {scopes: [b], all_of: [{max_token_age: 1m}, "
    "{scopes: [a]}]}}\n"
    "  - {path: /4, respond: verdict, require: {all_of: [{scopes: [a]}, {acr: [mfa]}], any_of: "
    "[{roles: [r]}, {claims: [{name: plan, equals: gold}]}]}}\n"
    "  - {path: /5, respond: verdict, require: {not: {any_of: [{scopes: [a]}, {roles: [r]}]}}}\n"
    "  - {path: /6, respond: verdict, mode: report, require: {scopes: [a], max_auth_age: 1m}}\n"
    "  - {path: /7, respond: verdict, require: {any_of: [{any_of: [{scopes: [a]}, {scopes: [b]}], "
    "roles: [r]}, {audiences: [other]}], max_auth_age: 1h}}\n";

static struct asked open_routes(void) {
    struct asked asked = {.not_denied = NULL};
    char *keys[] = {MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", "RS256"))};
    judge_open_yaml(&asked.judge, yaml, keys, 1);
    asked.resources = resources_new(asked.judge.config);
    return asked;
}

/* With that combination of what the routes look at. */
static char *combined(unsigned bits) {
    char *roles = scratch_text("%s", bits & 4 ? "[\"r\"]" : "[]");
    char *scope = scratch_text("\"%s%s%s\"", bits & 8 ? "" : "base", bits & 1 ? " a" : "",
                               bits & 2 ? " b" : "");
    char *claims =
        judge_claims("scope", scope, "roles", roles, "acr", bits & 16 ? "\"mfa\"" : "", "plan",
                     bits & 32 ? "\"gold\"" : "7", "auth_time", bits & 64 ? "1699999990" : "1000",
                     "exp", bits & 128 ? "1699990000" : "1700000300", "iat",
                     bits & 256 ? "1699999999" : "1699990000", NULL);
    char *token = judge_mint_claims(claims);
    free(roles);
    free(scope);
    return token;
}

/* Explained by /N, and judged as the daemon judges it, without a trace. */
static void check_same(struct asked *asked, unsigned bits, int route) {
    char *path = scratch_text("/%d", route);
    char *token = combined(bits);
    asked->judge.path = path;
    struct verdict verdict = judge_token(&asked->judge, strdup(token));
    struct explain_report report = ask_token(asked, token, path);
    ck_assert_msg(report.allowed == (verdict.status == 200) && report.status == verdict.status,
                  "%u, %s: %u, explained as %u", bits, path, verdict.status, report.status);
    if (!report.allowed) {
        ck_assert_msg(strcmp(reason_name(report.refusal.reason), verdict.reason) == 0,
                      "%u, %s: %s, explained as %s", bits, path, verdict.reason,
                      reason_name(report.refusal.reason));
        ck_assert_str_eq(report.refusal.text, verdict.text);
    }
    bool failed = false;
    for (size_t i = 0; i < report.count; i++) failed |= report.steps[i].outcome == EXPLAIN_FAILED;
    ck_assert_msg(failed == (!report.allowed || report.reported), "%u, %s", bits, path);
    explain_done(&report);
    free(path);
}

TEST_WITHIN(asking_why_changes_no_verdict, 120) {
    struct asked asked = open_routes();
    for (unsigned bits = 0; bits < 512; bits++) {
        if (bits & 128 && bits & 31) continue; /* expired is expired */
        for (int route = 0; route <= 7; route++) check_same(&asked, bits, route);
    }
    asked_done(&asked);
}

TEST(the_challenge_names_what_a_client_would_be_told) {
    struct asked asked = open_routes();
    struct explain_report report = ask_token(&asked, combined(0), "/1");
    ck_assert_str_eq(report.challenge,
                     "Bearer realm=\"bearerd\", error=\"insufficient_user_authentication\", "
                     "error_description=\"the token does not say how the user logged in (acr); it "
                     "must be 'mfa'\", acr_values=\"mfa\"");
    ck_assert_str_eq(report.route, "/1");
    ck_assert_int_eq(find_step(&report, "requires scopes")->outcome, EXPLAIN_FAILED);
    ck_assert_int_eq(find_step(&report, "requires roles")->outcome, EXPLAIN_FAILED);
    ck_assert_int_eq(find_step(&report, "requires login")->outcome, EXPLAIN_FAILED);
    explain_done(&report);
    asked_done(&asked);
}

/* A fault in one part hides none in another. */
TEST(all_parts_of_a_requirement_are_told) {
    struct asked asked = open_routes();
    struct explain_report report = ask_token(&asked, combined(64), "/4");
    ck_assert_str_eq(find_step(&report, "requires scopes")->text, "the token lacks the scope 'a'");
    ck_assert_int_eq(find_step(&report, "requires login")->outcome, EXPLAIN_FAILED);
    ck_assert_str_eq(find_step(&report, "requires any_of")->text,
                     "number 1 of 2: the caller lacks the role 'r'");
    explain_done(&report);
    report = ask_token(&asked, combined(1 | 16 | 32), "/4");
    ck_assert(report.allowed);
    ck_assert_str_eq(find_step(&report, "requires scopes")->text, "met: 'a'");
    ck_assert_str_eq(find_step(&report, "requires any_of")->text, "number 2 of 2 is met");
    explain_done(&report);
    asked_done(&asked);
}

TEST(a_route_that_only_reports_says_what_it_would_refuse) {
    struct asked asked = open_routes();
    struct explain_report report = ask_token(&asked, combined(64), "/6");
    ck_assert(report.allowed && report.reported);
    ck_assert_int_eq(report.status, 200);
    ck_assert_int_eq(report.refusal.reason, REASON_SCOPE_MISSING);
    char *text = text_of(&report);
    ck_assert_ptr_nonnull(strstr(text, "\nallowed: 200\n"));
    ck_assert_ptr_nonnull(strstr(text, "without mode: report it would be refused: the token lacks "
                                       "the scope 'a'\n"));
    json_t *json = json_of(&report);
    ck_assert(json_is_true(json_object_get(json, "report_only")));
    ck_assert_str_eq(json_string_value(json_object_get(json, "reason")), "scope_missing");
    json_decref(json);
    free(text);
    explain_done(&report);
    asked_done(&asked);
}

/* --- without a token, without a URL ----------------------------------------------------------- */

TEST(a_request_without_a_token_is_explained_as_well) {
    static const struct {
        const char *target;
        unsigned status;
    } rows[] = {{"/open", 200}, {"/", 401}, {NULL, 401}, {"/none", 404}};
    struct asked asked = open_usual();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct explain_report report = ask(&asked, NULL, "GET", rows[i].target);
        ck_assert_uint_eq(report.status, rows[i].status);
        ck_assert(report.allowed == (rows[i].status == 200));
        if (rows[i].status == 401) ck_assert_int_eq(report.refusal.reason, REASON_NO_CREDENTIALS);
        explain_done(&report);
    }
    asked_done(&asked);
}

TEST(without_a_url_only_the_token_is_judged_and_that_is_said) {
    struct asked asked = open_usual();
    struct explain_report report = ask_token(&asked, judge_mint("a", "1"), NULL);
    ck_assert(report.allowed);
    ck_assert_int_eq(report.steps[0].outcome, EXPLAIN_NOTE);
    ck_assert_str_eq(report.steps[0].name, "route");
    ck_assert_ptr_null(report.route);
    ck_assert_ptr_null(report.challenge);
    ck_assert_str_eq(report.advice, "");
    explain_done(&report);
    asked_done(&asked);
}

/* --- keys and the deny list ------------------------------------------------------------------- */

TEST(where_keys_come_from_is_told_where_they_are_looked_at) {
    static const struct explain_note notes[] = {{EXPLAIN_NOTE, "none here"},
                                                {EXPLAIN_OK, "two from there"}};
    struct asked asked = open_usual();
    asked.notes = notes;
    asked.note_count = ARRAY_LEN(notes);
    struct explain_report report = ask_token(&asked, judge_mint("a", "1"), "/");
    size_t at = (size_t)(find_step(&report, "keys") - report.steps);
    ck_assert_str_eq(report.steps[at].text, "none here");
    ck_assert_str_eq(report.steps[at + 1].text, "two from there");
    ck_assert_str_eq(report.steps[at + 2].name, "key");
    explain_done(&report);
    /* No key is looked for: nothing is told of them. */
    report = ask_token(&asked, judge_mint("iss", "\"https://else.example\""), "/");
    for (size_t i = 0; i < report.count; i++) ck_assert_str_ne(report.steps[i].name, "keys");
    explain_done(&report);
    asked_done(&asked);
}

TEST(that_newer_keys_may_help_is_told) {
    struct asked asked = open_usual();
    char *header = judge_header_text("RS256", "other", "");
    struct explain_report report =
        ask_token(&asked, judge_mint_header(header, "RS256", mint_key(MINT_RSA)), "/");
    ck_assert(report.needs_keys && !report.allowed);
    ck_assert_int_eq(report.refusal.reason, REASON_KEY_NOT_FOUND);
    explain_done(&report);
    report = ask_token(&asked, judge_mint("exp", "1000"), "/");
    ck_assert(!report.needs_keys && !report.allowed);
    explain_done(&report);
    free(header);
    asked_done(&asked);
}

TEST(the_entry_that_denies_is_told_with_its_note) {
    static const struct {
        const char *list, *text;
    } rows[] = {
        {"{\"sub\":\"alice\",\"note\":\"left on Friday\"}",
         "denied by its sub alice, for good; note: left on Friday"},
        {"{\"kid\":\"r\",\"until\":\"2030-01-01T00:00:00Z\"}",
         "denied by its kid r, until 2030-01-01T00:00:00Z"},
        {"{\"jti\":\"j\",\"issuer\":\"https://idp.example\"}",
         "denied by its jti j of https://idp.example, for good"},
        {"{\"sub\":\"alice\",\"until\":\"2001-01-01T00:00:00Z\"}\n{\"jti\":\"j\"}",
         "denied by its jti j, for good"},
        {"{\"sub\":\"alice\",\"until\":\"2001-01-01T00:00:00Z\"}", NULL},
        {"{\"sub\":\"bob\"}", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked asked = open_usual();
        judge_deny(&asked.judge, rows[i].list);
        struct explain_report report =
            ask_token(&asked, judge_mint_two("jti", "\"j\"", "sub", "\"alice\""), "/");
        ck_assert_msg(report.allowed == !rows[i].text, "%s", rows[i].list);
        if (rows[i].text) {
            ck_assert_str_eq(find_step(&report, "deny list")->text, rows[i].text);
            ck_assert_int_eq(report.refusal.reason, REASON_TOKEN_REVOKED);
            /* Its bearer learns nothing of this. */
            ck_assert_ptr_null(strstr(report.challenge, "alice"));
            ck_assert_str_eq(report.refusal.text, "the token was revoked");
        }
        explain_done(&report);
        asked_done(&asked);
    }
}

TEST(what_could_not_be_looked_at_leaves_a_doubt_and_refuses_nothing) {
    struct asked asked = open_usual();
    asked.not_denied = "not looked at: it is a folder";
    struct explain_report report = ask_token(&asked, judge_mint("a", "1"), "/");
    ck_assert(report.allowed && report.doubtful);
    char *text = text_of(&report);
    ck_assert_ptr_nonnull(strstr(text, "allowed: 200, unless what could not be looked at"));
    free(text);
    explain_done(&report);
    report = ask_token(&asked, judge_mint("exp", "1000"), "/");
    ck_assert(!report.allowed && !report.doubtful);
    explain_done(&report);
    report = ask(&asked, NULL, "GET", "/open");
    ck_assert(report.allowed && !report.doubtful);
    explain_done(&report);
    asked_done(&asked);
}

/* --- unproven tokens -------------------------------------------------------------------------- */

TEST(what_an_unproven_token_says_is_told_as_its_own_word) {
    struct asked asked = open_usual();
    char *header = judge_header_text("RS256", "other", "");
    char *claims = judge_claims("exp", "1000", NULL);
    struct explain_report report =
        ask_token(&asked, mint_token(header, claims, "RS256", mint_key(MINT_RSA)), "/");
    ck_assert_int_eq(report.refusal.reason, REASON_KEY_NOT_FOUND);
    size_t signature = (size_t)(find_step(&report, "signature") - report.steps);
    size_t expiry = (size_t)(find_step(&report, "expiry") - report.steps);
    ck_assert_uint_lt(signature, expiry);
    ck_assert_str_eq(report.steps[signature].text,
                     "cannot be checked; what follows is only what the token says of itself");
    ck_assert_int_eq(report.steps[expiry].outcome, EXPLAIN_FAILED);
    explain_done(&report);
    free(claims);
    free(header);
    asked_done(&asked);
}

/* --- what is written -------------------------------------------------------------------------- */

static void add(struct explain_report *report, const char *text) {
    explain_add_step(report, "step", EXPLAIN_FAILED, text);
}

TEST(nothing_that_is_said_steers_a_terminal) {
    static const char *const texts[] = {
        "\x1b[2J",
        "a\nok     signature valid",
        "\r",
        "\x7f",
        "\xc2\x9b"
        "31m",
        "\xe2\x80\xae"
        "evil",
        "\xe2\x81\xa6",
        "\xe2\x80\xa8",
        "\xff\xfe",
        "\xc3",
        "\xed\xa0\x80",
        "\x01\x02",
    };
    struct explain_report report = {.advice = "", .status = 401};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) add(&report, texts[i]);
    report.challenge = strdup("\x1b[31m");
    refusal_write(&report.refusal, REASON_CLAIM_NOT_MET, "\x1b]0;x\xe2\x80\xae");
    ck_assert(!report.failed);
    char *text = text_of(&report);
    int lines = 0;
    for (struct span rest = span_of(text); rest.len;) {
        uint32_t character;
        size_t width = utf8_decode(rest, &character);
        ck_assert_msg(width && (character == '\n' || !utf8_is_steering(character)), "%s", rest.ptr);
        lines += character == '\n';
        rest = span_from(rest, width);
    }
    ck_assert_int_eq(lines, (int)ARRAY_LEN(texts) + 4);
    json_t *json = json_of(&report);
    ck_assert_int_eq(json_array_size(json_object_get(json, "steps")), ARRAY_LEN(texts));
    json_decref(json);
    free(text);
    explain_done(&report);
}

TEST(plain_text_of_every_language_stays) {
    struct explain_report report = {.advice = "", .allowed = true, .status = 200};
    explain_add_step(&report, "user", EXPLAIN_OK,
                     "Zo\xc3\xab \xe5\xb1\xb1\xe7\x94\xb0 \xf0\x9f\x98\x80");
    char *text = text_of(&report);
    ck_assert_str_eq(text, "ok     user               Zo\xc3\xab \xe5\xb1\xb1\xe7\x94\xb0 "
                           "\xf0\x9f\x98\x80\n\nallowed: 200\n");
    free(text);
    explain_done(&report);
}

/* A token that was made so is larger than any line about it. */
TEST(longer_texts_are_cut) {
    struct asked asked = open_usual();
    char *pad = malloc(8001);
    memset(pad, 'x', 8000);
    pad[8000] = '\0';
    char *raw = scratch_text("\"https://idp.example/%s\"", pad);
    struct explain_report report = ask_token(&asked, judge_mint("iss", raw), "/");
    ck_assert_int_eq(report.refusal.reason, REASON_ISSUER_UNKNOWN);
    for (size_t i = 0; i < report.count; i++)
        ck_assert_uint_lt(strlen(report.steps[i].text), TRACE_TEXT_MAX);
    json_decref(json_of(&report));
    explain_done(&report);
    free(raw);
    free(pad);
    asked_done(&asked);
}
