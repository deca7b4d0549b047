/* Signed messages of third-party vectors: from token and key to payload, or refused. */
#include "tests/unit/server/token/vectors.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/token/jwt.h"
#include "server/token/verify.h"
#include "tests/unit/server/token/judge.h"

/*
 * Is this a signature that one of the keys verifies, by the rules a token is judged by? The payload
 * need not be claims: what is tested is the layer below.
 */
static bool verifies(const json_t *keys, const char *token) {
    struct jws jws;
    struct refusal refusal;
    const struct key *key;
    if (!jws_parse(span_of(token), &jws, &refusal)) return false;

    struct keyset *set = vectors_keys(keys);
    bool valid = set && keyset_find(set, jws.kid, jws.algorithm, &key) == KEY_FOUND &&
                 verify_signature(NULL, key, jws.algorithm, jws.signing_input, jws.signature);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    keyset_unref(set);
    jws_done(&jws);
    return valid;
}

/* The token as it would be sent: what is no compact serialization goes in as its JSON text. */
static char *token_of(const json_t *test) {
    const json_t *jws = json_object_get(test, "jws");
    if (!jws) jws = json_object_get(test, "jwe");
    ck_assert_ptr_nonnull(jws);
    return json_is_string(jws) ? strdup(json_string_value(jws)) : json_dumps(jws, JSON_COMPACT);
}

static bool is_one_of(json_int_t number, const json_int_t *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (list[i] == number) return true;
    return false;
}

/*
 * Valid to the letter of their file, and refused here. 346, 347, 350, 351: the token's alg is not
 * the key's own (RFC 7517 section 4.4). 372, 373: a character that base64url does not have.
 */
static const json_int_t refused_though_valid[] = {346, 347, 350, 351, 372, 373};

/* Marked invalid, and the same bytes as number 357, which is valid. */
static const json_int_t same_as_a_valid_one[] = {367, 370};

TEST(c4_wycheproof_json_web_signature) {
    json_t *root = vectors_json("wycheproof/json_web_signature_test.json");
    struct tally asymmetric = {0}, symmetric = {0};
    size_t g, t;
    json_t *group, *test;
    json_array_foreach(json_object_get(root, "testGroups"), g, group) {
        const json_t *public = json_object_get(group, "public");
        const json_t *keys = public ? public : json_object_get(group, "private");
        json_array_foreach(json_object_get(group, "tests"), t, test) {
            json_int_t id = json_integer_value(json_object_get(test, "tcId"));
            char *token = token_of(test);
            bool valid = strcmp(vectors_text(test, "result"), "valid") == 0 &&
                         !is_one_of(id, refused_though_valid, ARRAY_LEN(refused_though_valid));
            if (public)
                tally_add(&asymmetric, "json_web_signature", id, valid, verifies(keys, token));
            else if (!is_one_of(id, same_as_a_valid_one, ARRAY_LEN(same_as_a_valid_one)))
                /* A shared secret verifies nothing here, right or wrong. */
                tally_add(&symmetric, "json_web_signature", id, false, verifies(keys, token));
            free(token);
        }
    }
    json_decref(root);
    tally_check(&asymmetric, "with a public key", 32, 329);
    tally_check(&symmetric, "with a secret", 0, 38);
}

/* Numbers of the valid cases that are signed with a public key; all others are to be refused. */
static void check_sets(const char *file, const json_int_t *valid, size_t count, unsigned total) {
    json_t *root = vectors_json(file);
    struct tally tally = {0};
    size_t g, t;
    json_t *group, *test;
    json_array_foreach(json_object_get(root, "testGroups"), g, group) {
        const json_t *public = json_object_get(group, "public");
        const json_t *keys = public ? public : json_object_get(group, "private");
        json_array_foreach(json_object_get(group, "tests"), t, test) {
            json_int_t id = json_integer_value(json_object_get(test, "tcId"));
            bool expected = is_one_of(id, valid, count);
            if (expected) ck_assert_str_eq(vectors_text(test, "result"), "valid");
            char *token = token_of(test);
            tally_add(&tally, file, id, expected, verifies(keys, token));
            free(token);
        }
    }
    json_decref(root);
    tally_check(&tally, file, (unsigned)count, total - (unsigned)count);
}

TEST(c4_wycheproof_json_web_key) {
    /* The four other valid ones are HS*. */
    static const json_int_t valid[] = {5};
    check_sets("wycheproof/json_web_key_test.json", valid, ARRAY_LEN(valid), 26);
}

TEST(c4_wycheproof_json_web_crypto) {
    /* The four other valid ones are HS* and encrypted. */
    static const json_int_t valid[] = {18, 33};
    check_sets("wycheproof/json_web_crypto_test.json", valid, ARRAY_LEN(valid), 83);
}

TEST(c4_nothing_encrypted_is_ever_opened) {
    check_sets("wycheproof/json_web_encryption_test.json", NULL, 0, 139);
}

/* --- examples of the RFCs -------------------------------------------------------------------- */

static char *compact_of(const char *path, json_t **ret_key) {
    json_t *root = vectors_json(path);
    json_t *input = json_object_get(root, "input");
    *ret_key = json_incref(json_object_get(input, "key"));
    json_t *output = json_object_get(root, "output");
    const char *compact = json_string_value(json_object_get(output, "compact"));
    char *token =
        compact ? strdup(compact) : json_dumps(json_object_get(output, "json"), JSON_COMPACT);
    json_decref(root);
    ck_assert_ptr_nonnull(token);
    return token;
}

TEST(the_signatures_of_the_jose_cookbook) {
    static const struct {
        const char *path;
        bool valid;
    } cases[] = {
        {"jose-cookbook/jws/4_1.rsa_v15_signature.json", true},
        {"jose-cookbook/jws/4_2.rsa-pss_signature.json", true},
        {"jose-cookbook/jws/4_3.ecdsa_signature.json", true},
        {"jose-cookbook/curve25519/jws.json", true},
        {"jose-cookbook/jws/4_4.hmac-sha2_integrity_protection.json", false},
        {"jose-cookbook/jws/4_5.signature_with_detached_content.json", false},
        {"jose-cookbook/jws/4_6.protecting_specific_header_fields.json", false},
        {"jose-cookbook/jws/4_7.protecting_content_only.json", false},
        {"jose-cookbook/jws/4_8.multiple_signatures.json", false},
        {"jose-cookbook/rfc7797/4.2.hmac-sha2_b64_false.json", false},
        {"jose-cookbook/rfc7797/hmac-sha2_b64_false.json", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *key;
        char *token = compact_of(cases[i].path, &key);
        if (json_is_object(key)) json_object_del(key, "d"); /* what an issuer publishes */
        ck_assert_msg(verifies(key, token) == cases[i].valid, "%s", cases[i].path);
        char *place = strrchr(token, '.');
        if (cases[i].valid) {
            place[10] = place[10] == 'A' ? 'B' : 'A';
            ck_assert_msg(!verifies(key, token), "%s, touched", cases[i].path);
        }
        free(token);
        json_decref(key);
    }
}

TEST(the_ed25519_example_of_rfc8037) {
    json_t *root = vectors_json("rfc/rfc8037_ed25519.json");
    ck_assert(verifies(json_object_get(root, "jwk"), vectors_text(root, "jws")));
    json_decref(root);
}

/* No signature is printed there, so that claims and header are signed by a key of ours. */
TEST(the_access_token_of_rfc9068_satisfies_the_strict_profile) {
    json_t *root = vectors_json("rfc/rfc9068_example.json");
    char *header = json_dumps(json_object_get(root, "header"), JSON_COMPACT);
    char *claims = json_dumps(json_object_get(root, "claims"), JSON_COMPACT);
    char *jwks[] = {MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "RjEwOwOA", "RS256"))};
    struct judge judge;
    judge_open_yaml(&judge,
                    "issuers: [{issuer: \"https://authorization-server.example.com/\", jwks_uri: "
                    "\"https://authorization-server.example.com/jwks\", audiences: "
                    "[\"https://rs.example.com/\"], token_type: at+jwt}]\n"
                    "routes: [{path: /, respond: identity, require: {scopes: [reademail]}}]\n",
                    jwks, 1);
    judge.now = 1639528911;
    char *token = mint_token(header, claims, "RS256", mint_key(MINT_RSA));
    struct verdict verdict = judge_expect(&judge, "example", strdup(token), 200, "");
    ck_assert_str_eq(verdict.user, "5ba552d67");
    ck_assert_str_eq(verdict.scopes, "openid|profile|reademail");
    judge.now += 61;
    judge_expect(&judge, "later", token, 401, "token_expired");
    free(claims);
    free(header);
    json_decref(root);
    judge_done(&judge);
}

/* A token bound by DPoP, by the very words of RFC 9449: refused as a bearer token. */
TEST(the_bound_token_of_rfc9449_is_refused) {
    json_t *root = vectors_json("rfc/rfc9449_dpop.json");
    char *claims = json_dumps(json_object_get(root, "cnf_claims"), JSON_COMPACT);
    char *jwks[] = {MINT_JWKS(mint_jwk(mint_key(MINT_P256), "BeALkb", NULL))};
    struct judge judge;
    judge_open_yaml(&judge,
                    "issuers: [{issuer: \"https://server.example.com\", jwks_uri: "
                    "\"https://server.example.com/jwks\", allow_any_audience: true}]\n"
                    "routes: [{path: /, respond: identity}]\n",
                    jwks, 1);
    judge.now = 1562262700;
    judge_expect(&judge, "its signature is another key's", strdup(vectors_text(root, "cnf_jwt")),
                 401, "signature_invalid");
    judge_expect(
        &judge, "signed by ours",
        mint_token("{\"alg\":\"ES256\",\"kid\":\"BeALkb\"}", claims, "ES256", mint_key(MINT_P256)),
        401, "token_bound");
    size_t i;
    json_t *proof;
    json_array_foreach(json_object_get(root, "proofs"), i, proof)
        judge_expect(&judge, "a proof is no token", strdup(vectors_text(proof, "proof")), 401,
                     "type_not_accepted");
    ck_assert_uint_gt(i, 1);
    free(claims);
    json_decref(root);
    judge_done(&judge);
}
