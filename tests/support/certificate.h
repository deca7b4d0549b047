/*
 * certificate: TLS certificates made at run time: for servers, one good and several that no client
 * may accept, and for clients.
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
    CERTIFICATE_NO_NAME,      /* good, but without a subjectAltName; the common name is localhost */
    CERTIFICATE_BRIEF,        /* good for CERTIFICATE_BRIEF_SECONDS */
    CERTIFICATE_EARLY,        /* the same as the good one, but valid from tomorrow on */
    CERTIFICATE_INSPECTED,    /* of a firewall's authority, whose certificate is sent along */
    CERTIFICATE_LACKING_LINK, /* of an intermediate of the test authority, which is not sent */
};

#define CERTIFICATE_BRIEF_SECONDS 2

/* PEM file of the test authority, for a client's list of authorities. Never freed. */
const char *certificate_authority_file(void);

/*
 * A server context with a certificate of that kind, for TLS 1.2 and newer, or for TLS 1.1 alone
 * where old is set. The caller frees it.
 */
SSL_CTX *certificate_context(enum certificate_kind kind, bool old);

/* PEM files of a good certificate and its private key in folder. The caller frees both paths. */
void certificate_files(const char *folder, char **ret_certificate, char **ret_private_key);

/*
 * Make a server context ask for a client certificate of the test authority, and refuse clients that
 * have none.
 */
void certificate_require_client(SSL_CTX *context);

/*
 * PEM files of a client's certificate and its private key in folder: of the test authority, or
 * self-signed where stranger is set. The caller frees both paths.
 */
void certificate_client_files(const char *folder, bool stranger, char **ret_certificate,
                              char **ret_private_key);

#endif
