/*
 * Where requests come in besides a TCP port of our own: Unix sockets, IPv6, sockets that systemd
 * passes; and what systemd is told.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/support/issuer.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 4 : 1)
#define ONE "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

/* Is a request on this connection served? Closes it. */
static bool fd_is_served(int fd) {
    char answer[16] = "";
    struct timeval limit = {5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    bool served = write(fd, ONE, strlen(ONE)) == (ssize_t)strlen(ONE) &&
                  read(fd, answer, 12) == 12 && strcmp(answer, "HTTP/1.1 200") == 0;
    close(fd);
    return served;
}

static bool unix_is_served(const char *path) {
    struct client *client = client_connect_unix(path);
    if (!client) return false;
    scene_check(client, span_of(ONE), &(struct expected){.status = 200});
    client_free(client);
    return true;
}

/* bearerd with this configuration, where it must end by itself. The caller frees what it said. */
static char *refusal_of(const char *yaml) {
    char *folder = scratch_new(), *program = daemon_program();
    char *path = scratch_file(folder, "bearerd.yaml", span_of(yaml));
    struct process *process = process_start((const char *[]){program, "-c", path, NULL}, NULL);
    ck_assert_int_eq(process_wait_exit(process, 5000 * SLOW), 1);
    char *errors = process_errors(process);
    process_free(process);
    free(path), free(program), free(folder);
    return errors;
}

#define ISSUERS                                                                                    \
    "issuers: [{issuer: \"https://idp.example\", audiences: [api], "                               \
    "jwks_uri: \"http://127.0.0.1:1/\"}]\n"

/* --- Unix sockets ---------------------------------------------------------------------------- */

TEST(a_unix_socket_is_served_and_removed_at_the_end) {
    char *folder = scratch_new(), *path = scratch_text("%s/http.sock", folder);
    char *listen = scratch_text(", {address: \"unix:%s\"}", path);
    struct scene scene = scene_start(&(struct scene_options){.listen = listen});
    ck_assert(unix_is_served(path));
    ck_assert(unix_is_served(path));
    scene_end(&scene);
    ck_assert_int_ne(access(path, F_OK), 0);
    free(listen), free(path), free(folder);
}

TEST(a_stale_unix_socket_is_replaced_and_a_live_one_is_not) {
    char *folder = scratch_new(), *path = scratch_text("%s/http.sock", folder);
    char *listen = scratch_text(", {address: \"unix:%s\"}", path);
    struct scene_options options = {.listen = listen};
    struct scene scene = scene_start(&options);
    ck_assert(unix_is_served(path));

    /* Another bearerd finds it in use, says so, and does it no harm. */
    char *yaml = scratch_text("listen: [{address: \"unix:%s\"}]\n" ISSUERS, path);
    char *errors = refusal_of(yaml);
    char *told = scratch_text("cannot listen on unix:%s: Address already in use", path);
    ck_assert_msg(strstr(errors, told), "%s", errors);
    ck_assert(unix_is_served(path));

    process_signal(scene.daemon->process, SIGKILL); /* leaves its socket behind */
    process_wait_exit(scene.daemon->process, 5000);
    process_free(scene.daemon->process);
    ck_assert_int_eq(access(path, F_OK), 0);
    struct scene next = scene_start(&options);
    ck_assert(unix_is_served(path));
    scene_end(&next);
    free(scene.daemon->folder), free(scene.daemon), free(scene.token), free(scene.keys);
    free(told), free(errors), free(yaml), free(listen), free(path), free(folder);
}

TEST(a_file_that_is_no_socket_is_never_removed) {
    char *folder = scratch_new();
    char *path = scratch_file(folder, "http.sock", SPAN_LITERAL("precious"));
    char *yaml = scratch_text("listen: [{address: \"unix:%s\"}]\n" ISSUERS, path);
    char *errors = refusal_of(yaml), *content = scratch_read(path, NULL);
    ck_assert_msg(strstr(errors, "Address already in use"), "%s", errors);
    ck_assert_str_eq(content, "precious");
    free(content), free(errors), free(yaml), free(path), free(folder);
}

TEST(clients_of_a_unix_socket_are_not_limited_by_address) {
    char *folder = scratch_new(), *path = scratch_text("%s/http.sock", folder);
    char *listen = scratch_text(", {address: \"unix:%s\"}", path);
    struct scene scene = scene_start(&(struct scene_options){
        .listen = listen, .rest = "limits: {connections_per_address: 1}\n"});
    struct client *clients[5];
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        clients[i] = client_connect_unix(path);
        scene_check(clients[i], span_of(ONE), &(struct expected){.status = 200});
    }
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) client_free(clients[i]);
    scene_end(&scene);
    free(listen), free(path), free(folder);
}

/* --- IPv6 ------------------------------------------------------------------------------------ */

TEST(ipv6_is_served) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0) test_skip("no IPv6 loopback");
    getsockname(fd, (struct sockaddr *)&address, &len);
    close(fd);

    char *listen = scratch_text(", {address: \"[::1]:%d\"}", ntohs(address.sin6_port));
    struct scene scene = scene_start(&(struct scene_options){
        .listen = listen, .log = "{format: text, level: info, access: true}"});
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, len), 0);
    ck_assert(fd_is_served(fd));
    ck_assert(process_wait_errors(scene.daemon->process, "client=::1 ", 2000));
    scene_end(&scene);
    free(listen);
}

/* --- sockets that systemd passes ------------------------------------------------------------- */

/* A listening socket at a descriptor that a shell can name. */
static int passed_socket(int *ret_port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    *ret_port = ntohs(address.sin_port);
    int passed = fcntl(fd, F_DUPFD, 5); /* without FD_CLOEXEC */
    ck_assert_int_le(passed, 9);
    close(fd);
    return passed;
}

/* bearerd with this socket as the one that systemd calls name. */
static struct process *start_activated(const char *folder, int fd, const char *name) {
    char *yaml = scratch_text("listen: [{address: \"systemd:web\"}]\nworkers: 2\n"
                              "log: {format: text, level: info, access: false}\n%s"
                              "limits: {drain_timeout: 1s}\n",
                              ISSUERS);
    char *path = scratch_file(folder, "bearerd.yaml", span_of(yaml)), *program = daemon_program();
    char *script = scratch_text("exec 3<&%d %d<&-; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=%s "
                                "exec %s -c %s",
                                fd, fd, name, program, path);
    struct process *process = process_start((const char *[]){"sh", "-c", script, NULL}, NULL);
    free(script), free(program), free(path), free(yaml);
    return process;
}

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

TEST(a_socket_passed_by_systemd_is_served_and_survives_reloads_and_a_restart) {
    int port, socket_fd = passed_socket(&port);
    char *folder = scratch_new();
    int early = connect_to(port); /* before anybody accepts, as socket activation has it */
    struct process *process = start_activated(folder, socket_fd, "web");
    ck_assert(fd_is_served(early));
    for (int i = 1; i <= 3; i++) {
        process_signal(process, SIGHUP);
        for (long until = process_now_ms() + 5000;
             process_count_errors(process, "notice: reloaded") < i; process_sleep_ms(5))
            ck_assert_int_lt(process_now_ms(), until);
        ck_assert(fd_is_served(connect_to(port)));
    }
    process_signal(process, SIGTERM);
    ck_assert_int_eq(process_wait_exit(process, 5000), 0);
    process_free(process);
    /* The socket is systemd's: it still takes connections, for the next instance. */
    early = connect_to(port);
    process = start_activated(folder, socket_fd, "web");
    ck_assert(fd_is_served(early));
    process_signal(process, SIGTERM);
    ck_assert_int_eq(process_wait_exit(process, 5000), 0);
    process_free(process);
    close(socket_fd);
    free(folder);
}

TEST(a_socket_of_another_name_is_refused_by_name) {
    int port, socket_fd = passed_socket(&port);
    char *folder = scratch_new();
    struct process *process = start_activated(folder, socket_fd, "other");
    ck_assert_int_eq(process_wait_exit(process, 5000 * SLOW), 1);
    ck_assert_int_eq(process_count_errors(process, "systemd passed no socket named"), 1);
    process_free(process);
    close(socket_fd);
    free(folder);
}

/* --- what systemd is told -------------------------------------------------------------------- */

struct notes {
    int fd;
    char *path;
    char *environment[3];
    char said[65536]; /* messages so far, each with a line end */
};

static void notes_open(struct notes *notes, const char *watchdog) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *folder = scratch_new();
    notes->path = scratch_text("%s/notify", folder);
    notes->environment[0] = scratch_text("NOTIFY_SOCKET=%s", notes->path);
    notes->environment[1] = watchdog ? scratch_text("WATCHDOG_USEC=%s", watchdog) : NULL;
    notes->environment[2] = NULL;
    notes->said[0] = '\0';
    strcpy(address.sun_path, notes->path);
    notes->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(notes->fd, (struct sockaddr *)&address, sizeof address), 0);
    free(folder);
}

static void notes_done(struct notes *notes) {
    close(notes->fd);
    free(notes->path), free(notes->environment[0]), free(notes->environment[1]);
}

/* Listen until text was said count times in all. False when that took longer. */
static bool notes_wait(struct notes *notes, const char *text, int count, int within_ms) {
    struct pollfd poller = {notes->fd, POLLIN, 0};
    long until = process_now_ms() + within_ms, left;
    for (;;) {
        int found = 0;
        for (const char *at = notes->said; (at = strstr(at, text)); at++) found++;
        if (found >= count) return true;
        left = until - process_now_ms();
        if (left <= 0 || poll(&poller, 1, (int)left) <= 0) return false;
        size_t len = strlen(notes->said);
        ssize_t n = recv(notes->fd, notes->said + len, sizeof notes->said - len - 2, 0);
        ck_assert_int_gt(n, 0);
        strcpy(notes->said + len + n, "\n");
    }
}

TEST_WITHIN(systemd_hears_ready_only_when_there_are_keys, 40) {
    struct notes notes;
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    char *folder = scratch_new(), *program = daemon_program();
    char *yaml = scratch_text("listen: [{address: \"127.0.0.1:0\"}]\n"
                              "issuers: [{issuer: \"%s\", audiences: [api]}]\n",
                              issuer_url(issuer));
    char *path = scratch_file(folder, "bearerd.yaml", span_of(yaml));
    notes_open(&notes, NULL);
    struct process *process = process_start((const char *[]){program, "-c", path, NULL},
                                            (const char *const *)notes.environment);
    ck_assert(notes_wait(&notes, "STATUS=waiting for the keys of an issuer\n", 1, 5000));
    ck_assert(!notes_wait(&notes, "READY=1", 1, 500));

    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", NULL));
    issuer_serve_keys(issuer, jwks);
    ck_assert(notes_wait(&notes, "READY=1\n", 1, 10000));
    ck_assert(notes_wait(&notes, "STATUS=serving\n", 1, 1000));
    issuer_down(issuer);
    ck_assert(!notes_wait(&notes, "READY=1", 2, 300)); /* once */
    process_signal(process, SIGTERM);
    ck_assert_int_eq(process_wait_exit(process, 5000), 0);
    process_free(process);
    notes_done(&notes);
    free(jwks), free(path), free(yaml), free(program), free(folder);
    issuer_stop(issuer);
}

TEST(systemd_hears_of_reloads_good_and_bad_and_of_the_stop) {
    struct notes notes;
    notes_open(&notes, NULL);
    struct scene scene =
        scene_start(&(struct scene_options){.environment = (const char *const *)notes.environment});
    ck_assert(notes_wait(&notes, "READY=1\n", 1, 5000));
    ck_assert(scene_reload(&scene, &(struct scene_options){0}));
    ck_assert(notes_wait(&notes, "READY=1\n", 2, 5000));
    ck_assert(!scene_reload(&scene, &(struct scene_options){.rest = "unknown: 1\n"}));
    ck_assert(notes_wait(&notes, "READY=1\n", 3, 5000));
    /* RELOADING comes before READY, with the time that Type=notify-reload wants. */
    const char *reloading = strstr(notes.said, "RELOADING=1\nMONOTONIC_USEC=");
    ck_assert_msg(reloading && strstr(reloading, "READY=1"), "%s", notes.said);
    ck_assert_ptr_nonnull(strstr(reloading + 1, "RELOADING=1\n"));
    ck_assert_ptr_null(strstr(notes.said, "STOPPING=1"));
    scene_end(&scene);
    ck_assert_msg(notes_wait(&notes, "STOPPING=1\n", 1, 1000), "%s", notes.said);
    ck_assert_ptr_null(strstr(notes.said, "WATCHDOG"));
    notes_done(&notes);
}

TEST(the_watchdog_is_fed_more_often_than_it_asks_for) {
    struct notes notes;
    notes_open(&notes, "2000000");
    struct scene scene =
        scene_start(&(struct scene_options){.environment = (const char *const *)notes.environment});
    ck_assert(notes_wait(&notes, "WATCHDOG=1\n", 1, 2000));
    for (int i = 2; i <= 4; i++) {
        long before = process_now_ms();
        ck_assert(notes_wait(&notes, "WATCHDOG=1\n", i, 2000));
        ck_assert_int_lt(process_now_ms() - before, 1000 * SLOW); /* half of it, as advised */
    }
    scene_end(&scene);
    notes_done(&notes);
}
