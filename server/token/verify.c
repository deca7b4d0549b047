#include "server/token/verify.h"

#include <openssl/err.h>

#define COORDINATE_MAX 66
/* SEQUENCE of two INTEGERs of up to 67 bytes each, with their heads. */
#define DER_MAX (2 * (COORDINATE_MAX + 1 + 2) + 3)

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

bool verify_signature(struct verifier *verifier, const struct key *key, enum algorithm algorithm,
                      struct span signing_input, struct span signature) {
    const struct algorithm_info *info = algorithm_info(algorithm);
    unsigned char der[DER_MAX];

    if (!(key->algorithms & ALG_BIT(algorithm))) return false;
    size_t expected =
        info->signature_len ? info->signature_len : (size_t)EVP_PKEY_get_size(key->pkey);
    if (signature.len != expected) return false;
    if (info->key_type == KEY_EC) {
        size_t len = to_der((const unsigned char *)signature.ptr, info->coordinate, der);
        signature = (struct span){(char *)der, len};
    }
    bool valid = verifier_check(verifier, key, algorithm, signing_input, signature);
    /* A later call must not take this failure for its own (haproxy/haproxy#2643). */
    if (!valid) ERR_clear_error();
    return valid;
}
