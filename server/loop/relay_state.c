#include "server/loop/relay_state.h"

#include "common/clock.h"
#include "server/loop/bypass.h"
#include "server/loop/reply.h"

/* How often, at least, the wall clock is asked whether a token has expired: it may be set. */
#define EXPIRY_LOOK_MS 60000
/* How long a client that got an early answer may go on doing nothing, in seconds. */
#define EARLY_S 2U

/* --- being suspended ----------------------------------------------------------------------- */

bool relay_rest(struct relay *relay) {
    if (relay->conn->hung_up) {
        relay_cut(relay, "the client closed first");
        return false;
    }
    relay->suspended = true;
    MHD_suspend_connection(relay->conn->mhd);
    return true;
}

void relay_wake(struct relay *relay) {
    if (!relay->suspended) return;
    relay->suspended = false;
    MHD_resume_connection(relay->conn->mhd);
}

void relay_end_tunnel(struct relay *relay) {
    tunnel_stop(relay->tunnel);
    transfer_end(&relay->transfer);
    if (relay->handle) MHD_upgrade_action(relay->handle, MHD_UPGRADE_ACTION_CLOSE);
    relay->handle = NULL;
}

void relay_cut(struct relay *relay, const char *why) {
    if (!relay->cut) relay->cut = why;
    relay_end_tunnel(relay);
    relay_wake(relay);
}

/* --- streams end with the token that opened them ------------------------------------------- */

static bool expires_in(const struct relay *relay, int64_t *ret_ms) {
    const struct principal *principal = relay->conn->request.principal;
    if (!principal || !relay->route->close_at_expiry) return false;
    int64_t end = principal_expires(principal) * 1000 + principal_issuer(principal)->leeway;
    *ret_ms = end - clock_wall_ms();
    return true;
}

static void on_expiry(struct timer *timer) {
    relay_watch_expiry(CONTAINER_OF(timer, struct relay, expiry));
}

void relay_watch_expiry(struct relay *relay) {
    int64_t left;
    if (!expires_in(relay, &left)) return;
    if (left > EXPIRY_LOOK_MS) left = EXPIRY_LOOK_MS;
    relay->expiry.fire = on_expiry;
    if (left > 0 && timers_set(&relay_reactor(relay)->timers, &relay->expiry,
                               relay_reactor(relay)->now_ms + left))
        return;
    relay_cut(relay, left > 0 ? "out of memory" : "the token that opened it has expired");
}

/* --- failures ------------------------------------------------------------------------------ */

void relay_explain(struct refusal *refusal, enum transfer_failure failure) {
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

struct rejection relay_problem(const struct relay *relay) {
    return (struct rejection){.request_id = span_of(relay->id.text)};
}

void relay_answer_early(struct relay *relay, struct buf *bytes) {
    if (!buf_ok(bytes) || !bypass_send(relay->conn, buf_span(bytes)))
        relay->cut = "the client did not take an early answer";
    relay->answered = true;
    relay->conn->request.unread_body = true;
    /* libmicrohttpd closes when the client sends more, or does nothing for a moment. */
    conn_finish(relay->conn);
    MHD_set_connection_option(relay->conn->mhd, MHD_CONNECTION_OPTION_TIMEOUT, EARLY_S);
    relay_wake(relay);
}

void relay_refuse_at_once(struct relay *relay) {
    struct rejection rejection = relay_problem(relay);
    struct answer answer = reply_refusal(relay->conn, &rejection);
    struct buf bytes = buf_make(BYPASS_MAX);

    bypass_add_answer(&bytes, &answer);
    relay->status = answer.status;
    answer_done(&answer);
    relay_answer_early(relay, &bytes);
    buf_done(&bytes);
}

void relay_fail(struct relay *relay, enum transfer_failure failure, const char *why) {
    struct request *request = &relay->conn->request;

    snprintf(relay->why, sizeof relay->why, "%s", why);
    if (relay->status) { /* the response has begun; who reads its body meets the end of it */
        if (!relay->cut) relay->cut = relay->why;
        relay_wake(relay);
        return;
    }
    relay->failed = true;
    relay_explain(&request->refusal, failure);
    if (relay->phase != RELAY_UPLOADING || !relay->begun)
        relay_wake(relay);
    else
        relay_refuse_at_once(relay);
}

void relay_mark_broken(struct relay *relay) {
    if (relay->sending && relay->endless && relay->conn->request.head.http_1_0)
        conn_reset(relay->conn);
}
