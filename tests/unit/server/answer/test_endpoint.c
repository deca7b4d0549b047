#include "server/answer/endpoint.h"

#include "common/attr.h"
/* The one other place that makes principals: how they come to be is tested with authenticate(). */
#include "server/token/principal_make.h"
#include "tests/support/claims.h"
#include "tests/unit/server/config/texts.h"

static struct principal *make_principal(const struct config *config, const char *user,
                                        const char *scope) {
    struct principal *principal = NULL;
    struct refusal refusal;
    struct jtree *claims = claims_of(json_pack("{s:s, s:s}", "sub", user, "scope", scope));
    ck_assert(principal_make(claims, &config->issuers[0], 0, &principal, &refusal));
    jtree_unref(claims);
    return principal;
}

#define ROUTES "routes: [{path: /, respond: identity}, {path: /profile/, respond: profile}]\n"
enum { IDENTITY, PROFILE };

TEST(endpoints_answer_byte_for_byte) {
    static const struct {
        int route;
        const char *user; /* NULL: nobody */
        const char *scope;
        const char *body;
    } rows[] = {
        {IDENTITY, "bob@example.com", "", "{\"username\":\"bob@example.com\",\"anonymous\":false}"},
        {IDENTITY, "b\"o\\b\n\x7f\xc3\xb6", "",
         "{\"username\":\"b\\\"o\\\\b\\n\\u007f\xc3\xb6\",\"anonymous\":false}"},
        {IDENTITY, NULL, "", "{\"anonymous\":true}"},
        {PROFILE, "bob", "openid profile email",
         "{\"user\":{\"username\":\"bob\"},\"auth\":{\"scopes\":"
         "[\"openid\",\"profile\",\"email\",\"authenticated\"]}}"},
        {PROFILE, "bob", "",
         "{\"user\":{\"username\":\"bob\"},\"auth\":{\"scopes\":[\"authenticated\"]}}"},
        {PROFILE, "bob", "authenticated a",
         "{\"user\":{\"username\":\"bob\"},\"auth\":{\"scopes\":[\"authenticated\",\"a\"]}}"},
        {PROFILE, "bob", "a\"b",
         "{\"user\":{\"username\":\"bob\"},\"auth\":{\"scopes\":[\"a\\\"b\",\"authenticated\"]}}"},
        {PROFILE, NULL, "", "{\"user\":{},\"auth\":{\"scopes\":[]}}"},
    };
    struct config *config = parse_good(SPAN_LITERAL(ISSUER ROUTES));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct principal *principal =
            rows[i].user ? make_principal(config, rows[i].user, rows[i].scope) : NULL;
        struct decision decision = {
            .allowed = true, .route = &config->routes[rows[i].route], .principal = principal};
        struct answer answer = endpoint_answer(&decision);
        ck_assert(answer_ok(&answer));
        ck_assert_uint_eq(answer.status, 200);
        ck_assert_str_eq(answer.body.data, rows[i].body);
        ck_assert(answer.challenge.len == 0 && answer.allow.len == 0 && !answer.close);
        answer_done(&answer);
        principal_unref(principal);
    }
    config_unref(config);
}

TEST(without_an_allowing_decision_there_is_no_answer) {
    struct config *config = parse_good(SPAN_LITERAL(ISSUER ROUTES));
    struct principal *principal = make_principal(config, "bob", "");
    for (int route = IDENTITY; route <= PROFILE; route++) {
        struct decision decision = {.route = &config->routes[route], .principal = principal};
        struct answer answer = endpoint_answer(&decision);
        ck_assert_uint_eq(answer.status, 500);
        ck_assert_ptr_null(strstr(answer.body.data, "bob"));
        answer_done(&answer);
    }
    principal_unref(principal);
    config_unref(config);
}

TEST(the_key_tells_endpoints_apart_and_nothing_else) {
    struct config *config = parse_good(
        SPAN_LITERAL(ISSUER "routes: [{path: /, respond: identity}, {path: /profile/, respond: "
                            "profile}, {path: /me, respond: identity}]\n"));
    struct principal *principal = make_principal(config, "bob", "");
    struct decision one = {.allowed = true, .route = &config->routes[0], .principal = principal};
    struct decision profile = {
        .allowed = true, .route = &config->routes[1], .principal = principal};
    struct decision same = {.allowed = true, .route = &config->routes[2], .principal = NULL};
    struct decision refused = {
        .allowed = false, .route = &config->routes[0], .principal = principal};
    struct decision nowhere = {.allowed = true, .route = NULL, .principal = principal};

    ck_assert_ptr_nonnull(endpoint_key(&one));
    ck_assert_ptr_nonnull(endpoint_key(&profile));
    ck_assert_ptr_ne(endpoint_key(&one), endpoint_key(&profile));
    ck_assert_ptr_eq(endpoint_key(&one), endpoint_key(&same));
    ck_assert_ptr_null(endpoint_key(&refused));
    ck_assert_ptr_null(endpoint_key(&nowhere));
    principal_unref(principal);
    config_unref(config);
}
