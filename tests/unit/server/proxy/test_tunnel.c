#include "server/proxy/tunnel.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/attr.h"
#include "server/proxy/transfer.h"
#include "tests/support/certificate.h"
#include "tests/unit/server/proxy/stage.h"

#define HEAD "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n"
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"

/* --- a tunnel between two ends that the test plays ------------------------------------------- */

struct scene {
    struct stage stage;
    struct transfer transfer; /* it gave us the link */
    struct tunnel *tunnel;
    int client; /* the client's end */
    int ours;   /* of the client's connection */
    int target; /* the upstream's end */
    unsigned closed;
    bool stops; /* on_closed stops the tunnel */
};

static struct scene *scene_of(struct transfer *transfer) {
    return CONTAINER_OF(transfer, struct scene, transfer);
}

static void on_head(struct transfer *transfer, const struct response_head *head) {
    (void)transfer;
    ck_assert_uint_eq(head->status, 101);
}

static void on_interim(struct transfer *transfer, const struct response_head *head) {
    (void)transfer;
    (void)head;
}

static void on_body(struct transfer *transfer) {
    if (scene_of(transfer)->tunnel) tunnel_on_link(scene_of(transfer)->tunnel);
}

static void on_room(struct transfer *transfer) {
    (void)transfer;
}

static void on_failed(struct transfer *transfer, enum transfer_failure failure, const char *why) {
    (void)transfer;
    ck_abort_msg("%d: %s", (int)failure, why);
}

static const struct transfer_events events = {.on_interim = on_interim,
                                              .on_head = on_head,
                                              .on_body = on_body,
                                              .on_room = on_room,
                                              .on_failed = on_failed};

static void on_closed(struct tunnel *tunnel) {
    struct scene *scene = tunnel->owner;
    scene->closed++;
    if (!scene->stops) return;
    tunnel_stop(tunnel);
    transfer_end(&scene->transfer);
}

/* As far as the connection to the target. */
static void begin(struct scene *scene) {
    struct transfer_request request = {
        .upstream = scene->stage.upstream, .upgrade = SPAN_LITERAL("x"), .idempotent = true};
    enum transfer_failure why;
    ck_assert(transfer_begin(&scene->transfer, &scene->stage.pool, &request, &events, &why));
    buf_add_text(&scene->transfer.out, HEAD);
    transfer_start(&scene->transfer, true);
    scene->target = stage_accept(&scene->stage, 0);
}

static void switch_protocols(struct scene *scene) {
    begin(scene);
    stage_expect(&scene->stage, scene->target, HEAD);
    stage_say(&scene->stage, scene->target, SWITCH);
    STAGE_UNTIL(&scene->stage, scene->transfer.state == TRANSFER_TUNNEL);
}

/* A client on loopback, as accepted. */
static void connect_client(struct scene *scene) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    scene->client = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    ck_assert_int_eq(connect(scene->client, (struct sockaddr *)&address, sizeof address), 0);
    scene->ours = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    ck_assert_int_ge(scene->ours, 0);
    ck_assert_int_eq(fcntl(scene->client, F_SETFL, O_NONBLOCK), 0);
    close(listener);
}

static void dig(struct scene *scene, const struct tunnel_client *client, const char *up,
                const char *down) {
    scene->tunnel = tunnel_new(&scene->stage.reactor, client, scene->transfer.link, span_of(up),
                               span_of(down), on_closed, scene);
    ck_assert_ptr_nonnull(scene->tunnel);
}

static void open_scene(struct scene *scene, const char *up, const char *down) {
    *scene = (struct scene){.stops = true};
    stage_open(&scene->stage, 1, "http");
    connect_client(scene);
    switch_protocols(scene);
    struct tunnel_client client = tunnel_plain_client(scene->ours);
    dig(scene, &client, up, down);
}

static void close_scene(struct scene *scene) {
    tunnel_free(scene->tunnel);
    transfer_end(&scene->transfer);
    stage_turn(&scene->stage);
    transfer_free(&scene->transfer);
    close(scene->ours);
    if (scene->client >= 0) close(scene->client);
    if (scene->target >= 0) close(scene->target);
    stage_close(&scene->stage);
}

/* --- bytes ----------------------------------------------------------------------------------- */

TEST(bytes_go_both_ways) {
    struct scene scene;
    open_scene(&scene, "", "");
    for (int i = 0; i < 3; i++) {
        stage_say(&scene.stage, scene.client, "question");
        stage_expect(&scene.stage, scene.target, "question");
        stage_say(&scene.stage, scene.target, "answer");
        stage_expect(&scene.stage, scene.client, "answer");
    }
    stage_expect_nothing(&scene.stage, scene.client);
    stage_expect_nothing(&scene.stage, scene.target);
    ck_assert_uint_eq(scene.closed, 0);
    ck_assert_uint_eq(scene.tunnel->up.total, 3 * strlen("question"));
    ck_assert_uint_eq(scene.tunnel->down.total, 3 * strlen("answer"));
    close_scene(&scene);
}

TEST(what_came_before_the_tunnel_goes_first) {
    struct scene scene;
    open_scene(&scene, "early ", "first ");
    stage_say(&scene.stage, scene.client, "late");
    stage_say(&scene.stage, scene.target, "second");
    stage_expect(&scene.stage, scene.target, "early late");
    stage_expect(&scene.stage, scene.client, "first second");
    close_scene(&scene);
}

TEST(what_came_before_may_be_more_than_a_buffer_holds) {
    enum { SIZE = 100000 };
    struct scene scene;
    char *early = malloc(SIZE + 1), *got = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) early[i] = (char)('a' + i % 26);
    early[SIZE] = '\0';
    open_scene(&scene, early, early);
    stage_receive(&scene.stage, scene.target, got, SIZE);
    ck_assert_int_eq(memcmp(got, early, SIZE), 0);
    stage_receive(&scene.stage, scene.client, got, SIZE);
    ck_assert_int_eq(memcmp(got, early, SIZE), 0);
    stage_say(&scene.stage, scene.client, "on");
    stage_expect(&scene.stage, scene.target, "on");
    free(early);
    free(got);
    close_scene(&scene);
}

/* One end of a stream of bytes that can be told apart. */
struct stream {
    int fd;
    size_t sent, got;
};

static char byte_at(size_t offset) {
    return (char)(offset * 7 + offset / 251 + offset / 65536);
}

static void send_some(struct stream *stream, size_t size) {
    char bytes[20000];
    size_t len = size - stream->sent < sizeof bytes ? size - stream->sent : sizeof bytes;
    for (size_t i = 0; i < len; i++) bytes[i] = byte_at(stream->sent + i);
    ssize_t n = len ? send(stream->fd, bytes, len, MSG_NOSIGNAL) : 0;
    if (n > 0) stream->sent += (size_t)n;
}

static void receive_some(struct stream *stream) {
    char bytes[30000];
    ssize_t n = recv(stream->fd, bytes, sizeof bytes, 0);
    bool right = true;
    for (ssize_t i = 0; i < n; i++) right &= bytes[i] == byte_at(stream->got + (size_t)i);
    ck_assert_msg(right, "a byte is out of its place behind %zu", stream->got);
    if (n > 0) stream->got += (size_t)n;
}

TEST(much_goes_both_ways_at_once_and_memory_stays_bounded) {
    enum { SIZE = 12 * 1024 * 1024 };
    struct scene scene;
    open_scene(&scene, "", "");
    struct stream client = {.fd = scene.client}, target = {.fd = scene.target};
    for (int turns = 0; client.got < SIZE || target.got < SIZE; turns++) {
        ck_assert_int_lt(turns, 200000);
        send_some(&client, SIZE);
        send_some(&target, SIZE);
        if (turns > 500) { /* nobody reads at first */
            receive_some(&client);
            receive_some(&target);
        }
        stage_pass(1); /* a busy tunnel leaves the loop to others in between */
        stage_turn(&scene.stage);
        ck_assert_uint_le(scene.tunnel->up.size + scene.tunnel->down.size, 2 * TUNNEL_BUFFER);
    }
    ck_assert_uint_eq(scene.closed, 0);
    close_scene(&scene);
}

/* --- ends ------------------------------------------------------------------------------------ */

TEST(each_direction_ends_by_itself) {
    for (int order = 0; order < 2; order++) {
        struct scene scene;
        open_scene(&scene, "", "");
        int first = order ? scene.target : scene.client;
        int second = order ? scene.client : scene.target;
        stage_say(&scene.stage, first, "last words");
        shutdown(first, SHUT_WR);
        stage_expect(&scene.stage, second, "last words");
        stage_expect_end(&scene.stage, second);
        ck_assert_uint_eq(scene.closed, 0);

        stage_say(&scene.stage, second, "one more thing");
        stage_expect(&scene.stage, first, "one more thing");
        shutdown(second, SHUT_WR);
        STAGE_UNTIL(&scene.stage, scene.closed);
        stage_expect_end(&scene.stage, first);
        stage_settle(&scene.stage);
        ck_assert_uint_eq(scene.closed, 1);
        ck_assert_uint_eq(scene.stage.pool.open, 0);
        close_scene(&scene);
    }
}

/* The end comes behind the bytes, however late those are taken. */
static void end_behind_bytes(struct scene *scene, const struct lane *lane, int from, int to) {
    enum { PIECE = 1000, MAX = 64 * 1024 * 1024 };
    struct stream sender = {.fd = from}, receiver = {.fd = to};

    while (lane->start == lane->end) { /* until the receiver's socket takes no more */
        ck_assert_uint_lt(sender.sent, MAX);
        send_some(&sender, sender.sent + PIECE);
        stage_turn(&scene->stage);
    }
    ck_assert_uint_lt(lane->end, lane->size);
    shutdown(from, SHUT_WR);
    STAGE_UNTIL(&scene->stage, lane->ended);
    ck_assert_uint_gt(lane->end, lane->start);
    ck_assert(!lane->finished);
    while (receiver.got < sender.sent) {
        receive_some(&receiver);
        stage_turn(&scene->stage);
    }
    stage_expect_end(&scene->stage, to);
    ck_assert_uint_eq(scene->closed, 0);
}

TEST(an_end_waits_for_the_bytes_before_it) {
    struct scene scene;
    open_scene(&scene, "", "");
    end_behind_bytes(&scene, &scene.tunnel->down, scene.target, scene.client);
    close_scene(&scene);
    open_scene(&scene, "", "");
    end_behind_bytes(&scene, &scene.tunnel->up, scene.client, scene.target);
    close_scene(&scene);
}

TEST(a_side_that_breaks_ends_both) {
    for (int side = 0; side < 2; side++) {
        struct scene scene;
        open_scene(&scene, "", "");
        int *broken = side ? &scene.target : &scene.client;
        int other = side ? scene.client : scene.target;
        stage_reset(*broken);
        *broken = -1;
        STAGE_UNTIL(&scene.stage, scene.closed);
        stage_settle(&scene.stage);
        ck_assert_uint_eq(scene.closed, 1);
        ck_assert_uint_eq(scene.stage.pool.open, 0);
        if (!side) stage_expect_end(&scene.stage, other);
        close_scene(&scene);
    }
}

TEST(a_tunnel_that_was_stopped_moves_nothing) {
    struct scene scene;
    open_scene(&scene, "", "");
    tunnel_stop(scene.tunnel);
    tunnel_stop(scene.tunnel);
    tunnel_stop(NULL);
    ck_assert_int_eq(send(scene.client, "x", 1, 0), 1);
    ck_assert_int_eq(send(scene.target, "y", 1, 0), 1);
    stage_settle(&scene.stage);
    stage_expect_nothing(&scene.stage, scene.client);
    stage_expect_nothing(&scene.stage, scene.target);
    ck_assert_uint_eq(scene.closed, 0);
    close_scene(&scene);
}

/* The link goes at the end of the turn, and the tunnel may live longer: it must not look back. */
TEST(a_tunnel_may_outlive_its_link) {
    struct scene scene;
    open_scene(&scene, "", "");
    ck_assert_int_eq(send(scene.client, "x", 1, 0), 1);
    tunnel_stop(scene.tunnel);
    transfer_end(&scene.transfer);
    stage_turn(&scene.stage);
    ck_assert_int_eq(send(scene.client, "y", 1, 0), 1);
    shutdown(scene.client, SHUT_WR);
    stage_settle(&scene.stage);
    tunnel_on_link(scene.tunnel);
    stage_pass(1000);
    stage_settle(&scene.stage);
    ck_assert_uint_eq(scene.closed, 0);
    close_scene(&scene);
}

/* Events that are at hand already when it ends. */
TEST(both_ends_may_go_in_one_turn) {
    struct scene scene;
    open_scene(&scene, "", "");
    stage_settle(&scene.stage);
    stage_reset(scene.client);
    stage_reset(scene.target);
    scene.client = scene.target = -1;
    STAGE_UNTIL(&scene.stage, scene.closed);
    stage_settle(&scene.stage);
    ck_assert_uint_eq(scene.closed, 1);
    close_scene(&scene);
}

/* --- a client of another kind ---------------------------------------------------------------- */

/* As a session that hands out records whole: each read must have room for one. */
#define RECORD 6000

static unsigned finished;

static enum wire_result read_record(const struct tunnel_client *client, char *to, size_t max,
                                    size_t *ret_len) {
    ck_assert_uint_ge(max, RECORD);
    ck_assert_ptr_eq(client->argument, &finished);
    ssize_t n = recv(client->fd, to, RECORD, MSG_DONTWAIT);
    if (n > 0) *ret_len = (size_t)n;
    return n > 0 ? WIRE_OK : n == 0 ? WIRE_CLOSED : WIRE_AGAIN;
}

static enum wire_result write_record(const struct tunnel_client *client, struct span bytes,
                                     size_t *ret_len) {
    struct span some = span_until(bytes, RECORD);
    ssize_t n = send(client->fd, some.ptr, some.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) *ret_len = (size_t)n;
    return n > 0 ? WIRE_OK : WIRE_AGAIN;
}

static void finish_records(const struct tunnel_client *client) {
    (void)client;
    finished++;
}

TEST(a_client_that_reads_records_always_has_room_for_one) {
    enum { SIZE = 12 * 1024 * 1024 };
    struct scene scene = {.stops = true};
    stage_open(&scene.stage, 1, "http");
    connect_client(&scene);
    switch_protocols(&scene);
    struct tunnel_client records = {.fd = scene.ours,
                                    .least = RECORD,
                                    .argument = &finished,
                                    .read = read_record,
                                    .write = write_record,
                                    .finish = finish_records};
    dig(&scene, &records, "", "");
    struct stream client = {.fd = scene.client}, target = {.fd = scene.target};
    for (int turns = 0; client.got < SIZE || target.got < SIZE; turns++) {
        ck_assert_int_lt(turns, 200000);
        send_some(&client, SIZE);
        send_some(&target, SIZE);
        if (turns > 400) receive_some(&client);
        if (turns > 500) receive_some(&target);
        stage_pass(1);
        stage_turn(&scene.stage);
    }
    shutdown(scene.target, SHUT_WR);
    STAGE_UNTIL(&scene.stage, finished);
    ck_assert_uint_eq(finished, 1);
    ck_assert_uint_eq(scene.closed, 0);
    close_scene(&scene);
}

/* Far less at a time than has come. */
static enum wire_result read_byte(const struct tunnel_client *client, char *to, size_t max,
                                  size_t *ret_len) {
    (void)max;
    return tunnel_plain_client(client->fd).read(client, to, 1, ret_len);
}

/* It leaves the loop to others after some rounds; there is no event that would call it back. */
TEST(a_direction_with_much_to_do_goes_on_by_itself) {
    static const char text[] = "one byte at a time, of which there are more than rounds in a turn";
    char got[sizeof text] = "";
    struct scene scene = {.stops = true};
    stage_open(&scene.stage, 1, "http");
    connect_client(&scene);
    switch_protocols(&scene);
    struct tunnel_client client = tunnel_plain_client(scene.ours);
    client.read = read_byte;
    ck_assert_int_eq(send(scene.client, text, strlen(text), 0), strlen(text));
    dig(&scene, &client, "", "");
    for (int i = 0; i < 20; i++) {
        stage_pass(1);
        stage_turn(&scene.stage);
    }
    ck_assert_uint_eq(scene.tunnel->up.total, strlen(text));
    stage_receive(&scene.stage, scene.target, got, strlen(text));
    ck_assert_str_eq(got, text);
    close_scene(&scene);
}

/* --- an upstream with TLS -------------------------------------------------------------------- */

/* Of a socket's send buffer: a few records, so that a write often ends in the middle of one. */
#define NARROW (32 * 1024)

static void send_some_tls(SSL *ssl, struct stream *stream, size_t size) {
    char bytes[16000];
    size_t len = size - stream->sent < sizeof bytes ? size - stream->sent : sizeof bytes, n = 0;
    for (size_t i = 0; i < len; i++) bytes[i] = byte_at(stream->sent + i);
    if (len && SSL_write_ex(ssl, bytes, len, &n) == 1) stream->sent += n;
}

static void receive_some_tls(SSL *ssl, struct stream *stream) {
    char bytes[16384];
    size_t n = 0;
    bool right = true;
    if (SSL_read_ex(ssl, bytes, sizeof bytes, &n) != 1) return;
    for (size_t i = 0; i < n; i++) right &= bytes[i] == byte_at(stream->got + i);
    ck_assert_msg(right, "a byte is out of its place behind %zu", stream->got);
    stream->got += n;
}

/* The one target's certificate is of the test authority. */
static void trust_authority(struct stage *stage) {
    struct peer *peer = stage->upstream->peers[0];
    const struct wire_tls_settings settings = {.ca_file = certificate_authority_file(),
                                               .certificate = "",
                                               .private_key = "",
                                               .server_name = "127.0.0.1"};
    struct err_text err = {""};
    wire_tls_unref(peer->tls);
    int r = wire_tls_new(&settings, &peer->tls, &err);
    ck_assert_msg(r == 0, "%s", err.text);
}

static SSL *switch_protocols_tls(struct scene *scene) {
    SSL_CTX *context = certificate_context(CERTIFICATE_GOOD, false);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL *ssl = SSL_new(context);
    char head[sizeof HEAD] = "";
    size_t n;

    begin(scene);
    SSL_set_fd(ssl, scene->target);
    STAGE_UNTIL(&scene->stage, SSL_accept(ssl) == 1);
    STAGE_UNTIL(&scene->stage, SSL_read_ex(ssl, head, sizeof head - 1, &n) == 1);
    ck_assert_str_eq(head, HEAD);
    ck_assert_int_eq(SSL_write_ex(ssl, SWITCH, strlen(SWITCH), &n), 1);
    STAGE_UNTIL(&scene->stage, scene->transfer.state == TRANSFER_TUNNEL);
    SSL_CTX_free(context);
    return ssl;
}

static void narrow(int fd) {
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){NARROW}, sizeof(int)), 0);
}

static size_t moved(const struct stream *a, const struct stream *b) {
    return a->sent + a->got + b->sent + b->got;
}

/* Each side stops reading now and then, which must not stop the other direction, nor for ever. */
TEST(much_goes_both_ways_over_tls_however_often_a_socket_is_full) {
    enum { SIZE = 4 * 1024 * 1024, PAUSE = 16 };
    struct scene scene = {.stops = true};
    stage_open(&scene.stage, 1, "https");
    trust_authority(&scene.stage);
    connect_client(&scene);
    SSL *ssl = switch_protocols_tls(&scene);
    struct tunnel_client plain = tunnel_plain_client(scene.ours);
    dig(&scene, &plain, "", "");
    narrow(scene.ours);
    narrow(scene.transfer.link->wire.fd);
    struct stream client = {.fd = scene.client}, target = {.fd = scene.target};
    unsigned up_full = 0, down_full = 0, idle = 0;
    for (int turns = 0; client.got < SIZE || target.got < SIZE; turns++) {
        size_t before = moved(&client, &target);
        send_some(&client, SIZE);
        send_some_tls(ssl, &target, SIZE);
        if (turns & PAUSE) receive_some(&client);
        if (turns & 2 * PAUSE) receive_some_tls(ssl, &target);
        idle = moved(&client, &target) == before ? idle + 1 : 0;
        ck_assert_msg(idle < 2500, "it stands still: %zu and %zu bytes came", client.got,
                      target.got);
        stage_pass(1);
        if (idle) stage_wait(&scene.stage); /* acknowledgements take their time */
        stage_turn(&scene.stage);
        up_full += !scene.transfer.link->writable;
        down_full += !scene.tunnel->writable;
    }
    ck_assert_uint_eq(scene.closed, 0);
    ck_assert_uint_gt(up_full, 10);
    ck_assert_uint_gt(down_full, 10);
    SSL_free(ssl);
    close_scene(&scene);
}
