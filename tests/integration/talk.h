/*
 * talk: a connection, plain or TLS, whose bytes are sent as a test likes and looked at as they
 * come. For streams and tunnels, where there is no whole answer to wait for.
 */
#ifndef TESTS_INTEGRATION_TALK_H
#define TESTS_INTEGRATION_TALK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

struct talk;

/*
 * Connect to 127.0.0.1:port. tls: by TLS, with the server's certificate checked against the test
 * authority. The test fails where that is refused.
 */
struct talk *talk_open(int port, bool tls);
void talk_free(struct talk *talk); /* closes it; NULL is fine */

/* Send all of it. The test fails where the other side takes none of it for ten seconds. */
void talk_send(struct talk *talk, struct span bytes);

/* End our side alone: a half-close, over TLS close_notify. And drop it with a reset. */
void talk_finish(struct talk *talk);
void talk_reset(struct talk *talk);

/* Wait until what came holds text. False where it did not in that time, or the other side ended. */
bool talk_await(struct talk *talk, const char *text, int within_ms);

/* What came and was not dropped; lives until the next call. And drop all of that. */
struct span talk_received(const struct talk *talk);
void talk_drop(struct talk *talk);

enum talk_end {
    TALK_OPEN,
    TALK_FINISHED, /* in an orderly way; over TLS by close_notify */
    TALK_BROKEN,   /* by a reset, or over TLS without close_notify */
};

/* Wait for the end, however much comes before it. TALK_OPEN: there was none in that time. */
enum talk_end talk_wait_end(struct talk *talk, int within_ms);

/*
 * Send so many bytes of the upstream's filler while reading the very same back; what had come
 * before must have been dropped. The test fails where they differ, or nothing moves for ten
 * seconds.
 */
void talk_echo(struct talk *talk, uint64_t len);

#endif
