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
 * longer subtree a shorter one. *ret lives as long as config.
 */
enum route_found route_find(const struct config *config, struct span method, struct span path,
                            const struct config_route **ret);

/* The methods that the most specific routes of path take, for an Allow header: "GET, HEAD". */
void route_add_allow(const struct config *config, struct span path, struct buf *out);

#endif
