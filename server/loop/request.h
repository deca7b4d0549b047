/*
 * request: the stairs that each request walks: door, route, credential, principal, decision,
 * answer. Always forward; a step finishes, or the request waits for keys and is judged anew.
 */
#ifndef SERVER_LOOP_REQUEST_H
#define SERVER_LOOP_REQUEST_H

#include "server/loop/worker.h"

/* libmicrohttpd's callbacks; the argument is the worker. */
void *request_on_target(void *argument, const char *target, struct MHD_Connection *connection);
enum MHD_Result request_on_call(void *argument, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_len, void **state);
void request_on_completed(void *argument, struct MHD_Connection *connection, void **state,
                          enum MHD_RequestTerminationCode code);

/*
 * Resume the requests that wait for keys and need wait no longer: the refresh has ended, newer keys
 * are published, their time is up, or all is set.
 */
void request_resume_waiting(struct worker *worker, bool all);

/* Free what a request holds, when its connection ends. */
void request_done(struct request *request);

/* The longest that a request waits for keys. */
#define REQUEST_WAIT_MS 2000

#endif
