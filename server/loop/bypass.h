/*
 * bypass: bytes to a client past libmicrohttpd, which sends nothing but whole responses to whole
 * requests: interim responses, and answers to a request whose body is still coming.
 */
#ifndef SERVER_LOOP_BYPASS_H
#define SERVER_LOOP_BYPASS_H

#include "server/answer/answer.h"
#include "server/loop/conn.h"

#define BYPASS_MAX (96 * 1024)

/*
 * Send all of bytes at once, while libmicrohttpd has nothing of its own to send. False where the
 * socket does not take them all: the connection must be closed then.
 */
bool bypass_send(struct conn *conn, struct span bytes) MUST_CHECK;

/* The status line. */
void bypass_add_status(struct buf *out, unsigned status);

/* An answer of our own, whole, as respond() has it, after which the connection is closed. */
void bypass_add_answer(struct buf *out, const struct answer *answer);

#endif
