/*
 * source: where the keys of one issuer come from, and how far its refresh has got. A small state
 * machine: idle, reading discovery, reading the JWKS. Refresh thread only.
 */
#ifndef SERVER_KEYS_SOURCE_H
#define SERVER_KEYS_SOURCE_H

#include "common/fetch.h"
#include "server/keys/keyring.h"

struct source {
    const struct config *config;        /* outlives the source */
    const struct config_issuer *issuer; /* in config */
    struct pulse *pulse;
    struct keyset *keys; /* the last good ones; NULL before */
    int64_t fetched_ms;  /* monotonic: when the keys were current */
    int64_t due_ms;      /* monotonic: the next refresh by timer */
    unsigned failures;   /* in a row */
    bool attempted;      /* a refresh has ended since the start, well or badly */
    bool unsettled;      /* one has ended, and pulse->fetching does not tell so yet */
    struct fetcher *fetcher;
    void (*ended)(struct source *source, bool fresh);
};

/*
 * Set up source for an issuer, due at once. ended is called when a refresh has ended; fresh tells
 * whether keys were replaced or confirmed. The owner publishes those, for many sources at once if
 * many have ended, and then settles them. Returns 0 or ERR_MEMORY.
 */
int source_init(struct source *source, const struct config *config,
                const struct config_issuer *issuer, struct fetcher *fetcher,
                void (*ended)(struct source *source, bool fresh)) MUST_CHECK;
void source_done(struct source *source);

/* Take the keys and timers over from a source that fetches the same keys. */
void source_inherit(struct source *source, const struct source *from);

/* Take the keys of the disk copy, if there is a good one. */
void source_load_copy(struct source *source);

/* Begin a refresh. Not while one is under way or unsettled. May end at once, as with a file. */
void source_refresh(struct source *source);

/*
 * After the keys of a refresh that has ended were published: tell that none is under way. Fine at
 * any time. Whoever sees none under way has to find the result of the last.
 */
void source_settle(struct source *source);

/* Monotonic moment from which the keys must not serve any more. */
int64_t source_stale_at(const struct source *source);

#endif
