#include "server/metrics/names.h"

#include <stdlib.h>

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

static struct names names;

/* Take a name; whether its number was another's must be as expected. */
static unsigned take(const char *text, bool reused) {
    bool was;
    unsigned number = names_take(&names, text, &was);
    ck_assert_msg(was == reused, "%s: %d", text, was);
    return number;
}

TEST(a_name_keeps_its_number_also_while_nobody_uses_it) {
    unsigned a = take("a", false), b = take("b", false);
    ck_assert_uint_ne(a, b);
    ck_assert_uint_eq(take("a", false), a);
    names_drop(&names, a);
    names_drop(&names, a);
    ck_assert_uint_eq(take("c", false), 2); /* there are numbers that nobody ever had */
    ck_assert_uint_eq(take("a", false), a);
    names_done(&names);
}

/* Fill all numbers with names "0" to "255". */
static void fill(void) {
    for (unsigned i = 0; i < METRICS_NAMES_MAX; i++) {
        char *text = scratch_text("%u", i);
        ck_assert_uint_eq(take(text, false), i);
        free(text);
    }
}

TEST(the_rest_is_other_and_only_unused_numbers_become_anothers) {
    fill();
    ck_assert_uint_eq(take("x", false), METRICS_OTHER);
    ck_assert_uint_eq(take("7", false), 7);
    ck_assert_uint_eq(names.other_users, 1);
    names_drop(&names, 7);
    ck_assert_uint_eq(take("y", false), METRICS_OTHER); /* one user of 7 is left */
    names_drop(&names, 7);
    ck_assert_uint_eq(take("x", true), 7);
    ck_assert_uint_eq(take("7", false), METRICS_OTHER);
    ck_assert_uint_eq(names.other_users, 3);
    for (int i = 0; i < 3; i++) names_drop(&names, METRICS_OTHER);
    ck_assert_uint_eq(names.other_users, 0);
    names_done(&names);
}
