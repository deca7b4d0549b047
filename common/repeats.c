#include "common/repeats.h"

/* Fields whose values come from the configuration, so that strangers cannot use up the kinds. */
static bool is_about(const struct log_field *field) {
    static const char *const names[REPEATS_ABOUT_MAX] = {"issuer", "upstream", "target"};
    if (field->kind != LOG_FIELD_SPAN || !field->text.ptr) return false;
    for (size_t i = 0; i < REPEATS_ABOUT_MAX; i++)
        if (strcmp(field->name, names[i]) == 0) return true;
    return false;
}

/* FNV-1a, with an end behind each text. */
static uint64_t hash(uint64_t state, struct span text) {
    for (size_t i = 0; i < text.len; i++)
        state = (state ^ (unsigned char)text.ptr[i]) * 0x100000001b3;
    return (state ^ 0xff) * 0x100000001b3;
}

static uint64_t key_of(const char *message, const struct log_field *fields) {
    uint64_t key = hash(0xcbf29ce484222325, span_of(message));
    for (; fields->name; fields++)
        if (is_about(fields)) key = hash(hash(key, span_of(fields->name)), fields->text);
    return key;
}

static void describe(struct repeat *held, enum log_level level, const char *message,
                     const struct log_field *fields) {
    size_t count = 0;
    held->level = level;
    held->message = message;
    held->times = 0;
    for (; fields->name && count < REPEATS_ABOUT_MAX; fields++) {
        if (!is_about(fields)) continue;
        struct repeat_about *about = &held->about[count++];
        about->name = fields->name;
        about->len = span_until(fields->text, REPEATS_TEXT_MAX).len;
        memcpy(about->text, fields->text.ptr, about->len);
    }
    held->about[count].name = NULL;
}

/* Its window is over, and nothing of it is to be told. */
static bool is_free(const struct repeat_kind *kind, int64_t now_ms) {
    return now_ms >= kind->until_ms && kind->held.times == 0;
}

/* The kind of a line, with a window that may have ended but not been told yet. */
static struct repeat_kind *find(struct repeats *repeats, int64_t now_ms, enum log_level level,
                                const char *message, const struct log_field *fields) {
    static const struct log_field nothing[] = {{0}};
    struct repeat_kind *kind = NULL, *others = &repeats->kinds[REPEATS_KINDS_MAX];
    uint64_t key = key_of(message, fields);

    for (size_t i = 0; i < REPEATS_KINDS_MAX; i++) {
        struct repeat_kind *one = &repeats->kinds[i];
        if (!is_free(one, now_ms) && one->key == key) return one;
        if (!kind && is_free(one, now_ms)) kind = one;
    }
    if (!kind && !is_free(others, now_ms)) return others;
    if (kind)
        describe(&kind->held, level, message, fields);
    else
        describe(&others->held, level, REPEATS_OTHERS, nothing);
    if (!kind) kind = others;
    kind->key = key;
    kind->until_ms = now_ms + REPEATS_WINDOW_MS;
    kind->passed = 0;
    return kind;
}

static void hold(struct repeats *repeats, struct repeat_kind *kind, enum log_level level) {
    kind->held.times++;
    if (level < kind->held.level) kind->held.level = level;
    if (kind->until_ms < atomic_load(&repeats->due_ms))
        atomic_store(&repeats->due_ms, kind->until_ms);
}

bool repeats_pass(struct repeats *repeats, int64_t now_ms, enum log_level level,
                  const char *message, const struct log_field *fields) {
    pthread_mutex_lock(&repeats->lock);
    struct repeat_kind *kind = find(repeats, now_ms, level, message, fields);
    bool passes = kind->passed < REPEATS_PASSED;
    if (passes)
        kind->passed++;
    else
        hold(repeats, kind, level);
    pthread_mutex_unlock(&repeats->lock);
    return passes;
}

static void end_windows(struct repeats *repeats, int64_t now_ms) {
    for (size_t i = 0; i <= REPEATS_KINDS_MAX; i++)
        if (repeats->kinds[i].until_ms > now_ms) repeats->kinds[i].until_ms = now_ms;
}

/* Take the first whose window has ended; what is left tells when the next one is due. */
static bool take(struct repeats *repeats, int64_t now_ms, struct repeat *ret) {
    int64_t due = INT64_MAX;
    bool taken = false;

    for (size_t i = 0; i <= REPEATS_KINDS_MAX; i++) {
        struct repeat_kind *kind = &repeats->kinds[i];
        if (kind->held.times == 0) continue;
        if (!taken && now_ms >= kind->until_ms) {
            *ret = kind->held;
            kind->held.times = 0;
            taken = true;
        } else if (kind->until_ms < due) {
            due = kind->until_ms;
        }
    }
    atomic_store(&repeats->due_ms, due);
    return taken;
}

bool repeats_take(struct repeats *repeats, int64_t now_ms, bool all, struct repeat *ret) {
    pthread_mutex_lock(&repeats->lock);
    if (all) end_windows(repeats, now_ms);
    bool taken = take(repeats, now_ms, ret);
    pthread_mutex_unlock(&repeats->lock);
    return taken;
}
