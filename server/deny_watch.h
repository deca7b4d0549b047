/*
 * deny_watch: the deny list's file: read, looked after for changes, and changed for the admin
 * listener. Main thread.
 *
 * What is in force goes only for something that is known to be as it was meant: a file with a bad
 * line, or that cannot be read, or that is gone, changes nothing.
 */
#ifndef SERVER_DENY_WATCH_H
#define SERVER_DENY_WATCH_H

#include "common/snapshot.h"
#include "server/answer/admin.h"

struct deny_watch;

/*
 * Read the file at path ("": none is configured) and watch it from now on. One that does not exist
 * yet is a list without entries. previous is what it takes the place of, and may be NULL: a list of
 * its that has entries stays in force where its file is gone; and another file that is to take its
 * place must exist. Returns 0, or an error that names file and line, and what would be right.
 */
int deny_watch_open(const char *path, const struct deny_watch *previous, struct deny_watch **ret,
                    struct err_text *err) MUST_CHECK;

/* Look no more. NULL is fine. */
void deny_watch_close(struct deny_watch *watch);
CLEANUP_DEFINE(struct deny_watch *, deny_watch_close)

/* Publish its list to denied, unless it is that of previous (NULL: none). */
void deny_watch_publish(const struct deny_watch *watch, const struct deny_watch *previous,
                        struct snapshot *denied);

/* Readable when the file may have changed; -1 where nothing can be told so. */
int deny_watch_fd(const struct deny_watch *watch);

/*
 * Look whether the file has changed, and publish what it says now. To be called when
 * deny_watch_fd() is readable, and twice a second: where another file in its place is not told, on
 * a network drive or behind links, it is found so. Of a change of the same file by another host
 * nobody tells: deny_watch_open() reads it.
 */
void deny_watch_look(struct deny_watch *watch, struct snapshot *denied);

/* Write the change to the file, publish it, and fill in what came of it. */
void deny_watch_change(struct deny_watch *watch, struct snapshot *denied,
                       struct admin_errand *errand);

#endif
