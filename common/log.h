/*
 * log: one event a line, to standard error, as JSON or text; or as entries of systemd's journal.
 *
 * A line has a message that never changes (what happened) and fields (on what, why). Values from
 * outside go in fields only: they are cut at LOG_VALUE_MAX, or shorter where the line would exceed
 * 4 KiB, and escaped, so that no stranger can forge a line or make one vanish. Callers never pass a
 * token, a signature or an Authorization header.
 *
 * A warning or an error that is said more than ten times in ten seconds, with the same message
 * about the same issuer, upstream and target, is then counted instead; the line that tells the
 * count ends in "repeated". Lines less urgent, those of requests among them, are all written.
 *
 *     LOG(LOG_NOTICE, "keys refreshed", LOG_TEXT("issuer", issuer), LOG_NUMBER("keys", count));
 *
 * Any thread. Never blocks: what a full pipe or disk, or a stuck journal, does not take is dropped
 * and counted, and the count is logged when writing works again.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

/* The numbers are syslog's, so that the journal understands them. */
enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_NOTICE = 5, LOG_INFO = 6, LOG_DEBUG = 7 };

/*
 * Text to the journal by way of standard error begins with its priority, "<4>" (sd-daemon(3)); JSON
 * is the same bytes wherever it goes. LOG_FORMAT_JOURNAL sends entries with a field for each field
 * of the line, BEARERD_REASON=token_expired, and with BEARERD_EVENT, the message that never
 * changes; where no journal listens, each line is text on standard error, after one warning.
 */
enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT, LOG_FORMAT_JOURNAL };

#define LOG_VALUE_MAX 512

struct log_field {
    const char *name;
    enum { LOG_FIELD_SPAN, LOG_FIELD_NUMBER } kind;
    struct span text;
    int64_t number;
};

#define LOG_TEXT(field, value) ((struct log_field){(field), LOG_FIELD_SPAN, span_of(value), 0})
#define LOG_SPAN(field, value) ((struct log_field){(field), LOG_FIELD_SPAN, (value), 0})
#define LOG_NUMBER(field, value)                                                                   \
    ((struct log_field){(field), LOG_FIELD_NUMBER, SPAN_NONE, (int64_t)(value)})

/* A field whose text is absent is left out of the line. An empty field stands before the first, so
 * that there may be none. */
#define LOG(level, message, ...)                                                                   \
    do {                                                                                           \
        if (log_enabled(level))                                                                    \
            log_write((level), (message),                                                          \
                      &(const struct log_field[]){{0}, ##__VA_ARGS__, {0}}[1]);                    \
    } while (0)

/* Level and format from now on; both may change while threads log. */
void log_configure(enum log_format format, enum log_level level);
bool log_enabled(enum log_level level);

/* fields ends with one whose name is NULL; message lives for ever. Prefer the macro. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/*
 * Tell how often what was counted has come, where its ten seconds are over; with all, they are over
 * for every message. Call it now and then: otherwise the next line of any thread tells it.
 */
void log_tell_repeats(bool all);

/* Any thread: lines since the start that were dropped because they could not be written. */
uint64_t log_dropped(void);

/*
 * A thread that writes many lines collects them between log_batch_begin() and log_batch_flush() and
 * pays one write for all. Each thread has its own batch: flush as often as the loop turns, end it
 * when the thread ends.
 */
void log_batch_begin(void);
void log_batch_flush(void);
void log_batch_end(void);

#endif
