#include "server/config/values.h"

#include "tests/unit/server/config/texts.h"

#define S(text) SPAN_LITERAL(text)

TEST(durations) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "limits: {idle_timeout: 75}\n"),
         "f:2:24: idle_timeout: \"75\" is not a duration; write a duration with its unit (ms, s, "
         "m, h, d), from 1s to 1h\n"},
        {S(ISSUER "limits: {idle_timeout: 1 h, header_timeout: -1s, drain_timeout: 1.5s}\n"),
         "f:2:24: idle_timeout: \"1 h\" is not a duration; write a duration with its unit (ms, s, "
         "m, h, d), from 1s to 1h\n"
         "f:2:45: header_timeout: \"-1s\" is not a duration; write a duration with its unit (ms, "
         "s, m, h, d), from 1s to 1h\n"
         "f:2:65: drain_timeout: \"1.5s\" is not a duration; write a duration with its unit (ms, "
         "s, m, h, d), from 0 to 1h\n"},
        {S(ISSUER "limits: {idle_timeout: 999ms, header_timeout: 61m, drain_timeout: "
                  "99999999999999999999d}\n"),
         "f:2:24: idle_timeout: \"999ms\" is out of range; write a duration with its unit (ms, s, "
         "m, h, d), from 1s to 1h\n"
         "f:2:47: header_timeout: \"61m\" is out of range; write a duration with its unit (ms, s, "
         "m, h, d), from 1s to 1h\n"
         "f:2:67: drain_timeout: \"99999999999999999999d\" is out of range; write a duration with "
         "its unit (ms, s, m, h, d), from 0 to 1h\n"},
        {S(OPEN_ISSUER "    leeway: 601s\n"),
         "f:4:13: leeway: \"601s\" is out of range; write a duration with its unit (ms, s, m, h, "
         "d), from 0 to 600s\n"},
        {S(OPEN_ISSUER "    leeway: -1s\n"),
         "f:4:13: leeway: \"-1s\" is not a duration; write a duration with its unit (ms, s, m, h, "
         "d), from 0 to 600s\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(sizes) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "limits: {header: 32}\n"), "f:2:18: header: \"32\" is not a size; write a size "
                                             "with its unit (B, KiB, MiB), from 1KiB to 1MiB\n"},
        {S(ISSUER "limits: {header: 32KB, token: 1GiB}\n"),
         "f:2:18: header: \"32KB\" is not a size; write a size with its unit (B, KiB, MiB), from "
         "1KiB to 1MiB\n"
         "f:2:31: token: \"1GiB\" is not a size; write a size with its unit (B, KiB, MiB), from "
         "256B to 1MiB\n"},
        {S(ISSUER "limits: {header: 1023B, token: 2MiB}\n"),
         "f:2:18: header: \"1023B\" is out of range; write a size with its unit (B, KiB, MiB), "
         "from 1KiB to 1MiB\n"
         "f:2:32: token: \"2MiB\" is out of range; write a size with its unit (B, KiB, MiB), from "
         "256B to 1MiB\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(numbers) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "workers: many\n"),
         "f:2:10: workers: \"many\" is not a whole number; write a whole number, from 0 to 1024\n"},
        {S(ISSUER "workers: 0x10\n"),
         "f:2:10: workers: \"0x10\" is not a whole number; write a whole number, from 0 to 1024\n"},
        {S(ISSUER "workers: 1025\n"),
         "f:2:10: workers: \"1025\" is out of range; write a whole number, from 0 to 1024\n"},
        {S(ISSUER "limits: {connections: 0, connections_per_address: 99999999999999999999}\n"),
         "f:2:23: connections: \"0\" is out of range; write a whole number, from 1 to 1000000\n"
         "f:2:51: connections_per_address: \"99999999999999999999\" is out of range; write a whole "
         "number, from 0 to 1000000\n"},
        {S(ISSUER "workers: \"\"\n"),
         "f:2:10: workers: \"\" is not a whole number; write a whole number, from 0 to 1024\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(choices) {
    static const struct bad_yaml cases[] = {
        {S(OPEN_ISSUER "    allow_any_audience: yes\n"),
         "f:4:25: allow_any_audience: \"yes\" is not known here; write one of: true, false\n"},
        {S(OPEN_ISSUER "    insecure_http: True\n"),
         "f:4:20: insecure_http: \"True\" is not known here; write one of: true, false\n"},
        {S(OPEN_ISSUER "    token_type: jwt\n"),
         "f:4:17: token_type: \"jwt\" is not known here; write one of: any, at+jwt\n"},
        {S(ISSUER "log: {format: xml, level: INFO, access: 1}\n"),
         "f:2:15: format: \"xml\" is not known here; write one of: json, text, journal\n"
         "f:2:27: level: \"INFO\" is not known here; write one of: error, warning, notice, info, "
         "debug\n"
         "f:2:41: access: \"1\" is not known here; write one of: true, false\n"},
        {S(ISSUER "routes: [{path: /, respond: redirect, anonymous: true}]\n"),
         "f:2:29: respond: \"redirect\" is not known here; write one of: identity, profile, "
         "verdict, forward_auth\n"
         "f:2:50: anonymous: \"true\" is not known here; write one of: deny, allow\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(algorithms) {
    static const struct bad_yaml cases[] = {
        {S(OPEN_ISSUER "    algorithms: [HS256, hs512, none, NONE]\n"),
         "f:4:18: algorithms: \"HS256\" is never accepted: anyone could make such a token; write "
         "one of: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA\n"
         "f:4:25: algorithms: \"hs512\" is never accepted: anyone could make such a token; write "
         "one of: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA\n"
         "f:4:32: algorithms: \"none\" is never accepted: anyone could make such a token; write "
         "one of: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA\n"
         "f:4:38: algorithms: \"NONE\" is never accepted: anyone could make such a token; write "
         "one of: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA\n"},
        {S(OPEN_ISSUER "    algorithms: [rs256, ES256K, \"\", RS256]\n"),
         "f:4:18: algorithms: \"rs256\" is no algorithm known here; write one of: RS256, RS384, "
         "RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA\n"
         "f:4:25: algorithms: \"ES256K\" is no algorithm known here; write one of: RS256, RS384, "
         "RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA\n"
         "f:4:33: algorithms: \"\" is no algorithm known here; write one of: RS256, RS384, RS512, "
         "PS256, PS384, PS512, ES256, ES384, ES512, EdDSA\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(urls) {
    static const struct bad_yaml cases[] = {
        {S("issuers: [{issuer: idp.example.com, audiences: [api]}]\n"),
         "f:1:20: issuer: \"idp.example.com\" must start with https:// (or http://); write the "
         "issuer's URL, such as https://idp.example.com\n"},
        {S("issuers: [{issuer: ftp://idp, audiences: [api]}]\n"),
         "f:1:20: issuer: \"ftp://idp\" must start with https:// (or http://); write the issuer's "
         "URL, such as https://idp.example.com\n"},
        {S("issuers: [{issuer: \"https://\", audiences: [api]}]\n"),
         "f:1:20: issuer: \"https://\" has no host; write the issuer's URL, such as "
         "https://idp.example.com\n"},
        {S("issuers: [{issuer: \"https://u:secret@idp\", audiences: [api]}]\n"),
         "f:1:20: issuer: the value (not shown) must not hold a user name or password; write the "
         "issuer's URL, such as https://idp.example.com\n"},
        {S("issuers: [{issuer: \"https://idp:0\", audiences: [api]}]\n"),
         "f:1:20: issuer: \"https://idp:0\" has a port that is not a number from 1 to 65535; write "
         "the issuer's URL, such as https://idp.example.com\n"},
        {S("issuers: [{issuer: \"https://idp?a\", audiences: [api]}]\n"),
         "f:1:20: issuer: \"https://idp?a\" must not have a query ('?'); write the issuer's URL, "
         "such as https://idp.example.com\n"},
        {S("issuers: [{issuer: \"https://idp#a\", audiences: [api]}]\n"),
         "f:1:20: issuer: \"https://idp#a\" must not have a fragment ('#'); write the issuer's "
         "URL, such as https://idp.example.com\n"},
        {S("issuers: [{issuer: \"https://idp/\\u00e4\", audiences: [api]}]\n"),
         "f:1:20: issuer: \"https://idp/\xc3\xa4\" holds a byte that is not visible ASCII; write "
         "the issuer's URL, such as https://idp.example.com\n"},
        {S("issuers: [{issuer: \"\", audiences: [api]}]\n"),
         "f:1:20: issuer: \"\" must start with https:// (or http://); write the issuer's URL, such "
         "as https://idp.example.com\n"},
        {S(OPEN_ISSUER "    jwks_uri: \"https://x/ y\"\n"),
         "f:4:15: jwks_uri: \"https://x/ y\" holds a byte that is not visible ASCII; write a URL "
         "such as https://idp.example.com/keys\n"},
        {S(OPEN_ISSUER "    discovery: https://x/#f\n"),
         "f:4:16: discovery: \"https://x/#f\" must not have a fragment ('#'); write a URL such as "
         "https://idp.example.com/keys\n"},
        {S(ISSUER "fetch: {proxy: \"https://p:1\"}\n"),
         "f:2:16: proxy: \"https://p:1\" must start with http://; write a URL such as "
         "http://proxy.example.com:3128\n"},
        {S(ISSUER "fetch: {proxy: \"http://p:1/x\"}\n"),
         "f:2:16: proxy: \"http://p:1/x\" has text behind the port; write a URL such as "
         "http://proxy.example.com:3128\n"},
        {S(ISSUER "fetch: {proxy: \"http://u:secret@p:1\"}\n"),
         "f:2:16: proxy: the value (not shown) must not hold a user name or password; write a URL "
         "such as http://proxy.example.com:3128\n"},
        {S(ISSUER "fetch: {proxy: p:1}\n"),
         "f:2:16: proxy: \"p:1\" must start with https:// (or http://); write a URL such as "
         "http://proxy.example.com:3128\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(files_and_folders) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "state_directory: var\n"),
         "f:2:18: state_directory: \"var\" does not start with '/'; write an absolute path such as "
         "/var/lib/bearerd\n"},
        {S(ISSUER "deny_list: deny\n"),
         "f:2:12: deny_list: \"deny\" does not start with '/'; write an absolute path such as "
         "/var/lib/bearerd/deny\n"},
        {S(ISSUER "fetch: {ca_file: /nonexistent/ca.pem}\n"),
         "f:2:18: ca_file: \"/nonexistent/ca.pem\" cannot be read: No such file or directory; "
         "write the path of a file that this program may read\n"},
        {S(ISSUER "fetch: {ca_file: /}\n"), "f:2:18: ca_file: \"/\" is not a regular file; write "
                                            "the path of a file that this program may read\n"},
        {S(OPEN_ISSUER "    jwks_file: /dev/null\n"),
         "f:4:16: jwks_file: \"/dev/null\" is not a regular file; write the path of a file that "
         "this program may read\n"},
        {S(ISSUER "listen: [{address: \"a:1\", tls: {certificate: /nonexistent/a, private_key: "
                  "/nonexistent/b}}]\n"),
         "f:2:46: certificate: \"/nonexistent/a\" cannot be read: No such file or directory; write "
         "the path of a file that this program may read\n"
         "f:2:75: private_key: \"/nonexistent/b\" cannot be read: No such file or directory; write "
         "the path of a file that this program may read\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(methods) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "routes: [{path: /, respond: identity, methods: [get, \"\", \"G T\", "
                  "\"GET,HEAD\", \"G\\u00cbT\"]}]\n"),
         "f:2:49: methods: \"get\" is no method name in uppercase; write a method such as GET\n"
         "f:2:54: methods: \"\" is no method name in uppercase; write a method such as GET\n"
         "f:2:58: methods: \"G T\" is no method name in uppercase; write a method such as GET\n"
         "f:2:65: methods: \"GET,HEAD\" is no method name in uppercase; write a method such as "
         "GET\n"
         "f:2:77: methods: \"G\xc3\x8bT\" is no method name in uppercase; write a method such as "
         "GET\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(scopes) {
    static const struct bad_yaml cases[] = {
        {S(OPEN_ISSUER
           "    scopes: [\"\", \"a b\", \"a\\\"\", \"a\\\\\", \"\\u00e4\", authenticated]\n"),
         "f:4:14: scopes: \"\" is empty; write a scope such as orders:read (RFC 6749 section 3.3)\n"
         "f:4:18: scopes: \"a b\" holds a character that no scope has; write a scope such as "
         "orders:read (RFC 6749 section 3.3)\n"
         "f:4:25: scopes: \"a\\\"\" holds a character that no scope has; write a scope such as "
         "orders:read (RFC 6749 section 3.3)\n"
         "f:4:32: scopes: \"a\\\\\" holds a character that no scope has; write a scope such as "
         "orders:read (RFC 6749 section 3.3)\n"
         "f:4:39: scopes: \"\xc3\xa4\" holds a character that no scope has; write a scope such as "
         "orders:read (RFC 6749 section 3.3)\n"
         "f:4:49: scopes: \"authenticated\" can never be satisfied: no issuer grants it, the "
         "profile answer adds it; write a scope such as orders:read (RFC 6749 section 3.3)\n"},
        {S(ISSUER "routes: [{path: /, respond: profile, require: {scopes: [authenticated]}}]\n"),
         "f:2:57: scopes: \"authenticated\" can never be satisfied: no issuer grants it, the "
         "profile answer adds it; write a scope such as orders:read (RFC 6749 section 3.3)\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(names_and_texts) {
    static const struct bad_yaml cases[] = {
        {S("issuers: [{issuer: \"https://idp\", audiences: [\"\", \"a\\0b\"]}]\n"),
         "f:1:47: audiences: \"\" is empty; write a text that is not empty\n"
         "f:1:51: audiences: \"a\\u0000b\" holds a control character; write a text that is not "
         "empty\n"},
        {S(OPEN_ISSUER "    user_claims: [\"\"]\n"
                       "    scope_claims: [\"a\\n\"]\n"
                       "    role_claims: [\"\"]\n"),
         "f:4:19: user_claims: \"\" is empty; write a text that is not empty\n"
         "f:5:20: scope_claims: \"a\\n\" holds a control character; write a text that is not "
         "empty\n"
         "f:6:19: role_claims: \"\" is empty; write a text that is not empty\n"},
        {S(ISSUER "realm: \"\"\n"),
         "f:2:8: realm: \"\" is empty; write a text that is not empty\n"},
        {S(ISSUER "realm: \"a\\r\\nb\"\n"),
         "f:2:8: realm: \"a\\r\\nb\" holds a control character; write a text that is not empty\n"},
        {S(ISSUER "realm: \"a\\x7f\"\n"),
         "f:2:8: realm: \"a\\u007f\" holds a control character; write a text that is not empty\n"},
        {S(ISSUER "fetch: {no_proxy: \"\\e\"}\n"),
         "f:2:19: no_proxy: \"\\u001b\" holds a control character; write a text\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

struct refused {
    const char *value, *why;
};

/* Each value, quoted between before and after in line 2, is refused for its reason. */
static void expect_refusals(const char *before, const char *after, const char *key,
                            const char *right, const struct refused *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char yaml[1024], report[2048];
        int len = snprintf(yaml, sizeof yaml, ISSUER "%s\"%s\"%s\n", before, cases[i].value, after);
        snprintf(report, sizeof report, "f:2:%zu: %s: \"%s\" %s; write %s\n", strlen(before) + 1,
                 key, cases[i].value, cases[i].why, right);
        expect_report((struct span){yaml, (size_t)len}, report);
    }
}

TEST(addresses) {
    static const char no_port[] = "has no port";
    static const char bad_port[] = "has a port that is not a number up to 65535";
    static const char no_host[] = "has no host; all addresses are 0.0.0.0 or [::]";
    static const char not_v4[] = "has a host that is no IPv4 address";
    static const char not_v6[] = "has no IPv6 address between '[' and ']'";
    static const char no_name[] = "has a host that is no address and no name";
    static const char no_path[] = "has a path that does not start with '/'";
    static const char no_socket[] = "has no FileDescriptorName of a socket unit";
    static const struct refused cases[] = {
        {"", no_port},
        {"8080", no_port},
        {"localhost", no_port},
        {"a:", bad_port},
        {"a:x", bad_port},
        {"a:-1", bad_port},
        {"a:65536", bad_port},
        {"[::1]", bad_port},
        {":80", no_host},
        {"*:80", no_host},
        {"::1:80",
         "has a second ':', which an IPv6 address only may have, in brackets: [::1]:8080"},
        {"[::1:80", not_v6},
        {"[1.2.3.4]:80", not_v6},
        {"[]:80", not_v6},
        {"[:80", not_v6},
        {"1.2.3:80", not_v4},
        {"300.1.1.1:80", not_v4},
        {"a/b:80", no_name},
        {"a b:80", no_name},
        {"unix:run/x", no_path},
        {"unix:", no_path},
        {"systemd:", no_socket},
        {"systemd:a:b", no_socket},
    };
    expect_refusals("listen: [{address: ", "}]", "address",
                    "HOST:PORT, [IPV6]:PORT, unix:/PATH or systemd:NAME", cases, ARRAY_LEN(cases));
}

/* "unix:/xxx" or "xxx:1" of this many x, as the only address. */
static struct span long_address(char yaml[1024], const char *before, int count, const char *after) {
    static const char letters[] =
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    int len = snprintf(yaml, 1024, ISSUER "listen: [{address: \"%s%.*s%s\"}]\n", before, count,
                       letters, after);
    return (struct span){yaml, (size_t)len};
}

TEST(addresses_have_the_length_of_a_socket_path_or_a_name) {
    char yaml[1024];
    config_unref(parse_good(long_address(yaml, "unix:/", 106, "")));
    expect_report(
        long_address(yaml, "unix:/", 107, ""),
        "f:2:20: address: "
        "\"unix:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"... has a path longer "
        "than a socket's may be (107 bytes); write HOST:PORT, [IPV6]:PORT, unix:/PATH or "
        "systemd:NAME\n");
    config_unref(parse_good(long_address(yaml, "", 253, ":1")));
    expect_report(
        long_address(yaml, "", 254, ":1"),
        "f:2:20: address: "
        "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"... has too long a "
        "host; write HOST:PORT, [IPV6]:PORT, unix:/PATH or systemd:NAME\n");
}

TEST(addresses_that_are_fine) {
    config_unref(parse_good(S(ISSUER "listen:\n"
                                     "  - {address: \"127.0.0.1:0\"}\n"
                                     "  - {address: \"0.0.0.0:65535\"}\n"
                                     "  - {address: \"localhost:80\"}\n"
                                     "  - {address: \"a_b-c.example:80\"}\n"
                                     "  - {address: \"[::]:80\"}\n"
                                     "  - {address: \"[fe80::1]:80\"}\n"
                                     "  - {address: unix:/run/x}\n"
                                     "  - {address: systemd:http}\n")));
}

TEST(paths) {
    static const char no_slash[] = "does not start with '/'";
    static const char star[] = "has a '*' that is not a last segment of its own";
    static const char twice[] = "holds '//'";
    static const char ascii[] = "holds a byte that is not ASCII";
    static const char control[] = "holds a control character";
    static const struct refused cases[] = {
        {"", no_slash},
        {"a", no_slash},
        {"*", no_slash},
        {"/a*", star},
        {"/*/a", star},
        {"/*a", star},
        {"/**", star},
        {"//", twice},
        {"//a", twice},
        {"/a//b", twice},
        {"/a//", twice},
        {"/.", "holds a '.' segment"},
        {"/..", "holds a '..' segment"},
        {"/a/../b", "holds a '..' segment"},
        {"/a/./", "holds a '.' segment"},
        {"/a#b", "holds '#', which no normal path does"},
        {"/a?b", "holds '?', which no normal path does"},
        {"/%61", "holds '%', which no normal path does"},
        {"/a\\\\b", "holds '\\', which no normal path does"},
        {"/\xc3\xa4", ascii},
        {"/a\\u0001", control},
        {"/\\u007f", control},
    };
    expect_refusals("routes: [{path: ", ", respond: identity}]", "path",
                    "a normal path such as /orders, /orders/* for all below it, or /orders/{id}",
                    cases, ARRAY_LEN(cases));
}

TEST(paths_that_are_fine) {
    config_unref(parse_good(S(ISSUER "routes:\n"
                                     "  - {path: /, respond: identity}\n"
                                     "  - {path: /*, respond: identity}\n"
                                     "  - {path: /a, respond: identity}\n"
                                     "  - {path: /a/, respond: identity}\n"
                                     "  - {path: /a/*, respond: identity}\n"
                                     "  - {path: /a/..b/.c/d..;e=f, respond: identity}\n")));
}

TEST(admin_addresses) {
    static const char public[] =
        "is no loopback address: health, metrics and status are never on a public listener";
    static const struct refused cases[] = {
        {"8081", "has no port"},
        {"127.0.0.1", "has no port"},
        {"127.0.0.1:65536", "has a port that is not a number up to 65535"},
        {"unix:run/x", "has a path that does not start with '/'"},
        {"systemd:", "has no FileDescriptorName of a socket unit"},
        {"0.0.0.0:8081", public},
        {"10.0.0.1:8081", public},
        {"126.255.255.255:8081", public},
        {"128.0.0.1:8081", public},
        {"[::]:8081", public},
        {"[::2]:8081", public},
        {"[fe80::1]:8081", public},
        {"[::ffff:10.0.0.1]:8081", public},
        {"localhost:8081", public},
        {"localhost.example:8081", public},
        {"127.0.0.1.example:8081", public},
        {"a:8081", public},
    };
    expect_refusals("admin: {address: ", "}", "address",
                    "a loopback address such as 127.0.0.1:8081, unix:/PATH or systemd:NAME", cases,
                    ARRAY_LEN(cases));
}

/* Each value, quoted between before and after in line 2, is accepted. */
static void expect_fine(const char *before, const char *after, const char *const *values,
                        size_t count) {
    for (size_t i = 0; i < count; i++) {
        char yaml[1024];
        int len = snprintf(yaml, sizeof yaml, ISSUER "%s\"%s\"%s\n", before, values[i], after);
        config_unref(parse_good((struct span){yaml, (size_t)len}));
    }
}

TEST(admin_addresses_that_are_fine) {
    static const char *const values[] = {
        "",
        "127.0.0.1:8081",
        "127.1.2.3:1",
        "127.0.0.1:0",
        "[::1]:8081",
        "unix:/run/bearerd/admin.sock",
        "systemd:admin",
    };
    expect_fine("admin: {address: ", "}", values, ARRAY_LEN(values));
}

TEST(trusted_proxies) {
    static const char everyone[] = "would let every client say where it came from";
    static const struct refused cases[] = {
        {"", "is no IP address or block of them"},
        {"proxy.example", "is no IP address or block of them"},
        {"10.0.0.0/33", "has no prefix length from 0 to 32 behind '/'"},
        {"10.0.0.1/8", "has address bits behind the prefix"},
        {"0.0.0.0/0", everyone},
        {"::/0", everyone},
        {"0:0::0/0", everyone},
        {"::ffff:0.0.0.0/96", everyone},
    };
    static const char *const fine[] = {"127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8", "0.0.0.0/1"};
    expect_refusals("trusted_proxies: [", "]", "trusted_proxies",
                    "an IP address or a block such as 10.0.0.0/8", cases, ARRAY_LEN(cases));
    expect_fine("trusted_proxies: [", "]", fine, ARRAY_LEN(fine));
}

#define TARGETS ", targets: [\"http://a\"]"

TEST(names_of_upstreams) {
    static const char other[] = "holds another character";
    static const char longest[] =
        "a234567890123456789012345678901234567890123456789012345678901234";
    static const struct refused cases[] = {
        {"", "is empty"},    {"a b", other}, {"a/b", other}, {"a:b", other},
        {"\xc3\xa4", other}, {"a,b", other}, {"*", other},
    };
    static const char *const fine[] = {"orders", "Orders-2.internal_v1", "-", "0", longest};
    expect_refusals("upstreams: [{name: ", TARGETS "}]", "name",
                    "a name of letters, digits and any of -_.", cases, ARRAY_LEN(cases));
    expect_fine("upstreams: [{name: ", TARGETS "}]", fine, ARRAY_LEN(fine));
    expect_report(
        S(ISSUER "upstreams: [{name: "
                 "a2345678901234567890123456789012345678901234567890123456789012345" TARGETS
                 "}]\n"),
        "f:2:20: name: \"a234567890123456789012345678901234567890123456789012345678901234\"... is "
        "longer than 64 bytes; write a name of letters, digits and any of -_.\n");
}

TEST(targets) {
    static const struct refused cases[] = {
        {"", "starts with none of http://, https:// and unix:"},
        {"127.0.0.1:9001", "starts with none of http://, https:// and unix:"},
        {"http://a/b",
         "has a path or query; paths are changed by a route's strip_prefix and add_prefix"},
        {"http://a weight=0", "has a weight that is not a number from 1 to 1000"},
        {"unix:run", "has a path that does not start with '/'"},
        {"unix:/a\\u0001", "holds a control character"},
    };
    static const char *const fine[] = {"http://a", "https://[::1]:1 weight=3", "unix:/run/x"};
    expect_refusals("upstreams: [{name: a, targets: [", "]}]", "targets",
                    "http://HOST:PORT, https://HOST:PORT or unix:/PATH, with \" weight=N\" behind "
                    "it or not",
                    cases, ARRAY_LEN(cases));
    expect_fine("upstreams: [{name: a, targets: [", "]}]", fine, ARRAY_LEN(fine));
    expect_report(S(ISSUER "upstreams: [{name: a, targets: [\"http://u:secret@a\"]}]\n"),
                  "f:2:33: targets: the value (not shown) must not hold a user name or password; "
                  "write http://HOST:PORT, https://HOST:PORT or unix:/PATH, with \" weight=N\" "
                  "behind it or not\n");
    expect_report(S(ISSUER "upstreams: [{name: a, targets: []}]\n"),
                  "f:2:32: targets: an empty list is not enough; write a list, each entry "
                  "http://HOST:PORT, https://HOST:PORT or unix:/PATH, with \" weight=N\" behind it "
                  "or not\n");
}

TEST(server_names) {
    static const char none[] = "is no host name";
    static const struct refused cases[] = {
        {"a b", none}, {"a:443", none}, {"https://a", none}, {"*.a", none}, {"\xc3\xa4", none},
    };
    static const char *const fine[] = {"orders.internal", "a_b-c", "192.0.2.1"};
    const char *before = "upstreams: [{name: a, targets: [\"https://a\"], tls: {server_name: ";
    expect_refusals(before, "}}]", "server_name", "a host name such as orders.internal", cases,
                    ARRAY_LEN(cases));
    expect_fine(before, "}}]", fine, ARRAY_LEN(fine));
}

TEST(paths_of_checks) {
    static const char none[] = "holds a character that no request target has";
    static const struct refused cases[] = {
        {"healthz", "does not start with '/'"},
        {"http://a/", "does not start with '/'"},
        {"/a b", none},
        {"/a#b", none},
        {"/a\\\\b", none},
        {"/\xc3\xa4", none},
        {"/a\\rb", "holds a control character"},
    };
    static const char *const fine[] = {"", "/", "/healthz", "/a/%41?b=c&d"};
    expect_refusals("upstreams: [{name: a" TARGETS ", health: {path: ", "}}]", "path",
                    "a path such as /healthz", cases, ARRAY_LEN(cases));
    expect_fine("upstreams: [{name: a" TARGETS ", health: {path: ", "}}]", fine, ARRAY_LEN(fine));
}

TEST(prefixes) {
    static const char slash[] = "ends with '/'";
    static const struct refused cases[] = {
        {"orders", "does not start with '/'"},
        {"/", slash},
        {"/orders/", slash},
        {"//", "holds '//'"},
        {"/a//b", "holds '//'"},
        {"/a/..", "holds a '..' segment"},
        {"/./a", "holds a '.' segment"},
        {"/a?b", "holds '?', which no normal path does"},
        {"/%61", "holds '%', which no normal path does"},
        {"/a/*", "holds '*', which no prefix may"},
        {"/a b", "holds ' ', which no normal path does"},
        {"/{a}", "holds '{', which no prefix may"},
        {"/a<b", "holds '<', which no prefix may"},
        {"/\xc3\xa4", "holds a byte that is not ASCII"},
        {"/a\\nb", "holds a control character"},
    };
    static const char *const fine[] = {"", "/a", "/a/b", "/a-._~!$&'()+,;=:@"};
    const char *before =
        "upstreams: [{name: a" TARGETS "}]\nroutes: [{path: /, upstream: a, add_prefix: ";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char yaml[1024], report[1024];
        int len = snprintf(yaml, sizeof yaml, ISSUER "%s\"%s\"}]\n", before, cases[i].value);
        snprintf(report, sizeof report,
                 "f:3:45: add_prefix: \"%s\" %s; write a normal path without a slash at its end, "
                 "such as /orders\n",
                 cases[i].value, cases[i].why);
        expect_report((struct span){yaml, (size_t)len}, report);
    }
    expect_fine(before, "}]", fine, ARRAY_LEN(fine));
}

TEST(identity_headers) {
    static const char taken[] = "is a field that HTTP or the proxy itself needs";
    static const struct refused cases[] = {
        {"", "is no field name"},
        {"X Auth", "is no field name"},
        {"X-Auth:", "is no field name"},
        {"-", "has no letter or digit"},
        {"Host", taken},
        {"content_length", taken},
        {"X-Forwarded-For", taken},
    };
    static const char *const fine[] = {"X-Auth-User", "Remote-User"};
    static const char field[] = "a field name such as X-Auth-User";
    expect_refusals("identity_headers: [{header: ", ", value: user}]", "header", field, cases,
                    ARRAY_LEN(cases));
    expect_refusals("assertion: {header: ", "}", "header", field, cases, ARRAY_LEN(cases));
    expect_fine("identity_headers: [{header: ", ", value: user}]", fine, ARRAY_LEN(fine));
    expect_fine("assertion: {header: ", "}", (const char *const[]){"X-Signed"}, 1);
}

TEST(values_of_identity_headers) {
    static const char unknown[] = "is nothing known about a caller";
    static const struct refused cases[] = {
        {"", unknown},       {"User", unknown},    {"email", unknown}, {"claim", unknown},
        {"claim:", unknown}, {"Claim:a", unknown}, {"user ", unknown}, {"usernam", unknown},
    };
    static const char *const fine[] = {"user",  "subject",   "issuer",          "scopes",
                                       "roles", "claim:sub", "claim:tenant.id", "claim:a b:c"};
    expect_refusals("identity_headers: [{header: X, value: ", "}]", "value",
                    "user, subject, issuer, scopes, roles or claim:NAME", cases, ARRAY_LEN(cases));
    expect_fine("identity_headers: [{header: X, value: ", "}]", fine, ARRAY_LEN(fine));
}

TEST(identities_are_taken_apart) {
    static const struct {
        const char *text;
        enum identity identity;
        const char *claim;
    } cases[] = {
        {"user", IDENTITY_USER, "untouched"},     {"subject", IDENTITY_SUBJECT, "untouched"},
        {"issuer", IDENTITY_ISSUER, "untouched"}, {"scopes", IDENTITY_SCOPES, "untouched"},
        {"roles", IDENTITY_ROLES, "untouched"},   {"claim:a", IDENTITY_CLAIM, "a"},
        {"claim:a.b", IDENTITY_CLAIM, "a.b"},     {"claim:claim:", IDENTITY_CLAIM, "claim:"},
    };
    static const char *const none[] = {"", "use", "users", "claim:", "claim", "roles:a"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum identity identity = IDENTITY_CLAIM;
        struct span claim = SPAN_LITERAL("untouched");
        ck_assert_int_eq(identity_parse(span_of(cases[i].text), &identity, &claim), 0);
        ck_assert_int_eq(identity, cases[i].identity);
        ck_assert_msg(span_equal_text(claim, cases[i].claim), "%s", cases[i].text);
    }
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        enum identity identity = IDENTITY_ROLES;
        struct span claim = SPAN_NONE;
        ck_assert_int_eq(identity_parse(span_of(none[i]), &identity, &claim), ERR_SYNTAX);
        ck_assert_int_eq(identity, IDENTITY_ROLES);
        ck_assert(span_is_absent(claim));
    }
}

TEST(what_upstreams_may_choose_and_count) {
    static const struct {
        const char *option, *fault; /* of the last value in option */
    } cases[] = {
        {"balance: random",
         "balance: \"random\" is not known here; write one of: round_robin, least_connections"},
        {"host: server", "host: \"server\" is not known here; write one of: client, target"},
        {"assertion: yes", "assertion: \"yes\" is not known here; write one of: true, false"},
        {"timeouts: {connect: 9ms}",
         "connect: \"9ms\" is out of range; write a duration with its unit (ms, s, m, h, d), from "
         "10ms to 5m"},
        {"timeouts: {first_byte: 0}",
         "first_byte: \"0\" is out of range; write a duration with its unit (ms, s, m, h, d), from "
         "10ms to 1d"},
        {"timeouts: {between_bytes: 25h}",
         "between_bytes: \"25h\" is out of range; write a duration with its unit (ms, s, m, h, d), "
         "from 10ms to 1d"},
        {"timeouts: {total: 31d}",
         "total: \"31d\" is out of range; write a duration with its unit (ms, s, m, h, d), from 0 "
         "to 30d"},
        {"keep_alive: {connections: 10001}",
         "connections: \"10001\" is out of range; write a whole number, from 0 to 10000"},
        {"keep_alive: {idle_timeout: 2h}",
         "idle_timeout: \"2h\" is out of range; write a duration with its unit (ms, s, m, h, d), "
         "from 100ms to 1h"},
        {"health: {max_fails: 1001}",
         "max_fails: \"1001\" is out of range; write a whole number, from 0 to 1000"},
        {"health: {retry_after: 0}",
         "retry_after: \"0\" is out of range; write a duration with its unit (ms, s, m, h, d), "
         "from 100ms to 1h"},
        {"health: {interval: 99ms}",
         "interval: \"99ms\" is out of range; write a duration with its unit (ms, s, m, h, d), "
         "from 100ms to 1h"},
        {"health: {timeout: 6m}",
         "timeout: \"6m\" is out of range; write a duration with its unit (ms, s, m, h, d), from "
         "10ms to 5m"},
        {"health: {unhealthy_after: 0}",
         "unhealthy_after: \"0\" is out of range; write a whole number, from 1 to 100"},
        {"health: {healthy_after: 101}",
         "healthy_after: \"101\" is out of range; write a whole number, from 1 to 100"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        static const char before[] = "upstreams: [{name: a" TARGETS ", ";
        char yaml[512], report[512];
        size_t column = strlen(before) + (size_t)(strrchr(cases[i].option, ' ') - cases[i].option);
        int len = snprintf(yaml, sizeof yaml, ISSUER "%s%s}]\n", before, cases[i].option);
        snprintf(report, sizeof report, "f:2:%zu: %s\n", column + 2, cases[i].fault);
        expect_report((struct span){yaml, (size_t)len}, report);
    }
}

TEST(token_cache_and_assertion_have_their_ranges) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "token_cache: {entries: 10000001}\n"),
         "f:2:24: entries: \"10000001\" is out of range; write a whole number, from 0 to "
         "10000000\n"},
        {S(ISSUER "assertion: {lifetime: 0, issuer: \"\"}\n"),
         "f:2:23: lifetime: \"0\" is out of range; write a duration with its unit (ms, s, m, h, "
         "d), from 1s to 1h\n"
         "f:2:34: issuer: \"\" is empty; write a text that is not empty\n"},
        {S(ISSUER "assertion: {private_key: /nonexistent/key}\n"),
         "f:2:26: private_key: \"/nonexistent/key\" cannot be read: No such file or directory; "
         "write the path of a file that this program may read\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(acr_values) {
    static const char wrong[] = "holds a character that no acr value has";
    static const char *const fine[] = {"0", "urn:example:mfa", "authenticated", "https://idp/gold"};
    static const struct refused cases[] = {
        {"", "is empty"},
        {"a b", wrong},
        {"a\\\"b", wrong},
        {"\xc3\xa4", wrong},
    };
    expect_refusals("routes: [{path: /, respond: verdict, require: {acr: [", "]}}]", "acr",
                    "an acr value such as urn:example:mfa (RFC 9470 section 3)", cases,
                    ARRAY_LEN(cases));
    expect_fine("routes: [{path: /, respond: verdict, require: {acr: [", "]}}]", fine,
                ARRAY_LEN(fine));
}
