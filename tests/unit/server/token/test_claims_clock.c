/* The claims that name a time, against a clock of the test's own, to the second. */
#include <stdlib.h>

#include "tests/unit/server/token/judge.h"

/* A claim that lies offset seconds from now; the text of any clock stays out of it. */
static void expect_at(const char *options, const char *claim, int64_t now, int64_t offset,
                      const char *reason) {
    struct judge judge;
    judge_open(&judge, options, MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    judge.now = now;
    char *raw = scratch_text("%lld", (long long)(now + offset));
    char *later = scratch_text("%lld", (long long)(now + 3600));
    char *label = scratch_text("%s %s%+lld", options, claim, (long long)offset);
    bool is_exp = strcmp(claim, "exp") == 0;
    char *token = judge_mint_claims(
        judge_claims("iat", "", claim, raw, is_exp ? "x" : "exp", is_exp ? "1" : later, NULL));
    judge_expect(&judge, label, token, *reason ? 401 : 200, reason);
    free(label);
    free(later);
    free(raw);
    judge_done(&judge);
}

TEST(t1_one_second_before_exp_is_accepted) {
    expect_at("leeway: 0", "exp", JUDGE_NOW, 1, "");
}

TEST(t2_on_exp_is_refused) {
    expect_at("leeway: 0", "exp", JUDGE_NOW, 0, "token_expired");
    expect_at("leeway: 0", "exp", JUDGE_NOW, -1, "token_expired");
}

TEST(t2_the_text_names_both_clocks_and_the_leeway) {
    static const struct {
        const char *exp, *text;
    } cases[] = {
        {"1700000000",
         "token expired at 2023-11-14T22:13:20Z; current time 2023-11-14T22:13:20Z, 0 s later; "
         "allowed clock skew 0 s"},
        {"1699997356",
         "token expired at 2023-11-14T21:29:16Z; current time 2023-11-14T22:13:20Z, 44 min 4 s "
         "later; allowed clock skew 0 s"},
    };
    struct judge judge;
    judge_open(&judge, "leeway: 0", MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct verdict verdict =
            judge_expect(&judge, cases[i].exp, judge_mint_two("exp", cases[i].exp, "iat", ""), 401,
                         "token_expired");
        ck_assert_str_eq(verdict.text, cases[i].text);
    }
    judge_done(&judge);
}

TEST(t3_leeway_moves_exp_by_exactly_itself) {
    static const struct {
        const char *options;
        int64_t leeway;
    } cases[] = {{"leeway: 60s", 60}, {"", 60}, {"leeway: 1s", 1}, {"leeway: 600s", 600}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        expect_at(cases[i].options, "exp", JUDGE_NOW, -cases[i].leeway + 1, "");
        expect_at(cases[i].options, "exp", JUDGE_NOW, -cases[i].leeway, "token_expired");
        expect_at(cases[i].options, "exp", JUDGE_NOW, -cases[i].leeway - 1, "token_expired");
    }
}

TEST(t4_leeway_moves_nbf_and_iat_by_exactly_itself) {
    static const struct {
        const char *options;
        int64_t leeway;
    } cases[] = {{"leeway: 0", 0}, {"leeway: 60s", 60}, {"leeway: 600s", 600}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        expect_at(cases[i].options, "nbf", JUDGE_NOW, cases[i].leeway, "");
        expect_at(cases[i].options, "nbf", JUDGE_NOW, cases[i].leeway + 1, "token_not_yet_valid");
        expect_at(cases[i].options, "iat", JUDGE_NOW, cases[i].leeway, "");
        expect_at(cases[i].options, "iat", JUDGE_NOW, cases[i].leeway + 1, "token_from_future");
    }
}

TEST(t5_a_token_that_was_accepted_expires) {
    struct judge judge;
    judge_open(&judge, "leeway: 0", MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    char *token = judge_mint(NULL, NULL);
    static const struct {
        int64_t after;
        const char *reason;
    } moments[] = {{0, ""},
                   {299, ""},
                   {300, "token_expired"},
                   {301, "token_expired"},
                   {299, ""},
                   {-1, "token_from_future"}};
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        judge.now = JUDGE_NOW + moments[i].after;
        judge_expect(&judge, "at that moment", strdup(token), *moments[i].reason ? 401 : 200,
                     moments[i].reason);
    }
    free(token);
    judge_done(&judge);
}

TEST(t7_2038_and_2100_are_years_like_others) {
    static const int64_t years[] = {2147483646, 2147483647, 2147483648,  2147558400,
                                    4102444800, 4294967296, 32503680000, 0};
    for (size_t i = 0; i < ARRAY_LEN(years); i++) {
        expect_at("leeway: 0", "exp", years[i], 1, "");
        expect_at("leeway: 0", "exp", years[i], 0, "token_expired");
        expect_at("leeway: 0", "nbf", years[i], 0, "");
        expect_at("leeway: 0", "nbf", years[i], 1, "token_not_yet_valid");
    }
}

TEST(t8_a_leeway_out_of_bounds_is_refused_at_start) {
    static const struct {
        const char *leeway;
        const char *text; /* NULL: accepted */
    } cases[] = {
        {"0", NULL},
        {"600s", NULL},
        {"10m", NULL},
        {"601s", "is out of range"},
        {"11m", "is out of range"},
        {"1h", "is out of range"},
        {"-1s", "is not a duration"},
        {"-1", "is not a duration"},
        {"9223372036854775807s", "is out of range"},
        {"1e9", "is not a duration"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config *config = NULL;
        struct config_report report;
        char *yaml = scratch_text("issuers: [{issuer: \"https://idp\", audiences: [api], "
                                  "leeway: %s}]\n",
                                  cases[i].leeway);
        int r = config_parse(span_of(yaml), "f", &config, &report);
        ck_assert_msg((r == 0) == !cases[i].text, "%s: %d", cases[i].leeway, r);
        if (cases[i].text) {
            ck_assert_uint_eq(report.count, 1);
            char *text = scratch_text("leeway: \"%s\" %s; write a duration with its unit "
                                      "(ms, s, m, h, d), from 0 to 600s",
                                      cases[i].leeway, cases[i].text);
            ck_assert_str_eq(report.problems[0].text, text);
            free(text);
        }
        config_report_done(&report);
        config_unref(config);
        free(yaml);
    }
}
