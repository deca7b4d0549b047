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
    const struct route *other;   /* the path has this one, and the method is wrong */
    struct span allow;           /* or what Allow lists otherwise */
    struct requirement *nobodys; /* that of a token for which no URL is asked about */
    bool keys_told;
};

/* --- steps --------------------------------------------------------------------------------- */

/* Where the keys come from is told where they are looked at. */
static void tell_keys(struct walk *walk) {
    const struct explain_question *question = walk->question;

    walk->keys_told = true;
    for (size_t i = 0; i < question->note_count; i++)
        explain_add_step(walk->report, "keys", question->notes[i].outcome, question->notes[i].text);
}

static void on_note(void *argument, const char *step, bool good, const char *text) {
    struct walk *walk = argument;
    if (!walk->keys_told && strcmp(step, "key") == 0) tell_keys(walk);
    explain_add_step(walk->report, step, good ? EXPLAIN_OK : EXPLAIN_FAILED, text);
}

/* --- the route ----------------------------------------------------------------------------- */

static bool refuse_method(struct refusal *refusal) {
    return refuse(refusal, REASON_METHOD_NOT_ALLOWED, "this path does not take that method");
}

/* Which route judges it. False: none does. */
static bool find_route(struct walk *walk) {
    const struct explain_question *question = walk->question;
    struct refusal *refusal = &walk->report->refusal;

    struct route_query query = {question->method, question->host, walk->target.path};
    enum route_found found = routes_find(question->routes, &query, &walk->match);
    if (found == ROUTE_NONE)
        return refuse(refusal, REASON_NO_ROUTE, "nothing is configured for this path");
    if (found == ROUTE_FOUND && walk->match.route->config->respond == RESPOND_FORWARD_AUTH)
        return refuse(refusal, REASON_ORIGINAL,
                      "other proxies ask here about requests of their own: ask about the URL of "
                      "such a request");
    if (found == ROUTE_OTHER_METHOD) walk->other = walk->match.route;
    if (!walk->other || !route_is_open(walk->other)) return true;
    return refuse_method(refusal);
}

static const char *hosts_of(const struct config_route *route, struct buf *out) {
    for (size_t i = 0; i < route->hosts.count; i++)
        buf_addf(out, "%s%s", i ? ", " : "", route->hosts.items[i]);
    return out->len ? out->data : "every host";
}

static void note_route(struct walk *walk) {
    const struct config_route *route = walk->match.route->config;
    CLEANUP(buf_done) struct buf hosts = buf_make(400);

    TRACE(&walk->trace, "route", !walk->other, "%s%s, for %s%s%s%s%s", route->path,
          route->subtree ? "*" : "", hosts_of(route, &hosts),
          *route->upstream ? ", to the upstream " : "", route->upstream,
          walk->other          ? "; not for that method"
          : route->report_only ? "; mode: report lets everyone with a valid token through"
                               : "",
          route->anonymous ? "; requests without credentials are let through" : "");
    walk->report->route = strdup(route->path);
    if (!walk->report->route) walk->report->failed = true;
}

/* --- the stairs ---------------------------------------------------------------------------- */

static bool judge_token(struct walk *walk) {
    static const struct aids no_aids = {0};
    const struct explain_question *question = walk->question;
    const struct keyring_entry *entry = NULL;
    enum authenticated found =
        authenticate(&walk->evidence, question->ring, &no_aids, question->config->limits.token,
                     &walk->principal, &entry, &walk->report->refusal);

    walk->report->needs_keys = found == AUTH_NEEDS_KEYS;
    return found == AUTH_PRINCIPAL || found == AUTH_ABSENT;
}

static bool judge_by_route(struct walk *walk) {
    struct refusal *refusal = &walk->report->refusal;

    if (walk->other) return walk->principal && refuse_method(refusal);
    walk->decision = authorize(&walk->match, walk->principal, &walk->evidence, refusal);
    walk->report->reported = walk->decision.reported;
    return walk->decision.allowed;
}

/* By what every token of its issuer must have, whatever the route. */
static bool judge_alone(struct walk *walk) {
    static const struct config_route nowhere;

    explain_add_step(walk->report, "route", EXPLAIN_NOTE,
                     "no URL was given, so that only the token itself is judged");
    if (!judge_token(walk)) return false;
    walk->nobodys = requirement_new(walk->question->config, &nowhere.require, "");
    if (!walk->nobodys) {
        walk->report->failed = true;
        return false;
    }
    struct route route = {.config = &nowhere, .require = walk->nobodys};
    walk->match.route = &route;
    bool allowed = judge_by_route(walk);
    walk->match.route = NULL;
    return allowed;
}

/* Metadata of a resource stands where no route has to be. True: it is what is asked for. */
static bool find_metadata(struct walk *walk, bool *ret_allowed) {
    const struct explain_question *question = walk->question;

    if (!resources_described_at(question->resources, question->host, walk->target.path))
        return false;
    explain_add_step(walk->report, "route", EXPLAIN_OK,
                     "the metadata of a protected resource, which is for everybody");
    *ret_allowed =
        span_equal_text(question->method, "GET") || span_equal_text(question->method, "HEAD");
    if (*ret_allowed) return true;
    walk->allow = SPAN_LITERAL("GET, HEAD");
    refusal_write(&walk->report->refusal, REASON_METHOD_NOT_ALLOWED, "metadata is read by GET");
    return true;
}

/* It makes no difference to the answer what the token is like, but to whoever asks. */
static bool stop_before_token(struct walk *walk) {
    struct refusal refusal = walk->report->refusal;

    explain_add_step(walk->report, "route", EXPLAIN_FAILED, refusal.text);
    judge_token(walk);
    walk->report->refusal = refusal;
    return false;
}

static bool walk_on(struct walk *walk) {
    const struct explain_question *question = walk->question;
    bool allowed;

    if (!question->target.ptr) return judge_alone(walk);
    walk->path.max = PATH_MAX_BYTES;
    if (!target_parse(question->target, &walk->path, &walk->target, &walk->report->refusal))
        return stop_before_token(walk);
    if (find_metadata(walk, &allowed)) return allowed;
    if (!find_route(walk)) return stop_before_token(walk);
    note_route(walk);
    return judge_token(walk) && judge_by_route(walk);
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
        .decision = walk->decision.route ? &walk->decision : NULL,
        .other = report->refusal.reason == REASON_METHOD_NOT_ALLOWED ? walk->other : NULL,
        .allow = walk->allow};

    report->status = 200;
    report->advice = "";
    if (report->allowed) return;
    struct answer answer = rejection_answer(&report->refusal, &rejection);
    report->status = answer.status;
    report->advice = advice_for(report->refusal.reason);
    if (!answer_ok(&answer)) report->failed = true;
    if (answer.challenge.len && !(report->challenge = strdup(answer.challenge.data)))
        report->failed = true;
    answer_done(&answer);
}

/* A list that cannot be read may name any token: who is let through here may be refused there. */
static void tell_denied(struct walk *walk) {
    const char *why = walk->question->not_denied;

    if (!why) return;
    explain_add_step(walk->report, "deny list", EXPLAIN_NOTE, why);
    walk->report->doubtful = walk->report->allowed && walk->principal;
}

int explain(const struct explain_question *question, struct explain_report *ret) {
    struct walk walk = {.question = question, .report = ret, .evidence = *question->evidence};

    *ret = (struct explain_report){.advice = ""};
    walk.trace = (struct trace){on_note, &walk};
    walk.evidence.trace = &walk.trace;
    ret->allowed = walk_on(&walk);
    tell_denied(&walk);
    tell_answer(&walk);

    principal_unref(walk.principal);
    requirement_unref(walk.nobodys);
    buf_done(&walk.path);
    if (!ret->failed) return 0;
    explain_done(ret);
    return ERR_MEMORY;
}
