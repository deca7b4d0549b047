#include "server/token/trace.h"

#include <stdarg.h>
#include <stdio.h>

void trace_note(const struct trace *trace, const char *step, bool good, const char *format, ...) {
    char text[TRACE_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    trace->note(trace->argument, step, good, text);
}
