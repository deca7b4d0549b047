#include "server/token/jws.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/server/token/judge.h"

#define S(text) SPAN_LITERAL(text)

struct parts {
    char *header, *payload, *signature;
};

static struct parts take_apart(char *token) {
    struct parts parts = {token, strchr(token, '.') + 1, strrchr(token, '.') + 1};
    parts.payload[-1] = parts.signature[-1] = '\0';
    return parts;
}

static struct parts good_parts(void) {
    return take_apart(judge_mint(NULL, NULL));
}

static char *expand(const char *pattern, const struct parts *parts) {
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    for (; *pattern; pattern++)
        fputs(*pattern == 'H'   ? parts->header
              : *pattern == 'P' ? parts->payload
              : *pattern == 'S' ? parts->signature
                                : ".",
              out);
    fclose(out);
    return text;
}

TEST(c1_a_token_has_three_parts_none_of_them_empty) {
    static const struct {
        const char *pattern; /* H, P and S stand for the parts of a good token */
        const char *reason;
        const char *text; /* NULL: not looked at */
    } cases[] = {
        {"H.P.S", "", ""},
        {"H.P.", "token_malformed", "the signature of the token is empty"},
        {"H.P", "token_malformed", "the token has 2 parts; a signed JWT has three"},
        {"H", "token_malformed", "the token has 1 parts; a signed JWT has three"},
        {"H.P.S.", "token_malformed", "the token has 4 parts; a signed JWT has three"},
        {"H.P.S.S", "token_malformed", NULL},
        {".H.P.S", "token_malformed", NULL},
        {"H.P.S..", "token_encrypted", NULL},
        {"H.P.S.P.S", "token_encrypted", NULL},
        {"H.P.S...", "token_malformed", "the token has 6 parts; a signed JWT has three"},
        {"H..S", "token_malformed", "the payload of the token is empty"},
        {".P.S", "token_malformed", "the header of the token is empty"},
        {"..S", "token_malformed", NULL},
        {"H..", "token_malformed", NULL},
        {"..", "token_malformed", NULL},
        {".", "token_malformed", NULL},
        {"....", "token_encrypted", NULL},
        {"H..P.S", "token_malformed", NULL},
    };
    struct judge judge;
    struct parts parts = good_parts();
    judge_open_usual(&judge);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *token = expand(cases[i].pattern, &parts);
        struct verdict verdict = judge_expect(&judge, cases[i].pattern, token,
                                              *cases[i].reason ? 401 : 200, cases[i].reason);
        if (cases[i].text) ck_assert_str_eq(verdict.text, cases[i].text);
    }
    free(parts.header);
    judge_done(&judge);
}

/* One part of a good token spelled in another way; the others stay. */
static void expect_spelling(const struct judge *judge, size_t which, char *spelled, unsigned status,
                            const char *reason) {
    struct parts parts = good_parts();
    char *token =
        scratch_text("%s.%s.%s", which == 0 ? spelled : parts.header,
                     which == 1 ? spelled : parts.payload, which == 2 ? spelled : parts.signature);
    judge_expect(judge, spelled, token, status, reason);
    free(parts.header);
    free(spelled);
}

static const char *part(const struct parts *parts, size_t which) {
    return which == 0 ? parts->header : which == 1 ? parts->payload : parts->signature;
}

TEST(c5_each_part_is_strict_base64url) {
    static const struct {
        const char *before, *behind; /* the good spelling */
        unsigned status;
        const char *reason;
    } cases[] = {
        {"", "", 200, ""},
        {"", "!", 400, "credentials_malformed"},
        {"", " ", 400, "credentials_malformed"},
        {"", "\n", 400, "credentials_malformed"},
        {"", "\r\n", 400, "credentials_malformed"},
        {"", "\t", 400, "credentials_malformed"},
        {"", "%3D", 400, "credentials_malformed"},
        {"", ",", 400, "credentials_malformed"},
        {"!", "", 400, "credentials_malformed"},
        {"+", "", 401, "token_malformed"},
        {"/", "", 401, "token_malformed"},
        {"~", "", 401, "token_malformed"},
        {"", "++++", 401, "token_malformed"},
        {"", "////", 401, "token_malformed"},
        {"", "~~~~", 401, "token_malformed"},
    };
    struct judge judge;
    judge_open_usual(&judge);
    for (size_t which = 0; which < 3; which++)
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            struct parts parts = good_parts();
            char *spelled =
                scratch_text("%s%s%s", cases[i].before, part(&parts, which), cases[i].behind);
            /* White space behind the whole token belongs to the header field. */
            bool trimmed = which == 2 && strspn(cases[i].behind, " \t") == 1;
            expect_spelling(&judge, which, spelled, trimmed ? 200 : cases[i].status,
                            trimmed ? "" : cases[i].reason);
            free(parts.header);
        }
    judge_done(&judge);
}

TEST(c5_padding_is_refused_in_every_part) {
    struct judge judge;
    judge_open_usual(&judge);
    for (size_t which = 0; which < 3; which++)
        for (size_t pads = 1; pads <= 3; pads++) {
            struct parts parts = good_parts();
            char *spelled = scratch_text("%s%.*s", part(&parts, which), (int)pads, "===");
            /* Within the token "=" is no b64token; at its end it is one, but no base64url. */
            expect_spelling(&judge, which, spelled, which == 2 ? 401 : 400,
                            which == 2 ? "token_malformed" : "credentials_malformed");
            free(parts.header);
        }
    judge_done(&judge);
}

/* The last character has bits that no byte uses: with one of them set, it decodes to the same. */
TEST(c5_bits_left_over_must_be_zero) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct judge judge;
    size_t seen = 0;
    judge_open_usual(&judge);
    for (size_t which = 0; which < 3; which++) {
        struct parts parts = good_parts();
        size_t len = strlen(part(&parts, which));
        unsigned unused = len % 4 == 2 ? 4 : len % 4 == 3 ? 2 : 0;
        for (size_t bits = 1; bits < ((size_t)1 << unused); bits++) {
            char *spelled = strdup(part(&parts, which));
            size_t value = (size_t)(strchr(alphabet, spelled[len - 1]) - alphabet);
            spelled[len - 1] = alphabet[value | bits];
            expect_spelling(&judge, which, spelled, 401, "token_malformed");
            seen++;
        }
        free(parts.header);
    }
    ck_assert_uint_gt(seen, 15); /* the signature's 256 bytes leave four bits */
    judge_done(&judge);
}

TEST(c5_a_length_of_one_modulo_four_is_refused) {
    struct judge judge;
    size_t seen = 0;
    judge_open_usual(&judge);
    for (size_t which = 0; which < 3; which++)
        for (size_t cut = 0; cut < 4; cut++) {
            struct parts parts = good_parts();
            char *spelled = strdup(part(&parts, which));
            size_t len = strlen(spelled) - cut;
            spelled[len] = '\0';
            if (len % 4 == 1) {
                expect_spelling(&judge, which, spelled, 401, "token_malformed");
                seen++;
            } else {
                free(spelled);
            }
            free(parts.header);
        }
    ck_assert_uint_eq(seen, 3);
    judge_done(&judge);
}

TEST(a_token_without_a_payload_is_no_jws_fault) {
    struct jws jws;
    struct refusal refusal;
    char *token = mint_token("{\"alg\":\"RS256\",\"kid\":\"r\"}", "", "RS256", mint_key(MINT_RSA));
    ck_assert(jws_parse(span_of(token), &jws, &refusal));
    ck_assert_uint_eq(jws.payload.len, 0);
    ck_assert_uint_eq(jws.signature.len, 256);
    ck_assert(span_equal_text(jws.kid, "r"));
    ck_assert_uint_eq(jws.signing_input.len, (size_t)(strrchr(token, '.') - token));
    jws_done(&jws);
    free(token);
}

TEST(parsing_leaves_the_result_alone_where_it_refuses) {
    static const char *const tokens[] = {"",      ".",          "..",
                                         "a.b.c", "e30.e30.YQ", "eyJhbGciOiJSUzI1NiJ9.e30."};
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        struct jws jws = {.algorithm = ALG_EDDSA};
        struct refusal refusal = {0};
        ck_assert(!jws_parse(span_of(tokens[i]), &jws, &refusal));
        ck_assert(jws.algorithm == ALG_EDDSA && !jws.header && !jws.memory);
        ck_assert_str_ne(refusal.text, "");
    }
}
