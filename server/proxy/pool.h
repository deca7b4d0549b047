/*
 * pool: the connections of one worker to its upstreams, kept alive from request to request.
 *
 * A link is watched once, edge-triggered, from its birth to its end; what it is for may change. A
 * link that rests and shows a sign of life has nothing good to say and is closed.
 */
#ifndef SERVER_PROXY_POOL_H
#define SERVER_PROXY_POOL_H

#include "common/reactor.h"
#include "server/proxy/upstream.h"
#include "server/proxy/wire.h"

struct transfer;

struct link {
    struct event_source source;
    struct pool *pool;
    struct wire wire;
    struct peer *peer;     /* a reference */
    struct transfer *user; /* NULL: it rests, or is closed */
    bool reused;           /* it carried a request before the present one */
    bool readable;         /* there may be more to read; edge-triggered, so this must be kept */
    bool writable;
    bool hung_up; /* the peer's end was seen: reading on must meet it */

    struct timer idle_timer; /* while it rests */
    struct link *idle_next;  /* among those of its peer, the last used first */
    struct link *idle_prev;
    unsigned idle_below; /* how many rest below this one; true for the first only */
    struct link *next;   /* among all that rest in this worker */
    struct link *prev;
    struct deferred burial;
};

struct pool {
    struct reactor *reactor;
    unsigned index;     /* of the worker: which slot of a peer is ours */
    struct link *first; /* all that rest */
    size_t resting;
    size_t open; /* links that are not closed, resting or not */
};

/* A pool that belongs to the worker of that index, and to its reactor. */
void pool_init(struct pool *pool, struct reactor *reactor, unsigned index);

/* Close all that rest. */
void pool_clear(struct pool *pool);

/* A link to the peer that rests, and of which the system says that it is still good; NULL: none. */
struct link *pool_take(struct pool *pool, struct peer *peer);

/*
 * A new link to an address of the peer, connecting. NULL with the reason in err where that fails at
 * once; *ret_ours: for want of something of ours, such as descriptors.
 */
struct link *pool_open(struct pool *pool, struct peer *peer, bool *ret_ours, struct err_text *err);

/* Let the link rest, for the next request, for idle_timeout at most; beyond max it is closed. */
void pool_give(struct pool *pool, struct link *link, const struct config_keep_alive *keep_alive);

/* Close it, and free it at the end of the turn. NULL is fine. */
void pool_drop(struct link *link);

/* Close the resting links of peers that the upstreams do not have (any more). */
void pool_keep_only(struct pool *pool, const struct upstreams *upstreams);

#endif
