#include "server/proxy/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/ref.h"

#define OUT_OF_MEMORY "out of memory"

CLEANUP_DEFINE(SSL *, SSL_free)

struct wire_tls {
    struct ref ref;
    SSL_CTX *context;
    char *server_name;
    bool name_is_address;

    pthread_mutex_t lock; /* of the following two */
    SSL_SESSION *session; /* the newest; may be NULL */
    bool without_sessions;
};

#define fail(err, ...) (err_write((err), __VA_ARGS__), WIRE_FAILED)

/* --- why ----------------------------------------------------------------------------------- */

struct advice {
    int code;
    const char *text;
};

#define AUTHORITY                                                                                  \
    "set tls.ca_file of the upstream to the authority that signed it, or have the server send "    \
    "its whole chain"
#define NAME "set tls.server_name of the upstream to a name that the certificate holds"
#define OLD "it speaks no TLS 1.2 or newer"
#define CLIENT "it does not accept tls.certificate of the upstream"

/* Of X509_V_ERR_*: what to do about a certificate that is not good. */
static const struct advice certificate_advice[] = {
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "set tls.ca_file of the upstream to this certificate"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, AUTHORITY},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, AUTHORITY},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, AUTHORITY},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, AUTHORITY},
    {X509_V_ERR_HOSTNAME_MISMATCH, NAME},
    {X509_V_ERR_IP_ADDRESS_MISMATCH, NAME},
    {X509_V_ERR_CERT_HAS_EXPIRED, "the server needs a new one"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "is the clock right?"},
};

/* Of SSL_R_*: what else failed. */
static const struct advice reason_advice[] = {
    {SSL_R_WRONG_VERSION_NUMBER, "it does not speak TLS on this port"},
    {SSL_R_UNSUPPORTED_PROTOCOL, OLD},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, OLD},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "it shares no cipher with us, or wants a client "
                                          "certificate (tls.certificate of the upstream)"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
     "set tls.certificate and tls.private_key of the upstream"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, CLIENT},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, CLIENT},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, CLIENT},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, CLIENT},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, CLIENT},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, CLIENT},
    {SSL_R_TLSV1_UNRECOGNIZED_NAME, "set tls.server_name of the upstream to a name that it serves"},
};

static const char *find_advice(const struct advice *table, size_t count, int code) {
    for (size_t i = 0; i < count; i++)
        if (table[i].code == code) return table[i].text;
    return NULL;
}

/* A sentence about an entry of OpenSSL's error queue, which needs not have one. */
static const char *queued_text(unsigned long queued) {
    const char *text = ERR_SYSTEM_ERROR(queued) ? strerror(ERR_GET_REASON(queued))
                                                : ERR_reason_error_string(queued);
    return text ? text : "OpenSSL does not say why";
}

static void explain_certificate(const struct wire *wire, struct err_text *why) {
    long code = SSL_get_verify_result(wire->ssl);
    const char *advice = find_advice(certificate_advice, ARRAY_LEN(certificate_advice), (int)code);
    err_write(why, "its certificate is not good for \"%s\": %s%s%s", wire->tls->server_name,
              X509_verify_cert_error_string(code), advice ? "; " : "", advice ? advice : "");
}

/* The reason behind the error queue. Another library's reasons have numbers of their own. */
static void explain_queue(const struct wire *wire, struct err_text *why) {
    unsigned long queued = ERR_peek_error();
    int reason = ERR_GET_LIB(queued) == ERR_LIB_SSL ? ERR_GET_REASON(queued) : 0;
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        explain_certificate(wire, why);
        return;
    }
    const char *advice = find_advice(reason_advice, ARRAY_LEN(reason_advice), reason);
    err_write(why, "%s%s%s", queued_text(queued), advice ? "; " : "", advice ? advice : "");
}

/* Why an SSL call failed, given the errno that it left. Leaves the error queue empty. */
static void explain(const struct wire *wire, int error, int number, struct err_text *why) {
    if (error == SSL_ERROR_SSL)
        explain_queue(wire, why);
    else if (number != 0)
        err_write(why, "%s", strerror(number));
    else
        err_write(why, "it closed the connection without close_notify");
    ERR_clear_error();
}

/* --- sessions ------------------------------------------------------------------------------ */

/* Keep this session, or none, in place of the one before. Takes the reference over. */
static void put_session(struct wire_tls *tls, SSL_SESSION *session) {
    pthread_mutex_lock(&tls->lock);
    SSL_SESSION *unused = session;
    if (!session || !tls->without_sessions) {
        unused = tls->session;
        tls->session = session;
    }
    pthread_mutex_unlock(&tls->lock);
    SSL_SESSION_free(unused);
}

/* OpenSSL has a new session, or with TLS 1.3 a new ticket. 1: its reference is ours now. */
static int on_new_session(SSL *ssl, SSL_SESSION *session) {
    put_session(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)), session);
    return 1;
}

/*
 * A resumed handshake shows no certificate, and hands out the session of the next one: without a
 * look at its end a certificate would be good for as long as connections follow each other.
 */
static bool is_usable(SSL_SESSION *session) {
    const X509 *certificate = SSL_SESSION_get0_peer(session);
    return SSL_SESSION_is_resumable(session) && certificate &&
           X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

/*
 * The session to offer, with a reference for the caller, or NULL. A TLS 1.3 ticket is used once, so
 * that nobody on the way can tell that two connections are one client's (RFC 8446 appendix C.4); a
 * TLS 1.2 session stays, as its server need not hand out another.
 */
static SSL_SESSION *take_session(struct wire_tls *tls) {
    pthread_mutex_lock(&tls->lock);
    SSL_SESSION *session = tls->session;
    bool usable = session && is_usable(session);
    if (usable && SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION)
        SSL_SESSION_up_ref(session);
    else
        tls->session = NULL;
    pthread_mutex_unlock(&tls->lock);
    if (usable) return session;
    SSL_SESSION_free(session);
    return NULL;
}

/*
 * A handshake failed. Its session may be why, so it is not offered again. A server that answers a
 * session with an alert would do so on every second connection: it gets no more of them.
 */
static void give_up_session(struct wire *wire, bool alert) {
    pthread_mutex_lock(&wire->tls->lock);
    if (wire->resuming && alert) wire->tls->without_sessions = true;
    pthread_mutex_unlock(&wire->tls->lock);
    put_session(wire->tls, NULL);
}

/* --- settings ------------------------------------------------------------------------------ */

/* A daemon has nobody to ask for a passphrase; OpenSSL would ask the terminal. */
static int no_passphrase(char *to, int size, int writing, void *argument) {
    (void)to, (void)size, (void)writing, (void)argument;
    return -1;
}

static int refuse_file(const char *path, const char *what, struct err_text *err) {
    unsigned long queued = ERR_peek_error();
    if (ERR_SYSTEM_ERROR(queued))
        err_write(err, "cannot read %s: %s", path, queued_text(queued));
    else
        err_write(err, "%s holds no usable %s: %s", path, what, queued_text(queued));
    ERR_clear_error();
    return ERR_SYSTEM;
}

static int load_authorities(SSL_CTX *context, const char *path, struct err_text *err) {
    ERR_clear_error();
    if (!*path) {
        if (SSL_CTX_set_default_verify_paths(context) == 1) return 0;
        ERR_clear_error();
        return err_set(err, ERR_SYSTEM, "cannot use the system's certificate authorities");
    }
    if (SSL_CTX_load_verify_file(context, path) == 1) return 0;
    return refuse_file(path, "certificate of an authority", err);
}

/* The key first: then one of another certificate shows in the check and not in the loading. */
static int load_client(SSL_CTX *context, const struct wire_tls_settings *settings,
                       struct err_text *err) {
    if (!*settings->certificate) return 0;

    ERR_clear_error();
    if (SSL_CTX_use_PrivateKey_file(context, settings->private_key, SSL_FILETYPE_PEM) != 1)
        return refuse_file(settings->private_key, "private key", err);
    if (SSL_CTX_use_certificate_chain_file(context, settings->certificate) != 1)
        return refuse_file(settings->certificate, "certificate", err);
    if (SSL_CTX_check_private_key(context) == 1) return 0;
    ERR_clear_error();
    return err_set(err, ERR_SYSTEM, "%s is not the key of the certificate in %s",
                   settings->private_key, settings->certificate);
}

static size_t parse_ip(const char *text, unsigned char bytes[16]) {
    if (inet_pton(AF_INET, text, bytes) == 1) return 4;
    return inet_pton(AF_INET6, text, bytes) == 1 ? 16 : 0;
}

/*
 * Which name the certificate must hold. OpenSSL takes no name for any name and ".a" for any name
 * below a, so neither may get there. The dot that ends an absolute name is in no certificate.
 */
static int set_name(struct wire_tls *tls, const char *name, struct err_text *err) {
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(tls->context);
    unsigned char ip[16];
    size_t len = strlen(name);

    if (len > 1 && name[len - 1] == '.') len--;
    if (len == 0 || len > TLSEXT_MAXLEN_host_name || name[0] == '.')
        return err_set(err, ERR_SYSTEM, "\"%s\" is no name that a certificate can be for", name);
    tls->server_name = strndup(name, len);
    if (!tls->server_name) return err_set(err, ERR_MEMORY, OUT_OF_MEMORY);

    size_t ip_len = parse_ip(name, ip);
    tls->name_is_address = ip_len > 0;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    int ok = ip_len > 0 ? X509_VERIFY_PARAM_set1_ip(param, ip, ip_len)
                        : X509_VERIFY_PARAM_set1_host(param, tls->server_name, len);
    return ok == 1 ? 0 : err_set(err, ERR_MEMORY, OUT_OF_MEMORY);
}

static int make_context(struct wire_tls *tls, struct err_text *err) {
    static const unsigned char http[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

    SSL_CTX *context = tls->context = SSL_CTX_new(TLS_client_method());
    if (!context || SSL_CTX_set_alpn_protos(context, http, sizeof http) != 0 ||
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
        return err_set(err, ERR_MEMORY, OUT_OF_MEMORY);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1); /* one recv() for head and body of a record */
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    SSL_CTX_set_app_data(context, tls);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_new_session);
    return 0;
}

int wire_tls_new(const struct wire_tls_settings *settings, struct wire_tls **ret,
                 struct err_text *err) {
    CLEANUP(wire_tls_unrefp) struct wire_tls *tls = calloc(1, sizeof *tls);
    int r;

    if (!tls) return err_set(err, ERR_MEMORY, OUT_OF_MEMORY);
    ref_init(&tls->ref);
    pthread_mutex_init(&tls->lock, NULL);
    if ((r = make_context(tls, err)) < 0 || (r = set_name(tls, settings->server_name, err)) < 0 ||
        (r = load_authorities(tls->context, settings->ca_file, err)) < 0 ||
        (r = load_client(tls->context, settings, err)) < 0)
        return r;
    *ret = TAKE_PTR(tls);
    return 0;
}

struct wire_tls *wire_tls_ref(struct wire_tls *tls) {
    ref_take(&tls->ref);
    return tls;
}

void wire_tls_unref(struct wire_tls *tls) {
    if (!tls || !ref_drop(&tls->ref)) return;
    SSL_SESSION_free(tls->session);
    SSL_CTX_free(tls->context);
    pthread_mutex_destroy(&tls->lock);
    free(tls->server_name);
    free(tls);
}

/* --- OpenSSL's way to the socket ----------------------------------------------------------- */

/*
 * OpenSSL's own would raise SIGPIPE where the peer is gone; this one says MSG_NOSIGNAL. Its methods
 * are those that return -1: 0, as the newer ones have it, makes SSL_shutdown() lose a close_notify.
 */
static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static int bio_fd(BIO *bio) {
    return (int)(intptr_t)BIO_get_data(bio);
}

static int on_bio_read(BIO *bio, char *to, int max) {
    BIO_clear_retry_flags(bio);
    ssize_t n = recv(bio_fd(bio), to, (size_t)max, 0);
    if (n < 0 && errno == EAGAIN) BIO_set_retry_read(bio);
    if (n == 0) errno = 0; /* an end is no error of the system: explain() tells them apart */
    return (int)n;
}

static int on_bio_write(BIO *bio, const char *bytes, int len) {
    BIO_clear_retry_flags(bio);
    ssize_t n = send(bio_fd(bio), bytes, (size_t)len, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) BIO_set_retry_write(bio);
    return (int)n;
}

static long on_bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static void make_method(void) {
    BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
    if (!made) return;
    BIO_meth_set_read(made, on_bio_read);
    BIO_meth_set_write(made, on_bio_write);
    BIO_meth_set_ctrl(made, on_bio_control);
    method = made;
}

static BIO *bio_new(int fd) {
    pthread_once(&method_once, make_method);
    BIO *bio = method ? BIO_new(method) : NULL;
    if (bio) BIO_set_data(bio, (void *)(intptr_t)fd); /* NOLINT(performance-no-int-to-ptr) */
    return bio;
}

/* --- connecting ---------------------------------------------------------------------------- */

static void write_address(const struct sockaddr *address, char to[64]) {
    char ip[INET6_ADDRSTRLEN] = "?";

    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
        snprintf(to, 64, "%s:%u", ip, (unsigned)ntohs(v4->sin_port));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
        snprintf(to, 64, "[%s]:%u", ip, (unsigned)ntohs(v6->sin6_port));
    } else
        snprintf(to, 64, "the unix socket");
}

static void set_options(int fd, int family) {
    int on = 1;
    if (family == AF_UNIX) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

/* Why a connection cannot be made, in words of what is behind the number. */
static enum wire_result refuse_connection(const struct wire *wire, int number,
                                          struct err_text *err) {
    const char *why = number == EAGAIN ? "its queue is full" : strerror(number);
    return fail(err, "cannot connect to %s: %s", wire->address, why);
}

int wire_open(const struct sockaddr *address, socklen_t len, struct wire_tls *tls, struct wire *ret,
              struct err_text *err) {
    struct wire wire = {.fd = -1};
    int family = address->sa_family;

    *ret = wire;
    write_address(address, wire.address);
    wire.fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (wire.fd < 0)
        return err_set(err, ERR_SYSTEM, "cannot make a socket for %s: %s", wire.address,
                       strerror(errno));
    set_options(wire.fd, family);
    if (connect(wire.fd, address, len) == 0)
        wire.connected = true;
    else if (errno != EINPROGRESS) {
        refuse_connection(&wire, errno, err);
        close(wire.fd);
        return ERR_SYSTEM;
    }
    if (tls) wire.tls = wire_tls_ref(tls);
    *ret = wire;
    return 0;
}

/* getpeername() and no poll(): a connection that failed is writable too. */
static enum wire_result finish_connecting(struct wire *wire, struct err_text *err) {
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer, number_len = sizeof(int);
    int number = 0;

    if (getsockopt(wire->fd, SOL_SOCKET, SO_ERROR, &number, &number_len) < 0) number = errno;
    if (number != 0) return refuse_connection(wire, number, err);
    if (getpeername(wire->fd, (struct sockaddr *)&peer, &len) < 0) return WIRE_AGAIN;
    wire->connected = true;
    return WIRE_OK;
}

/* --- TLS ----------------------------------------------------------------------------------- */

static enum wire_result start_tls(struct wire *wire, struct err_text *err) {
    const struct wire_tls *tls = wire->tls;
    CLEANUP(SSL_freep) SSL *ssl = SSL_new(tls->context);
    BIO *bio = ssl ? bio_new(wire->fd) : NULL;
    if (!bio) return fail(err, OUT_OF_MEMORY);

    SSL_set_bio(ssl, bio, bio);
    SSL_set_connect_state(ssl);
    if (!tls->name_is_address && SSL_set_tlsext_host_name(ssl, tls->server_name) != 1)
        return fail(err, OUT_OF_MEMORY);
    SSL_SESSION *session = take_session(wire->tls);
    wire->resuming = session && SSL_set_session(ssl, session) == 1;
    SSL_SESSION_free(session);
    wire->ssl = TAKE_PTR(ssl);
    return WIRE_OK;
}

/* What an SSL call that did not succeed means. */
static enum wire_result judge(const struct wire *wire, int r, const char *doing,
                              struct err_text *err) {
    int number = errno;
    struct err_text why;

    int error = SSL_get_error(wire->ssl, r);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return WIRE_AGAIN;
    explain(wire, error, number, &why);
    return fail(err, "%s %s failed: %s", doing, wire->address, why.text);
}

static enum wire_result shake_hands(struct wire *wire, struct err_text *err) {
    ERR_clear_error();
    int r = SSL_do_handshake(wire->ssl);
    wire->ready = r == 1;
    if (wire->ready) return WIRE_OK;

    unsigned long queued = ERR_peek_error();
    bool alert =
        ERR_GET_LIB(queued) == ERR_LIB_SSL && ERR_GET_REASON(queued) > SSL_AD_REASON_OFFSET;
    enum wire_result result = judge(wire, r, "TLS handshake with", err);
    if (result == WIRE_FAILED) give_up_session(wire, alert);
    return result;
}

static enum wire_result read_tls(struct wire *wire, char *to, size_t max, size_t *ret_len,
                                 struct err_text *err) {
    ERR_clear_error();
    int r = SSL_read_ex(wire->ssl, to, max, ret_len);
    if (r == 1) return WIRE_OK;
    if (SSL_get_error(wire->ssl, r) == SSL_ERROR_ZERO_RETURN) return WIRE_CLOSED;
    return judge(wire, r, "reading from", err);
}

static enum wire_result write_tls(struct wire *wire, const char *bytes, size_t len, size_t *ret_len,
                                  struct err_text *err) {
    ERR_clear_error();
    int r = SSL_write_ex(wire->ssl, bytes, len, ret_len);
    return r == 1 ? WIRE_OK : judge(wire, r, "writing to", err);
}

/*
 * close_notify, and FIN behind it and never before: without close_notify a FIN tells the peer that
 * the stream was cut.
 */
static void finish_tls(struct wire *wire) {
    ERR_clear_error();
    int r = SSL_shutdown(wire->ssl);
    wire->finishing = r < 0 && SSL_get_error(wire->ssl, r) == SSL_ERROR_WANT_WRITE;
    ERR_clear_error();
    if (!wire->finishing) shutdown(wire->fd, SHUT_WR);
}

/* SSL_peek() takes in session tickets and stops at bytes for us, which stay where they are. */
static bool is_quiet_tls(struct wire *wire) {
    char byte;
    size_t len;

    ERR_clear_error();
    int r = SSL_peek_ex(wire->ssl, &byte, 1, &len);
    bool quiet = r != 1 && SSL_get_error(wire->ssl, r) == SSL_ERROR_WANT_READ;
    ERR_clear_error();
    return quiet;
}

/* --- the stream ---------------------------------------------------------------------------- */

enum wire_result wire_advance(struct wire *wire, struct err_text *err) {
    enum wire_result result;

    if (wire->finishing) finish_tls(wire);
    if (wire->ready) return WIRE_OK;
    if (!wire->connected && (result = finish_connecting(wire, err)) != WIRE_OK) return result;
    wire->ready = !wire->tls;
    if (wire->ready) return WIRE_OK;
    if (!wire->ssl && (result = start_tls(wire, err)) != WIRE_OK) return result;
    return shake_hands(wire, err);
}

/* What a system call that failed means. */
static enum wire_result judge_plain(const struct wire *wire, const char *doing,
                                    struct err_text *err) {
    if (errno == EAGAIN) return WIRE_AGAIN;
    return fail(err, "%s %s failed: %s", doing, wire->address, strerror(errno));
}

enum wire_result wire_read(struct wire *wire, char *to, size_t max, size_t *ret_len,
                           struct err_text *err) {
    if (wire->finishing) finish_tls(wire);
    if (wire->ssl) return read_tls(wire, to, max, ret_len, err);

    ssize_t n = recv(wire->fd, to, max, 0);
    if (n < 0) return judge_plain(wire, "reading from", err);
    if (n == 0) return WIRE_CLOSED;
    *ret_len = (size_t)n;
    return WIRE_OK;
}

enum wire_result wire_write(struct wire *wire, const char *bytes, size_t len, size_t *ret_len,
                            struct err_text *err) {
    if (wire->ssl) return write_tls(wire, bytes, len, ret_len, err);

    ssize_t n = send(wire->fd, bytes, len, MSG_NOSIGNAL);
    if (n < 0) return judge_plain(wire, "writing to", err);
    *ret_len = (size_t)n;
    return WIRE_OK;
}

void wire_finish(struct wire *wire) {
    if (!wire->ssl) {
        shutdown(wire->fd, SHUT_WR);
        return;
    }
    /* A second SSL_shutdown() would wait for the peer's close_notify, and eat its bytes. */
    if (!(SSL_get_shutdown(wire->ssl) & SSL_SENT_SHUTDOWN)) finish_tls(wire);
}

bool wire_is_stale(struct wire *wire) {
    char byte;

    if (!wire->ready) return true;
    if (wire->ssl) return !is_quiet_tls(wire);
    return recv(wire->fd, &byte, 1, MSG_PEEK) >= 0 || errno != EAGAIN;
}

void wire_close(struct wire *wire) {
    if (wire->ssl) {
        /* OpenSSL makes the session of a stream that was not shut down useless. */
        if (wire->ready) SSL_set_shutdown(wire->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(wire->ssl);
    }
    if (wire->fd >= 0) close(wire->fd);
    wire_tls_unref(wire->tls);
    *wire = (struct wire){.fd = -1};
}
