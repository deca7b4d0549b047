#include "common/reactor.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/clock.h"
#include "tests/support/suite.h"

/* --- descriptors ----------------------------------------------------------------------------- */

/* One end of a pair of sockets, and what was told about it. */
struct end {
    struct event_source source;
    struct reactor *reactor;
    int fd, far; /* ours, and the other end */
    unsigned calls;
    uint32_t events;
    struct end *unwatches; /* another one that it stops watching */
    struct deferred burial;
    bool buried;
};

static void on_ready(struct event_source *source, uint32_t events) {
    struct end *end = CONTAINER_OF(source, struct end, source);
    end->calls++;
    end->events = events;
    if (end->unwatches) reactor_unwatch(end->reactor, end->unwatches->fd);
}

static void open_end(struct reactor *reactor, struct end *end) {
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *end = (struct end){.source.ready = on_ready, .reactor = reactor, .fd = fds[0], .far = fds[1]};
}

static void close_end(struct end *end) {
    close(end->fd);
    close(end->far);
}

static void send_byte(const struct end *end) {
    ck_assert_int_eq(write(end->far, "x", 1), 1);
}

TEST(what_happens_is_told_to_the_source_it_happens_to) {
    struct reactor reactor;
    struct end ends[3];

    ck_assert(reactor_init(&reactor));
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        open_end(&reactor, &ends[i]);
        ck_assert(reactor_watch(&reactor, ends[i].fd, &ends[i].source, EPOLLIN | EPOLLRDHUP));
    }
    send_byte(&ends[1]);
    ck_assert_int_eq(reactor_turn(&reactor, 1000), 1);
    ck_assert_uint_eq(ends[0].calls, 0);
    ck_assert_uint_eq(ends[1].calls, 1);
    ck_assert_uint_eq(ends[1].events, EPOLLIN);
    ck_assert_uint_eq(ends[2].calls, 0);

    ck_assert_int_eq(shutdown(ends[2].far, SHUT_WR), 0);
    ck_assert_int_eq(reactor_turn(&reactor, 1000), 2); /* the byte was not read */
    ck_assert_uint_eq(ends[2].events, EPOLLIN | EPOLLRDHUP);

    reactor_unwatch(&reactor, ends[1].fd);
    reactor_unwatch(&reactor, ends[2].fd);
    ck_assert_int_eq(reactor_turn(&reactor, 0), 0);
    ck_assert_uint_eq(ends[1].calls, 2);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) close_end(&ends[i]);
    reactor_done(&reactor);
}

TEST(an_edge_is_told_once) {
    struct reactor reactor;
    struct end end;

    ck_assert(reactor_init(&reactor));
    open_end(&reactor, &end);
    ck_assert(reactor_watch(&reactor, end.fd, &end.source, EPOLLIN | EPOLLET));
    send_byte(&end);
    ck_assert_int_eq(reactor_turn(&reactor, 1000), 1);
    ck_assert_int_eq(reactor_turn(&reactor, 0), 0);
    send_byte(&end);
    ck_assert_int_eq(reactor_turn(&reactor, 1000), 1);
    close_end(&end);
    reactor_done(&reactor);
}

TEST(what_cannot_be_watched_is_refused) {
    struct reactor reactor;
    struct end end;

    ck_assert(reactor_init(&reactor));
    open_end(&reactor, &end);
    ck_assert(reactor_watch(&reactor, end.fd, &end.source, EPOLLIN));
    ck_assert(!reactor_watch(&reactor, end.fd, &end.source, EPOLLIN)); /* twice */
    ck_assert(!reactor_watch(&reactor, -1, &end.source, EPOLLIN));
    reactor_unwatch(&reactor, -1);
    close_end(&end);
    reactor_done(&reactor);
}

/* Two events at hand; whoever comes first ends the other, whose memory lives on to the end of the
 * turn. */
static void bury(struct deferred *deferred) {
    struct end *end = CONTAINER_OF(deferred, struct end, burial);
    end->buried = true;
}

TEST(memory_that_is_deferred_outlives_the_events_at_hand) {
    struct reactor reactor;
    struct end ends[2];

    ck_assert(reactor_init(&reactor));
    for (size_t i = 0; i < 2; i++) {
        open_end(&reactor, &ends[i]);
        ends[i].burial.run = bury;
        ck_assert(reactor_watch(&reactor, ends[i].fd, &ends[i].source, EPOLLIN));
        send_byte(&ends[i]);
    }
    ends[0].unwatches = &ends[1];
    ends[1].unwatches = &ends[0];
    reactor_defer(&reactor, &ends[0].burial);
    ck_assert_int_eq(reactor_turn(&reactor, 1000), 2);
    ck_assert(!ends[0].buried); /* who calls the turn says when it is over */
    reactor_run_deferred(&reactor);
    ck_assert(ends[0].buried);
    ck_assert(!ends[1].buried);
    for (size_t i = 0; i < 2; i++) close_end(&ends[i]);
    reactor_done(&reactor);
}

TEST(more_events_than_are_taken_in_one_go_all_come) {
    enum { MANY = 200 };
    struct reactor reactor;
    static struct end ends[MANY];
    unsigned told = 0;

    ck_assert(reactor_init(&reactor));
    for (size_t i = 0; i < MANY; i++) {
        open_end(&reactor, &ends[i]);
        ck_assert(reactor_watch(&reactor, ends[i].fd, &ends[i].source, EPOLLIN | EPOLLET));
        send_byte(&ends[i]);
    }
    for (int i = 0; i < 10; i++) reactor_turn(&reactor, 0);
    for (size_t i = 0; i < MANY; i++) {
        told += ends[i].calls;
        close_end(&ends[i]);
    }
    ck_assert_uint_eq(told, MANY);
    reactor_done(&reactor);
}

/* --- things to be done at the end of the turn ------------------------------------------------ */

struct errand {
    struct deferred deferred;
    struct reactor *reactor;
    struct errand *follows; /* deferred by this one */
    char name;
};

static char done[32];
static size_t done_count;

static void run_errand(struct deferred *deferred) {
    struct errand *errand = CONTAINER_OF(deferred, struct errand, deferred);
    ck_assert(!deferred->pending);
    ck_assert_uint_lt(done_count, sizeof done - 1);
    done[done_count++] = errand->name;
    if (errand->follows) reactor_defer(errand->reactor, &errand->follows->deferred);
    errand->follows = NULL;
}

static struct errand errand(struct reactor *reactor, char name) {
    return (struct errand){.deferred.run = run_errand, .reactor = reactor, .name = name};
}

TEST(what_was_deferred_is_done_once_and_in_order) {
    struct reactor reactor;
    ck_assert(reactor_init(&reactor));
    struct errand a = errand(&reactor, 'a'), b = errand(&reactor, 'b'), c = errand(&reactor, 'c');

    reactor_run_deferred(&reactor);
    reactor_defer(&reactor, &a.deferred);
    reactor_defer(&reactor, &b.deferred);
    reactor_defer(&reactor, &a.deferred); /* it is pending already */
    ck_assert(a.deferred.pending);
    b.follows = &c;
    c.follows = &a; /* done before, and again */
    reactor_run_deferred(&reactor);
    ck_assert_str_eq(done, "abca");
    ck_assert(!a.deferred.pending);

    reactor_defer(&reactor, &c.deferred);
    reactor_run_deferred(&reactor);
    ck_assert_str_eq(done, "abcac");
    reactor_run_deferred(&reactor);
    ck_assert_str_eq(done, "abcac");
    reactor_done(&reactor);
}

static void free_errand(struct deferred *deferred) {
    free(CONTAINER_OF(deferred, struct errand, deferred));
}

TEST(what_was_deferred_may_free_itself) {
    struct reactor reactor;
    ck_assert(reactor_init(&reactor));
    for (int i = 0; i < 10; i++) {
        struct errand *errand = calloc(1, sizeof *errand);
        ck_assert_ptr_nonnull(errand);
        errand->deferred.run = free_errand;
        reactor_defer(&reactor, &errand->deferred);
    }
    reactor_run_deferred(&reactor);
    ck_assert_ptr_null(reactor.first);
    reactor_done(&reactor);
}

/* --- time ------------------------------------------------------------------------------------ */

static int64_t now_ms = 5000;

static int64_t tell_now(void) {
    return now_ms;
}

static const struct clock_source ours = {tell_now, tell_now};
static unsigned rings;

static void on_ring(struct timer *timer) {
    (void)timer;
    rings++;
}

TEST(a_turn_fires_what_is_due_by_its_own_time) {
    struct reactor reactor;
    struct timer timer = {.fire = on_ring};

    clock_replace(&ours);
    ck_assert(reactor_init(&reactor));
    ck_assert_int_eq(reactor.now_ms, 5000);
    ck_assert(timers_set(&reactor.timers, &timer, 5010));
    now_ms = 5009;
    reactor_turn(&reactor, 0);
    ck_assert_int_eq(reactor.now_ms, 5009);
    ck_assert_uint_eq(rings, 0);
    now_ms = 5010;
    reactor_turn(&reactor, 0);
    ck_assert_uint_eq(rings, 1);
    reactor_done(&reactor);
    clock_replace(NULL);
}

TEST(a_turn_waits_no_longer_than_to_the_next_timer) {
    struct reactor reactor;
    struct timer timer = {.fire = on_ring};

    ck_assert(reactor_init(&reactor));
    ck_assert(timers_set(&reactor.timers, &timer, reactor.now_ms + 30));
    int64_t began = clock_monotonic_ms();
    while (rings == 0) ck_assert_int_eq(reactor_turn(&reactor, 3600 * 1000), 0);
    int64_t took = clock_monotonic_ms() - began;
    ck_assert_msg(took >= 29 && took < 10000, "%d ms", (int)took);
    reactor_done(&reactor);
}

TEST(a_timer_that_is_overdue_keeps_no_turn_waiting) {
    struct reactor reactor;
    struct timer timer = {.fire = on_ring};

    ck_assert(reactor_init(&reactor));
    ck_assert(timers_set(&reactor.timers, &timer, reactor.now_ms - 1000000));
    reactor_turn(&reactor, 3600 * 1000);
    ck_assert_uint_eq(rings, 1);
    reactor_turn(&reactor, -1); /* is no wait at all, and not one for ever */
    reactor_done(&reactor);
}
