#include "server/loop/relay_request.h"

#include <stdlib.h>

#include "common/clock.h"

#define FIELDS_STEP 64

static enum MHD_Result add_field(void *argument, enum MHD_ValueKind kind, const char *name,
                                 size_t name_len, const char *value, size_t value_len) {
    struct worker *worker = argument;
    (void)kind;

    if (worker->field_count == worker->field_room) {
        size_t room = worker->field_room + FIELDS_STEP;
        struct field *fields = realloc(worker->fields, room * sizeof *fields);
        if (!fields) return MHD_NO;
        worker->fields = fields;
        worker->field_room = room;
    }
    worker->fields[worker->field_count++] =
        (struct field){{name, name_len}, span_trim((struct span){value, value ? value_len : 0})};
    return MHD_YES;
}

bool relay_collect(struct conn *conn, enum MHD_ValueKind kind, struct fields *ret) {
    struct worker *worker = conn->worker;

    worker->field_count = 0;
    int count = MHD_get_connection_values_n(conn->mhd, kind, add_field, worker);
    *ret = (struct fields){worker->fields, worker->field_count};
    return count >= 0 && (size_t)count == worker->field_count;
}

static const struct config_upstream *upstream_of(const struct relay *relay) {
    return relay->transfer.upstream->config;
}

enum forward_body relay_body_kind(const struct door_result *head) {
    if (!head->has_body) return FORWARD_NO_BODY;
    return head->chunked ? FORWARD_CHUNKED : FORWARD_LENGTH;
}

bool relay_add_head(struct relay *relay, struct fields fields, struct span upgrade) {
    const struct conn *conn = relay->conn;
    const struct request *request = &conn->request;
    const struct setup *setup = request->view->setup;
    struct forward_request forward = {
        .method = request->method,
        .path = request->target.path,
        .query = request->target.query,
        .fields = fields,
        .host = request->head.host,
        .body = relay_body_kind(&request->head),
        .length = request->head.content_length,
        .client = conn->address.ss_family == AF_UNIX ? SPAN_NONE : span_of(conn->client),
        .from_proxy = setup_trusts(setup, (const struct sockaddr *)&conn->address),
        .tls = conn->tls != NULL,
        .request_id = span_of(relay->id.text),
        .upgrade = upgrade,
        .expects_continue = relay->phase == RELAY_AWAITS_CONTINUE,
        .route = relay->route,
        .upstream = upstream_of(relay),
        .target_host = span_of(relay->transfer.peer->host),
        .principal = request->principal,
    };
    if (forward.principal && forward.upstream->assertion &&
        !assertion_find(setup->assertion_key, setup->config, forward.upstream, forward.principal,
                        clock_wall(), &forward.assertion))
        return false;
    forward_add_head(setup->rules, &forward, &relay->transfer.out);
    return buf_ok(&relay->transfer.out);
}

bool relay_add_trailers(struct relay *relay, struct buf *out) {
    struct fields fields;
    if (!relay_collect(relay->conn, MHD_FOOTER_KIND, &fields)) return false;
    for (size_t i = 0; i < fields.count; i++) {
        const struct field *field = &fields.items[i];
        if (forward_takes_trailer(relay->conn->request.view->setup->rules, field->name))
            buf_addf(out, "%.*s: %.*s\r\n", SPAN_PRINTF(field->name), SPAN_PRINTF(field->value));
    }
    return buf_ok(out);
}
