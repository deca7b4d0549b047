#include "server/explain/advice.h"

#include <stddef.h>

#include "common/attr.h"

static const struct {
    const char *meaning; /* what was wrong */
    const char *change;  /* what to do about it */
} table[REASON_COUNT] = {
    [REASON_NO_CREDENTIALS] = {"the request had no Authorization header",
                               "send the token in a header: Authorization: Bearer TOKEN"},
    [REASON_OTHER_SCHEME] =
        {"the Authorization header is of another scheme than Bearer: Basic or DPoP, perhaps",
         "send the token by the Bearer scheme: Authorization: Bearer TOKEN"},
    [REASON_CREDENTIALS_MALFORMED] =
        {"what follows 'Bearer' is no token, or the header is empty or not plain text",
         "send exactly 'Bearer', a space and the token; look for quotes, line ends or a template "
         "that was not filled in"},
    [REASON_CREDENTIALS_REPEATED] =
        {"the request had more than one Authorization header",
         "send one Authorization header; look for a proxy on the way that adds its own"},
    [REASON_TOKEN_TOO_LARGE] =
        {"the token is longer than limits.token",
         "have the issuer put less into the token (groups, often), or raise limits.token"},
    [REASON_TOKEN_MALFORMED] =
        {"the token is not the three parts of a signed JWT, or they cannot be read",
         "send a JWT: an opaque token, an encrypted one or one that was cut off in copying is "
         "none"},
    [REASON_TOKEN_ENCRYPTED] = {"the token is encrypted (JWE), for somebody else to read",
                                "have the issuer sign its access tokens and not encrypt them"},
    [REASON_HEADER_NOT_ACCEPTED] =
        {"the token's header wants something that is not understood here: crit, zip, b64 or a "
         "token inside the token",
         "have the issuer make an ordinary signed token, without critical or nested parts"},
    [REASON_TYPE_NOT_ACCEPTED] =
        {"the token's typ says that it is no access token",
         "send the access token, not the ID token or another; where the issuer makes access tokens "
         "without typ at+jwt, set token_type: any"},
    [REASON_ALGORITHM_NOT_ALLOWED] = {"the token's alg is not accepted, at all or for this issuer",
                                      "have the issuer sign with an algorithm that is listed in "
                                      "its algorithms, or list this one"},
    [REASON_ISSUER_UNKNOWN] =
        {"the token's iss is not the name of any configured issuer, to the letter",
         "get the token from a configured issuer, or write this one under issuers, to the letter"},
    [REASON_KEY_NOT_FOUND] =
        {"the issuer's key set has no key with the token's kid, also after a refresh",
         "see what keys the issuer publishes with 'bearerd check --online'; the token may come "
         "from "
         "another server of the same name, or be older than a change of keys"},
    [REASON_KEY_NOT_FIT] = {"the issuer's key of that kid must not be used with the token's alg",
                            "the issuer's key says that it is for another use or algorithm; its "
                            "operator must mend it"},
    [REASON_KEY_NOT_CLEAR] =
        {"several of the issuer's keys fit the token, so that it is not clear which one counts",
         "have the issuer name the key in its tokens (kid), and give each key a kid of its own"},
    [REASON_SIGNATURE_INVALID] =
        {"the issuer's key did not sign this token as it stands",
         "copy the token again, all of it; if it is whole, it was not made by this issuer, or was "
         "changed on the way"},
    [REASON_CLAIM_MISSING] = {"a claim that every token must have is not there",
                              "have the issuer put the claim into its access tokens"},
    [REASON_CLAIM_INVALID] = {"a claim is of a wrong type, or says something impossible",
                              "have the issuer write the claim as RFC 7519 says"},
    [REASON_AUDIENCE_MISMATCH] =
        {"the token is meant for another API",
         "ask the issuer for a token for this API (audience or resource parameter), or add the "
         "token's audience to audiences if it is meant for this API"},
    [REASON_TOKEN_EXPIRED] =
        {"exp lies in the past by more than leeway",
         "get a new token; if it was new, compare the clocks of the issuer and of this machine"},
    [REASON_TOKEN_NOT_YET_VALID] =
        {"nbf lies in the future by more than leeway",
         "compare the clocks of the issuer and of this machine (timedatectl); leeway allows for "
         "small differences"},
    [REASON_TOKEN_FROM_FUTURE] =
        {"iat lies in the future by more than leeway",
         "compare the clocks of the issuer and of this machine (timedatectl); leeway allows for "
         "small differences"},
    [REASON_LIFETIME_TOO_LONG] =
        {"the token is valid for longer than max_lifetime",
         "have the issuer make tokens that live less long, or raise max_lifetime"},
    [REASON_TOKEN_BOUND] =
        {"the token is bound to a key or certificate (cnf), so that it is no plain bearer token",
         "get a token that is not bound to a key or certificate (without DPoP and mTLS)"},
    [REASON_USER_MISSING] =
        {"none of user_claims names the user",
         "have the issuer name the user in one of user_claims, or list the claim that does"},
    [REASON_SCOPE_MISSING] =
        {"the token lacks a scope that the route, or every token of its issuer, needs",
         "ask the issuer for a token with the scope, and see that the client may have it there"},
    [REASON_ROLE_MISSING] =
        {"the caller lacks a role that the route needs",
         "give the user the role at the issuer, and see that it puts roles into a claim that is "
         "listed in role_claims"},
    [REASON_CLAIM_NOT_MET] =
        {"a claim is not what the route requires",
         "the user or client is another one than the route is for; change it at the issuer, or the "
         "route's require"},
    [REASON_ISSUER_NOT_ALLOWED] =
        {"the route is for tokens of other issuers",
         "get the token from an issuer that the route's require lists, or list this one"},
    [REASON_RULED_OUT] = {"the token has what the route rules out (not)",
                          "the route is closed to such tokens: see not in its require"},
    [REASON_TOKEN_TOO_OLD] =
        {"the token was issued longer ago than the route takes (max_token_age)",
         "get a new token: the route wants one that was issued lately"},
    [REASON_ACR_NOT_MET] =
        {"the user did not log in by a way that the route requires (acr)",
         "log in again with acr_values as the challenge names them (RFC 9470): a second factor, "
         "usually"},
    [REASON_LOGIN_TOO_OLD] =
        {"the user logged in longer ago than the route takes (max_auth_age)",
         "log in again (max_age, RFC 9470); the token must carry auth_time, too"},
    [REASON_KEYS_UNAVAILABLE] =
        {"the issuer's keys could not be fetched, or are older than max_stale",
         "see why the issuer's keys do not come with 'bearerd check --online'; the log says it, "
         "too"},
    [REASON_OUT_OF_MEMORY] = {"there was no memory for the request",
                              "give the service more memory (MemoryMax= of its unit)"},
    [REASON_FRAMING] =
        {"the request can be read in two ways, or is not HTTP/1.x",
         "the request is not sound HTTP; look at the client, or at a proxy on the way"},
    [REASON_HEAD_TOO_LARGE] = {"the request's head is larger than limits.header",
                               "send fewer or smaller headers (cookies, often), or raise "
                               "limits.header"},
    [REASON_TARGET] =
        {"the path or query has no normal form, so that two readers could take it for two things",
         "ask for a plain path, without escaped slashes, '#' or '..' above the root"},
    [REASON_NO_ROUTE] = {"no route has the path for that host",
                         "write a route for the path, or ask for one that has a route"},
    [REASON_METHOD_NOT_ALLOWED] =
        {"the path has routes, none of them for that method",
         "use a method that Allow lists, or add it to the route's methods"},
    [REASON_ORIGINAL] =
        {"a proxy asked about a request and did not say which, or said it in two ways",
         "let the asking proxy say method, host and path of the request, once, as in "
         "conf/examples"},
    [REASON_NOT_TRUSTED] = {"who asked about a request is not in trusted_proxies",
                            "list the asking proxy's address in trusted_proxies"},
    [REASON_ORIGIN_NOT_ALLOWED] =
        {"a browser asked on behalf of a script whose origin is not in the route's cors.origins",
         "add the origin to cors.origins of the route"},
    [REASON_TOKEN_REVOKED] = {"the deny list has an entry for the token, its user or its key",
                              "the deny list names it; see 'curl ADMIN/api/deny', and take it off "
                              "there if that is wrong"},
    [REASON_OTHER_SITE] =
        {"a page of another site sent a browser to the admin listener",
         "ask the admin listener by its own address, and not from a page of another site"},
    [REASON_NOT_WRITTEN] = {"a change of the deny list could not be written, and is not in force",
                            "see why the deny list's file cannot be written; the log says it"},
    [REASON_UPSTREAM_DOWN] = {"every target of the upstream counts as down",
                              "the upstream's targets are all down; start one of them"},
    [REASON_UPSTREAM_UNREACHABLE] = {"no connection to the upstream came about",
                                     "the upstream cannot be reached; the log says which target"},
    [REASON_UPSTREAM_CLOSED] =
        {"the upstream closed the connection before it had answered",
         "the upstream closed the connection without an answer; look at its log"},
    [REASON_UPSTREAM_MALFORMED] =
        {"the upstream's answer can be read in two ways, or is not HTTP/1.x",
         "the upstream's answer is not sound HTTP; the log says what is wrong with it"},
    [REASON_UPSTREAM_TIMEOUT] =
        {"the upstream took longer than its timeouts allow",
         "the upstream did not answer in time; look at its log, or raise timeouts"},
};

static const char *or_empty(const char *text) {
    return text ? text : "";
}

const char *advice_meaning(enum reason reason) {
    return (size_t)reason < ARRAY_LEN(table) ? or_empty(table[reason].meaning) : "";
}

const char *advice_for(enum reason reason) {
    return (size_t)reason < ARRAY_LEN(table) ? or_empty(table[reason].change) : "";
}
