/*
 * relay: a request that was allowed, on its way to an upstream and back: libmicrohttpd's side of a
 * transfer. libmicrohttpd reads the request and writes the response; while there is nothing it
 * could do, the connection is suspended.
 */
#ifndef SERVER_LOOP_RELAY_H
#define SERVER_LOOP_RELAY_H

#include "server/loop/worker.h"
#include "server/policy/decision.h"

struct relay;

/*
 * Send the request that conn is about on to the upstream of the decision's route. Nothing happens
 * unless the decision allows it. The principal in it must live as long as the request. What comes
 * back, or why nothing does, is answered by relay_on_call(). Returns libmicrohttpd's verdict for
 * the call at hand.
 */
enum MHD_Result relay_begin(struct conn *conn, const struct decision *decision) MUST_CHECK;

/* libmicrohttpd's further calls for the same request. */
enum MHD_Result relay_on_call(struct conn *conn, const char *upload, size_t *upload_len);

/* The request is over, well or not. Frees the relay, at the end of the turn. */
void relay_end(struct conn *conn, enum MHD_RequestTerminationCode code);

/* The client has gone while its request was with the upstream. */
void relay_client_gone(struct conn *conn);

/*
 * The loop turns without sleeping and without anything happening: find the requests whose chunk
 * framing fills libmicrohttpd's buffer. It calls nobody then, reads no more, and says that it is
 * ready to go on, for as long as the client likes. They are refused.
 */
void relay_cut_stuck(struct worker *worker);

/* Free what was kept for later requests. */
void relay_free_spares(struct worker *worker);

/* Cut everything off that is under way in this worker. */
void relay_stop_all(struct worker *worker);

#endif
