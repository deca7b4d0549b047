#include "server/dev/mint.h"

#include <jwt.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/buf.h"

#define TOKEN_MAX (64 * 1024)
#define BYTES_MAX 1024

struct mint_key {
    enum algorithm algorithm;
    EVP_PKEY *pkey;
    char *pem; /* for libjwt, which wants it so */
    size_t pem_len;
};

CLEANUP_DEFINE(struct mint_key *, mint_key_free)
CLEANUP_DEFINE(BIO *, BIO_free_all)
CLEANUP_DEFINE(BIGNUM *, BN_free)
CLEANUP_DEFINE(EVP_MD_CTX *, EVP_MD_CTX_free)

static EVP_PKEY *generate(enum algorithm algorithm) {
    const struct algorithm_info *info = algorithm_info(algorithm);
    if (info->key_type == KEY_RSA) return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    if (info->key_type == KEY_EC) return EVP_PKEY_Q_keygen(NULL, NULL, "EC", info->group);
    return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static bool write_pem(struct mint_key *key) {
    char *bytes;
    CLEANUP(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || !PEM_write_bio_PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL)) return false;
    key->pem_len = (size_t)BIO_get_mem_data(bio, &bytes);
    key->pem = strndup(bytes, key->pem_len);
    return key->pem != NULL;
}

struct mint_key *mint_key_new(enum algorithm algorithm) {
    CLEANUP(mint_key_freep) struct mint_key *key = calloc(1, sizeof *key);
    if (!key) return NULL;
    key->algorithm = algorithm;
    key->pkey = generate(algorithm);
    if (!key->pkey || !write_pem(key)) return NULL;
    return TAKE_PTR(key);
}

void mint_key_free(struct mint_key *key) {
    if (!key) return;
    EVP_PKEY_free(key->pkey);
    free(key->pem);
    free(key);
}

/* --- JWK ----------------------------------------------------------------------------------- */

static bool set_bytes(json_t *jwk, const char *name, const unsigned char *bytes, size_t len) {
    char text[BYTES_MAX * 2];
    if (len > BYTES_MAX) return false;
    base64url_encode(bytes, len, text);
    return json_object_set_new(jwk, name, json_string(text)) == 0;
}

/* A number of the key, width bytes wide; 0: as wide as it is. */
static bool set_number(json_t *jwk, const char *name, const EVP_PKEY *pkey, const char *param,
                       size_t width) {
    unsigned char bytes[BYTES_MAX];
    BIGNUM *number = NULL;
    if (!EVP_PKEY_get_bn_param(pkey, param, &number)) return false;
    size_t len = width ? width : (size_t)BN_num_bytes(number);
    bool done = len <= sizeof bytes && BN_bn2binpad(number, bytes, (int)len) >= 0 &&
                set_bytes(jwk, name, bytes, len);
    BN_free(number);
    return done;
}

static bool set_public(json_t *jwk, const struct mint_key *key) {
    const struct algorithm_info *info = algorithm_info(key->algorithm);
    unsigned char raw[BYTES_MAX];
    size_t len = sizeof raw;

    switch (info->key_type) {
    case KEY_RSA:
        return set_number(jwk, "n", key->pkey, OSSL_PKEY_PARAM_RSA_N, 0) &&
               set_number(jwk, "e", key->pkey, OSSL_PKEY_PARAM_RSA_E, 0);
    case KEY_EC:
        return set_number(jwk, "x", key->pkey, OSSL_PKEY_PARAM_EC_PUB_X, info->coordinate) &&
               set_number(jwk, "y", key->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, info->coordinate);
    case KEY_OKP:
        return EVP_PKEY_get_raw_public_key(key->pkey, raw, &len) == 1 &&
               set_bytes(jwk, "x", raw, len);
    }
    return false;
}

json_t *mint_key_jwk(const struct mint_key *key) {
    static const char *const types[] = {[KEY_RSA] = "RSA", [KEY_EC] = "EC", [KEY_OKP] = "OKP"};
    const struct algorithm_info *info = algorithm_info(key->algorithm);

    CLEANUP(json_decrefp)
    json_t *jwk = json_pack("{s:s, s:s, s:s, s:s}", "kty", types[info->key_type], "kid", info->name,
                            "alg", info->name, "use", "sig");
    if (!jwk || !set_public(jwk, key)) return NULL;
    if (info->curve && json_object_set_new(jwk, "crv", json_string(info->curve)) < 0) return NULL;
    return TAKE_PTR(jwk);
}

/* --- tokens -------------------------------------------------------------------------------- */

static char *mint_by_libjwt(const struct mint_key *key, const char *claims) {
    const char *name = algorithm_info(key->algorithm)->name;
    char *token = NULL;
    jwt_t *jwt;

    if (jwt_new(&jwt) != 0) return NULL;
    if (jwt_set_alg(jwt, jwt_str_alg(name), (const unsigned char *)key->pem, (int)key->pem_len) ==
            0 &&
        jwt_add_header(jwt, "kid", name) == 0 && jwt_add_header(jwt, "typ", "at+jwt") == 0 &&
        jwt_add_grants_json(jwt, claims) == 0) {
        char *encoded = jwt_encode_str(jwt);
        if (encoded) token = strdup(encoded);
        free(encoded);
    }
    jwt_free(jwt);
    return token;
}

static void add_segment(struct buf *out, const void *bytes, size_t len) {
    char *text = malloc(base64url_encoded_len(len) + 1);
    if (text) base64url_encode(bytes, len, text);
    if (text)
        buf_add_text(out, text);
    else
        out->failed = true;
    free(text);
}

static char *mint_eddsa(const struct mint_key *key, const char *claims) {
    static const char header[] = "{\"typ\":\"at+jwt\",\"alg\":\"EdDSA\",\"kid\":\"EdDSA\"}";
    struct buf token = buf_make(TOKEN_MAX);
    unsigned char signature[64];
    size_t len = sizeof signature;

    CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    add_segment(&token, header, sizeof header - 1);
    buf_add_char(&token, '.');
    add_segment(&token, claims, strlen(claims));
    if (!ctx || !buf_ok(&token) ||
        EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key->pkey, NULL) != 1 ||
        EVP_DigestSign(ctx, signature, &len, (const unsigned char *)token.data, token.len) != 1) {
        buf_done(&token);
        return NULL;
    }
    buf_add_char(&token, '.');
    add_segment(&token, signature, len);
    if (buf_ok(&token)) return token.data;
    buf_done(&token);
    return NULL;
}

char *mint_token(const struct mint_key *key, const json_t *claims) {
    char *text = json_dumps(claims, JSON_COMPACT);
    if (!text) return NULL;
    char *token = key->algorithm == ALG_EDDSA ? mint_eddsa(key, text) : mint_by_libjwt(key, text);
    free(text);
    return token;
}
