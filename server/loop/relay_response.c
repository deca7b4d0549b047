#include "server/loop/relay_response.h"

#include "server/answer/cors.h"
#include "server/loop/bypass.h"
#include "server/loop/tls_client.h"

/* What libmicrohttpd takes of a body in one go. */
#define BLOCK_SIZE (16 * 1024)
#define TRAILERS_MAX 64
/* What libmicrohttpd needs besides the fields themselves: its own, and a note for each of the
 * request's. */
#define HEAD_EXTRA 2048
#define FIELD_NOTE 96
/* What a client may send behind its request before the upgrade is answered. */
#define UPGRADE_MAX (2 * 1024 * 1024)

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

static ssize_t break_off(struct relay *relay) {
    relay_mark_broken(relay);
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
        return relay_rest(relay) ? 0 : break_off(relay);
    case TRANSFER_END:
        return pass_trailers(relay) ? MHD_CONTENT_READER_END_OF_STREAM : break_off(relay);
    case TRANSFER_BROKEN:
        break;
    }
    return break_off(relay);
}

/* Where Connection fields may name others; most responses have none. */
static struct fields naming_fields(const struct response_head *head) {
    bool any = response_field_count(head, "connection") > 0;
    return (struct fields){head->fields, any ? head->field_count : 0};
}

/* Where the gate speaks for the upstream, a second word would make browsers refuse both. */
static bool is_ours_to_say(const struct relay *relay, struct span name) {
    return relay->conn->request.cors_origin.ptr &&
           (span_equal_nocase(name, SPAN_LITERAL("access-control-allow-origin")) ||
            span_equal_nocase(name, SPAN_LITERAL("access-control-expose-headers")));
}

/* Upgrade speaks of this connection, but where it is upgraded that is what the client must know. */
static bool is_passed_on(const struct response_head *head, struct fields naming,
                         const struct field *field) {
    if (head->status == 101 && span_equal_nocase(field->name, SPAN_LITERAL("upgrade"))) return true;
    return !forward_is_hop_by_hop(field->name, naming) &&
           !span_equal_nocase(field->name, SPAN_LITERAL("content-length")) &&
           !span_equal_nocase(field->name, SPAN_LITERAL("x-request-id"));
}

/* Also where the origin is another one: caches must not give that response to a script. */
static bool add_vary(const struct relay *relay, struct MHD_Response *response) {
    return relay->route->cors.origins.count == 0 ||
           MHD_add_response_header(response, "Vary", "Origin") == MHD_YES;
}

static bool add_cors(const struct relay *relay, struct MHD_Response *response) {
    const char *origin = relay->conn->request.cors_origin.ptr; /* libmicrohttpd's, with its NUL */
    return add_vary(relay, response) &&
           (!origin ||
            (MHD_add_response_header(response, "Access-Control-Allow-Origin", origin) == MHD_YES &&
             MHD_add_response_header(response, "Access-Control-Expose-Headers", CORS_EXPOSED) ==
                 MHD_YES));
}

static bool add_fields(struct relay *relay, struct MHD_Response *response,
                       const struct response_head *head) {
    struct fields naming = naming_fields(head);

    /* First of all: behind a Date, 0.9.75 forgets over it that there is one, and adds another. */
    if (atomic_load(&relay->worker->shared->draining) && head->status != 101 &&
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") != MHD_YES)
        return false;
    for (size_t i = 0; i < head->field_count; i++) {
        const struct field *field = &head->fields[i];
        if (!is_passed_on(head, naming, field) || is_ours_to_say(relay, field->name)) continue;
        /* libmicrohttpd refuses an empty value; a space is the same (RFC 9110 section 5.5). */
        const char *value = field->value.len ? terminate(field->value) : " ";
        if (MHD_add_response_header(response, terminate(field->name), value) != MHD_YES)
            return false;
    }
    return MHD_add_response_header(response, "X-Request-Id", relay->id.text) == MHD_YES &&
           add_cors(relay, response);
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

static void add_lines(const struct relay *relay, const struct response_head *head,
                      struct buf *out) {
    struct fields naming = naming_fields(head);

    for (size_t i = 0; i < head->field_count; i++) {
        const struct field *field = &head->fields[i];
        if (is_passed_on(head, naming, field) && !is_ours_to_say(relay, field->name))
            buf_addf(out, "%.*s: %.*s\r\n", SPAN_PRINTF(field->name), SPAN_PRINTF(field->value));
    }
    if (relay->conn->request.cors_origin.ptr) cors_add_lines(relay->conn->request.cors_origin, out);
}

static void pass_on_early(struct relay *relay, const struct response_head *head,
                          struct span whole) {
    struct buf bytes = buf_make(BYPASS_MAX);

    bypass_add_status(&bytes, head->status);
    add_lines(relay, head, &bytes);
    buf_addf(&bytes, "X-Request-Id: %s\r\nConnection: close\r\n", relay->id.text);
    if (head->status != 204) buf_addf(&bytes, "Content-Length: %zu\r\n", whole.len);
    buf_add_text(&bytes, "\r\n");
    buf_add(&bytes, whole);
    relay_answer_early(relay, &bytes);
    buf_done(&bytes);
}

/*
 * libmicrohttpd writes the head into what the request has left of its memory, and where that does
 * not do it closes the connection without a word.
 */
static bool fits(const struct relay *relay, const struct response_head *head) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(relay->conn->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t need = HEAD_EXTRA + info->header_size + relay->field_count * FIELD_NOTE;

    for (size_t i = 0; i < head->field_count; i++)
        need += head->fields[i].name.len + head->fields[i].value.len + strlen(": \r\n");
    return need <= relay->worker->pool_size;
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
    if (!fits(relay, head)) {
        transfer_end(transfer);
        relay_fail(relay, TRANSFER_MALFORMED,
                   "the head of the answer is too large; raise limits.header");
        return;
    }
    relay->response = with_body(relay, head);
    if (!relay->response || !add_fields(relay, relay->response, head)) {
        transfer_end(transfer);
        relay_fail(relay, TRANSFER_NO_MEMORY, "out of memory");
        return;
    }
    relay->status = head->status;
    if (relay->endless || head->status == 101) relay_watch_expiry(relay);
    if (relay->phase != RELAY_UPLOADING) relay_wake(relay);
}

/* 103 and its like go to clients that may know them; 100 only opens the way for the body. */
static void on_interim(struct transfer *transfer, const struct response_head *head) {
    struct relay *relay = CONTAINER_OF(transfer, struct relay, transfer);

    if (relay->phase == RELAY_AWAITS_CONTINUE) {
        if (head->status == 100) relay_wake(relay);
        return;
    }
    if (head->status == 100 || relay->phase != RELAY_UPLOADED || relay->conn->request.head.http_1_0)
        return;
    struct buf bytes = buf_make(BYPASS_MAX);
    bypass_add_status(&bytes, head->status);
    add_lines(relay, head, &bytes);
    buf_add_text(&bytes, "\r\n");
    if (!buf_ok(&bytes) || !bypass_send(relay->conn, buf_span(&bytes)))
        relay_cut(relay, "the client did not take an interim response");
    buf_done(&bytes);
}

static void on_body(struct transfer *transfer) {
    struct relay *relay = CONTAINER_OF(transfer, struct relay, transfer);
    if (relay->tunnel)
        tunnel_on_link(relay->tunnel);
    else if (transfer->state == TRANSFER_BODY)
        relay_wake(relay);
}

static void on_room(struct transfer *transfer) {
    struct relay *relay = CONTAINER_OF(transfer, struct relay, transfer);
    if (relay->phase == RELAY_UPLOADING) relay_wake(relay);
}

static void on_failed(struct transfer *transfer, enum transfer_failure failure, const char *why) {
    relay_fail(CONTAINER_OF(transfer, struct relay, transfer), failure, why);
}

const struct transfer_events relay_events = {.on_interim = on_interim,
                                             .on_head = on_head,
                                             .on_body = on_body,
                                             .on_room = on_room,
                                             .on_failed = on_failed};

/* --- switching protocols ------------------------------------------------------------------- */

static void on_tunnel_closed(struct tunnel *tunnel) {
    relay_end_tunnel(tunnel->owner);
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
    if (conn->watched) reactor_unwatch(relay_reactor(relay), conn->fd);
    conn->watched = false;
    struct buf up = buf_make(UPGRADE_MAX);
    struct span down = {transfer->in + transfer->in_start, transfer->in_end - transfer->in_start};
    struct tunnel_client client = tunnel_plain_client(fd);
    buf_add(&up, (struct span){extra, extra_len});
    bool taken = buf_ok(&up) && (!conn->tls || tls_client_take(conn, &client, &up));
    if (taken && !relay->cut && transfer->link)
        relay->tunnel = tunnel_new(relay_reactor(relay), &client, transfer->link, buf_span(&up),
                                   down, on_tunnel_closed, relay);
    buf_done(&up);
    if (!relay->tunnel) relay_end_tunnel(relay);
}
