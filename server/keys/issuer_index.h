/*
 * issuer_index: where the entry of an issuer stands in the configuration, found by its name. Made
 * once for a configuration; never changes; shared by reference count.
 */
#ifndef SERVER_KEYS_ISSUER_INDEX_H
#define SERVER_KEYS_ISSUER_INDEX_H

#include "common/ref.h"
#include "common/span.h"
#include "server/config/config.h"

#define ISSUER_NONE SIZE_MAX

struct issuer_index;

/*
 * An index of the issuers of config, whose names it borrows: it must not be asked once config is
 * freed. NULL without memory.
 */
struct issuer_index *issuer_index_new(const struct config *config);

/* Any thread: take one more reference; drop one, the last frees (NULL is fine). */
struct issuer_index *issuer_index_ref(struct issuer_index *index);
void issuer_index_unref(struct issuer_index *index);

/*
 * The place in config->issuers of the one that equals iss to the letter, or ISSUER_NONE. The cost
 * does not grow with the number of issuers, and not with an iss longer than all of their names.
 */
size_t issuer_index_find(const struct issuer_index *index, struct span iss);

#endif
