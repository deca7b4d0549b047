/*
 * What stands in the log: never a token, a signature or a query; always one line for one event,
 * whatever strangers send; and never the reason why service stops.
 */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/utf8.h"
#include "tests/support/journal.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 4 : 1)
#define SECRET "sEcReTqUeRy"

static const struct scene_options json = {.log = "{format: json, level: debug, access: true}"};
static const struct scene_options text = {.log = "{format: text, level: debug, access: true}"};

/* Send it and wait for what comes. */
static void talk(const struct scene *scene, const char *request) {
    bool closed;
    free(scene_talk(scene, span_of(request), 5000, 20, &closed));
}

/* One token in each place where a client may put it, good places and bad. */
static void carry(const struct scene *scene, const char *token) {
    static const char *const shapes[] = {
        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @\r\n\r\n",
        "GET /profile/ HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @ x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: @\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic @\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @\r\nAuthorization: Bearer @\r\n\r\n",
        "GET /?access_token=@&x=" SECRET " HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /profile/?" SECRET "#@ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a/../../b?" SECRET "@ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /nothing?" SECRET "@ HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /?" SECRET "@ HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n@@@",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n@\r\n0\r\n@: "
        "@\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nCookie: token=@\r\nX-Token: @\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization : Bearer @\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer\r\n @\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: @\r\nHost: @\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: @\r\n\r\n",
        "GET / HTTP/1.1\r\n@\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1 @\r\nHost: h\r\n\r\n",
        "GET /?" SECRET " @ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http://h/?" SECRET "@ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET ?" SECRET "@ HTTP/1.1\r\nHost: h\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        struct buf request = buf_make(1 << 20);
        for (const char *at = shapes[i]; *at; at++) {
            if (*at == '@')
                buf_add_text(&request, token);
            else
                buf_add_char(&request, *at);
        }
        talk(scene, request.data);
        buf_done(&request);
    }
}

static char *oversized(void) {
    char *pad = calloc(1, 20001);
    memset(pad, 'p', 20000);
    char *changes = scratch_text("{\"pad\":\"%s\"}", pad);
    char *token = scene_token(changes);
    free(changes);
    free(pad);
    return token;
}

/* No part of the token that proves or says anything: its payload and its signature. */
static void check_absent(const char *log, const char *token, int row) {
    char *copy = strdup(token);
    strtok(copy, ".");
    for (char *part; (part = strtok(NULL, "."));) {
        char piece[33];
        /* Also in part: it might have been cut short, but that would be in front or behind. */
        snprintf(piece, sizeof piece, "%s", part);
        ck_assert_msg(!strstr(log, piece), "token %d: %s is in the log", row, piece);
        size_t len = strlen(part);
        if (len < 32) continue;
        ck_assert_msg(!strstr(log, part + len - 32), "token %d: its end is in the log", row);
    }
    free(copy);
}

TEST_WITHIN(no_token_signature_or_query_is_ever_in_the_log, 60) {
    const struct scene_options *const formats[] = {&json, &text};
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        struct scene scene = scene_start(formats[f]);
        char *tokens[] = {
            strdup(scene.token),
            scene_token("{\"exp\":1}"),
            scene_token("{\"aud\":\"other\"}"),
            scene_token("{\"scope\":\"\"}"),
            scene_token("{\"iss\":\"https://evil.example\"}"),
            mint_good(SCENE_ISSUER, "ES256", mint_key(MINT_P256_OTHER), "k1", NULL),
            mint_good(SCENE_ISSUER, "ES256", mint_key(MINT_P256_OTHER), "strange", NULL),
            scratch_text("%sAAAA", scene.token),
            scratch_text("%s.%s", scene.token, scene.token),
            oversized(),
        };
        for (size_t i = 0; i < ARRAY_LEN(tokens); i++) carry(&scene, tokens[i]);
        process_sleep_ms(100); /* the last lines are on their way */
        char *log = process_errors(scene.daemon->process);
        ck_assert_ptr_nonnull(strstr(log, "token_expired"));
        ck_assert_ptr_nonnull(strstr(log, "alice@example.com"));
        ck_assert_ptr_null(strstr(log, SECRET));
        ck_assert_ptr_null(strstr(log, "Bearer e"));
        for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
            check_absent(log, tokens[i], (int)i);
            free(tokens[i]);
        }
        free(log);
        scene_end(&scene);
    }
}

/* --- one event, one line --------------------------------------------------------------------- */

/* What strangers may write into a line: the path, the method, the kid and claims of good tokens. */
static void send_hostile(const struct scene *scene) {
    static const char *const requests[] = {
        "GET /a%0anotice:%20forged HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a%0d%0a{\"level\":\"forged\"} HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /%1b[31m%00 HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /\x1b[31m\x01\x7f HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /\xff\xfe\xc3\x28\xe2\x80\xa8 HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /\"},{\"forged\":\" HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /\\ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a b=\"c\" level=forged HTTP/1.1\r\nHost: h\r\n\r\n",
        "\"{}\\\" / HTTP/1.1\r\nHost: h\r\n\r\n",
        "A\x1b\x01 / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /%s%n%d HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /\xe2\x80\xa8notice:forged\xe2\x80\xa9\xe2\x80\xae\xc2\x85\xc2\x9b[m "
        "HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /%e2%80%a8%e2%80%ae%c2%9b31m%ff HTTP/1.1\r\nHost: h\r\n\r\n",
    };
    static const char *const kids[] = {"../../../../dev/null",
                                       "' OR 1=1 --",
                                       "a\\r\\nnotice: forged",
                                       "k1\\u0001\\u001b[31m",
                                       "\\u2028\\u2029\\u202e\\u2066\\u009b31m\\u0085",
                                       "\\\"},{\\\"forged\\\":\\\""};
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) talk(scene, requests[i]);
    for (size_t i = 0; i < ARRAY_LEN(kids); i++) {
        char *header = scratch_text("{\"alg\":\"ES256\",\"kid\":\"%s\"}", kids[i]);
        char *changes = scratch_text("{\"email\":\"%s\"}", kids[i]);
        char *claims = mint_claims(SCENE_ISSUER, changes);
        char *strange = mint_token(header, claims, "ES256", mint_key(MINT_P256));
        char *good = scene_token(changes);
        daemon_get(scene->daemon, "/", strange, NULL);
        ck_assert_int_eq(daemon_get(scene->daemon, "/", good, NULL), 200);
        free(good), free(strange), free(claims), free(changes), free(header);
    }
    process_sleep_ms(100);
}

/* Well-formed, with nothing in it that ends a line for anybody or steers a terminal. */
static bool is_plain(const char *line) {
    uint32_t character;
    size_t width;
    for (struct span rest = span_of(line); rest.len; rest = span_from(rest, width)) {
        width = utf8_decode(rest, &character);
        if (width == 0 || utf8_is_steering(character)) return false;
    }
    return true;
}

TEST(hostile_text_stays_in_its_line_of_json) {
    struct scene scene = scene_start(&json);
    send_hostile(&scene);
    char *log = process_errors(scene.daemon->process);
    size_t lines = 0;
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        json_error_t error;
        json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        ck_assert_msg(event != NULL, "%s: %s", error.text, line);
        const char *level = json_string_value(json_object_get(event, "level"));
        ck_assert_msg(level && strcmp(level, "forged") != 0, "%s", line);
        ck_assert(json_is_string(json_object_get(event, "time")));
        ck_assert(json_is_string(json_object_get(event, "message")));
        ck_assert_ptr_null(json_object_get(event, "forged"));
        ck_assert_msg(is_plain(line), "%s", line);
        json_decref(event);
    }
    ck_assert_uint_gt(lines, 20);
    free(log);
    scene_end(&scene);
}

/* Take "..." with its escapes out of the line, in place. */
static void drop_quoted(char *line) {
    char *to = line;
    bool quoted = false;
    for (const char *at = line; *at; at++) {
        if (quoted && *at == '\\')
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (!quoted)
            *to++ = *at;
    }
    strcpy(to, quoted ? "\"" : "");
}

TEST(hostile_text_stays_in_its_line_of_text) {
    struct scene scene = scene_start(&text);
    send_hostile(&scene);
    char *log = process_errors(scene.daemon->process);
    size_t lines = 0;
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        char level[16] = "";
        ck_assert_msg(sscanf(line, "%*4d-%*2d-%*2dT%*2d:%*2d:%*2dZ %15[a-z]: ", level) == 1, "%s",
                      line);
        ck_assert_msg(is_plain(line), "%s", line);
        drop_quoted(line);
        ck_assert_msg(!strstr(line, "level=") && !strchr(line, '"'), "%s", line);
    }
    ck_assert_uint_gt(lines, 20);
    free(log);
    scene_end(&scene);
}

TEST(an_access_line_says_who_asked_for_what_and_why_not) {
    struct scene scene = scene_start(&json);
    daemon_get(scene.daemon, "/profile/?" SECRET, scene.token, NULL);
    daemon_get(scene.daemon, "/profile/", "a.b.c", NULL);
    process_sleep_ms(100);
    char *log = process_errors(scene.daemon->process);
    static const char *const expected[] = {
        "\"message\":\"answered\",\"client\":\"127.0.0.1\",\"method\":\"GET\","
        "\"path\":\"/profile/\",\"host\":\"127.0.0.1:",
        "\"route\":\"/profile/\",\"status\":200,\"user\":\"alice@example.com\","
        "\"request_id\":\"",
        "\"message\":\"refused\",\"client\":\"127.0.0.1\",\"method\":\"GET\","
        "\"path\":\"/profile/\",\"host\":\"127.0.0.1:",
        "\"route\":\"/profile/\",\"status\":401,\"reason\":\"token_malformed\",\"why\":\"the ",
    };
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        ck_assert_msg(strstr(log, expected[i]), "no %s in %s", expected[i], log);
    free(log);
    scene_end(&scene);
}

/* A value of each kind that is as long as it may be, and hostile all through. */
TEST(the_longest_hostile_values_leave_a_whole_line_of_at_most_a_page) {
    struct scene scene = scene_start(&json);
    char path[6001], email[3001];
    for (size_t i = 0; i < sizeof path - 1; i++) path[i] = "%1b"[i % 3];
    for (size_t i = 0; i < sizeof email - 1; i++) email[i] = "\\u0001"[i % 6];
    path[sizeof path - 1] = email[sizeof email - 1] = '\0';
    char *changes = scratch_text("{\"email\":\"%s\"}", email), *token = scene_token(changes);
    char *request = scratch_text("GET /%s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
                                 path, token);
    talk(&scene, request);
    ck_assert_int_eq(daemon_get(scene.daemon, "/", token, NULL), 200);
    ck_assert(
        process_wait_errors(scene.daemon->process, "\"status\":200,\"user\":\"\\u0001", 5000));
    char *log = process_errors(scene.daemon->process);
    size_t answered = 0;
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *event = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        ck_assert_msg(event && is_plain(line), "%s", line);
        ck_assert_uint_le(strlen(line), 4095);
        answered += json_object_get(event, "took_ms") != NULL;
        json_decref(event);
    }
    ck_assert_uint_ge(answered, 2);
    free(log), free(request), free(token), free(changes);
    scene_end(&scene);
}

/* --- what changes with a reload -------------------------------------------------------------- */

/* The daemon takes another configuration of its log, whatever it says about that. */
static void relog(const struct scene *scene, const char *log, const char *told) {
    int before = process_count_errors(scene->daemon->process, told);
    scene_configure(scene, &(struct scene_options){.log = log});
    process_signal(scene->daemon->process, SIGHUP);
    for (long until = process_now_ms() + 5000 * SLOW;
         process_count_errors(scene->daemon->process, told) == before; process_sleep_ms(5))
        ck_assert_msg(process_now_ms() < until, "not reloaded: %s", log);
}

/* What is logged for one more request. */
static char *log_of_request(const struct scene *scene, const char *path) {
    char *before = process_errors(scene->daemon->process);
    daemon_get(scene->daemon, path, scene->token, NULL);
    process_sleep_ms(100); /* for lines that must not come */
    char *after = process_errors(scene->daemon->process);
    char *added = strdup(after + strlen(before));
    free(before);
    free(after);
    return added;
}

static void check_log_of_request(const struct scene *scene, const char *path, const char *line,
                                 const char *absent) {
    char *added = log_of_request(scene, path);
    if (line)
        ck_assert_msg(strstr(added, line) != NULL, "no %s in %s", line, added);
    else
        ck_assert_str_eq(added, "");
    ck_assert_msg(!absent || !strstr(added, absent), "%s in %s", absent, added);
    free(added);
}

TEST(format_level_and_access_lines_change_with_a_reload) {
    struct scene scene = scene_start(&text);
    check_log_of_request(&scene, "/profile/?1", " info: answered ", "{\"time\"");
    relog(&scene, "{format: json, level: info, access: true}", "\"message\":\"reloaded\"}");
    check_log_of_request(&scene, "/profile/?2", "\"level\":\"info\",\"message\":\"answered\"",
                         " info: ");
    relog(&scene, "{format: json, level: info, access: false}", "\"message\":\"reloaded\"}");
    check_log_of_request(&scene, "/profile/?3", NULL, NULL);
    relog(&scene, "{format: text, level: notice, access: true}", " notice: reloaded\n");
    check_log_of_request(&scene, "/profile/?4", NULL, NULL);
    relog(&scene, "{format: text, level: debug, access: true}", " notice: reloaded\n");
    check_log_of_request(&scene, "/profile/?5", " info: answered ", NULL);
    /* At warning the reload itself is silent: what is logged of requests tells that it is over. */
    scene_configure(&scene,
                    &(struct scene_options){.log = "{format: text, level: warning, access: true}"});
    process_signal(scene.daemon->process, SIGHUP);
    char *added = NULL;
    for (long until = process_now_ms() + 5000 * SLOW; !added || *added;) {
        ck_assert_int_lt(process_now_ms(), until);
        free(added);
        added = log_of_request(&scene, "/profile/?6");
    }
    free(added);
    relog(&scene, "{format: text, level: info, access: true}", " notice: reloaded\n");
    check_log_of_request(&scene, "/profile/?7", " info: answered ", NULL);
    scene_end(&scene);
}

TEST(a_log_that_is_not_valid_leaves_the_old_one) {
    struct scene scene = scene_start(&text);
    ck_assert(!scene_reload(&scene, &(struct scene_options){.log = "{format: xml}"}));
    ck_assert_int_gt(process_count_errors(scene.daemon->process, "journal"), 0);
    check_log_of_request(&scene, "/profile/?1", " info: answered ", NULL);
    scene_end(&scene);
}

/* --- the journal ----------------------------------------------------------------------------- */

/* The entry that holds text; those before it are dropped. The caller frees it. */
static char *find_entry(int fd, const char *text_of_it) {
    for (long until = process_now_ms() + 5000 * SLOW; process_now_ms() < until;) {
        char *entry = journal_read(fd, 100);
        if (entry && strstr(entry, text_of_it)) return entry;
        free(entry);
    }
    ck_abort_msg("no entry with %s", text_of_it);
}

TEST(the_journal_gets_entries_with_fields_and_standard_error_nothing) {
    int journal = journal_start();
    struct scene scene =
        scene_start(&(struct scene_options){.log = "{format: journal, level: info, access: true}"});
    ck_assert_int_eq(daemon_get(scene.daemon, "/profile/?" SECRET, scene.token, NULL), 200);
    ck_assert_int_eq(daemon_get(scene.daemon, "/profile/", "a.b.c", NULL), 401);
    char *entry = find_entry(journal, "BEARERD_STATUS=401");
    static const char *const expected[] = {
        "MESSAGE=refused client=127.0.0.1 method=GET path=/profile/ ",
        "\nPRIORITY=6\nSYSLOG_IDENTIFIER=bearerd\nBEARERD_EVENT=refused\n",
        "\nBEARERD_REASON=token_malformed\n",
        "\nBEARERD_PATH=/profile/\n",
        "\nBEARERD_TOOK_MS=",
    };
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        ck_assert_msg(strstr(entry, expected[i]), "no %s in %s", expected[i], entry);
    free(entry);
    char *errors = process_errors(scene.daemon->process);
    ck_assert_str_eq(errors, "");
    free(errors);
    close(journal);
    scene_end(&scene);
}

TEST(without_a_journal_the_log_goes_to_standard_error_and_says_so_once) {
    int journal = journal_start();
    journal_stop(journal);
    struct scene scene =
        scene_start(&(struct scene_options){.log = "{format: journal, level: info, access: true}"});
    check_log_of_request(&scene, "/profile/", " info: answered ", NULL);
    struct process *process = scene.daemon->process;
    ck_assert_int_eq(process_count_errors(process, "warning: the journal cannot be reached"), 1);
    ck_assert_int_eq(process_count_errors(process, "notice: listening"), 1);
    scene_end(&scene);
}

/* --- where nobody takes the lines ------------------------------------------------------------ */

/* bearerd with its standard error redirected as the shell says. */
static struct process *start_redirected(const char *redirection, int *ret_port) {
    char *folder = scratch_new(), *program = daemon_program();
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), SCENE_KID, "ES256"));
    char *keys = scratch_file(folder, "keys.json", span_of(jwks));
    *ret_port = process_free_port();
    char *yaml = scene_yaml(*ret_port, keys, &text);
    char *path = scratch_file(folder, "bearerd.yaml", span_of(yaml));
    char *script = scratch_text("exec %s -c %s %s", program, path, redirection);
    struct process *process = process_start((const char *[]){"sh", "-c", script, NULL}, NULL);
    ck_assert_msg(process_wait_port(process, *ret_port, 5000 * SLOW), "%s", redirection);
    free(script), free(path), free(yaml), free(keys), free(jwks), free(program), free(folder);
    return process;
}

static void check_serves_and_ends(struct process *process, int port, int requests) {
    char *token = scene_token(NULL), *good = scratch_text("Bearer %s", token);
    long until = process_now_ms() + 5000;
    while (http_get(port, "/profile/", good, NULL) != 200)
        ck_assert_int_lt(process_now_ms(), until);
    struct client *client = client_connect(port);
    for (int i = 0; i < requests; i++) {
        scene_check(client, SPAN_LITERAL("GET /x HTTP/1.1\r\nHost: h\r\n\r\n"),
                    &(struct expected){.status = 404});
    }
    client_free(client);
    ck_assert_int_eq(http_get(port, "/profile/", good, NULL), 200);
    process_signal(process, SIGHUP);
    ck_assert_int_eq(http_get(port, "/profile/", good, NULL), 200);
    free(good);
    free(token);
}

static void end(struct process *process) {
    process_signal(process, SIGTERM);
    ck_assert_int_eq(process_wait_exit(process, 5000 * SLOW), 0);
    process_free(process);
}

TEST(a_closed_or_full_standard_error_stops_nothing) {
    static const char *const redirections[] = {"2>&-", "2>/dev/full", "<&- >&- 2>&-",
                                               "2>/dev/null"};
    for (size_t i = 0; i < ARRAY_LEN(redirections); i++) {
        int port;
        struct process *process = start_redirected(redirections[i], &port);
        check_serves_and_ends(process, port, 200);
        end(process);
    }
}

TEST(a_pipe_that_nobody_reads_stops_nothing_and_losses_are_counted) {
    int fds[2], port;
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    int passed = fcntl(fds[1], F_DUPFD, 5);
    ck_assert_int_le(passed, 9);
    close(fds[1]);
    char *redirection = scratch_text("2>&%d %d>&-", passed, passed);
    struct process *process = start_redirected(redirection, &port);
    close(passed);
    check_serves_and_ends(process, port, 3000); /* far more lines than a pipe holds */

    /* Somebody reads again: what was lost is told, and the next lines arrive. */
    struct buf log = buf_make(1 << 22);
    char chunk[65536];
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    long until = process_now_ms() + 5000 * SLOW;
    while (!log.data || !strstr(log.data, "log lines were lost")) {
        ck_assert_msg(process_now_ms() < until, "no loss is told: %s", log.data);
        ck_assert_int_eq(http_get(port, "/again", NULL, NULL), 404);
        for (ssize_t n; (n = read(fds[0], chunk, sizeof chunk)) > 0;)
            buf_add(&log, (struct span){chunk, (size_t)n});
        process_sleep_ms(10);
    }
    close(fds[0]); /* and now the reader is gone: no SIGPIPE */
    ck_assert_int_eq(http_get(port, "/again", NULL, NULL), 404);
    end(process);
    buf_done(&log);
    free(redirection);
}
