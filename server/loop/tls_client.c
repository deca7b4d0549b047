#include "server/loop/tls_client.h"

#include <errno.h>
#include <gnutls/gnutls.h>

/* The largest record (RFC 8446 section 5.1): less room would leave a part of one in the session. */
#define RECORD_MAX (16 * 1024)
/* Records in a row that hold nothing for us: alerts, key updates. */
#define EMPTY_MAX 16

/* The descriptor that the tunnel is reading from at this moment; all other readers find nothing. */
static _Thread_local int reading = -1;

static ssize_t pull(gnutls_transport_ptr_t descriptor, void *to, size_t max) {
    int fd = (int)(intptr_t)descriptor;
    if (fd == reading) return recv(fd, to, max, MSG_DONTWAIT);
    errno = EAGAIN;
    return -1;
}

static ssize_t push(gnutls_transport_ptr_t descriptor, const void *bytes, size_t len) {
    return send((int)(intptr_t)descriptor, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static enum wire_result result_of(ssize_t n) {
    if (n == 0) return WIRE_CLOSED;
    return n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED ? WIRE_AGAIN : WIRE_FAILED;
}

static enum wire_result tls_read(const struct tunnel_client *client, char *to, size_t max,
                                 size_t *ret_len) {
    ssize_t n = 0;

    reading = client->fd;
    for (int i = 0; i < EMPTY_MAX; i++) {
        n = gnutls_record_recv(client->argument, to, max);
        if (n >= 0 || n == GNUTLS_E_AGAIN || gnutls_error_is_fatal((int)n)) break;
    }
    reading = -1;
    if (n <= 0) return result_of(n);
    *ret_len = (size_t)n;
    return WIRE_OK;
}

static enum wire_result tls_write(const struct tunnel_client *client, struct span bytes,
                                  size_t *ret_len) {
    ssize_t n = gnutls_record_send(client->argument, bytes.ptr, bytes.len);
    if (n < 0) return result_of(n);
    *ret_len = (size_t)n;
    return WIRE_OK;
}

static void tls_finish(const struct tunnel_client *client) {
    gnutls_bye(client->argument, GNUTLS_SHUT_WR);
    shutdown(client->fd, SHUT_WR);
}

bool tls_client_take(struct conn *conn, struct tunnel_client *ret, struct buf *pending) {
    char bytes[RECORD_MAX];
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (!info || !info->tls_session) return false;

    gnutls_session_t session = info->tls_session;
    gnutls_transport_set_pull_function(session, pull);
    gnutls_transport_set_push_function(session, push);
    while (gnutls_record_check_pending(session)) {
        ssize_t n = gnutls_record_recv(session, bytes, sizeof bytes);
        if (n <= 0) return false;
        buf_add(pending, (struct span){bytes, (size_t)n});
    }
    *ret = (struct tunnel_client){.fd = conn->fd,
                                  .least = RECORD_MAX,
                                  .argument = session,
                                  .read = tls_read,
                                  .write = tls_write,
                                  .finish = tls_finish};
    return buf_ok(pending);
}
