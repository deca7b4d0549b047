#include "server/loop/relay.h"

#include <stdlib.h>
#include <sys/ioctl.h>

#include "common/clock.h"
#include "server/loop/relay_request.h"
#include "server/loop/relay_response.h"
#include "server/loop/reply.h"

/* How long a client that waits for 100 (Continue) waits with us, when the upstream says nothing: it
 * need not wait for ever either (RFC 9110 section 10.1.1). */
#define PATIENCE_MS 1000
/* How often it is looked whether libmicrohttpd has read the last of a body whose client has left.
 */
#define LOOK_MS 20
/* Relays that a worker keeps for later requests, with their buffers. */
#define SPARES_MAX 64

/* --- the request --------------------------------------------------------------------------- */

static void on_hangup(struct event_source *source, uint32_t happened) {
    struct conn *conn = CONTAINER_OF(source, struct conn, hangup);
    if (!(happened & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    conn->hung_up = true;
    if (conn->request.relay) relay_client_gone(conn);
}

/* libmicrohttpd does not look at a suspended connection. */
static bool watch_client(struct conn *conn) {
    if (conn->watched) return true;
    conn->hangup.ready = on_hangup;
    conn->watched =
        reactor_watch(&conn->worker->reactor, conn->fd, &conn->hangup, EPOLLRDHUP | EPOLLET);
    return conn->watched;
}

static bool is_idempotent(struct span method) {
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (span_equal_text(method, methods[i])) return true;
    return false;
}

/* What can be said to libmicrohttpd now that the whole request was read, or none of its body. */
static enum MHD_Result settle(struct relay *relay) {
    if (relay->cut && !relay->response) return MHD_NO;
    if (relay->failed) {
        struct rejection rejection = relay_problem(relay);
        relay->status = problem_status(relay->conn->request.refusal.reason);
        return reply_refuse(relay->conn, &rejection);
    }
    if (!relay->response) {
        /* Many an upstream answers within a turn of the loop, in which libmicrohttpd asks again;
         * being suspended costs it two more system calls. */
        if (relay->asked || relay->phase != RELAY_UPLOADED)
            return relay_rest(relay) ? MHD_YES : MHD_NO;
        relay->asked = true;
        return MHD_YES;
    }
    enum MHD_Result result = MHD_queue_response(relay->conn->mhd, relay->status, relay->response);
    relay->sending = relay->response; /* which libmicrohttpd holds until the request is over */
    MHD_destroy_response(relay->response);
    relay->response = NULL;
    return result;
}

/*
 * The client's end was seen while libmicrohttpd was reading its body. Where the end came together
 * with the last bytes, libmicrohttpd takes them for all there is and waits for more.
 */
static void on_look(struct deferred *deferred) {
    struct relay *relay = CONTAINER_OF(deferred, struct relay, look);
    char byte;

    if (!relay->conn || relay->phase != RELAY_UPLOADING || relay->suspended) return;
    if (recv(relay->conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
        /* There will be no other event. */
        if (timers_set(&relay_reactor(relay)->timers, &relay->patience,
                       relay_reactor(relay)->now_ms + LOOK_MS))
            return;
    }
    relay_cut(relay, "the client closed first");
    conn_cut(relay->conn);
}

static void on_patience(struct timer *timer) {
    struct relay *relay = CONTAINER_OF(timer, struct relay, patience);
    if (relay->phase == RELAY_AWAITS_CONTINUE)
        relay_wake(relay);
    else
        reactor_defer(relay_reactor(relay), &relay->look);
}

static void free_relay(struct relay *relay) {
    transfer_free(&relay->transfer);
    free(relay);
}

static void bury(struct deferred *deferred) {
    struct relay *relay = CONTAINER_OF(deferred, struct relay, burial);
    struct worker *worker = relay->worker;

    if (worker->spare_count >= SPARES_MAX) {
        free_relay(relay);
        return;
    }
    relay->next = worker->spares;
    worker->spares = relay;
    worker->spare_count++;
}

/* A zeroed relay, but for the buffers in its transfer. */
static struct relay *allocate(struct worker *worker) {
    struct relay *relay = worker->spares;
    if (!relay) return calloc(1, sizeof *relay);
    worker->spares = relay->next;
    worker->spare_count--;
    struct transfer transfer = relay->transfer;
    memset(relay, 0, sizeof *relay);
    relay->transfer = transfer;
    return relay;
}

void relay_free_spares(struct worker *worker) {
    while (worker->spares) {
        struct relay *relay = worker->spares;
        worker->spares = relay->next;
        free_relay(relay);
    }
    worker->spare_count = 0;
}

static struct relay *make(struct conn *conn, const struct config_route *route) {
    struct worker *worker = conn->worker;
    struct relay *relay = allocate(worker);
    if (!relay) return NULL;

    relay->worker = worker;
    relay->conn = conn;
    relay->route = route;
    relay->phase = !conn->request.head.has_body          ? RELAY_UPLOADED
                   : conn->request.head.expects_continue ? RELAY_AWAITS_CONTINUE
                                                         : RELAY_UPLOADING;
    relay->patience.fire = on_patience;
    relay->look.run = on_look;
    relay->burial.run = bury;
    relay->next = worker->relays;
    if (worker->relays) worker->relays->prev = relay;
    worker->relays = relay;
    conn->request.relay = relay;
    return relay;
}

/* Set the transfer going. False, with what failed, where it cannot be. */
static bool start(struct relay *relay, enum transfer_failure *ret_why) {
    struct conn *conn = relay->conn;
    struct request *request = &conn->request;
    struct upstreams *upstreams = request->view->setup->upstreams;
    struct fields fields;

    *ret_why = TRANSFER_NO_MEMORY;
    if (!relay_collect(conn, &fields)) return false;
    relay->field_count = fields.count;
    relay->id = *reply_id(conn);
    /* A preflight that is passed on carries no token: it must not open a tunnel. */
    bool nobody = !request->principal && !relay->route->anonymous;
    bool plain = request->head.has_body || request->head.http_1_0 || nobody;
    struct span upgrade = plain ? SPAN_NONE : forward_upgrade(fields);
    if (upgrade.len >= TRANSFER_UPGRADE_MAX) upgrade = SPAN_NONE;
    struct transfer_request wanted = {
        .upstream = &upstreams->items[relay->route->upstream_index],
        .to_head = span_equal_text(request->method, "HEAD"),
        .upgrade = upgrade,
        .idempotent = is_idempotent(request->method),
        .body = relay_body_kind(&request->head),
    };
    if (!transfer_begin(&relay->transfer, &conn->worker->pool, &wanted, &relay_events, ret_why))
        return false;
    *ret_why = TRANSFER_NO_MEMORY;
    if (!relay_add_head(relay, fields, upgrade) || !watch_client(conn)) return false;
    transfer_start(&relay->transfer, relay->phase != RELAY_UPLOADING);
    return true;
}

enum MHD_Result relay_begin(struct conn *conn, const struct decision *decision) {
    if (!decision->allowed) return MHD_NO;
    struct relay *relay = make(conn, decision->route);
    enum transfer_failure why;

    if (!relay) {
        refuse(&conn->request.refusal, REASON_OUT_OF_MEMORY, "out of memory");
        return reply_refuse(conn, NULL);
    }
    if (!start(relay, &why)) {
        relay->failed = true;
        relay_explain(&conn->request.refusal, why);
    }
    relay->begun = true;
    if (relay->phase == RELAY_AWAITS_CONTINUE &&
        !timers_set(&relay_reactor(relay)->timers, &relay->patience,
                    relay_reactor(relay)->now_ms + PATIENCE_MS))
        return MHD_NO;
    /* A failure before the first byte of the body was looked at is answered like any refusal. */
    if (relay->phase == RELAY_UPLOADING && !relay->failed) return MHD_YES;
    return settle(relay);
}

static enum MHD_Result upload(struct relay *relay, struct span bytes, size_t *ret_left) {
    relay->calls++;
    size_t taken = transfer_add(&relay->transfer, bytes);
    *ret_left = bytes.len - taken;
    if (relay->answered || relay->cut) return MHD_NO;
    return *ret_left == 0 || relay_rest(relay) ? MHD_YES : MHD_NO;
}

static void complete(struct relay *relay) {
    struct refusal *refusal = &relay->conn->request.refusal;
    struct field_list *fields = &relay->worker->fields;
    struct buf trailers = buf_make(FORWARD_HEAD_MAX);

    relay->phase = RELAY_UPLOADED;
    relay->conn->request.unread_body = false;
    if (relay->failed) return;
    relay->failed = !door_check_trailers(relay->conn->mhd, fields, refusal);
    if (!relay->failed && !relay_add_trailers(relay, field_list_all(fields), &trailers)) {
        relay->failed = true;
        refuse(refusal, REASON_OUT_OF_MEMORY, "out of memory");
    }
    if (relay->failed)
        transfer_end(&relay->transfer); /* its last chunk was not sent: it is no whole request */
    else
        transfer_complete(&relay->transfer, buf_span(&trailers));
    buf_done(&trailers);
}

enum MHD_Result relay_on_call(struct conn *conn, const char *bytes, size_t *len) {
    struct relay *relay = conn->request.relay;

    if (relay->answered || (relay->cut && !relay->response)) return MHD_NO;
    if (*len) return upload(relay, (struct span){bytes, *len}, len);
    if (relay->phase == RELAY_AWAITS_CONTINUE) {
        timers_clear(&relay_reactor(relay)->timers, &relay->patience);
        if (relay->failed || relay->response) return settle(relay);
        relay->phase = RELAY_UPLOADING; /* libmicrohttpd sends 100 now */
        return MHD_YES;
    }
    if (relay->phase == RELAY_UPLOADING) complete(relay);
    return settle(relay);
}

/* --- the end ------------------------------------------------------------------------------- */

/* Why it did not come to its end; NULL where it did. */
static const char *why_ended(const struct relay *relay, enum MHD_RequestTerminationCode code) {
    if (relay->failed) return *relay->why ? relay->why : relay->conn->request.refusal.text;
    if (relay->cut) return relay->cut;
    if (relay->answered) return NULL;
    switch (code) {
    case MHD_REQUEST_TERMINATED_COMPLETED_OK:
        return NULL;
    case MHD_REQUEST_TERMINATED_TIMEOUT_REACHED:
        return "the client did nothing for limits.idle_timeout";
    case MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN:
        return "the server stops";
    case MHD_REQUEST_TERMINATED_READ_ERROR:
    case MHD_REQUEST_TERMINATED_CLIENT_ABORT:
    case MHD_REQUEST_TERMINATED_WITH_ERROR:
        break;
    }
    return "the client closed first, or what it sent is not valid";
}

static void log_relay(const struct relay *relay, enum MHD_RequestTerminationCode code) {
    const struct conn *conn = relay->conn;
    const struct request *request = &conn->request;
    const char *why = why_ended(relay, code);
    int64_t now = clock_monotonic_ms(), head_ms = relay->transfer.head_ms;

    LOG(LOG_INFO,
        relay->failed ? "failed"
        : why         ? "cut off"
                      : "forwarded",
        LOG_TEXT("client", conn->client), LOG_SPAN("method", request->method),
        LOG_SPAN("path", reply_path(request)), LOG_SPAN("host", request->host),
        LOG_TEXT("route", relay->route->path), LOG_NUMBER("status", relay->status),
        LOG_SPAN("user", request->principal ? principal_user(request->principal) : SPAN_NONE),
        LOG_TEXT("upstream", relay->route->upstream), LOG_TEXT("target", relay->transfer.target),
        LOG_TEXT("request_id", relay->id.text),
        LOG_TEXT("reason", relay->failed ? reason_name(request->refusal.reason) : NULL),
        LOG_TEXT("why", why), LOG_NUMBER("bytes", relay->transfer.body_bytes),
        LOG_NUMBER("waited_ms", request->waited_ms),
        LOG_NUMBER("upstream_ms", head_ms ? head_ms - relay->transfer.began_ms : 0),
        LOG_NUMBER("took_ms", now - request->began_ms));
}

static void unlink_relay(struct relay *relay) {
    if (relay->prev)
        relay->prev->next = relay->next;
    else
        relay->conn->worker->relays = relay->next;
    if (relay->next) relay->next->prev = relay->prev;
}

void relay_end(struct conn *conn, enum MHD_RequestTerminationCode code) {
    struct relay *relay = conn->request.relay;
    if (!relay) return;

    tally_relay(relay);
    if (conn->worker->view->setup->config->log.access) log_relay(relay, code);
    if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK) relay_mark_broken(relay);
    timers_clear(&relay_reactor(relay)->timers, &relay->patience);
    timers_clear(&relay_reactor(relay)->timers, &relay->expiry);
    tunnel_free(relay->tunnel);
    transfer_end(&relay->transfer);
    if (relay->response) MHD_destroy_response(relay->response);
    unlink_relay(relay);
    conn->request.relay = NULL;
    relay->conn = NULL; /* which ends now */
    reactor_defer(relay_reactor(relay), &relay->burial);
}

void relay_client_gone(struct conn *conn) {
    struct relay *relay = conn->request.relay;
    if (relay->tunnel) return; /* which sees it itself */
    if (relay->suspended)
        relay_cut(relay, "the client closed first");
    else if (relay->phase == RELAY_UPLOADING)
        reactor_defer(relay_reactor(relay), &relay->look);
}

/* Bytes that the system holds for libmicrohttpd to read. */
static int unread(const struct relay *relay) {
    int count = 0;
    return ioctl(relay->conn->fd, FIONREAD, &count) == 0 ? count : 0;
}

static void refuse_stuck(struct relay *relay) {
    struct conn *conn = relay->conn;

    if (!relay->answered) {
        refuse(&conn->request.refusal, REASON_FRAMING,
               "a chunk line or trailer section is larger than any buffer");
        relay->failed = true;
        transfer_end(&relay->transfer);
        relay_refuse_at_once(relay);
    }
    /* Where libmicrohttpd watches the socket it sees the end now; where not, in a second. */
    conn_cut(conn);
    MHD_set_connection_option(conn->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 1U);
}

void relay_cut_stuck(struct worker *worker) {
    for (struct relay *relay = worker->relays; relay; relay = relay->next) {
        if (relay->phase != RELAY_UPLOADING || relay->suspended) continue;
        bool stuck = relay->calls == relay->last_calls && unread(relay) > 0;
        relay->last_calls = relay->calls;
        if (stuck) refuse_stuck(relay);
    }
}

void relay_stop_all(struct worker *worker) {
    for (struct relay *relay = worker->relays; relay; relay = relay->next)
        relay_cut(relay, "the server stops");
}
