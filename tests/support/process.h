/*
 * process: start a program, listen to what it says, wait for it, and never leave it behind.
 */
#ifndef TESTS_SUPPORT_PROCESS_H
#define TESTS_SUPPORT_PROCESS_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/span.h"

struct process;

/*
 * Run argv[0] (found by PATH) with the arguments up to NULL. Of the test's own environment it sees
 * PATH, HOME, TMPDIR and the sanitizers' options only, and then environment ("NAME=value", up to
 * NULL; may itself be NULL). Standard input is empty. It dies with the test. Main thread of the
 * test only.
 */
struct process *process_start(const char *const argv[], const char *const environment[]);

/* The same with these bytes as standard input. */
struct process *process_start_with_input(const char *const argv[], const char *const environment[],
                                         struct span input);

/* Kill it if it still runs, and free everything. NULL is fine. */
void process_free(struct process *process);

pid_t process_pid(const struct process *process);

/* All that it wrote to standard output or standard error so far. The caller frees the text. */
char *process_output(const struct process *process);
char *process_errors(const struct process *process);

/* How often text stands in standard error so far. */
int process_count_errors(const struct process *process, const char *text);

/*
 * Wait until standard error holds text, or until 127.0.0.1:port accepts a connection. False when
 * that took longer than within_ms or the program ended first.
 */
bool process_wait_errors(struct process *process, const char *text, int within_ms);
bool process_wait_port(struct process *process, int port, int within_ms);

void process_signal(struct process *process, int signal_number);

/* Has it ended? Never waits. */
bool process_ended(struct process *process);

#define PROCESS_RUNNING (-1)

/* Its exit code, or 128 + the signal that ended it, or PROCESS_RUNNING after within_ms. */
int process_wait_exit(struct process *process, int within_ms);

/* Resident memory in KiB; open file descriptors; processor time used so far in ms. */
long process_rss_kib(const struct process *process);
int process_open_files(const struct process *process);
long process_cpu_ms(const struct process *process);

/* A port of 127.0.0.1 that nobody listens on at this moment. */
int process_free_port(void);

/* Milliseconds on a clock that only goes forward; and a pause. */
long process_now_ms(void);
void process_sleep_ms(int ms);

#endif
