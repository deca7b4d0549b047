/*
 * query: names and values of a request's query, as forms and `curl -G --data-urlencode` write them
 * (application/x-www-form-urlencoded): %XX for any byte, '+' for a space, %2B for a '+'.
 */
#ifndef SERVER_ANSWER_QUERY_H
#define SERVER_ANSWER_QUERY_H

#include "common/buf.h"
#include "server/token/reason.h"

/* A name that may be given, and what was given for it. */
struct query_value {
    const char *name;
    struct buf value; /* NUL-terminated text, where it was given */
    bool given;
};

/*
 * Read the query (absent: empty) into values, whose names the caller has set. Refused, for each may
 * mean something else than was written: names that are not among them or come twice, pieces without
 * '=' or without anything, a '%' without two hex digits, NUL, and bytes that are not UTF-8. The
 * caller frees the values with query_done() in any case.
 */
bool query_read(struct span query, struct query_value *values, size_t count,
                struct refusal *refusal) MUST_CHECK;

/* Free what query_read() put there. */
void query_done(struct query_value *values, size_t count);

/* The value; absent where it was not given. */
static inline struct span query_span(const struct query_value *value) {
    return value->given ? buf_span(&value->value) : SPAN_NONE;
}

#endif
