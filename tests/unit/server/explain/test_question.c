/* What people paste: what is taken away, and what is left as it is. */
#include "server/explain/question.h"

#include "common/attr.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

TEST(a_header_is_made_of_what_people_copy) {
    static const struct {
        struct span text;
        const char *header;
        struct question_cleaned cleaned;
    } rows[] = {
        {S("a.b.c"), "Bearer a.b.c", {0}},
        {S(" a.b.c\n"), "Bearer a.b.c", {.space = true}},
        {S("a.b\r\n .c"), "Bearer a.b.c", {.space = true}},
        {S("Bearer a.b.c"), "Bearer a.b.c", {.prefix = true}},
        {S("BEARER\ta.b.c"), "Bearer a.b.c", {.prefix = true}},
        {S("Bearer"), "", {.prefix = true}},
        {S("Bearer "), "", {.space = true, .prefix = true}},
        {S("Bearera.b.c"), "Bearer Bearera.b.c", {0}},
        {S("Bearer Bearer a"), "Bearer Bearera", {.space = true, .prefix = true}},
        {S("Authorization: Bearer a.b.c"), "Bearer a.b.c", {.prefix = true}},
        {S("authorization:a.b.c"), "Bearer a.b.c", {.prefix = true}},
        {S("\"a.b.c\""), "Bearer a.b.c", {.quotes = true}},
        {S("'Bearer a.b.c'"), "Bearer a.b.c", {.prefix = true, .quotes = true}},
        {S("Bearer \"a.b.c\""), "Bearer a.b.c", {.prefix = true, .quotes = true}},
        {S("\"a.b.c'"), "Bearer \"a.b.c'", {0}},
        {S("\""), "Bearer \"", {0}},
        {S("\"\""), "", {.quotes = true}},
        {S(""), "", {0}},
        {S(" \t\r\n"), "", {.space = true}},
        {S("Basic dXNlcg=="), "Basic dXNlcg==", {0}},
        {S("Authorization: DPoP a.b.c"), "DPoP a.b.c", {0}},
        {S("Basic"), "Bearer Basic", {0}},
        {S("Basically a token"), "Bearer Basicallyatoken", {.space = true}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = buf_make(1000);
        struct question_cleaned cleaned = question_add_header(rows[i].text, &out);
        ck_assert_msg(span_equal_text(buf_span(&out), rows[i].header), "%zu: '%s', not '%s'", i,
                      out.len ? out.data : "", rows[i].header);
        ck_assert_msg(cleaned.space == rows[i].cleaned.space &&
                          cleaned.prefix == rows[i].cleaned.prefix &&
                          cleaned.quotes == rows[i].cleaned.quotes,
                      "%zu: %d %d %d", i, cleaned.space, cleaned.prefix, cleaned.quotes);
        buf_done(&out);
    }
}

/* Whatever stands in a token, it is judged by the daemon's code, not made good here. */
TEST(other_bytes_stay_as_they_are) {
    struct buf out = buf_make(1000);
    (void)question_add_header(S("a\0b\xff\x80,\x1b[m"), &out);
    ck_assert(span_equal(buf_span(&out), S("Bearer a\0b\xff\x80,\x1b[m")));
    buf_done(&out);
}

TEST(what_does_not_fit_shows) {
    struct buf out = buf_make(10);
    (void)question_add_header(S("a.b.c.d.e"), &out);
    ck_assert(!buf_ok(&out));
    buf_done(&out);
}

TEST(urls_become_host_and_target) {
    static const struct {
        const char *url, *host, *target; /* target: NULL: refused; host: NULL: absent */
    } rows[] = {
        {"https://api.example/a?b", "api.example", "/a?b"},
        {"http://api.example:8080/a", "api.example:8080", "/a"},
        {"https://API.example/a", "API.example", "/a"},
        {"https://[::1]:443/a", "[::1]:443", "/a"},
        {"https://api.example", "api.example", "/"},
        {"https://api.example#top", "api.example", "/"},
        {"https://api.example/a#top", "api.example", "/a"},
        {"/a?b=c", NULL, "/a?b=c"},
        {"/a#b", NULL, "/a"},
        {"//a", NULL, "//a"},
        {"https://api.example?a=b", NULL, NULL},
        {"https://user@api.example/", NULL, NULL},
        {"https://user:pass@api.example/", NULL, NULL},
        {"ftp://api.example/", NULL, NULL},
        {"api.example/a", NULL, NULL},
        {"https:///a", NULL, NULL},
        {"https://api.example:99999/", NULL, NULL},
        {"", NULL, NULL},
        {"#", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span host, target;
        struct err_text err = {""};
        int r = question_read_url(span_of(rows[i].url), &host, &target, &err);
        ck_assert_msg((r == 0) == (rows[i].target != NULL), "%s: %d %s", rows[i].url, r, err.text);
        ck_assert_msg((*err.text != '\0') == (r < 0), "%s: %s", rows[i].url, err.text);
        if (r < 0) continue;
        ck_assert_msg(span_equal_text(target, rows[i].target), "%s", rows[i].url);
        ck_assert_msg(rows[i].host ? span_equal_text(host, rows[i].host) : !host.ptr, "%s",
                      rows[i].url);
    }
}
