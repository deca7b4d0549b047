#include "server/token/authenticate.h"

#include "common/buf.h"
#include "common/json.h"
#include "server/keys/discovery.h"
#include "server/token/credential.h"
#include "server/token/deny.h"
#include "server/token/jwt.h"
#include "server/token/principal_make.h"
#include "server/token/verify.h"

/* What a credential is judged by. */
struct measure {
    const struct evidence *evidence;
    const struct keyring *ring;
    struct token_cache *cache;
};

/* --- a JWT verified by the keys of its issuer ---------------------------------------------- */

/* Who asks why may see what the token says, and what is configured and looks like it. */
static void note_unknown_issuer(const struct trace *trace, struct span iss,
                                const struct keyring *ring) {
    for (size_t i = 0; i < ring->count; i++) {
        const char *issuer = ring->entries[i].issuer->issuer;
        const char *miss = issuer_near_miss(span_of(issuer), iss);
        if (!*miss) continue;
        TRACE_BAD(trace, "issuer", "%.*s is not configured; %s is, %s", SPAN_PRINTF(iss), issuer,
                  miss);
        return;
    }
    TRACE_BAD(trace, "issuer", "%.*s is not one of the %zu that are configured%s%s",
              SPAN_PRINTF(iss), ring->count, ring->count == 1 ? ": " : "",
              ring->count == 1 ? ring->entries[0].issuer->issuer : "");
}

/*
 * Which of the configured issuers the token claims to come from. It only chooses the keys that must
 * verify the token, and never a URL.
 */
static bool find_issuer(const struct jwt *jwt, const struct measure *by,
                        const struct keyring_entry **ret, struct refusal *refusal) {
    struct span iss;
    if (json_find_string(jwt->claims, "iss", &iss) != JSON_FOUND) {
        refuse(refusal, REASON_CLAIM_MISSING, "the token has no iss claim that is a string");
        TRACE_BAD(by->evidence->trace, "issuer", "%s", refusal->text);
        return false;
    }
    *ret = keyring_find(by->ring, iss);
    if (*ret) {
        TRACE_GOOD(by->evidence->trace, "issuer", "%s is configured", (*ret)->issuer->issuer);
        return true;
    }
    if (by->evidence->trace) note_unknown_issuer(by->evidence->trace, iss, by->ring);
    return refuse(refusal, REASON_ISSUER_UNKNOWN,
                  "the issuer of the token is not one that is accepted here");
}

static bool check_algorithm(const struct jws *jws, const struct config_issuer *issuer,
                            const struct trace *trace, struct refusal *refusal) {
    const char *name = algorithm_info(jws->algorithm)->name;
    bool accepted = issuer->algorithms & ALG_BIT(jws->algorithm);
    if (accepted)
        TRACE_GOOD(trace, "algorithm", "%s is accepted for this issuer", name);
    else
        TRACE_BAD(trace, "algorithm", "%s is not among the algorithms of this issuer", name);
    return accepted ||
           refuse(refusal, REASON_ALGORITHM_NOT_ALLOWED, "the alg '%s' is not accepted", name);
}

static enum authenticated find_key(const struct jws *jws, const struct keyring_entry *entry,
                                   int64_t now_ms, const struct key **ret,
                                   struct refusal *refusal) {
    if (!keys_may_serve(entry, now_ms)) {
        refuse(refusal, REASON_KEYS_UNAVAILABLE,
               entry->keys
                   ? "the issuer's keys are too old to be trusted and could not be refreshed"
                   : "the issuer's keys could not be fetched yet");
        return AUTH_NEEDS_KEYS;
    }
    switch (keyset_find(entry->keys, jws->kid, jws->algorithm, ret)) {
    case KEY_FOUND:
        return AUTH_PRINCIPAL;
    case KEY_UNKNOWN:
        refuse(refusal, REASON_KEY_NOT_FOUND, "the issuer has no key %s",
               jws->kid.ptr ? "with the kid that the token names"
                            : "that fits the alg of the token");
        return AUTH_NEEDS_KEYS;
    case KEY_UNFIT:
        refuse(refusal, REASON_KEY_NOT_FIT,
               "the key that the token names must not be used with its alg");
        return AUTH_REFUSED;
    case KEY_AMBIGUOUS:
        refuse(refusal, REASON_KEY_NOT_CLEAR, "several keys of the issuer fit the token; %s",
               jws->kid.ptr ? "they have the same kid" : "it must name one by kid");
        return AUTH_REFUSED;
    }
    return AUTH_REFUSED;
}

/* The key that was found, or those that there are. */
static void note_key(const struct trace *trace, const struct jws *jws,
                     const struct keyring_entry *entry, const struct key *key,
                     const struct refusal *refusal) {
    struct buf kids = buf_make(400);

    for (size_t i = 0; entry->keys && i < entry->keys->count; i++)
        buf_addf(&kids, "%s%s", i ? ", " : "",
                 entry->keys->keys[i].kid ? entry->keys->keys[i].kid : "(one without kid)");
    if (key)
        TRACE_GOOD(trace, "key", "%s%.*s%s",
                   jws->kid.ptr ? "found by its kid " : "the one that fits", SPAN_PRINTF(jws->kid),
                   jws->kid.ptr ? "" : "; the token names none");
    else
        TRACE_BAD(trace, "key", "%s; it names %s%.*s; the issuer has: %s", refusal->text,
                  jws->kid.ptr ? "kid " : "no kid", SPAN_PRINTF(jws->kid),
                  !entry->keys ? "no keys yet"
                  : kids.data  ? kids.data
                               : "none");
    buf_done(&kids);
}

static void note_words(const struct trace *trace, const char *step, const struct span *words,
                       size_t count) {
    struct buf list = buf_make(TRACE_TEXT_MAX);
    for (size_t i = 0; i < count; i++)
        buf_addf(&list, "%s%.*s", i ? " " : "", SPAN_PRINTF(words[i]));
    TRACE_GOOD(trace, step, "%s", list.len ? list.data : "none");
    buf_done(&list);
}

/* Who it would be, also where the claims do not hold: then nobody gets this principal. */
static void note_principal(const struct trace *trace, const struct jwt *jwt,
                           const struct config_issuer *issuer) {
    CLEANUP(principal_unrefp) struct principal *principal = NULL;
    struct refusal refusal;
    size_t count;

    if (!principal_make(jwt->claims, issuer, 0, &principal, &refusal)) {
        TRACE_BAD(trace, "user", "%s", refusal.text);
        return;
    }
    TRACE_GOOD(trace, "user", "%.*s", SPAN_PRINTF(principal_user(principal)));
    const struct span *scopes = principal_scopes(principal, &count);
    note_words(trace, "scopes", scopes, count);
    const struct span *roles = principal_roles(principal, &count);
    note_words(trace, "roles", roles, count);
}

/* Which member of the token is denied, and until when, is nothing that its bearer has to know. */
static bool check_denied(const struct principal *principal, const struct key *key,
                         const struct evidence *evidence, struct refusal *refusal) {
    enum denied denied =
        deny_list_judge_principal(evidence->denied, principal, key->kid, evidence->now);
    if (denied != DENIED) return true;
    TRACE_BAD(evidence->trace, "deny list", "the token is on it, by its jti, sub or kid");
    return refuse(refusal, REASON_TOKEN_REVOKED, "the token was revoked");
}

static enum authenticated judge_jwt(struct span token, const struct jwt *jwt,
                                    const struct measure *by, struct principal **ret_principal,
                                    const struct keyring_entry **ret_entry,
                                    struct refusal *refusal) {
    const struct jws *jws = &jwt->jws;
    const struct keyring_entry *entry;
    const struct trace *trace = by->evidence->trace;
    const struct key *key = NULL;
    struct validity validity;
    CLEANUP(principal_unrefp) struct principal *principal = NULL;

    if (!find_issuer(jwt, by, &entry, refusal) ||
        !check_algorithm(jws, entry->issuer, trace, refusal))
        return AUTH_REFUSED;
    enum authenticated found = find_key(jws, entry, by->evidence->now_ms, &key, refusal);
    if (trace) note_key(trace, jws, entry, key, refusal);
    if (found == AUTH_NEEDS_KEYS) *ret_entry = entry;
    if (found != AUTH_PRINCIPAL) return found;

    if (!verify_signature(key, jws->algorithm, jws->signing_input, jws->signature)) {
        refuse(refusal, REASON_SIGNATURE_INVALID, "the signature of the token is not valid");
        TRACE_BAD(trace, "signature", "not made by that key over this token");
        if (jws->kid.ptr) return AUTH_REFUSED;
        /* Without a kid a rotation shows only so: the one key that fits has been replaced. */
        *ret_entry = entry;
        return AUTH_NEEDS_KEYS;
    }
    TRACE_GOOD(trace, "signature", "valid");
    if (trace) note_principal(trace, jwt, entry->issuer);
    if (!claims_check(jwt, entry->issuer, by->evidence->now, trace, &validity, refusal) ||
        !principal_make(jwt->claims, entry->issuer, validity.expires, &principal, refusal) ||
        !check_denied(principal, key, by->evidence, refusal))
        return AUTH_REFUSED;
    struct signature_facts facts = {by->ring, entry, key, jws->kid.ptr != NULL, jws->algorithm};
    token_cache_add(by->cache, token, principal, &validity, &facts, by->evidence);
    *ret_principal = TAKE_PTR(principal);
    return AUTH_PRINCIPAL;
}

static void note_header(const struct trace *trace, const struct jwt *jwt) {
    static const char *const types[] = {
        [JWT_TYPE_ABSENT] = "no typ", [JWT_TYPE_JWT] = "typ JWT", [JWT_TYPE_AT_JWT] = "typ at+jwt"};
    struct span kid = jwt->jws.kid;
    TRACE_GOOD(trace, "header", "alg %s, %s%.*s, %s", algorithm_info(jwt->jws.algorithm)->name,
               kid.ptr ? "kid " : "no kid", SPAN_PRINTF(kid), types[jwt->type]);
}

static enum authenticated by_jwt(const struct credential *credential, const struct measure *by,
                                 struct principal **ret_principal,
                                 const struct keyring_entry **ret_entry, struct refusal *refusal) {
    struct span token = credential->token;
    struct jwt jwt;

    struct principal *known = token_cache_find(by->cache, token, by->evidence, by->ring);
    if (known) {
        *ret_principal = known;
        return AUTH_PRINCIPAL;
    }
    if (!jwt_parse(token, &jwt, refusal)) {
        TRACE_BAD(by->evidence->trace, "structure", "%s", refusal->text);
        return AUTH_REFUSED;
    }
    TRACE_GOOD(by->evidence->trace, "structure", "a signed JWT of %zu bytes", token.len);
    if (by->evidence->trace) note_header(by->evidence->trace, &jwt);
    enum authenticated result = judge_jwt(token, &jwt, by, ret_principal, ret_entry, refusal);
    jwt_done(&jwt);
    return result;
}

/* --- the methods --------------------------------------------------------------------------- */

static bool any_token(const struct credential *credential) {
    (void)credential;
    return true;
}

/* The first method that takes the credential judges it. */
static const struct method {
    bool (*takes)(const struct credential *credential);
    enum authenticated (*judge)(const struct credential *, const struct measure *,
                                struct principal **, const struct keyring_entry **,
                                struct refusal *);
} methods[] = {
    {any_token, by_jwt},
};

enum authenticated authenticate(const struct evidence *evidence, const struct keyring *ring,
                                struct token_cache *cache, size_t token_max,
                                struct principal **ret_principal,
                                const struct keyring_entry **ret_entry, struct refusal *refusal) {
    struct measure by = {evidence, ring, cache};
    struct credential credential;

    enum credential_found found = credential_parse(evidence, token_max, &credential, refusal);
    if (found != CREDENTIAL_BEARER) TRACE_BAD(evidence->trace, "credential", "%s", refusal->text);
    if (found == CREDENTIAL_NONE) return AUTH_ABSENT;
    if (found == CREDENTIAL_REFUSED) return AUTH_REFUSED;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (methods[i].takes(&credential))
            return methods[i].judge(&credential, &by, ret_principal, ret_entry, refusal);
    refuse(refusal, REASON_TOKEN_MALFORMED, "the token is of no kind that is accepted here");
    return AUTH_REFUSED;
}
