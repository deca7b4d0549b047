/*
 * What an issuer publishes, and what strangers make us ask it: rotation, unknown kids, and
 * documents that are too large, misleading or cached for ever.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/certificate.h"
#include "tests/support/daemon.h"
#include "tests/support/issuer.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define PROFILE "/profile/"

static char *token_of(const struct issuer *issuer, enum mint_key key, const char *kid) {
    return mint_good(issuer_url(issuer), "ES256", mint_key(key), kid, NULL);
}

static void serve(struct issuer *issuer, char *jwks) {
    issuer_serve_keys(issuer, jwks);
    free(jwks);
}

static void serve_first_key(struct issuer *issuer) {
    serve(issuer, MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", NULL)));
}

static void serve_both_keys(struct issuer *issuer) {
    serve(issuer, MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", NULL),
                            mint_jwk(mint_key(MINT_P256_OTHER), "k2", NULL)));
}

static void check_status(const struct daemon *daemon, const char *token, int expected) {
    struct response response;
    int status = daemon_get(daemon, PROFILE, token, &response);
    ck_assert_msg(status == expected, "%d where %d was expected: %s", status, expected,
                  response.body);
    client_response_done(&response);
}

/* --- rotation -------------------------------------------------------------------------------- */

TEST_WITHIN(rotation_serves_the_new_kid_at_once_and_drops_the_old_with_the_set, 40) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    serve_first_key(issuer);
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "refresh_cooldown: 1s", "");
    char *old = token_of(issuer, MINT_P256, "k1"), *new = token_of(issuer, MINT_P256_OTHER, "k2");
    char *newest = mint_good(issuer_url(issuer), "ES384", mint_key(MINT_P384), "k3", NULL);
    ck_assert(daemon_wait_status(daemon, PROFILE, old, 200, 5000));

    serve_both_keys(issuer);
    process_sleep_ms(1100);
    long before = process_now_ms();
    check_status(daemon, new, 200); /* the very first request */
    ck_assert_int_lt(process_now_ms() - before, 1000);
    check_status(daemon, old, 200);

    serve(issuer, MINT_JWKS(mint_jwk(mint_key(MINT_P384), "k3", NULL)));
    process_sleep_ms(1100);
    check_status(daemon, newest, 200);
    check_status(daemon, old, 401);
    check_status(daemon, new, 401);
    daemon_stop(daemon);
    free(old);
    free(new);
    free(newest);
    issuer_stop(issuer);
}

TEST_WITHIN(rotation_without_kids_serves_the_new_key_at_once, 40) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    serve(issuer, MINT_JWKS(mint_jwk(mint_key(MINT_P256), NULL, NULL)));
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "refresh_cooldown: 1s", "");
    char *old = token_of(issuer, MINT_P256, NULL), *new = token_of(issuer, MINT_P256_OTHER, NULL);
    ck_assert(daemon_wait_status(daemon, PROFILE, old, 200, 5000));

    serve(issuer, MINT_JWKS(mint_jwk(mint_key(MINT_P256_OTHER), NULL, NULL)));
    process_sleep_ms(1100);
    check_status(daemon, new, 200);
    check_status(daemon, old, 401);
    daemon_stop(daemon);
    free(old);
    free(new);
    issuer_stop(issuer);
}

TEST_WITHIN(many_requests_with_a_new_kid_share_one_fetch_and_all_succeed, 40) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    serve_first_key(issuer);
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "refresh_cooldown: 1s", "");
    char *old = token_of(issuer, MINT_P256, "k1"), *new = token_of(issuer, MINT_P256_OTHER, "k2");
    ck_assert(daemon_wait_status(daemon, PROFILE, old, 200, 5000));
    int fetched = issuer_hits(issuer, ISSUER_JWKS);

    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256_OTHER), "k2", NULL));
    issuer_set(issuer, ISSUER_JWKS,
               &(struct issuer_behaviour){.body = span_of(jwks), .interval_ms = 300});
    process_sleep_ms(1100);
    struct client *clients[16];
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        clients[i] = client_connect(daemon->port);
        ck_assert(client_sendf(clients[i],
                               "GET %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
                               PROFILE, new));
    }
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        struct response response;
        ck_assert_int_eq(client_read(clients[i], 5000, &response), CLIENT_OK);
        ck_assert_msg(response.status == 200, "client %zu: %d", i, response.status);
        client_response_done(&response);
        client_free(clients[i]);
    }
    ck_assert_int_eq(issuer_hits(issuer, ISSUER_JWKS), fetched + 1);
    daemon_stop(daemon);
    free(jwks);
    free(old);
    free(new);
    issuer_stop(issuer);
}

/* --- B13, B14 -------------------------------------------------------------------------------- */

/* count tokens, each with a kid nobody has, on one connection, one after the other. */
static void flood(const struct issuer *issuer, const struct daemon *daemon, int count, int status) {
    struct client *client = client_connect(daemon->port);
    for (int i = 0; i < count; i++) {
        char *kid = scratch_text("stranger-%d", i);
        char *token = token_of(issuer, MINT_P256_OTHER, kid);
        struct response response;
        ck_assert(client_sendf(client,
                               "GET %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
                               PROFILE, token));
        ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
        ck_assert_msg(response.status == status, "request %d: %d", i, response.status);
        client_response_done(&response);
        free(token);
        free(kid);
    }
    client_free(client);
}

TEST_WITHIN(an_unknown_kid_makes_one_fetch_and_then_401, 40) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    serve_first_key(issuer);
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "", "");
    char *token = token_of(issuer, MINT_P256, "k1");
    ck_assert(daemon_wait_status(daemon, PROFILE, token, 200, 5000));
    int fetched = issuer_hits(issuer, ISSUER_JWKS);
    flood(issuer, daemon, 1, 401);
    ck_assert_int_eq(issuer_hits(issuer, ISSUER_JWKS), fetched + 1);
    check_status(daemon, token, 200);
    daemon_stop(daemon);
    free(token);
    issuer_stop(issuer);
}

TEST_WITHIN(a_flood_of_unknown_kids_makes_one_fetch_a_cooldown_and_harms_no_good_token, 60) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    serve_first_key(issuer);
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "refresh_cooldown: 30s", "");
    char *token = token_of(issuer, MINT_P256, "k1");
    ck_assert(daemon_wait_status(daemon, PROFILE, token, 200, 5000));
    int fetched = issuer_hits(issuer, ISSUER_JWKS);
    long before = process_now_ms();
    for (int round = 0; round < 20; round++) {
        flood(issuer, daemon, 50, 401);
        check_status(daemon, token, 200);
    }
    ck_assert_int_lt(process_now_ms() - before, 25000);
    ck_assert_int_eq(issuer_hits(issuer, ISSUER_JWKS), fetched + 1);
    daemon_stop(daemon);
    free(token);
    issuer_stop(issuer);
}

TEST_WITHIN(the_cooldown_holds_when_the_fetch_fails_or_there_never_were_keys, 40) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    serve(issuer, strdup("{\"keys\":[]}"));
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "", "");
    ck_assert(issuer_wait_hits(issuer, ISSUER_JWKS, 1, 5000));
    long before = process_now_ms();
    flood(issuer, daemon, 200, 503);
    long took = process_now_ms() - before;
    /* The retries of the backoff, from one second on, and one forced by the flood. */
    ck_assert_int_le(issuer_hits(issuer, ISSUER_JWKS), 3 + took / 800);
    daemon_stop(daemon);
    issuer_stop(issuer);
}

/* --- discovery: F9 --------------------------------------------------------------------------- */

TEST_WITHIN(discovery_of_another_issuer_is_refused_and_both_are_named, 40) {
    static const char *const suffixes[] = {"/", "/oauth2/default", ".evil.example"};
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        struct issuer *issuer = issuer_start(ISSUER_PLAIN);
        serve_first_key(issuer);
        char *other = scratch_text("%s%s", issuer_url(issuer), suffixes[i]);
        char *discovery = scratch_text("{\"issuer\":\"%s\",\"jwks_uri\":\"%s%s\"}", other,
                                       issuer_url(issuer), ISSUER_JWKS);
        issuer_answer(issuer, ISSUER_DISCOVERY, 200, discovery);
        struct daemon *daemon = daemon_start_for(issuer_url(issuer), "", "");
        char *token = token_of(issuer, MINT_P256, "k1");
        ck_assert_msg(process_wait_errors(daemon->process, other, 5000), "%s is not named", other);
        check_status(daemon, token, 503);
        ck_assert_int_eq(issuer_hits(issuer, ISSUER_JWKS), 0);
        daemon_stop(daemon);
        free(token);
        free(discovery);
        free(other);
        issuer_stop(issuer);
    }
}

TEST_WITHIN(a_jwks_uri_that_is_not_https_or_not_http_at_all_is_refused, 40) {
    struct issuer *issuer = issuer_start(ISSUER_TLS), *plain = issuer_start(ISSUER_PLAIN);
    serve_first_key(plain);
    char *plain_uri = scratch_text("%s%s", issuer_url(plain), ISSUER_JWKS);
    const char *const uris[] = {plain_uri, "http://idp.example/jwks", "file:///etc/hostname",
                                "gopher://127.0.0.1:1/x"};
    char *trust = scratch_text("fetch: {ca_file: \"%s\"}\n", certificate_authority_file());
    char *token = token_of(issuer, MINT_P256, "k1");
    for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
        char *discovery =
            scratch_text("{\"issuer\":\"%s\",\"jwks_uri\":\"%s\"}", issuer_url(issuer), uris[i]);
        issuer_answer(issuer, ISSUER_DISCOVERY, 200, discovery);
        struct daemon *daemon = daemon_start_for(issuer_url(issuer), "", trust);
        ck_assert_msg(process_wait_errors(daemon->process, "jwks_uri", 5000), "%s", uris[i]);
        check_status(daemon, token, 503);
        daemon_stop(daemon);
        free(discovery);
    }
    ck_assert_int_eq(issuer_connections(plain), 0);
    free(token);
    free(trust);
    free(plain_uri);
    issuer_stop(plain);
    issuer_stop(issuer);
}

/* --- size and depth: F8 ---------------------------------------------------------------------- */

static char *many_keys(int count) {
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        char *kid = scratch_text("k%d", i);
        json_array_append_new(list, mint_jwk(mint_key(MINT_P256), kid, NULL));
        free(kid);
    }
    json_t *set = json_pack("{s:o}", "keys", list);
    char *text = json_dumps(set, JSON_COMPACT);
    json_decref(set);
    return text;
}

static char *repeat(const char *before, const char *piece, int count, const char *after) {
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    fputs(before, out);
    for (int i = 0; i < count; i++) fputs(piece, out);
    fputs(after, out);
    fclose(out);
    return text;
}

TEST_WITHIN(an_excessive_key_set_fails_the_refresh_and_keeps_the_keys, 60) {
    char *bodies[] = {
        many_keys(10000),
        repeat("{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"", "AAAAAAAA", 5 << 17, "\"}]}"),
        repeat("{\"keys\":", "[", 1000, ""),
        repeat("{\"keys\":[],\"x\":", "{\"x\":", 100000, "1}"),
    };
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    serve_first_key(issuer);
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "refresh_interval: 1s", "");
    char *token = token_of(issuer, MINT_P256, "k1");
    ck_assert(daemon_wait_status(daemon, PROFILE, token, 200, 5000));
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        int failures = process_count_errors(daemon->process, "keys not refreshed");
        issuer_serve_keys(issuer, bodies[i]);
        int hits = issuer_hits(issuer, ISSUER_JWKS);
        ck_assert(issuer_wait_hits(issuer, ISSUER_JWKS, hits + 2, 5000));
        ck_assert_msg(process_count_errors(daemon->process, "keys not refreshed") > failures,
                      "row %zu", i);
        check_status(daemon, token, 200);
        free(bodies[i]);
    }
    daemon_stop(daemon);
    free(token);
    issuer_stop(issuer);
}

/* --- cache lifetime: F10 --------------------------------------------------------------------- */

TEST_WITHIN(the_cache_lifetime_of_the_answer_is_kept_within_bounds, 60) {
    static const struct {
        const char *headers;
        const char *more;
        int least, most; /* fetches within 3.5 s */
    } rows[] = {
        {"Cache-Control: max-age=0\r\n", "refresh_cooldown: 1s", 1, 4},
        {"Cache-Control: no-store\r\n", "refresh_cooldown: 1s", 1, 4},
        {"Cache-Control: max-age=-5\r\n", "refresh_cooldown: 1s", 1, 4},
        {"Cache-Control: max-age=5\r\nAge: -9\r\n", "refresh_cooldown: 1s", 1, 4},
        {"Cache-Control: max-age=5\r\nAge: 1000000000000\r\n", "refresh_cooldown: 1s", 1, 4},
        {"Cache-Control: max-age=1000000000000\r\n", "refresh_interval: 1s", 3, 5},
        {"Cache-Control: public, max-age=1\r\n", "refresh_cooldown: 1s", 3, 5},
        {"Cache-Control: max-age=1\r\n", "refresh_cooldown: 30s", 1, 1},
        {"", "", 1, 1},
    };
    struct issuer *issuers[ARRAY_LEN(rows)];
    struct daemon *daemons[ARRAY_LEN(rows)];
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", NULL));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        issuers[i] = issuer_start(ISSUER_PLAIN);
        issuer_set(issuers[i], ISSUER_JWKS,
                   &(struct issuer_behaviour){.headers = rows[i].headers, .body = span_of(jwks)});
        daemons[i] = daemon_start_for(issuer_url(issuers[i]), rows[i].more, "");
    }
    process_sleep_ms(3500);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int hits = issuer_hits(issuers[i], ISSUER_JWKS);
        ck_assert_msg(hits >= rows[i].least && hits <= rows[i].most, "row %zu: %d fetches", i,
                      hits);
        daemon_stop(daemons[i]);
        issuer_stop(issuers[i]);
    }
    free(jwks);
}
