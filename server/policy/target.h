/*
 * target: the request target in one normal form, by which the route is chosen and which alone would
 * be forwarded. Two readings of one path are how rules get walked around.
 */
#ifndef SERVER_POLICY_TARGET_H
#define SERVER_POLICY_TARGET_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/span.h"
#include "server/token/reason.h"

struct target {
    struct span path;  /* normalised; starts with '/'; in the buffer */
    struct span query; /* as received, without '?'; absent if there is none; in the raw target */
};

/*
 * Bring a raw request target of origin form (RFC 9112 section 3.2.1) into normal form (RFC 3986
 * section 6.2.2): escapes of unreserved characters decoded once, other escapes in upper case, dot
 * segments resolved, runs of '/' merged.
 * Refused, because some server behind us would read them in another way: any form but origin form,
 * '#', '\', control characters, bytes from 0x7f on, incomplete escapes, escaped '/', '\' and NUL,
 * dot segments with a parameter ("..;"), and a path that climbs above the root.
 * out is reset and holds the path afterwards. On false refusal is set.
 */
bool target_parse(struct span raw, struct buf *out, struct target *ret,
                  struct refusal *refusal) MUST_CHECK;

#endif
