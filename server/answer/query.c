#include "server/answer/query.h"

#include "common/utf8.h"

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool refuse_query(struct refusal *refusal, const char *why) {
    return refuse(refusal, REASON_TARGET, "the query %s", why);
}

/* Take one escape at the start of rest into out. */
static bool add_escape(struct span rest, struct buf *out, struct refusal *refusal) {
    int high = rest.len >= 3 ? hex_value(rest.ptr[1]) : -1;
    int low = rest.len >= 3 ? hex_value(rest.ptr[2]) : -1;

    if (high < 0 || low < 0) return refuse_query(refusal, "has a '%' without two hex digits");
    if (high == 0 && low == 0) return refuse_query(refusal, "has an escaped NUL");
    buf_add_char(out, (char)(high << 4 | low));
    return true;
}

static bool decode(struct span text, struct buf *out, struct refusal *refusal) {
    while (text.len) {
        bool escape = text.ptr[0] == '%';
        if (escape && !add_escape(text, out, refusal)) return false;
        char plain = text.ptr[0];
        if (plain == '+') plain = ' ';
        if (!escape) buf_add_char(out, plain);
        text = span_from(text, escape ? 3 : 1);
    }
    if (!buf_ok(out)) return refuse(refusal, REASON_OUT_OF_MEMORY, "out of memory");
    for (struct span rest = buf_span(out); rest.len;) {
        size_t width = utf8_width(rest);
        if (width == 0) return refuse_query(refusal, "has a value that is not UTF-8");
        rest = span_from(rest, width);
    }
    return true;
}

static struct query_value *find(struct query_value *values, size_t count, struct span name) {
    for (size_t i = 0; i < count; i++)
        if (span_equal_text(name, values[i].name)) return &values[i];
    return NULL;
}

static bool read_piece(struct span piece, struct query_value *values, size_t count,
                       struct refusal *refusal) {
    size_t end = span_find(piece, '=');
    if (end == piece.len) return refuse_query(refusal, "has a piece that is not name=value");

    struct query_value *value = find(values, count, span_until(piece, end));
    if (!value) return refuse_query(refusal, "has a name that is not known here");
    if (value->given) return refuse_query(refusal, "has a name twice");
    value->given = true;
    return decode(span_from(piece, end + 1), &value->value, refusal);
}

bool query_read(struct span query, struct query_value *values, size_t count,
                struct refusal *refusal) {
    for (size_t i = 0; i < count; i++) {
        values[i].value = buf_make(query.len);
        values[i].given = false;
    }
    while (query.len) {
        size_t end = span_find(query, '&');
        if (end == query.len - 1) return refuse_query(refusal, "ends in '&'");
        if (!read_piece(span_until(query, end), values, count, refusal)) return false;
        query = span_from(query, end + 1);
    }
    return true;
}

void query_done(struct query_value *values, size_t count) {
    for (size_t i = 0; i < count; i++) buf_done(&values[i].value);
}
