/*
 * strict: the most careful reading of bytes as HTTP/1.1 requests (RFC 9112), by which a server's
 * answers are judged. Knows nothing of the server.
 */
#ifndef TESTS_INTEGRATION_STRICT_H
#define TESTS_INTEGRATION_STRICT_H

#include <stdbool.h>

#include "common/span.h"

struct strict {
    bool sound;    /* the first head follows the grammar and says its framing in one way only */
    bool ends;     /* the first head comes to an end, or is already seen to be wrong */
    bool has_body; /* the first head is sound and announces a body */
    int requests;  /* how many there are; what cannot be read any further counts as one */
    int heads;     /* how many of them have a sound head */
    bool all;      /* every byte belongs to a sound request, the last one's body whole */
};

struct strict strict_read(struct span bytes);

#endif
