/*
 * suite: how a test file announces itself, so that no written test is forgotten.
 *
 *     TEST(accepts_a_plain_object) { ck_assert(...); }
 *
 * registers itself under the file's path. A table-driven test runs its loop inside. One main()
 * (suite.c) runs them all, each in a process of its own.
 */
#ifndef TESTS_SUPPORT_SUITE_H
#define TESTS_SUPPORT_SUITE_H

#include <check.h>

struct test_entry {
    const char *file;
    const char *name;
    void (*run)(void);
    int timeout_seconds;
    struct test_entry *next;
};

void test_register(struct test_entry *entry);

/* A test with a time limit in seconds of its own. Runs in a child process. */
#define TEST_WITHIN(test_name, seconds)                                                            \
    static void test_name(void);                                                                   \
    __attribute__((constructor)) static void register_##test_name(void) {                          \
        static struct test_entry entry = {__FILE__, #test_name, test_name, (seconds), 0};          \
        test_register(&entry);                                                                     \
    }                                                                                              \
    static void test_name(void)

#define TEST(test_name) TEST_WITHIN(test_name, 20)

/*
 * End this test as skipped, loudly, with the reason: what is missing on this machine. Does not
 * return.
 */
__attribute__((noreturn)) void test_skip(const char *reason);

/* The folder of third-party vectors (BEARERD_VECTORS, else ../shared/vectors), or a skip. */
const char *test_vectors(void);

#endif
