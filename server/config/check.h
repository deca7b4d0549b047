/*
 * check: walks a document along the schema and reports everything that is wrong with it.
 */
#ifndef SERVER_CONFIG_CHECK_H
#define SERVER_CONFIG_CHECK_H

#include "server/config/schema.h"
#include "server/config/tree.h"

/* One section as it was given: for each option of it the key and its value, NULL where absent. */
struct record {
    const struct section *section;
    const struct node *node;
    struct {
        const struct node *key, *value;
    } given[SECTION_OPTIONS_MAX];
};

/* Report every problem of the tree; marks the nodes that are sound. */
void check_tree(const struct tree *tree, struct problems *problems);

/* Report at a node. */
#define PROBLEM_AT(problems, node, key, ...)                                                       \
    problem_add((problems), (node)->line, (node)->column, (key), __VA_ARGS__)

/* What stands at the key; NULL where it is absent, or blank where that means absent. */
const struct node *record_given(const struct record *record, const char *key);

/* The same, but NULL for an unsound value too. */
const struct node *record_sound(const struct record *record, const char *key);

/*
 * The text that counts for the key, given or by default; absent where it is given but unsound. For
 * a number kind, *ret is its value.
 */
struct span record_value(const struct record *record, const char *key, uint64_t *ret);

/*
 * The first entry of the list that counts for the key, given or by default; NULL where it is empty
 * or unsound. Entries by default stand nowhere in the file; they live until tree_done(tree).
 */
const struct node *record_entries(struct problems *problems, const struct record *record,
                                  const char *key, struct tree *tree);

/*
 * The record of node, which stands at the key as a section or is an entry of the list there, and
 * was checked before; without the keys' own nodes. For a node that is NULL or no map, nothing is
 * given.
 */
void record_inner(const struct record *record, const char *key, const struct node *node,
                  struct record *ret);

#endif
