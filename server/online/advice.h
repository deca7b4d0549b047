/*
 * advice: what a failure means and what to do about it. Pure: facts in, words out.
 */
#ifndef SERVER_ONLINE_ADVICE_H
#define SERVER_ONLINE_ADVICE_H

#include "common/fetch.h"
#include "server/online/report.h"

/* What a connection is judged by. */
struct advice_trust {
    const char *host;  /* the name or address that was asked for */
    const char *store; /* the CA store in words: "the system's CA store" */
    int64_t now;       /* wall seconds */
};

/* The firewall or tool that signs certificates by such a name, as an inspector of TLS does; NULL.
 */
const char *advice_inspector(const struct chain *chain);

/* What is wrong with a chain that has a fault, and what to do, added to the two. */
void advice_chain(const struct chain *chain, const struct advice_trust *trust, struct buf *why,
                  struct buf *advice);

/* What to do where the handshake failed without a fault in the chain. words are libcurl's. */
const char *advice_handshake(const char *words, bool timed_out);

/* What to do about a result of getaddrinfo(); about an errno of connect(); about a proxy's status;
 * about a status of the issuer. "" where there is nothing to say. */
const char *advice_name(int result, bool timed_out);
const char *advice_connect(int system_error, bool timed_out);
const char *advice_tunnel(long status, bool timed_out);
const char *advice_status(long status);

/* Is this an HTML page where a JSON document belongs? Its title, "" where it has none. */
#define ADVICE_TITLE_MAX 100
bool advice_is_page(struct span body, const char *content_type, char ret_title[ADVICE_TITLE_MAX]);

/*
 * Judge the clock of this machine, which the issuer's is ahead_s seconds ahead of, for tokens that
 * may be leeway_s off and live max_lifetime_s (0: unknown) at most. The words are added to why.
 */
enum outcome advice_clock(int64_t ahead_s, int64_t leeway_s, int64_t max_lifetime_s,
                          struct buf *why);

#endif
