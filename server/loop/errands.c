#include "server/loop/errands.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/loop/reply.h"

/* More at once are refused: each takes a descriptor, and a turn of the disk. */
#define ERRANDS_MAX 64

struct errands {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct errand *first; /* not taken yet; the oldest first */
    struct errand **last;
    unsigned count; /* sent and not answered */
    bool closed;
    int fd; /* eventfd: there may be some */
};

struct errand {
    struct errands *errands;
    struct errand *next;
    struct admin_errand work;
    struct conn *conn; /* suspended, so it stays */
    int fd;            /* eventfd, watched by the worker: it is over */
    struct event_source source;
    struct deferred burial;
};

struct errands *errands_new(void) {
    struct errands *errands = calloc(1, sizeof *errands);
    if (!errands) return NULL;
    errands->last = &errands->first;
    errands->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (errands->fd < 0) {
        free(errands);
        return NULL;
    }
    pthread_mutex_init(&errands->lock, NULL);
    pthread_cond_init(&errands->answered, NULL);
    return errands;
}

void errands_free(struct errands *errands) {
    if (!errands) return;
    close(errands->fd);
    pthread_cond_destroy(&errands->answered);
    pthread_mutex_destroy(&errands->lock);
    free(errands);
}

/* --- a worker's side ----------------------------------------------------------------------- */

static void bury(struct deferred *deferred) {
    struct errand *errand = CONTAINER_OF(deferred, struct errand, burial);
    admin_errand_done(&errand->work);
    close(errand->fd);
    free(errand);
}

/* libmicrohttpd takes answers for suspended connections at any moment, and sends them then. */
static void answer(struct errand *errand) {
    struct conn *conn = errand->conn;
    struct answer answer;

    enum MHD_Result result = admin_errand_answer(&errand->work, &answer, &conn->request.refusal)
                                 ? reply_send(conn, &answer)
                                 : reply_refuse(conn, NULL);
    if (result != MHD_YES) conn_cut(conn);
    MHD_resume_connection(conn->mhd);
}

static void on_over(struct event_source *source, uint32_t events) {
    struct errand *errand = CONTAINER_OF(source, struct errand, source);
    struct errands *errands = errand->errands;
    struct reactor *reactor = &errand->conn->worker->reactor;
    (void)events;

    reactor_unwatch(reactor, errand->fd);
    pthread_mutex_lock(&errands->lock); /* what the main thread wrote is seen from here on */
    pthread_mutex_unlock(&errands->lock);
    answer(errand);
    reactor_defer(reactor, &errand->burial);

    pthread_mutex_lock(&errands->lock);
    errands->count--;
    pthread_cond_signal(&errands->answered);
    pthread_mutex_unlock(&errands->lock);
}

static bool enqueue(struct errands *errands, struct errand *errand) {
    pthread_mutex_lock(&errands->lock);
    bool taken = !errands->closed && errands->count < ERRANDS_MAX;
    if (taken) {
        errands->count++;
        *errands->last = errand;
        errands->last = &errand->next;
    }
    pthread_mutex_unlock(&errands->lock);
    return taken;
}

bool errand_send(struct errands *errands, struct conn *conn, const struct admin_errand *work) {
    struct reactor *reactor = &conn->worker->reactor;
    struct errand *errand = calloc(1, sizeof *errand);
    if (!errand) return false;

    *errand = (struct errand){.errands = errands,
                              .work = *work,
                              .conn = conn,
                              .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                              .source = {.ready = on_over},
                              .burial = {.run = bury}};
    bool watched = errand->fd >= 0 && reactor_watch(reactor, errand->fd, &errand->source, EPOLLIN);
    if (watched && enqueue(errands, errand)) {
        MHD_suspend_connection(conn->mhd);
        eventfd_write(errands->fd, 1);
        return true;
    }
    if (watched) reactor_unwatch(reactor, errand->fd);
    if (errand->fd >= 0) close(errand->fd);
    free(errand);
    return false;
}

/* --- the main thread's side ---------------------------------------------------------------- */

int errands_fd(const struct errands *errands) {
    return errands->fd;
}

struct errand *errands_next(struct errands *errands) {
    eventfd_t ignored;

    pthread_mutex_lock(&errands->lock);
    struct errand *errand = errands->first;
    if (errand) errands->first = errand->next;
    if (!errands->first) errands->last = &errands->first;
    if (!errand) eventfd_read(errands->fd, &ignored);
    pthread_mutex_unlock(&errands->lock);
    return errand;
}

struct admin_errand *errand_work(struct errand *errand) {
    return &errand->work;
}

void errand_over(struct errand *errand) {
    struct errands *errands = errand->errands;
    /* Under the lock, for the worker frees the errand, and its descriptor, as soon as it sees this.
     */
    pthread_mutex_lock(&errands->lock);
    eventfd_write(errand->fd, 1);
    pthread_mutex_unlock(&errands->lock);
}

void errands_close(struct errands *errands) {
    pthread_mutex_lock(&errands->lock);
    errands->closed = true;
    pthread_mutex_unlock(&errands->lock);
}

void errands_await_answers(struct errands *errands) {
    pthread_mutex_lock(&errands->lock);
    while (errands->count) pthread_cond_wait(&errands->answered, &errands->lock);
    pthread_mutex_unlock(&errands->lock);
}
