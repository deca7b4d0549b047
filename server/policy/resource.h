/*
 * resource: protected resources and their metadata, by which clients find out where to get tokens
 * (RFC 9728). All of it comes from the configuration; what a client says chooses, and never adds.
 */
#ifndef SERVER_POLICY_RESOURCE_H
#define SERVER_POLICY_RESOURCE_H

#include "common/span.h"
#include "server/config/config.h"

struct resources;

struct resource {
    char *path;         /* of its URL; "" for all of the host */
    char *host;         /* of its URL, in lower case, without port */
    char *metadata_url; /* of its metadata (RFC 9728 section 3.1) */
    char *document;     /* the metadata, JSON (RFC 9728 section 2) */
};

/* Those of config. NULL without memory. */
struct resources *resources_new(const struct config *config);

/* NULL is fine. */
void resources_free(struct resources *resources);
CLEANUP_DEFINE(struct resources *, resources_free)

/*
 * The resource that a request for a normalised path belongs to: one whose path it starts with,
 * segment by segment. Those of the host, as a Host header has it, go first, then the longest path,
 * then the first. A host that none is of gets one of another: behind other proxies hosts have other
 * names. NULL where there is none.
 */
const struct resource *resources_of(const struct resources *resources, struct span host,
                                    struct span path);

/* The resource whose metadata stands at the path, chosen as above; NULL where none does. */
const struct resource *resources_described_at(const struct resources *resources, struct span host,
                                              struct span path);

#endif
