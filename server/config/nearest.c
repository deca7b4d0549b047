#include "server/config/nearest.h"

#include <stdbool.h>
#include <stdint.h>

#include "common/attr.h"

#define LETTERS_MAX 40

static bool same_letter(char a, char b) {
    return span_equal_nocase((struct span){&a, 1}, (struct span){&b, 1});
}

/* How many letters must be put in, taken out or replaced to make known of text (Levenshtein). */
static size_t distance(struct span text, struct span known) {
    size_t row[LETTERS_MAX];

    if (known.len >= ARRAY_LEN(row) || text.len >= ARRAY_LEN(row)) return SIZE_MAX;
    for (size_t j = 0; j <= known.len; j++) row[j] = j;
    for (size_t i = 0; i < text.len; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < known.len; j++) {
            size_t best = same_letter(text.ptr[i], known.ptr[j]) ? diagonal : diagonal + 1;
            diagonal = row[j + 1];
            if (best > row[j] + 1) best = row[j] + 1;
            if (best > diagonal + 1) best = diagonal + 1;
            row[j + 1] = best;
        }
    }
    return row[known.len];
}

struct nearest nearest_make(struct span text) {
    return (struct nearest){text, SPAN_NONE, SIZE_MAX};
}

void nearest_try(struct nearest *nearest, struct span known) {
    size_t d = distance(nearest->text, known);
    if (d >= nearest->distance || d > (known.len + 1) / 3) return;
    nearest->distance = d;
    nearest->best = known;
}
