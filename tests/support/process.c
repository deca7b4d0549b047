#include "tests/support/process.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/support/scratch.h"

#define ENVIRONMENT_MAX 64
#define POLL_MS 5

struct process {
    pid_t pid;
    int exit_code; /* PROCESS_RUNNING until reaped */
    char *output;  /* paths */
    char *errors;
};

/* --- time and ports -------------------------------------------------------------------------- */

long process_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void process_sleep_ms(int ms) {
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

int process_free_port(void) {
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(bind(fd, (struct sockaddr *)&address, len) == 0 &&
              getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

static bool port_accepts(int port) {
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool accepted = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return accepted;
}

/* --- start and end --------------------------------------------------------------------------- */

/* What a configured shell or systemd session would leak in must not change a test's outcome. */
static void make_environment(const char *const extra[], const char *ret[ENVIRONMENT_MAX]) {
    static const char *const kept[] = {
        "PATH=",         "HOME=",          "TMPDIR=",       "ASAN_OPTIONS=",
        "LSAN_OPTIONS=", "UBSAN_OPTIONS=", "TSAN_OPTIONS=", "LD_LIBRARY_PATH="};
    size_t count = 0;
    for (char **entry = environ; *entry; entry++)
        for (size_t i = 0; i < ARRAY_LEN(kept); i++)
            if (strncmp(*entry, kept[i], strlen(kept[i])) == 0) ret[count++] = *entry;
    for (size_t i = 0; extra && extra[i]; i++) {
        ck_assert_uint_lt(count, ENVIRONMENT_MAX - 1);
        ret[count++] = extra[i];
    }
    ret[count] = NULL;
}

/* Between fork and exec: only what is safe in the child of a program with threads. */
__attribute__((noreturn)) static void become(const char *const argv[], const char *const env[],
                                             const int fds[3], pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126); /* the test died before the line above */
    for (int i = 0; i < 3; i++) dup2(fds[i], i);
    execvpe(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
    static const char message[] = "cannot execute the program\n";
    if (write(2, message, sizeof message - 1) < 0) _exit(126);
    _exit(127);
}

struct process *process_start_with_input(const char *const argv[], const char *const environment[],
                                         struct span input) {
    const char *env[ENVIRONMENT_MAX];
    struct process *process = calloc(1, sizeof *process);
    ck_assert_ptr_nonnull(process);
    make_environment(environment, env);

    char *folder = scratch_new();
    char *input_path = scratch_file(folder, "input", input);
    process->output = scratch_file(folder, "output", SPAN_LITERAL(""));
    process->errors = scratch_file(folder, "errors", SPAN_LITERAL(""));
    process->exit_code = PROCESS_RUNNING;
    int fds[3] = {open(input_path, O_RDONLY | O_CLOEXEC),
                  open(process->output, O_WRONLY | O_APPEND | O_CLOEXEC),
                  open(process->errors, O_WRONLY | O_APPEND | O_CLOEXEC)};
    ck_assert(fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0);
    free(input_path);
    free(folder);

    pid_t parent = getpid();
    process->pid = fork();
    if (process->pid == 0) become(argv, env, fds, parent);
    ck_assert_msg(process->pid > 0, "cannot fork");
    for (int i = 0; i < 3; i++) close(fds[i]);
    return process;
}

struct process *process_start(const char *const argv[], const char *const environment[]) {
    return process_start_with_input(argv, environment, SPAN_LITERAL(""));
}

bool process_ended(struct process *process) {
    int status;
    if (process->exit_code != PROCESS_RUNNING) return true;
    if (waitpid(process->pid, &status, WNOHANG) != process->pid) return false;
    process->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
}

int process_wait_exit(struct process *process, int within_ms) {
    long until = process_now_ms() + within_ms;
    while (!process_ended(process) && process_now_ms() < until) process_sleep_ms(POLL_MS);
    return process->exit_code;
}

void process_signal(struct process *process, int signal_number) {
    ck_assert_msg(!process_ended(process), "the program ended by itself, with %d",
                  process->exit_code);
    kill(process->pid, signal_number);
}

void process_free(struct process *process) {
    if (!process) return;
    if (!process_ended(process)) {
        kill(process->pid, SIGKILL);
        waitpid(process->pid, NULL, 0);
    }
    free(process->output);
    free(process->errors);
    free(process);
}

pid_t process_pid(const struct process *process) {
    return process->pid;
}

/* --- what it says ---------------------------------------------------------------------------- */

char *process_output(const struct process *process) {
    return scratch_read(process->output, NULL);
}

char *process_errors(const struct process *process) {
    return scratch_read(process->errors, NULL);
}

int process_count_errors(const struct process *process, const char *text) {
    char *errors = process_errors(process);
    int count = 0;
    for (const char *at = errors; (at = strstr(at, text)); at += strlen(text)) count++;
    free(errors);
    return count;
}

bool process_wait_errors(struct process *process, const char *text, int within_ms) {
    long until = process_now_ms() + within_ms;
    for (;;) {
        bool last = process_ended(process) || process_now_ms() >= until;
        if (process_count_errors(process, text) > 0) return true;
        if (last) return false;
        process_sleep_ms(POLL_MS);
    }
}

bool process_wait_port(struct process *process, int port, int within_ms) {
    long until = process_now_ms() + within_ms;
    while (!port_accepts(port)) {
        if (process_ended(process) || process_now_ms() >= until) return false;
        process_sleep_ms(POLL_MS);
    }
    return true;
}

/* --- what it uses ---------------------------------------------------------------------------- */

static char *read_proc(const struct process *process, const char *file) {
    char *path = scratch_text("/proc/%d/%s", (int)process->pid, file);
    char *text = scratch_read(path, NULL);
    free(path);
    ck_assert_msg(text != NULL, "the program is gone");
    return text;
}

long process_rss_kib(const struct process *process) {
    char *text = read_proc(process, "status");
    const char *line = strstr(text, "VmRSS:");
    long kib = line ? strtol(line + strlen("VmRSS:"), NULL, 10) : 0;
    free(text);
    return kib;
}

long process_cpu_ms(const struct process *process) {
    char *text = read_proc(process, "stat");
    unsigned long user = 0, system_time = 0;
    const char *behind_name = strrchr(text, ')');
    int found = behind_name ? sscanf(behind_name + 1,
                                     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                                     &system_time)
                            : 0;
    free(text);
    ck_assert_int_eq(found, 2);
    return (long)(user + system_time) * 1000 / sysconf(_SC_CLK_TCK);
}

int process_open_files(const struct process *process) {
    char *path = scratch_text("/proc/%d/fd", (int)process->pid);
    DIR *folder = opendir(path);
    int count = -2; /* "." and ".." */
    free(path);
    ck_assert_msg(folder != NULL, "the program is gone");
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}
