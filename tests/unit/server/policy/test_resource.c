#include "server/policy/resource.h"

#include "common/attr.h"
#include "tests/support/scratch.h"
#include "tests/unit/server/config/texts.h"

#define KNOWN "/.well-known/oauth-protected-resource"

static struct config *load(const char *resources) {
    char *yaml =
        scratch_text(ISSUER "resources:\n%sroutes: [{path: /, respond: identity}]\n", resources);
    struct config *config = parse_good(span_of(yaml));
    free(yaml);
    return config;
}

static const char *url_of(const struct resource *resource) {
    return resource ? resource->metadata_url : "none";
}

TEST(the_metadata_stands_between_host_and_path) {
    static const struct {
        const char *resource, *url;
    } rows[] = {
        {"https://a.example", "https://a.example" KNOWN},
        {"https://a.example/", "https://a.example" KNOWN},
        {"https://a.example/x", "https://a.example" KNOWN "/x"},
        {"https://a.example/x/", "https://a.example" KNOWN "/x/"},
        {"https://a.example:8443/x/y", "https://a.example:8443" KNOWN "/x/y"},
        {"https://A.example/x", "https://A.example" KNOWN "/x"},
        {"https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443" KNOWN "/x"},
        {"http://localhost:8080", "http://localhost:8080" KNOWN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *entry = scratch_text("  - {resource: \"%s\"}\n", rows[i].resource);
        CLEANUP(config_unrefp) struct config *config = load(entry);
        CLEANUP(resources_freep) struct resources *resources = resources_new(config);
        ck_assert_ptr_nonnull(resources);
        const struct resource *resource =
            resources_of(resources, SPAN_LITERAL("elsewhere"), SPAN_LITERAL("/x/y"));
        ck_assert_str_eq(url_of(resource), rows[i].url);
        char *document = scratch_text("{\"resource\":\"%s\",\"authorization_servers\":[\"https://"
                                      "idp\"],\"bearer_methods_supported\":[\"header\"]}",
                                      rows[i].resource);
        ck_assert_str_eq(resource->document, document);
        free(document);
        free(entry);
    }
}

TEST(a_document_quotes_what_is_written_into_it) {
    struct config *config =
        load("  - {resource: \"https://a.example\", name: \"\\\"\\\\ \\u00e9 </script>\",\n"
             "     documentation: \"https://docs.example/?a=b\", scopes: [\"a:b\", \"c/d\"],\n"
             "     authorization_servers: [\"https://one.example\", \"https://two.example\"]}\n");
    CLEANUP(resources_freep) struct resources *resources = resources_new(config);
    const struct resource *resource = resources_of(resources, SPAN_NONE, SPAN_LITERAL("/"));
    ck_assert_str_eq(
        resource->document,
        "{\"resource\":\"https://a.example\",\"resource_name\":\"\\\"\\\\ \xc3\xa9 </script>\","
        "\"authorization_servers\":[\"https://one.example\",\"https://two.example\"],"
        "\"scopes_supported\":[\"a:b\",\"c/d\"],\"bearer_methods_supported\":[\"header\"],"
        "\"resource_documentation\":\"https://docs.example/?a=b\"}");
    config_unref(config);
}

#define RESOURCES                                                                                  \
    "  - {resource: \"https://a.example/x\"}\n"                                                    \
    "  - {resource: \"https://b.example/x\"}\n"                                                    \
    "  - {resource: \"https://b.example:8443/x/deep/\"}\n"                                         \
    "  - {resource: \"https://c.example/x/deep/er\"}\n"                                            \
    "  - {resource: \"https://[::1]:8443/six\"}\n"                                                 \
    "  - {resource: \"https://[::2]/six\"}\n"

TEST(a_request_belongs_to_a_resource_of_its_host_then_to_the_longest_path) {
    static const struct {
        const char *host, *path, *url;
    } rows[] = {
        {"a.example", "/x", "https://a.example" KNOWN "/x"},
        {"a.example", "/x/", "https://a.example" KNOWN "/x"},
        {"a.example", "/x/y", "https://a.example" KNOWN "/x"},
        {"a.example", "/xy", "none"},
        {"a.example", "/X", "none"},
        {"a.example", "/", "none"},
        {"b.example", "/x/y", "https://b.example" KNOWN "/x"},
        {"B.Example.:99", "/x/y", "https://b.example" KNOWN "/x"},
        {"b.example", "/x/deep/", "https://b.example:8443" KNOWN "/x/deep/"},
        {"b.example", "/x/deep/er", "https://b.example:8443" KNOWN "/x/deep/"},
        {"b.example", "/x/deep", "https://b.example" KNOWN "/x"},
        {"a.example", "/x/deep/er", "https://a.example" KNOWN "/x"},
        {"c.example", "/x/deep/er", "https://c.example" KNOWN "/x/deep/er"},
        /* of no resource's host: the longest, then the first */
        {"c.example", "/x/y", "https://a.example" KNOWN "/x"},
        {"z.example", "/x/deep/er", "https://c.example" KNOWN "/x/deep/er"},
        {"z.example", "/x/y", "https://a.example" KNOWN "/x"},
        {"", "/x/y", "https://a.example" KNOWN "/x"},
        {NULL, "/x/y", "https://a.example" KNOWN "/x"},
        {"[::1]:8443", "/six", "https://[::1]:8443" KNOWN "/six"},
        {"[::2]:99", "/six", "https://[::2]" KNOWN "/six"},
        {"[::2", "/six", "https://[::2]" KNOWN "/six"},
    };
    CLEANUP(config_unrefp) struct config *config = load(RESOURCES);
    CLEANUP(resources_freep) struct resources *resources = resources_new(config);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *url =
            url_of(resources_of(resources, span_of(rows[i].host), span_of(rows[i].path)));
        ck_assert_msg(strcmp(url, rows[i].url) == 0, "%s %s: %s", rows[i].host, rows[i].path, url);
    }
}

TEST(only_the_very_path_of_its_metadata_describes_a_resource) {
    static const struct {
        const char *host, *path, *url;
    } rows[] = {
        {"a.example", KNOWN "/x", "https://a.example" KNOWN "/x"},
        {"b.example", KNOWN "/x", "https://b.example" KNOWN "/x"},
        {"z.example", KNOWN "/x", "https://a.example" KNOWN "/x"},
        {NULL, KNOWN "/x", "https://a.example" KNOWN "/x"},
        {"b.example", KNOWN "/x/deep/", "https://b.example:8443" KNOWN "/x/deep/"},
        {"b.example", KNOWN "/x/deep", "none"},
        {"a.example", KNOWN "/x/", "none"},
        {"a.example", KNOWN "/x/y", "none"},
        {"a.example", KNOWN "/", "none"},
        {"a.example", KNOWN, "none"},
        {"a.example", KNOWN "x", "none"},
        {"a.example", "/x", "none"},
        {"a.example", "/x" KNOWN, "none"},
    };
    CLEANUP(config_unrefp) struct config *config = load(RESOURCES);
    CLEANUP(resources_freep) struct resources *resources = resources_new(config);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *url =
            url_of(resources_described_at(resources, span_of(rows[i].host), span_of(rows[i].path)));
        ck_assert_msg(strcmp(url, rows[i].url) == 0, "%s %s: %s", rows[i].host, rows[i].path, url);
    }
}

TEST(without_resources_there_are_none) {
    char *yaml = scratch_text(ISSUER "routes: [{path: /, respond: identity}]\n");
    CLEANUP(config_unrefp) struct config *config = parse_good(span_of(yaml));
    CLEANUP(resources_freep) struct resources *resources = resources_new(config);
    ck_assert_ptr_null(resources_of(resources, SPAN_LITERAL("a"), SPAN_LITERAL("/")));
    ck_assert_ptr_null(resources_described_at(resources, SPAN_LITERAL("a"), SPAN_LITERAL(KNOWN)));
    free(yaml);
}
