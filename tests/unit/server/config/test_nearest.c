#include "server/config/nearest.h"

#include "common/attr.h"
#include "tests/support/suite.h"

TEST(the_nearest_of_several_words_is_found_whatever_their_order) {
    static const char *const words[][3] = {{"orders", "order", "ardor"},
                                           {"ardor", "order", "orders"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct nearest nearest = nearest_make(SPAN_LITERAL("ordr"));
        for (size_t k = 0; k < 3; k++) nearest_try(&nearest, span_of(words[i][k]));
        ck_assert(span_equal_text(nearest.best, "order"));
        ck_assert_uint_eq(nearest.distance, 1);
    }
}

TEST(of_words_that_are_as_near_the_first_is_taken) {
    struct nearest nearest = nearest_make(SPAN_LITERAL("bat"));
    nearest_try(&nearest, SPAN_LITERAL("cat"));
    nearest_try(&nearest, SPAN_LITERAL("hat"));
    ck_assert(span_equal_text(nearest.best, "cat"));
}

TEST(case_does_not_count_on_either_side) {
    static const char *const pairs[][2] = {{"ORDERS", "orders"}, {"orders", "Orders"}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct nearest nearest = nearest_make(span_of(pairs[i][0]));
        nearest_try(&nearest, span_of(pairs[i][1]));
        ck_assert_uint_eq(nearest.distance, 0);
    }
}

TEST(what_is_far_or_long_is_not_near) {
    static const char *const pairs[][2] = {
        {"log", "gol"},
        {"", "a2"},
        {"orders", "payments"},
        {"a23456789012345678901234567890123456789x", "a23456789012345678901234567890123456789x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct nearest nearest = nearest_make(span_of(pairs[i][0]));
        nearest_try(&nearest, span_of(pairs[i][1]));
        ck_assert_msg(span_is_absent(nearest.best), "%s %s", pairs[i][0], pairs[i][1]);
    }
}
