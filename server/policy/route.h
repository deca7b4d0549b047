/*
 * route: which rule applies to a request. Pure.
 *
 * The routes of a configuration become a tree of path segments for each host that they name and one
 * for all hosts, so that finding one costs the same among ten as among ten thousand.
 */
#ifndef SERVER_POLICY_ROUTE_H
#define SERVER_POLICY_ROUTE_H

#include "common/buf.h"
#include "server/config/config.h"
#include "server/config/pattern.h"
#include "server/policy/requirement.h"

struct routes;

struct route {
    const struct config_route *config;
    struct requirement *require;
    const struct route *next; /* of the same hosts and path, for other methods; in file order */
};

/* What a request asks for. */
struct route_query {
    struct span method;
    struct span host; /* as a Host header has it, with a port or without; absent: none was told */
    struct span path; /* normalised */
};

struct route_match {
    const struct route *route;
    struct span captures[PATTERN_CAPTURES_MAX]; /* in the path that was asked for */
};

enum route_found {
    ROUTE_FOUND,
    ROUTE_NONE,        /* no route has this path */
    ROUTE_OTHER_METHOD /* the path has routes, none of them for this method */
};

/* The table for config, which must outlive it. NULL without memory. */
struct routes *routes_new(const struct config *config);

/* NULL is fine. */
void routes_free(struct routes *routes);
CLEANUP_DEFINE(struct routes *, routes_free)

/*
 * The most specific route. Hosts go first: one that is named beats one that ends so, and that any
 * host; among the latter the longer name wins. Then segment by segment from the left: a text beats
 * a capture, a capture "*". A host whose routes have nothing for the path leaves it to the next.
 * Where a route lists no methods, an upstream takes every one, an endpoint of our own GET and HEAD.
 * A method that is listed beats HEAD where only GET is.
 * With ROUTE_FOUND *ret is the route; with ROUTE_OTHER_METHOD it is the first of those there are.
 */
enum route_found routes_find(const struct routes *routes, const struct route_query *query,
                             struct route_match *ret);

/*
 * The methods that the route and those beside it take, for an Allow header (RFC 9110 section
 * 10.2.1): "GET, HEAD". out is empty. A route to an upstream that lists no methods takes any, so
 * that the usual ones are listed.
 */
void route_add_allow(const struct route *route, struct buf *out);

/* May anybody learn what methods there are: is it, or one beside it, open to requests without
 * credentials? */
bool route_is_open(const struct route *route);

/*
 * Is the raw target below a path by which other proxies ask about their requests (a subtree with
 * respond: forward_auth)? Nothing else may be answered there.
 */
bool routes_is_for_asking(const struct routes *routes, struct span raw_target);

#endif
