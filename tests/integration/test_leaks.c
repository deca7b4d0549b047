/*
 * Thousands of hostile inputs leave nothing behind: no descriptor, no connection that is still
 * counted, and no memory.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define ROUNDS (SCENE_SANITIZED ? 60 : 250)
/* A sanitizer keeps what was freed for a while; leaks it tells itself, at the end. */
#define GROWTH_KIB (SCENE_SANITIZED ? 400 * 1024 : 3 * 1024)

/* How a client takes its leave. */
enum leave { READ_AND_CLOSE, CLOSE, RESET, FINISH };

static const struct {
    struct span bytes; /* @ is the token of the round */
    enum leave leave;
} inputs[] = {
    {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @\r\n\r\n"), READ_AND_CLOSE},
    {SPAN_LITERAL("GET /profile/ HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @\r\n\r\n"), CLOSE},
    {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @\r\n\r\n"), RESET},
    {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe"), RESET},
    {SPAN_LITERAL("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
     READ_AND_CLOSE},
    {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: h\r\nX: half"), CLOSE},
    {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: h\r\nX: half"), FINISH},
    {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: h\r\nX: half"), RESET},
    {SPAN_LITERAL("GET / HT"), CLOSE},
    {SPAN_LITERAL(""), RESET},
    {SPAN_LITERAL("\0\x01\x02garbage\r\n\r\n"), CLOSE},
    {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n"), READ_AND_CLOSE},
    {SPAN_LITERAL("GET /%%% HTTP/1.1\r\nHost: h\r\n\r\n"), READ_AND_CLOSE},
    {SPAN_LITERAL("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), CLOSE},
    {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\nGET"), RESET},
    {SPAN_LITERAL("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @@@@@@@@\r\n\r\n"),
     READ_AND_CLOSE},
};

static void send_with_token(struct client *client, struct span bytes, const char *token) {
    struct span rest = bytes, piece;
    for (bool first = true; span_next(&rest, '@', &piece); first = false) {
        if (!first) (void)client_send(client, span_of(token));
        (void)client_send(client, piece);
    }
}

static void take_leave(struct client *client, enum leave leave) {
    struct response response = {0};
    switch (leave) {
    case READ_AND_CLOSE:
        (void)client_read(client, 5000, &response);
        client_response_done(&response);
        break;
    case RESET:
        client_reset(client);
        break;
    case FINISH:
        client_finish(client);
        break;
    case CLOSE:
        break;
    }
    client_free(client);
}

static void round_of(const struct scene *scene, char *const tokens[], size_t count) {
    for (size_t t = 0; t < count; t++) {
        for (size_t i = t; i < ARRAY_LEN(inputs); i += count) {
            struct client *client = client_connect(scene->daemon->port);
            ck_assert_ptr_nonnull(client);
            send_with_token(client, inputs[i].bytes, tokens[t]);
            take_leave(client, inputs[i].leave);
        }
    }
}

/* Wait until no more descriptors are open than that. */
static int settled_files(const struct scene *scene, int wanted) {
    long until = process_now_ms() + 5000;
    int files;
    while ((files = process_open_files(scene->daemon->process)) > wanted &&
           process_now_ms() < until)
        process_sleep_ms(20);
    return files;
}

TEST_WITHIN(thousands_of_hostile_inputs_leave_nothing_behind, 120) {
    /* Who leaves in the middle of a head is counted until its time is over. */
    struct scene scene = scene_start(
        &(struct scene_options){.rest = "limits: {header_timeout: 1s, connections: 9000, "
                                        "connections_per_address: 8000}\n"});
    int files = process_open_files(scene.daemon->process);
    char *tokens[] = {
        strdup(scene.token),
        scene_token("{\"exp\":1}"),
        scene_token("{\"email\":7,\"sub\":7}"),
        mint_good(SCENE_ISSUER, "ES256", mint_key(MINT_P256_OTHER), "strange", NULL),
        strdup("a.b.c"),
    };
    for (int i = 0; i < ROUNDS / 5; i++) round_of(&scene, tokens, ARRAY_LEN(tokens));
    ck_assert_int_le(settled_files(&scene, files), files);
    long rss = process_rss_kib(scene.daemon->process);

    for (int i = 0; i < ROUNDS; i++) round_of(&scene, tokens, ARRAY_LEN(tokens));
    ck_assert_int_le(settled_files(&scene, files), files);
    long grown = process_rss_kib(scene.daemon->process) - rss;
    ck_assert_msg(grown < GROWTH_KIB, "grew by %ld KiB", grown);
    scene_check_serves(&scene, "all of it");
    process_signal(scene.daemon->process, SIGHUP); /* no view is held any more either */
    ck_assert(process_wait_errors(scene.daemon->process, "notice: reloaded", 5000));

    /* Whoever left is no more counted. */
    settled_files(&scene, files);
    process_signal(scene.daemon->process, SIGTERM);
    ck_assert(process_wait_errors(scene.daemon->process, "notice: stopping connections=0\n", 5000));
    ck_assert_int_eq(process_wait_exit(scene.daemon->process, 5000), 0);
    process_free(scene.daemon->process);
    free(scene.daemon->folder), free(scene.daemon), free(scene.token), free(scene.keys);
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) free(tokens[i]);
}

TEST_WITHIN(thousands_of_answers_to_one_client_keep_no_memory, 60) {
    struct scene scene = scene_start(&(struct scene_options){0});
    struct client *client = client_connect(scene.daemon->port);
    char *poor = scene_token("{\"scope\":\"\"}"), *expired = scene_token("{\"exp\":1}");
    const char *const tokens[] = {scene.token, poor, expired, scene.token};
    long rss = 0;
    for (int i = 0; i < 20 * ROUNDS; i++) {
        struct response response;
        if (i == 2 * ROUNDS) rss = process_rss_kib(scene.daemon->process);
        ck_assert(client_sendf(client,
                               "GET /profile/?%d HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s"
                               "\r\n\r\n",
                               i, tokens[i % 4]));
        ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, i % 4 == 1 ? 403 : i % 4 == 2 ? 401 : 200);
        client_response_done(&response);
    }
    rss = process_rss_kib(scene.daemon->process) - rss;
    ck_assert_msg(rss < (SCENE_SANITIZED ? GROWTH_KIB : 1024), "grew by %ld KiB", rss);
    free(expired);
    free(poor);
    client_free(client);
    scene_end(&scene);
}
