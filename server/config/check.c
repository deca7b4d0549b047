#include "server/config/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/config/nearest.h"

#define SENTENCE_MAX 1024

/* --- words ----------------------------------------------------------------------------------- */

/* "KEY: WHAT; write what would be right", for the option or for one entry of its list. */
static void report(struct problems *problems, const struct node *node, const struct option *option,
                   bool entry, const char *what) {
    struct buf wanted = buf_make(SENTENCE_MAX);
    option_describe(option, entry, &wanted);
    PROBLEM_AT(problems, node, option->key, "%s; write %s", what, wanted.data ? wanted.data : "");
    buf_done(&wanted);
}

static void report_unknown(struct problems *problems, const struct section *section,
                           const struct node *key) {
    char quoted[PROBLEM_QUOTE_MAX];
    struct nearest nearest = nearest_make(key->text);
    struct buf keys = buf_make(SENTENCE_MAX);

    for (size_t i = 0; i < section->count; i++) {
        struct span known = span_of(section->options[i].key);
        nearest_try(&nearest, known);
        buf_addf(&keys, "%s%s", i ? ", " : "", known.ptr);
    }
    if (nearest.best.ptr)
        PROBLEM_AT(problems, key, NULL, "unknown key %s; did you mean \"%.*s\"?",
                   problem_quote(key->text, quoted), SPAN_PRINTF(nearest.best));
    else
        PROBLEM_AT(problems, key, NULL, "unknown key %s; the keys here are: %s",
                   problem_quote(key->text, quoted), keys.data ? keys.data : "");
    buf_done(&keys);
}

/* --- values ---------------------------------------------------------------------------------- */

static void check_section(struct problems *problems, const struct section *section,
                          struct node *node, struct record *ret);

/* Report a node of another kind than is needed. */
static bool is_kind(struct problems *problems, const struct option *option, const struct node *node,
                    enum node_kind kind) {
    static const char *const found[] = {
        [NODE_TEXT] = "a single value is not enough",
        [NODE_LIST] = "a list is too much",
        [NODE_MAP] = "keys of its own are not known here",
    };
    if (node->kind == kind && !tree_is_null(node)) return true;
    if (node->kind != NODE_ALIAS)
        report(problems, node, option, option->list && kind != NODE_LIST,
               tree_is_null(node) ? "has no value" : found[node->kind]);
    return false;
}

static void check_text(struct problems *problems, const struct option *option, struct node *node) {
    struct err_text why;
    uint64_t number;
    char quoted[PROBLEM_QUOTE_MAX], what[sizeof quoted + sizeof why];

    if (!is_kind(problems, option, node, NODE_TEXT)) return;
    bool blank = node->text.len == 0 && !option->list && option_may_be_blank(option);
    node->sound = blank || value_parse(option, node->text, &number, &why) == 0;
    if (node->sound) return;
    snprintf(what, sizeof what, "%s %s", problem_quote(node->text, quoted), why.text);
    report(problems, node, option, option->list, what);
}

/* Entries so far, those of one likeness in one chain. */
struct alike {
    struct record *records;
    size_t *heads; /* of each chain: the index of a record, plus 1; 0 = none */
    size_t *nexts; /* of each record */
    size_t mask;
};

static bool alike_init(struct alike *alike, size_t count) {
    size_t buckets = 1;
    while (buckets < count) buckets *= 2;
    alike->mask = buckets - 1;
    alike->records = calloc(count, sizeof *alike->records);
    alike->heads = calloc(buckets, sizeof *alike->heads);
    alike->nexts = calloc(count, sizeof *alike->nexts);
    return alike->records && alike->heads && alike->nexts;
}

static void alike_done(struct alike *alike) {
    free(alike->records);
    free(alike->heads);
    free(alike->nexts);
}

/* Compare the record at index with those before it that it may clash with. */
static void alike_add(struct problems *problems, struct alike *alike, const struct section *section,
                      size_t index) {
    const struct record *record = &alike->records[index];
    uint64_t likeness = section->likeness ? section->likeness(record) : 0;
    size_t *link = &alike->heads[likeness & alike->mask];

    bool told = false;

    /* In the order of the file, so that the first clash is the one that is told. */
    for (; *link; link = &alike->nexts[*link - 1])
        told = told || section->unlike(problems, &alike->records[*link - 1], record);
    *link = index + 1;
}

/* The entries of a list, each by itself and against those before it. */
static void check_entries(struct problems *problems, const struct option *option, struct node *list,
                          size_t count) {
    struct alike alike = {0};
    size_t done = 0;

    if (!alike_init(&alike, count)) problems->out_of_memory = true;
    for (struct node *entry = list->first; entry && !problems->out_of_memory; entry = entry->next) {
        if (!is_kind(problems, option, entry, NODE_MAP)) continue;
        check_section(problems, option->section, entry, &alike.records[done]);
        if (option->section->unlike) alike_add(problems, &alike, option->section, done);
        done++;
    }
    alike_done(&alike);
}

static void check_list(struct problems *problems, const struct option *option, struct node *list) {
    size_t count = 0;

    if (!is_kind(problems, option, list, NODE_LIST)) return;
    for (const struct node *entry = list->first; entry; entry = entry->next) count++;
    if (count == 0 && list->complete && !option->may_be_empty) {
        report(problems, list, option, false, "an empty list is not enough");
        return;
    }
    if (count > LIST_ENTRIES_MAX) {
        PROBLEM_AT(problems, list, option->key, "%zu entries; no list may have more than %d", count,
                   LIST_ENTRIES_MAX);
        return;
    }
    list->sound = true;
    if (option->section) {
        if (count) check_entries(problems, option, list, count);
        return;
    }
    for (struct node *entry = list->first; entry; entry = entry->next)
        check_text(problems, option, entry);
}

static void check_value(struct problems *problems, const struct option *option,
                        struct node *value) {
    struct record record;

    if (option->list)
        check_list(problems, option, value);
    else if (!option->section)
        check_text(problems, option, value);
    else if (!tree_is_null(value) && is_kind(problems, option, value, NODE_MAP))
        check_section(problems, option->section, value, &record);
}

/* --- sections -------------------------------------------------------------------------------- */

static void check_key(struct problems *problems, struct record *record, const struct node *key) {
    if (key->kind == NODE_ALIAS) return;
    if (key->kind != NODE_TEXT) {
        PROBLEM_AT(problems, key, NULL, "a key must be a text; write \"key: value\"");
        return;
    }
    int i = section_find(record->section, key->text);
    if (i < 0) {
        report_unknown(problems, record->section, key);
        return;
    }
    const struct option *option = &record->section->options[i];
    const struct node *before = record->given[i].key;
    if (before)
        PROBLEM_AT(problems, key, option->key, "given twice, first in line %u; keep one",
                   before->line);
    if (key->next) check_value(problems, option, key->next);
    if (before) return;
    record->given[i].key = key;
    record->given[i].value = key->next;
}

static void check_section(struct problems *problems, const struct section *section,
                          struct node *node, struct record *ret) {
    *ret = (struct record){.section = section, .node = node};

    for (const struct node *key = node->first; key; key = key->next ? key->next->next : NULL)
        check_key(problems, ret, key);
    if (!node->complete) return; /* what is missing may be behind the bad syntax */

    for (size_t i = 0; i < section->count; i++)
        if (section->options[i].required && !ret->given[i].key)
            report(problems, node, &section->options[i], false, "required, but missing");
    if (section->rules) section->rules(problems, ret);
}

void check_tree(const struct tree *tree, struct problems *problems) {
    struct record record;
    struct node nothing = {.kind = NODE_MAP, .line = 1, .column = 1, .complete = true};
    struct node *root = tree->root;

    if (!root && tree->broken) return;
    if (!root || tree_is_null(root)) root = &nothing;
    if (root->kind != NODE_MAP) {
        PROBLEM_AT(problems, root, NULL,
                   "not a configuration; write keys with their values, such as \"issuers:\"");
        return;
    }
    root->line = root->column = 1; /* a key missing at the top is missing from the file */
    check_section(problems, &section_root, root, &record);
}

/* --- what rules ask -------------------------------------------------------------------------- */

static int find(const struct record *record, const char *key) {
    return section_find(record->section, span_of(key));
}

static const struct option *option_at(const struct record *record, const char *key) {
    return &record->section->options[find(record, key)];
}

const struct node *record_given(const struct record *record, const char *key) {
    const struct node *value = record->given[find(record, key)].value;
    bool blank = value && value->kind == NODE_TEXT && value->text.len == 0 &&
                 option_may_be_blank(option_at(record, key));
    return blank ? NULL : value;
}

const struct node *record_sound(const struct record *record, const char *key) {
    const struct node *value = record_given(record, key);
    return value && value->sound ? value : NULL;
}

struct span record_value(const struct record *record, const char *key, uint64_t *ret) {
    const struct option *option = option_at(record, key);
    const struct node *value = record_given(record, key);
    if (value && !value->sound) return SPAN_NONE;
    struct span text = value ? value->text : span_of(option->fallback);
    if (value_parse(option, text, ret, NULL) < 0) return SPAN_NONE;
    return text;
}

const struct node *record_entries(struct problems *problems, const struct record *record,
                                  const char *key, struct tree *tree) {
    const struct option *option = option_at(record, key);
    const struct node *list = record_given(record, key);

    *tree = (struct tree){0};
    if (!list && option->fallback) {
        tree_parse(span_of(option->fallback), problems, tree);
        if (tree->root) check_value(problems, option, tree->root);
        list = tree->root;
    }
    return list && list->sound ? list->first : NULL;
}

void record_inner(const struct record *record, const char *key, const struct node *node,
                  struct record *ret) {
    const struct section *section = option_at(record, key)->section;

    *ret = (struct record){.section = section, .node = node};
    for (size_t i = 0; i < section->count; i++)
        ret->given[i].value = tree_find(node, section->options[i].key);
}
