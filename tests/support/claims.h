/*
 * claims: what a token says, for tests that need somebody to be called something.
 */
#ifndef TESTS_SUPPORT_CLAIMS_H
#define TESTS_SUPPORT_CLAIMS_H

#include <jansson.h>

#include "common/jtree.h"

/*
 * The claims as principal_make() takes them; \u0000, which no token can bring, among them. Drops
 * the caller's reference to claims. What is given has one reference; whatever fails ends the test.
 */
struct jtree *claims_of(json_t *claims);

#endif
