#include "server/token/principal.h"

#include <stdlib.h>

#include "server/token/principal_make.h"
#include "tests/support/claims.h"
#include "tests/unit/server/token/judge.h"

static void open_with(struct judge *judge, const char *options) {
    judge_open(judge, options, MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL)));
}

/* --- scopes ---------------------------------------------------------------------------------- */

TEST(d10_a_token_without_the_scope_is_403) {
    static const struct {
        const char *scope; /* "": none */
        bool accepted;
    } cases[] = {
        {"\"read\"", true},
        {"\"a read b\"", true},
        {"\"read read\"", true},
        {"\" read \"", true},
        {"\"a  read\"", true},
        {"", false},
        {"\"\"", false},
        {"\" \"", false},
        {"\"readonly\"", false},
        {"\"READ\"", false},
        {"\"rea\"", false},
        {"\"xread\"", false},
        {"\"read,write\"", false},
        {"\"read\\twrite\"", false},
        {"\"read\\nwrite\"", false},
        {"\"a\\u00a0read\"", false},
        {"\"write:read\"", false},
        {"\"*\"", false},
    };
    struct judge judge;
    open_with(&judge, "");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        judge.path = "/read";
        struct verdict verdict =
            judge_expect(&judge, cases[i].scope, judge_mint("scope", cases[i].scope),
                         cases[i].accepted ? 200 : 403, cases[i].accepted ? "" : "scope_missing");
        ck_assert_str_eq(verdict.text, cases[i].accepted ? "" : "the token lacks the scope 'read'");
        judge.path = "/";
        judge_expect(&judge, cases[i].scope, judge_mint("scope", cases[i].scope), 200, "");
    }
    judge_done(&judge);
}

TEST(d10_a_scope_that_every_token_must_carry_is_asked_for_on_each_route) {
    struct judge judge;
    open_with(&judge, "scopes: [base, second]");
    static const struct {
        const char *path, *scope, *text; /* text NULL: accepted */
    } cases[] = {
        {"/", "\"second base\"", NULL},
        {"/", "\"base\"", "the token lacks the scope 'second'"},
        {"/", "\"read\"", "the token lacks the scope 'base'"},
        {"/open", "\"read\"", "the token lacks the scope 'base'"},
        {"/read", "\"base second\"", "the token lacks the scope 'read'"},
        {"/read", "\"base second read\"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        judge.path = cases[i].path;
        struct verdict verdict =
            judge_expect(&judge, cases[i].scope, judge_mint("scope", cases[i].scope),
                         cases[i].text ? 403 : 200, cases[i].text ? "scope_missing" : "");
        ck_assert_str_eq(verdict.text, cases[i].text ? cases[i].text : "");
    }
    judge_done(&judge);
}

TEST(a_fault_of_the_token_comes_before_a_lack_of_scope) {
    struct judge judge;
    open_with(&judge, "");
    judge.path = "/read";
    judge_expect(&judge, "expired", judge_mint_two("exp", "1", "scope", "\"\""), 401,
                 "token_expired");
    judge_expect(&judge, "bound", judge_mint_two("cnf", "{}", "scope", "\"\""), 401, "token_bound");
    judge_expect(&judge, "wrong type", judge_mint_two("roles", "1", "scope", "\"\""), 401,
                 "claim_invalid");
    judge_expect(&judge, "else good", judge_mint("scope", "\"\""), 403, "scope_missing");
    judge_done(&judge);
}

TEST(d11_scopes_are_a_text_or_an_array_of_the_first_claim_that_is_there) {
    static const struct {
        const char *scope, *scp, *scopes; /* scopes NULL: refused */
    } cases[] = {
        {"\"a b\"", "", "a|b"},
        {"\"  a  b  \"", "", "a|b"},
        {"[\"a\",\"b\"]", "", "a|b"},
        {"[\"a b\"]", "", "a b"}, /* one that no requirement can name */
        {"[]", "", ""},
        {"", "[\"a\",\"b\"]", "a|b"},
        {"", "\"a b\"", "a|b"},
        {"", "", ""},
        {"\"a\"", "\"b\"", "a"},
        {"\"\"", "\"b\"", ""},
        {"[]", "\"b\"", ""},
        {"null", "\"b\"", "b"},
        {"1", "", NULL},
        {"{}", "", NULL},
        {"true", "", NULL},
        {"[1]", "", NULL},
        {"[\"a\",null]", "", NULL},
        {"[[\"a\"]]", "", NULL},
        {"1", "\"b\"", NULL},
        {"", "1", NULL},
        {"\"a\"", "1", "a"}, /* not looked at */
    };
    struct judge judge;
    open_with(&judge, "");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *label = scratch_text("scope %s, scp %s", cases[i].scope, cases[i].scp);
        struct verdict verdict = judge_expect(
            &judge, label, judge_mint_two("scope", cases[i].scope, "scp", cases[i].scp),
            cases[i].scopes ? 200 : 401, cases[i].scopes ? "" : "claim_invalid");
        if (cases[i].scopes) ck_assert_str_eq(verdict.scopes, cases[i].scopes);
        free(label);
    }
    struct verdict verdict = judge_token(&judge, judge_mint("scope", "1"));
    ck_assert_str_eq(verdict.text, "the scope claim of the token is neither a string nor an array "
                                   "of strings");
    verdict = judge_token(&judge, judge_mint("scope", "[1]"));
    ck_assert_str_eq(verdict.text,
                     "the scope claim of the token holds something that is not a string");
    judge_done(&judge);
}

TEST(d11_the_configured_claims_hold_the_scopes) {
    struct judge judge;
    open_with(&judge, "scope_claims: [permissions, \"https://example.org/scopes\", realm.scopes]");
    judge.path = "/read";
    judge_expect(&judge, "scope", judge_mint("scope", "\"read\""), 403, "scope_missing");
    judge_expect(&judge, "array", judge_mint("permissions", "[\"read\"]"), 200, "");
    judge_expect(&judge, "dots", judge_mint("https://example.org/scopes", "\"read\""), 200, "");
    judge_expect(&judge, "nested", judge_mint("realm", "{\"scopes\":[\"read\"]}"), 200, "");
    judge_done(&judge);
}

/* --- roles ----------------------------------------------------------------------------------- */

TEST(d12_roles_are_gathered_along_their_paths_and_never_through_an_array) {
    static const struct {
        const char *name, *raw, *roles; /* roles NULL: refused */
    } cases[] = {
        {"roles", "[\"a\",\"b\"]", "a|b"},
        {"roles", "\"a b\"", "a|b"},
        {"groups", "[\"a b\"]", "a b"},
        {"realm_access", "{\"roles\":[\"a\"]}", "a"},
        {"realm_access.roles", "[\"a\"]", "a"},
        {"realm_access", "[{\"roles\":[\"a\"]}]", ""},
        {"realm_access", "{\"roles\":null}", ""},
        {"realm_access", "\"roles\"", ""},
        {"realm_access", "{\"Roles\":[\"a\"]}", ""},
        {"resource_access", "{\"roles\":[\"a\"]}", ""},
        {"roles", "null", ""},
        {"roles", "1", NULL},
        {"roles", "[1]", NULL},
        {"roles", "[\"a\",\"1\",1]", NULL},
        {"roles", "{\"a\":1}", NULL},
        {"realm_access", "{\"roles\":{}}", NULL},
    };
    struct judge judge;
    open_with(&judge, "");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct verdict verdict =
            judge_expect(&judge, cases[i].raw, judge_mint(cases[i].name, cases[i].raw),
                         cases[i].roles ? 200 : 401, cases[i].roles ? "" : "claim_invalid");
        if (cases[i].roles) ck_assert_str_eq(verdict.roles, cases[i].roles);
    }
    struct verdict verdict = judge_expect(
        &judge, "all", judge_mint_two("roles", "[\"a\"]", "realm_access", "{\"roles\":\"b c\"}"),
        200, "");
    ck_assert_str_eq(verdict.roles, "a|b|c");
    judge_done(&judge);
}

TEST(d12_a_role_is_no_scope) {
    struct judge judge;
    open_with(&judge, "");
    judge.path = "/read";
    judge_expect(&judge, "role", judge_mint("roles", "[\"read\"]"), 403, "scope_missing");
    judge_expect(&judge, "group", judge_mint("groups", "\"read\""), 403, "scope_missing");
    judge_done(&judge);
}

/* --- user ------------------------------------------------------------------------------------ */

static void expect_user(const char *options, char *claims, const char *user) {
    struct judge judge;
    open_with(&judge, options);
    char *label = strdup(claims);
    struct verdict verdict = judge_expect(&judge, label, judge_mint_claims(claims),
                                          user ? 200 : 401, user ? "" : "user_missing");
    ck_assert_str_eq(verdict.user, user ? user : "");
    free(label);
    judge_done(&judge);
}

TEST(the_user_is_the_first_usable_claim) {
    static const struct {
        const char *email, *verified, *user;
    } cases[] = {
        {"\"bob@example.com\"", "", "bob@example.com"},
        {"\"bob@example.com\"", "true", "bob@example.com"},
        {"\"bob@example.com\"", "false", "alice"},
        {"\"bob@example.com\"", "null", "bob@example.com"},
        {"\"bob@example.com\"", "\"false\"", "alice"},
        {"\"bob@example.com\"", "\"False\"", "alice"},
        {"\"bob@example.com\"", "\"true\"", "bob@example.com"},
        {"", "", "alice"},
        {"1", "", "alice"},
        {"null", "", "alice"},
        {"\"\"", "", "alice"},
        {"[\"bob@example.com\"]", "", "alice"},
        {"{}", "true", "alice"},
        {"\"\\u00e4 \\\"b\\\"\"", "", "\xc3\xa4 \"b\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_user(
            "", judge_claims("email", cases[i].email, "email_verified", cases[i].verified, NULL),
            cases[i].user);
}

TEST(the_user_comes_from_the_configured_claims) {
    expect_user("user_claims: [sub]", judge_claims(NULL, NULL), "alice");
    expect_user("user_claims: [sub, email]", judge_claims("email_verified", "false", NULL),
                "alice");
    expect_user("user_claims: [preferred_username, email]",
                judge_claims("preferred_username", "\"al\"", NULL), "al");
    expect_user("user_claims: [profile.name]",
                judge_claims("profile", "{\"name\":\"Alice\"}", NULL), "Alice");
    expect_user("user_claims: [\"https://example.org/name\"]",
                judge_claims("https://example.org/name", "\"Alice\"", NULL), "Alice");
}

TEST(a_token_that_names_no_user_is_refused) {
    expect_user("", judge_claims("sub", "", "email", "", NULL), NULL);
    expect_user("", judge_claims("sub", "", "email_verified", "false", NULL), NULL);
    expect_user("user_claims: [email]", judge_claims("email_verified", "false", NULL), NULL);
    expect_user("user_claims: [upn]", judge_claims(NULL, NULL), NULL);

    struct judge judge;
    open_with(&judge, "");
    ck_assert_str_eq(judge_token(&judge, judge_mint_two("sub", "", "email", "")).text,
                     "the token names no user: it has no usable email or other user claim");
    judge_done(&judge);
    open_with(&judge, "user_claims: [upn]");
    ck_assert_str_eq(judge_token(&judge, judge_mint(NULL, NULL)).text,
                     "the token names no user: it has no usable upn claim");
    judge_done(&judge);
}

/* --- one that was made -------------------------------------------------------------------------
 */

static struct config_issuer issuer = {
    .issuer = (char[]){"https://idp.example"},
    .user_claims = {(char *[]){(char[]){"sub"}}, 1},
    .scope_claims = {(char *[]){(char[]){"scope"}}, 1},
};

static struct principal *principal_of(json_t *claims) {
    struct principal *principal = NULL;
    struct refusal refusal = {0};
    struct jtree *tree = claims_of(claims);
    ck_assert_msg(principal_make(tree, &issuer, 0, &principal, &refusal), "%s", refusal.text);
    jtree_unref(tree);
    return principal;
}

TEST(what_it_costs_grows_with_all_that_it_holds) {
    char text[4001];
    memset(text, 'x', 4000);
    text[4000] = '\0';
    struct principal *small = principal_of(json_pack("{s:s}", "sub", "alice"));
    struct principal *large = principal_of(json_pack("{s:s, s:s}", "sub", "alice", "more", text));
    memset(text, ' ', 4000);
    for (size_t i = 0; i < 4000; i += 2) text[i] = 's';
    struct principal *many = principal_of(json_pack("{s:s, s:s}", "sub", "alice", "scope", text));
    size_t count, ledger = 7;

    ck_assert_uint_gt(principal_size(small), 0);
    ck_assert_uint_lt(principal_size(small), 1000);
    ck_assert_uint_ge(principal_size(large), principal_size(small) + 4000);
    ck_assert_uint_lt(principal_size(large), principal_size(small) + 4200);
    principal_scopes(many, &count);
    ck_assert_uint_eq(count, 2000);
    ck_assert_uint_ge(principal_size(many), principal_size(large) + 2000 * sizeof(struct span));

    principal_charge(large, &ledger);
    ck_assert_uint_eq(ledger, 7 + principal_size(large));
    principal_charge(large, NULL);
    ck_assert_uint_eq(ledger, 7);
    principal_unref(small);
    principal_unref(large);
    principal_unref(many);
}

TEST(the_claims_live_as_long_as_who_they_are_about) {
    struct principal *principal = principal_of(json_pack("{s:s, s:n}", "sub", "alice", "none"));

    ck_assert_ptr_eq(principal_ref(principal), principal);
    principal_unref(principal);
    ck_assert(span_equal_text(principal_user(principal), "alice"));
    ck_assert(span_equal_text(principal_subject(principal), "alice"));
    ck_assert_ptr_nonnull(principal_claim(principal, "sub"));
    ck_assert_ptr_null(principal_claim(principal, "none"));
    ck_assert_ptr_null(principal_claim(principal, "other"));
    principal_unref(principal);
    principal_unref(NULL);
}
