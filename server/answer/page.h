/*
 * page: the page that shows on the admin listener how the daemon is. Its script asks /api/status,
 * /api/explain and /api/refresh of the same origin, and nobody else.
 */
#ifndef SERVER_ANSWER_PAGE_H
#define SERVER_ANSWER_PAGE_H

#include "server/answer/answer.h"

/*
 * The page, with the headers that confine it: only its own script and style run, by a nonce that no
 * other answer has (Content Security Policy Level 3 section 7.1). The caller frees it with
 * answer_done(). 500 without a page where the kernel gives no random bytes: any thread.
 */
struct answer page_answer(void);

#endif
