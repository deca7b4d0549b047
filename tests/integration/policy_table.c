#include "tests/integration/policy_table.h"

#include <jansson.h>
#include <libgen.h>
#include <stdlib.h>
#include <time.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tests/support/daemon.h"
#include "tests/support/issuer.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/support/upstream.h"

#define ANSWER_MS 5000
#define START_MS 15000
#define TEXT_MAX ((size_t)1 << 20)
#define CALLERS_MAX 256
#define ROWS_MAX 1024
#define KID "k1" /* of both issuers: a key is found by the issuer first */

/* Who asks: what the Authorization header says; NULL: there is none. */
struct caller {
    struct span name;
    char *authorization;
};

/* A line of the table, and what came of it. */
struct row {
    unsigned line;
    struct span method;
    struct span host;
    struct span path;
    struct span caller;
    char *expected; /* status, reason and so on, as the table has them, one space between */
    int status;
    char *told; /* of what came: error and all behind it */
    char *came; /* the whole of it, to compare with expected */
};

struct stage {
    const struct policy_table *table;
    struct issuer *issuers[2];
    struct upstream *upstream;
    struct daemon *daemon;
    struct client *client;
    char *text; /* of the table; callers and rows point into it */
    struct caller callers[CALLERS_MAX];
    size_t caller_count;
    struct row rows[ROWS_MAX];
    size_t row_count;
};

/* --- the configuration ----------------------------------------------------------------------- */

/* text, which is freed, with each place where old stands changed. */
static char *change(char *text, const char *old, const char *now, bool must) {
    struct buf out = buf_make(TEXT_MAX);
    const char *at = text, *found;

    ck_assert_msg(!must || strstr(text, old), "the rules lack: %s", old);
    for (; (found = strstr(at, old)); at = found + strlen(old)) {
        buf_add(&out, (struct span){at, (size_t)(found - at)});
        buf_add_text(&out, now);
    }
    buf_add_text(&out, at);
    free(text);
    return out.data;
}

static char *make_rules(const struct stage *stage) {
    const struct policy_table *table = stage->table;
    char *file = scratch_read(table->rules, NULL);
    ck_assert_msg(file != NULL, "no file %s", table->rules);
    char *text = scratch_text("%s%s", table->head, file);
    char *port = scratch_text("%d", stage->daemon->port);

    for (size_t i = 0; table->changes && table->changes[i]; i += 2)
        text = change(text, table->changes[i], table->changes[i + 1], true);
    text = change(text, "@PORT@", port, true);
    text = change(text, "@ISSUER_A@", issuer_url(stage->issuers[0]), true);
    text = change(text, "@ISSUER_B@", issuer_url(stage->issuers[1]), false);
    text = change(text, "@UPSTREAM@", upstream_target(stage->upstream), false);
    free(port);
    free(file);
    return text;
}

static void wait_for_keys(struct process *process, int issuers) {
    for (long until = process_now_ms() + START_MS;
         process_count_errors(process, "\"message\":\"new keys\"") < issuers; process_sleep_ms(5)) {
        if (!process_ended(process) && process_now_ms() < until) continue;
        char *errors = process_errors(process);
        ck_abort_msg("bearerd has no keys: %s", errors);
    }
}

static void start_daemon(struct stage *stage) {
    struct daemon *daemon = stage->daemon = calloc(1, sizeof *daemon);
    ck_assert_ptr_nonnull(daemon);
    daemon->port = process_free_port();
    daemon->folder = scratch_new();
    char *rules = make_rules(stage), *program = daemon_program();
    char *path = scratch_file(daemon->folder, "bearerd.yaml", span_of(rules));

    daemon->process = process_start((const char *const[]){program, "-c", path, NULL}, NULL);
    wait_for_keys(daemon->process, strstr(rules, issuer_url(stage->issuers[1])) ? 2 : 1);
    free(path);
    free(program);
    free(rules);
}

/* --- callers --------------------------------------------------------------------------------- */

static EVP_PKEY *key_of(size_t issuer) {
    return mint_key(issuer == 0 ? MINT_P256 : MINT_P256_OTHER);
}

/* "now", "now-600", "now+5" become times. */
static json_t *time_of(const json_t *value) {
    const char *text = json_string_value(value);
    if (!text || strncmp(text, "now", 3) != 0) return NULL;
    char *end;
    long long seconds = strtoll(text + 3, &end, 10);
    return *end ? NULL : json_integer((json_int_t)time(NULL) + seconds);
}

static char *claims_of(const char *issuer, struct span name, struct span changes) {
    json_int_t now = (json_int_t)time(NULL);
    json_t *claims = json_pack("{s:s, s:s, s:s%, s:I, s:I}", "iss", issuer, "aud", "api", "sub",
                               name.ptr, name.len, "iat", now, "exp", now + 600);
    json_t *object = json_loadb(changes.ptr, changes.len, 0, NULL), *value;
    const char *claim;

    ck_assert_msg(json_is_object(object), "caller %.*s: no JSON object: %.*s", SPAN_PRINTF(name),
                  SPAN_PRINTF(changes));
    json_object_foreach(object, claim, value) {
        json_t *moment = time_of(value);
        if (moment)
            json_object_set_new(claims, claim, moment);
        else if (json_is_string(value) && strcmp(json_string_value(value), "-") == 0)
            json_object_del(claims, claim);
        else
            json_object_set(claims, claim, value);
    }
    char *text = json_dumps(claims, JSON_COMPACT);
    json_decref(object);
    json_decref(claims);
    return text;
}

/* issuer is A, B, or forged: A's name, and the key of another. */
static char *bearer_of(const struct stage *stage, struct span issuer, struct span name,
                       struct span changes) {
    static const char header[] = "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"" KID "\"}";
    bool forged = span_equal_text(issuer, "forged"), b = span_equal_text(issuer, "B");
    ck_assert_msg(forged || b || span_equal_text(issuer, "A"), "caller %.*s: no issuer %.*s",
                  SPAN_PRINTF(name), SPAN_PRINTF(issuer));
    char *claims = claims_of(issuer_url(stage->issuers[b]), name, changes);
    char *token = mint_token(header, claims, "ES256", key_of(b || forged));
    char *authorization = scratch_text("Bearer %s", token);
    free(token);
    free(claims);
    return authorization;
}

static const struct caller *find_caller(const struct stage *stage, struct span name) {
    for (size_t i = 0; i < stage->caller_count; i++)
        if (span_equal(stage->callers[i].name, name)) return &stage->callers[i];
    return NULL;
}

/* --- the table ------------------------------------------------------------------------------- */

static struct span take_word(struct span *rest) {
    struct span word;
    do {
        if (!span_next(rest, ' ', &word)) return SPAN_NONE;
    } while (word.len == 0);
    return word;
}

/* With one space where there are several, quoted ones left alone. */
static char *squeeze(struct span text) {
    char *made = calloc(1, text.len + 1), *to = made;
    bool quoted = false;
    ck_assert_ptr_nonnull(made);
    for (size_t i = 0; i < text.len; i++) {
        quoted ^= text.ptr[i] == '"';
        if (text.ptr[i] == ' ' && !quoted && to > made && to[-1] == ' ') continue;
        *to++ = text.ptr[i];
    }
    return made;
}

static void add_caller(struct stage *stage, struct span word, struct span rest) {
    ck_assert_uint_lt(stage->caller_count, CALLERS_MAX);
    struct caller *caller = &stage->callers[stage->caller_count];
    caller->name = take_word(&rest);
    ck_assert_msg(!find_caller(stage, caller->name), "two callers %.*s", SPAN_PRINTF(caller->name));
    if (span_equal_text(word, "header")) {
        struct span value = span_trim(rest);
        caller->authorization = strndup(value.ptr, value.len);
    } else {
        struct span issuer = take_word(&rest);
        caller->authorization = bearer_of(stage, issuer, caller->name, rest);
    }
    stage->caller_count++;
}

static void add_row(struct stage *stage, unsigned line, struct span method, struct span rest) {
    ck_assert_uint_lt(stage->row_count, ROWS_MAX);
    struct row *row = &stage->rows[stage->row_count++];
    struct span target = take_word(&rest);
    size_t slash = span_find(target, '/');
    *row = (struct row){.line = line,
                        .method = method,
                        .host = span_until(target, slash),
                        .path = span_from(target, slash),
                        .caller = take_word(&rest),
                        .expected = squeeze(span_trim(rest))};
    ck_assert_msg(row->path.len && row->caller.ptr && *row->expected, "line %u is not whole", line);
    ck_assert_msg(span_equal_text(row->caller, "-") || find_caller(stage, row->caller),
                  "line %u: no caller %.*s", line, SPAN_PRINTF(row->caller));
}

static void read_table(struct stage *stage) {
    stage->text = scratch_read(stage->table->requests, NULL);
    ck_assert_msg(stage->text != NULL, "no file %s", stage->table->requests);
    struct span text = span_of(stage->text), rest;

    for (unsigned line = 1; span_next(&text, '\n', &rest); line++) {
        struct span word = take_word(&rest);
        if (word.len == 0 || word.ptr[0] == '#') continue;
        if (span_equal_text(word, "caller") || span_equal_text(word, "header"))
            add_caller(stage, word, rest);
        else
            add_row(stage, line, word, rest);
    }
    ck_assert_uint_ge(stage->row_count, stage->table->least);
}

/* --- asking ---------------------------------------------------------------------------------- */

static char *request_of(const struct stage *stage, const struct row *row) {
    const struct caller *caller = find_caller(stage, row->caller);
    const char *value = caller ? caller->authorization : NULL;
    char *authorization = value ? scratch_text("Authorization: %s\r\n", value) : strdup("");
    char *request;

    if (stage->table->by_asking)
        request = scratch_text("GET /_auth HTTP/1.1\r\nHost: gate\r\nX-Forwarded-Method: %.*s\r\n"
                               "X-Forwarded-Host: %.*s\r\nX-Forwarded-Uri: %.*s\r\n%s\r\n",
                               SPAN_PRINTF(row->method), SPAN_PRINTF(row->host),
                               SPAN_PRINTF(row->path), authorization);
    else
        request =
            scratch_text("%.*s %.*s HTTP/1.1\r\nHost: %.*s\r\n%s\r\n", SPAN_PRINTF(row->method),
                         SPAN_PRINTF(row->path), SPAN_PRINTF(row->host), authorization);
    free(authorization);
    return request;
}

/* name="value" of the challenge, as it stands there; absent where it does not. */
static struct span parameter(struct span challenge, const char *name) {
    char *start = scratch_text(", %s=\"", name);
    const char *found =
        challenge.ptr ? memmem(challenge.ptr, challenge.len, start, strlen(start)) : NULL;
    size_t start_len = strlen(start);
    free(start);
    if (!found) return SPAN_NONE;
    struct span rest = span_from(challenge, (size_t)(found - challenge.ptr) + start_len);
    return span_until(rest, span_find(rest, '"'));
}

static void tell(struct buf *out, const char *name, struct span value) {
    if (value.ptr) buf_addf(out, " %s=\"%.*s\"", name, SPAN_PRINTF(value));
}

/* What the answer tells besides its status, in the order of the table. */
static char *told_by(const struct response *response) {
    static const char *const parameters[] = {"scope", "acr_values", "max_age"};
    struct span challenge = response_header(response, "WWW-Authenticate");
    struct span error = parameter(challenge, "error");
    struct buf out = buf_make(TEXT_MAX);

    buf_add_text(&out, "");
    if (error.ptr) buf_addf(&out, " %.*s", SPAN_PRINTF(error));
    for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
        tell(&out, parameters[i], parameter(challenge, parameters[i]));
    tell(&out, "allow", response_header(response, "Allow"));
    if (response->status == 401 && !challenge.ptr) buf_add_text(&out, " and no challenge");
    return out.data ? out.data : strdup("");
}

static void ask(struct stage *stage, struct row *row) {
    struct response response;
    bool to_head = span_equal_text(row->method, "HEAD") && !stage->table->by_asking;
    char *request = request_of(stage, row);

    if (!stage->client) stage->client = client_connect(stage->daemon->port);
    ck_assert_ptr_nonnull(stage->client);
    (void)client_send(stage->client, span_of(request));
    enum client_result result = to_head ? client_read_to_head(stage->client, ANSWER_MS, &response)
                                        : client_read(stage->client, ANSWER_MS, &response);
    ck_assert_msg(result == CLIENT_OK, "%s:%u: no answer (%d)", stage->table->requests, row->line,
                  result);
    row->status = response.status;
    row->told = told_by(&response);
    if (span_equal_text(response_header(&response, "Connection"), "close")) {
        client_free(stage->client);
        stage->client = NULL;
    }
    client_response_done(&response);
    free(request);
}

/* --- the log --------------------------------------------------------------------------------- */

static const char *text_of(const json_t *entry, const char *name) {
    const char *text = json_string_value(json_object_get(entry, name));
    return text ? text : "";
}

/* One line of the log is one request; a line before it says what is only reported. */
static void join(struct stage *stage, const char *log) {
    struct span rest = span_of(log), line;
    char *reported = strdup("");
    size_t at = 0;

    while (span_next(&rest, '\n', &line)) {
        json_t *entry = json_loadb(line.ptr, line.len, 0, NULL);
        ck_assert_msg(line.len == 0 || entry, "no JSON: %.*s", SPAN_PRINTF(line));
        const json_t *status = json_object_get(entry, "status");
        if (strcmp(text_of(entry, "message"), "would be refused") == 0) {
            free(reported);
            reported = scratch_text(" reported=\"%s\"", text_of(entry, "reason"));
        }
        if (status && json_object_get(entry, "method")) {
            ck_assert_uint_lt(at, stage->row_count);
            struct row *row = &stage->rows[at++];
            const char *reason = text_of(entry, "reason");
            ck_assert_msg(json_integer_value(status) == row->status,
                          "%s:%u: answered with %d: %.*s", stage->table->requests, row->line,
                          row->status, SPAN_PRINTF(line));
            row->came = scratch_text("%d%s%s%s%s", row->status, *reason ? " " : "", reason,
                                     row->told, reported);
            *reported = '\0';
        }
        json_decref(entry);
    }
    free(reported);
    ck_assert_uint_eq(at, stage->row_count);
}

/* Requests that are in the log. */
static int count_logged(const struct process *process) {
    static const char *const messages[] = {"\"refused\"", "\"answered\"", "\"forwarded\"",
                                           "\"failed\""};
    int count = 0;
    for (size_t i = 0; i < ARRAY_LEN(messages); i++)
        count += process_count_errors(process, messages[i]);
    return count;
}

static void read_log(struct stage *stage) {
    struct process *process = stage->daemon->process;
    for (long until = process_now_ms() + ANSWER_MS; count_logged(process) < (int)stage->row_count;
         process_sleep_ms(5))
        ck_assert_msg(process_now_ms() < until, "not every request is in the log");
    char *log = process_errors(process);
    join(stage, log);
    free(log);
}

/* --- the verdict ----------------------------------------------------------------------------- */

static void compare(const struct stage *stage) {
    struct buf out = buf_make(TEXT_MAX);
    char *path = strdup(stage->table->requests);
    size_t wrong = 0;

    for (size_t i = 0; i < stage->row_count; i++) {
        const struct row *row = &stage->rows[i];
        if (strcmp(row->came, row->expected) == 0) continue;
        buf_addf(&out, "\n%s:%u: %.*s %.*s%.*s %.*s: %s, not %s", basename(path), row->line,
                 SPAN_PRINTF(row->method), SPAN_PRINTF(row->host), SPAN_PRINTF(row->path),
                 SPAN_PRINTF(row->caller), row->came, row->expected);
        wrong++;
    }
    ck_assert_msg(wrong == 0, "%zu of %zu%s", wrong, stage->row_count, out.data);
    free(path);
}

static struct issuer *start_issuer(size_t which) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    char *jwks = MINT_JWKS(mint_jwk(key_of(which), KID, "ES256"));
    issuer_serve_keys(issuer, jwks);
    free(jwks);
    return issuer;
}

static void stage_end(struct stage *stage) {
    for (size_t i = 0; i < stage->row_count; i++) {
        free(stage->rows[i].expected);
        free(stage->rows[i].told);
        free(stage->rows[i].came);
    }
    for (size_t i = 0; i < stage->caller_count; i++) free(stage->callers[i].authorization);
    client_free(stage->client);
    daemon_stop(stage->daemon);
    upstream_stop(stage->upstream);
    issuer_stop(stage->issuers[0]);
    issuer_stop(stage->issuers[1]);
    free(stage->text);
    free(stage);
}

void policy_table_check(const struct policy_table *table) {
    struct stage *stage = calloc(1, sizeof *stage);
    ck_assert_ptr_nonnull(stage);
    stage->table = table;
    stage->issuers[0] = start_issuer(0);
    stage->issuers[1] = start_issuer(1);
    stage->upstream = upstream_start(UPSTREAM_PLAIN);
    start_daemon(stage);
    read_table(stage);
    for (size_t i = 0; i < stage->row_count; i++) ask(stage, &stage->rows[i]);
    read_log(stage);
    compare(stage);
    stage_end(stage);
}
