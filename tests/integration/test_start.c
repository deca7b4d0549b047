/*
 * How soon it serves after it was started, with keys on disk.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/support/daemon.h"
#include "tests/support/issuer.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 10 : 1)
#define ROUNDS 5
/* Of the best round. Any wait for the network, for a timer or for another thread's turn is longer.
 */
#define READY_MS (100 * SLOW)

/* Start it, and wait for its first 200. Returns how long both took. */
static long start(const char *yaml, const char *folder, const char *token, struct daemon **ret) {
    long since = process_now_ms();
    *ret = daemon_start(yaml, folder);
    ck_assert(daemon_wait_status(*ret, "/profile/", token, 200, 5000));
    return process_now_ms() - since;
}

static void check_best_round(const char *yaml, const char *folder, const char *token) {
    long best = INT32_MAX;
    for (int i = 0; i < ROUNDS; i++) {
        struct daemon *daemon;
        long took = start(yaml, folder, token, &daemon);
        if (took < best) best = took;
        daemon_stop(daemon);
    }
    ck_assert_msg(best < READY_MS, "%ld ms at best", best);
}

TEST(with_a_file_of_keys_it_serves_at_once) {
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", "ES256"));
    char *folder = scratch_new(), *path = scratch_file(folder, "keys.json", span_of(jwks));
    char *file = scratch_text("jwks_file: \"%s\"", path);
    char *yaml = daemon_yaml("https://idp.example", file);
    char *token = mint_good("https://idp.example", "ES256", mint_key(MINT_P256), "k1", NULL);

    check_best_round(yaml, folder, token);
    free(token), free(yaml), free(file), free(path), free(folder), free(jwks);
}

TEST_WITHIN(with_the_keys_of_the_last_run_it_serves_at_once_and_asks_the_issuer_meanwhile, 60) {
    static const struct issuer_behaviour hang = {.act = ISSUER_HANG};
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", "ES256"));
    char *yaml = daemon_yaml(issuer_url(issuer), "");
    char *token = mint_good(issuer_url(issuer), "ES256", mint_key(MINT_P256), "k1", NULL);
    char *folder = scratch_new();
    struct daemon *daemon;

    issuer_serve_keys(issuer, jwks);
    start(yaml, folder, token, &daemon);
    daemon_stop(daemon);
    issuer_set(issuer, ISSUER_DISCOVERY, &hang);
    check_best_round(yaml, folder, token);
    int hits = issuer_hits(issuer, ISSUER_DISCOVERY);
    start(yaml, folder, token, &daemon);
    ck_assert(issuer_wait_hits(issuer, ISSUER_DISCOVERY, hits + 1, 5000));
    daemon_stop(daemon);
    issuer_down(issuer);
    check_best_round(yaml, folder, token);

    issuer_stop(issuer);
    free(folder), free(token), free(yaml), free(jwks);
}
