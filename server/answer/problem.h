/*
 * problem: a refusal as an HTTP answer: status, challenge and body (RFC 6750 section 3, RFC 9470
 * section 3, RFC 9728 section 5.1, RFC 9110 section 11.6.1).
 */
#ifndef SERVER_ANSWER_PROBLEM_H
#define SERVER_ANSWER_PROBLEM_H

#include <stdint.h>

#include "server/answer/answer.h"
#include "server/token/reason.h"

/* What a problem tells besides its refusal. Absent spans are left out. */
struct problem_context {
    const char *realm;
    struct span scope;             /* for insufficient_scope: the scopes that are needed */
    struct span acr_values;        /* for insufficient_user_authentication: how to log in, */
    int64_t max_age;               /* and how long ago at most, in seconds; 0 = at any time */
    struct span resource_metadata; /* URL, for every challenge (RFC 9728 section 5.1) */
    struct span allow;             /* for a method that is not allowed */
    struct span origin;            /* of a script that may read the answer */
    struct span request_id;        /* where the request was on its way to an upstream */
};

/*
 * The answer to a refused request. Descriptions are reduced to what RFC 6750 section 3 lets stand
 * in one; realm and scope are quoted and escaped. The caller frees it with answer_done().
 */
struct answer problem_answer(const struct refusal *refusal, const struct problem_context *context);

/* The status that problem_answer() gives for a reason. */
unsigned problem_status(enum reason reason);

/* The error that its body names. Static. */
const char *problem_error(enum reason reason);

#endif
