#include "server/token/reason.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    enum reason_class class;
} table[REASON_COUNT] = {
#define X(identifier, name, class) [REASON_##identifier] = {name, class},
    REASONS(X)
#undef X
};

const char *reason_name(enum reason reason) {
    return table[reason].name;
}

enum reason_class reason_class(enum reason reason) {
    return table[reason].class;
}

void refusal_write(struct refusal *refusal, enum reason reason, const char *format, ...) {
    va_list args;

    refusal->reason = reason;
    va_start(args, format);
    vsnprintf(refusal->text, sizeof refusal->text, format, args);
    va_end(args);
}
