#include "common/utf8.h"

#include <stdint.h>

#include "common/attr.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

TEST(width_of_first_sequence) {
    static const struct {
        struct span text;
        size_t width;
        const char *what;
    } cases[] = {
        {SPAN_NONE, 0, "absent"},
        {S(""), 0, "empty"},
        {S("\0"), 1, "NUL"},
        {S("ab"), 1, "ASCII"},
        {S("\x7f"), 1, "DEL"},
        {S("\xc2\x80"), 2, "U+0080, the first of two bytes"},
        {S("\xdf\xbf"), 2, "U+07FF, the last of two bytes"},
        {S("\xe0\xa0\x80"), 3, "U+0800, the first of three bytes"},
        {S("\xed\x9f\xbf"), 3, "U+D7FF, before the surrogates"},
        {S("\xee\x80\x80"), 3, "U+E000, behind the surrogates"},
        {S("\xef\xbf\xbf"), 3, "U+FFFF, the last of three bytes"},
        {S("\xf0\x90\x80\x80"), 4, "U+10000, the first of four bytes"},
        {S("\xf4\x8f\xbf\xbf"), 4, "U+10FFFF, the last"},
        {S("\xc3\xa9zzz"), 2, "only the first sequence counts"},

        {S("\x80"), 0, "a continuation byte first"},
        {S("\xbf"), 0, "a continuation byte first"},
        {S("\xc0\x80"), 0, "overlong NUL"},
        {S("\xc0\xaf"), 0, "overlong slash"},
        {S("\xc1\xbf"), 0, "overlong U+007F"},
        {S("\xe0\x80\xaf"), 0, "overlong slash in three"},
        {S("\xe0\x9f\xbf"), 0, "overlong U+07FF"},
        {S("\xf0\x80\x80\xaf"), 0, "overlong slash in four"},
        {S("\xf0\x8f\xbf\xbf"), 0, "overlong U+FFFF"},
        {S("\xed\xa0\x80"), 0, "first high surrogate"},
        {S("\xed\xaf\xbf"), 0, "last high surrogate"},
        {S("\xed\xb0\x80"), 0, "first low surrogate"},
        {S("\xed\xbf\xbf"), 0, "last low surrogate"},
        {S("\xf4\x90\x80\x80"), 0, "U+110000"},
        {S("\xf5\x80\x80\x80"), 0, "lead byte F5"},
        {S("\xf8\x88\x80\x80\x80"), 0, "five bytes"},
        {S("\xfe"), 0, "FE"},
        {S("\xff"), 0, "FF"},
        {S("\xc2"), 0, "cut after one of two"},
        {S("\xe2\x82"), 0, "cut after two of three"},
        {S("\xf0\x9f\x98"), 0, "cut after three of four"},
        {S("\xc2z"), 0, "second byte ASCII"},
        {S("\xe2\x82z"), 0, "third byte ASCII"},
        {S("\xf0\x9f\x98z"), 0, "fourth byte ASCII"},
        {S("\xc2\xc2\x80"), 0, "a lead byte inside"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(utf8_width(cases[i].text) == cases[i].width, "%s: %zu", cases[i].what,
                      utf8_width(cases[i].text));
}

/* The encoding by the rules of RFC 3629 section 3, written the other way round. */
static size_t encode(uint32_t c, char out[4]) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t width = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = width - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[width] | c);
    return width;
}

TEST(every_character_is_well_formed_and_every_surrogate_is_not) {
    for (uint32_t c = 0; c <= 0x110000; c++) {
        char bytes[4];
        size_t width = encode(c, bytes);
        bool valid = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        if (utf8_width((struct span){bytes, width}) != (valid ? width : 0))
            ck_abort_msg("U+%04X", c);
        if (width > 1 && utf8_width((struct span){bytes, width - 1}) != 0)
            ck_abort_msg("U+%04X cut", c);
    }
}

TEST(exactly_as_many_three_byte_forms_as_there_are_characters) {
    size_t count = 0;
    for (uint32_t v = 0; v < 1u << 24; v++) {
        char bytes[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
        count += utf8_width((struct span){bytes, 3}) == 3;
    }
    ck_assert_uint_eq(count, 0x10000 - 0x800 - 2048);
}

TEST(the_character_is_told) {
    static const struct {
        struct span text;
        uint32_t character;
    } cases[] = {
        {S("a"), 'a'},
        {S("\0"), 0},
        {S("\xc3\xa9x"), 0xe9},
        {S("\xe2\x82\xac"), 0x20ac},
        {S("\xf0\x9f\x98\x80"), 0x1f600},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t character = 1;
        ck_assert_uint_eq(utf8_decode(cases[i].text, &character), utf8_width(cases[i].text));
        ck_assert_uint_eq(character, cases[i].character);
    }
}

TEST(characters_that_steer_are_known_with_their_neighbours) {
    static const struct {
        uint32_t first, last;
    } steering[] = {{0, 0x1f}, {0x7f, 0x9f}, {0x2028, 0x202e}, {0x2066, 0x2069}};
    for (size_t i = 0; i < ARRAY_LEN(steering); i++) {
        for (uint32_t c = steering[i].first; c <= steering[i].last; c++)
            ck_assert_msg(utf8_is_steering(c), "U+%04X", c);
        ck_assert(steering[i].first == 0 || !utf8_is_steering(steering[i].first - 1));
        ck_assert(!utf8_is_steering(steering[i].last + 1));
    }
}
