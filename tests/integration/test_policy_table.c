/*
 * Policy as people write it: rules in one file, requests and their verdicts in another. A table
 * is judged by requests that are sent; the large one also by such as another proxy asks about.
 */
#include <stdlib.h>

#include "tests/integration/policy_table.h"
#include "tests/support/daemon.h"
#include "tests/support/suite.h"

#define HEAD "listen: [{address: \"127.0.0.1:@PORT@\"}]\nworkers: 1\n"

TEST(each_line_of_the_policy_table_gets_its_verdict) {
    policy_table_check(&(struct policy_table){.rules = "tests/data/policy/rules.yaml",
                                              .head = HEAD,
                                              .requests = "tests/data/policy/requests.txt",
                                              .least = 120});
}

TEST(forward_auth_gives_the_verdicts_of_the_same_table) {
    policy_table_check(&(struct policy_table){.rules = "tests/data/policy/rules.yaml",
                                              .head = HEAD,
                                              .requests = "tests/data/policy/requests.txt",
                                              .by_asking = true,
                                              .least = 120});
}

TEST(the_roles_of_the_example_do_what_it_says) {
    static const char *const changes[] = {"\"127.0.0.1:8080\"",
                                          "\"127.0.0.1:@PORT@\"",
                                          "https://idp.example",
                                          "\"@ISSUER_A@\"",
                                          "http://127.0.0.1:9001",
                                          "@UPSTREAM@",
                                          NULL};
    policy_table_check(&(struct policy_table){.rules = "conf/examples/vcf-roles.yaml",
                                              .head = "workers: 1\n",
                                              .requests = "tests/data/policy/vcf-requests.txt",
                                              .changes = changes,
                                              .least = 36});
}

TEST(the_example_of_roles_passes_the_check) {
    char *program = daemon_program();
    struct process *process = process_start(
        (const char *const[]){program, "check", "-c", "conf/examples/vcf-roles.yaml", NULL}, NULL);
    int code = process_wait_exit(process, 10000);
    char *errors = process_errors(process);
    ck_assert_msg(code == 0, "%d: %s", code, errors);
    process_free(process);
    free(errors);
    free(program);
}
