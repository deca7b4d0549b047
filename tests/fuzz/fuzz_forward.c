/*
 * forward: whatever fields a client sends, the head for the upstream has one request line, one Host
 * and one framing, whole lines with tokens for names, nothing of the gate's that the gate did not
 * say, and of the client's a part in the order it came. Input is field lines.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/ascii.h"
#include "server/proxy/forward.h"
#include "server/proxy/request_id.h"
#include "server/token/principal_make.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define S(text) SPAN_LITERAL(text)

static void demand(bool truth) {
    if (!truth) abort();
}

/* --- what is forwarded for ----------------------------------------------------------------- */

static char user_header[] = "X-Auth-User", user_value[] = "user";
static char roles_header[] = "X-Auth-Roles", roles_value[] = "roles";
static char assertion_header[] = "X-Auth-Assertion";
static char strip_prefix[] = "/orders", add_prefix[] = "/v2";
static char issuer_name[] = "https://i.example", user_claim[] = "sub", role_claim[] = "roles";
static char *user_claims[] = {user_claim}, *role_claims[] = {role_claim};

static struct config_identity_header identity_headers[] = {
    {user_header, user_value},
    {roles_header, roles_value},
};
static const struct config config = {
    .identity_headers = identity_headers,
    .identity_header_count = ARRAY_LEN(identity_headers),
    .assertion = {.header = assertion_header},
};
static const struct config_issuer issuer = {
    .issuer = issuer_name,
    .user_claims = {user_claims, 1},
    .role_claims = {role_claims, 1},
};

static const struct forward_rules *rules(void) {
    static struct forward_rules *made;
    if (!made) made = forward_rules_new(&config);
    demand(made);
    return made;
}

static const struct principal *principal(void) {
    static struct principal *made;
    struct refusal refusal;
    if (made) return made;
    struct jtree *claims = NULL;
    struct span text = SPAN_LITERAL("{\"sub\":\"al\\r\\nice\",\"roles\":[\"a b\",\"c\"]}");
    demand(jtree_read_object(text, &claims, NULL) == 0);
    demand(principal_make(claims, &issuer, 0, &made, &refusal));
    jtree_unref(claims);
    return made;
}

/* --- what must come out -------------------------------------------------------------------- */

enum {
    USER,
    ROLES,
    ASSERTION,
    HOST,
    LENGTH,
    CODING,
    EXPECT,
    CONNECTION,
    UPGRADE,
    ID,
    TOKEN,
    KINDS
};

/* By their letters and digits, as an upstream may read them. */
static const char *const gate_names[KINDS] = {
    "xauthuser", "xauthroles", "xauthassertion", "host",       "contentlength", "transferencoding",
    "expect",    "connection", "upgrade",        "xrequestid", "authorization",
};

static const char *const never[] = {
    "keepalive",
    "proxyconnection",
    "te",
    "trailer",
    "http2settings",
    "proxyauthorization",
    "proxyauthenticate",
    "proxy",
    "xhttpmethod",
    "xhttpmethodoverride",
    "xmethodoverride",
    "xoriginalurl",
    "xoriginaluri",
    "xrewriteurl",
    "xoriginalmethod",
    "xforwardeduri",
    "xforwardedmethod",
    "xforwardedpath",
    "xforwardeduser",
    "xforwardedemail",
    "xforwardedgroups",
};

static const char *const only_from_proxies[] = {
    "xrealip", "xclientip", "trueclientip", "xforwardedprefix", "xforwardedport", "clientcert",
};

static const char *const origin_names[] = {
    "xforwardedfor",
    "xforwardedproto",
    "xforwardedhost",
    "forwarded",
};

static bool has_letters(struct span name, const char *letters) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!ascii_is_alphanumeric(c)) continue;
        if (c >= 'A' && c <= 'Z') c |= 0x20;
        if (c != *letters++) return false;
    }
    return *letters == '\0';
}

/* Cut a line off *rest, which must end in CR LF and hold nothing else that ends one. */
static struct span next_line(struct span *rest) {
    size_t len = span_find(*rest, '\r');
    demand(len + 1 < rest->len && rest->ptr[len + 1] == '\n');
    struct span line = span_until(*rest, len);
    demand(span_find(line, '\n') == len && span_find(line, '\0') == len);
    *rest = span_from(*rest, len + 2);
    return line;
}

static struct field split(struct span line) {
    size_t colon = span_find(line, ':');
    demand(colon + 1 < line.len && line.ptr[colon + 1] == ' ');
    struct field field = {span_until(line, colon), span_from(line, colon + 2)};
    demand(ascii_is_token(field.name));
    return field;
}

static bool same_field(struct field a, struct field b) {
    return span_equal(a.name, b.name) && a.value.len == b.value.len &&
           memcmp(a.value.ptr, b.value.ptr, a.value.len) == 0;
}

/* The end of the lines that are the client's: those that it sent, in its order. */
static size_t count_passed(const struct field *lines, size_t count, struct fields sent) {
    size_t passed = 0;
    for (size_t i = 0; i < sent.count && passed < count; i++)
        if (same_field(lines[passed], sent.items[i])) passed++;
    return passed;
}

static void check_own(const struct forward_request *request, const struct field *lines,
                      size_t count) {
    size_t counts[KINDS] = {0}, origins[ARRAY_LEN(origin_names)] = {0};
    for (size_t i = 0; i < count; i++) {
        struct span name = lines[i].name, value = lines[i].value;
        for (size_t kind = 0; kind < KINDS; kind++)
            if (has_letters(name, gate_names[kind])) counts[kind]++;
        for (size_t j = 0; j < ARRAY_LEN(origin_names); j++)
            if (has_letters(name, origin_names[j])) origins[j]++;
        for (size_t j = 0; j < ARRAY_LEN(never); j++) demand(!has_letters(name, never[j]));
        for (size_t j = 0; j < ARRAY_LEN(only_from_proxies); j++)
            demand(request->from_proxy || !has_letters(name, only_from_proxies[j]));
        if (has_letters(name, "xauthuser")) demand(span_equal_text(value, "al%0D%0Aice"));
        if (has_letters(name, "xauthroles")) demand(span_equal_text(value, "a%20b c"));
        if (has_letters(name, "xrequestid")) demand(span_equal(value, request->request_id));
        if (has_letters(name, "host")) demand(span_equal(value, request->host));
        if (has_letters(name, "xforwardedfor")) {
            demand(value.len >= request->client.len);
            demand(span_equal(span_from(value, value.len - request->client.len), request->client));
        }
    }
    size_t known = request->principal != NULL, upgrade = request->upgrade.ptr != NULL;
    demand(counts[USER] == known && counts[ROLES] == known && counts[ASSERTION] == known);
    demand(counts[HOST] == 1 && counts[ID] == 1);
    demand(counts[LENGTH] == (request->body == FORWARD_LENGTH));
    demand(counts[CODING] == (request->body == FORWARD_CHUNKED));
    demand(counts[EXPECT] == request->expects_continue);
    demand(counts[CONNECTION] == upgrade && counts[UPGRADE] == upgrade);
    demand(counts[TOKEN] <= request->route->forward_token);
    demand(origins[0] == 1 && origins[1] == 1 && origins[2] == 1);
    demand(origins[3] == 1 || (request->from_proxy && origins[3] == 0));
}

static void check_head(const struct forward_request *request, struct span head) {
    size_t max = request->fields.count + 16, count = 0;
    struct field *lines = calloc(max, sizeof *lines);
    demand(lines != NULL);
    demand(span_equal_text(next_line(&head), "GET /v2/1?q HTTP/1.1"));
    for (;;) {
        struct span line = next_line(&head);
        if (line.len == 0) break;
        demand(count < max);
        lines[count++] = split(line);
    }
    demand(head.len == 0);
    check_own(request, lines, count);

    /* X-Request-Id, X-Forwarded-For, -Proto and -Host, Forwarded; then what not every head has. */
    size_t own = 5 + (request->body != FORWARD_NO_BODY) + request->expects_continue;
    own += (request->upgrade.ptr ? 2 : 0) + (request->principal ? 3 : 0);
    demand(span_equal_text(lines[0].name, "Host"));
    demand(count_passed(lines + 1, count - 1, request->fields) + own >= count - 1);
    free(lines);
}

static struct forward_request make_request(struct fields fields, unsigned variant,
                                           const struct request_id *id) {
    static const struct config_route routes[] = {
        {.strip_prefix = strip_prefix, .add_prefix = add_prefix},
        {.strip_prefix = strip_prefix, .add_prefix = add_prefix, .forward_token = true},
    };
    static const struct config_upstream upstream = {.host = HOST_CLIENT};
    return (struct forward_request){
        .method = S("GET"),
        .path = S("/orders/1"),
        .query = S("q"),
        .fields = fields,
        .host = S("api.example"),
        .body = (enum forward_body)(variant % 3),
        .length = 7,
        .client = S("192.0.2.7"),
        .from_proxy = variant & 1,
        .request_id = span_of(id->text),
        .upgrade = forward_upgrade(fields),
        .expects_continue = variant & 2,
        .route = &routes[variant >> 1 & 1],
        .upstream = &upstream,
        .target_host = S("other.example"),
        .principal = variant & 4 ? principal() : NULL,
        .assertion = variant & 4 ? S("a.b.c") : SPAN_NONE,
    };
}

static void check_forward(struct fields fields, unsigned variant) {
    struct request_id id;
    struct buf out = buf_make(1 << 20);

    request_id_choose(fields, &id);
    struct forward_request request = make_request(fields, variant, &id);
    forward_add_head(rules(), &request, &out);
    demand(buf_ok(&out));
    check_head(&request, buf_span(&out));
    buf_done(&out);
}

static void check_upgrade(struct fields fields) {
    struct span upgrade = forward_upgrade(fields), item;
    while (span_next(&upgrade, ',', &item)) {
        item = span_trim(span_until(item, span_find(item, '/')));
        demand(!span_equal_nocase(item, S("h2c")) && !span_equal_nocase(item, S("HTTP")));
    }
}

/* What may stand in a trailer would pass in a head, from anybody. */
static void check_trailer(struct span name) {
    const struct request_id id = {"id"};
    const struct field field = {name, S("alone")};
    if (!forward_takes_trailer(rules(), name)) return;

    struct buf out = buf_make(1 << 20);
    struct forward_request request = make_request((struct fields){&field, 1}, 0, &id);
    forward_add_head(rules(), &request, &out);
    demand(buf_ok(&out) && strstr(out.data, ": alone\r\n"));
    demand(!forward_is_hop_by_hop(name, (struct fields){NULL, 0}));
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct field items[512];
    struct span rest = {(const char *)data, size}, line;
    struct fields fields = {items, 0};

    if (size > 65536) return 0;
    while (fields.count < ARRAY_LEN(items) && span_next(&rest, '\n', &line)) {
        size_t colon = span_find(line, ':');
        items[fields.count++] =
            (struct field){span_until(line, colon), span_trim(span_from(line, colon + 1))};
    }
    for (unsigned variant = 0; variant < 8; variant++) check_forward(fields, variant);
    for (size_t i = 0; i < fields.count; i++) check_trailer(items[i].name);
    check_upgrade(fields);
    return 0;
}
