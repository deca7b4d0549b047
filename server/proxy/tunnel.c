#include "server/proxy/tunnel.h"

#include <errno.h>
#include <stdlib.h>

/* Buffers that one direction may move in one go, so that two fast ends do not keep the loop. */
#define ROUNDS_MAX 16

static bool has_room(const struct lane *lane, size_t least) {
    return !lane->ended && lane->size - lane->end >= least;
}

static void took(struct lane *lane, size_t n) {
    lane->start += n;
    lane->total += n;
    if (lane->start == lane->end) lane->start = lane->end = 0;
}

/* --- a client on a plain socket ------------------------------------------------------------ */

static enum wire_result plain_read(const struct tunnel_client *client, char *to, size_t max,
                                   size_t *ret_len) {
    ssize_t n = recv(client->fd, to, max, MSG_DONTWAIT);
    if (n > 0) {
        *ret_len = (size_t)n;
        return WIRE_OK;
    }
    if (n == 0) return WIRE_CLOSED;
    return errno == EAGAIN || errno == EINTR ? WIRE_AGAIN : WIRE_FAILED;
}

static enum wire_result plain_write(const struct tunnel_client *client, struct span bytes,
                                    size_t *ret_len) {
    ssize_t n = send(client->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
        *ret_len = (size_t)n;
        return WIRE_OK;
    }
    return errno == EAGAIN || errno == EINTR ? WIRE_AGAIN : WIRE_FAILED;
}

static void plain_finish(const struct tunnel_client *client) {
    shutdown(client->fd, SHUT_WR);
}

struct tunnel_client tunnel_plain_client(int fd) {
    return (struct tunnel_client){
        .fd = fd, .least = 1, .read = plain_read, .write = plain_write, .finish = plain_finish};
}

/* --- one direction ------------------------------------------------------------------------- */

/* Each returns false where the direction is broken. */

static bool fill(struct lane *lane, enum wire_result result, size_t n, bool *readable) {
    if (result == WIRE_OK) lane->end += n;
    if (result == WIRE_AGAIN) *readable = false;
    if (result == WIRE_CLOSED) lane->ended = true;
    return result != WIRE_FAILED;
}

static bool move_up(struct tunnel *tunnel) {
    struct lane *lane = &tunnel->up;
    struct link *link = tunnel->link;
    struct err_text err;
    size_t n = 0;

    if (has_room(lane, tunnel->client.least) && tunnel->readable) {
        enum wire_result result = tunnel->client.read(&tunnel->client, lane->bytes + lane->end,
                                                      lane->size - lane->end, &n);
        if (!fill(lane, result, n, &tunnel->readable)) return false;
    }
    if (lane->start < lane->end && link->writable) {
        switch (
            wire_write(&link->wire, lane->bytes + lane->start, lane->end - lane->start, &n, &err)) {
        case WIRE_OK:
            took(lane, n);
            break;
        case WIRE_AGAIN:
            link->writable = false;
            break;
        case WIRE_CLOSED:
        case WIRE_FAILED:
            return false;
        }
    }
    if (lane->ended && lane->start == lane->end && !lane->finished) {
        wire_finish(&link->wire);
        lane->finished = true;
    }
    return true;
}

static bool move_down(struct tunnel *tunnel) {
    struct lane *lane = &tunnel->down;
    struct link *link = tunnel->link;
    struct err_text err;
    size_t n = 0;

    if (has_room(lane, 1) && link->readable) {
        enum wire_result result =
            wire_read(&link->wire, lane->bytes + lane->end, lane->size - lane->end, &n, &err);
        if (!fill(lane, result, n, &link->readable)) return false;
    }
    if (lane->start < lane->end && tunnel->writable) {
        struct span bytes = {lane->bytes + lane->start, lane->end - lane->start};
        switch (tunnel->client.write(&tunnel->client, bytes, &n)) {
        case WIRE_OK:
            took(lane, n);
            break;
        case WIRE_AGAIN:
            tunnel->writable = false;
            break;
        case WIRE_CLOSED:
        case WIRE_FAILED:
            return false;
        }
    }
    if (lane->ended && lane->start == lane->end && !lane->finished) {
        tunnel->client.finish(&tunnel->client);
        lane->finished = true;
    }
    return true;
}

/* Could the direction move on at once? */
static bool is_busy(const struct lane *lane, size_t least, bool readable, bool writable) {
    return (has_room(lane, least) && readable) || (lane->start < lane->end && writable);
}

static void close_both(struct tunnel *tunnel) {
    tunnel->closed = true;
    tunnel->on_closed(tunnel);
}

static void pump(struct tunnel *tunnel) {
    struct link *link = tunnel->link;
    bool sound = true, busy = true;

    if (tunnel->closed) return;

    for (int i = 0; i < ROUNDS_MAX && sound && busy; i++) {
        sound = move_up(tunnel) && move_down(tunnel);
        busy = is_busy(&tunnel->up, tunnel->client.least, tunnel->readable, link->writable) ||
               is_busy(&tunnel->down, 1, link->readable, tunnel->writable);
    }
    if (!sound || (tunnel->up.finished && tunnel->down.finished)) {
        close_both(tunnel);
        return;
    }
    if (busy && !timers_set(&tunnel->reactor->timers, &tunnel->again, tunnel->reactor->now_ms + 1))
        close_both(tunnel);
}

/* --- events -------------------------------------------------------------------------------- */

static void on_client(struct event_source *source, uint32_t events) {
    struct tunnel *tunnel = CONTAINER_OF(source, struct tunnel, source);

    if (tunnel->closed) return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) tunnel->readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) tunnel->writable = true;
    pump(tunnel);
}

static void on_again(struct timer *timer) {
    pump(CONTAINER_OF(timer, struct tunnel, again));
}

void tunnel_on_link(struct tunnel *tunnel) {
    pump(tunnel);
}

static bool preload(struct lane *lane, size_t least, struct span bytes) {
    lane->size = bytes.len > TUNNEL_BUFFER ? bytes.len : TUNNEL_BUFFER;
    if (lane->size < least) lane->size = least;
    lane->bytes = malloc(lane->size);
    if (!lane->bytes) return false;
    if (bytes.len) memcpy(lane->bytes, bytes.ptr, bytes.len);
    lane->end = bytes.len;
    return true;
}

static void release(struct tunnel *tunnel) {
    timers_clear(&tunnel->reactor->timers, &tunnel->again);
    free(tunnel->up.bytes);
    free(tunnel->down.bytes);
    free(tunnel);
}

struct tunnel *tunnel_new(struct reactor *reactor, const struct tunnel_client *client,
                          struct link *link, struct span up, struct span down,
                          void (*on_closed)(struct tunnel *tunnel), void *owner) {
    struct tunnel *tunnel = calloc(1, sizeof *tunnel);
    if (!tunnel) return NULL;

    tunnel->source.ready = on_client;
    tunnel->again.fire = on_again;
    tunnel->reactor = reactor;
    tunnel->client = *client;
    tunnel->link = link;
    tunnel->on_closed = on_closed;
    tunnel->owner = owner;
    tunnel->readable = tunnel->writable = true;
    link->readable = true;
    if (!preload(&tunnel->up, client->least, up) || !preload(&tunnel->down, 1, down) ||
        !timers_set(&reactor->timers, &tunnel->again, reactor->now_ms) ||
        !reactor_watch(reactor, client->fd, &tunnel->source,
                       EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
        release(tunnel);
        return NULL;
    }
    return tunnel;
}

void tunnel_stop(struct tunnel *tunnel) {
    if (!tunnel || !tunnel->link) return;
    tunnel->closed = true;
    tunnel->link = NULL; /* which may be gone before the tunnel is */
    timers_clear(&tunnel->reactor->timers, &tunnel->again);
    reactor_unwatch(tunnel->reactor, tunnel->client.fd);
}

void tunnel_free(struct tunnel *tunnel) {
    if (!tunnel) return;
    tunnel_stop(tunnel);
    release(tunnel);
}
