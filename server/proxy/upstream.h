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
#include <sys/types.h>
#include <time.h>

#include "common/ref.h"
#include "server/config/config.h"
#include "server/proxy/wire.h"

#define PEER_ADDRESSES_MAX 8

struct peer_address {
    struct sockaddr_storage address; /* zero behind len, so that equal ones have equal bytes */
    socklen_t len;
};

/* A file as it was just before it was read: one that was written or replaced since has another. */
struct file_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

/* The files that stand behind a target's TLS. */
struct peer_files {
    struct file_stamp ca_file;
    struct file_stamp certificate;
    struct file_stamp private_key;
};

/* What the resolver knows of a name. Behind the resolver's lock; nobody else looks at it. */
struct peer_lookup {
    int64_t due_ms; /* monotonic; 0: at once */
    unsigned failures;
    int code; /* of the last look-up: 0 or an EAI_* */
    bool tried;
};

struct peer {
    struct ref ref;
    char *upstream; /* its name, for logs */
    char *name;     /* as configured, for logs: "https://orders.example:9001" */
    char *host;     /* for a Host header: "orders.example:9001"; "localhost" for unix */
    char *resolve;  /* the name to look up; NULL: an IP address or a unix socket */
    uint16_t port;
    struct wire_tls *tls; /* NULL: plain */
    struct peer_files files;
    void **links;        /* one slot for each worker, for its idle connections; pool.c's */
    unsigned link_count; /* of slots */
    struct peer_lookup lookup;

    pthread_mutex_t lock; /* of the following three */
    struct peer_address addresses[PEER_ADDRESSES_MAX];
    size_t address_count; /* 0: not looked up yet, or the name does not exist */
    char why[128];        /* then: why not */
    _Atomic unsigned next_address;

    _Atomic unsigned active; /* requests under way */
    _Atomic uint64_t fails;  /* in a row */
    /* Passive health. Monotonic ms: not chosen before, and then for one request at a time until one
     * is answered; 0: up. */
    _Atomic int64_t down_until;
    atomic_bool retired;   /* no upstream of the present configuration has it */
    atomic_bool unhealthy; /* active health: not chosen at all */
    uint64_t checks;       /* in a row that contradict unhealthy; the checker's own */
};

struct upstream {
    const struct config_upstream *config;
    struct peer **peers; /* in the order of config->targets */
    unsigned *weights;   /* of the peers, 1 to 1000 */
    size_t count;
    /* Round robin: indices of peers in the order of their turns, each as often as its weight has
     * it. NULL where that would be too long. */
    unsigned *schedule;
    size_t schedule_len;
    _Atomic unsigned turn;   /* in the schedule */
    _Atomic unsigned detour; /* counts the choices by weight alone */
};

struct upstreams {
    struct ref ref;
    struct config *config;
    struct upstream *items; /* in the order of config->upstreams */
    size_t count;
};

/*
 * Make the upstreams of config, of which a reference is taken, for so many workers. A target that
 * previous (may be NULL) has in the upstream of that name, spelt the same but for its weight, with
 * the same TLS options and for as many workers, is shared with it; but TLS files that changed on
 * disk meanwhile make a new target. Names are not looked up here: a new target takes over what
 * previous knows of its name, so that a reload leaves no gap. Main thread. Returns 0 with one
 * reference in *ret, or ERR_SYNTAX, ERR_LIMIT, ERR_SYSTEM, ERR_MEMORY with a reason that names
 * upstream and target, and the file where it is about one.
 */
int upstreams_new(struct config *config, unsigned workers, const struct upstreams *previous,
                  struct upstreams **ret, struct err_text *err) MUST_CHECK;

/* Any thread: take one more reference; drop one, the last frees (NULL is fine). Slots of links must
 * be empty by then. */
struct upstreams *upstreams_ref(struct upstreams *upstreams);
void upstreams_unref(struct upstreams *upstreams);
CLEANUP_DEFINE(struct upstreams *, upstreams_unref)
struct peer *peer_ref(struct peer *peer);
void peer_unref(struct peer *peer);
CLEANUP_DEFINE(struct peer *, peer_unref)

/*
 * Choose a target: of those that are not down, unhealthy or except (may be NULL), by weighted round
 * robin, or the one with the least requests under way in proportion to its weight. A target whose
 * health.retry_after is over gets one request, which is never one with except: that failed once
 * already. Where all are down by passive health alone, the one that comes up first: a guess is
 * better than certain refusal. NULL where none is left. Any thread, no lock. The target lives as
 * long as the upstreams. now_ms: monotonic.
 */
struct peer *upstream_choose(struct upstream *upstream, int64_t now_ms, const struct peer *except);

/*
 * Is the target neither down nor unhealthy? Health that this configuration does not ask for does
 * not count, so that a reload which turns it off sets the target free. Any thread, no lock.
 */
bool peer_is_up(const struct peer *peer, const struct config_upstream *config);

/*
 * A request to the target was answered, whatever its status; or the target could not be reached,
 * did not answer in time, or answered malformed bytes, as why (may be NULL) tells for the log.
 * After health.max_fails such failures in a row it is down for health.retry_after; then one request
 * after the other may try, each a retry_after later than the one before, until one is answered. A
 * failure while it is down begins retry_after anew. One log line when it goes down and one when it
 * is back. Any thread, no lock. now_ms: monotonic.
 */
void peer_succeeded(struct peer *peer);
void peer_failed(struct peer *peer, const struct config_upstream *config, int64_t now_ms,
                 const char *why);

/*
 * What an active check found out; why (may be NULL) tells what was bad. health.unhealthy_after
 * failures in a row, or health.healthy_after successes, change the state, with a log line. One
 * thread at a time.
 */
void peer_checked(struct peer *peer, const struct config_upstream *config, bool good,
                  const char *why);

/* How many addresses are known. Any thread. */
size_t peer_address_count(struct peer *peer);

/* Tell each peer of previous whether next has it still, so that no connection to one that it has
 * not is kept for later. Main thread. */
void upstreams_retire(const struct upstreams *previous, const struct upstreams *next);

/*
 * An address to connect to; each call gives the next where there are several, whoever calls. False
 * where there is none; err says why, with the name. Any thread.
 */
bool peer_next_address(struct peer *peer, struct peer_address *ret, struct err_text *err);

#endif
