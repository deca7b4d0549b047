/*
 * issuer: an OpenID provider on loopback that does as the test tells it, good or bad.
 *
 * It serves what a client of it fetches, the discovery document and the JWK set, from threads of
 * its own. Every path has a behaviour that may be changed while it runs, and a count of requests.
 * All functions belong to the test's thread.
 */
#ifndef TESTS_SUPPORT_ISSUER_H
#define TESTS_SUPPORT_ISSUER_H

#include <stdbool.h>

#include "common/span.h"

#define ISSUER_DISCOVERY "/.well-known/openid-configuration"
#define ISSUER_JWKS "/jwks"

enum issuer_tls {
    ISSUER_PLAIN,
    ISSUER_TLS,             /* a good certificate of certificate_authority_file() */
    ISSUER_TLS_EXPIRED,     /* of the same authority */
    ISSUER_TLS_WRONG_NAME,  /* of the same authority */
    ISSUER_TLS_SELF_SIGNED, /* of no authority */
    ISSUER_TLS_OLD,         /* a good certificate, but TLS 1.1 at most */
    ISSUER_TLS_RESET,       /* reset in the middle of the handshake */
    ISSUER_TLS_EARLY,       /* of the same authority, not yet valid */
    ISSUER_TLS_INSPECTED,   /* of a firewall that inspects TLS */
    ISSUER_TLS_LACKING,     /* of the same authority, but the intermediate is not sent */
};

enum issuer_act {
    ISSUER_ANSWER,   /* status, headers, body; the connection stays open */
    ISSUER_RAW,      /* the bytes of body are the whole answer, then close */
    ISSUER_HANG,     /* read the request, never answer */
    ISSUER_DRIP,     /* the answer one byte at a time, interval_ms apart */
    ISSUER_CLOSE,    /* close without an answer */
    ISSUER_RESET,    /* reset without an answer */
    ISSUER_TRUNCATE, /* promise 100 bytes more than the body has, then close */
    ISSUER_ENDLESS,  /* the body, and then spaces without end, as chunks */
};

struct issuer_behaviour {
    enum issuer_act act;
    int status;          /* 0: 200 */
    const char *headers; /* whole lines, each with its CRLF; NULL: Content-Type of JSON */
    struct span body;
    int interval_ms; /* ISSUER_DRIP; ISSUER_ANSWER waits so long first */
};

struct issuer;

/*
 * Start on a free port of 127.0.0.1 with a right discovery document, no JWK set (404), and 404 for
 * every other path. issuer_stop() ends all its threads and frees it.
 */
struct issuer *issuer_start(enum issuer_tls tls);
void issuer_stop(struct issuer *issuer);

/* "http://127.0.0.1:PORT" or "https://...", without a slash at the end. Lives with the issuer. */
const char *issuer_url(const struct issuer *issuer);
int issuer_port(const struct issuer *issuer);

/* From now on answer path (without query) so. Copies what behaviour points to. */
void issuer_set(struct issuer *issuer, const char *path, const struct issuer_behaviour *behaviour);

/* issuer_set() of a plain answer. */
void issuer_answer(struct issuer *issuer, const char *path, int status, const char *body);

/* Serve this JWK set at ISSUER_JWKS, status 200. */
void issuer_serve_keys(struct issuer *issuer, const char *jwks);

/* Requests for path, and TCP connections, seen so far. */
int issuer_hits(struct issuer *issuer, const char *path);
int issuer_connections(struct issuer *issuer);

/* Wait until path was requested count times. False when that took longer than within_ms. */
bool issuer_wait_hits(struct issuer *issuer, const char *path, int count, int within_ms);

/* Close the port and every connection, so that clients are refused; and open the same port again.
 */
void issuer_down(struct issuer *issuer);
void issuer_up(struct issuer *issuer);

#endif
