/*
 * resolver: looks up the names of targets on a thread of its own, again and again, so that no
 * worker ever waits for DNS and a changed address is found without a restart.
 */
#ifndef SERVER_PROXY_RESOLVER_H
#define SERVER_PROXY_RESOLVER_H

#include <netdb.h>

#include "server/proxy/upstream.h"

struct resolver;

/*
 * Start with these upstreams, of which it takes a reference. changed is called on the resolver's
 * thread whenever some target got its first address (NULL: nobody wants to know); it must be short
 * and call nothing of the resolver. interval_ms: between two look-ups of one name; a failed one is
 * tried again after a second at first, then less often, up to that interval, each time a fifth
 * sooner or later by chance. A name that cannot be looked up keeps the addresses it had. Where no
 * target has a name there is no thread. Main thread. Returns 0, ERR_MEMORY or ERR_SYSTEM.
 */
int resolver_start(struct upstreams *upstreams, int64_t interval_ms,
                   void (*changed)(void *argument), void *argument, struct resolver **ret,
                   struct err_text *err) MUST_CHECK;

/*
 * From now on these instead: their new names are looked up at once, or when the look-up that is
 * under way has ended. Never waits for one. Main thread.
 */
void resolver_reconfigure(struct resolver *resolver, struct upstreams *upstreams);

/* Wait until every name was looked up once, well or badly, for within_ms at most. Main thread. */
void resolver_wait(struct resolver *resolver, int64_t within_ms);

/* How long resolver_stop() waits for a look-up that is under way. */
#define RESOLVER_STOP_MS 500

/*
 * End the thread and free all. The system may take minutes for one look-up: after RESOLVER_STOP_MS
 * the thread is left to end by itself, without touching anything but its own memory. changed is not
 * called any more, in either case. Main thread. NULL is fine.
 */
void resolver_stop(struct resolver *resolver);

/* How names are looked up: as getaddrinfo() and freeaddrinfo() do it. */
struct resolver_source {
    int (*look_up)(const char *name, const char *port, const struct addrinfo *hints,
                   struct addrinfo **ret);
    void (*release)(struct addrinfo *found);
};

/* Let a test own the names. NULL gives them back to the system. Not while a resolver runs. */
void resolver_replace(const struct resolver_source *source);

#endif
