/*
 * forward_auth: another proxy asks whether it may let a request through. Which request that is
 * stands in headers, or in the path; the proxies have three ways to say it.
 *
 *   X-Forwarded-Method, -Host, -Uri                    Traefik, Caddy
 *   X-Original-Method, and X-Original-URI or -URL      nginx, ingress-nginx
 *   the request itself, its path behind a prefix       Envoy (ext_authz by HTTP)
 */
#ifndef SERVER_ANSWER_FORWARD_AUTH_H
#define SERVER_ANSWER_FORWARD_AUTH_H

#include "server/config/config.h"
#include "server/proxy/field.h"
#include "server/token/reason.h"

/* The request that is asked about. Points into the one that asks. */
struct original {
    struct span method;
    struct span host;   /* absent where nobody says */
    struct span target; /* path and query, as the client sent them */
};

/* The request that asks. */
struct asking {
    const struct config_route *route; /* with forward_auth; a subtree: the path tells */
    struct span method;
    struct span host;
    struct span raw_target;
    struct fields fields;
};

/*
 * Find the original. The caller has made sure that a trusted proxy asks. Refused: a method or
 * target that is missing, repeated, or told in two ways that differ; nothing has a default, for
 * what a proxy does not say a client may say in its place. On false refusal is set.
 */
bool forward_auth_original(const struct asking *asking, struct original *ret,
                           struct refusal *refusal) MUST_CHECK;

#endif
