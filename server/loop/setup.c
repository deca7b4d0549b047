#include "server/loop/setup.h"

#include <stdlib.h>
#include <string.h>

static struct listener *find_listener(const struct setup *previous, const char *address) {
    for (size_t i = 0; previous && i < previous->listen_count; i++)
        if (strcmp(previous->listen[i].listener->address, address) == 0)
            return previous->listen[i].listener;
    return NULL;
}

static int find_or_open(const char *address, const struct setup *previous, struct listener **ret,
                        struct err_text *err) {
    struct listener *kept = find_listener(previous, address);
    if (!kept) return listener_open(address, ret, err);
    *ret = listener_ref(kept);
    return 0;
}

static int fill_listen(const struct config_listen *wanted, const struct setup *previous,
                       struct setup_listen *ret, struct err_text *err) {
    int r = find_or_open(wanted->address, previous, &ret->listener, err);
    if (r < 0 || !*wanted->tls_certificate) return r;
    return tls_load(wanted->tls_certificate, wanted->tls_private_key, &ret->tls, err);
}

static int fill_admin(const struct config *config, const struct setup *previous,
                      struct setup_listen *ret, struct err_text *err) {
    const char *address = config->admin_address;
    int r = find_or_open(address, previous, &ret->listener, err);
    if (r < 0) return r;
    ret->admin = true;
    /* What systemd hands over is seen only now. */
    if (config->admin_require || listener_is_local(ret->listener)) return 0;
    return err_set(err, ERR_SYSTEM,
                   "admin.address %s is open to other hosts; listen on loopback, or set "
                   "admin.require",
                   address);
}

static bool wants_assertions(const struct config *config) {
    for (size_t i = 0; i < config->upstream_count; i++)
        if (config->upstreams[i].assertion) return true;
    return false;
}

static int fill_trusted(struct setup *setup, struct err_text *err) {
    const struct strings *texts = &setup->config->trusted_proxies;

    if (texts->count == 0) return 0;
    setup->trusted = calloc(texts->count, sizeof *setup->trusted);
    if (!setup->trusted) return err_set(err, ERR_MEMORY, "out of memory");
    for (; setup->trusted_count < texts->count; setup->trusted_count++) {
        struct span text = span_of(texts->items[setup->trusted_count]);
        int r = cidr_parse(text, &setup->trusted[setup->trusted_count], err);
        if (r < 0) return r;
    }
    return 0;
}

static int fill_policy(struct setup *setup, struct metrics_registry *registry,
                       struct err_text *err) {
    setup->routes = routes_new(setup->config);
    setup->resources = resources_new(setup->config);
    setup->admin_route.config = &setup->admin_config;
    if (setup->config->admin_require) {
        setup->admin_route.require =
            requirement_new(setup->config, setup->config->admin_require, "/");
        if (!setup->admin_route.require) return err_set(err, ERR_MEMORY, "out of memory");
    }
    setup->labels = metrics_labels_new(registry, setup->config);
    return setup->routes && setup->resources && setup->labels
               ? 0
               : err_set(err, ERR_MEMORY, "out of memory");
}

static int fill_proxy(struct setup *setup, const struct setup *previous, struct err_text *err) {
    struct config *config = setup->config;

    setup->rules = forward_rules_new(config);
    if (!setup->rules) return err_set(err, ERR_MEMORY, "out of memory");
    /* The number of workers changes with a restart only. */
    setup->workers = previous ? previous->workers : config->workers;
    int r = upstreams_new(config, setup->workers, previous ? previous->upstreams : NULL,
                          &setup->upstreams, err);
    if (r == 0) r = fill_trusted(setup, err);
    if (r < 0 || !wants_assertions(config)) return r;
    return assertion_key_new(config, previous ? previous->assertion_key : NULL,
                             &setup->assertion_key, err);
}

int setup_new(struct config *config, struct metrics_registry *registry,
              const struct setup *previous, struct setup **ret, struct err_text *err) {
    CLEANUP(setup_unrefp) struct setup *setup = calloc(1, sizeof *setup);
    if (!setup) return err_set(err, ERR_MEMORY, "out of memory");

    ref_init(&setup->ref);
    setup->config = config_ref(config);
    bool admin = *config->admin_address;
    setup->listen = calloc(config->listen_count + admin, sizeof *setup->listen);
    if (!setup->listen) return err_set(err, ERR_MEMORY, "out of memory");
    setup->listen_count = config->listen_count + admin;
    for (size_t i = 0; i < config->listen_count; i++) {
        int r = fill_listen(&config->listen[i], previous, &setup->listen[i], err);
        if (r < 0) return r;
    }
    int r = 0;
    if (admin) r = fill_admin(config, previous, &setup->listen[config->listen_count], err);
    if (r == 0) r = fill_policy(setup, registry, err);
    if (r == 0) r = fill_proxy(setup, previous, err);
    if (r < 0) return r;
    *ret = TAKE_PTR(setup);
    return 0;
}

bool setup_trusts(const struct setup *setup, const struct sockaddr *address) {
    for (size_t i = 0; i < setup->trusted_count; i++)
        if (cidr_holds(&setup->trusted[i], address)) return true;
    return false;
}

struct setup *setup_ref(struct setup *setup) {
    ref_take(&setup->ref);
    return setup;
}

void setup_unref(struct setup *setup) {
    if (!setup || !ref_drop(&setup->ref)) return;
    for (size_t i = 0; i < setup->listen_count; i++) {
        listener_unref(setup->listen[i].listener);
        tls_unref(setup->listen[i].tls);
    }
    free(setup->listen);
    metrics_labels_free(setup->labels);
    requirement_unref(setup->admin_route.require);
    routes_free(setup->routes);
    resources_free(setup->resources);
    upstreams_unref(setup->upstreams);
    forward_rules_free(setup->rules);
    free(setup->trusted);
    assertion_key_unref(setup->assertion_key);
    config_unref(setup->config);
    free(setup);
}
