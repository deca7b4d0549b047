#include "server/proxy/pool.h"

#include <errno.h>
#include <stdlib.h>

#include "server/proxy/transfer.h"

/* --- resting links ------------------------------------------------------------------------- */

static struct link **slot_of(const struct pool *pool, struct peer *peer) {
    return (struct link **)(void *)&peer->links[pool->index];
}

static void begin_rest(struct pool *pool, struct link *link) {
    struct link **slot = slot_of(pool, link->peer);

    link->idle_below = *slot ? (*slot)->idle_below + 1 : 0;
    link->idle_prev = NULL;
    link->idle_next = *slot;
    if (*slot) (*slot)->idle_prev = link;
    *slot = link;

    link->prev = NULL;
    link->next = pool->first;
    if (pool->first) pool->first->prev = link;
    pool->first = link;
    pool->resting++;
}

static void end_rest(struct link *link) {
    struct pool *pool = link->pool;
    struct link **slot = slot_of(pool, link->peer);

    if (*slot == link) {
        *slot = link->idle_next;
        if (*slot) (*slot)->idle_below = link->idle_below - 1;
    } else {
        (*slot)->idle_below--;
        link->idle_prev->idle_next = link->idle_next;
    }
    if (link->idle_next) link->idle_next->idle_prev = link->idle_prev;

    if (link->prev)
        link->prev->next = link->next;
    else
        pool->first = link->next;
    if (link->next) link->next->prev = link->prev;
    pool->resting--;
    timers_clear(&pool->reactor->timers, &link->idle_timer);
}

static void close_resting(struct link *link) {
    end_rest(link);
    pool_drop(link);
}

static void on_idle(struct timer *timer) {
    close_resting(CONTAINER_OF(timer, struct link, idle_timer));
}

/* --- events -------------------------------------------------------------------------------- */

static void on_ready(struct event_source *source, uint32_t events) {
    struct link *link = CONTAINER_OF(source, struct link, source);

    if (link->wire.fd < 0) return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) link->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) link->hung_up = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) link->writable = true;
    /* TLS may have to write in order to read, and the other way round. */
    if (link->wire.ssl) link->readable = link->writable = true;
    if (link->user) {
        transfer_on_link(link->user);
        return;
    }
    if (link->readable && wire_is_stale(&link->wire))
        close_resting(link);
    else
        link->readable = false;
}

/* --- what others call ---------------------------------------------------------------------- */

void pool_init(struct pool *pool, struct reactor *reactor, unsigned index) {
    *pool = (struct pool){.reactor = reactor, .index = index};
}

void pool_clear(struct pool *pool) {
    while (pool->first) close_resting(pool->first);
}

struct link *pool_take(struct pool *pool, struct peer *peer) {
    struct link *link;

    while ((link = *slot_of(pool, peer))) {
        /* What came since the last turn has raised no event yet, and would be taken for the answer.
         */
        if (wire_is_stale(&link->wire)) {
            close_resting(link);
            continue;
        }
        end_rest(link);
        link->reused = true;
        link->readable = false;
        return link;
    }
    return NULL;
}

static void bury(struct deferred *deferred) {
    struct link *link = CONTAINER_OF(deferred, struct link, burial);
    peer_unref(link->peer);
    free(link);
}

/* Did the system refuse because of us, and not because of the peer? */
static bool is_ours(int code) {
    return code == EMFILE || code == ENFILE || code == ENOMEM || code == ENOBUFS;
}

struct link *pool_open(struct pool *pool, struct peer *peer, bool *ret_ours, struct err_text *err) {
    struct peer_address address;
    struct link *link = calloc(1, sizeof *link);

    *ret_ours = true;
    if (!link) {
        err_write(err, "out of memory");
        return NULL;
    }
    link->wire.fd = -1;
    errno = 0;
    if (!peer_next_address(peer, &address, err) ||
        wire_open((struct sockaddr *)&address.address, address.len, peer->tls, &link->wire, err) <
            0) {
        *ret_ours = is_ours(errno);
        free(link);
        return NULL;
    }
    link->source.ready = on_ready;
    link->pool = pool;
    link->idle_timer.fire = on_idle;
    link->burial.run = bury;
    if (!reactor_watch(pool->reactor, link->wire.fd, &link->source,
                       EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
        err_write(err, "cannot watch the connection: %m");
        wire_close(&link->wire);
        free(link);
        return NULL;
    }
    link->peer = peer_ref(peer);
    pool->open++;
    return link;
}

void pool_give(struct pool *pool, struct link *link, const struct config_keep_alive *keep_alive) {
    const struct link *top = *slot_of(pool, link->peer);
    size_t resting = top ? top->idle_below + 1 : 0;

    link->user = NULL;
    if (resting >= keep_alive->connections || atomic_load(&link->peer->retired) ||
        !timers_set(&pool->reactor->timers, &link->idle_timer,
                    pool->reactor->now_ms + keep_alive->idle_timeout)) {
        pool_drop(link);
        return;
    }
    begin_rest(pool, link);
}

void pool_drop(struct link *link) {
    if (!link || link->wire.fd < 0) return;
    link->user = NULL;
    reactor_unwatch(link->pool->reactor, link->wire.fd);
    wire_close(&link->wire);
    link->wire.fd = -1;
    link->pool->open--;
    reactor_defer(link->pool->reactor, &link->burial);
}

static bool has_peer(const struct upstreams *upstreams, const struct peer *peer) {
    for (size_t i = 0; i < upstreams->count; i++)
        for (size_t k = 0; k < upstreams->items[i].count; k++)
            if (upstreams->items[i].peers[k] == peer) return true;
    return false;
}

void pool_keep_only(struct pool *pool, const struct upstreams *upstreams) {
    struct link *next;
    for (struct link *link = pool->first; link; link = next) {
        next = link->next;
        if (!has_peer(upstreams, link->peer)) close_resting(link);
    }
}
