#include "server/loop/conn.h"

#include <errno.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/support/suite.h"

/* The list must be exactly these, from both ends. */
static void check_list(const struct deadline_list *list, struct conn *const *expected,
                       size_t count) {
    const struct conn *at = list->head;
    for (size_t i = 0; i < count; i++, at = at->next) {
        ck_assert_ptr_eq(at, expected[i]);
        ck_assert_ptr_eq(at->prev, i ? expected[i - 1] : NULL);
        ck_assert_ptr_eq(at->waits_in, list);
    }
    ck_assert_ptr_null(at);
    ck_assert_ptr_eq(list->tail, count ? expected[count - 1] : NULL);
}
#define CHECK_LIST(list, ...)                                                                      \
    check_list((list), (struct conn *[]){__VA_ARGS__},                                             \
               sizeof((struct conn *[]){__VA_ARGS__}) / sizeof(struct conn *))

TEST(connections_wait_in_order_in_one_list_at_a_time) {
    struct deadline_list heads = {0}, idle = {0};
    struct conn a = {0}, b = {0}, c = {0};

    conn_expect(&a, &heads, 10);
    conn_expect(&b, &heads, 11);
    conn_expect(&c, &heads, 12);
    CHECK_LIST(&heads, &a, &b, &c);
    ck_assert_int_eq(b.deadline_ms, 11);

    conn_expect(&b, &idle, 20); /* from the middle to another list */
    CHECK_LIST(&heads, &a, &c);
    CHECK_LIST(&idle, &b);
    conn_expect(&a, &heads, 21); /* from the head to the end of the same list */
    CHECK_LIST(&heads, &c, &a);
    ck_assert_int_eq(a.deadline_ms, 21);

    conn_expect_nothing(&a); /* from the tail */
    CHECK_LIST(&heads, &c);
    conn_expect_nothing(&a); /* twice is fine */
    conn_expect_nothing(&c);
    conn_expect_nothing(&b);
    check_list(&heads, NULL, 0);
    check_list(&idle, NULL, 0);
    ck_assert_ptr_null(a.waits_in);
}

/* Time limits shrink with a reload: what came later may be due sooner. */
TEST(the_first_in_the_list_is_the_first_to_expire_whatever_came_first) {
    struct deadline_list list = {0};
    struct conn a = {0}, b = {0}, c = {0}, d = {0};
    conn_expect(&a, &list, 30);
    conn_expect(&b, &list, 10); /* in front */
    conn_expect(&c, &list, 20); /* between */
    conn_expect(&d, &list, 20); /* behind its equal */
    CHECK_LIST(&list, &b, &c, &d, &a);
    conn_expect(&a, &list, 5);
    CHECK_LIST(&list, &a, &b, &c, &d);
}

TEST(a_connection_that_is_cut_ends_for_both_sides) {
    int fds[2];
    char byte;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct conn conn = {.fd = fds[0]};
    conn_cut(&conn);
    ck_assert_int_eq(read(fds[1], &byte, 1), 0);
    ck_assert_int_eq(read(fds[0], &byte, 1), 0);
    close(fds[0]);
    close(fds[1]);
}

/* A connection over loopback: the client's end in *ret_client, the server's is returned. */
static int accept_one(int *ret_client) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *ret_client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    ck_assert_int_eq(connect(*ret_client, (struct sockaddr *)&address, sizeof address), 0);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    close(listener);
    return fd;
}

/* To a client of HTTP/1.0 the end of the connection is the end of the body; a reset is not. */
TEST(a_connection_that_is_reset_is_no_end_to_the_client) {
    int client;
    char bytes[16];
    struct conn conn = {.fd = accept_one(&client)};

    ck_assert_int_eq(send(conn.fd, "half", 4, 0), 4);
    ck_assert_int_eq(recv(client, bytes, sizeof bytes, 0), 4);
    conn_reset(&conn);
    ck_assert_int_eq(recv(client, bytes, sizeof bytes, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    close(conn.fd);
    close(client);
}

/* The other way to end one, which is an end to the client: so the test above tells them apart. */
TEST(a_connection_that_is_finished_ends_for_the_client_and_still_hears_it) {
    int client;
    char bytes[16];
    struct conn conn = {.fd = accept_one(&client)};

    ck_assert_int_eq(send(conn.fd, "last", 4, 0), 4);
    conn_finish(&conn);
    ck_assert_int_eq(recv(client, bytes, sizeof bytes, MSG_WAITALL), 4);
    ck_assert_int_eq(recv(client, bytes, sizeof bytes, 0), 0);
    ck_assert_int_eq(send(client, "more", 4, MSG_NOSIGNAL), 4);
    ck_assert_int_eq(recv(conn.fd, bytes, sizeof bytes, MSG_WAITALL | MSG_DONTWAIT), 4);
    close(conn.fd);
    close(client);
}
