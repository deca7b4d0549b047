#include "server/token/credential.h"

#include <stdlib.h>

#include "server/answer/problem.h"
#include "tests/unit/server/token/judge.h"

#define S(text) SPAN_LITERAL(text)

struct header_case {
    struct span value;
    unsigned status;
    const char *reason;
};

static void expect_headers(const struct header_case *cases, size_t count) {
    struct judge judge;
    judge_open_usual(&judge);
    for (size_t i = 0; i < count; i++) {
        struct verdict verdict = judge_header(&judge, cases[i].value, 1);
        ck_assert_msg(verdict.status == cases[i].status &&
                          strcmp(verdict.reason, cases[i].reason) == 0,
                      "%zu: '%.*s': %u %s (%s)", i, SPAN_PRINTF(cases[i].value), verdict.status,
                      verdict.reason, verdict.text);
    }
    judge_done(&judge);
}

/* The values of these formats, each with a good token in it. */
static void expect_formats(const char *const *formats, size_t count, unsigned status,
                           const char *reason) {
    struct judge judge;
    judge_open_usual(&judge);
    for (size_t i = 0; i < count; i++) {
        char *token = judge_mint(NULL, NULL);
        char *value = strdup(formats[i]);
        char *place = strstr(value, "TOKEN");
        char *whole = scratch_text("%.*s%s%s", (int)(place - value), value, token, place + 5);
        struct verdict verdict = judge_header(&judge, span_of(whole), 1);
        ck_assert_msg(verdict.status == status && strcmp(verdict.reason, reason) == 0,
                      "%s: %u %s (%s)", formats[i], verdict.status, verdict.reason, verdict.text);
        free(whole);
        free(value);
        free(token);
    }
    judge_done(&judge);
}

/* The challenge for a value that was sent count times. */
static void expect_challenge(struct span value, size_t count, const char *expected) {
    struct evidence evidence = {.authorization = value, .authorization_count = count};
    struct credential credential;
    struct refusal refusal = {0};
    ck_assert(credential_parse(&evidence, 16384, &credential, &refusal) != CREDENTIAL_BEARER ||
              !credential_check(&credential, &refusal));
    struct problem_context context = {.realm = "bearerd"};
    struct answer answer = problem_answer(&refusal, &context);
    ck_assert_str_eq(answer.challenge.data, expected);
    answer_done(&answer);
}

TEST(a1_no_authorization_is_401_without_an_error) {
    struct judge judge;
    judge_open_usual(&judge);
    struct verdict verdict = judge_header(&judge, SPAN_NONE, 0);
    ck_assert_uint_eq(verdict.status, 401);
    ck_assert_str_eq(verdict.reason, "no_credentials");
    ck_assert_str_eq(verdict.text, "no Authorization header was sent");
    judge.path = "/open";
    ck_assert_uint_eq(judge_header(&judge, SPAN_NONE, 0).status, 200);
    judge_done(&judge);
    expect_challenge(SPAN_NONE, 0, "Bearer realm=\"bearerd\"");
}

TEST(a2_another_scheme_is_401_without_an_error) {
    static const struct header_case cases[] = {
        {S("Basic dXNlcjpw"), 401, "other_scheme"}, {S("Basic"), 401, "other_scheme"},
        {S("Negotiate abc="), 401, "other_scheme"}, {S("DPoP abc"), 401, "other_scheme"},
        {S("Bear abc"), 401, "other_scheme"},       {S("Bearers abc"), 401, "other_scheme"},
        {S("X-Bearer abc"), 401, "other_scheme"},   {S("\"Bearer\" abc"), 401, "other_scheme"},
        {S("(Bearer) abc"), 401, "other_scheme"},
    };
    expect_headers(cases, ARRAY_LEN(cases));
    expect_challenge(S("Basic dXNlcjpw"), 1, "Bearer realm=\"bearerd\"");
}

TEST(a2_another_scheme_passes_where_anonymous_requests_do) {
    struct judge judge;
    judge_open_usual(&judge);
    judge.path = "/open";
    ck_assert_uint_eq(judge_header(&judge, S("Basic dXNlcjpw"), 1).status, 200);
    ck_assert_uint_eq(judge_header(&judge, S("Bearer bad"), 1).status, 401);
    ck_assert_uint_eq(judge_header(&judge, S("Bearer"), 1).status, 400);
    judge_expect(&judge, "good", judge_mint(NULL, NULL), 200, "");
    judge_done(&judge);
}

TEST(a3_bearer_without_a_token_is_400) {
    static const struct header_case cases[] = {
        {S("Bearer"), 400, "credentials_malformed"},
        {S("Bearer "), 400, "credentials_malformed"},
        {S("Bearer   "), 400, "credentials_malformed"},
        {S("Bearer\t"), 400, "credentials_malformed"},
        {S("bearer"), 400, "credentials_malformed"},
        {S("Bearer ="), 400, "credentials_malformed"},
        {S("Bearer =="), 400, "credentials_malformed"},
        {S(""), 400, "credentials_malformed"},
        {S(" \t "), 400, "credentials_malformed"},
    };
    expect_headers(cases, ARRAY_LEN(cases));
    expect_challenge(S("Bearer"), 1,
                     "Bearer realm=\"bearerd\", error=\"invalid_request\", "
                     "error_description=\"the Authorization header is not 'Bearer', a space and "
                     "one token\"");
    expect_challenge(S(""), 1,
                     "Bearer realm=\"bearerd\", error=\"invalid_request\", "
                     "error_description=\"the Authorization header is empty\"");
}

TEST(a4_what_is_not_one_b64token_is_400) {
    static const struct header_case cases[] = {
        {S("Bearer a b"), 400, "credentials_malformed"},
        {S("Bearer a,b"), 400, "credentials_malformed"},
        {S("Bearer \"a\""), 400, "credentials_malformed"},
        {S("Bearer a, Bearer b"), 400, "credentials_malformed"},
        {S("Bearer a=b"), 400, "credentials_malformed"},
        {S("Bearer =a"), 400, "credentials_malformed"},
        {S("Bearer a%62"), 400, "credentials_malformed"},
        {S("Bearer a;b"), 400, "credentials_malformed"},
        {S("Bearer {\"payload\":\"e30\"}"), 400, "credentials_malformed"},
        {S("Bearer token=\"a\""), 400, "credentials_malformed"},
        /* All that a b64token may hold goes on to the token's own judge. */
        {S("Bearer aZ09-._~+/=="), 401, "token_malformed"},
        {S("Bearer a"), 401, "token_malformed"},
    };
    static const char *const formats[] = {
        "Bearer TOKEN b", "Bearer TOKEN,b", "Bearer \"TOKEN\"",   "Bearer TOKEN\tb",
        "Bearer 'TOKEN'", "Bearer <TOKEN>", "Bearer Bearer TOKEN"};
    expect_headers(cases, ARRAY_LEN(cases));
    expect_formats(formats, ARRAY_LEN(formats), 400, "credentials_malformed");
}

TEST(a5_the_scheme_has_no_case_and_any_number_of_spaces_behind_it) {
    static const char *const formats[] = {"Bearer TOKEN",    "bearer TOKEN",     "BEARER  TOKEN",
                                          "bEaReR    TOKEN", "Bearer TOKEN \t ", " \tBearer TOKEN"};
    expect_formats(formats, ARRAY_LEN(formats), 200, "");
}

TEST(a6_the_scheme_ends_with_a_space_and_nothing_else) {
    static const char *const malformed[] = {"Bearer\tTOKEN", "Bearer=TOKEN", "Bearer \tTOKEN",
                                            "Bearer/TOKEN",  "Bearer:TOKEN", "Bearer,TOKEN"};
    static const char *const other[] = {"BearerTOKEN",  "Bearer.TOKEN", "Bearer+TOKEN",
                                        "Bearer-TOKEN", "Bearer_TOKEN", "Bearer~TOKEN",
                                        "TOKEN"};
    expect_formats(malformed, ARRAY_LEN(malformed), 400, "credentials_malformed");
    expect_formats(other, ARRAY_LEN(other), 401, "other_scheme");
}

TEST(a7_a_repeated_header_is_400_whatever_it_holds) {
    struct judge judge;
    judge_open_usual(&judge);
    char *token = judge_mint(NULL, NULL);
    char *good = scratch_text("Bearer %s", token);
    struct span values[] = {span_of(good), S("Bearer bad"), S("Basic dXNlcjpw"), S("")};

    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        for (size_t count = 2; count <= 3; count++) {
            struct verdict verdict = judge_header(&judge, values[i], count);
            ck_assert_uint_eq(verdict.status, 400);
            ck_assert_str_eq(verdict.reason, "credentials_repeated");
        }
    judge.path = "/open"; /* not even where nobody needs credentials */
    ck_assert_uint_eq(judge_header(&judge, span_of(good), 2).status, 400);
    ck_assert_uint_eq(judge_header(&judge, span_of(good), 1).status, 200);
    free(good);
    free(token);
    judge_done(&judge);
    expect_challenge(S("Basic dXNlcjpw"), 2,
                     "Bearer realm=\"bearerd\", error=\"invalid_request\", "
                     "error_description=\"more than one Authorization header was sent\"");
}

TEST(a11_a_token_over_the_limit_is_431_before_it_is_looked_at) {
    static const size_t limits[] = {256, 8192, 16384, 65536, 1048576};
    struct judge judge;
    judge_open_usual(&judge);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        judge.token_max = limits[i];
        char *token = malloc(limits[i] + 2);
        memset(token, 'a', limits[i] + 1);
        token[limits[i] + 1] = '\0';
        struct verdict verdict = judge_token(&judge, strdup(token));
        ck_assert_uint_eq(verdict.status, 431);
        ck_assert_str_eq(verdict.reason, "token_too_large");
        token[10] = '!'; /* its bytes do not matter */
        ck_assert_uint_eq(judge_token(&judge, strdup(token)).status, 431);
        memset(token, 'a', limits[i]);
        token[limits[i]] = '\0';
        verdict = judge_token(&judge, token);
        ck_assert_str_eq(verdict.reason, "token_malformed");
    }
    judge.token_max = 300;
    char *large = malloc(302);
    memset(large, 'a', 301);
    large[301] = '\0';
    ck_assert_str_eq(judge_token(&judge, large).text, "the token has 301 bytes; 300 are accepted");
    judge_done(&judge);
}

TEST(a11_a_good_token_of_exactly_the_limit_is_accepted) {
    struct judge judge;
    judge_open_usual(&judge);
    char *token = judge_mint(NULL, NULL);
    judge.token_max = strlen(token);
    judge_expect(&judge, "exact", strdup(token), 200, "");
    judge.token_max--;
    judge_expect(&judge, "one less", token, 431, "token_too_large");
    judge_done(&judge);
}

TEST(a13_bytes_that_are_no_text_are_400) {
    static const struct header_case cases[] = {
        {S("Bearer a\0b"), 400, "credentials_malformed"},
        {S("\0Bearer a"), 400, "credentials_malformed"},
        {S("Bearer a\rb"), 400, "credentials_malformed"},
        {S("Bearer a\nb"), 400, "credentials_malformed"},
        {S("Bearer a\r\nX: y"), 400, "credentials_malformed"},
        {S("Bearer a\x7f"), 400, "credentials_malformed"},
        {S("Bearer a\x1b[0m"), 400, "credentials_malformed"},
        {S("Bearer a\x80"), 400, "credentials_malformed"},
        {S("Bearer \xc3\xa4"), 400, "credentials_malformed"},
        {S("Bearer a\xff"), 400, "credentials_malformed"},
        {S("Basic a\xff"), 400, "credentials_malformed"},
        {S("Basic a\x7f"), 400, "credentials_malformed"},
        {S("Basic a\x1f"), 400, "credentials_malformed"},
        {S("B\xc3\xa4r a"), 400, "credentials_malformed"},
    };
    expect_headers(cases, ARRAY_LEN(cases));
    expect_challenge(S("Bearer a\x80"), 1,
                     "Bearer realm=\"bearerd\", error=\"invalid_request\", "
                     "error_description=\"the Authorization header is not plain ASCII text\"");
}

TEST(a13_every_such_byte_within_a_good_token_is_refused) {
    struct judge judge;
    judge_open_usual(&judge);
    char *token = judge_mint(NULL, NULL);
    char *value = scratch_text("Bearer %s", token);
    size_t len = strlen(value);
    for (unsigned byte = 0; byte < 256; byte++) {
        if ((byte >= ' ' && byte < 0x7f) || byte == '\t') continue;
        char before = value[60];
        value[60] = (char)byte;
        struct verdict verdict = judge_header(&judge, (struct span){value, len}, 1);
        ck_assert_msg(verdict.status == 400, "byte %u: %u", byte, verdict.status);
        value[60] = before;
    }
    ck_assert_uint_eq(judge_header(&judge, (struct span){value, len}, 1).status, 200);
    free(value);
    free(token);
    judge_done(&judge);
}

TEST(a14_quotes_of_the_configuration_stay_within_one_quoted_string) {
    static const struct {
        const char *realm;
        struct span scope;
        const char *expected;
    } cases[] = {
        {"a \"b\" \\c",
         {NULL, 0},
         "Bearer realm=\"a \\\"b\\\" \\\\c\", error=\"insufficient_scope\", "
         "error_description=\"lacks 'x'\""},
        {"r", S("a\"b\\c d"),
         "Bearer realm=\"r\", error=\"insufficient_scope\", error_description=\"lacks 'x'\", "
         "scope=\"a\\\"b\\\\c d\""},
        {"r\r\nX: y",
         {NULL, 0},
         "Bearer realm=\"r??X: y\", error=\"insufficient_scope\", "
         "error_description=\"lacks 'x'\""},
        {"\xc3\xa4\x7f",
         {NULL, 0},
         "Bearer realm=\"???\", error=\"insufficient_scope\", error_description=\"lacks 'x'\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct refusal refusal;
        refuse(&refusal, REASON_SCOPE_MISSING, "lacks \"x\"");
        struct problem_context context = {.realm = cases[i].realm, .scope = cases[i].scope};
        struct answer answer = problem_answer(&refusal, &context);
        ck_assert_str_eq(answer.challenge.data, cases[i].expected);
        answer_done(&answer);
    }
}

TEST(a14_a_description_holds_no_quote_backslash_or_control) {
    struct refusal refusal;
    refuse(&refusal, REASON_CLAIM_INVALID, "a\"b\\c\r\nd\x7f\xc3\xa4");
    struct problem_context context = {.realm = "r"};
    struct answer answer = problem_answer(&refusal, &context);
    ck_assert_uint_eq(answer.status, 401);
    ck_assert_str_eq(answer.challenge.data, "Bearer realm=\"r\", error=\"invalid_token\", "
                                            "error_description=\"a'b'c??d???\"");
    ck_assert_str_eq(answer.body.data,
                     "{\"error\":\"invalid_token\",\"error_description\":\"a'b'c??d???\"}");
    answer_done(&answer);
}
