/*
 * keyring: the keys of every configured issuer at one moment. Immutable once published, shared by
 * reference count; it holds the configuration it was made for, so both always fit together.
 */
#ifndef SERVER_KEYS_KEYRING_H
#define SERVER_KEYS_KEYRING_H

#include "common/ref.h"
#include "server/config/config.h"
#include "server/keys/issuer_index.h"
#include "server/keys/keyset.h"
#include "server/keys/pulse.h"

struct keyring_entry {
    const struct config_issuer *issuer; /* in ring->config */
    struct keyset *keys;                /* NULL while none were ever fetched */
    int64_t stale_at_ms;                /* monotonic; from then on the keys must not serve */
    struct pulse *pulse;
};

struct keyring {
    struct ref ref;
    struct config *config;
    struct issuer_index *index;    /* shared by all rings of config */
    struct keyring_entry *entries; /* in the order of config->issuers */
    size_t count;
};

/* A ring without keys for the issuers of config, of which it takes a reference. NULL: no memory. */
struct keyring *keyring_new(struct config *config);

/* The same for the configuration of ring, whose index it shares: what a refresh makes. */
struct keyring *keyring_renew(const struct keyring *ring);

/*
 * Fill entry index, before the ring is published: takes references to keys (may be NULL) and pulse.
 */
void keyring_set(struct keyring *ring, size_t index, struct keyset *keys, int64_t stale_at_ms,
                 struct pulse *pulse);

/* Any thread: take one more reference; drop one, the last frees (NULL is fine). */
struct keyring *keyring_ref(struct keyring *ring);
void keyring_unref(struct keyring *ring);
CLEANUP_DEFINE(struct keyring *, keyring_unref)

/*
 * The entry of the issuer that equals iss to the letter, or NULL; at the same cost for one issuer
 * as for thousands. Keys of one issuer never verify tokens of another, whatever their kid.
 */
const struct keyring_entry *keyring_find(const struct keyring *ring, struct span iss);

#endif
