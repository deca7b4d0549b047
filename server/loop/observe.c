#include "server/loop/observe.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "server/explain/explain.h"
#include "server/explain/question.h"
#include "server/loop/status.h"
#include "server/metrics/text.h"

#define HEADER_MAX ((size_t)2 * 1024 * 1024)

static const struct view *view_of(const struct conn *conn) {
    return conn->request.view;
}

/* --- readiness ----------------------------------------------------------------------------- */

static bool ready(void *argument, struct buf *out) {
    const struct keyring *ring = view_of(argument)->ring;
    const struct conn *conn = argument;
    bool is_ready = keystore_is_ready(conn->worker->shared->keystore);

    buf_addf(out, "{\"ready\":%s,\"issuers\":[", is_ready ? "true" : "false");
    for (size_t i = 0; i < ring->count; i++) {
        struct status_issuer issuer = status_of_issuer(&ring->entries[i]);
        buf_addf(out, "%s{\"issuer\":", i ? "," : "");
        buf_add_json(out, span_of(ring->entries[i].issuer->issuer));
        buf_addf(out, ",\"usable\":%s,\"why\":", issuer.usable ? "true" : "false");
        buf_add_json(out, span_of(issuer.why));
        buf_add_char(out, '}');
    }
    buf_add_text(out, "]}");
    return is_ready;
}

/* --- metrics ------------------------------------------------------------------------------- */

static struct metrics_issuer *list_issuers(const struct keyring *ring) {
    struct metrics_issuer *issuers = calloc(ring->count + 1, sizeof *issuers);

    for (size_t i = 0; issuers && i < ring->count; i++) {
        const struct keyring_entry *entry = &ring->entries[i];
        struct status_issuer issuer = status_of_issuer(entry);
        issuers[i] = (struct metrics_issuer){
            .issuer = entry->issuer->issuer,
            .usable = issuer.usable,
            .keys = entry->keys ? entry->keys->count : 0,
            .key_age_ms = issuer.age_ms < 0 ? METRICS_UNKNOWN : issuer.age_ms,
            .last_success_ms = issuer.standing.succeeded * 1000,
            .changed = issuer.standing.changed,
            .unchanged = issuer.standing.unchanged,
            .failed = issuer.standing.failed,
            .unknown_kid = atomic_load(&entry->pulse->forced_count),
        };
    }
    return issuers;
}

static bool is_listed(const struct metrics_target *targets, size_t count, const char *upstream,
                      const char *target) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(targets[i].upstream, upstream) == 0 && strcmp(targets[i].target, target) == 0)
            return true;
    return false;
}

static struct metrics_target *list_targets(const struct upstreams *upstreams, size_t *ret_count) {
    size_t room = 1, count = 0;

    for (size_t i = 0; i < upstreams->count; i++) room += upstreams->items[i].count;
    struct metrics_target *targets = calloc(room, sizeof *targets);
    for (size_t i = 0; targets && i < upstreams->count; i++) {
        const struct upstream *upstream = &upstreams->items[i];
        size_t first = count;
        for (size_t k = 0; k < upstream->count; k++) {
            const struct peer *peer = upstream->peers[k];
            if (is_listed(targets + first, count - first, upstream->config->name, peer->name))
                continue;
            targets[count++] = (struct metrics_target){upstream->config->name, peer->name,
                                                       peer_is_up(peer, upstream->config)};
        }
    }
    *ret_count = count;
    return targets;
}

static void metrics(void *argument, struct buf *out) {
    const struct conn *conn = argument;
    const struct view *view = view_of(conn);
    const struct shared *shared = conn->worker->shared;
    struct metrics_totals totals = {0};
    size_t target_count = 0;
    struct metrics_issuer *issuers = list_issuers(view->ring);
    struct metrics_target *targets = list_targets(view->setup->upstreams, &target_count);
    int summed = metrics_registry_sum(shared->tallies->registry, &totals);

    struct metrics_snapshot snapshot = {
        .version = BEARERD_VERSION,
        .ready = keystore_is_ready(shared->keystore),
        .workers = view->setup->workers,
        .started_ms = shared->tallies->started_ms,
        .reloaded_well = atomic_load(&shared->tallies->reloaded_well),
        .reloaded_ms = atomic_load(&shared->tallies->loaded_ms),
        .totals = &totals,
        .issuers = issuers,
        .issuer_count = view->ring->count,
        .targets = targets,
        .target_count = target_count,
        .connections = census_count(shared->census),
        .deny_list_entries = deny_list_count(view->denied),
        .log_lines_dropped = log_dropped(),
        .process = metrics_read_process(),
    };
    if (issuers && targets && summed == 0)
        metrics_write(out, &snapshot);
    else
        out->failed = true;
    metrics_totals_done(&totals);
    free(issuers);
    free(targets);
}

/* --- the rest ------------------------------------------------------------------------------ */

static void status(void *argument, struct buf *out) {
    status_write(argument, out);
}

static size_t refresh(void *argument) {
    const struct conn *conn = argument;
    return keystore_refresh(conn->worker->shared->keystore);
}

/* The header's value; absent where it was not sent. */
static struct span find_field(const struct admin_request *request, struct span name) {
    for (size_t i = 0; i < request->fields.count; i++)
        if (span_equal_nocase(request->fields.items[i].name, name))
            return request->fields.items[i].value;
    return SPAN_NONE;
}

/* A page puts the scheme before whatever was pasted into it, which may have begun with it, too. */
static struct span without_scheme(struct span value) {
    struct span scheme = SPAN_LITERAL("Bearer ");
    bool has_scheme = span_equal_nocase(span_until(value, scheme.len), scheme);
    return has_scheme ? span_from(value, scheme.len) : value;
}

/* The token that is asked about, cleaned as the command does, for people paste here, too. Where the
 * listener itself wants a token, that is in Authorization, and this one in a header of its own. */
static bool read_header(const struct admin_request *request, struct buf *header) {
    struct span value = find_field(request, SPAN_LITERAL("x-explain-token"));
    if (!value.ptr && !request->authorized)
        value = find_field(request, SPAN_LITERAL("authorization"));
    if (value.ptr) question_add_header(without_scheme(value), header);
    return value.ptr != NULL;
}

static bool explain_it(void *argument, const struct admin_request *request, struct span method,
                       struct span url, struct buf *out, struct refusal *refusal) {
    const struct view *view = view_of(argument);
    CLEANUP(buf_done) struct buf header = buf_make(HEADER_MAX);
    struct explain_question question = {.config = view->setup->config,
                                        .ring = view->ring,
                                        .routes = view->setup->routes,
                                        .resources = view->setup->resources,
                                        .method = method};
    struct evidence evidence = {.now = clock_wall(),
                                .now_ms = clock_monotonic_ms(),
                                .denied = view->denied,
                                .denied_generation = view->denied_generation};
    struct explain_report report;
    struct err_text why;

    if (url.ptr && question_read_url(url, &question.host, &question.target, &why) < 0)
        return refuse(refusal, REASON_TARGET, "the url %s", why.text);
    if (read_header(request, &header)) {
        evidence.authorization = buf_span(&header);
        evidence.authorization_count = 1;
    }
    question.evidence = &evidence;
    if (!buf_ok(&header) || explain(&question, &report) < 0)
        return refuse(refusal, REASON_OUT_OF_MEMORY, "out of memory");
    explain_write_json(&report, out);
    explain_done(&report);
    return true;
}

const struct admin_source observe_source = {ready, metrics, status, refresh, explain_it};
