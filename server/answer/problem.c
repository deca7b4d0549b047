#include "server/answer/problem.h"

#include <inttypes.h>

#include "server/answer/cors.h"

#define RETRY_AFTER_S 5

/* How each class of refusal is told (RFC 6750 section 3.1). */
static const struct {
    unsigned status;
    const char *error; /* in the body, and in the challenge where challenge_error is set */
    bool challenge;
    bool challenge_error;
    bool close;
    unsigned retry_after_s;
} table[CLASS_COUNT] = {
    [CLASS_UNAUTHENTICATED] = {401, "unauthorized", true, false, false, 0},
    [CLASS_INVALID_REQUEST] = {400, "invalid_request", true, true, false, 0},
    [CLASS_INVALID_TOKEN] = {401, "invalid_token", true, true, false, 0},
    [CLASS_INSUFFICIENT_SCOPE] = {403, "insufficient_scope", true, true, false, 0},
    [CLASS_STEP_UP] = {401, "insufficient_user_authentication", true, true, false, 0},
    [CLASS_UNAVAILABLE] = {503, "temporarily_unavailable", false, false, false, RETRY_AFTER_S},
    [CLASS_BAD_REQUEST] = {400, "bad_request", false, false, true, 0},
    [CLASS_TOO_LARGE] = {431, "too_large", false, false, true, 0},
    [CLASS_NOT_FOUND] = {404, "not_found", false, false, false, 0},
    [CLASS_METHOD] = {405, "method_not_allowed", false, false, false, 0},
    [CLASS_FORBIDDEN] = {403, "forbidden", false, false, false, 0},
    [CLASS_BAD_GATEWAY] = {502, "bad_gateway", false, false, false, 0},
    [CLASS_GATEWAY_TIMEOUT] = {504, "gateway_timeout", false, false, false, 0},
};

unsigned problem_status(enum reason reason) {
    return table[reason_class(reason)].status;
}

const char *problem_error(enum reason reason) {
    return table[reason_class(reason)].error;
}

/* A quoted-string (RFC 9110 section 5.6.4); what it cannot hold becomes '?'. */
static void add_quoted(struct buf *out, struct span text) {
    buf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\') buf_add_char(out, '\\');
        buf_add_char(out, (char)(c < 0x20 || c >= 0x7f ? '?' : c));
    }
    buf_add_char(out, '"');
}

/* error_description is %x20-21 / %x23-5B / %x5D-7E: no quote, no backslash, no control. */
static void add_description(struct buf *out, const char *text) {
    size_t from = out->len;
    buf_add_text(out, text);
    for (size_t i = from; i < out->len; i++) {
        char c = out->data[i];
        if (c == '"' || c == '\\')
            out->data[i] = '\'';
        else if (c < 0x20 || c >= 0x7f)
            out->data[i] = '?';
    }
}

static void add_parameter(struct buf *out, const char *name, struct span value) {
    if (!value.ptr) return;
    buf_addf(out, ", %s=", name);
    add_quoted(out, value);
}

static void add_challenge(struct buf *out, const struct problem_context *context, const char *error,
                          const char *description) {
    buf_add_text(out, "Bearer realm=");
    add_quoted(out, span_of(context->realm));
    if (error) {
        buf_addf(out, ", error=\"%s\", error_description=\"", error);
        add_description(out, description);
        buf_add_char(out, '"');
        add_parameter(out, "scope", context->scope);
        add_parameter(out, "acr_values", context->acr_values);
        if (context->max_age) buf_addf(out, ", max_age=\"%" PRId64 "\"", context->max_age);
    }
    add_parameter(out, "resource_metadata", context->resource_metadata);
}

struct answer problem_answer(const struct refusal *refusal, const struct problem_context *context) {
    enum reason_class class = reason_class(refusal->reason);
    struct answer answer = answer_make(table[class].status);

    if (table[class].challenge)
        add_challenge(&answer.challenge, context,
                      table[class].challenge_error ? table[class].error : NULL, refusal->text);
    if (context->allow.ptr) buf_add(&answer.allow, context->allow);
    if (context->origin.ptr) cors_add_lines(context->origin, &answer.headers);
    answer.retry_after_s = table[class].retry_after_s;
    answer.close = table[class].close;

    buf_addf(&answer.body, "{\"error\":\"%s\",\"error_description\":\"", table[class].error);
    add_description(&answer.body, refusal->text);
    buf_add_char(&answer.body, '"');
    if (context->request_id.ptr) {
        buf_add_text(&answer.body, ",\"request_id\":");
        buf_add_json(&answer.body, context->request_id);
        buf_add(&answer.request_id, context->request_id);
    }
    buf_add_char(&answer.body, '}');
    return answer;
}
