#include "server/proxy/upstream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/config/upstream_target.h"

/* Longer schedules would cost memory and cache for a smoothness that nobody notices. */
#define SCHEDULE_MAX 4096

/* --- one peer -------------------------------------------------------------------------------- */

struct peer *peer_ref(struct peer *peer) {
    ref_take(&peer->ref);
    return peer;
}

void peer_unref(struct peer *peer) {
    if (!peer || !ref_drop(&peer->ref)) return;
    wire_tls_unref(peer->tls);
    pthread_mutex_destroy(&peer->lock);
    free(peer->links);
    free(peer->resolve);
    free(peer->host);
    free(peer->name);
    free(peer->upstream);
    free(peer);
}

static void set_port(struct peer_address *address, uint16_t port) {
    if (address->address.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&address->address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&address->address)->sin_port = htons(port);
}

static int set_unix_address(struct peer *peer, struct span path, struct err_text *err) {
    struct peer_address *only = &peer->addresses[0];
    struct sockaddr_un *address = (struct sockaddr_un *)&only->address;

    /* Room for NUL: a path that was cut would be another socket's. */
    if (path.len >= sizeof address->sun_path)
        return err_set(err, ERR_LIMIT, "the path of a socket has %zu bytes at most",
                       sizeof address->sun_path - 1);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path.ptr, path.len);
    only->len = sizeof *address;
    peer->address_count = 1;
    return 0;
}

/* False where host is no IP address. */
static bool set_ip_address(struct peer *peer, struct span host) {
    struct peer_address *only = &peer->addresses[0];
    struct sockaddr_in *v4 = (struct sockaddr_in *)&only->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&only->address;
    char text[INET6_ADDRSTRLEN];

    if (host.len >= sizeof text) return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        only->len = sizeof *v4;
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        only->len = sizeof *v6;
    } else {
        return false;
    }
    set_port(only, peer->port);
    peer->address_count = 1;
    return true;
}

static int set_address(struct peer *peer, const struct upstream_target *target,
                       struct err_text *err) {
    if (!span_is_absent(target->unix_path)) return set_unix_address(peer, target->unix_path, err);
    if (set_ip_address(peer, target->host)) return 0;
    peer->resolve = strndup(target->host.ptr, target->host.len);
    if (!peer->resolve) return err_set(err, ERR_MEMORY, "out of memory");
    snprintf(peer->why, sizeof peer->why, "it was not looked up yet");
    return 0;
}

static int set_tls(struct peer *peer, const struct config_upstream *config, struct span host,
                   struct err_text *err) {
    char *name = strndup(host.ptr, host.len);
    if (!name) return err_set(err, ERR_MEMORY, "out of memory");

    const struct config_upstream_tls *tls = &config->tls;
    const struct wire_tls_settings settings = {
        .ca_file = tls->ca_file,
        .certificate = tls->certificate,
        .private_key = tls->private_key,
        .server_name = *tls->server_name ? tls->server_name : name,
    };
    int r = wire_tls_new(&settings, &peer->tls, err);
    free(name);
    return r;
}

static char *name_of(const struct upstream_target *target) {
    bool local = !span_is_absent(target->unix_path);
    struct span rest = local ? target->unix_path : target->authority;
    const char *scheme = local ? "unix:" : target->https ? "https://" : "http://";
    char *name = NULL;
    return asprintf(&name, "%s%.*s", scheme, SPAN_PRINTF(rest)) < 0 ? NULL : name;
}

static int fill_peer(struct peer *peer, const struct config_upstream *config,
                     const struct upstream_target *target, unsigned workers, struct err_text *err) {
    bool local = !span_is_absent(target->unix_path);

    peer->upstream = strdup(config->name);
    peer->name = name_of(target);
    peer->host =
        local ? strdup("localhost") : strndup(target->authority.ptr, target->authority.len);
    peer->links = calloc(workers, sizeof *peer->links);
    peer->link_count = workers;
    peer->port = target->port;
    if (!peer->upstream || !peer->name || !peer->host || !peer->links)
        return err_set(err, ERR_MEMORY, "out of memory");
    int r = set_address(peer, target, err);
    if (r < 0 || !target->https) return r;
    return set_tls(peer, config, target->host, err);
}

static int peer_new(const struct config_upstream *config, const struct upstream_target *target,
                    unsigned workers, struct peer **ret, struct err_text *err) {
    CLEANUP(peer_unrefp) struct peer *peer = calloc(1, sizeof *peer);
    if (!peer) return err_set(err, ERR_MEMORY, "out of memory");
    ref_init(&peer->ref);
    pthread_mutex_init(&peer->lock, NULL);
    int r = fill_peer(peer, config, target, workers, err);
    if (r < 0) return r;
    *ret = TAKE_PTR(peer);
    return 0;
}

/* --- what stays the same over a reload ------------------------------------------------------- */

/* All zero for "", and for a file that cannot be read: whoever reads it will say so. */
static struct file_stamp stamp(const char *path) {
    struct stat status;
    if (!*path || stat(path, &status) < 0) return (struct file_stamp){0};
    return (struct file_stamp){status.st_dev, status.st_ino, status.st_size, status.st_mtim};
}

static struct peer_files stamp_files(const struct config_upstream_tls *tls) {
    return (struct peer_files){stamp(tls->ca_file), stamp(tls->certificate),
                               stamp(tls->private_key)};
}

static bool same_stamp(const struct file_stamp *a, const struct file_stamp *b) {
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

static bool same_files(const struct peer_files *a, const struct peer_files *b) {
    return same_stamp(&a->ca_file, &b->ca_file) && same_stamp(&a->certificate, &b->certificate) &&
           same_stamp(&a->private_key, &b->private_key);
}

static bool same_tls_options(const struct config_upstream_tls *a,
                             const struct config_upstream_tls *b) {
    return strcmp(a->ca_file, b->ca_file) == 0 && strcmp(a->certificate, b->certificate) == 0 &&
           strcmp(a->private_key, b->private_key) == 0 &&
           strcmp(a->server_name, b->server_name) == 0;
}

static const struct upstream *find_upstream(const struct upstreams *previous, const char *name) {
    for (size_t i = 0; previous && i < previous->count; i++)
        if (strcmp(previous->items[i].config->name, name) == 0) return &previous->items[i];
    return NULL;
}

static bool has_peer(const struct upstream *upstream, const struct peer *peer) {
    for (size_t i = 0; i < upstream->count; i++)
        if (upstream->peers[i] == peer) return true;
    return false;
}

/* The peer of old that can be the one called name in upstream, which has those before it. */
static struct peer *find_same(const struct upstream *old, const struct upstream *upstream,
                              const char *name, const struct peer_files *files, unsigned workers) {
    if (!old) return NULL;
    bool same_tls = same_tls_options(&old->config->tls, &upstream->config->tls);
    for (size_t i = 0; i < old->count; i++) {
        struct peer *peer = old->peers[i];
        if (strcmp(peer->name, name) != 0 || peer->link_count != workers) continue;
        if (peer->tls && !(same_tls && same_files(&peer->files, files))) continue;
        /* A target that is listed twice is two. */
        if (!has_peer(upstream, peer)) return peer;
    }
    return NULL;
}

/* Take over the addresses of name if from knows it. */
static bool copy_addresses(struct peer *peer, struct peer *from) {
    if (!from->resolve || strcmp(from->resolve, peer->resolve) != 0) return false;
    pthread_mutex_lock(&from->lock);
    memcpy(peer->addresses, from->addresses, sizeof peer->addresses);
    peer->address_count = from->address_count;
    pthread_mutex_unlock(&from->lock);
    for (size_t i = 0; i < peer->address_count; i++) set_port(&peer->addresses[i], peer->port);
    return peer->address_count > 0;
}

static void inherit_addresses(struct peer *peer, const struct upstreams *previous) {
    if (!peer->resolve) return;
    for (size_t i = 0; previous && i < previous->count; i++)
        for (size_t j = 0; j < previous->items[i].count; j++)
            if (copy_addresses(peer, previous->items[i].peers[j])) return;
}

/* --- all of them ----------------------------------------------------------------------------- */

static void upstream_done(struct upstream *upstream) {
    for (size_t i = 0; i < upstream->count; i++) peer_unref(upstream->peers[i]);
    free(upstream->peers);
    free(upstream->weights);
    free(upstream->schedule);
}

struct upstreams *upstreams_ref(struct upstreams *upstreams) {
    ref_take(&upstreams->ref);
    return upstreams;
}

void upstreams_unref(struct upstreams *upstreams) {
    if (!upstreams || !ref_drop(&upstreams->ref)) return;
    for (size_t i = 0; i < upstreams->count; i++) upstream_done(&upstreams->items[i]);
    free(upstreams->items);
    config_unref(upstreams->config);
    free(upstreams);
}

static unsigned common_divisor(unsigned a, unsigned b) {
    while (b) {
        unsigned rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/*
 * One round of turns. Each peer saves up its weight at every turn; the one that has saved most gets
 * the turn and pays what all saved together. So a heavy peer's turns are spread over the round and
 * do not come in one burst.
 */
static void fill_schedule(struct upstream *upstream, int64_t *saved, uint64_t sum) {
    for (size_t turn = 0; turn < upstream->schedule_len; turn++) {
        unsigned most = 0;
        for (unsigned i = 0; i < upstream->count; i++) {
            saved[i] += upstream->weights[i];
            if (saved[i] > saved[most]) most = i;
        }
        saved[most] -= (int64_t)sum;
        upstream->schedule[turn] = most;
    }
}

static int make_schedule(struct upstream *upstream) {
    unsigned divisor = 0;
    uint64_t sum = 0;

    for (size_t i = 0; i < upstream->count; i++) {
        divisor = common_divisor(divisor, upstream->weights[i]);
        sum += upstream->weights[i];
    }
    if (upstream->count < 2 || !divisor || sum / divisor > SCHEDULE_MAX) return 0;
    size_t turns = sum / divisor;
    int64_t *saved = calloc(upstream->count, sizeof *saved);
    upstream->schedule = calloc(turns, sizeof *upstream->schedule);
    if (saved && upstream->schedule) {
        upstream->schedule_len = turns;
        fill_schedule(upstream, saved, sum);
    }
    free(saved);
    return upstream->schedule_len ? 0 : ERR_MEMORY;
}

/* Add the peer for this target, an old one where there is the same. */
static int add_peer(struct upstream *upstream, const char *text, unsigned workers,
                    const struct upstreams *previous, struct err_text *err) {
    const struct config_upstream *config = upstream->config;
    struct upstream_target target;
    struct peer *peer = NULL;

    int r = upstream_target_parse(span_of(text), &target, err);
    if (r < 0) return r;
    char *name = name_of(&target);
    if (!name) return err_set(err, ERR_MEMORY, "out of memory");
    /* Before they are read: a change in between shows at the next reload, and is never missed. */
    struct peer_files files = stamp_files(&config->tls);
    struct peer *same =
        find_same(find_upstream(previous, config->name), upstream, name, &files, workers);
    free(name);
    if (same) {
        peer = peer_ref(same);
    } else {
        r = peer_new(config, &target, workers, &peer, err);
        if (r < 0) return r;
        peer->files = files;
        inherit_addresses(peer, previous);
    }
    upstream->weights[upstream->count] = target.weight;
    upstream->peers[upstream->count++] = peer;
    return 0;
}

static int fill_upstream(struct upstream *upstream, const struct config_upstream *config,
                         unsigned workers, const struct upstreams *previous, struct err_text *err) {
    const struct strings *targets = &config->targets;
    struct err_text why;

    upstream->config = config;
    upstream->peers = calloc(targets->count, sizeof(struct peer *));
    upstream->weights = calloc(targets->count, sizeof *upstream->weights);
    if (!upstream->peers || !upstream->weights) return err_set(err, ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < targets->count; i++) {
        int r = add_peer(upstream, targets->items[i], workers, previous, &why);
        if (r < 0)
            return err_set(err, r, "upstream \"%s\", target \"%s\": %s", config->name,
                           targets->items[i], why.text);
    }
    if (make_schedule(upstream) < 0) return err_set(err, ERR_MEMORY, "out of memory");
    return 0;
}

int upstreams_new(struct config *config, unsigned workers, const struct upstreams *previous,
                  struct upstreams **ret, struct err_text *err) {
    CLEANUP(upstreams_unrefp) struct upstreams *made = calloc(1, sizeof *made);
    if (!made) return err_set(err, ERR_MEMORY, "out of memory");
    ref_init(&made->ref);
    made->config = config_ref(config);
    made->items = calloc(config->upstream_count, sizeof *made->items);
    if (!made->items) return err_set(err, ERR_MEMORY, "out of memory");
    while (made->count < config->upstream_count) {
        size_t i = made->count++;
        int r = fill_upstream(&made->items[i], &config->upstreams[i], workers, previous, err);
        if (r < 0) return r;
    }
    *ret = TAKE_PTR(made);
    return 0;
}

/* --- choosing -------------------------------------------------------------------------------- */

/* Requests under way, in proportion to a weight. */
struct load {
    uint64_t active;
    uint64_t weight;
};

static bool is_lighter(struct load a, struct load b) {
    return a.active * b.weight < b.active * a.weight;
}

static struct load load_of(const struct upstream *upstream, size_t i) {
    return (struct load){atomic_load_explicit(&upstream->peers[i]->active, memory_order_relaxed),
                         upstream->weights[i]};
}

static bool is_unhealthy(const struct peer *peer, const struct config_upstream *config) {
    return *config->health.path && atomic_load_explicit(&peer->unhealthy, memory_order_relaxed);
}

/* When it comes up; 0: it is up. */
static int64_t down_until(const struct peer *peer, const struct config_upstream *config) {
    if (!config->health.max_fails) return 0;
    return atomic_load_explicit(&peer->down_until, memory_order_relaxed);
}

bool peer_is_up(const struct peer *peer, const struct config_upstream *config) {
    return !is_unhealthy(peer, config) && !down_until(peer, config);
}

static bool is_candidate(const struct upstream *upstream, size_t i, const struct peer *except) {
    const struct peer *peer = upstream->peers[i];
    return peer != except && peer_is_up(peer, upstream->config);
}

/*
 * Where in a line of that length the next choice falls. The golden ratio of 2^32 steps through the
 * line so that any number of choices in a row lies evenly on it, whatever is marked off on it.
 */
static uint64_t next_point(struct upstream *upstream, uint64_t length) {
    unsigned step = atomic_fetch_add_explicit(&upstream->detour, 1, memory_order_relaxed);
    return (uint64_t)(uint32_t)(step * 2654435769U) * length >> 32;
}

/* Each candidate as often as its weight has it among them; with ceiling only those whose load does
 * not exceed it. Loads and health change meanwhile: the last one seen is as good as any then. */
static struct peer *choose_by_weight(struct upstream *upstream, const struct peer *except,
                                     const struct load *ceiling) {
    struct peer *chosen = NULL;
    uint64_t sum = 0, passed = 0;

    for (size_t i = 0; i < upstream->count; i++)
        if (is_candidate(upstream, i, except) &&
            !(ceiling && is_lighter(*ceiling, load_of(upstream, i))))
            sum += upstream->weights[i];
    if (!sum) return NULL;
    uint64_t point = next_point(upstream, sum);
    for (size_t i = 0; i < upstream->count && passed <= point; i++) {
        if (!is_candidate(upstream, i, except)) continue;
        if (ceiling && is_lighter(*ceiling, load_of(upstream, i))) continue;
        chosen = upstream->peers[i];
        passed += upstream->weights[i];
    }
    return chosen;
}

/*
 * Weighted round robin. The turn of a peer that is no candidate goes to one of the others by their
 * weights, and not to the one behind it, who would then carry the load of two.
 */
static struct peer *choose_in_turn(struct upstream *upstream, const struct peer *except) {
    if (!upstream->schedule) return choose_by_weight(upstream, except, NULL);
    unsigned turn = atomic_fetch_add_explicit(&upstream->turn, 1, memory_order_relaxed);
    unsigned i = upstream->schedule[turn % upstream->schedule_len];
    if (is_candidate(upstream, i, except)) return upstream->peers[i];
    return choose_by_weight(upstream, except, NULL);
}

static struct peer *choose_least(struct upstream *upstream, const struct peer *except) {
    struct load least = {0};
    struct peer *chosen = NULL;

    for (size_t i = 0; i < upstream->count; i++) {
        if (!is_candidate(upstream, i, except)) continue;
        if (chosen && !is_lighter(load_of(upstream, i), least)) continue;
        chosen = upstream->peers[i];
        least = load_of(upstream, i);
    }
    struct peer *among_equals = chosen ? choose_by_weight(upstream, except, &least) : NULL;
    return among_equals ? among_equals : chosen;
}

/*
 * A peer whose retry_after is over, for one request: who takes it puts it off for the others, so
 * that a target which is still dead costs one request and not all of that moment.
 */
static struct peer *choose_retry(struct upstream *upstream, int64_t now_ms) {
    const struct config_upstream *config = upstream->config;
    for (size_t i = 0; i < upstream->count; i++) {
        struct peer *peer = upstream->peers[i];
        int64_t until = down_until(peer, config);
        if (!until || until > now_ms || is_unhealthy(peer, config)) continue;
        if (atomic_compare_exchange_strong(&peer->down_until, &until,
                                           now_ms + config->health.retry_after))
            return peer;
    }
    return NULL;
}

static struct peer *choose_first_up(const struct upstream *upstream, const struct peer *except) {
    struct peer *first = NULL;
    int64_t first_ms = 0;

    for (size_t i = 0; i < upstream->count; i++) {
        struct peer *peer = upstream->peers[i];
        if (peer == except || is_unhealthy(peer, upstream->config)) continue;
        int64_t until = down_until(peer, upstream->config);
        if (first && until >= first_ms) continue;
        first = peer;
        first_ms = until;
    }
    return first;
}

struct peer *upstream_choose(struct upstream *upstream, int64_t now_ms, const struct peer *except) {
    if (upstream->count == 1) return choose_first_up(upstream, except);
    struct peer *chosen = except ? NULL : choose_retry(upstream, now_ms);
    if (chosen) return chosen;
    chosen = upstream->config->balance == BALANCE_LEAST_CONNECTIONS
                 ? choose_least(upstream, except)
                 : choose_in_turn(upstream, except);
    return chosen ? chosen : choose_first_up(upstream, except);
}

/* --- health ---------------------------------------------------------------------------------- */

void peer_succeeded(struct peer *peer) {
    /* The usual case writes nothing, so that workers do not take the cache line from each other. */
    if (atomic_load_explicit(&peer->fails, memory_order_relaxed))
        atomic_store_explicit(&peer->fails, 0, memory_order_relaxed);
    if (!atomic_load_explicit(&peer->down_until, memory_order_relaxed)) return;
    if (atomic_exchange(&peer->down_until, 0))
        LOG(LOG_NOTICE, "target is back", LOG_TEXT("upstream", peer->upstream),
            LOG_TEXT("target", peer->name));
}

void peer_failed(struct peer *peer, const struct config_upstream *config, int64_t now_ms,
                 const char *why) {
    const struct config_health *health = &config->health;
    char words[CLOCK_WORDS_MAX];

    if (!health->max_fails) return;
    if (atomic_fetch_add_explicit(&peer->fails, 1, memory_order_relaxed) + 1 < health->max_fails)
        return;
    if (atomic_exchange(&peer->down_until, now_ms + health->retry_after)) return;
    LOG(LOG_WARNING, "target down", LOG_TEXT("upstream", peer->upstream),
        LOG_TEXT("target", peer->name), LOG_TEXT("why", why),
        LOG_NUMBER("fails", health->max_fails),
        LOG_TEXT("retry_in", clock_words((health->retry_after + 999) / 1000, words)));
}

void peer_checked(struct peer *peer, const struct config_upstream *config, bool good,
                  const char *why) {
    const struct config_health *health = &config->health;
    bool was_good = !atomic_load(&peer->unhealthy);

    if (good == was_good) {
        peer->checks = 0;
        return;
    }
    uint64_t checks = ++peer->checks;
    if (checks < (good ? health->healthy_after : health->unhealthy_after)) return;
    peer->checks = 0;
    atomic_store(&peer->unhealthy, !good);
    LOG(good ? LOG_NOTICE : LOG_WARNING, good ? "target is healthy again" : "target unhealthy",
        LOG_TEXT("upstream", peer->upstream), LOG_TEXT("target", peer->name),
        LOG_TEXT("why", good ? NULL : why), LOG_NUMBER("checks", checks));
}

bool peer_next_address(struct peer *peer, struct peer_address *ret, struct err_text *err) {
    unsigned next = atomic_fetch_add_explicit(&peer->next_address, 1, memory_order_relaxed);

    pthread_mutex_lock(&peer->lock);
    size_t count = peer->address_count;
    if (count)
        *ret = peer->addresses[next % count];
    else
        err_write(err, "%s has no address: %s", peer->resolve, peer->why);
    pthread_mutex_unlock(&peer->lock);
    return count > 0;
}

size_t peer_address_count(struct peer *peer) {
    pthread_mutex_lock(&peer->lock);
    size_t count = peer->address_count;
    pthread_mutex_unlock(&peer->lock);
    return count;
}

void upstreams_retire(const struct upstreams *previous, const struct upstreams *next) {
    for (size_t i = 0; i < previous->count; i++)
        for (size_t k = 0; k < previous->items[i].count; k++)
            atomic_store(&previous->items[i].peers[k]->retired, true);
    for (size_t i = 0; i < next->count; i++)
        for (size_t k = 0; k < next->items[i].count; k++)
            atomic_store(&next->items[i].peers[k]->retired, false);
}
