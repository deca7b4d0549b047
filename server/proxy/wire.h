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
 * Certificates are always verified, host name included, which only a subjectAltName gives (RFC 9110
 * section 4.3.4), TLS is 1.2 or newer, ALPN offers http/1.1 alone. The newest session is kept for
 * the next connection (RFC 8446 section 2.2) while the certificate it stands for is valid. Reads
 * the files; a private key with a passphrase is refused. Returns 0, or ERR_SYSTEM, ERR_MEMORY with
 * the reason, which names the file or the name. One reference for the caller.
 */
int wire_tls_new(const struct wire_tls_settings *settings, struct wire_tls **ret,
                 struct err_text *err) MUST_CHECK;

/* Any thread: take one more reference; drop one, the last frees (NULL is fine). */
struct wire_tls *wire_tls_ref(struct wire_tls *tls);
void wire_tls_unref(struct wire_tls *tls);
CLEANUP_DEFINE(struct wire_tls *, wire_tls_unref)

/* May be copied, as long as one of the copies is used. */
struct wire {
    int fd;         /* -1: not open */
    bool connected; /* as far as TCP, or the unix socket, goes */
    bool ready;     /* connected, handshake done */
    bool resuming;  /* the handshake offers a session of an earlier connection */
    bool finishing; /* close_notify waits for room in the socket */
    void *ssl;      /* SSL; NULL: plain, or not connected yet */
    struct wire_tls *tls;
    char address[64]; /* for reasons: "127.0.0.1:9001", "[::1]:9001", "the unix socket" */
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
 * ERR_SYSTEM with the reason and nothing open. A unix socket whose queue is full fails at once.
 *
 * The caller watches the descriptor for all that may happen, edge-triggered (EPOLLIN, EPOLLOUT,
 * EPOLLRDHUP), and calls what it is waiting for whenever something did: TLS may have to read in
 * order to write, and the other way round. No call here blocks or raises SIGPIPE. A wire belongs to
 * one thread at a time. Reasons name the address, and read behind the target's name.
 */
int wire_open(const struct sockaddr *address, socklen_t len, struct wire_tls *tls, struct wire *ret,
              struct err_text *err) MUST_CHECK;

/*
 * Go on connecting and shaking hands. WIRE_OK: ready. Fine to call at any time before that; later
 * it goes on with a wire_finish() that could not be finished. Never WIRE_CLOSED.
 */
enum wire_result wire_advance(struct wire *wire, struct err_text *err);

/*
 * Read up to max (> 0) bytes; *ret_len > 0 with WIRE_OK. With TLS an end without close_notify is
 * WIRE_FAILED: somebody on the way may have cut the stream. A caller who reads until WIRE_AGAIN
 * misses nothing, bytes that OpenSSL holds back included. A wire_write() that failed does not keep
 * it from giving what had arrived before, such as an early refusal. Only when ready. A server
 * that does not like our certificate may say so here only (TLS 1.3).
 */
enum wire_result wire_read(struct wire *wire, char *to, size_t max, size_t *ret_len,
                           struct err_text *err);

/*
 * Write some of bytes (len > 0); *ret_len > 0 with WIRE_OK. After WIRE_AGAIN the next call must
 * begin with the same bytes, all of them, from wherever in memory. Never WIRE_CLOSED: a peer that
 * has ended its stream may still read ours. Only when ready.
 */
enum wire_result wire_write(struct wire *wire, const char *bytes, size_t len, size_t *ret_len,
                            struct err_text *err);

/*
 * No more bytes from us: FIN, close_notify before it with TLS. Reading goes on: the peer may have
 * more to say (RFC 8446 section 6.1). Where the socket has no room for close_notify, wire_read()
 * and wire_advance() see to the rest. Only when ready, and not between a WIRE_AGAIN of wire_write()
 * and the call that follows it.
 */
void wire_finish(struct wire *wire);

/*
 * Has the peer, which owes us nothing at this moment, sent bytes or closed? For a connection at
 * rest; TLS session tickets, which a server may send at any time, do not count. One that is not
 * ready is stale.
 */
bool wire_is_stale(struct wire *wire);

/*
 * Close and free; fine on one that is not open. Sends no close_notify: with TLS the peer can tell a
 * stream that was broken off from one that wire_finish() ended. The session stays good.
 */
void wire_close(struct wire *wire);

#endif
