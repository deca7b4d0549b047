#include "server/proxy/transfer.h"

#include <stdlib.h>

/* Bytes of a request's body that wait for the upstream to take them. */
#define UPLOAD_MAX (64 * 1024)
/* A body that has grown to this is sent without waiting for the end of the turn. */
#define UPLOAD_SOON (16 * 1024)
#define IN_SIZE (16 * 1024)
/* How long an upstream that answers may leave the rest of the request unread. */
#define INTEREST_MS 5000
/* Interim responses to one request; a flood of them would keep it waiting for ever. */
#define INTERIMS_MAX 16
/* Peers that are tried for one request, as long as none of them could be reached. */
#define CONNECTS_MAX 3

static void advance(struct transfer *transfer);

static int64_t now_of(const struct transfer *transfer) {
    return transfer->pool->reactor->now_ms;
}

static struct span received(const struct transfer *transfer) {
    return (struct span){transfer->in + transfer->in_start, transfer->in_end - transfer->in_start};
}

static size_t unsent(const struct transfer *transfer) {
    return transfer->out.len - transfer->sent;
}

/* --- the end ------------------------------------------------------------------------------- */

static void leave_peer(struct transfer *transfer) {
    if (!transfer->peer) return;
    atomic_fetch_sub_explicit(&transfer->peer->active, 1, memory_order_relaxed);
    transfer->peer = NULL;
}

static void drop_link(struct transfer *transfer) {
    pool_drop(transfer->link);
    transfer->link = NULL;
}

static bool is_over_total(const struct transfer *transfer) {
    int64_t total = transfer->upstream->config->timeouts.total;
    return total && now_of(transfer) >= transfer->began_ms + total;
}

/* Is it the peer's fault? Not what we lack; nor the time as a whole, which a client may use up. And
 * a check has its own way to tell. */
static bool is_to_blame(const struct transfer *transfer, enum transfer_failure failure) {
    return transfer->peer && !transfer->only && failure != TRANSFER_NO_MEMORY &&
           !(failure == TRANSFER_TIMEOUT && is_over_total(transfer));
}

static void fail(struct transfer *transfer, enum transfer_failure failure, const char *why) {
    if (is_to_blame(transfer, failure))
        peer_failed(transfer->peer, transfer->upstream->config, now_of(transfer), why);
    transfer->state = TRANSFER_FAILED;
    drop_link(transfer);
    leave_peer(transfer);
    timers_clear(&transfer->pool->reactor->timers, &transfer->timer);
    transfer->events->on_failed(transfer, failure, why);
}

/*
 * Is nothing left over, either way? What lies behind a response would be taken for the answer to
 * the next request, which may be another client's. A body that was read to its last byte and no
 * further leaves the question to the system.
 */
static bool may_live_on(const struct transfer *transfer, struct link *link) {
    if (!transfer->keep_alive || !transfer->complete || unsent(transfer) || transfer->cannot_send ||
        transfer->in_start < transfer->in_end || link->hung_up)
        return false;
    if (link->readable && wire_is_stale(&link->wire)) return false;
    link->readable = false;
    return true;
}

static void finish(struct transfer *transfer) {
    struct link *link = transfer->link;

    transfer->state = TRANSFER_ENDED;
    timers_clear(&transfer->pool->reactor->timers, &transfer->timer);
    transfer->link = NULL;
    if (may_live_on(transfer, link))
        pool_give(transfer->pool, link, &transfer->upstream->config->keep_alive);
    else
        pool_drop(link);
    leave_peer(transfer);
}

void transfer_end(struct transfer *transfer) {
    if (!transfer->pool) return;
    timers_clear(&transfer->pool->reactor->timers, &transfer->timer);
    drop_link(transfer);
    leave_peer(transfer);
    body_done(&transfer->body);
    transfer->in_start = transfer->in_end = 0;
    if (transfer->state != TRANSFER_FAILED) transfer->state = TRANSFER_ENDED;
}

void transfer_free(struct transfer *transfer) {
    buf_done(&transfer->out);
    free(transfer->in);
    transfer->in = NULL;
}

/* The buffers of an earlier use, unless they had to grow large. */
static void keep_buffers(const struct transfer *old, struct transfer *transfer) {
    if (old->in_size == IN_SIZE) {
        transfer->in = old->in;
        transfer->in_size = IN_SIZE;
    } else {
        free(old->in);
    }
    struct buf out = old->out;
    if (out.size > UPLOAD_MAX) buf_done(&out);
    buf_reset(&out);
    out.max = FORWARD_HEAD_MAX + 3 * UPLOAD_MAX;
    transfer->out = out;
}

/* --- time ---------------------------------------------------------------------------------- */

/* It has begun to answer, and the owner cannot get rid of a request that it does not take. */
static bool has_lost_interest(const struct transfer *transfer) {
    return transfer->state == TRANSFER_BODY && transfer->refused_room;
}

/* When the present wait has lasted too long; what sets *ret_what. */
static int64_t deadline_of(const struct transfer *transfer, const char **ret_what) {
    const struct config_timeouts *timeouts = &transfer->upstream->config->timeouts;
    int64_t deadline = INT64_MAX;

    if (transfer->state == TRANSFER_CONNECTING) {
        deadline = transfer->progress_ms + timeouts->connect;
        *ret_what = "the upstream could not be reached within timeouts.connect";
    } else if (transfer->state == TRANSFER_WAITING && transfer->complete && !unsent(transfer)) {
        deadline = transfer->progress_ms + timeouts->first_byte;
        *ret_what = "the upstream did not answer within timeouts.first_byte";
    } else if (has_lost_interest(transfer)) {
        deadline = transfer->progress_ms +
                   (timeouts->between_bytes < INTEREST_MS ? timeouts->between_bytes : INTEREST_MS);
        *ret_what = "the upstream answers and reads no more";
    } else if (transfer->starving || (transfer->state == TRANSFER_WAITING && unsent(transfer))) {
        deadline = transfer->progress_ms + timeouts->between_bytes;
        *ret_what = "the upstream did nothing for timeouts.between_bytes";
    }
    if (timeouts->total && transfer->state != TRANSFER_TUNNEL &&
        transfer->began_ms + timeouts->total < deadline) {
        deadline = transfer->began_ms + timeouts->total;
        *ret_what = "the request took longer than timeouts.total";
    }
    return deadline;
}

/* The timer may fire too early, never too late: it is moved back only when it fires. */
static bool arm(struct transfer *transfer) {
    const char *what;
    int64_t deadline = deadline_of(transfer, &what);
    struct timer *timer = &transfer->timer;

    if (deadline == INT64_MAX || (timer_is_set(timer) && timer->at_ms <= deadline)) return true;
    return timers_set(&transfer->pool->reactor->timers, timer, deadline);
}

static void progress(struct transfer *transfer) {
    transfer->progress_ms = now_of(transfer);
}

/* --- reaching a peer ----------------------------------------------------------------------- */

static void join_peer(struct transfer *transfer, struct peer *peer) {
    transfer->peer = peer;
    transfer->target = peer->name;
    atomic_fetch_add_explicit(&peer->active, 1, memory_order_relaxed);
}

/* The head names one target where the upstream wants it so, and fits no other. */
static bool may_go_elsewhere(const struct transfer *transfer) {
    return !transfer->only && transfer->upstream->config->host == HOST_CLIENT;
}

static void open_link(struct transfer *transfer);

/* Nothing was sent yet, so that trying another address repeats nothing, whatever the method. */
static void not_reached(struct transfer *transfer, enum transfer_failure failure, const char *why) {
    struct peer *peer = transfer->peer;
    struct peer *next = NULL;

    drop_link(transfer);
    if (transfer->connects < CONNECTS_MAX && transfer->connects < peer_address_count(peer)) {
        open_link(transfer);
        return;
    }
    if (transfer->connects < CONNECTS_MAX && may_go_elsewhere(transfer))
        next = upstream_choose(transfer->upstream, now_of(transfer), peer);
    if (!next) {
        fail(transfer, failure, why);
        return;
    }
    peer_failed(peer, transfer->upstream->config, now_of(transfer), why);
    leave_peer(transfer);
    join_peer(transfer, next);
    transfer_start(transfer, true);
}

static void open_link(struct transfer *transfer) {
    struct err_text err = {""};

    transfer->connects++;
    transfer->state = TRANSFER_CONNECTING;
    bool ours = false;
    transfer->link = pool_open(transfer->pool, transfer->peer, &ours, &err);
    if (!transfer->link && ours) {
        fail(transfer, TRANSFER_NO_MEMORY, err.text);
        return;
    }
    if (!transfer->link) {
        not_reached(transfer, TRANSFER_UNREACHABLE, err.text);
        return;
    }
    transfer->link->user = transfer;
    progress(transfer);
    if (arm(transfer))
        advance(transfer);
    else
        fail(transfer, TRANSFER_NO_MEMORY, "out of memory");
}

/* False where it must wait, or failed. */
static bool connected(struct transfer *transfer) {
    struct err_text err = {""};

    switch (wire_advance(&transfer->link->wire, &err)) {
    case WIRE_AGAIN:
        return false;
    case WIRE_OK:
        transfer->state = TRANSFER_WAITING;
        transfer->link->readable = transfer->link->writable = true;
        progress(transfer);
        return true;
    case WIRE_CLOSED:
    case WIRE_FAILED:
        break;
    }
    not_reached(transfer, TRANSFER_UNREACHABLE, err.text);
    return false;
}

/* --- sending ------------------------------------------------------------------------------- */

/* Room for more, or for nothing where the whole head must stay for a second try. */
static void drop_sent(struct transfer *transfer) {
    struct buf *out = &transfer->out;

    if (transfer->replayable || transfer->sent == 0) return;
    if (unsent(transfer) == 0) {
        buf_reset(out);
        transfer->sent = 0;
    } else if (transfer->sent >= UPLOAD_MAX / 2) {
        memmove(out->data, out->data + transfer->sent, unsent(transfer) + 1);
        out->len -= transfer->sent;
        transfer->sent = 0;
    }
}

/* The upstream takes no more. Perhaps it has answered already: that is found out by reading. */
static void stop_sending(struct transfer *transfer) {
    transfer->cannot_send = true;
    transfer->sent = transfer->out.len;
    transfer->link->readable = true;
}

static void write_some(struct transfer *transfer) {
    struct link *link = transfer->link;
    struct err_text err;
    size_t n;

    while (unsent(transfer) && link->writable) {
        switch (wire_write(&link->wire, transfer->out.data + transfer->sent, unsent(transfer), &n,
                           &err)) {
        case WIRE_OK:
            transfer->sent += n;
            progress(transfer);
            break;
        case WIRE_AGAIN:
            link->writable = false;
            break;
        case WIRE_CLOSED:
        case WIRE_FAILED:
            stop_sending(transfer);
            break;
        }
    }
    drop_sent(transfer);
}

static void flush(struct transfer *transfer) {
    if (unsent(transfer) == 0) return;
    write_some(transfer);
    if (!transfer->refused_room || unsent(transfer) > UPLOAD_MAX / 2) return;
    transfer->refused_room = false;
    transfer->events->on_room(transfer);
}

static bool is_sending(const struct transfer *transfer) {
    return (transfer->state == TRANSFER_WAITING || transfer->state == TRANSFER_BODY) &&
           !transfer->cannot_send;
}

static void on_flush(struct deferred *deferred) {
    struct transfer *transfer = CONTAINER_OF(deferred, struct transfer, flush);
    if (is_sending(transfer)) transfer_on_link(transfer);
}

static void add_chunk(struct buf *out, struct span bytes) {
    buf_addf(out, "%zx\r\n", bytes.len);
    buf_add(out, bytes);
    buf_add_text(out, "\r\n");
}

/* Bytes that need not be framed go past the buffer where nothing waits in it. */
static size_t write_directly(struct transfer *transfer, struct span bytes) {
    struct err_text err;
    size_t n = 0;

    if (transfer->chunked || unsent(transfer) || !is_sending(transfer) ||
        !transfer->link->writable || bytes.len < UPLOAD_SOON)
        return 0;
    switch (wire_write(&transfer->link->wire, bytes.ptr, bytes.len, &n, &err)) {
    case WIRE_OK:
        progress(transfer);
        return n;
    case WIRE_AGAIN:
        transfer->link->writable = false;
        return 0;
    case WIRE_CLOSED:
    case WIRE_FAILED:
        break;
    }
    stop_sending(transfer);
    return 0;
}

static bool swallows(const struct transfer *transfer) {
    return transfer->cannot_send || transfer->state == TRANSFER_ENDED ||
           transfer->state == TRANSFER_FAILED;
}

/* Take a piece into the buffer. False without memory. */
static bool hold(struct transfer *transfer, struct span piece) {
    if (transfer->chunked)
        add_chunk(&transfer->out, piece);
    else
        buf_add(&transfer->out, piece);
    if (buf_ok(&transfer->out)) return true;
    fail(transfer, TRANSFER_NO_MEMORY, "out of memory");
    return false;
}

size_t transfer_add(struct transfer *transfer, struct span bytes) {
    if (swallows(transfer)) return bytes.len;

    size_t taken = write_directly(transfer, bytes);
    while (taken < bytes.len) {
        if (unsent(transfer) >= UPLOAD_MAX) transfer_on_link(transfer);
        if (swallows(transfer)) return bytes.len;
        if (unsent(transfer) >= UPLOAD_MAX) {
            transfer->refused_room = true;
            if (arm(transfer)) return taken;
            fail(transfer, TRANSFER_NO_MEMORY, "out of memory");
            return bytes.len;
        }
        struct span piece = span_until(span_from(bytes, taken), UPLOAD_MAX);
        if (!hold(transfer, piece)) return bytes.len;
        taken += piece.len;
    }
    if (unsent(transfer) >= UPLOAD_SOON)
        transfer_on_link(transfer);
    else
        reactor_defer(transfer->pool->reactor, &transfer->flush);
    return bytes.len;
}

void transfer_complete(struct transfer *transfer, struct span trailers) {
    if (transfer->complete) return;
    transfer->complete = true;
    progress(transfer);
    if (transfer->state == TRANSFER_ENDED || transfer->state == TRANSFER_FAILED) return;
    if (transfer->chunked && !transfer->cannot_send) {
        buf_add_text(&transfer->out, "0\r\n");
        buf_add(&transfer->out, trailers);
        buf_add_text(&transfer->out, "\r\n");
    }
    if (buf_ok(&transfer->out))
        transfer_on_link(transfer);
    else
        fail(transfer, TRANSFER_NO_MEMORY, "out of memory");
}

/* --- receiving ----------------------------------------------------------------------------- */

/* Read into memory; the rules for when the link has no more for now. */
static enum wire_result read_into(struct transfer *transfer, char *to, size_t max, size_t *ret_len,
                                  struct err_text *err) {
    struct link *link = transfer->link;
    if (transfer->read_failed) {
        err_write(err, "the connection to the upstream failed");
        return WIRE_FAILED;
    }
    enum wire_result result = wire_read(&link->wire, to, max, ret_len, err);

    if (result == WIRE_AGAIN) link->readable = false;
    if (result == WIRE_FAILED) transfer->read_failed = true;
    if (result != WIRE_OK) return result;
    transfer->received = true;
    /* A plain socket that gave less than was asked for is empty (epoll(7)), unless it has ended. */
    if (!link->wire.ssl && *ret_len < max && !link->hung_up) link->readable = false;
    return WIRE_OK;
}

/* Room behind what was received: at least one byte. */
static bool make_room(struct transfer *transfer) {
    if (transfer->in_start == transfer->in_end) transfer->in_start = transfer->in_end = 0;
    if (transfer->in_end < transfer->in_size) return true;
    if (transfer->in_start) {
        memmove(transfer->in, transfer->in + transfer->in_start, received(transfer).len);
        transfer->in_end -= transfer->in_start;
        transfer->in_start = 0;
        return true;
    }
    size_t size = transfer->in_size + IN_SIZE;
    char *in = realloc(transfer->in, size);
    if (!in) return false;
    transfer->in = in;
    transfer->in_size = size;
    return true;
}

static enum wire_result receive(struct transfer *transfer, struct err_text *err) {
    size_t n;

    if (!make_room(transfer)) {
        err_write(err, "out of memory");
        return WIRE_FAILED;
    }
    enum wire_result result = read_into(transfer, transfer->in + transfer->in_end,
                                        transfer->in_size - transfer->in_end, &n, err);
    if (result == WIRE_OK) transfer->in_end += n;
    return result;
}

/*
 * The connection had been kept from an earlier request and was closed just when this one was sent.
 * Once, a request that may be repeated goes out again on a fresh connection (RFC 9112 section
 * 9.3.1).
 */
static bool try_again(struct transfer *transfer) {
    if (transfer->received || transfer->retried || !transfer->link->reused || !transfer->replayable)
        return false;
    transfer->retried = true;
    transfer->read_failed = false;
    transfer->sent = 0;
    transfer->cannot_send = false;
    drop_link(transfer);
    open_link(transfer);
    return true;
}

static void lost(struct transfer *transfer, enum wire_result result, const char *why) {
    if (try_again(transfer)) return;
    fail(transfer, TRANSFER_CLOSED,
         result == WIRE_CLOSED ? "the upstream closed the connection without a whole answer" : why);
}

static void take_head(struct transfer *transfer, const struct response_head *head) {
    if (!transfer->only) peer_succeeded(transfer->peer);
    transfer->head_ms = now_of(transfer);
    transfer->replayable = false;
    transfer->keep_alive = head->keep_alive;
    transfer->state = head->status == 101 ? TRANSFER_TUNNEL : TRANSFER_BODY;
    body_begin(&transfer->body, head);
    progress(transfer);
    transfer->events->on_head(transfer, head);
    if (transfer->state == TRANSFER_BODY && body_ended(&transfer->body)) finish(transfer);
}

/* A server switches only to what the client has offered (RFC 9110 section 7.8); a client that is
 * told of something else might be led to speak it. */
static bool was_asked_for(const struct transfer *transfer, const struct response_head *head) {
    struct span rest = span_of(transfer->upgrade), offered;
    struct span chosen = span_trim(response_field(head, "upgrade"));

    if (response_field_count(head, "upgrade") != 1) return false;
    while (span_next(&rest, ',', &offered))
        if (span_equal_nocase(span_trim(offered), chosen)) return true;
    return false;
}

/* One head, if it is here. False where more bytes are needed, or it was the last. */
static bool next_head(struct transfer *transfer) {
    struct response_head head;
    struct err_text err = {""};
    size_t used;

    if (response_head_parse(received(transfer), &transfer->context, &transfer->scanned, &head,
                            &used, &err) < 0) {
        fail(transfer, TRANSFER_MALFORMED, err.text);
        return false;
    }
    if (used == 0) return false;
    transfer->in_start += used;
    transfer->scanned = 0;
    if (head.status == 101 && !was_asked_for(transfer, &head)) {
        fail(transfer, TRANSFER_MALFORMED, "101 to a protocol that was not asked for");
        return false;
    }
    if (head.status >= 200 || head.status == 101) {
        take_head(transfer, &head);
        return false;
    }
    if (++transfer->interims > INTERIMS_MAX) {
        fail(transfer, TRANSFER_MALFORMED, "too many interim responses");
        return false;
    }
    progress(transfer);
    transfer->events->on_interim(transfer, &head);
    return transfer->state == TRANSFER_WAITING;
}

static void await_head(struct transfer *transfer) {
    struct err_text err = {""};

    while (transfer->state == TRANSFER_WAITING && transfer->link->readable) {
        enum wire_result result = receive(transfer, &err);
        if (result == WIRE_AGAIN) return;
        if (result != WIRE_OK) {
            lost(transfer, result, err.text);
            return;
        }
        while (next_head(transfer)) continue;
    }
}

/* Whatever can be done now. */
static void advance(struct transfer *transfer) {
    if (transfer->state == TRANSFER_CONNECTING && !connected(transfer)) return;
    if (is_sending(transfer)) flush(transfer);
    if (transfer->state == TRANSFER_WAITING) await_head(transfer);
    if ((transfer->state == TRANSFER_BODY && transfer->starving) ||
        transfer->state == TRANSFER_TUNNEL) {
        transfer->starving = false;
        transfer->events->on_body(transfer);
    }
    if (transfer->link && !arm(transfer)) fail(transfer, TRANSFER_NO_MEMORY, "out of memory");
}

void transfer_on_link(struct transfer *transfer) {
    if (transfer->link) advance(transfer);
}

/* --- the body ------------------------------------------------------------------------------ */

/* Where the body of these bytes would end: at the end of them, without trailers? */
static bool ends_here(const struct transfer *transfer) {
    struct body body = transfer->body;
    struct span rest = received(transfer), data;
    struct err_text err;
    size_t used;

    do {
        if (body_take(&body, rest, &data, &used, &err) < 0) break;
        rest = span_from(rest, used);
    } while (used);
    bool whole = body_ended(&body) && body.trailers.len == 0;
    body_done(&body);
    return whole;
}

/* Take the body out of its frame, in place. */
static struct span unframe(struct transfer *transfer) {
    struct span whole = {transfer->in + transfer->in_start, 0};
    char *to = transfer->in + transfer->in_start;
    struct err_text err;
    struct span data;
    size_t used;

    do {
        if (body_take(&transfer->body, received(transfer), &data, &used, &err) < 0) break;
        if (to + whole.len != data.ptr) memmove(to + whole.len, data.ptr, data.len);
        whole.len += data.len;
        transfer->in_start += used;
    } while (used);
    return whole;
}

bool transfer_whole(struct transfer *transfer, struct span *ret) {
    struct err_text err;

    if (transfer->state != TRANSFER_BODY) return false;
    if (!body_ended(&transfer->body) && !ends_here(transfer)) {
        /* Head and body often come in two pieces, one right behind the other. */
        if (!transfer->link->readable || transfer->in_end == transfer->in_size ||
            transfer->in_start == transfer->in_end)
            return false;
        if (receive(transfer, &err) != WIRE_OK || !ends_here(transfer)) return false;
    }
    *ret = unframe(transfer);
    transfer->body_bytes = ret->len;
    finish(transfer);
    return true;
}

static enum transfer_read broken(struct transfer *transfer, enum transfer_failure failure,
                                 const char *why) {
    fail(transfer, failure, why);
    return TRANSFER_BROKEN;
}

/* Out of what was received already. *len grows; false where the framing is wrong. */
static bool take_received(struct transfer *transfer, char *to, size_t max, size_t *len,
                          struct err_text *err) {
    struct span data;
    size_t used = 1;

    while (used && received(transfer).len && !body_ended(&transfer->body)) {
        /* The frame goes on being read where there is no more room for data. */
        struct span some = span_until(received(transfer), *len < max ? max - *len : 0);
        if (some.len == 0) return true;
        if (body_take(&transfer->body, some, &data, &used, err) < 0) return false;
        if (data.len) memcpy(to + *len, data.ptr, data.len);
        *len += data.len;
        transfer->in_start += used;
    }
    return true;
}

/* From the wire to its destination where there is no frame to be taken off. */
static enum wire_result receive_directly(struct transfer *transfer, char *to, size_t max,
                                         size_t *ret_len, struct err_text *err) {
    struct span data;
    size_t used;

    *ret_len = 0;
    if (transfer->body.framing == BODY_CHUNKED) return receive(transfer, err);
    if (transfer->body.framing == BODY_LENGTH && transfer->body.left < max)
        max = (size_t)transfer->body.left;
    enum wire_result result = read_into(transfer, to, max, ret_len, err);
    if (result != WIRE_OK) return result;
    if (body_take(&transfer->body, (struct span){to, *ret_len}, &data, &used, err) < 0)
        return WIRE_FAILED;
    return WIRE_OK;
}

static enum transfer_read hand_out(struct transfer *transfer, size_t len) {
    transfer->body_bytes += len;
    if (body_ended(&transfer->body)) finish(transfer);
    return len ? TRANSFER_DATA : TRANSFER_END;
}

enum transfer_read transfer_read(struct transfer *transfer, char *to, size_t max, size_t *ret_len) {
    struct err_text err = {""};

    *ret_len = 0;
    if (transfer->state == TRANSFER_ENDED) return TRANSFER_END;
    if (transfer->state != TRANSFER_BODY) return TRANSFER_BROKEN;
    for (;;) {
        if (!take_received(transfer, to, max, ret_len, &err))
            return broken(transfer, TRANSFER_MALFORMED, err.text);
        if (*ret_len || body_ended(&transfer->body)) return hand_out(transfer, *ret_len);
        if (!transfer->link->readable) break;

        enum wire_result result = receive_directly(transfer, to, max, ret_len, &err);
        if (result == WIRE_OK && *ret_len) return hand_out(transfer, *ret_len);
        /* A write that failed has used up the news of a reset: the end may be no end then. */
        if (result == WIRE_CLOSED && body_may_end(&transfer->body) && !transfer->cannot_send) {
            finish(transfer);
            return TRANSFER_END;
        }
        if (result == WIRE_CLOSED)
            return broken(transfer, TRANSFER_CLOSED,
                          "the upstream closed the connection in the middle of its answer");
        if (result == WIRE_FAILED) return broken(transfer, TRANSFER_CLOSED, err.text);
    }
    transfer->starving = true;
    progress(transfer);
    if (!arm(transfer)) return broken(transfer, TRANSFER_NO_MEMORY, "out of memory");
    return TRANSFER_AGAIN;
}

/* --- the beginning ------------------------------------------------------------------------- */

/* Its answer is worth more than the rest of the question, which its owner may get rid of now. */
static void give_up_sending(struct transfer *transfer) {
    stop_sending(transfer);
    progress(transfer);
    bool refused = transfer->refused_room;
    transfer->refused_room = false;
    if (refused) transfer->events->on_room(transfer);
    if (transfer->link && !arm(transfer)) fail(transfer, TRANSFER_NO_MEMORY, "out of memory");
}

static void on_timer(struct timer *timer) {
    struct transfer *transfer = CONTAINER_OF(timer, struct transfer, timer);
    const char *what = "";
    int64_t deadline = deadline_of(transfer, &what);

    if (deadline > now_of(transfer)) {
        if (!arm(transfer)) fail(transfer, TRANSFER_NO_MEMORY, "out of memory");
    } else if (transfer->state == TRANSFER_CONNECTING) {
        not_reached(transfer, TRANSFER_TIMEOUT, what);
    } else if (has_lost_interest(transfer) && !is_over_total(transfer)) {
        give_up_sending(transfer);
    } else {
        fail(transfer, TRANSFER_TIMEOUT, what);
    }
}

bool transfer_begin(struct transfer *transfer, struct pool *pool,
                    const struct transfer_request *request, const struct transfer_events *events,
                    enum transfer_failure *ret_why) {
    struct transfer fresh = {
        .pool = pool,
        .upstream = request->upstream,
        .only = request->only,
        .events = events,
        .replayable = request->idempotent && request->body == FORWARD_NO_BODY,
        .has_body = request->body != FORWARD_NO_BODY,
        .chunked = request->body == FORWARD_CHUNKED,
        .complete = request->body == FORWARD_NO_BODY,
        .flush = {.run = on_flush},
        .context = {.to_head = request->to_head,
                    .to_upgrade =
                        request->upgrade.len && request->upgrade.len < sizeof fresh.upgrade},
        .timer = {.fire = on_timer},
        .began_ms = pool->reactor->now_ms,
        .progress_ms = pool->reactor->now_ms,
    };
    if (fresh.context.to_upgrade) memcpy(fresh.upgrade, request->upgrade.ptr, request->upgrade.len);
    keep_buffers(transfer, &fresh);
    *transfer = fresh;
    struct peer *peer =
        request->only ? request->only : upstream_choose(request->upstream, now_of(transfer), NULL);
    *ret_why = TRANSFER_NO_PEER;
    if (!peer) return false;
    join_peer(transfer, peer);
    *ret_why = TRANSFER_NO_MEMORY;
    transfer->in_size = IN_SIZE;
    if (!transfer->in) transfer->in = malloc(IN_SIZE);
    return transfer->in != NULL;
}

void transfer_start(struct transfer *transfer, bool now) {
    struct link *link = NULL;

    /* Whether a peer can be reached is not found out by what reached it before. */
    if (!transfer->only) link = pool_take(transfer->pool, transfer->peer);
    if (!link) {
        open_link(transfer);
        return;
    }
    transfer->link = link;
    link->user = transfer;
    transfer->state = TRANSFER_WAITING;
    progress(transfer);
    if (!arm(transfer))
        fail(transfer, TRANSFER_NO_MEMORY, "out of memory");
    else if (now || !transfer->has_body)
        advance(transfer);
    else
        reactor_defer(transfer->pool->reactor, &transfer->flush);
}
