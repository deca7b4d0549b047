#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Memory that runs out where a test says so. */
static size_t allocations_left = SIZE_MAX;

static void *scarce_malloc(size_t size) {
    return allocations_left-- ? malloc(size) : NULL;
}

static void *scarce_reallocarray(void *memory, size_t count, size_t size) {
    return allocations_left-- ? reallocarray(memory, count, size) : NULL;
}

#define malloc scarce_malloc
#define reallocarray scarce_reallocarray
#include "common/jtree.c"
#undef malloc
#undef reallocarray

#include "common/json.h"
#include "tests/support/same_json.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/unit/common/json_cases.h"

#define S(text) SPAN_LITERAL(text)

/* Read text from memory of exactly its size, so that the sanitizer sees a byte too many. */
static int read_exactly(struct span text, struct jtree **ret, struct err_text *err) {
    char *copy = malloc(text.len ? text.len : 1);
    ck_assert_ptr_nonnull(copy);
    if (text.len) memcpy(copy, text.ptr, text.len);
    int r = jtree_read_object((struct span){copy, text.len}, ret, err);
    free(copy);
    return r;
}

static struct jtree *tree_of(struct span text) {
    struct jtree *tree = NULL;
    struct err_text err = {""};
    ck_assert_msg(read_exactly(text, &tree, &err) == 0, "%s: %s", text.ptr, err.text);
    return tree;
}

/* --- read and refused ------------------------------------------------------------------------ */

TEST(objects_are_read_as_jansson_reads_them) {
    for (size_t i = 0; i < json_good_count; i++) {
        const struct json_good *good = &json_good[i];
        json_t *json = NULL;
        struct jtree *tree = tree_of(good->text);

        ck_assert(jnode_is(tree->root, JTYPE_OBJECT));
        ck_assert_uint_eq(tree->root->len, good->members);
        ck_assert_int_eq(json_read_object(good->text, &json, NULL), 0);
        ck_assert_msg(same_json(tree->root, json), "%s", good->text.ptr);
        json_decref(json);
        jtree_unref(tree);
    }
}

TEST(refusals_say_why_without_quoting) {
    for (size_t i = 0; i < json_bad_count; i++) {
        const struct json_bad *bad = &json_bad[i];
        struct jtree *tree = NULL;
        struct err_text err = {""};
        int r = read_exactly(bad->text, &tree, &err);
        ck_assert_msg(r == ERR_SYNTAX, "case %zu (%s): %d", i, bad->text.ptr, r);
        ck_assert_ptr_null(tree);
        if (bad->why)
            ck_assert_str_eq(err.text, bad->why);
        else
            ck_assert_msg(strncmp(err.text, "is not valid JSON (at byte ", 27) == 0, "%s: %s",
                          bad->text.ptr, err.text);
        ck_assert_ptr_null(strstr(err.text, "secret-value"));
    }
}

TEST(an_error_text_is_not_needed) {
    struct jtree *tree = NULL;

    ck_assert_int_eq(jtree_read_object(S("["), &tree, NULL), ERR_SYNTAX);
    ck_assert_ptr_null(tree);
}

TEST(the_byte_is_told_at_which_no_json_goes_on) {
    static const struct {
        struct span text;
        size_t byte;
    } rows[] = {
        {S("{} x"), 3},
        {S("{\"a\" 1}"), 5},
        {S("{\"a\":1 2}"), 7},
        {S("{\"a\":[1,]}"), 8},
        {S("{\"a\":[1}"), 7},
        {S("{\"a\":\"b"), 7},
        {S("{\"a\":trux}"), 5},
        {S("{\"a\":\"\n\"}"), 6},
        {S("{\"a\":\"\xff\"}"), 6},
        {S("{\"a\":\"\\x\"}"), 7},
        {S("{"), 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct jtree *tree = NULL;
        struct err_text err = {""};
        char *expected = scratch_text("is not valid JSON (at byte %zu)", rows[i].byte);
        ck_assert_int_eq(read_exactly(rows[i].text, &tree, &err), ERR_SYNTAX);
        ck_assert_msg(strcmp(err.text, expected) == 0, "%s: %s", rows[i].text.ptr, err.text);
        free(expected);
    }
}

/* Each text, and each that differs from it by one byte that is put in, put in its place, or left
 * out. */
static void compare_with_jansson(struct span text, size_t counts[2]) {
    struct jtree *tree = NULL;
    json_t *json = NULL;

    int expected = json_read_object(text, &json, NULL), r = read_exactly(text, &tree, NULL);
    ck_assert_msg((r == 0) == (expected == 0), "%.*s: %d, not %d", SPAN_PRINTF(text), r, expected);
    ck_assert_msg(r < 0 || same_json(tree->root, json), "%.*s", SPAN_PRINTF(text));
    counts[r == 0]++;
    json_decref(json);
    jtree_unref(tree);
}

static void compare_neighbours(struct span text, size_t counts[2]) {
    static const struct span bytes =
        S(" \t\n{}[]\",:\\/-+.0159eEutnbfad\x7f\x80\xbf\xc3\xed\xf4\x01");
    char changed[256];

    ck_assert_uint_lt(text.len, sizeof changed - 1);
    for (size_t at = 0; at <= text.len; at++) {
        memcpy(changed, text.ptr, at);
        if (at < text.len) {
            memcpy(changed + at, text.ptr + at + 1, text.len - at - 1);
            compare_with_jansson((struct span){changed, text.len - 1}, counts);
        }
        for (size_t b = 0; b < bytes.len; b++) {
            changed[at] = bytes.ptr[b];
            memcpy(changed + at + 1, text.ptr + at, text.len - at);
            compare_with_jansson((struct span){changed, text.len + 1}, counts);
            if (at == text.len) continue;
            memcpy(changed + at + 1, text.ptr + at + 1, text.len - at - 1);
            compare_with_jansson((struct span){changed, text.len}, counts);
        }
    }
}

TEST(it_judges_whatever_is_nearly_json_as_jansson_does) {
    static const struct span seeds[] = {
        S("{\"iss\":\"https://i.example\",\"aud\":[\"a\",\"b\"],\"exp\":1700000000,\"n\":null}"),
        S("{\"a\":{\"b\":{},\"c\":[]},\"a\\u0301\":\"\\ud83d\\ude00\\n\\\"\\\\\\/\"}"),
        S("{\"x\":[0,-0,-1,1.5,0.1e-7,1E+9,9223372036854775807,-9223372036854775808]}"),
        S("{\"r\":[18446744073709551616.5,184467440737095516160.5,1e308,1.7976931348623157e308]}"),
        S("{\"\xc3\xa9\":"
          "\"\xe2\x82\xac\xf0\x9f\x98\x80\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"}"),
        S(" { \"t\" : true , \"f\" : false , \"\" : [ { } , [ [ ] ] ] } "),
        S("{\"\\u0061\":1,\"b\":2,\"\\u00e9\":3,\"c\":{\"a\":1}}"),
    };
    size_t counts[2] = {0};

    for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
        compare_with_jansson(seeds[i], counts);
        compare_neighbours(seeds[i], counts);
    }
    ck_assert_uint_gt(counts[0], 10000);
    ck_assert_uint_gt(counts[1], 5000);
}

/* A refusal, and never an object that lacks something. */
TEST(without_memory_nothing_is_read) {
    struct buf many = buf_make(1000);
    struct err_text err = {""};
    struct jtree *tree = NULL;

    buf_add_text(&many, "{\"x\":0");
    for (int i = 0; i < COMPARED_MAX; i++) buf_addf(&many, ",\"n%d\":%d", i, i);
    buf_add_char(&many, '}');
    for (allocations_left = 0; allocations_left < 2;) {
        size_t before = allocations_left;
        ck_assert_int_eq(jtree_read_object(buf_span(&many), &tree, &err), ERR_MEMORY);
        ck_assert_str_eq(err.text, "could not be read: out of memory");
        ck_assert_ptr_null(tree);
        allocations_left = before + 1;
    }
    ck_assert_int_eq(jtree_read_object(buf_span(&many), &tree, &err), 0);
    ck_assert_uint_eq(tree->root->len, COMPARED_MAX + 1);
    ck_assert_uint_eq(allocations_left, 0);
    allocations_left = SIZE_MAX;
    jtree_unref(tree);
    buf_done(&many);
}

/* --- depth and breadth ----------------------------------------------------------------------- */

static int read_nested(size_t depth, char open, bool closed, struct err_text *err) {
    struct buf buf = json_nested(depth, open, closed);
    struct jtree *tree = NULL;

    ck_assert(buf_ok(&buf));
    int r = read_exactly(buf_span(&buf), &tree, err);
    ck_assert((r == 0) == (tree != NULL));
    jtree_unref(tree);
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
    size_t count = 0;

    buf_add_text(&buf, "{\"a\":[");
    for (int i = 0; i < 1000; i++) buf_add_text(&buf, i ? ",[{}]" : "[{}]");
    buf_add_text(&buf, "]}");
    struct jtree *tree = tree_of(buf_span(&buf));
    const struct jnode *list = jnode_find(tree->root, "a");
    for (const struct jnode *i = jarray_first(list); i; i = jnode_next(list, i)) {
        ck_assert(jnode_is(i, JTYPE_ARRAY) && jnode_is(jnode_first(i), JTYPE_OBJECT));
        count++;
    }
    ck_assert_uint_eq(count, 1000);
    jtree_unref(tree);
    buf_done(&buf);
}

/* Counts of members on both sides of where names are no longer compared one with another. */
TEST(a_name_that_comes_twice_is_found_among_few_and_among_many) {
    for (size_t count = 2; count < 40; count++)
        for (size_t twice = 0; twice < count; twice++) {
            struct buf buf = buf_make(100000);
            struct jtree *tree = NULL;
            struct err_text err = {""};

            buf_add_text(&buf, "{\"o\":[{");
            for (size_t i = 0; i < count; i++)
                buf_addf(&buf, "%s\"n%02zu\":{\"n01\":[%zu]}", i ? "," : "", i, i);
            struct span good = buf_span(&buf);
            char *text = scratch_text("%.*s}]}", SPAN_PRINTF(good));
            jtree_unref(tree_of(span_of(text)));
            free(text);
            text = scratch_text("%.*s,\"\\u006e%02zu\":0}]}", SPAN_PRINTF(good), twice);
            ck_assert_int_eq(read_exactly(span_of(text), &tree, &err), ERR_SYNTAX);
            ck_assert_msg(strncmp(err.text, "names a member twice (at byte ", 30) == 0, "%s: %s",
                          text, err.text);
            free(text);
            buf_done(&buf);
        }
}

/* So many members that a time that grew with the square of their number would be seen. */
TEST(an_object_of_many_members_takes_no_more_time_than_it_must) {
    enum { COUNT = 200000 };
    struct buf buf = buf_make(4000000);
    struct err_text err = {""};
    struct jtree *tree = NULL;

    buf_add_char(&buf, '{');
    for (int i = 0; i < COUNT; i++) buf_addf(&buf, "\"%06d\":1,", i);
    struct span start = buf_span(&buf);
    char *good = scratch_text("%.*s\"x\":1}", SPAN_PRINTF(start));
    char *bad = scratch_text("%.*s\"100000\":1}", SPAN_PRINTF(start));
    buf_done(&buf);

    tree = tree_of(span_of(good));
    ck_assert_uint_eq(tree->root->len, COUNT + 1);
    ck_assert_ptr_nonnull(jnode_find(tree->root, "199999"));
    ck_assert_ptr_null(jnode_find(tree->root, "200000"));
    jtree_unref(tree);
    ck_assert_int_eq(read_exactly(span_of(bad), &tree, &err), ERR_SYNTAX);
    ck_assert_str_eq(err.text, "names a member twice (at byte 2200002)");
    free(good);
    free(bad);
}

/* More commas and brackets than a byte can count, in strings and outside. */
TEST(there_is_room_for_whatever_a_text_holds) {
    static const char *const fillings[] = {"1", "[]", "\",[{,,[{[{[{[{[{[{[{[{\"", "{\"a\":[1,2]}"};

    for (size_t f = 0; f < ARRAY_LEN(fillings); f++)
        for (size_t count = 1; count < 6000; count += count < 40 ? 1 : 977) {
            struct buf buf = buf_make(1000000);
            json_t *json = NULL;
            buf_add_text(&buf, "{\"a\":[");
            for (size_t i = 0; i < count; i++) buf_addf(&buf, "%s%s", i ? "," : "", fillings[f]);
            buf_add_text(&buf, "]}");
            struct jtree *tree = tree_of(buf_span(&buf));
            ck_assert_int_eq(json_read_object(buf_span(&buf), &json, NULL), 0);
            ck_assert(same_json(tree->root, json));
            json_decref(json);
            jtree_unref(tree);
            buf_done(&buf);
        }
}

/* --- values ---------------------------------------------------------------------------------- */

TEST(strings_are_what_their_escapes_mean) {
    static const struct {
        const char *json;
        struct span text;
    } rows[] = {
        {"\"\"", S("")},
        {"\"plain\"", S("plain")},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", S("\"\\/\b\f\n\r\t")},
        {"\"\\u0041\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
         S("A\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf")},
        {"\"\\ud800\\udc00\\uDBFF\\uDFFF\"", S("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")},
        {"\"\\u00E9\\u00e9\"", S("\xc3\xa9\xc3\xa9")},
        {"\"a\\u000ab\"", S("a\nb")},
        {"\"\xc3\xa9\\t\xf0\x9f\x98\x80z\"", S("\xc3\xa9\t\xf0\x9f\x98\x80z")},
        {"\"\x7f\"", S("\x7f")},
        {"\"\\\\u0000\"", S("\\u0000")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = scratch_text("{%s:%s}", rows[i].json, rows[i].json);
        struct jtree *tree = tree_of(span_of(text));
        const struct jnode *member = jnode_first(tree->root);
        ck_assert_msg(span_equal(jnode_text(member), rows[i].text), "%s", rows[i].json);
        ck_assert_msg(span_equal(jnode_name(member), rows[i].text), "%s", rows[i].json);
        ck_assert_ptr_eq(jnode_member(tree->root, rows[i].text), member);
        jtree_unref(tree);
        free(text);
    }
}

TEST(a_value_alone_may_be_anything_and_hold_nul) {
    static const struct {
        struct span text;
        enum jtype type;
    } rows[] = {
        {S("null"), JTYPE_NULL},   {S("true"), JTYPE_TRUE},        {S("false"), JTYPE_FALSE},
        {S("-5"), JTYPE_INTEGER},  {S("5e0"), JTYPE_REAL},         {S("\"\\u0000\""), JTYPE_STRING},
        {S(" [1] "), JTYPE_ARRAY}, {S("{\"a\":1}"), JTYPE_OBJECT},
    };
    static const struct span bad[] = {S(""), S("nul"), S("5 5"), S("\"\0\""), S("[\"a\":1]")};
    struct jtree *tree = NULL;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_int_eq(jtree_read_value(rows[i].text, &tree, NULL), 0);
        ck_assert_msg(jnode_is(tree->root, rows[i].type), "%s", rows[i].text.ptr);
        ck_assert_ptr_null(tree->root->name);
        if (rows[i].type == JTYPE_STRING) ck_assert(span_equal(jnode_text(tree->root), S("\0")));
        jtree_unref(tree);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(jtree_read_value(bad[i], &tree, NULL) == ERR_SYNTAX, "%s", bad[i].ptr);
}

TEST(nothing_is_found_where_nothing_can_be) {
    struct jtree *tree = tree_of(S("{\"a\":[{\"b\":1}],\"s\":\"x\",\"e\":[],\"o\":{\"s\":2}}"));
    const struct jnode *list = jnode_find(tree->root, "a"), *text = jnode_find(tree->root, "s");

    ck_assert(jnode_is(jarray_first(list), JTYPE_OBJECT));
    ck_assert_ptr_null(jnode_next(list, jarray_first(list)));
    ck_assert_ptr_null(jnode_find(list, "b"));
    ck_assert_ptr_null(jnode_find(text, "x"));
    ck_assert_ptr_null(jnode_find(NULL, "a"));
    ck_assert_ptr_null(jnode_find(tree->root, "b"));
    ck_assert_ptr_null(jnode_find(tree->root, ""));
    ck_assert_ptr_null(jarray_first(jnode_find(tree->root, "e")));
    ck_assert_ptr_null(jarray_first(jnode_find(tree->root, "o")));
    ck_assert_ptr_null(jarray_first(text));
    ck_assert_ptr_null(jarray_first(NULL));
    ck_assert_ptr_null(jnode_first(text));
    ck_assert(!jnode_is(NULL, JTYPE_NULL) && !jnode_is_number(NULL) && !jnode_is_number(text));
    ck_assert(span_is_absent(jnode_text(NULL)) && span_is_absent(jnode_text(list)));
    ck_assert(jnode_number(text) == 0 && jnode_number(NULL) == 0);
    jtree_unref(tree);
}

TEST(the_last_reference_frees) {
    struct jtree *tree = tree_of(S("{\"a\":\"text\"}"));

    ck_assert_uint_ge(tree->size, sizeof *tree + 12 + 2 * sizeof(struct jnode));
    ck_assert_ptr_eq(jtree_ref(tree), tree);
    jtree_unref(tree);
    ck_assert(span_equal_text(jnode_text(jnode_find(tree->root, "a")), "text"));
    jtree_unref(tree);
    jtree_unref(NULL);
}

/* --- getters --------------------------------------------------------------------------------- */

TEST(strings_are_found_with_their_type) {
    struct jtree *tree = tree_of(
        S("{\"s\":\"text\",\"empty\":\"\",\"n\":1,\"null\":null,\"a\":[\"text\"],\"o\":{}}"));
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
        ck_assert_msg(jnode_find_string(tree->root, cases[i].name, &value) == cases[i].found, "%s",
                      cases[i].name);
        ck_assert_msg(span_equal_text(value, cases[i].value ? cases[i].value : "untouched"), "%s",
                      cases[i].name);
    }
    jtree_unref(tree);
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
        {"4102444800.999999", 4102444800},
        {"0.9", 0},
        {"-0.1", -1},
        {"-1.5", -2},
        {"1.5e9", 1500000000},
        {"999999999999999", 999999999999999},
        {"999999999999999.875", 999999999999999},
        {"1000000000000001", 1000000000000000},
        {"9223372036854775807", 1000000000000000},
        {"9.3e18", 1000000000000000},
        {"1.7976931348623157e308", 1000000000000000},
        {"-1000000000000001", -1000000000000000},
        {"-9223372036854775808", -1000000000000000},
        {"-1e300", -1000000000000000},
        {"1e-300", 0},
        {"-1e-300", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = scratch_text("{\"exp\":%s}", cases[i].number);
        int64_t seconds = 777;
        struct jtree *tree = tree_of(span_of(text));
        ck_assert_int_eq(jnode_find_seconds(tree->root, "exp", &seconds), JSON_FOUND);
        ck_assert_msg(seconds == cases[i].seconds, "%s: %" PRId64, cases[i].number, seconds);
        jtree_unref(tree);
        free(text);
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
        struct jtree *tree = tree_of(span_of(cases[i].text));
        ck_assert_msg(jnode_find_seconds(tree->root, "exp", &seconds) == cases[i].found, "%s",
                      cases[i].text);
        ck_assert_int_eq(seconds, 777);
        jtree_unref(tree);
    }
}

TEST(equal_is_what_has_the_same_type_and_value) {
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        {"null", "null", true},
        {"true", "true", true},
        {"true", "false", false},
        {"false", "null", false},
        {"false", "0", false},
        {"1", "true", false},
        {"5", "5", true},
        {"5", "5.0", true},
        {"5e0", "5", true},
        {"5", "\"5\"", false},
        {"0", "-0.0", true},
        {"9007199254740993", "9007199254740992", false},
        {"9007199254740993", "9007199254740992.0", true},
        {"0.1", "0.1", true},
        {"0.1", "0.10000000000000001", true},
        {"0.1", "0.2", false},
        {"\"a\"", "\"\\u0061\"", true},
        {"\"a\"", "\"A\"", false},
        {"\"\"", "\"\"", true},
        {"\"\"", "null", false},
        {"\"a\"", "\"a\\u0000\"", false},
        {"[]", "[]", false},
        {"{}", "{}", false},
        {"[1]", "1", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct jtree *a = NULL, *b = NULL;
        ck_assert_int_eq(jtree_read_value(span_of(rows[i].a), &a, NULL), 0);
        ck_assert_int_eq(jtree_read_value(span_of(rows[i].b), &b, NULL), 0);
        ck_assert_msg(jnode_equal(a->root, b->root) == rows[i].equal, "%s, %s", rows[i].a,
                      rows[i].b);
        ck_assert_msg(jnode_equal(b->root, a->root) == rows[i].equal, "%s, %s", rows[i].b,
                      rows[i].a);
        ck_assert(!jnode_equal(a->root, NULL) && !jnode_equal(NULL, b->root));
        jtree_unref(a);
        jtree_unref(b);
    }
    ck_assert(!jnode_equal(NULL, NULL));
}

/* --- writing --------------------------------------------------------------------------------- */

TEST(what_is_written_is_compact_and_exact) {
    static const struct {
        const char *text, *written;
    } rows[] = {
        {"{ \"b\" : 1, \"a\" : [ true , false , null , { } , [ ] ] }",
         "{\"b\":1,\"a\":[true,false,null,{},[]]}"},
        {"-0", "0"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"1.1", "1.1"},
        {"[1.1,0.30000000000000004]", "[1.1,0.30000000000000004]"},
        {"0.1000000000000000055", "0.1"},
        {"1.0", "1.0"},
        {"-0.0", "-0.0"},
        {"1e20", "1e20"},
        {"1E+7", "10000000.0"},
        {"1.5e-7", "1.5e-7"},
        {"1e-400", "0.0"},
        {"5e-324", "4.94065645841247e-324"},
        {"1.7976931348623157e308", "1.7976931348623157e308"},
        {"\"\\u0000\\u0001\\u001f\\u007f/\\/\\\"\\\\\\b\\f\\n\\r\\t\"",
         "\"\\u0000\\u0001\\u001F\x7f//\\\"\\\\\\b\\f\\n\\r\\t\""},
        {"\"\\u00e9\\u2028\\ud83d\\ude00\"", "\"\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80\""},
        {"{\"\\n\\\"\":\"\"}", "{\"\\n\\\"\":\"\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = buf_make(1000);
        struct jtree *tree = NULL;
        ck_assert_int_eq(jtree_read_value(span_of(rows[i].text), &tree, NULL), 0);
        jnode_write(tree->root, &out);
        ck_assert_str_eq(out.data, rows[i].written);
        jtree_unref(tree);
        buf_done(&out);
    }
}

TEST(what_does_not_fit_is_not_told_as_if_it_did) {
    struct jtree *tree = tree_of(S("{\"a\":[1,2,3],\"b\":\"x\"}"));

    for (size_t room = 0; room <= 21; room++) {
        struct buf out = buf_make(room);
        jnode_write(tree->root, &out);
        ck_assert_int_eq(buf_ok(&out), room == 21);
        buf_done(&out);
    }
    jtree_unref(tree);
}

/* --- third-party vectors --------------------------------------------------------------------- */

TEST(third_party_parsing_vectors) {
    char *folder = scratch_text("%s/JSONTestSuite/test_parsing", test_vectors());
    size_t counts[2] = {0}, files = 0;
    struct dirent *entry;

    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.') continue;
        struct span text = SPAN_NONE;
        char *path = scratch_text("%s/%s", folder, entry->d_name);
        char *bytes = scratch_read(path, &text.len);
        ck_assert_ptr_nonnull(bytes);
        text.ptr = bytes;
        files++;
        compare_with_jansson(text, counts);

        /* And as a member, whatever it is: all but 4 of those that are good, and 2 more. */
        struct buf wrapped = buf_make(1000000);
        buf_add_text(&wrapped, "{\"x\":");
        buf_add(&wrapped, text);
        buf_add_char(&wrapped, '}');
        compare_with_jansson(buf_span(&wrapped), counts);
        buf_done(&wrapped);
        free(bytes);
        free(path);
    }
    closedir(dir);
    ck_assert_uint_eq(files, 318);
    ck_assert_msg(counts[1] == 9 + 91 + 2, "%zu accepted", counts[1]);
    free(folder);
}
