/*
 * mint: many signed tokens, fast, for a benchmark.
 *
 * usage: mint KEY.pem RS256|ES256 COUNT HEADER CLAIMS > tokens
 *
 * One token a line. HEADER and CLAIMS are JSON as given; each "########" in CLAIMS becomes the
 * number of the token in eight digits, so that all lines have the same length. Every core signs.
 */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base64url.h"

#define MARK "########"
#define TOKEN_MAX 8192
#define THREADS_MAX 64
/* r and s of P-256, and the modulus of an RSA key of 4096 bits. */
#define COORDINATE_LEN 32
#define SIGNATURE_MAX 512

struct recipe {
    EVP_PKEY *key;
    bool elliptic;
    const char *header;
    const char *claims;
};

/* What one thread signs: the tokens from first on. */
struct share {
    const struct recipe *recipe;
    unsigned long first, count;
    char *tokens;
    size_t len;
    pthread_t thread;
};

static void fail(const char *what) {
    fprintf(stderr, "mint: %s\n", what);
    exit(1);
}

/* Append the base64url of the bytes. Returns the end. */
static char *put_base64url(char *out, const void *bytes, size_t len) {
    base64url_encode(bytes, len, out);
    return out + base64url_encoded_len(len);
}

static char *put_claims(char *out, const char *template, unsigned long number) {
    char claims[TOKEN_MAX / 2], digits[32];
    size_t len = strlen(template);
    if (len >= sizeof claims) fail("these claims are too long");
    memcpy(claims, template, len + 1);
    snprintf(digits, sizeof digits, "%08lu", number);
    for (char *mark = claims; (mark = strstr(mark, MARK));) memcpy(mark, digits, strlen(MARK));
    return put_base64url(out, claims, len);
}

/* OpenSSL signs in DER; a JWS has r and s as they are, one behind the other (RFC 7518, 3.4). */
static size_t r_and_s(const unsigned char *der, size_t len, unsigned char *out) {
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    if (!pair || BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, COORDINATE_LEN) < 0 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + COORDINATE_LEN, COORDINATE_LEN) < 0)
        fail("not a signature of P-256");
    ECDSA_SIG_free(pair);
    return 2 * (size_t)COORDINATE_LEN;
}

static size_t sign(const struct recipe *recipe, EVP_MD_CTX *context, const char *text, size_t len,
                   unsigned char *out) {
    unsigned char signature[SIGNATURE_MAX];
    size_t signature_len = sizeof signature;
    if (EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, recipe->key) != 1 ||
        EVP_DigestSign(context, signature, &signature_len, (const void *)text, len) != 1)
        fail("cannot sign with this key");
    if (recipe->elliptic) return r_and_s(signature, signature_len, out);
    memcpy(out, signature, signature_len);
    return signature_len;
}

static char *put_token(char *out, const struct recipe *recipe, EVP_MD_CTX *context,
                       unsigned long number) {
    unsigned char signature[SIGNATURE_MAX];
    char *start = out;
    out = put_base64url(out, recipe->header, strlen(recipe->header));
    *out++ = '.';
    out = put_claims(out, recipe->claims, number);
    size_t len = sign(recipe, context, start, (size_t)(out - start), signature);
    *out++ = '.';
    out = put_base64url(out, signature, len);
    *out++ = '\n';
    return out;
}

static void *mint_share(void *argument) {
    struct share *share = argument;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    char token[TOKEN_MAX];
    if (!context) fail("out of memory");
    for (unsigned long i = 0; i < share->count; i++) {
        char *end = put_token(token, share->recipe, context, share->first + i);
        size_t len = (size_t)(end - token);
        if (!share->tokens) share->tokens = malloc(len * share->count);
        if (!share->tokens) fail("out of memory");
        memcpy(share->tokens + share->len, token, len);
        share->len += len;
        EVP_MD_CTX_reset(context);
    }
    EVP_MD_CTX_free(context);
    return NULL;
}

static EVP_PKEY *read_key(const char *path) {
    FILE *file = fopen(path, "re");
    EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
    if (!key) fail("cannot read the key");
    fclose(file);
    return key;
}

static void mint(const struct recipe *recipe, unsigned long count) {
    struct share shares[THREADS_MAX] = {0};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned long threads = cores < 1             ? 1
                            : cores > THREADS_MAX ? THREADS_MAX
                                                  : (unsigned long)cores;
    if (threads > count) threads = count;
    for (unsigned long i = 0; i < threads; i++) {
        unsigned long first = count * i / threads;
        shares[i] = (struct share){
            .recipe = recipe, .first = first, .count = count * (i + 1) / threads - first};
        if (pthread_create(&shares[i].thread, NULL, mint_share, &shares[i])) fail("no thread");
    }
    for (unsigned long i = 0; i < threads; i++) {
        pthread_join(shares[i].thread, NULL);
        if (fwrite(shares[i].tokens, 1, shares[i].len, stdout) != shares[i].len)
            fail("cannot write");
        free(shares[i].tokens);
    }
    if (fflush(stdout)) fail("cannot write");
}

int main(int argc, char **argv) {
    if (argc != 6) fail("usage: mint KEY.pem RS256|ES256 COUNT HEADER CLAIMS > tokens");
    struct recipe recipe = {.key = read_key(argv[1]),
                            .elliptic = strcmp(argv[2], "ES256") == 0,
                            .header = argv[4],
                            .claims = argv[5]};
    unsigned long count = strtoul(argv[3], NULL, 10);
    if (!recipe.elliptic && strcmp(argv[2], "RS256") != 0) fail("RS256 and ES256 are known");
    if (EVP_PKEY_is_a(recipe.key, "EC") != recipe.elliptic)
        fail("the key is for another algorithm");
    if (strlen(recipe.header) > TOKEN_MAX / 8) fail("this header is too long");
    if (count < 1 || count > 99999999) fail("from one token to 99999999");
    mint(&recipe, count);
    EVP_PKEY_free(recipe.key);
    return 0;
}
