#include "server/online/report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/utf8.h"

#define REPORT_MAX ((size_t)256 * 1024)
#define LINE_MAX 2048

/* C1, and the general punctuation, which holds marks that turn the direction of writing. */
static bool is_hidden(struct span character) {
    const unsigned char *bytes = (const unsigned char *)character.ptr;
    if (character.len == 1) return bytes[0] < ' ' || bytes[0] == 0x7f;
    if (character.len == 2) return bytes[0] == 0xc2 && bytes[1] < 0xa0;
    return character.len == 3 && bytes[0] == 0xe2 && (bytes[1] == 0x80 || bytes[1] == 0x81);
}

static void add_clean(struct buf *out, struct span text) {
    while (text.len) {
        size_t width = utf8_width(text);
        struct span character = span_until(text, width ? width : 1);
        if (width && !is_hidden(character))
            buf_add(out, character);
        else
            buf_add_char(out, '?');
        text = span_from(text, character.len);
    }
}

static void add_line(struct buf *out, const char *format, va_list values) {
    char line[LINE_MAX];
    vsnprintf(line, sizeof line, format, values);
    add_clean(out, span_of(line));
    buf_add_char(out, '\n');
}

struct report report_make(const char *heading) {
    struct report report = {.text = buf_make(REPORT_MAX)};
    add_clean(&report.text, span_of(heading));
    buf_add_char(&report.text, '\n');
    return report;
}

void report_done(struct report *report) {
    buf_done(&report->text);
}

void report_line(struct report *report, enum outcome outcome, const char *step, int64_t took_ms,
                 const char *format, ...) {
    static const char *const names[] = {"ok", "note", "warn", "FAIL"};
    va_list values;

    buf_addf(&report->text, "  %-4s  %-9s ", names[outcome], step);
    if (took_ms < 0)
        buf_addf(&report->text, "%8s  ", "");
    else
        buf_addf(&report->text, "%5" PRId64 " ms  ", took_ms);
    va_start(values, format);
    add_line(&report->text, format, values);
    va_end(values);
    if (outcome == OUTCOME_WARN) report->warnings++;
    if (outcome == OUTCOME_FAIL && !report->failed) report->failed = step;
}

void report_more(struct report *report, const char *format, ...) {
    va_list values;

    buf_addf(&report->text, "%28s", "");
    va_start(values, format);
    add_line(&report->text, format, values);
    va_end(values);
}

void report_advice(struct report *report, const char *advice) {
    if (*advice) report_more(report, "do: %s", advice);
}
