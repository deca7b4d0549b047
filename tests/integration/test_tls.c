/*
 * TLS listeners: the versions that are spoken, the certificate that is shown, and its replacement
 * while connections live.
 */
#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/support/certificate.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 4 : 1)
#define ONE "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* A scene with a second listener that speaks TLS. */
struct tls_scene {
    struct scene scene;
    int port;
    char *folder, *certificate, *key;
    char *listen;
};

static struct tls_scene start(const char *rest) {
    struct tls_scene tls = {.port = process_free_port(), .folder = scratch_new()};
    certificate_files(tls.folder, &tls.certificate, &tls.key);
    tls.listen = scratch_text(", {address: \"127.0.0.1:%d\", tls: {certificate: \"%s\", "
                              "private_key: \"%s\"}}",
                              tls.port, tls.certificate, tls.key);
    tls.scene = scene_start(&(struct scene_options){.listen = tls.listen, .rest = rest});
    return tls;
}

static void end(struct tls_scene *tls) {
    scene_end(&tls->scene);
    free(tls->listen), free(tls->key), free(tls->certificate), free(tls->folder);
}

static bool reload(const struct tls_scene *tls) {
    return scene_reload(&tls->scene, &(struct scene_options){.listen = tls->listen});
}

/* --- a client that speaks TLS ---------------------------------------------------------------- */

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval limit = {10, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

/* A connection with exactly that version, whose server is verified. NULL where the handshake
 * fails. */
static SSL *connect_tls(int port, int version) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    /* The lowest level, so that it is the server which refuses what is too old. */
    SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0");
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    ck_assert_int_eq(SSL_CTX_load_verify_locations(context, certificate_authority_file(), NULL), 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL *ssl = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set1_host(ssl, "localhost");
    SSL_set_fd(ssl, connect_to(port));
    if (SSL_connect(ssl) == 1) return ssl;
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
    return NULL;
}

static void close_tls(SSL *ssl) {
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
}

/* One request on it; the status of the answer, which is read up to the end of its JSON. */
static int ask(SSL *ssl) {
    char answer[4096] = "";
    int status = 0, len = 0;
    if (SSL_write(ssl, ONE, strlen(ONE)) <= 0) return 0;
    while (!strchr(answer, '}')) {
        int n = SSL_read(ssl, answer + len, (int)sizeof answer - 1 - len);
        if (n <= 0) return 0;
        len += n;
    }
    ck_assert_msg(sscanf(answer, "HTTP/1.1 %3d ", &status) == 1, "%s", answer);
    return status;
}

/* Is the certificate of the connection the one in that file? */
static bool shows(SSL *ssl, const char *path) {
    BIO *file = BIO_new_file(path, "r");
    X509 *expected = PEM_read_bio_X509(file, NULL, NULL, NULL);
    X509 *shown = SSL_get1_peer_certificate(ssl);
    bool same = X509_cmp(expected, shown) == 0;
    X509_free(shown);
    X509_free(expected);
    BIO_free(file);
    return same;
}

/* --- versions -------------------------------------------------------------------------------- */

TEST(tls_1_2_and_1_3_are_spoken_and_nothing_older) {
    static const struct {
        int version;
        bool spoken;
    } rows[] = {{TLS1_3_VERSION, true},
                {TLS1_2_VERSION, true},
                {TLS1_1_VERSION, false},
                {TLS1_VERSION, false}};
    struct tls_scene tls = start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SSL *ssl = connect_tls(tls.port, rows[i].version);
        ck_assert_msg((ssl != NULL) == rows[i].spoken, "%x", (unsigned)rows[i].version);
        if (!ssl) continue;
        ck_assert_int_eq(SSL_version(ssl), rows[i].version);
        ck_assert(shows(ssl, tls.certificate));
        for (int n = 0; n < 3; n++) ck_assert_int_eq(ask(ssl), 200);
        close_tls(ssl);
    }
    scene_check_serves(&tls.scene, "TLS");
    end(&tls);
}

TEST(plain_http_on_a_tls_port_and_tls_on_a_plain_port_are_not_served) {
    struct tls_scene tls = start(NULL);
    struct client *client = client_connect(tls.port);
    struct response response = {0};
    (void)client_send(client, SPAN_LITERAL(ONE));
    ck_assert_int_ne(client_read(client, 5000, &response), CLIENT_OK);
    client_free(client);
    ck_assert_ptr_null(connect_tls(tls.scene.daemon->port, TLS1_3_VERSION));
    SSL *ssl = connect_tls(tls.port, TLS1_3_VERSION);
    ck_assert_ptr_nonnull(ssl);
    ck_assert_int_eq(ask(ssl), 200);
    close_tls(ssl);
    end(&tls);
}

TEST(garbage_in_or_before_the_handshake_harms_nobody) {
    static const struct span garbage[] = {
        SPAN_LITERAL("\x16\x03\x01\xff\xff"),
        SPAN_LITERAL("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"),
        SPAN_LITERAL("\x80\x2e\x01\x03\x01"),
        SPAN_LITERAL("\0\0\0\0\0\0\0\0"),
        SPAN_LITERAL("\x15\x03\x01\x00\x02\x02\x28"),
    };
    struct tls_scene tls = start("limits: {header_timeout: 1s}\n");
    for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
        struct client *client = client_connect(tls.port);
        (void)client_send(client, garbage[i]);
        if (i % 2) client_reset(client);
        SSL *ssl = connect_tls(tls.port, TLS1_3_VERSION);
        ck_assert_msg(ssl && ask(ssl) == 200, "row %zu", i);
        close_tls(ssl);
        client_free(client);
    }
    end(&tls);
}

TEST_WITHIN(a_handshake_that_never_ends_is_cut_off_in_the_time_for_a_head, 40) {
    struct tls_scene tls = start("limits: {header_timeout: 1s, idle_timeout: 60s}\n");
    struct client *client = client_connect(tls.port);
    long before = process_now_ms(), took = 0;
    static const char record[] = "\x16\x03\x01\x02\x00";
    for (size_t i = 0; took < 10000; i++, took = process_now_ms() - before) {
        /* One byte of a ClientHello now and then. */
        (void)client_send(client, (struct span){i < 5 ? record + i : "\1", 1});
        if (client_closed(client, 100)) break;
    }
    ck_assert_msg(took >= 700 && took < 2500 * SLOW, "%ld ms", took);
    client_free(client);
    end(&tls);
}

/* --- certificates ---------------------------------------------------------------------------- */

TEST(a_replaced_certificate_is_shown_after_a_reload_and_old_connections_go_on) {
    struct tls_scene tls = start(NULL);
    char *old = scratch_text("%s/old.crt", tls.folder), *certificate, *key;
    SSL *first = connect_tls(tls.port, TLS1_3_VERSION);
    ck_assert(shows(first, tls.certificate));
    ck_assert_int_eq(rename(tls.certificate, old), 0);
    certificate_files(tls.folder, &certificate, &key); /* another one in its place */

    SSL *before = connect_tls(tls.port, TLS1_2_VERSION); /* files alone change nothing */
    ck_assert(shows(before, old));
    ck_assert(reload(&tls));
    for (int i = 0; i < 4; i++) { /* on whichever worker */
        SSL *after = connect_tls(tls.port, i % 2 ? TLS1_3_VERSION : TLS1_2_VERSION);
        ck_assert_msg(shows(after, certificate) && !shows(after, old), "connection %d", i);
        ck_assert_int_eq(ask(after), 200);
        close_tls(after);
    }
    ck_assert_int_eq(ask(first), 200);
    ck_assert_int_eq(ask(before), 200);
    close_tls(before);
    close_tls(first);
    free(key), free(certificate), free(old);
    end(&tls);
}

TEST(a_key_that_does_not_match_is_refused_by_a_reload_and_the_old_pair_stays) {
    struct tls_scene tls = start(NULL);
    char *pem = mint_private_pem(mint_key(MINT_P256));
    free(scratch_file(tls.folder, "tls.key", span_of(pem)));
    ck_assert(!reload(&tls));
    ck_assert_int_eq(
        process_count_errors(tls.scene.daemon->process, "is not the key of the certificate in"), 1);
    SSL *ssl = connect_tls(tls.port, TLS1_3_VERSION);
    ck_assert(ssl && shows(ssl, tls.certificate));
    ck_assert_int_eq(ask(ssl), 200);
    close_tls(ssl);
    free(pem);
    end(&tls);
}

/* A listener may begin or end to speak TLS on the same address. */
TEST(tls_is_added_to_a_listener_and_taken_away_by_a_reload) {
    struct tls_scene tls = start(NULL);
    char *plain = scratch_text(", {address: \"127.0.0.1:%d\"}", tls.port);
    for (int i = 0; i < 4; i++) {
        bool secure = i % 2;
        ck_assert(scene_reload(&tls.scene,
                               &(struct scene_options){.listen = secure ? tls.listen : plain}));
        process_sleep_ms(50 * SLOW); /* until every worker knows */
        SSL *ssl = connect_tls(tls.port, TLS1_3_VERSION);
        ck_assert((ssl != NULL) == secure);
        if (ssl) close_tls(ssl);
        int status = http_get(tls.port, "/", NULL, NULL);
        ck_assert_int_eq(status, secure ? 0 : 200);
    }
    free(plain);
    end(&tls);
}

TEST(a_key_that_does_not_match_its_certificate_is_refused_at_the_start) {
    char *folder = scratch_new(), *certificate, *key, *program = daemon_program();
    certificate_files(folder, &certificate, &key);
    char *pem = mint_private_pem(mint_key(MINT_P256));
    char *other = scratch_file(folder, "other.key", span_of(pem));
    char *yaml = scratch_text("listen: [{address: \"127.0.0.1:0\", tls: {certificate: \"%s\", "
                              "private_key: \"%s\"}}]\n"
                              "issuers: [{issuer: \"https://idp.example\", audiences: [api], "
                              "jwks_uri: \"http://127.0.0.1:1/\"}]\n",
                              certificate, other);
    char *path = scratch_file(folder, "bearerd.yaml", span_of(yaml));
    struct process *process = process_start((const char *[]){program, "-c", path, NULL}, NULL);
    ck_assert_int_eq(process_wait_exit(process, 5000 * SLOW), 1);
    char *told = scratch_text("%s is not the key of the certificate in %s", other, certificate);
    ck_assert_int_eq(process_count_errors(process, told), 1);
    process_free(process);
    free(told), free(path), free(yaml), free(other), free(pem), free(program), free(key);
    free(certificate), free(folder);
}
