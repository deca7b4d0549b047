#include "common/clock.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_wall_ms(void) {
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_monotonic_ms(void) {
    return read_clock(CLOCK_MONOTONIC);
}

static const struct clock_source system_source = {system_wall_ms, system_monotonic_ms};
static const struct clock_source *source = &system_source;

void clock_replace(const struct clock_source *replacement) {
    source = replacement ? replacement : &system_source;
}

int64_t clock_wall_ms(void) {
    return source->wall_ms();
}

int64_t clock_wall(void) {
    int64_t ms = source->wall_ms();
    return ms >= 0 ? ms / 1000 : (ms - 999) / 1000;
}

int64_t clock_monotonic_ms(void) {
    return source->monotonic_ms();
}

int64_t clock_monotonic_ns(void) {
    struct timespec now;
    if (source != &system_source) return source->monotonic_ms() * 1000000;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

const char *clock_format(int64_t wall, char text[CLOCK_TEXT_MAX]) {
    time_t seconds = (time_t)wall;
    struct tm utc;
    /* Years 0 to 9999: what the fixed width of RFC 3339 can say. */
    if (wall < -62167219200 || wall > 253402300799 || !gmtime_r(&seconds, &utc))
        return memcpy(text, "(no date)", sizeof "(no date)");
    strftime(text, CLOCK_TEXT_MAX, "%04Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

const char *clock_words(int64_t seconds, char text[CLOCK_WORDS_MAX]) {
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    static const size_t last = sizeof units / sizeof units[0] - 1;

    uint64_t left = seconds < 0 ? -(uint64_t)seconds : (uint64_t)seconds;
    size_t i = 0;
    while (i < last && left < (uint64_t)units[i].seconds) i++;

    uint64_t whole = left / (uint64_t)units[i].seconds;
    uint64_t rest = left % (uint64_t)units[i].seconds;
    int used = snprintf(text, CLOCK_WORDS_MAX, "%" PRIu64 " %s", whole, units[i].name);
    if (i == last) return text;
    rest /= (uint64_t)units[i + 1].seconds;
    if (rest)
        snprintf(text + used, CLOCK_WORDS_MAX - (size_t)used, " %" PRIu64 " %s", rest,
                 units[i + 1].name);
    return text;
}
