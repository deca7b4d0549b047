#include "server/config/json_value.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "common/buf.h"

#define VALUE_MAX ((size_t)1024 * 1024)

static struct span skip_digits(struct span text) {
    while (text.len && text.ptr[0] >= '0' && text.ptr[0] <= '9') text = span_from(text, 1);
    return text;
}

/* False where there is not one digit. */
static bool take_digits(struct span *text) {
    size_t before = text->len;
    *text = skip_digits(*text);
    return text->len < before;
}

static bool take(struct span *text, const char *set) {
    if (text->len == 0 || !text->ptr[0] || !strchr(set, text->ptr[0])) return false;
    *text = span_from(*text, 1);
    return true;
}

static bool is_number(struct span text) {
    take(&text, "-");
    bool zero = take(&text, "0");
    if (!zero && !take_digits(&text)) return false;
    if (take(&text, ".") && !take_digits(&text)) return false;
    if (take(&text, "eE")) {
        take(&text, "+-");
        if (!take_digits(&text)) return false;
    }
    return text.len == 0;
}

/* jansson reads whole numbers as 64 bits, others as a double, and refuses what does not fit. */
bool json_value_is_number(struct span text) {
    char number[64];

    if (text.len >= sizeof number || !is_number(text)) return false;
    memcpy(number, text.ptr, text.len);
    number[text.len] = '\0';
    errno = 0;
    if (strpbrk(number, ".eE")) return isfinite(strtod(number, NULL));
    strtoll(number, NULL, 10);
    return errno == 0;
}

char *json_value_make(struct span text, bool plain) {
    if (plain && (json_value_is_number(text) || span_equal_text(text, "true") ||
                  span_equal_text(text, "false")))
        return strndup(text.ptr, text.len);

    struct buf out = buf_make(VALUE_MAX);
    buf_add_json(&out, text);
    char *made = buf_ok(&out) ? strndup(out.data, out.len) : NULL;
    buf_done(&out);
    return made;
}
