#include "common/snapshot.h"

#include <stddef.h>

void snapshot_init(struct snapshot *snapshot, void (*ref)(void *), void (*unref)(void *)) {
    pthread_mutex_init(&snapshot->lock, NULL);
    snapshot->value = NULL;
    atomic_init(&snapshot->generation, 0);
    snapshot->ref = ref;
    snapshot->unref = unref;
}

void snapshot_done(struct snapshot *snapshot) {
    if (snapshot->value) snapshot->unref(snapshot->value);
    snapshot->value = NULL;
    pthread_mutex_destroy(&snapshot->lock);
}

void snapshot_publish(struct snapshot *snapshot, void *value) {
    pthread_mutex_lock(&snapshot->lock);
    void *before = snapshot->value;
    snapshot->value = value;
    atomic_fetch_add_explicit(&snapshot->generation, 1, memory_order_release);
    pthread_mutex_unlock(&snapshot->lock);
    /* The last reference may take a while to free; nobody has to wait for that. */
    if (before) snapshot->unref(before);
}

void *snapshot_acquire(struct snapshot *snapshot, uint64_t *ret_generation) {
    pthread_mutex_lock(&snapshot->lock);
    void *value = snapshot->value;
    if (value) snapshot->ref(value);
    *ret_generation = atomic_load_explicit(&snapshot->generation, memory_order_relaxed);
    pthread_mutex_unlock(&snapshot->lock);
    return value;
}
