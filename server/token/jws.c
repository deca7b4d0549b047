#include "server/token/jws.h"

#include <stdlib.h>

#include "common/base64url.h"

#define KID_MAX 1024
#define SEGMENTS 3

/* --- segments ------------------------------------------------------------------------------ */

static bool refuse_parts(struct span token, struct refusal *refusal) {
    size_t dots = 0;
    for (size_t i = 0; i < token.len; i++) dots += token.ptr[i] == '.';

    if (dots == 4)
        return refuse(refusal, REASON_TOKEN_ENCRYPTED,
                      "the token has five parts: it is encrypted (JWE), which is not accepted");
    return refuse(refusal, REASON_TOKEN_MALFORMED,
                  "the token has %zu parts; a signed JWT has three", dots + 1);
}

static bool split(struct span token, struct span segments[SEGMENTS], struct refusal *refusal) {
    struct span rest = token;

    for (size_t i = 0; i < SEGMENTS; i++) {
        size_t end = span_find(rest, '.');
        if ((end < rest.len) != (i < SEGMENTS - 1)) return refuse_parts(token, refusal);
        segments[i] = span_until(rest, end);
        rest = span_from(rest, end + 1);
    }
    if (segments[SEGMENTS - 1].len == 0)
        return refuse(refusal, REASON_TOKEN_MALFORMED, "the signature of the token is empty");
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

/* --- header -------------------------------------------------------------------------------- */

static bool read_header(struct span text, struct jtree **ret, struct refusal *refusal) {
    struct err_text why;
    int r = jtree_read_object(text, ret, &why);
    if (r == 0) return true;
    return refuse(refusal, r == ERR_MEMORY ? REASON_OUT_OF_MEMORY : REASON_TOKEN_MALFORMED,
                  "the header of the token %s", why.text);
}

/* Foreign text to be quoted in a description: short and plain, or not at all. */
static bool is_quotable(struct span text) {
    if (text.len == 0 || text.len > 32) return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f || strchr("'\"\\", text.ptr[i])) return false;
    return true;
}

static bool read_algorithm(const struct jnode *header, enum algorithm *ret,
                           struct refusal *refusal) {
    struct span name;
    if (jnode_find_string(header, "alg", &name) != JSON_FOUND)
        return refuse(refusal, REASON_ALGORITHM_NOT_ALLOWED,
                      "the header of the token has no alg that is a string");
    int found = algorithm_find(name);
    if (found < 0 && is_quotable(name))
        return refuse(refusal, REASON_ALGORITHM_NOT_ALLOWED, "the alg '%.*s' is not accepted",
                      SPAN_PRINTF(name));
    if (found < 0)
        return refuse(refusal, REASON_ALGORITHM_NOT_ALLOWED,
                      "the alg of the token is not accepted");
    *ret = (enum algorithm)found;
    return true;
}

static bool read_kid(const struct jnode *header, struct span *ret, struct refusal *refusal) {
    *ret = SPAN_NONE;
    if (jnode_find_string(header, "kid", ret) == JSON_WRONG_TYPE)
        return refuse(refusal, REASON_TOKEN_MALFORMED, "the kid of the token is not a string");
    if (ret->len > KID_MAX)
        return refuse(refusal, REASON_TOKEN_MALFORMED, "the kid of the token is too long");
    return true;
}

/* Header parameters that change what the signature means, and that we do not implement. */
static bool check_extensions(const struct jnode *header, struct refusal *refusal) {
    static const struct {
        const char *name;
        const char *why;
    } refused[] = {
        {"crit", "the header of the token has crit; no critical extension is understood"},
        {"zip", "the header of the token has zip; compressed tokens are not accepted"},
        {"enc", "the header of the token has enc; encrypted tokens are not accepted"},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (jnode_find(header, refused[i].name))
            return refuse(refusal, REASON_HEADER_NOT_ACCEPTED, "%s", refused[i].why);

    const struct jnode *b64 = jnode_find(header, "b64");
    if (b64 && !jnode_is(b64, JTYPE_TRUE))
        return refuse(refusal, REASON_HEADER_NOT_ACCEPTED,
                      "the header of the token has b64 that is not true");
    return true;
}

/* --- whole --------------------------------------------------------------------------------- */

static bool parse(struct span token, struct jws *jws, struct refusal *refusal) {
    struct span segments[SEGMENTS] = {SPAN_NONE}, header;

    if (!split(token, segments, refusal)) return false;
    jws->memory = malloc(base64url_decoded_max(token.len) + 2 * SEGMENTS);
    if (!jws->memory) return refuse(refusal, REASON_OUT_OF_MEMORY, "out of memory");

    unsigned char *at = jws->memory;
    jws->signing_input = span_until(token, segments[0].len + 1 + segments[1].len);
    return decode(segments[0], "header", &at, &header, refusal) &&
           decode(segments[1], "payload", &at, &jws->payload, refusal) &&
           decode(segments[2], "signature", &at, &jws->signature, refusal) &&
           read_header(header, &jws->header, refusal) &&
           read_algorithm(jws->header->root, &jws->algorithm, refusal) &&
           check_extensions(jws->header->root, refusal) &&
           read_kid(jws->header->root, &jws->kid, refusal);
}

bool jws_parse(struct span token, struct jws *ret, struct refusal *refusal) {
    struct jws jws = {0};
    if (!parse(token, &jws, refusal)) {
        jws_done(&jws);
        return false;
    }
    *ret = jws;
    return true;
}

void jws_done(struct jws *jws) {
    jtree_unref(jws->header);
    free(jws->memory);
    *jws = (struct jws){0};
}
