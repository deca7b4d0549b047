#include "tests/support/scratch.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[256];
static pid_t owner;

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw) {
    (void)status, (void)type, (void)ftw;
    return remove(path);
}

static void remove_root(void) {
    if (getpid() == owner) nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

__attribute__((constructor)) static void make_root(void) {
    const char *folder = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/bearerd-test-XXXXXX", folder && *folder ? folder : "/tmp");
    owner = getpid();
    if (!mkdtemp(root) || atexit(remove_root) != 0) {
        perror(root);
        _exit(EXIT_FAILURE);
    }
}

const char *scratch_root(void) {
    return root;
}

char *scratch_new(void) {
    char *path = scratch_text("%s/XXXXXX", root);
    ck_assert_msg(mkdtemp(path) != NULL, "cannot make a folder in %s", root);
    return path;
}

char *scratch_file(const char *folder, const char *name, struct span content) {
    char *path = scratch_text("%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_msg(fd >= 0, "cannot write %s", path);
    for (size_t done = 0; done < content.len;) {
        ssize_t n = write(fd, content.ptr + done, content.len - done);
        ck_assert_msg(n > 0, "cannot write %s", path);
        done += (size_t)n;
    }
    close(fd);
    return path;
}

char *scratch_read(const char *path, size_t *ret_len) {
    FILE *file = fopen(path, "rbe");
    if (!file) return NULL;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    ck_assert_ptr_nonnull(out);
    char chunk[8192];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;) fwrite(chunk, 1, n, out);
    fclose(file);
    fclose(out);
    if (ret_len) *ret_len = len;
    return text;
}

char *scratch_text(const char *format, ...) {
    va_list values;
    char *text = NULL;
    va_start(values, format);
    int len = vasprintf(&text, format, values);
    va_end(values);
    ck_assert_msg(len >= 0, "out of memory");
    return text;
}
