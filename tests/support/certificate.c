#include "tests/support/certificate.h"

#include <check.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "tests/support/mint.h"
#include "tests/support/scratch.h"

#define DAY (24 * 3600L)

static EVP_PKEY *authority_key(void) {
    return mint_key(MINT_TLS_AUTHORITY);
}

static EVP_PKEY *server_key(void) {
    return mint_key(MINT_TLS_SERVER);
}

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ck_assert_ptr_nonnull(extension);
    ck_assert_int_eq(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void set_name_part(X509_NAME *name, const char *part, const char *text) {
    const unsigned char *bytes = (const unsigned char *)text;
    ck_assert_int_eq(X509_NAME_add_entry_by_txt(name, part, MBSTRING_ASC, bytes, -1, -1, 0), 1);
}

static void set_name(X509_NAME *name, const char *text) {
    set_name_part(name, "CN", text);
}

/* Valid from ten days ago until the given moment. */
static X509 *certificate_new(const char *subject, EVP_PKEY *key, long serial, long until) {
    X509 *certificate = X509_new();
    ck_assert_ptr_nonnull(certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -10 * DAY);
    X509_gmtime_adj(X509_getm_notAfter(certificate), until);
    set_name(X509_get_subject_name(certificate), subject);
    X509_set_pubkey(certificate, key);
    return certificate;
}

static X509 *authority(void) {
    static X509 *certificate;
    if (certificate) return certificate;
    certificate = certificate_new("bearerd test authority", authority_key(), 1, 10 * DAY);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign");
    add_extension(certificate, certificate, NID_subject_key_identifier, "hash");
    ck_assert_int_gt(X509_sign(certificate, authority_key(), EVP_sha256()), 0);
    return certificate;
}

/* What a firewall signs with that answers in the place of every server. */
static X509 *inspector(void) {
    static X509 *certificate;
    if (certificate) return certificate;
    certificate = certificate_new("Zscaler Root CA", mint_key(MINT_P256_OTHER), 50, 10 * DAY);
    set_name_part(X509_get_subject_name(certificate), "O", "Zscaler Inc.");
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
    ck_assert_int_gt(X509_sign(certificate, mint_key(MINT_P256_OTHER), EVP_sha256()), 0);
    return certificate;
}

/* Only its name and key are needed: it is never sent. */
static X509 *intermediate(void) {
    static X509 *certificate;
    if (certificate) return certificate;
    certificate = certificate_new("bearerd test intermediate", mint_key(MINT_P384), 51, 10 * DAY);
    return certificate;
}

static char *certificate_pem(X509 *certificate) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    ck_assert_int_eq(PEM_write_bio_X509(bio, certificate), 1);
    long len = BIO_get_mem_data(bio, &bytes);
    char *text = strndup(bytes, (size_t)len);
    BIO_free(bio);
    return text;
}

const char *certificate_authority_file(void) {
    static char *path;
    if (path) return path;
    char *pem = certificate_pem(authority());
    char *folder = scratch_new();
    path = scratch_file(folder, "authority.pem", span_of(pem));
    free(folder);
    free(pem);
    return path;
}

static const struct {
    const char *subject;
    const char *names; /* NULL: none */
    long until;
} kinds[] = {
    [CERTIFICATE_GOOD] = {"bearerd test server", "IP:127.0.0.1,DNS:localhost", 10 * DAY},
    [CERTIFICATE_EXPIRED] = {"bearerd test server", "IP:127.0.0.1,DNS:localhost", -DAY},
    [CERTIFICATE_WRONG_NAME] = {"bearerd test server", "DNS:other.example", 10 * DAY},
    [CERTIFICATE_SELF_SIGNED] = {"bearerd test server", "IP:127.0.0.1,DNS:localhost", 10 * DAY},
    [CERTIFICATE_NO_NAME] = {"localhost", NULL, 10 * DAY},
    [CERTIFICATE_BRIEF] = {"bearerd test server", "IP:127.0.0.1,DNS:localhost",
                           CERTIFICATE_BRIEF_SECONDS},
    [CERTIFICATE_EARLY] = {"bearerd test server", "IP:127.0.0.1,DNS:localhost", 10 * DAY},
    [CERTIFICATE_INSPECTED] = {"bearerd test server", "IP:127.0.0.1,DNS:localhost", 10 * DAY},
    [CERTIFICATE_LACKING_LINK] = {"bearerd test server", "IP:127.0.0.1,DNS:localhost", 10 * DAY},
};

static X509 *issuer_of(enum certificate_kind kind, X509 *self, EVP_PKEY **ret_key) {
    switch (kind) {
    case CERTIFICATE_SELF_SIGNED:
        *ret_key = server_key();
        return self;
    case CERTIFICATE_INSPECTED:
        *ret_key = mint_key(MINT_P256_OTHER);
        return inspector();
    case CERTIFICATE_LACKING_LINK:
        *ret_key = mint_key(MINT_P384);
        return intermediate();
    default:
        *ret_key = authority_key();
        return authority();
    }
}

static X509 *server_certificate(enum certificate_kind kind) {
    EVP_PKEY *signer;
    X509 *certificate =
        certificate_new(kinds[kind].subject, server_key(), 2 + (long)kind, kinds[kind].until);
    X509 *issuer = issuer_of(kind, certificate, &signer);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    if (kinds[kind].names)
        add_extension(certificate, issuer, NID_subject_alt_name, kinds[kind].names);
    add_extension(certificate, issuer, NID_ext_key_usage, "serverAuth");
    if (kind == CERTIFICATE_LACKING_LINK)
        add_extension(certificate, issuer, NID_info_access, "caIssuers;URI:http://ca.example/i");
    if (kind == CERTIFICATE_EARLY) X509_gmtime_adj(X509_getm_notBefore(certificate), DAY);
    ck_assert_int_gt(X509_sign(certificate, signer, EVP_sha256()), 0);
    return certificate;
}

SSL_CTX *certificate_context(enum certificate_kind kind, bool old) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    X509 *certificate = server_certificate(kind);
    ck_assert_ptr_nonnull(context);
    SSL_CTX_set_min_proto_version(context, old ? TLS1_VERSION : TLS1_2_VERSION);
    if (old) {
        /* SHA-1 in the handshake: only the lowest security level still offers it. */
        SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
        ck_assert_int_eq(SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0"), 1);
    }
    ck_assert_int_eq(SSL_CTX_use_certificate(context, certificate), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(context, server_key()), 1);
    if (kind == CERTIFICATE_INSPECTED)
        ck_assert_int_eq(SSL_CTX_add1_chain_cert(context, inspector()), 1);
    X509_free(certificate);
    return context;
}

/* Without a context for its sessions OpenSSL's server could not resume any of such clients. */
void certificate_require_client(SSL_CTX *context) {
    static const unsigned char name[] = "bearerd test";
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    ck_assert_int_eq(SSL_CTX_load_verify_file(context, certificate_authority_file()), 1);
    ck_assert_int_eq(SSL_CTX_set_session_id_context(context, name, sizeof name), 1);
}

static void write_files(const char *folder, const char *name, X509 *certificate, EVP_PKEY *key,
                        char **ret_certificate, char **ret_private_key) {
    char *certificate_text = certificate_pem(certificate), *key_text = mint_private_pem(key);
    char *certificate_name = scratch_text("%s.crt", name), *key_name = scratch_text("%s.key", name);
    *ret_certificate = scratch_file(folder, certificate_name, span_of(certificate_text));
    *ret_private_key = scratch_file(folder, key_name, span_of(key_text));
    free(key_name), free(certificate_name), free(key_text), free(certificate_text);
}

void certificate_client_files(const char *folder, bool stranger, char **ret_certificate,
                              char **ret_private_key) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    ck_assert_ptr_nonnull(key);
    X509 *certificate = certificate_new("bearerd test client", key, 100 + stranger, 10 * DAY);
    X509 *issuer = stranger ? certificate : authority();
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    add_extension(certificate, issuer, NID_ext_key_usage, "clientAuth");
    ck_assert_int_gt(X509_sign(certificate, stranger ? key : authority_key(), EVP_sha256()), 0);
    write_files(folder, "client", certificate, key, ret_certificate, ret_private_key);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void certificate_files(const char *folder, char **ret_certificate, char **ret_private_key) {
    X509 *certificate = server_certificate(CERTIFICATE_GOOD);
    write_files(folder, "tls", certificate, server_key(), ret_certificate, ret_private_key);
    X509_free(certificate);
}
