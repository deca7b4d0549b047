/*
 * conn: one client connection and the request on it, from accept to close. Owned by its worker.
 */
#ifndef SERVER_LOOP_CONN_H
#define SERVER_LOOP_CONN_H

#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/buf.h"
#include "common/reactor.h"
#include "server/loop/door.h"
#include "server/loop/view.h"
#include "server/policy/target.h"
#include "server/proxy/request_id.h"
#include "server/token/principal.h"

struct worker;

/* Connections that wait for bytes of the client, the one to expire first at the head. */
struct deadline_list {
    struct conn *head;
    struct conn *tail;
};

struct request {
    struct buf raw_target;                 /* as received; memory is kept from request to request */
    struct buf path;                       /* normalised */
    struct view *view;                     /* pinned while it is judged; NULL between requests */
    uint64_t number;                       /* no other request of this worker has it */
    struct request_id id;                  /* "" until reply_id() is asked for it */
    const struct config_route *route;      /* in view, that judges it; NULL: none */
    int64_t began_ms;                      /* monotonic; 0 = there was no request yet */
    int64_t wait_until_ms;                 /* monotonic; 0 = has not waited for keys */
    int64_t waited_ms;                     /* for keys */
    int64_t judged_ns;                     /* monotonic: when its judgement began, the last time */
    int64_t judged_at;                     /* wall clock, seconds: the moment it is judged by */
    const struct keyring_entry *waits_for; /* in view; NULL = does not wait */
    struct conn *waiting_next;
    struct conn *waiting_prev;
    bool admitted;           /* its head was found sound */
    struct door_result head; /* then: what the head said */
    bool unread_body;        /* it was answered while its body, if any, may still be on the way */
    struct span method;
    struct span host;         /* that it is for: of Host, or of the original */
    bool wrong_method;        /* the path has routes, none of them for the method */
    struct span cors_origin;  /* of the script that may read the answer; absent: of none */
    struct buf original_path; /* of the request that forward auth is asked about */
    bool asked_about;         /* method and target are another's: nothing but the verdict is due */
    struct target target;     /* its path is absent where it could not be read */
    struct principal *principal; /* NULL: nobody was authenticated */
    bool refused;
    struct refusal refusal; /* then: why */
    struct relay *relay;    /* it is with an upstream; NULL: it is not */
};

struct conn {
    struct worker *worker;
    struct MHD_Connection *mhd;
    struct tls *tls; /* pinned for the handshake; NULL: plain */
    struct sockaddr_storage address;
    char client[INET6_ADDRSTRLEN]; /* address in words, for logs */
    bool counted_by_address;
    bool admin; /* it came in by the admin listener */
    int fd;
    struct event_source hangup; /* the client's end, which libmicrohttpd does not see meanwhile */
    bool watched;               /* for that */
    bool hung_up;               /* it was seen */
    int64_t since_ms;           /* monotonic: when it came in */
    struct request request;
    struct parked *parked; /* what it is about to become; NULL: it stays a conn */

    struct deadline_list *waits_in; /* NULL while a request is being answered */
    int64_t deadline_ms;
    struct conn *next;
    struct conn *prev;
};

/* Put the connection at the end of list, with that deadline, taking it out of where it was. */
void conn_expect(struct conn *conn, struct deadline_list *list, int64_t deadline_ms);

/* It waits for nothing. */
void conn_expect_nothing(struct conn *conn);

/*
 * Cut off: libmicrohttpd sees the end of the stream and closes. The peer loses what it was sending.
 */
void conn_cut(struct conn *conn);

/* We send no more, and say so, as far as libmicrohttpd lets us. */
void conn_finish(struct conn *conn);

/* Cut off by a reset, which no client can take for the end of a body. What was sent but did not
 * arrive yet may be lost. */
void conn_reset(struct conn *conn);

#endif
