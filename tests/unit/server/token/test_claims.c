#include "server/token/claims.h"

#include <stdlib.h>

#include "tests/support/claims.h"
#include "tests/unit/server/token/judge.h"

/* A good token but for one claim, and what becomes of it. */
struct claim_case {
    const char *name;
    const char *raw; /* "": the claim is left out */
    unsigned status;
    const char *reason;
    const char *text; /* NULL: not looked at */
};

static void expect_claims(const char *options, const struct claim_case *cases, size_t count) {
    struct judge judge;
    judge_open(&judge, options, MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    for (size_t i = 0; i < count; i++) {
        char *label = scratch_text("%s: %s", cases[i].name, cases[i].raw);
        struct verdict verdict =
            judge_expect(&judge, label, judge_mint(cases[i].name, cases[i].raw), cases[i].status,
                         cases[i].reason);
        if (cases[i].text) ck_assert_str_eq(verdict.text, cases[i].text);
        free(label);
    }
    judge_done(&judge);
}

TEST(d1_a_missing_iss_aud_or_exp_is_refused) {
    static const struct claim_case cases[] = {
        {"iss", "", 401, "claim_missing", "the token has no iss claim that is a string"},
        {"aud", "", 401, "claim_missing", "the token has no aud claim"},
        {"exp", "", 401, "claim_missing", "the token has no exp claim"},
        {"iat", "", 200, "", NULL},
        {"sub", "", 200, "", NULL}, /* email names the user */
        {"x", "1", 200, "", NULL},
    };
    static const struct claim_case any_audience[] = {{"aud", "", 200, "", NULL},
                                                     {"aud", "\"other\"", 200, "", NULL},
                                                     {"aud", "[]", 200, "", NULL},
                                                     {"aud", "1", 401, "claim_invalid", NULL},
                                                     {"aud", "[1]", 401, "claim_invalid", NULL},
                                                     {"exp", "", 401, "claim_missing", NULL}};
    expect_claims("", cases, ARRAY_LEN(cases));
    expect_claims("allow_any_audience: true", any_audience, ARRAY_LEN(any_audience));
}

/* The claims of RFC 9068 section 2.2, one of them changed. */
static void expect_profile(const struct judge *judge, const char *name, const char *raw,
                           const char *reason, const char *text) {
    bool own = strcmp(name, "client_id") == 0 || strcmp(name, "jti") == 0;
    const char *other = strcmp(name, "jti") == 0 ? "client_id" : "jti";
    char *claims = own ? judge_claims(name, raw, other, "\"1\"", NULL)
                       : judge_claims("client_id", "\"c\"", "jti", "\"1\"", name, raw, NULL);
    struct verdict verdict =
        judge_expect(judge, name, judge_mint_claims(claims), *reason ? 401 : 200, reason);
    if (text) ck_assert_str_eq(verdict.text, text);
}

TEST(d1_the_strict_profile_requires_its_claims) {
    static const struct {
        const char *name, *raw, *reason, *text;
    } cases[] = {
        {"x", "1", "", NULL},
        {"sub", "", "claim_missing", "the token has no sub claim"},
        {"client_id", "", "claim_missing", "the token has no client_id claim"},
        {"jti", "", "claim_missing", "the token has no jti claim"},
        {"iat", "", "claim_missing", "the token has no iat claim"},
        {"aud", "", "claim_missing", "the token has no aud claim"},
        {"exp", "", "claim_missing", "the token has no exp claim"},
        {"client_id", "1", "claim_invalid", "the client_id claim of the token is not a string"},
        {"client_id", "\"\"", "claim_invalid", "the client_id claim of the token is empty"},
        {"client_id", "null", "claim_invalid", NULL},
        {"client_id", "[\"c\"]", "claim_invalid", NULL},
        {"iss", "", "claim_missing", "the token has no iss claim that is a string"},
        {"sub", "1", "claim_invalid", "the sub claim of the token is not a string"},
        {"sub", "\"\"", "claim_invalid", "the sub claim of the token is empty"},
        {"jti", "null", "claim_invalid", NULL},
        {"jti", "[]", "claim_invalid", NULL},
        {"jti", "\"\"", "claim_invalid", "the jti claim of the token is empty"},
        {"jti", "7", "claim_invalid", "the jti claim of the token is not a string"},
        {"iat", "\"1\"", "claim_invalid", NULL},
        {"iat", "null", "claim_invalid", "the iat claim of the token is not a number"},
        {"aud", "null", "claim_invalid", NULL},
        {"exp", "null", "claim_invalid", "the exp claim of the token is not a number"},
    };
    struct judge strict, any;
    judge_open(&strict, "token_type: at+jwt", MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    judge_open(&any, "token_type: at+jwt, allow_any_audience: true",
               MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        expect_profile(&strict, cases[i].name, cases[i].raw, cases[i].reason, cases[i].text);
        expect_profile(&any, cases[i].name, cases[i].raw, cases[i].reason, cases[i].text);
    }
    judge_done(&strict);
    judge_done(&any);
}

/* Good claims and these further members, under RS256 and this typ ("": none). */
static char *mint_typed(const char *typ, const char *members) {
    char *header = scratch_text("{\"alg\":\"RS256\",\"kid\":\"r\"%s%s%s}",
                                *typ ? ",\"typ\":\"" : "", typ, *typ ? "\"" : "");
    char *good = judge_claims(NULL, NULL);
    char *claims =
        scratch_text("%.*s%s%s}", (int)strlen(good) - 1, good, *members ? "," : "", members);
    char *token = mint_token(header, claims, "RS256", mint_key(MINT_RSA));
    free(claims), free(good), free(header);
    return token;
}

#define WRONG_TYPE "the typ of the token is not at+jwt, which this issuer's tokens must have"
#define ACCESS "\"client_id\":\"c\",\"jti\":\"1\""

TEST(the_strict_profile_takes_no_id_token) {
    static const struct {
        const char *what, *typ, *members, *reason, *text;
    } cases[] = {
        {"an access token", "at+jwt", ACCESS, "", NULL},
        {"in full", "application/at+jwt", ACCESS, "", NULL},
        {"in capitals", "Application/AT+JWT", ACCESS, "", NULL},
        {"an access token that has a nonce", "at+jwt", ACCESS ",\"nonce\":\"n\"", "", NULL},
        {"an ID token", "JWT", "\"nonce\":\"n\",\"at_hash\":\"h\"", "type_not_accepted",
         WRONG_TYPE},
        {"without typ", "", "\"nonce\":\"n\",\"at_hash\":\"h\"", "type_not_accepted", WRONG_TYPE},
        {"with an azp", "JWT", "\"azp\":\"c\",\"nonce\":\"n\"", "type_not_accepted", WRONG_TYPE},
        {"with all claims of an access token", "JWT", ACCESS, "type_not_accepted", WRONG_TYPE},
        {"the same without typ", "", ACCESS, "type_not_accepted", WRONG_TYPE},
        {"under the typ of an access token", "at+jwt", "\"nonce\":\"n\",\"at_hash\":\"h\"",
         "claim_missing", "the token has no client_id claim"},
        {"whose client is in azp", "at+jwt", "\"azp\":\"c\",\"jti\":\"1\"", "claim_missing",
         "the token has no client_id claim"},
    };
    struct judge strict, any;
    judge_open(&strict, "token_type: at+jwt", MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    judge_open_usual(&any);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct verdict verdict =
            judge_expect(&strict, cases[i].what, mint_typed(cases[i].typ, cases[i].members),
                         *cases[i].reason ? 401 : 200, cases[i].reason);
        if (cases[i].text) ck_assert_str_eq(verdict.text, cases[i].text);
        judge_expect(&any, cases[i].what, mint_typed(cases[i].typ, cases[i].members), 200, "");
    }
    judge_done(&strict);
    judge_done(&any);
}

TEST(d2_iss_is_compared_to_the_letter) {
    static const struct claim_case cases[] = {
        {"iss", "\"https://idp.example\"", 200, "", NULL},
        {"iss", "\"https:\\/\\/idp.example\"", 200, "", NULL},
        {"iss", "\"https://other.example\"", 401, "issuer_unknown",
         "the issuer of the token is not one that is accepted here"},
        {"iss", "\"https://idp.example/\"", 401, "issuer_unknown", NULL},
        {"iss", "\"https://IDP.example\"", 401, "issuer_unknown", NULL},
        {"iss", "\"HTTPS://idp.example\"", 401, "issuer_unknown", NULL},
        {"iss", "\"http://idp.example\"", 401, "issuer_unknown", NULL},
        {"iss", "\"https://idp.example:443\"", 401, "issuer_unknown", NULL},
        {"iss", "\"https://idp.exampl\"", 401, "issuer_unknown", NULL},
        {"iss", "\"https://idp.example.evil\"", 401, "issuer_unknown", NULL},
        {"iss", "\" https://idp.example\"", 401, "issuer_unknown", NULL},
        {"iss", "\"https://idp.example#\"", 401, "issuer_unknown", NULL},
        {"iss", "\"\"", 401, "issuer_unknown", NULL},
        {"iss", "[\"https://idp.example\"]", 401, "claim_missing", NULL},
        {"iss", "1", 401, "claim_missing", NULL},
        {"iss", "null", 401, "claim_missing", NULL},
        {"iss", "{}", 401, "claim_missing", NULL},
        {"iss", "true", 401, "claim_missing", NULL},
        {"iss", "\"https://idp.example\\u0000\"", 401, "token_malformed", NULL},
    };
    expect_claims("", cases, ARRAY_LEN(cases));
}

TEST(d3_aud_must_hold_exactly_our_audience) {
    static const struct claim_case cases[] = {
        {"aud", "\"api\"", 200, "", NULL},
        {"aud", "[\"api\"]", 200, "", NULL},
        {"aud", "[\"other\",\"api\"]", 200, "", NULL},
        {"aud", "[\"api\",\"api\"]", 200, "", NULL},
        {"aud", "\"other\"", 401, "audience_mismatch",
         "the token is for the audience 'other'; expected 'api'"},
        {"aud", "[\"a\",\"b\"]", 401, "audience_mismatch",
         "the token is for the audience 'a', 'b'; expected 'api'"},
        {"aud", "[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]", 401, "audience_mismatch",
         "the token is for the audience 'a', 'b', 'c', 'd', ...; expected 'api'"},
        {"aud", "\"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff\"", 401,
         "audience_mismatch",
         "the token is for the audience 'aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeee...'; "
         "expected 'api'"},
        {"aud", "[]", 401, "audience_mismatch",
         "the token is for the audience (none); expected 'api'"},
        {"aud", "\"\"", 401, "audience_mismatch",
         "the token is for the audience ''; expected 'api'"},
        {"aud", "\"ap\"", 401, "audience_mismatch", NULL},
        {"aud", "\"apis\"", 401, "audience_mismatch", NULL},
        {"aud", "\"xapi\"", 401, "audience_mismatch", NULL},
        {"aud", "\"API\"", 401, "audience_mismatch", NULL},
        {"aud", "\"api/\"", 401, "audience_mismatch", NULL},
        {"aud", "\" api\"", 401, "audience_mismatch", NULL},
        {"aud", "\"api other\"", 401, "audience_mismatch", NULL},
        {"aud", "\"other api\"", 401, "audience_mismatch", NULL},
        {"aud", "\"api,other\"", 401, "audience_mismatch", NULL},
        {"aud", "1", 401, "claim_invalid",
         "the aud claim of the token is neither a string nor an array of strings"},
        {"aud", "null", 401, "claim_invalid", NULL},
        {"aud", "true", 401, "claim_invalid", NULL},
        {"aud", "{}", 401, "claim_invalid", NULL},
        {"aud", "{\"api\":1}", 401, "claim_invalid", NULL},
        {"aud", "[[\"api\"]]", 401, "claim_invalid",
         "the aud claim of the token holds something that is not a string"},
        {"aud", "[\"api\",1]", 401, "claim_invalid", NULL},
        {"aud", "[null,\"api\"]", 401, "claim_invalid", NULL},
        {"aud", "\"api\\u0000\"", 401, "token_malformed", NULL},
    };
    static const struct claim_case two[] = {
        {"aud", "\"a\"", 200, "", NULL},
        {"aud", "[\"b\"]", 200, "", NULL},
        {"aud", "\"a b\"", 401, "audience_mismatch",
         "the token is for the audience 'a b'; expected one of 'a', 'b'"},
    };
    expect_claims("", cases, ARRAY_LEN(cases));
    expect_claims("audiences: [a, b]", two, ARRAY_LEN(two));
}

TEST(d4_an_exp_that_is_no_future_number_is_refused) {
    static const struct claim_case cases[] = {
        {"exp", "1700000300", 200, "", NULL},
        {"exp", "\"1700000300\"", 401, "claim_invalid",
         "the exp claim of the token is not a number"},
        {"exp", "null", 401, "claim_invalid", NULL},
        {"exp", "true", 401, "claim_invalid", NULL},
        {"exp", "[]", 401, "claim_invalid", NULL},
        {"exp", "[1700000300]", 401, "claim_invalid", NULL},
        {"exp", "{}", 401, "claim_invalid", NULL},
        {"exp", "0", 401, "token_expired",
         "token expired at 1970-01-01T00:00:00Z; current time 2023-11-14T22:13:20Z, 19675 d 22 h "
         "later; allowed clock skew 60 s"},
        {"exp", "1", 401, "token_expired", NULL},
        {"exp", "-1", 401, "token_expired", NULL},
        {"exp", "-0", 401, "token_expired", NULL},
        {"exp", "-0.0", 401, "token_expired", NULL},
        {"exp", "1e-300", 401, "token_expired", NULL},
        {"exp", "-1e300", 401, "claim_invalid", NULL},
    };
    expect_claims("", cases, ARRAY_LEN(cases));
}

TEST(d5_a_huge_exp_neither_overflows_nor_lives_for_ever) {
    static const struct claim_case cases[] = {
        {"exp", "253402300799", 200, "", NULL}, /* the last second of the year 9999 */
        {"exp", "253402300799.9", 200, "", NULL},
        {"exp", "253402300800", 401, "claim_invalid",
         "the exp claim of the token is no plausible date"},
        {"exp", "1e300", 401, "claim_invalid", NULL},
        {"exp", "1e18", 401, "claim_invalid", NULL},
        {"exp", "9223372036854775807", 401, "claim_invalid", NULL},
        {"exp", "9223372036854775800", 401, "claim_invalid", NULL},
        {"exp", "-9223372036854775808", 401, "claim_invalid", NULL},
        {"exp", "9223372036854775808", 401, "token_malformed", NULL},
        {"exp", "18446744073709551616", 401, "token_malformed", NULL},
        {"exp", "1e400", 401, "token_malformed", NULL},
    };
    static const struct claim_case limited[] = {
        {"exp", "1700003600", 200, "", NULL},
        {"exp", "1700003610", 200, "", NULL}, /* leeway */
        {"exp", "1700003611", 401, "lifetime_too_long",
         "token is valid for another 1 h; at most 1 h are accepted"},
        {"exp", "4102444800", 401, "lifetime_too_long", NULL},
        {"exp", "253402300799", 401, "lifetime_too_long", NULL},
        {"exp", "1e300", 401, "claim_invalid", NULL},
    };
    expect_claims("", cases, ARRAY_LEN(cases));
    expect_claims("max_lifetime: 1h, leeway: 10s", limited, ARRAY_LEN(limited));
}

TEST(d6_a_fractional_exp_is_accepted) {
    static const struct claim_case cases[] = {
        {"exp", "4102444800.5", 200, "", NULL},   {"exp", "1.7000003e9", 200, "", NULL},
        {"exp", "1700000300.999", 200, "", NULL}, {"nbf", "1699999999.5", 200, "", NULL},
        {"iat", "1699999999.5", 200, "", NULL},
    };
    /* Rounded down: with a fraction it is not valid a moment longer. */
    static const struct claim_case exact[] = {
        {"exp", "1700000000.9", 401, "token_expired", NULL},
        {"exp", "1700000001.1", 200, "", NULL},
    };
    expect_claims("", cases, ARRAY_LEN(cases));
    expect_claims("leeway: 0", exact, ARRAY_LEN(exact));
}

TEST(d7_an_nbf_in_the_future_or_of_no_number_is_refused) {
    static const struct claim_case cases[] = {
        {"nbf", "1700000000", 200, "", NULL},
        {"nbf", "0", 200, "", NULL},
        {"nbf", "-1", 200, "", NULL},
        {"nbf", "1700000200", 401, "token_not_yet_valid",
         "token is not valid before 2023-11-14T22:16:40Z; current time 2023-11-14T22:13:20Z, 3 min "
         "20 s earlier; allowed clock skew 60 s"},
        {"nbf", "253402300799", 401, "token_not_yet_valid", NULL},
        {"nbf", "1e300", 401, "claim_invalid", "the nbf claim of the token is no plausible date"},
        {"nbf", "9223372036854775807", 401, "claim_invalid", NULL},
        {"nbf", "\"1700000000\"", 401, "claim_invalid",
         "the nbf claim of the token is not a number"},
        {"nbf", "{}", 401, "claim_invalid", NULL},
        {"nbf", "[]", 401, "claim_invalid", NULL},
        {"nbf", "null", 401, "claim_invalid", NULL},
        {"nbf", "false", 401, "claim_invalid", NULL},
    };
    expect_claims("", cases, ARRAY_LEN(cases));
}

TEST(d8_an_iat_in_the_future_of_no_number_or_behind_exp_is_refused) {
    static const struct claim_case cases[] = {
        {"iat", "1700000000", 200, "", NULL},
        {"iat", "1700000060", 200, "", NULL},
        {"iat", "1700000061", 401, "token_from_future",
         "token was issued at 2023-11-14T22:14:21Z; current time 2023-11-14T22:13:20Z, 1 min 1 s "
         "earlier; allowed clock skew 60 s"},
        {"iat", "4102444800", 401, "token_from_future", NULL},
        {"iat", "1e300", 401, "claim_invalid", "the iat claim of the token is no plausible date"},
        {"iat", "\"1700000000\"", 401, "claim_invalid",
         "the iat claim of the token is not a number"},
        {"iat", "{}", 401, "claim_invalid", NULL},
        {"iat", "null", 401, "claim_invalid", NULL},
        {"iat", "0", 200, "", NULL},
    };
    expect_claims("", cases, ARRAY_LEN(cases));

    struct judge judge;
    judge_open_usual(&judge);
    struct verdict verdict =
        judge_expect(&judge, "exp < iat", judge_mint_two("exp", "1699999990", "iat", "1699999991"),
                     401, "claim_invalid");
    ck_assert_str_eq(verdict.text, "the token expires before it was issued");
    judge_expect(&judge, "exp = iat", judge_mint_two("exp", "1699999990", "iat", "1699999990"), 200,
                 "");
    judge_done(&judge);
}

TEST(d9_a_sub_that_is_no_text_is_refused) {
    static const struct claim_case cases[] = {
        {"sub", "\"alice\"", 200, "", NULL},
        {"sub", "1", 401, "claim_invalid", "the sub claim of the token is not a string"},
        {"sub", "[]", 401, "claim_invalid", NULL},
        {"sub", "[\"alice\"]", 401, "claim_invalid", NULL},
        {"sub", "{}", 401, "claim_invalid", NULL},
        {"sub", "null", 401, "claim_invalid", NULL},
        {"sub", "true", 401, "claim_invalid", NULL},
        {"sub", "\"\"", 401, "claim_invalid", "the sub claim of the token is empty"},
    };
    expect_claims("", cases, ARRAY_LEN(cases));
}

TEST(d13_a_token_bound_to_a_key_is_no_bearer_token) {
    static const struct claim_case cases[] = {
        {"cnf", "{\"jkt\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"}", 401, "token_bound",
         "the token is bound to a key (cnf) and was presented without proof of it"},
        {"cnf", "{\"x5t#S256\":\"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2\"}", 401,
         "token_bound", NULL},
        {"cnf", "{\"unknown\":1}", 401, "token_bound", NULL},
        {"cnf", "{}", 401, "token_bound", NULL},
        {"cnf", "\"text\"", 401, "token_bound", NULL},
        {"cnf", "null", 401, "token_bound", NULL},
        {"cnf", "[]", 401, "token_bound", NULL},
        {"cnf", "false", 401, "token_bound", NULL},
        {"Cnf", "{}", 200, "", NULL},
    };
    expect_claims("", cases, ARRAY_LEN(cases));
}

/* --- paths ----------------------------------------------------------------------------------- */

TEST(a_path_finds_the_exact_name_first_and_then_leads_into_objects) {
    struct jtree *claims =
        claims_of(json_loads("{\"a\":{\"b\":{\"c\":1},\"b.c\":2,\"\":9},\"a.b\":{\"c\":3,\"d\":4},"
                             "\"x\":[{\"y\":5}],\"https://e.org/roles\":6,\"n\":null,"
                             "\"f\":{\"g.h\":{\"i\":7}}}",
                             0, NULL));
    static const struct {
        const char *path;
        int expected; /* 0: nothing found */
    } cases[] = {
        {"a.b.c", 2},   {"a.b.d", 4},   {"https://e.org/roles", 6},
        {"f.g.h.i", 7}, {"a.", 9},      {"x.y", 0},
        {"x.0.y", 0},   {"a.b.c.d", 0}, {"a.c", 0},
        {"", 0},        {".", 0},       {"A.b.c", 0},
        {".a", 0},      {"n.a", 0},     {"f.g", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct jnode *found = claim_find(claims->root, cases[i].path);
        ck_assert_msg(jnode_number(found) == cases[i].expected, "%s", cases[i].path);
        ck_assert_msg((found != NULL) == (cases[i].expected != 0), "%s", cases[i].path);
    }
    ck_assert(jnode_is(claim_find(claims->root, "n"), JTYPE_NULL));
    jtree_unref(claims);
}
