#include "server/policy/route.h"

#include <time.h>

#include "common/attr.h"
#include "tests/support/scene.h"
#include "tests/unit/server/config/texts.h"

#define NONE "none"
#define OTHER "other method"

static struct config *load(const char *routes) {
    struct buf yaml = buf_make(4096);
    buf_addf(&yaml, ISSUER "upstreams: [{name: u, targets: [http://a]}]\nroutes:\n%s", routes);
    struct config *config = parse_good(buf_span(&yaml));
    buf_done(&yaml);
    return config;
}

struct row {
    const char *method;
    const char *path;
    const char *route;
};

/* Which route it is: the first scope that it requires names it. */
static const char *found(const struct routes *routes, const struct row *row) {
    struct route_query query = {span_of(row->method), SPAN_NONE, span_of(row->path)};
    struct route_match match;
    switch (routes_find(routes, &query, &match)) {
    case ROUTE_NONE:
        return NONE;
    case ROUTE_OTHER_METHOD:
        return OTHER;
    case ROUTE_FOUND:
        break;
    }
    return match.route->config->require.scopes.items[0];
}

static void check(const struct config *config, const struct row *rows, size_t count) {
    CLEANUP(routes_freep) struct routes *routes = routes_new(config);
    ck_assert_ptr_nonnull(routes);
    for (size_t i = 0; i < count; i++) {
        const char *route = found(routes, &rows[i]);
        ck_assert_msg(strcmp(route, rows[i].route) == 0, "%s %s: %s, not %s", rows[i].method,
                      rows[i].path, route, rows[i].route);
    }
}

#define ROUTE(path, more, scope)                                                                   \
    "  - {path: \"" path "\", respond: identity, require: {scopes: [" scope "]}" more "}\n"

TEST(the_most_specific_route_wins_in_whatever_order_they_stand) {
    static const char *const orders[] = {
        ROUTE("/", "", "root") ROUTE("/a", "", "a") ROUTE("/a/*", "", "a-tree")
            ROUTE("/a/b/*", "", "b-tree") ROUTE("/a/b/c", "", "c"),
        ROUTE("/a/b/c", "", "c") ROUTE("/a/b/*", "", "b-tree") ROUTE("/a/*", "", "a-tree")
            ROUTE("/a", "", "a") ROUTE("/", "", "root"),
    };
    static const struct row rows[] = {
        {"GET", "/", "root"},      {"GET", "/a", "a"},           {"GET", "/a/", "a-tree"},
        {"GET", "/a/x", "a-tree"}, {"GET", "/a/b", "a-tree"},    {"GET", "/a/b/", "b-tree"},
        {"GET", "/a/b/c", "c"},    {"GET", "/a/b/c/", "b-tree"}, {"GET", "/a/b/cd", "b-tree"},
        {"GET", "/b", NONE},       {"GET", "/ab", NONE},         {"GET", "/A", NONE},
        {"GET", "/a;x", NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        struct config *config = load(orders[i]);
        check(config, rows, ARRAY_LEN(rows));
        config_unref(config);
    }
}

TEST(an_exact_path_beats_a_subtree_that_is_as_long) {
    struct config *config = load(ROUTE("/a/*", "", "tree") ROUTE("/a/", "", "exact"));
    static const struct row rows[] = {{"GET", "/a/", "exact"}, {"GET", "/a/x", "tree"}};
    check(config, rows, ARRAY_LEN(rows));
    config_unref(config);
}

TEST(a_route_for_everything_is_the_last_resort) {
    struct config *config = load(ROUTE("/*", "", "all") ROUTE("/", "", "root"));
    static const struct row rows[] = {
        {"GET", "/", "root"}, {"GET", "/x", "all"}, {"GET", "/x/y/", "all"}};
    check(config, rows, ARRAY_LEN(rows));
    config_unref(config);
}

TEST(methods_choose_among_routes_of_the_same_path_and_never_a_wider_one) {
    struct config *config =
        load(ROUTE("/*", "", "all") ROUTE("/a", ", methods: [GET]", "get")
                 ROUTE("/b", ", methods: [HEAD]", "head") ROUTE("/c", "", "both"));
    static const struct row rows[] = {
        {"GET", "/a", "get"},  {"HEAD", "/a", "get"},  {"POST", "/a", OTHER},
        {"GET", "/b", OTHER},  {"HEAD", "/b", "head"}, {"POST", "/b", OTHER},
        {"GET", "/c", "both"}, {"HEAD", "/c", "both"}, {"DELETE", "/c", OTHER},
        {"get", "/a", OTHER},  {"GETX", "/a", OTHER},  {"GE", "/a", OTHER},
        {"", "/a", OTHER},     {"HEADX", "/a", OTHER}, {"POST", "/x", OTHER},
        {"GET", "/x", "all"},
    };
    check(config, rows, ARRAY_LEN(rows));
    config_unref(config);
}

#define UPSTREAM(path, more, scope)                                                                \
    "  - {path: \"" path "\", upstream: u, require: {scopes: [" scope "]}" more "}\n"

TEST(an_upstream_takes_every_method_or_those_that_are_listed) {
    struct config *config = load(
        UPSTREAM("/a/*", "", "all") UPSTREAM("/b", ", methods: [POST, PURGE]", "some")
            UPSTREAM("/c", ", methods: [GET]", "get") ROUTE("/d", "", "own")
                UPSTREAM("/d", ", methods: [POST]", "post") UPSTREAM("/e", ", methods: []", "e"));
    static const struct row rows[] = {
        {"GET", "/a/x", "all"},    {"HEAD", "/a/x", "all"},     {"POST", "/a/x", "all"},
        {"OPTIONS", "/a/", "all"}, {"PROPFIND", "/a/x", "all"}, {"get", "/a/x", "all"},
        {"POST", "/a", NONE},      {"POST", "/b", "some"},      {"PURGE", "/b", "some"},
        {"GET", "/b", OTHER},      {"HEAD", "/b", OTHER},       {"GET", "/c", "get"},
        {"HEAD", "/c", "get"},     {"POST", "/c", OTHER},       {"GET", "/d", "own"},
        {"HEAD", "/d", "own"},     {"POST", "/d", "post"},      {"PUT", "/d", OTHER},
        {"PATCH", "/e", "e"},
    };
    check(config, rows, ARRAY_LEN(rows));
    config_unref(config);
}

TEST(allow_lists_what_the_most_specific_routes_take) {
    struct config *config = load(
        ROUTE("/*", "", "all") ROUTE("/a", ", methods: [GET]", "get")
            ROUTE("/b", ", methods: [HEAD]", "head") ROUTE("/c", "", "own")
                UPSTREAM("/c", ", methods: [PURGE, POST]", "some")
                    UPSTREAM("/d", ", methods: [PUT, GET, HEAD, PUT]", "twice")
                        UPSTREAM("/e/*", ", methods: [GE]", "short")
                            UPSTREAM("/f", ", methods: [G]", "f")
                                UPSTREAM("/f", ", methods: [GE]", "f") UPSTREAM("/g", "", "any"));
    static const struct {
        const char *path;
        const char *allow;
    } rows[] = {{"/a", "GET, HEAD"},
                {"/b", "HEAD"},
                {"/x", "GET, HEAD"},
                {"/c", "GET, HEAD, PURGE, POST"},
                {"/d", "PUT, GET, HEAD"},
                {"/e/x", "GE"},
                {"/f", "G, GE"},
                {"/g", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
                {"/a/no/such", "GET, HEAD"}};
    struct routes *routes = routes_new(config);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf allow = buf_make(256);
        struct route_query query = {SPAN_LITERAL("none"), SPAN_NONE, span_of(rows[i].path)};
        struct route_match match = {.route = NULL};
        if (routes_find(routes, &query, &match) != ROUTE_NONE) route_add_allow(match.route, &allow);
        ck_assert_msg(span_equal_text(buf_span(&allow), rows[i].allow), "%s: %.*s", rows[i].path,
                      SPAN_PRINTF(buf_span(&allow)));
        buf_done(&allow);
    }
    routes_free(routes);
    config_unref(config);
}

/* --- hosts ----------------------------------------------------------------------------------- */

struct host_row {
    const char *host; /* NULL: none was told */
    const char *path;
    const char *route;
};

static void check_hosts(const struct config *config, const struct host_row *rows, size_t count) {
    CLEANUP(routes_freep) struct routes *routes = routes_new(config);
    ck_assert_ptr_nonnull(routes);
    for (size_t i = 0; i < count; i++) {
        struct route_query query = {SPAN_LITERAL("GET"), span_of(rows[i].host),
                                    span_of(rows[i].path)};
        struct route_match match;
        const char *route = NONE;
        if (routes_find(routes, &query, &match) == ROUTE_FOUND)
            route = match.route->config->require.scopes.items[0];
        ck_assert_msg(strcmp(route, rows[i].route) == 0, "%s%s: %s, not %s",
                      rows[i].host ? rows[i].host : "(none)", rows[i].path, route, rows[i].route);
    }
}

#define HOSTS(hosts) ", hosts: [" hosts "]"

TEST(the_most_specific_host_wins_and_leaves_what_it_lacks_to_the_next) {
    struct config *config =
        load(ROUTE("/p", "", "any") ROUTE("/p", HOSTS("a.b.example"), "own")
                 ROUTE("/p", HOSTS("\"*.b.example\""), "wide")
                     ROUTE("/p", HOSTS("\"*.example\""), "wider") ROUTE("/q/*", "", "q-any")
                         ROUTE("/q/x", HOSTS("\"*.b.example\""), "q-wide")
                             ROUTE("/r", HOSTS("one.example, TWO.example, \"[::1]\""), "r"));
    static char long_host[600];
    memset(long_host, 'a', sizeof long_host - 1);
    memcpy(long_host + sizeof long_host - 1 - strlen(".b.example"), ".b.example",
           strlen(".b.example"));
    const struct host_row rows[] = {
        {NULL, "/p", "any"},
        {"", "/p", "any"},
        {".", "/p", "any"},
        {":80", "/p", "any"},
        {"a.b.example", "/p", "own"},
        {"A.B.EXAMPLE", "/p", "own"},
        {"a.b.example:8443", "/p", "own"},
        {"a.b.example.", "/p", "own"},
        {"a.b.example.:1", "/p", "own"},
        {"a.b.example..", "/p", "any"},
        {"x.b.example", "/p", "wide"},
        {"x.a.b.example", "/p", "wide"},
        {".b.example", "/p", "wider"},
        {"b.example", "/p", "wider"},
        {"*.b.example", "/p", "wide"},
        {"xb.example", "/p", "wider"},
        {"example", "/p", "any"},
        {"a.b.example.org", "/p", "any"},
        {"a.b.example", "/q/x", "q-wide"},
        {"a.b.example", "/q/y", "q-any"},
        {"c.example", "/q/x", "q-any"},
        {"a.b.example", "/none", NONE},
        {"two.EXAMPLE", "/r", "r"},
        {"three.example", "/r", NONE},
        {"[::1]", "/r", "r"},
        {"[::1]:80", "/r", "r"},
        {"[::1", "/r", NONE},
        {"[::2]", "/r", NONE},
        {"::1", "/r", NONE},
        {long_host, "/p", "any"},
        {long_host + sizeof long_host - 254, "/p", "wide"},
    };
    check_hosts(config, rows, ARRAY_LEN(rows));
    config_unref(config);
}

/* --- captures -------------------------------------------------------------------------------- */

static struct span capture(const struct routes *routes, const char *path, size_t index,
                           const char **ret_route) {
    static struct route_match
        match; /* what is not set stays of the last one, and must not matter */
    struct route_query query = {SPAN_LITERAL("GET"), SPAN_NONE, span_of(path)};
    *ret_route = NONE;
    if (routes_find(routes, &query, &match) != ROUTE_FOUND) return SPAN_NONE;
    *ret_route = match.route->config->require.scopes.items[0];
    return match.captures[index];
}

TEST(captures_are_those_of_the_route_that_was_found_in_their_order) {
    CLEANUP(config_unrefp)
    struct config *config =
        load(ROUTE("/{a}", "", "one") ROUTE("/{a}/{b}", "", "two") ROUTE("/t/{a}/x", "", "inner")
                 ROUTE("/t/{a}/*", "", "tree") ROUTE("/{a}/m/{b}/*", "", "late")
                     ROUTE("/t/m/{b}/end", "", "end") ROUTE("/{a}/{b}/{c}/d", "", "three"));
    static const struct {
        const char *path, *route;
        const char *captures[3];
    } rows[] = {
        {"/v", "one", {"v"}},
        {"/", NONE, {0}},
        {"/v/w", "two", {"v", "w"}},
        {"/v/", NONE, {0}},
        {"/a%20b/c;d=e", "two", {"a%20b", "c;d=e"}},
        {"/t/v/x", "inner", {"v"}},
        {"/t/v/y/z", "tree", {"v"}},
        {"/t/v/", "tree", {"v"}},
        {"/t/m/v/end", "end", {"v"}},
        /* back from texts that lead nowhere: what they caught on the way is forgotten */
        {"/t/m/v/other", "tree", {"m"}},
        {"/s/m/v/other", "late", {"s", "v"}},
        {"/s/m/v/d", "late", {"s", "v"}},
        {"/s/n/v/d", "three", {"s", "n", "v"}},
        {"/t", "one", {"t"}},
        {"/t/m", "two", {"t", "m"}},
    };
    CLEANUP(routes_freep) struct routes *routes = routes_new(config);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t k = 0; k < ARRAY_LEN(rows[i].captures); k++) {
            const char *route;
            struct span found = capture(routes, rows[i].path, k, &route);
            ck_assert_msg(strcmp(route, rows[i].route) == 0, "%s: %s", rows[i].path, route);
            if (rows[i].captures[k])
                ck_assert_msg(span_equal_text(found, rows[i].captures[k]), "%s: %.*s", rows[i].path,
                              SPAN_PRINTF(found));
        }
}

/* --- many ------------------------------------------------------------------------------------ */

/* A sanitizer's allocator takes its time over so many. */
#define ROUTES (SCENE_SANITIZED ? 1000 : 10000)

/* Half of them exact, a quarter subtrees, the rest with a capture. */
static struct config *load_many(size_t count) {
    struct buf yaml = buf_make((size_t)8 << 20);
    buf_add_text(&yaml, ISSUER "routes:\n");
    for (size_t i = 0; i < count; i++) {
        static const char *const ends[] = {"", "/*", "", "/{x}"};
        buf_addf(&yaml,
                 "  - {path: \"/v1/area%zu/thing%zu%s\", respond: identity, require: {scopes: "
                 "[s%zu]}}\n",
                 i % 100, i, ends[i % 4], i);
    }
    struct config *config = parse_good(buf_span(&yaml));
    buf_done(&yaml);
    return config;
}

static const char *find_many(const struct routes *routes, size_t i, const char *end) {
    char path[128];
    snprintf(path, sizeof path, "/v1/area%zu/thing%zu%s", i % 100, i, end);
    return found(routes, &(struct row){"GET", path, NULL});
}

TEST(each_of_ten_thousand_routes_is_found) {
    CLEANUP(config_unrefp) struct config *config = load_many(ROUTES);
    CLEANUP(routes_freep) struct routes *routes = routes_new(config);
    for (size_t i = 0; i < ROUTES; i++) {
        char own[32];
        snprintf(own, sizeof own, "s%zu", i);
        bool found_all = strcmp(find_many(routes, i, ""), i % 2 == 0 ? own : NONE) == 0 &&
                         strcmp(find_many(routes, i, "/v"), i % 2 == 1 ? own : NONE) == 0 &&
                         strcmp(find_many(routes, i, "/v/w"), i % 4 == 1 ? own : NONE) == 0;
        if (!found_all) ck_abort_msg("thing%zu", i); /* each assertion that holds costs a write */
    }
    ck_assert_str_eq(find_many(routes, ROUTES, ""), NONE);
}

static int64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The least of several measurements of a thousand searches. */
static int64_t cost_of(size_t count) {
    CLEANUP(config_unrefp) struct config *config = load_many(count);
    CLEANUP(routes_freep) struct routes *routes = routes_new(config);
    int64_t least = INT64_MAX;
    size_t known = 0;
    for (int round = 0; round < 20; round++) {
        int64_t began = cpu_ns();
        for (size_t i = 0; i < 1000; i++)
            known += find_many(routes, i * 7919 % count, "/v")[0] == 's';
        int64_t took = cpu_ns() - began;
        if (took < least) least = took;
    }
    ck_assert_uint_eq(known, 20 * 500);
    return least;
}

/* A walk over all routes would take a thousand times as long. */
TEST(among_ten_thousand_a_route_is_found_as_fast_as_among_ten) {
    int64_t few = cost_of(10), many = cost_of(ROUTES);
    ck_assert_msg(many < few * 20, "%ld ns, and %ld ns among few", (long)many, (long)few);
}

/* Two ways at each segment, none of which leads to the end. */
TEST(a_path_that_fits_many_routes_halfway_is_not_tried_without_end) {
    struct buf yaml = buf_make((size_t)8 << 20);
    buf_add_text(&yaml, ISSUER "routes:\n");
    for (unsigned i = 0; i < 1 << 10; i++) {
        buf_add_text(&yaml, "  - {path: \"");
        for (unsigned bit = 0; bit < 10; bit++) {
            if (i >> bit & 1)
                buf_addf(&yaml, "/{c%u}", bit);
            else
                buf_add_text(&yaml, "/a");
        }
        buf_add_text(&yaml, "/end\", respond: identity, require: {scopes: [end]}}\n");
    }
    CLEANUP(config_unrefp) struct config *config = parse_good(buf_span(&yaml));
    CLEANUP(routes_freep) struct routes *routes = routes_new(config);
    char *path = strdup("/a/a/a/a/a/a/a/a/a/a/no"), *good = strdup("/a/a/a/b/a/a/a/a/a/a/end");
    int64_t began = cpu_ns();
    for (int i = 0; i < 100; i++)
        ck_assert_str_eq(found(routes, &(struct row){"GET", path, NULL}), NONE);
    ck_assert_int_lt(cpu_ns() - began, 2000000000);
    ck_assert_str_eq(found(routes, &(struct row){"GET", good, NULL}), "end");
    free(path);
    free(good);
    buf_done(&yaml);
}
