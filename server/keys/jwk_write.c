#include "server/keys/jwk_write.h"

#include <jwt.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/json.h"

#define BYTES_MAX 1024
#define GROUP_NAME_MAX 64

CLEANUP_DEFINE(BIO *, BIO_free_all)
CLEANUP_DEFINE(BIGNUM *, BN_free)
CLEANUP_DEFINE(jwt_t *, jwt_free)

/* --- thumbprint ---------------------------------------------------------------------------- */

/* A copy of those members alone. */
static json_t *pick(const json_t *jwk, const char *const *names, size_t count) {
    CLEANUP(json_decrefp) json_t *picked = json_object();
    for (size_t i = 0; i < count; i++) {
        json_t *member = json_object_get(jwk, names[i]);
        if (!json_is_string(member) || json_object_set(picked, names[i], member) < 0) return NULL;
    }
    return TAKE_PTR(picked);
}

static json_t *pick_required(const json_t *jwk) {
    static const char *const rsa[] = {"e", "kty", "n"};
    static const char *const ec[] = {"crv", "kty", "x", "y"};
    static const char *const okp[] = {"crv", "kty", "x"};
    struct span kty = json_span(json_object_get(jwk, "kty"));

    if (span_equal_text(kty, "RSA")) return pick(jwk, rsa, ARRAY_LEN(rsa));
    if (span_equal_text(kty, "EC")) return pick(jwk, ec, ARRAY_LEN(ec));
    if (span_equal_text(kty, "OKP")) return pick(jwk, okp, ARRAY_LEN(okp));
    return NULL;
}

bool jwk_thumbprint(const json_t *jwk, char ret[JWK_THUMBPRINT_LEN + 1]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    CLEANUP(json_decrefp) json_t *required = pick_required(jwk);
    char *text = required ? json_dumps(required, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    bool done = text && EVP_Digest(text, strlen(text), digest, &len, EVP_sha256(), NULL) == 1;
    free(text);
    if (done) base64url_encode(digest, len, ret);
    return done;
}

/* --- JWK ----------------------------------------------------------------------------------- */

static bool set_text(json_t *jwk, const char *name, const char *value) {
    return json_object_set_new(jwk, name, json_string(value)) == 0;
}

static bool set_bytes(json_t *jwk, const char *name, const unsigned char *bytes, size_t len) {
    char text[BYTES_MAX * 2];
    if (len > BYTES_MAX) return false;
    base64url_encode(bytes, len, text);
    return set_text(jwk, name, text);
}

/* A number of the key, width bytes wide; 0: as wide as it is. */
static bool set_number(json_t *jwk, const char *name, const EVP_PKEY *pkey, const char *param,
                       size_t width) {
    unsigned char bytes[BYTES_MAX];
    CLEANUP(BN_freep) BIGNUM *number = NULL;
    if (!EVP_PKEY_get_bn_param(pkey, param, &number)) return false;
    size_t len = width ? width : (size_t)BN_num_bytes(number);
    return len <= sizeof bytes && BN_bn2binpad(number, bytes, (int)len) >= 0 &&
           set_bytes(jwk, name, bytes, len);
}

static bool set_rsa(json_t *jwk, const EVP_PKEY *pkey) {
    return EVP_PKEY_is_a(pkey, "RSA") && set_text(jwk, "kty", "RSA") &&
           set_number(jwk, "n", pkey, OSSL_PKEY_PARAM_RSA_N, 0) &&
           set_number(jwk, "e", pkey, OSSL_PKEY_PARAM_RSA_E, 0);
}

/* The curve is asked for by name: others have coordinates as wide as those of P-256. */
static bool set_ec(json_t *jwk, const EVP_PKEY *pkey, const struct algorithm_info *info) {
    char group[GROUP_NAME_MAX];
    return EVP_PKEY_is_a(pkey, "EC") &&
           EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) == 1 &&
           strcmp(group, info->group) == 0 && set_text(jwk, "kty", "EC") &&
           set_text(jwk, "crv", info->curve) &&
           set_number(jwk, "x", pkey, OSSL_PKEY_PARAM_EC_PUB_X, info->coordinate) &&
           set_number(jwk, "y", pkey, OSSL_PKEY_PARAM_EC_PUB_Y, info->coordinate);
}

static bool set_okp(json_t *jwk, const EVP_PKEY *pkey, const struct algorithm_info *info) {
    unsigned char raw[BYTES_MAX];
    size_t len = sizeof raw;
    return EVP_PKEY_is_a(pkey, info->curve) && set_text(jwk, "kty", "OKP") &&
           set_text(jwk, "crv", info->curve) && EVP_PKEY_get_raw_public_key(pkey, raw, &len) == 1 &&
           set_bytes(jwk, "x", raw, len);
}

static bool set_public(json_t *jwk, const EVP_PKEY *pkey, const struct algorithm_info *info) {
    switch (info->key_type) {
    case KEY_RSA:
        return set_rsa(jwk, pkey);
    case KEY_EC:
        return set_ec(jwk, pkey, info);
    case KEY_OKP:
        return set_okp(jwk, pkey, info);
    }
    return false;
}

json_t *jwk_write(const EVP_PKEY *pkey, enum algorithm algorithm, const char *kid) {
    const struct algorithm_info *info = algorithm_info(algorithm);
    char thumbprint[JWK_THUMBPRINT_LEN + 1];

    CLEANUP(json_decrefp) json_t *jwk = json_object();
    bool done = set_public(jwk, pkey, info) && (kid || jwk_thumbprint(jwk, thumbprint)) &&
                set_text(jwk, "kid", kid ? kid : thumbprint) && set_text(jwk, "alg", info->name) &&
                set_text(jwk, "use", "sig");
    ERR_clear_error(); /* a later call would take what is left there for its own */
    return done ? TAKE_PTR(jwk) : NULL;
}

/* --- signing ------------------------------------------------------------------------------- */

char *jwk_private_pem(const EVP_PKEY *pkey) {
    char *bytes;
    CLEANUP(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || !PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL)) return NULL;
    long len = BIO_get_mem_data(bio, &bytes);
    return strndup(bytes, (size_t)len);
}

static char *sign(const struct algorithm_info *info, const char *pem, const char *kid,
                  const char *claims) {
    CLEANUP(jwt_freep) jwt_t *jwt = NULL;
    if (jwt_new(&jwt) != 0 ||
        jwt_set_alg(jwt, jwt_str_alg(info->name), (const unsigned char *)pem, (int)strlen(pem)) ||
        jwt_add_header(jwt, "kid", kid) != 0 || jwt_add_grants_json(jwt, claims) != 0)
        return NULL;
    return jwt_encode_str(jwt);
}

char *jwk_sign(enum algorithm algorithm, const char *pem, const char *kid, const char *claims) {
    if (strlen(claims) > JWK_CLAIMS_MAX) return NULL;
    char *token = sign(algorithm_info(algorithm), pem, kid, claims);
    ERR_clear_error();
    return token;
}
