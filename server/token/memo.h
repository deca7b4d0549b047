/*
 * memo: a few texts that were worked out once and hold for a while, each under a key. One thread.
 */
#ifndef SERVER_TOKEN_MEMO_H
#define SERVER_TOKEN_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

/* More than these are not kept: the oldest goes. */
#define MEMOS_MAX 8

struct memo {
    const void *key;
    char *text;
    int64_t until; /* wall clock, seconds; from then on it does not hold */
};

struct memos {
    struct memo *items; /* the oldest first */
    size_t count;
};

/* The text under key, where it holds at now; else NULL. It lives until memos are changed. */
const char *memos_find(const struct memos *memos, const void *key, int64_t now);

/*
 * Keep text, which becomes theirs, under key, until that moment; what stood under the key before is
 * freed. False without memory: then text is still the caller's and nothing has changed.
 */
bool memos_keep(struct memos *memos, const void *key, char *text, int64_t until) MUST_CHECK;

/* About how many bytes of memory they take. */
size_t memos_size(const struct memos *memos);

/* Free them all; leaves it empty. */
void memos_done(struct memos *memos);

#endif
