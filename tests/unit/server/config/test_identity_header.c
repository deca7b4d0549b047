#include "server/config/identity_header.h"

#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

TEST(names_are_the_same_but_for_case_and_what_is_no_letter_or_digit) {
    static const struct {
        struct span a, b;
        bool same;
    } cases[] = {
        {S("X-Auth-User"), S("X-Auth-User"), true},
        {S("X-Auth-User"), S("x_auth_user"), true},
        {S("X-Auth-User"), S("X.AuthUser"), true},
        {S("X-Auth-User"), S("--x~a!u'thuser`"), true},
        {S("X-Auth-User"), S("X-Auth-Users"), false},
        {S("X-Auth-Users"), S("X-Auth-User"), false},
        {S("X-Auth-User"), S("X-Auth-Use"), false},
        {S("X-Auth-User"), S("X-Auth-Vser"), false},
        {S("X-Auth-1"), S("X-Auth-2"), false},
        {S("a\xc3\xa4"), S("a"), true},
        {S("[]"), S("{"), true},
        {S("["), S("a"), false},
        {S(""), S("a"), false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_msg(identity_header_same(cases[i].a, cases[i].b) == cases[i].same, "%s %s",
                      cases[i].a.ptr, cases[i].b.ptr);
        ck_assert(identity_header_same(cases[i].b, cases[i].a) == cases[i].same);
    }
}

TEST(names_that_are_the_same_have_one_hash) {
    static const char *const same[] = {"X-Auth-User", "x_auth_user", "XAUTHUSER", "X.Auth!User-"};
    static const char *const others[] = {"X-Auth-Use",  "X-Auth-Users", "X-Auth-Resu",
                                         "Y-Auth-User", "X-User-Auth",  ""};
    uint64_t hash = identity_header_hash(span_of(same[0]));
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        ck_assert_msg(identity_header_hash(span_of(same[i])) == hash, "%s", same[i]);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        ck_assert_msg(identity_header_hash(span_of(others[i])) != hash, "%s", others[i]);
}

TEST(names_that_are_fine) {
    static const char *const names[] = {
        "X-Auth-User",
        "Remote-User",
        "X-Forwarded-User",
        "x",
        "1",
        "X_Auth!",
        "X-Auth-Host",
        "Hosts",
        "X-Cookie",
        "a234567890123456789012345678901234567890123456789012345678901234",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct err_text why = {""};
        ck_assert_msg(identity_header_check(span_of(names[i]), &why) == 0, "%s %s", names[i],
                      why.text);
    }
}

TEST(names_that_are_none_or_taken_are_refused_with_the_reason) {
    static const char none[] = "is no field name";
    static const char taken[] = "is a field that HTTP or the proxy itself needs";
    static const struct {
        struct span name;
        const char *why;
    } cases[] = {
        {S(""), none},
        {S("X Auth"), none},
        {S("X-Auth:"), none},
        {S("X-Auth\r\nHost"), none},
        {S("X-Auth\0"), none},
        {S("X-\xc3\xa4"), none},
        {S("X(Auth)"), none},
        {S("-"), "has no letter or digit"},
        {S("_~"), "has no letter or digit"},
        {S("a2345678901234567890123456789012345678901234567890123456789012345"),
         "is longer than 64 bytes"},
        {S("Host"), taken},
        {S("HOST"), taken},
        {S("H-o_s.t"), taken},
        {S("Connection"), taken},
        {S("Content-Length"), taken},
        {S("content_length"), taken},
        {S("ContentLength"), taken},
        {S("Content-Type"), taken},
        {S("Transfer-Encoding"), taken},
        {S("Transfer_Encoding"), taken},
        {S("Authorization"), taken},
        {S("Proxy-Authorization"), taken},
        {S("Cookie"), taken},
        {S("Upgrade"), taken},
        {S("TE"), taken},
        {S("T-E"), taken},
        {S("Trailer"), taken},
        {S("Expect"), taken},
        {S("Date"), taken},
        {S("Via"), taken},
        {S("Keep-Alive"), taken},
        {S("Proxy-Connection"), taken},
        {S("Forwarded"), taken},
        {S("X-Forwarded-For"), taken},
        {S("X_Forwarded_For"), taken},
        {S("X-Forwarded-Proto"), taken},
        {S("X-Forwarded-Host"), taken},
        {S("X-Request-Id"), taken},
        {S("X-Request-ID"), taken},
        {S("Traceparent"), taken},
        {S("tracestate"), taken},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err_text why = {""};
        int r = identity_header_check(cases[i].name, &why);
        ck_assert_msg(r == ERR_SYNTAX, "%s: %d", cases[i].name.ptr, r);
        ck_assert_msg(strcmp(why.text, cases[i].why) == 0, "%s: %s", cases[i].name.ptr, why.text);
    }
}
