/*
 * schema: every option there is, declared once. The loader, the check with its error texts and
 * conf/bearerd.yaml are all driven by these tables.
 */
#ifndef SERVER_CONFIG_SCHEMA_H
#define SERVER_CONFIG_SCHEMA_H

#include <stddef.h>

#include "server/config/values.h"

struct problems;
struct record;

struct option {
    const char *key;
    const struct kind *kind;       /* what a value is, or each of a list; NULL for a section */
    const struct section *section; /* the value is a section, or a list of entries of it */
    bool list;
    bool pointer;      /* of a section: its struct is allocated where it is given, else NULL */
    bool may_be_empty; /* of a list */
    bool required;
    size_t offset; /* of the field in the struct that the section fills */
    size_t size;   /* of that field */
    const char *min, *max;
    const struct choice *choices;
    const char *fallback; /* used where the option is absent; YAML where it is a list */
    /* The value in the example file; NULL: the fallback, commented out. A section with a sample is
     * shown by it alone, commented out. */
    const char *sample;
    const char *more; /* further entries in the example file */
    const char *help; /* one or more lines */
};

struct section {
    const struct option *options;
    size_t count;
    size_t size; /* of the struct that one entry of a list fills */
    /* Rules between the keys of one entry; may be NULL. */
    void (*rules)(struct problems *problems, const struct record *record);
    /* Report it where two entries of a list may not stand side by side, and return true; NULL: any
     * may. */
    bool (*unlike)(struct problems *problems, const struct record *earlier,
                   const struct record *later);
    /* A number that is the same for any two entries that unlike would report, so that thousands of
     * them need not all be compared; NULL: 0 for all. */
    uint64_t (*likeness)(const struct record *record);
};

#define SECTION_OPTIONS_MAX 24
#define LIST_ENTRIES_MAX 65536

extern const struct section section_root;

/* The index of the option in its section; -1 where there is none. */
int section_find(const struct section *section, struct span key);

/*
 * What is right for the option, or for one entry of it where it is a list, as it follows "write ":
 * "a whole number, from 1 to 64".
 */
void option_describe(const struct option *option, bool entry, struct buf *buf);

/*
 * "" given for an option that is off by default means the same as leaving it out; but as a value
 * that a claim is compared with it is the empty text.
 */
bool option_may_be_blank(const struct option *option);

#endif
