/*
 * text: all metrics as Prometheus reads them, text format 0.0.4. Pure: it writes what it is given.
 *
 * Every metric stands there from the start, a counter at 0, so that a rate over it has a beginning;
 * what each means says its HELP line and conf/examples/metrics.md.
 */
#ifndef SERVER_METRICS_TEXT_H
#define SERVER_METRICS_TEXT_H

#include <stdbool.h>

#include "common/buf.h"
#include "server/metrics/process.h"
#include "server/metrics/registry.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* An issuer, of the configuration in force. */
struct metrics_issuer {
    const char *issuer;
    bool usable;             /* it has keys that may serve now */
    uint64_t keys;           /* usable ones */
    int64_t key_age_ms;      /* since they were fetched or confirmed; METRICS_UNKNOWN: never */
    int64_t last_success_ms; /* wall clock; 0: no refresh since the start has succeeded */
    uint64_t changed;        /* refreshes since the start that brought other keys */
    uint64_t unchanged;      /* that brought the same keys */
    uint64_t failed;
    uint64_t unknown_kid; /* refreshes that a token with an unknown kid forced */
};

/* No two have the same upstream and target: those that are configured twice are one here. */
struct metrics_target {
    const char *upstream;
    const char *target; /* as configured, without its weight */
    bool up;            /* by both kinds of health */
};

struct metrics_snapshot {
    const char *version;
    bool ready;
    unsigned workers;
    int64_t started_ms;  /* wall clock: when the server began */
    bool reloaded_well;  /* the last reload; true before the first */
    int64_t reloaded_ms; /* wall clock: when the configuration in force was taken */
    const struct metrics_totals *totals;
    const struct metrics_issuer *issuers;
    size_t issuer_count;
    const struct metrics_target *targets;
    size_t target_count;
    uint64_t connections; /* open now */
    uint64_t deny_list_entries;
    uint64_t log_lines_dropped;
    struct metrics_process process;
};

/*
 * Append the whole text, whose size the configuration bounds: about 300 bytes a route, 3 KiB an
 * upstream, 1 KiB an issuer. The caller checks buf_ok(). Any thread.
 */
void metrics_write(struct buf *out, const struct metrics_snapshot *snapshot);

#endif
