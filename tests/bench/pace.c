/*
 * pace: how long requests take that come at a fixed rate, whether or not the server keeps up.
 *
 * usage: pace PORT RATE SECONDS CONNECTIONS REQUEST-FILE
 *
 * Sends the bytes of the file RATE times a second to 127.0.0.1, at random moments that are the same
 * in every run. A request that finds all connections taken waits for one, and its time counts from
 * the moment it was due: a client that waits for the server before it asks again would leave out
 * the very requests that a slow server delays. One line of JSON on standard output; any other
 * status than 200, and a connection that breaks, ends the run with exit code 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND 1000000000LL
#define REQUEST_MAX 65536
#define RESPONSE_MAX 65536
#define EVENTS_MAX 256
#define STALL_SECONDS 10

/* All times are nanoseconds of CLOCK_MONOTONIC. */
struct client {
    int fd;
    int64_t due;     /* of the request under way */
    int64_t free_at; /* when the last one was answered */
    size_t len;
    char response[RESPONSE_MAX];
};

struct run {
    int epoll;
    char request[REQUEST_MAX];
    size_t request_len;
    int64_t *due; /* count moments */
    size_t count, sent, answered, late_count;
    int64_t *taken, *late;
    struct client *clients;
    struct client **idle;
    size_t idle_count;
};

static void fail(const char *what) {
    fprintf(stderr, "pace: %s\n", what);
    exit(1);
}

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (!memory) fail("out of memory");
    return memory;
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NS_PER_SECOND + time.tv_nsec;
}

static int open_connection(uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) fail("cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void open_clients(struct run *run, uint16_t port, size_t count) {
    run->clients = allocate(count, sizeof *run->clients);
    run->idle = allocate(count, sizeof(struct client *));
    for (size_t i = 0; i < count; i++) {
        struct client *client = &run->clients[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        client->fd = open_connection(port);
        if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, client->fd, &event)) fail("no epoll");
        run->idle[run->idle_count++] = client;
    }
}

/* Gaps between independent callers are exponential. The seed is fixed: all servers get the same. */
static void make_schedule(struct run *run, double rate, int64_t start) {
    unsigned short seed[3] = {1, 2, 3};
    double at = 0;
    for (size_t i = 0; i < run->count; i++) {
        at += -log(1 - erand48(seed)) / rate;
        run->due[i] = start + (int64_t)(at * (double)NS_PER_SECOND);
    }
}

static void send_one(struct run *run, int64_t at) {
    struct client *client = run->idle[--run->idle_count];
    client->due = run->due[run->sent++];
    client->len = 0;
    if (client->free_at <= client->due) run->late[run->late_count++] = at - client->due;
    if (write(client->fd, run->request, run->request_len) != (ssize_t)run->request_len)
        fail("cannot send");
}

static void send_what_is_due(struct run *run) {
    int64_t at = now();
    while (run->idle_count && run->sent < run->count && run->due[run->sent] <= at)
        send_one(run, at);
}

/* Whether all of the response is there. */
static bool is_complete(const struct client *client) {
    const char *end = memmem(client->response, client->len, "\r\n\r\n", 4);
    if (!end) return false;
    const char *length = strcasestr(client->response, "\r\nContent-Length:");
    if (!length || length > end) fail("a response without Content-Length");
    size_t body = strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
    return client->len >= (size_t)(end - client->response) + 4 + body;
}

static void receive(struct run *run, struct client *client) {
    ssize_t got =
        read(client->fd, client->response + client->len, sizeof client->response - client->len - 1);
    if (got <= 0) fail("the server closed a connection");
    client->len += (size_t)got;
    client->response[client->len] = '\0';
    if (!is_complete(client)) return;
    if (strncmp(client->response, "HTTP/1.1 200 ", 13) != 0) fail("another status than 200");
    client->free_at = now();
    run->taken[run->answered++] = client->free_at - client->due;
    run->idle[run->idle_count++] = client;
}

/* Wait for answers, at most until the next request is due. */
static void wait_for_answers(struct run *run) {
    struct epoll_event events[EVENTS_MAX];
    int64_t until = now() + STALL_SECONDS * NS_PER_SECOND;
    bool sends = run->idle_count && run->sent < run->count;
    int64_t wait = sends ? run->due[run->sent] - now() : STALL_SECONDS * NS_PER_SECOND;
    if (wait < 0) wait = 0;
    struct timespec timeout = {.tv_sec = wait / NS_PER_SECOND, .tv_nsec = wait % NS_PER_SECOND};
    int count = epoll_pwait2(run->epoll, events, EVENTS_MAX, &timeout, NULL);
    if (count < 0 && errno != EINTR) fail("no epoll");
    if (count == 0 && !sends && now() >= until) fail("no answer for 10 seconds");
    for (int i = 0; i < count; i++) receive(run, events[i].data.ptr);
}

static int compare(const void *one, const void *two) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)two;
    return a < b ? -1 : a > b;
}

static double microseconds(const int64_t *sorted, size_t count, double share) {
    size_t index = (size_t)(share * (double)count);
    return count ? (double)sorted[index < count ? index : count - 1] / 1000 : 0;
}

static void report(struct run *run, int64_t start) {
    qsort(run->taken, run->answered, sizeof *run->taken, compare);
    qsort(run->late, run->late_count, sizeof *run->late, compare);
    printf(
        "{\"requests\": %zu, \"seconds\": %.3f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
        "\"p999_us\": %.1f, \"max_us\": %.1f, \"late_p99_us\": %.1f}\n",
        run->answered, (double)(now() - start) / (double)NS_PER_SECOND,
        microseconds(run->taken, run->answered, 0.5), microseconds(run->taken, run->answered, 0.99),
        microseconds(run->taken, run->answered, 0.999), microseconds(run->taken, run->answered, 1),
        microseconds(run->late, run->late_count, 0.99));
}

static void read_request(struct run *run, const char *path) {
    FILE *file = fopen(path, "re");
    if (!file) fail("cannot read the request");
    run->request_len = fread(run->request, 1, sizeof run->request, file);
    fclose(file);
    if (run->request_len == 0 || run->request_len == sizeof run->request)
        fail("the request is empty or too large");
}

int main(int argc, char **argv) {
    if (argc != 6) fail("usage: pace PORT RATE SECONDS CONNECTIONS REQUEST-FILE");
    static struct run run;
    double rate = strtod(argv[2], NULL), seconds = strtod(argv[3], NULL);
    run.count = (size_t)(rate * seconds);
    if (run.count == 0) fail("nothing to send");
    read_request(&run, argv[5]);
    run.due = allocate(run.count, sizeof *run.due);
    run.taken = allocate(run.count, sizeof *run.taken);
    run.late = allocate(run.count, sizeof *run.late);
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    /* Timers are rounded by 50 microseconds otherwise, more than many answers take. */
    prctl(PR_SET_TIMERSLACK, 1);
    open_clients(&run, (uint16_t)strtoul(argv[1], NULL, 10), strtoul(argv[4], NULL, 10));
    int64_t start = now() + NS_PER_SECOND / 10;
    make_schedule(&run, rate, start);
    while (run.answered < run.count) {
        send_what_is_due(&run);
        wait_for_answers(&run);
    }
    report(&run, start);
    return 0;
}
