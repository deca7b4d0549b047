/*
 * snapshot: one place where a writer publishes immutable, reference-counted values and any number
 * of readers pick up the newest.
 *
 * A reader keeps the value it took together with its generation, and asks snapshot_generation(),
 * one atomic load, whether a newer one was published. Only then does it take the lock.
 */
#ifndef COMMON_SNAPSHOT_H
#define COMMON_SNAPSHOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct snapshot {
    pthread_mutex_t lock;
    void *value; /* the snapshot's own reference; NULL before the first publication */
    _Atomic uint64_t generation;
    void (*ref)(void *value);
    void (*unref)(void *value);
};

/* ref and unref count references of one value; both are called under the lock. */
void snapshot_init(struct snapshot *snapshot, void (*ref)(void *), void (*unref)(void *));

/* Drops the value. No reader may be left. */
void snapshot_done(struct snapshot *snapshot);

/* Any thread. Takes over the caller's reference to value and drops the one published before. */
void snapshot_publish(struct snapshot *snapshot, void *value);

/* Any thread. The newest value with a reference for the caller, and its generation (from 1). */
void *snapshot_acquire(struct snapshot *snapshot, uint64_t *ret_generation);

/* Any thread, no lock: the generation of the newest value; 0 before the first. */
static inline uint64_t snapshot_generation(struct snapshot *snapshot) {
    return atomic_load_explicit(&snapshot->generation, memory_order_acquire);
}

#endif
