/*
 * answer: what goes back to the client, before any HTTP library sees it.
 */
#ifndef SERVER_ANSWER_ANSWER_H
#define SERVER_ANSWER_ANSWER_H

#include <stdbool.h>

#include "common/buf.h"

#define ANSWER_BODY_MAX (256 * 1024)
#define ANSWER_HEADER_MAX (16 * 1024)
#define ANSWER_LINES_MAX (256 * 1024)

struct answer {
    unsigned status;
    const char *content_type; /* of the body; static */
    struct buf body;
    struct buf challenge;   /* WWW-Authenticate; empty = none */
    struct buf allow;       /* Allow; empty = none */
    struct buf headers;     /* further header lines, each with its CRLF */
    struct buf request_id;  /* X-Request-Id; empty = none */
    unsigned retry_after_s; /* Retry-After; 0 = none */
    bool close;             /* close the connection behind it */
};

/* An empty answer of application/json; everything in it is freed by answer_done(). */
struct answer answer_make(unsigned status);
void answer_done(struct answer *answer);

/* Was there memory for all of it? If not it must not be sent. */
bool answer_ok(const struct answer *answer);

#endif
