/*
 * nearest: the known word that a misspelt one was probably meant to be.
 */
#ifndef SERVER_CONFIG_NEAREST_H
#define SERVER_CONFIG_NEAREST_H

#include <stddef.h>

#include "common/span.h"

struct nearest {
    struct span text; /* what was written */
    struct span best; /* of the known words so far; absent while none is near enough */
    size_t distance;  /* of best */
};

/* A search for text among words that nearest_try() is given. Spans are borrowed. */
struct nearest nearest_make(struct span text);

/*
 * Take known for the best where it is nearer than those before it: letters put in, taken out or
 * replaced count, their case does not, and more than one in three is not near.
 */
void nearest_try(struct nearest *nearest, struct span known);

#endif
