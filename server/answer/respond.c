#include "server/answer/respond.h"

#include <stdio.h>

CLEANUP_DEFINE(struct MHD_Response *, MHD_destroy_response)

static bool add(struct MHD_Response *response, const char *name, const char *value) {
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

static bool add_headers(struct MHD_Response *response, const struct answer *answer) {
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%u", answer->retry_after_s);

    /* Who is calling and why not are nobody's to keep: no answer may enter a shared cache. */
    return add(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json") &&
           add(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") &&
           (answer->challenge.len == 0 ||
            add(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, answer->challenge.data)) &&
           (answer->allow.len == 0 || add(response, MHD_HTTP_HEADER_ALLOW, answer->allow.data)) &&
           (answer->request_id.len == 0 ||
            add(response, "X-Request-Id", answer->request_id.data)) &&
           (answer->retry_after_s == 0 || add(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds)) &&
           (!answer->close || add(response, MHD_HTTP_HEADER_CONNECTION, "close"));
}

bool respond(struct MHD_Connection *connection, const struct answer *answer) {
    if (!answer_ok(answer)) return false;

    CLEANUP(MHD_destroy_responsep)
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->body.len, answer->body.data, MHD_RESPMEM_MUST_COPY);
    return response && add_headers(response, answer) &&
           MHD_queue_response(connection, answer->status, response) == MHD_YES;
}
