/*
 * view: the setup and the keyring that fit together, as one worker sees them. A request pins one
 * for its life, so that nothing changes under it. Counted without atomics: a view never leaves its
 * worker.
 *
 * The newest view also holds the newest deny list, which does change under it: who is judged is
 * judged by the newest, at once, and nothing refers to the list afterwards.
 */
#ifndef SERVER_LOOP_VIEW_H
#define SERVER_LOOP_VIEW_H

#include "server/loop/shared.h"
#include "server/token/deny.h"

struct view {
    unsigned refs;
    struct setup *setup;
    uint64_t setup_generation;
    struct keyring *ring;
    uint64_t ring_generation;
    struct deny_list *denied; /* NULL: there is none */
    uint64_t denied_generation;
};

/*
 * Bring *view (NULL at first) up to date, which costs three atomic loads where nothing was
 * published. During a reload setup and keyring may not fit for a moment, and without memory there
 * is no new view: then the old one stays. It gets the newest deny list in any case. Returns true
 * where *view was replaced.
 */
bool view_update(struct view **view, struct shared *shared);

/* The worker that owns it: hold it; let go, the last frees (NULL is fine). */
struct view *view_pin(struct view *view);
void view_unpin(struct view *view);

#endif
