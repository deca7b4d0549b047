/*
 * wire: a byte stream to an upstream that never blocks: TCP or a unix socket, plain or with TLS.
 * The only place that knows OpenSSL's TLS.
 */
#ifndef SERVER_PROXY_WIRE_H
#define SERVER_PROXY_WIRE_H

#include <stdbool.h>
#include <sys/socket.h>

#include "common/attr.h"
#include "common/err.h"

/* How TLS is spoken to one target: authorities, client certificate, name. Shared by all threads. */
struct wire_tls;

struct wire_tls_settings {
    const char *ca_file;     /* PEM; "" = the system's authorities */
    const char *certificate; /* PEM of the client's certificate, with its chain; "" = none */
    const char *private_key; /* PEM; "" = none */
    const char *server_name; /* the host name or IP address that the certificate must be for; sent
                                as SNI where it is a name (RFC 6066 section 3) */
};

/*
 * Certificates are always verified, host name included (RFC 9110 section 4.3.4), TLS is 1.2 or
 * newer, ALPN offers http/1.1 alone. Reads the files. Returns 0, or ERR_SYSTEM, ERR_MEMORY with the
 * reason, which names the file. One reference for the caller.
 */
int wire_tls_new(const struct wire_tls_settings *settings, struct wire_tls **ret,
                 struct err_text *err) MUST_CHECK;
struct wire_tls *wire_tls_ref(struct wire_tls *tls);
void wire_tls_unref(struct wire_tls *tls); /* NULL is fine */

struct wire {
    int fd;     /* -1: not open */
    bool ready; /* connected, handshake done */
    void *ssl;  /* SSL; NULL: plain */
    struct wire_tls *tls;
    /* A retry of a TLS write needs the bytes that were refused, first of all, again. */
};

enum wire_result {
    WIRE_OK,
    WIRE_AGAIN,  /* nothing can be done until the descriptor's state changes (edge-triggered) */
    WIRE_CLOSED, /* the peer ended the stream: FIN, with TLS after close_notify */
    WIRE_FAILED, /* err tells */
};

/*
 * Begin to connect. tls: NULL = plain; a reference is taken. *ret is open afterwards, its
 * descriptor non-blocking, close-on-exec, with TCP_NODELAY and SO_KEEPALIVE. Returns 0, or
 * ERR_SYSTEM, ERR_MEMORY with the reason and nothing open. A unix socket whose queue is full fails
 * at once.
 */
int wire_open(const struct sockaddr *address, socklen_t len, struct wire_tls *tls, struct wire *ret,
              struct err_text *err) MUST_CHECK;

/* Go on connecting and shaking hands. WIRE_OK: ready. Fine to call at any time before that. */
enum wire_result wire_advance(struct wire *wire, struct err_text *err);

/*
 * Read up to max (> 0) bytes; *ret_len > 0 with WIRE_OK. With TLS an end without close_notify is
 * WIRE_FAILED: somebody on the way may have cut the stream. A caller who reads until WIRE_AGAIN
 * misses nothing, bytes that OpenSSL holds back included. Only when ready.
 */
enum wire_result wire_read(struct wire *wire, char *to, size_t max, size_t *ret_len,
                           struct err_text *err);

/*
 * Write some of bytes; *ret_len > 0 with WIRE_OK. After WIRE_AGAIN the next call must begin with
 * the same bytes, from wherever in memory. Only when ready.
 */
enum wire_result wire_write(struct wire *wire, const char *bytes, size_t len, size_t *ret_len,
                            struct err_text *err);

/* No more bytes from us: FIN, close_notify before it with TLS. */
void wire_finish(struct wire *wire);

/*
 * Has the peer, which owes us nothing at this moment, sent bytes or closed? For a connection at
 * rest; TLS session tickets do not count.
 */
bool wire_is_stale(struct wire *wire);

/* Close and free; fine on one that is not open. */
void wire_close(struct wire *wire);

#endif
