/*
 * respond: hands an answer to libmicrohttpd.
 */
#ifndef SERVER_ANSWER_RESPOND_H
#define SERVER_ANSWER_RESPOND_H

#include <microhttpd.h>

#include "server/answer/answer.h"

CLEANUP_DEFINE(struct MHD_Response *, MHD_destroy_response)

/*
 * The answer as libmicrohttpd has it, but for the status: all of it is copied. Nothing in it
 * changes by being sent, so it may be queued again and again, by one worker. NULL without memory.
 * The caller drops it with MHD_destroy_response(); connections that it is queued on hold it
 * themselves.
 */
struct MHD_Response *respond_make(const struct answer *answer) MUST_CHECK;

/* About how many bytes of memory respond_make() takes for that answer. */
size_t respond_size(const struct answer *answer);

#endif
