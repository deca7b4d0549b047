#include "server/metrics/process.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

/* The field of /proc/self/stat (proc(5), from 1); the second, the name, may hold anything. */
static int64_t read_stat(int field) {
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file) return METRICS_UNKNOWN;
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';

    const char *at = strrchr(text, ')');
    for (int i = 2; at && i < field; i++) at = strchr(at + 1, ' ');
    return at ? strtoll(at, NULL, 10) : METRICS_UNKNOWN;
}

static int64_t count_open_files(void) {
    DIR *folder = opendir("/proc/self/fd");
    int64_t count = -3; /* ".", ".." and the folder itself */
    if (!folder) return METRICS_UNKNOWN;
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

static int64_t read_clock_ms(clockid_t id) {
    struct timespec now;
    if (clock_gettime(id, &now) < 0) return METRICS_UNKNOWN;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * The system counts from its own start, which is now less the time it has been up. That difference
 * moves a little with each correction of the clock, and a start that moves looks like a new one.
 */
static int64_t read_start_ms(void) {
    static _Atomic int64_t found = METRICS_UNKNOWN;
    if (found != METRICS_UNKNOWN) return found;
    int64_t ticks = read_stat(22), up_ms = read_clock_ms(CLOCK_BOOTTIME);
    long per_second = sysconf(_SC_CLK_TCK);
    if (ticks < 0 || up_ms < 0 || per_second <= 0) return METRICS_UNKNOWN;
    found = clock_wall_ms() - up_ms + ticks * 1000 / per_second;
    return found;
}

struct metrics_process metrics_read_process(void) {
    int64_t pages = read_stat(24);
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;

    return (struct metrics_process){
        .resident_bytes = pages < 0 ? METRICS_UNKNOWN : pages * sysconf(_SC_PAGESIZE),
        .cpu_ms = read_clock_ms(CLOCK_PROCESS_CPUTIME_ID),
        .open_fds = count_open_files(),
        .max_fds = limited ? (int64_t)limit.rlim_cur : METRICS_UNKNOWN,
        .started_ms = read_start_ms(),
    };
}
