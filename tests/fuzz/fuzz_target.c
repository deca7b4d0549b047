/*
 * target: what is accepted is a path without anything that two readers could read in two ways,
 * comes out the same when read again, and finds the same route.
 */
#include <stdint.h>
#include <stdlib.h>

#include "server/policy/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth) {
    if (!truth) abort();
}

static bool is_upper_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

/* No byte that a URL may not hold, no escape of a separator, no dot segment, no empty segment. */
static void check_path(struct span path) {
    demand(path.len > 0 && path.ptr[0] == '/' && path.ptr[path.len] == '\0');
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        demand(c > ' ' && c < 0x7f && c != '#' && c != '?' && c != '\\');
        if (c != '%') continue;
        demand(i + 2 < path.len && is_upper_hex(path.ptr[i + 1]) && is_upper_hex(path.ptr[i + 2]));
        struct span escape = span_until(span_from(path, i), 3);
        demand(!span_equal_text(escape, "%2F") && !span_equal_text(escape, "%5C"));
        demand(!span_equal_text(escape, "%00") && !span_equal_text(escape, "%2E"));
    }
    struct span rest = span_from(path, 1), segment;
    while (span_next(&rest, '/', &segment)) {
        demand(segment.len > 0 || rest.len == 0);
        segment = span_until(segment, span_find(segment, ';'));
        demand(!span_equal_text(segment, ".") && !span_equal_text(segment, ".."));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span raw = {(const char *)data, size};
    struct refusal refusal = {0};
    struct target target = {.path = SPAN_NONE}, again;
    struct buf out = buf_make(3 * size + 1), second = buf_make(3 * size + 1);

    if (target_parse(raw, &out, &target, &refusal)) {
        check_path(target.path);
        demand(target.path.len <= size);
        if (target.query.ptr)
            demand(target.query.ptr > raw.ptr &&
                   target.query.ptr + target.query.len == raw.ptr + raw.len);
        demand(target_parse(target.path, &second, &again, &refusal));
        demand(span_equal(again.path, target.path) && !again.query.ptr);
    } else {
        demand(refusal.reason == REASON_TARGET && refusal.text[0] && !target.path.ptr);
    }
    buf_done(&second);
    buf_done(&out);
    return 0;
}
