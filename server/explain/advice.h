/*
 * advice: what a reason means, and what to change so that such a request is let through. One
 * sentence each.
 */
#ifndef SERVER_EXPLAIN_ADVICE_H
#define SERVER_EXPLAIN_ADVICE_H

#include "server/token/reason.h"

/* Static. Never NULL or empty: every reason has both. */
const char *advice_meaning(enum reason reason);
const char *advice_for(enum reason reason);

#endif
