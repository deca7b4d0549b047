#include "server/keys/jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/json.h"

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192
#define EXPONENT_BITS_MAX 64
#define KID_MAX 1024
#define MEMBER_BYTES_MAX 2048
#define COORDINATE_MAX 66 /* P-521 */

CLEANUP_DEFINE(BIGNUM *, BN_free)
CLEANUP_DEFINE(OSSL_PARAM_BLD *, OSSL_PARAM_BLD_free)
CLEANUP_DEFINE(OSSL_PARAM *, OSSL_PARAM_free)
CLEANUP_DEFINE(EVP_PKEY_CTX *, EVP_PKEY_CTX_free)
CLEANUP_DEFINE(EVP_PKEY *, EVP_PKEY_free)

/* --- members ------------------------------------------------------------------------------- */

/* A base64url member of 1 to max bytes into out. */
static int read_bytes(const json_t *jwk, const char *name, unsigned char *out, size_t max,
                      size_t *ret_len, struct err_text *err) {
    unsigned char decoded[MEMBER_BYTES_MAX + 2];
    struct span text;
    size_t len;

    switch (json_find_string(jwk, name, &text)) {
    case JSON_ABSENT:
        return err_set(err, ERR_SYNTAX, "lacks \"%s\"", name);
    case JSON_WRONG_TYPE:
        return err_set(err, ERR_SYNTAX, "has a \"%s\" that is not a string", name);
    case JSON_FOUND:
        break;
    }
    if (base64url_decoded_max(text.len) > sizeof decoded)
        return err_set(err, ERR_SYNTAX, "has a \"%s\" that is too long", name);
    if (base64url_decode(text, decoded, &len) < 0)
        return err_set(err, ERR_SYNTAX, "has a \"%s\" that is not base64url", name);
    if (len == 0 || len > max)
        return err_set(err, ERR_SYNTAX,
                       "has a \"%s\" of %zu bytes, which is not a length it can have", name, len);
    memcpy(out, decoded, len);
    *ret_len = len;
    return 0;
}

static bool array_has(const json_t *array, const char *text) {
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item) if (span_equal_text(json_span(item), text)) return true;
    return false;
}

/* May this key verify signatures at all (RFC 7517 sections 4.2, 4.3)? */
static int check_use(const json_t *jwk, struct err_text *err) {
    const json_t *use = json_object_get(jwk, "use");
    if (use && !span_equal_text(json_span(use), "sig"))
        return err_set(err, ERR_SYNTAX, "has a \"use\" other than \"sig\"");

    const json_t *operations = json_object_get(jwk, "key_ops");
    if (operations && (!json_is_array(operations) || !array_has(operations, "verify")))
        return err_set(err, ERR_SYNTAX, "has \"key_ops\" without \"verify\"");
    return 0;
}

/* --- RSA ----------------------------------------------------------------------------------- */

/*
 * The fingerprint of CVE-2017-15361 (ROCA): for each of these primes p, n modulo p lies in the
 * subgroup that 65537 generates. A sound modulus does so with a chance below 2^-27.
 */
static bool has_roca(const BIGNUM *n) {
    static const unsigned primes[] = {11, 13, 17,  19,  37,  53,  61,  71, 73,
                                      79, 97, 103, 107, 109, 127, 151, 157};

    for (size_t i = 0; i < ARRAY_LEN(primes); i++) {
        unsigned p = primes[i];
        unsigned rest = (unsigned)BN_mod_word(n, p);
        unsigned power = 1;
        do {
            power = power * (65537 % p) % p;
        } while (power != rest && power != 1);
        if (power != rest) return false;
    }
    return true;
}

static int check_rsa(const BIGNUM *n, const BIGNUM *e, struct err_text *err) {
    int bits = BN_num_bits(n);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return err_set(err, ERR_SYNTAX, "is an RSA key of %d bits; %d to %d are accepted", bits,
                       RSA_BITS_MIN, RSA_BITS_MAX);
    if (!BN_is_odd(n)) return err_set(err, ERR_SYNTAX, "is an RSA key with an even modulus");
    if (!BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > EXPONENT_BITS_MAX)
        return err_set(err, ERR_SYNTAX, "is an RSA key with an unusable public exponent");
    if (has_roca(n))
        return err_set(err, ERR_SYNTAX, "is an RSA key with the ROCA weakness (CVE-2017-15361)");
    return 0;
}

static int make_pkey(const char *type, OSSL_PARAM_BLD *builder, EVP_PKEY **ret) {
    CLEANUP(OSSL_PARAM_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    CLEANUP(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !ctx) return ERR_MEMORY;
    if (EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, ret, EVP_PKEY_PUBLIC_KEY, params) != 1)
        return ERR_SYNTAX;
    return 0;
}

static int parse_rsa(const json_t *jwk, EVP_PKEY **ret, struct err_text *err) {
    unsigned char bytes[MEMBER_BYTES_MAX];
    size_t len;
    int r;

    if ((r = read_bytes(jwk, "n", bytes, sizeof bytes, &len, err)) < 0) return r;
    CLEANUP(BN_freep) BIGNUM *n = BN_bin2bn(bytes, (int)len, NULL);
    if ((r = read_bytes(jwk, "e", bytes, sizeof bytes, &len, err)) < 0) return r;
    CLEANUP(BN_freep) BIGNUM *e = BN_bin2bn(bytes, (int)len, NULL);
    if (!n || !e) return err_set(err, ERR_MEMORY, "could not be read: out of memory");
    if ((r = check_rsa(n, e, err)) < 0) return r;

    CLEANUP(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (!builder || !OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) ||
        !OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e))
        return err_set(err, ERR_MEMORY, "could not be read: out of memory");
    r = make_pkey("RSA", builder, ret);
    return r < 0 ? err_set(err, r, "is not a usable RSA key") : 0;
}

/* --- elliptic curves ----------------------------------------------------------------------- */

/* The algorithm whose curve has this name, which decides group and sizes; NULL if none has. */
static const struct algorithm_info *find_curve(enum key_type type, struct span curve) {
    for (int i = 0; i < ALG_COUNT; i++) {
        const struct algorithm_info *info = algorithm_info((enum algorithm)i);
        if (info->key_type == type && span_equal_text(curve, info->curve)) return info;
    }
    return NULL;
}

static int read_curve(const json_t *jwk, enum key_type type, const struct algorithm_info **ret,
                      struct err_text *err) {
    struct span curve;
    if (json_find_string(jwk, "crv", &curve) != JSON_FOUND)
        return err_set(err, ERR_SYNTAX, "lacks a \"crv\" that is a string");
    *ret = find_curve(type, curve);
    if (!*ret) return err_set(err, ERR_SYNTAX, "is on a curve that is not accepted");
    return 0;
}

/* A coordinate has the full width of its field (RFC 7518 section 6.2.1.2). */
static int read_coordinate(const json_t *jwk, const char *name, size_t width, unsigned char *out,
                           struct err_text *err) {
    size_t len;
    int r = read_bytes(jwk, name, out, COORDINATE_MAX, &len, err);
    if (r < 0) return r;
    if (len != width)
        return err_set(err, ERR_SYNTAX, "has a \"%s\" of %zu bytes where its curve has %zu", name,
                       len, width);
    return 0;
}

static int parse_ec(const json_t *jwk, const struct algorithm_info *curve, EVP_PKEY **ret,
                    struct err_text *err) {
    unsigned char point[1 + 2 * COORDINATE_MAX];
    unsigned char x[COORDINATE_MAX], y[COORDINATE_MAX];
    size_t width = curve->coordinate;
    int r;

    if ((r = read_coordinate(jwk, "x", width, x, err)) < 0) return r;
    if ((r = read_coordinate(jwk, "y", width, y, err)) < 0) return r;
    point[0] = POINT_CONVERSION_UNCOMPRESSED;
    memcpy(point + 1, x, width);
    memcpy(point + 1 + width, y, width);

    CLEANUP(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (!builder ||
        !OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) ||
        !OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * width))
        return err_set(err, ERR_MEMORY, "could not be read: out of memory");

    CLEANUP(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    if ((r = make_pkey("EC", builder, &pkey)) < 0)
        return err_set(err, r, "is an EC key whose point is not on its curve");
    CLEANUP(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    if (!ctx || EVP_PKEY_public_check(ctx) != 1)
        return err_set(err, ERR_SYNTAX, "is an EC key whose point is not on its curve");
    *ret = TAKE_PTR(pkey);
    return 0;
}

static int parse_okp(const json_t *jwk, const struct algorithm_info *curve, EVP_PKEY **ret,
                     struct err_text *err) {
    unsigned char x[COORDINATE_MAX];
    int r = read_coordinate(jwk, "x", curve->coordinate, x, err);
    if (r < 0) return r;

    *ret = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x, curve->coordinate);
    return *ret ? 0 : err_set(err, ERR_SYNTAX, "is not a usable Ed25519 key");
}

/* --- the key as a whole -------------------------------------------------------------------- */

static int find_key_type(const json_t *jwk, enum key_type *ret, struct err_text *err) {
    static const char *const names[] = {[KEY_RSA] = "RSA", [KEY_EC] = "EC", [KEY_OKP] = "OKP"};
    struct span kty;

    if (json_find_string(jwk, "kty", &kty) != JSON_FOUND)
        return err_set(err, ERR_SYNTAX, "lacks a \"kty\" that is a string");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!span_equal_text(kty, names[i])) continue;
        *ret = (enum key_type)i;
        return 0;
    }
    return err_set(err, ERR_SYNTAX, "has a \"kty\" other than RSA, EC and OKP");
}

/*
 * Bind the key to what it may verify: every algorithm of its type and curve, narrowed to its own
 * "alg" where it has one. A key for PS256 must not verify RS256 (RFC 8725 section 3.1).
 */
static int bind_algorithms(const json_t *jwk, enum key_type type, const char *curve,
                           algorithm_set *ret, struct err_text *err) {
    algorithm_set fitting = 0;
    for (int i = 0; i < ALG_COUNT; i++) {
        const struct algorithm_info *info = algorithm_info((enum algorithm)i);
        if (info->key_type == type && (!curve || strcmp(info->curve, curve) == 0))
            fitting |= ALG_BIT(i);
    }

    const json_t *alg = json_object_get(jwk, "alg");
    if (alg) {
        int named = algorithm_find(json_span(alg));
        if (named < 0 || !(fitting & ALG_BIT(named)))
            return err_set(err, ERR_SYNTAX,
                           "has an \"alg\" that is no signature algorithm of its type of key");
        fitting = ALG_BIT(named);
    }
    *ret = fitting;
    return 0;
}

static int copy_kid(const json_t *jwk, char **ret, struct err_text *err) {
    struct span kid;
    *ret = NULL;
    switch (json_find_string(jwk, "kid", &kid)) {
    case JSON_ABSENT:
        return 0;
    case JSON_WRONG_TYPE:
        return err_set(err, ERR_SYNTAX, "has a \"kid\" that is not a string");
    case JSON_FOUND:
        break;
    }
    if (kid.len > KID_MAX)
        return err_set(err, ERR_SYNTAX, "has a \"kid\" of more than %d bytes", KID_MAX);
    *ret = strndup(kid.ptr, kid.len);
    return *ret ? 0 : err_set(err, ERR_MEMORY, "could not be read: out of memory");
}

static int parse_members(const json_t *jwk, struct key *key, struct err_text *err) {
    const struct algorithm_info *curve = NULL;
    enum key_type type = KEY_RSA;
    int r;

    if (!json_is_object(jwk)) return err_set(err, ERR_SYNTAX, "is not a JSON object");
    if ((r = copy_kid(jwk, &key->kid, err)) < 0 || (r = find_key_type(jwk, &type, err)) < 0 ||
        (r = check_use(jwk, err)) < 0)
        return r;
    if (type != KEY_RSA && (r = read_curve(jwk, type, &curve, err)) < 0) return r;
    if ((r = bind_algorithms(jwk, type, curve ? curve->curve : NULL, &key->algorithms, err)) < 0)
        return r;
    key->had_private = json_object_get(jwk, "d") != NULL;
    if (type == KEY_RSA) return parse_rsa(jwk, &key->pkey, err);
    if (type == KEY_EC) return parse_ec(jwk, curve, &key->pkey, err);
    return parse_okp(jwk, curve, &key->pkey, err);
}

int jwk_parse(const json_t *jwk, struct key *ret, struct err_text *err) {
    struct key key = {0};
    int r = parse_members(jwk, &key, err);
    /* A refused key leaves its trace in OpenSSL's queue, which a later call would take as its own.
     */
    ERR_clear_error();
    if (r < 0) {
        key_done(&key);
        return r;
    }
    *ret = key;
    return 0;
}

void key_done(struct key *key) {
    EVP_PKEY_free(key->pkey);
    free(key->kid);
    *key = (struct key){0};
}

json_t *jwk_public_members(const json_t *jwk) {
    static const char *const names[] = {"kty", "kid", "use", "key_ops", "alg",
                                        "n",   "e",   "crv", "x",       "y"};
    CLEANUP(json_decrefp) json_t *copy = json_object();
    if (!copy) return NULL;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        json_t *member = json_object_get(jwk, names[i]);
        if (member && json_object_set(copy, names[i], member) < 0) return NULL;
    }
    return TAKE_PTR(copy);
}
