/*
 * certificate: TLS server certificates made at run time, one good and several that no client may
 * accept.
 */
#ifndef TESTS_SUPPORT_CERTIFICATE_H
#define TESTS_SUPPORT_CERTIFICATE_H

#include <openssl/ssl.h>
#include <stdbool.h>

enum certificate_kind {
    CERTIFICATE_GOOD,       /* of the test authority, for 127.0.0.1 and localhost */
    CERTIFICATE_EXPIRED,    /* the same, but over since yesterday */
    CERTIFICATE_WRONG_NAME, /* the same, but for other.example */
    CERTIFICATE_SELF_SIGNED,
};

/* PEM file of the test authority, for a client's list of authorities. Never freed. */
const char *certificate_authority_file(void);

/*
 * A server context with a certificate of that kind, for TLS 1.2 and newer, or for TLS 1.1 alone
 * where old is set. The caller frees it.
 */
SSL_CTX *certificate_context(enum certificate_kind kind, bool old);

/* PEM files of a good certificate and its private key in folder. The caller frees both paths. */
void certificate_files(const char *folder, char **ret_certificate, char **ret_private_key);

#endif
