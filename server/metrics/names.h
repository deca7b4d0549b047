/*
 * names: a bounded set of names from the configuration, each with a number that stays the same as
 * long as somebody uses the name.
 */
#ifndef SERVER_METRICS_NAMES_H
#define SERVER_METRICS_NAMES_H

#include <stdbool.h>

#include "server/metrics/metrics.h"

/* Zero-initialised: empty. */
struct names {
    struct name {
        char *text;     /* NULL: this number was never taken */
        unsigned users; /* 0: it may become another's; until then it is still known */
    } items[METRICS_NAMES_MAX];
    unsigned other_users; /* of names that have no number */
};

/*
 * Use a name: its number, or METRICS_OTHER where all numbers are in use, or without memory.
 * *ret_reused tells that another name had the number before.
 */
unsigned names_take(struct names *names, const char *text, bool *ret_reused);

/* Use it no longer. */
void names_drop(struct names *names, unsigned number);

/* Free the texts. */
void names_done(struct names *names);

#endif
