/*
 * park: connections that rest between requests, outside of libmicrohttpd.
 *
 * libmicrohttpd writes over the whole pool of a connection after each request, so that one that was
 * used once holds all of its memory, tens of KiB, for as long as it rests. A parked one is a
 * descriptor, an address and a moment; libmicrohttpd gets it anew with the client's next byte.
 *
 * TLS connections stay: their session lives in libmicrohttpd. So do those of unix sockets, and
 * those that sent a body in chunks, for nobody can tell whether all that came from them was used.
 */
#ifndef SERVER_LOOP_PARK_H
#define SERVER_LOOP_PARK_H

#include "server/loop/worker.h"

/*
 * Two calls around MHD_run(). Before: take connections that have rested for long enough, a bounded
 * number in one go, and make libmicrohttpd let go of them. After: those that it did not let go of
 * stay where they are.
 */
void park_resting(struct worker *worker);
void park_settle(struct worker *worker);

/* conn is being closed by libmicrohttpd. True: it is parked, and counts as a connection still. */
bool park_keeps(struct conn *conn);

/* Close those that have rested for limits.idle_timeout; all: every one of them. */
void park_expire(struct worker *worker, bool all);

/* Monotonic: when there is something to do next for the two before; INT64_MAX: never. */
int64_t park_next_ms(const struct worker *worker);

#endif
