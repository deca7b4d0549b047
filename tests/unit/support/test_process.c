#include "tests/support/client.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <unistd.h>

TEST(captures_output_environment_input_and_exit_code) {
    const char *argv[] = {"sh", "-c", "cat; echo \"$NAME\" >&2; exit 3", NULL};
    const char *environment[] = {"NAME=value", NULL};
    struct process *process = process_start_with_input(argv, environment, SPAN_LITERAL("line\n"));
    ck_assert_int_eq(process_wait_exit(process, 5000), 3);
    char *output = process_output(process), *errors = process_errors(process);
    ck_assert_str_eq(output, "line\n");
    ck_assert_str_eq(errors, "value\n");
    free(output);
    free(errors);
    process_free(process);
}

TEST(waits_for_text_and_for_the_end_within_a_deadline) {
    const char *argv[] = {"sh", "-c", "echo ready >&2; exec sleep 60", NULL};
    struct process *process = process_start(argv, NULL);
    ck_assert(process_wait_errors(process, "ready", 5000));
    ck_assert(!process_wait_errors(process, "never", 50));
    ck_assert_int_eq(process_wait_exit(process, 50), PROCESS_RUNNING);
    ck_assert_int_gt(process_rss_kib(process), 100);
    ck_assert_int_ge(process_open_files(process), 3);
    ck_assert_int_ge(process_cpu_ms(process), 0);
    process_signal(process, SIGTERM);
    ck_assert_int_eq(process_wait_exit(process, 5000), 128 + SIGTERM);
    process_free(process);
}

TEST(hides_the_surrounding_environment) {
    const char *argv[] = {"sh", "-c", "echo \"[$OIDC_ISSUER]\"", NULL};
    setenv("OIDC_ISSUER", "leak", 1);
    struct process *process = process_start(argv, NULL);
    ck_assert_int_eq(process_wait_exit(process, 5000), 0);
    char *output = process_output(process);
    ck_assert_str_eq(output, "[]\n");
    free(output);
    process_free(process);
}

TEST(a_missing_program_is_exit_code_127) {
    const char *argv[] = {"/nonexistent/program", NULL};
    struct process *process = process_start(argv, NULL);
    ck_assert_int_eq(process_wait_exit(process, 5000), 127);
    process_free(process);
}

TEST(scratch_folders_are_private_and_distinct) {
    char *one = scratch_new(), *two = scratch_new();
    ck_assert_str_ne(one, two);
    char *path = scratch_file(one, "name", SPAN_LITERAL("a\0b"));
    size_t len = 0;
    char *text = scratch_read(path, &len);
    ck_assert_uint_eq(len, 3);
    ck_assert_mem_eq(text, "a\0b", 3);
    ck_assert_ptr_null(scratch_read("/nonexistent/file", NULL));
    free(text);
    free(path);
    free(one);
    free(two);
}
