/*
 * report: what came of a question, step by step, and how it is told to people and to machines.
 */
#ifndef SERVER_EXPLAIN_REPORT_H
#define SERVER_EXPLAIN_REPORT_H

#include "common/buf.h"
#include "server/token/reason.h"

enum explain_outcome {
    EXPLAIN_OK,
    EXPLAIN_NOTE, /* decides nothing, but is worth knowing */
    EXPLAIN_FAILED,
};

/* A step in the making. */
struct explain_note {
    enum explain_outcome outcome;
    char text[512];
};

struct explain_step {
    char *name;
    enum explain_outcome outcome;
    char *text; /* what came out; may hold anything that the token says */
};

struct explain_report {
    struct explain_step *steps;
    size_t count;
    bool failed; /* memory ran out */
    bool allowed;
    bool needs_keys;        /* refused, but the issuer may have newer keys than the ring */
    bool reported;          /* allowed because the route only reports */
    bool doubtful;          /* allowed, but not everything could be looked at */
    struct refusal refusal; /* unless allowed, or where reported */
    unsigned status;        /* that a client sees */
    char *challenge;        /* WWW-Authenticate; NULL = none */
    char *route;            /* path of the route that judges; NULL = none */
    const char *advice;     /* what to change; "" where it is allowed. Static */
};

/* Copies both texts. Without memory the report has failed. */
void explain_add_step(struct explain_report *report, const char *name, enum explain_outcome outcome,
                      const char *text);

/* Free what it holds; leaves it empty. */
void explain_done(struct explain_report *report);

/* For people; what tokens say is written without what could steer a terminal. */
void explain_write_text(const struct explain_report *report, struct buf *out);

/* For machines: one JSON object. */
void explain_write_json(const struct explain_report *report, struct buf *out);

#endif
