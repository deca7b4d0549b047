/* Keystores whose keys come from files: no socket is opened. */
#include "server/keys/keystore.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/support/mint.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

/* --- a clock that a test may put forward ----------------------------------------------------- */

static _Atomic int64_t ahead_ms;

static int64_t read_clock(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + atomic_load(&ahead_ms);
}

static int64_t tell_wall(void) {
    return read_clock(CLOCK_REALTIME);
}

static int64_t tell_monotonic(void) {
    return read_clock(CLOCK_MONOTONIC);
}

static const struct clock_source own_clock = {tell_wall, tell_monotonic};

/* The refresh thread notices within half a second. */
static void put_forward(int64_t seconds) {
    atomic_fetch_add(&ahead_ms, seconds * 1000);
}

/* --- a keystore ------------------------------------------------------------------------------ */

/* A keystore, and how often its refresh thread called back. */
struct house {
    char *folder;
    struct config *config;
    struct keystore *store;
    atomic_int changes;
};

static void count_change(void *argument) {
    struct house *house = argument;
    atomic_fetch_add(&house->changes, 1);
}

/* Replace a file of keys at once, as an operator should. */
static void put_text(const char *folder, const char *name, struct span text) {
    char *fresh = scratch_file(folder, "fresh", text);
    char *path = scratch_text("%s/%s", folder, name);
    ck_assert_int_eq(rename(fresh, path), 0);
    free(path);
    free(fresh);
}

static void put_key(const char *folder, const char *name, const char *kid) {
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), kid, NULL));
    put_text(folder, name, span_of(jwks));
    free(jwks);
}

/*
 * Issuers https://i0, https://i1, ... with the files f0, f1, ... in folder. Files that are not
 * there are made, without keys: a configuration must name files that can be read.
 */
static struct config *make_config(const char *folder, int issuers, const char *options) {
    struct config *config = NULL;
    struct config_report report;
    char *yaml = strdup("log: {level: error}\nissuers:\n");
    for (int i = 0; i < issuers; i++) {
        char *name = scratch_text("f%d", i), *path = scratch_text("%s/%s", folder, name);
        if (access(path, F_OK) != 0) put_text(folder, name, S("{\"keys\":[]}"));
        free(path);
        free(name);
        char *more = scratch_text("%s  - {issuer: \"https://i%d\", audiences: [x], "
                                  "jwks_file: \"%s/f%d\"%s%s}\n",
                                  yaml, i, folder, i, *options ? ", " : "", options);
        free(yaml);
        yaml = more;
    }
    ck_assert_msg(config_parse(span_of(yaml), "f", &config, &report) == 0, "%s",
                  report.count ? report.problems[0].text : "");
    config_report_done(&report);
    free(yaml);
    return config;
}

static bool wait_for_changes(struct house *house, int count) {
    for (int i = 0; i < 1000; i++) {
        if (atomic_load(&house->changes) >= count) return true;
        process_sleep_ms(10);
    }
    return false;
}

/* Returns when the first refresh has ended. */
static void start(struct house *house) {
    struct err_text why;
    log_configure(LOG_FORMAT_TEXT, LOG_ERROR);
    clock_replace(&own_clock);
    atomic_init(&house->changes, 0);
    ck_assert_int_eq(keystore_start(house->config, count_change, house, &house->store, &why), 0);
    ck_assert(wait_for_changes(house, 1));
}

static void open_house(struct house *house, const char *options) {
    house->folder = scratch_new();
    put_key(house->folder, "f0", "a");
    house->config = make_config(house->folder, 1, options);
    start(house);
}

static void close_house(struct house *house) {
    keystore_stop(house->store);
    config_unref(house->config);
    free(house->folder);
}

/* Does the newest ring have this key for the issuer at index? */
static bool has_kid(struct house *house, size_t index, const char *kid) {
    const struct key *key;
    uint64_t generation;
    struct keyring *ring = keystore_acquire(house->store, &generation);
    ck_assert_ptr_nonnull(ring);
    struct keyset *keys = index < ring->count ? ring->entries[index].keys : NULL;
    bool found = keys && keyset_find(keys, span_of(kid), ALG_ES256, &key) == KEY_FOUND;
    keyring_unref(ring);
    return found;
}

static bool wait_for_kid(struct house *house, size_t index, const char *kid) {
    for (int i = 0; i < 1000; i++) {
        if (has_kid(house, index, kid)) return true;
        process_sleep_ms(10);
    }
    return false;
}

/* The store says so a moment after the keys are published. */
static bool wait_until_ready(struct house *house) {
    for (int i = 0; i < 1000 && !keystore_is_ready(house->store); i++) process_sleep_ms(10);
    return keystore_is_ready(house->store);
}

static enum keystore_hint hint(struct house *house) {
    uint64_t generation;
    struct keyring *ring = keystore_acquire(house->store, &generation);
    enum keystore_hint result = keystore_hint(house->store, &ring->entries[0], generation);
    keyring_unref(ring);
    return result;
}

TEST(who_has_not_seen_the_newest_keys_is_told_to_look_and_forces_nothing) {
    struct house house;
    open_house(&house, "");
    ck_assert(wait_until_ready(&house));
    uint64_t generation;
    struct keyring *ring = keystore_acquire(house.store, &generation);
    /* The flags of the pulse fall a moment after the keys are published. */
    enum keystore_hint told = HINT_WAIT;
    for (int i = 0; i < 1000 && told == HINT_WAIT; i++) {
        told = keystore_hint(house.store, &ring->entries[0], generation - 1);
        process_sleep_ms(1);
    }
    ck_assert_int_eq(told, HINT_LOOK_AGAIN);
    ck_assert(!atomic_load(&ring->entries[0].pulse->wanted));
    ck_assert_int_eq(keystore_hint(house.store, &ring->entries[0], generation), HINT_WAIT);
    keyring_unref(ring);
    close_house(&house);
}

TEST(keys_are_there_soon_after_the_start) {
    struct house house;
    open_house(&house, "");
    ck_assert(has_kid(&house, 0, "a"));
    ck_assert(keystore_is_ready(house.store));
    ck_assert_uint_gt(keystore_generation(house.store), 1);
    close_house(&house);
}

TEST(without_keys_the_store_starts_and_is_not_ready) {
    struct house house = {.folder = scratch_new()};
    house.config = make_config(house.folder, 1, "");
    start(&house);
    ck_assert(!keystore_is_ready(house.store));
    ck_assert(!has_kid(&house, 0, "a"));
    uint64_t generation;
    struct keyring *ring = keystore_acquire(house.store, &generation);
    ck_assert_ptr_null(ring->entries[0].keys);
    keyring_unref(ring);

    put_key(house.folder, "f0", "a");
    ck_assert_int_eq(hint(&house), HINT_WAIT);
    ck_assert(wait_for_kid(&house, 0, "a"));
    ck_assert(wait_until_ready(&house));
    close_house(&house);
}

TEST(one_issuer_with_keys_is_enough_to_be_ready) {
    struct house house = {.folder = scratch_new()};
    put_key(house.folder, "f1", "b");
    house.config = make_config(house.folder, 2, "");
    start(&house);
    ck_assert(wait_for_kid(&house, 1, "b"));
    ck_assert(wait_until_ready(&house));
    ck_assert(!has_kid(&house, 0, "b"));
    close_house(&house);
}

TEST(refreshes_that_end_together_are_published_together) {
    struct house house = {.folder = scratch_new()};
    uint64_t generation;
    put_key(house.folder, "f0", "a");
    put_key(house.folder, "f99", "b");
    house.config = make_config(house.folder, 100, "");
    start(&house);
    ck_assert(has_kid(&house, 0, "a"));
    ck_assert(has_kid(&house, 99, "b"));
    struct keyring *ring = keystore_acquire(house.store, &generation);
    ck_assert_uint_eq(generation, 2); /* without keys at the start, and then with all of them */
    for (size_t i = 0; i < ring->count; i++)
        ck_assert_msg(!atomic_load(&ring->entries[i].pulse->fetching), "issuer %zu", i);
    keyring_unref(ring);
    close_house(&house);
}

TEST(b13_a_hint_reads_the_keys_anew) {
    struct house house;
    open_house(&house, "");
    uint64_t before = keystore_generation(house.store);
    int changes = atomic_load(&house.changes);
    put_key(house.folder, "f0", "b");
    ck_assert(!has_kid(&house, 0, "b")); /* not by itself: the interval is an hour */

    ck_assert_int_eq(hint(&house), HINT_WAIT);
    ck_assert(wait_for_changes(&house, changes + 1));
    ck_assert(has_kid(&house, 0, "b"));
    ck_assert(!has_kid(&house, 0, "a"));
    ck_assert_uint_gt(keystore_generation(house.store), before);
    close_house(&house);
}

TEST(b14_one_hint_a_cooldown_makes_a_refresh_for_everybody) {
    struct house house;
    open_house(&house, "");
    int changes = atomic_load(&house.changes);
    ck_assert_int_eq(hint(&house), HINT_WAIT);
    ck_assert(wait_for_changes(&house, changes + 1));
    for (int i = 0; i < 10000; i++) ck_assert_int_eq(hint(&house), HINT_TOO_LATE);
    put_key(house.folder, "f0", "b");
    process_sleep_ms(50);
    ck_assert_int_eq(atomic_load(&house.changes), changes + 1);
    ck_assert(has_kid(&house, 0, "a"));
    close_house(&house);
}

TEST(b13_a_hint_is_heard_at_once) {
    struct house house;
    open_house(&house, "");
    long before = process_now_ms();
    for (int i = 0; i < 10; i++) {
        int changes = atomic_load(&house.changes);
        put_forward(30);
        ck_assert_int_eq(hint(&house), HINT_WAIT);
        ck_assert(wait_for_changes(&house, changes + 1));
    }
    /* A thread that was not woken would take half a second each time. */
    ck_assert_int_lt(process_now_ms() - before, 2500);
    close_house(&house);
}

TEST(b14_the_cooldown_holds_where_the_refresh_fails) {
    struct house house = {.folder = scratch_new()};
    put_text(house.folder, "f0", S("{\"keys\":[]}"));
    house.config = make_config(house.folder, 1, "refresh_interval: 1h");
    start(&house);
    ck_assert_int_eq(hint(&house), HINT_WAIT);
    ck_assert(wait_for_changes(&house, 2));
    for (int i = 0; i < 1000; i++) ck_assert_int_eq(hint(&house), HINT_TOO_LATE);
    close_house(&house);
}

TEST(a_cooldown_ends) {
    struct house house;
    open_house(&house, "refresh_cooldown: 1m");
    ck_assert_int_eq(hint(&house), HINT_WAIT);
    ck_assert(wait_for_changes(&house, 2));
    put_key(house.folder, "f0", "b");
    put_forward(30);
    ck_assert_int_eq(hint(&house), HINT_TOO_LATE);
    put_forward(30);
    ck_assert_int_eq(hint(&house), HINT_WAIT);
    ck_assert(wait_for_kid(&house, 0, "b"));
    close_house(&house);
}

TEST(f1_a_broken_file_keeps_the_keys) {
    static const char *const broken[] = {"", "[]", "{\"keys\":[]}", "<html>", "{\"keys\":[null]}"};
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct house house;
        open_house(&house, "");
        put_text(house.folder, "f0", span_of(broken[i]));
        uint64_t generation = keystore_generation(house.store);
        int changes = atomic_load(&house.changes);
        ck_assert_int_eq(hint(&house), HINT_WAIT);
        ck_assert(wait_for_changes(&house, changes + 1));
        ck_assert_msg(has_kid(&house, 0, "a"), "%s", broken[i]);
        ck_assert_uint_eq(keystore_generation(house.store), generation); /* nothing is new */
        ck_assert(keystore_is_ready(house.store));
        close_house(&house);
    }
}

TEST(a_refresh_comes_by_itself_when_it_is_due) {
    struct house house;
    open_house(&house, "refresh_interval: 2h");
    put_key(house.folder, "f0", "b");
    put_forward(7000);
    process_sleep_ms(600);
    ck_assert(has_kid(&house, 0, "a"));
    put_forward(200);
    ck_assert(wait_for_kid(&house, 0, "b"));
    close_house(&house);
}

TEST(readiness_ends_when_the_keys_go_stale) {
    struct house house;
    open_house(&house, "max_stale: 2h");
    put_text(house.folder, "f0", S("broken"));
    int changes = atomic_load(&house.changes);
    put_forward(7100);
    ck_assert(wait_for_changes(&house, changes + 1)); /* tried, in vain */
    ck_assert(keystore_is_ready(house.store));
    put_forward(200);
    for (int i = 0; i < 1000 && keystore_is_ready(house.store); i++) process_sleep_ms(10);
    ck_assert(!keystore_is_ready(house.store));
    put_key(house.folder, "f0", "b");
    put_forward(60);
    ck_assert(wait_until_ready(&house));
    close_house(&house);
}

TEST(after_a_failure_the_file_is_read_again_soon) {
    struct house house = {.folder = scratch_new()};
    house.config = make_config(house.folder, 1, "");
    start(&house);
    put_key(house.folder, "f0", "a");
    ck_assert(wait_for_kid(&house, 0, "a")); /* a second, more or less, and no hint */
    close_house(&house);
}

TEST(keys_go_stale_by_the_configured_time) {
    struct house house;
    open_house(&house, "max_stale: 2h");
    uint64_t generation;
    struct keyring *ring = keystore_acquire(house.store, &generation);
    int64_t left = ring->entries[0].stale_at_ms - clock_monotonic_ms();
    ck_assert(left > 7200000 - 5000 && left <= 7200000);
    keyring_unref(ring);
    close_house(&house);
}

/* --- another configuration ------------------------------------------------------------------- */

static void reconfigure(struct house *house, struct config *config) {
    ck_assert_int_eq(keystore_reconfigure(house->store, config), 0);
    config_unref(house->config);
    house->config = config;
}

TEST(keys_of_an_unchanged_source_survive_a_reload) {
    struct house house;
    open_house(&house, "");
    uint64_t generation;
    struct keyring *before = keystore_acquire(house.store, &generation);
    put_text(house.folder, "f0", S("broken"));
    reconfigure(&house, make_config(house.folder, 1, "leeway: 0"));
    ck_assert(has_kid(&house, 0, "a"));

    struct keyring *after = keystore_acquire(house.store, &generation);
    ck_assert_ptr_ne(after, before);
    ck_assert_ptr_eq(after->config, house.config);
    ck_assert_ptr_eq(after->entries[0].keys, before->entries[0].keys);
    ck_assert_ptr_eq(after->entries[0].pulse, before->entries[0].pulse);
    ck_assert_int_eq(after->entries[0].issuer->leeway, 0);
    ck_assert_int_eq(before->entries[0].issuer->leeway, 60000); /* who holds it sees no change */
    keyring_unref(before);
    keyring_unref(after);
    close_house(&house);
}

TEST(the_cooldown_survives_a_reload) {
    struct house house;
    open_house(&house, "");
    ck_assert_int_eq(hint(&house), HINT_WAIT);
    ck_assert(wait_for_changes(&house, 2));
    reconfigure(&house, make_config(house.folder, 1, "leeway: 0"));
    ck_assert_int_eq(hint(&house), HINT_TOO_LATE);
    close_house(&house);
}

TEST(issuers_come_and_go_with_a_reload) {
    struct house house;
    open_house(&house, "");
    put_key(house.folder, "f1", "b");
    reconfigure(&house, make_config(house.folder, 2, ""));
    ck_assert(has_kid(&house, 0, "a"));
    ck_assert(wait_for_kid(&house, 1, "b"));
    reconfigure(&house, make_config(house.folder, 1, ""));
    ck_assert(has_kid(&house, 0, "a"));
    ck_assert(!has_kid(&house, 1, "b"));

    char *elsewhere = scratch_new(); /* the same issuer from another file: nothing is kept */
    reconfigure(&house, make_config(elsewhere, 1, ""));
    ck_assert(!has_kid(&house, 0, "a"));
    free(elsewhere);
    close_house(&house);
}

static void *read_all_the_time(void *argument) {
    struct house *house = argument;
    int readings = 0;
    for (int64_t end = clock_monotonic_ms() + 500; clock_monotonic_ms() < end; readings++)
        if (!has_kid(house, 0, "a")) return NULL;
    return readings > 10 ? house : NULL;
}

TEST(readers_never_see_a_gap_while_everything_changes) {
    struct house house;
    pthread_t readers[2];
    void *result;
    open_house(&house, "");
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_all_the_time, &house), 0);
    for (int i = 0; i < 100; i++) {
        reconfigure(&house, make_config(house.folder, 1 + i % 3, ""));
        hint(&house);
    }
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        pthread_join(readers[i], &result);
        ck_assert_ptr_eq(result, &house);
    }
    close_house(&house);
}

TEST(the_heartbeat_goes_on_and_stopping_is_prompt) {
    struct house house;
    open_house(&house, "");
    for (int i = 0; i < 20; i++) {
        int64_t age = clock_monotonic_ms() - keystore_heartbeat(house.store);
        ck_assert(age >= -1 && age <= KEYSTORE_HEARTBEAT_MS);
        process_sleep_ms(60);
    }
    long before = process_now_ms();
    close_house(&house);
    ck_assert_int_lt(process_now_ms() - before, 2000);
    keystore_stop(NULL);
}
