#include "server/answer/admin_guard.h"

#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

static const struct field OWN = {S("origin"), S("http://localhost:8081")};

static bool passes(const char *host, bool unix_socket, bool changes, const struct field *fields,
                   size_t count) {
    struct admin_request request = {.method = changes ? S("POST") : S("GET"),
                                    .path = S("/api/deny"),
                                    .host = span_of(host),
                                    .unix_socket = unix_socket,
                                    .fields = {fields, count}};
    struct refusal refusal = {.reason = REASON_COUNT};
    bool passed = admin_guard_passes(&request, changes, &refusal);
    ck_assert(passed == (refusal.reason == REASON_COUNT));
    if (!passed) ck_assert_int_eq(refusal.reason, REASON_OTHER_SITE);
    return passed;
}

TEST(only_requests_to_this_machine_are_answered) {
    static const char *const good[] = {
        "localhost",      "localhost:8081", "LocalHost:1", "127.0.0.1",
        "127.0.0.1:8081", "127.1.2.3:8081", "[::1]",       "[::1]:8081",
    };
    static const char *const bad[] = {
        "evil.example",
        "evil.example:8081",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost.",
        "xlocalhost",
        "app.localhost",
        "128.0.0.1",
        "0.0.0.0:8081",
        "192.168.1.1",
        "[::]",
        "[fe80::1]:8081",
        "[::ffff:10.0.0.1]",
        "127.1",
        "2130706433",
        "0x7f000001",
        "",
        ":8081",
        "[]",
        NULL,
    };
    for (int changes = 0; changes < 2; changes++) {
        for (size_t i = 0; i < ARRAY_LEN(good); i++)
            ck_assert_msg(passes(good[i], false, changes, NULL, 0), "%s", good[i]);
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
            ck_assert_msg(!passes(bad[i], false, changes, NULL, 0), "%s", bad[i]);
            ck_assert_msg(passes(bad[i], true, changes, NULL, 0), "unix, %s", bad[i]);
        }
    }
}

TEST(no_page_of_another_site_changes_anything) {
    static const struct {
        struct field field;
        bool good;
    } rows[] = {
        {{S("Origin"), S("http://localhost:8081")}, true},
        {{S("oRIGIN"), S("HTTP://LOCALHOST:8081")}, false}, /* no browser writes so */
        {{S("Origin"), S("http://LOCALHOST:8081")}, true},
        {{S("Origin"), S("https://localhost:8081")}, true},
        {{S("Origin"), S("http://localhost")}, false},
        {{S("Origin"), S("http://localhost:8080")}, false},
        {{S("Origin"), S("http://127.0.0.1:8081")}, false},
        {{S("Origin"), S("http://evil.example")}, false},
        {{S("Origin"), S("http://evil.example/http://localhost:8081")}, false},
        {{S("origin"), S("http://localhost:8081.evil.example")}, false},
        {{S("Origin"), S("null")}, false},
        {{S("Origin"), S("")}, false},
        {{S("Origin"), S("localhost:8081")}, false},
        {{S("Sec-Fetch-Site"), S("same-origin")}, true},
        {{S("sec-fetch-site"), S("cross-site")}, false},
        {{S("SEC-FETCH-SITE"), S("same-site")}, false},
        {{S("Sec-Fetch-Site"), S("none")}, false},
        {{S("Sec-Fetch-Site"), S("")}, false},
        {{S("X-Origin"), S("http://evil.example")}, true},
        {{S("Accept"), S("*/*")}, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct field after[] = {OWN, rows[i].field}, before[] = {rows[i].field, OWN};
        for (int unix_socket = 0; unix_socket < 2; unix_socket++) {
            ck_assert_msg(passes("localhost:8081", unix_socket, true, &rows[i].field, 1) ==
                              rows[i].good,
                          "row %zu", i);
            ck_assert_msg(passes("localhost:8081", unix_socket, true, after, 2) == rows[i].good,
                          "row %zu, second", i);
            ck_assert_msg(passes("localhost:8081", unix_socket, true, before, 2) == rows[i].good,
                          "row %zu, first", i);
            ck_assert_msg(passes("localhost:8081", unix_socket, false, &rows[i].field, 1),
                          "row %zu changes nothing", i);
        }
    }
}
