#include "server/explain/report.h"

#include <stdlib.h>

#include "common/utf8.h"

void explain_add_step(struct explain_report *report, const char *name, enum explain_outcome outcome,
                      const char *text) {
    struct explain_step *steps =
        reallocarray(report->steps, report->count + 1, sizeof *report->steps);

    if (!steps) {
        report->failed = true;
        return;
    }
    report->steps = steps;
    struct explain_step *step = &steps[report->count++];
    *step = (struct explain_step){strdup(name), outcome, strdup(text)};
    if (!step->name || !step->text) report->failed = true;
}

void explain_done(struct explain_report *report) {
    for (size_t i = 0; i < report->count; i++) {
        free(report->steps[i].name);
        free(report->steps[i].text);
    }
    free(report->steps);
    free(report->challenge);
    free(report->route);
    *report = (struct explain_report){0};
}

/* --- for people ---------------------------------------------------------------------------- */

/* What a token says must not steer a terminal. */
static void add_plain(struct buf *out, struct span text) {
    while (text.len) {
        uint32_t character;
        size_t width = utf8_decode(text, &character);
        if (width && !utf8_is_steering(character))
            buf_add(out, span_until(text, width));
        else
            buf_add_char(out, '?');
        text = span_from(text, width ? width : 1);
    }
}

static void add_line(struct buf *out, const char *before, const char *text) {
    buf_add_text(out, before);
    add_plain(out, span_of(text));
    buf_add_char(out, '\n');
}

static void add_verdict(const struct explain_report *report, struct buf *out) {
    if (report->allowed) {
        buf_addf(out, "\nallowed: %u%s\n", report->status,
                 report->doubtful ? ", unless what could not be looked at says no" : "");
        return;
    }
    buf_addf(out, "\nrefused: %u %s\n", report->status, reason_name(report->refusal.reason));
    add_line(out, "", report->refusal.text);
}

void explain_write_text(const struct explain_report *report, struct buf *out) {
    static const char *const names[] = {"ok", "note", "FAILED"};

    for (size_t i = 0; i < report->count; i++) {
        const struct explain_step *step = &report->steps[i];
        buf_addf(out, "%-6s %-18s ", names[step->outcome], step->name);
        add_line(out, "", step->text);
    }
    add_verdict(report, out);
    if (report->challenge) add_line(out, "WWW-Authenticate: ", report->challenge);
    if (report->reported)
        add_line(out, "without mode: report it would be refused: ", report->refusal.text);
    if (*report->advice) buf_addf(out, "\nto change: %s\n", report->advice);
}

/* --- for machines -------------------------------------------------------------------------- */

static void add_member(struct buf *out, const char *name, const char *text) {
    buf_addf(out, ",\"%s\":", name);
    buf_add_json(out, span_of(text));
}

static void add_steps(const struct explain_report *report, struct buf *out) {
    buf_add_text(out, ",\"steps\":[");
    for (size_t i = 0; i < report->count; i++) {
        const struct explain_step *step = &report->steps[i];
        buf_addf(out, "%s{\"step\":", i ? "," : "");
        buf_add_json(out, span_of(step->name));
        buf_addf(out, ",\"ok\":%s", step->outcome == EXPLAIN_FAILED ? "false" : "true");
        if (step->outcome == EXPLAIN_NOTE) buf_add_text(out, ",\"note\":true");
        add_member(out, "text", step->text);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

void explain_write_json(const struct explain_report *report, struct buf *out) {
    bool told = !report->allowed || report->reported;

    buf_addf(out, "{\"allowed\":%s,\"status\":%u", report->allowed ? "true" : "false",
             report->status);
    if (told) add_member(out, "reason", reason_name(report->refusal.reason));
    if (told) add_member(out, "description", report->refusal.text);
    if (report->reported) buf_add_text(out, ",\"report_only\":true");
    if (report->doubtful) buf_add_text(out, ",\"doubtful\":true");
    if (report->challenge) add_member(out, "challenge", report->challenge);
    if (report->route) add_member(out, "route", report->route);
    if (*report->advice) add_member(out, "advice", report->advice);
    add_steps(report, out);
    buf_add_char(out, '}');
}
