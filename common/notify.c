#include "common/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

void notify_ready(void) {
    sd_notify(0, "READY=1");
}

void notify_reloading(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
               (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void notify_stopping(void) {
    sd_notify(0, "STOPPING=1");
}

void notify_watchdog(void) {
    sd_notify(0, "WATCHDOG=1");
}

void notify_status(const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sd_notifyf(0, "STATUS=%s", text);
}

int64_t notify_watchdog_interval(void) {
    uint64_t microseconds;
    return sd_watchdog_enabled(0, &microseconds) > 0 ? (int64_t)(microseconds / 1000) : 0;
}

size_t notify_sockets(const char *name, int *fds, size_t max) {
    char **names = NULL;
    size_t found = 0;

    int count = sd_listen_fds_with_names(0, &names);
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            if (found < max) fds[found] = SD_LISTEN_FDS_START + i;
            found++;
        }
        free(names[i]);
    }
    free(names);
    return found;
}
