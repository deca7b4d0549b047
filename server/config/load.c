#include "server/config/load.h"

#include <cyaml/cyaml.h>
#include <stdlib.h>

#include "server/config/json_value.h"
#include "server/config/schema.h"

/* All options of all sections, and for each section the end mark that libcyaml wants. */
#define FIELDS_MAX 512
#define LISTS_MAX 32
#define SECTIONS_MAX 64

/*
 * What libcyaml fills in for an option. A section becomes an array of slots, one for each option,
 * so that one shape fits all; a value stays text until we convert it by our own rules.
 */
struct slot {
    void *data;     /* char *, char **, or slots of one or several entries; NULL where absent */
    unsigned count; /* of a list */
};

struct schema {
    cyaml_schema_field_t fields[FIELDS_MAX];
    cyaml_schema_value_t entries[LISTS_MAX];
    size_t field_count, entry_count;
    struct {
        const struct section *section;
        const cyaml_schema_field_t *fields;
    } known[SECTIONS_MAX]; /* so that a section may lie within itself */
    size_t known_count;
};

/* libcyaml must not write to standard error: problems were reported before it is asked. */
static const cyaml_config_t quiet = {.mem_fn = cyaml_mem, .flags = CYAML_CFG_NO_ALIAS};

static const cyaml_schema_value_t text_entry = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};

static const cyaml_schema_field_t *add_section(struct schema *schema,
                                               const struct section *section);

static cyaml_schema_value_t mapping(struct schema *schema, const struct section *section,
                                    int flags) {
    return (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                  .flags = (enum cyaml_flag)flags,
                                  .data_size = (uint32_t)(section->count * sizeof(struct slot)),
                                  .mapping = {add_section(schema, section)}};
}

static cyaml_schema_value_t value_schema(struct schema *schema, const struct option *option) {
    const int flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL;

    if (!option->list && option->section)
        return mapping(schema, option->section, CYAML_FLAG_POINTER_NULL_STR | CYAML_FLAG_OPTIONAL);
    if (!option->list)
        return (cyaml_schema_value_t){CYAML_VALUE_STRING(flags, char, 0, CYAML_UNLIMITED)};

    const cyaml_schema_value_t *entry = &text_entry;
    size_t size = sizeof(char *);
    if (option->section) {
        if (schema->entry_count == LISTS_MAX) abort();
        cyaml_schema_value_t *own = &schema->entries[schema->entry_count++];
        *own = mapping(schema, option->section, CYAML_FLAG_DEFAULT);
        entry = own;
        size = own->data_size;
    }
    return (cyaml_schema_value_t){.type = CYAML_SEQUENCE,
                                  .flags = (enum cyaml_flag)flags,
                                  .data_size = (uint32_t)size,
                                  .sequence = {entry, 0, CYAML_UNLIMITED}};
}

static const cyaml_schema_field_t *add_section(struct schema *schema,
                                               const struct section *section) {
    cyaml_schema_field_t *fields = &schema->fields[schema->field_count];

    for (size_t i = 0; i < schema->known_count; i++)
        if (schema->known[i].section == section) return schema->known[i].fields;
    schema->field_count += section->count + 1; /* the end mark is zero already */
    if (schema->field_count > FIELDS_MAX || schema->known_count == SECTIONS_MAX) abort();
    schema->known[schema->known_count].section = section;
    schema->known[schema->known_count++].fields = fields;
    for (size_t i = 0; i < section->count; i++) {
        uint32_t slot = (uint32_t)(i * sizeof(struct slot));
        fields[i] =
            (cyaml_schema_field_t){.key = section->options[i].key,
                                   .data_offset = slot + (uint32_t)offsetof(struct slot, data),
                                   .count_offset = slot + (uint32_t)offsetof(struct slot, count),
                                   .count_size = sizeof(((struct slot *)NULL)->count),
                                   .value = value_schema(schema, &section->options[i])};
    }
    return fields;
}

static int read_yaml(struct span text, const cyaml_schema_value_t *schema, struct slot *ret,
                     struct err_text *err) {
    cyaml_err_t r = cyaml_load_data((const uint8_t *)text.ptr, text.len, &quiet, schema, &ret->data,
                                    schema->type == CYAML_SEQUENCE ? &ret->count : NULL);
    if (r == CYAML_OK) return 0;
    return err_set(err, r == CYAML_ERR_OOM ? ERR_MEMORY : ERR_SYSTEM, "libcyaml refuses it: %s",
                   cyaml_strerror(r));
}

/* --- conversion ------------------------------------------------------------------------------ */

struct list {
    void *items;
    size_t count;
};

/* node is the section as it stands in the text; NULL where it does not. */
static int fill_section(const struct section *section, const cyaml_schema_field_t *fields,
                        const struct slot *slots, const struct node *node, char *object,
                        struct err_text *err);

static void store_number(void *field, size_t size, uint64_t number) {
    if (size == sizeof(bool))
        *(bool *)field = number;
    else if (size == sizeof(uint32_t))
        memcpy(field, &(uint32_t){(uint32_t)number}, size);
    else
        memcpy(field, &number, size);
}

static char *make_text(const struct option *option, const char *text, const struct node *node) {
    if (option->kind != &kind_value || !node) return strdup(text);
    return json_value_make(span_of(text), node->plain);
}

/* node is the value as it stands in the text; NULL where it does not. */
static int fill_text(const struct option *option, const char *text, const struct node *node,
                     void *field, struct err_text *err) {
    uint64_t number = 0;

    if (!option->kind->number) {
        char *copy = make_text(option, text, node);
        memcpy(field, &copy, sizeof copy);
        return copy ? 0 : ERR_MEMORY;
    }
    if (!*text && option_may_be_blank(option)) return 0; /* the field is 0 already */
    if (value_parse(option, span_of(text), &number, err) < 0) return ERR_SYSTEM;
    store_number(field, option->size, number);
    return 0;
}

/* A list of numbers is stored as a set: one bit for each. */
static int fill_set(const struct option *option, const struct slot *slot, void *field,
                    struct err_text *err) {
    char *const *items = slot->data;
    uint64_t set = 0, number = 0;

    for (unsigned i = 0; i < slot->count; i++) {
        if (value_parse(option, span_of(items[i]), &number, err) < 0) return ERR_SYSTEM;
        set |= UINT64_C(1) << number;
    }
    store_number(field, option->size, set);
    return 0;
}

static int fill_list(const struct option *option, const cyaml_schema_value_t *schema,
                     const struct slot *slot, const struct node *node, void *field,
                     struct err_text *err) {
    const struct section *section = option->section;
    const struct node *entry = node ? node->first : NULL;
    size_t size = section ? section->size : sizeof(char *);
    size_t slot_size = schema->data_size;
    struct list list = {NULL, slot->count};
    int r = 0;

    if (!section && option->kind->number) return fill_set(option, slot, field, err);
    if (list.count && !(list.items = calloc(list.count, size))) return ERR_MEMORY;
    memcpy(field, &list, sizeof list);
    for (size_t i = 0; i < list.count && r == 0; i++) {
        const char *from = (const char *)slot->data + i * slot_size;
        char *item = (char *)list.items + i * size;
        r = section ? fill_section(section, schema->sequence.entry->mapping.fields,
                                   (const struct slot *)(const void *)from, entry, item, err)
                    : fill_text(option, *(char *const *)(const void *)from, entry, item, err);
        if (entry) entry = entry->next;
    }
    return r;
}

static int fill_pointer(const struct option *option, const cyaml_schema_value_t *schema,
                        const struct slot *slot, const struct node *node, void *field,
                        struct err_text *err) {
    if (!slot->data) return 0; /* the field is NULL already */
    char *object = calloc(1, option->section->size);
    if (!object) return ERR_MEMORY;
    memcpy(field, &object, sizeof object);
    return fill_section(option->section, schema->mapping.fields, slot->data, node, object, err);
}

static int fill_option(const struct option *option, const cyaml_schema_value_t *schema,
                       const struct slot *slot, const struct node *node, char *field,
                       struct err_text *err) {
    if (!option->list && option->pointer)
        return fill_pointer(option, schema, slot, node, field, err);
    if (!option->list && option->section)
        return fill_section(option->section, schema->mapping.fields, slot->data, node, field, err);
    if (!option->list)
        return fill_text(option, slot->data ? slot->data : option->fallback, node, field, err);
    /* An empty list leaves the same slot as none at all. */
    if (slot->count || node || !option->fallback)
        return fill_list(option, schema, slot, node, field, err);

    struct slot fallback = {0};
    int r = read_yaml(span_of(option->fallback), schema, &fallback, err);
    if (r == 0) r = fill_list(option, schema, &fallback, NULL, field, err);
    cyaml_free(&quiet, schema, fallback.data, fallback.count);
    return r;
}

/* slots may be NULL: a section that was left out has all its defaults. */
static int fill_section(const struct section *section, const cyaml_schema_field_t *fields,
                        const struct slot *slots, const struct node *node, char *object,
                        struct err_text *err) {
    static const struct slot absent;
    int r = 0;

    for (size_t i = 0; i < section->count && r == 0; i++) {
        const struct option *option = &section->options[i];
        r = fill_option(option, &fields[i].value, slots ? &slots[i] : &absent,
                        tree_find(node, option->key), object + option->offset, err);
    }
    return r;
}

int load_fill(struct span text, const struct tree *tree, struct config *config,
              struct err_text *err) {
    struct schema schema = {0};
    struct slot root = {0};
    cyaml_schema_value_t top = mapping(&schema, &section_root, CYAML_FLAG_POINTER);

    int r = read_yaml(text, &top, &root, err);
    if (r == 0)
        r = fill_section(&section_root, top.mapping.fields, root.data, tree->root, (char *)config,
                         err);
    cyaml_free(&quiet, &top, root.data, 0);
    return r;
}

static void clear_section(const struct section *section, char *object) {
    for (size_t i = 0; i < section->count; i++) {
        const struct option *option = &section->options[i];
        char *field = object + option->offset;
        struct list list = {NULL, 0};

        if (!option->section && option->kind->number) continue;
        if (!option->list && option->section && !option->pointer) {
            clear_section(option->section, field);
            continue;
        }
        memcpy(&list, field, option->list ? sizeof list : sizeof list.items);
        if (option->pointer) list.count = list.items != NULL;
        for (size_t k = 0; k < list.count; k++) {
            if (option->section)
                clear_section(option->section, (char *)list.items + k * option->section->size);
            else
                free(((char **)list.items)[k]);
        }
        free(list.items);
    }
}

void load_clear(struct config *config) {
    clear_section(&section_root, (char *)config);
}
