#include "tests/support/certificate.h"
#include "tests/support/client.h"
#include "tests/support/issuer.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdlib.h>

static enum client_result ask(struct issuer *issuer, const char *path, int within_ms,
                              struct response *ret) {
    struct client *client = client_connect(issuer_port(issuer));
    ck_assert_ptr_nonnull(client);
    ck_assert(client_sendf(client, "GET %s HTTP/1.1\r\nHost: i\r\n\r\n", path));
    enum client_result result = client_read(client, within_ms, ret);
    client_free(client);
    return result;
}

TEST(serves_discovery_and_keys_and_counts_requests) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    struct response response = {0};
    char *expected = scratch_text("{\"issuer\":\"%s\",\"jwks_uri\":\"%s/jwks\"}",
                                  issuer_url(issuer), issuer_url(issuer));

    ck_assert_int_eq(http_get(issuer_port(issuer), ISSUER_DISCOVERY, NULL, &response), 200);
    ck_assert_str_eq(response.body, expected);
    client_response_done(&response);
    ck_assert_int_eq(http_get(issuer_port(issuer), ISSUER_JWKS, NULL, NULL), 404);
    issuer_serve_keys(issuer, "{\"keys\":[]}");
    ck_assert_int_eq(http_get(issuer_port(issuer), ISSUER_JWKS "?x=1", NULL, NULL), 200);

    ck_assert_int_eq(issuer_hits(issuer, ISSUER_JWKS), 2);
    ck_assert_int_eq(issuer_hits(issuer, ISSUER_DISCOVERY), 1);
    ck_assert_int_eq(issuer_hits(issuer, "/other"), 0);
    ck_assert_int_eq(issuer_connections(issuer), 3);
    free(expected);
    issuer_stop(issuer);
}

TEST(misbehaves_as_told) {
    static const struct {
        struct issuer_behaviour behaviour;
        enum client_result result;
    } rows[] = {
        {{ISSUER_HANG, 0, NULL, SPAN_NONE, 0}, CLIENT_TIMEOUT},
        {{ISSUER_CLOSE, 0, NULL, SPAN_NONE, 0}, CLIENT_CLOSED},
        {{ISSUER_RESET, 0, NULL, SPAN_NONE, 0}, CLIENT_CLOSED},
        {{ISSUER_TRUNCATE, 0, NULL, SPAN_LITERAL("{}"), 0}, CLIENT_CLOSED},
        {{ISSUER_ENDLESS, 0, NULL, SPAN_LITERAL("{}"), 0}, CLIENT_TIMEOUT},
        {{ISSUER_DRIP, 0, NULL, SPAN_LITERAL("{}"), 50}, CLIENT_TIMEOUT},
        {{ISSUER_DRIP, 0, NULL, SPAN_LITERAL("{}"), 1}, CLIENT_OK},
        {{ISSUER_RAW, 0, NULL, SPAN_LITERAL("hello\n"), 0}, CLIENT_MALFORMED},
        {{ISSUER_ANSWER, 302, "Location: http://h/\r\n", SPAN_NONE, 0}, CLIENT_OK},
    };
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct response response = {0};
        issuer_set(issuer, "/x", &rows[i].behaviour);
        ck_assert_msg(ask(issuer, "/x", 400, &response) == rows[i].result, "row %zu", i);
        client_response_done(&response);
    }
    issuer_stop(issuer);
}

TEST(goes_down_and_comes_up_on_the_same_port) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    issuer_down(issuer);
    ck_assert_ptr_null(client_connect(issuer_port(issuer)));
    issuer_up(issuer);
    ck_assert_int_eq(http_get(issuer_port(issuer), ISSUER_DISCOVERY, NULL, NULL), 200);
    issuer_stop(issuer);
}

TEST(presents_the_certificate_that_was_asked_for) {
    static const struct {
        enum issuer_tls tls;
        int curl_exit; /* 0 fine, 35 handshake, 60 certificate refused */
    } rows[] = {
        {ISSUER_TLS, 0},
        {ISSUER_TLS_EXPIRED, 60},
        {ISSUER_TLS_WRONG_NAME, 60},
        {ISSUER_TLS_SELF_SIGNED, 60},
        {ISSUER_TLS_OLD, 35},
        {ISSUER_TLS_RESET, 35},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct issuer *issuer = issuer_start(rows[i].tls);
        char *url = scratch_text("%s%s", issuer_url(issuer), ISSUER_DISCOVERY);
        const char *argv[] = {"curl", "-sS", "--cacert", certificate_authority_file(), url, NULL};
        struct process *curl = process_start(argv, NULL);
        int code = process_wait_exit(curl, 5000);
        char *errors = process_errors(curl);
        ck_assert_msg(code == rows[i].curl_exit, "row %zu: %d %s", i, code, errors);
        free(errors);
        process_free(curl);
        free(url);
        issuer_stop(issuer);
    }
}

TEST(old_tls_answers_a_client_that_allows_it) {
    struct issuer *issuer = issuer_start(ISSUER_TLS_OLD);
    char *url = scratch_text("%s%s", issuer_url(issuer), ISSUER_DISCOVERY);
    const char *argv[] = {"curl", "-sSk", "--tlsv1.1", "--ciphers", "DEFAULT:@SECLEVEL=0",
                          url,    NULL};
    struct process *curl = process_start(argv, NULL);
    ck_assert_int_eq(process_wait_exit(curl, 5000), 0);
    process_free(curl);
    free(url);
    issuer_stop(issuer);
}
