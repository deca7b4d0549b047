/*
 * Every reason for refusal, met on purpose: the answer, the log line, the metric and `bearerd
 * explain` name it in the same way. A reason without a row here fails the test.
 */
#include <arpa/inet.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/buf.h"
#include "server/answer/problem.h"
#include "server/token/reason.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/support/upstream.h"

#define SLOW (SCENE_SANITIZED ? 4 : 1)
#define ANSWER_MS (10000 * SLOW)
#define ANSWER_MAX ((size_t)1 << 20)

/* Who asks whom. */
enum way {
    WAY_CLIENT,   /* 127.0.0.1, whom trusted_proxies lists */
    WAY_STRANGER, /* 127.0.0.2, who is not listed */
    WAY_ADMIN,    /* the admin listener; what it refuses is logged, and not counted as a request */
};

/* How a reason is met: a good token, but for what the row says, in a sound request but for that. */
struct row {
    const char *line; /* "GET /profile/"; NULL: it is not met here, and left_out says why */
    enum way way;
    const char *headers;   /* further lines; @ stands for the token */
    bool without;          /* no Authorization header besides these */
    const char *host;      /* its header line; NULL: Host: api.example */
    const char *changes;   /* of the claims */
    const char *header;    /* NULL: that of a good token */
    const char *algorithm; /* NULL: ES256 */
    enum mint_key key;     /* MINT_RSA, which is 0, stands for MINT_P256 */
    const char *token;     /* this very text */
    bool asked;            /* a token meets it: explain is asked about that; else about the name */
    bool discreet; /* the log says more than a client may know: which target, and what of it */
    const char *left_out;
};

#define HEADER(members) "{" members ",\"typ\":\"at+jwt\"}"
#define HUGE                                                                                       \
    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"  \
    "\""

static const struct row rows[REASON_COUNT] = {
    [REASON_NO_CREDENTIALS] = {.line = "GET /profile/", .without = true},
    [REASON_OTHER_SCHEME] = {.line = "GET /profile/",
                             .without = true,
                             .headers = "Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"},
    [REASON_CREDENTIALS_MALFORMED] = {.line = "GET /profile/", .token = "a*b", .asked = true},
    [REASON_CREDENTIALS_REPEATED] = {.line = "GET /profile/",
                                     .headers = "Authorization: Bearer @\r\n"},
    [REASON_TOKEN_TOO_LARGE] = {.line = "GET /profile/",
                                .changes = "{\"pad\":[" HUGE "," HUGE "," HUGE "," HUGE "," HUGE
                                           "," HUGE "," HUGE "," HUGE "]}",
                                .asked = true},
    [REASON_TOKEN_MALFORMED] = {.line = "GET /profile/", .token = "opaque", .asked = true},
    [REASON_TOKEN_ENCRYPTED] = {.line = "GET /profile/", .token = "a.b.c.d.e", .asked = true},
    [REASON_HEADER_NOT_ACCEPTED] = {.line = "GET /profile/",
                                    .header = HEADER("\"alg\":\"ES256\",\"zip\":\"DEF\""),
                                    .asked = true},
    [REASON_ALGORITHM_NOT_ALLOWED] = {.line = "GET /profile/",
                                      .header = HEADER("\"alg\":\"HS256\""),
                                      .asked = true},
    [REASON_TYPE_NOT_ACCEPTED] = {.line = "GET /profile/",
                                  .header = "{\"alg\":\"ES256\",\"typ\":\"dpop+jwt\"}",
                                  .asked = true},
    [REASON_ISSUER_UNKNOWN] = {.line = "GET /profile/",
                               .changes = "{\"iss\":\"https://elsewhere.example\"}",
                               .asked = true},
    [REASON_KEY_NOT_FOUND] = {.line = "GET /profile/",
                              .header = HEADER("\"alg\":\"ES256\",\"kid\":\"other\""),
                              .asked = true},
    [REASON_KEY_NOT_FIT] = {.line = "GET /profile/",
                            .header = HEADER("\"alg\":\"RS256\",\"kid\":\"k1\""),
                            .algorithm = "RS256",
                            .key = MINT_RSA_OTHER,
                            .asked = true},
    [REASON_KEY_NOT_CLEAR] = {.line = "GET /profile/",
                              .header = HEADER("\"alg\":\"ES256\",\"kid\":\"twice\""),
                              .asked = true},
    [REASON_SIGNATURE_INVALID] = {.line = "GET /profile/", .key = MINT_P256_OTHER, .asked = true},
    [REASON_CLAIM_MISSING] = {.line = "GET /profile/", .changes = "{\"aud\":null}", .asked = true},
    [REASON_CLAIM_INVALID] = {.line = "GET /profile/", .changes = "{\"aud\":7}", .asked = true},
    [REASON_AUDIENCE_MISMATCH] = {.line = "GET /profile/",
                                  .changes = "{\"aud\":\"theirs\"}",
                                  .asked = true},
    [REASON_TOKEN_EXPIRED] = {.line = "GET /profile/",
                              .changes = "{\"iat\":900,\"exp\":1000}",
                              .asked = true},
    [REASON_TOKEN_NOT_YET_VALID] = {.line = "GET /profile/",
                                    .changes = "{\"nbf\":32503680000}",
                                    .asked = true},
    [REASON_TOKEN_FROM_FUTURE] = {.line = "GET /profile/",
                                  .changes = "{\"iat\":32503680000,\"exp\":32503680001}",
                                  .asked = true},
    [REASON_LIFETIME_TOO_LONG] = {.line = "GET /profile/",
                                  .changes = "{\"exp\":32503680000}",
                                  .asked = true},
    [REASON_TOKEN_BOUND] = {.line = "GET /profile/",
                            .changes = "{\"cnf\":{\"jkt\":\"x\"}}",
                            .asked = true},
    [REASON_TOKEN_REVOKED] = {.line = "GET /profile/",
                              .changes = "{\"jti\":\"denied\"}",
                              .asked = true},
    [REASON_USER_MISSING] = {.line = "GET /profile/",
                             .changes = "{\"sub\":null,\"email\":null}",
                             .asked = true},
    [REASON_SCOPE_MISSING] = {.line = "GET /scopes", .asked = true},
    [REASON_ROLE_MISSING] = {.line = "GET /roles", .asked = true},
    [REASON_CLAIM_NOT_MET] = {.line = "GET /claims", .asked = true},
    [REASON_ISSUER_NOT_ALLOWED] = {.line = "GET /issuers", .asked = true},
    [REASON_RULED_OUT] = {.line = "GET /not", .asked = true},
    [REASON_TOKEN_TOO_OLD] = {.line = "GET /age", .changes = "{\"iat\":1000}", .asked = true},
    [REASON_ACR_NOT_MET] = {.line = "GET /acr", .asked = true},
    [REASON_LOGIN_TOO_OLD] = {.line = "GET /login",
                              .changes = "{\"auth_time\":1000}",
                              .asked = true},
    [REASON_KEYS_UNAVAILABLE] = {.line = "GET /profile/",
                                 .changes = "{\"iss\":\"https://second.example\"}",
                                 .asked = true},
    [REASON_OUT_OF_MEMORY] = {.left_out = "a daemon without memory cannot be had on purpose; the "
                                          "name alone is asked about"},
    [REASON_FRAMING] = {.line = "GET /profile/", .headers = "Host: b.example\r\n"},
    [REASON_HEAD_TOO_LARGE] = {.line = "GET /profile/", .headers = "X-Pad: &\r\n"},
    [REASON_TARGET] = {.line = "GET /a%2fb", .asked = true},
    [REASON_NO_ROUTE] = {.line = "GET /nothing", .asked = true},
    [REASON_METHOD_NOT_ALLOWED] = {.line = "DELETE /profile/", .asked = true},
    [REASON_ORIGINAL] = {.line = "GET /ask"},
    [REASON_NOT_TRUSTED] = {.line = "GET /ask", .way = WAY_STRANGER},
    [REASON_ORIGIN_NOT_ALLOWED] = {.line = "OPTIONS /cors",
                                   .without = true,
                                   .headers = "Origin: https://evil.example\r\n"
                                              "Access-Control-Request-Method: GET\r\n"},
    [REASON_OTHER_SITE] = {.line = "POST /api/deny?sub=x",
                           .way = WAY_ADMIN,
                           .without = true,
                           .host = "Host: evil.example\r\n"},
    [REASON_NOT_WRITTEN] = {.line = "POST /api/deny?sub=x",
                            .way = WAY_ADMIN,
                            .without = true,
                            .host = "Host: localhost\r\n"},
    [REASON_UPSTREAM_DOWN] = {.line = "GET /down"},
    [REASON_UPSTREAM_UNREACHABLE] = {.line = "GET /unreachable", .discreet = true},
    [REASON_UPSTREAM_CLOSED] = {.line = "GET /up/closed", .discreet = true},
    [REASON_UPSTREAM_MALFORMED] = {.line = "GET /up/malformed", .discreet = true},
    [REASON_UPSTREAM_TIMEOUT] = {.line = "GET /up/timeout", .discreet = true},
};

/* --- a daemon that can refuse for every reason ------------------------------------------------ */

struct house {
    struct scene scene;
    struct upstream *upstream;
    int admin; /* port */
    char *config;
};

#define ROUTES                                                                                     \
    "routes:\n"                                                                                    \
    "  - {path: /profile/, respond: profile}\n"                                                    \
    "  - {path: /scopes, respond: verdict, require: {scopes: [admin]}}\n"                          \
    "  - {path: /roles, respond: verdict, require: {roles: [boss]}}\n"                             \
    "  - {path: /claims, respond: verdict, require: {claims: [{name: plan, equals: gold}]}}\n"     \
    "  - {path: /issuers, respond: verdict, require: {issuers: [\"https://second.example\"]}}\n"   \
    "  - {path: /not, respond: verdict, require: {not: {scopes: [openid]}}}\n"                     \
    "  - {path: /age, respond: verdict, require: {max_token_age: 10m}}\n"                          \
    "  - {path: /acr, respond: verdict, require: {acr: [mfa]}}\n"                                  \
    "  - {path: /login, respond: verdict, require: {max_auth_age: 10m}}\n"                         \
    "  - {path: /ask, respond: forward_auth, anonymous: allow}\n"                                  \
    "  - {path: /cors, respond: verdict, cors: {preflight: answer, origins: "                      \
    "[\"https://app.example\"]}}\n"                                                                \
    "  - {path: /down, upstream: down}\n"                                                          \
    "  - {path: /unreachable, upstream: unreachable}\n"                                            \
    "  - {path: /up/*, upstream: up}\n"

static char *rest_of(const struct house *house, const char *deny, int closed) {
    return scratch_text(
        "admin: {address: \"127.0.0.1:%d\"}\n"
        "deny_list: \"%s\"\n"
        "trusted_proxies: [127.0.0.1]\n"
        "limits: {token: 600B, header: 4KiB}\n"
        "upstreams:\n"
        "  - {name: up, targets: [\"%s\"], health: {max_fails: 0}, timeouts: {first_byte: 300ms}}\n"
        "  - {name: down, targets: [\"http://127.0.0.1:%d\"], health: {path: /, interval: 100ms, "
        "unhealthy_after: 1}}\n"
        "  - {name: unreachable, targets: [\"http://127.0.0.1:%d\"], health: {max_fails: "
        "0}}\n" ROUTES,
        house->admin, deny, upstream_target(house->upstream), closed, closed);
}

static void script(struct upstream *upstream) {
    upstream_script(upstream, "/up/closed", UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_CLOSE));
    upstream_script(upstream, "/up/timeout", UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_HANG));
    upstream_answer(upstream, "/up/malformed", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n");
}

static struct house house_open(void) {
    struct house house = {.upstream = upstream_start(UPSTREAM_PLAIN), .admin = process_free_port()};
    char *folder = scratch_new();
    char *deny = scratch_file(folder, "deny", span_of("{\"jti\": \"denied\"}\n"));
    char *beside = scratch_text("%s.new", deny);
    ck_assert_int_eq(mkdir(beside, 0700), 0); /* so that the list cannot be written */
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), SCENE_KID, "ES256"),
                           mint_jwk(mint_key(MINT_P256_OTHER), "twice", "ES256"),
                           mint_jwk(mint_key(MINT_P256), "twice", "ES256"));
    char *rest = rest_of(&house, deny, process_free_port());
    script(house.upstream);
    house.scene = scene_start(&(struct scene_options){
        .jwks = jwks,
        .log = "{format: json, level: info, access: true}",
        .issuer = ", algorithms: [ES256, RS256], max_lifetime: 1d}, {issuer: "
                  "\"https://second.example\", audiences: [api], jwks_uri: "
                  "\"http://127.0.0.1:9/jwks\", insecure_http: true",
        .rest = rest});
    house.config = scratch_text("%s/bearerd.yaml", house.scene.daemon->folder);
    free(rest), free(jwks), free(beside), free(deny), free(folder);
    return house;
}

static void house_close(struct house *house) {
    scene_end(&house->scene);
    upstream_stop(house->upstream);
    free(house->config);
}

/* --- one request ------------------------------------------------------------------------------ */

static char *token_of(const struct row *row) {
    EVP_PKEY *key = mint_key(row->key ? row->key : MINT_P256);
    const char *algorithm = row->algorithm ? row->algorithm : "ES256";
    if (row->token) return strdup(row->token);
    if (!row->header) return mint_good(SCENE_ISSUER, algorithm, key, SCENE_KID, row->changes);
    char *claims = mint_claims(SCENE_ISSUER, row->changes);
    char *token = mint_token(row->header, claims, algorithm, key);
    free(claims);
    return token;
}

/* '@' stands for the token, '&' for more than limits.header. */
static void add_headers(struct buf *out, const char *headers, const char *token) {
    for (; headers && *headers; headers++) {
        if (*headers == '@') buf_add_text(out, token);
        for (int i = 0; *headers == '&' && i < 5000; i++) buf_add_char(out, 'a');
        if (*headers != '@' && *headers != '&') buf_add_char(out, *headers);
    }
}

static int connect_from(const char *from, int port) {
    struct sockaddr_in own = {.sin_family = AF_INET}, address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, from, &own.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    address.sin_port = htons((uint16_t)port);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* The status of the answer and its description; the request asks for the end of the connection. */
static int exchange(const struct house *house, const struct row *row, const char *token,
                    char **ret_description) {
    struct buf request = buf_make(ANSWER_MAX), answer = buf_make(ANSWER_MAX);
    char chunk[4096];
    ssize_t n;

    buf_addf(&request, "%s HTTP/1.1\r\n%s", row->line,
             row->host ? row->host : "Host: api.example\r\n");
    if (!row->without) buf_addf(&request, "Authorization: Bearer %s\r\n", token);
    add_headers(&request, row->headers, token);
    buf_add_text(&request, "Connection: close\r\n\r\n");
    int fd = connect_from(row->way == WAY_STRANGER ? "127.0.0.2" : "127.0.0.1",
                          row->way == WAY_ADMIN ? house->admin : house->scene.daemon->port);
    ck_assert_int_eq(send(fd, request.data, request.len, MSG_NOSIGNAL), (ssize_t)request.len);
    struct pollfd poller = {fd, POLLIN, 0};
    while (poll(&poller, 1, ANSWER_MS) > 0 && (n = recv(fd, chunk, sizeof chunk, 0)) > 0)
        buf_add(&answer, (struct span){chunk, (size_t)n});
    close(fd);
    ck_assert_msg(answer.len && strncmp(answer.data, "HTTP/1.1 ", 9) == 0, "%s: %s", row->line,
                  answer.len ? answer.data : "no answer");
    const char *body = strstr(answer.data, "\r\n\r\n");
    json_t *problem = body ? json_loads(body + 4, 0, NULL) : NULL;
    ck_assert_msg(problem, "%s: %s", row->line, answer.data);
    *ret_description =
        strdup(json_string_value(json_object_get(problem, "error_description")) ?: "");
    int status = atoi(answer.data + strlen("HTTP/1.1 "));
    json_decref(problem);
    buf_done(&request);
    buf_done(&answer);
    return status;
}

/* --- what else tells it ----------------------------------------------------------------------- */

/* What the metrics count of the reason; -1 where they do not name it. */
static long counted(const struct house *house, const char *name) {
    struct response response;
    char *line = scratch_text("\nbearerd_refusals_total{reason=\"%s\"} ", name);
    ck_assert_int_eq(http_get(house->admin, "/metrics", NULL, &response), 200);
    const char *at = strstr(response.body, line);
    long value = at ? atol(at + strlen(line)) : -1;
    client_response_done(&response);
    free(line);
    return value;
}

/* The last line of a refused request in the log, of which there are that many. NULL: there are not
 * yet. */
static json_t *last_refused(const struct house *house, int wanted) {
    char *log = process_errors(house->scene.daemon->process);
    json_t *last = NULL;
    int count = 0;
    char *rest = log;
    for (char *line; (line = strsep(&rest, "\n"));) {
        json_t *object = json_loads(line, 0, NULL);
        if (object && json_string_length(json_object_get(object, "reason"))) {
            count++;
            json_decref(last);
            last = json_incref(object);
        }
        json_decref(object);
    }
    free(log);
    if (count == wanted) return last;
    json_decref(last);
    return NULL;
}

static int count_refused(const struct house *house) {
    return process_count_errors(house->scene.daemon->process, "\"reason\":");
}

static json_t *await_refused(const struct house *house, int wanted) {
    long until = process_now_ms() + ANSWER_MS;
    for (;;) {
        json_t *line = last_refused(house, wanted);
        if (line) return line;
        ck_assert_int_lt(process_now_ms(), until);
        process_sleep_ms(5);
    }
}

/* `bearerd explain` with these arguments: what it prints. */
static json_t *explain(const char *const arguments[], struct span input) {
    char *program = daemon_program();
    const char *argv[12] = {program, "explain", "--json"};
    for (size_t i = 0; arguments[i]; i++) argv[i + 3] = arguments[i];
    struct process *process = process_start_with_input(argv, NULL, input);
    int code = process_wait_exit(process, ANSWER_MS);
    char *output = process_output(process), *errors = process_errors(process);
    json_t *report = json_loads(output, 0, NULL);
    ck_assert_msg(code >= 0 && report, "%d: %s%s", code, output, errors);
    free(errors);
    free(output);
    free(program);
    process_free(process);
    return report;
}

static const char *member(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* The words but for the moment that they may tell. */
static bool same_words(const char *a, const char *b) {
    const char *now = strstr(a, "current time ");
    size_t len = now ? (size_t)(now - a) : strlen(a) + 1;
    return strncmp(a, b, len) == 0;
}

static void check_explained(const struct house *house, const struct row *row, enum reason reason,
                            const char *token, const char *description) {
    char *line = strdup(row->line);
    char *path = strchr(line, ' ');
    *path++ = '\0';
    const char *const arguments[] = {"-c", house->config, "--method", line, "--url", path, NULL};
    json_t *report = explain(arguments, span_of(token));
    char *dump = json_dumps(report, 0);
    ck_assert_msg(strcmp(member(report, "reason"), reason_name(reason)) == 0, "%s: %s",
                  reason_name(reason), dump);
    ck_assert_msg(same_words(member(report, "description"), description), "%s: %s",
                  reason_name(reason), dump);
    ck_assert_int_eq(json_integer_value(json_object_get(report, "status")), problem_status(reason));
    free(dump);
    json_decref(report);
    free(line);
}

static void check_defined(enum reason reason) {
    const char *const arguments[] = {"--reason", reason_name(reason), NULL};
    json_t *report = explain(arguments, span_of(""));
    ck_assert_str_eq(member(report, "reason"), reason_name(reason));
    ck_assert_int_eq(json_integer_value(json_object_get(report, "status")), problem_status(reason));
    ck_assert_msg(*member(report, "meaning") && *member(report, "advice"), "%s",
                  reason_name(reason));
    json_decref(report);
}

/* A target that is asked for its health is up until the first answer. */
static void prepare(const struct house *house, enum reason reason) {
    if (reason != REASON_UPSTREAM_DOWN) return;
    ck_assert(
        process_wait_errors(house->scene.daemon->process, "\"upstream\":\"down\"", ANSWER_MS));
}

static void check_row(const struct house *house, enum reason reason) {
    const struct row *row = &rows[reason];
    const char *name = reason_name(reason);
    char *token = token_of(row), *description;

    prepare(house, reason);
    int logged = count_refused(house);
    long before = counted(house, name);
    int status = exchange(house, row, token, &description);
    ck_assert_msg(status == (int)problem_status(reason), "%s: %d: %s", name, status, description);
    ck_assert_msg(*description, "%s is not described", name);

    json_t *line = await_refused(house, logged + 1);
    char *dump = json_dumps(line, 0);
    ck_assert_msg(strcmp(member(line, "reason"), name) == 0, "%s: %s", name, dump);
    ck_assert_int_eq(json_integer_value(json_object_get(line, "status")), status);
    ck_assert_msg(row->discreet ? *member(line, "why") && !strstr(description, "127.0.0.1")
                                : strcmp(member(line, "why"), description) == 0,
                  "%s: '%s' is not %s", name, description, dump);

    ck_assert_msg(before >= 0 && counted(house, name) == before + 1,
                  "%s is counted wrong: %ld, %ld", name, before, counted(house, name));
    if (row->asked) check_explained(house, row, reason, token, description);
    check_defined(reason);
    free(dump);
    json_decref(line);
    free(description);
    free(token);
}

TEST_WITHIN(every_reason_is_met_and_has_one_name_everywhere, 120) {
    struct house house = house_open();
    for (enum reason reason = 0; reason < REASON_COUNT; reason++) {
        if (rows[reason].line)
            check_row(&house, reason);
        else
            check_defined(reason);
    }
    house_close(&house);
}

/* The tables of tests are as complete as that of the code, which alone has the names. */
TEST(no_reason_is_left_out_but_for_a_reason) {
    int left_out = 0;
    for (enum reason reason = 0; reason < REASON_COUNT; reason++) {
        ck_assert_msg(!rows[reason].line == (rows[reason].left_out != NULL), "%s has no row",
                      reason_name(reason));
        left_out += !rows[reason].line;
        for (enum reason other = 0; other < reason; other++)
            ck_assert_str_ne(reason_name(reason), reason_name(other));
    }
    ck_assert_int_eq(left_out, 1);
}
