/*
 * tally: what is counted of requests, for metrics and for people who look at the admin listener.
 */
#ifndef SERVER_LOOP_TALLY_H
#define SERVER_LOOP_TALLY_H

#include "server/metrics/history.h"
#include "server/metrics/recent.h"
#include "server/metrics/registry.h"

struct conn;
struct relay;
struct worker;

/* Of all workers; outlives them and every setup. */
struct tallies {
    struct metrics_registry *registry;
    struct history *histories; /* one for each worker */
    struct recent *recents;
    unsigned count;            /* of workers */
    int64_t started_ms;        /* wall clock */
    int64_t began_ms;          /* monotonic: the same moment */
    _Atomic int64_t loaded_ms; /* wall clock: when the configuration in force was taken */
    atomic_bool reloaded_well; /* the last reload; true before the first */
};

/* For so many workers. NULL without memory; NULL may be freed. */
struct tallies *tallies_new(unsigned workers);
void tallies_free(struct tallies *tallies);

/*
 * All of the following: the worker, about its own. A request of its own listeners was answered
 * here, with that status and without an upstream. Of requests to the admin listener refusals alone
 * count, by their reason.
 */
void tally_reply(struct conn *conn, unsigned status);

/* One that went to an upstream is over. */
void tally_relay(const struct relay *relay);

/* It was decided about; its judgement began then (clock_monotonic_ns()). */
void tally_decision(struct conn *conn, int64_t began_ns);

/* A route that only reports would have refused it, as request.refusal says. */
void tally_would_refuse(struct conn *conn);

/* A connection came in. */
void tally_connection(struct worker *worker);

/* Now and then: how the token cache does. */
void tally_cache(struct worker *worker);

#endif
