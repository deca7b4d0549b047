#include "server/metrics/process.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/support/process.h"
#include "tests/support/suite.h"

TEST(it_tells_what_the_system_says_of_this_process) {
    struct metrics_process process = metrics_read_process();
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_gt(process.resident_bytes, 1 << 20);
    ck_assert_int_lt(process.resident_bytes, (int64_t)1 << 40);
    ck_assert_int_eq(process.max_fds,
                     limit.rlim_cur == RLIM_INFINITY ? METRICS_UNKNOWN : (int64_t)limit.rlim_cur);
    ck_assert_int_ge(process.cpu_ms, 0);
    ck_assert_int_lt(llabs(clock_wall_ms() - process.started_ms), 60000);
    ck_assert_int_eq(metrics_read_process().started_ms, process.started_ms);
}

TEST(open_descriptors_are_counted_exactly) {
    int64_t before = metrics_read_process().open_fds;
    ck_assert_int_ge(before, 3);
    int a = open("/dev/null", O_RDONLY | O_CLOEXEC), b = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(metrics_read_process().open_fds, before + 2);
    close(a), close(b);
    ck_assert_int_eq(metrics_read_process().open_fds, before);
}

TEST(processor_time_and_memory_grow_with_what_is_done) {
    struct metrics_process before = metrics_read_process();
    size_t size = (size_t)64 << 20;
    char *much = malloc(size);
    for (size_t i = 0; i < size; i += 1024) ((volatile char *)much)[i] = 1;
    long until = process_now_ms() + 5000;
    while (metrics_read_process().cpu_ms < before.cpu_ms + 20)
        ck_assert_int_lt(process_now_ms(), until);
    ck_assert_int_gt(metrics_read_process().resident_bytes, before.resident_bytes + (32 << 20));
    free(much);
}
