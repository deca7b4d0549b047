#include "server/answer/admin.h"

#include "common/clock.h"
#include "server/answer/admin_guard.h"
#include "server/answer/page.h"
#include "server/answer/query.h"
#include "server/metrics/text.h"

/* A listing ends behind this; the largest entry still has room then. */
#define LISTING_MAX (ANSWER_BODY_MAX / 2)

/* Everything a handler is given, and gives. */
struct turn {
    const struct admin_context *context;
    const struct admin_request *request;
    struct answer *answer;
    struct admin_errand *errand;
    struct refusal *refusal;
};

/* --- keys ---------------------------------------------------------------------------------- */

/* The keys by which upstreams verify assertions (RFC 7517 section 5). */
static enum admin_outcome jwks(struct turn *turn) {
    if (span_is_absent(turn->context->jwks)) {
        refuse(turn->refusal, REASON_NO_ROUTE, "no upstream is configured with assertion: true");
        return ADMIN_REFUSED;
    }
    *turn->answer = answer_make(200);
    buf_add(&turn->answer->body, turn->context->jwks);
    return ADMIN_ANSWERED;
}

/* --- the deny list ------------------------------------------------------------------------- */

/* jti, sub and kid stand as in deny_names. */
enum { ISSUER = DENY_BY_COUNT, UNTIL, NOTE, MEMBERS };

struct members {
    struct query_value values[MEMBERS];
};

static void members_done(struct members *members) {
    query_done(members->values, MEMBERS);
}

static struct members members_make(void) {
    struct members members = {
        .values = {
            [ISSUER] = {.name = "issuer"}, [UNTIL] = {.name = "until"}, [NOTE] = {.name = "note"}}};
    for (int i = 0; i < DENY_BY_COUNT; i++) members.values[i].name = deny_names[i];
    return members;
}

static bool has_deny_list(const struct turn *turn) {
    return turn->context->has_deny_list ||
           refuse(turn->refusal, REASON_NO_ROUTE,
                  "no deny list is configured; set deny_list to the path of its file, such as "
                  "/var/lib/bearerd/deny");
}

static bool matches(const struct deny_entry *entry, const struct members *members) {
    for (int i = 0; i < DENY_BY_COUNT; i++)
        if (members->values[i].given &&
            ((int)entry->by != i || !span_equal(entry->value, query_span(&members->values[i]))))
            return false;
    return !members->values[ISSUER].given ||
           span_equal(entry->issuer, query_span(&members->values[ISSUER]));
}

static void write_listing(const struct deny_list *list, const struct members *members,
                          struct buf *out) {
    size_t listed = 0, omitted = 0;

    buf_add_text(out, "{\"entries\": [");
    for (size_t i = 0; i < deny_list_count(list); i++) {
        const struct deny_entry *entry = deny_list_at(list, i);
        if (!matches(entry, members)) continue;
        if (out->len > LISTING_MAX) {
            omitted++;
            continue;
        }
        buf_add_text(out, listed++ ? ", " : "");
        deny_entry_add(entry, out);
    }
    buf_addf(out, "], \"omitted\": %zu}", omitted);
}

/* All entries; with members in the query, those that have them. */
static enum admin_outcome list_denied(struct turn *turn) {
    CLEANUP(members_done) struct members members = members_make();

    /* Not until and note, which nobody looks for. */
    if (!has_deny_list(turn) ||
        !query_read(turn->request->query, members.values, UNTIL, turn->refusal))
        return ADMIN_REFUSED;
    *turn->answer = answer_make(200);
    write_listing(turn->context->denied, &members, &turn->answer->body);
    return ADMIN_ANSWERED;
}

/* The entry that the query describes, by the rules of the file. */
static bool read_entry(struct turn *turn, struct admin_errand *errand) {
    CLEANUP(members_done) struct members members = members_make();
    struct err_text why;

    if (!query_read(turn->request->query, members.values, MEMBERS, turn->refusal)) return false;
    CLEANUP(buf_done) struct buf line = buf_make(ANSWER_BODY_MAX);
    const char *before = "{";
    for (int i = 0; i < MEMBERS; i++) {
        if (!members.values[i].given) continue;
        buf_addf(&line, "%s\"%s\": ", before, members.values[i].name);
        buf_add_json(&line, query_span(&members.values[i]));
        before = ", ";
    }
    buf_add_text(&line, *before == '{' ? "{}" : "}");
    int r = deny_entry_parse(buf_span(&line), &errand->object, &errand->entry, &why);
    if (r == ERR_MEMORY || !buf_ok(&line))
        return refuse(turn->refusal, REASON_OUT_OF_MEMORY, "out of memory");
    return r == 0 || refuse(turn->refusal, REASON_TARGET, "the entry in the query %s", why.text);
}

/* The entry is as good as the file's, and would do something. */
static bool check_entry(const struct deny_entry *entry, bool lift, struct refusal *refusal) {
    return lift || entry->until > clock_wall() ||
           refuse(refusal, REASON_TARGET,
                  "the until of the entry has passed: it would deny nothing");
}

static bool has_no_body(const struct turn *turn) {
    return !turn->request->has_body ||
           refuse(turn->refusal, REASON_TARGET,
                  "the entry belongs in the query, not in a body: /api/deny?sub=alice");
}

static enum admin_outcome change(struct turn *turn, bool lift) {
    struct admin_errand errand = {.lift = lift};

    if (has_deny_list(turn) && has_no_body(turn) && read_entry(turn, &errand) &&
        check_entry(&errand.entry, lift, turn->refusal)) {
        *turn->errand = errand;
        return ADMIN_ERRAND;
    }
    admin_errand_done(&errand);
    return ADMIN_REFUSED;
}

static enum admin_outcome deny(struct turn *turn) {
    return change(turn, false);
}

static enum admin_outcome lift(struct turn *turn) {
    return change(turn, true);
}

bool admin_errand_answer(const struct admin_errand *errand, struct answer *ret,
                         struct refusal *refusal) {
    if (!errand->done) {
        *refusal = errand->refusal;
        return false;
    }
    if (errand->lift && errand->count == 0)
        return refuse(refusal, REASON_NO_ROUTE,
                      "there is no such entry; GET /api/deny lists those there are");
    *ret = answer_make(200);
    if (errand->lift)
        buf_addf(&ret->body, "{\"removed\": %zu}", errand->count);
    else
        deny_entry_add(&errand->entry, &ret->body);
    return true;
}

void admin_errand_done(struct admin_errand *errand) {
    json_decref(errand->object);
    errand->object = NULL;
}

/* --- health, metrics, status --------------------------------------------------------------- */

/* Thousands of issuers and routes have room. */
#define REPORT_MAX ((size_t)16 * 1024 * 1024)

static struct answer make_report(unsigned status) {
    struct answer answer = answer_make(status);
    answer.body.max = REPORT_MAX;
    return answer;
}

/* The process turns: a probe that restarts it needs no more. */
static enum admin_outcome healthz(struct turn *turn) {
    *turn->answer = answer_make(200);
    turn->answer->content_type = "text/plain; charset=utf-8";
    buf_add_text(&turn->answer->body, "ok\n");
    return ADMIN_ANSWERED;
}

static enum admin_outcome readyz(struct turn *turn) {
    *turn->answer = make_report(200);
    if (!turn->context->source->ready(turn->context->argument, &turn->answer->body))
        turn->answer->status = 503;
    return ADMIN_ANSWERED;
}

static enum admin_outcome metrics(struct turn *turn) {
    *turn->answer = make_report(200);
    turn->answer->content_type = METRICS_CONTENT_TYPE;
    turn->context->source->metrics(turn->context->argument, &turn->answer->body);
    return ADMIN_ANSWERED;
}

static enum admin_outcome status(struct turn *turn) {
    *turn->answer = make_report(200);
    turn->context->source->status(turn->context->argument, &turn->answer->body);
    return ADMIN_ANSWERED;
}

static enum admin_outcome refresh(struct turn *turn) {
    size_t count = turn->context->source->refresh(turn->context->argument);
    *turn->answer = answer_make(202);
    buf_addf(&turn->answer->body, "{\"refreshing\":%zu}", count);
    return ADMIN_ANSWERED;
}

/* The token comes in the header where tokens come; in a URL it would be kept in histories. */
static enum admin_outcome explain_token(struct turn *turn) {
    enum { METHOD, URL, COUNT };
    struct query_value values[COUNT] = {[METHOD] = {.name = "method"}, [URL] = {.name = "url"}};
    const struct admin_context *context = turn->context;
    enum admin_outcome outcome = ADMIN_REFUSED;

    *turn->answer = make_report(200);
    if (query_read(turn->request->query, values, COUNT, turn->refusal) &&
        context->source->explain(context->argument, turn->request,
                                 values[METHOD].given ? query_span(&values[METHOD])
                                                      : SPAN_LITERAL("GET"),
                                 values[URL].given ? query_span(&values[URL]) : SPAN_NONE,
                                 &turn->answer->body, turn->refusal))
        outcome = ADMIN_ANSWERED;
    else
        answer_done(turn->answer);
    query_done(values, COUNT);
    return outcome;
}

static enum admin_outcome page(struct turn *turn) {
    *turn->answer = page_answer();
    return ADMIN_ANSWERED;
}

/* --- by path and method -------------------------------------------------------------------- */

#define VERBS_MAX 4

static const struct place {
    const char *path;
    const char *allow; /* the methods of its verbs */
    bool public;       /* told to whoever asks, web pages too */
    struct verb {
        const char *method;
        enum admin_outcome (*answer)(struct turn *turn);
    } verbs[VERBS_MAX];
} places[] = {
    {"/", "GET, HEAD", false, {{"GET", page}, {"HEAD", page}}},
    /* Told to any Host: probes and scrapers name this machine as they like, and change nothing. */
    {"/healthz", "GET, HEAD", true, {{"GET", healthz}, {"HEAD", healthz}}},
    {"/readyz", "GET, HEAD", true, {{"GET", readyz}, {"HEAD", readyz}}},
    {"/metrics", "GET, HEAD", true, {{"GET", metrics}, {"HEAD", metrics}}},
    {"/api/status", "GET, HEAD", false, {{"GET", status}, {"HEAD", status}}},
    {"/api/explain", "GET", false, {{"GET", explain_token}}},
    {"/api/refresh", "POST", false, {{"POST", refresh}}},
    {"/.well-known/jwks.json", "GET, HEAD", true, {{"GET", jwks}, {"HEAD", jwks}}},
    {"/api/deny",
     "GET, HEAD, POST, DELETE",
     false,
     {{"GET", list_denied}, {"HEAD", list_denied}, {"POST", deny}, {"DELETE", lift}}},
};

static const struct place *find_place(struct span path) {
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (span_equal_text(path, places[i].path)) return &places[i];
    return NULL;
}

static const struct verb *find_verb(const struct place *place, struct span method) {
    for (size_t i = 0; i < VERBS_MAX && place->verbs[i].method; i++)
        if (span_equal_text(method, place->verbs[i].method)) return &place->verbs[i];
    return NULL;
}

static bool is_safe(struct span method) {
    return span_equal_text(method, "GET") || span_equal_text(method, "HEAD");
}

enum admin_outcome admin_answer(const struct admin_context *context,
                                const struct admin_request *request, struct answer *ret_answer,
                                struct admin_errand *ret_errand, const char **ret_allow,
                                struct refusal *refusal) {
    struct turn turn = {context, request, ret_answer, ret_errand, refusal};

    *ret_allow = NULL;
    const struct place *place = find_place(request->path);
    if (!place) {
        refuse(refusal, REASON_NO_ROUTE, "there is nothing at this path");
        return ADMIN_REFUSED;
    }
    if (!place->public && !admin_guard_passes(request, !is_safe(request->method), refusal))
        return ADMIN_REFUSED;
    const struct verb *verb = find_verb(place, request->method);
    if (verb) return verb->answer(&turn);
    *ret_allow = place->allow;
    refuse(refusal, REASON_METHOD_NOT_ALLOWED, "this path does not take that method");
    return ADMIN_REFUSED;
}
