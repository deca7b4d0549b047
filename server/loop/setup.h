/*
 * setup: a configuration together with the sockets and certificates it names, as one immutable
 * value. A reload builds the next setup completely, then publishes it.
 */
#ifndef SERVER_LOOP_SETUP_H
#define SERVER_LOOP_SETUP_H

#include "common/cidr.h"
#include "server/config/config.h"
#include "server/loop/listener.h"
#include "server/loop/tls.h"
#include "server/metrics/registry.h"
#include "server/policy/resource.h"
#include "server/policy/route.h"
#include "server/proxy/assertion.h"
#include "server/proxy/forward.h"
#include "server/proxy/upstream.h"

struct setup {
    struct ref ref;
    struct config *config;
    struct setup_listen {
        struct listener *listener;
        struct tls *tls; /* NULL: plain */
        bool admin;
    } * listen; /* one for each of config->listen, then the admin listener */
    size_t listen_count;
    struct routes *routes;
    struct resources *resources;
    /* What requests to the admin listener are judged by, as if they were all of one route; its
     * require is NULL where anybody who reaches it may use it. */
    struct config_route admin_config;
    struct route admin_route;
    struct metrics_labels *labels; /* what its routes and upstreams are counted under */
    unsigned workers;              /* that really run */
    struct upstreams *upstreams;   /* in the order of config->upstreams */
    struct forward_rules *rules;
    struct cidr *trusted; /* one for each of config->trusted_proxies */
    size_t trusted_count;
    struct assertion_key *assertion_key; /* NULL: no upstream wants assertions */
};

/*
 * Open and load what config names; its labels are those of registry, which outlives it. Listeners
 * that previous (may be NULL) has for the same address are kept, so that no connection waiting in
 * them is lost. Main thread. Returns 0 with one reference in *ret, or an error with the reason and
 * nothing changed.
 */
int setup_new(struct config *config, struct metrics_registry *registry,
              const struct setup *previous, struct setup **ret, struct err_text *err) MUST_CHECK;

/* Is that peer one of trusted_proxies? */
bool setup_trusts(const struct setup *setup, const struct sockaddr *address);

/* Any thread: take one more reference; drop one, the last frees (NULL is fine). */
struct setup *setup_ref(struct setup *setup);
void setup_unref(struct setup *setup);
CLEANUP_DEFINE(struct setup *, setup_unref)

#endif
