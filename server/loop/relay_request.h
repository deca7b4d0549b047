/*
 * relay_request: what an upstream is sent, taken from libmicrohttpd.
 */
#ifndef SERVER_LOOP_RELAY_REQUEST_H
#define SERVER_LOOP_RELAY_REQUEST_H

#include "server/loop/relay_state.h"

/*
 * The header fields of the request that conn is about, whose head was checked. The array is the
 * worker's and lives until another request is looked at; the bytes live as long as the request.
 * False without memory.
 */
bool relay_collect(struct conn *conn, struct fields *ret) MUST_CHECK;

/* How the body of a request is framed. */
enum forward_body relay_body_kind(const struct door_result *head);

/*
 * Write the head to the transfer's buffer, the signed assertion with it where the upstream wants
 * one. fields are the client's; upgrade: see forward_upgrade(). False without memory.
 */
bool relay_add_head(struct relay *relay, struct fields fields, struct span upgrade) MUST_CHECK;

/* Write what an upstream may see of the client's trailer section. False without memory. */
bool relay_add_trailers(struct relay *relay, struct fields fields, struct buf *out) MUST_CHECK;

#endif
