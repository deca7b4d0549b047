/*
 * signer: the key of an issuer that verified tokens which are cached, and whether it would verify
 * them still. All cached tokens of one key share one signer, so that a new set of keys is looked
 * through once and not for each token, and no more than the sets in use are kept alive. One thread.
 */
#ifndef SERVER_TOKEN_SIGNER_H
#define SERVER_TOKEN_SIGNER_H

#include "server/keys/keyring.h"
#include "server/token/evidence.h"

struct signer;

/* What verified a token. Borrowed. */
struct signature_facts {
    const struct keyring *ring;
    const struct keyring_entry *entry; /* of the issuer, in ring */
    const struct key *key;             /* in entry->keys */
    bool named;                        /* the token named the key by its kid */
    enum algorithm algorithm;
};

/*
 * The signer of list that these facts tell of, or a new one in it, with a reference for the caller.
 * NULL without memory.
 */
struct signer *signer_get(struct signer **list, const struct signature_facts *facts);

/* Drop a reference; the last takes it out of list and frees it. */
void signer_drop(struct signer **list, struct signer *signer);

/*
 * Would a token of this signer still be verified by the keys of ring, and by the very same key?
 * True while the configuration is the same, the issuer's keys may serve, and the one key that the
 * token's kid and alg lead to equals that which verified it, its kid too: the same kid may be
 * another key now, and the same key may have another kid, which may be denied.
 * now_ms: monotonic clock.
 */
bool signer_stands(struct signer *signer, const struct keyring *ring, int64_t now_ms);

/* The kid of its key, whatever the token named; NULL: the key has none. For one that stands. */
const char *signer_kid(const struct signer *signer);

/* Whose key it is. Lives as long as the signer. */
const struct config_issuer *signer_issuer(const struct signer *signer);

/* May the issuer's keys serve at now_ms: were there ever any, and are they fresh enough? */
static inline bool keys_may_serve(const struct keyring_entry *entry, int64_t now_ms) {
    return entry->keys && now_ms < entry->stale_at_ms;
}

#endif
