#include "tests/support/front.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define EXAMPLES "conf/examples"
#define START_MS 15000
#define FILES_MAX 2
#define ARGUMENTS_MAX 10

/* Where the examples say that they and the lua files beside them lie. */
#define SHIPPED_FOLDER "/etc/bearerd/examples"

/*
 * Each stays one process in the foreground, so that it can be ended: workers that a killed master
 * leaves behind would stay. "FOLDER" stands for the folder of the files.
 */
static const struct {
    const char *program; /* and its package */
    const char *needs;   /* a file that another package has; NULL */
    const char *files[FILES_MAX];
    const char *arguments[ARGUMENTS_MAX];
} fronts[FRONT_COUNT] = {
    [FRONT_NGINX] = {"nginx",
                     NULL,
                     {"nginx.conf"},
                     {"-p", "FOLDER", "-c", "nginx.conf", "-e", "stderr", "-g",
                      "daemon off; master_process off;"}},
    [FRONT_CADDY] = {"caddy",
                     NULL,
                     {"Caddyfile"},
                     {"run", "--config", "FOLDER/Caddyfile", "--adapter", "caddyfile"}},
    [FRONT_HAPROXY] = {"haproxy",
                       NULL,
                       {"haproxy.cfg", "haproxy.lua"},
                       {"-db", "-C", "FOLDER", "-f", "haproxy.cfg"}},
    [FRONT_APACHE] = {"apache2",
                      "/usr/share/lua/5.3/socket/http.lua",
                      {"apache2.conf", "apache2.lua"},
                      {"-X", "-f", "FOLDER/apache2.conf"}},
};

/* --- what is installed ----------------------------------------------------------------------- */

/* Debian keeps daemons where the PATH of an ordinary user does not lead. */
static char *find_program(const char *name) {
    const char *path = getenv("PATH");
    char *folders = scratch_text("%s:/usr/sbin:/sbin", path ? path : "/usr/bin");
    struct span rest = span_of(folders), folder;
    char *found = NULL;

    while (!found && span_next(&rest, ':', &folder)) {
        found = scratch_text("%.*s/%s", SPAN_PRINTF(folder), name);
        if (access(found, X_OK) == 0) break;
        free(found);
        found = NULL;
    }
    free(folders);
    return found;
}

const char *front_missing(enum front_kind kind) {
    char *program = find_program(fronts[kind].program);
    bool there = program != NULL;
    free(program);
    if (!there) return scratch_text("%s is not installed", fronts[kind].program);
    if (fronts[kind].needs && access(fronts[kind].needs, R_OK) != 0)
        return scratch_text("%s needs %s", fronts[kind].program, fronts[kind].needs);
    return NULL;
}

/* --- the shipped files ----------------------------------------------------------------------- */

/* Every old becomes new; *ret_count is how many there were. Takes text. */
static char *replace(char *text, const char *old, const char *new, int *ret_count) {
    char *out = strdup("");
    const char *at = text, *found;

    ck_assert_ptr_nonnull(out);
    for (*ret_count = 0; (found = strstr(at, old)); at = found + strlen(old), ++*ret_count) {
        char *longer = scratch_text("%s%.*s%s", out, (int)(found - at), at, new);
        free(out);
        out = longer;
    }
    char *whole = scratch_text("%s%s", out, at);
    free(out);
    free(text);
    return whole;
}

static char *read_example(const char *file) {
    char *path = scratch_text(EXAMPLES "/%s", file), *text = scratch_read(path, NULL);
    ck_assert_msg(text != NULL, "there is no %s", path);
    free(path);
    return text;
}

char *front_example(const char *file, const char *const changes[]) {
    char *text = read_example(file);
    for (size_t i = 0; changes[i]; i += 2) {
        int count;
        text = replace(text, changes[i], changes[i + 1], &count);
        ck_assert_msg(count > 0, "%s has no %s", file, changes[i]);
    }
    return text;
}

/* The examples all use the same three ports. */
static void install(const char *file, const char *folder, const int ports[3]) {
    static const char *const shipped[] = {":8000", ":8080", ":9001"};
    int count;
    char *text = replace(read_example(file), SHIPPED_FOLDER, folder, &count);

    for (size_t i = 0; i < ARRAY_LEN(shipped); i++) {
        char *port = scratch_text(":%d", ports[i]);
        text = replace(text, shipped[i], port, &count);
        free(port);
    }
    free(scratch_file(folder, file, span_of(text)));
    free(text);
}

/* --- start and end --------------------------------------------------------------------------- */

static struct process *run(enum front_kind kind, const char *folder) {
    char *argv[ARGUMENTS_MAX + 2] = {find_program(fronts[kind].program)};
    char *data = scratch_text("XDG_DATA_HOME=%s", folder);
    char *config = scratch_text("XDG_CONFIG_HOME=%s", folder);
    const char *const environment[] = {data, config, NULL};
    int count;

    for (size_t i = 0; i < ARGUMENTS_MAX && fronts[kind].arguments[i]; i++)
        argv[i + 1] = replace(strdup(fronts[kind].arguments[i]), "FOLDER", folder, &count);
    struct process *process = process_start((const char *const *)argv, environment);
    for (size_t i = 0; argv[i]; i++) free(argv[i]);
    free(data);
    free(config);
    return process;
}

struct front *front_start(enum front_kind kind, int gate_port, int application_port) {
    const char *missing = front_missing(kind);
    if (missing) test_skip(missing);
    struct front *front = calloc(1, sizeof *front);
    ck_assert_ptr_nonnull(front);
    front->port = process_free_port();

    char *folder = scratch_new();
    const int ports[] = {front->port, gate_port, application_port};
    for (size_t i = 0; i < FILES_MAX && fronts[kind].files[i]; i++)
        install(fronts[kind].files[i], folder, ports);
    front->process = run(kind, folder);
    if (!process_wait_port(front->process, front->port, START_MS)) {
        char *errors = process_errors(front->process);
        ck_abort_msg("%s does not listen: %s", fronts[kind].program, errors);
    }
    free(folder);
    return front;
}

void front_stop(struct front *front) {
    process_free(front->process);
    free(front);
}
