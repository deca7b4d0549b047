#include "server/dev/echo.h"

struct listing {
    struct buf *out;
    bool first;
};

static enum MHD_Result add_header(void *argument, enum MHD_ValueKind kind, const char *name,
                                  const char *value) {
    struct listing *listing = argument;
    (void)kind;
    if (!listing->first) buf_add_char(listing->out, ',');
    listing->first = false;
    buf_add_char(listing->out, '[');
    buf_add_json(listing->out, span_of(name));
    buf_add_char(listing->out, ',');
    buf_add_json(listing->out, span_of(value ? value : ""));
    buf_add_char(listing->out, ']');
    return MHD_YES;
}

static unsigned handle(void *argument, const struct web_request *request, struct buf *out,
                       const char **content_type) {
    struct listing listing = {out, true};
    (void)argument;
    (void)content_type;

    buf_add_text(out, "{\"method\":");
    buf_add_json(out, span_of(request->method));
    buf_add_text(out, ",\"path\":");
    buf_add_json(out, span_of(request->path));
    buf_add_text(out, ",\"headers\":[");
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, add_header, &listing);
    buf_add_text(out, "],\"body\":");
    buf_add_json(out, request->body);
    buf_add_char(out, '}');
    return MHD_HTTP_OK;
}

struct web *echo_start(void) {
    return web_start(handle, NULL);
}
