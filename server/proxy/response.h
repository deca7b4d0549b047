/*
 * response: what an upstream answers, read strictly (RFC 9112). An answer that two readers could
 * frame in two ways is malformed, and nothing of it reaches the client.
 */
#ifndef SERVER_PROXY_RESPONSE_H
#define SERVER_PROXY_RESPONSE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "server/proxy/field.h"

/* A response with more field lines, or a head with more bytes, is refused. */
#define RESPONSE_FIELDS_MAX 200
#define RESPONSE_HEAD_MAX (64 * 1024)
/* The trailer section, its empty line included, in bytes. */
#define RESPONSE_TRAILERS_MAX (16 * 1024)

enum body_framing {
    BODY_NONE,   /* there is none, whatever the head says: HEAD, 1xx, 204, 304 */
    BODY_LENGTH, /* as many bytes as Content-Length says */
    BODY_CHUNKED,
    BODY_UNTIL_CLOSE, /* it ends where the connection does */
};

struct response_head {
    unsigned status; /* 100 to 599 */
    bool http_1_0;
    enum body_framing framing;
    bool has_length; /* there was a Content-Length, also where the framing is BODY_NONE */
    uint64_t length; /* its value; 0 where there was none */
    bool keep_alive; /* the connection may carry another request once the body has ended: HTTP/1.1,
                        not 101, not until close, and no Connection field says "close" */
    struct field fields[RESPONSE_FIELDS_MAX]; /* all of them, hop-by-hop ones too; point into the
                                                 bytes that were parsed */
    size_t field_count;
};

/* What the answer depends on besides its own bytes. */
struct response_context {
    bool to_head;    /* it answers a HEAD request */
    bool to_upgrade; /* the request asked for an upgrade, so that 101 may come */
};

/*
 * Parse the head at the start of bytes. Returns 0 with *ret_used = 0 where it is not complete yet,
 * or with *ret filled and *ret_used the bytes it takes, its empty line included; without that, what
 * *ret holds means nothing. *scanned, zero at first and again after a head that was complete,
 * remembers how far earlier calls looked, so that a head that trickles in costs no more than twice
 * one that comes at once; bytes may have moved meanwhile. A line is judged as soon as its LF has
 * come, the first bytes at once; the pieces in which a head comes never change the verdict.
 * ERR_SYNTAX, ERR_LIMIT with the reason in err: a status line that is not "HTTP/1.0" or "HTTP/1.1",
 * one SP and three digits from 100 to 599 (SP and a reason phrase, or nothing, behind); a line that
 * does not end in CR LF; folded lines; names that are no tokens, also such with white space before
 * the colon; control characters but HTAB, so CR and NUL, in values or the reason phrase; several
 * Content-Length lines or one that is not a plain number of at most 18 digits; Transfer-Encoding
 * that is not exactly one "chunked" (any case), or beside a Content-Length, or in HTTP/1.0, or with
 * 1xx or 204; Content-Length other than 0 with 1xx or 204; 101 that was not asked for; 1xx in
 * HTTP/1.0; too many fields; more than RESPONSE_HEAD_MAX bytes. Any thread.
 */
int response_head_parse(struct span bytes, const struct response_context *context, size_t *scanned,
                        struct response_head *ret, size_t *ret_used,
                        struct err_text *err) MUST_CHECK;

/*
 * The value of the first field of that name (any case), absent where there is none; and how many
 * there are.
 */
struct span response_field(const struct response_head *head, const char *name);
size_t response_field_count(const struct response_head *head, const char *name);

/* How far the body was read. The members are for response.c alone. */
struct body {
    enum body_framing framing;
    uint64_t left; /* of the length, or of the chunk */
    enum body_state {
        BODY_DATA,
        BODY_CHUNK_SIZE, /* in the line with the size of the next chunk */
        BODY_CHUNK_EXTENSION,
        BODY_CHUNK_SIZE_LF,
        BODY_CHUNK_END, /* at the CR behind the chunk's bytes */
        BODY_CHUNK_END_LF,
        BODY_TRAILERS,
        BODY_ENDED,
    } state;
    unsigned digits;      /* of the size so far */
    size_t extension_len; /* bytes of chunk extensions so far, all chunks together */
    struct buf trailers;  /* the trailer section as it came; empty where it has no field */
};

/*
 * Begin with the body behind this head, which is not needed any more afterwards. Allocates nothing:
 * only trailer fields ever do. body_done() frees them.
 */
void body_begin(struct body *body, const struct response_head *head);
void body_done(struct body *body);

/*
 * Take the next piece of the body from bytes. *ret_data is the piece, a part of bytes, or empty;
 * *ret_used is how many of bytes are done with, framing included. Call again with what is left
 * until nothing is used. Bytes behind the end are never used. Returns 0, or ERR_SYNTAX, ERR_LIMIT,
 * ERR_MEMORY with the reason in err, after which there is only body_done(): a chunk size that is
 * not 1 to 15 hexadecimal digits, or is followed by anything but CR LF or ';' and an extension;
 * control characters (HTAB is none) in extensions and more than 4 KiB of them; a chunk that does
 * not end in CR LF; trailer fields that are no field lines by the rules of the head, or too large.
 */
int body_take(struct body *body, struct span bytes, struct span *ret_data, size_t *ret_used,
              struct err_text *err) MUST_CHECK;

/* Was the last byte of the body taken? Never true for BODY_UNTIL_CLOSE. */
bool body_ended(const struct body *body);

/* May the connection end here? True once the body has ended, and always for BODY_UNTIL_CLOSE. */
bool body_may_end(const struct body *body);

/*
 * The trailer fields, once the body has ended: up to max are written to ret and point into body.
 * Returns how many were written.
 */
size_t body_trailers(const struct body *body, struct field *ret, size_t max);

#endif
