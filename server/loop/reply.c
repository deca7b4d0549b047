#include "server/loop/reply.h"

#include "common/clock.h"
#include "server/answer/respond.h"
#include "server/loop/relay_request.h"

struct span reply_path(const struct request *request) {
    if (request->target.path.ptr) return request->target.path;
    struct span raw = buf_span(&request->raw_target);
    return span_until(raw, span_find(raw, '?'));
}

const struct request_id *reply_id(struct conn *conn) {
    struct request *request = &conn->request;
    struct fields fields = {0};

    if (*request->id.text) return &request->id;
    /* What an unsound head says is not to be believed. */
    if (request->admitted && !relay_collect(conn, &fields)) fields.count = 0;
    request_id_choose(fields, &request->id);
    return &request->id;
}

static void log_access(struct conn *conn, unsigned status) {
    const struct request *request = &conn->request;
    bool refused = request->refused;

    LOG(LOG_INFO, refused ? "refused" : "answered", LOG_TEXT("client", conn->client),
        LOG_SPAN("method", request->method), LOG_SPAN("path", reply_path(request)),
        LOG_SPAN("host", request->host),
        LOG_TEXT("route", request->route ? request->route->path : NULL),
        LOG_NUMBER("status", status),
        LOG_SPAN("user", request->principal ? principal_user(request->principal) : SPAN_NONE),
        LOG_TEXT("reason", refused ? reason_name(request->refusal.reason) : NULL),
        LOG_TEXT("why", refused ? request->refusal.text : NULL),
        LOG_TEXT("asked_by", request->asked_about ? "proxy" : NULL),
        LOG_TEXT("request_id", reply_id(conn)->text), LOG_NUMBER("waited_ms", request->waited_ms),
        LOG_NUMBER("took_ms", clock_monotonic_ms() - request->began_ms));
}

static bool is_draining(const struct conn *conn) {
    return atomic_load(&conn->worker->shared->draining);
}

static enum MHD_Result queue(struct conn *conn, unsigned status, struct MHD_Response *response) {
    enum MHD_Result result = response ? MHD_queue_response(conn->mhd, status, response) : MHD_NO;
    /* A request that went to an upstream is counted and logged when it is over. */
    if (conn->request.relay) return result;
    tally_reply(conn, status);
    if (conn->worker->view->setup->config->log.access) log_access(conn, status);
    return result;
}

enum MHD_Result reply_send(struct conn *conn, struct answer *answer) {
    if (is_draining(conn)) answer->close = true;
    CLEANUP(MHD_destroy_responsep) struct MHD_Response *response = respond_make(answer);
    enum MHD_Result result = queue(conn, answer->status, response);
    answer_done(answer);
    return result;
}

static void let_go(void *response) {
    MHD_destroy_response(response);
}

enum MHD_Result reply_keep(struct conn *conn, struct answer *answer, const void *key,
                           int64_t until) {
    const struct principal *principal = conn->request.principal;
    bool lasting = answer->status == MHD_HTTP_OK && !answer->close;
    if (!principal || !lasting || is_draining(conn)) return reply_send(conn, answer);

    CLEANUP(MHD_destroy_responsep) struct MHD_Response *response = respond_make(answer);
    enum MHD_Result result = queue(conn, answer->status, response);
    struct memo memo = {key, let_go, response, respond_size(answer), until};
    if (response && principal_remember(principal, &memo)) response = NULL;
    answer_done(answer);
    return result;
}

bool reply_again(struct conn *conn, const void *key, enum MHD_Result *ret) {
    const struct principal *principal = conn->request.principal;
    if (!principal || is_draining(conn)) return false;

    struct MHD_Response *response = principal_memo(principal, key, let_go, conn->request.judged_at);
    if (!response) return false;
    *ret = queue(conn, MHD_HTTP_OK, response);
    return true;
}

struct answer reply_refusal(struct conn *conn, const struct rejection *rejection) {
    struct request *request = &conn->request;
    const struct setup *setup = request->view ? request->view->setup : conn->worker->view->setup;
    struct rejection told = rejection ? *rejection : (struct rejection){0};

    told.realm = setup->config->realm;
    told.host = request->host;
    told.path = request->target.path;
    told.origin = request->cors_origin;
    /* The admin listener is no resource of anybody's. */
    if (!conn->admin) told.resources = setup->resources;
    request->refused = true;
    return rejection_answer(&request->refusal, &told);
}

enum MHD_Result reply_refuse(struct conn *conn, const struct rejection *rejection) {
    struct answer answer = reply_refusal(conn, rejection);
    return reply_send(conn, &answer);
}
