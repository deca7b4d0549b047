#include "server/token/credential.h"

#include "common/ascii.h"

/* b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=" (RFC 6750 section 2.1) */
static bool is_b64token(struct span text) {
    while (text.len && text.ptr[text.len - 1] == '=') text.len--;
    if (text.len == 0) return false;
    return ascii_is_all(text, ASCII_TOKEN68);
}

static bool is_clean(struct span text) {
    return !ascii_holds(text, ASCII_CONTROL | ASCII_HIGH);
}

/* What is behind "Bearer" and at least one space; absent where that is not what the value is. */
static struct span behind_scheme(struct span value) {
    static const struct span scheme = SPAN_LITERAL("Bearer ");

    if (!span_equal_nocase(span_until(value, scheme.len), scheme)) return SPAN_NONE;
    struct span token = span_from(value, scheme.len);
    while (token.len && token.ptr[0] == ' ') token = span_from(token, 1);
    return token;
}

static enum credential_found refuse_malformed(struct span value, struct refusal *refusal) {
    if (value.len == 0)
        refuse(refusal, REASON_CREDENTIALS_MALFORMED, "the Authorization header is empty");
    else if (!is_clean(value))
        refuse(refusal, REASON_CREDENTIALS_MALFORMED,
               "the Authorization header is not plain ASCII text");
    else
        refuse(refusal, REASON_CREDENTIALS_MALFORMED,
               "the Authorization header is not 'Bearer', a space and one token");
    return CREDENTIAL_REFUSED;
}

static bool is_of_other_scheme(struct span value) {
    size_t end = 0;
    while (end < value.len && ascii_is_token_char(value.ptr[end])) end++;
    return !span_equal_nocase(span_until(value, end), SPAN_LITERAL("Bearer"));
}

enum credential_found credential_parse(const struct evidence *evidence, size_t token_max,
                                       struct credential *ret, struct refusal *refusal) {
    if (evidence->authorization_count == 0) {
        refuse(refusal, REASON_NO_CREDENTIALS, "no Authorization header was sent");
        return CREDENTIAL_NONE;
    }
    /* Two headers let two parsers take two different tokens: refuse, whatever they hold. */
    if (evidence->authorization_count > 1) {
        refuse(refusal, REASON_CREDENTIALS_REPEATED, "more than one Authorization header was sent");
        return CREDENTIAL_REFUSED;
    }
    struct span value = span_trim(evidence->authorization);
    struct span token = behind_scheme(value);
    if (token.len && token.len <= token_max) {
        ret->token = token;
        return CREDENTIAL_BEARER;
    }

    if (value.len == 0 || !is_clean(value)) return refuse_malformed(value, refusal);
    if (is_of_other_scheme(value)) {
        refuse(refusal, REASON_OTHER_SCHEME,
               "the Authorization header is not of the Bearer scheme");
        return CREDENTIAL_NONE;
    }
    if (token.len == 0) return refuse_malformed(value, refusal);
    refuse(refusal, REASON_TOKEN_TOO_LARGE, "the token has %zu bytes; %zu are accepted", token.len,
           token_max);
    return CREDENTIAL_REFUSED;
}

bool credential_check(const struct credential *credential, struct refusal *refusal) {
    if (is_b64token(credential->token)) return true;
    refuse_malformed(credential->token, refusal);
    return false;
}
