#include "server/online/advice.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>

#include "tests/support/suite.h"

static struct chain chain_of(enum chain_fault fault, const char *issuer) {
    struct chain chain = {.version = "TLSv1.3",
                          .fault = fault,
                          .words = "odd",
                          .links = {{.subject = "CN=idp.example", .from = 2000, .until = 3000}},
                          .count = 1,
                          .shown = 1};
    snprintf(chain.links[0].issuer, sizeof chain.links[0].issuer, "%s", issuer);
    return chain;
}

TEST(inspectors_are_known_by_the_names_they_sign_with) {
    static const struct {
        const char *issuer, *name;
    } rows[] = {
        {"CN=Zscaler Intermediate Root CA (zscaler.net) (t),OU=Zscaler Inc.", "Zscaler"},
        {"CN=ca.eu.goskope.com", "Netskope"},
        {"CN=NETSKOPE root", "Netskope"},
        {"CN=FGT60F,OU=Certificate Authority,O=Fortinet", "Fortinet"},
        {"CN=Palo Alto Networks decrypt", "Palo Alto"},
        {"CN=Blue Coat ProxySG", "Blue Coat"},
        {"CN=Cisco Umbrella Root CA", "Cisco Umbrella"},
        {"CN=mitmproxy,O=mitmproxy", "mitmproxy"},
        {"CN=Sophos SSL CA", "Sophos"},
        {"O=Check Point Software", "Check Point"},
        {"CN=R3,O=Let's Encrypt,C=US", NULL},
        {"CN=Example Corp Root", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct chain chain = chain_of(CHAIN_UNKNOWN_ISSUER, rows[i].issuer);
        const char *name = advice_inspector(&chain);
        ck_assert_msg(name == rows[i].name ||
                          (name && rows[i].name && strcmp(name, rows[i].name) == 0),
                      "%s: %s", rows[i].issuer, name ? name : "none");
    }
    struct chain none = {.count = 0};
    ck_assert_ptr_null(advice_inspector(&none));
}

TEST(each_fault_of_a_chain_has_its_sentence_and_what_to_do) {
    static const struct {
        enum chain_fault fault;
        const char *why, *advice;
    } rows[] = {
        {CHAIN_EXPIRED,
         "the certificate of CN=idp.example expired at 1970-01-01T00:50:00Z, 10 min ago",
         "clock of this machine first, which says 1970-01-01T01:00:00Z"},
        {CHAIN_NOT_YET_VALID, "is not valid before 1970-01-01T00:33:20Z",
         "clock of this machine is probably wrong"},
        {CHAIN_SELF_SIGNED, "is self-signed, and not in the store", "fetch.ca_file"},
        {CHAIN_UNKNOWN_ROOT, "the chain ends in CN=idp.example, which is not in the store",
         "fetch.ca_file"},
        {CHAIN_UNKNOWN_ISSUER, "was issued by CN=Corp, which the server does not show",
         "CN=Corp is a private CA, or a firewall that inspects TLS"},
        {CHAIN_WRONG_HOST, "is for no host at all (it has no subjectAltName), not for idp.example",
         "use a name in the issuer's URL"},
        {CHAIN_OTHER, "is not accepted: odd", ""},
    };
    struct advice_trust trust = {.host = "idp.example", .store = "the store", .now = 3600};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct chain chain = chain_of(rows[i].fault, "CN=Corp");
        struct buf why = buf_make(4096), advice = buf_make(4096);
        advice_chain(&chain, &trust, &why, &advice);
        ck_assert_msg(strstr(buf_span(&why).ptr, rows[i].why) &&
                          strstr(buf_span(&advice).ptr, rows[i].advice) &&
                          (*rows[i].advice || advice.len == 0),
                      "row %zu: %s / %s", i, buf_span(&why).ptr, buf_span(&advice).ptr);
        buf_done(&why);
        buf_done(&advice);
    }
}

TEST(a_missing_intermediate_is_told_from_a_private_authority) {
    struct advice_trust trust = {.host = "idp.example", .store = "the store", .now = 3600};
    static const struct {
        size_t shown;
        bool tells_issuer, missing;
    } rows[] = {{1, true, true}, {1, false, false}, {2, true, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct chain chain = chain_of(CHAIN_UNKNOWN_ISSUER, "CN=Corp");
        struct buf why = buf_make(4096), advice = buf_make(4096);
        chain.shown = rows[i].shown;
        chain.tells_issuer = rows[i].tells_issuer;
        advice_chain(&chain, &trust, &why, &advice);
        bool missing = strstr(buf_span(&advice).ptr, "intermediate certificate is missing");
        ck_assert_msg(missing == rows[i].missing, "row %zu: %s", i, buf_span(&advice).ptr);
        buf_done(&why);
        buf_done(&advice);
    }
}

TEST(a_page_is_told_from_a_document) {
    static const struct {
        struct span body;
        const char *type;
        bool page;
        const char *title;
    } rows[] = {
        {SPAN_LITERAL("{\"issuer\":\"x\"}"), "application/json", false, ""},
        {SPAN_LITERAL(" {}"), "text/html", false, ""},
        {SPAN_LITERAL(""), "application/json", false, ""},
        {SPAN_LITERAL("not JSON"), "text/plain", false, ""},
        {SPAN_LITERAL(""), "text/html; charset=utf-8", true, ""},
        {SPAN_LITERAL("\xef\xbb\xbf \r\n<html>"), "", true, ""},
        {SPAN_LITERAL("<TITLE lang=en>  Sign\n\tin  </TITLE>"), "", true, "Sign in"},
        {SPAN_LITERAL("<title>cut"), "", true, "cut"},
        {SPAN_LITERAL("<title"), "", true, ""},
        {SPAN_LITERAL("Blocked"), "TEXT/HTML", true, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char title[ADVICE_TITLE_MAX];
        bool page = advice_is_page(rows[i].body, rows[i].type, title);
        ck_assert_msg(page == rows[i].page && strcmp(title, rows[i].title) == 0, "row %zu: %d '%s'",
                      i, page, title);
    }
    char large[1000], title[ADVICE_TITLE_MAX];
    memset(large, 'x', sizeof large);
    memcpy(large, "<title>", 7);
    ck_assert(advice_is_page((struct span){large, sizeof large}, "", title));
    ck_assert_uint_eq(strlen(title), ADVICE_TITLE_MAX - 1);
}

TEST(a_clock_is_judged_as_tokens_would_be) {
    static const struct {
        int64_t ahead, leeway, lifetime;
        enum outcome outcome;
        const char *why;
    } rows[] = {
        {0, 60, 0, OUTCOME_OK, "agrees with the issuer's"},
        {-1, 0, 0, OUTCOME_OK, "agrees with the issuer's"},
        {60, 60, 0, OUTCOME_OK, "this machine's is 1 min behind the issuer's; leeway is 60 s"},
        {-60, 60, 0, OUTCOME_OK, "this machine's is 1 min ahead of the issuer's; leeway is 60 s"},
        {61, 60, 0, OUTCOME_FAIL,
         "this machine's is 1 min 1 s behind the issuer's; leeway is 60 s, so new tokens are "
         "refused as issued in the future"},
        {-61, 60, 0, OUTCOME_WARN,
         "this machine's is 1 min 1 s ahead of the issuer's; leeway is 60 s, so tokens that live "
         "for 1 s or less are refused as expired"},
        {-359, 60, 0, OUTCOME_WARN, NULL},
        {-360, 60, 0, OUTCOME_FAIL, NULL},
        {-360, 60, 3600, OUTCOME_FAIL, NULL},
        {-119, 60, 60, OUTCOME_WARN, NULL},
        {-120, 60, 60, OUTCOME_FAIL, NULL},
        {2, 0, 0, OUTCOME_FAIL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf why = buf_make(500);
        enum outcome outcome = advice_clock(rows[i].ahead, rows[i].leeway, rows[i].lifetime, &why);
        ck_assert_msg(outcome == rows[i].outcome &&
                          (!rows[i].why || strcmp(buf_span(&why).ptr, rows[i].why) == 0),
                      "row %zu: %d %s", i, outcome, buf_span(&why).ptr);
        buf_done(&why);
    }
}

TEST(failures_on_the_way_are_told_apart) {
    ck_assert_ptr_nonnull(strstr(advice_name(EAI_AGAIN, false), "name server does not answer"));
    ck_assert_ptr_nonnull(strstr(advice_name(0, true), "name server does not answer"));
    ck_assert_ptr_nonnull(strstr(advice_name(EAI_NONAME, false), "does not exist"));
    ck_assert_ptr_nonnull(strstr(advice_connect(ECONNREFUSED, false), "nothing listens"));
    ck_assert_ptr_nonnull(strstr(advice_connect(ECONNREFUSED, true), "firewall drops"));
    ck_assert_ptr_nonnull(strstr(advice_connect(ENETUNREACH, false), "no way there"));
    ck_assert_str_eq(advice_connect(EINVAL, false), "");
    ck_assert_ptr_nonnull(strstr(advice_tunnel(407, false), "credentials"));
    ck_assert_ptr_nonnull(strstr(advice_tunnel(403, false), "forbids"));
    ck_assert_ptr_nonnull(strstr(advice_tunnel(502, false), "cannot reach"));
    ck_assert_ptr_nonnull(strstr(advice_tunnel(0, false), "no HTTP proxy"));
    ck_assert_ptr_nonnull(strstr(advice_status(404), "nothing at that URL"));
    ck_assert_ptr_nonnull(strstr(advice_status(503), "in trouble"));
    ck_assert_str_eq(advice_status(204), "");
    ck_assert_str_eq(advice_handshake("something new", false), "");
    ck_assert_ptr_nonnull(strstr(advice_handshake("something new", true), "nobody speaks TLS"));
}
