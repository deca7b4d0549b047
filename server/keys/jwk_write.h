/*
 * jwk_write: keys of our own, and what others get of them: the public JWK, its thumbprint, and JWTs
 * signed under the private half. The way back from jwk, and the one place that knows libjwt, which
 * signs and never judges here.
 */
#ifndef SERVER_KEYS_JWK_WRITE_H
#define SERVER_KEYS_JWK_WRITE_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>

#include "common/attr.h"
#include "server/config/algorithm.h"

/* base64url of SHA-256, without the NUL. */
#define JWK_THUMBPRINT_LEN 43

/*
 * The thumbprint of a JWK (RFC 7638 with SHA-256): it names the public key whatever else the JWK
 * says. False where a member that it is made of is missing, for a kty that is not RSA, EC or OKP
 * (RFC 8037 section 2), and without memory.
 */
bool jwk_thumbprint(const json_t *jwk, char ret[JWK_THUMBPRINT_LEN + 1]) MUST_CHECK;

/*
 * The public half of pkey as a new JWK for that algorithm (RFC 7518 section 6, RFC 8037 section 2)
 * with alg, "use": "sig" and kid; NULL: the thumbprint is its kid. The caller owns it. NULL where
 * the type or curve of the key is not the algorithm's, an RSA modulus is beyond 8192 bits, or
 * memory is out. Whether the key is a good one is for jwk_parse() to say.
 */
json_t *jwk_write(const EVP_PKEY *pkey, enum algorithm algorithm, const char *kid);

/*
 * The private key as unencrypted PEM (PKCS#8), as jwk_sign() wants it. A secret; the caller
 * frees it. NULL: failed.
 */
char *jwk_private_pem(const EVP_PKEY *pkey);

/* More than this is not signed: libjwt puts copies of the claims on the stack. */
#define JWK_CLAIMS_MAX (128 * 1024)

/*
 * A JWT in compact form of these claims (the text of a JSON object). Its header has alg, kid and
 * the typ "JWT": libjwt writes no other. algorithm is one of RS* and ES*, and pem a private key for
 * it, parsed anew at each call. The caller frees the text. NULL: failed, or claims are beyond
 * JWK_CLAIMS_MAX. Any thread; leaves OpenSSL's error queue empty.
 */
char *jwk_sign(enum algorithm algorithm, const char *pem, const char *kid,
               const char *claims) MUST_CHECK;

#endif
