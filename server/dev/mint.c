#include "server/dev/mint.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/buf.h"
#include "server/keys/jwk_write.h"

#define TOKEN_MAX (64 * 1024)

struct mint_key {
    enum algorithm algorithm;
    EVP_PKEY *pkey;
    char *pem; /* for libjwt, which wants it so */
};

CLEANUP_DEFINE(struct mint_key *, mint_key_free)
CLEANUP_DEFINE(EVP_MD_CTX *, EVP_MD_CTX_free)

static EVP_PKEY *generate(enum algorithm algorithm) {
    const struct algorithm_info *info = algorithm_info(algorithm);
    if (info->key_type == KEY_RSA) return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    if (info->key_type == KEY_EC) return EVP_PKEY_Q_keygen(NULL, NULL, "EC", info->group);
    return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

struct mint_key *mint_key_new(enum algorithm algorithm) {
    CLEANUP(mint_key_freep) struct mint_key *key = calloc(1, sizeof *key);
    if (!key) return NULL;
    key->algorithm = algorithm;
    key->pkey = generate(algorithm);
    if (key->pkey) key->pem = jwk_private_pem(key->pkey);
    return key->pem ? TAKE_PTR(key) : NULL;
}

void mint_key_free(struct mint_key *key) {
    if (!key) return;
    EVP_PKEY_free(key->pkey);
    free(key->pem);
    free(key);
}

json_t *mint_key_jwk(const struct mint_key *key) {
    return jwk_write(key->pkey, key->algorithm, algorithm_info(key->algorithm)->name);
}

/* --- tokens -------------------------------------------------------------------------------- */

static char *mint_by_libjwt(const struct mint_key *key, const char *claims) {
    const char *name = algorithm_info(key->algorithm)->name;
    return jwk_sign(key->algorithm, key->pem, name, claims);
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
