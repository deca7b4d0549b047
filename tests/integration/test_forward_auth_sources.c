/*
 * forward_auth asked by hand: each way to say which request is meant, and what may not be said; who
 * may ask; and that the answer is that of the request that is meant, with what its upstream is
 * told.
 */
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/base64url.h"
#include "common/clock.h"
#include "tests/support/issuer.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/support/upstream.h"

#define ANSWER_MS 5000
#define REALM "Bearer realm=\"bearerd\""
#define ALLOWED "{\"allowed\":true}"
#define UNAUTHORIZED                                                                               \
    "{\"error\":\"unauthorized\",\"error_description\":\"no Authorization header was sent\"}"
#define NO_ROUTE                                                                                   \
    "{\"error\":\"not_found\",\"error_description\":\"nothing is configured for this path\"}"
#define OTHER_METHOD                                                                               \
    "{\"error\":\"method_not_allowed\",\"error_description\":\"this path does not take that "      \
    "method\"}"
#define LACKS                                                                                      \
    REALM ", error=\"insufficient_scope\", error_description=\"the token lacks the scope "         \
          "'admin'\", scope=\"admin\""
#define NOT_TRUSTED                                                                                \
    "{\"error\":\"forbidden\",\"error_description\":\"only the addresses in trusted_proxies may "  \
    "ask about requests\"}"
#define ORIGINAL(what)                                                                             \
    "{\"error\":\"bad_request\",\"error_description\":\"the request that is asked about " what "\"}"
#define TARGET(what)                                                                               \
    "{\"error\":\"bad_request\",\"error_description\":\"the request target " what "\"}"

#define ROUTES                                                                                     \
    "routes:\n"                                                                                    \
    "  - {path: /_auth, respond: forward_auth, anonymous: allow}\n"                                \
    "  - {path: /_envoy/*, respond: forward_auth, anonymous: allow}\n"                             \
    "  - {path: /profile/, respond: profile}\n"                                                    \
    "  - {path: /public/*, respond: verdict, anonymous: allow}\n"                                  \
    "  - {path: /reading, respond: verdict, methods: [GET], anonymous: allow}\n"                   \
    "  - {path: /writing, respond: verdict, methods: [PUT, POST], anonymous: allow}\n"             \
    "  - {path: /admin/*, respond: verdict, require: {scopes: [admin]}}\n"

static const struct scene_options trusting = {.rest = "trusted_proxies: [127.0.0.1]\n" ROUTES};
static const struct scene_options trusting_another = {
    .rest = "trusted_proxies: [192.0.2.1, \"::1\"]\n" ROUTES};

/* One asking request. */
struct row {
    const char *line; /* method and target */
    const char *headers;
    bool token; /* the scene's: no scope admin */
    int status;
    const char *challenge;
    const char *body;
};

/* A fault of framing or path closes the connection; the others leave it open. */
static void check_row(const struct scene *scene, const struct row *row) {
    char *authorization =
        row->token ? scratch_text("Authorization: Bearer %s\r\n", scene->token) : strdup("");
    char *request = scratch_text("%s HTTP/1.1\r\nHost: api.example\r\n%s%s\r\n", row->line,
                                 row->headers, authorization);
    struct expected expected = {.status = row->status,
                                .challenge = row->challenge,
                                .body = row->body,
                                .close = row->status == 400 && !row->challenge};
    struct client *client = client_connect(scene->daemon->port);
    ck_assert_ptr_nonnull(client);
    scene_check(client, span_of(request), &expected);
    client_free(client);
    free(request);
    free(authorization);
}

static void check_rows(const struct scene_options *options, const struct row *rows, size_t count) {
    struct scene scene = scene_start(options);
    for (size_t i = 0; i < count; i++) check_row(&scene, &rows[i]);
    scene_end(&scene);
}

/* --- which request is meant ------------------------------------------------------------------ */

#define FORWARDED(method, uri)                                                                     \
    "X-Forwarded-Method: " method "\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: https\r\n"        \
    "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Uri: " uri "\r\n"
#define ORIGINAL_URI(method, uri) "X-Original-Method: " method "\r\nX-Original-URI: " uri "\r\n"
#define ORIGINAL_URL(method, url) "X-Original-Method: " method "\r\nX-Original-URL: " url "\r\n"
#define ASK "GET /_auth"

TEST(each_proxy_says_in_its_way_which_request_it_means) {
    static const struct row rows[] = {
        /* Traefik, Caddy */
        {ASK, FORWARDED("GET", "/public/a"), false, 200, NULL, ALLOWED},
        {ASK, FORWARDED("GET", "/admin/a?b"), false, 401, REALM, UNAUTHORIZED},
        {ASK, FORWARDED("GET", "/admin/a?b"), true, 403, LACKS, NULL},
        {ASK, FORWARDED("GET", "/unknown"), true, 404, NULL, NO_ROUTE},
        {ASK, FORWARDED("DELETE", "/reading"), true, 405, NULL, OTHER_METHOD},
        /* nginx, ingress-nginx */
        {ASK, ORIGINAL_URI("GET", "/public/a"), false, 200, NULL, ALLOWED},
        {ASK, ORIGINAL_URI("GET", "/admin/a?b"), false, 401, REALM, UNAUTHORIZED},
        {ASK, ORIGINAL_URI("PUT", "/reading"), false, 405, NULL, OTHER_METHOD},
        {ASK, ORIGINAL_URI("PUT", "/writing"), false, 200, NULL, ALLOWED},
        {ASK, ORIGINAL_URL("GET", "https://a:8443/public/a"), false, 200, NULL, ALLOWED},
        {ASK, ORIGINAL_URL("GET", "http://a/admin/a?b"), true, 403, LACKS, NULL},
        /* Envoy */
        {"GET /_envoy/public/a", "", false, 200, NULL, ALLOWED},
        {"GET /_envoy/admin/a?b", "", false, 401, REALM, UNAUTHORIZED},
        {"GET /_envoy/admin/a?b", "", true, 403, LACKS, NULL},
        {"PUT /_envoy/writing", "Content-Length: 0\r\n", false, 200, NULL, ALLOWED},
        {"PUT /_envoy/reading", "Content-Length: 0\r\n", false, 405, NULL, OTHER_METHOD},
        {"GET /_envoy/unknown", "", true, 404, NULL, NO_ROUTE},
        {"GET /_envoy/", "", true, 404, NULL, NO_ROUTE},
        /* The method of the question is none of the request that is meant. */
        {"POST /_auth", "Content-Length: 0\r\n" ORIGINAL_URI("GET", "/reading"), false, 200, NULL,
         ALLOWED},
        {"GET /_auth", ORIGINAL_URI("GET", "/writing"), false, 405, NULL, OTHER_METHOD},
        {"GET /_auth?path=/public/a", ORIGINAL_URI("GET", "/admin/a"), true, 403, LACKS, NULL},
        /* Nor is anything else that a client may have sent along. */
        {ASK,
         ORIGINAL_URI("GET", "/admin/a") "X_Original_URI: /public/a\r\nX-Rewrite-URL: /public/a\r\n"
                                         "X-HTTP-Method-Override: HEAD\r\nCookie: a=b\r\n",
         true, 403, LACKS, NULL},
    };
    check_rows(&trusting, rows, ARRAY_LEN(rows));
}

TEST(what_is_missing_repeated_or_contradictory_is_refused_over_the_wire) {
    static const struct row rows[] = {
        {ASK, ORIGINAL_URI("GET", "/public/a"), false, 200, NULL, ALLOWED},
        {ASK, "", true, 400, NULL, ORIGINAL("has no method")},
        {ASK, "X-Original-URI: /public/a\r\n", true, 400, NULL, ORIGINAL("has no method")},
        {ASK, "X-Original-Method: GET\r\n", true, 400, NULL, ORIGINAL("has no path")},
        {ASK, "X-Forwarded-Host: a\r\nX-Forwarded-Method: GET\r\n", true, 400, NULL,
         ORIGINAL("has no path")},
        {ASK, ORIGINAL_URI("GET", "/public/a") "X-Original-URI: /public/a\r\n", true, 400, NULL,
         ORIGINAL("is told twice")},
        {ASK, ORIGINAL_URI("GET", "/public/a") "x-original-METHOD: GET\r\n", true, 400, NULL,
         ORIGINAL("is told twice")},
        {ASK, ORIGINAL_URI("GET", "/public/a") FORWARDED("GET", "/public/b"), true, 400, NULL,
         ORIGINAL("is told in two ways that differ")},
        {ASK, ORIGINAL_URI("GET", "/public/a") FORWARDED("HEAD", "/public/a"), true, 400, NULL,
         ORIGINAL("is told in two ways that differ")},
        {ASK, ORIGINAL_URI("GET", "/public/a") "X-Original-URL: http://a/admin/a\r\n", true, 400,
         NULL, ORIGINAL("is told in two ways that differ")},
        {ASK, ORIGINAL_URI("GET", "/public/a") FORWARDED("GET", "/public/a"), false, 200, NULL,
         ALLOWED},
        {"GET /_envoy/public/a", "X-Forwarded-Uri: /admin/a\r\n", true, 400, NULL,
         ORIGINAL("is told in two ways that differ")},
        {"GET /_envoy/public/a", "X-Original-Method: PUT\r\n", true, 400, NULL,
         ORIGINAL("is told in two ways that differ")},
        {ASK, ORIGINAL_URI("GET, PUT", "/public/a"), true, 400, NULL, ORIGINAL("has a bad method")},
        {ASK, ORIGINAL_URI("", "/public/a"), true, 400, NULL, ORIGINAL("has a bad method")},
        {ASK, ORIGINAL_URL("GET", "/public/a"), true, 400, NULL,
         ORIGINAL("has an X-Original-URL that is no URL")},
    };
    check_rows(&trusting, rows, ARRAY_LEN(rows));
}

TEST(the_path_that_is_meant_is_normalised_as_any_other) {
    static const struct row rows[] = {
        {ASK, ORIGINAL_URI("GET", "/public/../admin/a"), true, 403, LACKS, NULL},
        {ASK, FORWARDED("GET", "/public/%2e%2e/admin/a"), true, 403, LACKS, NULL},
        {ASK, ORIGINAL_URL("GET", "http://a//admin/a"), true, 403, LACKS, NULL},
        {ASK, ORIGINAL_URI("GET", "/%61dmin/a"), true, 403, LACKS, NULL},
        {ASK, ORIGINAL_URI("GET", "/public/a?/../admin/"), true, 200, NULL, ALLOWED},
        {ASK, ORIGINAL_URI("GET", "/public/..%2fadmin/a"), true, 400, NULL,
         TARGET("has an escaped slash")},
        {ASK, FORWARDED("GET", "/public/a#b"), true, 400, NULL, TARGET("has a fragment ('#')")},
        {ASK, ORIGINAL_URI("GET", "/public/..;/admin/a"), true, 400, NULL,
         TARGET("has a dot segment with a parameter")},
        {ASK, ORIGINAL_URI("GET", "/../public/a"), true, 400, NULL,
         TARGET("climbs above the root")},
        {ASK, FORWARDED("GET", "/public/a, /public/b"), true, 400, NULL,
         TARGET("holds a character that no URL may hold")},
        {ASK, ORIGINAL_URI("GET", "http://a/public/a"), true, 400, NULL,
         TARGET("is not a path that starts with '/'")},
        {ASK, ORIGINAL_URI("GET", ""), true, 400, NULL,
         TARGET("is not a path that starts with '/'")},
        {ASK, ORIGINAL_URL("GET", "http://a"), true, 400, NULL,
         TARGET("is not a path that starts with '/'")},
        {"GET /_envoy//admin/a", "", true, 403, LACKS, NULL},
        {"GET /_envoy/public/../admin/a", "", true, 403, LACKS, NULL},
        {"GET /_envoy/public/%2e%2e/admin/a", "", true, 403, LACKS, NULL},
        {"GET /_envoy/public/..%2fadmin/a", "", true, 400, NULL, TARGET("has an escaped slash")},
    };
    check_rows(&trusting, rows, ARRAY_LEN(rows));
}

/* What Envoy asks about must not become a request of its own, however the path climbs. */
TEST(no_path_climbs_out_of_the_prefix) {
    static const char *const targets[] = {"/_envoy/../public/a", "/_envoy/%2e%2e/public/a",
                                          "/_envoy/public/../../public/a", "/_envoy/../_auth",
                                          "/_envoy/../profile/"};
    struct scene scene = scene_start(&trusting);
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        struct response response;
        int status = daemon_get(scene.daemon, targets[i], scene.token, &response);
        ck_assert_msg(status == 400, "%s: %d: %s", targets[i], status, response.body);
        client_response_done(&response);
    }
    scene_end(&scene);
}

/* A client that asks for the way to ask is asked about as well. */
TEST(no_question_is_about_a_question) {
    static const struct row rows[] = {
        {ASK, ORIGINAL_URI("GET", "/_auth"), true, 404, NULL, NO_ROUTE},
        {ASK, ORIGINAL_URI("GET", "/_envoy/public/a"), true, 404, NULL, NO_ROUTE},
        {ASK, FORWARDED("GET", "/public/../_auth"), true, 404, NULL, NO_ROUTE},
        {"GET /_envoy/_auth", "", true, 404, NULL, NO_ROUTE},
        {"GET /_envoy/_envoy/public/a", "", true, 404, NULL, NO_ROUTE},
    };
    check_rows(&trusting, rows, ARRAY_LEN(rows));
}

/* --- who asks -------------------------------------------------------------------------------- */

TEST(only_trusted_proxies_may_ask) {
    static const struct row rows[] = {
        {ASK, ORIGINAL_URI("GET", "/public/a"), false, 403, NULL, NOT_TRUSTED},
        {ASK, ORIGINAL_URI("GET", "/public/a"), true, 403, NULL, NOT_TRUSTED},
        {ASK, FORWARDED("GET", "/public/a"), true, 403, NULL, NOT_TRUSTED},
        {ASK, "", true, 403, NULL, NOT_TRUSTED},
        {ASK, "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n", true, 403, NULL,
         NOT_TRUSTED},
        {"GET /_envoy/public/a", "", true, 403, NULL, NOT_TRUSTED},
        {"PUT /_envoy/unknown", "Content-Length: 0\r\n", true, 403, NULL, NOT_TRUSTED},
        /* Its own requests are judged as anybody's. */
        {"GET /public/a", ORIGINAL_URI("GET", "/admin/a"), false, 200, NULL, ALLOWED},
        {"GET /admin/a", ORIGINAL_URI("GET", "/public/a") FORWARDED("GET", "/public/a"), false, 401,
         REALM, UNAUTHORIZED},
    };
    check_rows(&trusting_another, rows, ARRAY_LEN(rows));
}

TEST(a_trusted_proxy_may_be_named_later) {
    static const struct row asked = {ASK,    ORIGINAL_URI("GET", "/public/a"), false, 200, NULL,
                                     ALLOWED},
                            refused = {ASK,   ORIGINAL_URI("GET", "/public/a"),
                                       false, 403,
                                       NULL,  NOT_TRUSTED};
    struct scene scene = scene_start(&trusting_another);
    check_row(&scene, &refused);
    ck_assert(scene_reload(&scene, &trusting));
    check_row(&scene, &asked);
    ck_assert(scene_reload(&scene, &trusting_another));
    check_row(&scene, &refused);
    scene_end(&scene);
}

/* --- what is answered ------------------------------------------------------------------------ */

/* Ask about GET path on a kept connection; *ret must be freed. */
static void ask_about(struct client *client, const char *path, const char *token,
                      struct response *ret) {
    ck_assert(client_sendf(client,
                           "GET /_auth HTTP/1.1\r\nHost: h\r\nX-Original-Method: GET\r\n"
                           "X-Original-URI: %s\r\n%s%s\r\n\r\n",
                           path,
                           token ? "Authorization: Bearer " : "X-None: ", token ? token : ""));
    ck_assert_int_eq(client_read(client, ANSWER_MS, ret), CLIENT_OK);
}

static void check_header(const struct response *response, const char *name, const char *value) {
    ck_assert_msg(response_header_count(response, name) == (value ? 1 : 0), "%s in %s", name,
                  response->head);
    ck_assert_msg(!value || span_equal_text(response_header(response, name), value), "%s: %s", name,
                  response->head);
}

TEST(the_answer_tells_who_is_calling) {
    struct scene scene = scene_start(&trusting);
    struct client *client = client_connect(scene.daemon->port);
    struct response response;
    char *odd =
        scene_token("{\"sub\":\"a\\r\\nX-Auth-Roles: b\\u00e9%\",\"roles\":[\"r\",\"s t\"]}");

    ask_about(client, "/public/a", scene.token, &response);
    ck_assert_int_eq(response.status, 200);
    check_header(&response, "X-Auth-User", "alice@example.com");
    check_header(&response, "X-Auth-Subject", "alice");
    check_header(&response, "X-Auth-Issuer", SCENE_ISSUER);
    check_header(&response, "X-Auth-Scopes", "openid profile email");
    check_header(&response, "X-Auth-Roles", NULL);
    check_header(&response, "X-Auth-Assertion", NULL);
    check_header(&response, "Cache-Control", "no-store");
    client_response_done(&response);

    ask_about(client, "/public/a", odd, &response);
    ck_assert_int_eq(response.status, 200);
    check_header(&response, "X-Auth-Subject", "a%0D%0AX-Auth-Roles:%20b%C3%A9%25");
    check_header(&response, "X-Auth-Roles", "r s%20t");
    client_response_done(&response);

    ask_about(client, "/public/a", NULL, &response);
    ck_assert_int_eq(response.status, 200);
    check_header(&response, "X-Auth-User", NULL);
    check_header(&response, "X-Auth-Subject", NULL);
    client_response_done(&response);

    ask_about(client, "/admin/a", scene.token, &response);
    ck_assert_int_eq(response.status, 403);
    check_header(&response, "X-Auth-User", NULL);
    client_response_done(&response);

    free(odd);
    client_free(client);
    scene_end(&scene);
}

/* The payload of a JWT. Its signature is not looked at. */
static json_t *payload_of(struct span jwt) {
    struct span part = SPAN_NONE;
    size_t len;

    ck_assert(span_next(&jwt, '.', &part) && span_next(&jwt, '.', &part));
    unsigned char *bytes = malloc(base64url_decoded_max(part.len));
    ck_assert(bytes && base64url_decode(part, bytes, &len) == 0);
    json_t *payload = json_loadb((char *)bytes, len, 0, NULL);
    ck_assert_ptr_nonnull(payload);
    free(bytes);
    return payload;
}

static void check_claim(const json_t *payload, const char *name, const char *value) {
    const char *found = json_string_value(json_object_get(payload, name));
    ck_assert_msg(found && strcmp(found, value) == 0, "%s: %s", name, found);
}

static char *assertion_yaml(const struct upstream *upstream, const char *folder) {
    return scratch_text("trusted_proxies: [127.0.0.1]\n"
                        "state_directory: \"%s\"\n"
                        "upstreams:\n"
                        "  - {name: orders, targets: [\"%s\"], assertion: true}\n"
                        "  - {name: plain, targets: [\"%s\"]}\n" ROUTES
                        "  - {path: /orders/*, upstream: orders, anonymous: allow}\n"
                        "  - {path: /plain/*, upstream: plain, anonymous: allow}\n",
                        folder, upstream_target(upstream), upstream_target(upstream));
}

/* The header alone: where there is an assertion it is a good one about the caller. */
static void check_assertion(struct client *client, const char *path, const char *token,
                            bool expected) {
    struct response response;

    ask_about(client, path, token, &response);
    ck_assert_msg(response.status == 200, "%s: %d: %s", path, response.status, response.body);
    check_header(&response, "X-Auth-User", token ? "alice@example.com" : NULL);
    ck_assert_msg(response_header_count(&response, "X-Auth-Assertion") == expected, "%s: %s", path,
                  response.head);
    if (expected) {
        json_t *payload = payload_of(response_header(&response, "X-Auth-Assertion"));
        check_claim(payload, "aud", "orders");
        check_claim(payload, "sub", "alice");
        check_claim(payload, "iss", "bearerd");
        json_decref(payload);
    }
    client_response_done(&response);
}

TEST(the_assertion_is_in_the_answer_where_the_upstream_wants_it) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    char *folder = scratch_new(), *yaml = assertion_yaml(upstream, folder);
    struct scene scene = scene_start(&(struct scene_options){.rest = yaml});
    struct client *client = client_connect(scene.daemon->port);

    check_assertion(client, "/orders/1", scene.token, true);
    check_assertion(client, "/orders/1", scene.token, true);
    check_assertion(client, "/plain/1", scene.token, false);
    check_assertion(client, "/public/a", scene.token, false);
    check_assertion(client, "/orders/1", NULL, false);
    /* What is asked about is not passed on. */
    ck_assert_int_eq(upstream_count(upstream, UPSTREAM_CONNECTIONS), 0);

    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
    free(yaml);
    free(folder);
}

/* --- what is kept from request to request ---------------------------------------------------- */

/* An answer that names the caller so, again and again. */
static void check_told(struct client *client, const char *token, const char *name,
                       const char *value, const char *absent) {
    for (int i = 0; i < 3; i++) {
        struct response response;
        ask_about(client, "/public/a", token, &response);
        ck_assert_int_eq(response.status, 200);
        check_header(&response, name, value);
        check_header(&response, absent, NULL);
        client_response_done(&response);
    }
}

TEST(the_answer_is_that_of_the_new_configuration_after_a_reload_also_on_open_connections) {
    static const struct scene_options renamed = {
        .rest = "trusted_proxies: [127.0.0.1]\n"
                "identity_headers: [{header: X-Caller, value: subject}]\n" ROUTES};
    static const struct scene_options by_subject = {
        .issuer = ", user_claims: [sub]", .rest = "trusted_proxies: [127.0.0.1]\n" ROUTES};
    struct scene scene = scene_start(&trusting);
    struct client *client = client_connect(scene.daemon->port);

    for (int i = 0; i < 3; i++) {
        check_told(client, scene.token, "X-Auth-User", "alice@example.com", "X-Caller");
        ck_assert(scene_reload(&scene, &renamed));
        check_told(client, scene.token, "X-Caller", "alice", "X-Auth-User");
        ck_assert(scene_reload(&scene, &by_subject));
        check_told(client, scene.token, "X-Auth-User", "alice", "X-Caller");
        ck_assert(scene_reload(&scene, &trusting));
    }
    client_free(client);
    scene_end(&scene);
}

/* What was allowed once is no answer for another path, method or caller. */
TEST(an_answer_that_was_given_before_is_given_to_nobody_else) {
    struct scene scene = scene_start(&trusting);
    struct client *client = client_connect(scene.daemon->port);
    char *bob = scene_token("{\"sub\":\"bob\",\"email\":\"bob@example.com\"}");
    char *admin = scene_token("{\"scope\":\"openid admin\"}");
    static const struct {
        const char *path;
        int who;
        int status;
    } asked[] = {
        {"/public/a", 0, 200}, {"/admin/a", 0, 403},  {"/public/b", 0, 200},
        {"/public/a", 1, 200}, {"/admin/a", 1, 403},  {"/admin/a", 2, 200},
        {"/admin/a", 0, 403},  {"/writing", 2, 405},  {"/none", 2, 404},
        {"/public/a", 2, 200}, {"/public/a", 0, 200}, {"/public/../", 2, 404},
    };
    const struct {
        const char *token, *user, *scopes;
    } callers[] = {{scene.token, "alice@example.com", "openid profile email"},
                   {bob, "bob@example.com", "openid profile email"},
                   {admin, "alice@example.com", "openid admin"}};

    for (size_t i = 0; i < 2 * ARRAY_LEN(asked); i++) {
        size_t k = i % ARRAY_LEN(asked);
        bool allowed = asked[k].status == 200;
        struct response response;
        if (!client) client = client_connect(scene.daemon->port);
        ask_about(client, asked[k].path, callers[asked[k].who].token, &response);
        ck_assert_msg(response.status == asked[k].status, "%s: %d", asked[k].path, response.status);
        check_header(&response, "X-Auth-User", allowed ? callers[asked[k].who].user : NULL);
        check_header(&response, "X-Auth-Scopes", allowed ? callers[asked[k].who].scopes : NULL);
        client_response_done(&response);
    }
    free(admin);
    free(bob);
    client_free(client);
    scene_end(&scene);
}

/* The assertion of an answer, copied, which must be good for a while. */
static char *asserted(struct client *client, const char *token) {
    struct response response;
    ask_about(client, "/orders/1", token, &response);
    ck_assert_int_eq(response.status, 200);
    struct span jwt = response_header(&response, "X-Auth-Assertion");
    json_t *payload = payload_of(jwt);
    int64_t exp = json_integer_value(json_object_get(payload, "exp"));
    ck_assert_msg(exp > clock_wall() - (SCENE_SANITIZED ? 3 : 1), "it has expired");
    json_decref(payload);
    char *copy = scratch_text("%.*s", SPAN_PRINTF(jwt));
    client_response_done(&response);
    return copy;
}

TEST(an_answer_is_kept_no_longer_than_the_assertion_in_it) {
    struct upstream *upstream = upstream_start(UPSTREAM_PLAIN);
    char *folder = scratch_new(), *one = assertion_yaml(upstream, folder);
    char *yaml = scratch_text("%sassertion: {lifetime: 3s}\n", one);
    struct scene scene = scene_start(&(struct scene_options){.rest = yaml});
    struct client *client = client_connect(scene.daemon->port);
    char *first = asserted(client, scene.token), *last;
    long since = process_now_ms();
    int same = 0;

    while (strcmp(last = asserted(client, scene.token), first) == 0) {
        ck_assert_int_lt(process_now_ms() - since, 10000);
        same++;
        free(last);
        process_sleep_ms(20);
    }
    ck_assert_int_gt(same, 0);
    free(last), free(first);
    client_free(client);
    scene_end(&scene);
    upstream_stop(upstream);
    free(yaml), free(one), free(folder);
}

/* --- requests that wait for keys ------------------------------------------------------------- */

enum { WAITING = 2, OTHERS = 8 };

static void read_status(struct client *client, int status) {
    struct response response;
    ck_assert_int_eq(client_read(client, ANSWER_MS, &response), CLIENT_OK);
    ck_assert_msg(response.status == status, "%d, not %d: %s", response.status, status,
                  response.body);
    client_response_done(&response);
}

static void send_question(struct client *client, const char *path, const char *token) {
    ck_assert(client_sendf(client,
                           "GET /_auth HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n"
                           "X-Original-Method: GET\r\nX-Original-URI: %s\r\n\r\n",
                           token, path));
}

TEST(a_question_that_waits_for_keys_is_judged_by_its_own_headers_whatever_came_meanwhile) {
    static const struct {
        const char *path;
        int status;
    } waiting[WAITING] = {{"/admin/a", 403}, {"/public/a", 200}};
    struct issuer *issuer = issuer_start(ISSUER_PLAIN);
    char *old = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", NULL));
    char *both = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", NULL),
                           mint_jwk(mint_key(MINT_P256_OTHER), "k2", NULL));
    issuer_serve_keys(issuer, old);
    struct daemon *daemon = daemon_start_for(issuer_url(issuer), "refresh_cooldown: 1s",
                                             "trusted_proxies: [127.0.0.1]\n" ROUTES);
    char *known = mint_good(issuer_url(issuer), "ES256", mint_key(MINT_P256), "k1", NULL);
    char *unknown = mint_good(issuer_url(issuer), "ES256", mint_key(MINT_P256_OTHER), "k2", NULL);
    ck_assert(daemon_wait_status(daemon, "/profile/", known, 200, ANSWER_MS));
    int hits = issuer_hits(issuer, ISSUER_JWKS);
    issuer_set(issuer, ISSUER_JWKS,
               &(struct issuer_behaviour){.body = span_of(both), .interval_ms = 700});
    process_sleep_ms(1100); /* the cooldown */

    struct client *clients[WAITING], *others[OTHERS];
    for (size_t i = 0; i < WAITING; i++) {
        clients[i] = client_connect(daemon->port);
        send_question(clients[i], waiting[i].path, unknown);
        ck_assert(issuer_wait_hits(issuer, ISSUER_JWKS, hits + 1, ANSWER_MS));
    }
    /* So many that all workers get some. */
    for (size_t i = 0; i < OTHERS; i++) {
        others[i] = client_connect(daemon->port);
        send_question(others[i], i % 2 ? "/admin/b" : "/public/b", known);
        read_status(others[i], i % 2 ? 403 : 200);
    }
    for (size_t i = 0; i < WAITING; i++) read_status(clients[i], waiting[i].status);
    ck_assert_int_eq(issuer_hits(issuer, ISSUER_JWKS), hits + 1);

    for (size_t i = 0; i < WAITING; i++) client_free(clients[i]);
    for (size_t i = 0; i < OTHERS; i++) client_free(others[i]);
    daemon_stop(daemon);
    free(unknown), free(known), free(both), free(old);
    issuer_stop(issuer);
}
