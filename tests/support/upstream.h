/*
 * upstream: an HTTP/1.1 server on loopback that keeps the exact bytes it gets and answers as the
 * test tells it, rightly or wrongly.
 *
 * Threads of its own serve it. Requests are read strictly (RFC 9112): what a careful server would
 * not take is counted as malformed and answered with 400. Without a script every request gets 200
 * with a small text, and the connection stays open. All functions belong to the test's thread; what
 * they return a pointer to lives until upstream_stop().
 */
#ifndef TESTS_SUPPORT_UPSTREAM_H
#define TESTS_SUPPORT_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

struct upstream;

enum upstream_tls {
    UPSTREAM_PLAIN,
    UPSTREAM_TLS,             /* a good certificate of certificate_authority_file() */
    UPSTREAM_TLS_EXPIRED,     /* of the same authority */
    UPSTREAM_TLS_WRONG_NAME,  /* of the same authority */
    UPSTREAM_TLS_SELF_SIGNED, /* of no authority */
    UPSTREAM_TLS_OLD,         /* a good certificate, but TLS 1.1 at most */
    UPSTREAM_TLS_RESET,       /* reset in the middle of the handshake */
    UPSTREAM_TLS_EARLY,       /* of the same authority, not yet valid */
    UPSTREAM_TLS_INSPECTED,   /* of a firewall that inspects TLS */
    UPSTREAM_TLS_LACKING,     /* of the same authority, but the intermediate is not sent */
};

/*
 * Listen on a free port of 127.0.0.1, or on a Unix socket at that path, which upstream_stop()
 * removes. upstream_stop() ends all connections and threads and frees everything; NULL is fine.
 */
struct upstream *upstream_start(enum upstream_tls tls);
struct upstream *upstream_start_unix(const char *path);
void upstream_stop(struct upstream *upstream);

/* Its port; 0 for a Unix socket. "http://127.0.0.1:PORT", "https://127.0.0.1:PORT", "unix:PATH". */
int upstream_port(const struct upstream *upstream);
const char *upstream_target(const struct upstream *upstream);

/* Close the port and every connection, so that clients are refused; and open the same port again.
 */
void upstream_down(struct upstream *upstream);
void upstream_up(struct upstream *upstream);

/* --- scripts --------------------------------------------------------------------------------- */

enum upstream_act {
    UPSTREAM_ACT_END,
    UPSTREAM_ACT_READ,
    UPSTREAM_ACT_READ_MUTELY,
    UPSTREAM_ACT_READ_SLOWLY,
    UPSTREAM_ACT_SEND,
    UPSTREAM_ACT_DRIP,
    UPSTREAM_ACT_FILL,
    UPSTREAM_ACT_FILL_CHUNKED,
    UPSTREAM_ACT_WAIT,
    UPSTREAM_ACT_GATE,
    UPSTREAM_ACT_HANG,
    UPSTREAM_ACT_ECHO,
    UPSTREAM_ACT_FINISH,
    UPSTREAM_ACT_CLOSE,
    UPSTREAM_ACT_CUT,
    UPSTREAM_ACT_RESET,
};

struct upstream_step {
    enum upstream_act act;
    struct span bytes;
    uint64_t amount;
    int ms;
};

#define UPSTREAM_ALL UINT64_MAX

/*
 * The steps of a script, which begins when the head of a request has come; its body is still on the
 * way then, but for what came together with the head.
 *
 * READ: the rest of the request. READ_SOME: so many bytes of its body. Both answer 100 first where
 * the request expects that (RFC 9110 section 10.1.1); READ_MUTELY never does. READ_SLOWLY: the rest
 * of the request, that many bytes at a time, with ms between.
 */
#define UPSTREAM_READ UPSTREAM_READ_SOME(UPSTREAM_ALL)
#define UPSTREAM_READ_SOME(count)                                                                  \
    { .act = UPSTREAM_ACT_READ, .amount = (count) }
#define UPSTREAM_READ_MUTELY                                                                       \
    { .act = UPSTREAM_ACT_READ_MUTELY, .amount = UPSTREAM_ALL }
#define UPSTREAM_READ_SLOWLY(count, interval_ms)                                                   \
    { .act = UPSTREAM_ACT_READ_SLOWLY, .amount = (count), .ms = (interval_ms) }

/*
 * SEND: the bytes of a literal, or of a span, as they are. DRIP: the same one at a time, with ms
 * between. FILL: so many bytes of the filler, UPSTREAM_ALL for no end. FILL_CHUNKED: the same as
 * chunks, the last chunk included where there is an end.
 */
#define UPSTREAM_SEND(literal) UPSTREAM_SEND_SPAN(SPAN_LITERAL(literal))
#define UPSTREAM_SEND_SPAN(span)                                                                   \
    { .act = UPSTREAM_ACT_SEND, .bytes = span }
#define UPSTREAM_DRIP(literal, interval_ms) UPSTREAM_DRIP_SPAN(SPAN_LITERAL(literal), interval_ms)
#define UPSTREAM_DRIP_SPAN(span, interval_ms)                                                      \
    { .act = UPSTREAM_ACT_DRIP, .bytes = span, .ms = (interval_ms) }
#define UPSTREAM_FILL(count)                                                                       \
    { .act = UPSTREAM_ACT_FILL, .amount = (count) }
#define UPSTREAM_FILL_CHUNKED(count)                                                               \
    { .act = UPSTREAM_ACT_FILL_CHUNKED, .amount = (count) }

/*
 * WAIT: so long. GATE: until upstream_go(). HANG: for ever. None of them reads, and all notice when
 * the client ends its side, which then ends the connection.
 */
#define UPSTREAM_WAIT(milliseconds)                                                                \
    { .act = UPSTREAM_ACT_WAIT, .ms = (milliseconds) }
#define UPSTREAM_GATE                                                                              \
    { .act = UPSTREAM_ACT_GATE }
#define UPSTREAM_HANG                                                                              \
    { .act = UPSTREAM_ACT_HANG }

/*
 * Be a tunnel: send back whatever comes until the client ends its side; the script ends there. It
 * never stops reading: what the client does not take is kept, up to UPSTREAM_ECHO_MAX bytes; more
 * than that ends the connection.
 */
#define UPSTREAM_ECHO_MAX ((size_t)64 << 20)
#define UPSTREAM_ECHO                                                                              \
    { .act = UPSTREAM_ACT_ECHO }

/*
 * FINISH: end our side alone (half-close). CLOSE: end the connection; the system makes it a reset
 * where bytes of the client were not read. CUT: the same, but over TLS without close_notify. RESET:
 * end it with a reset.
 */
#define UPSTREAM_FINISH                                                                            \
    { .act = UPSTREAM_ACT_FINISH }
#define UPSTREAM_CLOSE                                                                             \
    { .act = UPSTREAM_ACT_CLOSE }
#define UPSTREAM_CUT                                                                               \
    { .act = UPSTREAM_ACT_CUT }
#define UPSTREAM_RESET                                                                             \
    { .act = UPSTREAM_ACT_RESET }

/* What ends an array of steps; and a whole script in the place where it is handed over. */
#define UPSTREAM_END                                                                               \
    { .act = UPSTREAM_ACT_END }
#define UPSTREAM_STEPS(...) ((const struct upstream_step[]){__VA_ARGS__, UPSTREAM_END})

/* In place of a path: the script runs when a connection was made, before any request. */
#define UPSTREAM_AT_CONNECT ""

/*
 * From now on act so on requests for path (without its query; NULL: all paths without a script of
 * their own). The last step is UPSTREAM_END. Copies steps and bytes. Behind the last step the rest
 * of the request is read, and the next request awaited. upstream_script_once() acts so on one
 * request only; several calls make a queue, which goes before upstream_script().
 */
void upstream_script(struct upstream *upstream, const char *path,
                     const struct upstream_step *steps);
void upstream_script_once(struct upstream *upstream, const char *path,
                          const struct upstream_step *steps);

/* upstream_script() that reads the request and sends these bytes, the whole answer. */
void upstream_answer(struct upstream *upstream, const char *path, const char *answer);

/* Let one script pass one UPSTREAM_GATE, also one that comes there later. */
void upstream_go(struct upstream *upstream);

/* Close a connection, unannounced, right after so many answers; 0: keep it open. */
void upstream_close_after(struct upstream *upstream, int answers);

/* Close the connections that wait for a request now, unannounced. */
void upstream_close_idle(struct upstream *upstream);

/* --- what came ------------------------------------------------------------------------------- */

enum upstream_count {
    UPSTREAM_CONNECTIONS, /* accepted so far, such whose TLS handshake failed included */
    UPSTREAM_OPEN,        /* connections open now */
    UPSTREAM_HEADS,       /* requests whose head came whole */
    UPSTREAM_REQUESTS,    /* requests that came whole */
    UPSTREAM_MALFORMED,   /* requests that no strict server would take */
    UPSTREAM_CUT_SHORT,   /* requests that the connection ended in */
    UPSTREAM_AT_GATE,     /* scripts that stand at an UPSTREAM_GATE now */
    UPSTREAM_COUNTS,
};

int upstream_count(struct upstream *upstream, enum upstream_count what);

/*
 * Wait until that count is reached: exactly, for UPSTREAM_OPEN and UPSTREAM_AT_GATE; at least, for
 * the others. False when that took longer than within_ms.
 */
bool upstream_wait(struct upstream *upstream, enum upstream_count what, int count, int within_ms);

/* Requests for this path (without query) whose head came whole; and wait for so many at least. */
int upstream_hits(struct upstream *upstream, const char *path);
bool upstream_wait_hits(struct upstream *upstream, const char *path, int count, int within_ms);

/* Bytes that the system took from us to send, on all connections together. */
uint64_t upstream_sent(struct upstream *upstream);

enum upstream_state { UPSTREAM_ARRIVING, UPSTREAM_WHOLE, UPSTREAM_IS_CUT, UPSTREAM_IS_MALFORMED };

/* Of raw bytes and of bodies only so many are kept. */
#define UPSTREAM_KEPT_MAX ((size_t)1 << 20)

struct upstream_request {
    enum upstream_state state;
    const char *why;     /* what is malformed; NULL */
    int connection;      /* which one it came on, from 0 */
    struct span raw;     /* as it came, head and body */
    struct span head;    /* part of raw, with its empty line; absent where it did not come whole */
    struct span method;  /* parts of head; absent together with it */
    struct span target;  /* with its query */
    struct span body;    /* without chunk framing */
    struct span trailer; /* field lines with their CRLFs */
    bool chunked;
    uint64_t body_len; /* without chunk framing; all of it, however much was kept */
    uint64_t digest;   /* of all of the body: upstream_digest() */
};

/* The index-th request, from 0, in the order of their first bytes, as it is now. The test fails
 * where there is none. */
const struct upstream_request *upstream_request(struct upstream *upstream, int index);

/*
 * In the head of a request, the first field of that name (any case): its value without the spaces
 * around it, and its name as it was spelled; absent where there is none. And how many there are.
 */
struct span upstream_header(const struct upstream_request *request, const char *name);
struct span upstream_header_name(const struct upstream_request *request, const char *name);
int upstream_header_count(const struct upstream_request *request, const char *name);

struct upstream_connection {
    struct span raw;         /* all that came, of TLS what was inside */
    const char *server_name; /* that the client's hello asked for (SNI); NULL: none, or plain */
    const char *certificate; /* common name of the client's certificate; NULL: none */
};

/* The index-th connection, from 0, as it is now. The test fails where there is none. */
const struct upstream_connection *upstream_connection(struct upstream *upstream, int index);

/* --- large bodies ---------------------------------------------------------------------------- */

/*
 * The filler: printable bytes, each told by its offset, so that a piece that is lost, doubled or
 * out of place shows. Write those from offset on; and say whether bytes are those.
 */
void upstream_filler(uint64_t offset, char *out, size_t len);
bool upstream_is_filler(uint64_t offset, struct span bytes);

/*
 * FNV-1a of 64 bits, piece by piece: digest is UPSTREAM_DIGEST_EMPTY at first. And that of the
 * first len bytes of the filler.
 */
#define UPSTREAM_DIGEST_EMPTY UINT64_C(0xcbf29ce484222325)
uint64_t upstream_digest(uint64_t digest, struct span bytes);
uint64_t upstream_filler_digest(uint64_t len);

#endif
