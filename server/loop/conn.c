#include "server/loop/conn.h"

#include <gnutls/gnutls.h>

void conn_expect_nothing(struct conn *conn) {
    struct deadline_list *list = conn->waits_in;
    if (!list) return;

    if (conn->prev)
        conn->prev->next = conn->next;
    else
        list->head = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    else
        list->tail = conn->prev;
    conn->next = conn->prev = NULL;
    conn->waits_in = NULL;
}

void conn_expect(struct conn *conn, struct deadline_list *list, int64_t deadline_ms) {
    conn_expect_nothing(conn);
    conn->waits_in = list;
    conn->deadline_ms = deadline_ms;
    struct conn *before = list->tail;
    while (before && before->deadline_ms > deadline_ms) before = before->prev;
    conn->prev = before;
    conn->next = before ? before->next : list->head;
    *(before ? &before->next : &list->head) = conn;
    *(conn->next ? &conn->next->prev : &list->tail) = conn;
}

void conn_cut(struct conn *conn) {
    shutdown(conn->fd, SHUT_RDWR);
}

void conn_reset(struct conn *conn) {
    /* Dissolving the association of a connected socket aborts it (connect(2)). */
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    if (connect(conn->fd, &nowhere, sizeof nowhere) < 0) conn_cut(conn);
}

void conn_finish(struct conn *conn) {
    const union MHD_ConnectionInfo *info =
        conn->tls ? MHD_get_connection_info(conn->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION) : NULL;
    if (info && info->tls_session) gnutls_bye(info->tls_session, GNUTLS_SHUT_WR);
    shutdown(conn->fd, SHUT_WR);
}
