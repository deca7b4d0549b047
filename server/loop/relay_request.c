#include "server/loop/relay_request.h"

#include "common/clock.h"

bool relay_collect(struct conn *conn, struct fields *ret) {
    struct field_list *list = &conn->worker->fields;
    uint64_t number = conn->request.number;

    if (list->owner != number && !door_collect(conn->mhd, number, list)) return false;
    *ret = field_list_all(list);
    return true;
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
    struct assertion assertion = {SPAN_NONE, 0};
    if (forward.principal && forward.upstream->assertion &&
        !assertion_find(setup->assertion_key, setup->config, forward.upstream, forward.principal,
                        clock_wall(), &assertion))
        return false;
    forward.assertion = assertion.text;
    forward_add_head(setup->rules, &forward, &relay->transfer.out);
    return buf_ok(&relay->transfer.out);
}

bool relay_add_trailers(struct relay *relay, struct fields fields, struct buf *out) {
    for (size_t i = 0; i < fields.count; i++) {
        const struct field *field = &fields.items[i];
        if (forward_takes_trailer(relay->conn->request.view->setup->rules, field->name))
            buf_addf(out, "%.*s: %.*s\r\n", SPAN_PRINTF(field->name), SPAN_PRINTF(field->value));
    }
    return buf_ok(out);
}
