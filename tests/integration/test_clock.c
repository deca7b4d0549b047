/*
 * The wall clock of the machine jumps while bearerd runs: libfaketime moves it, the monotonic clock
 * stays.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/support/daemon.h"
#include "tests/support/issuer.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* The library to preload; the caller frees the path. */
static char *find_faketime(void) {
    glob_t found;
    if (SANITIZED) test_skip("a sanitizer must be the first library, and so must libfaketime");
    if (glob("/usr/lib/*/faketime/libfaketimeMT.so.1", 0, NULL, &found) != 0)
        test_skip("no libfaketime");
    char *path = scratch_text("%s", found.gl_pathv[0]);
    globfree(&found);
    return path;
}

/* Let the daemon's wall clock be so far from the real one, as "+1h". */
static void jump(const char *folder, const char *offset) {
    char *next = scratch_file(folder, "clock.next", span_of(offset));
    char *path = scratch_text("%s/clock", folder);
    ck_assert_int_eq(rename(next, path), 0);
    free(path);
    free(next);
}

/* daemon_start() with a clock that jump() moves. */
static struct daemon *start_with_clock(const char *yaml) {
    char *library = find_faketime(), *folder = scratch_new(), *program = daemon_program();
    struct daemon *daemon = calloc(1, sizeof *daemon);
    ck_assert_ptr_nonnull(daemon);
    jump(folder, "+0");

    char *preload = scratch_text("LD_PRELOAD=%s", library);
    char *clock = scratch_text("FAKETIME_TIMESTAMP_FILE=%s/clock", folder);
    const char *const environment[] = {preload, clock, "FAKETIME_NO_CACHE=1",
                                       "FAKETIME_DONT_FAKE_MONOTONIC=1", NULL};
    daemon->port = process_free_port();
    daemon->folder = folder;
    char *text = scratch_text("listen: [{address: \"127.0.0.1:%d\"}]\n"
                              "log: {format: text}\n%s",
                              daemon->port, yaml);
    char *path = scratch_file(folder, "bearerd.yaml", span_of(text));
    const char *const argv[] = {program, "-c", path, NULL};
    daemon->process = process_start(argv, environment);
    ck_assert(process_wait_port(daemon->process, daemon->port, 10000));
    free(path);
    free(text);
    free(clock);
    free(preload);
    free(program);
    free(library);
    return daemon;
}

TEST_WITHIN(t6_tokens_follow_the_wall_clock_and_refreshes_do_not, 40) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", NULL));
    issuer_serve_keys(issuer, jwks);
    char *yaml = daemon_yaml(issuer_url(issuer), "refresh_interval: 30m, leeway: 0");
    struct daemon *daemon = start_with_clock(yaml);
    /* Good for five minutes from now on, and one that is good an hour later only. */
    char *token = mint_good(issuer_url(issuer), "ES256", mint_key(MINT_P256), "k1", NULL);
    char *times = scratch_text("{\"iat\":%ld,\"nbf\":%ld,\"exp\":%ld}", (long)time(NULL) + 3500,
                               (long)time(NULL) + 3500, (long)time(NULL) + 3900);
    char *later = mint_good(issuer_url(issuer), "ES256", mint_key(MINT_P256), "k1", times);

    ck_assert(daemon_wait_status(daemon, "/profile/", token, 200, 5000));
    ck_assert_int_eq(daemon_get(daemon, "/profile/", later, NULL), 401);
    int hits = issuer_hits(issuer, ISSUER_JWKS);

    jump(daemon->folder, "+1h");
    ck_assert_int_eq(daemon_get(daemon, "/profile/", token, NULL), 401);
    ck_assert_int_eq(daemon_get(daemon, "/profile/", later, NULL), 200);
    jump(daemon->folder, "-1h");
    ck_assert_int_eq(daemon_get(daemon, "/profile/", later, NULL), 401);
    struct response response;
    ck_assert_int_eq(daemon_get(daemon, "/profile/", token, &response), 401);
    ck_assert_ptr_nonnull(strstr(response.body, "token was issued at"));
    client_response_done(&response);
    jump(daemon->folder, "+0");
    ck_assert_int_eq(daemon_get(daemon, "/profile/", token, NULL), 200);
    /* Both jumps passed the refresh interval on the wall; on the clock of the timers none did. */
    process_sleep_ms(1500);
    ck_assert_int_eq(issuer_hits(issuer, ISSUER_JWKS), hits);

    free(later);
    free(times);
    free(token);
    daemon_stop(daemon);
    free(yaml);
    free(jwks);
    issuer_stop(issuer);
}

TEST_WITHIN(t7_the_years_2038_and_2100_are_years_like_others, 40) {
    static const char *const offsets[] = {"+13y", "+75y"};
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", NULL));
    issuer_serve_keys(issuer, jwks);
    char *yaml = daemon_yaml(issuer_url(issuer), "");
    struct daemon *daemon = start_with_clock(yaml);

    for (size_t i = 0; i < 2; i++) {
        long then = (long)time(NULL) + (i == 0 ? 13 : 75) * 365L * 86400;
        char *times = scratch_text("{\"iat\":%ld,\"exp\":%ld}", then - 60, then + 600);
        char *token = mint_good(issuer_url(issuer), "ES256", mint_key(MINT_P256), "k1", times);
        jump(daemon->folder, offsets[i]);
        ck_assert_msg(daemon_wait_status(daemon, "/profile/", token, 200, 5000), "%s", offsets[i]);
        free(token);
        free(times);
    }
    daemon_stop(daemon);
    free(yaml);
    free(jwks);
    issuer_stop(issuer);
}
