#include "common/span.h"

static char lower(char c) {
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

bool span_bytes_equal_nocase(const char *a, const char *b, size_t len) {
    if (memcmp(a, b, len) == 0) return true;
    for (size_t i = 0; i < len; i++)
        if (lower(a[i]) != lower(b[i])) return false;
    return true;
}

static bool is_ows(char c) {
    return c == ' ' || c == '\t';
}

struct span span_trim(struct span span) {
    while (span.len && is_ows(span.ptr[0])) span = span_from(span, 1);
    while (span.len && is_ows(span.ptr[span.len - 1])) span.len--;
    return span;
}

bool span_next(struct span *rest, char separator, struct span *ret_piece) {
    if (!rest->ptr || rest->len == 0) return false;

    size_t end = span_find(*rest, separator);
    *ret_piece = span_until(*rest, end);
    *rest = span_from(*rest, end + 1);
    return true;
}
