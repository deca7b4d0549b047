/* The signed assertion that upstreams get, and the admin listener where its keys are. */
#include "common/clock.h"
#include "common/json.h"
#include "server/keys/keyset.h"
#include "server/token/jws.h"
#include "server/token/verify.h"
#include "tests/integration/proxied.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

static struct proxied start(const char *rest) {
    return proxied_start(&(struct proxied_options){.upstream = ", assertion: true", .rest = rest});
}

static char *admin_line(int *ret_port) {
    *ret_port = process_free_port();
    return scratch_text("admin: {address: \"127.0.0.1:%d\"}\n", *ret_port);
}

/* A request with the scene's token and that header; the assertion that arrived, copied. */
static char *ask(struct proxied *proxied, const char *header) {
    char *headers = scratch_text("Authorization: Bearer %s\r\n%s", proxied->scene.token, header);
    const struct upstream_request *seen = proxied_get(proxied, "/orders/1", headers);
    ck_assert_int_eq(proxied_count(seen, "X-Auth-Assertion"), 1);
    struct span assertion = upstream_header(seen, "X-Auth-Assertion");
    free(headers);
    return scratch_text("%.*s", SPAN_PRINTF(assertion));
}

static struct keyset *fetch_keys(int port) {
    struct response response;
    struct keyset *keys;
    struct err_text err;
    ck_assert_int_eq(http_get(port, "/.well-known/jwks.json", NULL, &response), 200);
    ck_assert_msg(keyset_parse(span_of(response.body), &keys, &err) == 0, "%s", err.text);
    client_response_done(&response);
    return keys;
}

static void check_claims(const struct jws *jws) {
    struct err_text err;
    struct span text;
    json_t *claims;
    int64_t exp;
    ck_assert_msg(json_read_object(jws->payload, &claims, &err) == 0, "%s", err.text);
    ck_assert(json_find_string(claims, "iss", &text) == JSON_FOUND);
    ck_assert(span_equal_text(text, "bearerd"));
    ck_assert(json_find_string(claims, "aud", &text) == JSON_FOUND);
    ck_assert(span_equal_text(text, "up"));
    ck_assert(json_find_string(claims, "sub", &text) == JSON_FOUND);
    ck_assert(span_equal_text(text, "alice"));
    ck_assert(json_find_string(claims, "token_issuer", &text) == JSON_FOUND);
    ck_assert(span_equal_text(text, SCENE_ISSUER));
    ck_assert(json_find_seconds(claims, "exp", &exp) == JSON_FOUND);
    ck_assert_int_gt(exp, clock_wall());
    ck_assert_int_le(exp, clock_wall() + 60);
    json_decref(claims);
}

TEST(an_upstream_can_verify_who_is_calling_by_the_keys_on_the_admin_listener) {
    int port;
    char *rest = admin_line(&port);
    struct proxied proxied = start(rest);
    char *assertion = ask(&proxied, "");
    struct keyset *keys = fetch_keys(port);
    struct refusal refusal;
    const struct key *key;
    struct jws jws;
    ck_assert_msg(jws_parse(span_of(assertion), &jws, &refusal), "%s", refusal.text);
    ck_assert_int_eq(keyset_find(keys, jws.kid, jws.algorithm, &key), KEY_FOUND);
    ck_assert(verify_signature(NULL, key, jws.algorithm, jws.signing_input, jws.signature));
    check_claims(&jws);
    jws_done(&jws);
    keyset_unref(keys);
    free(assertion);
    free(rest);
    proxied_end(&proxied);
}

TEST(each_worker_makes_one_assertion_for_all_requests_of_a_principal_and_forged_ones_are_gone) {
    enum { WORKERS = 2, REQUESTS = 12 };
    struct proxied proxied = start(NULL);
    char *seen[REQUESTS];
    int distinct = 0;
    for (int i = 0; i < REQUESTS; i++) {
        seen[i] = ask(&proxied, "X-Auth-Assertion: forged\r\nx_auth_assertion: forged\r\n");
        int before = 0;
        while (before < i && strcmp(seen[before], seen[i]) != 0) before++;
        distinct += before == i;
    }
    ck_assert_int_le(distinct, WORKERS);
    for (int i = 0; i < REQUESTS; i++) free(seen[i]);
    proxied_end(&proxied);
}

TEST(nobody_in_particular_gets_no_assertion) {
    struct proxied proxied = start(NULL);
    const struct upstream_request *seen =
        proxied_get(&proxied, "/orders/1", "X-Auth-Assertion: forged\r\n");
    ck_assert_int_eq(proxied_count(seen, "X-Auth-Assertion"), 0);
    proxied_end(&proxied);
}

TEST(the_admin_listener_knows_its_own_paths_alone_and_others_do_not_know_them) {
    int port;
    char *rest = admin_line(&port);
    struct proxied proxied = start(rest);
    ck_assert_int_eq(http_get(port, "/orders/1", NULL, NULL), 404);
    struct client *client = client_connect(port);
    scene_check(client, span_of("POST /.well-known/jwks.json HTTP/1.1\r\nHost: h\r\n\r\n"),
                &(struct expected){.status = 405});
    client_free(client);
    proxied_get(&proxied, "/.well-known/jwks.json", ""); /* the upstream's, if it has one */
    free(rest);
    proxied_end(&proxied);
}

TEST(without_an_upstream_that_wants_assertions_there_are_no_keys) {
    int port;
    char *rest = admin_line(&port);
    struct scene scene = scene_start(&(struct scene_options){.rest = rest});
    ck_assert_int_eq(http_get(port, "/.well-known/jwks.json", NULL, NULL), 404);
    scene_end(&scene);
    free(rest);
}
