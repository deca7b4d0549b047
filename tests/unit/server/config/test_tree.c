#include "tests/unit/server/config/texts.h"

#define S(text) SPAN_LITERAL(text)

TEST(bad_syntax_is_shown_where_it_is) {
    static const struct bad_yaml cases[] = {
        {S("a: b: c\n"), "f:1:1: unknown key \"a\"; the keys here are: " ROOT_KEYS "\n"
                         "f:1:5: not YAML: mapping values are not allowed in this context; look at "
                         "indentation (spaces, no tabs), quotes and brackets here and before\n"},
        {S("realm: [a\n"
           "workers: 1\n"),
         "f:1:8: realm: a list is too much; write a text that is not empty\n"
         "f:2:8: not YAML: did not find expected ',' or ']' while parsing a flow sequence that "
         "starts in line 1; look at indentation (spaces, no tabs), quotes and brackets here and "
         "before\n"},
        {S("realm: \"x\n"), "f:2:1: not YAML: found unexpected end of stream while scanning a "
                            "quoted scalar that starts in line 1; look at indentation (spaces, no "
                            "tabs), quotes and brackets here and before\n"},
        {S("realm: x\n"
           "- a\n"),
         "f:2:1: not YAML: did not find expected key while parsing a block mapping that starts in "
         "line 1; look at indentation (spaces, no tabs), quotes and brackets here and before\n"},
        {S("\trealm: x\n"),
         "f:1:1: not YAML: found character that cannot start any token while scanning for the next "
         "token; look at indentation (spaces, no tabs), quotes and brackets here and before\n"},
        {S("realm: @x\n"),
         "f:1:8: not YAML: found character that cannot start any token while scanning for the next "
         "token; look at indentation (spaces, no tabs), quotes and brackets here and before\n"},
        {S("realm: \"\\q\"\n"),
         "f:1:9: not YAML: found unknown escape character while parsing a quoted scalar; look at "
         "indentation (spaces, no tabs), quotes and brackets here and before\n"},
        {S("%FOO\n"
           "---\n"
           "realm: x\n"),
         "f:1:5: not YAML: found unknown directive name while scanning a directive; look at "
         "indentation (spaces, no tabs), quotes and brackets here and before\n"},
        {S("realm: x\n"
           "}\n"),
         "f:2:1: not YAML: did not find expected key while parsing a block mapping that starts in "
         "line 1; look at indentation (spaces, no tabs), quotes and brackets here and before\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(what_stands_before_bad_syntax_is_checked_too) {
    static const struct bad_yaml cases[] = {
        {S("worker: 1\n"
           "issuers:\n"
           "  - issuer: idp\n"
           "    leeway: 1y\n"
           "    scopes: [a b, c\n"
           "realm: x\n"),
         "f:1:1: unknown key \"worker\"; did you mean \"workers\"?\n"
         "f:3:13: issuer: \"idp\" must start with https:// (or http://); write the issuer's URL, "
         "such as https://idp.example.com\n"
         "f:4:13: leeway: \"1y\" is not a duration; write a duration with its unit (ms, s, m, h, "
         "d), from 0 to 600s\n"
         "f:5:14: scopes: \"a b\" holds a character that no scope has; write a scope such as "
         "orders:read (RFC 6749 section 3.3)\n"
         "f:5:19: scopes: \"c realm\" holds a character that no scope has; write a scope such as "
         "orders:read (RFC 6749 section 3.3)\n"
         "f:6:6: not YAML: did not find expected ',' or ']' while parsing a flow sequence that "
         "starts in line 5; look at indentation (spaces, no tabs), quotes and brackets here and "
         "before\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(bytes_that_are_not_text) {
    static const struct bad_yaml cases[] = {
        {S("realm: a\xff\n"), "f:1:9: byte 0xff: invalid leading UTF-8 octet; write UTF-8 text "
                              "without control characters\n"},
        {S("# \xc3\xa4\xc3\xa4 \xc3(\n"), "f:1:7: byte 0x28: invalid trailing UTF-8 octet; write "
                                          "UTF-8 text without control characters\n"},
        {S("realm: x\x00y\n"), "f:1:9: byte 0x00: control characters are not allowed; write UTF-8 "
                               "text without control characters\n"},
        {S("realm: \x07\n"), "f:1:8: byte 0x07: control characters are not allowed; write UTF-8 "
                             "text without control characters\n"},
        {S("\xff\xfer\x00"), "f:1:1: byte 0xff: invalid leading UTF-8 octet; write UTF-8 text "
                             "without control characters\n"},
        {S(ISSUER "# \xef\xbf\xbe\n"), "f:2:3: byte 0xef: control characters are not allowed; "
                                       "write UTF-8 text without control characters\n"},
        {S("realm: \xed\xa0\x80\n"), "f:1:8: byte 0xed: invalid Unicode character; write UTF-8 "
                                     "text without control characters\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(anchors_aliases_and_tags_are_refused) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "realm: &x y\n"
                  "state_directory: *x\n"),
         "f:2:8: anchors (&name) and aliases (*name) are not used here; write the value out\n"
         "f:3:18: anchors (&name) and aliases (*name) are not used here; write the value out\n"},
        {S(ISSUER "log: &l {level: info}\n"
                  "limits: *l\n"
                  "*l : y\n"),
         "f:2:6: anchors (&name) and aliases (*name) are not used here; write the value out\n"
         "f:3:9: anchors (&name) and aliases (*name) are not used here; write the value out\n"
         "f:4:1: anchors (&name) and aliases (*name) are not used here; write the value out\n"},
        {S(ISSUER "realm: !!str x\n"),
         "f:2:8: tags (!name) are not used here; write the value alone\n"},
        {S(ISSUER "listen: !a\n"
                  "  - !b {address: \"a:1\"}\n"),
         "f:2:9: tags (!name) are not used here; write the value alone\n"
         "f:3:5: tags (!name) are not used here; write the value alone\n"},
        {S("issuers: &i [*i]\n"),
         "f:1:10: anchors (&name) and aliases (*name) are not used here; write the value out\n"
         "f:1:14: anchors (&name) and aliases (*name) are not used here; write the value out\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(only_one_document) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "---\n"
                  "realm: x\n"),
         "f:2:1: a second YAML document starts here; keep all in one\n"},
        {S(ISSUER "...\n"
                  "---\n"),
         "f:3:1: a second YAML document starts here; keep all in one\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}

TEST(nesting_ends_somewhere) {
    static const struct bad_yaml cases[] = {
        {S(ISSUER "realm: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n"),
         "f:2:8: realm: a list is too much; write a text that is not empty\n"
         "f:2:23: more than 16 levels deep; nothing may be nested so deep\n"},
        {S(ISSUER "realm: [[[[[[[[[[[[[[[]]]]]]]]]]]]]]]\n"),
         "f:2:8: realm: a list is too much; write a text that is not empty\n"},
    };
    expect_reports(cases, ARRAY_LEN(cases));
}
