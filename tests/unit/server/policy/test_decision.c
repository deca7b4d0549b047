#include "server/policy/decision.h"

#include "common/attr.h"
/* The one other place that makes principals: how they come to be is tested with authenticate(). */
#include "server/token/principal_make.h"
#include "tests/support/claims.h"
#include "tests/unit/server/config/texts.h"

/* The first route of config, as a request finds it. */
struct found {
    struct routes *routes;
    struct route_match match;
};

static struct found find_first(const struct config *config) {
    struct found found = {.routes = routes_new(config)};
    struct route_query query = {SPAN_LITERAL("GET"), SPAN_NONE, SPAN_LITERAL("/")};
    ck_assert_ptr_nonnull(found.routes);
    ck_assert_int_eq(routes_find(found.routes, &query, &found.match), ROUTE_FOUND);
    return found;
}

#define BASE "issuers: [{issuer: \"https://idp\", audiences: [api], scopes: [%s]}]\n"

static struct config *load(const char *base, const char *anonymous, const char *scopes) {
    struct buf yaml = buf_make(4096);
    buf_addf(&yaml,
             BASE "routes: [{path: /, respond: identity, anonymous: %s, require: {scopes: [%s]}}]",
             base, anonymous, scopes);
    struct config *config = parse_good(buf_span(&yaml));
    buf_done(&yaml);
    return config;
}

static struct principal *make_principal(const struct config *config, const char *scope) {
    struct principal *principal = NULL;
    struct refusal refusal;
    struct jtree *claims = claims_of(json_pack("{s:s, s:s}", "sub", "alice", "scope", scope));
    ck_assert(principal_make(claims, &config->issuers[0], 0, &principal, &refusal));
    jtree_unref(claims);
    return principal;
}

TEST(a_principal_needs_every_scope_of_issuer_and_route) {
    static const struct {
        const char *base, *route, *has;
        const char *lacks; /* NULL: allowed */
    } rows[] = {
        {"", "", "", NULL},       {"", "", "x", NULL},       {"", "a", "a", NULL},
        {"", "a", "b a c", NULL}, {"", "a, b", "b a", NULL}, {"o", "a", "a o", NULL},
        {"o", "o", "o", NULL},    {"", "a", "", "a"},        {"", "a", "b", "a"},
        {"", "a", "A", "a"},      {"", "a", "ab", "a"},      {"", "ab", "a", "ab"},
        {"", "a, b", "a", "b"},   {"", "a, b", "b", "a"},    {"o", "", "", "o"},
        {"o", "a", "a", "o"},     {"o", "a", "o", "a"},      {"o, p", "a", "o a", "p"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config *config = load(rows[i].base, "deny", rows[i].route);
        struct principal *principal = make_principal(config, rows[i].has);
        struct refusal refusal = {REASON_NO_CREDENTIALS, "untouched"};
        char expected[256] = "untouched";
        if (rows[i].lacks)
            snprintf(expected, sizeof expected, "the token lacks the scope '%s'", rows[i].lacks);
        struct found found = find_first(config);
        struct decision decision =
            authorize(&found.match, principal, &(struct evidence){0}, &refusal);
        ck_assert_msg(decision.allowed == !rows[i].lacks, "row %zu", i);
        ck_assert_str_eq(refusal.text, expected);
        ck_assert_int_eq(refusal.reason,
                         rows[i].lacks ? REASON_SCOPE_MISSING : REASON_NO_CREDENTIALS);
        ck_assert_ptr_eq(decision.principal, principal);
        ck_assert_ptr_eq(decision.route, &config->routes[0]);
        principal_unref(principal);
        routes_free(found.routes);
        config_unref(config);
    }
}

TEST(who_comes_without_credentials_is_let_in_only_where_the_route_says_so) {
    static const struct {
        const char *anonymous, *scopes;
        bool allowed;
    } rows[] = {{"allow", "", true}, {"deny", "", false}, {"deny", "a", false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config *config = load("o", rows[i].anonymous, rows[i].scopes);
        struct refusal refusal = {REASON_NO_CREDENTIALS, "no Authorization header was sent"};
        struct found found = find_first(config);
        struct decision decision = authorize(&found.match, NULL, &(struct evidence){0}, &refusal);
        ck_assert_msg(decision.allowed == rows[i].allowed, "row %zu", i);
        ck_assert_ptr_null(decision.principal);
        ck_assert_int_eq(refusal.reason, REASON_NO_CREDENTIALS);
        ck_assert_str_eq(refusal.text, "no Authorization header was sent");
        routes_free(found.routes);
        config_unref(config);
    }
}

TEST(a_challenge_lists_what_is_needed_each_scope_once) {
    static const struct {
        const char *base, *route, *needed;
    } rows[] = {
        {"", "", ""},           {"o", "", "o"},  {"", "a, b", "a b"},          {"o", "a", "o a"},
        {"o, p", "a", "o p a"}, {"o", "o", "o"}, {"o, a", "a, b, o", "o a b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config *config = load(rows[i].base, "deny", rows[i].route);
        struct principal *principal = make_principal(config, "");
        struct buf scopes = buf_make(256);
        struct found found = find_first(config);
        struct refusal refusal;
        struct decision decision =
            authorize(&found.match, principal, &(struct evidence){0}, &refusal);
        decision_add_scopes(&decision, REASON_SCOPE_MISSING, &scopes);
        ck_assert_msg(span_equal_text(buf_span(&scopes), rows[i].needed), "row %zu: %.*s", i,
                      SPAN_PRINTF(buf_span(&scopes)));
        buf_done(&scopes);
        principal_unref(principal);
        routes_free(found.routes);
        config_unref(config);
    }
}
