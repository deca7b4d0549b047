#include "server/token/principal.h"

#include <stdlib.h>

#include "common/json.h"
#include "server/token/claims.h"
#include "server/token/principal_make.h"

struct spans {
    struct span *items; /* point into claims */
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
    json_t *claims;
    const struct config_issuer *issuer;
    struct span user;
    const char *user_claim, *scope_claim; /* of the issuer's lists; scope_claim: NULL for none */
    struct spans scopes;
    struct spans roles;
    int64_t expires;
    struct baggage *baggage; /* own_baggage, by a way that a constant principal leaves open */
    struct baggage own_baggage;
};

/* --- lists --------------------------------------------------------------------------------- */

static bool append(struct spans *spans, struct span item) {
    if ((spans->count & (spans->count - 1)) == 0) {
        size_t room = spans->count ? spans->count * 2 : 1;
        struct span *items = realloc(spans->items, room * sizeof *items);
        if (!items) return false;
        spans->items = items;
    }
    spans->items[spans->count++] = item;
    return true;
}

/* Scopes are separated by spaces and nothing else (RFC 6749 section 3.3). */
static bool append_words(struct spans *spans, struct span text) {
    struct span word;
    while (span_next(&text, ' ', &word))
        if (word.len && !append(spans, word)) return false;
    return true;
}

/* A claim that lists words: one string of them, or an array with one string each. */
static bool read_words(const json_t *claim, const char *name, struct spans *spans,
                       struct refusal *refusal) {
    size_t i;
    json_t *item;
    bool stored = true;

    if (json_is_string(claim)) {
        stored = append_words(spans, json_span(claim));
    } else if (json_is_array(claim)) {
        json_array_foreach(claim, i, item) {
            if (!json_is_string(item))
                return refuse(refusal, REASON_CLAIM_INVALID,
                              "the %s claim of the token holds something that is not a string",
                              name);
            stored = stored && append(spans, json_span(item));
        }
    } else {
        return refuse(refusal, REASON_CLAIM_INVALID,
                      "the %s claim of the token is neither a string nor an array of strings",
                      name);
    }
    return stored || refuse(refusal, REASON_OUT_OF_MEMORY, "out of memory");
}

/* A claim that is null says as little as one that is absent. */
static const json_t *find_said(const json_t *claims, const char *path) {
    const json_t *claim = claim_find(claims, path);
    return json_is_null(claim) ? NULL : claim;
}

/* Scopes are those of the first claim that is present, not of all: scope and scp name the same. */
static bool read_scopes(struct principal *principal, struct refusal *refusal) {
    const struct strings *names = &principal->issuer->scope_claims;
    for (size_t i = 0; i < names->count; i++) {
        const json_t *claim = find_said(principal->claims, names->items[i]);
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
        const json_t *claim = find_said(principal->claims, names->items[i]);
        if (claim && !read_words(claim, names->items[i], &principal->roles, refusal)) return false;
    }
    return true;
}

/* --- user ---------------------------------------------------------------------------------- */

/*
 * An address that the issuer says it has not verified may be somebody else's. Some issuers say so
 * by a string.
 */
static bool is_unverified_email(const json_t *claims, const char *name) {
    const json_t *verified = json_object_get(claims, "email_verified");
    return strcmp(name, "email") == 0 &&
           (json_is_false(verified) ||
            span_equal_nocase(json_span(verified), SPAN_LITERAL("false")));
}

static bool read_user(struct principal *principal, struct refusal *refusal) {
    const struct strings *names = &principal->issuer->user_claims;
    for (size_t i = 0; i < names->count; i++) {
        struct span user = json_span(claim_find(principal->claims, names->items[i]));
        if (user.len == 0 || is_unverified_email(principal->claims, names->items[i])) continue;
        principal->user = user;
        principal->user_claim = names->items[i];
        return true;
    }
    return refuse(refusal, REASON_USER_MISSING,
                  "the token names no user: it has no usable %s%s claim", names->items[0],
                  names->count > 1 ? " or other user" : "");
}

bool principal_make(json_t *claims, const struct config_issuer *issuer, int64_t expires,
                    struct principal **ret, struct refusal *refusal) {
    CLEANUP(principal_unrefp) struct principal *principal = calloc(1, sizeof *principal);
    if (!principal) return refuse(refusal, REASON_OUT_OF_MEMORY, "out of memory");

    principal->refs = 1;
    principal->baggage = &principal->own_baggage;
    principal->claims = json_incref(claims);
    principal->issuer = issuer;
    principal->expires = expires;
    if (!read_user(principal, refusal) || !read_scopes(principal, refusal) ||
        !read_roles(principal, refusal))
        return false;
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
    json_decref(principal->claims);
    free(principal->scopes.items);
    free(principal->roles.items);
    free(principal);
}

/* --- what it costs ------------------------------------------------------------------------- */

/* What jansson and the allocator take for each node besides its bytes, generously. */
#define NODE_SIZE 64
#define MEMBER_SIZE 80
#define OBJECT_SIZE 192

static size_t weigh(json_t *node) {
    size_t size = NODE_SIZE, i;
    const char *name;
    json_t *inner;

    if (json_is_object(node)) size += OBJECT_SIZE;
    json_object_foreach(node, name, inner) size += MEMBER_SIZE + strlen(name) + weigh(inner);
    json_array_foreach(node, i, inner) size += 2 * sizeof inner + weigh(inner);
    return size + json_string_length(node);
}

size_t principal_size(const struct principal *principal) {
    size_t spans = principal->scopes.count + principal->roles.count;
    return sizeof *principal + weigh(principal->claims) + 2 * spans * sizeof(struct span) +
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
    return json_span(json_object_get(principal->claims, "sub"));
}

const json_t *principal_claim(const struct principal *principal, const char *path) {
    return find_said(principal->claims, path);
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
