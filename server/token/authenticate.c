#include "server/token/authenticate.h"

#include "server/token/credential.h"
#include "server/token/deny.h"
#include "server/token/jwt.h"
#include "server/token/note.h"
#include "server/token/principal_make.h"
#include "server/token/verify.h"

/* What a credential is judged by. */
struct measure {
    const struct evidence *evidence;
    const struct keyring *ring;
    const struct aids *aids;
};

/* --- a JWT verified by the keys of its issuer ---------------------------------------------- */

/*
 * Which of the configured issuers the token claims to come from. It only chooses the keys that must
 * verify the token, and never a URL.
 */
static bool find_issuer(const struct jwt *jwt, const struct measure *by,
                        const struct keyring_entry **ret, struct refusal *refusal) {
    struct span iss;
    if (jnode_find_string(jwt->claims->root, "iss", &iss) != JSON_FOUND) {
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

/* Which member of the token is denied, and until when, is nothing that its bearer has to know. */
static bool check_denied(const struct principal *principal, const struct key *key,
                         const struct evidence *evidence, struct refusal *refusal) {
    enum denied denied =
        deny_list_judge_principal(evidence->denied, principal, key->kid, evidence->now);
    if (denied != DENIED) return true;
    if (evidence->trace) note_denied(evidence, principal, key->kid);
    return refuse(refusal, REASON_TOKEN_REVOKED, "the token was revoked");
}

/* Was the token made by the issuer? AUTH_PRINCIPAL with the key that says so. */
static enum authenticated prove(const struct jws *jws, const struct keyring_entry *entry,
                                const struct measure *by, const struct key **ret_key,
                                struct refusal *refusal) {
    const struct trace *trace = by->evidence->trace;

    if (!check_algorithm(jws, entry->issuer, trace, refusal)) return AUTH_REFUSED;
    enum authenticated found = find_key(jws, entry, by->evidence->now_ms, ret_key, refusal);
    if (trace) note_key(trace, jws, entry, *ret_key, refusal);
    if (found != AUTH_PRINCIPAL) return found;
    if (verify_signature(by->aids->verifier, *ret_key, jws->algorithm, jws->signing_input,
                         jws->signature)) {
        TRACE_GOOD(trace, "signature", "valid");
        return AUTH_PRINCIPAL;
    }
    refuse(refusal, REASON_SIGNATURE_INVALID, "the signature of the token is not valid");
    /* Without a kid a rotation shows only so: the one key that fits has been replaced. */
    return jws->kid.ptr ? AUTH_REFUSED : AUTH_NEEDS_KEYS;
}

static enum authenticated judge_jwt(struct span token, const struct jwt *jwt,
                                    const struct measure *by, struct principal **ret_principal,
                                    const struct keyring_entry **ret_entry,
                                    struct refusal *refusal) {
    const struct jws *jws = &jwt->jws;
    const struct keyring_entry *entry;
    const struct evidence *evidence = by->evidence;
    const struct key *key = NULL;
    struct validity validity;
    CLEANUP(principal_unrefp) struct principal *principal = NULL;

    if (!find_issuer(jwt, by, &entry, refusal)) return AUTH_REFUSED;
    enum authenticated found = prove(jws, entry, by, &key, refusal);
    if (found == AUTH_NEEDS_KEYS) *ret_entry = entry;
    if (found != AUTH_PRINCIPAL) {
        if (evidence->trace)
            note_unproven(evidence->trace, jwt, entry->issuer, evidence->now,
                          key ? "not made by that key over this token" : "cannot be checked");
        return found;
    }
    struct signature_facts facts = {by->ring, entry, key, jws->kid.ptr != NULL, jws->algorithm};
    bool hold =
        claims_check(jwt, entry->issuer, evidence->now, evidence->trace, &validity, refusal);
    if (evidence->trace) note_principal(evidence->trace, jwt, entry->issuer);
    if (!hold && refusal->reason == REASON_TOKEN_EXPIRED)
        token_cache_add_expired(by->aids->expired, token, &validity, &facts, evidence);
    if (!hold ||
        !principal_make(jwt->claims, entry->issuer, validity.expires, &principal, refusal) ||
        !check_denied(principal, key, evidence, refusal))
        return AUTH_REFUSED;
    token_cache_add(by->aids->cache, token, principal, &validity, &facts, evidence);
    *ret_principal = TAKE_PTR(principal);
    return AUTH_PRINCIPAL;
}

/* Every JWT is a b64token, so that only what turns out to be none has to be looked at as one. */
static enum authenticated refuse_unreadable(const struct credential *credential,
                                            const struct trace *trace, struct refusal *refusal) {
    struct refusal malformed;

    if (!credential_check(credential, &malformed)) {
        *refusal = malformed;
        TRACE_BAD(trace, "credential", "%s", refusal->text);
    } else if (trace) {
        note_unreadable(trace, credential->token, refusal);
    }
    return AUTH_REFUSED;
}

static enum authenticated by_jwt(const struct credential *credential, const struct measure *by,
                                 struct principal **ret_principal,
                                 const struct keyring_entry **ret_entry, struct refusal *refusal) {
    const struct trace *trace = by->evidence->trace;
    struct span token = credential->token;
    struct jwt jwt;

    if (!jwt_parse(token, &jwt, refusal)) return refuse_unreadable(credential, trace, refusal);
    TRACE_GOOD(trace, "structure", "a signed JWT of %zu bytes", token.len);
    if (trace) note_header(trace, &jwt);
    enum authenticated result = judge_jwt(token, &jwt, by, ret_principal, ret_entry, refusal);
    jwt_done(&jwt);
    return result;
}

/* --- tokens that were verified before ------------------------------------------------------ */

/*
 * Whoever sends the bytes of a token that was found good needs no other proof that they are one.
 * Returns whether the verdict is known.
 */
static bool find_known(struct span token, const struct measure *by,
                       struct principal **ret_principal, enum authenticated *ret,
                       struct refusal *refusal) {
    const struct aids *aids = by->aids;
    const struct config_issuer *issuer;
    int64_t exp;

    *ret_principal = token_cache_find(aids->cache, token, by->evidence, by->ring);
    *ret = *ret_principal ? AUTH_PRINCIPAL : AUTH_REFUSED;
    if (*ret_principal) return true;
    if (!token_cache_find_expired(aids->expired, token, by->evidence, by->ring, &exp, &issuer))
        return false;
    claims_refuse_expired(exp, by->evidence->now, issuer, refusal);
    return true;
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
                                const struct aids *aids, size_t token_max,
                                struct principal **ret_principal,
                                const struct keyring_entry **ret_entry, struct refusal *refusal) {
    struct measure by = {evidence, ring, aids};
    struct credential credential;

    enum authenticated known;
    enum credential_found found = credential_parse(evidence, token_max, &credential, refusal);
    if (found != CREDENTIAL_BEARER) TRACE_BAD(evidence->trace, "credential", "%s", refusal->text);
    if (found == CREDENTIAL_NONE) return AUTH_ABSENT;
    if (found == CREDENTIAL_REFUSED) return AUTH_REFUSED;
    if (find_known(credential.token, &by, ret_principal, &known, refusal)) return known;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (methods[i].takes(&credential))
            return methods[i].judge(&credential, &by, ret_principal, ret_entry, refusal);
    refuse(refusal, REASON_TOKEN_MALFORMED, "the token is of no kind that is accepted here");
    return AUTH_REFUSED;
}
