/*
 * daemon: bearerd itself as a child of a test, on a free port and with a folder of its own.
 */
#ifndef TESTS_SUPPORT_DAEMON_H
#define TESTS_SUPPORT_DAEMON_H

#include "tests/support/client.h"
#include "tests/support/process.h"

struct daemon {
    struct process *process;
    int port;
    char *folder; /* its configuration file, and its state_directory */
};

/* The program under test: bearerd in the folder BUILD names. The caller frees the path. */
char *daemon_program(void);

/*
 * Configuration with this one issuer, audience "api" and the routes that are there by default. more
 * is further keys of the issuer, "leeway: 0, max_stale: 2s", or "". The caller frees the text.
 */
char *daemon_yaml(const char *issuer_url, const char *more);

/*
 * Start it and wait until it listens. yaml is the configuration but for listen, workers,
 * state_directory and log, which are added. The test fails, with what bearerd said, where it does
 * not listen. folder: of an earlier daemon whose state is to be found; NULL for a new one.
 */
struct daemon *daemon_start(const char *yaml, const char *folder);

/* daemon_start() of daemon_yaml(issuer_url, more) and rest, further YAML of the configuration. */
struct daemon *daemon_start_for(const char *issuer_url, const char *more, const char *rest);

/* SIGTERM, and the test fails unless it ends with exit code 0. Frees everything. */
void daemon_stop(struct daemon *daemon);

/* http_get() with this token (NULL: none) as Bearer. */
int daemon_get(const struct daemon *daemon, const char *path, const char *token,
               struct response *ret);

/* Ask until the status is this one. False when it never was within that time. */
bool daemon_wait_status(const struct daemon *daemon, const char *path, const char *token,
                        int status, int within_ms);

#endif
