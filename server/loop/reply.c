#include "server/loop/reply.h"

#include "common/clock.h"
#include "server/answer/respond.h"

struct span reply_path(const struct request *request) {
    if (request->target.path.ptr) return request->target.path;
    struct span raw = buf_span(&request->raw_target);
    return span_until(raw, span_find(raw, '?'));
}

static void log_access(const struct conn *conn, unsigned status) {
    const struct request *request = &conn->request;
    bool refused = request->refused;

    LOG(LOG_INFO, refused ? "refused" : "answered", LOG_TEXT("client", conn->client),
        LOG_SPAN("method", request->method), LOG_SPAN("path", reply_path(request)),
        LOG_NUMBER("status", status),
        LOG_SPAN("user", request->principal ? principal_user(request->principal) : SPAN_NONE),
        LOG_TEXT("reason", refused ? reason_name(request->refusal.reason) : NULL),
        LOG_TEXT("why", refused ? request->refusal.text : NULL),
        LOG_NUMBER("took_ms", clock_monotonic_ms() - request->began_ms));
}

enum MHD_Result reply_send(struct conn *conn, struct answer *answer) {
    const struct worker *worker = conn->worker;
    if (atomic_load(&worker->shared->draining)) answer->close = true;

    bool queued = respond(conn->mhd, answer);
    /* A request that went to an upstream is logged when it is over. */
    if (worker->view->setup->config->log.access && !conn->request.relay)
        log_access(conn, answer->status);
    answer_done(answer);
    return queued ? MHD_YES : MHD_NO;
}

struct answer reply_refusal(struct conn *conn, struct problem_context *context) {
    conn->request.refused = true;
    context->realm = conn->worker->view->setup->config->realm;
    return problem_answer(&conn->request.refusal, context);
}

enum MHD_Result reply_refuse(struct conn *conn, struct problem_context *context) {
    struct answer answer = reply_refusal(conn, context);
    return reply_send(conn, &answer);
}
