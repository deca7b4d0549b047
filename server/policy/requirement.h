/*
 * requirement: what a route wants of the caller, and whether this one has it. Pure.
 */
#ifndef SERVER_POLICY_REQUIREMENT_H
#define SERVER_POLICY_REQUIREMENT_H

#include "common/buf.h"
#include "server/config/config.h"
#include "server/token/principal.h"
#include "server/token/reason.h"
#include "server/token/trace.h"

struct requirement;

/* A requirement of config, which must outlive it, for a route of that path: its captures are those
 * that values may name. NULL without memory. */
struct requirement *requirement_new(const struct config *config,
                                    const struct config_requirement *own, const char *path);

/* Main thread: take one more reference; drop one, the last frees (NULL is fine). */
struct requirement *requirement_ref(struct requirement *requirement);
void requirement_unref(struct requirement *requirement);
CLEANUP_DEFINE(struct requirement *, requirement_unref)

/* What is looked at. */
struct requirement_facts {
    const struct principal *principal;
    const struct span *captures; /* what the path has in the places of its captures, escaped */
    int64_t now;                 /* wall clock, seconds */
    const struct trace *trace;   /* NULL: nobody asks; else all is looked at and told */
};

/*
 * Does the caller meet it? Otherwise refusal names the first thing that lacks, and *ret_by is the
 * part of the requirement that wants it. What is wrong with the token or the login comes before
 * what it must carry, so that nobody asks for scopes with a token that is too old. Of any_of, where
 * none is met, the first is told.
 */
bool requirement_check(const struct requirement *requirement, const struct requirement_facts *facts,
                       const struct requirement **ret_by, struct refusal *refusal) MUST_CHECK;

/*
 * The scopes that help to meet by, a part of requirement, as a challenge lists them (RFC 6750
 * section 3), each once behind what out has already: those of the requirement and of the part, the
 * first of any_scopes, and what the roles stand for.
 */
void requirement_add_scopes(const struct requirement *requirement, const struct requirement *by,
                            struct buf *out);

/* What by asks of the login (RFC 9470 section 3): acr values with spaces between; and in seconds
 * how old it may be, 0 = any age. */
void requirement_add_acr(const struct requirement *by, struct buf *out);
int64_t requirement_max_auth_age(const struct requirement *by);

#endif
