#include "tests/support/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct test_entry *first;
static int *skipped; /* shared with the child processes that run the tests */

void test_register(struct test_entry *entry) {
    entry->next = first;
    first = entry;
}

static struct test_entry **by_index;
static const char *running = "";

void test_skip(const char *reason) {
    fprintf(stderr, "SKIPPED %s: %s\n", running, reason);
    __sync_fetch_and_add(skipped, 1);
    _exit(EXIT_SUCCESS);
}

const char *test_vectors(void) {
    const char *folder = getenv("BEARERD_VECTORS");
    if (!folder) folder = "../shared/vectors";
    if (access(folder, R_OK) != 0) test_skip("no vectors");
    return folder;
}

static void run_entry(int index) {
    running = by_index[index]->name;
    by_index[index]->run();
}

static int compare(const void *a, const void *b) {
    const struct test_entry *x = *(struct test_entry *const *)a,
                            *y = *(struct test_entry *const *)b;
    int order = strcmp(x->file, y->file);
    return order ? order : strcmp(x->name, y->name);
}

/* Check wants a function of this shape; the index says which entry is meant. */
static void run_by_index(int index) {
    tcase_fn_start(by_index[index]->name, by_index[index]->file, 0);
    run_entry(index);
}

static const TTest trampoline = {"test", run_by_index, __FILE__, 0};

/* Entries [from, to) are one file: one suite, one case a test, so that each has its own limit. */
static Suite *suite_of(int from, int to) {
    Suite *suite = suite_create(by_index[from]->file);
    for (int i = from; i < to; i++) {
        TCase *tcase = tcase_create(by_index[i]->name);
        tcase_set_timeout(tcase, by_index[i]->timeout_seconds);
        tcase_add_loop_test(tcase, &trampoline, i, i + 1);
        suite_add_tcase(suite, tcase);
    }
    return suite;
}

/* One failure a line: the case names the test, the message says where and what. */
static void print_failures(SRunner *runner) {
    int count = srunner_ntests_failed(runner);
    TestResult **results = srunner_failures(runner);
    for (int i = 0; i < count; i++)
        printf("FAILED %s (%s:%d): %s\n", tr_tcname(results[i]), tr_lfile(results[i]),
               tr_lno(results[i]), tr_msg(results[i]));
    free(results);
}

/* usage: PROGRAM LABEL [WORD]; with WORD only tests whose "file name" holds it. */
int main(int argc, char **argv) {
    const char *label = argc > 1 ? argv[1] : "tests";
    const char *word = argc > 2 ? argv[2] : "";
    char full[512];
    int count = 0;

    for (struct test_entry *e = first; e; e = e->next) count++;
    by_index = calloc((size_t)count + 1, sizeof *by_index);
    skipped =
        mmap(NULL, sizeof *skipped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!by_index || skipped == MAP_FAILED) return EXIT_FAILURE;
    count = 0;
    for (struct test_entry *e = first; e; e = e->next) {
        snprintf(full, sizeof full, "%s %s", e->file, e->name);
        if (strstr(full, word)) by_index[count++] = e;
    }
    qsort(by_index, (size_t)count, sizeof(struct test_entry *), compare);

    SRunner *runner = srunner_create(NULL);
    for (int from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && strcmp(by_index[to]->file, by_index[from]->file) == 0;)
            to++;
        srunner_add_suite(runner, suite_of(from, to));
    }
    srunner_run_all(runner, CK_SILENT);
    print_failures(runner);

    int failed = srunner_ntests_failed(runner);
    int passed = srunner_ntests_run(runner) - failed - *skipped;
    printf("%s: %d passed, %d failed, %d skipped\n", label, passed, failed, *skipped);
    srunner_free(runner);
    free(by_index);
    return failed || count == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
