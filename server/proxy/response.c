#include "server/proxy/response.h"

#include "common/ascii.h"
#include "common/parse.h"

#define STATUS_LINE_MIN 12 /* "HTTP/1.1 200" */
#define LENGTH_DIGITS_MAX 18
#define CHUNK_DIGITS_MAX 15
#define EXTENSIONS_MAX ((size_t)4 * 1024)
#define NAME_QUOTED_MAX 64

/* --- lines --------------------------------------------------------------------------------- */

/*
 * The next whole line from *at on, without its CR LF. Returns 1, or 0 where there is none yet. A
 * line that ends in LF alone is one line to some readers and none to others.
 */
static int next_line(struct span bytes, size_t *at, struct span *ret, struct err_text *err) {
    struct span rest = span_from(bytes, *at);
    size_t lf = span_find(rest, '\n');
    if (lf == rest.len) return 0;
    if (lf == 0 || rest.ptr[lf - 1] != '\r')
        return err_set(err, ERR_SYNTAX, "the response has a line that does not end in CR LF");
    *ret = span_until(rest, lf - 1);
    *at += lf + 1;
    return 1;
}

/* Where the line that offset lies in begins; behind an LF that is the next line. */
static size_t line_start(struct span bytes, size_t offset) {
    struct span before = span_until(bytes, offset);
    const char *lf = before.len ? memrchr(before.ptr, '\n', before.len) : NULL;
    return lf ? (size_t)(lf - bytes.ptr) + 1 : 0;
}

/* line is not empty. */
static int read_field(struct span line, struct field *ret, struct err_text *err) {
    size_t end = 0;

    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return err_set(err, ERR_SYNTAX, "the response has a folded line");
    while (end < line.len && ascii_is_token_char(line.ptr[end])) end++;
    if (end == 0 || end == line.len || line.ptr[end] != ':')
        return err_set(err, ERR_SYNTAX, "the response has a field line without a token and ':'");

    ret->name = span_until(line, end);
    ret->value = span_trim(span_from(line, end + 1));
    if (ascii_has_control(ret->value))
        return err_set(err, ERR_SYNTAX, "the response has a control character in field \"%.*s\"",
                       SPAN_PRINTF(span_until(ret->name, NAME_QUOTED_MAX)));
    return 0;
}

/* --- the head ------------------------------------------------------------------------------ */

/* Told by the first bytes, so that a peer with another protocol need not send a line first. */
static int check_protocol(struct span bytes, struct err_text *err) {
    struct span protocol = span_until(SPAN_LITERAL("HTTP/1."), bytes.len);
    if (bytes.len == 0 || span_starts_with(bytes, protocol)) return 0;
    return err_set(err, ERR_SYNTAX, "the response does not begin with \"HTTP/1.\"");
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* RFC 9112 section 4. The SP in front of an empty reason phrase may be missing; many forget it. */
static int read_status_line(struct span line, struct response_head *head, struct err_text *err) {
    const char *at = line.ptr;
    bool shaped = line.len >= STATUS_LINE_MIN && (at[7] == '0' || at[7] == '1') && at[8] == ' ' &&
                  is_digit(at[9]) && is_digit(at[10]) && is_digit(at[11]) &&
                  (line.len == STATUS_LINE_MIN || at[12] == ' ');
    if (!shaped || ascii_has_control(span_from(line, STATUS_LINE_MIN)))
        return err_set(err, ERR_SYNTAX, "the response has a malformed status line");

    head->http_1_0 = at[7] == '0';
    head->status =
        (unsigned)(at[9] - '0') * 100 + (unsigned)(at[10] - '0') * 10 + (unsigned)(at[11] - '0');
    if (head->status < 100 || head->status > 599)
        return err_set(err, ERR_SYNTAX, "the response has status %u, which is none", head->status);
    return 0;
}

/*
 * Read the lines from start on. *ret_used is where the head ends, and 0 as long as that has not
 * come. Only from start 0 does *head hold all of it. Too many fields are told at the end, so that
 * it does not matter in which pieces the head came.
 */
static int read_lines(struct span bytes, size_t start, struct response_head *head, size_t *ret_used,
                      struct err_text *err) {
    struct field spare;
    struct span line;
    size_t count = 0, at = start;
    int r;

    *ret_used = 0;
    while ((r = next_line(bytes, &at, &line, err)) > 0) {
        bool first = line.ptr == bytes.ptr;
        if (!first && line.len == 0) break;
        struct field *field = count < RESPONSE_FIELDS_MAX ? &head->fields[count] : &spare;
        r = first ? read_status_line(line, head, err) : read_field(line, field, err);
        if (r < 0) break;
        count += !first;
    }
    if (r <= 0) return r;
    if (count > RESPONSE_FIELDS_MAX)
        return err_set(err, ERR_LIMIT, "the response has more than %d fields", RESPONSE_FIELDS_MAX);
    head->field_count = count;
    *ret_used = at;
    return 0;
}

/* --- framing (RFC 9112 section 6) ---------------------------------------------------------- */

/* Two lines of the same value are refused as well: no server has a reason to send them. */
static int judge_length(struct response_head *head, struct err_text *err) {
    size_t count = response_field_count(head, "content-length");
    struct span value = response_field(head, "content-length");

    head->has_length = count > 0;
    head->length = 0;
    if (count == 0) return 0;
    if (count > 1) return err_set(err, ERR_SYNTAX, "the response has several Content-Length");
    if (value.len > LENGTH_DIGITS_MAX || parse_u64(value, UINT64_MAX, &head->length) < 0)
        return err_set(err, ERR_SYNTAX,
                       "the response has a Content-Length that is not a number of at most %d "
                       "digits",
                       LENGTH_DIGITS_MAX);
    return 0;
}

static int judge_encoding(const struct response_head *head, bool *ret_chunked,
                          struct err_text *err) {
    size_t count = response_field_count(head, "transfer-encoding");
    struct span value = response_field(head, "transfer-encoding");

    *ret_chunked = count > 0;
    if (count == 0) return 0;
    if (count > 1 || !span_equal_nocase(value, SPAN_LITERAL("chunked")))
        return err_set(err, ERR_SYNTAX,
                       "the response has a Transfer-Encoding that is not one \"chunked\"");
    if (head->has_length)
        return err_set(err, ERR_SYNTAX,
                       "the response has both Transfer-Encoding and Content-Length");
    if (head->http_1_0)
        return err_set(err, ERR_SYNTAX, "the response has Transfer-Encoding in HTTP/1.0");
    return 0;
}

static int judge_status(const struct response_head *head, const struct response_context *context,
                        bool chunked, struct err_text *err) {
    if (head->status < 200 && head->http_1_0)
        return err_set(err, ERR_SYNTAX, "the response is an interim one in HTTP/1.0");
    if (head->status == 101 && !context->to_upgrade)
        return err_set(err, ERR_SYNTAX, "the response switches protocols, which nobody asked for");
    if ((head->status < 200 || head->status == 204) && (chunked || head->length > 0))
        return err_set(err, ERR_SYNTAX,
                       "the response has status %u and announces a body, which it cannot have",
                       head->status);
    return 0;
}

static enum body_framing framing_of(const struct response_head *head,
                                    const struct response_context *context, bool chunked) {
    if (context->to_head || head->status < 200 || head->status == 204 || head->status == 304)
        return BODY_NONE;
    if (chunked) return BODY_CHUNKED;
    return head->has_length ? BODY_LENGTH : BODY_UNTIL_CLOSE;
}

static bool list_has_close(struct span list) {
    struct span option;
    while (span_next(&list, ',', &option))
        if (span_equal_nocase(span_trim(option), SPAN_LITERAL("close"))) return true;
    return false;
}

/* Lengths first: most names differ there already, and it saves a call for each. */
static bool is_field(const struct field *field, struct span name) {
    return field->name.len == name.len && span_equal_nocase(field->name, name);
}

/* RFC 9112 section 9.3. HTTP/1.0 can ask for it, but proxies and such servers misread each other.
 */
static bool may_keep_alive(const struct response_head *head) {
    if (head->http_1_0 || head->framing == BODY_UNTIL_CLOSE || head->status == 101) return false;
    for (size_t i = 0; i < head->field_count; i++)
        if (is_field(&head->fields[i], SPAN_LITERAL("connection")) &&
            list_has_close(head->fields[i].value))
            return false;
    return true;
}

static int judge(struct response_head *head, const struct response_context *context,
                 struct err_text *err) {
    bool chunked;
    int r;

    if ((r = judge_length(head, err)) < 0) return r;
    if ((r = judge_encoding(head, &chunked, err)) < 0) return r;
    if ((r = judge_status(head, context, chunked, err)) < 0) return r;
    head->framing = framing_of(head, context, chunked);
    head->keep_alive = may_keep_alive(head);
    return 0;
}

int response_head_parse(struct span bytes, const struct response_context *context, size_t *scanned,
                        struct response_head *ret, size_t *ret_used, struct err_text *err) {
    struct span window = span_until(bytes, RESPONSE_HEAD_MAX);
    struct span fresh = span_from(window, *scanned);
    size_t used = 0;
    int r;

    *ret_used = 0;
    if ((r = check_protocol(window, err)) < 0) return r;
    if (span_find(fresh, '\n') < fresh.len) {
        /* Lines before were judged by an earlier call, and only now is there one more. */
        size_t start = line_start(window, *scanned);
        if ((r = read_lines(window, start, ret, &used, err)) < 0) return r;
        if (used && start && (r = read_lines(window, 0, ret, &used, err)) < 0) return r;
    }
    if (used == 0 && window.len == RESPONSE_HEAD_MAX)
        return err_set(err, ERR_LIMIT, "the response has a head of more than %d bytes",
                       RESPONSE_HEAD_MAX);
    *scanned = used ? 0 : window.len;
    if (used == 0) return 0;
    if ((r = judge(ret, context, err)) < 0) return r;
    *ret_used = used;
    return 0;
}

struct span response_field(const struct response_head *head, const char *name) {
    struct span wanted = span_of(name);
    for (size_t i = 0; i < head->field_count; i++)
        if (is_field(&head->fields[i], wanted)) return head->fields[i].value;
    return SPAN_NONE;
}

size_t response_field_count(const struct response_head *head, const char *name) {
    struct span wanted = span_of(name);
    size_t count = 0;
    for (size_t i = 0; i < head->field_count; i++) count += is_field(&head->fields[i], wanted);
    return count;
}

/* --- the body (RFC 9112 section 7) --------------------------------------------------------- */

void body_begin(struct body *body, const struct response_head *head) {
    *body = (struct body){
        .framing = head->framing,
        .left = head->framing == BODY_LENGTH ? head->length : 0,
        .state = BODY_DATA,
        .trailers = buf_make(RESPONSE_TRAILERS_MAX),
    };
    if (body->framing == BODY_CHUNKED)
        body->state = BODY_CHUNK_SIZE;
    else if (body->framing == BODY_NONE || (body->framing == BODY_LENGTH && body->left == 0))
        body->state = BODY_ENDED;
}

void body_done(struct body *body) {
    if (body->trailers.data) buf_done(&body->trailers);
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* White space behind the size is refused too: some readers skip it, others end the number there. */
static int take_size(struct body *body, char c, struct err_text *err) {
    int value = hex_value(c);
    if (value >= 0 && body->digits < CHUNK_DIGITS_MAX) {
        body->left = body->left << 4 | (unsigned)value;
        body->digits++;
        return 0;
    }
    if (body->digits == 0 || (c != '\r' && c != ';'))
        return err_set(err, ERR_SYNTAX,
                       "the response has a chunk size that is not 1 to %d hexadecimal digits",
                       CHUNK_DIGITS_MAX);
    body->state = c == '\r' ? BODY_CHUNK_SIZE_LF : BODY_CHUNK_EXTENSION;
    return 0;
}

/* Extensions are dropped, whatever they say; but one byte of data must not cost kilobytes. */
static int take_extension(struct body *body, char c, struct err_text *err) {
    if (c == '\r') {
        body->state = BODY_CHUNK_SIZE_LF;
        return 0;
    }
    if (ascii_is(c, ASCII_CONTROL))
        return err_set(err, ERR_SYNTAX,
                       "the response has a control character in a chunk extension");
    if (++body->extension_len > EXTENSIONS_MAX)
        return err_set(err, ERR_LIMIT, "the response has more than %zu bytes of chunk extensions",
                       EXTENSIONS_MAX);
    return 0;
}

/* One byte of what stands between the pieces of data. */
static int take_framing(struct body *body, char c, struct err_text *err) {
    char wanted = body->state == BODY_CHUNK_END ? '\r' : '\n';

    if (body->state == BODY_CHUNK_SIZE) return take_size(body, c, err);
    if (body->state == BODY_CHUNK_EXTENSION) return take_extension(body, c, err);
    if (c != wanted)
        return err_set(err, ERR_SYNTAX, "the response has a chunk that does not end in CR LF");
    if (body->state == BODY_CHUNK_SIZE_LF) {
        body->state = body->left ? BODY_DATA : BODY_TRAILERS;
    } else if (body->state == BODY_CHUNK_END) {
        body->state = BODY_CHUNK_END_LF;
    } else {
        body->state = BODY_CHUNK_SIZE;
        body->digits = 0;
    }
    return 0;
}

/* Judge the last line in the buffer, which is whole. */
static int judge_trailer(struct body *body, struct err_text *err) {
    struct span bytes = buf_span(&body->trailers), line;
    struct field field;
    size_t at = line_start(bytes, bytes.len - 1);

    int r = next_line(bytes, &at, &line, err);
    if (r <= 0) return r;
    if (line.len) return read_field(line, &field, err);
    body->state = BODY_ENDED;
    return 0;
}

/* Part of a line of the trailer section, or all of it. */
static int take_trailers(struct body *body, struct span rest, size_t *ret_used,
                         struct err_text *err) {
    struct buf *trailers = &body->trailers;
    size_t lf = span_find(rest, '\n');
    struct span part = span_until(rest, lf + 1);

    *ret_used = part.len;
    if (trailers->len == 0 && span_equal(part, SPAN_LITERAL("\r\n"))) {
        body->state = BODY_ENDED; /* nearly always; it takes no memory */
        return 0;
    }
    if (part.len > trailers->max - trailers->len)
        return err_set(err, ERR_LIMIT, "the response has trailers of more than %d bytes",
                       RESPONSE_TRAILERS_MAX);
    buf_add(trailers, part);
    if (!buf_ok(trailers))
        return err_set(err, ERR_MEMORY, "out of memory for the response's trailers");
    return lf < rest.len ? judge_trailer(body, err) : 0;
}

static struct span take_data(struct body *body, struct span rest) {
    if (body->framing == BODY_UNTIL_CLOSE) return rest;

    struct span data = rest.len > body->left ? span_until(rest, (size_t)body->left) : rest;
    body->left -= data.len;
    if (body->left == 0) body->state = body->framing == BODY_CHUNKED ? BODY_CHUNK_END : BODY_ENDED;
    return data;
}

int body_take(struct body *body, struct span bytes, struct span *ret_data, size_t *ret_used,
              struct err_text *err) {
    struct span data = {bytes.ptr, 0};
    size_t used = 0;
    int r;

    while (used < bytes.len && body->state != BODY_DATA && body->state != BODY_ENDED) {
        size_t taken = 1;
        if (body->state == BODY_TRAILERS)
            r = take_trailers(body, span_from(bytes, used), &taken, err);
        else
            r = take_framing(body, bytes.ptr[used], err);
        if (r < 0) return r;
        used += taken;
    }
    if (used < bytes.len && body->state == BODY_DATA)
        data = take_data(body, span_from(bytes, used));
    *ret_data = data;
    *ret_used = used + data.len;
    return 0;
}

bool body_ended(const struct body *body) {
    return body->state == BODY_ENDED;
}

bool body_may_end(const struct body *body) {
    return body_ended(body) || body->framing == BODY_UNTIL_CLOSE;
}

size_t body_trailers(const struct body *body, struct field *ret, size_t max) {
    struct span bytes = buf_span(&body->trailers), line;
    size_t count = 0, at = 0;

    if (!body_ended(body)) return 0;
    while (count < max && next_line(bytes, &at, &line, NULL) > 0 && line.len &&
           read_field(line, &ret[count], NULL) == 0)
        count++;
    return count;
}
