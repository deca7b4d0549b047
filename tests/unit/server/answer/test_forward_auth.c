#include "server/answer/forward_auth.h"

#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define FIELDS_MAX 8

#define START "the request that is asked about "
#define DIFFERS START "is told in two ways that differ"
#define TWICE START "is told twice"
#define NO_METHOD START "has no method"
#define BAD_METHOD START "has a bad method"
#define NO_PATH START "has no path"
#define NO_URL START "has an X-Original-URL that is no URL"
#define NO_HOST START "has an X-Original-URL whose host is none"
#define ELSEWHERE START "does not stand behind the path of forward_auth"

static char exact_path[] = "/_auth", subtree_path[] = "/_auth/";
static const struct config_route exact = {.path = exact_path, .respond = RESPOND_FORWARD_AUTH};
static const struct config_route subtree = {
    .path = subtree_path, .subtree = true, .respond = RESPOND_FORWARD_AUTH};

/* "name: value" lines as fields, which point into them. */
static struct fields fields_of(const char *lines, struct field items[FIELDS_MAX]) {
    struct span rest = span_of(lines), line;
    struct fields fields = {.items = items};
    while (span_next(&rest, '\n', &line)) {
        if (line.len == 0) continue;
        ck_assert_uint_lt(fields.count, FIELDS_MAX);
        size_t colon = span_find(line, ':');
        items[fields.count++] =
            (struct field){span_until(line, colon), span_trim(span_from(line, colon + 1))};
    }
    return fields;
}

/* The asking request is GET /_auth, or behind the prefix what the case says. */
static bool find(const char *lines, const char *raw_target, struct original *ret,
                 struct refusal *refusal) {
    struct field items[FIELDS_MAX];
    struct asking asking = {.route = raw_target ? &subtree : &exact,
                            .method = S("GET"),
                            .host = S("gate.example"),
                            .raw_target = raw_target ? span_of(raw_target) : S("/_auth"),
                            .fields = fields_of(lines, items)};
    return forward_auth_original(&asking, ret, refusal);
}

static void check_span(struct span span, const char *expected, const char *lines) {
    ck_assert_msg(expected ? span_equal_text(span, expected) : span_is_absent(span),
                  "%.*s, not %s, of:\n%s", SPAN_PRINTF(span), expected, lines);
}

/* --- what is found --------------------------------------------------------------------------- */

TEST(the_original_is_found_where_each_proxy_says_it) {
    static const struct {
        const char *lines;
        const char *raw_target; /* NULL: the path says nothing */
        const char *method, *host, *target;
    } rows[] = {
        /* Traefik, Caddy */
        {"X-Forwarded-Method: POST\nX-Forwarded-Host: a\nX-Forwarded-Uri: /x?y=1\n", NULL, "POST",
         "a", "/x?y=1"},
        {"x-forwarded-uri: /x\nX-FORWARDED-METHOD: GET\n", NULL, "GET", "gate.example", "/x"},
        /* nginx, ingress-nginx */
        {"X-Original-Method: PUT\nX-Original-URI: /x\n", NULL, "PUT", "gate.example", "/x"},
        {"X-Original-Method: GET\nX-Original-URL: https://a:8443/x?y\n", NULL, "GET", "a:8443",
         "/x?y"},
        {"X-Original-Method: GET\nX-Original-URL: http://[::1]/\n", NULL, "GET", "[::1]", "/"},
        /* Envoy */
        {"", "/_auth/x?y=/z", "GET", "gate.example", "/x?y=/z"},
        {"", "/_auth/", "GET", "gate.example", "/"},
        {"", "/_auth//x", "GET", "gate.example", "//x"},
        {"", "/_auth/../x", "GET", "gate.example", "/../x"},
        /* one says the method, another one the path */
        {"X-Original-Method: GET\nX-Forwarded-Uri: /x\n", NULL, "GET", "gate.example", "/x"},
        /* several that agree */
        {"X-Forwarded-Method: GET\nX-Original-Method: GET\nX-Original-URI: /x\n"
         "X-Original-URL: http://a/x\nX-Forwarded-Uri: /x\nX-Forwarded-Host: a\n",
         NULL, "GET", "a", "/x"},
        {"X-Original-Method: GET\nX-Original-URI: /x\n", "/_auth/x", "GET", "gate.example", "/x"},
        /* as it came: normalising, and refusing what is no path, is the target's work */
        {"X-Original-Method: get\nX-Original-URI: /public/../%2e#\\x\n", NULL, "get",
         "gate.example", "/public/../%2e#\\x"},
        {"X-Original-Method: GET\nX-Original-URI: /a, /b\n", NULL, "GET", "gate.example", "/a, /b"},
        {"X-Original-Method: GET\nX-Original-URI:\n", NULL, "GET", "gate.example", ""},
        {"X-Original-Method: GET\nX-Original-URL: http://a\n", NULL, "GET", "a", ""},
        {"X-Original-Method: GET\nX-Original-URL: http:///x\n", NULL, "GET", "", "/x"},
        /* what only looks like it */
        {"X-Original-Method: GET\nX-Original-URI: /x\nX_Original_URI: /y\nX-Original-Uri2: /y\n"
         "X-Original: /y\nX-Rewrite-URL: /y\nX-HTTP-Method-Override: PUT\n",
         NULL, "GET", "gate.example", "/x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct original found;
        struct refusal refusal = {0};
        bool ok = find(rows[i].lines, rows[i].raw_target, &found, &refusal);
        ck_assert_msg(ok, "%s: %s", rows[i].lines, refusal.text);
        check_span(found.method, rows[i].method, rows[i].lines);
        check_span(found.host, rows[i].host, rows[i].lines);
        check_span(found.target, rows[i].target, rows[i].lines);
    }
}

TEST(nobody_needs_to_say_the_host) {
    struct field items[FIELDS_MAX];
    struct asking asking = {.route = &exact,
                            .method = S("GET"),
                            .host = SPAN_NONE,
                            .raw_target = S("/_auth"),
                            .fields =
                                fields_of("X-Original-Method: GET\nX-Original-URI: /x\n", items)};
    struct original found;
    struct refusal refusal;
    ck_assert(forward_auth_original(&asking, &found, &refusal));
    ck_assert(span_is_absent(found.host));
}

/* --- what is refused ------------------------------------------------------------------------- */

TEST(what_is_missing_repeated_or_contradictory_is_refused) {
    static const struct {
        const char *lines;
        const char *raw_target;
        const char *text;
    } rows[] = {
        /* missing: the asking request is no default for it */
        {"", NULL, NO_METHOD},
        {"X-Original-URI: /x\n", NULL, NO_METHOD},
        {"X-Forwarded-Uri: /x\nX-Forwarded-Host: a\n", NULL, NO_METHOD},
        {"X-Original-URL: http://a/x\n", NULL, NO_METHOD},
        {"X-Original-Method: GET\n", NULL, NO_PATH},
        {"X-Forwarded-Method: GET\nX-Forwarded-Host: a\n", NULL, NO_PATH},
        {"X-Original-Method: GET\nX_Original_URI: /x\n", NULL, NO_PATH},
        {"X-Original-Method: GET\nX-Rewrite-URL: /x\n", NULL, NO_PATH},
        /* repeated, also in agreement and in another spelling */
        {"X-Original-Method: GET\nX-Original-Method: GET\nX-Original-URI: /x\n", NULL, TWICE},
        {"X-Original-Method: GET\nX-Original-URI: /x\nx-original-uri: /x\n", NULL, TWICE},
        {"X-Forwarded-Uri: /x\nX-Forwarded-Method: GET\nX-Forwarded-Uri: /y\n", NULL, TWICE},
        {"X-Original-Method: GET\nX-Original-URL: http://a/\nX-Original-URL: http://a/\n", NULL,
         TWICE},
        {"X-Original-Method: GET\nX-Original-URI: /\nX-Forwarded-Host: a\nX-Forwarded-Host: a\n",
         NULL, TWICE},
        /* contradictory */
        {"X-Original-Method: GET\nX-Forwarded-Method: PUT\nX-Original-URI: /x\n", NULL, DIFFERS},
        {"X-Original-Method: GET\nX-Forwarded-Method: get\nX-Original-URI: /x\n", NULL, DIFFERS},
        {"X-Original-Method: GET\nX-Original-URI: /x\nX-Forwarded-Uri: /y\n", NULL, DIFFERS},
        {"X-Original-Method: GET\nX-Original-URI: /x\nX-Forwarded-Uri:\n", NULL, DIFFERS},
        {"X-Original-Method: GET\nX-Original-URI:\nX-Forwarded-Uri: /x\n", NULL, DIFFERS},
        {"X-Original-Method: GET\nX-Original-URI: /x\nX-Original-URL: http://a/x?\n", NULL,
         DIFFERS},
        {"X-Original-Method: GET\nX-Original-URL: http://a/x\nX-Forwarded-Host: b\n", NULL,
         DIFFERS},
        {"X-Original-URI: /x\n", "/_auth/y", DIFFERS},
        {"X-Original-Method: POST\n", "/_auth/y", DIFFERS},
        {"X-Forwarded-Uri: /y/\n", "/_auth/y", DIFFERS},
        /* methods */
        {"X-Original-Method:\nX-Original-URI: /x\n", NULL, BAD_METHOD},
        {"X-Original-Method: GET, PUT\nX-Original-URI: /x\n", NULL, BAD_METHOD},
        {"X-Original-Method: GET /x\nX-Original-URI: /x\n", NULL, BAD_METHOD},
        {"X-Original-Method: G\"T\nX-Original-URI: /x\n", NULL, BAD_METHOD},
        /* URLs */
        {"X-Original-Method: GET\nX-Original-URL: /x\n", NULL, NO_URL},
        {"X-Original-Method: GET\nX-Original-URL:\n", NULL, NO_URL},
        {"X-Original-Method: GET\nX-Original-URL: //a/x\n", NULL, NO_URL},
        {"X-Original-Method: GET\nX-Original-URL: http:/x\n", NULL, NO_URL},
        {"X-Original-Method: GET\nX-Original-URL: HTTP://a/x\n", NULL, NO_URL},
        {"X-Original-Method: GET\nX-Original-URL: ws://a/x\n", NULL, NO_URL},
        {"X-Original-Method: GET\nX-Original-URL: xhttp://a/x\n", NULL, NO_URL},
        /* nor may the Host that such a URL is made of bring a path */
        {"X-Original-Method: GET\nX-Original-URL: http://a?b/x\n", NULL, NO_HOST},
        {"X-Original-Method: GET\nX-Original-URL: http://a#/x\n", NULL, NO_HOST},
        {"X-Original-Method: GET\nX-Original-URL: http://b@a/x\n", NULL, NO_HOST},
        {"X-Original-Method: GET\nX-Original-URL: http://a\\b/x\n", NULL, NO_HOST},
        {"X-Original-Method: GET\nX-Original-URL: http://a?/b\nX-Original-URI: /b\n", NULL,
         NO_HOST},
        /* the prefix is the one that came, not one that it may be brought into */
        {"", "//_auth/x", ELSEWHERE},
        {"", "/x/../_auth/x", ELSEWHERE},
        {"", "/%5fauth/x", ELSEWHERE},
        {"", "/_auth", ELSEWHERE},
        {"", "/_AUTH/x", ELSEWHERE},
        {"X-Original-URI: /x\nX-Original-Method: GET\n", "/./_auth/x", ELSEWHERE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct original found = {S("m"), S("h"), S("t")};
        struct refusal refusal = {0};
        ck_assert_msg(!find(rows[i].lines, rows[i].raw_target, &found, &refusal), "taken:\n%s",
                      rows[i].lines);
        ck_assert_int_eq(refusal.reason, REASON_ORIGINAL);
        ck_assert_msg(strcmp(refusal.text, rows[i].text) == 0, "%s, of:\n%s", refusal.text,
                      rows[i].lines);
        /* Nothing half found is left for the caller. */
        ck_assert(span_equal_text(found.method, "m") && span_equal_text(found.target, "t"));
    }
}
