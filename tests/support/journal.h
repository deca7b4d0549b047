/*
 * journal: a journal that only the test and its children see, at the one path where programs look
 * for it.
 */
#ifndef TESTS_SUPPORT_JOURNAL_H
#define TESTS_SUPPORT_JOURNAL_H

/*
 * From here on this process and its children have a /run of their own, with nothing in it but the
 * journal's socket, of which the descriptor is returned. Skips the test where the system does not
 * let it have a mount namespace. Before any thread is started.
 */
int journal_start(void);

/* Take its socket away, and put a new one there. */
void journal_stop(int fd);
int journal_restart(void);

/* The next entry as it was sent, NUL-terminated; NULL where none came within that time. The caller
 * frees it. */
char *journal_read(int fd, int within_ms);

#endif
