/*
 * question: what people paste when they ask about a token, made into what a request would carry.
 */
#ifndef SERVER_EXPLAIN_QUESTION_H
#define SERVER_EXPLAIN_QUESTION_H

#include "common/buf.h"
#include "common/err.h"

/* What was taken away. */
struct question_cleaned {
    bool space;  /* white space in it, or around it */
    bool prefix; /* "Authorization:", "Bearer" or both before it */
    bool quotes; /* around it */
};

/*
 * Add the value of an Authorization header to out, "Bearer TOKEN", of a text that holds a token as
 * people copy it; another scheme stays what it is. What remains is judged as it is. Nothing is
 * added where no token remains.
 */
struct question_cleaned question_add_header(struct span text, struct buf *out);

/*
 * A URL, or a path alone, as the host and the target of a request; *ret_host is absent for a path.
 * A fragment is cut off, as every client does. Points into url. ERR_SYNTAX with the reason, which
 * reads behind "the URL ".
 */
int question_read_url(struct span url, struct span *ret_host, struct span *ret_target,
                      struct err_text *err) MUST_CHECK;

#endif
