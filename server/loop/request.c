#include "server/loop/request.h"

#include "common/clock.h"
#include "common/log.h"
#include "server/answer/admin.h"
#include "server/answer/cors.h"
#include "server/answer/endpoint.h"
#include "server/answer/forward_auth.h"
#include "server/loop/observe.h"
#include "server/loop/relay.h"
#include "server/loop/relay_request.h"
#include "server/loop/reply.h"
#include "server/policy/decision.h"
#include "server/policy/resource.h"
#include "server/policy/route.h"
#include "server/policy/target.h"
#include "server/token/authenticate.h"

/* Requests that may wait for keys at once, in each worker; further ones are refused at once. */
#define WAITING_MAX 1024

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
    request->waited_ms = worker->reactor.now_ms - (request->wait_until_ms - REQUEST_WAIT_MS);
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

/* The header's value; absent where it was not sent. Walks all headers: for rare uses. */
static struct span header_of(const struct conn *conn, const char *name) {
    return span_of(MHD_lookup_connection_value(conn->mhd, MHD_HEADER_KIND, name));
}

static enum MHD_Result refuse_method(struct conn *conn, const struct route *route) {
    refuse(&conn->request.refusal, REASON_METHOD_NOT_ALLOWED,
           "this path does not take that method");
    return reply_refuse(conn, &(struct rejection){.other = route});
}

/* Whose assertion the answer to the asking proxy has to bring; NULL: none. */
static const struct config_upstream *find_asserted(const struct config *config,
                                                   const struct decision *decision) {
    size_t index = decision->route->upstream_index;
    if (!decision->principal || index == UPSTREAM_NONE) return NULL;
    return config->upstreams[index].assertion ? &config->upstreams[index] : NULL;
}

/* Another proxy's request may go on, with what its upstream is told about the caller. */
static enum MHD_Result answer_asker(struct conn *conn, const struct decision *decision) {
    const struct setup *setup = conn->request.view->setup;
    const struct config_upstream *upstream = find_asserted(setup->config, decision);
    /* All that the answer depends on besides the principal. */
    const void *key = upstream ? (const void *)upstream : setup->rules;
    struct assertion assertion = {SPAN_NONE, MEMO_HOLDS};
    enum MHD_Result result;

    if (reply_again(conn, key, &result)) return result;
    if (upstream && !assertion_find(setup->assertion_key, setup->config, upstream,
                                    decision->principal, clock_wall(), &assertion)) {
        refuse(&conn->request.refusal, REASON_OUT_OF_MEMORY, "out of memory");
        return reply_refuse(conn, NULL);
    }
    struct answer answer = answer_make(200);
    buf_add_text(&answer.body, "{\"allowed\":true}");
    forward_add_identity(setup->rules, decision->principal, &answer.headers);
    if (upstream)
        buf_addf(&answer.headers, "%s: %.*s\r\n", setup->config->assertion.header,
                 SPAN_PRINTF(assertion.text));
    return reply_keep(conn, &answer, key, assertion.until);
}

/* What a script is told names its origin, and is no answer for another. */
static enum MHD_Result answer_endpoint(struct conn *conn, const struct decision *decision) {
    struct span origin = conn->request.cors_origin;
    enum MHD_Result result;

    if (!origin.ptr && reply_again(conn, endpoint_key(decision), &result)) return result;
    struct answer answer = endpoint_answer(decision);
    if (!origin.ptr) return reply_keep(conn, &answer, endpoint_key(decision), MEMO_HOLDS);
    cors_add_lines(origin, &answer.headers);
    return reply_send(conn, &answer);
}

static enum MHD_Result answer_decision(struct conn *conn, const struct decision *decision) {
    if (!decision->allowed) return reply_refuse(conn, &(struct rejection){.decision = decision});
    if (conn->request.asked_about) return answer_asker(conn, decision);
    if (decision->route->upstream_index != UPSTREAM_NONE) return relay_begin(conn, decision);
    return answer_endpoint(conn, decision);
}

/* The rule is only tried out: what it would have refused is told. */
static void report(struct conn *conn) {
    const struct request *request = &conn->request;

    tally_would_refuse(conn);
    LOG(LOG_NOTICE, "would be refused", LOG_TEXT("client", conn->client),
        LOG_SPAN("method", request->method), LOG_SPAN("path", reply_path(request)),
        LOG_SPAN("user", principal_user(request->principal)),
        LOG_TEXT("reason", reason_name(request->refusal.reason)),
        LOG_TEXT("why", request->refusal.text));
}

/* --- the stairs ---------------------------------------------------------------------------- */

/* Pin the newest view for this request; what an earlier judgement pinned is let go. */
static const struct view *pin_newest(struct worker *worker, struct request *request) {
    view_update(&worker->view, worker->shared);
    view_unpin(request->view);
    request->view = view_pin(worker->view);
    return request->view;
}

/* Whose request it is has been settled: what does the route make of it? */
static enum MHD_Result decide(struct conn *conn, const struct route_match *match,
                              enum authenticated authenticated, const struct evidence *evidence) {
    struct request *request = &conn->request;
    bool settled = authenticated == AUTH_PRINCIPAL || authenticated == AUTH_ABSENT;
    struct decision decision = {.allowed = false};

    if (settled && !request->wrong_method)
        decision = authorize(match, request->principal, evidence, &request->refusal);
    tally_decision(conn, request->judged_ns);
    if (!settled) return reply_refuse(conn, NULL);
    /* Which methods there are is told to those who may know that there is something. */
    if (request->wrong_method && request->principal) return refuse_method(conn, match->route);
    if (request->wrong_method) return reply_refuse(conn, NULL);
    if (decision.reported) report(conn);
    return answer_decision(conn, &decision);
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
    if (!relay_collect(conn, &asking.fields))
        return refuse(&request->refusal, REASON_OUT_OF_MEMORY, "out of memory");
    if (!forward_auth_original(&asking, &original, &request->refusal)) return false;
    request->asked_about = true;
    request->method = original.method;
    request->host = original.host;
    request->original_path.max = request->path.max;
    return target_parse(original.target, &request->original_path, &request->target,
                        &request->refusal);
}

static enum route_found look_up(const struct request *request, struct span method,
                                struct route_match *ret) {
    struct route_query query = {method, request->host, request->target.path};
    return routes_find(request->view->setup->routes, &query, ret);
}

/*
 * A browser asks whether a script may send a request: never with a token, and never about one that
 * goes further than the route for that method says. True: it was answered.
 */
static bool answer_preflight(struct conn *conn, enum MHD_Result *result) {
    struct request *request = &conn->request;
    struct route_match match;

    if (!span_equal_text(request->method, "OPTIONS")) return false;
    struct span origin = header_of(conn, "Origin");
    struct span asked = header_of(conn, "Access-Control-Request-Method");
    if (!cors_is_preflight(request->method, origin, asked, request->head.authorization_count) ||
        look_up(request, asked, &match) != ROUTE_FOUND)
        return false;
    enum preflight preflight = match.route->config->cors.preflight;
    if (preflight == PREFLIGHT_PASS) {
        struct decision decision = authorize_preflight(&match);
        *result = answer_decision(conn, &decision);
        return true;
    }
    /* Another proxy cannot pass our answer on, only our consent. */
    if (preflight != PREFLIGHT_ANSWER || request->asked_about) return false;
    if (!cors_allows(match.route->config, origin)) {
        refuse(&request->refusal, REASON_ORIGIN_NOT_ALLOWED,
               "scripts from that origin may not call this path");
        *result = reply_refuse(conn, NULL);
        return true;
    }
    struct answer answer = cors_answer(match.route, asked, origin);
    *result = reply_send(conn, &answer);
    return true;
}

/* Where clients find out about a resource. Public, for scripts of every origin, too. */
static bool answer_metadata(struct conn *conn, enum MHD_Result *result) {
    struct request *request = &conn->request;
    const struct setup *setup = request->view->setup;

    /* A proxy that asks takes 200 for consent. */
    if (routes_is_for_asking(setup->routes, buf_span(&request->raw_target))) return false;
    const struct resource *resource =
        resources_described_at(setup->resources, request->host, request->target.path);
    if (!resource) return false;
    if (!span_equal_text(request->method, "GET") && !span_equal_text(request->method, "HEAD")) {
        refuse(&request->refusal, REASON_METHOD_NOT_ALLOWED, "metadata is read by GET");
        *result = reply_refuse(conn, &(struct rejection){.allow = SPAN_LITERAL("GET, HEAD")});
        return true;
    }
    struct answer answer = answer_make(200);
    buf_add_text(&answer.body, resource->document);
    buf_add_text(&answer.headers, "Access-Control-Allow-Origin: *\r\n");
    *result = reply_send(conn, &answer);
    return true;
}

/* The route that judges the request, or the one that it asks about. False: it was answered. */
static bool find_route(struct conn *conn, struct route_match *ret, enum MHD_Result *result) {
    struct request *request = &conn->request;
    const struct setup *setup = request->view->setup;

    if (answer_metadata(conn, result)) return false;
    enum route_found found = look_up(request, request->method, ret);
    if (found == ROUTE_FOUND && ret->route->config->respond == RESPOND_FORWARD_AUTH) {
        if (!turn_to_original(conn, ret->route->config)) {
            *result = reply_refuse(conn, NULL);
            return false;
        }
        found = look_up(request, request->method, ret);
        /* Nobody else's request is about asking. */
        if (found == ROUTE_FOUND && ret->route->config->respond == RESPOND_FORWARD_AUTH)
            found = ROUTE_NONE;
    }
    /* A proxy that asks by the path must get a verdict, never the answer of whatever route its
     * client's dot segments lead to. */
    if (!request->asked_about &&
        routes_is_for_asking(setup->routes, buf_span(&request->raw_target))) {
        refuse(&request->refusal, REASON_ORIGINAL,
               "the request that is asked about climbs out of the path of forward_auth");
        *result = reply_refuse(conn, NULL);
        return false;
    }
    if (found == ROUTE_NONE) {
        refuse(&request->refusal, REASON_NO_ROUTE, "nothing is configured for this path");
        *result = reply_refuse(conn, NULL);
        return false;
    }
    request->route = ret->route->config;
    if (answer_preflight(conn, result)) return false;
    if (ret->route->config->cors.origins.count) {
        struct span origin = header_of(conn, "Origin");
        if (cors_allows(ret->route->config, origin)) request->cors_origin = origin;
    }
    request->wrong_method = found == ROUTE_OTHER_METHOD;
    if (request->wrong_method && route_is_open(ret->route)) {
        *result = refuse_method(conn, ret->route);
        return false;
    }
    return true;
}

/* One look at each clock serves all that is decided about the request now. */
static struct evidence look(struct request *request) {
    request->judged_at = clock_wall();
    return (struct evidence){.now = request->judged_at,
                             .now_ms = request->judged_ns / 1000000,
                             .authorization = request->head.authorization,
                             .authorization_count = request->head.authorization_count,
                             .denied = request->view->denied,
                             .denied_generation = request->view->denied_generation};
}

/* Judge a request whose head is sound. May end with the request waiting for keys. */
static enum MHD_Result judge(struct worker *worker, struct conn *conn, struct span method) {
    struct request *request = &conn->request;
    struct refusal *refusal = &request->refusal;
    const struct keyring_entry *entry = NULL;
    struct route_match match;
    enum MHD_Result result;

    for (;;) {
        request->judged_ns = clock_monotonic_ns();
        const struct view *view = pin_newest(worker, request);
        const struct config *config = view->setup->config;
        request->method = method;
        request->host = request->head.host;
        request->asked_about = false;
        request->route = NULL;
        request->cors_origin = SPAN_NONE;
        if (!target_parse(buf_span(&request->raw_target), &request->path, &request->target,
                          refusal))
            return reply_refuse(conn, NULL);
        if (!find_route(conn, &match, &result)) return result;
        struct evidence evidence = look(request);
        enum authenticated authenticated =
            authenticate(&evidence, view->ring, &worker->aids, config->limits.token,
                         &request->principal, &entry, refusal);
        if (authenticated != AUTH_NEEDS_KEYS) return decide(conn, &match, authenticated, &evidence);
        enum keystore_hint hint = ask_for_keys(worker, request, entry);
        if (hint == HINT_TOO_LATE) return reply_refuse(conn, NULL);
        /* Newer keys may be there already; in the middle of a reload they are for a moment more
         * recent than the setup, and the request waits for that to pass. */
        if (hint == HINT_LOOK_AGAIN && view_update(&worker->view, worker->shared)) continue;
        wait_for_keys(worker, conn, entry);
        return MHD_YES;
    }
}

/* What probes ask, which carry no token. */
static bool is_health(struct span path) {
    return span_equal_text(path, "/healthz");
}

/* By admin.require, where it is set. Nobody waits for keys here: who looks after the daemon sees at
 * once that there are none. */
static bool may_administer(struct worker *worker, struct conn *conn, bool *ret_authorized) {
    struct request *request = &conn->request;
    const struct setup *setup = request->view->setup;
    struct route_match match = {.route = &setup->admin_route};
    const struct keyring_entry *entry;

    *ret_authorized = setup->admin_route.require != NULL;
    if (!*ret_authorized || is_health(request->target.path)) return true;
    request->judged_ns = clock_monotonic_ns();
    struct evidence evidence = look(request);
    if (authenticate(&evidence, request->view->ring, &worker->aids, setup->config->limits.token,
                     &request->principal, &entry, &request->refusal) != AUTH_PRINCIPAL)
        return false;
    struct decision decision = authorize(&match, request->principal, &evidence, &request->refusal);
    return decision.allowed;
}

/* The admin listener knows no routes. */
static enum MHD_Result answer_admin(struct worker *worker, struct conn *conn) {
    struct request *request = &conn->request;
    struct refusal *refusal = &request->refusal;
    const struct view *view = pin_newest(worker, request);
    const struct assertion_key *key = view->setup->assertion_key;
    struct admin_context context = {.jwks = key ? assertion_jwks(key) : SPAN_NONE,
                                    .has_deny_list = *view->setup->config->deny_list,
                                    .denied = view->denied,
                                    .source = &observe_source,
                                    .argument = conn};
    struct admin_request asked = {.method = request->method,
                                  .host = request->head.host,
                                  .unix_socket = conn->address.ss_family == AF_UNIX,
                                  .has_body = request->head.has_body};
    struct admin_errand errand;
    struct answer answer;
    const char *allow = NULL;

    if (!target_parse(buf_span(&request->raw_target), &request->path, &request->target, refusal))
        return reply_refuse(conn, NULL);
    if (!may_administer(worker, conn, &asked.authorized)) return reply_refuse(conn, NULL);
    asked.path = request->target.path;
    asked.query = request->target.query;
    if (!relay_collect(conn, &asked.fields)) {
        refuse(refusal, REASON_OUT_OF_MEMORY, "out of memory");
        return reply_refuse(conn, NULL);
    }
    switch (admin_answer(&context, &asked, &answer, &errand, &allow, refusal)) {
    case ADMIN_ANSWERED:
        return reply_send(conn, &answer);
    case ADMIN_ERRAND:
        if (errand_send(worker->shared->errands, conn, &errand)) return MHD_YES;
        admin_errand_done(&errand);
        refuse(refusal, REASON_NOT_WRITTEN, "the server is too busy, or stops; nothing changed");
        break;
    case ADMIN_REFUSED:
        break;
    }
    return reply_refuse(conn, &(struct rejection){.allow = span_of(allow)});
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
    request->judged_at = 0;
    request->wait_until_ms = 0;
    request->waited_ms = 0;
    request->route = NULL;
    request->asked_about = false;
    request->host = request->cors_origin = SPAN_NONE; /* they were the last request's bytes */
    request->id.text[0] = '\0';
    request->number = ++worker->requests;
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
                                 .header_max = worker->view->setup->config->limits.header,
                                 .number = request->number};
        request->method = span_of(method);
        if (!door_check(&head, &worker->fields, &request->head, &request->refusal))
            return reply_refuse(conn, NULL);
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
    /* libmicrohttpd may take its time to close a connection on which something broke off, and does
     * not shut it down first (MHD_USE_TURBO): the client must see the end now. */
    if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK && !conn->tls) shutdown(conn->fd, SHUT_WR);
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
