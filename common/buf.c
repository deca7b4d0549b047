#include "common/buf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/utf8.h"

void buf_done(struct buf *buf) {
    free(buf->data);
    *buf = buf_make(buf->max);
}

void buf_reset(struct buf *buf) {
    buf->len = 0;
    buf->failed = false;
    if (buf->data) buf->data[0] = '\0';
}

/* Make room for extra bytes and the NUL behind them. */
static bool reserve(struct buf *buf, size_t extra) {
    if (buf->failed || extra > buf->max - buf->len) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->len + extra + 1;
    if (need <= buf->size) return true;

    size_t size = buf->size ? buf->size : 128;
    while (size < need) size = size > SIZE_MAX / 2 ? need : size * 2;
    char *data = realloc(buf->data, size);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->size = size;
    return true;
}

void buf_add(struct buf *buf, struct span bytes) {
    if (!reserve(buf, bytes.len)) return;
    if (bytes.len) memcpy(buf->data + buf->len, bytes.ptr, bytes.len);
    buf->len += bytes.len;
    buf->data[buf->len] = '\0';
}

void buf_add_text(struct buf *buf, const char *text) {
    buf_add(buf, span_of(text));
}

void buf_add_char(struct buf *buf, char c) {
    buf_add(buf, (struct span){&c, 1});
}

void buf_addf(struct buf *buf, const char *format, ...) {
    va_list args;
    size_t room = buf->size - buf->len;
    char *end = buf->data ? buf->data + buf->len : NULL;

    if (buf->failed) return;
    va_start(args, format);
    int need = vsnprintf(end, end ? room : 0, format, args);
    va_end(args);
    if (need < 0 || !reserve(buf, (size_t)need)) {
        if (end) *end = '\0'; /* there may be the beginning of it */
        buf->failed = true;
        return;
    }
    if (!end || (size_t)need >= room) {
        va_start(args, format);
        vsnprintf(buf->data + buf->len, (size_t)need + 1, format, args);
        va_end(args);
    }
    buf->len += (size_t)need;
}

/* How many bytes of text stand for themselves in JSON: all that most texts have. */
static size_t plain_prefix(struct span text) {
    size_t n = 0;
    while (n < text.len && text.ptr[n] >= ' ' && text.ptr[n] < 0x7f && text.ptr[n] != '"' &&
           text.ptr[n] != '\\')
        n++;
    return n;
}

void buf_add_json(struct buf *buf, struct span text) {
    static const char short_escapes[] = "\b\t\n\f\r\"\\";
    static const char short_names[] = "btnfr\"\\";

    buf_add_char(buf, '"');
    while (text.len) {
        size_t plain = plain_prefix(text);
        buf_add(buf, span_until(text, plain));
        text = span_from(text, plain);
        if (!text.len) break;
        uint32_t character;
        size_t width = utf8_decode(text, &character);
        const char *known = width == 1 && *text.ptr ? strchr(short_escapes, *text.ptr) : NULL;
        if (known)
            buf_addf(buf, "\\%c", short_names[known - short_escapes]);
        else if (width == 0)
            buf_add_text(buf, "\xef\xbf\xbd");
        else if (utf8_is_steering(character))
            buf_addf(buf, "\\u%04" PRIx32, character);
        else
            buf_add(buf, span_until(text, width));
        text = span_from(text, width ? width : 1);
    }
    buf_add_char(buf, '"');
}
