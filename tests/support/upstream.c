#include "tests/support/upstream.h"

#include <arpa/inet.h>
#include <check.h>
#include <ctype.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tests/support/certificate.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

#define HEAD_MAX ((size_t)512 << 10)
#define CHUNK_SIZE 16384
#define INPUT_SIZE 65536
/* The system keeps no more than about twice this for us, so that not reading is soon felt. */
#define SOCKET_BUFFER (512 * 1024)

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n"
#define BAD_REQUEST "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

/* A request on its way in, and kept for good. */
struct arrival {
    enum next {
        NEXT_REQUEST_LINE,
        NEXT_FIELD,
        NEXT_BODY,
        NEXT_CHUNK_SIZE,
        NEXT_CHUNK,
        NEXT_CHUNK_END,
        NEXT_TRAILER,
        NEXT_NOTHING,
    } next;
    enum upstream_state state;
    const char *why;
    int connection;
    struct buf raw, body, trailer;
    struct buf line; /* the one that is not complete yet */
    size_t head_len; /* 0: not complete yet */
    int hosts, lengths, codings;
    bool expects_continue;
    uint64_t left; /* of the body, or of the chunk */
    uint64_t body_len, digest;
};

/* What stays of a connection when it is over. */
struct visit {
    struct buf raw;
    char *server_name, *certificate;
};

struct connection {
    struct upstream *upstream;
    pthread_t thread;
    int fd, wake; /* wake: an eventfd; something changed for those who pause */
    SSL *ssl;     /* NULL: plain */
    enum { ENDING_CLOSE, ENDING_CUT, ENDING_RESET } ending;
    bool done, idle;
    bool quiet; /* no more 100: a final answer may have begun */
    int index, answers;
    struct arrival *arrival;     /* the request that is being served; NULL: none */
    struct upstream_step *steps; /* what to do about it; NULL: as ever */
    char input[INPUT_SIZE];
    size_t input_from, input_to;
    struct connection *next;
};

struct script {
    char *path; /* NULL: all */
    bool once;
    struct upstream_step *steps;
    struct script *next;
};

struct upstream {
    pthread_mutex_t lock; /* guards all below it, but for what one connection's thread owns */
    pthread_cond_t changed;
    struct script *scripts; /* in the order in which they were given */
    struct connection *connections;
    struct visit **visits;
    struct arrival **arrivals;
    int arrival_count;
    int counts[UPSTREAM_COUNTS];
    int passes, close_after; /* passes: through gates, not yet used */
    uint64_t sent;
    bool down;
    struct kept *kept; /* what the test was given pointers to */

    enum upstream_tls tls;
    SSL_CTX *context; /* NULL: plain */
    char *path, *target;
    int port, listener;
    pthread_t acceptor;
};

struct kept {
    struct kept *next;
    char bytes[];
};

static void count(struct upstream *upstream, enum upstream_count what, int change) {
    upstream->counts[what] += change;
    pthread_cond_broadcast(&upstream->changed);
}

/* --- reading requests strictly --------------------------------------------------------------- */

static void keep_some(struct buf *buf, struct span bytes) {
    buf_add(buf, span_until(bytes, buf->max - buf->len));
}

static bool is_token(struct span text) {
    for (size_t i = 0; i < text.len; i++)
        if (!isalnum((unsigned char)text.ptr[i]) &&
            !(text.ptr[i] && strchr("!#$%&'*+-.^_`|~", text.ptr[i])))
            return false;
    return text.len > 0;
}

static bool is_number(struct span text, size_t digits, int (*is_digit)(int)) {
    for (size_t i = 0; i < text.len; i++)
        if (!is_digit((unsigned char)text.ptr[i])) return false;
    return text.len > 0 && text.len <= digits;
}

static bool has_control(struct span text) {
    for (size_t i = 0; i < text.len; i++)
        if (iscntrl((unsigned char)text.ptr[i]) && text.ptr[i] != '\t') return true;
    return false;
}

/* Why the line is wrong, or NULL. */
static const char *read_request_line(struct span line) {
    size_t method = span_find(line, ' ');
    struct span rest = span_from(line, method + 1);
    size_t target = span_find(rest, ' ');

    if (!is_token(span_until(line, method))) return "the method";
    for (size_t i = 0; i < target; i++)
        if (rest.ptr[i] <= ' ' || rest.ptr[i] > '~') return "the target";
    if (target == 0) return "the target";
    return span_equal_text(span_from(rest, target + 1), "HTTP/1.1") ? NULL : "the version";
}

static const char *split_field(struct span line, struct span *ret_name, struct span *ret_value) {
    size_t colon = span_find(line, ':');
    *ret_name = span_until(line, colon);
    *ret_value = span_trim(span_from(line, colon + 1));
    if (colon == line.len) return "a field without colon";
    if (!is_token(*ret_name)) return "a field's name";
    return has_control(*ret_value) ? "a field's value" : NULL;
}

static bool is_named(struct span name, const char *text) {
    return span_equal_nocase(name, span_of(text));
}

static const char *read_field(struct arrival *a, struct span line) {
    struct span name, value;
    const char *why = split_field(line, &name, &value);
    if (why) return why;
    if (is_named(name, "Host")) a->hosts++;
    if (is_named(name, "Expect")) a->expects_continue = is_named(value, "100-continue");
    if (is_named(name, "Transfer-Encoding")) {
        a->codings++;
        return is_named(value, "chunked") ? NULL : "the transfer coding";
    }
    if (!is_named(name, "Content-Length")) return NULL;
    a->lengths++;
    if (!is_number(value, 18, isdigit)) return "the content length";
    a->left = strtoull(value.ptr, NULL, 10);
    return NULL;
}

static const char *end_head(struct arrival *a) {
    a->head_len = a->raw.len;
    if (a->hosts != 1) return "not one Host";
    if (a->lengths + a->codings > 1) return "several framings";
    a->next = a->codings ? NEXT_CHUNK_SIZE : a->left ? NEXT_BODY : NEXT_NOTHING;
    return NULL;
}

static const char *read_chunk_size(struct arrival *a, struct span line) {
    if (!is_number(line, 15, isxdigit)) return "a chunk's size";
    a->left = strtoull(line.ptr, NULL, 16);
    a->next = a->left ? NEXT_CHUNK : NEXT_TRAILER;
    return NULL;
}

static const char *read_trailer(struct arrival *a, struct span line) {
    struct span name, value;
    if (line.len == 0) {
        a->next = NEXT_NOTHING;
        return NULL;
    }
    buf_add(&a->trailer, line);
    buf_add_text(&a->trailer, "\r\n");
    return split_field(line, &name, &value);
}

/* One line, without its CRLF. Why it is wrong, or NULL. */
static const char *read_line(struct arrival *a, struct span line) {
    switch (a->next) {
    case NEXT_REQUEST_LINE:
        a->next = NEXT_FIELD;
        return read_request_line(line);
    case NEXT_FIELD:
        return line.len == 0 ? end_head(a) : read_field(a, line);
    case NEXT_CHUNK_SIZE:
        return read_chunk_size(a, line);
    case NEXT_CHUNK_END:
        a->next = NEXT_CHUNK_SIZE;
        return line.len == 0 ? NULL : "a chunk's end";
    case NEXT_TRAILER:
        return read_trailer(a, line);
    default:
        return "a line that is none";
    }
}

static size_t take_line(struct arrival *a, struct span input) {
    size_t len = span_find(input, '\n');
    struct span piece = span_until(input, len + 1);
    keep_some(&a->raw, piece);
    keep_some(&a->line, piece);
    if (a->line.len == a->line.max) a->why = "a line without end";
    if (a->head_len == 0 && a->raw.len > HEAD_MAX) a->why = "a head without end";
    if (len == input.len || a->why) return piece.len;

    struct span line = buf_span(&a->line);
    if (line.len < 2 || line.ptr[line.len - 2] != '\r')
        a->why = "a line that ends in LF alone";
    else
        a->why = read_line(a, span_until(line, line.len - 2));
    buf_reset(&a->line);
    return piece.len;
}

static size_t take_data(struct arrival *a, struct span input, uint64_t most) {
    struct span piece = span_until(input, a->left < most ? a->left : most);
    keep_some(&a->raw, piece);
    keep_some(&a->body, piece);
    a->digest = upstream_digest(a->digest, piece);
    a->body_len += piece.len;
    a->left -= piece.len;
    if (a->left == 0) a->next = a->next == NEXT_CHUNK ? NEXT_CHUNK_END : NEXT_NOTHING;
    return piece.len;
}

/* Take what comes next, a line or a piece of the body up to most bytes; how many bytes that was. */
static size_t take(struct arrival *a, struct span input, uint64_t most) {
    bool is_data = a->next == NEXT_BODY || a->next == NEXT_CHUNK;
    return is_data ? take_data(a, input, most) : take_line(a, input);
}

static struct arrival *arrival_new(struct connection *c) {
    struct upstream *upstream = c->upstream;
    struct arrival *a = calloc(1, sizeof *a);
    size_t size = ((size_t)upstream->arrival_count + 1) * sizeof(struct arrival *);
    struct arrival **all = realloc(upstream->arrivals, size);
    if (!a || !all) abort();
    *a = (struct arrival){.connection = c->index,
                          .raw = buf_make(UPSTREAM_KEPT_MAX),
                          .body = buf_make(UPSTREAM_KEPT_MAX),
                          .trailer = buf_make(UPSTREAM_KEPT_MAX),
                          .line = buf_make(HEAD_MAX),
                          .digest = UPSTREAM_DIGEST_EMPTY};
    upstream->arrivals = all;
    upstream->arrivals[upstream->arrival_count++] = a;
    return a;
}

static void arrival_free(struct arrival *a) {
    buf_done(&a->raw);
    buf_done(&a->body);
    buf_done(&a->trailer);
    buf_done(&a->line);
    free(a);
}

/* --- bytes in and out: plain or TLS, false on any failure ------------------------------------ */

/* More input, up to most bytes. For an empty input only. */
static bool receive(struct connection *c, size_t most) {
    size_t size = most < INPUT_SIZE ? most : INPUT_SIZE;
    ssize_t n = c->ssl ? SSL_read(c->ssl, c->input, (int)size) : recv(c->fd, c->input, size, 0);
    c->input_from = 0;
    c->input_to = n > 0 ? (size_t)n : 0;
    pthread_mutex_lock(&c->upstream->lock);
    keep_some(&c->upstream->visits[c->index]->raw, (struct span){c->input, c->input_to});
    pthread_mutex_unlock(&c->upstream->lock);
    return n > 0;
}

static struct span input_span(const struct connection *c) {
    return (struct span){c->input + c->input_from, c->input_to - c->input_from};
}

static bool transmit(struct connection *c, struct span bytes) {
    while (bytes.len > 0) {
        ssize_t n = c->ssl ? SSL_write(c->ssl, bytes.ptr, (int)bytes.len)
                           : send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0) return false;
        bytes = span_from(bytes, (size_t)n);
        pthread_mutex_lock(&c->upstream->lock);
        c->upstream->sent += (size_t)n;
        pthread_mutex_unlock(&c->upstream->lock);
    }
    return true;
}

/* Until something changed, or the moment (-1: never) came. False when the client ended its side. */
static bool pause_until(struct connection *c, long moment) {
    struct pollfd fds[] = {{c->fd, POLLRDHUP, 0}, {c->wake, POLLIN, 0}};
    long left = moment < 0 ? -1 : moment - process_now_ms();
    uint64_t ignored;
    if (poll(fds, ARRAY_LEN(fds), moment >= 0 && left < 0 ? 0 : (int)left) < 0) return false;
    if (fds[1].revents && read(c->wake, &ignored, sizeof ignored) < 0) return false;
    return fds[0].revents == 0;
}

static bool is_down(struct upstream *upstream) {
    pthread_mutex_lock(&upstream->lock);
    bool down = upstream->down;
    pthread_mutex_unlock(&upstream->lock);
    return down;
}

static bool pause_for(struct connection *c, int ms) {
    for (long moment = process_now_ms() + ms; process_now_ms() < moment;)
        if (is_down(c->upstream) || !pause_until(c, moment)) return false;
    return true;
}

/* --- scripts --------------------------------------------------------------------------------- */

static struct upstream_step *steps_copy(const struct upstream_step *steps) {
    size_t n = 1;
    while (steps[n - 1].act != UPSTREAM_ACT_END) n++;
    struct upstream_step *own = malloc(n * sizeof *own);
    if (!own) abort();
    for (size_t i = 0; i < n; i++) {
        struct span bytes = steps[i].bytes;
        char *memory = malloc(bytes.len + 1);
        if (!memory) abort();
        if (bytes.len > 0) memcpy(memory, bytes.ptr, bytes.len);
        own[i] = steps[i];
        own[i].bytes.ptr = memory;
    }
    return own;
}

static void steps_free(struct upstream_step *steps) {
    for (size_t i = 0; steps; i++) {
        free((void *)(uintptr_t)steps[i].bytes.ptr);
        if (steps[i].act == UPSTREAM_ACT_END) break;
    }
    free(steps);
}

static void script_free(struct script *script) {
    steps_free(script->steps);
    free(script->path);
    free(script);
}

static struct script **find_script(struct upstream *upstream, const char *path, bool once) {
    for (struct script **link = &upstream->scripts; *link; link = &(*link)->next) {
        const char *own = (*link)->path;
        bool same = own && path ? strcmp(own, path) == 0 : own == path;
        if (same && (*link)->once == once) return link;
    }
    return NULL;
}

/* The steps for this path, for the caller to free; NULL where nothing was said. Under the lock. */
static struct upstream_step *take_script(struct upstream *upstream, const char *path) {
    const struct {
        const char *path;
        bool once;
    } order[] = {{path, true}, {path, false}, {NULL, true}, {NULL, false}};
    struct script **link = NULL;
    for (size_t i = 0; !link && i < (*path ? ARRAY_LEN(order) : 2); i++)
        link = find_script(upstream, order[i].path, order[i].once);
    if (!link) return NULL;

    struct upstream_step *steps = steps_copy((*link)->steps);
    if ((*link)->once) {
        struct script *used = *link;
        *link = used->next;
        script_free(used);
    }
    return steps;
}

/* --- requests -------------------------------------------------------------------------------- */

static bool is_path(struct span target, const char *path) {
    return span_equal_text(span_until(target, span_find(target, '?')), path);
}

static struct span method_of(const struct arrival *a) {
    struct span head = buf_span(&a->raw);
    return span_until(head, span_find(head, ' '));
}

static struct span target_of(const struct arrival *a) {
    struct span rest = span_from(buf_span(&a->raw), method_of(a).len + 1);
    return span_until(rest, span_find(rest, ' '));
}

/* The script is taken together with the count, so that a test that saw the request may give the
 * next one. */
static void note_head(struct connection *c) {
    struct span target = target_of(c->arrival);
    char *path = strndup(target.ptr, span_find(target, '?'));
    c->steps = take_script(c->upstream, path);
    free(path);
    count(c->upstream, UPSTREAM_HEADS, 1);
}

static void note_end(struct upstream *upstream, struct arrival *a) {
    if (a->why) {
        a->state = UPSTREAM_IS_MALFORMED;
        count(upstream, UPSTREAM_MALFORMED, 1);
    } else if (a->next == NEXT_NOTHING) {
        a->state = UPSTREAM_WHOLE;
        count(upstream, UPSTREAM_REQUESTS, 1);
    }
}

/* Take from the input until the head is there, or until the body has so many bytes or is whole. */
static bool advance(struct connection *c, bool to_head, uint64_t body_len) {
    struct upstream *upstream = c->upstream;
    bool reached = false;
    pthread_mutex_lock(&upstream->lock);
    c->idle = false;
    if (!c->arrival) c->arrival = arrival_new(c);
    struct arrival *a = c->arrival;
    for (;;) {
        bool had_head = a->head_len > 0;
        reached = a->why || a->next == NEXT_NOTHING || (to_head && had_head) ||
                  (!to_head && a->body_len >= body_len);
        if (reached || c->input_from == c->input_to) break;
        c->input_from += take(a, input_span(c), body_len - a->body_len);
        if (!had_head && a->head_len > 0 && !a->why) note_head(c);
        note_end(upstream, a);
    }
    pthread_mutex_unlock(&upstream->lock);
    return reached;
}

static void cut_short(struct connection *c) {
    pthread_mutex_lock(&c->upstream->lock);
    if (c->arrival && c->arrival->state == UPSTREAM_ARRIVING) {
        c->arrival->state = UPSTREAM_IS_CUT;
        count(c->upstream, UPSTREAM_CUT_SHORT, 1);
    }
    pthread_mutex_unlock(&c->upstream->lock);
}

static bool refuse(struct connection *c) {
    transmit(c, SPAN_LITERAL(BAD_REQUEST));
    return false;
}

/* The head of the next request, which is c->arrival then. */
static bool read_head(struct connection *c) {
    pthread_mutex_lock(&c->upstream->lock);
    c->arrival = NULL;
    c->quiet = false;
    c->idle = c->input_from == c->input_to;
    pthread_mutex_unlock(&c->upstream->lock);
    if (c->input_from == c->input_to && !receive(c, INPUT_SIZE)) return false;
    while (!advance(c, true, UPSTREAM_ALL))
        if (!receive(c, INPUT_SIZE)) return false;
    return c->arrival->why ? refuse(c) : true;
}

static bool read_body(struct connection *c, uint64_t up_to, size_t piece, int interval_ms) {
    if (!c->arrival) return true; /* a script that runs at connect has no request */
    while (!advance(c, false, up_to)) {
        if (interval_ms > 0 && !pause_for(c, interval_ms)) return false;
        if (!receive(c, piece)) return false;
    }
    return c->arrival->why ? refuse(c) : true;
}

/* --- acts: false when the connection is to be ended ------------------------------------------ */

static bool send_continue(struct connection *c) {
    if (!c->arrival || !c->arrival->expects_continue || c->quiet) return true;
    c->quiet = true;
    return c->arrival->body_len > 0 || transmit(c, SPAN_LITERAL(CONTINUE));
}

static bool act_read(struct connection *c, const struct upstream_step *step) {
    if (!c->arrival) return true;
    uint64_t before = c->arrival->body_len, most = UPSTREAM_ALL - before;
    uint64_t up_to = before + (step->amount < most ? step->amount : most);
    return send_continue(c) && read_body(c, up_to, INPUT_SIZE, 0);
}

static bool act_read_mutely(struct connection *c, const struct upstream_step *step) {
    return read_body(c, step->amount, INPUT_SIZE, 0);
}

static bool act_read_slowly(struct connection *c, const struct upstream_step *step) {
    return send_continue(c) && read_body(c, UPSTREAM_ALL, step->amount, step->ms);
}

static bool act_send(struct connection *c, const struct upstream_step *step) {
    c->quiet = true;
    return transmit(c, step->bytes);
}

static bool act_drip(struct connection *c, const struct upstream_step *step) {
    c->quiet = true;
    for (struct span left = step->bytes; left.len > 0; left = span_from(left, 1))
        if (!transmit(c, span_until(left, 1)) || !pause_for(c, step->ms)) return false;
    return true;
}

static bool act_fill(struct connection *c, const struct upstream_step *step) {
    char piece[CHUNK_SIZE];
    for (uint64_t done = 0; done < step->amount; done += sizeof piece) {
        uint64_t left = step->amount - done;
        size_t len = left < sizeof piece ? (size_t)left : sizeof piece;
        upstream_filler(done, piece, len);
        if (!transmit(c, (struct span){piece, len})) return false;
    }
    return true;
}

static bool act_fill_chunked(struct connection *c, const struct upstream_step *step) {
    char piece[CHUNK_SIZE + 32];
    for (uint64_t done = 0; done < step->amount; done += CHUNK_SIZE) {
        uint64_t left = step->amount - done;
        size_t len = left < CHUNK_SIZE ? (size_t)left : CHUNK_SIZE;
        size_t start = (size_t)snprintf(piece, sizeof piece, "%zx\r\n", len);
        upstream_filler(done, piece + start, len);
        memcpy(piece + start + len, "\r\n", 2);
        if (!transmit(c, (struct span){piece, start + len + 2})) return false;
    }
    return transmit(c, SPAN_LITERAL("0\r\n\r\n"));
}

static bool act_wait(struct connection *c, const struct upstream_step *step) {
    return pause_for(c, step->ms);
}

static bool act_hang(struct connection *c, const struct upstream_step *step) {
    (void)step;
    while (!is_down(c->upstream) && pause_until(c, -1)) {
    }
    return false;
}

static bool act_gate(struct connection *c, const struct upstream_step *step) {
    (void)step;
    struct upstream *upstream = c->upstream;
    bool there = true;
    pthread_mutex_lock(&upstream->lock);
    count(upstream, UPSTREAM_AT_GATE, 1);
    while (there && upstream->passes == 0 && !upstream->down) {
        pthread_mutex_unlock(&upstream->lock);
        there = pause_until(c, -1);
        pthread_mutex_lock(&upstream->lock);
    }
    bool through = there && upstream->passes > 0;
    if (through) upstream->passes--;
    count(upstream, UPSTREAM_AT_GATE, -1);
    pthread_mutex_unlock(&upstream->lock);
    return through;
}

/* What came and was not sent back yet. */
struct echo {
    struct buf bytes;
    size_t sent;
};

static bool take_more(struct connection *c, struct echo *echo) {
    if (!receive(c, INPUT_SIZE)) return false;
    buf_add(&echo->bytes, input_span(c));
    c->input_from = c->input_to;
    return true;
}

static bool send_back(struct connection *c, struct echo *echo, size_t most) {
    struct span bytes = span_until(span_from(buf_span(&echo->bytes), echo->sent), most);
    echo->sent += bytes.len;
    bool sent = transmit(c, bytes);
    if (echo->sent == echo->bytes.len) {
        buf_reset(&echo->bytes);
        echo->sent = 0;
    }
    return sent;
}

/* As much goes out as comes in, but neither waits for the other. False at the end of either. */
static bool echo_some(struct connection *c, struct echo *echo) {
    bool held = echo->sent < echo->bytes.len;
    bool here = c->ssl && SSL_pending(c->ssl) > 0;
    struct pollfd poller = {c->fd, (short)(held ? POLLIN | POLLOUT : POLLIN), 0};
    if (poll(&poller, 1, here ? 0 : -1) < 0) return false;
    /* A socket that can be written to takes a third of its buffer, which is more than this. */
    if ((poller.revents & POLLOUT) && !send_back(c, echo, INPUT_SIZE)) return false;
    return (!here && !(poller.revents & ~POLLOUT)) || take_more(c, echo);
}

/*
 * One that reads only when its answer was taken may stand still for ever, whoever is in between:
 * Linux (seen with 6.18) drops the ACKs of a peer that has sent more than a full receive buffer
 * could take, so that what was answered is never known to have arrived.
 */
static bool act_echo(struct connection *c, const struct upstream_step *step) {
    (void)step;
    struct echo echo = {.bytes = buf_make(UPSTREAM_ECHO_MAX)};
    buf_add(&echo.bytes, input_span(c));
    c->input_from = c->input_to;
    while (buf_ok(&echo.bytes) && echo_some(c, &echo)) {
    }
    if (buf_ok(&echo.bytes)) send_back(c, &echo, SIZE_MAX);
    buf_done(&echo.bytes);
    return false;
}

static bool act_finish(struct connection *c, const struct upstream_step *step) {
    (void)step;
    if (c->ssl) SSL_shutdown(c->ssl);
    shutdown(c->fd, SHUT_WR);
    return true;
}

static bool act_end(struct connection *c, const struct upstream_step *step) {
    if (step->act == UPSTREAM_ACT_CUT) c->ending = ENDING_CUT;
    if (step->act == UPSTREAM_ACT_RESET) c->ending = ENDING_RESET;
    return false;
}

static bool run(struct connection *c, const struct upstream_step *steps) {
    static bool (*const acts[])(struct connection *, const struct upstream_step *) = {
        [UPSTREAM_ACT_READ] = act_read,
        [UPSTREAM_ACT_READ_MUTELY] = act_read_mutely,
        [UPSTREAM_ACT_READ_SLOWLY] = act_read_slowly,
        [UPSTREAM_ACT_SEND] = act_send,
        [UPSTREAM_ACT_DRIP] = act_drip,
        [UPSTREAM_ACT_FILL] = act_fill,
        [UPSTREAM_ACT_FILL_CHUNKED] = act_fill_chunked,
        [UPSTREAM_ACT_WAIT] = act_wait,
        [UPSTREAM_ACT_GATE] = act_gate,
        [UPSTREAM_ACT_HANG] = act_hang,
        [UPSTREAM_ACT_ECHO] = act_echo,
        [UPSTREAM_ACT_FINISH] = act_finish,
        [UPSTREAM_ACT_CLOSE] = act_end,
        [UPSTREAM_ACT_CUT] = act_end,
        [UPSTREAM_ACT_RESET] = act_end,
    };
    for (; steps->act != UPSTREAM_ACT_END; steps++)
        if (!acts[steps->act](c, steps)) return false;
    return true;
}

static bool behave_by_default(struct connection *c) {
    bool to_head = span_equal_text(method_of(c->arrival), "HEAD");
    return run(c, UPSTREAM_STEPS(UPSTREAM_READ,
                                 UPSTREAM_SEND_SPAN(to_head ? SPAN_LITERAL(OK_HEAD)
                                                            : SPAN_LITERAL(OK_HEAD "ok\n"))));
}

static bool run_script(struct connection *c) {
    struct upstream_step *steps = TAKE_PTR(c->steps);
    bool stay = run(c, steps);
    steps_free(steps);
    return stay;
}

static bool answer(struct connection *c) {
    bool stay = c->steps ? run_script(c) : behave_by_default(c);
    if (!stay || !read_body(c, UPSTREAM_ALL, INPUT_SIZE, 0)) return false;
    return ++c->answers != __atomic_load_n(&c->upstream->close_after, __ATOMIC_RELAXED);
}

static bool behave_at_connect(struct connection *c) {
    pthread_mutex_lock(&c->upstream->lock);
    c->steps = take_script(c->upstream, UPSTREAM_AT_CONNECT);
    pthread_mutex_unlock(&c->upstream->lock);
    return !c->steps || run_script(c);
}

/* --- one connection -------------------------------------------------------------------------- */

static void note_names(struct connection *c) {
    char name[256] = "";
    const char *server_name = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
    X509 *certificate = SSL_get1_peer_certificate(c->ssl);
    if (certificate)
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
                                  sizeof name);
    pthread_mutex_lock(&c->upstream->lock);
    struct visit *visit = c->upstream->visits[c->index];
    if (server_name) visit->server_name = strdup(server_name);
    if (certificate) visit->certificate = strdup(name);
    pthread_mutex_unlock(&c->upstream->lock);
    X509_free(certificate);
}

/* False where the handshake failed. */
static bool secure(struct connection *c) {
    char byte;
    if (c->upstream->tls == UPSTREAM_TLS_RESET) {
        while (recv(c->fd, &byte, 1, 0) == 1 && byte != '\x01') {
        } /* into the ClientHello */
        c->ending = ENDING_RESET;
        return false;
    }
    if (!c->upstream->context) return true;
    c->ssl = SSL_new(c->upstream->context);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_accept(c->ssl) != 1) return false;
    note_names(c);
    return true;
}

static void *serve(void *argument) {
    struct connection *c = argument;
    if (secure(c) && behave_at_connect(c))
        while (read_head(c) && answer(c)) {
        }
    cut_short(c);
    if (c->ending == ENDING_RESET)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    else if (c->ssl && c->ending == ENDING_CLOSE && SSL_is_init_finished(c->ssl) &&
             !(SSL_get_shutdown(c->ssl) & SSL_SENT_SHUTDOWN))
        SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    pthread_mutex_lock(&c->upstream->lock);
    close(c->fd);
    c->done = true;
    count(c->upstream, UPSTREAM_OPEN, -1);
    pthread_mutex_unlock(&c->upstream->lock);
    return NULL;
}

/* --- all connections ------------------------------------------------------------------------- */

static void visit_new(struct upstream *upstream, int index) {
    struct visit *visit = calloc(1, sizeof *visit);
    size_t size = ((size_t)index + 1) * sizeof(struct visit *);
    struct visit **all = realloc(upstream->visits, size);
    if (!visit || !all) abort();
    visit->raw = buf_make(UPSTREAM_KEPT_MAX);
    upstream->visits = all;
    upstream->visits[index] = visit;
}

static void connection_start(struct upstream *upstream, int fd) {
    struct connection *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->upstream = upstream;
    c->fd = fd;
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_lock(&upstream->lock);
    c->index = upstream->counts[UPSTREAM_CONNECTIONS];
    visit_new(upstream, c->index);
    count(upstream, UPSTREAM_CONNECTIONS, 1);
    count(upstream, UPSTREAM_OPEN, 1);
    c->next = upstream->connections;
    upstream->connections = c;
    if (c->wake < 0 || pthread_create(&c->thread, NULL, serve, c) != 0) abort();
    pthread_mutex_unlock(&upstream->lock);
}

/* Take a connection off the list that is done, or any at all. */
static struct connection *unlink_one(struct upstream *upstream, bool any) {
    pthread_mutex_lock(&upstream->lock);
    struct connection **link = &upstream->connections;
    while (*link && !any && !(*link)->done) link = &(*link)->next;
    struct connection *c = *link;
    if (c) *link = c->next;
    if (c && !c->done) shutdown(c->fd, SHUT_RDWR);
    if (c && eventfd_write(c->wake, 1) != 0) abort();
    pthread_mutex_unlock(&upstream->lock);
    return c;
}

static void reap(struct upstream *upstream, bool all) {
    for (struct connection *c; (c = unlink_one(upstream, all));) {
        pthread_join(c->thread, NULL);
        close(c->wake);
        free(c);
    }
}

static void *accept_all(void *argument) {
    struct upstream *upstream = argument;
    for (int fd; (fd = accept4(upstream->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        reap(upstream, false);
        connection_start(upstream, fd);
    }
    return NULL;
}

static bool listen_on(int fd, const struct sockaddr *address, socklen_t len) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){SOCKET_BUFFER}, sizeof(int));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){SOCKET_BUFFER}, sizeof(int));
    return bind(fd, address, len) == 0 && listen(fd, 128) == 0;
}

static void listen_on_path(struct upstream *upstream) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    ck_assert_uint_lt(strlen(upstream->path), sizeof address.sun_path);
    strcpy(address.sun_path, upstream->path);
    unlink(upstream->path);
    upstream->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_msg(listen_on(upstream->listener, (struct sockaddr *)&address, sizeof address),
                  "cannot listen on %s", upstream->path);
}

static void listen_on_port(struct upstream *upstream) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)upstream->port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    upstream->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_msg(listen_on(upstream->listener, (struct sockaddr *)&address, len) &&
                      getsockname(upstream->listener, (struct sockaddr *)&address, &len) == 0,
                  "cannot listen on port %d", upstream->port);
    upstream->port = ntohs(address.sin_port);
}

/* A closed peer is a failed write here, not a signal (SSL_write knows no MSG_NOSIGNAL). */
static void start_accepting(struct upstream *upstream) {
    sigset_t pipe_signal, before;
    if (upstream->path)
        listen_on_path(upstream);
    else
        listen_on_port(upstream);
    upstream->down = false;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ck_assert_int_eq(pthread_create(&upstream->acceptor, NULL, accept_all, upstream), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* --- start and stop -------------------------------------------------------------------------- */

/* A client may show any certificate: what it is worth is the test's to judge. */
static int accept_any(int verified, X509_STORE_CTX *store) {
    (void)verified, (void)store;
    return 1;
}

static SSL_CTX *context_for(enum upstream_tls tls) {
    static const enum certificate_kind kinds[] = {
        [UPSTREAM_TLS] = CERTIFICATE_GOOD,
        [UPSTREAM_TLS_EXPIRED] = CERTIFICATE_EXPIRED,
        [UPSTREAM_TLS_WRONG_NAME] = CERTIFICATE_WRONG_NAME,
        [UPSTREAM_TLS_SELF_SIGNED] = CERTIFICATE_SELF_SIGNED,
        [UPSTREAM_TLS_OLD] = CERTIFICATE_GOOD,
        [UPSTREAM_TLS_EARLY] = CERTIFICATE_EARLY,
        [UPSTREAM_TLS_INSPECTED] = CERTIFICATE_INSPECTED,
        [UPSTREAM_TLS_LACKING] = CERTIFICATE_LACKING_LINK,
    };
    if (tls == UPSTREAM_PLAIN || tls == UPSTREAM_TLS_RESET) return NULL;
    SSL_CTX *context = certificate_context(kinds[tls], tls == UPSTREAM_TLS_OLD);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, accept_any);
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"upstream", 8);
    return context;
}

static struct upstream *start(enum upstream_tls tls, const char *path) {
    struct upstream *upstream = calloc(1, sizeof *upstream);
    ck_assert_ptr_nonnull(upstream);
    pthread_mutex_init(&upstream->lock, NULL);
    pthread_cond_init(&upstream->changed, NULL);
    upstream->tls = tls;
    upstream->context = context_for(tls);
    upstream->path = path ? strdup(path) : NULL;
    start_accepting(upstream);
    if (path)
        upstream->target = scratch_text("unix:%s", path);
    else
        upstream->target =
            scratch_text("http%s://127.0.0.1:%d", tls == UPSTREAM_PLAIN ? "" : "s", upstream->port);
    return upstream;
}

struct upstream *upstream_start(enum upstream_tls tls) {
    return start(tls, NULL);
}

struct upstream *upstream_start_unix(const char *path) {
    return start(UPSTREAM_PLAIN, path);
}

void upstream_down(struct upstream *upstream) {
    if (is_down(upstream)) return;
    pthread_mutex_lock(&upstream->lock);
    upstream->down = true;
    pthread_mutex_unlock(&upstream->lock);
    shutdown(upstream->listener, SHUT_RDWR); /* wakes the acceptor, whose accept then fails */
    pthread_join(upstream->acceptor, NULL);
    close(upstream->listener);
    reap(upstream, true);
}

void upstream_up(struct upstream *upstream) {
    if (is_down(upstream)) start_accepting(upstream);
}

static void free_records(struct upstream *upstream) {
    for (int i = 0; i < upstream->arrival_count; i++) arrival_free(upstream->arrivals[i]);
    for (int i = 0; i < upstream->counts[UPSTREAM_CONNECTIONS]; i++) {
        buf_done(&upstream->visits[i]->raw);
        free(upstream->visits[i]->server_name);
        free(upstream->visits[i]->certificate);
        free(upstream->visits[i]);
    }
    free(upstream->arrivals);
    free(upstream->visits);
    for (struct kept *kept = upstream->kept, *next; kept; kept = next) {
        next = kept->next;
        free(kept);
    }
}

void upstream_stop(struct upstream *upstream) {
    if (!upstream) return;
    upstream_down(upstream);
    if (upstream->path) unlink(upstream->path);
    for (struct script *script = upstream->scripts, *next; script; script = next) {
        next = script->next;
        script_free(script);
    }
    free_records(upstream);
    SSL_CTX_free(upstream->context);
    pthread_cond_destroy(&upstream->changed);
    pthread_mutex_destroy(&upstream->lock);
    free(upstream->path);
    free(upstream->target);
    free(upstream);
}

int upstream_port(const struct upstream *upstream) {
    return upstream->port;
}

const char *upstream_target(const struct upstream *upstream) {
    return upstream->target;
}

/* --- for the test: what to do ---------------------------------------------------------------- */

static void add_script(struct upstream *upstream, const char *path,
                       const struct upstream_step *steps, bool once) {
    struct script *script = calloc(1, sizeof *script);
    ck_assert_ptr_nonnull(script);
    *script = (struct script){path ? strdup(path) : NULL, once, steps_copy(steps), NULL};
    pthread_mutex_lock(&upstream->lock);
    struct script **link = once ? NULL : find_script(upstream, path, false), *replaced = NULL;
    if (link) {
        replaced = *link;
        *link = replaced->next;
        script_free(replaced);
    }
    for (link = &upstream->scripts; *link;) link = &(*link)->next;
    *link = script;
    pthread_mutex_unlock(&upstream->lock);
}

void upstream_script(struct upstream *upstream, const char *path,
                     const struct upstream_step *steps) {
    add_script(upstream, path, steps, false);
}

void upstream_script_once(struct upstream *upstream, const char *path,
                          const struct upstream_step *steps) {
    add_script(upstream, path, steps, true);
}

void upstream_answer(struct upstream *upstream, const char *path, const char *answer) {
    upstream_script(upstream, path,
                    UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(answer))));
}

void upstream_go(struct upstream *upstream) {
    pthread_mutex_lock(&upstream->lock);
    upstream->passes++;
    for (struct connection *c = upstream->connections; c; c = c->next)
        if (eventfd_write(c->wake, 1) != 0) abort();
    pthread_mutex_unlock(&upstream->lock);
}

void upstream_close_after(struct upstream *upstream, int answers) {
    __atomic_store_n(&upstream->close_after, answers, __ATOMIC_RELAXED);
}

void upstream_close_idle(struct upstream *upstream) {
    pthread_mutex_lock(&upstream->lock);
    for (struct connection *c = upstream->connections; c; c = c->next)
        if (c->idle && !c->done) shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_unlock(&upstream->lock);
}

/* --- for the test: what came ----------------------------------------------------------------- */

int upstream_count(struct upstream *upstream, enum upstream_count what) {
    pthread_mutex_lock(&upstream->lock);
    int value = upstream->counts[what];
    pthread_mutex_unlock(&upstream->lock);
    return value;
}

static int hits_of(const struct upstream *upstream, const char *path) {
    int hits = 0;
    for (int i = 0; i < upstream->arrival_count; i++) {
        const struct arrival *a = upstream->arrivals[i];
        hits += a->head_len > 0 && !a->why && is_path(target_of(a), path);
    }
    return hits;
}

static bool is_reached(const struct upstream *upstream, enum upstream_count what, const char *path,
                       int goal) {
    if (path) return hits_of(upstream, path) >= goal;
    int value = upstream->counts[what];
    bool exactly = what == UPSTREAM_OPEN || what == UPSTREAM_AT_GATE;
    return exactly ? value == goal : value >= goal;
}

static bool wait_for(struct upstream *upstream, enum upstream_count what, const char *path,
                     int goal, int within_ms) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += within_ms / 1000;
    until.tv_nsec += (long)(within_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    int failed = 0;
    pthread_mutex_lock(&upstream->lock);
    while (!is_reached(upstream, what, path, goal) && failed == 0)
        failed = pthread_cond_timedwait(&upstream->changed, &upstream->lock, &until);
    bool reached = is_reached(upstream, what, path, goal);
    pthread_mutex_unlock(&upstream->lock);
    return reached;
}

bool upstream_wait(struct upstream *upstream, enum upstream_count what, int goal, int within_ms) {
    return wait_for(upstream, what, NULL, goal, within_ms);
}

int upstream_hits(struct upstream *upstream, const char *path) {
    pthread_mutex_lock(&upstream->lock);
    int hits = hits_of(upstream, path);
    pthread_mutex_unlock(&upstream->lock);
    return hits;
}

bool upstream_wait_hits(struct upstream *upstream, const char *path, int goal, int within_ms) {
    return wait_for(upstream, UPSTREAM_COUNTS, path, goal, within_ms);
}

uint64_t upstream_sent(struct upstream *upstream) {
    pthread_mutex_lock(&upstream->lock);
    uint64_t sent = upstream->sent;
    pthread_mutex_unlock(&upstream->lock);
    return sent;
}

/* Memory of that size, which ends in a NUL more, and lives as long as the upstream. */
static void *keep(struct upstream *upstream, const void *bytes, size_t size) {
    struct kept *kept = malloc(sizeof *kept + size + 1);
    if (!kept) abort();
    kept->next = upstream->kept;
    upstream->kept = kept;
    memcpy(kept->bytes, bytes, size);
    kept->bytes[size] = '\0';
    return kept->bytes;
}

static struct span keep_span(struct upstream *upstream, const struct buf *buf) {
    struct span bytes = buf_span(buf);
    return (struct span){keep(upstream, bytes.ptr, bytes.len), bytes.len};
}

static const char *keep_text(struct upstream *upstream, const char *text) {
    return text ? keep(upstream, text, strlen(text)) : NULL;
}

const struct upstream_request *upstream_request(struct upstream *upstream, int index) {
    pthread_mutex_lock(&upstream->lock);
    bool there = index >= 0 && index < upstream->arrival_count;
    if (!there) pthread_mutex_unlock(&upstream->lock);
    ck_assert_msg(there, "the upstream got no request %d", index);
    const struct arrival *a = upstream->arrivals[index];
    struct upstream_request request = {.state = a->state,
                                       .why = a->why,
                                       .connection = a->connection,
                                       .raw = keep_span(upstream, &a->raw),
                                       .body = keep_span(upstream, &a->body),
                                       .trailer = keep_span(upstream, &a->trailer),
                                       .chunked = a->codings > 0,
                                       .body_len = a->body_len,
                                       .digest = a->digest};
    if (a->head_len > 0) {
        request.head = span_until(request.raw, a->head_len);
        request.method = span_until(request.head, method_of(a).len);
        request.target =
            span_until(span_from(request.head, request.method.len + 1), target_of(a).len);
    }
    const struct upstream_request *kept = keep(upstream, &request, sizeof request);
    pthread_mutex_unlock(&upstream->lock);
    return kept;
}

const struct upstream_connection *upstream_connection(struct upstream *upstream, int index) {
    pthread_mutex_lock(&upstream->lock);
    bool there = index >= 0 && index < upstream->counts[UPSTREAM_CONNECTIONS];
    if (!there) pthread_mutex_unlock(&upstream->lock);
    ck_assert_msg(there, "the upstream got no connection %d", index);
    const struct visit *visit = upstream->visits[index];
    struct upstream_connection connection = {.raw = keep_span(upstream, &visit->raw),
                                             .server_name = keep_text(upstream, visit->server_name),
                                             .certificate =
                                                 keep_text(upstream, visit->certificate)};
    const struct upstream_connection *kept = keep(upstream, &connection, sizeof connection);
    pthread_mutex_unlock(&upstream->lock);
    return kept;
}

/* Count the fields of that name; the first one lands in *ret_name and *ret_value. */
static int find_fields(const struct upstream_request *request, const char *name,
                       struct span *ret_name, struct span *ret_value) {
    struct span rest = request->head, line, own, value;
    int found = 0;
    *ret_name = *ret_value = SPAN_NONE;
    for (bool first = true; span_next(&rest, '\n', &line); first = false) {
        if (first || line.len < 2 || split_field(span_until(line, line.len - 1), &own, &value) ||
            !is_named(own, name))
            continue;
        if (found++ == 0) *ret_name = own, *ret_value = value;
    }
    return found;
}

struct span upstream_header(const struct upstream_request *request, const char *name) {
    struct span own, value;
    find_fields(request, name, &own, &value);
    return value;
}

struct span upstream_header_name(const struct upstream_request *request, const char *name) {
    struct span own, value;
    find_fields(request, name, &own, &value);
    return own;
}

int upstream_header_count(const struct upstream_request *request, const char *name) {
    struct span own, value;
    return find_fields(request, name, &own, &value);
}

/* --- large bodies ---------------------------------------------------------------------------- */

/* Row after row of 64 bytes; the row's number, folded, decides the order of the letters in it. */
static void filler_row(uint64_t row, char out[64]) {
    static const char letters[] =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
    uint64_t twist = row ^ row >> 6 ^ row >> 12 ^ row >> 18 ^ row >> 24 ^ row >> 30;
    for (size_t i = 0; i < 64; i++) out[i] = letters[(i ^ twist) & 63];
}

void upstream_filler(uint64_t offset, char *out, size_t len) {
    char row[64];
    while (len > 0) {
        size_t from = offset % sizeof row, n = sizeof row - from;
        if (n > len) n = len;
        filler_row(offset / sizeof row, row);
        memcpy(out, row + from, n);
        offset += n;
        out += n;
        len -= n;
    }
}

bool upstream_is_filler(uint64_t offset, struct span bytes) {
    char expected[CHUNK_SIZE];
    for (size_t n; bytes.len > 0; offset += n, bytes = span_from(bytes, n)) {
        n = bytes.len < sizeof expected ? bytes.len : sizeof expected;
        upstream_filler(offset, expected, n);
        if (memcmp(expected, bytes.ptr, n) != 0) return false;
    }
    return true;
}

uint64_t upstream_digest(uint64_t digest, struct span bytes) {
    for (size_t i = 0; i < bytes.len; i++)
        digest = (digest ^ (unsigned char)bytes.ptr[i]) * UINT64_C(0x100000001b3);
    return digest;
}

uint64_t upstream_filler_digest(uint64_t len) {
    char piece[CHUNK_SIZE];
    uint64_t digest = UPSTREAM_DIGEST_EMPTY;
    for (uint64_t done = 0; done < len; done += sizeof piece) {
        size_t n = len - done < sizeof piece ? (size_t)(len - done) : sizeof piece;
        upstream_filler(done, piece, n);
        digest = upstream_digest(digest, (struct span){piece, n});
    }
    return digest;
}
