/*
 * credential: what is taken for a token is a b64token behind "Bearer" and a space, in one header
 * field, and no larger than allowed; everything else has a reason.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/ascii.h"
#include "server/token/credential.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth) {
    if (!truth) abort();
}

static void check_bearer(struct span value, struct span token, size_t token_max) {
    struct span trimmed = span_trim(value);
    demand(token.len > 0 && token.len <= token_max);
    demand(token.ptr + token.len == trimmed.ptr + trimmed.len);
    demand(token.ptr >= trimmed.ptr + 7);
    demand(span_equal_nocase(span_until(trimmed, 6), SPAN_LITERAL("Bearer")));
    for (const char *c = trimmed.ptr + 6; c < token.ptr; c++) demand(*c == ' ');
    for (size_t i = 0; i < token.len; i++)
        demand(ascii_is_alphanumeric_or(token.ptr[i], "-._~+/="));
    demand(token.ptr[0] != '=');
}

static void check(struct span value, size_t count, size_t token_max) {
    struct evidence evidence = {.authorization = value, .authorization_count = count};
    struct credential credential = {SPAN_NONE};
    struct refusal refusal = {0};

    switch (credential_parse(&evidence, token_max, &credential, &refusal)) {
    case CREDENTIAL_BEARER:
        demand(count == 1);
        if (credential_check(&credential, &refusal)) {
            check_bearer(value, credential.token, token_max);
            return;
        }
        demand(refusal.reason == REASON_CREDENTIALS_MALFORMED);
        credential.token = SPAN_NONE;
        break;
    case CREDENTIAL_NONE:
        demand(refusal.reason == REASON_NO_CREDENTIALS || refusal.reason == REASON_OTHER_SCHEME);
        demand((refusal.reason == REASON_NO_CREDENTIALS) == (count == 0));
        break;
    case CREDENTIAL_REFUSED:
        demand(count > 0);
        demand((refusal.reason == REASON_CREDENTIALS_REPEATED) == (count > 1));
        break;
    }
    demand(refusal.text[0] && !credential.token.ptr);
    for (const char *c = refusal.text; *c; c++) demand(*c >= ' ' && *c < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span value = {(const char *)data, size};
    check(value, 1, 16384);
    check(value, 1, 16);
    check(value, 2, 16384);
    check(SPAN_NONE, 0, 16384);
    return 0;
}
