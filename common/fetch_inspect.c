#include "common/fetch_inspect.h"

#include <fcntl.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/fetch_proxy.h"
#include "common/url.h"

struct inspector {
    struct fetch_inspection seen;
    bool tunnelled;
    int64_t started_ms;
    int64_t began_ms[FETCH_STEPS]; /* since the start of this request; -1: not yet */
};

struct inspector *inspector_new(const struct fetch_settings *settings, const char *url) {
    struct inspector *inspector = calloc(1, sizeof *inspector);
    struct url parts;

    if (!inspector) return NULL;
    if (fetch_find_proxy(settings, url, &inspector->seen.proxy) < 0) {
        free(inspector);
        return NULL;
    }
    const struct fetch_proxy *proxy = &inspector->seen.proxy;
    inspector->tunnelled = *proxy->url && !proxy->excluded && !proxy->socks &&
                           url_parse(span_of(url), &parts, NULL) == 0 && parts.https;
    inspector->seen.failed = FETCH_STEPS;
    for (int i = 0; i < FETCH_STEPS; i++) inspector->seen.took_ms[i] = -1;
    return inspector;
}

void inspector_free(struct inspector *inspector) {
    free(inspector);
}

const struct fetch_inspection *inspector_result(const struct inspector *inspector) {
    return &inspector->seen;
}

/* --- while it goes on ------------------------------------------------------------------------ */

static void begin(struct inspector *inspector, enum fetch_step step) {
    inspector->began_ms[step] = clock_monotonic_ms() - inspector->started_ms;
}

static curl_socket_t on_open(void *argument, curlsocktype purpose, struct curl_sockaddr *address) {
    struct inspector *inspector = argument;
    struct fetch_inspection *seen = &inspector->seen;

    (void)purpose;
    if (seen->tried_count < FETCH_TRIED_MAX)
        fetch_read_address(&address->addr, seen->tried[seen->tried_count++], &seen->port);
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* A handshake begins; with an https proxy, its own comes first. */
static CURLcode on_tls(CURL *easy, void *ssl_context, void *argument) {
    struct inspector *inspector = argument;
    struct fetch_inspection *seen = &inspector->seen;
    bool by_tls = seen->proxy.tls && !seen->proxy.excluded;
    bool is_proxy = by_tls && inspector->began_ms[FETCH_TUNNEL] < 0;

    (void)easy;
    begin(inspector, is_proxy ? FETCH_PROXY_TLS : FETCH_TLS);
    chain_watch(ssl_context, is_proxy ? &seen->proxy_peer : &seen->peer);
    return CURLE_OK;
}

/* What is sent first to a proxy is the wish for a tunnel. It may hold credentials: not looked at.
 */
static int on_debug(CURL *easy, curl_infotype type, char *bytes, size_t len, void *argument) {
    static const struct span connect = SPAN_LITERAL("CONNECT ");
    struct inspector *inspector = argument;

    (void)easy;
    if (type == CURLINFO_HEADER_OUT && inspector->tunnelled &&
        span_starts_with((struct span){bytes, len}, connect))
        begin(inspector, FETCH_TUNNEL);
    return 0;
}

void inspector_attach(struct inspector *inspector, CURL *easy) {
    inspector->started_ms = clock_monotonic_ms();
    for (int i = 0; i < FETCH_STEPS; i++) inspector->began_ms[i] = -1;
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, inspector);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, inspector);
    curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_debug);
    curl_easy_setopt(easy, CURLOPT_DEBUGDATA, inspector);
    curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
}

/* --- when it has ended ----------------------------------------------------------------------- */

/* One of libcurl's moments in ms; -1 where it did not come. */
static int64_t moment(CURL *easy, CURLINFO which) {
    curl_off_t us = 0;
    curl_easy_getinfo(easy, which, &us);
    return us > 0 ? us / 1000 : -1;
}

/* libcurl knows when the first steps and the last began; it tells nothing of TLS that fails. */
static void complete_moments(struct inspector *inspector, CURL *easy, CURLcode code) {
    int64_t *began = inspector->began_ms;
    bool kept =
        moment(easy, CURLINFO_CONNECT_TIME_T) < 0 && moment(easy, CURLINFO_PRETRANSFER_TIME_T) >= 0;

    began[FETCH_ANSWER] = moment(easy, CURLINFO_PRETRANSFER_TIME_T);
    if (kept) return;
    began[FETCH_RESOLVE] = 0;
    began[FETCH_CONNECT] = moment(easy, CURLINFO_NAMELOOKUP_TIME_T);
    if (code == CURLE_SSL_CACERT_BADFILE && began[FETCH_TLS] < 0) begin(inspector, FETCH_TLS);
}

/* Each step ends where the next one began. Returns the last that began. */
static enum fetch_step add_times(struct inspector *inspector, int64_t end) {
    enum fetch_step last = FETCH_RESOLVE;
    bool any = false;

    for (int i = FETCH_STEPS - 1; i >= 0; i--) {
        int64_t began = inspector->began_ms[i], *took = &inspector->seen.took_ms[i];
        if (began < 0) continue;
        if (!any) last = (enum fetch_step)i;
        any = true;
        /* The clocks that were asked are two: libcurl's and ours. */
        *took = (*took > 0 ? *took : 0) + (end > began ? end - began : 0);
        end = began;
    }
    return last;
}

void inspector_collect(struct inspector *inspector, CURL *easy, CURLcode code) {
    struct fetch_inspection *seen = &inspector->seen;
    long number = 0;

    complete_moments(inspector, easy, code);
    int64_t end = clock_monotonic_ms() - inspector->started_ms;
    enum fetch_step last = add_times(inspector, end);
    curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &number);
    if (number) seen->tunnel = number;
    if (code == CURLE_OK) return;

    seen->failed = last;
    seen->timed_out = code == CURLE_OPERATION_TIMEDOUT;
    seen->no_trust = code == CURLE_SSL_CACERT_BADFILE;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
    seen->system_error = (int)number;
    struct chain *chain = last == FETCH_PROXY_TLS ? &seen->proxy_peer : &seen->peer;
    if (code == CURLE_PEER_FAILED_VERIFICATION && chain->count && chain->fault == CHAIN_FINE)
        chain->fault = CHAIN_WRONG_HOST;
}
