#include "server/token/verify.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#define COORDINATE_MAX 66
/* SEQUENCE of two INTEGERs of up to 67 bytes each, with their heads. */
#define DER_MAX (2 * (COORDINATE_MAX + 1 + 2) + 3)

CLEANUP_DEFINE(EVP_MD_CTX *, EVP_MD_CTX_free)

/* One half of a raw ECDSA signature as a DER INTEGER; returns the bytes written. */
static size_t put_integer(const unsigned char *bytes, size_t len, unsigned char *out) {
    while (len > 1 && *bytes == 0) {
        bytes++;
        len--;
    }
    size_t pad = *bytes >= 0x80;
    out[0] = 0x02;
    out[1] = (unsigned char)(len + pad);
    out[2] = 0;
    memcpy(out + 2 + pad, bytes, len);
    return 2 + pad + len;
}

/*
 * r and s side by side, as JOSE has them (RFC 7518 section 3.4), into the DER that OpenSSL wants.
 * The buffer is sized for the largest curve and the caller has checked the length (HAProxy once
 * did not: a heap overflow). Ranges are OpenSSL's to check: it refuses 0 and n or more.
 */
static size_t to_der(const unsigned char *raw, size_t coordinate, unsigned char der[DER_MAX]) {
    unsigned char body[DER_MAX];
    size_t len = put_integer(raw, coordinate, body);
    len += put_integer(raw + coordinate, coordinate, body + len);

    size_t at = 0;
    der[at++] = 0x30;
    if (len >= 0x80) der[at++] = 0x81;
    der[at++] = (unsigned char)len;
    memcpy(der + at, body, len);
    return at + len;
}

static bool set_padding(EVP_PKEY_CTX *ctx, const struct algorithm_info *info) {
    if (info->key_type != KEY_RSA) return true;
    if (!info->pss) return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool verify(const struct key *key, const struct algorithm_info *info, struct span input,
                   const unsigned char *signature, size_t len) {
    EVP_PKEY_CTX *pkey_ctx; /* belongs to ctx */
    CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    return ctx &&
           EVP_DigestVerifyInit_ex(ctx, &pkey_ctx, info->digest, NULL, NULL, key->pkey, NULL) ==
               1 &&
           set_padding(pkey_ctx, info) &&
           EVP_DigestVerify(ctx, signature, len, (const unsigned char *)input.ptr, input.len) == 1;
}

bool verify_signature(const struct key *key, enum algorithm algorithm, struct span signing_input,
                      struct span signature) {
    const struct algorithm_info *info = algorithm_info(algorithm);
    const unsigned char *bytes = (const unsigned char *)signature.ptr;
    unsigned char der[DER_MAX];
    size_t len = signature.len;

    if (!(key->algorithms & ALG_BIT(algorithm))) return false;
    size_t expected =
        info->signature_len ? info->signature_len : (size_t)EVP_PKEY_get_size(key->pkey);
    if (len != expected) return false;
    if (info->key_type == KEY_EC) {
        len = to_der(bytes, info->coordinate, der);
        bytes = der;
    }
    bool valid = verify(key, info, signing_input, bytes, len);
    /* A later call must not take this failure for its own (haproxy/haproxy#2643). */
    if (!valid) ERR_clear_error();
    return valid;
}
