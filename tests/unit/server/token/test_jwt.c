#include "server/token/jwt.h"

#include <stdlib.h>

#include "tests/unit/server/token/judge.h"

#define S(text) SPAN_LITERAL(text)

/* A header under which good claims are signed by the RSA key "r", and what becomes of it. */
struct header_case {
    const char *header;
    const char *reason; /* "": accepted */
};

static void expect_headers(const struct header_case *cases, size_t count) {
    struct judge judge;
    judge_open_usual(&judge);
    for (size_t i = 0; i < count; i++)
        judge_expect(&judge, cases[i].header,
                     judge_mint_header(cases[i].header, "RS256", mint_key(MINT_RSA)),
                     *cases[i].reason ? 401 : 200, cases[i].reason);
    judge_done(&judge);
}

static void expect_text(const char *header, const char *text) {
    struct judge judge;
    judge_open_usual(&judge);
    char *token = judge_mint_header(header, "RS256", mint_key(MINT_RSA));
    ck_assert_str_eq(judge_token(&judge, token).text, text);
    judge_done(&judge);
}

/* --- the header ------------------------------------------------------------------------------ */

TEST(b1_alg_none_in_every_spelling_is_refused) {
    static const char *const spellings[] = {"none", "None", "NONE", "nOnE", "", " none", "none "};
    struct judge judge;
    judge_open_usual(&judge);
    for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
        char *header = judge_header_text(spellings[i], "r", "");
        judge_expect(&judge, header, judge_mint_header(header, "none", NULL), 401,
                     "token_malformed");
        judge_expect(&judge, header, judge_mint_header(header, "RS256", mint_key(MINT_RSA)), 401,
                     "algorithm_not_allowed");
        free(header);
    }
    judge_expect(&judge, "unharmed", judge_mint(NULL, NULL), 200, "");
    judge_done(&judge);
    expect_text("{\"alg\":\"none\"}", "the alg 'none' is not accepted");
}

TEST(b4_an_alg_that_is_not_exactly_a_known_name_is_refused) {
    static const struct header_case cases[] = {
        {"{\"alg\":\"RS256\",\"kid\":\"r\"}", ""},
        {"{\"alg\":\"rs256\",\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":\"Rs256\",\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":\"RS256 \",\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":\" RS256\",\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":\"RS2567\",\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":\"RS25\",\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":\"RS1\",\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":256,\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":0,\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":[\"RS256\"],\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":{\"RS256\":1},\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":null,\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":true,\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"Alg\":\"RS256\",\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"ALG\":\"RS256\",\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{}", "algorithm_not_allowed"},
        {"{\"alg\":\"RS256\\u0000\",\"kid\":\"r\"}", "token_malformed"},
        {"{\"\\u0061lg\":\"RS256\",\"kid\":\"r\"}", ""},
    };
    expect_headers(cases, ARRAY_LEN(cases));
    expect_text("{}", "the header of the token has no alg that is a string");
    expect_text("{\"alg\":256}", "the header of the token has no alg that is a string");
    expect_text("{\"alg\":null}", "the header of the token has no alg that is a string");
    expect_text("{\"alg\":\"rs256\"}", "the alg 'rs256' is not accepted");
}

TEST(b4_an_alg_is_quoted_only_where_it_is_short_and_plain) {
    static const char *const unquoted[] = {
        "{\"alg\":\"\"}",           "{\"alg\":\"a b\"}",
        "{\"alg\":\"a'b\"}",        "{\"alg\":\"a\\\"b\"}",
        "{\"alg\":\"a\\\\b\"}",     "{\"alg\":\"a\\r\\nb\"}",
        "{\"alg\":\"\\u001b[0m\"}", "{\"alg\":\"\\u00e4\"}",
        "{\"alg\":\"\\u007f\"}",    "{\"alg\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(unquoted); i++)
        expect_text(unquoted[i], "the alg of the token is not accepted");
    expect_text("{\"alg\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
                "the alg 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' is not accepted");
}

TEST(b8_a_header_that_names_alg_twice_is_refused) {
    static const struct header_case cases[] = {
        {"{\"alg\":\"RS256\",\"alg\":\"none\",\"kid\":\"r\"}", "token_malformed"},
        {"{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"r\"}", "token_malformed"},
        {"{\"alg\":\"RS256\",\"alg\":\"RS256\",\"kid\":\"r\"}", "token_malformed"},
        {"{\"alg\":\"RS256\",\"\\u0061lg\":\"RS256\",\"kid\":\"r\"}", "token_malformed"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\",\"kid\":\"e\"}", "token_malformed"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\",\"x\":{\"a\":1,\"a\":1}}", "token_malformed"},
        {"{\"alg\":\"RS256\",\"ALG\":\"none\",\"kid\":\"r\"}", ""},
    };
    expect_headers(cases, ARRAY_LEN(cases));
    expect_text("{\"alg\":\"RS256\",\"alg\":\"none\"}",
                "the header of the token names a member twice (at byte 20)");
}

#define GOOD "{\"alg\":\"RS256\",\"kid\":\"r\","

TEST(b9_crit_is_refused_whatever_it_says) {
    static const struct header_case cases[] = {
        {GOOD "\"crit\":[\"x\"],\"x\":1}", "header_not_accepted"},
        {GOOD "\"crit\":[\"exp\"],\"exp\":1}", "header_not_accepted"},
        {GOOD "\"crit\":[]}", "header_not_accepted"},
        {GOOD "\"crit\":\"x\"}", "header_not_accepted"},
        {GOOD "\"crit\":null}", "header_not_accepted"},
        {GOOD "\"crit\":false}", "header_not_accepted"},
        {GOOD "\"crit\":0}", "header_not_accepted"},
        {GOOD "\"crit\":{}}", "header_not_accepted"},
        {GOOD "\"crit\":[\"alg\"]}", "header_not_accepted"},
        {GOOD "\"crit\":[\"absent\"]}", "header_not_accepted"},
        {GOOD "\"crit\":[\"x\",\"x\"],\"x\":1}", "header_not_accepted"},
        {GOOD "\"x\":1}", ""},
        {GOOD "\"Crit\":[\"x\"]}", ""},
    };
    expect_headers(cases, ARRAY_LEN(cases));
    expect_text(GOOD "\"crit\":[\"x\"]}",
                "the header of the token has crit; no critical extension is understood");
}

TEST(b10_an_unencoded_payload_is_refused_with_and_without_crit) {
    static const struct header_case cases[] = {
        {GOOD "\"b64\":false}", "header_not_accepted"},
        {GOOD "\"b64\":false,\"crit\":[\"b64\"]}", "header_not_accepted"},
        {GOOD "\"b64\":true,\"crit\":[\"b64\"]}", "header_not_accepted"},
        {GOOD "\"b64\":0}", "header_not_accepted"},
        {GOOD "\"b64\":null}", "header_not_accepted"},
        {GOOD "\"b64\":\"false\"}", "header_not_accepted"},
        {GOOD "\"b64\":\"true\"}", "header_not_accepted"},
        {GOOD "\"b64\":true}", ""},
    };
    expect_headers(cases, ARRAY_LEN(cases));
    expect_text(GOOD "\"b64\":false}", "the header of the token has b64 that is not true");

    /* The payload itself unencoded, signed as RFC 7797 has it. */
    struct judge judge;
    judge_open_usual(&judge);
    char *header = mint_base64url(S(GOOD "\"b64\":false}"));
    char *token = scratch_text("%s.{}.c2ln", header);
    judge_expect(&judge, "unencoded", token, 400, "credentials_malformed");
    free(header);
    judge_done(&judge);
}

TEST(b15_a_kid_is_a_string_of_bounded_length) {
    static const struct header_case cases[] = {
        {"{\"alg\":\"RS256\",\"kid\":\"../../../../dev/null\"}", "key_not_found"},
        {"{\"alg\":\"RS256\",\"kid\":\"' OR 1=1; --\"}", "key_not_found"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\\r\\nX: y\"}", "key_not_found"},
        {"{\"alg\":\"RS256\",\"kid\":\"r \"}", "key_not_found"},
        {"{\"alg\":\"RS256\",\"kid\":\"R\"}", "key_not_found"},
        {"{\"alg\":\"RS256\",\"kid\":\"\"}", "key_not_found"},
        {"{\"alg\":\"RS256\",\"kid\":\"rr\"}", "key_not_found"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\\u0000\"}", "token_malformed"},
        {"{\"alg\":\"RS256\",\"kid\":1}", "token_malformed"},
        {"{\"alg\":\"RS256\",\"kid\":{}}", "token_malformed"},
        {"{\"alg\":\"RS256\",\"kid\":[\"r\"]}", "token_malformed"},
        {"{\"alg\":\"RS256\",\"kid\":null}", "token_malformed"},
        {"{\"alg\":\"RS256\",\"kid\":true}", "token_malformed"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\"}", ""},
    };
    expect_headers(cases, ARRAY_LEN(cases));
    expect_text("{\"alg\":\"RS256\",\"kid\":1}", "the kid of the token is not a string");

    struct judge judge;
    judge_open_usual(&judge);
    for (size_t len = 1024; len <= 10240; len = len == 1024 ? 1025 : len == 1025 ? 10240 : 10241) {
        char *kid = calloc(1, len + 1);
        memset(kid, 'k', len);
        char *header = judge_header_text("RS256", kid, "");
        judge_expect(&judge, "long", judge_mint_header(header, "RS256", mint_key(MINT_RSA)), 401,
                     len <= 1024 ? "key_not_found" : "token_malformed");
        free(header);
        free(kid);
    }
    judge_done(&judge);
}

static const char *const good_types[] = {
    "\"at+jwt\"", "\"at+JWT\"", "\"AT+JWT\"", "\"application/at+jwt\"", "\"Application/AT+JWT\"",
};
static const char *const plain_types[] = {"\"JWT\"", "\"jwt\"", "\"application/jwt\"",
                                          "\"application/JWT\""};
static const char *const bad_types[] = {"\"dpop+jwt\"",
                                        "\"logout+jwt\"",
                                        "\"secevent+jwt\"",
                                        "\"at\"",
                                        "\"JOSE\"",
                                        "\"JOSE+JSON\"",
                                        "\"\"",
                                        "\"at+jwt \"",
                                        "\" JWT\"",
                                        "\"at+jwt;v=1\"",
                                        "\"text/jwt\"",
                                        "\"application/\"",
                                        "\"application/application/jwt\"",
                                        "\"applicationjwt\"",
                                        "\"id+jwt\"",
                                        "\"at+jwt+jwt\"",
                                        "1",
                                        "null",
                                        "true",
                                        "[\"JWT\"]",
                                        "{}"};

static void expect_type(const struct judge *judge, const char *type, const char *reason) {
    char *more = type ? scratch_text("\"typ\":%s", type) : strdup("");
    char *header = judge_header_text("RS256", "r", more);
    char *claims = judge_claims("client_id", "\"c\"", "jti", "\"1\"", NULL);
    char *token = mint_token(header, claims, "RS256", mint_key(MINT_RSA));
    judge_expect(judge, header, token, *reason ? 401 : 200, reason);
    free(claims);
    free(header);
    free(more);
}

TEST(b19_a_typ_of_another_kind_of_jwt_is_refused) {
    struct judge any, strict;
    judge_open_usual(&any);
    judge_open(&strict, "token_type: at+jwt", MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    for (size_t i = 0; i < ARRAY_LEN(good_types); i++) {
        expect_type(&any, good_types[i], "");
        expect_type(&strict, good_types[i], "");
    }
    for (size_t i = 0; i < ARRAY_LEN(plain_types); i++) {
        expect_type(&any, plain_types[i], "");
        expect_type(&strict, plain_types[i], "type_not_accepted");
    }
    expect_type(&any, NULL, "");
    expect_type(&strict, NULL, "type_not_accepted");
    for (size_t i = 0; i < ARRAY_LEN(bad_types); i++) {
        expect_type(&any, bad_types[i], "type_not_accepted");
        expect_type(&strict, bad_types[i], "type_not_accepted");
    }
    judge_done(&any);
    judge_done(&strict);
    expect_text(GOOD "\"typ\":\"dpop+jwt\"}",
                "the typ of the token is neither JWT nor at+jwt: it is no access token");
    expect_text(GOOD "\"typ\":1}", "the typ of the token is not a string");
}

TEST(b20_nothing_encrypted_nested_or_compressed_is_opened) {
    static const struct header_case cases[] = {
        {GOOD "\"zip\":\"DEF\"}", "header_not_accepted"},
        {GOOD "\"zip\":null}", "header_not_accepted"},
        {GOOD "\"enc\":\"A256GCM\"}", "header_not_accepted"},
        {GOOD "\"cty\":\"JWT\"}", "header_not_accepted"},
        {GOOD "\"cty\":\"jwt\"}", "header_not_accepted"},
        {GOOD "\"cty\":\"json\"}", ""},
        {"{\"alg\":\"RSA-OAEP\",\"kid\":\"r\"}", "algorithm_not_allowed"},
        {"{\"alg\":\"dir\",\"enc\":\"A256GCM\"}", "algorithm_not_allowed"},
        {"{\"alg\":\"PBES2-HS256+A128KW\",\"p2c\":2147483647}", "algorithm_not_allowed"},
    };
    static const char *const headers[] = {
        "{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\",\"kid\":\"r\"}",
        "{\"alg\":\"dir\",\"enc\":\"A256GCM\"}",
        "{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\",\"cty\":\"JWT\"}",
        "{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\",\"zip\":\"DEF\"}",
        "{\"alg\":\"PBES2-HS512+A256KW\",\"enc\":\"A256GCM\",\"p2s\":\"AAAA\",\"p2c\":2147483647}",
        "{\"alg\":\"RS256\",\"kid\":\"r\"}",
    };
    expect_headers(cases, ARRAY_LEN(cases));

    struct judge judge;
    judge_open_usual(&judge);
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        char *header = mint_base64url(span_of(headers[i]));
        char *inner = judge_mint(NULL, NULL);
        *strchr(inner, '.') = '_';
        *strchr(inner, '.') = '_';
        char *token = scratch_text("%s.a2V5.aXZpdml2aXZpdml2.%s.dGFn", header, inner);
        struct verdict verdict = judge_expect(&judge, headers[i], token, 401, "token_encrypted");
        ck_assert_str_eq(verdict.text, "the token has five parts: it is encrypted (JWE), which is "
                                       "not accepted");
        free(inner);
        free(header);
    }
    static const char *const serialised[] = {
        "{\"payload\":\"e30\",\"protected\":\"e30\",\"signature\":\"YQ\"}",
        "{\"payload\":\"e30\",\"signatures\":[]}"};
    for (size_t i = 0; i < ARRAY_LEN(serialised); i++)
        judge_expect(&judge, serialised[i], strdup(serialised[i]), 400, "credentials_malformed");
    judge_done(&judge);
}

/* A good token within a signed token: its payload is a text, not claims. */
TEST(b20_a_token_within_a_token_is_not_unwrapped) {
    struct judge judge;
    judge_open_usual(&judge);
    char *inner = judge_mint(NULL, NULL);
    char *quoted = scratch_text("\"%s\"", inner);
    static const char *const headers[] = {"{\"alg\":\"RS256\",\"kid\":\"r\"}",
                                          "{\"alg\":\"RS256\",\"kid\":\"r\",\"cty\":\"x\"}"};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        judge_expect(&judge, headers[i], mint_token(headers[i], inner, "RS256", mint_key(MINT_RSA)),
                     401, "token_malformed");
        judge_expect(&judge, headers[i],
                     mint_token(headers[i], quoted, "RS256", mint_key(MINT_RSA)), 401,
                     "token_malformed");
    }
    judge_expect(&judge, "the inner one", inner, 200, "");
    free(quoted);
    judge_done(&judge);
}
