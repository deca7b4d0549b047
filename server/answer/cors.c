#include "server/answer/cors.h"

#include <inttypes.h>

bool cors_is_preflight(struct span method, struct span origin, struct span asked_method,
                       size_t authorization_count) {
    return span_equal_text(method, "OPTIONS") && origin.len && asked_method.len &&
           authorization_count == 0;
}

bool cors_allows(const struct config_route *route, struct span origin) {
    for (size_t i = 0; i < route->cors.origins.count; i++)
        if (span_equal_text(origin, route->cors.origins.items[i])) return true;
    return false;
}

void cors_add_lines(struct span origin, struct buf *lines) {
    buf_addf(lines,
             "Access-Control-Allow-Origin: %.*s\r\n"
             "Access-Control-Expose-Headers: " CORS_EXPOSED "\r\n"
             "Vary: Origin\r\n",
             SPAN_PRINTF(origin));
}

struct answer cors_answer(const struct route *route, struct span asked_method, struct span origin) {
    const struct config_cors *cors = &route->config->cors;
    struct answer answer = answer_make(204);

    buf_addf(&answer.headers,
             "Access-Control-Allow-Origin: %.*s\r\n"
             "Vary: Origin\r\n"
             "Access-Control-Allow-Methods: %.*s\r\n"
             "Access-Control-Allow-Headers: ",
             SPAN_PRINTF(origin), SPAN_PRINTF(asked_method));
    for (size_t i = 0; i < cors->headers.count; i++)
        buf_addf(&answer.headers, "%s%s", i ? ", " : "", cors->headers.items[i]);
    buf_addf(&answer.headers, "\r\nAccess-Control-Max-Age: %" PRId64 "\r\n", cors->max_age / 1000);
    return answer;
}
