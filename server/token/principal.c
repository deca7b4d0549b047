#include "server/token/principal.h"

#include <stdlib.h>

#include "server/token/claims.h"
#include "server/token/principal_make.h"

struct spans {
    struct span *items; /* NULL while they are counted */
    size_t count;
};

/* What may change while the principal stays who it is. */
struct baggage {
    struct memos memos;
    size_t *ledger; /* NULL: nobody asks what it costs */
    size_t charged; /* what stands in the ledger */
};

struct principal {
    unsigned refs;
    struct jtree *claims;
    const struct config_issuer *issuer;
    struct span user;
    const char *user_claim, *scope_claim; /* of the issuer's lists; scope_claim: NULL for none */
    struct spans scopes;
    struct spans roles;
    int64_t expires;
    struct baggage *baggage; /* own_baggage, by a way that a constant principal leaves open */
    struct baggage own_baggage;
    struct span words[]; /* the scopes, then the roles; they point into claims */
};

/* --- lists --------------------------------------------------------------------------------- */

static void append(struct spans *spans, struct span item) {
    if (spans->items) spans->items[spans->count] = item;
    spans->count++;
}

/* Scopes are separated by spaces and nothing else (RFC 6749 section 3.3). */
static void append_words(struct spans *spans, struct span text) {
    struct span word;
    while (span_next(&text, ' ', &word))
        if (word.len) append(spans, word);
}

/* A claim that lists words: one string of them, or an array with one string each. */
static bool read_words(const struct jnode *claim, const char *name, struct spans *spans,
                       struct refusal *refusal) {
    if (jnode_is(claim, JTYPE_STRING)) {
        append_words(spans, jnode_text(claim));
        return true;
    }
    if (!jnode_is(claim, JTYPE_ARRAY))
        return refuse(refusal, REASON_CLAIM_INVALID,
                      "the %s claim of the token is neither a string nor an array of strings",
                      name);
    for (const struct jnode *item = jarray_first(claim); item; item = jnode_next(claim, item)) {
        if (!jnode_is(item, JTYPE_STRING))
            return refuse(refusal, REASON_CLAIM_INVALID,
                          "the %s claim of the token holds something that is not a string", name);
        append(spans, jnode_text(item));
    }
    return true;
}

/* A claim that is null says as little as one that is absent. */
static const struct jnode *find_said(const struct jnode *claims, const char *path) {
    const struct jnode *claim = claim_find(claims, path);
    return jnode_is(claim, JTYPE_NULL) ? NULL : claim;
}

/* Scopes are those of the first claim that is present, not of all: scope and scp name the same. */
static bool read_scopes(struct principal *principal, struct refusal *refusal) {
    const struct strings *names = &principal->issuer->scope_claims;
    for (size_t i = 0; i < names->count; i++) {
        const struct jnode *claim = find_said(principal->claims->root, names->items[i]);
        if (!claim) continue;
        principal->scope_claim = names->items[i];
        return read_words(claim, names->items[i], &principal->scopes, refusal);
    }
    return true;
}

/* Roles are gathered from all their claims: issuers spread them over several. */
static bool read_roles(struct principal *principal, struct refusal *refusal) {
    const struct strings *names = &principal->issuer->role_claims;
    for (size_t i = 0; i < names->count; i++) {
        const struct jnode *claim = find_said(principal->claims->root, names->items[i]);
        if (claim && !read_words(claim, names->items[i], &principal->roles, refusal)) return false;
    }
    return true;
}

/* --- user ---------------------------------------------------------------------------------- */

/*
 * An address that the issuer says it has not verified may be somebody else's. Some issuers say so
 * by a string.
 */
static bool is_unverified_email(const struct jnode *claims, const char *name) {
    if (strcmp(name, "email") != 0) return false;
    const struct jnode *verified = jnode_find(claims, "email_verified");
    return jnode_is(verified, JTYPE_FALSE) ||
           span_equal_nocase(jnode_text(verified), SPAN_LITERAL("false"));
}

static bool read_user(struct principal *principal, struct refusal *refusal) {
    const struct strings *names = &principal->issuer->user_claims;
    const struct jnode *claims = principal->claims->root;
    for (size_t i = 0; i < names->count; i++) {
        struct span user = jnode_text(claim_find(claims, names->items[i]));
        if (user.len == 0 || is_unverified_email(claims, names->items[i])) continue;
        principal->user = user;
        principal->user_claim = names->items[i];
        return true;
    }
    return refuse(refusal, REASON_USER_MISSING,
                  "the token names no user: it has no usable %s%s claim", names->items[0],
                  names->count > 1 ? " or other user" : "");
}

/* The same of the words that were counted, now that there is room for them. */
static bool read_counted(struct principal *principal, struct refusal *refusal) {
    struct spans *scopes = &principal->scopes, *roles = &principal->roles;
    size_t scope_count = scopes->count, role_count = roles->count;

    *scopes = (struct spans){principal->words, 0};
    *roles = (struct spans){principal->words + scope_count, 0};
    return (scope_count == 0 || read_scopes(principal, refusal)) &&
           (role_count == 0 || read_roles(principal, refusal));
}

bool principal_make(struct jtree *claims, const struct config_issuer *issuer, int64_t expires,
                    struct principal **ret, struct refusal *refusal) {
    struct principal known = {.refs = 1, .claims = claims, .issuer = issuer, .expires = expires};
    if (!read_user(&known, refusal) || !read_scopes(&known, refusal) ||
        !read_roles(&known, refusal))
        return false;

    size_t words = known.scopes.count + known.roles.count;
    CLEANUP(principal_unrefp)
    struct principal *principal = malloc(sizeof *principal + words * sizeof *principal->words);
    if (!principal) return refuse(refusal, REASON_OUT_OF_MEMORY, "out of memory");
    *principal = known;
    principal->claims = jtree_ref(claims);
    principal->baggage = &principal->own_baggage;
    if (!read_counted(principal, refusal)) return false;
    *ret = TAKE_PTR(principal);
    return true;
}

struct principal *principal_ref(struct principal *principal) {
    principal->refs++;
    return principal;
}

void principal_unref(struct principal *principal) {
    if (!principal || --principal->refs) return;
    memos_done(&principal->baggage->memos);
    jtree_unref(principal->claims);
    free(principal);
}

/* --- what it costs ------------------------------------------------------------------------- */

size_t principal_size(const struct principal *principal) {
    size_t words = principal->scopes.count + principal->roles.count;
    return sizeof *principal + words * sizeof *principal->words + principal->claims->size +
           memos_size(&principal->baggage->memos);
}

void principal_charge(const struct principal *principal, size_t *ledger) {
    struct baggage *baggage = principal->baggage;
    if (baggage->ledger) *baggage->ledger -= baggage->charged;
    baggage->ledger = ledger;
    if (!ledger) return;
    baggage->charged = principal_size(principal);
    *ledger += baggage->charged;
}

/* --- what others may know ------------------------------------------------------------------ */

struct span principal_user(const struct principal *principal) {
    return principal->user;
}

const char *principal_user_claim(const struct principal *principal) {
    return principal->user_claim;
}

const char *principal_scope_claim(const struct principal *principal) {
    return principal->scope_claim;
}

struct span principal_subject(const struct principal *principal) {
    return jnode_text(jnode_find(principal->claims->root, "sub"));
}

const struct jnode *principal_claim(const struct principal *principal, const char *path) {
    return find_said(principal->claims->root, path);
}

const struct config_issuer *principal_issuer(const struct principal *principal) {
    return principal->issuer;
}

const struct span *principal_scopes(const struct principal *principal, size_t *ret_count) {
    *ret_count = principal->scopes.count;
    return principal->scopes.items;
}

const struct span *principal_roles(const struct principal *principal, size_t *ret_count) {
    *ret_count = principal->roles.count;
    return principal->roles.items;
}

bool principal_has_scope(const struct principal *principal, const char *scope) {
    for (size_t i = 0; i < principal->scopes.count; i++)
        if (span_equal_text(principal->scopes.items[i], scope)) return true;
    return false;
}

int64_t principal_expires(const struct principal *principal) {
    return principal->expires;
}

void *principal_memo(const struct principal *principal, const void *key, memo_free *free,
                     int64_t now) {
    return memos_find(&principal->baggage->memos, key, free, now);
}

bool principal_remember(const struct principal *principal, const struct memo *memo) {
    if (!memos_keep(&principal->baggage->memos, memo)) return false;
    principal_charge(principal, principal->baggage->ledger);
    return true;
}
