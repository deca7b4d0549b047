/*
 * keystore: keeps the keys of every issuer fresh, on one thread of its own.
 *
 * The refresh thread alone fetches, parses and publishes; workers hold a struct keyring that never
 * changes. Nothing here blocks a worker. A failed, empty or garbage answer never erases good keys:
 * they serve until max_stale. Timers run on the monotonic clock.
 */
#ifndef SERVER_KEYS_KEYSTORE_H
#define SERVER_KEYS_KEYSTORE_H

#include "server/keys/keyring.h"

struct keystore;

/*
 * Load disk copies and start refreshing the issuers of config. on_change is called from the refresh
 * thread (never from inside this function) whenever a refresh of some issuer has ended, well or
 * badly, and what waits for it should look again. Returns 0, or ERR_MEMORY, ERR_SYSTEM.
 */
int keystore_start(struct config *config, void (*on_change)(void *argument), void *argument,
                   struct keystore **ret, struct err_text *err) MUST_CHECK;

/* Stop the thread and drop all. No reader may be left. NULL is fine. */
void keystore_stop(struct keystore *store);

/*
 * Main thread: go on with another configuration. Returns when a keyring of it is published. Issuers
 * whose keys come from the same source as before keep their keys and timers.
 * Returns 0, or ERR_MEMORY with the old configuration still in force.
 */
int keystore_reconfigure(struct keystore *store, struct config *config) MUST_CHECK;

/* Any thread: the newest keyring, with a reference for the caller. Never NULL. */
struct keyring *keystore_acquire(struct keystore *store, uint64_t *ret_generation);

/* Any thread, one atomic load: does a newer keyring exist than the one of this generation? */
uint64_t keystore_generation(struct keystore *store);

enum keystore_hint {
    HINT_WAIT,       /* a refresh is under way; on_change will tell its end */
    HINT_LOOK_AGAIN, /* none is, but newer keys were published than those looked at */
    HINT_TOO_LATE    /* none is, and none may be forced within the cooldown */
};

/*
 * Any thread, no lock: a token needs a key that this issuer's entry lacks, in the keyring of this
 * generation. Forces a refresh, once
 * per refresh_cooldown for everybody together, so that strangers cannot make us fetch at will.
 */
enum keystore_hint keystore_hint(struct keystore *store, const struct keyring_entry *entry,
                                 uint64_t generation);

/*
 * Any thread: refresh all issuers now, whatever the cooldown, as an operator asks. Returns how many
 * there are; when they have ended is not waited for.
 */
size_t keystore_refresh(struct keystore *store);

/* Any thread: was every issuer tried, and has one of them usable keys? */
bool keystore_is_ready(struct keystore *store);

/* Any thread: when the refresh thread last turned its loop, monotonic; for the watchdog. */
int64_t keystore_heartbeat(struct keystore *store);

/* The longest that keystore_heartbeat() lies in the past while all is well. */
#define KEYSTORE_HEARTBEAT_MS 1000

#endif
