/*
 * way: how a fetch came to its server, step by step up to the request: name, connection, proxy,
 * TLS.
 */
#ifndef SERVER_ONLINE_WAY_H
#define SERVER_ONLINE_WAY_H

#include "common/fetch.h"
#include "server/online/report.h"

struct way {
    const struct fetch_settings *settings; /* of the fetches; outlives the way */
    char *url;
    char host[FETCH_HOST_MAX]; /* whose name is looked up: the proxy's, where one is used */
    struct names *names;       /* of that; NULL for an address, or where it could not start */
};

/*
 * A fetch of url is about to start: look its host up beside it. Not again where the last one led to
 * the same origin. Returns 0 or ERR_MEMORY.
 */
int way_begin(struct way *way, const char *url) MUST_CHECK;
void way_done(struct way *way);

/*
 * Report the steps of the fetch, which had settings.inspect; none where it went over a connection
 * that was there. Returns whether it came so far that the request was sent.
 */
bool way_tell(struct way *way, struct report *report, const struct fetch_reply *reply);

/* Why a fetch failed, in words: that it hangs, or its error. */
const char *way_words(const struct fetch_reply *reply);

#endif
