/*
 * names: the addresses of one name, looked up on a thread of its own, since the system may take
 * minutes for it.
 */
#ifndef SERVER_ONLINE_NAMES_H
#define SERVER_ONLINE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attr.h"

struct names;

/* Look host up. NULL where there is no memory or no thread; names_*() take that for unfinished. */
struct names *names_start(const char *host);

/*
 * Wait for the end, within_ms at most. Returns false where it did not come. *ret_result is what
 * getaddrinfo() gave; *ret_addresses are the addresses as "192.0.2.7, 2001:db8::7", "" where there
 * are none, which live until names_end().
 */
bool names_wait(struct names *names, int64_t within_ms, int *ret_result,
                const char **ret_addresses) MUST_CHECK;

/* Done with it. A look-up still under way is left to end by itself. NULL is fine. */
void names_end(struct names *names);
CLEANUP_DEFINE(struct names *, names_end)

#endif
