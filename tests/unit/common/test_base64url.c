#include "common/base64url.h"

#include <stdint.h>
#include <stdlib.h>

#include "common/err.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

/*
 * Decode into memory of exactly the promised size, so that the sanitizer sees a byte too many.
 * Returns the bytes, to be freed, or NULL with *ret_len untouched.
 */
static unsigned char *decode(struct span text, size_t *ret_len) {
    unsigned char *bytes = malloc(base64url_decoded_max(text.len));
    ck_assert_ptr_nonnull(bytes);
    int r = base64url_decode(text, bytes, ret_len);
    if (r == 0) return bytes;
    ck_assert_int_eq(r, ERR_SYNTAX);
    free(bytes);
    return NULL;
}

static char *encode(const void *bytes, size_t len) {
    char *text = malloc(base64url_encoded_len(len) + 1);
    ck_assert_ptr_nonnull(text);
    base64url_encode(bytes, len, text);
    ck_assert_uint_eq(strlen(text), base64url_encoded_len(len));
    return text;
}

TEST(known_pairs_both_ways) {
    static const struct {
        struct span bytes, text;
    } cases[] = {
        /* RFC 4648 section 10, without the padding */
        {S(""), S("")},
        {S("f"), S("Zg")},
        {S("fo"), S("Zm8")},
        {S("foo"), S("Zm9v")},
        {S("foob"), S("Zm9vYg")},
        {S("fooba"), S("Zm9vYmE")},
        {S("foobar"), S("Zm9vYmFy")},
        /* RFC 7515 appendix C */
        {S("\x03\xec\xff\xe0\xc1"), S("A-z_4ME")},
        /* both letters that differ from plain base64 */
        {S("\xfb\xef\xbe"), S("----")},
        {S("\xff\xff\xff"), S("____")},
        {S("\0"), S("AA")},
        {S("\0\0"), S("AAA")},
        {S("\0\0\0"), S("AAAA")},
        {S("\xff"), S("_w")},
        {S("\xff\xff"), S("__8")},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = 99;
        unsigned char *bytes = decode(cases[i].text, &len);
        ck_assert_msg(bytes != NULL, "case %zu refused", i);
        ck_assert_uint_eq(len, cases[i].bytes.len);
        ck_assert_mem_eq(bytes, cases[i].bytes.ptr, len);
        free(bytes);

        char *text = encode(cases[i].bytes.ptr, cases[i].bytes.len);
        ck_assert_str_eq(text, cases[i].text.ptr);
        free(text);
    }
}

TEST(absent_text_decodes_to_nothing) {
    size_t len = 99;
    free(decode(SPAN_NONE, &len));
    ck_assert_uint_eq(len, 0);
}

TEST(everything_lax_is_refused) {
    static const struct {
        struct span text;
        const char *what;
    } cases[] = {
        {S("Zg=="), "padding"},
        {S("Zm8="), "padding"},
        {S("Zm9v===="), "padding behind a full group"},
        {S("="), "padding alone"},
        {S("Zg="), "half the padding"},
        {S("Zm+v"), "'+' of plain base64"},
        {S("Zm/v"), "'/' of plain base64"},
        {S(" Zm9v"), "space first"},
        {S("Zm 9v"), "space inside"},
        {S("Zm9v "), "space last"},
        {S("Zm9v    "), "four spaces, so that the length fits"},
        {S("Zm9v\n"), "line end"},
        {S("Zm9v\r\n"), "CR LF"},
        {S("Zm\n\n9v"), "line ends inside"},
        {S("Zm9v\t"), "tab"},
        {S("!!!!"), "'!'"},
        {S("Zm9v!!!!"), "'!' behind"},
        {S("Zm9v.Zm9v"), "dot"},
        {S("Zm9\0"), "NUL last"},
        {S("\0Zm9"), "NUL first"},
        {S("Zm9v\0\0\0\0"), "a group of NULs"},
        {S("Zm\x80v"), "0x80"},
        {S("Zm\xffv"), "0xff"},
        {S("Z\xc3\xa9v"), "UTF-8"},
        {S("Z"), "one character"},
        {S("Zm9vZ"), "length 1 modulo 4"},
        {S("Zm9vZm9vA"), "length 1 modulo 4"},
        {S("Zh"), "lowest bit left over"},
        {S("Zo"), "highest bit left over"},
        {S("Zv"), "all four bits left over"},
        {S("Zm9"), "lowest of two bits left over"},
        {S("Zm-"), "highest of two bits left over"},
        {S("_x"), "bits left over behind 0xff"},
        {S("Zm9vYh"), "bits left over in the second group"},
        {S("AB"), "bits left over behind NUL"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = 99;
        ck_assert_msg(decode(cases[i].text, &len) == NULL, "%s was accepted", cases[i].what);
        ck_assert_msg(len == 99, "%s: length set on failure", cases[i].what);
    }
}

TEST(the_alphabet_is_these_64_characters) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t accepted = 0;

    for (int c = 0; c < 256; c++) {
        char text[] = {'A', 'A', 'A', (char)c};
        size_t len;
        unsigned char *bytes = decode((struct span){text, 4}, &len);
        if (!bytes) continue;
        ck_assert_msg(c == alphabet[bytes[2]], "0x%02x decodes to %u", c, bytes[2]);
        accepted++;
        free(bytes);
    }
    ck_assert_uint_eq(accepted, 64);
}

/* One value, one spelling: of all texts of 2 and 3 characters, as many are accepted as there are
 * strings of 1 and 2 bytes. */
TEST(each_value_has_one_spelling) {
    size_t two = 0, three = 0, len;

    for (uint32_t v = 0; v < 1u << 16; v++) {
        char text[] = {(char)(v >> 8), (char)v};
        unsigned char out[2];
        two += base64url_decode((struct span){text, 2}, out, &len) == 0;
    }
    ck_assert_uint_eq(two, 256);
    for (uint32_t v = 0; v < 1u << 24; v++) {
        char text[] = {(char)(v >> 16), (char)(v >> 8), (char)v};
        unsigned char out[2];
        three += base64url_decode((struct span){text, 3}, out, &len) == 0;
    }
    ck_assert_uint_eq(three, 65536);
}

TEST(round_trips_at_every_length) {
    enum { MAX = 300 };
    unsigned char bytes[MAX];
    uint32_t state = 1;

    for (size_t len = 0; len <= MAX; len++) {
        for (size_t i = 0; i < len; i++) {
            state = state * 1664525 + 1013904223;
            bytes[i] = (unsigned char)(state >> 24);
        }
        char *text = encode(bytes, len);
        size_t back_len = 0;
        unsigned char *back = decode(span_of(text), &back_len);
        ck_assert_ptr_nonnull(back);
        ck_assert_uint_eq(back_len, len);
        ck_assert(len == 0 || memcmp(back, bytes, len) == 0);
        free(back);
        free(text);
    }
}

TEST(promised_sizes) {
    static const size_t encoded[] = {0, 2, 3, 4, 6, 7, 8, 10, 11, 12};

    for (size_t len = 0; len < ARRAY_LEN(encoded); len++) {
        ck_assert_uint_eq(base64url_encoded_len(len), encoded[len]);
        ck_assert_uint_ge(base64url_decoded_max(encoded[len]), len);
    }
}
