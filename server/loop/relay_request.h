/*
 * relay_request: what an upstream is sent, taken from libmicrohttpd.
 */
#ifndef SERVER_LOOP_RELAY_REQUEST_H
#define SERVER_LOOP_RELAY_REQUEST_H

#include "server/loop/relay_state.h"

/* All fields of that kind that the client sent; they live until the next call. False without
 * memory. */
bool relay_collect(struct conn *conn, enum MHD_ValueKind kind, struct fields *ret) MUST_CHECK;

/* How the body of a request is framed. */
enum forward_body relay_body_kind(const struct door_result *head);

/*
 * Write the head to the transfer's buffer, the signed assertion with it where the upstream wants
 * one. fields are the client's; upgrade: see forward_upgrade(). False without memory.
 */
bool relay_add_head(struct relay *relay, struct fields fields, struct span upgrade) MUST_CHECK;

/* Write what an upstream may see of the client's trailer section. False without memory. */
bool relay_add_trailers(struct relay *relay, struct buf *out) MUST_CHECK;

#endif
