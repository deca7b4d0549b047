#include "server/online/way.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/url.h"
#include "server/online/advice.h"
#include "server/online/names.h"

#define NAMES_GRACE_MS 500
#define CERTIFICATE_SOON_S (14 * 24 * 3600)

/* --- the name -------------------------------------------------------------------------------- */

static bool is_address(const char *host) {
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* The host whose name is resolved for a URL: the proxy's, where one is used. */
static void start_names(struct way *way, const char *text) {
    struct fetch_proxy proxy;
    struct url url;

    names_end(TAKE_PTR(way->names));
    if (url_parse(span_of(text), &url, NULL) < 0 ||
        fetch_find_proxy(way->settings, text, &proxy) < 0)
        return;
    if (*proxy.host && !proxy.excluded)
        snprintf(way->host, sizeof way->host, "%s", proxy.host);
    else
        snprintf(way->host, sizeof way->host, "%.*s", SPAN_PRINTF(url.host));
    if (!is_address(way->host)) way->names = names_start(way->host);
}

static bool has_same_origin(const char *one, const char *other) {
    struct url a, b;
    return url_parse(span_of(one), &a, NULL) == 0 && url_parse(span_of(other), &b, NULL) == 0 &&
           url_same_origin(&a, &b);
}

int way_begin(struct way *way, const char *url) {
    char *copy = strdup(url);
    if (!copy) return ERR_MEMORY;
    bool is_near = way->url && has_same_origin(way->url, url);

    free(way->url);
    way->url = copy;
    if (!is_near) start_names(way, url);
    return 0;
}

void way_done(struct way *way) {
    names_end(way->names);
    free(way->url);
}

const char *way_words(const struct fetch_reply *reply) {
    return reply->inspection->timed_out ? "hangs, given up" : reply->error;
}

static void list_tried(const struct fetch_inspection *seen, struct buf *out, bool with_port) {
    for (size_t i = 0; i < seen->tried_count; i++) {
        bool v6 = with_port && strchr(seen->tried[i], ':');
        buf_addf(out, "%s%s%s%s", i ? ", " : "", v6 ? "[" : "", seen->tried[i], v6 ? "]" : "");
        if (with_port) buf_addf(out, ":%u", seen->port);
    }
}

/* Our own look-up knows all the addresses, and why there are none. */
static void tell_resolve(struct way *way, struct report *report, const struct fetch_reply *reply) {
    const struct fetch_inspection *seen = reply->inspection;
    int64_t took = seen->took_ms[FETCH_RESOLVE];
    CLEANUP(buf_done) struct buf tried = buf_make(1024);
    bool failed = seen->failed == FETCH_RESOLVE;
    const char *addresses = "";
    int result = 0;

    bool told =
        names_wait(way->names, failed && seen->timed_out ? 0 : NAMES_GRACE_MS, &result, &addresses);
    if (failed) {
        bool known = is_address(way->host) || (told && result == 0);
        report_line(report, OUTCOME_FAIL, "resolve", took, "%s: %s", way->host,
                    told && result ? gai_strerror(result) : way_words(reply));
        if (!known) report_advice(report, advice_name(told ? result : 0, seen->timed_out));
        return;
    }
    list_tried(seen, &tried, false);
    if (is_address(way->host))
        report_line(report, OUTCOME_OK, "resolve", took, "%s is an address", way->host);
    else
        report_line(report, OUTCOME_OK, "resolve", took, "%s: %s", way->host,
                    *addresses ? addresses : buf_span(&tried).ptr);
}

static void tell_connect(struct report *report, const struct fetch_reply *reply) {
    const struct fetch_inspection *seen = reply->inspection;
    int64_t took = seen->took_ms[FETCH_CONNECT];
    CLEANUP(buf_done) struct buf tried = buf_make(1024);

    list_tried(seen, &tried, true);
    if (seen->failed != FETCH_CONNECT) {
        bool v6 = strchr(reply->address, ':') != NULL;
        report_line(report, OUTCOME_OK, "connect", took, "%s%s%s:%u", v6 ? "[" : "", reply->address,
                    v6 ? "]" : "", seen->port);
        return;
    }
    report_line(report, OUTCOME_FAIL, "connect", took, "%s: %s", buf_span(&tried).ptr,
                seen->timed_out      ? "hangs, given up"
                : seen->system_error ? strerror(seen->system_error)
                                     : reply->error);
    report_advice(report, advice_connect(seen->system_error, seen->timed_out));
}

/* --- TLS ------------------------------------------------------------------------------------- */

static void tell_links(struct report *report, const struct chain *chain) {
    for (size_t i = 0; i < chain->count; i++)
        report_more(report, "%s %zu: %s, issued by %s%s",
                    i < chain->shown ? "certificate" : "from the store,", i + 1,
                    chain->links[i].subject, chain->links[i].issuer,
                    i == chain->at && chain->fault != CHAIN_FINE ? "  <- this one" : "");
}

/* The store, as common/fetch chooses it. */
static void describe_store(const struct way *way, struct buf *out) {
    const char *own = way->settings->ca_file, *file = getenv("SSL_CERT_FILE"),
               *folder = getenv("SSL_CERT_DIR");
    if (*own)
        buf_addf(out, "fetch.ca_file (%s)", own);
    else if (file)
        buf_addf(out, "$SSL_CERT_FILE (%s)", file);
    else if (folder)
        buf_addf(out, "$SSL_CERT_DIR (%s)", folder);
    else
        buf_add_text(out, "the system's CA store");
}

static void tell_tls_failure(struct way *way, struct report *report,
                             const struct fetch_reply *reply, const char *step,
                             const struct chain *chain, const char *host, int64_t took) {
    const struct fetch_inspection *seen = reply->inspection;
    CLEANUP(buf_done)
    struct buf store = buf_make(8192), why = buf_make(4096), todo = buf_make(4096);

    if (seen->no_trust || !chain->version[0] || chain->fault == CHAIN_FINE) {
        report_line(report, OUTCOME_FAIL, step, took, "%s", way_words(reply));
        report_advice(report, seen->no_trust ? "the CA file must hold CA certificates in PEM"
                                             : advice_handshake(reply->error, seen->timed_out));
        return;
    }
    describe_store(way, &store);
    struct advice_trust trust = {.host = host, .store = buf_span(&store).ptr, .now = clock_wall()};
    advice_chain(chain, &trust, &why, &todo);
    report_line(report, OUTCOME_FAIL, step, took, "%s", buf_span(&why).ptr);
    tell_links(report, chain);
    report_advice(report, buf_span(&todo).ptr);
}

static void tell_tls(struct way *way, struct report *report, const struct fetch_reply *reply,
                     enum fetch_step which, const struct chain *chain, const char *host) {
    const char *step = which == FETCH_TLS ? "tls" : "proxy tls";
    int64_t took = reply->inspection->took_ms[which];
    const struct chain_link *link = &chain->links[0];
    char when[CLOCK_TEXT_MAX], words[CLOCK_WORDS_MAX];

    if (took < 0) return;
    if (reply->inspection->failed == which) {
        tell_tls_failure(way, report, reply, step, chain, host, took);
        return;
    }
    if (!chain->count) {
        report_line(report, OUTCOME_OK, step, took, "resumed");
        return;
    }
    int64_t left = link->until - clock_wall();
    const char *inspector = advice_inspector(chain);
    report_line(report, left < CERTIFICATE_SOON_S ? OUTCOME_WARN : OUTCOME_OK, step, took,
                "%s; %s, issued by %s%s%s%s, expires %s, in %s", chain->version, link->subject,
                link->issuer, inspector ? " (it seems that " : "", inspector ? inspector : "",
                inspector ? " inspects TLS)" : "", clock_format(link->until, when),
                clock_words(left, words));
}

/* --- the proxy ------------------------------------------------------------------------------- */

static void tell_proxy(struct way *way, struct report *report, const struct fetch_reply *reply) {
    const struct fetch_inspection *seen = reply->inspection;
    const struct fetch_proxy *proxy = &seen->proxy;
    const char *from = proxy->variable ? proxy->variable : "fetch.proxy";
    int64_t took = seen->took_ms[FETCH_TUNNEL];
    struct url url;

    if (!*proxy->url || url_parse(span_of(way->url), &url, NULL) < 0) return;
    if (proxy->excluded) {
        report_line(report, OUTCOME_OK, "proxy", REPORT_UNTIMED,
                    "%s of %s is not used: no_proxy names %.*s", proxy->url, from,
                    SPAN_PRINTF(url.host));
        return;
    }
    if (took < 0) {
        bool reached = seen->failed > FETCH_CONNECT;
        report_line(report, reached ? OUTCOME_OK : OUTCOME_NOTE, "proxy", REPORT_UNTIMED,
                    "%s%s, from %s", reached ? "" : "that is the outbound proxy, ", proxy->url,
                    from);
        return;
    }
    bool failed = seen->failed == FETCH_TUNNEL;
    char answer[64] = "no answer";
    if (seen->tunnel) snprintf(answer, sizeof answer, "status %ld", seen->tunnel);
    report_line(report, failed ? OUTCOME_FAIL : OUTCOME_OK, "proxy", took,
                "%s, from %s: CONNECT %.*s:%u: %s", proxy->url, from, SPAN_PRINTF(url.host),
                url.port, failed && !seen->tunnel ? way_words(reply) : answer);
    if (failed) report_advice(report, advice_tunnel(seen->tunnel, seen->timed_out));
}

/* All steps up to the request. False where one of them failed. */
bool way_tell(struct way *way, struct report *report, const struct fetch_reply *reply) {
    const struct fetch_inspection *seen = reply->inspection;
    const struct fetch_proxy *proxy = &seen->proxy;
    struct url url = {.host = SPAN_LITERAL("")};
    char host[FETCH_HOST_MAX];

    if (url_parse(span_of(way->url), &url, NULL) < 0) return false;
    snprintf(host, sizeof host, "%.*s", SPAN_PRINTF(url.host));
    if (proxy->unusable) {
        report_line(report, OUTCOME_FAIL, "proxy", REPORT_UNTIMED, "%s, from %s: cannot be used",
                    proxy->url, proxy->variable ? proxy->variable : "fetch.proxy");
        report_advice(report, "write http://HOST:PORT; special characters in a password must be "
                              "percent-encoded");
        return false;
    }
    if (seen->took_ms[FETCH_RESOLVE] >= 0) tell_resolve(way, report, reply);
    if (seen->took_ms[FETCH_CONNECT] >= 0) tell_connect(report, reply);
    tell_tls(way, report, reply, FETCH_PROXY_TLS, &seen->proxy_peer, proxy->host);
    if (seen->took_ms[FETCH_RESOLVE] >= 0) tell_proxy(way, report, reply);
    tell_tls(way, report, reply, FETCH_TLS, &seen->peer, host);
    return seen->failed == FETCH_ANSWER || seen->failed == FETCH_STEPS;
}
