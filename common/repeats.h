/*
 * repeats: what is said again and again is said a few times, and then counted.
 *
 * A message, together with the issuer, upstream and target that it is about, may come
 * REPEATS_PASSED times within REPEATS_WINDOW_MS of its first time. Further ones are held back, and
 * at the end of that time it is told how many they were: none is lost without being counted. Where
 * more different ones come at once than there is room for, the rest share one count.
 */
#ifndef COMMON_REPEATS_H
#define COMMON_REPEATS_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/attr.h"
#include "common/log.h"

#define REPEATS_PASSED 10
#define REPEATS_WINDOW_MS 10000
#define REPEATS_KINDS_MAX 64
/* Longer texts of what a message is about are told cut off; they are told apart all the same. */
#define REPEATS_TEXT_MAX 128
/* issuer, upstream, target */
#define REPEATS_ABOUT_MAX 3

/* The message of those that share one count. */
#define REPEATS_OTHERS "many different messages at once"

/* What was held back. */
struct repeat {
    enum log_level level; /* the most urgent of them */
    const char *message;
    struct repeat_about {
        const char *name; /* of the field; NULL behind the last one */
        size_t len;
        char text[REPEATS_TEXT_MAX];
    } about[REPEATS_ABOUT_MAX + 1];
    uint64_t times;
};

struct repeats {
    pthread_mutex_t lock;   /* held for a look at the kinds */
    _Atomic int64_t due_ms; /* monotonic: when there is something to tell; INT64_MAX: nothing is */
    struct repeat_kind {
        uint64_t key;
        int64_t until_ms; /* monotonic: its window's end; 0: there is none */
        unsigned passed;
        struct repeat held;
    } kinds[REPEATS_KINDS_MAX + 1]; /* the last is the others' */
};

#define REPEATS_EMPTY                                                                              \
    { .lock = PTHREAD_MUTEX_INITIALIZER, .due_ms = INT64_MAX }

/*
 * Any thread: may this line be written now? False: it is counted. message lives for ever; fields
 * are those of the line, up to one without a name. now_ms: monotonic.
 */
bool repeats_pass(struct repeats *repeats, int64_t now_ms, enum log_level level,
                  const char *message, const struct log_field *fields) MUST_CHECK;

/* Any thread, no lock: has repeats_take() something to give at that time? */
static inline bool repeats_due(struct repeats *repeats, int64_t now_ms) {
    return now_ms >= atomic_load_explicit(&repeats->due_ms, memory_order_relaxed);
}

/*
 * Any thread: take out one of those whose window has ended, to be told; with all, every window ends
 * now. False where there is none.
 */
bool repeats_take(struct repeats *repeats, int64_t now_ms, bool all, struct repeat *ret) MUST_CHECK;

#endif
