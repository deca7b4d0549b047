/*
 * notify: what systemd wants to hear, and the sockets it hands over. All of it does nothing where
 * the program was not started by systemd. The only room that knows libsystemd.
 */
#ifndef COMMON_NOTIFY_H
#define COMMON_NOTIFY_H

#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

/* sd_notify(3). Any thread. */
void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
void notify_watchdog(void);
void notify_status(const char *format, ...) PRINTF_LIKE(1, 2);

/* How often notify_watchdog() is expected, in milliseconds; 0 where no watchdog runs. */
int64_t notify_watchdog_interval(void);

/*
 * Descriptors that socket activation passed under this name (FileDescriptorName=). Writes up to max
 * of them to fds and returns how many there are. They stay open and belong to the process.
 */
size_t notify_sockets(const char *name, int *fds, size_t max);

#endif
