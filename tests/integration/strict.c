#include "tests/integration/strict.h"

#include <ctype.h>
#include <stdlib.h>

#include "common/ascii.h"

struct head {
    size_t len;
    bool old; /* HTTP/1.0 */
    bool chunked;
    size_t hosts, lengths, codings;
    size_t content_length;
};

enum seen { SOUND, WRONG, UNFINISHED };

/* The line that text starts with, without its CR LF. A bare CR or LF, or a NUL, is wrong. */
static enum seen next_line(struct span *text, struct span *ret) {
    size_t end = 0;
    while (end < text->len && text->ptr[end] != '\r' && text->ptr[end] != '\n' && text->ptr[end])
        end++;
    if (end + 1 >= text->len && (end == text->len || text->ptr[end] == '\r')) return UNFINISHED;
    if (text->ptr[end] != '\r' || text->ptr[end + 1] != '\n') return WRONG;
    *ret = span_until(*text, end);
    *text = span_from(*text, end + 2);
    return SOUND;
}

static bool is_target(struct span target) {
    size_t path_len = span_find(target, '?');
    if (target.len == 0 || target.ptr[0] != '/') return false;
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '#' || (c == '\\' && i < path_len)) return false;
    }
    return true;
}

static bool read_request_line(struct span line, struct head *head) {
    size_t space = span_find(line, ' ');
    struct span method = span_until(line, space), rest = span_from(line, space + 1);
    space = span_find(rest, ' ');
    struct span target = span_until(rest, space), version = span_from(rest, space + 1);
    if (!ascii_is_token(method) || !is_target(target)) return false;
    if (version.len != 8 || memcmp(version.ptr, "HTTP/1.", 7) != 0) return false;
    head->old = version.ptr[7] == '0';
    return version.ptr[7] >= '0' && version.ptr[7] <= '9';
}

static bool read_number(struct span text, size_t *ret) {
    *ret = 0;
    if (text.len == 0 || text.len > 18) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!isdigit((unsigned char)text.ptr[i])) return false;
        *ret = *ret * 10 + (size_t)(text.ptr[i] - '0');
    }
    return true;
}

static bool is_host(struct span value) {
    for (size_t i = 0; i < value.len; i++)
        if (strchr("/@, ?#\\\"", value.ptr[i]) || (unsigned char)value.ptr[i] >= 0x7f) return false;
    return value.len > 0;
}

static bool read_header(struct span line, struct head *head) {
    size_t colon = span_find(line, ':');
    struct span name = span_until(line, colon), value = span_trim(span_from(line, colon + 1));
    if (colon == line.len || !ascii_is_token(name)) return false;
    for (size_t i = 0; i < value.len; i++)
        if (((unsigned char)value.ptr[i] < ' ' && value.ptr[i] != '\t') || value.ptr[i] == 0x7f)
            return false;
    if (span_equal_nocase(name, SPAN_LITERAL("host"))) return ++head->hosts && is_host(value);
    if (span_equal_nocase(name, SPAN_LITERAL("content-length")))
        return ++head->lengths && read_number(value, &head->content_length);
    if (!span_equal_nocase(name, SPAN_LITERAL("transfer-encoding"))) return true;
    head->codings++;
    head->chunked = span_equal_nocase(value, SPAN_LITERAL("chunked"));
    return head->chunked;
}

static bool is_clear(const struct head *head) {
    bool named = head->hosts == 1 || (head->hosts == 0 && head->old);
    return named && head->lengths + head->codings <= 1 && !(head->codings && head->old);
}

static enum seen read_head(struct span *text, struct head *head) {
    struct span line;
    enum seen seen;

    if ((seen = next_line(text, &line)) != SOUND) return seen;
    if (!read_request_line(line, head)) return WRONG;
    while ((seen = next_line(text, &line)) == SOUND && line.len > 0)
        if (!read_header(line, head)) return WRONG;
    if (seen != SOUND) return seen;
    return is_clear(head) ? SOUND : WRONG;
}

/* *( ";" name [ "=" ( token / quoted-string ) ] ) (RFC 9112 section 7.1.1), without white space. */
static bool are_extensions(struct span text) {
    struct span piece;
    if (text.len == 0) return true;
    if (text.ptr[0] != ';') return false;
    for (text = span_from(text, 1); span_next(&text, ';', &piece);) {
        size_t equals = span_find(piece, '=');
        struct span value = span_from(piece, equals + 1);
        bool quoted = value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"';
        if (quoted) value = span_until(span_from(value, 1), value.len - 2);
        if (!ascii_is_token(span_until(piece, equals))) return false;
        if (equals < piece.len && !ascii_is_token(value)) return false;
    }
    return true;
}

/* Skip the body; false where it is malformed or not all there. */
static bool skip_chunks(struct span *text) {
    struct span line;
    for (;;) {
        if (next_line(text, &line) != SOUND) return false;
        size_t digits = 0;
        while (digits < line.len && isxdigit((unsigned char)line.ptr[digits])) digits++;
        if (digits == 0 || digits > 8 || !are_extensions(span_from(line, digits))) return false;
        size_t len = strtoul(line.ptr, NULL, 16);
        if (len == 0) break;
        if (text->len < len) return false;
        *text = span_from(*text, len);
        if (next_line(text, &line) != SOUND || line.len != 0) return false;
    }
    do {
        if (next_line(text, &line) != SOUND) return false;
    } while (line.len > 0);
    return true;
}

static bool skip_body(const struct head *head, struct span *text) {
    if (head->chunked) return skip_chunks(text);
    if (text->len < head->content_length) return false;
    *text = span_from(*text, head->content_length);
    return true;
}

struct strict strict_read(struct span bytes) {
    struct strict result = {0};
    do {
        while (bytes.len >= 2 && memcmp(bytes.ptr, "\r\n", 2) == 0) bytes = span_from(bytes, 2);
        struct head head = {0};
        enum seen seen = read_head(&bytes, &head);
        bool first = result.requests++ == 0;
        if (first) {
            result.sound = seen == SOUND;
            result.ends = seen != UNFINISHED;
            result.has_body = result.sound && (head.chunked || head.content_length > 0);
        }
        result.heads += seen == SOUND;
        result.all = seen == SOUND && skip_body(&head, &bytes);
    } while (result.all && bytes.len > 0);
    return result;
}
