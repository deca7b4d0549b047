/*
 * probe: active health checks. Each target of an upstream with health.path is asked for it every
 * health.interval, on a fresh connection, from the loop of one worker.
 */
#ifndef SERVER_PROXY_PROBE_H
#define SERVER_PROXY_PROBE_H

#include "server/proxy/pool.h"

struct probes;

/*
 * Begin to check, at once, what upstreams (a reference is taken) wants checked. NULL: without
 * memory, or where nothing is to be checked. The worker's thread, which pool belongs to.
 */
struct probes *probes_start(struct pool *pool, struct upstreams *upstreams);

/* No more checks; frees it at the end of the turn. NULL is fine. */
void probes_stop(struct probes *probes);

#endif
