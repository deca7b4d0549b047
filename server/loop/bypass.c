#include "server/loop/bypass.h"

#include <gnutls/gnutls.h>

static bool send_tls(struct conn *conn, struct span bytes) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (!info || !info->tls_session) return false;

    while (bytes.len) {
        ssize_t n = gnutls_record_send(info->tls_session, bytes.ptr, bytes.len);
        if (n <= 0) return false;
        bytes = span_from(bytes, (size_t)n);
    }
    return true;
}

bool bypass_send(struct conn *conn, struct span bytes) {
    if (conn->tls) return send_tls(conn, bytes);
    return send(conn->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)bytes.len;
}

void bypass_add_status(struct buf *out, unsigned status) {
    buf_addf(out, "HTTP/1.1 %u %s\r\n", status, MHD_get_reason_phrase_for(status));
}

static void add_header(struct buf *out, const char *name, struct span value) {
    if (value.len) buf_addf(out, "%s: %.*s\r\n", name, SPAN_PRINTF(value));
}

void bypass_add_answer(struct buf *out, const struct answer *answer) {
    bypass_add_status(out, answer->status);
    buf_addf(out, "Content-Length: %zu\r\n", answer->body.len);
    buf_add_text(out, "Content-Type: application/json\r\nCache-Control: no-store\r\n"
                      "Connection: close\r\n");
    add_header(out, "WWW-Authenticate", buf_span(&answer->challenge));
    add_header(out, "Allow", buf_span(&answer->allow));
    add_header(out, "X-Request-Id", buf_span(&answer->request_id));
    if (answer->retry_after_s) buf_addf(out, "Retry-After: %u\r\n", answer->retry_after_s);
    buf_add_text(out, "\r\n");
    buf_add(out, buf_span(&answer->body));
}
