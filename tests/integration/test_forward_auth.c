/*
 * The same requests get the same verdicts whoever asks: bearerd itself, as a proxy, and the other
 * proxies that ask it, each started as conf/examples ships it. What counts is what the application
 * saw.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/attr.h"
#include "common/buf.h"
#include "server/policy/target.h"
#include "tests/support/front.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/support/upstream.h"

#define ANSWER_MS 10000
#define PATH_MAX_BYTES 4096

enum way {
    DIRECT,  /* bearerd answers the verdict itself */
    BEARERD, /* bearerd is the proxy */
    NGINX,
    CADDY,
    HAPROXY,
    APACHE,
    WAYS,
};

static const char *const way_names[WAYS] = {"direct", "bearerd", "nginx",
                                            "caddy",  "haproxy", "apache"};

/* --- the requests ---------------------------------------------------------------------------- */

enum bearer { NOBODY, GOOD, EXPIRED, POOR, TORN };

#define REALM "Bearer realm=\"bearerd\""
#define INVALID REALM ", error=\"invalid_token\""
#define MALFORMED REALM ", error=\"invalid_request\""
#define LACKS(scope)                                                                               \
    REALM ", error=\"insufficient_scope\", error_description=\"the token lacks the scope '" scope  \
          "'\", scope=\"" scope "\""

/* Whatever a client makes up has this word in it, and no upstream ever sees it. */
#define FORGED "mallory"

/* Names that some server or other takes for the same. */
#define FORGED_IDENTITY                                                                            \
    "X-Auth-User: " FORGED "\r\nx-auth-user: " FORGED "\r\nX_Auth_User: " FORGED                   \
    "\r\nX-Auth_User: " FORGED "\r\nX.Auth.User: " FORGED "\r\nX_AUTH-USER: " FORGED               \
    "\r\nX-AUTH-SUBJECT: " FORGED "\r\nX_Auth_Subject: " FORGED "\r\nX-Auth-Issuer: " FORGED       \
    "\r\nX_Auth_Issuer: " FORGED "\r\nX-Auth-Scopes: " FORGED "\r\nX_Auth_Scopes: " FORGED         \
    "\r\nX-Auth-Roles: " FORGED "\r\nX_Auth_Roles: " FORGED "\r\nX.Auth.Roles: " FORGED            \
    "\r\nX-Auth-Assertion: " FORGED "\r\nX_Auth_Assertion: " FORGED "\r\n"

/* Another request than the one that is sent. */
#define FORGED_ORIGIN                                                                              \
    "X-Forwarded-Method: HEAD\r\nX-Forwarded-Uri: /public/" FORGED "\r\nX-Forwarded-Host: " FORGED \
    "\r\nX-Forwarded-For: " FORGED "\r\nX-Forwarded-Proto: " FORGED                                \
    "\r\nX_Forwarded_Uri: /public/" FORGED "\r\nForwarded: for=" FORGED "\r\n"
#define FORGED_ORIGINAL                                                                            \
    "X-Original-Method: HEAD\r\nX-Original-URI: /public/" FORGED                                   \
    "\r\nX-Original-URL: http://" FORGED "/public/" FORGED "\r\nX-Rewrite-URL: /public/" FORGED    \
    "\r\nX_Original_URI: /public/" FORGED "\r\n"
#define FORGED_METHOD                                                                              \
    "X-HTTP-Method-Override: " FORGED "\r\nX-HTTP-Method: " FORGED                                 \
    "\r\nX-Method-Override: " FORGED "\r\nX-Original-Method: GET\r\nX-Forwarded-Method: GET\r\n"

/* Apache looks at the path itself, before it asks: its status and page, and no challenge. */
#define APACHE_404 [APACHE] = 404

static const struct row {
    const char *line; /* method and target */
    enum bearer bearer;
    const char *headers; /* NULL */
    const char *body;    /* NULL */
    int status;
    const char *challenge; /* what WWW-Authenticate begins with; NULL: there is none */
    const char *error;     /* in the body of a refusal */
    const char *judged;    /* the path as it is judged, of a request that is allowed */
    int other[WAYS];       /* the status of a way that differs and answers for itself */
} rows[] = {
    /* Who is asking. */
    {"GET /public/a", NOBODY, NULL, NULL, 200, NULL, NULL, "/public/a", {0}},
    {"HEAD /public/a", NOBODY, NULL, NULL, 200, NULL, NULL, "/public/a", {0}},
    {"GET /public/a", GOOD, NULL, NULL, 200, NULL, NULL, "/public/a", {0}},
    {"GET /public/a", EXPIRED, NULL, NULL, 401, INVALID, "invalid_token", NULL, {0}},
    {"GET /orders/1?x=%2f", GOOD, NULL, NULL, 200, NULL, NULL, "/orders/1", {0}},
    {"GET /orders/1", NOBODY, NULL, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET /orders/1", EXPIRED, NULL, NULL, 401, INVALID, "invalid_token", NULL, {0}},
    {"GET /orders/1", TORN, NULL, NULL, 401, INVALID, "invalid_token", NULL, {0}},
    {"GET /orders/1", POOR, NULL, NULL, 403, LACKS("orders:read"), "insufficient_scope", NULL, {0}},
    {"GET /admin/x", GOOD, NULL, NULL, 403, LACKS("admin"), "insufficient_scope", NULL, {0}},
    {"GET /orders/1",
     NOBODY,
     "Authorization: Basic YTpi\r\n",
     NULL,
     401,
     REALM,
     "unauthorized",
     NULL,
     {0}},
    {"GET /orders/1",
     NOBODY,
     "Authorization: Bearer\r\n",
     NULL,
     400,
     MALFORMED,
     "invalid_request",
     NULL,
     {0}},
    {"GET /orders/1",
     GOOD,
     "Authorization: Bearer x\r\n",
     NULL,
     400,
     MALFORMED,
     "invalid_request",
     NULL,
     {[NGINX] = 400}},
    {"GET /orders/1",
     NOBODY,
     "Cookie: a=\"Bearer\r\n",
     NULL,
     401,
     REALM,
     "unauthorized",
     NULL,
     {0}},

    /* What it wants to do. */
    {"POST /orders/1", GOOD, NULL, "{\"count\":2}", 200, NULL, NULL, "/orders/1", {0}},
    {"POST /orders/1", NOBODY, NULL, "{\"count\":2}", 401, REALM, "unauthorized", NULL, {0}},
    {"POST /public/a", NOBODY, NULL, "{\"count\":2}", 200, NULL, NULL, "/public/a", {0}},
    {"DELETE /orders/1", GOOD, NULL, NULL, 405, NULL, "method_not_allowed", NULL, {0}},
    {"DELETE /orders/1", GOOD, FORGED_METHOD, NULL, 405, NULL, "method_not_allowed", NULL, {0}},
    {"GET /orders/1", GOOD, FORGED_METHOD, NULL, 200, NULL, NULL, "/orders/1", {0}},
    {"TRACE /public/a", GOOD, NULL, NULL, 405, NULL, "method_not_allowed", NULL, {[NGINX] = 405}},
    {"GET /unknown", GOOD, NULL, NULL, 404, NULL, "not_found", NULL, {0}},

    /* Who it claims to be, and where it claims to go. */
    {"GET /public/a", NOBODY, FORGED_IDENTITY, NULL, 200, NULL, NULL, "/public/a", {0}},
    {"GET /orders/1", GOOD, FORGED_IDENTITY, NULL, 200, NULL, NULL, "/orders/1", {0}},
    {"GET /orders/1", NOBODY, FORGED_IDENTITY, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET /orders/1",
     GOOD,
     "Connection: X-Auth-User, X-Auth-Scopes, Authorization\r\n",
     NULL,
     200,
     NULL,
     NULL,
     "/orders/1",
     {0}},
    {"GET /orders/1", NOBODY, FORGED_ORIGIN, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET /orders/1", NOBODY, FORGED_ORIGINAL, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET /orders/1", GOOD, FORGED_ORIGIN FORGED_ORIGINAL, NULL, 200, NULL, NULL, "/orders/1", {0}},
    {"GET /public/a",
     NOBODY,
     FORGED_ORIGIN FORGED_ORIGINAL,
     NULL,
     200,
     NULL,
     NULL,
     "/public/a",
     {0}},
    {"GET /admin/x",
     GOOD,
     "Connection: X-Original-URI, X-Forwarded-Uri, Authorization\r\n",
     NULL,
     403,
     LACKS("admin"),
     "insufficient_scope",
     NULL,
     {0}},

    /* Paths that one server reads in another way than the next. */
    {"GET /public/../admin/x",
     GOOD,
     NULL,
     NULL,
     403,
     LACKS("admin"),
     "insufficient_scope",
     NULL,
     {0}},
    {"GET /public/../admin/x", NOBODY, NULL, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET /public/%2e%2e/admin/x", NOBODY, NULL, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET /public/%2E./admin/x", NOBODY, NULL, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET /public/.%2e//admin/x", NOBODY, NULL, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET //admin/x", NOBODY, NULL, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET /./admin/x", NOBODY, NULL, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET /%61dmin/x", NOBODY, NULL, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET /admin/x;y", NOBODY, NULL, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET /admin/?a=/public/", NOBODY, NULL, NULL, 401, REALM, "unauthorized", NULL, {0}},
    {"GET /ADMIN/x", NOBODY, NULL, NULL, 404, NULL, "not_found", NULL, {0}},
    {"GET /public/..;/admin/x", NOBODY, NULL, NULL, 400, NULL, "bad_request", NULL, {0}},
    {"GET /public\\..\\admin\\x", NOBODY, NULL, NULL, 400, NULL, "bad_request", NULL, {0}},
    {"GET /public/..%5cadmin/x", NOBODY, NULL, NULL, 400, NULL, "bad_request", NULL, {0}},
    {"GET /public/..%2fadmin/x", NOBODY, NULL, NULL, 400, NULL, "bad_request", NULL, {APACHE_404}},
    {"GET /public%2f..%2fadmin/x",
     NOBODY,
     NULL,
     NULL,
     400,
     NULL,
     "bad_request",
     NULL,
     {APACHE_404}},
    {"GET /public/%00",
     NOBODY,
     NULL,
     NULL,
     400,
     NULL,
     "bad_request",
     NULL,
     {[NGINX] = 400, APACHE_404}},
    {"GET /public/%zz",
     NOBODY,
     NULL,
     NULL,
     400,
     NULL,
     "bad_request",
     NULL,
     {[NGINX] = 400, [CADDY] = 400, [APACHE] = 400}},
    {"GET /../public/a",
     NOBODY,
     NULL,
     NULL,
     400,
     NULL,
     "bad_request",
     NULL,
     {[NGINX] = 400, [APACHE] = 400}},
    /* Caddy takes '#' for a sign like others and writes %23, for the gate and the application. */
    {"GET /public/#/../../admin/x",
     NOBODY,
     NULL,
     NULL,
     400,
     NULL,
     "bad_request",
     NULL,
     {[CADDY] = 401, [HAPROXY] = 400, [APACHE] = 400}},
    /* Some take the path out of an absolute target; the rule is then that of the path. */
    {"GET http://public.example/admin/x",
     NOBODY,
     NULL,
     NULL,
     400,
     NULL,
     "bad_request",
     NULL,
     {[NGINX] = 401, [CADDY] = 401, [HAPROXY] = 400}},
    {"GET //orders/1", GOOD, NULL, NULL, 200, NULL, NULL, "/orders/1", {0}},
    {"GET /public/../orders/1", GOOD, NULL, NULL, 200, NULL, NULL, "/orders/1", {0}},
    {"GET /public/a;b=..", NOBODY, NULL, NULL, 200, NULL, NULL, "/public/a;b=..", {0}},
    {"GET /public/a%23b", NOBODY, NULL, NULL, 200, NULL, NULL, "/public/a%23b", {0}},
    {"GET /public/a%3fb", NOBODY, NULL, NULL, 200, NULL, NULL, "/public/a%3Fb", {0}},
    {"GET /public/%2561", NOBODY, NULL, NULL, 200, NULL, NULL, "/public/%2561", {0}},
    {"GET /public/a?/../admin", NOBODY, NULL, NULL, 200, NULL, NULL, "/public/a", {0}},
};

/* --- the gate and the ways to it ------------------------------------------------------------- */

struct gate {
    struct daemon *daemon;
    struct upstream *application;
    char *tokens[TORN + 1];
};

/* The shipped bearerd.yaml, but for the issuer's keys; in the way BEARERD as a proxy. */
static struct daemon *start_daemon(enum way way, struct upstream *application) {
    char *folder = scratch_new();
    char *keys = MINT_JWKS(mint_jwk(mint_key(MINT_P256), SCENE_KID, "ES256"));
    char *path = scratch_file(folder, "keys.json", span_of(keys));
    char *audiences = scratch_text("audiences: [api]\n    jwks_file: %s", path);
    /* A client of bearerd itself is no proxy that is believed. */
    const char *const changes[] = {"listen: [{address: \"127.0.0.1:8080\"}]",
                                   "",
                                   "audiences: [api]",
                                   audiences,
                                   way == BEARERD ? "respond: verdict" : NULL,
                                   "upstream: application",
                                   "trusted_proxies: [127.0.0.1]",
                                   "trusted_proxies: [192.0.2.1]",
                                   NULL};
    char *example = front_example("bearerd.yaml", changes);
    char *yaml = way == BEARERD
                     ? scratch_text("%supstreams: [{name: application, targets: [\"%s\"]}]\n",
                                    example, upstream_target(application))
                     : strdup(example);
    struct daemon *daemon = daemon_start(yaml, folder);
    free(yaml);
    free(example);
    free(audiences);
    free(path);
    free(keys);
    free(folder);
    return daemon;
}

static char *torn(const char *token) {
    char *copy = strdup(token);
    ck_assert_ptr_nonnull(copy);
    memcpy(strrchr(copy, '.') + 1, "AAAA", 4);
    return copy;
}

static struct gate gate_start(enum way way) {
    struct gate gate = {.application = upstream_start(UPSTREAM_PLAIN),
                        .tokens = {[GOOD] = scene_token("{\"scope\":\"openid orders:read\"}"),
                                   [EXPIRED] = scene_token("{\"scope\":\"orders:read admin\","
                                                           "\"iat\":1000,\"exp\":2000}"),
                                   [POOR] = scene_token(NULL)}};
    gate.tokens[TORN] = torn(gate.tokens[GOOD]);
    gate.daemon = start_daemon(way, gate.application);
    ck_assert(daemon_wait_status(gate.daemon, "/orders/ready", gate.tokens[GOOD], 200, ANSWER_MS));
    return gate;
}

static void gate_end(struct gate *gate) {
    if (gate->daemon) daemon_stop(gate->daemon);
    upstream_stop(gate->application);
    for (size_t i = 0; i < ARRAY_LEN(gate->tokens); i++) free(gate->tokens[i]);
}

static struct front *front_between(enum way way, const struct gate *gate) {
    return front_start((enum front_kind)(FRONT_NGINX + (way - NGINX)), gate->daemon->port,
                       upstream_port(gate->application));
}

/* Skipped before anything is started that would have to be ended. */
static void skip_without(enum way way) {
    const char *missing = front_missing((enum front_kind)(FRONT_NGINX + (way - NGINX)));
    if (missing) test_skip(missing);
}

/* --- one request ----------------------------------------------------------------------------- */

static char *request_text(const struct row *row, const struct gate *gate) {
    const char *token = gate->tokens[row->bearer], *headers = row->headers ? row->headers : "";
    char *authorization = token ? scratch_text("Authorization: Bearer %s\r\n", token) : strdup("");
    char *length =
        row->body ? scratch_text("Content-Length: %zu\r\n", strlen(row->body)) : strdup("");
    char *text = scratch_text("%s HTTP/1.1\r\nHost: api.example\r\n%s%s%s\r\n%s", row->line,
                              authorization, headers, length, row->body ? row->body : "");
    free(length);
    free(authorization);
    return text;
}

static void ask(int port, const char *request, struct response *ret) {
    struct client *client = client_connect(port);
    ck_assert_ptr_nonnull(client);
    (void)client_send(client, span_of(request));
    enum client_result result = memcmp(request, "HEAD ", 5) == 0
                                    ? client_read_to_head(client, ANSWER_MS, ret)
                                    : client_read(client, ANSWER_MS, ret);
    ck_assert_msg(result == CLIENT_OK, "no answer (%d) to %s", result, request);
    client_free(client);
}

/* --- what the client gets -------------------------------------------------------------------- */

static void check_challenge(const struct row *row, const struct response *response,
                            const char *what) {
    struct span challenge = response_header(response, "WWW-Authenticate");
    int count = response_header_count(response, "WWW-Authenticate");

    ck_assert_msg(count == (row->challenge ? 1 : 0), "%s: %d challenges: %s", what, count,
                  response->head);
    if (!row->challenge) return;
    ck_assert_msg(span_starts_with(challenge, span_of(row->challenge)), "%s: %s", what,
                  response->head);
}

static void check_answer(const struct row *row, enum way way, const struct response *response,
                         const char *what) {
    int expected = row->other[way] ? row->other[way] : row->status;
    ck_assert_msg(response->status == expected, "%s: %d, not %d: %s", what, response->status,
                  expected, response->body);
    ck_assert_msg((expected == 200) == (row->status == 200), "%s: another verdict", what);
    /* The identity is for the application alone. */
    ck_assert_msg(response_header_count(response, "X-Auth-User") == 0, "%s: %s", what,
                  response->head);
    if (row->other[way]) return;
    check_challenge(row, response, what);
    if (expected == 405)
        ck_assert_msg(
            span_starts_with(response_header(response, "Allow"), SPAN_LITERAL("GET, HEAD, POST")),
            "%s: %s", what, response->head);
    if (!row->error) return;
    char *error = scratch_text("{\"error\":\"%s\"", row->error);
    ck_assert_msg(strncmp(response->body, error, strlen(error)) == 0, "%s: %s", what,
                  response->body);
    free(error);
}

/* --- what the application sees --------------------------------------------------------------- */

/* Is this the field name, whatever else than letters and digits stands between them? */
static bool speaks_of_identity(struct span line) {
    static const char start[] = "xauth";
    size_t matched = 0;
    for (size_t i = 0; i < line.len && line.ptr[i] != ':' && start[matched]; i++) {
        char c = (char)(line.ptr[i] | 0x20);
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9')) continue;
        if (c != start[matched++]) return false;
    }
    return !start[matched];
}

static int count_identity(struct span head) {
    struct span line;
    int count = 0;
    while (span_next(&head, '\n', &line)) count += speaks_of_identity(line);
    return count;
}

static void check_identity(const struct row *row, const struct upstream_request *seen,
                           const char *what) {
    static const char *const identity[][2] = {{"X-Auth-User", "alice@example.com"},
                                              {"X-Auth-Subject", "alice"},
                                              {"X-Auth-Issuer", SCENE_ISSUER},
                                              {"X-Auth-Scopes", "openid orders:read"}};
    bool known = row->bearer != NOBODY;
    int count = count_identity(seen->head), expected = known ? (int)ARRAY_LEN(identity) : 0;

    ck_assert_msg(count == expected, "%s: %d identity headers: %.*s", what, count,
                  SPAN_PRINTF(seen->raw));
    for (size_t i = 0; known && i < ARRAY_LEN(identity); i++)
        ck_assert_msg(span_equal_text(upstream_header(seen, identity[i][0]), identity[i][1]),
                      "%s: not %s: %s in %.*s", what, identity[i][0], identity[i][1],
                      SPAN_PRINTF(seen->raw));
}

/* However the path is written that the application gets: it is the one that was judged. */
static void check_target(const struct row *row, const struct upstream_request *seen,
                         const char *what) {
    struct buf path = buf_make(PATH_MAX_BYTES);
    struct target target;
    struct refusal refusal;

    ck_assert_msg(target_parse(seen->target, &path, &target, &refusal) &&
                      span_equal_text(target.path, row->judged),
                  "%s: the application gets %.*s", what, SPAN_PRINTF(seen->target));
    buf_done(&path);
}

static void check_seen(const struct row *row, const struct upstream_request *seen,
                       const char *what) {
    size_t method_len = strcspn(row->line, " ");
    ck_assert_msg(seen->state == UPSTREAM_WHOLE, "%s: %s", what, seen->why);
    ck_assert_msg(span_equal(seen->method, (struct span){row->line, method_len}), "%s: %.*s", what,
                  SPAN_PRINTF(seen->method));
    check_target(row, seen, what);
    check_identity(row, seen, what);
    ck_assert_msg(!memmem(seen->raw.ptr, seen->raw.len, FORGED, strlen(FORGED)), "%s: %.*s", what,
                  SPAN_PRINTF(seen->raw));
    /* What Connection names may be taken away behind us: the identity must not be among it. */
    struct span connection = upstream_header(seen, "Connection");
    ck_assert_msg(!connection.ptr || !memmem(connection.ptr, connection.len, "X-", 2), "%s: %.*s",
                  what, SPAN_PRINTF(seen->raw));
    ck_assert_msg(upstream_header_count(seen, "Authorization") == 0, "%s: %.*s", what,
                  SPAN_PRINTF(seen->raw));
    ck_assert_msg(span_equal_text(seen->body, row->body ? row->body : ""), "%s: %.*s", what,
                  SPAN_PRINTF(seen->raw));
}

/* --- one table, six ways --------------------------------------------------------------------- */

static void drive_row(const struct row *row, enum way way, const struct gate *gate, int port) {
    struct upstream *application = gate->application;
    int before = upstream_count(application, UPSTREAM_HEADS);
    char *request = request_text(row, gate);
    char *what = scratch_text("%s: %.300s", way_names[way], request);
    struct response response;

    ask(port, request, &response);
    check_answer(row, way, &response, what);
    int seen = upstream_count(application, UPSTREAM_HEADS) - before;
    bool passed_on = way != DIRECT && response.status == 200;
    ck_assert_msg(seen == passed_on, "%s: the application saw %d requests", what, seen);
    if (passed_on) check_seen(row, upstream_request(application, before), what);
    client_response_done(&response);
    free(what);
    free(request);
}

static void drive(enum way way) {
    if (way >= NGINX) skip_without(way);
    struct gate gate = gate_start(way);
    struct front *front = way >= NGINX ? front_between(way, &gate) : NULL;
    int port = front ? front->port : gate.daemon->port;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) drive_row(&rows[i], way, &gate, port);
    if (front) front_stop(front);
    gate_end(&gate);
}

TEST_WITHIN(the_verdicts_are_the_same_when_bearerd_answers_itself, 60) {
    drive(DIRECT);
}

TEST_WITHIN(the_verdicts_are_the_same_when_bearerd_is_the_proxy, 60) {
    drive(BEARERD);
}

TEST_WITHIN(the_verdicts_are_the_same_when_nginx_asks, 60) {
    drive(NGINX);
}

TEST_WITHIN(the_verdicts_are_the_same_when_caddy_asks, 60) {
    drive(CADDY);
}

TEST_WITHIN(the_verdicts_are_the_same_when_haproxy_asks, 60) {
    drive(HAPROXY);
}

TEST_WITHIN(the_verdicts_are_the_same_when_apache_asks, 60) {
    drive(APACHE);
}

/* --- a gate that is not there, or is none ---------------------------------------------------- */

static const struct row open_row = {
    .line = "GET /public/a", .bearer = NOBODY, .status = 200, .judged = "/public/a"};
static const struct row good_row = {
    .line = "GET /orders/1", .bearer = GOOD, .status = 200, .judged = "/orders/1"};

/* Nothing gets through, and the client is told so. */
static void check_closed(const struct row *row, const struct gate *gate, int port,
                         const char *what) {
    int before = upstream_count(gate->application, UPSTREAM_HEADS);
    char *request = request_text(row, gate);
    struct response response;

    ask(port, request, &response);
    ck_assert_msg(response.status >= 300, "%s: %d to %s", what, response.status, request);
    ck_assert_msg(upstream_count(gate->application, UPSTREAM_HEADS) == before, "%s: %s", what,
                  request);
    client_response_done(&response);
    free(request);
}

static void check_fails_closed(enum way way) {
    skip_without(way);
    struct gate gate = gate_start(way);
    struct front *front = front_between(way, &gate);

    drive_row(&open_row, way, &gate, front->port);
    drive_row(&good_row, way, &gate, front->port);
    daemon_stop(gate.daemon);
    gate.daemon = NULL;
    for (int i = 0; i < 3; i++) {
        check_closed(&open_row, &gate, front->port, "stopped");
        check_closed(&good_row, &gate, front->port, "stopped");
    }
    front_stop(front);
    gate_end(&gate);
}

TEST_WITHIN(nginx_lets_nothing_through_without_a_gate, 60) {
    check_fails_closed(NGINX);
}

TEST_WITHIN(caddy_lets_nothing_through_without_a_gate, 60) {
    check_fails_closed(CADDY);
}

TEST_WITHIN(haproxy_lets_nothing_through_without_a_gate, 60) {
    check_fails_closed(HAPROXY);
}

TEST_WITHIN(apache_lets_nothing_through_without_a_gate, 60) {
    check_fails_closed(APACHE);
}

/* What something else that listens on the gate's port might say. */
static const char *const wrong_answers[] = {
    "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: /public/a\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200",
    "200 OK\r\n\r\n",
    "",
};

/* A gate without keys says when to come again, and the client gets to know. */
static void check_unavailable(const struct gate *rest, struct upstream *gate, int port) {
    char *request = request_text(&open_row, rest);
    struct response response;

    upstream_answer(
        gate, NULL,
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n");
    ask(port, request, &response);
    ck_assert_int_eq(response.status, 503);
    ck_assert_msg(span_equal_text(response_header(&response, "Retry-After"), "5"), "%s",
                  response.head);
    client_response_done(&response);
    free(request);
}

static void check_bears_no_nonsense(enum way way) {
    skip_without(way);
    struct upstream *gate = upstream_start(UPSTREAM_PLAIN);
    struct gate rest = {.application = upstream_start(UPSTREAM_PLAIN)};
    struct front *front = front_start((enum front_kind)(FRONT_NGINX + (way - NGINX)),
                                      upstream_port(gate), upstream_port(rest.application));

    drive_row(&open_row, way, &rest, front->port);
    for (size_t i = 0; i < ARRAY_LEN(wrong_answers); i++) {
        upstream_script(gate, NULL,
                        UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(span_of(wrong_answers[i])),
                                       UPSTREAM_CLOSE));
        check_closed(&open_row, &rest, front->port, wrong_answers[i]);
    }
    check_unavailable(&rest, gate, front->port);
    front_stop(front);
    upstream_stop(gate);
    gate_end(&rest);
}

TEST_WITHIN(nginx_lets_nothing_through_on_nonsense, 60) {
    check_bears_no_nonsense(NGINX);
}

TEST_WITHIN(caddy_lets_nothing_through_on_nonsense, 60) {
    check_bears_no_nonsense(CADDY);
}

TEST_WITHIN(haproxy_lets_nothing_through_on_nonsense, 60) {
    check_bears_no_nonsense(HAPROXY);
}

TEST_WITHIN(apache_lets_nothing_through_on_nonsense, 60) {
    check_bears_no_nonsense(APACHE);
}

/* --- a reload under load --------------------------------------------------------------------- */

#define CLIENTS 8
#define RELOADS 5
#define ROUNDS_A_RELOAD 4

/* All clients have a request under way; then all answers are read. */
static void ask_at_once(struct client *const clients[CLIENTS], const struct gate *gate,
                        bool reload) {
    char *request = request_text(&good_row, gate);
    struct response response;

    for (size_t i = 0; i < CLIENTS; i++) {
        ck_assert(client_send(clients[i], span_of(request)));
        if (reload && i == CLIENTS / 2) process_signal(gate->daemon->process, SIGHUP);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        ck_assert_int_eq(client_read(clients[i], ANSWER_MS, &response), CLIENT_OK);
        ck_assert_msg(response.status == 200, "%d: %s", response.status, response.body);
        client_response_done(&response);
    }
    free(request);
}

static void wait_for_reloads(const struct gate *gate, int count) {
    for (long until = process_now_ms() + ANSWER_MS; process_now_ms() < until; process_sleep_ms(5))
        if (process_count_errors(gate->daemon->process, "notice: reloaded") >= count) return;
    ck_abort_msg("no %d reloads", count);
}

static void check_reload(enum way way) {
    skip_without(way);
    struct gate gate = gate_start(way);
    struct front *front = front_between(way, &gate);
    struct client *clients[CLIENTS];

    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_connect(front->port);
        ck_assert_ptr_nonnull(clients[i]);
    }
    for (int reload = 1; reload <= RELOADS; reload++) {
        for (int round = 0; round < ROUNDS_A_RELOAD; round++)
            ask_at_once(clients, &gate, round == 1);
        wait_for_reloads(&gate, reload);
    }
    ck_assert_int_eq(upstream_count(gate.application, UPSTREAM_REQUESTS),
                     CLIENTS * RELOADS * ROUNDS_A_RELOAD);
    for (size_t i = 0; i < CLIENTS; i++) client_free(clients[i]);
    front_stop(front);
    gate_end(&gate);
}

TEST_WITHIN(no_request_through_nginx_fails_while_the_gate_reloads, 60) {
    check_reload(NGINX);
}

TEST_WITHIN(no_request_through_caddy_fails_while_the_gate_reloads, 60) {
    check_reload(CADDY);
}

TEST_WITHIN(no_request_through_haproxy_fails_while_the_gate_reloads, 60) {
    check_reload(HAPROXY);
}

TEST_WITHIN(no_request_through_apache_fails_while_the_gate_reloads, 60) {
    check_reload(APACHE);
}
