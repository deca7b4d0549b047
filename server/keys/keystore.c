#include "server/keys/keystore.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fetch.h"
#include "common/snapshot.h"
#include "server/keys/document.h"
#include "server/keys/source.h"

struct keystore {
    pthread_t thread;
    bool running;
    atomic_bool stop;
    atomic_bool ready;
    _Atomic int64_t heartbeat_ms;
    struct snapshot keyring;
    void (*on_change)(void *argument);
    void *argument;

    /* Handed over by keystore_reconfigure(), under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t taken;
    struct config *offered; /* NULL when there is nothing to take */
    int offer_result;

    int wake_fd; /* eventfd: makes the refresh thread look at stop, offered and the pulses */

    /* The refresh thread's own. */
    struct config *config;
    struct source *sources; /* one for each of config->issuers */
    struct fetcher *fetcher;
    bool changed; /* a refresh ended since on_change was last called */
    bool dirty;   /* the keyring differs from the published one: memory ran out */
};

/* A source's callback has no room for its store; each store has one thread, and this is its own. */
static _Thread_local struct keystore *this_store;

static void keyring_ref_void(void *ring) {
    keyring_ref(ring);
}

static void keyring_unref_void(void *ring) {
    keyring_unref(ring);
}

/* --- the refresh thread -------------------------------------------------------------------- */

/* Fill a fresh ring (NULL: there was no memory for it) with what the sources have now. */
static struct keyring *fill(struct keyring *ring, const struct source *sources) {
    for (size_t i = 0; ring && i < ring->count; i++)
        keyring_set(ring, i, sources[i].keys, source_stale_at(&sources[i]), sources[i].pulse);
    return ring;
}

/* The published ring; the caller drops it. */
static struct keyring *newest_ring(struct keystore *store) {
    uint64_t generation;
    return snapshot_acquire(&store->keyring, &generation);
}

/* Publish the sources' keys as a new keyring. Without memory the old one stays. */
static void publish(struct keystore *store) {
    CLEANUP(keyring_unrefp) struct keyring *old = newest_ring(store);
    struct keyring *ring = fill(keyring_renew(old), store->sources);
    if (!ring) return;
    snapshot_publish(&store->keyring, ring);
    store->dirty = false;
}

static void on_ended(struct source *source, bool fresh) {
    (void)source;
    this_store->changed = true;
    if (fresh) this_store->dirty = true;
}

/*
 * Publish what has ended in this turn, and then tell so. Once for all of it: a ring costs the more
 * the more issuers there are, and at the start or after an outage many refreshes end together.
 */
static void settle(struct keystore *store) {
    if (store->dirty) publish(store);
    for (size_t i = 0; store->changed && i < store->config->issuer_count; i++)
        source_settle(&store->sources[i]);
}

static void update_ready(struct keystore *store) {
    bool usable = false;
    int64_t now = clock_monotonic_ms();

    for (size_t i = 0; i < store->config->issuer_count; i++) {
        const struct source *source = &store->sources[i];
        bool has_keys = source->keys && now < source_stale_at(source);
        if (!source->attempted && !has_keys) return;
        if (has_keys) usable = true;
    }
    atomic_store(&store->ready, usable);
}

/* Start what is due or wanted; how long until the next timer. */
static int64_t start_due(struct keystore *store) {
    int64_t now = clock_monotonic_ms();
    int64_t wait = KEYSTORE_HEARTBEAT_MS / 2;

    for (size_t i = 0; i < store->config->issuer_count; i++) {
        struct source *source = &store->sources[i];
        if (atomic_load(&source->pulse->fetching)) continue;
        if (source->due_ms <= now || atomic_load(&source->pulse->wanted)) source_refresh(source);
        if (!atomic_load(&source->pulse->fetching) && source->due_ms - now < wait)
            wait = source->due_ms - now;
    }
    return wait > 0 ? wait : 0;
}

static void free_sources(struct source *sources, size_t count) {
    for (size_t i = 0; i < count; i++) source_done(&sources[i]);
    free(sources);
}

static struct fetcher *make_fetcher(const struct config *config) {
    struct fetch_settings settings = document_fetch_settings(config);
    return fetcher_new(&settings);
}

static struct source *make_sources(const struct config *config, struct fetcher *fetcher) {
    struct source *sources = calloc(config->issuer_count, sizeof *sources);
    if (!sources) return NULL;
    for (size_t i = 0; i < config->issuer_count; i++) {
        if (source_init(&sources[i], config, &config->issuers[i], fetcher, on_ended) == 0) continue;
        free_sources(sources, i + 1);
        return NULL;
    }
    return sources;
}

/* The source that fetched the same keys for the old configuration, or NULL. */
static struct source *find_old(struct keystore *store, const struct keyring *ring,
                               const struct config_issuer *issuer) {
    const struct keyring_entry *entry = keyring_find(ring, span_of(issuer->issuer));
    if (!entry || !config_issuer_same_source(entry->issuer, issuer)) return NULL;
    return &store->sources[entry - ring->entries];
}

/* Where the old configuration fetched the same keys, go on with them. */
static void inherit(struct keystore *store, const struct config *config, struct source *sources) {
    CLEANUP(keyring_unrefp) struct keyring *ring = newest_ring(store);

    for (size_t i = 0; i < config->issuer_count; i++) {
        struct source *old = find_old(store, ring, sources[i].issuer);
        if (!old) {
            source_load_copy(&sources[i]);
            continue;
        }
        source_inherit(&sources[i], old);
        /* A fetch under way dies with the old fetcher: begin it anew. Requests that wait for it
         * must at no moment see neither flag set. */
        if (!atomic_load(&old->pulse->fetching)) continue;
        atomic_store(&old->pulse->wanted, true);
        atomic_store(&old->pulse->fetching, false);
    }
}

static int adopt(struct keystore *store, struct config *config) {
    struct fetcher *fetcher = make_fetcher(config);
    struct source *sources = fetcher ? make_sources(config, fetcher) : NULL;
    if (!sources) {
        fetcher_free(fetcher);
        return ERR_MEMORY;
    }
    inherit(store, config, sources);
    struct keyring *ring = fill(keyring_new(config), sources);
    if (!ring) {
        free_sources(sources, config->issuer_count);
        fetcher_free(fetcher);
        return ERR_MEMORY;
    }
    free_sources(store->sources, store->config->issuer_count);
    config_unref(store->config);
    fetcher_free(store->fetcher);
    store->sources = sources;
    store->config = config_ref(config);
    store->fetcher = fetcher;
    snapshot_publish(&store->keyring, ring);
    store->dirty = false;
    return 0;
}

static void take_offer(struct keystore *store) {
    pthread_mutex_lock(&store->lock);
    if (store->offered) {
        store->offer_result = adopt(store, store->offered);
        store->offered = NULL;
        store->changed = true;
        pthread_cond_signal(&store->taken);
    }
    pthread_mutex_unlock(&store->lock);
}

static void *run(void *argument) {
    struct keystore *store = argument;
    this_store = store;

    while (!atomic_load(&store->stop)) {
        eventfd_t ignored;
        eventfd_read(store->wake_fd, &ignored);
        atomic_store(&store->heartbeat_ms, clock_monotonic_ms());
        take_offer(store);
        int64_t wait = start_due(store);
        fetcher_poll(store->fetcher, store->changed ? 0 : wait, store->wake_fd);
        settle(store);
        update_ready(store);
        if (store->changed) {
            store->changed = false;
            store->on_change(store->argument);
        }
    }
    return NULL;
}

/* --- for the other threads ----------------------------------------------------------------- */

static void wake(struct keystore *store) {
    eventfd_write(store->wake_fd, 1);
}

int keystore_start(struct config *config, void (*on_change)(void *), void *argument,
                   struct keystore **ret, struct err_text *err) {
    struct keystore *store = calloc(1, sizeof *store);
    if (!store) return err_set(err, ERR_MEMORY, "out of memory");

    snapshot_init(&store->keyring, keyring_ref_void, keyring_unref_void);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->taken, NULL);
    store->on_change = on_change;
    store->argument = argument;
    store->config = config_ref(config);
    store->fetcher = make_fetcher(config);
    store->sources = store->fetcher ? make_sources(config, store->fetcher) : NULL;
    store->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!store->sources || store->wake_fd < 0) {
        keystore_stop(store);
        return err_set(err, ERR_MEMORY, "out of memory or descriptors");
    }
    for (size_t i = 0; i < config->issuer_count; i++) source_load_copy(&store->sources[i]);
    update_ready(store);
    atomic_store(&store->heartbeat_ms, clock_monotonic_ms());
    struct keyring *ring = fill(keyring_new(config), store->sources);
    if (ring) snapshot_publish(&store->keyring, ring);
    /* Before the thread runs: its first on_change may come at once, and look at the store. */
    if (ring) *ret = store;
    if (!ring || pthread_create(&store->thread, NULL, run, store) != 0) {
        *ret = NULL;
        keystore_stop(store);
        return err_set(err, ERR_SYSTEM, "cannot start the refresh thread");
    }
    store->running = true;
    return 0;
}

void keystore_stop(struct keystore *store) {
    if (!store) return;
    if (store->running) {
        atomic_store(&store->stop, true);
        wake(store);
        pthread_join(store->thread, NULL);
    }
    fetcher_free(store->fetcher);
    if (store->sources) free_sources(store->sources, store->config->issuer_count);
    config_unref(store->config);
    if (store->wake_fd >= 0) close(store->wake_fd);
    snapshot_done(&store->keyring);
    pthread_cond_destroy(&store->taken);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

int keystore_reconfigure(struct keystore *store, struct config *config) {
    pthread_mutex_lock(&store->lock);
    store->offered = config;
    wake(store);
    while (store->offered) pthread_cond_wait(&store->taken, &store->lock);
    int result = store->offer_result;
    pthread_mutex_unlock(&store->lock);
    return result;
}

struct keyring *keystore_acquire(struct keystore *store, uint64_t *ret_generation) {
    return snapshot_acquire(&store->keyring, ret_generation);
}

uint64_t keystore_generation(struct keystore *store) {
    return snapshot_generation(&store->keyring);
}

/* What there is to wait for, or to look at, without forcing anything. */
static enum keystore_hint look_around(struct keystore *store, const struct pulse *pulse,
                                      uint64_t generation) {
    if (atomic_load(&pulse->wanted) || atomic_load(&pulse->fetching)) return HINT_WAIT;
    /* In this order: keys are published before their fetch is told to have ended. */
    return keystore_generation(store) != generation ? HINT_LOOK_AGAIN : HINT_TOO_LATE;
}

enum keystore_hint keystore_hint(struct keystore *store, const struct keyring_entry *entry,
                                 uint64_t generation) {
    struct pulse *pulse = entry->pulse;
    int64_t now = clock_monotonic_ms();

    enum keystore_hint hint = look_around(store, pulse, generation);
    if (hint != HINT_TOO_LATE) return hint;
    /* Somebody may have forced one since: he sets wanted before he takes the cooldown. */
    if (!throttle_is_free(&pulse->forced, now)) return look_around(store, pulse, generation);
    atomic_store(&pulse->wanted, true);
    if (throttle_take(&pulse->forced, now, entry->issuer->refresh_cooldown)) {
        atomic_fetch_add(&pulse->forced_count, 1);
        wake(store);
    }
    return HINT_WAIT;
}

size_t keystore_refresh(struct keystore *store) {
    uint64_t generation;
    CLEANUP(keyring_unrefp) struct keyring *ring = keystore_acquire(store, &generation);

    for (size_t i = 0; i < ring->count; i++) atomic_store(&ring->entries[i].pulse->wanted, true);
    wake(store);
    return ring->count;
}

bool keystore_is_ready(struct keystore *store) {
    return atomic_load(&store->ready);
}

int64_t keystore_heartbeat(struct keystore *store) {
    return atomic_load(&store->heartbeat_ms);
}
