/*
 * The unit under test is compiled into this file, under names of its own, with a fetcher that
 * fetches nothing: the test reads what was asked for and gives the answer itself.
 */
#define source_init tested_source_init
#define source_done tested_source_done
#define source_inherit tested_source_inherit
#define source_load_copy tested_source_load_copy
#define source_refresh tested_source_refresh
#define source_settle tested_source_settle
#define source_stale_at tested_source_stale_at
#define fetcher_start scripted_fetcher_start

#include "server/keys/source.c"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define HOUR 3600000
#define NOW_WALL 1700000000

/* --- the world around a source --------------------------------------------------------------- */

static int64_t now_ms = 1000000;

static int64_t tell_monotonic(void) {
    return now_ms;
}

static int64_t tell_wall(void) {
    return (int64_t)NOW_WALL * 1000 + now_ms - 1000000;
}

static const struct clock_source own_clock = {tell_wall, tell_monotonic};

static struct {
    char url[256]; /* asked for and not yet answered; "" where nothing is */
    bool allow_http;
    fetch_done *done;
    void *argument;
    int count;
    bool out_of_memory;
} asked;

int scripted_fetcher_start(struct fetcher *fetcher, const char *url, bool allow_http,
                           fetch_done *done, void *argument) {
    (void)fetcher;
    if (asked.out_of_memory) return ERR_MEMORY;
    ck_assert_str_eq(asked.url, ""); /* one thing at a time */
    snprintf(asked.url, sizeof asked.url, "%s", url);
    asked.allow_http = allow_http;
    asked.done = done;
    asked.argument = argument;
    asked.count++;
    return 0;
}

static struct { int count, fresh; } ended;

static void answer(struct fetch_reply reply) {
    char url[256];
    ck_assert_str_ne(asked.url, "");
    memcpy(url, asked.url, sizeof url);
    asked.url[0] = '\0';
    reply.url = url;
    reply.address = "192.0.2.1";
    int before = ended.count;
    struct source *source = asked.argument;
    asked.done(asked.argument, &reply);
    /* Told no sooner than the owner has published, or a good token is refused in between. */
    ck_assert(atomic_load(&source->pulse->fetching));
    source_settle(source);
    ck_assert_int_eq(atomic_load(&source->pulse->fetching), ended.count == before);
}

static void answer_body(struct span body, int64_t max_age) {
    answer((struct fetch_reply){.status = 200, .body = body, .max_age = max_age});
}

static void on_end(struct source *source, bool fresh) {
    ck_assert(atomic_load(&source->pulse->fetching));
    ck_assert(source->attempted);
    ended.count++;
    ended.fresh += fresh;
}

/* Log lines so far, as one text. */
static const char *logged(void) {
    static char text[1 << 18];
    ssize_t n = pread(STDERR_FILENO, text, sizeof text - 1, 0);
    ck_assert_int_ge(n, 0);
    text[n] = '\0';
    return text;
}

static void forget_log(void) {
    log_tell_repeats(true); /* and none of the next lines is a repetition */
    ck_assert_int_eq(ftruncate(STDERR_FILENO, 0), 0);
    lseek(STDERR_FILENO, 0, SEEK_SET);
}

struct world {
    struct config *config;
    struct source source;
};

/* A source for one issuer with these options in YAML flow style, in a world at rest. */
static void open_world(struct world *world, const char *options) {
    struct config_report report;
    char *yaml = scratch_text("issuers: [{issuer: \"https://i.example\", audiences: [x]%s%s}]\n%s",
                              *options ? ", " : "", options, "log: {format: text, level: info}\n");
    world->config = NULL;
    ck_assert_msg(config_parse(span_of(yaml), "f", &world->config, &report) == 0, "%s",
                  report.count ? report.problems[0].text : "");
    config_report_done(&report);
    free(yaml);
    free(world->config->state_directory);
    world->config->state_directory = strdup("");

    clock_replace(&own_clock);
    unsetenv("JOURNAL_STREAM");
    ck_assert_int_eq(dup2(memfd_create("log", MFD_CLOEXEC), STDERR_FILENO), STDERR_FILENO);
    log_configure(LOG_FORMAT_TEXT, LOG_INFO);
    ck_assert_int_eq(
        source_init(&world->source, world->config, &world->config->issuers[0], NULL, on_end), 0);
    ck_assert_int_eq(world->source.due_ms, now_ms);
}

static void close_world(struct world *world) {
    source_done(&world->source);
    config_unref(world->config);
}

static char *one_key(enum mint_key which, const char *kid) {
    return MINT_JWKS(mint_jwk(mint_key(which), kid, NULL));
}

/* Refresh with good keys. */
static void refresh_well(struct world *world, int64_t max_age) {
    char *jwks = one_key(MINT_P256, "k");
    source_refresh(&world->source);
    answer_body(span_of(jwks), max_age);
    free(jwks);
}

static void refresh_badly(struct world *world) {
    source_refresh(&world->source);
    answer((struct fetch_reply){.error = "connection refused", .max_age = -1});
}

#define JWKS_URI "jwks_uri: \"https://i.example/jwks\""

/* --- what is asked for ----------------------------------------------------------------------- */

TEST(a_jwks_uri_is_fetched_without_discovery) {
    struct world world;
    open_world(&world, JWKS_URI);
    ck_assert(atomic_load(&world.source.pulse->wanted)); /* whoever comes early waits for it */
    source_refresh(&world.source);
    ck_assert_str_eq(asked.url, "https://i.example/jwks");
    ck_assert(!asked.allow_http);
    ck_assert(atomic_load(&world.source.pulse->fetching));
    ck_assert(!atomic_load(&world.source.pulse->wanted));
    ck_assert_int_eq(ended.count, 0);

    char *jwks = one_key(MINT_P256, "k");
    answer_body(span_of(jwks), -1);
    free(jwks);
    ck_assert_int_eq(ended.count, 1);
    ck_assert_int_eq(ended.fresh, 1);
    ck_assert_uint_eq(world.source.keys->count, 1);
    ck_assert_int_eq(source_stale_at(&world.source), now_ms + 24 * HOUR);
    close_world(&world);
}

TEST(discovery_is_read_at_each_refresh) {
    struct world world;
    open_world(&world, "");
    for (int i = 0; i < 2; i++) {
        char *document = scratch_text("{\"issuer\":\"https://i.example\","
                                      "\"jwks_uri\":\"https://keys.example/%d\"}",
                                      i);
        char *uri = scratch_text("https://keys.example/%d", i);
        source_refresh(&world.source);
        ck_assert_str_eq(asked.url, "https://i.example/.well-known/openid-configuration");
        answer_body(span_of(document), 5);
        ck_assert_int_eq(ended.count, i);
        ck_assert_str_eq(asked.url, uri);
        ck_assert(atomic_load(&world.source.pulse->fetching));
        char *jwks = one_key(MINT_P256, "k");
        answer_body(span_of(jwks), -1);
        ck_assert_int_eq(ended.fresh, i + 1);
        free(jwks);
        free(uri);
        free(document);
    }
    close_world(&world);
}

TEST(f9_a_discovery_document_that_does_not_fit_fetches_nothing_more) {
    static const struct {
        const char *document, *log;
    } cases[] = {
        {"{\"issuer\":\"https://i.example/\",\"jwks_uri\":\"https://i.example/k\"}",
         "only a slash at the end differs"},
        {"{\"issuer\":\"https://evil.example\",\"jwks_uri\":\"https://evil.example/k\"}",
         "https://evil.example"},
        {"{\"issuer\":\"https://i.example\",\"jwks_uri\":\"http://i.example/k\"}",
         "which is not https"},
        {"{\"issuer\":\"https://i.example\",\"jwks_uri\":\"file:///etc/passwd\"}",
         "must start with"},
        {"{\"issuer\":\"https://i.example\"}", "has no \\\"jwks_uri\\\""},
        {"<html>", "is not valid JSON"},
        {"", "is empty"},
    };
    struct world world;
    open_world(&world, "");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        forget_log();
        source_refresh(&world.source);
        answer_body(span_of(cases[i].document), -1);
        ck_assert_str_eq(asked.url, "");
        ck_assert_int_eq(ended.count, (int)i + 1);
        ck_assert_int_eq(ended.fresh, 0);
        ck_assert_ptr_null(world.source.keys);
        ck_assert_msg(strstr(logged(), cases[i].log) != NULL, "%s", logged());
        ck_assert_ptr_nonnull(strstr(logged(), "no keys yet"));
        ck_assert_ptr_nonnull(strstr(logged(), "the discovery document "));
    }
    close_world(&world);
}

TEST(plain_http_is_asked_for_only_where_it_is_allowed) {
    static const struct {
        const char *options;
        bool allowed;
    } cases[] = {
        {JWKS_URI, false},
        {JWKS_URI ", insecure_http: true", true},
        {"jwks_uri: \"http://i.example/jwks\", insecure_http: true", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world world;
        open_world(&world, cases[i].options);
        source_refresh(&world.source);
        ck_assert(asked.allow_http == cases[i].allowed);
        answer((struct fetch_reply){.status = 500});
        close_world(&world);
    }
}

/* --- when it is asked for again -------------------------------------------------------------- */

TEST(f10_the_lifetime_that_the_issuer_names_is_kept_within_bounds) {
    static const struct {
        const char *options;
        int64_t max_age; /* seconds; -1: none */
        int64_t delay;   /* milliseconds */
    } cases[] = {
        {"", -1, HOUR},
        {"", 0, HOUR}, /* sent by habit */
        {"", -5, HOUR},
        {"", 1, 30000}, /* not before the cooldown */
        {"", 30, 30000},
        {"", 31, 31000},
        {"", 600, 600000},
        {"", 3600, HOUR},
        {"", 3601, HOUR},
        {"", 1000000000000, HOUR},
        {"", INT64_MAX, HOUR},
        {"refresh_interval: 10s", -1, 10000},
        {"refresh_interval: 10s", 600, 10000},
        {"refresh_interval: 10s, refresh_cooldown: 1s", 5, 5000},
        /* A lifetime never makes a refresh later than no lifetime would. */
        {"refresh_interval: 10s, refresh_cooldown: 30s", 5, 10000},
        {"refresh_interval: 1s, refresh_cooldown: 1h", 1, 1000},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world world;
        char *options =
            scratch_text(JWKS_URI "%s%s", *cases[i].options ? ", " : "", cases[i].options);
        open_world(&world, options);
        refresh_well(&world, cases[i].max_age);
        ck_assert_msg(world.source.due_ms - now_ms == cases[i].delay, "%s, max-age %lld: %lld",
                      options, (long long)cases[i].max_age,
                      (long long)(world.source.due_ms - now_ms));
        close_world(&world);
        free(options);
    }
}

TEST(after_failures_the_next_attempt_comes_later_and_later_with_jitter) {
    static const struct {
        const char *options;
        int64_t delays[10];
    } cases[] = {
        {JWKS_URI, {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000, 60000}},
        {JWKS_URI ", refresh_interval: 5s",
         {1000, 2000, 4000, 5000, 5000, 5000, 5000, 5000, 5000, 5000}},
    };
    for (size_t c = 0; c < ARRAY_LEN(cases); c++)
        for (int round = 0; round < 50; round++) {
            static int64_t seen[2];
            struct world world;
            open_world(&world, cases[c].options);
            for (size_t i = 0; i < 100; i++) {
                refresh_badly(&world);
                int64_t expected = cases[c].delays[i < 10 ? i : 9];
                int64_t delay = world.source.due_ms - now_ms;
                ck_assert_msg(delay >= expected - expected / 5 && delay <= expected + expected / 5,
                              "failure %zu: %lld", i + 1, (long long)delay);
                if (delay != expected) seen[delay > expected]++;
            }
            close_world(&world);
            if (round == 49) ck_assert(seen[0] > 100 && seen[1] > 100);
        }
}

TEST(a_success_ends_the_backoff) {
    struct world world;
    open_world(&world, JWKS_URI);
    for (int i = 0; i < 8; i++) refresh_badly(&world);
    ck_assert_uint_eq(world.source.failures, 8);
    refresh_well(&world, -1);
    ck_assert_uint_eq(world.source.failures, 0);
    ck_assert_int_eq(world.source.due_ms, now_ms + HOUR);
    refresh_badly(&world);
    ck_assert_int_le(world.source.due_ms, now_ms + 1200);
    close_world(&world);
}

/* --- what never erases good keys ------------------------------------------------------------- */

TEST(f1_f2_a_broken_answer_keeps_the_keys_and_says_so) {
    static const struct {
        struct fetch_reply reply;
        const char *log;
    } cases[] = {
        {{.error = "could not resolve host"}, "could not resolve host"},
        {{.status = 500}, "the answer has status 500 where 200 was expected"},
        {{.status = 404}, "the answer has status 404 where 200 was expected"},
        {{.status = 204}, "the answer has status 204 where 200 was expected"},
        {{.status = 302}, "the answer has status 302 where 200 was expected"},
        {{.status = 304}, "the answer has status 304 where 200 was expected"},
        {{.status = 200, .body = S("")}, "the key set is empty"},
        {{.status = 200, .body = S("[]")}, "the key set is not a JSON object"},
        {{.status = 200, .body = S("{}")}, "the key set has no \\\"keys\\\" that is an array"},
        {{.status = 200, .body = S("{\"keys\":{}}")}, "that is an array"},
        {{.status = 200, .body = S("{\"keys\":null}")}, "that is an array"},
        {{.status = 200, .body = S("{\"keys\":[]}")}, "the key set holds no usable key"},
        {{.status = 200, .body = S("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}")},
         "the key set holds no usable key (1 unusable"},
        {{.status = 200, .body = S("<html>")}, "the key set is not valid JSON"},
        {{.status = 200, .body = S("{\"keys\":[{\"kty\"")}, "the key set is not valid JSON"},
    };
    struct world world;
    open_world(&world, JWKS_URI);
    refresh_well(&world, -1);
    struct keyset *good = world.source.keys;
    int64_t stale_at = source_stale_at(&world.source);
    now_ms += 12 * 60000;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        forget_log();
        source_refresh(&world.source);
        answer(cases[i].reply);
        ck_assert_ptr_eq(world.source.keys, good);
        ck_assert_int_eq(source_stale_at(&world.source), stale_at);
        ck_assert_int_eq(ended.count, (int)i + 2);
        ck_assert_int_eq(ended.fresh, 1);
        ck_assert_msg(strstr(logged(), cases[i].log) != NULL, "%s", logged());
        ck_assert_ptr_nonnull(strstr(logged(), "keys not refreshed, keeping the old ones"));
        ck_assert_ptr_nonnull(strstr(logged(), "12 min"));
    }
    close_world(&world);
}

TEST(without_memory_a_refresh_ends_at_once_as_failed) {
    struct world world;
    open_world(&world, JWKS_URI);
    asked.out_of_memory = true;
    source_refresh(&world.source);
    ck_assert_int_eq(ended.count, 1);
    ck_assert_int_eq(ended.fresh, 0);
    ck_assert_ptr_nonnull(strstr(logged(), "out of memory"));
    close_world(&world);
}

TEST(new_keys_replace_the_old_ones_whole) {
    struct world world;
    const struct key *key;
    open_world(&world, JWKS_URI);
    refresh_well(&world, -1);
    now_ms += 5000;
    char *jwks = one_key(MINT_RSA, "new");
    source_refresh(&world.source);
    answer_body(span_of(jwks), -1);
    free(jwks);
    ck_assert_int_eq(keyset_find(world.source.keys, S("new"), ALG_RS256, &key), KEY_FOUND);
    ck_assert_int_eq(keyset_find(world.source.keys, S("k"), ALG_ES256, &key), KEY_UNKNOWN);
    ck_assert_int_eq(source_stale_at(&world.source), now_ms + 24 * HOUR);
    close_world(&world);
}

TEST(f3_f6_skipped_and_private_keys_are_logged_once_while_nothing_changes) {
    struct world world;
    open_world(&world, JWKS_URI);
    json_t *jwk = mint_jwk(mint_key(MINT_P256), "k", NULL);
    json_object_set_new(jwk, "d", json_string("PRIVATE"));
    char *jwks = MINT_JWKS(jwk, json_pack("{s:s,s:s,s:s}", "kty", "oct", "kid", "a\nb", "k", "AA"));
    for (int i = 0; i < 2; i++) {
        forget_log();
        source_refresh(&world.source);
        answer_body(span_of(jwks), -1);
        bool first = i == 0;
        ck_assert((strstr(logged(), "unusable key skipped") != NULL) == first);
        ck_assert((strstr(logged(), "publishes a private key") != NULL) == first);
        ck_assert_ptr_nonnull(strstr(logged(), first ? "new keys" : "keys unchanged"));
        ck_assert_ptr_null(strstr(logged(), "PRIVATE"));
        ck_assert_ptr_null(strstr(logged(), "a\nb"));
    }
    free(jwks);

    /* The same usable key, and one more that is not. */
    jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k", NULL), json_null(), json_null());
    forget_log();
    source_refresh(&world.source);
    answer_body(span_of(jwks), -1);
    ck_assert_ptr_nonnull(strstr(logged(), "unusable key skipped"));
    free(jwks);
    close_world(&world);
}

/* --- from one source to the next ------------------------------------------------------------- */

TEST(a_source_inherits_keys_timers_and_pulse) {
    struct world world, heir;
    open_world(&world, JWKS_URI);
    refresh_well(&world, -1);
    refresh_badly(&world);
    open_world(&heir, JWKS_URI ", leeway: 0");
    source_inherit(&heir.source, &world.source);
    ck_assert_ptr_eq(heir.source.keys, world.source.keys);
    ck_assert_ptr_eq(heir.source.pulse, world.source.pulse);
    ck_assert_int_eq(heir.source.due_ms, world.source.due_ms);
    ck_assert_uint_eq(heir.source.failures, 1);
    ck_assert(heir.source.attempted);
    close_world(&world);
    ck_assert_uint_eq(heir.source.keys->count, 1);
    ck_assert_int_eq(source_stale_at(&heir.source), now_ms + 24 * HOUR);
    close_world(&heir);
}

TEST(an_heir_with_a_shorter_interval_does_not_wait_for_the_longer_one) {
    struct world world, heir;
    open_world(&world, JWKS_URI);
    refresh_well(&world, -1);
    open_world(&heir, JWKS_URI ", refresh_interval: 10s");
    source_inherit(&heir.source, &world.source);
    ck_assert_int_eq(heir.source.due_ms, now_ms + 10000);
    close_world(&world);
    close_world(&heir);
}

static void set_state_directory(struct world *world, const char *folder) {
    free(world->config->state_directory);
    world->config->state_directory = strdup(folder);
}

TEST(a_restart_goes_on_with_the_copy_and_its_age) {
    struct world world, next;
    char *folder = scratch_new();
    open_world(&world, JWKS_URI);
    set_state_directory(&world, folder);
    refresh_well(&world, -1);
    close_world(&world);

    now_ms += 3 * HOUR;
    open_world(&next, JWKS_URI);
    set_state_directory(&next, folder);
    source_load_copy(&next.source);
    ck_assert_ptr_nonnull(next.source.keys);
    ck_assert_str_eq(next.source.keys->keys[0].kid, "k");
    ck_assert_int_eq(source_stale_at(&next.source), now_ms + 21 * HOUR);
    ck_assert_int_eq(next.source.due_ms, now_ms); /* still to be refreshed at once */
    ck_assert(!next.source.attempted);
    ck_assert_ptr_nonnull(strstr(logged(), "keys taken from the disk copy"));
    ck_assert_ptr_nonnull(strstr(logged(), "3 h"));
    close_world(&next);

    now_ms += 21 * HOUR;
    open_world(&next, JWKS_URI);
    set_state_directory(&next, folder);
    source_load_copy(&next.source);
    ck_assert_ptr_null(next.source.keys);
    ck_assert_ptr_nonnull(strstr(logged(), "disk copy of keys not used"));
    ck_assert_ptr_nonnull(strstr(logged(), "is older than max_stale"));
    close_world(&next);
    free(folder);
}

TEST(without_a_copy_or_a_folder_nothing_is_said) {
    struct world world;
    char *folder = scratch_new();
    open_world(&world, JWKS_URI);
    source_load_copy(&world.source);
    set_state_directory(&world, folder);
    source_load_copy(&world.source);
    ck_assert_ptr_null(world.source.keys);
    ck_assert_str_eq(logged(), "");
    close_world(&world);
    free(folder);
}

TEST(a_copy_that_cannot_be_written_is_no_failure_of_the_refresh) {
    struct world world;
    open_world(&world, JWKS_URI);
    set_state_directory(&world, "/nonexistent/folder");
    refresh_well(&world, -1);
    ck_assert_int_eq(ended.fresh, 1);
    ck_assert_ptr_nonnull(strstr(logged(), "keys not copied to disk, going on without"));
    close_world(&world);
}

/* --- from a file ----------------------------------------------------------------------------- */

TEST(keys_from_a_file_are_never_fetched_or_copied) {
    struct world world;
    char *folder = scratch_new(), *state = scratch_new();
    char *jwks = one_key(MINT_P256, "k");
    char *path = scratch_file(folder, "jwks.json", span_of(jwks));
    char *options = scratch_text("jwks_file: \"%s\"", path);
    open_world(&world, options);
    set_state_directory(&world, state);
    source_refresh(&world.source);
    ck_assert_int_eq(asked.count, 0);
    ck_assert_int_eq(ended.fresh, 1);
    ck_assert_int_eq(world.source.due_ms, now_ms + HOUR);
    ck_assert_int_eq(rmdir(state), 0); /* still empty */

    ck_assert_int_eq(unlink(path), 0);
    source_refresh(&world.source);
    ck_assert_int_eq(ended.count, 2);
    ck_assert_int_eq(ended.fresh, 1);
    ck_assert_ptr_nonnull(world.source.keys);
    ck_assert_ptr_nonnull(strstr(logged(), "No such file or directory"));

    char *large = malloc(1048577);
    memset(large, ' ', 1048577);
    free(scratch_file(folder, "jwks.json", (struct span){large, 1048577}));
    source_refresh(&world.source);
    ck_assert_ptr_nonnull(strstr(logged(), "the file is larger than fetch.max_body"));
    ck_assert_uint_eq(world.source.keys->count, 1);
    free(large);

    free(scratch_file(folder, "jwks.json", S("{\"keys\":[")));
    source_refresh(&world.source);
    ck_assert_ptr_nonnull(strstr(logged(), "the key set is not valid JSON"));
    ck_assert_int_eq(ended.count, 4);
    ck_assert_int_eq(ended.fresh, 1);
    ck_assert_uint_eq(world.source.failures, 3);
    close_world(&world);
    free(options);
    free(path);
    free(jwks);
    free(state);
    free(folder);
}
