#include "server/config/tree.h"

#include <stdlib.h>
#include <yaml.h>

#define LINE(mark) ((unsigned)(mark).line + 1)
#define COLUMN(mark) ((unsigned)(mark).column + 1)

void tree_done(struct tree *tree) {
    for (struct node *node = tree->made, *before; node; node = before) {
        before = node->made;
        free(node);
    }
    *tree = (struct tree){0};
}

/* A new node as last child of parent, or as the root. NULL where memory ran out. */
static struct node *add_node(struct tree *tree, struct node *parent, enum node_kind kind,
                             const yaml_event_t *event, struct span text) {
    struct node *node = calloc(1, sizeof *node + text.len + 1);
    if (!node) return NULL;
    *node = (struct node){.kind = kind,
                          .line = LINE(event->start_mark),
                          .column = COLUMN(event->start_mark),
                          .depth = parent ? parent->depth + 1 : 0,
                          .parent = parent,
                          .made = tree->made,
                          .text = {node->bytes, text.len}};
    if (text.len) memcpy(node->bytes, text.ptr, text.len);
    tree->made = node;
    if (!parent)
        tree->root = node;
    else if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    if (parent) parent->last = node;
    return node;
}

static void refuse_marks(struct problems *problems, const yaml_event_t *event,
                         const yaml_char_t *anchor, const yaml_char_t *tag) {
    if (anchor)
        problem_add(problems, LINE(event->start_mark), COLUMN(event->start_mark), NULL,
                    "anchors (&name) and aliases (*name) are not used here; write the value out");
    if (tag)
        problem_add(problems, LINE(event->start_mark), COLUMN(event->start_mark), NULL,
                    "tags (!name) are not used here; write the value alone");
}

/* libyaml tells the offset of such a byte only: count characters up to it, as libyaml does. */
static void report_byte(struct span text, const yaml_parser_t *parser, struct problems *problems) {
    struct span rest = span_from(text, parser->problem_offset);
    unsigned line = 1, column = 1;

    for (const char *at = text.ptr; at < rest.ptr; at++) {
        if (*at == '\n')
            line++, column = 1;
        else if (((unsigned char)*at & 0xc0) != 0x80)
            column++;
    }
    problem_add(problems, line, column, NULL,
                "byte 0x%02x: %s; write UTF-8 text without control characters",
                rest.len ? (unsigned char)*rest.ptr : 0, parser->problem);
}

static void report_syntax(struct span text, const yaml_parser_t *parser,
                          struct problems *problems) {
    if (parser->error == YAML_MEMORY_ERROR) {
        problems->out_of_memory = true;
        return;
    }
    if (parser->error == YAML_READER_ERROR) {
        report_byte(text, parser, problems);
        return;
    }
    char started[64] = "";
    if (parser->context && parser->context_mark.line < parser->problem_mark.line)
        snprintf(started, sizeof started, " that starts in line %u", LINE(parser->context_mark));
    problem_add(problems, LINE(parser->problem_mark), COLUMN(parser->problem_mark), NULL,
                "not YAML: %s%s%s%s; look at indentation (spaces, no tabs), quotes and brackets "
                "here and before",
                parser->problem, parser->context ? " " : "", parser->context ? parser->context : "",
                started);
}

/* One event; *open is the list or map that it lies in. False ends the reading. */
static bool take_event(struct tree *tree, struct node **open, const yaml_event_t *event,
                       struct problems *problems) {
    struct node *node = NULL;

    switch (event->type) {
    case YAML_ALIAS_EVENT:
        refuse_marks(problems, event, event->data.alias.anchor, NULL);
        node = add_node(tree, *open, NODE_ALIAS, event, SPAN_NONE);
        break;
    case YAML_SCALAR_EVENT:
        refuse_marks(problems, event, event->data.scalar.anchor, event->data.scalar.tag);
        node = add_node(
            tree, *open, NODE_TEXT, event,
            (struct span){(const char *)event->data.scalar.value, event->data.scalar.length});
        if (node) node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        break;
    case YAML_SEQUENCE_START_EVENT:
        refuse_marks(problems, event, event->data.sequence_start.anchor,
                     event->data.sequence_start.tag);
        *open = node = add_node(tree, *open, NODE_LIST, event, SPAN_NONE);
        break;
    case YAML_MAPPING_START_EVENT:
        refuse_marks(problems, event, event->data.mapping_start.anchor,
                     event->data.mapping_start.tag);
        *open = node = add_node(tree, *open, NODE_MAP, event, SPAN_NONE);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        if (!*open) return true; /* libyaml ends only what it began */
        (*open)->complete = true;
        *open = (*open)->parent;
        return true;
    case YAML_DOCUMENT_START_EVENT:
        if (!tree->root) return true;
        problem_add(problems, LINE(event->start_mark), COLUMN(event->start_mark), NULL,
                    "a second YAML document starts here; keep all in one");
        return false;
    default:
        return event->type != YAML_STREAM_END_EVENT;
    }
    if (!node) {
        problems->out_of_memory = true;
        return false;
    }
    if (node->depth < TREE_DEPTH_MAX) return true;
    problem_add(problems, node->line, node->column, NULL,
                "more than %d levels deep; nothing may be nested so deep", TREE_DEPTH_MAX);
    return false;
}

void tree_parse(struct span text, struct problems *problems, struct tree *ret) {
    yaml_parser_t parser;
    struct node *open = NULL;
    bool more = true;

    *ret = (struct tree){0};
    if (!yaml_parser_initialize(&parser)) {
        problems->out_of_memory = true;
        return;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.ptr ? text.ptr : ""),
                                 text.len);
    while (more) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            report_syntax(text, &parser, problems);
            ret->broken = true;
            break;
        }
        more = take_event(ret, &open, &event, problems);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
}

/* The words that libcyaml knows for it. */
bool tree_is_null(const struct node *node) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    for (size_t i = 0; node->kind == NODE_TEXT && node->plain && i < ARRAY_LEN(words); i++)
        if (span_equal_text(node->text, words[i])) return true;
    return false;
}

const struct node *tree_find(const struct node *node, const char *key) {
    if (!node || node->kind != NODE_MAP) return NULL;
    for (const struct node *k = node->first; k; k = k->next ? k->next->next : NULL)
        if (k->kind == NODE_TEXT && span_equal_text(k->text, key)) return k->next;
    return NULL;
}
