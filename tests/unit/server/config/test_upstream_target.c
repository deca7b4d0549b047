#include "server/config/upstream_target.h"

#include <stdlib.h>

#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

/* Equal, or both absent. */
static bool same(struct span found, const char *expected) {
    return expected ? span_equal_text(found, expected) : span_is_absent(found);
}

TEST(targets_are_taken_apart) {
    static const struct {
        const char *text;
        bool https;
        const char *host;
        unsigned port;
        const char *authority;
        const char *unix_path;
        unsigned weight;
    } cases[] = {
        {"http://127.0.0.1:9001", false, "127.0.0.1", 9001, "127.0.0.1:9001", NULL, 1},
        {"http://orders", false, "orders", 80, "orders", NULL, 1},
        {"https://orders.internal", true, "orders.internal", 443, "orders.internal", NULL, 1},
        {"https://Orders_1.internal.:8443", true, "Orders_1.internal.", 8443,
         "Orders_1.internal.:8443", NULL, 1},
        {"http://[::1]:9001", false, "::1", 9001, "[::1]:9001", NULL, 1},
        {"https://[fd00::1]", true, "fd00::1", 443, "[fd00::1]", NULL, 1},
        {"http://a weight=2", false, "a", 80, "a", NULL, 2},
        {"https://a:1 weight=1000", true, "a", 1, "a:1", NULL, 1000},
        {"unix:/run/orders.sock", false, NULL, 0, NULL, "/run/orders.sock", 1},
        {"unix:/a weight=1", false, NULL, 0, NULL, "/a", 1},
        {"unix:/a=b:c/weight=4", false, NULL, 0, NULL, "/a=b:c/weight=4", 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct upstream_target target;
        struct err_text why = {""};
        int r = upstream_target_parse(span_of(cases[i].text), &target, &why);
        ck_assert_msg(r == 0, "%s: %s", cases[i].text, why.text);
        ck_assert_msg(target.https == cases[i].https && target.port == cases[i].port &&
                          target.weight == cases[i].weight && same(target.host, cases[i].host) &&
                          same(target.authority, cases[i].authority) &&
                          same(target.unix_path, cases[i].unix_path),
                      "%s", cases[i].text);
    }
}

static void expect_refused(struct span text, const char *reason) {
    struct upstream_target target = {.weight = 7};
    struct err_text why = {""};
    int r = upstream_target_parse(text, &target, &why);
    ck_assert_msg(r == ERR_SYNTAX, "%.*s: %d", SPAN_PRINTF(text), r);
    ck_assert_msg(strcmp(why.text, reason) == 0, "%.*s: %s", SPAN_PRINTF(text), why.text);
    ck_assert_uint_eq(target.weight, 7);
}

TEST(what_is_no_target_is_refused_with_the_reason) {
    static const char scheme[] = "starts with none of http://, https:// and unix:";
    static const char rest[] =
        "has a path or query; paths are changed by a route's strip_prefix and add_prefix";
    static const char name[] = "has a host that is no address and no name";
    static const char v4[] = "has a host that is no IPv4 address";
    static const char port[] = "has a port that is not a number from 1 to 65535";
    static const char behind[] = "has text behind the space that is not weight=N";
    static const char weight[] = "has a weight that is not a number from 1 to 1000";
    static const char path[] = "has a path that does not start with '/'";
    static const struct {
        struct span text;
        const char *why;
    } cases[] = {
        {S(""), scheme},
        {S("127.0.0.1:9001"), scheme},
        {S("orders"), scheme},
        {S("ftp://a"), scheme},
        {S("HTTP://a"), scheme},
        {S("//a"), scheme},
        {S("http:/a"), scheme},
        {S("unix/a"), scheme},
        {S("http://"), "has no host"},
        {S("http://:80"), "has no host"},
        {S("http://a:"), port},
        {S("http://a:0"), port},
        {S("http://a:65536"), port},
        {S("http://a:b"), port},
        {S("http://a:80:80"), port},
        {S("http://u:p@a"), "must not hold a user name or password"},
        {S("http://a/"), rest},
        {S("http://a/b"), rest},
        {S("http://a?b"), rest},
        {S("http://a#b"), "must not have a fragment ('#')"},
        {S("http://a\\b"), name},
        {S("http://a,b"), name},
        {S("http://a\"b"), name},
        {S("http://*"), name},
        {S("http://a%41"), name},
        {S("http://1.2.3"), v4},
        {S("http://1.2.3.256"), v4},
        {S("http://0127.0.0.1"), v4},
        {S("http://2130706433"), v4},
        {S("http://[1.2.3.4]"), "has '[' around something that is no IPv6 address"},
        {S("http://[]"), "has no host"},
        {S("http://[::1"), "lacks ']' after '['"},
        {S("http://[::1]x"), "has text behind ']' that is no port"},
        {S("http://[fe80::1%25eth0]"), "has '[' around something that is no IPv6 address"},
        {S("http://a\xc3\xa4"), "holds a byte that is not visible ASCII"},
        {S("http://a\r\nX: y"), behind},
        {S("http://a\r\n"), "holds a byte that is not visible ASCII"},
        {S("http://a\0"), "holds a byte that is not visible ASCII"},
        {S("http://a b"), behind},
        {S("http://a "), behind},
        {S("http://a  weight=2"), behind},
        {S("http://a Weight=2"), behind},
        {S(" http://a"), behind},
        {S("http://a weight="), weight},
        {S("http://a weight=0"), weight},
        {S("http://a weight=1001"), weight},
        {S("http://a weight=-1"), weight},
        {S("http://a weight=1.5"), weight},
        {S("http://a weight=2 weight=3"), weight},
        {S("http://a weight=2 "), weight},
        {S("unix:"), path},
        {S("unix:run/x"), path},
        {S("unix://"), "ends with '/'"},
        {S("unix:/run/my app"), behind},
        {S("unix:/a\0b"), "holds a control character"},
        {S("unix:/a\x7f"), "holds a control character"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) expect_refused(cases[i].text, cases[i].why);
}

/* before, then x up to len bytes in all. */
static struct span filled(char *text, const char *before, size_t len) {
    memset(text, 'x', len);
    memcpy(text, before, strlen(before));
    return (struct span){text, len};
}

TEST(paths_and_hosts_have_the_length_of_a_socket_path_or_a_name) {
    char text[512];
    struct upstream_target target;

    ck_assert_int_eq(upstream_target_parse(filled(text, "unix:/", 5 + 107), &target, NULL), 0);
    ck_assert_uint_eq(target.unix_path.len, 107);
    expect_refused(filled(text, "unix:/", 5 + 108),
                   "has a path longer than a socket's may be (107 bytes)");
    ck_assert_int_eq(upstream_target_parse(filled(text, "http://", 7 + 253), &target, NULL), 0);
    ck_assert_uint_eq(target.host.len, 253);
    expect_refused(filled(text, "http://", 7 + 254), "has too long a host");
}
