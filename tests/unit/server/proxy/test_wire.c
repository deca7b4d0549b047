/* Wires without TLS, against sockets that the test itself opens. SIGPIPE keeps its default: one
 * signal would end the test. */
#include "server/proxy/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/span.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define WAIT_MS 5000

static union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_un local;
} address;
static socklen_t address_len;
static struct err_text err;

/* --- the peer -------------------------------------------------------------------------------- */

static int listen_tcp(int backlog) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    address_len = sizeof address.v4;
    ck_assert_int_eq(bind(fd, &address.any, address_len), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    ck_assert_int_eq(getsockname(fd, &address.any, &address_len), 0);
    return fd;
}

static int listen_unix(int backlog) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char *folder = scratch_new();
    address.local = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address.local.sun_path, sizeof address.local.sun_path, "%s/socket", folder);
    address_len = sizeof address.local;
    free(folder);
    ck_assert_int_eq(bind(fd, &address.any, address_len), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    return fd;
}

static void reset(int fd) {
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static void expect_bytes(int fd, const char *text) {
    char bytes[64];
    ssize_t n = recv(fd, bytes, strlen(text), MSG_WAITALL);
    ck_assert_msg(n == (ssize_t)strlen(text) && memcmp(bytes, text, (size_t)n) == 0, "%s: %zd",
                  text, n);
}

/* --- the wire -------------------------------------------------------------------------------- */

static void wait_for(const struct wire *wire, short events) {
    struct pollfd waiting = {.fd = wire->fd, .events = events};
    ck_assert_int_eq(poll(&waiting, 1, WAIT_MS), 1);
}

static struct wire open_wire(void) {
    struct wire wire;
    enum wire_result result;
    ck_assert_msg(wire_open(&address.any, address_len, NULL, &wire, &err) == 0, "%s", err.text);
    while ((result = wire_advance(&wire, &err)) == WIRE_AGAIN) wait_for(&wire, POLLOUT);
    ck_assert_msg(result == WIRE_OK, "%s", err.text);
    ck_assert(wire.ready);
    return wire;
}

/* A wire and the peer's end of it. */
static struct wire open_pair(int listener, int *ret_peer) {
    struct wire wire = open_wire();
    *ret_peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(*ret_peer, 0);
    close(listener);
    return wire;
}

static enum wire_result read_some(struct wire *wire, char bytes[64]) {
    enum wire_result result;
    size_t len = 0;
    while ((result = wire_read(wire, bytes, 63, &len, &err)) == WIRE_AGAIN) wait_for(wire, POLLIN);
    bytes[len] = '\0';
    return result;
}

static void expect_text(struct wire *wire, const char *text) {
    char bytes[64];
    enum wire_result result = read_some(wire, bytes);
    ck_assert_msg(result == WIRE_OK, "%d: %s", (int)result, err.text);
    ck_assert_str_eq(bytes, text);
}

static void expect_end(struct wire *wire, enum wire_result expected) {
    char bytes[64];
    enum wire_result result = read_some(wire, bytes);
    ck_assert_msg(result == expected, "%d: %s %s", (int)result, bytes, err.text);
}

static void send_text(struct wire *wire, const char *text) {
    size_t len = 0;
    ck_assert_int_eq(wire_write(wire, text, strlen(text), &len, &err), WIRE_OK);
    ck_assert_uint_eq(len, strlen(text));
}

/* --- connecting ------------------------------------------------------------------------------ */

TEST(bytes_go_both_ways_over_tcp_and_a_unix_socket) {
    for (int i = 0; i < 2; i++) {
        int peer;
        char byte;
        size_t len;
        struct wire wire = open_pair(i == 0 ? listen_tcp(8) : listen_unix(8), &peer);
        ck_assert_int_eq(wire_read(&wire, &byte, 1, &len, &err), WIRE_AGAIN);
        send_text(&wire, "question");
        expect_bytes(peer, "question");
        ck_assert_int_eq(send(peer, "answer", 6, 0), 6);
        expect_text(&wire, "answer");
        ck_assert_int_eq(wire_advance(&wire, &err), WIRE_OK);
        close(peer);
        expect_end(&wire, WIRE_CLOSED);
        expect_end(&wire, WIRE_CLOSED);
        wire_close(&wire);
    }
}

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t len = sizeof value;
    ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

TEST(the_descriptor_is_as_the_contract_says) {
    int peer;
    struct wire wire = open_pair(listen_tcp(8), &peer);
    ck_assert(fcntl(wire.fd, F_GETFL) & O_NONBLOCK);
    ck_assert(fcntl(wire.fd, F_GETFD) & FD_CLOEXEC);
    ck_assert_int_ne(option(wire.fd, IPPROTO_TCP, TCP_NODELAY), 0);
    ck_assert_int_ne(option(wire.fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    wire_close(&wire);
    close(peer);
}

TEST(a_close_frees_the_descriptor_and_may_come_twice) {
    int peer;
    char byte;
    struct wire wire = open_pair(listen_tcp(8), &peer);
    int fd = wire.fd;
    wire_close(&wire);
    ck_assert_int_eq(wire.fd, -1);
    ck_assert(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
    ck_assert_int_eq(recv(peer, &byte, 1, 0), 0);
    wire_close(&wire);
    wire_close(&(struct wire){.fd = -1});
    close(peer);
}

/* Open and advance until it fails; where it fails first is the system's choice. */
static void expect_no_connection(const char *expected) {
    struct wire wire;
    enum wire_result result = WIRE_FAILED;
    err.text[0] = '\0';
    int r = wire_open(&address.any, address_len, NULL, &wire, &err);
    if (r == 0)
        while ((result = wire_advance(&wire, &err)) == WIRE_AGAIN) wait_for(&wire, POLLOUT);
    else
        ck_assert(r == ERR_SYSTEM && wire.fd == -1);
    ck_assert_int_eq(result, WIRE_FAILED);
    ck_assert_str_eq(err.text, expected);
    /* A failure is never forgotten, however often one asks. */
    if (r == 0) ck_assert_int_ne(wire_advance(&wire, &err), WIRE_OK);
    ck_assert(!wire.ready && wire_is_stale(&wire));
    wire_close(&wire);
}

TEST(a_refused_connection_says_who_refused) {
    close(listen_tcp(8));
    char *expected = scratch_text("cannot connect to 127.0.0.1:%u: Connection refused",
                                  (unsigned)ntohs(address.v4.sin_port));
    expect_no_connection(expected);
    free(expected);

    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct wire wire;
    v6.sin6_port = htons(1);
    if (wire_open((struct sockaddr *)&v6, sizeof v6, NULL, &wire, &err) == 0)
        ck_assert_str_eq(wire.address, "[::1]:1");
    else
        ck_assert_ptr_nonnull(strstr(err.text, " [::1]:1: "));
    wire_close(&wire);
}

TEST(a_unix_socket_that_is_not_there_or_not_served_is_refused) {
    close(listen_unix(8));
    expect_no_connection("cannot connect to the unix socket: Connection refused");
    unlink(address.local.sun_path);
    expect_no_connection("cannot connect to the unix socket: No such file or directory");
}

TEST(a_unix_socket_with_a_full_queue_fails_at_once) {
    int listener = listen_unix(0), r = 0, count = 0;
    struct wire wires[16];
    while (r == 0 && count < 16)
        r = wire_open(&address.any, address_len, NULL, &wires[count++], &err);
    ck_assert_int_gt(count, 1);
    ck_assert_int_eq(r, ERR_SYSTEM);
    ck_assert_int_eq(wires[count - 1].fd, -1);
    ck_assert_str_eq(err.text, "cannot connect to the unix socket: its queue is full");
    while (count > 0) wire_close(&wires[--count]);
    close(listener);
}

TEST(an_address_of_no_known_family_is_refused) {
    struct sockaddr nowhere = {.sa_family = 255};
    struct wire wire;
    ck_assert_int_eq(wire_open(&nowhere, sizeof nowhere, NULL, &wire, &err), ERR_SYSTEM);
    ck_assert_int_eq(wire.fd, -1);
    ck_assert_int_eq(wire_open(&nowhere, sizeof nowhere, NULL, &wire, NULL), ERR_SYSTEM);
}

/* A listener whose queue is full leaves SYNs without an answer. */
TEST(a_connection_that_is_not_answered_stays_under_way) {
    int listener = listen_tcp(0);
    struct wire wires[8];
    int waiting = 0;
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(wire_open(&address.any, address_len, NULL, &wires[i], &err), 0);
        enum wire_result result = wire_advance(&wires[i], &err);
        ck_assert_int_ne(result, WIRE_FAILED);
        ck_assert_int_eq(wires[i].ready, result == WIRE_OK);
        waiting += result == WIRE_AGAIN;
    }
    ck_assert_int_gt(waiting, 0);
    for (int i = 0; i < 8; i++) wire_close(&wires[i]);
    close(listener);
}

/* --- ends ------------------------------------------------------------------------------------ */

TEST(a_reset_fails_reading_and_writing_without_a_signal) {
    int peer;
    char bytes[64];
    size_t len;
    struct wire wire = open_pair(listen_tcp(8), &peer);
    reset(peer);
    ck_assert_int_eq(read_some(&wire, bytes), WIRE_FAILED);
    char *expected = scratch_text("reading from 127.0.0.1:%u failed: Connection reset by peer",
                                  (unsigned)ntohs(address.v4.sin_port));
    ck_assert_str_eq(err.text, expected);
    ck_assert_int_eq(wire_write(&wire, "x", 1, &len, &err), WIRE_FAILED);
    ck_assert_ptr_nonnull(strstr(err.text, "Broken pipe"));
    wire_close(&wire);
    free(expected);
}

TEST(a_peer_that_has_ended_its_stream_still_reads_ours) {
    int peer;
    struct wire wire = open_pair(listen_tcp(8), &peer);
    ck_assert_int_eq(send(peer, "last", 4, 0), 4);
    shutdown(peer, SHUT_WR);
    expect_text(&wire, "last");
    expect_end(&wire, WIRE_CLOSED);
    send_text(&wire, "more");
    expect_bytes(peer, "more");
    wire_close(&wire);
    close(peer);
}

TEST(who_finished_still_reads) {
    int peer;
    char byte;
    struct wire wire = open_pair(listen_tcp(8), &peer);
    send_text(&wire, "last");
    wire_finish(&wire);
    wire_finish(&wire);
    expect_bytes(peer, "last");
    ck_assert_int_eq(recv(peer, &byte, 1, 0), 0);
    ck_assert_int_eq(send(peer, "answer", 6, 0), 6);
    expect_text(&wire, "answer");
    close(peer);
    expect_end(&wire, WIRE_CLOSED);
    wire_close(&wire);
}

/* A server that refuses a body early: it answers, and closes on what it did not read. */
TEST(an_early_answer_can_be_read_after_a_write_failed) {
    int peer;
    static const char body[65536];
    enum wire_result result;
    size_t len;
    struct wire wire = open_pair(listen_tcp(8), &peer);
    send_text(&wire, "head");
    ck_assert_int_eq(send(peer, "413", 3, 0), 3);
    wait_for(&wire, POLLIN); /* a reset may overtake what has not arrived */
    close(peer);
    while ((result = wire_write(&wire, body, sizeof body, &len, &err)) != WIRE_FAILED)
        if (result == WIRE_AGAIN) wait_for(&wire, POLLOUT);
    expect_text(&wire, "413");
    wire_close(&wire);
}

/* --- much ------------------------------------------------------------------------------------ */

#define MUCH (8 * 1024 * 1024)

static char at(size_t offset) {
    return (char)(offset * 2654435761U >> 13);
}

/* All that the peer has to read now. */
static void drain(int peer, size_t *total) {
    char bytes[65536];
    for (ssize_t n; (n = recv(peer, bytes, sizeof bytes, MSG_DONTWAIT)) > 0; *total += (size_t)n)
        for (ssize_t i = 0; i < n; i++)
            if (bytes[i] != at(*total + (size_t)i)) ck_abort_msg("at %zu", *total + (size_t)i);
}

/* As the workers do it: the descriptor is registered once, edge-triggered. */
TEST(a_full_socket_is_told_and_an_edge_tells_when_there_is_room) {
    int peer, again = 0;
    struct wire wire = open_pair(listen_tcp(8), &peer);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, wire.fd, &event), 0);
    char *bytes = malloc(MUCH);
    for (size_t i = 0; i < MUCH; i++) bytes[i] = at(i);

    size_t sent = 0, received = 0;
    while (sent < MUCH) {
        size_t len = 0;
        enum wire_result result = wire_write(&wire, bytes + sent, MUCH - sent, &len, &err);
        sent += len;
        if (result == WIRE_OK) continue;
        ck_assert_int_eq(result, WIRE_AGAIN);
        again++;
        while (epoll_wait(epoll, &event, 1, 0) > 0) {
        }
        drain(peer, &received);
        ck_assert_int_eq(epoll_wait(epoll, &event, 1, WAIT_MS), 1);
    }
    ck_assert_int_gt(again, 0);
    wire_finish(&wire);
    for (struct pollfd waiting = {.fd = peer, .events = POLLIN}; received < MUCH;) {
        ck_assert_int_eq(poll(&waiting, 1, WAIT_MS), 1);
        drain(peer, &received);
    }
    ck_assert_uint_eq(received, MUCH);
    free(bytes);
    wire_close(&wire);
    close(epoll);
    close(peer);
}

/* --- at rest --------------------------------------------------------------------------------- */

static void send_byte(int fd) {
    ck_assert_int_eq(send(fd, "x", 1, 0), 1);
}

static void half_close(int fd) {
    shutdown(fd, SHUT_WR);
}

static void close_it(int fd) {
    close(fd);
}

TEST(bytes_and_ends_at_rest_are_stale_and_silence_is_not) {
    static void (*const acts[])(int fd) = {send_byte, half_close, close_it, reset};
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        int peer;
        struct wire wire = open_pair(listen_tcp(8), &peer);
        ck_assert_msg(!wire_is_stale(&wire), "%zu", i);
        ck_assert_int_eq(send(peer, "answer", 6, 0), 6);
        expect_text(&wire, "answer");
        ck_assert_msg(!wire_is_stale(&wire), "%zu", i);
        acts[i](peer);
        wait_for(&wire, POLLIN);
        ck_assert_msg(wire_is_stale(&wire), "%zu", i);
        if (i == 0) expect_text(&wire, "x"); /* a look takes nothing away */
        wire_close(&wire);
        if (i < 2) close(peer);
    }
}

TEST(a_wire_that_is_not_open_is_stale) {
    ck_assert(wire_is_stale(&(struct wire){.fd = -1}));
}
