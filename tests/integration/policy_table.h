/*
 * policy_table: requests and their verdicts, as a file lists them for people, asked of a daemon of
 * its own with the rules of another file. tests/data/policy/requests.txt explains the format.
 */
#ifndef TESTS_INTEGRATION_POLICY_TABLE_H
#define TESTS_INTEGRATION_POLICY_TABLE_H

#include <stdbool.h>
#include <stddef.h>

/* @PORT@, @ISSUER_A@, @ISSUER_B@ and @UPSTREAM@ stand for what there is only when a test runs. */
struct policy_table {
    const char *rules;    /* the file of the configuration */
    const char *head;     /* lines before it */
    const char *requests; /* the file of the requests */
    bool by_asking;       /* each request is asked about by forward auth instead of sent */
    size_t least;         /* the test fails where the file has fewer requests */

    /* Pairs of a text in rules, which must be there, and what takes its place; NULL behind the
     * last. May be NULL. */
    const char *const *changes;
};

/*
 * Send all requests, one after the other on a connection that is kept, and compare status,
 * challenge, Allow and what the access log says. The test fails with every line that differs.
 */
void policy_table_check(const struct policy_table *table);

#endif
