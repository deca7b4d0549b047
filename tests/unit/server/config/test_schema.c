#include "server/config/check.h"
#include "tests/support/suite.h"

typedef void see_option(const struct section *section, const struct option *option);

/* Sections lie in one another, and some in themselves: each is seen once. */
static void each_option_of(const struct section *section, const struct section **seen,
                           size_t *count, see_option *see) {
    for (size_t i = 0; i < *count; i++)
        if (seen[i] == section) return;
    ck_assert_uint_lt(*count, 64);
    seen[(*count)++] = section;
    ck_assert_uint_le(section->count, SECTION_OPTIONS_MAX);
    for (size_t i = 0; i < section->count; i++) {
        see(section, &section->options[i]);
        if (section->options[i].section)
            each_option_of(section->options[i].section, seen, count, see);
    }
}

static void each_option(const struct section *section, see_option *see) {
    const struct section *seen[64];
    size_t count = 0;
    each_option_of(section, seen, &count, see);
    ck_assert_uint_gt(count, 20);
}

/* Two claims of one name, or two requirements that are the same, only repeat each other. */
static bool may_have_twins(const char *key) {
    return strcmp(key, "claims") == 0 || strcmp(key, "all_of") == 0 || strcmp(key, "any_of") == 0;
}

static void see_complete(const struct section *section, const struct option *option) {
    const char *key = option->key;
    ck_assert_msg(option->help && *option->help, "%s has no help", key);
    ck_assert_msg(!option->kind != !option->section, "%s is a value or a section", key);
    ck_assert_int_eq(section_find(section, span_of(key)), option - section->options);
    if (option->section) {
        ck_assert_msg(!option->list || option->section->unlike || may_have_twins(key),
                      "%s may have twins", key);
        /* Tens of thousands of entries are not compared each with each. */
        ck_assert_msg(!option->section->unlike || option->section->likeness, "%s is slow", key);
        ck_assert_msg(!option->pointer || !option->list, "%s is one or many", key);
        return;
    }
    ck_assert_msg(option->fallback || option->required, "%s has no default", key);
    ck_assert_msg(option->fallback || option->sample, "%s has no value to show", key);
    bool ranged =
        option->kind == &kind_duration || option->kind == &kind_size || option->kind == &kind_count;
    ck_assert_msg(ranged == (option->min && option->max), "%s needs a range", key);
    ck_assert_msg((option->kind == &kind_choice) == (option->choices != NULL), "%s: choices", key);
}

TEST(every_option_is_complete) {
    each_option(&section_root, see_complete);
}

static void see_sound(const struct section *section, const struct option *option) {
    const char *values[] = {option->fallback, option->sample, option->min, option->max};
    (void)section;
    if (option->section || option->list) return;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct err_text why = {""};
        uint64_t number;
        if (!values[i] || (!*values[i] && option_may_be_blank(option))) continue;
        int r = value_parse(option, span_of(values[i]), &number, &why);
        ck_assert_msg(r == 0, "%s: \"%s\" %s", option->key, values[i], why.text);
    }
}

TEST(every_default_and_limit_passes_its_own_check) {
    each_option(&section_root, see_sound);
}

/* Where its default is not empty, an empty list must be loaded as one, and be worth a test. */
static void see_lists(const struct section *section, const struct option *option) {
    (void)section;
    if (!option->list || !option->may_be_empty || !option->fallback) return;
    bool empty = strcmp(option->fallback, "[]") == 0;
    ck_assert_msg(empty || strcmp(option->key, "identity_headers") == 0, "%s", option->key);
}

TEST(lists_that_may_be_empty_are_so_by_default_but_for_one) {
    each_option(&section_root, see_lists);
}

TEST(the_names_of_algorithms_are_those_of_their_table) {
    struct span rest = SPAN_LITERAL(ALGORITHM_NAMES), name;
    for (int i = 0; i < ALG_COUNT; i++) {
        ck_assert(span_next(&rest, ',', &name));
        ck_assert_int_eq(algorithm_find(span_trim(name)), i);
    }
    ck_assert(!span_next(&rest, ',', &name));
}
