/*
 * cidr: blocks of IP addresses (RFC 4632, RFC 4291 section 2.3).
 */
#ifndef COMMON_CIDR_H
#define COMMON_CIDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/err.h"
#include "common/span.h"

struct cidr {
    unsigned char address[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;             /* of these 128 that must agree */
};

/*
 * Parse "10.0.0.0/8", "fd00::/8" or one address without "/". ERR_SYNTAX with the reason in err,
 * which reads behind the quoted value: "has address bits behind the prefix".
 */
int cidr_parse(struct span text, struct cidr *ret, struct err_text *err) MUST_CHECK;

/* Is it all of IPv4 or all of IPv6, however that is written? */
bool cidr_is_everyone(const struct cidr *cidr);

/*
 * Does the block hold that address? IPv4-mapped IPv6 addresses count as IPv4, which no block of
 * IPv6 holds: ::/8 does not hold 127.0.0.1. Unix sockets never match.
 */
bool cidr_holds(const struct cidr *cidr, const struct sockaddr *address);

#endif
