/*
 * How a token is carried (RFC 6750 section 2): what counts as credentials, what is refused and how,
 * and what becomes of the connection.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define REALM "Bearer realm=\"bearerd\""
#define INVALID_REQUEST(text) REALM ", error=\"invalid_request\", error_description=\"" text "\""
#define INVALID_TOKEN(text) REALM ", error=\"invalid_token\", error_description=\"" text "\""
#define BODY(error, text) "{\"error\":\"" error "\",\"error_description\":\"" text "\"}"
#define NOT_ONE_TOKEN "the Authorization header is not 'Bearer', a space and one token"
#define PROFILE_BODY                                                                               \
    "{\"user\":{\"username\":\"alice@example.com\"},"                                              \
    "\"auth\":{\"scopes\":[\"openid\",\"profile\",\"email\",\"authenticated\"]}}"

static const struct expected profile = {.status = 200, .body = PROFILE_BODY};
static const struct expected absent = {
    401, REALM, BODY("unauthorized", "no Authorization header was sent"), false};
static const struct expected other_scheme = {
    401, REALM, BODY("unauthorized", "the Authorization header is not of the Bearer scheme"),
    false};
static const struct expected malformed = {400, INVALID_REQUEST(NOT_ONE_TOKEN),
                                          BODY("invalid_request", NOT_ONE_TOKEN), false};
static const struct expected repeated = {
    400, INVALID_REQUEST("more than one Authorization header was sent"),
    BODY("invalid_request", "more than one Authorization header was sent"), false};

static struct scene start(void) {
    return scene_start(&(struct scene_options){0});
}

static void check_headers(struct client *client, const char *headers,
                          const struct expected *expected) {
    char *request = scene_get("/profile/", headers);
    scene_check(client, span_of(request), expected);
    free(request);
}

/* These header lines, each with the good token at its %s, one after the other on one connection:
 * each is answered so, and the connection goes on being of use. */
static void check_rows(const char *const rows[], size_t count, const struct expected *expected) {
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    char *good = scratch_text("Authorization: Bearer %s\r\n", scene.token);
    for (size_t i = 0; i < count; i++) {
        const char *hole = strstr(rows[i], "%s");
        int before = hole ? (int)(hole - rows[i]) : (int)strlen(rows[i]);
        char *headers = scratch_text("%.*s%s%s", before, rows[i], hole ? scene.token : "",
                                     hole ? hole + 2 : "");
        check_headers(client, headers, expected);
        check_headers(client, good, &profile);
        free(headers);
    }
    free(good);
    client_free(client);
    scene_end(&scene);
}
#define CHECK_ROWS(expected, ...)                                                                  \
    check_rows((const char *const[]){__VA_ARGS__},                                                 \
               ARRAY_LEN(((const char *const[]){__VA_ARGS__})), (expected))

TEST(a1_no_authorization_is_401_without_error) {
    CHECK_ROWS(&absent, "", "X-Authorization: Bearer %s\r\n");
}

TEST(a2_another_scheme_is_401_without_error) {
    CHECK_ROWS(&other_scheme, "Authorization: Basic dXNlcjpw\r\n", "Authorization: Token %s\r\n",
               "Authorization: DPoP %s\r\n", "Authorization: %s\r\n");
}

TEST(a3_bearer_without_a_token_is_invalid_request) {
    static const struct expected empty = {
        400, INVALID_REQUEST("the Authorization header is empty"),
        BODY("invalid_request", "the Authorization header is empty"), false};
    CHECK_ROWS(&malformed, "Authorization: Bearer\r\n", "Authorization: Bearer \r\n",
               "Authorization: Bearer    \r\n");
    CHECK_ROWS(&empty, "Authorization:\r\n", "Authorization:    \r\n", "Authorization: \t \r\n");
}

TEST(a4_what_is_not_one_token_is_invalid_request) {
    CHECK_ROWS(&malformed, "Authorization: Bearer a b\r\n", "Authorization: Bearer a,b\r\n",
               "Authorization: Bearer \"a\"\r\n", "Authorization: Bearer %s x\r\n",
               "Authorization: Bearer \"%s\"\r\n", "Authorization: Bearer %s, Basic x\r\n",
               "Authorization: Bearer =\r\n", "Authorization: Bearer a=b\r\n");
}

TEST(a5_case_of_the_scheme_and_number_of_spaces_do_not_count) {
    CHECK_ROWS(&profile, "Authorization: Bearer %s\r\n", "Authorization: bearer %s\r\n",
               "Authorization: BEARER  %s\r\n", "authorization: bEaReR %s\r\n",
               "AUTHORIZATION:Bearer %s\r\n", "Authorization:   Bearer    %s   \r\n",
               "Authorization: Bearer %s\t\r\n");
}

TEST(a6_another_separator_than_a_space_is_never_accepted) {
    CHECK_ROWS(&malformed, "Authorization: Bearer\t%s\r\n", "Authorization: Bearer \t%s\r\n",
               "Authorization: Bearer=%s\r\n", "Authorization: Bearer:%s\r\n",
               "Authorization: Bearer, %s\r\n");
    CHECK_ROWS(&other_scheme, "Authorization: Bearer%s\r\n", "Authorization: Bearers %s\r\n",
               "Authorization: Beare %s\r\n", "Authorization: \"Bearer\" %s\r\n");
}

TEST(a7_two_authorization_headers_are_invalid_request_whatever_they_hold) {
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    const char *const values[] = {"Bearer ", "Basic dXNlcjpw", "", "Bearer bad"};
    for (size_t i = 0; i < 16; i++) {
        const char *first = values[i / 4], *second = values[i % 4];
        char *headers =
            scratch_text("Authorization: %s%s\r\nX-Between: 1\r\nauthorization: %s%s\r\n", first,
                         i / 4 == 0 ? scene.token : "", second, i % 4 == 0 ? scene.token : "");
        check_headers(client, headers, &repeated);
        free(headers);
    }
    char *three = scratch_text("Authorization: a\r\nAuthorization: Bearer %s\r\n"
                               "Authorization: b\r\n",
                               scene.token);
    check_headers(client, three, &repeated);
    free(three);
    client_free(client);
    scene_end(&scene);
}

TEST(a8_a_token_in_the_query_is_ignored_beside_the_header) {
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    char *path = scratch_text("/profile/?access_token=%s", scene.token);
    char *good = scratch_text("Authorization: Bearer %s\r\n", scene.token);
    static const struct expected not_a_jwt = {
        401, INVALID_TOKEN("the token has 1 parts; a signed JWT has three"),
        BODY("invalid_token", "the token has 1 parts; a signed JWT has three"), false};
    char *both = scene_get("/profile/?access_token=bad", good);
    char *bad = scene_get(path, "Authorization: Bearer bad\r\n");
    scene_check(client, span_of(both), &profile);
    scene_check(client, span_of(bad), &not_a_jwt);
    free(bad);
    free(both);
    free(good);
    free(path);
    client_free(client);
    scene_end(&scene);
}

TEST(a9_a_token_in_query_body_or_cookie_is_no_credentials) {
    struct scene scene = start();
    struct expected closes = absent;
    closes.close = true;
    char *query =
        scratch_text("GET /profile/?access_token=%s&x=1 HTTP/1.1\r\nHost: h\r\n\r\n", scene.token);
    char *cookie = scratch_text("GET /profile/ HTTP/1.1\r\nHost: h\r\nCookie: access_token=%s; "
                                "Authorization=%s\r\n\r\n",
                                scene.token, scene.token);
    char *body = scratch_text("GET /profile/ HTTP/1.1\r\nHost: h\r\nContent-Type: "
                              "application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n\r\n"
                              "access_token=%s",
                              strlen("access_token=") + strlen(scene.token), scene.token);
    scene_check_alone(&scene, span_of(query), &absent);
    scene_check_alone(&scene, span_of(cookie), &absent);
    scene_check_alone(&scene, span_of(body), &closes); /* its body was not read */
    free(body);
    free(cookie);
    free(query);
    scene_end(&scene);
}

TEST(a10_a_token_in_a_trailer_is_no_credentials) {
    struct scene scene = start();
    struct expected closes = absent;
    closes.close = true;
    char *request = scratch_text("GET /profile/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked"
                                 "\r\nTrailer: Authorization\r\n\r\n5\r\nhello\r\n0\r\n"
                                 "Authorization: Bearer %s\r\n\r\n",
                                 scene.token);
    scene_check_alone(&scene, span_of(request), &closes);
    free(request);
    scene_end(&scene);
}

/* A value of Authorization with this many bytes in its token. */
static char *bloated(size_t len) {
    char *token = malloc(len + 1);
    memset(token, 'a', len);
    token[len] = '\0';
    char *headers = scratch_text("Authorization: Bearer %s\r\n", token);
    char *request = scene_get("/profile/", headers);
    free(headers);
    free(token);
    return request;
}

TEST(a11_a_token_that_is_too_large_is_431) {
    struct scene scene = start();
    static const size_t parser_s[] = {64 << 10, 1 << 20};
    char *just = bloated((16 << 10) + 1);
    static const struct expected too_large = {
        431, NULL, BODY("too_large", "the token has 16385 bytes; 16384 are accepted"), true};
    scene_check_alone(&scene, span_of(just), &too_large);
    free(just);
    for (size_t i = 0; i < ARRAY_LEN(parser_s); i++) {
        bool closed;
        char *request = bloated(parser_s[i]);
        char *answer = scene_talk(&scene, span_of(request), 5000, 5000, &closed);
        ck_assert_msg(strncmp(answer, "HTTP/1.1 431 ", 13) == 0 && closed, "%.200s", answer);
        scene_check_serves(&scene, "a huge token");
        free(answer);
        free(request);
    }
    scene_end(&scene);
}

TEST(a12_proxy_authorization_is_no_credentials) {
    CHECK_ROWS(&absent, "Proxy-Authorization: Bearer %s\r\n",
               "Proxy-Authenticate: Bearer %s\r\nAuthorization-: Bearer %s\r\n",
               "X-Forwarded-Authorization: Bearer %s\r\n");
}

TEST(a13_bytes_that_no_header_may_hold_are_400) {
    struct scene scene = start();
    static const struct {
        struct span byte;
        const char *challenge;
        bool close;
    } rows[] = {
        {SPAN_LITERAL("\0"), NULL, true},    {SPAN_LITERAL("\r"), NULL, true},
        {SPAN_LITERAL("\x01"), NULL, true},  {SPAN_LITERAL("\x1b"), NULL, true},
        {SPAN_LITERAL("\x7f"), NULL, true},  {SPAN_LITERAL("\x80"), "is not plain ASCII", false},
        {SPAN_LITERAL("\xff"), "is", false}, {SPAN_LITERAL("\xc3\xa9"), "is", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *before =
            scratch_text("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s", scene.token);
        size_t len = strlen(before);
        char *request = calloc(1, len + 16);
        memcpy(request, before, len);
        memcpy(request + len, rows[i].byte.ptr, rows[i].byte.len);
        memcpy(request + len + rows[i].byte.len, "x\r\n\r\n", 5);
        const struct expected expected = {
            400,
            rows[i].challenge ? INVALID_REQUEST("the Authorization header is not plain ASCII text")
                              : NULL,
            NULL, rows[i].close};
        scene_check_alone(&scene, (struct span){request, len + rows[i].byte.len + 5}, &expected);
        free(request);
        free(before);
    }
    scene_end(&scene);
}

TEST(a14_quotes_and_backslashes_of_the_configuration_are_escaped_in_one_line) {
    struct scene scene =
        scene_start(&(struct scene_options){.rest = "realm: 'the \"inner\" C:\\ realm'\n"});
#define ESCAPED "Bearer realm=\"the \\\"inner\\\" C:\\\\ realm\""
    static const struct expected bare = {401, ESCAPED, NULL, false};
    /* What a token says is quoted back only once its signature was good. */
    char *other = scene_token("{\"aud\":\"a\\\"b\\\\c\\r\\nX-Evil: 1\"}");
    char *headers = scratch_text("Authorization: Bearer %s\r\n", other);
    char *request = scene_get("/", headers);
    struct expected quoted = {
        401,
        ESCAPED ", error=\"invalid_token\", error_description=\"the token is for the audience "
                "'a'b'c??X-Evil: 1'; expected 'api'\"",
        BODY("invalid_token", "the token is for the audience 'a'b'c??X-Evil: 1'; expected 'api'"),
        false};
    struct client *client = client_connect(scene.daemon->port);
    check_headers(client, "", &bare);
    scene_check(client, span_of(request), &quoted);
    free(request);
    free(headers);
    free(other);
    client_free(client);
    scene_end(&scene);
}
