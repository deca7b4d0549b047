/* Wires with TLS, against OpenSSL's server in a thread. SIGPIPE keeps its default in the test's own
 * thread: one signal would end the test. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/proxy/wire.h"
#include "tests/support/certificate.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define WAIT_MS 10000
#define CONNECTIONS_MAX 64

static struct err_text err;

/* --- the server ------------------------------------------------------------------------------ */

/* What the server saw of one client. */
struct seen {
    bool accepted;
    bool reused;
    int version;
    char name[64]; /* SNI; "" where there was none */
    char alpn[32]; /* as it was sent, length bytes included */
    bool certificate;
};

/* Serve one client; with a NULL context there is no SSL. The caller frees and closes. */
typedef void serve_function(SSL *ssl, int fd);

struct server {
    SSL_CTX *context;
    serve_function *serve;
    int listener;
    struct sockaddr_storage address;
    socklen_t address_len;
    int connections; /* to serve, one after the other */
    struct seen seen[CONNECTIONS_MAX];
    pthread_t thread;
};

static sem_t go, done; /* of servers that wait for the test, and tests that wait for the server */

static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                   const unsigned char *offered, unsigned len, void *argument) {
    (void)ssl, (void)argument;
    struct seen *seen = SSL_get_app_data(ssl);
    snprintf(seen->alpn, sizeof seen->alpn, "%.*s", (int)len, (const char *)offered);
    *ret = offered + 1;
    *ret_len = offered[0];
    return SSL_TLSEXT_ERR_OK;
}

static void observe(SSL *ssl, struct seen *seen) {
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(seen->name, sizeof seen->name, "%s", name ? name : "");
    seen->reused = SSL_session_reused(ssl);
    seen->version = SSL_version(ssl);
    seen->certificate = SSL_get0_peer_certificate(ssl) != NULL;
}

static void serve_one(struct server *server, int fd, struct seen *seen) {
    if (!server->context) {
        server->serve(NULL, fd);
        return;
    }
    SSL *ssl = SSL_new(server->context);
    SSL_set_fd(ssl, fd);
    SSL_set_app_data(ssl, seen);
    seen->accepted = SSL_accept(ssl) == 1;
    observe(ssl, seen);
    if (seen->accepted) server->serve(ssl, fd);
    SSL_free(ssl);
}

static void *serve_all(void *argument) {
    struct server *server = argument;
    const struct timeval limit = {.tv_sec = WAIT_MS / 1000};
    for (int i = 0; i < server->connections; i++) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        /* What was said before a reset shall have been sent. */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        serve_one(server, fd, &server->seen[i]);
        close(fd);
    }
    return NULL;
}

/* A closed peer is a failed write in the server's thread, not a signal. */
static void start_thread(struct server *server) {
    sigset_t pipe_signal, before;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    ck_assert_int_eq(listen(server->listener, 64), 0);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ck_assert_int_eq(pthread_create(&server->thread, NULL, serve_all, server), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static struct server *server_new(SSL_CTX *context, serve_function *serve, int connections) {
    struct server *server = calloc(1, sizeof *server);
    *server = (struct server){.context = context, .serve = serve, .connections = connections};
    sem_init(&go, 0, 0);
    sem_init(&done, 0, 0);
    if (context) SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    return server;
}

/* On a free port of 127.0.0.1, with a context that it takes over. */
static struct server *server_start(SSL_CTX *context, serve_function *serve, int connections) {
    struct server *server = server_new(context, serve, connections);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    server->address_len = sizeof server->address;
    ck_assert_int_eq(bind(server->listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(
        getsockname(server->listener, (struct sockaddr *)&server->address, &server->address_len),
        0);
    start_thread(server);
    return server;
}

static struct server *server_start_unix(SSL_CTX *context, serve_function *serve) {
    struct server *server = server_new(context, serve, 1);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *folder = scratch_new();
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    free(folder);
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(server->listener, (struct sockaddr *)&address, sizeof address), 0);
    memcpy(&server->address, &address, sizeof address);
    server->address_len = sizeof address;
    start_thread(server);
    return server;
}

/* Wait for the last client; what was seen may be read from now on. */
static void server_join(struct server *server) {
    ck_assert_int_eq(pthread_join(server->thread, NULL), 0);
}

static void server_free(struct server *server) {
    close(server->listener);
    SSL_CTX_free(server->context);
    free(server);
}

static void reset_on_close(int fd) {
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void say(SSL *ssl, const char *text) {
    SSL_write(ssl, text, (int)strlen(text));
}

/*
 * Do as the client says, byte by byte: h "hello", u "hello" after a request for new keys, c end
 * with close_notify, t end without, r reset, e "hello", and a reset when the test says so, f end
 * with close_notify and read "more".
 */
static void obey(SSL *ssl, int fd) {
    char command, rest[64];
    while (SSL_read(ssl, &command, 1) == 1) {
        if (command == 't') return;
        if (command == 'u') SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
        if (command == 'h' || command == 'u' || command == 'e') say(ssl, "hello");
        if (command == 'e') sem_wait(&go);
        if (command == 'r' || command == 'e') reset_on_close(fd);
        if (command == 'r' || command == 'e') return;
        if (command == 'c' || command == 'f') SSL_shutdown(ssl);
        if (command == 'c') return;
        if (command != 'f') continue;
        int n = SSL_read(ssl, rest, sizeof rest);
        sem_post(&done);
        if (n != 4 || memcmp(rest, "more", 4) != 0) abort();
        return;
    }
    if (!(SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN)) return;
    /* Behind close_notify comes FIN. */
    if (recv(fd, &command, 1, 0) != 0) abort();
    say(ssl, "bye");
    SSL_shutdown(ssl);
}

/* --- the wire -------------------------------------------------------------------------------- */

static struct wire_tls *tls_of(struct wire_tls_settings settings) {
    struct wire_tls *tls = NULL;
    if (!settings.ca_file) settings.ca_file = certificate_authority_file();
    if (!settings.certificate) settings.certificate = settings.private_key = "";
    if (!settings.server_name) settings.server_name = "localhost";
    ck_assert_msg(wire_tls_new(&settings, &tls, &err) == 0, "%s", err.text);
    return tls;
}
#define TLS(...) tls_of((struct wire_tls_settings){__VA_ARGS__})

/* A wire and the epoll it is registered with, once and edge-triggered, as in a worker. */
struct line {
    struct wire wire;
    int epoll;
};

static void line_wait(struct line *line) {
    struct epoll_event event;
    ck_assert_int_eq(epoll_wait(line->epoll, &event, 1, WAIT_MS), 1);
}

static void wait_readable(const struct line *line) {
    struct pollfd waiting = {.fd = line->wire.fd, .events = POLLIN};
    ck_assert_int_eq(poll(&waiting, 1, WAIT_MS), 1);
}

static enum wire_result line_advance(struct line *line) {
    enum wire_result result;
    while ((result = wire_advance(&line->wire, &err)) == WIRE_AGAIN) line_wait(line);
    return result;
}

static struct line line_open(const struct server *server, struct wire_tls *tls) {
    struct line line = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    const struct sockaddr *address = (const struct sockaddr *)&server->address;
    int r = wire_open(address, server->address_len, tls, &line.wire, &err);
    ck_assert_msg(r == 0, "%s", err.text);
    ck_assert_int_eq(epoll_ctl(line.epoll, EPOLL_CTL_ADD, line.wire.fd, &event), 0);
    return line;
}

static struct line line_ready(const struct server *server, struct wire_tls *tls) {
    struct line line = line_open(server, tls);
    enum wire_result result = line_advance(&line);
    ck_assert_msg(result == WIRE_OK && line.wire.ready, "%d: %s", (int)result, err.text);
    return line;
}

static void line_close(struct line *line) {
    wire_close(&line->wire);
    close(line->epoll);
}

static void line_send(struct line *line, const char *text) {
    size_t len = 0;
    ck_assert_int_eq(wire_write(&line->wire, text, strlen(text), &len, &err), WIRE_OK);
    ck_assert_uint_eq(len, strlen(text));
}

static enum wire_result line_read(struct line *line, char bytes[64]) {
    enum wire_result result;
    size_t len = 0;
    while ((result = wire_read(&line->wire, bytes, 63, &len, &err)) == WIRE_AGAIN) line_wait(line);
    bytes[len] = '\0';
    return result;
}

static void expect_text(struct line *line, const char *text) {
    char bytes[64];
    enum wire_result result = line_read(line, bytes);
    ck_assert_msg(result == WIRE_OK, "%d: %s", (int)result, err.text);
    ck_assert_str_eq(bytes, text);
}

static void expect_end(struct line *line, enum wire_result expected) {
    char bytes[64];
    enum wire_result result = line_read(line, bytes);
    ck_assert_msg(result == expected, "%d: %s", (int)result, err.text);
}

/* A clean end from both sides, by which the server has finished with the client. */
static void line_end(struct line *line) {
    wire_finish(&line->wire);
    expect_text(line, "bye");
    expect_end(line, WIRE_CLOSED);
    line_close(line);
}

static void expect_reason(const char *part) {
    ck_assert_msg(strstr(err.text, part) != NULL, "%s", err.text);
}

/* --- talking --------------------------------------------------------------------------------- */

static SSL_CTX *context_of(int version) {
    SSL_CTX *context = certificate_context(CERTIFICATE_GOOD, false);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    return context;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

TEST(bytes_go_both_ways_with_tls_1_2_and_1_3) {
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct server *server = server_start(context_of(versions[i]), obey, 1);
        struct wire_tls *tls = TLS(.ca_file = NULL);
        struct line line = line_ready(server, tls);
        char byte;
        size_t len;
        wire_tls_unref(tls); /* the wire has its own reference */
        ck_assert_int_eq(wire_read(&line.wire, &byte, 1, &len, &err), WIRE_AGAIN);
        line_send(&line, "h");
        expect_text(&line, "hello");
        line_end(&line);
        server_join(server);
        ck_assert(server->seen[0].accepted);
        ck_assert_int_eq(server->seen[0].version, versions[i]);
        ck_assert_str_eq(server->seen[0].alpn, "\x08http/1.1");
        server_free(server);
    }
}

TEST(new_keys_in_the_middle_are_no_end) {
    struct server *server = server_start(context_of(TLS1_3_VERSION), obey, 1);
    struct wire_tls *tls = TLS(.ca_file = NULL);
    struct line line = line_ready(server, tls);
    for (int i = 0; i < 3; i++) {
        line_send(&line, "u");
        expect_text(&line, "hello");
    }
    line_end(&line);
    server_join(server);
    wire_tls_unref(tls);
    server_free(server);
}

/* A whole record is smaller or larger than what the reader asks for; no edge tells of the rest. */
TEST(bytes_that_openssl_holds_back_are_read_before_again) {
    struct server *server = server_start(context_of(TLS1_3_VERSION), obey, 1);
    struct wire_tls *tls = TLS(.ca_file = NULL);
    struct line line = line_ready(server, tls);
    char bytes[16] = "";
    line_send(&line, "h");
    for (size_t got = 0, len; got < 5;) {
        enum wire_result result = wire_read(&line.wire, bytes + got, 1, &len, &err);
        if (result == WIRE_AGAIN)
            line_wait(&line);
        else
            got += len;
        ck_assert(got == 0 || result == WIRE_OK);
    }
    ck_assert_str_eq(bytes, "hello");
    line_end(&line);
    server_join(server);
    wire_tls_unref(tls);
    server_free(server);
}

TEST(an_old_error_in_the_queue_is_not_taken_for_one_of_this_wire) {
    struct server *server = server_start(context_of(TLS1_3_VERSION), obey, 1);
    struct wire_tls *tls = TLS(.ca_file = NULL);
    struct line line = line_open(server, tls);
    enum wire_result result = WIRE_AGAIN;
    char byte;
    size_t len;
    while (result == WIRE_AGAIN) {
        ERR_raise(ERR_LIB_USER, 1);
        if ((result = wire_advance(&line.wire, &err)) == WIRE_AGAIN) line_wait(&line);
    }
    ck_assert_msg(result == WIRE_OK, "%s", err.text);
    ERR_raise(ERR_LIB_USER, 1);
    ck_assert_int_eq(wire_read(&line.wire, &byte, 1, &len, &err), WIRE_AGAIN);
    ERR_raise(ERR_LIB_USER, 1);
    ck_assert(!wire_is_stale(&line.wire));
    ERR_raise(ERR_LIB_USER, 1);
    line_end(&line);
    server_join(server);
    wire_tls_unref(tls);
    server_free(server);
}

/* --- names and certificates ------------------------------------------------------------------ */

static void nothing(SSL *ssl, int fd) {
    char byte;
    (void)fd;
    if (SSL_read(ssl, &byte, 1) > 0) abort();
}

TEST(only_a_good_certificate_for_the_very_name_is_accepted) {
    static const struct {
        enum certificate_kind kind;
        const char *name;
        const char *why; /* NULL: good */
        const char *sni;
    } rows[] = {
        {CERTIFICATE_GOOD, "localhost", NULL, "localhost"},
        {CERTIFICATE_GOOD, "LOCALHOST", NULL, "LOCALHOST"},
        {CERTIFICATE_GOOD, "localhost.", NULL, "localhost"},
        {CERTIFICATE_GOOD, "127.0.0.1", NULL, ""},
        {CERTIFICATE_WRONG_NAME, "other.example", NULL, "other.example"},
        {CERTIFICATE_GOOD, "127.0.0.2",
         "its certificate is not good for \"127.0.0.2\": IP address mismatch; set tls.server_name "
         "of the upstream to a name that the certificate holds",
         ""},
        {CERTIFICATE_GOOD, "::1", "for \"::1\": IP address mismatch; set tls.server_name", ""},
        {CERTIFICATE_GOOD, "other.example",
         "not good for \"other.example\": hostname mismatch; set tls.server_name of the upstream "
         "to a name that the certificate holds",
         "other.example"},
        {CERTIFICATE_GOOD, "a.localhost", "\"a.localhost\": hostname mismatch", "a.localhost"},
        {CERTIFICATE_GOOD, "host", "\"host\": hostname mismatch", "host"},
        {CERTIFICATE_WRONG_NAME, "localhost", "\"localhost\": hostname mismatch", "localhost"},
        {CERTIFICATE_WRONG_NAME, "127.0.0.1", "\"127.0.0.1\": IP address mismatch", ""},
        {CERTIFICATE_NO_NAME, "localhost", "\"localhost\": hostname mismatch", "localhost"},
        {CERTIFICATE_EXPIRED, "localhost",
         "for \"localhost\": certificate has expired; the server needs a new one", "localhost"},
        {CERTIFICATE_SELF_SIGNED, "localhost",
         "for \"localhost\": self-signed certificate; set tls.ca_file of the upstream",
         "localhost"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct server *server = server_start(certificate_context(rows[i].kind, false), nothing, 1);
        struct wire_tls *tls = TLS(.server_name = rows[i].name);
        struct line line = line_open(server, tls);
        err.text[0] = '\0';
        enum wire_result result = line_advance(&line);
        ck_assert_msg(result == (rows[i].why ? WIRE_FAILED : WIRE_OK), "row %zu: %d %s", i,
                      (int)result, err.text);
        if (rows[i].why)
            ck_assert_msg(strstr(err.text, rows[i].why) && strstr(err.text, "127.0.0.1:"),
                          "row %zu: %s", i, err.text);
        ck_assert_int_eq(line.wire.ready, rows[i].why == NULL);
        line_close(&line);
        server_join(server);
        ck_assert_msg(strcmp(server->seen[0].name, rows[i].sni) == 0, "row %zu: %s", i,
                      server->seen[0].name);
        wire_tls_unref(tls);
        server_free(server);
    }
}

static void expect_handshake_failure(SSL_CTX *context, struct wire_tls *tls, const char *why) {
    struct server *server = server_start(context, nothing, 1);
    struct line line = line_open(server, tls);
    err.text[0] = '\0';
    ck_assert_int_eq(line_advance(&line), WIRE_FAILED);
    expect_reason("TLS handshake with 127.0.0.1:");
    expect_reason(why);
    ck_assert_int_ne(line_advance(&line), WIRE_OK);
    line_close(&line);
    server_join(server);
    wire_tls_unref(tls);
    server_free(server);
}

TEST(an_authority_that_is_not_the_configured_one_is_not_trusted) {
    char *folder = scratch_new(), *certificate, *key;
    certificate_client_files(folder, true, &certificate, &key);
    const char *why = "unable to get local issuer certificate; set tls.ca_file of the upstream";
    expect_handshake_failure(context_of(TLS1_3_VERSION), TLS(.ca_file = certificate), why);
    expect_handshake_failure(context_of(TLS1_2_VERSION), TLS(.ca_file = ""), why);
    free(key), free(certificate), free(folder);
}

/* What the advice for a self-signed certificate says. */
TEST(a_self_signed_certificate_may_be_its_own_authority) {
    char *folder = scratch_new();
    SSL_CTX *context = certificate_context(CERTIFICATE_SELF_SIGNED, false);
    char *path = scratch_text("%s/self.pem", folder);
    FILE *file = fopen(path, "w");
    ck_assert_int_eq(PEM_write_X509(file, SSL_CTX_get0_certificate(context)), 1);
    fclose(file);
    struct server *server = server_start(context, obey, 1);
    struct wire_tls *tls = TLS(.ca_file = path);
    struct line line = line_ready(server, tls);
    line_end(&line);
    server_join(server);
    wire_tls_unref(tls);
    server_free(server);
    free(path), free(folder);
}

TEST(tls_1_1_is_refused) {
    expect_handshake_failure(certificate_context(CERTIFICATE_GOOD, true), TLS(.ca_file = NULL),
                             "it speaks no TLS 1.2 or newer");
}

/* --- client certificates --------------------------------------------------------------------- */

static SSL_CTX *asking_context(int version) {
    SSL_CTX *context = context_of(version);
    certificate_require_client(context);
    return context;
}

TEST(a_client_certificate_is_shown_where_one_is_asked_for) {
    char *folder = scratch_new(), *certificate, *key;
    certificate_client_files(folder, false, &certificate, &key);
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct server *server = server_start(asking_context(versions[i]), obey, 2);
        struct wire_tls *tls = TLS(.certificate = certificate, .private_key = key);
        for (int j = 0; j < 2; j++) {
            struct line line = line_ready(server, tls);
            line_send(&line, "h");
            expect_text(&line, "hello");
            line_end(&line);
        }
        server_join(server);
        ck_assert(server->seen[0].certificate);
        ck_assert(server->seen[1].certificate && server->seen[1].reused);
        wire_tls_unref(tls);
        server_free(server);
    }
    free(key), free(certificate), free(folder);
}

/* With TLS 1.3 our side of the handshake is over before the server looks at the certificate. */
TEST(a_client_certificate_that_is_missing_or_not_liked_is_told) {
    char *folder = scratch_new(), *certificate, *key;
    certificate_client_files(folder, true, &certificate, &key);
    const struct {
        int version;
        const char *certificate;
        const char *why;
    } rows[] = {
        {TLS1_2_VERSION, NULL, "it shares no cipher with us, or wants a client certificate"},
        {TLS1_3_VERSION, NULL, "alert certificate required; set tls.certificate"},
        {TLS1_2_VERSION, certificate, "it does not accept tls.certificate of the upstream"},
        {TLS1_3_VERSION, certificate, "it does not accept tls.certificate of the upstream"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct server *server = server_start(asking_context(rows[i].version), nothing, 1);
        struct wire_tls *tls = TLS(.certificate = rows[i].certificate, .private_key = key);
        struct line line = line_open(server, tls);
        char bytes[64];
        enum wire_result result = line_advance(&line);
        if (rows[i].version == TLS1_3_VERSION) {
            ck_assert_int_eq(result, WIRE_OK);
            result = line_read(&line, bytes);
            expect_reason("reading from 127.0.0.1:");
        }
        ck_assert_msg(result == WIRE_FAILED, "row %zu: %d", i, (int)result);
        ck_assert_msg(strstr(err.text, rows[i].why) != NULL, "row %zu: %s", i, err.text);
        line_close(&line);
        server_join(server);
        ck_assert(!server->seen[0].accepted);
        wire_tls_unref(tls);
        server_free(server);
    }
    free(key), free(certificate), free(folder);
}

/* --- sessions -------------------------------------------------------------------------------- */

static void talk(const struct server *server, struct wire_tls *tls) {
    struct line line = line_ready(server, tls);
    line_send(&line, "h");
    expect_text(&line, "hello");
    line_end(&line);
}

/* How the connection ends does not matter: a broken one says nothing about its keys. */
TEST(later_connections_resume_the_session_of_an_earlier_one) {
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct server *server = server_start(context_of(versions[i]), obey, 5);
        struct wire_tls *tls = TLS(.ca_file = NULL);
        for (int j = 0; j < 2; j++) talk(server, tls);
        for (int j = 0; j < 2; j++) {
            struct line line = line_ready(server, tls);
            line_send(&line, "h");
            expect_text(&line, "hello");
            line_send(&line, "t");
            if (j == 1) expect_end(&line, WIRE_FAILED);
            line_close(&line);
        }
        talk(server, tls);
        server_join(server);
        for (int j = 0; j < 5; j++) {
            ck_assert_msg(server->seen[j].reused == (j > 0), "%zu %d", i, j);
            ck_assert_int_eq(server->seen[j].version, versions[i]);
            /* OpenSSL's server does not tell the name of a TLS 1.2 session that is resumed. */
            if (j == 0 || versions[i] == TLS1_3_VERSION)
                ck_assert_str_eq(server->seen[j].name, "localhost");
        }
        wire_tls_unref(tls);
        server_free(server);
    }
}

TEST(a_session_is_of_its_own_settings_alone) {
    struct server *server = server_start(context_of(TLS1_2_VERSION), obey, 2);
    struct wire_tls *one = TLS(.ca_file = NULL), *other = TLS(.ca_file = NULL);
    talk(server, one);
    talk(server, other);
    server_join(server);
    ck_assert(server->seen[1].accepted && !server->seen[1].reused);
    wire_tls_unref(one);
    wire_tls_unref(other);
    server_free(server);
}

/* A server that has lost its ticket keys shakes hands in full. */
TEST(a_session_that_the_server_does_not_know_any_more_does_no_harm) {
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct server *before = server_start(context_of(versions[i]), obey, 1);
        struct wire_tls *tls = TLS(.ca_file = NULL);
        talk(before, tls);
        server_join(before);
        struct server *after = server_start(context_of(versions[i]), obey, 2);
        talk(after, tls);
        talk(after, tls);
        server_join(after);
        ck_assert(!after->seen[0].reused && after->seen[1].reused);
        wire_tls_unref(tls);
        server_free(before);
        server_free(after);
    }
}

/* OpenSSL's servers do so where they ask for certificates and were given no session context. */
TEST(a_server_that_chokes_on_sessions_fails_once_and_not_every_second_time) {
    char *folder = scratch_new(), *certificate, *key;
    certificate_client_files(folder, false, &certificate, &key);
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        SSL_CTX *context = asking_context(versions[i]);
        SSL_CTX_set_session_id_context(context, NULL, 0);
        struct server *server = server_start(context, obey, 5);
        struct wire_tls *tls = TLS(.certificate = certificate, .private_key = key);
        talk(server, tls);
        struct line line = line_open(server, tls);
        ck_assert_int_eq(line_advance(&line), WIRE_FAILED);
        expect_reason("alert internal error");
        line_close(&line);
        for (int j = 0; j < 3; j++) talk(server, tls);
        server_join(server);
        wire_tls_unref(tls);
        server_free(server);
    }
    free(key), free(certificate), free(folder);
}

TEST(a_session_ends_with_the_certificate_it_stands_for) {
    struct server *servers[ARRAY_LEN(versions)];
    struct wire_tls *tls[ARRAY_LEN(versions)];
    const ASN1_TIME *end = NULL;
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        SSL_CTX *context = certificate_context(CERTIFICATE_BRIEF, false);
        SSL_CTX_set_max_proto_version(context, versions[i]);
        end = X509_get0_notAfter(SSL_CTX_get0_certificate(context));
        servers[i] = server_start(context, obey, 3);
        tls[i] = TLS(.ca_file = NULL);
        talk(servers[i], tls[i]);
        talk(servers[i], tls[i]);
    }
    while (X509_cmp_current_time(end) > 0) poll(NULL, 0, 20);
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct line line = line_open(servers[i], tls[i]);
        ck_assert_int_eq(line_advance(&line), WIRE_FAILED);
        expect_reason("certificate has expired");
        line_close(&line);
        server_join(servers[i]);
        ck_assert(servers[i]->seen[1].reused && !servers[i]->seen[2].reused);
        wire_tls_unref(tls[i]);
        server_free(servers[i]);
    }
}

static void *talk_often(void *argument) {
    void **both = argument;
    for (int i = 0; i < CONNECTIONS_MAX / 4; i++) {
        const struct server *server = both[0];
        struct wire wire;
        struct err_text why;
        enum wire_result result = WIRE_AGAIN;
        char bytes[64];
        size_t len;
        if (wire_open((const struct sockaddr *)&server->address, server->address_len, both[1],
                      &wire, &why) < 0)
            abort();
        struct pollfd waiting = {.fd = wire.fd, .events = POLLIN};
        while ((result = wire_advance(&wire, &why)) == WIRE_AGAIN) {
            waiting.events = wire.connected ? POLLIN : POLLOUT;
            poll(&waiting, 1, WAIT_MS);
        }
        if (result != WIRE_OK || wire_write(&wire, "h", 1, &len, &why) != WIRE_OK) abort();
        waiting.events = POLLIN;
        while ((result = wire_read(&wire, bytes, sizeof bytes, &len, &why)) == WIRE_AGAIN)
            poll(&waiting, 1, WAIT_MS);
        if (result != WIRE_OK || len != 5) abort();
        wire_finish(&wire);
        wire_close(&wire);
    }
    return NULL;
}

TEST(threads_share_settings_and_sessions) {
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct server *server = server_start(context_of(versions[i]), obey, CONNECTIONS_MAX);
        struct wire_tls *tls = TLS(.ca_file = NULL);
        void *both[] = {server, tls};
        pthread_t threads[4];
        int reused = 0;
        for (int j = 0; j < 4; j++)
            ck_assert_int_eq(pthread_create(&threads[j], NULL, talk_often, both), 0);
        for (int j = 0; j < 4; j++) pthread_join(threads[j], NULL);
        server_join(server);
        for (int j = 0; j < CONNECTIONS_MAX; j++) reused += server->seen[j].reused;
        ck_assert_int_gt(reused, CONNECTIONS_MAX / 4);
        wire_tls_unref(tls);
        server_free(server);
    }
}

/* --- ends ------------------------------------------------------------------------------------ */

TEST(an_end_is_clean_with_close_notify_alone) {
    static const struct {
        const char *command;
        enum wire_result end;
        const char *why;
    } rows[] = {
        {"hc", WIRE_CLOSED, ""},
        {"ht", WIRE_FAILED, "failed: it closed the connection without close_notify"},
        {"hr", WIRE_FAILED, "failed: Connection reset by peer"},
    };
    for (size_t i = 0; i < ARRAY_LEN(versions); i++)
        for (size_t j = 0; j < ARRAY_LEN(rows); j++) {
            struct server *server = server_start(context_of(versions[i]), obey, 1);
            struct wire_tls *tls = TLS(.ca_file = NULL);
            struct line line = line_ready(server, tls);
            err.text[0] = '\0';
            line_send(&line, "h");
            expect_text(&line, "hello");
            line_send(&line, rows[j].command + 1);
            expect_end(&line, rows[j].end);
            expect_reason(rows[j].why);
            expect_end(&line, rows[j].end);
            line_close(&line);
            server_join(server);
            wire_tls_unref(tls);
            server_free(server);
        }
}

TEST(a_peer_that_has_ended_its_stream_still_reads_ours) {
    struct server *server = server_start(context_of(TLS1_3_VERSION), obey, 1);
    struct wire_tls *tls = TLS(.ca_file = NULL);
    struct line line = line_ready(server, tls);
    line_send(&line, "f");
    expect_end(&line, WIRE_CLOSED);
    line_send(&line, "more");
    sem_wait(&done);
    server_join(server);
    /* And when it is gone, writing fails and is no clean end. */
    size_t len;
    enum wire_result result;
    while ((result = wire_write(&line.wire, "x", 1, &len, &err)) == WIRE_OK) {
    }
    ck_assert_int_eq(result, WIRE_FAILED);
    expect_reason("writing to 127.0.0.1:");
    line_close(&line);
    wire_tls_unref(tls);
    server_free(server);
}

TEST(a_second_finish_takes_nothing_away) {
    struct server *server = server_start(context_of(TLS1_3_VERSION), obey, 1);
    struct wire_tls *tls = TLS(.ca_file = NULL);
    struct line line = line_ready(server, tls);
    line_send(&line, "h");
    expect_text(&line, "hello");
    wire_finish(&line.wire);
    wait_readable(&line);
    wire_finish(&line.wire);
    expect_text(&line, "bye");
    expect_end(&line, WIRE_CLOSED);
    line_close(&line);
    server_join(server);
    wire_tls_unref(tls);
    server_free(server);
}

static void expect_truncation(SSL *ssl, int fd) {
    char byte;
    (void)fd;
    int n = SSL_read(ssl, &byte, 1);
    if (n > 0 || SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN) abort();
}

TEST(a_close_without_finish_is_no_clean_end_for_the_peer) {
    struct server *server = server_start(context_of(TLS1_3_VERSION), expect_truncation, 1);
    struct wire_tls *tls = TLS(.ca_file = NULL);
    struct line line = line_ready(server, tls);
    line_close(&line);
    server_join(server);
    wire_tls_unref(tls);
    server_free(server);
}

/* A server that refuses a body early: it answers, and closes on what it did not read. */
TEST(an_early_answer_can_be_read_after_a_write_failed) {
    static const char body[65536];
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct server *server = server_start(context_of(versions[i]), obey, 1);
        struct wire_tls *tls = TLS(.ca_file = NULL);
        struct line line = line_ready(server, tls);
        enum wire_result result;
        size_t len;
        line_send(&line, "h");
        expect_text(&line, "hello");
        line_send(&line, "e");
        wait_readable(&line); /* a reset may overtake what has not arrived */
        sem_post(&go);
        while ((result = wire_write(&line.wire, body, sizeof body, &len, &err)) != WIRE_FAILED)
            if (result == WIRE_AGAIN) line_wait(&line);
        expect_text(&line, "hello");
        line_close(&line);
        server_join(server);
        wire_tls_unref(tls);
        server_free(server);
    }
}

/* --- handshakes that fail -------------------------------------------------------------------- */

static void read_hello(int fd) {
    char bytes[64];
    if (recv(fd, bytes, sizeof bytes, 0) <= 0) abort();
}

static void reset_in_the_middle(SSL *ssl, int fd) {
    (void)ssl;
    read_hello(fd);
    reset_on_close(fd);
}

static void close_in_the_middle(SSL *ssl, int fd) {
    (void)ssl;
    for (char bytes[4096]; recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) != 0;)
        if (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 100) == 0) return;
}

static void speak_http(SSL *ssl, int fd) {
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    (void)ssl;
    read_hello(fd);
    if (send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) <= 0) abort();
    char byte;
    while (recv(fd, &byte, 1, 0) > 0) {
    }
}

static void send_alert(SSL *ssl, int fd) {
    static const char alert[] = {21, 3, 3, 0, 2, 2, 112};
    (void)ssl;
    read_hello(fd);
    if (send(fd, alert, sizeof alert, MSG_NOSIGNAL) <= 0) abort();
    char byte;
    while (recv(fd, &byte, 1, 0) > 0) {
    }
}

TEST(a_handshake_that_breaks_off_says_why) {
    static const struct {
        serve_function *serve;
        const char *why;
    } rows[] = {
        {reset_in_the_middle, "failed: Connection reset by peer"},
        {close_in_the_middle, "failed: it closed the connection without close_notify"},
        {speak_http, "failed: wrong version number; it does not speak TLS on this port"},
        {send_alert, "unrecognized name; set tls.server_name of the upstream"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct server *server = server_start(NULL, rows[i].serve, 1);
        struct wire_tls *tls = TLS(.ca_file = NULL);
        struct line line = line_open(server, tls);
        ck_assert_int_eq(line_advance(&line), WIRE_FAILED);
        expect_reason("TLS handshake with 127.0.0.1:");
        expect_reason(rows[i].why);
        ck_assert(!line.wire.ready && wire_is_stale(&line.wire));
        line_close(&line);
        server_join(server);
        wire_tls_unref(tls);
        server_free(server);
    }
}

TEST(a_wire_may_be_closed_at_any_moment) {
    struct server *server = server_start(context_of(TLS1_3_VERSION), obey, 2);
    struct wire_tls *tls = TLS(.ca_file = NULL);
    struct line line = line_open(server, tls);
    line_close(&line);
    line = line_open(server, tls);
    while (!line.wire.ssl)
        if (wire_advance(&line.wire, &err) == WIRE_AGAIN) line_wait(&line);
    line_close(&line);
    ck_assert_int_eq(line.wire.fd, -1);
    server_join(server);
    wire_tls_unref(tls);
    server_free(server);
}

/* --- much ------------------------------------------------------------------------------------ */

#define MUCH (24 * 1024 * 1024) /* more than the sockets hold between them */

static char at(size_t offset) {
    return (char)(offset * 2654435761U >> 13);
}

/* Reads nothing until told, then everything; and sends as much back. */
static void mirror(SSL *ssl, int fd) {
    char *bytes = malloc(MUCH);
    int n, got = 0, sent = 0;
    (void)fd;
    sem_wait(&go);
    while (got < MUCH && (n = SSL_read(ssl, bytes + got, MUCH - got)) > 0) got += n;
    while (sent < MUCH && (n = SSL_write(ssl, bytes + sent, MUCH - sent)) > 0) sent += n;
    SSL_shutdown(ssl);
    free(bytes);
}

/* Write as much as goes, each time from another place in memory, as a buffer that grows would. */
static void write_much(struct line *line, int *again) {
    static char places[2][100000];
    for (size_t sent = 0, len = 0, turn = 0; sent < MUCH; sent += len, turn++) {
        char *bytes = places[turn % 2];
        size_t size = MUCH - sent < sizeof places[0] ? MUCH - sent : sizeof places[0];
        memset(places, '-', sizeof places);
        for (size_t i = 0; i < size; i++) bytes[i] = at(sent + i);
        enum wire_result result = wire_write(&line->wire, bytes, size, &len, &err);
        if (result == WIRE_OK) continue;
        ck_assert_msg(result == WIRE_AGAIN, "%s", err.text);
        len = 0;
        if ((*again)++ == 0) sem_post(&go);
        line_wait(line);
    }
}

static size_t read_much(struct line *line) {
    static char bytes[50000];
    enum wire_result result;
    size_t total = 0, len;
    while ((result = wire_read(&line->wire, bytes, sizeof bytes, &len, &err)) != WIRE_CLOSED) {
        ck_assert_msg(result != WIRE_FAILED, "%s", err.text);
        if (result == WIRE_AGAIN) {
            line_wait(line);
            continue;
        }
        for (size_t i = 0; i < len; i++)
            if (bytes[i] != at(total + i)) ck_abort_msg("at %zu", total + i);
        total += len;
    }
    return total;
}

TEST(much_is_written_until_again_from_moving_memory_and_read_back) {
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct server *server = server_start(context_of(versions[i]), mirror, 1);
        struct wire_tls *tls = TLS(.ca_file = NULL);
        struct line line = line_ready(server, tls);
        int again = 0;
        write_much(&line, &again);
        ck_assert_int_gt(again, 0);
        ck_assert_uint_eq(read_much(&line), MUCH);
        line_close(&line);
        server_join(server);
        wire_tls_unref(tls);
        server_free(server);
    }
}

/* Reads one record and waits; then all of them, to an end that must be clean. */
static void read_one_then_all(SSL *ssl, int fd) {
    char byte;
    int n;
    (void)fd;
    sem_wait(&go);
    if (SSL_read(ssl, &byte, 1) != 1) abort();
    sem_post(&done);
    sem_wait(&go);
    while ((n = SSL_read(ssl, &byte, 1)) == 1) {
    }
    if (SSL_get_error(ssl, n) != SSL_ERROR_ZERO_RETURN) abort();
    say(ssl, "bye");
    SSL_shutdown(ssl);
}

/* In a unix socket, which counts records: fill it, let one be read, and write one in its place. */
static void fill(struct line *line) {
    enum wire_result result;
    size_t len;
    while ((result = wire_write(&line->wire, "x", 1, &len, &err)) == WIRE_OK) {
    }
    ck_assert_int_eq(result, WIRE_AGAIN);
    sem_post(&go);
    sem_wait(&done);
    while ((result = wire_write(&line->wire, "x", 1, &len, &err)) == WIRE_AGAIN) {
    }
    ck_assert_int_eq(result, WIRE_OK);
}

/* Whether close_notify had to wait. Then it is brought to its end by reading or by advancing. */
static bool finish_when_full(bool by_reading) {
    struct server *server = server_start_unix(context_of(TLS1_3_VERSION), read_one_then_all);
    struct wire_tls *tls = TLS(.ca_file = NULL);
    struct line line = line_ready(server, tls);
    fill(&line);
    wire_finish(&line.wire);
    bool waited = line.wire.finishing;
    wire_finish(&line.wire);
    ck_assert_int_eq(wire_advance(&line.wire, &err), WIRE_OK);
    sem_post(&go);
    while (line.wire.finishing && !by_reading) {
        line_wait(&line);
        ck_assert_int_eq(wire_advance(&line.wire, &err), WIRE_OK);
    }
    expect_text(&line, "bye");
    expect_end(&line, WIRE_CLOSED);
    ck_assert(!line.wire.finishing);
    line_close(&line);
    server_join(server);
    wire_tls_unref(tls);
    server_free(server);
    return waited;
}

/* When the system takes the room of what was read back is its own affair, so there are some tries.
 */
TEST(close_notify_waits_for_room_and_is_not_lost) {
    int waited[2] = {0, 0};
    for (int i = 0; i < 50 && (waited[0] < 3 || waited[1] < 3); i++)
        waited[i % 2] += finish_when_full(i % 2);
    ck_assert_msg(waited[0] > 0 && waited[1] > 0, "%d %d", waited[0], waited[1]);
}

/* --- at rest --------------------------------------------------------------------------------- */

static bool has_bytes(const struct line *line) {
    char byte;
    return recv(line->wire.fd, &byte, 1, MSG_PEEK) > 0;
}

TEST(session_tickets_at_rest_are_not_stale_and_are_kept) {
    struct server *server = server_start(context_of(TLS1_3_VERSION), nothing, 2);
    struct wire_tls *tls = TLS(.ca_file = NULL);
    for (int i = 0; i < 2; i++) {
        struct line line = line_ready(server, tls);
        wait_readable(&line);
        ck_assert(has_bytes(&line));
        /* Two tickets, which may come one after the other. */
        while (has_bytes(&line)) ck_assert(!wire_is_stale(&line.wire));
        ck_assert(!wire_is_stale(&line.wire));
        line_close(&line);
    }
    server_join(server);
    ck_assert(!server->seen[0].reused && server->seen[1].reused);
    wire_tls_unref(tls);
    server_free(server);
}

TEST(bytes_and_ends_at_rest_are_stale) {
    static const char *const commands[] = {"h", "c", "t", "r"};
    for (size_t i = 0; i < ARRAY_LEN(versions); i++)
        for (size_t j = 0; j < ARRAY_LEN(commands); j++) {
            struct server *server = server_start(context_of(versions[i]), obey, 1);
            struct wire_tls *tls = TLS(.ca_file = NULL);
            struct line line = line_ready(server, tls);
            line_send(&line, "h");
            expect_text(&line, "hello");
            ck_assert_msg(!wire_is_stale(&line.wire), "%zu %s", i, commands[j]);
            line_send(&line, commands[j]);
            wait_readable(&line);
            ck_assert_msg(wire_is_stale(&line.wire), "%zu %s", i, commands[j]);
            if (j == 0) {
                expect_text(&line, "hello"); /* a look takes nothing away */
                ck_assert(!wire_is_stale(&line.wire));
            }
            line_close(&line);
            server_join(server);
            wire_tls_unref(tls);
            server_free(server);
        }
}

/* --- settings -------------------------------------------------------------------------------- */

static void expect_refusal(const char *ca_file, const char *certificate, const char *key,
                           const char *name, const char *why) {
    const struct wire_tls_settings settings = {ca_file, certificate, key, name};
    struct wire_tls *tls = NULL;
    err.text[0] = '\0';
    ck_assert_int_eq(wire_tls_new(&settings, &tls, &err), ERR_SYSTEM);
    ck_assert_ptr_null(tls);
    ck_assert_msg(strstr(err.text, why), "%s", err.text);
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

static char *encrypted_key(const char *folder) {
    char *path = scratch_text("%s/encrypted.key", folder);
    FILE *file = fopen(path, "w");
    ck_assert_int_eq(PEM_write_PKCS8PrivateKey(file, mint_key(MINT_P256), EVP_aes_128_cbc(),
                                               "secret", 6, NULL, NULL),
                     1);
    fclose(file);
    return path;
}

TEST(settings_that_cannot_work_are_refused_with_the_file_or_the_name) {
    const char *authority = certificate_authority_file();
    char *folder = scratch_new(), *certificate, *key;
    certificate_client_files(folder, false, &certificate, &key);
    char *other_pem = mint_private_pem(mint_key(MINT_P256));
    char *rsa_pem = mint_private_pem(mint_key(MINT_RSA));
    char *other = scratch_file(folder, "other.key", span_of(other_pem));
    char *rsa = scratch_file(folder, "rsa.key", span_of(rsa_pem));
    char *garbage = scratch_file(folder, "garbage", SPAN_LITERAL("-----BEGIN CERTIFICATE-----\n"));
    char *secret = encrypted_key(folder);
    char long_name[300];
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';

    wire_tls_unref(TLS(.certificate = certificate, .private_key = key)); /* these can */
    expect_refusal("/no/such", "", "", "a", "cannot read /no/such: No such file or directory");
    expect_refusal(garbage, "", "", "a", "/garbage holds no usable certificate of an authority: ");
    expect_refusal(key, "", "", "a", "/client.key holds no usable certificate of an authority: ");
    expect_refusal(authority, "/no/such", key, "a", "cannot read /no/such: No such file");
    expect_refusal(authority, certificate, "/no/such", "a", "cannot read /no/such: No such file");
    expect_refusal(authority, garbage, key, "a", "/garbage holds no usable certificate: ");
    expect_refusal(authority, certificate, garbage, "a", "/garbage holds no usable private key: ");
    expect_refusal(authority, certificate, secret, "a", "/encrypted.key holds no usable private");
    expect_refusal(authority, certificate, other, "a",
                   "/other.key is not the key of the certificate in ");
    expect_refusal(authority, certificate, rsa, "a", "/rsa.key is not the key of the certificate");
    expect_refusal(authority, "", "", "", "\"\" is no name that a certificate can be for");
    expect_refusal(authority, "", "", ".", "\".\" is no name");
    expect_refusal(authority, "", "", ".example", "\".example\" is no name");
    expect_refusal(authority, "", "", long_name, "is no name");

    free(secret), free(garbage), free(rsa), free(other), free(rsa_pem), free(other_pem);
    free(key), free(certificate), free(folder);
}
