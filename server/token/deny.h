/*
 * deny: the list of what is denied before it expires: tokens by jti, by sub, and by the kid of the
 * key that verifies them. Immutable and shared by reference count. NULL is a list without entries,
 * for every function here.
 */
#ifndef SERVER_TOKEN_DENY_H
#define SERVER_TOKEN_DENY_H

#include <stdbool.h>

#include "server/token/deny_entry.h"
#include "server/token/principal.h"

/* A larger file was named by mistake. */
#define DENY_TEXT_MAX ((size_t)64 * 1024 * 1024)

struct deny_list;

/*
 * Read the text of a file: an entry a line; empty lines, and lines that start with '#', say
 * nothing. One bad line is an error, and there is no list: what it was to deny cannot be told. *ret
 * holds one reference and nothing of text. Returns 0, ERR_SYNTAX, ERR_LIMIT, ERR_MEMORY or
 * ERR_SYSTEM; err reads "NAME:LINE: what, why, and what would be right".
 */
int deny_list_parse(struct span text, const char *name, struct deny_list **ret,
                    struct err_text *err) MUST_CHECK;

/* Any thread: take one more reference; drop one, the last frees (NULL is fine). */
struct deny_list *deny_list_ref(struct deny_list *list);
void deny_list_unref(struct deny_list *list);
CLEANUP_DEFINE(struct deny_list *, deny_list_unref)

/* How many entries there are, and the one at index, in the order of the text. Borrowed. */
size_t deny_list_count(const struct deny_list *list);
const struct deny_entry *deny_list_at(const struct deny_list *list, size_t index);

/* What a token is known by; absent where it has no such thing. */
struct deny_facts {
    struct span issuer;
    struct span by[DENY_BY_COUNT];
};

enum denied {
    DENIED_NOT,  /* no entry is about it */
    DENIED_ONCE, /* one was, until a moment that has passed: asked at an earlier time, it would be
                  */
    DENIED,
};

/*
 * Is what has these facts denied at now (wall clock, seconds)? Its time does not grow with the
 * list, and strangers, who choose their tokens' sub and jti, cannot make it grow.
 */
enum denied deny_list_judge(const struct deny_list *list, const struct deny_facts *facts,
                            int64_t now);

/*
 * The same for a principal whose token was verified by the key of that kid (NULL: it has none). An
 * entry counts on for the leeway that the issuer's tokens have: one that ends when its token does
 * must not let that token in again for the rest of the leeway.
 */
enum denied deny_list_judge_principal(const struct deny_list *list,
                                      const struct principal *principal, const char *kid,
                                      int64_t now);

/* The same, for whoever keeps the list: the entry that denies it, borrowed; NULL: none does. */
const struct deny_entry *deny_list_find_principal(const struct deny_list *list,
                                                  const struct principal *principal,
                                                  const char *kid, int64_t now);

#endif
