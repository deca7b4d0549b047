#include "tests/support/journal.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/journal.h"
#include "tests/support/suite.h"

#define ENTRY_MAX ((size_t)1 << 18)

static bool write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return written;
}

/* In a user namespace anybody may be its root, where the system allows it. */
static bool become_root(void) {
    char users[64], groups[64];

    snprintf(users, sizeof users, "0 %u 1", (unsigned)getuid());
    snprintf(groups, sizeof groups, "0 %u 1", (unsigned)getgid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/uid_map", users) &&
           write_file("/proc/self/gid_map", groups);
}

static bool take_run(void) {
    return (unshare(CLONE_NEWNS) == 0 || become_root()) &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, NULL) == 0;
}

int journal_restart(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

int journal_start(void) {
    if (!take_run()) test_skip("the system gives no mount namespace");
    ck_assert_int_eq(mkdir("/run/systemd", 0755), 0);
    ck_assert_int_eq(mkdir("/run/systemd/journal", 0755), 0);
    return journal_restart();
}

void journal_stop(int fd) {
    ck_assert_int_eq(unlink(JOURNAL_SOCKET), 0);
    close(fd);
}

char *journal_read(int fd, int within_ms) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (poll(&ready, 1, within_ms) != 1) return NULL;
    char *text = calloc(1, ENTRY_MAX);
    ck_assert_ptr_nonnull(text);
    ck_assert_int_gt(recv(fd, text, ENTRY_MAX - 1, 0), 0);
    return text;
}
