#include "server/metrics/recent.h"

#include <stdbool.h>
#include <string.h>

void recent_init(struct recent *recent) {
    memset(recent, 0, sizeof *recent);
    pthread_mutex_init(&recent->lock, NULL);
}

void recent_done(struct recent *recent) {
    pthread_mutex_destroy(&recent->lock);
}

static bool is_inner(char c) {
    return ((unsigned char)c & 0xc0) == 0x80;
}

void recent_copy(char *into, size_t size, struct span text) {
    size_t len = text.len < size ? text.len : size - 1;

    /* Not within a character of UTF-8, which goes on for three bytes at most; more are none. */
    for (int i = 0; i < 3 && len > 0 && len < text.len && is_inner(text.ptr[len]); i++) len--;
    if (len) memcpy(into, text.ptr, len);
    into[len] = '\0';
}

void recent_add(struct recent *recent, const struct recent_refusal *refusal) {
    pthread_mutex_lock(&recent->lock);
    recent->items[recent->next] = *refusal;
    recent->next = (recent->next + 1) % RECENT_MAX;
    if (recent->count < RECENT_MAX) recent->count++;
    pthread_mutex_unlock(&recent->lock);
}

/* Where it belongs among those that are there, the newest first. */
static void insert(const struct recent_refusal *refusal, struct recent_refusal ret[RECENT_MAX],
                   size_t *count) {
    size_t at = 0;
    while (at < *count && ret[at].order > refusal->order) at++;
    if (at == RECENT_MAX) return;
    if (*count < RECENT_MAX) (*count)++;
    memmove(&ret[at + 1], &ret[at], (*count - at - 1) * sizeof *ret);
    ret[at] = *refusal;
}

void recent_collect(struct recent *recent, struct recent_refusal ret[RECENT_MAX], size_t *count) {
    pthread_mutex_lock(&recent->lock);
    size_t oldest = (recent->next + RECENT_MAX - recent->count) % RECENT_MAX;
    for (size_t i = 0; i < recent->count; i++)
        insert(&recent->items[(oldest + i) % RECENT_MAX], ret, count);
    pthread_mutex_unlock(&recent->lock);
}
