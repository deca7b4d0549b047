#include "server/online/visit.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "server/keys/discovery.h"
#include "server/keys/document.h"
#include "server/online/advice.h"
#include "server/online/listing.h"
#include "server/online/way.h"

struct visit {
    const struct config *config;
    const struct config_issuer *issuer;
    struct report *report;
    struct fetch_settings settings;
    struct fetcher *fetcher;
    bool fetching;
    struct way way; /* of the last fetch */
    int64_t date;   /* the issuer's clock when ours was date_at; -1 = not told yet */
    int64_t date_at;
};

/* --- documents ------------------------------------------------------------------------------- */

static void note_date(struct visit *visit, const struct fetch_reply *reply) {
    if (reply->date < 0 || visit->date >= 0) return;
    visit->date = reply->date;
    visit->date_at = reply->date_at;
}

static void tell_page(struct visit *visit, const char *title) {
    report_more(visit->report, "it is an HTML page%s%s%s", *title ? ", titled \"" : "", title,
                *title ? "\"" : "");
    report_advice(visit->report,
                  "a login page, a captive portal or a firewall answers in place of the document: "
                  "look at the URL, and let this machine through without a login");
}

static void tell_bad_answer(struct visit *visit, const struct fetch_reply *reply, const char *step,
                            const char *wrong, bool is_page, const char *title) {
    int64_t took = reply->inspection->took_ms[FETCH_ANSWER];

    report_line(visit->report, OUTCOME_FAIL, step, took, "%s: %s", reply->url,
                reply->error ? way_words(reply) : wrong);
    if (reply->redirect) {
        /* What stands behind '?' may be for one person's eyes. */
        struct span target = span_of(reply->redirect);
        target = span_until(target, span_find(target, '?'));
        report_more(visit->report, "it leads to %.*s", SPAN_PRINTF(span_until(target, 300)));
        report_advice(visit->report,
                      "a login page or captive portal stands before the issuer, or its URL has "
                      "changed: configure the URL that it has now");
    } else if (is_page) {
        tell_page(visit, title);
    } else {
        report_advice(visit->report, reply->inspection->timed_out
                                         ? "the server took the request and does not answer, or "
                                           "too slowly: it is stuck, or what it needs is"
                                         : advice_status(reply->status));
    }
}

/* The steps of a fetch with its answer. True where that is a document, and flaw, its own, NULL. */
static bool tell_answer(struct visit *visit, const struct fetch_reply *reply, const char *step,
                        const char *flaw) {
    char title[ADVICE_TITLE_MAX];
    struct err_text why;

    note_date(visit, reply);
    if (!way_tell(&visit->way, visit->report, reply)) {
        /* Whatever it was, it must not pass for a success. */
        if (!visit->report->failed)
            report_line(visit->report, OUTCOME_FAIL, step, reply->took_ms, "%s: %s", reply->url,
                        way_words(reply));
        return false;
    }
    const char *wrong = document_judge(reply, &why);
    bool is_page = !reply->error && advice_is_page(reply->body, reply->content_type, title);
    if (!wrong && is_page) wrong = "status 200, but no JSON";
    if (!wrong) wrong = flaw;
    if (wrong) {
        tell_bad_answer(visit, reply, step, wrong, is_page, title);
        return false;
    }
    report_line(visit->report, OUTCOME_OK, step, reply->inspection->took_ms[FETCH_ANSWER],
                "%s%s%s: status %ld, %zu bytes", visit->way.url,
                strcmp(visit->way.url, reply->url) == 0 ? "" : ", redirected to ",
                strcmp(visit->way.url, reply->url) == 0 ? "" : reply->url, reply->status,
                reply->body.len);
    return true;
}

/* --- one after the other --------------------------------------------------------------------- */

static void on_jwks(void *argument, const struct fetch_reply *reply) {
    struct visit *visit = argument;
    visit->fetching = false;
    if (tell_answer(visit, reply, "jwks", NULL))
        listing_tell(visit->report, visit->issuer, reply->body);
}

static void start(struct visit *visit, const char *url, fetch_done *done, const char *step) {
    bool allow_http = issuer_allows_http(visit->issuer, url);
    visit->fetching = way_begin(&visit->way, url) == 0 &&
                      fetcher_start(visit->fetcher, url, allow_http, done, visit) == 0;
    if (!visit->fetching)
        report_line(visit->report, OUTCOME_FAIL, step, REPORT_UNTIMED, "out of memory");
}

/* What a document says of its issuer. */
enum naming { NAMES_NOBODY, NAMES_ITSELF, NAMES_ANOTHER };

static enum naming find_naming(struct span document, const char *configured) {
    CLEANUP(json_decrefp) json_t *root = NULL;
    struct span found;

    if (json_read_object(document, &root, NULL) < 0 ||
        json_find_string(root, "issuer", &found) != JSON_FOUND)
        return NAMES_NOBODY;
    return span_equal_text(found, configured) ? NAMES_ITSELF : NAMES_ANOTHER;
}

static void on_discovery(void *argument, const struct fetch_reply *reply) {
    struct visit *visit = argument;
    struct err_text why = {""}, sentence;
    char *jwks_uri = NULL;

    visit->fetching = false;
    int r = discovery_parse(reply->body, visit->issuer, &jwks_uri, &why);
    enum naming naming = find_naming(reply->body, visit->issuer->issuer);
    err_set(&sentence, 0, "the discovery document %s", why.text);
    bool told = tell_answer(visit, reply, "discovery",
                            r < 0 && naming != NAMES_ANOTHER ? sentence.text : NULL);
    if (told && naming == NAMES_ITSELF)
        report_line(visit->report, OUTCOME_OK, "issuer", REPORT_UNTIMED, "is the one configured");
    if (told && naming == NAMES_ANOTHER) {
        report_line(visit->report, OUTCOME_FAIL, "issuer", REPORT_UNTIMED, "%s", sentence.text);
        report_advice(visit->report,
                      "tokens carry the name that the issuer gives itself: configure that one, if "
                      "it is the issuer that you mean");
    }
    if (told && r == 0) start(visit, jwks_uri, on_jwks, "jwks");
    free(jwks_uri);
}

static void visit_network(struct visit *visit) {
    const char *jwks_uri = visit->issuer->jwks_uri;

    visit->settings = document_fetch_settings(visit->config);
    visit->settings.inspect = true;
    visit->way.settings = &visit->settings;
    visit->fetcher = fetcher_new(&visit->settings);
    if (!visit->fetcher)
        report_line(visit->report, OUTCOME_FAIL, "fetch", REPORT_UNTIMED, "out of memory");
    else if (*jwks_uri)
        start(visit, jwks_uri, on_jwks, "jwks");
    else
        start(visit, visit->issuer->discovery, on_discovery, "discovery");
    while (visit->fetching) fetcher_poll(visit->fetcher, 1000, -1);
}

static void tell_clock(struct visit *visit) {
    CLEANUP(buf_done) struct buf why = buf_make(512);

    if (visit->date < 0) return;
    enum outcome outcome = advice_clock(visit->date - visit->date_at, visit->issuer->leeway / 1000,
                                        visit->issuer->max_lifetime / 1000, &why);
    report_line(visit->report, outcome, "clock", REPORT_UNTIMED, "%s", buf_span(&why).ptr);
    if (outcome > OUTCOME_NOTE)
        report_advice(visit->report, "look at timedatectl on this machine; where it is right, the "
                                     "issuer's clock is wrong");
}

static void visit_file(struct visit *visit) {
    const char *path = visit->issuer->jwks_file;
    CLEANUP(buf_done) struct buf content = buf_make(visit->config->fetch.max_body);
    struct err_text why;

    int64_t started = clock_monotonic_ms();
    int r = document_read_file(path, &content, &why);
    int64_t took = clock_monotonic_ms() - started;
    if (r < 0) {
        report_line(visit->report, OUTCOME_FAIL, "file", took, "%s: %s", path, why.text);
        return;
    }
    report_line(visit->report, OUTCOME_OK, "file", took, "%s: %zu bytes", path, content.len);
    listing_tell(visit->report, visit->issuer, buf_span(&content));
}

void visit_issuer(const struct config *config, const struct config_issuer *issuer,
                  struct report *ret) {
    struct visit visit = {.config = config, .issuer = issuer, .report = ret, .date = -1};

    *ret = report_make(issuer->issuer);
    if (*issuer->jwks_file) {
        visit_file(&visit);
        return;
    }
    visit_network(&visit);
    tell_clock(&visit);
    fetcher_free(visit.fetcher);
    way_done(&visit.way);
}
