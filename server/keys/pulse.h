/*
 * pulse: what requests and the refresh thread tell each other about one issuer, and what others may
 * know of its refreshes. Outlives the keyrings that point to it.
 */
#ifndef SERVER_KEYS_PULSE_H
#define SERVER_KEYS_PULSE_H

#include <pthread.h>

#include "common/ref.h"
#include "common/throttle.h"

/* How the refreshes of an issuer came out. Moments are wall clock, seconds; 0 = never. */
struct standing {
    int64_t succeeded;
    int64_t due_ms;    /* monotonic: the next refresh by timer; 0 = not known yet */
    unsigned failures; /* in a row */
    uint64_t changed;  /* refreshes that brought other keys */
    uint64_t unchanged;
    uint64_t failed;
    char why[256]; /* of the last failure; "" after a success */
};

struct pulse {
    struct ref ref;
    struct throttle forced; /* one forced refresh per cooldown, shared by everybody */
    atomic_bool wanted;     /* a forced refresh was asked for and has not begun */
    atomic_bool fetching;   /* a refresh is under way */
    _Atomic uint64_t forced_count;
    pthread_mutex_t lock; /* of what follows */
    struct standing standing;
};

/* A fresh pulse with one reference for the caller, or NULL without memory. */
struct pulse *pulse_new(void);

/* Any thread: take one more reference; drop one, the last frees (NULL is fine). */
struct pulse *pulse_ref(struct pulse *pulse);
void pulse_unref(struct pulse *pulse);

/* The refresh thread: a refresh has ended well, with other keys or the same, and the next is due
 * then. */
void pulse_note_keys(struct pulse *pulse, int64_t due_ms, bool changed);

/* The refresh thread: one has failed. why is copied. */
void pulse_note_failure(struct pulse *pulse, int64_t due_ms, const char *why);

/* Any thread: how it stands now. Waits for the refresh thread, for a copy at most; requests for the
 * public listeners never ask. */
struct standing pulse_standing(struct pulse *pulse);

#endif
