#include "server/token/claims.h"

#include <inttypes.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"

/* 9999-12-31T23:59:59Z: no token lives longer, and sums with leeways stay far from overflow. */
#define NUMERIC_DATE_MAX 253402300799

const json_t *claim_find(const json_t *claims, const char *path) {
    const json_t *claim = json_object_get(claims, path);
    if (claim) return claim;

    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
        const json_t *inner = json_object_getn(claims, path, (size_t)(dot - path));
        claim = json_is_object(inner) ? claim_find(inner, dot + 1) : NULL;
        if (claim) return claim;
    }
    return NULL;
}

/* --- times --------------------------------------------------------------------------------- */

/* A NumericDate. Absent is fine where it is not required; then *ret_present is false. */
static bool read_date(const json_t *claims, const char *name, bool required, bool *ret_present,
                      int64_t *ret, struct refusal *refusal) {
    *ret_present = false;
    switch (json_find_seconds(claims, name, ret)) {
    case JSON_ABSENT:
        if (!required) return true;
        return refuse(refusal, REASON_CLAIM_MISSING, "the token has no %s claim", name);
    case JSON_WRONG_TYPE:
        return refuse(refusal, REASON_CLAIM_INVALID, "the %s claim of the token is not a number",
                      name);
    case JSON_FOUND:
        break;
    }
    if (*ret > NUMERIC_DATE_MAX || *ret < -NUMERIC_DATE_MAX)
        return refuse(refusal, REASON_CLAIM_INVALID,
                      "the %s claim of the token is no plausible date", name);
    *ret_present = true;
    return true;
}

/* What the claim says, both clocks, the difference in words and the leeway. */
static bool refuse_time(struct refusal *refusal, enum reason reason, const char *what, int64_t when,
                        int64_t now, int64_t leeway) {
    char when_text[CLOCK_TEXT_MAX], now_text[CLOCK_TEXT_MAX], words[CLOCK_WORDS_MAX];
    return refuse(refusal, reason,
                  "%s %s; current time %s, %s %s; allowed clock skew %" PRId64 " s", what,
                  clock_format(when, when_text), clock_format(now, now_text),
                  clock_words(now - when, words), now >= when ? "later" : "earlier", leeway);
}

/* The claims hold from that moment on; false where now lies before it. */
static bool hold_from(int64_t moment, int64_t now, struct validity *validity) {
    if (moment > validity->from) validity->from = moment;
    return now >= moment;
}

static bool check_times(const json_t *claims, const struct config_issuer *issuer, int64_t now,
                        struct validity *ret_validity, struct refusal *refusal) {
    int64_t leeway = issuer->leeway / 1000;
    int64_t max_lifetime = issuer->max_lifetime / 1000;
    int64_t exp, nbf, iat;
    bool has_exp, has_nbf, has_iat;

    if (!read_date(claims, "exp", true, &has_exp, &exp, refusal) ||
        !read_date(claims, "nbf", false, &has_nbf, &nbf, refusal) ||
        !read_date(claims, "iat", false, &has_iat, &iat, refusal))
        return false;
    struct validity validity = {.from = INT64_MIN, .until = exp + leeway, .expires = exp};
    /* "On or after" exp it must not be accepted (RFC 7519 section 4.1.4). */
    if (now >= validity.until)
        return refuse_time(refusal, REASON_TOKEN_EXPIRED, "token expired at", exp, now, leeway);
    if (has_nbf && !hold_from(nbf - leeway, now, &validity))
        return refuse_time(refusal, REASON_TOKEN_NOT_YET_VALID, "token is not valid before", nbf,
                           now, leeway);
    if (has_iat && !hold_from(iat - leeway, now, &validity))
        return refuse_time(refusal, REASON_TOKEN_FROM_FUTURE, "token was issued at", iat, now,
                           leeway);
    if (has_iat && exp < iat)
        return refuse(refusal, REASON_CLAIM_INVALID, "the token expires before it was issued");
    if (max_lifetime && !hold_from(exp - max_lifetime - leeway, now, &validity)) {
        char words[CLOCK_WORDS_MAX], limit[CLOCK_WORDS_MAX];
        return refuse(refusal, REASON_LIFETIME_TOO_LONG,
                      "token is valid for another %s; at most %s are accepted",
                      clock_words(exp - now, words), clock_words(max_lifetime, limit));
    }
    *ret_validity = validity;
    return true;
}

/* --- audience ------------------------------------------------------------------------------ */

static bool is_configured(const struct strings *audiences, struct span audience) {
    for (size_t i = 0; i < audiences->count; i++)
        if (span_equal_text(audience, audiences->items[i])) return true;
    return false;
}

/* "'a', 'b'", cut short where it is long. */
static void quote_list(struct buf *out, struct span item, size_t index) {
    if (index == 4) buf_add_text(out, ", ...");
    if (index >= 4) return;
    buf_addf(out, "%s'%.*s%s'", index ? ", " : "", (int)(item.len < 48 ? item.len : 48), item.ptr,
             item.len > 48 ? "..." : "");
}

static bool refuse_audience(const json_t *aud, const struct config_issuer *issuer,
                            struct refusal *refusal) {
    struct buf came = buf_make(400), expected = buf_make(400);
    size_t i;
    json_t *item;

    if (json_is_string(aud)) quote_list(&came, json_span(aud), 0);
    json_array_foreach(aud, i, item) quote_list(&came, json_span(item), i);
    for (i = 0; i < issuer->audiences.count; i++)
        quote_list(&expected, span_of(issuer->audiences.items[i]), i);

    refuse(refusal, REASON_AUDIENCE_MISMATCH,
           "the token is for the audience %.200s; expected %s%.200s",
           came.len ? came.data : "(none)", issuer->audiences.count > 1 ? "one of " : "",
           expected.len ? expected.data : "another");
    buf_done(&came);
    buf_done(&expected);
    return false;
}

/* aud is one string or an array of strings (RFC 7519 section 4.1.3); one must be ours. */
static bool check_audience(const json_t *claims, const struct config_issuer *issuer,
                           struct refusal *refusal) {
    const json_t *aud = json_object_get(claims, "aud");
    bool ours = issuer->allow_any_audience;
    size_t i;
    json_t *item;

    if (!aud && ours) return true;
    if (!aud) return refuse(refusal, REASON_CLAIM_MISSING, "the token has no aud claim");
    if (!json_is_string(aud) && !json_is_array(aud))
        return refuse(refusal, REASON_CLAIM_INVALID,
                      "the aud claim of the token is neither a string nor an array of strings");
    if (json_is_string(aud) && is_configured(&issuer->audiences, json_span(aud))) ours = true;
    json_array_foreach(aud, i, item) {
        if (!json_is_string(item))
            return refuse(refusal, REASON_CLAIM_INVALID,
                          "the aud claim of the token holds something that is not a string");
        if (is_configured(&issuer->audiences, json_span(item))) ours = true;
    }
    return ours || refuse_audience(aud, issuer, refusal);
}

/* --- the rest ------------------------------------------------------------------------------ */

static bool check_text(const json_t *claims, const char *name, bool required,
                       struct refusal *refusal) {
    struct span text = SPAN_NONE;
    switch (json_find_string(claims, name, &text)) {
    case JSON_ABSENT:
        if (!required) return true;
        return refuse(refusal, REASON_CLAIM_MISSING, "the token has no %s claim", name);
    case JSON_WRONG_TYPE:
        return refuse(refusal, REASON_CLAIM_INVALID, "the %s claim of the token is not a string",
                      name);
    case JSON_FOUND:
        break;
    }
    return text.len > 0 ||
           refuse(refusal, REASON_CLAIM_INVALID, "the %s claim of the token is empty", name);
}

/* The profile for access tokens (RFC 9068 sections 2.1, 2.2 and 4). */
static bool check_profile(const struct jwt *jwt, const struct config_issuer *issuer,
                          struct refusal *refusal) {
    static const char *const required[] = {"sub", "client_id", "jti"};

    if (issuer->token_type != TOKEN_TYPE_AT_JWT) return true;
    if (jwt->type != JWT_TYPE_AT_JWT)
        return refuse(refusal, REASON_TYPE_NOT_ACCEPTED,
                      "the typ of the token is not at+jwt, which this issuer's tokens must have");
    for (size_t i = 0; i < ARRAY_LEN(required); i++)
        if (!check_text(jwt->claims, required[i], true, refusal)) return false;
    if (!json_object_get(jwt->claims, "iat"))
        return refuse(refusal, REASON_CLAIM_MISSING, "the token has no iat claim");
    if (!json_object_get(jwt->claims, "aud"))
        return refuse(refusal, REASON_CLAIM_MISSING, "the token has no aud claim");
    return true;
}

bool claims_check(const struct jwt *jwt, const struct config_issuer *issuer, int64_t now,
                  struct validity *ret_validity, struct refusal *refusal) {
    if (!check_profile(jwt, issuer, refusal) || !check_audience(jwt->claims, issuer, refusal) ||
        !check_times(jwt->claims, issuer, now, ret_validity, refusal) ||
        !check_text(jwt->claims, "sub", false, refusal))
        return false;
    /* A token bound to a key or certificate (RFC 7800) is worth nothing without the proof, and no
     * proof is taken yet: whoever presents it as a plain bearer token may have stolen it. */
    if (json_object_get(jwt->claims, "cnf"))
        return refuse(refusal, REASON_TOKEN_BOUND,
                      "the token is bound to a key (cnf) and was presented without proof of it");
    return true;
}
