#include "server/token/reason.h"

#include <ctype.h>
#include <string.h>

#include "server/answer/problem.h"
#include "tests/support/suite.h"

TEST(every_reason_has_a_name_of_its_own) {
    for (int i = 0; i < REASON_COUNT; i++) {
        const char *name = reason_name((enum reason)i);
        ck_assert_msg(name && *name, "reason %d", i);
        for (const char *c = name; *c; c++) ck_assert_msg(islower(*c) || *c == '_', "%s", name);
        for (int j = 0; j < i; j++) ck_assert_str_ne(name, reason_name((enum reason)j));
    }
}

TEST(every_class_has_its_status) {
    static const struct {
        enum reason reason;
        unsigned status;
    } cases[] = {
        {REASON_NO_CREDENTIALS, 401},
        {REASON_OTHER_SCHEME, 401},
        {REASON_CREDENTIALS_MALFORMED, 400},
        {REASON_CREDENTIALS_REPEATED, 400},
        {REASON_TOKEN_TOO_LARGE, 431},
        {REASON_TOKEN_MALFORMED, 401},
        {REASON_TOKEN_ENCRYPTED, 401},
        {REASON_HEADER_NOT_ACCEPTED, 401},
        {REASON_ALGORITHM_NOT_ALLOWED, 401},
        {REASON_TYPE_NOT_ACCEPTED, 401},
        {REASON_ISSUER_UNKNOWN, 401},
        {REASON_KEY_NOT_FOUND, 401},
        {REASON_KEY_NOT_FIT, 401},
        {REASON_KEY_NOT_CLEAR, 401},
        {REASON_SIGNATURE_INVALID, 401},
        {REASON_CLAIM_MISSING, 401},
        {REASON_CLAIM_INVALID, 401},
        {REASON_AUDIENCE_MISMATCH, 401},
        {REASON_TOKEN_EXPIRED, 401},
        {REASON_TOKEN_NOT_YET_VALID, 401},
        {REASON_TOKEN_FROM_FUTURE, 401},
        {REASON_LIFETIME_TOO_LONG, 401},
        {REASON_TOKEN_BOUND, 401},
        {REASON_TOKEN_REVOKED, 401},
        {REASON_USER_MISSING, 401},
        {REASON_SCOPE_MISSING, 403},
        {REASON_KEYS_UNAVAILABLE, 503},
        {REASON_OUT_OF_MEMORY, 503},
        {REASON_FRAMING, 400},
        {REASON_ORIGINAL, 400},
        {REASON_NOT_TRUSTED, 403},
        {REASON_OTHER_SITE, 403},
        {REASON_NOT_WRITTEN, 503},
        {REASON_UPSTREAM_DOWN, 503},
        {REASON_UPSTREAM_UNREACHABLE, 502},
        {REASON_UPSTREAM_CLOSED, 502},
        {REASON_UPSTREAM_MALFORMED, 502},
        {REASON_UPSTREAM_TIMEOUT, 504},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(problem_status(cases[i].reason) == cases[i].status, "%s: %u",
                      reason_name(cases[i].reason), problem_status(cases[i].reason));
}

TEST(a_refusal_is_cut_and_says_false) {
    struct refusal refusal;
    char long_text[2000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    ck_assert(!refuse(&refusal, REASON_FRAMING, "%s", long_text));
    ck_assert_int_eq(refusal.reason, REASON_FRAMING);
    ck_assert_uint_eq(strlen(refusal.text), sizeof refusal.text - 1);
}
