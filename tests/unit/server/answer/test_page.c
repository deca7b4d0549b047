#include "server/answer/page.h"

#include <regex.h>
#include <stdio.h>

#include "common/attr.h"
#include "tests/support/suite.h"

#define NONCE_MAX 64
#define PAGE_MAX ((size_t)60 * 1024)

static struct answer page(void) {
    struct answer answer = page_answer();
    ck_assert(answer_ok(&answer));
    ck_assert_uint_eq(answer.status, 200);
    ck_assert_uint_eq(strlen(answer.body.data), answer.body.len);
    return answer;
}

static void read_nonce(const struct answer *answer, char nonce[NONCE_MAX]) {
    const char *at = strstr(answer->headers.data, "script-src 'nonce-");
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at, "script-src 'nonce-%63[^']'", nonce), 1);
}

static size_t count(const char *text, const char *what) {
    size_t found = 0;
    for (; (text = strstr(text, what)); text += strlen(what)) found++;
    return found;
}

static bool matches(const char *text, const char *pattern) {
    regex_t regex;
    ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB | REG_ICASE), 0);
    bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

TEST(it_is_one_whole_html_page_of_modest_size) {
    struct answer answer = page();
    static const char end[] = "</html>\n";

    ck_assert_str_eq(answer.content_type, "text/html; charset=utf-8");
    ck_assert(span_starts_with(buf_span(&answer.body), SPAN_LITERAL("<!doctype html>\n")));
    ck_assert_str_eq(answer.body.data + answer.body.len - strlen(end), end);
    ck_assert_uint_le(answer.body.len, PAGE_MAX);
    answer_done(&answer);
}

TEST(other_answers_stay_json) {
    struct answer answer = answer_make(200);
    ck_assert_str_eq(answer.content_type, "application/json");
    answer_done(&answer);
}

TEST(script_and_style_carry_the_nonce_of_the_policy_and_nothing_else_is_marked) {
    struct answer answer = page();
    char nonce[NONCE_MAX], marked[NONCE_MAX + 32];

    read_nonce(&answer, nonce);
    ck_assert_uint_ge(strlen(nonce), 22); /* 128 bits */
    snprintf(marked, sizeof marked, "<script nonce=\"%s\">", nonce);
    ck_assert_uint_eq(count(answer.body.data, marked), 1);
    ck_assert_uint_eq(count(answer.body.data, "<script"), 1);
    snprintf(marked, sizeof marked, "<style nonce=\"%s\">", nonce);
    ck_assert_uint_eq(count(answer.body.data, marked), 1);
    ck_assert_uint_eq(count(answer.body.data, "<style"), 1);
    ck_assert_uint_eq(count(answer.body.data, nonce), 2);
    ck_assert_uint_eq(count(answer.headers.data, nonce), 2);
    ck_assert_ptr_null(strstr(answer.body.data, "@NONCE@"));
    answer_done(&answer);
}

TEST(no_two_answers_have_the_same_nonce) {
    enum { ANSWERS = 32 };
    char nonces[ANSWERS][NONCE_MAX];

    for (size_t i = 0; i < ANSWERS; i++) {
        struct answer answer = page();
        read_nonce(&answer, nonces[i]);
        answer_done(&answer);
        for (size_t j = 0; j < i; j++) ck_assert_str_ne(nonces[i], nonces[j]);
    }
}

TEST(its_headers_confine_it) {
    struct answer answer = page();
    char nonce[NONCE_MAX], expected[1024];

    read_nonce(&answer, nonce);
    snprintf(expected, sizeof expected,
             "Content-Security-Policy: default-src 'none'; script-src 'nonce-%s'; "
             "style-src 'nonce-%s'; img-src data:; connect-src 'self'; base-uri 'none'; "
             "form-action 'none'; frame-ancestors 'none'; "
             "require-trusted-types-for 'script'; trusted-types 'none'\r\n"
             "X-Content-Type-Options: nosniff\r\n"
             "Referrer-Policy: no-referrer\r\n"
             "Cross-Origin-Opener-Policy: same-origin\r\n"
             "Cross-Origin-Resource-Policy: same-origin\r\n",
             nonce, nonce);
    ck_assert_str_eq(answer.headers.data, expected);
    answer_done(&answer);
}

/* What would fetch from elsewhere, run text, or keep what was pasted. */
TEST(nothing_in_it_fetches_from_elsewhere_runs_text_or_keeps_a_token) {
    static const struct {
        const char *pattern;
        const char *control; /* the pattern does find such a thing */
    } rows[] = {
        {"https?://", "fetch('https://example.com')"},
        {"[\"'(=]//", "<img src=//example.com>"},
        {"[[:space:]](src|srcset|action|formaction|ping|background)[[:space:]]*=[[:space:]]*[\"']",
         "<form action='/'>"},
        {"href=\"([^#/d]|/[^am])", "<a href=\"elsewhere\">"},
        {"url\\([^#]", "background: url(a.png)"},
        {"@import|@font-face", "@import 'a.css'"},
        {"<(iframe|object|embed|base|link rel=\"stylesheet|img|video|audio)", "<iframe>"},
        {"[[:space:]]on[a-z]+=[\"']", "<p onclick=\"f()\">"},
        {"<[^>]+[[:space:]]style=", "<p style=\"color: red\">"},
        {"javascript:", "<a href=\"javascript:f()\">"},
        {"(inner|outer)html|insertAdjacentHTML|createContextualFragment|parseFromString|srcdoc",
         "a.innerHTML = b"},
        {"document\\.write|\\beval\\(|\\bFunction\\(|import\\(", "eval(a)"},
        {"set(timeout|interval)\\([\"'`]", "setTimeout('f()', 1)"},
        {"localStorage|sessionStorage|indexedDB|\\bcaches\\b|document\\.cookie|serviceWorker",
         "localStorage.token = a"},
        {"pushState|replaceState|location\\.(href|hash|search|assign|replace)",
         "location.hash = token"},
        {"sendBeacon|WebSocket|EventSource|XMLHttpRequest|window\\.open|postMessage",
         "navigator.sendBeacon('/a', b)"},
        {"<(textarea|input|select)[^>]* name=", "<textarea rows=\"5\" name=\"token\">"},
        {"console\\.", "console.log(token)"},
    };
    struct answer answer = page();

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(matches(rows[i].control, rows[i].pattern), "%s", rows[i].pattern);
        ck_assert_msg(!matches(answer.body.data, rows[i].pattern), "%s", rows[i].pattern);
    }
    answer_done(&answer);
}

TEST(no_browser_fills_in_corrects_or_learns_the_token) {
    struct answer answer = page();
    const char *box = strstr(answer.body.data, "<textarea id=\"token\"");

    ck_assert_ptr_nonnull(box);
    struct span tag = {box, strcspn(box, ">")};
    static const char *const wanted[] = {"autocomplete=\"off\"", "autocorrect=\"off\"",
                                         "autocapitalize=\"off\"", "spellcheck=\"false\""};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        ck_assert_msg(memmem(tag.ptr, tag.len, wanted[i], strlen(wanted[i])), "%s", wanted[i]);
    answer_done(&answer);
}
