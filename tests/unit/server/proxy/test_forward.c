#include "server/proxy/forward.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/ascii.h"
#include "common/attr.h"
/* How principals come to be is tested with authenticate(). */
#include "server/token/principal_make.h"
#include "tests/support/claims.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

/* --- what the tests start from ------------------------------------------------------------- */

static struct config_issuer issuer = {
    .issuer = (char[]){"https://idp.example"},
    .user_claims = {(char *[]){(char[]){"sub"}}, 1},
};
static struct config_identity_header told[] = {
    {(char[]){"X-Auth-User"}, (char[]){"user"}},
    {(char[]){"X-Auth-Tenant"}, (char[]){"claim:tenant"}},
};
static const struct config config = {
    .identity_headers = told,
    .identity_header_count = 2,
    .assertion = {.header = (char[]){"X-Auth-Assertion"}},
};

/* A request, its parts to be changed by a test. */
struct scene {
    struct forward_rules *rules;
    struct config_route route;
    struct config_upstream upstream;
    struct field items[256];
    struct forward_request request;
    struct buf out;
};

static struct scene *scene_new(void) {
    static char nothing[] = "";
    struct scene *scene = calloc(1, sizeof *scene);
    ck_assert_ptr_nonnull(scene);
    scene->rules = forward_rules_new(&config);
    ck_assert_ptr_nonnull(scene->rules);
    scene->route = (struct config_route){.strip_prefix = nothing, .add_prefix = nothing};
    scene->out = buf_make(FORWARD_HEAD_MAX);
    scene->request = (struct forward_request){
        .method = S("GET"),
        .path = S("/a"),
        .fields = {scene->items, 0},
        .host = S("api.example"),
        .client = S("192.0.2.7"),
        .tls = true,
        .request_id = S("id-1"),
        .route = &scene->route,
        .upstream = &scene->upstream,
        .target_host = S("10.0.0.1:9001"),
    };
    return scene;
}

static void scene_free(struct scene *scene) {
    buf_done(&scene->out);
    forward_rules_free(scene->rules);
    free(scene);
}

/* "Name: value" lines, which end in '\n', for the client's. */
static void client_sends(struct scene *scene, const char *lines) {
    struct span rest = span_of(lines), line;
    scene->request.fields.count = 0;
    while (span_next(&rest, '\n', &line)) {
        size_t colon = span_find(line, ':');
        ck_assert(scene->request.fields.count < ARRAY_LEN(scene->items));
        scene->items[scene->request.fields.count++] =
            (struct field){span_until(line, colon), span_trim(span_from(line, colon + 1))};
    }
}

static const char *forward(struct scene *scene) {
    buf_reset(&scene->out);
    forward_add_head(scene->rules, &scene->request, &scene->out);
    ck_assert(buf_ok(&scene->out));
    ck_assert_uint_eq(strlen(scene->out.data), scene->out.len);
    return scene->out.data;
}

/* What the gate says of the request of a scene that no test has changed. */
#define LINE "GET /a HTTP/1.1\r\nHost: api.example\r\n"
#define ID "X-Request-Id: id-1\r\n"
#define ORIGIN                                                                                     \
    "X-Forwarded-For: 192.0.2.7\r\n"                                                               \
    "X-Forwarded-Proto: https\r\n"                                                                 \
    "X-Forwarded-Host: api.example\r\n"                                                            \
    "Forwarded: for=192.0.2.7;host=api.example;proto=https\r\n"
#define END "\r\n"

/* Of these lines the upstream gets those; what the gate adds is as it always is. */
static void expect_fields(struct scene *scene, const char *sent, const char *passed) {
    char expected[8192] = LINE;
    for (const char *c = passed; *c; c++) {
        size_t len = strlen(expected);
        snprintf(expected + len, sizeof expected - len, *c == '\n' ? "\r\n" : "%c", *c);
    }
    strcat(expected, ID ORIGIN END);
    client_sends(scene, sent);
    const char *came = forward(scene);
    ck_assert_msg(strcmp(came, expected) == 0, "sent:\n%s\ncame:\n%s\nexpected:\n%s", sent, came,
                  expected);
}

struct sent_row {
    const char *sent, *passed;
};

static void expect_rows(struct scene *scene, const struct sent_row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) expect_fields(scene, rows[i].sent, rows[i].passed);
}

/* How often a line begins with that, in any case. */
static size_t count_lines(const char *head, const char *start) {
    size_t count = 0;
    for (const char *line = head; line; line = strstr(line, "\r\n")) {
        if (*line == '\r') line += 2;
        count += strncasecmp(line, start, strlen(start)) == 0;
    }
    return count;
}

static struct principal *make_principal(void) {
    struct principal *principal = NULL;
    struct refusal refusal;
    struct jtree *claims = claims_of(json_pack("{s:s, s:s}", "sub", "alice", "tenant", "t1"));
    ck_assert(principal_make(claims, &issuer, 0, &principal, &refusal));
    jtree_unref(claims);
    return principal;
}

/* --- the head ------------------------------------------------------------------------------ */

TEST(a_head_has_all_its_parts_in_order) {
    struct scene *scene = scene_new();
    struct principal *principal = make_principal();
    scene->request.method = S("POST");
    scene->request.query = S("b=1&b=2");
    scene->request.body = FORWARD_CHUNKED;
    scene->request.expects_continue = true;
    scene->request.principal = principal;
    scene->request.assertion = S("a.b.c");
    client_sends(scene, "Host: api.example\nAccept: */*\nTransfer-Encoding: chunked\n");
    ck_assert_str_eq(forward(scene), "POST /a?b=1&b=2 HTTP/1.1\r\nHost: api.example\r\n"
                                     "Accept: */*\r\n"
                                     "Transfer-Encoding: chunked\r\n"
                                     "Expect: 100-continue\r\n" ID ORIGIN "X-Auth-User: alice\r\n"
                                     "X-Auth-Tenant: t1\r\n"
                                     "X-Auth-Assertion: a.b.c\r\n" END);
    principal_unref(principal);
    scene_free(scene);
}

TEST(what_is_not_ours_passes_byte_for_byte) {
    static const struct sent_row rows[] = {
        {"", ""},
        {"Accept: a\n", "Accept: a\n"},
        {"aCCept: text/html;q=0.5 , */*\n", "aCCept: text/html;q=0.5 , */*\n"},
        {"Cookie: a=1\nCookie: b=2\n", "Cookie: a=1\nCookie: b=2\n"},
        {"Accept: a\nX: 1\nAccept: b\nX: 1\n", "Accept: a\nX: 1\nAccept: b\nX: 1\n"},
        {"traceparent: 00-ab-cd-01\ntracestate: a=1,b=2\ntracestate: c=3\n",
         "traceparent: 00-ab-cd-01\ntracestate: a=1,b=2\ntracestate: c=3\n"},
        {"X-Empty:\n", "X-Empty: \n"},
        {"X: \xc3\xa9\tb\n", "X: \xc3\xa9\tb\n"},
        {"!#$%&'*+-.^_`|~: x\n", "!#$%&'*+-.^_`|~: x\n"},
        {"Via: 1.0 fred\nUser-Agent: x\nContent-Type: a/b\nRange: bytes=0-1\n",
         "Via: 1.0 fred\nUser-Agent: x\nContent-Type: a/b\nRange: bytes=0-1\n"},
        {"Sec-WebSocket-Key: x\nOrigin: https://a\n", "Sec-WebSocket-Key: x\nOrigin: https://a\n"},
        /* names that only look like ones that are dropped */
        {"X-Auth-Users: x\nX-Auth-Use: x\nXX-Auth-User: x\nAuth-User: x\n",
         "X-Auth-Users: x\nX-Auth-Use: x\nXX-Auth-User: x\nAuth-User: x\n"},
        {"Hosts: x\nHos: x\nTEA: x\nT: x\n-: x\n", "Hosts: x\nHos: x\nTEA: x\nT: x\n-: x\n"},
        {"X-Forward: x\nXForwarde-d2: x\n", "X-Forward: x\n"},
        {"Content_Type: x\nCookie_: x\n", "Content_Type: x\nCookie_: x\n"},
    };
    struct scene *scene = scene_new();
    expect_rows(scene, rows, ARRAY_LEN(rows));
    scene_free(scene);
}

TEST(a_field_that_would_end_its_line_is_left_out) {
    static const struct field bad[] = {
        {S("X"), S("a\r\nX-Admin: yes")},
        {S("X"), S("a\nb")},
        {S("X"), S("a\rb")},
        {S("X"), S("a\0b")},
        {S("X Y"), S("a")},
        {S("X\r\nY"), S("a")},
        {S("X:Y"), S("a")},
        {S("X\0"), S("a")},
        {S("X\xc3\xa9"), S("a")},
        {S("X "), S("a")},
        {S(""), S("a")},
        {S("X-Forwarded-For"), S("a\r\nb")},
        {S("X-Forwarded-Proto"), S("http\r\nb")},
        {S("Forwarded"), S("for=a\r\nb")},
    };
    struct scene *scene = scene_new();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        scene->items[0] = (struct field){S("Before"), S("1")};
        scene->items[1] = bad[i];
        scene->items[2] = (struct field){S("Behind"), S("2")};
        scene->request.fields.count = 3;
        for (int from_proxy = 0; from_proxy < 2; from_proxy++) {
            scene->request.from_proxy = from_proxy;
            ck_assert_msg(strstr(forward(scene), "Before: 1\r\nBehind: 2\r\nX-Request-Id: "),
                          "row %zu: %s", i, scene->out.data);
            ck_assert_msg(!strstr(scene->out.data, "\r\nb"), "row %zu: %s", i, scene->out.data);
        }
    }
    scene_free(scene);
}

TEST(a_buffer_without_room_is_told) {
    struct scene *scene = scene_new();
    client_sends(scene, "Accept: */*\n");
    size_t len = strlen(forward(scene));
    struct buf fits = buf_make(len), small = buf_make(len - 1);
    forward_add_head(scene->rules, &scene->request, &fits);
    forward_add_head(scene->rules, &scene->request, &small);
    ck_assert(buf_ok(&fits));
    ck_assert(!buf_ok(&small));
    buf_done(&fits);
    buf_done(&small);
    scene_free(scene);
}

/* --- hop by hop ---------------------------------------------------------------------------- */

TEST(g4_fields_of_the_clients_connection_are_dropped) {
    static const struct sent_row rows[] = {
        {"Connection: keep-alive\nA: 1\n", "A: 1\n"},
        {"Keep-Alive: timeout=5\nA: 1\n", "A: 1\n"},
        {"Proxy-Connection: keep-alive\nA: 1\n", "A: 1\n"},
        {"TE: trailers\nA: 1\n", "A: 1\n"},
        {"Trailer: X-Sum\nA: 1\n", "A: 1\n"},
        {"Transfer-Encoding: chunked\nA: 1\n", "A: 1\n"},
        {"Upgrade: websocket\nConnection: upgrade\nA: 1\n", "A: 1\n"},
        {"Proxy-Authorization: Basic x\nA: 1\n", "A: 1\n"},
        {"Proxy-Authenticate: Basic\nA: 1\n", "A: 1\n"},
        {"HTTP2-Settings: AAA\nA: 1\n", "A: 1\n"},
        {"Proxy: http://evil\nA: 1\n", "A: 1\n"},
        {"cONNECTION: close\nkeep_alive: 1\nT-E: x\nUp.grade: h2c\nA: 1\n", "A: 1\n"},
        {"Transfer_Encoding: chunked\ntransfer.encoding: x\nTransferEncoding: x\nA: 1\n", "A: 1\n"},
    };
    struct scene *scene = scene_new();
    expect_rows(scene, rows, ARRAY_LEN(rows));
    scene_free(scene);
}

TEST(g4_fields_that_connection_names_are_dropped) {
    static const struct sent_row rows[] = {
        {"A: 1\nB: 2\nC: 3\nConnection: b\n", "A: 1\nC: 3\n"},
        {"Connection: b\nA: 1\nB: 2\nB: 3\n", "A: 1\n"},
        {"Connection: close, B ,\t a,,\nA: 1\nB: 2\nC: 3\n", "C: 3\n"},
        {"Connection: a\nA: 1\nB: 2\nC: 3\nConnection: c\n", "B: 2\n"},
        {"Connection: x-a\nX_A: 1\nx.a: 2\nXA: 3\nX-B: 4\n", "X-B: 4\n"},
        {"Connection: X_A\nX-A: 1\nX-AA: 2\n", "X-AA: 2\n"},
        {"Connec_tion: b\nA: 1\nB: 2\n", "A: 1\n"},
        {"Connection: cookie\nCookie: a\nCookies: b\n", "Cookies: b\n"},
        {"Connection: \nA: 1\n-: 2\n", "A: 1\n-: 2\n"},
        {"Connection: ,, -\nA: 1\n-: 2\n", "A: 1\n-: 2\n"},
        {"Connection: \"b\", b;q=1\nB: 1\nbq1: 2\nA: 3\n", "A: 3\n"},
    };
    struct scene *scene = scene_new();
    expect_rows(scene, rows, ARRAY_LEN(rows));
    scene_free(scene);
}

TEST(a_connection_field_of_many_names_names_all) {
    struct scene *scene = scene_new();
    struct buf lines = buf_make(4096);
    buf_add_text(&lines, "A: 1\nConnection: n1");
    for (int i = 2; i <= 64; i++) buf_addf(&lines, ",n%d", i);
    buf_add_text(&lines, "\nN64: x\nN65: y\n");
    expect_fields(scene, lines.data, "A: 1\nN65: y\n");
    buf_add_text(&lines, "Connection: n66\n");
    expect_fields(scene, lines.data, "");
    buf_done(&lines);
    scene_free(scene);
}

/* --- identity ------------------------------------------------------------------------------ */

#define SPELLINGS(name)                                                                            \
    "X-Auth-" name ": evil\nx-auth-" name ": evil\nX_AUTH_" name ": evil\nX.Auth." name            \
    ": evil\nXAuth" name ": evil\nX-Auth-" name "-: evil\n-X--Auth__" name ": evil\nX-Auth-" name  \
    ":\n"

TEST(g1_identity_comes_from_the_gate_alone) {
    struct scene *scene = scene_new();
    struct principal *principal = make_principal();
    scene->request.principal = principal;
    scene->request.assertion = S("a.b.c");
    for (int from_proxy = 0; from_proxy < 2; from_proxy++) {
        scene->request.from_proxy = from_proxy;
        client_sends(scene, SPELLINGS("User") SPELLINGS("TENANT") SPELLINGS("assertion") "A: 1\n");
        const char *head = forward(scene);
        ck_assert_msg(strstr(head, "evil") == NULL, "%s", head);
        ck_assert_msg(strstr(head, LINE "A: 1\r\n" ID), "%s", head);
        ck_assert_msg(strstr(head, "\r\nX-Auth-User: alice\r\nX-Auth-Tenant: t1\r\n"
                                   "X-Auth-Assertion: a.b.c\r\n\r\n"),
                      "%s", head);
        ck_assert_uint_eq(count_lines(head, "x-auth-user:"), 1);
    }
    principal_unref(principal);
    scene_free(scene);
}

TEST(g2_nobodys_identity_stays_nobodys) {
    struct scene *scene = scene_new();
    expect_fields(scene, SPELLINGS("User") SPELLINGS("Tenant") SPELLINGS("Assertion") "A: 1\n",
                  "A: 1\n");
    scene_free(scene);
}

TEST(g3_connection_removes_nothing_of_the_gates) {
    struct scene *scene = scene_new();
    struct principal *principal = make_principal();
    scene->request.principal = principal;
    scene->request.assertion = S("a.b.c");
    scene->route.forward_token = true;
    client_sends(scene,
                 "Connection: X-Auth-User, x-auth-tenant, X-Auth-Assertion, close, Host\n"
                 "Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded\n"
                 "Connection: X-Request-Id, Authorization, Content-Length, A\n"
                 "Authorization: Bearer t\nA: 1\nB: 2\n");
    ck_assert_str_eq(forward(scene), LINE "Authorization: Bearer t\r\nB: 2\r\n" ID ORIGIN
                                          "X-Auth-User: alice\r\nX-Auth-Tenant: t1\r\n"
                                          "X-Auth-Assertion: a.b.c\r\n" END);
    principal_unref(principal);
    scene_free(scene);
}

/* Whatever stands between its letters. */
TEST(g1_no_byte_hides_an_identity_header) {
    struct scene *scene = scene_new();
    for (unsigned c = 0; c < 256; c++) {
        char name[] = "X?Auth?User";
        name[1] = name[6] = (char)c;
        if (ascii_is_alphanumeric((char)c)) continue;
        scene->items[0] = (struct field){{name, sizeof name - 1}, S("evil")};
        scene->request.fields.count = 1;
        ck_assert_msg(!strstr(forward(scene), "evil"), "%02x", c);
    }
    /* It is the letters that count. */
    client_sends(scene, "XaAuthaUser: fine\n");
    ck_assert(strstr(forward(scene), "\r\nXaAuthaUser: fine\r\n"));
    scene_free(scene);
}

TEST(g9_authorization_passes_once_and_only_where_the_route_says_so) {
    static const struct {
        const char *sent, *passed;
    } rows[] = {
        {"Authorization: Bearer  a.b.c\nA: 1\n", "Authorization: Bearer  a.b.c\nA: 1\n"},
        {"A: 1\nauthorization: Bearer x\n", "A: 1\nauthorization: Bearer x\n"},
        {"Authorization: Bearer x\nAuthorization: Bearer y\nA: 1\n",
         "Authorization: Bearer x\nA: 1\n"},
        {"Author_ization: Bearer y\nAuthorization: Bearer x\nAuthorization_: z\n",
         "Authorization: Bearer x\n"},
        {"Author-ization: Bearer y\nA: 1\n", "A: 1\n"},
    };
    struct scene *scene = scene_new();
    scene->route.forward_token = true;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) expect_fields(scene, rows[i].sent, rows[i].passed);
    scene->route.forward_token = false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        client_sends(scene, rows[i].sent);
        ck_assert_msg(!strstr(forward(scene), "Bearer"), "row %zu: %s", i, scene->out.data);
    }
    scene_free(scene);
}

/* --- another request than the one that was judged ------------------------------------------- */

TEST(p8_fields_that_rewrite_the_request_never_pass) {
    static const char *const names[] = {
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Original-URI",
        "X-Original-Method",
        "X-Rewrite-URL",
        "X-Forwarded-Uri",
        "X-Forwarded-Method",
        "X-Forwarded-Path",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded-Groups",
        "X-Forwarded-Preferred-Username",
        "X-Forwarded-Access-Token",
        "Host",
        "Content-Length",
        "Expect",
        "X-Request-Id",
        "Proxy",
    };
    struct scene *scene = scene_new();
    for (size_t i = 0; i < ARRAY_LEN(names) * 8; i++) {
        char sent[256], spelt[64];
        snprintf(spelt, sizeof spelt, "%s", names[i / 8]);
        for (char *c = spelt; *c; c++) {
            if (*c == '-' && i & 1) *c = '_';
            if (i & 2 && *c >= 'a' && *c <= 'z') *c = (char)(*c - 0x20);
        }
        snprintf(sent, sizeof sent, "A: 1\n%s: evil\nB: 2\n", spelt);
        scene->request.from_proxy = i & 4;
        client_sends(scene, sent);
        const char *head = forward(scene);
        ck_assert_msg(strstr(head, LINE "A: 1\r\nB: 2\r\n" ID), "%s:\n%s", spelt, head);
        ck_assert_msg(!strstr(head, "evil"), "%s:\n%s", spelt, head);
    }
    scene_free(scene);
}

/* --- where the request came from ----------------------------------------------------------- */

TEST(g8_only_trusted_proxies_say_where_a_request_came_from) {
    static const char *const names[] = {
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "X-Forwarded-Port",
        "X-Forwarded-Scheme",
        "X-Forwarded-Ssl",
        "X-Forwarded-Something",
        "X-Forwarded-Client-Cert",
        "X-Original-Host",
        "X-Real-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "True-Client-IP",
        "Front-End-Https",
        "X-Url-Scheme",
        "Client-Cert",
        "Client-Cert-Chain",
    };
    struct scene *scene = scene_new();
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char sent[256], other[256], kept[256];
        snprintf(sent, sizeof sent, "Connection: %s\n%s: v\nA: 1\n", names[i], names[i]);
        snprintf(kept, sizeof kept, LINE "%s: v\r\nA: 1\r\n" ID, names[i]);
        expect_fields(scene, sent, "A: 1\n");
        /* A spelling that a proxy does not know may be its client's. */
        snprintf(other, sizeof other, "%s: v\nA: 1\n", names[i]);
        *strchr(other, '-') = '_';
        expect_fields(scene, other, "A: 1\n");

        scene->request.from_proxy = true;
        client_sends(scene, sent);
        ck_assert_msg(strstr(forward(scene), kept), "%s", scene->out.data);
        client_sends(scene, other);
        ck_assert_msg(strstr(forward(scene), LINE "A: 1\r\n" ID), "%s", scene->out.data);
        scene->request.from_proxy = false;
    }
    scene_free(scene);
}

TEST(g8_a_name_that_only_resembles_one_is_not_a_proxys) {
    static const struct sent_row rows[] = {
        {"X-Forwarded-Prefix_: v\nX-Forwarded-Server_: v\nX-Forwarded-Po.rt: v\nA: 1\n", "A: 1\n"},
        {"X-Forwarded-Scheme-: v\nX-Forwarded-S-s-l: v\nX-Real-I_P: v\nA: 1\n", "A: 1\n"},
        {"X-Forwarded: v\nX_Forwarded-Something: v\nXForwardedSomething: v\nA: 1\n", "A: 1\n"},
    };
    struct scene *scene = scene_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int from_proxy = 0; from_proxy < 2; from_proxy++) {
            scene->request.from_proxy = from_proxy;
            client_sends(scene, rows[i].sent);
            ck_assert_msg(strstr(forward(scene), LINE "A: 1\r\n" ID), "%s", scene->out.data);
        }
    scene_free(scene);
}

TEST(g8_what_strangers_say_of_their_way_is_replaced) {
    static const struct sent_row rows[] = {
        {"X-Forwarded-For: 10.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: evil\n"
         "Forwarded: for=10.0.0.1;host=evil\nA: 1\n",
         "A: 1\n"},
        {"X_Forwarded_For: 10.0.0.1\nx.forwarded.proto: http\nXForwardedHost: evil\n"
         "For-warded: for=10.0.0.1\nX-Forwarded: 1\nA: 1\n",
         "A: 1\n"},
    };
    struct scene *scene = scene_new();
    expect_rows(scene, rows, ARRAY_LEN(rows));
    scene_free(scene);
}

TEST(our_hop_is_told_as_the_rfc_has_it) {
    static const struct {
        struct span client, host;
        bool tls;
        const char *told;
    } rows[] = {
        {S("192.0.2.7"), S("a.example"), false,
         "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\n"
         "Forwarded: for=192.0.2.7;host=a.example;proto=http\r\n"},
        {S("2001:db8::7"), S("a.example:8443"), true,
         "X-Forwarded-For: 2001:db8::7\r\nX-Forwarded-Proto: https\r\n"
         "X-Forwarded-Host: a.example:8443\r\n"
         "Forwarded: for=\"[2001:db8::7]\";host=\"a.example:8443\";proto=https\r\n"},
        {S("192.0.2.7"), S("[2001:db8::1]"), true,
         "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
         "X-Forwarded-Host: [2001:db8::1]\r\n"
         "Forwarded: for=192.0.2.7;host=\"[2001:db8::1]\";proto=https\r\n"},
        {S("192.0.2.7"), S("a;proto=b,for=c"), true,
         "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
         "X-Forwarded-Host: a;proto=b,for=c\r\n"
         "Forwarded: for=192.0.2.7;host=\"a;proto=b,for=c\";proto=https\r\n"},
        {S("192.0.2.7"), S("a\"b\\c"), true,
         "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\"b\\c\r\n"
         "Forwarded: for=192.0.2.7;host=\"a\\\"b\\\\c\";proto=https\r\n"},
        {SPAN_NONE, S("a.example"), false,
         "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\n"
         "Forwarded: for=unknown;host=a.example;proto=http\r\n"},
        {S("192.0.2.7"), SPAN_NONE, true,
         "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
         "Forwarded: for=192.0.2.7;proto=https\r\n"},
    };
    struct scene *scene = scene_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char expected[1024];
        snprintf(expected, sizeof expected, "\r\n" ID "%s\r\n", rows[i].told);
        scene->request.client = rows[i].client;
        scene->request.host = rows[i].host;
        scene->request.tls = rows[i].tls;
        ck_assert_msg(strstr(forward(scene), expected), "row %zu: %s", i, scene->out.data);
    }
    scene_free(scene);
}

#define OUR_FOR "X-Forwarded-For: 192.0.2.7\r\n"
#define OUR_PROTO "X-Forwarded-Proto: https\r\n"
#define OUR_HOST "X-Forwarded-Host: api.example\r\n"
#define OUR_ELEMENT "for=192.0.2.7;host=api.example;proto=https\r\n"

TEST(what_a_trusted_proxy_says_is_gone_on_with) {
    static const struct {
        const char *sent, *told;
    } rows[] = {
        {"", OUR_FOR OUR_PROTO OUR_HOST},
        {"X-Forwarded-For: 10.0.0.1\n",
         "X-Forwarded-For: 10.0.0.1, 192.0.2.7\r\n" OUR_PROTO OUR_HOST},
        {"x-forwarded-for: 10.0.0.1, 10.0.0.2\nA: 1\nX-FORWARDED-FOR: 10.0.0.3\n",
         "X-Forwarded-For: 10.0.0.1, 10.0.0.2, 10.0.0.3, 192.0.2.7\r\n" OUR_PROTO OUR_HOST},
        {"X-Forwarded-For:\nX-Forwarded-For: 10.0.0.1\n",
         "X-Forwarded-For: 10.0.0.1, 192.0.2.7\r\n" OUR_PROTO OUR_HOST},
        {"X_Forwarded_For: 10.0.0.1\nX-Forwarded_Proto: http\nXForwardedHost: b\nFor_warded: x\n",
         OUR_FOR OUR_PROTO OUR_HOST},
        {"X-Forwarded-Proto: http\n", OUR_FOR "X-Forwarded-Proto: http\r\n" OUR_HOST},
        {"X-Forwarded-Proto: http\nX-Forwarded-Proto: HTTP\n",
         OUR_FOR "X-Forwarded-Proto: HTTP\r\n" OUR_HOST},
        {"X-Forwarded-Proto: http\nX-Forwarded-Proto: https\n", OUR_FOR OUR_PROTO OUR_HOST},
        {"X-Forwarded-Proto:\n", OUR_FOR OUR_PROTO OUR_HOST},
        {"X-Forwarded-Host: b:8443\n", OUR_FOR OUR_PROTO "X-Forwarded-Host: b:8443\r\n"},
        {"X-Forwarded-Host: b\nX-Forwarded-Host: c\n", OUR_FOR OUR_PROTO OUR_HOST},
        {"Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded\n"
         "X-Forwarded-For: 10.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: b\n"
         "Forwarded: for=10.0.0.1\n",
         "X-Forwarded-For: 10.0.0.1, 192.0.2.7\r\nX-Forwarded-Proto: http\r\n"
         "X-Forwarded-Host: b\r\nForwarded: for=10.0.0.1, " OUR_ELEMENT},
        {"Forwarded: for=10.0.0.1;proto=http, for=\"[::1]\"\nForwarded: for=\"a\\\"b\"\n",
         OUR_FOR OUR_PROTO OUR_HOST
         "Forwarded: for=10.0.0.1;proto=http, for=\"[::1]\", for=\"a\\\"b\", " OUR_ELEMENT},
        /* a quoted string that does not end would swallow our element */
        {"Forwarded: for=10.0.0.1\nForwarded: for=\"x\n",
         OUR_FOR OUR_PROTO OUR_HOST "Forwarded: " OUR_ELEMENT},
        {"Forwarded: for=\"x\\\"\n", OUR_FOR OUR_PROTO OUR_HOST "Forwarded: " OUR_ELEMENT},
        {"Forwarded: for=\"x\\\n", OUR_FOR OUR_PROTO OUR_HOST "Forwarded: " OUR_ELEMENT},
        {"Forwarded: a\\\"\n", OUR_FOR OUR_PROTO OUR_HOST "Forwarded: " OUR_ELEMENT},
        {"Forwarded: for=\"x\\\\\"\n",
         OUR_FOR OUR_PROTO OUR_HOST "Forwarded: for=\"x\\\\\", " OUR_ELEMENT},
    };
    struct scene *scene = scene_new();
    scene->request.from_proxy = true;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char expected[1024];
        client_sends(scene, rows[i].sent);
        snprintf(expected, sizeof expected, "%s" ID "%s\r\n",
                 strstr(rows[i].sent, "A: 1") ? LINE "A: 1\r\n" : LINE, rows[i].told);
        ck_assert_msg(strcmp(forward(scene), expected) == 0, "row %zu: %s", i, scene->out.data);
    }
    scene_free(scene);
}

/* --- framing ------------------------------------------------------------------------------- */

TEST(a_body_is_framed_in_one_way_whatever_the_client_wrote) {
    static const struct {
        struct span method;
        enum forward_body body;
        uint64_t length;
        const char *framing;
    } rows[] = {
        {S("GET"), FORWARD_NO_BODY, 0, ""},
        {S("HEAD"), FORWARD_NO_BODY, 0, ""},
        {S("DELETE"), FORWARD_NO_BODY, 7, ""},
        {S("post"), FORWARD_NO_BODY, 0, ""},
        {S("POST"), FORWARD_NO_BODY, 7, "Content-Length: 0\r\n"},
        {S("PUT"), FORWARD_NO_BODY, 0, "Content-Length: 0\r\n"},
        {S("PATCH"), FORWARD_NO_BODY, 0, "Content-Length: 0\r\n"},
        {S("GET"), FORWARD_LENGTH, 5, "Content-Length: 5\r\n"},
        {S("POST"), FORWARD_LENGTH, 0, "Content-Length: 0\r\n"},
        {S("POST"), FORWARD_LENGTH, UINT64_MAX, "Content-Length: 18446744073709551615\r\n"},
        {S("PUT"), FORWARD_CHUNKED, 5, "Transfer-Encoding: chunked\r\n"},
        {S("GET"), FORWARD_CHUNKED, 0, "Transfer-Encoding: chunked\r\n"},
    };
    struct scene *scene = scene_new();
    client_sends(scene,
                 "Content-Length: 1\nContent-Length: 2\nContent_Length: 3\ncontentlength: 4\n"
                 "Transfer-Encoding: gzip\nTransfer_Encoding: chunked\nTE: x\nTrailer: y\n"
                 "Expect: 100-continue\nExpect_: 1\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char expected[1024];
        scene->request.method = rows[i].method;
        scene->request.body = rows[i].body;
        scene->request.length = rows[i].length;
        snprintf(expected, sizeof expected,
                 "%.*s /a HTTP/1.1\r\nHost: api.example\r\n%s" ID ORIGIN END,
                 SPAN_PRINTF(rows[i].method), rows[i].framing);
        ck_assert_msg(strcmp(forward(scene), expected) == 0, "row %zu: %s", i, scene->out.data);
    }
    scene_free(scene);
}

TEST(an_upgrade_and_an_expectation_are_asked_for_in_our_words) {
    struct scene *scene = scene_new();
    scene->request.upgrade = S("websocket");
    scene->request.expects_continue = true;
    client_sends(scene,
                 "Connection: keep-alive, Upgrade\nUpgrade: websocket\nExpect: 100-Continue\n"
                 "Sec-WebSocket-Version: 13\n");
    ck_assert_str_eq(forward(scene), LINE "Sec-WebSocket-Version: 13\r\n"
                                          "Expect: 100-continue\r\n"
                                          "Connection: upgrade\r\n"
                                          "Upgrade: websocket\r\n" ID ORIGIN END);
    scene_free(scene);
}

/* --- request line and host ----------------------------------------------------------------- */

TEST(paths_are_rewritten_in_whole_segments) {
    static const struct {
        const char *path, *strip, *add, *target;
    } rows[] = {
        {"/", "", "", "/"},
        {"/a/b", "", "", "/a/b"},
        {"/a/", "", "", "/a/"},
        {"/orders/1", "/orders", "", "/1"},
        {"/orders", "/orders", "", "/"},
        {"/orders/", "/orders", "", "/"},
        {"/orders/1/", "/orders", "", "/1/"},
        {"/orders/1", "/orders/", "", "/1"},
        {"/orders", "/orders/", "", "/"},
        {"/ordersx", "/orders", "", "/ordersx"},
        {"/ordersx/1", "/orders", "", "/ordersx/1"},
        {"/orders;v=1/1", "/orders", "", "/orders;v=1/1"},
        {"/order", "/orders", "", "/order"},
        {"/x/orders/1", "/orders", "", "/x/orders/1"},
        {"/Orders/1", "/orders", "", "/Orders/1"},
        {"/orders/orders/1", "/orders", "", "/orders/1"},
        {"/a/b/c", "/a/b", "", "/c"},
        {"/a", "/", "", "/a"},
        {"/1", "", "/v2", "/v2/1"},
        {"/", "", "/v2", "/v2/"},
        {"/1", "", "/v2/", "/v2/1"},
        {"/1", "", "/", "/1"},
        {"/1", "", "//", "/1"},
        {"/1", "", "//evil.example", "/evil.example/1"},
        {"/1", "", "v2", "/v2/1"},
        {"/orders/1", "/orders", "/v2", "/v2/1"},
        {"/orders", "/orders", "/v2", "/v2/"},
        {"/orders/1", "/orders", "/orders", "/orders/1"},
        {"//evil.example", "", "", "/evil.example"},
        {"/orders//evil.example", "/orders", "", "/evil.example"},
    };
    struct scene *scene = scene_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char strip[32], add[32], expected[64];
        strcpy(strip, rows[i].strip);
        strcpy(add, rows[i].add);
        scene->route.strip_prefix = strip;
        scene->route.add_prefix = add;
        scene->request.path = span_of(rows[i].path);
        snprintf(expected, sizeof expected, "GET %s HTTP/1.1\r\nHost: ", rows[i].target);
        ck_assert_msg(strncmp(forward(scene), expected, strlen(expected)) == 0, "row %zu: %s", i,
                      scene->out.data);
    }
    scene_free(scene);
}

TEST(the_query_goes_along_as_it_came) {
    static const struct {
        struct span query;
        const char *line;
    } rows[] = {
        {SPAN_NONE, "GET /a HTTP/1.1\r\n"},
        {S(""), "GET /a? HTTP/1.1\r\n"},
        {S("x=%2f%zz&x=?//"), "GET /a?x=%2f%zz&x=?// HTTP/1.1\r\n"},
    };
    struct scene *scene = scene_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        scene->request.query = rows[i].query;
        const char *head = forward(scene);
        ck_assert_msg(strncmp(head, rows[i].line, strlen(rows[i].line)) == 0, "%s", head);
    }
    scene_free(scene);
}

TEST(there_is_one_host_the_clients_or_the_targets) {
    static const struct {
        enum host_header wanted;
        struct span host;
        const char *sent;
    } rows[] = {
        {HOST_CLIENT, S("api.example"), "\r\nHost: api.example\r\n"},
        {HOST_TARGET, S("api.example"), "\r\nHost: 10.0.0.1:9001\r\n"},
        {HOST_CLIENT, SPAN_NONE, "\r\nHost: 10.0.0.1:9001\r\n"},
        {HOST_TARGET, SPAN_NONE, "\r\nHost: 10.0.0.1:9001\r\n"},
    };
    struct scene *scene = scene_new();
    client_sends(scene, "Host: other\nhost: other\nH-ost: other\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        scene->upstream.host = rows[i].wanted;
        scene->request.host = rows[i].host;
        const char *head = forward(scene);
        ck_assert_msg(strstr(head, rows[i].sent), "row %zu: %s", i, head);
        ck_assert_uint_eq(count_lines(head, "Host:"), 1);
        ck_assert_msg(!strstr(head, "other"), "row %zu: %s", i, head);
    }
    scene_free(scene);
}

/* --- single questions ---------------------------------------------------------------------- */

TEST(trailers_hold_nothing_that_a_head_decides_by) {
    static const struct {
        struct span name;
        bool taken;
    } rows[] = {
        {S("X-Checksum"), true},
        {S("Digest"), true},
        {S("grpc-status"), true},
        {S("Server-Timing"), true},
        {S("Content-Length"), false},
        {S("Content_Length"), false},
        {S("Transfer-Encoding"), false},
        {S("transfer.encoding"), false},
        {S("Trailer"), false},
        {S("Host"), false},
        {S("Connection"), false},
        {S("TE"), false},
        {S("Authorization"), false},
        {S("Proxy-Authorization"), false},
        {S("Cookie"), false},
        {S("Set-Cookie"), false},
        {S("Content-Type"), false},
        {S("CONTENT_TYPE"), false},
        {S("Content-Encoding"), false},
        {S("Content-Range"), false},
        {S("Cache-Control"), false},
        {S("Range"), false},
        {S("If-Match"), false},
        {S("Expect"), false},
        {S("Max-Forwards"), false},
        {S("Age"), false},
        {S("Content-Location"), false},
        {S("Date"), false},
        {S("DPoP"), false},
        {S("Expires"), false},
        {S("If-Modified-Since"), false},
        {S("If-None-Match"), false},
        {S("If-Range"), false},
        {S("If-Unmodified-Since"), false},
        {S("Location"), false},
        {S("Origin"), false},
        {S("Pragma"), false},
        {S("Retry-After"), false},
        {S("Vary"), false},
        {S("Warning"), false},
        {S("WWW-Authenticate"), false},
        {S("X-Auth-User"), false},
        {S("x_auth_user"), false},
        {S("X-Auth-Assertion"), false},
        {S("X-Forwarded-For"), false},
        {S("X-Forwarded-Foo"), false},
        {S("X-Real-IP"), false},
        {S("Forwarded"), false},
        {S("X-HTTP-Method-Override"), false},
        {S("X-Request-Id"), false},
        {S("X Y"), false},
        {S(""), false},
    };
    struct scene *scene = scene_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(forward_takes_trailer(scene->rules, rows[i].name) == rows[i].taken, "%.*s",
                      SPAN_PRINTF(rows[i].name));
    scene_free(scene);
}

TEST(g10_fields_of_the_upstreams_connection_are_known) {
    static const struct {
        const char *name;
        bool hop_by_hop;
    } rows[] = {
        {"Connection", true},
        {"connection", true},
        {"Keep-Alive", true},
        {"Proxy-Connection", true},
        {"TE", true},
        {"Trailer", true},
        {"Transfer-Encoding", true},
        {"transfer_encoding", true},
        {"Upgrade", true},
        {"Proxy-Authenticate", true},
        {"X-One", true},
        {"x_one", true},
        {"X-Two", true},
        {"X-Three", true},
        {"X-Four", false},
        {"X-On", false},
        {"X-Ones", false},
        {"Content-Length", false},
        {"Set-Cookie", false},
        {"WWW-Authenticate", false},
        {"Server", false},
        {"-", false},
        {"", false},
    };
    static const struct field fields[] = {
        {S("Server"), S("X-Four")},
        {S("Connection"), S("close, X-One ,x-two,,")},
        {S("connection"), S("X_THREE")},
    };
    const struct fields named = {fields, ARRAY_LEN(fields)}, none = {NULL, 0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(forward_is_hop_by_hop(span_of(rows[i].name), named) == rows[i].hop_by_hop,
                      "%s", rows[i].name);
        if (strncasecmp(rows[i].name, "x", 1) == 0)
            ck_assert_msg(!forward_is_hop_by_hop(span_of(rows[i].name), none), "%s", rows[i].name);
    }
}

TEST(i8_an_upgrade_is_asked_for_only_where_nothing_hides_in_it) {
    static const struct {
        const char *sent;
        const char *upgrade; /* NULL: none */
    } rows[] = {
        {"Connection: Upgrade\nUpgrade: websocket\n", "websocket"},
        {"upgrade: WebSocket\nconnection: keep-alive, upgrade\n", "WebSocket"},
        {"Connection: keep-alive\nConnection: upgrade\nUpgrade: a/1.0, b\n", "a/1.0, b"},
        {"Connection: upgrade\nUpgrade: a,,b\n", "a,,b"},
        {"", NULL},
        {"Connection: upgrade\n", NULL},
        {"Upgrade: websocket\n", NULL},
        {"Connection: close\nUpgrade: websocket\n", NULL},
        {"Connection: upgrade2\nUpgrade: websocket\n", NULL},
        {"Connection: up-grade\nUpgrade: websocket\n", NULL},
        {"Connection: upgrade\nUp-grade: websocket\n", NULL},
        {"Connec-tion: upgrade\nUpgrade: websocket\n", NULL},
        {"Connection: upgrade\nUpgrade: websocket\nUpgrade: websocket\n", NULL},
        {"Connection: upgrade\nUpgrade:\nUpgrade: websocket\n", NULL},
        {"Connection: upgrade\nUpgrade:\n", NULL},
        {"Connection: upgrade\nUpgrade: ,\n", NULL},
        {"Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAA\n", NULL},
        {"Connection: upgrade\nUpgrade: H2C\n", NULL},
        {"Connection: upgrade\nUpgrade: websocket, h2c\n", NULL},
        {"Connection: upgrade\nUpgrade: h2c ,websocket\n", NULL},
        {"Connection: upgrade\nUpgrade: h2c/1\n", NULL},
        {"Connection: upgrade\nUpgrade: h2\n", NULL},
        {"Connection: upgrade\nUpgrade: HTTP/2.0\n", NULL},
        {"Connection: upgrade\nUpgrade: TLS/1.2, HTTP/1.1\n", NULL},
        {"Connection: upgrade\nUpgrade: web socket\n", NULL},
        {"Connection: upgrade\nUpgrade: websocket/\n", NULL},
        {"Connection: upgrade\nUpgrade: a/b/c\n", NULL},
        {"Connection: upgrade\nUpgrade: \"websocket\"\n", NULL},
    };
    struct scene *scene = scene_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        client_sends(scene, rows[i].sent);
        struct span upgrade = forward_upgrade(scene->request.fields);
        ck_assert_msg(rows[i].upgrade ? span_equal_text(upgrade, rows[i].upgrade) : !upgrade.ptr,
                      "row %zu: %.*s", i, SPAN_PRINTF(upgrade));
    }
    scene_free(scene);
}

TEST(what_the_configuration_calls_identity_is_never_trusted_from_anyone) {
    struct config_identity_header own[] = {
        {(char[]){"X-Forwarded-Prefix"}, (char[]){"user"}},
        {(char[]){"Authorization"}, (char[]){"subject"}},
        {(char[]){"X-Checksum"}, (char[]){"roles"}},
    };
    const struct config other = {
        .identity_headers = own, .identity_header_count = 3, .assertion.header = (char[]){""}};
    struct scene *scene = scene_new();
    forward_rules_free(scene->rules);
    scene->rules = forward_rules_new(&other);
    scene->request.from_proxy = true;
    scene->request.assertion = S("a.b.c");
    scene->route.forward_token = true;
    client_sends(
        scene, "X-Forwarded-Prefix: evil\nAuthorization: evil\nX-Checksum: evil\nX-Auth-User: a\n");
    const char *head = forward(scene);
    ck_assert_msg(!strstr(head, "evil") && !strstr(head, "a.b.c"), "%s", head);
    ck_assert_msg(strstr(head, LINE "X-Auth-User: a\r\n" ID), "%s", head);
    ck_assert(!forward_takes_trailer(scene->rules, S("X-Checksum")));
    scene_free(scene);
}
