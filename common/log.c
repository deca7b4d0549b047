#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/journal.h"
#include "common/repeats.h"

/* PIPE_BUF: as much a pipe takes whole, and POLLOUT promises room for it (pipe(7)). */
#define LINE_MAX_BYTES 4096
#define BATCH_MAX_BYTES (64 * 1024)
/* The line as text and each of its values once more. */
#define ENTRY_MAX_BYTES (4 * LINE_MAX_BYTES)

static _Atomic int current_level = LOG_INFO;
static _Atomic int current_format = LOG_FORMAT_TEXT;
static _Atomic uint64_t dropped; /* and not told yet */
static _Atomic uint64_t dropped_ever;
static struct repeats repeats = REPEATS_EMPTY;

static _Atomic int journal_socket = -1; /* opened once, when the journal is first wanted */
static atomic_bool told_missing;        /* that there is no journal */

/* Held from asking for room until it is used: two threads that both saw room for one line would
 * block on the second. Never held while waiting. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

static _Thread_local struct buf batch;
static _Thread_local bool batching;

static const char *level_name(enum log_level level) {
    static const char *const names[] = {[LOG_ERROR] = "error",
                                        [LOG_WARNING] = "warning",
                                        [LOG_NOTICE] = "notice",
                                        [LOG_INFO] = "info",
                                        [LOG_DEBUG] = "debug"};
    return names[level];
}

void log_configure(enum log_format format, enum log_level level) {
    if (format == LOG_FORMAT_JOURNAL && atomic_load(&journal_socket) < 0)
        atomic_store(&journal_socket, journal_open());
    atomic_store(&current_format, (int)format);
    atomic_store(&current_level, (int)level);
}

bool log_enabled(enum log_level level) {
    return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

/*
 * Can one write of up to PIPE_BUF bytes go out now without blocking? Files always can; a pipe or
 * socket says so by POLLOUT.
 */
static bool can_write(void) {
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT);
}

static void count_dropped(void) {
    atomic_fetch_add(&dropped, 1);
    atomic_fetch_add(&dropped_ever, 1);
}

static void count_dropped_lines(struct span lines) {
    for (size_t i = 0; i < lines.len; i++)
        if (lines.ptr[i] == '\n') count_dropped();
}

static bool write_all(struct span bytes) {
    while (bytes.len) {
        if (!can_write()) return false;
        ssize_t n = write(STDERR_FILENO, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes = span_from(bytes, (size_t)n);
    }
    return true;
}

/* Write whole lines, at most PIPE_BUF bytes at a time so that POLLOUT keeps its promise. */
static bool write_lines(struct span lines) {
    while (lines.len) {
        size_t end = lines.len;
        if (end > LINE_MAX_BYTES) {
            end = LINE_MAX_BYTES;
            while (lines.ptr[end - 1] != '\n') end--;
        }
        if (!write_all(span_until(lines, end))) {
            count_dropped_lines(lines);
            return false;
        }
        lines = span_from(lines, end);
    }
    return true;
}

/* Foreign text cut to its ceiling, never inside a UTF-8 sequence, which is 4 bytes at most. */
static struct span bounded(struct span text, size_t max) {
    if (text.len <= max) return text;
    size_t end = max;
    while (end && max - end < 3 && ((unsigned char)text.ptr[end] & 0xc0) == 0x80) end--;
    return span_until(text, end);
}

static bool is_plain(struct span text) {
    if (text.len == 0) return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f || text.ptr[i] == '"' || text.ptr[i] == '=')
            return false;
    return true;
}

static void add_text(struct buf *line, const char *message, const struct log_field *fields,
                     size_t value_max) {
    buf_add_text(line, message);
    for (; fields->name; fields++) {
        if (fields->kind == LOG_FIELD_NUMBER) {
            buf_addf(line, " %s=%" PRId64, fields->name, fields->number);
        } else if (fields->text.ptr) {
            struct span text = bounded(fields->text, value_max);
            buf_addf(line, " %s=", fields->name);
            if (is_plain(text))
                buf_add(line, text);
            else
                buf_add_json(line, text);
        }
    }
}

static void add_json(struct buf *line, enum log_level level, const char *message,
                     const struct log_field *fields, size_t value_max) {
    char date[CLOCK_TEXT_MAX];
    buf_addf(line,
             "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", clock_format(clock_wall(), date),
             level_name(level));
    buf_add_json(line, span_of(message));
    for (; fields->name; fields++) {
        if (fields->kind == LOG_FIELD_NUMBER) {
            buf_addf(line, ",\"%s\":%" PRId64, fields->name, fields->number);
        } else if (fields->text.ptr) {
            buf_addf(line, ",\"%s\":", fields->name);
            buf_add_json(line, bounded(fields->text, value_max));
        }
    }
    buf_add_char(line, '}');
}

/*
 * Is standard error the journal? systemd names it in JOURNAL_STREAM by device and inode, since a
 * shell may have redirected it meanwhile (systemd.exec(5)). The journal wants "<priority>" first
 * (sd-daemon(3)) and keeps the time itself.
 */
static bool is_journal(void) {
    const char *named = getenv("JOURNAL_STREAM");
    char actual[64];
    struct stat status;

    if (!named || fstat(STDERR_FILENO, &status) < 0) return false;
    snprintf(actual, sizeof actual, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    return strcmp(named, actual) == 0;
}

static void add_line(struct buf *line, enum log_level level, const char *message,
                     const struct log_field *fields, size_t value_max) {
    if (atomic_load_explicit(&current_format, memory_order_relaxed) == LOG_FORMAT_JSON) {
        add_json(line, level, message, fields, value_max);
    } else {
        char date[CLOCK_TEXT_MAX];
        if (is_journal())
            buf_addf(line, "<%d>", (int)level);
        else
            buf_addf(line, "%s ", clock_format(clock_wall(), date));
        buf_addf(line, "%s: ", level_name(level));
        add_text(line, message, fields, value_max);
    }
    buf_add_char(line, '\n');
}

/*
 * A line that fits. Escaping makes a value up to six times as long: where that is too much, all
 * values are cut shorter, for a stranger must not make a line about him disappear.
 */
static void add_fitting_line(struct buf *line, enum log_level level, const char *message,
                             const struct log_field *fields) {
    for (size_t value_max = LOG_VALUE_MAX; value_max; value_max /= 4) {
        buf_reset(line);
        add_line(line, level, message, fields, value_max);
        if (buf_ok(line)) return;
    }
}

/* Tell, once writing works again, how many lines were lost meanwhile. */
static void report_dropped(void) {
    uint64_t lost = atomic_exchange(&dropped, 0);
    if (lost == 0) return;

    struct buf line = buf_make(LINE_MAX_BYTES);
    add_fitting_line(&line, LOG_WARNING, "log lines were lost: standard error did not take them",
                     (const struct log_field[]){LOG_NUMBER("lines", lost), {0}});
    if (!buf_ok(&line) || !write_all(buf_span(&line))) atomic_fetch_add(&dropped, lost);
    buf_done(&line);
}

static void emit(struct span lines) {
    pthread_mutex_lock(&writing);
    if (write_lines(lines)) report_dropped();
    pthread_mutex_unlock(&writing);
}

static void put_line(enum log_level level, const char *message, const struct log_field *fields) {
    struct buf line = buf_make(LINE_MAX_BYTES);

    add_fitting_line(&line, level, message, fields);
    if (batching && buf_ok(&line)) {
        if (batch.len + line.len > batch.max) log_batch_flush();
        buf_add(&batch, buf_span(&line));
    } else if (buf_ok(&line)) {
        emit(buf_span(&line));
    }
    if (!buf_ok(&line) || !buf_ok(&batch)) count_dropped();
    buf_done(&line);
}

/* --- the journal --------------------------------------------------------------------------- */

/* "took_ms" is BEARERD_TOOK_MS there. */
static void add_entry_field(struct buf *entry, const struct log_field *field, size_t value_max) {
    char name[64] = "BEARERD_", number[32];
    size_t len = strlen(name);

    for (const char *c = field->name; *c && len < sizeof name; c++)
        name[len++] = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    struct span value = bounded(field->text, value_max);
    if (field->kind == LOG_FIELD_NUMBER) {
        snprintf(number, sizeof number, "%" PRId64, field->number);
        value = span_of(number);
    }
    if (value.ptr) journal_add(entry, (struct span){name, len}, value);
}

static bool add_entry(struct buf *entry, enum log_level level, const char *message,
                      const struct log_field *fields, size_t value_max) {
    struct buf text = buf_make(LINE_MAX_BYTES);

    buf_reset(entry);
    add_text(&text, message, fields, value_max);
    journal_add(entry, SPAN_LITERAL("MESSAGE"), buf_span(&text));
    buf_addf(entry, "PRIORITY=%d\nSYSLOG_IDENTIFIER=bearerd\n", (int)level);
    journal_add(entry, SPAN_LITERAL("BEARERD_EVENT"), span_of(message));
    for (; fields->name; fields++) add_entry_field(entry, fields, value_max);
    bool fits = buf_ok(&text) && buf_ok(entry);
    buf_done(&text);
    return fits;
}

/* Values are cut shorter where the entry would not fit, as with lines. */
static enum journal_sent send_entry(enum log_level level, const char *message,
                                    const struct log_field *fields) {
    struct buf entry = buf_make(ENTRY_MAX_BYTES);
    enum journal_sent sent = JOURNAL_BUSY;

    for (size_t value_max = LOG_VALUE_MAX; value_max; value_max /= 4) {
        if (!add_entry(&entry, level, message, fields, value_max)) continue;
        sent = journal_send(atomic_load(&journal_socket), JOURNAL_SOCKET, buf_span(&entry));
        break;
    }
    buf_done(&entry);
    return sent;
}

static void report_dropped_to_journal(void) {
    uint64_t lost = atomic_exchange(&dropped, 0);
    if (lost && send_entry(LOG_WARNING, "log lines were lost: the journal did not take them",
                           (const struct log_field[]){LOG_NUMBER("lines", lost), {0}}))
        atomic_fetch_add(&dropped, lost);
}

/* False where there is no journal, which is told once until there is one again. */
static bool put_entry(enum log_level level, const char *message, const struct log_field *fields) {
    switch (send_entry(level, message, fields)) {
    case JOURNAL_SENT:
        if (atomic_load(&told_missing)) atomic_store(&told_missing, false);
        if (atomic_load(&dropped)) report_dropped_to_journal();
        return true;
    case JOURNAL_BUSY:
        count_dropped();
        return true;
    case JOURNAL_MISSING:
        break;
    }
    if (!atomic_exchange(&told_missing, true))
        put_line(LOG_WARNING, "the journal cannot be reached, logging text to standard error",
                 (const struct log_field[]){LOG_TEXT("socket", JOURNAL_SOCKET), {0}});
    return false;
}

/* ------------------------------------------------------------------------------------------- */

static void put(enum log_level level, const char *message, const struct log_field *fields) {
    bool journal =
        atomic_load_explicit(&current_format, memory_order_relaxed) == LOG_FORMAT_JOURNAL;
    if (!journal || !put_entry(level, message, fields)) put_line(level, message, fields);
}

static void tell_repeat(const struct repeat *repeat) {
    struct log_field fields[REPEATS_ABOUT_MAX + 2];
    size_t count = 0;

    for (const struct repeat_about *about = repeat->about; about->name; about++)
        fields[count++] = LOG_SPAN(about->name, ((struct span){about->text, about->len}));
    fields[count++] = LOG_NUMBER("repeated", repeat->times);
    fields[count].name = NULL;
    put(repeat->level, repeat->message, fields);
}

void log_tell_repeats(bool all) {
    int64_t now = clock_monotonic_ms();
    struct repeat repeat;
    while (repeats_take(&repeats, now, all, &repeat)) tell_repeat(&repeat);
}

void log_write(enum log_level level, const char *message, const struct log_field *fields) {
    int64_t now = clock_monotonic_ms();

    if (repeats_due(&repeats, now)) log_tell_repeats(false);
    if (level <= LOG_WARNING && !repeats_pass(&repeats, now, level, message, fields)) return;
    put(level, message, fields);
}

uint64_t log_dropped(void) {
    return atomic_load(&dropped_ever);
}

void log_batch_begin(void) {
    if (!batching) batch = buf_make(BATCH_MAX_BYTES);
    batching = true;
}

void log_batch_flush(void) {
    if (batch.len) emit(buf_span(&batch));
    buf_reset(&batch);
}

void log_batch_end(void) {
    log_batch_flush();
    buf_done(&batch);
    batching = false;
}
