#include "server/policy/route.h"

#include "common/attr.h"
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
    CLEANUP(routes_freep) struct routes *routes = routes_new(config);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf allow = buf_make(256);
        struct route_query query = {SPAN_LITERAL("none"), SPAN_NONE, span_of(rows[i].path)};
        struct route_match match = {.route = NULL};
        if (routes_find(routes, &query, &match) != ROUTE_NONE) route_add_allow(match.route, &allow);
        ck_assert_msg(span_equal_text(buf_span(&allow), rows[i].allow), "%s: %.*s", rows[i].path,
                      SPAN_PRINTF(buf_span(&allow)));
        buf_done(&allow);
    }
    config_unref(config);
}
