/*
 * echo: an upstream that tells what it was sent: method, path and headers, as JSON.
 */
#ifndef SERVER_DEV_ECHO_H
#define SERVER_DEV_ECHO_H

#include "server/dev/web.h"

/* Serve on a free port of 127.0.0.1; stop it with web_stop(). NULL: it could not be started. */
struct web *echo_start(void);

#endif
