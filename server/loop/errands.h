/*
 * errands: what requests want done that may block. The main thread does it, one after the other,
 * while the request's connection is suspended and its worker serves others.
 */
#ifndef SERVER_LOOP_ERRANDS_H
#define SERVER_LOOP_ERRANDS_H

#include "server/answer/admin.h"

struct conn;
struct errand;
struct errands;

/* NULL where memory or descriptors are lacking. Free it when no worker is left; NULL is fine. */
struct errands *errands_new(void);
void errands_free(struct errands *errands);

/*
 * The worker of conn, in the handler of its request: have work done, which becomes the errand's,
 * and answer the request when it is. The connection is suspended until then. False where it cannot
 * be had: too many are on their way, the server stops, or memory or descriptors are lacking; then
 * work is still the caller's.
 */
bool errand_send(struct errands *errands, struct conn *conn,
                 const struct admin_errand *work) MUST_CHECK;

/* Main thread: readable where errands may be waiting. */
int errands_fd(const struct errands *errands);

/* Main thread: the oldest that nobody has taken, or NULL; its work; and: it is over, tell. */
struct errand *errands_next(struct errands *errands);
struct admin_errand *errand_work(struct errand *errand);
void errand_over(struct errand *errand);

/*
 * Main thread, before workers are told to end: take no more errands; and, when those that were
 * taken are over, wait until each worker has answered its requests: libmicrohttpd must not be
 * stopped while a connection is suspended.
 */
void errands_close(struct errands *errands);
void errands_await_answers(struct errands *errands);

#endif
