/*
 * evidence: what a request presented to prove who is calling, when it was looked at, and what was
 * denied then. Plain borrowed data: a test fills one in by hand and walks the stairs without a
 * socket.
 */
#ifndef SERVER_TOKEN_EVIDENCE_H
#define SERVER_TOKEN_EVIDENCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/span.h"
#include "server/token/trace.h"

struct deny_list;

struct evidence {
    int64_t now;    /* wall clock, seconds; tokens are judged by it */
    int64_t now_ms; /* monotonic, milliseconds; the age of keys is judged by it */
    struct span
        authorization; /* value of the first Authorization header; absent if there is none */
    size_t authorization_count;
    const struct deny_list *denied; /* the newest; NULL: nothing is denied */
    uint64_t denied_generation;     /* another for each list; 0 = there never was one */
    const struct trace *trace;      /* NULL: nobody asks how the verdict comes about */
};

#endif
