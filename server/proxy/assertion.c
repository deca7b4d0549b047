#include "server/proxy/assertion.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "common/ref.h"
#include "common/secret.h"
#include "server/keys/jwk.h"
#include "server/keys/jwk_write.h"

#define PEM_MAX (64 * 1024)
#define JTI_BYTES 16
#define JTI_LEN 22 /* as base64url */

struct assertion_key {
    struct ref ref;
    enum algorithm algorithm;
    bool in_no_file; /* nobody but this process has it */
    char kid[JWK_THUMBPRINT_LEN + 1];
    char *pem;
    char *jwks;
};

CLEANUP_DEFINE(BIO *, BIO_free_all)
CLEANUP_DEFINE(EVP_PKEY *, EVP_PKEY_free)
CLEANUP_DEFINE(EVP_PKEY_CTX *, EVP_PKEY_CTX_free)

/* --- a key --------------------------------------------------------------------------------- */

/* What makes a public key unfit for us makes it unfit for an upstream that is as strict. */
static int check_public(const json_t *jwk, struct err_text *err) {
    struct key key = {0};
    int r = jwk_parse(jwk, &key, err);
    key_done(&key);
    return r;
}

/* Halves of two keys would sign what no upstream can verify. */
static int check_pair(EVP_PKEY *pkey, struct err_text *err) {
    CLEANUP(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    if (!ctx || EVP_PKEY_pairwise_check(ctx) != 1)
        return err_set(err, ERR_SYNTAX, "has a public half that is not that of its private half");
    return 0;
}

/* Takes over jwk. */
static char *write_jwks(json_t *jwk) {
    CLEANUP(json_decrefp) json_t *set = json_pack("{s:[o]}", "keys", jwk);
    return set ? json_dumps(set, JSON_COMPACT) : NULL;
}

/* err reads behind the name of the file. */
static int make_key(EVP_PKEY *pkey, struct assertion_key **ret, struct err_text *err) {
    CLEANUP(assertion_key_unrefp) struct assertion_key *key = calloc(1, sizeof *key);
    int r;

    if (!key) return err_set(err, ERR_MEMORY, "could not be used: out of memory");
    ref_init(&key->ref);
    key->algorithm = EVP_PKEY_is_a(pkey, "RSA") ? ALG_RS256 : ALG_ES256;
    CLEANUP(json_decrefp) json_t *jwk = jwk_write(pkey, key->algorithm, NULL);
    if (!jwk)
        return err_set(err, ERR_SYNTAX,
                       "is neither an EC key on P-256 nor an RSA key of 2048 to 8192 bits");
    if ((r = check_public(jwk, err)) < 0 || (r = check_pair(pkey, err)) < 0) return r;

    bool done = jwk_thumbprint(jwk, key->kid);
    key->jwks = write_jwks(TAKE_PTR(jwk));
    key->pem = jwk_private_pem(pkey);
    if (!done || !key->jwks || !key->pem)
        return err_set(err, ERR_MEMORY, "could not be used: out of memory");
    *ret = TAKE_PTR(key);
    return 0;
}

struct assertion_key *assertion_key_ref(struct assertion_key *key) {
    ref_take(&key->ref);
    return key;
}

void assertion_key_unref(struct assertion_key *key) {
    if (!key || !ref_drop(&key->ref)) return;
    if (key->pem) secret_wipe(key->pem, strlen(key->pem));
    free(key->pem);
    free(key->jwks);
    free(key);
}

struct span assertion_jwks(const struct assertion_key *key) {
    return span_of(key->jwks);
}

/* --- from a file --------------------------------------------------------------------------- */

/* OpenSSL would ask at the terminal, and a daemon hang there. */
static int refuse_passphrase(char *text, int size, int writing, void *asked) {
    (void)text, (void)size, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static int parse_pem(struct span pem, EVP_PKEY **ret, struct err_text *err) {
    bool asked = false;
    CLEANUP(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    if (!bio) return err_set(err, ERR_MEMORY, "could not be used: out of memory");

    *ret = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &asked);
    if (asked)
        return err_set(err, ERR_SYNTAX,
                       "is encrypted, and there is nobody to ask for its passphrase; write it "
                       "without one");
    return *ret ? 0 : err_set(err, ERR_SYNTAX, "holds no usable private key in PEM");
}

static int parse_file(const char *path, struct span pem, struct assertion_key **ret,
                      struct err_text *err) {
    CLEANUP(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    struct err_text why = {""};

    int r = parse_pem(pem, &pkey, &why);
    if (r == 0) r = make_key(pkey, ret, &why);
    ERR_clear_error(); /* a later call would take what is left there for its own */
    return r < 0 ? err_set(err, r, "%s %s", path, why.text) : 0;
}

/* *ret stays as it is where there is no such file. */
static int load(const char *path, enum file_trust trust, struct assertion_key **ret,
                struct err_text *err) {
    struct buf pem = buf_make(PEM_MAX);
    struct file_facts facts;

    int r = file_read(path, trust, &pem, &facts, err);
    if (r == 0 && facts.exists) r = parse_file(path, buf_span(&pem), ret, err);
    if (r == 0 && (facts.mode & 07))
        LOG(LOG_WARNING, "every user of this machine can get at a private key",
            LOG_TEXT("file", path));
    secret_wipe(pem.data, pem.len);
    buf_done(&pem);
    return r;
}

static int load_configured(const char *path, struct assertion_key **ret, struct err_text *err) {
    CLEANUP(assertion_key_unrefp) struct assertion_key *key = NULL;
    int r = load(path, FILE_NAMED, &key, err);
    if (r < 0) return r;
    if (!key) return err_set(err, ERR_SYSTEM, "there is no file %s", path);
    *ret = TAKE_PTR(key);
    return 0;
}

/* --- of our own making --------------------------------------------------------------------- */

static int generate(struct assertion_key **ret, struct err_text *err) {
    struct err_text why;
    const char *group = algorithm_info(ALG_ES256)->group;
    CLEANUP(EVP_PKEY_freep) EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", group);
    if (!pkey || make_key(pkey, ret, &why) < 0)
        return err_set(err, ERR_MEMORY, "could not make a key to sign assertions with");
    return 0;
}

static int load_or_make(const char *folder, struct assertion_key **ret, struct err_text *err) {
    CLEANUP(assertion_key_unrefp) struct assertion_key *key = NULL;
    char path[PATH_MAX];
    int r;

    if (snprintf(path, sizeof path, "%s/assertion.pem", folder) >= (int)sizeof path)
        return err_set(err, ERR_LIMIT, "the path %s/assertion.pem is too long", folder);
    if ((r = load(path, FILE_OWN, &key, err)) < 0) return r;
    if (!key &&
        ((r = generate(&key, err)) < 0 || (r = file_replace(path, span_of(key->pem), err)) < 0))
        return r;
    *ret = TAKE_PTR(key);
    return 0;
}

static int take_on_or_make(struct assertion_key *previous, struct assertion_key **ret,
                           struct err_text *err) {
    if (previous && previous->in_no_file) {
        *ret = assertion_key_ref(previous);
        return 0;
    }
    int r = generate(ret, err);
    if (r == 0) (*ret)->in_no_file = true;
    return r;
}

int assertion_key_new(const struct config *config, struct assertion_key *previous,
                      struct assertion_key **ret, struct err_text *err) {
    if (*config->assertion.private_key)
        return load_configured(config->assertion.private_key, ret, err);
    if (*config->state_directory) return load_or_make(config->state_directory, ret, err);
    return take_on_or_make(previous, ret, err);
}

/* --- minting ------------------------------------------------------------------------------- */

/* scope-token = 1*( %x21 / %x23-5B / %x5D-7E ) */
static bool is_scope_token(struct span scope) {
    for (size_t i = 0; i < scope.len; i++) {
        char c = scope.ptr[i];
        if (c <= ' ' || c > '~' || c == '"' || c == '\\') return false;
    }
    return scope.len > 0;
}

static json_t *join_scopes(const struct principal *principal) {
    struct buf joined = buf_make(JWK_CLAIMS_MAX);
    size_t count;
    const struct span *scopes = principal_scopes(principal, &count);
    for (size_t i = 0; i < count; i++) {
        if (!is_scope_token(scopes[i])) continue;
        if (joined.len) buf_add_char(&joined, ' ');
        buf_add(&joined, scopes[i]);
    }
    struct span text = buf_span(&joined);
    json_t *claim = buf_ok(&joined) ? json_stringn(text.ptr, text.len) : NULL;
    buf_done(&joined);
    return claim;
}

static json_t *list_roles(const struct principal *principal) {
    CLEANUP(json_decrefp) json_t *list = json_array();
    size_t count;
    const struct span *roles = principal_roles(principal, &count);
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(list, json_stringn(roles[i].ptr, roles[i].len)) < 0) return NULL;
    return TAKE_PTR(list);
}

static json_t *make_claims(const struct config_assertion *config, const char *audience,
                           const struct principal *principal, int64_t now, int64_t exp) {
    unsigned char random[JTI_BYTES];
    char jti[JTI_LEN + 1];
    struct span user = principal_user(principal);
    struct span subject = principal_subject(principal);

    if (subject.len == 0) subject = user; /* an empty one would be the same for many */
    arc4random_buf(random, sizeof random);
    base64url_encode(random, sizeof random, jti);
    return json_pack("{s:s, s:s, s:s%, s:s%, s:o, s:o, s:s, s:I, s:I, s:s}", "iss", config->issuer,
                     "aud", audience, "sub", subject.ptr, subject.len, "username", user.ptr,
                     user.len, "scope", join_scopes(principal), "roles", list_roles(principal),
                     "token_issuer", principal_issuer(principal)->issuer, "iat", (json_int_t)now,
                     "exp", (json_int_t)exp, "jti", jti);
}

char *assertion_mint(const struct assertion_key *key, const struct config_assertion *config,
                     const char *audience, const struct principal *principal, int64_t now,
                     int64_t *ret_exp) {
    int64_t exp = now + config->lifetime / 1000;
    if (exp > principal_expires(principal)) exp = principal_expires(principal);

    CLEANUP(json_decrefp)
    json_t *claims = make_claims(config, audience, principal, now, exp);
    char *text = claims ? json_dumps(claims, JSON_COMPACT) : NULL;
    char *token = text ? jwk_sign(key->algorithm, key->pem, key->kid, text) : NULL;
    free(text);
    if (token) *ret_exp = exp;
    return token;
}

/* The part of the lifetime, one in so many, that is left when another is made. */
#define RESERVE 6

/* An assertion that is remembered. */
struct made {
    char *text;
    int64_t until;
};

/* Whoever finds it in freed memory could speak for the user while it is good. */
static void free_made(void *thing) {
    struct made *made = thing;
    if (made->text) secret_wipe(made->text, strlen(made->text));
    free(made->text);
    free(made);
}

/* NULL without memory. The principal owns it. */
static struct made *make_kept(const struct assertion_key *key,
                              const struct config_assertion *config,
                              const struct config_upstream *upstream,
                              const struct principal *principal, int64_t now) {
    int64_t exp = now;
    struct made *made = calloc(1, sizeof *made);
    if (!made) return NULL;

    made->text = assertion_mint(key, config, upstream->name, principal, now, &exp);
    made->until = exp - config->lifetime / 1000 / RESERVE;
    struct memo memo = {upstream, free_made, made, sizeof *made, made->until};
    if (made->text) memo.size += strlen(made->text) + 1;
    if (made->text && principal_remember(principal, &memo)) return made;
    free_made(made);
    return NULL;
}

bool assertion_find(const struct assertion_key *key, const struct config *config,
                    const struct config_upstream *upstream, const struct principal *principal,
                    int64_t now, struct assertion *ret) {
    struct made *made = principal_memo(principal, upstream, free_made, now);
    if (!made) made = make_kept(key, &config->assertion, upstream, principal, now);
    if (!made) return false;
    *ret = (struct assertion){span_of(made->text), made->until};
    return true;
}
