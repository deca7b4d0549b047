/*
 * proxied: a scene whose daemon passes requests on to a scripted upstream. What is judged is every
 * byte that came there.
 */
#ifndef TESTS_INTEGRATION_PROXIED_H
#define TESTS_INTEGRATION_PROXIED_H

#include "tests/support/scene.h"
#include "tests/support/upstream.h"

/* NULL leaves a part at what is said here. /profile/ is the daemon's own in any case. */
struct proxied_options {
    const char *routes;   /* items of routes, to the upstream "up"; every path, open to all */
    const char *upstream; /* further keys of that upstream: ", host: target" */
    const char *rest;     /* further lines of the configuration */
    const char *log;      /* as scene_options has it */
};

struct proxied {
    struct upstream *upstream;
    struct scene scene;
    int allowed; /* requests that were to reach the upstream whole, so far */
    int begun;   /* further ones that it may have seen the beginning of, but no end */
};

struct proxied proxied_start(const struct proxied_options *options);

/*
 * Stop the daemon, and judge what the upstream got: each byte belongs to a request that a strict
 * reader takes, and there were as many of them as allowed and begun say. Frees everything.
 */
void proxied_end(struct proxied *proxied);

/*
 * Send request on a connection of its own. It must be answered with 200, and have reached the
 * upstream as its next request: what came there. Not where requests were cut off before.
 */
const struct upstream_request *proxied_pass(struct proxied *proxied, struct span request);

/* The same whatever the upstream makes the status; *ret is the answer. */
const struct upstream_request *proxied_exchange(struct proxied *proxied, struct span request,
                                                struct response *ret);

/* proxied_pass() of scene_get(path, headers). */
const struct upstream_request *proxied_get(struct proxied *proxied, const char *path,
                                           const char *headers);

/*
 * How many fields of the head have that name, by letters and digits alone and in any case: what an
 * upstream may take for it.
 */
int proxied_count(const struct upstream_request *request, const char *name);

/*
 * Send request on a connection of its own: that status is the answer, and none of it is passed on,
 * but for what allowed and begun count already.
 */
void proxied_refuse(struct proxied *proxied, struct span request, int status);

/*
 * The same, and the connection is closed behind that one answer. what names the case in the
 * failure.
 */
void proxied_check_last(struct proxied *proxied, const char *what, struct span request, int status);

/* A new connection is served by the upstream. */
void proxied_check_serves(struct proxied *proxied, const char *what);

#endif
