/*
 * nginx as the upstream, plain and by TLS: a server that others wrote, which knows nothing of our
 * tests, and what it makes of the requests it gets from us.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/integration/gated.h"
#include "tests/support/certificate.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define FILE_LEN ((size_t)8 << 20)
#define TLS_1_2 "TLSv1.2"
#define TLS_1_3 "TLSv1.3"
#define BODY_LEN ((size_t)3 << 20)

static const char configuration[] =
    "daemon off;\n"
    "master_process off;\n"
    "pid %1$s/pid;\n"
    "error_log stderr error;\n"
    "events { worker_connections 256; }\n"
    "http {\n"
    "  access_log off;\n"
    "  client_body_temp_path %1$s/bodies;\n"
    "  proxy_temp_path %1$s/temp;\n"
    "  fastcgi_temp_path %1$s/temp;\n"
    "  uwsgi_temp_path %1$s/temp;\n"
    "  scgi_temp_path %1$s/temp;\n"
    "  client_max_body_size 0;\n"
    "  keepalive_requests 50;\n"
    "  ssl_certificate %2$s;\n"
    "  ssl_certificate_key %3$s;\n"
    "  ssl_client_certificate %4$s;\n"
    "  ssl_verify_client %5$s;\n"
    "  ssl_protocols %8$s;\n"
    "  ssl_session_cache shared:all:1m;\n"
    "  server {\n"
    "    listen 127.0.0.1:%6$d;\n"
    "    listen 127.0.0.1:%7$d ssl;\n"
    "    root %1$s/www;\n"
    "    location = /count { return 200 \"$connection_requests $request_method\"; }\n"
    "    location = /who { return 200 \"$http_x_auth_user|$http_authorization|"
    "$ssl_protocol|$ssl_client_verify|$host\"; }\n"
    "    location /chunked/ { alias %1$s/www/; ssi on; ssi_types *; }\n"
    "    location = /sink { client_body_in_file_only on; proxy_pass http://unix:%1$s/sink; }\n"
    "  }\n"
    "  server { listen unix:%1$s/sink; location / { return 201 \"$request_method\"; } }\n"
    "}\n";

struct nginx {
    struct process *process;
    char *folder;
    int port, tls_port;
};

/* The caller frees it. Daemons are often not where a user's PATH leads to. */
static char *find_nginx(void) {
    static const char *const folders[] = {"/usr/sbin", "/usr/local/sbin", "/usr/bin"};
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        char *path = scratch_text("%s/nginx", folders[i]);
        if (access(path, X_OK) == 0) return path;
        free(path);
    }
    test_skip("no nginx");
}

static void make_file(const char *folder) {
    char *www = scratch_text("%s/www", folder), *bytes = malloc(FILE_LEN);
    ck_assert(mkdir(www, 0755) == 0 && bytes);
    upstream_filler(0, bytes, FILE_LEN);
    free(scratch_file(www, "file", (struct span){bytes, FILE_LEN}));
    free(bytes), free(www);
}

/* What its ssl_verify_client and its ssl_protocols say. */
static struct nginx nginx_start(const char *verify, const char *protocols) {
    char *program = find_nginx(), *certificate, *key;
    struct nginx nginx = {.folder = scratch_new(), .port = process_free_port()};
    do nginx.tls_port = process_free_port();
    while (nginx.tls_port == nginx.port);
    certificate_files(nginx.folder, &certificate, &key);
    make_file(nginx.folder);
    char *text =
        scratch_text(configuration, nginx.folder, certificate, key, certificate_authority_file(),
                     verify, nginx.port, nginx.tls_port, protocols);
    char *path = scratch_file(nginx.folder, "nginx.conf", span_of(text));
    const char *argv[] = {program, "-e", "stderr", "-p", nginx.folder, "-c", path, NULL};
    nginx.process = process_start(argv, NULL);
    if (!process_wait_port(nginx.process, nginx.tls_port, 10000)) {
        char *errors = process_errors(nginx.process);
        ck_abort_msg("nginx does not listen: %s", errors);
    }
    free(path), free(text), free(key), free(certificate), free(program);
    return nginx;
}

static void nginx_stop(struct nginx *nginx) {
    process_signal(nginx->process, SIGTERM);
    ck_assert_int_ne(process_wait_exit(nginx->process, GATED_WAIT_MS), PROCESS_RUNNING);
    process_free(nginx->process);
    free(nginx->folder);
}

static struct scene start_before(const struct nginx *nginx, bool tls, const char *options) {
    char *entry =
        tls ? scratch_text(
                  "{name: up, targets: [\"https://127.0.0.1:%d\"], tls: {ca_file: \"%s\"%s}}",
                  nginx->tls_port, certificate_authority_file(), options)
            : scratch_text("{name: up, targets: [\"http://127.0.0.1:%d\"]%s}", nginx->port,
                           options);
    struct scene scene = gated_start(entry, NULL);
    free(entry);
    return scene;
}

/* --- asking ---------------------------------------------------------------------------------- */

/* "METHOD path" with these header lines: its answer, which has that status. */
static struct response ask(struct client *client, const char *line, const char *headers,
                           int status) {
    struct response response;
    ck_assert(client_sendf(client, "%s HTTP/1.1\r\nHost: api.example\r\n%s\r\n", line, headers));
    enum client_result result = strncmp(line, "HEAD ", 5) == 0
                                    ? client_read_to_head(client, GATED_WAIT_MS, &response)
                                    : client_read(client, GATED_WAIT_MS, &response);
    ck_assert_msg(result == CLIENT_OK, "%s: %d", line, result);
    ck_assert_msg(response.status == status, "%s: %d: %s", line, response.status, response.head);
    ck_assert_int_eq(response_header_count(&response, "X-Request-Id"), 1);
    return response;
}

static bool says(const struct response *response, const char *name, const char *value) {
    return span_equal_text(response_header(response, name), value);
}

static void check_filler(struct response *response, uint64_t offset, size_t len) {
    ck_assert_uint_eq(response->body_len, len);
    ck_assert(upstream_is_filler(offset, (struct span){response->body, len}));
    client_response_done(response);
}

/* A 304 may end the connection. */
static struct client *fresh(const struct scene *scene, struct client *client) {
    client_free(client);
    return gated_client(scene);
}

static struct client *check_conditions(const struct scene *scene, struct client *client) {
    struct response response = ask(client, "GET /file", "", 200);
    char *etag = scratch_text("%.*s", SPAN_PRINTF(response_header(&response, "ETag")));
    char *since = scratch_text("%.*s", SPAN_PRINTF(response_header(&response, "Last-Modified")));
    ck_assert(*etag && *since);
    client_response_done(&response);
    char *conditions[] = {scratch_text("If-None-Match: %s\r\n", etag),
                          scratch_text("If-Modified-Since: %s\r\n", since)};
    for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
        response = ask(client, "GET /file", conditions[i], 304);
        ck_assert(says(&response, "ETag", etag) && says(&response, "Last-Modified", since));
        client_response_done(&response);
        client = fresh(scene, client);
        free(conditions[i]);
    }
    response = ask(client, "GET /file", "If-None-Match: \"other\"\r\n", 200);
    check_filler(&response, 0, FILE_LEN);
    response = ask(client, "GET /file", "If-Match: \"other\"\r\n", 412);
    client_response_done(&response);
    free(since), free(etag);
    return client;
}

static void check_ranges(struct client *client) {
    struct response response = ask(client, "GET /file", "Range: bytes=1000-1999\r\n", 206);
    char *range = scratch_text("bytes 1000-1999/%zu", FILE_LEN);
    ck_assert(says(&response, "Content-Range", range) && says(&response, "Content-Length", "1000"));
    check_filler(&response, 1000, 1000);
    response = ask(client, "GET /file", "Range: bytes=-100000\r\n", 206);
    check_filler(&response, FILE_LEN - 100000, 100000);
    response = ask(client, "GET /file", "Range: bytes=0-9,4000000-4000099\r\n", 206);
    struct span type = response_header(&response, "Content-Type");
    ck_assert(span_starts_with(type, SPAN_LITERAL("multipart/byteranges; boundary=")));
    ck_assert(strstr(response.body, "Content-Range: bytes 4000000-4000099/"));
    client_response_done(&response);
    response = ask(client, "GET /file", "Range: bytes=99999999-\r\n", 416);
    client_response_done(&response);
    free(range);
}

/* The bytes of the one body that nginx kept, which is then removed. */
static void check_kept_body(const struct nginx *nginx, size_t len) {
    char *folder = scratch_text("%s/bodies", nginx->folder);
    DIR *listing = opendir(folder);
    int count = 0;
    ck_assert_ptr_nonnull(listing);
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (entry->d_name[0] == '.') continue;
        char *path = scratch_text("%s/%s", folder, entry->d_name);
        size_t kept_len = 0;
        char *kept = scratch_read(path, &kept_len);
        ck_assert(kept && ++count == 1);
        ck_assert_uint_eq(kept_len, len);
        ck_assert(upstream_is_filler(0, (struct span){kept, kept_len}));
        ck_assert_int_eq(unlink(path), 0);
        free(kept), free(path);
    }
    ck_assert_int_eq(count, 1);
    closedir(listing);
    free(folder);
}

static void check_uploads(const struct nginx *nginx, struct client *client) {
    char *body = malloc(BODY_LEN);
    upstream_filler(0, body, BODY_LEN);
    for (int i = 0; i < 4; i++) {
        size_t len = i & 2 ? 5 : BODY_LEN;
        bool chunked = i & 1;
        struct response response;
        ck_assert(chunked
                      ? client_sendf(client,
                                     "POST /sink HTTP/1.1\r\nHost: h\r\n"
                                     "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
                                     len)
                      : client_sendf(client,
                                     "PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                                     len));
        ck_assert(client_send(client, (struct span){body, len}));
        if (chunked) ck_assert(client_send(client, SPAN_LITERAL("\r\n0\r\n\r\n")));
        ck_assert_int_eq(client_read(client, GATED_WAIT_MS, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 201);
        ck_assert_str_eq(response.body, chunked ? "POST" : "PUT");
        client_response_done(&response);
        check_kept_body(nginx, len);
    }
    free(body);
}

/* protocols: of TLS; NULL is without. */
static void check_all(const char *protocols) {
    bool tls = protocols != NULL;
    struct nginx nginx = nginx_start("off", tls ? protocols : TLS_1_3);
    struct scene scene = start_before(&nginx, tls, "");
    struct client *client = gated_client(&scene);
    char *length = scratch_text("%zu", FILE_LEN);
    for (int i = 0; i < 2; i++) {
        struct response response = ask(client, "GET /file", "", 200);
        ck_assert(says(&response, "Content-Length", length));
        check_filler(&response, 0, FILE_LEN);
        response = ask(client, "GET /chunked/file", "", 200);
        ck_assert(says(&response, "Transfer-Encoding", "chunked"));
        check_filler(&response, 0, FILE_LEN);
        response = ask(client, "HEAD /file", "", 200);
        ck_assert(says(&response, "Content-Length", length));
        client_response_done(&response);
        response = ask(client, "GET /none", "", 404);
        client_response_done(&response);
    }
    check_ranges(client);
    check_uploads(&nginx, client);
    client = check_conditions(&scene, client);
    client_free(client);
    free(length);
    scene_end(&scene);
    nginx_stop(&nginx);
}

TEST_WITHIN(nginx_gets_and_gives_everything_in_the_plain, 60) {
    check_all(NULL);
}

TEST_WITHIN(nginx_gets_and_gives_everything_by_tls_1_3, 60) {
    check_all(TLS_1_3);
}

TEST_WITHIN(nginx_gets_and_gives_everything_by_tls_1_2, 60) {
    check_all(TLS_1_2);
}

/* nginx counts the requests of each connection, and ends it at fifty. */
static void check_reuse(bool tls) {
    struct nginx nginx = nginx_start("off", TLS_1_3);
    struct scene scene = start_before(&nginx, tls, "");
    struct client *client = gated_client(&scene);
    for (int i = 0; i < 220; i++) {
        struct response response = ask(client, i % 7 ? "GET /count" : "HEAD /count", "", 200);
        char *expected = scratch_text("%d GET", i % 50 + 1);
        if (i % 7) ck_assert_str_eq(response.body, expected);
        free(expected);
        client_response_done(&response);
    }
    client_free(client);
    scene_end(&scene);
    nginx_stop(&nginx);
}

TEST(nginx_connections_are_used_for_as_long_as_it_lets_us) {
    check_reuse(false);
}

TEST(nginx_connections_are_used_for_as_long_as_it_lets_us_by_tls) {
    check_reuse(true);
}

TEST(nginx_learns_who_is_calling_and_not_the_token) {
    struct nginx nginx = nginx_start("off", TLS_1_3);
    struct scene scene = start_before(&nginx, true, "");
    struct client *client = gated_client(&scene);
    char *headers =
        scratch_text("Authorization: Bearer %s\r\nX-Auth-User: mallory\r\n", scene.token);
    struct response response = ask(client, "GET /who", headers, 200);
    ck_assert_str_eq(response.body, "alice@example.com||TLSv1.3|NONE|api.example");
    client_response_done(&response);
    response = ask(client, "GET /who", "X-Auth-User: mallory\r\n", 200);
    ck_assert_str_eq(response.body, "||TLSv1.3|NONE|api.example");
    client_response_done(&response);
    free(headers);
    client_free(client);
    scene_end(&scene);
    nginx_stop(&nginx);
}

TEST(nginx_accepts_our_certificate_and_no_other) {
    struct nginx nginx = nginx_start("on", TLS_1_3);
    static const struct {
        bool shown, stranger;
        int status;
    } rows[] = {{true, false, 200}, {true, true, 400}, {false, false, 400}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *folder = scratch_new(), *certificate, *key;
        certificate_client_files(folder, rows[i].stranger, &certificate, &key);
        char *options = rows[i].shown ? scratch_text(", certificate: \"%s\", private_key: \"%s\"",
                                                     certificate, key)
                                      : strdup("");
        struct scene scene = start_before(&nginx, true, options);
        struct client *client = gated_client(&scene);
        for (int k = 0; k < 3; k++) {
            struct response response = ask(client, "GET /who", "", rows[i].status);
            if (rows[i].status == 200) ck_assert(strstr(response.body, "|SUCCESS|"));
            client_response_done(&response);
        }
        client_free(client);
        free(options), free(key), free(certificate), free(folder);
        scene_end(&scene);
    }
    nginx_stop(&nginx);
}

/* It ends politely, and comes back: what failed in between was told, and nothing hangs. */
TEST(nginx_may_go_and_come_back) {
    struct nginx nginx = nginx_start("off", TLS_1_3);
    struct scene scene = start_before(&nginx, false, "");
    struct client *client = gated_client(&scene);
    struct response response = ask(client, "GET /count", "", 200);
    client_response_done(&response);
    process_signal(nginx.process, SIGSTOP);
    process_signal(nginx.process, SIGKILL);
    ck_assert_int_ne(process_wait_exit(nginx.process, GATED_WAIT_MS), PROCESS_RUNNING);
    response = ask(client, "GET /count", "", 502);
    client_response_done(&response);
    process_free(nginx.process);

    char *program = find_nginx(), *path = scratch_text("%s/nginx.conf", nginx.folder);
    char *sink = scratch_text("%s/sink", nginx.folder);
    ck_assert_int_eq(unlink(sink), 0); /* what a killed one leaves behind */
    const char *argv[] = {program, "-e", "stderr", "-p", nginx.folder, "-c", path, NULL};
    nginx.process = process_start(argv, NULL);
    ck_assert(process_wait_port(nginx.process, nginx.port, 10000));
    response = ask(client, "GET /count", "", 200);
    client_response_done(&response);
    free(sink), free(path), free(program);
    client_free(client);
    scene_end(&scene);
    nginx_stop(&nginx);
}
