/*
 * clock: the only place that asks what time it is, so that a test can answer instead.
 *
 * Tokens are judged by wall time; timers, ages and cooldowns run on the monotonic clock, which a
 * jump of the wall clock does not disturb.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

struct clock_source {
    int64_t (*wall_ms)(void);      /* since 1970-01-01 UTC */
    int64_t (*monotonic_ms)(void); /* since some fixed moment */
};

/* Seconds and milliseconds since 1970-01-01 UTC; 64 bit, so 2038 is a year like others. */
int64_t clock_wall(void);
int64_t clock_wall_ms(void);

/* Milliseconds since some fixed moment; never goes back. The same in nanoseconds, for measuring:
 * where a test owns time, they stand still between its milliseconds. */
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_ns(void);

/* Let a test own time. NULL gives it back to the system. Not while threads run. */
void clock_replace(const struct clock_source *source);

/* "2019-12-08T01:44:17Z" (RFC 3339). Seconds beyond years 0 to 9999 give "(no date)". */
#define CLOCK_TEXT_MAX 24
const char *clock_format(int64_t wall, char text[CLOCK_TEXT_MAX]);

/* A length of time in words of two units at most: "44 min", "3 h 5 min", "12 d", "1 s". */
#define CLOCK_WORDS_MAX 40
const char *clock_words(int64_t seconds, char text[CLOCK_WORDS_MAX]);

#endif
