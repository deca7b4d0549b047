#include "server/proxy/forward.h"

#include <stdlib.h>

#include "common/attr.h"
#include "common/base64url.h"
#include "common/json.h"
/* How principals come to be is tested with authenticate(). */
#include "server/token/principal_make.h"
#include "tests/support/claims.h"
#include "tests/support/suite.h"

static struct config_issuer issuer = {
    .issuer = (char[]){"https://idp.example/a b"},
    .user_claims = {(char *[]){(char[]){"sub"}}, 1},
    .scope_claims = {(char *[]){(char[]){"scope"}}, 1},
    .role_claims = {(char *[]){(char[]){"roles"}}, 1},
};

/* The identity headers of these claims, JSON, where one header tells that. The caller frees it. */
static char *tell(const char *what, const char *claims_text) {
    char header[] = "X-Told", *value = strdup(what);
    struct config_identity_header told = {header, value};
    struct config config = {.identity_headers = &told,
                            .identity_header_count = 1,
                            .assertion = {.header = header + strlen(header)}};
    struct forward_rules *rules = forward_rules_new(&config);
    struct principal *principal = NULL;
    struct err_text err = {""};
    struct refusal refusal = {0};
    struct jtree *claims = NULL;
    struct buf out = buf_make(65536);

    ck_assert_msg(jtree_read_object(span_of(claims_text), &claims, &err) == 0, "%s", err.text);
    ck_assert_msg(principal_make(claims, &issuer, 0, &principal, &refusal), "%s", refusal.text);
    jtree_unref(claims);
    forward_add_identity(rules, principal, &out);
    ck_assert(buf_ok(&out));
    char *text = strdup(buf_span(&out).ptr);
    ck_assert_uint_eq(strlen(text), out.len);
    buf_done(&out);
    principal_unref(principal);
    forward_rules_free(rules);
    free(value);
    return text;
}

struct row {
    const char *what, *claims;
    const char *value; /* NULL: no header at all */
};

static void check(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char expected[4096] = "", *told = tell(rows[i].what, rows[i].claims);
        if (rows[i].value) snprintf(expected, sizeof expected, "X-Told: %s\r\n", rows[i].value);
        ck_assert_msg(strcmp(told, expected) == 0, "row %zu, %s of %s: %s", i, rows[i].what,
                      rows[i].claims, told);
        free(told);
    }
}

TEST(each_kind_of_identity_is_told) {
    static const struct row rows[] = {
        {"user", "{\"sub\":\"alice@example.com\"}", "alice@example.com"},
        {"subject", "{\"sub\":\"alice\"}", "alice"},
        {"issuer", "{\"sub\":\"a\"}", "https://idp.example/a%20b"},
        {"scopes", "{\"sub\":\"a\",\"scope\":\"openid orders:read\"}", "openid orders:read"},
        {"scopes", "{\"sub\":\"a\",\"scope\":[\"b\",\"a\"]}", "b a"},
        {"scopes", "{\"sub\":\"a\"}", NULL},
        {"scopes", "{\"sub\":\"a\",\"scope\":\"\"}", NULL},
        {"roles", "{\"sub\":\"a\",\"roles\":[\"admin\",\"two words\"]}", "admin two%20words"},
        {"roles", "{\"sub\":\"a\",\"roles\":[]}", NULL},
        {"roles", "{\"sub\":\"a\",\"roles\":[\"\",\"x\",\"\"]}", "x"},
        {"claim:tenant", "{\"sub\":\"a\",\"tenant\":\"t1\"}", "t1"},
        {"claim:tenant.id", "{\"sub\":\"a\",\"tenant\":{\"id\":\"t2\"}}", "t2"},
        {"claim:urn:x:y", "{\"sub\":\"a\",\"urn:x:y\":\"z\"}", "z"},
        {"claim:user", "{\"sub\":\"a\",\"user\":\"other\"}", "other"},
        {"claim:tenant", "{\"sub\":\"a\"}", NULL},
        {"claim:tenant", "{\"sub\":\"a\",\"tenant\":null}", NULL},
        {"claim:tenant", "{\"sub\":\"a\",\"tenant\":\"\"}", NULL},
    };
    check(rows, ARRAY_LEN(rows));
}

TEST(g5_no_value_ends_its_line) {
    static const struct row rows[] = {
        {"user", "{\"sub\":\"a\\r\\nX-Admin: yes\"}", "a%0D%0AX-Admin:%20yes"},
        {"user", "{\"sub\":\"\\n\"}", "%0A"},
        {"user", "{\"sub\":\"a\\u0085\\u001b[0m\\u007f\\u2028\"}", "a%C2%85%1B[0m%7F%E2%80%A8"},
        {"roles", "{\"sub\":\"a\",\"roles\":[\"x\\r\",\"\\ny\",\" \"]}", "x%0D %0Ay %20"},
        {"claim:c", "{\"sub\":\"a\",\"c\":[\"x\\r\\n\\r\\nGET / HTTP/1.1\"]}",
         "x%0D%0A%0D%0AGET%20/%20HTTP/1.1"},
    };
    check(rows, ARRAY_LEN(rows));
}

TEST(g6_every_character_comes_through_in_visible_ascii) {
    static const struct row rows[] = {
        {"user", "{\"sub\":\"J\xc3\xbcrgen\"}", "J%C3%BCrgen"},
        {"user", "{\"sub\":\"\xf0\x9f\x99\x82\"}", "%F0%9F%99%82"},
        {"user",
         "{\"sub\":\"\xe2\x80\x8f"
         "a\"}",
         "%E2%80%8Fa"},
        {"user", "{\"sub\":\"100%\"}", "100%25"},
        {"user", "{\"sub\":\"%0A%25\"}", "%250A%2525"},
        {"user", "{\"sub\":\" a \"}", "%20a%20"},
        {"user", "{\"sub\":\"a,b;c=\\\"d\\\"\\\\\"}", "a,b;c=\"d\"\\"},
        {"user", "{\"sub\":\"!#$&'()*+-./:<>?@[]^_`{|}~\"}", "!#$&'()*+-./:<>?@[]^_`{|}~"},
        {"user", "{\"sub\":\"\\t\"}", "%09"},
    };
    check(rows, ARRAY_LEN(rows));
}

static int hex_value(char c) {
    return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* What a reader makes of a value. */
static size_t decode(const char *value, char *to) {
    size_t len = 0;
    for (; *value != '\r'; value++) {
        ck_assert(*value > ' ' && *value < 0x7f);
        if (*value != '%') {
            to[len++] = *value;
            continue;
        }
        ck_assert(strspn(value + 1, "0123456789ABCDEF") >= 2);
        to[len++] = (char)(hex_value(value[1]) << 4 | hex_value(value[2]));
        value += 2;
    }
    return len;
}

TEST(g6_a_user_of_many_bytes_is_read_back_as_it_was) {
    char name[8193];
    for (size_t i = 0; i < 8192; i += 2) memcpy(name + i, i % 4 ? "~%" : "\xc3\xa9", 2);
    name[8192] = '\0';
    json_t *claims = json_pack("{s:s}", "sub", name);
    char *text = json_dumps(claims, 0), *told = tell("user", text), decoded[8192];
    ck_assert_msg(strncmp(told, "X-Told: ", 8) == 0, "%.20s", told);
    ck_assert_uint_eq(decode(told + 8, decoded), 8192);
    ck_assert(memcmp(decoded, name, 8192) == 0);
    free(told);
    free(text);
    json_decref(claims);
}

TEST(g7_claims_that_are_no_texts_are_told_as_json) {
    static const struct row rows[] = {
        {"claim:c", "{\"sub\":\"a\",\"c\":7}", "7"},
        {"claim:c", "{\"sub\":\"a\",\"c\":-9007199254740993}", "-9007199254740993"},
        {"claim:c", "{\"sub\":\"a\",\"c\":1.1}", "1.1"},
        {"claim:c", "{\"sub\":\"a\",\"c\":0.1000000000000000055}", "0.1"},
        {"claim:c", "{\"sub\":\"a\",\"c\":0.30000000000000004}", "0.30000000000000004"},
        {"claim:c", "{\"sub\":\"a\",\"c\":true}", "true"},
        {"claim:c", "{\"sub\":\"a\",\"c\":false}", "false"},
        {"claim:c", "{\"sub\":\"a\",\"c\":[\"x\",\"y z\"]}", "x y%20z"},
        {"claim:c", "{\"sub\":\"a\",\"c\":[]}", NULL},
        {"claim:c", "{\"sub\":\"a\",\"c\":{}}", "e30"},
        {"claim:c", "{\"sub\":\"a\",\"c\":{ \"b\" : 1, \"a\": 2 }}", "eyJiIjoxLCJhIjoyfQ"},
        {"claim:c", "{\"sub\":\"a\",\"c\":[\"x\", 1]}", "WyJ4IiwxXQ"},
        {"claim:c", "{\"sub\":\"a\",\"c\":[null]}", "W251bGxd"},
        {"claim:c", "{\"sub\":\"a\",\"c\":[[\"x\"]]}", "W1sieCJdXQ"},
        {"claim:c", "{\"sub\":\"a\",\"c\":[1.1]}", "WzEuMV0"},
    };
    check(rows, ARRAY_LEN(rows));
}

TEST(g7_a_large_object_is_one_base64url_text) {
    for (size_t len = 370; len < 1170; len += 7) {
        char member[1200], text[1300], expected[1300];
        memset(member, 'x', len);
        member[len] = '\0';
        snprintf(text, sizeof text, "{\"sub\":\"a\",\"c\":{\"m\":\"%s\"}}", member);
        snprintf(expected, sizeof expected, "{\"m\":\"%s\"}", member);

        char *told = tell("claim:c", text);
        unsigned char decoded[2048];
        size_t decoded_len;
        struct span value = span_until(span_of(told + 8), strlen(told) - 10);
        ck_assert_int_eq(base64url_decode(value, decoded, &decoded_len), 0);
        ck_assert_msg(span_equal_text((struct span){(const char *)decoded, decoded_len}, expected),
                      "%zu: %s", len, told);
        free(told);
    }
}

/* Left out, it would be taken for a claim that the token does not have. */
TEST(a_claim_that_does_not_fit_is_no_absent_one) {
    struct config_identity_header told = {(char[]){"X-Told"}, (char[]){"claim:c"}};
    struct config config = {.identity_headers = &told,
                            .identity_header_count = 1,
                            .assertion = {.header = (char[]){""}}};
    struct forward_rules *rules = forward_rules_new(&config);
    struct principal *principal = NULL;
    struct refusal refusal;
    struct jtree *claims =
        claims_of(json_pack("{s:s, s:{s:s}}", "sub", "a", "c", "m", "0123456789"));
    ck_assert(principal_make(claims, &issuer, 0, &principal, &refusal));
    jtree_unref(claims);

    for (size_t room = 0; room <= 34; room++) {
        struct buf out = buf_make(room);
        forward_add_identity(rules, principal, &out);
        ck_assert_msg(buf_ok(&out) == (room == 34), "%zu", room);
        buf_done(&out);
    }
    principal_unref(principal);
    forward_rules_free(rules);
}

TEST(headers_come_in_the_order_of_the_configuration_and_none_for_strangers) {
    struct config_identity_header told[] = {
        {(char[]){"X-Roles"}, (char[]){"roles"}},
        {(char[]){"X-User"}, (char[]){"user"}},
        {(char[]){"X-Sub"}, (char[]){"subject"}},
    };
    struct config config = {
        .identity_headers = told, .identity_header_count = 3, .assertion.header = (char[]){""}};
    struct forward_rules *rules = forward_rules_new(&config);
    struct principal *principal = NULL;
    struct refusal refusal;
    struct jtree *claims = claims_of(json_pack("{s:s, s:[s]}", "sub", "alice", "roles", "r"));
    ck_assert(principal_make(claims, &issuer, 0, &principal, &refusal));
    jtree_unref(claims);

    struct buf out = buf_make(1024), small = buf_make(20);
    forward_add_identity(rules, NULL, &out);
    ck_assert_uint_eq(out.len, 0);
    forward_add_identity(rules, principal, &out);
    ck_assert_str_eq(out.data, "X-Roles: r\r\nX-User: alice\r\nX-Sub: alice\r\n");
    forward_add_identity(rules, principal, &small);
    ck_assert(!buf_ok(&small));
    buf_done(&small);
    buf_done(&out);
    principal_unref(principal);
    forward_rules_free(rules);
}
