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

void pulse_note(struct pulse *pulse, int64_t due_ms, const char *why) {
    struct standing *standing = &pulse->standing;

    pthread_mutex_lock(&pulse->lock);
    standing->due_ms = due_ms;
    snprintf(standing->why, sizeof standing->why, "%s", why ? why : "");
    if (why) {
        standing->failures++;
        standing->refreshes_failed++;
    } else {
        standing->failures = 0;
        standing->refreshes_ok++;
        standing->succeeded = clock_wall();
    }
    pthread_mutex_unlock(&pulse->lock);
}

struct standing pulse_standing(struct pulse *pulse) {
    pthread_mutex_lock(&pulse->lock);
    struct standing standing = pulse->standing;
    pthread_mutex_unlock(&pulse->lock);
    return standing;
}
