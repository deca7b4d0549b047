#include "server/keys/discovery.h"

#include <stdlib.h>

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

static struct config_issuer issuer_of(const char *url, bool insecure_http) {
    static char none[] = "";
    return (struct config_issuer){.issuer = (char *)(uintptr_t)url,
                                  .discovery = none,
                                  .jwks_uri = none,
                                  .jwks_file = none,
                                  .insecure_http = insecure_http};
}

TEST(a_good_document_gives_its_jwks_uri) {
    static const struct {
        const char *issuer, *document, *uri;
    } cases[] = {
        {"https://idp.example",
         "{\"issuer\":\"https://idp.example\",\"jwks_uri\":\"https://idp.example/jwks\"}",
         "https://idp.example/jwks"},
        {"https://idp.example/", /* another host is fine: the issuer vouches for it */
         "{\"jwks_uri\":\"https://keys.example:8443/k?v=1\",\"issuer\":\"https://idp.example/\","
         "\"x\":1}",
         "https://keys.example:8443/k?v=1"},
        {"http://127.0.0.1:9000",
         "{\"issuer\":\"http://127.0.0.1:9000\",\"jwks_uri\":\"http://127.0.0.1:9000/jwks\"}",
         "http://127.0.0.1:9000/jwks"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config_issuer issuer = issuer_of(cases[i].issuer, false);
        struct err_text err = {""};
        char *uri = NULL;
        ck_assert_msg(discovery_parse(span_of(cases[i].document), &issuer, &uri, &err) == 0, "%s",
                      err.text);
        ck_assert_str_eq(uri, cases[i].uri);
        free(uri);
    }
}

struct bad_document {
    struct span document;
    const char *why;
};

static void expect_refused(const char *url, bool insecure_http, const struct bad_document *cases,
                           size_t count) {
    struct config_issuer issuer = issuer_of(url, insecure_http);
    for (size_t i = 0; i < count; i++) {
        struct err_text err = {""};
        char *uri = NULL;
        int r = discovery_parse(cases[i].document, &issuer, &uri, &err);
        ck_assert_msg(r < 0 && !uri && strcmp(err.text, cases[i].why) == 0, "%.*s: %d %s",
                      SPAN_PRINTF(cases[i].document), r, err.text);
    }
}

#define NAMES(found, hint)                                                                         \
    "names the issuer \"" found "\" where \"https://idp.example/realms/main\" is configured" hint  \
    "; they must be equal to the letter"
#define WITH(issuer) S("{\"issuer\":\"" issuer "\",\"jwks_uri\":\"https://idp.example/jwks\"}")

TEST(f9_another_issuer_is_refused_and_a_near_miss_is_named) {
    static const struct bad_document cases[] = {
        {WITH("https://evil.example"), NAMES("https://evil.example", "")},
        {WITH("https://idp.example/realms/main/"),
         NAMES("https://idp.example/realms/main/", ": only a slash at the end differs")},
        {WITH("https://IDP.example/realms/main"),
         NAMES("https://IDP.example/realms/main", ": only upper and lower case differ")},
        {WITH("https://idp.example/realms/Main/"),
         NAMES("https://idp.example/realms/Main/", ": only upper and lower case differ")},
        {WITH("http://idp.example/realms/main"),
         NAMES("http://idp.example/realms/main", ": one is http, the other https")},
        {WITH("https://idp.example/realms/main/oauth2/default"),
         NAMES("https://idp.example/realms/main/oauth2/default",
               ": one is the organization's server, the other its custom server /oauth2/default")},
        {WITH("https://idp.example/realms/mai"), NAMES("https://idp.example/realms/mai", "")},
        {WITH("https://idp.example/realms/main2"), NAMES("https://idp.example/realms/main2", "")},
        {WITH(""), NAMES("", "")},
        {WITH("/"), NAMES("/", "")},
    };
    expect_refused("https://idp.example/realms/main", false, cases, ARRAY_LEN(cases));
}

TEST(f9_a_document_without_its_two_members_is_refused) {
    static const struct bad_document cases[] = {
        {S("{}"), "has no \"issuer\" that is a string"},
        {S("{\"issuer\":null}"), "has no \"issuer\" that is a string"},
        {S("{\"issuer\":[\"https://i\"]}"), "has no \"issuer\" that is a string"},
        {S("{\"issuer\":1,\"jwks_uri\":\"https://i/k\"}"), "has no \"issuer\" that is a string"},
        {S("{\"issuer\":\"https://i\"}"), "has no \"jwks_uri\" that is a string"},
        {S("{\"issuer\":\"https://i\",\"jwks_uri\":1}"), "has no \"jwks_uri\" that is a string"},
        {S("{\"issuer\":\"https://i\",\"jwks_uri\":null}"), "has no \"jwks_uri\" that is a string"},
        {S("[]"), "is not a JSON object"},
        {S("<html>"), "is not valid JSON (at byte 1)"},
        {S(""), "is empty"},
        {S("{\"issuer\":\"https://i\",\"issuer\":\"https://i\"}"),
         "names a member twice (at byte 30)"},
    };
    expect_refused("https://i", false, cases, ARRAY_LEN(cases));
}

#define NOT_HTTPS(uri)                                                                             \
    "has the \"jwks_uri\" \"" uri "\", which is not https; insecure_http: true would allow it"
#define KEYS(uri) S("{\"issuer\":\"https://i\",\"jwks_uri\":\"" uri "\"}")

TEST(f9_a_jwks_uri_that_is_not_https_is_refused) {
    static const struct bad_document cases[] = {
        {KEYS("http://i/k"), NOT_HTTPS("http://i/k")},
        {KEYS("HTTP://i/k"), "has a \"jwks_uri\" that must start with https:// (or http://)"},
        /* An https issuer that points to this machine has been tampered with. */
        {KEYS("http://127.0.0.1/k"), NOT_HTTPS("http://127.0.0.1/k")},
        {KEYS("http://localhost:9000/k"), NOT_HTTPS("http://localhost:9000/k")},
    };
    static const char *const other[] = {
        "file:///etc/passwd", "gopher://i/k", "ftp://i/k",    "data:,x", "//i/k", "/k", "",
        "javascript:x",       "https:",       "unix:///run/x"};
    expect_refused("https://i", false, cases, ARRAY_LEN(cases));

    struct config_issuer issuer = issuer_of("https://i", true); /* not even so */
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        struct err_text err = {""};
        char *uri = NULL;
        char *document = scratch_text("{\"issuer\":\"https://i\",\"jwks_uri\":\"%s\"}", other[i]);
        ck_assert_int_eq(discovery_parse(span_of(document), &issuer, &uri, &err), ERR_SYNTAX);
        ck_assert_msg(strncmp(err.text, "has a \"jwks_uri\" that ", 22) == 0, "%s: %s", other[i],
                      err.text);
        free(document);
    }
}

TEST(f9_a_jwks_uri_that_is_no_plain_url_is_refused) {
    static const char *const bad[] = {"https://",          "https://u:p@i/k",  "https://i/k#f",
                                      "https://i:0/k",     "https://i/k k",    "https://i:99999/k",
                                      "https://i\\r\\n/k", "https://\\u00e4/k"};
    struct config_issuer issuer = issuer_of("https://i", false);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err_text err = {""};
        char *uri = NULL;
        char *document = scratch_text("{\"issuer\":\"https://i\",\"jwks_uri\":\"%s\"}", bad[i]);
        ck_assert_int_eq(discovery_parse(span_of(document), &issuer, &uri, &err), ERR_SYNTAX);
        ck_assert_msg(strncmp(err.text, "has a \"jwks_uri\" that ", 22) == 0, "%s: %s", bad[i],
                      err.text);
        free(document);
    }
}

TEST(plain_http_is_for_this_machine_or_where_the_operator_says_so) {
    static const struct {
        const char *issuer;
        bool insecure;
        const char *url;
        bool allowed;
    } cases[] = {
        {"https://i.example", false, "http://i.example/k", false},
        {"https://i.example", false, "http://127.0.0.1/k", false},
        {"https://i.example", true, "http://i.example/k", true},
        {"http://127.0.0.1:9000", false, "http://127.0.0.1:9000/k", true},
        {"http://127.0.0.1:9000", false, "http://[::1]:9000/k", true},
        {"http://127.0.0.1:9000", false, "http://i.example/k", false},
        {"http://127.0.0.1:9000", false, "http://127.0.0.1.example/k", false},
        {"http://127.0.0.1:9000", true, "http://i.example/k", true},
        {"urn:issuer", false, "http://localhost/k", true},
        {"urn:issuer", false, "http://i.example/k", false},
        {"http://127.0.0.1:9000", false, "no url", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config_issuer issuer = issuer_of(cases[i].issuer, cases[i].insecure);
        ck_assert_msg(issuer_allows_http(&issuer, cases[i].url) == cases[i].allowed, "%s %s",
                      cases[i].issuer, cases[i].url);
    }
    /* What the configuration names itself was chosen by the operator, not by a document. */
    struct config_issuer issuer = issuer_of("https://i.example", false);
    char on_loopback[] = "http://127.0.0.1/k", elsewhere[] = "http://i.example/k";
    issuer.jwks_uri = on_loopback;
    ck_assert(issuer_allows_http(&issuer, on_loopback));
    issuer.jwks_uri = elsewhere;
    ck_assert(!issuer_allows_http(&issuer, elsewhere));
}

TEST(plain_http_to_this_machine_is_allowed_where_the_operator_wrote_that_very_url) {
    static const struct {
        const char *configured, *url;
        bool allowed;
    } cases[] = {
        {"http://127.0.0.1:9000/k", "http://127.0.0.1:9000/k", true},
        {"http://127.0.0.1:9000/k", "http://127.0.0.1:9000/k2", false},
        {"http://127.0.0.1:9000/k", "http://127.0.0.1:9001/k", false},
        {"http://i.example/k", "http://i.example/k", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int at = 0; at < 2; at++) {
            struct config_issuer issuer = issuer_of("https://i.example", false);
            char **where = at ? &issuer.jwks_uri : &issuer.discovery;
            *where = (char *)(uintptr_t)cases[i].configured;
            ck_assert_msg(issuer_allows_http(&issuer, cases[i].url) == cases[i].allowed, "%s",
                          cases[i].url);
        }
}

TEST(a_near_miss_is_named_whichever_side_is_configured) {
    static const struct {
        struct span a, b;
        const char *hint;
    } cases[] = {
        {S("https://i"), S("https://i/"), "only a slash at the end differs"},
        {S("https://i//"), S("https://i"), "only a slash at the end differs"},
        {S("https://i"), S("https://I"), "only upper and lower case differ"},
        {S("https://i"), S("HTTPS://I/"), "only upper and lower case differ"},
        {S("https://i"), S("http://i"), "one is http, the other https"},
        {S("https://i/"), S("http://i"), "one is http, the other https"},
        {S("https://i"), S("https://i/oauth2/default"),
         "one is the organization's server, the other its custom server /oauth2/default"},
        {S("https://i"), S("https://j"), ""},
        {S("https://i"), S("http://j"), ""},
        {S("https://i"), S("https://i/oauth2/other"), ""},
        {S("https://i"), S("https://j/oauth2/default"), ""},
        {S("https://i"), S("https://i.oauth2/default"), ""},
        {S("https://i"), S(""), ""},
        {S("/"), S("//"), ""},
        {S("a"), S("bb"), ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_str_eq(issuer_near_miss(cases[i].a, cases[i].b), cases[i].hint);
        ck_assert_str_eq(issuer_near_miss(cases[i].b, cases[i].a), cases[i].hint);
    }
}
