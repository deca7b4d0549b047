#include "common/url.h"

#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

TEST(urls_are_taken_apart) {
    static const struct {
        const char *text;
        bool https;
        const char *host;
        unsigned port;
        const char *rest;
    } cases[] = {
        {"https://idp.example", true, "idp.example", 443, ""},
        {"http://idp.example", false, "idp.example", 80, ""},
        {"https://idp.example/", true, "idp.example", 443, "/"},
        {"https://idp.example/realms/main?x=1&y", true, "idp.example", 443, "/realms/main?x=1&y"},
        {"https://idp.example?x", true, "idp.example", 443, "?x"},
        {"https://idp.example:8443/a:b@c", true, "idp.example", 8443, "/a:b@c"},
        {"https://idp.example:1", true, "idp.example", 1, ""},
        {"https://idp.example:65535", true, "idp.example", 65535, ""},
        {"https://IDP.Example/", true, "IDP.Example", 443, "/"},
        {"http://127.0.0.1:8080", false, "127.0.0.1", 8080, ""},
        {"http://[::1]", false, "::1", 80, ""},
        {"http://[::1]:8080/x", false, "::1", 8080, "/x"},
        {"http://[::ffff:192.0.2.1]/", false, "::ffff:192.0.2.1", 80, "/"},
        {"https://h//a/../b", true, "h", 443, "//a/../b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct url url;
        struct err_text err = {""};
        int r = url_parse(span_of(cases[i].text), &url, &err);
        ck_assert_msg(r == 0, "%s: %s", cases[i].text, err.text);
        ck_assert_msg(url.https == cases[i].https, "%s", cases[i].text);
        ck_assert_msg(span_equal_text(url.host, cases[i].host), "%s", cases[i].text);
        ck_assert_msg(url.port == cases[i].port, "%s: %u", cases[i].text, url.port);
        ck_assert_msg(span_equal_text(url.rest, cases[i].rest), "%s", cases[i].text);
    }
}

TEST(spans_point_into_the_text) {
    static const char text[] = "https://host:1/rest";
    struct url url;

    ck_assert_int_eq(url_parse(span_of(text), &url, NULL), 0);
    ck_assert_ptr_eq(url.host.ptr, text + 8);
    ck_assert_ptr_eq(url.rest.ptr, text + 14);
}

#define SCHEME "must start with https:// (or http://)"
#define BYTE "holds a byte that is not visible ASCII"
#define USER "must not hold a user name or password"
#define FRAGMENT "must not have a fragment ('#')"
#define HOST "has no host"
#define PORT "has a port that is not a number from 1 to 65535"
#define IPV6 "has '[' around something that is no IPv6 address"

TEST(refusals_say_why) {
    static const struct {
        struct span text;
        const char *why;
    } cases[] = {
        {SPAN_NONE, SCHEME},
        {S(""), SCHEME},
        {S("idp.example"), SCHEME},
        {S("//idp.example"), SCHEME},
        {S("https:/idp.example"), SCHEME},
        {S("HTTPS://idp.example"), SCHEME},
        {S("file:///etc/passwd"), SCHEME},
        {S("ftp://idp.example"), SCHEME},
        {S("httpss://idp.example"), SCHEME},
        {S("https://"), HOST},
        {S("https:///path"), HOST},
        {S("https://?x"), HOST},
        {S("https://:443/"), HOST},
        {S("https://user@idp.example/"), USER},
        {S("https://user:password@idp.example/"), USER},
        {S("https://idp.example@evil.example"), USER},
        {S("https://@idp.example"), USER},
        {S("https://idp.example/#x"), FRAGMENT},
        {S("https://idp.example#@evil.example"), FRAGMENT},
        {S("https://idp.example/#"), FRAGMENT},
        {S("https://idp.example:/"), PORT},
        {S("https://idp.example:0/"), PORT},
        {S("https://idp.example:65536/"), PORT},
        {S("https://idp.example:99999999999999999999/"), PORT},
        {S("https://idp.example:-1/"), PORT},
        {S("https://idp.example:+1/"), PORT},
        {S("https://idp.example:443x/"), PORT},
        {S("https://idp.example:443:443/"), PORT},
        {S("https://idp.example:https/"), PORT},
        {S("https://::1/"), HOST},
        {S("https://fe80::1/"), PORT},
        {S("https://[::1"), "lacks ']' after '['"},
        {S("https://[::1]8080/"), "has text behind ']' that is no port"},
        {S("https://[::1]]/"), "has text behind ']' that is no port"},
        {S("https://[::1]:/"), PORT},
        {S("https://[]/"), HOST},
        {S("https://[]:80/"), HOST},
        {S("https://[idp.example]/"), IPV6},
        {S("https://[localhost]/"), IPV6},
        {S("https://[127.0.0.1]/"), IPV6},
        {S("https://[fe80::1%25eth0]/"), IPV6},
        {S("https://idp.example/a b"), BYTE},
        {S(" https://idp.example/"), BYTE},
        {S("https://idp.example/\n"), BYTE},
        {S("https://idp.example/\r\nX: y"), BYTE},
        {S("https://idp.example/\0"), BYTE},
        {S("https://idp.example/\x7f"), BYTE},
        {S("https://idp.ex\xc3\xa4mple/"), BYTE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct url url = {.port = 7};
        struct err_text err = {""};
        ck_assert_msg(url_parse(cases[i].text, &url, &err) == ERR_SYNTAX, "%s accepted",
                      cases[i].text.ptr);
        ck_assert_str_eq(err.text, cases[i].why);
        ck_assert_msg(url.port == 7, "%s: set on failure", cases[i].text.ptr);
    }
}

static struct url parsed(const char *text) {
    struct url url;
    struct err_text err;
    ck_assert_msg(url_parse(span_of(text), &url, &err) == 0, "%s", text);
    return url;
}

TEST(loopback_is_what_cannot_leave_the_machine) {
    static const struct {
        const char *text;
        bool loopback;
    } cases[] = {
        {"http://localhost/", true},
        {"http://LocalHost:8080/", true},
        {"http://127.0.0.1/", true},
        {"http://127.0.0.1:9000/", true},
        {"http://127.255.255.254/", true},
        {"http://[::1]/", true},
        {"http://[0:0:0:0:0:0:0:1]/", true},
        {"http://localhost.example/", false},
        {"http://localhost./", false},
        {"http://notlocalhost/", false},
        {"http://127.0.0.1.example/", false},
        {"http://127.1/", false},
        {"http://0x7f000001/", false},
        {"http://2130706433/", false},
        {"http://0177.0.0.1/", false},
        {"http://128.0.0.1/", false},
        {"http://0.0.0.0/", false},
        {"http://10.127.0.1/", false},
        {"http://[::]/", false},
        {"http://[::2]/", false},
        {"http://[fe80::1]/", false},
        {"http://[::ffff:127.0.0.1]/", false},
        {"http://idp.example/?localhost", false},
        {"http://"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/",
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct url url = parsed(cases[i].text);
        ck_assert_msg(url_is_loopback(&url) == cases[i].loopback, "%s", cases[i].text);
    }
}

TEST(same_origin_is_scheme_host_and_port) {
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"https://idp.example/a", "https://idp.example/b?c", true},
        {"https://idp.example", "https://IDP.EXAMPLE:443/", true},
        {"http://idp.example", "http://idp.example:80", true},
        {"https://idp.example", "http://idp.example", false},
        {"https://idp.example:80", "http://idp.example:80", false},
        {"https://idp.example", "https://idp.example:8443", false},
        {"https://idp.example", "https://idp.example.evil", false},
        {"https://idp.example", "https://www.idp.example", false},
        {"http://[::1]:80", "http://[::1]", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct url a = parsed(cases[i].a), b = parsed(cases[i].b);
        ck_assert_msg(url_same_origin(&a, &b) == cases[i].same, "%s %s", cases[i].a, cases[i].b);
        ck_assert_msg(url_same_origin(&b, &a) == cases[i].same, "%s %s", cases[i].b, cases[i].a);
    }
}
