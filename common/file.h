/*
 * file: small files, read whole, and written whole or not at all.
 */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

enum file_trust {
    FILE_OWN,   /* state of ours: no link, owned by us or root, and nobody else may write it */
    FILE_NAMED, /* an operator named it and answers for it: links, owner and mode are not judged */
};

struct file_facts {
    bool exists;
    mode_t mode; /* its permission bits; 0 where it does not exist */
};

/*
 * Append the content of path to ret, whose ceiling bounds it. Only regular files are read, and a
 * FIFO is not waited for. A file that is missing is no error: *ret_facts tells. After an error ret
 * may hold a part; it is the caller's to release in any case. Any thread; blocks on the disk.
 * Returns 0, ERR_LIMIT (too large, or no memory) or ERR_SYSTEM; err names the file.
 */
int file_read(const char *path, enum file_trust trust, struct buf *ret,
              struct file_facts *ret_facts, struct err_text *err) MUST_CHECK;

/*
 * Let path hold content, with mode 0600 whatever the umask: after a crash there is the old file or
 * the new one, whole. It is written beside first, as path.new, so only one may do so at a time;
 * links at either name are replaced, not followed. Blocks until the content is on disk.
 * Returns 0, ERR_LIMIT for a path that is too long, or ERR_SYSTEM; err names the file.
 */
int file_replace(const char *path, struct span content, struct err_text *err) MUST_CHECK;

/*
 * The same for a file that an operator named: a link at path is followed, and a file that is there
 * keeps its owner, group and mode; where it cannot, nothing is changed. On 0 the content also
 * outlives a loss of power.
 */
int file_rewrite(const char *path, struct span content, struct err_text *err) MUST_CHECK;

#endif
