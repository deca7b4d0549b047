/*
 * `bearerd explain` as people run it: what it says about tokens of every kind, that the daemon says
 * the same, where it gets keys from, and what it takes for a token.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/utf8.h"
#include "tests/support/issuer.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define SLOW (SCENE_SANITIZED ? 4 : 1)
#define ANSWER_MS (10000 * SLOW)
#define ARGUMENTS_MAX 16

/* --- the command ----------------------------------------------------------------------------- */

/* What it said. told_done() frees it. */
struct told {
    int code;
    char *out;
    char *errors;
    json_t *json; /* of out; NULL where that is none */
};

static void told_done(struct told *told) {
    free(told->out);
    free(told->errors);
    json_decref(told->json);
}

/* Run it with these arguments (up to NULL) and that standard input. */
static struct told explain_input(const char *const arguments[], struct span input) {
    char *program = daemon_program();
    const char *argv[ARGUMENTS_MAX + 3] = {program, "explain"};
    for (size_t i = 0; arguments[i]; i++) argv[i + 2] = arguments[i];
    struct process *process = process_start_with_input(argv, NULL, input);
    struct told told = {.code = process_wait_exit(process, ANSWER_MS)};
    told.out = process_output(process);
    told.errors = process_errors(process);
    told.json = json_loads(told.out, JSON_REJECT_DUPLICATES, NULL);
    process_free(process);
    free(program);
    return told;
}
#define EXPLAIN_INPUT(input, ...)                                                                  \
    explain_input((const char *const[ARGUMENTS_MAX]){__VA_ARGS__}, span_of(input))
#define EXPLAIN(...) EXPLAIN_INPUT("", __VA_ARGS__)

static char *config_of(const struct scene *scene) {
    return scratch_text("%s/bearerd.yaml", scene->daemon->folder);
}

static const char *member(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* The first step that failed; NULL. */
static const json_t *find_failed(const json_t *report) {
    size_t i;
    json_t *step;
    json_array_foreach(json_object_get(report, "steps"), i, step) {
        if (json_is_false(json_object_get(step, "ok"))) return step;
    }
    return NULL;
}

/* The text of the first step of that name; "" where there is none. */
static const char *step_text(const json_t *report, const char *name) {
    size_t i;
    json_t *step;
    json_array_foreach(json_object_get(report, "steps"), i, step) {
        if (strcmp(member(step, "step"), name) == 0) return member(step, "text");
    }
    return "";
}

/* The last line of a text, without its end. Points into it. */
static struct span last_line(const char *text) {
    struct span all = span_of(text), line = SPAN_NONE, next;
    if (all.len && all.ptr[all.len - 1] == '\n') all.len--;
    while (span_next(&all, '\n', &next)) line = next;
    return line;
}

/* --- each fault of a token, and the daemon's word on it --------------------------------------- */

/* A request with a token, which is good but for what the row says. */
struct row {
    const char *name;
    const char *changes;   /* of the claims */
    const char *header;    /* NULL: that of a good token */
    const char *algorithm; /* by which it is signed; NULL: ES256 */
    enum mint_key key;     /* 0 (an RSA key) where none is given: MINT_P256 */
    const char *token;     /* this very text */
    const char *url;       /* path; NULL: /profile/ */
    const char *method;    /* NULL: GET */
    const char *step;      /* the first that fails; NULL: it is allowed */
    const char *text;      /* a part of what that step says */
    const char *reason;
};

#define HEADER(members) "{\"kid\":\"k1\"," members "}"
#define AT_JWT "\"typ\":\"at+jwt\""

static const struct row rows[] = {
    {.name = "good"},
    {.name = "good, posted", .url = "/any", .method = "POST"},
    {.name = "one part",
     .token = "opaque",
     .step = "structure",
     .text = "three",
     .reason = "token_malformed"},
    {.name = "not base64",
     .token = "a*.b.c",
     .step = "credential",
     .text = "Bearer",
     .reason = "credentials_malformed"},
    {.name = "not JSON",
     .token = "AAAA.AAAA.AAAA",
     .step = "structure",
     .text = "header",
     .reason = "token_malformed"},
    {.name = "JWE",
     .token = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkExMjhHQ00ifQ.AA.AA.AA.AA",
     .step = "structure",
     .text = "encrypted (JWE)",
     .reason = "token_encrypted"},
    {.name = "crit",
     .header = HEADER("\"alg\":\"ES256\",\"crit\":[\"x\"],\"x\":1"),
     .step = "header",
     .text = "crit",
     .reason = "header_not_accepted"},
    {.name = "an ID token's typ",
     .header = HEADER("\"alg\":\"ES256\",\"typ\":\"logout+jwt\""),
     .step = "type",
     .text = "at+jwt",
     .reason = "type_not_accepted"},
    {.name = "alg none",
     .header = HEADER("\"alg\":\"none\""),
     .algorithm = "none",
     .token = "eyJhbGciOiJub25lIn0.e30.AA",
     .step = "algorithm",
     .text = "none",
     .reason = "algorithm_not_allowed"},
    {.name = "alg that is not listed",
     .header = HEADER("\"alg\":\"RS512\"," AT_JWT),
     .algorithm = "RS512",
     .key = MINT_RSA_OTHER,
     .step = "algorithm",
     .text = "RS512",
     .reason = "algorithm_not_allowed"},
    {.name = "no iss",
     .changes = "{\"iss\":null}",
     .step = "issuer",
     .text = "no iss",
     .reason = "claim_missing"},
    {.name = "another issuer",
     .changes = "{\"iss\":\"https://elsewhere.example\"}",
     .step = "issuer",
     .text = "https://elsewhere.example is not configured; configured: "
             "https://idp.example",
     .reason = "issuer_unknown"},
    {.name = "a slash",
     .changes = "{\"iss\":\"https://idp.example/\"}",
     .step = "issuer",
     .text = "only a slash at the end differs",
     .reason = "issuer_unknown"},
    {.name = "case",
     .changes = "{\"iss\":\"https://IdP.example\"}",
     .step = "issuer",
     .text = "only upper and lower case differ",
     .reason = "issuer_unknown"},
    {.name = "Okta",
     .changes = "{\"iss\":\"https://idp.example/oauth2/default\"}",
     .step = "issuer",
     .text = "custom server",
     .reason = "issuer_unknown"},
    {.name = "another tenant",
     .changes = "{\"iss\":\"https://idp.example/oauth2/aus1\"}",
     .step = "issuer",
     .text = "another server or tenant of the same site",
     .reason = "issuer_unknown"},
    {.name = "http",
     .changes = "{\"iss\":\"http://idp.example\"}",
     .step = "issuer",
     .text = "one is http, the other https",
     .reason = "issuer_unknown"},
    {.name = "another key",
     .header = "{\"alg\":\"ES256\",\"kid\":\"other\"," AT_JWT "}",
     .step = "key",
     .text = "it names kid other; the issuer has: k1, rs, twice, twice",
     .reason = "key_not_found"},
    {.name = "the wrong kind of key",
     .header = "{\"alg\":\"PS256\",\"kid\":\"rs\"," AT_JWT "}",
     .algorithm = "PS256",
     .key = MINT_RSA_4096,
     .step = "key",
     .text = "must not be used",
     .reason = "key_not_fit"},
    {.name = "two keys",
     .header = "{\"alg\":\"ES256\",\"kid\":\"twice\"," AT_JWT "}",
     .step = "key",
     .text = "several keys",
     .reason = "key_not_clear"},
    {.name = "another's signature",
     .key = MINT_P256_OTHER,
     .step = "signature",
     .text = "not made by that key",
     .reason = "signature_invalid"},
    {.name = "another's signature, and expired",
     .key = MINT_P256_OTHER,
     .changes = "{\"exp\":1000}",
     .step = "signature",
     .text = "says of itself",
     .reason = "signature_invalid"},
    {.name = "no sub, as a profile wants it",
     .changes = "{\"sub\":7}",
     .step = "subject",
     .text = "not a string",
     .reason = "claim_invalid"},
    {.name = "another API",
     .changes = "{\"aud\":[\"theirs\",\"yours\"]}",
     .step = "audience",
     .text = "'theirs', 'yours'; expected 'api'",
     .reason = "audience_mismatch"},
    {.name = "no audience",
     .changes = "{\"aud\":null}",
     .step = "audience",
     .text = "no aud",
     .reason = "claim_missing"},
    {.name = "expired",
     .changes = "{\"exp\":1700000000,\"iat\":1699999000}",
     .step = "expiry",
     .text = "token expired at 2023-11-14T22:13:20Z; current time",
     .reason = "token_expired"},
    {.name = "without end",
     .changes = "{\"exp\":null}",
     .step = "expiry",
     .text = "no exp",
     .reason = "claim_missing"},
    {.name = "not yet",
     .changes = "{\"nbf\":32503680000,\"exp\":32503690000}",
     .step = "not before",
     .text = "not valid before 3000-01-01",
     .reason = "token_not_yet_valid"},
    {.name = "from the future",
     .changes = "{\"iat\":32503680000,\"exp\":32503690000}",
     .step = "issued at",
     .text = "allowed clock skew 60 s",
     .reason = "token_from_future"},
    {.name = "too long",
     .changes = "{\"exp\":32503690000}",
     .step = "lifetime",
     .text = "at most 1 d",
     .reason = "lifetime_too_long"},
    {.name = "bound",
     .changes = "{\"cnf\":{\"jkt\":\"x\"}}",
     .step = "binding",
     .text = "cnf",
     .reason = "token_bound"},
    {.name = "nobody",
     .changes = "{\"sub\":null,\"email\":null}",
     .step = "user",
     .text = "names no user",
     .reason = "user_missing"},
    {.name = "scopes of a wrong kind",
     .changes = "{\"scope\":7}",
     .step = "claims",
     .text = "scope",
     .reason = "claim_invalid"},
    {.name = "denied by jti",
     .changes = "{\"jti\":\"j1\"}",
     .step = "deny list",
     .text = "denied by its jti j1 of https://idp.example, until 2999-01-01T00:00:00Z; note: lost",
     .reason = "token_revoked"},
    {.name = "denied by sub",
     .changes = "{\"sub\":\"carol\"}",
     .step = "deny list",
     .text = "denied by its sub carol, for good",
     .reason = "token_revoked"},
    {.name = "no scope of the issuer",
     .changes = "{\"scope\":\"profile\"}",
     .url = "/any",
     .step = "scopes of the issuer",
     .text = "'openid'",
     .reason = "scope_missing"},
    {.name = "no scope of the route",
     .url = "/scopes",
     .step = "requires scopes",
     .text = "'admin'",
     .reason = "scope_missing"},
    {.name = "no role",
     .url = "/roles",
     .step = "requires roles",
     .text = "'boss'",
     .reason = "role_missing"},
    {.name = "another claim",
     .url = "/claims",
     .step = "requires claims",
     .text = "plan",
     .reason = "claim_not_met"},
    {.name = "another issuer's route",
     .url = "/issuers",
     .step = "requires issuer",
     .text = "https://idp.example",
     .reason = "issuer_not_allowed"},
    {.name = "another audience's route",
     .url = "/audiences",
     .step = "requires audience",
     .text = "'second'",
     .reason = "audience_mismatch"},
    {.name = "ruled out",
     .url = "/not",
     .step = "requires not",
     .text = "ruled out",
     .reason = "ruled_out"},
    {.name = "old",
     .url = "/age",
     .changes = "{\"iat\":1700000000}",
     .step = "requires token age",
     .text = "2023-11-14",
     .reason = "token_too_old"},
    {.name = "a weak login",
     .url = "/acr",
     .changes = "{\"acr\":\"password\"}",
     .step = "requires login",
     .text = "'password'",
     .reason = "acr_not_met"},
    {.name = "an old login",
     .url = "/login",
     .changes = "{\"auth_time\":1700000000}",
     .step = "requires login age",
     .text = "2023-11-14",
     .reason = "login_too_old"},
    {.name = "no alternative",
     .url = "/any_of",
     .step = "requires any_of",
     .text = "number 1 of 2: the token lacks the scope 'a'",
     .reason = "scope_missing"},
    {.name = "one alternative", .url = "/any_of", .changes = "{\"scope\":\"openid b\"}"},
    {.name = "part of all",
     .url = "/all_of",
     .step = "requires scopes",
     .text = "'b'",
     .changes = "{\"scope\":\"openid a\"}",
     .reason = "scope_missing"},
    {.name = "only tried out", .url = "/report"},
    {.name = "no route",
     .url = "/no/such/path",
     .step = "route",
     .text = "nothing is configured",
     .reason = "no_route"},
    {.name = "no route, and expired",
     .url = "/no/such/path",
     .changes = "{\"exp\":1000}",
     .step = "route",
     .text = "nothing is configured",
     .reason = "no_route"},
    {.name = "no such method",
     .url = "/profile/",
     .method = "DELETE",
     .step = "route",
     .text = "not for that method",
     .reason = "method_not_allowed"},
    {.name = "no such method, and expired",
     .url = "/profile/",
     .method = "DELETE",
     .changes = "{\"exp\":1000,\"iat\":900}",
     .step = "route",
     .text = "not for that method",
     .reason = "token_expired"},
    {.name = "no such method where all may ask",
     .url = "/open",
     .method = "PUT",
     .step = "route",
     .text = "does not take that method",
     .reason = "method_not_allowed"},
    {.name = "not a plain path",
     .url = "/a%2fb",
     .step = "route",
     .text = "request target",
     .reason = "target"},
    {.name = "expired where all may ask",
     .url = "/open",
     .changes = "{\"exp\":1000,\"iat\":900}",
     .step = "expiry",
     .text = "expired",
     .reason = "token_expired"},
    {.name = "metadata", .url = "/.well-known/oauth-protected-resource"},
    {.name = "metadata, deleted",
     .url = "/.well-known/oauth-protected-resource",
     .method = "DELETE",
     .reason = "method_not_allowed"},
    {.name = "a capture", .url = "/of/alice"},
    {.name = "another capture",
     .url = "/of/bob",
     .step = "requires claims",
     .text = "sub",
     .reason = "claim_not_met"},
};

/* A route at path that requires so. */
#define VERDICT(path, require)                                                                     \
    "  - {path: \"" path "\", respond: verdict, require: {" require "}}\n"

#define ROUTES                                                                                     \
    "routes:\n"                                                                                    \
    "  - {path: /profile/, respond: profile}\n"                                                    \
    "  - {path: /any, methods: [GET, POST], respond: verdict}\n"                                   \
    "  - {path: /report, respond: verdict, mode: report, require: {scopes: [admin]}}\n"            \
    "  - {path: /open, methods: [GET], respond: verdict, anonymous: allow}\n" VERDICT(             \
        "/scopes", "scopes: [openid, admin]") VERDICT("/roles", "roles: [boss]")                   \
        VERDICT("/claims", "claims: [{name: plan, equals: gold}]")                                 \
            VERDICT("/issuers", "issuers: [\"https://second.example\"]") VERDICT(                  \
                "/audiences", "audiences: [second]") VERDICT("/not", "not: {scopes: [openid]}")    \
                VERDICT("/age", "max_token_age: 10m") VERDICT("/acr", "acr: [mfa]")                \
                    VERDICT("/login", "max_auth_age: 10m")                                         \
                        VERDICT("/any_of", "any_of: [{scopes: [a]}, {scopes: [b]}]")               \
                            VERDICT("/all_of", "all_of: [{scopes: [a]}, {scopes: [b]}]")           \
                                VERDICT("/of/{who}", "claims: [{name: sub, equals: \"{who}\"}]")

#define DENIED                                                                                     \
    "{\"sub\": \"carol\"}\n"                                                                       \
    "{\"jti\": \"j1\", \"issuer\": \"https://idp.example\", "                                      \
    "\"until\": \"2999-01-01T00:00:00Z\", \"note\": \"lost\"}\n"

static struct scene open_scene(char **ret_rest) {
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), SCENE_KID, "ES256"),
                           mint_jwk(mint_key(MINT_RSA_4096), "rs", "RS256"),
                           mint_jwk(mint_key(MINT_P256_OTHER), "twice", "ES256"),
                           mint_jwk(mint_key(MINT_P256), "twice", "ES256"));
    char *folder = scratch_new(), *list = scratch_file(folder, "deny", span_of(DENIED));
    *ret_rest = scratch_text("deny_list: \"%s\"\n"
                             "resources: [{resource: \"https://api.example/\"}]\n" ROUTES,
                             list);
    struct scene scene = scene_start(&(struct scene_options){
        .jwks = jwks,
        .issuer = ", algorithms: [ES256, RS256, PS256], max_lifetime: 1d, scopes: [openid]}, "
                  "{issuer: \"https://second.example\", audiences: [api, second], "
                  "jwks_uri: \"http://127.0.0.1:9/\"",
        .rest = *ret_rest});
    free(list);
    free(folder);
    free(jwks);
    return scene;
}

static char *token_of(const struct row *row) {
    EVP_PKEY *key = mint_key(row->key ? row->key : MINT_P256);
    const char *algorithm = row->algorithm ? row->algorithm : "ES256";
    if (row->token) return strdup(row->token);
    if (!row->header) return mint_good(SCENE_ISSUER, algorithm, key, SCENE_KID, row->changes);
    char *claims = mint_claims(SCENE_ISSUER, row->changes);
    char *token = mint_token(row->header, claims, algorithm, key);
    free(claims);
    return token;
}

static void check_told(const struct row *row, const struct told *told) {
    ck_assert_msg(told->json && *told->errors == '\0', "%s: %s%s", row->name, told->out,
                  told->errors);
    ck_assert_msg(told->code == (row->reason ? 1 : 0), "%s: %d: %s", row->name, told->code,
                  told->out);
    ck_assert_msg(json_is_true(json_object_get(told->json, "allowed")) == !row->reason, "%s: %s",
                  row->name, told->out);
    if (row->reason) {
        ck_assert_msg(strcmp(member(told->json, "reason"), row->reason) == 0, "%s: %s", row->name,
                      told->out);
        ck_assert_msg(*member(told->json, "advice"), "%s: %s", row->name, told->out);
    }
    const json_t *failed = find_failed(told->json);
    if (!row->step) return;
    ck_assert_msg(failed && strcmp(member(failed, "step"), row->step) == 0 &&
                      strstr(member(failed, "text"), row->text),
                  "%s: %s", row->name, told->out);
}

/*
 * The daemon's status, challenge and words are the same. False where only the words are others:
 * they may tell the time, and a second has passed.
 */
static bool check_daemon(const struct scene *scene, const struct row *row, const char *token,
                         const json_t *report) {
    struct client *client = client_connect(scene->daemon->port);
    struct response response;
    ck_assert(client_sendf(client,
                           "%s %s HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer "
                           "%s\r\nContent-Length: 0\r\n\r\n",
                           row->method ? row->method : "GET", row->url ? row->url : "/profile/",
                           token));
    ck_assert_int_eq(client_read(client, ANSWER_MS, &response), CLIENT_OK);
    int status = (int)json_integer_value(json_object_get(report, "status"));
    ck_assert_msg(response.status == status, "%s: %d, explained as %d", row->name, response.status,
                  status);
    struct span challenge = response_header(&response, "WWW-Authenticate");
    const char *told = member(report, "challenge");
    bool same = *told ? span_equal_text(challenge, told) : !challenge.ptr;
    json_t *body = json_loads(response.body, 0, NULL);
    if (row->reason && strcmp(member(body, "error_description"), member(report, "description")))
        same = false;
    json_decref(body);
    client_response_done(&response);
    client_free(client);
    return same;
}

/* For people: the same verdict, and what to change as the last line. */
static void check_text(const struct row *row, const struct told *told, const json_t *report) {
    struct span last = last_line(told->out);
    char *expected = row->reason ? scratch_text("to change: %s", member(report, "advice"))
                                 : strdup("allowed: 200");
    bool reported = json_is_true(json_object_get(report, "report_only"));
    ck_assert_msg(reported || span_equal_text(last, expected), "%s: %s", row->name, told->out);
    free(expected);
    ck_assert_int_eq(told->code, row->reason ? 1 : 0);
    ck_assert_msg(!row->reason || strstr(told->out, row->reason), "%s: %s", row->name, told->out);
    ck_assert_msg(!row->step || strstr(told->out, "\nFAILED ") ||
                      strncmp(told->out, "FAILED ", 7) == 0,
                  "%s: %s", row->name, told->out);
}

/* The signature, whole or in part, is nowhere. */
static void check_unsigned(const struct row *row, const char *token, const struct told *told) {
    const char *dot = strrchr(token, '.');
    if (!dot || strlen(dot) < 20) return;
    char piece[17];
    snprintf(piece, sizeof piece, "%s", dot + 1);
    ck_assert_msg(!strstr(told->out, piece) && !strstr(told->errors, piece), "%s: %s", row->name,
                  told->out);
}

TEST_WITHIN(each_fault_has_its_step_and_the_daemon_says_the_same, 120) {
    char *rest;
    struct scene scene = open_scene(&rest);
    char *path = config_of(&scene);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        char *token = token_of(row);
        char *url = scratch_text("https://api.example%s", row->url ? row->url : "/profile/");
        const char *method = row->method ? row->method : "GET";
        struct told told = {0};
        for (int tries = 1, same = false; !same; tries++) {
            told_done(&told);
            told = EXPLAIN_INPUT(token, "-c", path, "--url", url, "--method", method, "--offline",
                                 "--json", "-");
            check_told(row, &told);
            same = check_daemon(&scene, row, token, told.json);
            ck_assert_msg(same || tries < 5, "%s: the daemon says something else than %s",
                          row->name, told.out);
        }
        struct told text =
            EXPLAIN_INPUT(token, "-c", path, "--url", url, "--method", method, "--offline");
        check_text(row, &text, told.json);
        check_unsigned(row, token, &told);
        check_unsigned(row, token, &text);
        told_done(&text);
        told_done(&told);
        free(url);
        free(token);
    }
    free(path);
    free(rest);
    scene_end(&scene);
}

/* What the first fault hides is told as well, but decides nothing. */
TEST(every_fault_is_told_and_the_first_one_decides) {
    char *rest;
    struct scene scene = open_scene(&rest);
    char *path = config_of(&scene);
    char *token = scene_token("{\"aud\":\"theirs\",\"exp\":1000,\"iat\":900,\"cnf\":{},"
                              "\"scope\":\"openid\",\"email\":null}");
    struct told told = EXPLAIN_INPUT(token, "-c", path, "--url", "/scopes", "--json");
    ck_assert_str_eq(member(told.json, "reason"), "audience_mismatch");
    ck_assert_ptr_nonnull(strstr(step_text(told.json, "expiry"), "token expired at 1970-"));
    ck_assert_ptr_nonnull(strstr(step_text(told.json, "binding"), "cnf"));
    ck_assert_str_eq(step_text(told.json, "user"), "alice (from sub)");
    ck_assert_str_eq(step_text(told.json, "scopes"), "openid (from scope)");
    ck_assert_str_eq(member(told.json, "route"), "/scopes");
    told_done(&told);
    free(token);
    free(path);
    free(rest);
    scene_end(&scene);
}

TEST(a_good_token_is_told_about_as_well) {
    char *rest;
    struct scene scene = open_scene(&rest);
    char *path = config_of(&scene);
    char *token = scene_token("{\"roles\":[\"a\",\"b\"],\"aud\":[\"api\",\"x\"]}");
    struct told told = EXPLAIN_INPUT(token, "-c", path, "--json");
    ck_assert_int_eq(told.code, 0);
    ck_assert_ptr_nonnull(strstr(step_text(told.json, "route"), "no URL was given"));
    ck_assert_ptr_nonnull(strstr(step_text(told.json, "keys"), "4 keys read just now"));
    ck_assert_str_eq(step_text(told.json, "header"), "alg ES256, kid k1, typ at+jwt");
    ck_assert_str_eq(step_text(told.json, "audience"),
                     "the token is for 'api', 'x'; configured: 'api'");
    ck_assert_str_eq(step_text(told.json, "type"),
                     "typ at+jwt; token_type: any takes typ at+jwt, typ JWT and none");
    ck_assert_str_eq(step_text(told.json, "user"), "alice@example.com (from email)");
    ck_assert_str_eq(step_text(told.json, "scopes"), "openid profile email (from scope)");
    ck_assert_str_eq(step_text(told.json, "roles"), "a b (from roles)");
    ck_assert_str_eq(step_text(told.json, "signature"), "valid");
    ck_assert_str_eq(step_text(told.json, "lifetime"), "at most 1 d are accepted (max_lifetime)");
    ck_assert_str_eq(step_text(told.json, "binding"), "");
    told_done(&told);
    free(token);
    free(path);
    free(rest);
    scene_end(&scene);
}

/* Every route wants them, so that no URL is needed to know. */
TEST(without_a_url_the_scopes_of_the_issuer_are_wanted_all_the_same) {
    char *rest;
    struct scene scene = open_scene(&rest);
    char *path = config_of(&scene), *token = scene_token("{\"scope\":\"profile\"}");
    struct told told = EXPLAIN_INPUT(token, "-c", path, "--json");
    ck_assert_int_eq(told.code, 1);
    ck_assert_str_eq(member(told.json, "reason"), "scope_missing");
    ck_assert_ptr_nonnull(strstr(member(told.json, "challenge"), "scope=\"openid\""));
    told_done(&told);
    free(token);
    free(path);
    free(rest);
    scene_end(&scene);
}

/* --- keys ------------------------------------------------------------------------------------- */

static char *keys_of(enum mint_key key, const char *kid) {
    return MINT_JWKS(mint_jwk(mint_key(key), kid, "ES256"));
}

/* An issuer with k1, a configuration for it, and a token of it. */
struct house {
    struct issuer *issuer;
    char *folder;
    char *config;
    char *token;
};

static struct house house_open(const char *rest) {
    struct house house = {.issuer = issuer_start(ISSUER_PLAIN), .folder = scratch_new()};
    char *jwks = keys_of(MINT_P256, "k1");
    issuer_serve_keys(house.issuer, jwks);
    char *yaml = scratch_text("state_directory: \"%s\"\n"
                              "issuers: [{issuer: \"%s\", audiences: [api]}]\n%s",
                              house.folder, issuer_url(house.issuer), rest);
    house.config = scratch_file(house.folder, "explain.yaml", span_of(yaml));
    house.token = mint_good(issuer_url(house.issuer), "ES256", mint_key(MINT_P256), "k1", NULL);
    free(yaml);
    free(jwks);
    return house;
}

static void house_close(struct house *house) {
    issuer_stop(house->issuer);
    free(house->folder);
    free(house->config);
    free(house->token);
}

/* Let a daemon fetch the keys and keep its copy of them. */
static void keep_copy(const struct house *house) {
    struct daemon *daemon = daemon_start_for(issuer_url(house->issuer), "", "");
    ck_assert(daemon_wait_status(daemon, "/profile/", house->token, 200, ANSWER_MS));
    char *command = scratch_text("cp -p '%s'/*.json* '%s'/ 2>/dev/null || cp -rp '%s'/. '%s'/",
                                 daemon->folder, house->folder, daemon->folder, house->folder);
    ck_assert_int_eq(system(command), 0);
    free(command);
    daemon_stop(daemon);
}

TEST(keys_are_fetched_where_there_is_no_copy) {
    struct house house = house_open("");
    struct told told = EXPLAIN_INPUT(house.token, "-c", house.config, "--json");
    ck_assert_msg(told.code == 0, "%s%s", told.out, told.errors);
    ck_assert_ptr_nonnull(strstr(told.out, "1 key fetched just now"));
    ck_assert_str_eq(told.errors, "");
    ck_assert_int_eq(issuer_hits(house.issuer, ISSUER_JWKS), 1);
    told_done(&told);
    house_close(&house);
}

TEST(offline_fetches_nothing) {
    struct house house = house_open("");
    struct told told = EXPLAIN_INPUT(house.token, "-c", house.config, "--json", "--offline");
    ck_assert_int_eq(told.code, 1);
    ck_assert_str_eq(member(told.json, "reason"), "keys_unavailable");
    ck_assert_ptr_nonnull(strstr(step_text(told.json, "keys"), "no copy"));
    ck_assert_ptr_nonnull(strstr(told.out, "nothing was fetched (--offline)"));
    ck_assert_int_eq(issuer_connections(house.issuer), 0);
    told_done(&told);
    house_close(&house);
}

TEST(the_daemons_copy_does_while_the_issuer_is_down) {
    struct house house = house_open("");
    keep_copy(&house);
    issuer_down(house.issuer);
    struct told told = EXPLAIN_INPUT(house.token, "-c", house.config, "--json");
    ck_assert_msg(told.code == 0, "%s%s", told.out, told.errors);
    ck_assert_ptr_nonnull(strstr(step_text(told.json, "keys"), "1 key from the daemon's copy in"));
    told_done(&told);
    house_close(&house);
}

/* As the daemon, which keeps what it has: the reason is the key, not that there are none. */
TEST(a_failed_fetch_leaves_the_keys_of_the_copy) {
    struct house house = house_open("");
    keep_copy(&house);
    issuer_down(house.issuer);
    char *token =
        mint_good(issuer_url(house.issuer), "ES256", mint_key(MINT_P256_OTHER), "k2", NULL);
    struct told told = EXPLAIN_INPUT(token, "-c", house.config, "--json");
    ck_assert_int_eq(told.code, 1);
    ck_assert_str_eq(member(told.json, "reason"), "key_not_found");
    ck_assert_ptr_nonnull(strstr(step_text(told.json, "key"), "the issuer has: k1"));
    ck_assert_ptr_nonnull(strstr(told.out, "not fetched, http://127.0.0.1:"));
    told_done(&told);
    free(token);
    house_close(&house);
}

TEST(newer_keys_are_fetched_where_the_copy_lacks_the_tokens) {
    struct house house = house_open("");
    keep_copy(&house);
    char *jwks = keys_of(MINT_P256_OTHER, "k2");
    issuer_serve_keys(house.issuer, jwks);
    char *token =
        mint_good(issuer_url(house.issuer), "ES256", mint_key(MINT_P256_OTHER), "k2", NULL);
    struct told told = EXPLAIN_INPUT(token, "-c", house.config, "--json");
    ck_assert_msg(told.code == 0, "%s%s", told.out, told.errors);
    ck_assert_ptr_nonnull(strstr(told.out, "1 key from the daemon's copy"));
    ck_assert_ptr_nonnull(strstr(told.out, "1 key fetched just now"));
    told_done(&told);
    struct told offline = EXPLAIN_INPUT(token, "-c", house.config, "--json", "--offline");
    ck_assert_str_eq(member(offline.json, "reason"), "key_not_found");
    told_done(&offline);
    /* Nothing of this is the daemon's: its copy stays as it was. */
    struct told copy = EXPLAIN_INPUT(house.token, "-c", house.config, "--json", "--offline");
    ck_assert_int_eq(copy.code, 0);
    told_done(&copy);
    free(jwks);
    free(token);
    house_close(&house);
}

TEST(why_keys_do_not_come_is_a_step_and_the_advice_says_where_to_look) {
    static const struct {
        int status;
        const char *body, *why;
    } cases[] = {
        {404, "{}", "the answer has status 404 where 200 was expected"},
        {200, "no JSON", "the key set"},
        {200, "{\"keys\":[]}", "the key set"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct house house = house_open("");
        issuer_answer(house.issuer, ISSUER_JWKS, cases[i].status, cases[i].body);
        struct told told = EXPLAIN_INPUT(house.token, "-c", house.config, "--json");
        ck_assert_int_eq(told.code, 1);
        ck_assert_str_eq(member(told.json, "reason"), "keys_unavailable");
        ck_assert_int_eq(json_integer_value(json_object_get(told.json, "status")), 503);
        ck_assert_str_eq(member(find_failed(told.json), "step"), "keys");
        ck_assert_msg(strstr(member(find_failed(told.json), "text"), cases[i].why), "%s", told.out);
        ck_assert_ptr_nonnull(strstr(member(told.json, "advice"), "bearerd check --online"));
        ck_assert_str_eq(told.errors, "");
        told_done(&told);
        house_close(&house);
    }
}

TEST(keys_of_a_file_need_no_issuer) {
    struct house house = house_open("");
    char *jwks = keys_of(MINT_P256, "k1"), *other = keys_of(MINT_P256_OTHER, "k1");
    char *good = scratch_file(house.folder, "good.json", span_of(jwks));
    char *wrong = scratch_file(house.folder, "wrong.json", span_of(other));
    struct told told = EXPLAIN_INPUT(house.token, "-c", house.config, "--jwks", good, "--json");
    ck_assert_msg(told.code == 0, "%s%s", told.out, told.errors);
    told_done(&told);
    told = EXPLAIN_INPUT(house.token, "-c", house.config, "--jwks", wrong, "--json");
    ck_assert_str_eq(member(told.json, "reason"), "signature_invalid");
    told_done(&told);
    told = EXPLAIN_INPUT(house.token, "-c", house.config, "--jwks", house.config);
    ck_assert_int_eq(told.code, 1);
    ck_assert_msg(strstr(told.errors, "explain.yaml: the key set is not"), "%s", told.errors);
    told_done(&told);
    told = EXPLAIN_INPUT(house.token, "-c", house.config, "--jwks", "/nowhere");
    ck_assert_int_eq(told.code, 1);
    ck_assert_msg(strstr(told.errors, "/nowhere: No such file"), "%s", told.errors);
    told_done(&told);
    ck_assert_int_eq(issuer_connections(house.issuer), 0);
    free(good), free(wrong), free(jwks), free(other);
    house_close(&house);
}

/* --- the deny list ---------------------------------------------------------------------------- */

/* Who cannot read the list cannot say that a token is good, but why another is bad. */
TEST(a_deny_list_that_cannot_be_read_leaves_a_doubt) {
    static const struct {
        const char *list, *why;
        int code;
    } cases[] = {
        {"{\"sub\": \"bob\"}\n", "", 0},
        {"alice\n", ":1: the entry", 1},
        {NULL, "", 0}, /* none is there yet */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *folder = scratch_new(), *rest = scratch_text("deny_list: \"%s/deny\"\n", folder);
        if (cases[i].list) free(scratch_file(folder, "deny", span_of(cases[i].list)));
        struct house house = house_open(rest);
        struct told told = EXPLAIN_INPUT(house.token, "-c", house.config, "--json");
        ck_assert_msg(told.code == cases[i].code, "%zu: %s%s", i, told.out, told.errors);
        ck_assert_ptr_nonnull(strstr(step_text(told.json, "deny list"), cases[i].why));
        ck_assert_int_eq(json_is_true(json_object_get(told.json, "doubtful")), cases[i].code);
        told_done(&told);
        char *token = mint_good(issuer_url(house.issuer), "ES256", mint_key(MINT_P256), "k1",
                                "{\"exp\":1000,\"iat\":900}");
        told = EXPLAIN_INPUT(token, "-c", house.config, "--json");
        ck_assert_str_eq(member(told.json, "reason"), "token_expired");
        told_done(&told);
        free(token);
        house_close(&house);
        free(rest);
        free(folder);
    }
}

/* --- what people paste ------------------------------------------------------------------------ */

TEST(a_token_is_found_in_what_people_copy_and_that_is_said) {
    static const struct {
        const char *before, *behind, *note;
    } cases[] = {
        {"", "", ""},
        {"", "\n", "white space"},
        {"  \t", " \r\n\r\n", "white space"},
        {"Bearer ", "", "a leading 'Bearer'"},
        {"bearer ", "\n", "white space, a leading 'Bearer'"},
        {"Authorization: Bearer ", "\n", "white space, a leading 'Bearer'"},
        {"\"", "\"", "quotes"},
        {"'Authorization: Bearer ", "'", "a leading 'Bearer', quotes"},
    };
    struct house house = house_open("");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = scratch_text("%s%s%s", cases[i].before, house.token, cases[i].behind);
        char *note = *cases[i].note
                         ? scratch_text("note: taken away from the token: %s\n", cases[i].note)
                         : strdup("");
        char *file = scratch_file(house.folder, "token.txt", span_of(text));
        char *at = scratch_text("@%s", file);
        struct told tolds[] = {
            EXPLAIN_INPUT(text, "-c", house.config, "-"), EXPLAIN_INPUT(text, "-c", house.config),
            EXPLAIN("-c", house.config, at), EXPLAIN("-c", house.config, "--", text)};
        for (size_t k = 0; k < ARRAY_LEN(tolds); k++) {
            ck_assert_msg(tolds[k].code == 0, "%zu, %zu: %s%s", i, k, tolds[k].out,
                          tolds[k].errors);
            ck_assert_str_eq(tolds[k].errors, note);
            told_done(&tolds[k]);
        }
        free(at), free(file), free(note), free(text);
    }
    /* Line breaks in the middle, as mails have them. */
    char *broken = scratch_text("%.40s\r\n %s", house.token, house.token + 40);
    struct told told = EXPLAIN_INPUT(broken, "-c", house.config);
    ck_assert_int_eq(told.code, 0);
    told_done(&told);
    free(broken);
    house_close(&house);
}

TEST(what_is_no_question_is_told_so) {
    static const struct {
        const char *name;
        const char *arguments[8];
        const char *input;
        int code;
        const char *errors;
    } cases[] = {
        {"nothing", {"--json"}, "", 2, "there is no token in standard input"},
        {"white space", {"--json"}, " \n\n", 2, "there is no token in standard input"},
        {"the word alone", {"Bearer"}, "", 2, "there is no token in the argument"},
        {"an empty argument", {""}, "", 2, "there is no token in the argument"},
        {"no such file", {"@/nowhere/token"}, "", 2, "/nowhere/token"},
        {"a folder", {"@/"}, "", 2, "/"},
        {"an unknown option", {"--tokn", "x"}, "", 2, "unrecognized option '--tokn'"},
        {"an option without its value", {"--url"}, "", 2, "requires an argument"},
        {"two arguments", {"a", "b"}, "", 2, "more than one argument"},
        {"userinfo",
         {"--url", "https://user:secret@api.example/", "x"},
         "",
         2,
         "user name or password"},
        {"another scheme", {"--url", "ftp://api.example/", "x"}, "", 2, "the URL "},
        {"no path", {"--url", "https://api.example?a=b", "x"}, "", 2, "write a slash there"},
        {"no method", {"--method", "", "x"}, "", 2, "--method is no method"},
        {"no method either", {"--method", "GET /", "x"}, "", 2, "--method is no method"},
        {"an unknown reason", {"--reason", "tokn_expired"}, "", 2, "did you mean token_expired"},
        {"an empty reason", {"--reason", ""}, "", 2, "there is no reason of that name"},
        {"no configuration", {"-c", "/nowhere/bearerd.yaml", "x"}, "", 1, "/nowhere/bearerd.yaml"},
    };
    struct house house = house_open("");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *arguments[ARGUMENTS_MAX] = {"-c", house.config};
        for (size_t k = 0; k < ARRAY_LEN(cases[i].arguments); k++)
            arguments[k + 2] = cases[i].arguments[k];
        struct told told = explain_input(arguments, span_of(cases[i].input));
        ck_assert_msg(told.code == cases[i].code, "%s: %d: %s", cases[i].name, told.code,
                      told.errors);
        ck_assert_msg(strstr(told.errors, cases[i].errors), "%s: %s", cases[i].name, told.errors);
        ck_assert_msg(*told.out == '\0', "%s: %s", cases[i].name, told.out);
        ck_assert_msg(!strstr(told.errors, "secret"), "%s", told.errors);
        told_done(&told);
    }
    struct told help = EXPLAIN("--help");
    ck_assert_int_eq(help.code, 0);
    ck_assert_ptr_nonnull(strstr(help.out, "usage: bearerd explain"));
    told_done(&help);
    house_close(&house);
}

TEST(urls_are_read_as_clients_read_them) {
    static const struct {
        const char *url, *reason, *errors;
    } cases[] = {
        {"/profile/", "", ""},
        {"/profile/?a=b#c", "", "its fragment"},
        {"https://api.example/profile/#", "", "its fragment"},
        {"http://API.example:8443/profile/", "", ""},
        {"https://[::1]:8443/profile/", "", ""},
        {"https://api.example", "no_route", ""},
        {"/profile/../profile/", "", ""},
        {"/../..", "target", ""},
    };
    struct house house = house_open("routes: [{path: /profile/, respond: profile}]\n");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct told told =
            EXPLAIN_INPUT(house.token, "-c", house.config, "--url", cases[i].url, "--json");
        ck_assert_str_eq(member(told.json, "reason"), cases[i].reason);
        ck_assert_int_eq(told.code, *cases[i].reason ? 1 : 0);
        ck_assert_msg(*cases[i].errors ? strstr(told.errors, cases[i].errors) != NULL
                                       : *told.errors == '\0',
                      "%s: %s", cases[i].url, told.errors);
        told_done(&told);
    }
    house_close(&house);
}

TEST(another_scheme_is_not_made_into_bearer) {
    static const char *const texts[] = {
        "Basic dXNlcjpzZWNyZXQ=", "Authorization: DPoP eyJhbGciOiJFUzI1NiJ9.e30.AA",
        "authorization: basic x"};
    struct house house = house_open("");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct told told = EXPLAIN_INPUT(texts[i], "-c", house.config, "--json");
        ck_assert_str_eq(member(told.json, "reason"), "other_scheme");
        ck_assert_int_eq(told.code, 1);
        told_done(&told);
    }
    house_close(&house);
}

/* --- hostile tokens --------------------------------------------------------------------------- */

static void check_harmless(const char *text) {
    struct span rest = span_of(text);
    while (rest.len) {
        uint32_t character;
        size_t width = utf8_decode(rest, &character);
        ck_assert_msg(width && (character == '\n' || !utf8_is_steering(character)), "%s", rest.ptr);
        rest = span_from(rest, width);
    }
}

TEST(what_a_token_says_steers_no_terminal_and_breaks_no_json) {
    static const char *const texts[] = {
        "\\u001b[2J\\u001b]0;owned\\u0007",
        "\\u009b31m",
        "a\\r\\nok     signature valid",
        "\\u202eevil\\u2066",
        "\\u2028\\u2029\\u0085",
        "\\\"},{\\\"",
        "\\b\\b\\b\\u007f",
        "%s%n%1000000d",
        "\\ud83d\\ude00 \\u00e9",
    };
    static const char *const members[] = {"iss", "aud", "sub", "email", "scope", "plan", "acr"};
    char *rest;
    struct scene scene = open_scene(&rest);
    char *path = config_of(&scene);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        for (size_t k = 0; k < ARRAY_LEN(members); k++) {
            char *changes = scratch_text("{\"%s\":\"%s\"}", members[k], texts[i]);
            char *token = scene_token(changes);
            const char *url = strcmp(members[k], "acr") == 0 ? "/acr" : "/claims";
            struct told json = EXPLAIN_INPUT(token, "-c", path, "--url", url, "--json");
            struct told text = EXPLAIN_INPUT(token, "-c", path, "--url", url);
            ck_assert_msg(json.json, "%s", json.out);
            ck_assert_int_eq(json.code, 1);
            ck_assert_int_eq(text.code, 1);
            check_harmless(json.out);
            check_harmless(text.out);
            ck_assert_ptr_null(strstr(text.out, "\nok     signature valid"));
            told_done(&json);
            told_done(&text);
            free(token);
            free(changes);
        }
    }
    free(path);
    free(rest);
    scene_end(&scene);
}

TEST(a_hostile_header_steers_nothing_either) {
    static const char *const headers[] = {
        "{\"alg\":\"ES256\",\"kid\":\"\\u001b[31m\\u202e\"}",
        "{\"alg\":\"\\u001b[31m\\u202e\"}",
        "{\"alg\":\"ES256\",\"typ\":\"\\u001b[31m\\n\\\"\"}",
        "{\"alg\":\"ES256\",\"crit\":[\"\\u001b\"],\"cty\":\"\\u001b\"}",
    };
    struct house house = house_open("");
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        char *claims = mint_claims(issuer_url(house.issuer), NULL);
        char *token = mint_token(headers[i], claims, "ES256", mint_key(MINT_P256));
        struct told json = EXPLAIN_INPUT(token, "-c", house.config, "--json");
        struct told text = EXPLAIN_INPUT(token, "-c", house.config);
        ck_assert_msg(json.json, "%s", json.out);
        ck_assert_int_eq(json.code, 1);
        check_harmless(json.out);
        check_harmless(text.out);
        told_done(&json);
        told_done(&text);
        free(token);
        free(claims);
    }
    house_close(&house);
}

TEST(input_of_any_size_and_kind_is_judged_or_refused) {
    static const struct {
        size_t len;
        char byte;
        const char *reason; /* NULL: usage */
    } cases[] = {
        {100000, 'a', "token_too_large"},
        {2000000, 'a', "token_too_large"},
        {3000000, 'a', NULL},
        {1000, '\0', "credentials_malformed"},
        {1000, '\xff', "credentials_malformed"},
        {1000, '.', "token_malformed"},
    };
    struct house house = house_open("");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *bytes = malloc(cases[i].len);
        ck_assert_ptr_nonnull(bytes);
        memset(bytes, cases[i].byte, cases[i].len);
        const char *const arguments[] = {"-c", house.config, "--json", NULL};
        struct told told = explain_input(arguments, (struct span){bytes, cases[i].len});
        ck_assert_msg(told.code == (cases[i].reason ? 1 : 2), "%zu: %d %s", i, told.code,
                      told.errors);
        if (cases[i].reason) ck_assert_str_eq(member(told.json, "reason"), cases[i].reason);
        told_done(&told);
        free(bytes);
    }
    house_close(&house);
}

/* --- whoever stops reading -------------------------------------------------------------------- */

TEST(a_reader_that_leaves_ends_it_without_a_signal) {
    struct house house = house_open("");
    char *program = daemon_program();
    char *command = scratch_text("(sleep 0.2; '%s' explain -c '%s' --reasons; echo $? >&2) | true",
                                 program, house.config);
    const char *argv[] = {"sh", "-c", command, NULL};
    struct process *process = process_start(argv, NULL);
    ck_assert_int_eq(process_wait_exit(process, ANSWER_MS), 0);
    char *errors = process_errors(process);
    ck_assert_str_eq(errors, "1\n");
    free(errors);
    process_free(process);
    free(command);
    free(program);
    house_close(&house);
}
