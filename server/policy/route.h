/*
 * route: which rule applies to a request. Pure.
 */
#ifndef SERVER_POLICY_ROUTE_H
#define SERVER_POLICY_ROUTE_H

#include "common/buf.h"
#include "server/config/config.h"

enum route_found {
    ROUTE_FOUND,
    ROUTE_NONE,        /* no route has this path */
    ROUTE_OTHER_METHOD /* the path has routes, none of them for this method */
};

/*
 * The most specific route for a method and a normalised path: an exact path beats a subtree, a
 * longer subtree a shorter one. Where a route lists no methods, an upstream takes every one, an
 * endpoint of our own GET and HEAD. *ret lives as long as config.
 */
enum route_found route_find(const struct config *config, struct span method, struct span path,
                            const struct config_route **ret);

/*
 * The methods that the most specific routes of path take, for an Allow header (RFC 9110 section
 * 10.2.1): "GET, HEAD". out is empty. For ROUTE_OTHER_METHOD: a route to an upstream that lists no
 * methods takes any, so that there is no list of them.
 */
void route_add_allow(const struct config *config, struct span path, struct buf *out);

#endif
