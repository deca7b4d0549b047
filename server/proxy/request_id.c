#include "server/proxy/request_id.h"

#include <stdint.h>
#include <stdlib.h>

#include "common/ascii.h"

/* Bytes that mean nothing in any log, whoever reads it, and that need no quoting. */
static bool is_usable(struct span id) {
    for (size_t i = 0; i < id.len; i++)
        if (!ascii_is_alphanumeric_or(id.ptr[i], "-._~+/=:")) return false;
    return id.len >= 1 && id.len <= REQUEST_ID_MAX;
}

/* Of several no one can tell which the others on the way will log. */
static struct span find_only(struct fields fields) {
    struct span found = SPAN_NONE;
    for (size_t i = 0; i < fields.count; i++) {
        if (!span_equal_nocase(fields.items[i].name, SPAN_LITERAL("X-Request-Id"))) continue;
        if (found.ptr) return SPAN_NONE;
        found = fields.items[i].value;
    }
    return found;
}

static void make(struct request_id *ret) {
    static const char digits[] = "0123456789abcdef";
    /* Random bytes for many requests at a time: each draw is a system call. */
    static _Thread_local uint8_t store[64 * 16];
    static _Thread_local size_t left;
    char *to = ret->text;

    if (left == 0) {
        arc4random_buf(store, sizeof store);
        left = sizeof store;
    }
    left -= 16;
    const uint8_t *random = store + left;
    for (size_t i = 0; i < 16; i++) {
        *to++ = digits[random[i] >> 4];
        *to++ = digits[random[i] & 0xf];
    }
    *to = '\0';
}

void request_id_choose(struct fields fields, struct request_id *ret) {
    struct span sent = find_only(fields);

    if (!sent.ptr || !is_usable(sent)) {
        make(ret);
        return;
    }
    memcpy(ret->text, sent.ptr, sent.len);
    ret->text[sent.len] = '\0';
}
