#include "server/server.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/notify.h"
#include "server/deny_watch.h"
#include "server/loop/linger.h"
#include "server/proxy/resolver.h"

/* Descriptors besides those of connections: listeners, event loops, fetches, files. */
#define DESCRIPTORS_RESERVED 128
/* How long the main thread sleeps between its looks at the watchdog and the clock. */
#define TICK_MS 500
/* The same while connections come to their end. */
#define DRAIN_TICK_MS 20
/* How often the names of upstreams are looked up again. */
#define RESOLVE_INTERVAL_MS 30000
/* How long a start waits for names, so that the first requests find their upstream. */
#define RESOLVE_PATIENCE_MS 2000

struct server {
    server_load *load;
    void *argument;
    struct config *config;
    struct shared shared;
    struct deny_watch *deny_watch;
    struct resolver *resolver;
    struct worker *workers;
    _Atomic unsigned worker_count; /* those that run; the refresh thread wakes them */
    int signal_fd;                 /* readable while a signal waits to be taken */
    atomic_bool started;           /* all workers run */
    atomic_bool told_ready;
};

static void setup_ref_void(void *setup) {
    setup_ref(setup);
}

static void setup_unref_void(void *setup) {
    setup_unref(setup);
}

static void deny_list_ref_void(void *list) {
    deny_list_ref(list);
}

static void deny_list_unref_void(void *list) {
    deny_list_unref(list);
}

static void wake_workers(struct server *server) {
    unsigned count = atomic_load(&server->worker_count);
    for (unsigned i = 0; i < count; i++) worker_wake(&server->workers[i]);
}

/* --- readiness ----------------------------------------------------------------------------- */

static void tell_ready(struct server *server) {
    if (!atomic_load(&server->started)) return;
    if (!keystore_is_ready(server->shared.keystore)) {
        if (!atomic_load(&server->told_ready)) notify_status("waiting for the keys of an issuer");
        return;
    }
    if (atomic_exchange(&server->told_ready, true)) return;
    notify_ready();
    notify_status("serving");
    LOG(LOG_NOTICE, "ready");
}

/* Refresh thread: some issuer's refresh has ended. */
static void on_keys(void *argument) {
    struct server *server = argument;
    tell_ready(server);
    wake_workers(server);
}

/* --- start --------------------------------------------------------------------------------- */

int server_check(const struct config *config, struct err_text *err) {
    CLEANUP(deny_watch_closep) struct deny_watch *watch = NULL;
    return deny_watch_open(config->deny_list, NULL, &watch, err);
}

static void block_signals(sigset_t *ret, int *ret_fd) {
    sigemptyset(ret);
    sigaddset(ret, SIGHUP);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    pthread_sigmask(SIG_BLOCK, ret, NULL);
    *ret_fd = signalfd(-1, ret, SFD_CLOEXEC | SFD_NONBLOCK);
    /* A client or log reader that went away is an error of write(), not our end. */
    signal(SIGPIPE, SIG_IGN);
}

static void raise_descriptor_limit(const struct config *config) {
    /* A client's connection may need another to an upstream. */
    rlim_t wanted = config->limits.connections * (config->upstream_count ? 2 : 1) +
                    DESCRIPTORS_RESERVED + (rlim_t)config->workers * LINGERING_MAX;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted) return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted)
        LOG(LOG_WARNING, "fewer descriptors than limits.connections needs; raise LimitNOFILE",
            LOG_NUMBER("descriptors", limit.rlim_cur), LOG_NUMBER("needed", wanted));
}

static void log_listeners(const struct setup *setup) {
    for (size_t i = 0; i < setup->listen_count; i++)
        LOG(LOG_NOTICE, "listening", LOG_TEXT("address", setup->listen[i].listener->address),
            LOG_TEXT("tls", setup->listen[i].tls ? "yes" : "no"),
            LOG_TEXT("admin", setup->listen[i].admin ? "yes" : NULL));
}

static int start_workers(struct server *server, struct err_text *err) {
    for (unsigned i = 0; i < server->config->workers; i++) {
        int r = worker_start(&server->workers[i], i, &server->shared, err);
        if (r < 0) return r;
        atomic_store(&server->worker_count, i + 1);
    }
    return 0;
}

static int start(struct server *server, struct err_text *err) {
    struct setup *setup;

    server->shared.census = census_new();
    server->shared.errands = errands_new();
    server->shared.tallies = tallies_new(server->config->workers);
    server->workers = calloc(server->config->workers, sizeof *server->workers);
    if (!server->shared.census || !server->shared.errands || !server->shared.tallies ||
        !server->workers)
        return err_set(err, ERR_MEMORY, "out of memory");
    int r = deny_watch_open(server->config->deny_list, NULL, &server->deny_watch, err);
    if (r < 0) return r;
    deny_watch_publish(server->deny_watch, NULL, &server->shared.denied);
    r = setup_new(server->config, server->shared.tallies->registry, NULL, &setup, err);
    if (r < 0) return r;
    log_listeners(setup);
    r = resolver_start(setup->upstreams, RESOLVE_INTERVAL_MS, NULL, NULL, &server->resolver, err);
    snapshot_publish(&server->shared.setup, setup);
    if (r < 0) return r;

    r = keystore_start(server->config, on_keys, server, &server->shared.keystore, err);
    if (r < 0) return r;
    resolver_wait(server->resolver, RESOLVE_PATIENCE_MS);
    if ((r = start_workers(server, err)) < 0) return r;
    atomic_store(&server->started, true);
    tell_ready(server);
    return 0;
}

/* --- reload -------------------------------------------------------------------------------- */

static void warn_of_restart(const struct config *old, const struct config *new) {
    if (old->workers != new->workers)
        LOG(LOG_WARNING, "workers changes with the next restart only",
            LOG_NUMBER("workers", old->workers));
    if (old->limits.header != new->limits.header ||
        old->limits.idle_timeout != new->limits.idle_timeout)
        LOG(LOG_WARNING,
            "a larger limits.header and a changed limits.idle_timeout take full effect with the "
            "next restart only");
}

/* Refuse clients where setup listened and next (NULL: nothing) does not. */
static void shut_listeners(const struct setup *setup, const struct setup *next) {
    for (size_t i = 0; i < setup->listen_count; i++) {
        bool kept = false;
        for (size_t j = 0; next && j < next->listen_count; j++)
            kept = kept || next->listen[j].listener == setup->listen[i].listener;
        if (!kept) listener_shut(setup->listen[i].listener);
    }
}

static void take_deny_watch(struct server *server, struct deny_watch *next) {
    deny_watch_publish(next, server->deny_watch, &server->shared.denied);
    deny_watch_close(server->deny_watch);
    server->deny_watch = next;
}

/* Build all of the new configuration, then publish it; until then the old one serves. */
static bool reload(struct server *server) {
    struct err_text why;
    struct setup *setup;
    uint64_t ignored;

    CLEANUP(config_unrefp) struct config *config = server->load(server->argument);
    if (!config) return false;
    CLEANUP(deny_watch_closep) struct deny_watch *deny_watch = NULL;
    CLEANUP(setup_unrefp)
    struct setup *current = snapshot_acquire(&server->shared.setup, &ignored);
    if (deny_watch_open(config->deny_list, server->deny_watch, &deny_watch, &why) < 0 ||
        setup_new(config, server->shared.tallies->registry, current, &setup, &why) < 0) {
        LOG(LOG_ERROR, "not reloaded", LOG_TEXT("why", why.text));
        return false;
    }
    if (keystore_reconfigure(server->shared.keystore, config) < 0) {
        LOG(LOG_ERROR, "not reloaded", LOG_TEXT("why", "out of memory"));
        setup_unref(setup);
        return false;
    }
    warn_of_restart(server->config, config);
    take_deny_watch(server, TAKE_PTR(deny_watch));
    log_listeners(setup);
    resolver_reconfigure(server->resolver, setup->upstreams);
    snapshot_publish(&server->shared.setup, setup);
    upstreams_retire(current->upstreams, setup->upstreams);
    shut_listeners(current, setup);
    log_configure(config->log.format, config->log.level);
    config_unref(server->config);
    server->config = TAKE_PTR(config);
    wake_workers(server);
    return true;
}

static void on_hangup(struct server *server) {
    bool was_ready = atomic_load(&server->told_ready);
    if (was_ready) notify_reloading();
    LOG(LOG_NOTICE, "reloading");
    bool well = reload(server);
    atomic_store(&server->shared.tallies->reloaded_well, well);
    if (well) {
        atomic_store(&server->shared.tallies->loaded_ms, clock_wall_ms());
        LOG(LOG_NOTICE, "reloaded");
    } else {
        LOG(LOG_ERROR, "reload failed, going on with the old configuration");
    }
    /* systemd must hear the end of a reload, also of one that failed. */
    if (was_ready) notify_ready();
}

/* --- the main thread ----------------------------------------------------------------------- */

/* Do all threads still turn? Whoever is stuck makes systemd restart us. */
static bool all_alive(const struct server *server) {
    int64_t oldest = clock_monotonic_ms() - 10 * (int64_t)WORKER_HEARTBEAT_MS;
    if (keystore_heartbeat(server->shared.keystore) < oldest) return false;
    for (unsigned i = 0; i < server->worker_count; i++)
        if (atomic_load(&server->workers[i].heartbeat_ms) < oldest) return false;
    return true;
}

/* Do one thing for a request. False where there is none to do. */
static bool run_errand(struct server *server) {
    struct errand *errand = errands_next(server->shared.errands);
    if (!errand) return false;
    deny_watch_change(server->deny_watch, &server->shared.denied, errand_work(errand));
    errand_over(errand);
    return true;
}

/* Wait for a signal for up to tick_ms, and do meanwhile what else there is; 0 if none came. */
static int next_signal(struct server *server, const sigset_t *signals, int tick_ms) {
    struct pollfd fds[] = {{server->signal_fd, POLLIN, 0},
                           {deny_watch_fd(server->deny_watch), POLLIN, 0},
                           {errands_fd(server->shared.errands), POLLIN, 0}};
    poll(fds, ARRAY_LEN(fds), tick_ms);
    deny_watch_look(server->deny_watch, &server->shared.denied);
    run_errand(server); /* one, so that no stream of them keeps signals waiting */
    int signal_number = sigtimedwait(signals, NULL, &(struct timespec){0});
    return signal_number > 0 ? signal_number : 0;
}

static bool is_stop(int signal_number) {
    return signal_number == SIGTERM || signal_number == SIGINT;
}

static void serve(struct server *server, const sigset_t *signals) {
    int64_t watchdog_ms = notify_watchdog_interval();
    int signal_number;

    while (!is_stop(signal_number = next_signal(server, signals, TICK_MS))) {
        if (signal_number == SIGHUP) on_hangup(server);
        if (watchdog_ms && all_alive(server)) notify_watchdog();
        log_tell_repeats(false);
    }
}

/* Finish what is in flight; a second signal, or the end of drain_timeout, ends that early. */
static void drain(struct server *server, const sigset_t *signals) {
    int64_t end = clock_monotonic_ms() + server->config->limits.drain_timeout;

    notify_stopping();
    LOG(LOG_NOTICE, "stopping", LOG_NUMBER("connections", census_count(server->shared.census)));
    atomic_store(&server->shared.draining, true);
    wake_workers(server);
    uint64_t ignored;
    CLEANUP(setup_unrefp) struct setup *setup = snapshot_acquire(&server->shared.setup, &ignored);
    shut_listeners(setup, NULL);
    while (census_count(server->shared.census) && clock_monotonic_ms() < end) {
        if (is_stop(next_signal(server, signals, DRAIN_TICK_MS))) break;
        notify_watchdog();
    }
    uint64_t left = census_count(server->shared.census);
    if (left) LOG(LOG_WARNING, "connections cut off at the stop", LOG_NUMBER("connections", left));
}

/* Whoever waits for something to be done gets his answer. */
static void finish_errands(struct server *server) {
    if (!server->shared.errands) return;
    errands_close(server->shared.errands);
    while (run_errand(server)) continue;
    errands_await_answers(server->shared.errands);
}

/* End the threads before anything that they use; works on what start() got done. */
static void finish(struct server *server) {
    finish_errands(server);
    atomic_store(&server->shared.stopping, true);
    wake_workers(server);
    for (unsigned i = 0; i < server->worker_count; i++) worker_join(&server->workers[i]);
    keystore_stop(server->shared.keystore);
    resolver_stop(server->resolver);
    for (unsigned i = 0; i < server->worker_count; i++) worker_release(&server->workers[i]);
    free(server->workers);
    deny_watch_close(server->deny_watch);
    errands_free(server->shared.errands);
    snapshot_done(&server->shared.denied);
    snapshot_done(&server->shared.setup);
    tallies_free(server->shared.tallies);
    if (server->signal_fd >= 0) close(server->signal_fd);
    census_free(server->shared.census);
    config_unref(server->config);
}

int server_run(server_load *load, void *argument, void (*on_ready)(void *)) {
    struct server server = {.load = load, .argument = argument};
    struct err_text why;
    sigset_t signals;

    server.config = load(argument);
    if (!server.config) return EXIT_FAILURE;
    log_configure(server.config->log.format, server.config->log.level);
    block_signals(&signals, &server.signal_fd);
    raise_descriptor_limit(server.config);
    snapshot_init(&server.shared.setup, setup_ref_void, setup_unref_void);
    snapshot_init(&server.shared.denied, deny_list_ref_void, deny_list_unref_void);

    int r = start(&server, &why);
    if (r < 0) {
        LOG(LOG_ERROR, "cannot start", LOG_TEXT("why", why.text));
    } else {
        if (on_ready) on_ready(argument);
        serve(&server, &signals);
        drain(&server, &signals);
    }
    finish(&server);
    log_tell_repeats(true);
    if (r == 0) LOG(LOG_NOTICE, "stopped");
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
