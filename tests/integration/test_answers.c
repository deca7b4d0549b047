/*
 * What each kind of request is answered: the table of success and refusal, over HTTP, on a route
 * that lets requests without credentials through and on one that wants a scope.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

/* Every token must carry openid, and name its user by email: as bearerd does without a file, and
 * strictly. */
#define STRICT ", leeway: 0, scopes: [openid], user_claims: [email]"

static const char es256[] = "{\"alg\":\"ES256\",\"kid\":\"k1\"}";

/* A token: a header, claims and how they are signed. What is NULL or 0 is good. */
struct recipe {
    const char *header;
    const char *changes; /* of the claims; each #N is replaced by the time N seconds from now */
    const char *payload; /* instead of the claims, with #N as well */
    const char *alg;
    enum mint_key key;
    char *(*spoil)(const char *token);
};

static char *with_times(const char *text) {
    struct buf out = buf_make(1 << 20);
    for (const char *at = text; *at;) {
        char *end;
        if (*at != '#') {
            buf_add_char(&out, *at++);
            continue;
        }
        long offset = strtol(at + 1, &end, 10);
        buf_addf(&out, "%" PRId64, (int64_t)time(NULL) + offset);
        at = end;
    }
    ck_assert(buf_ok(&out));
    return out.data ? out.data : strdup("");
}

static char *mint(const struct recipe *recipe) {
    char *changes = recipe->changes ? with_times(recipe->changes) : NULL;
    char *claims =
        recipe->payload ? with_times(recipe->payload) : mint_claims(SCENE_ISSUER, changes);
    char *token = mint_token(recipe->header ? recipe->header : es256, claims,
                             recipe->alg ? recipe->alg : "ES256",
                             mint_key(recipe->alg ? recipe->key : MINT_P256));
    if (recipe->spoil) {
        char *spoilt = recipe->spoil(token);
        free(token);
        token = spoilt;
    }
    free(claims);
    free(changes);
    return token;
}

/* Keys of every kind; "enc" is for encryption, "ps" is marked for PS256 alone. */
static struct scene start(void) {
    json_t *enc = mint_jwk(mint_key(MINT_P256_OTHER), "enc", NULL);
    json_object_set_new(enc, "use", json_string("enc"));
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", "ES256"),
                           mint_jwk(mint_key(MINT_RSA), "rsa", NULL),
                           mint_jwk(mint_key(MINT_RSA_OTHER), "rs256", "RS256"),
                           mint_jwk(mint_key(MINT_P384), "p384", NULL),
                           mint_jwk(mint_key(MINT_ED25519), "ed", NULL), enc);
    struct scene scene = scene_start(&(struct scene_options){.issuer = STRICT, .jwks = jwks});
    free(jwks);
    return scene;
}

/* --- success --------------------------------------------------------------------------------- */

#define IDENTITY(user) "{\"username\":\"" user "\",\"anonymous\":false}"
#define PROFILE(user, scopes)                                                                      \
    "{\"user\":{\"username\":\"" user "\"},\"auth\":{\"scopes\":[" scopes "\"authenticated\"]}}"
#define ALICE "alice@example.com"
#define ALL "\"openid\",\"profile\",\"email\","
#define CLAIMS(more)                                                                               \
    "{\"iss\":\"" SCENE_ISSUER "\",\"aud\":\"api\",\"email\":\"alice@example.com\","               \
    "\"scope\":\"openid profile email\"" more "}"

static const struct {
    const char *name;
    struct recipe recipe;
    const char *user;   /* as JSON has it */
    const char *scopes; /* likewise, each with its comma; NULL: /profile/ wants more */
} accepted[] = {
    {"good", {0}, ALICE, ALL},
    {"scope openid only", {.changes = "{\"scope\":\"openid\"}"}, ALICE, NULL},
    {"scopes with spaces around",
     {.changes = "{\"scope\":\"  openid   profile \"}"},
     ALICE,
     "\"openid\",\"profile\","},
    {"scopes twice",
     {.changes = "{\"scope\":\"openid openid profile\"}"},
     ALICE,
     "\"openid\",\"openid\",\"profile\","},
    {"scope as a list",
     {.changes = "{\"scope\":[\"openid\",\"profile\"]}"},
     ALICE,
     "\"openid\",\"profile\","},
    {"scp",
     {.changes = "{\"scope\":null,\"scp\":[\"openid\",\"profile\"]}"},
     ALICE,
     "\"openid\",\"profile\","},
    {"scope authenticated",
     {.changes = "{\"scope\":\"openid profile authenticated\"}"},
     ALICE,
     "\"openid\",\"profile\","},
    {"aud list with ours", {.changes = "{\"aud\":[\"other\",\"api\"]}"}, ALICE, ALL},
    {"email not ASCII",
     {.changes = "{\"email\":\"b\\u00f6b \\\"\\\\ \\u0001\\t\"}"},
     "b\xc3\xb6"
     "b \\\"\\\\ \\u0001\\t",
     ALL},
    {"email verified", {.changes = "{\"email_verified\":true}"}, ALICE, ALL},
    {"exp a fraction", {.payload = CLAIMS(",\"exp\":#60.5")}, ALICE, ALL},
    {"exp in two seconds", {.changes = "{\"exp\":#2}"}, ALICE, ALL},
    {"iat missing", {.changes = "{\"iat\":null}"}, ALICE, ALL},
    {"nbf past", {.changes = "{\"nbf\":#-5}"}, ALICE, ALL},
    {"typ absent", {.header = es256}, ALICE, ALL},
    {"typ at+jwt", {.header = "{\"alg\":\"ES256\",\"kid\":\"k1\",\"typ\":\"at+jwt\"}"}, ALICE, ALL},
    {"typ JWT", {.header = "{\"alg\":\"ES256\",\"kid\":\"k1\",\"typ\":\"JWT\"}"}, ALICE, ALL},
    {"RS256",
     {.header = "{\"alg\":\"RS256\",\"kid\":\"rsa\"}", .alg = "RS256", .key = MINT_RSA},
     ALICE,
     ALL},
    {"RS384",
     {.header = "{\"alg\":\"RS384\",\"kid\":\"rsa\"}", .alg = "RS384", .key = MINT_RSA},
     ALICE,
     ALL},
    {"RS512",
     {.header = "{\"alg\":\"RS512\",\"kid\":\"rsa\"}", .alg = "RS512", .key = MINT_RSA},
     ALICE,
     ALL},
    {"PS256",
     {.header = "{\"alg\":\"PS256\",\"kid\":\"rsa\"}", .alg = "PS256", .key = MINT_RSA},
     ALICE,
     ALL},
    {"ES384",
     {.header = "{\"alg\":\"ES384\",\"kid\":\"p384\"}", .alg = "ES384", .key = MINT_P384},
     ALICE,
     ALL},
    {"EdDSA",
     {.header = "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}", .alg = "EdDSA", .key = MINT_ED25519},
     ALICE,
     ALL},
    {"kid missing, one key fits", {.header = "{\"alg\":\"ES256\"}"}, ALICE, ALL},
};

#define REALM "Bearer realm=\"bearerd\""

static void check(struct client *client, const char *method, const char *path, const char *token,
                  const struct expected *expected) {
    char *request = scratch_text("%s %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
                                 method, path, token);
    scene_check(client, span_of(request), expected);
    free(request);
}

TEST(good_tokens_get_their_answers_byte_for_byte) {
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
        char *token = mint(&accepted[i].recipe);
        char *identity = scratch_text(IDENTITY("%s"), accepted[i].user);
        char *profile = scratch_text(PROFILE("%s", "%s"), accepted[i].user,
                                     accepted[i].scopes ? accepted[i].scopes : "");
        check(client, "GET", "/", token, &(struct expected){200, NULL, identity, false});
        if (accepted[i].scopes)
            check(client, "GET", "/profile/", token, &(struct expected){200, NULL, profile, false});
        free(profile);
        free(identity);
        free(token);
    }
    client_free(client);
    scene_end(&scene);
}

/* HEAD and GET share what is kept for a caller; one has no body, the other all of it. */
TEST(the_answer_to_head_is_that_to_get_without_its_body_each_time) {
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    char *token = mint(&accepted[0].recipe),
         *identity = scratch_text(IDENTITY("%s"), accepted[0].user);
    char *length = scratch_text("%zu", strlen(identity));

    for (int i = 0; i < 6; i++) {
        struct response response;
        bool to_head = i % 3 != 1;
        ck_assert(client_sendf(client,
                               "%s / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
                               to_head ? "HEAD" : "GET", token));
        ck_assert_int_eq(to_head ? client_read_to_head(client, 5000, &response)
                                 : client_read(client, 5000, &response),
                         CLIENT_OK);
        ck_assert_int_eq(response.status, 200);
        ck_assert(span_equal_text(response_header(&response, "Content-Length"), length));
        ck_assert(span_equal_text(response_header(&response, "Cache-Control"), "no-store"));
        ck_assert_int_eq((int)response_header_count(&response, "Date"), 1);
        ck_assert_str_eq(to_head ? "" : response.body, to_head ? "" : identity);
        client_response_done(&response);
    }
    free(length), free(identity), free(token);
    client_free(client);
    scene_end(&scene);
}

/* A script's answer names its origin; nobody else is given that one, nor the script theirs. */
TEST(what_a_script_is_told_and_what_others_are_told_stay_apart) {
    static const char *const origins[] = {NULL, "https://a.example", "https://b.example",
                                          NULL, "https://c.example", "https://a.example"};
    struct scene scene = scene_start(&(struct scene_options){
        .rest = "routes: [{path: /, respond: identity, cors: {preflight: answer, origins: "
                "[\"https://a.example\", \"https://b.example\"]}}]\n"});
    struct client *client = client_connect(scene.daemon->port);

    for (size_t i = 0; i < 2 * ARRAY_LEN(origins); i++) {
        const char *origin = origins[i % ARRAY_LEN(origins)];
        struct response response;
        ck_assert(client_sendf(
            client, "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n%s%s\r\n\r\n",
            scene.token, origin ? "Origin: " : "X-None: ", origin ? origin : ""));
        ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
        ck_assert_int_eq(response.status, 200);
        bool named = origin && strcmp(origin, "https://c.example") != 0;
        struct span allowed = response_header(&response, "Access-Control-Allow-Origin");
        ck_assert_msg(named ? span_equal_text(allowed, origin) : !allowed.ptr, "%zu: %s", i,
                      response.head);
        client_response_done(&response);
    }
    client_free(client);
    scene_end(&scene);
}

/* --- refusal --------------------------------------------------------------------------------- */

static char *cut(const char *token) {
    return strndup(token, strlen(token) - 1);
}
static char *without_signature(const char *token) {
    return strndup(token, (size_t)(strrchr(token, '.') - token) + 1);
}
static char *padded(const char *token) {
    return scratch_text("%s==", token);
}
static char *plain_alphabet(const char *token) {
    return scratch_text("%s+/", token);
}
static char *one_more_part(const char *token) {
    return scratch_text("%s.e30", token);
}
static char *two_more_parts(const char *token) {
    return scratch_text("%s.e30.e30", token);
}
static char *two_parts(const char *token) {
    return strndup(token, (size_t)(strrchr(token, '.') - token));
}
static char *dot_behind(const char *token) {
    return scratch_text("%s.", token);
}
/* Another payload under the same signature. */
static char *other_payload(const char *token) {
    const char *dot = strchr(token, '.');
    return scratch_text("%.*s%c%s", (int)(dot + 10 - token), token, dot[10] == 'A' ? 'B' : 'A',
                        dot + 11);
}
/* One more character, so that bits are left over that must be zero and are not counted. */
static char *loose_tail(const char *token) {
    char *text = strdup(token);
    char *last = text + strlen(text) - 1;
    *last = *last == 'A' ? 'B' : (char)(*last + 1);
    return text;
}
static char *nonsense(const char *token) {
    (void)token;
    return strdup("abc");
}
static char *three_letters(const char *token) {
    (void)token;
    return strdup("a.b.c");
}
/* "[[[[..." where the claims should be. */
static char *deep_payload(const char *token) {
    char brackets[5001];
    memset(brackets, '[', 5000);
    brackets[5000] = '\0';
    (void)token;
    return mint_token(es256, brackets, "ES256", mint_key(MINT_P256));
}

#define HEADER(text)                                                                               \
    { .header = text }
#define CHANGE(text)                                                                               \
    { .changes = text }
#define PAYLOAD(text)                                                                              \
    { .payload = text }
#define SPOIL(how)                                                                                 \
    { .spoil = how }
#define AS(text, alg_, key_)                                                                       \
    { .header = text, .alg = alg_, .key = key_ }

static const struct {
    const char *name;
    struct recipe recipe;
    const char *why; /* in the description */
} refused[] = {
    {"abc", SPOIL(nonsense), "parts"},
    {"a.b.c", SPOIL(three_letters), "not base64url"},
    {"two parts", SPOIL(two_parts), "parts"},
    {"four parts", SPOIL(one_more_part), "parts"},
    {"five parts, a JWE", SPOIL(two_more_parts), "encrypted (JWE)"},
    {"dot behind", SPOIL(dot_behind), "parts"},
    {"header not JSON", HEADER("{alg:ES256}"), "header of the token"},
    {"header an array", HEADER("[\"ES256\"]"), "header of the token"},
    {"header bad UTF-8", HEADER("{\"alg\":\"ES256\",\"kid\":\"\xff\"}"), "header of the token"},
    {"header alg twice", HEADER("{\"alg\":\"ES256\",\"alg\":\"ES256\",\"kid\":\"k1\"}"),
     "header of the token"},
    {"payload not JSON", PAYLOAD("exp"), "payload of the token"},
    {"payload a string", PAYLOAD("\"exp\""), "payload of the token"},
    {"payload bad UTF-8", PAYLOAD(CLAIMS(",\"exp\":#60,\"x\":\"\xc3\"")), "payload of the token"},
    {"payload 5000 deep", SPOIL(deep_payload), "payload of the token"},
    {"exp twice", PAYLOAD(CLAIMS(",\"exp\":1,\"exp\":#60")), "payload of the token"},
    {"signature empty", SPOIL(without_signature), "empty"},
    {"signature short", SPOIL(cut), "base64url"},
    {"signature of another key", AS(es256, "ES256", MINT_P256_OTHER), "signature"},
    {"payload changed", SPOIL(other_payload), ""},
    {"signature padded", SPOIL(padded), "signature of the token is not base64url"},
    {"signature with + and /", SPOIL(plain_alphabet), "signature of the token is not base64url"},
    {"signature with a loose tail", SPOIL(loose_tail), "signature of the token is not base64url"},
    {"exp past", CHANGE("{\"exp\":#-60}"), "token expired at"},
    {"exp now", CHANGE("{\"exp\":#0}"), "token expired at"},
    {"exp missing", CHANGE("{\"exp\":null}"), "no exp claim"},
    {"exp null", PAYLOAD(CLAIMS(",\"exp\":null")), "exp claim"},
    {"exp 0", CHANGE("{\"exp\":0}"), "token expired at 1970-01-01T00:00:00Z"},
    {"exp -1", CHANGE("{\"exp\":-1}"), "token expired at 1969-12-31T23:59:59Z"},
    {"exp true", CHANGE("{\"exp\":true}"), "exp claim of the token is not a number"},
    {"exp a string", CHANGE("{\"exp\":\"9999999999\"}"), "exp claim of the token is not a number"},
    {"exp 1e300", PAYLOAD(CLAIMS(",\"exp\":1e300")), "exp claim"},
    {"exp 1e400", PAYLOAD(CLAIMS(",\"exp\":1e400")), "payload of the token"},
    {"exp NaN", PAYLOAD(CLAIMS(",\"exp\":NaN")), "payload of the token"},
    {"nbf to come", CHANGE("{\"nbf\":#60}"), "token is not valid before"},
    {"nbf a string", CHANGE("{\"nbf\":\"1\"}"), "nbf claim of the token is not a number"},
    {"iat to come", CHANGE("{\"iat\":#60}"), "token was issued at"},
    {"iat a string", CHANGE("{\"iat\":\"1\"}"), "iat claim of the token is not a number"},
    {"iss another", CHANGE("{\"iss\":\"https://evil.example\"}"), "issuer"},
    {"iss missing", CHANGE("{\"iss\":null}"), "iss"},
    {"iss a list", CHANGE("{\"iss\":[\"" SCENE_ISSUER "\"]}"), "iss"},
    {"iss with a slash", CHANGE("{\"iss\":\"" SCENE_ISSUER "/\"}"), "issuer"},
    {"iss in upper case", CHANGE("{\"iss\":\"HTTPS://IDP.EXAMPLE\"}"), "issuer"},
    {"aud another", CHANGE("{\"aud\":\"other\"}"), "for the audience 'other'; expected 'api'"},
    {"aud missing", CHANGE("{\"aud\":null}"), "no aud claim"},
    {"aud empty", CHANGE("{\"aud\":\"\"}"), "audience"},
    {"aud 1", CHANGE("{\"aud\":1}"), "aud claim"},
    {"aud an object", CHANGE("{\"aud\":{\"api\":\"api\"}}"), "aud claim"},
    {"aud an empty list", CHANGE("{\"aud\":[]}"), "audience (none)"},
    {"aud list without ours", CHANGE("{\"aud\":[\"a\",\"b\"]}"), "'a', 'b'; expected 'api'"},
    {"scope a number", CHANGE("{\"scope\":7}"), "scope claim"},
    {"email missing", CHANGE("{\"email\":null}"), "no usable email"},
    {"email 7", CHANGE("{\"email\":7}"), "no usable email"},
    {"email empty", CHANGE("{\"email\":\"\"}"), "no usable email"},
    {"email an object", CHANGE("{\"email\":{}}"), "no usable email"},
    {"email not verified", CHANGE("{\"email_verified\":false}"), "no usable email"},
    {"kid unknown", HEADER("{\"alg\":\"ES256\",\"kid\":\"k9\"}"), "no key with the kid"},
    {"kid null", HEADER("{\"alg\":\"ES256\",\"kid\":null}"), "kid"},
    {"kid 1", HEADER("{\"alg\":\"ES256\",\"kid\":1}"), "kid"},
    {"kid missing, two keys fit", AS("{\"alg\":\"RS256\"}", "RS256", MINT_RSA), "several keys"},
    {"alg none", AS("{\"alg\":\"none\"}", "none", MINT_P256), "empty"},
    {"alg none, with a signature", HEADER("{\"alg\":\"none\",\"kid\":\"k1\"}"), "alg 'none'"},
    {"alg HS256", HEADER("{\"alg\":\"HS256\",\"kid\":\"rsa\"}"), "alg 'HS256'"},
    {"alg missing", HEADER("{\"kid\":\"k1\"}"), "no alg"},
    {"alg unknown", HEADER("{\"alg\":\"XY\",\"kid\":\"k1\"}"), "alg 'XY'"},
    {"alg 256", HEADER("{\"alg\":256,\"kid\":\"k1\"}"), "no alg that is a string"},
    {"alg a list", HEADER("{\"alg\":[\"ES256\"],\"kid\":\"k1\"}"), "no alg that is a string"},
    {"ES256 for an RSA key", HEADER("{\"alg\":\"ES256\",\"kid\":\"rsa\"}"), "must not be used"},
    {"RS256 for an EC key", AS("{\"alg\":\"RS256\",\"kid\":\"k1\"}", "RS256", MINT_RSA),
     "must not be used"},
    {"PS256 for a key marked RS256",
     AS("{\"alg\":\"PS256\",\"kid\":\"rs256\"}", "PS256", MINT_RSA_OTHER), "must not be used"},
    {"key for encryption", AS("{\"alg\":\"ES256\",\"kid\":\"enc\"}", "ES256", MINT_P256_OTHER),
     "no key with the kid"},
    {"crit", HEADER("{\"alg\":\"ES256\",\"kid\":\"k1\",\"crit\":[\"exp\"]}"), "crit"},
    {"typ of another kind", HEADER("{\"alg\":\"ES256\",\"kid\":\"k1\",\"typ\":\"dpop+jwt\"}"),
     "typ"},
    {"cnf", CHANGE("{\"cnf\":{\"jkt\":\"x\"}}"), "bound to a key"},
};

/* The description in a body {"error":...,"error_description":"..."}. The caller frees it. */
static char *description_of(const struct response *response, const char *error) {
    json_t *body = json_loads(response->body, JSON_REJECT_DUPLICATES, NULL);
    const char *name = NULL, *text = NULL;
    ck_assert_msg(json_unpack(body, "{s:s, s:s!}", "error", &name, "error_description", &text) == 0,
                  "%s", response->body);
    ck_assert_str_eq(name, error);
    char *copy = strdup(text);
    json_decref(body);
    return copy;
}

/* The same refusal on the route that lets in who comes without a token, and on the other. */
static void check_refused(struct client *client, const char *path, const char *name,
                          const char *token, const char *why) {
    struct response response;
    char *expected, *description;
    ck_assert(client_sendf(client, "GET %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
                           path, token));
    ck_assert_msg(client_read(client, 5000, &response) == CLIENT_OK, "%s: no answer", name);
    ck_assert_msg(response.status == 401, "%s: %d %s", name, response.status, response.body);
    description = description_of(&response, "invalid_token");
    ck_assert_msg(strstr(description, why), "%s: %s", name, description);
    expected =
        scratch_text(REALM ", error=\"invalid_token\", error_description=\"%s\"", description);
    ck_assert_int_eq(response_header_count(&response, "WWW-Authenticate"), 1);
    ck_assert_msg(span_equal_text(response_header(&response, "WWW-Authenticate"), expected),
                  "%s: %s", name, response.head);
    ck_assert(span_equal_text(response_header(&response, "Cache-Control"), "no-store"));
    ck_assert_msg(!strstr(response.body, token), "%s: the token is in the answer", name);
    free(expected);
    free(description);
    client_response_done(&response);
}

TEST(bad_tokens_are_refused_for_what_is_wrong_with_them_also_where_none_is_needed) {
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        char *token = mint(&refused[i].recipe);
        check_refused(client, "/", refused[i].name, token, refused[i].why);
        check_refused(client, "/profile/", refused[i].name, token, refused[i].why);
        free(token);
    }
    client_free(client);
    scene_end(&scene);
}

/* --- scopes ---------------------------------------------------------------------------------- */

TEST(a_lacking_scope_is_403_and_names_what_is_needed) {
    static const struct {
        const char *changes;
        bool root; /* lacks openid, which both routes want */
        const char *lacks;
    } rows[] = {
        {"{\"scope\":null}", true, "openid"},
        {"{\"scope\":\"\"}", true, "openid"},
        {"{\"scope\":\"profile email\"}", true, "openid"},
        {"{\"scope\":\"OPENID PROFILE\"}", true, "openid"},
        {"{\"scope\":\"openid,profile\"}", true, "openid"},
        {"{\"scope\":\"openid\\tprofile\"}", true, "openid"},
        {"{\"scope\":[]}", true, "openid"},
        {"{\"scope\":[\"openid profile\"]}", true, "openid"},
        {"{\"scope\":\"authenticated profile\"}", true, "openid"},
        {"{\"scope\":\"openid\"}", false, "profile"},
        {"{\"scope\":\"openid PROFILE\"}", false, "profile"},
        {"{\"scope\":\"openid profiles\"}", false, "profile"},
        {"{\"scope\":\"openid authenticated\"}", false, "profile"},
    };
    struct scene scene = start();
    struct client *client = client_connect(scene.daemon->port);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *token = scene_token(rows[i].changes);
        char *body = scratch_text("{\"error\":\"insufficient_scope\",\"error_description\":"
                                  "\"the token lacks the scope '%s'\"}",
                                  rows[i].lacks);
        char *lead = scratch_text(REALM ", error=\"insufficient_scope\", error_description=\"the "
                                        "token lacks the scope '%s'\", scope=",
                                  rows[i].lacks);
        char *root = scratch_text("%s\"openid\"", lead);
        char *profile = scratch_text("%s\"openid profile\"", lead);
        if (rows[i].root)
            check(client, "GET", "/", token, &(struct expected){403, root, body, false});
        check(client, "GET", "/profile/", token, &(struct expected){403, profile, body, false});
        free(profile), free(root), free(lead), free(body), free(token);
    }
    check(client, "GET", "/profile/", scene.token, &(struct expected){.status = 200});
    client_free(client);
    scene_end(&scene);
}

TEST(a_fault_of_the_token_comes_before_a_lacking_scope) {
    struct scene scene = start();
    char *token = scene_token("{\"scope\":\"\",\"exp\":1}");
    ck_assert_int_eq(daemon_get(scene.daemon, "/profile/", token, NULL), 401);
    free(token);
    scene_end(&scene);
}

/* --- without keys ---------------------------------------------------------------------------- */

TEST(without_keys_the_fault_is_ours_503_and_no_challenge) {
    char *yaml = daemon_yaml("http://127.0.0.1:1", "");
    struct daemon *daemon = daemon_start(yaml, NULL);
    char *token = mint_good("http://127.0.0.1:1", "ES256", mint_key(MINT_P256), "k1", NULL);
    struct response response;
    ck_assert_int_eq(daemon_get(daemon, "/profile/", token, &response), 503);
    ck_assert(span_equal_text(response_header(&response, "Retry-After"), "5"));
    ck_assert_int_eq(response_header_count(&response, "WWW-Authenticate"), 0);
    ck_assert(span_equal_text(response_header(&response, "Cache-Control"), "no-store"));
    ck_assert_str_eq(response.body, "{\"error\":\"temporarily_unavailable\",\"error_description\":"
                                    "\"the issuer's keys could not be fetched yet\"}");
    client_response_done(&response);
    /* What needs no keys is answered as ever. */
    ck_assert_int_eq(daemon_get(daemon, "/", NULL, NULL), 200);
    ck_assert_int_eq(daemon_get(daemon, "/profile/", NULL, NULL), 401);
    ck_assert_int_eq(daemon_get(daemon, "/profile/", "abc", NULL), 401);
    daemon_stop(daemon);
    free(token);
    free(yaml);
}
