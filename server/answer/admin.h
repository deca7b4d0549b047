/*
 * admin: what is answered on the admin listener, by path and method.
 *
 * It asks nobody for credentials: who is on this machine is trusted. Web pages that its browsers
 * show are not, so requests that a page may have sent are refused (see admin_guard.h).
 */
#ifndef SERVER_ANSWER_ADMIN_H
#define SERVER_ANSWER_ADMIN_H

#include "server/answer/answer.h"
#include "server/proxy/field.h"
#include "server/token/deny.h"
#include "server/token/reason.h"

/* A request on the admin listener, whose head is sound. Borrowed. */
struct admin_request {
    struct span method;
    struct span path;  /* normalised */
    struct span query; /* absent: none */
    struct span host;  /* the Host header; absent: none */
    bool unix_socket;  /* that is where it came in */
    bool authorized; /* its token was judged by admin.require: no page can make up such a request */
    bool has_body;
    struct fields fields;
};

/* What only the running daemon can tell. Each function writes JSON, but metrics; buf_ok() tells
 * whether there was room for all of it. */
struct admin_source {
    /* True where some issuer's keys are usable. */
    bool (*ready)(void *argument, struct buf *out);
    void (*metrics)(void *argument, struct buf *out);
    void (*status)(void *argument, struct buf *out);
    /* Begin to refresh all issuers' keys; how many there are. */
    size_t (*refresh)(void *argument);
    /* Why the token in the request's Authorization header is let through or refused, for that
     * method and URL (absent: the token alone). False with the refusal set for a bad URL. */
    bool (*explain)(void *argument, const struct admin_request *request, struct span method,
                    struct span url, struct buf *out, struct refusal *refusal);
};

/* What the answers tell of. */
struct admin_context {
    struct span jwks;               /* of the assertions' key; absent where there is none */
    bool has_deny_list;             /* one is configured */
    const struct deny_list *denied; /* the one in force */
    const struct admin_source *source;
    void *argument; /* of source's functions */
};

/*
 * A change of the deny list. It is written to disk, for which no worker has the time: the main
 * thread does it while the request waits.
 */
struct admin_errand {
    bool lift; /* take the entry off the list; otherwise put it there */
    struct deny_entry entry;
    json_t *object; /* what entry points to */
    /* What came of it, by whoever did it: */
    bool done;
    size_t count;           /* entries that came or went */
    struct refusal refusal; /* where it was not done */
};

enum admin_outcome {
    ADMIN_ANSWERED, /* *ret_answer is set; the caller frees it with answer_done() */
    ADMIN_ERRAND,   /* *ret_errand is to be done; the caller frees it with admin_errand_done() */
    ADMIN_REFUSED,  /* refusal is set */
};

/*
 * Answer a request, find out what is to be done for it, or refuse it. *ret_allow lists the methods
 * that there are at the path where another one was asked for, and is NULL otherwise. Blocks
 * nothing.
 */
enum admin_outcome admin_answer(const struct admin_context *context,
                                const struct admin_request *request, struct answer *ret_answer,
                                struct admin_errand *ret_errand, const char **ret_allow,
                                struct refusal *refusal) MUST_CHECK;

/* The answer to a request whose errand is over. False with the refusal set where there is none. */
bool admin_errand_answer(const struct admin_errand *errand, struct answer *ret,
                         struct refusal *refusal) MUST_CHECK;

/* Free what an errand holds. */
void admin_errand_done(struct admin_errand *errand);

#endif
