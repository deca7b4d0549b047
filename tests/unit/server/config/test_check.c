#include "tests/support/scratch.h"
#include "tests/unit/server/config/texts.h"

#define S(text) SPAN_LITERAL(text)

TEST(unknown_keys_come_with_the_nearest_or_all_known_ones) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "worker: 4\n"), "f:2:1: unknown key \"worker\"; did you mean \"workers\"?\n"},
        {S(ISSUER "metrics: {address: \"127.0.0.1:1\"}\n"),
         "f:2:1: unknown key \"metrics\"; the keys here are: " ROOT_KEYS "\n"},
        {S(ISSUER "REALM: x\n"), "f:2:1: unknown key \"REALM\"; did you mean \"realm\"?\n"},
        {S(ISSUER "\"a\\nb\": 1\n"),
         "f:2:1: unknown key \"a\\nb\"; the keys here are: " ROOT_KEYS "\n"},
        {S(ISSUER "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: 1\n"),
         "f:2:1: unknown key "
         "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"...; the keys here "
         "are: " ROOT_KEYS "\n"},
        {S(OPEN_ISSUER "    audience: x\n"),
         "f:4:5: unknown key \"audience\"; did you mean \"audiences\"?\n"},
        {S(OPEN_ISSUER "    jwks_url: https://x\n"),
         "f:4:5: unknown key \"jwks_url\"; did you mean \"jwks_uri\"?\n"},
        {S(ISSUER "limits: {head: 1KiB}\n"),
         "f:2:10: unknown key \"head\"; did you mean \"header\"?\n"},
        {S(ISSUER "log: {colour: red}\n"),
         "f:2:7: unknown key \"colour\"; the keys here are: format, level, access\n"},
        {S(ISSUER "routes: [{path: /, respond: identity, require: {groups: [x]}}]\n"),
         "f:2:49: unknown key \"groups\"; the keys here are: scopes, any_scopes, roles, any_roles, "
         "claims, issuers, audiences, max_token_age, acr, max_auth_age, all_of, any_of, not\n"},
        {S(ISSUER
           "routes: [{path: /, respond: identity, require: {not: {any_of: [{role: [x]}]}}}]\n"),
         "f:2:65: unknown key \"role\"; did you mean \"roles\"?\n"},
        {S(ISSUER "listen: [{address: \"a:1\", tls: {cert: x}}]\n"),
         "f:2:33: unknown key \"cert\"; the keys here are: certificate, private_key\n"},
        {S(ISSUER "<<: {realm: x}\n"),
         "f:2:1: unknown key \"<<\"; the keys here are: " ROOT_KEYS "\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(duplicate_keys_name_the_first_line) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "realm: a\n"
                  "realm: b\n"),
         "f:3:1: realm: given twice, first in line 2; keep one\n"},
        {S(ISSUER "realm: a\n"
                  "\"realm\": \"\"\n"),
         "f:3:1: realm: given twice, first in line 2; keep one\n"
         "f:3:10: realm: \"\" is empty; write a text that is not empty\n"},
        {S(ISSUER "realm: a\n"
                  "realm: a\n"
                  "realm: a\n"),
         "f:3:1: realm: given twice, first in line 2; keep one\n"
         "f:4:1: realm: given twice, first in line 2; keep one\n"},
        {S(OPEN_ISSUER "    leeway: 1s\n"
                       "    leeway: 2m\n"),
         "f:5:5: leeway: given twice, first in line 4; keep one\n"},
        {S(ISSUER "log: {level: info, level: loud}\n"),
         "f:2:20: level: given twice, first in line 2; keep one\n"
         "f:2:27: level: \"loud\" is not known here; write one of: error, warning, notice, info, "
         "debug\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(values_of_another_kind_are_refused) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "listen: \"127.0.0.1:80\"\n"),
         "f:2:9: listen: a single value is not enough; write a list of entries such as {address: "
         "127.0.0.1:8080}\n"},
        {S(ISSUER "listen: {address: \"127.0.0.1:80\"}\n"),
         "f:2:9: listen: keys of its own are not known here; write a list of entries such as "
         "{address: 127.0.0.1:8080}\n"},
        {S(ISSUER "listen: [\":80\", [x]]\n"),
         "f:2:10: listen: a single value is not enough; write an entry such as {address: "
         "127.0.0.1:8080}\n"
         "f:2:17: listen: a list is too much; write an entry such as {address: 127.0.0.1:8080}\n"},
        {S(ISSUER "realm: [a]\n"),
         "f:2:8: realm: a list is too much; write a text that is not empty\n"},
        {S(ISSUER "realm: {a: b}\n"),
         "f:2:8: realm: keys of its own are not known here; write a text that is not empty\n"},
        {S(ISSUER "limits: 32KiB\n"),
         "f:2:9: limits: a single value is not enough; write a section with some of these keys: "
         "header, token, header_timeout, idle_timeout, connections, connections_per_address, "
         "drain_timeout\n"},
        {S(ISSUER "limits: [32KiB]\n"),
         "f:2:9: limits: a list is too much; write a section with some of these keys: header, "
         "token, header_timeout, idle_timeout, connections, connections_per_address, "
         "drain_timeout\n"},
        {S(OPEN_ISSUER "    algorithms: RS256\n"),
         "f:4:17: algorithms: a single value is not enough; write a list, each entry one of: "
         "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA\n"},
        {S(OPEN_ISSUER "    algorithms: {RS256: true}\n"),
         "f:4:17: algorithms: keys of its own are not known here; write a list, each entry one of: "
         "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA\n"},
        {S(OPEN_ISSUER "    scopes: [[a], {b: c}]\n"),
         "f:4:14: scopes: a list is too much; write a scope such as orders:read (RFC 6749 section "
         "3.3)\n"
         "f:4:19: scopes: keys of its own are not known here; write a scope such as orders:read "
         "(RFC 6749 section 3.3)\n"},
        {S("issuers: https://idp\n"),
         "f:1:10: issuers: a single value is not enough; write a list of entries such as {issuer: "
         "https://idp.example.com/realms/main, audiences: [orders-api]}\n"},
        {S("issuers: {issuer: https://idp}\n"),
         "f:1:10: issuers: keys of its own are not known here; write a list of entries such as "
         "{issuer: https://idp.example.com/realms/main, audiences: [orders-api]}\n"},
        {S("issuers: [https://idp]\n"),
         "f:1:11: issuers: a single value is not enough; write an entry such as {issuer: "
         "https://idp.example.com/realms/main, audiences: [orders-api]}\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(values_left_out_are_refused) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "realm:\n"
                  "workers: ~\n"
                  "state_directory: null\n"),
         "f:2:7: realm: has no value; write a text that is not empty\n"
         "f:3:10: workers: has no value; write a whole number, from 0 to 1024\n"
         "f:4:18: state_directory: has no value; write an absolute path such as "
         "/var/lib/bearerd\n"},
        {S(ISSUER "listen:\n"), "f:2:8: listen: has no value; write a list of entries such as "
                                "{address: 127.0.0.1:8080}\n"},
        {S(OPEN_ISSUER "    scopes: [a, ~, ]\n"), "f:4:17: scopes: has no value; write a scope "
                                                  "such as orders:read (RFC 6749 section 3.3)\n"},
        {S("issuers:\n"), "f:1:9: issuers: has no value; write a list of entries such as {issuer: "
                          "https://idp.example.com/realms/main, audiences: [orders-api]}\n"},
        {S("issuers: [~]\n"), "f:1:11: issuers: has no value; write an entry such as {issuer: "
                              "https://idp.example.com/realms/main, audiences: [orders-api]}\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(lists_that_must_not_be_empty) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "listen: []\n"), "f:2:9: listen: an empty list is not enough; write a list of "
                                   "entries such as {address: 127.0.0.1:8080}\n"},
        {S(ISSUER "routes: []\n"),
         "f:2:9: routes: an empty list is not enough; write a list of entries such as {path: /, "
         "respond: identity, anonymous: allow}\n"},
        {S("issuers: []\n"),
         "f:1:10: issuers: an empty list is not enough; write a list of entries such as {issuer: "
         "https://idp.example.com/realms/main, audiences: [orders-api]}\n"},
        {S("issuers: [{issuer: \"https://idp\", audiences: []}]\n"),
         "f:1:46: audiences: an empty list is not enough; write a list, each entry a text that is "
         "not empty\n"},
        {S(OPEN_ISSUER "    algorithms: []\n"
                       "    user_claims: []\n"),
         "f:4:17: algorithms: an empty list is not enough; write a list, each entry one of: RS256, "
         "RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA\n"
         "f:5:18: user_claims: an empty list is not enough; write a list, each entry a text that "
         "is not empty\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(what_is_required_is_missed) {
    static const struct bad_yaml cases[] = {
        {S(""), "f:1:1: issuers: required, but missing; write a list of entries such as {issuer: "
                "https://idp.example.com/realms/main, audiences: [orders-api]}\n"},
        {S("# nothing but a comment\n"),
         "f:1:1: issuers: required, but missing; write a list of entries such as {issuer: "
         "https://idp.example.com/realms/main, audiences: [orders-api]}\n"},
        {S("---\n"), "f:1:1: issuers: required, but missing; write a list of entries such as "
                     "{issuer: https://idp.example.com/realms/main, audiences: [orders-api]}\n"},
        {S("~\n"), "f:1:1: issuers: required, but missing; write a list of entries such as "
                   "{issuer: https://idp.example.com/realms/main, audiences: [orders-api]}\n"},
        {S("{}\n"), "f:1:1: issuers: required, but missing; write a list of entries such as "
                    "{issuer: https://idp.example.com/realms/main, audiences: [orders-api]}\n"},
        {S("# a comment\n"
           "\n"
           "realm: x\n"),
         "f:1:1: issuers: required, but missing; write a list of entries such as {issuer: "
         "https://idp.example.com/realms/main, audiences: [orders-api]}\n"},
        {S("issuers: [{}]\n"),
         "f:1:11: audiences: required, or tokens made for other services would be accepted; write "
         "a list such as [orders-api], or allow_any_audience: true\n"
         "f:1:11: issuer: required, but missing; write the issuer's URL, such as "
         "https://idp.example.com\n"},
        {S("issuers: [{audiences: [api]}]\n"), "f:1:11: issuer: required, but missing; write the "
                                               "issuer's URL, such as https://idp.example.com\n"},
        {S(ISSUER "listen: [{}]\n"
                  "routes: [{}]\n"),
         "f:2:10: address: required, but missing; write HOST:PORT, [IPV6]:PORT, unix:/PATH or "
         "systemd:NAME\n"
         "f:3:10: path: required, but missing; write a normal path such as /orders, /orders/* for "
         "all below it, or /orders/{id}\n"
         "f:3:10: respond: missing, and upstream too, so nothing would answer; give one of them\n"},
        {S(ISSUER "listen: [{tls: }]\n"), "f:2:10: address: required, but missing; write "
                                          "HOST:PORT, [IPV6]:PORT, unix:/PATH or systemd:NAME\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(a_document_that_is_no_map_is_refused) {
    static const struct bad_yaml cases[] = {
        {S("foo\n"),
         "f:1:1: not a configuration; write keys with their values, such as \"issuers:\"\n"},
        {S("- a\n"
           "- b\n"),
         "f:1:1: not a configuration; write keys with their values, such as \"issuers:\"\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(keys_must_be_texts) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "? [a]\n"
                  ": b\n"
                  "? {c: d}\n"
                  ": e\n"),
         "f:2:3: a key must be a text; write \"key: value\"\n"
         "f:4:3: a key must be a text; write \"key: value\"\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(a_near_miss_is_one_letter_in_three_at_most) {
    static const char *const cases[][2] = {
        {"lg", "log"},
        {"loog", "log"},
        {"lob", "log"},
        {"bog", "log"},
        {"gol", NULL},
        {"l", NULL},
        {"worker", "workers"},
        {"wokrers", "workers"},
        {"w0rk3rs", "workers"},
        {"wrkr", NULL},
        {"Listen", "listen"},
        {"lisetn", "listen"},
        {"issuer", "issuers"},
        {"root", NULL},
        {"route", "routes"},
        {"rutes", "routes"},
        {"rotes", "roles"}, /* as near as routes, and before it */
        {"fetches", "fetch"},
        {"fetched_it", NULL},
        {"rea", "realm"},
        {"re", NULL},
        {"realm_", "realm"},
        {"state_dir", NULL},
        {"statedirectory", "state_directory"},
        {"state-directories", "state_directory"},
        {"state_directory_that_is_far_too_long_to_mean_it", NULL},
        {"exactly_forty_letters_are_no_near_miss_x", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char yaml[256], report[512];
        int len = snprintf(yaml, sizeof yaml, ISSUER "%s: 1\n", cases[i][0]);
        if (cases[i][1])
            snprintf(report, sizeof report, "f:2:1: unknown key \"%s\"; did you mean \"%s\"?\n",
                     cases[i][0], cases[i][1]);
        else
            snprintf(report, sizeof report,
                     "f:2:1: unknown key \"%s\"; the keys here are: " ROOT_KEYS "\n", cases[i][0]);
        expect_report((struct span){yaml, (size_t)len}, report);
    }
}

#define REQUIREMENT_KEYS                                                                           \
    "some of these keys: scopes, any_scopes, roles, any_roles, claims, issuers, audiences, "       \
    "max_token_age, "                                                                              \
    "acr, max_auth_age, all_of, any_of, not\n"

/* Whatever looks like a rule and is none would let through whom it should keep out. */
TEST(requirements_of_another_kind_are_refused) {
    static const char claims[] = "write a list of entries such as {name: department, equals: "
                                 "sales}\n";
    static const char claim[] = "write an entry such as {name: department, equals: sales}\n";
    static const char section[] = "write a section with " REQUIREMENT_KEYS;
    static const char list[] = "write a list of entries with " REQUIREMENT_KEYS;
    static const char entry[] = "write an entry with " REQUIREMENT_KEYS;
    static const char scopes[] =
        "write a list, each entry a scope such as orders:read (RFC 6749 section 3.3)\n";
    static const char names[] = "write a list, each entry a text that is not empty\n";
    static const char issuers[] =
        "write a list, each entry the issuer's URL, such as https://idp.example.com\n";
    static const char acrs[] =
        "write a list, each entry an acr value such as urn:example:mfa (RFC 9470 section 3)\n";
    static const char age[] = "write a duration with its unit (ms, s, m, h, d), from 0 to 3650d\n";
    static const struct {
        const char *require, *problem, *write;
    } rows[] = {
        {"[]", "f:3:2: require: a list is too much; ", section},
        {"[{scopes: [a]}]", "f:3:2: require: a list is too much; ", section},
        {"admin", "f:3:2: require: a single value is not enough; ", section},
        {"false", "f:3:2: require: a single value is not enough; ", section},
        {"{not: []}", "f:3:8: not: a list is too much; ", section},
        {"{not: [{scopes: [a]}]}", "f:3:8: not: a list is too much; ", section},
        {"{not: scopes}", "f:3:8: not: a single value is not enough; ", section},
        {"{not: \"\"}", "f:3:8: not: a single value is not enough; ", section},
        {"{claims: {department: sales}}", "f:3:11: claims: keys of its own are not known here; ",
         claims},
        {"{claims: []}", "f:3:11: claims: an empty list is not enough; ", claims},
        {"{claims: }", "f:3:11: claims: has no value; ", claims},
        {"{claims: [~]}", "f:3:12: claims: has no value; ", claim},
        {"{claims: [department]}", "f:3:12: claims: a single value is not enough; ", claim},
        {"{all_of: {scopes: [a]}}", "f:3:11: all_of: keys of its own are not known here; ", list},
        {"{all_of: []}", "f:3:11: all_of: an empty list is not enough; ", list},
        {"{all_of: }", "f:3:11: all_of: has no value; ", list},
        {"{any_of: []}", "f:3:11: any_of: an empty list is not enough; ", list},
        {"{any_of: ~}", "f:3:11: any_of: has no value; ", list},
        {"{any_of: [~]}", "f:3:12: any_of: has no value; ", entry},
        {"{any_of: [[{scopes: [a]}]]}", "f:3:12: any_of: a list is too much; ", entry},
        {"{any_of: [a]}", "f:3:12: any_of: a single value is not enough; ", entry},
        {"{scopes: }", "f:3:11: scopes: has no value; ", scopes},
        {"{scopes: a}", "f:3:11: scopes: a single value is not enough; ", scopes},
        {"{any_scopes: []}", "f:3:15: any_scopes: an empty list is not enough; ", scopes},
        {"{any_scopes: ~}", "f:3:15: any_scopes: has no value; ", scopes},
        {"{any_scopes: a}", "f:3:15: any_scopes: a single value is not enough; ", scopes},
        {"{roles: []}", "f:3:10: roles: an empty list is not enough; ", names},
        {"{roles: }", "f:3:10: roles: has no value; ", names},
        {"{any_roles: []}", "f:3:14: any_roles: an empty list is not enough; ", names},
        {"{any_roles: [\"\"]}", "f:3:15: any_roles: \"\" is empty; ",
         "write a text that is not empty\n"},
        {"{issuers: []}", "f:3:12: issuers: an empty list is not enough; ", issuers},
        {"{issuers: }", "f:3:12: issuers: has no value; ", issuers},
        {"{acr: []}", "f:3:8: acr: an empty list is not enough; ", acrs},
        {"{acr: mfa}", "f:3:8: acr: a single value is not enough; ", acrs},
        {"{max_token_age: }", "f:3:18: max_token_age: has no value; ", age},
        {"{max_token_age: \"\"}", "f:3:18: max_token_age: \"\" is not a duration; ", age},
        {"{max_token_age: 60}", "f:3:18: max_token_age: \"60\" is not a duration; ", age},
        {"{max_token_age: -1s}", "f:3:18: max_token_age: \"-1s\" is not a duration; ", age},
        {"{max_auth_age: 3651d}", "f:3:17: max_auth_age: \"3651d\" is out of range; ", age},
        {"{scopes: [a], scopes: [b]}", "f:3:16: scopes: given twice, first in line 3; ",
         "keep one\n"},
        {"{not: {scopes: [a]}, not: {scopes: [b]}}", "f:3:23: not: given twice, first in line 3; ",
         "keep one\n"},
        {"{any_of: [{roles: [a], roles: [b]}]}", "f:3:25: roles: given twice, first in line 3; ",
         "keep one\n"},
        {"{claims: [{name: a, equals: b, equals: c}]}",
         "f:3:33: equals: given twice, first in line 3; ", "keep one\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *yaml = scratch_text(ISSUER "routes: [{path: /, respond: verdict, require:\n %s}]\n",
                                  rows[i].require);
        char *report = scratch_text("%s%s", rows[i].problem, rows[i].write);
        expect_report(span_of(yaml), report);
        free(yaml);
        free(report);
    }
}

/* The same for what else a route may be given. */
TEST(options_of_routes_of_another_kind_are_refused) {
    static const char hosts[] =
        "write a list, each entry a host without port such as api.example.com, or *.example.com\n";
    static const char host[] =
        "write a host without port such as api.example.com, or *.example.com\n";
    static const char modes[] = "write one of: enforce, report\n";
    static const char origin[] = "write an origin such as https://app.example.com\n";
    static const char age[] = "write a duration with its unit (ms, s, m, h, d), from 0 to 1d\n";
    static const struct {
        const char *option, *problem, *write;
    } rows[] = {
        {"hosts: []", "f:3:9: hosts: an empty list is not enough; ", hosts},
        {"hosts: ", "f:3:9: hosts: has no value; ", hosts},
        {"hosts: api", "f:3:9: hosts: a single value is not enough; ", hosts},
        {"hosts: [~]", "f:3:10: hosts: has no value; ", host},
        {"hosts: [\"\"]", "f:3:10: hosts: \"\" is no host name; ", host},
        {"hosts: [\"*\"]",
         "f:3:10: hosts: \"*\" holds '*', which stands only at the start, as in *.NAME; ", host},
        {"mode: ", "f:3:8: mode: has no value; ", modes},
        {"mode: \"\"", "f:3:8: mode: \"\" is not known here; ", modes},
        {"mode: off", "f:3:8: mode: \"off\" is not known here; ", modes},
        {"mode: Report", "f:3:8: mode: \"Report\" is not known here; ", modes},
        {"anonymous: true", "f:3:13: anonymous: \"true\" is not known here; ",
         "write one of: deny, allow\n"},
        {"cors: [a]", "f:3:8: cors: a list is too much; ",
         "write a section with some of these keys: preflight, origins, headers, max_age\n"},
        {"cors: {origins: []}", "f:3:18: origins: an empty list is not enough; ",
         "write a list, each entry an origin such as https://app.example.com\n"},
        {"cors: {origins: [\"*\"]}",
         "f:3:19: origins: \"*\" must start with https:// (or http://); ", origin},
        {"cors: {origins: [\"null\"]}",
         "f:3:19: origins: \"null\" must start with https:// (or http://); ", origin},
        {"cors: {origins: [\"https://a/\"]}",
         "f:3:19: origins: \"https://a/\" has text behind host and port; ", origin},
        {"cors: {origins: [\"https://A\"]}",
         "f:3:19: origins: \"https://A\" holds capital letters, and no browser sends any; ",
         origin},
        {"cors: {headers: []}", "f:3:18: headers: an empty list is not enough; ",
         "write a list, each entry a field name such as Content-Type\n"},
        {"cors: {headers: [\"*/\"]}", "f:3:19: headers: \"*/\" is no field name; ",
         "write a field name such as Content-Type\n"},
        {"cors: {max_age: 2d}", "f:3:18: max_age: \"2d\" is out of range; ", age},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *yaml =
            scratch_text(ISSUER "routes: [{path: /, respond: verdict,\n %s}]\n", rows[i].option);
        char *report = scratch_text("%s%s", rows[i].problem, rows[i].write);
        expect_report(span_of(yaml), report);
        free(yaml);
        free(report);
    }
}

TEST(resources_are_urls) {
    static const char write[] =
        "write the URL that clients use, such as https://api.example.com/orders\n";
    static const struct {
        const char *resource, *why; /* NULL: fine */
    } rows[] = {
        {"https://api.example.com", NULL},
        {"https://api.example.com/", NULL},
        {"https://api.example.com/orders", NULL},
        {"https://api.example.com/orders/", NULL},
        {"https://[::1]:8443/orders", NULL},
        {"", "must start with https:// (or http://)"},
        {"urn:orders", "must start with https:// (or http://)"},
        {"/orders", "must start with https:// (or http://)"},
        {"https://a/b?c", "must not have a query ('?')"},
        {"https://a?c", "must not have a query ('?')"},
        {"https://a/b/*", "holds '*'; it is one URL, not a pattern"},
        {"https://a/{b}", "holds '{'; it is one URL, not a pattern"},
        {"https://a//b", "holds '//'"},
        {"https://a/../b", "holds a '..' segment"},
        {"https://a/%62", "holds '%', which no normal path does"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *yaml = scratch_text(ISSUER "resources: [{resource: \"%s\"}]\n", rows[i].resource);
        char *report = scratch_text("f:2:24: resource: \"%s\" %s; %s", rows[i].resource,
                                    rows[i].why ? rows[i].why : "", write);
        if (rows[i].why)
            expect_report(span_of(yaml), report);
        else
            config_unref(parse_good(span_of(yaml)));
        free(yaml);
        free(report);
    }
}

/* A sound configuration whose audiences are this many. */
static struct span many_audiences(char *yaml, int count) {
    char *end = yaml + sprintf(yaml, "issuers: [{issuer: \"https://idp\", audiences: [a");
    for (int i = 1; i < count; i++) end += sprintf(end, ", a");
    end += sprintf(end, "]}]\n");
    return (struct span){yaml, (size_t)(end - yaml)};
}

TEST(lists_have_an_end) {
    static char yaml[256 * 1024];
    struct config *config = parse_good(many_audiences(yaml, MANY(65536)));
    ck_assert_uint_eq(config->issuers[0].audiences.count, MANY(65536));
    config_unref(config);
    expect_report(many_audiences(yaml, 65537),
                  "f:1:46: audiences: 65537 entries; no list may have more than 65536\n");
}

/* A requirement with this many in any_of, and one within. */
static struct span many_requirements(char *yaml, int count) {
    char *end = yaml + sprintf(yaml, ISSUER "routes: [{path: /, respond: verdict, require: {not: "
                                            "{any_of: [{scopes: [a]}");
    for (int i = 1; i < count; i++) end += sprintf(end, ", {scopes: [a]}");
    end += sprintf(end, "]}}}]\n");
    return (struct span){yaml, (size_t)(end - yaml)};
}

TEST(lists_within_requirements_have_the_same_end) {
    char *yaml = malloc((size_t)2 * 1024 * 1024);
    ck_assert_ptr_nonnull(yaml);
    struct config *config = parse_good(many_requirements(yaml, MANY(65536)));
    ck_assert_uint_eq(config->routes[0].require.not ->any_of_count, MANY(65536));
    ck_assert_str_eq(config->routes[0].require.not ->any_of[MANY(65536) - 1].scopes.items[0], "a");
    config_unref(config);
    expect_report(many_requirements(yaml, 65537),
                  "f:2:62: any_of: 65537 entries; no list may have more than 65536\n");
    free(yaml);
}
