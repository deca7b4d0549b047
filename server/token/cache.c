#include "server/token/cache.h"

#include <stdlib.h>
#include <sys/random.h>

#include "common/secret.h"
#include "server/token/deny.h"
#include "server/token/principal_make.h"
#include "server/token/siphash.h"

/* At each addition so many of the oldest entries are looked at, and go if they hold no longer: what
 * expired, or outlived a reload, leaves little by little and never stops the worker. */
#define SWEEP 4
/* More than the base64url of the shortest signature, 32 bytes. */
#define HASHED_TAIL 64

struct entry {
    struct entry *next; /* in the same bucket */
    struct entry *newer;
    struct entry *older;
    uint64_t hash;
    struct principal *principal; /* NULL: the token had expired */
    struct signer *signer;
    struct validity validity;
    uint64_t passed_generation; /* of the newest deny list that has nothing about it; 0 = none */
    size_t token_len;
    char token[];
};

struct token_cache {
    struct siphash_key key;
    struct entry **buckets;
    size_t mask; /* buckets, a power of two, less 1 */
    struct entry *newest;
    struct entry *oldest;
    struct signer *signers;
    size_t entries_max;
    size_t bytes_max;
    struct token_cache_counters counters;
};

struct token_cache *token_cache_new(size_t entries) {
    if (entries == 0) return NULL;
    if (entries > TOKEN_CACHE_ENTRIES_MAX) entries = TOKEN_CACHE_ENTRIES_MAX;
    size_t buckets = 1;
    while (buckets < entries) buckets *= 2;

    CLEANUP(token_cache_freep) struct token_cache *cache = calloc(1, sizeof *cache);
    if (!cache) return NULL;
    cache->mask = buckets - 1;
    cache->entries_max = entries;
    cache->bytes_max = entries * TOKEN_CACHE_ENTRY_BYTES;
    cache->buckets = calloc(buckets, sizeof *cache->buckets);
    /* Whoever can have tokens issued could otherwise fill one bucket with them. */
    ssize_t got = getrandom(&cache->key, sizeof cache->key, 0);
    if (!cache->buckets || got != sizeof cache->key) return NULL;
    return TAKE_PTR(cache);
}

/* --- in order of use ----------------------------------------------------------------------- */

static void put_first(struct token_cache *cache, struct entry *entry) {
    entry->newer = NULL;
    entry->older = cache->newest;
    if (cache->newest)
        cache->newest->newer = entry;
    else
        cache->oldest = entry;
    cache->newest = entry;
}

static void take_out(struct token_cache *cache, struct entry *entry) {
    if (entry->newer)
        entry->newer->older = entry->older;
    else
        cache->newest = entry->older;
    if (entry->older)
        entry->older->newer = entry->newer;
    else
        cache->oldest = entry->newer;
}

/* --- entries ------------------------------------------------------------------------------- */

static size_t entry_size(size_t token_len) {
    return sizeof(struct entry) + token_len;
}

/*
 * Of the last bytes only: there is the signature, in which verified tokens differ if they differ at
 * all. Without the key of an issuer nobody makes several that end alike.
 */
static uint64_t hash_of(const struct token_cache *cache, struct span token) {
    return siphash_1_3(&cache->key,
                       span_from(token, token.len > HASHED_TAIL ? token.len - HASHED_TAIL : 0));
}

static struct entry **bucket_of(struct token_cache *cache, uint64_t hash) {
    return &cache->buckets[hash & cache->mask];
}

/*
 * All bytes of the token are compared, so that no collision can lend somebody another's name. How
 * long that takes tells nothing: nobody gets so far who does not have the signature already.
 */
static struct entry *find(struct token_cache *cache, struct span token, uint64_t hash) {
    struct entry *entry = *bucket_of(cache, hash);
    while (entry && !(entry->hash == hash && entry->token_len == token.len &&
                      memcmp(entry->token, token.ptr, token.len) == 0))
        entry = entry->next;
    return entry;
}

static void insert(struct token_cache *cache, struct entry *entry) {
    struct entry **bucket = bucket_of(cache, entry->hash);
    entry->next = *bucket;
    *bucket = entry;
    put_first(cache, entry);
    if (entry->principal) principal_charge(entry->principal, &cache->counters.bytes);
    cache->counters.bytes += entry_size(entry->token_len);
    cache->counters.entries++;
}

static void remove_entry(struct token_cache *cache, struct entry *entry) {
    struct entry **link = bucket_of(cache, entry->hash);
    while (*link != entry) link = &(*link)->next;
    *link = entry->next;
    take_out(cache, entry);
    if (entry->principal) principal_charge(entry->principal, NULL);
    cache->counters.bytes -= entry_size(entry->token_len);
    cache->counters.entries--;

    principal_unref(entry->principal);
    signer_drop(&cache->signers, entry->signer);
    secret_wipe(entry->token, entry->token_len);
    free(entry);
}

void token_cache_free(struct token_cache *cache) {
    if (!cache) return;
    while (cache->oldest) remove_entry(cache, cache->oldest);
    free(cache->buckets);
    secret_wipe(&cache->key, sizeof cache->key);
    free(cache);
}

/*
 * Each deny list is asked once about a token that is not on it. One that has an entry about the
 * token is asked each time: whether that counts depends on the clock, which may be set back.
 */
static bool passes(struct entry *entry, const struct evidence *evidence) {
    if (entry->passed_generation == evidence->denied_generation) return true;
    enum denied denied = deny_list_judge_principal(evidence->denied, entry->principal,
                                                   signer_kid(entry->signer), evidence->now);
    if (denied == DENIED_NOT) entry->passed_generation = evidence->denied_generation;
    return denied != DENIED;
}

static bool stands(struct entry *entry, const struct evidence *evidence,
                   const struct keyring *ring) {
    if (!signer_stands(entry->signer, ring, evidence->now_ms)) return false;
    if (!entry->principal) return evidence->now >= entry->validity.until;
    return validity_holds(&entry->validity, evidence->now) && passes(entry, evidence);
}

/* --- room ---------------------------------------------------------------------------------- */

static void sweep(struct token_cache *cache, const struct evidence *evidence,
                  const struct keyring *ring) {
    for (int i = 0; i < SWEEP && cache->oldest && !stands(cache->oldest, evidence, ring); i++)
        remove_entry(cache, cache->oldest);
}

/* The newest stays, whatever was remembered with its principal meanwhile. */
static void make_room(struct token_cache *cache) {
    while (cache->oldest != cache->newest && (cache->counters.entries > cache->entries_max ||
                                              cache->counters.bytes > cache->bytes_max)) {
        remove_entry(cache, cache->oldest);
        cache->counters.evictions++;
    }
}

/* --- for authenticate() -------------------------------------------------------------------- */

static struct entry *find_standing(struct token_cache *cache, struct span token,
                                   const struct evidence *evidence, const struct keyring *ring) {
    struct entry *entry = find(cache, token, hash_of(cache, token));
    if (entry && !stands(entry, evidence, ring)) {
        remove_entry(cache, entry);
        entry = NULL;
    }
    if (!entry) {
        cache->counters.misses++;
        return NULL;
    }
    cache->counters.hits++;
    take_out(cache, entry);
    put_first(cache, entry);
    return entry;
}

struct principal *token_cache_find(struct token_cache *cache, struct span token,
                                   const struct evidence *evidence, const struct keyring *ring) {
    struct entry *entry = cache ? find_standing(cache, token, evidence, ring) : NULL;
    if (!entry) return NULL;
    make_room(cache);
    return principal_ref(entry->principal);
}

bool token_cache_find_expired(struct token_cache *cache, struct span token,
                              const struct evidence *evidence, const struct keyring *ring,
                              int64_t *ret_exp, const struct config_issuer **ret_issuer) {
    const struct entry *entry = cache ? find_standing(cache, token, evidence, ring) : NULL;
    if (!entry) return false;
    *ret_exp = entry->validity.expires;
    *ret_issuer = signer_issuer(entry->signer);
    return true;
}

/* principal: NULL for a token that has expired. */
static void keep(struct token_cache *cache, struct span token, struct principal *principal,
                 const struct validity *validity, const struct signature_facts *facts,
                 const struct evidence *evidence) {
    sweep(cache, evidence, facts->ring);
    uint64_t hash = hash_of(cache, token);
    struct entry *old = find(cache, token, hash);
    if (old) remove_entry(cache, old);
    size_t size = entry_size(token.len) + (principal ? principal_size(principal) : 0);
    if (size > cache->bytes_max) return;

    struct entry *entry = malloc(entry_size(token.len));
    struct signer *signer = entry ? signer_get(&cache->signers, facts) : NULL;
    if (!signer) {
        free(entry);
        return;
    }
    *entry = (struct entry){.hash = hash,
                            .principal = principal ? principal_ref(principal) : NULL,
                            .signer = signer,
                            .validity = *validity,
                            .token_len = token.len};
    memcpy(entry->token, token.ptr, token.len);
    insert(cache, entry);
    make_room(cache);
}

void token_cache_add(struct token_cache *cache, struct span token, struct principal *principal,
                     const struct validity *validity, const struct signature_facts *facts,
                     const struct evidence *evidence) {
    if (cache) keep(cache, token, principal, validity, facts, evidence);
}

void token_cache_add_expired(struct token_cache *cache, struct span token,
                             const struct validity *validity, const struct signature_facts *facts,
                             const struct evidence *evidence) {
    if (cache) keep(cache, token, NULL, validity, facts, evidence);
}

struct token_cache_counters token_cache_count(const struct token_cache *cache) {
    return cache ? cache->counters : (struct token_cache_counters){0};
}
