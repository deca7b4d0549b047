#include "tests/support/mint.h"

#include <check.h>
#include <jwt.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/support/scratch.h"

/* --- keys ------------------------------------------------------------------------------------ */

static const struct {
    const char *type;
    const char *group; /* EC only */
    unsigned bits;     /* RSA only */
} kinds[MINT_KEY_COUNT] = {
    [MINT_RSA] = {"RSA", NULL, 2048},
    [MINT_RSA_OTHER] = {"RSA", NULL, 2048},
    [MINT_RSA_1024] = {"RSA", NULL, 1024},
    [MINT_RSA_4096] = {"RSA", NULL, 4096},
    [MINT_P256] = {"EC", "P-256", 0},
    [MINT_P256_OTHER] = {"EC", "P-256", 0},
    [MINT_P384] = {"EC", "P-384", 0},
    [MINT_P521] = {"EC", "P-521", 0},
    [MINT_P256K] = {"EC", "secp256k1", 0},
    [MINT_ED25519] = {"ED25519", NULL, 0},
    [MINT_ED25519_OTHER] = {"ED25519", NULL, 0},
    [MINT_ED448] = {"ED448", NULL, 0},
    [MINT_X25519] = {"X25519", NULL, 0},
    [MINT_TLS_AUTHORITY] = {"EC", "P-256", 0},
    [MINT_TLS_SERVER] = {"EC", "P-256", 0},
};

static EVP_PKEY *keys[MINT_KEY_COUNT];

static EVP_PKEY *generate(enum mint_key which) {
    EVP_PKEY *key = NULL;
    if (kinds[which].bits > 0)
        key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)kinds[which].bits);
    else if (kinds[which].group)
        key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", kinds[which].group);
    else
        key = EVP_PKEY_Q_keygen(NULL, NULL, kinds[which].type);
    ck_assert_msg(key != NULL, "OpenSSL made no %s key", kinds[which].type);
    return key;
}

/*
 * An RSA key takes a noticeable fraction of a second, and every test is a process of its own: the
 * first one leaves the key in the scratch folder for the others.
 */
EVP_PKEY *mint_key(enum mint_key which) {
    if (keys[which]) return keys[which];
    char *name = scratch_text("key-%d.pem", (int)which);
    char *path = scratch_text("%s/%s", scratch_root(), name);
    FILE *file = fopen(path, "re");
    if (file) {
        keys[which] = PEM_read_PrivateKey(file, NULL, NULL, NULL);
        fclose(file);
    }
    if (!keys[which]) {
        keys[which] = generate(which);
        char *pem = mint_private_pem(keys[which]);
        free(scratch_file(scratch_root(), name, span_of(pem)));
        free(pem);
    }
    free(path);
    free(name);
    return keys[which];
}

EVP_PKEY *mint_secret(struct span secret) {
    const unsigned char *bytes = (const unsigned char *)(secret.len ? secret.ptr : "");
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, bytes, secret.len);
    ck_assert_ptr_nonnull(key);
    return key;
}

static char *bio_text(BIO *bio) {
    char *bytes = NULL;
    long len = BIO_get_mem_data(bio, &bytes);
    char *text = strndup(bytes, (size_t)len);
    BIO_free(bio);
    ck_assert_ptr_nonnull(text);
    return text;
}

char *mint_public_pem(EVP_PKEY *key) {
    BIO *bio = BIO_new(BIO_s_mem());
    ck_assert_int_eq(PEM_write_bio_PUBKEY(bio, key), 1);
    return bio_text(bio);
}

char *mint_private_pem(EVP_PKEY *key) {
    BIO *bio = BIO_new(BIO_s_mem());
    ck_assert_int_eq(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    return bio_text(bio);
}

/* --- JWK ------------------------------------------------------------------------------------- */

static void set_text(json_t *object, const char *name, const char *value) {
    ck_assert_int_eq(json_object_set_new(object, name, json_string(value)), 0);
}

static void set_bytes(json_t *object, const char *name, const unsigned char *bytes, size_t len) {
    char *text = mint_base64url((struct span){(const char *)bytes, len});
    set_text(object, name, text);
    free(text);
}

/* The number, left-padded with zeros to len bytes; len 0: as few bytes as it takes. */
static void set_number(json_t *object, const char *name, EVP_PKEY *key, const char *parameter,
                       size_t len) {
    BIGNUM *number = NULL;
    unsigned char bytes[1024];
    ck_assert_int_eq(EVP_PKEY_get_bn_param(key, parameter, &number), 1);
    if (len == 0) len = (size_t)BN_num_bytes(number);
    ck_assert_uint_le(len, sizeof bytes);
    ck_assert_int_eq(BN_bn2binpad(number, bytes, (int)len), (int)len);
    set_bytes(object, name, bytes, len);
    BN_free(number);
}

static size_t coordinate_len(EVP_PKEY *key) {
    return (size_t)(EVP_PKEY_get_bits(key) + 7) / 8;
}

static void set_curve(json_t *jwk, EVP_PKEY *key) {
    static const struct {
        const char *group, *crv;
    } names[] = {{"prime256v1", "P-256"},
                 {"secp384r1", "P-384"},
                 {"secp521r1", "P-521"},
                 {"secp256k1", "secp256k1"}};
    char group[64] = "";
    ck_assert_int_eq(EVP_PKEY_get_group_name(key, group, sizeof group, NULL), 1);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(group, names[i].group) == 0) set_text(jwk, "crv", names[i].crv);
    set_number(jwk, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, coordinate_len(key));
    set_number(jwk, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, coordinate_len(key));
}

static void set_okp(json_t *jwk, EVP_PKEY *key) {
    unsigned char bytes[64];
    size_t len = sizeof bytes;
    ck_assert_int_eq(EVP_PKEY_get_raw_public_key(key, bytes, &len), 1);
    set_text(jwk, "crv",
             EVP_PKEY_is_a(key, "ED25519") ? "Ed25519"
             : EVP_PKEY_is_a(key, "ED448") ? "Ed448"
                                           : "X25519");
    set_bytes(jwk, "x", bytes, len);
}

json_t *mint_jwk(EVP_PKEY *key, const char *kid, const char *alg) {
    json_t *jwk = json_object();
    if (EVP_PKEY_is_a(key, "RSA")) {
        set_text(jwk, "kty", "RSA");
        set_number(jwk, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
        set_number(jwk, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
    } else if (EVP_PKEY_is_a(key, "EC")) {
        set_text(jwk, "kty", "EC");
        set_curve(jwk, key);
    } else {
        set_text(jwk, "kty", "OKP");
        set_okp(jwk, key);
    }
    if (kid) set_text(jwk, "kid", kid);
    if (alg) set_text(jwk, "alg", alg);
    return jwk;
}

char *mint_jwks_of(json_t *const *jwks, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, jwks[i]);
    json_t *set = json_pack("{s:o}", "keys", list);
    char *text = json_dumps(set, JSON_COMPACT);
    json_decref(set);
    ck_assert_ptr_nonnull(text);
    return text;
}

/* --- tokens ---------------------------------------------------------------------------------- */

char *mint_base64url(struct span bytes) {
    char *text = malloc(bytes.len / 3 * 4 + 5);
    ck_assert_ptr_nonnull(text);
    int len =
        EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)bytes.ptr, (int)bytes.len);
    while (len > 0 && text[len - 1] == '=') len--;
    text[len] = '\0';
    for (char *c = text; *c; c++) {
        if (*c == '+') *c = '-';
        if (*c == '/') *c = '_';
    }
    return text;
}

char *mint_segments(struct span header, struct span payload, struct span signature) {
    char *parts[] = {mint_base64url(header), mint_base64url(payload), mint_base64url(signature)};
    char *token = scratch_text("%s.%s.%s", parts[0], parts[1], parts[2]);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) free(parts[i]);
    return token;
}

/* ECDSA: OpenSSL gives DER, a JWS carries r and s side by side (RFC 7518 section 3.4). */
static void der_to_raw(unsigned char *signature, size_t *len, size_t coordinate) {
    const unsigned char *cursor = signature;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &cursor, (long)*len);
    ck_assert_ptr_nonnull(pair);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, (int)coordinate);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + coordinate, (int)coordinate);
    *len = 2 * coordinate;
    ECDSA_SIG_free(pair);
}

/* The last three digits of the name tell the digest; EdDSA brings its own. */
static const char *digest_of(const char *alg) {
    if (strstr(alg, "256")) return "SHA256";
    if (strstr(alg, "384")) return "SHA384";
    return strstr(alg, "512") ? "SHA512" : NULL;
}

static void sign(const char *alg, EVP_PKEY *key, struct span input, unsigned char *signature,
                 size_t *len) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL;
    ck_assert_msg(EVP_DigestSignInit_ex(context, &options, digest_of(alg), NULL, NULL, key, NULL) ==
                      1,
                  "this key cannot sign %s", alg);
    if (alg[0] == 'P')
        ck_assert(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
                  EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1);
    ck_assert_int_eq(
        EVP_DigestSign(context, signature, len, (const unsigned char *)input.ptr, input.len), 1);
    EVP_MD_CTX_free(context);
    if (EVP_PKEY_is_a(key, "EC")) der_to_raw(signature, len, coordinate_len(key));
}

char *mint_jws(struct span header, struct span payload, const char *alg, EVP_PKEY *key) {
    unsigned char signature[1024];
    size_t len = sizeof signature;
    char *unsigned_token = mint_segments(header, payload, SPAN_LITERAL(""));
    struct span input = {unsigned_token, strlen(unsigned_token) - 1};

    if (strcmp(alg, "none") == 0) return unsigned_token;
    sign(alg, key, input, signature, &len);
    free(unsigned_token);
    return mint_segments(header, payload, (struct span){(const char *)signature, len});
}

char *mint_token(const char *header, const char *claims, const char *alg, EVP_PKEY *key) {
    return mint_jws(span_of(header), span_of(claims), alg, key);
}

char *mint_claims(const char *issuer, const char *changes) {
    json_int_t now = (json_int_t)time(NULL);
    json_t *claims = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "iss", issuer, "aud", "api",
                               "sub", "alice", "email", "alice@example.com", "scope",
                               "openid profile email", "iat", now, "exp", now + 300);
    ck_assert_ptr_nonnull(claims);
    if (changes) {
        json_t *object = json_loads(changes, 0, NULL), *value;
        const char *name;
        ck_assert_msg(json_is_object(object), "no JSON object: %s", changes);
        json_object_foreach(object, name, value) {
            if (json_is_null(value))
                json_object_del(claims, name);
            else
                json_object_set(claims, name, value);
        }
        json_decref(object);
    }
    char *text = json_dumps(claims, JSON_COMPACT);
    json_decref(claims);
    return text;
}

char *mint_good(const char *issuer, const char *alg, EVP_PKEY *key, const char *kid,
                const char *changes) {
    json_t *header = json_pack("{s:s, s:s, s:s*}", "alg", alg, "typ", "at+jwt", "kid", kid);
    ck_assert_ptr_nonnull(header);
    char *header_text = json_dumps(header, JSON_COMPACT);
    char *claims = mint_claims(issuer, changes);
    char *token = mint_token(header_text, claims, alg, key);
    free(claims);
    free(header_text);
    json_decref(header);
    return token;
}

char *mint_with_libjwt(const char *alg, EVP_PKEY *key, const char *kid, const char *claims) {
    jwt_t *jwt = NULL;
    char *pem = mint_private_pem(key);
    ck_assert_int_eq(jwt_new(&jwt), 0);
    ck_assert_int_eq(
        jwt_set_alg(jwt, jwt_str_alg(alg), (const unsigned char *)pem, (int)strlen(pem)), 0);
    ck_assert_int_eq(jwt_add_grants_json(jwt, claims), 0);
    if (kid) ck_assert_int_eq(jwt_add_header(jwt, "kid", kid), 0);
    char *token = jwt_encode_str(jwt);
    ck_assert_msg(token != NULL, "libjwt made no %s token", alg);
    jwt_free(jwt);
    free(pem);
    return token;
}
