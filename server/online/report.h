/*
 * report: what is told about one issuer, line by line, for a person at a terminal.
 *
 *     https://idp.example.com
 *       ok    resolve       2 ms  idp.example.com: 192.0.2.7
 *       FAIL  connect    5000 ms  hangs: nothing comes back from 192.0.2.7:443
 *                                 do: ...
 */
#ifndef SERVER_ONLINE_REPORT_H
#define SERVER_ONLINE_REPORT_H

#include <stdint.h>

#include "common/buf.h"

enum outcome {
    OUTCOME_OK,
    OUTCOME_NOTE, /* worth knowing */
    OUTCOME_WARN, /* tokens are accepted, but something is not as it should be */
    OUTCOME_FAIL, /* why they are not */
};

struct report {
    struct buf text;
    const char *failed; /* the first step that did; NULL. Static */
    unsigned warnings;
};

/* No time, for report_line(). */
#define REPORT_UNTIMED (-1)

/* An empty report that begins with its heading. report_done() frees it. */
struct report report_make(const char *heading);
void report_done(struct report *report);

/*
 * One step: its outcome, its name (static) and time, and what printf would print. Control
 * characters, and what is not UTF-8, become '?': texts of strangers must not steer a terminal.
 */
void report_line(struct report *report, enum outcome outcome, const char *step, int64_t took_ms,
                 const char *format, ...) PRINTF_LIKE(5, 6);

/* A further line to the last step, set in; and one that says what to do (nothing where it is "").
 */
void report_more(struct report *report, const char *format, ...) PRINTF_LIKE(2, 3);
void report_advice(struct report *report, const char *advice);

#endif
