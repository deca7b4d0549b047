/*
 * door: is this request framed in exactly one way (RFC 9112)? libmicrohttpd lets nearly anything
 * through, and what two servers read differently is how requests are smuggled.
 */
#ifndef SERVER_LOOP_DOOR_H
#define SERVER_LOOP_DOOR_H

#include <microhttpd.h>

#include "common/span.h"
#include "server/proxy/field.h"
#include "server/token/reason.h"

/* The head of a request as libmicrohttpd shows it to its handler. */
struct door_head {
    struct MHD_Connection *connection;
    const char *method;
    const char *url; /* where the target begins in the connection's buffer */
    const char *version;
    struct span raw_target;
    size_t header_max; /* limit for the whole head, in bytes */
    uint64_t number;   /* of the request: of no other of this worker, and not 0 */
};

/* What the later steps need of the headers; spans live as long as the request. */
struct door_result {
    struct span authorization; /* the first one; absent if there is none */
    size_t authorization_count;
    struct span host; /* absent: HTTP/1.0 without */
    bool http_1_0;
    bool has_body;
    bool chunked;            /* then: of unknown length */
    uint64_t content_length; /* or of this one */
    bool expects_continue;   /* RFC 9110 section 10.1.1 */
    uint64_t consumed; /* bytes of all requests of the connection so far, this one's body included,
                        * but not what frames chunks or stands before a request line */
};

/*
 * Refused: a method that is no token; header names that are no tokens, values with control
 * characters; none or several Host headers or one that is no host; Content-Length that is not one
 * plain number; Transfer-Encoding that is not exactly "chunked", or together with Content-Length
 * or in HTTP/1.0; a head larger than header_max; and a head of which libmicrohttpd does not show
 * every byte: bare LF as line end, folded lines, NUL bytes, stray spaces in the request line. One
 * form stays hidden: a NUL and a bare LF look like the CR LF they stand for, and hide nothing.
 * fields gets the header fields, whose bytes live as long as the request, and its number for owner;
 * what is refused owns none. ret is the same for all requests of a connection, zeroed before the
 * first; it stays as it was where one is refused.
 */
bool door_check(const struct door_head *head, struct field_list *fields, struct door_result *ret,
                struct refusal *refusal) MUST_CHECK;

/*
 * The same for the trailer section behind a chunked body: names that are tokens, values without
 * control characters, lines that end in CR LF, are not folded and hold no NUL. fields gets its
 * fields, which nobody owns.
 */
bool door_check_trailers(struct MHD_Connection *connection, struct field_list *fields,
                         struct refusal *refusal) MUST_CHECK;

/* The fields of a request whose head was checked, for fields that others were put in since. False
 * without memory. */
bool door_collect(struct MHD_Connection *connection, uint64_t number,
                  struct field_list *fields) MUST_CHECK;

#endif
