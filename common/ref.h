/*
 * ref: a reference count for values that never change once shared.
 */
#ifndef COMMON_REF_H
#define COMMON_REF_H

#include <stdatomic.h>
#include <stdbool.h>

struct ref {
    atomic_uint count;
};

/* The maker holds the first reference. */
static inline void ref_init(struct ref *ref) {
    atomic_init(&ref->count, 1);
}

static inline void ref_take(struct ref *ref) {
    atomic_fetch_add_explicit(&ref->count, 1, memory_order_relaxed);
}

/* True for the one who dropped the last reference and must free. */
static inline bool ref_drop(struct ref *ref) {
    return atomic_fetch_sub_explicit(&ref->count, 1, memory_order_acq_rel) == 1;
}

#endif
