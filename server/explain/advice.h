/*
 * advice: what to change so that a refused request is let through, in one line.
 */
#ifndef SERVER_EXPLAIN_ADVICE_H
#define SERVER_EXPLAIN_ADVICE_H

#include "server/token/reason.h"

/* Static. Never NULL: every reason has one. */
const char *advice_for(enum reason reason);

#endif
