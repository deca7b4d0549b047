/*
 * What a reply tells besides its document, and which proxy a fetch takes. That fetches are safe is
 * tested where keys are fetched.
 */
#include "common/fetch.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/certificate.h"
#include "tests/support/issuer.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

/* --- the proxy ------------------------------------------------------------------------------- */

static const char *const variables[] = {"https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY",
                                        "all_proxy",   "ALL_PROXY",   "no_proxy",   "NO_PROXY"};

static void clear_environment(void) {
    for (size_t i = 0; i < ARRAY_LEN(variables); i++) unsetenv(variables[i]);
}

struct proxy_row {
    const char *url;
    const char *environment[4][2];
    const char *proxy, *no_proxy; /* settings; NULL: "" */
    const char *found;            /* its URL; "" = none */
    const char *variable;
    bool excluded, unusable;
};

static void check_proxy(const struct proxy_row *row) {
    struct fetch_settings settings = {.ca_file = "",
                                      .proxy = row->proxy ? row->proxy : "",
                                      .no_proxy = row->no_proxy ? row->no_proxy : ""};
    struct fetch_proxy found;

    clear_environment();
    for (size_t i = 0; i < 4 && row->environment[i][0]; i++)
        setenv(row->environment[i][0], row->environment[i][1], 1);
    ck_assert_int_eq(fetch_find_proxy(&settings, row->url, &found), 0);
    ck_assert_msg(strcmp(found.url, row->found) == 0, "%s: %s", row->found, found.url);
    const char *variable = found.variable ? found.variable : "", *expected = row->variable;
    ck_assert_msg(strcmp(variable, expected ? expected : "") == 0, "%s: %s", row->found, variable);
    ck_assert_msg(found.excluded == row->excluded && found.unusable == row->unusable,
                  "%s for %s: excluded %d, unusable %d", row->found, row->url, found.excluded,
                  found.unusable);
}

TEST(the_proxy_is_the_one_that_libcurl_takes) {
    static const struct proxy_row rows[] = {
        {.url = "https://idp.example/", .found = ""},
        {.url = "https://idp.example/", .proxy = "http://p:3128", .found = "http://p:3128"},
        {.url = "https://idp.example/",
         .environment = {{"https_proxy", "http://a:1"}, {"all_proxy", "http://b:2"}},
         .found = "http://a:1",
         .variable = "https_proxy"},
        {.url = "https://idp.example/",
         .environment = {{"https_proxy", "http://a:1"}},
         .proxy = "http://own:2",
         .found = "http://own:2"},
        {.url = "https://idp.example/",
         .environment = {{"https_proxy", ""}, {"HTTPS_PROXY", "http://a:1"}},
         .found = "http://a:1",
         .variable = "HTTPS_PROXY"},
        {.url = "http://idp.example/",
         .environment = {{"https_proxy", "http://a:1"}, {"HTTP_PROXY", "http://evil:2"}},
         .found = ""},
        {.url = "http://idp.example/", .environment = {{"HTTPS_PROXY", "http://a:1"}}, .found = ""},
        {.url = "http://idp.example/",
         .environment = {{"http_proxy", "a:1"}},
         .found = "http://a:1",
         .variable = "http_proxy"},
        {.url = "https://idp.example/",
         .environment = {{"http_proxy", "http://a:1"}, {"ALL_PROXY", "socks5h://b"}},
         .found = "socks5h://b:1080",
         .variable = "ALL_PROXY"},
        {.url = "https://[::1]:444/", .proxy = "http://127.0.0.1:1", .found = "http://127.0.0.1:1"},
        {.url = "https://idp.example/", .proxy = "http://[::1]:1", .found = "http://[::1]:1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) check_proxy(&rows[i]);
}

TEST(no_proxy_keeps_hosts_out_as_libcurl_reads_it) {
    static const struct proxy_row rows[] = {
        {.url = "https://idp.example/",
         .proxy = "http://p:1",
         .no_proxy = "idp.example",
         .found = "http://p:1",
         .excluded = true},
        {.url = "https://a.idp.example/",
         .proxy = "http://p:1",
         .no_proxy = "x,.idp.example",
         .found = "http://p:1",
         .excluded = true},
        {.url = "https://notidp.example/",
         .proxy = "http://p:1",
         .no_proxy = "idp.example",
         .found = "http://p:1"},
        {.url = "https://10.1.2.3/",
         .proxy = "http://p:1",
         .no_proxy = "10.0.0.0/8",
         .found = "http://p:1",
         .excluded = true},
        {.url = "https://[fd00::1]:8443/",
         .proxy = "http://p:1",
         .no_proxy = "fd00::1",
         .found = "http://p:1",
         .excluded = true},
        {.url = "https://idp.example/",
         .environment = {{"https_proxy", "http://p:1"}, {"NO_PROXY", "*"}},
         .found = "http://p:1",
         .variable = "https_proxy",
         .excluded = true},
        {.url = "https://idp.example/", /* the setting stands in for the variable */
         .environment = {{"https_proxy", "http://p:1"}, {"no_proxy", "idp.example"}},
         .no_proxy = "other.example",
         .found = "http://p:1",
         .variable = "https_proxy"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) check_proxy(&rows[i]);
}

TEST(credentials_of_a_proxy_stay_behind) {
    static const struct proxy_row rows[] = {
        {.url = "https://idp.example/",
         .environment = {{"https_proxy", "http://user:secret@p:1"}},
         .found = "http://***@p:1",
         .variable = "https_proxy"},
        {.url = "https://idp.example/",
         .environment = {{"https_proxy", "user:secret@p:1"}},
         .found = "http://***@p:1",
         .variable = "https_proxy"},
        {.url = "https://idp.example/",
         .environment = {{"https_proxy", "http://:secret@p:1"}},
         .found = "http://***@p:1",
         .variable = "https_proxy"},
        {.url = "https://idp.example/",
         .environment = {{"https_proxy", "odd://user:secret@p:1"}},
         .found = "odd://***@p:1",
         .variable = "https_proxy",
         .unusable = true},
        {.url = "https://idp.example/",
         .environment = {{"https_proxy", "http://us er:secret@p:1"}},
         .found = "(no URL)",
         .variable = "https_proxy",
         .unusable = true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) check_proxy(&rows[i]);
}

/* --- replies --------------------------------------------------------------------------------- */

struct seen {
    bool done, inspected;
    struct fetch_inspection inspection;
    long status;
    int64_t date;
    char error[300], redirect[300], type[100];
};

static void note(void *argument, const struct fetch_reply *reply) {
    struct seen *seen = argument;
    seen->done = true;
    seen->inspected = reply->inspection != NULL;
    if (reply->inspection) seen->inspection = *reply->inspection;
    seen->status = reply->status;
    seen->date = reply->date;
    snprintf(seen->error, sizeof seen->error, "%s", reply->error ? reply->error : "");
    snprintf(seen->redirect, sizeof seen->redirect, "%s", reply->redirect ? reply->redirect : "");
    snprintf(seen->type, sizeof seen->type, "%s", reply->content_type);
}

static struct seen fetch(const char *url, const struct fetch_settings *changes) {
    struct fetch_settings settings = {.ca_file = certificate_authority_file(),
                                      .proxy = "",
                                      .no_proxy = "",
                                      .connect_timeout_ms = 5000,
                                      .timeout_ms = 5000,
                                      .max_body = 10000,
                                      .inspect = changes->inspect};
    if (changes->ca_file) settings.ca_file = changes->ca_file;
    struct fetcher *fetcher = fetcher_new(&settings);
    struct seen seen = {0};
    ck_assert_int_eq(fetcher_start(fetcher, url, true, note, &seen), 0);
    while (!seen.done) fetcher_poll(fetcher, 100, -1);
    fetcher_free(fetcher);
    return seen;
}

TEST(a_reply_tells_date_type_and_where_a_redirect_wanted_to_go) {
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    static const struct {
        const char *headers;
        int64_t date;
        const char *type;
    } rows[] = {
        {"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html\r\n", 784111777,
         "text/html"},
        {"DATE:Sun, 06 Nov 1994 08:49:37 GMT\r\nAge: 10\r\n", 784111787, ""},
        {"Age: 10\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 784111787, ""},
        {"Date: yesterday, perhaps\r\n", -1, ""},
        {"Age: 10\r\n", -1, ""},
    };
    char *url = scratch_text("%s/x", issuer_url(issuer));
    clear_environment();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        issuer_set(
            issuer, "/x",
            &(struct issuer_behaviour){.headers = rows[i].headers, .body = SPAN_LITERAL("x")});
        struct seen seen = fetch(url, &(struct fetch_settings){0});
        ck_assert_msg(seen.date == rows[i].date && strcmp(seen.type, rows[i].type) == 0 &&
                          !seen.inspected && !*seen.redirect,
                      "row %zu: %ld %s %s", i, (long)seen.date, seen.type, seen.redirect);
    }
    issuer_set(
        issuer, "/x",
        &(struct issuer_behaviour){.status = 302, .headers = "Location: https://o.example/?q\r\n"});
    ck_assert_str_eq(fetch(url, &(struct fetch_settings){0}).redirect, "https://o.example/?q");
    free(url);
    issuer_stop(issuer);
}

TEST(an_error_never_quotes_the_credentials_of_a_proxy) {
    clear_environment();
    setenv("all_proxy", "odd://user:secret@p:1", 1);
    struct seen seen = fetch("http://127.0.0.1:1/", &(struct fetch_settings){0});
    ck_assert_msg(*seen.error && !strstr(seen.error, "secret"), "%s", seen.error);
    clear_environment();
}

TEST(an_inspection_changes_no_verdict) {
    static const struct {
        enum issuer_tls tls;
        enum fetch_step failed;
        enum chain_fault fault;
    } rows[] = {
        {ISSUER_TLS, FETCH_STEPS, CHAIN_FINE},
        {ISSUER_TLS_EXPIRED, FETCH_TLS, CHAIN_EXPIRED},
        {ISSUER_TLS_EARLY, FETCH_TLS, CHAIN_NOT_YET_VALID},
        {ISSUER_TLS_WRONG_NAME, FETCH_TLS, CHAIN_WRONG_HOST},
        {ISSUER_TLS_SELF_SIGNED, FETCH_TLS, CHAIN_SELF_SIGNED},
        {ISSUER_TLS_INSPECTED, FETCH_TLS, CHAIN_UNKNOWN_ROOT},
        {ISSUER_TLS_LACKING, FETCH_TLS, CHAIN_UNKNOWN_ISSUER},
        {ISSUER_TLS_OLD, FETCH_TLS, CHAIN_FINE},
    };
    clear_environment();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct issuer *issuer = issuer_start(rows[i].tls);
        char *url = scratch_text("%s/x", issuer_url(issuer));
        struct seen plain = fetch(url, &(struct fetch_settings){.inspect = false});
        struct seen seen = fetch(url, &(struct fetch_settings){.inspect = true});
        ck_assert_msg(!plain.inspected && seen.inspected && plain.status == seen.status &&
                          !*plain.error == !*seen.error,
                      "row %zu: %s / %s", i, plain.error, seen.error);
        ck_assert_msg(
            seen.inspection.failed == rows[i].failed && seen.inspection.peer.fault == rows[i].fault,
            "row %zu: step %d fault %d", i, seen.inspection.failed, seen.inspection.peer.fault);
        free(url);
        issuer_stop(issuer);
    }
}

TEST(a_ca_file_without_certificates_is_told_as_such) {
    struct issuer *issuer = issuer_start(ISSUER_TLS);
    char *folder = scratch_new(), *file = scratch_file(folder, "ca.pem", SPAN_LITERAL("no PEM\n"));
    clear_environment();
    struct seen seen =
        fetch(issuer_url(issuer), &(struct fetch_settings){.inspect = true, .ca_file = file});
    ck_assert(seen.inspection.no_trust && seen.inspection.failed == FETCH_TLS && *seen.error);
    free(file), free(folder);
    issuer_stop(issuer);
}
