#include "server/keys/issuer_index.h"

#include <stdlib.h>

struct slot {
    struct span name; /* absent: the slot is free */
    uint64_t hash;
    size_t place;
};

struct issuer_index {
    struct ref ref;
    size_t longest; /* of the names */
    size_t mask;    /* slots, a power of two and at least twice the issuers, less 1 */
    struct slot slots[];
};

/*
 * Without a secret: strangers choose what is looked for, but only the operator what is here. A
 * lookup passes no more slots than the configured names lie side by side.
 */
static uint64_t hash_of(struct span name) {
    uint64_t hash = name.len, word;

    for (struct span rest = name; rest.len; rest = span_from(rest, sizeof word)) {
        word = 0;
        memcpy(&word, rest.ptr, rest.len < sizeof word ? rest.len : sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 32;
    }
    return hash;
}

/* The slot of that name, or the free one where it belongs. There always is a free one. */
static size_t find_slot(const struct issuer_index *index, struct span name, uint64_t hash) {
    size_t at = hash & index->mask;

    while (index->slots[at].name.ptr &&
           !(index->slots[at].hash == hash && span_equal(index->slots[at].name, name)))
        at = (at + 1) & index->mask;
    return at;
}

static void add(struct issuer_index *index, struct span name, size_t place) {
    uint64_t hash = hash_of(name);

    index->slots[find_slot(index, name, hash)] = (struct slot){name, hash, place};
    if (name.len > index->longest) index->longest = name.len;
}

struct issuer_index *issuer_index_new(const struct config *config) {
    size_t slots = 2;
    while (slots < 2 * config->issuer_count) slots *= 2;

    struct issuer_index *index = calloc(1, sizeof *index + slots * sizeof *index->slots);
    if (!index) return NULL;
    ref_init(&index->ref);
    index->mask = slots - 1;
    for (size_t i = 0; i < config->issuer_count; i++)
        add(index, span_of(config->issuers[i].issuer), i);
    return index;
}

struct issuer_index *issuer_index_ref(struct issuer_index *index) {
    ref_take(&index->ref);
    return index;
}

void issuer_index_unref(struct issuer_index *index) {
    if (index && ref_drop(&index->ref)) free(index);
}

size_t issuer_index_find(const struct issuer_index *index, struct span iss) {
    if (!iss.ptr || iss.len > index->longest) return ISSUER_NONE;
    const struct slot *slot = &index->slots[find_slot(index, iss, hash_of(iss))];
    return slot->name.ptr ? slot->place : ISSUER_NONE;
}
