#include "server/token/verify.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "tests/unit/server/token/judge.h"

#define S(text) SPAN_LITERAL(text)
#define INPUT S("signed bytes")

static struct key key_of(enum mint_key which, const char *alg) {
    struct key key;
    struct err_text why;
    json_t *jwk = mint_jwk(mint_key(which), NULL, alg);
    ck_assert_msg(jwk_parse(jwk, &key, &why) == 0, "%s", why.text);
    json_decref(jwk);
    return key;
}

/* What mint_jws() put behind the last dot, decoded; input is what stands before it. */
struct signed_bytes {
    char *token;
    struct span input;
    unsigned char signature[1024];
    size_t len;
};

static void sign(struct signed_bytes *out, const char *alg, enum mint_key which) {
    out->token = mint_jws(S("{}"), INPUT, alg, mint_key(which));
    char *dot = strrchr(out->token, '.');
    out->input = (struct span){out->token, (size_t)(dot - out->token)};
    char *padded = scratch_text("%s%s", dot + 1, "===" + (strlen(dot + 1) + 3) % 4);
    for (char *c = padded; *c; c++) *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    int len = EVP_DecodeBlock(out->signature, (unsigned char *)padded, (int)strlen(padded));
    ck_assert_int_gt(len, 0);
    out->len = (size_t)len - (strlen(padded) - strcspn(padded, "="));
    free(padded);
}

/* One for all tests of a process: the keys of earlier tests are in it. */
static struct verifier *kept;

static bool verifies(const struct key *key, enum algorithm algorithm, struct span input,
                     const unsigned char *signature, size_t len) {
    /* Memory of exactly its size, so that the sanitizer sees a byte too many. */
    char *exact = malloc(len ? len : 1);
    memcpy(exact, signature, len);
    bool valid = verify_signature(NULL, key, algorithm, input, (struct span){exact, len});
    ck_assert_uint_eq(ERR_peek_error(), 0);
    /* What was prepared for a key says the same, whatever was asked of it before. */
    if (!kept) kept = verifier_new();
    ck_assert(verify_signature(kept, key, algorithm, input, (struct span){exact, len}) == valid);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    free(exact);
    return valid;
}

static const struct {
    const char *name;
    enum algorithm algorithm;
    enum mint_key key, other;
} algorithms[] = {
    {"RS256", ALG_RS256, MINT_RSA, MINT_RSA_OTHER},
    {"RS384", ALG_RS384, MINT_RSA, MINT_RSA_OTHER},
    {"RS512", ALG_RS512, MINT_RSA, MINT_RSA_OTHER},
    {"PS256", ALG_PS256, MINT_RSA, MINT_RSA_OTHER},
    {"PS384", ALG_PS384, MINT_RSA, MINT_RSA_OTHER},
    {"PS512", ALG_PS512, MINT_RSA, MINT_RSA_OTHER},
    {"ES256", ALG_ES256, MINT_P256, MINT_P256_OTHER},
    {"ES384", ALG_ES384, MINT_P384, MINT_P384},
    {"ES512", ALG_ES512, MINT_P521, MINT_P521},
    {"EdDSA", ALG_EDDSA, MINT_ED25519, MINT_ED25519_OTHER},
};

TEST(c2_a_signature_that_was_touched_is_refused) {
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
        enum algorithm alg = algorithms[i].algorithm;
        struct key key = key_of(algorithms[i].key, NULL);
        struct signed_bytes s;
        sign(&s, algorithms[i].name, algorithms[i].key);
        ck_assert_msg(verifies(&key, alg, s.input, s.signature, s.len), "%s", algorithms[i].name);

        for (size_t bit = 0; bit<s.len * 8; bit += s.len> 128 ? 37 : 1) {
            s.signature[bit / 8] ^= (unsigned char)(1 << bit % 8);
            ck_assert_msg(!verifies(&key, alg, s.input, s.signature, s.len), "%s: bit %zu",
                          algorithms[i].name, bit);
            s.signature[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
        for (size_t len = 0; len < s.len; len++)
            ck_assert_msg(!verifies(&key, alg, s.input, s.signature, len), "%s: %zu bytes",
                          algorithms[i].name, len);
        ck_assert(!verifies(&key, alg, span_until(s.input, s.input.len - 1), s.signature, s.len));
        ck_assert(!verifies(&key, alg, S(""), s.signature, s.len));
        memset(s.signature, 0, sizeof s.signature);
        ck_assert(!verifies(&key, alg, s.input, s.signature, s.len));
        memset(s.signature, 0xff, sizeof s.signature);
        ck_assert(!verifies(&key, alg, s.input, s.signature, s.len));
        free(s.token);
        key_done(&key);
    }
}

TEST(c2_a_signature_by_another_key_is_refused) {
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
        if (algorithms[i].other == algorithms[i].key) continue;
        struct key key = key_of(algorithms[i].key, NULL), other = key_of(algorithms[i].other, NULL);
        struct signed_bytes s;
        sign(&s, algorithms[i].name, algorithms[i].other);
        ck_assert(verifies(&other, algorithms[i].algorithm, s.input, s.signature, s.len));
        ck_assert(!verifies(&key, algorithms[i].algorithm, s.input, s.signature, s.len));
        free(s.token);
        key_done(&key);
        key_done(&other);
    }
}

/* The same seen from outside: a good token with one part of another one. */
TEST(c2_parts_of_two_good_tokens_make_no_third) {
    struct judge judge;
    judge_open_usual(&judge);
    char *a = judge_mint(NULL, NULL), *b = judge_mint("sub", "\"mallory\"");
    struct span parts[2][3];
    for (size_t i = 0; i < 2; i++) {
        struct span rest = span_of(i ? b : a);
        for (size_t j = 0; j < 3; j++) ck_assert(span_next(&rest, '.', &parts[i][j]));
    }
    for (unsigned mix = 0; mix < 8; mix++) {
        struct span p[3];
        for (size_t j = 0; j < 3; j++) p[j] = parts[mix >> j & 1][j];
        char *token =
            scratch_text("%.*s.%.*s.%.*s", SPAN_PRINTF(p[0]), SPAN_PRINTF(p[1]), SPAN_PRINTF(p[2]));
        bool whole = (mix >> 1 & 1) == (mix >> 2 & 1); /* the headers are the same */
        struct verdict verdict = judge_expect(&judge, "mixed", token, whole ? 200 : 401,
                                              whole ? "" : "signature_invalid");
        ck_assert_str_eq(verdict.text, whole ? "" : "the signature of the token is not valid");
    }
    free(a);
    free(b);
    judge_done(&judge);
}

/* --- ECDSA ----------------------------------------------------------------------------------- */

/* r and s side by side, each of width bytes. */
static void put_pair(unsigned char *out, size_t width, const BIGNUM *r, const BIGNUM *s) {
    ck_assert_int_eq(BN_bn2binpad(r, out, (int)width), (int)width);
    ck_assert_int_eq(BN_bn2binpad(s, out + width, (int)width), (int)width);
}

static const struct {
    enum algorithm algorithm;
    const char *name;
    enum mint_key key;
    size_t width;
} curves[] = {{ALG_ES256, "ES256", MINT_P256, 32},
              {ALG_ES384, "ES384", MINT_P384, 48},
              {ALG_ES512, "ES512", MINT_P521, 66}};

TEST(c3_r_and_s_out_of_range_are_refused) {
    for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
        struct key key = key_of(curves[i].key, NULL);
        struct signed_bytes s;
        unsigned char raw[132];
        size_t width = curves[i].width;
        BIGNUM *n = NULL, *zero = BN_new(), *one = BN_new(), *more = BN_new();
        ck_assert_int_eq(EVP_PKEY_get_bn_param(key.pkey, OSSL_PKEY_PARAM_EC_ORDER, &n), 1);
        BN_one(one);
        BN_add(more, n, one);
        sign(&s, curves[i].name, curves[i].key);
        BIGNUM *r = BN_bin2bn(s.signature, (int)width, NULL);
        BIGNUM *t = BN_bin2bn(s.signature + width, (int)width, NULL);
        const BIGNUM *const pairs[][2] = {{zero, zero}, {n, n},    {zero, one}, {one, zero},
                                          {one, one},   {n, one},  {one, n},    {more, more},
                                          {r, zero},    {zero, t}, {r, n},      {n, t},
                                          {more, t},    {r, more}, {t, r}};
        put_pair(raw, width, r, t);
        ck_assert(verifies(&key, curves[i].algorithm, s.input, raw, 2 * width));
        for (size_t p = 0; p < ARRAY_LEN(pairs); p++) {
            put_pair(raw, width, pairs[p][0], pairs[p][1]);
            ck_assert_msg(!verifies(&key, curves[i].algorithm, s.input, raw, 2 * width),
                          "%s: pair %zu", curves[i].name, p);
        }
        BN_free(n);
        BN_free(zero);
        BN_free(one);
        BN_free(more);
        BN_free(r);
        BN_free(t);
        free(s.token);
        key_done(&key);
    }
}

TEST(c3_der_and_other_lengths_are_refused) {
    for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
        struct key key = key_of(curves[i].key, NULL);
        struct signed_bytes s;
        size_t width = curves[i].width;
        sign(&s, curves[i].name, curves[i].key);
        ck_assert_uint_eq(s.len, 2 * width);

        ECDSA_SIG *pair = ECDSA_SIG_new();
        ECDSA_SIG_set0(pair, BN_bin2bn(s.signature, (int)width, NULL),
                       BN_bin2bn(s.signature + width, (int)width, NULL));
        unsigned char *der = NULL;
        int der_len = i2d_ECDSA_SIG(pair, &der);
        ck_assert_int_gt(der_len, 0);
        ck_assert(!verifies(&key, curves[i].algorithm, s.input, der, (size_t)der_len));
        OPENSSL_free(der);
        ECDSA_SIG_free(pair);

        static const size_t lengths[] = {0,   1,   31,  32,  63,  64,   65,   95,   96,    97,
                                         131, 132, 133, 141, 142, 1023, 1024, 4096, 16384, 65536};
        unsigned char *long_one = calloc(1, 65536);
        memcpy(long_one, s.signature, s.len);
        for (size_t l = 0; l < ARRAY_LEN(lengths); l++)
            ck_assert_msg(verifies(&key, curves[i].algorithm, s.input, long_one, lengths[l]) ==
                              (lengths[l] == s.len),
                          "%s: %zu bytes", curves[i].name, lengths[l]);
        free(long_one);
        free(s.token);
        key_done(&key);
    }
}

TEST(c3_a_signature_of_16_kib_is_refused_for_every_algorithm) {
    struct judge judge;
    char *bytes = calloc(1, 16384);
    memset(bytes, 0xa5, 16384);
    judge_open(&judge, "",
               MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "RS256", NULL),
                         mint_jwk(mint_key(MINT_P256), "ES256", NULL),
                         mint_jwk(mint_key(MINT_P384), "ES384", NULL),
                         mint_jwk(mint_key(MINT_P521), "ES512", NULL),
                         mint_jwk(mint_key(MINT_ED25519), "EdDSA", NULL)));
    judge.token_max = 1048576;
    for (size_t i = 0; i < judge.ring->entries[0].keys->count; i++) {
        const char *alg = judge.ring->entries[0].keys->keys[i].kid;
        char *header = judge_header_text(alg, alg, "");
        char *claims = judge_claims(NULL, NULL);
        judge_expect(&judge, alg,
                     mint_segments(span_of(header), span_of(claims), (struct span){bytes, 16384}),
                     401, "signature_invalid");
        free(claims);
        free(header);
    }
    free(bytes);
    judge_done(&judge);
}

/* --- keys and algorithms --------------------------------------------------------------------- */

TEST(a_key_verifies_only_the_algorithms_it_is_bound_to) {
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
        struct key free_key = key_of(algorithms[i].key, NULL);
        struct key bound = key_of(algorithms[i].key, algorithms[i].name);
        ck_assert_uint_eq(bound.algorithms, ALG_BIT(algorithms[i].algorithm));
        for (size_t j = 0; j < ARRAY_LEN(algorithms); j++) {
            if (algorithms[j].key != algorithms[i].key) {
                ck_assert(!(free_key.algorithms & ALG_BIT(algorithms[j].algorithm)));
                continue;
            }
            struct signed_bytes s;
            sign(&s, algorithms[j].name, algorithms[j].key);
            ck_assert(verifies(&free_key, algorithms[j].algorithm, s.input, s.signature, s.len));
            ck_assert(verifies(&bound, algorithms[j].algorithm, s.input, s.signature, s.len) ==
                      (i == j));
            /* And none under the name of another. */
            if (i != j)
                ck_assert(
                    !verifies(&free_key, algorithms[i].algorithm, s.input, s.signature, s.len));
            free(s.token);
        }
        key_done(&bound);
        key_done(&free_key);
    }
}

/* PSS with another salt length than the digest's (RFC 7518 section 3.5). */
TEST(pss_with_another_salt_is_refused) {
    static const int salts[] = {0, 20, 31, 32, 33, 48, 64, RSA_PSS_SALTLEN_MAX};
    struct key key = key_of(MINT_RSA, NULL);
    for (size_t i = 0; i < ARRAY_LEN(salts); i++) {
        unsigned char signature[256];
        size_t len = sizeof signature;
        EVP_PKEY_CTX *options;
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        ck_assert_int_eq(EVP_DigestSignInit_ex(context, &options, "SHA256", NULL, NULL,
                                               mint_key(MINT_RSA), NULL),
                         1);
        EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(options, salts[i]);
        ck_assert_int_eq(
            EVP_DigestSign(context, signature, &len, (const unsigned char *)INPUT.ptr, INPUT.len),
            1);
        EVP_MD_CTX_free(context);
        ck_assert_msg(verifies(&key, ALG_PS256, INPUT, signature, len) == (salts[i] == 32),
                      "salt %d", salts[i]);
        ck_assert(!verifies(&key, ALG_RS256, INPUT, signature, len));
    }
    key_done(&key);
}
