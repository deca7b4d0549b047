/*
 * relay_response: what an upstream answers, handed to libmicrohttpd.
 */
#ifndef SERVER_LOOP_RELAY_RESPONSE_H
#define SERVER_LOOP_RELAY_RESPONSE_H

#include "server/loop/relay_state.h"

/* What a relay does about the events of its transfer. */
extern const struct transfer_events relay_events;

#endif
