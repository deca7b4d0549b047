/*
 * scratch: folders that vanish when the test program ends, however its tests end.
 *
 * Each test is a process of its own and may die at any assertion, so cleaning up is the work of the
 * program that started them all: the root folder is made before main() and removed after it.
 */
#ifndef TESTS_SUPPORT_SCRATCH_H
#define TESTS_SUPPORT_SCRATCH_H

#include "common/span.h"

/* The folder (mode 0700) that all tests of this program share. Never freed. */
const char *scratch_root(void);

/* A fresh empty folder for this test alone. The caller frees the path. */
char *scratch_new(void);

/* Write folder/name with content, mode 0600. Returns its path, which the caller frees. */
char *scratch_file(const char *folder, const char *name, struct span content);

/*
 * The whole file, NUL-terminated, its length in *ret_len where that is not NULL. NULL where there
 * is no such file. The caller frees it.
 */
char *scratch_read(const char *path, size_t *ret_len);

/* asprintf() that cannot fail. The caller frees the text. */
char *scratch_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
