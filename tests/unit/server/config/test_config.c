#include "tests/unit/server/config/texts.h"

#define S(text) SPAN_LITERAL(text)

TEST(ten_faults_give_ten_lines_in_the_order_of_the_file) {
    expect_report(
        S("worker: 4\n"
          "realm: [a]\n"
          "limits: {idle_timeout: 75, connections: 0}\n"
          "issuers:\n"
          "  - issuer: http://idp.example.com\n"
          "    algorithms: [HS256]\n"
          "    leeway: 11m\n"
          "  - {issuer: \"https://b\", audiences: [x], jwks_uri: k}\n"
          "routes: [{path: //a, respond: identity}]\n"
          "realm: x\n"),
        "f:1:1: unknown key \"worker\"; did you mean \"workers\"?\n"
        "f:2:8: realm: a list is too much; write a text that is not empty\n"
        "f:3:24: idle_timeout: \"75\" is not a duration; write a duration with its unit (ms, s, m, "
        "h, d), from 1s to 1h\n"
        "f:3:41: connections: \"0\" is out of range; write a whole number, from 1 to 1000000\n"
        "f:5:5: audiences: required, or tokens made for other services would be accepted; write a "
        "list such as [orders-api], or allow_any_audience: true\n"
        "f:5:13: issuer: http:// is refused, anyone on the way could forge the keys; use https://, "
        "or set insecure_http: true in the file\n"
        "f:6:18: algorithms: \"HS256\" is never accepted: anyone could make such a token; write "
        "one of: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA\n"
        "f:7:13: leeway: \"11m\" is out of range; write a duration with its unit (ms, s, m, h, d), "
        "from 0 to 600s\n"
        "f:8:53: jwks_uri: \"k\" must start with https:// (or http://); write a URL such as "
        "https://idp.example.com/keys\n"
        "f:9:17: path: \"//a\" holds '//'; write a normal path such as /orders, /orders/* for "
        "all below it, or /orders/{id}\n"
        "f:10:1: realm: given twice, first in line 2; keep one\n");
}

TEST(the_last_reference_frees) {
    struct config *config = parse_good(S(ISSUER));
    ck_assert_ptr_eq(config_ref(config), config);
    config_unref(config);
    ck_assert_str_eq(config->realm, "bearerd"); /* the sanitizer would see a config freed early */
    config_unref(config);
    config_unref(NULL);
}

TEST(a_report_names_the_place_only_where_there_is_one) {
    struct config_report report = {calloc(2, sizeof *report.problems), 2};
    ck_assert_ptr_nonnull(report.problems);
    report.problems[0] = (struct config_problem){0, 0, strdup("all of it")};
    report.problems[1] = (struct config_problem){3, 7, strdup("a piece")};
    char *text = report_text(&report);
    ck_assert_str_eq(text, "f: all of it\nf:3:7: a piece\n");
    ck_assert_ptr_null(report.problems);
    ck_assert_uint_eq(report.count, 0);
    free(text);
}

TEST(issuers_have_the_same_source_when_all_that_leads_to_the_keys_is_equal) {
    static const struct {
        const char *more;
        bool same;
    } cases[] = {
        {"", true},
        {", leeway: 5s, algorithms: [ES256], scopes: [a], audiences: [b]", true},
        {", discovery: \"https://a/.well-known/openid-configuration\"", true},
        {", discovery: https://a/other", false},
        {", jwks_uri: https://a/keys", false},
        {", jwks_file: /etc/passwd", false},
        {", insecure_http: true", false},
    };
    struct config *config = parse_good(S("issuers: [{issuer: https://a, audiences: [api]},"
                                         " {issuer: https://a/, audiences: [api]}]\n"));
    ck_assert(!config_issuer_same_source(&config->issuers[0], &config->issuers[1]));

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char yaml[256];
        bool audience = strstr(cases[i].more, "audiences");
        int len = snprintf(yaml, sizeof yaml, "issuers: [{issuer: https://a%s%s}]\n",
                           audience ? "" : ", audiences: [api]", cases[i].more);
        struct config *other = parse_good((struct span){yaml, (size_t)len});
        ck_assert_msg(config_issuer_same_source(&config->issuers[0], &other->issuers[0]) ==
                          cases[i].same,
                      "%s", cases[i].more);
        config_unref(other);
    }
    config_unref(config);
}
