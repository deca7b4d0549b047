/* The source is compiled in, for its delays and for when its thread ends. */
#include "server/proxy/resolver.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/clock.h"
#include "server/proxy/resolver.c"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

/* Longer than any test waits for something that should happen. */
#define LONG_MS 10000
/* Nothing is looked up a second time within a test, unless it says so. */
#define NEVER_MS 3600000

/* --- a clock that a test may put forward ----------------------------------------------------- */

static _Atomic int64_t ahead_ms;

static int64_t tell_wall(void) {
    return 1575769457000;
}

static int64_t tell_monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + atomic_load(&ahead_ms);
}

static const struct clock_source own_clock = {tell_wall, tell_monotonic};

/* --- names in our hands ---------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct {
        const char *name;
        const char *addresses; /* separated by spaces; NULL: code */
        int code;
        unsigned asked;
        int64_t asked_ms[16]; /* when, of the first ones */
    } items[8];
    bool hold; /* look-ups do not return */
    unsigned held;
} names = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

static size_t index_of(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(names.items) && names.items[i].name; i++)
        if (strcmp(names.items[i].name, name) == 0) return i;
    return ARRAY_LEN(names.items);
}

/* What a name gives from now on: addresses, or that EAI_*. */
static void set_name(const char *name, const char *addresses, int code) {
    pthread_mutex_lock(&names.lock);
    size_t i = index_of(name);
    if (i == ARRAY_LEN(names.items))
        for (i = 0; names.items[i].name;) i++;
    names.items[i].name = name;
    names.items[i].addresses = addresses;
    names.items[i].code = code;
    pthread_mutex_unlock(&names.lock);
}

static unsigned asked(const char *name) {
    pthread_mutex_lock(&names.lock);
    unsigned count = names.items[index_of(name)].asked;
    pthread_mutex_unlock(&names.lock);
    return count;
}

static bool wait_asked(const char *name, unsigned count) {
    for (int i = 0; i < LONG_MS; i++) {
        if (asked(name) >= count) return true;
        process_sleep_ms(1);
    }
    return false;
}

static void hold_names(bool hold) {
    pthread_mutex_lock(&names.lock);
    names.hold = hold;
    pthread_cond_broadcast(&names.news);
    pthread_mutex_unlock(&names.lock);
}

static bool wait_held(void) {
    for (int i = 0; i < LONG_MS; i++) {
        pthread_mutex_lock(&names.lock);
        unsigned held = names.held;
        pthread_mutex_unlock(&names.lock);
        if (held) return true;
        process_sleep_ms(1);
    }
    return false;
}

static int own_look_up(const char *name, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret) {
    struct addrinfo numeric = *hints, **end = ret;
    int code = EAI_NONAME;
    const char *addresses = NULL;

    pthread_mutex_lock(&names.lock);
    names.held++;
    while (names.hold) pthread_cond_wait(&names.news, &names.lock);
    names.held--;
    size_t i = index_of(name);
    if (i < ARRAY_LEN(names.items)) {
        addresses = names.items[i].addresses;
        code = addresses ? 0 : names.items[i].code;
        if (names.items[i].asked < ARRAY_LEN(names.items[i].asked_ms))
            names.items[i].asked_ms[names.items[i].asked] = clock_monotonic_ms();
        names.items[i].asked++;
    }
    pthread_mutex_unlock(&names.lock);

    struct span rest = span_of(addresses), piece;
    numeric.ai_flags |= AI_NUMERICHOST;
    numeric.ai_flags &= ~AI_ADDRCONFIG;
    while (code == 0 && span_next(&rest, ' ', &piece)) {
        char text[64];
        snprintf(text, sizeof text, "%.*s", SPAN_PRINTF(piece));
        code = getaddrinfo(text, port, &numeric, end);
        end = &(*end)->ai_next;
    }
    errno = ETIMEDOUT;
    return code;
}

static void own_release(struct addrinfo *found) {
    while (found) {
        struct addrinfo *next = found->ai_next;
        found->ai_next = NULL;
        freeaddrinfo(found);
        found = next;
    }
}

static const struct resolver_source own_names = {own_look_up, own_release};

/* --- upstreams and a resolver ---------------------------------------------------------------- */

/* One upstream with these targets, separated by commas. Dropped by done(). */
static struct upstreams *make(const char *targets, const struct upstreams *previous) {
    struct config *config = calloc(1, sizeof *config);
    struct upstreams *made = NULL;
    struct err_text err = {""};
    struct span rest = span_of(targets), piece;

    config->upstreams = calloc(1, sizeof *config->upstreams);
    config->upstream_count = 1;
    ref_init(&config->ref);
    static char none[] = "", name[] = "u";
    struct config_upstream *upstream = config->upstreams;
    *upstream = (struct config_upstream){
        .name = name, .tls = {none, none, none, none}, .health = {.path = none}};
    upstream->targets.items = calloc(16, sizeof(char *));
    while (span_next(&rest, ',', &piece))
        upstream->targets.items[upstream->targets.count++] = strndup(piece.ptr, piece.len);
    ck_assert_msg(upstreams_new(config, 1, previous, &made, &err) == 0, "%s", err.text);
    return made;
}

/* Fails where somebody still holds them. */
static void done(struct upstreams *made) {
    struct config *config = made->config;
    ck_assert_uint_eq(atomic_load(&made->ref.count), 1);
    upstreams_unref(made);
    ck_assert_uint_eq(atomic_load(&config->ref.count), 1);
    for (size_t i = 0; i < config->upstreams->targets.count; i++)
        free(config->upstreams->targets.items[i]);
    free(config->upstreams->targets.items);
    free(config->upstreams);
    free(config);
}

static atomic_uint changes;

static void count_change(void *argument) {
    atomic_fetch_add((atomic_uint *)argument, 1);
}

static void prepare(void) {
    int fd = memfd_create("stderr", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    unsetenv("JOURNAL_STREAM");
    log_configure(LOG_FORMAT_TEXT, LOG_DEBUG);
    clock_replace(&own_clock);
    resolver_replace(&own_names);
}

static struct resolver *start(struct upstreams *upstreams, int64_t interval_ms) {
    struct resolver *resolver = NULL;
    struct err_text err = {""};
    int r = resolver_start(upstreams, interval_ms, count_change, &changes, &resolver, &err);
    ck_assert_msg(r == 0, "%s", err.text);
    return resolver;
}

/* How often text was logged so far. */
static int count_logged(const char *text) {
    static char log[1 << 20];
    ssize_t len = pread(STDERR_FILENO, log, sizeof log - 1, 0);
    ck_assert_int_ge(len, 0);
    log[len] = '\0';
    int count = 0;
    for (const char *at = log; (at = strstr(at, text)); at++) count++;
    return count;
}

/* "10.0.0.1 10.0.0.2"; "" where there is none. */
static const char *addresses_of(struct peer *peer) {
    static char words[PEER_ADDRESSES_MAX * NI_MAXHOST];
    size_t used = 0;
    words[0] = '\0';
    pthread_mutex_lock(&peer->lock);
    for (size_t i = 0; i < peer->address_count; i++) {
        char host[NI_MAXHOST], port[NI_MAXSERV], expected[NI_MAXSERV];
        const struct peer_address *address = &peer->addresses[i];
        ck_assert_int_eq(getnameinfo((const struct sockaddr *)&address->address, address->len, host,
                                     sizeof host, port, sizeof port,
                                     NI_NUMERICHOST | NI_NUMERICSERV),
                         0);
        snprintf(expected, sizeof expected, "%u", peer->port);
        ck_assert_str_eq(port, expected);
        used += (size_t)snprintf(words + used, sizeof words - used, "%s%s", used ? " " : "", host);
    }
    pthread_mutex_unlock(&peer->lock);
    return words;
}

static bool wait_addresses(struct peer *peer, const char *wanted) {
    for (int i = 0; i < LONG_MS; i++) {
        if (strcmp(addresses_of(peer), wanted) == 0) return true;
        process_sleep_ms(1);
    }
    return false;
}

static bool wait_logged(const char *text, int count) {
    for (int i = 0; i < LONG_MS; i++) {
        if (count_logged(text) >= count) return true;
        process_sleep_ms(1);
    }
    return false;
}

/* --- tests ----------------------------------------------------------------------------------- */

TEST(names_become_addresses_with_the_port_of_their_target) {
    prepare();
    set_name("a", "10.0.0.1", 0);
    set_name("b", "2001:db8::1 10.0.0.2", 0);
    struct upstreams *made = make("http://a:81,https://b,http://10.9.9.9,unix:/s", NULL);
    struct resolver *resolver = start(made, NEVER_MS);
    resolver_wait(resolver, LONG_MS);
    struct peer **peers = made->items[0].peers;
    ck_assert_str_eq(addresses_of(peers[0]), "10.0.0.1");
    ck_assert_str_eq(addresses_of(peers[1]), "2001:db8::1 10.0.0.2");
    ck_assert_str_eq(addresses_of(peers[2]), "10.9.9.9");
    ck_assert_uint_eq(peers[3]->address_count, 1);
    ck_assert_uint_eq(changes, 2);
    ck_assert_int_eq(count_logged("notice: target has new addresses"), 2);
    ck_assert_int_eq(count_logged("upstream=u target=https://b addresses=\"2001:db8::1 10.0.0.2\""),
                     1);
    resolver_stop(resolver);
    done(made);
}

TEST(the_system_knows_localhost) {
    struct upstreams *made = make("http://localhost:81", NULL);
    log_configure(LOG_FORMAT_TEXT, LOG_ERROR);
    struct resolver *resolver = start(made, NEVER_MS);
    resolver_wait(resolver, LONG_MS);
    const char *addresses = addresses_of(made->items[0].peers[0]);
    ck_assert_msg(strstr(addresses, "127.0.0.1") || strstr(addresses, "::1"), "%s", addresses);
    ck_assert_uint_eq(changes, 1);
    resolver_stop(resolver);
    done(made);
}

TEST(without_names_there_is_no_thread_until_a_reload_brings_one) {
    prepare();
    set_name("a", "10.0.0.1", 0);
    struct upstreams *without = make("http://10.0.0.9,unix:/s", NULL);
    struct upstreams *with = make("http://a", NULL);
    struct resolver *resolver = start(without, NEVER_MS);
    ck_assert(!resolver->running);
    resolver_wait(resolver, LONG_MS);
    resolver_reconfigure(resolver, with);
    ck_assert(resolver->running);
    done(without);
    resolver_wait(resolver, LONG_MS);
    ck_assert_str_eq(addresses_of(with->items[0].peers[0]), "10.0.0.1");
    resolver_stop(resolver);
    done(with);

    without = make("http://10.0.0.9", NULL);
    resolver_stop(start(without, NEVER_MS));
    done(without);
    resolver_stop(NULL);
}

TEST(a_changed_address_is_found_and_told_once) {
    prepare();
    set_name("a", "10.0.0.1 10.0.0.2", 0);
    struct upstreams *made = make("http://a", NULL);
    struct peer *peer = made->items[0].peers[0];
    struct resolver *resolver = start(made, 5);
    ck_assert(wait_addresses(peer, "10.0.0.1 10.0.0.2"));
    /* Another order is no change. */
    set_name("a", "10.0.0.2 10.0.0.1 10.0.0.2", 0);
    ck_assert(wait_asked("a", asked("a") + 3));
    ck_assert_str_eq(addresses_of(peer), "10.0.0.1 10.0.0.2");
    ck_assert_int_eq(count_logged("target has new addresses"), 1);
    set_name("a", "10.0.0.3 10.0.0.2", 0);
    ck_assert(wait_addresses(peer, "10.0.0.2 10.0.0.3"));
    set_name("a", "10.0.0.3", 0);
    ck_assert(wait_addresses(peer, "10.0.0.3"));
    ck_assert(wait_asked("a", asked("a") + 3));
    ck_assert_int_eq(count_logged("target has new addresses"), 3);
    ck_assert_int_eq(count_logged("addresses=\"10.0.0.2 10.0.0.3\""), 1);
    /* That was no first address. */
    ck_assert_uint_eq(changes, 1);
    resolver_stop(resolver);
    done(made);
}

TEST(of_more_addresses_than_fit_those_in_use_are_kept) {
    prepare();
    set_name("a",
             "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 10.0.0.8 "
             "10.0.0.9 10.0.0.10",
             0);
    struct upstreams *made = make("http://a", NULL);
    struct peer *peer = made->items[0].peers[0];
    struct resolver *resolver = start(made, 5);
    static const char *const first = "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 "
                                     "10.0.0.7 10.0.0.8";
    ck_assert(wait_addresses(peer, first));
    set_name("a",
             "10.0.0.10 10.0.0.9 10.0.0.8 10.0.0.7 10.0.0.6 10.0.0.5 10.0.0.4 10.0.0.3 "
             "10.0.0.2 10.0.0.1",
             0);
    ck_assert(wait_asked("a", asked("a") + 3));
    ck_assert_str_eq(addresses_of(peer), first);
    ck_assert_int_eq(count_logged("target has new addresses"), 1);
    resolver_stop(resolver);
    done(made);
}

TEST(a_name_that_is_not_found_keeps_its_addresses_and_is_told_once) {
    prepare();
    set_name("a", "10.0.0.1", 0);
    struct upstreams *made = make("http://a", NULL);
    struct peer *peer = made->items[0].peers[0];
    struct resolver *resolver = start(made, 5);
    ck_assert(wait_addresses(peer, "10.0.0.1"));
    set_name("a", NULL, EAI_AGAIN);
    ck_assert(wait_asked("a", asked("a") + 4));
    ck_assert_str_eq(addresses_of(peer), "10.0.0.1");
    ck_assert_int_eq(count_logged("warning: name not found, keeping the old addresses"), 1);
    ck_assert_int_eq(count_logged(gai_strerror(EAI_AGAIN)), 1);
    ck_assert_int_eq(count_logged("kept=1"), 1);
    /* Another reason is news, and so is that it is over. */
    set_name("a", NULL, EAI_SYSTEM);
    ck_assert(wait_logged(strerror(ETIMEDOUT), 1));
    set_name("a", "10.0.0.1", 0);
    ck_assert(wait_logged("notice: name is found again", 1));
    ck_assert(wait_asked("a", asked("a") + 3));
    ck_assert_int_eq(count_logged("name is found again"), 1);
    ck_assert_int_eq(count_logged("name not found"), 2);
    ck_assert_uint_eq(changes, 1);
    resolver_stop(resolver);
    ck_assert_uint_eq(peer->lookup.failures, 0);
    done(made);
}

TEST(a_name_that_was_never_found_says_why_and_may_come_later) {
    prepare();
    set_name("a", NULL, EAI_NONAME);
    set_name("b", "", 0);
    struct upstreams *made = make("http://a,http://b", NULL);
    struct peer **peers = made->items[0].peers;
    struct resolver *resolver = start(made, 5);
    resolver_wait(resolver, LONG_MS);
    struct peer_address address;
    struct err_text err;
    char *expected = scratch_text("a has no address: %s", gai_strerror(EAI_NONAME));
    ck_assert(!peer_next_address(peers[0], &address, &err));
    ck_assert_str_eq(err.text, expected);
    free(expected);
    /* An answer without any address is no answer. */
    expected = scratch_text("b has no address: %s", gai_strerror(EAI_NODATA));
    ck_assert(!peer_next_address(peers[1], &address, &err));
    ck_assert_str_eq(err.text, expected);
    free(expected);
    ck_assert_uint_eq(changes, 0);
    set_name("a", "10.0.0.1", 0);
    ck_assert(wait_addresses(peers[0], "10.0.0.1"));
    resolver_stop(resolver);
    ck_assert_uint_eq(changes, 1);
    done(made);
}

TEST(delays_between_failures_double_up_to_the_interval) {
    static const struct {
        unsigned failures;
        int64_t interval_ms;
        int64_t delay_ms;
    } rows[] = {
        {1, 30000, 1000},
        {2, 30000, 2000},
        {3, 30000, 4000},
        {5, 30000, 16000},
        {6, 30000, 30000},
        {7, 30000, 30000},
        {1, 500, 500},
        {4000000000, 30000, 30000},
        {20, 1 << 30, 524288000},
        {99, 1 << 30, 524288000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t least = INT64_MAX, most = 0;
        for (int n = 0; n < 200; n++) {
            int64_t delay = retry_delay(rows[i].failures, rows[i].interval_ms);
            if (delay < least) least = delay;
            if (delay > most) most = delay;
        }
        ck_assert_int_ge(least, rows[i].delay_ms - rows[i].delay_ms / 5);
        ck_assert_int_le(most, rows[i].delay_ms + rows[i].delay_ms / 5);
        ck_assert_int_lt(least, most);
    }
}

TEST(a_name_that_fails_is_not_asked_for_without_pause) {
    prepare();
    set_name("a", NULL, EAI_AGAIN);
    struct upstreams *made = make("http://a", NULL);
    struct resolver *resolver = start(made, 60000);
    for (int i = 0; i < LONG_MS && asked("a") < 5; i++) {
        atomic_fetch_add(&ahead_ms, 20);
        resolver_reconfigure(resolver, made); /* wakes it */
        process_sleep_ms(1);
    }
    ck_assert_uint_ge(asked("a"), 5);
    resolver_stop(resolver);
    const int64_t *times = names.items[0].asked_ms;
    for (int i = 0; i < 4; i++) ck_assert_int_ge(times[i + 1] - times[i], 800 << i);
    ck_assert_int_eq(count_logged("name not found"), 1);
    done(made);
}

TEST(a_reload_asks_for_new_names_only) {
    prepare();
    set_name("a", "10.0.0.1", 0);
    set_name("b", "10.0.0.2", 0);
    set_name("c", "10.0.0.3", 0);
    struct upstreams *before = make("http://a,http://b", NULL);
    struct resolver *resolver = start(before, NEVER_MS);
    resolver_wait(resolver, LONG_MS);
    struct upstreams *after = make("http://b,http://c,http://a:81", before);
    struct peer **peers = after->items[0].peers;
    resolver_reconfigure(resolver, after);
    done(before);
    /* A new target of an old name serves at once. */
    ck_assert_str_eq(addresses_of(peers[2]), "10.0.0.1");
    resolver_wait(resolver, LONG_MS);
    ck_assert_str_eq(addresses_of(peers[0]), "10.0.0.2");
    ck_assert_str_eq(addresses_of(peers[1]), "10.0.0.3");
    ck_assert_uint_eq(asked("a"), 2);
    ck_assert_uint_eq(asked("b"), 1);
    ck_assert_uint_eq(asked("c"), 1);
    ck_assert_uint_eq(changes, 3);
    resolver_stop(resolver);
    done(after);
}

TEST(waiting_ends_when_its_time_is_over) {
    prepare();
    set_name("a", "10.0.0.1", 0);
    hold_names(true);
    struct upstreams *made = make("http://a", NULL);
    struct resolver *resolver = start(made, NEVER_MS);
    resolver_wait(resolver, 20);
    ck_assert_str_eq(addresses_of(made->items[0].peers[0]), "");
    hold_names(false);
    resolver_wait(resolver, LONG_MS);
    ck_assert_str_eq(addresses_of(made->items[0].peers[0]), "10.0.0.1");
    resolver_stop(resolver);
    done(made);
}

TEST(a_reload_during_a_look_up_waits_for_nothing_and_may_drop_its_target) {
    prepare();
    set_name("a", "10.0.0.1", 0);
    set_name("b", "10.0.0.2", 0);
    hold_names(true);
    struct upstreams *before = make("http://a", NULL), *after = make("http://b", NULL);
    struct resolver *resolver = start(before, NEVER_MS);
    ck_assert(wait_held());
    resolver_reconfigure(resolver, after);
    done(before);
    hold_names(false);
    resolver_wait(resolver, LONG_MS);
    ck_assert_str_eq(addresses_of(after->items[0].peers[0]), "10.0.0.2");
    resolver_stop(resolver);
    done(after);
}

TEST(a_stop_does_not_wait_for_a_look_up_that_hangs) {
    prepare();
    set_name("a", "10.0.0.1", 0);
    hold_names(true);
    struct upstreams *made = make("http://a", NULL);
    struct resolver *resolver = start(made, NEVER_MS);
    ck_assert(wait_held());
    ref_take(&resolver->ref);
    long began = process_now_ms();
    resolver_stop(resolver);
    ck_assert_int_lt(process_now_ms() - began, RESOLVER_STOP_MS + 5000);
    /* Nothing of ours is held any more, and nothing is told. */
    done(made);
    hold_names(false);
    for (int i = 0; i < LONG_MS && atomic_load(&resolver->ref.count) > 1; i++) process_sleep_ms(1);
    ck_assert_uint_eq(atomic_load(&resolver->ref.count), 1);
    resolver_unref(resolver);
    ck_assert_uint_eq(changes, 0);
    ck_assert_int_eq(count_logged("target has new addresses"), 0);
}

TEST(a_stop_wakes_a_resolver_that_sleeps) {
    prepare();
    set_name("a", "10.0.0.1", 0);
    struct upstreams *made = make("http://a", NULL);
    struct resolver *resolver = start(made, NEVER_MS);
    resolver_wait(resolver, LONG_MS);
    ref_take(&resolver->ref);
    resolver_stop(resolver);
    /* It has ended, and was not left behind. */
    ck_assert(resolver->ended);
    ck_assert_uint_eq(atomic_load(&resolver->ref.count), 1);
    resolver_unref(resolver);
    done(made);
}

static void *take_addresses(void *argument) {
    struct peer *peer = argument;
    size_t *taken = calloc(1, sizeof *taken);
    while (*taken < 20000) {
        struct peer_address address;
        if (peer_next_address(peer, &address, NULL)) ++*taken;
    }
    return taken;
}

TEST(workers_take_addresses_while_they_change) {
    prepare();
    set_name("a", "10.0.0.1 10.0.0.2", 0);
    struct upstreams *made = make("http://a", NULL);
    struct peer *peer = made->items[0].peers[0];
    struct resolver *resolver = start(made, 1);
    pthread_t threads[2];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_addresses, peer), 0);
    for (unsigned i = 0; i < 20; i++) {
        set_name("a", i % 2 ? "10.0.0.1 10.0.0.2" : "10.0.0.3", 0);
        ck_assert(wait_addresses(peer, i % 2 ? "10.0.0.1 10.0.0.2" : "10.0.0.3"));
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        void *taken = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &taken), 0);
        ck_assert_uint_eq(*(size_t *)taken, 20000);
        free(taken);
    }
    resolver_stop(resolver);
    done(made);
}
