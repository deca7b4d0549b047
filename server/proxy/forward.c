#include "server/proxy/forward.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/ascii.h"
#include "common/base64url.h"
#include "common/jtree.h"
#include "server/config/values.h"

#define S(text) SPAN_LITERAL(text)

/* How a field of a request fares. */
enum fate {
    FATE_PASSES,
    FATE_PASSES_IN_HEAD, /* but not in trailers */
    FATE_PROXY_ONLY,     /* passes where a trusted proxy sent it */
    FATE_TOKEN,          /* passes where the route forwards the token */
    FATE_DROPPED,
};

/* RFC 9110 section 7.6.1, and what once belonged there. */
static const struct span hop_by_hop[] = {
    S("Connection"),
    S("Keep-Alive"),
    S("Proxy-Connection"),
    S("Proxy-Authorization"),
    S("Proxy-Authenticate"),
    S("TE"),
    S("Trailer"),
    S("Transfer-Encoding"),
    S("Upgrade"),
    S("HTTP2-Settings"),
};

static const struct known {
    struct span name;
    enum fate fate;
} known[] = {
    /* Made anew. */
    {S("Host"), FATE_DROPPED},
    {S("Content-Length"), FATE_DROPPED},
    {S("Expect"), FATE_DROPPED},
    {S("X-Request-Id"), FATE_DROPPED},
    {S("X-Forwarded-For"), FATE_DROPPED},
    {S("X-Forwarded-Proto"), FATE_DROPPED},
    {S("X-Forwarded-Host"), FATE_DROPPED},
    {S("Forwarded"), FATE_DROPPED},
    /* They make frameworks act on another method or target than the one that was judged. Proxies
     * that know nothing of them pass them on, so that even a trusted one does not vouch. */
    {S("X-HTTP-Method-Override"), FATE_DROPPED},
    {S("X-HTTP-Method"), FATE_DROPPED},
    {S("X-Method-Override"), FATE_DROPPED},
    {S("X-Original-URL"), FATE_DROPPED},
    {S("X-Original-URI"), FATE_DROPPED},
    {S("X-Original-Method"), FATE_DROPPED},
    {S("X-Rewrite-URL"), FATE_DROPPED},
    {S("X-Forwarded-Uri"), FATE_DROPPED},
    {S("X-Forwarded-Method"), FATE_DROPPED},
    {S("X-Forwarded-Path"), FATE_DROPPED},
    {S("Proxy"), FATE_DROPPED}, /* CGI makes HTTP_PROXY of it, which HTTP clients obey */
    /* Who is calling is for the gate alone to say. */
    {S("X-Forwarded-User"), FATE_DROPPED},
    {S("X-Forwarded-Email"), FATE_DROPPED},
    {S("X-Forwarded-Groups"), FATE_DROPPED},
    {S("X-Forwarded-Preferred-Username"), FATE_DROPPED},
    {S("X-Forwarded-Access-Token"), FATE_DROPPED},
    /* Where the request came from. Other names in X-Forwarded- fare alike: see fate_of(). */
    {S("X-Forwarded-Prefix"), FATE_PROXY_ONLY},
    {S("X-Forwarded-Server"), FATE_PROXY_ONLY},
    {S("X-Forwarded-Port"), FATE_PROXY_ONLY},
    {S("X-Forwarded-Scheme"), FATE_PROXY_ONLY},
    {S("X-Forwarded-Ssl"), FATE_PROXY_ONLY},
    {S("X-Original-Host"), FATE_PROXY_ONLY},
    {S("X-Real-IP"), FATE_PROXY_ONLY},
    {S("X-Client-IP"), FATE_PROXY_ONLY},
    {S("X-Cluster-Client-IP"), FATE_PROXY_ONLY},
    {S("True-Client-IP"), FATE_PROXY_ONLY},
    {S("Front-End-Https"), FATE_PROXY_ONLY},
    {S("X-Url-Scheme"), FATE_PROXY_ONLY},
    {S("Client-Cert"), FATE_PROXY_ONLY}, /* RFC 9440 section 4 */
    {S("Client-Cert-Chain"), FATE_PROXY_ONLY},
    {S("Authorization"), FATE_TOKEN},
    /* What decides how a request is read must not come behind its body (RFC 9110 section 6.5.1). */
    {S("Age"), FATE_PASSES_IN_HEAD},
    {S("Cache-Control"), FATE_PASSES_IN_HEAD},
    {S("Content-Encoding"), FATE_PASSES_IN_HEAD},
    {S("Content-Location"), FATE_PASSES_IN_HEAD},
    {S("Content-Range"), FATE_PASSES_IN_HEAD},
    {S("Content-Type"), FATE_PASSES_IN_HEAD},
    {S("Cookie"), FATE_PASSES_IN_HEAD},
    {S("Date"), FATE_PASSES_IN_HEAD},
    {S("DPoP"), FATE_PASSES_IN_HEAD},
    {S("Expires"), FATE_PASSES_IN_HEAD},
    {S("If-Match"), FATE_PASSES_IN_HEAD},
    {S("If-Modified-Since"), FATE_PASSES_IN_HEAD},
    {S("If-None-Match"), FATE_PASSES_IN_HEAD},
    {S("If-Range"), FATE_PASSES_IN_HEAD},
    {S("If-Unmodified-Since"), FATE_PASSES_IN_HEAD},
    {S("Location"), FATE_PASSES_IN_HEAD},
    {S("Max-Forwards"), FATE_PASSES_IN_HEAD},
    {S("Origin"), FATE_PASSES_IN_HEAD},
    {S("Pragma"), FATE_PASSES_IN_HEAD},
    {S("Range"), FATE_PASSES_IN_HEAD},
    {S("Retry-After"), FATE_PASSES_IN_HEAD},
    {S("Set-Cookie"), FATE_PASSES_IN_HEAD},
    {S("Vary"), FATE_PASSES_IN_HEAD},
    {S("Warning"), FATE_PASSES_IN_HEAD},
    {S("WWW-Authenticate"), FATE_PASSES_IN_HEAD},
};

/* One slot of the hash table; name is absent where it is empty. */
struct slot {
    uint64_t hash;
    struct span name; /* as it is spelt properly */
    enum fate fate;
};

/* An identity header, its configuration taken apart. */
struct told {
    struct span header;
    enum identity what;
    const char *claim; /* of IDENTITY_CLAIM */
};

struct forward_rules {
    unsigned char letters[256]; /* what each byte counts for in a name: see the next section */
    struct slot *slots;
    size_t mask; /* a power of two, less one */
    struct told *told;
    size_t told_count;
    struct span assertion_header;
};

/* --- names --------------------------------------------------------------------------------- */

/* In a name only letters and digits count: a list of the other characters that some server takes
 * for one another would never be complete. */
#define LETTER_NO_TOKEN 0
#define LETTER_IGNORED 1

static unsigned char lower(char c) {
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static void fill_letters(unsigned char letters[256]) {
    for (unsigned i = 0; i < 256; i++) {
        char c = (char)i;
        letters[i] = ascii_is_token_char(c) ? LETTER_IGNORED : LETTER_NO_TOKEN;
        if (ascii_is_alphanumeric(c)) letters[i] = lower(c);
    }
}

/* FNV-1a over the letters and digits of name, and whether it is a token, in one walk. */
static uint64_t hash_name(const struct forward_rules *rules, struct span name, bool *ret_token) {
    uint64_t hash = 0xcbf29ce484222325;
    bool token = name.len > 0;

    for (size_t i = 0; i < name.len; i++) {
        unsigned char letter = rules->letters[(unsigned char)name.ptr[i]];
        token &= letter != LETTER_NO_TOKEN;
        if (letter > LETTER_IGNORED) hash = (hash ^ letter) * 0x100000001b3;
    }
    *ret_token = token;
    return hash;
}

static bool has_letter(struct span name) {
    size_t i = 0;
    while (i < name.len && !ascii_is_alphanumeric(name.ptr[i])) i++;
    return i < name.len;
}

/* Cut start off *name, by their letters. */
static bool cut_start(struct span *name, struct span start) {
    size_t at = 0;
    for (size_t i = 0; i < start.len; i++) {
        if (!ascii_is_alphanumeric(start.ptr[i])) continue;
        while (at < name->len && !ascii_is_alphanumeric(name->ptr[at])) at++;
        if (at == name->len || lower(name->ptr[at]) != lower(start.ptr[i])) return false;
        at++;
    }
    *name = span_from(*name, at);
    return true;
}

static bool same_name(struct span a, struct span b) {
    return span_equal(a, b) || (cut_start(&a, b) && !has_letter(a));
}

/* --- rules --------------------------------------------------------------------------------- */

/* The slot of that name, or the empty one where it belongs. */
static struct slot *find_slot(const struct forward_rules *rules, struct span name, uint64_t hash) {
    size_t i = hash & rules->mask;
    while (rules->slots[i].name.ptr) {
        if (rules->slots[i].hash == hash && same_name(rules->slots[i].name, name)) break;
        i = (i + 1) & rules->mask;
    }
    return &rules->slots[i];
}

/* Whoever comes first stays. */
static void add_name(struct forward_rules *rules, struct span name, enum fate fate) {
    bool token;
    uint64_t hash = hash_name(rules, name, &token);
    struct slot *slot = find_slot(rules, name, hash);
    if (!slot->name.ptr) *slot = (struct slot){hash, name, fate};
}

static void add_names(struct forward_rules *rules) {
    for (size_t i = 0; i < ARRAY_LEN(hop_by_hop); i++) add_name(rules, hop_by_hop[i], FATE_DROPPED);
    for (size_t i = 0; i < rules->told_count; i++)
        add_name(rules, rules->told[i].header, FATE_DROPPED);
    if (rules->assertion_header.len) add_name(rules, rules->assertion_header, FATE_DROPPED);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) add_name(rules, known[i].name, known[i].fate);
}

/* The configuration was checked: a value that is none would be a user, not somebody's claim. */
static struct told read_told(const struct config_identity_header *header) {
    struct told told = {span_of(header->header), IDENTITY_USER, ""};
    struct span claim = SPAN_NONE;

    if (identity_parse(span_of(header->value), &told.what, &claim) == 0 && claim.ptr)
        told.claim = claim.ptr; /* to the end of the value, and so to its NUL */
    return told;
}

struct forward_rules *forward_rules_new(const struct config *config) {
    CLEANUP(forward_rules_freep) struct forward_rules *rules = calloc(1, sizeof *rules);
    if (!rules) return NULL;

    size_t names = ARRAY_LEN(hop_by_hop) + ARRAY_LEN(known) + config->identity_header_count + 1;
    size_t size = 1;
    while (size < names * 4) size *= 2;
    rules->mask = size - 1;
    rules->slots = calloc(size, sizeof *rules->slots);
    rules->told = calloc(config->identity_header_count + 1, sizeof *rules->told);
    if (!rules->slots || !rules->told) return NULL;

    fill_letters(rules->letters);
    rules->told_count = config->identity_header_count;
    for (size_t i = 0; i < rules->told_count; i++)
        rules->told[i] = read_told(&config->identity_headers[i]);
    rules->assertion_header = span_of(config->assertion.header);
    add_names(rules);
    return TAKE_PTR(rules);
}

void forward_rules_free(struct forward_rules *rules) {
    if (!rules) return;
    free(rules->slots);
    free(rules->told);
    free(rules);
}

static enum fate fate_of(const struct forward_rules *rules, struct span name, uint64_t hash) {
    static const struct span family = S("X-Forwarded-");
    const struct slot *slot = find_slot(rules, name, hash);
    struct span proper = slot->name, spelt = name, rest = name;
    enum fate fate = slot->fate;

    if (!slot->name.ptr) {
        if (!cut_start(&rest, family)) return FATE_PASSES;
        fate = FATE_PROXY_ONLY;
        proper = family;
        spelt = span_until(name, family.len);
    }
    if (fate != FATE_PROXY_ONLY && fate != FATE_TOKEN) return fate;
    /* Another spelling of what somebody vouches for is nobody's: proxies do not know it, and pass
     * on what strangers put there. */
    return span_equal_nocase(spelt, proper) ? fate : FATE_DROPPED;
}

/* --- connections --------------------------------------------------------------------------- */

#define NAMED_MAX 64

/*
 * What the Connection fields of a request name. Hashes alone are compared: who makes two names
 * collide loses a field of his own, which naming it would have done. One who names more than
 * NAMED_MAX is after something else than his connection, and has named all.
 */
struct named {
    uint64_t hashes[NAMED_MAX];
    size_t count; /* NAMED_MAX + 1: all */
};

static void add_named(const struct forward_rules *rules, struct span list, struct named *named) {
    struct span option;
    bool token;
    while (named->count <= NAMED_MAX && span_next(&list, ',', &option)) {
        if (!has_letter(option)) continue;
        uint64_t hash = hash_name(rules, option, &token);
        if (named->count < NAMED_MAX) named->hashes[named->count] = hash;
        named->count++;
    }
}

static void read_named(const struct forward_rules *rules, struct fields fields,
                       struct named *named) {
    named->count = 0;
    for (size_t i = 0; i < fields.count; i++)
        if (same_name(fields.items[i].name, S("Connection")))
            add_named(rules, fields.items[i].value, named);
}

static bool is_named(const struct named *named, uint64_t hash) {
    if (named->count > NAMED_MAX) return true;
    for (size_t i = 0; i < named->count; i++)
        if (named->hashes[i] == hash) return true;
    return false;
}

static bool list_names(struct span list, struct span name) {
    struct span option;
    while (span_next(&list, ',', &option))
        if (has_letter(option) && same_name(option, name)) return true;
    return false;
}

/* Does some name among them begin so? Most fields of a response are told by their first letter. */
static bool may_be_hop_by_hop(struct span name) {
    return name.len == 0 || !ascii_is_alphanumeric(name.ptr[0]) ||
           strchr("chkptu", lower(name.ptr[0]));
}

bool forward_is_hop_by_hop(struct span name, struct fields fields) {
    for (size_t i = 0; may_be_hop_by_hop(name) && i < ARRAY_LEN(hop_by_hop); i++)
        if (same_name(name, hop_by_hop[i])) return true;
    for (size_t i = 0; i < fields.count; i++)
        if (same_name(fields.items[i].name, S("Connection")) &&
            list_names(fields.items[i].value, name))
            return true;
    return false;
}

/* protocol = name [ "/" version ], of which none may carry requests past the gate. */
static bool is_harmless_protocol(struct span protocol) {
    static const struct span carriers[] = {S("h2c"), S("h2"), S("HTTP"), S("TLS")};
    size_t end = span_find(protocol, '/');
    struct span name = span_until(protocol, end);

    if (!ascii_is_token(name)) return false;
    if (end < protocol.len && !ascii_is_token(span_from(protocol, end + 1))) return false;
    for (size_t i = 0; i < ARRAY_LEN(carriers); i++)
        if (span_equal_nocase(name, carriers[i])) return false;
    return true;
}

static bool is_harmless_list(struct span list) {
    size_t count = 0;
    struct span item;
    while (span_next(&list, ',', &item)) {
        item = span_trim(item);
        if (item.len == 0) continue;
        if (!is_harmless_protocol(item)) return false;
        count++;
    }
    return count > 0;
}

/* A connection option in its own spelling: what is acted on is not guessed at. */
static bool asks_for_upgrade(struct span connection) {
    struct span option;
    while (span_next(&connection, ',', &option))
        if (span_equal_nocase(span_trim(option), S("Upgrade"))) return true;
    return false;
}

struct span forward_upgrade(struct fields fields) {
    struct span upgrade = SPAN_NONE;
    bool asked = false;

    for (size_t i = 0; i < fields.count; i++) {
        const struct field *field = &fields.items[i];
        if (span_equal_nocase(field->name, S("Connection")) && asks_for_upgrade(field->value))
            asked = true;
        if (!span_equal_nocase(field->name, S("Upgrade"))) continue;
        if (upgrade.ptr) return SPAN_NONE;
        upgrade = field->value;
    }
    return asked && is_harmless_list(upgrade) ? upgrade : SPAN_NONE;
}

/* --- lines --------------------------------------------------------------------------------- */

static void add_line(struct buf *out, struct span name, struct span value) {
    buf_add(out, name);
    buf_add(out, S(": "));
    buf_add(out, value);
    buf_add(out, S("\r\n"));
}

/* A line that is written item by item, and not at all where there is none. */
struct line {
    struct buf *out;
    struct span name;
    struct span separator;
    bool begun;
};

/* What is added to out next is an item. */
static void line_next(struct line *line) {
    buf_add(line->out, line->begun ? line->separator : line->name);
    if (!line->begun) buf_add(line->out, S(": "));
    line->begun = true;
}

static void line_end(struct line *line) {
    if (line->begun) buf_add(line->out, S("\r\n"));
}

/* Nothing that could end a line, whoever let it through before. */
static bool is_clean(struct span value) {
    return span_find(value, '\r') == value.len && span_find(value, '\n') == value.len &&
           span_find(value, '\0') == value.len;
}

/* The next field from *i on that has that name, in its own spelling, and says something. */
static bool next_field(struct fields fields, struct span name, size_t *i, struct span *ret) {
    for (; *i < fields.count; ++*i) {
        const struct field *field = &fields.items[*i];
        if (!span_equal_nocase(field->name, name)) continue;
        if (field->value.len == 0 || !is_clean(field->value)) continue;
        *ret = field->value;
        ++*i;
        return true;
    }
    return false;
}

static void line_add_fields(struct line *line, struct fields fields) {
    struct span value;
    for (size_t i = 0; next_field(fields, line->name, &i, &value);) {
        line_next(line);
        buf_add(line->out, value);
    }
}

/* --- where the request came from ----------------------------------------------------------- */

/*
 * What a trusted proxy says in fields of that name. Where it says two things one of them may be its
 * client's, and it is not known which: then it has said nothing.
 */
static struct span ask_proxy(const struct forward_request *request, struct span name) {
    struct span said = SPAN_NONE, value;
    if (!request->from_proxy) return said;
    for (size_t i = 0; next_field(request->fields, name, &i, &value);) {
        if (said.ptr && !span_equal_nocase(said, value)) return SPAN_NONE;
        said = value;
    }
    return said;
}

/* Does each quoted string end? Else one behind it would be a part of it. */
static bool are_closed(struct fields fields, struct span name) {
    struct span value;
    for (size_t i = 0; next_field(fields, name, &i, &value);) {
        bool quoted = false;
        for (size_t at = 0; at < value.len; at++) {
            if (quoted && value.ptr[at] == '\\')
                at++;
            else if (value.ptr[at] == '"')
                quoted = !quoted;
        }
        if (quoted) return false;
    }
    return true;
}

/* node (RFC 7239 section 6) */
static void add_node(struct span client, struct buf *out) {
    if (!client.ptr) {
        buf_add(out, S("unknown"));
        return;
    }
    bool v6 = span_find(client, ':') < client.len;
    if (v6) buf_add(out, S("\"["));
    buf_add(out, client);
    if (v6) buf_add(out, S("]\""));
}

/* value = token / quoted-string (RFC 7239 section 4) */
static void add_value(struct span value, struct buf *out) {
    if (ascii_is_token(value)) {
        buf_add(out, value);
        return;
    }
    buf_add_char(out, '"');
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '"' || value.ptr[i] == '\\') buf_add_char(out, '\\');
        buf_add_char(out, value.ptr[i]);
    }
    buf_add_char(out, '"');
}

static void add_element(const struct forward_request *request, struct buf *out) {
    buf_add(out, S("for="));
    add_node(request->client, out);
    if (request->host.ptr) {
        buf_add(out, S(";host="));
        add_value(request->host, out);
    }
    buf_add_text(out, request->tls ? ";proto=https" : ";proto=http");
}

/*
 * A proxy that sends none speaks by X-Forwarded-For alone: one with our hop only would name the
 * proxy as the client.
 */
static void add_forwarded(const struct forward_request *request, struct buf *out) {
    struct line line = {out, S("Forwarded"), S(", "), false};
    struct span value;
    size_t i = 0;

    if (request->from_proxy && !next_field(request->fields, line.name, &i, &value)) return;
    if (request->from_proxy && are_closed(request->fields, line.name))
        line_add_fields(&line, request->fields);
    line_next(&line);
    add_element(request, out);
    line_end(&line);
}

static void add_forwarded_for(const struct forward_request *request, struct buf *out) {
    struct line line = {out, S("X-Forwarded-For"), S(", "), false};

    if (request->from_proxy) line_add_fields(&line, request->fields);
    if (request->client.ptr) {
        line_next(&line);
        buf_add(out, request->client);
    }
    line_end(&line);
}

static void add_origin(const struct forward_request *request, struct buf *out) {
    struct span proto = ask_proxy(request, S("X-Forwarded-Proto"));
    struct span host = ask_proxy(request, S("X-Forwarded-Host"));

    if (!proto.ptr) proto = request->tls ? S("https") : S("http");
    if (!host.ptr) host = request->host;
    add_forwarded_for(request, out);
    add_line(out, S("X-Forwarded-Proto"), proto);
    if (host.ptr) add_line(out, S("X-Forwarded-Host"), host);
    add_forwarded(request, out);
}

/* --- identity ------------------------------------------------------------------------------ */

/* Neither a line end, nor a space that an item of a list could be made to end with, gets through.
 */
static void add_encoded(struct span text, struct buf *out) {
    static const char digits[] = "0123456789ABCDEF";
    size_t plain = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c > ' ' && c < 0x7f && c != '%') continue;
        const char escape[] = {'%', digits[c >> 4], digits[c & 0xf]};
        buf_add(out, (struct span){text.ptr + plain, i - plain});
        buf_add(out, (struct span){escape, sizeof escape});
        plain = i + 1;
    }
    buf_add(out, span_from(text, plain));
}

static void line_add_text(struct line *line, struct span text) {
    if (text.len == 0) return;
    line_next(line);
    add_encoded(text, line->out);
}

static void line_add_texts(struct line *line, const struct span *texts, size_t count) {
    for (size_t i = 0; i < count; i++) line_add_text(line, texts[i]);
}

static void line_add_json(struct line *line, const struct jnode *node) {
    bool encoded = jnode_is(node, JTYPE_OBJECT) || jnode_is(node, JTYPE_ARRAY);
    CLEANUP(buf_done) struct buf json = buf_make(line->out->max);
    char piece[513]; /* 384 bytes come to 512 characters without a rest */

    jnode_write(node, &json);
    /* Without memory the head must not go out as if there were no such claim. */
    if (!buf_ok(&json)) {
        line->out->failed = true;
        return;
    }
    line_next(line);
    if (!encoded) {
        buf_add(line->out, buf_span(&json));
        return;
    }
    for (struct span rest = buf_span(&json); rest.len; rest = span_from(rest, 384)) {
        base64url_encode(rest.ptr, rest.len < 384 ? rest.len : 384, piece);
        buf_add_text(line->out, piece);
    }
}

static bool holds_only_strings(const struct jnode *array) {
    for (const struct jnode *item = jarray_first(array); item; item = jnode_next(array, item))
        if (!jnode_is(item, JTYPE_STRING)) return false;
    return jnode_is(array, JTYPE_ARRAY);
}

static void line_add_claim(struct line *line, const struct jnode *claim) {
    if (jnode_is(claim, JTYPE_STRING))
        line_add_text(line, jnode_text(claim));
    else if (holds_only_strings(claim))
        for (const struct jnode *item = jarray_first(claim); item; item = jnode_next(claim, item))
            line_add_text(line, jnode_text(item));
    else if (claim)
        line_add_json(line, claim);
}

static void add_told(const struct told *told, const struct principal *principal, struct buf *out) {
    struct line line = {out, told->header, S(" "), false};
    const struct span *items;
    size_t count;

    switch (told->what) {
    case IDENTITY_USER:
        line_add_text(&line, principal_user(principal));
        break;
    case IDENTITY_SUBJECT:
        line_add_text(&line, principal_subject(principal));
        break;
    case IDENTITY_ISSUER:
        line_add_text(&line, span_of(principal_issuer(principal)->issuer));
        break;
    case IDENTITY_SCOPES:
        items = principal_scopes(principal, &count);
        line_add_texts(&line, items, count);
        break;
    case IDENTITY_ROLES:
        items = principal_roles(principal, &count);
        line_add_texts(&line, items, count);
        break;
    case IDENTITY_CLAIM:
        line_add_claim(&line, principal_claim(principal, told->claim));
        break;
    }
    line_end(&line);
}

void forward_add_identity(const struct forward_rules *rules, const struct principal *principal,
                          struct buf *out) {
    if (!principal) return;
    for (size_t i = 0; i < rules->told_count; i++) add_told(&rules->told[i], principal, out);
}

/* --- the request line ---------------------------------------------------------------------- */

static struct span skip_slashes(struct span path) {
    while (path.len && path.ptr[0] == '/') path = span_from(path, 1);
    return path;
}

static struct span cut_slashes(struct span path) {
    while (path.len && path.ptr[path.len - 1] == '/') path.len--;
    return path;
}

/* Whole segments alone: without "/orders" there is no "/ordersx". */
static struct span strip(struct span path, const char *prefix) {
    struct span start = cut_slashes(span_of(prefix));
    if (!span_starts_with(path, start)) return path;
    struct span rest = span_from(path, start.len);
    return rest.len == 0 || rest.ptr[0] == '/' ? rest : path;
}

/* Never "//" in front: who resolves such a target takes what follows for a host (RFC 3986 section
 * 4.2). */
static void add_path(const struct config_route *route, struct span path, struct buf *out) {
    struct span prefix = skip_slashes(cut_slashes(span_of(route->add_prefix)));

    if (prefix.len) {
        buf_add_char(out, '/');
        buf_add(out, prefix);
    }
    buf_add_char(out, '/');
    buf_add(out, skip_slashes(strip(path, route->strip_prefix)));
}

static void add_request_line(const struct forward_request *request, struct buf *out) {
    buf_add(out, request->method);
    buf_add_char(out, ' ');
    add_path(request->route, request->path, out);
    if (request->query.ptr) {
        buf_add_char(out, '?');
        buf_add(out, request->query);
    }
    buf_add(out, S(" HTTP/1.1\r\n"));
}

/* --- the head ------------------------------------------------------------------------------ */

static void add_host(const struct forward_request *request, struct buf *out) {
    bool target = request->upstream->host == HOST_TARGET || !request->host.ptr;
    add_line(out, S("Host"), target ? request->target_host : request->host);
}

static bool is_first(const struct field *field, struct fields fields) {
    const struct field *first = fields.items;
    while (first < field && !span_equal_nocase(first->name, field->name)) first++;
    return first == field;
}

static bool passes(const struct forward_rules *rules, const struct forward_request *request,
                   const struct named *named, const struct field *field) {
    bool token;
    uint64_t hash = hash_name(rules, field->name, &token);
    if (!token) return false;

    switch (fate_of(rules, field->name, hash)) {
    case FATE_PASSES:
    case FATE_PASSES_IN_HEAD:
        return !is_named(named, hash);
    case FATE_PROXY_ONLY:
        return request->from_proxy;
    case FATE_TOKEN:
        return request->route->forward_token && is_first(field, request->fields);
    case FATE_DROPPED:
        break;
    }
    return false;
}

static void add_fields(const struct forward_rules *rules, const struct forward_request *request,
                       struct buf *out) {
    struct named named;
    read_named(rules, request->fields, &named);
    for (size_t i = 0; i < request->fields.count; i++) {
        const struct field *field = &request->fields.items[i];
        if (passes(rules, request, &named, field) && is_clean(field->value))
            add_line(out, field->name, field->value);
    }
}

/* Methods whose body has a meaning: a server may wait for one that is not announced (RFC 9110
 * section 8.6). */
static bool is_for_content(struct span method) {
    return span_equal(method, S("POST")) || span_equal(method, S("PUT")) ||
           span_equal(method, S("PATCH"));
}

static void add_framing(const struct forward_request *request, struct buf *out) {
    switch (request->body) {
    case FORWARD_NO_BODY:
        if (is_for_content(request->method)) add_line(out, S("Content-Length"), S("0"));
        break;
    case FORWARD_LENGTH:
        buf_addf(out, "Content-Length: %" PRIu64 "\r\n", request->length);
        break;
    case FORWARD_CHUNKED:
        add_line(out, S("Transfer-Encoding"), S("chunked"));
        break;
    }
}

void forward_add_head(const struct forward_rules *rules, const struct forward_request *request,
                      struct buf *out) {
    add_request_line(request, out);
    add_host(request, out);
    add_fields(rules, request, out);

    add_framing(request, out);
    if (request->expects_continue) add_line(out, S("Expect"), S("100-continue"));
    if (request->upgrade.ptr) {
        add_line(out, S("Connection"), S("upgrade"));
        add_line(out, S("Upgrade"), request->upgrade);
    }
    add_line(out, S("X-Request-Id"), request->request_id);
    add_origin(request, out);
    forward_add_identity(rules, request->principal, out);
    if (request->assertion.ptr && rules->assertion_header.len)
        add_line(out, rules->assertion_header, request->assertion);
    buf_add(out, S("\r\n"));
}

bool forward_takes_trailer(const struct forward_rules *rules, struct span name) {
    bool token;
    uint64_t hash = hash_name(rules, name, &token);
    return token && fate_of(rules, name, hash) == FATE_PASSES;
}
