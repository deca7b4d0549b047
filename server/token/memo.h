/*
 * memo: a few things that were worked out once and hold for a while, each under a key. One thread.
 */
#ifndef SERVER_TOKEN_MEMO_H
#define SERVER_TOKEN_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

/* More than these are not kept: the oldest goes. Enough for the assertions that eight upstreams
 * want, the answers that hold them, and all answers of our own: what is signed must not go for want
 * of a place, only to be signed anew for the next request. */
#define MEMOS_MAX 24

/* Frees a thing. */
typedef void memo_free(void *thing);

/*
 * A thing is kept under an address of whoever made it. What frees it belongs to the key: it tells
 * what kind of thing it is, so that nobody gets another kind than he asks for.
 */
struct memo {
    const void *key;
    memo_free *free;
    void *thing;
    size_t size;   /* about how many bytes of memory it takes */
    int64_t until; /* wall clock, seconds; from then on it does not hold */
};

/* For until: it holds as long as it is kept. */
#define MEMO_HOLDS INT64_MAX

struct memos {
    struct memo *items; /* the oldest first */
    size_t count;
};

/* The thing under key that is freed so, where it holds at now; else NULL. It lives until memos are
 * changed. */
void *memos_find(const struct memos *memos, const void *key, memo_free *free, int64_t now);

/*
 * Keep memo, whose thing becomes theirs; what stood under the same key and is freed alike goes.
 * False without memory: then the thing is still the caller's and nothing has changed.
 */
bool memos_keep(struct memos *memos, const struct memo *memo) MUST_CHECK;

/* About how many bytes of memory they take. */
size_t memos_size(const struct memos *memos);

/* Free them all; leaves it empty. */
void memos_done(struct memos *memos);

#endif
