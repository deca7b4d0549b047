#include "tests/unit/server/token/judge.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/answer/problem.h"
#include "server/policy/decision.h"
#include "server/policy/route.h"
#include "server/token/authenticate.h"

#define ROUTES                                                                                     \
    "routes: [{path: /, respond: identity},"                                                       \
    " {path: /open, respond: identity, anonymous: allow},"                                         \
    " {path: /read, respond: identity, require: {scopes: [read]}}]\n"

/* --- opening --------------------------------------------------------------------------------- */

static struct keyset *parse_keys(char *jwks) {
    struct keyset *set = NULL;
    struct err_text why = {""};
    int r = keyset_parse(span_of(jwks), &set, &why);
    ck_assert_msg(r == 0, "%s: %s", jwks, why.text);
    free(jwks);
    return set;
}

static struct config *parse_config(const char *yaml) {
    struct config *config = NULL;
    struct config_report report;
    int r = config_parse(span_of(yaml), "f", &config, &report);
    ck_assert_msg(r == 0, "%s: %s", yaml, report.count ? report.problems[0].text : "");
    config_report_done(&report);
    return config;
}

static void put_keys(struct judge *judge, size_t index, struct keyset *keys) {
    struct pulse *pulse = pulse_new();
    keyring_set(judge->ring, index, keys, judge->now_ms + 1000, pulse);
    pulse_unref(pulse);
}

void judge_open_yaml(struct judge *judge, const char *yaml, char *const *jwks, size_t count) {
    *judge = (struct judge){.path = "/", .now = JUDGE_NOW, .now_ms = 1000, .token_max = 16384};
    judge->verifier = verifier_new();
    judge->config = parse_config(yaml);
    judge->routes = routes_new(judge->config);
    ck_assert_ptr_nonnull(judge->routes);
    ck_assert_uint_eq(judge->config->issuer_count, count);

    judge->ring = keyring_new(judge->config);
    for (size_t i = 0; i < count; i++) {
        struct keyset *keys = jwks[i] ? parse_keys(jwks[i]) : NULL;
        put_keys(judge, i, keys);
        keyset_unref(keys);
    }
}

/* The caller frees the text. */
static char *yaml_of(const char *options) {
    bool has_audience = strstr(options, "audience") != NULL;
    return scratch_text("issuers: [{issuer: \"" JUDGE_ISSUER "\", jwks_uri: \"" JUDGE_ISSUER
                        "/jwks\"%s%s%s}]\n" ROUTES,
                        has_audience ? "" : ", audiences: [api]", *options ? ", " : "", options);
}

void judge_open(struct judge *judge, const char *options, char *jwks) {
    char *yaml = yaml_of(options);
    judge_open_yaml(judge, yaml, &jwks, 1);
    free(yaml);
}

/* A new ring of config; the first issuer's keys are these, all others' those they had. */
static void replace_ring(struct judge *judge, struct config *config, struct keyset *first) {
    struct keyring *old = judge->ring;
    judge->ring = keyring_new(config);
    for (size_t i = 0; i < config->issuer_count; i++)
        put_keys(judge, i, i ? old->entries[i].keys : first);
    keyring_unref(old);
}

void judge_renew_keys(struct judge *judge, char *jwks) {
    struct keyset *keys = parse_keys(jwks);
    replace_ring(judge, judge->config, keys);
    keyset_unref(keys);
}

void judge_reload(struct judge *judge, const char *options) {
    char *yaml = yaml_of(options);
    struct config *config = parse_config(yaml);
    replace_ring(judge, config, judge->ring->entries[0].keys);
    routes_free(judge->routes);
    config_unref(judge->config);
    judge->config = config;
    judge->routes = routes_new(config);
    ck_assert_ptr_nonnull(judge->routes);
    free(yaml);
}

void judge_open_usual(struct judge *judge) {
    judge_open(judge, "",
               MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "r", NULL),
                         mint_jwk(mint_key(MINT_P256), "e", NULL)));
}

void judge_deny(struct judge *judge, const char *text) {
    struct err_text why = {""};
    deny_list_unref(judge->denied);
    judge->denied = NULL;
    int r = deny_list_parse(span_of(text), "deny", &judge->denied, &why);
    ck_assert_msg(r == 0, "%s", why.text);
    judge->denied_generation++;
}

void judge_done(struct judge *judge) {
    deny_list_unref(judge->denied);
    token_cache_free(judge->cache);
    token_cache_free(judge->expired);
    verifier_free(judge->verifier);
    keyring_unref(judge->ring);
    routes_free(judge->routes);
    config_unref(judge->config);
}

/* --- judging --------------------------------------------------------------------------------- */

static void list(char *out, size_t size, const struct span *items, size_t count) {
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        int n = snprintf(out + used, size - used, "%s%.*s", i ? "|" : "", SPAN_PRINTF(items[i]));
        ck_assert(n >= 0 && (size_t)n < size - used);
        used += (size_t)n;
    }
}

static void tell_principal(const struct principal *principal, struct verdict *verdict) {
    size_t count;
    struct span user = principal_user(principal);
    const struct span *scopes = principal_scopes(principal, &count);
    list(verdict->scopes, sizeof verdict->scopes, scopes, count);
    const struct span *roles = principal_roles(principal, &count);
    list(verdict->roles, sizeof verdict->roles, roles, count);
    snprintf(verdict->user, sizeof verdict->user, "%.*s", SPAN_PRINTF(user));
    snprintf(verdict->issuer, sizeof verdict->issuer, "%s", principal_issuer(principal)->issuer);
}

struct verdict judge_header(const struct judge *judge, struct span value, size_t count) {
    struct verdict verdict = {.reason = ""};
    struct refusal refusal = {0};
    struct principal *principal = NULL;
    const struct keyring_entry *entry = NULL;
    struct route_query query = {SPAN_LITERAL("GET"), SPAN_NONE, span_of(judge->path)};
    struct route_match match;
    struct evidence evidence = {.now = judge->now,
                                .now_ms = judge->now_ms,
                                .authorization = value,
                                .authorization_count = count,
                                .denied = judge->denied,
                                .denied_generation = judge->denied_generation};

    struct aids aids = {judge->cache, judge->expired, judge->verifier};

    ck_assert_int_eq(routes_find(judge->routes, &query, &match), ROUTE_FOUND);
    enum authenticated result =
        authenticate(&evidence, judge->ring, &aids, judge->token_max, &principal, &entry, &refusal);
    ck_assert((result == AUTH_PRINCIPAL) == (principal != NULL));
    ck_assert((result == AUTH_NEEDS_KEYS) == (entry != NULL));
    ck_assert_uint_eq(ERR_peek_error(), 0);

    bool allowed = false;
    if (result == AUTH_PRINCIPAL || result == AUTH_ABSENT) {
        struct decision decision = authorize(&match, principal, &evidence, &refusal);
        ck_assert(decision.principal == principal && decision.route == match.route->config);
        allowed = decision.allowed;
    }
    if (principal) tell_principal(principal, &verdict);
    if (entry) snprintf(verdict.issuer, sizeof verdict.issuer, "%s", entry->issuer->issuer);
    principal_unref(principal);

    verdict.needs_keys = result == AUTH_NEEDS_KEYS;
    verdict.status = allowed ? 200 : problem_status(refusal.reason);
    if (allowed) return verdict;
    verdict.reason = reason_name(refusal.reason);
    memcpy(verdict.text, refusal.text, sizeof verdict.text);
    return verdict;
}

struct verdict judge_token(const struct judge *judge, char *token) {
    char *value = scratch_text("Bearer %s", token);
    struct verdict verdict = judge_header(judge, span_of(value), 1);
    free(value);
    free(token);
    return verdict;
}

/* Neither the token nor a part of it that is long enough to be told from other words. */
static void check_quotes_nothing(const char *label, const char *text, const char *token) {
    struct span rest = span_of(token), part;
    while (span_next(&rest, '.', &part))
        if (part.len > 12)
            ck_assert_msg(!memmem(text, strlen(text), part.ptr, part.len), "%s: %s", label, text);
}

struct verdict judge_expect(const struct judge *judge, const char *label, char *token,
                            unsigned status, const char *reason) {
    char *copy = strdup(token);
    struct verdict verdict = judge_token(judge, token);
    ck_assert_msg(verdict.status == status && strcmp(verdict.reason, reason) == 0,
                  "%s: %u %s (%s) where %u %s was expected", label, verdict.status, verdict.reason,
                  verdict.text, status, reason);
    ck_assert_msg((status == 200) == (*verdict.text == '\0'), "%s: %s", label, verdict.text);
    check_quotes_nothing(label, verdict.text, copy);
    free(copy);
    return verdict;
}

/* --- minting --------------------------------------------------------------------------------- */

#define STRING(x) #x
#define TEXT(x) STRING(x)

struct member {
    const char *name;
    const char *raw;
};

static const struct member good[] = {
    {"iss", "\"" JUDGE_ISSUER "\""},
    {"aud", "\"api\""},
    {"sub", "\"alice\""},
    {"email", "\"alice@example.com\""},
    {"scope", "\"openid profile email\""},
    {"iat", TEXT(JUDGE_NOW)},
    {"exp", "1700000300"},
};

static void write_member(FILE *out, bool *first, const char *name, const char *raw) {
    fprintf(out, "%s\"%s\":%s", *first ? "" : ",", name, raw);
    *first = false;
}

static char *write_claims(const struct member *changes, size_t count) {
    char *text = NULL;
    size_t len;
    bool first = true;
    FILE *out = open_memstream(&text, &len);
    ck_assert_ptr_nonnull(out);

    fputc('{', out);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        bool changed = false;
        for (size_t j = 0; j < count; j++) changed |= strcmp(changes[j].name, good[i].name) == 0;
        if (!changed) write_member(out, &first, good[i].name, good[i].raw);
    }
    for (size_t j = 0; j < count; j++)
        if (*changes[j].raw) write_member(out, &first, changes[j].name, changes[j].raw);
    fputc('}', out);
    fclose(out);
    return text;
}

char *judge_claims(const char *member, ...) {
    struct member changes[16];
    size_t count = 0;
    va_list args;

    va_start(args, member);
    for (const char *name = member; name; name = va_arg(args, const char *)) {
        ck_assert_uint_lt(count, ARRAY_LEN(changes));
        changes[count++] = (struct member){name, va_arg(args, const char *)};
    }
    va_end(args);
    return write_claims(changes, count);
}

char *judge_header_text(const char *alg, const char *kid, const char *more) {
    return scratch_text("{\"alg\":\"%s\"%s%s%s%s%s}", alg, kid ? ",\"kid\":\"" : "", kid ? kid : "",
                        kid ? "\"" : "", *more ? "," : "", more);
}

char *judge_mint_claims(char *claims) {
    char *token = mint_token("{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"at+jwt\"}", claims,
                             "RS256", mint_key(MINT_RSA));
    free(claims);
    return token;
}

char *judge_mint(const char *member, const char *raw) {
    return judge_mint_claims(judge_claims(member, raw, NULL));
}

char *judge_mint_two(const char *member, const char *raw, const char *other,
                     const char *other_raw) {
    return judge_mint_claims(judge_claims(member, raw, other, other_raw, NULL));
}

char *judge_mint_header(const char *header, const char *alg, EVP_PKEY *key) {
    char *claims = judge_claims(NULL, NULL);
    char *token = mint_token(header, claims, alg, key);
    free(claims);
    return token;
}
