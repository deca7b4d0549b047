#include "server/token/memo.h"

#include <stdlib.h>
#include <string.h>

#include "common/secret.h"

static size_t find(const struct memos *memos, const void *key) {
    size_t i = 0;
    while (i < memos->count && memos->items[i].key != key) i++;
    return i;
}

static void drop(struct memos *memos, size_t index) {
    struct memo *items = memos->items;
    secret_wipe(items[index].text, strlen(items[index].text));
    free(items[index].text);
    memos->count--;
    memmove(&items[index], &items[index + 1], (memos->count - index) * sizeof *items);
}

const char *memos_find(const struct memos *memos, const void *key, int64_t now) {
    size_t i = find(memos, key);
    return i < memos->count && now < memos->items[i].until ? memos->items[i].text : NULL;
}

bool memos_keep(struct memos *memos, const void *key, char *text, int64_t until) {
    size_t same = find(memos, key);
    bool replaces = same < memos->count;

    if (!replaces && memos->count < MEMOS_MAX) {
        struct memo *items = realloc(memos->items, (memos->count + 1) * sizeof *items);
        if (!items) return false;
        memos->items = items;
    } else {
        drop(memos, replaces ? same : 0);
    }
    memos->items[memos->count++] = (struct memo){key, text, until};
    return true;
}

size_t memos_size(const struct memos *memos) {
    size_t size = memos->count * sizeof *memos->items;
    for (size_t i = 0; i < memos->count; i++) size += strlen(memos->items[i].text) + 1;
    return size;
}

void memos_done(struct memos *memos) {
    while (memos->count) drop(memos, memos->count - 1);
    free(memos->items);
    *memos = (struct memos){0};
}
