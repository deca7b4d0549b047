/*
 * cors: what browsers are told about scripts of other origins (the Fetch standard's CORS protocol).
 */
#ifndef SERVER_ANSWER_CORS_H
#define SERVER_ANSWER_CORS_H

#include "server/answer/answer.h"
#include "server/policy/route.h"

/* Headers of an answer that scripts may read besides those that every one may. */
#define CORS_EXPOSED "WWW-Authenticate, X-Request-Id"

/*
 * Is it a preflight: OPTIONS with an Origin and the method that is asked about, and without
 * credentials, which no browser sends with one? Absent spans: headers that were not sent.
 */
bool cors_is_preflight(struct span method, struct span origin, struct span asked_method,
                       size_t authorization_count);

/* May scripts from there read what the route answers? Never for an absent origin. */
bool cors_allows(const struct config_route *route, struct span origin);

/* Add the header lines that let a script of an allowed origin read an answer. */
void cors_add_lines(struct span origin, struct buf *lines);

/*
 * The answer to a preflight about that method, from an allowed origin. It names this method alone,
 * so that nothing is learnt about others. The caller frees it with answer_done().
 */
struct answer cors_answer(const struct route *route, struct span asked_method, struct span origin);

#endif
