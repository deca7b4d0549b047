#include "common/jtree.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/utf8.h"

/* Lengths and distances are kept in 32 bits. */
#define TEXT_MAX ((size_t)256 * 1024 * 1024)

/* Up to so many members each name is compared with those before it; beyond, they are sorted. */
#define COMPARED_MAX 16

enum fault { FAULT_NONE, FAULT_SYNTAX, FAULT_TWICE, FAULT_DEPTH, FAULT_MEMORY };

/* The NUL behind the text is part of nothing, so whatever is being read ends there. */
struct reader {
    char *text;         /* the tree's own copy: escapes are replaced in their place */
    char *at;           /* what is read next; after a fault, where it lies */
    char *end;          /* the NUL */
    struct jnode *next; /* the first node that is free, of as many as text can hold */
    struct jnode *open; /* the innermost array or object that is not closed; NULL: none */
    size_t depth;       /* how many are open */
    bool takes_nul;     /* \u0000 is a character */
};

/* --- characters ---------------------------------------------------------------------------- */

enum class {
    PLAIN = 1, /* stands for itself in a string */
    SPACE = 2,
};

static const unsigned char classes[256] = {
    [' '] = PLAIN | SPACE, ['\t'] = SPACE,        ['\n'] = SPACE,         ['\r'] = SPACE,
    ['!'] = PLAIN,         ['#' ... '['] = PLAIN, [']' ... 0x7f] = PLAIN,
};

static bool is(char c, enum class class) {
    return classes[(unsigned char)c] & class;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static void skip_space(struct reader *reader) {
    while (is(*reader->at, SPACE)) reader->at++;
}

/* --- strings ------------------------------------------------------------------------------- */

/* Four hexadecimal digits; false leaves at where they are none. */
static bool read_hex(struct reader *reader, uint32_t *ret) {
    *ret = 0;
    for (size_t i = 0; i < 4; i++, reader->at++) {
        char c = *reader->at, letter = (char)(c | 0x20);
        if (is_digit(c))
            *ret = *ret << 4 | (uint32_t)(c - '0');
        else if (letter >= 'a' && letter <= 'f')
            *ret = *ret << 4 | (uint32_t)(letter - 'a' + 10);
        else
            return false;
    }
    return true;
}

/* A character behind "\u"; two escapes where it takes a pair of surrogates (RFC 8259 section 7). */
static bool read_unicode(struct reader *reader, uint32_t *ret) {
    uint32_t low;

    if (!read_hex(reader, ret) || (*ret == 0 && !reader->takes_nul)) return false;
    if (*ret < 0xd800 || *ret > 0xdfff) return true;
    if (*ret > 0xdbff || reader->at[0] != '\\' || reader->at[1] != 'u') return false;
    reader->at += 2;
    if (!read_hex(reader, &low) || low < 0xdc00 || low > 0xdfff) return false;
    *ret = 0x10000 + ((*ret - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* As UTF-8, which is never longer than the escape was. */
static char *put_character(char *out, uint32_t character) {
    if (character < 0x80) {
        *out++ = (char)character;
        return out;
    }
    int more = character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
    *out++ = (char)(0xff00 >> (more + 1) | (int)(character >> 6 * more));
    while (more--) *out++ = (char)(0x80 | (character >> 6 * more & 0x3f));
    return out;
}

/* What stands behind a backslash. */
static bool read_escape(struct reader *reader, char **out) {
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    uint32_t character;

    char name = *reader->at;
    const char *found = name ? strchr(names, name) : NULL;
    if (!found && name != 'u') return false;
    reader->at++;
    if (found) {
        *(*out)++ = meant[found - names];
        return true;
    }
    if (!read_unicode(reader, &character)) return false;
    *out = put_character(*out, character);
    return true;
}

/* One character of UTF-8, to where it belongs. */
static bool move_character(struct reader *reader, char **out) {
    struct span rest = {reader->at, (size_t)(reader->end - reader->at)};
    size_t width = utf8_width(rest);
    for (size_t i = 0; i < width; i++) *(*out)++ = *reader->at++;
    return width > 0;
}

/* From the first thing on that is not plain, and that the character at out gives way to. */
static enum fault read_rest_of_string(struct reader *reader, char *out, char **ret_end) {
    for (;;) {
        char c = *reader->at;
        if (c == '"') break;
        if (is(c, PLAIN)) {
            *out++ = c;
            reader->at++;
        } else if (c == '\\') {
            reader->at++;
            if (!read_escape(reader, &out)) return FAULT_SYNTAX;
        } else if (!((unsigned char)c & 0x80) || !move_character(reader, &out)) {
            return FAULT_SYNTAX;
        }
    }
    *ret_end = out;
    return FAULT_NONE;
}

/* Most strings stay as they are. */
static enum fault read_string(struct reader *reader, const char **ret, uint32_t *ret_len) {
    char *start = ++reader->at, *end = start;

    while (is(*end, PLAIN)) end++;
    reader->at = end;
    if (*end != '"') {
        enum fault fault = read_rest_of_string(reader, end, &end);
        if (fault) return fault;
    }
    reader->at++;
    *ret = start;
    *ret_len = (uint32_t)(end - start);
    return FAULT_NONE;
}

/* --- numbers and words --------------------------------------------------------------------- */

static bool skip_digits(struct reader *reader) {
    const char *start = reader->at;
    while (is_digit(*reader->at)) reader->at++;
    return reader->at > start;
}

/* The digits of a whole number. A zero in front stands alone, and what follows a number is never a
 * digit: so 01 is refused. *ret_large: the number does not fit. */
static bool read_digits(struct reader *reader, uint64_t *ret, bool *ret_large) {
    const char *start = reader->at;

    *ret = 0;
    *ret_large = false;
    if (*reader->at == '0') {
        reader->at++;
        return true;
    }
    for (; is_digit(*reader->at); reader->at++) {
        *ret_large |= __builtin_mul_overflow(*ret, 10, ret);
        *ret_large |= __builtin_add_overflow(*ret, (uint64_t)(*reader->at - '0'), ret);
    }
    return reader->at > start;
}

/* A number with a fraction or an exponent, whose whole digits were read. */
static enum fault read_real(struct reader *reader, const char *start, struct jnode *node) {
    char *end;

    if (*reader->at == '.') {
        reader->at++;
        if (!skip_digits(reader)) return FAULT_SYNTAX;
    }
    if (*reader->at == 'e' || *reader->at == 'E') {
        reader->at++;
        if (*reader->at == '+' || *reader->at == '-') reader->at++;
        if (!skip_digits(reader)) return FAULT_SYNTAX;
    }
    node->type = JTYPE_REAL;
    node->real = strtod(start, &end);
    /* Under a locale that writes numbers otherwise, no number is better than another number. */
    return end == reader->at && isfinite(node->real) ? FAULT_NONE : FAULT_SYNTAX;
}

static enum fault read_number(struct reader *reader, struct jnode *node) {
    const char *start = reader->at;
    bool negative = *reader->at == '-', large;
    uint64_t value;

    if (negative) reader->at++;
    if (!read_digits(reader, &value, &large)) return FAULT_SYNTAX;
    if (*reader->at == '.' || *reader->at == 'e' || *reader->at == 'E')
        return read_real(reader, start, node);
    if (large || value > (uint64_t)INT64_MAX + negative) return FAULT_SYNTAX;
    node->type = JTYPE_INTEGER;
    node->integer = (int64_t)(negative ? 0 - value : value);
    return FAULT_NONE;
}

static enum fault read_word(struct reader *reader, const char *word, enum jtype type,
                            struct jnode *node) {
    size_t len = strlen(word);
    if (strncmp(reader->at, word, len) != 0) return FAULT_SYNTAX;
    reader->at += len;
    node->type = type;
    return FAULT_NONE;
}

/* --- names --------------------------------------------------------------------------------- */

/* Most that are of one length differ in their first byte. */
static bool has_name(const struct jnode *member, struct span name) {
    if (member->name_len != name.len) return false;
    return name.len == 0 ||
           (*member->name == *name.ptr && memcmp(member->name, name.ptr, name.len) == 0);
}

/* The one of that name among the first count members, which may not all be closed. */
static const struct jnode *find_member(const struct jnode *object, struct span name,
                                       const struct jnode *end) {
    for (const struct jnode *member = object + 1; member < end; member += member->extent)
        if (has_name(member, name)) return member;
    return NULL;
}

/* Shorter names first; of the same length, by their bytes. */
static int compare_names(const void *a, const void *b) {
    const struct jnode *one = *(const struct jnode *const *)a;
    const struct jnode *other = *(const struct jnode *const *)b;
    if (one->name_len != other->name_len) return one->name_len < other->name_len ? -1 : 1;
    return memcmp(one->name, other->name, one->name_len);
}

/* Compared one with another, many names would take time that grows with the square of their number;
 * hashed, as long as their author wants. */
static enum fault check_names(struct reader *reader, const struct jnode *object) {
    enum fault fault = FAULT_NONE;
    size_t count = 0;
    const struct jnode **members = reallocarray(NULL, object->len, sizeof *members);
    if (!members) return FAULT_MEMORY;

    for (const struct jnode *m = jnode_first(object); m; m = jnode_next(object, m))
        members[count++] = m;
    qsort(members, count, sizeof *members, compare_names);
    for (size_t i = 1; i < count && !fault; i++) {
        if (compare_names(&members[i - 1], &members[i]) != 0) continue;
        bool later = members[i]->name > members[i - 1]->name;
        reader->at = reader->text + (members[later ? i : i - 1]->name - reader->text);
        fault = FAULT_TWICE;
    }
    free(members);
    return fault;
}

static enum fault read_name(struct reader *reader, struct jnode *member) {
    const struct jnode *object = reader->open;

    if (*reader->at != '"') return FAULT_SYNTAX;
    enum fault fault = read_string(reader, &member->name, &member->name_len);
    if (fault) return fault;
    if (object->len < COMPARED_MAX && find_member(object, jnode_name(member), member))
        return FAULT_TWICE;
    skip_space(reader);
    if (*reader->at != ':') return FAULT_SYNTAX;
    reader->at++;
    skip_space(reader);
    return FAULT_NONE;
}

/* --- values -------------------------------------------------------------------------------- */

static enum fault open_node(struct reader *reader, enum jtype type, struct jnode *node) {
    if (reader->depth == JSON_DEPTH_MAX) return FAULT_DEPTH;
    reader->depth++;
    reader->at++;
    node->type = type;
    node->len = 0;
    node->outer = reader->open;
    reader->open = node;
    return FAULT_NONE;
}

static enum fault close_node(struct reader *reader) {
    struct jnode *node = reader->open;

    reader->depth--;
    reader->at++;
    reader->open = node->outer;
    node->extent = (uint32_t)(reader->next - node);
    if (node->type == JTYPE_OBJECT && node->len > COMPARED_MAX) return check_names(reader, node);
    return FAULT_NONE;
}

static enum fault read_value(struct reader *reader, struct jnode *node) {
    switch (*reader->at) {
    case '"':
        node->type = JTYPE_STRING;
        return read_string(reader, &node->text, &node->len);
    case '{':
        return open_node(reader, JTYPE_OBJECT, node);
    case '[':
        return open_node(reader, JTYPE_ARRAY, node);
    case 't':
        return read_word(reader, "true", JTYPE_TRUE, node);
    case 'f':
        return read_word(reader, "false", JTYPE_FALSE, node);
    case 'n':
        return read_word(reader, "null", JTYPE_NULL, node);
    default:
        return read_number(reader, node);
    }
}

/* A value, with its name where it is a member. What it opened is then the innermost. */
static enum fault read_node(struct reader *reader) {
    struct jnode *outer = reader->open, *node = reader->next++;
    enum fault fault = FAULT_NONE;

    skip_space(reader);
    node->name = NULL;
    node->extent = 1;
    if (outer && outer->type == JTYPE_OBJECT) fault = read_name(reader, node);
    if (outer) outer->len++;
    return fault ? fault : read_value(reader, node);
}

static bool closes(char c, const struct jnode *node) {
    return c == (node->type == JTYPE_OBJECT ? '}' : ']');
}

/* Close what ends here. *ret_more: another value must follow. */
static enum fault read_ends(struct reader *reader, bool *ret_more) {
    enum fault fault = FAULT_NONE;

    for (;;) {
        skip_space(reader);
        *ret_more = reader->open && *reader->at == ',';
        if (*ret_more) reader->at++;
        if (*ret_more || !reader->open) return fault;
        if (!closes(*reader->at, reader->open)) return FAULT_SYNTAX;
        if ((fault = close_node(reader))) return fault;
    }
}

/* Without recursion: what is open is a list from the inside out. */
static enum fault read_all(struct reader *reader) {
    for (bool more = true; more;) {
        const struct jnode *node = reader->next;
        enum fault fault = read_node(reader);
        if (fault) return fault;
        if (reader->open == node) {
            skip_space(reader);
            if (!closes(*reader->at, node)) continue;
        }
        if ((fault = read_ends(reader, &more))) return fault;
    }
    return reader->at == reader->end ? FAULT_NONE : FAULT_SYNTAX;
}

/* --- the tree ------------------------------------------------------------------------------ */

#define LANES 16

typedef unsigned char lanes __attribute__((vector_size(LANES)));

/* How many nodes a text can have at most: each but the first follows a comma or an opening bracket.
 * Those in strings are counted, too, for who would tell them apart had to read the text. */
static size_t count_nodes(struct span text) {
    size_t count = 1, at = 0;

    while (text.len - at >= LANES) {
        lanes sum = {0};
        for (size_t i = 0; i < 255 && text.len - at >= LANES; i++, at += LANES) {
            lanes here;
            memcpy(&here, text.ptr + at, LANES);
            sum -= (lanes)(here == ',') | (lanes)((here | 0x20) == '{');
        }
        for (size_t i = 0; i < LANES; i++) count += sum[i];
    }
    for (; at < text.len; at++) count += text.ptr[at] == ',' || (text.ptr[at] | 0x20) == '{';
    return count;
}

/* The nodes come last, so that a sanitizer sees one too many. */
static struct jtree *make_tree(struct span text, struct reader *ret) {
    static const size_t step = _Alignof(struct jnode);
    size_t nodes_at = (sizeof(struct jtree) + text.len + step) / step * step;
    size_t size = nodes_at + count_nodes(text) * sizeof(struct jnode);
    struct jtree *tree = malloc(size);
    if (!tree) return NULL;

    char *copy = (char *)(tree + 1), *nodes = (char *)tree + nodes_at;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *ret = (struct reader){.text = copy, .at = copy, .end = copy + text.len};
    ret->next = (struct jnode *)(void *)nodes;
    *tree = (struct jtree){.root = ret->next, .size = size, .refs = 1};
    return tree;
}

static int tell(enum fault fault, const struct reader *reader, struct span text,
                struct err_text *err) {
    size_t at = (size_t)(reader->at - reader->text);

    if (fault == FAULT_MEMORY) return err_set(err, ERR_MEMORY, "could not be read: out of memory");
    if (memchr(text.ptr, '\0', text.len)) return err_set(err, ERR_SYNTAX, "holds a NUL byte");
    if (fault == FAULT_DEPTH)
        return err_set(err, ERR_LIMIT, "is nested deeper than %d levels", JSON_DEPTH_MAX);
    if (fault == FAULT_TWICE)
        return err_set(err, ERR_SYNTAX, "names a member twice (at byte %zu)", at);
    return err_set(err, ERR_SYNTAX, "is not valid JSON (at byte %zu)", at);
}

static int read_tree(struct span text, bool takes_nul, struct jtree **ret, struct err_text *err) {
    struct reader reader;

    if (text.len == 0) return err_set(err, ERR_SYNTAX, "is empty");
    if (text.len > TEXT_MAX) return err_set(err, ERR_LIMIT, "has more than %zu bytes", TEXT_MAX);
    CLEANUP(jtree_unrefp) struct jtree *tree = make_tree(text, &reader);
    if (!tree) return err_set(err, ERR_MEMORY, "could not be read: out of memory");

    reader.takes_nul = takes_nul;
    enum fault fault = read_all(&reader);
    if (fault) return tell(fault, &reader, text, err);
    *ret = TAKE_PTR(tree);
    return 0;
}

int jtree_read_value(struct span text, struct jtree **ret, struct err_text *err) {
    return read_tree(text, true, ret, err);
}

int jtree_read_object(struct span text, struct jtree **ret, struct err_text *err) {
    CLEANUP(jtree_unrefp) struct jtree *tree = NULL;
    int r = read_tree(text, false, &tree, err);
    if (r < 0) return r;
    if (!jnode_is(tree->root, JTYPE_OBJECT))
        return err_set(err, ERR_SYNTAX, "is not a JSON object");
    *ret = TAKE_PTR(tree);
    return 0;
}

struct jtree *jtree_ref(struct jtree *tree) {
    tree->refs++;
    return tree;
}

void jtree_unref(struct jtree *tree) {
    if (tree && --tree->refs == 0) free(tree);
}

/* --- looking ------------------------------------------------------------------------------- */

const struct jnode *jnode_member(const struct jnode *object, struct span name) {
    if (!jnode_is(object, JTYPE_OBJECT)) return NULL;
    return find_member(object, name, object + object->extent);
}

enum json_found jnode_find_string(const struct jnode *object, const char *name, struct span *ret) {
    const struct jnode *node = jnode_find(object, name);
    if (!node) return JSON_ABSENT;
    if (!jnode_is(node, JTYPE_STRING)) return JSON_WRONG_TYPE;
    *ret = jnode_text(node);
    return JSON_FOUND;
}

enum json_found jnode_find_seconds(const struct jnode *object, const char *name, int64_t *ret) {
    static const double limit = 1e15;

    const struct jnode *node = jnode_find(object, name);
    if (!node) return JSON_ABSENT;
    if (!jnode_is_number(node)) return JSON_WRONG_TYPE;

    double value = floor(jnode_number(node));
    *ret = (int64_t)(value > limit ? limit : value < -limit ? -limit : value);
    return JSON_FOUND;
}

bool jnode_equal(const struct jnode *a, const struct jnode *b) {
    if (!a || !b) return false;
    if (jnode_is_number(a) && jnode_is_number(b) && a->type != b->type)
        return jnode_number(a) == jnode_number(b);
    if (a->type != b->type) return false;

    switch (a->type) {
    case JTYPE_NULL:
    case JTYPE_FALSE:
    case JTYPE_TRUE:
        return true;
    case JTYPE_INTEGER:
        return a->integer == b->integer;
    case JTYPE_REAL:
        return a->real == b->real;
    case JTYPE_STRING:
        return span_equal(jnode_text(a), jnode_text(b));
    case JTYPE_ARRAY:
    case JTYPE_OBJECT:
        return false;
    }
    return false;
}

/* --- writing ------------------------------------------------------------------------------- */

static void write_string(struct span text, struct buf *out) {
    static const char letters[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    size_t plain = 0;

    buf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is(c, PLAIN) || ((unsigned char)c & 0x80)) continue;
        const char *found = c ? strchr(letters, c) : NULL;
        buf_add(out, (struct span){text.ptr + plain, i - plain});
        if (found)
            buf_addf(out, "\\%c", names[found - letters]);
        else
            buf_addf(out, "\\u%04X", (unsigned)c);
        plain = i + 1;
    }
    buf_add(out, span_from(text, plain));
    buf_add_char(out, '"');
}

/* A real stays one where it is read again: 1.0, not 1. */
static void write_real(double real, struct buf *out) {
    char text[32];
    int digits = 15;

    do {
        snprintf(text, sizeof text, "%.*g", digits, real);
    } while (digits++ < 17 && strtod(text, NULL) != real);

    size_t exponent = strcspn(text, "e");
    buf_add(out, (struct span){text, exponent});
    if (text[exponent])
        buf_addf(out, "e%ld", strtol(text + exponent + 1, NULL, 10));
    else if (!strchr(text, '.'))
        buf_add_text(out, ".0");
}

static void write_children(const struct jnode *parent, struct buf *out) {
    bool object = parent->type == JTYPE_OBJECT;

    buf_add_char(out, object ? '{' : '[');
    for (const struct jnode *child = jnode_first(parent); child;) {
        if (object) {
            write_string(jnode_name(child), out);
            buf_add_char(out, ':');
        }
        jnode_write(child, out);
        child = jnode_next(parent, child);
        if (child) buf_add_char(out, ',');
    }
    buf_add_char(out, object ? '}' : ']');
}

void jnode_write(const struct jnode *node, struct buf *out) {
    switch (node->type) {
    case JTYPE_NULL:
        buf_add_text(out, "null");
        break;
    case JTYPE_FALSE:
    case JTYPE_TRUE:
        buf_add_text(out, node->type == JTYPE_TRUE ? "true" : "false");
        break;
    case JTYPE_INTEGER:
        buf_addf(out, "%" PRId64, node->integer);
        break;
    case JTYPE_REAL:
        write_real(node->real, out);
        break;
    case JTYPE_STRING:
        write_string(jnode_text(node), out);
        break;
    case JTYPE_ARRAY:
    case JTYPE_OBJECT:
        write_children(node, out);
        break;
    }
}
