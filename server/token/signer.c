#include "server/token/signer.h"

#include <openssl/err.h>
#include <stdlib.h>

struct signer {
    struct signer *next;
    unsigned refs;
    struct config *config; /* held, so that no other configuration can come to lie at its address */
    size_t issuer;         /* index in the configuration */
    struct keyset *keys;   /* held for the same reason; NULL: the key was withdrawn, for good */
    const struct key *key; /* in keys */
    bool named;
    enum algorithm algorithm;
};

static struct span kid_of(const struct signer *signer) {
    return signer->named ? span_of(signer->key->kid) : SPAN_NONE;
}

static bool is_same(const struct key *a, const struct key *b) {
    bool same = EVP_PKEY_eq(a->pkey, b->pkey) == 1;
    if (!same) ERR_clear_error();
    bool unnamed = !a->kid && !b->kid;
    return same && (unnamed || span_equal(span_of(a->kid), span_of(b->kid)));
}

/* Look for the key in a newer set. Where it is gone, another, or not clear, it is withdrawn. */
static bool follow(struct signer *signer, struct keyset *keys) {
    const struct key *key = NULL;
    bool stands = keyset_find(keys, kid_of(signer), signer->algorithm, &key) == KEY_FOUND &&
                  is_same(signer->key, key);

    keyset_unref(signer->keys);
    signer->keys = stands ? keyset_ref(keys) : NULL;
    signer->key = stands ? key : NULL;
    return stands;
}

const char *signer_kid(const struct signer *signer) {
    return signer->key->kid;
}

const struct config_issuer *signer_issuer(const struct signer *signer) {
    return &signer->config->issuers[signer->issuer];
}

bool signer_stands(struct signer *signer, const struct keyring *ring, int64_t now_ms) {
    if (signer->config != ring->config || !signer->keys) return false;
    const struct keyring_entry *entry = &ring->entries[signer->issuer];
    if (!keys_may_serve(entry, now_ms)) return false;
    return signer->keys == entry->keys || follow(signer, entry->keys);
}

/* --- the list ------------------------------------------------------------------------------ */

static struct signer *make(const struct signature_facts *facts) {
    struct signer *signer = calloc(1, sizeof *signer);
    if (!signer) return NULL;
    signer->config = config_ref(facts->ring->config);
    signer->issuer = (size_t)(facts->entry - facts->ring->entries);
    signer->keys = keyset_ref(facts->entry->keys);
    signer->key = facts->key;
    signer->named = facts->named;
    signer->algorithm = facts->algorithm;
    return signer;
}

/* One that was last looked for in an older set is followed here, lest there be two of it. */
static bool is_told_of(struct signer *signer, const struct signature_facts *facts) {
    return signer->config == facts->ring->config && signer->keys &&
           &facts->ring->entries[signer->issuer] == facts->entry && signer->named == facts->named &&
           signer->algorithm == facts->algorithm &&
           (signer->keys == facts->entry->keys || follow(signer, facts->entry->keys)) &&
           signer->key == facts->key;
}

struct signer *signer_get(struct signer **list, const struct signature_facts *facts) {
    struct signer *signer = *list;
    while (signer && !is_told_of(signer, facts)) signer = signer->next;
    if (!signer) {
        signer = make(facts);
        if (!signer) return NULL;
        signer->next = *list;
        *list = signer;
    }
    signer->refs++;
    return signer;
}

void signer_drop(struct signer **list, struct signer *signer) {
    if (--signer->refs) return;
    while (*list != signer) list = &(*list)->next;
    *list = signer->next;
    keyset_unref(signer->keys);
    config_unref(signer->config);
    free(signer);
}
