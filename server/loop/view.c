#include "server/loop/view.h"

#include <stdlib.h>

static bool is_current(const struct view *view, struct shared *shared) {
    return view && view->setup_generation == snapshot_generation(&shared->setup) &&
           view->ring_generation == keystore_generation(shared->keystore);
}

static bool renew(struct view **view, struct shared *shared) {
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

/* By itself: neither a reload that is half done nor a lack of memory may put off what is denied. */
static void update_denied(struct view *view, struct shared *shared) {
    if (view->denied_generation == snapshot_generation(&shared->denied)) return;
    deny_list_unref(view->denied);
    view->denied = snapshot_acquire(&shared->denied, &view->denied_generation);
}

bool view_update(struct view **view, struct shared *shared) {
    bool renewed = renew(view, shared);
    if (*view) update_denied(*view, shared);
    return renewed;
}

struct view *view_pin(struct view *view) {
    view->refs++;
    return view;
}

void view_unpin(struct view *view) {
    if (!view || --view->refs) return;
    deny_list_unref(view->denied);
    keyring_unref(view->ring);
    setup_unref(view->setup);
    free(view);
}
