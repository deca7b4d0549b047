/*
 * log: one event a line, to standard error, as JSON or text.
 *
 * A line has a message that never changes (what happened) and fields (on what, why). Values from
 * outside go in fields only: they are cut at LOG_VALUE_MAX, or shorter where the line would exceed
 * 4 KiB, and escaped, so that no stranger can forge a line or make one vanish. Callers never pass a
 * token, a signature or an Authorization header.
 *
 *     LOG(LOG_NOTICE, "keys refreshed", LOG_TEXT("issuer", issuer), LOG_NUMBER("keys", count));
 *
 * Any thread. Never blocks: what a full pipe or disk does not take is dropped and counted, and the
 * count is logged when writing works again.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

/* The numbers are syslog's, so that the journal understands them. */
enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_NOTICE = 5, LOG_INFO = 6, LOG_DEBUG = 7 };
enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

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

/* fields ends with one whose name is NULL. Prefer the macro. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/*
 * A thread that writes many lines collects them between log_batch_begin() and log_batch_flush() and
 * pays one write for all. Each thread has its own batch: flush as often as the loop turns, end it
 * when the thread ends.
 */
void log_batch_begin(void);
void log_batch_flush(void);
void log_batch_end(void);

#endif
