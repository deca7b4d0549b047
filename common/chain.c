#include "common/chain.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/attr.h"
#include "common/buf.h"

CLEANUP_DEFINE(BIO *, BIO_free)
CLEANUP_DEFINE(GENERAL_NAMES *, GENERAL_NAMES_free)
CLEANUP_DEFINE(AUTHORITY_INFO_ACCESS *, AUTHORITY_INFO_ACCESS_free)

static void copy_text(char *out, size_t size, struct span text) {
    snprintf(out, size, "%.*s", SPAN_PRINTF(text));
}

/* Escaped as RFC 4514 has it, control characters and all that is not ASCII too. */
static void write_name(const X509_NAME *name, char out[CHAIN_NAME_MAX]) {
    CLEANUP(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
    char *bytes = NULL;

    out[0] = '\0';
    if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0) return;
    long len = BIO_get_mem_data(bio, &bytes);
    if (len > 0) copy_text(out, CHAIN_NAME_MAX, (struct span){bytes, (size_t)len});
}

static int64_t seconds_of(const ASN1_TIME *time) {
    struct tm parts;
    return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

static void add_link(struct chain *chain, const X509 *certificate) {
    if (chain->count == CHAIN_LINKS_MAX) return;
    struct chain_link *link = &chain->links[chain->count++];
    write_name(X509_get_subject_name(certificate), link->subject);
    write_name(X509_get_issuer_name(certificate), link->issuer);
    link->from = seconds_of(X509_get0_notBefore(certificate));
    link->until = seconds_of(X509_get0_notAfter(certificate));
}

/* --- extensions ------------------------------------------------------------------------------ */

static void add_host(struct buf *out, const GENERAL_NAME *name) {
    char address[INET6_ADDRSTRLEN];
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    const void *bytes = ASN1_STRING_get0_data(value);
    const char *text = bytes;
    int len = ASN1_STRING_length(value);

    if (type != GEN_DNS && type != GEN_IPADD) return;
    if (type == GEN_IPADD &&
        ((len != 4 && len != 16) ||
         !inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, address, sizeof address)))
        return;
    buf_add_text(out, out->len ? ", " : "");
    if (type == GEN_IPADD) buf_add_text(out, address);
    for (int i = 0; type == GEN_DNS && i < len; i++) {
        bool visible = text[i] > ' ' && text[i] < 0x7f;
        buf_add(out, visible ? (struct span){text + i, 1} : SPAN_LITERAL("?"));
    }
}

/* Names beyond what fits are left out. */
static void write_hosts(const X509 *certificate, char out[CHAIN_NAMES_MAX]) {
    CLEANUP(GENERAL_NAMES_freep)
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    out[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        CLEANUP(buf_done) struct buf text = buf_make(CHAIN_NAMES_MAX - 8);
        buf_add_text(&text, out);
        add_host(&text, sk_GENERAL_NAME_value(names, i));
        if (!buf_ok(&text)) {
            strncat(out, ", ...", 6);
            return;
        }
        copy_text(out, CHAIN_NAMES_MAX, buf_span(&text));
    }
}

static bool tells_issuer(const X509 *certificate) {
    CLEANUP(AUTHORITY_INFO_ACCESS_freep)
    AUTHORITY_INFO_ACCESS *access = X509_get_ext_d2i(certificate, NID_info_access, NULL, NULL);

    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(access); i++)
        if (OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(access, i)->method) == NID_ad_ca_issuers)
            return true;
    return false;
}

/* --- verification ---------------------------------------------------------------------------- */

static enum chain_fault fault_of(int error) {
    switch (error) {
    case X509_V_OK:
        return CHAIN_FINE;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return CHAIN_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return CHAIN_NOT_YET_VALID;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return CHAIN_SELF_SIGNED;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return CHAIN_UNKNOWN_ROOT;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return CHAIN_UNKNOWN_ISSUER;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return CHAIN_WRONG_HOST;
    default:
        return CHAIN_OTHER;
    }
}

static void record(struct chain *chain, X509_STORE_CTX *store) {
    const STACK_OF(X509) *built = X509_STORE_CTX_get0_chain(store);
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    int error = X509_STORE_CTX_get_error(store), depth = X509_STORE_CTX_get_error_depth(store);
    int count = sk_X509_num(built);

    *chain = (struct chain){.fault = fault_of(error)};
    copy_text(chain->version, sizeof chain->version, span_of(ssl ? SSL_get_version(ssl) : "TLS"));
    copy_text(chain->words, sizeof chain->words,
              span_of(error == X509_V_OK ? "" : X509_verify_cert_error_string(error)));
    for (int i = 0; i < count; i++) add_link(chain, sk_X509_value(built, i));
    if (chain->count > 0) {
        chain->at = depth > 0 ? (size_t)depth : 0;
        if (chain->at >= chain->count) chain->at = chain->count - 1;
        write_hosts(sk_X509_value(built, 0), chain->names);
        chain->tells_issuer = tells_issuer(sk_X509_value(built, count - 1));
    }
    int shown = sk_X509_num(X509_STORE_CTX_get0_untrusted(store));
    chain->shown = shown > 0 ? (size_t)shown : 0;
}

static int verify(X509_STORE_CTX *store, void *argument) {
    int good = X509_verify_cert(store) > 0;

    /* What reading extensions leaves in OpenSSL's queue must not look like the handshake's. */
    ERR_set_mark();
    record(argument, store);
    ERR_pop_to_mark();
    return good;
}

void chain_watch(void *ssl_context, struct chain *chain) {
    SSL_CTX_set_cert_verify_callback(ssl_context, verify, chain);
}
