#include "common/fetch_proxy.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/fetch.h"
#include "common/parse.h"
#include "common/url.h"

/* Stand for names that must not be looked up: addresses that nobody has (RFC 5737). */
#define STAND_IN_TARGET "192.0.2.1"
#define STAND_IN_PROXY "192.0.2.2"

CLEANUP_DEFINE(CURLU *, curl_url_cleanup)
CLEANUP_DEFINE(char *, curl_free)
CLEANUP_DEFINE(CURL *, curl_easy_cleanup)
CLEANUP_DEFINE(struct curl_slist *, curl_slist_free_all)

static void init_curl(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

void fetch_init_curl(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
}

void fetch_set_proxy(CURL *easy, const char *proxy, const char *no_proxy) {
    if (*proxy) curl_easy_setopt(easy, CURLOPT_PROXY, proxy);
    if (*no_proxy) curl_easy_setopt(easy, CURLOPT_NOPROXY, no_proxy);
}

void fetch_read_address(const struct sockaddr *address, char ret[INET6_ADDRSTRLEN],
                        uint16_t *ret_port) {
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;
    bool is_v6 = address->sa_family == AF_INET6;
    const void *bytes = is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr;

    *ret_port = ntohs(is_v6 ? v6->sin6_port : v4->sin_port);
    if (!inet_ntop(is_v6 ? AF_INET6 : AF_INET, bytes, ret, INET6_ADDRSTRLEN)) ret[0] = '\0';
}

/* --- which one ------------------------------------------------------------------------------- */

/* In libcurl's order. HTTP_PROXY is not among them: a CGI client could set it by a header. */
static const char *find_variable(bool https, const char **ret_name) {
    static const struct {
        const char *name;
        bool for_https, for_http;
    } known[] = {
        {"https_proxy", true, false}, {"HTTPS_PROXY", true, false}, {"http_proxy", false, true},
        {"all_proxy", true, true},    {"ALL_PROXY", true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        const char *value = getenv(known[i].name);
        if (!(https ? known[i].for_https : known[i].for_http) || !value || !*value) continue;
        *ret_name = known[i].name;
        return value;
    }
    return "";
}

/* One part of a URL as text; "" where it has none. */
static void copy_part(CURLU *url, CURLUPart part, char *out, size_t size) {
    CLEANUP(curl_freep) char *text = NULL;
    if (curl_url_get(url, part, &text, 0) != CURLUE_OK) text = NULL;
    snprintf(out, size, "%s", text ? text : "");
}

static bool has_credentials(CURLU *url) {
    char user[2], password[2];
    copy_part(url, CURLUPART_USER, user, sizeof user);
    copy_part(url, CURLUPART_PASSWORD, password, sizeof password);
    return *user || *password;
}

/* Take apart what names a proxy, as libcurl does; its credentials stay behind. */
static int describe(const char *text, struct fetch_proxy *ret) {
    char scheme[16], host[FETCH_HOST_MAX], port[8];
    CLEANUP(curl_url_cleanupp) CURLU *url = curl_url();
    uint64_t number;
    if (!url) return ERR_MEMORY;

    if (curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) !=
        CURLUE_OK) {
        snprintf(ret->url, sizeof ret->url, "(no URL)");
        ret->unusable = true;
        return 0;
    }
    copy_part(url, CURLUPART_SCHEME, scheme, sizeof scheme);
    copy_part(url, CURLUPART_HOST, host, sizeof host);
    copy_part(url, CURLUPART_PORT, port, sizeof port);
    ret->tls = strcasecmp(scheme, "https") == 0;
    ret->socks = strncasecmp(scheme, "socks", 5) == 0;
    /* libcurl's own defaults. */
    if (parse_u64(span_of(port), UINT16_MAX, &number) < 0) number = ret->tls ? 443 : 1080;
    ret->port = (uint16_t)number;
    snprintf(ret->url, sizeof ret->url, "%s://%s%s:%u", scheme, has_credentials(url) ? "***@" : "",
             host, ret->port);
    size_t bracket = host[0] == '[';
    snprintf(ret->host, sizeof ret->host, "%.*s", (int)(strlen(host) - 2 * bracket),
             host + bracket);
    return 0;
}

/* --- whether it is used ---------------------------------------------------------------------- */

struct probe {
    char address[INET6_ADDRSTRLEN]; /* of the target */
    uint16_t port;
    bool asked;
    bool direct;
};

/* libcurl wants to connect: where to tells what it decided. It gets no socket. */
static curl_socket_t on_open(void *argument, curlsocktype purpose, struct curl_sockaddr *address) {
    struct probe *probe = argument;
    char text[INET6_ADDRSTRLEN];
    uint16_t port;

    (void)purpose;
    probe->asked = true;
    fetch_read_address(&address->addr, text, &port);
    if (port == probe->port && strcmp(text, probe->address) == 0) probe->direct = true;
    return CURL_SOCKET_BAD;
}

/* The address of a host that is one; else a stand-in for it, which libcurl is told. */
static int fix_address(const char *host, uint16_t port, const char *stand_in,
                       char out[INET6_ADDRSTRLEN], struct curl_slist **names) {
    unsigned char bytes[16];
    char line[FETCH_HOST_MAX + 64];

    for (int family = AF_INET; family; family = family == AF_INET ? AF_INET6 : 0)
        if (inet_pton(family, host, bytes) == 1)
            return inet_ntop(family, bytes, out, INET6_ADDRSTRLEN) ? 0 : ERR_MEMORY;
    snprintf(out, INET6_ADDRSTRLEN, "%s", stand_in);
    snprintf(line, sizeof line, "%s:%u:%s", host, port, stand_in);
    struct curl_slist *longer = curl_slist_append(*names, line);
    if (!longer) return ERR_MEMORY;
    *names = longer;
    return 0;
}

static int ask_libcurl(const struct fetch_settings *settings, const char *text,
                       const struct url *url, struct fetch_proxy *proxy) {
    CLEANUP(curl_slist_free_allp) struct curl_slist *names = NULL;
    CLEANUP(curl_easy_cleanupp) CURL *easy = curl_easy_init();
    struct probe probe = {.port = url->port};
    char host[FETCH_HOST_MAX], ignored[INET6_ADDRSTRLEN];

    snprintf(host, sizeof host, "%.*s", SPAN_PRINTF(url->host));
    if (!easy || fix_address(host, url->port, STAND_IN_TARGET, probe.address, &names) < 0 ||
        fix_address(proxy->host, proxy->port, STAND_IN_PROXY, ignored, &names) < 0)
        return ERR_MEMORY;
    curl_easy_setopt(easy, CURLOPT_URL, text);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_RESOLVE, names);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &probe);
    fetch_set_proxy(easy, settings->proxy, settings->no_proxy);
    curl_easy_perform(easy);
    proxy->excluded = probe.direct;
    proxy->unusable = !probe.asked;
    return 0;
}

int fetch_find_proxy(const struct fetch_settings *settings, const char *text,
                     struct fetch_proxy *ret) {
    struct fetch_proxy proxy = {.url = ""};
    struct url url;
    int r;

    fetch_init_curl();
    *ret = proxy;
    if (url_parse(span_of(text), &url, NULL) < 0) return 0;
    const char *named = settings->proxy;
    if (!*named) named = find_variable(url.https, &proxy.variable);
    if (!*named) return 0;
    if ((r = describe(named, &proxy)) < 0) return r;
    if (*proxy.host && (r = ask_libcurl(settings, text, &url, &proxy)) < 0) return r;
    *ret = proxy;
    return 0;
}
