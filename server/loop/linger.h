/*
 * linger: the last moments of a connection whose client still sends a body that nobody will read.
 *
 * Closing it at once would make the kernel answer those bytes with a reset, which can destroy the
 * refusal on its way to the client (RFC 9112 section 9.6). So the bytes are read and dropped, until
 * the client has closed or its time is up.
 */
#ifndef SERVER_LOOP_LINGER_H
#define SERVER_LOOP_LINGER_H

#include "server/loop/worker.h"

/* Sockets that may linger at once, in each worker. */
#define LINGERING_MAX 64

/*
 * Take over a socket that has sent its answer and is about to be closed under this number: it is
 * duplicated. Does nothing where too many linger already.
 */
void linger_begin(struct worker *worker, int fd);

/* Close those whose time is up; all: every one of them. */
void linger_expire(struct worker *worker, bool all);

#endif
