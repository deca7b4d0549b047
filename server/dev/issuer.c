#include "server/dev/issuer.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "server/dev/mint.h"
#include "server/dev/web.h"

#define VALUE_MAX 2048

static const enum algorithm offered[] = {ALG_RS256, ALG_ES256, ALG_EDDSA};

struct dev_issuer {
    struct web *web;
    char url[64];
    struct mint_key *keys[ARRAY_LEN(offered)];
};

/* --- documents ----------------------------------------------------------------------------- */

static void add_dump(struct buf *out, json_t *document) {
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    if (text)
        buf_add_text(out, text);
    else
        out->failed = true;
    free(text);
    json_decref(document);
}

static unsigned discovery(const struct dev_issuer *issuer, struct buf *out) {
    char jwks_uri[96], token_endpoint[96];
    snprintf(jwks_uri, sizeof jwks_uri, "%s/jwks", issuer->url);
    snprintf(token_endpoint, sizeof token_endpoint, "%s/token", issuer->url);
    add_dump(out, json_pack("{s:s, s:s, s:s, s:[s]}", "issuer", issuer->url, "jwks_uri", jwks_uri,
                            "token_endpoint", token_endpoint, "grant_types_supported",
                            "client_credentials"));
    return MHD_HTTP_OK;
}

static unsigned jwks(const struct dev_issuer *issuer, struct buf *out) {
    json_t *keys = json_array();
    for (size_t i = 0; i < ARRAY_LEN(offered); i++)
        json_array_append_new(keys, mint_key_jwk(issuer->keys[i]));
    add_dump(out, json_pack("{s:o}", "keys", keys));
    return MHD_HTTP_OK;
}

/* --- tokens -------------------------------------------------------------------------------- */

/* The byte that two hex digits name, or -1. */
static int hex_byte(const char digits[2]) {
    char text[3] = {digits[0], digits[1], '\0'};
    return isxdigit((unsigned char)text[0]) && isxdigit((unsigned char)text[1])
               ? (int)strtol(text, NULL, 16)
               : -1;
}

/* Undo application/x-www-form-urlencoded. */
static void decode_form(struct span text, char value[VALUE_MAX]) {
    size_t len = 0;
    while (text.len && len < VALUE_MAX - 1) {
        int escaped = text.len >= 3 && text.ptr[0] == '%' ? hex_byte(text.ptr + 1) : -1;
        value[len++] = (char)(escaped >= 0 ? escaped : text.ptr[0] == '+' ? ' ' : text.ptr[0]);
        text = span_from(text, escaped >= 0 ? 3 : 1);
    }
    value[len] = '\0';
}

/* The parameter's value, or fallback where it is absent. */
static const char *form_value(struct span form, const char *name, const char *fallback,
                              char value[VALUE_MAX]) {
    struct span pair;
    while (span_next(&form, '&', &pair)) {
        size_t equals = span_find(pair, '=');
        if (!span_equal_text(span_until(pair, equals), name)) continue;
        decode_form(span_from(pair, equals + 1), value);
        return value;
    }
    return fallback;
}

static unsigned refuse_token(struct buf *out, const char *error, const char *description) {
    add_dump(out, json_pack("{s:s, s:s}", "error", error, "error_description", description));
    return MHD_HTTP_BAD_REQUEST;
}

static const struct mint_key *find_key(const struct dev_issuer *issuer, const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(offered); i++)
        if (strcmp(algorithm_info(offered[i])->name, name) == 0) return issuer->keys[i];
    return NULL;
}

static json_t *make_claims(const struct dev_issuer *issuer, struct span form, int64_t lifetime) {
    static _Atomic unsigned long serial;
    char audience[VALUE_MAX], user[VALUE_MAX], scope[VALUE_MAX], jti[32];
    int64_t now = clock_wall();
    /* A token that has expired was issued before it did. */
    int64_t issued = lifetime < 0 ? now + lifetime - 1 : now;

    snprintf(jti, sizeof jti, "dev-%lu", ++serial);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "iss", issuer->url, "aud",
                     form_value(form, "audience", "api", audience), "sub", "dev-user", "email",
                     form_value(form, "user", "bob@example.com", user), "scope",
                     form_value(form, "scope", "", scope), "client_id", "dev", "jti", jti, "iat",
                     (json_int_t)issued, "exp", (json_int_t)now + lifetime);
}

static bool wants_plain(const struct web_request *request) {
    const char *accept =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    return accept && strcmp(accept, "text/plain") == 0;
}

static unsigned token(const struct dev_issuer *issuer, const struct web_request *request,
                      struct buf *out, const char **content_type) {
    char value[VALUE_MAX];

    if (strcmp(form_value(request->body, "grant_type", "", value), "client_credentials") != 0)
        return refuse_token(out, "unsupported_grant_type", "grant_type must be client_credentials");
    const struct mint_key *key = find_key(issuer, form_value(request->body, "alg", "RS256", value));
    if (!key) return refuse_token(out, "invalid_request", "alg must be RS256, ES256 or EdDSA");
    char *end;
    int64_t lifetime = strtoll(form_value(request->body, "expires_in", "3600", value), &end, 10);
    if (*end) return refuse_token(out, "invalid_request", "expires_in must be a number of seconds");

    json_t *claims = make_claims(issuer, request->body, lifetime);
    char *text = claims ? mint_token(key, claims) : NULL;
    json_decref(claims);
    if (!text) return refuse_token(out, "server_error", "the token could not be minted");
    if (wants_plain(request)) {
        *content_type = "text/plain";
        buf_add_text(out, text);
    } else {
        buf_addf(out,
                 "{\"access_token\":\"%s\",\"token_type\":\"Bearer\",\"expires_in\":%" PRId64 "}",
                 text, lifetime);
    }
    free(text);
    return MHD_HTTP_OK;
}

/* --- serving ------------------------------------------------------------------------------- */

static unsigned handle(void *argument, const struct web_request *request, struct buf *out,
                       const char **content_type) {
    const struct dev_issuer *issuer = argument;
    bool get = strcmp(request->method, "GET") == 0;
    bool post = strcmp(request->method, "POST") == 0;

    if (get && strcmp(request->path, "/.well-known/openid-configuration") == 0)
        return discovery(issuer, out);
    if (get && strcmp(request->path, "/jwks") == 0) return jwks(issuer, out);
    if (post && strcmp(request->path, "/token") == 0)
        return token(issuer, request, out, content_type);
    buf_add_text(out, "{\"error\":\"not_found\"}");
    return MHD_HTTP_NOT_FOUND;
}

int dev_issuer_start(struct dev_issuer **ret, struct err_text *err) {
    struct dev_issuer *issuer = calloc(1, sizeof *issuer);
    if (!issuer) return err_set(err, ERR_MEMORY, "out of memory");

    bool made = true;
    for (size_t i = 0; i < ARRAY_LEN(offered); i++)
        made = (issuer->keys[i] = mint_key_new(offered[i])) && made;
    /* The web server's thread looks at the URL only when the first request comes in. */
    issuer->web = made ? web_start(handle, issuer) : NULL;
    if (!issuer->web) {
        dev_issuer_stop(issuer);
        return err_set(err, ERR_SYSTEM, "cannot start the development issuer");
    }
    snprintf(issuer->url, sizeof issuer->url, "http://127.0.0.1:%u", web_port(issuer->web));
    *ret = issuer;
    return 0;
}

void dev_issuer_stop(struct dev_issuer *issuer) {
    if (!issuer) return;
    web_stop(issuer->web);
    for (size_t i = 0; i < ARRAY_LEN(offered); i++) mint_key_free(issuer->keys[i]);
    free(issuer);
}

const char *dev_issuer_url(const struct dev_issuer *issuer) {
    return issuer->url;
}
