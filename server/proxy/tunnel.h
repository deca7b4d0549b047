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

/*
 * How bytes are read from the client and written to it: as wire_read(), wire_write() and
 * wire_finish() have it. least is the room that a read must be given: who reads records would
 * otherwise keep the rest of one where nobody looks.
 */
struct tunnel_client {
    int fd;
    size_t least;
    void *argument;
    enum wire_result (*read)(const struct tunnel_client *client, char *to, size_t max,
                             size_t *ret_len);
    enum wire_result (*write)(const struct tunnel_client *client, struct span bytes,
                              size_t *ret_len);
    void (*finish)(const struct tunnel_client *client);
};

/* A client on a plain socket. */
struct tunnel_client tunnel_plain_client(int fd);

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
    struct tunnel_client client;
    bool readable, writable; /* the client's socket; the link has its own */
    bool closed;             /* it moves no more */
    struct link *link;
    struct lane up, down; /* to the upstream; to the client */
    void (*on_closed)(struct tunnel *tunnel);
    void *owner; /* for on_closed */
};

/*
 * Begin between the client, whose socket stays the caller's, and link, which stays the transfer's.
 * up and down are bytes that were received already; they are copied. on_closed is called once, from
 * the event loop, when both directions have ended or one is broken. Returns NULL without memory.
 */
struct tunnel *tunnel_new(struct reactor *reactor, const struct tunnel_client *client,
                          struct link *link, struct span up, struct span down,
                          void (*on_closed)(struct tunnel *tunnel), void *owner) MUST_CHECK;

/* Something happened on the link. */
void tunnel_on_link(struct tunnel *tunnel);

/* Let go of both sockets: no byte moves any more, and on_closed is not called. Fine twice, on NULL,
 * and from on_closed. */
void tunnel_stop(struct tunnel *tunnel);

/* Stop and free it, not in the middle of a turn. NULL is fine. */
void tunnel_free(struct tunnel *tunnel);

#endif
