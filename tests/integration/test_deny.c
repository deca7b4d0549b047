/* The deny list: by its file and by the admin listener, on every worker, for cached tokens too. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 4 : 1)
#define ANSWER_MS (5000 * SLOW)
#define WORKERS 4
/* So many, opened at once, are spread over the workers. */
#define CLIENTS 48
#define REVOKED                                                                                    \
    "Bearer realm=\"bearerd\", error=\"invalid_token\", error_description=\"the token was "        \
    "revoked\""

/* --- a daemon with a deny list and an admin listener ------------------------------------------ */

struct house {
    struct scene scene; /* its daemon has four workers */
    int admin;          /* port */
    char *deny;         /* path of the list */
    const char *more;   /* further lines of the configuration */
};

static char *yaml_of(const struct house *house) {
    char *rest = scratch_text("admin: {address: \"127.0.0.1:%d\"}\ndeny_list: \"%s\"\n%s",
                              house->admin, house->deny, house->more);
    char *two = scene_yaml(house->scene.daemon->port, house->scene.keys,
                           &(struct scene_options){.rest = rest});
    char *at = strstr(two, "workers: 2");
    ck_assert_ptr_nonnull(at);
    at[strlen("workers: ")] = '0' + WORKERS;
    free(rest);
    return two;
}

static struct process *run(const struct house *house, const char *command) {
    char *program = daemon_program(), *yaml = yaml_of(house);
    char *path = scratch_file(house->scene.daemon->folder, "bearerd.yaml", span_of(yaml));
    const char *argv[] = {program, command, "-c", path, NULL};
    struct process *process = process_start(argv, NULL);
    free(path), free(yaml), free(program);
    return process;
}

static void start(struct house *house) {
    struct daemon *daemon = house->scene.daemon;
    daemon->process = run(house, "run");
    ck_assert(process_wait_port(daemon->process, daemon->port, 10000 * SLOW));
    ck_assert(process_wait_errors(daemon->process, "notice: ready", 10000 * SLOW));
}

static struct house house_open_with(const char *list, const char *more) {
    struct house house = {.scene = {.daemon = calloc(1, sizeof *house.scene.daemon),
                                    .token = scene_token("{\"jti\":\"j1\"}")},
                          .admin = process_free_port(),
                          .more = more};
    struct daemon *daemon = house.scene.daemon;
    daemon->port = process_free_port();
    daemon->folder = scratch_new();
    house.deny = scratch_text("%s/deny", daemon->folder);
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), SCENE_KID, "ES256"),
                           mint_jwk(mint_key(MINT_P256_OTHER), "k2", "ES256"));
    house.scene.keys = scratch_file(daemon->folder, "keys.json", span_of(jwks));
    free(jwks);
    if (list) free(scratch_file(daemon->folder, "deny", span_of(list)));
    start(&house);
    return house;
}

static struct house house_open(const char *list) {
    return house_open_with(list, "");
}

static void house_close(struct house *house) {
    scene_end(&house->scene);
    free(house->deny);
}

/* --- asking ----------------------------------------------------------------------------------- */

static int status_of(const struct house *house, const char *token) {
    return daemon_get(house->scene.daemon, "/profile/", token, NULL);
}

static void expect(const struct house *house, const char *token, int status) {
    ck_assert_int_eq(status_of(house, token), status);
}

static void await(const struct house *house, const char *token, int status) {
    ck_assert_msg(daemon_wait_status(house->scene.daemon, "/profile/", token, status, ANSWER_MS),
                  "never %d", status);
}

/* Connections that have been used with the token, so that each worker's cache knows it. */
struct crowd {
    struct client *clients[CLIENTS];
    char *request;
};

static void crowd_expect(struct crowd *crowd, int status) {
    for (int i = 0; i < CLIENTS; i++)
        scene_check(crowd->clients[i], span_of(crowd->request),
                    &(struct expected){status, status == 401 ? REVOKED : NULL, NULL, false});
}

static struct crowd crowd_open(const struct house *house, const char *token) {
    struct crowd crowd = {.request = NULL};
    char *headers = scratch_text("Authorization: Bearer %s\r\n", token);
    crowd.request = scene_get("/profile/", headers);
    for (int i = 0; i < CLIENTS; i++) {
        crowd.clients[i] = client_connect(house->scene.daemon->port);
        ck_assert_ptr_nonnull(crowd.clients[i]);
    }
    crowd_expect(&crowd, 200);
    crowd_expect(&crowd, 200);
    free(headers);
    return crowd;
}

static void crowd_close(struct crowd *crowd) {
    for (int i = 0; i < CLIENTS; i++) client_free(crowd->clients[i]);
    free(crowd->request);
}

/* A request to the admin listener, which must be answered so. body: NULL: any. */
static void ask(struct client *client, const char *method, const char *target, const char *headers,
                int status, const char *body) {
    struct response response;
    ck_assert(client_sendf(client, "%s %s HTTP/1.1\r\n%s\r\n", method, target, headers));
    ck_assert_int_eq(client_read(client, ANSWER_MS, &response), CLIENT_OK);
    ck_assert_msg(response.status == status, "%s %s: %d %s", method, target, response.status,
                  response.body);
    if (body) ck_assert_str_eq(response.body, body);
    client_response_done(&response);
}

static void admin(const struct house *house, const char *method, const char *target, int status,
                  const char *body) {
    struct client *client = client_connect(house->admin);
    ck_assert_ptr_nonnull(client);
    ask(client, method, target, "Host: localhost\r\n", status, body);
    client_free(client);
}

static void write_in_place(const struct house *house, const char *text) {
    free(scratch_file(house->scene.daemon->folder, "deny", span_of(text)));
}

static void rename_over(const struct house *house, const char *text) {
    char *fresh = scratch_file(house->scene.daemon->folder, "fresh", span_of(text));
    ck_assert_int_eq(rename(fresh, house->deny), 0);
    free(fresh);
}

static bool wait_told(const struct house *house, const char *text) {
    return process_wait_errors(house->scene.daemon->process, text, ANSWER_MS);
}

/* --- by the admin listener ------------------------------------------------------------------- */

TEST(what_the_admin_listener_denies_is_refused_at_the_next_request_of_each_connection) {
    static const char *const members[] = {"sub=alice", "jti=j1", "kid=" SCENE_KID,
                                          "sub=alice&issuer=https%3A%2F%2Fidp.example"};
    struct house house = house_open(NULL);
    struct crowd crowd = crowd_open(&house, house.scene.token);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        char *target = scratch_text("/api/deny?%s", members[i]);
        admin(&house, "POST", target, 200, NULL);
        crowd_expect(&crowd, 401);
        crowd_expect(&crowd, 401);
        admin(&house, "DELETE", target, 200, "{\"removed\": 1}");
        crowd_expect(&crowd, 200);
        crowd_expect(&crowd, 200);
        free(target);
    }
    crowd_close(&crowd);
    house_close(&house);
}

TEST(what_is_denied_by_the_admin_listener_is_in_the_file_and_outlives_a_restart) {
    struct house house = house_open("# ours\n");
    admin(&house, "POST", "/api/deny?sub=alice&note=left+on+Friday", 200,
          "{\"sub\": \"alice\", \"note\": \"left on Friday\"}");
    admin(&house, "POST", "/api/deny?sub=alice", 200, "{\"sub\": \"alice\"}");
    admin(&house, "POST", "/api/deny?jti=x%2By", 200, "{\"jti\": \"x+y\"}");
    expect(&house, house.scene.token, 401);
    char *text = scratch_read(house.deny, NULL);
    ck_assert_str_eq(text, "# ours\n{\"sub\": \"alice\", \"note\": \"left on Friday\"}\n"
                           "{\"jti\": \"x+y\"}\n");
    free(text);

    struct daemon *daemon = house.scene.daemon;
    process_signal(daemon->process, SIGTERM);
    ck_assert_int_eq(process_wait_exit(daemon->process, 15000), 0);
    process_free(daemon->process);
    start(&house);
    expect(&house, house.scene.token, 401);
    admin(&house, "GET", "/api/deny", 200,
          "{\"entries\": [{\"sub\": \"alice\", \"note\": \"left on Friday\"}, {\"jti\": \"x+y\"}], "
          "\"omitted\": 0}");
    admin(&house, "DELETE", "/api/deny?sub=alice", 200, "{\"removed\": 1}");
    admin(&house, "DELETE", "/api/deny?sub=alice", 404, NULL);
    expect(&house, house.scene.token, 200);
    house_close(&house);
}

TEST(one_admin_connection_does_one_thing_after_the_other) {
    struct house house = house_open(NULL);
    struct client *client = client_connect(house.admin);
    const char *host = "Host: 127.0.0.1\r\n";
    for (int i = 0; i < 20; i++) {
        ask(client, "POST", "/api/deny?sub=alice", host, 200, "{\"sub\": \"alice\"}");
        ask(client, "GET", "/api/deny?sub=alice", host, 200,
            "{\"entries\": [{\"sub\": \"alice\"}], \"omitted\": 0}");
        ask(client, "DELETE", "/api/deny?sub=alice", host, 200, "{\"removed\": 1}");
        ask(client, "GET", "/api/deny", host, 200, "{\"entries\": [], \"omitted\": 0}");
    }
    client_free(client);
    house_close(&house);
}

/* Pipelined, from many connections, some of which leave at once. Who was told so is on the list. */
TEST(many_changes_at_once_are_all_made_or_refused) {
    enum { MANY = 100 };
    struct house house = house_open(NULL);
    struct client *clients[MANY];
    int made = 0;
    for (int i = 0; i < MANY; i++) {
        clients[i] = client_connect(house.admin);
        ck_assert_ptr_nonnull(clients[i]);
    }
    for (int i = 0; i < MANY; i++)
        ck_assert(client_sendf(clients[i],
                               "POST /api/deny?sub=u%d HTTP/1.1\r\nHost: localhost\r\n\r\n", i));
    for (int i = 0; i < MANY; i += 10) client_reset(clients[i]);
    for (int i = 0; i < MANY; i++) {
        struct response response;
        char *target = scratch_text("/api/deny?sub=u%d", i);
        char *listing = scratch_text("{\"entries\": [{\"sub\": \"u%d\"}], \"omitted\": 0}", i);
        if (i % 10) {
            ck_assert_int_eq(client_read(clients[i], ANSWER_MS, &response), CLIENT_OK);
            ck_assert(response.status == 200 || response.status == 503);
            if (response.status == 200) admin(&house, "GET", target, 200, listing);
            made += response.status == 200;
            client_response_done(&response);
        }
        client_free(clients[i]);
        free(listing);
        free(target);
    }
    ck_assert_int_ge(made, 50);
    expect(&house, house.scene.token, 200);
    house_close(&house);
}

/* Each connection has more to ask than can be done before the stop. */
static void flood(struct client *clients[], int count) {
    for (int i = 0; i < count; i++)
        for (int j = 0; j < 20; j++)
            (void)client_sendf(
                clients[i], "POST /api/deny?sub=u%d.%d HTTP/1.1\r\nHost: localhost\r\n\r\n", i, j);
}

/* libmicrohttpd ends the program where a connection is suspended when it is stopped. */
TEST_WITHIN(a_stop_in_the_middle_of_changes_ends_well, 60) {
    static const char *const drain[] = {"limits: {drain_timeout: 0}\n", ""};
    enum { MANY = 30 };
    for (int round = 0; round < 6; round++) {
        struct house house = house_open_with(NULL, drain[round % 2]);
        struct process *process = house.scene.daemon->process;
        struct client *clients[MANY];
        struct response response;
        for (int i = 0; i < MANY; i++) clients[i] = client_connect(house.admin);
        flood(clients, MANY);
        ck_assert_int_eq(client_read(clients[0], ANSWER_MS, &response), CLIENT_OK);
        client_response_done(&response);
        process_signal(process, SIGTERM);
        if (round % 2) { /* and once more, in a hurry */
            ck_assert(process_wait_errors(process, "notice: stopping", ANSWER_MS));
            process_signal(process, SIGTERM);
        }
        int code = process_wait_exit(process, 15000);
        char *errors = process_errors(process);
        ck_assert_msg(code == 0, "round %d: %d: %s", round, code, errors);
        for (int i = 0; i < MANY; i++) client_free(clients[i]);
        free(errors);
        process_free(process);
        start(&house);
        house_close(&house);
    }
}

TEST(what_cannot_be_written_is_refused_and_not_in_force) {
    struct house house = house_open(NULL);
    char *beside = scratch_text("%s.new", house.deny);
    ck_assert_int_eq(mkdir(beside, 0700), 0);
    admin(&house, "POST", "/api/deny?sub=alice", 503, NULL);
    expect(&house, house.scene.token, 200);
    ck_assert(wait_told(&house, "deny list not changed why=\"cannot create"));
    ck_assert_int_eq(rmdir(beside), 0);
    admin(&house, "POST", "/api/deny?sub=alice", 200, NULL);
    expect(&house, house.scene.token, 401);
    free(beside);
    house_close(&house);
}

/* --- whom the admin listener listens to ------------------------------------------------------- */

TEST(web_pages_change_nothing_on_the_admin_listener_and_read_nothing) {
    static const struct {
        const char *method, *headers;
        int status;
    } rows[] = {
        {"POST", "Host: localhost\r\n", 200},
        {"DELETE", "Host: 127.0.0.1:1\r\n", 200},
        {"POST", "Host: evil.example\r\n", 403},
        {"DELETE", "Host: evil.example\r\n", 403},
        {"GET", "Host: evil.example\r\n", 403},
        {"GET", "Host: localhost\r\nOrigin: http://evil.example\r\n", 200},
        {"POST", "Host: localhost\r\nOrigin: http://evil.example\r\n", 403},
        {"POST", "Host: localhost\r\nOrigin: null\r\n", 403},
        {"POST", "Host: localhost\r\nOrigin: http://localhost\r\nSec-Fetch-Site: same-site\r\n",
         403},
        {"DELETE", "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", 403},
        {"OPTIONS",
         "Host: localhost\r\nOrigin: http://evil.example\r\n"
         "Access-Control-Request-Method: DELETE\r\n",
         403},
        {"POST", "Host: localhost\r\nOrigin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n",
         200},
        {"PUT", "Host: localhost\r\n", 405},
    };
    struct house house = house_open(NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client *client = client_connect(house.admin);
        ask(client, rows[i].method, "/api/deny?sub=a", rows[i].headers, rows[i].status, NULL);
        client_free(client);
    }
    /* The keys are public, whoever asks. */
    struct client *client = client_connect(house.admin);
    ask(client, "GET", "/.well-known/jwks.json", "Host: evil.example\r\n", 404, NULL);
    client_free(client);
    house_close(&house);
}

TEST(a_change_in_a_body_is_refused) {
    struct house house = house_open(NULL);
    struct client *client = client_connect(house.admin);
    ask(client, "POST", "/api/deny?sub=alice",
        "Host: localhost\r\nContent-Length: 9\r\nConnection: close\r\n", 400, NULL);
    client_free(client);
    expect(&house, house.scene.token, 200);
    house_close(&house);
}

TEST(on_a_unix_socket_any_host_will_do) {
    char *folder = scratch_new(), *path = scratch_text("%s/admin", folder);
    char *rest =
        scratch_text("admin: {address: \"unix:%s\"}\ndeny_list: \"%s/deny\"\n", path, folder);
    struct scene scene = scene_start(&(struct scene_options){.rest = rest});
    struct client *client = client_connect_unix(path);
    ask(client, "POST", "/api/deny?sub=alice", "Host: whatever\r\n", 200, NULL);
    ck_assert_int_eq(daemon_get(scene.daemon, "/profile/", scene.token, NULL), 401);
    ask(client, "DELETE", "/api/deny?sub=alice",
        "Host: whatever\r\nOrigin: http://evil.example\r\n", 403, NULL);
    client_free(client);
    scene_end(&scene);
    free(rest), free(path), free(folder);
}

TEST(without_a_deny_list_the_admin_listener_says_what_to_set) {
    int port = process_free_port();
    char *rest = scratch_text("admin: {address: \"127.0.0.1:%d\"}\n", port);
    struct scene scene = scene_start(&(struct scene_options){.rest = rest});
    static const char *const methods[] = {"GET", "POST", "DELETE"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct client *client = client_connect(port);
        ask(client, methods[i], "/api/deny?sub=a", "Host: localhost\r\n", 404,
            "{\"error\":\"not_found\",\"error_description\":\"no deny list is configured; set "
            "deny_list to the path of its file, such as /var/lib/bearerd/deny\"}");
        client_free(client);
    }
    scene_end(&scene);
    free(rest);
}

/* --- by the file ------------------------------------------------------------------------------ */

TEST(each_way_to_change_the_file_reaches_cached_tokens_on_all_workers) {
    struct house house = house_open(NULL);
    struct crowd crowd = crowd_open(&house, house.scene.token);
    for (int i = 0; i < 3; i++) {
        write_in_place(&house, "# left\n{\"sub\": \"alice\"}\n");
        await(&house, house.scene.token, 401);
        crowd_expect(&crowd, 401);
        write_in_place(&house, "");
        await(&house, house.scene.token, 200);
        crowd_expect(&crowd, 200);
        rename_over(&house, "{\"jti\": \"j1\"}\n");
        await(&house, house.scene.token, 401);
        crowd_expect(&crowd, 401);
        rename_over(&house, "{\"jti\": \"j2\"}\n");
        await(&house, house.scene.token, 200);
        crowd_expect(&crowd, 200);
    }
    crowd_close(&crowd);
    house_close(&house);
}

TEST(an_entry_denies_what_it_names_and_nothing_else) {
    static const struct {
        const char *list;
        bool alice, bob, other_key; /* are denied */
    } rows[] = {
        {"{\"sub\": \"alice\"}", true, false, true},
        {"{\"sub\": \"alice\", \"issuer\": \"https://idp.example\"}", true, false, true},
        {"{\"sub\": \"alice\", \"issuer\": \"https://idp.example/\"}", false, false, false},
        {"{\"sub\": \"alice\", \"issuer\": \"https://other.example\"}", false, false, false},
        {"{\"kid\": \"k1\"}", true, true, false},
        {"{\"kid\": \"k2\"}", false, false, true},
        {"{\"jti\": \"j1\"}", true, false, false},
        {"{\"sub\": \"bob\", \"until\": \"2001-01-01T00:00:00Z\"}", false, false, false},
        {"{\"sub\": \"bob\", \"until\": \"2999-01-01T00:00:00Z\"}", false, true, false},
    };
    struct house house = house_open(NULL);
    char *bob = scene_token("{\"sub\":\"bob\"}");
    char *other_key =
        mint_good(SCENE_ISSUER, "ES256", mint_key(MINT_P256_OTHER), "k2", "{\"jti\":\"j3\"}");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = scratch_text("%s\n{\"sub\": \"row %zu\"}\n", rows[i].list, i);
        rename_over(&house, text);
        /* Wait until it is in force, by an entry of its own. */
        for (long until = process_now_ms() + ANSWER_MS;;) {
            struct response response;
            char *target = scratch_text("/api/deny?sub=row%%20%zu", i);
            ck_assert_int_eq(http_get(house.admin, target, NULL, &response), 200);
            bool there = strstr(response.body, "row") != NULL;
            client_response_done(&response);
            free(target);
            if (there) break;
            ck_assert_int_lt(process_now_ms(), until);
            process_sleep_ms(5);
        }
        for (int again = 0; again < 2; again++) {
            ck_assert_msg(status_of(&house, house.scene.token) == (rows[i].alice ? 401 : 200),
                          "row %zu", i);
            ck_assert_msg(status_of(&house, bob) == (rows[i].bob ? 401 : 200), "row %zu", i);
            ck_assert_msg(status_of(&house, other_key) == (rows[i].other_key ? 401 : 200),
                          "row %zu", i);
        }
        free(text);
    }
    free(other_key);
    free(bob);
    house_close(&house);
}

TEST(a_bad_line_keeps_the_list_in_force_and_is_told) {
    struct house house = house_open("{\"sub\": \"alice\"}\n");
    char *bob = scene_token("{\"sub\":\"bob\"}");
    expect(&house, house.scene.token, 401);
    expect(&house, bob, 200);
    rename_over(&house, "{\"sub\": \"bob\"}\n\n{\"sub\": \"carol\", \"isuer\": \"x\"}\n");
    char *told = scratch_text("why=\"%s:3: the entry has the unknown member", house.deny);
    ck_assert(wait_told(&house, "deny list not taken, the one before stays in force"));
    ck_assert(wait_told(&house, told));
    expect(&house, house.scene.token, 401);
    expect(&house, bob, 200);
    admin(&house, "POST", "/api/deny?sub=dave", 503, NULL);

    process_signal(house.scene.daemon->process, SIGHUP);
    ck_assert(wait_told(&house, "reload failed, going on with the old configuration"));
    expect(&house, house.scene.token, 401);
    expect(&house, bob, 200);
    rename_over(&house, "{\"sub\": \"bob\"}\n");
    await(&house, bob, 401);
    expect(&house, house.scene.token, 200);
    free(told);
    free(bob);
    house_close(&house);
}

TEST(a_lost_file_keeps_the_list_in_force_and_an_empty_one_ends_it) {
    struct house house = house_open("{\"sub\": \"alice\"}\n");
    ck_assert_int_eq(unlink(house.deny), 0);
    ck_assert(wait_told(&house, "is gone, and a restart would let in what it denied"));
    expect(&house, house.scene.token, 401);
    process_signal(house.scene.daemon->process, SIGHUP);
    ck_assert(wait_told(&house, "notice: reloaded"));
    expect(&house, house.scene.token, 401);
    write_in_place(&house, "");
    await(&house, house.scene.token, 200);
    house_close(&house);
}

TEST(a_reload_reads_the_list_again_and_may_name_another) {
    struct house house = house_open("{\"sub\": \"alice\"}\n");
    struct process *process = house.scene.daemon->process;
    expect(&house, house.scene.token, 401);
    /* Another file, which must be there. */
    char *first = house.deny;
    house.deny = scratch_text("%s.2", first);
    char *yaml = yaml_of(&house);
    free(scratch_file(house.scene.daemon->folder, "bearerd.yaml", span_of(yaml)));
    process_signal(process, SIGHUP);
    ck_assert(wait_told(&house, "reload failed"));
    expect(&house, house.scene.token, 401);
    free(scratch_file(house.scene.daemon->folder, "deny.2", span_of("{\"sub\": \"bob\"}\n")));
    process_signal(process, SIGHUP);
    await(&house, house.scene.token, 200);
    ck_assert(wait_told(&house, "notice: reloaded"));
    admin(&house, "POST", "/api/deny?sub=alice", 200, NULL);
    expect(&house, house.scene.token, 401);
    char *text = scratch_read(first, NULL);
    ck_assert_str_eq(text, "{\"sub\": \"alice\"}\n");
    /* And none at all. */
    char *none =
        scene_yaml(house.scene.daemon->port, house.scene.keys, &(struct scene_options){.rest = ""});
    free(scratch_file(house.scene.daemon->folder, "bearerd.yaml", span_of(none)));
    process_signal(process, SIGHUP);
    await(&house, house.scene.token, 200);
    free(none), free(text), free(yaml), free(first);
    house_close(&house);
}

TEST(neither_start_nor_check_takes_a_bad_list) {
    struct house house = house_open(NULL);
    struct daemon *daemon = house.scene.daemon;
    static const struct {
        const char *command;
        int code;
    } rows[] = {{"check", 1}, {"run", 1}};
    char *told = scratch_text("deny_list: %s:2: the entry is not valid JSON", house.deny);
    process_signal(daemon->process, SIGTERM);
    ck_assert_int_eq(process_wait_exit(daemon->process, 15000), 0);
    process_free(daemon->process);
    write_in_place(&house, "# fine\nalice\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct process *process = run(&house, rows[i].command);
        ck_assert_int_eq(process_wait_exit(process, 10000 * SLOW), rows[i].code);
        char *errors = process_errors(process);
        ck_assert_msg(strstr(errors, told), "%s", errors);
        free(errors);
        process_free(process);
    }
    write_in_place(&house, "# fine\n");
    struct process *process = run(&house, "check");
    ck_assert_int_eq(process_wait_exit(process, 10000 * SLOW), 0);
    process_free(process);
    start(&house);
    free(told);
    house_close(&house);
}
