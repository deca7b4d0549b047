#include "tests/integration/passage.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/certificate.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

struct passage passage_start(const struct passage_options *options) {
    struct passage passage = {.upstream =
                                  upstream_start(options->https ? UPSTREAM_TLS : UPSTREAM_PLAIN)};
    char *tls = options->https
                    ? scratch_text(", tls: {ca_file: \"%s\"}", certificate_authority_file())
                    : strdup("");
    char *rest = scratch_text("upstreams: [{name: up, targets: [\"%s\"]%s%s}]\n"
                              "routes:\n"
                              "  - {path: /profile/, respond: profile}\n"
                              "  - {path: /open/*, upstream: up, anonymous: allow}\n"
                              "  - {path: /lasting/*, upstream: up, close_at_expiry: false}\n"
                              "  - {path: /*, upstream: up}\n"
                              "%s",
                              upstream_target(passage.upstream), tls,
                              options->upstream ? options->upstream : "",
                              options->rest ? options->rest : "");
    passage.scene = scene_start(&(struct scene_options){
        .listen = options->listen, .issuer = options->issuer, .rest = rest});
    free(rest), free(tls);
    return passage;
}

void passage_end(struct passage *passage) {
    scene_end(&passage->scene);
    upstream_stop(passage->upstream);
}

void passage_wait_end(struct passage *passage, int within_ms) {
    struct daemon *daemon = passage->scene.daemon;
    int code = process_wait_exit(daemon->process, within_ms);
    char *errors = process_errors(daemon->process);
    ck_assert_msg(code == 0, "%d: %s", code, errors);
    process_free(daemon->process);
    free(errors), free(daemon->folder), free(daemon);
    free(passage->scene.token), free(passage->scene.keys);
    upstream_stop(passage->upstream);
}

int passage_port(const struct passage *passage) {
    return passage->scene.daemon->port;
}

char *passage_head(const struct passage *passage, const char *method, const char *target,
                   const char *headers) {
    return scratch_text("%s %s HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer %s\r\n"
                        "%s\r\n",
                        method, target, passage->scene.token, headers);
}

/* The third number in such a file, the size that a socket's buffer may grow to. */
static uint64_t buffer_max(const char *path) {
    unsigned long max = 0;
    char *text = scratch_read(path, NULL);
    ck_assert_msg(text && sscanf(text, "%*u %*u %lu", &max) == 1, "%s", path);
    free(text);
    return max;
}

uint64_t passage_under_way_max(unsigned most_mib) {
    const uint64_t ends = 4 << 20; /* theirs do not grow where nobody reads */
    uint64_t max = ends + buffer_max("/proc/sys/net/ipv4/tcp_rmem") +
                   buffer_max("/proc/sys/net/ipv4/tcp_wmem");
    if (max >= (uint64_t)most_mib << 20) test_skip("the system's socket buffers are too large");
    return max;
}

const struct upstream_request *passage_request(const struct passage *passage, const char *path) {
    int count = upstream_count(passage->upstream, UPSTREAM_HEADS);
    for (int i = count - 1; i >= 0; i--) {
        const struct upstream_request *request = upstream_request(passage->upstream, i);
        struct span target = request->target;
        if (span_equal_text(span_until(target, span_find(target, '?')), path)) return request;
    }
    ck_abort_msg("the upstream got no request for %s", path);
}
