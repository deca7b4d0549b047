/*
 * How clients that know nothing find out where tokens come from (RFC 9728): the documents, where
 * they stand, and that each refusal names the right one. All of it is the operator's word; what a
 * client says chooses at most.
 */
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "tests/integration/proxied.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define ANSWER_MS 5000
#define KNOWN "/.well-known/oauth-protected-resource"
#define API "https://api.example"
#define SERVERS "\"authorization_servers\":[\"" SCENE_ISSUER "\"]"
#define HEADER ",\"bearer_methods_supported\":[\"header\"]"
#define ROOT "{\"resource\":\"" API "\"," SERVERS HEADER "}"
#define SLASH                                                                                      \
    "{\"resource\":\"" API "/files/\",\"resource_name\":\"Files \\\"of\\\" all\"," SERVERS         \
    ",\"scopes_supported\":[\"files:read\",\"files:write\"]" HEADER                                \
    ",\"resource_documentation\":\"https://docs.example/files\"}"
#define ORDERS                                                                                     \
    "{\"resource\":\"" API ":8443/orders\",\"authorization_servers\":[\"" SCENE_ISSUER             \
    "\"]" HEADER "}"
#define DEEP "{\"resource\":\"" API "/orders/deep\"," SERVERS HEADER "}"
#define OTHER "{\"resource\":\"https://other.example/orders\"," SERVERS HEADER "}"

#define RESOURCES                                                                                  \
    "resources:\n"                                                                                 \
    "  - {resource: \"" API "\"}\n"                                                                \
    "  - resource: " API "/files/\n"                                                               \
    "    name: 'Files \"of\" all'\n"                                                               \
    "    documentation: https://docs.example/files\n"                                              \
    "    scopes: [files:read, files:write]\n"                                                      \
    "  - {resource: \"" API ":8443/orders\", authorization_servers: [\"" SCENE_ISSUER "\"]}\n"     \
    "  - {resource: \"" API "/orders/deep\"}\n"                                                    \
    "  - {resource: \"https://other.example/orders\"}\n"

#define ROUTES                                                                                     \
    "  - {path: /_auth, respond: forward_auth, anonymous: allow}\n"                                \
    "  - {path: /_envoy/*, respond: forward_auth, anonymous: allow}\n"                             \
    "  - {path: /*, respond: verdict, require: {scopes: [secret]}}\n"                              \
    "  - {path: /open/*, methods: [GET], respond: verdict, anonymous: allow}\n"

static const struct proxied_options all = {.rest = "trusted_proxies: [127.0.0.1]\n" RESOURCES,
                                           .routes = ROUTES};
/* Nothing but /files/ is a resource. */
static const struct proxied_options some = {.rest = "trusted_proxies: [127.0.0.1]\n"
                                                    "resources: [{resource: \"" API
                                                    "/files/\"}, {resource: \"" API "/orders\"}]\n",
                                            .routes = ROUTES};

/* line: method and target; headers: Host included. */
static struct response ask(const struct proxied *proxied, const char *line, const char *headers) {
    struct client *client = client_connect(proxied->scene.daemon->port);
    struct response response;
    ck_assert_ptr_nonnull(client);
    ck_assert(client_sendf(client, "%s HTTP/1.1\r\n%s\r\n", line, headers));
    bool to_head = strncmp(line, "HEAD ", 5) == 0;
    enum client_result result = to_head ? client_read_to_head(client, ANSWER_MS, &response)
                                        : client_read(client, ANSWER_MS, &response);
    ck_assert_msg(result == CLIENT_OK, "no answer: %s", line);
    client_free(client);
    return response;
}

/* --- documents ------------------------------------------------------------------------------- */

struct row {
    const char *line;
    const char *headers;
    int status;
    const char *body; /* NULL: any */
};

static void check_documents(const struct proxied *proxied, const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct response response = ask(proxied, rows[i].line, rows[i].headers);
        ck_assert_msg(response.status == rows[i].status, "%s %s: %d: %s", rows[i].line,
                      rows[i].headers, response.status, response.body);
        if (rows[i].body)
            ck_assert_msg(strcmp(response.body, rows[i].body) == 0, "%s %s: %s", rows[i].line,
                          rows[i].headers, response.body);
        client_response_done(&response);
    }
}

TEST(each_resource_is_described_between_its_host_and_its_path) {
    static const struct row rows[] = {
        {"GET " KNOWN, "Host: api.example\r\n", 200, ROOT},
        {"GET " KNOWN "?x=y", "Host: api.example\r\n", 200, ROOT},
        {"GET /.well-known/x/../%6Fauth-protected-resource", "Host: api.example\r\n", 200, ROOT},
        {"GET " KNOWN "/files/", "Host: api.example\r\n", 200, SLASH},
        {"GET " KNOWN "/orders", "Host: api.example\r\n", 200, ORDERS},
        {"GET " KNOWN "/orders", "Host: API.example.:443\r\n", 200, ORDERS},
        {"GET " KNOWN "/orders", "Host: other.example\r\n", 200, OTHER},
        {"GET " KNOWN "/orders", "Host: Other.Example.:8443\r\n", 200, OTHER},
        {"GET " KNOWN "/orders/deep", "Host: api.example\r\n", 200, DEEP},
        {"HEAD " KNOWN, "Host: api.example\r\n", 200, ""},
        /* what describes nothing is a path as any other */
        {"GET " KNOWN "/", "Host: api.example\r\n", 401, NULL},
        {"GET " KNOWN "/files", "Host: api.example\r\n", 401, NULL},
        {"GET " KNOWN "/orders/", "Host: api.example\r\n", 401, NULL},
        {"GET " KNOWN "/ORDERS", "Host: api.example\r\n", 401, NULL},
        {"GET " KNOWN "/orders/1", "Host: api.example\r\n", 401, NULL},
        {"GET " KNOWN "s", "Host: api.example\r\n", 401, NULL},
        {"GET /orders" KNOWN, "Host: api.example\r\n", 401, NULL},
        {"GET /.well-known/oauth-authorization-server", "Host: api.example\r\n", 401, NULL},
    };
    struct proxied proxied = proxied_start(&all);
    check_documents(&proxied, rows, ARRAY_LEN(rows));
    proxied_end(&proxied);
}

TEST(a_document_is_for_everybody_and_for_reading) {
    struct proxied proxied = proxied_start(&all);
    static const char *const headers[] = {
        "Host: api.example\r\n",
        "Host: api.example\r\nAuthorization: Bearer nonsense\r\n",
        "Host: api.example\r\nAuthorization: Basic eDp5\r\n",
        "Host: api.example\r\nOrigin: https://evil.example\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        struct response response = ask(&proxied, "GET " KNOWN, headers[i]);
        ck_assert_msg(response.status == 200, "%s: %d", headers[i], response.status);
        ck_assert_str_eq(response.body, ROOT);
        ck_assert(span_equal_text(response_header(&response, "Content-Type"), "application/json"));
        ck_assert(span_equal_text(response_header(&response, "Access-Control-Allow-Origin"), "*"));
        ck_assert_int_eq(response_header_count(&response, "WWW-Authenticate"), 0);
        client_response_done(&response);
    }
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        char *line = scratch_text("%s " KNOWN "/orders", methods[i]);
        struct response response = ask(&proxied, line, headers[0]);
        ck_assert_msg(response.status == 405, "%s: %d", line, response.status);
        ck_assert(span_equal_text(response_header(&response, "Allow"), "GET, HEAD"));
        client_response_done(&response);
        free(line);
    }
    proxied_end(&proxied);
}

/* Whatever is said about host, scheme or path: the same bytes, head (but for its date) and body. */
TEST(nothing_that_a_client_says_gets_into_a_document_or_a_challenge) {
    static const char *const said[] = {
        "Host: evil.example\r\n",
        "Host: api.example:666\r\n",
        "Host: api.example\r\nX-Forwarded-Host: evil.example\r\n",
        "Host: api.example\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 666\r\n",
        "Host: api.example\r\nForwarded: host=evil.example;proto=http\r\n",
        "Host: api.example\r\nX-Original-Host: evil.example\r\nX-Host: evil.example\r\n",
        "Host: api.example\r\nX-Original-URL: https://evil.example/x\r\n",
        "Host: api.example\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-Uri: /evil\r\n",
    };
    static const char *const lines[] = {"GET " KNOWN "/orders", "GET " KNOWN "/files/",
                                        "GET /orders/1", "GET /else"};
    struct proxied proxied = proxied_start(&all);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct response good = ask(&proxied, lines[i], "Host: api.example\r\n");
        for (size_t k = 0; k < ARRAY_LEN(said); k++) {
            struct response other = ask(&proxied, lines[i], said[k]);
            char *good_head = strstr(good.head, "Content-Type"),
                 *head = strstr(other.head, "Content-Type");
            ck_assert_int_eq(other.status, good.status);
            ck_assert_str_eq(other.body, good.body);
            ck_assert_msg(good_head && head && strcmp(good_head, head) == 0, "%s\n%s: %s", lines[i],
                          said[k], other.head);
            ck_assert_ptr_null(strstr(other.head, "evil"));
            client_response_done(&other);
        }
        client_response_done(&good);
    }
    proxied_end(&proxied);
}

TEST(a_document_is_no_verdict_for_a_proxy_that_asks_by_the_path) {
    static const struct row rows[] = {
        {"GET /_envoy/../.well-known/oauth-protected-resource", "Host: api.example\r\n", 400, NULL},
        {"GET /_envoy/x/../../.well-known/oauth-protected-resource/orders", "Host: api.example\r\n",
         400, NULL},
        {"GET /_envoy/.." KNOWN "/files/", "Host: api.example\r\n", 400, NULL},
        /* asked about in an honest way it is a path as any other */
        {"GET /_envoy" KNOWN, "Host: api.example\r\n", 401, NULL},
        {"GET /_auth",
         "Host: api.example\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Uri: " KNOWN "\r\n", 401,
         NULL},
    };
    struct proxied proxied = proxied_start(&all);
    check_documents(&proxied, rows, ARRAY_LEN(rows));
    proxied_end(&proxied);
}

/* --- refusals -------------------------------------------------------------------------------- */

#define ABOUT(method, host, path)                                                                  \
    "Host: gate\r\nX-Forwarded-Method: " method "\r\nX-Forwarded-Host: " host                      \
    "\r\nX-Forwarded-Uri: " path "\r\n"
#define IN(url) ", resource_metadata=\"" url "\""
#define IN_ORDERS IN(API ":8443" KNOWN "/orders")
#define BAD_TOKEN                                                                                  \
    "error=\"invalid_token\", error_description=\"the token is no JWT: it does not have three "    \
    "parts\""

struct refusal_row {
    const char *line;
    const char *headers;
    const char *authorization; /* NULL: none; "": the scene's token */
    int status;
    const char *metadata; /* as the challenge ends; NULL: it names none; "-": there is none */
};

static void check_refusals(const struct proxied *proxied, const struct refusal_row *rows,
                           size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct refusal_row *row = &rows[i];
        const char *value = row->authorization;
        char *headers = scratch_text("%s%s%s%s%s", row->headers, value ? "Authorization: " : "",
                                     value && !*value ? "Bearer " : "",
                                     value && !*value ? proxied->scene.token
                                     : value          ? value
                                                      : "",
                                     value ? "\r\n" : "");
        struct response response = ask(proxied, row->line, headers);
        struct span challenge = response_header(&response, "WWW-Authenticate");
        ck_assert_msg(response.status == row->status, "row %zu: %d: %s", i, response.status,
                      response.body);
        bool any = row->metadata && strcmp(row->metadata, "-") != 0;
        ck_assert_msg(!challenge.ptr == (row->metadata && !any), "row %zu: %s", i, response.head);
        if (any) {
            size_t len = strlen(row->metadata);
            ck_assert_msg(
                challenge.len > len &&
                    span_equal_text(span_from(challenge, challenge.len - len), row->metadata),
                "row %zu: %s", i, response.head);
        } else if (challenge.ptr) {
            ck_assert_msg(!strstr(response.head, "resource_metadata"), "row %zu: %s", i,
                          response.head);
        }
        client_response_done(&response);
        free(headers);
    }
}

#define HOST "Host: api.example\r\n"

TEST(each_challenge_names_the_metadata_of_the_resource_it_is_about) {
    static const struct refusal_row rows[] = {
        {"GET /orders", HOST, NULL, 401, IN_ORDERS},
        {"GET /orders/1", HOST, NULL, 401, IN_ORDERS},
        {"GET /orders/", HOST, "Bearer nonsense", 401, IN_ORDERS},
        {"GET /orders/1", HOST, "Basic eDp5", 401, IN_ORDERS},
        {"GET /orders/1", HOST, "Bearer a b", 400, IN_ORDERS},
        {"GET /orders/1", HOST, "", 403, IN_ORDERS},
        {"HEAD /orders/1", HOST, NULL, 401, IN_ORDERS},
        {"GET //orders///1", HOST, NULL, 401, IN_ORDERS},
        {"GET /x/../orders/1", HOST, NULL, 401, IN_ORDERS},
        {"GET /%6Frders/1", HOST, NULL, 401, IN_ORDERS},
        {"GET /orders/deep", HOST, NULL, 401, IN(API KNOWN "/orders/deep")},
        {"GET /orders/deep/er", HOST, NULL, 401, IN(API KNOWN "/orders/deep")},
        {"GET /orders/deeper", HOST, NULL, 401, IN_ORDERS},
        {"GET /orders2", HOST, NULL, 401, IN(API KNOWN)},
        {"GET /files", HOST, NULL, 401, IN(API KNOWN)},
        {"GET /files/", HOST, NULL, 401, IN(API KNOWN "/files/")},
        {"GET /files/a/b", HOST, "", 403, IN(API KNOWN "/files/")},
        {"GET /", HOST, NULL, 401, IN(API KNOWN)},
        {"GET /orders/1", "Host: other.example\r\n", NULL, 401,
         IN("https://other.example" KNOWN "/orders")},
        {"GET /orders/1", "Host: OTHER.example.:8443\r\n", NULL, 401,
         IN("https://other.example" KNOWN "/orders")},
        /* a resource of this host goes before a longer path of another one's */
        {"GET /orders/deep", "Host: other.example\r\n", NULL, 401,
         IN("https://other.example" KNOWN "/orders")},
        {"GET /open/x", HOST, "Bearer nonsense", 401, IN(API KNOWN)},
        /* where no token would help nothing is said */
        {"POST /open/x", HOST, NULL, 405, "-"},
        {"GET /orders/%2F", HOST, NULL, 400, "-"},
    };
    struct proxied proxied = proxied_start(&all);
    check_refusals(&proxied, rows, ARRAY_LEN(rows));
    proxied_end(&proxied);
}

TEST(outside_of_every_resource_a_challenge_names_none) {
    static const struct refusal_row rows[] = {
        {"GET /orders/1", HOST, NULL, 401, IN(API KNOWN "/orders")},
        {"GET /files/1", HOST, NULL, 401, IN(API KNOWN "/files/")},
        {"GET /files", HOST, NULL, 401, NULL},
        {"GET /else", HOST, NULL, 401, NULL},
        {"GET /else", HOST, "Bearer nonsense", 401, NULL},
        {"GET /else", HOST, "Bearer a b", 400, NULL},
        {"GET /else", HOST, "", 403, NULL},
        {"GET /ordersx", HOST, NULL, 401, NULL},
        {"GET " KNOWN, HOST, NULL, 401, NULL},
    };
    struct proxied proxied = proxied_start(&some);
    check_refusals(&proxied, rows, ARRAY_LEN(rows));
    proxied_end(&proxied);
}

TEST(another_proxy_is_told_the_metadata_of_the_request_it_asks_about) {
    static const struct refusal_row rows[] = {
        {"GET /_auth", ABOUT("GET", "api.example", "/orders/1"), NULL, 401, IN_ORDERS},
        {"GET /_auth", ABOUT("GET", "api.example", "/orders/1?x=/files/"), "Bearer nonsense", 401,
         IN_ORDERS},
        {"GET /_auth", ABOUT("PUT", "api.example", "/files/1"), "", 403, IN(API KNOWN "/files/")},
        {"GET /_auth", ABOUT("GET", "api.example", "/orders/1"), "Bearer a b", 400, IN_ORDERS},
        {"GET /_auth", ABOUT("GET", "other.example", "/orders/1"), NULL, 401,
         IN("https://other.example" KNOWN "/orders")},
        {"GET /_auth", ABOUT("GET", "evil.example", "/orders/1"), NULL, 401, IN_ORDERS},
        {"GET /_envoy/orders/1", HOST, NULL, 401, IN_ORDERS},
        {"GET /_envoy/files/1", "Host: other.example\r\n", "", 403, IN(API KNOWN "/files/")},
    };
    struct proxied proxied = proxied_start(&all);
    check_refusals(&proxied, rows, ARRAY_LEN(rows));
    proxied_end(&proxied);
}
