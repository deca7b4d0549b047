/*
 * listener: a listening socket: our own TCP or unix socket, or one that systemd handed over. Shared
 * by all workers, kept across reloads while its address stays configured.
 */
#ifndef SERVER_LOOP_LISTENER_H
#define SERVER_LOOP_LISTENER_H

#include <stdbool.h>

#include "common/err.h"
#include "common/ref.h"

struct listener {
    struct ref ref;
    int fd;      /* non-blocking */
    bool passed; /* systemd's: it goes on listening when we stop */
    char *address;
    char *unlink_path; /* of a unix socket of our own; NULL otherwise */
};

/*
 * Listen on host:port, [v6]:port, unix:PATH or systemd:NAME. A stale unix socket at PATH is
 * replaced, a live one is not. May resolve a name: main thread. Returns 0 with one reference in
 * *ret, or ERR_SYSTEM, ERR_MEMORY with the reason.
 */
int listener_open(const char *address, struct listener **ret, struct err_text *err) MUST_CHECK;

/* Any thread: take one more reference; drop one, the last closes and frees (NULL is fine). */
struct listener *listener_ref(struct listener *listener);
void listener_unref(struct listener *listener);
CLEANUP_DEFINE(struct listener *, listener_unref)

/* Can only this machine reach it: a loopback address or a unix socket? */
bool listener_is_local(const struct listener *listener);

/* Main thread: refuse clients from now on, whoever still holds a reference. systemd's stay open. */
void listener_shut(struct listener *listener);

#endif
