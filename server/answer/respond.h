/*
 * respond: hands an answer to libmicrohttpd.
 */
#ifndef SERVER_ANSWER_RESPOND_H
#define SERVER_ANSWER_RESPOND_H

#include <microhttpd.h>

#include "server/answer/answer.h"

/*
 * Queue the answer on the connection. Worker thread. All of it is copied. Returns false where it
 * could not be queued; the connection must then be closed.
 */
bool respond(struct MHD_Connection *connection, const struct answer *answer) MUST_CHECK;

#endif
