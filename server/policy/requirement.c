#include "server/policy/requirement.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/jtree.h"
#include "server/config/pattern.h"

#define NO_CAPTURE (-1)

/* A value that a claim is compared with. */
struct value {
    struct jtree *tree; /* NULL: none was given */
    int capture;        /* index of what the path has there instead; NO_CAPTURE */
};

struct claim_test {
    const struct config_claim *config;
    struct value equals;
    struct value contains;
    struct value *one_of;
    struct jtree *at_least; /* NULL: any */
    struct jtree *at_most;
};

struct requirement {
    unsigned refs; /* of the outermost one */
    const struct config *config;
    const struct config_requirement *own;
    struct claim_test *claims;
    struct requirement *all_of;
    struct requirement *any_of;
    struct requirement * not ;
};

/* --- made of a configuration --------------------------------------------------------------- */

static bool fill(struct requirement *requirement, const struct config *config,
                 const struct config_requirement *own, struct span path);

/* False without memory only: the configuration was checked. */
static bool read_value(const char *text, struct span path, struct value *ret) {
    struct span name;

    *ret = (struct value){NULL, NO_CAPTURE};
    if (!*text) return true;
    if (jtree_read_value(span_of(text), &ret->tree, NULL) < 0) return false;
    if (pattern_is_capture(jnode_text(ret->tree->root), &name))
        ret->capture = pattern_find_capture(path, name);
    return true;
}

static bool read_number(const char *text, struct jtree **ret) {
    return !*text || jtree_read_value(span_of(text), ret, NULL) == 0;
}

static bool fill_claim(struct claim_test *test, const struct config_claim *config,
                       struct span path) {
    test->config = config;
    test->one_of = calloc(config->one_of.count + 1, sizeof *test->one_of);
    if (!test->one_of) return false;
    for (size_t i = 0; i < config->one_of.count; i++)
        if (!read_value(config->one_of.items[i], path, &test->one_of[i])) return false;
    return read_value(config->equals, path, &test->equals) &&
           read_value(config->contains, path, &test->contains) &&
           read_number(config->at_least, &test->at_least) &&
           read_number(config->at_most, &test->at_most);
}

static bool fill_claims(struct requirement *requirement, struct span path) {
    const struct config_requirement *own = requirement->own;

    requirement->claims = calloc(own->claim_count + 1, sizeof *requirement->claims);
    for (size_t i = 0; requirement->claims && i < own->claim_count; i++)
        if (!fill_claim(&requirement->claims[i], &own->claims[i], path)) return false;
    return requirement->claims != NULL;
}

/* Several, one behind the other; made even where there are none. */
static struct requirement *fill_list(const struct config *config,
                                     const struct config_requirement *own, size_t count,
                                     struct span path, bool *ok) {
    struct requirement *list = calloc(count + 1, sizeof *list);
    if (!list) *ok = false;
    for (size_t i = 0; list && i < count; i++)
        if (!fill(&list[i], config, &own[i], path)) *ok = false;
    return list;
}

static bool fill(struct requirement *requirement, const struct config *config,
                 const struct config_requirement *own, struct span path) {
    bool ok = true;

    requirement->config = config;
    requirement->own = own;
    requirement->all_of = fill_list(config, own->all_of, own->all_of_count, path, &ok);
    requirement->any_of = fill_list(config, own->any_of, own->any_of_count, path, &ok);
    if (own->not ) requirement->not = fill_list(config, own->not, 1, path, &ok);
    return fill_claims(requirement, path) && ok;
}

static void clear(struct requirement *requirement) {
    const struct config_requirement *own = requirement->own;

    for (size_t i = 0; requirement->claims && i < own->claim_count; i++) {
        struct claim_test *test = &requirement->claims[i];
        for (size_t k = 0; test->one_of && k < test->config->one_of.count; k++)
            jtree_unref(test->one_of[k].tree);
        free(test->one_of);
        jtree_unref(test->equals.tree);
        jtree_unref(test->contains.tree);
        jtree_unref(test->at_least);
        jtree_unref(test->at_most);
    }
    for (size_t i = 0; requirement->all_of && i < own->all_of_count; i++)
        clear(&requirement->all_of[i]);
    for (size_t i = 0; requirement->any_of && i < own->any_of_count; i++)
        clear(&requirement->any_of[i]);
    if (requirement->not ) clear(requirement->not );
    free(requirement->claims);
    free(requirement->all_of);
    free(requirement->any_of);
    free(requirement->not );
}

struct requirement *requirement_new(const struct config *config,
                                    const struct config_requirement *own, const char *path) {
    CLEANUP(requirement_unrefp) struct requirement *requirement = calloc(1, sizeof *requirement);
    if (!requirement) return NULL;
    requirement->refs = 1;
    if (!fill(requirement, config, own, span_of(path))) return NULL;
    return TAKE_PTR(requirement);
}

struct requirement *requirement_ref(struct requirement *requirement) {
    requirement->refs++;
    return requirement;
}

void requirement_unref(struct requirement *requirement) {
    if (!requirement || --requirement->refs) return;
    if (requirement->own) clear(requirement);
    free(requirement);
}

/* --- words --------------------------------------------------------------------------------- */

#define WORDS_MAX 160

/* "'a', 'b'", cut short where it is long. */
static const char *list_words(const struct strings *strings, char words[WORDS_MAX]) {
    size_t at = 0;
    words[0] = '\0';
    for (size_t i = 0; i < strings->count && at < WORDS_MAX - 1; i++) {
        int n = snprintf(words + at, WORDS_MAX - at, "%s'%.48s'", i ? ", " : "", strings->items[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    return words;
}

/* A claim or a value as it may stand in a description. */
static const char *node_words(const struct jnode *node, char words[WORDS_MAX]) {
    struct span text = span_until(jnode_text(node), 100);
    CLEANUP(buf_done) struct buf json = buf_make(WORDS_MAX - 1);

    if (jnode_is(node, JTYPE_STRING))
        snprintf(words, WORDS_MAX, "'%.*s'", SPAN_PRINTF(text));
    else if (jnode_is(node, JTYPE_OBJECT) || jnode_is(node, JTYPE_ARRAY))
        snprintf(words, WORDS_MAX, "%s", jnode_is(node, JTYPE_OBJECT) ? "an object" : "a list");
    else {
        jnode_write(node, &json);
        snprintf(words, WORDS_MAX, "%s", buf_ok(&json) ? json.data : "another");
    }
    return words;
}

/* --- scopes and roles ---------------------------------------------------------------------- */

static const struct config_role *find_role(const struct config *config, struct span name) {
    for (size_t i = 0; i < config->role_count; i++)
        if (span_equal_text(name, config->roles[i].name)) return &config->roles[i];
    return NULL;
}

static bool lists(const struct strings *strings, const char *text) {
    for (size_t i = 0; i < strings->count; i++)
        if (strcmp(strings->items[i], text) == 0) return true;
    return false;
}

static bool claims_role(const struct principal *principal, const char *role) {
    size_t count;
    const struct span *roles = principal_roles(principal, &count);
    for (size_t i = 0; i < count; i++)
        if (span_equal_text(roles[i], role)) return true;
    return false;
}

/* By the token itself, or by a role that stands for it. */
static bool has_scope(const struct config *config, const struct principal *principal,
                      const char *scope) {
    size_t count;
    if (principal_has_scope(principal, scope)) return true;
    if (config->role_count == 0) return false;
    const struct span *roles = principal_roles(principal, &count);
    for (size_t i = 0; i < count; i++) {
        const struct config_role *role = find_role(config, roles[i]);
        if (role && lists(&role->scopes, scope)) return true;
    }
    return false;
}

/* By a role claim, or by all the scopes that the role stands for. */
static bool has_role(const struct config *config, const struct principal *principal,
                     const char *name) {
    if (claims_role(principal, name)) return true;
    const struct config_role *role = find_role(config, span_of(name));
    if (!role) return false;
    for (size_t i = 0; i < role->scopes.count; i++)
        if (!has_scope(config, principal, role->scopes.items[i])) return false;
    return role->scopes.count > 0;
}

typedef bool has_one(const struct config *config, const struct principal *principal,
                     const char *name);

static const char *first_lacking(const struct requirement *requirement,
                                 const struct principal *principal, const struct strings *all,
                                 has_one *has) {
    for (size_t i = 0; i < all->count; i++)
        if (!has(requirement->config, principal, all->items[i])) return all->items[i];
    return NULL;
}

/* True where there are none to have. */
static bool has_any(const struct requirement *requirement, const struct principal *principal,
                    const struct strings *any, has_one *has) {
    for (size_t i = 0; i < any->count; i++)
        if (has(requirement->config, principal, any->items[i])) return true;
    return any->count == 0;
}

static bool check_scopes(const struct requirement *requirement,
                         const struct requirement_facts *facts, struct refusal *refusal) {
    const struct config_requirement *own = requirement->own;
    char words[WORDS_MAX];

    const char *lacking = first_lacking(requirement, facts->principal, &own->scopes, has_scope);
    if (lacking)
        return refuse(refusal, REASON_SCOPE_MISSING, "the token lacks the scope '%.100s'", lacking);
    if (!has_any(requirement, facts->principal, &own->any_scopes, has_scope))
        return refuse(refusal, REASON_SCOPE_MISSING, "the token has none of the scopes %s",
                      list_words(&own->any_scopes, words));
    return true;
}

static bool check_roles(const struct requirement *requirement,
                        const struct requirement_facts *facts, struct refusal *refusal) {
    const struct config_requirement *own = requirement->own;
    char words[WORDS_MAX];

    const char *lacking = first_lacking(requirement, facts->principal, &own->roles, has_role);
    if (lacking)
        return refuse(refusal, REASON_ROLE_MISSING, "the caller lacks the role '%.100s'", lacking);
    if (!has_any(requirement, facts->principal, &own->any_roles, has_role))
        return refuse(refusal, REASON_ROLE_MISSING, "the caller has none of the roles %s",
                      list_words(&own->any_roles, words));
    return true;
}

static bool check_issuers(const struct requirement *requirement,
                          const struct requirement_facts *facts, struct refusal *refusal) {
    const struct strings *issuers = &requirement->own->issuers;

    if (issuers->count == 0 || lists(issuers, principal_issuer(facts->principal)->issuer))
        return true;
    return refuse(refusal, REASON_ISSUER_NOT_ALLOWED,
                  "tokens of the issuer %.200s are not accepted for this path",
                  principal_issuer(facts->principal)->issuer);
}

static bool names_audience(const struct jnode *aud, const char *audience) {
    if (span_equal_text(jnode_text(aud), audience)) return true;
    for (const struct jnode *item = jarray_first(aud); item; item = jnode_next(aud, item))
        if (span_equal_text(jnode_text(item), audience)) return true;
    return false;
}

/* A token that was made for another resource must not open this one (RFC 8707 section 2). */
static bool check_audiences(const struct requirement *requirement,
                            const struct requirement_facts *facts, struct refusal *refusal) {
    const struct strings *audiences = &requirement->own->audiences;
    char words[WORDS_MAX];

    if (audiences->count == 0) return true;
    const struct jnode *aud = principal_claim(facts->principal, "aud");
    for (size_t i = 0; i < audiences->count; i++)
        if (names_audience(aud, audiences->items[i])) return true;
    return refuse(refusal, REASON_AUDIENCE_MISMATCH,
                  "the token is not for this resource; its audience must be %s%s",
                  audiences->count > 1 ? "one of " : "", list_words(audiences, words));
}

/* --- claims -------------------------------------------------------------------------------- */

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/*
 * Is the segment, with its escapes decoded, that text? In a normal path escapes are whole and none
 * stands for '/', so that "acme%20corp" is one name and nothing else.
 */
static bool segment_equals(struct span segment, struct span text) {
    size_t at = 0;
    for (size_t i = 0; i < segment.len; i++, at++) {
        char c = segment.ptr[i];
        if (c == '%' && i + 2 < segment.len) {
            c = (char)(hex(segment.ptr[i + 1]) << 4 | hex(segment.ptr[i + 2]));
            i += 2;
        }
        if (at == text.len || text.ptr[at] != c) return false;
    }
    return at == text.len;
}

/* What the path has, against a claim that is a text or a whole number. */
static bool capture_equals(const struct jnode *claim, struct span segment) {
    char digits[24];

    if (jnode_is(claim, JTYPE_STRING)) return segment_equals(segment, jnode_text(claim));
    if (!jnode_is(claim, JTYPE_INTEGER)) return false;
    snprintf(digits, sizeof digits, "%" PRId64, claim->integer);
    return segment_equals(segment, span_of(digits));
}

static const struct jnode *node_of(const struct value *value) {
    return value->tree ? value->tree->root : NULL;
}

/* Of the same type, too: "5" is not 5, and "true" is not true. */
static bool value_equals(const struct jnode *claim, const struct value *value,
                         const struct requirement_facts *facts) {
    if (value->capture != NO_CAPTURE) return capture_equals(claim, facts->captures[value->capture]);
    return jnode_equal(claim, node_of(value));
}

static bool has_word(const struct jnode *claim, const struct value *value,
                     const struct requirement_facts *facts) {
    struct span rest = jnode_text(claim), word;

    while (span_next(&rest, ' ', &word)) {
        if (word.len == 0) continue;
        if (value->capture != NO_CAPTURE ? segment_equals(facts->captures[value->capture], word)
                                         : span_equal(word, jnode_text(node_of(value))))
            return true;
    }
    return false;
}

static bool value_is_in(const struct jnode *claim, const struct value *value,
                        const struct requirement_facts *facts) {
    if (jnode_is(claim, JTYPE_STRING)) return has_word(claim, value, facts);
    for (const struct jnode *item = jarray_first(claim); item; item = jnode_next(claim, item))
        if (value_equals(item, value, facts)) return true;
    return false;
}

/* Order of two numbers: below 0, 0, above 0. Whole numbers are compared as such: a double would
 * round the large ones. */
static int compare_numbers(const struct jnode *a, const struct jnode *b) {
    if (jnode_is(a, JTYPE_INTEGER) && jnode_is(b, JTYPE_INTEGER))
        return (a->integer > b->integer) - (a->integer < b->integer);
    return (jnode_number(a) > jnode_number(b)) - (jnode_number(a) < jnode_number(b));
}

static bool refuse_claim(const struct claim_test *test, const struct jnode *claim, const char *must,
                         const struct jtree *value, struct refusal *refusal) {
    char came[WORDS_MAX], wanted[WORDS_MAX] = "";

    if (value) node_words(value->root, wanted);
    if (!claim)
        return refuse(refusal, REASON_CLAIM_NOT_MET, "the token has no claim %.100s; it must %s%s",
                      test->config->name, must, wanted);
    return refuse(refusal, REASON_CLAIM_NOT_MET, "the claim %.100s is %s; it must %s%s",
                  test->config->name, node_words(claim, came), must, wanted);
}

/* What the path has is told as the path has it. */
static bool refuse_value(const struct claim_test *test, const struct jnode *claim, const char *must,
                         const struct value *value, struct refusal *refusal) {
    return refuse_claim(test, claim, must, value->tree, refusal);
}

static bool check_one_of(const struct claim_test *test, const struct jnode *claim,
                         const struct requirement_facts *facts, struct refusal *refusal) {
    size_t count = test->config->one_of.count;
    for (size_t i = 0; i < count; i++)
        if (claim && value_equals(claim, &test->one_of[i], facts)) return true;
    if (count == 0) return true;
    return refuse_value(test, claim, count > 1 ? "be one of several, such as " : "be ",
                        &test->one_of[0], refusal);
}

static bool check_range(const struct claim_test *test, const struct jnode *claim,
                        struct refusal *refusal) {
    bool number = jnode_is_number(claim);
    if (test->at_least && (!number || compare_numbers(claim, test->at_least->root) < 0))
        return refuse_claim(test, claim, "be a number, at least ", test->at_least, refusal);
    if (test->at_most && (!number || compare_numbers(claim, test->at_most->root) > 0))
        return refuse_claim(test, claim, "be a number, at most ", test->at_most, refusal);
    return true;
}

static bool check_claim(const struct claim_test *test, const struct requirement_facts *facts,
                        struct refusal *refusal) {
    const struct jnode *claim = principal_claim(facts->principal, test->config->name);

    if (test->config->present == PRESENT_YES && !claim)
        return refuse_claim(test, claim, "be there", NULL, refusal);
    if (test->config->present == PRESENT_NO && claim)
        return refuse_claim(test, claim, "not be there", NULL, refusal);
    if (test->equals.tree && !(claim && value_equals(claim, &test->equals, facts)))
        return refuse_value(test, claim, "be ", &test->equals, refusal);
    if (test->contains.tree && !(claim && value_is_in(claim, &test->contains, facts)))
        return refuse_value(test, claim, "contain ", &test->contains, refusal);
    return check_one_of(test, claim, facts, refusal) && check_range(test, claim, refusal);
}

static bool check_claims(const struct requirement *requirement,
                         const struct requirement_facts *facts, struct refusal *refusal) {
    for (size_t i = 0; i < requirement->own->claim_count; i++)
        if (!check_claim(&requirement->claims[i], facts, refusal)) return false;
    return true;
}

/* --- ages and logins ----------------------------------------------------------------------- */

/* 9999-12-31T23:59:59Z: what is said to be later is no date. */
#define NUMERIC_DATE_MAX 253402300799

/* Was the moment of that claim no longer ago than limit, in milliseconds? 0: there is no limit. */
static bool check_age(const struct requirement_facts *facts, const char *name, int64_t limit,
                      enum reason reason, const char *what, struct refusal *refusal) {
    int64_t leeway = principal_issuer(facts->principal)->leeway / 1000;
    char when[CLOCK_TEXT_MAX], now[CLOCK_TEXT_MAX], words[CLOCK_WORDS_MAX], most[CLOCK_WORDS_MAX];

    if (limit == 0) return true;
    const struct jnode *claim = principal_claim(facts->principal, name);
    double moment = jnode_is_number(claim) ? jnode_number(claim) : -1;
    if (!(moment >= 0 && moment <= NUMERIC_DATE_MAX))
        return refuse(refusal, reason, "%s: the token has no %s claim that is a date", what, name);
    int64_t seconds = (int64_t)moment, age = facts->now - seconds;
    /* A login that is still to come proves nothing about the past. */
    if (age <= limit / 1000 + leeway && age >= -leeway) return true;
    return refuse(refusal, reason,
                  "%s at %s; current time %s, %s %s; at most %s are accepted here, allowed clock "
                  "skew %" PRId64 " s",
                  what, clock_format(seconds, when), clock_format(facts->now, now),
                  clock_words(age, words), age >= 0 ? "later" : "earlier",
                  clock_words(limit / 1000, most), leeway);
}

static bool check_acr(const struct requirement *requirement, const struct requirement_facts *facts,
                      struct refusal *refusal) {
    const struct strings *wanted = &requirement->own->acr;
    char words[WORDS_MAX], came[WORDS_MAX];

    if (wanted->count == 0) return true;
    const struct jnode *acr = principal_claim(facts->principal, "acr");
    for (size_t i = 0; i < wanted->count; i++)
        if (span_equal_text(jnode_text(acr), wanted->items[i])) return true;
    if (!acr)
        return refuse(refusal, REASON_ACR_NOT_MET,
                      "the token does not say how the user logged in (acr); it must be %s%s",
                      wanted->count > 1 ? "one of " : "", list_words(wanted, words));
    return refuse(refusal, REASON_ACR_NOT_MET, "the user logged in by %s (acr); it must be %s%s",
                  node_words(acr, came), wanted->count > 1 ? "one of " : "",
                  list_words(wanted, words));
}

static bool check_token_age(const struct requirement *requirement,
                            const struct requirement_facts *facts, struct refusal *refusal) {
    return check_age(facts, "iat", requirement->own->max_token_age, REASON_TOKEN_TOO_OLD,
                     "the token was issued", refusal);
}

static bool check_auth_age(const struct requirement *requirement,
                           const struct requirement_facts *facts, struct refusal *refusal) {
    return check_age(facts, "auth_time", requirement->own->max_auth_age, REASON_LOGIN_TOO_OLD,
                     "the user logged in", refusal);
}

/* --- what is given ------------------------------------------------------------------------- */

static bool wants_token_age(const struct config_requirement *own) {
    return own->max_token_age != 0;
}

static bool wants_acr(const struct config_requirement *own) {
    return own->acr.count != 0;
}

static bool wants_auth_age(const struct config_requirement *own) {
    return own->max_auth_age != 0;
}

static bool wants_issuers(const struct config_requirement *own) {
    return own->issuers.count != 0;
}

static bool wants_audiences(const struct config_requirement *own) {
    return own->audiences.count != 0;
}

static bool wants_scopes(const struct config_requirement *own) {
    return own->scopes.count || own->any_scopes.count;
}

static bool wants_roles(const struct config_requirement *own) {
    return own->roles.count || own->any_roles.count;
}

static bool wants_claims(const struct config_requirement *own) {
    return own->claim_count != 0;
}

static bool wants_opposite(const struct config_requirement *own) {
    return own->not != NULL;
}

/* --- all of it ----------------------------------------------------------------------------- */

static struct requirement_facts silence(const struct requirement_facts *facts) {
    return (struct requirement_facts){facts->principal, facts->captures, facts->now, NULL};
}

static bool check_alternatives(const struct requirement *requirement,
                               const struct requirement_facts *facts,
                               const struct requirement **ret_by, struct refusal *refusal) {
    /* What one alternative lacks is no fault where another is met. */
    struct requirement_facts silent = silence(facts);
    const struct requirement *by;
    struct refusal other;
    size_t count = requirement->own->any_of_count;

    for (size_t i = 0; i < count; i++) {
        if (!requirement_check(&requirement->any_of[i], &silent, i ? &by : ret_by,
                               i ? &other : refusal))
            continue;
        TRACE_GOOD(facts->trace, "requires any_of", "number %zu of %zu is met", i + 1, count);
        return true;
    }
    for (size_t i = 0; facts->trace && i < count; i++)
        if (!requirement_check(&requirement->any_of[i], &silent, &by, &other))
            TRACE_BAD(facts->trace, "requires any_of", "number %zu of %zu: %s", i + 1, count,
                      other.text);
    return count == 0;
}

static bool check_opposite(const struct requirement *requirement,
                           const struct requirement_facts *facts, struct refusal *refusal) {
    /* What is good for the requirement inside is bad here, and would only confuse. */
    struct requirement_facts silent = silence(facts);
    const struct requirement *by;
    struct refusal unused;

    if (!requirement->not || !requirement_check(requirement->not, &silent, &by, &unused))
        return true;
    return refuse(refusal, REASON_RULED_OUT, "the token has what is ruled out for this path");
}

#define LIST(member) offsetof(struct config_requirement, member)
#define LISTS_NOTHING SIZE_MAX

/* In this order. */
static const struct {
    const char *step;
    size_t list; /* where in a requirement stands what it lists */
    bool (*given)(const struct config_requirement *own);
    bool (*met)(const struct requirement *requirement, const struct requirement_facts *facts,
                struct refusal *refusal);
} checks[] = {
    {"audience", LIST(audiences), wants_audiences, check_audiences},
    {"token age", LISTS_NOTHING, wants_token_age, check_token_age},
    {"login", LIST(acr), wants_acr, check_acr},
    {"login age", LISTS_NOTHING, wants_auth_age, check_auth_age},
    {"issuer", LIST(issuers), wants_issuers, check_issuers},
    {"scopes", LIST(scopes), wants_scopes, check_scopes},
    {"roles", LIST(roles), wants_roles, check_roles},
    {"claims", LISTS_NOTHING, wants_claims, check_claims},
    {"not", LISTS_NOTHING, wants_opposite, check_opposite},
};

static void note_check(const struct trace *trace, size_t index,
                       const struct config_requirement *own, const struct refusal *refusal) {
    char step[32], words[WORDS_MAX] = "";

    snprintf(step, sizeof step, "requires %s", checks[index].step);
    if (checks[index].list != LISTS_NOTHING)
        list_words((const void *)((const char *)own + checks[index].list), words);
    TRACE(trace, step, !refusal, "%s%s%s", refusal ? refusal->text : "met",
          refusal || !*words ? "" : ": ", refusal ? "" : words);
}

/* The first fault counts; with a trace the others are looked for, too. */
static bool check_own(const struct requirement *requirement, const struct requirement_facts *facts,
                      struct refusal *refusal) {
    bool met = true;

    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        struct refusal told;
        if (!checks[i].given(requirement->own)) continue;
        bool good = checks[i].met(requirement, facts, &told);
        if (facts->trace) note_check(facts->trace, i, requirement->own, good ? NULL : &told);
        if (good) continue;
        if (met) *refusal = told;
        if (!facts->trace) return false;
        met = false;
    }
    return met;
}

/* What is wrong with the token or the login, in all parts that must be met. */
static bool check_ages(const struct requirement *requirement, const struct requirement_facts *facts,
                       const struct requirement **ret_by, struct refusal *refusal) {
    *ret_by = requirement;
    if (!check_audiences(requirement, facts, refusal) ||
        !check_token_age(requirement, facts, refusal) || !check_acr(requirement, facts, refusal) ||
        !check_auth_age(requirement, facts, refusal))
        return false;
    for (size_t i = 0; i < requirement->own->all_of_count; i++)
        if (!check_ages(&requirement->all_of[i], facts, ret_by, refusal)) return false;
    return true;
}

/* Behind a fault: the parts from that one on, for the trace alone. */
static void note_rest(const struct requirement *requirement, const struct requirement_facts *facts,
                      size_t from) {
    const struct requirement *by;
    struct refusal unused;
    bool met = true;

    for (size_t i = from; facts->trace && i < requirement->own->all_of_count; i++)
        met = requirement_check(&requirement->all_of[i], facts, &by, &unused);
    if (facts->trace) met = check_alternatives(requirement, facts, &by, &unused);
    (void)met;
}

static bool check_parts(const struct requirement *requirement,
                        const struct requirement_facts *facts, const struct requirement **ret_by,
                        struct refusal *refusal) {
    *ret_by = requirement;
    if (!check_own(requirement, facts, refusal)) {
        note_rest(requirement, facts, 0);
        return false;
    }
    for (size_t i = 0; i < requirement->own->all_of_count; i++) {
        if (requirement_check(&requirement->all_of[i], facts, ret_by, refusal)) continue;
        note_rest(requirement, facts, i + 1);
        return false;
    }
    if (!check_alternatives(requirement, facts, ret_by, refusal)) return false;
    *ret_by = requirement;
    return true;
}

/* What else there is to say about a requirement that is not met, for the trace alone. */
static void note_parts(const struct requirement *requirement,
                       const struct requirement_facts *facts) {
    const struct requirement *by;
    struct refusal unused;
    bool met = check_parts(requirement, facts, &by, &unused);
    (void)met;
}

bool requirement_check(const struct requirement *requirement, const struct requirement_facts *facts,
                       const struct requirement **ret_by, struct refusal *refusal) {
    if (check_ages(requirement, facts, ret_by, refusal))
        return check_parts(requirement, facts, ret_by, refusal);
    if (facts->trace) note_parts(requirement, facts);
    return false;
}

/* --- what would help ----------------------------------------------------------------------- */

static void add_scope(struct buf *out, const char *scope) {
    struct span rest = buf_span(out), there;
    while (span_next(&rest, ' ', &there))
        if (span_equal_text(there, scope)) return;
    buf_addf(out, "%s%s", out->len ? " " : "", scope);
}

static void add_scopes(struct buf *out, const struct strings *scopes) {
    for (size_t i = 0; i < scopes->count; i++) add_scope(out, scopes->items[i]);
}

static void add_role(struct buf *out, const struct config *config, const char *name) {
    const struct config_role *role = find_role(config, span_of(name));
    if (role) add_scopes(out, &role->scopes);
}

void requirement_add_scopes(const struct requirement *requirement, const struct requirement *by,
                            struct buf *out) {
    const struct config_requirement *own = by->own;

    add_scopes(out, &requirement->own->scopes);
    add_scopes(out, &own->scopes);
    if (own->any_scopes.count) add_scope(out, own->any_scopes.items[0]);
    for (size_t i = 0; i < own->roles.count; i++) add_role(out, by->config, own->roles.items[i]);
    if (own->any_roles.count) add_role(out, by->config, own->any_roles.items[0]);
}

void requirement_add_acr(const struct requirement *by, struct buf *out) {
    add_scopes(out, &by->own->acr);
}

int64_t requirement_max_auth_age(const struct requirement *by) {
    return by->own->max_auth_age / 1000;
}
