#include "common/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

static struct cidr parse(const char *text) {
    struct cidr cidr;
    struct err_text err = {""};
    int r = cidr_parse(span_of(text), &cidr, &err);
    ck_assert_msg(r == 0, "%s: %s", text, err.text);
    return cidr;
}

/* Does the block hold the address, which is IPv6 where it has a ':'? */
static bool holds(const char *block, const char *address) {
    struct cidr cidr = parse(block);
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;

    storage.ss_family = strchr(address, ':') ? AF_INET6 : AF_INET;
    void *bytes = storage.ss_family == AF_INET6 ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr;
    ck_assert_int_eq(inet_pton(storage.ss_family, address, bytes), 1);
    return cidr_holds(&cidr, (const struct sockaddr *)&storage);
}

TEST(blocks_hold_what_agrees_with_their_prefix) {
    static const struct {
        const char *block;
        const char *address;
        bool held;
    } cases[] = {
        {"10.0.0.0/8", "10.0.0.0", true},
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "9.255.255.255", false},
        {"192.0.2.128/25", "192.0.2.128", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.0/31", "192.0.2.1", true},
        {"192.0.2.0/31", "192.0.2.2", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.0", false},
        {"192.0.2.1/32", "192.0.2.1", true},
        {"192.0.2.1/32", "192.0.2.3", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "::1", false},
        {"128.0.0.0/1", "127.255.255.255", false},
        {"128.0.0.0/1", "255.255.255.255", true},
        {"fd00::/8", "fdff::1", true},
        {"fd00::/8", "fe00::1", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::1", "::1", true},
        {"::1", "::2", false},
        {"::1/128", "::1", true},
        {"::/0", "2001:db8::1", true},
        /* IPv4 that came in through an IPv6 socket */
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"10.0.0.0/8", "::ffff:11.1.2.3", false},
        {"::ffff:10.0.0.0/104", "10.1.2.3", true},
        {"::ffff:10.0.0.0/104", "11.1.2.3", false},
        /* but never as a part of IPv6 */
        {"::/0", "10.1.2.3", false},
        {"::/0", "::ffff:10.1.2.3", false},
        {"::/64", "127.0.0.1", false},
        {"::/95", "::ffff:127.0.0.1", false},
        {"10.0.0.0/8", "::10.0.0.1", false},
        {"10.0.0.0/8", "a00::", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(holds(cases[i].block, cases[i].address) == cases[i].held, "%s %s",
                      cases[i].block, cases[i].address);
}

TEST(unix_sockets_are_in_no_block) {
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
    struct cidr v4 = parse("0.0.0.0/0"), v6 = parse("::/0");
    ck_assert(!cidr_holds(&v4, (const struct sockaddr *)&local));
    ck_assert(!cidr_holds(&v6, (const struct sockaddr *)&local));
}

TEST(everyone_is_found_in_every_spelling) {
    static const struct {
        const char *block;
        bool everyone;
    } cases[] = {
        {"0.0.0.0/0", true},      {"::/0", true},
        {"::ffff:0:0/96", true},  {"::ffff:0.0.0.0/96", true},
        {"0.0.0.0/1", false},     {"::/1", false},
        {"::fffe:0:0/96", false}, {"::ffff:0:0/97", false},
        {"0.0.0.0", false},       {"::", false},
        {"10.0.0.0/8", false},    {"::/96", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cidr cidr = parse(cases[i].block);
        ck_assert_msg(cidr_is_everyone(&cidr) == cases[i].everyone, "%s", cases[i].block);
    }
}

TEST(what_is_no_block_is_refused_with_the_reason) {
    static const char none[] = "is no IP address or block of them";
    static const char v4[] = "has no prefix length from 0 to 32 behind '/'";
    static const char v6[] = "has no prefix length from 0 to 128 behind '/'";
    static const char behind[] = "has address bits behind the prefix";
    static const struct {
        struct span text;
        const char *why;
    } cases[] = {
        {S(""), none},
        {S("/8"), none},
        {S("10"), none},
        {S("10.0.0"), none},
        {S("10.0.0.0.0"), none},
        {S("10.0.0.256"), none},
        {S("010.0.0.1"), none},
        {S(" 10.0.0.1"), none},
        {S("10.0.0.1 "), none},
        {S("10.0.0.1\0"), none},
        {S("localhost"), none},
        {S("[::1]"), none},
        {S("fe80::1%eth0"), none},
        {S("::g"), none},
        {S("1:2:3:4:5:6:7:8:9"), none},
        {S("0000:0000:0000:0000:0000:ffff:255.255.255.2555"), none},
        {S("10.0.0.0/"), v4},
        {S("10.0.0.0/33"), v4},
        {S("10.0.0.0/-1"), v4},
        {S("10.0.0.0/08"), v4},
        {S("10.0.0.0/8/8"), v4},
        {S("10.0.0.0/255.0.0.0"), v4},
        {S("10.0.0.0/8 "), v4},
        {S("fd00::/129"), v6},
        {S("fd00::/x"), v6},
        {S("10.0.0.1/8"), behind},
        {S("10.0.0.0/6"), behind},
        {S("192.0.2.1/31"), behind},
        {S("0.0.0.1/0"), behind},
        {S("fd00::1/8"), behind},
        {S("fd00::/7"), behind},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cidr cidr = {.bits = 7};
        struct err_text err = {""};
        int r = cidr_parse(cases[i].text, &cidr, &err);
        ck_assert_msg(r == ERR_SYNTAX, "%.*s: %d", SPAN_PRINTF(cases[i].text), r);
        ck_assert_msg(strcmp(err.text, cases[i].why) == 0, "%.*s: %s", SPAN_PRINTF(cases[i].text),
                      err.text);
        ck_assert_uint_eq(cidr.bits, 7);
    }
}
