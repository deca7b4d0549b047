#include "server/policy/route.h"

#include <stdlib.h>

#include "common/ascii.h"

/* What the endpoints of our own know, where a route does not narrow it down. */
static const char *const own_methods[] = {"GET", "HEAD"};
/* What an upstream may know; it may know others. */
static const char *const usual_methods[] = {"GET",   "HEAD",   "POST",   "PUT",
                                            "PATCH", "DELETE", "OPTIONS"};

/* Nodes are numbered; 0 is none of them. Below NODE_HOSTS the hosts are, as if they were segments.
 */
#define NODE_NONE 0
#define NODE_HOSTS 1
#define NODE_ANY_HOST 2
#define NODE_FIRST_FREE 3

struct node {
    uint32_t capture;      /* the node behind any one segment */
    struct route *exact;   /* a path that ends here */
    struct route *subtree; /* "*" */
};

/* The way from one node to the next; child is NODE_NONE where the slot is empty. */
struct edge {
    uint32_t parent;
    uint32_t child;
    uint64_t hash;
    struct span segment; /* in the configuration */
};

struct routes {
    struct route *items; /* in the order of config->routes */
    size_t count;
    struct node *nodes;
    uint32_t node_count;
    struct edge *edges;
    size_t mask; /* slots, a power of two, less 1; not half of them are taken */
    bool names_hosts;
    struct span *asking; /* the paths of subtrees with forward_auth */
    size_t asking_count;
};

/* --- the tree ------------------------------------------------------------------------------ */

/* FNV-1a. What is in the table the operator wrote, so that nobody else makes chains long. */
static uint64_t hash_edge(uint32_t parent, struct span segment) {
    uint64_t hash = (0xcbf29ce484222325 ^ parent) * 0x100000001b3;
    for (size_t i = 0; i < segment.len; i++)
        hash = (hash ^ (unsigned char)segment.ptr[i]) * 0x100000001b3;
    return hash ^ hash >> 32;
}

/* The slot of that edge, or the empty one where it belongs. */
static struct edge *find_edge(const struct routes *routes, uint32_t parent, struct span segment) {
    uint64_t hash = hash_edge(parent, segment);
    size_t i = hash & routes->mask;
    for (;; i = (i + 1) & routes->mask) {
        struct edge *edge = &routes->edges[i];
        if (edge->child == NODE_NONE) {
            edge->hash = hash;
            return edge;
        }
        if (edge->hash == hash && edge->parent == parent && span_equal(edge->segment, segment))
            return edge;
    }
}

static uint32_t child_of(const struct routes *routes, uint32_t parent, struct span segment) {
    uint64_t hash = hash_edge(parent, segment);
    for (size_t i = hash & routes->mask;; i = (i + 1) & routes->mask) {
        const struct edge *edge = &routes->edges[i];
        if (edge->child == NODE_NONE) return NODE_NONE;
        if (edge->hash == hash && edge->parent == parent && span_equal(edge->segment, segment))
            return edge->child;
    }
}

static uint32_t add_child(struct routes *routes, uint32_t parent, struct span segment) {
    struct edge *edge = find_edge(routes, parent, segment);
    if (edge->child == NODE_NONE) {
        edge->parent = parent;
        edge->segment = segment;
        edge->child = routes->node_count++;
    }
    return edge->child;
}

static uint32_t add_capture(struct routes *routes, uint32_t parent) {
    uint32_t *capture = &routes->nodes[parent].capture;
    if (*capture == NODE_NONE) *capture = routes->node_count++;
    return *capture;
}

/* Behind those that are there: the order of the file decides between methods. */
static void add_route(struct route **first, struct route *route) {
    while (*first) first = (struct route **)(void *)&(*first)->next;
    *first = route;
}

/* A route of several hosts stands in several places, and has other neighbours in each. */
static struct route *copy_of(struct routes *routes, const struct route *route) {
    struct route *copy = &routes->items[routes->count++];
    *copy = *route;
    copy->next = NULL;
    return copy;
}

static void add_below(struct routes *routes, uint32_t node, struct route *route) {
    const struct config_route *config = route->config;
    struct span path = span_of(config->path), segment, name;

    /* The path of a subtree ends with the slash before "*", behind which is no segment of its own.
     */
    if (config->subtree) path.len--;
    while (pattern_next(&path, &segment))
        node = pattern_is_capture(segment, &name) ? add_capture(routes, node)
                                                  : add_child(routes, node, segment);
    add_route(config->subtree ? &routes->nodes[node].subtree : &routes->nodes[node].exact, route);
}

static void add_everywhere(struct routes *routes, const struct route *route) {
    const struct strings *hosts = &route->config->hosts;

    if (hosts->count == 0) add_below(routes, NODE_ANY_HOST, copy_of(routes, route));
    for (size_t i = 0; i < hosts->count; i++) {
        uint32_t root = add_child(routes, NODE_HOSTS, span_of(hosts->items[i]));
        add_below(routes, root, copy_of(routes, route));
        routes->names_hosts = true;
    }
    if (route->config->respond == RESPOND_FORWARD_AUTH && route->config->subtree)
        routes->asking[routes->asking_count++] = span_of(route->config->path);
}

/* --- the table ----------------------------------------------------------------------------- */

static size_t count_segments(const char *path) {
    size_t count = 0;
    for (; *path; path++) count += *path == '/';
    return count;
}

/* Room for as many places and nodes as there can be. */
static bool make_room(struct routes *routes, const struct config *config) {
    size_t places = 0, nodes = NODE_FIRST_FREE, slots = 1;

    for (size_t i = 0; i < config->route_count; i++) {
        size_t hosts = config->routes[i].hosts.count;
        size_t segments = count_segments(config->routes[i].path) + 1;
        places += hosts ? hosts : 1;
        nodes += (hosts ? hosts : 1) * segments;
    }
    if (nodes > UINT32_MAX / 4) return false;
    while (slots < nodes * 2 + 2) slots *= 2;
    routes->mask = slots - 1;
    routes->node_count = NODE_FIRST_FREE;
    routes->items = calloc(places + 1, sizeof *routes->items);
    routes->nodes = calloc(nodes, sizeof *routes->nodes);
    routes->edges = calloc(slots, sizeof *routes->edges);
    routes->asking = calloc(config->route_count + 1, sizeof *routes->asking);
    return routes->items && routes->nodes && routes->edges && routes->asking;
}

struct routes *routes_new(const struct config *config) {
    CLEANUP(routes_freep) struct routes *routes = calloc(1, sizeof *routes);
    if (!routes || !make_room(routes, config)) return NULL;

    for (size_t i = 0; i < config->route_count; i++) {
        struct route route = {.config = &config->routes[i]};
        route.require = requirement_new(config, &route.config->require, route.config->path);
        if (!route.require) return NULL;
        size_t first = routes->count;
        add_everywhere(routes, &route);
        for (size_t k = first + 1; k < routes->count; k++) requirement_ref(route.require);
    }
    return TAKE_PTR(routes);
}

void routes_free(struct routes *routes) {
    if (!routes) return;
    for (size_t i = 0; i < routes->count; i++) requirement_unref(routes->items[i].require);
    free(routes->items);
    free(routes->nodes);
    free(routes->edges);
    free(routes->asking);
    free(routes);
}

/* --- methods ------------------------------------------------------------------------------- */

/*
 * An upstream knows itself which methods its resources have. But CONNECT asks for a tunnel, and the
 * answer to TRACE would show a client what upstreams alone are told.
 */
static bool takes_all(const struct config_route *route) {
    bool knows_all = *route->upstream || route->respond == RESPOND_VERDICT ||
                     route->respond == RESPOND_FORWARD_AUTH;
    return knows_all && route->methods.count == 0;
}

/* The methods that a route takes, one by one; NULL behind the last, or behind the usual ones. */
static const char *method_at(const struct config_route *route, size_t index) {
    if (route->methods.count)
        return index < route->methods.count ? route->methods.items[index] : NULL;
    if (takes_all(route)) return index < ARRAY_LEN(usual_methods) ? usual_methods[index] : NULL;
    return index < ARRAY_LEN(own_methods) ? own_methods[index] : NULL;
}

static bool takes_method(const struct config_route *route, struct span method) {
    const char *own;
    if (takes_all(route))
        return !span_equal_text(method, "CONNECT") && !span_equal_text(method, "TRACE");
    for (size_t i = 0; (own = method_at(route, i)); i++)
        if (span_equal_text(method, own)) return true;
    return false;
}

static const struct route *for_method(const struct route *first, struct span method) {
    for (const struct route *route = first; route; route = route->next)
        if (takes_method(route->config, method)) return route;
    if (!span_equal_text(method, "HEAD")) return NULL;
    /* HEAD works wherever GET does (RFC 9110 section 9.3.2). */
    return for_method(first, SPAN_LITERAL("GET"));
}

/* --- finding ------------------------------------------------------------------------------- */

/* A search in one tree. Goes as deep as the routes do, however long the path is. */
static const struct route *search(const struct routes *routes, uint32_t at, struct span path,
                                  struct span *captures, size_t count) {
    const struct node *node = &routes->nodes[at];
    const struct route *found = NULL;
    struct span segment;

    if (!pattern_next(&path, &segment)) return node->exact;
    uint32_t child = child_of(routes, at, segment);
    if (child != NODE_NONE) found = search(routes, child, path, captures, count);
    if (!found && node->capture != NODE_NONE && segment.len) {
        captures[count] = segment;
        found = search(routes, node->capture, path, captures, count + 1);
    }
    return found ? found : node->subtree;
}

#define HOST_MAX 254

/* The name in lower case, without port and without the dot of the root: "API.example.com.:443". */
static struct span plain_host(struct span host, char buffer[HOST_MAX]) {
    struct span name = host;
    if (name.len && name.ptr[0] == '[')
        name = span_until(name, span_find(name, ']') + 1);
    else
        name = span_until(name, span_find(name, ':'));
    if (name.len && name.ptr[name.len - 1] == '.') name.len--;
    if (name.len >= HOST_MAX) return SPAN_NONE;
    for (size_t i = 0; i < name.len; i++) buffer[i] = ascii_lower(name.ptr[i]);
    return (struct span){buffer, name.len};
}

/* In the trees of the hosts that fit, the most specific one first. */
static const struct route *search_hosts(const struct routes *routes, struct span host,
                                        struct span path, struct span *captures) {
    char buffer[HOST_MAX];
    struct span name = plain_host(host, buffer);
    const struct route *found = NULL;

    for (size_t i = 0; name.ptr && i < name.len && !found; i++) {
        if (i > 0 && buffer[i] != '.') continue;
        if (i > 0) buffer[i - 1] = '*'; /* what stood there has been tried */
        uint32_t root = child_of(routes, NODE_HOSTS, span_from(name, i > 0 ? i - 1 : 0));
        if (root != NODE_NONE) found = search(routes, root, path, captures, 0);
    }
    return found;
}

enum route_found routes_find(const struct routes *routes, const struct route_query *query,
                             struct route_match *ret) {
    const struct route *first = NULL;

    if (routes->names_hosts) first = search_hosts(routes, query->host, query->path, ret->captures);
    if (!first) first = search(routes, NODE_ANY_HOST, query->path, ret->captures, 0);
    if (!first) return ROUTE_NONE;

    const struct route *route = for_method(first, query->method);
    ret->route = route ? route : first;
    return route ? ROUTE_FOUND : ROUTE_OTHER_METHOD;
}

/* Add the method, once. */
static void add_method(struct buf *out, const char *method) {
    struct span rest = buf_span(out), there;
    while (span_next(&rest, ',', &there))
        if (span_equal_text(span_trim(there), method)) return;
    buf_addf(out, "%s%s", out->len ? ", " : "", method);
}

void route_add_allow(const struct route *route, struct buf *out) {
    for (; route; route = route->next) {
        const char *method;
        for (size_t k = 0; (method = method_at(route->config, k)); k++) {
            add_method(out, method);
            if (strcmp(method, "GET") == 0) add_method(out, "HEAD");
        }
    }
}

bool route_is_open(const struct route *route) {
    for (; route; route = route->next)
        if (route->config->anonymous) return true;
    return false;
}

bool routes_is_for_asking(const struct routes *routes, struct span raw_target) {
    for (size_t i = 0; i < routes->asking_count; i++)
        if (span_starts_with(raw_target, routes->asking[i])) return true;
    return false;
}
