/*
 * reply: what a request is answered with, and the line about it in the log.
 */
#ifndef SERVER_LOOP_REPLY_H
#define SERVER_LOOP_REPLY_H

#include "server/answer/rejection.h"
#include "server/loop/worker.h"

/* Queue the answer for the request that conn is about, log it, and free it. Returns libmicrohttpd's
 * verdict. */
enum MHD_Result reply_send(struct conn *conn, struct answer *answer);

/*
 * The same for an answer of status 200 that depends on nothing but who is calling, the
 * configuration and key, an address in that configuration or in our own tables: it is kept with the
 * principal until then (see struct memo), for reply_again(). Where everybody must be told that
 * connections end, and for nobody in particular, nothing is kept.
 */
enum MHD_Result reply_keep(struct conn *conn, struct answer *answer, const void *key,
                           int64_t until);

/* Send what reply_keep() keeps under key, with libmicrohttpd's verdict in *ret. False where there
 * is nothing, or the answer has to be another this time. */
bool reply_again(struct conn *conn, const void *key, enum MHD_Result *ret);

/*
 * The same for the refusal that stands in conn->request.refusal. rejection, which may be NULL, says
 * what else to tell; what is known of the request is filled in.
 */
enum MHD_Result reply_refuse(struct conn *conn, const struct rejection *rejection);

/* The answer that reply_refuse() would send, for who sends it in another way. */
struct answer reply_refusal(struct conn *conn, const struct rejection *rejection);

/* The request's id: the client's, where it is sound, or one made for it. Lives as long as the
 * request. */
const struct request_id *reply_id(struct conn *conn);

/* The path for a log: normalised where that was possible. Never the query, which may hold a token
 * (RFC 9700 section 4.3.2). */
struct span reply_path(const struct request *request);

#endif
