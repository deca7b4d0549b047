/*
 * reason: why a request is refused. One table is the only source of every name that a client, a log
 * or a metric shows.
 */
#ifndef SERVER_TOKEN_REASON_H
#define SERVER_TOKEN_REASON_H

#include <stdbool.h>

#include "common/attr.h"

/* What kind of refusal it is; decides status and challenge (RFC 6750 section 3.1). */
enum reason_class {
    CLASS_UNAUTHENTICATED,    /* 401 with a bare challenge: no credentials were presented */
    CLASS_INVALID_REQUEST,    /* 400 invalid_request: the credentials are malformed */
    CLASS_INVALID_TOKEN,      /* 401 invalid_token */
    CLASS_INSUFFICIENT_SCOPE, /* 403 insufficient_scope */
    CLASS_STEP_UP,            /* 401 insufficient_user_authentication (RFC 9470) */
    CLASS_UNAVAILABLE,        /* 503: the fault is ours, no challenge */
    CLASS_BAD_REQUEST,        /* 400 and the connection is closed: framing, path */
    CLASS_TOO_LARGE,          /* 431 */
    CLASS_NOT_FOUND,          /* 404 */
    CLASS_METHOD,             /* 405 */
    CLASS_FORBIDDEN,          /* 403 without a challenge: no token would help */
    CLASS_BAD_GATEWAY,        /* 502 */
    CLASS_GATEWAY_TIMEOUT,    /* 504 */
    CLASS_COUNT,
};

/* X(identifier, name, class) */
#define REASONS(X)                                                                                 \
    X(NO_CREDENTIALS, "no_credentials", CLASS_UNAUTHENTICATED)                                     \
    X(OTHER_SCHEME, "other_scheme", CLASS_UNAUTHENTICATED)                                         \
    X(CREDENTIALS_MALFORMED, "credentials_malformed", CLASS_INVALID_REQUEST)                       \
    X(CREDENTIALS_REPEATED, "credentials_repeated", CLASS_INVALID_REQUEST)                         \
    X(TOKEN_TOO_LARGE, "token_too_large", CLASS_TOO_LARGE)                                         \
    X(TOKEN_MALFORMED, "token_malformed", CLASS_INVALID_TOKEN)                                     \
    X(TOKEN_ENCRYPTED, "token_encrypted", CLASS_INVALID_TOKEN)                                     \
    X(HEADER_NOT_ACCEPTED, "header_not_accepted", CLASS_INVALID_TOKEN)                             \
    X(ALGORITHM_NOT_ALLOWED, "algorithm_not_allowed", CLASS_INVALID_TOKEN)                         \
    X(TYPE_NOT_ACCEPTED, "type_not_accepted", CLASS_INVALID_TOKEN)                                 \
    X(ISSUER_UNKNOWN, "issuer_unknown", CLASS_INVALID_TOKEN)                                       \
    X(KEY_NOT_FOUND, "key_not_found", CLASS_INVALID_TOKEN)                                         \
    X(KEY_NOT_FIT, "key_not_fit", CLASS_INVALID_TOKEN)                                             \
    X(KEY_NOT_CLEAR, "key_not_clear", CLASS_INVALID_TOKEN)                                         \
    X(SIGNATURE_INVALID, "signature_invalid", CLASS_INVALID_TOKEN)                                 \
    X(CLAIM_MISSING, "claim_missing", CLASS_INVALID_TOKEN)                                         \
    X(CLAIM_INVALID, "claim_invalid", CLASS_INVALID_TOKEN)                                         \
    X(AUDIENCE_MISMATCH, "audience_mismatch", CLASS_INVALID_TOKEN)                                 \
    X(TOKEN_EXPIRED, "token_expired", CLASS_INVALID_TOKEN)                                         \
    X(TOKEN_NOT_YET_VALID, "token_not_yet_valid", CLASS_INVALID_TOKEN)                             \
    X(TOKEN_FROM_FUTURE, "token_from_future", CLASS_INVALID_TOKEN)                                 \
    X(LIFETIME_TOO_LONG, "lifetime_too_long", CLASS_INVALID_TOKEN)                                 \
    X(TOKEN_BOUND, "token_bound", CLASS_INVALID_TOKEN)                                             \
    X(TOKEN_REVOKED, "token_revoked", CLASS_INVALID_TOKEN)                                         \
    X(USER_MISSING, "user_missing", CLASS_INVALID_TOKEN)                                           \
    X(SCOPE_MISSING, "scope_missing", CLASS_INSUFFICIENT_SCOPE)                                    \
    X(ROLE_MISSING, "role_missing", CLASS_INSUFFICIENT_SCOPE)                                      \
    X(CLAIM_NOT_MET, "claim_not_met", CLASS_INSUFFICIENT_SCOPE)                                    \
    X(ISSUER_NOT_ALLOWED, "issuer_not_allowed", CLASS_INSUFFICIENT_SCOPE)                          \
    X(RULED_OUT, "ruled_out", CLASS_INSUFFICIENT_SCOPE)                                            \
    X(TOKEN_TOO_OLD, "token_too_old", CLASS_INVALID_TOKEN)                                         \
    X(ACR_NOT_MET, "acr_not_met", CLASS_STEP_UP)                                                   \
    X(LOGIN_TOO_OLD, "login_too_old", CLASS_STEP_UP)                                               \
    X(KEYS_UNAVAILABLE, "keys_unavailable", CLASS_UNAVAILABLE)                                     \
    X(OUT_OF_MEMORY, "out_of_memory", CLASS_UNAVAILABLE)                                           \
    X(FRAMING, "framing", CLASS_BAD_REQUEST)                                                       \
    X(HEAD_TOO_LARGE, "head_too_large", CLASS_TOO_LARGE)                                           \
    X(TARGET, "target", CLASS_BAD_REQUEST)                                                         \
    X(NO_ROUTE, "no_route", CLASS_NOT_FOUND)                                                       \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", CLASS_METHOD)                                      \
    X(ORIGINAL, "original", CLASS_BAD_REQUEST)                                                     \
    X(NOT_TRUSTED, "not_trusted", CLASS_FORBIDDEN)                                                 \
    X(ORIGIN_NOT_ALLOWED, "origin_not_allowed", CLASS_FORBIDDEN)                                   \
    X(OTHER_SITE, "other_site", CLASS_FORBIDDEN)                                                   \
    X(NOT_WRITTEN, "not_written", CLASS_UNAVAILABLE)                                               \
    X(UPSTREAM_DOWN, "upstream_down", CLASS_UNAVAILABLE)                                           \
    X(UPSTREAM_UNREACHABLE, "upstream_unreachable", CLASS_BAD_GATEWAY)                             \
    X(UPSTREAM_CLOSED, "upstream_closed", CLASS_BAD_GATEWAY)                                       \
    X(UPSTREAM_MALFORMED, "upstream_malformed", CLASS_BAD_GATEWAY)                                 \
    X(UPSTREAM_TIMEOUT, "upstream_timeout", CLASS_GATEWAY_TIMEOUT)

enum reason {
#define X(identifier, name, class) REASON_##identifier,
    REASONS(X)
#undef X
        REASON_COUNT,
};

/* The name that logs show: lower case, words joined by "_". Static. */
const char *reason_name(enum reason reason);
enum reason_class reason_class(enum reason reason);

/*
 * A refusal, with one sentence for the client. The sentence never holds a token or a signature.
 * Before a signature is checked it tells about structure only; claims are quoted only after.
 */
struct refusal {
    enum reason reason;
    char text[512];
};

/* Fill refusal in and return false, so that a check reads `return refuse(...)`. */
#define refuse(refusal, reason, ...)                                                               \
    (refusal_write((refusal), (reason), __VA_ARGS__), refusal_done())

/* The halves of refuse(), which stand here so that compilers and analysers see what it returns. */
void refusal_write(struct refusal *refusal, enum reason reason, const char *format, ...)
    PRINTF_LIKE(3, 4);
static inline bool refusal_done(void) {
    return false;
}

#endif
