/*
 * base64url: what decodes encodes to the same text, so each value has one spelling; and what is
 * refused has a reason.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth) {
    if (!truth) abort();
}

static void *room(size_t size) {
    void *memory = malloc(size);
    demand(memory != NULL);
    return memory;
}

static void check_encode(const uint8_t *data, size_t size) {
    size_t text_len = base64url_encoded_len(size), back_len = SIZE_MAX;
    char *text = room(text_len + 1);
    unsigned char *back = room(base64url_decoded_max(text_len));

    base64url_encode(data, size, text);
    demand(strlen(text) == text_len);
    demand(base64url_decode((struct span){text, text_len}, back, &back_len) == 0);
    demand(back_len == size && (size == 0 || memcmp(back, data, size) == 0));
    free(back);
    free(text);
}

/* The three reasons to refuse, looked for one by one. */
static bool has_fault(struct span text) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *last = NULL;

    if (text.len % 4 == 1) return true;
    for (size_t i = 0; i < text.len; i++) {
        last = text.ptr[i] ? strchr(alphabet, text.ptr[i]) : NULL;
        if (!last) return true;
    }
    size_t left_over = text.len % 4 == 2 ? 16 : text.len % 4 == 3 ? 4 : 1;
    return last && (size_t)(last - alphabet) % left_over != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span text = {(const char *)data, size};
    size_t len = SIZE_MAX;
    unsigned char *bytes = room(base64url_decoded_max(size));

    if (base64url_decode(text, bytes, &len) == 0) {
        char *again = room(base64url_encoded_len(len) + 1);
        demand(!has_fault(text));
        base64url_encode(bytes, len, again);
        demand(strlen(again) == size && (size == 0 || memcmp(again, data, size) == 0));
        free(again);
    } else {
        demand(has_fault(text));
        demand(len == SIZE_MAX);
    }
    free(bytes);
    check_encode(data, size);
    return 0;
}
