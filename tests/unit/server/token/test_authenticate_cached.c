/* What authenticate() answers with a cache: never anything else than without one. */
#include "server/token/authenticate.h"

#include <pthread.h>
#include <stdlib.h>

#include "tests/unit/server/token/judge.h"

static struct token_cache_counters count(const struct judge *judge) {
    return token_cache_count(judge->cache);
}

/* judge_expect() with the cache and without it; both must say the same. Keeps the token. */
static void expect(struct judge *judge, const char *label, const char *token, unsigned status,
                   const char *reason) {
    struct verdict cached = judge_expect(judge, label, strdup(token), status, reason);
    struct token_cache *cache = judge->cache, *expired = judge->expired;
    judge->cache = judge->expired = NULL;
    struct verdict plain = judge_expect(judge, label, strdup(token), status, reason);
    judge->cache = cache;
    judge->expired = expired;
    ck_assert_str_eq(cached.text, plain.text);
    ck_assert_str_eq(cached.user, plain.user);
    ck_assert_str_eq(cached.scopes, plain.scopes);
    ck_assert_str_eq(cached.issuer, plain.issuer);
    ck_assert(cached.needs_keys == plain.needs_keys);
}

/* The token is let through, and the cache knows it from now on. */
static void warm(struct judge *judge, const char *token) {
    expect(judge, "warm", token, 200, "");
    uint64_t hits = count(judge).hits;
    expect(judge, "hit", token, 200, "");
    ck_assert_uint_eq(count(judge).hits, hits + 1);
}

/* As expect(), and the cache did not know it. */
static void expect_anew(struct judge *judge, const char *label, const char *token, unsigned status,
                        const char *reason) {
    uint64_t hits = count(judge).hits;
    expect(judge, label, token, status, reason);
    ck_assert_msg(count(judge).hits == hits, "%s: from the cache", label);
}

static void open_with(struct judge *judge, const char *options, char *jwks) {
    judge_open(judge, options, jwks);
    judge->cache = token_cache_new(64);
    judge->expired = token_cache_new(8);
    ck_assert(judge->cache && judge->expired);
}

static char *jwks_rsa(const char *kid) {
    return MINT_JWKS(mint_jwk(mint_key(MINT_RSA), kid, NULL));
}

static char *mint(const char *alg, const char *kid, enum mint_key key) {
    char *header = judge_header_text(alg, kid, "");
    char *token = judge_mint_header(header, alg, mint_key(key));
    free(header);
    return token;
}

/* --- what is kept ---------------------------------------------------------------------------- */

TEST(the_same_token_is_authorised_anew_on_each_route) {
    struct judge judge;
    open_with(&judge, "", jwks_rsa("r"));
    char *plain = judge_mint(NULL, NULL), *reader = judge_mint("scope", "\"read\"");
    static const char *const paths[] = {"/read", "/", "/open", "/read"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        bool lacks = i % 3 == 0;
        judge.path = paths[i];
        expect(&judge, paths[i], plain, lacks ? 403 : 200, lacks ? "scope_missing" : "");
        expect(&judge, paths[i], reader, 200, "");
    }
    ck_assert_uint_eq(count(&judge).hits, 6);
    ck_assert_uint_eq(count(&judge).entries, 2);
    free(plain);
    free(reader);
    judge_done(&judge);
}

TEST(refusals_and_made_up_tokens_leave_no_trace) {
    struct judge judge;
    judge_open(&judge, "", jwks_rsa("r"));
    judge.cache = token_cache_new(1);
    char *good = judge_mint(NULL, NULL);
    warm(&judge, good);
    for (int i = 0; i < 100; i++) {
        judge_expect(&judge, "forged", mint("RS256", "r", MINT_RSA_OTHER), 401,
                     "signature_invalid");
        judge_expect(&judge, "unknown", mint("RS256", "x", MINT_RSA), 401, "key_not_found");
        judge_expect(&judge, "expired", judge_mint("exp", "1"), 401, "token_expired");
        judge_expect(&judge, "nobody", judge_mint_two("sub", "", "email", ""), 401, "user_missing");
        judge_expect(&judge, "junk", strdup("a.b.c"), 401, "token_malformed");
    }
    ck_assert_uint_eq(count(&judge).entries, 1);
    ck_assert_uint_eq(count(&judge).evictions, 0);
    warm(&judge, good);
    free(good);
    judge_done(&judge);
}

/* A known prefix, a known token with another signature, and a known token in another spelling. */
TEST(a_token_that_differs_in_one_place_is_not_the_one_that_is_known) {
    struct judge judge;
    open_with(&judge, "", jwks_rsa("r"));
    char *good = judge_mint(NULL, NULL);
    warm(&judge, good);
    size_t len = strlen(good);
    for (size_t i = 0; i < len; i++) {
        char *other = strdup(good);
        other[i] = other[i] == 'A' ? 'B' : 'A';
        struct verdict verdict = judge_token(&judge, other);
        ck_assert_msg(verdict.status == 401, "byte %zu", i);
    }
    char *cut = strndup(good, len - 1), *longer = scratch_text("%sA", good),
         *padded = scratch_text("%s=", good);
    expect_anew(&judge, "cut", cut, 401, "token_malformed");
    expect_anew(&judge, "longer", longer, 401, "signature_invalid");
    expect_anew(&judge, "padded", padded, 401, "token_malformed");
    expect(&judge, "the same", good, 200, "");
    free(cut);
    free(longer);
    free(padded);
    free(good);
    judge_done(&judge);
}

TEST(a_known_token_is_not_taken_where_the_header_is_refused) {
    struct judge judge;
    open_with(&judge, "", jwks_rsa("r"));
    char *good = judge_mint(NULL, NULL), *header = scratch_text("Bearer %s", good);
    warm(&judge, good);
    ck_assert_uint_eq(judge_header(&judge, span_of(header), 2).status, 400);
    judge.token_max = strlen(good) - 1;
    expect_anew(&judge, "too large", good, 431, "token_too_large");
    judge.token_max++;
    expect(&judge, "fits", good, 200, "");
    free(header);
    free(good);
    judge_done(&judge);
}

/* --- clocks ---------------------------------------------------------------------------------- */

TEST(t5_a_token_that_expires_while_cached_is_refused) {
    struct judge judge;
    open_with(&judge, "leeway: 10s", jwks_rsa("r"));
    char *token = judge_mint("exp", "1700000300");
    warm(&judge, token);
    judge.now = 1700000300 + 9;
    expect(&judge, "last second", token, 200, "");
    ck_assert_uint_eq(count(&judge).hits, 2);
    judge.now++;
    expect_anew(&judge, "expired", token, 401, "token_expired");
    ck_assert_uint_eq(count(&judge).entries, 0);
    free(token);
    judge_done(&judge);
}

TEST(t6_cached_tokens_follow_a_clock_that_jumps) {
    static const struct {
        int64_t jump;
        const char *reason;
    } rows[] = {{3600, "token_expired"}, {-3600, "token_from_future"}, {-61, "token_from_future"}};
    struct judge judge;
    open_with(&judge, "", jwks_rsa("r"));
    char *token = judge_mint(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        warm(&judge, token);
        judge.now = JUDGE_NOW + rows[i].jump;
        expect_anew(&judge, rows[i].reason, token, 401, rows[i].reason);
        judge.now = JUDGE_NOW;
    }
    free(token);
    judge_done(&judge);
}

/* Is the verdict on the token one that was kept? */
static bool is_kept_as_expired(struct judge *judge, const char *token) {
    uint64_t hits = token_cache_count(judge->expired).hits;
    judge_token(judge, strdup(token));
    return token_cache_count(judge->expired).hits == hits + 1;
}

TEST(an_expired_token_that_is_sent_again_is_refused_with_the_difference_of_that_moment) {
    struct judge judge;
    open_with(&judge, "leeway: 10s", jwks_rsa("r"));
    char *token = judge_mint("exp", "1700000300"), *other = judge_mint("exp", "1700000301");
    judge.now = JUDGE_NOW + 4000;
    ck_assert(!is_kept_as_expired(&judge, token));
    for (int i = 0; i < 3; i++, judge.now += 61) {
        ck_assert(is_kept_as_expired(&judge, token));
        expect(&judge, "again", token, 401, "token_expired"); /* in the very same words */
    }
    ck_assert(!is_kept_as_expired(&judge, other));
    ck_assert_uint_eq(count(&judge).entries, 0);
    judge.now = 1700000300 + 9;
    expect(&judge, "the clock was set back", token, 200, "");
    free(token), free(other);
    judge_done(&judge);
}

TEST(an_expired_token_is_judged_anew_by_other_keys_and_another_configuration) {
    struct judge judge;
    open_with(&judge, "", jwks_rsa("r"));
    char *token = judge_mint("exp", "1700000300");
    judge.now = JUDGE_NOW + 400;
    expect(&judge, "new", token, 401, "token_expired");
    ck_assert(is_kept_as_expired(&judge, token));
    judge_reload(&judge, "leeway: 200s");
    expect(&judge, "more leeway", token, 200, "");
    judge_reload(&judge, "audiences: [other]");
    expect(&judge, "another audience", token, 401, "audience_mismatch");
    judge_reload(&judge, "");
    expect(&judge, "as before", token, 401, "token_expired");
    ck_assert(is_kept_as_expired(&judge, token));
    judge_renew_keys(&judge, jwks_rsa("other"));
    expect(&judge, "the key is gone", token, 401, "key_not_found");
    free(token);
    judge_done(&judge);
}

TEST(expired_tokens_with_a_bad_signature_are_not_kept_and_push_nothing_out) {
    struct judge judge;
    open_with(&judge, "", jwks_rsa("r"));
    char *good = judge_mint(NULL, NULL);
    warm(&judge, good);
    for (int i = 0; i < 20; i++) {
        char *exp = scratch_text("%d", 1699999000 + i), *token = judge_mint("exp", exp);
        expect(&judge, "expired", token, 401, "token_expired");
        token[strlen(token) - 3] = token[strlen(token) - 3] == 'A' ? 'B' : 'A';
        expect(&judge, "touched", token, 401, "signature_invalid");
        ck_assert(!is_kept_as_expired(&judge, token));
        free(exp), free(token);
    }
    ck_assert_uint_eq(token_cache_count(judge.expired).entries, 8);
    ck_assert_uint_eq(count(&judge).entries, 1);
    warm(&judge, good);
    free(good);
    judge_done(&judge);
}

/* At every second around every limit, whatever the cache knew before. */
TEST(a_cached_token_is_judged_by_the_clock_as_any_other) {
    static const char *const options[] = {
        "leeway: 0s",
        "leeway: 7s",
        "leeway: 3s, max_lifetime: 20s",
        "leeway: 0s, max_lifetime: 9s",
    };
    static const char *const claims[][3] = {
        {"", "", "1700000030.9"},
        {"1700000000", "", "1700000030"},
        {"", "1700000004.5", "1700000030"},
        {"1699999990", "1700000006", "1700000030"},
        {"1700000007", "1699999999", "1700000012"},
    };
    unsigned let_through = 0, from_cache = 0;
    for (size_t o = 0; o < ARRAY_LEN(options); o++)
        for (size_t c = 0; c < ARRAY_LEN(claims); c++) {
            struct judge judge;
            open_with(&judge, options[o], jwks_rsa("r"));
            char *token = judge_mint_claims(
                judge_claims("iat", claims[c][0], "nbf", claims[c][1], "exp", claims[c][2], NULL));
            for (int64_t now = JUDGE_NOW - 20; now < JUDGE_NOW + 50; now++) {
                judge.now = JUDGE_NOW + 10; /* where most are known from */
                judge_token(&judge, strdup(token));
                uint64_t hits = count(&judge).hits;
                judge.now = now;
                struct verdict cached = judge_token(&judge, strdup(token));
                bool hit = count(&judge).hits > hits;
                struct judge plain = judge;
                plain.cache = plain.expired = NULL;
                struct verdict anew = judge_token(&plain, strdup(token));
                ck_assert_msg(cached.status == anew.status && !strcmp(cached.text, anew.text),
                              "%s, claims %zu, at %+d: %s instead of %s", options[o], c,
                              (int)(now - JUDGE_NOW), cached.text, anew.text);
                ck_assert_msg(!hit || anew.status == 200, "claims %zu", c);
                let_through += anew.status == 200;
                from_cache += hit;
            }
            free(token);
            judge_done(&judge);
        }
    ck_assert_uint_gt(let_through, 200);
    ck_assert_uint_gt(from_cache, let_through * 3 / 4);
}

/* --- keys ------------------------------------------------------------------------------------ */

/* The same keys in another order, with more beside them: entries stay. */
TEST(a_refresh_that_brings_the_same_key_keeps_what_is_cached) {
    struct judge judge;
    open_with(&judge, "", jwks_rsa("r"));
    char *named = mint("RS256", "r", MINT_RSA), *unnamed = mint("RS256", NULL, MINT_RSA);
    warm(&judge, named);
    warm(&judge, unnamed);
    for (int i = 0; i < 3; i++) {
        judge_renew_keys(&judge, MINT_JWKS(mint_jwk(mint_key(MINT_P256), "e", NULL),
                                           mint_jwk(mint_key(MINT_RSA), "r", NULL)));
        uint64_t misses = count(&judge).misses;
        expect(&judge, "named", named, 200, "");
        expect(&judge, "unnamed", unnamed, 200, "");
        ck_assert_uint_eq(count(&judge).misses, misses);
    }
    free(named);
    free(unnamed);
    judge_done(&judge);
}

TEST(d14_a_token_whose_key_is_no_longer_its_issuers_is_refused_at_the_next_request) {
    static const struct {
        const char *what;
        const char *kid;
        enum mint_key key;
        const char *alg;                   /* of the key in the new set */
        const char *named_reason, *reason; /* with a kid, and without one */
    } rows[] = {
        {"withdrawn", "other", MINT_RSA_OTHER, NULL, "key_not_found", "signature_invalid"},
        {"another key of that kid", "r", MINT_RSA_OTHER, NULL, "signature_invalid",
         "signature_invalid"},
        {"of another type", "r", MINT_P256, NULL, "key_not_fit", "key_not_found"},
        {"bound to another alg", "r", MINT_RSA, "PS256", "key_not_fit", "key_not_found"},
        {"bound to that alg", "r", MINT_RSA, "RS256", "", ""},
        {"renamed", "q", MINT_RSA, NULL, "key_not_found", ""},
    };
    char *named = mint("RS256", "r", MINT_RSA), *unnamed = mint("RS256", NULL, MINT_RSA);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct judge judge;
        open_with(&judge, "", jwks_rsa("r"));
        warm(&judge, named);
        warm(&judge, unnamed);
        judge_renew_keys(&judge,
                         MINT_JWKS(mint_jwk(mint_key(rows[i].key), rows[i].kid, rows[i].alg)));
        expect(&judge, rows[i].what, named, *rows[i].named_reason ? 401 : 200,
               rows[i].named_reason);
        expect(&judge, rows[i].what, unnamed, *rows[i].reason ? 401 : 200, rows[i].reason);
        judge_done(&judge);
    }
    free(named);
    free(unnamed);
}

TEST(a_second_key_that_fits_ends_what_is_cached) {
    struct judge judge;
    open_with(&judge, "", jwks_rsa("r"));
    char *named = mint("RS256", "r", MINT_RSA), *unnamed = mint("RS256", NULL, MINT_RSA);
    warm(&judge, named);
    warm(&judge, unnamed);
    judge_renew_keys(&judge, MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL),
                                       mint_jwk(mint_key(MINT_RSA_OTHER), "s", NULL)));
    expect(&judge, "still clear", named, 200, "");
    expect_anew(&judge, "which of two", unnamed, 401, "key_not_clear");
    judge_renew_keys(&judge, MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL),
                                       mint_jwk(mint_key(MINT_RSA_OTHER), "r", NULL)));
    expect_anew(&judge, "which of two", named, 401, "key_not_clear");
    free(named);
    free(unnamed);
    judge_done(&judge);
}

TEST(cached_tokens_end_with_the_trust_in_the_keys) {
    struct judge judge;
    open_with(&judge, "", jwks_rsa("r"));
    char *token = judge_mint(NULL, NULL);
    warm(&judge, token);
    judge.now_ms = judge.ring->entries[0].stale_at_ms - 1;
    expect(&judge, "last moment", token, 200, "");
    ck_assert_uint_eq(count(&judge).hits, 2);
    judge.now_ms++;
    expect_anew(&judge, "stale", token, 503, "keys_unavailable");
    judge_renew_keys(&judge, jwks_rsa("r"));
    warm(&judge, token);
    free(token);
    judge_done(&judge);
}

TEST(each_alg_of_a_key_is_a_matter_of_its_own) {
    struct judge judge;
    open_with(&judge, "", jwks_rsa("r"));
    char *first = mint("RS256", "r", MINT_RSA), *second = mint("RS512", "r", MINT_RSA);
    warm(&judge, first);
    warm(&judge, second);
    judge_renew_keys(&judge, MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", "RS256")));
    uint64_t hits = count(&judge).hits;
    expect(&judge, "RS256", first, 200, "");
    ck_assert_uint_eq(count(&judge).hits, hits + 1);
    expect_anew(&judge, "RS512", second, 401, "key_not_fit");
    free(first);
    free(second);
    judge_done(&judge);
}

#define TWO_ISSUERS                                                                                \
    "issuers: [{issuer: \"https://a.example\", jwks_uri: \"https://a.example/jwks\", audiences: "  \
    "[api]}, {issuer: \"https://b.example\", jwks_uri: \"https://b.example/jwks\", audiences: "    \
    "[api]}]\n"                                                                                    \
    "routes: [{path: /, respond: identity}]\n"

static const char *const two_issuers[] = {"\"https://a.example\"", "\"https://b.example\""};

static void open_two(struct judge *judge, enum mint_key first, enum mint_key second) {
    char *jwks[] = {MINT_JWKS(mint_jwk(mint_key(first), "same", NULL)),
                    MINT_JWKS(mint_jwk(mint_key(second), "same", NULL))};
    judge_open_yaml(judge, TWO_ISSUERS, jwks, 2);
    judge->cache = token_cache_new(64);
}

/* A token that says it is of that issuer, by this key. */
static char *mint_of(int issuer, enum mint_key key) {
    char *claims = judge_claims("iss", two_issuers[issuer], NULL);
    char *token =
        mint_token("{\"alg\":\"RS256\",\"kid\":\"same\"}", claims, "RS256", mint_key(key));
    free(claims);
    return token;
}

/* Both are answered from the cache. */
static void expect_both(struct judge *judge, char *const tokens[2]) {
    uint64_t hits = count(judge).hits;
    for (int i = 0; i < 2; i++) expect(judge, two_issuers[i], tokens[i], 200, "");
    ck_assert_uint_eq(count(judge).hits, hits + 2);
}

TEST(d14_a_cached_token_is_bound_to_the_keys_of_its_own_issuer) {
    static const struct {
        enum mint_key first, second, renewed;
    } rows[] = {
        {MINT_RSA, MINT_RSA_OTHER, MINT_RSA_OTHER}, /* the first gets the key of the second */
        {MINT_RSA, MINT_RSA, MINT_RSA_OTHER},       /* both had the same */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct judge judge;
        open_two(&judge, rows[i].first, rows[i].second);
        char *tokens[] = {mint_of(0, rows[i].first), mint_of(1, rows[i].second)};
        for (int j = 0; j < 2; j++) warm(&judge, tokens[j]);
        expect_both(&judge, tokens);

        judge_renew_keys(&judge, MINT_JWKS(mint_jwk(mint_key(rows[i].renewed), "same", NULL)));
        expect_anew(&judge, "the first", tokens[0], 401, "signature_invalid");
        free(tokens[0]);
        tokens[0] = mint_of(0, rows[i].renewed);
        warm(&judge, tokens[0]);
        expect_both(&judge, tokens);

        char *crossed = mint_of(1, MINT_RSA_4096);
        expect_anew(&judge, "neither's key", crossed, 401, "signature_invalid");
        free(crossed);
        for (int j = 0; j < 2; j++) free(tokens[j]);
        judge_done(&judge);
    }
}

/* --- reloads --------------------------------------------------------------------------------- */

TEST(after_a_reload_every_token_is_judged_anew) {
    static const struct {
        const char *options;
        unsigned status;
        const char *reason;
    } rows[] = {
        {"audiences: [other]", 401, "audience_mismatch"},
        {"algorithms: [ES256]", 401, "algorithm_not_allowed"},
        {"max_lifetime: 60s, leeway: 0s", 401, "lifetime_too_long"},
        {"user_claims: [nickname]", 401, "user_missing"},
        {"scopes: [base]", 403, "scope_missing"},
        {"", 200, ""},
    };
    char *token = judge_mint(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct judge judge;
        open_with(&judge, "", jwks_rsa("r"));
        warm(&judge, token);
        judge_reload(&judge, rows[i].options);
        expect_anew(&judge, rows[i].options, token, rows[i].status, rows[i].reason);
        judge_reload(&judge, "");
        expect_anew(&judge, "back", token, 200, "");
        warm(&judge, token);
        judge_done(&judge);
    }
    free(token);
}

/* What is told of the principal is what the new configuration says of it. */
TEST(after_a_reload_a_token_may_name_another_user) {
    struct judge judge;
    open_with(&judge, "user_claims: [email]", jwks_rsa("r"));
    char *token = judge_mint(NULL, NULL);
    warm(&judge, token);
    ck_assert_str_eq(judge_token(&judge, strdup(token)).user, "alice@example.com");
    judge_reload(&judge, "user_claims: [sub]");
    ck_assert_str_eq(judge_token(&judge, strdup(token)).user, "alice");
    ck_assert_str_eq(judge_token(&judge, strdup(token)).user, "alice");
    free(token);
    judge_done(&judge);
}

/* --- workers --------------------------------------------------------------------------------- */

struct work {
    pthread_t thread;
    struct judge judge; /* a copy with a cache and a verifier of its own */
    struct keyring *rings[2];
    const char *token;
    unsigned let_through;
};

static void *run_work(void *argument) {
    struct work *work = argument;
    for (size_t i = 0; i < 500; i++) {
        work->judge.ring = work->rings[i / 5 % 2];
        work->let_through += judge_token(&work->judge, strdup(work->token)).status == 200;
    }
    return NULL;
}

/* For the thread sanitizer: what they hold of the keys and the configuration is counted safely. */
TEST(workers_share_keys_but_no_cache) {
    struct judge judge;
    judge_open(&judge, "", jwks_rsa("r"));
    struct keyring *old = keyring_ref(judge.ring);
    judge_renew_keys(&judge, jwks_rsa("r"));
    char *token = judge_mint(NULL, NULL);
    struct work works[3];
    for (size_t i = 0; i < ARRAY_LEN(works); i++) {
        works[i] = (struct work){.judge = judge, .rings = {old, judge.ring}, .token = token};
        works[i].judge.cache = token_cache_new(4);
        works[i].judge.verifier = verifier_new();
        ck_assert_int_eq(pthread_create(&works[i].thread, NULL, run_work, &works[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(works); i++) {
        pthread_join(works[i].thread, NULL);
        ck_assert_uint_eq(works[i].let_through, 500);
        ck_assert_uint_eq(count(&works[i].judge).misses, 1);
        token_cache_free(works[i].judge.cache);
        verifier_free(works[i].judge.verifier);
    }
    free(token);
    keyring_unref(old);
    judge_done(&judge);
}
