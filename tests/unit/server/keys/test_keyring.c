#include "server/keys/keyring.h"

#include <stdlib.h>

#include "tests/support/mint.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

static struct config *parse_config(const char *yaml) {
    struct config *config = NULL;
    struct config_report report;
    ck_assert_msg(config_parse(span_of(yaml), "f", &config, &report) == 0, "%s",
                  report.count ? report.problems[0].text : "");
    config_report_done(&report);
    return config;
}

static struct keyset *parse_keys(char *jwks) {
    struct keyset *set = NULL;
    struct err_text why;
    ck_assert_int_eq(keyset_parse(span_of(jwks), &set, &why), 0);
    free(jwks);
    return set;
}

TEST(d2_an_issuer_is_found_to_the_letter) {
    struct config *config = parse_config("issuers:\n"
                                         "  - {issuer: \"https://a.example\", audiences: [x]}\n"
                                         "  - {issuer: \"https://a.example/\", audiences: [x]}\n"
                                         "  - {issuer: \"https://a.example/b\", audiences: [x]}\n");
    struct keyring *ring = keyring_new(config);
    static const struct {
        struct span iss;
        int index; /* -1: none */
    } cases[] = {
        {S("https://a.example"), 0},
        {S("https://a.example/"), 1},
        {S("https://a.example/b"), 2},
        {S("https://a.example/b/"), -1},
        {S("https://A.example"), -1},
        {S("https://a.exampl"), -1},
        {S("https://a.example\0"), -1},
        {S(""), -1},
        {SPAN_NONE, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct keyring_entry *entry = keyring_find(ring, cases[i].iss);
        ck_assert_msg(entry == (cases[i].index < 0 ? NULL : &ring->entries[cases[i].index]),
                      "case %zu", i);
    }
    keyring_unref(ring);
    config_unref(config);
}

TEST(a_ring_holds_its_configuration_keys_and_pulse) {
    struct config *config = parse_config("issuers: [{issuer: \"https://a\", audiences: [x]}]\n");
    struct keyset *keys = parse_keys(MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k", NULL)));
    struct pulse *pulse = pulse_new();
    struct keyring *ring = keyring_new(config);
    keyring_set(ring, 0, keys, 42, pulse);
    config_unref(config);
    keyset_unref(keys);
    pulse_unref(pulse);

    ck_assert_ptr_eq(keyring_ref(ring), ring);
    keyring_unref(ring);
    const struct keyring_entry *entry = keyring_find(ring, S("https://a"));
    ck_assert_str_eq(entry->issuer->issuer, "https://a");
    ck_assert_str_eq(entry->keys->keys[0].kid, "k");
    ck_assert_int_eq(entry->stale_at_ms, 42);
    ck_assert(!atomic_load(&entry->pulse->wanted) && !atomic_load(&entry->pulse->fetching));
    keyring_unref(ring);
    keyring_unref(NULL);
    pulse_unref(NULL);
}

TEST(a_ring_may_lack_keys) {
    struct config *config = parse_config("issuers: [{issuer: \"https://a\", audiences: [x]}]\n");
    struct pulse *pulse = pulse_new();
    struct keyring *ring = keyring_new(config);
    keyring_set(ring, 0, NULL, 0, pulse);
    ck_assert_ptr_null(keyring_find(ring, S("https://a"))->keys);
    keyring_unref(ring);
    pulse_unref(pulse);
    config_unref(config);
}

TEST(a_renewed_ring_is_empty_and_finds_the_same_issuers) {
    struct config *config = parse_config("issuers:\n"
                                         "  - {issuer: \"https://a\", audiences: [x]}\n"
                                         "  - {issuer: \"https://b\", audiences: [x]}\n");
    struct pulse *pulse = pulse_new();
    struct keyring *first = keyring_new(config);
    struct keyset *keys = parse_keys(MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k", NULL)));
    for (size_t i = 0; i < 2; i++) keyring_set(first, i, keys, 42, pulse);
    struct keyring *second = keyring_renew(first);
    keyring_unref(first); /* the index lives on */

    ck_assert_ptr_eq(second->config, config);
    ck_assert_uint_eq(second->count, 2);
    ck_assert_ptr_eq(keyring_find(second, S("https://b")), &second->entries[1]);
    ck_assert_ptr_eq(second->entries[1].issuer, &config->issuers[1]);
    ck_assert_ptr_null(second->entries[1].keys);
    ck_assert_ptr_null(keyring_find(second, S("https://c")));
    keyring_unref(second);
    keyset_unref(keys);
    pulse_unref(pulse);
    config_unref(config);
}
