/*
 * relay_state: what a relay is, and what may become of it in the middle of things: it rests, goes
 * on, is cut off, or fails. For the relay's own files alone.
 */
#ifndef SERVER_LOOP_RELAY_STATE_H
#define SERVER_LOOP_RELAY_STATE_H

#include "server/answer/problem.h"
#include "server/loop/worker.h"
#include "server/proxy/request_id.h"
#include "server/proxy/transfer.h"
#include "server/proxy/tunnel.h"

enum phase {
    RELAY_AWAITS_CONTINUE, /* libmicrohttpd asks before it lets the client send the body */
    RELAY_UPLOADING,       /* libmicrohttpd is reading the request's body */
    RELAY_UPLOADED,        /* the whole request was read */
};

struct relay {
    struct transfer transfer;
    struct worker *worker;
    struct conn *conn;
    const struct config_route *route;
    enum phase phase;
    bool suspended;
    bool asked;                    /* for an answer, when there was none yet */
    unsigned calls;                /* of libmicrohttpd with bytes of the body */
    unsigned last_calls;           /* when relay_cut_stuck() looked */
    struct MHD_Response *response; /* the upstream's, once it has begun and until it is queued */
    struct MHD_Response *sending;  /* the same, afterwards */
    unsigned status;               /* what the client is told; 0: nothing yet */
    bool failed;                   /* request.refusal says how */
    bool answered;                 /* past libmicrohttpd */
    bool endless;                  /* a body of unknown length */
    const char *cut;               /* it is over before its time; why */
    char why[200];                 /* of a failure, for the log only: it may tell of inner hosts */
    bool begun;                    /* relay_begin() is over */
    struct request_id id;
    size_t field_count; /* of the request */
    struct timer patience;
    struct timer expiry;
    struct tunnel *tunnel;
    struct MHD_UpgradeResponseHandle *handle;
    struct deferred look; /* whether the client has left */
    struct deferred burial;
    struct relay *next;
    struct relay *prev;
};

/* The loop that it lives in. */
static inline struct reactor *relay_reactor(const struct relay *relay) {
    return &relay->worker->reactor;
}

/*
 * Let libmicrohttpd leave the connection alone, from within its calls. False where the client's end
 * was seen, which nobody would tell of again: the relay is cut off then.
 */
bool relay_rest(struct relay *relay) MUST_CHECK;

/* Let libmicrohttpd go on with it, if it was left alone. */
void relay_wake(struct relay *relay);

/* Be done with the upstream, and close a connection that was upgraded. */
void relay_end_tunnel(struct relay *relay);

/* It is over before its time: the transfer at once, the connection as soon as libmicrohttpd asks.
 * why lives as long as the relay. */
void relay_cut(struct relay *relay, const char *why);

/* From now on it is cut off when the token expires that opened it, where its route says so. */
void relay_watch_expiry(struct relay *relay);

/* The refusal that a failure is to the client, who is told nothing of hosts behind the gate. */
void relay_explain(struct refusal *refusal, enum transfer_failure failure);

/* What a refusal of it tells besides the reason. */
struct rejection relay_problem(const struct relay *relay);

/*
 * Send bytes, a whole answer, to a request whose body is still coming. libmicrohttpd could send
 * none before it has read all of that, which may be long or never; so it goes past it, and the
 * connection is closed.
 */
void relay_answer_early(struct relay *relay, struct buf *bytes);

/* The same with the refusal that stands in the request. */
void relay_refuse_at_once(struct relay *relay);

/*
 * A body that is cut off must not look complete. Chunks and lengths show it; for a client of
 * HTTP/1.0, to which the end of the connection is the end of the body, only a reset does.
 */
void relay_mark_broken(struct relay *relay);

/* The upstream failed: a refusal where there was no answer yet, else the end of its body. why is
 * copied, for the log. */
void relay_fail(struct relay *relay, enum transfer_failure failure, const char *why);

#endif
