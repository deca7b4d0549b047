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
        {S(ISSUER "routes: [{path: /, respond: identity, require: {roles: [x]}}]\n"),
         "f:2:49: unknown key \"roles\"; the keys here are: scopes\n"},
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
         "f:3:10: path: required, but missing; write a normal path such as /orders, or /orders/* "
         "for all below it\n"
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
        {"rotes", "routes"},
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

/* A sound configuration whose audiences are this many. */
static struct span many_audiences(char *yaml, int count) {
    char *end = yaml + sprintf(yaml, "issuers: [{issuer: \"https://idp\", audiences: [a");
    for (int i = 1; i < count; i++) end += sprintf(end, ", a");
    end += sprintf(end, "]}]\n");
    return (struct span){yaml, (size_t)(end - yaml)};
}

TEST(lists_have_an_end) {
    static char yaml[64 * 1024];
    struct config *config = parse_good(many_audiences(yaml, 4096));
    ck_assert_uint_eq(config->issuers[0].audiences.count, 4096);
    config_unref(config);
    expect_report(many_audiences(yaml, 4097),
                  "f:1:46: audiences: 4097 entries; no list may have more than 4096\n");
}
