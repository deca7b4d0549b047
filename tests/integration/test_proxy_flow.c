/*
 * Much data through the proxy, in bounded memory: large bodies, many slow ones at once, and sides
 * that do not read, which stop the other one.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/integration/passage.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define WAIT_MS 10000
#define PIECE ((size_t)64 << 10)
#define MIB ((uint64_t)1 << 20)
#define LARGE (SCENE_SANITIZED ? 16 * MIB : 1024 * MIB)

static void script_download(const struct passage *passage, const char *path, uint64_t len) {
    char *head = scratch_text("HTTP/1.1 200 OK\r\nContent-Length: %lu\r\n\r\n", (unsigned long)len);
    upstream_script(
        passage->upstream, path,
        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(head)), UPSTREAM_FILL(len)));
    free(head);
}

/* --- the memory of bearerd ------------------------------------------------------------------- */

struct memory {
    const struct process *process;
    long before, most; /* KiB */
};

/* From now on, after one request has made what every request needs. */
static struct memory memory_from_now_on(const struct passage *passage) {
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(daemon_get(passage->scene.daemon, "/warm", passage->scene.token, NULL),
                         200);
    long now = process_rss_kib(passage->scene.daemon->process);
    return (struct memory){passage->scene.daemon->process, now, now};
}

static void memory_look(struct memory *memory) {
    long now = process_rss_kib(memory->process);
    if (now > memory->most) memory->most = now;
}

/* A sanitizer's memory is not what is tested. */
static void memory_check(struct memory *memory, long most_kib) {
    memory_look(memory);
    long grown = memory->most - memory->before;
    ck_assert_msg(SCENE_SANITIZED || grown < most_kib, "grew by %ld KiB, not less than %ld", grown,
                  most_kib);
}

/* --- a gibibyte each way, by curl ------------------------------------------------------------ */

/*
 * curl with these options, on one end of a pipe, as its standard input or output; the other end is
 * returned. Its status goes to standard error.
 */
static int start_curl(const struct passage *passage, bool upload, const char *options,
                      const char *path, struct process **ret) {
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    int ours = upload ? ends[1] : ends[0], its = upload ? ends[0] : ends[1];
    ck_assert_int_eq(fcntl(ours, F_SETFD, FD_CLOEXEC), 0);
    char *command = scratch_text("exec curl -sS -w '%%{stderr}status %%{http_code}\\n' %s "
                                 "-H 'Authorization: Bearer %s' 'http://127.0.0.1:%d%s' "
                                 "%s/proc/self/fd/%d",
                                 options, passage->scene.token, passage_port(passage), path,
                                 upload ? "<" : ">", its);
    *ret = process_start((const char *[]){"sh", "-c", command, NULL}, NULL);
    close(its);
    free(command);
    return ours;
}

static void end_curl(struct process *curl) {
    int code = process_wait_exit(curl, WAIT_MS);
    char *errors = process_errors(curl);
    ck_assert_msg(code == 0 && strcmp(errors, "status 200\n") == 0, "%d: %s", code, errors);
    free(errors);
    process_free(curl);
}

/* Write that much filler, looking at the memory meanwhile. Returns its digest. */
static uint64_t pour(int fd, uint64_t len, struct memory *memory) {
    static char piece[PIECE];
    uint64_t digest = UPSTREAM_DIGEST_EMPTY;
    for (uint64_t done = 0; done < len; done += sizeof piece) {
        upstream_filler(done, piece, sizeof piece);
        digest = upstream_digest(digest, (struct span){piece, sizeof piece});
        for (size_t at = 0; at < sizeof piece;) {
            ssize_t n = write(fd, piece + at, sizeof piece - at);
            ck_assert_msg(n > 0, "curl ended after %lu bytes", (unsigned long)done);
            at += (size_t)n;
        }
        if (done % MIB == 0) memory_look(memory);
    }
    close(fd);
    return digest;
}

static void check_large_upload(const char *options) {
    signal(SIGPIPE, SIG_IGN);
    struct passage passage = passage_start(&(struct passage_options){0});
    struct memory memory = memory_from_now_on(&passage);
    struct process *curl;
    int fd = start_curl(&passage, true, options, "/up", &curl);
    uint64_t digest = pour(fd, LARGE, &memory);
    end_curl(curl);
    const struct upstream_request *request = passage_request(&passage, "/up");
    ck_assert_uint_eq(request->body_len, LARGE);
    ck_assert_uint_eq(request->digest, digest);
    memory_check(&memory, 16 * 1024);
    passage_end(&passage);
}

TEST_WITHIN(a_gibibyte_goes_up_in_chunks_byte_by_byte, 180) {
    check_large_upload("-T -");
}

TEST_WITHIN(a_gibibyte_goes_up_by_length_byte_by_byte, 180) {
    char *options =
        scratch_text("-T - -H 'Transfer-Encoding:' -H 'Content-Length: %lu'", (unsigned long)LARGE);
    check_large_upload(options);
    free(options);
}

static void check_large_download(enum upstream_act act, const char *framing) {
    static char piece[PIECE];
    struct passage passage = passage_start(&(struct passage_options){0});
    struct memory memory = memory_from_now_on(&passage);
    char *head = scratch_text("HTTP/1.1 200 OK\r\n%s\r\n", framing);
    upstream_script(passage.upstream, "/down",
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(head)),
                                   {.act = act, .amount = LARGE}));
    struct process *curl;
    int fd = start_curl(&passage, false, "", "/down", &curl);
    uint64_t got = 0;
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) > 0; got += (uint64_t)n) {
        ck_assert_msg(upstream_is_filler(got, (struct span){piece, (size_t)n}), "behind byte %lu",
                      (unsigned long)got);
        if (got / MIB != (got + (uint64_t)n) / MIB) memory_look(&memory);
    }
    close(fd);
    ck_assert_uint_eq(got, LARGE);
    end_curl(curl);
    memory_check(&memory, 16 * 1024);
    free(head);
    passage_end(&passage);
}

TEST_WITHIN(a_gibibyte_comes_down_in_chunks_byte_by_byte, 180) {
    check_large_download(UPSTREAM_ACT_FILL_CHUNKED, "Transfer-Encoding: chunked\r\n");
}

TEST_WITHIN(a_gibibyte_comes_down_by_length_byte_by_byte, 180) {
    char *framing = scratch_text("Content-Length: %lu\r\n", (unsigned long)LARGE);
    check_large_download(UPSTREAM_ACT_FILL, framing);
    free(framing);
}

/* --- sides that do not read ------------------------------------------------------------------ */

/* How long nothing must move to count as stopped. */
#define STOPPED_MS 300

static int connect_slowly(int port, int receive_buffer) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Before connecting, for the window is agreed upon there. */
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static bool can(int fd, short event, int within_ms) {
    struct pollfd poller = {fd, event, 0};
    return poll(&poller, 1, within_ms) > 0;
}

static void send_text(int fd, const char *text) {
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (int)strlen(text));
}

/* Send the filler from *sent on up to len, until nothing more is taken for that time. */
static void send_filler(int fd, uint64_t *sent, uint64_t len, int within_ms) {
    char piece[PIECE];
    while (*sent < len && can(fd, POLLOUT, within_ms)) {
        size_t n = len - *sent < sizeof piece ? (size_t)(len - *sent) : sizeof piece;
        upstream_filler(*sent, piece, n);
        ssize_t taken = send(fd, piece, n, MSG_NOSIGNAL);
        ck_assert_msg(taken > 0, "closed after %lu bytes", (unsigned long)*sent);
        *sent += (uint64_t)taken;
    }
}

/* The status of the answer whose head comes on fd. */
static int read_status(int fd) {
    char answer[4096];
    size_t len = 0;
    do {
        ck_assert_msg(can(fd, POLLIN, WAIT_MS), "no answer");
        ssize_t n = recv(fd, answer + len, sizeof answer - 1 - len, 0);
        ck_assert_msg(n > 0, "closed");
        len += (size_t)n;
        answer[len] = '\0';
    } while (!strstr(answer, "\r\n\r\n"));
    return atoi(answer + strlen("HTTP/1.1 "));
}

static void check_stopped_uploads(bool https) {
    const uint64_t len = 64 * MIB, most = passage_under_way_max(64);
    static const char *const framings[] = {"by length", "in chunks"};
    struct passage passage = passage_start(&(struct passage_options){.https = https});
    struct memory memory = memory_from_now_on(&passage);
    upstream_script(passage.upstream, "/up",
                    UPSTREAM_STEPS(UPSTREAM_GATE, UPSTREAM_READ,
                                   UPSTREAM_SEND("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")));
    for (size_t i = 0; i < ARRAY_LEN(framings); i++) {
        int fd = connect_slowly(passage_port(&passage), 0);
        uint64_t sent = 0;
        char *headers = i ? strdup("Transfer-Encoding: chunked\r\n")
                          : scratch_text("Content-Length: %lu\r\n", (unsigned long)len);
        char *head = passage_head(&passage, "PUT", "/up", headers);
        send_text(fd, head);
        if (i) { /* one chunk, as large as the body */
            char *size = scratch_text("%lx\r\n", (unsigned long)len);
            send_text(fd, size);
            free(size);
        }
        ck_assert(upstream_wait(passage.upstream, UPSTREAM_AT_GATE, 1, WAIT_MS));
        send_filler(fd, &sent, len, STOPPED_MS);
        ck_assert_msg(sent < most, "%s: %lu bytes were taken", framings[i], (unsigned long)sent);
        memory_check(&memory, 1024);
        upstream_go(passage.upstream);
        send_filler(fd, &sent, len, WAIT_MS);
        ck_assert_uint_eq(sent, len);
        if (i) send_text(fd, "\r\n0\r\n\r\n");
        ck_assert_int_eq(read_status(fd), 200);
        const struct upstream_request *request = passage_request(&passage, "/up");
        ck_assert_uint_eq(request->body_len, len);
        ck_assert_uint_eq(request->digest, upstream_filler_digest(len));
        memory_check(&memory, 1024);
        close(fd);
        free(head), free(headers);
    }
    passage_end(&passage);
}

TEST_WITHIN(an_upstream_that_does_not_read_stops_the_client_until_it_does, 60) {
    check_stopped_uploads(false);
}

/* Here bytes leave in records, so that the buffers are seldom emptied at once. */
TEST_WITHIN(an_https_upstream_that_does_not_read_stops_the_client_until_it_does, 60) {
    check_stopped_uploads(true);
}

/* Until the upstream has sent nothing more for a while. How much that was in all. */
static uint64_t wait_until_stopped(const struct passage *passage) {
    uint64_t sent = 0, seen;
    do {
        seen = sent;
        process_sleep_ms(STOPPED_MS);
        sent = upstream_sent(passage->upstream);
    } while (sent != seen || sent == 0);
    return sent;
}

static void check_stopped_downloads(bool https) {
    const uint64_t len = 64 * MIB, most = passage_under_way_max(64);
    static const char *const framings[] = {"/length", "/chunked", "/until-close"};
    struct passage passage = passage_start(&(struct passage_options){.https = https});
    struct memory memory = memory_from_now_on(&passage);
    script_download(&passage, framings[0], len);
    upstream_script(
        passage.upstream, framings[1],
        UPSTREAM_STEPS(UPSTREAM_READ,
                       UPSTREAM_SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                       UPSTREAM_FILL_CHUNKED(len)));
    upstream_script(passage.upstream, framings[2],
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND("HTTP/1.1 200 OK\r\n\r\n"),
                                   UPSTREAM_FILL(len), UPSTREAM_CLOSE));
    for (size_t i = 0; i < ARRAY_LEN(framings); i++) {
        uint64_t before = upstream_sent(passage.upstream);
        struct client *client = client_connect(passage_port(&passage));
        struct response response;
        char *head = passage_head(&passage, "GET", framings[i], "");
        ck_assert(client_send(client, span_of(head)));
        ck_assert(upstream_wait_hits(passage.upstream, framings[i], 1, WAIT_MS));
        uint64_t sent = wait_until_stopped(&passage) - before;
        ck_assert_msg(sent < most, "%s: %lu bytes", framings[i], (unsigned long)sent);
        memory_check(&memory, 1024);
        ck_assert_int_eq(client_read(client, 60000, &response), CLIENT_OK);
        ck_assert_msg(response.body_len == len &&
                          upstream_is_filler(0, (struct span){response.body, response.body_len}),
                      "%s: %zu bytes", framings[i], response.body_len);
        memory_check(&memory, 1024);
        client_response_done(&response);
        client_free(client);
        free(head);
    }
    passage_end(&passage);
}

TEST_WITHIN(a_client_that_does_not_read_stops_the_upstream_until_it_does, 60) {
    check_stopped_downloads(false);
}

TEST_WITHIN(a_client_that_does_not_read_stops_an_https_upstream_until_it_does, 60) {
    check_stopped_downloads(true);
}

/*
 * libmicrohttpd answers no request before it was read, so that an upstream which reads on only when
 * its answer is taken would wait for ever. The rest of the request is given up then, visibly for
 * the upstream.
 */
TEST_WITHIN(an_answer_that_fills_all_buffers_before_the_request_was_read_is_delivered, 60) {
    const uint64_t up = 16 * MIB, down = 8 * MIB;
    signal(SIGPIPE, SIG_IGN);
    struct passage passage = passage_start(&(struct passage_options){0});
    struct memory memory = memory_from_now_on(&passage);
    upstream_script(
        passage.upstream, "/turn",
        UPSTREAM_STEPS(UPSTREAM_READ_SOME(MIB),
                       UPSTREAM_SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                       UPSTREAM_FILL_CHUNKED(down), UPSTREAM_READ));
    struct process *curl;
    int fd = start_curl(&passage, true, "--max-time 20 -T -", "/turn", &curl);
    (void)pour(fd, up, &memory);
    ck_assert_int_ne(process_wait_exit(curl, 25000), PROCESS_RUNNING);
    char *answer = process_output(curl);
    ck_assert_uint_eq(strlen(answer), down);
    ck_assert(upstream_is_filler(0, span_of(answer)));
    end_curl(curl);
    ck_assert(upstream_wait(passage.upstream, UPSTREAM_CUT_SHORT, 1, WAIT_MS));
    ck_assert_int_eq(passage_request(&passage, "/turn")->state, UPSTREAM_IS_CUT);
    memory_check(&memory, 1024);
    free(answer);
    passage_end(&passage);
}

/* --- many at once ---------------------------------------------------------------------------- */

#define SLOW_ONES (SCENE_SANITIZED ? 100 : 1000)
#define UPLOAD_SIZE ((uint64_t)64 << 10)
#define DOWNLOAD_SIZE ((uint64_t)256 << 10)
#define ROUNDS 32
/* All that one transfer may take of bearerd's memory, libmicrohttpd's pool included. */
#define EACH_KIB 96

struct slow {
    int fd;
    bool upload;
    uint64_t sent, got; /* of the body */
    bool has_head;
};

static struct slow begin_slow(const struct passage *passage, bool upload) {
    struct slow slow = {connect_slowly(passage_port(passage), 8192), upload, 0, 0, false};
    char *length = scratch_text("Content-Length: %lu\r\n", (unsigned long)UPLOAD_SIZE);
    char *head = upload ? passage_head(passage, "PUT", "/up", length)
                        : passage_head(passage, "GET", "/down", "");
    send_text(slow.fd, head);
    free(head), free(length);
    return slow;
}

/* Take the head of the answer off fd, up to the first byte of the body, looking only. */
static void skip_head(int fd) {
    char answer[2048];
    for (long until = process_now_ms() + WAIT_MS; process_now_ms() < until; process_sleep_ms(1)) {
        ssize_t n = recv(fd, answer, sizeof answer - 1, MSG_PEEK);
        answer[n > 0 ? n : 0] = '\0';
        char *end = strstr(answer, "\r\n\r\n");
        if (!end) continue;
        ck_assert_int_eq(atoi(answer + strlen("HTTP/1.1 ")), 200);
        ck_assert_int_gt(recv(fd, answer, (size_t)(end + 4 - answer), 0), 0);
        return;
    }
    ck_abort_msg("no answer");
}

static void read_some(struct slow *slow, size_t most) {
    char piece[DOWNLOAD_SIZE / ROUNDS];
    if (!slow->has_head) skip_head(slow->fd);
    slow->has_head = true;
    for (size_t n; most > 0 && slow->got < DOWNLOAD_SIZE; most -= n) {
        ck_assert_msg(can(slow->fd, POLLIN, WAIT_MS), "stalled at byte %lu",
                      (unsigned long)slow->got);
        ssize_t some = recv(slow->fd, piece, most, 0);
        ck_assert_msg(some > 0, "closed at byte %lu", (unsigned long)slow->got);
        n = (size_t)some;
        ck_assert(upstream_is_filler(slow->got, (struct span){piece, n}));
        slow->got += n;
    }
}

/* Each round moves every transfer on by a little. */
static void do_round(struct slow *all, size_t count, struct memory *memory) {
    for (size_t i = 0; i < count; i++) {
        struct slow *slow = &all[i];
        if (slow->upload)
            send_filler(slow->fd, &slow->sent, slow->sent + UPLOAD_SIZE / ROUNDS, WAIT_MS);
        else
            read_some(slow, DOWNLOAD_SIZE / ROUNDS);
    }
    memory_look(memory);
}

static void check_uploads(const struct passage *passage, int count) {
    uint64_t digest = upstream_filler_digest(UPLOAD_SIZE);
    int uploads = 0, all = upstream_count(passage->upstream, UPSTREAM_HEADS);
    for (int i = 0; i < all; i++) {
        const struct upstream_request *request = upstream_request(passage->upstream, i);
        if (!span_equal_text(request->target, "/up")) continue;
        ck_assert(request->state == UPSTREAM_WHOLE && request->body_len == UPLOAD_SIZE &&
                  request->digest == digest);
        uploads++;
    }
    ck_assert_int_eq(uploads, count);
}

/* bearerd has no more descriptors open than that. */
static void wait_for_files(const struct passage *passage, int most) {
    const struct process *process = passage->scene.daemon->process;
    for (long until = process_now_ms() + WAIT_MS; process_open_files(process) > most;
         process_sleep_ms(10))
        ck_assert_msg(process_now_ms() < until, "%d descriptors are left over",
                      process_open_files(process) - most);
}

TEST_WITHIN(a_thousand_slow_transfers_at_once_take_little_memory_each, 120) {
    static struct slow all[SLOW_ONES];
    struct passage passage = passage_start(&(struct passage_options){0});
    struct memory memory = memory_from_now_on(&passage);
    script_download(&passage, "/down", DOWNLOAD_SIZE);
    int before = upstream_count(passage.upstream, UPSTREAM_HEADS);
    int files = process_open_files(passage.scene.daemon->process);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) all[i] = begin_slow(&passage, i % 2);
    ck_assert(upstream_wait(passage.upstream, UPSTREAM_HEADS, before + SLOW_ONES, WAIT_MS * 3));
    memory_look(&memory);
    for (int i = 0; i < ROUNDS; i++) {
        do_round(all, ARRAY_LEN(all), &memory);
        if (i == ROUNDS / 2)
            ck_assert_int_ge(upstream_count(passage.upstream, UPSTREAM_OPEN), SLOW_ONES / 2);
    }
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i].upload) ck_assert_int_eq(read_status(all[i].fd), 200);
        ck_assert_uint_eq(all[i].upload ? all[i].sent : all[i].got,
                          all[i].upload ? UPLOAD_SIZE : DOWNLOAD_SIZE);
        close(all[i].fd);
    }
    check_uploads(&passage, SLOW_ONES / 2);
    memory_check(&memory, SLOW_ONES * EACH_KIB);
    wait_for_files(&passage, files + 2 * 64); /* each of two workers keeps 64 for later */
    passage_end(&passage);
}

/* The orderly end of a client stands behind all that it sent, which nobody reads. */
static void reset(int fd) {
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd);
}

/* The most that an upload can take: the upstream reads nothing, so that every buffer is full. */
TEST_WITHIN(uploads_that_the_upstream_does_not_take_fill_bounded_buffers, 60) {
    static const struct {
        const char *name;
        bool chunked;
    } rows[] = {{"by length", false}, {"in chunks", true}};
    enum { COUNT = 16, EACH_MAX_KIB = 256 };
    const uint64_t most = passage_under_way_max(128);
    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        struct passage passage = passage_start(&(struct passage_options){0});
        struct memory memory = memory_from_now_on(&passage);
        int fds[COUNT], files = process_open_files(passage.scene.daemon->process);
        upstream_script(passage.upstream, "/up", UPSTREAM_STEPS(UPSTREAM_HANG));
        char *head = passage_head(&passage, "PUT", "/up",
                                  rows[row].chunked ? "Transfer-Encoding: chunked\r\n"
                                                    : "Content-Length: 99999999999\r\n");
        for (size_t i = 0; i < COUNT; i++) {
            uint64_t sent = 0;
            fds[i] = connect_slowly(passage_port(&passage), 0);
            send_text(fds[i], head);
            if (rows[row].chunked) send_text(fds[i], "fffffff\r\n");
            send_filler(fds[i], &sent, most, 50);
            ck_assert_msg(sent < most, "%s", rows[row].name);
        }
        for (size_t i = 0; i < COUNT; i++) { /* whatever was still moving */
            uint64_t sent = 0;
            send_filler(fds[i], &sent, most, 0);
        }
        memory_check(&memory, COUNT * EACH_MAX_KIB);
        for (size_t i = 0; i < COUNT; i++) reset(fds[i]);
        wait_for_files(&passage, files);
        free(head);
        passage_end(&passage);
    }
}
