/*
 * process: what the system says of this process, under the names that all Prometheus clients use.
 */
#ifndef SERVER_METRICS_PROCESS_H
#define SERVER_METRICS_PROCESS_H

#include <stdint.h>

#define METRICS_UNKNOWN (-1)

/* METRICS_UNKNOWN where the system does not say. */
struct metrics_process {
    int64_t resident_bytes;
    int64_t cpu_ms;
    int64_t open_fds;
    int64_t max_fds;
    int64_t started_ms; /* wall clock, by the system's 10 ms */
};

/*
 * Ask. Reads /proc/self, which takes the longer the more descriptors are open, some milliseconds
 * for ten thousand: not for every request. Any thread.
 */
struct metrics_process metrics_read_process(void);

#endif
