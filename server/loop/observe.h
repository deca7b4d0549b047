/*
 * observe: what the admin listener tells about the running daemon: health, metrics, status, and why
 * a token is let through or refused. Written by the worker that is asked, of what all share.
 */
#ifndef SERVER_LOOP_OBSERVE_H
#define SERVER_LOOP_OBSERVE_H

#include "server/answer/admin.h"
#include "server/loop/worker.h"

/* What admin_answer() asks; argument is the conn whose request it is, with its view pinned. */
extern const struct admin_source observe_source;

#endif
