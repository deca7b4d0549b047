/*
 * SIGHUP: the new configuration is taken as a whole or not at all, and no client notices.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/certificate.h"
#include "tests/support/issuer.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 4 : 1)
/* A sanitizer keeps what was freed for a while; leaks it tells itself, at the end. */
#define GROWTH_KIB (SCENE_SANITIZED ? 400 * 1024 : 2 * 1024)
#define ONE "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

static const struct scene_options plain = {0};

static void check_status(const struct scene *scene, const char *path, const char *token,
                         int expected) {
    int status = daemon_get(scene->daemon, path, token, NULL);
    ck_assert_msg(status == expected, "%s: %d, not %d", path, status, expected);
}

/* --- taken ----------------------------------------------------------------------------------- */

TEST(a_new_route_is_there_after_a_reload_and_an_old_one_gone) {
    struct scene scene = scene_start(&plain);
    check_status(&scene, "/new", NULL, 404);
    ck_assert(scene_reload(
        &scene, &(struct scene_options){
                    .rest = "routes: [{path: /new, respond: identity, anonymous: allow}]\n"}));
    check_status(&scene, "/new", NULL, 200);
    check_status(&scene, "/", scene.token, 404);
    ck_assert(scene_reload(&scene, &plain));
    check_status(&scene, "/new", NULL, 404);
    check_status(&scene, "/", scene.token, 200);
    scene_end(&scene);
}

/* Change what is asked of tokens, with a connection that lives through it all. */
TEST(what_is_asked_of_tokens_changes_with_a_reload_also_on_open_connections) {
    struct scene scene = scene_start(&plain);
    struct client *client = client_connect(scene.daemon->port);
    char *headers = scratch_text("Authorization: Bearer %s\r\n", scene.token);
    char *request = scene_get("/profile/", headers);
    static const struct {
        const char *issuer;
        int status;
        const char *challenge;
    } rows[] = {
        {"", 200, NULL},
        {", scopes: [admin]", 403,
         "Bearer realm=\"bearerd\", error=\"insufficient_scope\", error_description=\"the token "
         "lacks the scope 'admin'\", scope=\"admin profile\""},
        {", algorithms: [RS256]", 401,
         "Bearer realm=\"bearerd\", error=\"invalid_token\", error_description=\"the alg 'ES256' "
         "is not accepted\""},
        {"", 200, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert(scene_reload(&scene, &(struct scene_options){.issuer = rows[i].issuer}));
        scene_check(client, span_of(request),
                    &(struct expected){rows[i].status, rows[i].challenge, NULL, false});
    }
    client_free(client);
    free(request);
    free(headers);
    scene_end(&scene);
}

/* Wait for what is expected of one token on both sides of a change. */
TEST(another_issuer_and_another_audience_are_accepted_after_a_reload) {
    struct scene scene = scene_start(&plain);
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256_OTHER), "k2", NULL));
    issuer_serve_keys(issuer, jwks);
    char *token = mint_good(issuer_url(issuer), "ES256", mint_key(MINT_P256_OTHER), "k2",
                            "{\"aud\":\"second\"}");
    check_status(&scene, "/profile/", token, 401);

    char *yaml =
        scratch_text("  - {issuer: \"%s\", audiences: [%s]}\n", issuer_url(issuer), "second");
    char *one = scene_yaml(scene.daemon->port, scene.keys, &plain);
    char *first = scratch_text("issuers: [{issuer: \"%s\", audiences: [api], jwks_file: \"%s\"}]\n",
                               SCENE_ISSUER, scene.keys);
    char *at = strstr(one, "issuers:");
    char *both = scratch_text("%.*sissuers:\n  - {issuer: \"%s\", audiences: [api], jwks_file: "
                              "\"%s\"}\n%s",
                              (int)(at - one), one, SCENE_ISSUER, scene.keys, yaml);
    free(scratch_file(scene.daemon->folder, "bearerd.yaml", span_of(both)));
    ck_assert(scene_reload_as_it_stands(&scene));
    ck_assert(daemon_wait_status(scene.daemon, "/profile/", token, 200, 5000 * SLOW));
    check_status(&scene, "/profile/", scene.token, 200);

    ck_assert(scene_reload(&scene, &plain)); /* and it is a stranger again */
    check_status(&scene, "/profile/", token, 401);
    free(both), free(first), free(one), free(yaml), free(token), free(jwks);
    issuer_stop(issuer);
    scene_end(&scene);
}

TEST(keys_of_an_issuer_that_stays_are_kept_and_not_fetched_again) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", NULL));
    issuer_serve_keys(issuer, jwks);
    char *yaml = daemon_yaml(issuer_url(issuer), "");
    struct daemon *daemon = daemon_start(yaml, NULL);
    char *token = mint_good(issuer_url(issuer), "ES256", mint_key(MINT_P256), "k1", NULL);
    ck_assert(daemon_wait_status(daemon, "/profile/", token, 200, 5000));
    issuer_down(issuer);
    for (int i = 1; i <= 5; i++) {
        process_signal(daemon->process, SIGHUP);
        for (long until = process_now_ms() + 5000;
             process_count_errors(daemon->process, "notice: reloaded") < i;) {
            ck_assert_int_lt(process_now_ms(), until);
            ck_assert_int_eq(daemon_get(daemon, "/profile/", token, NULL), 200);
        }
        ck_assert_int_eq(daemon_get(daemon, "/profile/", token, NULL), 200);
    }
    daemon_stop(daemon);
    free(token), free(yaml), free(jwks);
    issuer_stop(issuer);
}

TEST(the_level_and_the_access_log_change_with_a_reload) {
    struct scene scene = scene_start(&plain);
    struct process *process = scene.daemon->process;
    check_status(&scene, "/one", NULL, 404);
    ck_assert_int_eq(process_count_errors(process, "path=/one"), 0);
    ck_assert(scene_reload(
        &scene, &(struct scene_options){.log = "{format: text, level: info, access: true}"}));
    check_status(&scene, "/two", NULL, 404);
    ck_assert(process_wait_errors(process, "path=/two", 2000 * SLOW));
    ck_assert(scene_reload(
        &scene, &(struct scene_options){.log = "{format: text, level: notice, access: true}"}));
    check_status(&scene, "/three", NULL, 404);
    ck_assert(scene_reload(&scene, &plain)); /* told behind what would have been told before */
    ck_assert_int_eq(process_count_errors(process, "path=/three"), 0);
    scene_end(&scene);
}

TEST(a_listener_is_added_and_removed_and_open_connections_stay) {
    struct scene scene = scene_start(&plain);
    int port = process_free_port();
    char *second = scratch_text(", {address: \"127.0.0.1:%d\"}", port);
    struct scene_options with = {.listen = second};
    struct client *old = client_connect(scene.daemon->port);
    scene_check(old, span_of(ONE), &(struct expected){.status = 200});
    ck_assert_ptr_null(client_connect(port));

    ck_assert(scene_reload(&scene, &with));
    struct client *new = client_connect(port);
    ck_assert_ptr_nonnull(new);
    scene_check(new, span_of(ONE), &(struct expected){.status = 200});
    scene_check(old, span_of(ONE), &(struct expected){.status = 200});

    ck_assert(scene_reload(&scene, &plain));
    for (long until = process_now_ms() + 3000 * SLOW;;) { /* the workers let it go one by one */
        struct client *late = client_connect(port);
        if (!late) break;
        client_free(late);
        ck_assert_msg(process_now_ms() < until, "still listening");
        process_sleep_ms(20);
    }
    scene_check(new, span_of(ONE), &(struct expected){.status = 200});
    scene_check(old, span_of(ONE), &(struct expected){.status = 200});
    client_free(new);
    client_free(old);
    free(second);
    scene_end(&scene);
}

/* --- refused --------------------------------------------------------------------------------- */

TEST(a_bad_configuration_changes_nothing_and_is_told) {
    struct scene scene = scene_start(&plain);
    int taken = process_free_port();
    struct issuer *other = issuer_start(ISSUER_PLAIN); /* holds a port */
    char *in_use = scratch_text(", {address: \"127.0.0.1:%d\"}", issuer_port(other));
    char *no_file = scratch_text(", {address: \"127.0.0.1:%d\", tls: {certificate: /no/cert, "
                                 "private_key: /no/key}}",
                                 taken);
    const struct {
        struct scene_options options;
        const char *told;
    } rows[] = {
        {{.rest = "unknown: 1\n"}, "unknown key \"unknown\""},
        {{.rest = "realm: a\nrealm: b\n"}, "realm"},
        {{.rest = "routes: [{path: nowhere, respond: identity}]\n"}, "bearerd.yaml:"},
        {{.rest = "\"\n"}, "bearerd.yaml:"},
        {{.issuer = ", leeway: 700s"}, "leeway"},
        {{.listen = in_use}, "Address already in use"},
        {{.listen = no_file}, "/no/cert"},
    };
    struct client *client = client_connect(scene.daemon->port);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int before = process_count_errors(scene.daemon->process, rows[i].told);
        ck_assert_msg(!scene_reload(&scene, &rows[i].options), "row %zu", i);
        ck_assert_msg(process_count_errors(scene.daemon->process, rows[i].told) > before,
                      "row %zu: %s is not told", i, rows[i].told);
        scene_check(client, span_of(ONE), &(struct expected){.status = 200});
        check_status(&scene, "/profile/", scene.token, 200);
    }
    /* No file at all. */
    char *path = scratch_text("%s/bearerd.yaml", scene.daemon->folder);
    ck_assert_int_eq(remove(path), 0);
    ck_assert(!scene_reload_as_it_stands(&scene));
    ck_assert_int_gt(process_count_errors(scene.daemon->process, "No such file"), 0);
    check_status(&scene, "/profile/", scene.token, 200);
    ck_assert(scene_reload(&scene, &plain)); /* and a good one is taken as ever */
    free(path), free(no_file), free(in_use);
    client_free(client);
    issuer_stop(other);
    scene_end(&scene); /* exit code 0 */
}

/* --- under load ------------------------------------------------------------------------------ */

#define CLIENTS 8

/* Each client asks and is answered once; every request must succeed. */
static void turn(const struct scene *scene, struct client *clients[CLIENTS], const char *request) {
    struct response response;
    for (int i = 0; i < CLIENTS; i++) ck_assert(client_send(clients[i], span_of(request)));
    for (int i = 0; i < CLIENTS; i++) {
        ck_assert_msg(client_read(clients[i], 5000 * SLOW, &response) == CLIENT_OK, "client %d", i);
        ck_assert_msg(response.status == 200, "client %d: %d", i, response.status);
        client_response_done(&response);
    }
    check_status(scene, "/profile/", scene->token, 200); /* a new connection */
}

TEST_WITHIN(no_request_fails_through_reloads_under_load, 60) {
    struct scene scene = scene_start(&plain);
    struct client *clients[CLIENTS];
    char *headers = scratch_text("Authorization: Bearer %s\r\n", scene.token);
    char *request = scene_get("/profile/", headers);
    int port = process_free_port();
    char *second = scratch_text(", {address: \"127.0.0.1:%d\"}", port);
    for (int i = 0; i < CLIENTS; i++) clients[i] = client_connect(scene.daemon->port);
    for (int round = 0; round < 20; round++) {
        scene_configure(&scene,
                        &(struct scene_options){.listen = round % 2 ? second : NULL,
                                                .rest = round % 3 ? "realm: other\n" : NULL});
        process_signal(scene.daemon->process, SIGHUP);
        for (int i = 0; i < 10; i++) turn(&scene, clients, request);
    }
    int reloads = process_count_errors(scene.daemon->process, "notice: reloaded");
    ck_assert_msg(reloads >= 10, "%d reloads only", reloads);
    for (int i = 0; i < CLIENTS; i++) client_free(clients[i]);
    free(second), free(request), free(headers);
    scene_end(&scene);
}

TEST_WITHIN(a_hundred_reloads_leave_memory_and_descriptors_as_they_were, 60) {
    char *folder = scratch_new(), *certificate, *key;
    certificate_files(folder, &certificate, &key);
    char *tls = scratch_text(", {address: \"127.0.0.1:%d\", tls: {certificate: \"%s\", "
                             "private_key: \"%s\"}}",
                             process_free_port(), certificate, key);
    char *unix_socket = scratch_text(", {address: \"unix:%s/sock\"}", folder);
    const struct scene_options options[] = {{.listen = tls}, {.listen = unix_socket}};
    struct scene scene = scene_start(&options[0]);
    struct client *client = client_connect(scene.daemon->port);
    long rss = 0;
    int files = 0;
    for (int i = 0; i < 100; i++) {
        ck_assert(scene_reload(&scene, &options[i % 2]));
        scene_check(client, span_of(ONE), &(struct expected){.status = 200});
        if (i != 19) continue;
        process_sleep_ms(50);
        rss = process_rss_kib(scene.daemon->process);
        files = process_open_files(scene.daemon->process);
    }
    process_sleep_ms(50);
    rss = process_rss_kib(scene.daemon->process) - rss;
    ck_assert_msg(rss < GROWTH_KIB, "grew by %ld KiB", rss);
    ck_assert_int_le(process_open_files(scene.daemon->process), files + 1);
    client_free(client);
    free(unix_socket), free(tls), free(key), free(certificate), free(folder);
    scene_end(&scene);
}
