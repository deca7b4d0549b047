/*
 * url: the parts lie inside the text and put together again make the same URL; what is refused says
 * why.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth) {
    if (!truth) abort();
}

static bool lies_inside(struct span part, struct span whole) {
    return part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

static bool has(struct span text, char byte) {
    return span_find(text, byte) < text.len;
}

static bool equal(const struct url *a, const struct url *b) {
    return a->https == b->https && span_equal(a->host, b->host) && a->port == b->port &&
           span_equal(a->rest, b->rest);
}

static void check_accepted(const struct url *url, struct span text) {
    bool ipv6 = has(url->host, ':');
    struct buf buf = buf_make(text.len + 16);
    struct url again;

    demand(lies_inside(url->host, text) && lies_inside(url->rest, text));
    demand(url->host.len > 0 && url->port > 0);
    demand(url->rest.len == 0 || url->rest.ptr[0] == '/' || url->rest.ptr[0] == '?');
    demand(!has(url->host, '@') && !has(url->host, '/') && !has(url->host, '?'));
    demand(!has(text, '#') && !has(text, ' ') && !has(text, '\0'));
    demand(url_same_origin(url, url));

    buf_addf(&buf, "%s://%s%.*s%s:%u", url->https ? "https" : "http", ipv6 ? "[" : "",
             SPAN_PRINTF(url->host), ipv6 ? "]" : "", (unsigned)url->port);
    buf_add(&buf, url->rest);
    demand(buf_ok(&buf));
    demand(url_parse(buf_span(&buf), &again, NULL) == 0);
    demand(equal(url, &again) && url_same_origin(url, &again));
    demand(url_is_loopback(url) == url_is_loopback(&again));
    buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span text = {(const char *)data, size};
    struct err_text err = {""};
    struct url url = {.port = 7};

    int r = url_parse(text, &url, &err);
    if (r == 0)
        check_accepted(&url, text);
    else
        demand(r == ERR_SYNTAX && err.text[0] && url.port == 7 && !url.host.ptr);
    return 0;
}
