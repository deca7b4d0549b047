/*
 * tls: the certificate and key of a TLS listener, for GnuTLS inside libmicrohttpd. Immutable and
 * shared; a reload makes new ones, handshakes under way end with the old.
 */
#ifndef SERVER_LOOP_TLS_H
#define SERVER_LOOP_TLS_H

#include <gnutls/abstract.h>

#include "common/err.h"
#include "common/ref.h"

#define TLS_CHAIN_MAX 8

struct tls {
    struct ref ref;
    gnutls_pcert_st chain[TLS_CHAIN_MAX];
    unsigned chain_len;
    gnutls_privkey_t key;
};

/* TLS 1.2 and later, in GnuTLS's priority language. */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE"

/*
 * Read PEM files: the server's certificate with the intermediate ones behind it, and its key, which
 * must belong together. Returns 0 with one reference in *ret, or ERR_SYSTEM, ERR_MEMORY with the
 * reason.
 */
int tls_load(const char *certificate_path, const char *key_path, struct tls **ret,
             struct err_text *err) MUST_CHECK;

/* Any thread: take one more reference; drop one, the last frees (NULL is fine). */
struct tls *tls_ref(struct tls *tls);
void tls_unref(struct tls *tls);
CLEANUP_DEFINE(struct tls *, tls_unref)

#endif
