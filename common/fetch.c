#include "common/fetch.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/fetch_inspect.h"
#include "common/fetch_proxy.h"
#include "common/parse.h"
#include "common/url.h"

#define REDIRECTS_MAX 3
#define HEADERS_MAX (64 * 1024)

struct fetcher {
    CURLM *multi;
    char *ca_file;
    char *proxy;
    char *no_proxy;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    size_t max_body;
    bool inspect;
    struct transfer *transfers; /* those under way */
};

struct transfer {
    struct fetcher *fetcher;
    struct transfer *next;
    CURL *easy;
    char *url;
    bool allow_http;
    unsigned redirects;
    int64_t started_ms;
    int64_t max_age;
    int64_t age;
    int64_t date; /* wall seconds; -1 */
    int64_t date_at;
    size_t header_bytes;
    struct buf body;
    struct inspector *inspector; /* NULL unless settings.inspect */
    const char *refusal;         /* why we stopped it ourselves */
    char error[CURL_ERROR_SIZE];
    fetch_done *done;
    void *argument;
};

struct fetcher *fetcher_new(const struct fetch_settings *settings) {
    fetch_init_curl();

    struct fetcher *fetcher = calloc(1, sizeof *fetcher);
    if (!fetcher) return NULL;
    fetcher->multi = curl_multi_init();
    fetcher->ca_file = strdup(settings->ca_file);
    fetcher->proxy = strdup(settings->proxy);
    fetcher->no_proxy = strdup(settings->no_proxy);
    fetcher->connect_timeout_ms = settings->connect_timeout_ms;
    fetcher->timeout_ms = settings->timeout_ms;
    fetcher->max_body = settings->max_body;
    fetcher->inspect = settings->inspect;
    if (!fetcher->multi || !fetcher->ca_file || !fetcher->proxy || !fetcher->no_proxy) {
        fetcher_free(fetcher);
        return NULL;
    }
    return fetcher;
}

static void transfer_free(struct transfer *transfer) {
    if (transfer->easy) {
        curl_multi_remove_handle(transfer->fetcher->multi, transfer->easy);
        curl_easy_cleanup(transfer->easy);
    }
    buf_done(&transfer->body);
    inspector_free(transfer->inspector);
    free(transfer->url);
    free(transfer);
}

void fetcher_free(struct fetcher *fetcher) {
    if (!fetcher) return;
    while (fetcher->transfers) {
        struct transfer *transfer = fetcher->transfers;
        fetcher->transfers = transfer->next;
        transfer_free(transfer);
    }
    if (fetcher->multi) curl_multi_cleanup(fetcher->multi);
    free(fetcher->ca_file);
    free(fetcher->proxy);
    free(fetcher->no_proxy);
    free(fetcher);
}

/* Bytes are counted here, since a Content-Length may be absent or a lie. */
static size_t on_body(char *bytes, size_t size, size_t count, void *argument) {
    struct transfer *transfer = argument;
    buf_add(&transfer->body, (struct span){bytes, size * count});
    if (buf_ok(&transfer->body)) return size * count;
    transfer->refusal = "the answer is larger than fetch.max_body allows";
    return 0;
}

/* max-age of a Cache-Control value (RFC 9111 section 5.2.2.1). */
static void read_cache_control(struct transfer *transfer, struct span value) {
    static const struct span max_age = SPAN_LITERAL("max-age=");
    struct span directive;

    while (span_next(&value, ',', &directive)) {
        directive = span_trim(directive);
        if (directive.len < max_age.len ||
            !span_equal_nocase(span_until(directive, max_age.len), max_age))
            continue;
        uint64_t seconds;
        int r = parse_u64(span_from(directive, max_age.len), INT32_MAX, &seconds);
        if (r == ERR_LIMIT) seconds = INT32_MAX;
        if (r == 0 || r == ERR_LIMIT) transfer->max_age = (int64_t)seconds;
    }
}

/* The sender's clock (RFC 9110 section 6.6.1). */
static void read_date(struct transfer *transfer, struct span value) {
    char text[64];
    if (value.len >= sizeof text) return;
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    transfer->date = curl_getdate(text, NULL);
    transfer->date_at = clock_wall();
}

static size_t on_header(char *bytes, size_t size, size_t count, void *argument) {
    struct transfer *transfer = argument;
    struct span line = {bytes, size * count};

    transfer->header_bytes += line.len;
    if (transfer->header_bytes > HEADERS_MAX) {
        transfer->refusal = "the answer has more than 64 KiB of header lines";
        return 0;
    }
    while (line.len && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    size_t colon = span_find(line, ':');
    struct span name = span_until(line, colon);
    struct span value = span_trim(span_from(line, colon + 1));
    if (span_equal_nocase(name, SPAN_LITERAL("cache-control"))) {
        read_cache_control(transfer, value);
    } else if (span_equal_nocase(name, SPAN_LITERAL("age"))) {
        uint64_t seconds;
        if (parse_u64(value, INT32_MAX, &seconds) == 0) transfer->age = (int64_t)seconds;
    } else if (span_equal_nocase(name, SPAN_LITERAL("date"))) {
        read_date(transfer, value);
    } else if (span_equal_nocase(name, SPAN_LITERAL("content-encoding")) &&
               !span_equal_nocase(value, SPAN_LITERAL("identity"))) {
        /* We asked for none; a compressed answer could be a bomb. */
        transfer->refusal = "the answer is compressed, which was not asked for";
        return 0;
    }
    return size * count;
}

/* Trust: the program's own CA file, else what OpenSSL's variables name, else the system's store. */
static bool set_trust(CURL *easy, const struct fetcher *fetcher) {
    const char *file = fetcher->ca_file;
    const char *folder = NULL;

    if (!*file) {
        file = getenv("SSL_CERT_FILE");
        folder = getenv("SSL_CERT_DIR");
        if (!file && !folder) return true;
    }
    /* The folder too, or libcurl would go on trusting the system's besides. */
    return curl_easy_setopt(easy, CURLOPT_CAINFO, file) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CAPATH, folder) == CURLE_OK;
}

static int64_t time_left(const struct transfer *transfer) {
    int64_t left = transfer->fetcher->timeout_ms - (clock_monotonic_ms() - transfer->started_ms);
    return left > 1 ? left : 1;
}

/* A fresh handle for transfer->url, added to the multi handle. */
static int begin(struct transfer *transfer) {
    const struct fetcher *fetcher = transfer->fetcher;
    CURL *easy = curl_easy_init();
    if (!easy) return ERR_MEMORY;

    transfer->easy = easy;
    transfer->max_age = -1;
    transfer->age = 0;
    transfer->date = -1;
    transfer->header_bytes = 0;
    transfer->error[0] = '\0';
    buf_reset(&transfer->body);
    curl_easy_setopt(easy, CURLOPT_URL, transfer->url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* Otherwise a name server that hangs would hold up this thread, and whoever waits for it,
     * until its answer comes: libcurl would join the resolver. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)fetcher->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)time_left(transfer));
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "bearerd/" BEARERD_VERSION);
    fetch_set_proxy(easy, fetcher->proxy, fetcher->no_proxy);
    if (transfer->inspector) inspector_attach(transfer->inspector, easy);
    /* Where memory runs out these would fall back to wider defaults. */
    const char *protocols = transfer->allow_http ? "http,https" : "https";
    if (curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, protocols) != CURLE_OK ||
        !set_trust(easy, fetcher))
        return ERR_MEMORY;
    return curl_multi_add_handle(fetcher->multi, easy) == CURLM_OK ? 0 : ERR_MEMORY;
}

static bool make_inspector(struct transfer *transfer) {
    const struct fetcher *fetcher = transfer->fetcher;
    if (!fetcher->inspect) return true;
    transfer->inspector = inspector_new(
        &(struct fetch_settings){.proxy = fetcher->proxy, .no_proxy = fetcher->no_proxy},
        transfer->url);
    return transfer->inspector != NULL;
}

int fetcher_start(struct fetcher *fetcher, const char *url, bool allow_http, fetch_done *done,
                  void *argument) {
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer) return ERR_MEMORY;

    transfer->fetcher = fetcher;
    transfer->url = strdup(url);
    transfer->allow_http = allow_http;
    transfer->started_ms = clock_monotonic_ms();
    transfer->body = buf_make(fetcher->max_body);
    transfer->done = done;
    transfer->argument = argument;
    if (!transfer->url || !make_inspector(transfer) || begin(transfer) < 0) {
        transfer_free(transfer);
        return ERR_MEMORY;
    }
    transfer->next = fetcher->transfers;
    fetcher->transfers = transfer;
    return 0;
}

/*
 * Go where a redirect points, if that is the same origin. An issuer is trusted for its own host
 * only: whoever can make it answer with a redirect must not choose where keys come from.
 * Returns false with transfer->refusal set where it is not followed.
 */
static bool follow(struct transfer *transfer) {
    struct url from, to;
    char *target = NULL;

    curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &target);
    if (!target) {
        transfer->refusal = "redirected without a Location";
        return false;
    }
    if (url_parse(span_of(transfer->url), &from, NULL) < 0 ||
        url_parse(span_of(target), &to, NULL) < 0 || !url_same_origin(&from, &to)) {
        transfer->refusal = "redirected to another scheme, host or port, which is never followed";
        return false;
    }
    if (transfer->redirects++ == REDIRECTS_MAX) {
        transfer->refusal = "redirected too often";
        return false;
    }
    char *url = strdup(target);
    if (!url) {
        transfer->refusal = "out of memory";
        return false;
    }
    free(transfer->url);
    transfer->url = url;
    curl_multi_remove_handle(transfer->fetcher->multi, transfer->easy);
    curl_easy_cleanup(TAKE_PTR(transfer->easy));
    if (begin(transfer) == 0) return true;
    transfer->refusal = "out of memory";
    return false;
}

static void unlink_transfer(struct transfer *transfer) {
    struct transfer **at = &transfer->fetcher->transfers;
    while (*at != transfer) at = &(*at)->next;
    *at = transfer->next;
}

/* libcurl's words quote a proxy's URL that it cannot use, with the password in it. */
static const char *error_words(const struct transfer *transfer, CURLcode code) {
    bool quotable = transfer->error[0] && !strchr(transfer->error, '@');
    return quotable ? transfer->error : curl_easy_strerror(code);
}

/* What the handle knows besides. The strings live as long as it does. */
static void ask_handle(struct transfer *transfer, struct fetch_reply *reply) {
    char *address = NULL, *type = NULL, *redirect = NULL;

    if (!transfer->easy) return;
    curl_easy_getinfo(transfer->easy, CURLINFO_PRIMARY_IP, &address);
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &redirect);
    if (address) reply->address = address;
    if (type) reply->content_type = type;
    reply->redirect = redirect;
}

static void finish(struct transfer *transfer, CURLcode code) {
    struct fetch_reply reply = {
        .max_age = -1, .address = "", .content_type = "", .body = SPAN_LITERAL("")};

    if (transfer->inspector) inspector_collect(transfer->inspector, transfer->easy, code);
    if (transfer->easy) {
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &reply.status);
        if (code == CURLE_OK && reply.status >= 301 && reply.status <= 308 && reply.status != 304 &&
            follow(transfer))
            return;
    }
    ask_handle(transfer, &reply);
    if (transfer->inspector) reply.inspection = inspector_result(transfer->inspector);
    if (transfer->refusal)
        reply.error = transfer->refusal;
    else if (code != CURLE_OK)
        reply.error = error_words(transfer, code);
    else
        reply.body = buf_span(&transfer->body);
    reply.date = transfer->date < 0 ? -1 : transfer->date + transfer->age;
    reply.date_at = transfer->date_at;
    if (transfer->max_age >= 0)
        reply.max_age = transfer->max_age > transfer->age ? transfer->max_age - transfer->age : 0;
    reply.url = transfer->url;
    reply.took_ms = clock_monotonic_ms() - transfer->started_ms;

    unlink_transfer(transfer);
    transfer->done(transfer->argument, &reply);
    transfer_free(transfer);
}

/* Let libcurl work, and call back for each transfer that has ended. True if one has. */
static bool perform(struct fetcher *fetcher) {
    bool ended = false;
    int running, queued;
    CURLMsg *message;

    curl_multi_perform(fetcher->multi, &running);
    while ((message = curl_multi_info_read(fetcher->multi, &queued))) {
        struct transfer *transfer;
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        finish(transfer, code);
        ended = true;
    }
    return ended;
}

void fetcher_poll(struct fetcher *fetcher, int64_t timeout_ms, int wake_fd) {
    struct curl_waitfd wake = {.fd = wake_fd, .events = CURL_WAIT_POLLIN};

    if (timeout_ms > INT32_MAX) timeout_ms = INT32_MAX;
    /* A transfer that ended at once leaves nothing to wait for. */
    if (perform(fetcher) || timeout_ms <= 0) return;
    curl_multi_poll(fetcher->multi, &wake, 1, (int)timeout_ms, NULL);
    perform(fetcher);
}
