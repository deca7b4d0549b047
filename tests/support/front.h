/*
 * front: the proxies of conf/examples, each started as it ships but for ports and folders.
 */
#ifndef TESTS_SUPPORT_FRONT_H
#define TESTS_SUPPORT_FRONT_H

#include "tests/support/process.h"

enum front_kind { FRONT_NGINX, FRONT_CADDY, FRONT_HAPROXY, FRONT_APACHE, FRONT_COUNT };

struct front {
    struct process *process;
    int port; /* where clients ask */
};

/*
 * What this machine lacks to start it: "nginx is not installed", or NULL for nothing. Never freed.
 */
const char *front_missing(enum front_kind kind);

/*
 * Start it in a folder of its own, between clients and the application on that port, with the gate
 * on the other one; neither has to be there yet. The test fails, with what the proxy said, where it
 * does not listen, and is skipped where the proxy is missing. front_stop() ends it and frees
 * everything.
 */
struct front *front_start(enum front_kind kind, int gate_port, int application_port);
void front_stop(struct front *front);

/*
 * The text of a file of conf/examples with these changes, pairs of an old text and a new one up to
 * NULL. The test fails where an old text is not in the file. The caller frees it.
 */
char *front_example(const char *file, const char *const changes[]);

#endif
