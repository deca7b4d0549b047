#include "common/timers.h"

#include <stdlib.h>

static void put(struct timers *timers, struct timer *timer, size_t place) {
    timers->heap[place - 1] = timer;
    timer->place = place;
}

static void move_up(struct timers *timers, struct timer *timer) {
    size_t place = timer->place;
    while (place > 1) {
        struct timer *parent = timers->heap[place / 2 - 1];
        if (parent->at_ms <= timer->at_ms) break;
        put(timers, parent, place);
        place /= 2;
    }
    put(timers, timer, place);
}

static void move_down(struct timers *timers, struct timer *timer) {
    size_t place = timer->place;
    for (;;) {
        size_t child = place * 2;
        if (child > timers->count) break;
        if (child < timers->count && timers->heap[child]->at_ms < timers->heap[child - 1]->at_ms)
            child++;
        struct timer *earlier = timers->heap[child - 1];
        if (earlier->at_ms >= timer->at_ms) break;
        put(timers, earlier, place);
        place = child;
    }
    put(timers, timer, place);
}

void timers_done(struct timers *timers) {
    free(timers->heap);
    *timers = (struct timers){0};
}

static bool make_room(struct timers *timers) {
    if (timers->count < timers->room) return true;
    size_t room = timers->room ? timers->room * 2 : 64;
    struct timer **heap = realloc(timers->heap, room * sizeof(struct timer *));
    if (!heap) return false;
    timers->heap = heap;
    timers->room = room;
    return true;
}

bool timers_set(struct timers *timers, struct timer *timer, int64_t at_ms) {
    timer->at_ms = at_ms;
    if (!timer->place) {
        if (!make_room(timers)) return false;
        put(timers, timer, ++timers->count);
    }
    move_up(timers, timer);
    move_down(timers, timer);
    return true;
}

void timers_clear(struct timers *timers, struct timer *timer) {
    if (!timer->place) return;
    struct timer *last = timers->heap[--timers->count];
    if (last != timer) {
        put(timers, last, timer->place);
        move_up(timers, last);
        move_down(timers, last);
    }
    timer->place = 0;
}

int64_t timers_next(const struct timers *timers) {
    return timers->count ? timers->heap[0]->at_ms : INT64_MAX;
}

void timers_run(struct timers *timers, int64_t now_ms) {
    while (timers->count && timers->heap[0]->at_ms <= now_ms) {
        struct timer *timer = timers->heap[0];
        timers_clear(timers, timer);
        timer->fire(timer);
    }
}
