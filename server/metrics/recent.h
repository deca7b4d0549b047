/*
 * recent: the last refusals of one worker, for people who look. Never a token, never a query.
 */
#ifndef SERVER_METRICS_RECENT_H
#define SERVER_METRICS_RECENT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"
#include "server/token/reason.h"

#define RECENT_MAX 50

/* Texts are cut where they are longer, and may hold anything that a stranger sent. */
struct recent_refusal {
    int64_t at;    /* wall clock, seconds */
    int64_t order; /* monotonic, ns: which came first, for the clock on the wall may jump */
    unsigned status;
    enum reason reason;
    char client[48];
    char method[16];
    char path[160];
    char user[64];
    char request_id[64];
    char why[512];
};

struct recent {
    pthread_mutex_t
        lock; /* taken for a refusal, and by who looks; never for a request let through */
    struct recent_refusal items[RECENT_MAX];
    size_t next;
    size_t count;
};

/* Make it empty, before other threads know of it; and be done with it, when none does any more. */
void recent_init(struct recent *recent);
void recent_done(struct recent *recent);

/* Copy text into one of the arrays above, cut to its size and to whole characters. */
void recent_copy(char *into, size_t size, struct span text);

/* Any thread: keep a copy; the oldest goes. */
void recent_add(struct recent *recent, const struct recent_refusal *refusal);

/*
 * Any thread: add those of recent to ret, which holds *count of RECENT_MAX at most, the newest
 * first; the oldest fall out.
 */
void recent_collect(struct recent *recent, struct recent_refusal ret[RECENT_MAX], size_t *count);

#endif
