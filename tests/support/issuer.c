#include "tests/support/issuer.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/scratch.h"
#include "tests/support/upstream.h"

#define NOT_FOUND "HTTP/1.1 404 Scripted\r\nContent-Length: 0\r\n\r\n"

struct issuer {
    struct upstream *upstream; /* a server like any other; only its answers are an issuer's */
};

/* --- behaviours ------------------------------------------------------------------------------ */

/* The whole answer but for an endless one. The caller frees it. */
static char *answer_text(const struct issuer_behaviour *b, size_t *ret_len) {
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_len);
    ck_assert_ptr_nonnull(out);
    fprintf(out, "HTTP/1.1 %d Scripted\r\n%s", b->status ? b->status : 200,
            b->headers ? b->headers : "Content-Type: application/json\r\n");
    if (b->act == ISSUER_ENDLESS)
        fputs("Transfer-Encoding: chunked\r\n\r\n", out);
    else
        fprintf(out, "Content-Length: %zu\r\n\r\n",
                b->body.len + (b->act == ISSUER_TRUNCATE ? 100 : 0));
    if (b->act == ISSUER_ENDLESS && b->body.len > 0) fprintf(out, "%zx\r\n", b->body.len);
    if (b->body.len > 0) fwrite(b->body.ptr, 1, b->body.len, out);
    if (b->act == ISSUER_ENDLESS && b->body.len > 0) fputs("\r\n", out);
    fclose(out);
    return text;
}

void issuer_set(struct issuer *issuer, const char *path, const struct issuer_behaviour *behaviour) {
    size_t len = 0;
    char *text = answer_text(behaviour, &len);
    struct span body = behaviour->body, answer = {text, len};
    int ms = behaviour->interval_ms;
    const struct upstream_step *const scripts[] = {
        [ISSUER_ANSWER] =
            UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_WAIT(ms), UPSTREAM_SEND_SPAN(answer)),
        [ISSUER_RAW] = UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(body), UPSTREAM_CLOSE),
        [ISSUER_HANG] = UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_HANG),
        [ISSUER_DRIP] = UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_DRIP_SPAN(answer, ms)),
        [ISSUER_CLOSE] = UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_CLOSE),
        [ISSUER_RESET] = UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_RESET),
        [ISSUER_TRUNCATE] =
            UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(answer), UPSTREAM_CLOSE),
        [ISSUER_ENDLESS] = UPSTREAM_STEPS(UPSTREAM_READ, UPSTREAM_SEND_SPAN(answer),
                                          UPSTREAM_FILL_CHUNKED(UPSTREAM_ALL)),
    };
    upstream_script(issuer->upstream, path, scripts[behaviour->act]);
    free(text);
}

void issuer_answer(struct issuer *issuer, const char *path, int status, const char *body) {
    issuer_set(issuer, path, &(struct issuer_behaviour){.status = status, .body = span_of(body)});
}

void issuer_serve_keys(struct issuer *issuer, const char *jwks) {
    issuer_answer(issuer, ISSUER_JWKS, 200, jwks);
}

/* --- start and stop -------------------------------------------------------------------------- */

struct issuer *issuer_start(enum issuer_tls tls) {
    static const enum upstream_tls kinds[] = {
        [ISSUER_PLAIN] = UPSTREAM_PLAIN,
        [ISSUER_TLS] = UPSTREAM_TLS,
        [ISSUER_TLS_EXPIRED] = UPSTREAM_TLS_EXPIRED,
        [ISSUER_TLS_WRONG_NAME] = UPSTREAM_TLS_WRONG_NAME,
        [ISSUER_TLS_SELF_SIGNED] = UPSTREAM_TLS_SELF_SIGNED,
        [ISSUER_TLS_OLD] = UPSTREAM_TLS_OLD,
        [ISSUER_TLS_RESET] = UPSTREAM_TLS_RESET,
        [ISSUER_TLS_EARLY] = UPSTREAM_TLS_EARLY,
        [ISSUER_TLS_INSPECTED] = UPSTREAM_TLS_INSPECTED,
        [ISSUER_TLS_LACKING] = UPSTREAM_TLS_LACKING,
    };
    struct issuer *issuer = calloc(1, sizeof *issuer);
    ck_assert_ptr_nonnull(issuer);
    issuer->upstream = upstream_start(kinds[tls]);
    upstream_answer(issuer->upstream, NULL, NOT_FOUND);
    char *discovery = scratch_text("{\"issuer\":\"%s\",\"jwks_uri\":\"%s%s\"}", issuer_url(issuer),
                                   issuer_url(issuer), ISSUER_JWKS);
    issuer_answer(issuer, ISSUER_DISCOVERY, 200, discovery);
    free(discovery);
    return issuer;
}

void issuer_down(struct issuer *issuer) {
    upstream_down(issuer->upstream);
}

void issuer_up(struct issuer *issuer) {
    upstream_up(issuer->upstream);
}

void issuer_stop(struct issuer *issuer) {
    if (!issuer) return;
    upstream_stop(issuer->upstream);
    free(issuer);
}

/* --- what came ------------------------------------------------------------------------------- */

const char *issuer_url(const struct issuer *issuer) {
    return upstream_target(issuer->upstream);
}

int issuer_port(const struct issuer *issuer) {
    return upstream_port(issuer->upstream);
}

int issuer_hits(struct issuer *issuer, const char *path) {
    return upstream_hits(issuer->upstream, path);
}

int issuer_connections(struct issuer *issuer) {
    return upstream_count(issuer->upstream, UPSTREAM_CONNECTIONS);
}

bool issuer_wait_hits(struct issuer *issuer, const char *path, int count, int within_ms) {
    return upstream_wait_hits(issuer->upstream, path, count, within_ms);
}
