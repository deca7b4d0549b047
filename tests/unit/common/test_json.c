#include "common/json.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/unit/common/json_cases.h"

#define S(text) SPAN_LITERAL(text)

/* Parse text from memory of exactly its size, so that the sanitizer sees a byte too many. */
static int read_exactly(struct span text, json_t **ret, struct err_text *err) {
    char *copy = malloc(text.len ? text.len : 1);
    ck_assert_ptr_nonnull(copy);
    if (text.len) memcpy(copy, text.ptr, text.len);
    int r = json_read_object((struct span){copy, text.len}, ret, err);
    free(copy);
    return r;
}

TEST(objects_are_read) {
    for (size_t i = 0; i < json_good_count; i++) {
        const struct json_good *good = &json_good[i];
        json_t *object = NULL;
        struct err_text err = {""};
        ck_assert_msg(read_exactly(good->text, &object, &err) == 0, "%s: %s", good->text.ptr,
                      err.text);
        ck_assert_msg(json_object_size(object) == good->members, "%s", good->text.ptr);
        json_decref(object);
    }
}

TEST(refusals_say_why_without_quoting) {
    for (size_t i = 0; i < json_bad_count; i++) {
        const struct json_bad *bad = &json_bad[i];
        json_t *object = NULL;
        struct err_text err = {""};
        int r = read_exactly(bad->text, &object, &err);
        ck_assert_msg(r == ERR_SYNTAX, "case %zu (%s): %d", i, bad->text.ptr, r);
        ck_assert_ptr_null(object);
        if (bad->why)
            ck_assert_str_eq(err.text, bad->why);
        else
            ck_assert_msg(strncmp(err.text, "is not valid JSON (at byte ", 27) == 0, "%s: %s",
                          bad->text.ptr, err.text);
        ck_assert_ptr_null(strstr(err.text, "secret-value"));
    }
}

TEST(an_error_text_is_not_needed) {
    json_t *object = NULL;

    ck_assert_int_eq(json_read_object(S("["), &object, NULL), ERR_SYNTAX);
    ck_assert_ptr_null(object);
}

static int read_nested(size_t depth, char open, bool closed, struct err_text *err) {
    struct buf buf = json_nested(depth, open, closed);
    json_t *object = NULL;

    ck_assert(buf_ok(&buf));
    int r = read_exactly(buf_span(&buf), &object, err);
    ck_assert((r == 0) == (object != NULL));
    json_decref(object);
    buf_done(&buf);
    return r;
}

TEST(nesting_ends_at_32_levels) {
    static const char *const why = "is nested deeper than 32 levels";
    struct err_text err = {""};

    ck_assert_int_eq(read_nested(32, '{', true, &err), 0);
    ck_assert_int_eq(read_nested(32, '[', true, &err), 0);
    ck_assert_int_eq(read_nested(33, '{', true, &err), ERR_LIMIT);
    ck_assert_str_eq(err.text, why);
    ck_assert_int_eq(read_nested(33, '[', true, &err), ERR_LIMIT);
    ck_assert_str_eq(err.text, why);
    ck_assert_int_eq(read_nested(100000, '[', true, &err), ERR_LIMIT);
    ck_assert_str_eq(err.text, why);
    ck_assert_int_eq(read_nested(100000, '{', false, &err), ERR_LIMIT);
    ck_assert_str_eq(err.text, why);
    ck_assert_int_eq(read_nested(32, '[', false, &err), ERR_SYNTAX);
}

TEST(breadth_is_no_depth) {
    struct buf buf = buf_make(100000);
    json_t *object = NULL;

    buf_add_text(&buf, "{\"a\":[");
    for (int i = 0; i < 1000; i++) buf_add_text(&buf, i ? ",[{}]" : "[{}]");
    buf_add_text(&buf, "]}");
    ck_assert_int_eq(read_exactly(buf_span(&buf), &object, NULL), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(object, "a")), 1000);
    json_decref(object);
    buf_done(&buf);
}

/* --- getters --------------------------------------------------------------------------------- */

static json_t *object_of(const char *text) {
    json_t *object = NULL;
    struct err_text err = {""};
    ck_assert_msg(json_read_object(span_of(text), &object, &err) == 0, "%s: %s", text, err.text);
    return object;
}

TEST(strings_are_found_with_their_type) {
    json_t *object = object_of(
        "{\"s\":\"text\",\"empty\":\"\",\"n\":1,\"null\":null,\"a\":[\"text\"],\"o\":{}}");
    static const struct {
        const char *name;
        enum json_found found;
        const char *value;
    } cases[] = {
        {"s", JSON_FOUND, "text"},    {"empty", JSON_FOUND, ""},    {"missing", JSON_ABSENT, NULL},
        {"S", JSON_ABSENT, NULL},     {"n", JSON_WRONG_TYPE, NULL}, {"null", JSON_WRONG_TYPE, NULL},
        {"a", JSON_WRONG_TYPE, NULL}, {"o", JSON_WRONG_TYPE, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct span value = S("untouched");
        ck_assert_msg(json_find_string(object, cases[i].name, &value) == cases[i].found, "%s",
                      cases[i].name);
        ck_assert_msg(span_equal_text(value, cases[i].value ? cases[i].value : "untouched"), "%s",
                      cases[i].name);
    }
    ck_assert(span_equal_text(json_span(json_object_get(object, "s")), "text"));
    ck_assert(span_is_absent(json_span(json_object_get(object, "n"))));
    ck_assert(span_is_absent(json_span(json_object_get(object, "null"))));
    ck_assert(span_is_absent(json_span(NULL)));
    json_decref(object);
}

TEST(seconds_round_down_and_saturate) {
    static const struct {
        const char *number;
        int64_t seconds;
    } cases[] = {
        {"0", 0},
        {"-0", 0},
        {"-0.0", 0},
        {"1", 1},
        {"-1", -1},
        {"4102444800", 4102444800},
        {"4102444800.5", 4102444800},
        {"4102444800.999999", 4102444800},
        {"0.9", 0},
        {"-0.1", -1},
        {"-1.5", -2},
        {"1.5e9", 1500000000},
        {"999999999999999", 999999999999999},
        {"999999999999999.875", 999999999999999},
        {"1000000000000000", 1000000000000000},
        {"1000000000000001", 1000000000000000},
        {"9223372036854775807", 1000000000000000},
        {"9223372036854775800", 1000000000000000},
        {"9.3e18", 1000000000000000},
        {"1e300", 1000000000000000},
        {"1.7976931348623157e308", 1000000000000000},
        {"-1000000000000001", -1000000000000000},
        {"-9223372036854775808", -1000000000000000},
        {"-1e300", -1000000000000000},
        {"1e-300", 0},
        {"-1e-300", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[64];
        int64_t seconds = 777;
        snprintf(text, sizeof text, "{\"exp\":%s}", cases[i].number);
        json_t *object = object_of(text);
        ck_assert_int_eq(json_find_seconds(object, "exp", &seconds), JSON_FOUND);
        ck_assert_msg(seconds == cases[i].seconds, "%s: %" PRId64, cases[i].number, seconds);
        json_decref(object);
    }
}

TEST(seconds_are_numbers_only) {
    static const struct {
        const char *text;
        enum json_found found;
    } cases[] = {
        {"{}", JSON_ABSENT},
        {"{\"EXP\":1}", JSON_ABSENT},
        {"{\"exp\":\"1\"}", JSON_WRONG_TYPE},
        {"{\"exp\":null}", JSON_WRONG_TYPE},
        {"{\"exp\":true}", JSON_WRONG_TYPE},
        {"{\"exp\":[1]}", JSON_WRONG_TYPE},
        {"{\"exp\":{}}", JSON_WRONG_TYPE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t seconds = 777;
        json_t *object = object_of(cases[i].text);
        ck_assert_msg(json_find_seconds(object, "exp", &seconds) == cases[i].found, "%s",
                      cases[i].text);
        ck_assert_int_eq(seconds, 777);
        json_decref(object);
    }
}

/* --- third-party vectors --------------------------------------------------------------------- */

static bool is_object(struct span text) {
    while (text.len && strchr(" \t\r\n", text.ptr[0])) text = span_from(text, 1);
    return text.len && text.ptr[0] == '{';
}

/* Objects that RFC 8259 allows and we refuse: duplicate names, and NUL in a name or string. */
static bool refused_by_decision(const char *name, struct span text) {
    return strncmp(name, "y_object_duplicated_key", 23) == 0 ||
           memmem(text.ptr, text.len, "\\u0000", 6) != NULL;
}

static void check_vector(const char *folder, const char *name, size_t counts[256]) {
    size_t len = 0;
    char *path = scratch_text("%s/%s", folder, name);
    char *bytes = scratch_read(path, &len);
    ck_assert_ptr_nonnull(bytes);
    struct span text = {bytes, len};
    json_t *object = NULL;

    int r = read_exactly(text, &object, NULL);
    ck_assert_msg((r == 0) == json_is_object(object), "%s", name);
    if (name[0] == 'y') {
        bool accept = is_object(text) && !refused_by_decision(name, text);
        ck_assert_msg((r == 0) == accept, "%s: %d", name, r);
        if (r == 0) counts['+']++;
    } else if (name[0] == 'n') {
        ck_assert_msg(r != 0, "%s accepted", name);
    }
    counts[(unsigned char)name[0]]++;
    json_decref(object);
    free(bytes);
    free(path);
}

TEST(third_party_parsing_vectors) {
    char *folder = scratch_text("%s/JSONTestSuite/test_parsing", test_vectors());
    size_t counts[256] = {0};
    struct dirent *entry;

    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.') check_vector(folder, entry->d_name, counts);
    closedir(dir);
    ck_assert_uint_eq(counts['y'], 95);
    ck_assert_uint_eq(counts['n'], 188);
    ck_assert_uint_eq(counts['i'], 35);
    ck_assert_msg(counts['+'] == 9, "%zu objects accepted", counts['+']);
    free(folder);
}
