/*
 * upstream: where requests go. An upstream has a peer for each of its targets, with its addresses,
 * its TLS, its health and a count of what is under way; a peer is chosen for each request.
 *
 * Made by the main thread for a configuration. Peers that stay the same over a reload are kept with
 * all they know. Everything that changes later is atomic, or behind the peer's lock, which is held
 * for a copy only.
 */
#ifndef SERVER_PROXY_UPSTREAM_H
#define SERVER_PROXY_UPSTREAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "common/ref.h"
#include "server/config/config.h"
#include "server/proxy/wire.h"

#define PEER_ADDRESSES_MAX 8

struct peer_address {
    struct sockaddr_storage address;
    socklen_t len;
};

struct peer {
    struct ref ref;
    char *name;    /* as configured, for logs: "https://orders.example:9001" */
    char *host;    /* for a Host header: "orders.example:9001"; "localhost" for unix */
    char *resolve; /* the name to look up; NULL: an IP address or a unix socket */
    uint16_t port;
    unsigned weight;      /* 1 to 1000 */
    struct wire_tls *tls; /* NULL: plain */
    void **links;         /* one slot for each worker, for its idle connections; pool.c's */
    unsigned link_count;  /* of slots */

    pthread_mutex_t lock; /* of the following three */
    struct peer_address addresses[PEER_ADDRESSES_MAX];
    size_t address_count; /* 0: not resolved yet, or the name does not exist */
    char why[128];        /* then: why not */
    _Atomic unsigned next_address;

    _Atomic unsigned active;    /* requests under way */
    _Atomic unsigned fails;     /* in a row */
    _Atomic int64_t down_until; /* monotonic ms; passive health: not chosen before */
    atomic_bool unhealthy;      /* active health: not chosen at all */
};

struct upstream {
    const struct config_upstream *config;
    struct peer **peers; /* in the order of config->targets */
    size_t count;
    _Atomic unsigned turn; /* of round robin */
};

struct upstreams {
    struct ref ref;
    struct config *config;
    struct upstream *items; /* in the order of config->upstreams */
    size_t count;
};

/*
 * Make the upstreams of config, of which a reference is taken, for so many workers. Targets that
 * previous (may be NULL) has with the same address and the same TLS options are shared with it; but
 * TLS files that changed on disk meanwhile make a new target. Names are not looked up here. Main
 * thread. Returns 0 with one reference in *ret, or an error whose reason names upstream and file.
 */
int upstreams_new(struct config *config, unsigned workers, const struct upstreams *previous,
                  struct upstreams **ret, struct err_text *err) MUST_CHECK;

/* Any thread: take one more reference; drop one, the last frees (NULL is fine). */
struct upstreams *upstreams_ref(struct upstreams *upstreams);
void upstreams_unref(struct upstreams *upstreams);
CLEANUP_DEFINE(struct upstreams *, upstreams_unref)
struct peer *peer_ref(struct peer *peer);
void peer_unref(struct peer *peer);

/*
 * Choose a target: of those that are not down, unhealthy or except (may be NULL), by weighted round
 * robin, or the one with the least requests under way in proportion to its weight. Where all are
 * down by passive health alone, the one that comes up first: a guess is better than certain
 * refusal. NULL where none is left. Any thread, no lock. The target lives as long as the upstreams.
 */
struct peer *upstream_choose(struct upstream *upstream, int64_t now_ms, const struct peer *except);

/*
 * A request to the target was answered, whatever its status; or the target could not be reached,
 * did not answer in time, or answered malformed bytes: after health.max_fails such failures in a
 * row it is not chosen for health.retry_after. One log line when it goes down and one when it is
 * back. Any thread.
 */
void peer_succeeded(struct peer *peer);
void peer_failed(struct peer *peer, const struct config_upstream *config, int64_t now_ms);

/*
 * What an active check found out. health.unhealthy_after failures in a row, or health.healthy_after
 * successes, change the state, with a log line. One thread at a time.
 */
void peer_checked(struct peer *peer, const struct config_upstream *config, bool good,
                  const char *why);

/*
 * An address to connect to; each call gives the next where there are several. False where there is
 * none; err says why. Any thread.
 */
bool peer_next_address(struct peer *peer, struct peer_address *ret, struct err_text *err);

#endif
