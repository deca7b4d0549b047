#include "server/proxy/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"

#define BACKOFF_FIRST_MS 1000

struct resolver {
    struct ref ref; /* the main thread's, and its own thread's, which may outlive resolver_stop() */
    int64_t interval_ms;
    void (*changed)(void *argument);
    void *argument;
    pthread_t thread;
    bool running; /* main thread's */

    pthread_mutex_t lock; /* of the rest, and of each peer's lookup */
    pthread_cond_t news;  /* something of the rest has changed, or a name was looked up */
    bool stop;
    bool ended;
    struct upstreams *upstreams;
    struct peer *peer; /* whose name is being looked up; NULL between look-ups */
};

static const struct resolver_source system_source = {getaddrinfo, freeaddrinfo};
static const struct resolver_source *source = &system_source;

void resolver_replace(const struct resolver_source *replacement) {
    source = replacement ? replacement : &system_source;
}

static void resolver_unref(struct resolver *resolver) {
    if (!ref_drop(&resolver->ref)) return;
    upstreams_unref(resolver->upstreams);
    pthread_cond_destroy(&resolver->news);
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

/* --- when ------------------------------------------------------------------------------------ */

/* Vary a delay by a fifth either way, so that many gates do not return to a name server in step. */
static int64_t jitter(int64_t delay_ms) {
    uint32_t random;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) return delay_ms;
    return delay_ms - delay_ms / 5 + (int64_t)(random % (uint32_t)(delay_ms / 5 * 2 + 1));
}

static int64_t retry_delay(unsigned failures, int64_t interval_ms) {
    unsigned doublings = failures < 20 ? failures - 1 : 19;
    int64_t delay = (int64_t)BACKOFF_FIRST_MS << doublings;
    return jitter(delay < interval_ms ? delay : interval_ms);
}

/* Absolute, on the clock that pthread_cond_timedwait() was told to use. */
static struct timespec deadline_in(int64_t ms) {
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += ms / 1000;
    deadline.tv_nsec += ms % 1000 * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    return deadline;
}

/* Call for each peer with a name, until it returns false. */
static void each_name(const struct upstreams *upstreams,
                      bool (*call)(struct peer *peer, void *argument), void *argument) {
    for (size_t i = 0; i < upstreams->count; i++)
        for (size_t j = 0; j < upstreams->items[i].count; j++)
            if (upstreams->items[i].peers[j]->resolve &&
                !call(upstreams->items[i].peers[j], argument))
                return;
}

static bool take_earlier(struct peer *peer, void *argument) {
    struct peer **earliest = argument;
    if (!*earliest || peer->lookup.due_ms < (*earliest)->lookup.due_ms) *earliest = peer;
    return true;
}

/* The peer whose name is to be looked up next; NULL where there is no name. */
static struct peer *next_peer(const struct upstreams *upstreams) {
    struct peer *earliest = NULL;
    each_name(upstreams, take_earlier, &earliest);
    return earliest;
}

static bool note_untried(struct peer *peer, void *argument) {
    bool *all_tried = argument;
    if (!peer->lookup.tried) *all_tried = false;
    return *all_tried;
}

static bool all_tried(const struct upstreams *upstreams) {
    bool all = true;
    each_name(upstreams, note_untried, &all);
    return all;
}

/* --- what a look-up found -------------------------------------------------------------------- */

struct addresses {
    struct peer_address items[PEER_ADDRESSES_MAX];
    size_t count;
};

static bool has_address(const struct peer_address *items, size_t count,
                        const struct peer_address *wanted) {
    for (size_t i = 0; i < count; i++)
        if (items[i].len == wanted->len &&
            memcmp(&items[i].address, &wanted->address, wanted->len) == 0)
            return true;
    return false;
}

static bool read_address(const struct addrinfo *found, struct peer_address *ret) {
    bool known = found->ai_family == AF_INET || found->ai_family == AF_INET6;
    if (!known || found->ai_addrlen > sizeof ret->address) return false;
    *ret = (struct peer_address){.len = found->ai_addrlen};
    memcpy(&ret->address, found->ai_addr, found->ai_addrlen);
    return true;
}

/* Add those of found that are among the peer's addresses, or those that are not. Each once. */
static void collect(const struct addrinfo *found, const struct peer *peer, bool known,
                    struct addresses *all) {
    for (; found && all->count < PEER_ADDRESSES_MAX; found = found->ai_next) {
        struct peer_address address;
        if (!read_address(found, &address)) continue;
        if (has_address(peer->addresses, peer->address_count, &address) != known) continue;
        if (has_address(all->items, all->count, &address)) continue;
        all->items[all->count++] = address;
    }
}

/*
 * Those that the peer has already come first: name servers give the addresses of one name in ever
 * another order, and where there are more than fit, the choice must not change with it.
 */
static void merge(const struct addrinfo *found, const struct peer *peer, struct addresses *ret) {
    ret->count = 0;
    collect(found, peer, true, ret);
    collect(found, peer, false, ret);
}

static bool same_addresses(const struct peer *peer, const struct addresses *addresses) {
    if (peer->address_count != addresses->count) return false;
    for (size_t i = 0; i < addresses->count; i++)
        if (!has_address(peer->addresses, peer->address_count, &addresses->items[i])) return false;
    return true;
}

static void log_addresses(const struct peer *peer, const struct addresses *addresses) {
    struct buf words = buf_make(LOG_VALUE_MAX);
    for (size_t i = 0; i < addresses->count; i++) {
        const struct sockaddr_storage *address = &addresses->items[i].address;
        const void *ip = address->ss_family == AF_INET6
                             ? (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr
                             : (const void *)&((const struct sockaddr_in *)address)->sin_addr;
        char text[INET6_ADDRSTRLEN];
        if (!inet_ntop(address->ss_family, ip, text, sizeof text)) continue;
        buf_addf(&words, "%s%s", words.len ? " " : "", text);
    }
    LOG(LOG_NOTICE, "target has new addresses", LOG_TEXT("upstream", peer->upstream),
        LOG_TEXT("target", peer->name), LOG_SPAN("addresses", buf_span(&words)));
    buf_done(&words);
}

/* The resolver's thread alone writes addresses, so it reads them without the peer's lock. */
static void publish(struct resolver *resolver, struct peer *peer,
                    const struct addresses *addresses) {
    bool first = peer->address_count == 0;

    log_addresses(peer, addresses);
    pthread_mutex_lock(&peer->lock);
    memcpy(peer->addresses, addresses->items, addresses->count * sizeof addresses->items[0]);
    peer->address_count = addresses->count;
    pthread_mutex_unlock(&peer->lock);
    if (first && resolver->changed) resolver->changed(resolver->argument);
}

static void succeed(struct resolver *resolver, struct peer *peer,
                    const struct addresses *addresses) {
    struct peer_lookup *lookup = &peer->lookup;

    if (!same_addresses(peer, addresses))
        publish(resolver, peer, addresses);
    else if (lookup->code)
        LOG(LOG_NOTICE, "name is found again", LOG_TEXT("upstream", peer->upstream),
            LOG_TEXT("target", peer->name));
    lookup->code = 0;
    lookup->failures = 0;
    lookup->due_ms = clock_monotonic_ms() + resolver->interval_ms;
}

static void fail(const struct resolver *resolver, struct peer *peer, int code, const char *why) {
    struct peer_lookup *lookup = &peer->lookup;
    char words[CLOCK_WORDS_MAX];

    int64_t delay = retry_delay(++lookup->failures, resolver->interval_ms);
    lookup->due_ms = clock_monotonic_ms() + delay;
    if (lookup->code != code)
        LOG(LOG_WARNING,
            peer->address_count ? "name not found, keeping the old addresses" : "name not found",
            LOG_TEXT("upstream", peer->upstream), LOG_TEXT("target", peer->name),
            LOG_TEXT("why", why), LOG_NUMBER("kept", peer->address_count),
            LOG_TEXT("retry_in", clock_words((delay + 999) / 1000, words)));
    lookup->code = code;
    pthread_mutex_lock(&peer->lock);
    snprintf(peer->why, sizeof peer->why, "%s", why);
    pthread_mutex_unlock(&peer->lock);
}

static void judge(struct resolver *resolver, struct peer *peer, int code, int system_error,
                  const struct addrinfo *found) {
    struct addresses addresses = {.count = 0};
    char text[128];

    if (code == 0) merge(found, peer, &addresses);
    if (code == 0 && addresses.count == 0) code = EAI_NODATA;
    if (code == 0)
        succeed(resolver, peer, &addresses);
    else if (code == EAI_SYSTEM)
        fail(resolver, peer, code, strerror_r(system_error, text, sizeof text));
    else
        fail(resolver, peer, code, gai_strerror(code));
    peer->lookup.tried = true;
}

/* --- the resolver's thread ------------------------------------------------------------------- */

/* The result, without the lock and without the peer: resolver_stop() may take both away. */
static int ask(const char *name, uint16_t port, struct addrinfo **ret, int *ret_errno) {
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                          .ai_socktype = SOCK_STREAM,
                                          .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int code = source->look_up(name, service, &hints, ret);
    *ret_errno = errno;
    return code;
}

/* Called with the lock, which is not held while the system looks up. */
static void look_up(struct resolver *resolver, struct peer *peer) {
    struct addrinfo *found = NULL;
    int code = EAI_MEMORY, system_error = 0;
    uint16_t port = peer->port;
    char *name = strdup(peer->resolve);

    resolver->peer = peer_ref(peer);
    pthread_mutex_unlock(&resolver->lock);
    if (name) code = ask(name, port, &found, &system_error);
    pthread_mutex_lock(&resolver->lock);
    if (!resolver->stop) {
        judge(resolver, peer, code, system_error, found);
        peer_unref(TAKE_PTR(resolver->peer));
        pthread_cond_broadcast(&resolver->news);
    }
    if (code == 0) source->release(found);
    free(name);
}

static void *run(void *argument) {
    struct resolver *resolver = argument;

    pthread_mutex_lock(&resolver->lock);
    while (!resolver->stop) {
        struct peer *peer = next_peer(resolver->upstreams);
        int64_t wait = peer ? peer->lookup.due_ms - clock_monotonic_ms() : 0;
        if (!peer) {
            pthread_cond_wait(&resolver->news, &resolver->lock);
        } else if (wait > 0) {
            struct timespec deadline = deadline_in(wait);
            pthread_cond_timedwait(&resolver->news, &resolver->lock, &deadline);
        } else {
            look_up(resolver, peer);
        }
    }
    resolver->ended = true;
    pthread_cond_broadcast(&resolver->news);
    pthread_mutex_unlock(&resolver->lock);
    resolver_unref(resolver);
    return NULL;
}

/* --- for the main thread --------------------------------------------------------------------- */

static struct resolver *resolver_new(struct upstreams *upstreams) {
    struct resolver *resolver = calloc(1, sizeof *resolver);
    pthread_condattr_t attributes;
    if (!resolver) return NULL;
    ref_init(&resolver->ref);
    resolver->upstreams = upstreams_ref(upstreams);
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_condattr_init(&attributes);
    /* A jump of the wall clock must not stop look-ups for as long. */
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&resolver->news, &attributes);
    pthread_condattr_destroy(&attributes);
    return resolver;
}

/* Start the thread if it is needed and not there. False where it cannot be started. */
static bool start_thread(struct resolver *resolver, const struct upstreams *upstreams) {
    if (resolver->running || !next_peer(upstreams)) return true;
    ref_take(&resolver->ref);
    if (pthread_create(&resolver->thread, NULL, run, resolver) != 0) {
        resolver_unref(resolver);
        return false;
    }
    resolver->running = true;
    return true;
}

int resolver_start(struct upstreams *upstreams, int64_t interval_ms,
                   void (*changed)(void *argument), void *argument, struct resolver **ret,
                   struct err_text *err) {
    struct resolver *resolver = resolver_new(upstreams);
    if (!resolver) return err_set(err, ERR_MEMORY, "out of memory");
    resolver->interval_ms = interval_ms;
    resolver->changed = changed;
    resolver->argument = argument;
    if (!start_thread(resolver, upstreams)) {
        resolver_unref(resolver);
        return err_set(err, ERR_SYSTEM, "cannot start the thread that looks up names");
    }
    *ret = resolver;
    return 0;
}

void resolver_reconfigure(struct resolver *resolver, struct upstreams *upstreams) {
    pthread_mutex_lock(&resolver->lock);
    struct upstreams *old = resolver->upstreams;
    resolver->upstreams = upstreams_ref(upstreams);
    pthread_cond_broadcast(&resolver->news);
    pthread_mutex_unlock(&resolver->lock);
    upstreams_unref(old);
    if (!start_thread(resolver, upstreams))
        LOG(LOG_ERROR, "cannot start the thread that looks up names");
}

void resolver_wait(struct resolver *resolver, int64_t within_ms) {
    struct timespec deadline = deadline_in(within_ms);
    if (!resolver->running) return;
    pthread_mutex_lock(&resolver->lock);
    while (!all_tried(resolver->upstreams) &&
           pthread_cond_timedwait(&resolver->news, &resolver->lock, &deadline) == 0)
        continue;
    pthread_mutex_unlock(&resolver->lock);
}

/*
 * Take back all that others share, then wait a little. A thread that is left behind may wake up
 * while the program ends and libraries are being torn down: it must not be the one to free TLS.
 */
static bool end_thread(struct resolver *resolver) {
    struct timespec deadline = deadline_in(RESOLVER_STOP_MS);
    int r = 0;

    pthread_mutex_lock(&resolver->lock);
    resolver->stop = true;
    struct upstreams *upstreams = TAKE_PTR(resolver->upstreams);
    struct peer *peer = TAKE_PTR(resolver->peer);
    pthread_cond_broadcast(&resolver->news);
    while (!resolver->ended && r == 0)
        r = pthread_cond_timedwait(&resolver->news, &resolver->lock, &deadline);
    bool ended = resolver->ended;
    pthread_mutex_unlock(&resolver->lock);
    peer_unref(peer);
    upstreams_unref(upstreams);
    return ended;
}

void resolver_stop(struct resolver *resolver) {
    if (!resolver) return;
    if (resolver->running) {
        if (end_thread(resolver))
            pthread_join(resolver->thread, NULL);
        else
            pthread_detach(resolver->thread);
    }
    resolver_unref(resolver);
}
