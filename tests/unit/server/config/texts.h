/*
 * texts: configuration from a literal, and its report as one text, for the tests of this room.
 */
#ifndef TESTS_UNIT_SERVER_CONFIG_TEXTS_H
#define TESTS_UNIT_SERVER_CONFIG_TEXTS_H

#include <stdlib.h>

#include "server/config/config.h"
#include "tests/support/scene.h"
#include "tests/support/suite.h"

/* A sound first line; what a test is about starts in line 2. */
#define ISSUER "issuers: [{issuer: \"https://idp\", audiences: [api]}]\n"
/* A sound issuer that a test goes on with in line 4. */
#define OPEN_ISSUER "issuers:\n  - issuer: https://idp\n    audiences: [api]\n"

/* The keys at the top, as a report lists them. */
#define ROOT_KEYS                                                                                  \
    "listen, admin, workers, state_directory, deny_list, realm, limits, trusted_proxies, fetch, "  \
    "token_cache, issuers, upstreams, identity_headers, assertion, roles, resources, "             \
    "routes, log"

/* libcyaml grows lists entry by entry, which takes minutes where realloc() always copies. */
#define MANY(count) (SCENE_SANITIZED ? (count) / 16 : (count))

/* The report as it would be printed under the name "f". The caller frees it. */
static inline char *report_text(struct config_report *report) {
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    ck_assert_ptr_nonnull(out);
    config_report_print(report, "f", out);
    fclose(out);
    config_report_done(report);
    return text;
}

/* The configuration of this text, which must be sound. */
static inline struct config *parse_good(struct span yaml) {
    struct config *config = NULL;
    struct config_report report;
    int r = config_parse(yaml, "f", &config, &report);
    char *text = report_text(&report);
    ck_assert_msg(r == 0, "%d: %s", r, text);
    ck_assert_str_eq(text, "");
    ck_assert_ptr_nonnull(config);
    free(text);
    return config;
}

/* The text must be refused with exactly this report. */
static inline void expect_report(struct span yaml, const char *expected) {
    struct config *config = NULL;
    struct config_report report;
    int r = config_parse(yaml, "f", &config, &report);
    char *text = report_text(&report);
    ck_assert_msg(r == ERR_SYNTAX, "%d for:\n%.*s\n%s", r, SPAN_PRINTF(yaml), text);
    ck_assert_ptr_null(config);
    ck_assert_msg(strcmp(text, expected) == 0, "for:\n%.*s\ncame:\n%s\nexpected:\n%s",
                  SPAN_PRINTF(yaml), text, expected);
    free(text);
}

struct bad_yaml {
    struct span yaml;
    const char *report;
};

static inline void expect_reports(const struct bad_yaml *cases, size_t count) {
    for (size_t i = 0; i < count; i++) expect_report(cases[i].yaml, cases[i].report);
}

#endif
