#include "server/keys/keyring.h"

#include <stdlib.h>

/* Takes over the reference to index, which may be NULL for want of memory. */
static struct keyring *make(struct config *config, struct issuer_index *index) {
    struct keyring *ring = calloc(1, sizeof *ring);
    if (!ring) {
        issuer_index_unref(index);
        return NULL;
    }
    ref_init(&ring->ref);
    ring->config = config_ref(config);
    ring->index = index;
    ring->entries = calloc(config->issuer_count, sizeof *ring->entries);
    if (!ring->entries || !index) {
        keyring_unref(ring);
        return NULL;
    }
    ring->count = config->issuer_count;
    for (size_t i = 0; i < ring->count; i++) ring->entries[i].issuer = &config->issuers[i];
    return ring;
}

struct keyring *keyring_new(struct config *config) {
    return make(config, issuer_index_new(config));
}

struct keyring *keyring_renew(const struct keyring *ring) {
    return make(ring->config, issuer_index_ref(ring->index));
}

void keyring_set(struct keyring *ring, size_t index, struct keyset *keys, int64_t stale_at_ms,
                 struct pulse *pulse) {
    struct keyring_entry *entry = &ring->entries[index];
    entry->keys = keys ? keyset_ref(keys) : NULL;
    entry->stale_at_ms = stale_at_ms;
    entry->pulse = pulse_ref(pulse);
}

struct keyring *keyring_ref(struct keyring *ring) {
    ref_take(&ring->ref);
    return ring;
}

void keyring_unref(struct keyring *ring) {
    if (!ring || !ref_drop(&ring->ref)) return;
    for (size_t i = 0; i < ring->count; i++) {
        keyset_unref(ring->entries[i].keys);
        pulse_unref(ring->entries[i].pulse);
    }
    free(ring->entries);
    issuer_index_unref(ring->index);
    config_unref(ring->config);
    free(ring);
}

const struct keyring_entry *keyring_find(const struct keyring *ring, struct span iss) {
    size_t place = issuer_index_find(ring->index, iss);
    return place == ISSUER_NONE ? NULL : &ring->entries[place];
}
