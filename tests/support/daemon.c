#include "tests/support/daemon.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/scratch.h"

#define START_MS 10000
#define STOP_MS 15000

char *daemon_program(void) {
    const char *build = getenv("BUILD");
    return scratch_text("%s/bearerd", build ? build : "build");
}

char *daemon_yaml(const char *issuer_url, const char *more) {
    return scratch_text("issuers: [{issuer: \"%s\", audiences: [api]%s%s}]\n", issuer_url,
                        *more ? ", " : "", more);
}

static char *write_configuration(const struct daemon *daemon, const char *yaml) {
    char *text = scratch_text("listen: [{address: \"127.0.0.1:%d\"}]\n"
                              "workers: 2\n"
                              "state_directory: \"%s\"\n"
                              "log: {format: text, level: info, access: false}\n"
                              "%s",
                              daemon->port, daemon->folder, yaml);
    char *path = scratch_file(daemon->folder, "bearerd.yaml", span_of(text));
    free(text);
    return path;
}

struct daemon *daemon_start(const char *yaml, const char *folder) {
    struct daemon *daemon = calloc(1, sizeof *daemon);
    ck_assert_ptr_nonnull(daemon);
    daemon->port = process_free_port();
    daemon->folder = folder ? strdup(folder) : scratch_new();

    char *program = daemon_program(), *path = write_configuration(daemon, yaml);
    const char *argv[] = {program, "-c", path, NULL};
    daemon->process = process_start(argv, NULL);
    if (!process_wait_port(daemon->process, daemon->port, START_MS)) {
        char *errors = process_errors(daemon->process);
        ck_abort_msg("bearerd does not listen: %s", errors);
    }
    free(path);
    free(program);
    return daemon;
}

struct daemon *daemon_start_for(const char *issuer_url, const char *more, const char *rest) {
    char *one = daemon_yaml(issuer_url, more), *yaml = scratch_text("%s%s", one, rest);
    struct daemon *daemon = daemon_start(yaml, NULL);
    free(yaml);
    free(one);
    return daemon;
}

void daemon_stop(struct daemon *daemon) {
    process_signal(daemon->process, SIGTERM);
    int code = process_wait_exit(daemon->process, STOP_MS);
    if (code != 0) {
        char *errors = process_errors(daemon->process);
        ck_abort_msg("bearerd ended with %d: %s", code, errors);
    }
    process_free(daemon->process);
    free(daemon->folder);
    free(daemon);
}

int daemon_get(const struct daemon *daemon, const char *path, const char *token,
               struct response *ret) {
    char *authorization = token ? scratch_text("Bearer %s", token) : NULL;
    int status = http_get(daemon->port, path, authorization, ret);
    free(authorization);
    return status;
}

bool daemon_wait_status(const struct daemon *daemon, const char *path, const char *token,
                        int status, int within_ms) {
    long until = process_now_ms() + within_ms;
    while (daemon_get(daemon, path, token, NULL) != status) {
        if (process_now_ms() >= until) return false;
        process_sleep_ms(10);
    }
    return true;
}
