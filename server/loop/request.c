#include "server/loop/request.h"

#include "common/clock.h"
#include "server/answer/admin.h"
#include "server/answer/endpoint.h"
#include "server/answer/forward_auth.h"
#include "server/loop/relay.h"
#include "server/loop/relay_request.h"
#include "server/loop/reply.h"
#include "server/policy/decision.h"
#include "server/policy/route.h"
#include "server/policy/target.h"
#include "server/token/authenticate.h"

/* Requests that may wait for keys at once, in each worker; further ones are refused at once. */
#define WAITING_MAX 1024
#define LIST_MAX (8 * 1024)

static struct conn *conn_of(struct MHD_Connection *connection) {
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* --- waiting for keys ---------------------------------------------------------------------- */

static void wait_for_keys(struct worker *worker, struct conn *conn,
                          const struct keyring_entry *entry) {
    struct request *request = &conn->request;
    if (request->wait_until_ms == 0)
        request->wait_until_ms = worker->reactor.now_ms + REQUEST_WAIT_MS;
    request->waits_for = entry;
    request->waiting_prev = NULL;
    request->waiting_next = worker->waiting;
    if (worker->waiting) worker->waiting->request.waiting_prev = conn;
    worker->waiting = conn;
    worker->waiting_count++;
    MHD_suspend_connection(conn->mhd);
}

static void wait_no_longer(struct worker *worker, struct conn *conn) {
    struct request *request = &conn->request;
    if (!request->waits_for) return;
    if (request->waiting_prev)
        request->waiting_prev->request.waiting_next = request->waiting_next;
    else
        worker->waiting = request->waiting_next;
    if (request->waiting_next) request->waiting_next->request.waiting_prev = request->waiting_prev;
    request->waits_for = NULL;
    worker->waiting_count--;
}

static bool need_not_wait(const struct worker *worker, const struct request *request) {
    const struct pulse *pulse = request->waits_for->pulse;
    return worker->reactor.now_ms >= request->wait_until_ms ||
           request->view->ring_generation != worker->view->ring_generation ||
           (!atomic_load(&pulse->wanted) && !atomic_load(&pulse->fetching));
}

void request_resume_waiting(struct worker *worker, bool all) {
    struct conn *next;
    for (struct conn *conn = worker->waiting; conn; conn = next) {
        next = conn->request.waiting_next;
        if (!all && !need_not_wait(worker, &conn->request)) continue;
        wait_no_longer(worker, conn);
        MHD_resume_connection(conn->mhd);
    }
}

/* What a request that lacks keys can do. Too late: what was found out so far stands. */
static enum keystore_hint ask_for_keys(struct worker *worker, const struct request *request,
                                       const struct keyring_entry *entry) {
    if (worker->waiting_count >= WAITING_MAX || atomic_load(&worker->shared->stopping))
        return HINT_TOO_LATE;
    if (request->wait_until_ms && worker->reactor.now_ms >= request->wait_until_ms)
        return HINT_TOO_LATE;
    return keystore_hint(worker->shared->keystore, entry, request->view->ring_generation);
}

/* --- the answer ---------------------------------------------------------------------------- */

/* A refusal that needs nothing of a route. */
static enum MHD_Result refuse_early(struct conn *conn) {
    struct problem_context context = {0};
    return reply_refuse(conn, &context);
}

static enum MHD_Result refuse_method(struct conn *conn, const struct config *config) {
    struct buf allow = buf_make(LIST_MAX);
    route_add_allow(config, conn->request.target.path, &allow);
    struct problem_context context = {.allow = buf_span(&allow)};

    refuse(&conn->request.refusal, REASON_METHOD_NOT_ALLOWED,
           "this path does not take that method");
    enum MHD_Result result = reply_refuse(conn, &context);
    buf_done(&allow);
    return result;
}

static enum MHD_Result refuse_decided(struct conn *conn, const struct decision *decision) {
    struct problem_context context = {0};
    struct buf scopes = buf_make(LIST_MAX);
    if (decision->principal) {
        decision_add_scopes(decision->route, decision->principal, &scopes);
        context.scope = buf_span(&scopes);
    }
    enum MHD_Result result = reply_refuse(conn, &context);
    buf_done(&scopes);
    return result;
}

/* Another proxy's request may go on, with what its upstream is told about the caller. */
static enum MHD_Result answer_asker(struct conn *conn, const struct decision *decision) {
    const struct setup *setup = conn->request.view->setup;
    const struct config_route *route = decision->route;
    struct answer answer = answer_make(200);
    struct span assertion;

    buf_add_text(&answer.body, "{\"allowed\":true}");
    forward_add_identity(setup->rules, decision->principal, &answer.headers);
    bool wanted = decision->principal && route->upstream_index != UPSTREAM_NONE &&
                  setup->config->upstreams[route->upstream_index].assertion;
    if (wanted) {
        const struct config_upstream *upstream = &setup->config->upstreams[route->upstream_index];
        if (!assertion_find(setup->assertion_key, setup->config, upstream, decision->principal,
                            clock_wall(), &assertion)) {
            answer_done(&answer);
            refuse(&conn->request.refusal, REASON_OUT_OF_MEMORY, "out of memory");
            return refuse_early(conn);
        }
        buf_addf(&answer.headers, "%s: %.*s\r\n", setup->config->assertion.header,
                 SPAN_PRINTF(assertion));
    }
    return reply_send(conn, &answer);
}

static enum MHD_Result answer_decision(struct conn *conn, const struct decision *decision) {
    if (!decision->allowed) return refuse_decided(conn, decision);
    if (conn->request.asked_about) return answer_asker(conn, decision);
    if (decision->route->upstream_index != UPSTREAM_NONE) return relay_begin(conn, decision);
    struct answer answer = endpoint_answer(decision);
    return reply_send(conn, &answer);
}

/* --- the stairs ---------------------------------------------------------------------------- */

/* Pin the newest view for this request; what an earlier judgement pinned is let go. */
static const struct view *pin_newest(struct worker *worker, struct request *request) {
    view_update(&worker->view, worker->shared);
    view_unpin(request->view);
    request->view = view_pin(worker->view);
    return request->view;
}

static enum MHD_Result decide(struct conn *conn, const struct config_route *route,
                              enum authenticated authenticated) {
    struct request *request = &conn->request;
    if (authenticated != AUTH_PRINCIPAL && authenticated != AUTH_ABSENT) return refuse_early(conn);
    struct decision decision = authorize(route, request->principal, &request->refusal);
    return answer_decision(conn, &decision);
}

static enum MHD_Result refuse_route(struct conn *conn, const struct config *config,
                                    enum route_found found) {
    if (found == ROUTE_OTHER_METHOD) return refuse_method(conn, config);
    refuse(&conn->request.refusal, REASON_NO_ROUTE, "nothing is configured for this path");
    return refuse_early(conn);
}

/*
 * A trusted proxy asks about a request of its own: from here on that one is judged, by the same
 * routes and the same code as one that comes to us. False with the refusal set where it cannot be
 * made out.
 */
static bool turn_to_original(struct conn *conn, const struct config_route *route) {
    struct request *request = &conn->request;
    struct asking asking = {.route = route,
                            .method = request->method,
                            .host = request->head.host,
                            .raw_target = buf_span(&request->raw_target)};
    struct original original;

    if (!setup_trusts(request->view->setup, (const struct sockaddr *)&conn->address))
        return refuse(&request->refusal, REASON_NOT_TRUSTED,
                      "only the addresses in trusted_proxies may ask about requests");
    if (!relay_collect(conn, MHD_HEADER_KIND, &asking.fields))
        return refuse(&request->refusal, REASON_OUT_OF_MEMORY, "out of memory");
    if (!forward_auth_original(&asking, &original, &request->refusal)) return false;
    request->asked_about = true;
    request->method = original.method;
    request->original_path.max = request->path.max;
    return target_parse(original.target, &request->original_path, &request->target,
                        &request->refusal);
}

/* A proxy that asks by the path must get a verdict, never the answer of whatever route its client's
 * dot segments lead to. */
static bool is_behind_asking(const struct config *config, struct span raw) {
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (route->respond == RESPOND_FORWARD_AUTH && route->subtree &&
            span_starts_with(raw, span_of(route->path)))
            return true;
    }
    return false;
}

/* The route that judges the request, or the one that it asks about. False: it was refused. */
static bool find_route(struct conn *conn, const struct config_route **ret,
                       enum MHD_Result *result) {
    struct request *request = &conn->request;
    const struct config *config = request->view->setup->config;
    enum route_found found = route_find(config, request->method, request->target.path, ret);

    if (found == ROUTE_FOUND && (*ret)->respond == RESPOND_FORWARD_AUTH) {
        if (!turn_to_original(conn, *ret)) {
            *result = refuse_early(conn);
            return false;
        }
        found = route_find(config, request->method, request->target.path, ret);
        /* Nobody else's request is about asking. */
        if (found == ROUTE_FOUND && (*ret)->respond == RESPOND_FORWARD_AUTH) found = ROUTE_NONE;
    }
    if (!request->asked_about && is_behind_asking(config, buf_span(&request->raw_target))) {
        refuse(&request->refusal, REASON_ORIGINAL,
               "the request that is asked about climbs out of the path of forward_auth");
        *result = refuse_early(conn);
        return false;
    }
    if (found == ROUTE_FOUND) return true;
    *result = refuse_route(conn, config, found);
    return false;
}

/* Judge a request whose head is sound. May end with the request waiting for keys. */
static enum MHD_Result judge(struct worker *worker, struct conn *conn, struct span method) {
    struct request *request = &conn->request;
    struct refusal *refusal = &request->refusal;
    const struct keyring_entry *entry = NULL;
    const struct config_route *route = NULL;
    enum MHD_Result result;

    for (;;) {
        const struct view *view = pin_newest(worker, request);
        const struct config *config = view->setup->config;
        request->method = method;
        request->asked_about = false;
        if (!target_parse(buf_span(&request->raw_target), &request->path, &request->target,
                          refusal))
            return refuse_early(conn);
        if (!find_route(conn, &route, &result)) return result;
        struct evidence evidence = {.now = clock_wall(),
                                    .now_ms = clock_monotonic_ms(),
                                    .authorization = request->head.authorization,
                                    .authorization_count = request->head.authorization_count};
        enum authenticated authenticated =
            authenticate(&evidence, view->ring, worker->tokens, config->limits.token,
                         &request->principal, &entry, refusal);
        if (authenticated != AUTH_NEEDS_KEYS) return decide(conn, route, authenticated);
        enum keystore_hint hint = ask_for_keys(worker, request, entry);
        if (hint == HINT_TOO_LATE) return refuse_early(conn);
        /* Newer keys may be there already; in the middle of a reload they are for a moment more
         * recent than the setup, and the request waits for that to pass. */
        if (hint == HINT_LOOK_AGAIN && view_update(&worker->view, worker->shared)) continue;
        wait_for_keys(worker, conn, entry);
        return MHD_YES;
    }
}

/* The admin listener knows no routes and no tokens: it is for this machine alone. */
static enum MHD_Result answer_admin(struct worker *worker, struct conn *conn) {
    struct request *request = &conn->request;
    const struct setup *setup = pin_newest(worker, request)->setup;
    struct admin_context context = {
        .jwks = setup->assertion_key ? assertion_jwks(setup->assertion_key) : SPAN_NONE};
    struct problem_context problem = {0};
    struct answer answer;
    const char *allow = NULL;

    if (!target_parse(buf_span(&request->raw_target), &request->path, &request->target,
                      &request->refusal))
        return refuse_early(conn);
    if (admin_answer(&context, request->method, request->target.path, &answer, &allow,
                     &request->refusal))
        return reply_send(conn, &answer);
    if (allow) problem.allow = span_of(allow);
    return reply_refuse(conn, &problem);
}

/* --- libmicrohttpd's callbacks ------------------------------------------------------------- */

void *request_on_target(void *argument, const char *target, struct MHD_Connection *connection) {
    struct worker *worker = argument;
    struct conn *conn = conn_of(connection);
    if (!conn) return NULL;

    struct request *request = &conn->request;
    buf_reset(&request->raw_target);
    buf_add_text(&request->raw_target, target);
    request->admitted = false;
    request->unread_body = true; /* until the head says otherwise */
    request->target.path = SPAN_NONE;
    request->refused = false;
    request->wait_until_ms = 0;
    request->began_ms = worker->reactor.now_ms;
    /* The request line is here: the rest of the head has its own time limit, counted from now on,
     * that no trickle of bytes extends. */
    conn_expect(conn, &worker->heads,
                worker->reactor.now_ms + worker->view->setup->config->limits.header_timeout);
    return conn;
}

enum MHD_Result request_on_call(void *argument, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_len, void **state) {
    struct worker *worker = argument;
    struct conn *conn = *state;

    if (!conn || !buf_ok(&conn->request.raw_target)) return MHD_NO;
    if (conn->request.relay) return relay_on_call(conn, upload, upload_len);
    if (*upload_len) { /* a body is never read: its request was answered before */
        *upload_len = 0;
        return MHD_YES;
    }
    conn_expect_nothing(conn);
    struct request *request = &conn->request;
    if (!request->admitted) {
        struct door_head head = {.connection = connection,
                                 .method = method,
                                 .url = url,
                                 .version = version,
                                 .raw_target = buf_span(&request->raw_target),
                                 .header_max = worker->view->setup->config->limits.header};
        request->method = span_of(method);
        if (!door_check(&head, &request->head, &request->refusal)) return refuse_early(conn);
        request->admitted = true;
        request->unread_body = request->head.has_body;
        /* libmicrohttpd closes the connection behind an answer that is queued at its first call.
         * That is right where a body is left unread; otherwise answer at the second call. */
        if (!request->head.has_body) return MHD_YES;
    }
    return conn->admin ? answer_admin(worker, conn) : judge(worker, conn, span_of(method));
}

/* What belongs to one request, and not to the next on its connection. */
static void request_forget(struct request *request) {
    principal_unref(request->principal);
    request->principal = NULL;
    view_unpin(request->view);
    request->view = NULL;
}

void request_on_completed(void *argument, struct MHD_Connection *connection, void **state,
                          enum MHD_RequestTerminationCode code) {
    struct worker *worker = argument;
    struct conn *conn = *state;
    (void)connection;

    if (!conn) return;
    *state = NULL;
    wait_no_longer(worker, conn);
    relay_end(conn, code);
    request_forget(&conn->request);
    const struct config_limits *limits = &worker->view->setup->config->limits;
    conn_expect(conn, &worker->idle,
                worker->reactor.now_ms + limits->idle_timeout + limits->header_timeout);
}

void request_done(struct request *request) {
    request_forget(request);
    buf_done(&request->raw_target);
    buf_done(&request->path);
    buf_done(&request->original_path);
}
