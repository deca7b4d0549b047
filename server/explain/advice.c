#include "server/explain/advice.h"

#include <stddef.h>

#include "common/attr.h"

static const char *const advice[REASON_COUNT] = {
    [REASON_NO_CREDENTIALS] = "send the token in a header: Authorization: Bearer TOKEN",
    [REASON_OTHER_SCHEME] = "send the token by the Bearer scheme: Authorization: Bearer TOKEN",
    [REASON_CREDENTIALS_MALFORMED] =
        "send exactly 'Bearer', a space and the token; look for quotes, line ends or a template "
        "that was not filled in",
    [REASON_CREDENTIALS_REPEATED] =
        "send one Authorization header; look for a proxy on the way that adds its own",
    [REASON_TOKEN_TOO_LARGE] =
        "have the issuer put less into the token (groups, often), or raise limits.token",
    [REASON_TOKEN_MALFORMED] =
        "send a JWT: an opaque token, an encrypted one or one that was cut off in copying is none",
    [REASON_TOKEN_ENCRYPTED] = "have the issuer sign its access tokens and not encrypt them",
    [REASON_HEADER_NOT_ACCEPTED] =
        "have the issuer make an ordinary signed token, without critical or nested parts",
    [REASON_TYPE_NOT_ACCEPTED] =
        "send the access token, not the ID token or another; where the issuer makes access tokens "
        "without typ at+jwt, set token_type: any",
    [REASON_ALGORITHM_NOT_ALLOWED] =
        "have the issuer sign with an algorithm that is listed in its algorithms, or list this one",
    [REASON_ISSUER_UNKNOWN] =
        "get the token from a configured issuer, or write this one under issuers, to the letter",
    [REASON_KEY_NOT_FOUND] =
        "see what keys the issuer publishes with 'bearerd check --online'; the token may come from "
        "another server of the same name, or be older than a change of keys",
    [REASON_KEY_NOT_FIT] =
        "the issuer's key says that it is for another use or algorithm; its operator must mend it",
    [REASON_KEY_NOT_CLEAR] =
        "have the issuer name the key in its tokens (kid), and give each key a kid of its own",
    [REASON_SIGNATURE_INVALID] =
        "copy the token again, all of it; if it is whole, it was not made by this issuer, or was "
        "changed on the way",
    [REASON_CLAIM_MISSING] = "have the issuer put the claim into its access tokens",
    [REASON_CLAIM_INVALID] = "have the issuer write the claim as RFC 7519 says",
    [REASON_AUDIENCE_MISMATCH] =
        "ask the issuer for a token for this API (audience or resource parameter), or add the "
        "token's audience to audiences if it is meant for this API",
    [REASON_TOKEN_EXPIRED] =
        "get a new token; if it was new, compare the clocks of the issuer and of this machine",
    [REASON_TOKEN_NOT_YET_VALID] =
        "compare the clocks of the issuer and of this machine (timedatectl); leeway allows for "
        "small differences",
    [REASON_TOKEN_FROM_FUTURE] =
        "compare the clocks of the issuer and of this machine (timedatectl); leeway allows for "
        "small differences",
    [REASON_LIFETIME_TOO_LONG] =
        "have the issuer make tokens that live less long, or raise max_lifetime",
    [REASON_TOKEN_BOUND] =
        "get a token that is not bound to a key or certificate (without DPoP and mTLS)",
    [REASON_USER_MISSING] =
        "have the issuer name the user in one of user_claims, or list the claim that does",
    [REASON_SCOPE_MISSING] =
        "ask the issuer for a token with the scope, and see that the client may have it there",
    [REASON_ROLE_MISSING] =
        "give the user the role at the issuer, and see that it puts roles into a claim that is "
        "listed in role_claims",
    [REASON_CLAIM_NOT_MET] =
        "the user or client is another one than the route is for; change it at the issuer, or the "
        "route's require",
    [REASON_ISSUER_NOT_ALLOWED] =
        "get the token from an issuer that the route's require lists, or list this one",
    [REASON_RULED_OUT] = "the route is closed to such tokens: see not in its require",
    [REASON_TOKEN_TOO_OLD] = "get a new token: the route wants one that was issued lately",
    [REASON_ACR_NOT_MET] =
        "log in again with acr_values as the challenge names them (RFC 9470): a second factor, "
        "usually",
    [REASON_LOGIN_TOO_OLD] =
        "log in again (max_age, RFC 9470); the token must carry auth_time, too",
    [REASON_KEYS_UNAVAILABLE] =
        "see why the issuer's keys do not come with 'bearerd check --online'",
    [REASON_OUT_OF_MEMORY] = "give the service more memory (MemoryMax= of its unit)",
    [REASON_FRAMING] =
        "the request is not sound HTTP; look at the client, or at a proxy on the way",
    [REASON_HEAD_TOO_LARGE] = "send fewer or smaller headers (cookies, often), or raise "
                              "limits.header",
    [REASON_TARGET] = "ask for a plain path, without escaped slashes, '#' or '..' above the root",
    [REASON_NO_ROUTE] = "write a route for the path, or ask for one that has a route",
    [REASON_METHOD_NOT_ALLOWED] = "use a method that Allow lists, or add it to the route's methods",
    [REASON_ORIGINAL] =
        "let the asking proxy say method, host and path of the request, once, as in conf/examples",
    [REASON_NOT_TRUSTED] = "list the asking proxy's address in trusted_proxies",
    [REASON_ORIGIN_NOT_ALLOWED] = "add the origin to cors.origins of the route",
    [REASON_TOKEN_REVOKED] =
        "the deny list names it; see 'curl ADMIN/api/deny', and take it off there if that is wrong",
    [REASON_OTHER_SITE] =
        "ask the admin listener by its own address, and not from a page of another site",
    [REASON_NOT_WRITTEN] = "see why the deny list's file cannot be written; the log says it",
    [REASON_UPSTREAM_DOWN] = "the upstream's targets are all down; start one of them",
    [REASON_UPSTREAM_UNREACHABLE] = "the upstream cannot be reached; the log says which target",
    [REASON_UPSTREAM_CLOSED] =
        "the upstream closed the connection without an answer; look at its log",
    [REASON_UPSTREAM_MALFORMED] =
        "the upstream's answer is not sound HTTP; the log says what is wrong with it",
    [REASON_UPSTREAM_TIMEOUT] =
        "the upstream did not answer in time; look at its log, or raise timeouts",
};

const char *advice_for(enum reason reason) {
    return (size_t)reason < ARRAY_LEN(advice) && advice[reason] ? advice[reason] : "";
}
