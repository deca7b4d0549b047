/*
 * transfer: one request to an upstream and the response to it, without a thread and without
 * blocking. It knows nothing of who asked: its owner puts the request in, is told by events what
 * became of it, and takes the body out when it has use for it. What the owner does not take is not
 * read, and what the upstream does not take is not accepted, so that memory stays bounded.
 */
#ifndef SERVER_PROXY_TRANSFER_H
#define SERVER_PROXY_TRANSFER_H

#include "server/proxy/forward.h"
#include "server/proxy/pool.h"
#include "server/proxy/response.h"

enum transfer_failure {
    TRANSFER_NO_PEER,     /* every target is down */
    TRANSFER_UNREACHABLE, /* not resolved, not connected, or no TLS */
    TRANSFER_CLOSED,      /* it hung up without an answer, or in the middle of one */
    TRANSFER_MALFORMED,   /* its answer can be read in more than one way, or in none */
    TRANSFER_TIMEOUT,
    TRANSFER_NO_MEMORY,
};

/*
 * Called in the middle of the transfer's work, on its thread: the owner may call any function of
 * this room, transfer_end() as well, but must not free the memory of the transfer.
 */
struct transfer_events {
    /* An interim response (1xx, never 101). */
    void (*on_interim)(struct transfer *transfer, const struct response_head *head);
    /* The response has begun. head and what it points to live until the owner returns, or until
     * transfer_read() or transfer_end() is called. */
    void (*on_head)(struct transfer *transfer, const struct response_head *head);
    /* A transfer_read() that gave TRANSFER_AGAIN may be called again; or, behind 101, something
     * happened on the link. */
    void (*on_body)(struct transfer *transfer);
    /* A transfer_add() that took less than it was given may be called again. */
    void (*on_room)(struct transfer *transfer);
    /* There will be no response, or, after on_head, its body is cut off. */
    void (*on_failed)(struct transfer *transfer, enum transfer_failure failure, const char *why);
};

enum transfer_state {
    TRANSFER_NEW,
    TRANSFER_CONNECTING,
    TRANSFER_WAITING, /* for the head of the response */
    TRANSFER_BODY,
    TRANSFER_TUNNEL, /* 101: the link belongs to the owner */
    TRANSFER_ENDED,
    TRANSFER_FAILED,
};

/* A longer list of protocols to switch to is not asked for. */
#define TRANSFER_UPGRADE_MAX 128

struct transfer {
    struct pool *pool;
    struct upstream *upstream;
    struct peer *only; /* NULL: any of the upstream's */
    const struct transfer_events *events;
    struct peer *peer;  /* lives with the upstreams; its active count includes this transfer */
    const char *target; /* the name of the last one; lives with the upstreams */
    struct link *link;  /* NULL: none (any more) */
    enum transfer_state state;

    struct buf out; /* the request as far as it was not sent; its head stays while replayable */
    size_t sent;    /* of out */
    bool replayable;
    bool has_body;
    bool chunked;      /* the body's length is not known beforehand */
    bool complete;     /* all of the request is in out, or sent */
    bool refused_room; /* the owner waits for on_room */
    bool read_failed;  /* the system tells of a reset only once */
    bool cannot_send;  /* the upstream takes no more; its answer may still be there */
    bool retried;      /* on a fresh connection, because the kept one was stale */
    unsigned connects; /* attempts to reach a peer */
    struct deferred flush;

    char *in; /* bytes received */
    size_t in_start, in_end, in_size;
    size_t scanned;
    unsigned interims;
    bool received; /* anything at all */
    struct response_context context;
    char upgrade[TRANSFER_UPGRADE_MAX]; /* the protocols that 101 may name */
    struct body body;
    bool keep_alive; /* the response lets the connection live on */
    bool starving;   /* the owner waits for on_body */

    struct timer timer;
    int64_t began_ms;
    int64_t progress_ms; /* when the present wait began */
    int64_t head_ms;     /* when the response began */
    uint64_t body_bytes; /* of the response, handed out so far */
};

struct transfer_request {
    struct upstream *upstream;
    struct peer *only;
    bool to_head;        /* the method is HEAD */
    struct span upgrade; /* the protocols that 101 may switch to; absent, or too long: none */
    bool idempotent;     /* the method is (RFC 9110 section 9.2.2) */
    enum forward_body body;
};

/*
 * Prepare and choose a peer. The transfer is zeroed, or has ended: then its buffers are used again.
 * False where there is none, or no memory (*ret_why): transfer_end() is
 * still due. The upstream must outlive the transfer.
 */
bool transfer_begin(struct transfer *transfer, struct pool *pool,
                    const struct transfer_request *request, const struct transfer_events *events,
                    enum transfer_failure *ret_why) MUST_CHECK;

/*
 * The head stands in transfer->out, put there by the owner: go. A request with a body is sent at
 * the end of the turn, so that a small body goes with its head in one write. now: send at once all
 * the same. on_failed may be called before this returns.
 */
void transfer_start(struct transfer *transfer, bool now);

/*
 * Take bytes of the request's body. Returns how many were taken; less than all: wait for on_room.
 * What comes after the end of the response, or after a failure, is taken and dropped.
 */
size_t transfer_add(struct transfer *transfer, struct span bytes);

/* The body is complete. trailers: field lines with their CRLFs for behind a chunked one. */
void transfer_complete(struct transfer *transfer, struct span trailers);

/*
 * From within on_head: the whole body, where it is here already and has no trailers. *ret lives
 * until transfer_end(). False: read it by transfer_read().
 */
bool transfer_whole(struct transfer *transfer, struct span *ret);

enum transfer_read {
    TRANSFER_DATA,
    TRANSFER_AGAIN, /* wait for on_body */
    TRANSFER_END,
    TRANSFER_BROKEN, /* on_failed was called */
};

/* Read up to max (> 0) bytes of the body; *ret_len > 0 with TRANSFER_DATA. */
enum transfer_read transfer_read(struct transfer *transfer, char *to, size_t max, size_t *ret_len);

/*
 * Be done with it, whatever its state: what is under way is cut off, and its bytes are forgotten.
 * Fine twice, and on a zeroed one. The transfer itself must live to the end of the turn.
 */
void transfer_end(struct transfer *transfer);

/* Free the buffers of a transfer that has ended, or is zeroed. */
void transfer_free(struct transfer *transfer);

/* For the pool: something happened on the link. */
void transfer_on_link(struct transfer *transfer);

#endif
