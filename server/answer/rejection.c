#include "server/answer/rejection.h"

#include "server/answer/problem.h"

#define LIST_MAX (8 * 1024)

static void add_login(const struct decision *decision, enum reason reason, struct buf *acr,
                      int64_t *ret_max_age) {
    if (!decision->by || reason_class(reason) != CLASS_STEP_UP) return;
    requirement_add_acr(decision->by, acr);
    *ret_max_age = requirement_max_auth_age(decision->by);
}

static struct span span_or_none(const struct buf *buf) {
    return buf->len ? buf_span(buf) : SPAN_NONE;
}

struct answer rejection_answer(const struct refusal *refusal, const struct rejection *rejection) {
    struct problem_context context = {.realm = rejection->realm,
                                      .origin = rejection->origin,
                                      .request_id = rejection->request_id};
    struct buf scopes = buf_make(LIST_MAX), acr = buf_make(LIST_MAX), allow = buf_make(LIST_MAX);
    const struct resource *resource = NULL;

    if (rejection->resources && rejection->path.ptr)
        resource = resources_of(rejection->resources, rejection->host, rejection->path);
    if (resource) context.resource_metadata = span_of(resource->metadata_url);
    if (rejection->other) route_add_allow(rejection->other, &allow);
    if (rejection->decision) {
        decision_add_scopes(rejection->decision, refusal->reason, &scopes);
        add_login(rejection->decision, refusal->reason, &acr, &context.max_age);
    }
    context.allow = allow.len ? buf_span(&allow) : rejection->allow;
    context.scope = span_or_none(&scopes);
    context.acr_values = span_or_none(&acr);
    struct answer answer = problem_answer(refusal, &context);
    buf_done(&scopes);
    buf_done(&acr);
    buf_done(&allow);
    return answer;
}
