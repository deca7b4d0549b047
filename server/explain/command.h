/*
 * command: `bearerd explain`, which tells why a token is let through or refused.
 */
#ifndef SERVER_EXPLAIN_COMMAND_H
#define SERVER_EXPLAIN_COMMAND_H

#include "server/config/config.h"

/*
 * Run the command with its arguments; load gives the configuration of a file, or of NULL the usual
 * one, after it printed what is wrong with it. Returns the exit code: 0 allowed, 1 refused or not
 * to be judged, 2 usage.
 */
int explain_main(int argc, char **argv, struct config *(*load)(void *file));

#endif
