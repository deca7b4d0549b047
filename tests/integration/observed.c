#include "tests/integration/observed.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"

#define START_MS (10000 * OBSERVED_SLOW)
#define COUNTED_MAX ((size_t)1 << 20)

/* --- the daemon ------------------------------------------------------------------------------ */

static const char *or_empty(const char *text) {
    return text ? text : "";
}

static char *write_configuration(const struct observed *observed,
                                 const struct observed_options *options) {
    char *text = scratch_text("listen: [{address: \"127.0.0.1:%d\"}]\n"
                              "admin: {address: \"127.0.0.1:%d\"}\n"
                              "workers: %d\n"
                              "state_directory: \"%s\"\n"
                              "log: {format: text, level: info, access: false}\n"
                              "issuers: [{issuer: \"%s\", audiences: [api]%s}]\n"
                              "%s",
                              observed->daemon->port, observed->admin,
                              options->workers ? options->workers : 4, observed->daemon->folder,
                              issuer_url(observed->issuer), or_empty(options->issuer),
                              or_empty(options->rest));
    char *path = scratch_file(observed->daemon->folder, "bearerd.yaml", span_of(text));
    free(text);
    return path;
}

static void start_daemon(struct observed *observed, const struct observed_options *options) {
    char *program = daemon_program(), *path = write_configuration(observed, options);
    const char *argv[] = {program, "-c", path, NULL};
    struct process *process = process_start(argv, options->environment);

    observed->daemon->process = process;
    if (!process_wait_port(process, observed->daemon->port, START_MS) ||
        !process_wait_port(process, observed->admin, START_MS)) {
        char *errors = process_errors(process);
        ck_abort_msg("bearerd does not listen: %s", errors);
    }
    free(path);
    free(program);
}

void observed_give_keys(const struct observed *observed) {
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), OBSERVED_KID, "ES256"));
    issuer_serve_keys(observed->issuer, jwks);
    free(jwks);
}

char *observed_token(const struct observed *observed, const char *changes) {
    return mint_good(issuer_url(observed->issuer), "ES256", mint_key(MINT_P256), OBSERVED_KID,
                     changes);
}

struct observed observed_start(const struct observed_options *options) {
    struct observed observed = {.issuer = issuer_start(ISSUER_PLAIN),
                                .daemon = calloc(1, sizeof *observed.daemon),
                                .admin = process_free_port()};
    ck_assert_ptr_nonnull(observed.daemon);
    observed.daemon->port = process_free_port();
    observed.daemon->folder = scratch_new();
    observed.token = observed_token(&observed, NULL);
    if (!options->no_keys) observed_give_keys(&observed);
    start_daemon(&observed, options);
    if (!options->no_keys) observed_await(&observed, "bearerd_ready", 1);
    return observed;
}

void observed_end(struct observed *observed) {
    daemon_stop(observed->daemon);
    issuer_stop(observed->issuer);
    free(observed->token);
}

bool observed_reload(const struct observed *observed, const struct observed_options *options) {
    struct process *process = observed->daemon->process;
    int good = process_count_errors(process, "notice: reloaded");
    int bad = process_count_errors(process, "error: reload failed");

    free(write_configuration(observed, options));
    process_signal(process, SIGHUP);
    for (long until = process_now_ms() + START_MS; process_now_ms() < until; process_sleep_ms(5)) {
        if (process_count_errors(process, "notice: reloaded") > good) return true;
        if (process_count_errors(process, "error: reload failed") > bad) return false;
    }
    ck_abort_msg("neither reloaded nor refused to");
}

/* --- asking ---------------------------------------------------------------------------------- */

int observed_ask(int port, const char *method, const char *target, const char *headers,
                 struct response *ret) {
    struct response response;
    struct client *client = client_connect(port);
    ck_assert_ptr_nonnull(client);
    ck_assert(client_sendf(client, "%s %s HTTP/1.1\r\n%s\r\n", method, target, headers));
    enum client_result result = strcmp(method, "HEAD") == 0
                                    ? client_read_to_head(client, OBSERVED_WAIT_MS, &response)
                                    : client_read(client, OBSERVED_WAIT_MS, &response);
    ck_assert_msg(result == CLIENT_OK, "no answer (%d) to %s %.100s", result, method, target);
    client_free(client);
    int status = response.status;
    if (ret)
        *ret = response;
    else
        client_response_done(&response);
    return status;
}

char *observed_get(const struct observed *observed, const char *target, int status) {
    struct response response;
    int got = observed_ask(observed->admin, "GET", target, "Host: localhost\r\n", &response);
    ck_assert_msg(got == status, "%s: %d, not %d: %.3000s", target, got, status, response.body);
    char *body = strdup(response.body);
    client_response_done(&response);
    return body;
}

json_t *observed_json(const struct observed *observed, const char *target, int status) {
    char *body = observed_get(observed, target, status);
    json_error_t error;
    json_t *json = json_loads(body, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(json != NULL, "%s: %s at %d: %.3000s", target, error.text, error.position, body);
    free(body);
    return json;
}

void observed_request(const struct observed *observed, const char *path, const char *token,
                      int status) {
    int got = daemon_get(observed->daemon, path, token, NULL);
    ck_assert_msg(got == status, "%s: %d, not %d", path, got, status);
}

/* --- metrics --------------------------------------------------------------------------------- */

double observed_value(const char *metrics, const char *series) {
    struct span rest = span_of(metrics), line;
    size_t len = strlen(series);
    double value = 0;
    int found = 0;

    while (span_next(&rest, '\n', &line)) {
        if (!span_starts_with(line, span_of(series)) || line.len <= len || line.ptr[len] != ' ')
            continue;
        value = strtod(line.ptr + len, NULL);
        found++;
    }
    ck_assert_msg(found == 1, "%s stands there %d times: %.3000s", series, found, metrics);
    return value;
}

double observed_metric(const struct observed *observed, const char *series) {
    char *metrics = observed_get(observed, "/metrics", 200);
    double value = observed_value(metrics, series);
    free(metrics);
    return value;
}

static bool is_value(double a, double b) {
    return a > b - 1e-4 && a < b + 1e-4;
}

void observed_await(const struct observed *observed, const char *series, double value) {
    long until = process_now_ms() + OBSERVED_WAIT_MS;
    double is;
    while (!is_value(is = observed_metric(observed, series), value)) {
        ck_assert_msg(process_now_ms() < until, "%s is %g, never %g", series, is, value);
        process_sleep_ms(5);
    }
}

char *observed_counted(const char *metrics, const char *prefix) {
    struct buf counted = buf_make(COUNTED_MAX);
    struct span rest = span_of(metrics), line;

    buf_add_text(&counted, "");
    while (span_next(&rest, '\n', &line)) {
        if (!span_starts_with(line, span_of(prefix))) continue;
        if (line.len > 2 && memcmp(line.ptr + line.len - 2, " 0", 2) == 0) continue;
        buf_add(&counted, line);
        buf_add_char(&counted, '\n');
    }
    return counted.data ? counted.data : strdup("");
}

void observed_await_counted(const struct observed *observed, const char *prefix,
                            const char *expected) {
    long until = process_now_ms() + OBSERVED_WAIT_MS;
    for (;;) {
        char *metrics = observed_get(observed, "/metrics", 200);
        char *counted = observed_counted(metrics, prefix);
        bool same = strcmp(counted, expected) == 0;
        if (!same && process_now_ms() >= until) ck_assert_str_eq(counted, expected);
        free(counted);
        free(metrics);
        if (same) return;
        process_sleep_ms(5);
    }
}
