#include "tests/support/client.h"

#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/buf.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

#define ANSWER_MAX ((size_t)64 << 20)

struct client {
    int fd;
    bool ended;          /* the server closed or reset */
    struct buf received; /* not yet handed out */
};

static struct client *client_new(const struct sockaddr *address, socklen_t len) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    if (connect(fd, address, len) != 0) {
        close(fd);
        return NULL;
    }
    struct client *client = calloc(1, sizeof *client);
    ck_assert_ptr_nonnull(client);
    *client = (struct client){.fd = fd, .received = buf_make(ANSWER_MAX)};
    return client;
}

struct client *client_connect(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    return client_new((struct sockaddr *)&address, sizeof address);
}

struct client *client_connect_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    ck_assert_uint_lt(strlen(path), sizeof address.sun_path);
    strcpy(address.sun_path, path);
    return client_new((struct sockaddr *)&address, sizeof address);
}

void client_free(struct client *client) {
    if (!client) return;
    if (client->fd >= 0) close(client->fd);
    buf_done(&client->received);
    free(client);
}

bool client_send(struct client *client, struct span bytes) {
    while (bytes.len > 0) {
        ssize_t n = send(client->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0) return false;
        bytes = span_from(bytes, (size_t)n);
    }
    return true;
}

bool client_sendf(struct client *client, const char *format, ...) {
    va_list values;
    char *text = NULL;
    va_start(values, format);
    int len = vasprintf(&text, format, values);
    va_end(values);
    ck_assert_int_ge(len, 0);
    bool sent = client_send(client, (struct span){text, (size_t)len});
    free(text);
    return sent;
}

void client_finish(struct client *client) {
    shutdown(client->fd, SHUT_WR);
}

void client_reset(struct client *client) {
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(client->fd);
    client->fd = -1;
    client->ended = true;
}

/* --- reading --------------------------------------------------------------------------------- */

/* Add what arrives. CLIENT_OK: something did. */
static enum client_result receive(struct client *client, long until) {
    char bytes[16384];
    struct pollfd poller = {client->fd, POLLIN, 0};
    long left = until - process_now_ms();

    if (client->ended) return CLIENT_CLOSED;
    if (poll(&poller, 1, left > 0 ? (int)left : 0) <= 0) return CLIENT_TIMEOUT;
    ssize_t n = recv(client->fd, bytes, sizeof bytes, 0);
    if (n <= 0) {
        client->ended = true;
        return CLIENT_CLOSED;
    }
    buf_add(&client->received, (struct span){bytes, (size_t)n});
    return buf_ok(&client->received) ? CLIENT_OK : CLIENT_MALFORMED;
}

static enum client_result need(struct client *client, size_t len, long until) {
    enum client_result result = CLIENT_OK;
    while (client->received.len < len && result == CLIENT_OK) result = receive(client, until);
    return result;
}

/* Length of the line at offset with its CRLF, once it is there. */
static enum client_result need_line(struct client *client, size_t offset, long until,
                                    size_t *ret_len) {
    for (;;) {
        struct span rest = span_from(buf_span(&client->received), offset);
        size_t end = span_find(rest, '\n');
        if (end < rest.len) {
            if (end == 0 || rest.ptr[end - 1] != '\r') return CLIENT_MALFORMED;
            *ret_len = end + 1;
            return CLIENT_OK;
        }
        enum client_result result = receive(client, until);
        if (result != CLIENT_OK) return result;
    }
}

static void consume(struct client *client, size_t len) {
    struct span rest = span_from(buf_span(&client->received), len);
    struct buf kept = buf_make(ANSWER_MAX);
    buf_add(&kept, rest);
    buf_done(&client->received);
    client->received = kept;
}

static enum client_result read_head(struct client *client, long until, struct response *response) {
    size_t len = 0, line = 0;
    do {
        enum client_result result = need_line(client, len, until, &line);
        if (result != CLIENT_OK) return result;
        len += line;
    } while (line > 2);
    response->head = strndup(client->received.data, len - 2);
    consume(client, len);
    /* "HTTP/1.1 200 " and a reason, which may be empty but not its space (RFC 9112 section 4). */
    if (sscanf(response->head, "HTTP/1.1 %3d", &response->status) != 1 ||
        strlen(response->head) < 15 || response->head[12] != ' ')
        return CLIENT_MALFORMED;
    return CLIENT_OK;
}

static enum client_result read_length(struct client *client, struct span length, long until,
                                      struct buf *body) {
    char *end = NULL;
    size_t len = strtoul(length.ptr, &end, 10);
    if (end == length.ptr || end != length.ptr + length.len) return CLIENT_MALFORMED;
    enum client_result result = need(client, len, until);
    if (result != CLIENT_OK) return result;
    buf_add(body, span_until(buf_span(&client->received), len));
    consume(client, len);
    return CLIENT_OK;
}

static enum client_result read_chunks(struct client *client, long until, struct buf *body) {
    for (;;) {
        size_t line = 0;
        enum client_result result = need_line(client, 0, until, &line);
        if (result != CLIENT_OK) return result;
        size_t len = strtoul(client->received.data, NULL, 16);
        result = need(client, line + len + 2, until);
        if (result != CLIENT_OK) return result;
        struct span chunk = span_from(buf_span(&client->received), line);
        if (memcmp(chunk.ptr + len, "\r\n", 2) != 0) return CLIENT_MALFORMED;
        buf_add(body, span_until(chunk, len));
        consume(client, line + len + 2);
        if (len == 0) return CLIENT_OK;
    }
}

static enum client_result read_rest(struct client *client, long until, struct buf *body) {
    enum client_result result;
    do {
        buf_add(body, buf_span(&client->received));
        buf_reset(&client->received);
        result = receive(client, until);
    } while (result == CLIENT_OK);
    return result == CLIENT_CLOSED ? CLIENT_OK : result;
}

static enum client_result read_body(struct client *client, long until, struct response *response) {
    struct buf body = buf_make(ANSWER_MAX);
    struct span length = response_header(response, "Content-Length");
    struct span coding = response_header(response, "Transfer-Encoding");
    enum client_result result;

    if (response_header_count(response, "Content-Length") > 1 || (length.ptr && coding.ptr))
        result = CLIENT_MALFORMED;
    else if (span_equal_text(coding, "chunked"))
        result = read_chunks(client, until, &body);
    else if (length.ptr)
        result = read_length(client, length, until, &body);
    else
        result = read_rest(client, until, &body);
    response->body_len = body.len;
    response->body = body.data ? body.data : strdup("");
    return result;
}

static enum client_result read_answer(struct client *client, int within_ms, bool to_head,
                                      struct response *ret) {
    long until = process_now_ms() + within_ms;
    struct response response = {0};
    enum client_result result = read_head(client, until, &response);
    if (result == CLIENT_OK) {
        int status = response.status;
        if (to_head || status < 200 || status == 204 || status == 304)
            response.body = strdup("");
        else
            result = read_body(client, until, &response);
    }
    if (result != CLIENT_OK) {
        client_response_done(&response);
        return result;
    }
    *ret = response;
    return CLIENT_OK;
}

enum client_result client_read(struct client *client, int within_ms, struct response *ret) {
    return read_answer(client, within_ms, false, ret);
}

enum client_result client_read_to_head(struct client *client, int within_ms, struct response *ret) {
    return read_answer(client, within_ms, true, ret);
}

bool client_closed(struct client *client, int within_ms) {
    if (client->received.len > 0) return false;
    return receive(client, process_now_ms() + within_ms) == CLIENT_CLOSED;
}

void client_response_done(struct response *response) {
    free(response->head);
    free(response->body);
    *response = (struct response){0};
}

/* --- headers --------------------------------------------------------------------------------- */

/* The nth value of that name, from 0. */
static struct span find_header(const struct response *response, const char *name, int nth) {
    struct span rest = span_of(response->head), line;
    for (bool first = true; span_next(&rest, '\n', &line); first = false) {
        size_t colon = span_find(line, ':');
        if (first || colon == line.len) continue;
        if (!span_equal_nocase(span_until(line, colon), span_of(name)) || nth-- > 0) continue;
        struct span value = span_from(line, colon + 1);
        return span_trim(span_until(value, value.len - 1)); /* without CR */
    }
    return SPAN_NONE;
}

struct span response_header(const struct response *response, const char *name) {
    return find_header(response, name, 0);
}

int response_header_count(const struct response *response, const char *name) {
    int count = 0;
    while (find_header(response, name, count).ptr) count++;
    return count;
}

int http_get(int port, const char *path, const char *authorization, struct response *ret) {
    struct response response = {0};
    struct client *client = client_connect(port);
    char *line = authorization ? scratch_text("Authorization: %s\r\n", authorization) : strdup("");

    if (client &&
        client_sendf(client, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n%s\r\n",
                     path, port, line))
        (void)client_read(client, 5000, &response);
    free(line);
    client_free(client);
    int status = response.status;
    if (ret)
        *ret = response;
    else
        client_response_done(&response);
    return status;
}
