#include "server/loop/tls.h"

#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/certificate.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

static void expect_refusal(const char *certificate, const char *key, const char *why) {
    struct tls *tls = NULL;
    struct err_text err = {""};
    ck_assert_int_eq(tls_load(certificate, key, &tls, &err), ERR_SYSTEM);
    ck_assert_ptr_null(tls);
    ck_assert_msg(strstr(err.text, why), "%s", err.text);
}

TEST(a_certificate_and_its_key_are_loaded) {
    char *folder = scratch_new(), *certificate, *key;
    struct tls *tls = NULL;
    struct err_text err = {""};
    certificate_files(folder, &certificate, &key);
    ck_assert_msg(tls_load(certificate, key, &tls, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(tls->chain_len, 1);
    tls_unref(tls_ref(tls));
    tls_unref(tls);
    tls_unref(NULL);
    free(key);
    free(certificate);
    free(folder);
}

TEST(a_chain_is_kept_in_its_order) {
    char *folder = scratch_new(), *certificate, *key;
    struct tls *tls = NULL;
    struct err_text err = {""};
    certificate_files(folder, &certificate, &key);
    char *leaf = scratch_read(certificate, NULL);
    char *authority = scratch_read(certificate_authority_file(), NULL);
    char *both = scratch_text("%s%s", leaf, authority);
    char *chain = scratch_file(folder, "chain.pem", span_of(both));
    char *reversed_text = scratch_text("%s%s", authority, leaf);
    char *reversed = scratch_file(folder, "reversed.pem", span_of(reversed_text));
    ck_assert_msg(tls_load(chain, key, &tls, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(tls->chain_len, 2);
    tls_unref(tls);
    /* The first must be the server's. */
    ck_assert_int_eq(tls_load(reversed, key, &tls, &err), ERR_SYSTEM);
    free(reversed), free(reversed_text), free(chain), free(both), free(authority), free(leaf);
    free(key), free(certificate), free(folder);
}

TEST(what_does_not_belong_together_or_cannot_be_read_says_so) {
    char *folder = scratch_new(), *certificate, *key;
    certificate_files(folder, &certificate, &key);
    char *other_pem = mint_private_pem(mint_key(MINT_P256));
    char *other = scratch_file(folder, "other.key", span_of(other_pem));
    char *empty = scratch_file(folder, "empty", SPAN_LITERAL(""));
    char *garbage = scratch_file(folder, "garbage", SPAN_LITERAL("-----BEGIN CERTIFICATE-----\n"));
    char *mismatch = scratch_text("%s is not the key of the certificate in %s", other, certificate);
    char *no_key = scratch_text("%s holds no usable private key: ", empty);
    char *no_certificate = scratch_text("%s holds no usable certificate: ", garbage);

    expect_refusal(certificate, other, mismatch);
    expect_refusal(certificate, empty, no_key);
    expect_refusal(certificate, certificate, "holds no usable private key: ");
    expect_refusal(garbage, key, no_certificate);
    expect_refusal(empty, key, "holds no usable certificate: ");
    expect_refusal(key, key, "holds no usable certificate: ");
    expect_refusal("/no/such/file", key, "/no/such/file");
    expect_refusal(certificate, "/no/such/file", "cannot read /no/such/file: ");

    free(no_certificate), free(no_key), free(mismatch), free(garbage), free(empty), free(other);
    free(other_pem), free(key), free(certificate), free(folder);
}
