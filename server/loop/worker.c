#include "server/loop/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "server/loop/linger.h"
#include "server/loop/park.h"
#include "server/loop/relay.h"
#include "server/loop/request.h"
#include "server/proxy/probe.h"

/* Connections taken in one go from one listener, so that a flood does not starve the others. */
#define ACCEPTS_MAX 32
/* How long to leave the listeners alone when descriptors have run out: the queue keeps. */
#define DESCRIPTORS_PAUSE_MS 100
/* How often, at most, the same trouble with connections is logged. */
#define TELL_MS 10000
/* Turns without sleep and without an event, after which somebody is taken to be stuck. */
#define IDLE_TURNS 32
/* How long a fresh connection may take to its first request while everything drains. */
#define DRAIN_GRACE_MS 1000
/* What libmicrohttpd needs in its pool besides the head itself: its own notes and the answer. */
#define POOL_EXTRA (16 * 1024)

/* --- connections --------------------------------------------------------------------------- */

static const struct config *config_of(const struct worker *worker) {
    return worker->view->setup->config;
}

static void describe_client(struct conn *conn) {
    const struct sockaddr *address = (const struct sockaddr *)&conn->address;
    const void *bytes = NULL;

    if (address->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    else if (address->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (!bytes || !inet_ntop(address->sa_family, bytes, conn->client, sizeof conn->client))
        strcpy(conn->client, "unix");
}

static void connection_started(struct worker *worker, struct MHD_Connection *connection,
                               void **context) {
    struct conn *conn = calloc(1, sizeof *conn);
    *context = conn;
    if (!conn) return;

    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    conn->worker = worker;
    conn->mhd = connection;
    conn->fd = info->connect_fd;
    conn->since_ms = worker->reactor.now_ms;
    conn->address = *worker->arrival.address;
    describe_client(conn);
    /* As much as libmicrohttpd takes, so that the door can say that it was too much. */
    size_t target_max = config_of(worker)->limits.header + POOL_EXTRA;
    conn->request.raw_target = buf_make(target_max);
    conn->request.path = buf_make(3 * target_max);
    if (worker->arrival.tls) conn->tls = tls_ref(worker->arrival.tls);
    conn->admin = worker->arrival.admin;
    conn->request.head.consumed = worker->arrival.consumed;
    conn->counted_by_address = worker->arrival.counted_by_address;
    worker->arrival.taken = true;
    worker->connections++;
    conn_expect(conn, &worker->heads,
                worker->reactor.now_ms + config_of(worker)->limits.header_timeout);
}

static void connection_closed(struct worker *worker, void **context) {
    struct conn *conn = *context;
    if (!conn) return;
    *context = NULL;
    conn_expect_nothing(conn);
    if (conn->watched) reactor_unwatch(&worker->reactor, conn->fd);
    if (!park_keeps(conn)) {
        if (conn->request.unread_body) linger_begin(worker, conn->fd);
        census_leave(worker->shared->census, (struct sockaddr *)&conn->address,
                     conn->counted_by_address);
    }
    request_done(&conn->request);
    tls_unref(conn->tls);
    free(conn);
    worker->connections--;
}

static void on_connection(void *argument, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_started(argument, connection, context);
    else
        connection_closed(argument, context);
}

/* The certificate for a handshake: the one that was current when the connection came in. */
static int on_handshake(gnutls_session_t session, const gnutls_datum_t *authorities, int count,
                        const gnutls_pk_algorithm_t *algorithms, int algorithms_len,
                        gnutls_pcert_st **chain, unsigned *chain_len, gnutls_privkey_t *key) {
    struct MHD_Connection *connection = gnutls_session_get_ptr(session);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct conn *conn = info ? info->socket_context : NULL;
    (void)authorities;
    (void)count;
    (void)algorithms;
    (void)algorithms_len;

    if (!conn || !conn->tls) return -1;
    *chain = conn->tls->chain;
    *chain_len = conn->tls->chain_len;
    *key = conn->tls->key;
    return 0;
}

/* The target is normalised by us, once; libmicrohttpd must not decode it before. */
static size_t keep_escapes(void *argument, struct MHD_Connection *connection, char *text) {
    (void)argument;
    (void)connection;
    return strlen(text);
}

static void on_library_message(void *argument, const char *format, va_list values) {
    char text[256];
    (void)argument;
    if (!log_enabled(LOG_DEBUG)) return;
    vsnprintf(text, sizeof text, format, values);
    text[strcspn(text, "\n")] = '\0';
    LOG(LOG_DEBUG, "libmicrohttpd", LOG_TEXT("text", text));
}

static struct MHD_Daemon *make_daemon(struct worker *worker, bool tls) {
    const struct config *config = config_of(worker);
    struct MHD_OptionItem tls_options[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(intptr_t)on_handshake},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(intptr_t)TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem no_options[] = {{MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_ALLOW_UPGRADE | MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
                     MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

    /* Turbo: no shutdown() before close(), which would end a connection that is parked. With TLS
     * there would be no closing alert either. */
    flags |= tls ? MHD_USE_TLS : MHD_USE_TURBO;

    /* One option a line, which clang-format does not know as a shape. */
    /* clang-format off */
    return MHD_start_daemon(
        flags, 0, NULL, NULL, request_on_call, worker,
        MHD_OPTION_EXTERNAL_LOGGER, on_library_message, NULL, /* first, by its contract */
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)INT32_MAX, /* the census counts */
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, worker->pool_size,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)((config->limits.idle_timeout + 999) / 1000),
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, worker,
        MHD_OPTION_NOTIFY_COMPLETED, request_on_completed, worker,
        MHD_OPTION_URI_LOG_CALLBACK, request_on_target, worker,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        /* The door judges all that libmicrohttpd would in strict mode, and answers it. */
        MHD_OPTION_STRICT_FOR_CLIENT, 0,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_ARRAY, tls ? tls_options : no_options,
        MHD_OPTION_END);
    /* clang-format on */
}

/* --- what is watched ----------------------------------------------------------------------- */

static bool add_daemon(struct worker *worker, bool tls, struct MHD_Daemon **ret) {
    if (!worker->pool_size)
        worker->pool_size = (size_t)config_of(worker)->limits.header + POOL_EXTRA;
    struct MHD_Daemon *daemon = make_daemon(worker, tls);
    if (!daemon) return false;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info || !reactor_watch(&worker->reactor, info->epoll_fd, &worker->http_source, EPOLLIN)) {
        MHD_stop_daemon(daemon);
        return false;
    }
    *ret = daemon;
    return true;
}

static void stop_accepting(struct worker *worker) {
    for (size_t i = 0; worker->accepting && i < worker->watch_count; i++)
        reactor_unwatch(&worker->reactor, worker->watches[i].listener->fd);
    worker->accepting = false;
    worker->accept_again_ms = 0; /* a moment in the past would keep the loop from sleeping */
}

static void start_accepting(struct worker *worker) {
    if (worker->accepting || atomic_load(&worker->shared->draining)) return;
    worker->accepting = true;
    worker->accept_again_ms = 0;
    for (size_t i = 0; i < worker->watch_count; i++) {
        struct watch *watch = &worker->watches[i];
        /* Exclusive: one new connection wakes one worker, not all. */
        if (!reactor_watch(&worker->reactor, watch->listener->fd, &watch->source,
                           EPOLLIN | EPOLLEXCLUSIVE))
            LOG(LOG_ERROR, "cannot watch a listener", LOG_TEXT("address", watch->listener->address),
                LOG_TEXT("why", strerror(errno)));
    }
}

/* --- accepting ----------------------------------------------------------------------------- */

static void refuse_connection(struct worker *worker, enum census_answer answer, int fd) {
    if (answer == CENSUS_FULL &&
        throttle_take(&worker->tells_full, worker->reactor.now_ms, TELL_MS))
        LOG(LOG_WARNING, "connections refused: limits.connections is reached",
            LOG_NUMBER("connections", config_of(worker)->limits.connections));
    close(fd);
}

static socklen_t address_len(const struct sockaddr_storage *address) {
    switch (address->ss_family) {
    case AF_INET:
        return sizeof(struct sockaddr_in);
    case AF_INET6:
        return sizeof(struct sockaddr_in6);
    default:
        return sizeof *address;
    }
}

void worker_hand_over(struct worker *worker, const struct arrival *arrival) {
    struct MHD_Daemon *daemon = arrival->tls ? worker->secure : worker->plain;
    struct sockaddr *address = (struct sockaddr *)arrival->address;

    worker->arrival = *arrival;
    MHD_add_connection(daemon, arrival->fd, address, address_len(arrival->address));
    if (!worker->arrival.taken)
        census_leave(worker->shared->census, address, arrival->counted_by_address);
}

/* However many clients there are, probes get an answer: a daemon that is merely busy must not be
 * taken for a dead one and started anew. */
#define ADMIN_RESERVE 16

static void add_connection(struct worker *worker, struct watch *watch, int fd,
                           struct sockaddr_storage *address) {
    const struct config_limits *limits = &config_of(worker)->limits;
    struct census *census = worker->shared->census;
    bool counted;

    enum census_answer answer = census_enter(
        census, (struct sockaddr *)address,
        limits->connections + (watch->admin && limits->connections ? ADMIN_RESERVE : 0),
        watch->admin ? 0 : limits->connections_per_address, &counted);
    if (answer != CENSUS_ADMITTED) {
        refuse_connection(worker, answer, fd);
        return;
    }
    if (!watch->admin) tally_connection(worker);
    worker_hand_over(worker, &(struct arrival){.fd = fd,
                                               .address = address,
                                               .tls = watch->tls,
                                               .admin = watch->admin,
                                               .counted_by_address = counted});
}

static void on_listener(struct event_source *source, uint32_t events) {
    struct watch *watch = CONTAINER_OF(source, struct watch, source);
    struct worker *worker = watch->worker;
    (void)events;

    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage address = {0};
        socklen_t len = sizeof address;
        int fd = accept4(watch->listener->fd, (struct sockaddr *)&address, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            add_connection(worker, watch, fd, &address);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            if (throttle_take(&worker->tells_pause, worker->reactor.now_ms, TELL_MS))
                LOG(LOG_WARNING, "not accepting for a moment", LOG_TEXT("why", strerror(errno)));
            stop_accepting(worker);
            worker->accept_again_ms = worker->reactor.now_ms + DESCRIPTORS_PAUSE_MS;
        }
        return;
    }
}

/* --- what others published ----------------------------------------------------------------- */

static void on_wake(struct event_source *source, uint32_t events) {
    struct worker *worker = CONTAINER_OF(source, struct worker, wake_source);
    eventfd_t ignored;
    (void)events;
    eventfd_read(worker->wake_fd, &ignored);
}

/* libmicrohttpd is run in every turn of the loop; its descriptors only have to end the wait. */
static void on_http(struct event_source *source, uint32_t events) {
    (void)source;
    (void)events;
}

static bool wants_tls(const struct setup *setup) {
    for (size_t i = 0; i < setup->listen_count; i++)
        if (setup->listen[i].tls) return true;
    return false;
}

/* Another size means another cache; what was in the old one is verified anew. */
static void size_token_cache(struct worker *worker) {
    const struct setup *setup = worker->view->setup;
    uint64_t in_all = setup->config->token_cache_entries;
    size_t entries = (size_t)((in_all + setup->workers - 1) / setup->workers);

    if (entries == worker->tokens_max) return;
    token_cache_free(worker->aids.cache);
    token_cache_free(worker->aids.expired);
    worker->aids.cache = token_cache_new(entries);
    worker->aids.expired =
        token_cache_new(entries < TOKEN_CACHE_EXPIRED ? entries : TOKEN_CACHE_EXPIRED);
    worker->tokens_max = entries;
}

/*
 * Watch the listeners of the current view instead of those of the one before. Where that fails
 * nothing has changed, and the next turn tries again.
 */
static bool rewatch(struct worker *worker) {
    const struct setup *setup = worker->view->setup;
    struct watch *watches = calloc(setup->listen_count, sizeof *watches);
    if (!watches) return false;

    if (wants_tls(setup) && !worker->secure && !add_daemon(worker, true, &worker->secure)) {
        free(watches);
        return false;
    }
    stop_accepting(worker);
    for (size_t i = 0; i < worker->watch_count; i++) {
        listener_unref(worker->watches[i].listener);
        tls_unref(worker->watches[i].tls);
    }
    free(worker->watches);
    worker->watches = watches;
    worker->watch_count = setup->listen_count;
    for (size_t i = 0; i < setup->listen_count; i++) {
        watches[i].source.ready = on_listener;
        watches[i].worker = worker;
        watches[i].listener = listener_ref(setup->listen[i].listener);
        watches[i].admin = setup->listen[i].admin;
        if (!setup->listen[i].tls) continue;
        watches[i].tls = tls_ref(setup->listen[i].tls);
    }
    worker->watched_generation = worker->view->setup_generation;
    size_token_cache(worker);
    pool_keep_only(&worker->pool, setup->upstreams);
    if (worker->index == 0) {
        probes_stop(worker->probes);
        worker->probes = probes_start(&worker->pool, setup->upstreams);
    }
    start_accepting(worker);
    return true;
}

static void take_news(struct worker *worker) {
    view_update(&worker->view, worker->shared);
    if (worker->view->setup_generation != worker->watched_generation && !rewatch(worker) &&
        throttle_take(&worker->tells_pause, worker->reactor.now_ms, TELL_MS))
        LOG(LOG_ERROR, "a worker could not take the new listeners, trying again",
            LOG_NUMBER("worker", worker->index));
    if (worker->waiting) request_resume_waiting(worker, false);
}

/* --- time ---------------------------------------------------------------------------------- */

static void cut_expired(struct worker *worker, struct deadline_list *list, const char *what) {
    while (list->head && list->head->deadline_ms <= worker->reactor.now_ms) {
        struct conn *conn = list->head;
        LOG(LOG_DEBUG, what, LOG_TEXT("client", conn->client));
        conn_expect_nothing(conn);
        conn_cut(conn);
    }
}

static void cut_all(struct deadline_list *list) {
    while (list->head) {
        struct conn *conn = list->head;
        conn_expect_nothing(conn);
        conn_cut(conn);
    }
}

static void drain(struct worker *worker) {
    struct conn *next;

    stop_accepting(worker);
    /* Connections that rest between requests have nothing to lose, */
    cut_all(&worker->idle);
    cut_all(&worker->staying);
    park_expire(worker, true);
    /* nor have those that were opened a while ago and never used. */
    for (struct conn *conn = worker->heads.head; conn; conn = next) {
        next = conn->next;
        if (conn->request.began_ms || worker->reactor.now_ms < conn->since_ms + DRAIN_GRACE_MS)
            continue;
        conn_expect_nothing(conn);
        conn_cut(conn);
    }
}

static void soonest(int64_t *wait, int64_t deadline_ms, int64_t now_ms) {
    int64_t left = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    if (left < *wait) *wait = left;
}

static void soonest_of_daemon(int64_t *wait, struct MHD_Daemon *daemon) {
    MHD_UNSIGNED_LONG_LONG left;
    if (daemon && MHD_get_timeout(daemon, &left) == MHD_YES && left < (uint64_t)*wait)
        *wait = (int64_t)left;
}

/* How long the loop may sleep. */
static int64_t wait_time(struct worker *worker) {
    int64_t wait = WORKER_HEARTBEAT_MS / 2;

    soonest_of_daemon(&wait, worker->plain);
    soonest_of_daemon(&wait, worker->secure);
    if (worker->heads.head) soonest(&wait, worker->heads.head->deadline_ms, worker->reactor.now_ms);
    if (worker->staying.head)
        soonest(&wait, worker->staying.head->deadline_ms, worker->reactor.now_ms);
    soonest(&wait, park_next_ms(worker), worker->reactor.now_ms);
    if (worker->lingering) soonest(&wait, worker->reactor.now_ms + 100, worker->reactor.now_ms);
    if (worker->accept_again_ms) soonest(&wait, worker->accept_again_ms, worker->reactor.now_ms);
    /* Waiting requests are woken by the keystore; this bounds their wait if it never does. */
    if (worker->waiting) soonest(&wait, worker->reactor.now_ms + 50, worker->reactor.now_ms);
    return wait;
}

/* How often the token cache's counters are handed on. */
#define TALLY_MS 200

/* --- the loop ------------------------------------------------------------------------------ */

static bool is_finished(const struct worker *worker) {
    if (atomic_load(&worker->shared->stopping)) return true;
    return atomic_load(&worker->shared->draining) && worker->connections == 0 &&
           !worker->parked.head;
}

static void turn(struct worker *worker) {
    int64_t wait = wait_time(worker);
    int count = reactor_turn(&worker->reactor, wait);
    worker->idle_turns = wait == 0 && count == 0 ? worker->idle_turns + 1 : 0;
    if (worker->idle_turns && worker->idle_turns % IDLE_TURNS == 0) relay_cut_stuck(worker);
    atomic_store_explicit(&worker->heartbeat_ms, worker->reactor.now_ms, memory_order_relaxed);
    take_news(worker);
    if (worker->reactor.now_ms - worker->tallied_ms >= TALLY_MS) {
        worker->tallied_ms = worker->reactor.now_ms;
        tally_cache(worker);
    }
    if (atomic_load(&worker->shared->draining)) drain(worker);
    if (worker->accept_again_ms && worker->reactor.now_ms >= worker->accept_again_ms)
        start_accepting(worker);
    cut_expired(worker, &worker->heads, "cut off: the request head did not arrive in time");
    cut_expired(worker, &worker->idle, "cut off: no request arrived in time");
    cut_expired(worker, &worker->staying, "cut off: no request arrived in time");
    linger_expire(worker, false);
    park_expire(worker, false);
    park_resting(worker);
    MHD_run(worker->plain);
    park_settle(worker);
    if (worker->secure) MHD_run(worker->secure);
    reactor_run_deferred(&worker->reactor);
    log_batch_flush();
}

/* Whatever waits in libmicrohttpd goes on, and meets its end. */
static void resume_all(struct worker *worker) {
    request_resume_waiting(worker, true);
    relay_stop_all(worker);
}

void worker_release(struct worker *worker) {
    stop_accepting(worker);
    resume_all(worker);
    if (worker->plain) MHD_stop_daemon(worker->plain);
    if (worker->secure) MHD_stop_daemon(worker->secure);
    linger_expire(worker, true);
    park_expire(worker, true);
    probes_stop(worker->probes);
    pool_clear(&worker->pool);
    reactor_run_deferred(&worker->reactor);
    relay_free_spares(worker);
    field_list_done(&worker->fields);
    token_cache_free(worker->aids.cache);
    token_cache_free(worker->aids.expired);
    verifier_free(worker->aids.verifier);
    for (size_t i = 0; i < worker->watch_count; i++) {
        listener_unref(worker->watches[i].listener);
        tls_unref(worker->watches[i].tls);
    }
    free(worker->watches);
    view_unpin(worker->view);
    if (worker->wake_fd >= 0) close(worker->wake_fd);
    reactor_done(&worker->reactor);
}

static void *run(void *argument) {
    struct worker *worker = argument;

    log_batch_begin();
    while (!is_finished(worker)) turn(worker);
    /* Those that wait for keys get their answer; then all that is left is closed. */
    resume_all(worker);
    MHD_run(worker->plain);
    if (worker->secure) MHD_run(worker->secure);
    log_batch_end();
    return NULL;
}

static bool prepare(struct worker *worker) {
    bool ready = reactor_init(&worker->reactor);
    pool_init(&worker->pool, &worker->reactor, worker->index);
    worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    worker->aids.verifier = verifier_new();
    worker->wake_source.ready = on_wake;
    worker->http_source.ready = on_http;
    atomic_store(&worker->heartbeat_ms, worker->reactor.now_ms);
    return ready && worker->wake_fd >= 0 && worker->aids.verifier &&
           reactor_watch(&worker->reactor, worker->wake_fd, &worker->wake_source, EPOLLIN) &&
           view_update(&worker->view, worker->shared) &&
           add_daemon(worker, false, &worker->plain) && rewatch(worker);
}

int worker_start(struct worker *worker, unsigned index, struct shared *shared,
                 struct err_text *err) {
    *worker = (struct worker){.index = index, .shared = shared, .wake_fd = -1};
    worker->reactor.epoll_fd = -1;
    if (prepare(worker) && pthread_create(&worker->thread, NULL, run, worker) == 0) return 0;

    int why = errno;
    worker_release(worker);
    return err_set(err, ERR_SYSTEM, "cannot start a worker: %s", strerror(why));
}

void worker_wake(struct worker *worker) {
    eventfd_write(worker->wake_fd, 1);
}

void worker_join(struct worker *worker) {
    pthread_join(worker->thread, NULL);
}
