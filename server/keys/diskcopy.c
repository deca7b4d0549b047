#include "server/keys/diskcopy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/json.h"

#define COPY_MAX (4 * 1024 * 1024)
#define NAME_BYTES 16

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
}

/* Where the keys come from: a copy belongs to one issuer and one source. */
static const char *source_of(const struct config_issuer *issuer) {
    return *issuer->jwks_uri ? issuer->jwks_uri : issuer->discovery;
}

/* The file name is a digest, since an issuer is a URL and may hold anything. */
static int make_path(const char *folder, const char *issuer, const char *suffix,
                     char path[PATH_MAX], struct err_text *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * NAME_BYTES + 1];
    unsigned len;

    if (EVP_Digest(issuer, strlen(issuer), digest, &len, EVP_sha256(), NULL) != 1)
        return err_set(err, ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < NAME_BYTES; i++) sprintf(hex + 2 * i, "%02x", digest[i]);
    if (snprintf(path, PATH_MAX, "%s/keys-%s.json%s", folder, hex, suffix) >= PATH_MAX)
        return err_set(err, ERR_LIMIT, "the path of the state directory is too long");
    return 0;
}

/* --- save ---------------------------------------------------------------------------------- */

static int write_file(const char *path, struct span content, struct err_text *err) {
    unlink(path); /* left over from a crash, or put there by somebody else */
    CLEANUP(close_fd)
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return err_set(err, ERR_SYSTEM, "cannot create %s: %s", path, strerror(errno));
    if (fchmod(fd, 0600) < 0)
        return err_set(err, ERR_SYSTEM, "cannot set the mode of %s: %s", path, strerror(errno));

    while (content.len) {
        ssize_t n = write(fd, content.ptr, content.len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return err_set(err, ERR_SYSTEM, "cannot write %s: %s", path, strerror(errno));
        content = span_from(content, (size_t)n);
    }
    if (fsync(fd) < 0)
        return err_set(err, ERR_SYSTEM, "cannot write %s: %s", path, strerror(errno));
    return 0;
}

int diskcopy_save(const char *folder, const struct config_issuer *issuer, const struct keyset *set,
                  int64_t fetched_wall, struct err_text *err) {
    char path[PATH_MAX], fresh[PATH_MAX];
    struct buf content = buf_make(COPY_MAX);
    int r;

    if ((r = make_path(folder, issuer->issuer, "", path, err)) < 0 ||
        (r = make_path(folder, issuer->issuer, ".new", fresh, err)) < 0)
        return r;
    buf_add_text(&content, "{\"issuer\":");
    buf_add_json(&content, span_of(issuer->issuer));
    buf_add_text(&content, ",\"source\":");
    buf_add_json(&content, span_of(source_of(issuer)));
    buf_addf(&content, ",\"fetched_at\":%lld,\"jwks\":%s}\n", (long long)fetched_wall,
             set->document);

    if (!buf_ok(&content))
        r = err_set(err, ERR_MEMORY, "the keys do not fit into a copy");
    else
        r = write_file(fresh, buf_span(&content), err);
    buf_done(&content);
    if (r < 0) return r;
    if (rename(fresh, path) < 0)
        return err_set(err, ERR_SYSTEM, "cannot replace %s: %s", path, strerror(errno));
    return 0;
}

/* --- load ---------------------------------------------------------------------------------- */

static int read_file(const char *path, struct buf *ret, struct err_text *err) {
    /* O_NONBLOCK: a FIFO put in its place must not hold the start up for ever. */
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return err_set(err, ERR_SYSTEM, "%s", "");
    if (fd < 0) return err_set(err, ERR_SYSTEM, "cannot open %s: %s", path, strerror(errno));

    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return err_set(err, ERR_SYSTEM, "%s is not a file", path);
    if ((status.st_uid != geteuid() && status.st_uid != 0) || (status.st_mode & 022))
        return err_set(err, ERR_SYSTEM, "%s is not ours alone to write", path);

    char chunk[4096];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0) buf_add(ret, (struct span){chunk, (size_t)n});
    if (n < 0 || !buf_ok(ret)) return err_set(err, ERR_SYSTEM, "cannot read %s", path);
    return 0;
}

static int check_copy(const json_t *root, const struct config_issuer *issuer, int64_t now_wall,
                      int64_t *ret_fetched_wall, struct err_text *err) {
    struct span text;
    int64_t fetched;

    if (json_find_string(root, "issuer", &text) != JSON_FOUND ||
        !span_equal_text(text, issuer->issuer))
        return err_set(err, ERR_SYNTAX, "is of another issuer");
    if (json_find_string(root, "source", &text) != JSON_FOUND ||
        !span_equal_text(text, source_of(issuer)))
        return err_set(err, ERR_SYNTAX, "came from another URL than the configured one");
    if (json_find_seconds(root, "fetched_at", &fetched) != JSON_FOUND || fetched > now_wall)
        return err_set(err, ERR_SYNTAX, "does not say when it was fetched, or names the future");
    if ((now_wall - fetched) * 1000 >= issuer->max_stale)
        return err_set(err, ERR_LIMIT, "is older than max_stale");
    *ret_fetched_wall = fetched;
    return 0;
}

static int parse_copy(struct span text, const struct config_issuer *issuer, int64_t now_wall,
                      struct keyset **ret, int64_t *ret_fetched_wall, struct err_text *err) {
    CLEANUP(json_decrefp) json_t *root = NULL;
    int r = json_read_object(text, &root, err);
    if (r < 0) return r;
    if ((r = check_copy(root, issuer, now_wall, ret_fetched_wall, err)) < 0) return r;

    char *jwks = json_dumps(json_object_get(root, "jwks"), JSON_COMPACT | JSON_ENCODE_ANY);
    if (!jwks) return err_set(err, ERR_SYNTAX, "holds no keys");
    r = keyset_parse(span_of(jwks), ret, err);
    free(jwks);
    return r;
}

int diskcopy_load(const char *folder, const struct config_issuer *issuer, int64_t now_wall,
                  struct keyset **ret, int64_t *ret_fetched_wall, struct err_text *err) {
    char path[PATH_MAX];
    struct buf content = buf_make(COPY_MAX);
    struct err_text why = {""};

    int r = make_path(folder, issuer->issuer, "", path, err);
    if (r < 0) return r;
    if ((r = read_file(path, &content, err)) == 0) {
        r = parse_copy(buf_span(&content), issuer, now_wall, ret, ret_fetched_wall, &why);
        if (r < 0) err_set(err, r, "the copy %s %s", path, why.text);
    }
    buf_done(&content);
    return r;
}
