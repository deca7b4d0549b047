/*
 * explain: why a request with this token would be let through or refused, step by step. It walks
 * the stairs of a real request, with the daemon's own code and a trace; nothing is judged twice.
 */
#ifndef SERVER_EXPLAIN_EXPLAIN_H
#define SERVER_EXPLAIN_EXPLAIN_H

#include "common/buf.h"
#include "server/keys/keyring.h"
#include "server/policy/resource.h"
#include "server/policy/route.h"
#include "server/token/evidence.h"
#include "server/token/reason.h"

/* What is asked. Borrowed for the call. */
struct explain_question {
    const struct config *config;
    const struct keyring *ring;
    const struct routes *routes;
    const struct resources *resources;
    struct span method;
    struct span host;                /* as a Host header has it; absent: none */
    struct span target;              /* path and query; absent: the token alone is judged */
    const struct evidence *evidence; /* its trace is not used */
};

struct explain_step {
    char *name;
    bool good;
    char *text; /* what came out; may hold anything that the token says */
};

struct explain_report {
    struct explain_step *steps;
    size_t count;
    bool allowed;
    bool needs_keys;        /* refused, but the issuer may have newer keys than the ring */
    bool reported;          /* allowed because the route only reports */
    struct refusal refusal; /* unless allowed, or where reported */
    unsigned status;        /* that a client sees */
    char *challenge;        /* WWW-Authenticate; "" = none */
    char *route;            /* path of the route that judges; "" = none */
    const char *advice;     /* what to change; "" where it is allowed. Static */
};

/*
 * Answer it. Nothing is fetched and nothing changes. Returns 0 with *ret for explain_done(), or
 * ERR_MEMORY.
 */
int explain(const struct explain_question *question, struct explain_report *ret) MUST_CHECK;
void explain_done(struct explain_report *report);

/* For people; what tokens say is written without control characters. */
void explain_write_text(const struct explain_report *report, struct buf *out);

/* For machines: one JSON object. */
void explain_write_json(const struct explain_report *report, struct buf *out);

#endif
