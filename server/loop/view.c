#include "server/loop/view.h"

#include <stdlib.h>

static bool is_current(const struct view *view, struct shared *shared) {
    return view && view->setup_generation == snapshot_generation(&shared->setup) &&
           view->ring_generation == keystore_generation(shared->keystore);
}

bool view_update(struct view **view, struct shared *shared) {
    if (is_current(*view, shared)) return false;

    struct view *fresh = calloc(1, sizeof *fresh);
    if (!fresh) return false;
    fresh->refs = 1;
    fresh->setup = snapshot_acquire(&shared->setup, &fresh->setup_generation);
    fresh->ring = keystore_acquire(shared->keystore, &fresh->ring_generation);
    if (fresh->ring->config != fresh->setup->config) {
        view_unpin(fresh);
        return false;
    }
    view_unpin(*view);
    *view = fresh;
    return true;
}

struct view *view_pin(struct view *view) {
    view->refs++;
    return view;
}

void view_unpin(struct view *view) {
    if (!view || --view->refs) return;
    keyring_unref(view->ring);
    setup_unref(view->setup);
    free(view);
}
