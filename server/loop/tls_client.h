/*
 * tls_client: the client of a tunnel on a TLS listener.
 *
 * libmicrohttpd would forward an upgraded TLS connection itself, four bytes at a time, and tells
 * neither side of the other's end. So its session is spoken to directly, and it gets no byte of it.
 */
#ifndef SERVER_LOOP_TLS_CLIENT_H
#define SERVER_LOOP_TLS_CLIENT_H

#include "common/buf.h"
#include "server/loop/conn.h"
#include "server/proxy/tunnel.h"

/*
 * Take the session of conn, which was upgraded, away from libmicrohttpd. What it has read already
 * and not handed out is appended to pending. The worker's thread. False where there is no session.
 */
bool tls_client_take(struct conn *conn, struct tunnel_client *ret, struct buf *pending) MUST_CHECK;

#endif
