#include "server/token/memo.h"

#include <stdlib.h>
#include <string.h>

static size_t find(const struct memos *memos, const void *key, memo_free *free) {
    size_t i = 0;
    while (i < memos->count && (memos->items[i].key != key || memos->items[i].free != free)) i++;
    return i;
}

static void drop(struct memos *memos, size_t index) {
    struct memo *items = memos->items;
    items[index].free(items[index].thing);
    memos->count--;
    memmove(&items[index], &items[index + 1], (memos->count - index) * sizeof *items);
}

void *memos_find(const struct memos *memos, const void *key, memo_free *free, int64_t now) {
    size_t i = find(memos, key, free);
    return i < memos->count && now < memos->items[i].until ? memos->items[i].thing : NULL;
}

bool memos_keep(struct memos *memos, const struct memo *memo) {
    size_t same = find(memos, memo->key, memo->free);
    bool replaces = same < memos->count;

    if (!replaces && memos->count < MEMOS_MAX) {
        struct memo *items = realloc(memos->items, (memos->count + 1) * sizeof *items);
        if (!items) return false;
        memos->items = items;
    } else {
        drop(memos, replaces ? same : 0);
    }
    memos->items[memos->count++] = *memo;
    return true;
}

size_t memos_size(const struct memos *memos) {
    size_t size = memos->count * sizeof *memos->items;
    for (size_t i = 0; i < memos->count; i++) size += memos->items[i].size;
    return size;
}

void memos_done(struct memos *memos) {
    while (memos->count) drop(memos, memos->count - 1);
    free(memos->items);
    *memos = (struct memos){0};
}
