#include "server/token/claims.h"

#include <inttypes.h>

#include "common/buf.h"
#include "common/clock.h"

/* 9999-12-31T23:59:59Z: no token lives longer, and sums with leeways stay far from overflow. */
#define NUMERIC_DATE_MAX 253402300799

const struct jnode *claim_find(const struct jnode *claims, const char *path) {
    const struct jnode *claim = jnode_find(claims, path);
    if (claim) return claim;

    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
        struct span name = {path, (size_t)(dot - path)};
        const struct jnode *inner = jnode_member(claims, name);
        claim = jnode_is(inner, JTYPE_OBJECT) ? claim_find(inner, dot + 1) : NULL;
        if (claim) return claim;
    }
    return NULL;
}

/* --- times --------------------------------------------------------------------------------- */

/* A NumericDate. Absent is fine where it is not required; then *ret_present is false. */
static bool read_date(const struct jnode *claims, const char *name, bool required,
                      bool *ret_present, int64_t *ret, struct refusal *refusal) {
    *ret_present = false;
    switch (jnode_find_seconds(claims, name, ret)) {
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

/* The same about a claim that holds. */
static void note_time(const struct trace *trace, const char *name, const char *what, int64_t when,
                      int64_t now, int64_t leeway) {
    char when_text[CLOCK_TEXT_MAX], now_text[CLOCK_TEXT_MAX], words[CLOCK_WORDS_MAX];
    TRACE_GOOD(trace, name, "%s %s; current time %s, %s %s; allowed clock skew %" PRId64 " s", what,
               clock_format(when, when_text), clock_format(now, now_text),
               clock_words(now - when, words), now >= when ? "later" : "earlier", leeway);
}

/* The claims hold from that moment on; false where now lies before it. */
static bool hold_from(int64_t moment, int64_t now, struct validity *validity) {
    if (moment > validity->from) validity->from = moment;
    return now >= moment;
}

/* A token that is being judged, and what came of it so far. */
struct judged {
    const struct jwt *jwt;
    const struct config_issuer *issuer;
    const struct trace *trace;
    int64_t now;
    int64_t leeway; /* seconds */
    bool has_exp;
    struct validity validity;
};

bool claims_refuse_expired(int64_t exp, int64_t now, const struct config_issuer *issuer,
                           struct refusal *refusal) {
    return refuse_time(refusal, REASON_TOKEN_EXPIRED, "token expired at", exp, now,
                       issuer->leeway / 1000);
}

static bool check_exp(struct judged *judged, struct refusal *refusal) {
    bool present;
    int64_t exp;

    if (!read_date(judged->jwt->claims->root, "exp", true, &present, &exp, refusal)) return false;
    judged->has_exp = true;
    judged->validity.until = exp + judged->leeway;
    judged->validity.expires = exp;
    /* "On or after" exp it must not be accepted (RFC 7519 section 4.1.4). */
    if (judged->now >= judged->validity.until)
        return claims_refuse_expired(exp, judged->now, judged->issuer, refusal);
    note_time(judged->trace, "expiry", "token expires at", exp, judged->now, judged->leeway);
    return true;
}

static bool check_nbf(struct judged *judged, struct refusal *refusal) {
    bool present;
    int64_t nbf;

    if (!read_date(judged->jwt->claims->root, "nbf", false, &present, &nbf, refusal)) return false;
    if (!present) return true;
    if (!hold_from(nbf - judged->leeway, judged->now, &judged->validity))
        return refuse_time(refusal, REASON_TOKEN_NOT_YET_VALID, "token is not valid before", nbf,
                           judged->now, judged->leeway);
    note_time(judged->trace, "not before", "token is valid from", nbf, judged->now, judged->leeway);
    return true;
}

static bool check_iat(struct judged *judged, struct refusal *refusal) {
    bool present;
    int64_t iat;

    if (!read_date(judged->jwt->claims->root, "iat", false, &present, &iat, refusal)) return false;
    if (!present) return true;
    if (!hold_from(iat - judged->leeway, judged->now, &judged->validity))
        return refuse_time(refusal, REASON_TOKEN_FROM_FUTURE, "token was issued at", iat,
                           judged->now, judged->leeway);
    if (judged->has_exp && judged->validity.expires < iat)
        return refuse(refusal, REASON_CLAIM_INVALID, "the token expires before it was issued");
    note_time(judged->trace, "issued at", "token was issued at", iat, judged->now, judged->leeway);
    return true;
}

static bool check_lifetime(struct judged *judged, struct refusal *refusal) {
    char words[CLOCK_WORDS_MAX], limit[CLOCK_WORDS_MAX];
    int64_t exp = judged->validity.expires, longest = judged->issuer->max_lifetime / 1000;

    if (!longest || !judged->has_exp) return true;
    if (hold_from(exp - longest - judged->leeway, judged->now, &judged->validity)) {
        TRACE_GOOD(judged->trace, "lifetime", "at most %s are accepted (max_lifetime)",
                   clock_words(longest, limit));
        return true;
    }
    return refuse(refusal, REASON_LIFETIME_TOO_LONG,
                  "token is valid for another %s; at most %s are accepted",
                  clock_words(exp - judged->now, words), clock_words(longest, limit));
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

/* What came, and what is configured. */
static void list_audiences(const struct jnode *aud, const struct config_issuer *issuer,
                           struct buf *came, struct buf *expected) {
    const struct jnode *item = jarray_first(aud);

    if (jnode_is(aud, JTYPE_STRING)) quote_list(came, jnode_text(aud), 0);
    for (size_t i = 0; item; item = jnode_next(aud, item)) quote_list(came, jnode_text(item), i++);
    for (size_t i = 0; i < issuer->audiences.count; i++)
        quote_list(expected, span_of(issuer->audiences.items[i]), i);
}

static bool refuse_audience(const struct jnode *aud, const struct config_issuer *issuer,
                            struct refusal *refusal) {
    struct buf came = buf_make(400), expected = buf_make(400);

    list_audiences(aud, issuer, &came, &expected);
    refuse(refusal, REASON_AUDIENCE_MISMATCH,
           "the token is for the audience %.200s; expected %s%.200s",
           came.len ? came.data : "(none)", issuer->audiences.count > 1 ? "one of " : "",
           expected.len ? expected.data : "another");
    buf_done(&came);
    buf_done(&expected);
    return false;
}

static void note_audience(const struct judged *judged, const struct jnode *aud) {
    struct buf came = buf_make(400), expected = buf_make(400);

    list_audiences(aud, judged->issuer, &came, &expected);
    TRACE_GOOD(judged->trace, "audience", "the token is for %.400s; %s%.400s",
               came.len ? came.data : "nobody in particular",
               judged->issuer->allow_any_audience ? "allow_any_audience is set, so that any will do"
                                                  : "configured: ",
               judged->issuer->allow_any_audience || !expected.len ? "" : expected.data);
    buf_done(&came);
    buf_done(&expected);
}

/* aud is one string or an array of strings (RFC 7519 section 4.1.3); one must be ours. */
static bool check_audience(struct judged *judged, struct refusal *refusal) {
    const struct config_issuer *issuer = judged->issuer;
    const struct jnode *aud = jnode_find(judged->jwt->claims->root, "aud");
    bool ours = issuer->allow_any_audience;

    if (!aud && ours && judged->trace) note_audience(judged, aud);
    if (!aud && ours) return true;
    if (!aud) return refuse(refusal, REASON_CLAIM_MISSING, "the token has no aud claim");
    if (!jnode_is(aud, JTYPE_STRING) && !jnode_is(aud, JTYPE_ARRAY))
        return refuse(refusal, REASON_CLAIM_INVALID,
                      "the aud claim of the token is neither a string nor an array of strings");
    if (is_configured(&issuer->audiences, jnode_text(aud))) ours = true;
    for (const struct jnode *item = jarray_first(aud); item; item = jnode_next(aud, item)) {
        if (!jnode_is(item, JTYPE_STRING))
            return refuse(refusal, REASON_CLAIM_INVALID,
                          "the aud claim of the token holds something that is not a string");
        if (is_configured(&issuer->audiences, jnode_text(item))) ours = true;
    }
    if (!ours) return refuse_audience(aud, issuer, refusal);
    if (judged->trace) note_audience(judged, aud);
    return true;
}

/* --- the rest ------------------------------------------------------------------------------ */

static bool check_text(const struct jnode *claims, const char *name, bool required,
                       struct refusal *refusal) {
    struct span text = SPAN_NONE;
    switch (jnode_find_string(claims, name, &text)) {
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

static const char *const type_words[] = {
    [JWT_TYPE_ABSENT] = "no typ", [JWT_TYPE_JWT] = "typ JWT", [JWT_TYPE_AT_JWT] = "typ at+jwt"};

/* The profile for access tokens (RFC 9068 sections 2.1, 2.2 and 4). */
static bool check_profile(struct judged *judged, struct refusal *refusal) {
    static const char *const required[] = {"sub", "client_id", "jti"};
    const struct jwt *jwt = judged->jwt;

    if (judged->issuer->token_type != TOKEN_TYPE_AT_JWT) {
        TRACE_GOOD(judged->trace, "type", "%s; token_type: any takes typ at+jwt, typ JWT and none",
                   type_words[jwt->type]);
        return true;
    }
    if (jwt->type != JWT_TYPE_AT_JWT)
        return refuse(refusal, REASON_TYPE_NOT_ACCEPTED,
                      "the typ of the token is not at+jwt, which this issuer's tokens must have");
    for (size_t i = 0; i < ARRAY_LEN(required); i++)
        if (!check_text(jwt->claims->root, required[i], true, refusal)) return false;
    if (!jnode_find(jwt->claims->root, "iat"))
        return refuse(refusal, REASON_CLAIM_MISSING, "the token has no iat claim");
    if (!jnode_find(jwt->claims->root, "aud"))
        return refuse(refusal, REASON_CLAIM_MISSING, "the token has no aud claim");
    TRACE_GOOD(judged->trace, "type", "%s, as token_type: at+jwt wants it", type_words[jwt->type]);
    return true;
}

static bool check_subject(struct judged *judged, struct refusal *refusal) {
    return check_text(judged->jwt->claims->root, "sub", false, refusal);
}

/*
 * A token bound to a key or certificate (RFC 7800) is worth nothing without the proof, and no proof
 * is taken yet: whoever presents it as a plain bearer token may have stolen it.
 */
static bool check_binding(struct judged *judged, struct refusal *refusal) {
    if (!jnode_find(judged->jwt->claims->root, "cnf")) return true;
    return refuse(refusal, REASON_TOKEN_BOUND,
                  "the token is bound to a key (cnf) and was presented without proof of it");
}

/* --- all of it ----------------------------------------------------------------------------- */

static const struct {
    const char *step;
    bool (*holds)(struct judged *judged, struct refusal *refusal);
} checks[] = {
    {"type", check_profile},    {"audience", check_audience}, {"expiry", check_exp},
    {"not before", check_nbf},  {"issued at", check_iat},     {"lifetime", check_lifetime},
    {"subject", check_subject}, {"binding", check_binding},
};

bool claims_check(const struct jwt *jwt, const struct config_issuer *issuer, int64_t now,
                  const struct trace *trace, struct validity *ret_validity,
                  struct refusal *refusal) {
    struct judged judged = {.jwt = jwt,
                            .issuer = issuer,
                            .trace = trace,
                            .now = now,
                            .leeway = issuer->leeway / 1000,
                            .validity = {.from = INT64_MIN}};
    bool hold = true;

    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        struct refusal told;
        if (checks[i].holds(&judged, &told)) continue;
        if (hold) *refusal = told;
        *ret_validity = judged.validity;
        if (!trace) return false;
        TRACE_BAD(trace, checks[i].step, "%s", told.text);
        hold = false;
    }
    if (hold) *ret_validity = judged.validity;
    return hold;
}
