#include "server/explain/question.h"

#include "common/attr.h"
#include "common/url.h"

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span trim(struct span text) {
    while (text.len && is_space(text.ptr[0])) text = span_from(text, 1);
    while (text.len && is_space(text.ptr[text.len - 1])) text.len--;
    return text;
}

/* Cut word off the start of *text, whatever its case. */
static bool cut(struct span *text, struct span word) {
    if (!span_equal_nocase(span_until(*text, word.len), word)) return false;
    *text = trim(span_from(*text, word.len));
    return true;
}

static bool unquote(struct span *text) {
    bool quoted =
        text->len >= 2 && strchr("\"'", text->ptr[0]) && text->ptr[text->len - 1] == text->ptr[0];
    if (quoted) *text = trim(span_until(span_from(*text, 1), text->len - 2));
    return quoted;
}

/* "Basic dXNlcg==": a word that names another scheme, and something behind it. */
static bool is_other_scheme(struct span text) {
    static const char *const schemes[] = {"Basic", "DPoP",      "Digest", "HOBA",
                                          "JWT",   "Negotiate", "PoP",    "Token"};
    struct span word = span_until(text, span_find(text, ' '));

    for (size_t i = 0; word.len < text.len && i < ARRAY_LEN(schemes); i++)
        if (span_equal_nocase(word, span_of(schemes[i]))) return true;
    return false;
}

static void add_without_space(struct span token, struct buf *out,
                              struct question_cleaned *cleaned) {
    if (token.len) buf_add_text(out, "Bearer ");
    for (size_t i = 0; i < token.len; i++) {
        if (is_space(token.ptr[i]))
            cleaned->space = true;
        else
            buf_add_char(out, token.ptr[i]);
    }
}

struct question_cleaned question_add_header(struct span text, struct buf *out) {
    struct question_cleaned cleaned = {0};
    struct span token = trim(text);

    cleaned.space = token.len < text.len;
    cleaned.quotes = unquote(&token);
    cleaned.prefix = cut(&token, SPAN_LITERAL("Authorization:"));
    if (is_other_scheme(token)) {
        buf_add(out, token);
        cleaned.prefix = false;
        return cleaned;
    }
    /* A token may itself begin so; the word is one only where a space follows. */
    bool alone = token.len == 6 || (token.len > 6 && is_space(token.ptr[6]));
    if (alone && cut(&token, SPAN_LITERAL("Bearer"))) cleaned.prefix = true;
    if (unquote(&token)) cleaned.quotes = true;
    add_without_space(token, out, &cleaned);
    return cleaned;
}

int question_read_url(struct span url, struct span *ret_host, struct span *ret_target,
                      struct err_text *err) {
    struct url parts;

    url = span_until(url, span_find(url, '#'));
    *ret_host = SPAN_NONE;
    *ret_target = url;
    if (span_starts_with(url, SPAN_LITERAL("/"))) return 0;
    int r = url_parse(url, &parts, err);
    if (r < 0) return r;
    size_t scheme = parts.https ? strlen("https://") : strlen("http://");
    *ret_host = span_until(span_from(url, scheme), url.len - scheme - parts.rest.len);
    *ret_target = parts.rest.len ? parts.rest : SPAN_LITERAL("/");
    if (ret_target->ptr[0] == '?')
        return err_set(err, ERR_SYNTAX, "has no path before its query; write a slash there");
    return 0;
}
