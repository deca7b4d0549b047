#include "server/loop/relay.h"

#include <stdlib.h>
#include <sys/ioctl.h>

#include "common/clock.h"
#include "server/loop/bypass.h"
#include "server/loop/reply.h"
#include "server/proxy/request_id.h"
#include "server/proxy/transfer.h"
#include "server/proxy/tunnel.h"

/* What libmicrohttpd takes of a body in one go. */
#define BLOCK_SIZE (16 * 1024)
/* How long a client that waits for 100 (Continue) waits with us, when the upstream says nothing: it
 * need not wait for ever either (RFC 9110 section 10.1.1). */
#define PATIENCE_MS 1000
/* How often, at least, the wall clock is asked whether a token has expired: it may be set. */
#define EXPIRY_LOOK_MS 60000
#define TRAILERS_MAX 64
#define FIELDS_STEP 64
/* The part of an assertion's lifetime, one in so many, that is left when another is made. */
#define ASSERTION_RESERVE 6
/* Relays that a worker keeps for later requests, with their buffers. */
#define SPARES_MAX 64

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
    const char *target;            /* the name of the peer */
    bool begun;                    /* relay_begin() is over */
    struct request_id id;
    struct timer patience;
    struct timer expiry;
    struct tunnel *tunnel;
    struct MHD_UpgradeResponseHandle *handle;
    struct deferred burial;
    struct relay *next;
    struct relay *prev;
};

static struct reactor *reactor_of(const struct relay *relay) {
    return &relay->conn->worker->reactor;
}

/* --- being suspended ----------------------------------------------------------------------- */

static void rest(struct relay *relay) {
    relay->suspended = true;
    MHD_suspend_connection(relay->conn->mhd);
}

static void wake(struct relay *relay) {
    if (!relay->suspended) return;
    relay->suspended = false;
    MHD_resume_connection(relay->conn->mhd);
}

/* libmicrohttpd closes the connection in its next turn. */
static void end_tunnel(struct relay *relay) {
    transfer_end(&relay->transfer);
    if (relay->handle) MHD_upgrade_action(relay->handle, MHD_UPGRADE_ACTION_CLOSE);
    relay->handle = NULL;
}

/* It is over: the transfer at once, the connection as soon as libmicrohttpd asks. */
static void cut(struct relay *relay, const char *why) {
    if (!relay->cut) relay->cut = why;
    end_tunnel(relay);
    wake(relay);
}

/* --- streams end with the token that opened them ------------------------------------------- */

static bool expires_in(const struct relay *relay, int64_t *ret_ms) {
    const struct principal *principal = relay->conn->request.principal;
    if (!principal || !relay->route->close_at_expiry) return false;
    int64_t end = principal_expires(principal) * 1000 + principal_issuer(principal)->leeway;
    *ret_ms = end - clock_wall_ms();
    return true;
}

static void watch_expiry(struct relay *relay) {
    int64_t left;
    if (!expires_in(relay, &left)) return;
    if (left > EXPIRY_LOOK_MS) left = EXPIRY_LOOK_MS;
    if (left > 0 &&
        timers_set(&reactor_of(relay)->timers, &relay->expiry, reactor_of(relay)->now_ms + left))
        return;
    cut(relay, left > 0 ? "out of memory" : "the token that opened it has expired");
}

static void on_expiry(struct timer *timer) {
    watch_expiry(CONTAINER_OF(timer, struct relay, expiry));
}

/* --- failures ------------------------------------------------------------------------------ */

static void explain(struct refusal *refusal, enum transfer_failure failure) {
    switch (failure) {
    case TRANSFER_NO_PEER:
        refuse(refusal, REASON_UPSTREAM_DOWN, "the upstream is down");
        return;
    case TRANSFER_UNREACHABLE:
        refuse(refusal, REASON_UPSTREAM_UNREACHABLE, "the upstream could not be reached");
        return;
    case TRANSFER_CLOSED:
        refuse(refusal, REASON_UPSTREAM_CLOSED, "the upstream did not answer completely");
        return;
    case TRANSFER_MALFORMED:
        refuse(refusal, REASON_UPSTREAM_MALFORMED, "the upstream's answer is not valid HTTP");
        return;
    case TRANSFER_TIMEOUT:
        refuse(refusal, REASON_UPSTREAM_TIMEOUT, "the upstream did not answer in time");
        return;
    case TRANSFER_NO_MEMORY:
        break;
    }
    refuse(refusal, REASON_OUT_OF_MEMORY, "out of memory");
}

static struct problem_context problem_context(const struct relay *relay) {
    return (struct problem_context){.request_id = span_of(relay->id.text)};
}

/*
 * The answer to a request whose body is still coming. libmicrohttpd could send none before it has
 * read all of that, which may be long or never; so it goes past it, and the connection is closed.
 */
static void answer_early(struct relay *relay, struct buf *bytes) {
    if (!buf_ok(bytes) || !bypass_send(relay->conn, buf_span(bytes)))
        relay->cut = "the client did not take an early answer";
    relay->answered = true;
    relay->conn->request.unread_body = true;
    wake(relay);
}

static void refuse_at_once(struct relay *relay) {
    struct problem_context context = problem_context(relay);
    struct answer answer = reply_refusal(relay->conn, &context);
    struct buf bytes = buf_make(BYPASS_MAX);

    bypass_add_answer(&bytes, &answer);
    relay->status = answer.status;
    answer_done(&answer);
    answer_early(relay, &bytes);
    buf_done(&bytes);
}

static void fail(struct relay *relay, enum transfer_failure failure, const char *why) {
    struct request *request = &relay->conn->request;

    snprintf(relay->why, sizeof relay->why, "%s", why);
    if (relay->status) { /* the response has begun; who reads its body meets the end of it */
        if (!relay->cut) relay->cut = relay->why;
        wake(relay);
        return;
    }
    relay->failed = true;
    explain(&request->refusal, failure);
    if (relay->phase != RELAY_UPLOADING || !relay->begun)
        wake(relay);
    else
        refuse_at_once(relay);
}

static void on_failed(struct transfer *transfer, enum transfer_failure failure, const char *why) {
    fail(CONTAINER_OF(transfer, struct relay, transfer), failure, why);
}

/* --- the response -------------------------------------------------------------------------- */

/* The bytes of a field stand in the transfer's memory, with something behind them that is done
 * with. */
static char *terminate(struct span text) {
    char *at = (char *)(uintptr_t)text.ptr;
    at[text.len] = '\0';
    return at;
}

static bool pass_trailers(struct relay *relay) {
    struct field trailers[TRAILERS_MAX];
    size_t count = body_trailers(&relay->transfer.body, trailers, TRAILERS_MAX);

    for (size_t i = 0; i < count; i++) {
        const struct field *field = &trailers[i];
        if (!forward_takes_trailer(relay->conn->request.view->setup->rules, field->name) ||
            field->value.len == 0)
            continue;
        if (MHD_add_response_footer(relay->sending, terminate(field->name),
                                    terminate(field->value)) != MHD_YES)
            return false;
    }
    return true;
}

/*
 * A body that is cut off must not look complete. Chunks and lengths show it; for a client of
 * HTTP/1.0, to which the end of the connection is the end of the body, only a reset does.
 */
static ssize_t break_off(const struct relay *relay) {
    if (relay->endless && relay->conn->request.head.http_1_0) conn_reset(relay->conn);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static ssize_t read_body(void *argument, uint64_t position, char *to, size_t max) {
    struct relay *relay = argument;
    size_t n = 0;
    (void)position;

    if (relay->cut) return break_off(relay);
    switch (transfer_read(&relay->transfer, to, max, &n)) {
    case TRANSFER_DATA:
        return (ssize_t)n;
    case TRANSFER_AGAIN:
        rest(relay);
        return 0;
    case TRANSFER_END:
        return pass_trailers(relay) ? MHD_CONTENT_READER_END_OF_STREAM : break_off(relay);
    case TRANSFER_BROKEN:
        break;
    }
    return break_off(relay);
}

static bool is_passed_on(const struct field *field, struct fields fields) {
    return !forward_is_hop_by_hop(field->name, fields) &&
           !span_equal_nocase(field->name, SPAN_LITERAL("content-length")) &&
           !span_equal_nocase(field->name, SPAN_LITERAL("x-request-id"));
}

static bool add_fields(struct relay *relay, struct MHD_Response *response,
                       const struct response_head *head) {
    struct fields fields = {head->fields, head->field_count};

    for (size_t i = 0; i < fields.count; i++) {
        const struct field *field = &fields.items[i];
        if (!is_passed_on(field, fields)) continue;
        /* libmicrohttpd refuses an empty value; a space is the same (RFC 9110 section 5.5). */
        const char *value = field->value.len ? terminate(field->value) : " ";
        if (MHD_add_response_header(response, terminate(field->name), value) != MHD_YES)
            return false;
    }
    return MHD_add_response_header(response, "X-Request-Id", relay->id.text) == MHD_YES;
}

/*
 * What libmicrohttpd calls chunked where there is no body, it ends with a last chunk, which a
 * client would take for the next response. So a response without body and without length is one of
 * HTTP/1.0 manner, and the connection is closed behind it.
 */
static struct MHD_Response *bodyless(struct relay *relay, const struct response_head *head) {
    if (head->status == 204)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    uint64_t size = head->has_length ? head->length : MHD_SIZE_UNKNOWN;
    struct MHD_Response *response =
        MHD_create_response_from_callback(size, 1, read_body, relay, NULL);
    if (response && !head->has_length)
        MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    return response;
}

static void on_upgraded(void *argument, struct MHD_Connection *connection, void *state,
                        const char *extra, size_t extra_len, MHD_socket fd,
                        struct MHD_UpgradeResponseHandle *handle);

static struct MHD_Response *with_body(struct relay *relay, const struct response_head *head) {
    struct span whole;

    if (head->status == 101) return MHD_create_response_for_upgrade(on_upgraded, relay);
    if (head->framing == BODY_NONE) return bodyless(relay, head);
    if (transfer_whole(&relay->transfer, &whole)) {
        char *bytes = relay->transfer.in + (whole.ptr - relay->transfer.in);
        return MHD_create_response_from_buffer(whole.len, bytes, MHD_RESPMEM_PERSISTENT);
    }
    relay->endless = head->framing != BODY_LENGTH;
    return MHD_create_response_from_callback(relay->endless ? MHD_SIZE_UNKNOWN : head->length,
                                             BLOCK_SIZE, read_body, relay, NULL);
}

static void pass_on_early(struct relay *relay, const struct response_head *head,
                          struct span whole) {
    struct fields fields = {head->fields, head->field_count};
    struct buf bytes = buf_make(BYPASS_MAX);

    bypass_add_status(&bytes, head->status);
    for (size_t i = 0; i < fields.count; i++) {
        const struct field *field = &fields.items[i];
        if (is_passed_on(field, fields))
            buf_addf(&bytes, "%.*s: %.*s\r\n", SPAN_PRINTF(field->name), SPAN_PRINTF(field->value));
    }
    buf_addf(&bytes, "X-Request-Id: %s\r\nConnection: close\r\n", relay->id.text);
    if (head->status != 204) buf_addf(&bytes, "Content-Length: %zu\r\n", whole.len);
    buf_add_text(&bytes, "\r\n");
    buf_add(&bytes, whole);
    answer_early(relay, &bytes);
    buf_done(&bytes);
}

static void on_head(struct transfer *transfer, const struct response_head *head) {
    struct relay *relay = CONTAINER_OF(transfer, struct relay, transfer);
    struct span whole;

    /* An answer before its question has been asked in full: nobody wants the rest of that. One too
     * large to be here whole waits until libmicrohttpd has read the request. */
    if (relay->phase == RELAY_UPLOADING && head->status != 101 &&
        transfer_whole(transfer, &whole)) {
        relay->status = head->status;
        pass_on_early(relay, head, whole);
        return;
    }
    relay->response = with_body(relay, head);
    if (!relay->response || !add_fields(relay, relay->response, head)) {
        transfer_end(transfer);
        fail(relay, TRANSFER_NO_MEMORY, "out of memory");
        return;
    }
    relay->status = head->status;
    if (relay->endless || head->status == 101) watch_expiry(relay);
    if (relay->phase != RELAY_UPLOADING) wake(relay);
}

/* 103 and its like go to clients that may know them; 100 only opens the way for the body. */
static void on_interim(struct transfer *transfer, const struct response_head *head) {
    struct relay *relay = CONTAINER_OF(transfer, struct relay, transfer);
    struct fields fields = {head->fields, head->field_count};

    if (relay->phase == RELAY_AWAITS_CONTINUE) {
        if (head->status == 100) wake(relay);
        return;
    }
    if (head->status == 100 || relay->phase != RELAY_UPLOADED || relay->conn->request.head.http_1_0)
        return;
    struct buf bytes = buf_make(BYPASS_MAX);
    bypass_add_status(&bytes, head->status);
    for (size_t i = 0; i < fields.count; i++)
        if (is_passed_on(&fields.items[i], fields))
            buf_addf(&bytes, "%.*s: %.*s\r\n", SPAN_PRINTF(fields.items[i].name),
                     SPAN_PRINTF(fields.items[i].value));
    buf_add_text(&bytes, "\r\n");
    if (!buf_ok(&bytes) || !bypass_send(relay->conn, buf_span(&bytes)))
        cut(relay, "the client did not take an interim response");
    buf_done(&bytes);
}

static void on_body(struct transfer *transfer) {
    struct relay *relay = CONTAINER_OF(transfer, struct relay, transfer);
    if (relay->tunnel)
        tunnel_on_link(relay->tunnel);
    else if (transfer->state == TRANSFER_BODY)
        wake(relay);
}

static void on_room(struct transfer *transfer) {
    struct relay *relay = CONTAINER_OF(transfer, struct relay, transfer);
    if (relay->phase == RELAY_UPLOADING) wake(relay);
}

static const struct transfer_events events = {.on_interim = on_interim,
                                              .on_head = on_head,
                                              .on_body = on_body,
                                              .on_room = on_room,
                                              .on_failed = on_failed};

/* --- switching protocols ------------------------------------------------------------------- */

static void on_tunnel_closed(struct tunnel *tunnel) {
    end_tunnel(tunnel->owner);
}

static void on_upgraded(void *argument, struct MHD_Connection *connection, void *state,
                        const char *extra, size_t extra_len, MHD_socket fd,
                        struct MHD_UpgradeResponseHandle *handle) {
    struct relay *relay = argument;
    struct conn *conn = relay->conn;
    struct transfer *transfer = &relay->transfer;
    (void)connection;
    (void)state;

    relay->handle = handle;
    /* From here on the tunnel watches the client itself. */
    if (conn->watched) reactor_unwatch(reactor_of(relay), conn->fd);
    conn->watched = false;
    if (!relay->cut && transfer->link) {
        struct span up = {extra, extra_len};
        struct span down = {transfer->in + transfer->in_start,
                            transfer->in_end - transfer->in_start};
        relay->tunnel =
            tunnel_new(reactor_of(relay), fd, transfer->link, up, down, on_tunnel_closed, relay);
    }
    if (!relay->tunnel) end_tunnel(relay);
}

/* --- the request --------------------------------------------------------------------------- */

static enum MHD_Result add_field(void *argument, enum MHD_ValueKind kind, const char *name,
                                 size_t name_len, const char *value, size_t value_len) {
    struct worker *worker = argument;
    (void)kind;

    if (worker->field_count == worker->field_room) {
        size_t room = worker->field_room + FIELDS_STEP;
        struct field *fields = realloc(worker->fields, room * sizeof *fields);
        if (!fields) return MHD_NO;
        worker->fields = fields;
        worker->field_room = room;
    }
    worker->fields[worker->field_count++] =
        (struct field){{name, name_len}, span_trim((struct span){value, value ? value_len : 0})};
    return MHD_YES;
}

/* All fields of that kind; they live until the next call. False without memory. */
static bool collect(struct conn *conn, enum MHD_ValueKind kind, struct fields *ret) {
    struct worker *worker = conn->worker;

    worker->field_count = 0;
    int count = MHD_get_connection_values_n(conn->mhd, kind, add_field, worker);
    *ret = (struct fields){worker->fields, worker->field_count};
    return count >= 0 && (size_t)count == worker->field_count;
}

static const struct config_upstream *upstream_config(const struct relay *relay) {
    return relay->transfer.upstream->config;
}

static enum forward_body body_kind(const struct door_result *head) {
    if (!head->has_body) return FORWARD_NO_BODY;
    return head->chunked ? FORWARD_CHUNKED : FORWARD_LENGTH;
}

/*
 * A text that vouches for the caller, made once for each principal, and again when its time is
 * nearly up: what arrives at the upstream must not be expired. False: it could not be made, and
 * without it the request must not go on.
 */
static bool find_assertion(const struct relay *relay, struct span *ret) {
    const struct request *request = &relay->conn->request;
    const struct setup *setup = request->view->setup;
    const struct config_upstream *upstream = upstream_config(relay);
    const struct config_assertion *config = &setup->config->assertion;
    int64_t now = clock_wall(), exp;

    *ret = SPAN_NONE;
    if (!upstream->assertion || !request->principal) return true;
    const char *kept = principal_memo(request->principal, upstream, now);
    if (kept) {
        *ret = span_of(kept);
        return true;
    }
    char *text =
        assertion_mint(setup->assertion_key, config, upstream->name, request->principal, now, &exp);
    if (!text) return false;
    if (!principal_remember(request->principal, upstream, text,
                            exp - config->lifetime / 1000 / ASSERTION_RESERVE)) {
        free(text);
        return false;
    }
    *ret = span_of(text);
    return true;
}

static bool add_head(struct relay *relay, struct fields fields, struct span upgrade) {
    const struct conn *conn = relay->conn;
    const struct request *request = &conn->request;
    const struct setup *setup = request->view->setup;
    struct forward_request forward = {
        .method = request->method,
        .path = request->target.path,
        .query = request->target.query,
        .fields = fields,
        .host = request->head.host,
        .body = body_kind(&request->head),
        .length = request->head.content_length,
        .client = conn->address.ss_family == AF_UNIX ? SPAN_NONE : span_of(conn->client),
        .from_proxy = setup_trusts(setup, (const struct sockaddr *)&conn->address),
        .tls = conn->tls != NULL,
        .request_id = span_of(relay->id.text),
        .upgrade = upgrade,
        .expects_continue = relay->phase == RELAY_AWAITS_CONTINUE,
        .route = relay->route,
        .upstream = upstream_config(relay),
        .target_host = span_of(relay->transfer.peer->host),
        .principal = request->principal,
    };
    if (!find_assertion(relay, &forward.assertion)) return false;
    forward_add_head(setup->rules, &forward, &relay->transfer.out);
    return buf_ok(&relay->transfer.out);
}

static void on_hangup(struct event_source *source, uint32_t happened) {
    struct conn *conn = CONTAINER_OF(source, struct conn, hangup);
    if (!(happened & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
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
        struct problem_context context = problem_context(relay);
        relay->status = problem_status(relay->conn->request.refusal.reason);
        return reply_refuse(relay->conn, &context);
    }
    if (!relay->response) {
        /* Many an upstream answers within a turn of the loop, in which libmicrohttpd asks again;
         * being suspended costs it two more system calls. */
        if (relay->asked || relay->phase != RELAY_UPLOADED)
            rest(relay);
        else
            relay->asked = true;
        return MHD_YES;
    }
    if (atomic_load(&relay->conn->worker->shared->draining) && relay->status != 101)
        MHD_add_response_header(relay->response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result result = MHD_queue_response(relay->conn->mhd, relay->status, relay->response);
    relay->sending = relay->response; /* which libmicrohttpd holds until the request is over */
    MHD_destroy_response(relay->response);
    relay->response = NULL;
    return result;
}

static void on_patience(struct timer *timer) {
    struct relay *relay = CONTAINER_OF(timer, struct relay, patience);
    if (relay->phase == RELAY_AWAITS_CONTINUE) wake(relay);
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
    relay->expiry.fire = on_expiry;
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
    if (!collect(conn, MHD_HEADER_KIND, &fields)) return false;
    request_id_choose(fields, &relay->id);
    bool plain = request->head.has_body || request->head.http_1_0;
    struct span upgrade = plain ? SPAN_NONE : forward_upgrade(fields);
    struct transfer_request wanted = {
        .upstream = &upstreams->items[relay->route->upstream_index],
        .to_head = span_equal_text(request->method, "HEAD"),
        .to_upgrade = !span_is_absent(upgrade),
        .idempotent = is_idempotent(request->method),
        .body = body_kind(&request->head),
    };
    if (!transfer_begin(&relay->transfer, &conn->worker->pool, &wanted, &events, ret_why))
        return false;
    relay->target = relay->transfer.peer->name;
    *ret_why = TRANSFER_NO_MEMORY;
    if (!add_head(relay, fields, upgrade) || !watch_client(conn)) return false;
    transfer_start(&relay->transfer, relay->phase != RELAY_UPLOADING);
    return true;
}

enum MHD_Result relay_begin(struct conn *conn, const struct decision *decision) {
    if (!decision->allowed) return MHD_NO;
    struct relay *relay = make(conn, decision->route);
    enum transfer_failure why;

    if (!relay) {
        struct problem_context context = {0};
        refuse(&conn->request.refusal, REASON_OUT_OF_MEMORY, "out of memory");
        return reply_refuse(conn, &context);
    }
    if (!start(relay, &why)) {
        relay->failed = true;
        explain(&conn->request.refusal, why);
    }
    relay->begun = true;
    if (relay->phase == RELAY_AWAITS_CONTINUE &&
        !timers_set(&reactor_of(relay)->timers, &relay->patience,
                    reactor_of(relay)->now_ms + PATIENCE_MS))
        return MHD_NO;
    /* A failure before the first byte of the body was looked at is answered like any refusal. */
    if (relay->phase == RELAY_UPLOADING && !relay->failed) return MHD_YES;
    return settle(relay);
}

static void upload(struct relay *relay, struct span bytes, size_t *ret_left) {
    relay->calls++;
    size_t taken = transfer_add(&relay->transfer, bytes);
    *ret_left = bytes.len - taken;
    if (*ret_left && !relay->answered && !relay->cut) rest(relay);
}

/* What of the trailer section an upstream may see. False without memory. */
static bool add_trailers(struct relay *relay, struct buf *out) {
    struct fields fields;
    if (!collect(relay->conn, MHD_FOOTER_KIND, &fields)) return false;
    for (size_t i = 0; i < fields.count; i++) {
        const struct field *field = &fields.items[i];
        if (forward_takes_trailer(relay->conn->request.view->setup->rules, field->name))
            buf_addf(out, "%.*s: %.*s\r\n", SPAN_PRINTF(field->name), SPAN_PRINTF(field->value));
    }
    return buf_ok(out);
}

static void complete(struct relay *relay) {
    struct refusal *refusal = &relay->conn->request.refusal;
    struct buf trailers = buf_make(FORWARD_HEAD_MAX);

    relay->phase = RELAY_UPLOADED;
    if (relay->failed) return;
    relay->failed = !door_check_trailers(relay->conn->mhd, refusal);
    if (!relay->failed && !add_trailers(relay, &trailers)) {
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
    if (*len) {
        upload(relay, (struct span){bytes, *len}, len);
        return relay->answered ? MHD_NO : MHD_YES;
    }
    if (relay->phase == RELAY_AWAITS_CONTINUE) {
        timers_clear(&reactor_of(relay)->timers, &relay->patience);
        if (relay->failed || relay->response) return settle(relay);
        relay->phase = RELAY_UPLOADING; /* libmicrohttpd sends 100 now */
        return MHD_YES;
    }
    if (relay->phase == RELAY_UPLOADING) complete(relay);
    return settle(relay);
}

/* --- the end ------------------------------------------------------------------------------- */

static void log_relay(const struct relay *relay, enum MHD_RequestTerminationCode code) {
    const struct conn *conn = relay->conn;
    const struct request *request = &conn->request;
    const char *why = relay->failed ? relay->why : relay->cut;
    if (!why && code != MHD_REQUEST_TERMINATED_COMPLETED_OK) why = "the client closed first";
    int64_t now = clock_monotonic_ms(), head_ms = relay->transfer.head_ms;

    LOG(LOG_INFO,
        relay->failed ? "failed"
        : why         ? "cut off"
                      : "forwarded",
        LOG_TEXT("client", conn->client), LOG_SPAN("method", request->method),
        LOG_SPAN("path", reply_path(request)), LOG_NUMBER("status", relay->status),
        LOG_SPAN("user", request->principal ? principal_user(request->principal) : SPAN_NONE),
        LOG_TEXT("upstream", relay->route->upstream), LOG_TEXT("target", relay->target),
        LOG_TEXT("request_id", relay->id.text),
        LOG_TEXT("reason", relay->failed ? reason_name(request->refusal.reason) : NULL),
        LOG_TEXT("why", why), LOG_NUMBER("bytes", relay->transfer.body_bytes),
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

    if (conn->worker->view->setup->config->log.access) log_relay(relay, code);
    timers_clear(&reactor_of(relay)->timers, &relay->patience);
    timers_clear(&reactor_of(relay)->timers, &relay->expiry);
    tunnel_free(relay->tunnel);
    transfer_end(&relay->transfer);
    if (relay->response) MHD_destroy_response(relay->response);
    unlink_relay(relay);
    conn->request.relay = NULL;
    reactor_defer(reactor_of(relay), &relay->burial);
}

void relay_client_gone(struct conn *conn) {
    struct relay *relay = conn->request.relay;
    if (relay->tunnel || !relay->suspended) return; /* others see it there */
    cut(relay, "the client closed first");
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
        refuse_at_once(relay);
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
        cut(relay, "the server stops");
}
