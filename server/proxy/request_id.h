/*
 * request_id: the name of one request in every log on its way.
 */
#ifndef SERVER_PROXY_REQUEST_ID_H
#define SERVER_PROXY_REQUEST_ID_H

#include "server/proxy/field.h"

/* The longest that is taken over from a client. */
#define REQUEST_ID_MAX 128

struct request_id {
    char text[REQUEST_ID_MAX + 1];
};

/*
 * The client's X-Request-Id where it sent exactly one of 1 to REQUEST_ID_MAX letters, digits and
 * "-._~+/=:", else a new random one of 32 hexadecimal digits. Any thread.
 */
void request_id_choose(struct fields fields, struct request_id *ret);

#endif
