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

/* Line 2; what a test is about starts in line 3. */
#define ORDERS ISSUER "upstreams: [{name: orders, targets: [\"http://a\"]}]\n"

TEST(a_route_responds_or_has_an_upstream) {
    static const char neither[] =
        "f:3:10: respond: missing, and upstream too, so nothing would answer; give one of them\n";
    static const struct bad_yaml cases[] = {
        {S(ORDERS "routes: [{path: /}]\n"), neither},
        {S(ORDERS "routes: [{path: /, respond: \"\", upstream: \"\"}]\n"), neither},
        {S(ORDERS "routes: [{path: /, strip_prefix: /a, forward_token: true}]\n"), neither},
        {S(ORDERS "routes: [{path: /, upstream: orders, respond: identity}]\n"),
         "f:3:30: upstream: contradicts respond: a request is answered in one place; keep one of "
         "them\n"},
        {S(ORDERS "routes: [{path: /, upstream: orders, respond: redirect}]\n"),
         "f:3:30: upstream: contradicts respond: a request is answered in one place; keep one of "
         "them\n"
         "f:3:47: respond: \"redirect\" is not known here; write one of: identity, profile, "
         "verdict, forward_auth\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
    config_unref(parse_good(S(ORDERS "routes: [{path: /, upstream: orders, respond: \"\"},"
                                     " {path: /a, respond: identity, upstream: \"\"}]\n")));
}

TEST(what_is_about_forwarding_needs_an_upstream) {
    static const char fault[] = "given without upstream, and what respond answers is not "
                                "forwarded; give upstream, or leave it out";
    static const char *const keys[][2] = {{"strip_prefix", "/a"},
                                          {"add_prefix", "/a"},
                                          {"forward_token", "true"},
                                          {"close_at_expiry", "false"}};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char yaml[256], report[256];
        int len = snprintf(yaml, sizeof yaml,
                           ISSUER "routes: [{path: /a, respond: identity,\n  %s: %s}]\n",
                           keys[i][0], keys[i][1]);
        snprintf(report, sizeof report, "f:3:%zu: %s: %s\n", strlen(keys[i][0]) + 5, keys[i][0],
                 fault);
        expect_report((struct span){yaml, (size_t)len}, report);
        len = snprintf(yaml, sizeof yaml, ORDERS "routes: [{path: /a, upstream: orders, %s: %s}]\n",
                       keys[i][0], keys[i][1]);
        config_unref(parse_good((struct span){yaml, (size_t)len}));
    }
}

TEST(at_its_default_it_may_be_told_anywhere) {
    config_unref(parse_good(S(ISSUER "routes: [{path: /a, respond: identity, strip_prefix: \"\","
                                     " add_prefix: \"\", forward_token: false,"
                                     " close_at_expiry: true}]\n")));
}

TEST(a_prefix_to_strip_is_the_start_of_the_path_up_to_a_slash) {
    static const struct {
        const char *path, *prefix;
        bool fine;
    } cases[] = {
        {"/orders/*", "/orders", true},
        {"/orders", "/orders", true},
        {"/orders/", "/orders", true},
        {"/orders/new/*", "/orders", true},
        {"/orders/new/*", "/orders/new", true},
        {"/orders/*", "/order", false},
        {"/orders2/*", "/orders", false},
        {"/orders2", "/orders", false},
        {"/orders/*", "/orders/new", false},
        {"/orders/*", "/Orders", false},
        {"/*", "/orders", false},
        {"/", "/orders", false},
        {"/orders.new", "/orders", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char yaml[256], report[256];
        int len = snprintf(yaml, sizeof yaml,
                           ORDERS "routes: [{path: %s, upstream: orders,\n  strip_prefix: %s}]\n",
                           cases[i].path, cases[i].prefix);
        struct span text = {yaml, (size_t)len};
        snprintf(report, sizeof report,
                 "f:4:17: strip_prefix: %s is not what the path %s starts with; write its first "
                 "segments, without the slash behind them\n",
                 cases[i].prefix, cases[i].path);
        if (cases[i].fine)
            config_unref(parse_good(text));
        else
            expect_report(text, report);
    }
}

TEST(a_route_names_an_upstream_that_exists) {
    static const struct bad_yaml cases[] = {
        {S(ORDERS "routes: [{path: /, upstream: ordres}]\n"),
         "f:3:30: upstream: \"ordres\" is no upstream; did you mean \"orders\"?\n"},
        {S(ORDERS "routes: [{path: /, upstream: Orders}, {path: /b, upstream: order}]\n"),
         "f:3:30: upstream: \"Orders\" is no upstream; did you mean \"orders\"?\n"
         "f:3:60: upstream: \"order\" is no upstream; did you mean \"orders\"?\n"},
        {S(ORDERS "routes: [{path: /, upstream: payments}]\n"),
         "f:3:30: upstream: \"payments\" is no upstream; the upstreams here are: orders\n"},
        {S(ISSUER "upstreams: [{name: a, targets: [\"http://a\"]}, {name: b, targets: "
                  "[\"http://b\"]}]\n"
                  "routes: [{path: /, upstream: orders}]\n"),
         "f:3:30: upstream: \"orders\" is no upstream; the upstreams here are: a, b\n"},
        {S(ISSUER "routes: [{path: /, upstream: orders}]\n"),
         "f:2:30: upstream: \"orders\" is no upstream; write an entry for it under upstreams\n"},
        {S(ISSUER "routes: [{path: /, upstream: orders}]\n"
                  "upstreams: []\n"),
         "f:2:30: upstream: \"orders\" is no upstream; write an entry for it under upstreams\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(of_many_upstreams_the_first_are_named) {
    char yaml[4096] = ISSUER "upstreams:\n", report[4096] = "";
    size_t len = strlen(yaml);
    size_t said = (size_t)sprintf(report, "f:27:30: upstream: \"orders\" is no upstream; the "
                                          "upstreams here are: ");
    for (int i = 0; i < 24; i++) {
        len += (size_t)sprintf(yaml + len, "  - {name: u%02d, targets: [http://a]}\n", i);
        if (i < 20) said += (size_t)sprintf(report + said, "u%02d, ", i);
    }
    len += (size_t)sprintf(yaml + len, "routes: [{path: /, upstream: orders}]\n");
    strcat(report, "...\n");
    expect_report((struct span){yaml, len}, report);

    sprintf(yaml + len - strlen("orders}]\n"), "u_23}]\n");
    expect_report(span_of(yaml),
                  "f:27:30: upstream: \"u_23\" is no upstream; did you mean \"u23\"?\n");
}

TEST(an_upstream_that_no_route_uses_is_fine) {
    config_unref(parse_good(S(ORDERS)));
    config_unref(parse_good(S(ISSUER "routes: [{path: /, upstream: orders}]\n"
                                     "upstreams: [{name: orders, targets: [\"http://a\"]}]\n")));
}

TEST(upstreams_have_names_of_their_own) {
    expect_report(S(ISSUER "upstreams:\n"
                           "  - {name: a, targets: [\"http://a\"]}\n"
                           "  - {name: A, targets: [\"http://a\"]}\n"
                           "  - {name: a, targets: [\"http://b\"]}\n"),
                  "f:5:12: name: already given in line 3; keep one upstream of that name\n");
}

#define FILES "certificate: /etc/passwd, private_key: /etc/passwd"

TEST(tls_to_an_upstream_needs_an_https_target_and_both_files) {
    static const char plain[] = "no target is https, so nothing would be encrypted; write https:// "
                                "targets or leave tls out";
    static const struct {
        const char *targets, *tls, *report;
    } cases[] = {
        {"\"https://a\"", FILES, NULL},
        {"\"http://a\", \"https://b\"", "ca_file: /etc/passwd", NULL},
        {"\"http://a\"", "", NULL},
        {"\"http://a\"", "ca_file: \"\", server_name: \"\"", NULL},
        {"\"http://a\"", "ca_file: /etc/passwd", plain},
        {"\"unix:/a\", \"http://b\"", "server_name: b", plain},
        {"\"http://a\"", FILES, plain},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char yaml[512], report[512];
        int len = snprintf(yaml, sizeof yaml,
                           ISSUER "upstreams:\n  - name: a\n    targets: [%s]\n    tls: {%s}\n",
                           cases[i].targets, cases[i].tls);
        struct span text = {yaml, (size_t)len};
        snprintf(report, sizeof report, "f:5:10: tls: %s\n", cases[i].report);
        if (cases[i].report)
            expect_report(text, report);
        else
            config_unref(parse_good(text));
    }
    expect_report(S(ISSUER "upstreams: [{name: a, targets: [\"https://a\"], tls: {certificate: "
                           "/etc/passwd}}]\n"),
                  "f:2:66: certificate: given without private_key; give both or neither\n");
    expect_report(S(ISSUER "upstreams: [{name: a, targets: [\"https://a\"], tls: {private_key: "
                           "/etc/passwd}}]\n"),
                  "f:2:66: private_key: given without certificate; give both or neither\n");
}

TEST(an_upstream_takes_every_method_beside_what_responds) {
    static const char twice[] =
        "f:5:12: path: the route in line 4 has this path and method already; keep one\n";
    static const struct {
        const char *first, *second;
        bool fine;
    } cases[] = {
        {"respond: identity", "upstream: orders", false},
        {"upstream: orders", "respond: identity", false},
        {"upstream: orders", "upstream: orders", false},
        {"upstream: orders", "upstream: orders, methods: [POST]", false},
        {"upstream: orders, methods: [POST]", "upstream: orders", false},
        {"upstream: orders, methods: []", "respond: identity, methods: [HEAD]", false},
        {"respond: identity", "upstream: orders, methods: [POST, GET]", false},
        {"upstream: orders, methods: [PUT, POST]", "upstream: orders, methods: [POST]", false},
        {"respond: identity", "upstream: orders, methods: [POST, PUT]", true},
        {"upstream: orders, methods: [POST]", "respond: identity", true},
        {"upstream: orders, methods: [POST]", "upstream: orders, methods: [PUT, GET]", true},
        {"upstream: orders, methods: [POST]", "respond: identity, methods: [GET]", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char yaml[512];
        int len =
            snprintf(yaml, sizeof yaml, ORDERS "routes:\n  - {path: /, %s}\n  - {path: /, %s}\n",
                     cases[i].first, cases[i].second);
        struct span text = {yaml, (size_t)len};
        if (cases[i].fine)
            config_unref(parse_good(text));
        else
            expect_report(text, twice);
    }
}

TEST(verdicts_are_given_on_any_method) {
    config_unref(parse_good(
        S(ISSUER "routes: [{path: /, respond: verdict, methods: [DELETE, PROPFIND]}]\n")));
    static const char twice[] =
        "f:4:12: path: the route in line 3 has this path and method already; keep one\n";
    static const struct bad_yaml cases[] = {
        {S(ISSUER "routes:\n"
                  "  - {path: /, respond: verdict}\n"
                  "  - {path: /, respond: verdict, methods: [DELETE]}\n"),
         twice},
        {S(ISSUER "routes:\n"
                  "  - {path: /, respond: verdict, methods: [DELETE, GET]}\n"
                  "  - {path: /, respond: identity}\n"),
         twice},
    };
    expect_reports(cases, ARRAY_LEN(cases));
    config_unref(
        parse_good(S(ISSUER "routes: [{path: /, respond: verdict, methods: [POST, DELETE]}, {path: "
                            "/, respond: identity}]\n")));
}

#define TRUSTING ISSUER "trusted_proxies: [127.0.0.1]\n"

TEST(forward_auth_is_answered_on_any_method) {
    config_unref(parse_good(
        S(TRUSTING "routes: [{path: /_auth, respond: forward_auth, methods: [GET, POST]},"
                   " {path: /_auth/*, respond: forward_auth, anonymous: allow}]\n")));
    expect_report(S(TRUSTING "routes:\n"
                             "  - {path: /_auth, respond: forward_auth}\n"
                             "  - {path: /_auth, respond: verdict, methods: [PUT]}\n"),
                  "f:5:12: path: the route in line 4 has this path and method already; keep one\n");
}

TEST(who_may_ask_about_requests_must_be_said) {
    static const char nobody[] = "forward_auth answers only the addresses in trusted_proxies, and "
                                 "there are none; write trusted_proxies: [127.0.0.1] or where the "
                                 "proxy is\n";
    static const struct {
        const char *trusted;
        const char *at; /* NULL: fine */
    } cases[] = {
        {"", "f:2:34: respond: "},
        {"trusted_proxies: []\n", "f:3:34: respond: "},
        {"trusted_proxies: [127.0.0.1]\n", NULL},
        {"trusted_proxies: [10.0.0.0/8, \"::1\"]\n", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char yaml[512], report[512];
        int len = snprintf(yaml, sizeof yaml,
                           ISSUER "%sroutes: [{path: /_auth, respond: forward_auth}]\n",
                           cases[i].trusted);
        struct span text = {yaml, (size_t)len};
        snprintf(report, sizeof report, "%s%s", cases[i].at ? cases[i].at : "", nobody);
        if (cases[i].at)
            expect_report(text, report);
        else
            config_unref(parse_good(text));
    }
    /* Nobody asks where a route gives its own verdict. */
    config_unref(parse_good(S(ISSUER "routes: [{path: /_auth, respond: verdict}]\n")));
    /* What is wrong with the list is told where it stands, and that alone. */
    expect_report(S(ISSUER "trusted_proxies: [0.0.0.0/0]\n"
                           "routes: [{path: /_auth, respond: forward_auth}]\n"),
                  "f:2:19: trusted_proxies: \"0.0.0.0/0\" would let every client say where it came "
                  "from; write an IP address or a block such as 10.0.0.0/8\n");
}

TEST(the_route_of_the_original_says_what_it_requires) {
    static const char fault[] =
        "require: has no meaning with forward_auth: the route of the request that is asked about "
        "says what it needs; leave it out\n";
    static const char *const requirements[] = {"{scopes: [a]}", "{scopes: []}"};
    for (size_t i = 0; i < ARRAY_LEN(requirements); i++) {
        char yaml[512], report[512];
        int len =
            snprintf(yaml, sizeof yaml,
                     TRUSTING "routes: [{path: /_auth, respond: forward_auth, require: %s}]\n",
                     requirements[i]);
        snprintf(report, sizeof report, "f:3:57: %s", fault);
        expect_report((struct span){yaml, (size_t)len}, report);
    }
    config_unref(parse_good(
        S(TRUSTING "routes: [{path: /_auth, respond: verdict, require: {scopes: [a]}}]\n")));
}

TEST(an_upstream_may_have_any_method) {
    config_unref(parse_good(
        S(ORDERS "routes: [{path: /, upstream: orders, methods: [DELETE, PROPFIND, X-1]}]\n")));
}

TEST(identity_headers_are_fields_of_their_own) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "identity_headers:\n"
                  "  - {header: X-Auth-User, value: user}\n"
                  "  - {header: X-Auth-Users, value: user}\n"
                  "  - {header: x_auth.USER, value: subject}\n"
                  "  - {header: XAuthUser, value: user}\n"),
         "f:5:14: header: the same field as in line 3, as only letters and digits tell them apart; "
         "keep one\n"
         "f:6:14: header: the same field as in line 3, as only letters and digits tell them apart; "
         "keep one\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(the_assertion_is_in_a_field_of_its_own) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "identity_headers: [{header: X, value: user}, {header: Y-Z, value: user}]\n"
                  "assertion: {header: y_z}\n"),
         "f:3:21: header: y_z would carry both an identity and the assertion; write another "
         "name\n"},
        {S(ISSUER "assertion: {header: X-Auth-Roles}\n"),
         "f:2:21: header: X-Auth-Roles would carry both an identity and the assertion; write "
         "another name\n"},
        {S(ISSUER "identity_headers: [{header: X_AUTH_ASSERTION, value: user}]\n"),
         "f:2:29: header: X_AUTH_ASSERTION would carry both an identity and the assertion; write "
         "another name\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
    config_unref(parse_good(S(ISSUER "identity_headers: []\nassertion: {header: X-Auth-Roles}\n")));
    config_unref(parse_good(S(ISSUER "identity_headers: [{header: X-Auth-Assertion, value: user}]\n"
                                     "assertion: {header: X-Signed}\n")));
}

TEST(the_admin_listener_has_an_address_of_its_own) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "admin: {address: \"127.0.0.1:8080\"}\n"),
         "f:2:18: address: 127.0.0.1:8080 is an address of listen too, by default; write another "
         "one for admin\n"},
        {S(ISSUER "admin: {address: systemd:web}\n"
                  "listen: [{address: \"a:1\"}, {address: systemd:web}]\n"),
         "f:2:18: address: systemd:web is an address of listen too; write another one for admin\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
    config_unref(parse_good(S(ISSUER "listen: [{address: \"127.0.0.1:0\"}]\n"
                                     "admin: {address: \"127.0.0.1:0\"}\n")));
    config_unref(parse_good(S(ISSUER "listen: [{address: \"127.0.0.1:8081\"}]\n"
                                     "admin: {address: \"127.0.0.1:8080\"}\n")));
}

TEST(a_rule_about_upstreams_is_silent_where_a_value_is_unsound) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "upstreams: orders\n"
                  "routes: [{path: /, upstream: orders}]\n"),
         "f:2:12: upstreams: a single value is not enough; write a list of entries such as {name: "
         "orders, targets: [http://127.0.0.1:9001]}\n"},
        {S(ISSUER "upstreams: [{name: \"a b\", targets: [\"http://a\"]}]\n"
                  "routes: [{path: /, upstream: a_b}]\n"),
         "f:2:20: name: \"a b\" holds another character; write a name of letters, digits and any "
         "of -_.\n"},
        {S(ISSUER "upstreams: [{targets: [\"http://a\"]}]\n"
                  "routes: [{path: /, upstream: a}]\n"),
         "f:2:13: name: required, but missing; write a name of letters, digits and any of -_.\n"},
        {S(ORDERS "routes: [{path: /, upstream: [a]}, {path: /b, upstream: \"a b\"}]\n"),
         "f:3:30: upstream: a list is too much; write a name of letters, digits and any of -_.\n"
         "f:3:57: upstream: \"a b\" holds another character; write a name of letters, digits and "
         "any of -_.\n"},
        {S(ORDERS "routes: [{path: a/*, upstream: orders, strip_prefix: /b}, {path: /c/*, "
                  "upstream: orders, strip_prefix: d}]\n"),
         "f:3:17: path: \"a/*\" does not start with '/'; write a normal path such as /orders, "
         "/orders/* for all below it, or /orders/{id}\n"
         "f:3:104: strip_prefix: \"d\" does not start with '/'; write a normal path without a "
         "slash at its end, such as /orders\n"},
        {S(ISSUER "upstreams: [{name: a, targets: [a, \"http://a\"], tls: {server_name: a}}]\n"),
         "f:2:33: targets: \"a\" starts with none of http://, https:// and unix:; write "
         "http://HOST:PORT, https://HOST:PORT or unix:/PATH, with \" weight=N\" behind it or "
         "not\n"},
        {S(ISSUER "identity_headers: [{header: X/, value: user}, {header: X/, value: user}]\n"
                  "assertion: {header: X/}\n"),
         "f:2:29: header: \"X/\" is no field name; write a field name such as X-Auth-User\n"
         "f:2:56: header: \"X/\" is no field name; write a field name such as X-Auth-User\n"
         "f:3:21: header: \"X/\" is no field name; write a field name such as X-Auth-User\n"},
        {S(ISSUER "listen: [{address: \":1\"}]\n"
                  "admin: {address: \":1\"}\n"),
         "f:2:20: address: \":1\" has no host; all addresses are 0.0.0.0 or [::]; write HOST:PORT, "
         "[IPV6]:PORT, unix:/PATH or systemd:NAME\n"
         "f:3:18: address: \":1\" has no host; all addresses are 0.0.0.0 or [::]; write a loopback "
         "address such as 127.0.0.1:8081, unix:/PATH or systemd:NAME\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}
