/*
 * utf8: agrees with the grammar of RFC 3629 section 4; and whatever the bytes, buf_add_json() makes
 * one JSON string of them, the same text where they were well-formed.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth) {
    if (!truth) abort();
}

/* The rows of the grammar: range of the first and second byte; the rest is 80 to BF. */
static size_t width_by_grammar(const uint8_t *data, size_t size) {
    static const struct {
        uint8_t first_min, first_max, second_min, second_max;
        size_t width;
    } rows[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        size_t width = rows[row].width;
        if (size < width || data[0] < rows[row].first_min || data[0] > rows[row].first_max)
            continue;
        bool fits =
            width == 1 || (data[1] >= rows[row].second_min && data[1] <= rows[row].second_max);
        for (size_t i = 2; i < width; i++) fits = fits && data[i] >= 0x80 && data[i] <= 0xbf;
        return fits ? width : 0;
    }
    return 0;
}

static void check_json_string(struct span text, bool well_formed) {
    struct buf buf = buf_make(text.len * 6 + 2);

    buf_add_json(&buf, text);
    demand(buf_ok(&buf));
    for (size_t i = 0; i < buf.len; i++) demand((unsigned char)buf.data[i] >= 0x20);
    json_t *string = json_loadb(buf.data, buf.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    demand(json_is_string(string));
    struct span back = {json_string_value(string), json_string_length(string)};
    demand(!well_formed || text.len == 0 || span_equal(back, text));
    json_decref(string);
    buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span text = {(const char *)data, size};
    bool well_formed = true;

    for (size_t at = 0; at < size;) {
        size_t width = utf8_width(span_from(text, at));
        demand(width == width_by_grammar(data + at, size - at));
        well_formed = well_formed && width > 0;
        at += width ? width : 1;
    }
    check_json_string(text, well_formed);
    return 0;
}
