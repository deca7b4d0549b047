/*
 * tree: a YAML document as it was written, every node with its place, so that each problem can be
 * shown where it is.
 */
#ifndef SERVER_CONFIG_TREE_H
#define SERVER_CONFIG_TREE_H

#include "server/config/problem.h"

enum node_kind {
    NODE_TEXT,
    NODE_LIST,
    NODE_MAP,   /* children: key, value, key, value, ... */
    NODE_ALIAS, /* "*name": already reported, never followed */
};

struct node {
    enum node_kind kind;
    unsigned line, column; /* from 1 */
    unsigned depth;        /* lists and maps around it */
    bool plain;            /* a text without quotes */
    bool complete;         /* false for a list or map that bad syntax cut off */
    bool sound;            /* set by the check: nothing is wrong with this value alone */
    struct node *first, *last, *next, *parent;
    struct node *made; /* the node made before this one */
    struct span text;
    char bytes[]; /* text's */
};

struct tree {
    struct node *root; /* NULL for an empty document */
    struct node *made;
    bool broken; /* bad syntax: what follows is not here */
};

/* Deeper than anybody reads; libyaml takes time that grows with the square of the depth. */
#define TREE_DEPTH_MAX 16

/*
 * Take a YAML text apart. Reported: bad syntax and too deep nesting (what came before is still in
 * the tree), anchors, aliases, tags and a second document. Free with tree_done() in any case.
 */
void tree_parse(struct span text, struct problems *problems, struct tree *ret);
void tree_done(struct tree *tree);

/* Is it YAML's null: nothing behind a key, or one of the words for that? */
bool tree_is_null(const struct node *node);

/* The value of the key, first where it is given twice; NULL where it is absent, or node no map. */
const struct node *tree_find(const struct node *node, const char *key);

#endif
