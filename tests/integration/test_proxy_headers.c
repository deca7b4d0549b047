/*
 * Header fields through the proxy: what an upstream is told of the caller and of where a request
 * came from is the daemon's word alone, however a client spells its own.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "common/base64url.h"
#include "common/buf.h"
#include "tests/integration/proxied.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define EVIL "7evil"
#define ROUTES                                                                                     \
    "  - {path: /secret/*, upstream: up}\n"                                                        \
    "  - {path: /open/*, upstream: up, anonymous: allow}\n"                                        \
    "  - {path: /token/*, upstream: up, anonymous: allow, forward_token: true}\n"
#define TRUSTED "trusted_proxies: [127.0.0.1/32]\n"

static struct proxied start_with(const char *rest) {
    return proxied_start(&(struct proxied_options){.routes = ROUTES, .rest = rest});
}

static struct proxied start(void) {
    return start_with(NULL);
}

/* GET path with token (NULL: none) and these header lines: what the upstream saw of it. */
static const struct upstream_request *get(struct proxied *proxied, const char *path,
                                          const char *token, const char *headers) {
    char *all =
        token ? scratch_text("Authorization: Bearer %s\r\n%s", token, headers) : strdup(headers);
    const struct upstream_request *seen = proxied_get(proxied, path, all);
    free(all);
    return seen;
}

static bool holds(const struct upstream_request *seen, const char *text) {
    return memmem(seen->raw.ptr, seen->raw.len, text, strlen(text)) != NULL;
}

/* Exactly one field that could be taken for that one, spelt so, of that value; NULL: none. */
static void check_field(const struct upstream_request *seen, const char *name, const char *value) {
    ck_assert_msg(proxied_count(seen, name) == (value ? 1 : 0), "%s: %s", name, seen->raw.ptr);
    if (!value) return;
    ck_assert_msg(span_equal_text(upstream_header_name(seen, name), name), "%s", seen->raw.ptr);
    ck_assert_msg(span_equal_text(upstream_header(seen, name), value), "%s: %s, not %s", name,
                  seen->raw.ptr, value);
}

static void check_no_evil(const struct upstream_request *seen, const char *sent) {
    ck_assert_msg(!holds(seen, EVIL), "%s made\n%s", sent, seen->raw.ptr);
}

/* --- all of it ------------------------------------------------------------------------------- */

#define OURS                                                                                       \
    "X-Forwarded-For: 127.0.0.1\r\n"                                                               \
    "X-Forwarded-Proto: http\r\n"                                                                  \
    "X-Forwarded-Host: api.example\r\n"                                                            \
    "Forwarded: for=127.0.0.1;host=api.example;proto=http\r\n"
#define ALICE                                                                                      \
    "X-Auth-User: alice@example.com\r\n"                                                           \
    "X-Auth-Subject: alice\r\n"                                                                    \
    "X-Auth-Issuer: https://idp.example\r\n"                                                       \
    "X-Auth-Scopes: openid profile email\r\n"

TEST(a_request_arrives_as_it_was_sent_and_our_fields_behind_it) {
    struct proxied proxied = start();
    const struct upstream_request *seen =
        get(&proxied, "/secret/a?b=c", proxied.scene.token,
            "accept: x\r\nX-Fine:1 \r\nX-FINE: 2\r\nCookie: a=b; c=\r\nX-Empty:\r\n"
            "X-Request-Id: id-1\r\nX-Fine: \xc3\xa9\r\n");
    ck_assert_str_eq(seen->raw.ptr, "GET /secret/a?b=c HTTP/1.1\r\nHost: api.example\r\n"
                                    "accept: x\r\nX-Fine: 1\r\nX-FINE: 2\r\nCookie: a=b; c=\r\n"
                                    "X-Empty: \r\nX-Fine: \xc3\xa9\r\n"
                                    "X-Request-Id: id-1\r\n" OURS ALICE "\r\n");
    proxied_end(&proxied);
}

/* --- G1, G2: identity headers ---------------------------------------------------------------- */

static const char *const identity[] = {"X-Auth-User",   "X-Auth-Subject", "X-Auth-Issuer",
                                       "X-Auth-Scopes", "X-Auth-Roles",   "X-Auth-Assertion"};

static void add_spelling(const char *name, char separator, int letters, struct buf *out) {
    for (; *name; name++) {
        char c = *name;
        if (c == '-') {
            if (separator) buf_add_char(out, separator);
            continue;
        }
        if (letters > 0 && c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
        if (letters < 0 && c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        buf_add_char(out, c);
    }
}

/* All names in that spelling, each twice, every one with the bad value. */
static char *spell_all(char separator, int letters, const char *before, const char *behind) {
    struct buf lines = buf_make(65536);
    for (size_t i = 0; i < 2 * ARRAY_LEN(identity); i++) {
        buf_add_text(&lines, before);
        add_spelling(identity[i / 2], separator, letters, &lines);
        buf_addf(&lines, "%s: " EVIL "\r\n", behind);
    }
    return lines.data;
}

static void check_spelling(struct proxied *proxied, const char *lines) {
    static const struct {
        const char *path;
        bool with_token;
    } asked[] = {{"/secret/x", true}, {"/open/x", true}, {"/open/x", false}};
    for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
        bool told = asked[i].with_token;
        const struct upstream_request *seen =
            get(proxied, asked[i].path, told ? proxied->scene.token : NULL, lines);
        check_no_evil(seen, lines);
        check_field(seen, "X-Auth-User", told ? "alice@example.com" : NULL);
        check_field(seen, "X-Auth-Subject", told ? "alice" : NULL);
        check_field(seen, "X-Auth-Issuer", told ? SCENE_ISSUER : NULL);
        check_field(seen, "X-Auth-Scopes", told ? "openid profile email" : NULL);
        check_field(seen, "X-Auth-Roles", NULL); /* alice has none: the client's is none either */
        check_field(seen, "X-Auth-Assertion", NULL);
    }
}

TEST_WITHIN(g1_one_identity_header_and_it_is_ours_however_the_client_spells_its_own, 60) {
    static const char separators[] = "-_.~!#$%&'*+^`|";
    struct proxied proxied = start();
    for (size_t i = 0; i < sizeof separators; i++) { /* NUL, for none, too */
        for (int letters = -1; letters <= 1; letters++) {
            char *lines = spell_all(separators[i], letters, "", "");
            check_spelling(&proxied, lines);
            free(lines);
        }
    }
    static const struct {
        const char *before, *behind;
    } around[] = {{"_", ""}, {"", "-"}, {"--", "__"}, {"!", "|"}, {".", "."}};
    for (size_t i = 0; i < ARRAY_LEN(around); i++) {
        char *lines = spell_all('-', 0, around[i].before, around[i].behind);
        check_spelling(&proxied, lines);
        free(lines);
    }
    proxied_end(&proxied);
}

TEST(g1_a_name_that_is_no_token_is_refused_and_not_cleaned) {
    static const char *const lines[] = {
        "X-Auth-User : " EVIL "\r\n",
        "X-Auth-User\t: " EVIL "\r\n",
        "X-Auth User: " EVIL "\r\n",
        " X-Auth-User: " EVIL "\r\n",
        "X-Fine: 1\r\n X-Auth-User: " EVIL "\r\n",
        "X-Auth-User\x0b: " EVIL "\r\n",
        "X-Auth-Us\xc3\xa9r: " EVIL "\r\n",
        "X-Auth-User\xa0: " EVIL "\r\n",
        "X-Auth/User: " EVIL "\r\n",
        "\"X-Auth-User\": " EVIL "\r\n",
        ":X-Auth-User: " EVIL "\r\n",
        "X-Fine: 1\rX-Auth-User: " EVIL "\r\n",
        "X-Fine: 1\nX-Auth-User: " EVIL "\r\n",
    };
    struct proxied proxied = start();
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char *request = scene_get("/open/x", lines[i]);
        proxied_refuse(&proxied, span_of(request), 400);
        free(request);
    }
    check_field(get(&proxied, "/open/x", NULL, "X-Fine: 1\r\n"), "X-Fine", "1");
    proxied_end(&proxied);
}

TEST(g2_without_a_token_there_is_no_identity_header_under_any_well_known_name) {
    static const char *const names[] = {
        "X-Auth-User",
        "X-Auth-Subject",
        "X-Auth-Issuer",
        "X-Auth-Scopes",
        "X-Auth-Roles",
        "X-Auth-Assertion",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded-Groups",
        "X-Forwarded-Preferred-Username",
        "X-Forwarded-Access-Token",
        "X_Forwarded_User",
        "X.Forwarded.Email",
        "xforwardedgroups",
    };
    struct proxied proxied = start_with(TRUSTED); /* nobody vouches for these */
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *line = scratch_text("%s: " EVIL "\r\n", names[i]);
        check_no_evil(get(&proxied, "/open/x", NULL, line), line);
        check_no_evil(get(&proxied, "/open/x", proxied.scene.token, line), line);
        free(line);
    }
    proxied_end(&proxied);
}

TEST(g2_other_schemes_and_refused_tokens_make_nobody) {
    struct proxied proxied = start();
    const struct upstream_request *seen = get(
        &proxied, "/open/x", NULL, "Authorization: Basic YWxpY2U6eA==\r\nX-Auth-User: alice\r\n");
    check_field(seen, "X-Auth-User", NULL);
    check_field(seen, "Authorization", NULL);
    char *request = scene_get("/open/x", "Authorization: Bearer x\r\nX-Auth-User: alice\r\n");
    proxied_refuse(&proxied, span_of(request), 401);
    free(request);
    proxied_end(&proxied);
}

TEST(g1_the_identity_of_one_request_is_not_that_of_the_next_on_its_connection) {
    struct proxied proxied = start();
    char *bob = scene_token("{\"sub\":\"bob\",\"email\":null}");
    const char *const tokens[] = {proxied.scene.token, NULL, bob, NULL, bob, proxied.scene.token};
    static const char *const users[] = {"alice@example.com", NULL, "bob", NULL, "bob",
                                        "alice@example.com"};
    struct client *client = client_connect(proxied.scene.daemon->port);
    for (size_t i = 0; i < 4 * ARRAY_LEN(tokens); i++) {
        const char *token = tokens[i % ARRAY_LEN(tokens)];
        struct response response;
        ck_assert(client_sendf(client, "GET /open/x HTTP/1.1\r\nHost: h\r\n%s%s\r\n\r\n",
                               token ? "Authorization: Bearer " : "X-Auth-User: " EVIL,
                               token ? token : ""));
        ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
        client_response_done(&response);
        const struct upstream_request *seen = upstream_request(proxied.upstream, proxied.allowed++);
        check_field(seen, "X-Auth-User", users[i % ARRAY_LEN(tokens)]);
        check_no_evil(seen, "");
    }
    client_free(client);
    free(bob);
    proxied_end(&proxied);
}

/* --- G3, G4: fields of the connection -------------------------------------------------------- */

static char *post_body(const char *token, const char *connection) {
    return scratch_text("POST /secret/x HTTP/1.1\r\nHost: api.example\r\n"
                        "Authorization: Bearer %s\r\n%sX-Request-Id: id-1\r\n"
                        "Content-Length: 5\r\n\r\nhello",
                        token, connection);
}

TEST(g3_a_connection_field_removes_nothing_that_is_ours) {
    char *many = strdup("Connection: X-Auth-User");
    for (int i = 0; i < 200; i++) {
        char *more = scratch_text("%s, n%d", many, i);
        free(many);
        many = more;
    }
    char *all = scratch_text("%s\r\n", many);
    const char *const connections[] = {
        "",
        "Connection: X-Auth-User, close\r\n",
        "Connection: close, x-auth-user\r\n",
        "connection:X_Auth_User,X.Auth.Subject\r\n",
        "Connection: X-Auth-User\r\nConnection: X-Auth-Subject\r\n",
        "Connection: , ,X-Auth-User,, \r\n",
        "Connection: \"X-Auth-User\"\r\n",
        "Conn_ection: X-Auth-User, Host\r\n",
        "Connection: Host, Content-Length, Transfer-Encoding, X-Request-Id\r\n",
        "Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded\r\n",
        "Connection: Connection\r\n",
        all,
    };
    struct proxied proxied = start();
    for (size_t i = 0; i < ARRAY_LEN(connections); i++) {
        char *request = post_body(proxied.scene.token, connections[i]);
        const struct upstream_request *seen = proxied_pass(&proxied, span_of(request));
        ck_assert_str_eq(seen->raw.ptr,
                         "POST /secret/x HTTP/1.1\r\nHost: api.example\r\n"
                         "Content-Length: 5\r\nX-Request-Id: id-1\r\n" OURS ALICE "\r\nhello");
        free(request);
    }
    free(all);
    free(many);
    proxied_end(&proxied);
}

TEST(g4_fields_of_the_connection_are_removed_and_all_that_connection_names) {
    static const char *const lines[] = {
        "Connection: " EVIL "\r\n",
        "Keep-Alive: " EVIL "\r\n",
        "Proxy-Connection: " EVIL "\r\n",
        "TE: " EVIL "\r\n",
        "Trailer: " EVIL "\r\n",
        "Upgrade: " EVIL "\r\n",
        "Proxy-Authorization: " EVIL "\r\n",
        "Proxy-Authenticate: " EVIL "\r\n",
        "HTTP2-Settings: " EVIL "\r\n",
        "keep_alive: " EVIL "\r\nproxy.connection: " EVIL "\r\nT-E: " EVIL "\r\n",
        "Transfer_Encoding: " EVIL "\r\nContent_Length: " EVIL "\r\nHo-st: " EVIL "\r\n",
        "Connection: close, X-Named\r\nX-Named: " EVIL "\r\n",
        "X-Named: " EVIL "\r\nConnection: x-named\r\nx-NAMED: " EVIL "\r\n",
        "Connection: X-Named\r\nX_Named: " EVIL "\r\n",
        "Connection: a\r\nConnection: b, X-Named\r\nX-Named: " EVIL "\r\nb: " EVIL "\r\n",
        "Connection: keep-alive,X-Named ,\tX-Other\r\nX-Named: " EVIL "\r\nX-Other: " EVIL "\r\n",
    };
    struct proxied proxied = start();
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char *headers = scratch_text("X-Fine: 1\r\n%sX-Also: 2\r\n", lines[i]);
        const struct upstream_request *seen = get(&proxied, "/open/x", NULL, headers);
        check_no_evil(seen, lines[i]);
        check_field(seen, "X-Fine", "1");
        check_field(seen, "X-Also", "2");
        check_field(seen, "Connection", NULL);
        free(headers);
    }
    check_field(get(&proxied, "/open/x", NULL, "X-Named: 1\r\n"), "X-Named", "1");
    proxied_end(&proxied);
}

/* --- G5, G6: hostile names ------------------------------------------------------------------- */

/* Undo percent-encoding; the test fails where a byte that needs it stands for itself. */
static void check_round_trip(struct span encoded, struct span user) {
    struct buf decoded = buf_make(65536);
    for (size_t i = 0; i < encoded.len; i++) {
        char c = encoded.ptr[i];
        unsigned byte;
        ck_assert_msg(c > ' ' && c <= '~', "%s", encoded.ptr);
        if (c == '%') {
            ck_assert(i + 2 < encoded.len && sscanf(encoded.ptr + i + 1, "%2X", &byte) == 1);
            c = (char)byte;
            i += 2;
        }
        buf_add_char(&decoded, c);
    }
    ck_assert_msg(span_equal(buf_span(&decoded), user), "%.*s", (int)encoded.len, encoded.ptr);
    buf_done(&decoded);
}

/* As user, and as subject, the whole value arrives in one field each. */
static void check_user(struct proxied *proxied, const char *user) {
    json_t *claims = json_pack("{s:s, s:n}", "sub", user, "email");
    char *changes = json_dumps(claims, 0), *token = scene_token(changes);
    const struct upstream_request *seen = get(proxied, "/secret/x", token, "X-Fine: 1\r\n");
    ck_assert_int_eq(proxied_count(seen, "X-Auth-User"), 1);
    ck_assert_int_eq(proxied_count(seen, "X-Auth-Subject"), 1);
    ck_assert_int_eq(proxied_count(seen, "X-Auth-Roles"), 0);
    ck_assert_int_eq(proxied_count(seen, "X-Fine"), 1);
    check_round_trip(upstream_header(seen, "X-Auth-User"), span_of(user));
    check_round_trip(upstream_header(seen, "X-Auth-Subject"), span_of(user));
    free(token);
    free(changes);
    json_decref(claims);
}

TEST(g5_a_user_name_with_control_characters_stays_one_line) {
    static const char *const users[] = {
        "a\r\nX-Auth-Roles: admin",
        "a\nX-Auth-Roles: admin",
        "a\rX-Auth-Roles: admin",
        "a\r\n\r\nGET /x HTTP/1.1",
        "\r\n",
        "a\xc2\x85X-Auth-Roles: admin", /* NEL */
        "a\x7f",
        "\x1b[31mred",
        "a\tb",
        "a\x0b\x0c\x08",
        "a\xe2\x80\xa8z",
    };
    struct proxied proxied = start();
    for (size_t i = 0; i < ARRAY_LEN(users); i++) check_user(&proxied, users[i]);
    proxied_end(&proxied);
}

TEST(g5_a_user_name_stays_one_line_in_the_log_too) {
    struct proxied proxied = proxied_start(&(struct proxied_options){
        .routes = ROUTES, .log = "{format: text, level: debug, access: true}"});
    check_user(&proxied, "a\nerror: " EVIL "\r\nerror: " EVIL "\xc2\x85" EVIL "\x1b[31m");
    struct process *process = proxied.scene.daemon->process;
    ck_assert(process_wait_errors(process, "forwarded", 5000));
    ck_assert_int_eq(process_count_errors(process, "\nerror"), 0);
    ck_assert_int_eq(process_count_errors(process, "\r"), 0);
    ck_assert_int_eq(process_count_errors(process, "\xc2\x85"), 0);
    ck_assert_int_eq(process_count_errors(process, "\x1b"), 0);
    proxied_end(&proxied);
}

/* A good token but for this member. No JSON library that refuses NUL can write it. */
static char *token_with_nul(const char *name) {
    char *without = scratch_text("{\"%s\":null}", name);
    char *claims = mint_claims(SCENE_ISSUER, without);
    char *all = scratch_text("%.*s,\"%s\":\"a\\u0000b\"}", (int)strlen(claims) - 1, claims, name);
    char *token = mint_token("{\"alg\":\"ES256\",\"kid\":\"" SCENE_KID "\"}", all, "ES256",
                             mint_key(MINT_P256));
    free(all);
    free(claims);
    free(without);
    return token;
}

TEST(g5_a_user_name_with_nul_is_refused) {
    static const char *const names[] = {"sub", "email", "groups"};
    struct proxied proxied = start();
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *token = token_with_nul(names[i]);
        char *headers = scratch_text("Authorization: Bearer %s\r\n", token);
        char *request = scene_get("/open/x", headers);
        proxied_refuse(&proxied, span_of(request), 401);
        free(request);
        free(headers);
        free(token);
    }
    proxied_end(&proxied);
}

TEST(g6_a_user_name_of_any_characters_comes_back_by_percent_decoding) {
    static const char *const users[] = {
        "alice",
        "jos\xc3\xa9",
        "\xf0\x9f\x94\x91\xf0\x9f\x91\xa9",
        "\xe2\x80\x8f"
        "evil\xe2\x80\x8e",
        "a,b;c=d",
        "\"quoted\"",
        "back\\slash",
        " leading and trailing ",
        "100%",
        "%41%0d%0a",
        "a b  c",
        "<script>",
        "\xe6\x97\xa5\xe6\x9c\xac",
        "\xef\xbb\xbf"
        "bom",
    };
    struct proxied proxied = start();
    for (size_t i = 0; i < ARRAY_LEN(users); i++) check_user(&proxied, users[i]);
    static char large[8192 + 1];
    for (size_t i = 0; i + 1 < sizeof large; i += 2) memcpy(large + i, "\xc3\xa9", 2);
    check_user(&proxied, large);
    proxied_end(&proxied);
}

/* --- G7: claims ------------------------------------------------------------------------------ */

static void check_json(const struct upstream_request *seen, const char *name, const char *json) {
    char expected[256];
    base64url_encode(json, strlen(json), expected);
    check_field(seen, name, expected);
}

TEST(g7_claims_of_every_type_have_one_form) {
    static const char rest[] = "identity_headers:\n"
                               "  - {header: X-Tenant, value: \"claim:tenant.id\"}\n"
                               "  - {header: X-Groups, value: \"claim:groups\"}\n"
                               "  - {header: X-Level, value: \"claim:level\"}\n"
                               "  - {header: X-Ratio, value: \"claim:ratio\"}\n"
                               "  - {header: X-Sure, value: \"claim:sure\"}\n"
                               "  - {header: X-Whole, value: \"claim:tenant\"}\n"
                               "  - {header: X-Mixed, value: \"claim:mixed\"}\n"
                               "  - {header: X-Empty, value: \"claim:empty\"}\n"
                               "  - {header: X-None, value: \"claim:none\"}\n"
                               "  - {header: X-Missing, value: \"claim:tenant.name\"}\n"
                               "  - {header: X-Through, value: \"claim:groups.id\"}\n";
    struct proxied proxied = start_with(rest);
    char *token = scene_token(
        "{\"tenant\":{\"id\":\"t 1\\r\\n\"},\"groups\":[\"a b\",\"c,d\",\"\xc3\xa9\"],\"level\":7,"
        "\"ratio\":1.5,\"sure\":true,\"mixed\":[\"a\",1],\"empty\":\"\",\"none\":[]}");
    const struct upstream_request *seen = get(&proxied, "/secret/x", token,
                                              "X-Empty: " EVIL "\r\nX_None: " EVIL "\r\n"
                                              "X-Missing: " EVIL "\r\nx.tenant: " EVIL "\r\n");
    check_no_evil(seen, "claims");
    check_field(seen, "X-Tenant", "t%201%0D%0A");
    check_field(seen, "X-Groups", "a%20b c,d %C3%A9");
    check_field(seen, "X-Level", "7");
    check_field(seen, "X-Ratio", "1.5");
    check_field(seen, "X-Sure", "true");
    check_json(seen, "X-Whole", "{\"id\":\"t 1\\r\\n\"}");
    check_json(seen, "X-Mixed", "[\"a\",1]");
    check_field(seen, "X-Empty", NULL);
    check_field(seen, "X-None", NULL);
    check_field(seen, "X-Missing", NULL);
    check_field(seen, "X-Through", NULL);
    /* These are all: none of those that are there by default. */
    check_field(seen, "X-Auth-User", NULL);
    free(token);
    proxied_end(&proxied);
}

TEST(g1_identity_headers_of_the_operator_are_guarded_like_our_own) {
    struct proxied proxied = start_with("identity_headers: [{header: Remote_User, value: user}]\n");
    static const char lines[] = "Remote_User: " EVIL "\r\nRemote-User: " EVIL "\r\n"
                                "REMOTE.USER: " EVIL "\r\nremoteuser: " EVIL "\r\n";
    const struct upstream_request *seen = get(&proxied, "/secret/x", proxied.scene.token, lines);
    check_no_evil(seen, lines);
    check_field(seen, "Remote_User", "alice@example.com");
    check_no_evil(get(&proxied, "/open/x", NULL, lines), lines);
    proxied_end(&proxied);
}

/* --- G8: where a request came from ----------------------------------------------------------- */

static const struct origin {
    const char *name;
    bool vouched; /* passes from trusted proxies */
} origins[] = {
    {"X-Forwarded-Port", true},
    {"X-Forwarded-Prefix", true},
    {"X-Forwarded-Server", true},
    {"X-Forwarded-Scheme", true},
    {"X-Forwarded-Ssl", true},
    {"X-Forwarded-Whatever", true},
    {"X-Original-Host", true},
    {"X-Real-IP", true},
    {"X-Client-IP", true},
    {"X-Cluster-Client-IP", true},
    {"True-Client-IP", true},
    {"Front-End-Https", true},
    {"X-Url-Scheme", true},
    {"Client-Cert", true},
    {"Client-Cert-Chain", true},
    {"X-Original-URL", false},
    {"X-Original-URI", false},
    {"X-Original-Method", false},
    {"X-Rewrite-URL", false},
    {"X-Forwarded-Uri", false},
    {"X-Forwarded-Path", false},
    {"X-Forwarded-Method", false},
    {"X-HTTP-Method-Override", false},
    {"X-HTTP-Method", false},
    {"X-Method-Override", false},
    {"Proxy", false},
    {"X_Forwarded_For", false},
    {"X.Forwarded.Proto", false},
    {"X-ForwardedHost", false},
    {"For_warded", false},
    {"X_Real_IP", false},
    {"X_Original_URL", false},
    {"x_rewrite-url", false},
    {"X-Forwarded_Port", false},
};

static void check_origins(struct proxied *proxied, bool trusted) {
    for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
        char *line =
            scratch_text("%s: " EVIL "\r\nConnection: %s\r\n", origins[i].name, origins[i].name);
        const struct upstream_request *seen = get(proxied, "/open/x", NULL, line);
        if (trusted && origins[i].vouched)
            check_field(seen, origins[i].name, EVIL);
        else
            check_no_evil(seen, line);
        check_field(seen, "X-Forwarded-For", "127.0.0.1");
        free(line);
    }
}

TEST(g8_a_client_cannot_say_where_it_came_from_or_what_it_asked_for) {
    static const char *const rest[] = {NULL, "trusted_proxies: [10.0.0.0/8, 127.0.0.2/32]\n"};
    for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
        struct proxied proxied = start_with(rest[i]);
        check_origins(&proxied, false);
        const struct upstream_request *seen =
            get(&proxied, "/open/x", NULL,
                "X-Request-Id: id-1\r\n"
                "X-Forwarded-For: " EVIL "\r\nx-forwarded-for: " EVIL "\r\n"
                "X-Forwarded-Proto: " EVIL "\r\nX-Forwarded-Host: " EVIL "\r\n"
                "Forwarded: for=" EVIL "\r\nForwarded: for=\"" EVIL "\r\n");
        ck_assert_str_eq(seen->raw.ptr, "GET /open/x HTTP/1.1\r\nHost: api.example\r\n"
                                        "X-Request-Id: id-1\r\n" OURS "\r\n");
        proxied_end(&proxied);
    }
}

static void check_trusted(struct proxied *proxied, const char *sent, const char *expected) {
    char *headers = scratch_text("X-Request-Id: id-1\r\n%s", sent);
    char *all = scratch_text("GET /open/x HTTP/1.1\r\nHost: api.example\r\nX-Request-Id: id-1\r\n"
                             "%s\r\n",
                             expected);
    const struct upstream_request *seen = get(proxied, "/open/x", NULL, headers);
    ck_assert_msg(span_equal_text(seen->raw, all), "%s made\n%s, not\n%s", sent, seen->raw.ptr,
                  all);
    free(all);
    free(headers);
}

#define HOP "for=127.0.0.1;host=api.example;proto=http\r\n"
#define HTTP "X-Forwarded-Proto: http\r\nX-Forwarded-Host: api.example\r\n"

TEST(g8_a_trusted_proxy_says_where_a_request_came_from_and_we_add_our_hop) {
    struct proxied proxied = start_with(TRUSTED);
    check_origins(&proxied, true);
    check_trusted(&proxied, "", "X-Forwarded-For: 127.0.0.1\r\n" HTTP);
    check_trusted(&proxied, "X-Forwarded-For: 192.0.2.1\r\n",
                  "X-Forwarded-For: 192.0.2.1, 127.0.0.1\r\n" HTTP);
    check_trusted(&proxied,
                  "X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2, 192.0.2.3\r\n",
                  "X-Forwarded-For: 192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1\r\n" HTTP);
    check_trusted(&proxied, "X-Forwarded-Proto: https\r\nX-Forwarded-Host: public.example\r\n",
                  "X-Forwarded-For: 127.0.0.1\r\n"
                  "X-Forwarded-Proto: https\r\nX-Forwarded-Host: public.example\r\n");
    check_trusted(&proxied, "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n",
                  "X-Forwarded-For: 127.0.0.1\r\n" HTTP);
    check_trusted(&proxied, "Forwarded: for=192.0.2.1;proto=https\r\n",
                  "X-Forwarded-For: 127.0.0.1\r\n" HTTP
                  "Forwarded: for=192.0.2.1;proto=https, " HOP);
    check_trusted(&proxied, "Forwarded: for=\"192.0.2.1\r\n",
                  "X-Forwarded-For: 127.0.0.1\r\n" HTTP "Forwarded: " HOP);
    check_trusted(&proxied, "X-Forwarded-For: 192.0.2.1\r\nConnection: X-Forwarded-For\r\n",
                  "X-Forwarded-For: 192.0.2.1, 127.0.0.1\r\n" HTTP);
    proxied_end(&proxied);
}

/* --- G9: the token --------------------------------------------------------------------------- */

TEST(g9_the_token_stays_here_unless_the_route_forwards_it) {
    struct proxied proxied = start();
    const char *token = proxied.scene.token;
    char *whole = scratch_text("Bearer %s", token);
    static const char tricks[] = "Authorization_: " EVIL "\r\nAuthori.zation: " EVIL "\r\n"
                                 "Proxy-Authorization: " EVIL "\r\n"
                                 "Connection: Authorization\r\n";
    static const char *const kept[] = {"/secret/x", "/open/x"};
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        const struct upstream_request *seen = get(&proxied, kept[i], token, tricks);
        check_field(seen, "Authorization", NULL);
        ck_assert_msg(!holds(seen, token), "%s", seen->raw.ptr);
        check_no_evil(seen, tricks);
    }
    const struct upstream_request *seen = get(&proxied, "/token/x", token, tricks);
    check_field(seen, "Authorization", whole);
    check_no_evil(seen, tricks);
    check_field(get(&proxied, "/token/x", NULL, "Authorization_: " EVIL "\r\n"), "Authorization",
                NULL);
    free(whole);
    proxied_end(&proxied);
}

TEST(g9_of_two_tokens_neither_is_forwarded) {
    struct proxied proxied = start();
    static const char *const second[] = {"Authorization: Bearer x", "authorization: Basic eDp5",
                                         "AUTHORIZATION:"};
    for (size_t i = 0; i < ARRAY_LEN(second); i++) {
        char *headers =
            scratch_text("Authorization: Bearer %s\r\n%s\r\n", proxied.scene.token, second[i]);
        char *turned =
            scratch_text("%s\r\nAuthorization: Bearer %s\r\n", second[i], proxied.scene.token);
        char *request = scene_get("/token/x", headers), *other = scene_get("/token/x", turned);
        proxied_refuse(&proxied, span_of(request), 400);
        proxied_refuse(&proxied, span_of(other), 400);
        free(other);
        free(request);
        free(turned);
        free(headers);
    }
    proxied_end(&proxied);
}

/* --- request ids and traces ------------------------------------------------------------------ */

/* The same id upstream and in the answer; the caller frees it. */
static char *ask_for_id(struct proxied *proxied, const char *headers) {
    struct response response;
    char *request = scene_get("/open/x", headers);
    const struct upstream_request *seen = proxied_exchange(proxied, span_of(request), &response);
    struct span id = upstream_header(seen, "X-Request-Id");
    ck_assert_int_eq(proxied_count(seen, "X-Request-Id"), 1);
    ck_assert_int_eq(response_header_count(&response, "X-Request-Id"), 1);
    ck_assert(span_equal(response_header(&response, "X-Request-Id"), id));
    char *text = strndup(id.ptr, id.len);
    client_response_done(&response);
    free(request);
    return text;
}

TEST(a_request_id_is_made_or_passed_on_and_is_in_the_answer) {
    static const char *const good[] = {"a", "id-1",
                                       "AZaz09-._~+/=:", "4bf92f3577b34da6a3ce929d0e0e4736"};
    static const char *const bad[] = {"",
                                      "X-Request-Id:\r\n",
                                      "X-Request-Id: a b\r\n",
                                      "X-Request-Id: a\"b\r\n",
                                      "X-Request-Id: a,b\r\n",
                                      "X-Request-Id: \xc3\xa9\r\n",
                                      "X-Request-Id: a\r\nx-request-id: b\r\n",
                                      "X_Request_Id: id-1\r\n"};
    struct proxied proxied = start();
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char *line = scratch_text("X-Request-Id: %s\r\n", good[i]);
        char *id = ask_for_id(&proxied, line);
        ck_assert_str_eq(id, good[i]);
        free(id);
        free(line);
    }
    char *before = strdup("");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char *id = ask_for_id(&proxied, bad[i]);
        ck_assert_msg(strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32, "%s: %s", bad[i],
                      id);
        ck_assert_str_ne(id, before);
        free(before);
        before = id;
    }
    free(before);
    proxied_end(&proxied);
}

TEST(a_request_id_of_128_characters_is_passed_on_and_a_longer_one_is_not) {
    struct proxied proxied = start();
    char longest[129 + 1];
    memset(longest, 'a', 129);
    longest[129] = '\0';
    char *line = scratch_text("X-Request-Id: %s\r\n", longest), *id = ask_for_id(&proxied, line);
    ck_assert_uint_eq(strlen(id), 32);
    free(id);
    free(line);
    longest[128] = '\0';
    line = scratch_text("X-Request-Id: %s\r\n", longest);
    id = ask_for_id(&proxied, line);
    ck_assert_str_eq(id, longest);
    free(id);
    free(line);
    proxied_end(&proxied);
}

TEST(traces_pass_as_they_come_and_none_is_made) {
    static const char parent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    struct proxied proxied = start();
    char *lines =
        scratch_text("traceparent: %s\r\ntracestate: a=b,c=d\r\nbaggage: e=f\r\n", parent);
    const struct upstream_request *seen = get(&proxied, "/open/x", NULL, lines);
    check_field(seen, "traceparent", parent);
    check_field(seen, "tracestate", "a=b,c=d");
    check_field(seen, "baggage", "e=f");
    check_field(get(&proxied, "/open/x", NULL, ""), "traceparent", NULL);
    free(lines);
    proxied_end(&proxied);
}

/* --- Host ------------------------------------------------------------------------------------ */

TEST(the_host_is_the_clients_or_the_targets_as_configured) {
    for (int target = 0; target < 2; target++) {
        struct proxied proxied = proxied_start(&(struct proxied_options){
            .routes = ROUTES, .upstream = target ? ", host: target" : ", host: client"});
        char *own = scratch_text("127.0.0.1:%d", upstream_port(proxied.upstream));
        const struct upstream_request *seen = get(&proxied, "/open/x", NULL, "Ho_st: " EVIL "\r\n");
        check_field(seen, "Host", target ? own : "api.example");
        check_field(seen, "X-Forwarded-Host", "api.example");
        check_no_evil(seen, "Ho_st");
        /* HTTP/1.0 need not send any; the upstream gets HTTP/1.1, which must. */
        seen = proxied_pass(&proxied, S("GET /open/x HTTP/1.0\r\n\r\n"));
        check_field(seen, "Host", own);
        check_field(seen, "X-Forwarded-Host", NULL);
        free(own);
        proxied_end(&proxied);
    }
}

/* --- G10, G11: answers ----------------------------------------------------------------------- */

static struct response get_answer(struct proxied *proxied, const char *answer) {
    struct response response;
    upstream_answer(proxied->upstream, "/open/x", answer);
    char *request = scene_get("/open/x", "");
    proxied_exchange(proxied, span_of(request), &response);
    free(request);
    return response;
}

static void check_answer(const struct response *response, const char *name, const char *value) {
    ck_assert_msg(response_header_count(response, name) == (value ? 1 : 0), "%s: %s", name,
                  response->head);
    if (value)
        ck_assert_msg(span_equal_text(response_header(response, name), value), "%s: %s", name,
                      response->head);
}

TEST(g10_of_an_answer_all_but_the_fields_of_its_connection_reach_the_client) {
    static const char date[] = "Mon, 01 Jan 2024 00:00:00 GMT";
    struct proxied proxied = start();
    char *answer = scratch_text(
        "HTTP/1.1 203 Fine\r\nServer: u/1\r\nDate: %s\r\nConnection: X-Named, keep-alive\r\n"
        "X-Named: " EVIL "\r\nKeep-Alive: " EVIL "\r\nProxy-Connection: " EVIL "\r\n"
        "Proxy-Authenticate: " EVIL "\r\nProxy-Authorization: " EVIL "\r\nTE: " EVIL "\r\n"
        "Trailer: " EVIL "\r\nUpgrade: " EVIL "\r\nHTTP2-Settings: " EVIL "\r\n"
        "X-Request-Id: " EVIL "\r\nWWW-Authenticate: Basic realm=\"u\"\r\nX-Empty:\r\n"
        "Cache-Control: max-age=1\r\nVary: a\r\nvary: b\r\nETag: \"e\"\r\n"
        "Content-Type: text/x\r\nLocation: http://127.0.0.1/\r\nContent-Length: 2\r\n\r\nok",
        date);
    struct response response = get_answer(&proxied, answer);
    ck_assert_int_eq(response.status, 203);
    ck_assert_str_eq(response.body, "ok");
    ck_assert_msg(!strstr(response.head, EVIL), "%s", response.head);
    check_answer(&response, "Connection", NULL);
    check_answer(&response, "Server", "u/1");
    check_answer(&response, "Date", date);
    check_answer(&response, "WWW-Authenticate", "Basic realm=\"u\"");
    check_answer(&response, "X-Empty", "");
    check_answer(&response, "Cache-Control", "max-age=1");
    check_answer(&response, "ETag", "\"e\"");
    check_answer(&response, "Content-Type", "text/x");
    check_answer(&response, "Location", "http://127.0.0.1/");
    check_answer(&response, "Content-Length", "2");
    ck_assert_int_eq(response_header_count(&response, "Vary"), 2);
    ck_assert_int_eq(response_header_count(&response, "X-Request-Id"), 1);
    client_response_done(&response);
    free(answer);
    proxied_end(&proxied);
}

TEST(g10_a_refusal_of_the_upstream_is_its_own_and_keeps_its_challenge) {
    struct proxied proxied = start();
    struct response response =
        get_answer(&proxied, "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm=\"u\"\r\n"
                             "WWW-Authenticate: Basic realm=\"v\"\r\nContent-Length: 0\r\n\r\n");
    ck_assert_int_eq(response.status, 401);
    ck_assert_ptr_nonnull(strstr(response.head, "WWW-Authenticate: Bearer realm=\"u\"\r\n"));
    ck_assert_ptr_nonnull(strstr(response.head, "WWW-Authenticate: Basic realm=\"v\"\r\n"));
    ck_assert_int_eq(response_header_count(&response, "WWW-Authenticate"), 2);
    client_response_done(&response);
    proxied_end(&proxied);
}

TEST(g10_interim_answers_pass_without_the_fields_of_their_connection_but_100_does_not) {
    struct proxied proxied = start();
    upstream_answer(proxied.upstream, "/open/x",
                    "HTTP/1.1 100 Continue\r\nX-Fine: 0\r\n\r\n"
                    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Named\r\n"
                    "X-Named: " EVIL "\r\nKeep-Alive: " EVIL "\r\nX-Request-Id: " EVIL "\r\n\r\n"
                    "HTTP/1.1 200 OK\r\nX-Fine: 1\r\nContent-Length: 2\r\n\r\nok");
    struct client *client = client_connect(proxied.scene.daemon->port);
    struct response response;
    char *request = scene_get("/open/x", "");
    ck_assert(client_send(client, span_of(request)));
    ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
    ck_assert_int_eq(response.status, 103);
    check_answer(&response, "Link", "</a>");
    ck_assert_msg(!strstr(response.head, EVIL), "%s", response.head);
    client_response_done(&response);
    ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
    ck_assert_int_eq(response.status, 200);
    check_answer(&response, "X-Fine", "1");
    client_response_done(&response);
    client_free(client);
    free(request);
    proxied.allowed++;
    proxied_end(&proxied);
}

TEST(g11_every_set_cookie_stays_a_field_of_its_own) {
    static const char cookies[] = "Set-Cookie: a=1; Expires=Mon, 01 Jan 2024 00:00:00 GMT\r\n"
                                  "Set-Cookie: b=2; HttpOnly\r\n"
                                  "set-cookie: c=3\r\n"
                                  "Set-Cookie: a=1\r\n";
    struct proxied proxied = start();
    char *answer = scratch_text("HTTP/1.1 200 OK\r\n%sContent-Length: 2\r\n\r\nok", cookies);
    struct response response = get_answer(&proxied, answer);
    ck_assert_msg(strstr(response.head, cookies), "%s", response.head);
    ck_assert_int_eq(response_header_count(&response, "Set-Cookie"), 4);
    client_response_done(&response);
    free(answer);
    proxied_end(&proxied);
}
