#include "server/answer/respond.h"

#include <stdio.h>
#include <stdlib.h>

static bool add(struct MHD_Response *response, const char *name, const char *value) {
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* "name: value" CR LF, one after the other; taken apart in a copy. */
static bool add_lines(struct MHD_Response *response, struct span lines) {
    char *copy = strndup(lines.ptr, lines.len);
    bool added = copy != NULL;

    for (char *line = copy, *end; added && *line; line = end + 2) {
        end = strstr(line, "\r\n");
        char *colon = end ? strstr(line, ": ") : NULL;
        if (!colon || colon > end) {
            added = false;
            break;
        }
        *colon = *end = '\0';
        added = add(response, line, colon + 2);
    }
    free(copy);
    return added;
}

static bool add_headers(struct MHD_Response *response, const struct answer *answer) {
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%u", answer->retry_after_s);

    /* Who is calling and why not are nobody's to keep: no answer may enter a shared cache. */
    return add(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type) &&
           add(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") &&
           (answer->challenge.len == 0 ||
            add(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, answer->challenge.data)) &&
           (answer->allow.len == 0 || add(response, MHD_HTTP_HEADER_ALLOW, answer->allow.data)) &&
           (answer->headers.len == 0 || add_lines(response, buf_span(&answer->headers))) &&
           (answer->request_id.len == 0 ||
            add(response, "X-Request-Id", answer->request_id.data)) &&
           (answer->retry_after_s == 0 || add(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds)) &&
           (!answer->close || add(response, MHD_HTTP_HEADER_CONNECTION, "close"));
}

struct MHD_Response *respond_make(const struct answer *answer) {
    if (!answer_ok(answer)) return NULL;

    CLEANUP(MHD_destroy_responsep)
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->body.len, answer->body.data, MHD_RESPMEM_MUST_COPY);
    if (!response || !add_headers(response, answer)) return NULL;
    return TAKE_PTR(response);
}

/* What libmicrohttpd and the allocator take for the whole, and for each header besides its bytes.
 */
#define RESPONSE_SIZE 512
#define HEADER_SIZE 112

size_t respond_size(const struct answer *answer) {
    size_t lines = 0;
    for (size_t i = 0; i < answer->headers.len; i++) lines += answer->headers.data[i] == '\n';
    return RESPONSE_SIZE + answer->body.len + answer->challenge.len + answer->allow.len +
           answer->headers.len + answer->request_id.len + lines * HEADER_SIZE;
}
