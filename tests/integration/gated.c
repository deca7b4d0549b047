#include "tests/integration/gated.h"

#include <check.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"

#define HEARD_MAX ((size_t)64 << 20)
#define TWO_WORKERS "\nworkers: 2\n"
#define ONE_WORKER "\nworkers: 1\n"

/* --- the daemon ------------------------------------------------------------------------------ */

static char *make_yaml(const struct scene *scene, const char *upstreams, const char *rest) {
    char *more = scratch_text("upstreams: [%s]\n"
                              "routes: [{path: /profile/, respond: profile},"
                              " {path: /*, upstream: up, anonymous: allow}]\n"
                              "%s",
                              upstreams, rest ? rest : "");
    struct scene_options options = {.log = "{format: text, level: info, access: true}",
                                    .rest = more};
    char *yaml = scene_yaml(scene->daemon->port, scene->keys, &options);
    char *at = strstr(yaml, TWO_WORKERS);
    ck_assert_ptr_nonnull(at);
    memcpy(at, ONE_WORKER, strlen(ONE_WORKER));
    free(more);
    return yaml;
}

static char *configure(const struct scene *scene, const char *upstreams, const char *rest) {
    char *yaml = make_yaml(scene, upstreams, rest);
    char *path = scratch_file(scene->daemon->folder, "bearerd.yaml", span_of(yaml));
    free(yaml);
    return path;
}

static void wait_until_ready(const struct scene *scene) {
    if (process_wait_port(scene->daemon->process, scene->daemon->port, 10000) &&
        daemon_wait_status(scene->daemon, "/profile/", scene->token, 200, GATED_WAIT_MS))
        return;
    char *errors = process_errors(scene->daemon->process);
    ck_abort_msg("bearerd is not ready: %s", errors);
}

struct scene gated_start(const char *upstreams, const char *rest) {
    struct scene scene = {.daemon = calloc(1, sizeof *scene.daemon), .token = scene_token(NULL)};
    ck_assert_ptr_nonnull(scene.daemon);
    scene.daemon->port = process_free_port();
    scene.daemon->folder = scratch_new();
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), SCENE_KID, "ES256"));
    scene.keys = scratch_file(scene.daemon->folder, "keys.json", span_of(jwks));

    char *path = configure(&scene, upstreams, rest), *program = daemon_program();
    const char *argv[] = {program, "-c", path, NULL};
    scene.daemon->process = process_start(argv, NULL);
    wait_until_ready(&scene);
    free(program);
    free(path);
    free(jwks);
    return scene;
}

bool gated_reload(const struct scene *scene, const char *upstreams, const char *rest) {
    free(configure(scene, upstreams, rest));
    return scene_reload_as_it_stands(scene);
}

char *gated_entry(const struct upstream *upstream, const char *options) {
    return scratch_text("{name: up, targets: [\"%s\"]%s%s}", upstream_target(upstream),
                        *options ? ", " : "", options);
}

struct scene gated_start_for(const struct upstream *upstream, const char *options) {
    char *entry = gated_entry(upstream, options);
    struct scene scene = gated_start(entry, NULL);
    free(entry);
    return scene;
}

int gated_files(const struct scene *scene) {
    int least = process_open_files(scene->daemon->process);
    for (int i = 0; i < 20; i++) {
        process_sleep_ms(5);
        int files = process_open_files(scene->daemon->process);
        if (files < least) least = files;
    }
    return least;
}

int gated_settled_files(const struct scene *scene, int wanted) {
    long until = process_now_ms() + GATED_WAIT_MS;
    int files;
    while ((files = process_open_files(scene->daemon->process)) > wanted &&
           process_now_ms() < until)
        process_sleep_ms(10);
    return files;
}

void gated_check_logged(const struct scene *scene, const char *text, int times) {
    struct process *process = scene->daemon->process;
    for (long until = process_now_ms() + GATED_WAIT_MS; process_now_ms() < until;) {
        if (process_count_errors(process, text) >= times) return;
        process_sleep_ms(5);
    }
    char *errors = process_errors(process);
    ck_abort_msg("\"%s\" is not logged %d times: %s", text, times, errors);
}

void gated_check_log(const struct scene *scene, const char *text) {
    gated_check_logged(scene, text, 1);
}

void gated_freeze(const struct scene *scene) {
    int status;
    process_signal(scene->daemon->process, SIGSTOP);
    /* Its threads stop a moment later. */
    pid_t pid = process_pid(scene->daemon->process);
    ck_assert(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

void gated_thaw(const struct scene *scene) {
    process_signal(scene->daemon->process, SIGCONT);
}

void gated_ended(struct scene *scene) {
    int code = process_wait_exit(scene->daemon->process, 2 * GATED_WAIT_MS);
    char *errors = process_errors(scene->daemon->process);
    ck_assert_msg(code == 0 && strstr(errors, "notice: stopped"), "%d: %s", code, errors);
    free(errors);
    process_free(scene->daemon->process);
    free(scene->daemon->folder);
    free(scene->daemon);
    free(scene->token);
    free(scene->keys);
}

/* --- one request ----------------------------------------------------------------------------- */

struct client *gated_client(const struct scene *scene) {
    struct client *client = client_connect(scene->daemon->port);
    ck_assert_ptr_nonnull(client);
    return client;
}

void gated_ask(struct client *client, const char *path) {
    ck_assert(client_sendf(client, "GET %s HTTP/1.1\r\nHost: api.example\r\n\r\n", path));
}

void gated_get(struct client *client, const char *path, int status, const char *body) {
    struct response response;
    gated_ask(client, path);
    enum client_result result = client_read(client, GATED_WAIT_MS, &response);
    ck_assert_msg(result == CLIENT_OK, "GET %s: no answer (%d)", path, result);
    ck_assert_msg(response.status == status, "GET %s: %d: %s", path, response.status,
                  response.body);
    if (body) ck_assert_str_eq(response.body, body);
    client_response_done(&response);
}

void gated_check_problem(struct client *client, int status, const char *error) {
    struct response response;
    enum client_result result = client_read(client, GATED_WAIT_MS, &response);
    ck_assert_msg(result == CLIENT_OK, "no answer (%d)", result);
    ck_assert_msg(response.status == status, "%d, not %d: %s", response.status, status,
                  response.body);
    struct span id = response_header(&response, "X-Request-Id");
    ck_assert_msg(id.len > 0 && response_header_count(&response, "X-Request-Id") == 1, "%s",
                  response.head);
    ck_assert(span_equal_text(response_header(&response, "Content-Type"), "application/json"));
    ck_assert(span_equal_text(response_header(&response, "Cache-Control"), "no-store"));

    json_t *body = json_loads(response.body, 0, NULL);
    const char *told = json_string_value(json_object_get(body, "error"));
    const char *told_id = json_string_value(json_object_get(body, "request_id"));
    ck_assert_msg(told && strcmp(told, error) == 0, "%s", response.body);
    ck_assert_msg(told_id && span_equal_text(id, told_id), "%s%s", response.head, response.body);
    json_decref(body);
    client_response_done(&response);
}

long gated_fails(const struct scene *scene, const char *path, int status, const char *error) {
    struct client *client = gated_client(scene);
    long since = process_now_ms();
    gated_ask(client, path);
    gated_check_problem(client, status, error);
    long took = process_now_ms() - since;
    client_free(client);
    return took;
}

/* --- raw bytes ------------------------------------------------------------------------------- */

static void send_all(int fd, struct span bytes) {
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0) return; /* what was said before the end is there to be read */
        bytes = span_from(bytes, (size_t)n);
    }
}

int gated_say(const struct scene *scene, struct span bytes) {
    int fd = scene_connect(scene);
    send_all(fd, bytes);
    return fd;
}

/* Chunk after chunk up to the last one, and the empty line behind its trailers. */
static bool has_last_chunk(const char *at) {
    for (;;) {
        char *behind;
        size_t len = strtoul(at, &behind, 16);
        if (behind == at || strncmp(behind, "\r\n", 2) != 0) return false;
        if (len == 0) return strstr(behind, "\r\n\r\n") != NULL;
        if (strlen(behind) < 2 + len + 2) return false;
        at = behind + 2 + len + 2;
    }
}

bool gated_is_whole(const struct gated_heard *heard) {
    const char *end = strstr(heard->bytes, "\r\n\r\n");
    if (!end) return false;
    struct response head = {.head = strndup(heard->bytes, (size_t)(end - heard->bytes) + 2)};
    struct span length = response_header(&head, "Content-Length");
    size_t body_len = heard->len - (size_t)(end + 4 - heard->bytes);
    bool whole;
    if (response_header_count(&head, "Transfer-Encoding"))
        whole = has_last_chunk(end + 4);
    else if (length.ptr)
        whole = body_len >= strtoul(length.ptr, NULL, 10);
    else
        whole = heard->end == PROXIED_FINISHED;
    client_response_done(&head);
    return whole;
}

/* Nothing more will come, though the connection stays: nobody said that it ends. */
static bool is_at_rest(const struct gated_heard *heard) {
    return gated_is_whole(heard) && !strcasestr(heard->bytes, "\r\nConnection: close\r\n");
}

struct gated_heard gated_hear(int fd) {
    struct gated_heard heard = {.end = PROXIED_OPEN};
    struct buf received = buf_make(HEARD_MAX);
    long until = process_now_ms() + GATED_WAIT_MS;
    struct pollfd poller = {fd, POLLIN, 0};
    char some[16384];

    while (heard.end == PROXIED_OPEN) {
        long left = until - process_now_ms();
        if (poll(&poller, 1, left > 0 ? (int)left : 0) <= 0) break;
        ssize_t n = recv(fd, some, sizeof some, 0);
        if (n > 0) {
            buf_add(&received, (struct span){some, (size_t)n});
            heard.len = received.len;
            heard.bytes = received.data;
            if (is_at_rest(&heard)) break;
        } else {
            heard.end = n == 0 ? PROXIED_FINISHED : PROXIED_RESET;
        }
    }
    close(fd);
    ck_assert(buf_ok(&received));
    if (!heard.bytes) heard.bytes = strdup("");
    return heard;
}

struct gated_heard gated_talk(const struct scene *scene, struct span bytes) {
    return gated_hear(gated_say(scene, bytes));
}
