#include "server/answer/admin.h"

/* The keys by which upstreams verify assertions (RFC 7517 section 5). */
static bool jwks(const struct admin_context *context, struct buf *out) {
    if (span_is_absent(context->jwks)) return false;
    buf_add(out, context->jwks);
    return true;
}

static const struct {
    const char *path;
    const char *allow;
    /* False: there is no such thing in this configuration. */
    bool (*write)(const struct admin_context *context, struct buf *out);
} pages[] = {
    {"/.well-known/jwks.json", "GET, HEAD", jwks},
};

static bool takes(const char *allow, struct span method) {
    struct span rest = span_of(allow), one;
    while (span_next(&rest, ',', &one))
        if (span_equal(span_trim(one), method)) return true;
    return false;
}

bool admin_answer(const struct admin_context *context, struct span method, struct span path,
                  struct answer *ret, const char **ret_allow, struct refusal *refusal) {
    size_t i = 0;
    *ret_allow = NULL;
    while (i < ARRAY_LEN(pages) && !span_equal_text(path, pages[i].path)) i++;
    if (i == ARRAY_LEN(pages))
        return refuse(refusal, REASON_NO_ROUTE, "there is nothing at this path");
    if (!takes(pages[i].allow, method)) {
        *ret_allow = pages[i].allow;
        return refuse(refusal, REASON_METHOD_NOT_ALLOWED, "this path does not take that method");
    }
    struct answer answer = answer_make(200);
    if (!pages[i].write(context, &answer.body)) {
        answer_done(&answer);
        return refuse(refusal, REASON_NO_ROUTE, "no upstream is configured with assertion: true");
    }
    *ret = answer;
    return true;
}
