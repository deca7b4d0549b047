/*
 * tunnel: bytes both ways between a client and an upstream, once they have switched protocols (RFC
 * 9110 section 7.8). Each direction ends by itself; bytes are read only when the other side takes
 * them.
 */
#ifndef SERVER_PROXY_TUNNEL_H
#define SERVER_PROXY_TUNNEL_H

#include "common/span.h"
#include "server/proxy/pool.h"

/* Bytes under way in each direction, at least. */
#define TUNNEL_BUFFER (16 * 1024)

/* One direction. */
struct lane {
    char *bytes;
    size_t size;
    size_t start, end;
    bool ended;    /* the source has no more */
    bool finished; /* and the sink was told */
    uint64_t total;
};

struct tunnel {
    struct event_source source; /* of the client's socket */
    struct timer again;         /* there is more to do, but others have their turn first */
    struct reactor *reactor;
    int fd;
    bool readable, writable; /* the client's socket; the link has its own */
    bool closed;             /* on_closed was called */
    struct link *link;
    struct lane up, down; /* to the upstream; to the client */
    void (*on_closed)(struct tunnel *tunnel);
    void *owner; /* for on_closed */
};

/*
 * Begin between the client's socket fd, which stays the caller's, and link, which stays the
 * transfer's. up and down are bytes that were received already; they are copied. on_closed is
 * called once, from the event loop, when both directions have ended or one is broken. Returns NULL
 * without memory.
 */
struct tunnel *tunnel_new(struct reactor *reactor, int fd, struct link *link, struct span up,
                          struct span down, void (*on_closed)(struct tunnel *tunnel),
                          void *owner) MUST_CHECK;

/* Something happened on the link. */
void tunnel_on_link(struct tunnel *tunnel);

/* Let go of both sockets and free it; on_closed is not called any more. NULL is fine. At the end of
 * the turn at the earliest where it is called from on_closed. */
void tunnel_free(struct tunnel *tunnel);

#endif
