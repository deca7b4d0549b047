#include "server/loop/linger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define LINGER_MS 2000
/* Dropped in one go, so that a fast sender does not hold up the loop. */
#define ROUND_BYTES (256 * 1024)

struct lingerer {
    struct event_source source;
    struct worker *worker;
    int fd;
    int64_t deadline_ms;
    struct lingerer *next;
    struct lingerer *prev;
};

static void end(struct worker *worker, struct lingerer *linger) {
    if (linger->prev)
        linger->prev->next = linger->next;
    else
        worker->lingering = linger->next;
    if (linger->next)
        linger->next->prev = linger->prev;
    else
        worker->lingering_last = linger->prev;
    worker->lingering_count--;
    close(linger->fd);
    free(linger);
}

static void on_bytes(struct event_source *source, uint32_t events) {
    struct lingerer *linger = CONTAINER_OF(source, struct lingerer, source);
    (void)events;
    char dropped[16 * 1024];

    for (size_t total = 0; total < ROUND_BYTES;) {
        ssize_t n = recv(linger->fd, dropped, sizeof dropped, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            end(linger->worker, linger);
            return;
        }
        total += (size_t)n;
    }
}

void linger_begin(struct worker *worker, int fd) {
    if (worker->lingering_count >= LINGERING_MAX) return;
    struct lingerer *linger = calloc(1, sizeof *linger);
    if (!linger) return;

    linger->source.ready = on_bytes;
    linger->worker = worker;
    linger->deadline_ms = worker->reactor.now_ms + LINGER_MS;
    linger->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (linger->fd < 0 ||
        !reactor_watch(&worker->reactor, linger->fd, &linger->source, EPOLLIN | EPOLLRDHUP)) {
        if (linger->fd >= 0) close(linger->fd);
        free(linger);
        return;
    }
    shutdown(linger->fd, SHUT_WR);
    linger->prev = worker->lingering_last;
    if (worker->lingering_last)
        worker->lingering_last->next = linger;
    else
        worker->lingering = linger;
    worker->lingering_last = linger;
    worker->lingering_count++;
}

void linger_expire(struct worker *worker, bool all) {
    while (worker->lingering && (all || worker->lingering->deadline_ms <= worker->reactor.now_ms))
        end(worker, worker->lingering);
}
