/*
 * resolver: looks up the names of targets on a thread of its own, again and again, so that no
 * worker ever waits for DNS and a changed address is found without a restart.
 */
#ifndef SERVER_PROXY_RESOLVER_H
#define SERVER_PROXY_RESOLVER_H

#include "server/proxy/upstream.h"

struct resolver;

/*
 * Start with these upstreams, of which it takes a reference. changed is called on the resolver's
 * thread whenever some target got its first address. interval_ms: between two look-ups of one name;
 * a failed one is tried again after a second at first, then less often, up to that interval. A name
 * that cannot be looked up keeps the addresses it had. Where no target has a name there is no
 * thread. Returns 0, ERR_MEMORY or ERR_SYSTEM.
 */
int resolver_start(struct upstreams *upstreams, int64_t interval_ms,
                   void (*changed)(void *argument), void *argument, struct resolver **ret,
                   struct err_text *err) MUST_CHECK;

/* From now on these instead: their new names are looked up at once. Main thread. */
void resolver_reconfigure(struct resolver *resolver, struct upstreams *upstreams);

/* Wait until every name was looked up once, for within_ms at most. Main thread. */
void resolver_wait(struct resolver *resolver, int64_t within_ms);

/* End the thread, which may take as long as one look-up, and free it. NULL is fine. */
void resolver_stop(struct resolver *resolver);

#endif
