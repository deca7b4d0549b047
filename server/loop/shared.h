/*
 * shared: what all workers look at and none of them owns.
 */
#ifndef SERVER_LOOP_SHARED_H
#define SERVER_LOOP_SHARED_H

#include <stdatomic.h>

#include "common/snapshot.h"
#include "server/keys/keystore.h"
#include "server/loop/census.h"
#include "server/loop/errands.h"
#include "server/loop/setup.h"
#include "server/loop/tally.h"

struct shared {
    struct snapshot setup;  /* of struct setup; written by the main thread */
    struct snapshot denied; /* of struct deny_list; written by the main thread */
    struct keystore *keystore;
    struct errands *errands; /* what the main thread does for requests */
    struct census *census;
    struct tallies *tallies;
    atomic_bool draining; /* take no new connections, let the old ones end */
    atomic_bool stopping; /* end now */
};

#endif
