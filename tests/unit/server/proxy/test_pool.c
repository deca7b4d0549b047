#include "server/proxy/pool.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/attr.h"
#include "server/proxy/transfer.h"
#include "tests/unit/server/proxy/stage.h"

/* A link that is ready, and the target's end of it. */
struct pair {
    struct link *link;
    int fd;
};

/* Whose links do not rest: one that takes no notice of events. */
static struct transfer nobody;

static struct peer *peer_of(const struct stage *stage, size_t target) {
    return stage->upstream->peers[target];
}

static bool is_ready(struct link *link) {
    struct err_text err = {""};
    enum wire_result result = wire_advance(&link->wire, &err);
    ck_assert_msg(result != WIRE_FAILED, "%s", err.text);
    return result == WIRE_OK;
}

static struct pair open_pair(struct stage *stage, size_t target) {
    struct err_text err = {""};
    bool ours;
    struct pair pair = {.link = pool_open(&stage->pool, peer_of(stage, target), &ours, &err)};
    ck_assert_msg(pair.link != NULL, "%s", err.text);
    ck_assert(!pair.link->reused);
    pair.link->user = &nobody;
    pair.fd = stage_accept(stage, target);
    STAGE_UNTIL(stage, is_ready(pair.link));
    return pair;
}

static void give(struct stage *stage, struct link *link) {
    link->readable = false; /* as one that was read to its end */
    pool_give(&stage->pool, link, &stage->config->keep_alive);
}

static struct link *take(struct stage *stage, size_t target) {
    struct link *link = pool_take(&stage->pool, peer_of(stage, target));
    if (!link) return NULL;
    ck_assert_ptr_null(link->user);
    link->user = &nobody;
    return link;
}

TEST(an_empty_pool_has_no_link) {
    struct stage stage;
    stage_open(&stage, 1, "http");
    ck_assert_ptr_null(take(&stage, 0));
    pool_drop(NULL);
    pool_clear(&stage.pool);
    stage_close(&stage);
}

TEST(a_link_rests_until_it_is_taken_and_the_last_used_goes_first) {
    struct stage stage;
    stage_open(&stage, 1, "http");
    stage.config->keep_alive.connections = 3;
    struct pair pairs[3];
    for (size_t i = 0; i < 3; i++) pairs[i] = open_pair(&stage, 0);
    ck_assert_uint_eq(stage.pool.open, 3);
    ck_assert_uint_eq(stage.pool.resting, 0);
    for (size_t i = 0; i < 3; i++) give(&stage, pairs[i].link);
    ck_assert_uint_eq(stage.pool.resting, 3);

    for (size_t i = 3; i-- > 0;) {
        struct link *link = take(&stage, 0);
        ck_assert_ptr_eq(link, pairs[i].link);
        ck_assert(link->reused);
    }
    ck_assert_ptr_null(take(&stage, 0));
    ck_assert_uint_eq(stage.pool.open, 3);
    for (size_t i = 0; i < 3; i++) {
        pool_drop(pairs[i].link);
        stage_expect_end(&stage, pairs[i].fd);
        close(pairs[i].fd);
    }
    stage_close(&stage);
}

TEST(each_target_has_links_of_its_own) {
    struct stage stage;
    stage_open(&stage, 2, "http");
    struct pair first = open_pair(&stage, 0), second = open_pair(&stage, 1);
    give(&stage, first.link);
    give(&stage, second.link);
    ck_assert_ptr_eq(take(&stage, 0), first.link);
    ck_assert_ptr_null(take(&stage, 0));
    ck_assert_ptr_eq(take(&stage, 1), second.link);
    pool_drop(first.link);
    pool_drop(second.link);
    close(first.fd);
    close(second.fd);
    stage_close(&stage);
}

TEST(no_more_links_rest_at_a_target_than_the_configuration_says) {
    struct stage stage;
    stage_open(&stage, 2, "http");
    struct pair pairs[4];
    for (size_t i = 0; i < 3; i++) pairs[i] = open_pair(&stage, 0);
    pairs[3] = open_pair(&stage, 1);
    for (size_t i = 0; i < 4; i++) give(&stage, pairs[i].link);
    ck_assert_uint_eq(stage.pool.resting, 3); /* two here, one there */
    ck_assert_uint_eq(stage.pool.open, 3);
    stage_expect_end(&stage, pairs[2].fd); /* one too many */
    stage_expect_nothing(&stage, pairs[0].fd);

    struct link *link = take(&stage, 0);
    ck_assert_ptr_eq(link, pairs[1].link);
    give(&stage, link); /* the place is free again */
    ck_assert_uint_eq(stage.pool.resting, 3);
    stage.config->keep_alive.connections = 0;
    link = take(&stage, 0);
    give(&stage, link);
    ck_assert_uint_eq(stage.pool.resting, 2);
    stage_expect_end(&stage, pairs[1].fd);
    for (size_t i = 0; i < 4; i++) close(pairs[i].fd);
    stage_close(&stage);
}

/* What rests below the first, and is closed there, must not be counted any longer. */
TEST(links_that_go_from_the_middle_leave_the_count_right) {
    struct stage stage;
    stage_open(&stage, 1, "http");
    stage.config->keep_alive.connections = 4;
    struct pair pairs[5];
    for (size_t i = 0; i < 5; i++) pairs[i] = open_pair(&stage, 0);
    for (size_t i = 0; i < 4; i++) give(&stage, pairs[i].link);
    close(pairs[1].fd);
    STAGE_UNTIL(&stage, stage.pool.resting == 3);
    give(&stage, pairs[4].link);
    ck_assert_uint_eq(stage.pool.resting, 4);
    close(pairs[4].fd); /* the first */
    close(pairs[0].fd); /* the last */
    STAGE_UNTIL(&stage, stage.pool.resting == 2);
    struct pair more[3];
    for (size_t i = 0; i < 3; i++) {
        more[i] = open_pair(&stage, 0);
        give(&stage, more[i].link);
    }
    ck_assert_uint_eq(stage.pool.resting, 4);
    stage_expect_end(&stage, more[2].fd);
    ck_assert_ptr_eq(take(&stage, 0), more[1].link);
    ck_assert_ptr_eq(take(&stage, 0), more[0].link);
    ck_assert_ptr_eq(take(&stage, 0), pairs[3].link);
    ck_assert_ptr_eq(take(&stage, 0), pairs[2].link);
    ck_assert_ptr_null(take(&stage, 0));
    pool_drop(more[1].link);
    pool_drop(more[0].link);
    pool_drop(pairs[3].link);
    pool_drop(pairs[2].link);
    for (size_t i = 0; i < 3; i++) close(more[i].fd);
    close(pairs[2].fd);
    close(pairs[3].fd);
    stage_close(&stage);
}

TEST(a_link_rests_no_longer_than_the_configuration_says) {
    struct stage stage;
    stage_open(&stage, 1, "http");
    struct pair pair = open_pair(&stage, 0);
    give(&stage, pair.link);
    stage_pass(STAGE_IDLE - 1);
    stage_turn(&stage);
    ck_assert_uint_eq(stage.pool.resting, 1);
    struct link *link = take(&stage, 0);
    ck_assert_ptr_eq(link, pair.link);
    stage_pass(STAGE_IDLE); /* in use no time counts */
    stage_turn(&stage);
    give(&stage, link);
    stage_pass(STAGE_IDLE);
    stage_turn(&stage);
    ck_assert_uint_eq(stage.pool.resting, 0);
    stage_expect_end(&stage, pair.fd);
    close(pair.fd);
    stage_close(&stage);
}

/* --- signs of life --------------------------------------------------------------------------- */

static void target_closes(struct stage *stage, int fd) {
    (void)stage;
    shutdown(fd, SHUT_WR);
}

static void target_speaks(struct stage *stage, int fd) {
    (void)stage;
    ck_assert_int_eq(send(fd, "HTTP/1.1 200 OK\r\n", 17, MSG_NOSIGNAL), 17);
}

static void target_resets(struct stage *stage, int fd) {
    (void)stage;
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    shutdown(fd, SHUT_RD);
    connect(fd, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
}

static const struct sign {
    const char *name;
    void (*show)(struct stage *stage, int fd);
} signs[] = {{"closes", target_closes}, {"speaks", target_speaks}, {"resets", target_resets}};

TEST(a_resting_link_whose_target_shows_a_sign_of_life_is_closed) {
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        struct stage stage;
        stage_open(&stage, 1, "http");
        struct pair pair = open_pair(&stage, 0), good = open_pair(&stage, 0);
        give(&stage, pair.link);
        give(&stage, good.link);
        signs[i].show(&stage, pair.fd);
        STAGE_UNTIL(&stage, stage.pool.resting == 1);
        ck_assert_uint_eq(stage.pool.open, 1);
        ck_assert_ptr_eq(take(&stage, 0), good.link);
        pool_drop(good.link);
        close(good.fd);
        close(pair.fd);
        stage_close(&stage);
    }
}

/* The event is still to come: only the system knows. */
TEST(a_link_that_has_just_gone_stale_is_not_taken) {
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        struct stage stage;
        stage_open(&stage, 1, "http");
        struct pair good = open_pair(&stage, 0), stale = open_pair(&stage, 0);
        stage_settle(&stage);
        give(&stage, good.link);
        give(&stage, stale.link);
        signs[i].show(&stage, stale.fd);
        STAGE_UNTIL(&stage, wire_is_stale(&stale.link->wire) || stage.pool.resting == 1);
        ck_assert_msg(take(&stage, 0) == good.link, "%s", signs[i].name);
        ck_assert_uint_eq(stage.pool.open, 1);
        pool_drop(good.link);
        close(good.fd);
        close(stale.fd);
        stage_close(&stage);
    }
}

/* Bytes that nobody read are not the answer to the next request, whoever asks. */
TEST(a_link_that_may_hold_unread_bytes_is_looked_at_by_whoever_takes_it) {
    struct stage stage;
    stage_open(&stage, 1, "http");
    struct pair pair = open_pair(&stage, 0);
    stage_say(&stage, pair.fd, "left over");
    STAGE_UNTIL(&stage, pair.link->readable);
    pool_give(&stage.pool, pair.link, &stage.config->keep_alive);
    ck_assert_ptr_null(take(&stage, 0));
    stage_expect_end(&stage, pair.fd);
    close(pair.fd);
    stage_close(&stage);
}

/* --- the end --------------------------------------------------------------------------------- */

TEST(a_link_that_was_dropped_is_gone_at_the_end_of_the_turn) {
    struct stage stage;
    stage_open(&stage, 1, "http");
    struct pair pair = open_pair(&stage, 0);
    stage_say(&stage, pair.fd, "an event that is still to come");
    pool_drop(pair.link);
    pool_drop(pair.link); /* twice in a turn is fine */
    ck_assert_uint_eq(stage.pool.open, 0);
    stage_turn(&stage);
    stage_expect_end(&stage, pair.fd);
    close(pair.fd);
    stage_close(&stage);
}

TEST(the_links_of_targets_that_a_reload_took_away_go) {
    struct stage stage;
    stage_open(&stage, 2, "http");
    struct pair first = open_pair(&stage, 0), second = open_pair(&stage, 1);
    give(&stage, first.link);
    give(&stage, second.link);

    struct peer *kept[] = {peer_of(&stage, 1)};
    struct upstream items[] = {{.peers = kept, .count = 1}};
    struct upstreams fewer = {.items = items, .count = 1};
    pool_keep_only(&stage.pool, stage.upstreams);
    ck_assert_uint_eq(stage.pool.resting, 2);
    pool_keep_only(&stage.pool, &fewer);
    ck_assert_uint_eq(stage.pool.resting, 1);
    stage_expect_end(&stage, first.fd);
    stage_expect_nothing(&stage, second.fd);

    /* One that was in use meanwhile does not stay for later. */
    upstreams_retire(stage.upstreams, &fewer);
    struct pair late = open_pair(&stage, 0);
    give(&stage, late.link);
    stage_expect_end(&stage, late.fd);
    close(late.fd);
    close(first.fd);
    close(second.fd);
    stage_close(&stage);
}

TEST(a_target_without_an_address_is_told_as_a_reason) {
    struct stage stage;
    struct err_text err = {""};
    bool ours = true;
    stage_open(&stage, 1, "http");
    struct peer *peer = peer_of(&stage, 0);
    char name[] = "nowhere.example";
    peer->address_count = 0;
    peer->resolve = name;
    ck_assert_ptr_null(pool_open(&stage.pool, peer, &ours, &err));
    ck_assert(!ours);
    ck_assert_ptr_nonnull(strstr(err.text, "nowhere.example"));
    ck_assert_uint_eq(stage.pool.open, 0);
    peer->resolve = NULL;
    stage_close(&stage);
}

/* Where descriptors have run out no target is to blame. */
TEST(what_we_lack_is_told_apart_from_what_the_target_lacks) {
    struct stage stage;
    struct err_text err = {""};
    bool ours = false;
    int kept[4096];
    size_t count = 0;
    struct rlimit limit = {64, 64};
    stage_open(&stage, 1, "http");
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while ((kept[count] = dup(0)) >= 0) count++;
    ck_assert_int_eq(errno, EMFILE);
    ck_assert_ptr_null(pool_open(&stage.pool, peer_of(&stage, 0), &ours, &err));
    ck_assert(ours);
    while (count) close(kept[--count]);

    struct pair pair = open_pair(&stage, 0);
    pool_drop(pair.link);
    close(pair.fd);
    stage_close(&stage);
}

/* A worker that stops closes what rests, whatever the order it came in. */
TEST(a_pool_that_is_cleared_holds_nothing) {
    struct stage stage;
    stage_open(&stage, 2, "http");
    struct pair pairs[4];
    for (size_t i = 0; i < 4; i++) pairs[i] = open_pair(&stage, i % 2);
    for (size_t i = 0; i < 4; i++) give(&stage, pairs[i].link);
    ck_assert_uint_eq(stage.pool.resting, 4);
    pool_clear(&stage.pool);
    ck_assert_uint_eq(stage.pool.resting, 0);
    ck_assert_ptr_null(take(&stage, 0));
    ck_assert_ptr_null(take(&stage, 1));
    for (size_t i = 0; i < 4; i++) {
        stage_expect_end(&stage, pairs[i].fd);
        close(pairs[i].fd);
    }
    stage_close(&stage);
}
