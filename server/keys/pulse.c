#include "server/keys/pulse.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"

struct pulse *pulse_new(void) {
    struct pulse *pulse = calloc(1, sizeof *pulse);
    if (!pulse) return NULL;
    ref_init(&pulse->ref);
    pthread_mutex_init(&pulse->lock, NULL);
    return pulse;
}

struct pulse *pulse_ref(struct pulse *pulse) {
    ref_take(&pulse->ref);
    return pulse;
}

void pulse_unref(struct pulse *pulse) {
    if (!pulse || !ref_drop(&pulse->ref)) return;
    pthread_mutex_destroy(&pulse->lock);
    free(pulse);
}

void pulse_note_keys(struct pulse *pulse, int64_t due_ms, bool changed) {
    struct standing *standing = &pulse->standing;

    pthread_mutex_lock(&pulse->lock);
    standing->due_ms = due_ms;
    standing->succeeded = clock_wall();
    standing->failures = 0;
    standing->why[0] = '\0';
    if (changed)
        standing->changed++;
    else
        standing->unchanged++;
    pthread_mutex_unlock(&pulse->lock);
}

void pulse_note_failure(struct pulse *pulse, int64_t due_ms, const char *why) {
    struct standing *standing = &pulse->standing;

    pthread_mutex_lock(&pulse->lock);
    standing->due_ms = due_ms;
    standing->failures++;
    standing->failed++;
    snprintf(standing->why, sizeof standing->why, "%s", why);
    pthread_mutex_unlock(&pulse->lock);
}

struct standing pulse_standing(struct pulse *pulse) {
    pthread_mutex_lock(&pulse->lock);
    struct standing standing = pulse->standing;
    pthread_mutex_unlock(&pulse->lock);
    return standing;
}
