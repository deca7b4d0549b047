/* What the deny list does to tokens that are good otherwise, known to the cache or not. */
#include "server/token/authenticate.h"

#include <stdlib.h>

#include "tests/unit/server/token/judge.h"

#define DENIED 401, "token_revoked"

/* With the cache and without it; both must say the same. Keeps the token. */
static void expect(struct judge *judge, const char *label, const char *token, unsigned status,
                   const char *reason) {
    struct verdict cached = judge_expect(judge, label, strdup(token), status, reason);
    struct token_cache *cache = judge->cache;
    judge->cache = NULL;
    struct verdict plain = judge_expect(judge, label, strdup(token), status, reason);
    judge->cache = cache;
    ck_assert_str_eq(cached.text, plain.text);
    ck_assert(!cached.needs_keys && !plain.needs_keys);
    if (status == 401) ck_assert_str_eq(cached.text, "the token was revoked");
}

static uint64_t hits(const struct judge *judge) {
    return token_cache_count(judge->cache).hits;
}

static void open_with(struct judge *judge, const char *options, char *jwks) {
    judge_open(judge, options, jwks);
    judge->cache = token_cache_new(64);
}

static void open_usual(struct judge *judge) {
    judge_open_usual(judge);
    judge->cache = token_cache_new(64);
}

TEST(a_token_is_denied_by_jti_sub_or_the_kid_of_its_key) {
    static const struct {
        const char *list;
        bool denied;
    } rows[] = {
        {"{\"sub\":\"alice\"}", true},
        {"{\"jti\":\"j1\"}", true},
        {"{\"kid\":\"r\"}", true},
        {"{\"sub\":\"alice\",\"issuer\":\"" JUDGE_ISSUER "\"}", true},
        {"{\"jti\":\"j1\",\"issuer\":\"" JUDGE_ISSUER "\"}", true},
        {"{\"kid\":\"r\",\"issuer\":\"" JUDGE_ISSUER "\"}", true},
        {"{\"sub\":\"alice\",\"issuer\":\"https://other\"}", false},
        {"{\"jti\":\"j1\",\"issuer\":\"https://other\"}", false},
        {"{\"kid\":\"r\",\"issuer\":\"https://other\"}", false},
        {"{\"sub\":\"bob\"}\n{\"jti\":\"alice\"}\n{\"kid\":\"e\"}", false},
        {"{\"sub\":\"alice\",\"until\":\"2023-11-14T22:13:20Z\"}", false},
        {"{\"sub\":\"alice\",\"until\":\"2023-11-14T22:13:21Z\"}", true},
        {"", false},
    };
    struct judge judge;
    open_with(&judge, "leeway: 0",
              MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL),
                        mint_jwk(mint_key(MINT_P256), "e", NULL)));
    char *token = judge_mint("jti", "\"j1\"");
    expect(&judge, "no list", token, 200, "");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        judge_deny(&judge, rows[i].list);
        expect(&judge, rows[i].list, token, rows[i].denied ? 401 : 200,
               rows[i].denied ? "token_revoked" : "");
        judge_deny(&judge, "");
        expect(&judge, "lifted", token, 200, "");
        expect(&judge, "lifted, cached", token, 200, "");
    }
    free(token);
    judge_done(&judge);
}

TEST(a_token_that_names_no_kid_is_denied_by_that_of_its_key) {
    struct judge judge;
    open_with(&judge, "", MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    char *token =
        judge_mint_header("{\"alg\":\"RS256\",\"typ\":\"JWT\"}", "RS256", mint_key(MINT_RSA));
    expect(&judge, "good", token, 200, "");
    judge_deny(&judge, "{\"kid\":\"r\"}");
    expect(&judge, "denied", token, DENIED);
    judge_deny(&judge, "{\"kid\":\"s\"}");
    expect(&judge, "another", token, 200, "");
    expect(&judge, "cached", token, 200, "");
    /* The same key comes under the kid that is denied. */
    judge_renew_keys(&judge, MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "s", NULL)));
    expect(&judge, "renamed", token, DENIED);
    judge_renew_keys(&judge, MINT_JWKS(mint_jwk(mint_key(MINT_RSA), NULL, NULL)));
    expect(&judge, "nameless", token, 200, "");
    free(token);
    judge_done(&judge);
}

TEST(what_is_wrong_with_a_token_otherwise_is_told_first) {
    struct judge judge;
    open_usual(&judge);
    judge_deny(&judge, "{\"sub\":\"alice\"}");
    judge_expect(&judge, "expired", judge_mint("exp", "1"), 401, "token_expired");
    judge_expect(
        &judge, "forged",
        judge_mint_header("{\"alg\":\"RS256\",\"kid\":\"r\"}", "RS256", mint_key(MINT_RSA_OTHER)),
        401, "signature_invalid");
    judge_expect(&judge, "denied", judge_mint(NULL, NULL), DENIED);
    judge_done(&judge);
}

TEST(a_route_for_everybody_lets_no_denied_token_in) {
    struct judge judge;
    open_usual(&judge);
    judge.path = "/open";
    judge_deny(&judge, "{\"sub\":\"alice\"}");
    judge_expect(&judge, "denied", judge_mint(NULL, NULL), DENIED);
    judge_expect(&judge, "bob", judge_mint("sub", "\"bob\""), 200, "");
    judge_done(&judge);
}

TEST(a_cached_token_is_judged_once_by_each_list_and_costs_no_signature) {
    struct judge judge;
    open_usual(&judge);
    char *token = judge_mint(NULL, NULL);
    judge_expect(&judge, "cold", strdup(token), 200, "");
    judge_deny(&judge, "{\"sub\":\"bob\"}");
    judge_expect(&judge, "new list", strdup(token), 200, "");
    judge_expect(&judge, "same list", strdup(token), 200, "");
    ck_assert_uint_eq(hits(&judge), 2);
    /* With a generation it has passed, the list is not looked at. */
    uint64_t generation = judge.denied_generation;
    judge_deny(&judge, "{\"sub\":\"alice\"}");
    judge.denied_generation = generation;
    judge_expect(&judge, "not asked", strdup(token), 200, "");
    judge.denied_generation = generation + 1;
    judge_expect(&judge, "asked", strdup(token), DENIED);
    ck_assert_uint_eq(token_cache_count(judge.cache).entries, 0);
    ck_assert_uint_eq(hits(&judge), 3);
    judge_expect(&judge, "again", strdup(token), DENIED);
    free(token);
    judge_done(&judge);
}

/* Clocks are set back, too. */
TEST(an_entry_that_has_ended_counts_again_when_the_clock_goes_back) {
    struct judge judge;
    open_with(&judge, "leeway: 0", MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    char *token = judge_mint(NULL, NULL);
    judge_deny(&judge, "{\"sub\":\"alice\",\"until\":\"2023-11-14T22:13:21Z\"}");
    expect(&judge, "denied", token, DENIED);
    judge.now++;
    expect(&judge, "ended", token, 200, "");
    expect(&judge, "ended, cached", token, 200, "");
    ck_assert_uint_eq(hits(&judge), 1);
    judge.now--;
    expect(&judge, "back", token, DENIED);
    free(token);
    judge_done(&judge);
}

/* A token is accepted for the leeway after its exp; an entry that ends at that exp must last. */
TEST(an_entry_lasts_as_long_as_the_token_that_ends_with_it) {
    struct judge judge;
    open_with(&judge, "leeway: 60s", MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    char *token = judge_mint("exp", "1700000100");
    judge_deny(&judge, "{\"sub\":\"alice\",\"until\":\"2023-11-14T22:15:00Z\"}"); /* that exp */
    static const int64_t good_until = 1700000160;
    for (judge.now = JUDGE_NOW; judge.now < good_until; judge.now++)
        judge_expect(&judge, "denied", strdup(token), DENIED);
    judge_expect(&judge, "expired", strdup(token), 401, "token_expired");
    judge_deny(&judge, "");
    judge.now = good_until - 1;
    judge_expect(&judge, "good to its end", strdup(token), 200, "");
    free(token);
    judge_done(&judge);
}
