/*
 * server: the running daemon: start order, signals, reload, stop. Owns the configuration, the
 * keystore and the workers.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/config/config.h"

/*
 * Where the configuration comes from; called at the start and for every reload. Prints what is
 * wrong to standard error and returns NULL; otherwise the caller owns a reference.
 */
typedef struct config *server_load(void *argument);

/*
 * What a start would find out besides: is the deny list one? Returns 0, or an error whose text
 * names file and line.
 */
int server_check(const struct config *config, struct err_text *err) MUST_CHECK;

/*
 * Serve until SIGTERM or SIGINT, reloading on SIGHUP. Takes over the signals of the whole process:
 * call it before any other thread exists. on_ready, where not NULL, is called once, when listeners
 * are open. Returns the process's exit code: 0 after an orderly stop, 1 where it could not start.
 */
int server_run(server_load *load, void *argument, void (*on_ready)(void *argument));

#endif
