#include "common/journal.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define BAD "\xef\xbf\xbd"

TEST(a_field_is_a_line_of_its_own_whatever_its_value_holds) {
    static const struct {
        struct span value;
        const char *line;
    } cases[] = {
        {S("plain"), "K=plain\n"},
        {S(""), "K=\n"},
        {S("a=b \"c\" \\"), "K=a=b \"c\" \\\n"},
        {S("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "K=\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n"},
        {S("x\nPRIORITY=0"), "K=x" BAD "PRIORITY=0\n"},
        {S("x\r\n"), "K=x" BAD BAD "\n"},
        {S("\0a\x7f"), "K=" BAD "a" BAD "\n"},
        {S("\x1b[31m"), "K=" BAD "[31m\n"},
        {S("\xc2\x85\xc2\x9b\xc2\xa0"), "K=" BAD BAD "\xc2\xa0\n"},
        {S("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xae"), "K=" BAD BAD BAD "\n"},
        {S("\xff\xc0\x8a"), "K=" BAD BAD BAD "\n"},
    };
    struct buf entry = buf_make(100);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_reset(&entry);
        journal_add(&entry, S("K"), cases[i].value);
        ck_assert_msg(span_equal_text(buf_span(&entry), cases[i].line), "case %zu: %s", i,
                      entry.data);
    }
    buf_done(&entry);
}

/* A socket of a journal at path. */
static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_uint_lt(strlen(path), sizeof address.sun_path);
    strcpy(address.sun_path, path);
    unlink(path);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

TEST(entries_arrive_whole_and_one_by_one_also_after_a_restart) {
    char *folder = scratch_new(), *path = scratch_text("%s/socket", folder), got[64];
    int fd = journal_open();

    ck_assert_int_eq(journal_send(fd, path, S("A=1\n")), JOURNAL_MISSING);
    for (int i = 0; i < 2; i++) {
        int listener = listen_at(path);
        ck_assert_int_eq(journal_send(fd, path, S("A=1\nB=2\n")), JOURNAL_SENT);
        ck_assert_int_eq(journal_send(fd, path, S("A=3\n")), JOURNAL_SENT);
        ck_assert_int_eq(recv(listener, got, sizeof got, 0), 8);
        ck_assert_mem_eq(got, "A=1\nB=2\n", 8);
        ck_assert_int_eq(recv(listener, got, sizeof got, 0), 4);
        close(listener);
        ck_assert_int_eq(journal_send(fd, path, S("A=1\n")), JOURNAL_MISSING);
    }
    close(fd);
    free(path);
    free(folder);
}

TEST_WITHIN(a_journal_that_reads_nothing_never_blocks, 5) {
    char *folder = scratch_new(), *path = scratch_text("%s/socket", folder), got[64];
    int fd = journal_open(), listener = listen_at(path), sent = 0;
    enum journal_sent result;

    while ((result = journal_send(fd, path, S("A=1\n"))) == JOURNAL_SENT)
        ck_assert_int_lt(++sent, 1000000);
    ck_assert_int_eq(result, JOURNAL_BUSY);
    ck_assert_int_gt(sent, 0);
    for (int i = 0; i < sent; i++) ck_assert_int_eq(recv(listener, got, sizeof got, 0), 4);
    ck_assert_int_eq(journal_send(fd, path, S("A=1\n")), JOURNAL_SENT);
    close(fd);
    close(listener);
    free(path);
    free(folder);
}

TEST(a_path_too_long_for_a_socket_and_a_missing_descriptor_are_no_journal) {
    char path[200];
    int fd = journal_open();
    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = '\0';
    ck_assert_int_eq(journal_send(fd, path, S("A=1\n")), JOURNAL_MISSING);
    ck_assert_int_eq(journal_send(-1, "/tmp", S("A=1\n")), JOURNAL_MISSING);
    close(fd);
}
