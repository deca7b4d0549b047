#include "server/proxy/field.h"

#include "tests/support/suite.h"

TEST(fields_are_kept_in_order_with_their_values_trimmed) {
    struct field_list list = {0};
    ck_assert(field_list_add(&list, SPAN_LITERAL("a"), SPAN_LITERAL(" \tone two\t ")));
    ck_assert(field_list_add(&list, SPAN_LITERAL("B"), SPAN_LITERAL("")));
    struct fields fields = field_list_all(&list);
    ck_assert_uint_eq(fields.count, 2);
    ck_assert(span_equal_text(fields.items[0].name, "a"));
    ck_assert(span_equal_text(fields.items[0].value, "one two"));
    ck_assert(span_equal_text(fields.items[1].name, "B"));
    ck_assert(span_equal_text(fields.items[1].value, ""));
    field_list_done(&list);
    ck_assert_uint_eq(field_list_all(&list).count, 0);
}

TEST(the_list_grows_and_all_of_it_stays) {
    struct field_list list = {0};
    char names[500];
    for (size_t i = 0; i < sizeof names; i++) {
        names[i] = (char)('a' + i % 26);
        ck_assert(field_list_add(&list, (struct span){&names[i], 1}, SPAN_LITERAL("v")));
    }
    ck_assert_uint_eq(list.count, sizeof names);
    for (size_t i = 0; i < sizeof names; i++) ck_assert_ptr_eq(list.items[i].name.ptr, &names[i]);
    field_list_done(&list);
}

TEST(what_was_cleared_is_nobodys) {
    struct field_list list = {0};
    ck_assert(field_list_add(&list, SPAN_LITERAL("a"), SPAN_LITERAL("b")));
    list.owner = 7;
    const struct field *before = list.items;
    field_list_clear(&list);
    ck_assert_uint_eq(list.owner, 0);
    ck_assert_uint_eq(list.count, 0);
    ck_assert(field_list_add(&list, SPAN_LITERAL("c"), SPAN_LITERAL("d")));
    ck_assert_ptr_eq(list.items, before);
    ck_assert_uint_eq(list.owner, 0);
    field_list_done(&list);
}
