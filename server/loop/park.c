#include "server/loop/park.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Long enough that a connection in steady use is not handed to and fro, which takes as much time as
 * a few requests; short beside the time for which clients keep connections that they do not use. */
#define PARK_AFTER_MS 3000
/* Parked in one go, so that a crowd that falls silent at once does not hold up the loop. */
#define ROUND_MAX 32

struct parked {
    struct event_source source;
    struct worker *worker;
    struct conn *conn; /* that libmicrohttpd still has; NULL: it let go of it */
    int fd;            /* a duplicate, which outlives libmicrohttpd's */
    bool admin;
    bool counted_by_address;
    unsigned timeout_s; /* that libmicrohttpd had for it */
    uint64_t consumed;  /* bytes of its requests so far */
    int64_t since_ms;   /* monotonic: when it began to rest */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } address;
    struct parked *next;
    struct parked *prev;
};

static const struct config_limits *limits_of(const struct worker *worker) {
    return &worker->view->setup->config->limits;
}

/* --- the lists ------------------------------------------------------------------------------- */

static void append(struct parked_list *list, struct parked *parked) {
    parked->next = NULL;
    parked->prev = list->tail;
    *(list->tail ? &list->tail->next : &list->head) = parked;
    list->tail = parked;
}

static void take_out(struct parked_list *list, struct parked *parked) {
    *(parked->prev ? &parked->prev->next : &list->head) = parked->next;
    *(parked->next ? &parked->next->prev : &list->tail) = parked->prev;
}

/* --- coming back ----------------------------------------------------------------------------- */

/* Free it; the descriptor is closed or somebody else's. */
static void forget(struct parked_list *list, struct parked *parked) {
    take_out(list, parked);
    free(parked);
}

static void end(struct worker *worker, struct parked *parked) {
    census_leave(worker->shared->census, &parked->address.any, parked->counted_by_address);
    close(parked->fd);
    forget(&worker->parked, parked);
}

static void on_bytes(struct event_source *source, uint32_t events) {
    struct parked *parked = CONTAINER_OF(source, struct parked, source);
    struct worker *worker = parked->worker;
    char byte;
    (void)events;

    ssize_t n = recv(parked->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        end(worker, parked);
        return;
    }
    struct sockaddr_storage address = {0};
    memcpy(&address, &parked->address, sizeof parked->address);
    reactor_unwatch(&worker->reactor, parked->fd);
    worker_hand_over(worker, &(struct arrival){.fd = parked->fd,
                                               .address = &address,
                                               .admin = parked->admin,
                                               .consumed = parked->consumed,
                                               .counted_by_address = parked->counted_by_address});
    forget(&worker->parked, parked);
}

/* --- leaving --------------------------------------------------------------------------------- */

/*
 * Is there no byte in libmicrohttpd's buffer that belongs to a request still to come? It would be
 * lost. The kernel tells how many came in and how many of them nobody has read yet; the rest must
 * be exactly the requests that were seen whole.
 */
static bool has_nothing_unused(const struct conn *conn) {
    struct tcp_info info;
    socklen_t len = sizeof info;
    int unread;

    /* In this order: what comes in between makes the sum wrong, not right. */
    if (ioctl(conn->fd, SIOCINQ, &unread) < 0 ||
        getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received)
        return false;
    return info.tcpi_bytes_received - (uint64_t)unread == conn->request.head.consumed;
}

static bool can_park(const struct conn *conn) {
    bool tcp = conn->address.ss_family == AF_INET || conn->address.ss_family == AF_INET6;
    return tcp && !conn->tls && has_nothing_unused(conn);
}

/* request_on_completed() put it into the list with this deadline. */
static int64_t rests_since(const struct worker *worker, const struct conn *conn) {
    return conn->deadline_ms - limits_of(worker)->idle_timeout - limits_of(worker)->header_timeout;
}

/* All that can fail is done before anything is given up. NULL: it failed. */
static struct parked *prepare(struct worker *worker, struct conn *conn) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn->mhd, MHD_CONNECTION_INFO_CONNECTION_TIMEOUT);
    struct parked *parked = calloc(1, sizeof *parked);
    if (!parked || !info) {
        free(parked);
        return NULL;
    }
    parked->source.ready = on_bytes;
    parked->worker = worker;
    parked->conn = conn;
    parked->admin = conn->admin;
    parked->counted_by_address = conn->counted_by_address;
    parked->consumed = conn->request.head.consumed;
    parked->timeout_s = info->connection_timeout;
    parked->since_ms = rests_since(worker, conn);
    memcpy(&parked->address, &conn->address, sizeof parked->address);
    parked->fd = fcntl(conn->fd, F_DUPFD_CLOEXEC, 0);
    if (parked->fd >= 0 &&
        reactor_watch(&worker->reactor, parked->fd, &parked->source, EPOLLIN | EPOLLRDHUP))
        return parked;
    if (parked->fd >= 0) close(parked->fd);
    free(parked);
    return NULL;
}

/* libmicrohttpd keeps it. */
static void undo(struct worker *worker, struct parked *parked) {
    parked->conn->parked = NULL;
    reactor_unwatch(&worker->reactor, parked->fd);
    close(parked->fd);
    forget(&worker->parting, parked);
}

void park_resting(struct worker *worker) {
    int64_t due_ms = worker->reactor.now_ms - PARK_AFTER_MS;

    for (int i = 0; i < ROUND_MAX && worker->idle.head; i++) {
        struct conn *conn = worker->idle.head;
        if (rests_since(worker, conn) > due_ms) return;
        struct parked *parked = can_park(conn) ? prepare(worker, conn) : NULL;
        conn_expect(conn, &worker->staying, conn->deadline_ms);
        if (!parked) continue;
        conn->parked = parked;
        append(&worker->parting, parked);
        /* It has rested for longer than that: MHD_run() closes it before it reads another byte. */
        MHD_set_connection_option(conn->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 1u);
    }
}

bool park_keeps(struct conn *conn) {
    struct worker *worker = conn->worker;
    struct parked *parked = conn->parked;

    if (!parked) return false;
    /* Once more, should bytes have come in between the two questions. */
    if (!has_nothing_unused(conn) && !has_nothing_unused(conn)) {
        undo(worker, parked);
        return false;
    }
    LOG(LOG_DEBUG, "parked", LOG_TEXT("client", conn->client));
    take_out(&worker->parting, parked);
    parked->conn = NULL;
    append(&worker->parked, parked);
    return true;
}

void park_settle(struct worker *worker) {
    if (!worker->parting.head) return;
    /* One run finds that their time is over, and the next lets go of them. */
    MHD_run(worker->plain);
    while (worker->parting.head) {
        struct parked *parked = worker->parting.head;
        MHD_set_connection_option(parked->conn->mhd, MHD_CONNECTION_OPTION_TIMEOUT,
                                  parked->timeout_s);
        undo(worker, parked);
    }
}

/* --- time ------------------------------------------------------------------------------------ */

void park_expire(struct worker *worker, bool all) {
    while (worker->parked.head) {
        int64_t end_ms = worker->parked.head->since_ms + limits_of(worker)->idle_timeout;
        if (!all && end_ms > worker->reactor.now_ms) return;
        end(worker, worker->parked.head);
    }
}

int64_t park_next_ms(const struct worker *worker) {
    int64_t next = INT64_MAX;
    if (worker->parked.head) next = worker->parked.head->since_ms + limits_of(worker)->idle_timeout;
    if (worker->idle.head) {
        int64_t due_ms = rests_since(worker, worker->idle.head) + PARK_AFTER_MS;
        /* Those that a round left over wait for the next turn, which must not seem to be idle. */
        if (due_ms <= worker->reactor.now_ms) due_ms = worker->reactor.now_ms + 1;
        if (due_ms < next) next = due_ms;
    }
    return next;
}
