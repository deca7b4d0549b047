#include "server/config/rules.h"

#include "common/url.h"
#include "server/config/check.h"

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

/* --- routes ---------------------------------------------------------------------------------- */

void rules_route(struct problems *problems, const struct record *route) {
    const struct node *methods = record_sound(route, "methods");
    const struct node *respond = record_sound(route, "respond");

    if (!methods || !respond) return;
    for (const struct node *m = methods->first; m; m = m->next)
        if (m->sound && !span_equal_text(m->text, "GET") && !span_equal_text(m->text, "HEAD"))
            PROBLEM_AT(problems, m, "methods",
                       "%.*s is nothing that %.*s answers; write GET, HEAD or both",
                       SPAN_PRINTF(m->text), SPAN_PRINTF(respond->text));
}

/* Does the route take the method? One that lists none takes all. */
static bool takes(const struct node *methods, struct span method) {
    if (!methods || !methods->first) return true;
    for (const struct node *m = methods->first; m; m = m->next)
        if (m->sound && span_equal(m->text, method)) return true;
    return false;
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

bool rules_unlike_route(struct problems *problems, const struct record *earlier,
                        const struct record *later) {
    const struct node *node = same(earlier, later, "path");
    const struct node *before = record_given(earlier, "methods");
    const struct node *now = record_given(later, "methods");

    if (!node || (before && !before->sound) || (now && !now->sound)) return false;
    bool both = takes(now, SPAN_NONE) || takes(before, SPAN_NONE);
    for (const struct node *m = now ? now->first : NULL; m && !both; m = m->next)
        both = m->sound && takes(before, m->text);
    if (!both) return false;
    PROBLEM_AT(problems, node, "path",
               "the route in line %u has this path and method already; keep one",
               record_given(earlier, "path")->line);
    return true;
}
