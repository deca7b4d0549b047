#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/secret.h"

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
}

/* --- read ---------------------------------------------------------------------------------- */

static int judge(const char *path, enum file_trust trust, int fd, struct file_facts *ret_facts,
                 struct err_text *err) {
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return err_set(err, ERR_SYSTEM, "%s is not a file", path);
    if (trust == FILE_OWN &&
        ((status.st_uid != geteuid() && status.st_uid != 0) || (status.st_mode & 022)))
        return err_set(err, ERR_SYSTEM, "%s is not ours alone to write", path);
    *ret_facts = (struct file_facts){true, status.st_mode & 07777};
    return 0;
}

static int read_all(const char *path, int fd, struct buf *ret, struct err_text *err) {
    char chunk[4096];
    ssize_t n;

    do {
        n = read(fd, chunk, sizeof chunk);
        if (n > 0) buf_add(ret, (struct span){chunk, (size_t)n});
    } while (buf_ok(ret) && (n > 0 || (n < 0 && errno == EINTR)));

    int why = errno;
    secret_wipe(chunk, sizeof chunk); /* it may have been a private key */
    if (!buf_ok(ret)) return err_set(err, ERR_LIMIT, "cannot read %s: it is too large", path);
    if (n < 0) return err_set(err, ERR_SYSTEM, "cannot read %s: %s", path, strerror(why));
    return 0;
}

int file_read(const char *path, enum file_trust trust, struct buf *ret,
              struct file_facts *ret_facts, struct err_text *err) {
    /* O_NONBLOCK: a FIFO put in its place must not hold the start up for ever. */
    int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | (trust == FILE_OWN ? O_NOFOLLOW : 0);
    *ret_facts = (struct file_facts){0};

    CLEANUP(close_fd) int fd = open(path, flags);
    if (fd < 0 && errno == ENOENT) return 0;
    if (fd < 0) return err_set(err, ERR_SYSTEM, "cannot open %s: %s", path, strerror(errno));
    int r = judge(path, trust, fd, ret_facts, err);
    return r < 0 ? r : read_all(path, fd, ret, err);
}

/* --- replace ------------------------------------------------------------------------------- */

static int write_all(const char *path, int fd, struct span content, struct err_text *err) {
    while (content.len) {
        ssize_t n = write(fd, content.ptr, content.len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return err_set(err, ERR_SYSTEM, "cannot write %s: %s", path, strerror(errno));
        content = span_from(content, (size_t)n);
    }
    return fsync(fd) == 0 ? 0
                          : err_set(err, ERR_SYSTEM, "cannot write %s: %s", path, strerror(errno));
}

/* like: whose owner and mode it gets; NULL: our own, and 0600. */
static int set_access(const char *path, int fd, const struct stat *like, struct err_text *err) {
    struct stat own;

    /* The owner first, for a change of it takes bits of the mode away. It is not set where it is
     * right, which needs no privilege. */
    if (like &&
        (fstat(fd, &own) < 0 || ((own.st_uid != like->st_uid || own.st_gid != like->st_gid) &&
                                 fchown(fd, like->st_uid, like->st_gid) < 0)))
        return err_set(err, ERR_SYSTEM, "cannot give %s the owner of the file that it replaces: %s",
                       path, strerror(errno));
    if (fchmod(fd, like ? like->st_mode & 07777 : 0600) < 0)
        return err_set(err, ERR_SYSTEM, "cannot set the mode of %s: %s", path, strerror(errno));
    return 0;
}

static int write_new(const char *path, struct span content, const struct stat *like,
                     struct err_text *err) {
    unlink(path); /* left over from a crash, or put there by somebody else */
    CLEANUP(close_fd)
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return err_set(err, ERR_SYSTEM, "cannot create %s: %s", path, strerror(errno));
    int r = set_access(path, fd, like, err);
    return r < 0 ? r : write_all(path, fd, content, err);
}

static int replace(const char *path, struct span content, const struct stat *like,
                   struct err_text *err) {
    char fresh[PATH_MAX];
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return err_set(err, ERR_LIMIT, "the path %s is too long", path);

    int r = write_new(fresh, content, like, err);
    if (r == 0 && rename(fresh, path) < 0)
        r = err_set(err, ERR_SYSTEM, "cannot replace %s: %s", path, strerror(errno));
    if (r < 0) unlink(fresh);
    return r;
}

int file_replace(const char *path, struct span content, struct err_text *err) {
    return replace(path, content, NULL, err);
}

/* What stands in the folder is on disk, too. */
static int sync_folder(const char *path, struct err_text *err) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) + 1 : 0;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)len : 1, slash ? path : ".");

    CLEANUP(close_fd) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems need none of it, and refuse. */
    if (fd >= 0 && (fsync(fd) == 0 || errno == EINVAL)) return 0;
    return err_set(err, ERR_SYSTEM, "cannot write the folder %s: %s", folder, strerror(errno));
}

int file_rewrite(const char *path, struct span content, struct err_text *err) {
    char real[PATH_MAX];
    struct stat there;

    bool exists = realpath(path, real) && stat(real, &there) == 0;
    if (!exists && errno != ENOENT)
        return err_set(err, ERR_SYSTEM, "cannot reach %s: %s", path, strerror(errno));
    const char *to = exists ? real : path;
    int r = replace(to, content, exists ? &there : NULL, err);
    return r < 0 ? r : sync_folder(to, err);
}
