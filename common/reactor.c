#include "common/reactor.h"

#include <unistd.h>

#include "common/clock.h"

#define EVENTS_MAX 64

bool reactor_init(struct reactor *reactor) {
    *reactor =
        (struct reactor){.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .now_ms = clock_monotonic_ms()};
    reactor->last = &reactor->first;
    return reactor->epoll_fd >= 0;
}

void reactor_done(struct reactor *reactor) {
    timers_done(&reactor->timers);
    if (reactor->epoll_fd >= 0) close(reactor->epoll_fd);
    reactor->epoll_fd = -1;
}

bool reactor_watch(struct reactor *reactor, int fd, struct event_source *source, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

void reactor_unwatch(struct reactor *reactor, int fd) {
    epoll_ctl(reactor->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

void reactor_defer(struct reactor *reactor, struct deferred *deferred) {
    if (deferred->pending) return;
    deferred->pending = true;
    deferred->next = NULL;
    *reactor->last = deferred;
    reactor->last = &deferred->next;
}

void reactor_run_deferred(struct reactor *reactor) {
    while (reactor->first) {
        struct deferred *deferred = reactor->first;
        reactor->first = deferred->next;
        if (!reactor->first) reactor->last = &reactor->first;
        deferred->pending = false;
        deferred->run(deferred);
    }
}

static int time_to_wait(const struct reactor *reactor, int64_t wait_ms) {
    int64_t next = timers_next(&reactor->timers);
    if (next != INT64_MAX && next - reactor->now_ms < wait_ms) wait_ms = next - reactor->now_ms;
    return wait_ms < 0 ? 0 : (int)wait_ms;
}

int reactor_turn(struct reactor *reactor, int64_t wait_ms) {
    struct epoll_event events[EVENTS_MAX];
    int wait = time_to_wait(reactor, wait_ms);
    int count = epoll_wait(reactor->epoll_fd, events, EVENTS_MAX, wait);

    reactor->now_ms = clock_monotonic_ms();
    for (int i = 0; i < count; i++) {
        struct event_source *source = events[i].data.ptr;
        source->ready(source, events[i].events);
    }
    timers_run(&reactor->timers, reactor->now_ms);
    return count;
}
