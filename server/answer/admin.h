/*
 * admin: what is answered on the admin listener, by path.
 */
#ifndef SERVER_ANSWER_ADMIN_H
#define SERVER_ANSWER_ADMIN_H

#include "server/answer/answer.h"
#include "server/token/reason.h"

/* What the answers tell of. */
struct admin_context {
    struct span jwks; /* of the assertions' key; absent where there is none */
};

/*
 * The answer to a request for a normalised path. False with the refusal set where there is nothing,
 * or nothing for the method; *ret_allow then lists the methods that there are, or is NULL. The
 * caller frees the answer with answer_done().
 */
bool admin_answer(const struct admin_context *context, struct span method, struct span path,
                  struct answer *ret, const char **ret_allow, struct refusal *refusal) MUST_CHECK;

#endif
