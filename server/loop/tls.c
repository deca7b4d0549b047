#include "server/loop/tls.h"

#include <stdlib.h>
#include <string.h>

#include "common/secret.h"

static int load_key(const char *path, gnutls_privkey_t *ret, struct err_text *err) {
    gnutls_datum_t pem = {NULL, 0};

    int r = gnutls_load_file(path, &pem);
    if (r < 0) return err_set(err, ERR_SYSTEM, "cannot read %s: %s", path, gnutls_strerror(r));
    r = gnutls_privkey_init(ret);
    if (r == 0) r = gnutls_privkey_import_x509_raw(*ret, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    secret_wipe(pem.data, pem.size);
    gnutls_free(pem.data);
    if (r < 0)
        return err_set(err, ERR_SYSTEM, "%s holds no usable private key: %s", path,
                       gnutls_strerror(r));
    return 0;
}

static int load_chain(const char *path, struct tls *tls, struct err_text *err) {
    unsigned count = TLS_CHAIN_MAX;
    int r = gnutls_pcert_list_import_x509_file(tls->chain, &count, path, GNUTLS_X509_FMT_PEM, NULL,
                                               NULL, 0);
    if (r < 0)
        return err_set(err, ERR_SYSTEM, "%s holds no usable certificate: %s", path,
                       gnutls_strerror(r));
    tls->chain_len = count;
    return 0;
}

/* A key that is not the certificate's would fail every handshake, long after the reload. */
static bool belong_together(const struct tls *tls) {
    unsigned char a[64], b[64];
    size_t a_len = sizeof a, b_len = sizeof b;
    gnutls_pubkey_t public_key;

    if (gnutls_pubkey_init(&public_key) < 0) return false;
    bool same = gnutls_pubkey_import_privkey(public_key, tls->key, 0, 0) == 0 &&
                gnutls_pubkey_get_key_id(public_key, 0, a, &a_len) == 0 &&
                gnutls_pubkey_get_key_id(tls->chain[0].pubkey, 0, b, &b_len) == 0 &&
                a_len == b_len && memcmp(a, b, a_len) == 0;
    gnutls_pubkey_deinit(public_key);
    return same;
}

int tls_load(const char *certificate_path, const char *key_path, struct tls **ret,
             struct err_text *err) {
    CLEANUP(tls_unrefp) struct tls *tls = calloc(1, sizeof *tls);
    int r;

    if (!tls) return err_set(err, ERR_MEMORY, "out of memory");
    ref_init(&tls->ref);
    if ((r = load_chain(certificate_path, tls, err)) < 0 ||
        (r = load_key(key_path, &tls->key, err)) < 0)
        return r;
    if (!belong_together(tls))
        return err_set(err, ERR_SYSTEM, "%s is not the key of the certificate in %s", key_path,
                       certificate_path);
    *ret = TAKE_PTR(tls);
    return 0;
}

struct tls *tls_ref(struct tls *tls) {
    ref_take(&tls->ref);
    return tls;
}

void tls_unref(struct tls *tls) {
    if (!tls || !ref_drop(&tls->ref)) return;
    for (unsigned i = 0; i < tls->chain_len; i++) gnutls_pcert_deinit(&tls->chain[i]);
    if (tls->key) gnutls_privkey_deinit(tls->key);
    free(tls);
}
