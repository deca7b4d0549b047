/*
 * fetch: GET documents over HTTP and HTTPS, several at once, on one thread.
 *
 * What comes back is untrusted and bounded. TLS is always verified, redirects stay within the
 * origin, no cookie, no .netrc, no decompression; the proxy is the configured one or the one of the
 * usual environment variables. The only room that knows libcurl.
 */
#ifndef COMMON_FETCH_H
#define COMMON_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/span.h"

struct fetcher;

/* Strings may be "" for not set; all are copied. */
struct fetch_settings {
    const char
        *ca_file; /* instead of the system's store; "" = $SSL_CERT_FILE, $SSL_CERT_DIR, system */
    const char *proxy;    /* "" = $https_proxy, $http_proxy, $all_proxy */
    const char *no_proxy; /* "" = $no_proxy */
    int64_t connect_timeout_ms;
    int64_t timeout_ms; /* for the whole exchange, redirects included */
    size_t max_body;
};

/* All spans and strings live until the callback returns. */
struct fetch_reply {
    const char *error;   /* what went wrong below HTTP, or with its limits; NULL if nothing */
    long status;         /* of the last response; 0 where there was none */
    struct span body;    /* of a reply without error */
    int64_t max_age;     /* seconds, of Cache-Control less Age (RFC 9111); -1 = not given */
    const char *url;     /* the exact URL asked last */
    const char *address; /* the peer's address; "" if it came to none */
    int64_t took_ms;
};

typedef void fetch_done(void *argument, const struct fetch_reply *reply);

/* Returns NULL where memory ran out. A fetcher belongs to one thread. */
struct fetcher *fetcher_new(const struct fetch_settings *settings);

/* Drops what is still under way without calling back. NULL is fine. */
void fetcher_free(struct fetcher *fetcher);

/*
 * Start fetching url. done is called exactly once, from fetcher_poll(), and may start another
 * fetch. allow_http: plain http may be used. Returns 0, or ERR_MEMORY and done is never called.
 */
int fetcher_start(struct fetcher *fetcher, const char *url, bool allow_http, fetch_done *done,
                  void *argument) MUST_CHECK;

/*
 * Work on the fetches under way for up to timeout_ms, or until wake_fd is readable, which is left
 * unread.
 */
void fetcher_poll(struct fetcher *fetcher, int64_t timeout_ms, int wake_fd);

#endif
