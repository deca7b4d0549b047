/*
 * mint: keys and tokens for tests, good ones and such as no honest issuer would sign.
 *
 * Header and payload are bytes as the caller gives them; nothing is parsed, put in order or added.
 * Signatures are OpenSSL's, or libjwt's, never made with code under test. Whatever fails here ends
 * the running test.
 */
#ifndef TESTS_SUPPORT_MINT_H
#define TESTS_SUPPORT_MINT_H

#include <jansson.h>
#include <openssl/evp.h>

#include "common/span.h"

enum mint_key {
    MINT_RSA,
    MINT_RSA_OTHER,
    MINT_RSA_1024,
    MINT_RSA_4096,
    MINT_P256,
    MINT_P256_OTHER,
    MINT_P384,
    MINT_P521,
    MINT_P256K,
    MINT_ED25519,
    MINT_ED25519_OTHER,
    MINT_ED448,
    MINT_X25519,
    MINT_TLS_AUTHORITY, /* P-256; for certificates, so that no token is ever signed with them */
    MINT_TLS_SERVER,
    MINT_KEY_COUNT,
};

/*
 * The key pair of that name: made at its first use, then the same for all tests of this run of the
 * program. Owned by this room. Main thread of the test only.
 */
EVP_PKEY *mint_key(enum mint_key which);

/* A secret as a key for HS256 and its like; may be empty. The caller frees it (EVP_PKEY_free). */
EVP_PKEY *mint_secret(struct span secret);

/* The key as PEM (public: SubjectPublicKeyInfo; private: PKCS#8). The caller frees the text. */
char *mint_public_pem(EVP_PKEY *key);
char *mint_private_pem(EVP_PKEY *key);

/*
 * The public key as a JWK (RFC 7517) with kid and alg where they are not NULL. The caller owns it
 * and may add, change or spoil members.
 */
json_t *mint_jwk(EVP_PKEY *key, const char *kid, const char *alg);

/* The text of {"keys":[...]} of the count keys, dropping the caller's references to them. */
char *mint_jwks_of(json_t *const *keys, size_t count);
#define MINT_JWKS(...)                                                                             \
    mint_jwks_of((json_t *const[]){__VA_ARGS__},                                                   \
                 sizeof((json_t *const[]){__VA_ARGS__}) / sizeof(json_t *))

/* base64url without padding (RFC 4648 section 5). The caller frees the text. */
char *mint_base64url(struct span bytes);

/* "header.payload.signature" of those bytes, each encoded. The caller frees the text. */
char *mint_segments(struct span header, struct span payload, struct span signature);

/*
 * A signed token in compact form (RFC 7515 section 7.1) of these very bytes. alg says how to sign:
 * RS*, PS*, ES* (and ES256K), EdDSA, HS*, or none for an empty signature; it need not be what the
 * header claims. The caller frees the text.
 */
char *mint_jws(struct span header, struct span payload, const char *alg, EVP_PKEY *key);

/* The same of two texts. */
char *mint_token(const char *header, const char *claims, const char *alg, EVP_PKEY *key);

/*
 * Claims of a token that is good now: iss as given, aud "api", sub "alice", email
 * "alice@example.com", scope "openid profile email", iat now, exp in five minutes. changes (an
 * object as text, or NULL) replaces members, and removes those that are null there. The caller
 * frees the text.
 */
char *mint_claims(const char *issuer, const char *changes);

/* mint_token() of mint_claims() under a header of alg, kid (unless NULL) and typ "at+jwt". */
char *mint_good(const char *issuer, const char *alg, EVP_PKEY *key, const char *kid,
                const char *changes);

/* A token by libjwt, which knows RS*, ES* and HS*. kid may be NULL. The caller frees the text. */
char *mint_with_libjwt(const char *alg, EVP_PKEY *key, const char *kid, const char *claims);

#endif
