/*
 * endpoint: the answers that bearerd gives itself, by name.
 */
#ifndef SERVER_ANSWER_ENDPOINT_H
#define SERVER_ANSWER_ENDPOINT_H

#include "server/answer/answer.h"
#include "server/policy/decision.h"

/*
 * The answer of the route's endpoint to an allowed decision; a decision that is not allowed gives a
 * 500, and never the answer. The caller frees it with answer_done().
 */
struct answer endpoint_answer(const struct decision *decision);

/* An address that stands for the endpoint of an allowed decision, whose answer depends on nothing
 * else but the principal; NULL where endpoint_answer() has none. */
const void *endpoint_key(const struct decision *decision);

#endif
