/*
 * journal: log entries for systemd's journal, each with its fields, over the socket that takes
 * them.
 *
 * The bytes are made here (systemd.io/JOURNAL_NATIVE_PROTOCOL) and not by sd_journal_sendv(), which
 * blocks while the journal is stuck and does not tell when there is none.
 */
#ifndef COMMON_JOURNAL_H
#define COMMON_JOURNAL_H

#include "common/buf.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/*
 * Append "NAME=value\n" to an entry. name is in upper case already, as the journal demands: A-Z,
 * 0-9 and '_', not '_' first. In the value, what utf8_is_steering() tells and what is not UTF-8
 * becomes U+FFFD: the journal would keep it, and so hand it to the terminal of whoever looks.
 */
void journal_add(struct buf *entry, struct span name, struct span value);

/* A socket to send by, or -1. Never waits; closed over exec. The caller closes it. */
int journal_open(void);

enum journal_sent {
    JOURNAL_SENT,
    JOURNAL_BUSY,   /* it does not take this entry now */
    JOURNAL_MISSING /* nobody listens at path */
};

/* Any thread: send one entry to the socket at path, now or not at all. */
enum journal_sent journal_send(int fd, const char *path, struct span entry);

#endif
