#include "server/metrics/text.h"

#include <inttypes.h>

#include "common/attr.h"
#include "common/utf8.h"

/* --- lines --------------------------------------------------------------------------------- */

struct label {
    const char *name;
    const char *value; /* NULL: there is no such label */
};

/* The two lines that stand before a metric's samples. help has no backslash and no line end. */
static void add_head(struct buf *out, const char *name, const char *type, const char *help) {
    buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* One byte that is not UTF-8 would cost the whole scrape. */
static void add_value(struct buf *out, struct span text) {
    while (text.len) {
        size_t width = utf8_width(text);
        if (width == 0)
            buf_add_text(out, "\xef\xbf\xbd");
        else if (*text.ptr == '\n')
            buf_add_text(out, "\\n");
        else if (*text.ptr == '\\' || *text.ptr == '"')
            buf_addf(out, "\\%c", *text.ptr);
        else
            buf_add(out, span_until(text, width));
        text = span_from(text, width ? width : 1);
    }
}

/* name{label="value",...} and the space before the number. */
static void add_series(struct buf *out, const char *name, const struct label labels[2]) {
    char before = '{';
    buf_add_text(out, name);
    for (size_t i = 0; i < 2; i++) {
        if (!labels[i].value) continue;
        buf_addf(out, "%c%s=\"", before, labels[i].name);
        add_value(out, span_of(labels[i].value));
        buf_add_char(out, '"');
        before = ',';
    }
    buf_add_text(out, before == '{' ? " " : "} ");
}

#define LABELS(...) ((const struct label[2]){__VA_ARGS__})
#define NO_LABELS LABELS({NULL, NULL})

static void add_number(struct buf *out, const char *name, const struct label labels[2],
                       uint64_t number) {
    add_series(out, name, labels);
    buf_addf(out, "%" PRIu64 "\n", number);
}

/* Seconds, of a time before 1970 none. */
static void add_ms(struct buf *out, const char *name, const struct label labels[2], int64_t ms) {
    uint64_t whole = ms > 0 ? (uint64_t)ms : 0;
    add_series(out, name, labels);
    buf_addf(out, "%" PRIu64 ".%03u\n", whole / 1000, (unsigned)(whole % 1000));
}

static void add_single(struct buf *out, const char *name, const char *type, const char *help,
                       uint64_t number) {
    add_head(out, name, type, help);
    add_number(out, name, NO_LABELS, number);
}

/* A gauge or counter of the system's, which may be unknown. */
static void add_known(struct buf *out, const char *name, const char *type, const char *help,
                      int64_t number) {
    add_head(out, name, type, help);
    if (number != METRICS_UNKNOWN) add_number(out, name, NO_LABELS, (uint64_t)number);
}

static void add_known_ms(struct buf *out, const char *name, const char *type, const char *help,
                         int64_t ms) {
    add_head(out, name, type, help);
    if (ms != METRICS_UNKNOWN) add_ms(out, name, NO_LABELS, ms);
}

/* The samples of one histogram; label is the one besides le. */
static void add_histogram(struct buf *out, const char *name, struct label label,
                          const struct metrics_bounds *bounds,
                          const struct metrics_distribution *values) {
    struct buf series = buf_make(128);
    uint64_t count = 0;

    buf_addf(&series, "%s_bucket", name);
    for (size_t i = 0; i <= bounds->count; i++) {
        const char *end = i < bounds->count ? bounds->seconds[i] : "+Inf";
        count += values->buckets[i];
        add_number(out, series.data, LABELS(label, {"le", end}), count);
    }
    buf_reset(&series);
    buf_addf(&series, "%s_sum", name);
    add_series(out, series.data, LABELS(label));
    buf_addf(out, "%" PRIu64 ".%09u\n", values->sum_ns / 1000000000,
             (unsigned)(values->sum_ns % 1000000000));
    buf_reset(&series);
    buf_addf(&series, "%s_count", name);
    add_number(out, series.data, LABELS(label), count);
    buf_done(&series);
}

/* --- the server ---------------------------------------------------------------------------- */

static void write_server(struct buf *out, const struct metrics_snapshot *snapshot) {
    add_head(out, "bearerd_build_info", "gauge", "Always 1; the label tells the version.");
    add_number(out, "bearerd_build_info", LABELS({"version", snapshot->version}), 1);
    add_single(out, "bearerd_ready", "gauge",
               "1 when every issuer was tried and one of them has usable keys.", snapshot->ready);
    add_single(out, "bearerd_workers", "gauge", "Threads that serve requests.", snapshot->workers);
    add_known_ms(out, "bearerd_start_time_seconds", "gauge", "When the server began.",
                 snapshot->started_ms);
    add_single(out, "bearerd_config_reload_success", "gauge",
               "0 when the last reload failed and the old configuration went on serving.",
               snapshot->reloaded_well);
    add_known_ms(out, "bearerd_config_last_reload_timestamp_seconds", "gauge",
                 "When the configuration in force was taken.", snapshot->reloaded_ms);
}

/* --- requests ------------------------------------------------------------------------------ */

static void write_reasons(struct buf *out, const char *name, const uint64_t *counts) {
    for (size_t i = 0; i < REASON_COUNT; i++)
        add_number(out, name, LABELS({"reason", reason_name((enum reason)i)}), counts[i]);
}

static void write_requests(struct buf *out, const struct metrics_totals *totals) {
    static const char name[] = "bearerd_requests_total";

    add_head(out, name, "counter",
             "Requests by the path of their route as configured, and what became of them.");
    for (size_t i = 0; i < totals->route_count; i++) {
        const struct metrics_route_totals *route = &totals->routes[i];
        for (size_t j = 0; j < METRICS_OUTCOME_COUNT; j++) {
            const char *outcome = metrics_outcome_name((enum metrics_outcome)j);
            add_number(out, name, LABELS({"route", route->name}, {"outcome", outcome}),
                       route->requests[j]);
        }
    }
    add_head(out, "bearerd_refusals_total", "counter",
             "Requests that were refused or failed, by the reason that the log names.");
    write_reasons(out, "bearerd_refusals_total", totals->refusals);
    add_head(out, "bearerd_would_refuse_total", "counter",
             "Requests that a route with mode: report let through and would have refused.");
    write_reasons(out, "bearerd_would_refuse_total", totals->would_refuse);
    add_head(out, "bearerd_decision_duration_seconds", "histogram",
             "From the head of a request to the decision, without waiting for keys.");
    add_histogram(out, "bearerd_decision_duration_seconds", (struct label){NULL, NULL},
                  &metrics_decision_bounds, &totals->decisions);
}

/* --- upstreams ----------------------------------------------------------------------------- */

static void write_upstreams(struct buf *out, const struct metrics_snapshot *snapshot) {
    static const char requests[] = "bearerd_upstream_requests_total";
    static const char up[] = "bearerd_upstream_target_up";
    const struct metrics_totals *totals = snapshot->totals;

    add_head(out, "bearerd_upstream_duration_seconds", "histogram",
             "From sending a request to an upstream to the head of its response.");
    for (size_t i = 0; i < totals->upstream_count; i++)
        add_histogram(out, "bearerd_upstream_duration_seconds",
                      (struct label){"upstream", totals->upstreams[i].name},
                      &metrics_upstream_bounds, &totals->upstreams[i].durations);
    add_head(out, requests, "counter", "Requests to an upstream, and what became of them there.");
    for (size_t i = 0; i < totals->upstream_count; i++) {
        const struct metrics_upstream_totals *upstream = &totals->upstreams[i];
        for (size_t j = 0; j < METRICS_UPSTREAM_OUTCOME_COUNT; j++) {
            const char *outcome = metrics_upstream_outcome_name((enum metrics_upstream_outcome)j);
            add_number(out, requests, LABELS({"upstream", upstream->name}, {"outcome", outcome}),
                       upstream->requests[j]);
        }
    }
    add_head(out, up, "gauge", "1 while requests may go to the target, 0 while it is down.");
    for (size_t i = 0; i < snapshot->target_count; i++) {
        const struct metrics_target *target = &snapshot->targets[i];
        add_number(out, up, LABELS({"upstream", target->upstream}, {"target", target->target}),
                   target->up);
    }
}

/* --- tokens and keys ----------------------------------------------------------------------- */

static void write_cache(struct buf *out, const struct metrics_cache *cache) {
    add_single(out, "bearerd_token_cache_hits_total", "counter",
               "Tokens that were found verified before.", cache->hits);
    add_single(out, "bearerd_token_cache_misses_total", "counter",
               "Tokens that had to be verified, or were refused.", cache->misses);
    add_single(out, "bearerd_token_cache_evictions_total", "counter",
               "Verified tokens that were forgotten to make room.", cache->evictions);
    add_single(out, "bearerd_token_cache_entries", "gauge", "Verified tokens that are remembered.",
               cache->entries);
    add_single(out, "bearerd_token_cache_bytes", "gauge", "Memory that they take, about.",
               cache->bytes);
}

typedef void write_issuer(struct buf *out, const char *name, const struct metrics_issuer *issuer);

static void write_usable(struct buf *out, const char *name, const struct metrics_issuer *issuer) {
    add_number(out, name, LABELS({"issuer", issuer->issuer}), issuer->usable);
}

static void write_keys(struct buf *out, const char *name, const struct metrics_issuer *issuer) {
    add_number(out, name, LABELS({"issuer", issuer->issuer}), issuer->keys);
}

static void write_age(struct buf *out, const char *name, const struct metrics_issuer *issuer) {
    if (issuer->key_age_ms != METRICS_UNKNOWN)
        add_ms(out, name, LABELS({"issuer", issuer->issuer}), issuer->key_age_ms);
}

static void write_success(struct buf *out, const char *name, const struct metrics_issuer *issuer) {
    add_ms(out, name, LABELS({"issuer", issuer->issuer}), issuer->last_success_ms);
}

static void write_refreshes(struct buf *out, const char *name,
                            const struct metrics_issuer *issuer) {
    add_number(out, name, LABELS({"issuer", issuer->issuer}, {"outcome", "changed"}),
               issuer->changed);
    add_number(out, name, LABELS({"issuer", issuer->issuer}, {"outcome", "unchanged"}),
               issuer->unchanged);
    add_number(out, name, LABELS({"issuer", issuer->issuer}, {"outcome", "failed"}),
               issuer->failed);
}

static void write_unknown_kid(struct buf *out, const char *name,
                              const struct metrics_issuer *issuer) {
    add_number(out, name, LABELS({"issuer", issuer->issuer}), issuer->unknown_kid);
}

static void write_issuers(struct buf *out, const struct metrics_snapshot *snapshot) {
    static const struct {
        const char *name, *type, *help;
        write_issuer *write;
    } metrics[] = {
        {"bearerd_issuer_usable", "gauge",
         "1 while the issuer has keys that may serve; 0: its tokens get 503.", write_usable},
        {"bearerd_issuer_keys", "gauge", "Usable keys of the issuer.", write_keys},
        {"bearerd_issuer_key_age_seconds", "gauge",
         "Since the issuer's keys were fetched or confirmed; none while there never were any.",
         write_age},
        {"bearerd_issuer_last_success_timestamp_seconds", "gauge",
         "When a refresh of the keys last succeeded; 0 if none has since the start.",
         write_success},
        {"bearerd_issuer_refreshes_total", "counter",
         "Refreshes of the issuer's keys that ended, and what they brought.", write_refreshes},
        {"bearerd_issuer_unknown_kid_refreshes_total", "counter",
         "Refreshes that were forced by a token with a kid that was not there.", write_unknown_kid},
    };
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++) {
        add_head(out, metrics[i].name, metrics[i].type, metrics[i].help);
        for (size_t j = 0; j < snapshot->issuer_count; j++)
            metrics[i].write(out, metrics[i].name, &snapshot->issuers[j]);
    }
}

/* --- the rest ------------------------------------------------------------------------------ */

static void write_process(struct buf *out, const struct metrics_process *process) {
    add_known(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
              process->resident_bytes);
    add_known_ms(out, "process_cpu_seconds_total", "counter", "Processor time, user and system.",
                 process->cpu_ms);
    add_known(out, "process_open_fds", "gauge", "Open descriptors.", process->open_fds);
    add_known(out, "process_max_fds", "gauge", "Descriptors that may be open.", process->max_fds);
    add_known_ms(out, "process_start_time_seconds", "gauge", "When the process was started.",
                 process->started_ms);
}

void metrics_write(struct buf *out, const struct metrics_snapshot *snapshot) {
    write_server(out, snapshot);
    write_requests(out, snapshot->totals);
    write_upstreams(out, snapshot);
    write_cache(out, &snapshot->totals->cache);
    write_issuers(out, snapshot);
    add_single(out, "bearerd_connections", "gauge", "Open connections of clients.",
               snapshot->connections);
    add_single(out, "bearerd_connections_total", "counter", "Connections that were accepted.",
               snapshot->totals->connections);
    add_single(out, "bearerd_deny_list_entries", "gauge", "Entries of the deny list.",
               snapshot->deny_list_entries);
    add_single(out, "bearerd_log_lines_dropped_total", "counter",
               "Log lines that standard error or the journal did not take.",
               snapshot->log_lines_dropped);
    write_process(out, &snapshot->process);
}
