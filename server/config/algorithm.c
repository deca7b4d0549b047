#include "server/config/algorithm.h"

static const struct algorithm_info table[ALG_COUNT] = {
    /*             name     type     crv        group        digest    pss  coord  sig */
    [ALG_RS256] = {"RS256", KEY_RSA, NULL, NULL, "SHA256", 0, 0, 0},
    [ALG_RS384] = {"RS384", KEY_RSA, NULL, NULL, "SHA384", 0, 0, 0},
    [ALG_RS512] = {"RS512", KEY_RSA, NULL, NULL, "SHA512", 0, 0, 0},
    [ALG_PS256] = {"PS256", KEY_RSA, NULL, NULL, "SHA256", 1, 0, 0},
    [ALG_PS384] = {"PS384", KEY_RSA, NULL, NULL, "SHA384", 1, 0, 0},
    [ALG_PS512] = {"PS512", KEY_RSA, NULL, NULL, "SHA512", 1, 0, 0},
    [ALG_ES256] = {"ES256", KEY_EC, "P-256", "prime256v1", "SHA256", 0, 32, 64},
    [ALG_ES384] = {"ES384", KEY_EC, "P-384", "secp384r1", "SHA384", 0, 48, 96},
    [ALG_ES512] = {"ES512", KEY_EC, "P-521", "secp521r1", "SHA512", 0, 66, 132},
    [ALG_EDDSA] = {"EdDSA", KEY_OKP, "Ed25519", NULL, NULL, 0, 32, 64},
};

const struct algorithm_info *algorithm_info(enum algorithm algorithm) {
    return &table[algorithm];
}

int algorithm_find(struct span name) {
    for (int i = 0; i < ALG_COUNT; i++)
        if (span_equal_text(name, table[i].name)) return i;
    return -1;
}
