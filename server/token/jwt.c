#include "server/token/jwt.h"

/* A media type may leave "application/" out (RFC 7515 section 4.1.9); case does not count. */
static bool read_type(const struct jnode *header, enum jwt_type *ret, struct refusal *refusal) {
    static const struct span prefix = SPAN_LITERAL("application/");
    struct span type;

    switch (jnode_find_string(header, "typ", &type)) {
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

static bool check_content(const struct jnode *header, struct refusal *refusal) {
    const struct jnode *cty = jnode_find(header, "cty");
    if (span_equal_nocase(jnode_text(cty), SPAN_LITERAL("JWT")))
        return refuse(refusal, REASON_HEADER_NOT_ACCEPTED,
                      "the token holds another token, which is not accepted");
    return true;
}

static bool read_claims(struct span payload, struct jtree **ret, struct refusal *refusal) {
    struct err_text why;
    int r = jtree_read_object(payload, ret, &why);
    if (r == 0) return true;
    return refuse(refusal, r == ERR_MEMORY ? REASON_OUT_OF_MEMORY : REASON_TOKEN_MALFORMED,
                  "the payload of the token %s", why.text);
}

bool jwt_parse(struct span token, struct jwt *ret, struct refusal *refusal) {
    struct jwt jwt = {0};
    if (!jws_parse(token, &jwt.jws, refusal)) return false;
    const struct jnode *header = jwt.jws.header->root;
    if (!read_type(header, &jwt.type, refusal) || !check_content(header, refusal) ||
        !read_claims(jwt.jws.payload, &jwt.claims, refusal)) {
        jwt_done(&jwt);
        return false;
    }
    *ret = jwt;
    return true;
}

void jwt_done(struct jwt *jwt) {
    jtree_unref(jwt->claims);
    jws_done(&jwt->jws);
    *jwt = (struct jwt){0};
}
