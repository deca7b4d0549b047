#include "common/ascii.h"

#include <stdlib.h>

#include "tests/support/suite.h"

/* Longer than a few rounds of the quick way. */
#define LONGEST 600

/* Memory of exactly its size, so that a sanitizer sees a byte too many. */
static char *letters(size_t len) {
    char *text = malloc(len ? len : 1);
    memset(text, 'a', len);
    return text;
}

static bool is_control(int byte) {
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

TEST(a_control_character_is_found_wherever_it_stands) {
    for (size_t len = 0; len <= LONGEST; len += len < 70 ? 1 : 53) {
        char *text = letters(len);
        ck_assert_msg(!ascii_has_control((struct span){text, len}), "%zu", len);
        for (size_t i = 0; i < len; i++) {
            text[i] = (char)(i % 2 ? '\r' : 0x7f);
            ck_assert_msg(ascii_has_control((struct span){text, len}), "%zu of %zu", i, len);
            text[i] = 'a';
        }
        free(text);
    }
}

TEST(every_byte_is_what_its_class_says_alone_and_among_others) {
    for (size_t len = 1; len <= 300; len += 23) {
        char *text = letters(len);
        for (int byte = 0; byte < 256; byte++) {
            text[len / 2] = (char)byte;
            ck_assert_msg(ascii_has_control((struct span){text, len}) == is_control(byte),
                          "%02x in %zu", byte, len);
            ck_assert(ascii_is((char)byte, ASCII_CONTROL) == is_control(byte));
        }
        free(text);
    }
}

TEST(tabs_and_high_bytes_do_not_hide_a_control_character) {
    char *text = letters(100);
    text[3] = '\t', text[50] = '\xff';
    ck_assert(!ascii_has_control((struct span){text, 100}));
    text[99] = '\0';
    ck_assert(ascii_has_control((struct span){text, 100}));
    ck_assert(!ascii_has_control((struct span){text, 99}));
    free(text);
}
