/*
 * What an issuer that is down, slow, broken or hostile can do to requests: nothing, as long as keys
 * are known; and without keys a 503, never a guess.
 */
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/certificate.h"
#include "tests/support/daemon.h"
#include "tests/support/issuer.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define PROFILE "/profile/"

/* One issuer with one key, a daemon that trusts it, and a good token. */
struct scene {
    struct issuer *issuer;
    struct daemon *daemon;
    char *token;
};

static void serve_key(struct issuer *issuer, enum mint_key key, const char *kid) {
    char *jwks = MINT_JWKS(mint_jwk(mint_key(key), kid, "ES256"));
    issuer_serve_keys(issuer, jwks);
    free(jwks);
}

static char *good_token(const struct issuer *issuer, enum mint_key key, const char *kid) {
    return mint_good(issuer_url(issuer), "ES256", mint_key(key), kid, NULL);
}

/* A scene in which keys have been fetched. */
static struct scene scene_start(const char *more, const char *rest) {
    struct scene scene = {.issuer = issuer_start(ISSUER_PLAIN)};
    serve_key(scene.issuer, MINT_P256, "k1");
    scene.token = good_token(scene.issuer, MINT_P256, "k1");
    scene.daemon = daemon_start_for(issuer_url(scene.issuer), more, rest);
    ck_assert(daemon_wait_status(scene.daemon, PROFILE, scene.token, 200, 5000));
    return scene;
}

static void scene_end(struct scene *scene) {
    daemon_stop(scene->daemon);
    issuer_stop(scene->issuer);
    free(scene->token);
}

static void check_is_503(const struct daemon *daemon, const char *token) {
    struct response response;
    ck_assert_int_eq(daemon_get(daemon, PROFILE, token, &response), 503);
    struct span retry = response_header(&response, "Retry-After");
    ck_assert_msg(retry.len > 0 && atoi(retry.ptr) > 0, "%s", response.head);
    ck_assert_int_eq(response_header_count(&response, "WWW-Authenticate"), 0);
    client_response_done(&response);
}

/* --- down ------------------------------------------------------------------------------------ */

TEST_WITHIN(idp_down_at_start_is_503_until_it_is_up_while_the_open_route_works, 40) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    serve_key(issuer, MINT_P256, "k1");
    issuer_down(issuer);
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "", "");
    char *token = good_token(issuer, MINT_P256, "k1");
    struct response response;

    check_is_503(daemon, token);
    ck_assert_int_eq(daemon_get(daemon, "/", token, NULL), 503);
    ck_assert_int_eq(daemon_get(daemon, "/", NULL, &response), 200);
    ck_assert_str_eq(response.body, "{\"anonymous\":true}");
    client_response_done(&response);
    ck_assert_int_eq(daemon_get(daemon, PROFILE, NULL, NULL), 401);
    ck_assert(process_wait_errors(daemon->process, "no keys yet", 5000));

    issuer_up(issuer);
    ck_assert(daemon_wait_status(daemon, PROFILE, token, 200, 15000));
    daemon_stop(daemon);
    free(token);
    issuer_stop(issuer);
}

TEST_WITHIN(idp_down_later_keeps_its_keys_serving_until_max_stale, 40) {
    struct scene scene = scene_start("refresh_interval: 1s, max_stale: 3s", "");
    long down_at = process_now_ms();
    issuer_down(scene.issuer);
    while (process_now_ms() < down_at + 1500) {
        ck_assert_int_eq(daemon_get(scene.daemon, PROFILE, scene.token, NULL), 200);
        process_sleep_ms(20);
    }
    ck_assert(daemon_wait_status(scene.daemon, PROFILE, scene.token, 503, 5000));
    check_is_503(scene.daemon, scene.token);
    ck_assert_int_ge(
        process_count_errors(scene.daemon->process, "keys not refreshed, keeping the old ones"), 1);

    issuer_up(scene.issuer);
    ck_assert(daemon_wait_status(scene.daemon, PROFILE, scene.token, 200, 10000));
    scene_end(&scene);
}

TEST_WITHIN(a_name_that_does_not_resolve_is_503_and_delays_nobody, 40) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    char *yaml = daemon_yaml("https://idp.invalid", "");
    struct daemon *daemon = daemon_start(yaml, NULL);
    char *token = mint_good("https://idp.invalid", "ES256", mint_key(MINT_P256), "k1", NULL);
    long before = process_now_ms();
    for (int i = 0; i < 20; i++) ck_assert_int_eq(daemon_get(daemon, "/", NULL, NULL), 200);
    ck_assert_int_lt(process_now_ms() - before, 1000);
    check_is_503(daemon, token);
    ck_assert(process_wait_errors(daemon->process, "idp.invalid", 15000));
    daemon_stop(daemon);
    free(token);
    free(yaml);
    issuer_stop(issuer);
}

/* --- slow ------------------------------------------------------------------------------------ */

/* Requests for two seconds while refreshes are stuck: none takes noticeably long. */
static void check_no_latency(const struct scene *scene) {
    long worst = 0, until = process_now_ms() + 2000;
    while (process_now_ms() < until) {
        long before = process_now_ms();
        ck_assert_int_eq(daemon_get(scene->daemon, PROFILE, scene->token, NULL), 200);
        long took = process_now_ms() - before;
        if (took > worst) worst = took;
        process_sleep_ms(2);
    }
    ck_assert_msg(worst < 300, "a request took %ld ms", worst);
}

TEST_WITHIN(a_hanging_or_dripping_idp_adds_no_latency_and_is_given_up, 60) {
    static const struct {
        const char *path;
        struct issuer_behaviour behaviour;
    } rows[] = {
        {ISSUER_JWKS, {.act = ISSUER_HANG}},
        {ISSUER_JWKS, {.act = ISSUER_DRIP, .body = SPAN_LITERAL("{\"keys\":"), .interval_ms = 50}},
        {ISSUER_DISCOVERY, {.act = ISSUER_HANG}},
        {ISSUER_DISCOVERY, {.act = ISSUER_DRIP, .body = SPAN_LITERAL("{}"), .interval_ms = 50}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene scene = scene_start("refresh_interval: 1s", "fetch: {timeout: 2s}\n");
        issuer_set(scene.issuer, rows[i].path, &rows[i].behaviour);
        int hits = issuer_hits(scene.issuer, rows[i].path);
        ck_assert(issuer_wait_hits(scene.issuer, rows[i].path, hits + 1, 5000));
        check_no_latency(&scene);
        /* The total deadline ends it; a byte now and then does not prolong it. */
        ck_assert(process_wait_errors(scene.daemon->process,
                                      "keys not refreshed, keeping the old ones", 3000));
        scene_end(&scene);
    }
}

TEST_WITHIN(an_unknown_kid_waits_two_seconds_at_most_for_a_hanging_idp, 40) {
    struct scene scene = scene_start("refresh_cooldown: 1s", "");
    char *unknown = good_token(scene.issuer, MINT_P256_OTHER, "k2");
    issuer_set(scene.issuer, ISSUER_JWKS, &(struct issuer_behaviour){.act = ISSUER_HANG});
    process_sleep_ms(1100);

    long before = process_now_ms();
    struct client *waiting = client_connect(scene.daemon->port);
    ck_assert(client_sendf(waiting, "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
                           unknown));
    check_no_latency(&scene);
    struct response response;
    ck_assert_int_eq(client_read(waiting, 3000, &response), CLIENT_OK);
    long took = process_now_ms() - before;
    ck_assert_int_eq(response.status, 401);
    ck_assert_msg(took >= 1500 && took < 3000, "answered after %ld ms", took);
    client_response_done(&response);
    client_free(waiting);
    free(unknown);
    scene_end(&scene);
}

/* --- broken ---------------------------------------------------------------------------------- */

TEST_WITHIN(a_broken_answer_never_erases_good_keys, 120) {
    static const char html[] = "<!DOCTYPE html><html><body>Sign in</body></html>";
    static const struct {
        const char *name;
        const char *path;
        struct issuer_behaviour behaviour;
    } rows[] = {
        {"500", ISSUER_JWKS, {.status = 500, .body = SPAN_LITERAL("{\"keys\":[]}")}},
        {"404", ISSUER_JWKS, {.status = 404, .body = SPAN_LITERAL("{\"keys\":[]}")}},
        {"HTML",
         ISSUER_JWKS,
         {.headers = "Content-Type: text/html\r\n", .body = SPAN_LITERAL(html)}},
        {"bad JSON", ISSUER_JWKS, {.body = SPAN_LITERAL("{\"keys\":[{\"kty\":")}},
        {"empty body", ISSUER_JWKS, {.body = SPAN_NONE}},
        {"no keys", ISSUER_JWKS, {.body = SPAN_LITERAL("{\"keys\":[]}")}},
        {"array", ISSUER_JWKS, {.body = SPAN_LITERAL("[]")}},
        {"keys object", ISSUER_JWKS, {.body = SPAN_LITERAL("{\"keys\":{}}")}},
        {"204", ISSUER_JWKS, {.status = 204}},
        {"truncated", ISSUER_JWKS, {.act = ISSUER_TRUNCATE, .body = SPAN_LITERAL("{\"keys\":[]}")}},
        {"closed", ISSUER_JWKS, {.act = ISSUER_CLOSE}},
        {"reset", ISSUER_JWKS, {.act = ISSUER_RESET}},
        {"no HTTP", ISSUER_JWKS, {.act = ISSUER_RAW, .body = SPAN_LITERAL("SSH-2.0-x\r\n")}},
        {"HTTP/0.9", ISSUER_JWKS, {.act = ISSUER_RAW, .body = SPAN_LITERAL("{\"keys\":[]}")}},
        {"discovery 500", ISSUER_DISCOVERY, {.status = 500}},
        {"discovery HTML", ISSUER_DISCOVERY, {.body = SPAN_LITERAL(html)}},
        {"discovery without jwks_uri", ISSUER_DISCOVERY, {.body = SPAN_LITERAL("{}")}},
        {"discovery of another",
         ISSUER_DISCOVERY,
         {.body = SPAN_LITERAL("{\"issuer\":\"https://evil.example\","
                               "\"jwks_uri\":\"https://evil.example/jwks\"}")}},
    };
    struct scene scene = scene_start("refresh_interval: 1s", "");
    char *discovery = scratch_text("{\"issuer\":\"%s\",\"jwks_uri\":\"%s%s\"}",
                                   issuer_url(scene.issuer), issuer_url(scene.issuer), ISSUER_JWKS);
    int failures = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        issuer_answer(scene.issuer, ISSUER_DISCOVERY, 200, discovery);
        serve_key(scene.issuer, MINT_P256, "k1");
        issuer_set(scene.issuer, rows[i].path, &rows[i].behaviour);
        int seen = issuer_hits(scene.issuer, rows[i].path);
        ck_assert_msg(issuer_wait_hits(scene.issuer, rows[i].path, seen + 1, 5000), "%s: no fetch",
                      rows[i].name);
        long until = process_now_ms() + 2000;
        int now = failures;
        while (now == failures && process_now_ms() < until) {
            process_sleep_ms(10);
            now = process_count_errors(scene.daemon->process,
                                       "keys not refreshed, keeping the old ones");
        }
        ck_assert_msg(now > failures, "%s: no failure logged", rows[i].name);
        failures = now;
        ck_assert_msg(daemon_get(scene.daemon, PROFILE, scene.token, NULL) == 200, "%s: keys lost",
                      rows[i].name);
    }
    free(discovery);
    scene_end(&scene);
}

TEST_WITHIN(an_endless_body_is_cut_at_the_cap, 60) {
    struct scene scene = scene_start("refresh_interval: 1s", "fetch: {max_body: 1MiB}\n");
    long before = process_rss_kib(scene.daemon->process);
    issuer_set(scene.issuer, ISSUER_JWKS,
               &(struct issuer_behaviour){.act = ISSUER_ENDLESS, .body = SPAN_LITERAL("{")});
    int hits = issuer_hits(scene.issuer, ISSUER_JWKS);
    ck_assert(issuer_wait_hits(scene.issuer, ISSUER_JWKS, hits + 3, 10000));
    ck_assert(process_wait_errors(scene.daemon->process, "max_body", 5000));
    long grown = process_rss_kib(scene.daemon->process) - before;
    ck_assert_msg(grown < 16 * 1024, "grew by %ld KiB", grown);
    ck_assert_int_eq(daemon_get(scene.daemon, PROFILE, scene.token, NULL), 200);
    scene_end(&scene);
}

/* --- redirects ------------------------------------------------------------------------------- */

static void redirect(struct issuer *issuer, const char *from, const char *base, const char *to) {
    char *header = scratch_text("Location: %s%s\r\n", base, to);
    issuer_set(issuer, from, &(struct issuer_behaviour){.status = 302, .headers = header});
    free(header);
}

TEST(a_redirect_within_the_origin_is_followed) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", NULL));
    issuer_answer(issuer, "/real/jwks", 200, jwks);
    redirect(issuer, ISSUER_JWKS, "", "/step");
    redirect(issuer, "/step", issuer_url(issuer), "/real/jwks");
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "", "");
    char *token = good_token(issuer, MINT_P256, "k1");
    ck_assert(daemon_wait_status(daemon, PROFILE, token, 200, 5000));
    daemon_stop(daemon);
    free(token);
    free(jwks);
    issuer_stop(issuer);
}

TEST(a_redirect_to_another_host_or_scheme_is_not_followed) {
    static const char *const schemes[] = {NULL, "file:///etc/passwd", "gopher://127.0.0.1:1/",
                                          "https://127.0.0.1:1/"};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        struct issuer *issuer = issuer_start(ISSUER_PLAIN), *other = issuer_start(ISSUER_PLAIN);
        serve_key(other, MINT_P256, "k1");
        if (schemes[i])
            redirect(issuer, ISSUER_JWKS, "", schemes[i]);
        else
            redirect(issuer, ISSUER_JWKS, issuer_url(other), ISSUER_JWKS);
        struct daemon *daemon = daemon_start_for(issuer_url(issuer), "", "");
        char *token = good_token(issuer, MINT_P256, "k1");
        ck_assert_msg(process_wait_errors(daemon->process, "redirect", 5000), "row %zu", i);
        check_is_503(daemon, token);
        ck_assert_int_eq(issuer_connections(other), 0);
        daemon_stop(daemon);
        free(token);
        issuer_stop(other);
        issuer_stop(issuer);
    }
}

TEST(a_redirect_from_https_to_http_is_not_followed) {
    struct issuer *issuer = issuer_start(ISSUER_TLS), *plain = issuer_start(ISSUER_PLAIN);
    serve_key(plain, MINT_P256, "k1");
    redirect(issuer, ISSUER_JWKS, issuer_url(plain), ISSUER_JWKS);
    char *trust = scratch_text("fetch: {ca_file: \"%s\"}\n", certificate_authority_file());
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "", trust);
    ck_assert(issuer_wait_hits(issuer, ISSUER_JWKS, 1, 5000));
    ck_assert(process_wait_errors(daemon->process, "redirect", 5000));
    ck_assert_int_eq(issuer_connections(plain), 0);
    daemon_stop(daemon);
    free(trust);
    issuer_stop(plain);
    issuer_stop(issuer);
}

TEST(a_redirect_loop_ends) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    redirect(issuer, ISSUER_JWKS, "", ISSUER_JWKS);
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "", "");
    ck_assert(process_wait_errors(daemon->process, "redirected too often", 5000));
    ck_assert_int_le(issuer_hits(issuer, ISSUER_JWKS), 8);
    daemon_stop(daemon);
    issuer_stop(issuer);
}

/* --- TLS ------------------------------------------------------------------------------------- */

TEST(a_certificate_of_the_configured_authority_is_trusted) {
    struct issuer *issuer = issuer_start(ISSUER_TLS);
    serve_key(issuer, MINT_P256, "k1");
    char *trust = scratch_text("fetch: {ca_file: \"%s\"}\n", certificate_authority_file());
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "", trust);
    char *token = good_token(issuer, MINT_P256, "k1");
    ck_assert(daemon_wait_status(daemon, PROFILE, token, 200, 5000));
    daemon_stop(daemon);
    free(token);
    free(trust);
    issuer_stop(issuer);
}

TEST_WITHIN(a_wrong_certificate_fails_closed_with_the_reason_logged, 60) {
    static const struct {
        enum issuer_tls tls;
        bool unknown_authority;
        const char *reason;
    } rows[] = {
        {ISSUER_TLS_EXPIRED, false, "expired"},
        {ISSUER_TLS_WRONG_NAME, false, "no alternative certificate subject name matches"},
        {ISSUER_TLS_SELF_SIGNED, false, "self-signed"},
        {ISSUER_TLS, true, "unable to get local issuer certificate"},
        {ISSUER_TLS_OLD, false, "protocol version"},
        {ISSUER_TLS_RESET, false, "reset"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct issuer *issuer = issuer_start(rows[i].tls);
        serve_key(issuer, MINT_P256, "k1");
        char *trust = scratch_text("fetch: {ca_file: \"%s\"}\n", certificate_authority_file());
        struct daemon *daemon =
            daemon_start_for(issuer_url(issuer), "", rows[i].unknown_authority ? "" : trust);
        char *token = good_token(issuer, MINT_P256, "k1");
        if (!process_wait_errors(daemon->process, rows[i].reason, 5000)) {
            char *errors = process_errors(daemon->process);
            ck_abort_msg("row %zu: no \"%s\" in %s", i, rows[i].reason, errors);
        }
        check_is_503(daemon, token);
        ck_assert_int_eq(issuer_hits(issuer, ISSUER_DISCOVERY), 0);
        daemon_stop(daemon);
        free(token);
        free(trust);
        issuer_stop(issuer);
    }
}
