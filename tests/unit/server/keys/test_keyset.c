#include "server/keys/keyset.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

static struct keyset *parse_good(char *jwks) {
    struct keyset *set = NULL;
    struct err_text why = {""};
    ck_assert_msg(keyset_parse(span_of(jwks), &set, &why) == 0, "%s", why.text);
    free(jwks);
    return set;
}

static void expect_refused(struct span text, int code, const char *why) {
    struct keyset *set = NULL;
    struct err_text err = {""};
    int r = keyset_parse(text, &set, &err);
    ck_assert_msg(r == code && !set && strcmp(err.text, why) == 0, "%.*s: %d %s",
                  (int)(text.len < 80 ? text.len : 80), text.ptr, r, err.text);
}

#define NO_KEYS "has no \"keys\" that is an array"

TEST(f1_what_is_no_key_set_is_refused) {
    static const struct {
        struct span text;
        const char *why;
    } cases[] = {
        {S("[]"), "is not a JSON object"},
        {S("{}"), NO_KEYS},
        {S("{\"keys\":{}}"), NO_KEYS},
        {S("{\"keys\":null}"), NO_KEYS},
        {S("{\"keys\":\"\"}"), NO_KEYS},
        {S("{\"Keys\":[]}"), NO_KEYS},
        {S("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}"), NO_KEYS},
        {S("<!DOCTYPE html><html></html>"), "is not valid JSON (at byte 1)"},
        {S("{\"keys\":[{\"kty\":\"RSA\""), "is not valid JSON (at byte 21)"},
        {S("{\"keys\":[]}{\"keys\":[]}"), "is not valid JSON (at byte 12)"},
        {S(""), "is empty"},
        {S("null"), "is not a JSON object"},
        {S("{\"keys\":[],\"keys\":[]}"), "names a member twice (at byte 17)"},
        {S("{\"keys\":[]}\0"), "holds a NUL byte"},
        {S("\xef\xbb\xbf{\"keys\":[]}"), "is not valid JSON (at byte 3)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_refused(cases[i].text, ERR_SYNTAX, cases[i].why);
    expect_refused(SPAN_NONE, ERR_SYNTAX, "is empty");
}

TEST(f2_a_set_without_a_usable_key_is_refused) {
    expect_refused(S("{\"keys\":[]}"), ERR_SYNTAX, "holds no usable key (0 unusable)");
    expect_refused(S("{\"keys\":[null]}"), ERR_SYNTAX,
                   "holds no usable key (1 unusable; the first is not a JSON object)");
    expect_refused(
        S("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"},{\"kty\":\"RSA\"}]}"), ERR_SYNTAX,
        "holds no usable key (2 unusable; the first has a \"kty\" other than RSA, EC and "
        "OKP)");
}

TEST(f3_unusable_keys_are_skipped_one_by_one_with_their_reason) {
    static const struct {
        const char *jwk;
        const char *kid; /* NULL: none told */
        const char *why;
    } bad[] = {
        {"null", NULL, "is not a JSON object"},
        {"1", NULL, "is not a JSON object"},
        {"[]", NULL, "is not a JSON object"},
        {"{}", NULL, "lacks a \"kty\" that is a string"},
        {"{\"kid\":\"a\"}", "a", "lacks a \"kty\" that is a string"},
        {"{\"kid\":1,\"kty\":\"RSA\"}", NULL, "has a \"kid\" that is not a string"},
        {"{\"kid\":\"b\",\"kty\":\"oct\",\"k\":\"AA\"}", "b",
         "has a \"kty\" other than RSA, EC and OKP"},
        {"{\"kid\":\"c\",\"kty\":\"RSA\",\"use\":\"enc\"}", "c",
         "has a \"use\" other than \"sig\""},
        {"{\"kid\":\"d\",\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}", "d",
         "is on a curve that is not accepted"},
        {"{\"kid\":\"e\",\"kty\":\"EC\",\"crv\":\"P-256\"}", "e", "lacks \"x\""},
    };
    json_t *keys[2 * ARRAY_LEN(bad) + 1];
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        keys[count++] = json_loads(bad[i].jwk, JSON_DECODE_ANY, NULL);
        if (i % 5 == 0)
            keys[count++] = mint_jwk(mint_key(MINT_P256), i ? "good-2" : "good-1", NULL);
    }
    struct keyset *set = parse_good(mint_jwks_of(keys, count));
    ck_assert_uint_eq(set->count, 2);
    ck_assert_str_eq(set->keys[0].kid, "good-1");
    ck_assert_str_eq(set->keys[1].kid, "good-2");
    ck_assert_uint_eq(set->skipped_count, ARRAY_LEN(bad));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_str_eq(set->skipped[i].why, bad[i].why);
        ck_assert((set->skipped[i].kid == NULL) == (bad[i].kid == NULL));
        if (bad[i].kid) ck_assert_str_eq(set->skipped[i].kid, bad[i].kid);
        ck_assert_uint_eq(set->skipped[i].index, i + (i > 0) + (i > 5));
    }
    keyset_unref(set);
}

/* --- finding --------------------------------------------------------------------------------- */

struct find_case {
    const char *kid; /* NULL: the token names none */
    enum algorithm algorithm;
    enum key_found found;
    int index; /* of the key found */
};

static void expect_found(const struct keyset *set, const struct find_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct key *untouched = (const struct key *)&count, *key = untouched;
        enum key_found found = keyset_find(set, cases[i].kid ? span_of(cases[i].kid) : SPAN_NONE,
                                           cases[i].algorithm, &key);
        ck_assert_msg(found == cases[i].found, "case %zu: %d", i, found);
        ck_assert(key == (found == KEY_FOUND ? &set->keys[cases[i].index] : untouched));
    }
}

TEST(f4_keys_of_one_kid_are_told_apart_by_their_algorithm_or_not_at_all) {
    struct keyset *set = parse_good(MINT_JWKS(
        mint_jwk(mint_key(MINT_RSA), "a", NULL), mint_jwk(mint_key(MINT_P256), "a", NULL),
        mint_jwk(mint_key(MINT_RSA_OTHER), "b", "RS256"),
        mint_jwk(mint_key(MINT_RSA_OTHER), "b", "PS256"), mint_jwk(mint_key(MINT_P256), "c", NULL),
        mint_jwk(mint_key(MINT_P256_OTHER), "c", NULL), mint_jwk(mint_key(MINT_P384), "c", NULL)));
    static const struct find_case cases[] = {
        {"a", ALG_RS256, KEY_FOUND, 0},     {"a", ALG_PS512, KEY_FOUND, 0},
        {"a", ALG_ES256, KEY_FOUND, 1},     {"a", ALG_ES384, KEY_UNFIT, 0},
        {"a", ALG_EDDSA, KEY_UNFIT, 0},     {"b", ALG_RS256, KEY_FOUND, 2},
        {"b", ALG_PS256, KEY_FOUND, 3},     {"b", ALG_RS384, KEY_UNFIT, 0},
        {"c", ALG_ES256, KEY_AMBIGUOUS, 0}, {"c", ALG_ES384, KEY_FOUND, 6},
        {"c", ALG_RS256, KEY_UNFIT, 0},
    };
    expect_found(set, cases, ARRAY_LEN(cases));
    keyset_unref(set);
}

/* Even where both are the same key: which one is meant cannot be told, and nobody tries. */
TEST(f4_the_same_key_twice_is_ambiguous) {
    struct keyset *set = parse_good(MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "a", NULL),
                                              mint_jwk(mint_key(MINT_RSA), "a", NULL)));
    static const struct find_case cases[] = {{"a", ALG_RS256, KEY_AMBIGUOUS, 0},
                                             {NULL, ALG_RS256, KEY_AMBIGUOUS, 0}};
    expect_found(set, cases, ARRAY_LEN(cases));
    keyset_unref(set);
}

TEST(f5_keys_without_a_kid_serve_only_tokens_without_one) {
    struct keyset *set = parse_good(MINT_JWKS(mint_jwk(mint_key(MINT_RSA), NULL, NULL),
                                              mint_jwk(mint_key(MINT_P256), NULL, NULL),
                                              mint_jwk(mint_key(MINT_P256_OTHER), "", NULL)));
    static const struct find_case cases[] = {
        {NULL, ALG_RS256, KEY_FOUND, 0},       {"a", ALG_RS256, KEY_UNKNOWN, 0},
        {"", ALG_RS256, KEY_UNFIT, 0},         {"", ALG_ES256, KEY_FOUND, 2},
        {NULL, ALG_ES256, KEY_AMBIGUOUS, 0},   {NULL, ALG_EDDSA, KEY_UNKNOWN, 0},
        {"(null)", ALG_RS256, KEY_UNKNOWN, 0},
    };
    expect_found(set, cases, ARRAY_LEN(cases));
    keyset_unref(set);
}

TEST(a_kid_is_compared_to_the_letter) {
    struct keyset *set = parse_good(MINT_JWKS(mint_jwk(mint_key(MINT_RSA), "Key-1", NULL)));
    static const struct find_case cases[] = {
        {"Key-1", ALG_RS256, KEY_FOUND, 0},    {"key-1", ALG_RS256, KEY_UNKNOWN, 0},
        {"Key-1 ", ALG_RS256, KEY_UNKNOWN, 0}, {"Key-", ALG_RS256, KEY_UNKNOWN, 0},
        {"Key-11", ALG_RS256, KEY_UNKNOWN, 0}, {"", ALG_RS256, KEY_UNKNOWN, 0},
        {NULL, ALG_RS256, KEY_FOUND, 0},
    };
    expect_found(set, cases, ARRAY_LEN(cases));
    const struct key *key = NULL;
    ck_assert_int_eq(keyset_find(set, S("Key-1\0x"), ALG_RS256, &key), KEY_UNKNOWN);
    keyset_unref(set);
}

/* --- secrets, limits, sharing ---------------------------------------------------------------- */

TEST(f6_private_members_are_not_in_the_document) {
    json_t *jwk = mint_jwk(mint_key(MINT_RSA), "a", NULL);
    json_object_set_new(jwk, "d", json_string("PRIVATE-d"));
    json_object_set_new(jwk, "p", json_string("PRIVATE-p"));
    json_object_set_new(jwk, "oth", json_pack("[s]", "PRIVATE-oth"));
    struct keyset *set = parse_good(
        MINT_JWKS(jwk, json_pack("{s:s,s:s,s:s}", "kty", "oct", "kid", "o", "k", "PRIVATE-k")));
    ck_assert(set->keys[0].had_private);
    ck_assert_ptr_null(strstr(set->document, "PRIVATE"));
    ck_assert_ptr_nonnull(strstr(set->document, "\"n\""));
    keyset_unref(set);
}

TEST(the_document_of_a_set_is_the_set_without_what_was_skipped) {
    struct keyset *set =
        parse_good(MINT_JWKS(json_null(), mint_jwk(mint_key(MINT_RSA), "a", "PS256"),
                             mint_jwk(mint_key(MINT_P521), NULL, NULL),
                             mint_jwk(mint_key(MINT_ED25519), "\xc3\xa4", NULL)));
    struct keyset *again = parse_good(strdup(set->document));
    ck_assert_uint_eq(set->skipped_count, 1);
    ck_assert_uint_eq(again->skipped_count, 0);
    ck_assert_uint_eq(again->count, set->count);
    ck_assert_str_eq(again->document, set->document);
    for (size_t i = 0; i < set->count; i++) {
        ck_assert(EVP_PKEY_eq(again->keys[i].pkey, set->keys[i].pkey) == 1);
        ck_assert_uint_eq(again->keys[i].algorithms, set->keys[i].algorithms);
        ck_assert_int_eq(again->keys[i].kid != NULL, set->keys[i].kid != NULL);
    }
    keyset_unref(again);
    keyset_unref(set);
}

static char *many_keys(size_t count) {
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    json_t *jwk = mint_jwk(mint_key(MINT_ED25519), NULL, NULL);
    char *one = json_dumps(jwk, JSON_COMPACT);
    json_decref(jwk);
    for (size_t i = 0; i < count; i++) fprintf(out, "%s%s", i ? "," : "{\"keys\":[", one);
    fputs("]}", out);
    fclose(out);
    free(one);
    return text;
}

TEST(f8_a_set_has_a_hundred_keys_at_most) {
    struct keyset *set = parse_good(many_keys(100));
    ck_assert_uint_eq(set->count, 100);
    keyset_unref(set);
    char *text = many_keys(101);
    expect_refused(span_of(text), ERR_LIMIT, "holds 101 keys; 100 are accepted");
    free(text);
    text = many_keys(10000);
    expect_refused(span_of(text), ERR_LIMIT, "holds 10000 keys; 100 are accepted");
    free(text);
}

static char *filled(size_t len, char byte) {
    char *text = malloc(len + 1);
    memset(text, byte, len);
    text[len] = '\0';
    return text;
}

TEST(f8_large_and_deep_keys_are_skipped_or_refuse_the_set) {
    char *large = filled(5000000, 'A');
    struct keyset *set = parse_good(MINT_JWKS(
        mint_jwk(mint_key(MINT_RSA), large, NULL),
        json_pack("{s:s,s:s,s:s}", "kty", "RSA", "n", large, "e", "AQAB"),
        json_pack("{s:s,s:s,s:s,s:s}", "kty", "EC", "crv", "P-256", "x", large, "y", "AA"),
        json_pack("{s:s,s:s}", "kty", large, "n", "AQAB"),
        mint_jwk(mint_key(MINT_P256), "good", NULL)));
    static const char *const why[] = {
        "has a \"kid\" of more than 1024 bytes", "has a \"n\" that is too long",
        "has a \"x\" that is too long", "has a \"kty\" other than RSA, EC and OKP"};
    ck_assert_uint_eq(set->count, 1);
    ck_assert_uint_eq(set->skipped_count, ARRAY_LEN(why));
    for (size_t i = 0; i < ARRAY_LEN(why); i++) ck_assert_str_eq(set->skipped[i].why, why[i]);
    keyset_unref(set);
    free(large);

    char *open = filled(1000, '['), *close = filled(1000, ']');
    char *deep = scratch_text("{\"keys\":[],\"x\":%s%s}", open, close);
    expect_refused(span_of(deep), ERR_LIMIT, "is nested deeper than 32 levels");
    free(deep);
    free(open);
    free(close);
}

TEST(a_set_lives_as_long_as_somebody_holds_it) {
    struct keyset *set = parse_good(MINT_JWKS(mint_jwk(mint_key(MINT_P256), "a", NULL)));
    ck_assert_ptr_eq(keyset_ref(set), set);
    keyset_unref(set);
    ck_assert_str_eq(set->keys[0].kid, "a"); /* the sanitizer would see a use after free */
    keyset_unref(set);
    keyset_unref(NULL);
}
