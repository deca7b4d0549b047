/* Good tokens of every kind, so that nothing is refused for want of knowing it. */
#include <stdlib.h>

#include "tests/unit/server/token/judge.h"

/* Good claims under {"alg":alg,"kid":kid}, signed with that alg by key. */
static char *mint(const char *alg, const char *kid, enum mint_key key) {
    char *header = judge_header_text(alg, kid, "");
    char *token = judge_mint_header(header, alg, mint_key(key));
    free(header);
    return token;
}

static const struct {
    const char *alg;
    enum mint_key key;
} algorithms[] = {
    {"RS256", MINT_RSA},     {"RS384", MINT_RSA},      {"RS512", MINT_RSA},
    {"PS256", MINT_RSA},     {"PS384", MINT_RSA},      {"PS512", MINT_RSA},
    {"ES256", MINT_P256},    {"ES384", MINT_P384},     {"ES512", MINT_P521},
    {"EdDSA", MINT_ED25519}, {"RS256", MINT_RSA_4096}, {"PS512", MINT_RSA_4096},
};

TEST(every_algorithm_is_accepted_with_and_without_alg_in_the_key) {
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
        for (int named = 0; named < 2; named++) {
            struct judge judge;
            const char *alg = algorithms[i].alg;
            judge_open(&judge, "",
                       MINT_JWKS(mint_jwk(mint_key(algorithms[i].key), "k", named ? alg : NULL)));
            struct verdict verdict =
                judge_expect(&judge, alg, mint(alg, "k", algorithms[i].key), 200, "");
            ck_assert_str_eq(verdict.user, "alice@example.com");
            ck_assert_str_eq(verdict.scopes, "openid|profile|email");
            ck_assert_str_eq(verdict.issuer, JUDGE_ISSUER);
            judge_expect(&judge, alg, mint(alg, NULL, algorithms[i].key), 200, "");
            judge_done(&judge);
        }
}

TEST(tokens_by_libjwt_are_accepted) {
    static const struct {
        const char *alg;
        enum mint_key key;
    } cases[] = {{"RS256", MINT_RSA},  {"RS384", MINT_RSA},  {"RS512", MINT_RSA_4096},
                 {"ES256", MINT_P256}, {"ES384", MINT_P384}, {"ES512", MINT_P521}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct judge judge;
        judge_open(&judge, "", MINT_JWKS(mint_jwk(mint_key(cases[i].key), "k", NULL)));
        char *claims = judge_claims(NULL, NULL);
        for (int kid = 0; kid < 2; kid++)
            judge_expect(
                &judge, cases[i].alg,
                mint_with_libjwt(cases[i].alg, mint_key(cases[i].key), kid ? "k" : NULL, claims),
                200, "");
        free(claims);
        judge_done(&judge);
    }
}

/* Signatures of each algorithm whose r or s begins with zero bytes, or with a high bit, among them.
 */
TEST(many_signatures_of_one_key_are_accepted) {
    static const struct {
        const char *alg;
        enum mint_key key;
    } cases[] = {{"ES256", MINT_P256}, {"ES384", MINT_P384}, {"ES512", MINT_P521}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct judge judge;
        judge_open(&judge, "", MINT_JWKS(mint_jwk(mint_key(cases[i].key), "k", NULL)));
        for (int n = 0; n < 200; n++)
            judge_expect(&judge, cases[i].alg, mint(cases[i].alg, "k", cases[i].key), 200, "");
        judge_done(&judge);
    }
}
