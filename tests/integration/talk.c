#include "tests/integration/talk.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "tests/support/certificate.h"
#include "tests/support/process.h"
#include "tests/support/upstream.h"

#define RECEIVED_MAX ((size_t)16 << 20)
#define PIECE ((size_t)16 << 10)
#define STALL_MS 10000

struct talk {
    int fd;
    SSL *ssl; /* NULL: plain */
    enum talk_end end;
    struct buf received;
};

/* --- bytes that can be moved at once --------------------------------------------------------- */

/* Whether what just failed may be tried again. */
static bool may_again(struct talk *talk, int result) {
    if (!talk->ssl) return result < 0 && errno == EAGAIN;
    int why = SSL_get_error(talk->ssl, result);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static bool is_orderly(struct talk *talk, int result) {
    if (!talk->ssl) return result == 0;
    return SSL_get_error(talk->ssl, result) == SSL_ERROR_ZERO_RETURN;
}

/* How many bytes came; 0 for none, or the end. */
static size_t try_read(struct talk *talk, char *to, size_t max) {
    if (talk->end != TALK_OPEN) return 0;
    int n = talk->ssl ? SSL_read(talk->ssl, to, (int)max) : (int)recv(talk->fd, to, max, 0);
    if (n > 0) return (size_t)n;
    if (!may_again(talk, n)) talk->end = is_orderly(talk, n) ? TALK_FINISHED : TALK_BROKEN;
    return 0;
}

static size_t try_write(struct talk *talk, struct span bytes) {
    int n = talk->ssl ? SSL_write(talk->ssl, bytes.ptr, (int)bytes.len)
                      : (int)send(talk->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    if (n > 0) return (size_t)n;
    ck_assert_msg(may_again(talk, n), "the other side takes no more bytes");
    return 0;
}

static bool wait_for(struct talk *talk, short events, long until) {
    struct pollfd poller = {talk->fd, events, 0};
    long left = until - process_now_ms();
    return poll(&poller, 1, left > 0 ? (int)left : 0) > 0;
}

/* --- the connection -------------------------------------------------------------------------- */

static SSL *secure(int fd) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    ck_assert_int_eq(SSL_CTX_load_verify_locations(context, certificate_authority_file(), NULL), 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL *ssl = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set1_host(ssl, "localhost");
    SSL_set_fd(ssl, fd);
    ck_assert_msg(SSL_connect(ssl) == 1, "the TLS handshake failed");
    return ssl;
}

struct talk *talk_open(int port, bool tls) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct talk *talk = calloc(1, sizeof *talk);
    ck_assert_ptr_nonnull(talk);
    talk->received = buf_make(RECEIVED_MAX);
    talk->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(talk->fd, (struct sockaddr *)&address, sizeof address), 0);
    signal(SIGPIPE, SIG_IGN); /* SSL_write() knows no MSG_NOSIGNAL */
    if (tls) talk->ssl = secure(talk->fd);
    ck_assert_int_eq(fcntl(talk->fd, F_SETFL, O_NONBLOCK), 0);
    return talk;
}

void talk_free(struct talk *talk) {
    if (!talk) return;
    SSL_free(talk->ssl);
    if (talk->fd >= 0) close(talk->fd);
    buf_done(&talk->received);
    free(talk);
}

void talk_finish(struct talk *talk) {
    if (talk->ssl)
        SSL_shutdown(talk->ssl);
    else
        shutdown(talk->fd, SHUT_WR);
}

void talk_reset(struct talk *talk) {
    setsockopt(talk->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(talk->fd);
    talk->fd = -1;
    talk->end = TALK_BROKEN;
}

/* --- sending and receiving ------------------------------------------------------------------- */

void talk_send(struct talk *talk, struct span bytes) {
    long until = process_now_ms() + STALL_MS;
    while (bytes.len > 0) {
        size_t n = try_write(talk, bytes);
        bytes = span_from(bytes, n);
        if (n > 0)
            until = process_now_ms() + STALL_MS;
        else
            ck_assert_msg(wait_for(talk, POLLOUT, until), "%zu bytes were not taken", bytes.len);
    }
}

/* Add what comes. False where nothing did until then. */
static bool receive(struct talk *talk, long until) {
    char bytes[PIECE];
    for (;;) {
        size_t n = try_read(talk, bytes, sizeof bytes);
        buf_add(&talk->received, (struct span){bytes, n});
        ck_assert(buf_ok(&talk->received));
        if (n > 0) return true;
        if (talk->end != TALK_OPEN || !wait_for(talk, POLLIN, until)) return false;
    }
}

bool talk_await(struct talk *talk, const char *text, int within_ms) {
    long until = process_now_ms() + within_ms;
    for (;;) {
        struct span received = talk_received(talk);
        if (memmem(received.ptr, received.len, text, strlen(text))) return true;
        if (!receive(talk, until)) return false;
    }
}

struct span talk_received(const struct talk *talk) {
    return buf_span(&talk->received);
}

void talk_drop(struct talk *talk) {
    buf_reset(&talk->received);
}

enum talk_end talk_wait_end(struct talk *talk, int within_ms) {
    long until = process_now_ms() + within_ms;
    while (talk->end == TALK_OPEN && receive(talk, until) && process_now_ms() < until) continue;
    return talk->end;
}

/* --- both at once ---------------------------------------------------------------------------- */

/* Write the filler from offset sent on; how many bytes went. */
static size_t write_filler(struct talk *talk, uint64_t sent, uint64_t len) {
    char piece[PIECE];
    size_t n = len - sent < sizeof piece ? (size_t)(len - sent) : sizeof piece;
    if (n == 0) return 0;
    upstream_filler(sent, piece, n);
    return try_write(talk, (struct span){piece, n});
}

static size_t read_filler(struct talk *talk, uint64_t got) {
    char piece[PIECE];
    size_t n = try_read(talk, piece, sizeof piece);
    ck_assert_msg(upstream_is_filler(got, (struct span){piece, n}),
                  "not what was sent, within %zu bytes behind byte %lu", n, (unsigned long)got);
    return n;
}

void talk_echo(struct talk *talk, uint64_t len) {
    ck_assert_uint_eq(talk->received.len, 0);
    for (uint64_t sent = 0, got = 0; got < len;) {
        size_t written = write_filler(talk, sent, len), read = read_filler(talk, got);
        sent += written;
        got += read;
        ck_assert_msg(talk->end == TALK_OPEN, "it ended at byte %lu", (unsigned long)got);
        if (written || read) continue;
        short events = (short)(POLLIN | (sent < len ? POLLOUT : 0));
        ck_assert_msg(wait_for(talk, events, process_now_ms() + STALL_MS),
                      "stalled: %lu bytes sent, %lu came back", (unsigned long)sent,
                      (unsigned long)got);
    }
}
