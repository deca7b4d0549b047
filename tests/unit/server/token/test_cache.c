/*
 * The unit under test is compiled into this file, under names of its own and with a hash that can
 * be made to collide. What the cache means for judging is tested in test_authenticate_cached.c.
 */
#define token_cache_new tested_cache_new
#define token_cache_free tested_cache_free
#define token_cache_freep tested_cache_freep
#define token_cache_find tested_cache_find
#define token_cache_add tested_cache_add
#define token_cache_count tested_cache_count
#define token_cache_add_expired tested_cache_add_expired
#define token_cache_find_expired tested_cache_find_expired
#define siphash_1_3 chosen_hash

#include "server/token/cache.c"

#undef siphash_1_3
uint64_t siphash_1_3(const struct siphash_key *key, struct span bytes);

#include "tests/support/claims.h"
#include "tests/unit/server/token/judge.h"

/* --- hashes ---------------------------------------------------------------------------------- */

static enum { HASH_REAL, HASH_ONE_BUCKET, HASH_ALL_EQUAL } hash_kind;

uint64_t chosen_hash(const struct siphash_key *key, struct span bytes) {
    uint64_t real = siphash_1_3(key, bytes);
    if (hash_kind == HASH_ALL_EQUAL) return 7;
    return hash_kind == HASH_ONE_BUCKET ? real << 32 : real;
}

/* --- a cache and a ring of keys -------------------------------------------------------------- */

struct scene {
    struct judge judge; /* whose own cache is not used */
    struct token_cache *cache;
};

static void scene_open(struct scene *scene, size_t entries) {
    judge_open_usual(&scene->judge);
    scene->cache = token_cache_new(entries);
    ck_assert_ptr_nonnull(scene->cache);
}

static void scene_done(struct scene *scene) {
    token_cache_free(scene->cache);
    judge_done(&scene->judge);
}

static struct evidence evidence_of(const struct scene *scene) {
    return (struct evidence){.now = scene->judge.now, .now_ms = scene->judge.now_ms};
}

static struct principal *make_principal(const struct scene *scene, const char *user) {
    struct principal *principal = NULL;
    struct refusal refusal;
    struct jtree *claims = claims_of(json_pack("{s:s}", "sub", user));
    ck_assert(principal_make(claims, &scene->judge.config->issuers[0], JUDGE_NOW + 300, &principal,
                             &refusal));
    jtree_unref(claims);
    return principal;
}

static const struct validity hour = {.from = JUDGE_NOW - 3600, .until = JUDGE_NOW + 3600};

/* Verified by the key of that kid: its user is "user of " and the token. */
static void add_verified(struct scene *scene, const char *token, const char *kid,
                         struct validity validity) {
    struct evidence evidence = evidence_of(scene);
    const struct keyring *ring = scene->judge.ring;
    struct signature_facts facts = {ring, &ring->entries[0], NULL, true,
                                    *kid == 'r' ? ALG_RS256 : ALG_ES256};
    ck_assert_int_eq(keyset_find(ring->entries[0].keys, span_of(kid), facts.algorithm, &facts.key),
                     KEY_FOUND);

    char *user = scratch_text("user of %.40s", token);
    struct principal *principal = make_principal(scene, user);
    token_cache_add(scene->cache, span_of(token), principal, &validity, &facts, &evidence);
    principal_unref(principal);
    free(user);
}

static void add(struct scene *scene, const char *token) {
    add_verified(scene, token, "r", hour);
}

static struct principal *find_principal(struct scene *scene, const char *token) {
    struct evidence evidence = evidence_of(scene);
    return token_cache_find(scene->cache, span_of(token), &evidence, scene->judge.ring);
}

static bool has(struct scene *scene, const char *token) {
    struct principal *principal = find_principal(scene, token);
    if (!principal) return false;
    char *user = scratch_text("user of %.40s", token);
    ck_assert_msg(span_equal_text(principal_user(principal), user), "%s is %.*s", token,
                  SPAN_PRINTF(principal_user(principal)));
    free(user);
    principal_unref(principal);
    return true;
}

/* A text of that many bytes, ended by the number. The caller frees it. */
static char *numbered(size_t len, size_t number) {
    return scratch_text("%0*zu", (int)len, number);
}

static void add_numbered(struct scene *scene, size_t len, size_t number) {
    char *token = numbered(len, number);
    add(scene, token);
    free(token);
}

static bool has_numbered(struct scene *scene, size_t len, size_t number) {
    char *token = numbered(len, number);
    bool found = has(scene, token);
    free(token);
    return found;
}

/* --- finding --------------------------------------------------------------------------------- */

TEST(a_token_is_found_by_all_of_its_bytes) {
    static const char *const others[] = {"aaa.bbb.ccd",
                                         "aaa.bbb.cc",
                                         "aaa.bbb.cccc",
                                         "Aaa.bbb.ccc",
                                         "baa.bbb.ccc",
                                         "aaa.bbb",
                                         "",
                                         "x"};
    for (hash_kind = HASH_REAL; hash_kind <= HASH_ALL_EQUAL; hash_kind++) {
        struct scene scene;
        scene_open(&scene, 16);
        ck_assert(!has(&scene, "aaa.bbb.ccc"));
        add(&scene, "aaa.bbb.ccc");
        for (size_t i = 0; i < ARRAY_LEN(others); i++)
            ck_assert_msg(!has(&scene, others[i]), "%s", others[i]);
        ck_assert(has(&scene, "aaa.bbb.ccc"));
        scene_done(&scene);
    }
}

/* Of long ones only the end is hashed. */
TEST(tokens_that_end_alike_stay_apart) {
    static const char end[] = "0123456789012345678901234567890123456789012345678901234567890123";
    struct scene scene;
    scene_open(&scene, 16);
    char *one = scratch_text("a.b.%s", end), *two = scratch_text("A.b.%s", end);
    add(&scene, one);
    ck_assert(has(&scene, one));
    ck_assert(!has(&scene, two));
    ck_assert(!has(&scene, end));
    add(&scene, two);
    add(&scene, end);
    ck_assert(has(&scene, one));
    ck_assert(has(&scene, two));
    ck_assert(has(&scene, end));
    free(one), free(two);
    scene_done(&scene);
}

/* has() tells whether each token brings its own user. */
TEST(colliding_tokens_stay_apart) {
    enum { COUNT = 64 };
    for (hash_kind = HASH_REAL; hash_kind <= HASH_ALL_EQUAL; hash_kind++) {
        struct scene scene;
        scene_open(&scene, COUNT);
        for (size_t i = 0; i < COUNT; i++) add_numbered(&scene, 40, i);
        for (size_t i = 0; i < COUNT; i++) ck_assert(has_numbered(&scene, 40, i));
        ck_assert_uint_eq(token_cache_count(scene.cache).entries, COUNT);

        /* Some go from the middle of the chains, first and last of them too. */
        for (size_t i = 0; i < COUNT; i += 3) ck_assert(has_numbered(&scene, 40, i));
        for (size_t i = 0; i < COUNT - 22; i++) add_numbered(&scene, 41, i);
        for (size_t i = 0; i < COUNT; i++)
            ck_assert_msg(has_numbered(&scene, 40, i) == (i % 3 == 0), "%zu", i);
        scene_done(&scene);
    }
}

TEST(two_caches_do_not_hash_alike) {
    struct scene one, two;
    scene_open(&one, 1);
    scene_open(&two, 1);
    ck_assert_mem_ne(&one.cache->key, &two.cache->key, sizeof one.cache->key);
    scene_done(&one);
    scene_done(&two);
}

TEST(a_token_that_is_added_again_is_there_once) {
    struct scene scene;
    scene_open(&scene, 4);
    add(&scene, "token");
    struct token_cache_counters once = token_cache_count(scene.cache);
    add(&scene, "token");
    struct token_cache_counters twice = token_cache_count(scene.cache);
    ck_assert_uint_eq(twice.entries, 1);
    ck_assert_uint_eq(twice.bytes, once.bytes);
    ck_assert(has(&scene, "token"));
    scene_done(&scene);
}

TEST(no_cache_is_a_cache_that_is_always_empty) {
    struct scene scene;
    judge_open_usual(&scene.judge);
    scene.cache = token_cache_new(0);
    ck_assert_ptr_null(scene.cache);
    add(&scene, "token");
    ck_assert(!has(&scene, "token"));
    struct token_cache_counters counters = token_cache_count(NULL);
    ck_assert_uint_eq(counters.hits + counters.misses + counters.evictions, 0);
    ck_assert_uint_eq(counters.entries + counters.bytes, 0);
    scene_done(&scene);
}

/* --- what ends an entry ---------------------------------------------------------------------- */

TEST(an_entry_holds_from_its_first_second_to_its_last) {
    static const struct {
        int64_t offset;
        bool found;
    } rows[] = {{-11, false}, {-10, true}, {0, true}, {19, true}, {20, false}, {3600, false}};
    static const struct validity validity = {.from = JUDGE_NOW - 10, .until = JUDGE_NOW + 20};
    struct scene scene;
    scene_open(&scene, 4);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        scene.judge.now = JUDGE_NOW;
        add_verified(&scene, "token", "r", validity);
        scene.judge.now = JUDGE_NOW + rows[i].offset;
        ck_assert_msg(has(&scene, "token") == rows[i].found, "row %zu", i);
        ck_assert_uint_eq(token_cache_count(scene.cache).entries, rows[i].found);
    }
    scene_done(&scene);
}

TEST(keys_that_come_again_are_looked_for_once_and_the_old_set_is_let_go) {
    struct scene scene;
    scene_open(&scene, 8);
    add_verified(&scene, "one", "r", hour);
    add_verified(&scene, "two", "r", hour);
    add_verified(&scene, "three", "e", hour);
    struct keyset *old = keyset_ref(scene.judge.ring->entries[0].keys);
    ck_assert_uint_eq(old->ref.count, 4); /* ours, the ring's, and one for each signer */

    judge_renew_keys(&scene.judge, MINT_JWKS(mint_jwk(mint_key(MINT_P256), "e", NULL),
                                             mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    ck_assert(has(&scene, "one") && has(&scene, "three") && has(&scene, "two"));
    ck_assert_uint_eq(old->ref.count, 1);
    ck_assert_uint_eq(scene.judge.ring->entries[0].keys->ref.count, 3);
    keyset_unref(old);
    ck_assert(has(&scene, "one") && has(&scene, "three") && has(&scene, "two"));
    scene_done(&scene);
}

TEST(a_withdrawn_key_ends_the_entries_of_that_key_alone) {
    struct scene scene;
    scene_open(&scene, 8);
    add_verified(&scene, "one", "r", hour);
    add_verified(&scene, "two", "r", hour);
    add_verified(&scene, "three", "e", hour);
    judge_renew_keys(&scene.judge, MINT_JWKS(mint_jwk(mint_key(MINT_P256), "e", NULL)));
    ck_assert(!has(&scene, "one") && has(&scene, "three"));

    /* It stays withdrawn for what was verified before, even when it comes back. */
    judge_renew_keys(&scene.judge, MINT_JWKS(mint_jwk(mint_key(MINT_P256), "e", NULL),
                                             mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    ck_assert(!has(&scene, "two") && has(&scene, "three"));
    add_verified(&scene, "one", "r", hour);
    ck_assert(has(&scene, "one"));
    scene_done(&scene);
}

TEST(the_configuration_of_an_entry_cannot_come_back_by_its_address) {
    struct scene scene;
    scene_open(&scene, 8);
    add(&scene, "token");
    struct config *old = config_ref(scene.judge.config);
    judge_reload(&scene.judge, "");
    ck_assert_uint_eq(old->ref.count, 2); /* ours and the signer's */
    ck_assert(!has(&scene, "token"));
    ck_assert_uint_eq(old->ref.count, 1);
    config_unref(old);
    scene_done(&scene);
}

TEST(entries_that_hold_no_longer_leave_little_by_little) {
    struct scene scene;
    scene_open(&scene, 64);
    for (size_t i = 0; i < 40; i++) add_numbered(&scene, 40, i);
    judge_reload(&scene.judge, "");
    for (size_t i = 0; i < 5; i++) add_numbered(&scene, 41, i);
    struct token_cache_counters counters = token_cache_count(scene.cache);
    ck_assert_uint_eq(counters.entries, 40 + 5 - 5 * SWEEP);
    for (size_t i = 5; i < 15; i++) add_numbered(&scene, 41, i);
    counters = token_cache_count(scene.cache);
    ck_assert_uint_eq(counters.entries, 15);
    ck_assert_uint_eq(counters.evictions, 0);
    for (size_t i = 0; i < 15; i++) ck_assert(has_numbered(&scene, 41, i));

    scene.judge.now = hour.until;
    add_verified(&scene, "last", "e", (struct validity){hour.until, hour.until + 9, 0});
    ck_assert_uint_eq(token_cache_count(scene.cache).entries, 15 - SWEEP + 1);
    scene_done(&scene);
}

/* --- bounds ---------------------------------------------------------------------------------- */

TEST(what_was_used_least_recently_goes_first) {
    struct scene scene;
    scene_open(&scene, 3);
    add(&scene, "a");
    add(&scene, "b");
    add(&scene, "c");
    ck_assert(has(&scene, "a")); /* used in the order b, c, a */
    add(&scene, "d");
    ck_assert(!has(&scene, "b"));
    ck_assert(has(&scene, "c")); /* a, d, c */
    add(&scene, "e");
    ck_assert(!has(&scene, "a"));
    ck_assert(has(&scene, "d") && has(&scene, "c") && has(&scene, "e"));
    ck_assert_uint_eq(token_cache_count(scene.cache).evictions, 2);
    scene_done(&scene);
}

TEST(bytes_are_bounded_as_entries_are) {
    enum { ENTRIES = 10, LEN = 8000 };
    struct scene scene;
    scene_open(&scene, ENTRIES);
    for (size_t i = 0; i < 3 * ENTRIES; i++) {
        add_numbered(&scene, LEN, i);
        struct token_cache_counters counters = token_cache_count(scene.cache);
        ck_assert_uint_le(counters.bytes, ENTRIES * TOKEN_CACHE_ENTRY_BYTES);
        ck_assert_uint_ge(counters.bytes, counters.entries * LEN);
    }
    struct token_cache_counters counters = token_cache_count(scene.cache);
    ck_assert_uint_eq(counters.entries, 4);
    ck_assert_uint_eq(counters.evictions, 3 * ENTRIES - 4);
    ck_assert(has_numbered(&scene, LEN, 3 * ENTRIES - 4));
    ck_assert(!has_numbered(&scene, LEN, 3 * ENTRIES - 5));
    scene_done(&scene);
}

TEST(what_is_larger_than_the_whole_cache_pushes_nothing_out) {
    struct scene scene;
    scene_open(&scene, 2);
    add(&scene, "small");
    add_numbered(&scene, 2 * TOKEN_CACHE_ENTRY_BYTES, 1);
    ck_assert(!has_numbered(&scene, 2 * TOKEN_CACHE_ENTRY_BYTES, 1));
    ck_assert(has(&scene, "small"));
    ck_assert_uint_eq(token_cache_count(scene.cache).entries, 1);
    scene_done(&scene);
}

static const char key;

static void remember(const struct principal *principal, char *text, int64_t until) {
    struct memo memo = {&key, free, text, strlen(text) + 1, until};
    ck_assert(principal_remember(principal, &memo));
}

TEST(what_is_remembered_with_a_principal_counts) {
    struct scene scene;
    scene_open(&scene, 4);
    add(&scene, "a");
    add(&scene, "b");
    size_t before = token_cache_count(scene.cache).bytes;

    struct principal *principal = find_principal(&scene, "b");
    remember(principal, numbered(1000, 1), JUDGE_NOW + 60);
    size_t with_text = token_cache_count(scene.cache).bytes;
    ck_assert_uint_ge(with_text, before + 1001);
    remember(principal, numbered(500, 1), JUDGE_NOW + 60);
    ck_assert_uint_eq(token_cache_count(scene.cache).bytes, with_text - 500);

    /* More than the cache may hold: the others make room, and the one in use stays. */
    remember(principal, numbered(20000, 1), JUDGE_NOW + 60);
    ck_assert(has(&scene, "b"));
    ck_assert(!has(&scene, "a"));
    ck_assert_uint_eq(token_cache_count(scene.cache).entries, 1);

    /* One that is no longer in the cache is not charged to it. */
    add(&scene, "c");
    ck_assert(!has(&scene, "b") && has(&scene, "c"));
    size_t after = token_cache_count(scene.cache).bytes;
    remember(principal, numbered(7, 1), JUDGE_NOW + 60);
    ck_assert_uint_eq(token_cache_count(scene.cache).bytes, after);
    principal_unref(principal);
    scene_done(&scene);
}

TEST(the_counters_tell_what_happened) {
    struct scene scene;
    scene_open(&scene, 2);
    has(&scene, "a");
    add(&scene, "a");
    has(&scene, "a");
    has(&scene, "a");
    add(&scene, "b");
    add(&scene, "c"); /* a goes */
    has(&scene, "a");
    has(&scene, "c");
    scene.judge.now += 3600; /* b and c end */
    has(&scene, "c");
    struct token_cache_counters counters = token_cache_count(scene.cache);
    ck_assert_uint_eq(counters.hits, 3);
    ck_assert_uint_eq(counters.misses, 3);
    ck_assert_uint_eq(counters.evictions, 1);
    ck_assert_uint_eq(counters.entries, 1);
    has(&scene, "b");
    counters = token_cache_count(scene.cache);
    ck_assert_uint_eq(counters.entries, 0);
    ck_assert_uint_eq(counters.bytes, 0);
    scene_done(&scene);
}

/* --- principals ------------------------------------------------------------------------------ */

TEST(a_principal_in_use_outlives_its_entry_and_the_cache) {
    struct scene scene;
    scene_open(&scene, 1);
    add(&scene, "a");
    struct principal *first = find_principal(&scene, "a"), *again = find_principal(&scene, "a");
    ck_assert_ptr_eq(first, again);
    remember(first, strdup("text"), JUDGE_NOW + 1);
    ck_assert_str_eq(principal_memo(again, &key, free, JUDGE_NOW), "text");
    ck_assert_ptr_null(principal_memo(again, &key, free, JUDGE_NOW + 1));

    add(&scene, "b"); /* a goes */
    principal_unref(again);
    ck_assert(span_equal_text(principal_user(first), "user of a"));
    struct principal *second = find_principal(&scene, "b");
    token_cache_free(scene.cache);
    scene.cache = NULL;
    ck_assert(span_equal_text(principal_user(second), "user of b"));
    ck_assert_str_eq(principal_memo(first, &key, free, JUDGE_NOW), "text");
    remember(second, strdup("other"), JUDGE_NOW + 1);
    principal_unref(first);
    principal_unref(second);
    scene_done(&scene);
}
