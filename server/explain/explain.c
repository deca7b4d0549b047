#include "server/explain/explain.h"

#include <stdlib.h>

#include "server/answer/problem.h"
#include "server/answer/rejection.h"
#include "server/explain/advice.h"
#include "server/policy/decision.h"
#include "server/policy/target.h"
#include "server/token/authenticate.h"

#define PATH_MAX_BYTES ((size_t)64 * 1024)

/* One answer in the making. */
struct walk {
    const struct explain_question *question;
    struct explain_report *report;
    struct evidence evidence;
    struct trace trace;
    struct buf path;
    struct target target;
    struct route_match match;
    struct decision decision;
    struct principal *principal;
    const struct route *other; /* the path has this one, and the method is wrong */
    bool failed;               /* for lack of memory */
};

/* --- steps --------------------------------------------------------------------------------- */

static void add_step(void *argument, const char *step, bool good, const char *text) {
    struct walk *walk = argument;
    struct explain_report *report = walk->report;
    struct explain_step *steps =
        realloc(report->steps, (report->count + 1) * sizeof *report->steps);

    if (!steps) {
        walk->failed = true;
        return;
    }
    report->steps = steps;
    steps[report->count++] = (struct explain_step){strdup(step), good, strdup(text)};
    if (!steps[report->count - 1].name || !steps[report->count - 1].text) walk->failed = true;
}

/* --- the stairs ---------------------------------------------------------------------------- */

/* Which route judges it. False: none does. */
static bool find_route(struct walk *walk) {
    const struct explain_question *question = walk->question;
    struct refusal *refusal = &walk->report->refusal;

    walk->path.max = PATH_MAX_BYTES;
    if (!target_parse(question->target, &walk->path, &walk->target, refusal)) return false;
    struct route_query query = {question->method, question->host, walk->target.path};
    enum route_found found = routes_find(question->routes, &query, &walk->match);
    if (found == ROUTE_NONE)
        return refuse(refusal, REASON_NO_ROUTE, "nothing is configured for this path");
    if (found == ROUTE_OTHER_METHOD) walk->other = walk->match.route;
    if (!walk->other || !route_is_open(walk->other)) return true;
    return refuse(refusal, REASON_METHOD_NOT_ALLOWED, "this path does not take that method");
}

static const char *hosts_of(const struct config_route *route, struct buf *out) {
    for (size_t i = 0; i < route->hosts.count; i++)
        buf_addf(out, "%s%s", i ? ", " : "", route->hosts.items[i]);
    return out->len ? out->data : "every host";
}

static void note_route(struct walk *walk) {
    const struct config_route *route = walk->match.route->config;
    struct buf hosts = buf_make(400);

    TRACE(&walk->trace, "route", !walk->other, "%s%s, for %s%s%s%s", route->path,
          route->subtree ? "*" : "", hosts_of(route, &hosts),
          *route->upstream ? ", to the upstream " : "", route->upstream,
          walk->other          ? "; not for that method"
          : route->report_only ? "; mode: report lets everyone with a valid token through"
                               : "");
    buf_done(&hosts);
    if (!(walk->report->route = strdup(route->path))) walk->failed = true;
}

static bool judge_token(struct walk *walk) {
    const struct explain_question *question = walk->question;
    const struct keyring_entry *entry = NULL;
    enum authenticated found =
        authenticate(&walk->evidence, question->ring, NULL, question->config->limits.token,
                     &walk->principal, &entry, &walk->report->refusal);

    walk->report->needs_keys = found == AUTH_NEEDS_KEYS;
    return found == AUTH_PRINCIPAL || found == AUTH_ABSENT;
}

static bool judge_by_route(struct walk *walk) {
    struct refusal *refusal = &walk->report->refusal;

    note_route(walk);
    if (walk->other)
        return walk->principal &&
               refuse(refusal, REASON_METHOD_NOT_ALLOWED, "this path does not take that method");
    walk->decision = authorize(&walk->match, walk->principal, &walk->evidence, refusal);
    walk->report->reported = walk->decision.reported;
    return walk->decision.allowed;
}

static bool walk_on(struct walk *walk) {
    bool routed = walk->question->target.ptr != NULL;

    if (routed && !find_route(walk)) {
        struct refusal refusal = walk->report->refusal;
        TRACE_BAD(&walk->trace, "route", "%s", refusal.text);
        /* It makes no difference to the answer, but to whoever asks. */
        judge_token(walk);
        walk->report->needs_keys = false;
        walk->report->refusal = refusal;
        return false;
    }
    if (!judge_token(walk)) {
        if (routed) note_route(walk);
        return false;
    }
    return routed ? judge_by_route(walk) : walk->principal != NULL;
}

/* --- the answer ---------------------------------------------------------------------------- */

static void tell_answer(struct walk *walk) {
    const struct explain_question *question = walk->question;
    struct explain_report *report = walk->report;
    struct rejection rejection = {
        .realm = question->config->realm,
        .resources = question->resources,
        .host = question->host,
        .path = walk->target.path,
        .decision = &walk->decision,
        .other = report->refusal.reason == REASON_METHOD_NOT_ALLOWED ? walk->other : NULL};
    report->status = 200;
    report->advice = "";
    if (report->allowed) return;
    struct answer answer = rejection_answer(&report->refusal, &rejection);
    report->status = answer.status;
    report->advice = advice_for(report->refusal.reason);
    free(report->challenge);
    report->challenge = strdup(answer.challenge.len ? answer.challenge.data : "");
    if (!answer_ok(&answer)) walk->failed = true;
    answer_done(&answer);
}

int explain(const struct explain_question *question, struct explain_report *ret) {
    struct walk walk = {.question = question, .report = ret, .evidence = *question->evidence};

    *ret = (struct explain_report){.challenge = strdup("")};
    walk.trace = (struct trace){add_step, &walk};
    walk.evidence.trace = &walk.trace;
    ret->allowed = walk_on(&walk);
    tell_answer(&walk);
    if (!ret->route) ret->route = strdup("");
    if (!ret->route || !ret->challenge) walk.failed = true;

    principal_unref(walk.principal);
    buf_done(&walk.path);
    if (!walk.failed) return 0;
    explain_done(ret);
    return ERR_MEMORY;
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

/* --- words --------------------------------------------------------------------------------- */

/* What a token says must not steer a terminal. */
static void add_plain(struct buf *out, const char *text) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool c1 = c == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] < 0xa0;
        buf_add_char(out, c < 0x20 || c == 0x7f || c1 ? '?' : (char)c);
    }
}

void explain_write_text(const struct explain_report *report, struct buf *out) {
    for (size_t i = 0; i < report->count; i++) {
        const struct explain_step *step = &report->steps[i];
        buf_addf(out, "%-6s %-18s ", step->good ? "ok" : "FAILED", step->name);
        add_plain(out, step->text);
        buf_add_char(out, '\n');
    }
    buf_addf(out, "\n%s: %u%s%s\n", report->allowed ? "allowed" : "refused", report->status,
             report->allowed ? "" : " ",
             report->allowed ? "" : reason_name(report->refusal.reason));
    if (!report->allowed) {
        add_plain(out, report->refusal.text);
        buf_add_char(out, '\n');
    }
    if (*report->challenge) {
        buf_add_text(out, "WWW-Authenticate: ");
        add_plain(out, report->challenge);
        buf_add_char(out, '\n');
    }
    if (report->reported) {
        buf_add_text(out, "without mode: report it would be refused: ");
        add_plain(out, report->refusal.text);
        buf_add_char(out, '\n');
    }
    if (*report->advice) buf_addf(out, "\nto change: %s\n", report->advice);
}

static void add_member(struct buf *out, const char *name, const char *text) {
    buf_addf(out, ",\"%s\":", name);
    buf_add_json(out, span_of(text));
}

void explain_write_json(const struct explain_report *report, struct buf *out) {
    bool told = !report->allowed || report->reported;

    buf_addf(out, "{\"allowed\":%s,\"status\":%u", report->allowed ? "true" : "false",
             report->status);
    if (told) add_member(out, "reason", reason_name(report->refusal.reason));
    if (told) add_member(out, "description", report->refusal.text);
    if (report->reported) buf_add_text(out, ",\"report_only\":true");
    if (*report->challenge) add_member(out, "challenge", report->challenge);
    if (*report->route) add_member(out, "route", report->route);
    if (*report->advice) add_member(out, "advice", report->advice);
    buf_add_text(out, ",\"steps\":[");
    for (size_t i = 0; i < report->count; i++) {
        buf_addf(out, "%s{\"step\":", i ? "," : "");
        buf_add_json(out, span_of(report->steps[i].name));
        buf_addf(out, ",\"ok\":%s", report->steps[i].good ? "true" : "false");
        add_member(out, "text", report->steps[i].text);
        buf_add_char(out, '}');
    }
    buf_add_text(out, "]}");
}
