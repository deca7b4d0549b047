/*
 * Many issuers in one daemon: each is judged by its own keys and its own settings, and none is in
 * the way of another.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/issuer.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define PROFILE "/profile/"
#define SLOW (SCENE_SANITIZED ? 4 : 1)

#define A "https://a.example"
#define B "https://b.example"

#define UNKNOWN_ISSUER "the issuer of the token is not one that is accepted here"
#define BAD_SIGNATURE "the signature of the token is not valid"

/* --- tokens and answers ---------------------------------------------------------------------- */

static char *token_of(const char *issuer, enum mint_key key, const char *kid) {
    return mint_good(issuer, "ES256", mint_key(key), kid, NULL);
}

/* Ask with this token. told (NULL: nothing in particular) stands in the answer's head or body. */
static void check(const struct daemon *daemon, const char *what, const char *token, int status,
                  const char *told) {
    struct response response;
    int got = daemon_get(daemon, PROFILE, token, &response);
    ck_assert_msg(got == status, "%s: %d, not %d: %s%s", what, got, status, response.head,
                  response.body);
    ck_assert_msg(!told || strstr(response.head, told) || strstr(response.body, told),
                  "%s: not \"%s\": %s%s", what, told, response.head, response.body);
    client_response_done(&response);
}

/* The same; the token is used for this alone. */
static void check_once(const struct daemon *daemon, const char *what, char *token, int status,
                       const char *told) {
    check(daemon, what, token, status, told);
    free(token);
}

/* --- configurations -------------------------------------------------------------------------- */

static char *write_jwks(const char *folder, const char *name, char *jwks) {
    char *path = scratch_file(folder, name, span_of(jwks));
    free(jwks);
    return path;
}

/* One item of issuers; options begin with ", " or are "". */
static void add_issuer(FILE *yaml, const char *issuer, const char *jwks_file, const char *options) {
    fprintf(yaml, "  - {issuer: \"%s\"%s", issuer, options);
    if (!strstr(options, "audience")) fputs(", audiences: [api]", yaml);
    if (jwks_file) fprintf(yaml, ", jwks_file: \"%s\"", jwks_file);
    fputs("}\n", yaml);
}

/* Two issuers, whose keys are fetched from them unless files are given. The caller frees it. */
static char *yaml_of_two(const char *first, const char *first_file, const char *first_options,
                         const char *second, const char *second_file, const char *second_options) {
    char *text = NULL;
    size_t len;
    FILE *yaml = open_memstream(&text, &len);
    fputs("issuers:\n", yaml);
    add_issuer(yaml, first, first_file, first_options);
    if (second) add_issuer(yaml, second, second_file, second_options);
    fclose(yaml);
    return text;
}

/* Start with that configuration, which is freed. */
static struct daemon *start(char *yaml) {
    struct daemon *daemon = daemon_start(yaml, NULL);
    free(yaml);
    return daemon;
}

/* SIGHUP with that configuration, which is freed; returns when it is in force. */
static void reload(const struct daemon *daemon, char *yaml) {
    int before = process_count_errors(daemon->process, "notice: reloaded");
    char *text = scratch_text("listen: [{address: \"127.0.0.1:%d\"}]\nworkers: 2\n"
                              "state_directory: \"%s\"\n"
                              "log: {format: text, level: info, access: false}\n%s",
                              daemon->port, daemon->folder, yaml);
    free(scratch_file(daemon->folder, "bearerd.yaml", span_of(text)));
    process_signal(daemon->process, SIGHUP);
    for (long until = process_now_ms() + 10000;
         process_count_errors(daemon->process, "notice: reloaded") == before;) {
        char *errors = process_errors(daemon->process);
        ck_assert_msg(process_now_ms() < until, "not reloaded: %s", errors);
        free(errors);
        process_sleep_ms(5);
    }
    free(text);
    free(yaml);
}

/* --- keys never mix -------------------------------------------------------------------------- */

TEST(two_issuers_with_the_same_kid_and_different_keys_never_mix) {
    static const struct {
        const char *what, *issuer, *kid;
        enum mint_key key;
        int status;
        const char *told;
    } rows[] = {
        {"A by its own key", A, "same", MINT_P256, 200, "alice@example.com"},
        {"B by its own key", B, "same", MINT_P256_OTHER, 200, "alice@example.com"},
        {"A by B's key of the same kid", A, "same", MINT_P256_OTHER, 401, BAD_SIGNATURE},
        {"B by A's key of the same kid", B, "same", MINT_P256, 401, BAD_SIGNATURE},
        {"A by its own key without a kid", A, NULL, MINT_P256, 200, NULL},
        {"A by B's key without a kid", A, NULL, MINT_P256_OTHER, 401, BAD_SIGNATURE},
        {"B by a key that it alone has", B, "only-b", MINT_P384, 200, NULL},
        {"A by a key that B alone has", A, "only-b", MINT_P384, 401, "has no key with the kid"},
        {"a third one by A's key", "https://c.example", "same", MINT_P256, 401, UNKNOWN_ISSUER},
        {"A with a slash by A's key", A "/", "same", MINT_P256, 401, UNKNOWN_ISSUER},
    };
    char *folder = scratch_new();
    char *keys_a =
        write_jwks(folder, "a.json", MINT_JWKS(mint_jwk(mint_key(MINT_P256), "same", NULL)));
    char *keys_b = write_jwks(folder, "b.json",
                              MINT_JWKS(mint_jwk(mint_key(MINT_P256_OTHER), "same", NULL),
                                        mint_jwk(mint_key(MINT_P384), "only-b", NULL)));
    struct daemon *daemon = start(yaml_of_two(A, keys_a, "", B, keys_b, ""));
    char *tokens[ARRAY_LEN(rows)];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        tokens[i] = mint_good(rows[i].issuer, rows[i].key == MINT_P384 ? "ES384" : "ES256",
                              mint_key(rows[i].key), rows[i].kid, NULL);
    for (size_t i = 0; i < 2; i++)
        ck_assert(daemon_wait_status(daemon, PROFILE, tokens[i], 200, 5000 * SLOW));
    for (int round = 0; round < 3; round++) /* from the second on, good ones are remembered */
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            check(daemon, rows[i].what, tokens[i], rows[i].status, rows[i].told);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) free(tokens[i]);
    daemon_stop(daemon);
    free(keys_a), free(keys_b), free(folder);
}

/* --- each has its own settings --------------------------------------------------------------- */

/* A token: how it is signed, and what is changed in good claims. */
struct kind {
    const char *alg; /* NULL: ES256 */
    const char *typ; /* NULL: at+jwt */
    int expires_in;  /* seconds from now; 0: as in good claims */
    const char *changes;
};

static char *mint_kind(const char *issuer, const struct kind *kind) {
    const char *alg = kind->alg ? kind->alg : "ES256";
    bool rsa = strncmp(alg, "RS", 2) == 0;
    char *header = scratch_text("{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"%s\"}", alg,
                                rsa ? "r" : "e", kind->typ ? kind->typ : "at+jwt");
    json_t *changes = json_loads(kind->changes ? kind->changes : "{}", 0, NULL);
    ck_assert_ptr_nonnull(changes);
    if (kind->expires_in) {
        json_int_t now = (json_int_t)time(NULL);
        json_object_set_new(changes, "exp", json_integer(now + kind->expires_in));
        json_object_set_new(changes, "iat", json_integer(now - 1000));
    }
    char *text = json_dumps(changes, 0), *claims = mint_claims(issuer, text);
    char *token = mint_token(header, claims, alg, mint_key(rsa ? MINT_RSA : MINT_P256));
    json_decref(changes);
    free(claims), free(text), free(header);
    return token;
}

/* What A takes by its options and B refuses by its own; and what B takes. */
static const struct setting {
    const char *what;
    const char *a, *b;
    struct kind token;
    int status;
    const char *told;
    struct kind control;
} settings[] = {
    {"an audience of A alone",
     ", audiences: [orders, api]",
     ", audiences: [api]",
     {.changes = "{\"aud\":\"orders\"}"},
     401,
     "the token is for the audience 'orders'; expected 'api'",
     {0}},
    {"any audience, which A alone allows",
     ", allow_any_audience: true",
     ", audiences: [api]",
     {.changes = "{\"aud\":null}"},
     401,
     "the token has no aud claim",
     {0}},
    {"an algorithm of A alone",
     ", algorithms: [ES256, RS256]",
     ", algorithms: [RS256]",
     {0},
     401,
     "the alg 'ES256' is not accepted",
     {.alg = "RS256"}},
    {"a user by the claim of A",
     ", user_claims: [email]",
     ", user_claims: [upn]",
     {0},
     401,
     "it has no usable upn claim",
     {.changes = "{\"upn\":\"bob\"}"}},
    {"scopes in the claim of A",
     "",
     ", scope_claims: [permissions]",
     {0},
     403,
     "the token lacks the scope 'profile'",
     {.changes = "{\"scope\":null,\"permissions\":[\"profile\"]}"}},
    {"a role claim that B alone reads, and that is none",
     ", role_claims: [roles]",
     ", role_claims: [groups]",
     {.changes = "{\"groups\":5}"},
     401,
     "the groups claim of the token is neither a string nor an array of strings",
     {.changes = "{\"roles\":5}"}},
    {"a token expired for no longer than A's leeway",
     ", leeway: 5m",
     ", leeway: 10s",
     {.expires_in = -60},
     401,
     "token expired at",
     {.expires_in = 60}},
    {"a token that lives longer than B allows",
     "",
     ", max_lifetime: 10m",
     {.expires_in = 3600},
     401,
     "at most 10 min are accepted",
     {.expires_in = 300}},
    {"a JWT that is no access token by RFC 9068, as B wants them",
     "",
     ", token_type: at+jwt",
     {.typ = "JWT", .changes = "{\"nonce\":\"n\",\"at_hash\":\"h\"}"},
     401,
     "the typ of the token is not at+jwt",
     {.changes = "{\"client_id\":\"c\",\"jti\":\"1\"}"}},
    {"a token without the scope that B always wants",
     "",
     ", scopes: [admin]",
     {0},
     403,
     "the token lacks the scope 'admin'",
     {.changes = "{\"scope\":\"profile admin\"}"}},
};

#define SETTINGS ARRAY_LEN(settings)

static char *name_of(char which, size_t i) {
    return scratch_text("https://%c%zu.example", which, i);
}

/* Two issuers for each row, all with the same keys: nothing but their settings is different. */
static char *yaml_of_settings(const char *jwks_file) {
    char *text = NULL;
    size_t len;
    FILE *yaml = open_memstream(&text, &len);
    fputs("issuers:\n", yaml);
    for (size_t i = 0; i < SETTINGS; i++) {
        char *a = name_of('a', i), *b = name_of('b', i);
        add_issuer(yaml, a, jwks_file, settings[i].a);
        add_issuer(yaml, b, jwks_file, settings[i].b);
        free(a), free(b);
    }
    fclose(yaml);
    return text;
}

TEST(each_issuer_has_its_own_settings) {
    char *folder = scratch_new();
    char *keys = write_jwks(folder, "keys.json",
                            MINT_JWKS(mint_jwk(mint_key(MINT_P256), "e", NULL),
                                      mint_jwk(mint_key(MINT_RSA), "r", NULL)));
    struct daemon *daemon = start(yaml_of_settings(keys));
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *row = &settings[i];
        char *a = name_of('a', i), *b = name_of('b', i);
        char *taken = mint_kind(a, &row->token), *control = mint_kind(b, &row->control);
        ck_assert_msg(daemon_wait_status(daemon, PROFILE, taken, 200, 5000 * SLOW), "%s: A: %s",
                      row->what, taken);
        ck_assert_msg(daemon_wait_status(daemon, PROFILE, control, 200, 5000 * SLOW), "%s: B",
                      row->what);
        for (int round = 0; round < 2; round++) { /* and again, where the answer is remembered */
            check(daemon, row->what, taken, 200, "\"username\":\"");
            check(daemon, row->what, control, 200, "\"username\":\"");
            check_once(daemon, row->what, mint_kind(b, &row->token), row->status, row->told);
        }
        free(taken), free(control), free(a), free(b);
    }
    daemon_stop(daemon);
    free(keys), free(folder);
}

/* --- one in trouble -------------------------------------------------------------------------- */

static void serve_key(struct issuer *issuer, enum mint_key key) {
    char *jwks = MINT_JWKS(mint_jwk(mint_key(key), "k", NULL));
    issuer_serve_keys(issuer, jwks);
    free(jwks);
}

static long time_of(const struct daemon *daemon, const char *token, int status) {
    long before = process_now_ms();
    check(daemon, "while another issuer is in trouble", token, status, NULL);
    return process_now_ms() - before;
}

/* Tokens of the good issuer, remembered ones and new ones, are all taken at once. */
static void check_no_delay(const struct daemon *daemon, const char *good_issuer) {
    char *known = token_of(good_issuer, MINT_P256, "k");
    for (int i = 0; i < 50; i++) {
        char *fresh = token_of(good_issuer, MINT_P256, "k");
        long first = time_of(daemon, known, 200), second = time_of(daemon, fresh, 200);
        ck_assert_msg(first < 400 * SLOW && second < 400 * SLOW, "%ld and %ld ms", first, second);
        free(fresh);
    }
    free(known);
}

TEST_WITHIN(issuers_that_are_down_hang_or_answer_garbage_from_the_start_harm_no_other, 40) {
    struct issuer *good = issuer_start(ISSUER_PLAIN), *down = issuer_start(ISSUER_PLAIN);
    struct issuer *hanging = issuer_start(ISSUER_PLAIN), *garbage = issuer_start(ISSUER_PLAIN);
    serve_key(good, MINT_P256);
    serve_key(down, MINT_P256);
    issuer_down(down);
    issuer_set(hanging, ISSUER_DISCOVERY, &(struct issuer_behaviour){.act = ISSUER_HANG});
    issuer_serve_keys(garbage, "<html>sign in</html>");

    char *text = NULL;
    size_t len;
    FILE *yaml = open_memstream(&text, &len);
    struct issuer *const bad[] = {down, hanging, garbage};
    fputs("issuers:\n", yaml);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) add_issuer(yaml, issuer_url(bad[i]), NULL, "");
    add_issuer(yaml, issuer_url(good), NULL, ""); /* behind all of them */
    fclose(yaml);
    long before = process_now_ms();
    struct daemon *daemon = start(text);
    char *token = token_of(issuer_url(good), MINT_P256, "k");
    check(daemon, "the first request of all", token, 200, "alice@example.com");
    ck_assert_int_lt(process_now_ms() - before, 2000 * SLOW);
    check_no_delay(daemon, issuer_url(good));

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_once(daemon, "no keys", token_of(issuer_url(bad[i]), MINT_P256, "k"), 503,
                   "the issuer's keys could not be fetched yet");
    serve_key(garbage, MINT_P256); /* the control: nothing but their state was wrong */
    char *cured = token_of(issuer_url(garbage), MINT_P256, "k");
    ck_assert(daemon_wait_status(daemon, PROFILE, cured, 200, 10000));
    daemon_stop(daemon);
    free(cured), free(token);
    issuer_stop(good), issuer_stop(down), issuer_stop(hanging), issuer_stop(garbage);
}

#define WAITING 20

/* Requests that wait for a key of the hanging issuer. */
static void ask_in_vain(const struct daemon *daemon, const char *issuer, struct client **waiting) {
    for (int i = 0; i < WAITING; i++) {
        char *kid = scratch_text("unknown-%d", i), *token = token_of(issuer, MINT_P256, kid);
        waiting[i] = client_connect(daemon->port);
        ck_assert(client_sendf(waiting[i],
                               "GET %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
                               PROFILE, token));
        free(token), free(kid);
    }
}

TEST_WITHIN(who_waits_for_a_key_of_a_hanging_issuer_delays_nobody, 40) {
    struct issuer *good = issuer_start(ISSUER_PLAIN), *hanging = issuer_start(ISSUER_PLAIN);
    serve_key(good, MINT_P256);
    serve_key(hanging, MINT_P256);
    struct daemon *daemon = start(yaml_of_two(issuer_url(hanging), NULL, ", refresh_cooldown: 1s",
                                              issuer_url(good), NULL, ""));
    char *its_own = token_of(issuer_url(hanging), MINT_P256, "k");
    ck_assert(daemon_wait_status(daemon, PROFILE, its_own, 200, 5000 * SLOW));
    issuer_set(hanging, ISSUER_DISCOVERY, &(struct issuer_behaviour){.act = ISSUER_HANG});

    struct client *waiting[WAITING];
    int hits = issuer_hits(hanging, ISSUER_DISCOVERY);
    long before = process_now_ms();
    ask_in_vain(daemon, issuer_url(hanging), waiting);
    ck_assert(issuer_wait_hits(hanging, ISSUER_DISCOVERY, hits + 1, 5000));
    long asked = process_now_ms();
    check_no_delay(daemon, issuer_url(good));
    for (int i = 0; i < 10; i++) ck_assert_int_lt(time_of(daemon, its_own, 200), 400 * SLOW);
    bool all_were_waiting = process_now_ms() - before < 1800;
    for (int i = 0; i < WAITING; i++) {
        struct response response;
        ck_assert_int_eq(client_read(waiting[i], 5000 * SLOW, &response), CLIENT_OK);
        ck_assert_msg(response.status == 401, "client %d: %d", i, response.status);
        ck_assert_ptr_nonnull(strstr(response.head, "has no key with the kid"));
        client_response_done(&response);
        client_free(waiting[i]);
    }
    long took = process_now_ms() - asked;
    ck_assert_msg(SCENE_SANITIZED || !all_were_waiting || took > 1000, "they did not wait: %ld ms",
                  took);
    daemon_stop(daemon);
    free(its_own);
    issuer_stop(good), issuer_stop(hanging);
}

/* --- reload ---------------------------------------------------------------------------------- */

TEST_WITHIN(an_issuer_added_by_reload_works_and_the_others_keep_their_keys_unasked, 40) {
    struct issuer *stopped = issuer_start(ISSUER_PLAIN), *stays = issuer_start(ISSUER_PLAIN);
    serve_key(stopped, MINT_P256);
    serve_key(stays, MINT_P256_OTHER);
    struct daemon *daemon =
        start(yaml_of_two(issuer_url(stopped), NULL, "", issuer_url(stays), NULL, ""));
    char *of_stopped = token_of(issuer_url(stopped), MINT_P256, "k");
    char *of_stays = token_of(issuer_url(stays), MINT_P256_OTHER, "k");
    char *of_added = mint_good(B, "ES384", mint_key(MINT_P384), "k", NULL);
    ck_assert(daemon_wait_status(daemon, PROFILE, of_stopped, 200, 5000 * SLOW));
    ck_assert(daemon_wait_status(daemon, PROFILE, of_stays, 200, 5000 * SLOW));
    check(daemon, "not added yet", of_added, 401, UNKNOWN_ISSUER);
    int asked = issuer_hits(stays, ISSUER_DISCOVERY) + issuer_hits(stays, ISSUER_JWKS);
    int connections = issuer_connections(stays);
    issuer_down(stopped);

    /* The added one comes first, so that the others stand in other places. */
    char *keys = write_jwks(daemon->folder, "added.json",
                            MINT_JWKS(mint_jwk(mint_key(MINT_P384), "k", NULL)));
    char *others = yaml_of_two(issuer_url(stays), NULL, "", issuer_url(stopped), NULL, "");
    reload(daemon, scratch_text("issuers:\n  - {issuer: \"%s\", audiences: [api], jwks_file: "
                                "\"%s\"}\n%s",
                                B, keys, others + strlen("issuers:\n")));
    ck_assert(daemon_wait_status(daemon, PROFILE, of_added, 200, 5000 * SLOW));
    check(daemon, "remembered, of the stopped one", of_stopped, 200, NULL);
    check(daemon, "remembered, of the other", of_stays, 200, NULL);
    for (int i = 0; i < 20; i++) {
        check_once(daemon, "new, of the stopped one", token_of(issuer_url(stopped), MINT_P256, "k"),
                   200, NULL);
        check_once(daemon, "new, of the other", token_of(issuer_url(stays), MINT_P256_OTHER, "k"),
                   200, NULL);
    }
    check_once(daemon, "of the stopped one by the other's key",
               token_of(issuer_url(stopped), MINT_P256_OTHER, "k"), 401, BAD_SIGNATURE);
    check_once(daemon, "of the other by the stopped one's key",
               token_of(issuer_url(stays), MINT_P256, "k"), 401, BAD_SIGNATURE);
    check_once(daemon, "of the added one by another's key", token_of(B, MINT_P256, "k"), 401,
               "must not be used with its alg");
    ck_assert_int_eq(issuer_hits(stays, ISSUER_DISCOVERY) + issuer_hits(stays, ISSUER_JWKS), asked);
    ck_assert_int_eq(issuer_connections(stays), connections);
    ck_assert_int_eq(process_count_errors(daemon->process, "keys not refreshed"), 0);
    daemon_stop(daemon);
    free(others), free(keys), free(of_stopped), free(of_stays), free(of_added);
    issuer_stop(stopped), issuer_stop(stays);
}

TEST(an_issuer_removed_by_reload_is_a_stranger_at_once) {
    char *folder = scratch_new();
    char *keys =
        write_jwks(folder, "keys.json", MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k", NULL)));
    struct daemon *daemon = start(yaml_of_two(A, keys, "", B, keys, ""));
    char *of_a = token_of(A, MINT_P256, "k"), *of_b = token_of(B, MINT_P256, "k");
    for (int round = 0; round < 3; round++) {
        ck_assert(daemon_wait_status(daemon, PROFILE, of_a, 200, 5000 * SLOW));
        ck_assert(daemon_wait_status(daemon, PROFILE, of_b, 200, 5000 * SLOW));
        for (int i = 0; i < 8; i++) check(daemon, "remembered by each worker", of_a, 200, NULL);

        reload(daemon, yaml_of_two(B, keys, "", NULL, NULL, ""));
        for (int i = 0; i < 8; i++) { /* connections go to either worker */
            check(daemon, "remembered, but removed", of_a, 401, UNKNOWN_ISSUER);
            check_once(daemon, "new, but removed", token_of(A, MINT_P256, "k"), 401,
                       UNKNOWN_ISSUER);
            check(daemon, "the one that stays", of_b, 200, NULL);
        }
        reload(daemon, yaml_of_two(A, keys, "", B, keys, ""));
    }
    daemon_stop(daemon);
    free(of_a), free(of_b), free(keys), free(folder);
}

TEST(settings_changed_by_reload_apply_to_remembered_tokens_at_once) {
    static const struct {
        const char *what, *options;
        int status;
        const char *told;
    } rows[] = {
        {"audience", ", audiences: [other]", 401, "for the audience 'api'; expected 'other'"},
        {"algorithms", ", algorithms: [RS256]", 401, "the alg 'ES256' is not accepted"},
        {"scopes", ", scopes: [admin]", 403, "the token lacks the scope 'admin'"},
        {"user claim", ", user_claims: [sub]", 200, "\"username\":\"alice\""},
        {"lifetime", ", max_lifetime: 1m", 401, "at most 1 min are accepted"},
        {"token type", ", token_type: at+jwt", 401, "the token has no client_id claim"},
    };
    char *folder = scratch_new();
    char *keys =
        write_jwks(folder, "keys.json", MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k", NULL)));
    struct daemon *daemon = start(yaml_of_two(A, keys, "", B, keys, ""));
    char *of_a = token_of(A, MINT_P256, "k"), *of_b = token_of(B, MINT_P256, "k");
    ck_assert(daemon_wait_status(daemon, PROFILE, of_a, 200, 5000 * SLOW));
    ck_assert(daemon_wait_status(daemon, PROFILE, of_b, 200, 5000 * SLOW));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int j = 0; j < 8; j++) check(daemon, "before", of_a, 200, "alice@example.com");
        reload(daemon, yaml_of_two(A, keys, rows[i].options, B, keys, ""));
        for (int j = 0; j < 8; j++) {
            check(daemon, rows[i].what, of_a, rows[i].status, rows[i].told);
            check(daemon, "the other issuer", of_b, 200, "alice@example.com");
        }
        reload(daemon, yaml_of_two(A, keys, "", B, keys, ""));
    }
    daemon_stop(daemon);
    free(of_a), free(of_b), free(keys), free(folder);
}

/* --- many ------------------------------------------------------------------------------------ */

#define MANY 500

static char *tenant(int i) {
    return scratch_text("https://idp.example/realms/tenant-%d", i);
}

/* The first, the middle and the last one, each with a key of its own. */
static const struct marked {
    int place;
    enum mint_key key;
    const char *alg;
} marked[] = {
    {0, MINT_P256, "ES256"}, {MANY / 2, MINT_P256_OTHER, "ES256"}, {MANY - 1, MINT_P384, "ES384"}};

static enum mint_key key_of(int place) {
    for (size_t i = 0; i < ARRAY_LEN(marked); i++)
        if (marked[i].place == place) return marked[i].key;
    return MINT_P521;
}

static char *token_of_tenant(int place, const struct marked *signer) {
    char *issuer = tenant(place);
    char *token = mint_good(issuer, signer->alg, mint_key(signer->key), "k", NULL);
    free(issuer);
    return token;
}

static char *yaml_of_many(const char *folder) {
    char *text = NULL;
    size_t len;
    FILE *yaml = open_memstream(&text, &len);
    fputs("issuers:\n", yaml);
    for (int i = 0; i < MANY; i++) {
        char *name = scratch_text("%d.json", i), *issuer = tenant(i);
        char *path = write_jwks(folder, name, MINT_JWKS(mint_jwk(mint_key(key_of(i)), "k", NULL)));
        add_issuer(yaml, issuer, path, "");
        free(path), free(issuer), free(name);
    }
    fclose(yaml);
    return text;
}

TEST(of_five_hundred_issuers_the_first_the_middle_and_the_last_work) {
    char *folder = scratch_new();
    struct daemon *daemon = start(yaml_of_many(folder));
    for (size_t i = 0; i < ARRAY_LEN(marked); i++) {
        char *token = token_of_tenant(marked[i].place, &marked[i]);
        ck_assert(daemon_wait_status(daemon, PROFILE, token, 200, 5000 * SLOW));
        check(daemon, "once more", token, 200, "alice@example.com");
        free(token);
        for (size_t j = 0; j < ARRAY_LEN(marked); j++)
            if (j != i)
                check_once(
                    daemon, "by another's key", token_of_tenant(marked[i].place, &marked[j]), 401,
                    strcmp(marked[i].alg, marked[j].alg) == 0 ? BAD_SIGNATURE
                                                              : "must not be used with its alg");
    }
    check_once(daemon, "one more than there are", token_of_tenant(MANY, &marked[0]), 401,
               UNKNOWN_ISSUER);
    check_once(daemon, "what their names begin with",
               token_of("https://idp.example/realms/tenant-", MINT_P256, "k"), 401, UNKNOWN_ISSUER);
    daemon_stop(daemon);
    free(folder);
}
