#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>

void err_write(struct err_text *err, const char *format, ...) {
    if (!err) return;

    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
}
