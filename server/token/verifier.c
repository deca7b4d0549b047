#include "server/token/verifier.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>

/* A key may be in any place of its row; two keys in one row do not push each other out. */
#define ROWS 16
#define PLACES 4

CLEANUP_DEFINE(EVP_MD_CTX *, EVP_MD_CTX_free)

/* A key ready for one algorithm. */
struct prepared {
    EVP_PKEY *pkey; /* a reference: its address is no other key's as long as it is here */
    enum algorithm algorithm;
    EVP_PKEY_CTX *ctx; /* NULL: nothing is here */
};

struct hasher {
    EVP_MD *digest;
    EVP_MD_CTX *ctx;
};

struct verifier {
    struct prepared rows[ROWS][PLACES];
    unsigned char next[ROWS]; /* the place in the row that is to be used again */
    struct hasher hashers[ALG_COUNT];
};

/* --- contexts ------------------------------------------------------------------------------ */

static bool set_padding(EVP_PKEY_CTX *ctx, const struct algorithm_info *info) {
    if (info->key_type != KEY_RSA) return true;
    if (!info->pss) return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static void discard(struct prepared *prepared) {
    EVP_PKEY_CTX_free(prepared->ctx);
    EVP_PKEY_free(prepared->pkey);
    *prepared = (struct prepared){0};
}

static bool prepare(struct prepared *ret, const struct key *key, enum algorithm algorithm,
                    const EVP_MD *digest) {
    struct prepared made = {.algorithm = algorithm};

    if (EVP_PKEY_up_ref(key->pkey) != 1) return false;
    made.pkey = key->pkey;
    made.ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    bool good = made.ctx && EVP_PKEY_verify_init(made.ctx) == 1 &&
                set_padding(made.ctx, algorithm_info(algorithm)) &&
                EVP_PKEY_CTX_set_signature_md(made.ctx, digest) == 1;
    if (good)
        *ret = made;
    else
        discard(&made);
    return good;
}

static void hasher_done(struct hasher *hasher) {
    EVP_MD_CTX_free(hasher->ctx);
    EVP_MD_free(hasher->digest);
    *hasher = (struct hasher){0};
}

static bool hasher_open(struct hasher *hasher, enum algorithm algorithm) {
    if (hasher->ctx) return true;
    hasher->digest = EVP_MD_fetch(NULL, algorithm_info(algorithm)->digest, NULL);
    hasher->ctx = hasher->digest ? EVP_MD_CTX_new() : NULL;
    if (!hasher->ctx) hasher_done(hasher);
    return hasher->ctx;
}

/* --- checking ------------------------------------------------------------------------------ */

static bool check(struct hasher *hasher, const struct prepared *prepared, struct span input,
                  struct span signature) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len;

    return EVP_DigestInit_ex2(hasher->ctx, hasher->digest, NULL) == 1 &&
           EVP_DigestUpdate(hasher->ctx, input.ptr, input.len) == 1 &&
           EVP_DigestFinal_ex(hasher->ctx, hash, &len) == 1 &&
           EVP_PKEY_verify(prepared->ctx, (const unsigned char *)signature.ptr, signature.len, hash,
                           len) == 1;
}

/* An algorithm that hashes the input itself (RFC 8032) has no context to be used again. */
static bool check_whole(const struct key *key, struct span input, struct span signature) {
    CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    return ctx && EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, key->pkey, NULL) == 1 &&
           EVP_DigestVerify(ctx, (const unsigned char *)signature.ptr, signature.len,
                            (const unsigned char *)input.ptr, input.len) == 1;
}

static bool check_once(const struct key *key, enum algorithm algorithm, struct span input,
                       struct span signature) {
    struct hasher hasher = {0};
    struct prepared prepared = {0};

    bool valid = hasher_open(&hasher, algorithm) &&
                 prepare(&prepared, key, algorithm, hasher.digest) &&
                 check(&hasher, &prepared, input, signature);
    discard(&prepared);
    hasher_done(&hasher);
    return valid;
}

/* --- what is kept -------------------------------------------------------------------------- */

static unsigned row_of(const EVP_PKEY *pkey) {
    return (unsigned)(((uint64_t)(uintptr_t)pkey * 0x9e3779b97f4a7c15) >> 60) % ROWS;
}

static struct prepared *find(struct verifier *verifier, const struct key *key,
                             enum algorithm algorithm) {
    struct prepared *row = verifier->rows[row_of(key->pkey)];
    for (size_t i = 0; i < PLACES; i++)
        if (row[i].pkey == key->pkey && row[i].algorithm == algorithm) return &row[i];
    return NULL;
}

static struct prepared *add(struct verifier *verifier, const struct key *key,
                            enum algorithm algorithm, const EVP_MD *digest) {
    unsigned row = row_of(key->pkey);
    struct prepared made;

    if (!prepare(&made, key, algorithm, digest)) return NULL;
    struct prepared *place = &verifier->rows[row][verifier->next[row]++ % PLACES];
    discard(place);
    *place = made;
    return place;
}

bool verifier_check(struct verifier *verifier, const struct key *key, enum algorithm algorithm,
                    struct span input, struct span signature) {
    if (!algorithm_info(algorithm)->digest) return check_whole(key, input, signature);
    if (!verifier) return check_once(key, algorithm, input, signature);
    struct hasher *hasher = &verifier->hashers[algorithm];
    if (!hasher_open(hasher, algorithm)) return false;
    struct prepared *prepared = find(verifier, key, algorithm);
    if (!prepared) prepared = add(verifier, key, algorithm, hasher->digest);
    return prepared && check(hasher, prepared, input, signature);
}

struct verifier *verifier_new(void) {
    return calloc(1, sizeof(struct verifier));
}

void verifier_free(struct verifier *verifier) {
    if (!verifier) return;
    for (size_t row = 0; row < ROWS; row++)
        for (size_t i = 0; i < PLACES; i++) discard(&verifier->rows[row][i]);
    for (size_t i = 0; i < ALG_COUNT; i++) hasher_done(&verifier->hashers[i]);
    free(verifier);
}
