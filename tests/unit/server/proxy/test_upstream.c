#include "server/proxy/upstream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/support/certificate.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define NOW 1000000
#define RETRY_AFTER 10000

/* --- configurations -------------------------------------------------------------------------- */

/* One upstream in words. What is not set is "" or as it says here. */
struct plan {
    const char *targets; /* separated by commas */
    const char *name;    /* "u" */
    enum balance balance;
    bool never_down; /* else after three failures */
    const char *check_path;
    const char *ca_file;
    const char *certificate;
    const char *private_key;
    const char *server_name;
};

/* Texts that a configuration may own; nobody frees them. */
static char *keep(const char *text) {
    static char pool[1 << 20];
    static size_t used;
    size_t len = text ? strlen(text) : 0;
    ck_assert_uint_lt(used + len, sizeof pool - 1);
    char *kept = pool + used;
    if (len) memcpy(kept, text, len);
    used += len + 1;
    return kept;
}

static struct strings split(const char *list) {
    struct strings strings = {0};
    struct span rest = span_of(list), piece;
    while (span_next(&rest, ',', &piece)) {
        strings.items = realloc(strings.items, (strings.count + 1) * sizeof(char *));
        char *text = strndup(piece.ptr, piece.len);
        strings.items[strings.count++] = keep(text);
        free(text);
    }
    return strings;
}

static struct config_upstream upstream_of(const struct plan *plan) {
    return (struct config_upstream){
        .name = keep(plan->name ? plan->name : "u"),
        .targets = split(plan->targets),
        .balance = plan->balance,
        .tls = {keep(plan->ca_file), keep(plan->certificate), keep(plan->private_key),
                keep(plan->server_name)},
        .health = {.max_fails = plan->never_down ? 0 : 3,
                   .retry_after = RETRY_AFTER,
                   .path = keep(plan->check_path),
                   .unhealthy_after = 3,
                   .healthy_after = 2},
    };
}

static struct config *config_of(const struct plan *plans, size_t count) {
    struct config *config = calloc(1, sizeof *config);
    ref_init(&config->ref);
    config->upstreams = calloc(count, sizeof *config->upstreams);
    config->upstream_count = count;
    for (size_t i = 0; i < count; i++) config->upstreams[i] = upstream_of(&plans[i]);
    return config;
}

/* Fails where an upstream that should be gone still holds it. */
static void config_done(struct config *config) {
    ck_assert_uint_eq(atomic_load(&config->ref.count), 1);
    for (size_t i = 0; i < config->upstream_count; i++) free(config->upstreams[i].targets.items);
    free(config->upstreams);
    free(config);
}

static int try_make(struct config *config, unsigned workers, const struct upstreams *previous,
                    struct upstreams **ret, struct err_text *err) {
    int r = upstreams_new(config, workers, previous, ret, err);
    config_unref(config);
    return r;
}

static bool capturing;

/* The upstreams of these plans; done() gives them back. */
static struct upstreams *make_from(const struct plan *plans, size_t count, unsigned workers,
                                   const struct upstreams *previous) {
    if (!capturing) log_configure(LOG_FORMAT_TEXT, LOG_ERROR);
    struct config *config = config_of(plans, count);
    struct upstreams *made = NULL;
    struct err_text err = {""};
    config_ref(config);
    ck_assert_msg(try_make(config, workers, previous, &made, &err) == 0, "%s", err.text);
    return made;
}

static struct upstreams *make(const struct plan *plan) {
    return make_from(plan, 1, 2, NULL);
}

static void done(struct upstreams *made) {
    struct config *config = config_ref(made->config);
    upstreams_unref(made);
    config_unref(config);
    config_done(config);
}

/* --- standard error -------------------------------------------------------------------------- */

static void capture(void) {
    int fd = memfd_create("stderr", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    unsetenv("JOURNAL_STREAM");
    log_configure(LOG_FORMAT_TEXT, LOG_DEBUG);
    capturing = true;
}

/* What was logged since the last call; valid until the next. */
static const char *logged(void) {
    static char text[65536];
    off_t len = lseek(STDERR_FILENO, 0, SEEK_CUR);
    ck_assert_int_lt(len, (off_t)sizeof text);
    ck_assert_int_eq(pread(STDERR_FILENO, text, (size_t)len, 0), len);
    text[len] = '\0';
    ck_assert_int_eq(ftruncate(STDERR_FILENO, 0), 0);
    ck_assert_int_eq(lseek(STDERR_FILENO, 0, SEEK_SET), 0);
    return text;
}

#define ASSERT_LOGGED(...)                                                                         \
    do {                                                                                           \
        const char *expected_[] = {__VA_ARGS__}, *log_ = logged();                                 \
        for (size_t i_ = 0; i_ < ARRAY_LEN(expected_); i_++)                                       \
            ck_assert_msg(strstr(log_, expected_[i_]), "no %s in: %s", expected_[i_], log_);       \
    } while (0)
#define ASSERT_SILENT() ck_assert_str_eq(logged(), "")

/* --- choosing, in letters: a is the first target --------------------------------------------- */

static char letter(const struct upstream *upstream, const struct peer *peer) {
    for (size_t i = 0; i < upstream->count; i++)
        if (upstream->peers[i] == peer) return (char)('a' + i);
    return peer ? '?' : '-';
}

static char choose(struct upstream *upstream, int64_t now_ms, const struct peer *except) {
    return letter(upstream, upstream_choose(upstream, now_ms, except));
}

/* So many choices in a row; valid until the next call. */
static const char *choices(struct upstream *upstream, size_t count) {
    static char text[65536];
    ck_assert_uint_lt(count, sizeof text);
    for (size_t i = 0; i < count; i++) text[i] = choose(upstream, NOW, NULL);
    text[count] = '\0';
    return text;
}

static int count_of(const char *text, char wanted) {
    int count = 0;
    for (; *text; text++) count += *text == wanted;
    return count;
}

static void fail_times(struct upstream *upstream, size_t i, int times, int64_t now_ms) {
    while (times-- > 0) peer_failed(upstream->peers[i], upstream->config, now_ms, "no route");
}

static void mark_unhealthy(struct upstream *upstream, size_t i) {
    for (int n = 0; n < 3; n++) peer_checked(upstream->peers[i], upstream->config, false, "503");
}

/* --- what a target is made into -------------------------------------------------------------- */

static const char *words_of(const struct peer *peer) {
    static char words[200], ip[INET6_ADDRSTRLEN];
    const struct sockaddr_storage *address = &peer->addresses[0].address;
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;
    const struct sockaddr_un *local = (const void *)address;
    if (peer->address_count == 0) return "none";
    ck_assert_uint_eq(peer->address_count, 1);
    if (address->ss_family == AF_UNIX) {
        ck_assert_uint_eq(peer->addresses[0].len, sizeof *local);
        snprintf(words, sizeof words, "%s", local->sun_path);
    } else if (address->ss_family == AF_INET) {
        ck_assert_uint_eq(peer->addresses[0].len, sizeof *v4);
        snprintf(words, sizeof words, "%s %d", inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip),
                 ntohs(v4->sin_port));
    } else {
        ck_assert_uint_eq(peer->addresses[0].len, sizeof *v6);
        snprintf(words, sizeof words, "%s %d", inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip),
                 ntohs(v6->sin6_port));
    }
    return words;
}

TEST(a_target_becomes_a_peer) {
    static const struct {
        const char *target;
        const char *name;
        const char *host;
        const char *resolve;
        unsigned weight;
        const char *address;
        bool tls;
    } rows[] = {
        {"http://orders.example:9001", "http://orders.example:9001", "orders.example:9001",
         "orders.example", 1, "none", false},
        {"http://orders.example", "http://orders.example", "orders.example", "orders.example", 1,
         "none", false},
        {"https://orders.example weight=7", "https://orders.example", "orders.example",
         "orders.example", 7, "none", true},
        {"http://10.0.0.1:9001", "http://10.0.0.1:9001", "10.0.0.1:9001", NULL, 1, "10.0.0.1 9001",
         false},
        {"https://10.0.0.1", "https://10.0.0.1", "10.0.0.1", NULL, 1, "10.0.0.1 443", true},
        {"http://[2001:db8::1]:9001 weight=1000", "http://[2001:db8::1]:9001", "[2001:db8::1]:9001",
         NULL, 1000, "2001:db8::1 9001", false},
        {"https://[::1]", "https://[::1]", "[::1]", NULL, 1, "::1 443", true},
        {"unix:/run/orders.sock weight=2", "unix:/run/orders.sock", "localhost", NULL, 2,
         "/run/orders.sock", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct upstreams *made = make(&(struct plan){.targets = rows[i].target});
        const struct peer *peer = made->items[0].peers[0];
        ck_assert_str_eq(peer->name, rows[i].name);
        ck_assert_str_eq(peer->host, rows[i].host);
        ck_assert_str_eq(peer->upstream, "u");
        ck_assert_pstr_eq(peer->resolve, rows[i].resolve);
        ck_assert_uint_eq(made->items[0].weights[0], rows[i].weight);
        ck_assert_str_eq(words_of(peer), rows[i].address);
        ck_assert_msg(!!peer->tls == rows[i].tls, "%s", rows[i].target);
        ck_assert_uint_eq(peer->link_count, 2);
        ck_assert_ptr_null(peer->links[0]);
        ck_assert_ptr_null(peer->links[1]);
        done(made);
    }
}

TEST(upstreams_and_targets_keep_the_order_of_the_configuration) {
    struct upstreams *made =
        make_from((const struct plan[]){{.targets = "http://a,http://b", .name = "x"},
                                        {.targets = "http://c"}},
                  2, 1, NULL);
    ck_assert_uint_eq(made->count, 2);
    ck_assert_uint_eq(made->items[0].count, 2);
    ck_assert_uint_eq(made->items[1].count, 1);
    ck_assert_str_eq(made->items[0].config->name, "x");
    ck_assert_str_eq(made->items[0].peers[1]->host, "b");
    ck_assert_str_eq(made->items[1].peers[0]->host, "c");
    done(made);
}

TEST(what_cannot_be_made_is_told_with_upstream_and_target) {
    char path[200];
    memset(path, 'x', sizeof path);
    memcpy(path, "unix:/", 6);
    path[sizeof path - 1] = '\0';
    const struct {
        struct plan plan;
        const char *target;
        const char *why;
    } rows[] = {
        {{.targets = "http://a,ftp://b", .name = "orders"}, "ftp://b", ""},
        {{.targets = path, .name = "orders"}, path, "socket"},
        {{.targets = "https://a", .name = "orders", .ca_file = "/nowhere/ca.pem"},
         "https://a",
         "/nowhere/ca.pem"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config *config = config_of(&rows[i].plan, 1);
        struct upstreams *made = NULL;
        struct err_text err = {""};
        config_ref(config);
        ck_assert_msg(try_make(config, 1, NULL, &made, &err) < 0, "%s", rows[i].target);
        ck_assert_ptr_null(made);
        ck_assert_msg(strstr(err.text, "\"orders\"") && strstr(err.text, rows[i].target) &&
                          strstr(err.text, rows[i].why),
                      "%s", err.text);
        config_done(config);
    }
}

/* --- choosing -------------------------------------------------------------------------------- */

TEST(turns_are_spread_by_weight) {
    static const struct {
        const char *targets;
        const char *order;
    } rows[] = {
        {"http://a", "aaaa"},
        {"http://a weight=9", "aaaa"},
        {"http://a,http://b", "abababab"},
        {"http://a weight=1000,http://b weight=1000", "abababab"},
        {"http://a,http://b,http://c", "abcabcabc"},
        {"http://a weight=2,http://b", "abaabaaba"},
        {"http://a,http://b weight=3", "babbbabb"},
        {"http://a weight=5,http://b,http://c", "aabacaaaabacaa"},
        {"http://a weight=50,http://b weight=10,http://c weight=10", "aabacaaaabacaa"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct upstreams *made = make(&(struct plan){.targets = rows[i].targets});
        const char *order = choices(&made->items[0], strlen(rows[i].order));
        ck_assert_msg(strcmp(order, rows[i].order) == 0, "%s: %s", rows[i].targets, order);
        done(made);
    }
}

TEST(weights_hold_where_a_schedule_would_be_too_long) {
    struct upstreams *made = make(&(struct plan){
        .targets =
            "http://a weight=1000,http://b weight=999,http://c weight=998,http://d weight=997,"
            "http://e weight=996,http://f"});
    struct upstream *upstream = &made->items[0];
    ck_assert_ptr_null(upstream->schedule);
    const char *order = choices(upstream, 49910);
    for (unsigned i = 0; i < 6; i++) {
        int expected = (int)upstream->weights[i] * 10;
        ck_assert_int_le(abs(count_of(order, (char)('a' + i)) - expected), 5);
    }
    /* Evenly, too: no target waits for long. */
    ck_assert_int_ge(count_of(choices(upstream, 20), 'a'), 3);
    done(made);
}

TEST(the_turns_of_a_target_that_is_down_are_shared_by_weight) {
    struct upstreams *made =
        make(&(struct plan){.targets = "http://a weight=2,http://b,http://c,http://d weight=2"});
    struct upstream *upstream = &made->items[0];
    fail_times(upstream, 0, 3, NOW);
    const char *order = choices(upstream, 4000);
    ck_assert_int_eq(count_of(order, 'a'), 0);
    ck_assert_int_le(abs(count_of(order, 'b') - 1000), 5);
    ck_assert_int_le(abs(count_of(order, 'c') - 1000), 5);
    ck_assert_int_le(abs(count_of(order, 'd') - 2000), 5);
    done(made);
}

TEST(the_least_busy_target_is_chosen_in_proportion_to_its_weight) {
    static const struct {
        unsigned weights[3];
        unsigned active[3];
        char chosen;
    } rows[] = {
        {{1, 1, 1}, {1, 0, 1}, 'b'},      {{1, 1, 1}, {5, 4, 3}, 'c'},
        {{1, 1, 1}, {0, 4, 3}, 'a'},      {{10, 1, 1}, {9, 1, 1}, 'a'},
        {{10, 1, 1}, {11, 1, 2}, 'b'},    {{2, 3, 1000}, {1, 2, 499}, 'c'},
        {{2, 3, 1000}, {1, 1, 499}, 'b'}, {{1000, 1, 1}, {1000, 4294968, 4294968}, 'a'},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *targets = scratch_text("http://a weight=%u,http://b weight=%u,http://c weight=%u",
                                     rows[i].weights[0], rows[i].weights[1], rows[i].weights[2]);
        struct upstreams *made =
            make(&(struct plan){.targets = targets, .balance = BALANCE_LEAST_CONNECTIONS});
        for (size_t n = 0; n < 3; n++)
            atomic_store(&made->items[0].peers[n]->active, rows[i].active[n]);
        for (int n = 0; n < 10; n++)
            ck_assert_msg(choose(&made->items[0], NOW, NULL) == rows[i].chosen, "row %zu", i);
        done(made);
        free(targets);
    }
}

TEST(equally_busy_targets_take_turns_by_weight) {
    struct upstreams *made =
        make(&(struct plan){.targets = "http://a weight=3,http://b,http://c,http://d",
                            .balance = BALANCE_LEAST_CONNECTIONS});
    struct upstream *upstream = &made->items[0];
    atomic_store(&upstream->peers[3]->active, 1);
    const char *order = choices(upstream, 5000);
    ck_assert_int_le(abs(count_of(order, 'a') - 3000), 5);
    ck_assert_int_le(abs(count_of(order, 'b') - 1000), 5);
    ck_assert_int_le(abs(count_of(order, 'c') - 1000), 5);
    done(made);
}

TEST(a_target_that_failed_the_request_is_not_chosen_again) {
    static const enum balance both[] = {BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS};
    for (size_t n = 0; n < ARRAY_LEN(both); n++) {
        struct upstreams *made =
            make(&(struct plan){.targets = "http://a,http://b", .balance = both[n]});
        struct upstream *upstream = &made->items[0];
        for (int i = 0; i < 10; i++)
            ck_assert_int_eq(choose(upstream, NOW, upstream->peers[0]), 'b');
        /* Not even where the other is down, and there is none where it is unhealthy. */
        fail_times(upstream, 1, 3, NOW);
        ck_assert_int_eq(choose(upstream, NOW, upstream->peers[0]), 'b');
        done(made);
        made = make(
            &(struct plan){.targets = "http://a,http://b", .balance = both[n], .check_path = "/"});
        upstream = &made->items[0];
        mark_unhealthy(upstream, 1);
        ck_assert_int_eq(choose(upstream, NOW, upstream->peers[0]), '-');
        ck_assert_int_eq(choose(upstream, NOW, NULL), 'a');
        done(made);
    }
    struct upstreams *made = make(&(struct plan){.targets = "http://a"});
    ck_assert_int_eq(choose(&made->items[0], NOW, made->items[0].peers[0]), '-');
    done(made);
}

TEST(where_all_are_down_the_one_that_comes_up_first_is_tried) {
    struct upstreams *made =
        make(&(struct plan){.targets = "http://a,http://b,http://c,http://d", .check_path = "/"});
    struct upstream *upstream = &made->items[0];
    fail_times(upstream, 0, 3, NOW - 1);
    fail_times(upstream, 1, 3, NOW - 3);
    fail_times(upstream, 2, 3, NOW - 2);
    fail_times(upstream, 3, 3, NOW - 4);
    mark_unhealthy(upstream, 3);
    ck_assert_int_eq(choose(upstream, NOW, NULL), 'b');
    ck_assert_int_eq(choose(upstream, NOW, NULL), 'b');
    ck_assert_int_eq(choose(upstream, NOW, upstream->peers[1]), 'c');
    /* A guess that was wrong is not the first any more. */
    fail_times(upstream, 1, 1, NOW);
    ck_assert_int_eq(choose(upstream, NOW, NULL), 'c');
    for (size_t i = 0; i < 3; i++) mark_unhealthy(upstream, i);
    ck_assert_int_eq(choose(upstream, NOW, NULL), '-');
    done(made);
}

TEST(a_lone_target_is_chosen_even_when_it_is_down_but_not_when_it_is_unhealthy) {
    struct upstreams *made = make(&(struct plan){.targets = "http://a", .check_path = "/"});
    struct upstream *upstream = &made->items[0];
    fail_times(upstream, 0, 5, NOW);
    ck_assert_int_eq(choose(upstream, NOW, NULL), 'a');
    mark_unhealthy(upstream, 0);
    ck_assert_int_eq(choose(upstream, NOW, NULL), '-');
    done(made);
}

/* --- health ---------------------------------------------------------------------------------- */

TEST(failures_in_a_row_take_a_target_down_and_an_answer_brings_it_back) {
    capture();
    struct upstreams *made = make(&(struct plan){.targets = "http://a,http://b"});
    struct upstream *upstream = &made->items[0];
    struct peer *peer = upstream->peers[0];

    fail_times(upstream, 0, 2, NOW);
    peer_succeeded(peer);
    fail_times(upstream, 0, 2, NOW);
    ck_assert(peer_is_up(peer, upstream->config));
    ck_assert_str_eq(choices(upstream, 4), "abab");
    ASSERT_SILENT();

    fail_times(upstream, 0, 1, NOW);
    ck_assert(!peer_is_up(peer, upstream->config));
    ASSERT_LOGGED("warning: target down", "upstream=u", "target=http://a", "why=\"no route\"",
                  "fails=3", "retry_in=\"10 s\"");
    ck_assert_str_eq(choices(upstream, 4), "bbbb");
    fail_times(upstream, 0, 5, NOW);
    ASSERT_SILENT();

    peer_succeeded(peer);
    ASSERT_LOGGED("notice: target is back", "upstream=u", "target=http://a");
    ck_assert(peer_is_up(peer, upstream->config));
    ck_assert_int_eq(count_of(choices(upstream, 4), 'a'), 2);
    peer_succeeded(peer);
    ASSERT_SILENT();
    /* It begins from nothing. */
    fail_times(upstream, 0, 2, NOW);
    ck_assert(peer_is_up(peer, upstream->config));
    done(made);
}

TEST(after_a_while_one_request_at_a_time_tries_a_target_that_is_down) {
    capture();
    struct upstreams *made = make(&(struct plan){.targets = "http://a,http://b"});
    struct upstream *upstream = &made->items[0];
    int64_t up = NOW + RETRY_AFTER;
    fail_times(upstream, 0, 3, NOW);
    logged();

    ck_assert_int_eq(choose(upstream, up - 1, NULL), 'b');
    /* A request that failed once already is not for trying. */
    ck_assert_int_eq(choose(upstream, up, upstream->peers[1]), 'a');
    ck_assert_int_eq(choose(upstream, up, NULL), 'a');
    for (int i = 0; i < 10; i++) ck_assert_int_eq(choose(upstream, up, NULL), 'b');
    /* Where nobody tells how it went, another may try. */
    ck_assert_int_eq(choose(upstream, up + RETRY_AFTER - 1, NULL), 'b');
    ck_assert_int_eq(choose(upstream, up + RETRY_AFTER, NULL), 'a');
    /* One failure is enough, and no news. */
    fail_times(upstream, 0, 1, up + RETRY_AFTER + 5);
    ASSERT_SILENT();
    ck_assert_int_eq(choose(upstream, up + 2 * RETRY_AFTER + 4, NULL), 'b');
    ck_assert_int_eq(choose(upstream, up + 2 * RETRY_AFTER + 5, NULL), 'a');
    peer_succeeded(upstream->peers[0]);
    ASSERT_LOGGED("target is back");
    ck_assert_int_eq(count_of(choices(upstream, 4), 'a'), 2);
    done(made);
}

TEST(without_max_fails_a_target_never_goes_down) {
    capture();
    struct upstreams *made =
        make(&(struct plan){.targets = "http://a,http://b", .never_down = true});
    fail_times(&made->items[0], 0, 1000, NOW);
    ck_assert(peer_is_up(made->items[0].peers[0], made->items[0].config));
    ck_assert_str_eq(choices(&made->items[0], 4), "abab");
    ASSERT_SILENT();
    done(made);
}

TEST(checks_in_a_row_change_whether_a_target_is_healthy) {
    capture();
    struct upstreams *made =
        make(&(struct plan){.targets = "http://a,http://b", .check_path = "/"});
    struct upstream *upstream = &made->items[0];
    struct peer *peer = upstream->peers[0];
    const struct config_upstream *config = upstream->config;

    static const bool mixed[] = {true, false, false, true, false, false, true};
    for (size_t i = 0; i < ARRAY_LEN(mixed); i++)
        peer_checked(peer, config, mixed[i], "status 500");
    ck_assert(peer_is_up(peer, config));
    ASSERT_SILENT();
    for (int i = 0; i < 3; i++) {
        ck_assert(peer_is_up(peer, config));
        peer_checked(peer, config, false, "status 500");
    }
    ck_assert(!peer_is_up(peer, config));
    ASSERT_LOGGED("warning: target unhealthy", "upstream=u", "target=http://a",
                  "why=\"status 500\"", "checks=3");
    ck_assert_str_eq(choices(upstream, 4), "bbbb");

    static const bool mixed_again[] = {false, true, false, true};
    for (size_t i = 0; i < ARRAY_LEN(mixed_again); i++)
        peer_checked(peer, config, mixed_again[i], NULL);
    ck_assert(!peer_is_up(peer, config));
    ASSERT_SILENT();
    peer_checked(peer, config, true, NULL);
    ck_assert(peer_is_up(peer, config));
    ASSERT_LOGGED("notice: target is healthy again", "upstream=u", "target=http://a", "checks=2");
    ck_assert_int_eq(count_of(choices(upstream, 4), 'a'), 2);
    done(made);
}

TEST(an_answer_does_not_make_an_unhealthy_target_healthy) {
    struct upstreams *made =
        make(&(struct plan){.targets = "http://a,http://b", .check_path = "/"});
    mark_unhealthy(&made->items[0], 0);
    peer_succeeded(made->items[0].peers[0]);
    ck_assert_str_eq(choices(&made->items[0], 4), "bbbb");
    ck_assert_int_eq(choose(&made->items[0], NOW + 100 * RETRY_AFTER, NULL), 'b');
    done(made);
}

/* --- reload ---------------------------------------------------------------------------------- */

TEST(a_target_that_stays_the_same_is_kept_over_a_reload) {
    static const struct {
        const char *what;
        struct plan before;
        struct plan after;
        unsigned workers;
        const char *kept; /* for each target of after, the letter of the one before, or '-' */
    } rows[] = {
        {"nothing", {.targets = "http://a,http://b"}, {.targets = "http://a,http://b"}, 2, "ab"},
        {"order",
         {.targets = "http://a,http://b"},
         {.targets = "http://b,http://c,http://a"},
         2,
         "b-a"},
        {"weight", {.targets = "http://a"}, {.targets = "http://a weight=5"}, 2, "a"},
        {"balance",
         {.targets = "http://a"},
         {.targets = "http://a", .balance = BALANCE_LEAST_CONNECTIONS},
         2,
         "a"},
        {"health", {.targets = "http://a"}, {.targets = "http://a", .check_path = "/up"}, 2, "a"},
        {"twice", {.targets = "http://a"}, {.targets = "http://a,http://a"}, 2, "a-"},
        {"both",
         {.targets = "http://a,http://a"},
         {.targets = "http://a,http://a,http://a"},
         2,
         "ab-"},
        {"unix", {.targets = "unix:/a"}, {.targets = "unix:/a,unix:/b"}, 2, "a-"},
        {"port", {.targets = "http://a:1"}, {.targets = "http://a:2"}, 2, "-"},
        {"scheme", {.targets = "http://a:1"}, {.targets = "https://a:1"}, 2, "-"},
        {"upstream", {.targets = "http://a"}, {.targets = "http://a", .name = "v"}, 2, "-"},
        {"workers", {.targets = "http://a"}, {.targets = "http://a"}, 3, "-"},
        {"tls", {.targets = "https://a"}, {.targets = "https://a"}, 2, "a"},
        {"name", {.targets = "https://a"}, {.targets = "https://a", .server_name = "b"}, 2, "-"},
        {"name of plain",
         {.targets = "http://a"},
         {.targets = "http://a", .server_name = "b"},
         2,
         "a"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct upstreams *before = make(&rows[i].before);
        struct upstreams *after = make_from(&rows[i].after, 1, rows[i].workers, before);
        ck_assert_uint_eq(after->items[0].count, strlen(rows[i].kept));
        for (size_t n = 0; n < after->items[0].count; n++) {
            char kept = letter(&before->items[0], after->items[0].peers[n]);
            if (kept == '?') kept = '-';
            ck_assert_msg(kept == rows[i].kept[n], "%s: %c", rows[i].what, kept);
        }
        done(before);
        ck_assert_uint_eq(after->items[0].peers[0]->link_count, rows[i].workers);
        ck_assert_int_ne(choose(&after->items[0], NOW, NULL), '-');
        done(after);
    }
}

TEST(the_same_target_in_two_upstreams_is_two) {
    static const struct plan plans[] = {{.targets = "http://a", .name = "x"},
                                        {.targets = "http://a", .name = "y"}};
    struct upstreams *before = make_from(plans, 2, 1, NULL);
    struct upstreams *after = make_from(plans, 2, 1, before);
    ck_assert_ptr_ne(before->items[0].peers[0], before->items[1].peers[0]);
    ck_assert_ptr_eq(before->items[0].peers[0], after->items[0].peers[0]);
    ck_assert_ptr_eq(before->items[1].peers[0], after->items[1].peers[0]);
    done(before);
    done(after);
}

TEST(health_is_kept_over_a_reload_unless_it_is_turned_off) {
    static const struct plan on = {.targets = "http://a,http://b", .check_path = "/"};
    static const struct plan off = {.targets = "http://a,http://b", .never_down = true};
    struct upstreams *before = make(&on);
    fail_times(&before->items[0], 0, 3, NOW);
    mark_unhealthy(&before->items[0], 1);
    struct upstreams *kept = make_from(&on, 1, 2, before);
    ck_assert_str_eq(choices(&kept->items[0], 4), "aaaa");
    ck_assert(!peer_is_up(kept->items[0].peers[0], kept->items[0].config));
    ck_assert(!peer_is_up(kept->items[0].peers[1], kept->items[0].config));
    struct upstreams *freed = make_from(&off, 1, 2, kept);
    ck_assert_str_eq(choices(&freed->items[0], 4), "abab");
    ck_assert(peer_is_up(freed->items[0].peers[0], freed->items[0].config));
    done(before);
    done(kept);
    done(freed);
}

static void set_age(const char *path, struct timespec modified) {
    const struct timespec times[2] = {modified, modified};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static struct timespec age_of(const char *path) {
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    return status.st_mtim;
}

static char *copy_file(const char *from, const char *folder, const char *name) {
    size_t len;
    char *text = scratch_read(from, &len);
    ck_assert_ptr_nonnull(text);
    char *path = scratch_file(folder, name, (struct span){text, len});
    free(text);
    return path;
}

/* Only the age changes. */
static void touch(const char *folder, const char *path) {
    (void)folder;
    struct timespec age = age_of(path);
    age.tv_sec--;
    set_age(path, age);
}

/* Another file of the same name, content and age. */
static void replace(const char *folder, const char *path) {
    char *fresh = copy_file(path, folder, "fresh");
    set_age(fresh, age_of(path));
    ck_assert_int_eq(rename(fresh, path), 0);
    free(fresh);
}

/* Another content, and the same age. */
static void grow(const char *folder, const char *path) {
    (void)folder;
    struct timespec age = age_of(path);
    FILE *file = fopen(path, "ae");
    ck_assert_ptr_nonnull(file);
    fputs("\n", file);
    ck_assert_int_eq(fclose(file), 0);
    set_age(path, age);
}

TEST(tls_files_that_changed_on_disk_make_a_new_target) {
    static void (*const changes[])(const char *folder, const char *path) = {touch, replace, grow};
    char *folder = scratch_new(), *made_certificate, *made_key;
    certificate_files(folder, &made_certificate, &made_key);
    char *paths[] = {copy_file(certificate_authority_file(), folder, "ca"),
                     copy_file(made_certificate, folder, "certificate"),
                     copy_file(made_key, folder, "key")};
    const struct plan plan = {.targets = "https://a,http://b",
                              .ca_file = paths[0],
                              .certificate = paths[1],
                              .private_key = paths[2]};
    struct upstreams *old = make(&plan);
    for (size_t i = 0; i < ARRAY_LEN(paths) * ARRAY_LEN(changes); i++) {
        struct upstreams *same = make_from(&plan, 1, 2, old);
        ck_assert_ptr_eq(same->items[0].peers[0], old->items[0].peers[0]);
        changes[i % 3](folder, paths[i / 3]);
        struct upstreams *changed = make_from(&plan, 1, 2, same);
        ck_assert_msg(changed->items[0].peers[0] != old->items[0].peers[0], "%zu", i);
        ck_assert_ptr_eq(changed->items[0].peers[1], old->items[0].peers[1]);
        done(same);
        done(old);
        old = changed;
    }

    /* One that is gone is told, and the old target stays as it is. */
    ck_assert_int_eq(unlink(paths[0]), 0);
    struct config *config = config_of(&plan, 1);
    struct upstreams *none = NULL;
    struct err_text err;
    config_ref(config);
    ck_assert_int_lt(try_make(config, 2, old, &none, &err), 0);
    ck_assert_msg(strstr(err.text, paths[0]), "%s", err.text);
    ck_assert_int_eq(choose(&old->items[0], NOW, NULL), 'a');
    config_done(config);
    done(old);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) free(paths[i]);
    free(made_certificate);
    free(made_key);
    free(folder);
}

/* --- addresses ------------------------------------------------------------------------------- */

/* As the resolver would: 10.0.0.first and so on. */
static void give_addresses(struct peer *peer, unsigned first, size_t count) {
    pthread_mutex_lock(&peer->lock);
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(peer->port)};
        address.sin_addr.s_addr = htonl(0x0a000000 + first + (unsigned)i);
        peer->addresses[i] = (struct peer_address){.len = sizeof address};
        memcpy(&peer->addresses[i].address, &address, sizeof address);
    }
    peer->address_count = count;
    pthread_mutex_unlock(&peer->lock);
}

/* The last byte of the next address. */
static unsigned next_byte(struct peer *peer) {
    struct peer_address address;
    struct err_text err = {""};
    ck_assert_msg(peer_next_address(peer, &address, &err), "%s", err.text);
    const struct sockaddr_in *v4 = (const void *)&address.address;
    ck_assert_uint_eq(address.len, sizeof *v4);
    ck_assert_uint_eq(ntohs(v4->sin_port), peer->port);
    return ntohl(v4->sin_addr.s_addr) & 0xff;
}

TEST(each_connection_goes_to_the_next_address) {
    struct upstreams *made = make(&(struct plan){.targets = "http://orders.example:81"});
    struct peer *peer = made->items[0].peers[0];
    struct peer_address address;
    struct err_text err;
    ck_assert(!peer_next_address(peer, &address, &err));
    ck_assert_str_eq(err.text, "orders.example has no address: it was not looked up yet");
    give_addresses(peer, 1, 3);
    unsigned seen = 0;
    for (int i = 0; i < 3; i++) seen |= 1U << next_byte(peer);
    ck_assert_uint_eq(seen, 1U << 1 | 1U << 2 | 1U << 3);
    unsigned before = next_byte(peer);
    ck_assert_uint_eq(next_byte(peer), before % 3 + 1);
    give_addresses(peer, 9, 1);
    ck_assert_uint_eq(next_byte(peer), 9);
    ck_assert_uint_eq(next_byte(peer), 9);
    done(made);
}

TEST(a_new_target_of_a_name_that_is_known_takes_over_its_addresses) {
    struct upstreams *before = make_from(
        (const struct plan[]){{.targets = "http://b:1,http://a:1", .name = "x"}}, 1, 2, NULL);
    give_addresses(before->items[0].peers[1], 7, 2);
    struct upstreams *after = make_from(
        (const struct plan[]){
            {.targets = "http://a:2,http://c:2,http://b:2,http://10.0.0.99", .name = "y"}},
        1, 2, before);
    done(before);
    struct peer **peers = after->items[0].peers;
    ck_assert_uint_eq(peers[0]->address_count, 2);
    ck_assert_uint_eq(next_byte(peers[0]), 7);
    ck_assert_uint_eq(next_byte(peers[0]), 8);
    ck_assert_uint_eq(peers[1]->address_count, 0);
    ck_assert_uint_eq(peers[2]->address_count, 0);
    ck_assert_uint_eq(next_byte(peers[3]), 99);
    done(after);
}

/* --- several threads ------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 3000

struct crowd {
    struct upstream *upstream;
    _Atomic unsigned chosen[3];
    _Atomic unsigned lost; /* requests without a target or an address */
    bool trouble;          /* every other request fails */
};

static void *send_requests(void *argument) {
    struct crowd *crowd = argument;
    for (int i = 0; i < ROUNDS; i++) {
        struct peer *peer = upstream_choose(crowd->upstream, NOW + i, NULL);
        struct peer_address address;
        if (!peer || !peer_next_address(peer, &address, NULL)) {
            atomic_fetch_add(&crowd->lost, 1);
            continue;
        }
        atomic_fetch_add(&peer->active, 1);
        atomic_fetch_add(&crowd->chosen[letter(crowd->upstream, peer) - 'a'], 1);
        if (crowd->trouble && i % 2)
            peer_failed(peer, crowd->upstream->config, NOW + i, "reset");
        else
            peer_succeeded(peer);
        atomic_fetch_sub(&peer->active, 1);
    }
    return NULL;
}

static void send_from_threads(struct crowd *crowd) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, send_requests, crowd), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    ck_assert_uint_eq(crowd->lost, 0);
}

TEST(turns_are_shared_by_all_threads) {
    struct upstreams *made = make(&(struct plan){
        .targets = "http://10.0.0.1 weight=2,http://10.0.0.2 weight=3,http://10.0.0.3"});
    struct crowd crowd = {.upstream = &made->items[0]};
    send_from_threads(&crowd);
    ck_assert_uint_eq(crowd.chosen[0], THREADS * ROUNDS / 6 * 2);
    ck_assert_uint_eq(crowd.chosen[1], THREADS * ROUNDS / 6 * 3);
    ck_assert_uint_eq(crowd.chosen[2], THREADS * ROUNDS / 6);
    done(made);
}

TEST(threads_that_disagree_about_health_leave_it_sound) {
    static const enum balance both[] = {BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS};
    for (size_t n = 0; n < ARRAY_LEN(both); n++) {
        struct upstreams *made = make(&(struct plan){
            .targets = "http://10.0.0.1,http://10.0.0.2,http://10.0.0.3", .balance = both[n]});
        struct crowd crowd = {.upstream = &made->items[0], .trouble = true};
        send_from_threads(&crowd);
        for (size_t i = 0; i < 3; i++) {
            ck_assert_uint_eq(made->items[0].peers[i]->active, 0);
            peer_succeeded(made->items[0].peers[i]);
            ck_assert(peer_is_up(made->items[0].peers[i], made->items[0].config));
        }
        done(made);
    }
}
