/*
 * client: a raw HTTP/1.1 client that sends whatever bytes a test wants and reads strictly.
 */
#ifndef TESTS_SUPPORT_CLIENT_H
#define TESTS_SUPPORT_CLIENT_H

#include <stdbool.h>

#include "common/span.h"

struct client;

/* One answer. client_response_done() frees what it holds; fine on a zeroed one. */
struct response {
    int status;
    char *head; /* status line and header lines with their CRLFs; NUL-terminated */
    char *body; /* without chunk framing; NUL-terminated */
    size_t body_len;
};

enum client_result {
    CLIENT_OK,
    CLIENT_TIMEOUT,   /* no whole answer in time */
    CLIENT_CLOSED,    /* the server closed or reset before a whole answer */
    CLIENT_MALFORMED, /* not HTTP/1.1 as RFC 9112 has it */
};

/* A connection to 127.0.0.1:port, or to a Unix socket; NULL where it is refused. */
struct client *client_connect(int port);
struct client *client_connect_unix(const char *path);
void client_free(struct client *client); /* NULL is fine */

/* False where the server closed meanwhile. */
bool client_send(struct client *client, struct span bytes);
bool client_sendf(struct client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* No more bytes from us (half-close); and: drop the connection with a reset. */
void client_finish(struct client *client);
void client_reset(struct client *client);

/*
 * Read one answer, an interim one (1xx) as well; bytes behind it stay for the next call. The body
 * ends as Content-Length, chunks or the end of the connection say; none for 1xx, 204 and 304. *ret
 * is set on CLIENT_OK only. client_read_to_head() is for the answer to a HEAD request.
 */
enum client_result client_read(struct client *client, int within_ms, struct response *ret);
enum client_result client_read_to_head(struct client *client, int within_ms, struct response *ret);

/* True when the server closed or reset, without another byte, within that time. */
bool client_closed(struct client *client, int within_ms);

void client_response_done(struct response *response);

/*
 * The value of the first header of that name (any case), without the spaces around it; absent where
 * there is none. Points into the response. And how many there are.
 */
struct span response_header(const struct response *response, const char *name);
int response_header_count(const struct response *response, const char *name);

/*
 * One request on a connection of its own: GET path with that Authorization value (NULL: none).
 * Returns the status, with the answer in *ret; or 0 where none came within five seconds, *ret then
 * zeroed. ret may be NULL.
 */
int http_get(int port, const char *path, const char *authorization, struct response *ret);

#endif
