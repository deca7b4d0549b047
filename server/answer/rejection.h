/*
 * rejection: the answer to a refused request, with what helps its sender: the scopes or the login
 * that are needed, where to get tokens, which methods there are.
 */
#ifndef SERVER_ANSWER_REJECTION_H
#define SERVER_ANSWER_REJECTION_H

#include "server/answer/answer.h"
#include "server/policy/decision.h"
#include "server/policy/resource.h"

/* The request, as far as it was understood. Absent and NULL where nothing is known. */
struct rejection {
    const char *realm;
    const struct resources *resources;
    struct span host;                /* as a Host header has it */
    struct span path;                /* normalised */
    const struct decision *decision; /* that refused it */
    const struct route *other;       /* the path has this one, and the method was wrong */
    struct span allow;               /* or what Allow lists otherwise */
    struct span origin;              /* of a script that may read the answer */
    struct span request_id;          /* where the request was on its way to an upstream */
};

/* The caller frees the answer with answer_done(). */
struct answer rejection_answer(const struct refusal *refusal, const struct rejection *rejection);

#endif
