#include "tests/support/issuer.h"

#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/support/certificate.h"
#include "tests/support/scratch.h"

#define PATHS_MAX 32
#define REQUEST_MAX 16384

struct path {
    char *name;
    struct issuer_behaviour behaviour; /* owns headers and body; both NULL for a 404 */
    bool set;
    int hits;
};

struct connection {
    struct issuer *issuer;
    pthread_t thread;
    int fd;
    SSL *ssl; /* NULL: plain */
    bool done;
    struct connection *next;
};

struct issuer {
    pthread_mutex_t lock; /* guards all below it */
    pthread_cond_t changed;
    struct path paths[PATHS_MAX];
    int path_count;
    struct connection *connections;
    int connection_count; /* ever */
    bool down;

    enum issuer_tls tls;
    SSL_CTX *context; /* NULL: plain */
    char *url;
    int port;
    int listener;
    pthread_t acceptor;
};

/* --- bytes in and out: plain or TLS, false on any failure ------------------------------------ */

static ssize_t receive(struct connection *c, char *bytes, size_t size) {
    if (c->ssl) return SSL_read(c->ssl, bytes, (int)size);
    return recv(c->fd, bytes, size, 0);
}

static bool transmit(struct connection *c, struct span bytes) {
    while (bytes.len > 0) {
        ssize_t n = c->ssl ? SSL_write(c->ssl, bytes.ptr, (int)bytes.len)
                           : send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0) return false;
        bytes = span_from(bytes, (size_t)n);
    }
    return true;
}

/* Closing with unread data or with this option set sends a reset instead of an end. */
static void close_with_reset(int fd) {
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
}

static struct timespec deadline_in(int ms) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
    return at;
}

/* Wait that long, but no longer than the issuer is up. False when it went down. */
static bool pause_while_up(struct issuer *issuer, int ms) {
    struct timespec until = deadline_in(ms);
    pthread_mutex_lock(&issuer->lock);
    while (!issuer->down && pthread_cond_timedwait(&issuer->changed, &issuer->lock, &until) == 0) {
    }
    bool up = !issuer->down;
    pthread_mutex_unlock(&issuer->lock);
    return up;
}

/* --- behaviours ------------------------------------------------------------------------------ */

static struct path *path_of(struct issuer *issuer, struct span name) {
    for (int i = 0; i < issuer->path_count; i++)
        if (span_equal_text(name, issuer->paths[i].name)) return &issuer->paths[i];
    if (issuer->path_count == PATHS_MAX) abort();
    struct path *path = &issuer->paths[issuer->path_count++];
    path->name = strndup(name.ptr, name.len);
    return path;
}

static struct span copy(struct span bytes) {
    if (bytes.len == 0) return SPAN_NONE;
    char *memory = malloc(bytes.len);
    if (!memory) abort();
    memcpy(memory, bytes.ptr, bytes.len);
    return (struct span){memory, bytes.len};
}

static struct issuer_behaviour behaviour_copy(const struct issuer_behaviour *behaviour) {
    struct issuer_behaviour own = *behaviour;
    own.body = copy(behaviour->body);
    own.headers = behaviour->headers ? strdup(behaviour->headers) : NULL;
    return own;
}

static void behaviour_done(struct issuer_behaviour *behaviour) {
    free((void *)(uintptr_t)behaviour->body.ptr);
    free((void *)(uintptr_t)behaviour->headers);
}

/* The whole answer but for an endless one. The caller frees it. */
static char *answer_text(const struct issuer_behaviour *b, size_t *ret_len) {
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_len);
    if (!out) abort();
    fprintf(out, "HTTP/1.1 %d Scripted\r\n%s", b->status ? b->status : 200,
            b->headers ? b->headers : "Content-Type: application/json\r\n");
    if (b->act == ISSUER_ENDLESS)
        fputs("Transfer-Encoding: chunked\r\n\r\n", out);
    else
        fprintf(out, "Content-Length: %zu\r\n\r\n",
                b->body.len + (b->act == ISSUER_TRUNCATE ? 100 : 0));
    if (b->act != ISSUER_ENDLESS && b->body.len > 0) fwrite(b->body.ptr, 1, b->body.len, out);
    fclose(out);
    return text;
}

static bool drip(struct connection *c, struct span answer, int interval_ms) {
    for (; answer.len > 0; answer = span_from(answer, 1))
        if (!transmit(c, span_until(answer, 1)) || !pause_while_up(c->issuer, interval_ms))
            return false;
    return true;
}

static void send_without_end(struct connection *c, struct span answer, struct span body) {
    char chunk[16384], size[32];
    bool fine = transmit(c, answer);
    if (fine && body.len > 0) {
        snprintf(size, sizeof size, "%zx\r\n", body.len);
        fine = transmit(c, span_of(size)) && transmit(c, body) && transmit(c, SPAN_LITERAL("\r\n"));
    }
    memset(chunk, ' ', sizeof chunk);
    while (fine)
        fine = transmit(c, SPAN_LITERAL("4000\r\n")) &&
               transmit(c, (struct span){chunk, sizeof chunk}) && transmit(c, SPAN_LITERAL("\r\n"));
}

/* Act on one request. False when the connection is to be closed. */
static bool act(struct connection *c, const struct issuer_behaviour *b) {
    char rest[256];
    size_t len = 0;
    bool stay = false;

    if (b->act == ISSUER_CLOSE) return false;
    if (b->act == ISSUER_RESET) {
        close_with_reset(c->fd);
        return false;
    }
    if (b->act == ISSUER_HANG) {
        while (receive(c, rest, sizeof rest) > 0) {
        }
        return false;
    }
    if (b->act == ISSUER_RAW) {
        transmit(c, b->body);
        return false;
    }
    char *text = answer_text(b, &len);
    struct span answer = {text, len};
    if (b->act == ISSUER_DRIP)
        stay = drip(c, answer, b->interval_ms);
    else if (b->act == ISSUER_ENDLESS)
        send_without_end(c, answer, b->body);
    else if (b->interval_ms == 0 || pause_while_up(c->issuer, b->interval_ms))
        stay = transmit(c, answer) && b->act == ISSUER_ANSWER;
    free(text);
    return stay;
}

/* --- one connection -------------------------------------------------------------------------- */

/* Read up to the empty line that ends a request without body. */
static bool read_request(struct connection *c, char request[REQUEST_MAX]) {
    for (size_t len = 0; len < REQUEST_MAX - 1; len++) {
        if (receive(c, request + len, 1) != 1) return false;
        request[len + 1] = '\0';
        if (len >= 3 && memcmp(request + len - 3, "\r\n\r\n", 4) == 0) return true;
    }
    return false;
}

static struct issuer_behaviour take_behaviour(struct issuer *issuer, const char *request) {
    const char *target = strchr(request, ' ');
    struct span name = span_of(target ? target + 1 : "");
    name = span_until(name, strcspn(name.ptr, " ?\r\n"));
    pthread_mutex_lock(&issuer->lock);
    struct path *path = path_of(issuer, name);
    path->hits++;
    struct issuer_behaviour own = {.status = 404};
    if (path->set) own = behaviour_copy(&path->behaviour);
    pthread_cond_broadcast(&issuer->changed);
    pthread_mutex_unlock(&issuer->lock);
    return own;
}

/* False where the handshake failed. */
static bool secure(struct connection *c) {
    char byte;
    if (c->issuer->tls == ISSUER_TLS_RESET) {
        while (recv(c->fd, &byte, 1, 0) == 1 && byte != '\x01') {
        } /* into the ClientHello */
        close_with_reset(c->fd);
        return false;
    }
    if (!c->issuer->context) return true;
    c->ssl = SSL_new(c->issuer->context);
    return c->ssl && SSL_set_fd(c->ssl, c->fd) == 1 && SSL_accept(c->ssl) == 1;
}

static void *serve(void *argument) {
    struct connection *c = argument;
    char request[REQUEST_MAX];

    for (bool stay = secure(c); stay && read_request(c, request);) {
        struct issuer_behaviour behaviour = take_behaviour(c->issuer, request);
        stay = act(c, &behaviour);
        behaviour_done(&behaviour);
    }
    SSL_free(c->ssl);
    pthread_mutex_lock(&c->issuer->lock);
    close(c->fd);
    c->done = true;
    pthread_mutex_unlock(&c->issuer->lock);
    return NULL;
}

/* --- all connections ------------------------------------------------------------------------- */

/* Join the threads that are done, or all of them. */
static void reap(struct issuer *issuer, bool all) {
    struct connection **link = &issuer->connections;
    while (*link) {
        struct connection *c = *link;
        pthread_mutex_lock(&issuer->lock);
        bool done = c->done;
        if (all && !done) shutdown(c->fd, SHUT_RDWR);
        pthread_mutex_unlock(&issuer->lock);
        if (!all && !done) {
            link = &c->next;
            continue;
        }
        pthread_join(c->thread, NULL);
        *link = c->next;
        free(c);
    }
}

static void *accept_all(void *argument) {
    struct issuer *issuer = argument;
    for (int fd; (fd = accept4(issuer->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        reap(issuer, false);
        struct connection *c = calloc(1, sizeof *c);
        if (!c) abort();
        *c = (struct connection){.issuer = issuer, .fd = fd, .next = issuer->connections};
        pthread_mutex_lock(&issuer->lock);
        issuer->connection_count++;
        pthread_mutex_unlock(&issuer->lock);
        if (pthread_create(&c->thread, NULL, serve, c) != 0) abort();
        issuer->connections = c;
    }
    return NULL;
}

/* A closed peer is a failed write here, not a signal (SSL_write knows no MSG_NOSIGNAL). */
static void start_accepting(struct issuer *issuer) {
    sigset_t pipe_signal, before;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)issuer->port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;

    issuer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(issuer->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    ck_assert_msg(bind(issuer->listener, (struct sockaddr *)&address, len) == 0 &&
                      listen(issuer->listener, 128) == 0 &&
                      getsockname(issuer->listener, (struct sockaddr *)&address, &len) == 0,
                  "cannot listen on port %d", issuer->port);
    issuer->port = ntohs(address.sin_port);
    issuer->down = false;

    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ck_assert_int_eq(pthread_create(&issuer->acceptor, NULL, accept_all, issuer), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* --- for the test ---------------------------------------------------------------------------- */

struct issuer *issuer_start(enum issuer_tls tls) {
    static const enum certificate_kind kinds[] = {
        [ISSUER_TLS] = CERTIFICATE_GOOD,
        [ISSUER_TLS_EXPIRED] = CERTIFICATE_EXPIRED,
        [ISSUER_TLS_WRONG_NAME] = CERTIFICATE_WRONG_NAME,
        [ISSUER_TLS_SELF_SIGNED] = CERTIFICATE_SELF_SIGNED,
        [ISSUER_TLS_OLD] = CERTIFICATE_GOOD,
    };
    struct issuer *issuer = calloc(1, sizeof *issuer);
    ck_assert_ptr_nonnull(issuer);
    issuer->tls = tls;
    pthread_mutex_init(&issuer->lock, NULL);
    pthread_cond_init(&issuer->changed, NULL);
    if (tls != ISSUER_PLAIN && tls != ISSUER_TLS_RESET)
        issuer->context = certificate_context(kinds[tls], tls == ISSUER_TLS_OLD);
    start_accepting(issuer);

    issuer->url =
        scratch_text("http%s://127.0.0.1:%d", tls == ISSUER_PLAIN ? "" : "s", issuer->port);
    char *discovery = scratch_text("{\"issuer\":\"%s\",\"jwks_uri\":\"%s%s\"}", issuer->url,
                                   issuer->url, ISSUER_JWKS);
    issuer_answer(issuer, ISSUER_DISCOVERY, 200, discovery);
    free(discovery);
    return issuer;
}

void issuer_down(struct issuer *issuer) {
    if (issuer->down) return;
    pthread_mutex_lock(&issuer->lock);
    issuer->down = true;
    pthread_cond_broadcast(&issuer->changed);
    pthread_mutex_unlock(&issuer->lock);
    shutdown(issuer->listener, SHUT_RDWR); /* wakes the acceptor, whose accept then fails */
    pthread_join(issuer->acceptor, NULL);
    close(issuer->listener);
    reap(issuer, true);
}

void issuer_up(struct issuer *issuer) {
    if (issuer->down) start_accepting(issuer);
}

void issuer_stop(struct issuer *issuer) {
    if (!issuer) return;
    issuer_down(issuer);
    for (int i = 0; i < issuer->path_count; i++) {
        behaviour_done(&issuer->paths[i].behaviour);
        free(issuer->paths[i].name);
    }
    SSL_CTX_free(issuer->context);
    pthread_cond_destroy(&issuer->changed);
    pthread_mutex_destroy(&issuer->lock);
    free(issuer->url);
    free(issuer);
}

const char *issuer_url(const struct issuer *issuer) {
    return issuer->url;
}

int issuer_port(const struct issuer *issuer) {
    return issuer->port;
}

void issuer_set(struct issuer *issuer, const char *path, const struct issuer_behaviour *behaviour) {
    pthread_mutex_lock(&issuer->lock);
    struct path *entry = path_of(issuer, span_of(path));
    behaviour_done(&entry->behaviour);
    entry->behaviour = behaviour_copy(behaviour);
    entry->set = true;
    pthread_mutex_unlock(&issuer->lock);
}

void issuer_answer(struct issuer *issuer, const char *path, int status, const char *body) {
    issuer_set(issuer, path, &(struct issuer_behaviour){.status = status, .body = span_of(body)});
}

void issuer_serve_keys(struct issuer *issuer, const char *jwks) {
    issuer_answer(issuer, ISSUER_JWKS, 200, jwks);
}

int issuer_hits(struct issuer *issuer, const char *path) {
    pthread_mutex_lock(&issuer->lock);
    int hits = path_of(issuer, span_of(path))->hits;
    pthread_mutex_unlock(&issuer->lock);
    return hits;
}

int issuer_connections(struct issuer *issuer) {
    pthread_mutex_lock(&issuer->lock);
    int count = issuer->connection_count;
    pthread_mutex_unlock(&issuer->lock);
    return count;
}

bool issuer_wait_hits(struct issuer *issuer, const char *path, int count, int within_ms) {
    struct timespec until = deadline_in(within_ms);
    int failed = 0;
    pthread_mutex_lock(&issuer->lock);
    while (path_of(issuer, span_of(path))->hits < count && failed == 0)
        failed = pthread_cond_timedwait(&issuer->changed, &issuer->lock, &until);
    bool reached = path_of(issuer, span_of(path))->hits >= count;
    pthread_mutex_unlock(&issuer->lock);
    return reached;
}
