#include "server/policy/resource.h"

#include <stdlib.h>

#include "common/ascii.h"
#include "common/buf.h"
#include "common/url.h"

#define WELL_KNOWN "/.well-known/oauth-protected-resource"
#define DOCUMENT_MAX ((size_t)1024 * 1024)

struct resources {
    struct resource *items;
    size_t count;
};

/* --- made of a configuration --------------------------------------------------------------- */

static void add_list(struct buf *out, const char *name, const struct strings *strings) {
    if (strings->count == 0) return;
    buf_addf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < strings->count; i++) {
        if (i) buf_add_char(out, ',');
        buf_add_json(out, span_of(strings->items[i]));
    }
    buf_add_char(out, ']');
}

static void add_text(struct buf *out, const char *name, const char *text) {
    if (!*text) return;
    buf_addf(out, ",\"%s\":", name);
    buf_add_json(out, span_of(text));
}

static void add_issuers(struct buf *out, const struct config *config) {
    buf_add_text(out, ",\"authorization_servers\":[");
    for (size_t i = 0; i < config->issuer_count; i++) {
        if (i) buf_add_char(out, ',');
        buf_add_json(out, span_of(config->issuers[i].issuer));
    }
    buf_add_char(out, ']');
}

static char *make_document(const struct config *config, const struct config_resource *resource) {
    struct buf out = buf_make(DOCUMENT_MAX);

    buf_add_text(&out, "{\"resource\":");
    buf_add_json(&out, span_of(resource->resource));
    add_text(&out, "resource_name", resource->name);
    if (resource->authorization_servers.count)
        add_list(&out, "authorization_servers", &resource->authorization_servers);
    else
        add_issuers(&out, config);
    add_list(&out, "scopes_supported", &resource->scopes);
    buf_add_text(&out, ",\"bearer_methods_supported\":[\"header\"]");
    add_text(&out, "resource_documentation", resource->documentation);
    buf_add_char(&out, '}');
    char *document = buf_ok(&out) ? strdup(out.data) : NULL;
    buf_done(&out);
    return document;
}

/* scheme "://" authority, then the well-known path, then the resource's own (RFC 9728 section 3.1).
 */
static char *make_url(struct span resource, struct span path, size_t rest_len) {
    char *made;
    struct span origin = span_until(resource, resource.len - rest_len);
    if (asprintf(&made, "%.*s" WELL_KNOWN "%.*s", SPAN_PRINTF(origin), SPAN_PRINTF(path)) < 0)
        return NULL;
    return made;
}

static bool fill(struct resource *resource, const struct config *config,
                 const struct config_resource *own) {
    struct span text = span_of(own->resource);
    struct url url;

    if (url_parse(text, &url, NULL) < 0) return false;
    /* A slash that ends the host's part does not count (RFC 9728 section 3.1). */
    struct span path = span_equal_text(url.rest, "/") ? span_until(url.rest, 0) : url.rest;
    resource->path = strndup(path.len ? path.ptr : "", path.len);
    resource->host = strndup(url.host.ptr, url.host.len);
    resource->metadata_url = make_url(text, path, url.rest.len);
    resource->document = make_document(config, own);
    for (char *c = resource->host; c && *c; c++) *c = ascii_lower(*c);
    return resource->path && resource->host && resource->metadata_url && resource->document;
}

struct resources *resources_new(const struct config *config) {
    CLEANUP(resources_freep) struct resources *resources = calloc(1, sizeof *resources);
    if (!resources) return NULL;
    resources->items = calloc(config->resource_count + 1, sizeof *resources->items);
    if (!resources->items) return NULL;
    for (size_t i = 0; i < config->resource_count; i++) {
        resources->count++;
        if (!fill(&resources->items[i], config, &config->resources[i])) return NULL;
    }
    return TAKE_PTR(resources);
}

void resources_free(struct resources *resources) {
    if (!resources) return;
    for (size_t i = 0; i < resources->count; i++) {
        struct resource *resource = &resources->items[i];
        free(resource->path);
        free(resource->host);
        free(resource->metadata_url);
        free(resource->document);
    }
    free(resources->items);
    free(resources);
}

/* --- finding ------------------------------------------------------------------------------- */

/* The host of a Host header: without port, without the brackets of an IPv6 address, and without the
 * dot of the root. */
static struct span host_name(struct span host) {
    if (span_starts_with(host, SPAN_LITERAL("["))) {
        struct span inner = span_from(host, 1);
        return span_until(inner, span_find(inner, ']'));
    }
    struct span name = span_until(host, span_find(host, ':'));
    return name.len && name.ptr[name.len - 1] == '.' ? span_until(name, name.len - 1) : name;
}

/* "/orders" holds "/orders", "/orders/" and all below, and not "/orders2". */
static bool holds(struct span own, struct span path) {
    if (!span_starts_with(path, own)) return false;
    return path.len == own.len || own.len == 0 || own.ptr[own.len - 1] == '/' ||
           path.ptr[own.len] == '/';
}

/*
 * One of the host that was asked goes before all others: a client must not use metadata of another
 * resource than the one it asked (RFC 9728 section 3.3). Then the longer path.
 */
static const struct resource *better(const struct resource *best, const struct resource *other,
                                     struct span host) {
    if (!best) return other;
    bool best_fits = span_equal_nocase(span_of(best->host), host);
    bool other_fits = span_equal_nocase(span_of(other->host), host);
    if (best_fits != other_fits) return best_fits ? best : other;
    return strlen(other->path) > strlen(best->path) ? other : best;
}

const struct resource *resources_of(const struct resources *resources, struct span host,
                                    struct span path) {
    const struct resource *best = NULL;
    for (size_t i = 0; i < resources->count; i++)
        if (holds(span_of(resources->items[i].path), path))
            best = better(best, &resources->items[i], host_name(host));
    return best;
}

const struct resource *resources_described_at(const struct resources *resources, struct span host,
                                              struct span path) {
    static const struct span known = SPAN_LITERAL(WELL_KNOWN);
    const struct resource *best = NULL;

    if (resources->count == 0 || !span_starts_with(path, known)) return NULL;
    for (size_t i = 0; i < resources->count; i++)
        if (span_equal_text(span_from(path, known.len), resources->items[i].path))
            best = better(best, &resources->items[i], host_name(host));
    return best;
}
