#include "server/token/jwt.h"

#include <stdlib.h>

#include "common/base64url.h"
#include "common/json.h"

#define KID_MAX 1024
#define SEGMENTS 3

/* --- segments ------------------------------------------------------------------------------ */

static bool split(struct span token, struct span segments[SEGMENTS], struct refusal *refusal) {
    size_t dots = 0;
    for (size_t i = 0; i < token.len; i++) dots += token.ptr[i] == '.';

    if (dots == 4)
        return refuse(refusal, REASON_TOKEN_ENCRYPTED,
                      "the token has five parts: it is encrypted (JWE), which is not accepted");
    if (dots != SEGMENTS - 1)
        return refuse(refusal, REASON_TOKEN_MALFORMED,
                      "the token has %zu parts; a signed JWT has three", dots + 1);
    for (size_t i = 0; i < SEGMENTS; i++) {
        size_t end = span_find(token, '.');
        segments[i] = span_until(token, end);
        token = span_from(token, end + 1);
    }
    for (size_t i = 0; i < SEGMENTS; i++)
        if (segments[i].len == 0)
            return refuse(refusal, REASON_TOKEN_MALFORMED, "part %zu of the token is empty", i + 1);
    return true;
}

static bool decode(struct span segment, const char *name, unsigned char **at, struct span *ret,
                   struct refusal *refusal) {
    size_t len;
    if (base64url_decode(segment, *at, &len) < 0)
        return refuse(refusal, REASON_TOKEN_MALFORMED, "the %s of the token is not base64url",
                      name);
    *ret = (struct span){(char *)*at, len};
    *at += len;
    return true;
}

static bool read_object(struct span text, const char *name, json_t **ret, struct refusal *refusal) {
    struct err_text why;
    int r = json_read_object(text, ret, &why);
    if (r == 0) return true;
    return refuse(refusal, r == ERR_MEMORY ? REASON_OUT_OF_MEMORY : REASON_TOKEN_MALFORMED,
                  "the %s of the token %s", name, why.text);
}

/* --- header -------------------------------------------------------------------------------- */

/* Foreign text to be quoted in a description: short and plain, or not at all. */
static const char *quotable(struct span text) {
    if (text.len == 0 || text.len > 32) return NULL;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f || strchr("'\"\\", text.ptr[i])) return NULL;
    return text.ptr;
}

static bool read_algorithm(const json_t *header, enum algorithm *ret, struct refusal *refusal) {
    struct span name;
    if (json_find_string(header, "alg", &name) != JSON_FOUND)
        return refuse(refusal, REASON_ALGORITHM_NOT_ALLOWED,
                      "the header of the token has no alg that is a string");
    int found = algorithm_find(name);
    if (found < 0 && quotable(name))
        return refuse(refusal, REASON_ALGORITHM_NOT_ALLOWED, "the alg '%s' is not accepted",
                      quotable(name));
    if (found < 0)
        return refuse(refusal, REASON_ALGORITHM_NOT_ALLOWED,
                      "the alg of the token is not accepted");
    *ret = (enum algorithm)found;
    return true;
}

/* A media type may leave "application/" out (RFC 7515 section 4.1.9); case does not count. */
static bool read_type(const json_t *header, enum jwt_type *ret, struct refusal *refusal) {
    static const struct span prefix = SPAN_LITERAL("application/");
    struct span type;

    switch (json_find_string(header, "typ", &type)) {
    case JSON_ABSENT:
        *ret = JWT_TYPE_ABSENT;
        return true;
    case JSON_WRONG_TYPE:
        return refuse(refusal, REASON_TYPE_NOT_ACCEPTED, "the typ of the token is not a string");
    case JSON_FOUND:
        break;
    }
    if (span_equal_nocase(span_until(type, prefix.len), prefix)) type = span_from(type, prefix.len);
    if (span_equal_nocase(type, SPAN_LITERAL("JWT")))
        *ret = JWT_TYPE_JWT;
    else if (span_equal_nocase(type, SPAN_LITERAL("at+jwt")))
        *ret = JWT_TYPE_AT_JWT;
    else
        return refuse(refusal, REASON_TYPE_NOT_ACCEPTED,
                      "the typ of the token is neither JWT nor at+jwt: it is no access token");
    return true;
}

static bool read_kid(const json_t *header, struct span *ret, struct refusal *refusal) {
    *ret = SPAN_NONE;
    if (json_find_string(header, "kid", ret) == JSON_WRONG_TYPE)
        return refuse(refusal, REASON_TOKEN_MALFORMED, "the kid of the token is not a string");
    if (ret->len > KID_MAX)
        return refuse(refusal, REASON_TOKEN_MALFORMED, "the kid of the token is too long");
    return true;
}

/* Header parameters that change what the signature means, and that we do not implement. */
static bool check_extensions(const json_t *header, struct refusal *refusal) {
    static const struct {
        const char *name;
        const char *why;
    } refused[] = {
        {"crit", "the header of the token has crit; no critical extension is understood"},
        {"zip", "the header of the token has zip; compressed tokens are not accepted"},
        {"enc", "the header of the token has enc; encrypted tokens are not accepted"},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (json_object_get(header, refused[i].name))
            return refuse(refusal, REASON_HEADER_NOT_ACCEPTED, "%s", refused[i].why);

    const json_t *b64 = json_object_get(header, "b64");
    if (b64 && !json_is_true(b64))
        return refuse(refusal, REASON_HEADER_NOT_ACCEPTED,
                      "the header of the token has b64 that is not true");
    const json_t *cty = json_object_get(header, "cty");
    if (cty && span_equal_nocase(json_span(cty), SPAN_LITERAL("JWT")))
        return refuse(refusal, REASON_HEADER_NOT_ACCEPTED,
                      "the token holds another token, which is not accepted");
    return true;
}

/* --- whole --------------------------------------------------------------------------------- */

static bool parse(struct span token, struct jwt *jwt, struct refusal *refusal) {
    struct span segments[SEGMENTS], header, payload;

    if (!split(token, segments, refusal)) return false;
    jwt->memory = malloc(base64url_decoded_max(token.len) + 2 * SEGMENTS);
    if (!jwt->memory) return refuse(refusal, REASON_OUT_OF_MEMORY, "out of memory");

    unsigned char *at = jwt->memory;
    jwt->signing_input = span_until(token, segments[0].len + 1 + segments[1].len);
    return decode(segments[0], "header", &at, &header, refusal) &&
           decode(segments[1], "payload", &at, &payload, refusal) &&
           decode(segments[2], "signature", &at, &jwt->signature, refusal) &&
           read_object(header, "header", &jwt->header, refusal) &&
           read_algorithm(jwt->header, &jwt->algorithm, refusal) &&
           check_extensions(jwt->header, refusal) && read_type(jwt->header, &jwt->type, refusal) &&
           read_kid(jwt->header, &jwt->kid, refusal) &&
           read_object(payload, "payload", &jwt->claims, refusal);
}

bool jwt_parse(struct span token, struct jwt *ret, struct refusal *refusal) {
    struct jwt jwt = {0};
    if (!parse(token, &jwt, refusal)) {
        jwt_done(&jwt);
        return false;
    }
    *ret = jwt;
    return true;
}

void jwt_done(struct jwt *jwt) {
    json_decref(jwt->header);
    json_decref(jwt->claims);
    free(jwt->memory);
    *jwt = (struct jwt){0};
}
