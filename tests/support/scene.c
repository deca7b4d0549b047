#include "tests/support/scene.h"

#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"

#define ANSWER_MS 5000
#define TALK_MAX ((size_t)1 << 20)

static const char *or_empty(const char *text) {
    return text ? text : "";
}

char *scene_yaml(int port, const char *keys, const struct scene_options *options) {
    const char *log = options->log ? options->log : "{format: text, level: info, access: false}";
    return scratch_text("listen: [{address: \"127.0.0.1:%d\"}%s]\n"
                        "workers: 2\n"
                        "log: %s\n"
                        "issuers: [{issuer: \"%s\", audiences: [api], jwks_file: \"%s\"%s}]\n"
                        "%s",
                        port, or_empty(options->listen), log, SCENE_ISSUER, keys,
                        or_empty(options->issuer), or_empty(options->rest));
}

static char *write_keys(const char *folder, const char *given) {
    char *own = MINT_JWKS(mint_jwk(mint_key(MINT_P256), SCENE_KID, "ES256"));
    char *path = scratch_file(folder, "keys.json", span_of(given ? given : own));
    free(own);
    return path;
}

char *scene_token(const char *changes) {
    return mint_good(SCENE_ISSUER, "ES256", mint_key(MINT_P256), SCENE_KID, changes);
}

void scene_configure(const struct scene *scene, const struct scene_options *options) {
    char *yaml = scene_yaml(scene->daemon->port, scene->keys, options);
    free(scratch_file(scene->daemon->folder, "bearerd.yaml", span_of(yaml)));
    free(yaml);
}

static void start_daemon(struct daemon *daemon, const char *const environment[]) {
    char *program = daemon_program(), *path = scratch_text("%s/bearerd.yaml", daemon->folder);
    const char *argv[] = {program, "-c", path, NULL};
    daemon->process = process_start(argv, environment);
    if (!process_wait_port(daemon->process, daemon->port, 10000)) {
        char *errors = process_errors(daemon->process);
        ck_abort_msg("bearerd does not listen: %s", errors);
    }
    free(path);
    free(program);
}

/* Whatever the token gets in the end, it is no more 503 once the keys are read. */
static void wait_for_keys(const struct scene *scene) {
    long until = process_now_ms() + ANSWER_MS;
    int status;
    while ((status = daemon_get(scene->daemon, "/profile/", scene->token, NULL)) == 503 ||
           status == 0) {
        bool ended = process_ended(scene->daemon->process);
        if (ended || process_now_ms() >= until) {
            char *errors = process_errors(scene->daemon->process);
            ck_abort_msg("bearerd %s: %s", ended ? "ended" : "is not ready", errors);
        }
        process_sleep_ms(5);
    }
}

struct scene scene_start(const struct scene_options *options) {
    struct scene scene = {.daemon = calloc(1, sizeof *scene.daemon), .token = scene_token(NULL)};
    ck_assert_ptr_nonnull(scene.daemon);
    scene.daemon->port = process_free_port();
    scene.daemon->folder = scratch_new();
    scene.keys = write_keys(scene.daemon->folder, options->jwks);
    scene_configure(&scene, options);
    start_daemon(scene.daemon, options->environment);
    wait_for_keys(&scene);
    return scene;
}

void scene_end(struct scene *scene) {
    daemon_stop(scene->daemon);
    free(scene->token);
    free(scene->keys);
}

bool scene_reload(const struct scene *scene, const struct scene_options *options) {
    scene_configure(scene, options);
    return scene_reload_as_it_stands(scene);
}

bool scene_reload_as_it_stands(const struct scene *scene) {
    struct process *process = scene->daemon->process;
    int good = process_count_errors(process, "notice: reloaded");
    int bad = process_count_errors(process, "error: reload failed");
    process_signal(process, SIGHUP);
    for (long until = process_now_ms() + 10000; process_now_ms() < until; process_sleep_ms(5)) {
        if (process_count_errors(process, "notice: reloaded") > good) return true;
        if (process_count_errors(process, "error: reload failed") > bad) return false;
    }
    ck_abort_msg("neither reloaded nor refused to");
}

char *scene_get(const char *path, const char *headers) {
    return scratch_text("GET %s HTTP/1.1\r\nHost: api.example\r\n%s\r\n", path, headers);
}

/* --- checks ---------------------------------------------------------------------------------- */

static bool is_header(const struct response *response, const char *name, const char *value) {
    if (!value) return response_header_count(response, name) == 0;
    return response_header_count(response, name) == 1 &&
           span_equal_text(response_header(response, name), value);
}

void scene_check(struct client *client, struct span request, const struct expected *expected) {
    struct response response;
    /* The server may answer and close before it took all of it. */
    (void)client_send(client, request);
    bool to_head = request.len > 5 && memcmp(request.ptr, "HEAD ", 5) == 0;
    enum client_result result = to_head ? client_read_to_head(client, ANSWER_MS, &response)
                                        : client_read(client, ANSWER_MS, &response);
    ck_assert_msg(result == CLIENT_OK, "no answer (%d) to %.300s", result, request.ptr);
    ck_assert_msg(response.status == expected->status, "%d, not %d, to %.300s: %s", response.status,
                  expected->status, request.ptr, response.body);
    ck_assert_msg(is_header(&response, "WWW-Authenticate", expected->challenge),
                  "not the challenge %s: %s", or_empty(expected->challenge), response.head);
    ck_assert_msg(is_header(&response, "Cache-Control", "no-store"), "%s", response.head);
    ck_assert_msg(is_header(&response, "Connection", expected->close ? "close" : NULL),
                  "%.300s: %s", request.ptr, response.head);
    if (expected->body) ck_assert_str_eq(response.body, expected->body);
    if (expected->close) ck_assert(client_closed(client, ANSWER_MS));
    client_response_done(&response);
}

void scene_check_serves(const struct scene *scene, const char *what) {
    int status = daemon_get(scene->daemon, "/", scene->token, NULL);
    ck_assert_msg(status == 200, "after %.300s a good request gets %d", what, status);
}

void scene_check_alone(const struct scene *scene, struct span request,
                       const struct expected *expected) {
    struct client *client = client_connect(scene->daemon->port);
    ck_assert_ptr_nonnull(client);
    scene_check(client, request, expected);
    client_free(client);
    scene_check_serves(scene, request.ptr);
}

/* --- raw bytes ------------------------------------------------------------------------------- */

int scene_connect(const struct scene *scene) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)scene->daemon->port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_all(int fd, struct span bytes) {
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0) return; /* the server closed; what it said before is there to be read */
        bytes = span_from(bytes, (size_t)n);
    }
}

char *scene_talk(const struct scene *scene, struct span bytes, int first_ms, int quiet_ms,
                 bool *ret_closed) {
    struct buf received = buf_make(TALK_MAX);
    char chunk[16384];
    int fd = scene_connect(scene);
    struct pollfd poller = {fd, POLLIN, 0};

    send_all(fd, bytes);
    *ret_closed = false;
    while (!*ret_closed && poll(&poller, 1, received.len ? quiet_ms : first_ms) > 0) {
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n > 0) buf_add(&received, (struct span){chunk, (size_t)n});
        *ret_closed = n <= 0;
    }
    close(fd);
    return received.data ? received.data : strdup("");
}

/* Length of the answer that text starts with; *ret_last: a client reads none behind it. */
static size_t answer_length(const char *text, bool to_head, bool *ret_last) {
    const char *end = strstr(text, "\r\n\r\n");
    ck_assert_msg(strncmp(text, "HTTP/1.1 ", 9) == 0 && end, "no answer: %.300s", text);
    struct response response = {.head = strndup(text, (size_t)(end - text) + 2)};
    struct span length = response_header(&response, "Content-Length");
    ck_assert_msg(length.ptr && response_header_count(&response, "Content-Length") == 1, "%s",
                  response.head);
    size_t head_len = (size_t)(end - text) + 4, len = to_head ? 0 : strtoul(length.ptr, NULL, 10);
    ck_assert_msg(strlen(text) >= head_len + len, "cut short: %s", text);
    *ret_last = span_equal_text(response_header(&response, "Connection"), "close");
    client_response_done(&response);
    return head_len + len;
}

int scene_count_answers(const char *text, bool to_head, int *ret_status) {
    bool last = false;
    int count = 0;
    *ret_status = *text ? atoi(text + strlen("HTTP/1.1 ")) : 0;
    for (; *text && !last; count++) text += answer_length(text, to_head && count == 0, &last);
    return count;
}
