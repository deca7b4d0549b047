#include "server/dev/web.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX (64 * 1024)

struct web {
    struct MHD_Daemon *daemon;
    web_handler *handler;
    void *argument;
};

static enum MHD_Result answer(struct web *web, struct web_request *request) {
    const char *content_type = "application/json";
    struct buf out = buf_make(4 * BODY_MAX);

    unsigned status = web->handler(web->argument, request, &out, &content_type);
    if (!buf_ok(&out)) status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(out.len, out.data, MHD_RESPMEM_MUST_COPY);
    buf_done(&out);
    if (!response) return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    enum MHD_Result queued = MHD_queue_response(request->connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result on_request(void *argument, struct MHD_Connection *connection,
                                  const char *url, const char *method, const char *version,
                                  const char *upload, size_t *upload_len, void **state) {
    struct buf *body = *state;
    (void)version;

    if (!body) {
        *state = body = calloc(1, sizeof *body);
        if (body) *body = buf_make(BODY_MAX);
        return body ? MHD_YES : MHD_NO;
    }
    if (*upload_len) {
        buf_add(body, (struct span){upload, *upload_len});
        *upload_len = 0;
        return MHD_YES;
    }
    struct web_request request = {connection, method, url, buf_span(body)};
    return answer(argument, &request);
}

static void on_completed(void *argument, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code) {
    struct buf *body = *state;
    (void)argument;
    (void)connection;
    (void)code;
    if (!body) return;
    buf_done(body);
    free(body);
    *state = NULL;
}

struct web *web_start(web_handler *handler, void *argument) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct web *web = calloc(1, sizeof *web);
    if (!web) return NULL;

    web->handler = handler;
    web->argument = argument;
    web->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, on_request,
                         web, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    if (web->daemon) return web;
    free(web);
    return NULL;
}

void web_stop(struct web *web) {
    if (!web) return;
    MHD_stop_daemon(web->daemon);
    free(web);
}

unsigned web_port(const struct web *web) {
    return MHD_get_daemon_info(web->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}
