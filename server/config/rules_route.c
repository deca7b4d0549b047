#include <stdlib.h>

#include "common/parse.h"
#include "common/url.h"
#include "server/config/check.h"
#include "server/config/pattern.h"
#include "server/config/rules.h"

/* --- routes ---------------------------------------------------------------------------------- */

static void rule_respond(struct problems *problems, const struct record *route) {
    const struct node *upstream = record_given(route, "upstream");
    bool respond = record_given(route, "respond");

    if (upstream && respond)
        PROBLEM_AT(problems, upstream, "upstream",
                   "contradicts respond: a request is answered in one place; keep one of them");
    if (!upstream && !respond)
        PROBLEM_AT(problems, route->node, "respond",
                   "missing, and upstream too, so nothing would answer; give one of them");
}

/* Verdicts are given on every method. */
static bool takes_any(const struct node *respond) {
    return respond && (span_equal_text(respond->text, "verdict") ||
                       span_equal_text(respond->text, "forward_auth"));
}

/* The routes of the request that is asked about judge it, and nothing else does. */
static void rule_forward_auth(struct problems *problems, const struct record *route) {
    const struct node *respond = record_sound(route, "respond");
    const struct node *require = record_given(route, "require");
    const struct node *mode = record_sound(route, "mode");

    if (!respond || !span_equal_text(respond->text, "forward_auth")) return;
    if (require)
        PROBLEM_AT(
            problems, require, "require",
            "has no meaning with forward_auth: the route of the request that is asked about says "
            "what it needs; leave it out");
    if (mode && span_equal_text(mode->text, "report"))
        PROBLEM_AT(
            problems, mode, "mode",
            "has no meaning with forward_auth: the route of the request that is asked about says "
            "whether it is enforced; leave it out");
}

static void rule_methods(struct problems *problems, const struct record *route) {
    const struct node *methods = record_sound(route, "methods");
    const struct node *respond = record_sound(route, "respond");

    if (!methods || !respond || record_given(route, "upstream") || takes_any(respond)) return;
    for (const struct node *m = methods->first; m; m = m->next)
        if (m->sound && !span_equal_text(m->text, "GET") && !span_equal_text(m->text, "HEAD"))
            PROBLEM_AT(problems, m, "methods",
                       "%.*s is nothing that %.*s answers; write GET, HEAD or both",
                       SPAN_PRINTF(m->text), SPAN_PRINTF(respond->text));
}

/* What would never take effect was meant for another route, or upstream was forgotten. */
static void rule_forwarding(struct problems *problems, const struct record *route, const char *key,
                            const char *off) {
    const struct node *node = record_sound(route, key);
    if (node && !span_equal_text(node->text, off))
        PROBLEM_AT(problems, node, key,
                   "given without upstream, and what respond answers is not forwarded; give "
                   "upstream, or leave it out");
}

/* Where nothing is forwarded nobody is there to answer it; a verdict may be about what another
 * proxy forwards. */
static void rule_preflight(struct problems *problems, const struct record *route) {
    const struct node *preflight = tree_find(record_given(route, "cors"), "preflight");
    const struct node *respond = record_sound(route, "respond");
    if (respond && span_equal_text(respond->text, "verdict")) return;
    if (preflight && preflight->sound && span_equal_text(preflight->text, "pass"))
        PROBLEM_AT(problems, preflight, "preflight",
                   "pass leaves the answer to the upstream, and this route has none; write answer "
                   "and origins, or leave it out");
}

/* "/orders" is the start of "/orders", "/orders/" and all below it, and not of "/orders2". */
static void rule_strip(struct problems *problems, const struct record *route) {
    const struct node *path = record_sound(route, "path");
    const struct node *prefix = record_sound(route, "strip_prefix");

    if (!path || !prefix ||
        (span_starts_with(path->text, prefix->text) &&
         (path->text.len == prefix->text.len || path->text.ptr[prefix->text.len] == '/')))
        return;
    PROBLEM_AT(problems, prefix, "strip_prefix",
               "%.*s is not what the path %.*s starts with; write its first segments, without the "
               "slash behind them",
               SPAN_PRINTF(prefix->text), SPAN_PRINTF(path->text));
}

/* --- requirements ---------------------------------------------------------------------------- */

/* The first capture of the path that text names somewhere, as "org-{tenant}" does. */
static bool names_capture(struct span path, struct span text, struct span *ret_name) {
    for (size_t open = span_find(text, '{'); open < text.len; open = span_find(text, '{')) {
        text = span_from(text, open + 1);
        *ret_name = span_until(text, span_find(text, '}'));
        if (ret_name->len < text.len && pattern_find_capture(path, *ret_name) >= 0) return true;
    }
    return false;
}

/*
 * A value that stands for a part of the path needs that part in the path. Within a longer text it
 * would stand for itself, which no claim has: whatever it should be kept from would be let through.
 */
static void rule_capture(struct problems *problems, const struct node *path,
                         const struct node *value, const char *key) {
    struct span name;

    if (!value || !value->sound) return;
    if (!pattern_is_capture(value->text, &name)) {
        if (names_capture(path->text, value->text, &name))
            PROBLEM_AT(problems, value, key,
                       "{%.*s} stands for a part of the path only where it is the whole value; "
                       "write it alone",
                       SPAN_PRINTF(name));
        return;
    }
    if (pattern_find_capture(path->text, name) < 0)
        PROBLEM_AT(problems, value, key,
                   "{%.*s} is no capture of the path %.*s; write one that is, or add it there",
                   SPAN_PRINTF(name), SPAN_PRINTF(path->text));
}

static void rule_captures(struct problems *problems, const struct node *path,
                          const struct node *require) {
    const struct node *claims = tree_find(require, "claims");

    for (const struct node *c = claims ? claims->first : NULL; c; c = c->next) {
        const struct node *list = tree_find(c, "one_of");
        rule_capture(problems, path, tree_find(c, "equals"), "equals");
        rule_capture(problems, path, tree_find(c, "contains"), "contains");
        for (const struct node *v = list ? list->first : NULL; v; v = v->next)
            rule_capture(problems, path, v, "one_of");
    }
}

/* Is this key of a requirement, with this value, met by every token? */
static bool is_met_by_all(struct span key, const struct node *value) {
    int64_t age;

    if (!value) return false;
    if (span_equal_text(key, "scopes"))
        return value->kind == NODE_LIST && !value->first && value->complete;
    if (!span_equal_text(key, "max_token_age") && !span_equal_text(key, "max_auth_age"))
        return false;
    return value->sound && parse_duration(value->text, &age) == 0 && age == 0;
}

static bool requires_nothing(const struct node *require) {
    if (require->kind != NODE_MAP || !require->complete) return false;
    for (const struct node *key = require->first; key; key = key->next ? key->next->next : NULL)
        if (key->kind != NODE_TEXT || !is_met_by_all(key->text, key->next)) return false;
    return true;
}

/*
 * {} is met by everyone: in any_of it opens the rest, in not it closes all. And a not with nothing
 * behind it would be no rule at all.
 */
static void rule_something(struct problems *problems, const struct node *inner, const char *key) {
    bool is_nothing = tree_is_null(inner) ? strcmp(key, "not") == 0 : requires_nothing(inner);
    if (is_nothing)
        PROBLEM_AT(problems, inner, key,
                   "requires nothing; write what is required, or leave it out");
}

/* All requirements that lie in require: each is given to visit, with the key that it stands at. */
static void walk_requirements(struct problems *problems, const struct node *require,
                              const char *key, const void *context,
                              void (*visit)(struct problems *problems, const struct node *require,
                                            const char *key, const void *context)) {
    static const char *const lists[] = {"all_of", "any_of"};

    if (!require || (require->kind != NODE_MAP && !tree_is_null(require))) return;
    visit(problems, require, key, context);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const struct node *list = tree_find(require, lists[i]);
        for (const struct node *r = list ? list->first : NULL; r; r = r->next)
            walk_requirements(problems, r, lists[i], context, visit);
    }
    walk_requirements(problems, tree_find(require, "not"), "not", context, visit);
}

static void visit_requirement(struct problems *problems, const struct node *require,
                              const char *key, const void *path) {
    if (strcmp(key, "require") != 0) rule_something(problems, require, key);
    if (path) rule_captures(problems, path, require);
}

void rules_cors(struct problems *problems, const struct record *cors) {
    const struct node *preflight = record_sound(cors, "preflight");

    if (!preflight || !span_equal_text(preflight->text, "answer")) return;
    if (!record_given(cors, "origins"))
        PROBLEM_AT(problems, preflight, "preflight",
                   "answer needs to know to whom; write origins: [https://app.example.com]");
}

void rules_route(struct problems *problems, const struct record *route) {
    walk_requirements(problems, record_given(route, "require"), "require",
                      record_sound(route, "path"), visit_requirement);
    rule_respond(problems, route);
    rule_forward_auth(problems, route);
    rule_methods(problems, route);
    if (record_given(route, "upstream")) {
        rule_strip(problems, route);
        return;
    }
    if (!record_given(route, "respond")) return;
    rule_forwarding(problems, route, "strip_prefix", "");
    rule_forwarding(problems, route, "add_prefix", "");
    rule_forwarding(problems, route, "forward_token", "false");
    rule_forwarding(problems, route, "close_at_expiry", "true");
    rule_preflight(problems, route);
}

/* Does the route take the method? Where it lists none, an upstream takes all. */
static bool takes(const struct record *route, struct span method) {
    const struct node *methods = record_sound(route, "methods");

    if (!methods || !methods->first)
        return record_given(route, "upstream") || takes_any(record_sound(route, "respond")) ||
               span_equal_text(method, "GET") || span_equal_text(method, "HEAD");
    for (const struct node *m = methods->first; m; m = m->next)
        if (m->sound && span_equal(m->text, method)) return true;
    return false;
}

/* Is there a method that both routes take? Two that list none share GET. */
static bool share_method(const struct record *a, const struct record *b) {
    const struct node *methods = record_sound(a, "methods");
    const struct record *other = b;

    if (!methods || !methods->first) {
        methods = record_sound(b, "methods");
        other = a;
    }
    if (!methods || !methods->first) return true;
    for (const struct node *m = methods->first; m; m = m->next)
        if (m->sound && takes(other, m->text)) return true;
    return false;
}

/* --- routes against each other --------------------------------------------------------------- */

/* Is there a host that both name? Two that name none share all. */
static bool share_host(const struct record *a, const struct record *b) {
    const struct node *one = record_sound(a, "hosts"), *other = record_sound(b, "hosts");

    if (!one || !other) return one == other;
    for (const struct node *h = one->first; h; h = h->next)
        for (const struct node *o = other->first; o; o = o->next)
            if (h->sound && o->sound && span_equal_nocase(h->text, o->text)) return true;
    return false;
}

/* Given, but not as it should be: reported already. */
static bool is_unsound(const struct record *route, const char *key) {
    const struct node *node = record_given(route, key);
    return node && !node->sound;
}

bool rules_unlike_route(struct problems *problems, const struct record *earlier,
                        const struct record *later) {
    const struct node *path = record_sound(later, "path"), *other = record_sound(earlier, "path");

    if (!path || !other || !pattern_same_path(path->text, other->text)) return false;
    if (is_unsound(earlier, "methods") || is_unsound(later, "methods") ||
        is_unsound(earlier, "hosts") || is_unsound(later, "hosts"))
        return false;
    if (!share_host(earlier, later) || !share_method(earlier, later)) return false;
    PROBLEM_AT(problems, path, "path",
               "the route in line %u has this path and method already; keep one", other->line);
    return true;
}

uint64_t rules_like_route(const struct record *record) {
    const struct node *path = record_sound(record, "path");
    return path ? pattern_hash_path(path->text) : 0;
}

/* --- routes and what they name --------------------------------------------------------------- */

static bool lists_issuer(const struct node *issuers, struct span text) {
    for (const struct node *i = issuers->first; i; i = i->next) {
        const struct node *own = tree_find(i, "issuer");
        if (!own || !own->sound || span_equal(own->text, text)) return true;
    }
    return false;
}

static void visit_issuers(struct problems *problems, const struct node *require, const char *key,
                          const void *context) {
    const struct node *list = tree_find(require, "issuers");
    (void)key;

    for (const struct node *i = list ? list->first : NULL; i; i = i->next)
        if (i->sound && !lists_issuer(context, i->text))
            PROBLEM_AT(problems, i, "issuers",
                       "%.*s is none of the configured issuers, so that nobody would be let "
                       "through; write one of them, to the letter",
                       SPAN_PRINTF(i->text));
}

/* The hashes of the paths that have a route for every host, in order. */
struct paths {
    uint64_t *hashes;
    size_t count;
};

static int compare_hashes(const void *a, const void *b) {
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return one < other ? -1 : one > other;
}

static bool paths_collect(const struct node *routes, struct paths *ret) {
    size_t count = 0;
    for (const struct node *r = routes->first; r; r = r->next) count++;
    *ret = (struct paths){calloc(count + 1, sizeof *ret->hashes), 0};
    for (const struct node *r = routes->first; ret->hashes && r; r = r->next) {
        const struct node *path = tree_find(r, "path");
        if (path && path->sound && !tree_find(r, "hosts"))
            ret->hashes[ret->count++] = pattern_hash_path(path->text);
    }
    if (ret->hashes) qsort(ret->hashes, ret->count, sizeof *ret->hashes, compare_hashes);
    return ret->hashes != NULL;
}

#define PATH_MAX_SHOWN 1024

/* All that "/t/" can start is taken by "/t/", "/t/{x}" and "/t/{x}/" with all below it. */
static void rule_reachable(struct problems *problems, const struct paths *paths,
                           const struct node *path) {
    static const char *const takers[] = {"", "{x}", "{x}/*"};
    char taker[PATH_MAX_SHOWN];
    struct span stem = span_until(path->text, path->text.len - 1);

    if (path->text.len + 8 > sizeof taker || path->text.ptr[stem.len] != '*') return;
    for (size_t i = 0; i < ARRAY_LEN(takers); i++) {
        snprintf(taker, sizeof taker, "%.*s%s", SPAN_PRINTF(stem), takers[i]);
        uint64_t hash = pattern_hash_path(span_of(taker));
        if (!bsearch(&hash, paths->hashes, paths->count, sizeof hash, compare_hashes)) return;
    }
    PROBLEM_AT(problems, path, "path",
               "can never match: the routes for %.*s, %.*s{...} and %.*s{...}/* take all that it "
               "would; leave it out, or one of them",
               SPAN_PRINTF(stem), SPAN_PRINTF(stem), SPAN_PRINTF(stem));
}

#define METADATA_PATH "/.well-known/oauth-protected-resource"

/* Where resources are described nothing else is answered. */
static void rule_described(struct problems *problems, const struct node *resources,
                           const struct node *path) {
    static const struct span known = SPAN_LITERAL(METADATA_PATH);
    struct url url;

    if (!span_starts_with(path->text, known)) return;
    for (const struct node *r = resources->first; r; r = r->next) {
        const struct node *own = tree_find(r, "resource");
        if (!own || !own->sound || url_parse(own->text, &url, NULL) < 0) continue;
        if (span_equal_text(url.rest, "/")) url.rest.len = 0;
        if (!span_equal(span_from(path->text, known.len), url.rest)) continue;
        PROBLEM_AT(problems, path, "path",
                   "can never match: the resource in line %u is described there; leave out one of "
                   "them",
                   own->line);
        return;
    }
}

static void rule_route(struct problems *problems, const struct record *root,
                       const struct node *route, const struct paths *paths) {
    const struct node *issuers = record_sound(root, "issuers");
    const struct node *resources = record_sound(root, "resources");
    const struct node *path = tree_find(route, "path");

    if (issuers)
        walk_requirements(problems, tree_find(route, "require"), "require", issuers, visit_issuers);
    if (!path || !path->sound || path->text.len == 0) return;
    /* A host that is named goes before those for every host, whatever their paths are. */
    if (!tree_find(route, "hosts")) rule_reachable(problems, paths, path);
    if (resources) rule_described(problems, resources, path);
}

void rules_routes(struct problems *problems, const struct record *root) {
    const struct node *routes = record_sound(root, "routes");
    struct paths paths;

    if (!routes) return;
    if (!paths_collect(routes, &paths)) problems->out_of_memory = true;
    for (const struct node *r = routes->first; paths.hashes && r; r = r->next)
        rule_route(problems, root, r, &paths);
    free(paths.hashes);
}
