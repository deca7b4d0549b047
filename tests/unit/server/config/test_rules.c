#include "tests/unit/server/config/texts.h"

#define S(text) SPAN_LITERAL(text)

TEST(tls_needs_both_files) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "listen: [{address: \"a:1\", tls: {certificate: /etc/passwd}}]\n"),
         "f:2:46: certificate: given without private_key; give both or neither\n"},
        {S(ISSUER
           "listen: [{address: \"a:1\", tls: {private_key: /etc/passwd, certificate: \"\"}}]\n"),
         "f:2:46: private_key: given without certificate; give both or neither\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(a_token_must_fit_into_the_header) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "limits: {header: 8KiB, token: 8KiB}\n"),
         "f:2:31: token: 8KiB is not less than header (8KiB); lower the one or raise the other\n"},
        {S(ISSUER "limits: {header: 16KiB}\n"),
         "f:2:18: token: 16KiB, the default, is not less than header (16KiB); lower the one or "
         "raise the other\n"},
        {S(ISSUER "limits: {token: 32KiB}\n"),
         "f:2:17: token: 32KiB is not less than header (32KiB by default); lower the one or raise "
         "the other\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(plain_http_is_refused) {
    static const struct bad_yaml cases[] = {
        {S("issuers: [{issuer: http://idp, audiences: [api]}]\n"),
         "f:1:20: issuer: http:// is refused, anyone on the way could forge the keys; use "
         "https://, or set insecure_http: true in the file\n"},
        {S(OPEN_ISSUER "    jwks_uri: http://idp/keys\n"),
         "f:4:15: jwks_uri: http:// is refused, anyone on the way could forge the keys; use "
         "https://, or set insecure_http: true in the file\n"},
        {S(OPEN_ISSUER "    discovery: http://127.0.0.1.example/\n"),
         "f:4:16: discovery: http:// is refused, anyone on the way could forge the keys; use "
         "https://, or set insecure_http: true in the file\n"},
        {S(OPEN_ISSUER "    insecure_http: false\n"
                       "    jwks_uri: http://idp\n"),
         "f:5:15: jwks_uri: http:// is refused, anyone on the way could forge the keys; use "
         "https://, or set insecure_http: true in the file\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(audiences_or_any_but_not_both) {
    static const struct bad_yaml cases[] = {
        {S("issuers: [{issuer: \"https://idp\"}]\n"),
         "f:1:11: audiences: required, or tokens made for other services would be accepted; write "
         "a list such as [orders-api], or allow_any_audience: true\n"},
        {S("issuers: [{issuer: \"https://idp\", allow_any_audience: false}]\n"),
         "f:1:11: audiences: required, or tokens made for other services would be accepted; write "
         "a list such as [orders-api], or allow_any_audience: true\n"},
        {S(OPEN_ISSUER "    allow_any_audience: true\n"),
         "f:4:25: allow_any_audience: true contradicts audiences; keep one of them\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(keys_come_from_one_place) {
    static const struct bad_yaml cases[] = {
        {S(OPEN_ISSUER "    jwks_uri: https://a\n"
                       "    jwks_file: /etc/passwd\n"),
         "f:4:15: jwks_uri: contradicts jwks_file: keys come from one place; keep one of them\n"},
        {S(OPEN_ISSUER "    discovery: https://a\n"
                       "    jwks_uri: https://b\n"),
         "f:4:16: discovery: contradicts jwks_uri: keys come from one place; keep one of them\n"},
        {S(OPEN_ISSUER "    discovery: https://a\n"
                       "    jwks_file: /etc/passwd\n"),
         "f:4:16: discovery: contradicts jwks_file: keys come from one place; keep one of them\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(keys_must_not_go_stale_between_refreshes) {
    static const struct bad_yaml cases[] = {
        {S(OPEN_ISSUER "    refresh_interval: 25h\n"),
         "f:4:23: refresh_interval: 25h is more than max_stale (24h by default); lower the one or "
         "raise the other\n"},
        {S(OPEN_ISSUER "    max_stale: 30m\n"),
         "f:4:16: refresh_interval: 1h, the default, is more than max_stale (30m); lower the one "
         "or raise the other\n"},
        {S(OPEN_ISSUER "    refresh_interval: 3h\n"
                       "    max_stale: 2h\n"),
         "f:4:23: refresh_interval: 3h is more than max_stale (2h); lower the one or raise the "
         "other\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(an_action_knows_its_methods) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "routes: [{path: /, respond: identity, methods: [GET, POST]}, {path: /p, "
                  "respond: profile, methods: [DELETE, HEAD]}]\n"),
         "f:2:54: methods: POST is nothing that identity answers; write GET, HEAD or both\n"
         "f:2:101: methods: DELETE is nothing that profile answers; write GET, HEAD or both\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(entries_must_differ) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "listen: [{address: \"a:1\"}, {address: \"b:1\"}, {address: \"b:1\"}, {address: "
                  "\"a:1\"}, {address: \"a:1\"}]\n"),
         "f:2:56: address: already given in line 2; keep one\n"
         "f:2:74: address: already given in line 2; keep one\n"
         "f:2:92: address: already given in line 2; keep one\n"},
        {S("issuers:\n"
           "  - {issuer: https://a, audiences: [x]}\n"
           "  - {issuer: https://a/, audiences: [x]}\n"
           "  - {issuer: https://a, audiences: [y]}\n"
           "  - {issuer: https://a/, audiences: [x]}\n"
           "  - {issuer: https://a, audiences: [y]}\n"),
         "f:4:14: issuer: already given in line 2; keep one entry for each issuer\n"
         "f:5:14: issuer: already given in line 3; keep one entry for each issuer\n"
         "f:6:14: issuer: already given in line 2; keep one entry for each issuer\n"},
        {S(ISSUER "routes:\n"
                  "  - {path: /a, respond: identity}\n"
                  "  - {path: /a, respond: profile, methods: [GET]}\n"),
         "f:4:12: path: the route in line 3 has this path and method already; keep one\n"},
        {S(ISSUER "routes:\n"
                  "  - {path: /a/*, respond: identity, methods: [GET]}\n"
                  "  - {path: /a/*, respond: profile, methods: [HEAD]}\n"
                  "  - {path: /a/*, respond: profile, methods: [HEAD, GET]}\n"),
         "f:5:12: path: the route in line 3 has this path and method already; keep one\n"},
        {S(ISSUER "routes:\n"
                  "  - {path: /c, respond: identity, methods: [GET]}\n"
                  "  - {path: /c, respond: identity, methods: [HEAD]}\n"
                  "  - {path: /c, respond: profile, methods: [HEAD]}\n"),
         "f:5:12: path: the route in line 4 has this path and method already; keep one\n"},
        {S(ISSUER "routes:\n"
                  "  - {path: /a, respond: identity, methods: [GET]}\n"
                  "  - {path: /b, respond: identity}\n"
                  "  - {path: /b, respond: identity}\n"
                  "  - {path: /a, respond: profile}\n"
                  "  - {path: /a, respond: profile, methods: []}\n"),
         "f:5:12: path: the route in line 4 has this path and method already; keep one\n"
         "f:6:12: path: the route in line 3 has this path and method already; keep one\n"
         "f:7:12: path: the route in line 3 has this path and method already; keep one\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(a_rule_is_silent_where_a_value_is_unsound) {
    static const struct bad_yaml cases[] = {
        {S("issuers:\n"
           "  - issuer: http//idp\n"
           "    audiences: api\n"
           "    refresh_interval: 99h\n"
           "    max_stale: long\n"),
         "f:2:13: issuer: \"http//idp\" must start with https:// (or http://); write the issuer's "
         "URL, such as https://idp.example.com\n"
         "f:3:16: audiences: a single value is not enough; write a list, each entry a text that is "
         "not empty\n"
         "f:5:16: max_stale: \"long\" is not a duration; write a duration with its unit (ms, s, m, "
         "h, d), from 1s to 365d\n"},
        {S(ISSUER "limits: {header: tiny, token: 1MiB}\n"),
         "f:2:18: header: \"tiny\" is not a size; write a size with its unit (B, KiB, MiB), from "
         "1KiB to 1MiB\n"},
        {S(ISSUER "limits: {header: 1KiB, token: huge}\n"),
         "f:2:31: token: \"huge\" is not a size; write a size with its unit (B, KiB, MiB), from "
         "256B to 1MiB\n"},
        {S(ISSUER "routes:\n"
                  "  - {path: /a, respond: identity, methods: GET}\n"
                  "  - {path: /a, respond: identity}\n"
                  "  - {path: /b, respond: identity}\n"
                  "  - {path: /b, respond: identity, methods: {a: b}}\n"
                  "  - {path: /c, respond: identity, methods: [get]}\n"
                  "  - {path: /c, respond: identity, methods: [get]}\n"),
         "f:3:44: methods: a single value is not enough; write a list, each entry a method such as "
         "GET\n"
         "f:6:44: methods: keys of its own are not known here; write a list, each entry a method "
         "such as GET\n"
         "f:7:45: methods: \"get\" is no method name in uppercase; write a method such as GET\n"
         "f:8:45: methods: \"get\" is no method name in uppercase; write a method such as GET\n"},
        {S("issuers: [{issuer: http://idp, audiences: [a], insecure_http: maybe}]\n"),
         "f:1:63: insecure_http: \"maybe\" is not known here; write one of: true, false\n"},
        {S("issuers: [{issuer: \"https://idp\", allow_any_audience: perhaps}]\n"),
         "f:1:55: allow_any_audience: \"perhaps\" is not known here; write one of: true, false\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}
