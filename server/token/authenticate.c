#include "server/token/authenticate.h"

#include "common/json.h"
#include "server/token/credential.h"
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

/*
 * Which of the configured issuers the token claims to come from. It only chooses the keys that must
 * verify the token, and never a URL.
 */
static bool find_issuer(const struct jwt *jwt, const struct keyring *ring,
                        const struct keyring_entry **ret, struct refusal *refusal) {
    struct span iss;
    if (json_find_string(jwt->claims, "iss", &iss) != JSON_FOUND)
        return refuse(refusal, REASON_CLAIM_MISSING, "the token has no iss claim that is a string");
    *ret = keyring_find(ring, iss);
    if (*ret) return true;
    return refuse(refusal, REASON_ISSUER_UNKNOWN,
                  "the issuer of the token is not one that is accepted here");
}

static bool check_algorithm(const struct jws *jws, const struct config_issuer *issuer,
                            struct refusal *refusal) {
    if (issuer->algorithms & ALG_BIT(jws->algorithm)) return true;
    return refuse(refusal, REASON_ALGORITHM_NOT_ALLOWED, "the alg '%s' is not accepted",
                  algorithm_info(jws->algorithm)->name);
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

static enum authenticated judge_jwt(struct span token, const struct jwt *jwt,
                                    const struct measure *by, struct principal **ret_principal,
                                    const struct keyring_entry **ret_entry,
                                    struct refusal *refusal) {
    const struct jws *jws = &jwt->jws;
    const struct keyring_entry *entry;
    const struct key *key;
    struct validity validity;

    if (!find_issuer(jwt, by->ring, &entry, refusal) ||
        !check_algorithm(jws, entry->issuer, refusal))
        return AUTH_REFUSED;
    enum authenticated found = find_key(jws, entry, by->evidence->now_ms, &key, refusal);
    if (found == AUTH_NEEDS_KEYS) *ret_entry = entry;
    if (found != AUTH_PRINCIPAL) return found;

    if (!verify_signature(key, jws->algorithm, jws->signing_input, jws->signature)) {
        refuse(refusal, REASON_SIGNATURE_INVALID, "the signature of the token is not valid");
        if (jws->kid.ptr) return AUTH_REFUSED;
        /* Without a kid a rotation shows only so: the one key that fits has been replaced. */
        *ret_entry = entry;
        return AUTH_NEEDS_KEYS;
    }
    if (!claims_check(jwt, entry->issuer, by->evidence->now, &validity, refusal) ||
        !principal_make(jwt->claims, entry->issuer, validity.expires, ret_principal, refusal))
        return AUTH_REFUSED;
    struct signature_facts facts = {by->ring, entry, key, jws->kid.ptr != NULL, jws->algorithm};
    token_cache_add(by->cache, token, *ret_principal, &validity, &facts, by->evidence);
    return AUTH_PRINCIPAL;
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
    if (!jwt_parse(token, &jwt, refusal)) return AUTH_REFUSED;
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

    switch (credential_parse(evidence, token_max, &credential, refusal)) {
    case CREDENTIAL_NONE:
        return AUTH_ABSENT;
    case CREDENTIAL_REFUSED:
        return AUTH_REFUSED;
    case CREDENTIAL_BEARER:
        break;
    }
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (methods[i].takes(&credential))
            return methods[i].judge(&credential, &by, ret_principal, ret_entry, refusal);
    refuse(refusal, REASON_TOKEN_MALFORMED, "the token is of no kind that is accepted here");
    return AUTH_REFUSED;
}
