#include "server/online/names.h"

#include <string.h>

#include "tests/support/suite.h"

TEST(a_name_has_its_addresses) {
    CLEANUP(names_endp) struct names *names = names_start("localhost");
    const char *addresses = NULL;
    int result = -1;
    ck_assert(names_wait(names, 10000, &result, &addresses));
    ck_assert_int_eq(result, 0);
    ck_assert_msg(strstr(addresses, "127.0.0.1") || strstr(addresses, "::1"), "%s", addresses);
}

TEST(a_name_that_is_not_there_has_none_and_says_so) {
    CLEANUP(names_endp) struct names *names = names_start("idp.invalid");
    const char *addresses = NULL;
    int result = 0;
    ck_assert(names_wait(names, 15000, &result, &addresses));
    ck_assert_int_ne(result, 0);
    ck_assert_str_eq(addresses, "");
}

TEST(what_never_began_never_ends_and_nobody_waits_for_it) {
    const char *addresses;
    int result;
    ck_assert(!names_wait(NULL, 10000, &result, &addresses));
    names_end(NULL);
    /* Left alone while it may be under way. */
    names_end(names_start("localhost"));
}
