#include "server/loop/door.h"

#include "common/ascii.h"

/* The fields that tell how a request is framed, and who sends it. */
enum known { AUTHORIZATION, HOST, CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, KNOWN };

static const struct span known_names[KNOWN] = {
    [AUTHORIZATION] = SPAN_LITERAL("Authorization"),
    [HOST] = SPAN_LITERAL("Host"),
    [CONTENT_LENGTH] = SPAN_LITERAL("Content-Length"),
    [TRANSFER_ENCODING] = SPAN_LITERAL("Transfer-Encoding"),
    [EXPECT] = SPAN_LITERAL("Expect"),
};

/* Collected over the header lines. */
struct walk {
    bool starts_anywhere; /* where the first line begins is not known */
    const char *cursor;   /* where the next line must begin; NULL once something is out of place */
    struct {
        struct span first; /* absent where there is none */
        size_t count;
    } known[KNOWN];
    struct field_list *fields;
    bool lacks_memory;
    const char *wrong; /* the first fault; NULL while there is none */
};

static bool is_digits(struct span text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
    return text.len > 0 && text.len <= 18;
}

static uint64_t number(struct span digits) {
    uint64_t value = 0;
    for (size_t i = 0; i < digits.len; i++) value = value * 10 + (uint64_t)(digits.ptr[i] - '0');
    return value;
}

/* host [ ":" port ] (RFC 9112 section 3.2); what a host may hold, not whether it exists. */
static bool is_host(struct span text) {
    size_t end = span_find(text, ':');
    if (text.len && text.ptr[0] == '[') {
        end = span_find(text, ']') + 1;
        if (end > text.len) return false;
    }
    struct span name = span_until(text, end), rest = span_from(text, end);
    bool bracketed = name.len && name.ptr[0] == '[';

    if (name.len == 0 || (bracketed && name.len < 4)) return false;
    const char *others = bracketed ? ":." : "-._~!$&'()*+;=%";
    for (size_t i = bracketed; i < name.len - bracketed; i++)
        if (!ascii_is_alphanumeric_or(name.ptr[i], others)) return false;
    return rest.len == 0 ||
           (rest.ptr[0] == ':' && (rest.len == 1 || is_digits(span_from(rest, 1))));
}

/*
 * libmicrohttpd leaves names and values where they were received and overwrites the line ends with
 * NUL: two for CR LF, one for a bare LF. So the end of each line tells where the next begins, and
 * any byte that it swallowed (behind a NUL, in a folded line) shows as a gap.
 */
static void follow_line(struct walk *walk, struct span name, struct span value) {
    if (walk->starts_anywhere) walk->cursor = name.ptr;
    walk->starts_anywhere = false;
    if (!walk->cursor) return;
    const char *colon = name.ptr + name.len;
    if (name.ptr != walk->cursor || value.ptr <= colon) {
        walk->cursor = NULL;
        return;
    }
    for (const char *at = colon + 1; at < value.ptr; at++) {
        if (*at == ' ' || *at == '\t') continue;
        walk->cursor = NULL;
        return;
    }
    const char *end = value.ptr + value.len;
    walk->cursor = end[0] == '\0' && end[1] == '\0' ? end + 2 : NULL;
}

static void remember(struct walk *walk, struct span name, struct span value) {
    for (size_t i = 0; i < KNOWN; i++)
        if (span_equal_nocase(name, known_names[i]) && walk->known[i].count++ == 0)
            walk->known[i].first = value;
}

static enum MHD_Result on_header(void *argument, enum MHD_ValueKind kind, const char *name,
                                 size_t name_len, const char *value, size_t value_len) {
    struct walk *walk = argument;
    struct span name_span = {name, name_len};
    struct span value_span = {value ? value : "", value ? value_len : 0};
    (void)kind;

    follow_line(walk, name_span, value_span);
    if (!ascii_is_token(name_span)) {
        walk->wrong = "a header name is not a token";
        return MHD_NO;
    }
    if (ascii_has_control(value_span)) {
        walk->wrong = "a header value holds a control character";
        return MHD_NO;
    }
    remember(walk, name_span, value_span);
    walk->lacks_memory = !field_list_add(walk->fields, name_span, value_span);
    return walk->lacks_memory ? MHD_NO : MHD_YES;
}

/* The request line must stand in the buffer as METHOD SP target SP version, with CR LF behind. */
static const char *first_line_end(const struct door_head *head) {
    const char *method_end = head->method + strlen(head->method);
    const char *target_end = head->url + head->raw_target.len;
    const char *end = head->version + strlen("HTTP/1.1");

    if (head->url != method_end + 1 || head->version != target_end + 1) return NULL;
    return end[0] == '\0' && end[1] == '\0' ? end + 2 : NULL;
}

static size_t head_size(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info ? info->header_size : 0;
}

static const char *fault_of_host(const struct walk *walk, bool http_1_0) {
    if (walk->known[HOST].count > 1) return "there is more than one Host header";
    if (walk->known[HOST].count == 0) return http_1_0 ? NULL : "there is no Host header";
    return is_host(span_trim(walk->known[HOST].first)) ? NULL : "the Host header is not a host";
}

static const char *fault_of_length(const struct walk *walk, bool http_1_0) {
    size_t lengths = walk->known[CONTENT_LENGTH].count;
    size_t encodings = walk->known[TRANSFER_ENCODING].count;

    if (lengths > 1) return "there is more than one Content-Length header";
    if (lengths && !is_digits(walk->known[CONTENT_LENGTH].first))
        return "the Content-Length header is not a plain number";
    if (encodings == 0) return NULL;
    if (lengths) return "there are both Content-Length and Transfer-Encoding headers";
    if (http_1_0) return "HTTP/1.0 has no Transfer-Encoding";
    if (encodings > 1 ||
        !span_equal_nocase(walk->known[TRANSFER_ENCODING].first, SPAN_LITERAL("chunked")))
        return "the Transfer-Encoding is not exactly chunked";
    return NULL;
}

/* Walk over all lines of that kind. Returns how many there are. */
static int walk_over(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                     struct walk *walk) {
    field_list_clear(walk->fields);
    return MHD_get_connection_values_n(connection, kind, on_header, walk);
}

static bool refuse_walk(const struct walk *walk, struct refusal *refusal) {
    if (walk->lacks_memory) return refuse(refusal, REASON_OUT_OF_MEMORY, "out of memory");
    return refuse(refusal, REASON_FRAMING, "%s", walk->wrong);
}

bool door_check_trailers(struct MHD_Connection *connection, struct field_list *fields,
                         struct refusal *refusal) {
    struct walk walk = {.starts_anywhere = true, .fields = fields};

    int count = walk_over(connection, MHD_FOOTER_KIND, &walk);
    if (!walk.wrong && count && !walk.cursor)
        walk.wrong = "a trailer line does not end in CR LF, is folded, or holds a NUL";
    return (!walk.wrong && !walk.lacks_memory) || refuse_walk(&walk, refusal);
}

bool door_collect(struct MHD_Connection *connection, uint64_t number, struct field_list *fields) {
    struct walk walk = {.starts_anywhere = true, .fields = fields};

    walk_over(connection, MHD_HEADER_KIND, &walk);
    if (walk.wrong || walk.lacks_memory) return false;
    fields->owner = number;
    return true;
}

static void tell(const struct walk *walk, bool http_1_0, struct door_result *ret) {
    ret->authorization = walk->known[AUTHORIZATION].first;
    ret->authorization_count = walk->known[AUTHORIZATION].count;
    ret->host = walk->known[HOST].count ? span_trim(walk->known[HOST].first) : SPAN_NONE;
    ret->http_1_0 = http_1_0;
    ret->chunked = walk->known[TRANSFER_ENCODING].count != 0;
    ret->content_length =
        walk->known[CONTENT_LENGTH].count ? number(walk->known[CONTENT_LENGTH].first) : 0;
    ret->has_body = ret->chunked || ret->content_length;
    ret->expects_continue =
        !http_1_0 && span_equal_nocase(walk->known[EXPECT].first, SPAN_LITERAL("100-continue"));
}

bool door_check(const struct door_head *head, struct field_list *fields, struct door_result *ret,
                struct refusal *refusal) {
    bool http_1_0 = strcmp(head->version, MHD_HTTP_VERSION_1_0) == 0;
    size_t size = head_size(head->connection);
    struct walk walk = {.cursor = first_line_end(head), .fields = fields};

    if (size > head->header_max)
        return refuse(refusal, REASON_HEAD_TOO_LARGE,
                      "the request head has %zu bytes; %zu are accepted", size, head->header_max);
    if (!ascii_is_token(span_of(head->method)))
        return refuse(refusal, REASON_FRAMING, "the method is not a token");
    walk_over(head->connection, MHD_HEADER_KIND, &walk);

    if (!walk.wrong) walk.wrong = fault_of_host(&walk, http_1_0);
    if (!walk.wrong) walk.wrong = fault_of_length(&walk, http_1_0);
    /* The empty line that ends the head is two bytes as well. */
    if (!walk.wrong && (!walk.cursor || walk.cursor + 2 != head->method + size))
        walk.wrong = "a line does not end in CR LF, is folded, or holds a NUL";
    if (walk.wrong || walk.lacks_memory) return refuse_walk(&walk, refusal);

    tell(&walk, http_1_0, ret);
    ret->consumed += size + ret->content_length;
    fields->owner = head->number;
    return true;
}
