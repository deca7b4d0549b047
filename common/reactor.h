/*
 * reactor: what one event loop watches: descriptors, timers, and things to be done when the events
 * at hand have been handled. One thread.
 */
#ifndef COMMON_REACTOR_H
#define COMMON_REACTOR_H

#include <sys/epoll.h>

#include "common/timers.h"

/* Something in the epoll set. Lives in what it belongs to, until it was unwatched and the turn of
 * the loop is over: an event for it may be among those at hand. */
struct event_source {
    void (*ready)(struct event_source *source, uint32_t events);
};

/* Something to be done at the end of the turn, such as freeing what the turn may still refer to. */
struct deferred {
    void (*run)(struct deferred *deferred);
    struct deferred *next;
    bool pending;
};

struct reactor {
    int epoll_fd;
    int64_t now_ms; /* monotonic, as of the events at hand */
    struct timers timers;
    struct deferred *first;
    struct deferred **last;
};

/* The structure of that type in which member lives. */
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* False where the system refuses; errno tells. */
bool reactor_init(struct reactor *reactor);
void reactor_done(struct reactor *reactor);

/* Watch fd; events are epoll's. False where the system refuses; errno tells. */
bool reactor_watch(struct reactor *reactor, int fd, struct event_source *source, uint32_t events);

/* Watch it no more, before it is closed. */
void reactor_unwatch(struct reactor *reactor, int fd);

/* Do this when reactor_run_deferred() is called next; one that is pending already is done once. */
void reactor_defer(struct reactor *reactor, struct deferred *deferred);

/* The end of the turn: do all that was deferred, also what that defers. */
void reactor_run_deferred(struct reactor *reactor);

/*
 * Wait for events, at most until the next timer or for wait_ms, and handle them and the timers.
 * Returns how many events there were.
 */
int reactor_turn(struct reactor *reactor, int64_t wait_ms);

#endif
