/*
 * response: in whatever pieces an answer comes, head and body are the same; what is accepted is
 * framed in one way only, its parts lie in the bytes that were given, and nothing behind its end
 * is taken.
 *
 * The first byte of the input: its lowest bit makes it an answer to HEAD, the next allows 101, and
 * the rest decides in which pieces the answer comes.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/ascii.h"
#include "common/buf.h"
#include "common/parse.h"
#include "server/proxy/response.h"

#define TRAILERS_MAX 64
#define BYTEWISE_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What one reading of the input came to. */
struct outcome {
    int result;        /* of the head, then of the body */
    size_t head_used;  /* 0: no head */
    struct buf fields; /* "name:value\n", those of the trailers too */
    struct response_head head;
    size_t body_used;
    struct buf body;
    bool ended;
    struct err_text err;
};

/* In which pieces the input comes: all at once with most = 0. */
struct pieces {
    uint32_t seed;
    size_t most;
};

static void demand(bool truth) {
    if (!truth) abort();
}

static bool lies_inside(struct span part, struct span whole) {
    return part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

static size_t next_piece(struct pieces *pieces, size_t left) {
    if (pieces->most == 0) return left;
    pieces->seed = pieces->seed * 1664525 + 1013904223;
    size_t len = 1 + (pieces->seed >> 8) % pieces->most;
    return len < left ? len : left;
}

/* Memory of its own, exactly as large, so that a sanitizer sees one read too many. */
static struct span copy_of(struct span bytes) {
    char *copy = malloc(bytes.len ? bytes.len : 1);
    demand(copy != NULL);
    if (bytes.len) memcpy(copy, bytes.ptr, bytes.len);
    return (struct span){copy, bytes.len};
}

static void release(struct span copy) {
    free((void *)(uintptr_t)copy.ptr);
}

/* --- the head ------------------------------------------------------------------------------ */

static void check_field(const struct field *field, struct span whole, struct buf *out) {
    demand(lies_inside(field->name, whole) && lies_inside(field->value, whole));
    demand(ascii_is_token(field->name));
    demand(field->value.ptr > field->name.ptr + field->name.len);
    demand(span_equal(field->value, span_trim(field->value)));
    for (size_t i = 0; i < field->value.len; i++) {
        unsigned char c = (unsigned char)field->value.ptr[i];
        demand(c == '\t' || (c >= ' ' && c != 0x7f));
    }
    buf_add(out, field->name);
    buf_add_char(out, ':');
    buf_add(out, field->value);
    buf_add_char(out, '\n');
}

/* Between the fields there is nothing but what belongs to them: no line was passed over. */
static void check_lines(const struct response_head *head, struct span whole) {
    const char *at = whole.ptr + span_find(whole, '\n') + 1;
    for (size_t i = 0; i < head->field_count; i++) {
        const struct field *field = &head->fields[i];
        demand(field->name.ptr == at && at[field->name.len] == ':');
        for (at += field->name.len + 1; at < field->value.ptr; at++)
            demand(*at == ' ' || *at == '\t');
        for (at += field->value.len; *at != '\r'; at++) demand(*at == ' ' || *at == '\t');
        demand(at[1] == '\n');
        at += 2;
    }
    demand(
        span_equal((struct span){at, (size_t)(whole.ptr + whole.len - at)}, SPAN_LITERAL("\r\n")));
}

static void check_framing(const struct response_head *head,
                          const struct response_context *context) {
    size_t lengths = response_field_count(head, "CONTENT-LENGTH");
    size_t encodings = response_field_count(head, "TRANSFER-ENCODING");
    bool none =
        context->to_head || head->status / 100 == 1 || head->status == 204 || head->status == 304;
    uint64_t length = 0;

    demand(head->status >= 100 && head->status <= 599);
    demand(head->status != 101 || context->to_upgrade);
    demand(lengths + encodings <= 1);
    demand(head->has_length == (lengths == 1));
    if (lengths)
        demand(parse_u64(response_field(head, "Content-Length"), UINT64_MAX, &length) == 0);
    demand(head->length == length && length < 1000000000000000000);
    demand(!(encodings && head->http_1_0));
    demand(head->framing == (none        ? BODY_NONE
                             : encodings ? BODY_CHUNKED
                             : lengths   ? BODY_LENGTH
                                         : BODY_UNTIL_CLOSE));
    if (head->keep_alive) demand(!head->http_1_0 && head->framing != BODY_UNTIL_CLOSE);
    if (head->keep_alive)
        demand(!span_equal_nocase(response_field(head, "connection"), SPAN_LITERAL("close")));
}

/* Give more and more of the bytes until the head is complete or refused. */
static void read_head(struct span bytes, const struct response_context *context,
                      struct pieces pieces, struct outcome *out) {
    size_t given = 0, scanned = 0, used = 0;

    do {
        given += next_piece(&pieces, bytes.len - given);
        struct span copy = copy_of(span_until(bytes, given));
        out->result = response_head_parse(copy, context, &scanned, &out->head, &used, &out->err);
        demand(used <= given && (out->result == 0 || used == 0));
        demand(out->result <= 0 && used <= RESPONSE_HEAD_MAX);
        for (size_t i = 0; used && i < out->head.field_count; i++)
            check_field(&out->head.fields[i], span_until(copy, used), &out->fields);
        if (used) check_lines(&out->head, span_until(copy, used));
        if (used) check_framing(&out->head, context);
        release(copy);
    } while (out->result == 0 && used == 0 && given < bytes.len);
    out->head_used = used;
}

/* --- the body ------------------------------------------------------------------------------ */

static void keep_trailers(const struct body *body, struct outcome *out) {
    struct field fields[TRAILERS_MAX];
    size_t count = body_trailers(body, fields, TRAILERS_MAX);
    demand(count <= TRAILERS_MAX && (out->ended || count == 0));
    for (size_t i = 0; i < count; i++)
        check_field(&fields[i], buf_span(&body->trailers), &out->fields);
}

/* Take all that this piece gives. */
static void take_piece(struct body *body, struct span bytes, struct outcome *out) {
    size_t used = 1;
    for (; out->result == 0 && used; bytes = span_from(bytes, used)) {
        bool ended = body_ended(body);
        struct span data = SPAN_NONE;
        used = 0;
        out->result = body_take(body, bytes, &data, &used, &out->err);
        if (out->result < 0) return;
        demand(used <= bytes.len && (used == 0 || !ended));
        demand(used > 0 || bytes.len == 0 || body_ended(body));
        if (data.len) demand(lies_inside(data, span_until(bytes, used)));
        buf_add(&out->body, data);
        out->body_used += used;
    }
}

static void check_body(const struct body *body, const struct outcome *out, size_t given) {
    demand(out->body.len <= out->body_used && out->body_used <= given);
    demand(body_may_end(body) == (out->ended || out->head.framing == BODY_UNTIL_CLOSE));
    switch (out->head.framing) {
    case BODY_NONE:
        demand(out->ended && out->body_used == 0);
        return;
    case BODY_LENGTH:
        demand(out->body_used == out->body.len && out->body.len <= out->head.length);
        demand(out->ended == (out->body.len == out->head.length));
        return;
    case BODY_CHUNKED:
        if (out->ended) demand(out->body_used >= out->body.len + 5);
        return;
    case BODY_UNTIL_CLOSE:
        demand(!out->ended && out->body.len == given);
        return;
    }
}

static void read_body(struct span bytes, struct pieces pieces, struct outcome *out) {
    struct body body;
    body_begin(&body, &out->head);
    for (size_t given = 0, len; out->result == 0 && given < bytes.len; given += len) {
        len = next_piece(&pieces, bytes.len - given);
        struct span copy = copy_of(span_until(span_from(bytes, given), len));
        take_piece(&body, copy, out);
        release(copy);
    }
    out->ended = body_ended(&body);
    if (out->result == 0) check_body(&body, out, bytes.len);
    if (out->result == 0) keep_trailers(&body, out);
    body_done(&body);
}

/* --- both ---------------------------------------------------------------------------------- */

static struct outcome *read_all(struct span bytes, const struct response_context *context,
                                struct pieces pieces) {
    struct outcome *out = calloc(1, sizeof *out);
    demand(out != NULL);
    out->fields = buf_make(2 * bytes.len + 16);
    out->body = buf_make(bytes.len);
    read_head(bytes, context, pieces, out);
    if (out->head_used) read_body(span_from(bytes, out->head_used), pieces, out);
    demand(buf_ok(&out->fields) && buf_ok(&out->body));
    if (out->result < 0) demand(out->result == ERR_SYNTAX || out->result == ERR_LIMIT);
    demand((out->result < 0) == (out->err.text[0] != '\0'));
    for (const char *c = out->err.text; *c; c++) demand(*c >= ' ' && *c < 0x7f);
    return out;
}

static void outcome_free(struct outcome *out) {
    buf_done(&out->fields);
    buf_done(&out->body);
    free(out);
}

static void check_same(const struct outcome *a, const struct outcome *b) {
    demand(a->result == b->result && strcmp(a->err.text, b->err.text) == 0);
    demand(a->head_used == b->head_used && a->ended == b->ended);
    demand(span_equal(buf_span(&a->fields), buf_span(&b->fields)));
    demand(span_equal(buf_span(&a->body), buf_span(&b->body)));
    if (a->result == 0) demand(a->body_used == b->body_used);
    if (a->head_used == 0) return;
    demand(a->head.status == b->head.status && a->head.framing == b->head.framing);
    demand(a->head.length == b->head.length && a->head.keep_alive == b->head.keep_alive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    struct span bytes = {(const char *)data + 1, size - 1};
    struct response_context context = {.to_head = data[0] & 1, .to_upgrade = data[0] & 2};
    struct pieces all = {0, 0}, some = {data[0], 1 + size / 4}, each = {0, 1};

    struct outcome *whole = read_all(bytes, &context, all);
    struct outcome *split = read_all(bytes, &context, some);
    check_same(whole, split);
    outcome_free(split);
    if (size <= BYTEWISE_MAX) {
        split = read_all(bytes, &context, each);
        check_same(whole, split);
        outcome_free(split);
    }
    outcome_free(whole);
    return 0;
}
