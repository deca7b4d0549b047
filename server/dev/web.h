/*
 * web: a small web server on a free loopback port, on a thread of its own, for the development
 * helpers.
 */
#ifndef SERVER_DEV_WEB_H
#define SERVER_DEV_WEB_H

#include <microhttpd.h>

#include "common/buf.h"

struct web_request {
    struct MHD_Connection *connection;
    const char *method;
    const char *path;
    struct span body;
};

/* Write the body to out and return the status; *content_type is application/json beforehand. */
typedef unsigned web_handler(void *argument, const struct web_request *request, struct buf *out,
                             const char **content_type);

struct web;

/* NULL: it could not be started. */
struct web *web_start(web_handler *handler, void *argument);
void web_stop(struct web *web); /* NULL is fine */
unsigned web_port(const struct web *web);

#endif
