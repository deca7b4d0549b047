#include "server/metrics/names.h"

#include <stdlib.h>
#include <string.h>

/* The number of the name; else one that never was another's; else one that is not used any more. */
static unsigned find(const struct names *names, const char *text) {
    unsigned unused = METRICS_OTHER;
    for (unsigned i = 0; i < METRICS_NAMES_MAX; i++) {
        const struct name *name = &names->items[i];
        if (!name->text) return i; /* they are taken in order: none is behind */
        if (strcmp(name->text, text) == 0) return i;
        if (unused == METRICS_OTHER && name->users == 0) unused = i;
    }
    return unused;
}

unsigned names_take(struct names *names, const char *text, bool *ret_reused) {
    unsigned number = find(names, text);

    *ret_reused = false;
    if (number == METRICS_OTHER) {
        names->other_users++;
        return METRICS_OTHER;
    }
    struct name *name = &names->items[number];
    if (!name->text || strcmp(name->text, text) != 0) {
        char *copy = strdup(text);
        if (!copy) {
            names->other_users++;
            return METRICS_OTHER;
        }
        *ret_reused = name->text != NULL;
        free(name->text);
        name->text = copy;
    }
    name->users++;
    return number;
}

void names_drop(struct names *names, unsigned number) {
    if (number == METRICS_OTHER)
        names->other_users--;
    else
        names->items[number].users--;
}

void names_done(struct names *names) {
    for (size_t i = 0; i < METRICS_NAMES_MAX; i++) free(names->items[i].text);
}
