#include "common/utf8.h"

size_t utf8_decode(struct span text, uint32_t *ret) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};

    if (text.len == 0) return 0;
    unsigned char lead = (unsigned char)text.ptr[0];
    *ret = lead;
    if (lead < 0x80) return 1;

    size_t width = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.len < width) return 0;

    uint32_t value = lead & (0x7fu >> width);
    for (size_t i = 1; i < width; i++) {
        unsigned char next = (unsigned char)text.ptr[i];
        if ((next & 0xc0) != 0x80) return 0;
        value = value << 6 | (next & 0x3f);
    }
    if (value < smallest[width] || value > 0x10ffff) return 0;
    if (value >= 0xd800 && value <= 0xdfff) return 0;
    *ret = value;
    return width;
}

size_t utf8_width(struct span text) {
    uint32_t ignored;
    return utf8_decode(text, &ignored);
}
