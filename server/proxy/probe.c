#include "server/proxy/probe.h"

#include <stdlib.h>

#include "server/proxy/transfer.h"

struct probe {
    struct transfer transfer;
    struct probes *probes;
    struct upstream *upstream;
    struct peer *peer;
    struct timer next;  /* the next check */
    struct timer limit; /* of the present one */
};

struct probes {
    struct pool *pool;
    struct upstreams *upstreams;
    struct probe *items;
    size_t count;
    struct deferred burial;
};

static struct timers *timers_of(const struct probe *probe) {
    return &probe->probes->pool->reactor->timers;
}

static void done(struct probe *probe, bool good, const char *why) {
    const struct config_upstream *config = probe->upstream->config;

    timers_clear(timers_of(probe), &probe->limit);
    transfer_end(&probe->transfer);
    peer_checked(probe->peer, config, good, why);
}

static void on_head(struct transfer *transfer, const struct response_head *head) {
    struct probe *probe = CONTAINER_OF(transfer, struct probe, transfer);
    char why[64];

    snprintf(why, sizeof why, "the check was answered with status %u", head->status);
    done(probe, head->status >= 200 && head->status < 400, why);
}

static void on_failed(struct transfer *transfer, enum transfer_failure failure, const char *why) {
    (void)failure;
    done(CONTAINER_OF(transfer, struct probe, transfer), false, why);
}

static void on_limit(struct timer *timer) {
    done(CONTAINER_OF(timer, struct probe, limit), false,
         "the check was not answered within health.timeout");
}

static void on_interim(struct transfer *transfer, const struct response_head *head) {
    (void)transfer;
    (void)head;
}

static void on_nothing(struct transfer *transfer) {
    (void)transfer;
}

static const struct transfer_events events = {.on_interim = on_interim,
                                              .on_head = on_head,
                                              .on_body = on_nothing,
                                              .on_room = on_nothing,
                                              .on_failed = on_failed};

static void check(struct probe *probe) {
    const struct config_health *health = &probe->upstream->config->health;
    struct transfer_request request = {
        .upstream = probe->upstream, .only = probe->peer, .idempotent = true};
    enum transfer_failure why;

    if (!transfer_begin(&probe->transfer, probe->probes->pool, &request, &events, &why) ||
        !timers_set(timers_of(probe), &probe->limit,
                    probe->probes->pool->reactor->now_ms + health->timeout)) {
        transfer_end(&probe->transfer);
        return;
    }
    buf_addf(&probe->transfer.out,
             "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bearerd\r\nConnection: close\r\n\r\n",
             health->path, probe->peer->host);
    transfer_start(&probe->transfer, true);
}

static void on_next(struct timer *timer) {
    struct probe *probe = CONTAINER_OF(timer, struct probe, next);
    int64_t now_ms = probe->probes->pool->reactor->now_ms;

    /* A check that takes longer than the interval is waited for. */
    if (!timer_is_set(&probe->limit)) check(probe);
    if (!timers_set(timers_of(probe), timer, now_ms + probe->upstream->config->health.interval))
        LOG(LOG_ERROR, "health checks end: out of memory", LOG_TEXT("target", probe->peer->name));
}

static size_t count_wanted(const struct upstreams *upstreams) {
    size_t count = 0;
    for (size_t i = 0; i < upstreams->count; i++)
        if (*upstreams->items[i].config->health.path) count += upstreams->items[i].count;
    return count;
}

static void add(struct probes *probes, struct upstream *upstream, struct peer *peer) {
    struct probe *probe = &probes->items[probes->count++];
    probe->probes = probes;
    probe->upstream = upstream;
    probe->peer = peer;
    probe->next.fire = on_next;
    probe->limit.fire = on_limit;
    on_next(&probe->next);
}

static void bury(struct deferred *deferred) {
    struct probes *probes = CONTAINER_OF(deferred, struct probes, burial);
    for (size_t i = 0; i < probes->count; i++) transfer_free(&probes->items[i].transfer);
    upstreams_unref(probes->upstreams);
    free(probes->items);
    free(probes);
}

struct probes *probes_start(struct pool *pool, struct upstreams *upstreams) {
    size_t wanted = count_wanted(upstreams);
    if (wanted == 0) return NULL;
    struct probes *probes = calloc(1, sizeof *probes);
    if (!probes || !(probes->items = calloc(wanted, sizeof *probes->items))) {
        free(probes);
        return NULL;
    }
    probes->pool = pool;
    probes->upstreams = upstreams_ref(upstreams);
    probes->burial.run = bury;
    for (size_t i = 0; i < upstreams->count; i++) {
        struct upstream *upstream = &upstreams->items[i];
        for (size_t k = 0; *upstream->config->health.path && k < upstream->count; k++)
            add(probes, upstream, upstream->peers[k]);
    }
    return probes;
}

void probes_stop(struct probes *probes) {
    if (!probes) return;
    for (size_t i = 0; i < probes->count; i++) {
        struct probe *probe = &probes->items[i];
        timers_clear(timers_of(probe), &probe->next);
        timers_clear(timers_of(probe), &probe->limit);
        transfer_end(&probe->transfer);
    }
    reactor_defer(probes->pool->reactor, &probes->burial);
}
