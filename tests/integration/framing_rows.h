/*
 * framing_rows: bytes that two servers could read as different requests, by what is wrong with
 * them. Each asks by GET for "/" of the host "h", and where there is room for it a second request,
 * for FRAMING_HIDDEN, is behind it.
 */
#ifndef TESTS_INTEGRATION_FRAMING_ROWS_H
#define TESTS_INTEGRATION_FRAMING_ROWS_H

#include "common/span.h"

/* What an attacker hopes to have taken for a request of its own. */
#define FRAMING_HIDDEN "/smuggled"
#define FRAMING_TAIL "GET " FRAMING_HIDDEN " HTTP/1.1\r\nHost: h\r\n\r\n"

struct framing_row {
    const char *name;
    struct span bytes;
};

struct framing_table {
    const struct framing_row *rows;
    size_t count;
    int status; /* of the answer: the only one, and the connection is closed behind it */
};

extern const struct framing_table framing_lengths;
extern const struct framing_table framing_too_large; /* lengths, too */
extern const struct framing_table framing_codings;
extern const struct framing_table framing_hosts;
extern const struct framing_table framing_lines; /* their ends, and folded ones */
extern const struct framing_table framing_names;
extern const struct framing_table framing_request_lines;
extern const struct framing_table framing_versions;

/*
 * Bodies for behind a head with Transfer-Encoding: chunked, without the tail; of status 0. Sound
 * ones all say "hello", and so do the lines that libmicrohttpd takes although they end in LF alone
 * or hold what no extension may.
 */
extern const struct framing_table framing_sound_chunks;
extern const struct framing_table framing_bad_chunks;
extern const struct framing_table framing_lf_chunks;
extern const struct framing_table framing_hiding_chunks;
extern const struct framing_table framing_lax_trailers; /* refused */

/* Host fields that are fine, up to NULL. */
extern const char *const framing_good_hosts[];

#endif
