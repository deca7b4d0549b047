/*
 * online: "bearerd check --online" fetches every issuer's keys once, as the daemon would, and tells
 * each step of it.
 */
#ifndef SERVER_ONLINE_ONLINE_H
#define SERVER_ONLINE_ONLINE_H

#include "server/config/config.h"

/*
 * The command, with its own options. load makes the configuration out of what -c named (NULL: it
 * was not given), and prints what is wrong with it. Returns the exit code: 0 where the keys of
 * every issuer came and its tokens would be accepted, 1 where not, 2 for wrong usage.
 */
int online_main(int argc, char **argv, struct config *(*load)(void *file));

#endif
