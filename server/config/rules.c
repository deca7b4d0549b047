#include "server/config/rules.h"

#include "common/url.h"
#include "server/config/check.h"
#include "server/config/identity_header.h"
#include "server/config/nearest.h"
#include "server/config/upstream_target.h"

void rules_tls(struct problems *problems, const struct record *tls) {
    const struct node *certificate = record_given(tls, "certificate");
    const struct node *key = record_given(tls, "private_key");

    if (certificate && !key)
        PROBLEM_AT(problems, certificate, "certificate",
                   "given without private_key; give both or neither");
    if (key && !certificate)
        PROBLEM_AT(problems, key, "private_key", "given without certificate; give both or neither");
}

/* small must be less than large, or may also equal it. Defaults count; one of them was given. */
static void compare(struct problems *problems, const struct record *record, const char *small,
                    bool may_be_equal, const char *large) {
    uint64_t low, high;
    struct span low_text = record_value(record, small, &low);
    struct span high_text = record_value(record, large, &high);
    const struct node *node = record_given(record, small);

    if (span_is_absent(low_text) || span_is_absent(high_text)) return;
    if (low < high || (may_be_equal && low == high)) return;
    bool by_default = !node;
    if (!node) node = record_given(record, large);
    PROBLEM_AT(problems, node, small,
               "%.*s%s is %s than %s (%.*s%s); lower the one or raise the other",
               SPAN_PRINTF(low_text), by_default ? ", the default," : "",
               may_be_equal ? "more" : "not less", large, SPAN_PRINTF(high_text),
               record_given(record, large) ? "" : " by default");
}

void rules_limits(struct problems *problems, const struct record *limits) {
    compare(problems, limits, "token", false, "header");
}

/* --- issuers --------------------------------------------------------------------------------- */

/* Whoever sits between us and http:// hands us the keys he likes. */
static void rule_http(struct problems *problems, const struct record *issuer, const char *key) {
    const struct node *node = record_sound(issuer, key);
    uint64_t insecure;
    struct url url;

    if (!node || url_parse(node->text, &url, NULL) < 0 || url.https || url_is_loopback(&url))
        return;
    if (span_is_absent(record_value(issuer, "insecure_http", &insecure)) || insecure) return;
    PROBLEM_AT(problems, node, key,
               "http:// is refused, anyone on the way could forge the keys; use https://, "
               "or set insecure_http: true in the file");
}

static void rule_audience(struct problems *problems, const struct record *issuer) {
    const struct node *audiences = record_given(issuer, "audiences");
    uint64_t any;

    if (span_is_absent(record_value(issuer, "allow_any_audience", &any))) return;
    if (audiences && any)
        PROBLEM_AT(problems, record_given(issuer, "allow_any_audience"), "allow_any_audience",
                   "true contradicts audiences; keep one of them");
    if (!audiences && !any)
        PROBLEM_AT(problems, issuer->node, "audiences",
                   "required, or tokens made for other services would be accepted; write a list "
                   "such as [orders-api], or allow_any_audience: true");
}

/* One way to the keys. */
static void rule_source(struct problems *problems, const struct record *issuer, const char *key,
                        const char *other) {
    const struct node *node = record_given(issuer, key);
    if (node && record_given(issuer, other))
        PROBLEM_AT(problems, node, key,
                   "contradicts %s: keys come from one place; keep one of them", other);
}

void rules_issuer(struct problems *problems, const struct record *issuer) {
    rule_http(problems, issuer, "issuer");
    rule_http(problems, issuer, "discovery");
    rule_http(problems, issuer, "jwks_uri");
    rule_audience(problems, issuer);
    rule_source(problems, issuer, "discovery", "jwks_uri");
    rule_source(problems, issuer, "discovery", "jwks_file");
    rule_source(problems, issuer, "jwks_uri", "jwks_file");
    compare(problems, issuer, "refresh_interval", true, "max_stale");
}

/* --- upstreams ------------------------------------------------------------------------------- */

/* Every target is sound, and none is https. */
static bool all_plain(const struct node *targets) {
    struct upstream_target target;

    if (!targets) return false;
    for (const struct node *t = targets->first; t; t = t->next)
        if (!t->sound || upstream_target_parse(t->text, &target, NULL) < 0 || target.https)
            return false;
    return true;
}

void rules_upstream(struct problems *problems, const struct record *upstream) {
    struct record tls;
    bool any = false;

    record_inner(upstream, "tls", record_given(upstream, "tls"), &tls);
    for (size_t i = 0; i < tls.section->count; i++)
        any = any || record_given(&tls, tls.section->options[i].key);
    if (any && all_plain(record_sound(upstream, "targets")))
        PROBLEM_AT(problems, tls.node, "tls",
                   "no target is https, so nothing would be encrypted; write https:// targets or "
                   "leave tls out");
}

/* --- sections against each other ------------------------------------------------------------- */

#define NAMES_SHOWN 20
#define NAMES_COMPARED 128 /* of many upstreams, for many unknown names */
#define NAMES_MAX 2048

static void report_upstream(struct problems *problems, const struct node *name,
                            const struct node *upstreams) {
    char quoted[PROBLEM_QUOTE_MAX];
    struct nearest nearest = nearest_make(name->text);
    struct buf known = buf_make(NAMES_MAX);
    size_t count = 0;

    for (const struct node *u = upstreams; u && count < NAMES_COMPARED; u = u->next, count++) {
        struct span text = tree_find(u, "name")->text;
        nearest_try(&nearest, text);
        if (count < NAMES_SHOWN) buf_addf(&known, "%s%.*s", count ? ", " : "", SPAN_PRINTF(text));
    }
    problem_quote(name->text, quoted);
    if (nearest.best.ptr)
        PROBLEM_AT(problems, name, "upstream", "%s is no upstream; did you mean \"%.*s\"?", quoted,
                   SPAN_PRINTF(nearest.best));
    else if (upstreams)
        PROBLEM_AT(problems, name, "upstream", "%s is no upstream; the upstreams here are: %s%s",
                   quoted, known.data ? known.data : "", count > NAMES_SHOWN ? ", ..." : "");
    else
        PROBLEM_AT(problems, name, "upstream",
                   "%s is no upstream; write an entry for it under upstreams", quoted);
    buf_done(&known);
}

/* Any that lacks a sound name may be the one that is meant. */
static bool may_be_there(const struct node *upstreams, struct span name) {
    for (const struct node *u = upstreams; u; u = u->next) {
        const struct node *own = tree_find(u, "name");
        if (!own || !own->sound || span_equal(own->text, name)) return true;
    }
    return false;
}

static void rule_upstreams(struct problems *problems, const struct record *root) {
    const struct node *list = record_given(root, "upstreams");
    const struct node *routes = record_sound(root, "routes");

    if ((list && !list->sound) || !routes) return;
    for (const struct node *route = routes->first; route; route = route->next) {
        const struct node *name = tree_find(route, "upstream");
        if (!name || !name->sound || name->text.len == 0) continue;
        if (!may_be_there(list ? list->first : NULL, name->text))
            report_upstream(problems, name, list ? list->first : NULL);
    }
}

/* Where a user's name is expected a signed assertion must not stand, nor the other way round. */
static void rule_assertion(struct problems *problems, const struct record *root) {
    struct record assertion;
    struct tree tree;
    uint64_t unused;

    record_inner(root, "assertion", record_given(root, "assertion"), &assertion);
    struct span header = record_value(&assertion, "header", &unused);
    const struct node *node = record_given(&assertion, "header");
    const struct node *entry = record_entries(problems, root, "identity_headers", &tree);
    for (; entry && header.ptr; entry = entry->next) {
        const struct node *own = tree_find(entry, "header");
        if (!own || !own->sound || !identity_header_same(own->text, header)) continue;
        PROBLEM_AT(problems, node ? node : own, "header",
                   "%.*s would carry both an identity and the assertion; write another name",
                   SPAN_PRINTF(node ? header : own->text));
        break;
    }
    tree_done(&tree);
}

/* Port 0 is another one each time. */
static bool any_port(struct span address) {
    return address.len > 2 && span_equal_text(span_from(address, address.len - 2), ":0");
}

static void rule_admin(struct problems *problems, const struct record *root) {
    struct record admin;
    struct tree tree;

    record_inner(root, "admin", record_given(root, "admin"), &admin);
    const struct node *address = record_sound(&admin, "address");
    if (!address) return;
    /* Health, metrics and status tell too much for a listener that everybody reaches. */
    if (!value_is_local(address->text) && !record_given(&admin, "require"))
        PROBLEM_AT(problems, address, "address",
                   "\"%.*s\" is no loopback address: health, metrics and status are never on a "
                   "public listener; write a loopback address such as 127.0.0.1:8081, unix:/PATH "
                   "or systemd:NAME",
                   SPAN_PRINTF(address->text));
    if (any_port(address->text)) return;
    const struct node *entry = record_entries(problems, root, "listen", &tree);
    for (; entry; entry = entry->next) {
        const struct node *other = tree_find(entry, "address");
        if (!other || !other->sound || !span_equal(other->text, address->text)) continue;
        PROBLEM_AT(problems, address, "address",
                   "%.*s is an address of listen too%s; write another one for admin",
                   SPAN_PRINTF(address->text), record_given(root, "listen") ? "" : ", by default");
    }
    tree_done(&tree);
}

/* Who may ask about other people's requests must be said. */
static void rule_asking(struct problems *problems, const struct record *root) {
    const struct node *trusted = record_given(root, "trusted_proxies");
    const struct node *routes = record_sound(root, "routes");

    if (!routes || (trusted && (!trusted->sound || trusted->first))) return;
    for (const struct node *route = routes->first; route; route = route->next) {
        const struct node *respond = tree_find(route, "respond");
        if (respond && respond->sound && span_equal_text(respond->text, "forward_auth"))
            PROBLEM_AT(problems, respond, "respond",
                       "forward_auth answers only the addresses in trusted_proxies, and there are "
                       "none; write trusted_proxies: [127.0.0.1] or where the proxy is");
    }
}

void rules_root(struct problems *problems, const struct record *root) {
    rule_upstreams(problems, root);
    rules_routes(problems, root);
    rule_asking(problems, root);
    rule_assertion(problems, root);
    rule_admin(problems, root);
}

/* --- entries against each other -------------------------------------------------------------- */

/* The value of later where it is the same text in earlier. */
static const struct node *same(const struct record *earlier, const struct record *later,
                               const char *key) {
    const struct node *a = record_sound(earlier, key), *b = record_sound(later, key);
    return a && b && span_equal(a->text, b->text) ? b : NULL;
}

bool rules_unlike_listen(struct problems *problems, const struct record *earlier,
                         const struct record *later) {
    const struct node *node = same(earlier, later, "address");
    if (!node) return false;
    PROBLEM_AT(problems, node, "address", "already given in line %u; keep one",
               record_given(earlier, "address")->line);
    return true;
}

bool rules_unlike_issuer(struct problems *problems, const struct record *earlier,
                         const struct record *later) {
    const struct node *node = same(earlier, later, "issuer");
    if (!node) return false;
    PROBLEM_AT(problems, node, "issuer", "already given in line %u; keep one entry for each issuer",
               record_given(earlier, "issuer")->line);
    return true;
}

bool rules_unlike_upstream(struct problems *problems, const struct record *earlier,
                           const struct record *later) {
    const struct node *node = same(earlier, later, "name");
    if (!node) return false;
    PROBLEM_AT(problems, node, "name", "already given in line %u; keep one upstream of that name",
               record_given(earlier, "name")->line);
    return true;
}

bool rules_unlike_role(struct problems *problems, const struct record *earlier,
                       const struct record *later) {
    const struct node *node = same(earlier, later, "name");
    if (!node) return false;
    PROBLEM_AT(problems, node, "name", "already given in line %u; keep one role of that name",
               record_given(earlier, "name")->line);
    return true;
}

bool rules_unlike_resource(struct problems *problems, const struct record *earlier,
                           const struct record *later) {
    const struct node *node = same(earlier, later, "resource");
    if (!node) return false;
    PROBLEM_AT(problems, node, "resource", "already given in line %u; keep one",
               record_given(earlier, "resource")->line);
    return true;
}

bool rules_unlike_identity(struct problems *problems, const struct record *earlier,
                           const struct record *later) {
    const struct node *a = record_sound(earlier, "header"), *b = record_sound(later, "header");
    if (!a || !b || !identity_header_same(a->text, b->text)) return false;
    PROBLEM_AT(problems, b, "header",
               "the same field as in line %u, as only letters and digits tell them apart; keep one",
               a->line);
    return true;
}

/* --- likeness -------------------------------------------------------------------------------- */

static uint64_t hash_of(const struct record *record, const char *key) {
    const struct node *node = record_sound(record, key);
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; node && i < node->text.len; i++)
        hash = (hash ^ (unsigned char)node->text.ptr[i]) * 0x100000001b3;
    return hash;
}

uint64_t rules_like_listen(const struct record *record) {
    return hash_of(record, "address");
}

uint64_t rules_like_issuer(const struct record *record) {
    return hash_of(record, "issuer");
}

uint64_t rules_like_upstream(const struct record *record) {
    return hash_of(record, "name");
}

uint64_t rules_like_identity(const struct record *record) {
    const struct node *node = record_sound(record, "header");
    return node ? identity_header_hash(node->text) : 0;
}

uint64_t rules_like_role(const struct record *record) {
    return hash_of(record, "name");
}

uint64_t rules_like_resource(const struct record *record) {
    return hash_of(record, "resource");
}
