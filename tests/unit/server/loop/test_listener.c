#include "server/loop/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

static struct listener *open_good(const char *address) {
    struct listener *listener = NULL;
    struct err_text err = {""};
    int r = listener_open(address, &listener, &err);
    ck_assert_msg(r == 0, "%s: %s", address, err.text);
    ck_assert_str_eq(listener->address, address);
    ck_assert(fcntl(listener->fd, F_GETFL) & O_NONBLOCK);
    ck_assert(fcntl(listener->fd, F_GETFD) & FD_CLOEXEC);
    return listener;
}

static void expect_refusal(const char *address, const char *why) {
    struct listener *listener = NULL;
    struct err_text err = {""};
    ck_assert_int_eq(listener_open(address, &listener, &err), ERR_SYSTEM);
    ck_assert_ptr_null(listener);
    ck_assert_msg(strstr(err.text, why), "%s: %s", address, err.text);
}

static bool connects(const struct listener *listener) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    ck_assert_int_eq(getsockname(listener->fd, (struct sockaddr *)&address, &len), 0);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connected = connect(fd, (struct sockaddr *)&address, len) == 0;
    close(fd);
    return connected;
}

TEST(addresses_of_every_kind_are_listened_on) {
    char *folder = scratch_new(), *unix_address = scratch_text("unix:%s/sock", folder);
    const char *const addresses[] = {"127.0.0.1:0", "localhost:0", "[::1]:0",
                                     "0.0.0.0:0",   "[::]:0",      unix_address};
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct listener *listener = open_good(addresses[i]);
        ck_assert_msg(connects(listener), "%s", addresses[i]);
        listener_unref(listener);
    }
    free(unix_address);
    free(folder);
}

TEST(what_cannot_be_listened_on_says_why) {
    int port = process_free_port();
    char *taken = scratch_text("127.0.0.1:%d", port);
    struct listener *first = open_good(taken);
    expect_refusal(taken, "Address already in use");
    expect_refusal("192.0.2.1:0", "Cannot assign requested address");
    expect_refusal("no.such.host.invalid:1", "cannot listen on no.such.host.invalid:1: ");
    expect_refusal("127.0.0.1", "it is not host:port");
    expect_refusal("unix:/no/such/folder/sock", "No such file or directory");
    expect_refusal("systemd:web", "systemd passed no socket named \"web\"");
    listener_unref(first);
    listener_unref(open_good(taken)); /* free again */
    free(taken);
}

TEST(a_path_that_is_too_long_for_a_unix_socket_is_refused) {
    char address[256] = "unix:/tmp/";
    memset(address + strlen(address), 'x', 120);
    expect_refusal(address, "the path is too long");
}

static int bind_unix(const char *path, bool listening) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    if (listening) ck_assert_int_eq(listen(fd, 1), 0);
    return fd;
}

TEST(a_stale_unix_socket_is_replaced_a_live_one_and_other_files_are_not) {
    char *folder = scratch_new(), *path = scratch_text("%s/sock", folder);
    char *address = scratch_text("unix:%s", path);

    close(bind_unix(path, true)); /* left over */
    struct listener *listener = open_good(address);
    ck_assert(connects(listener));
    expect_refusal(address, "Address already in use"); /* alive */
    ck_assert(connects(listener));
    listener_unref(listener);
    ck_assert_int_ne(access(path, F_OK), 0);

    free(scratch_file(folder, "sock", SPAN_LITERAL("precious")));
    expect_refusal(address, "Address already in use");
    char *content = scratch_read(path, NULL);
    ck_assert_str_eq(content, "precious");
    free(content);
    free(address);
    free(path);
    free(folder);
}

TEST(the_last_reference_closes_and_removes_the_socket) {
    char *folder = scratch_new(), *path = scratch_text("%s/sock", folder);
    char *address = scratch_text("unix:%s", path);
    struct listener *listener = open_good(address), *again = listener_ref(listener);
    listener_unref(listener);
    ck_assert(connects(again));
    listener_unref(again);
    ck_assert_int_ne(access(path, F_OK), 0);
    listener_unref(NULL);
    free(address);
    free(path);
    free(folder);
}

TEST(a_listener_that_is_shut_refuses_clients_whoever_still_holds_it) {
    char *folder = scratch_new(), *path = scratch_text("%s/sock", folder);
    char *unix_address = scratch_text("unix:%s", path);
    const char *const addresses[] = {"127.0.0.1:0", "[::1]:0", unix_address};
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct listener *listener = open_good(addresses[i]), *held = listener_ref(listener);
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        ck_assert_int_eq(getsockname(held->fd, (struct sockaddr *)&address, &len), 0);
        listener_shut(listener);
        int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_msg(connect(fd, (struct sockaddr *)&address, len) < 0, "%s", addresses[i]);
        close(fd);
        ck_assert_int_ne(access(path, F_OK), 0);
        listener_unref(listener);
        listener_unref(open_good(addresses[i])); /* the address is free for the next */
        listener_unref(held);
    }
    free(unix_address), free(path), free(folder);
}
