/*
 * explain: why a request with this token would be let through or refused, step by step. It walks
 * the stairs of a real request, with the daemon's own code and a trace; nothing is judged twice.
 */
#ifndef SERVER_EXPLAIN_EXPLAIN_H
#define SERVER_EXPLAIN_EXPLAIN_H

#include "server/explain/report.h"
#include "server/keys/keyring.h"
#include "server/policy/resource.h"
#include "server/policy/route.h"
#include "server/token/evidence.h"

/* What is asked. Borrowed for the call. */
struct explain_question {
    const struct config *config;
    const struct keyring *ring;
    const struct routes *routes;
    const struct resources *resources;
    struct span method;
    struct span host;                 /* as a Host header has it; absent: none */
    struct span target;               /* path and query; absent: the token alone is judged */
    const struct evidence *evidence;  /* its trace is not used */
    const struct explain_note *notes; /* where the keys come from */
    size_t note_count;
    const char
        *not_denied; /* why the deny list could not be read; NULL: it was, or there is none */
};

/*
 * Answer it. Nothing is fetched and nothing changes. Returns 0 with *ret for explain_done(), or
 * ERR_MEMORY.
 */
int explain(const struct explain_question *question, struct explain_report *ret) MUST_CHECK;

#endif
