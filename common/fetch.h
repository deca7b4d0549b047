/*
 * fetch: GET documents over HTTP and HTTPS, several at once, on one thread.
 *
 * What comes back is untrusted and bounded. TLS is always verified, redirects stay within the
 * origin, no cookie, no .netrc, no decompression; the proxy is the configured one or the one of the
 * usual environment variables. The only room that knows libcurl, with fetch_proxy and fetch_inspect
 * beside it.
 */
#ifndef COMMON_FETCH_H
#define COMMON_FETCH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/chain.h"
#include "common/err.h"
#include "common/span.h"

struct fetcher;

#define FETCH_HOST_MAX 256

/* Strings may be "" for not set; all are copied. */
struct fetch_settings {
    const char
        *ca_file; /* instead of the system's store; "" = $SSL_CERT_FILE, $SSL_CERT_DIR, system */
    const char *proxy;    /* "" = $https_proxy, $http_proxy, $all_proxy */
    const char *no_proxy; /* "" = $no_proxy */
    int64_t connect_timeout_ms;
    int64_t timeout_ms; /* for the whole exchange, redirects included */
    size_t max_body;
    bool inspect; /* replies have an inspection, for a person who asks why a fetch fails */
};

/* The proxy that a URL is fetched through, without the credentials that its URL may have. */
struct fetch_proxy {
    char url[FETCH_HOST_MAX + 32]; /* "" = there is none; *** stands for credentials */
    char host[FETCH_HOST_MAX];     /* without the brackets of an IPv6 address */
    uint16_t port;
    const char *variable; /* of the environment, that named it; NULL: settings.proxy. Static */
    bool excluded;        /* it is not used: no_proxy names the host of the URL */
    bool tls;             /* spoken to by TLS */
    bool socks;
    bool unusable; /* it is no URL, or of a kind that libcurl does not know: every fetch fails */
};

/* What a fetch does, one after the other. Those that are not needed are left out. */
enum fetch_step {
    FETCH_RESOLVE,   /* look up the name: of the proxy where there is one */
    FETCH_CONNECT,   /* by TCP */
    FETCH_PROXY_TLS, /* with an https proxy */
    FETCH_TUNNEL,    /* ask the proxy for a tunnel (CONNECT) */
    FETCH_TLS,
    FETCH_ANSWER, /* send the request, and read the whole answer */
    FETCH_STEPS,
};

#define FETCH_TRIED_MAX 8

/* How far a fetch came, and what it met. */
struct fetch_inspection {
    struct fetch_proxy proxy;
    enum fetch_step failed;       /* FETCH_STEPS: none of them */
    bool timed_out;               /* that step was given up for its time */
    int64_t took_ms[FETCH_STEPS]; /* -1: not done; all but FETCH_ANSWER on a kept connection */
    char tried[FETCH_TRIED_MAX][INET6_ADDRSTRLEN]; /* addresses, in the order of their turn */
    size_t tried_count;
    uint16_t port;     /* of those */
    int system_error;  /* errno of the last connect() that failed; 0 */
    long tunnel;       /* status of the proxy's answer to CONNECT; 0 = none */
    bool no_trust;     /* the CA store could not be read */
    struct chain peer; /* certificates of the server, and of an https proxy */
    struct chain proxy_peer;
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
    const char *redirect;     /* where the last answer wanted to lead and was not followed; NULL */
    const char *content_type; /* as it came; "" = not given */
    int64_t date;             /* the sender's clock, wall seconds: Date plus Age; -1 = not given */
    int64_t date_at;          /* our own when that came */
    const struct fetch_inspection *inspection; /* NULL unless settings.inspect */
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
 * unread; -1 for none.
 */
void fetcher_poll(struct fetcher *fetcher, int64_t timeout_ms, int wake_fd);

/*
 * Which proxy url would be fetched through with these settings and this environment, and whether
 * no_proxy keeps it out. libcurl itself decides; nothing is sent. Returns 0, or ERR_MEMORY.
 */
int fetch_find_proxy(const struct fetch_settings *settings, const char *url,
                     struct fetch_proxy *ret) MUST_CHECK;

#endif
