#include "tests/support/scratch.h"
#include "tests/unit/server/config/texts.h"

#define S(text) SPAN_LITERAL(text)
#define ORDERS ISSUER "upstreams: [{name: orders, targets: [\"http://a\"]}]\n"
#define NOTHING "requires nothing; write what is required, or leave it out\n"

struct row {
    const char *text;
    const char *report; /* NULL: fine */
};

/* Each text, on a line of its own behind before; report starts at that line. */
static void expect_rows(const char *before, const char *after, const struct row *rows,
                        size_t count) {
    for (size_t i = 0; i < count; i++) {
        char *yaml = scratch_text("%s%s%s", before, rows[i].text, after);
        if (rows[i].report)
            expect_report(span_of(yaml), rows[i].report);
        else
            config_unref(parse_good(span_of(yaml)));
        free(yaml);
    }
}

/* --- requirements ---------------------------------------------------------------------------- */

/* require stands alone in line 3, from column 1. */
#define REQUIRE ISSUER "routes: [{path: \"/t/{tenant}/{id}\", respond: verdict, require:\n "

TEST(a_requirement_within_another_requires_something) {
    static const struct row rows[] = {
        {"{any_of: [{}]}", "f:3:12: any_of: " NOTHING},
        {"{all_of: [{}]}", "f:3:12: all_of: " NOTHING},
        {"{not: {}}", "f:3:8: not: " NOTHING},
        {"{not: }", "f:3:8: not: " NOTHING},
        {"{not: ~}", "f:3:8: not: " NOTHING},
        {"{scopes: [a], not: null}", "f:3:21: not: " NOTHING},
        {"{any_of: [{scopes: [a]}, {}]}", "f:3:27: any_of: " NOTHING},
        {"{any_of: [{scopes: [a]}, {scopes: []}]}", "f:3:27: any_of: " NOTHING},
        {"{any_of: [{max_token_age: 0}]}", "f:3:12: any_of: " NOTHING},
        {"{any_of: [{max_auth_age: 0ms, max_token_age: 0s}]}", "f:3:12: any_of: " NOTHING},
        {"{not: {scopes: [], max_auth_age: 0}}", "f:3:8: not: " NOTHING},
        {"{not: {all_of: [{not: {any_of: [{scopes: []}]}}]}}", "f:3:34: any_of: " NOTHING},
        {"{any_of: [{not: }]}", "f:3:18: not: " NOTHING},
        {"{any_of: [{}, {}]}", "f:3:12: any_of: " NOTHING "f:3:16: any_of: " NOTHING},
        {"{any_of: [{scopes: []}, {max_token_age: 1}]}",
         "f:3:12: any_of: " NOTHING
         "f:3:42: max_token_age: \"1\" is not a duration; write a duration "
         "with its unit (ms, s, m, h, d), from 0 to 3650d\n"},
        {"{}", NULL},
        {"{scopes: []}", NULL},
        {"{max_token_age: 0, max_auth_age: 0}", NULL},
        {"{any_of: [{scopes: [], roles: [x]}]}", NULL},
        {"{any_of: [{max_token_age: 1ms}]}", NULL},
        {"{any_of: [{max_auth_age: 1d, scopes: []}]}", NULL},
        {"{not: {scopes: [a]}}", NULL},
        {"{not: {not: {issuers: [\"https://idp\"]}}}", NULL},
        {"{any_of: [{acr: [x]}, {any_roles: [x]}, {any_scopes: [x]}]}", NULL},
    };
    expect_rows(REQUIRE, "}]\n", rows, ARRAY_LEN(rows));
}

TEST(bad_syntax_makes_no_empty_requirement) {
    expect_report(S(ISSUER "routes: [{path: /, respond: verdict, require: {not: {"),
                  "f:3:1: not YAML: did not find expected node content while parsing a flow node; "
                  "look at indentation (spaces, no tabs), quotes and brackets here and before\n");
}

TEST(a_value_that_stands_for_a_capture_has_one_in_the_path) {
    static const char lacks[] =
        " is no capture of the path /t/{tenant}/{id}; write one that is, or "
        "add it there\n";
    static const struct {
        const char *text, *at; /* NULL: fine */
    } rows[] = {
        {"{claims: [{name: a, equals: \"{tenant}\"}]}", NULL},
        {"{claims: [{name: a, contains: '{id}'}]}", NULL},
        {"{claims: [{name: a, one_of: [x, \"{id}\", \"{tenant}\"]}]}", NULL},
        {"{claims: [{name: a, equals: \"{}\"}]}", NULL},
        {"{claims: [{name: a, equals: \"a{b}c\"}]}", NULL},
        {"{claims: [{name: a, equals: \"{other}\"}]}", "f:3:30: equals: {other}"},
        {"{claims: [{name: a, equals: \"{Tenant}\"}]}", "f:3:30: equals: {Tenant}"},
        {"{claims: [{name: a, equals: \"{t}\"}]}", "f:3:30: equals: {t}"},
        {"{claims: [{name: a, contains: \"{x y}\"}]}", "f:3:32: contains: {x y}"},
        {"{claims: [{name: a, one_of: [x, \"{y}\"]}]}", "f:3:34: one_of: {y}"},
        {"{claims: [{name: a, equals: x}, {name: b, equals: \"{y}\"}]}", "f:3:52: equals: {y}"},
        {"{any_of: [{scopes: [a]}, {claims: [{name: a, equals: \"{y}\"}]}]}",
         "f:3:55: equals: {y}"},
        {"{all_of: [{not: {claims: [{name: a, equals: \"{y}\"}]}}]}", "f:3:46: equals: {y}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *yaml = scratch_text(REQUIRE "%s}]\n", rows[i].text);
        char *report = scratch_text("%s%s", rows[i].at ? rows[i].at : "", lacks);
        if (rows[i].at)
            expect_report(span_of(yaml), report);
        else
            config_unref(parse_good(span_of(yaml)));
        free(yaml);
        free(report);
    }
    /* A path that is wrong itself says nothing about captures. */
    expect_report(S(ISSUER
                    "routes: [{path: \"{t}\", respond: verdict, require: {claims: [{name: a, "
                    "equals: \"{u}\"}]}}]\n"),
                  "f:2:17: path: \"{t}\" does not start with '/'; write a normal path such as "
                  "/orders, /orders/* for all below it, or /orders/{id}\n");
}

TEST(a_capture_is_a_whole_value) {
    static const char whole[] =
        " stands for a part of the path only where it is the whole value; write it alone\n";
    static const char *const rows[][2] = {
        {"{not: {claims: [{name: a, equals: \"org-{tenant}\"}]}}", "f:3:36: equals: {tenant}"},
        {"{claims: [{name: a, contains: \"{id}s\"}]}", "f:3:32: contains: {id}"},
        {"{claims: [{name: a, one_of: [\" {id}\"]}]}", "f:3:31: one_of: {id}"},
        {"{claims: [{name: a, equals: \"{{x}{id}-\"}]}", "f:3:30: equals: {id}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *yaml = scratch_text(REQUIRE "%s}]\n", rows[i][0]);
        char *report = scratch_text("%s%s", rows[i][1], whole);
        expect_report(span_of(yaml), report);
        free(yaml);
        free(report);
    }
}

TEST(issuers_that_are_required_are_configured) {
    static const char none[] = " is none of the configured issuers, so that nobody would be let "
                               "through; write one of them, to the letter\n";
    static const struct {
        const char *text, *at; /* NULL: fine */
    } rows[] = {
        {"{issuers: [\"https://idp\"]}", NULL},
        {"{issuers: [\"https://idp/\"]}", "f:3:13: issuers: https://idp/"},
        {"{issuers: [\"https://idp\", \"https://IDP\"]}", "f:3:28: issuers: https://IDP"},
        {"{any_of: [{scopes: [a]}, {not: {issuers: [\"https://b\"]}}]}",
         "f:3:44: issuers: https://b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *yaml = scratch_text(REQUIRE "%s}]\n", rows[i].text);
        char *report = scratch_text("%s%s", rows[i].at ? rows[i].at : "", none);
        if (rows[i].at)
            expect_report(span_of(yaml), report);
        else
            config_unref(parse_good(span_of(yaml)));
        free(yaml);
        free(report);
    }
    /* It may be the one whose own name is wrong. */
    expect_report(
        S("issuers: [{issuer: idp, audiences: [a]}]\n"
          "routes: [{path: /, respond: verdict, require: {issuers: [\"https://x\"]}}]\n"),
        "f:1:20: issuer: \"idp\" must start with https:// (or http://); write the issuer's "
        "URL, such as https://idp.example.com\n");
    expect_report(S(REQUIRE "{issuers: [idp]}}]\n"),
                  "f:3:13: issuers: \"idp\" must start with https:// (or http://); write the "
                  "issuer's URL, such as https://idp.example.com\n");
}

/* --- what a route answers -------------------------------------------------------------------- */

TEST(preflights_pass_to_an_upstream_or_are_answered_by_origins) {
    static const char whom[] = "f:3:26: preflight: answer needs to know to whom; write origins: "
                               "[https://app.example.com]\n";
    static const struct row rows[] = {
        {"upstream: orders,\n   cors: {    preflight: pass}}", NULL},
        {"upstream: orders,\n   cors: {    preflight: judge}}", NULL},
        {"respond: verdict,\n   cors: {    preflight: pass}}", NULL},
        {"respond: identity,\n  cors: {    preflight: judge}}", NULL},
        {"respond: identity,\n  cors: }", NULL},
        {"respond: identity,\n  cors: {    preflight: answer, origins: [\"https://a\"]}}", NULL},
        {"upstream: orders,\n   cors: {  preflight: answer}}", "f:4:24: preflight: answer needs to "
                                                               "know to whom; write origins: "
                                                               "[https://app.example.com]\n"},
        {"respond: identity,\n  cors: {    preflight: pass}}",
         "f:4:25: preflight: pass leaves the answer to the upstream, and this route has none; "
         "write "
         "answer and origins, or leave it out\n"},
        {"respond: verdict,\n   cors: {    preflight: passes}}",
         "f:4:26: preflight: \"passes\" is not known here; write one of: judge, pass, answer\n"},
    };
    expect_rows(ORDERS "routes: [{path: /, ", "]\n", rows, ARRAY_LEN(rows));
    expect_report(S(ISSUER
                    "routes: [{path: /, respond: identity, cors: {\n            preflight:   "
                    "answer}}]\n"),
                  whom);
}

TEST(forward_auth_enforces_what_the_other_routes_say) {
    static const struct row rows[] = {
        {"forward_auth, mode: report",
         "f:3:54: mode: has no meaning with forward_auth: the route of "
         "the request that is asked about says whether it is enforced; "
         "leave it out\n"},
        {"forward_auth, require: {}",
         "f:3:57: require: has no meaning with forward_auth: the route "
         "of the request that is asked about says what it needs; leave "
         "it out\n"},
        {"forward_auth, mode: enforce", NULL},
        {"verdict, mode: report", NULL},
    };
    expect_rows(ISSUER "trusted_proxies: [127.0.0.1]\nroutes: [{path: /_auth, respond: ", "}]\n",
                rows, ARRAY_LEN(rows));
}

/* --- routes against each other --------------------------------------------------------------- */

TEST(routes_clash_by_path_host_and_method) {
    static const char twice[] =
        "f:5:12: path: the route in line 4 has this path and method already; keep one\n";
    static const struct {
        const char *first, *second;
        bool fine;
    } rows[] = {
        {"\"/{a}\"", "\"/{b}\"", false},
        {"\"/{a}/x/{b}/*\"", "\"/{b}/x/{a}/*\"", false},
        {"\"/{a}\"", "\"/{a}/\"", true},
        {"\"/{a}\"", "\"/{a}/*\"", true},
        {"\"/{a}/b\"", "\"/a/{b}\"", true},
        {"\"/{a}\"", "/a", true},
        {"/a, hosts: [x]", "/a, hosts: [x]", false},
        {"/a, hosts: [X.example]", "/a, hosts: [x.EXAMPLE]", false},
        {"/a, hosts: [x, y]", "/a, hosts: [z, y]", false},
        {"/a, hosts: [\"*.x\"]", "/a, hosts: [\"*.X\"]", false},
        {"\"/{a}\", hosts: [x]", "\"/{b}\", hosts: [y, x]", false},
        {"/a, hosts: [x]", "/a, hosts: [y]", true},
        {"/a, hosts: [x]", "/a", true},
        {"/a", "/a, hosts: [x, y]", true},
        {"/a, hosts: [\"*.x\"]", "/a, hosts: [\"a.x\", x]", true},
        {"/a, hosts: [x], methods: [GET, PUT]", "/a, hosts: [x], methods: [POST, PUT]", false},
        {"/a, hosts: [x], methods: [GET]", "/a, hosts: [x], methods: [POST]", true},
        {"\"/{a}\", methods: [GET]", "\"/{b}\", methods: [POST]", true},
        {"\"/{a}\", methods: [GET]", "\"/{b}\"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *yaml = scratch_text(ORDERS "routes:\n  - {path: %s, upstream: orders}\n"
                                         "  - {path: %s, upstream: orders}\n",
                                  rows[i].first, rows[i].second);
        if (rows[i].fine)
            config_unref(parse_good(span_of(yaml)));
        else
            expect_report(span_of(yaml), twice);
        free(yaml);
    }
}

TEST(hosts_that_are_wrong_clash_with_none) {
    expect_report(S(ISSUER "routes:\n"
                           "  - {path: /a, respond: verdict, hosts: a}\n"
                           "  - {path: /a, respond: verdict, hosts: [\"a:1\"]}\n"
                           "  - {path: /a, respond: verdict, hosts: [\"a:1\"]}\n"
                           "  - {path: /a, respond: verdict}\n"),
                  "f:3:41: hosts: a single value is not enough; write a list, each entry a host "
                  "without port such as api.example.com, or *.example.com\n"
                  "f:4:42: hosts: \"a:1\" holds ':'; it is compared without its port; write a host "
                  "without port such as api.example.com, or *.example.com\n"
                  "f:5:42: hosts: \"a:1\" holds ':'; it is compared without its port; write a host "
                  "without port such as api.example.com, or *.example.com\n");
}

TEST(a_clash_names_the_first_of_several) {
    expect_report(S(ISSUER "routes:\n"
                           "  - {path: \"/{a}\", respond: verdict, methods: [PUT]}\n"
                           "  - {path: \"/{b}\", respond: verdict, methods: [POST, GET]}\n"
                           "  - {path: \"/{c}\", respond: verdict, methods: [GET, POST]}\n"
                           "  - {path: \"/{d}\", respond: verdict}\n"),
                  "f:5:12: path: the route in line 4 has this path and method already; keep one\n"
                  "f:6:12: path: the route in line 3 has this path and method already; keep one\n");
}

/* More than linear work over so many would take minutes, and more than a test may. */
TEST(ten_thousand_routes_are_checked_and_the_clash_among_them_is_found) {
    enum { COUNT = 10000 };
    char *yaml = malloc(COUNT * 96 + 1024);
    ck_assert_ptr_nonnull(yaml);
    size_t len = (size_t)sprintf(yaml, ORDERS "routes:\n");
    for (int i = 0; i < COUNT; i++)
        len += (size_t)sprintf(yaml + len, "  - {path: \"/r%d/{x}/*\", upstream: orders}\n", i);
    struct config *config = parse_good((struct span){yaml, len});
    ck_assert_uint_eq(config->route_count, COUNT);
    ck_assert_str_eq(config->routes[COUNT - 1].path, "/r9999/{x}/");
    config_unref(config);

    len += (size_t)sprintf(yaml + len, "  - {path: \"/r17/{other}/*\", upstream: orders}\n");
    expect_report((struct span){yaml, len},
                  "f:10004:12: path: the route in line 21 has this path and method already; keep "
                  "one\n");
    free(yaml);
}

TEST(tens_of_thousands_of_entries_are_checked_in_every_list) {
    static const char *const lists[][2] = {
        {"listen", "  - {address: \"a%d:1\"}\n"},
        {"identity_headers", "  - {header: X-%d, value: user}\n"},
        {"roles", "  - {name: r%d, scopes: [a]}\n"},
        {"resources", "  - {resource: \"https://a/%d\"}\n"},
        {"upstreams", "  - {name: u%d, targets: [\"http://a\"]}\n"},
    };
    enum { COUNT = MANY(40000) };
    char *yaml = malloc(COUNT * 64);
    ck_assert_ptr_nonnull(yaml);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        size_t before = strcspn(lists[i][1], "%");
        size_t len = (size_t)sprintf(yaml, ISSUER "%s:\n", lists[i][0]);
        for (int k = 0; k < COUNT; k++)
            len += (size_t)sprintf(yaml + len, "%.*s%d%s", (int)before, lists[i][1], k,
                                   lists[i][1] + before + 2);
        config_unref(parse_good((struct span){yaml, len}));
    }
    free(yaml);
}

/* --- routes and what they name --------------------------------------------------------------- */

TEST(a_subtree_that_others_take_up_is_found) {
    static const char taken[] = "f:3:12: path: can never match: the routes for %s, %s{...} and "
                                "%s{...}/* take all that it would; leave it out, or one of them\n";
    static const struct {
        const char *stem; /* of the subtree in line 3 */
        const char *others[4];
        bool fine;
    } rows[] = {
        {"/t/", {"/t/", "/t/{x}", "/t/{x}/*"}, false},
        {"/t/", {"/t/{z}/*", "/t/", "/t/{y}"}, false},
        {"/", {"/", "/{x}", "/{x}/*"}, false},
        {"/{a}/t/", {"/{b}/t/", "/{b}/t/{x}", "/{c}/t/{x}/*"}, false},
        {"/t/", {"/t/", "/t/{x}/*"}, true},
        {"/t/", {"/t/", "/t/{x}"}, true},
        {"/t/", {"/t/{x}", "/t/{x}/*"}, true},
        {"/t/", {"/t", "/t/{x}", "/t/{x}/*"}, true},
        {"/t/", {"/t/", "/t/x", "/t/x/*"}, true},
        {"/t/", {"/t/", "/t/{x}", "/t/{x}/", "/t/{x}/{y}/*"}, true},
        {"/t/", {"/t/", "/t/{x}", "/t/{x}/*, hosts: [a]"}, true},
        {"/t/", {"/s/", "/s/{x}", "/s/{x}/*"}, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char yaml[1024], report[512];
        size_t len = (size_t)snprintf(yaml, sizeof yaml,
                                      ISSUER "routes:\n  - {path: \"%s*\", respond: verdict}\n",
                                      rows[i].stem);
        for (size_t k = 0; k < 4 && rows[i].others[k]; k++) {
            int path = (int)strcspn(rows[i].others[k], ",");
            len += (size_t)snprintf(yaml + len, sizeof yaml - len,
                                    "  - {path: \"%.*s\"%s, respond: verdict}\n", path,
                                    rows[i].others[k], rows[i].others[k] + path);
        }
        snprintf(report, sizeof report, taken, rows[i].stem, rows[i].stem, rows[i].stem);
        if (rows[i].fine)
            config_unref(parse_good((struct span){yaml, len}));
        else
            expect_report((struct span){yaml, len}, report);
    }
}

/* A host that is named goes first: its subtree is asked before those for every host. */
TEST(a_subtree_of_a_host_is_not_taken_up_by_routes_for_all) {
    config_unref(parse_good(S(ISSUER "routes:\n"
                                     "  - {path: /t/*, hosts: [a], respond: verdict}\n"
                                     "  - {path: /t/, respond: verdict}\n"
                                     "  - {path: \"/t/{x}\", respond: verdict}\n"
                                     "  - {path: \"/t/{x}/*\", respond: verdict}\n")));
}

TEST(where_resources_are_described_no_route_is) {
    static const char there[] =
        "f:3:17: path: can never match: the resource in line 2 is described "
        "there; leave out one of them\n";
#define KNOWN "/.well-known/oauth-protected-resource"
    static const struct {
        const char *resource, *path;
        bool fine;
    } rows[] = {
        {"https://api", KNOWN, false},
        {"https://api/", KNOWN, false},
        {"https://api/orders", KNOWN "/orders", false},
        {"https://api/orders/", KNOWN "/orders/", false},
        {"https://api/orders", KNOWN, true},
        {"https://api/orders", KNOWN "/orders/", true},
        {"https://api/orders/", KNOWN "/orders", true},
        {"https://api/orders", KNOWN "/orders/x", true},
        {"https://api/orders", KNOWN "/*", true},
        {"https://api/orders", "/orders", true},
        {"https://api", "/.well-known/*", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char yaml[512];
        int len = snprintf(yaml, sizeof yaml,
                           ISSUER "resources: [{resource: \"%s\"}]\n"
                                  "routes: [{path: \"%s\", respond: verdict}]\n",
                           rows[i].resource, rows[i].path);
        if (rows[i].fine)
            config_unref(parse_good((struct span){yaml, (size_t)len}));
        else
            expect_report((struct span){yaml, (size_t)len}, there);
    }
}

TEST(roles_and_resources_have_names_of_their_own) {
    static const struct row rows[] = {
        {"roles:\n  - {name: A, scopes: [a]}\n  - {name: a, scopes: [a]}\n"
         "  - {name: A, scopes: [b]}\n",
         "f:5:12: name: already given in line 3; keep one role of that name\n"},
        {"resources:\n  - {resource: \"https://a/b\"}\n  - {resource: \"https://a/b/\"}\n"
         "  - {resource: \"https://a/b\"}\n",
         "f:5:16: resource: already given in line 3; keep one\n"},
        {"roles: []\nresources: []\n", NULL},
    };
    expect_rows(ISSUER, "", rows, ARRAY_LEN(rows));
}

/* Whoever has all scopes of a role has it: of none, everybody would. */
TEST(a_role_stands_for_scopes) {
    static const struct row rows[] = {
        {"{name: A, scopes: []}", "f:2:27: scopes: an empty list is not enough; write a list, each "
                                  "entry a scope such as orders:read (RFC 6749 section 3.3)\n"},
        {"{name: A}", "f:2:9: scopes: required, but missing; write a list, each entry a scope such "
                      "as orders:read (RFC 6749 section 3.3)\n"},
        {"{name: A, scopes: }",
         "f:2:27: scopes: has no value; write a list, each entry a scope such "
         "as orders:read (RFC 6749 section 3.3)\n"},
        {"{name: \"\", scopes: [a]}",
         "f:2:16: name: \"\" is empty; write a text that is not empty\n"},
        {"{scopes: [a]}", "f:2:9: name: required, but missing; write a text that is not empty\n"},
        {"{name: A, scopes: [a, \"b c\"]}",
         "f:2:31: scopes: \"b c\" holds a character that no scope has; write a scope such as "
         "orders:read (RFC 6749 section 3.3)\n"},
        {"{name: \"an operator\", scopes: [a]}", NULL},
    };
    expect_rows(ISSUER "roles: [", "]\n", rows, ARRAY_LEN(rows));
}
