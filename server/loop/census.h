/*
 * census: how many connections there are, in all and from each address, over all workers. Asked
 * once a connection, never once a request.
 */
#ifndef SERVER_LOOP_CENSUS_H
#define SERVER_LOOP_CENSUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct census;

/* An empty census, or NULL without memory; and its end, when all have left. NULL is fine. */
struct census *census_new(void);
void census_free(struct census *census);

enum census_answer { CENSUS_ADMITTED, CENSUS_FULL, CENSUS_FULL_FOR_ADDRESS };

/*
 * Any thread: count a connection in, unless that would exceed limit in all or per_address from this
 * address (0 = no such limit). IPv6 addresses count by their /64, which one host can have whole;
 * unix sockets have no address. *ret_counted tells census_leave() what was counted.
 */
enum census_answer census_enter(struct census *census, const struct sockaddr *address,
                                uint64_t limit, uint64_t per_address, bool *ret_counted);

/* Any thread: the same connection is gone. */
void census_leave(struct census *census, const struct sockaddr *address, bool counted);

/* Any thread: connections at this moment. */
uint64_t census_count(struct census *census);

#endif
