/*
 * trace: what was looked at on the way to a verdict, step by step, in words for people. Requests to
 * the daemon have none; whoever asks why a token is refused gives one, and then the same code says
 * what it does, and goes on behind a fault wherever more can be said.
 */
#ifndef SERVER_TOKEN_TRACE_H
#define SERVER_TOKEN_TRACE_H

#include <stdbool.h>

#include "common/attr.h"

struct trace {
    /* Both live until it returns; text is not escaped, and never holds a signature. */
    void (*note)(void *argument, const char *step, bool good, const char *text);
    void *argument;
};

/* Longer texts are cut. */
#define TRACE_TEXT_MAX 1024

/* Say how a step came out. Prefer the macros, which cost nothing without a trace. */
void trace_note(const struct trace *trace, const char *step, bool good, const char *format, ...)
    PRINTF_LIKE(4, 5);

#define TRACE(trace, step, good, ...)                                                              \
    do {                                                                                           \
        if (trace) trace_note((trace), (step), (good), __VA_ARGS__);                               \
    } while (0)
#define TRACE_GOOD(trace, step, ...) TRACE(trace, step, true, __VA_ARGS__)
#define TRACE_BAD(trace, step, ...) TRACE(trace, step, false, __VA_ARGS__)

#endif
