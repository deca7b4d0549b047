#include "tests/support/claims.h"

#include <check.h>
#include <stdlib.h>

struct jtree *claims_of(json_t *claims) {
    struct jtree *tree = NULL;
    struct err_text err = {""};

    ck_assert_ptr_nonnull(claims);
    char *text = json_dumps(claims, JSON_COMPACT);
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(jtree_read_value(span_of(text), &tree, &err) == 0, "%s: %s", text, err.text);
    free(text);
    json_decref(claims);
    return tree;
}
