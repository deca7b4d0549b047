/*
 * upstream_target: one target of an upstream, as configuration spells it.
 */
#ifndef SERVER_CONFIG_UPSTREAM_TARGET_H
#define SERVER_CONFIG_UPSTREAM_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/span.h"

struct upstream_target {
    bool https;
    struct span host; /* without the brackets of an IPv6 address; absent for a unix socket */
    uint16_t port;    /* the scheme's own where none is written */
    struct span
        authority; /* host and port as written, for a Host header; absent for a unix socket */
    struct span unix_path; /* absent for the network */
    unsigned weight;       /* 1 to 1000; 1 where none is written */
};

/*
 * "http://HOST[:PORT]", "https://HOST[:PORT]" or "unix:/PATH", each with " weight=N" behind it or
 * not. No path, query or user information (a route rewrites paths). Spans point into text. Returns
 * 0, or ERR_SYNTAX with the reason, which reads behind the quoted value.
 */
int upstream_target_parse(struct span text, struct upstream_target *ret,
                          struct err_text *why) MUST_CHECK;

#endif
