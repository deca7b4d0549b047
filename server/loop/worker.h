/*
 * worker: one thread with one event loop. It accepts, lets libmicrohttpd parse and send, and owns
 * its connections, requests and view; no other thread touches them.
 */
#ifndef SERVER_LOOP_WORKER_H
#define SERVER_LOOP_WORKER_H

#include <pthread.h>

#include "common/reactor.h"
#include "server/loop/conn.h"
#include "server/proxy/field.h"
#include "server/proxy/pool.h"
#include "server/token/authenticate.h"

/* A listening socket as this worker watches it. */
struct watch {
    struct event_source source;
    struct worker *worker;
    struct listener *listener;
    struct tls *tls;
    bool admin;
};

/* A connection on its way to libmicrohttpd. */
struct arrival {
    int fd;
    struct sockaddr_storage *address;
    struct tls *tls; /* NULL: plain */
    bool admin;      /* it came in by the admin listener */
    bool counted_by_address;
    uint64_t consumed; /* bytes of the requests that came on it before */
    bool taken;        /* a conn was made for it, which counts it out again */
};

/* Connections that are parked (loop/park), the one that rests for the longest time at the head. */
struct parked_list {
    struct parked *head;
    struct parked *tail;
};

struct worker {
    struct shared *shared;
    pthread_t thread;
    unsigned index;
    struct reactor reactor;
    int wake_fd; /* eventfd: something was published, or the end is near */
    struct event_source wake_source;
    struct event_source http_source; /* for the descriptors of the two daemons */

    size_t pool_size; /* memory that libmicrohttpd has for each connection */
    struct MHD_Daemon *plain;
    struct MHD_Daemon *secure; /* made when the first TLS listener appears */
    struct watch *watches;
    size_t watch_count;
    uint64_t watched_generation; /* of the setup whose listeners these are */
    bool accepting;              /* the watches are in the epoll set */
    int64_t accept_again_ms; /* monotonic: when to try again after descriptors ran out; 0 = now */
    struct arrival arrival;  /* that is being handed to libmicrohttpd */

    struct view *view;
    struct deadline_list heads;   /* connections whose request head is due */
    struct deadline_list idle;    /* connections that rest until the next request */
    struct deadline_list staying; /* those of them that cannot be parked */
    struct parked_list parting;   /* those that libmicrohttpd is about to let go of */
    struct parked_list parked;
    struct conn *waiting; /* connections suspended until keys were fetched */
    unsigned waiting_count;
    struct lingerer *lingering; /* closed connections whose client still sends; oldest first */
    struct lingerer *lingering_last;
    unsigned lingering_count;
    struct aids aids;      /* its cache NULL: no verified tokens are kept */
    size_t tokens_max;     /* entries it was made for */
    struct pool pool;      /* connections to upstreams */
    struct probes *probes; /* health checks, in the first worker; NULL: none */
    struct relay *relays;  /* requests that are with an upstream */
    struct relay *spares;  /* relays to be used again */
    unsigned spare_count;
    uint64_t requests;        /* how many there were: each has the count for its number */
    struct field_list fields; /* of the request at hand */
    unsigned idle_turns;      /* in a row: see relay_cut_stuck() */
    uint64_t connections;
    int64_t tallied_ms;         /* monotonic: when tally_cache() was called last */
    struct throttle tells_full; /* log lines that strangers could call forth without end */
    struct throttle tells_pause;
    _Atomic int64_t heartbeat_ms;
};

/* The longest that a worker's heartbeat lies in the past while all is well. */
#define WORKER_HEARTBEAT_MS 1000

/* Start a worker's thread. Returns 0, or ERR_SYSTEM, ERR_MEMORY with the reason. */
int worker_start(struct worker *worker, unsigned index, struct shared *shared,
                 struct err_text *err) MUST_CHECK;

/*
 * The worker's thread: hand a connection that the census counts to libmicrohttpd, which owns the
 * descriptor from now on. Where that fails it is closed and counted out.
 */
void worker_hand_over(struct worker *worker, const struct arrival *arrival);

/* Any thread: look at shared again, soon. */
void worker_wake(struct worker *worker);

/* Wait for the end of the thread, which shared.draining or shared.stopping brings about. */
void worker_join(struct worker *worker);

/* Close all that is left and free it. After worker_join(), when nobody wakes the worker any more.
 */
void worker_release(struct worker *worker);

#endif
