#include "server/loop/status.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "server/explain/advice.h"
#include "server/loop/worker.h"
#include "server/metrics/process.h"
#include "server/policy/route.h"

/* --- issuers ------------------------------------------------------------------------------- */

struct status_issuer status_of_issuer(const struct keyring_entry *entry) {
    int64_t now = clock_monotonic_ms();
    struct status_issuer issuer = {.usable = keys_may_serve(entry, now),
                                   .age_ms = -1,
                                   .stale_in_ms = -1,
                                   .refresh_in_ms = -1,
                                   .standing = pulse_standing(entry->pulse)};
    const char *why = issuer.standing.why;

    if (entry->keys) {
        issuer.age_ms = now - (entry->stale_at_ms - entry->issuer->max_stale);
        if (entry->stale_at_ms > now) issuer.stale_in_ms = entry->stale_at_ms - now;
    }
    if (issuer.standing.due_ms)
        issuer.refresh_in_ms = issuer.standing.due_ms > now ? issuer.standing.due_ms - now : 0;
    if (!issuer.usable)
        snprintf(issuer.why, sizeof issuer.why, "%s%s%s",
                 entry->keys ? "its keys are older than max_stale" : "no keys were fetched yet",
                 *why ? ": " : "", why);
    return issuer;
}

/* --- pieces of JSON ------------------------------------------------------------------------ */

/* "name": , with a comma before it unless it is the first of its object. */
static void add_name(struct buf *out, const char *name) {
    bool first = out->len > 0 && strchr("{[", out->data[out->len - 1]);
    buf_addf(out, "%s\"%s\":", first ? "" : ",", name);
}

static void add_text(struct buf *out, const char *name, struct span text) {
    add_name(out, name);
    buf_add_json(out, text);
}

static void add_number(struct buf *out, const char *name, uint64_t number) {
    add_name(out, name);
    buf_addf(out, "%" PRIu64, number);
}

static void add_bool(struct buf *out, const char *name, bool value) {
    add_name(out, name);
    buf_add_text(out, value ? "true" : "false");
}

/* In seconds; null for a negative one, which is not known. */
static void add_seconds(struct buf *out, const char *name, int64_t ms) {
    add_name(out, name);
    if (ms < 0)
        buf_add_text(out, "null");
    else
        buf_addf(out, "%" PRId64, ms / 1000);
}

/* null for 0: never. */
static void add_moment(struct buf *out, const char *name, int64_t wall) {
    char text[CLOCK_TEXT_MAX];
    add_name(out, name);
    if (wall)
        buf_addf(out, "\"%s\"", clock_format(wall, text));
    else
        buf_add_text(out, "null");
}

static void add_strings(struct buf *out, const char *name, const struct strings *strings) {
    add_name(out, name);
    buf_add_char(out, '[');
    for (size_t i = 0; i < strings->count; i++) {
        if (i) buf_add_char(out, ',');
        buf_add_json(out, span_of(strings->items[i]));
    }
    buf_add_char(out, ']');
}

/* "name":[ or {, and the next entry of a list. */
static void open(struct buf *out, const char *name, char bracket) {
    add_name(out, name);
    buf_add_char(out, bracket);
}

static void open_entry(struct buf *out) {
    bool first = out->len > 0 && out->data[out->len - 1] == '[';
    buf_add_text(out, first ? "{" : ",{");
}

#define UNKNOWN UINT64_MAX

/* Where the bucket ends in which that part of all lies, in ns; UNKNOWN for an empty distribution
 * and behind the last bound. */
static uint64_t percentile(const struct metrics_distribution *distribution,
                           const struct metrics_bounds *bounds, unsigned percent) {
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i <= bounds->count; i++) total += distribution->buckets[i];
    for (size_t i = 0; i < bounds->count && total; i++) {
        seen += distribution->buckets[i];
        if (seen * 100 >= total * percent) return bounds->ns[i];
    }
    return UNKNOWN;
}

static void add_percentile(struct buf *out, const char *name,
                           const struct metrics_distribution *distribution,
                           const struct metrics_bounds *bounds, unsigned percent, uint64_t unit) {
    uint64_t ns = percentile(distribution, bounds, percent);
    add_name(out, name);
    if (ns == UNKNOWN)
        buf_add_text(out, "null");
    else
        buf_addf(out, "%g", (double)ns / (double)unit); /* one bound is 2.5 ms */
}

/* --- sections ------------------------------------------------------------------------------ */

static void add_keys(struct buf *out, const struct keyset *keys) {
    static const char *const types[] = {[KEY_RSA] = "RSA", [KEY_EC] = "EC", [KEY_OKP] = "OKP"};

    open(out, "keys", '[');
    for (size_t i = 0; keys && i < keys->count; i++) {
        const struct key *key = &keys->keys[i];
        enum algorithm first = (enum algorithm)__builtin_ctz((unsigned)key->algorithms);
        open_entry(out);
        add_text(out, "kid", span_of(key->kid ? key->kid : ""));
        add_text(out, "type", span_of(types[algorithm_info(first)->key_type]));
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
    open(out, "skipped", '[');
    for (size_t i = 0; keys && i < keys->skipped_count; i++) {
        open_entry(out);
        add_text(out, "kid", span_of(keys->skipped[i].kid ? keys->skipped[i].kid : ""));
        add_text(out, "why", span_of(keys->skipped[i].why));
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

static void add_issuers(struct buf *out, const struct keyring *ring) {
    open(out, "issuers", '[');
    for (size_t i = 0; i < ring->count; i++) {
        const struct keyring_entry *entry = &ring->entries[i];
        struct status_issuer issuer = status_of_issuer(entry);
        const struct standing *standing = &issuer.standing;
        open_entry(out);
        add_text(out, "issuer", span_of(entry->issuer->issuer));
        add_bool(out, "usable", issuer.usable);
        add_text(out, "why", span_of(issuer.why));
        add_keys(out, entry->keys);
        add_seconds(out, "age_s", issuer.age_ms);
        add_moment(out, "last_success", standing->succeeded);
        add_seconds(out, "next_refresh_s", issuer.refresh_in_ms);
        add_seconds(out, "stale_in_s", issuer.stale_in_ms);
        add_number(out, "failures", standing->failures);
        open(out, "refreshes", '{');
        add_number(out, "ok", standing->changed + standing->unchanged);
        add_number(out, "failed", standing->failed);
        add_number(out, "unknown_kid", atomic_load(&entry->pulse->forced_count));
        buf_add_char(out, '}');
        add_text(out, "last_error", span_of(standing->why));
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

/* null for NULL. */
static void add_outcomes(struct buf *out, const char *name, const uint64_t *requests) {
    if (!requests) {
        add_name(out, name);
        buf_add_text(out, "null");
        return;
    }
    open(out, name, '{');
    for (int i = 0; i < METRICS_OUTCOME_COUNT; i++)
        add_number(out, metrics_outcome_name((enum metrics_outcome)i), requests[i]);
    buf_add_char(out, '}');
}

/* NULL: it counts as "other", together with the rest of too many. */
static const uint64_t *requests_of(const struct metrics_totals *totals,
                                   const struct config_route *route) {
    size_t len = strlen(route->path);

    for (size_t i = 0; i < totals->route_count; i++) {
        const char *name = totals->routes[i].name;
        if (strncmp(name, route->path, len) == 0 &&
            strcmp(name + len, route->subtree ? "*" : "") == 0)
            return totals->routes[i].requests;
    }
    return NULL;
}

/* More help nobody who looks. */
#define ROUTES_SHOWN 500

static void add_routes(struct buf *out, const struct config *config,
                       const struct metrics_totals *totals) {
    static const char *const responds[] = {[RESPOND_NONE] = "",
                                           [RESPOND_IDENTITY] = "identity",
                                           [RESPOND_PROFILE] = "profile",
                                           [RESPOND_VERDICT] = "verdict",
                                           [RESPOND_FORWARD_AUTH] = "forward_auth"};
    open(out, "routes", '[');
    for (size_t i = 0; i < config->route_count && i < ROUTES_SHOWN; i++) {
        const struct config_route *route = &config->routes[i];
        open_entry(out);
        add_name(out, "path");
        struct buf path = buf_make(16 * 1024);
        buf_addf(&path, "%s%s", route->path, route->subtree ? "*" : "");
        buf_add_json(out, buf_span(&path));
        buf_done(&path);
        add_strings(out, "hosts", &route->hosts);
        add_strings(out, "methods", &route->methods);
        add_name(out, "to");
        buf_addf(out, "\"%s%s%s\"", *route->upstream ? "upstream " : "", route->upstream,
                 responds[route->respond]);
        add_text(out, "mode", span_of(route->report_only ? "report" : "enforce"));
        add_bool(out, "anonymous", route->anonymous);
        add_outcomes(out, "requests", requests_of(totals, route));
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

static void add_upstream_counts(struct buf *out, const struct metrics_totals *totals,
                                const char *name) {
    const struct metrics_upstream_totals *own = NULL;

    for (size_t i = 0; i < totals->upstream_count; i++)
        if (strcmp(totals->upstreams[i].name, name) == 0) own = &totals->upstreams[i];
    open(out, "requests", '{');
    for (int i = 0; own && i < METRICS_UPSTREAM_OUTCOME_COUNT; i++)
        add_number(out, metrics_upstream_outcome_name((enum metrics_upstream_outcome)i),
                   own->requests[i]);
    buf_add_char(out, '}');
    if (!own) return;
    add_percentile(out, "p50_ms", &own->durations, &metrics_upstream_bounds, 50, 1000000);
    add_percentile(out, "p90_ms", &own->durations, &metrics_upstream_bounds, 90, 1000000);
    add_percentile(out, "p99_ms", &own->durations, &metrics_upstream_bounds, 99, 1000000);
}

static void add_upstreams(struct buf *out, const struct upstreams *upstreams,
                          const struct metrics_totals *totals) {
    open(out, "upstreams", '[');
    for (size_t i = 0; i < upstreams->count; i++) {
        const struct upstream *upstream = &upstreams->items[i];
        open_entry(out);
        add_text(out, "name", span_of(upstream->config->name));
        add_upstream_counts(out, totals, upstream->config->name);
        open(out, "targets", '[');
        for (size_t k = 0; k < upstream->count; k++) {
            open_entry(out);
            add_text(out, "target", span_of(upstream->peers[k]->name));
            add_bool(out, "up", peer_is_up(upstream->peers[k], upstream->config));
            buf_add_char(out, '}');
        }
        buf_add_text(out, "]}");
    }
    buf_add_char(out, ']');
}

/* Those that there were, the most frequent first. */
static void add_refusals(struct buf *out, const struct metrics_totals *totals) {
    bool told[REASON_COUNT] = {false};

    open(out, "refusals", '[');
    for (int n = 0; n < REASON_COUNT; n++) {
        int most = -1;
        for (int i = 0; i < REASON_COUNT; i++)
            if (!told[i] && totals->refusals[i] &&
                (most < 0 || totals->refusals[i] > totals->refusals[most]))
                most = i;
        if (most < 0) break;
        told[most] = true;
        open_entry(out);
        add_text(out, "reason", span_of(reason_name((enum reason)most)));
        add_number(out, "count", totals->refusals[most]);
        add_text(out, "advice", span_of(advice_for((enum reason)most)));
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

static void add_minutes(struct buf *out, const char *name, const uint64_t *minutes) {
    open(out, name, '[');
    for (int i = 0; i < HISTORY_MINUTES; i++) buf_addf(out, "%s%" PRIu64, i ? "," : "", minutes[i]);
    buf_add_char(out, ']');
}

static bool any(const uint64_t *minutes) {
    for (int i = 0; i < HISTORY_MINUTES; i++)
        if (minutes[i]) return true;
    return false;
}

static void add_history(struct buf *out, const struct tallies *tallies) {
    struct history_sum *sum = malloc(sizeof *sum);

    if (!sum) {
        out->failed = true;
        return;
    }
    history_sum_begin(sum, clock_wall());
    for (unsigned i = 0; i < tallies->count; i++) history_sum_add(sum, &tallies->histories[i]);
    open(out, "history", '{');
    add_number(out, "step_s", 60);
    add_moment(out, "from", sum->from);
    add_minutes(out, "allowed", sum->passed);
    open(out, "refused", '{');
    for (int i = 0; i < REASON_COUNT; i++)
        if (any(sum->refused[i])) add_minutes(out, reason_name((enum reason)i), sum->refused[i]);
    buf_add_text(out, "}}");
    free(sum);
}

static void add_last_refusals(struct buf *out, const struct tallies *tallies) {
    struct recent_refusal *last = calloc(RECENT_MAX, sizeof *last);
    size_t count = 0;

    if (!last) out->failed = true;
    for (unsigned i = 0; last && i < tallies->count; i++)
        recent_collect(&tallies->recents[i], last, &count);
    open(out, "last_refusals", '[');
    for (size_t i = 0; i < count; i++) {
        open_entry(out);
        add_moment(out, "time", last[i].at);
        add_text(out, "client", span_of(last[i].client));
        add_text(out, "method", span_of(last[i].method));
        add_text(out, "path", span_of(last[i].path));
        add_number(out, "status", last[i].status);
        add_text(out, "reason", span_of(reason_name(last[i].reason)));
        add_text(out, "why", span_of(last[i].why));
        add_text(out, "user", span_of(last[i].user));
        add_text(out, "request_id", span_of(last[i].request_id));
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
    free(last);
}

static void add_requests(struct buf *out, const struct metrics_totals *totals) {
    uint64_t sums[METRICS_OUTCOME_COUNT] = {0}, would = 0, decisions = 0;

    for (size_t i = 0; i < totals->route_count; i++)
        for (int k = 0; k < METRICS_OUTCOME_COUNT; k++) sums[k] += totals->routes[i].requests[k];
    for (int i = 0; i < REASON_COUNT; i++) would += totals->would_refuse[i];
    for (size_t i = 0; i <= metrics_decision_bounds.count; i++)
        decisions += totals->decisions.buckets[i];
    open(out, "requests", '{');
    for (int i = 0; i < METRICS_OUTCOME_COUNT; i++)
        add_number(out, metrics_outcome_name((enum metrics_outcome)i), sums[i]);
    add_number(out, "would_refuse", would);
    buf_add_char(out, '}');
    open(out, "decision_us", '{');
    add_number(out, "count", decisions);
    add_percentile(out, "p50", &totals->decisions, &metrics_decision_bounds, 50, 1000);
    add_percentile(out, "p90", &totals->decisions, &metrics_decision_bounds, 90, 1000);
    add_percentile(out, "p99", &totals->decisions, &metrics_decision_bounds, 99, 1000);
    buf_add_char(out, '}');
    open(out, "token_cache", '{');
    add_number(out, "entries", totals->cache.entries);
    add_number(out, "bytes", totals->cache.bytes);
    add_number(out, "hits", totals->cache.hits);
    add_number(out, "misses", totals->cache.misses);
    add_number(out, "evictions", totals->cache.evictions);
    buf_add_char(out, '}');
}

static void add_daemon(struct buf *out, const struct conn *conn, uint64_t connections) {
    const struct view *view = conn->request.view;
    struct shared *shared = conn->worker->shared;
    const struct tallies *tallies = shared->tallies;
    int64_t resident = metrics_read_process().resident_bytes;

    add_text(out, "version", SPAN_LITERAL(BEARERD_VERSION));
    add_moment(out, "now", clock_wall());
    add_moment(out, "started", tallies->started_ms / 1000);
    add_seconds(out, "uptime_s", clock_monotonic_ms() - tallies->began_ms);
    add_bool(out, "ready", keystore_is_ready(shared->keystore));
    add_number(out, "workers", view->setup->workers);
    open(out, "config", '{');
    add_text(out, "source", span_of(view->setup->config->source));
    add_moment(out, "loaded", atomic_load(&tallies->loaded_ms) / 1000);
    add_bool(out, "reload_ok", atomic_load(&tallies->reloaded_well));
    buf_add_char(out, '}');
    open(out, "connections", '{');
    add_number(out, "open", census_count(shared->census));
    add_number(out, "total", connections);
    buf_add_char(out, '}');
    add_number(out, "memory_bytes", resident > 0 ? (uint64_t)resident : 0);
    add_name(out, "deny_list");
    if (*view->setup->config->deny_list)
        buf_addf(out, "{\"entries\":%zu}", deny_list_count(view->denied));
    else
        buf_add_text(out, "null");
}

void status_write(const struct conn *conn, struct buf *out) {
    const struct view *view = conn->request.view;
    const struct tallies *tallies = conn->worker->shared->tallies;
    struct metrics_totals totals = {0};

    if (metrics_registry_sum(tallies->registry, &totals) < 0) {
        out->failed = true;
        return;
    }
    buf_add_char(out, '{');
    add_daemon(out, conn, totals.connections);
    add_requests(out, &totals);
    add_issuers(out, view->ring);
    add_routes(out, view->setup->config, &totals);
    add_upstreams(out, view->setup->upstreams, &totals);
    add_refusals(out, &totals);
    add_history(out, tallies);
    add_last_refusals(out, tallies);
    buf_add_char(out, '}');
    metrics_totals_done(&totals);
}
