/*
 * cache: tokens that were verified and whom they proved, so that a token costs its signature, JSON
 * and base64 once and not for every request. Each worker has its own: no lock, no atomics.
 *
 * Only verified tokens get in, so nothing that strangers make up can push others out; refusals and
 * decisions are not kept, but for the one that a token has expired. A token is found by all of its
 * bytes, and answered from here only where the full judgement would come to the same: same
 * configuration, times that hold now, keys of its issuer that may serve and lead to the very key
 * that verified it, and no deny list that has it. Otherwise the entry ends and the caller judges
 * anew, which gives the precise refusal.
 */
#ifndef SERVER_TOKEN_CACHE_H
#define SERVER_TOKEN_CACHE_H

#include "server/token/claims.h"
#include "server/token/evidence.h"
#include "server/token/principal.h"
#include "server/token/signer.h"

/*
 * A cache takes no more bytes than this for each entry it may have, and keeps fewer where they are
 * large: a token of 600 bytes takes 2.5 KiB with its principal, one of 1300 bytes that lists many
 * claims takes 7 KiB.
 */
#define TOKEN_CACHE_ENTRY_BYTES 4096

/* More entries are never kept. */
#define TOKEN_CACHE_ENTRIES_MAX ((size_t)1 << 24)

struct token_cache;

/*
 * A cache for this many entries, those of one worker. NULL where there are to be none, or where
 * memory or randomness is lacking: every function here takes NULL for a cache that is always empty.
 */
struct token_cache *token_cache_new(size_t entries);

/* Forget all. Principals that are still referred to live on. NULL is fine. */
void token_cache_free(struct token_cache *cache);
CLEANUP_DEFINE(struct token_cache *, token_cache_free)

/*
 * Who the token proves by evidence's clocks and deny list and the keys and configuration of ring,
 * with a reference for the caller; NULL where it has to be judged. Allocates nothing.
 */
struct principal *token_cache_find(struct token_cache *cache, struct span token,
                                   const struct evidence *evidence, const struct keyring *ring);

/*
 * For authenticate.c alone, which has verified it: keep the token (copied) and the principal (of
 * which a reference is taken) as long as they hold. What was used least recently goes where there
 * is no room. Without memory, or if it is too large for the whole cache, nothing is kept.
 */
void token_cache_add(struct token_cache *cache, struct span token, struct principal *principal,
                     const struct validity *validity, const struct signature_facts *facts,
                     const struct evidence *evidence);

/* Tokens that had expired by the time they came, kept in a cache of their own. */
#define TOKEN_CACHE_EXPIRED 1024

/*
 * The same for a token that was verified and has expired: a client that goes on sending it costs
 * no more signatures. Kept apart from tokens that hold, so that none of those has to go for it.
 */
void token_cache_add_expired(struct token_cache *cache, struct span token,
                             const struct validity *validity, const struct signature_facts *facts,
                             const struct evidence *evidence);

/*
 * Is that a token added by token_cache_add_expired() whose signature the keys of ring would still
 * verify, and is it still expired? Then the first fault in it is just that: *ret_exp is its exp
 * claim and *ret_issuer its issuer, who lives as long as ring. Allocates nothing.
 */
bool token_cache_find_expired(struct token_cache *cache, struct span token,
                              const struct evidence *evidence, const struct keyring *ring,
                              int64_t *ret_exp, const struct config_issuer **ret_issuer);

/* Since the cache was made, and at this moment. */
struct token_cache_counters {
    uint64_t hits;
    uint64_t misses;    /* not there, or there but held no longer */
    uint64_t evictions; /* entries that went to make room */
    size_t entries;
    size_t bytes; /* tokens and principals, about */
};

/* The worker that owns it: read the counters; all 0 for NULL. */
struct token_cache_counters token_cache_count(const struct token_cache *cache);

#endif
