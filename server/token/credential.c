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
    /* A token at the end, as most are, is looked through once. */
    size_t last = value.len;
    while (last > 0 && ascii_is(value.ptr[last - 1], ASCII_TOKEN68)) last--;
    if (value.len == 0 || !is_clean(span_until(value, last))) {
        refuse(refusal, REASON_CREDENTIALS_MALFORMED, "the Authorization header is %s",
               value.len ? "not plain ASCII text" : "empty");
        return CREDENTIAL_REFUSED;
    }

    size_t end = 0;
    while (end < value.len && ascii_is_token_char(value.ptr[end])) end++;
    if (!span_equal_nocase(span_until(value, end), SPAN_LITERAL("Bearer"))) {
        refuse(refusal, REASON_OTHER_SCHEME,
               "the Authorization header is not of the Bearer scheme");
        return CREDENTIAL_NONE;
    }
    struct span token = span_from(value, end);
    bool spaced = token.len && token.ptr[0] == ' ';
    while (token.len && token.ptr[0] == ' ') token = span_from(token, 1);
    if (token.len > token_max) {
        refuse(refusal, REASON_TOKEN_TOO_LARGE, "the token has %zu bytes; %zu are accepted",
               token.len, token_max);
        return CREDENTIAL_REFUSED;
    }
    bool whole = token.len > 0 && last <= value.len - token.len;
    if (!spaced || (!whole && !is_b64token(token))) {
        refuse(refusal, REASON_CREDENTIALS_MALFORMED,
               "the Authorization header is not 'Bearer', a space and one token");
        return CREDENTIAL_REFUSED;
    }
    ret->token = token;
    return CREDENTIAL_BEARER;
}

struct span credential_peek(const struct evidence *evidence, size_t token_max) {
    static const struct span scheme = SPAN_LITERAL("Bearer ");

    if (evidence->authorization_count != 1) return SPAN_NONE;
    struct span value = span_trim(evidence->authorization);
    if (!span_equal_nocase(span_until(value, scheme.len), scheme)) return SPAN_NONE;
    struct span token = span_from(value, scheme.len);
    return token.len <= token_max ? token : SPAN_NONE;
}
