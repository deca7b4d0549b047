#include "server/loop/tally.h"

#include <stdlib.h>

#include "common/clock.h"
#include "server/loop/relay_state.h"
#include "server/loop/reply.h"

struct tallies *tallies_new(unsigned workers) {
    struct tallies *tallies = calloc(1, sizeof *tallies);
    if (!tallies) return NULL;

    tallies->registry = metrics_registry_new(workers);
    tallies->histories = calloc(workers, sizeof *tallies->histories);
    tallies->recents = calloc(workers, sizeof *tallies->recents);
    if (!tallies->registry || !tallies->histories || !tallies->recents) {
        tallies_free(tallies);
        return NULL;
    }
    for (; tallies->count < workers; tallies->count++)
        recent_init(&tallies->recents[tallies->count]);
    tallies->started_ms = clock_wall_ms();
    tallies->began_ms = clock_monotonic_ms();
    atomic_init(&tallies->loaded_ms, tallies->started_ms);
    atomic_init(&tallies->reloaded_well, true);
    return tallies;
}

void tallies_free(struct tallies *tallies) {
    if (!tallies) return;
    for (unsigned i = 0; i < tallies->count; i++) recent_done(&tallies->recents[i]);
    metrics_registry_free(tallies->registry);
    free(tallies->histories);
    free(tallies->recents);
    free(tallies);
}

static struct tallies *tallies_of(const struct worker *worker) {
    return worker->shared->tallies;
}

static struct metrics *metrics_of(const struct worker *worker) {
    return metrics_of_worker(tallies_of(worker)->registry, worker->index);
}

/* What the request's route counts as; the labels are those of the setup that it holds. */
static unsigned route_of(const struct request *request) {
    if (!request->view) return METRICS_NO_ROUTE;
    return metrics_route(request->view->setup->labels, request->route);
}

static void remember(struct conn *conn, unsigned status) {
    const struct request *request = &conn->request;
    struct recent_refusal refusal = {.at = clock_wall(),
                                     .order = clock_monotonic_ns(),
                                     .status = status,
                                     .reason = request->refusal.reason};

    recent_copy(refusal.client, sizeof refusal.client, span_of(conn->client));
    recent_copy(refusal.method, sizeof refusal.method, request->method);
    recent_copy(refusal.path, sizeof refusal.path, reply_path(request));
    recent_copy(refusal.request_id, sizeof refusal.request_id, span_of(reply_id(conn)->text));
    recent_copy(refusal.why, sizeof refusal.why, span_of(request->refusal.text));
    if (request->principal)
        recent_copy(refusal.user, sizeof refusal.user, principal_user(request->principal));
    recent_add(&tallies_of(conn->worker)->recents[conn->worker->index], &refusal);
}

static void count_refusal(struct conn *conn, unsigned status) {
    struct worker *worker = conn->worker;
    enum reason reason = conn->request.refusal.reason;

    metrics_count_request(metrics_of(worker), route_of(&conn->request), metrics_outcome_of(reason));
    metrics_count_refusal(metrics_of(worker), reason);
    history_count_refused(&tallies_of(worker)->histories[worker->index], clock_wall(), reason);
    remember(conn, status);
}

static void count_passed(struct conn *conn, enum metrics_outcome outcome, int64_t now) {
    struct worker *worker = conn->worker;

    metrics_count_request(metrics_of(worker), route_of(&conn->request), outcome);
    history_count_passed(&tallies_of(worker)->histories[worker->index], now);
}

void tally_reply(struct conn *conn, unsigned status) {
    if (conn->admin) {
        if (conn->request.refused)
            metrics_count_refusal(metrics_of(conn->worker), conn->request.refusal.reason);
        return;
    }
    if (conn->request.refused)
        count_refusal(conn, status);
    else
        count_passed(conn, conn->request.asked_about ? METRICS_ALLOWED : METRICS_OWN,
                     conn->request.judged_at ? conn->request.judged_at : clock_wall());
}

static enum metrics_upstream_outcome upstream_outcome(const struct relay *relay) {
    if (relay->failed) return metrics_upstream_outcome_of(relay->conn->request.refusal.reason);
    if (!relay->transfer.head_ms) return METRICS_UPSTREAM_CANCELED;
    return relay->status >= 500 ? METRICS_UPSTREAM_ERROR : METRICS_UPSTREAM_ANSWERED;
}

void tally_relay(const struct relay *relay) {
    struct conn *conn = relay->conn;
    const struct metrics_labels *labels = conn->request.view->setup->labels;
    int64_t ms = relay->transfer.head_ms ? relay->transfer.head_ms - relay->transfer.began_ms : -1;

    if (relay->failed)
        count_refusal(conn, relay->status);
    else
        count_passed(conn, METRICS_ALLOWED, clock_wall());
    metrics_count_upstream(metrics_of(conn->worker),
                           metrics_upstream(labels, relay->route->upstream_index),
                           upstream_outcome(relay), ms < 0 ? 0 : (uint64_t)ms * 1000000 + 1);
}

void tally_decision(struct conn *conn, int64_t began_ns) {
    int64_t ns = clock_monotonic_ns() - began_ns;
    metrics_observe_decision(metrics_of(conn->worker), ns > 0 ? (uint64_t)ns : 0);
}

void tally_would_refuse(struct conn *conn) {
    metrics_count_would_refuse(metrics_of(conn->worker), conn->request.refusal.reason);
}

void tally_connection(struct worker *worker) {
    metrics_count_connection(metrics_of(worker));
}

void tally_cache(struct worker *worker) {
    struct token_cache_counters counters = token_cache_count(worker->aids.cache);
    struct metrics_cache cache = {.hits = counters.hits,
                                  .misses = counters.misses,
                                  .evictions = counters.evictions,
                                  .entries = counters.entries,
                                  .bytes = counters.bytes};
    metrics_note_cache(metrics_of(worker), &cache);
}
