/*
 * read: the way every configuration takes, from a file, from memory or from the environment.
 */
#ifndef SERVER_CONFIG_READ_H
#define SERVER_CONFIG_READ_H

#include "server/config/problem.h"

/*
 * Check text, load it and fill in what depends on this machine. problems may hold some already;
 * they are handed over to report with those found here. Same contract as config_parse().
 */
int read_config(struct span text, const char *source, struct problems *problems,
                struct config **ret, struct config_report *report) MUST_CHECK;

#endif
